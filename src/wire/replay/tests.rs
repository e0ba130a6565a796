use super::recorder::{Recorder, TooLong};
use super::*;
use crate::wire::samples::{settings, view};
use crate::words::call::CommandAnswer;
use crate::words::item::{Message, Output, Reasoning};
use crate::words::model::{ItemStart, Usage};
use crate::words::settings::ThreadSettings;

fn call(kind: CallKind, arguments: &str) -> CallAsked {
    let (call_id, name) = ("c1".into(), "shell".into());
    CallAsked { kind, call_id, name, arguments: arguments.into(), id: None }
}

fn ended(exit_code: i32) -> Item {
    let answer = Answer::Command(CommandAnswer {
        exit_code,
        wall_ms: 100,
        output: "out".into(),
        lines_total: None,
    });
    Item::Output(Output { call_id: "c1".into(), kind: CallKind::Function, answer })
}

fn prompt() -> Item {
    Item::Message(Message::text(Role::User, "do it"))
}

fn settings_at(cwd: &str) -> ThreadSettings {
    ThreadSettings { cwd: cwd.into(), ..settings() }
}

/// Every kind of event, with a call that names the working directory.
fn events(cwd: &str) -> Vec<ModelEvent<'static>> {
    let usage = Usage {
        input: 9,
        cached_input: 4,
        cache_write_input: 1,
        output: 3,
        reasoning_output: 2,
        total: 12,
    };
    let arguments = format!(r#"{{"command":["cat","{cwd}/a"],"workdir":"{cwd}"}}"#);
    let reasoning = Reasoning {
        summary: vec!["why".into()],
        content: vec!["raw".into()],
        encrypted: Some("E".into()),
        id: None,
    };
    vec![
        ModelEvent::Created,
        ModelEvent::ItemStarted(ItemStart::Reasoning),
        ModelEvent::ReasoningBreak,
        ModelEvent::ReasoningDelta("why"),
        ModelEvent::ReasoningRawDelta("raw"),
        ModelEvent::ItemDone(Item::Reasoning(reasoning)),
        ModelEvent::ItemStarted(ItemStart::Message),
        ModelEvent::TextDelta("Do\n"),
        ModelEvent::TextDelta("ne"),
        ModelEvent::ItemDone(Item::Message(Message::text(Role::Assistant, "Do\nne"))),
        ModelEvent::ItemDone(Item::Call(call(CallKind::Function, &arguments))),
        ModelEvent::Completed { usage: Some(usage) },
    ]
}

fn recorded(view: &RequestView<'_>, events: &[ModelEvent<'_>]) -> String {
    let mut recorder = Recorder::new(view, &[]);
    events.iter().for_each(|event| recorder.push(event));
    text_of(recorder)
}

fn text_of(recorder: Recorder) -> String {
    format!("{HEADER}\n{}", String::from_utf8(recorder.finish().unwrap()).unwrap())
}

/// What is played, each event as its debug text.
fn played(replay: &mut Replay, view: &RequestView<'_>) -> Result<Vec<String>, Mismatch> {
    let mut playing = replay.answer(view)?;
    let mut played = Vec::new();
    while playing.next(replay, &mut |event| played.push(format!("{event:?}"))) {}
    assert!(!playing.next(replay, &mut |event| panic!("{event:?}")));
    Ok(played)
}

fn debugged(events: &[ModelEvent<'_>]) -> Vec<String> {
    events.iter().map(|event| format!("{event:?}")).collect()
}

#[test]
fn what_was_recorded_is_played() {
    let settings = settings();
    let items = [prompt()];
    let view = view(&settings, &items, &[]);
    let mut replay = Replay::parse(recorded(&view, &events("/w"))).unwrap();
    assert_eq!(played(&mut replay, &view), Ok(debugged(&events("/w"))));
}

#[test]
fn a_recording_plays_in_another_directory() {
    let there = settings_at("/home/a/x");
    let here = settings_at("/w \"q\" \\ é");
    let items = [prompt()];
    let text = recorded(&view(&there, &items, &[]), &events("/home/a/x"));
    assert!(text.contains(CWD_MARKER) && !text.contains("/home/a"), "{text}");
    let mut replay = Replay::parse(text).unwrap();
    let view = view(&here, &items, &[]);
    let expected = debugged(&events(r#"/w \"q\" \\ é"#));
    assert_eq!(played(&mut replay, &view), Ok(expected));
}

#[test]
fn a_path_that_is_the_directory_elsewhere_is_no_difference() {
    let (there, here) = (settings_at("/home/a"), settings_at("/tmp"));
    let items = [prompt(), Item::Call(call(CallKind::Custom, "/tmp/x")), ended(0)];
    let text = recorded(&view(&there, &items, &[]), &[ModelEvent::Completed { usage: None }]);
    let mut replay = Replay::parse(text).unwrap();
    assert!(played(&mut replay, &view(&here, &items, &[])).is_ok());
}

#[test]
fn the_directory_is_a_marker_only_where_it_is_a_path() {
    for (cwd, kind, arguments, expected) in [
        ("/w", CallKind::Custom, "/w /w/a /work a/w /w.x //w", "<> <>/a /work a/w /w.x //w"),
        ("/w", CallKind::Function, r#"["\n/w/a","\\n/w"]"#, r#"["\n<>/a","\\n/w"]"#),
        ("/w", CallKind::LocalShell, r#"{"a":"/w"}"#, r#"{"a":"<>"}"#),
        ("/", CallKind::Custom, "/ /a", "/ /a"),
        ("", CallKind::Custom, "/ /a", "/ /a"),
        ("/é\"", CallKind::Function, r#"["/é\"/x"]"#, r#"["<>/x"]"#),
        ("/é\"", CallKind::Custom, "/é\"/x", "<>/x"),
    ] {
        let expected = expected.replace("<>", CWD_MARKER);
        let call = call(kind, arguments);
        let marked = without_cwd(&call, cwd);
        assert_eq!(&*marked, expected, "{arguments} in {cwd}");
        let back = with_cwd(&CallAsked { arguments: marked, ..call }, cwd);
        assert_eq!(&*back, arguments);
    }
}

#[test]
fn facets_name_what_is_compared() {
    let settings = settings();
    let long = "x".repeat(RECORDED_ARGUMENTS_BYTES_MAX + 1);
    let fits = "x".repeat(RECORDED_ARGUMENTS_BYTES_MAX);
    let items = [
        Item::Message(Message::text(Role::Developer, "be brief")),
        prompt(),
        prompt(),
        Item::Message(Message::text(Role::Assistant, "yes")),
        Item::Call(call(CallKind::Function, r#"["/w"]"#)),
        ended(3),
        Item::Call(call(CallKind::Custom, &fits)),
        Item::Call(call(CallKind::Custom, &long)),
        Item::Output(Output {
            call_id: "c".into(),
            kind: CallKind::Custom,
            answer: Answer::failure("no"),
        }),
        Item::Served { json: r#"{"type":"web_search_call"}"#.into(), query: "q".into(), id: None },
        prompt(),
    ];
    let facets = facets(&view(&settings, &items, &[]));
    let abridged = format!("custom_tool_call shell {fits}… (257 bytes, 9bfbd52e3054d307)");
    let expected = [
        "prompt",
        "message",
        r#"function_call shell ["<windlass-cwd>"]"#,
        "function_call_output exit 3",
        &format!("custom_tool_call shell {fits}"),
        &abridged,
        "custom_tool_call_output",
        "web_search_call",
        "prompt",
    ];
    assert_eq!(facets, expected.map(Box::from));
}

#[test]
fn the_first_difference_is_named() {
    let settings = settings();
    let recorded_items = [prompt(), Item::Call(call(CallKind::Function, "[\"ls\"]")), ended(0)];
    let text = recorded(&view(&settings, &recorded_items, &[]), &events("/w"));
    let mut replay = Replay::parse(text).unwrap();
    let ls = Item::Call(call(CallKind::Function, "[\"ls\"]"));
    let rm = Item::Call(call(CallKind::Function, "[\"rm\"]"));
    for (items, difference) in [
        (
            vec![prompt(), ls.clone(), ended(1)],
            "at item 2: recorded `function_call_output exit 0`, \
             found `function_call_output exit 1`",
        ),
        (
            vec![prompt(), rm, ended(0)],
            "at item 1: recorded `function_call shell [\"ls\"]`, \
             found `function_call shell [\"rm\"]`",
        ),
        (
            vec![prompt(), ls.clone()],
            "at item 2: recorded `function_call_output exit 0`, found nothing more",
        ),
        (
            vec![prompt(), ls.clone(), ended(0), prompt()],
            "at item 3: recorded nothing more, found `prompt`",
        ),
    ] {
        let mismatch = played(&mut replay, &view(&settings, &items, &[])).unwrap_err();
        let expected =
            format!("request 0 of thread 0 differs from line 2 of the recording {difference}");
        assert_eq!(mismatch.to_string(), expected);
    }
    // None of them used the recording up.
    assert!(played(&mut replay, &view(&settings, &recorded_items, &[])).is_ok());
}

#[test]
fn requests_are_known_by_their_ordinals_and_answered_once() {
    let settings = settings();
    let items = [prompt()];
    let mut view = view(&settings, &items, &[]);
    let mut text = recorded(&view, &[ModelEvent::Created]);
    let mut again = Recorder::new(&view, &[]);
    again.push(&ModelEvent::Completed { usage: None });
    text += str::from_utf8(&again.finish().unwrap()).unwrap();
    let mut replay = Replay::parse(text).unwrap();

    let broken = played(&mut replay, &view).unwrap();
    assert_eq!(broken.len(), 2);
    assert!(broken[1].contains("kind: Stream"), "{broken:?}");
    let whole = played(&mut replay, &view);
    assert_eq!(whole, Ok(debugged(&[ModelEvent::Completed { usage: None }])));
    let gone = Mismatch::NotRecorded { thread: 0, request: 0 };
    assert_eq!(gone.to_string(), "the recording has no request 0 of thread 0");
    assert_eq!(played(&mut replay, &view), Err(gone));
    view.request_ordinal = 7;
    assert_eq!(played(&mut replay, &view), Err(Mismatch::NotRecorded { thread: 0, request: 7 }));
}

#[test]
fn failures_are_played_as_what_they_were() {
    let settings = settings();
    let view = view(&settings, &[], &[]);
    for kind in [
        FailureKind::ContextFull,
        FailureKind::Limit,
        FailureKind::Refused,
        FailureKind::Overloaded,
        FailureKind::RateLimited,
        FailureKind::Credentials,
        FailureKind::Server,
        FailureKind::Stream,
    ] {
        let failure = ModelEvent::Failed(ModelFailure::new(kind, "told"));
        let mut replay = Replay::parse(recorded(&view, &[failure])).unwrap();
        let played = played(&mut replay, &view).unwrap();
        assert_eq!(played.len(), 1);
        assert!(played[0].contains(&format!("kind: {kind:?}")), "{played:?}");
        assert!(played[0].contains("told"), "{played:?}");
    }
    let mut recorder = Recorder::new(&view, &[]);
    recorder.push_status(429, br#"{"error":{"type":"usage_limit_reached"}}"#);
    let mut replay = Replay::parse(text_of(recorder)).unwrap();
    assert!(played(&mut replay, &view).unwrap()[0].contains("kind: Limit"));
}

#[test]
fn credentials_are_blanked_even_when_cut() {
    let settings = settings();
    let items = [prompt()];
    let view = view(&settings, &items, &[]);
    let secrets = ["sk-secret\"é", "sk-secret\"é-longer", "short", "1234567"];
    let mut recorder = Recorder::new(&view, &secrets);
    assert!(!format!("{recorder:?}").contains("secret"));
    let said = "x sk-secret\"é-longer y 1234567 sk-secret\"é! short";
    for (index, character) in said.char_indices() {
        recorder.push(&ModelEvent::TextDelta(&said[index..index + character.len_utf8()]));
    }
    recorder.push(&ModelEvent::ItemDone(Item::Message(Message::text(Role::Assistant, said))));
    let arguments = r#"{"command":["sk-secret\"é","1234567"]}"#;
    recorder.push(&ModelEvent::ItemDone(Item::Call(call(CallKind::Function, arguments))));
    let usage = Usage { input: 1_234_567, ..Usage::default() };
    recorder.push(&ModelEvent::Completed { usage: Some(usage) });
    let text = text_of(recorder);
    assert!(!text.contains("secret") && !text.contains("\"1234567"), "{text}");
    assert!(text.contains("\"input_tokens\":1234567"), "{text}");

    let mut replay = Replay::parse(text).unwrap();
    let mut playing = replay.answer(&view).unwrap();
    let mut told = String::new();
    while playing.next(&replay, &mut |event| match event {
        ModelEvent::TextDelta(text) => told += text,
        ModelEvent::ItemDone(Item::Call(call)) => {
            assert_eq!(&*call.arguments, r#"{"command":["[credential]","[credential]"]}"#);
        }
        _ => {}
    }) {}
    assert_eq!(told, "x [credential] y [credential] [credential]! short");
}

#[test]
fn a_bad_recording_is_refused_with_its_line() {
    let request = r#"{"request":{"thread":0,"request":0,"input":["prompt"]}}"#;
    for (lines, line, wrong) in [
        (vec![], 1, Wrong::NoHeader),
        (vec![""], 1, Wrong::NoHeader),
        (vec!["x"], 1, Wrong::NotJson),
        (vec![request], 1, Wrong::NoHeader),
        (vec![r#"{"windlass_recording":2,"wire":"responses"}"#], 1, Wrong::Foreign),
        (vec![r#"{"windlass_recording":1,"wire":"smoke"}"#], 1, Wrong::Foreign),
        (vec![HEADER, "", HEADER], 3, Wrong::SecondHeader),
        (vec![HEADER, "[]"], 2, Wrong::NotJson),
        (vec![HEADER, r#"{"event":"#], 2, Wrong::NotJson),
        (vec![HEADER, r#"{"event":{}}"#], 2, Wrong::NoRequest),
        (vec![HEADER, r#"{"status":500}"#], 2, Wrong::NoRequest),
        (vec![HEADER, request, r#"{"status":"x"}"#], 3, Wrong::BadStatus),
        (vec![HEADER, request, r#"{"status":99}"#], 3, Wrong::BadStatus),
        (vec![HEADER, request, r#"{"status":70000}"#], 3, Wrong::BadStatus),
        (vec![HEADER, r#"{"mystery":1}"#], 2, Wrong::UnknownLine),
        (vec![HEADER, r#"{"event":{},"status":500}"#], 2, Wrong::UnknownLine),
        (vec![HEADER, r#"{"request":{"thread":0,"input":[]}}"#], 2, Wrong::BadRequest),
        (vec![HEADER, r#"{"request":{"thread":0,"request":0}}"#], 2, Wrong::BadRequest),
        (vec![HEADER, r#"{"request":{"thread":-1,"request":0,"input":[]}}"#], 2, Wrong::BadRequest),
        (vec![HEADER, r#"{"request":{"thread":0,"request":0,"input":[1]}}"#], 2, Wrong::BadRequest),
    ] {
        let error = Replay::parse(lines.join("\n")).unwrap_err();
        assert_eq!(error, RecordingError { line, wrong }, "{lines:?}");
        assert!(error.to_string().starts_with(&format!("line {line} of the recording: ")));
    }
    let bytes = [HEADER.as_bytes(), b"\n\n\xff"].concat();
    let error = Replay::parse_bytes(bytes).unwrap_err();
    assert_eq!(error, RecordingError { line: 3, wrong: Wrong::NotJson });
}

#[test]
fn a_recording_has_a_greatest_length() {
    let mut text = HEADER.to_owned();
    text.push_str(&" ".repeat(RECORDING_BYTES_MAX - text.len()));
    assert!(Replay::parse(text.clone()).is_ok());
    text.push(' ');
    let error = RecordingError { line: 0, wrong: Wrong::TooLong };
    assert_eq!(Replay::parse(text).unwrap_err(), error);

    let settings = settings();
    let mut recorder = Recorder::new(&view(&settings, &[], &[]), &[]);
    let chunk = "x".repeat(RECORDING_BYTES_MAX / 4);
    (0..4).for_each(|_| recorder.push(&ModelEvent::TextDelta(&chunk)));
    assert_eq!(recorder.finish(), Err(TooLong));
}

#[test]
fn the_fuzz_body_holds_on_its_seeds() {
    let settings = settings();
    let whole = recorded(&view(&settings, &[prompt()], &[]), &events("/w"));
    for cut in (0..whole.len()).step_by(7) {
        fuzz(&whole.as_bytes()[..cut]);
    }
    let request = r#"{"request":{"thread":0,"request":0,"input":[]}}"#;
    for tail in [
        "",
        request,
        r#"{"status":100}"#,
        "{\"status\":200,\"body\":{\"error\":\"x\"}}\n\n{\"event\":7}",
        "{\"event\":{\"type\":\"response.completed\"}}\n{\"event\":{\"type\":\"error\"}}",
    ] {
        fuzz(format!("{HEADER}\n{request}\n{tail}").as_bytes());
    }
}
