//! Turns over Chat Completions: what is asked, what is understood, and what is forgiven.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::reply::{Cut, End, Framing, Reply};
use support::run::{Call, Ended};
use support::{World, types_of};

/// A call whose provider speaks this wire.
fn call(world: &World, words: &[&str]) -> Call {
    world.call(words).retrying(2, 2).set("model_providers.mock.wire_api=chat").set("model=mistral")
}

fn exec(world: &mut World, words: &[&str]) -> Ended {
    let call = call(world, words);
    world.run(call)
}

fn delta(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn text(text: &str) -> Value {
    delta(json!({ "content": text }))
}

fn reasoning(text: &str) -> Value {
    delta(json!({ "reasoning": text }))
}

/// A piece of a call; the first one of each has an id and a name.
fn piece(index: u64, id: Option<&str>, arguments: &str) -> Value {
    let mut function = json!({ "arguments": arguments });
    let mut call = json!({ "index": index });
    if let Some(id) = id {
        function["name"] = "shell".into();
        call["id"] = id.into();
        call["type"] = "function".into();
    }
    call["function"] = function;
    delta(json!({ "tool_calls": [call] }))
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn usage() -> Value {
    json!({"choices": [], "usage": {
        "prompt_tokens": 50,
        "completion_tokens": 7,
        "total_tokens": 57,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }})
}

/// A stream of these chunks that ends without a word.
fn closed(chunks: &[Value]) -> Reply {
    let body: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    Reply::status(200, &body).header("content-type", "text/event-stream").framed(Framing::Chunked)
}

fn whole(chunks: &[Value]) -> Reply {
    let mut body: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    body += "data: [DONE]\n\n";
    Reply::status(200, &body).header("content-type", "text/event-stream").framed(Framing::Chunked)
}

fn message(said: &str) -> Reply {
    whole(&[text(""), text(said), finish("stop"), usage()])
}

/// Two calls whose pieces come mixed.
fn two_calls() -> Reply {
    whole(&[
        reasoning("hm "),
        text("I look."),
        piece(0, Some("call_a"), r#"{"command":["#),
        piece(1, Some("call_b"), r#"{"command":["echo","#),
        piece(0, None, r#""bash","-c","echo A"]}"#),
        piece(1, None, r#""B"]}"#),
        finish("tool_calls"),
        usage(),
    ])
}

/// The messages of the last request, without what every turn begins with.
fn messages(world: &World) -> Vec<Value> {
    let body = &world.requests().last().unwrap().body;
    let messages = body["messages"].as_array().unwrap();
    let prompt = messages.iter().rposition(|message| message["role"] == "user").unwrap();
    messages[prompt..].to_vec()
}

#[test]
fn a_local_server_without_responses_is_spoken_to_as_it_understands() {
    let mut world = World::new();
    world.reply(Reply::status(404, "404 page not found"));
    world.reply(two_calls());
    world.reply(message("done"));
    let url = world.provider.url();
    let call = world.call(&["--json", "--oss", "-m", "qwen", "hi"]);
    let ended = world.run(call.env("CODEX_OSS_BASE_URL", &url));
    ended.exits(0);
    assert_eq!(ended.items("agent_message")[1]["text"], "done");
    let requests = world.requests();
    assert_eq!(requests.len(), 3, "it is not asked for Responses again");
    assert!(requests[0].body["input"].is_array());
    assert!(requests[1..].iter().all(|request| request.body["messages"].is_array()));
}

#[test]
fn a_message_is_asked_for_and_understood() {
    for cut in [Cut::Whole, Cut::Odd] {
        let mut world = World::new();
        world.reply(message("hello there").cut(cut));
        let ended = exec(&mut world, &["--json", "hi"]);
        ended.exits(0);
        assert_eq!(ended.items("agent_message")[0]["text"], "hello there");
        let counted = json!({"input_tokens": 50, "cached_input_tokens": 40, "output_tokens": 7});
        let told = ended.lines().last().unwrap()["usage"].clone();
        for (name, count) in counted.as_object().unwrap() {
            assert_eq!(&told[name], count, "{name}");
        }
        let [request] = world.requests() else { panic!() };
        assert_eq!((&*request.method, &*request.target), ("POST", "/v1/chat/completions"));
        assert_eq!(request.headers["accept"], "text/event-stream");
        assert_eq!(request.headers["originator"], "codex_exec");
        assert!(request.headers.contains_key("user-agent"));
        for name in ["conversation_id", "session_id", "thread-id", "x-client-request-id"] {
            assert!(!request.headers.contains_key(name), "{name}");
        }
        let body = &request.body;
        assert_eq!((&body["model"], &body["stream"]), (&"mistral".into(), &true.into()));
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
        let roles = body["messages"].as_array().unwrap().iter().map(|message| &message["role"]);
        assert_eq!(roles.clone().next().unwrap(), "system");
        assert!(roles.clone().all(|role| role == "system" || role == "user"));
        assert_eq!(messages(&world), [json!({"role": "user", "content": "hi"})]);
        let tools = body["tools"].as_array().unwrap();
        let names: Vec<_> = tools.iter().map(|tool| &tool["function"]["name"]).collect();
        assert_eq!(names, ["shell", "update_plan", "apply_patch"]);
        for absent in
            ["tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format", "input"]
        {
            assert!(body.get(absent).is_none(), "{absent}");
        }
    }
}

#[test]
fn parallel_calls_are_run_and_answered_in_one_go() {
    let mut world = World::new();
    world.reply(two_calls()).reply(message("done"));
    let ended = exec(&mut world, &["--json", "go"]);
    ended.exits(0);
    assert_eq!(ended.items("command_execution").len(), 2);
    let [prompt, said, first, second] = messages(&world).try_into().unwrap();
    assert_eq!(prompt["content"], "go");
    let call = |id: &str, arguments: Value| {
        let function = json!({"name": "shell", "arguments": arguments.to_string()});
        json!({"id": id, "type": "function", "function": function})
    };
    let expected = json!({
        "role": "assistant",
        "content": "I look.",
        "reasoning": "hm ",
        "tool_calls": [
            call("call_a", json!({"command": ["bash", "-c", "echo A"]})),
            call("call_b", json!({"command": ["echo", "B"]})),
        ],
    });
    assert_eq!(said, expected);
    for (message, id, output) in [(&first, "call_a", "A\n"), (&second, "call_b", "B\n")] {
        assert_eq!((&message["role"], &message["tool_call_id"]), (&"tool".into(), &id.into()));
        let content = message["content"].as_str().unwrap();
        assert!(content.starts_with("Exit code: 0\nWall time: "), "{content}");
        assert!(content.ends_with(&format!("Output:\n{output}")), "{content}");
    }
}

#[test]
fn a_session_goes_on_without_the_reasoning_of_earlier_turns() {
    let mut world = World::new();
    world.reply(two_calls()).reply(whole(&[reasoning("so "), text("done"), finish("stop")]));
    let ended = exec(&mut world, &["--json", "go"]);
    ended.exits(0);
    world.reply(message("again"));
    exec(&mut world, &["resume", &ended.thread(), "more"]).exits(0);
    let body = &world.requests()[2].body;
    let text = body.to_string();
    assert!(text.contains("call_a") && text.contains("\"done\""), "{text}");
    assert!(!text.contains("\"reasoning\""), "{text}");
    assert!(types_of(&world.records()).contains(&"response_item/reasoning".to_owned()));
}

#[test]
fn a_patch_is_a_function_and_is_applied() {
    let mut world = World::new();
    let patch = "*** Begin Patch\n*** Add File: new.txt\n+hello\n*** End Patch";
    let arguments = json!({ "input": patch }).to_string();
    let function = json!({"name": "apply_patch", "arguments": arguments});
    let asked = delta(json!({"tool_calls": [{"index": 0, "function": function}]}));
    world.reply(whole(&[asked, finish("tool_calls")])).reply(message("done"));
    let call = call(&world, &["-s", "workspace-write", "go"]).set("model=gpt-5.1-codex");
    world.run(call).exits(0);
    assert_eq!(world.read("new.txt"), "hello\n");
    let tools = world.requests()[0].body["tools"].as_array().unwrap();
    assert!(tools.iter().all(|tool| tool["type"] == "function"), "{tools:?}");
    let [_, said, output] = messages(&world).try_into().unwrap();
    assert_eq!(said["tool_calls"][0]["id"], output["tool_call_id"], "an id was made");
}

#[test]
fn raw_reasoning_is_shown_when_asked_for() {
    for (shown, setting) in [(true, "true"), (false, "false")] {
        let mut world = World::new();
        world.reply(whole(&[reasoning("deep "), reasoning("thought"), text("yes")]));
        let call = call(&world, &["hi"]).set(&format!("show_raw_agent_reasoning={setting}"));
        let ended = world.run(call);
        ended.exits(0);
        assert_eq!(ended.stderr.contains("deep thought"), shown, "{ended}");
        assert_eq!(ended.stdout.trim(), "yes");
    }
}

#[test]
fn a_schema_and_an_effort_are_passed_on() {
    let mut world = World::new();
    world.reply(message("{}"));
    let path = world.root.join("schema.json");
    fs::write(&path, r#"{ "type": "object" }"#).unwrap();
    let call = call(&world, &["--output-schema", path.to_str().unwrap(), "hi"]);
    world.run(call.set("model_reasoning_effort=high")).exits(0);
    let expected = json!({"type": "json_schema", "json_schema": {
        "name": "codex_output_schema", "strict": true, "schema": {"type": "object"}}});
    assert_eq!(world.body()["response_format"], expected);
    assert_eq!(world.body()["reasoning_effort"], "high");
}

#[test]
fn a_server_that_does_not_count_tokens_is_asked_without() {
    let mut world = World::new();
    let refusal = r#"{"error":{"message":"Unknown parameter: 'stream_options'."}}"#;
    world.reply(Reply::status(400, refusal)).reply(two_calls()).reply(message("done"));
    let ended = exec(&mut world, &["--json", "hi"]);
    ended.exits(0);
    assert!(!ended.types().iter().any(|kind| kind == "error"), "{ended}");
    let asks = |request: &support::provider::Request| request.body.get("stream_options").is_some();
    let asked: Vec<bool> = world.requests().iter().map(asks).collect();
    assert_eq!(asked, [true, false, false], "once is enough");
    let mut world = World::new();
    world.reply(Reply::status(400, refusal)).reply(Reply::status(400, refusal));
    exec(&mut world, &["--json", "hi"]).exits(1);
    assert_eq!(world.requests().len(), 2);
}

#[test]
fn refusals_mean_what_they_mean_on_the_other_wire() {
    let mut world = World::new();
    let busy = Reply::status(429, r#"{"error":{"message":"slow"}}"#).header("Retry-After", "1");
    world.reply(busy).reply(Reply::status(500, "oops")).reply(message("ok"));
    let ended = exec(&mut world, &["--json", "hi"]);
    ended.exits(0);
    assert!(ended.took_ms >= 1000, "{}", ended.took_ms);
    assert!(!ended.types().iter().any(|kind| kind == "error"), "{ended}");
    for (status, body, part) in [
        (400, r#"{"error":{"code":"context_length_exceeded","message":"too long"}}"#, "too long"),
        (404, r#"{"error":{"message":"no such model"}}"#, "no such model"),
        (200, r#"{"choices":[]}"#, "no stream of events"),
    ] {
        let mut world = World::new();
        world.reply(Reply::status(status, body));
        let ended = exec(&mut world, &["--json", "hi"]);
        ended.exits(1);
        let last = ended.lines().last().unwrap()["error"]["message"].to_string();
        assert!(last.contains(part), "{last}");
        assert_eq!(world.requests().len(), 1);
    }
}

#[test]
fn a_close_without_done_is_an_end() {
    let said = [text("all "), text("said")];
    let length = closed(&said).framed(Framing::Length);
    let mut finished = said.to_vec();
    finished.push(finish("stop"));
    for reply in [
        closed(&said),
        length,
        closed(&said).framed(Framing::Close),
        closed(&finished).ending(End::Dropped),
    ] {
        let mut world = World::new();
        world.reply(reply);
        let ended = exec(&mut world, &["--json", "hi"]);
        ended.exits(0);
        assert_eq!(ended.items("agent_message")[0]["text"], "all said");
        assert!(!ended.types().iter().any(|kind| kind == "error"), "{ended}");
    }
}

#[test]
fn a_stream_that_breaks_is_begun_anew() {
    let half = closed(&[piece(0, Some("a"), r#"{"command":["touch","#)]);
    let error = closed(&[text("half"), json!({"error": {"message": "worker died"}})]);
    for broken in [closed(&[text("half")]).ending(End::Dropped), closed(&[]), half, error] {
        let mut world = World::new();
        world.reply(broken).reply(message("whole"));
        let ended = exec(&mut world, &["--json", "hi"]);
        ended.exits(0);
        assert_eq!(ended.items("agent_message")[0]["text"], "whole");
        assert!(ended.stdout.contains("Reconnecting... 1/2"), "{ended}");
        assert!(!ended.had_children);
    }
}

#[test]
fn a_response_at_its_limit_is_a_warning() {
    let mut world = World::new();
    world.reply(whole(&[text("as far as"), finish("length")]));
    let ended = exec(&mut world, &["hi"]);
    ended.exits(0);
    assert_eq!(ended.stdout.trim(), "as far as");
    assert!(ended.stderr.contains("limit of output tokens"), "{ended}");
}

#[test]
fn what_was_recorded_here_plays_anywhere() {
    let mut world = World::new();
    let refusal = Reply::status(400, "stream_options?");
    world.reply(refusal).reply(two_calls()).reply(message("done"));
    let path = world.root.join("recording.jsonl");
    let path = path.to_str().unwrap();
    exec(&mut world, &["--record", path, "go"]).exits(0);
    let recording = fs::read_to_string(path).unwrap();
    assert_eq!(recording.matches("{\"request\":").count(), 2, "{recording}");
    let call = world.call(&["--json", "go"]).set("model_provider=tape");
    let call = call.set("model_providers.tape.kind=replay");
    let ended = world.run(call.set(&format!("model_providers.tape.recording={path:?}")));
    ended.exits(0);
    assert_eq!(ended.items("agent_message").last().unwrap()["text"], "done");
    assert_eq!(ended.items("command_execution").len(), 2);
    assert_eq!(world.requests().len(), 3);
}

#[test]
fn an_interrupt_ends_a_stream_and_keeps_what_came() {
    let mut world = World::new();
    world.reply(closed(&[text("half an ans")]).ending(End::Hung));
    let call = call(&world, &["--json", "hi"]);
    let mut run = world.start(call);
    world.until(&mut run, "the request", |world, _| !world.requests().is_empty());
    world.pass(&mut run, std::time::Duration::from_millis(300));
    run.signal(libc::SIGINT);
    world.finish(run).exits(130);
    let records = world.records();
    assert!(types_of(&records).contains(&"event_msg/turn_aborted".to_owned()));
    assert!(records.iter().any(|record| record.to_string().contains("half an ans")));
}
