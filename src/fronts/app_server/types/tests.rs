use super::codec::{Fault, Json, Map, Typed};
use super::methods::{ClientRequest, ServerNotification};
use super::v1::{AskForApproval, FileChange, RequestId};
use super::{events, v1, v2, v2_items};
use crate::limits::PROTOCOL_ELEMENTS_MAX;

fn decoded<T: Typed>(json: &str) -> T {
    T::decode(json).unwrap_or_else(|fault| panic!("{json}: {fault}"))
}

fn encoded(value: &impl Typed) -> String {
    let mut out = Vec::new();
    value.encode(&mut out);
    String::from_utf8(out).unwrap()
}

/// What is read from this is written as the same bytes.
fn check<T: Typed>(json: &str) {
    assert_eq!(encoded(&decoded::<T>(json)), json);
}

fn fault<T: Typed>(json: &str) -> String {
    T::decode(json).err().expect("a fault").to_string()
}

#[test]
fn values_are_written_as_they_were_read() {
    check::<RequestId>("\"a\"");
    check::<RequestId>("-7");
    check::<AskForApproval>("\"untrusted\"");
    check::<FileChange>(r#"{"update":{"unified_diff":"@@","move_path":null}}"#);
    check::<v1::SessionSource>(r#"{"subagent":{"other":"x"}}"#);
    check::<v1::SessionSource>(r#""vscode""#);
    check::<v1::InputItem>(r#"{"type":"localImage","data":{"path":"/a"}}"#);
    check::<events::EventMsg>(r#"{"type":"shutdown_complete"}"#);
    check::<events::EventMsg>(r#"{"type":"task_started","model_context_window":258400}"#);
    check::<events::McpToolCallOutcome>(r#"{"Err":"no"}"#);
    check::<v2::AskForApproval>("\"on-request\"");
    check::<v2_items::ThreadStatus>(r#"{"type":"active","activeFlags":["waitingOnApproval"]}"#);
    check::<v2_items::PatchChangeKind>(r#"{"type":"update","move_path":null}"#);
    check::<v2_items::CodexErrorInfo>(r#"{"httpConnectionFailed":{"httpStatusCode":null}}"#);
    check::<v2_items::ThreadItem>(
        r#"{"startedAtMs":1,"type":"userMessage","id":"I","clientId":null,"content":[{"type":"text","text":"hi","text_elements":[]}]}"#,
    );
    check::<v2_items::McpToolCallResult>(
        r#"{"content":[{"a":1}],"structuredContent":null,"_meta":null}"#,
    );
}

#[test]
fn words_of_early_clients_of_the_second_protocol_are_read() {
    assert_eq!(encoded(&decoded::<v2::AskForApproval>("\"unlessTrusted\"")), "\"untrusted\"");
    assert_eq!(encoded(&decoded::<v2::SandboxMode>("\"readOnly\"")), "\"read-only\"");
    let policy = r#"{"mode":"workspaceWrite","writable_roots":["/a"],"network_access":true}"#;
    assert_eq!(
        encoded(&decoded::<v2::SandboxPolicy>(policy)),
        r#"{"type":"workspaceWrite","writableRoots":["/a"],"networkAccess":true,"excludeTmpdirEnvVar":false,"excludeSlashTmp":false}"#
    );
}

#[test]
fn faults_name_the_field() {
    let turn = |params: &str| ClientRequest::decode("turn/start", Some(params)).unwrap_err();
    assert_eq!(turn("[]").to_string(), "params: expected an object");
    assert_eq!(turn("{}").to_string(), "params.threadId: missing");
    assert_eq!(
        turn(r#"{"threadId":"a","input":[{"type":"text","text":1}]}"#).to_string(),
        "params.input[0].text: expected a string"
    );
    assert_eq!(
        turn(r#"{"threadId":"a","input":[{"type":"smell"}]}"#).to_string(),
        "params.input[0].type: unknown word \"smell\""
    );
    let unknown = ClientRequest::decode("thread/dance", None).unwrap_err();
    assert_eq!(unknown.to_string(), "method: unknown word \"thread/dance\"");
    assert_eq!(fault::<v1::Verbosity>("7"), "expected a string");
    assert_eq!(fault::<f64>("inf"), "expected a number");
    assert_eq!(fault::<u16>("70000"), "expected a whole number from 0 to 65535");
}

#[test]
fn parameters_may_be_absent_where_nothing_in_them_is_needed() {
    for params in [None, Some("null"), Some("{}")] {
        assert!(ClientRequest::decode("thread/list", params).is_ok());
        assert!(ClientRequest::decode("account/logout", params).is_ok());
    }
    let read = ClientRequest::decode("newConversation", Some(r#"{"model":null,"new":[1]}"#));
    assert_eq!(read.unwrap().method(), "newConversation");
}

#[test]
fn notifications_know_their_method_and_parameters() {
    let params = r#"{"threadId":"T","turnId":"U"}"#;
    let read = ServerNotification::decode("thread/compacted", Some(params)).unwrap();
    let mut out = Vec::new();
    read.encode_params(&mut out);
    assert_eq!((read.method(), out.as_slice()), ("thread/compacted", params.as_bytes()));
}

#[test]
fn more_elements_than_the_bound_are_refused() {
    let list = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
    assert!(<Vec<i64>>::decode(&list(PROTOCOL_ELEMENTS_MAX)).is_ok());
    assert_eq!(fault::<Vec<i64>>(&list(PROTOCOL_ELEMENTS_MAX + 1)), "more than 100000 elements");
    let object = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(PROTOCOL_ELEMENTS_MAX));
    assert_eq!(fault::<Map<i64>>(&object), "more than 100000 elements");
}

#[test]
fn a_long_foreign_word_is_clipped_in_the_fault() {
    let word = "é".repeat(10_000);
    let text = Fault::unknown(&word).to_string();
    assert!(text.len() < crate::limits::PROTOCOL_WORD_BYTES_MAX, "{}", text.len());
}

#[test]
fn json_stays_in_one_line() {
    let json = Json::read("{ \"a\":\n 1 }").unwrap();
    assert_eq!(json.as_str(), "{\"a\":1}");
    assert_eq!(Json::read("{"), None);
}
