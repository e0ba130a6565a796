//! Batches that cannot be recorded, and sessions that go on.

use super::*;

#[test]
fn a_lost_batch_while_the_model_answers_fails_the_turn() {
    let (mut story, op) = Story::asked(settings());
    let known = story.items().len();
    story.say(op, said("an answer"));
    story.lose_from(0);
    assert_eq!(story.items().len(), known, "what is not recorded is not remembered");
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    assert!(story.records().is_empty());
    story.feed(Input::Stopped { op });
    assert_eq!(story.failed(), Some(Failed::Record));
    assert!(story.records().is_empty());
}

#[test]
fn a_lost_batch_that_asked_for_calls_runs_none() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["make"]"#))));
    story.say(op, completed());
    let op = story.spawn_op();
    story.lose_from(0);
    assert_eq!(story.outputs(), [""; 0]);
    story.feed(Input::Stopped { op });
    assert_eq!(story.failed(), Some(Failed::Record));
}

#[test]
fn a_lost_output_leaves_the_call_aborted() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"]"#)]);
    story.exit(story.spawn_op(), 0);
    let op = story.request_op();
    story.lose_from(0);
    assert_eq!(story.outputs(), ["aborted"]);
    story.feed(Input::Stopped { op });
    assert_eq!(story.failed(), Some(Failed::Record));
}

#[test]
fn a_turn_whose_end_is_lost_ends_again() {
    let (mut story, op) = Story::asked(settings());
    let usage = Some(Usage { total: 7, ..Usage::default() });
    story.say(op, ModelEvent::Completed { usage });
    assert_eq!(story.ended(), Some(&Ended::Completed));
    story.lose_from(0);
    assert_eq!(story.failed(), Some(Failed::Record));
    assert_eq!(story.agent.next_deadline(), None);
}

#[test]
fn a_lost_batch_while_the_turn_stops_changes_only_its_end() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, ModelEvent::TextDelta("half an"));
    story.interrupt();
    story.lose_from(0);
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    story.feed(Input::Stopped { op });
    assert_eq!(story.failed(), Some(Failed::Record));
}

#[test]
fn a_first_line_that_is_lost_is_written_again() {
    let mut story = Story::new(settings());
    story.prompt("do it");
    let op = story.open_op();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    story.lose_from(0);
    assert!(story.items().is_empty());
    story.wait();
    story.wait();
    story.prompt("again");
    assert_eq!(story.records()[0], &Record::Meta);
}

#[test]
fn a_session_goes_on_where_its_records_end() {
    let mut fold = Fold::default();
    let conversation = ConversationId([7; 16]);
    let usage = Usage { total: 7, ..Usage::default() };
    fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
    fold.push(Remembered::Item(Item::Message(Message::text(Role::User, "do it"))));
    fold.push(Remembered::Item(Item::Call(shell("1", r#"["make"]"#))));
    let window = RateWindow { used_percent: 5.0, window_minutes: None, resets_at: Some(9) };
    let limits = Some(RateLimits { primary: None, secondary: Some(window) });
    fold.push(Remembered::TokenCount { total: usage, last: usage, limits });
    fold.skip(1);
    let restored = fold.finish().unwrap();

    let mut story = Story::new(settings());
    let which = Which::Id(conversation);
    story.command(Command::Resume { settings: Box::new(settings()), which });
    let op = story.restore_op();
    story.thread.slot = 1;
    story.feed(Input::Restored { op, result: Ok(Box::new(restored)) });
    assert_eq!(story.events()[0], &Event::ThreadStarted { conversation, resumed: true });
    assert!(story.tells(|event| matches!(event, Event::Warning { .. })));
    assert_eq!(story.outputs(), ["aborted"]);
    story.prompt("go on");
    assert!(!story.records().contains(&&Record::Meta), "the rollout has its first line");
    let op = story.request_op();
    assert_eq!(story.agent.request_view(op).unwrap().conversation, conversation);
    story.say(op, ModelEvent::Completed { usage: Some(usage) });
    let total = Usage { total: 14, ..Usage::default() };
    assert_eq!(story.records(), [&Record::TokenCount { total, last: usage, limits }]);
    assert!(
        story.tells(|event| matches!(event, Event::Tokens { total: all, .. } if *all == total))
    );
}

#[test]
fn a_session_that_cannot_be_read_is_closed() {
    let mut story = Story::new(settings());
    let which = Which::Last { cwd: None };
    story.command(Command::Resume { settings: Box::new(settings()), which });
    let op = story.restore_op();
    story.feed(Input::Restored { op, result: Err("gone".into()) });
    let message = "gone".into();
    assert_eq!(story.events(), [&Event::ThreadFailed { message }, &Event::ThreadClosed]);
}

#[test]
fn closing_a_thread_that_loads_gives_the_loading_up() {
    let mut story = Story::new(settings());
    let which = Which::Last { cwd: None };
    story.command(Command::Resume { settings: Box::new(settings()), which });
    let op = story.restore_op();
    story.command(Command::Close { thread: ThreadId { slot: 1, generation: 0 } });
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Kill }));
    assert_eq!(story.events(), [&Event::ThreadClosed]);
    story.feed(Input::Restored { op, result: Err("late".into()) });
    assert!(story.effects.is_empty());
}

/// A thread forked from a conversation of one exchange, with its opening before it.
fn forked() -> (Story, ConversationId) {
    let mut fold = Fold::default();
    let conversation = ConversationId([7; 16]);
    fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
    for (role, text) in [
        (Role::User, "<environment_context>\n</environment_context>"),
        (Role::User, "do it"),
        (Role::Assistant, "done"),
    ] {
        fold.push(Remembered::Item(Item::Message(Message::text(role, text))));
    }
    let total = Usage { total: 7, ..Usage::default() };
    fold.push(Remembered::TokenCount { total, last: total, limits: None });
    let restored = Box::new(fold.finish().unwrap());
    let mut story = Story::new(settings());
    let which = Which::Id(conversation);
    story.command(Command::Fork { settings: Box::new(settings()), which });
    let op = story.restore_op();
    story.thread.slot = 1;
    story.feed(Input::Restored { op, result: Ok(restored) });
    (story, conversation)
}

#[test]
fn a_fork_has_an_id_of_its_own_and_copies_its_past_with_the_first_prompt() {
    let (mut story, parent) = forked();
    let [Event::ThreadStarted { conversation, resumed: true }] = story.events()[..] else {
        panic!("{:?}", story.events())
    };
    assert_ne!(*conversation, parent);
    assert!(story.records().is_empty(), "nothing is kept of what nobody goes on with");
    let view = story.agent.record_view(story.thread).unwrap();
    assert_eq!((view.conversation, view.forked_from), (*conversation, Some(parent)));
    story.prompt("go on");
    let op = story.open_op();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    // The past has been copied, with a first line before it.
    let records = story.records();
    assert!(!records.contains(&&Record::Meta), "{records:?}");
    let items = records.iter().filter(|record| matches!(record, Record::Item(_)));
    assert_eq!(items.collect::<Vec<_>>()[0], &&Record::Item(ItemIndex(3)));
}

#[test]
fn without_its_past_a_fork_records_nothing() {
    let end = |story: &mut Story, how| match how {
        0 => {
            let (op, why) = (story.open_op(), "disk full".into());
            story.feed(Input::Unopened { op, why });
            assert_eq!(story.failed(), Some(Failed::Record));
        }
        _ => {
            let op = story.open_op();
            story.interrupt();
            story.feed(Input::Stopped { op });
            assert_eq!(story.ended(), Some(&Ended::Interrupted));
        }
    };
    for how in [0, 1] {
        let (mut story, _) = forked();
        story.prompt("go on");
        end(&mut story, how);
        assert_eq!((story.all_records().count(), story.items().len()), (0, 3));
        story.command(Command::Compact { thread: story.thread });
        end(&mut story, how);
        assert_eq!(story.all_records().count(), 0);
        story.prompt("again");
        let op = story.open_op();
        story.feed(Input::Opened { op, facts: OpeningFacts::default() });
        let said = |record: &&&Record| matches!(record, Record::UserMessage(_));
        assert_eq!(story.records().iter().filter(said).count(), 2, "what waited is said too");
    }
}

#[test]
fn a_fork_is_summed_up_in_a_rollout_of_its_own() {
    let (mut story, _) = forked();
    story.command(Command::Compact { thread: story.thread });
    let op = story.open_op();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    assert!(story.tells(|event| matches!(event, Event::CompactionStarted)));
    assert_eq!(story.marks(), ["begins"]);
}
