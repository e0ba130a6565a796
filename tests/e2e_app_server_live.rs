//! `app-server`: what a client is told of work while it goes on.

#![allow(clippy::unwrap_used)]

mod support;

use std::cell::Cell;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::World;
use support::client::Client;
use support::outside;
use support::reply::Reply;
use windlass::limits::TOLD_BYTES_MAX;

const DELTA: &str = "item/commandExecution/outputDelta";
const FIRST_DELTA: &str = "codex/event/exec_command_output_delta";

/// A client whose model runs this script, and then says that it is done.
fn running(script: &str) -> Client {
    let mut world = World::new();
    world.reply(Reply::script(script)).reply(Reply::message("done"));
    Client::new(world)
}

/// A wait of a script until the test has made a file of this name.
fn until(name: &str) -> String {
    format!("until [ -e {name} ]; do sleep 0.01; done")
}

/// What the client was told that commands print.
fn printed(client: &Client) -> String {
    let told = client.lines.iter().filter(|line| line["method"] == DELTA);
    told.map(|line| line["params"]["delta"].as_str().unwrap()).collect()
}

/// The item of the command that has ended.
fn command(client: &mut Client) -> Value {
    let line = client.until("the end of the command", |line| {
        line["method"] == "item/completed" && line["params"]["item"]["type"] == "commandExecution"
    });
    line["params"]["item"].clone()
}

#[test]
fn what_a_command_prints_is_told_before_it_ends() {
    let script = format!("echo one; {}; echo two >&2", until("go"));
    let mut client = running(&script);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    let told = client.told(DELTA);
    let params = json!({"threadId": thread, "turnId": turn, "itemId": "call_0", "delta": "one\n"});
    assert_eq!(told["params"], params);
    client.world.file("go", "");
    let item = command(&mut client);
    assert_eq!(item["aggregatedOutput"], "one\ntwo\n");
    assert_eq!(printed(&client), "one\ntwo\n");
    client.ended(&turn);
    let kinds: Vec<&str> = client.lines.iter().filter_map(|line| line["method"].as_str()).collect();
    let last = kinds.iter().rposition(|kind| *kind == DELTA).unwrap();
    let items = kinds.iter().enumerate().filter(|(_, kind)| **kind == "item/completed");
    assert_eq!(items.map(|(index, _)| index).filter(|index| *index < last).count(), 1);
    client.leave().0.exits(0);
}

#[test]
fn characters_are_told_whole_and_other_bytes_as_what_stands_for_them() {
    let script = format!("printf 'a\\342\\202'; {}; printf '\\254\\377b\\360\\237'", until("go"));
    let mut client = running(&script);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    client.told(DELTA);
    assert_eq!(printed(&client), "a");
    client.world.file("go", "");
    client.ended(&turn);
    assert_eq!(printed(&client), "a\u{20ac}\u{fffd}b\u{fffd}");
    client.leave().0.exits(0);
}

#[test]
fn listeners_of_the_first_protocol_are_told_bytes() {
    let script = format!("printf 'one\\377\\n'; {}; echo two", until("go"));
    let mut client = running(&script);
    let opened = client.call("newConversation", json!({"cwd": client.world.cwd}));
    let conversation = opened["conversationId"].clone();
    let listener = json!({"conversationId": conversation});
    client.call("addConversationListener", listener.clone());
    client.call("addConversationListener", listener);
    let items = json!([{"type": "text", "data": {"text": "go"}}]);
    client.call("sendUserMessage", json!({"conversationId": conversation, "items": items}));
    let told = client.told(FIRST_DELTA);
    let chunk = STANDARD.encode(b"one\xff\n");
    let msg = json!({
        "type": "exec_command_output_delta", "call_id": "call_0", "stream": "stdout",
        "chunk": chunk,
    });
    assert_eq!(told["params"], json!({"id": "0", "msg": msg, "conversationId": conversation}));
    client.world.file("go", "");
    client.told("codex/event/task_complete");
    client.settle();
    let told = client.lines.iter().filter(|line| line["method"] == FIRST_DELTA);
    let chunks = told.map(|line| line["params"]["msg"]["chunk"].as_str().unwrap());
    let chunks: Vec<Vec<u8>> = chunks.map(|chunk| STANDARD.decode(chunk).unwrap()).collect();
    let first: &[u8] = b"one\xff\n";
    assert_eq!(chunks, [first, first, b"two\n", b"two\n"]);
    assert!(!client.lines.iter().any(|line| line["method"] == DELTA));
    client.leave().0.exits(0);
}

#[test]
fn a_session_is_heard_between_calls() {
    let arguments = json!({
        "cmd": format!("echo one; {}; echo two", until("go")), "yield_time_ms": 300, "tty": false,
    });
    let mut world = World::new();
    world.reply(Reply::calls(&[("exec_command", arguments)]));
    world.reply(Reply::message("on its way").held());
    let call = Client::plain_call(&world).set("features.unified_exec=true");
    let mut client = Client::of(world, call);
    let info = json!({"name": "probe", "title": null, "version": "1.0"});
    client.call("initialize", json!({"clientInfo": info}));
    let thread = client.thread(json!({}));
    client.turn(&thread, "go");
    client.told(DELTA);
    let Client { world, run, .. } = &mut client;
    world.until(run, "the call is answered", |world, _| world.requests().len() == 2);
    client.world.file("go", "");
    client.until("the rest", |line| line["method"] == DELTA && line["params"]["delta"] == "two\n");
    command(&mut client);
    client.leave().0.exits(0);
}

#[test]
fn whoever_does_not_want_it_is_not_told() {
    let mut world = World::new();
    world.reply(Reply::script("echo one")).reply(Reply::message("done"));
    let mut client = Client::with(world, json!({"optOutNotificationMethods": [DELTA]}));
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    client.ended(&turn);
    assert_eq!(printed(&client), "");
    assert_eq!(command(&mut client)["aggregatedOutput"], "one\n");
    client.leave().0.exits(0);
}

#[test]
fn much_output_is_told_up_to_its_bound() {
    let piece = 400_000;
    let print = format!("head -c {piece} /dev/zero | tr '\\0' x");
    let script = format!("{print}; {}; {print}; {}; {print}", until("a"), until("b"));
    let mut client = running(&script);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    for (count, name) in [(1, "a"), (2, "b")] {
        let told = Cell::new(0);
        client.until("a third of it", |line| {
            if line["method"] == DELTA {
                told.set(told.get() + line["params"]["delta"].as_str().unwrap().len());
            }
            told.get() == count * piece
        });
        client.world.file(name, "");
    }
    client.ended(&turn);
    assert!(3 * piece > TOLD_BYTES_MAX);
    assert_eq!(printed(&client).len(), TOLD_BYTES_MAX);
    client.leave().0.exits(0);
}

#[test]
fn whoever_stops_reading_costs_no_memory_and_hears_no_gap() {
    // Each line is another one, and all are many times what buffers take.
    let mut client = running("seq 1 3000000");
    let thread = client.thread(json!({}));
    client.call("thread/loaded/list", json!({}));
    let kib = |client: &Client| outside::status_kib(client.run.pid(), "VmHWM").unwrap();
    let before_kib = kib(&client);
    let turn = client.turn(&thread, "go");
    client.run.is_reading = false;
    let Client { world, run, .. } = &mut client;
    world.until(run, "the command has ended", |world, _| world.requests().len() == 2);
    let after_kib = kib(&client);
    assert!(after_kib < before_kib + 8192, "{before_kib} KiB became {after_kib} KiB");
    client.run.is_reading = true;
    assert_eq!(client.ended(&turn)["status"], "completed");
    let told = printed(&client);
    let all: String = (1..200_000).map(|number| format!("{number}\n")).collect();
    assert!(told.len() > 60_000 && told.len() <= TOLD_BYTES_MAX, "{}", told.len());
    assert!(all.starts_with(&told));
    assert_eq!(command(&mut client)["exitCode"], 0);
    client.leave().0.exits(0);
}

#[test]
fn a_stopped_command_has_told_what_it_printed() {
    let mut client = running("echo one; sleep 60");
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    client.told(DELTA);
    client.call("turn/interrupt", json!({"threadId": thread, "turnId": turn}));
    assert_eq!(client.ended(&turn)["status"], "interrupted");
    client.world.pass(&mut client.run, Duration::from_millis(100));
    client.settle();
    assert_eq!(printed(&client), "one\n");
    client.leave().0.exits(0);
}
