//! `app-server` in the words of the first protocol: what a client is told of its conversations.
//!
//! All that the server writes is read as what it is declared to be.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::World;
use support::client::{self, Client};
use support::reply::{self, End, Reply};
use windlass::fronts::app_server::types::codec::Typed;
use windlass::fronts::app_server::types::events::EventMsg;
use windlass::fronts::app_server::types::v1;

/// Opens a conversation in the working directory and gives its id.
fn converse(client: &mut Client, more: Value) -> String {
    let mut params = json!({"cwd": client.world.cwd});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let opened = client.call("newConversation", params);
    opened["conversationId"].as_str().unwrap().to_owned()
}

fn listen(client: &mut Client, conversation: &str) -> String {
    let params = json!({"conversationId": conversation});
    let added = client.call("addConversationListener", params);
    added["subscriptionId"].as_str().unwrap().to_owned()
}

/// A client that opened a conversation in this world and listens to it.
fn heard(world: World, more: Value) -> (Client, String) {
    let mut client = Client::new(world);
    let conversation = converse(&mut client, more);
    listen(&mut client, &conversation);
    (client, conversation)
}

fn say(client: &mut Client, conversation: &str, text: &str) {
    let items = json!([{"type": "text", "data": {"text": text}}]);
    let said =
        client.call("sendUserMessage", json!({"conversationId": conversation, "items": items}));
    assert_eq!(said, json!({}));
}

/// Says something and waits until the turn is over.
fn say_through(client: &mut Client, conversation: &str, text: &str) {
    let from = client.lines.len();
    say(client, conversation, text);
    client.told_after(from, "codex/event/task_complete");
    client.settle();
}

/// The types of the events among lines, in order.
fn events(lines: &[Value]) -> Vec<&str> {
    let methods = lines.iter().filter_map(|line| line["method"].as_str());
    methods.filter_map(|method| method.strip_prefix("codex/event/")).collect()
}

/// Events of a type among lines.
fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let method = format!("codex/event/{kind}");
    let lines = lines.iter().filter(|line| line["method"] == *method);
    lines.map(|line| &line["params"]["msg"]).collect()
}

/// Leaves, and sees to it that all that was told is what it is declared to be.
#[track_caller]
fn leave(client: Client) -> World {
    for line in &client.lines {
        let (method, params) = (&line["method"], line["params"].to_string());
        match method.as_str() {
            Some("execCommandApproval") => {
                v1::ExecCommandApprovalParams::decode(&params).unwrap();
            }
            Some("applyPatchApproval") => {
                v1::ApplyPatchApprovalParams::decode(&params).unwrap();
            }
            Some("sessionConfigured") => {
                v1::SessionConfiguredNotification::decode(&params).unwrap();
            }
            Some(method) => {
                let kind = method.strip_prefix("codex/event/").unwrap_or_else(|| panic!("{line}"));
                let msg = &line["params"]["msg"];
                assert_eq!(msg["type"], *kind);
                EventMsg::decode(&msg.to_string()).unwrap();
                assert!(line["params"]["id"].as_str().unwrap().parse::<u32>().is_ok(), "{line}");
            }
            None => assert!(line.get("result").or(line.get("error")).is_some(), "{line}"),
        }
    }
    let (ended, world) = client.leave();
    ended.exits(0);
    assert_eq!(ended.stderr, "");
    world
}

/// Compares what was written from a line on with a story; see `e2e_app_server`.
#[track_caller]
fn tells(client: &Client, from: usize, story: &str) {
    // Paths are names of fields, too.
    let told = client.story(from).replace(client.world.root.to_str().unwrap(), "/R");
    client::is_as_written("app_server_v1", story, &untimed(&told));
}

const ENDED: &str = "exec_command_end";

/// A story in which everything took no time.
fn untimed(story: &str) -> String {
    let lines = story.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if let Some(msg) = line.pointer_mut("/params/msg").filter(|msg| msg["type"] == ENDED) {
            msg["duration"] = json!("D");
            let text = msg["formatted_output"].as_str().unwrap();
            let lines = text.lines().map(|line| match line.strip_prefix("Wall time: ") {
                Some(_) => "Wall time: T",
                None => line,
            });
            msg["formatted_output"] = json!(lines.collect::<Vec<_>>().join("\n"));
        }
        format!("{line}\n")
    });
    lines.collect()
}

fn plain() -> Reply {
    Reply::events(&[
        reply::created(),
        reply::delta("He"),
        reply::delta("llo"),
        reply::done(&reply::message("Hello")),
        reply::completed(),
    ])
}

fn added(name: &str) -> Reply {
    let patch = format!("*** Begin Patch\n*** Add File: {name}\n+hello\n*** End Patch\n");
    Reply::items(&[reply::custom_call("p1", "apply_patch", &patch)])
}

const ASKING: &str = "on-request";

/// Says something over which one question is asked, and answers it so.
fn decided(client: &mut Client, conversation: &str, method: &str, decision: &str) {
    let from = client.lines.len();
    say(client, conversation, "go");
    let asked = client.told_after(from, method);
    client.say(&json!({"id": asked["id"], "result": {"decision": decision}}));
    let end = if decision == "abort" { "turn_aborted" } else { "task_complete" };
    client.told_after(from, &format!("codex/event/{end}"));
    client.settle();
}

#[test]
fn a_conversation_is_told_as_it_was_in_the_first_protocol() {
    let mut world = World::new();
    world.reply(plain().header("x-codex-primary-used-percent", "12.5"));
    world.reply(plain());
    let mut client = Client::new(world);
    let from = client.lines.len();
    let wishes = json!({"approvalPolicy": ASKING, "sandbox": "workspace-write"});
    let conversation = converse(&mut client, wishes);
    listen(&mut client, &conversation);
    say_through(&mut client, &conversation, "hi");
    tells(&client, from, "turn");
    let from = client.lines.len();
    let items = json!([
        {"type": "text", "data": {"text": "and"}},
        {"type": "image", "data": {"image_url": "data:image/png;base64,AA"}},
    ]);
    let said = client.call(
        "sendUserTurn",
        json!({
            "conversationId": conversation, "items": items, "cwd": client.world.elsewhere,
            "approvalPolicy": "never", "sandboxPolicy": {"mode": "read-only"},
            "model": "gpt-5", "effort": "high", "summary": "none",
        }),
    );
    assert_eq!(said, json!({}));
    client.told_after(from, "codex/event/task_complete");
    client.settle();
    let ids = client.lines[from..].iter().filter_map(|line| line["params"]["id"].as_str());
    assert!(ids.clone().all(|id| id == "1") && ids.count() > 5);
    let body = &client.world.requests().last().unwrap().body;
    assert_eq!((&body["model"], &body["reasoning"]["effort"]), (&json!("gpt-5"), &json!("high")));
    let user = of_type(&client.lines[from..], "user_message")[0];
    assert_eq!(user["images"], json!(["data:image/png;base64,AA"]));
    leave(client);
}

#[test]
fn reasoning_and_searches_are_told_in_both_forms() {
    let mut world = World::new();
    let search = json!({
        "type": "web_search_call", "id": "ws_1", "status": "completed",
        "action": {"type": "search", "query": "weather"},
    });
    let begun = json!({"type": "web_search_call", "id": "ws_1", "status": "in_progress"});
    let mut events = vec![reply::created()];
    events.extend(reply::thought("think"));
    events.push(json!({"type": "response.output_item.added", "item": begun}));
    events.extend([search, reply::message("Hello")].map(|item| reply::done(&item)));
    events.push(reply::completed());
    world.reply(Reply::events(&events));
    let (mut client, conversation) = heard(world, json!({}));
    let from = client.lines.len();
    say_through(&mut client, &conversation, "hi");
    tells(&client, from, "reasoned");
    leave(client);
}

#[test]
fn commands_are_asked_for_and_run_or_not() {
    for decision in ["approved", "denied", "abort"] {
        let mut world = World::new();
        world.reply(Reply::escalated("touch zz && echo ok"));
        if decision != "abort" {
            world.reply(Reply::message("done"));
        }
        world.reply(Reply::message("again"));
        let (mut client, conversation) = heard(world, json!({"approvalPolicy": ASKING}));
        let from = client.lines.len();
        decided(&mut client, &conversation, "execCommandApproval", decision);
        tells(&client, from, &format!("command_{decision}"));
        assert_eq!(client.world.cwd.join("zz").exists(), decision == "approved");
        // The answer has taken a number.
        say_through(&mut client, &conversation, "more");
        assert_eq!(client.lines.last().unwrap()["params"]["id"], "2");
        leave(client);
    }
}

#[test]
fn patches_are_asked_for_and_applied_or_not() {
    for decision in ["approved", "denied", "abort"] {
        let mut world = World::new();
        world.reply(added("new.txt"));
        if decision != "abort" {
            world.reply(Reply::message("done"));
        }
        let wishes = json!({"approvalPolicy": "untrusted", "sandbox": "read-only"});
        let (mut client, conversation) = heard(world, wishes);
        let from = client.lines.len();
        decided(&mut client, &conversation, "applyPatchApproval", decision);
        tells(&client, from, &format!("patch_{decision}"));
        assert_eq!(client.world.cwd.join("new.txt").exists(), decision == "approved");
        leave(client);
    }
}

#[test]
fn a_patch_that_nobody_is_asked_about_says_so() {
    let mut world = World::new();
    world.reply(added("new.txt")).reply(Reply::message("done"));
    let wishes = json!({"approvalPolicy": "never", "sandbox": "workspace-write"});
    let (mut client, conversation) = heard(world, wishes);
    say_through(&mut client, &conversation, "go");
    let begin = of_type(&client.lines, "patch_apply_begin")[0];
    assert_eq!(begin["auto_approved"], true);
    let path = client.world.cwd.join("new.txt");
    assert_eq!(begin["changes"][path.to_str().unwrap()], json!({"add": {"content": "hello\n"}}));
    leave(client);
}

#[test]
fn an_interrupt_is_answered_once_the_turn_is_over() {
    let mut world = World::new();
    world.reply(Reply::beginning("so "));
    let (mut client, conversation) = heard(world, json!({}));
    let of = json!({"conversationId": conversation});
    let refused = client.refused("interruptConversation", of.clone());
    assert_eq!(refused["code"], -32600);
    let from = client.lines.len();
    say(&mut client, &conversation, "go");
    client.told_after(from, "codex/event/agent_message_delta");
    let stopped = client.call("interruptConversation", of);
    assert_eq!(stopped, json!({"abortReason": "interrupted"}));
    let [.., aborted, answer] = client.lines.as_slice() else { panic!("{:?}", client.lines) };
    assert_eq!(aborted["params"]["msg"], json!({"type": "turn_aborted", "reason": "interrupted"}));
    assert_eq!(answer["result"]["abortReason"], "interrupted");
    leave(client);
}

#[test]
fn what_is_said_while_a_turn_runs_joins_it() {
    let mut world = World::new();
    world.reply(Reply::script("until test -e more; do sleep 0.01; done"));
    world.reply(Reply::message("done"));
    let wishes = json!({"approvalPolicy": "never", "sandbox": "workspace-write"});
    let (mut client, conversation) = heard(world, wishes);
    let from = client.lines.len();
    say(&mut client, &conversation, "go");
    client.told_after(from, "codex/event/exec_command_begin");
    say(&mut client, &conversation, "and this");
    client.world.file("more", "");
    client.told_after(from, "codex/event/task_complete");
    client.settle();
    let lines = &client.lines[from..];
    assert_eq!(of_type(lines, "task_started").len(), 1);
    let said: Vec<&Value> =
        of_type(lines, "user_message").iter().map(|said| &said["message"]).collect();
    assert_eq!(said, ["go", "and this"]);
    let input = &client.world.requests().last().unwrap().body["input"];
    assert_eq!(support::texts(input, "user").last().unwrap(), "and this");
    leave(client);
}

#[test]
fn each_listener_hears_until_it_is_removed() {
    let mut world = World::new();
    for _ in 0..3 {
        world.reply(plain());
    }
    let mut client = Client::new(world);
    let conversation = converse(&mut client, json!({}));
    say(&mut client, &conversation, "nobody hears this");
    client.settle();
    assert_eq!(events(&client.lines), Vec::<&str>::new());
    let one = listen(&mut client, &conversation);
    let other = listen(&mut client, &conversation);
    assert_ne!(one, other);
    say_through(&mut client, &conversation, "both hear this");
    let counts = |lines: &[Value]| of_type(lines, "agent_message").len();
    assert_eq!(counts(&client.lines), 2);
    let gone = json!({"subscriptionId": one});
    assert_eq!(client.call("removeConversationListener", gone.clone()), json!({}));
    assert_eq!(client.refused("removeConversationListener", gone)["code"], -32600);
    say_through(&mut client, &conversation, "one hears this");
    assert_eq!(counts(&client.lines), 3);
    leave(client);
}

#[test]
fn a_conversation_has_so_many_listeners() {
    let mut client = Client::new(World::new());
    let conversation = converse(&mut client, json!({}));
    for _ in 0..windlass::limits::LISTENERS_MAX {
        listen(&mut client, &conversation);
    }
    let one_more = json!({"conversationId": conversation});
    assert_eq!(client.refused("addConversationListener", one_more)["code"], -32600);
    leave(client);
}

#[test]
fn raw_items_are_told_to_those_who_want_them() {
    let mut world = World::new();
    world.reply(Reply::script("echo ok")).reply(plain());
    let wishes = json!({"approvalPolicy": "never", "sandbox": "workspace-write"});
    let (mut client, conversation) = heard(world, wishes);
    let raw = json!({"conversationId": conversation, "experimentalRawEvents": true});
    client.call("addConversationListener", raw);
    say_through(&mut client, &conversation, "hi");
    let items = of_type(&client.lines, "raw_response_item");
    let kinds: Vec<&Value> = items.iter().map(|told| &told["item"]["type"]).collect();
    let expected = ["message", "message", "function_call", "function_call_output", "message"];
    assert_eq!(kinds, expected);
    assert_eq!(items[1]["item"]["content"], json!([{"type": "input_text", "text": "hi"}]));
    let mut world = leave(client);
    // What was before is not told again.
    world.reply(plain());
    let mut client = Client::new(world);
    client.call("resumeConversation", json!({"conversationId": conversation}));
    let raw = json!({"conversationId": conversation, "experimentalRawEvents": true});
    client.call("addConversationListener", raw);
    say_through(&mut client, &conversation, "more");
    let told = of_type(&client.lines, "raw_response_item");
    assert!(told.iter().all(|told| !told.to_string().contains("\"hi\"")));
    assert_eq!(told[told.len() - 2]["item"]["content"][0]["text"], "more");
    leave(client);
}

#[test]
fn failures_are_told_before_the_end() {
    let mut world = World::new();
    world.reply(Reply::beginning("so ").ending(End::Dropped));
    world.reply(Reply::status(400, r#"{"error":{"message":"no such thing"}}"#));
    let (mut client, conversation) = heard(world, json!({}));
    say_through(&mut client, &conversation, "hi");
    let told = events(&client.lines);
    assert_eq!(told[told.len() - 3..], ["stream_error", "error", "task_complete"]);
    let errors = of_type(&client.lines, "error");
    assert!(errors[0]["message"].as_str().unwrap().contains("no such thing"));
    assert_eq!(of_type(&client.lines, "task_complete")[0]["last_agent_message"], Value::Null);
    leave(client);
}

#[test]
fn plans_and_images_are_told() {
    let mut world = World::new();
    let plan = json!({"plan": [{"step": "look", "status": "in_progress"}]});
    let looks = [("update_plan", plan), ("view_image", json!({"path": "dot.png"}))];
    world.reply(Reply::calls(&looks)).reply(Reply::message("done"));
    world.file("dot.png", STANDARD.decode(DOT).unwrap());
    let (mut client, conversation) = heard(world, json!({}));
    say_through(&mut client, &conversation, "hi");
    let steps = json!([{"step": "look", "status": "in_progress"}]);
    let told = json!({"type": "plan_update", "explanation": null, "plan": steps});
    assert_eq!(of_type(&client.lines, "plan_update"), [&told]);
    let path = client.world.cwd.join("dot.png");
    let told = json!({"type": "view_image_tool_call", "call_id": "call_1", "path": path});
    assert_eq!(of_type(&client.lines, "view_image_tool_call"), [&told]);
    leave(client);
}

#[test]
fn a_command_that_is_interrupted_ends_first() {
    let mut world = World::new();
    world.reply(Reply::script("echo so far; sleep 60"));
    let wishes = json!({"approvalPolicy": "never", "sandbox": "workspace-write"});
    let (mut client, conversation) = heard(world, wishes);
    let from = client.lines.len();
    say(&mut client, &conversation, "go");
    client.told_after(from, "codex/event/exec_command_begin");
    client.call("interruptConversation", json!({"conversationId": conversation}));
    let told = events(&client.lines[from..]);
    assert_eq!(told[told.len() - 2..], ["exec_command_end", "turn_aborted"]);
    assert_ne!(of_type(&client.lines, ENDED)[0]["exit_code"], 0);
    leave(client);
}

#[test]
fn a_question_ends_with_its_turn() {
    for is_thread in [false, true] {
        let mut world = World::new();
        world.reply(Reply::escalated("touch zz")).reply(Reply::message("again"));
        let mut client = Client::new(world);
        let wishes = json!({"approvalPolicy": ASKING});
        let conversation = match is_thread {
            true => client.thread(wishes),
            false => converse(&mut client, wishes),
        };
        listen(&mut client, &conversation);
        say(&mut client, &conversation, "go");
        client.told("codex/event/exec_approval_request");
        let asked = client.until("a question", |line| line["id"] == 0);
        let (method, params) = match is_thread {
            true => ("turn/interrupt", json!({"threadId": conversation, "turnId": ""})),
            false => ("interruptConversation", json!({"conversationId": conversation})),
        };
        client.call(method, params);
        client.told("codex/event/turn_aborted");
        // Whoever answers now is late.
        client.say(&json!({"id": asked["id"], "result": {"decision": "approved"}}));
        say_through(&mut client, &conversation, "more");
        assert!(!client.world.cwd.join("zz").exists());
        client.leave().0.exits(0);
    }
}

#[test]
fn a_conversation_that_is_open_is_resumed_as_it_is() {
    let mut world = World::new();
    world.reply(plain()).reply(plain());
    let mut client = Client::new(world);
    let opened = client.call("newConversation", json!({"cwd": client.world.cwd}));
    let conversation = opened["conversationId"].as_str().unwrap().to_owned();
    listen(&mut client, &conversation);
    say_through(&mut client, &conversation, "hi");
    for params in [json!({"conversationId": conversation}), json!({"path": opened["rolloutPath"]})]
    {
        let from = client.lines.len();
        let resumed = client.call("resumeConversation", params);
        assert_eq!(client.lines[from]["method"], "sessionConfigured");
        assert_eq!(resumed["conversationId"], *conversation);
        assert_eq!(resumed["rolloutPath"], opened["rolloutPath"]);
        let messages = resumed["initialMessages"].as_array().unwrap();
        let kinds: Vec<&str> = messages.iter().map(|msg| msg["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["user_message", "agent_message", "token_count"]);
    }
    say_through(&mut client, &conversation, "more");
    assert_eq!(of_type(&client.lines, "task_complete").len(), 2);
    leave(client);
}

#[test]
fn a_client_that_cannot_ask_has_said_no() {
    let mut world = World::new();
    world.reply(Reply::escalated("touch zz")).reply(Reply::message("done"));
    let (mut client, conversation) = heard(world, json!({"approvalPolicy": ASKING}));
    say(&mut client, &conversation, "go");
    let asked = client.told("execCommandApproval");
    client.say(&json!({"id": asked["id"], "error": {"code": -1, "message": "nobody is here"}}));
    client.told("codex/event/task_complete");
    assert_eq!(of_type(&client.lines, ENDED)[0]["exit_code"], -1);
    assert!(!client.world.cwd.join("zz").exists());
    leave(client);
}

#[test]
fn what_a_client_opts_out_of_is_not_told() {
    let mut world = World::new();
    world.reply(plain());
    let unwanted = json!(["codex/event/agent_message_delta"]);
    let mut client = Client::with(world, json!({"optOutNotificationMethods": unwanted}));
    let conversation = converse(&mut client, json!({}));
    listen(&mut client, &conversation);
    say_through(&mut client, &conversation, "hi");
    assert_eq!(of_type(&client.lines, "agent_message_delta").len(), 0);
    assert_eq!(of_type(&client.lines, "agent_message_content_delta").len(), 2);
    leave(client);
}

#[test]
fn a_review_is_told_to_listeners() {
    let mut world = World::new();
    let verdict = json!({
        "findings": [], "overall_correctness": "patch is correct",
        "overall_explanation": "It is fine.", "overall_confidence_score": 0.8,
    });
    world.reply(Reply::message(&verdict.to_string()));
    let (mut client, conversation) = heard(world, json!({}));
    let target = json!({"type": "custom", "instructions": "look at everything"});
    client.call("review/start", json!({"threadId": conversation, "target": target}));
    client.told("codex/event/task_complete");
    let entered = of_type(&client.lines, "entered_review_mode");
    assert!(entered[0]["prompt"].as_str().unwrap().contains("look at everything"));
    let exited = of_type(&client.lines, "exited_review_mode");
    assert_eq!(exited[0]["review_output"], verdict);
    client.leave().0.exits(0);
}

/// The smallest picture.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Says something in a conversation that is recorded, and gives its id and where that is.
fn recorded(world: World) -> (World, String, String) {
    let mut client = Client::new(world);
    client.world.reply(plain());
    let opened = client.call("newConversation", json!({"cwd": client.world.cwd}));
    let text = |name: &str| opened[name].as_str().unwrap().to_owned();
    let (id, path) = (text("conversationId"), text("rolloutPath"));
    listen(&mut client, &id);
    say_through(&mut client, &id, "hi");
    let world = leave(client);
    assert!(Path::new(&path).exists());
    (world, id, path)
}

#[test]
fn a_conversation_is_resumed_by_id_path_or_history() {
    let (mut world, id, path) = recorded(World::new());
    for how in ["path", "id", "history"] {
        world.reply(plain());
        let mut client = Client::new(world);
        let from = client.lines.len();
        let said = json!({
            "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}],
        });
        let answered = json!({
            "type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello"}],
        });
        let params = match how {
            "path" => json!({"path": path, "conversationId": "nonsense", "overrides": {}}),
            "id" => json!({"conversationId": id, "history": [{"type": "other"}]}),
            _ => json!({"history": [said, answered]}),
        };
        let resumed = client.call("resumeConversation", params);
        let [configured, answer] = &client.lines[from..] else { panic!("{:?}", client.lines) };
        assert_eq!(
            (&configured["method"], &answer["result"]),
            (&json!("sessionConfigured"), &resumed)
        );
        assert_eq!(configured["params"]["sessionId"], resumed["conversationId"]);
        for name in ["model", "rolloutPath", "initialMessages"] {
            assert_eq!(configured["params"][name], resumed[name]);
        }
        let messages = resumed["initialMessages"].as_array().unwrap();
        let expected = json!([
            {"type": "user_message", "message": "hi", "images": []},
            {"type": "agent_message", "message": "Hello"},
        ]);
        assert_eq!(messages[..2], expected.as_array().unwrap()[..], "{how}");
        let same = resumed["conversationId"] == *id;
        assert_eq!(same, how != "history");
        assert_eq!(resumed["rolloutPath"] == *path, same);
        let conversation = resumed["conversationId"].as_str().unwrap().to_owned();
        listen(&mut client, &conversation);
        say_through(&mut client, &conversation, "more");
        let input = &client.world.requests().last().unwrap().body["input"];
        assert_eq!(support::texts(input, "assistant")[0], "Hello");
        let texts = support::texts(input, "user");
        assert!(texts.iter().any(|text| text == "hi"), "{texts:?}");
        assert_eq!(texts.last().unwrap(), "more");
        world = leave(client);
    }
    assert_eq!(world.rollouts().len(), 2);
}

#[test]
fn what_is_not_there_is_refused() {
    let mut client = Client::new(World::new());
    let nobody = "01234567-89ab-7def-8123-456789abcdef";
    let items = json!([{"type": "text", "data": {"text": "hi"}}]);
    for id in [nobody, "nonsense"] {
        let of = json!({"conversationId": id, "items": items});
        for method in ["addConversationListener", "sendUserMessage", "interruptConversation"] {
            let refused = client.refused(method, of.clone());
            assert_eq!(refused["code"], -32600, "{method}");
            assert_eq!(refused["message"], format!("conversation not found: {id}"));
        }
        client.refused("resumeConversation", json!({"conversationId": id}));
        let gone = json!({"subscriptionId": id});
        assert_eq!(client.refused("removeConversationListener", gone)["code"], -32600);
    }
    for params in [json!({}), json!({"history": []}), json!({"history": [{"type": "other"}]})] {
        assert_eq!(client.refused("resumeConversation", params)["code"], -32600);
    }
    let conversation = converse(&mut client, json!({}));
    let nothing = json!({"conversationId": conversation, "items": []});
    assert_eq!(client.refused("sendUserMessage", nothing)["code"], -32600);
    leave(client);
}

#[test]
fn each_family_is_told_to_those_who_speak_it() {
    let mut world = World::new();
    for _ in 0..3 {
        world.reply(plain());
    }
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "second alone");
    client.ended(&turn);
    client.settle();
    assert_eq!(events(&client.lines), Vec::<&str>::new());
    let from = client.lines.len();
    listen(&mut client, &thread);
    let turn = client.turn(&thread, "both");
    client.ended(&turn);
    client.settle();
    let both = &client.lines[from..];
    assert!(events(both).contains(&"agent_message"));
    assert!(both.iter().any(|line| line["method"] == "item/agentMessage/delta"));
    // A conversation that is then used as a thread.
    let conversation = converse(&mut client, json!({}));
    let from = client.lines.len();
    let turn = client.turn(&conversation, "go");
    client.ended(&turn);
    client.settle();
    assert_eq!(events(&client.lines[from..]), Vec::<&str>::new());
    client.leave().0.exits(0);
}
