use serde_json::{Value, json};

use super::*;
use crate::wire::dialect::Dialect;
use crate::wire::samples::{settings, view};
use crate::words::call::{Answer, CommandAnswer};
use crate::words::item::Reasoning;
use crate::words::settings::ThreadSettings;

const TOOLS: [ToolSpec; 3] = [
    ToolSpec {
        name: "shell",
        description: "Runs a \"command\".",
        form: ToolForm::Function { parameters: "{\"type\": \"object\",\n \"properties\": {}}" },
    },
    ToolSpec {
        name: "apply_patch",
        description: "Patches.",
        form: ToolForm::Freeform { grammar: "start: a" },
    },
    ToolSpec { name: "local_shell", description: "", form: ToolForm::LocalShell },
];

fn plain() -> ThreadSettings {
    let mut settings = settings();
    settings.reasoning.effort = None;
    settings
}

fn body_with(settings: &ThreadSettings, items: &[Item], usage: UsageReport) -> String {
    let view = view(settings, items, &TOOLS);
    let mut body = Vec::new();
    let mut cursor = Cursor::new(usage);
    while cursor.next(&view, &mut Holes::default(), &mut body) {}
    assert!(!cursor.next(&view, &mut Holes::default(), &mut body));
    assert_eq!(Dialect::Chat(usage).length(&view, &[]), body.len() as u64);
    String::from_utf8(body).unwrap()
}

/// The messages after the first, which is the system's.
fn check(items: &[Item], expected: Value) {
    let body: Value =
        serde_json::from_str(&body_with(&plain(), items, UsageReport::Asked)).unwrap();
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages[0], json!({"role": "system", "content": "Be\nkind."}));
    assert_eq!(Value::from(&messages[1..]), expected);
}

fn user(text: &str) -> Item {
    Item::Message(Message::text(Role::User, text))
}

fn said(text: &str) -> Item {
    Item::Message(Message::text(Role::Assistant, text))
}

fn thought(text: &str) -> Item {
    let content = vec![text.into()];
    let summary = vec!["summary".into()];
    Item::Reasoning(Reasoning { summary, content, encrypted: Some("E".into()), id: None })
}

fn asked(kind: CallKind, id: &str, name: &str, arguments: &str) -> Item {
    let (call_id, name, arguments) = (id.into(), name.into(), arguments.into());
    Item::Call(CallAsked { kind, call_id, name, arguments, id: None })
}

fn shell(id: &str) -> Item {
    asked(CallKind::Function, id, "shell", "{}")
}

fn answered(id: &str, text: &str) -> Item {
    let answer = Answer::Text { text: text.into(), success: true };
    Item::Output(Output { call_id: id.into(), kind: CallKind::Function, answer })
}

fn tool(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

fn calls(ids: &[&str]) -> Value {
    let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "shell", "arguments": "{}"}});
    ids.iter().map(call).collect()
}

#[test]
fn a_body_has_every_field_in_order() {
    let command =
        CommandAnswer { exit_code: 0, wall_ms: 100, output: "A\n".into(), lines_total: None };
    let items = [
        user("go"),
        thought("hm "),
        asked(CallKind::Function, "call_a", "shell", r#"{"command":["bash"]}"#),
        asked(CallKind::Function, "call_b", "shell", r#"{"command":["echo"]}"#),
        Item::Output(Output {
            call_id: "call_a".into(),
            kind: CallKind::Function,
            answer: Answer::Command(command),
        }),
        answered("call_b", "B"),
    ];
    let expected = concat!(
        r#"{"model":"gpt-5","messages":[{"role":"system","content":"Be\nkind."},"#,
        r#"{"role":"user","content":"go"},"#,
        r#"{"role":"assistant","content":null,"reasoning":"hm ","tool_calls":["#,
        r#"{"id":"call_a","type":"function","function":{"name":"shell","#,
        r#""arguments":"{\"command\":[\"bash\"]}"}},"#,
        r#"{"id":"call_b","type":"function","function":{"name":"shell","#,
        r#""arguments":"{\"command\":[\"echo\"]}"}}]},"#,
        r#"{"role":"tool","tool_call_id":"call_a","#,
        r#""content":"Exit code: 0\nWall time: 0.1 seconds\nOutput:\nA\n"},"#,
        r#"{"role":"tool","tool_call_id":"call_b","content":"B"}],"#,
        r#""stream":true,"stream_options":{"include_usage":true},"#,
        r#""tools":[{"type":"function","function":{"name":"shell","#,
        r#""description":"Runs a \"command\".","#,
        r#""parameters":{"type":"object","properties":{}},"strict":false}}]}"#,
    );
    assert_eq!(body_with(&plain(), &items, UsageReport::Asked), expected);
}

#[test]
fn what_was_not_asked_for_is_not_sent() {
    let mut settings = plain();
    let unasked = body_with(&settings, &[], UsageReport::Unasked);
    assert!(unasked.contains(r#"}],"stream":true,"tools":["#), "{unasked}");
    settings.reasoning.effort = Some("high".into());
    settings.output_schema = Some("{ \"type\": \"object\" }".into());
    let view = view(&settings, &[], &TOOLS[1..]);
    let mut body = Vec::new();
    let mut cursor = Cursor::new(UsageReport::Unasked);
    while cursor.next(&view, &mut Holes::default(), &mut body) {}
    let expected = concat!(
        r#"}],"stream":true,"reasoning_effort":"high","response_format":{"type":"json_schema","#,
        r#""json_schema":{"name":"codex_output_schema","strict":true,"#,
        r#""schema":{"type":"object"}}}}"#,
    );
    assert!(String::from_utf8(body).unwrap().ends_with(expected));
}

#[test]
fn what_people_say_keeps_its_order_and_its_images() {
    let parts = vec![
        Part::Image("data:image/png;base64,AA".into()),
        Part::Text("what".into()),
        Part::Text("is it".into()),
    ];
    let texts = vec![Part::Text("a".into()), Part::Text("b".into())];
    check(
        &[
            Item::Message(Message { role: Role::Developer, parts: texts, id: None }),
            Item::Message(Message { role: Role::User, parts, id: None }),
        ],
        json!([
            {"role": "system", "content": "ab"},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                {"type": "text", "text": "what"},
                {"type": "text", "text": "is it"},
            ]},
        ]),
    );
}

#[test]
fn what_a_model_says_in_one_go_is_one_message() {
    let served = Item::Served { json: "{}".into(), query: "q".into(), id: None };
    check(
        &[
            user("go"),
            said("first"),
            said("first"),
            served,
            shell("a"),
            said("second"),
            answered("a", "A"),
            said("done"),
        ],
        json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "first\n\nsecond", "tool_calls": calls(&["a"])},
            tool("a", "A"),
            {"role": "assistant", "content": "done"},
        ]),
    );
}

#[test]
fn reasoning_is_sent_with_what_it_led_to_and_only_in_its_turn() {
    check(
        &[
            user("one"),
            thought("old"),
            said("1"),
            user("two"),
            thought("so "),
            shell("a"),
            answered("a", "A"),
            thought("and "),
            thought("so"),
            said("2"),
            answered("nobody", "lost"),
            thought("alone"),
        ],
        json!([
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": null, "reasoning": "so ", "tool_calls": calls(&["a"])},
            tool("a", "A"),
            {"role": "assistant", "content": "2", "reasoning": "and so"},
        ]),
    );
}

#[test]
fn outputs_come_right_after_their_calls_and_in_their_order() {
    check(
        &[
            shell("a"),
            shell("b"),
            answered("b", "B"),
            shell("c"),
            user("meanwhile"),
            answered("a", "A"),
            answered("c", "C"),
        ],
        json!([
            {"role": "assistant", "content": null, "tool_calls": calls(&["a", "b"])},
            tool("a", "A"),
            tool("b", "B"),
            {"role": "assistant", "content": null, "tool_calls": calls(&["c"])},
            tool("c", "C"),
            {"role": "user", "content": "meanwhile"},
        ]),
    );
    // The same id again.
    check(
        &[shell("a"), answered("a", "1"), shell("a"), answered("a", "2")],
        json!([
            {"role": "assistant", "content": null, "tool_calls": calls(&["a"])},
            tool("a", "1"),
            {"role": "assistant", "content": null, "tool_calls": calls(&["a"])},
            tool("a", "2"),
        ]),
    );
}

#[test]
fn every_call_is_a_function_with_json() {
    let items = [
        asked(CallKind::Custom, "a", "apply_patch", "*** \"x\""),
        asked(CallKind::LocalShell, "b", "local_shell", r#"{"command":["ls"]}"#),
        asked(CallKind::Function, "c", "shell", "{\"command\":[\"l"),
    ];
    let body = body_with(&plain(), &items, UsageReport::Asked);
    let body: Value = serde_json::from_str(&body).unwrap();
    let calls = body["messages"][1]["tool_calls"].as_array().unwrap();
    for (call, (name, arguments)) in calls.iter().zip([
        ("apply_patch", json!({"input": "*** \"x\""})),
        ("local_shell", json!({"command": ["ls"]})),
        ("shell", json!({"input": "{\"command\":[\"l"})),
    ]) {
        assert_eq!((&call["type"], &call["function"]["name"]), (&"function".into(), &name.into()));
        let text = call["function"]["arguments"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), arguments);
    }
}

#[test]
fn headers_say_who_asks_and_nothing_of_the_conversation() {
    let settings = plain();
    let mut view = view(&settings, &[], &[]);
    view.sub_agent = Some("review");
    let headers = headers(&view, "agent/1");
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let expected = [
        ("accept", "text/event-stream"),
        ("content-type", "application/json"),
        ("originator", "codex_exec"),
        ("user-agent", "agent/1"),
        ("x-openai-subagent", "review"),
    ];
    assert_eq!(headers, expected);
}
