//! Every bound of the machine, reached.

use super::*;

#[test]
fn no_more_threads_than_there_are_slots() {
    let mut story = Story::new(settings());
    for _ in 1..THREADS_MAX {
        story.command(Command::Start { settings: Box::new(settings()) });
        assert_eq!(story.refused(), None);
    }
    story.command(Command::Start { settings: Box::new(settings()) });
    assert_eq!(story.refused(), Some(Refusal::TooManyThreads));
    story.command(Command::Close { thread: story.thread });
    story.command(Command::Start { settings: Box::new(settings()) });
    assert_eq!(story.refused(), None);
}

#[test]
fn no_more_work_than_there_are_ops() {
    let mut ops = Ops::default();
    let thread = ThreadId { slot: 0, generation: 0 };
    let first = ops.start(thread, Work::Response).unwrap();
    for _ in 1..OPS_MAX {
        assert!(ops.start(thread, Work::Response).is_some());
    }
    assert_eq!(ops.start(thread, Work::Response), None);
    ops.end(first);
    assert!(ops.start(thread, Work::Response).is_some());
}

/// Takes every op there is; nobody waits for them, as `check` would say.
fn crowd(story: &mut Story) {
    while story.agent.ops.start(story.thread, Work::Errand).is_some() {}
}

#[test]
fn a_turn_without_an_op_fails() {
    let mut story = Story::new(settings());
    crowd(&mut story);
    let (thread, front) = (story.thread, FrontId(0));
    let parts = vec![Part::Text("do it".into())];
    story.handle(Input::Command { front, command: Command::Prompt { thread, parts } });
    assert_eq!(story.failed(), Some(Failed::Bound));
    assert!(story.tells(|event| matches!(event, Event::PromptTaken { .. })));
    let (settings, which) = (Box::new(settings()), Which::Last { cwd: None });
    story.handle(Input::Command { front, command: Command::Resume { settings, which } });
    assert_eq!(story.refused(), Some(Refusal::TooManyOps));
}

#[test]
fn a_call_without_an_op_is_answered() {
    let (mut story, op) = Story::asked(settings());
    for asked in [look("1"), look("2")] {
        story.say(op, ModelEvent::ItemDone(Item::Call(asked)));
    }
    crowd(&mut story);
    story.handle(Input::Model { op, event: completed() });
    let ops = story.look_ops();
    assert_eq!(ops.len(), 1, "the first takes what was the request's");
    story.handle(Input::Looked { op: ops[0], result: Ok(Seen::Text("a".into())) });
    assert_eq!(story.outputs(), ["a", "too much is running already; try again"]);
}

#[test]
fn a_response_has_no_more_items_than_it_may() {
    let (mut story, op) = Story::asked(settings());
    for _ in 0..RESPONSE_ITEMS_MAX {
        story.say(op, ModelEvent::ItemDone(Item::Call(call("1", "no_such_tool", ""))));
    }
    story.say(op, said("one more"));
    assert!(story.tells(|event| matches!(event, Event::Warning { .. })));
    story.say(op, said("and another"));
    assert!(story.effects.is_empty());
    for _ in 1..PROMPTS_WAITING_MAX {
        story.prompt("and then");
    }
    story.say(op, completed());
    assert_eq!(story.outputs().len(), RESPONSE_ITEMS_MAX);
    assert!(story.effects.len() <= EFFECTS_PER_INPUT_MAX);
}

#[test]
fn a_refusal_repeats_no_more_of_a_call_than_an_output_may_have() {
    let (mut story, op) = Story::asked(settings());
    let name = format!("{}!", "x".repeat(CALL_OUTPUT_BYTES_MAX));
    story.say(op, ModelEvent::ItemDone(Item::Call(call("1", &name, ""))));
    story.say(op, completed());
    let [output] = story.outputs().try_into().unwrap();
    assert!(output.starts_with("unsupported call: xxx") && output.ends_with("xxx!"), "{output}");
    assert!(output.len() <= CALL_OUTPUT_BYTES_MAX, "{}", output.len());
}

#[test]
fn a_partial_text_grows_no_further_than_it_may() {
    let (mut story, op) = Story::asked(settings());
    let large = "x".repeat(PARTIAL_BYTES_MAX);
    story.say(op, ModelEvent::TextDelta(&large));
    story.say(op, ModelEvent::TextDelta("y"));
    assert!(story.effects.is_empty());
    assert_eq!(story.agent.partial_text(story.thread).len(), PARTIAL_BYTES_MAX);
    story.say(op, ModelEvent::ReasoningDelta(&large));
    story.say(op, ModelEvent::ReasoningRawDelta("y"));
    assert!(story.effects.is_empty());
    assert_eq!(story.agent.partial_reasoning(story.thread).len(), PARTIAL_BYTES_MAX);
}

#[test]
fn no_more_prompts_wait_than_may() {
    let (mut story, _) = Story::asked(settings());
    for _ in 0..PROMPTS_WAITING_MAX {
        story.prompt("and then");
        assert_eq!(story.refused(), None);
    }
    story.prompt("one too many");
    assert_eq!(story.refused(), Some(Refusal::TooManyPrompts));
}

#[test]
fn the_oldest_approval_is_forgotten_first() {
    let mut approvals = Approvals::default();
    let command = |number: usize| CommandPlan {
        argv: vec!["make".into(), number.to_string()],
        workdir: "/w".into(),
        life: Life::Call { timeout_ms: 1 },
        escalation: None,
    };
    let untrusted = ThreadSettings { approval: ApprovalPolicy::Untrusted, ..settings() };
    for number in 0..=APPROVALS_REMEMBERED_MAX {
        approvals.remember(&Asked::Command(command(number)));
    }
    assert_eq!(approvals.count(), APPROVALS_REMEMBERED_MAX);
    let judge = |number| judge_command(&untrusted, &command(number), &approvals);
    assert_eq!(judge(0), Verdict::Ask(None));
    assert_eq!(judge(1), Verdict::Run(Confinement::Sandboxed));
    assert_eq!(judge(APPROVALS_REMEMBERED_MAX), Verdict::Run(Confinement::Sandboxed));
}

#[test]
fn no_more_retries_than_are_allowed_whatever_is_configured() {
    let endless =
        ThreadSettings { request_retries_max: 0, stream_retries_max: u32::MAX, ..settings() };
    let (mut story, mut op) = Story::asked(endless);
    for _ in 0..RETRIES_MAX {
        story.fail(op, FailureKind::Stream);
        assert_eq!(story.ended(), None);
        story.wait();
        op = story.request_op();
    }
    story.fail(op, FailureKind::Stream);
    assert_eq!(story.failed(), Some(Failed::Model(FailureKind::Stream)));
}

#[test]
fn no_retry_waits_longer_than_it_may() {
    let (mut story, mut op) = Story::asked(settings());
    let mut failure = ModelFailure::new(FailureKind::RateLimited, "come back");
    failure.retry_after_ms = Some(u64::MAX);
    story.say(op, ModelEvent::Failed(failure));
    assert_eq!(story.agent.next_deadline(), Some(story.now_ms + RETRY_DELAY_MS_MAX));
    story.wait();
    op = story.request_op();
    for _ in 0..3 {
        story.fail(op, FailureKind::Server);
        let delay_ms = story.agent.next_deadline().unwrap() - story.now_ms;
        assert!(delay_ms <= RETRY_DELAY_MS_MAX);
        story.wait();
        op = story.request_op();
    }
}

#[test]
fn no_more_calls_at_once_than_may() {
    let calls = (0..CALLS_PARALLEL_MAX + 2).map(|number| look(&number.to_string())).collect();
    let mut story = Story::calling(settings(), calls);
    let ops = story.look_ops();
    assert_eq!(ops.len(), CALLS_PARALLEL_MAX);
    story.feed(Input::Looked { op: ops[3], result: Ok(Seen::Text("a".into())) });
    assert_eq!(story.look_ops().len(), 1);
}

#[test]
fn a_prompt_fits_a_line_of_its_rollout() {
    let mut story = Story::new(settings());
    let (thread, text) = (story.thread, "\u{1}".repeat(ROLLOUT_LINE_BYTES_MAX / 6));
    let parts = vec![Part::Text(text.into())];
    story.command(Command::Prompt { thread, parts });
    assert_eq!(story.refused(), Some(Refusal::PromptTooLong));
    let text = "\n".repeat(ROLLOUT_LINE_BYTES_MAX / 2 - 1000);
    let parts = vec![Part::Text(format!("x{text}").into())];
    story.command(Command::Prompt { thread, parts });
    assert_eq!(story.refused(), None);
}
