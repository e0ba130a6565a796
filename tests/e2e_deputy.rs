//! What windlass does with its own rights, and commands that would have it do more than they may.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use support::World;
use support::reply::Reply;
use support::run::Call;

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
