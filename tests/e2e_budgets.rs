//! Budgets of a run: what is used up ends it cleanly, with a code of its own.

#![allow(clippy::unwrap_used)]

mod support;

use support::World;
use support::reply::Reply;

/// A model that never stops asking for commands, under these flags.
fn check(flags: &[&str], exit_code: i32, code: &str, requests_count: usize) {
    let mut world = World::new();
    for _ in 0..requests_count {
        world.reply(Reply::shell(&["echo", "hi"]));
    }
    let arguments: Vec<&str> = ["--json"].iter().chain(flags).chain(&["hi"]).copied().collect();
    let ended = world.exec(&arguments);
    ended.exits(exit_code);
    let last = ended.stdout.lines().last().unwrap();
    assert!(last.contains(&format!("\"code\":\"{code}\"")), "{ended}");
    assert_eq!(world.requests().len(), requests_count, "{ended}");
}

#[test]
fn requests_are_counted() {
    check(&["--max-turns", "2"], 4, "max_turns", 2);
}

#[test]
fn tokens_are_counted() {
    check(&["--max-tokens", "1"], 5, "max_tokens", 1);
}

#[test]
fn a_budget_of_nothing_is_not_understood() {
    let mut world = World::new();
    world.exec(&["--max-turns", "none", "hi"]).exits(2);
}
