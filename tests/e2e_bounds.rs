//! What is too much, what should be over, and what is played back: floods, daemons, recordings.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;

use serde_json::{Value, json};
use support::reply::{self, Reply, created, delta, done};
use support::run::{Ended, KEY, Run, Stdout};
use support::{World, outside};

/// What an agent may have resident, whatever its commands print.
const MEMORY_KIB_MAX: u64 = 16 << 10;

/// Runs one command with a long timeout and gives what the model is told.
fn check_command(world: &mut World, script: &str) -> (Ended, String) {
    let arguments = json!({"command": ["bash", "-c", script], "timeout_ms": 60_000});
    world.reply(Reply::calls(&[("shell", arguments)])).reply(Reply::message("done"));
    let ended = world.exec(&["--json", "-s", "workspace-write", "go"]);
    ended.exits(0);
    let output = world.outputs().pop().unwrap();
    (ended, output)
}

#[test]
fn a_flood_of_output_is_clipped_as_it_comes() {
    let mut world = World::new();
    let flood = "echo first; head -c 300M /dev/zero | tr '\\0' x; echo; echo last";
    let (ended, output) = check_command(&mut world, flood);
    assert!(output.len() < 12 << 10, "{}", output.len());
    assert!(output.starts_with("Exit code: 0\n"), "{}", &output[..100]);
    assert!(output.contains("first\nxxx") && output.ends_with("xxx\nlast\n"));
    let item = &ended.items("command_execution")[0];
    assert!(item["aggregated_output"].as_str().unwrap().ends_with("xxx\nlast\n"));
    assert!(ended.memory_kib < MEMORY_KIB_MAX, "{} KiB", ended.memory_kib);
    assert!(ended.stdout.len() < 32 << 10);
    let kept = fs::metadata(&world.rollouts()[0]).unwrap().len();
    assert!(kept < 64 << 10, "{kept}");
}

#[test]
fn a_flood_of_lines_keeps_its_head_and_tail() {
    let mut world = World::new();
    let (_, output) = check_command(&mut world, "seq 100000");
    assert!(output.contains("Total output lines: 100000\n"), "{}", &output[..100]);
    assert!(output.contains("\n1\n2\n3\n") && output.ends_with("99999\n100000\n"));
    assert!(output.len() < 12 << 10);
}

#[test]
fn output_that_is_no_text_is_told_as_text() {
    let mut world = World::new();
    let (ended, output) = check_command(&mut world, "printf 'a\\377b\\0c\\033[31m'");
    assert!(output.ends_with("a\u{fffd}b\0c\u{1b}[31m"), "{output:?}");
    assert_eq!(ended.items("command_execution").len(), 1);
}

#[test]
fn a_long_answer_takes_little_memory() {
    let mut world = World::new();
    // Two megabytes of deltas, said again as a whole.
    let piece = "0123456789abcde ".repeat(64);
    let mut events = vec![created()];
    events.extend((0..2048).map(|_| delta(&piece)));
    events.extend([done(&reply::message(&piece.repeat(2048))), reply::completed()]);
    world.reply(Reply::events(&events));
    let ended = world.exec(&["--json", "go"]);
    ended.exits(0);
    assert_eq!(ended.items("agent_message")[0]["text"].as_str().unwrap().len(), 2 << 20);
    assert!(ended.memory_kib < 2 * MEMORY_KIB_MAX, "{} KiB", ended.memory_kib);
}

#[test]
fn daemons_do_not_outlive_their_command() {
    let mut world = World::new();
    let daemons = "trap '' TERM HUP; \
                   setsid sleep 600 & \
                   (setsid bash -c 'trap \"\" TERM; (sleep 600 &) ; sleep 600' &) ; \
                   nohup sleep 600 >/dev/null 2>&1 & \
                   disown -a; echo started";
    let (ended, output) = check_command(&mut world, daemons);
    assert!(output.ends_with("started\n"), "{output}");
    assert!(ended.had_children);
    assert!(ended.took_ms < 20_000, "{}", ended.took_ms);
}

#[test]
fn a_daemon_that_holds_the_output_does_not_hold_the_turn() {
    let mut world = World::new();
    let (ended, output) = check_command(&mut world, "sleep 600 & echo started");
    assert!(output.ends_with("started\n"), "{output}");
    assert!(ended.took_ms < 20_000, "{}", ended.took_ms);
}

#[test]
fn a_storm_of_forks_is_over_with_its_command() {
    let mut world = World::new();
    let storm = "for i in $(seq 200); do (trap '' TERM; setsid sleep 600 &) ; done; echo sown";
    let (ended, output) = check_command(&mut world, storm);
    assert!(output.ends_with("sown\n"), "{output}");
    assert!(ended.took_ms < 20_000, "{}", ended.took_ms);
}

#[test]
fn an_agent_killed_between_commands_leaves_a_session_that_goes_on() {
    let mut world = World::new();
    world.reply(Reply::script("echo seen")).reply(Reply::beginning("half"));
    let call = world.call(&["--json", "go"]);
    let mut run = world.start(call);
    world.until(&mut run, "the second request", |world, _| world.requests().len() == 2);
    run.signal(libc::SIGKILL);
    let ended = world.finish(run);
    assert_eq!(ended.signal, Some(libc::SIGKILL));
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", "--last", "go on"]).exits(0);
    let output = world.outputs().pop().unwrap();
    assert!(output.ends_with("seen\n"), "what was shown is kept: {output}");
}

#[test]
fn many_commands_leave_no_descriptor_open() {
    let mut world = World::new();
    let count = |run: &Run| fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().count();
    for _ in 0..20 {
        world.reply(Reply::shell(&["true"]));
    }
    world.reply(Reply::beginning("waiting"));
    let call = world.call(&["--json", "go"]);
    let mut run = world.start(call);
    world.until(&mut run, "the second request", |world, _| world.requests().len() == 2);
    let early = count(&run);
    world.until(&mut run, "the last request", |world, _| world.requests().len() == 21);
    world.settle(&mut run);
    let late = count(&run);
    assert!(late <= early + 2, "{early} descriptors became {late}");
    assert_eq!(run.children_now(), Vec::<String>::new());
    assert!(world.provider.connections_count < 10, "connections serve again");
    run.signal(libc::SIGINT);
    world.finish(run).exits(130);
}

/// A session of two requests, the second after a command.
fn recorded(world: &mut World) -> Ended {
    world.reply(Reply::items(&[
        reply::reasoning("is it there"),
        reply::message("let me look"),
        reply::call("c1", "shell", r#"{"command":["test","-e","there"]}"#),
    ]));
    world.reply(Reply::message("I have looked"));
    let ended = world.exec(&["--json", "--record", "tape.jsonl", "look"]);
    ended.exits(0);
    ended
}

fn play(world: &mut World, prompt: &str) -> Ended {
    let call = world
        .call(&["--json", prompt])
        .without("CODEX_API_KEY")
        .set("model_provider=tape")
        .set("model_providers.tape.kind=replay")
        .set("model_providers.tape.recording='tape.jsonl'");
    world.run(call)
}

/// The lines after the first, which names the thread.
fn told(ended: &Ended) -> Vec<Value> {
    ended.lines().split_off(1)
}

#[test]
fn a_recording_is_played_back() {
    let mut world = World::new();
    let live = recorded(&mut world);
    let tape = world.read("tape.jsonl");
    assert!(!tape.contains(KEY) && !tape.contains(&*world.cwd.to_string_lossy()), "{tape}");
    let played = play(&mut world, "look");
    played.exits(0);
    assert_eq!(told(&played), told(&live));
    assert_ne!(played.thread(), live.thread());
    assert_eq!(world.requests().len(), 2, "nobody was asked");
    play(&mut world, "the same in other words").exits(0);
}

#[test]
fn a_run_that_leaves_its_recording_says_where() {
    let mut world = World::new();
    recorded(&mut world);
    world.file("there", "");
    let ended = play(&mut world, "look");
    ended.exits(3);
    let lines = ended.lines();
    let message = lines.last().unwrap()["error"]["message"].as_str().unwrap();
    assert!(message.contains("recorded `function_call_output exit 1`"), "{message}");
    assert!(message.contains("found `function_call_output exit 0`"), "{message}");
    assert_eq!(ended.types().last().unwrap(), "turn.failed");
}

#[test]
fn a_failure_is_played_back_too() {
    let mut world = World::new();
    world.reply(Reply::status(400, r#"{"error":{"message":"not like this"}}"#));
    let live = world.exec(&["--json", "--record", "tape.jsonl", "go"]);
    live.exits(1);
    let played = play(&mut world, "go");
    played.exits(1);
    assert_eq!(told(&played), told(&live));
}

#[test]
fn a_recording_that_is_none_is_refused() {
    let mut world = World::new();
    let ended = play(&mut world, "go");
    ended.exits(1);
    assert!(ended.stderr.contains("tape.jsonl: there is no such file"), "{ended}");
    world.file("tape.jsonl", "not a recording\n");
    let ended = play(&mut world, "go");
    ended.exits(1);
    assert!(ended.stderr.contains("tape.jsonl"), "{ended}");
    let ended = world.exec(&["--json", "--record", "no/such/place", "go"]);
    ended.exits(1);
    assert!(ended.stderr.contains("no/such/place"), "{ended}");
    assert_eq!(world.requests().len(), 0);
}

#[test]
fn a_terminal_is_shown_nothing_that_commands_it() {
    let mut world = World::new();
    let wild = "plain \u{1b}]0;title\u{7}\u{1b}[2Jend";
    world.reply(Reply::items(&[reply::message(wild)]));
    let (master, slave) = outside::terminal();
    let call = world.call(&["go"]).stdout(Stdout::To(slave));
    let ended = world.run(call);
    ended.exits(0);
    outside::set_nonblocking(master.as_raw_fd());
    let mut shown = [0; 4096];
    let count = File::from(master).read(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown[..count]);
    assert!(shown.contains("plain") && shown.contains("end"), "{shown:?}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    world.reply(Reply::items(&[reply::message(wild)]));
    let ended = world.exec(&["go"]);
    assert_eq!(ended.stdout, format!("{wild}\n"), "a pipe gets it as it is");
}

#[test]
fn an_output_that_takes_nothing_is_an_error() {
    let mut world = World::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    world.reply(Reply::beginning("nobody will read this"));
    let call = world.call(&["--json", "go"]).stdout(Stdout::To(full.into()));
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stderr.contains("stdout: No space left on device"), "{ended}");
}

/// What begins like an image and has so many bytes.
fn png(bytes: usize) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    image.resize(bytes, 7);
    image
}

#[test]
fn a_prompt_is_read_back_or_refused() {
    let mut world = World::new();
    world.file("a.png", png(11 << 20));
    let ended = world.exec(&["--json", "-i", "a.png,a.png,a.png", "--", "look"]);
    ended.exits(1);
    assert!(ended.stdout.contains("larger than 32 MiB"), "{}", ended.stdout);
    assert_eq!(world.rollouts().len(), 0, "nothing of it is recorded");
    world.reply(Reply::message("seen"));
    world.exec(&["--json", "-i", "a.png,a.png", "--", "look"]).exits(0);
    world.reply(Reply::message("still there"));
    let ended = world.exec(&["--json", "resume", "--last", "go on"]);
    ended.exits(0);
    assert!(!ended.stderr.contains("could not be read"), "{}", ended.stderr);
    let input = world.requests()[1].body["input"].as_array().unwrap();
    let images = |item: &Value| item.to_string().matches("data:image/png").count();
    assert_eq!(input.iter().map(images).sum::<usize>(), 2, "it is read back");
}
