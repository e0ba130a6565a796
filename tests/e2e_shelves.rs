//! `sessions`: the built binary lists what was recorded, puts it away, brings it back, deletes it.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::Value;
use support::World;
use support::reply::Reply;
use support::run::{Ended, Stdin};

/// A world with as many sessions, which asked `ask 1`, `ask 2` and so on; their ids.
fn recorded(count: usize) -> (World, Vec<String>) {
    let mut world = World::new();
    let mut ids = Vec::new();
    for number in 1..=count {
        world.reply(Reply::message("done"));
        ids.push(world.exec(&["--json", &format!("ask {number}")]).exits(0).thread());
    }
    (world, ids)
}

fn sessions(world: &mut World, words: &[&str]) -> Ended {
    let mut call = world.call(words);
    call.words[0] = "sessions".into();
    world.run(call)
}

/// What a list shows as JSON: what was asked first, and where it goes on.
fn listed(world: &mut World, words: &[&str]) -> (Vec<String>, Option<String>) {
    let ended = sessions(world, &[&["list", "--json"], words].concat());
    ended.exits(0);
    let page: Value = serde_json::from_str(&ended.stdout).unwrap();
    let data = page["data"].as_array().unwrap();
    let asked = data.iter().map(|session| session["preview"].as_str().unwrap().to_owned());
    (asked.collect(), page["nextCursor"].as_str().map(str::to_owned))
}

#[test]
fn what_was_recorded_is_listed_in_pages_and_by_filters() {
    let (mut world, ids) = recorded(3);
    let (all, next) = listed(&mut world, &[]);
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!((sorted.join(","), next), ("ask 1,ask 2,ask 3".to_owned(), None));
    let (first, next) = listed(&mut world, &["--limit", "2"]);
    let (rest, end) = listed(&mut world, &["--cursor", &next.unwrap()]);
    assert_eq!(([first, rest].concat(), end), (all, None));
    let cwd = world.cwd.to_string_lossy().into_owned();
    assert_eq!(listed(&mut world, &["--cwd", &cwd]).0.len(), 3);
    assert_eq!(listed(&mut world, &["--cwd", "."]).0.len(), 3);
    assert_eq!(listed(&mut world, &["--cwd", "/"]).0.len(), 0);
    assert_eq!(listed(&mut world, &["--search", "ASK 2"]).0, ["ask 2"]);
    assert_eq!(listed(&mut world, &["--provider", "other"]).0.len(), 0);
    assert_eq!(listed(&mut world, &["--archived"]).0.len(), 0);
    world.reply(Reply::message("done"));
    world.exec(&["resume", &ids[0], "go on"]).exits(0);
    let (first, next) = listed(&mut world, &["--sort", "updated", "--limit", "1"]);
    let next = next.unwrap();
    assert_eq!(first, ["ask 1"], "what was touched last");
    let (rest, _) = listed(&mut world, &["--sort", "updated", "--cursor", &next]);
    assert_eq!(rest, ["ask 3", "ask 2"]);
    sessions(&mut world, &["list", "--cursor", &next]).exits(1);
    let ended = sessions(&mut world, &["list", "--search", "ask 3"]);
    let fields: Vec<&str> = ended.exits(0).stdout.trim_end().split('\t').collect();
    assert_eq!((fields[0], fields[2], fields[3]), (&*ids[2], &*cwd, "ask 3"));
    let ended = sessions(&mut world, &["list", "--limit", "1"]);
    assert!(ended.exits(0).stderr.contains("--cursor '20"), "{ended}");
    let ended = sessions(&mut world, &["list", "--cursor", "x"]);
    assert!(ended.exits(1).stderr.contains("--cursor takes"), "{ended}");
}

#[test]
fn a_terminal_gets_columns_that_fit() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    world.exec(&[&"many words ".repeat(50)]).exits(0);
    for columns in [50, 100, 160] {
        let mut call = world.call(&["list"]).on_terminal(columns).with_stdout();
        call.words[0] = "sessions".into();
        let ended = world.run(call);
        ended.exits(0);
        let longest = ended.stderr.lines().map(|line| line.trim_end().len()).max().unwrap();
        assert!(longest <= usize::from(columns) && longest > 40, "{ended}");
    }
}

#[test]
fn a_session_is_archived_and_comes_back() {
    let (mut world, ids) = recorded(2);
    let before = world.rollouts();
    sessions(&mut world, &["archive", &ids[0]]).exits(0);
    assert_eq!(listed(&mut world, &[]).0, ["ask 2"]);
    assert_eq!(listed(&mut world, &["--archived"]).0, ["ask 1"]);
    let ended = world.exec(&["resume", &ids[0], "go on"]);
    assert!(ended.exits(1).stderr.contains("is archived; `windlass sessions unarchive"), "{ended}");
    let ended = sessions(&mut world, &["archive", &ids[0]]);
    assert!(ended.exits(1).stderr.contains("no session here has the id"), "{ended}");
    sessions(&mut world, &["unarchive", "--last"]).exits(0);
    assert_eq!(world.rollouts(), before);
    world.reply(Reply::message("gone on"));
    world.exec(&["resume", &ids[0], "go on"]).exits(0);
    let path = before[0].to_string_lossy().into_owned();
    sessions(&mut world, &["archive", &path]).exits(0);
    sessions(&mut world, &["archive", "--last"]).exits(0);
    assert!(world.rollouts().is_empty());
    assert_eq!(fs::read_dir(world.home.join("archived_sessions")).unwrap().count(), 2);
}

#[test]
fn nothing_is_deleted_unasked() {
    let (mut world, ids) = recorded(2);
    let ended = sessions(&mut world, &["delete", &ids[0]]);
    assert!(ended.exits(1).stderr.contains("add --yes"), "{ended}");
    for (answer, left, code) in [("n\n", 2, 1), ("\n", 2, 1), ("y\n", 1, 0)] {
        let mut call = world.call(&["delete", &ids[0]]).on_terminal(200);
        call.words[0] = "sessions".into();
        call.stdin = Stdin::From(call.terminal());
        let mut run = world.start(call);
        world.until(&mut run, "it asks", |_, run| run.told().contains("[y/N]"));
        run.type_in(answer);
        world.finish(run).exits(code);
        assert_eq!(world.rollouts().len(), left, "{answer:?}");
    }
    sessions(&mut world, &["archive", &ids[1]]).exits(0);
    sessions(&mut world, &["delete", "--yes", &ids[1]]).exits(0);
    assert_eq!(fs::read_dir(world.home.join("archived_sessions")).unwrap().count(), 0);
    let outside = world.file("notes.jsonl", "{}");
    sessions(&mut world, &["delete", "-y", outside.to_str().unwrap()]).exits(1);
    assert!(outside.exists());
}

#[test]
fn a_session_in_use_stays_where_it_is() {
    let mut world = World::new();
    world.reply(Reply::message("hold on").held());
    let mut first = world.start(world.call(&["--json", "first"]));
    world.until(&mut first, "a request", |world, _| !world.requests().is_empty());
    for words in [&["archive", "--last"][..], &["delete", "--last", "--yes"]] {
        let ended = sessions(&mut world, words);
        assert!(ended.exits(1).stderr.contains("in use by another process"), "{ended}");
    }
    assert_eq!(listed(&mut world, &[]).0, ["first"], "who only reads is not held up");
    world.provider.is_released = true;
    world.finish(first).exits(0);
}
