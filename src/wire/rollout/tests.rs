use super::*;
use crate::wire::samples::{CONVERSATION, conversation, settings};
use crate::words::call::{Answer, CallAsked, CallKind, CommandAnswer};
use crate::words::ids::ConversationId;
use crate::words::ids::ItemIndex;
use crate::words::item::{Output, Reasoning, Role};
use crate::words::settings::ThreadSettings;

/// A conversation as Codex 0.58 writes it.
const SAMPLE: &str = include_str!("sample.jsonl");

/// A turn that began after three seconds.
const TURN: TurnName =
    TurnName(ConversationId([0, 0, 0, 0, 0x0b, 0xb8, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1]));

const TIMESTAMP: &str = "2025-11-07T10:00:00.100Z";

fn line(record: &Record, settings: &ThreadSettings, items: &[Item]) -> String {
    let conversation = conversation();
    let view =
        RecordView { conversation, forked_from: None, sub_agent: None, settings, git: None, items };
    line_of(record, view)
}

fn line_of(record: &Record, view: RecordView<'_>) -> String {
    let mut out = Vec::new();
    encode(record, view, TIMESTAMP, &mut Holes::default(), &mut out);
    assert_eq!(out.pop(), Some(b'\n'));
    let line = String::from_utf8(out).unwrap();
    assert!(!line.contains('\n') && json::is_json(&line), "{line}");
    line
}

fn payload(record: &Record, settings: &ThreadSettings, items: &[Item]) -> String {
    json::field(&line(record, settings, items), "payload").unwrap().to_owned()
}

fn items() -> Vec<Item> {
    let mut message = Message::text(Role::User, "do\nit");
    message.parts.push(Part::Image("data:image/png;base64,AA".into()));
    let call = |kind, name: &str, arguments: &str| {
        let (call_id, name, arguments) = ("c".into(), name.into(), arguments.into());
        Item::Call(CallAsked { kind, call_id, name, arguments, id: None })
    };
    let output = |kind, answer| Item::Output(Output { call_id: "c".into(), kind, answer });
    let ended = CommandAnswer {
        exit_code: -1,
        wall_ms: 1200,
        output: "a\u{1b}\n".into(),
        lines_total: Some(500),
    };
    vec![
        Item::Message(message),
        Item::Message(Message::text(Role::Developer, "be\u{0}brief")),
        Item::Message(Message::text(Role::Assistant, "Done \u{2028}")),
        Item::Reasoning(Reasoning {
            summary: vec!["a".into(), "b".into()],
            content: vec!["raw".into()],
            encrypted: Some("ENC==".into()),
            id: None,
        }),
        call(CallKind::Function, "shell", r#"{"command":["ls"]}"#),
        output(CallKind::Function, Answer::Command(ended)),
        call(CallKind::Custom, "apply_patch", "*** Begin Patch\n"),
        output(CallKind::Custom, Answer::Text { text: "no".into(), success: true }),
        call(CallKind::LocalShell, "local_shell", r#"{"type":"exec","command":["ls"]}"#),
        Item::Served {
            json: r#"{"type":"web_search_call","action":{"query":"q"}}"#.into(),
            query: "q".into(),
            id: None,
        },
    ]
}

#[test]
fn items_read_back_as_they_were_written() {
    let items = items();
    for (index, item) in items.iter().enumerate() {
        let line = line(&Record::Item(ItemIndex(index as u32)), &settings(), &items);
        assert_eq!(decode(line.as_bytes()), Ok(Remembered::Item(item.clone())), "{line}");
    }
}

#[test]
fn what_replaces_a_history_reads_back_as_it_was_written() {
    let said = |text| Item::Message(Message::text(Role::User, text));
    let items = [said("said"), said("summary"), said("later")];
    let line = line(&Record::Compacted { items_count: 2 }, &settings(), &items);
    assert!(line.contains(r#""type":"compacted","payload":{"message":"summary","#), "{line}");
    let replacement = Some(items[..2].to_vec());
    let remembered = Remembered::Compacted { summary: "summary".into(), replacement };
    assert_eq!(decode(line.as_bytes()), Ok(remembered));
}

#[test]
fn ids_are_not_recorded() {
    let mut message = Message::text(Role::Assistant, "hi");
    message.id = Some("m1".into());
    let line = line(&Record::Item(ItemIndex(0)), &settings(), &[Item::Message(message)]);
    assert!(!line.contains("m1"), "{line}");
}

#[test]
fn the_first_line_says_who_and_where() {
    let git = GitFacts {
        commit_hash: Some("f5d1a3b".into()),
        branch: Some("main".into()),
        repository_url: None,
    };
    let settings = settings();
    let view = RecordView {
        conversation: conversation(),
        forked_from: None,
        sub_agent: None,
        settings: &settings,
        git: Some(&git),
        items: &[],
    };
    let line = line_of(&Record::Meta, view);
    let expected = format!(
        concat!(
            r#"{{"timestamp":"{at}","type":"session_meta","payload":{{"id":"{id}","#,
            r#""timestamp":"{at}","cwd":"/w","originator":"codex_exec","cli_version":"{version}","#,
            r#""instructions":null,"source":"exec","model_provider":"openai","#,
            r#""git":{{"commit_hash":"f5d1a3b","branch":"main"}}}}}}"#,
        ),
        at = TIMESTAMP,
        id = CONVERSATION,
        version = env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(line, expected);
    let meta = Remembered::Meta { conversation: conversation(), cwd: "/w".into() };
    assert_eq!(decode(line.as_bytes()), Ok(meta));
    let empty = GitFacts::default();
    assert!(!line_of(&Record::Meta, RecordView { git: Some(&empty), ..view }).contains("git"));
    let id = ConversationId([7; 16]);
    let fork = RecordView { forked_from: Some(id), ..view };
    let field = format!(r#""id":"{CONVERSATION}","forked_from_id":"{id}","timestamp""#);
    assert!(line_of(&Record::Meta, fork).contains(&field));
    let child = RecordView { sub_agent: Some("review"), ..view };
    assert!(line_of(&Record::Meta, child).contains(r#""source":{"subagent":"review"},"#));
}

#[test]
fn a_turn_says_what_it_runs_with() {
    let mut settings = settings();
    assert_eq!(
        payload(&Record::TurnContext, &settings, &[]),
        concat!(
            r#"{"cwd":"/w","approval_policy":"never","sandbox_policy":{"mode":"read-only"},"#,
            r#""model":"gpt-5","effort":"medium","summary":"auto"}"#,
        ),
    );
    settings.reasoning.effort = None;
    settings.reasoning.summary = None;
    settings.approval = ApprovalPolicy::OnRequest;
    settings.sandbox = SandboxPolicy::of(SandboxMode::WorkspaceWrite);
    settings.sandbox.writable_roots.push("/x".into());
    assert_eq!(
        payload(&Record::TurnContext, &settings, &[]),
        concat!(
            r#"{"cwd":"/w","approval_policy":"on-request","sandbox_policy":"#,
            r#"{"mode":"workspace-write","writable_roots":["/x"],"network_access":false,"#,
            r#""exclude_tmpdir_env_var":false,"exclude_slash_tmp":false},"#,
            r#""model":"gpt-5","summary":"none"}"#,
        ),
    );
}

#[test]
fn events_are_what_people_saw() {
    let items = items();
    for (record, expected) in [
        (
            Record::UserMessage(ItemIndex(0)),
            r#"{"type":"user_message","message":"do\nit","images":["data:image/png;base64,AA"]}"#,
        ),
        (
            Record::UserMessage(ItemIndex(1)),
            r#"{"type":"user_message","message":"be\u0000brief","images":[]}"#,
        ),
        (
            Record::AgentMessage(ItemIndex(2)),
            "{\"type\":\"agent_message\",\"message\":\"Done \u{2028}\"}",
        ),
        (Record::AgentReasoning(ItemIndex(3)), r#"{"type":"agent_reasoning","text":"a\n\nb"}"#),
        (
            Record::ReviewEntered { item: ItemIndex(0), hint: "a \"b\"".into() },
            r#"{"type":"entered_review_mode","prompt":"do\nit","user_facing_hint":"a \"b\""}"#,
        ),
        (
            Record::ReviewExited { verdict: Some(ItemIndex(2)) },
            concat!(
                r#"{"type":"exited_review_mode","review_output":{"findings":[],"#,
                r#""overall_correctness":"","overall_explanation":"Done","#,
                r#""overall_confidence_score":0.0}}"#
            ),
        ),
        (
            Record::ReviewExited { verdict: None },
            r#"{"type":"exited_review_mode","review_output":null}"#,
        ),
        (
            Record::TurnStarted { turn: TURN },
            concat!(
                r#"{"type":"task_started","turn_id":"00000000-0bb8-7000-8000-000000000001","#,
                r#""started_at":3,"model_context_window":null,"#,
                r#""collaboration_mode_kind":"default"}"#
            ),
        ),
        (
            Record::TurnEnded { turn: TURN, said: Some(ItemIndex(2)), wall_ms: 4_500 },
            concat!(
                r#"{"type":"task_complete","turn_id":"00000000-0bb8-7000-8000-000000000001","#,
                r#""started_at":3,"completed_at":4,"duration_ms":1500,"#,
                "\"last_agent_message\":\"Done \u{2028}\"}"
            ),
        ),
        (
            Record::TurnAborted { turn: TURN, wall_ms: 0 },
            concat!(
                r#"{"type":"turn_aborted","turn_id":"00000000-0bb8-7000-8000-000000000001","#,
                r#""started_at":3,"completed_at":0,"duration_ms":0,"reason":"interrupted"}"#
            ),
        ),
        (Record::TurnFailed { message: "spent".into() }, r#"{"type":"error","message":"spent"}"#),
    ] {
        assert_eq!(payload(&record, &settings(), &items), expected);
        let line = line(&record, &settings(), &items);
        assert_eq!(decode(line.as_bytes()), Ok(Remembered::Nothing));
    }
}

#[test]
fn the_last_line_says_what_a_session_was_recorded_with() {
    let mut setup = Setup::default();
    setup.take(b"\xff");
    for line in SAMPLE.lines().chain(["{", "{}", "[]"]) {
        setup.take(line.as_bytes());
    }
    let known = |text: &str| Some(text.into());
    let expected = Setup { provider: known("mock"), model: known("gpt-5-codex"), effort: None };
    assert_eq!(setup, expected);
    let mut settings = settings();
    settings.reasoning.effort = known("high");
    setup.take(line(&Record::TurnContext, &settings, &[]).as_bytes());
    let model = Some(settings.model);
    assert_eq!(setup, Setup { model, effort: known("high"), ..expected });
}

#[test]
fn tokens_read_back_as_they_were_written() {
    let total = Usage {
        input: 100,
        cached_input: 40,
        cache_write_input: 0,
        output: 20,
        reasoning_output: 5,
        total: 120,
    };
    let primary = RateWindow {
        used_percent: 12.5,
        window_minutes: Some(300),
        resets_at: Some(1_764_000_000),
    };
    let limits = Some(RateLimits { primary: Some(primary), secondary: None });
    let mut settings = settings();
    settings.context_window = Some(272_000);
    let record = Record::TokenCount { total, last: total, limits };
    let line = line(&record, &settings, &[]);
    let sample = SAMPLE.lines().find(|line| line.contains("token_count")).unwrap();
    assert_eq!(json::field(&line, "payload"), json::field(sample, "payload"));
    let remembered = Remembered::TokenCount { total, last: total, limits };
    assert_eq!(decode(line.as_bytes()), Ok(remembered));
    let nothing = Usage::default();
    let early = Record::TokenCount { total: nothing, last: nothing, limits };
    let early = self::line(&early, &settings, &[]);
    assert!(early.contains(r#""type":"token_count","info":null,"rate_limits":{"primary":{"#));
    let remembered = Remembered::TokenCount { total: nothing, last: nothing, limits };
    assert_eq!(decode(early.as_bytes()), Ok(remembered));
    let bare = Record::TokenCount { total, last: total, limits: None };
    let bare = payload(&bare, &ThreadSettings { context_window: None, ..settings }, &[]);
    assert!(bare.ends_with(r#""model_context_window":null},"rate_limits":null}"#), "{bare}");
}

#[test]
fn a_reset_time_of_the_old_relative_form_is_not_known() {
    let line = r#"{"type":"event_msg","payload":{"type":"token_count","info":null,
        "rate_limits":{"primary":{"used_percent":12.5,"window_minutes":300,
        "resets_in_seconds":120},"secondary":null}}}"#;
    let window = RateWindow { used_percent: 12.5, window_minutes: Some(300), resets_at: None };
    let Ok(Remembered::TokenCount { limits, .. }) = decode(line.as_bytes()) else { panic!() };
    assert_eq!(limits, Some(RateLimits { primary: Some(window), secondary: None }));
}

#[test]
fn a_foreign_rollout_is_read_and_written_the_same() {
    let mut items = Vec::new();
    let mut kinds = String::new();
    for line in SAMPLE.lines() {
        match decode(line.as_bytes()).unwrap() {
            Remembered::Meta { conversation, cwd } => {
                let id = conversation.to_string();
                assert_eq!(id, "01990000-0000-7000-8000-0000000000aa");
                assert_eq!(&*cwd, "/w");
                kinds.push('m');
            }
            Remembered::Item(item) => {
                items.push(item);
                let index = ItemIndex(items.len() as u32 - 1);
                let written = payload(&Record::Item(index), &settings(), &items);
                assert_eq!(Some(&*written), json::field(line, "payload"));
                kinds.push('i');
            }
            Remembered::TokenCount { total, .. } => {
                assert_eq!(total.total, 120);
                kinds.push('t');
            }
            Remembered::Nothing => kinds.push('.'),
            other @ Remembered::Compacted { .. } => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds, "mii..iii.ti");
    let command =
        CommandAnswer { exit_code: 0, wall_ms: 0, output: "a.txt\n".into(), lines_total: None };
    let Item::Output(output) = &items[4] else { panic!("{items:?}") };
    assert_eq!(output.answer, Answer::Command(command));
}

#[test]
fn newer_lines_are_read_for_what_we_need() {
    let item = concat!(
        r#"{"timestamp":"t","ordinal":7,"metadata":{},"type":"response_item","payload":"#,
        r#"{"type":"message","id":"msg_1","role":"user","metadata":{"a":1},"#,
        r#""content":[{"type":"input_text","text":"hi"}],"#,
        r#""internal_chat_message_metadata_passthrough":{"turn_id":"x"}}}"#,
    );
    let message = Item::Message(Message::text(Role::User, "hi"));
    assert_eq!(decode(item.as_bytes()), Ok(Remembered::Item(message.clone())));

    let meta = format!(
        concat!(
            r#"{{"timestamp":"t","type":"session_meta","ordinal":0,"payload":{{"#,
            r#""session_id":"{id}","base_instructions":{{"text":"x"}},"cwd":"/w"}}}}"#,
        ),
        id = CONVERSATION,
    );
    let remembered = Remembered::Meta { conversation: conversation(), cwd: "/w".into() };
    assert_eq!(decode(meta.as_bytes()), Ok(remembered));

    let compacted = concat!(
        r#"{"type":"compacted","payload":{"message":"sum","replacement_history":["#,
        concat!(
            r#"{"type":"message","id":"m","role":"user","content":[{"type":"input_text","#,
            r#""text":"hi"}]},"#,
        ),
        r#"{"type":"world_state"}]}}"#,
    );
    let replacement = Some(vec![message]);
    let remembered = Remembered::Compacted { summary: "sum".into(), replacement };
    assert_eq!(decode(compacted.as_bytes()), Ok(remembered));
    let compacted = r#"{"type":"compacted","payload":{"message":"sum"}}"#;
    let remembered = Remembered::Compacted { summary: "sum".into(), replacement: None };
    assert_eq!(decode(compacted.as_bytes()), Ok(remembered));
}

#[test]
fn lines_history_does_not_need_are_nothing() {
    for line in [
        "{}",
        r#"{"type":"world_state","payload":{}}"#,
        r#"{"type":"token_usage_record","payload":{"a":1}}"#,
        r#"{"type":"response_item"}"#,
        r#"{"type":"response_item","payload":{"type":"ghost_snapshot"}}"#,
        r#"{"type":"response_item","payload":{"type":"function_call","name":"n"}}"#,
        r#"{"type":"event_msg","payload":{"type":"token_count","info":null,"rate_limits":null}}"#,
        r#"{"type":"event_msg","payload":{"type":"task_started"}}"#,
        r#"{"type":"event_msg","payload":7}"#,
        r#"{"type":"compacted","payload":{}}"#,
        r#"{"type":7,"payload":{}}"#,
    ] {
        assert_eq!(decode(line.as_bytes()), Ok(Remembered::Nothing), "{line}");
    }
}

#[test]
fn what_is_no_line_is_an_error() {
    for line in ["", "x", "[]", "{\"type\":\"session_meta\"", "{}{}", "\u{0}"] {
        assert_eq!(decode(line.as_bytes()), Err(LineError::NotJson), "{line}");
    }
    assert_eq!(decode(b"{\"\xff\":1}"), Err(LineError::NotJson));
    for payload in ["{}", r#"{"id":"x","cwd":"/w"}"#, "[]"] {
        let line = format!(r#"{{"type":"session_meta","payload":{payload}}}"#);
        assert_eq!(decode(line.as_bytes()), Err(LineError::NoConversation), "{line}");
    }
    let mut long = br#"{"type":"x"}"#.to_vec();
    long.resize(ROLLOUT_LINE_BYTES_MAX, b' ');
    assert_eq!(decode(&long), Ok(Remembered::Nothing));
    long.push(b' ');
    assert_eq!(decode(&long), Err(LineError::TooLong));
}

#[test]
fn the_fuzz_body_holds_on_its_seeds() {
    SAMPLE.lines().for_each(|line| fuzz(line.as_bytes()));
    for seed in [
        "",
        concat!(
            r#"{"type":"response_item","payload":{"type":"function_call_output","#,
            r#""call_id":"","output":[]}}"#,
        ),
        r#"{"type":"response_item","payload":{"type":"message","role":"system","content":"x"}}"#,
        concat!(
            r#"{"type":"response_item","payload":{"type":"function_call_output","#,
            r#""call_id":"c","output":"{\"output\":\"\",\"metadata\":"#,
            r#"{\"exit_code\":1,\"duration_seconds\":1e300}}"}}"#,
        ),
        concat!(
            r#"{"type":"response_item","payload":{"type":"function_call_output","#,
            r#""call_id":"c","output":"{\"output\":\"\",\"metadata\":"#,
            r#"{\"exit_code\":1,\"duration_seconds\":-5,\"lines_total\":1e99}}"}}"#,
        ),
        r#"{"type":"compacted","payload":{"replacement_history":[{"type":"reasoning"},7]}}"#,
    ] {
        fuzz(seed.as_bytes());
    }
}
