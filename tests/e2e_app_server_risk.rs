//! `app-server`: a question about a command carries what a model has said of its risk.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::World;
use support::client::Client;
use support::reply::Reply;

const ANSWER: &str = r#"{"description":"It makes a file.","risk_level":"medium"}"#;

/// What was said of the risk in the request of the first protocol, if there is one, and in the
/// event, when a model answers this to the question about it.
fn asked(answer: &str, is_thread: bool) -> (Option<Value>, Value) {
    let mut world = World::new();
    let settings = "[features]\nexperimental_sandbox_command_assessment = true\n";
    fs::write(world.home.join("config.toml"), settings).unwrap();
    world.reply(Reply::escalated("touch zz && echo ok")).reply(Reply::message(answer));
    world.reply(Reply::message("done"));
    let mut client = Client::new(world);
    let wishes = json!({"cwd": client.world.cwd, "approvalPolicy": "on-request"});
    let conversation = match is_thread {
        true => json!(client.thread(wishes)),
        false => client.call("newConversation", wishes)["conversationId"].clone(),
    };
    client.call("addConversationListener", json!({"conversationId": conversation}));
    let items = json!([{"type": "text", "data": {"text": "go"}}]);
    client.call("sendUserMessage", json!({"conversationId": conversation, "items": items}));
    let event = client.told("codex/event/exec_approval_request")["params"]["msg"].clone();
    let (method, decision) = match is_thread {
        true => ("item/commandExecution/requestApproval", "accept"),
        false => ("execCommandApproval", "approved"),
    };
    let request = client.told(method);
    client.say(&json!({"id": request["id"], "result": {"decision": decision}}));
    client.told("codex/event/task_complete");
    client.settle();
    assert!(client.world.cwd.join("zz").exists());
    let bodies: Vec<Value> = client.world.requests().iter().map(|it| it.body.clone()).collect();
    assert_eq!(bodies.len(), 3, "{bodies:?}");
    let assessed = bodies[1]["input"].to_string();
    assert!(assessed.contains("touch zz && echo ok"), "{assessed}");
    assert_eq!(bodies[1]["tools"], json!([]));
    client.leave().0.exits(0);
    (request["params"].get("risk").cloned(), event["risk"].clone())
}

#[test]
fn a_question_carries_what_a_model_says_of_the_risk() {
    let risk = json!({"description": "It makes a file.", "risk_level": "medium"});
    assert_eq!(asked(ANSWER, false), (Some(risk.clone()), risk.clone()));
    // The request of the second protocol has no place for it; the event beside it has.
    assert_eq!(asked(ANSWER, true), (None, risk));
}

#[test]
fn an_answer_that_says_nothing_of_the_risk_is_none() {
    assert_eq!(asked("It is fine, trust me.", false), (Some(Value::Null), Value::Null));
}
