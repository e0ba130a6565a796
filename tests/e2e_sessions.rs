//! Commands that outlive their calls: terminals and pipes, written to and polled.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::World;
use support::reply::Reply;
use support::run::Ended;

/// How long a call waits for a program that does not exit: ample for a few words, also under load.
const WORDS_MS: u64 = 1500;

fn start(cmd: &str, more: &Value) -> (&'static str, Value) {
    let mut arguments = json!({"cmd": cmd, "login": false, "yield_time_ms": WORDS_MS});
    for (name, value) in more.as_object().unwrap() {
        arguments[name] = value.clone();
    }
    ("exec_command", arguments)
}

fn write(session: u32, chars: &str, yield_ms: u64) -> (&'static str, Value) {
    ("write_stdin", json!({"session_id": session, "chars": chars, "yield_time_ms": yield_ms}))
}

/// Lets the model make these calls, one in each response; gives what it is told of them.
fn check(world: &mut World, calls: &[(&str, Value)]) -> (Ended, Vec<String>) {
    for call in calls {
        world.reply(Reply::calls(std::slice::from_ref(call)));
    }
    world.reply(Reply::message("done"));
    let words = ["--json", "-s", "workspace-write", "--enable", "unified_exec", "go"];
    let ended = world.exec(&words);
    ended.exits(0);
    let outputs = world.outputs();
    assert_eq!(outputs.len(), calls.len(), "{outputs:?}");
    (ended, outputs)
}

/// The output in a chunk of a session that runs.
#[track_caller]
fn running(chunk: &str, session: u32) -> &str {
    output_of(chunk, &format!("Process running with session ID {session}\n"))
}

/// The output in the last chunk of a session.
#[track_caller]
fn exited(chunk: &str, code: i32) -> &str {
    output_of(chunk, &format!("Process exited with code {code}\n"))
}

#[track_caller]
fn output_of<'c>(chunk: &'c str, state: &str) -> &'c str {
    let mut lines = chunk.splitn(3, '\n');
    let id = lines.next().unwrap().strip_prefix("Chunk ID: ").unwrap_or_else(|| panic!("{chunk}"));
    assert!(id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{chunk}");
    let wall = lines.next().unwrap().strip_prefix("Wall time: ").unwrap();
    let wall = wall.strip_suffix(" seconds").unwrap();
    assert_eq!(wall.split_once('.').unwrap().1.len(), 4, "{chunk}");
    let rest = lines.next().unwrap();
    let rest = rest.strip_prefix(state).unwrap_or_else(|| panic!("{chunk}"));
    match rest.strip_prefix("Original token count: ") {
        Some(rest) => rest.split_once("\nOutput:\n").unwrap().1,
        None => rest.strip_prefix("Output:\n").unwrap_or_else(|| panic!("{chunk}")),
    }
}

/// As most of coreutils do on their way out, of which `; rm -rf x` was killed by a hangup.
#[test]
fn a_program_may_let_go_of_its_terminal_before_it_ends() {
    let world = &mut World::new();
    let line =
        "echo before; exec <&- >&- 2>&-; sleep 0.2; echo again > /dev/tty; sleep 0.2; exit 7";
    let more = json!({"tty": true, "yield_time_ms": 20_000});
    let (_, outputs) = check(world, &[start(line, &more)]);
    assert_eq!(exited(&outputs[0], 7), "before\r\nagain\r\n");
}

#[test]
fn a_session_has_a_terminal_and_is_talked_to() {
    let mut world = World::new();
    let script = "tty; stty size; echo term:$TERM; read line; echo got:$line; exit 4";
    let calls = [start(script, &json!({})), write(0, "hello\n", 30_000), write(0, "x", 250)];
    let (ended, outputs) = check(&mut world, &calls);
    let first = running(&outputs[0], 0);
    // With terminals of its own, a command's first one has a name from elsewhere.
    assert!(first.starts_with("/dev/pts/") || first.starts_with("/dev/console"), "{first}");
    assert!(first.ends_with("\r\n24 80\r\nterm:dumb\r\n"), "{first}");
    assert_eq!(exited(&outputs[1], 4), "hello\r\ngot:hello\r\n");
    assert!(outputs[2].starts_with("there is no session 0"), "{}", outputs[2]);
    let items: Vec<Value> = ended
        .lines()
        .into_iter()
        .filter(|line| line["item"]["type"] == "command_execution")
        .collect();
    let [started, completed] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(
        (&started["type"], &started["item"]["status"]),
        (&json!("item.started"), &json!("in_progress"))
    );
    let item = &completed["item"];
    assert_eq!(
        (&completed["type"], &item["id"]),
        (&json!("item.completed"), &started["item"]["id"])
    );
    assert_eq!((&item["exit_code"], &item["status"]), (&json!(4), &json!("failed")));
    assert_eq!(item["aggregated_output"], format!("{first}hello\r\ngot:hello\r\n"));
    assert_eq!(item["command"], format!("/bin/sh -c '{script}'"));
}

#[test]
fn a_command_that_exits_in_time_needs_no_session() {
    let mut world = World::new();
    let (ended, outputs) = check(&mut world, &[start("echo out; exit 3", &json!({"login": true}))]);
    assert_eq!(exited(&outputs[0], 3), "out\r\n");
    assert_eq!(ended.items("command_execution")[0]["aggregated_output"], "out\r\n");
    assert!(ended.took_ms < 5000, "{}", ended.took_ms);
}

#[test]
fn an_interactive_shell_keeps_its_state() {
    let mut world = World::new();
    let calls = [
        start("exec sh -i", &json!({})),
        write(0, "x=kept; cd /\n", WORDS_MS),
        write(0, "echo $x:$PWD\n", WORDS_MS),
        write(0, "exit 7\n", 30_000),
    ];
    let (_, outputs) = check(&mut world, &calls);
    running(&outputs[1], 0);
    assert!(running(&outputs[2], 0).contains("\nkept:/\r\n"), "{}", outputs[2]);
    exited(&outputs[3], 7);
}

#[test]
fn sessions_are_apart_and_nothing_of_them_is_left() {
    let mut world = World::new();
    let sleeper = "setsid sleep 600 & exec cat";
    let calls = [
        start(sleeper, &json!({"yield_time_ms": 500})),
        start("exec cat", &json!({"yield_time_ms": 500, "tty": false})),
        write(1, "to the second", WORDS_MS),
        write(0, "to the first\n", WORDS_MS),
        write(2, "to nobody", 500),
    ];
    // That nothing is left is looked after by the run itself.
    let (ended, outputs) = check(&mut world, &calls);
    assert_eq!((running(&outputs[0], 0), running(&outputs[1], 1)), ("", ""));
    assert_eq!(running(&outputs[2], 1), "to the second");
    assert_eq!(running(&outputs[3], 0), "to the first\r\nto the first\r\n");
    assert!(outputs[4].starts_with("there is no session 2"), "{}", outputs[4]);
    assert!(ended.had_children);
    let items = ended.items("command_execution");
    let ends: Vec<_> = items.iter().map(|item| (&item["status"], &item["exit_code"])).collect();
    assert_eq!(ends, [(&json!("failed"), &json!(-1)), (&json!("failed"), &json!(-1))]);
}

#[test]
fn ctrl_c_and_the_end_of_input_reach_both_kinds() {
    for tty in [true, false] {
        let mut world = World::new();
        let more = json!({"tty": tty});
        let calls = [
            start("trap 'echo caught; exit 5' INT; echo on; while :; do sleep 0.05; done", &more),
            write(0, "\u{3}", 30_000),
            start("cat; echo over", &more),
            write(1, "line\n\u{4}", 30_000),
        ];
        let (_, outputs) = check(&mut world, &calls);
        assert!(running(&outputs[0], 0).starts_with("on"), "{}", outputs[0]);
        assert!(exited(&outputs[1], 5).contains("caught"), "{}", outputs[1]);
        assert!(exited(&outputs[3], 0).contains("over"), "{}", outputs[3]);
    }
}

#[test]
fn an_end_is_told_to_whoever_asks_next() {
    let mut world = World::new();
    let calls = [
        start("sleep 1; echo late; exit 3", &json!({"yield_time_ms": 250})),
        // The first one ends while nobody looks at it.
        start("sleep 2; echo other", &json!({"yield_time_ms": 30_000})),
        write(0, "", 5000),
    ];
    let (ended, outputs) = check(&mut world, &calls);
    assert_eq!(running(&outputs[0], 0), "");
    assert_eq!(exited(&outputs[1], 0), "other\r\n");
    assert_eq!(exited(&outputs[2], 3), "late\r\n");
    let codes: Vec<Value> = ended
        .items("command_execution")
        .iter()
        .filter(|item| item["status"] != "in_progress")
        .map(|item| item["exit_code"].clone())
        .collect();
    assert_eq!(codes, [3, 0], "each is completed when it ends");
    assert!(ended.took_ms < 5000, "a poll is over when its session is: {}", ended.took_ms);
}

#[test]
fn a_flood_is_clipped_and_counted() {
    let mut world = World::new();
    let more = json!({"max_output_tokens": 100, "yield_time_ms": 30_000});
    let (ended, outputs) = check(&mut world, &[start("yes 123456 | head -c 30000000", &more)]);
    let output = exited(&outputs[0], 0);
    assert!(output.starts_with('…') && output.matches("tokens truncated…").count() == 2);
    assert!(output.len() < 100 * 4 + 200, "{}", output.len());
    // Each newline has become two characters.
    let tokens = (30_000_000_u64 + 30_000_000 / 7).div_ceil(4);
    assert!(outputs[0].contains(&format!("Original token count: {tokens}\n")), "{}", outputs[0]);
    let all = ended.items("command_execution")[0]["aggregated_output"].as_str().unwrap().len();
    assert!(all <= 10 << 10, "{all}");
    assert!(ended.memory_kib < 64 << 10, "{}", ended.memory_kib);
}

#[test]
fn a_program_that_does_not_read_holds_nothing_up() {
    let mut world = World::new();
    let much = "x".repeat(60 << 10);
    let calls = [
        start("sleep 600", &json!({"yield_time_ms": 250, "tty": false})),
        write(0, &much, 250),
        write(0, &much, 250),
        write(0, &much, 250),
        start("sleep 600", &json!({"yield_time_ms": 250})),
        write(1, &much, 250),
        start("echo still here", &json!({"yield_time_ms": 30_000})),
    ];
    let (_, outputs) = check(&mut world, &calls);
    assert_eq!(running(&outputs[2], 0), "");
    assert!(outputs[3].starts_with("nothing was written: the program has yet"), "{}", outputs[3]);
    assert_eq!(exited(&outputs[6], 0), "still here\r\n");
}

#[test]
fn an_interrupted_start_is_ended() {
    let mut world = World::new();
    let cmd = "echo begun; touch begun; sleep 600";
    world.reply(Reply::calls(&[start(cmd, &json!({"yield_time_ms": 30_000}))]));
    let words = ["--json", "-s", "workspace-write", "--enable", "unified_exec", "go"];
    let mut run = world.start(world.call(&words));
    world.until(&mut run, "the command runs", |world, _| world.cwd.join("begun").exists());
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    ended.exits(130);
    let item = ended.items("command_execution").pop().unwrap();
    assert_eq!((&item["status"], &item["exit_code"]), (&json!("failed"), &json!(-1)));
    assert_eq!(item["aggregated_output"], "begun\r\n");
}

#[test]
fn a_session_that_is_left_running_ends_with_what_it_has_printed() {
    let mut world = World::new();
    let cmd = "echo first; sleep 0.5; echo second; trap '' HUP TERM INT; sleep 600";
    let calls = [start(cmd, &json!({"yield_time_ms": 250})), start("echo other; cat", &json!({}))];
    let (ended, _) = check(&mut world, &calls);
    let lines = ended.lines();
    let [.., first, second, turn] = lines.as_slice() else { panic!("{lines:?}") };
    // Both are ended at once, and either may be the first to have told it.
    let mut both = [first, second];
    both.sort_by_key(|line| line["item"]["id"].to_string());
    for (line, output) in both.into_iter().zip(["first\r\nsecond\r\n", "other\r\n"]) {
        assert_eq!(line["type"], "item.completed");
        let item = &line["item"];
        assert_eq!((&item["status"], &item["exit_code"]), (&json!("failed"), &json!(-1)));
        assert_eq!(item["aggregated_output"], output);
    }
    assert_eq!(turn["type"], "turn.completed");
    assert!(ended.took_ms < 10_000, "{}", ended.took_ms);
}

#[test]
fn sessions_of_a_killed_agent_are_gone_and_forgotten() {
    let mut world = World::new();
    let cmd = "trap '' HUP TERM; setsid sleep 600 & cat";
    world.reply(Reply::calls(&[start(cmd, &json!({"yield_time_ms": 250}))]));
    world.reply(Reply::beginning("it runs"));
    let words = ["--json", "-s", "workspace-write", "--enable", "unified_exec", "go"];
    let mut run = world.start(world.call(&words));
    world.until(&mut run, "the session goes on", |world, _| world.requests().len() == 2);
    run.signal(libc::SIGKILL);
    let ended = world.finish(run);
    assert_eq!(ended.signal, Some(libc::SIGKILL));
    world.reply(Reply::calls(&[write(0, "x", 250)])).reply(Reply::message("done"));
    world.exec(&["--json", "resume", "--last", "go on"]).exits(0);
    assert!(world.outputs()[1].starts_with("there is no session 0"), "{:?}", world.outputs());
}

#[test]
fn sessions_are_offered_only_when_asked_for() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    world.exec(&["--enable", "unified_exec", "go"]).exits(0);
    let names = |request: &Value| -> Vec<String> {
        let tools = request["tools"].as_array().unwrap();
        tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect()
    };
    assert_eq!(names(world.body())[..2], ["exec_command", "write_stdin"]);
    let mut world = World::new();
    world.reply(Reply::message("done"));
    world.exec(&["go"]).exits(0);
    assert!(!names(world.body()).contains(&"exec_command".to_owned()));
}
