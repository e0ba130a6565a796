//! The table of children that run for calls, with real ones.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::Interest;
use windlass::core::effect::Stop;
use windlass::host::clock;
use windlass::host::poller::{Key, Kind, Poller};
use windlass::host::proc::Children;
use windlass::host::proc::child::Child;
use windlass::host::proc::launch::Starter;
use windlass::host::proc::overlap::Shared;
use windlass::words;
use windlass::words::call::{CommandPlan, Life};
use windlass::words::ids::OpId;
use windlass::words::policy::{Confinement, SandboxMode, SandboxPolicy};
use windlass::words::settings::ThreadSettings;

#[path = "../src/words/samples.rs"]
mod samples;

/// How long a test waits before it fails.
const PATIENCE_MS: u64 = 60_000;

/// Starts a command that tells its pid in a file, and then sleeps for longer than any test waits.
fn sleeping(place: &Path, op: OpId) -> Child {
    let exe = PathBuf::from(env!("CARGO_BIN_EXE_windlass"));
    let env = vec![("PATH".into(), std::env::var_os("PATH").unwrap())];
    let mut starter = Starter::new(exe.clone(), None, None, env).with_executable(exe);
    let cwd: Box<str> = place.to_str().unwrap().into();
    let sandbox = SandboxPolicy::of(SandboxMode::DangerFullAccess);
    let settings = ThreadSettings { cwd: cwd.clone(), sandbox, ..samples::settings() };
    let command = CommandPlan {
        argv: ["/bin/sh", "-c", "echo $$ > pid; exec sleep 600"].map(str::to_owned).into(),
        workdir: cwd,
        life: Life::Call { timeout_ms: 600_000 },
        escalation: None,
    };
    let shared = Shared { apart: None, look: None };
    starter.command(op, &command, &settings, Confinement::Unconfined, shared).unwrap()
}

/// Waits for something that processes do in their own time.
#[track_caller]
fn until(poller: &mut Poller, mut holds: impl FnMut() -> bool) {
    let until_ms = clock::mono_ms() + PATIENCE_MS;
    while !holds() {
        assert!(clock::mono_ms() < until_ms, "never");
        poller.sleep(Some(Duration::from_millis(5))).unwrap();
    }
}

#[test]
fn a_child_that_cannot_be_watched_is_ended() {
    let name = format!("windlass-children-{}", std::process::id());
    let place = std::env::temp_dir().canonicalize().unwrap().join(name);
    fs::create_dir_all(&place).unwrap();
    let (mut poller, mut children) = (Poller::new().unwrap(), Children::default());
    let op = OpId { slot: 0, generation: 0 };
    let child = sleeping(&place, op);
    let mut pid = 0;
    until(&mut poller, || {
        let told = fs::read_to_string(place.join("pid")).unwrap_or_default();
        pid = told.trim().parse().unwrap_or(0);
        pid != 0
    });

    // What is watched already is not watched a second time.
    let other = Key::new(Kind::Resolver, 0, 0);
    poller.register_fd(child.output_fd().unwrap(), other, Interest::READABLE).unwrap();
    let why = children.add(&poller, child).unwrap_err().to_string();
    assert!(why.starts_with("it cannot be watched: "), "{why}");
    assert!(children.has_room() && !children.stop(op, Stop::Kill));

    assert!(children.is_reaping());
    until(&mut poller, || {
        children.reap();
        !children.is_reaping()
    });
    until(&mut poller, || !Path::new(&format!("/proc/{pid}")).exists());
    fs::remove_dir_all(&place).unwrap();
}
