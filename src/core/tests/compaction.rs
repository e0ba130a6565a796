//! Histories that no longer fit.

use super::*;
use crate::words::event::Budget;
use crate::words::settings::Budgets;

const LIMIT: u64 = 10_000;

fn limited() -> ThreadSettings {
    ThreadSettings {
        context_window: Some(11_000),
        compact_at_tokens: Some(LIMIT),
        output_schema: Some("{}".into()),
        ..settings()
    }
}

fn used(total: u64) -> ModelEvent<'static> {
    ModelEvent::Completed { usage: Some(Usage { total, ..Usage::default() }) }
}

/// A thread whose first turn has ended with so many tokens.
fn ended_at(settings: ThreadSettings, total: u64) -> Story {
    let (mut story, op) = Story::asked(settings);
    story.say(op, said("done"));
    story.say(op, used(total));
    assert_eq!(story.ended(), Some(&Ended::Completed));
    story
}

/// A thread whose turn wants to go on after a call, with so many tokens.
fn going_on_at(settings: ThreadSettings, total: u64) -> Story {
    let (mut story, op) = Story::asked(settings);
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["make"]"#))));
    story.say(op, used(total));
    story.exit(story.spawn_op(), 0);
    story
}

fn is_summary(story: &Story, op: OpId) -> bool {
    story.agent.request_view(op).unwrap().sub_agent == Some("compact")
}

/// The request that was made, which asks for a summary.
fn summary_op(story: &Story) -> OpId {
    let op = story.request_op();
    assert!(is_summary(story, op), "{:?}", story.agent.request_view(op).unwrap().items);
    op
}

fn texts(items: &[Item]) -> Vec<String> {
    let text = |item: &Item| match item {
        Item::Message(message) => message.texts().collect(),
        Item::Call(_) => "call".to_owned(),
        Item::Output(_) => "output".to_owned(),
        other => panic!("nobody said {other:?}"),
    };
    items.iter().map(text).collect()
}

/// The history is the opening, these messages and this summary.
fn check_bridge(story: &Story, said: &[&str], summary: &str) {
    let texts = texts(story.items());
    assert!(texts[0].starts_with("<environment_context>"), "{texts:?}");
    assert_eq!(texts[1..=said.len()], *said);
    assert!(texts[said.len() + 1].ends_with(summary), "{texts:?}");
}

#[test]
fn a_history_over_the_limit_is_summed_up_before_the_next_prompt() {
    let mut story = ended_at(limited(), LIMIT);
    story.prompt("and now");
    let op = summary_op(&story);
    assert_eq!(story.events()[1], &Event::CompactionStarted);
    assert!(story.records().is_empty(), "the prompt waits: {:?}", story.records());
    let view = story.agent.request_view(op).unwrap();
    assert_eq!(texts(view.items)[1..], ["do it", "done", "sum it up"]);
    assert!(view.tools.is_empty() && view.output_schema.is_none());

    story.say(op, ModelEvent::TextDelta("su"));
    story.say(op, said("sum"));
    assert!(story.effects.is_empty(), "a summary is nobody's to read: {:?}", story.effects);
    story.say(op, used(LIMIT + 50));
    check_bridge(&story, &["do it"], "sum");
    assert_eq!(texts(story.items())[3..], ["and now"]);
    let records = story.records();
    assert!(matches!(records[0], Record::TokenCount { .. }));
    assert_eq!(records[1], &Record::Compacted { items_count: 3 });
    assert_eq!(records[2], &Record::Item(ItemIndex(3)));
    assert!(story.tells(|event| *event == Event::Compacted { summary: ItemIndex(2) }));
    let op = story.request_op();
    let view = story.agent.request_view(op).unwrap();
    assert_eq!((view.sub_agent, view.items.len()), (None, 4));
    assert!(view.output_schema.is_some() && !view.tools.is_empty());
    story.say(op, said("here"));
    story.say(op, used(500));
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn below_the_limit_nothing_is_summed_up() {
    let mut story = ended_at(limited(), LIMIT - 100);
    story.prompt("and now");
    assert!(!is_summary(&story, story.request_op()));
    // What was added since the last count counts too.
    let mut story = ended_at(limited(), LIMIT - 100);
    story.prompt(&"x".repeat(100 * TOKEN_BYTES));
    summary_op(&story);
}

#[test]
fn where_nobody_counts_all_is_estimated() {
    for total in [0, u64::MAX] {
        let (mut story, op) = Story::asked(limited());
        story.say(op, said(&"x".repeat(LIMIT as usize)));
        story.say(op, used(total));
        story.prompt("a quarter, so far");
        let op = story.request_op();
        assert!(!is_summary(&story, op));
        story.say(op, said(&"x".repeat(LIMIT as usize * TOKEN_BYTES)));
        story.say(op, used(total));
        story.prompt("and now");
        summary_op(&story);
    }
}

#[test]
fn what_a_response_asked_for_is_counted_with_it() {
    let (mut story, op) = Story::asked(limited());
    let large = "x".repeat(LIMIT as usize * TOKEN_BYTES);
    story.say(op, ModelEvent::ItemDone(Item::Call(call("1", "no_such_tool", &large))));
    story.say(op, used(100));
    assert!(!is_summary(&story, story.request_op()));
}

#[test]
fn a_turn_that_has_finished_is_not_gone_on_with() {
    let story = ended_at(limited(), 2 * LIMIT);
    assert!(!story.does(|effect| matches!(effect, Effect::Request { .. })));
    assert_eq!(story.agent.next_deadline(), None);
}

#[test]
fn a_turn_that_goes_on_is_summed_up_in_its_middle() {
    let mut story = going_on_at(limited(), LIMIT);
    let op = summary_op(&story);
    story.say(op, said("sum"));
    story.say(op, used(LIMIT));
    check_bridge(&story, &["do it"], "sum");
    assert_eq!(story.outputs(), [""; 0]);
    let op = story.request_op();
    assert!(!is_summary(&story, op));
    story.say(op, said("done"));
    story.say(op, used(500));
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn a_summary_that_says_nothing_leaves_the_history_as_it_was() {
    for nothing in [None, Some(" \n")] {
        let mut story = going_on_at(limited(), LIMIT);
        let held = story.items().to_vec();
        let op = summary_op(&story);
        if let Some(blank) = nothing {
            story.say(op, said(blank));
        }
        story.say(op, used(LIMIT));
        assert_eq!(story.items(), held);
        assert_eq!(story.failed(), Some(Failed::Model(FailureKind::Refused)));
        assert!(story.failure().contains("could not be summed up: the model said nothing"));
    }
}

#[test]
fn a_turn_that_is_over_the_limit_all_the_same_fails() {
    let mut story = going_on_at(limited(), LIMIT);
    let op = summary_op(&story);
    story.say(op, said("sum"));
    story.say(op, used(LIMIT));
    check_bridge(&story, &["do it"], "sum");
    let op = story.request_op();
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("2", r#"["make"]"#))));
    story.say(op, used(LIMIT + 1));
    story.exit(story.spawn_op(), 0);
    assert_eq!(story.failed(), Some(Failed::Model(FailureKind::ContextFull)));
    assert!(story.failure().contains("10001") && story.failure().contains("10000"));
    assert_eq!(story.outputs(), ["out"]);
}

#[test]
fn a_window_that_was_exceeded_is_summed_up_and_tried_again() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, ModelEvent::ItemDone(Item::Call(look("1"))));
    story.say(op, completed());
    let large = "x".repeat(5_000);
    story.feed(Input::Looked { op: story.look_ops()[0], result: Ok(Seen::Text(large.into())) });
    let op = story.request_op();
    story.say(op, ModelEvent::TextDelta("half"));
    story.fail(op, FailureKind::ContextFull);
    let op = summary_op(&story);
    let items = story.agent.request_view(op).unwrap().items;
    assert_eq!(texts(items)[1..], ["do it", "call", "output", "half", "sum it up"]);
    let Item::Output(output) = &items[3] else { panic!("{items:?}") };
    assert!(output.answer.text().len() <= DRAFT_OUTPUT_BYTES_MAX, "large outputs go first");
    assert_eq!(story.outputs()[0].len(), 5_000, "the history is as it was");
    // It is still too much: the oldest go, until nothing is left that could.
    story.fail(op, FailureKind::ContextFull);
    let op = summary_op(&story);
    let less = story.agent.request_view(op).unwrap().items;
    assert_eq!(texts(less), ["half", "sum it up"]);
    story.say(op, said("sum"));
    story.say(op, completed());
    check_bridge(&story, &["do it"], "sum");
    // Right after it the window cannot be exceeded again.
    let op = story.request_op();
    story.say(op, said("half of it"));
    story.fail(op, FailureKind::ContextFull);
    assert_eq!(story.failed(), Some(Failed::Model(FailureKind::ContextFull)));
}

#[test]
fn what_cannot_be_summed_up_at_all_fails_the_turn_and_keeps_the_history() {
    let mut story = going_on_at(limited(), LIMIT);
    let before = story.items().to_vec();
    for tries in 0.. {
        let op = summary_op(&story);
        story.fail(op, FailureKind::ContextFull);
        if story.ended().is_some() {
            assert!((1..=3).contains(&tries), "{tries}");
            break;
        }
    }
    assert_eq!(story.failed(), Some(Failed::Model(FailureKind::ContextFull)));
    assert!(story.failure().starts_with("the conversation could not be summed up"));
    assert_eq!(story.items(), before);
    // The next prompt tries once more.
    story.prompt("again");
    summary_op(&story);
}

#[test]
fn a_summary_that_fails_is_asked_for_again() {
    let mut story = ended_at(limited(), LIMIT);
    story.prompt("and now");
    let before = story.items().to_vec();
    let op = summary_op(&story);
    story.say(op, said("half of the sum"));
    story.fail(op, FailureKind::Stream);
    assert!(story.tells(|event| matches!(event, Event::Retrying { .. })));
    story.wait();
    let op = summary_op(&story);
    story.say(op, said("sum"));
    story.fail(op, FailureKind::Limit);
    assert_eq!(story.failed(), Some(Failed::Model(FailureKind::Limit)));
    assert_eq!(story.items()[..before.len()], before);
    assert_eq!(texts(story.items()).last().unwrap(), "and now", "the prompt is not lost");
}

#[test]
fn an_interrupt_leaves_the_history_as_it_was() {
    let mut story = ended_at(limited(), LIMIT);
    let before = story.items().to_vec();
    story.command(Command::Compact { thread: story.thread });
    let op = summary_op(&story);
    story.say(op, said("sum"));
    story.interrupt();
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    story.say(op, used(7));
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert_eq!(story.items(), before);
}

#[test]
fn a_person_can_have_it_summed_up() {
    let mut story = ended_at(settings(), 100);
    let thread = story.thread;
    story.command(Command::Compact { thread });
    assert!(story.tells(|event| matches!(event, Event::TurnStarted { .. })));
    let op = summary_op(&story);
    story.command(Command::Compact { thread });
    assert_eq!(story.refused(), Some(Refusal::TurnRuns));
    story.say(op, said("sum"));
    story.say(op, used(120));
    check_bridge(&story, &["do it"], "sum");
    assert_eq!(story.ended(), Some(&Ended::Completed));
    assert!(!story.does(|effect| matches!(effect, Effect::Request { .. })), "nobody asked more");
    story.command(Command::Compact { thread });
    assert_eq!(story.refused(), Some(Refusal::NothingToCompact));
    let nobody = ThreadId { slot: 9, generation: 0 };
    story.command(Command::Compact { thread: nobody });
    assert_eq!(story.refused(), Some(Refusal::NoSuchThread));
}

#[test]
fn a_prompt_meanwhile_is_answered_in_the_same_turn() {
    let mut story = ended_at(settings(), 100);
    story.command(Command::Compact { thread: story.thread });
    let op = summary_op(&story);
    story.prompt("and now");
    assert!(story.effects.is_empty());
    story.say(op, said("sum"));
    story.say(op, completed());
    assert_eq!(texts(story.items())[3..], ["and now"]);
    assert!(!is_summary(&story, story.request_op()));
}

#[test]
fn a_summary_that_cannot_be_recorded_leaves_the_history_as_it_was() {
    let mut story = ended_at(limited(), LIMIT);
    let before = story.items().to_vec();
    story.prompt("and now");
    let op = summary_op(&story);
    story.say(op, said("sum"));
    story.say(op, used(LIMIT));
    let op = story.request_op();
    story.lose_from(1);
    assert_eq!(story.items(), before);
    story.feed(Input::Stopped { op });
    assert_eq!(story.failed(), Some(Failed::Record));
    story.prompt("again");
    summary_op(&story);
}

#[test]
fn what_is_lost_after_a_summary_leaves_the_summary() {
    let mut story = ended_at(limited(), LIMIT);
    story.prompt("and now");
    let op = summary_op(&story);
    story.say(op, said("sum"));
    story.say(op, used(LIMIT));
    let op = story.request_op();
    story.lose_from(2);
    check_bridge(&story, &["do it"], "sum");
    assert_eq!(story.items().len(), 3);
    story.feed(Input::Stopped { op });
    assert_eq!(story.failed(), Some(Failed::Record));
}

#[test]
fn a_summary_counts_among_the_requests_that_are_allowed() {
    let budgets = Budgets { requests_max: Some(1), ..Budgets::default() };
    let mut story = ended_at(ThreadSettings { budgets, ..limited() }, LIMIT);
    story.prompt("and now");
    let op = summary_op(&story);
    story.fail(op, FailureKind::ContextFull);
    assert_eq!(story.failed(), Some(Failed::Spent(Budget::Requests)), "another one is another");
}

#[test]
fn a_session_that_goes_on_knows_how_much_it_holds() {
    let mut fold = Fold::default();
    let conversation = ConversationId([7; 16]);
    let item = |role, text: &str| Item::Message(Message::text(role, text));
    let last = Usage { total: LIMIT, ..Usage::default() };
    fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
    fold.push(Remembered::Item(item(Role::User, "do it")));
    fold.push(Remembered::Item(item(Role::Assistant, "done")));
    fold.push(Remembered::TokenCount { total: last, last, limits: None });
    let restored = fold.finish().unwrap();
    let mut story = Story::new(limited());
    let which = Which::Id(conversation);
    story.command(Command::Resume { settings: Box::new(limited()), which });
    let op = story.restore_op();
    story.thread.slot = 1;
    story.feed(Input::Restored { op, result: Ok(Box::new(restored)) });
    story.prompt("go on");
    let op = summary_op(&story);
    story.say(op, said("sum"));
    story.say(op, used(LIMIT));
    check_bridge(&story, &["do it"], "sum");
}

#[test]
fn a_conversation_that_exceeds_its_memory_is_summed_up() {
    let (mut story, op) = Story::asked(settings());
    let large = "x".repeat(HISTORY_BYTES_MAX as usize / 2);
    story.say(op, said(&large));
    story.say(op, completed());
    story.prompt(&large);
    let op = summary_op(&story);
    story.say(op, said("sum"));
    story.say(op, completed());
    assert_eq!(texts(story.items())[3].len(), large.len());
}
