//! Turns: a prompt until the agent rests.

use super::*;

#[test]
fn a_text_turn_is_recorded_and_told() {
    let mut story = Story::new(settings());
    story.prompt("do it");
    assert_eq!(story.events(), [&Event::TurnStarted { turn: TurnId(1) }]);
    let op = story.open_op();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    let op = story.request_op();
    let item = ItemIndex(1);
    let expected = [
        &Record::Meta,
        &Record::Item(ItemIndex(0)),
        &Record::Item(item),
        &Record::UserMessage(item),
        &Record::TurnContext,
    ];
    assert_eq!(story.records(), expected);
    assert_eq!(story.events(), [&Event::PromptTaken { item }]);
    assert_eq!(story.agent.request_view(op).unwrap().items.len(), 2);

    story.say(op, ModelEvent::TextDelta("an "));
    story.say(op, ModelEvent::TextDelta("answer"));
    assert_eq!(story.events(), [&Event::TextDelta { from_bytes: 3 }]);
    assert_eq!(story.agent.partial_text(story.thread), "an answer");
    story.say(op, said("an answer"));
    let item = ItemIndex(2);
    assert_eq!(story.records(), [&Record::Item(item), &Record::AgentMessage(item)]);
    assert_eq!(story.events(), [&Event::ItemCompleted { item }]);
    assert_eq!(story.agent.partial_text(story.thread), "");

    let last = Usage { input: 5, total: 7, ..Usage::default() };
    story.say(op, ModelEvent::Completed { usage: Some(last) });
    assert_eq!(story.records(), [&Record::TokenCount { total: last, last, limits: None }]);
    let turn = TurnId(1);
    let ended = Event::TurnEnded { turn, how: Ended::Completed, usage: last };
    assert_eq!(story.events(), [&Event::Tokens { last, turn: last, total: last }, &ended]);
    assert_eq!(story.agent.next_deadline(), None);
}

#[test]
fn a_second_turn_says_only_what_is_new() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, completed());
    story.prompt("again");
    let item = ItemIndex(2);
    let expected = [&Record::Item(item), &Record::UserMessage(item), &Record::TurnContext];
    assert_eq!(story.records(), expected);
    story.say(story.request_op(), completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn what_comes_after_the_end_is_dropped() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, completed());
    story.say(op, completed());
    story.say(op, said("more"));
    story.fail(op, FailureKind::Server);
    assert!(story.effects.is_empty());
    assert_eq!(story.agent.late_count(), 3);
}

#[test]
fn a_prompt_that_waits_makes_another_request_of_the_same_turn() {
    let (mut story, op) = Story::asked(settings());
    story.prompt("and this");
    assert!(story.effects.is_empty());
    story.say(op, said("an answer"));
    story.say(op, completed());
    assert_eq!(story.events(), [&Event::PromptTaken { item: ItemIndex(3) }]);
    story.say(story.request_op(), completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn an_empty_prompt_is_refused() {
    let mut story = Story::new(settings());
    story.prompt(" \n");
    assert_eq!(story.refused(), Some(Refusal::EmptyPrompt));
    story.command(Command::Prompt { thread: story.thread, parts: Vec::new() });
    assert_eq!(story.refused(), Some(Refusal::EmptyPrompt));
}

#[test]
fn commands_that_do_not_fit_are_refused() {
    let mut story = Story::new(settings());
    story.interrupt();
    assert_eq!(story.refused(), Some(Refusal::NothingRuns));
    story.answer(0, Decision::Approved);
    assert_eq!(story.refused(), Some(Refusal::NoQuestion));
    story.thread.generation = 1;
    story.prompt("anybody there");
    assert_eq!(story.refused(), Some(Refusal::NoSuchThread));
}

#[test]
fn a_request_that_failed_is_sent_again_in_silence() {
    let (mut story, op) = Story::asked(settings());
    story.fail(op, FailureKind::Server);
    assert!(story.effects.is_empty());
    story.wait();
    story.say(story.request_op(), completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn a_stream_that_broke_is_told_and_tried_again() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, ModelEvent::TextDelta("half an"));
    story.fail(op, FailureKind::Stream);
    let retrying = |event: &Event| {
        matches!(event, Event::Retrying { attempt: 1, attempts_max: 5, delay_ms: 180..=220, .. })
    };
    assert!(story.tells(retrying));
    assert_eq!(story.agent.partial_text(story.thread), "");
    story.wait();
    story.say(story.request_op(), said("an answer"));
    assert_eq!(story.items().len(), 3, "the half answer is gone");
}

#[test]
fn a_broken_stream_leaves_no_call() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, said("I will"));
    story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["make"]"#))));
    story.fail(op, FailureKind::Stream);
    story.wait();
    let op = story.request_op();
    story.say(op, completed());
    assert_eq!(story.items().len(), 3, "what was said stays, what was asked for does not");
}

#[test]
fn retries_that_are_used_up_fail_the_turn() {
    let few = ThreadSettings { request_retries_max: 2, stream_retries_max: 1, ..settings() };
    let (mut story, mut op) = Story::asked(few);
    for _ in 0..5 {
        story.fail(op, FailureKind::Unreachable);
        assert_eq!(story.ended(), None);
        story.wait();
        op = story.request_op();
    }
    story.say(op, ModelEvent::TextDelta("half an"));
    story.fail(op, FailureKind::Unreachable);
    assert_eq!(story.failed(), Some(Failed::Model(FailureKind::Unreachable)));
    assert_eq!(story.failure(), "gave up after 6 attempts in 2 s: as told");
    let half = Item::Message(Message::text(Role::Assistant, "half an"));
    assert_eq!(story.items().last(), Some(&half));
}

#[test]
fn some_failures_do_not_come_back() {
    for kind in [
        FailureKind::ContextFull,
        FailureKind::Limit,
        FailureKind::Refused,
        FailureKind::Overloaded,
        FailureKind::Credentials,
        FailureKind::Setup,
    ] {
        let (mut story, op) = Story::asked(settings());
        story.fail(op, kind);
        assert_eq!(story.failed(), Some(Failed::Model(kind)));
        assert_eq!(story.failure(), "as told");
    }
}

/// Tries a provider, each attempt failing after so long, until the turn ends: how many attempts
/// were made, and how long it took.
fn tried(attempt_ms: u64, settings: ThreadSettings) -> (u32, u64, Story) {
    let (mut story, mut op) = Story::asked(settings);
    let began_ms = story.now_ms;
    for attempts in 1.. {
        story.now_ms += attempt_ms;
        story.fail(op, FailureKind::Unreachable);
        if story.failed().is_some() {
            return (attempts, story.now_ms - began_ms, story);
        }
        story.wait();
        op = story.request_op();
    }
    unreachable!("attempts end")
}

#[test]
fn a_provider_that_cannot_be_reached_ends_the_turn_within_a_minute() {
    // Refused at once, lost names, names without an answer, and addresses that swallow everything.
    for (attempt_ms, attempts) in [(0, 30), (10, 30), (RESOLVE_MS_MAX, 4), (CONNECT_MS, 3)] {
        let (tried, took_ms, story) = tried(attempt_ms, settings());
        assert_eq!(tried, attempts);
        assert!((20_000..60_000).contains(&took_ms), "{took_ms}");
        let seconds = took_ms.div_ceil(1000);
        let told = format!("gave up after {attempts} attempts in {seconds} s: as told");
        assert_eq!(story.failure(), told);
        assert_eq!(story.agent.next_deadline(), None);
    }
}

#[test]
fn no_number_of_retries_makes_an_unreachable_provider_worth_more_time() {
    let endless = ThreadSettings {
        request_retries_max: u32::MAX,
        stream_retries_max: u32::MAX,
        ..settings()
    };
    for attempt_ms in [0, 1, CONNECT_MS] {
        let (_, took_ms, _) = tried(attempt_ms, endless.clone());
        assert!(took_ms <= UNREACHABLE_MS_MAX + CONNECT_MS, "{took_ms}");
    }
}

#[test]
fn a_provider_that_was_heard_gets_new_time() {
    let (mut story, mut op) = Story::asked(settings());
    for kind in [FailureKind::Server, FailureKind::RateLimited, FailureKind::Stream] {
        story.now_ms += UNREACHABLE_MS_MAX;
        story.fail(op, kind);
        story.wait();
        op = story.request_op();
        story.now_ms += CONNECT_MS;
        story.fail(op, FailureKind::Unreachable);
        assert_eq!(story.ended(), None);
        story.wait();
        op = story.request_op();
    }
    story.now_ms += UNREACHABLE_MS_MAX;
    story.fail(op, FailureKind::Unreachable);
    assert_eq!(story.failed(), Some(Failed::Model(FailureKind::Unreachable)));
}

#[test]
fn the_last_limits_that_were_told_are_kept() {
    let (mut story, op) = Story::asked(settings());
    let window = RateWindow { used_percent: 12.5, window_minutes: Some(300), resets_at: Some(9) };
    let limits = RateLimits { primary: Some(window), secondary: None };
    story.say(op, ModelEvent::Limits(limits));
    assert_eq!(story.events(), [&Event::Limits { limits }]);
    let nothing = Usage::default();
    let early = Record::TokenCount { total: nothing, last: nothing, limits: Some(limits) };
    assert_eq!(story.records(), [&early]);
    story.say(op, ModelEvent::Limits(limits));
    assert!(story.records().is_empty(), "the same is not recorded again");
    story.say(op, completed());
    // The next response says nothing of limits.
    story.prompt("again");
    let op = story.request_op();
    let last = Usage { total: 7, ..Usage::default() };
    story.say(op, ModelEvent::Completed { usage: Some(last) });
    let limits = Some(limits);
    assert_eq!(story.records(), [&Record::TokenCount { total: last, last, limits }]);
}

#[test]
fn a_full_window_is_told_by_totals() {
    let (mut story, op) =
        Story::asked(ThreadSettings { context_window: Some(1_000), ..settings() });
    story.fail(op, FailureKind::ContextFull);
    let full = Usage { total: 1_000, ..Usage::default() };
    assert_eq!(story.records()[0], &Record::TokenCount { total: full, last: full, limits: None });
    let turn = Usage::default();
    assert!(story.tells(|event| *event == Event::Tokens { last: full, turn, total: full }));
}

#[test]
fn a_stream_that_says_nothing_is_given_up() {
    let (mut story, op) = Story::asked(settings());
    story.now_ms += 200_000;
    story.say(op, ModelEvent::Created);
    story.wait();
    assert_eq!(story.now_ms, 501_000, "each event starts the time anew");
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Kill }));
    assert!(story.tells(|event| matches!(event, Event::Retrying { .. })));
    story.feed(Input::Stopped { op });
    assert!(story.effects.is_empty());
    story.wait();
    story.say(story.request_op(), completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn a_request_that_was_dropped_counts_as_broken() {
    let (mut story, op) = Story::asked(settings());
    story.feed(Input::Stopped { op });
    assert!(story.tells(|event| matches!(event, Event::Retrying { .. })));
}

#[test]
fn an_interrupt_while_facts_are_gathered_keeps_the_prompt() {
    let mut story = Story::new(settings());
    story.prompt("do it");
    let op = story.open_op();
    story.interrupt();
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    assert_eq!(story.events(), [&Event::TurnStopping { turn: TurnId(1) }]);
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert!(story.tells(|event| matches!(event, Event::PromptTaken { .. })));
    assert!(matches!(story.records().last(), Some(Record::TurnAborted { .. })));
}

#[test]
fn an_interrupt_keeps_what_the_model_had_written() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, ModelEvent::TextDelta("half an"));
    story.interrupt();
    let half = Item::Message(Message::text(Role::Assistant, "half an"));
    assert_eq!(story.items().last(), Some(&half));
    assert_eq!(story.ended(), None);
    story.say(op, ModelEvent::TextDelta(" answer"));
    assert!(story.effects.is_empty(), "only its end is listened for");
    story.say(op, completed());
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
}

#[test]
fn an_interrupt_between_two_tries_ends_the_turn_at_once() {
    let (mut story, op) = Story::asked(settings());
    story.fail(op, FailureKind::Stream);
    story.interrupt();
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert_eq!(story.agent.next_deadline(), None);
}

#[test]
fn an_interrupt_while_calls_run_answers_them() {
    let calls = vec![shell("1", r#"["make"]"#), shell("2", r#"["make"]"#)];
    let mut story = Story::calling(settings(), calls);
    let op = story.spawn_op();
    story.now_ms += 1_250;
    story.interrupt();
    assert_eq!(story.outputs(), [""; 0], "answers keep their order");
    story.exit(op, 0);
    let aborted = "Wall time: 1.2 seconds\naborted by user\nOutput:\nout";
    assert_eq!(story.outputs(), [aborted, "aborted by user after 0.0s"]);
    let interrupted =
        |event: &Event| matches!(event, Event::CommandEnded { ended: CommandEnd::Interrupted, .. });
    assert!(story.tells(interrupted));
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert!(matches!(story.records().last(), Some(Record::TurnAborted { .. })));
}

#[test]
fn a_command_that_is_given_up_is_answered_without_output() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"]"#)]);
    let op = story.spawn_op();
    for _ in 0..3 {
        story.interrupt();
    }
    assert_eq!(story.outputs(), ["Wall time: 0.0 seconds\naborted by user"]);
    story.exit(op, 0);
    assert_eq!(story.agent.late_count(), 1);
}

#[test]
fn a_patch_that_was_applied_before_it_could_be_stopped_is_answered_as_such() {
    let mut story = Story::calling(settings(), vec![patch("1")]);
    let changes = vec![change("/w/a")];
    story.feed(Input::Inspected { op: story.inspect_op(), result: Ok(changes) });
    let op = story.op(|effect| match effect {
        Effect::Apply { op, .. } => Some(*op),
        _ => None,
    });
    story.interrupt();
    assert_eq!(story.outputs(), [""; 0]);
    story.feed(Input::Applied { op, result: Ok("Success.".into()) });
    assert_eq!(story.outputs(), ["Success."]);
    assert!(story.tells(|event| matches!(event, Event::PatchEnded { applied: true, .. })));
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
}

#[test]
fn a_second_interrupt_kills_and_a_third_does_not_wait() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"]"#)]);
    let op = story.spawn_op();
    story.interrupt();
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    story.interrupt();
    assert_eq!(story.effects, [Effect::Stop { op, how: Stop::Kill }]);
    story.interrupt();
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    story.exit(op, 0);
    assert!(story.effects.is_empty());
    assert_eq!(story.agent.late_count(), 1);
}

#[test]
fn work_that_ignores_the_interrupt_is_killed_and_then_given_up() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"]"#)]);
    let op = story.spawn_op();
    let start_ms = story.now_ms;
    story.interrupt();
    story.wait();
    assert_eq!(story.now_ms, start_ms + STOP_GRACE_MS);
    assert_eq!(story.effects, [Effect::Stop { op, how: Stop::Kill }]);
    story.wait();
    assert_eq!(story.now_ms, start_ms + STOP_GRACE_MS + KILL_GRACE_MS);
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
}

#[test]
fn closing_stops_the_turn_first() {
    let (mut story, op) = Story::asked(settings());
    story.command(Command::Close { thread: story.thread });
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    assert!(!story.tells(|event| *event == Event::ThreadClosed));
    story.feed(Input::Stopped { op });
    assert_eq!(story.events().last(), Some(&&Event::ThreadClosed));
    assert!(story.does(|effect| matches!(effect, Effect::Release { .. })));
}

#[test]
fn a_deadline_that_is_not_due_does_nothing() {
    let (mut story, _) = Story::asked(settings());
    story.feed(Input::Deadline);
    assert!(story.effects.is_empty());
}

#[test]
fn a_response_that_was_cut_short_still_counts() {
    let (mut story, op) = Story::asked(settings());
    story.say(op, said("as far as"));
    story.say(op, ModelEvent::CutShort);
    assert!(story.tells(|event| matches!(event, Event::Warning { .. })));
    story.say(op, completed());
    assert!(
        story.tells(|event| { matches!(event, Event::TurnEnded { how: Ended::Completed, .. }) })
    );
}

#[test]
fn only_the_turn_that_is_meant_is_steered() {
    let (mut story, op) = Story::asked(settings());
    let thread = story.thread;
    let steer = |turn| {
        let parts = vec![Part::Text("left!".into())];
        Command::Steer { thread, turn: TurnId(turn), parts }
    };
    story.command(steer(0));
    assert_eq!(story.refused(), Some(Refusal::NoSuchTurn));
    story.command(steer(1));
    assert_eq!(story.refused(), None);
    story.say(op, said("done"));
    story.say(op, completed());
    assert!(story.tells(|event| matches!(event, Event::PromptTaken { .. })));
    let op = story.request_op();
    story.say(op, completed());
    story.command(steer(1));
    assert_eq!(story.refused(), Some(Refusal::NoSuchTurn));
    story.command(Command::Compact { thread });
    story.command(steer(2));
    assert_eq!(story.refused(), Some(Refusal::NotSteerable(Unsteerable::Compaction)));
}
