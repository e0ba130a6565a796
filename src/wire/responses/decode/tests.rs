use super::*;
use crate::words::call::{CallAsked, CallKind};
use crate::words::item::{Message, Reasoning, Role};

/// What a payload means, in words that own.
fn told(decoder: &mut Decoder, payload: &str) -> Option<String> {
    let mut told = None;
    decoder.push_event(payload.as_bytes(), &mut |event| {
        assert!(told.is_none());
        told = Some(format!("{event:?}"));
    });
    told
}

fn check(payload: &str, expected: ModelEvent<'_>) {
    let mut decoder = Decoder::default();
    assert_eq!(told(&mut decoder, payload), Some(format!("{expected:?}")), "{payload}");
    assert_eq!(decoder.ignored(), 0);
}

#[test]
fn each_event_means_one_thing() {
    check(r#"{"type":"response.created","response":{"id":"r1"}}"#, ModelEvent::Created);
    check(
        concat!(
            r#"{"type":"response.output_text.delta","item_id":"m","output_index":0,"#,
            r#""delta":"hi \"you\""}"#,
        ),
        ModelEvent::TextDelta("hi \"you\""),
    );
    check(
        r#"{"type":"response.reasoning_summary_text.delta","delta":"think","summary_index":0}"#,
        ModelEvent::ReasoningDelta("think"),
    );
    check(
        r#"{"type":"response.reasoning_summary_part.added","summary_index":1}"#,
        ModelEvent::ReasoningBreak,
    );
    check(
        r#"{"type":"response.reasoning_text.delta","delta":"raw","content_index":0}"#,
        ModelEvent::ReasoningRawDelta("raw"),
    );
    for (kind, start) in [
        ("message", ItemStart::Message),
        ("reasoning", ItemStart::Reasoning),
        ("web_search_call", ItemStart::Served),
    ] {
        check(
            &format!(r#"{{"type":"response.output_item.added","item":{{"type":"{kind}"}}}}"#),
            ModelEvent::ItemStarted(start),
        );
    }
}

#[test]
fn finished_items_are_read_whole() {
    let done = |item: &str| format!(r#"{{"type":"response.output_item.done","item":{item}}}"#);
    let mut message = Message::text(Role::Assistant, "hi");
    message.id = Some("m1".into());
    check(
        &done(concat!(
            r#"{"type":"message","role":"assistant","id":"m1","#,
            r#""content":[{"type":"output_text","text":"hi","annotations":[]}]}"#,
        )),
        ModelEvent::ItemDone(Item::Message(message)),
    );
    let reasoning = Reasoning {
        summary: vec!["a".into(), "b".into()],
        content: vec![],
        encrypted: Some("E".into()),
        id: Some("r1".into()),
    };
    check(
        &done(concat!(
            r#"{"type":"reasoning","id":"r1","summary":[{"type":"summary_text","#,
            r#""text":"a"},{"type":"summary_text","text":"b"}],"encrypted_content":"E"}"#,
        )),
        ModelEvent::ItemDone(Item::Reasoning(reasoning)),
    );
    for (json, kind, name, arguments) in [
        (
            r#"{"type":"function_call","name":"shell","arguments":"{}","call_id":"c"}"#,
            CallKind::Function,
            "shell",
            "{}",
        ),
        (
            r#"{"type":"custom_tool_call","name":"apply_patch","input":"***","call_id":"c"}"#,
            CallKind::Custom,
            "apply_patch",
            "***",
        ),
        (
            concat!(
                r#"{"type":"local_shell_call","call_id":"c","status":"completed","action":"#,
                r#"{"type": "exec"}}"#,
            ),
            CallKind::LocalShell,
            "local_shell",
            r#"{"type":"exec"}"#,
        ),
    ] {
        let call_id = "c".into();
        let (name, arguments) = (name.into(), arguments.into());
        let call = CallAsked { kind, call_id, name, arguments, id: None };
        check(&done(json), ModelEvent::ItemDone(Item::Call(call)));
    }
}

#[test]
fn a_completed_response_tells_its_usage() {
    let usage = Usage {
        input: 100,
        cached_input: 40,
        cache_write_input: 0,
        output: 20,
        reasoning_output: 5,
        total: 120,
    };
    check(
        concat!(
            r#"{"type":"response.completed","response":{"id":"r","usage":"#,
            r#"{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"#,
            r#""output_tokens":20,"output_tokens_details":{"reasoning_tokens":5},"#,
            r#""total_tokens":120}}}"#,
        ),
        ModelEvent::Completed { usage: Some(usage) },
    );
    let bare = Usage { input: 1, output: 1, total: 2, ..Usage::default() };
    check(
        concat!(
            r#"{"type":"response.completed","response":{"id":"r1","usage":"#,
            r#"{"input_tokens":1,"input_tokens_details":null,"output_tokens":1,"#,
            r#""output_tokens_details":null,"total_tokens":2}}}"#,
        ),
        ModelEvent::Completed { usage: Some(bare) },
    );
    for response in ["null", r#"{"id":"r","usage":null}"#, r#"{"usage":{"input_tokens":"x"}}"#] {
        let payload = format!(r#"{{"type":"response.completed","response":{response}}}"#);
        check(&payload, ModelEvent::Completed { usage: None });
    }
}

#[test]
fn a_failed_response_tells_why() {
    let delayed = ModelFailure {
        kind: FailureKind::RateLimited,
        message: "Please try again in 1.5s.".into(),
        retry_after_ms: Some(1500),
    };
    check(
        concat!(
            r#"{"type":"response.failed","response":{"id":"r","error":"#,
            r#"{"code":"rate_limit_exceeded","message":"Please try again in 1.5s."}}}"#,
        ),
        ModelEvent::Failed(delayed),
    );
    check(
        concat!(
            r#"{"type":"response.incomplete","response":{"incomplete_details":"#,
            r#"{"reason":"content_filter"}}}"#,
        ),
        ModelEvent::Failed(errors::incomplete(Some("content_filter"))),
    );
    for payload in [
        r#"{"type":"error","code":"slow_down","message":"m"}"#,
        r#"{"type":"error","error":{"code":"slow_down","message":"m"}}"#,
        r#"{"error":{"code":503,"type":"slow_down","message":"m"}}"#,
    ] {
        check(payload, ModelEvent::Failed(ModelFailure::new(FailureKind::Overloaded, "m")));
    }
    for payload in [r#"{"type":"response.failed"}"#, r#"{"type":"response.failed","response":7}"#] {
        check(payload, ModelEvent::Failed(errors::failed(None, None)));
    }
}

#[test]
fn what_means_nothing_is_counted() {
    let mut decoder = Decoder::default();
    let payloads = [
        "",
        "[DONE]",
        "{",
        r#"{"type":7}"#,
        r#"{"delta":"x"}"#,
        r#"{"error":null}"#,
        r#"{"type":"response.in_progress"}"#,
        r#"{"type":"response.function_call_arguments.delta","delta":"x"}"#,
        r#"{"type":"response.output_text.delta"}"#,
        r#"{"type":"response.output_text.delta","delta":7}"#,
        r#"{"type":"response.output_item.added","item":{"type":"function_call"}}"#,
        r#"{"type":"response.output_item.done","item":{"type":"mystery"}}"#,
        concat!(
            r#"{"type":"response.output_item.done","item":{"type":"function_call_output","#,
            r#""call_id":"c","output":"x"}}"#,
        ),
        r#"{"type":"keepalive"}"#,
    ];
    for payload in payloads {
        assert_eq!(told(&mut decoder, payload), None, "{payload}");
    }
    decoder.push_event(b"\xff", &mut |event| panic!("{event:?}"));
    assert_eq!(decoder.ignored(), payloads.len() as u64 + 1);
}

#[test]
fn nothing_comes_after_the_end() {
    let mut decoder = Decoder::default();
    let completed = r#"{"type":"response.completed","response":{}}"#;
    assert!(told(&mut decoder, completed).is_some() && decoder.ended());
    assert_eq!(told(&mut decoder, completed), None);
    assert_eq!(told(&mut decoder, r#"{"type":"response.created"}"#), None);
    assert_eq!(decoder.ignored(), 2);
}

#[test]
fn a_call_without_a_name_is_given_one() {
    let mut decoder = Decoder::new(7);
    for (call_id, expected) in
        [("", "call_7"), (r#","call_id":"""#, "call_8"), (r#","call_id":"x""#, "x")]
    {
        let item = format!(r#"{{"type":"function_call","name":"n","arguments":""{call_id}}}"#);
        let payload = format!(r#"{{"type":"response.output_item.done","item":{item}}}"#);
        let told = told(&mut decoder, &payload).unwrap();
        assert!(told.contains(&format!("call_id: \"{expected}\"")), "{told}");
    }
}

#[test]
fn a_delta_without_escapes_is_lent_from_the_payload() {
    let payload = br#"{"type":"response.output_text.delta","delta":"plain"}"#;
    let range = payload.as_ptr_range();
    Decoder::default().push_event(payload, &mut |event| match event {
        ModelEvent::TextDelta(text) => assert!(range.contains(&text.as_ptr())),
        event => panic!("{event:?}"),
    });
}

#[test]
fn the_fuzz_body_holds_on_its_seeds() {
    let deep = "[".repeat(10_000);
    for seed in [
        "",
        "{}\n[]\nnull",
        concat!(
            r#"{"type":"response.output_item.done","item":{"type":"message","#,
            r#""role":"assistant","content":"x\ud800"}}"#,
        ),
        concat!(
            r#"{"type":"response.output_item.done","item":{"type":"function_call","#,
            r#""name":"n","arguments":{"a":[1, "\n"]}}}"#,
        ),
        concat!(
            r#"{"type":"response.output_item.done","item":{"type":"local_shell_call","#,
            r#""id":"","action":{"b" : 1}}}"#,
        ),
        concat!(
            r#"{"type":"response.output_item.done","item":{"type":"web_search_call","#,
            r#""id":"","status":{},"action":7}}"#,
        ),
        "{\"type\":\"response.completed\"}\n{\"type\":\"response.failed\"}",
        &deep,
    ] {
        fuzz(seed.as_bytes());
    }
}
