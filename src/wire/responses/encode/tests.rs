use super::*;
use crate::wire::dialect::Dialect;
use crate::wire::samples::{CONVERSATION, settings, view};
use crate::words::call::{Answer, CallAsked, CallKind, CommandAnswer};
use crate::words::item::{Item, Message, Output, Part, Reasoning, Role};

const TOOLS: [ToolSpec; 3] = [
    ToolSpec {
        name: "shell",
        description: "Runs a \"command\".",
        form: ToolForm::Function { parameters: "{\"type\": \"object\",\n \"properties\": {}}" },
    },
    ToolSpec {
        name: "apply_patch",
        description: "Patches.",
        form: ToolForm::Freeform { grammar: "start: a\na: \"x\"" },
    },
    ToolSpec { name: "local_shell", description: "", form: ToolForm::LocalShell },
];

fn history() -> Vec<Item> {
    let command =
        CommandAnswer { exit_code: 2, wall_ms: 100, output: "no\n".into(), lines_total: None };
    vec![
        Item::Message(Message {
            role: Role::User,
            parts: vec![Part::Text("look".into()), Part::Image("data:image/png;base64,AA".into())],
            id: None,
        }),
        Item::Reasoning(Reasoning {
            summary: vec!["t".into()],
            content: vec!["raw".into()],
            encrypted: Some("ENC==".into()),
            id: Some("rs_1".into()),
        }),
        Item::Call(CallAsked {
            kind: CallKind::Function,
            call_id: "c1".into(),
            name: "shell".into(),
            arguments: r#"{"command":["ls"]}"#.into(),
            id: Some("fc_1".into()),
        }),
        Item::Output(Output {
            call_id: "c1".into(),
            kind: CallKind::Function,
            answer: Answer::Command(command),
        }),
    ]
}

fn body(settings: &ThreadSettings, items: &[Item]) -> String {
    let view = view(settings, items, &TOOLS);
    let mut body = Vec::new();
    let mut cursor = Cursor::default();
    let mut segments = 0;
    while cursor.next(&view, &mut Holes::default(), &mut body) {
        segments += 1;
    }
    assert_eq!(segments, items.len() + 2);
    assert!(!cursor.next(&view, &mut Holes::default(), &mut body));
    assert_eq!(Dialect::Responses.length(&view, &[]), body.len() as u64);
    String::from_utf8(body).unwrap()
}

#[test]
fn a_body_has_every_field_in_order() {
    let expected = concat!(
        r#"{"model":"gpt-5","instructions":"Be\nkind.","input":["#,
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"look"},"#,
        r#"{"type":"input_image","image_url":"data:image/png;base64,AA"}]},"#,
        r#"{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"content":null,"#,
        r#""encrypted_content":"ENC=="},"#,
        r#"{"type":"function_call","name":"shell","arguments":"{\"command\":[\"ls\"]}","#,
        r#""call_id":"c1"},"#,
        r#"{"type":"function_call_output","call_id":"c1","#,
        r#""output":"Exit code: 2\nWall time: 0.1 seconds\nOutput:\nno\n"}],"#,
        r#""tools":[{"type":"function","name":"shell","description":"Runs a \"command\".","#,
        r#""strict":false,"parameters":{"type":"object","properties":{}}},"#,
        r#"{"type":"custom","name":"apply_patch","description":"Patches.","#,
        r#""format":{"type":"grammar","syntax":"lark","definition":"start: a\na: \"x\""}},"#,
        r#"{"type":"local_shell"}],"#,
        r#""tool_choice":"auto","parallel_tool_calls":false,"#,
        r#""reasoning":{"effort":"medium","summary":"auto"},"store":false,"stream":true,"#,
        r#""include":["reasoning.encrypted_content"],"#,
        r#""prompt_cache_key":"01990000-0000-7aaa-aaaa-aaaaaaaaaaaa"}"#,
    );
    assert_eq!(body(&settings(), &history()), expected);
}

#[test]
fn a_model_without_reasoning_gets_null_and_an_empty_include() {
    let mut settings = settings();
    settings.reasoning.supported = false;
    settings.parallel_tool_calls = true;
    let body = body(&settings, &[]);
    assert!(body.contains(r#""input":[],"#));
    assert!(body.contains(r#""parallel_tool_calls":true,"reasoning":null,"#));
    assert!(body.contains(r#""include":[],"#));
}

#[test]
fn the_answers_text_is_described_only_when_asked() {
    let mut settings = settings();
    settings.verbosity = Some(Verbosity::Low);
    assert!(body(&settings, &[]).ends_with(r#","text":{"verbosity":"low"}}"#));
    settings.output_schema = Some("{ \"type\": \"object\" }".into());
    assert!(body(&settings, &[]).ends_with(concat!(
        concat!(
            r#","text":{"verbosity":"low","format":{"type":"json_schema","#,
            r#""name":"codex_output_schema","#,
        ),
        r#""strict":true,"schema":{"type":"object"}}}}"#,
    )));
}

#[test]
fn a_provider_that_stores_gets_its_ids_back() {
    let mut settings = settings();
    settings.stored_by_provider = true;
    let body = body(&settings, &history());
    assert!(body.contains(r#""store":true"#));
    assert!(body.contains(r#"{"type":"reasoning","id":"rs_1","#));
    assert!(body.contains(r#"{"type":"function_call","id":"fc_1","#));
    assert_eq!(body.matches("\"id\"").count(), 2);
}

#[test]
fn without_the_freeform_patch_tool_a_commands_end_is_json() {
    let mut settings = settings();
    for patch in [PatchForm::Function, PatchForm::ThroughShell] {
        settings.tools.patch = patch;
        assert!(body(&settings, &history()).contains(concat!(
            r#""output":"{\"output\":\"no\\n\",\"metadata\":{\"exit_code\":2,"#,
            r#"\"duration_seconds\":0.1}}"}"#,
        )));
    }
}

#[test]
fn headers_say_who_asks_and_hold_no_line_breaks() {
    let mut settings = settings();
    settings.originator = "evil\r\nx: y é".into();
    let mut view = view(&settings, &[], &[]);
    view.sub_agent = Some("review");
    let headers = headers(&view, "codex_exec/0.1 (Linux; x86_64)");
    let id = CONVERSATION;
    let expected = [
        ("accept", "text/event-stream"),
        ("content-type", "application/json"),
        ("originator", "evil__x: y _"),
        ("user-agent", "codex_exec/0.1 (Linux; x86_64)"),
        ("x-openai-subagent", "review"),
        ("conversation_id", id),
        ("session_id", id),
        ("session-id", id),
        ("thread-id", id),
        ("x-client-request-id", id),
    ];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
    assert_eq!(headers, expected);
}

#[test]
fn a_web_search_says_how_far_it_may_reach() {
    for (reach, expected) in [
        (WebReach::Usual, r#"{"type":"web_search"}"#),
        (WebReach::Cached, r#"{"type":"web_search","external_web_access":false}"#),
        (
            WebReach::Indexed,
            r#"{"type":"web_search","external_web_access":true,"indexed_web_access":true}"#,
        ),
        (WebReach::Live, r#"{"type":"web_search","external_web_access":true}"#),
    ] {
        let form = ToolForm::WebSearch(reach);
        let mut out = Vec::new();
        encode_tool(&ToolSpec { name: "web_search", description: "", form }, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
