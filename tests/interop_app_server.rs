//! Programs that others wrote for the peer's app server drive ours, for real: installed by pip,
//! run by python, against a scripted provider on the loopback.
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
use support::World;
use support::outside;
use support::reply::Reply;
use support::run::KEY;

/// Longest time for an installation, and for all turns of a client.
const DEADLINE: Duration = Duration::from_secs(120);

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
    if std::env::var("WINDLASS_INTEROP").as_deref() != Ok("1") {
        eprintln!("SKIPPED: {package} WAS NOT RUN; WINDLASS_INTEROP=1 asks for it");
        return None;
    }
    let (packages, programs) = (world.root.join("packages"), world.root.join("programs"));
    fs::create_dir_all(&programs).unwrap();
    symlink(env!("CARGO_BIN_EXE_windlass"), programs.join("codex")).unwrap();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    pip.arg(&packages).arg(package).current_dir(&world.cwd);
    run(world, &mut pip);
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut python = Command::new("python3");
    python.arg(fixtures.join(script)).current_dir(&world.cwd);
    python.env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1").env("PATH", path);
    python.env("WINDLASS_HOME", &world.home).env("CODEX_API_KEY", KEY);
    python.env("OPENAI_BASE_URL", world.provider.url());
    Some(run(world, &mut python))
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
    let arguments = json!({
        "command": ["bash", "-lc", "touch zz"], "with_escalated_permissions": true,
        "justification": "need it?",
    });
    world.reply(Reply::calls(&[("shell", arguments)]));
    world.reply(Reply::message("done")).reply(Reply::message("and more"));
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
