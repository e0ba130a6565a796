//! The TypeScript SDK of the peer drives the binary, for real: installed by npm, run by node,
//! against a scripted provider on the loopback.
//!
//! It takes a registry, so it runs only where `WINDLASS_INTEROP=1` asks for it.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::node;

/// The SDK that is driven; pinned, so that a release of theirs fails no build of ours.
const SDK: &str = "@openai/codex-sdk@0.163.0";

/// What a call of node came to: everything the script told.
struct Told {
    value: Value,
    work: PathBuf,
}

/// Installs the SDK, without the peer's own binary, and lets the script drive ours.
fn drive(scratch: &Path) -> Told {
    let mut npm = Command::new("npm");
    npm.args(["install", SDK, "--omit=optional", "--ignore-scripts", "--no-package-lock"])
        .args(["--no-audit", "--no-fund", "--prefix"])
        .arg(scratch);
    node::run(&mut npm, scratch).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop/sdk.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(scratch).arg(env!("CARGO_BIN_EXE_windlass")).arg(scratch);
    let told = node::run(&mut node, scratch).unwrap();
    Told { value: serde_json::from_str(&told).unwrap(), work: scratch.join("work") }
}

impl Told {
    fn events(&self, name: &str) -> &[Value] {
        self.value[name].as_array().unwrap()
    }

    /// Events by their types, items by their own.
    fn types(&self, name: &str) -> Vec<String> {
        let name_of = |event: &Value| {
            let kind = event["type"].as_str().unwrap();
            match event["item"]["type"].as_str() {
                Some(item) => format!("{kind} {item}"),
                None => kind.to_owned(),
            }
        };
        self.events(name).iter().map(name_of).collect()
    }

    fn request(&self, index: usize) -> &Value {
        &self.value["requests"][index]
    }

    /// The text of the user's last message in a request, and the images before it.
    fn prompt(&self, index: usize) -> &Value {
        self.request(index)["input"].as_array().unwrap().last().unwrap()
    }
}

#[test]
fn the_sdk_drives_a_turn_with_all_that_it_offers() {
    if std::env::var("WINDLASS_INTEROP").as_deref() != Ok("1") {
        eprintln!("SKIPPED: THE SDK WAS NOT DRIVEN; WINDLASS_INTEROP=1 asks for it");
        return;
    }
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap();
    let scratch = base.join(format!("interop-{}", std::process::id()));
    // What an earlier process of the same number left behind.
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).unwrap();
    let told = drive(&scratch);
    check_tools(&told);
    check_goes_on(&told);
    check_fails(&told);
    check_given_up(&told);
    fs::remove_dir_all(&scratch).unwrap();
}

fn check_tools(told: &Told) {
    let expected = [
        "thread.started",
        "turn.started",
        "item.completed reasoning",
        "item.completed agent_message",
        "item.started command_execution",
        "item.completed command_execution",
        "item.started todo_list",
        "item.started file_change",
        "item.completed file_change",
        "item.completed agent_message",
        "item.completed todo_list",
        "turn.completed",
    ];
    assert_eq!(told.types("tools"), expected);
    let events = told.events("tools");
    assert_eq!(events[0]["thread_id"], told.value["id"]);
    assert_eq!(
        events[5]["item"],
        json!({
            "id": "item_2", "type": "command_execution", "command": "bash -c 'echo hello; exit 3'",
            "aggregated_output": "hello\n", "exit_code": 3, "status": "failed",
        })
    );
    assert_eq!(events[4]["item"]["id"], "item_2");
    assert_eq!(events[4]["item"]["exit_code"], Value::Null);
    let path = |name: &str| told.work.join(name).to_string_lossy().into_owned();
    let changes = json!([
        {"path": path("new.txt"), "kind": "add"}, {"path": path("old.txt"), "kind": "update"},
    ]);
    assert_eq!(events[7]["item"]["status"], "in_progress");
    assert_eq!(events[8]["item"]["changes"], changes);
    assert_eq!(events[8]["item"]["status"], "completed");
    let usage = json!({
        "input_tokens": 500, "cached_input_tokens": 200, "cache_write_input_tokens": 0,
        "output_tokens": 100, "reasoning_output_tokens": 25,
    });
    assert_eq!(events[11]["usage"], usage);
    assert_eq!(fs::read_to_string(told.work.join("old.txt")).unwrap(), "b\n");
    let request = told.request(0);
    assert_eq!(request["model"], "gpt-5.1-codex");
    assert_eq!(request["reasoning"]["effort"], "high");
    assert_eq!(told.prompt(0)["content"][0]["text"], "do it");
    let headers = &told.value["headers"][0];
    assert_eq!(headers["originator"], "codex_sdk_ts");
    assert_eq!(headers["authorization"], "Bearer sk-of-the-test-0123456789");
}

fn check_goes_on(told: &Told) {
    assert_eq!(told.events("image")[0]["thread_id"], told.value["id"]);
    assert_eq!(told.events("image")[2]["item"]["text"], r#"{"verdict":"fine"}"#);
    let content = told.prompt(5)["content"].as_array().unwrap();
    let url = content[0]["image_url"].as_str().unwrap();
    assert!(url.starts_with("data:image/png;base64,"), "{url}");
    assert_eq!(content[1]["text"], "what is it?\n\nsay shortly");
    let format = &told.request(5)["text"]["format"];
    assert_eq!(format["type"], "json_schema");
    assert_eq!(format["schema"]["required"], json!(["verdict"]));
    let resumed = &told.value["resumed"];
    assert_eq!(resumed["finalResponse"], "Resumed");
    assert_eq!(resumed["items"].as_array().unwrap().len(), 1);
    assert_eq!(told.value["resumedId"], told.value["id"]);
    let (before, after) = (told.request(5), told.request(6));
    let (before, after) = (before["input"].as_array().unwrap(), after["input"].as_array().unwrap());
    assert_eq!(after[..before.len()], before[..], "the history goes on");
    assert_eq!(told.prompt(6)["content"][0]["text"], "and now?");
    assert!(told.request(6)["text"]["format"].is_null(), "the schema was for one turn");
}

fn check_fails(told: &Told) {
    let expected = ["thread.started", "turn.started", "error", "turn.failed", "thrown"];
    assert_eq!(told.types("failed"), expected);
    let events = told.events("failed");
    let message = events[3]["error"]["message"].as_str().unwrap();
    assert!(message.contains("nothing is scripted"), "{message}");
    assert_eq!(events[2]["message"], message);
    let thrown = events[4]["message"].as_str().unwrap();
    assert!(thrown.contains("code 1"), "{thrown}");
    assert_eq!(told.events("refused").len(), 4);
    for event in told.events("refused") {
        let thrown = event["message"].as_str().unwrap();
        assert!(thrown.contains("model_context_window"), "{thrown}");
    }
}

fn check_given_up(told: &Told) {
    for name in ["aborted", "silent"] {
        let thrown = told.events(name).last().unwrap();
        assert_eq!(thrown["type"], "thrown", "{name}");
        assert_eq!(thrown["name"], "AbortError", "{name}");
    }
    assert_eq!(told.value["whole"], "AbortError", "no failure of the model comes first");
    let pid = fs::read_to_string(told.work.join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(!process.exists(), "the command outlived its turn");
    assert_eq!(told.types("left").last().unwrap(), "item.started command_execution");
}
