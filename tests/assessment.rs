//! What a provider is sent when a model is asked for a command's risk, over either wire.

// What is missing here fails the test, and says where.
#![allow(clippy::unwrap_used)]

#[path = "../src/words/samples.rs"]
mod samples;

use serde_json::Value;

use windlass::core::Agent;
use windlass::core::effect::{Effect, Effects};
use windlass::core::input::{Input, Now};
use windlass::tools::risk;
use windlass::wire::chat::encode::UsageReport;
use windlass::wire::holes::Holes;
use windlass::wire::{chat, responses};
use windlass::words;
use windlass::words::call::{CallAsked, CallKind};
use windlass::words::command::Command;
use windlass::words::ids::{FrontId, OpId, ThreadId};
use windlass::words::item::{Item, Part};
use windlass::words::model::ModelEvent;
use windlass::words::policy::ApprovalPolicy;
use windlass::words::request::RequestView;
use windlass::words::settings::{OpeningFacts, ReasoningSettings, ThreadSettings};

fn settings() -> ThreadSettings {
    ThreadSettings {
        approval: ApprovalPolicy::OnRequest,
        assess_commands: true,
        developer_instructions: Some("Be brief.".into()),
        project_notes: Some("Build with make.".into()),
        reasoning: ReasoningSettings {
            supported: true,
            effort: Some("high".into()),
            summary: Some("auto".into()),
        },
        request_retries_max: 0,
        stream_retries_max: 0,
        ..samples::settings()
    }
}

/// An agent about to ask for the risk of a command, and the request.
fn assessing() -> (Agent, OpId) {
    let mut agent = Agent::new(7);
    let thread = ThreadId { slot: 0, generation: 0 };
    let command = |command| Input::Command { front: FrontId(0), command };
    feed(&mut agent, command(Command::Start { settings: Box::new(settings()) }));
    let parts = vec![Part::Text("build it".into())];
    let effects = feed(&mut agent, command(Command::Prompt { thread, parts }));
    let Some(Effect::Open { op, .. }) = effects.first() else { panic!("{effects:?}") };
    let effects = feed(&mut agent, Input::Opened { op: *op, facts: OpeningFacts::default() });
    let op = request_op(&effects);
    let call = CallAsked {
        kind: CallKind::Function,
        call_id: "c".into(),
        name: "shell".into(),
        arguments: r#"{"command":["make"],"with_escalated_permissions":true}"#.into(),
        id: None,
    };
    feed(&mut agent, Input::Model { op, event: ModelEvent::ItemDone(Item::Call(call)) });
    feed(&mut agent, Input::Model { op, event: ModelEvent::Completed { usage: None } });
    let op = request_op(&feed(&mut agent, Input::Deadline));
    (agent, op)
}

fn feed(agent: &mut Agent, input: Input<'_>) -> Vec<Effect> {
    let mut effects = Effects::default();
    agent.handle(Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 }, input, &mut effects);
    std::iter::from_fn(|| effects.pull()).collect()
}

fn request_op(effects: &[Effect]) -> OpId {
    let request = effects.iter().find_map(|effect| match effect {
        Effect::Request { op, .. } => Some(*op),
        _ => None,
    });
    request.unwrap_or_else(|| panic!("no request among {effects:?}"))
}

fn body(mut next: impl FnMut(&mut Vec<u8>) -> bool) -> Value {
    let mut bytes = Vec::new();
    while next(&mut bytes) {}
    serde_json::from_slice(&bytes).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(risk::SCHEMA).unwrap()
}

fn assert_says_what_to_assess(text: &str) {
    assert!(text.contains("command: [\"make\"]\n"), "{text}");
    assert!(!text.contains("Build with make.") && !text.contains("build it"), "{text}");
}

#[test]
fn over_responses_it_is_a_conversation_of_one_message_with_a_strict_schema() {
    let (agent, op) = assessing();
    let view: RequestView<'_> = agent.request_view(op).unwrap();
    let mut cursor = responses::encode::Cursor::default();
    let body = body(|out| cursor.next(&view, &mut Holes::new(&[]), out));
    assert_eq!(body["instructions"], risk::INSTRUCTIONS);
    assert_eq!((&body["model"], &body["tools"]), (&"model".into(), &Value::Array(Vec::new())));
    let [asked] = body["input"].as_array().unwrap().as_slice() else { panic!("{body}") };
    assert_eq!(asked["role"], "user");
    assert_says_what_to_assess(asked["content"][0]["text"].as_str().unwrap());
    let format = &body["text"]["format"];
    assert_eq!((&format["strict"], &format["type"]), (&true.into(), &"json_schema".into()));
    assert_eq!(format["schema"], schema());
    assert_eq!(body["reasoning"], serde_json::json!({"effort": "low"}));
    let own = agent.conversation(ThreadId { slot: 0, generation: 0 }).unwrap().to_string();
    assert_ne!(body["prompt_cache_key"], own);
    let headers = responses::encode::headers(&view, "test/1");
    assert!(headers.contains(&("x-openai-subagent", "assessment".into())));
    let named =
        |name| headers.iter().any(|(own, value)| (*own, &**value) == (name, &*own_id(&body)));
    assert!(named("conversation_id") && named("session-id"));
}

fn own_id(body: &Value) -> String {
    body["prompt_cache_key"].as_str().unwrap().to_owned()
}

#[test]
fn over_chat_it_is_the_same() {
    let (agent, op) = assessing();
    let view = agent.request_view(op).unwrap();
    let mut cursor = chat::encode::Cursor::new(UsageReport::Asked);
    let body = body(|out| cursor.next(&view, &mut Holes::new(&[]), out));
    let [system, asked] = body["messages"].as_array().unwrap().as_slice() else { panic!("{body}") };
    assert_eq!((&system["role"], &asked["role"]), (&"system".into(), &"user".into()));
    assert_eq!(system["content"], risk::INSTRUCTIONS);
    assert_says_what_to_assess(asked["content"].as_str().unwrap());
    let none = |tools: &Value| tools.is_null() || tools.as_array().unwrap().is_empty();
    assert!(none(&body["tools"]), "{body}");
    let format = &body["response_format"];
    assert_eq!(format["type"], "json_schema");
    assert_eq!(
        (&format["json_schema"]["strict"], &format["json_schema"]["schema"]),
        (&true.into(), &schema())
    );
}
