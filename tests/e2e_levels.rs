//! How strongly commands are held, as a run says it: once, on stderr, and only if it is less than
//! all there is.

#![allow(clippy::unwrap_used)]

mod support;

use support::reply::Reply;
use support::run::{Call, Ended};
use support::{World, outside};

/// A run with two commands within a filter that answers these calls with an errno.
fn run(errno: i32, refused: &[i64], words: &[&str]) -> (Ended, World) {
    let mut world = World::new();
    world.reply(Reply::shell(&["true"])).reply(Reply::shell(&["true"]));
    world.reply(Reply::message("done"));
    let filter = if refused.is_empty() { Vec::new() } else { outside::filter(errno, refused) };
    let call = Call { filter, ..world.call(words) };
    let ended = world.run(call);
    (ended, world)
}

fn lines(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| line.starts_with("sandbox: ")).collect()
}

#[test]
fn what_is_less_than_full_is_told_once() {
    for words in [&["go"][..], &["--json", "go"]] {
        let (ended, _) = run(libc::EPERM, &outside::REFUSED_IN_CONTAINERS, words);
        ended.exits(0);
        let told: Vec<_> =
            lines(&ended).into_iter().filter(|line| line.contains("standard: ")).collect();
        let [line] = told.as_slice() else { panic!("{}", ended.stderr) };
        assert!(line.contains("not held: "), "{line}");
        assert!(!ended.stdout.contains("standard: "), "{}", ended.stdout);
    }
}

#[test]
fn a_system_without_a_sandbox_is_named_before_any_command() {
    let (ended, world) = run(libc::ENOSYS, &[libc::SYS_landlock_create_ruleset], &["--json", "go"]);
    ended.exits(0);
    let told: Vec<_> =
        lines(&ended).into_iter().filter(|line| line.starts_with("sandbox: none: ")).collect();
    assert_eq!(told.len(), 1, "{}", ended.stderr);
    for output in world.outputs() {
        assert!(output.contains("no Landlock in this kernel"), "{output}");
    }
    let (ended, _) = run(
        libc::ENOSYS,
        &[libc::SYS_landlock_create_ruleset],
        &["-s", "danger-full-access", "go"],
    );
    assert!(!ended.stderr.contains("sandbox: none"), "{}", ended.stderr);
}

#[test]
fn what_is_full_is_not_told() {
    if windlass_sandbox::probe().level() != Some(windlass_sandbox::Level::Full) {
        eprintln!("SKIPPED: this system grants no namespaces");
        return;
    }
    let (ended, _) = run(0, &[], &["--json", "go"]);
    ended.exits(0);
    assert_eq!(lines(&ended), [""; 0]);
}
