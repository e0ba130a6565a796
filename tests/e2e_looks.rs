//! What the model sees of files: searches and images.

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

#[test]
fn an_image_is_seen_after_the_outputs() {
    let mut world = World::new();
    world.file("shots/a.png", b"\x89PNG\r\n");
    world.file("plain.png", "no image");
    let calls = [
        call("view_image", json!({"path": "shots/a.png"})),
        call("view_image", json!({"path": "plain.png"})),
        call("view_image", json!({"path": "gone.png"})),
        call("shell", json!({"command": ["true"]})),
    ];
    let outputs = check(&mut world, &calls);
    assert_eq!(outputs[0], "attached local image path");
    assert!(outputs[1].contains("not a PNG"), "{}", outputs[1]);
    assert!(outputs[2].contains("no such file"), "{}", outputs[2]);
    assert!(outputs[3].starts_with("Exit code: 0"), "{}", outputs[3]);
    let image = json!({"type": "message", "role": "user", "content": [
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0K"}]});
    let input = world.requests()[1].body["input"].as_array().unwrap();
    assert_eq!(input.last(), Some(&image));
    let records = world.records();
    let is_image = |record: &&Value| record["payload"] == image;
    assert_eq!(records.iter().filter(is_image).count(), 1, "it is recorded once");
    world.reply(Reply::message("still there"));
    world.exec(&["--json", "resume", "--last", "and now?"]).exits(0);
    let input = world.requests()[2].body["input"].as_array().unwrap();
    assert!(input.contains(&image), "it is remembered");
}

#[test]
fn the_largest_image_is_seen_in_bounded_memory() {
    let mut world = World::new();
    let mut bytes = b"\xff\xd8\xff".to_vec();
    bytes.resize(windlass::limits::VIEWED_IMAGE_BYTES_MAX, 7);
    world.file("large", &bytes);
    bytes.push(7);
    world.file("larger", &bytes);
    let view = |path: &str| call("view_image", json!({"path": path}));
    world.reply(Reply::items(&[view("large"), view("larger")])).reply(Reply::message("done"));
    let ended = world.exec(&["--json", "go"]);
    ended.exits(0);
    // The image as the child tells it, as JSON and in the history; never all its copies at once.
    assert!(ended.memory_kib < 64 << 10, "{} KiB", ended.memory_kib);
    let outputs = world.outputs();
    assert_eq!(outputs[0], "attached local image path");
    assert!(outputs[1].contains("scale it down"), "{}", outputs[1]);
    let input = world.requests()[1].body["input"].as_array().unwrap();
    let url = input.last().unwrap()["content"][0]["image_url"].as_str().unwrap();
    assert_eq!(url.len(), "data:image/jpeg;base64,".len() + bytes.len().div_ceil(3) * 4);
}

#[test]
fn images_are_offered_to_models_that_take_them() {
    let mut world = World::new();
    for (words, expected) in [
        (&["-m", "gpt-5.1-codex"][..], true),
        (&["-m", "gpt-5.1-codex", "--disable", "view_image_tool"], false),
        (&["-m", "some-new-model"], false),
        (&["-m", "some-new-model", "--enable", "view_image_tool"], true),
    ] {
        world.reply(Reply::message("hi"));
        world.exec(&[words, &["go"]].concat()).exits(0);
        assert_eq!(is_offered(&world, "view_image"), expected, "{words:?}");
    }
}
