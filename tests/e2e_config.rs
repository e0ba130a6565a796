//! Settings from everywhere, as the binary uses them.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::World;
use support::reply::Reply;
use support::run::Ended;

/// Runs a call whose program of `notify` may outlive it for a moment.
fn run_and_wait(world: &mut World, script: &str, prompt: &str) -> Ended {
    let notify = json!(["sh", "-c", script, "sh"]).to_string();
    let call = world.call(&["--json", prompt]).set(&format!("notify={notify}"));
    let mut run = world.start(call);
    run.leaves_something = true;
    world.finish(run)
}

#[test]
fn a_program_is_told_of_a_completed_turn() {
    let mut world = World::new();
    world.reply(Reply::message("all done"));
    let told = world.elsewhere.join("told");
    let script = format!("printf %s \"$1\" > {0}.new; mv {0}.new {0}", told.display());
    let ended = run_and_wait(&mut world, &script, "do it");
    ended.exits(0);
    let told: Value = serde_json::from_slice(&fs::read(told).unwrap()).unwrap();
    let expected = json!({
        "type": "agent-turn-complete",
        "thread-id": ended.thread(),
        "turn-id": "1",
        "cwd": world.cwd,
        "input-messages": ["do it"],
        "last-assistant-message": "all done",
    });
    assert_eq!(told, expected);
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_longest_turn_fits_into_its_argument() {
    let mut world = World::new();
    let long = "\u{1}".repeat(100_000);
    world.reply(Reply::message(&long));
    let told = world.elsewhere.join("told");
    let ended = run_and_wait(&mut world, &format!("printf %s \"$1\" > {}", told.display()), &long);
    ended.exits(0);
    let text = fs::read(told).unwrap();
    assert!((100_000..131_072).contains(&text.len()), "{}\n{}", text.len(), ended.stderr);
    let told: Value = serde_json::from_slice(&text).unwrap();
    assert!(told["input-messages"][0].as_str().unwrap().ends_with('…'));
}

#[test]
fn a_program_that_hangs_and_talks_holds_nobody_up() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    let (about, go) = (world.elsewhere.join("about"), world.elsewhere.join("go"));
    let script = format!(
        "read -r pid _ _ _ _ session _ < /proc/self/stat
         echo out; echo err >&2; read -r line && line=read
         echo \"$((pid == session)) ${{line:-nothing}}\" > {about}
         while ! [ -e {go} ]; do sleep 0.01; done",
        about = about.display(),
        go = go.display(),
    );
    let notify = json!(["sh", "-c", script]).to_string();
    fs::write(world.home.join("config.toml"), format!("notify = {notify}\n")).unwrap();
    let mut run = world.start(world.call(&["go"]));
    run.leaves_something = true;
    while !run.has_exited() || !about.exists() {
        world.step(&mut run);
    }
    fs::write(go, "").unwrap();
    let ended = run.finish();
    ended.exits(0);
    assert_eq!(fs::read_to_string(about).unwrap(), "1 nothing\n");
    assert!(!ended.stdout.contains("out") && !ended.stderr.contains("err\n"), "{ended}");
}

#[test]
fn a_program_that_is_not_there_is_a_warning() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    let call = world.call(&["--json", "go"]).set("notify=[\"/no/such/program\"]");
    let ended = world.run(call);
    ended.exits(0);
    let expected = "warning: notify: /no/such/program was not started: No such file";
    assert!(ended.stderr.contains(expected), "{ended}");
    assert!(!Path::new("/no/such/program").exists());
}

#[test]
fn a_turn_that_fails_is_not_told_of() {
    let mut world = World::new();
    world.reply(Reply::status(400, "{\"error\":{\"message\":\"no\"}}"));
    let call = world.call(&["--json", "go"]).set("notify=[\"/no/such/program\"]");
    let ended = world.run(call);
    ended.exits(1);
    assert!(!ended.stderr.contains("notify"), "{ended}");
}
