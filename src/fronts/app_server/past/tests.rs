use super::*;
use crate::fronts::app_server::types::codec::Typed;
use crate::fronts::app_server::types::v2_items::{CommandExecutionSource, CommandExecutionStatus};
use crate::words::ids::{ConversationId, TurnId, TurnName};

const ID: &str = "01990000-0000-7000-8000-0000000000aa";

fn line(kind: &str, payload: &str) -> String {
    format!(r#"{{"timestamp":"2025-11-07T10:00:01.000Z","type":"{kind}","payload":{payload}}}"#)
}

fn meta() -> String {
    line("session_meta", &format!(r#"{{"id":"{ID}","cwd":"/w","model_provider":"mock"}}"#))
}

fn asked(text: &str) -> String {
    line("event_msg", &format!(r#"{{"type":"user_message","message":"{text}","images":[]}}"#))
}

fn message(role: &str, text: &str) -> String {
    let kind = if role == "user" { "input_text" } else { "output_text" };
    line(
        "response_item",
        &format!(
            r#"{{"type":"message","role":"{role}","content":[{{"type":"{kind}","text":"{text}"}}]}}"#
        ),
    )
}

fn said(text: &str) -> String {
    message("assistant", text)
}

fn call(id: &str, name: &str, arguments: &str) -> String {
    let mut quoted = Vec::new();
    json::string(arguments, &mut quoted);
    let arguments = String::from_utf8(quoted).unwrap();
    line(
        "response_item",
        &format!(
            r#"{{"type":"function_call","name":"{name}","arguments":{arguments},"call_id":"{id}"}}"#
        ),
    )
}

fn output(id: &str, text: &str) -> String {
    let mut quoted = Vec::new();
    json::string(text, &mut quoted);
    let text = String::from_utf8(quoted).unwrap();
    line(
        "response_item",
        &format!(r#"{{"type":"function_call_output","call_id":"{id}","output":{text}}}"#),
    )
}

fn event(kind: &str) -> String {
    line("event_msg", &format!(r#"{{"type":"{kind}"}}"#))
}

fn folded(window: Window, lines: &[String]) -> Told {
    let mut fold = Fold::new(window);
    fold.push(meta().as_bytes());
    lines.iter().for_each(|line| fold.push(line.as_bytes()));
    fold.finish(false)
}

/// A turn in a few words: its status, and its items' types and ids.
fn shown(turn: &Turn) -> String {
    let mut text = format!("{:?}", turn.status).to_lowercase();
    for item in &turn.items {
        let mut out = Vec::new();
        item.encode(&mut out);
        let json = String::from_utf8(out).unwrap();
        let kind = json::field(&json, "type").and_then(json::boxed).unwrap();
        text.push_str(&format!(" {kind}:{}", calls::id_of(item)));
    }
    text
}

fn check(lines: &[String], expected: &[&str]) {
    let told = folded(Window::newest(), lines);
    assert_eq!(told.turns.iter().map(shown).collect::<Vec<_>>(), expected);
    assert_eq!(told.turns_count as usize, expected.len());
}

const OLD: &str = include_str!("../../../../tests/fixtures/rollout-0.58.jsonl");
const NEW: &str = include_str!("../../../../tests/fixtures/rollout-0.169.jsonl");

fn fixture(text: &str) -> Told {
    let text = text.replace("<id>", ID).replace("<cwd>", "/w");
    let mut fold = Fold::new(Window::newest());
    text.lines().for_each(|line| fold.push(line.as_bytes()));
    fold.finish(false)
}

#[test]
fn an_id_that_is_not_recorded_is_none_that_is() {
    let thread: ConversationId = ID.parse().unwrap();
    let ConversationId(bytes) = thread;
    let began_ms = bytes[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte));
    let recorded = TurnName::of(thread, began_ms, TurnId(1));
    assert_ne!(*turn_id(ID, 1), *recorded.0.to_string());
}

#[test]
fn an_old_rollout_gives_its_turn() {
    let told = fixture(OLD);
    let [turn] = told.turns.as_slice() else { panic!("{told:?}") };
    let expected =
        "completed userMessage:item-1 reasoning:item-2 commandExecution:c1 agentMessage:item-3";
    assert_eq!(shown(turn), expected);
    assert_eq!(*turn.id, *turn_id(ID, 1));
    assert_eq!((&*told.preview, told.items_count, &*told.cwd), ("do it", 3, "/w"));
    let ThreadItemKind::CommandExecution { aggregated_output, exit_code, command, .. } =
        &turn.items[2].kind
    else {
        panic!("{turn:?}")
    };
    assert_eq!((aggregated_output.as_deref(), *exit_code), (Some("a.txt\n"), Some(0)));
    assert_eq!(&**command, "ls");
    assert_eq!(turn.started_at, Some(1_762_509_600));
    assert_eq!(turn.duration_ms, Some(1882));
}

#[test]
fn a_new_rollout_gives_its_turn_under_its_own_id() {
    let told = fixture(NEW);
    let [turn] = told.turns.as_slice() else { panic!("{told:?}") };
    let expected = "completed userMessage:item-1 reasoning:item-2 agentMessage:item-3 \
                    commandExecution:call_7 agentMessage:item-4";
    assert_eq!(shown(turn), expected);
    assert_eq!(&*turn.id, "01a1fc7f-8ba1-7452-bb35-6a73a9993617");
    let ThreadItemKind::CommandExecution { aggregated_output, exit_code, .. } = &turn.items[3].kind
    else {
        panic!("{turn:?}")
    };
    assert_eq!((aggregated_output.as_deref(), *exit_code), (Some("via exec\n"), Some(0)));
}

#[test]
fn what_is_said_after_a_message_begins_a_turn_and_before_it_joins() {
    let lines = [asked("a"), call("c", "shell", r#"{"command":["ls"]}"#), output("c", "rejected")];
    let more = [asked("and b"), said("x"), asked("c"), said("y")];
    check(
        &[&lines[..], &more].concat(),
        &[
            "completed userMessage:item-1 commandExecution:c userMessage:item-2 agentMessage:item-3",
            "completed userMessage:item-4 agentMessage:item-5",
        ],
    );
}

#[test]
fn turns_end_as_was_recorded() {
    check(
        &[asked("a"), event("turn_aborted"), asked("b"), said("x"), asked("c")],
        &[
            "interrupted userMessage:item-1",
            "completed userMessage:item-2 agentMessage:item-3",
            "interrupted userMessage:item-4",
        ],
    );
    let error = line("event_msg", r#"{"type":"error","message":"over budget"}"#);
    let told = folded(Window::newest(), &[asked("a"), said("x"), error]);
    assert_eq!(told.turns[0].status, TurnStatus::Failed);
    assert_eq!(&*told.turns[0].error.as_ref().unwrap().message, "over budget");
    let context = line("turn_context", r#"{"cwd":"/v","model":"m"}"#);
    let told = folded(Window::newest(), &[asked("a"), context, asked("b"), said("x")]);
    assert_eq!((told.turns_count, &*told.cwd, told.model.as_deref()), (2, "/v", Some("m")));
}

fn mark(kind: &str, second: u32, rest: &str) -> String {
    let line = event(kind).replace("00:01.000Z", &format!("00:{second:02}.500Z"));
    line.replace("}}", &format!("{rest}}}}}"))
}

#[test]
fn marks_say_where_turns_begin_and_how_they_end() {
    let begin = |second| mark("task_started", second, r#","turn_id":"t","started_at":1762509602"#);
    let end = mark("task_complete", 9, r#","duration_ms":7123"#);
    let error = line("event_msg", r#"{"type":"error","message":"no"}"#);
    let lines = [
        begin(2),
        asked("a"),
        said("x"),
        asked("b"),
        said("y"),
        end.clone(),
        begin(10),
        asked("c"),
        said("z"),
        begin(11),
        asked("d"),
        said("w"),
        error,
        end,
    ];
    let told = folded(Window::newest(), &lines);
    let turns: Vec<String> = told.turns.iter().map(shown).collect();
    assert_eq!(
        turns,
        [
            "completed userMessage:item-1 agentMessage:item-2 userMessage:item-3 \
             agentMessage:item-4",
            // The process was killed when the model had just said something.
            "interrupted userMessage:item-5 agentMessage:item-6",
            "failed userMessage:item-7 agentMessage:item-8",
        ]
    );
    let first = &told.turns[0];
    assert_eq!((&*first.id, first.started_at), ("t", Some(1_762_509_602)));
    assert_eq!((first.completed_at, first.duration_ms), (Some(1_762_509_609), Some(7123)));
    let mut fold = Fold::new(Window::newest());
    lines.iter().for_each(|line| fold.push(line.as_bytes()));
    // What runs has written nothing yet.
    assert_eq!(fold.finish(true).turns[2].status, TurnStatus::Failed);
}

#[test]
fn without_events_messages_are_taken_but_not_those_of_programs() {
    check(
        &[
            message("user", "<environment_context>"),
            message("user", "a"),
            said("x"),
            message("user", "b"),
        ],
        &["completed userMessage:item-1 agentMessage:item-2", "interrupted userMessage:item-3"],
    );
    check(
        &[message("user", "a"), asked("a"), said("x")],
        &["completed userMessage:item-1 agentMessage:item-2"],
    );
}

#[test]
fn patches_searches_images_summaries_and_reviews_are_items() {
    let patch = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch";
    let mut input = Vec::new();
    json::string(patch, &mut input);
    let input = String::from_utf8(input).unwrap();
    let custom = |kind: &str, rest: &str| {
        line("response_item", &format!(r#"{{"type":"{kind}","call_id":"p",{rest}}}"#))
    };
    let search = r#"{"type":"web_search_call","action":{"type":"search","query":"q"}}"#;
    let entered = r#"{"type":"entered_review_mode","prompt":"p","user_facing_hint":"changes"}"#;
    let exited = r#"{"type":"exited_review_mode","review_output":{"overall_explanation":"fine"}}"#;
    let lines = [
        asked("a"),
        custom("custom_tool_call", &format!(r#""name":"apply_patch","input":{input}"#)),
        custom("custom_tool_call_output", r#""output":"Success. These files changed:""#),
        line("response_item", search),
        call("i", "view_image", r#"{"path":"/i.png"}"#),
        output("i", "attached"),
        said("x"),
        line("compacted", r#"{"message":"sum"}"#),
        asked("b"),
        said("y"),
        line("event_msg", entered),
        said("z"),
        line("event_msg", exited),
    ];
    let told = folded(Window::newest(), &lines);
    let turns: Vec<String> = told.turns.iter().map(shown).collect();
    assert_eq!(
        turns,
        [
            "completed userMessage:item-1 fileChange:p webSearch:item-2 imageView:i \
             agentMessage:item-3",
            "completed contextCompaction:item-4 userMessage:item-5 agentMessage:item-6",
            "completed enteredReviewMode:item-7 agentMessage:item-8 exitedReviewMode:item-9",
        ]
    );
    let ThreadItemKind::FileChange { changes, status, .. } = &told.turns[0].items[1].kind else {
        panic!("{told:?}")
    };
    assert_eq!((&*changes[0].path, &*changes[0].diff), ("/w/a", "x\n"));
    assert_eq!(format!("{status:?}"), "Completed");
}

#[test]
fn damaged_lines_are_passed_over() {
    let lines = ["", "{", "[]", "null", "{\"type\":7,\"payload\":{}}"].map(str::to_owned);
    let odd = [line("event_msg", "[]"), line("response_item", "7"), line("compacted", "\"\"")];
    let told = folded(Window::none(), &[&lines[..], &odd, &[asked("a"), said("x")]].concat());
    assert_eq!((told.turns_count, told.turns.len()), (1, 0));
    let mut fold = Fold::new(Window::newest());
    fold.push(b"\xff\xfe");
    assert_eq!(fold.finish(false), Told::default());
}

#[test]
fn a_window_holds_what_is_asked_for_and_counts_the_rest() {
    let lines: Vec<String> =
        (1..=9).flat_map(|number| [asked(&format!("q{number}")), said("x")]).collect();
    let check = |after, before, count, keeps, expected: &[u32]| {
        let told = folded(Window { after, before, count, keeps }, &lines);
        let ids: Vec<Text> = told.turns.iter().map(|turn| turn.id.clone()).collect();
        let expected_ids: Vec<Text> = expected.iter().map(|n| turn_id(ID, *n)).collect();
        assert_eq!((ids, told.turns_count, told.items_count), (expected_ids, 9, 18));
        assert_eq!(told.first_number, expected.first().copied().unwrap_or(0));
    };
    check(0, u32::MAX, 3, Keeps::Last, &[7, 8, 9]);
    check(0, 7, 3, Keeps::Last, &[4, 5, 6]);
    check(0, u32::MAX, 2, Keeps::First, &[1, 2]);
    check(2, u32::MAX, 2, Keeps::First, &[3, 4]);
    check(9, u32::MAX, 2, Keeps::First, &[]);
}

#[test]
fn what_is_held_is_bounded_and_the_newest_stays() {
    let large = "x".repeat(PAST_BYTES_MAX / 4);
    let lines: Vec<String> = (1..=9).flat_map(|_| [asked("q"), said(&large)]).collect();
    let told = folded(Window::newest(), &lines);
    assert_eq!((told.turns.len(), told.first_number, told.turns_count), (3, 7, 9));
    let oldest = Window { keeps: Keeps::First, ..Window::newest() };
    let told = folded(oldest, &lines);
    assert_eq!((told.turns.len(), told.first_number), (3, 1));
    let one: Vec<String> =
        std::iter::once(asked("q")).chain((0..9).map(|_| said(&large))).collect();
    // Nothing says that a turn ended between messages of the model.
    let told = folded(Window::newest(), &one);
    assert_eq!((told.turns.len(), told.turns[0].items.len()), (1, 3));
    let calls: Vec<String> = (0..=PAST_CALLS_OPEN_MAX)
        .map(|number| call(&format!("c{number}"), "shell", r#"{"command":["ls"]}"#))
        .collect();
    let all = [&[asked("q")], &calls[..], &[output("c0", "late"), output("c1", "in time")]];
    let told = folded(Window::newest(), &all.concat());
    let outputs: Vec<bool> = told.turns[0].items[1..3]
        .iter()
        .map(|item| match &item.kind {
            ThreadItemKind::CommandExecution { aggregated_output, .. } => {
                aggregated_output.is_some()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(outputs, [false, true]);
}

#[test]
fn lines_in_any_order_are_folded() {
    let ends = include_bytes!("../../../../fuzz/corpus/past/ends");
    let mut lines: Vec<&[u8]> = ends.split(|byte| *byte == b'\n').collect();
    lines.extend(OLD.lines().chain(NEW.lines()).map(str::as_bytes));
    let mut state = 7_u64;
    for _ in 0..500 {
        let mut bytes = Vec::new();
        for _ in 0..40 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.extend_from_slice(lines[(state >> 33) as usize % lines.len()]);
            bytes.push(b'\n');
        }
        fuzz(&bytes);
    }
}

#[test]
fn a_command_of_the_user_is_an_item_and_nothing_they_said() {
    let ran = |result: &str| {
        let text = format!(
            "<user_shell_command>\\n<command>\\nls 'a b'\\n</command>\\n<result>\\n{result}\\n\
             </result>\\n</user_shell_command>"
        );
        let fold = folded(Window::newest(), &[message("user", &text)]);
        let [item] = fold.turns[0].items.as_slice() else { panic!("one item") };
        match &item.kind {
            ThreadItemKind::CommandExecution {
                source,
                status,
                exit_code,
                aggregated_output,
                ..
            } => {
                assert_eq!(*source, CommandExecutionSource::UserShell);
                (*status, *exit_code, aggregated_output.clone())
            }
            other => panic!("not a command: {other:?}"),
        }
    };
    let (completed, failed) = (CommandExecutionStatus::Completed, CommandExecutionStatus::Failed);
    let ended = ran("Exit code: 0\\nDuration: 0.1 seconds\\nOutput:\\na\\n");
    assert_eq!(ended, (completed, Some(0), Some("a\n".into())));
    let wrong = ran("Exit code: 3\\nDuration: 0.1 seconds\\nOutput:\\n");
    assert_eq!(wrong, (failed, Some(3), Some("".into())));
    let stopped = ran("Wall time: 0.1 seconds\\naborted by user\\nOutput:\\nso far");
    assert_eq!(stopped, (failed, None, Some("so far".into())));
}
