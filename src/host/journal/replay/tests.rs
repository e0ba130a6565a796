//! Journals that are whole, cut off, damaged, or of another machine.

use super::*;
use crate::words::command::{Command, Restored, Which};
use crate::words::ids::{ConversationId, FrontId, OpId, ThreadId};
use crate::words::item::{Item, Message, Part, Role};
use crate::words::model::{Counted, ModelEvent, Usage};
use crate::words::samples::settings;
use crate::words::settings::{GitFacts, OpeningFacts};

const THREAD: ThreadId = ThreadId { slot: 0, generation: 0 };
const FIRST: OpId = OpId { slot: 0, generation: 0 };
const SECOND: OpId = OpId { slot: 0, generation: 1 };

/// A turn of one answer, from a seed.
fn journal(seed: u64) -> Vec<u8> {
    let front = FrontId(0);
    let parts = vec![Part::Text("say \"hello\"\n\u{1}é".into())];
    let git = GitFacts { branch: Some("main".into()), ..GitFacts::default() };
    let answer = Item::Message(Message::text(Role::Assistant, "hello"));
    let inputs = [
        Input::Command { front, command: Command::Start { settings: Box::new(settings()) } },
        Input::Command { front, command: Command::Prompt { thread: THREAD, parts } },
        Input::Opened { op: FIRST, facts: OpeningFacts { git: Some(git) } },
        Input::Model { op: SECOND, event: ModelEvent::Created },
        Input::Model { op: SECOND, event: ModelEvent::TextDelta("hel\nlo") },
        Input::Model { op: SECOND, event: ModelEvent::ItemDone(answer) },
        Input::Model { op: SECOND, event: ModelEvent::Completed { usage: None } },
        Input::Deadline,
    ];
    let (mut agent, mut recorder) = (Agent::new(seed), Recorder::new(seed, Blanks::default()));
    for (count, input) in inputs.into_iter().enumerate() {
        let now = Now { mono_ms: count as u64, wall_ms: 1_700_000_000_000 };
        let mut effects = Effects::default();
        recorder.happens(now, &input);
        agent.handle(now, input, &mut effects);
        recorder.leads_to(&agent, &effects);
    }
    recorder.bytes().to_vec()
}

fn replayed(journal: &[u8]) -> Result<(u64, Step), (u64, Broken)> {
    let mut replay = Replay::begin(journal).map_err(|broken| (1, broken))?;
    for count in 0.. {
        match replay.step() {
            Ok(Step::Same | Step::Ahead) => {}
            Ok(end) => return Ok((count, end)),
            Err(broken) => return Err((replay.line_number, broken)),
        }
    }
    unreachable!("a journal ends")
}

#[test]
fn what_happened_happens_again() {
    let journal = journal(7);
    assert_eq!(replayed(&journal).unwrap(), (8, Step::End));
    let text = String::from_utf8(journal).unwrap();
    assert!(text.contains("\"TurnEnded ") && text.contains("\"Item "), "{text}");
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn a_journal_is_replayed_to_where_it_is_cut_off() {
    let journal = journal(7);
    let head = journal.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for end in head..journal.len() {
        let whole = journal[..end].iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
        let (count, how) = replayed(&journal[..end]).unwrap_or_else(|broken| {
            panic!("{broken:?} in {:?}", String::from_utf8_lossy(&journal[head..end]))
        });
        let text = &journal[..end];
        let begin = text.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let is_line = begin == end;
        let all = str::from_utf8(&journal[begin..]).unwrap();
        let has_input = !is_line && end - begin >= all.find(",\"effects\"").unwrap();
        match how {
            // Only the line's end may be missing.
            Step::End => {
                let is_whole = all.as_bytes()[end - begin] == b'\n';
                assert_eq!(count, if is_line { whole } else { whole + u64::from(is_whole) });
                assert!(is_line || is_whole);
            }
            Step::Same => unreachable!("goes on"),
            Step::Unanswered => assert!(has_input && count == whole, "{}", &all[..end - begin]),
            Step::Cut => assert!(!is_line && !has_input && count == whole),
            Step::Ahead => panic!("nothing was read back"),
        }
    }
}

#[test]
fn damage_says_where_it_is() {
    let text = String::from_utf8(journal(7)).unwrap();
    let damaged = |from: &str, to: &str| {
        let (line, broken) = replayed(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        format!("line {line}: {broken}")
    };
    for (from, to, expected) in [
        ("\"windlass_journal\":1", "\"windlass_journal\":2", "line 1: it does not begin as"),
        ("\"seed\":7", "\"seed\":x", "line 1: it does not begin as"),
        ("\"front\":0", "\"front\":x", "line 2: byte 54: there should be a small count"),
        ("\"front\":0", "\"from\":0", "line 2: byte 46: there should be front"),
        ("{\"Prompt\":", "{\"Sing\":", "line 3: byte 66: there should be a variant of Command"),
        ("{\"Opened\":", "{\"Opened\"", "line 4: byte 34: there should be a variant of Input<'a>"),
        ("\"source\":\"exec\"", "\"source\":\"moon\"", "where a thread was started from"),
        (",\"effects\":[", ",\"effect\":[", "there should be ,\"effects\":["),
    ] {
        let said = damaged(from, to);
        assert!(said.contains(expected), "{said:?} is not {expected:?}");
    }
    let (line, broken) = replayed(b"{\"type\":\"session_meta\"}\n").unwrap_err();
    assert!(line == 1 && matches!(broken, Broken::NoJournal));
    let not_text = text.replacen("main", "\u{1}", 1).into_bytes();
    let not_text: Vec<u8> =
        not_text.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    assert!(matches!(replayed(&not_text), Err((4, Broken::NotText))));
}

#[test]
fn another_effect_is_named() {
    let text = String::from_utf8(journal(7)).unwrap();
    let said = |text: String| replayed(text.as_bytes()).unwrap_err();
    // Another conversation, since its id comes from the seed.
    let (line, broken) = said(text.replacen("\"seed\":7", "\"seed\":8", 1));
    let broken = broken.to_string();
    assert!(line == 2 && broken.starts_with("effect 1: then ThreadStarted "), "{broken}");
    assert!(broken.contains(":\n{\"Notify\":{\"to\":{\"Thread\":[0,0]},"), "{broken}");
    // Another history: it shows in the record and, with the same effects, in what is requested.
    let (line, broken) = said(text.replacen("say \\\"hello", "say \\\"jello", 1));
    assert!(line == 4 && matches!(broken, Broken::Differs { .. }), "{line} {broken}");
    let (_, broken) = said(text.replacen("[\"ThreadStarted", "[\"Release 0\",\"T", 1));
    let Broken::Differs { index: 0, then: Some(then), .. } = broken else { panic!("{broken}") };
    assert_eq!(&*then, "Release 0");
}

#[test]
fn another_version_is_noticed() {
    let text = String::from_utf8(journal(7)).unwrap();
    assert!(Replay::begin(text.as_bytes()).unwrap().is_own());
    let other = text.replacen(VERSION, "0.0.1", 1);
    let replay = Replay::begin(other.as_bytes()).unwrap();
    assert!(!replay.is_own() && &*replay.version == "0.0.1");
}

#[test]
fn credentials_are_not_written_and_a_journal_without_them_replays() {
    let key = "sk-0123456789";
    let blanks = || Blanks::new([key].into_iter());
    let seed = 3;
    let (mut agent, mut recorder) = (Agent::new(seed), Recorder::new(seed, blanks()));
    let parts = vec![Part::Text(format!("my key is {key}").into())];
    let answer = Item::Message(Message::text(Role::Assistant, format!("use {key}.")));
    for (count, input) in [
        Input::Command {
            front: FrontId(0),
            command: Command::Start { settings: Box::new(settings()) },
        },
        Input::Command { front: FrontId(0), command: Command::Prompt { thread: THREAD, parts } },
        Input::Opened { op: FIRST, facts: OpeningFacts::default() },
        Input::Model { op: SECOND, event: ModelEvent::TextDelta("use sk-01") },
        Input::Model { op: SECOND, event: ModelEvent::TextDelta("23456789.") },
        Input::Model { op: SECOND, event: ModelEvent::ItemDone(answer) },
        Input::Model { op: SECOND, event: ModelEvent::Completed { usage: None } },
    ]
    .into_iter()
    .enumerate()
    {
        let now = Now { mono_ms: count as u64, wall_ms: 1_700_000_000_000 };
        let mut effects = Effects::default();
        recorder.happens(now, &input);
        agent.handle(now, input, &mut effects);
        recorder.leads_to(&agent, &effects);
    }
    let text = str::from_utf8(recorder.bytes()).unwrap();
    assert!(!text.contains(key) && !text.contains("23456789"), "{text}");
    assert!(text.contains("my key is xxxxxxxxxxxxx\""), "{text}");
    assert_eq!(replayed(recorder.bytes()).unwrap(), (7, Step::End));
}

#[test]
fn a_past_that_was_written_in_pieces_happens_again() {
    let item = |text: &str| Item::Message(Message::text(Role::User, text));
    let items = vec![item("one"), item("two"), item("three")];
    let past = Restored {
        conversation: ConversationId([1; 16]),
        items: items.clone(),
        usage: Usage::default(),
        last_usage: Usage::default(),
        counted: Counted::default(),
        limits: None,
        lines_skipped: 0,
    };
    let settings = Box::new(settings());
    let which = Which::Id(past.conversation);
    let command = Command::Resume { settings, which };
    let resume = Input::Command { front: FrontId(0), command };
    let (mut agent, mut recorder) = (Agent::new(7), Recorder::new(7, Blanks::default()));
    let now = Now { mono_ms: 1, wall_ms: 1_700_000_000_000 };
    for input in [resume, Input::Restored { op: FIRST, result: Ok(Box::new(past)) }] {
        if let Input::Restored { .. } = input {
            recorder.ahead(FIRST, &items[..2]);
            recorder.ahead(FIRST, &items[2..]);
        }
        let mut effects = Effects::default();
        recorder.happens(now, &input);
        agent.handle(now, input, &mut effects);
        recorder.leads_to(&agent, &effects);
    }
    assert_eq!(agent.items(THREAD), items);

    let journal = recorder.bytes();
    let text = str::from_utf8(journal).unwrap();
    assert_eq!(text.matches("\"one\"").count(), 1, "{text}");
    fuzz(journal);
    let mut replay = Replay::begin(journal).unwrap();
    let steps: Vec<Step> = (0..5).map(|_| replay.step().unwrap()).collect();
    assert_eq!(steps, [Step::Same, Step::Ahead, Step::Ahead, Step::Same, Step::End]);
    assert_eq!(replay.agent.items(THREAD), items);

    let begin = text.find(AHEAD).unwrap();
    let mut replay = Replay::begin(&journal[..begin + 40]).unwrap();
    assert_eq!((replay.step().unwrap(), replay.step().unwrap()), (Step::Same, Step::Cut));
    let damaged = text.replacen("],\"items\":[", "],\"items\";[", 1);
    let mut replay = Replay::begin(damaged.as_bytes()).unwrap();
    assert!(replay.step().is_ok() && matches!(replay.step(), Err(Broken::Damaged(_))));
}
