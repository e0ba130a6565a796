//! Conversations that no longer fit: summed up, recorded, gone on with.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::World;
use support::reply::{Reply, completed, created, done, failed, message};
use support::run::Ended;
use support::{texts, types_of};

/// What every scripted response counts.
const RESPONSE_TOKENS: &str = "model_auto_compact_token_limit=120";

/// Runs with these words, the limit at what one response counts.
fn limited(world: &mut World, words: &[&str]) -> Ended {
    let settings = ["--json", "-c", RESPONSE_TOKENS, "-c", "compact_prompt=notes please"];
    world.exec(&[&settings[..], words].concat())
}

fn too_long() -> Reply {
    Reply::events(&[created(), failed("context_length_exceeded", "too long")])
}

/// The request asks for a summary, and for nothing else.
#[track_caller]
fn asks_for_summary(world: &World, index: usize) -> &Value {
    let request = &world.requests()[index];
    assert_eq!(request.headers.get("x-openai-subagent").map(String::as_str), Some("compact"));
    assert_eq!(request.body["tools"], json!([]));
    assert_eq!(request.body["text"], Value::Null);
    &request.body["input"]
}

/// The request's input is the environment, what the user said, and last a summary that ends so.
#[track_caller]
fn goes_on_from(world: &World, index: usize, said: &[&str], summary: &str) {
    let request = &world.requests()[index];
    assert_eq!(request.headers.get("x-openai-subagent"), None);
    assert_ne!(request.body["tools"], json!([]));
    let texts = texts(&request.body["input"], "user");
    assert!(texts[0].starts_with("<environment_context>"), "{texts:?}");
    assert_eq!(texts[1..=said.len()], *said);
    assert!(texts[said.len() + 1].ends_with(summary), "{texts:?}");
}

#[test]
fn a_turn_that_gets_too_long_is_summed_up_in_its_middle() {
    let mut world = World::new();
    world.file("schema.json", "{\"type\":\"object\"}");
    world.reply(Reply::script("echo hi")).reply(Reply::message("the notes"));
    world.reply(Reply::message("done"));
    let ended = limited(&mut world, &["--output-schema", "schema.json", "go"]);
    ended.exits(0);
    assert_eq!(world.requests().len(), 3, "no answer is asked for after the last one");
    let asked = asks_for_summary(&world, 1);
    assert_eq!(texts(asked, "user").last().unwrap(), "notes please");
    assert_eq!(asked.as_array().unwrap().len(), 5, "{asked}");
    goes_on_from(&world, 2, &["go"], "the notes");
    let body = &world.requests()[2].body;
    assert_eq!(body["input"].as_array().unwrap().len(), 3);
    assert_eq!(body["text"]["format"]["schema"], json!({"type": "object"}));

    let [error] = &ended.items("error")[..] else { panic!("{}", ended.stdout) };
    assert!(error["message"].as_str().unwrap().contains("summed up"));
    let messages = ended.items("agent_message");
    assert_eq!(messages.len(), 1, "a summary is no message: {messages:?}");
    assert_eq!(messages[0]["text"], "done");

    let records = world.records();
    let compacted = records.iter().find(|record| record["type"] == "compacted").unwrap();
    let payload = &compacted["payload"];
    let kept = texts(&payload["replacement_history"], "user");
    assert_eq!((kept.len(), &*kept[1]), (3, "go"));
    assert_eq!(payload["message"], kept[2]);
}

#[test]
fn a_session_goes_on_from_its_summary() {
    let mut world = World::new();
    world.reply(Reply::script("echo hi")).reply(Reply::message("the notes"));
    world.reply(Reply::message("done"));
    limited(&mut world, &["go"]).exits(0);
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", "--last", "and now"]).exits(0);
    goes_on_from(&world, 3, &["go"], "the notes");
    let input = &world.requests()[3].body["input"];
    assert_eq!(texts(input, "assistant"), ["done"]);
    assert_eq!(texts(input, "user").last().unwrap(), "and now");
    assert_eq!(input.as_array().unwrap().len(), 5, "{input}");
    let types = types_of(&world.records());
    assert_eq!(types.iter().filter(|kind| *kind == "session_meta").count(), 1, "{types:?}");
}

#[test]
fn a_session_that_was_too_long_is_summed_up_before_its_next_prompt() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    limited(&mut world, &["go"]).exits(0);
    assert_eq!(world.requests().len(), 1, "a turn that has finished is not gone on with");
    world.reply(Reply::message("the notes")).reply(Reply::message("gone on"));
    limited(&mut world, &["resume", "--last", "and now"]).exits(0);
    let asked = texts(asks_for_summary(&world, 1), "user");
    assert_eq!(asked[1..], ["go", "notes please"], "the new prompt is not summed up");
    goes_on_from(&world, 2, &["go"], "the notes");
    assert_eq!(texts(&world.requests()[2].body["input"], "user").last().unwrap(), "and now");
}

#[test]
fn a_window_that_is_exceeded_is_summed_up_and_tried_again() {
    let mut world = World::new();
    world.reply(Reply::script("seq 1000")).reply(too_long()).reply(too_long());
    world.reply(Reply::message("the notes")).reply(Reply::message("done"));
    let ended = world.exec(&["--json", "go"]);
    ended.exits(0);
    let first = asks_for_summary(&world, 2).to_string();
    let second = asks_for_summary(&world, 3).to_string();
    assert!(first.contains("write the notes") && second.contains("write the notes"));
    assert!(second.len() < first.len(), "what did not fit is not sent again");
    goes_on_from(&world, 4, &["go"], "the notes");
    assert!(!ended.types().contains(&"error".to_owned()), "{}", ended.stdout);
    assert_eq!(ended.items("agent_message")[0]["text"], "done");
}

#[test]
fn a_conversation_that_cannot_be_summed_up_is_not_lost() {
    let mut world = World::new();
    world.reply(Reply::script("echo hi")).reply(too_long());
    world.reply(Reply::status(400, "{\"error\":{\"message\":\"no summaries today\"}}"));
    let ended = world.exec(&["--json", "go"]);
    ended.exits(1);
    assert!(ended.stdout.contains("could not be summed up"), "{}", ended.stdout);
    assert!(ended.stdout.contains("no summaries today"), "{}", ended.stdout);
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", "--last", "-c", "model_context_window=1000000", "and now"]);
    let input = world.requests().last().unwrap().body["input"].to_string();
    assert!(input.contains("echo hi") && input.contains("hi\\n"), "{input}");
}

#[test]
fn an_interrupt_while_it_is_summed_up_loses_nothing() {
    let mut world = World::new();
    world.reply(Reply::script("echo hi")).reply(Reply::beginning("half of the no"));
    let settings = ["--json", "-c", RESPONSE_TOKENS];
    let call = world.call(&[&settings[..], &["go"]].concat());
    let mut run = world.start(call);
    world.until(&mut run, "the summary was asked for", |world, _| world.requests().len() == 2);
    world.settle(&mut run);
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    ended.exits(130);
    assert!(!ended.stdout.contains("half of"), "{}", ended.stdout);
    let types = types_of(&world.records());
    assert!(!types.contains(&"compacted".to_owned()), "{types:?}");
    assert!(types.contains(&"event_msg/turn_aborted".to_owned()), "{types:?}");
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", "--last", "and now"]).exits(0);
    assert_eq!(world.outputs().len(), 1);
}

#[test]
fn what_is_too_long_all_the_same_fails_with_both_numbers() {
    let mut world = World::new();
    world.reply(Reply::script("echo hi")).reply(Reply::message("the notes"));
    world.reply(Reply::script("echo ho"));
    let ended = limited(&mut world, &["go"]);
    ended.exits(1);
    assert_eq!(world.requests().len(), 3, "it is not summed up for ever");
    assert!(ended.stdout.contains("still takes 120 tokens; the limit is 120"), "{}", ended.stdout);
}

#[test]
fn people_are_told_beside_the_answer() {
    let mut world = World::new();
    let reasoned = [created(), done(&message("the notes")), completed()];
    world.reply(Reply::script("echo hi")).reply(Reply::events(&reasoned));
    world.reply(Reply::message("done"));
    let ended = world.exec(&["-c", RESPONSE_TOKENS, "go"]);
    ended.exits(0);
    assert_eq!(ended.stdout, "done\n");
    assert!(ended.stderr.contains("summing up the conversation...\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("warning: the conversation was summed up"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("the notes"), "{}", ended.stderr);
}

#[test]
fn a_prompt_for_summaries_is_read_from_its_file() {
    let mut world = World::new();
    world.file("notes.md", "write it on a napkin");
    world.reply(Reply::script("echo hi")).reply(Reply::message("the notes"));
    world.reply(Reply::message("done"));
    let file = "experimental_compact_prompt_file=notes.md";
    world.exec(&["--json", "-c", RESPONSE_TOKENS, "-c", file, "go"]).exits(0);
    let asked = asks_for_summary(&world, 1);
    assert_eq!(texts(asked, "user").last().unwrap(), "write it on a napkin");
    let ended = world.exec(&["--json", "-c", "experimental_compact_prompt_file=none.md", "go"]);
    ended.exits(1);
    assert!(ended.stderr.contains("the prompt for summaries"), "{}", ended.stderr);
}

#[test]
fn a_foreign_summary_is_gone_on_from() {
    let mut world = World::new();
    let id = "01990000-0000-7000-8000-0000000000aa";
    let said = |role: &str, kind: &str, text: &str| {
        let content = json!([{"type": kind, "text": text}]);
        json!({"type": "message", "role": role, "content": content})
    };
    let line = |kind: &str, payload: Value| json!({"timestamp": "2025-11-07T10:00:00.000Z", "type": kind, "payload": payload});
    let environment = "<environment_context>\n  <cwd>/elsewhere</cwd>\n</environment_context>";
    let lines = [
        line(
            "session_meta",
            json!({
                "id": id, "timestamp": "2025-11-07T10:00:00.000Z", "cwd": "/elsewhere",
                "originator": "codex_exec", "cli_version": "0.58.0", "instructions": null,
                "source": "exec", "model_provider": "mock",
            }),
        ),
        line("response_item", said("user", "input_text", environment)),
        line("response_item", said("user", "input_text", "first")),
        line("response_item", said("assistant", "output_text", "forgotten")),
        line("compacted", json!({"message": "their notes"})),
        line("response_item", said("assistant", "output_text", "remembered")),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let path = world.file(&format!("rollout-2025-11-07T10-00-00-{id}.jsonl"), text);
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", path.to_str().unwrap(), "and now"]).exits(0);
    let input = &world.body()["input"];
    let texts = texts(input, "user");
    assert_eq!((&*texts[0], &*texts[3]), ("first", "and now"));
    assert!(texts[1].ends_with("their notes"), "{texts:?}");
    assert!(texts[2].starts_with("<environment_context>") && !texts[2].contains("/elsewhere"));
    assert!(!input.to_string().contains("forgotten") && input.to_string().contains("remembered"));
    assert!(fs::read_to_string(path).unwrap().contains("gone on"));
}

#[test]
fn a_server_of_chat_completions_that_says_so_in_words_is_understood() {
    let mut world = World::new();
    let chunk = |delta: Value, finish: Value| {
        let chunk = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        format!("data: {chunk}\n\n")
    };
    let says = |text: &str| {
        let said = chunk(json!({"content": text}), Value::Null) + &chunk(json!({}), json!("stop"));
        Reply::raw(said + "data: [DONE]\n\n")
    };
    let arguments = json!({"command": ["echo", "hi"]}).to_string();
    let function = json!({"name": "shell", "arguments": arguments});
    let calls = json!({"tool_calls": [{"index": 0, "id": "c1", "function": function}]});
    let asks = chunk(calls, Value::Null) + &chunk(json!({}), json!("tool_calls"));
    world.reply(Reply::raw(asks + "data: [DONE]\n\n"));
    let message = "the request exceeds the available context size, try increasing it";
    let refusal = json!({"error": {"code": 400, "message": message}});
    world.reply(Reply::status(400, &refusal.to_string()));
    world.reply(says("the notes")).reply(says("done"));
    let call = world.call(&["--json", "go"]).retrying(2, 2);
    let call = call.set("model_providers.mock.wire_api=chat").set("model=mistral");
    let ended = world.run(call);
    ended.exits(0);
    let asked = &world.requests()[2];
    assert_eq!(asked.headers.get("x-openai-subagent").map(String::as_str), Some("compact"));
    assert_eq!(asked.body["tools"], Value::Null);
    let messages = world.requests()[3].body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert!(messages[3]["content"].as_str().unwrap().ends_with("the notes"));
    assert_eq!(ended.items("agent_message")[0]["text"], "done");
}
