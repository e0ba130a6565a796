//! `app-server` under clients that say too much, read too little, or go away.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::client::Client;
use support::outside;
use support::reply::{self, End, Reply};
use support::{World, records_of, types_of};

/// What a server may take that has one thread and nothing to do, in KiB.
const BASE_KIB_MAX: u64 = 24 * 1024;

fn memory_kib(client: &Client) -> u64 {
    outside::status_kib(client.run.pid(), "VmRSS").unwrap()
}

#[test]
fn lines_that_are_no_messages_are_named_and_left_out() {
    let mut client = Client::new(World::new());
    let lines: [&[u8]; 9] = [
        b"this is no JSON",
        b"\xff\xfe",
        b"[1,2,3]",
        b"{\"id\":1}",
        b"{\"id\":{},\"method\":\"model/list\"}",
        b"{\"method\":7}",
        b"{\"id\":1,\"method\":\"model/list\",\"params\":{}",
        b"{\"id\":99,\"result\":{}}",
        b"",
    ];
    for line in lines {
        client.run.write_in(&[line, b"\n"].concat());
    }
    let deep = format!("{{\"id\":1,\"method\":\"x\",\"params\":{}", "[".repeat(100_000));
    client.run.write_in(format!("{deep}\n").as_bytes());
    client.call("model/list", json!({"limit": 1}));
    assert_eq!(client.lines.len(), 2, "{}", client.run.told());
    let (ended, _) = client.leave();
    let told = &ended.stderr;
    assert!(told.lines().count() >= 7, "{told}");
    assert!(told.lines().all(|line| line.starts_with("warning: a line of the client")), "{told}");
    assert!(told.len() < 4096, "{told}");
    ended.exits(0);
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let mut client = Client::new(World::new());
    client.call("model/list", json!({"limit": 1}));
    let before_kib = memory_kib(&client);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        client.run.write_in(&piece);
        let Client { world, run, .. } = &mut client;
        world.until(run, "it has read a piece", |_, run| run.unwritten_bytes() == 0);
    }
    client.run.write_in(b"\n");
    client.call("model/list", json!({"limit": 1}));
    // One line may be as long as a message gets, and is held twice while the room for it grows.
    let most_kib = 2 * windlass::limits::CLIENT_LINE_BYTES_MAX as u64 / 1024 + BASE_KIB_MAX;
    let (now_kib, peak_kib) = (memory_kib(&client), client.run.memory_kib());
    assert!(peak_kib < most_kib, "{before_kib} KiB at first, {peak_kib} KiB at most");
    assert!(now_kib < before_kib + 4096, "{before_kib} KiB became {now_kib} KiB");
    let Client { world, run, .. } = &mut client;
    world.until(run, "it has named the line", |_, run| run.stderr().contains("longer than"));
    client.leave().0.exits(0);
}

#[test]
fn a_thousand_requests_at_once_are_answered_in_order() {
    let mut client = Client::new(World::new());
    let from = client.lines.len();
    let mut all = String::new();
    for id in 0..1000 {
        let method = if id % 10 == 9 { "no/such/method" } else { "thread/loaded/list" };
        all += &format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":{{}}}}\n");
    }
    client.run.write_in(all.as_bytes());
    client.after(from, "the last answer", |line| line["id"] == 999);
    for (id, line) in client.lines[from..].iter().enumerate() {
        assert_eq!(line["id"], id);
        assert_eq!(line.get("error").is_some(), id % 10 == 9);
    }
    client.leave().0.exits(0);
}

#[test]
fn ids_that_come_again_are_answered_again() {
    let mut client = Client::new(World::new());
    let from = client.lines.len();
    let ids = [json!("one"), json!("one"), json!(7), json!(7), json!(-1), json!("")];
    for id in &ids {
        client.say(&json!({"id": id, "method": "thread/loaded/list", "params": {}}));
    }
    client.settle();
    let answered: Vec<&Value> = client.lines[from..].iter().map(|line| &line["id"]).collect();
    assert_eq!(answered, ids.iter().collect::<Vec<_>>());
    client.leave().0.exits(0);
}

#[test]
fn whoever_stops_reading_stops_the_streams_and_not_the_server() {
    let mut world = World::new();
    // What comes is many times what buffers take, and what is kept of it is not.
    let count = 6000;
    let mut delta = reply::delta(&"x".repeat(500));
    delta["padding"] = json!("x".repeat(3000));
    let mut pieces = vec![reply::sse(&reply::created())];
    pieces.extend(std::iter::repeat_n(reply::sse(&delta), count));
    pieces.push(reply::sse(&reply::done(&reply::message("whole"))));
    pieces.push(reply::sse(&reply::completed()));
    world.reply(Reply::raw(pieces.concat()));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    client.run.is_reading = false;
    client.world.pass(&mut client.run, Duration::from_millis(1500));
    let (left, first_kib) = (client.world.provider.pending_bytes(), memory_kib(&client));
    assert!(left > 5_000_000, "it goes on reading: {left} bytes are left");
    // Requests wait like everything else.
    let id = client.ask("thread/loaded/list", json!({}));
    client.world.pass(&mut client.run, Duration::from_millis(500));
    assert_eq!(client.world.provider.pending_bytes(), left);
    assert_eq!(memory_kib(&client), first_kib);
    assert!(first_kib < BASE_KIB_MAX + 4096, "{first_kib} KiB");
    client.run.is_reading = true;
    client.result(&id);
    assert_eq!(client.ended(&turn)["status"], "completed");
    let is_delta = |line: &&Value| line["method"] == "item/agentMessage/delta";
    assert_eq!(client.lines.iter().filter(is_delta).count(), count);
    client.leave().0.exits(0);
}

#[test]
fn a_client_that_goes_away_in_mid_question_runs_nothing() {
    let mut world = World::new();
    world.reply(Reply::escalated("touch zz"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({"approvalPolicy": "on-request"}));
    client.turn(&thread, "go");
    client.told("item/commandExecution/requestApproval");
    let (ended, world) = client.leave();
    ended.exits(0);
    assert!(!world.cwd.join("zz").exists());
    let types = types_of(&world.records());
    assert_eq!(types.last().unwrap(), "event_msg/turn_aborted", "{types:?}");
}

#[test]
fn a_turn_that_is_left_is_recorded_whole() {
    let mut world = World::new();
    world.reply(Reply::script("sleep 60"));
    world.reply(Reply::beginning("Hel"));
    let mut client = Client::new(world);
    let threads: Vec<String> = (0..2).map(|_| client.thread(json!({}))).collect();
    for thread in &threads {
        client.turn(thread, "go");
    }
    client.told("item/agentMessage/delta");
    client.until("a command", |line| line["params"]["item"]["type"] == "commandExecution");
    let (ended, world) = client.leave();
    ended.exits(0);
    let rollouts = world.rollouts();
    assert_eq!(rollouts.len(), 2);
    for path in rollouts {
        let types = types_of(&records_of(&path));
        assert_eq!(types[0], "session_meta");
        assert_eq!(types.last().unwrap(), "event_msg/turn_aborted", "{types:?}");
    }
}

#[test]
fn a_reader_that_is_gone_ends_the_server() {
    let mut world = World::new();
    world.reply(Reply::message("one two three four").slowly(Duration::from_millis(50)));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    client.turn(&thread, "go");
    client.run.stop_reading();
    let Client { mut world, run, .. } = client;
    let ended = world.finish(run);
    assert_eq!(ended.code, Some(128 + libc::SIGPIPE), "{ended}");
    let types = types_of(&world.records());
    assert_eq!(types.last().unwrap(), "event_msg/turn_aborted", "{types:?}");
}

#[test]
fn signals_end_the_server_and_what_it_runs() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let mut world = World::new();
        world.reply(Reply::script("sleep 60"));
        let mut client = Client::new(world);
        let thread = client.thread(json!({}));
        client.turn(&thread, "go");
        client.until("a command", |line| line["params"]["item"]["type"] == "commandExecution");
        client.run.signal(signal);
        let Client { mut world, run, .. } = client;
        let ended = world.finish(run);
        ended.exits(128 + signal);
        assert!(ended.took_after_signal_ms < 5000, "{ended}");
        let types = types_of(&world.records());
        assert_eq!(types.last().unwrap(), "event_msg/turn_aborted", "{types:?}");
    }
}

#[test]
fn signals_end_a_server_that_has_nothing_to_do() {
    let mut client = Client::new(World::new());
    client.thread(json!({}));
    client.run.signal(libc::SIGTERM);
    let Client { mut world, run, .. } = client;
    world.finish(run).exits(128 + libc::SIGTERM);
}

#[test]
fn requests_before_the_end_are_answered() {
    let mut client = Client::new(World::new());
    let id = client.ask("thread/loaded/list", json!({}));
    client.run.write_in(b"{\"id\":\"last\",\"method\":\"model/list\",\"params\":{}}");
    let (ended, _) = client.leave();
    ended.exits(0);
    let answered = |id: &Value| {
        let start = format!("{{\"id\":{id},\"result\":");
        ended.stdout.lines().any(|line| line.starts_with(&start))
    };
    assert!(answered(&id) && answered(&json!("last")), "{ended}");
}

#[test]
fn a_hundred_threads_run_in_one_lane() {
    let mut world = World::new();
    let count = 100;
    for number in 0..count {
        let end = if number % 10 == 9 { End::Dropped } else { End::Proper };
        world.reply(Reply::message("one two three").ending(end));
    }
    for _ in 0..count / 10 {
        world.reply(Reply::message("one two three"));
    }
    let mut client = Client::new(world);
    let threads: Vec<String> = (0..count).map(|_| client.thread(json!({}))).collect();
    let turns: Vec<String> = threads.iter().map(|thread| client.turn(thread, "go")).collect();
    for turn in &turns {
        assert_eq!(client.ended(turn)["status"], "completed");
    }
    for thread in &threads {
        let gone = client.call("thread/unsubscribe", json!({"threadId": thread}));
        assert_eq!(gone["status"], "unsubscribed");
    }
    let loaded = client.call("thread/loaded/list", json!({}));
    assert_eq!(loaded["data"], json!([]));
    let (ended, world) = client.leave();
    ended.exits(0);
    assert_eq!(world.rollouts().len(), count);
}
