//! The limits of an account: read from replies, kept in rollouts, shown to people.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::World;
use support::reply::Reply;

/// 2096-10-02 07:06:40 UTC.
const RESETS_AT: u64 = 4_000_000_000;

const SHOWN: &str = "\nlimits\n5h: 12.5% used, resets at Oct 2nd, 2096 7:06 AM\n7d: 5% used\n";

fn world() -> World {
    let mut world = World::new();
    world.set_env("TZ", "UTC");
    world
}

fn limited(reply: Reply) -> Reply {
    reply
        .header("x-codex-primary-used-percent", "12.5")
        .header("x-codex-primary-window-minutes", "300")
        .header("x-codex-primary-reset-at", &RESETS_AT.to_string())
        .header("x-codex-secondary-used-percent", "5")
        .header("x-codex-secondary-window-minutes", "10080")
        .header("x-codex-secondary-reset-after-seconds", "120")
}

fn limits() -> Value {
    json!({
        "primary": {"used_percent": 12.5, "window_minutes": 300, "resets_at": RESETS_AT},
        "secondary": {"used_percent": 5.0, "window_minutes": 10_080, "resets_at": null},
    })
}

/// What was counted, and of what limits, in order.
fn counts(world: &World) -> Vec<(Value, Value)> {
    let records = world.records().into_iter();
    let counts = records.filter(|record| record["payload"]["type"] == "token_count");
    let told = |mut record: Value| {
        let payload = &mut record["payload"];
        (payload["info"]["total_token_usage"]["total_tokens"].take(), payload["rate_limits"].take())
    };
    counts.map(told).collect()
}

#[test]
fn limits_are_recorded_as_they_come_and_outlive_the_process() {
    let mut world = world();
    world.reply(limited(Reply::message("one")));
    let ended = world.exec(&["go"]);
    ended.exits(0);
    assert!(ended.stderr.contains(SHOWN), "{}", ended.stderr);
    let [early, late] = counts(&world).try_into().unwrap();
    assert_eq!(early, (Value::Null, limits()), "before anything was counted");
    assert_eq!((late.0.is_u64(), late.1), (true, limits()));
    world.reply(Reply::message("two"));
    let ended = world.exec(&["resume", "--last", "go on"]);
    ended.exits(0);
    assert!(ended.stderr.contains(SHOWN), "the moment is the same: {}", ended.stderr);
    assert_eq!(counts(&world).pop().unwrap().1, limits());
}

#[test]
fn a_limit_that_is_used_up_says_when_it_resets_and_is_not_tried_again() {
    let mut world = world();
    let body = json!({"error": {
        "type": "usage_limit_reached",
        "message": "Try again in 3 days.",
        "plan_type": "team",
        "resets_at": RESETS_AT,
    }});
    world.reply(limited(Reply::status(429, &body.to_string())).header("Retry-After", "1"));
    let ended = world.run(world.call(&["--json", "go"]).retrying(4, 5));
    ended.exits(1);
    let lines = ended.lines();
    let message = lines.last().unwrap()["error"]["message"].as_str().unwrap();
    let told = "usage limit reached: ask your admin for more, or try again at \
                Oct 2nd, 2096 7:06 AM";
    assert_eq!(message, told);
    assert_eq!(world.requests().len(), 1);
    assert_eq!(counts(&world), [(Value::Null, limits())]);
    // What was learnt is shown with the next session that goes on.
    world.reply(Reply::message("one"));
    let ended = world.exec(&["resume", "--last", "go on"]);
    assert!(ended.stderr.contains(SHOWN), "{}", ended.stderr);
}

#[test]
fn resets_of_the_old_relative_form_are_not_shown() {
    let mut world = world();
    world.reply(limited(Reply::message("one")));
    world.exec(&["go"]).exits(0);
    let path = &world.rollouts()[0];
    let text = fs::read_to_string(path).unwrap();
    let absolute = format!("\"resets_at\":{RESETS_AT}");
    assert!(text.contains(&absolute));
    fs::write(path, text.replace(&absolute, "\"resets_in_seconds\":120")).unwrap();
    world.reply(Reply::message("two"));
    let ended = world.exec(&["resume", "--last", "go on"]);
    let shown = "\nlimits\n5h: 12.5% used\n7d: 5% used\n";
    assert!(ended.stderr.contains(shown), "{}", ended.stderr);
}

#[test]
fn an_account_without_known_limits_is_told_so() {
    let mut world = world();
    let tokens = r#"{"id_token": "a.e30.c", "access_token": "at-0123456789",
        "refresh_token": "rt", "account_id": "acc-7"}"#;
    let auth = format!(r#"{{"OPENAI_API_KEY": null, "tokens": {tokens}}}"#);
    fs::write(world.home.join("auth.json"), auth).unwrap();
    let mut call = world.call(&["go"]).without("CODEX_API_KEY");
    call.words[0] = "doctor".into();
    call.words.truncate(1);
    let ended = world.run(call);
    let early = "limits      usage appears once a message has been sent\n";
    assert!(ended.stdout.contains(early), "{}", ended.stdout);
    world.reply(Reply::message("one"));
    let ended = world.run(world.call(&["go"]).without("CODEX_API_KEY"));
    ended.exits(0);
    assert!(ended.stderr.contains("\nlimits\nnot available yet\n"), "{}", ended.stderr);
    // A key has no such limits.
    world.reply(Reply::message("two"));
    let ended = world.exec(&["go"]);
    assert!(!ended.stderr.contains("\nlimits\n"), "{}", ended.stderr);
}
