//! Bad input from everywhere: streams, models, files, machines, terminals. Whatever comes, a run
//! ends as it should and says why.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::reply::{self, Reply, completed, created, done, sse};
use support::run::{Call, Ended, Run, Stdin, Stdout};
use support::{World, outside, records_of, spawning, types_of};
use windlass::limits::RESPONSE_ITEMS_MAX;

const FULL: [&str; 4] = ["--json", "-s", "danger-full-access", "go"];

/// Runs one prompt against this answer, which is not asked for again.
fn check(reply: Reply, code: i32) -> Ended {
    let mut world = World::new();
    world.reply(reply);
    let call = world.call(&["--json", "hi"]).retrying(0, 0);
    let ended = world.run(call);
    ended.exits(code);
    assert_eq!(world.requests().len(), 1);
    ended
}

/// Why a run against this answer failed.
fn check_failed(reply: Reply) -> String {
    let ended = check(reply, 1);
    let lines = ended.lines();
    let last = lines.last().unwrap();
    assert_eq!(last["type"], "turn.failed", "{ended}");
    last["error"]["message"].as_str().unwrap().to_owned()
}

/// A whole stream of one message, line by line.
fn stream(text: &str) -> String {
    let events = [created(), done(&reply::message(text)), completed()];
    events.iter().map(|event| String::from_utf8(sse(event)).unwrap()).collect()
}

#[test]
fn a_stream_may_begin_with_a_mark_and_end_its_lines_in_any_way() {
    for ending in ["\n", "\r\n", "\r"] {
        let text = format!("\u{feff}: comment\n{}", stream("fine")).replace('\n', ending);
        let ended = check(Reply::raw(text), 0);
        assert_eq!(ended.items("agent_message")[0]["text"], "fine", "{ending:?}");
    }
}

#[test]
fn bytes_that_are_not_text_are_replaced_and_the_stream_goes_on() {
    let bytes = stream("a?b").into_bytes();
    let bytes = bytes.iter().map(|&byte| if byte == b'?' { 0xff } else { byte });
    let ended = check(Reply::raw(bytes.collect::<Vec<u8>>()), 0);
    assert_eq!(ended.items("agent_message")[0]["text"], "a\u{fffd}b");
}

#[test]
fn a_stream_cut_within_an_event_is_no_success() {
    let whole = stream("never");
    let last = whole.rfind("data:").unwrap();
    for length in [last, last + 20, whole.len() - 1] {
        let why = check_failed(Reply::raw(&whole.as_bytes()[..length]));
        assert!(why.contains("before response.completed"), "{length}: {why}");
    }
}

#[test]
fn an_event_without_end_is_given_up_at_the_bound() {
    let mut world = World::new();
    let mut bytes = b"data: ".to_vec();
    bytes.resize(17 << 20, b'x');
    world.reply(Reply::raw(bytes));
    let call = world.call(&["--json", "hi"]).retrying(0, 0);
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stdout.contains("makes no sense"), "{ended}");
    assert!(ended.memory_kib < 96 << 10, "{} KiB", ended.memory_kib);
}

#[test]
fn a_refusal_without_a_word_is_told_by_its_status() {
    for status in [400, 401, 403, 404, 429, 500, 503] {
        for body in ["", "<html>no</html>", "{\"error\":", "\u{0}\u{1b}[2J"] {
            let why = check_failed(Reply::status(status, body));
            assert!(!why.contains(['\u{0}', '\u{1b}']), "{why:?}");
            let is_named = why.contains(&status.to_string()) || status == 500;
            assert!(is_named && !why.is_empty(), "{status} {body:?}: {why}");
        }
    }
}

#[test]
fn events_of_several_items_may_be_interleaved() {
    let mut other = reply::delta("two ");
    other["item_id"] = json!("msg_2");
    let events = [
        created(),
        json!({"type": "response.output_item.added", "item": reply::message("")}),
        json!({"type": "response.output_item.added", "item": reply::reasoning("")}),
        reply::delta("one "),
        other,
        done(&reply::reasoning("why")),
        reply::delta("one"),
        done(&reply::message("two two")),
        done(&reply::message("one one")),
        completed(),
    ];
    let ended = check(Reply::events(&events), 0);
    let texts = ended.items("agent_message");
    assert_eq!((&texts[0]["text"], &texts[1]["text"]), (&json!("two two"), &json!("one one")));
    assert_eq!(ended.items("reasoning")[0]["text"], "why");
}

#[test]
fn what_is_nested_beyond_reason_is_skipped() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let item = format!(r#"{{"type":"message","role":"assistant","content":{deep}}}"#);
    let hostile = [
        format!("data: {deep}\n\n"),
        format!("data: {{\"type\":\"response.output_item.done\",\"item\":{item}}}\n\n"),
        format!("data: {{\"type\":{deep}}}\n\n"),
    ];
    let ended = check(Reply::raw(hostile.concat() + &stream("fine")), 0);
    assert_eq!(ended.items("agent_message").last().unwrap()["text"], "fine");
}

#[test]
fn counts_that_cannot_be_do_not_overflow() {
    let mut world = World::new();
    let mut most = completed();
    for name in ["input_tokens", "output_tokens", "total_tokens"] {
        most["response"]["usage"][name] = json!(u64::MAX);
    }
    let mut odd = completed();
    odd["response"]["usage"] =
        json!({"input_tokens": -5, "output_tokens": 1e300, "total_tokens": "many"});
    let call = reply::call("c1", "shell", r#"{"command":["true"]}"#);
    world.reply(Reply::events(&[created(), done(&call), most.clone()]));
    world.reply(Reply::events(&[created(), done(&call), odd]));
    world.reply(Reply::events(&[created(), done(&reply::message("counted")), most]));
    let ended = world.exec(&FULL);
    ended.exits(0);
    assert!(ended.lines().last().unwrap()["usage"]["input_tokens"].is_u64(), "{ended}");
    world.reply(Reply::message("on"));
    world.exec(&["--json", "resume", "--last", "go on"]).exits(0);
}

#[test]
fn of_a_thousand_calls_as_many_run_as_may() {
    let mut world = World::new();
    let call = |number: usize| {
        let name = if number.is_multiple_of(50) { "shell" } else { "no_such_tool" };
        reply::call(&format!("c{number}"), name, r#"{"command":["true"]}"#)
    };
    let calls: Vec<Value> = (0..1000).map(call).collect();
    world.reply(Reply::items(&calls)).reply(Reply::message("enough"));
    let ended = world.exec(&FULL);
    ended.exits(0);
    let outputs = world.outputs();
    assert_eq!(outputs.len(), RESPONSE_ITEMS_MAX);
    assert!(outputs[500].starts_with("Exit code: 0"), "{}", outputs[500]);
    assert_eq!(outputs[511], "unsupported call: no_such_tool");
    assert_eq!(ended.items("command_execution").len(), 11);
    assert_eq!(ended.items("error").len(), 1, "the rest is not dropped in silence");
    assert_eq!(ended.items("agent_message")[0]["text"], "enough");
}

#[test]
fn calls_larger_than_anything_can_take_are_answered_shortly() {
    let mut world = World::new();
    let big = "x".repeat(3 << 19);
    let patch = format!("*** Begin Patch\n*** Add File: a\n+{big}\n*** End Patch");
    let deep = format!(r#"{{"command":{}"#, "[".repeat(100_000));
    let calls = [
        reply::call("c1", "shell", &json!({"command": ["echo", big]}).to_string()),
        reply::call("c2", &big, "{}"),
        reply::call("c3", "shell", &big),
        reply::call("c4", "shell", &deep),
        reply::custom_call("c5", "apply_patch", &patch),
        reply::custom_call("c6", &big, "x"),
        reply::call(
            "c7",
            "update_plan",
            &json!({"plan": [{"step": big, "status": big}]}).to_string(),
        ),
        reply::call("c8", "shell", &json!({"command": ["true"], "workdir": big}).to_string()),
        reply::call("c9", "list_dir", &json!({"dir_path": format!("/{big}")}).to_string()),
    ];
    world.reply(Reply::items(&calls)).reply(Reply::message("sorry"));
    let ended = world.exec(&FULL);
    ended.exits(0);
    let outputs = world.outputs();
    assert_eq!(outputs.len(), calls.len());
    for (number, output) in outputs.iter().enumerate() {
        let shown: String = output.chars().take(200).collect();
        assert!(output.len() < 11 << 10, "{number}: {} bytes: {shown}", output.len());
        assert!(!output.starts_with("Exit code: 0"), "{number}: {shown}");
    }
    assert!(!world.cwd.join("a").exists());
}

#[test]
fn what_cannot_be_patched_is_answered_and_left_alone() {
    let mut world = World::new();
    let made = Command::new("mkfifo").arg(world.cwd.join("pipe")).status().unwrap();
    assert!(made.success());
    fs::create_dir(world.cwd.join("dir")).unwrap();
    world.file("raw", b"\xff\xfe\n");
    let huge = File::create(world.cwd.join("huge")).unwrap();
    huge.set_len(1 << 30).unwrap();
    let names = ["pipe", "dir", "raw", "huge", "gone"];
    let calls: Vec<Value> = names
        .iter()
        .map(|name| {
            let patch =
                format!("*** Begin Patch\n*** Update File: {name}\n@@\n-a\n+b\n*** End Patch");
            reply::custom_call(name, "apply_patch", &patch)
        })
        .collect();
    world.reply(Reply::items(&calls)).reply(Reply::message("I see"));
    let ended = world.exec(&FULL);
    ended.exits(0);
    let outputs = world.outputs();
    let reasons = ["not a regular file", "directory", "not UTF-8", "bytes", "no such file"];
    for ((output, reason), name) in outputs.iter().zip(reasons).zip(names) {
        let is_told =
            output.starts_with("apply_patch verification failed") && output.contains(reason);
        assert!(is_told && output.contains(name), "{name}: {output}");
    }
    assert!(ended.items("file_change").is_empty());
    assert_eq!(fs::read(world.cwd.join("raw")).unwrap(), b"\xff\xfe\n");
    assert!(ended.memory_kib < 64 << 10, "{} KiB", ended.memory_kib);
}

#[test]
fn more_stdin_than_may_be_is_refused_in_little_memory() {
    let mut world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let guard = spawning();
    let mut producer = Command::new("head")
        .args(["-c", "100000000", "/dev/zero"])
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let call = world.call(&["--json", "-"]).stdin(Stdin::From(reader.into()));
    let run = Run::start_within(call, &guard);
    drop(guard);
    let ended = world.finish(run);
    producer.wait().unwrap();
    ended.exits(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("stdin"), "{ended}");
    assert!(ended.memory_kib < 64 << 10, "{} KiB", ended.memory_kib);
    assert_eq!(world.requests().len(), 0);
}

#[test]
fn a_working_directory_may_vanish_in_mid_turn() {
    let mut world = World::new();
    let patch = "*** Begin Patch\n*** Update File: a\n@@\n-a\n+b\n*** End Patch";
    let here = world.cwd.to_string_lossy().into_owned();
    let calls = [
        reply::call("c1", "shell", r#"{"command":["sh","-c","rm -rf \"$PWD\""]}"#),
        reply::call("c2", "shell", r#"{"command":["echo","where"]}"#),
        reply::custom_call("c3", "apply_patch", patch),
        reply::call("c4", "list_dir", &json!({ "dir_path": here }).to_string()),
    ];
    world.reply(Reply::items(&calls)).reply(Reply::message("gone"));
    let ended = world.exec(&FULL);
    ended.exits(0);
    let outputs = world.outputs();
    assert!(outputs[0].starts_with("Exit code: 0"), "{}", outputs[0]);
    let told = format!("the command was not run: its working directory {here}: No such file");
    assert!(outputs[1].starts_with(&told), "{}", outputs[1]);
    assert!(outputs[2].starts_with("apply_patch verification failed"), "{}", outputs[2]);
    assert_eq!(outputs.len(), 4);
    assert_eq!(ended.items("agent_message")[0]["text"], "gone");
}

#[test]
fn a_working_directory_that_is_gone_at_the_start_is_an_error() {
    let mut world = World::new();
    let gone = world.elsewhere.join("gone");
    fs::create_dir(&gone).unwrap();
    let mut call = world.call(&["--json", "--skip-git-repo-check", "hi"]);
    call.cwd = gone;
    let ended = world.run(call.within(&["env"], "rmdir \"$PWD\"; exec \"$@\""));
    ended.exits(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("directory"), "{ended}");
    assert_eq!(world.requests().len(), 0);
}

#[test]
fn a_last_message_that_nobody_reads_is_no_reason_to_wait() {
    let mut world = World::new();
    let pipe = world.elsewhere.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&*pipe.to_string_lossy(), "/dev/full", "/no/such/place"] {
        world.reply(Reply::message("said"));
        let ended = world.exec(&["--json", "-o", path, "hi"]);
        ended.exits(0);
        assert!(
            ended.stderr.contains(&format!("cannot write the last message to {path}")),
            "{ended}"
        );
    }
}

#[test]
fn closed_descriptors_are_not_mistaken_for_files() {
    let mut world = World::new();
    for closed in [">&-", "2>&-", "<&- >&- 2>&-"] {
        world.reply(Reply::script("echo out; echo err >&2")).reply(Reply::message("unheard"));
        let call = world.call(&FULL).within(&["env"], &format!("exec \"$@\" {closed}"));
        let ended = world.run(call);
        ended.exits(0);
        assert!(world.outputs()[0].ends_with("Output:\nout\nerr\n"), "{:?}", world.outputs());
    }
    for path in world.rollouts() {
        assert_eq!(types_of(&records_of(&path)).last().unwrap(), "event_msg/task_complete");
    }
}

#[test]
fn a_home_of_ours_needs_no_home_of_the_user() {
    let mut world = World::new();
    world.reply(Reply::message("fine"));
    let call = world.call(&["--json", "hi"]).without("HOME");
    world.run(call).exits(0);
}

#[test]
fn a_run_that_was_suspended_goes_on() {
    let mut world = World::new();
    world.reply(Reply::message("fine").held());
    let call = world.call(&["--json", "hi"]);
    let mut run = world.start(call);
    world.until(&mut run, "a request", |world, _| !world.requests().is_empty());
    run.signal(libc::SIGSTOP);
    world.provider.is_released = true;
    world.pass(&mut run, Duration::from_millis(200));
    assert!(!run.has_exited());
    run.signal(libc::SIGCONT);
    world.finish(run).exits(0);
}

/// The call in a place with mounts of its own, which the script makes; `None` if there is no such
/// place to be had.
fn mounting(call: Call, script: &str) -> Option<Call> {
    let mut tried = Command::new("unshare");
    tried.args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
    if !tried.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: NO NAMESPACE WITH MOUNTS OF ITS OWN CAN BE HAD HERE");
        return None;
    }
    Some(call.within(&["unshare", "-Urm"], &format!("{script}\nexec \"$@\"")))
}

#[test]
fn without_proc_commands_and_patches_work() {
    let mut world = World::new();
    let call = world.call(&["--json", "-s", "workspace-write", "go"]);
    let Some(call) = mounting(call, "mount -t tmpfs none /proc") else { return };
    let patch = "*** Begin Patch\n*** Add File: a\n+b\n*** End Patch";
    let calls = [
        reply::call("c1", "shell", r#"{"command":["sh","-c","ls /proc | wc -l; sleep 99 &"]}"#),
        reply::custom_call("c2", "apply_patch", patch),
    ];
    world.reply(Reply::items(&calls)).reply(Reply::message("fine"));
    let ended = world.run(call);
    ended.exits(0);
    let outputs = world.outputs();
    assert!(outputs[0].ends_with("Output:\n0\n"), "{}", outputs[0]);
    assert!(outputs[1].contains("A a\n"), "{}", outputs[1]);
    assert_eq!(world.read("a"), "b\n");
    assert_eq!(ended.items("agent_message")[0]["text"], "fine");
}

#[test]
fn without_a_shell_the_model_is_told_and_patches_work() {
    let mut world = World::new();
    let call = world.call(&FULL).set("features.shell_command_tool=true");
    let script = "mount -t tmpfs none /usr/bin\n[ -L /bin ] || /bin/mount -t tmpfs none /bin";
    let Some(call) = mounting(call, script) else { return };
    let patch = "*** Begin Patch\n*** Add File: a\n+b\n*** End Patch";
    let calls = [
        reply::call("c1", "shell", r#"{"command":["sh","-c","true"]}"#),
        reply::call("c2", "shell_command", r#"{"command":"true"}"#),
        reply::custom_call("c3", "apply_patch", patch),
    ];
    world.reply(Reply::items(&calls)).reply(Reply::message("fine"));
    let ended = world.run(call);
    ended.exits(0);
    let outputs = world.outputs();
    for output in &outputs[..2] {
        assert!(output.ends_with("sh: no such program"), "{output}");
    }
    assert!(outputs[2].contains("A a\n"), "{}", outputs[2]);
    assert_eq!(world.read("a"), "b\n");
}

/// A run that shows its answer on a terminal which was stopped by ^S before.
fn on_stopped_terminal(world: &mut World) -> (Run, File) {
    let (master, slave) = outside::terminal();
    let mut master = File::from(master);
    master.write_all(b"\x13").unwrap();
    world.reply(Reply::message("shown at last"));
    let call = world.call(&["hi"]).stdout(Stdout::To(slave));
    let mut run = world.start(call);
    world.until(&mut run, "an answer that was recorded", |world, _| {
        let paths = world.rollouts();
        paths.iter().any(|path| fs::read_to_string(path).unwrap().contains("shown at last"))
    });
    world.pass(&mut run, Duration::from_millis(300));
    assert!(!run.has_exited(), "{}", run.told());
    (run, master)
}

#[test]
fn a_stopped_terminal_is_waited_for_and_may_be_resized() {
    let mut world = World::new();
    let (mut run, mut master) = on_stopped_terminal(&mut world);
    let before = run.cpu_ticks();
    run.signal(libc::SIGWINCH);
    world.pass(&mut run, Duration::from_millis(300));
    assert!(!run.has_exited());
    assert!(run.cpu_ticks() - before <= 2, "it sleeps while it waits");
    master.write_all(b"\x11").unwrap();
    world.finish(run).exits(0);
    outside::set_nonblocking(master.as_raw_fd());
    let mut shown = Vec::new();
    // The other side is closed: that is the end of a terminal.
    let _ = master.read_to_end(&mut shown);
    assert!(String::from_utf8_lossy(&shown).contains("shown at last"), "{shown:?}");
}

#[test]
fn a_stopped_terminal_does_not_hold_who_wants_to_leave() {
    let mut world = World::new();
    let (mut run, _master) = on_stopped_terminal(&mut world);
    run.signal(libc::SIGINT);
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    assert!(ended.took_ms < 5000, "{} ms", ended.took_ms);
    assert_eq!(ended.code, Some(128 + libc::SIGINT), "not everything was shown");
}
