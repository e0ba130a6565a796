//! `app-server`, as clients made for the peer call it: their flags, and what they ask for at their
//! start.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::World;
use support::client::Client;
use support::reply::Reply;

#[test]
fn flags_of_the_peer_are_taken_and_features_it_lacks_are_passed_over() {
    let mut world = World::new();
    world.reply(Reply::message("Hello"));
    let mut call = Client::plain_call(&world);
    let flags = [
        "--stdio",
        "--analytics-default-enabled",
        "--enable",
        "guardian_approval",
        "--disable",
        "apps",
    ];
    call.words.extend(flags.map(Into::into));
    call = call.set("web_search=\"live\"");
    let mut client = Client::of(world, call);
    client.call("initialize", json!({"clientInfo": {"name": "probe", "version": "1.0"}}));
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "hi");
    assert_eq!(client.ended(&turn)["status"], "completed");
    let (ended, _) = client.leave();
    ended.exits(0);
    for feature in ["guardian_approval", "apps"] {
        let line = format!("there is no feature \"{feature}\" here; going on without it\n");
        assert!(ended.stderr.contains(&line), "{}", ended.stderr);
    }
}

#[test]
fn features_it_lacks_are_refused_where_the_configuration_is_strict() {
    let world = World::new();
    let mut call = Client::plain_call(&world);
    call.words.extend(["--strict-config", "--enable", "guardian_approval"].map(Into::into));
    let mut world = world;
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stderr.contains("unknown feature \"guardian_approval\""), "{}", ended.stderr);
}

#[test]
fn what_there_is_none_of_is_answered_with_nothing() {
    let mut client = Client::silent(World::new());
    assert_eq!(client.refused("skills/list", json!({}))["message"], "Not initialized");
    client.call("initialize", json!({"clientInfo": {"name": "probe", "version": "1.0"}}));
    for method in ["skills/list", "hooks/list", "app/list", "collaborationMode/list"] {
        assert_eq!(client.call(method, json!({"cwds": ["/"]}))["data"], json!([]), "{method}");
    }
    assert_eq!(client.call("plugin/list", json!({}))["marketplaces"], json!([]));
    let requirements = client.call("configRequirements/read", Value::Null);
    assert_eq!(requirements, json!({"requirements": null}));
    client.leave().0.exits(0);
}
