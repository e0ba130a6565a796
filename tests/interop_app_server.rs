//! Programs that others wrote for the peer's app server, or its exec, drive ours, for real:
//! installed by pip or npm, run by python or node, against a scripted provider on the loopback.
//!
//! It takes a registry, so it runs only where `WINDLASS_INTEROP=1` asks for it.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use support::reply::{self, Reply};
use support::run::KEY;
use support::{World, node, outside};

/// Longest time for an installation, and for all turns of a client.
const DEADLINE: Duration = Duration::from_secs(300);

/// Serves the world's provider until a program has ended; gives what it wrote.
fn watch(world: &mut World, child: &mut Child, out: &Path) -> String {
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "it does not end");
        let mut polled = Vec::new();
        world.provider.watch(&mut polled);
        outside::poll(&mut polled, 5);
        world.provider.serve();
    };
    let said = fs::read_to_string(out).unwrap();
    assert!(status.success(), "{status}\n{said}");
    said
}

fn run(world: &mut World, command: &mut Command) -> String {
    let out = world.root.join("said");
    let file = File::create(&out).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    watch(world, &mut child, &out)
}

/// Installs a package, pinned, and runs a script with it and our binary under the peer's name.
fn drive(world: &mut World, package: &str, script: &str) -> Option<String> {
    drive_with(world, &[&[package]], script)
}

/// The same, of what several calls of pip install.
fn drive_with(world: &mut World, packages: &[&[&str]], script: &str) -> Option<String> {
    if !node::is_wanted(script) {
        return None;
    }
    let folder = world.root.join("packages");
    for packages in packages {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        pip.arg(&folder).args(*packages).current_dir(&world.cwd);
        run(world, &mut pip);
    }
    let mut python = Command::new("python3");
    python.arg(fixture(script)).env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(run_client(world, &mut python))
}

fn fixture(script: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop").join(script)
}

/// Runs a client where our binary has the peer's name, and is named by `AGENT` as well.
fn run_client(world: &mut World, client: &mut Command) -> String {
    let programs = world.root.join("programs");
    fs::create_dir_all(&programs).unwrap();
    let agent = programs.join("codex");
    symlink(env!("CARGO_BIN_EXE_windlass"), &agent).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    client.env("PATH", path).env("AGENT", &agent).current_dir(&world.cwd);
    client.env("WINDLASS_HOME", &world.home).env("CODEX_API_KEY", KEY);
    client.env("OPENAI_BASE_URL", world.provider.url());
    run(world, client)
}

#[test]
fn a_client_that_checks_every_message_understands_a_turn() {
    let mut world = World::new();
    world.reply(Reply::message("one two"));
    let package = "codex-python-sdk-unofficial==0.128.0";
    let Some(said) = drive(&mut world, package, "typed_client.py") else { return };
    for event in ["TurnStartedEvent", "AgentTextDeltaEvent two", "TurnCompletedEvent"] {
        assert!(said.contains(event), "{said}");
    }
}

#[test]
fn a_client_approves_a_command_and_talks_on() {
    let mut world = World::new();
    world.reply(Reply::escalated("touch zz")).reply(Reply::message("done"));
    world.reply(Reply::message("and more"));
    let package = "codex-agent-sdk==0.0.2";
    let Some(said) = drive(&mut world, package, "approving_client.py") else { return };
    assert_eq!(said, "done\nand more\n");
    assert!(world.cwd.join("zz").exists());
}

#[test]
fn a_client_streams_one_turn_and_waits_for_another() {
    let mut world = World::new();
    world.reply(Reply::message("one two")).reply(Reply::message("whole"));
    let package = "codex-app-server-client==0.1.0";
    let Some(said) = drive(&mut world, package, "streaming_client.py") else { return };
    assert!(said.contains("AgentMessageDeltaEvent\nAgentMessageDeltaEvent\n"), "{said}");
    assert!(said.ends_with("whole completed\n"), "{said}");
}

#[test]
fn the_official_client_understands_everything_that_it_asks_for() {
    let mut world = World::new();
    let call = json!({
        "command": ["bash", "-lc", "touch zz && echo ok"], "with_escalated_permissions": true,
        "justification": "need it?",
    });
    let call = reply::call("c1", "shell", &call.to_string());
    world.reply(Reply::items(&[reply::reasoning("think"), call]));
    for text in ["done now", r#"{"verdict":"fine"}"#, "more", "a summary"] {
        world.reply(Reply::message(text));
    }
    // Without what it depends on: a build of the peer's own binary.
    let packages: [&[&str]; 2] =
        [&["--no-deps", "openai-codex==0.163.0"], &["pydantic==2.14.3", "packaging==26.3"]];
    let Some(said) = drive_with(&mut world, &packages, "official_client.py") else { return };
    for line in [
        "models True True",
        "event turn/started ",
        "event item/completed userMessage",
        "event item/completed reasoning",
        "event item/started commandExecution",
        "event item/completed commandExecution",
        "event item/agentMessage/delta ",
        "event item/completed agentMessage",
        "event turn/completed ",
        r#"result {"verdict":"fine"} completed 120"#,
        "read a name ['completed', 'completed']",
        "listed [True]",
        "forked True",
        "resumed more",
        "end",
    ] {
        assert!(said.lines().any(|said| said == line), "no {line:?} in\n{said}");
    }
    assert!(world.cwd.join("zz").exists());
}

#[test]
fn a_client_calls_nearly_every_method() {
    let mut world = World::new();
    world.file("kept.txt", "");
    world.reply(Reply::message("one two")).reply(Reply::message("three"));
    let package = "codex-python-sdk==0.2.1";
    let Some(said) = drive(&mut world, package, "wrapping_client.py") else { return };
    for line in ["text one two", "loaded True", "said hi", "named a name", "found ['kept.txt']"] {
        assert!(said.lines().any(|said| said == line), "no {line:?} in\n{said}");
    }
    assert!(said.contains("item/agentMessage/delta"), "{said}");
}

#[test]
fn a_client_makes_a_model_of_it() {
    let mut world = World::new();
    world.reply(Reply::message(r#"{"type":"final","content":"one two"}"#));
    let package = "codex-client-provider==0.1.0";
    let Some(said) = drive(&mut world, package, "chain_client.py") else { return };
    assert_eq!(said, "one two 120\n");
}

#[test]
fn a_model_provider_drives_exec_and_the_server() {
    if !node::is_wanted("provider_client.mjs") {
        return;
    }
    let mut world = World::new();
    let packages = ["ai-sdk-provider-codex-cli@2.2.1", "--omit=optional"];
    let Some(modules) = node::installed(&world.root, "modules", &packages) else { return };
    world.reply(Reply::message("one"));
    world.reply(Reply::script("echo hello")).reply(Reply::message("two"));
    world.reply(Reply::message("three"));
    world.reply(Reply::escalated("touch zz")).reply(Reply::message("four"));
    world.reply(Reply::message(r#"{"verdict":"fine"}"#));
    let mut node = Command::new("node");
    node.arg(fixture("provider_client.mjs")).arg(modules).arg(env!("CARGO_BIN_EXE_windlass"));
    node.arg(&world.cwd);
    let said = run_client(&mut world, &mut node);
    for line in ["exec one", "models true", "server three", r#"server {"verdict":"fine"}"#] {
        assert!(said.lines().any(|said| said == line), "no {line:?} in\n{said}");
    }
    for part in ["tool-result:exec text-start", "tool-approval-request", "\"four\" text-end"] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    assert!(world.cwd.join("zz").exists());
}

#[test]
fn sdks_of_earlier_years_drive_exec() {
    if !node::is_wanted("sdk_older.mjs") {
        return;
    }
    for version in ["0.46.0", "0.63.0"] {
        let mut world = World::new();
        let packages = [&*format!("@openai/codex-sdk@{version}"), "--omit=optional"];
        let Some(modules) = node::installed(&world.root, "modules", &packages) else { return };
        world.reply(Reply::message("one")).reply(Reply::script("echo hello"));
        world.reply(Reply::message("two")).reply(Reply::message(r#"{"verdict":"fine"}"#));
        let mut node = Command::new("node");
        node.arg(fixture("sdk_older.mjs")).arg(modules).arg(env!("CARGO_BIN_EXE_windlass"));
        node.arg(&world.cwd);
        let said = run_client(&mut world, &mut node);
        let events = "events thread.started turn.started item.started:command_execution \
                      item.completed:command_execution item.completed:agent_message \
                      turn.completed";
        assert_eq!(said, format!("run one\n{events}\nresumed {{\"verdict\":\"fine\"}}\n"));
    }
}

#[test]
fn a_port_of_the_sdk_drives_exec() {
    let mut world = World::new();
    world.reply(Reply::message("one")).reply(Reply::message("two"));
    let Some(said) = drive(&mut world, "codex-sdk-py==0.0.9", "ported_sdk.py") else { return };
    assert_eq!(said, "run one 20\nagain two\n");
}
