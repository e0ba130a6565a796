use super::*;
use crate::words::event::Budget;
use crate::words::settings::{Budgets, TimeBudget};

fn with(budgets: Budgets) -> ThreadSettings {
    ThreadSettings { budgets, ..settings() }
}

fn timed(length_ms: u64) -> ThreadSettings {
    let time = Some(TimeBudget { since_ms: 1_000, length_ms });
    with(Budgets { time, ..Budgets::default() })
}

fn used(input: u64, cached_input: u64, output: u64) -> ModelEvent<'static> {
    let usage = Usage { input, cached_input, output, total: input + output, ..Usage::default() };
    ModelEvent::Completed { usage: Some(usage) }
}

/// The turn has ended for this budget, and the rollout says so.
fn check_spent(story: &Story, budget: Budget, part: &str) {
    assert_eq!(story.failed(), Some(Failed::Spent(budget)));
    let Some(Record::TurnFailed { message }) = story.records().last() else {
        panic!("not recorded: {:?}", story.records())
    };
    assert!(message.contains(part), "{message}");
    assert_eq!(story.agent.next_deadline(), None);
}

#[test]
fn the_last_request_that_is_allowed_has_its_calls_done() {
    let settings = with(Budgets { requests_max: Some(1), ..Budgets::default() });
    let mut story = Story::calling(settings, vec![shell("1", r#"["make"]"#)]);
    let op = story.spawn_op();
    story.exit(op, 0);
    check_spent(&story, Budget::Requests, "1 model requests");
    assert_eq!(story.outputs(), ["out"]);
    assert!(!story.does(|effect| matches!(effect, Effect::Request { .. })));
}

#[test]
fn a_request_that_is_tried_again_counts_once() {
    let settings = with(Budgets { requests_max: Some(1), ..Budgets::default() });
    let (mut story, op) = Story::asked(settings);
    story.fail(op, FailureKind::Server);
    story.wait();
    story.say(story.request_op(), completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn each_turn_has_its_requests_anew() {
    let settings = with(Budgets { requests_max: Some(1), ..Budgets::default() });
    let (mut story, op) = Story::asked(settings);
    story.prompt("and this");
    story.say(op, completed());
    check_spent(&story, Budget::Requests, "max_turns");
    assert!(story.tells(|event| matches!(event, Event::PromptTaken { .. })), "it is not lost");
    story.prompt("once more");
    story.say(story.request_op(), completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn tokens_that_are_used_up_end_the_turn_before_the_next_request() {
    let settings = with(Budgets { tokens_max: Some(100), ..Budgets::default() });
    let (mut story, op) = Story::asked(settings);
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["ls"]"#))));
    story.say(op, used(1_000, 950, 49));
    let op = story.spawn_op();
    story.exit(op, 0);
    let op = story.request_op();
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("2", r#"["ls"]"#))));
    story.say(op, used(1_000, 1_000, 1));
    let op = story.spawn_op();
    story.exit(op, 0);
    check_spent(&story, Budget::Tokens, "100 tokens is used up: 100 were used");
}

#[test]
fn an_answer_beyond_the_tokens_is_still_an_answer() {
    let (mut story, op) = Story::asked(with(Budgets { tokens_max: Some(1), ..Budgets::default() }));
    story.say(op, said("an answer"));
    story.say(op, used(10, 0, 10));
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn time_that_is_over_stops_a_response_and_keeps_what_was_said() {
    let (mut story, op) = Story::asked(timed(5_000));
    story.say(op, ModelEvent::TextDelta("half an"));
    story.wait();
    assert_eq!(story.now_ms, 6_000);
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    let half = Item::Message(Message::text(Role::Assistant, "half an"));
    assert_eq!(story.items().last(), Some(&half));
    story.feed(Input::Stopped { op });
    check_spent(&story, Budget::Time, "longer than 5 s");
}

#[test]
fn time_that_is_over_stops_commands_and_answers_their_calls() {
    let calls = vec![shell("1", r#"["make"]"#), shell("2", r#"["make"]"#)];
    let mut story = Story::calling(timed(1_500), calls);
    let op = story.spawn_op();
    story.wait();
    assert_eq!(story.outputs(), [""; 0], "it may yet say what it has printed");
    story.wait();
    assert_eq!(story.effects, [Effect::Stop { op, how: Stop::Kill }], "as for an interrupt");
    story.exit(op, 0);
    let wall = (1_500 + STOP_GRACE_MS) / 100;
    let aborted =
        format!("Wall time: {}.{} seconds\naborted by timeout\nOutput:\nout", wall / 10, wall % 10);
    assert_eq!(story.outputs(), [&aborted, "aborted by timeout after 0.0s"]);
    check_spent(&story, Budget::Time, "longer than 1500 ms");
}

#[test]
fn time_that_is_over_waits_neither_for_facts_nor_for_another_try() {
    let mut story = Story::new(timed(500));
    story.prompt("do it");
    let op = story.open_op();
    story.wait();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    check_spent(&story, Budget::Time, "timeout");
    let (mut story, op) = Story::asked(timed(100));
    story.fail(op, FailureKind::Stream);
    story.wait();
    check_spent(&story, Budget::Time, "100 ms");
}

#[test]
fn after_its_time_a_thread_makes_no_request() {
    let (mut story, op) = Story::asked(timed(5_000));
    story.now_ms += 5_000;
    story.prompt("late");
    story.say(op, completed());
    check_spent(&story, Budget::Time, "timeout");
    story.prompt("later");
    check_spent(&story, Budget::Time, "timeout");
}
