//! What a run holds in memory, however long it becomes: never more than `debug limits` says.
//!
//! Sizes are those of a quick look; with `WINDLASS_LONG` in the environment they are those of a
//! very long day, best with an optimized binary in `WINDLASS_BIN`.

#![allow(clippy::unwrap_used)]

#[path = "bench/measure.rs"]
mod measure;
mod support;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use measure::{Seen, is_long};
use support::World;
use support::reply::{Reply, call, completed, created, delta, done, message, sse};

/// A conversation that a model's window holds is resumed within this much.
const RESUME_KIB_MAX: u64 = 16 << 10;

const ID: &str = "0199a213-81c0-7800-8aa1-bbab2a035a53";

/// How a rollout is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// With outputs of commands, summed up whenever a window is full.
    Outputs,
    /// The same, by a program that recorded a summary without what it replaced.
    OldOutputs,
    /// With images.
    Images,
    /// With outputs that nothing ever summed up.
    Endless,
}

fn size(quick: usize, long: usize) -> usize {
    if is_long() { long } else { quick }
}

/// Images are not held, however many a conversation has. A binary that is not optimized takes more
/// of its own.
fn images_kib_max() -> u64 {
    size(16 << 10, 10 << 10) as u64
}

/// What `debug limits` says that a run may hold.
fn promised_kib() -> u64 {
    let output = Command::new(measure::program()).args(["debug", "limits"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("memory\t")).unwrap();
    line.split('\t').nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// Runs to the end, says what that took, and holds it to a bound.
#[track_caller]
fn check(world: &mut World, name: &str, words: &[&str], kib_max: u64) -> Seen {
    let call = world.call(words);
    let began = Instant::now();
    let seen = measure::run(world, &call);
    let took = began.elapsed().as_secs_f64();
    let own = seen.cpu_us / 1e6;
    eprintln!("{name}: {} KiB, {took:.1} s, {own:.1} s of its own", seen.peak_kib);
    assert!(seen.peak_kib <= kib_max, "{name}: {} KiB of {kib_max}", seen.peak_kib);
    seen
}

const FREELY: [&str; 3] = ["--skip-git-repo-check", "-s", "danger-full-access"];

#[test]
fn a_turn_of_many_calls() {
    let mut world = World::new();
    let (responses, calls) = (size(4, 100), size(25, 100));
    let arguments = json!({"command": ["echo", "hi"]}).to_string();
    for response in 0..responses {
        let id = |number: usize| format!("call_{response}_{number}");
        let items: Vec<Value> =
            (0..calls).map(|number| call(&id(number), "shell", &arguments)).collect();
        world.reply(Reply::items(&items));
    }
    world.reply(Reply::message("done"));
    let name = format!("{} calls", responses * calls);
    check(&mut world, &name, &[&FREELY[..], &["go"]].concat(), promised_kib());
}

#[test]
fn a_turn_that_looks_at_many_images() {
    let mut world = World::new();
    let (responses, calls) = (size(2, 25), 20);
    world.file("a.png", png(100_000));
    let arguments = json!({"path": "a.png"}).to_string();
    for response in 0..responses {
        let id = |number: usize| format!("call_{response}_{number}");
        let items: Vec<Value> =
            (0..calls).map(|number| call(&id(number), "view_image", &arguments)).collect();
        world.reply(Reply::items(&items));
    }
    world.reply(Reply::message("done"));
    let name = format!("{} images looked at", responses * calls);
    check(&mut world, &name, &[&FREELY[..], &["go"]].concat(), images_kib_max());
}

#[test]
fn a_prompt_of_many_images() {
    let mut world = World::new();
    world.file("a.png", png(size(60_000, 40_000)));
    world.reply(Reply::message("done"));
    let count = size(50, 500);
    let images = vec!["a.png"; count].join(",");
    let name = format!("{count} images of a prompt");
    let words = [&FREELY[..], &["-i", &images, "--", "go"]].concat();
    check(&mut world, &name, &words, images_kib_max());
}

#[test]
fn a_model_that_streams_much() {
    let mut world = World::new();
    let (count, piece) = (size(10, 200), "many words ".repeat(100));
    let mut megabyte = sse(&delta(&piece)).repeat(900);
    megabyte.extend(sse(&done(&message(&piece.repeat(900)))));
    let mut pieces = vec![sse(&created())];
    pieces.extend(std::iter::repeat_n(megabyte, count));
    pieces.push(sse(&completed()));
    world.reply(Reply::pieces(pieces));
    let name = format!("{count} MB of answers");
    check(&mut world, &name, &[&FREELY[..], &["--json", "go"]].concat(), promised_kib());
}

#[test]
fn a_long_session_is_resumed_in_one_pass() {
    resume("outputs", Filled::Outputs, RESUME_KIB_MAX);
}

#[test]
fn a_long_session_of_an_older_program_is_resumed_in_one_pass() {
    resume("older outputs", Filled::OldOutputs, RESUME_KIB_MAX);
}

#[test]
fn a_long_session_of_images_is_resumed() {
    resume("images", Filled::Images, images_kib_max());
}

#[test]
fn a_session_without_end_is_not_held_whole() {
    let mut world = World::new();
    let path = rollout(&world, Filled::Endless);
    let call = world.call(&[&["resume"][..], &FREELY, &[&path, "go on"]].concat());
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stderr.contains("is too long"), "{}", ended.stderr);
    assert!(ended.memory_kib <= promised_kib(), "{}", ended.memory_kib);
}

#[track_caller]
fn resume(name: &str, filled: Filled, kib_max: u64) {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    let path = rollout(&world, filled);
    let name = format!("{} MB of {name}", size(32, 1000));
    let words = [&["resume"][..], &FREELY, &[&path, "go on"]].concat();
    check(&mut world, &name, &words, kib_max);
}

/// Writes a long rollout and gives its path.
fn rollout(world: &World, filled: Filled) -> String {
    let path = world.root.join(format!("rollout-2026-01-01T10-00-00-{ID}.jsonl"));
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let meta = json!({"id": ID, "timestamp": "2026-01-01T10:00:00.000Z", "cwd": "/w"});
    file.write_all(line("session_meta", &meta).as_bytes()).unwrap();
    let (window, summary) = (window(filled), summary(filled));
    // What nothing sums up takes more to outgrow the bound.
    let quick = if filled == Filled::Endless { 64 } else { 32 };
    for _ in 0..(size(quick, 1000) * 1_000_000).div_ceil(window.len()) {
        file.write_all(window.as_bytes()).unwrap();
        file.write_all(summary.as_bytes()).unwrap();
    }
    let last = json!({"type": "message", "role": "user", "content": [text("go on")]});
    file.write_all(line("response_item", &last).as_bytes()).unwrap();
    file.flush().unwrap();
    path.to_str().unwrap().to_owned()
}

/// As many calls as fill a model's window.
fn window(filled: Filled) -> String {
    let words = "some words of output, \\ and \"quotes\"\n".repeat(270);
    let output = json!({"output": words, "metadata": {"exit_code": 0}}).to_string();
    let image = format!("data:image/png;base64,{}", "A".repeat(1_000_000));
    let image = json!({"type": "input_image", "image_url": image});
    let usage = json!({"input_tokens": 9, "total_tokens": 9});
    let info = json!({"total_token_usage": usage, "last_token_usage": usage});
    let is_image = filled == Filled::Images;
    let mut window = String::new();
    for number in 0..if is_image { 12 } else { 160 } {
        let id = format!("call_{number}");
        let mut add = |kind: &str, payload: Value| window += &line(kind, &payload);
        add(
            "response_item",
            json!({"type": "function_call", "name": "shell",
                "arguments": "{\"command\":[\"make\"]}", "call_id": id}),
        );
        let output = if is_image { "attached" } else { &output };
        let answer = json!({"type": "function_call_output", "call_id": id, "output": output});
        add("response_item", answer);
        if is_image {
            let shown = json!({"type": "message", "role": "user", "content": [image]});
            add("response_item", shown);
        }
        add("event_msg", json!({"type": "token_count", "info": info}));
    }
    window
}

/// What sums up a window.
fn summary(filled: Filled) -> String {
    let said = |words| json!({"type": "message", "role": "user", "content": [text(words)]});
    let history = [said("go on"), said("the notes")];
    match filled {
        Filled::Endless => String::new(),
        Filled::OldOutputs => line("compacted", &json!({"message": "the notes"})),
        Filled::Outputs | Filled::Images => {
            let payload = json!({"message": "the notes", "replacement_history": history});
            line("compacted", &payload)
        }
    }
}

/// A line with its parts in the order in which all programs write them.
fn line(kind: &str, payload: &Value) -> String {
    let timestamp = "2026-01-01T10:00:00.000Z";
    let mut payload = payload.clone();
    let tag = payload.as_object_mut().and_then(|fields| fields.remove("type"));
    let mut payload = payload.to_string();
    if let Some(tag) = tag {
        payload.insert_str(1, &format!("\"type\":{tag},"));
    }
    format!("{{\"timestamp\":\"{timestamp}\",\"type\":\"{kind}\",\"payload\":{payload}}}\n")
}

fn text(words: &str) -> Value {
    json!({"type": "input_text", "text": words})
}

/// What begins like an image and has so many bytes.
fn png(bytes: usize) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    image.resize(bytes, 7);
    image
}
