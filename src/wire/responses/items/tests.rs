use super::*;
use crate::words::call::CommandAnswer;

const RECORD: Form = Form { layout: Layout::Record, ids: Ids::Dropped };

fn encoded(item: &Item, form: Form) -> String {
    let mut out = Vec::new();
    encode(item, form, &mut Holes::default(), &mut out);
    String::from_utf8(out).unwrap()
}

fn check_same(json: &str) {
    let item = decode(json).unwrap();
    assert_eq!(encoded(&item, Form { layout: Layout::Record, ids: Ids::Kept }), json);
}

#[test]
fn items_are_written_as_they_were_read() {
    for json in [
        concat!(
            r#"{"type":"message","role":"user","content":[{"type":"input_text","#,
            r#""text":"a\nb"},{"type":"input_image","#,
            r#""image_url":"data:image/png;base64,AA"}]}"#,
        ),
        concat!(
            r#"{"type":"message","id":"m1","role":"assistant","#,
            r#""content":[{"type":"output_text","text":"hi"}]}"#,
        ),
        r#"{"type":"message","role":"developer","content":[]}"#,
        concat!(
            r#"{"type":"reasoning","id":"r1","summary":[{"type":"summary_text","#,
            r#""text":"t"}],"content":[{"type":"reasoning_text","text":"raw"}],"#,
            r#""encrypted_content":"ENC=="}"#,
        ),
        r#"{"type":"reasoning","summary":[],"content":null,"encrypted_content":null}"#,
        concat!(
            r#"{"type":"function_call","id":"f1","name":"shell","#,
            r#""arguments":"{\"command\":[\"ls\"]}","call_id":"c1"}"#,
        ),
        r#"{"type":"function_call_output","call_id":"c1","output":"text"}"#,
        concat!(
            r#"{"type":"function_call_output","call_id":"c1","#,
            r#""output":"{\"output\":\"a.txt\\n\",\"metadata\":"#,
            r#"{\"exit_code\":0,\"duration_seconds\":0.0}}"}"#,
        ),
        concat!(
            r#"{"type":"custom_tool_call","call_id":"c2","name":"apply_patch","#,
            r#""input":"*** Begin Patch"}"#,
        ),
        r#"{"type":"custom_tool_call_output","call_id":"c2","output":"ok"}"#,
        concat!(
            r#"{"type":"local_shell_call","call_id":"c3","status":"completed","action":"#,
            r#"{"type":"exec","command":["ls"]}}"#,
        ),
        concat!(
            r#"{"type":"web_search_call","status":"completed","action":{"type":"search","#,
            r#""query":"rust"}}"#,
        ),
    ] {
        check_same(json);
    }
}

#[test]
fn a_provider_that_encrypts_gets_no_raw_reasoning_and_no_unasked_ids() {
    let item = decode(concat!(
        r#"{"type":"reasoning","id":"r1","summary":[],"#,
        r#""content":[{"type":"reasoning_text","text":"raw"}],"encrypted_content":"E"}"#,
    ))
    .unwrap();
    let form = Form { layout: Layout::Json, ids: Ids::Dropped };
    assert_eq!(
        encoded(&item, form),
        r#"{"type":"reasoning","summary":[],"content":null,"encrypted_content":"E"}"#,
    );
}

#[test]
fn a_provider_that_encrypts_nothing_gets_its_raw_reasoning_back() {
    for encrypted in ["", r#","encrypted_content":null"#, r#","encrypted_content":"""#] {
        let content = r#""content":[{"type":"reasoning_text","text":"raw"}]"#;
        let json = format!(r#"{{"type":"reasoning","summary":[],{content}{encrypted}}}"#);
        let form = Form { layout: Layout::Json, ids: Ids::Dropped };
        assert_eq!(
            encoded(&decode(&json).unwrap(), form),
            format!(r#"{{"type":"reasoning","summary":[],{content},"encrypted_content":null}}"#),
        );
    }
}

#[test]
fn a_served_call_keeps_known_fields_and_gets_its_id_back() {
    let json = "{ \"id\":\"ws1\", \"type\":\"web_search_call\",\n \"status\":\"completed\", \
                \"metadata\":{}, \"action\":{\"type\":\"search\",\"query\":\"q\"}}";
    let item = decode(json).unwrap();
    let Item::Served { json, query, id } = &item else { panic!("{item:?}") };
    assert_eq!(
        &**json,
        r#"{"type":"web_search_call","status":"completed","action":{"type":"search","query":"q"}}"#,
    );
    assert_eq!((&**query, id.as_deref()), ("q", Some("ws1")));
    let form = Form { layout: Layout::Json, ids: Ids::Kept };
    assert!(encoded(&item, form).starts_with(r#"{"id":"ws1","type":"web_search_call","#));
}

#[test]
fn a_served_call_is_known_by_what_it_looked_for() {
    for (action, expected) in [
        (r#"{"type":"search","query":"q","queries":["q","r"]}"#, "q"),
        (r#"{"type":"open_page","url":"https://a/"}"#, "https://a/"),
        (r#"{"type":"find_in_page","url":"https://a/","pattern":"p"}"#, "'p' in https://a/"),
        (r#"{"type":"find_in_page","pattern":"p"}"#, "p"),
        ("{}", ""),
        ("7", ""),
    ] {
        let json = format!(r#"{{"type":"web_search_call","action":{action}}}"#);
        let Some(Item::Served { query, .. }) = decode(&json) else { panic!("{json}") };
        assert_eq!(&*query, expected, "{json}");
    }
}

#[test]
fn outputs_of_other_shapes_become_text() {
    for (output, text, success) in [
        (
            r#"[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:,"}]"#,
            "a\n[image left out]",
            true,
        ),
        (r#"{"content":"no","success":false}"#, "no", false),
    ] {
        let json = format!(
            r#"{{"type":"function_call_output","id":"x","call_id":"c","output":{output}}}"#
        );
        let answer = Answer::Text { text: text.into(), success };
        let kind = CallKind::Function;
        let expected = Item::Output(Output { call_id: "c".into(), kind, answer });
        assert_eq!(decode(&json), Some(expected));
    }
}

#[test]
fn arguments_that_came_as_an_object_become_text() {
    let json = r#"{"type":"function_call","name":"shell","arguments":{"a": 1},"call_id":null}"#;
    let Some(Item::Call(call)) = decode(json) else { panic!("no call") };
    assert_eq!((&*call.arguments, &*call.call_id), (r#"{"a":1}"#, ""));
}

#[test]
fn a_local_shell_call_may_be_named_by_its_id() {
    let json = r#"{"type":"local_shell_call","id":"ls1","action":{"type":"exec"}}"#;
    let Some(Item::Call(call)) = decode(json) else { panic!("no call") };
    assert_eq!(&*call.call_id, "ls1");
}

#[test]
fn what_is_no_item_is_none() {
    for json in [
        "",
        "[]",
        "{}",
        r#"{"type":"ghost_snapshot","ghost_commit":{}}"#,
        r#"{"type":"other"}"#,
        r#"{"type":"message","role":"robot","content":[]}"#,
        r#"{"type":"message","role":"user"}"#,
        r#"{"type":"function_call","call_id":"c"}"#,
        r#"{"type":"function_call_output","output":"x"}"#,
        r#"{"type":"function_call_output","call_id":"c","output":7}"#,
        r#"{"type":"local_shell_call","call_id":"c"}"#,
    ] {
        assert_eq!(decode(json), None, "{json}");
    }
}

#[test]
fn a_message_of_too_many_parts_is_refused() {
    let part = r#"{"type":"input_text","text":""}"#;
    for (count, fits) in [(ITEM_PARTS_MAX, true), (ITEM_PARTS_MAX + 1, false)] {
        let content = vec![part; count].join(",");
        let json = format!(r#"{{"type":"message","role":"user","content":[{content}]}}"#);
        assert_eq!(decode(&json).is_some(), fits);
    }
}

#[test]
fn a_command_in_a_record_reads_back() {
    let command =
        CommandAnswer { exit_code: 1, wall_ms: 300, output: "é\n".into(), lines_total: Some(9) };
    for kind in [CallKind::Function, CallKind::Custom] {
        let answer = Answer::Command(command.clone());
        let item = Item::Output(Output { call_id: "c".into(), kind, answer });
        assert_eq!(decode(&encoded(&item, RECORD)), Some(item));
    }
}
