//! The exported TypeScript and JSON Schema, held against what others make of them: the compiler,
//! a validator, every message that the suite's stories exchange, and the peers' own exports.
//!
//! It takes a registry and node, so it runs only where `WINDLASS_INTEROP=1` asks for it.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use support::node;
use support::pattern::fits;
use windlass::fronts::app_server::schema::declared::{Kind, Shape, Space, Table};

/// What compiles and validates; pinned, so that a release of theirs fails no build of ours.
const TOOLS: [&str; 2] = ["typescript@7.0.2", "ajv@8.20.0"];

/// The peers whose own export ours is compared with, each for the protocol it speaks best.
const PEERS: [(&str, &str); 2] = [("v1", "0.58.0"), ("v2", "0.169.0")];

/// The suite's tests whose messages are looked at.
const STORIES: &str = "e2e_app_server*";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop").join(name)
}

/// A new folder with a name that no other test has.
fn scratch(name: &str) -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap();
    let scratch = base.join(format!("schema-{name}-{}", std::process::id()));
    // What an earlier process of the same number left behind.
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).unwrap();
    scratch
}

/// What the binary exports.
fn exported(scratch: &Path, command: &str) -> PathBuf {
    let folder = scratch.join(command);
    let mut windlass = Command::new(env!("CARGO_BIN_EXE_windlass"));
    windlass.args(["app-server", command, "--out"]).arg(&folder);
    node::run(&mut windlass, scratch).unwrap();
    folder
}

/// The file with the schema of each method's answer.
fn answers() -> Value {
    let table = Table::read();
    let mut files = Map::new();
    for declared in &table.declared {
        let Shape::Requests(methods) = &declared.shape else { continue };
        for method in methods {
            let Some(Kind::Named { second, name }) = &method.answer else { panic!("{method:?}") };
            let folder = match table.find(*second, name).unwrap().space {
                Space::Shared | Space::Approvals => "",
                Space::First => "v1/",
                Space::Second => "v2/",
            };
            files.insert(method.name.to_owned(), json!(format!("{folder}{name}.json")));
        }
    }
    Value::Object(files)
}

/// Runs the suite's stories once more and keeps their lines.
fn recorded(scratch: &Path) -> PathBuf {
    let lines = scratch.join("lines");
    fs::create_dir_all(&lines).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--quiet", "--test", STORIES]).current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.env("WINDLASS_LINES", &lines);
    // What cargo told this test of itself would make it build everything anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    node::run(&mut cargo, scratch).unwrap();
    lines
}

fn validated(tools: &Path, schemas: &Path, lines: &Path, typed: &Path) -> Value {
    let mut node = Command::new("node");
    node.arg(fixture("validate.mjs")).args([tools, schemas, lines]);
    node.arg(answers().to_string()).arg(typed);
    let said = node::run(&mut node, schemas.parent().unwrap()).unwrap();
    serde_json::from_str(&said).unwrap()
}

#[test]
fn all_that_is_said_fits_what_is_exported() {
    if !node::is_wanted("VALIDATING WHAT IS EXPORTED") {
        return;
    }
    let scratch = scratch("said");
    let Some(tools) = node::installed(&scratch, "tools", &TOOLS) else { return };
    let schemas = exported(&scratch, "generate-json-schema");
    let types = exported(&scratch, "generate-ts");
    let lines = recorded(&scratch);
    let found = validated(&tools, &schemas, &lines, &types.join("messages.ts"));
    assert_eq!(found["faults"], json!([]), "{found:#}");
    let checked = found["checked"].as_object().unwrap();
    println!("messages by their schemas: {found:#}");
    let count = |name: &str| checked.get(name).and_then(Value::as_u64).unwrap_or_default();
    for (name, least) in [("ServerNotification.json", 1000), ("EventMsg.json", 400)] {
        assert!(count(name) >= least, "{name}: {}", count(name));
    }
    assert!(checked.len() >= 45, "{checked:?}");
    node::compile(&tools, &types);
    check_faults(&tools, &schemas, &scratch);
    fs::remove_dir_all(&scratch).unwrap();
}

/// The validator finds what does not fit.
fn check_faults(tools: &Path, schemas: &Path, scratch: &Path) {
    let lines = scratch.join("faulty");
    fs::create_dir_all(&lines).unwrap();
    let asked = json!({"id": 1, "method": "turn/interrupt", "params": {"threadId": 7}});
    let archived = json!({"threadId": "a", "more": 1});
    let told = [
        json!({"id": 1, "result": {"undeclared": 1}}),
        json!({"method": "thread/archived", "params": archived}),
        json!({"method": "codex/event/warning", "params": {"msg": {"type": "warning"}}}),
    ];
    fs::write(lines.join("1.asked"), format!("{asked}\n")).unwrap();
    fs::write(lines.join("1.told"), told.map(|line| format!("{line}\n")).concat()).unwrap();
    let found = validated(tools, schemas, &lines, &scratch.join("messages.ts"));
    let faults = found["faults"].as_array().unwrap();
    let about = [
        "thread/archived:",
        "codex/event/warning:",
        "turn/interrupt:",
        "the result of turn/interrupt:",
    ];
    assert_eq!(faults.len(), about.len(), "{faults:#?}");
    for (fault, about) in faults.iter().zip(about) {
        assert!(fault.as_str().unwrap().starts_with(about), "{fault} is not about {about}");
    }
}

#[test]
fn clients_of_the_peers_find_what_they_know() {
    if !node::is_wanted("COMPARING WITH THE PEERS' SCHEMAS") {
        return;
    }
    let scratch = scratch("peers");
    let ours = exported(&scratch, "generate-json-schema");
    let mut found = Vec::new();
    for (protocol, version) in PEERS {
        let package = format!("@openai/codex@{version}");
        let Some(folder) = node::installed(&scratch, version, &[&package]) else { return };
        let theirs = exported_by_peer(&scratch, &folder);
        found.extend(compared(&scratch, &ours, &theirs, protocol));
    }
    println!("{} differences from the peers:\n{}", found.len(), found.join("\n"));
    let text = fs::read_to_string(fixture("accepted.txt")).unwrap();
    let is_pattern = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let accepted: Vec<&str> = text.lines().filter(is_pattern).collect();
    let unknown: Vec<_> =
        found.iter().filter(|found| !accepted.iter().any(|pattern| fits(pattern, found))).collect();
    assert!(unknown.is_empty(), "in no list: {unknown:#?}");
    let gone: Vec<_> =
        accepted.iter().filter(|pattern| !found.iter().any(|found| fits(pattern, found))).collect();
    assert!(gone.is_empty(), "in the list, but no longer there: {gone:#?}");
    fs::remove_dir_all(&scratch).unwrap();
}

/// What an installed peer exports, in a home of its own.
fn exported_by_peer(scratch: &Path, folder: &Path) -> PathBuf {
    let (home, out) = (folder.join("home"), folder.join("schemas"));
    fs::create_dir_all(&home).unwrap();
    let mut peer = Command::new(folder.join("node_modules/.bin/codex"));
    peer.args(["app-server", "generate-json-schema", "--out"]).arg(&out);
    peer.env("HOME", &home).env_remove("CODEX_HOME");
    node::run(&mut peer, scratch).unwrap();
    out
}

fn compared(scratch: &Path, ours: &Path, theirs: &Path, protocol: &str) -> Vec<String> {
    let bundle = "codex_app_server_protocol.schemas.json";
    let last = |file: &Value| {
        let name = file.as_str().unwrap().rsplit('/').next().unwrap();
        json!(name.strip_suffix(".json").unwrap())
    };
    let files = answers();
    let named =
        files.as_object().unwrap().iter().map(|(method, file)| (method.clone(), last(file)));
    let names: Map<String, Value> = named.collect();
    let mut node = Command::new("node");
    node.arg(fixture("compare.mjs")).args([ours.join(bundle), theirs.join(bundle)]);
    node.arg(protocol).arg(Value::Object(names).to_string());
    serde_json::from_str(&node::run(&mut node, scratch).unwrap()).unwrap()
}
