//! Reviews: turns whose last message is a verdict.

use super::*;

/// A thread that was asked for a review, and its first request.
fn reviewing() -> (Story, OpId) {
    let mut story = Story::new(settings());
    story.review("look at it");
    let op = story.open_op();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    let op = story.request_op();
    (story, op)
}

impl Story {
    fn review(&mut self, text: &str) {
        let parts = vec![Part::Text(text.into())];
        self.command(Command::Review { thread: self.thread, parts, hint: "all of it".into() });
    }

    /// What was told of the review's end, if it was.
    fn exited(&self) -> Option<Option<&str>> {
        let verdict = self.events().into_iter().find_map(|event| match event {
            Event::ReviewExited { verdict } => Some(*verdict),
            _ => None,
        })?;
        let record = Record::ReviewExited { verdict };
        assert!(self.records().contains(&&record), "what is told is recorded");
        Some(verdict.map(|item| match &self.agent.items(self.thread)[item.0 as usize] {
            Item::Message(message) => message.texts().next().expect("a text"),
            other => panic!("not a message: {other:?}"),
        }))
    }
}

fn said(text: &str) -> ModelEvent<'static> {
    ModelEvent::ItemDone(Item::Message(Message::text(Role::Assistant, text)))
}

const COMPLETED: ModelEvent<'static> = ModelEvent::Completed { usage: None };

#[test]
fn a_review_begins_with_its_prompt_and_ends_with_its_verdict() {
    let (mut story, op) = reviewing();
    let item = ItemIndex(story.agent.items(story.thread).len() as u32 - 1);
    let hint: Box<str> = "all of it".into();
    assert!(story.records().contains(&&Record::ReviewEntered { item, hint: hint.clone() }));
    assert!(story.tells(|event| *event == Event::ReviewEntered { item, hint: hint.clone() }));
    assert_eq!(story.agent.request_view(op).and_then(|view| view.sub_agent), Some("review"));
    story.say(op, said("the verdict"));
    story.say(op, COMPLETED);
    assert_eq!(story.exited(), Some(Some("the verdict")));
    assert!(matches!(story.events().last(), Some(Event::TurnEnded { .. })));
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn only_the_last_response_holds_a_verdict() {
    let call = CallAsked {
        kind: CallKind::Function,
        call_id: "c".into(),
        name: "none".into(),
        arguments: "{}".into(),
        id: None,
    };
    for (text, verdict) in [("the verdict", Some("the verdict")), (" \n", None)] {
        let (mut story, op) = reviewing();
        story.say(op, said("I will look"));
        story.say(op, ModelEvent::ItemDone(Item::Call(call.clone())));
        story.say(op, COMPLETED);
        assert_eq!(story.exited(), None);
        let op = story.request_op();
        story.say(op, said(text));
        story.say(op, COMPLETED);
        assert_eq!(story.exited(), Some(verdict));
    }
}

#[test]
fn a_review_that_is_interrupted_or_fails_has_no_verdict() {
    let (mut story, op) = reviewing();
    story.say(op, said("half"));
    story.interrupt();
    story.feed(Input::Stopped { op });
    assert_eq!((story.exited(), story.ended()), (Some(None), Some(&Ended::Interrupted)));
    assert!(matches!(story.records().last(), Some(Record::TurnAborted { .. })));
    let (mut story, op) = reviewing();
    story.fail(op, FailureKind::Refused);
    assert_eq!(story.exited(), Some(None));
}

#[test]
fn a_review_that_cannot_be_recorded_ends_with_its_turn_unsaid() {
    let (mut story, op) = reviewing();
    story.lose_from(0);
    assert_eq!(story.exited(), None);
    story.feed(Input::Stopped { op });
    assert_eq!((story.exited(), story.failed()), (None, Some(Failed::Record)));
}

#[test]
fn a_review_is_a_turn_of_its_own() {
    let (mut story, op) = reviewing();
    story.review("another");
    assert_eq!(story.refused(), Some(Refusal::TurnRuns));
    story.say(op, said("the verdict"));
    story.say(op, COMPLETED);
    story.review(" ");
    assert_eq!(story.refused(), Some(Refusal::EmptyPrompt));
    story.prompt("an ordinary one");
    let op = story.request_op();
    assert_eq!(story.agent.request_view(op).and_then(|view| view.sub_agent), None);
    assert!(!story.tells(|event| matches!(event, Event::ReviewEntered { .. })));
    story.say(op, said("done"));
    story.say(op, COMPLETED);
    assert_eq!(story.exited(), None);
}

#[test]
fn what_is_said_during_a_review_has_a_turn_after_it() {
    let (mut story, op) = reviewing();
    let turn = TurnId(1);
    let parts = vec![Part::Text("left!".into())];
    story.command(Command::Steer { thread: story.thread, turn, parts });
    assert_eq!(story.refused(), Some(Refusal::NotSteerable(Unsteerable::Review)));
    story.prompt("and then?");
    assert!(story.effects.is_empty());
    story.say(op, ModelEvent::ItemDone(Item::Call(look("1"))));
    story.say(op, COMPLETED);
    let op = story.look_ops()[0];
    story.feed(Input::Looked { op, result: Ok(Seen::Text("seen".into())) });
    let op = story.request_op();
    assert!(!story.tells(|event| matches!(event, Event::PromptTaken { .. })));
    story.say(op, said("the verdict"));
    story.say(op, COMPLETED);
    assert_eq!(story.exited(), Some(Some("the verdict")));
    story.wait();
    assert!(story.tells(|event| *event == Event::TurnStarted { turn: TurnId(2) }));
    assert!(story.tells(|event| matches!(event, Event::PromptTaken { .. })));
    story.request_op();
}

#[test]
fn what_waits_behind_a_review_does_not_wait_for_its_success() {
    let mut story = Story::new(settings());
    story.review("look at it");
    let op = story.open_op();
    story.prompt("and then?");
    story.interrupt();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    assert_eq!((story.exited(), story.ended()), (Some(None), Some(&Ended::Interrupted)));
    story.wait();
    assert!(story.tells(|event| *event == Event::TurnStarted { turn: TurnId(2) }));
}
