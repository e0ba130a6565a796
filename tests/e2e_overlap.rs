//! Commands that run at the same time, and control files that one of them changes.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::reply::Reply;
use support::run::{Call, Ended};
use support::{World, outside};

/// How long a call waits for a program that does not exit: ample for a few words, also under load.
const WORDS_MS: u64 = 1500;

const PLANT: &str = "mkdir -p .windlass; echo x > .windlass/config.toml; echo x > .git/hooks/late";

fn start(line: &str) -> (&'static str, Value) {
    ("exec_command", json!({"cmd": line, "login": false, "yield_time_ms": WORDS_MS}))
}

fn write(session: u32) -> (&'static str, Value) {
    let arguments = json!({"session_id": session, "chars": "\n", "yield_time_ms": 30_000});
    ("write_stdin", arguments)
}

/// Lets the model make these calls in a workspace with a repository, where namespaces are granted
/// or refused.
fn run(calls: &[(&str, Value)], refused: &[i64]) -> (World, Ended, Vec<String>) {
    let mut world = World::new();
    fs::create_dir_all(world.cwd.join(".git/hooks")).unwrap();
    fs::write(world.cwd.join(".git/config"), "[core]\n").unwrap();
    for call in calls {
        world.reply(Reply::calls(std::slice::from_ref(call)));
    }
    world.reply(Reply::message("done"));
    let filter =
        if refused.is_empty() { Vec::new() } else { outside::filter(libc::EPERM, refused) };
    let words = ["--json", "-s", "workspace-write", "--enable", "unified_exec", "go"];
    let call = Call { filter, ..world.call(&words) };
    let ended = world.run(call);
    ended.exits(0);
    let outputs = world.outputs();
    assert_eq!(outputs.len(), calls.len(), "{outputs:?}");
    (world, ended, outputs)
}

#[test]
fn what_a_session_planted_is_gone_with_the_last() {
    for refused in [&outside::REFUSED_IN_CONTAINERS[..], &[]] {
        let planting = format!("{PLANT}; echo planted; read line; exit 3");
        let calls =
            [start(&planting), start("ls .windlass; read line; exit 4"), write(0), write(1)];
        let (world, _, outputs) = run(&calls, refused);
        assert!(outputs[0].contains("planted"), "{outputs:?}");
        assert!(outputs[1].contains("config.toml"), "the other one finds it: {outputs:?}");
        assert!(outputs[2].contains("exited with code 3"), "{outputs:?}");
        assert!(outputs[3].contains("exited with code 4"), "{outputs:?}");
        assert!(!world.cwd.join(".windlass").exists());
        assert!(!world.cwd.join(".git/hooks/late").exists());
    }
}

/// The child of an agent that leads a session, as launchers do.
fn launcher_of(agent: i32) -> Option<i32> {
    let mut found = std::collections::BTreeMap::new();
    outside::descendants(agent, &mut found);
    let is_launcher = |pid: &i32| outside::stat(*pid).is_some_and(|stat| stat.parent == agent);
    found.into_keys().map(|identity| identity.pid).find(is_launcher)
}

#[test]
fn what_a_killed_supervisor_was_to_put_back_is_put_back() {
    for refused in [&outside::REFUSED_IN_CONTAINERS[..], &[]] {
        let mut world = World::new();
        fs::create_dir_all(world.cwd.join(".git/hooks")).unwrap();
        let line = format!("{PLANT}; setsid sleep 600 & echo x > planted; sleep 600");
        world.reply(Reply::shell(&["sh", "-c", &line]));
        world.reply(Reply::message("done"));
        let filter =
            if refused.is_empty() { Vec::new() } else { outside::filter(libc::EPERM, refused) };
        let words = ["--json", "-s", "workspace-write", "--skip-git-repo-check", "go"];
        let call = Call { filter, ..world.call(&words) };
        let mut run = world.start(call);
        let planted = world.cwd.join("planted");
        world.until(&mut run, "planted", |_, _| planted.exists());
        let launcher = launcher_of(run.pid()).unwrap();
        // SAFETY: kill takes integers; the launcher is alive, or its number is not taken anew yet.
        assert_eq!(unsafe { libc::kill(launcher, libc::SIGKILL) }, 0);
        // What the agent kills in its place may need a moment to be gone.
        run.leaves_something = true;
        let ended = world.finish(run);
        ended.exits(0);
        let output = &world.outputs()[0];
        assert!(output.contains("put back as before: "), "{output}");
        assert!(output.contains(".windlass"), "{output}");
        assert!(!world.cwd.join(".windlass").exists());
        assert!(!world.cwd.join(".git/hooks/late").exists());
    }
}
