//! What the model sees of files: searches.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::World;
use support::reply::{self, Reply};

/// Lets the model make these calls in one response, and gives what it is told of them.
fn check(world: &mut World, calls: &[Value]) -> Vec<String> {
    world.reply(Reply::items(calls)).reply(Reply::message("done"));
    let ended = world.exec(&["--json", "--enable", "file_tools", "go"]);
    ended.exits(0);
    assert_eq!(ended.items("agent_message").last().unwrap()["text"], "done");
    world.outputs()
}

fn call(name: &str, arguments: Value) -> Value {
    reply::call("c1", name, &arguments.to_string())
}

fn is_offered(world: &World, name: &str) -> bool {
    let tools = world.requests().last().unwrap().body["tools"].as_array().unwrap();
    tools.iter().any(|tool| tool["name"] == name)
}

#[test]
fn files_are_searched() {
    let mut world = World::new();
    let source = world.file("src/a.rs", "fn needle() {}\n");
    world.file("src/b.txt", "needle\n");
    world.file("target/a.rs", "needle\n");
    world.file(".gitignore", "/target/\n");
    let search = |include: &str| json!({"pattern": r"\bneedle\b", "include": include, "path": "."});
    let calls = [
        call("grep_files", search("*.{rs,c}")),
        call("grep_files", search("*.py")),
        call("grep_files", json!({"pattern": "("})),
        call("grep_files", json!({"pattern": "a", "path": "gone"})),
    ];
    let outputs = check(&mut world, &calls);
    assert_eq!(outputs[0], source.to_str().unwrap());
    assert_eq!(outputs[1], "No matches found.");
    assert!(outputs[2].starts_with("pattern is not a regular expression"), "{}", outputs[2]);
    assert!(outputs[3].starts_with("failed to search"), "{}", outputs[3]);
    assert!(is_offered(&world, "grep_files"));
}

#[test]
fn a_login_is_not_searched() {
    let mut world = World::new();
    let path = world.home.join("auth.json");
    fs::write(&path, r#"{"OPENAI_API_KEY": "sk-stored-0123456789"}"#).unwrap();
    // A pattern that does not fit itself: the rollout holds it.
    let search = |path: Value| call("grep_files", json!({"pattern": "sk-[s]tored", "path": path}));
    let calls = [search(json!(world.home)), search(json!(path))];
    let outputs = check(&mut world, &calls);
    assert_eq!(outputs[0], "No matches found.");
    assert!(outputs[1].starts_with("failed to search"), "{}", outputs[1]);
}
