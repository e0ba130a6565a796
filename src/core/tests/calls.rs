//! Calls: from asked to answered.

use super::*;

/// The text of the only output.
#[track_caller]
fn check(call: CallAsked, expected: &str) {
    let story = Story::calling(settings(), vec![call]);
    assert_eq!(story.outputs(), [expected]);
    assert!(story.does(|effect| matches!(effect, Effect::Request { .. })), "the model is asked on");
}

#[test]
fn a_call_turn_records_before_it_acts() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"]"#)]);
    let item = ItemIndex(2);
    assert_eq!(story.records(), [&Record::Item(item)]);
    assert!(matches!(story.effects[0], Effect::Append { .. }));
    assert!(matches!(story.effects[1], Effect::Spawn { .. }));
    let started = |event: &Event| {
        matches!(event, Event::CommandStarted { call: CallId(0), item: ItemIndex(2), .. })
    };
    assert!(story.tells(started));
    story.exit(story.spawn_op(), 3);
    let ended = CommandEnd::Exited { exit_code: 3 };
    let output = ItemIndex(3);
    assert_eq!(story.records(), [&Record::Item(output)]);
    assert_eq!(story.events(), [&Event::CommandEnded { call: CallId(0), item: output, ended }]);
    let op = story.request_op();
    assert_eq!(story.agent.request_view(op).unwrap().items.len(), 4);
    story.say(op, completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn calls_run_one_after_the_other() {
    let calls = vec![shell("1", r#"["make"]"#), shell("2", r#"["make"]"#)];
    let mut story = Story::calling(settings(), calls);
    let first = story.spawn_op();
    let spawned = |effect: &&Effect| matches!(effect, Effect::Spawn { .. });
    assert_eq!(story.effects.iter().filter(spawned).count(), 1);
    story.exit(first, 0);
    let second = story.spawn_op();
    assert!(!story.does(|effect| matches!(effect, Effect::Request { .. })));
    story.exit(second, 0);
    assert_eq!(story.outputs(), ["out", "out"]);
    story.request_op();
}

#[test]
fn looks_run_side_by_side_and_are_answered_in_order() {
    let mut story = Story::calling(settings(), vec![look("1"), look("2"), look("3")]);
    let ops = story.look_ops();
    assert_eq!(ops.len(), 3);
    story.feed(Input::Looked { op: ops[2], result: Ok(Seen::Text("c".into())) });
    assert!(story.effects.is_empty(), "it waits for those before it");
    story.feed(Input::Looked { op: ops[0], result: Ok(Seen::Text("a".into())) });
    assert_eq!(story.outputs(), ["a"]);
    story.feed(Input::Looked { op: ops[1], result: Err("b".into()) });
    assert_eq!(story.outputs(), ["a", "b", "c"]);
    story.request_op();
}

#[test]
fn looks_run_alone_where_calls_are_not_parallel() {
    let alone = ThreadSettings { parallel_tool_calls: false, ..settings() };
    let story = Story::calling(alone, vec![look("1"), look("2")]);
    assert_eq!(story.look_ops().len(), 1);
}

#[test]
fn calls_that_make_no_sense_are_answered() {
    check(call("1", "no_such_tool", "{}"), "unsupported call: no_such_tool");
    let custom = CallAsked { kind: CallKind::Custom, ..call("1", "shell", "ls") };
    check(custom, "unsupported custom tool call: shell");
    let arguments = call("1", "shell", r#"{"command":[]}"#);
    check(arguments, "the command's arguments are empty");
}

#[test]
fn a_task_list_is_told() {
    let arguments = r#"{"plan":[{"step":"a","status":"pending"}]}"#;
    let story = Story::calling(settings(), vec![call("1", "update_plan", arguments)]);
    assert!(story.tells(|event| matches!(event, Event::TasksUpdated { .. })));
    assert_eq!(story.outputs(), ["Plan updated"]);
}

#[test]
fn calls_of_one_id_get_ids_of_their_own() {
    let calls = vec![call("1", "x", ""), call("1", "y", ""), call("1_2", "z", "")];
    let story = Story::calling(settings(), calls);
    let ids = story.items().iter().filter_map(|item| match item {
        Item::Call(call) => Some(&*call.call_id),
        Item::Output(output) => Some(&*output.call_id),
        _ => None,
    });
    let ids: Vec<&str> = ids.collect();
    assert_eq!(ids, ["1", "1_2", "1_2_2", "1", "1_2", "1_2_2"]);
}

#[test]
fn a_timeout_terminates_then_kills_then_gives_up() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"],"timeout_ms":50"#)]);
    let op = story.spawn_op();
    let start_ms = story.now_ms;
    story.wait();
    assert_eq!(story.now_ms, start_ms + 50);
    assert_eq!(story.effects, [Effect::Stop { op, how: Stop::Terminate }]);
    story.wait();
    assert_eq!(story.effects, [Effect::Stop { op, how: Stop::Kill }]);
    story.wait();
    assert_eq!(story.now_ms, start_ms + 50 + STOP_GRACE_MS + KILL_GRACE_MS);
    assert_eq!(story.outputs(), ["gave no answer within 50 ms and was stopped"]);
    story.exit(op, 0);
    assert_eq!(story.agent.late_count(), 1);
}

#[test]
fn a_command_that_ends_at_its_timeout_says_so() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"],"timeout_ms":50"#)]);
    let op = story.spawn_op();
    story.wait();
    story.exit(op, 0);
    assert_eq!(story.outputs(), ["command timed out after 50 milliseconds\nout"]);
    let timed_out = CommandEnd::Exited { exit_code: 124 };
    assert!(
        story.tells(
            |event| matches!(event, Event::CommandEnded { ended, .. } if *ended == timed_out)
        )
    );
}

#[test]
fn a_command_that_never_ran_is_answered_in_words() {
    let mut story = Story::calling(settings(), vec![shell("1", r#"["make"]"#)]);
    let op = story.spawn_op();
    let ended = CommandEnded::NotStarted { why: "no sandbox".into() };
    let end = CommandResult { ended, output: "".into(), lines_total: None };
    story.feed(Input::Exited { op, end });
    assert_eq!(story.outputs(), ["the command was not run: no sandbox"]);
}

#[test]
fn a_patch_is_inspected_then_applied() {
    let mut story = Story::calling(settings(), vec![patch("1")]);
    let op = story.inspect_op();
    story.feed(Input::Inspected { op, result: Ok(vec![change("/w/a")]) });
    let apply = |effect: &Effect| match effect {
        Effect::Apply { op, expected, confinement: Confinement::Sandboxed, .. } => {
            assert_eq!(expected, &[change("/w/a")]);
            Some(*op)
        }
        _ => None,
    };
    let op = story.op(apply);
    assert!(story.tells(|event| matches!(event, Event::PatchStarted { .. })));
    story.feed(Input::Applied { op, result: Ok("Success.".into()) });
    assert!(story.tells(|event| matches!(event, Event::PatchEnded { applied: true, .. })));
    assert_eq!(story.outputs(), ["Success."]);
}

#[test]
fn a_patch_that_cannot_be_applied_is_answered() {
    let mut story = Story::calling(settings(), vec![patch("1"), patch("2")]);
    let op = story.inspect_op();
    story.feed(Input::Inspected { op, result: Err("no such file".into()) });
    let op = story.inspect_op();
    story.feed(Input::Inspected { op, result: Ok(Vec::new()) });
    let expected = ["apply_patch verification failed: no such file", "the patch changes nothing"];
    assert_eq!(story.outputs(), expected);
}

#[test]
fn work_that_was_dropped_is_answered() {
    let mut story = Story::calling(settings(), vec![patch("1"), look("2")]);
    let op = story.inspect_op();
    story.feed(Input::Stopped { op });
    let op = story.look_ops()[0];
    story.feed(Input::Stopped { op });
    assert_eq!(story.outputs(), ["was stopped before it could answer"; 2]);
}
