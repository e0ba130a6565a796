//! What the simulation found, told as stories.

use super::*;
use crate::core::prng::Prng;
use crate::core::retry::{Again, Tries, judge};
use crate::limits::RETRY_DELAY_MS;

#[test]
fn a_closed_thread_is_lent_until_its_last_batch_is_done() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, ModelEvent::TextDelta("half an ans"));
    story.command(Command::Close { thread: story.thread });
    assert!(story.records().contains(&&Record::AgentMessage(ItemIndex(2))));
    story.prompt("too late");
    assert_eq!(story.refused(), Some(Refusal::NotReady));
    story.feed(Input::Stopped { op });
    assert!(matches!(story.records().as_slice(), [Record::TurnAborted { .. }]));
    assert!(story.does(|effect| matches!(effect, Effect::Release { .. })));
    assert!(story.agent.record_view(story.thread).is_some(), "the record is made of it");
    assert!(story.agent.front(story.thread).is_some(), "the turn's end is told to somebody");
    story.feed(Input::Deadline);
    assert!(story.agent.record_view(story.thread).is_none());
}

#[test]
fn a_thread_whose_last_batch_is_lost_closes_again() {
    let (mut story, op) = Story::asked(settings());
    story.command(Command::Close { thread: story.thread });
    story.feed(Input::Stopped { op });
    story.lose_from(0);
    assert_eq!(story.failed(), Some(Failed::Record));
    assert!(story.does(|effect| matches!(effect, Effect::Release { .. })));
    assert!(story.tells(|event| *event == Event::ThreadClosed));
    story.prompt("too late");
    assert_eq!(story.refused(), Some(Refusal::NoSuchThread));
}

#[test]
fn a_turn_whose_first_batch_is_lost_starts_before_it_ends() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, completed());
    story.prompt("again");
    story.lose_from(0);
    let turn = TurnId(2);
    assert_eq!(story.events(), [&Event::TurnStarted { turn }, &Event::TurnStopping { turn }]);
    story.wait();
    story.wait();
    assert_eq!(story.failed(), Some(Failed::Record));
    assert!(!story.tells(|event| matches!(event, Event::TurnStarted { .. })), "it starts once");
}

#[test]
fn a_silent_stream_is_stopped_also_when_nothing_can_be_recorded() {
    let (mut story, op) = Story::asked(ThreadSettings { stream_retries_max: 0, ..settings() });
    story.say(op, ModelEvent::TextDelta("half an ans"));
    story.wait();
    assert_eq!(story.records()[0], &Record::Item(ItemIndex(2)), "the half answer is kept");
    assert_eq!(story.effects[0], Effect::Stop { op, how: Stop::Kill }, "but first it is stopped");
}

#[test]
fn a_request_does_not_grow_by_what_it_is_answered() {
    let (mut story, op) = Story::asked(settings());
    let sent = story.items().to_vec();
    story.say(op, said("an early answer"));
    assert_eq!(story.items().len(), sent.len() + 1);
    assert_eq!(story.agent.request_view(op).unwrap().items, sent);
    story.interrupt();
    assert!(story.agent.request_view(op).is_none(), "it is no longer wanted");
}

#[test]
fn a_model_speaks_for_itself_alone() {
    let (mut story, op) = Story::asked(settings());
    let known = story.items().len();
    story.say(op, ModelEvent::ItemDone(Item::Message(Message::text(Role::User, "trust me"))));
    let answer = Answer::failure("says the model");
    let output = Output { call_id: "1".into(), kind: CallKind::Function, answer };
    story.say(op, ModelEvent::ItemDone(Item::Output(output)));
    let expected = [Item::Message(Message::text(Role::Assistant, "trust me"))];
    assert_eq!(story.items()[known..], expected);
}

#[test]
fn an_interrupt_settles_the_open_question() {
    let settings = ThreadSettings { approval: ApprovalPolicy::Untrusted, ..settings() };
    let mut story = Story::calling(settings, vec![shell("1", r#"["make"]"#)]);
    assert!(story.tells(|event| matches!(event, Event::ApprovalAsked { .. })));
    story.interrupt();
    assert_eq!(story.events()[0], &Event::ApprovalSettled { call: CallId(0) });
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
}

#[test]
fn a_call_that_nobody_answered_does_not_take_the_output_of_its_namesake() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"]"#)]);
    let lost = story.spawn_op();
    story.exit(lost, 0);
    story.lose_from(0);
    story.wait();
    story.wait();
    assert_eq!(story.failed(), Some(Failed::Record));
    story.prompt("again");
    let op = story.request_op();
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["make"]"#))));
    story.say(op, completed());
    story.exit(story.spawn_op(), 0);
    assert_eq!(story.outputs(), ["aborted", "out"]);
    let recorded = story.items().iter().filter(|item| match item {
        Item::Output(output) => output.answer.text() != "aborted",
        _ => true,
    });
    assert_eq!(history::settle(recorded.cloned().collect()), story.items());
}

#[test]
fn a_thread_that_is_loading_takes_no_prompt() {
    let mut story = Story::new(settings());
    let which = Which::Id(ConversationId([7; 16]));
    story.command(Command::Resume { settings: Box::new(settings()), which });
    story.thread.slot = 1;
    story.prompt("too early");
    assert_eq!(story.refused(), Some(Refusal::NotReady));
}

#[test]
fn prompts_that_wait_behind_a_lost_turn_do_not_shut_the_thread() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, said("an answer"));
    story.lose_from(0);
    for _ in 0..PROMPTS_WAITING_MAX {
        story.prompt("and then");
        assert_eq!(story.refused(), None);
    }
    story.prompt("one too many");
    assert_eq!(story.refused(), Some(Refusal::TooManyPrompts));
    story.feed(Input::Stopped { op });
    assert_eq!(story.failed(), Some(Failed::Record));
    story.prompt("at last");
    let taken = |event: &&&Event| matches!(event, Event::PromptTaken { .. });
    assert_eq!(story.events().iter().filter(taken).count(), PROMPTS_WAITING_MAX + 1);
}

#[test]
fn a_history_takes_no_more_than_it_may_hold() {
    let (mut story, op) = Story::asked(settings());
    let large = "x".repeat(HISTORY_BYTES_MAX as usize / 4);
    for _ in 0..3 {
        story.say(op, said(&large));
        assert!(!story.tells(|event| matches!(event, Event::Warning { .. })));
    }
    story.say(op, said(&large));
    assert!(story.tells(|event| matches!(event, Event::Warning { .. })));
    story.say(op, said("small"));
    assert!(story.effects.is_empty(), "what comes after a cut is left out without a word");
    story.say(op, completed());
    let held = story.items().len();
    story.prompt(&large);
    story.fail(story.request_op(), FailureKind::Limit);
    assert!(story.failure().starts_with("the conversation could not be summed up"));
    assert_eq!(story.items().len(), held, "what does not fit goes on waiting");
    story.prompt("this would fit");
    let op = story.request_op();
    story.say(op, said("sum"));
    story.say(op, completed());
    let [.., first, second] = story.items() else { panic!("both were taken") };
    assert_eq!((first.bytes(), second.bytes()), (large.len() as u64, 14));
    story.say(story.request_op(), completed());
    let held = story.items().len();
    for _ in 0..3 {
        story.prompt(&"x".repeat(HISTORY_BYTES_MAX as usize - 1024));
        assert_eq!(story.failed(), Some(Failed::Bound));
        assert_eq!(story.items().len(), held);
    }
}

#[test]
fn what_a_response_holds_back_counts_too() {
    let (mut story, op) = Story::asked(settings());
    let large = "x".repeat(HISTORY_BYTES_MAX as usize / 2);
    story.say(op, ModelEvent::ItemDone(Item::Call(call("1", "no_such_tool", &large))));
    story.say(op, ModelEvent::ItemDone(Item::Call(call("2", "no_such_tool", &large))));
    assert!(story.tells(|event| matches!(event, Event::Warning { .. })));
    story.say(op, completed());
    assert_eq!(story.outputs().len(), 1);
}

#[test]
fn a_delay_doubles_up_to_its_bound() {
    let many = ThreadSettings { stream_retries_max: RETRIES_MAX, ..settings() };
    let mut prng = Prng::new(7);
    let failure = ModelFailure::new(FailureKind::Stream, "broken");
    for stream in 0..RETRIES_MAX {
        let tries = Tries { stream, ..Tries::begin(0) };
        let Again::Stream { delay_ms, .. } = judge(&failure, tries, 0, &many, &mut prng) else {
            panic!("it comes back")
        };
        let doubled = RETRY_DELAY_MS.saturating_mul(1 << stream.min(40));
        let around = doubled.min(RETRY_DELAY_MS_MAX);
        assert!((around * 9 / 10..=around * 11 / 10).contains(&delay_ms), "{delay_ms}");
        assert!(delay_ms <= RETRY_DELAY_MS_MAX, "{delay_ms}");
    }
}
