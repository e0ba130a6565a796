//! `app-server`: whatever begins ends, once, with what was told of it, however the turn goes.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::World;
use support::client::Client;
use support::reply::{self, End, Reply};

/// An image of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhg\
    GAWjR9awAAAABJRU5ErkJggg==";

/// A client whose server tries a stream again so many times.
fn retrying(world: World, streams: u32) -> Client {
    let call = Client::plain_call(&world).retrying(0, streams);
    let mut client = Client::of(world, call);
    let info = json!({"name": "probe", "version": "1.0"});
    client.call("initialize", json!({"clientInfo": info}));
    client
}

/// The beginning of some reasoning.
fn thought() -> Vec<Value> {
    let part = json!({"item_id": "rs_1", "summary_index": 0});
    let mut added = part.clone();
    added["type"] = json!("response.reasoning_summary_part.added");
    let mut delta = part;
    delta["type"] = json!("response.reasoning_summary_text.delta");
    delta["delta"] = json!("think");
    vec![reply::created(), added, delta]
}

/// Items that have begun and not ended, and those that have ended with other words than their
/// pieces; an empty end takes back what came in pieces.
fn amiss(lines: &[Value]) -> Vec<String> {
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    let mut amiss = Vec::new();
    for line in lines {
        let params = &line["params"];
        let id = params["item"]["id"].as_str().or(params["itemId"].as_str());
        let id = id.unwrap_or_default().to_owned();
        match line["method"].as_str() {
            Some("item/started") => assert_eq!(open.insert(id, String::new()), None, "{line}"),
            Some("item/agentMessage/delta") => {
                open.get_mut(&id).unwrap().push_str(params["delta"].as_str().unwrap());
            }
            Some("item/completed") => {
                let told = open.remove(&id).unwrap();
                let text = params["item"]["text"].as_str().unwrap_or_default();
                if !told.is_empty() && !text.is_empty() && told != text {
                    amiss.push(format!("{told:?} became {text:?}"));
                }
            }
            _ => {}
        }
    }
    amiss.extend(open.into_keys());
    amiss
}

/// Texts of messages that were told whole.
fn said(lines: &[Value]) -> Vec<&str> {
    let whole = lines.iter().filter(|line| line["method"] == "item/completed");
    whole.filter_map(|line| line["params"]["item"]["text"].as_str()).collect()
}

#[test]
fn what_is_tried_again_is_an_item_of_its_own() {
    let mut world = World::new();
    let begun = [reply::created(), reply::delta("Hel")];
    world.reply(Reply::events(&begun).ending(End::Dropped)).reply(Reply::message("Hello you"));
    let mut client = retrying(world, 1);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "hi");
    assert_eq!(client.ended(&turn)["status"], "completed");
    client.settle();
    assert_eq!(amiss(&client.lines), Vec::<String>::new());
    assert_eq!(said(&client.lines), ["", "Hello you"]);
    client.leave().0.exits(0);
}

#[test]
fn reasoning_that_breaks_off_ends_with_its_turn() {
    for is_interrupted in [false, true] {
        let mut world = World::new();
        let end = if is_interrupted { End::Hung } else { End::Dropped };
        world.reply(Reply::events(&thought()).ending(end));
        let mut client = retrying(world, 0);
        let thread = client.thread(json!({}));
        let turn = client.turn(&thread, "hi");
        client.told("item/reasoning/summaryTextDelta");
        if is_interrupted {
            client.call("turn/interrupt", json!({"threadId": thread, "turnId": turn}));
        }
        client.ended(&turn);
        client.settle();
        assert_eq!(amiss(&client.lines), Vec::<String>::new(), "{is_interrupted}");
        client.leave().0.exits(0);
    }
}

#[test]
fn a_summary_that_fails_ends_its_item() {
    let mut world = World::new();
    world.reply(Reply::message("first")).reply(Reply::items(&[]));
    let mut client = retrying(world, 0);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "hi");
    client.ended(&turn);
    let from = client.lines.len();
    client.call("thread/compact/start", json!({"threadId": thread}));
    let ended = client.told_after(from, "turn/completed");
    assert_eq!(ended["params"]["turn"]["status"], "failed");
    client.settle();
    assert_eq!(amiss(&client.lines), Vec::<String>::new());
    assert!(client.lines.iter().all(|line| line["method"] != "thread/compacted"));
    client.leave().0.exits(0);
}

#[test]
fn listeners_of_the_first_protocol_hear_the_end_of_what_has_begun() {
    let mut world = World::new();
    let begun = [reply::created(), reply::delta("Hel")];
    world.reply(Reply::events(&begun).ending(End::Dropped)).reply(Reply::message("Hello you"));
    let mut client = retrying(world, 1);
    let opened = client.call("newConversation", json!({"cwd": client.world.cwd}));
    let conversation = json!({"conversationId": opened["conversationId"]});
    client.call("addConversationListener", conversation.clone());
    let mut words = conversation;
    words["items"] = json!([{"type": "text", "data": {"text": "hi"}}]);
    client.call("sendUserMessage", words);
    client.told("codex/event/task_complete");
    client.settle();
    let ids = |kind: &str| -> Vec<String> {
        let method = format!("codex/event/{kind}");
        let told = client.lines.iter().filter(|line| line["method"] == *method);
        let items = told.map(|line| &line["params"]["msg"]["item"]["AgentMessage"]["id"]);
        items.filter_map(|id| id.as_str().map(str::to_owned)).collect()
    };
    let (begun, ended) = (ids("item_started"), ids("item_completed"));
    assert_eq!(begun, ended);
    assert_eq!(begun.len(), 2);
    client.leave().0.exits(0);
}

/// The statuses of threads that were told, and what else clients are told of a failure.
fn fates(lines: &[Value]) -> Vec<String> {
    let told = lines.iter().filter_map(|line| match line["method"].as_str()? {
        "thread/status/changed" => Some(line["params"]["status"]["type"].as_str()?.to_owned()),
        method @ ("error" | "turn/completed") => Some(method.to_owned()),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_thread_whose_turn_has_failed_says_so_until_the_next() {
    let mut world = World::new();
    world.reply(Reply::status(400, r#"{"error":{"message":"no"}}"#)).reply(Reply::message("hi"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "one");
    client.ended(&turn);
    assert_eq!(fates(&client.lines), ["active", "systemError", "error", "turn/completed"]);
    let read = client.call("thread/read", json!({"threadId": thread}));
    assert_eq!(read["thread"]["status"], json!({"type": "systemError"}));
    let from = client.lines.len();
    let turn = client.turn(&thread, "two");
    client.ended(&turn);
    assert_eq!(fates(&client.lines[from..]), ["active", "idle", "turn/completed"]);
    client.leave().0.exits(0);
}

#[test]
fn an_image_is_told_by_its_whole_path_if_it_was_seen() {
    let mut world = World::new();
    let looks = ["seen.png", "missing.png"].map(|path| ("view_image", json!({"path": path})));
    world.reply(Reply::calls(&looks)).reply(Reply::message("done"));
    let png = STANDARD.decode(PNG).unwrap();
    std::fs::write(world.cwd.join("seen.png"), png).unwrap();
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "look");
    client.ended(&turn);
    let seen = client.world.cwd.join("seen.png");
    let viewed = |items: &[Value]| -> Vec<String> {
        let views = items.iter().filter(|item| item["type"] == "imageView");
        views.map(|item| item["path"].as_str().unwrap().to_owned()).collect()
    };
    let whole = client.lines.iter().filter(|line| line["method"] == "item/completed");
    let told: Vec<Value> = whole.map(|line| line["params"]["item"].clone()).collect();
    assert_eq!(viewed(&told), [seen.to_str().unwrap()]);
    let read = client.call("thread/read", json!({"threadId": thread, "includeTurns": true}));
    let items = read["thread"]["turns"][0]["items"].as_array().unwrap().clone();
    assert_eq!(viewed(&items)[0], seen.to_str().unwrap());
    client.leave().0.exits(0);
}

#[test]
fn a_review_of_nothing_named_is_refused() {
    let mut client = Client::new(World::new());
    let thread = client.thread(json!({}));
    for (target, name) in [
        (json!({"type": "baseBranch", "branch": " "}), "branch"),
        (json!({"type": "commit", "sha": ""}), "sha"),
        (json!({"type": "custom", "instructions": "\n"}), "instructions"),
    ] {
        let params = json!({"threadId": thread, "target": target});
        let refusal = client.refused("review/start", params);
        assert_eq!(refusal["message"], format!("target.{name} must not be empty"));
    }
    client.leave().0.exits(0);
}

#[test]
fn a_thread_in_which_nothing_was_asked_is_known_by_its_name() {
    let mut client = Client::new(World::new());
    let thread = client.thread(json!({}));
    let named = json!({"threadId": thread});
    client.call("thread/shellCommand", json!({"threadId": thread, "command": "true"}));
    client.told("turn/completed");
    assert_eq!(client.call("thread/unsubscribe", named.clone())["status"], "unsubscribed");
    let read = client.call("thread/read", json!({"threadId": thread, "includeTurns": true}));
    assert_eq!(read["thread"]["turns"][0]["status"], "completed");
    client.call("thread/name/set", json!({"threadId": thread, "name": "N"}));
    assert_eq!(client.call("thread/archive", named), json!({}));
    assert_eq!(client.call("thread/list", json!({"archived": true}))["data"], json!([]));
    client.leave().0.exits(0);
}

#[test]
fn a_turn_goes_on_to_its_end_when_the_client_has_left_it() {
    let mut world = World::new();
    world.reply(Reply::message("Hello you").held());
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let named = json!({"threadId": thread});
    client.turn(&thread, "hi");
    client.told("item/agentMessage/delta");
    let leave = |client: &mut Client| client.call("thread/unsubscribe", named.clone());
    assert_eq!(leave(&mut client)["status"], "unsubscribed");
    assert_eq!(leave(&mut client)["status"], "notSubscribed");
    let from = client.lines.len();
    client.world.provider.is_released = true;
    client.settle();
    assert_eq!(client.lines.len(), from);
    assert_eq!(leave(&mut client)["status"], "notLoaded");
    let read = client.call("thread/read", json!({"threadId": thread, "includeTurns": true}));
    let turn = &read["thread"]["turns"][0];
    assert_eq!(turn["status"], "completed");
    assert_eq!(turn["items"][1]["text"], "Hello you");
    client.leave().0.exits(0);
}

#[test]
fn whoever_comes_back_hears_the_rest_of_the_turn() {
    let mut world = World::new();
    world.reply(Reply::message("Hello you").held());
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let named = json!({"threadId": thread});
    let turn = client.turn(&thread, "hi");
    client.told("item/agentMessage/delta");
    client.call("thread/unsubscribe", named.clone());
    let resumed = client.call("thread/resume", named.clone());
    assert_eq!(resumed["thread"]["status"]["type"], "active");
    client.world.provider.is_released = true;
    assert_eq!(client.ended(&turn)["status"], "completed");
    assert_eq!(client.call("thread/unsubscribe", named)["status"], "unsubscribed");
    client.leave().0.exits(0);
}

#[test]
fn a_question_that_nobody_is_there_to_answer_ends_the_turn() {
    for is_early in [false, true] {
        let mut world = World::new();
        world.reply(Reply::script("touch made").held());
        let mut client = Client::new(world);
        let thread = client.thread(json!({"approvalPolicy": "untrusted"}));
        client.turn(&thread, "go");
        if !is_early {
            client.world.provider.is_released = true;
            client.told("item/commandExecution/requestApproval");
        }
        let named = json!({"threadId": thread});
        assert_eq!(client.call("thread/unsubscribe", named.clone())["status"], "unsubscribed");
        client.world.provider.is_released = true;
        client.settle();
        assert_eq!(client.call("thread/unsubscribe", named)["status"], "notLoaded");
        assert!(!client.world.cwd.join("made").exists());
        client.leave().0.exits(0);
    }
}

#[test]
fn a_thread_goes_on_from_the_past_that_is_told() {
    let mut world = World::new();
    world.reply(Reply::message("first")).reply(Reply::message("second"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "hi");
    client.ended(&turn);
    let message = |role: &str, kind: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
    let past = [message("user", "input_text", "old"), message("assistant", "output_text", "so")];
    let params = |history: Value| json!({"threadId": thread, "history": history});
    assert_eq!(client.refused("thread/resume", params(json!([])))["code"], -32600);
    assert_eq!(client.refused("thread/resume", params(json!([7])))["code"], -32600);
    let resumed = client.call("thread/resume", params(json!(past)));
    let told = resumed["thread"]["id"].as_str().unwrap();
    assert_ne!(told, thread);
    let turn = client.turn(told, "more");
    client.ended(&turn);
    let input = &client.world.requests().last().unwrap().body["input"];
    assert_eq!(support::texts(input, "assistant"), ["so"]);
    let texts = support::texts(input, "user");
    assert!(texts.contains(&"old".to_owned()) && !texts.contains(&"hi".to_owned()), "{texts:?}");
    client.leave().0.exits(0);
}

#[test]
fn searches_that_begin_together_end_each() {
    let mut world = World::new();
    let search = |id: &str| {
        let action = json!({"type": "search", "query": id});
        json!({"type": "web_search_call", "id": id, "status": "completed", "action": action})
    };
    let added = |id: &str| json!({"type": "response.output_item.added", "item": search(id)});
    let done = |id: &str| reply::done(&search(id));
    let all = [added("ws_1"), added("ws_2"), done("ws_1"), done("ws_2")];
    let message = [reply::done(&reply::message("so")), reply::completed()];
    world.reply(Reply::events(&[&[reply::created()][..], &all, &message].concat()));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "hi");
    client.ended(&turn);
    assert_eq!(amiss(&client.lines), Vec::<String>::new());
    let queries = client.lines.iter().filter(|line| line["method"] == "item/completed");
    let queries = queries.filter_map(|line| line["params"]["item"]["query"].as_str());
    let known: Vec<&str> = queries.filter(|query| !query.is_empty()).collect();
    assert_eq!(known, ["ws_1", "ws_2"]);
    client.leave().0.exits(0);
}
