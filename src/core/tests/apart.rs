//! Reviews that a child does for a thread that is there for something else.

use super::*;
use crate::core::effect::Audience;

/// A thread with a past, and the first request of the review that its child does.
fn reviewing(reviewer: ThreadSettings) -> (Story, OpId) {
    let (mut story, op) = Story::asked(settings());
    story.say(op, said("done"));
    story.say(op, completed());
    story.review_apart(reviewer);
    assert!(story.tells(|event| *event == Event::TurnStarted { turn: TurnId(2) }));
    story.wait();
    let op = story.open_op();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    assert!(story.tells(|event| matches!(event, Event::ReviewEntered { .. })));
    let op = story.request_op();
    (story, op)
}

impl Story {
    fn review_apart(&mut self, settings: ThreadSettings) {
        let parts = vec![Part::Text("look at it".into())];
        let (thread, settings) = (self.thread, Box::new(settings));
        self.command(Command::ReviewApart { thread, settings, parts, hint: "all of it".into() });
    }

    /// Lets what is due between threads happen.
    fn settle(&mut self) {
        let mut effects = Vec::new();
        while self.agent.next_deadline() == Some(self.now_ms) {
            self.feed(Input::Deadline);
            effects.append(&mut self.effects);
        }
        self.effects = effects;
    }

    /// Whom each event was told to.
    fn audiences(&self) -> Vec<Audience> {
        let told = self.effects.iter().filter_map(|effect| match effect {
            Effect::Notify { to, .. } => Some(*to),
            _ => None,
        });
        told.collect()
    }
}

fn untrusted() -> ThreadSettings {
    ThreadSettings { approval: ApprovalPolicy::Untrusted, assess_commands: true, ..settings() }
}

#[test]
fn a_thread_gets_the_verdict_and_nothing_else_of_its_childs_review() {
    let (mut story, op) = reviewing(settings());
    let before = story.items().len();
    let view = story.agent.request_view(op).unwrap();
    assert_eq!(view.sub_agent, Some("review"));
    assert_ne!(Some(view.conversation), story.agent.conversation(story.thread));
    assert_eq!(view.items.len(), 2, "its history is its own");
    story.say(op, said("the verdict"));
    let parent = story.thread;
    let of_child =
        |to: &Audience| matches!(to, Audience::Child { parent: own, .. } if *own == parent);
    assert!(!story.audiences().is_empty() && story.audiences().iter().all(of_child));
    let usage = Usage { input: 3, output: 2, total: 5, ..Usage::default() };
    story.say(op, ModelEvent::Completed { usage: Some(usage) });
    assert!(story.tells(|event| matches!(event, Event::ReviewExited { verdict: Some(_) })));
    assert!(!story.tells(|event| matches!(event, Event::TurnEnded { .. })));
    story.settle();
    let ended = Event::TurnEnded { turn: TurnId(2), how: Ended::Completed, usage };
    assert!(story.tells(|event| *event == ended));
    assert!(story.does(|effect| matches!(effect, Effect::Release { .. })));
    assert_eq!(story.items().len(), before + 1);
    let verdict = Item::Message(Message::text(Role::Assistant, "the verdict"));
    assert_eq!(story.items().last(), Some(&verdict));
    story.prompt("thanks");
    let op = story.request_op();
    assert_eq!(story.agent.request_view(op).unwrap().sub_agent, None);
}

#[test]
fn the_child_is_recorded_as_one() {
    let (mut story, op) = reviewing(settings());
    story.say(op, said("the verdict"));
    let Some(Effect::Append { thread: child, .. }) = story.effects.first() else { panic!("kept") };
    let view = story.agent.record_view(*child).unwrap();
    assert_eq!(view.sub_agent, Some("review"));
    assert_eq!(story.agent.record_view(story.thread).unwrap().sub_agent, None);
}

#[test]
fn a_childs_question_is_asked_and_answered_in_the_parents_name() {
    let (mut story, op) = reviewing(untrusted());
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["make"]"#))));
    story.say(op, completed());
    let asked = story.events().into_iter().find_map(|event| match event {
        Event::ApprovalAsked { call, question: Question::Command { risk, .. }, .. } => {
            Some((*call, risk.clone()))
        }
        _ => None,
    });
    assert_eq!(asked, Some((CallId(0), None)), "children have no children to ask");
    story.answer(0, Decision::Approved);
    assert!(story.tells(|event| *event == Event::ApprovalSettled { call: CallId(0) }));
    let op = story.spawn_op();
    story.exit(op, 0);
    let op = story.request_op();
    story.say(op, said("the verdict"));
    story.say(op, completed());
    story.settle();
    story.answer(0, Decision::Approved);
    assert_eq!(story.refused(), Some(Refusal::NoQuestion));
    story.prompt("go on");
    let op = story.request_op();
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["make"]"#))));
    story.say(op, completed());
    let second = |event: &Event| matches!(event, Event::CommandStarted { call: CallId(1), .. });
    assert!(story.tells(second), "a call's number is given once, whoever's call it was");
}

#[test]
fn to_abort_a_childs_command_ends_the_parents_turn() {
    let (mut story, op) = reviewing(untrusted());
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["make"]"#))));
    story.say(op, completed());
    story.answer(0, Decision::Abort);
    story.settle();
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert!(!story.does(|effect| matches!(effect, Effect::Spawn { .. })));
}

#[test]
fn an_interrupt_of_the_parent_ends_the_child_first() {
    let (mut story, op) = reviewing(settings());
    story.interrupt();
    assert!(story.tells(|event| matches!(event, Event::TurnStopping { .. })));
    story.settle();
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    assert_eq!(story.ended(), None);
    story.feed(Input::Stopped { op });
    assert!(story.tells(|event| *event == Event::ReviewExited { verdict: None }));
    story.settle();
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert_eq!(story.agent.late_count(), 0);
}

#[test]
fn a_third_interrupt_gives_the_child_up() {
    let (mut story, op) = reviewing(settings());
    for _ in 0..4 {
        story.interrupt();
        assert_eq!(story.ended(), None);
    }
    story.settle();
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Kill }));
    assert!(story.tells(|event| *event == Event::ReviewExited { verdict: None }));
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
}

#[test]
fn a_child_that_has_not_begun_is_not_waited_for() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, said("done"));
    story.say(op, completed());
    story.review_apart(settings());
    for _ in 0..3 {
        assert_eq!(story.ended(), None);
        story.interrupt();
    }
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    story.settle();
    assert!(story.effects.is_empty(), "no child begins");
}

#[test]
fn grace_ends_for_a_child_as_for_any_work() {
    let (mut story, op) = reviewing(settings());
    story.interrupt();
    let since_ms = story.now_ms;
    while story.ended().is_none() {
        story.wait();
    }
    assert_eq!(story.now_ms, since_ms + STOP_GRACE_MS + KILL_GRACE_MS);
    story.settle();
    story.say(op, said("the verdict"));
    assert!(story.effects.is_empty());
}

#[test]
fn a_child_that_fails_fails_the_turn() {
    let (mut story, op) = reviewing(settings());
    story.fail(op, FailureKind::Refused);
    story.settle();
    assert_eq!(story.failed(), Some(Failed::Model(FailureKind::Refused)));
    assert_eq!(story.failure(), "as told");
}

#[test]
fn a_child_that_cannot_be_recorded_fails_the_turn() {
    let (mut story, op) = reviewing(settings());
    story.say(op, said("the verdict"));
    story.say(op, completed());
    let thread = story.effects.iter().find_map(|effect| match effect {
        Effect::Append { thread, .. } => Some(*thread),
        _ => None,
    });
    let lost = Lost::default();
    let message = "disk full".into();
    story.feed(Input::AppendFailed { thread: thread.unwrap(), lost, message });
    story.settle();
    assert_eq!(story.failed(), Some(Failed::Record));
}

#[test]
fn a_thread_that_closes_takes_its_child_along() {
    let (mut story, op) = reviewing(settings());
    story.command(Command::Close { thread: story.thread });
    story.settle();
    story.feed(Input::Stopped { op });
    story.settle();
    assert!(story.tells(|event| *event == Event::ThreadClosed));
    let released = story.effects.iter().filter(|effect| matches!(effect, Effect::Release { .. }));
    assert_eq!(released.count(), 2);
}

#[test]
fn a_new_thread_may_begin_with_a_review() {
    let mut story = Story::new(settings());
    story.review_apart(settings());
    let op = story.open_op();
    story.prompt("and then?");
    story.interrupt();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    let records: Vec<&Record> = story.all_records().collect();
    let [Record::Meta, Record::TurnStarted { turn }, Record::TurnAborted { turn: ended, .. }] =
        records.as_slice()
    else {
        panic!("{records:?}")
    };
    assert_eq!(turn, ended);
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    story.wait();
    assert!(story.tells(|event| *event == Event::TurnStarted { turn: TurnId(2) }));
    story.review_apart(settings());
    assert_eq!(story.refused(), Some(Refusal::TurnRuns));
}
