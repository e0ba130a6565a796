//! A provider that says all that a provider can say, in any order.

use windlass::limits::{CALLS_PARALLEL_MAX, RESPONSE_ITEMS_MAX};
use windlass::words::call::{Answer, CallAsked, CallKind};
use windlass::words::item::{Item, Message, Output, Part, Reasoning, Role};
use windlass::words::model::{FailureKind, ItemStart, ModelEvent, ModelFailure, RateLimits, Usage};
use windlass::words::request::RequestView;

use crate::chance::Chance;
use crate::family;
use crate::promises::prompt_of;
use crate::settings::SUM_UP;

/// What a response says, each thing with how long it lets us wait for it.
pub(crate) type Script = Vec<(u64, ModelEvent<'static>)>;

const KINDS: [FailureKind; 10] = [
    FailureKind::ContextFull,
    FailureKind::Limit,
    FailureKind::Refused,
    FailureKind::Overloaded,
    FailureKind::Credentials,
    FailureKind::Server,
    FailureKind::RateLimited,
    FailureKind::Unreachable,
    FailureKind::Stream,
    FailureKind::Setup,
];

/// Asserts that the request is one that a provider would take.
pub(crate) fn validate(view: &RequestView<'_>) {
    assert!(!view.items.is_empty(), "a request says something");
    let mut open: Vec<(&str, CallKind)> = Vec::new();
    for item in view.items {
        match item {
            Item::Call(call) => {
                let taken = open.iter().any(|(id, _)| *id == &*call.call_id);
                assert!(!taken, "two calls of one id wait for their outputs");
                open.push((&call.call_id, call.kind));
            }
            Item::Output(output) => {
                let asked = open.iter().position(|known| *known == (&*output.call_id, output.kind));
                assert!(asked.is_some(), "an output answers a call before it: {output:?}");
                open.swap_remove(asked.unwrap());
            }
            Item::Message(message) => {
                let ours = message.texts().any(|text| text.starts_with("prompt "));
                assert!(!ours || message.role == Role::User, "a prompt is the user's");
                let theirs = message.texts().any(|text| text.starts_with("answer"));
                assert!(!theirs || message.role == Role::Assistant, "an answer is the model's");
            }
            Item::Reasoning(_) | Item::Served { .. } => {}
        }
    }
    assert!(open.is_empty(), "every call in a request has its output: {open:?} have none");
    if assesses(view) {
        return family::validate(view);
    }
    if sums_up(view) {
        assert!(view.tools.is_empty() && view.output_schema.is_none(), "a summary is but text");
        let asked = Item::Message(Message::text(Role::User, SUM_UP));
        assert_eq!(view.items.last(), Some(&asked), "what is asked for is asked last");
        return;
    }
    let said = view.items.iter().any(|item| prompt_of(item).is_some());
    assert!(said, "a request holds what the user said");
}

/// Whether the request asks for a summary.
pub(crate) fn sums_up(view: &RequestView<'_>) -> bool {
    view.sub_agent == Some("compact")
}

/// Whether the request asks what a model makes of a command.
pub(crate) fn assesses(view: &RequestView<'_>) -> bool {
    view.sub_agent == Some("assessment")
}

/// A provider says that the request is too large.
pub(crate) fn too_large(chance: &mut Chance) -> Script {
    let failure = ModelFailure::new(FailureKind::ContextFull, "too large");
    vec![(chance.delay_ms(), ModelEvent::Failed(failure))]
}

/// A response of a provider that works as it should.
pub(crate) fn plain(chance: &mut Chance, may_call: bool) -> Script {
    let mut script = vec![(chance.below(500), ModelEvent::Created)];
    let calls_count = if may_call { chance.below(3) } else { 0 };
    if calls_count == 0 {
        push_message(chance, &mut script);
    }
    for _ in 0..calls_count {
        let call = call(chance);
        script.push((chance.below(100), ModelEvent::ItemDone(Item::Call(call))));
    }
    script.push((10, ModelEvent::Completed { usage: usage(chance) }));
    script
}

/// A response of one message, some time.
pub(crate) fn saying(chance: &mut Chance, text: &str) -> Script {
    vec![
        (chance.delay_ms(), ModelEvent::Created),
        (chance.delay_ms(), ModelEvent::ItemDone(said(text))),
        (10, ModelEvent::Completed { usage: usage(chance) }),
    ]
}

/// A response of a provider that need not mean well.
pub(crate) fn hostile(chance: &mut Chance) -> Script {
    let mut script = Vec::new();
    if !chance.one_in(4) {
        script.push((chance.delay_ms(), ModelEvent::Created));
    }
    let items_count = match chance.below(300) {
        0 => RESPONSE_ITEMS_MAX as u64 + chance.below(20),
        1..4 => 20 + chance.below(80),
        4..50 => 0,
        _ => 1 + chance.below(5),
    };
    let calls_share = chance.below(5);
    for _ in 0..items_count {
        if chance.below(4) < calls_share {
            let call = call(chance);
            script.push((hurried_ms(chance, items_count), ModelEvent::ItemDone(Item::Call(call))));
        } else if items_count > 10 {
            script.push((0, ModelEvent::ItemDone(said("answer"))));
        } else {
            push_said(chance, &mut script);
        }
    }
    if chance.one_in(40) {
        for _ in 0..chance.below(2 * CALLS_PARALLEL_MAX as u64) {
            script.push((0, ModelEvent::ItemDone(Item::Call(look(chance)))));
        }
    }
    match chance.below(20) {
        0..12 => script.push((chance.delay_ms(), ModelEvent::Completed { usage: usage(chance) })),
        12..15 => {
            let at = chance.below(script.len() as u64 + 1) as usize;
            script.truncate(at);
            script.push((chance.delay_ms(), ModelEvent::Failed(failure(chance))));
        }
        15..17 => {
            let message = "the stream ended early";
            let failure = ModelFailure::new(FailureKind::Stream, message);
            script.push((chance.delay_ms(), ModelEvent::Failed(failure)));
        }
        17 => {}
        18 => {
            let at = chance.below(script.len() as u64 + 1) as usize;
            script.truncate(at);
        }
        _ => {
            script.push((chance.delay_ms(), ModelEvent::Completed { usage: usage(chance) }));
            after_the_end(chance, &mut script);
        }
    }
    script
}

/// What must not be said after the end, said.
fn after_the_end(chance: &mut Chance, script: &mut Script) {
    for _ in 0..1 + chance.below(4) {
        let event = match chance.below(5) {
            0 => ModelEvent::Completed { usage: None },
            1 => ModelEvent::Failed(failure(chance)),
            2 => ModelEvent::ItemDone(Item::Call(call(chance))),
            3 => ModelEvent::ItemDone(said("answer too late")),
            _ => ModelEvent::TextDelta("too late"),
        };
        script.push((chance.delay_ms(), event));
    }
}

fn push_said(chance: &mut Chance, script: &mut Script) {
    match chance.below(12) {
        0..5 => push_message(chance, script),
        5..8 => {
            script.push((chance.delay_ms(), ModelEvent::ItemStarted(ItemStart::Reasoning)));
            script.push((chance.delay_ms(), ModelEvent::ReasoningDelta("thin")));
            script.push((0, ModelEvent::ReasoningBreak));
            script.push((0, ModelEvent::ReasoningRawDelta("king")));
            let summary = if chance.one_in(2) { vec!["thought".into()] } else { Vec::new() };
            let content = Vec::new();
            let reasoning = Reasoning { summary, content, encrypted: Some("x".into()), id: None };
            script.push((chance.delay_ms(), ModelEvent::ItemDone(Item::Reasoning(reasoning))));
        }
        8 => {
            // Some start that never end, some end that never started.
            for _ in 0..chance.below(3) {
                script.push((chance.delay_ms(), ModelEvent::ItemStarted(ItemStart::Served)));
            }
            let served = Item::Served { json: "{}".into(), query: "q".into(), id: None };
            script.push((chance.delay_ms(), ModelEvent::ItemDone(served)));
        }
        9 => {
            let event = match chance.one_in(2) {
                true => ModelEvent::Limits(RateLimits::default()),
                false => ModelEvent::CutShort,
            };
            script.push((0, event));
        }
        10 => {
            let message = Message { role: Role::User, ..Message::text(Role::User, "answer") };
            script.push((chance.delay_ms(), ModelEvent::ItemDone(Item::Message(message))));
        }
        _ => {
            let call_id = chance.pick(&["call_0", "call_1", "nobody"]).into();
            let answer = Answer::failure("says the provider");
            let output = Output { call_id, kind: CallKind::Function, answer };
            script.push((chance.delay_ms(), ModelEvent::ItemDone(Item::Output(output))));
        }
    }
}

fn push_message(chance: &mut Chance, script: &mut Script) {
    script.push((chance.delay_ms(), ModelEvent::ItemStarted(ItemStart::Message)));
    for delta in ["ans", "wer", " in ", "pieces"].into_iter().take(chance.below(5) as usize) {
        script.push((chance.below(300), ModelEvent::TextDelta(delta)));
    }
    script.push((chance.below(300), ModelEvent::ItemDone(said("answer in pieces"))));
}

fn said(text: &str) -> Item {
    let parts = vec![Part::Text(text.into())];
    Item::Message(Message { role: Role::Assistant, parts, id: None })
}

fn hurried_ms(chance: &mut Chance, items_count: u64) -> u64 {
    if items_count > 10 { 0 } else { chance.delay_ms() }
}

fn usage(chance: &mut Chance) -> Option<Usage> {
    let total = if chance.one_in(50) { u64::MAX } else { chance.below(5_000) };
    (!chance.one_in(3)).then(|| Usage { input: total / 2, total, ..Usage::default() })
}

fn failure(chance: &mut Chance) -> ModelFailure {
    let mut failure = ModelFailure::new(chance.pick(&KINDS), "as the seed has it");
    failure.retry_after_ms = match chance.below(8) {
        0 => Some(u64::MAX),
        1 => Some(0),
        2 => Some(chance.below(5_000)),
        _ => None,
    };
    failure
}

/// A call of any tool in any state of repair.
pub(crate) fn call(chance: &mut Chance) -> CallAsked {
    let (kind, name, arguments): (CallKind, &str, String) = match chance.below(42) {
        0..8 => (CallKind::Function, "shell", command(chance)),
        8 => (CallKind::LocalShell, "local_shell", command(chance)),
        9 => (CallKind::Function, "shell_command", r#"{"command":"ls | wc -l"}"#.into()),
        10..14 => (CallKind::Custom, "apply_patch", patch(chance).into()),
        14 => {
            let command = r#"{"command":["apply_patch","*** Begin Patch\n*** End Patch"]}"#;
            (CallKind::Function, "shell", command.into())
        }
        15..19 => return look(chance),
        19 => {
            let plan = r#"{"plan":[{"step":"a","status":"pending"}]}"#;
            (CallKind::Function, "update_plan", plan.into())
        }
        24..32 => (CallKind::Function, "exec_command", start(chance)),
        32..42 => (CallKind::Function, "write_stdin", write(chance)),
        20 => (CallKind::Custom, "shell", "ls".into()),
        21 => (CallKind::Function, "no_such_tool", "{}".into()),
        22 => (CallKind::Function, "shell", "{\"command\": [\"ls\"".into()),
        _ => (CallKind::Function, "read_file", r#"{"file_path":"relative"}"#.into()),
    };
    let call_id = match chance.below(4) {
        0 | 1 => format!("call_{}", chance.below(3)),
        2 => format!("call_{:x}", chance.number()),
        _ => String::new(),
    };
    CallAsked {
        kind,
        call_id: call_id.into(),
        name: name.into(),
        arguments: arguments.into(),
        id: None,
    }
}

fn look(chance: &mut Chance) -> CallAsked {
    CallAsked {
        kind: CallKind::Function,
        call_id: format!("call_{}", chance.below(100)).into(),
        name: chance.pick(&["read_file", "list_dir", "grep_files", "view_image"]).into(),
        arguments: r#"{"file_path":"/w/a","dir_path":"/w"}"#.into(),
        id: None,
    }
}

fn command(chance: &mut Chance) -> String {
    let argv = chance.pick(&[
        r#"["ls"]"#,
        r#"["make"]"#,
        r#"["make","all"]"#,
        r#"["rm","-rf","x"]"#,
        r#"["git","reset","--hard"]"#,
        r#"["bash","-lc","cat a && sleep 1"]"#,
        r#"[]"#,
        r#""echo a > b""#,
    ]);
    let timeout_ms = chance.pick(&["1", "500", "4000", "20000", "1e12", "-3"]);
    let escalated = chance.one_in(4);
    let workdir = chance.pick(&["", "sub", "/elsewhere"]);
    format!(
        "{{\"command\":{argv},\"timeout_ms\":{timeout_ms},\"workdir\":\"{workdir}\",\
         \"with_escalated_permissions\":{escalated},\"justification\":\"why not\"}}"
    )
}

fn start(chance: &mut Chance) -> String {
    let cmd = chance.pick(&["cat", "ls", "rm -rf x", "make && ./run"]);
    let yield_ms = chance.pick(&["0", "0", "500", "4000", "1e12"]);
    let tokens_max = chance.pick(&["0", "10", "1e12", "-1"]);
    let (tty, escalated) = (chance.one_in(2), chance.one_in(5));
    format!(
        "{{\"cmd\":\"{cmd}\",\"yield_time_ms\":{yield_ms},\"max_output_tokens\":{tokens_max},\
         \"tty\":{tty},\"with_escalated_permissions\":{escalated}}}"
    )
}

fn write(chance: &mut Chance) -> String {
    let session = chance.pick(&["0", "0", "0", "1", "1", "2", "7", "-1"]);
    let chars = chance.pick(&["", "x", "exit\\n", "\\u0003"]);
    let yield_ms = chance.pick(&["0", "500", "1e12"]);
    format!("{{\"session_id\":{session},\"chars\":\"{chars}\",\"yield_time_ms\":{yield_ms}}}")
}

fn patch(chance: &mut Chance) -> &'static str {
    chance.pick(&["*** Begin Patch\n*** End Patch", "not a patch", ""])
}
