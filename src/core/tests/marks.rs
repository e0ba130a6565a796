//! Where turns begin and end, and how, as the rollout is to say it.

use super::*;

fn said(text: &str) -> ModelEvent<'static> {
    ModelEvent::ItemDone(Item::Message(Message::text(Role::Assistant, text)))
}

#[test]
fn a_turn_begins_with_its_first_record_and_ends_with_its_last() {
    let (mut story, op) = Story::asked(settings());
    assert_eq!(story.marks(), ["begins"]);
    let all: Vec<&Record> = story.all_records().collect();
    assert!(matches!(all[..2], [Record::Meta, Record::TurnStarted { .. }]), "{all:?}");
    story.say(op, said("Done"));
    assert!(story.marks().is_empty());
    story.say(op, ModelEvent::Completed { usage: None });
    assert_eq!((story.marks(), story.ended()), (vec!["ends, said"], Some(&Ended::Completed)));
    story.prompt("more");
    assert_eq!(story.marks(), ["begins"]);
    story.fail(story.request_op(), FailureKind::Refused);
    assert_eq!(story.marks(), ["failed", "ends"]);
    story.prompt("more");
    let op = story.request_op();
    story.interrupt();
    story.feed(Input::Stopped { op });
    assert_eq!(story.marks(), ["aborted"]);
}

#[test]
fn an_end_that_could_not_be_recorded_is_made_up_for() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, ModelEvent::Completed { usage: None });
    let (thread, message) = (story.thread, "disk full".into());
    let lost = Lost { end: true, ..Lost::default() };
    story.feed(Input::AppendFailed { thread, lost, message });
    assert!(matches!(story.failed(), Some(Failed::Record)));
    story.prompt("more");
    assert_eq!(story.marks(), ["failed", "ends", "begins"]);
}

#[test]
fn a_beginning_that_could_not_be_recorded_has_no_end() {
    let (mut story, _) = Story::asked(settings());
    let op = story.request_op();
    story.lose_from(0);
    story.feed(Input::Stopped { op });
    assert!(story.marks().is_empty());
    story.prompt("more");
    assert_eq!(story.marks(), ["begins"]);
}
