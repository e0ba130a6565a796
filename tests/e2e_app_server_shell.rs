//! `thread/shellCommand`: the user's own command lines.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::World;
use support::client::Client;
use support::reply::Reply;
use windlass::limits::{COMMAND_TIMEOUT_MS_MAX, USER_COMMAND_BYTES_MAX};

const METHOD: &str = "thread/shellCommand";

/// Runs a line to its end; gives the item of the command as it began and ended, and its turn.
fn run(client: &mut Client, thread: &str, line: &str) -> (Value, Value, Value) {
    let from = client.lines.len();
    let answer = client.call(METHOD, json!({"threadId": thread, "command": line}));
    assert_eq!(answer, json!({}));
    ended(client, from)
}

fn ended(client: &mut Client, from: usize) -> (Value, Value, Value) {
    let started = client.told_after(from, "item/started")["params"]["item"].clone();
    let completed = client.told_after(from, "item/completed")["params"]["item"].clone();
    let turn = client.told_after(from, "turn/completed")["params"]["turn"].clone();
    (started, completed, turn)
}

/// What the last request to the model says in the user's name.
fn asked(client: &Client) -> String {
    client.world.requests().last().unwrap().body["input"].to_string()
}

#[test]
fn a_line_is_run_in_a_turn_of_its_own_and_the_model_sees_it_next() {
    let mut world = World::new();
    world.reply(Reply::message("I see"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({"sandbox": "read-only"}));
    let (started, completed, turn) = run(&mut client, &thread, "echo hi > made; cat made; pwd");
    assert_eq!(started["type"], "commandExecution");
    assert_eq!(
        (&started["source"], &started["status"]),
        (&json!("userShell"), &json!("inProgress"))
    );
    assert_eq!(started["cwd"], *client.world.cwd.to_str().unwrap());
    assert!(started["command"].as_str().unwrap().contains(" -lc "), "{started}");
    let output = format!("hi\n{}\n", client.world.cwd.to_str().unwrap());
    assert_eq!(completed["id"], started["id"]);
    assert_eq!(completed["aggregatedOutput"], *output);
    assert_eq!((&completed["exitCode"], &completed["status"]), (&json!(0), &json!("completed")));
    assert_eq!(turn["status"], "completed");
    assert!(client.world.requests().is_empty(), "no model is asked");
    assert!(client.world.cwd.join("made").exists(), "it is not confined");
    let turn = client.turn(&thread, "what did I do?");
    client.ended(&turn);
    let asked = asked(&client);
    assert!(asked.contains("<user_shell_command>"), "{asked}");
    assert!(asked.contains("echo hi > made") && asked.contains("Exit code: 0"), "{asked}");
    client.leave().0.exits(0);
}

#[test]
fn what_it_prints_is_told_as_it_comes() {
    let mut client = Client::new(World::new());
    let thread = client.thread(json!({}));
    let line = "echo one; until [ -e go ]; do sleep 0.01; done";
    client.call(METHOD, json!({"threadId": thread, "command": line}));
    let told = client.told("item/commandExecution/outputDelta");
    assert_eq!(told["params"]["delta"], "one\n");
    client.world.file("go", "");
    assert_eq!(client.told("turn/completed")["params"]["turn"]["status"], "completed");
    client.leave().0.exits(0);
}

#[test]
fn a_command_that_fails_or_takes_too_long_is_told_so() {
    let mut client = Client::new(World::new());
    let thread = client.thread(json!({}));
    let (_, completed, turn) = run(&mut client, &thread, "echo no >&2; exit 3");
    assert_eq!((&completed["exitCode"], &completed["status"]), (&json!(3), &json!("failed")));
    assert_eq!(completed["aggregatedOutput"], "no\n");
    assert_eq!(turn["status"], "completed");
    let from = client.lines.len();
    let line = "echo begun; exec sleep 600";
    client.call(METHOD, json!({"threadId": thread, "command": line, "timeoutMs": 300}));
    let (_, completed, turn) = ended(&mut client, from);
    assert_eq!((&completed["exitCode"], &completed["status"]), (&json!(124), &json!("failed")));
    let output = completed["aggregatedOutput"].as_str().unwrap();
    assert!(output.contains("timed out after 300 milliseconds"), "{output}");
    assert_eq!(turn["status"], "completed");
    client.leave().0.exits(0);
}

#[test]
fn an_interrupt_stops_it_and_a_turn_has_it_alone() {
    let mut client = Client::new(World::new());
    let thread = client.thread(json!({}));
    let params = json!({"threadId": thread, "command": "echo begun; exec sleep 600"});
    client.call(METHOD, params.clone());
    client.told("item/commandExecution/outputDelta");
    let error = client.refused(METHOD, params);
    assert_eq!(error["code"], -32600);
    assert!(error["message"].as_str().unwrap().starts_with("a turn is running"), "{error}");
    let turn = client.told("turn/started")["params"]["turn"]["id"].clone();
    client.call("turn/interrupt", json!({"threadId": thread, "turnId": turn}));
    let (_, completed, turn) = ended(&mut client, 0);
    assert_eq!(completed["status"], "failed");
    assert_eq!(completed["aggregatedOutput"], "begun\n");
    assert_eq!(turn["status"], "interrupted");
    client.leave().0.exits(0);
}

#[test]
fn what_came_of_it_is_known_after_a_resume() {
    let mut client = Client::new(World::new());
    let thread = client.thread(json!({}));
    run(&mut client, &thread, "echo remembered");
    let (ended, mut world) = client.leave();
    ended.exits(0);
    world.reply(Reply::message("yes"));
    let mut client = Client::new(world);
    let resumed = client.call("thread/resume", json!({"threadId": thread}));
    let item = &resumed["thread"]["turns"][0]["items"][0];
    assert_eq!((&item["type"], &item["source"]), (&json!("commandExecution"), &json!("userShell")));
    assert!(item["command"].as_str().unwrap().ends_with("'echo remembered'"), "{item}");
    assert_eq!((&item["exitCode"], &item["status"]), (&json!(0), &json!("completed")));
    assert_eq!(item["aggregatedOutput"], "remembered\n");
    let turn = client.turn(&thread, "do you know it?");
    client.ended(&turn);
    let asked = asked(&client);
    assert!(asked.contains("<user_shell_command>"), "{asked}");
    assert!(asked.contains("Output:\\nremembered\\n"), "{asked}");
    client.leave().0.exits(0);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let mut client = Client::new(World::new());
    let thread = client.thread(json!({}));
    let long = "x".repeat(USER_COMMAND_BYTES_MAX + 1);
    for (more, text) in [
        (json!({"command": " "}), "empty"),
        (json!({"command": "a\u{0}b"}), "NUL"),
        (json!({"command": long}), "larger than"),
        (json!({"command": "ls", "timeoutMs": 0}), "timeoutMs"),
        (json!({"command": "ls", "timeoutMs": -1}), "timeoutMs"),
        (json!({"command": "ls", "timeoutMs": COMMAND_TIMEOUT_MS_MAX + 1}), "timeoutMs"),
        (json!({"command": "ls", "threadId": "no"}), "thread"),
    ] {
        let mut params = json!({"threadId": thread});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = client.refused(METHOD, params);
        assert_eq!(error["code"], -32600);
        assert!(error["message"].as_str().unwrap().contains(text), "{error}");
    }
    client.leave().0.exits(0);
}
