//! What windlass does with its own rights, and commands that would have it do more than they may.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::json;
use support::client::Client;
use support::reply::Reply;
use support::run::Call;
use support::{World, outside};

const WRITING: [&str; 6] = [
    "--json",
    "-s",
    "workspace-write",
    "-c",
    "sandbox_workspace_write.exclude_slash_tmp=true",
    "--skip-git-repo-check",
];

/// A world whose model runs these scripts, one after the other.
fn scripted(scripts: &[&str]) -> World {
    let mut world = World::new();
    for script in scripts {
        world.reply(Reply::script(script));
    }
    world.reply(Reply::message("planted"));
    world
}

fn words<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&WRITING[..], more, &["go"]].concat()
}

#[test]
fn the_last_message_is_not_written_through_a_link_that_a_command_made() {
    let mut world = scripted(&["ln -s ../elsewhere/victim said.md"]);
    let victim = world.elsewhere.join("victim");
    fs::write(&victim, "as it was").unwrap();
    let ended = world.exec(&words(&["-o", "said.md"]));
    ended.exits(0);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was");
    assert_eq!(world.read("said.md"), "planted");
}

#[test]
fn a_pointer_that_a_command_made_makes_nothing_else_writable() {
    let victim = "../../elsewhere/.git";
    let plant = format!(
        "mkdir fake; echo gitdir: fake > .git; echo $PWD/.git > fake/gitdir; \
         echo ../{victim} > fake/commondir"
    );
    let write = format!("echo mine > {victim}/refs/main");
    let mut world = scripted(&[&plant, &write]);
    let refs = world.elsewhere.join(".git/refs");
    fs::create_dir_all(&refs).unwrap();
    fs::create_dir(world.cwd.join("sub")).unwrap();
    let call = world.call(&words(&[]));
    let ended = world.run(Call { cwd: world.cwd.join("sub"), ..call });
    ended.exits(0);
    assert!(!refs.join("main").exists(), "{:?}", world.outputs());
}

/// Lets a session put something in the place of a root, and another command write to where that
/// leads, with namespaces granted or refused.
fn swapped(swap: &str, cwd: &str, root: &str) {
    for refused in [&outside::REFUSED_IN_CONTAINERS[..], &[]] {
        let mut world = World::new();
        let swap = format!("{swap}; echo done; read line");
        for line in [&*swap, "echo mine > ../elsewhere/mine"] {
            let call = json!({"cmd": line, "login": false, "yield_time_ms": 1500});
            world.reply(Reply::calls(&[("exec_command", call)]));
        }
        world.reply(Reply::message("done"));
        fs::create_dir(world.cwd.join("inner")).unwrap();
        let filter =
            if refused.is_empty() { Vec::new() } else { outside::filter(libc::EPERM, refused) };
        let call = world.call(&words(&["--enable", "unified_exec", "--add-dir", root]));
        let ended = world.run(Call { cwd: world.cwd.join(cwd), filter, ..call });
        ended.exits(0);
        let outputs = world.outputs();
        assert!(outputs[0].contains("done"), "{outputs:?}");
        assert!(!world.elsewhere.join("mine").exists(), "{outputs:?}");
    }
}

#[test]
fn a_root_is_what_it_was_when_it_was_named() {
    swapped("mv inner other && ln -s ../elsewhere inner", ".", "inner");
}

#[test]
fn a_root_that_is_yet_to_be_made_leads_nowhere_else() {
    swapped("ln -s ../elsewhere later", ".", "later");
}

#[test]
fn a_working_directory_is_what_it_was() {
    swapped("cd .. && mv inner other && ln -s ../elsewhere inner", "inner", "..");
}

#[test]
fn notes_do_not_tell_what_is_to_stay_unread() {
    let mut world = scripted(&[]);
    fs::write(world.home.join("auth.json"), "{\"OPENAI_API_KEY\":\"sk-hidden\"}").unwrap();
    std::os::unix::fs::symlink("../home/auth.json", world.cwd.join("AGENTS.md")).unwrap();
    let ended = world.exec(&words(&[]));
    ended.exits(0);
    assert!(!world.body().to_string().contains("sk-hidden"));
}

#[test]
fn a_patch_is_not_applied_through_a_link_that_a_command_made() {
    let patch = "*** Begin Patch\n*** Add File: sub/planted\n+mine\n*** End Patch\n";
    let mut world = World::new();
    world.reply(Reply::script("ln -s ../elsewhere sub"));
    world.reply(Reply::shell(&["apply_patch", patch]));
    world.reply(Reply::message("done"));
    let victim = world.elsewhere.join("planted");
    let mut client = Client::new(world);
    let thread = client.thread(json!({
        "approvalPolicy": "untrusted", "sandbox": "workspace-write",
    }));
    let turn = client.turn(&thread, "go");
    for method in ["item/commandExecution/requestApproval", "item/fileChange/requestApproval"] {
        let asked = client.told(method);
        client.say(&json!({"id": asked["id"], "result": {"decision": "accept"}}));
    }
    client.ended(&turn);
    assert!(!victim.exists(), "{:?}", client.world.outputs());
    client.leave().0.exits(0);
}

#[test]
fn what_is_not_to_be_read_is_found_by_the_next_command() {
    for refused in [&outside::REFUSED_IN_CONTAINERS[..], &[]] {
        let mut world = scripted(&["mv deep other; mv deep/er deep/est", "cat */*/secret"]);
        world.file("deep/er/secret", "hidden-key");
        let filter =
            if refused.is_empty() { Vec::new() } else { outside::filter(libc::EPERM, refused) };
        let call = world.call(&words(&["-c", "sandbox_deny_read=[\"deep/er/secret\"]"]));
        let ended = world.run(Call { filter, ..call });
        ended.exits(0);
        let outputs = world.outputs();
        assert!(!outputs[1].contains("hidden-key"), "{outputs:?}");
    }
}
