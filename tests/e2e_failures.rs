//! What goes wrong: providers that fail, people who interrupt, readers who leave, disks that are
//! full.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use support::reply::{self, End, Framing, Reply, completed, created, delta, done, failed};
use support::run::{Ended, Run, Stdin, Stdout};
use support::{World, outside, texts, types_of};

const OK: [&str; 4] =
    ["thread.started", "turn.started", "item.completed agent_message", "turn.completed"];

/// Runs one prompt against these answers; all of them are asked for.
fn check(replies: &[Reply], retries: (u32, u32), code: i32) -> (World, Ended) {
    let mut world = World::new();
    for reply in replies {
        world.reply(reply.clone());
    }
    let call = world.call(&["--json", "hi"]).retrying(retries.0, retries.1);
    let ended = world.run(call);
    ended.exits(code);
    assert_eq!(world.provider.unasked(), 0, "{ended}");
    assert_eq!(world.requests().len(), replies.len());
    let bodies: Vec<_> = world.requests().iter().map(|request| &request.body_bytes).collect();
    assert!(bodies.windows(2).all(|two| two[0] == two[1]), "the same request again");
    assert!(!ended.had_children);
    (world, ended)
}

/// The same for answers that are final; gives the message of the failure.
fn check_fatal(reply: Reply) -> String {
    let (_, ended) = check(&[reply], (4, 5), 1);
    assert_eq!(ended.types(), ["thread.started", "turn.started", "error", "turn.failed"]);
    let lines = ended.lines();
    assert_eq!(lines[2]["message"], lines[3]["error"]["message"]);
    lines[2]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_server_that_failed_once_is_asked_again_in_silence() {
    let replies = [Reply::status(500, "oops"), Reply::status(503, ""), Reply::message("ok")];
    let (_, ended) = check(&replies, (4, 5), 0);
    assert_eq!(ended.types(), OK);
}

#[test]
fn a_provider_says_when_to_come_back() {
    let busy = Reply::status(429, r#"{"error":{"message":"slow"}}"#).header("Retry-After", "1");
    let (_, ended) = check(&[busy, Reply::message("ok")], (4, 5), 0);
    assert_eq!(ended.types(), OK);
    assert!(ended.took_ms >= 1000, "{}", ended.took_ms);
    let limited = failed("rate_limit_exceeded", "Rate limit. Please try again in 0.5s.");
    let (_, ended) = check(&[Reply::events(&[limited]), Reply::message("ok")], (4, 5), 0);
    assert!(ended.took_ms >= 500, "{}", ended.took_ms);
}

#[test]
fn a_rate_limit_in_mid_response_is_told() {
    let limited = failed("rate_limit_exceeded", "Rate limit. Please try again in 0.1s.");
    let limited = Reply::events(&[created(), limited]);
    let (_, ended) = check(&[limited.clone(), limited, Reply::message("ok")], (4, 5), 0);
    let mut expected = OK.to_vec();
    expected.splice(2..2, ["error", "error"]);
    assert_eq!(ended.types(), expected);
    assert_eq!(ended.lines()[3]["message"], "Reconnecting... 2/5");
}

#[test]
fn a_stream_that_broke_is_told_and_begun_anew() {
    let broken = Reply::events(&[created(), delta("half an ans")]).ending(End::Dropped);
    let closed = Reply::events(&[created(), delta("half")]).framed(Framing::Close);
    let ended_early = Reply::events(&[created(), delta("half")]);
    let (_, ended) = check(&[broken, closed, ended_early, Reply::message("whole")], (4, 5), 0);
    let mut expected = OK.to_vec();
    expected.splice(2..2, ["error", "error", "error"]);
    assert_eq!(ended.types(), expected);
    for (number, line) in ended.lines()[2..5].iter().enumerate() {
        assert_eq!(line["message"], format!("Reconnecting... {}/5", number + 1));
    }
    assert_eq!(ended.items("agent_message")[0]["text"], "whole");
}

#[test]
fn retries_end() {
    let broken = Reply::events(&[created()]).ending(End::Dropped);
    let (world, ended) = check(&[broken.clone(), broken.clone(), broken], (0, 2), 1);
    let expected = ["thread.started", "turn.started", "error", "error", "error", "turn.failed"];
    assert_eq!(ended.types(), expected);
    let lines = ended.lines();
    let message = lines[5]["error"]["message"].as_str().unwrap();
    assert!(message.contains("stream disconnected before completion"), "{message}");
    let types = types_of(&world.records());
    let end = ["turn_context", "event_msg/error", "event_msg/task_complete"];
    assert_eq!(types[types.len() - 3..], end);
    let (_, ended) = check(&[Reply::status(502, "bad gateway")], (0, 0), 1);
    assert!(ended.stdout.contains("502"), "{ended}");
}

#[test]
fn a_silent_stream_is_given_up() {
    let mut world = World::new();
    world.reply(Reply::events(&[created()]).ending(End::Hung));
    world.reply(Reply::message("ok"));
    let call = world.call(&["--json", "hi"]).retrying(4, 5);
    let call = call.set("model_providers.mock.stream_idle_timeout_ms=1000");
    let ended = world.run(call);
    ended.exits(0);
    let lines = ended.lines();
    assert_eq!(lines[2]["message"], "Reconnecting... 1/5");
    assert_eq!(world.requests().len(), 2);
}

#[test]
fn what_was_said_before_a_break_is_not_lost() {
    let first = reply::message("said before");
    let broken = Reply::events(&[created(), done(&first), delta("and th")]).ending(End::Dropped);
    let mut world = World::new();
    world.reply(broken).reply(Reply::message("said after"));
    let ended = world.exec(&["--json", "hi"]);
    ended.exits(0);
    let said: Vec<_> = ended.items("agent_message");
    assert_eq!(said[0]["text"], "said before");
    assert_eq!(said[1]["text"], "said after");
    let again = texts(&world.requests()[1].body["input"], "assistant");
    assert_eq!(again, ["said before"], "what was done stays, what was begun does not");
}

#[test]
fn a_call_in_a_broken_stream_is_not_run() {
    let mut world = World::new();
    let call = reply::call("c1", "shell", r#"{"command":["touch","ran"]}"#);
    world.reply(Reply::events(&[created(), done(&call)]).ending(End::Dropped));
    world.reply(Reply::message("ok"));
    let ended = world.exec(&["--json", "-s", "workspace-write", "hi"]);
    ended.exits(0);
    assert!(!world.cwd.join("ran").exists());
    assert!(!ended.had_children);
    assert!(world.outputs().is_empty());
}

#[test]
fn what_will_not_come_back_is_not_asked_again() {
    let refused = check_fatal(Reply::status(400, r#"{"error":{"message":"bad shape"}}"#));
    assert!(refused.contains("400") && refused.contains("bad shape"), "{refused}");
    let denied = check_fatal(Reply::status(401, r#"{"error":{"message":"who are you"}}"#));
    assert!(denied.contains("401") && denied.contains("who are you"), "{denied}");
    let numbered = check_fatal(Reply::status(404, "no").header("x-request-id", "req-9"));
    assert!(numbered.contains("404") && numbered.contains("req-9"), "{numbered}");
    let limit = r#"{"error":{"type":"usage_limit_reached","plan_type":"plus"}}"#;
    let limit = check_fatal(Reply::status(429, limit));
    assert!(limit.contains("upgrade to Pro"), "{limit}");
    let full = failed("context_length_exceeded", "too long for me");
    let full = check_fatal(Reply::events(&[created(), full]));
    assert!(full.contains("too long for me"), "{full}");
    let quota = check_fatal(Reply::events(&[failed("insufficient_quota", "pay up")]));
    assert!(quota.contains("pay up"), "{quota}");
    let reason = json!({"type": "response.incomplete", "response": {
        "incomplete_details": {"reason": "max_output_tokens"}}});
    let reason = check_fatal(Reply::events(&[created(), reason]));
    assert!(reason.contains("max_output_tokens"), "{reason}");
}

#[test]
fn a_redirect_is_refused() {
    let elsewhere = Reply::status(307, "").header("location", "http://127.0.0.1:1/v1/responses");
    let message = check_fatal(elsewhere);
    assert!(message.contains("307") && message.contains("127.0.0.1:1"), "{message}");
}

#[test]
fn a_web_page_is_no_answer() {
    let page = "<html><body>Sign in to the network</body></html>";
    let page = Reply::status(200, page).header("content-type", "text/html");
    let message = check_fatal(page);
    assert!(message.contains("no stream of events"), "{message}");
    assert!(message.contains("is the base URL right?"), "{message}");
}

#[test]
fn nobody_listening_is_an_error() {
    let mut world = World::new();
    let call = world.call(&["--json", "hi"]).retrying(1, 1);
    world.provider.leave();
    let ended = world.run(call);
    ended.exits(1);
    assert_eq!(ended.types(), ["thread.started", "turn.started", "error", "error", "turn.failed"]);
    let lines = ended.lines();
    let message = lines[4]["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("gave up after 4 attempts in "), "{message}");
    assert!(message.contains(" s: connect to 127.0.0.1:"), "{message}");
    assert!(message.ends_with("connection refused"), "{message}");
    let call = world.call(&["hi"]).retrying(0, 0);
    let ended = world.run(call);
    ended.exits(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("connection refused"), "{ended}");
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    for is_tls in [false, true] {
        let mut world = if is_tls { World::tls() } else { World::new() };
        world.reply(Reply::script("sleep 0.1").ending(End::ProperAndGone));
        world.reply(Reply::script("true").ending(End::ProperAndGone));
        world.reply(Reply::message("done").ending(End::ProperAndGone));
        let ended = world.exec(&["--json", "go"]);
        ended.exits(0);
        assert!(!ended.types().contains(&"error".to_owned()), "{ended}");
        assert_eq!(world.provider.connections_count, 3);
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole_over_tls_too() {
    let mut world = World::tls();
    world.reply(Reply::message("whole").framed(Framing::Close));
    let ended = world.exec(&["--json", "hi"]);
    ended.exits(0);
    assert_eq!(ended.types(), OK);
}

#[test]
fn a_refusal_may_come_before_the_request_is_whole() {
    let mut world = World::new();
    world.provider.is_hasty = true;
    world.reply(Reply::status(413, r#"{"error":{"message":"far too long"}}"#));
    let call = world.call(&["--json"]).piped("0123456789abcde\n".repeat(512 << 10));
    let ended = world.run(call);
    ended.exits(1);
    let lines = ended.lines();
    let message = lines.last().unwrap()["error"]["message"].as_str().unwrap();
    assert!(message.contains("413") && message.contains("far too long"), "{message}");
}

#[test]
fn nonsense_from_a_provider_does_no_harm() {
    let mut events = vec![json!({"type": "response.of_the_future", "x": [1, {"y": null}]})];
    events.push(json!({"type": "response.output_item.done", "item": {"type": "of_the_future"}}));
    events.push(json!({"type": "response.output_item.done"}));
    events.push(json!({"type": "response.output_text.delta", "delta": 7}));
    events.extend([done(&reply::message("still here")), completed()]);
    let (_, ended) = check(&[Reply::events(&events)], (0, 0), 0);
    assert_eq!(ended.types(), OK);
    let garbage = Reply::status(200, "data: {not json\n\nnonsense\n\ndata: [1]\n\n")
        .header("content-type", "text/event-stream");
    let (_, ended) = check(&[garbage], (0, 0), 1);
    assert!(ended.stdout.contains("before response.completed"), "{ended}");
}

/// A run in the middle of a message.
fn in_mid_stream(world: &mut World) -> Run {
    world.reply(Reply::beginning("half a thought"));
    let call = world.call(&["--json", "think"]);
    let mut run = world.start(call);
    world.until(&mut run, "a request", |world, _| !world.requests().is_empty());
    world.settle(&mut run);
    run
}

#[test]
fn an_interrupt_keeps_what_was_said_so_far() {
    let mut world = World::new();
    let mut run = in_mid_stream(&mut world);
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    ended.exits(130);
    // As with the peer: the SDK would throw a failure of the model instead of an AbortError.
    let types = ended.types();
    assert_eq!(types[2..], ["item.completed agent_message"], "{types:?}");
    let records = world.records();
    let types = types_of(&records);
    assert!(types.contains(&"event_msg/turn_aborted".to_owned()), "{types:?}");
    let said: Vec<_> = records.iter().map(|record| record["payload"].clone()).collect();
    assert_eq!(texts(&Value::Array(said), "assistant"), ["half a thought"]);
    world.reply(Reply::message("a whole one"));
    world.exec(&["--json", "resume", "--last", "go on"]).exits(0);
    let input = &world.requests()[1].body["input"];
    assert_eq!(texts(input, "assistant"), ["half a thought"]);
    assert_eq!(texts(input, "user").last().unwrap(), "go on");
}

#[test]
fn termination_says_so() {
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129)] {
        let mut world = World::new();
        let mut run = in_mid_stream(&mut world);
        run.signal(signal);
        let ended = world.finish(run);
        ended.exits(code);
        assert!(!ended.stdout.contains("turn.failed"), "{}", ended.stdout);
        assert!(types_of(&world.records()).contains(&"event_msg/turn_aborted".to_owned()));
    }
}

#[test]
fn an_interrupt_before_the_prompt_ends_the_run() {
    let mut world = World::new();
    let call = world.call(&["--json"]).stdin(Stdin::Held);
    let mut run = world.start(call);
    world.until(&mut run, "a notice", |_, run| run.stderr().contains("reading the prompt"));
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    ended.exits(130);
    assert_eq!(ended.stdout, "");
    assert!(world.rollouts().is_empty());
}

#[test]
fn an_interrupt_between_retries_ends_the_run() {
    let mut world = World::new();
    world.reply(Reply::status(429, "later").header("retry-after", "50"));
    let call = world.call(&["--json", "hi"]);
    let mut run = world.start(call);
    world.until(&mut run, "a request", |world, _| !world.requests().is_empty());
    world.settle(&mut run);
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    ended.exits(130);
    assert!(ended.took_after_signal_ms < 20_000, "{}", ended.took_after_signal_ms);
}

/// A run in the middle of a command that does not listen.
fn in_mid_command(world: &mut World, script: &str) -> Run {
    world.reply(Reply::script(script));
    let call = world.call(&["--json", "-s", "workspace-write", "run it"]);
    let mut run = world.start(call);
    world.until(&mut run, "the command runs", |world, _| world.cwd.join("running").exists());
    run
}

const STUBBORN: &str = "trap '' TERM INT; sleep 600 & touch running; sleep 600; sleep 600";

#[test]
fn an_interrupt_ends_the_command_and_answers_the_call() {
    let mut world = World::new();
    let script = "echo so far; sleep 600 & touch running; sleep 600";
    let mut run = in_mid_command(&mut world, script);
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    ended.exits(130);
    let command = &ended.items("command_execution")[0];
    assert_eq!((&command["status"], &command["exit_code"]), (&json!("failed"), &json!(-1)));
    assert_eq!(command["aggregated_output"], "so far\n");
    let records = world.records();
    let output =
        records.iter().find(|record| record["payload"]["type"] == "function_call_output").unwrap()
            ["payload"]["output"]
            .to_string();
    assert!(output.contains("seconds\\naborted by user\\nOutput:\\nso far"), "{output}");
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", "--last", "go on"]).exits(0);
    let output = &world.outputs()[0];
    assert!(output.starts_with("Wall time: "), "{output}");
    assert!(output.ends_with(" seconds\naborted by user\nOutput:\nso far\n"), "{output}");
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let mut world = World::new();
    let mut run = in_mid_command(&mut world, STUBBORN);
    run.signal(libc::SIGINT);
    world.settle(&mut run);
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    ended.exits(130);
    assert!(ended.took_after_signal_ms < 2500, "{}", ended.took_after_signal_ms);
}

#[test]
fn a_command_that_does_not_listen_is_ended_all_the_same() {
    let mut world = World::new();
    let mut run = in_mid_command(&mut world, STUBBORN);
    run.signal(libc::SIGTERM);
    let ended = world.finish(run);
    ended.exits(143);
    assert!(ended.took_after_signal_ms >= 2900, "{}", ended.took_after_signal_ms);
}

#[test]
fn a_killed_agent_leaves_nothing_behind() {
    let mut world = World::new();
    let script = "trap '' TERM; setsid sleep 600 & (setsid sleep 600 &) ; touch running; sleep 600";
    let mut run = in_mid_command(&mut world, script);
    run.signal(libc::SIGKILL);
    let ended = world.finish(run);
    assert_eq!(ended.signal, Some(libc::SIGKILL));
    assert!(ended.had_children);
    let types = types_of(&world.records());
    assert!(types.contains(&"response_item/function_call".to_owned()), "{types:?}");
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", "--last", "go on"]).exits(0);
    assert_eq!(world.outputs(), ["aborted"]);
}

#[test]
fn a_reader_that_leaves_ends_the_turn_quietly() {
    let mut world = World::new();
    let events = [created(), done(&reply::message("nobody listens"))];
    world.reply(Reply::events(&events).held().ending(End::Hung));
    let call = world.call(&["--json", "hi"]);
    let mut run = world.start(call);
    world.until(&mut run, "the first line", |_, run| run.stdout().contains('\n'));
    run.stop_reading();
    world.provider.is_released = true;
    let ended = world.finish(run);
    ended.exits(141);
    assert_eq!(ended.stderr, "");
    assert!(types_of(&world.records()).contains(&"event_msg/turn_aborted".to_owned()));
}

#[test]
fn a_reader_that_left_is_noticed_with_the_next_line() {
    let mut world = World::new();
    world.reply(Reply::script("touch ran"));
    let call = world.call(&["--json", "hi"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = world.start(call.stdout(Stdout::To(writer.into())));
    let ended = world.finish(run);
    ended.exits(141);
    assert_eq!(ended.stderr, "");
    assert!(!world.cwd.join("ran").exists());
}

#[test]
fn a_reader_that_stalls_is_waited_for() {
    let mut world = World::new();
    let line = "0123456789abcdef".repeat(4096);
    let items: Vec<Value> = (0..200).map(|_| reply::message(&line)).collect();
    world.reply(Reply::items(&items));
    let call = world.call(&["--json", "hi"]).stdout(Stdout::Stalled);
    let mut run = world.start(call);
    world.until(&mut run, "a request", |world, _| !world.requests().is_empty());
    let mut before = 0;
    world.until(&mut run, "it sleeps and takes nothing more", |world, run| {
        outside::poll(&mut [], 50);
        let now = world.provider.pending_bytes();
        std::mem::replace(&mut before, now) == now && run.sleeps()
    });
    assert!(before > 4 << 20, "most of it was not taken: {before}");
    let (cpu_ticks, memory_kib) = (run.cpu_ticks(), run.memory_kib());
    world.pass(&mut run, Duration::from_millis(300));
    assert!(run.sleeps());
    assert!(run.cpu_ticks() - cpu_ticks <= 2);
    assert_eq!((world.provider.pending_bytes(), run.memory_kib()), (before, memory_kib));
    assert!(memory_kib < 24 << 10, "{memory_kib} KiB");
    run.is_reading = true;
    let ended = world.finish(run);
    ended.exits(0);
    assert_eq!(ended.items("agent_message").len(), 200);
    assert_eq!(ended.types().last().unwrap(), "turn.completed");
}

#[test]
fn a_session_that_cannot_be_kept_fails() {
    let mut world = World::new();
    fs::write(world.home.join("sessions"), "not a directory").unwrap();
    let ended = world.exec(&["--json", "hi"]);
    ended.exits(1);
    let lines = ended.lines();
    let last = lines.last().unwrap();
    assert_eq!(last["type"], "turn.failed", "{ended}");
    let message = last["error"]["message"].as_str().unwrap();
    assert!(message.contains("append to the rollout"), "{message}");
    assert!(message.contains("sessions"), "{message}");
    assert_eq!(world.requests().len(), 0, "nothing is asked that could not be kept");
}

#[test]
fn a_disk_that_fills_up_ends_the_turn() {
    let mut world = World::new();
    world.reply(Reply::message(&"a long answer ".repeat(2000)));
    let mut call = world.call(&["--json", "hi"]);
    call.file_bytes_max = Some(16 << 10);
    let ended = world.run(call);
    ended.exits(1);
    let lines = ended.lines();
    let last = lines.last().unwrap();
    assert_eq!(last["type"], "turn.failed", "{ended}");
    let message = last["error"]["message"].as_str().unwrap();
    assert!(message.contains("append to the rollout"), "{message}");
    assert!(!ended.stdout.contains("a long answer"), "what is not kept is not shown");
    let types = types_of(&world.records());
    let begun = ["session_meta", "event_msg/task_started", "response_item/message"];
    assert_eq!(types[..3], begun, "cut back to whole lines");
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", "--last", "go on"]).exits(0);
}

#[test]
fn a_file_over_its_limit_is_an_error_and_no_signal() {
    let mut world = World::new();
    world.reply(Reply::message(&"a long answer ".repeat(2000)));
    world.exec(&["--json", "hi"]).exits(0);
    let mut call = world.call(&["--json", "resume", "--last", "go on"]);
    call.file_bytes_max = Some(16 << 10);
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stdout.contains("append to the rollout"), "{ended}");
}
