//! Questions and their answers.

use super::*;

fn untrusted() -> ThreadSettings {
    ThreadSettings { approval: ApprovalPolicy::Untrusted, ..settings() }
}

fn asks(story: &Story) -> bool {
    story.tells(|event| matches!(event, Event::ApprovalAsked { .. }))
}

fn spawns(story: &Story) -> bool {
    story.does(|effect| matches!(effect, Effect::Spawn { .. }))
}

#[test]
fn nothing_runs_before_the_answer_yes() {
    let mut story = Story::calling(untrusted(), vec![shell("1", r#"["make"]"#)]);
    assert!(asks(&story) && !spawns(&story));
    assert_eq!(story.agent.next_deadline(), None, "a person has all the time in the world");
    story.answer(1, Decision::Approved);
    assert_eq!(story.refused(), Some(Refusal::NoQuestion));
    story.answer(0, Decision::Approved);
    assert_eq!(story.events()[0], &Event::ApprovalSettled { call: CallId(0) });
    assert!(spawns(&story));
    story.answer(0, Decision::Approved);
    assert_eq!(story.refused(), Some(Refusal::NoQuestion), "an answer counts once");
}

#[test]
fn a_no_goes_back_to_the_model() {
    let mut story = Story::calling(untrusted(), vec![shell("1", r#"["make"]"#)]);
    story.answer(0, Decision::Denied);
    assert!(!spawns(&story));
    assert!(
        story.tells(|event| matches!(
            event,
            Event::CommandEnded { ended: CommandEnd::Declined, .. }
        ))
    );
    assert!(story.outputs()[0].starts_with("rejected by the user"));
    story.request_op();
}

#[test]
fn what_is_asked_about_is_told_first_and_its_end_last() {
    for decision in [Decision::Denied, Decision::Abort] {
        let mut story = Story::calling(untrusted(), vec![shell("1", r#"["make"]"#)]);
        let [.., started, asked] = story.events()[..] else { panic!("two things are told") };
        assert!(matches!(started, Event::CommandStarted { call: CallId(0), .. }));
        assert!(matches!(asked, Event::ApprovalAsked { call: CallId(0), .. }));
        story.answer(0, decision);
        let ended = CommandEnd::Declined;
        let told = |event: &Event| matches!(event, Event::CommandEnded { ended: how, .. } if *how == ended);
        assert!(story.tells(told));
        assert!(!story.tells(|event| matches!(event, Event::CommandStarted { .. })));
    }
}

#[test]
fn an_interrupt_takes_a_question_back() {
    let mut story = Story::calling(untrusted(), vec![shell("1", r#"["make"]"#)]);
    story.interrupt();
    assert_eq!(story.events()[0], &Event::ApprovalSettled { call: CallId(0) });
    let ended = CommandEnd::Interrupted;
    assert!(
        story.tells(
            |event| matches!(event, Event::CommandEnded { ended: how, .. } if *how == ended)
        )
    );
    assert_eq!(story.outputs(), ["Wall time: 0.0 seconds\naborted by user"]);
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    story.answer(0, Decision::Approved);
    assert_eq!(story.refused(), Some(Refusal::NoQuestion), "it comes too late");
}

#[test]
fn an_abort_ends_the_turn() {
    let calls = vec![shell("1", r#"["make"]"#), shell("2", r#"["make"]"#)];
    let mut story = Story::calling(untrusted(), calls);
    story.answer(0, Decision::Abort);
    assert!(!spawns(&story));
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert_eq!(story.outputs().len(), 2);
}

#[test]
fn an_approval_for_the_session_is_remembered() {
    let calls = vec![shell("1", r#"["make"]"#), shell("2", r#"["make"]"#)];
    let mut story = Story::calling(untrusted(), calls);
    story.answer(0, Decision::ApprovedForSession);
    story.exit(story.spawn_op(), 0);
    assert!(spawns(&story) && !asks(&story));
}

#[test]
fn an_approval_is_for_one_command_in_one_place() {
    let elsewhere = shell("3", r#"["make"],"workdir":"/elsewhere""#);
    let calls = vec![shell("1", r#"["make"]"#), shell("2", r#"["make","all"]"#), elsewhere];
    let mut story = Story::calling(untrusted(), calls);
    story.answer(0, Decision::ApprovedForSession);
    story.exit(story.spawn_op(), 0);
    assert!(asks(&story) && !spawns(&story));
    story.answer(1, Decision::Approved);
    story.exit(story.spawn_op(), 0);
    assert!(asks(&story) && !spawns(&story));
}

#[test]
fn known_safe_commands_run_unasked() {
    let story = Story::calling(untrusted(), vec![shell("1", r#"["ls"]"#)]);
    assert!(spawns(&story) && !asks(&story));
}

#[test]
fn leaving_the_sandbox_is_asked_only_on_request() {
    let escalated = || shell("1", r#"["make"],"with_escalated_permissions":true"#);
    for approval in [ApprovalPolicy::Never, ApprovalPolicy::OnFailure, ApprovalPolicy::Untrusted] {
        let story = Story::calling(ThreadSettings { approval, ..settings() }, vec![escalated()]);
        assert!(!asks(&story) && !spawns(&story));
        assert!(story.outputs()[0].contains("only under on-request"));
    }
    let on_request = ThreadSettings { approval: ApprovalPolicy::OnRequest, ..settings() };
    let mut story = Story::calling(on_request, vec![escalated()]);
    assert!(asks(&story));
    story.answer(0, Decision::Approved);
    assert!(story.does(|effect| {
        matches!(effect, Effect::Spawn { confinement: Confinement::Unconfined, .. })
    }));
}

#[test]
fn a_patch_outside_the_project_is_asked_or_refused() {
    for (approval, asked) in [(ApprovalPolicy::Never, false), (ApprovalPolicy::OnRequest, true)] {
        let mut story = Story::calling(ThreadSettings { approval, ..settings() }, vec![patch("1")]);
        let op = story.inspect_op();
        story.feed(Input::Inspected { op, result: Ok(vec![change("/w/../etc/passwd")]) });
        assert_eq!(asks(&story), asked);
        assert!(!story.does(|effect| matches!(effect, Effect::Apply { .. })));
    }
}

#[test]
fn a_patch_that_was_approved_is_applied_as_it_was_shown() {
    let mut story = Story::calling(untrusted(), vec![patch("1")]);
    let op = story.inspect_op();
    story.feed(Input::Inspected { op, result: Ok(vec![change("/etc/passwd")]) });
    story.answer(0, Decision::Approved);
    assert!(story.does(|effect| matches!(
        effect,
        Effect::Apply { expected, confinement: Confinement::Unconfined, .. }
            if *expected == [change("/etc/passwd")]
    )));
}

/// Lets the model patch these files, as they were found; gives how it is applied, if it is unasked.
fn patched(story: &mut Story, files: &[&str]) -> Option<Confinement> {
    let changes: Vec<Change> = files.iter().map(|path| change(path)).collect();
    story.feed(Input::Inspected { op: story.inspect_op(), result: Ok(changes) });
    if asks(story) {
        return None;
    }
    story.effects.iter().find_map(|effect| match effect {
        Effect::Apply { confinement, .. } => Some(*confinement),
        _ => None,
    })
}

#[test]
fn files_that_were_approved_for_the_session_are_patched_unasked() {
    use Confinement::{Sandboxed, Unconfined};
    let on_request = ThreadSettings { approval: ApprovalPolicy::OnRequest, ..settings() };
    for (settings, files, again) in [
        // (what is approved and patched again, how)
        (untrusted(), &["/w/a", "/w/b"][..], Some(Sandboxed)),
        (untrusted(), &["/etc/a"], Some(Unconfined)),
        (untrusted(), &["/w/.git/config"], Some(Unconfined)),
        // A link may stand where a command can write.
        (untrusted(), &["/w/a", "/etc/a"], None),
        (on_request.clone(), &["/etc/a", "/etc/b"], Some(Unconfined)),
        (on_request, &["/w/a", "/etc/a"], None),
    ] {
        let calls = (0..4).map(|number| patch(&number.to_string())).collect();
        let mut story = Story::calling(settings, calls);
        assert_eq!(patched(&mut story, files), None);
        story.answer(0, Decision::ApprovedForSession);
        let op = story.op(|effect| match effect {
            Effect::Apply { op, .. } => Some(*op),
            _ => None,
        });
        story.feed(Input::Applied { op, result: Ok("Success.".into()) });
        assert_eq!(patched(&mut story, files), again, "{files:?}");
        match again {
            None => story.answer(1, Decision::Denied),
            Some(_) => {
                let op = story.op(|effect| match effect {
                    Effect::Apply { op, .. } => Some(*op),
                    _ => None,
                });
                story.feed(Input::Applied { op, result: Ok("Success.".into()) });
            }
        }
        assert_eq!(patched(&mut story, &["/etc/other"]), None, "another file was not approved");
    }
}

#[test]
fn temporary_files_are_patched_where_commands_may_write_them() {
    for (excluded, tmpdir, path, told) in [
        (false, Some("/run/mine"), "/run/mine/a", Some(Confinement::Sandboxed)),
        (true, Some("/run/mine"), "/run/mine/a", None),
        (false, None, "/run/mine/a", None),
        (false, None, "/tmp/a", Some(Confinement::Sandboxed)),
        (false, None, "/w/.agents/a", None),
        (false, None, "/w/.aws/a", None),
    ] {
        let approval = ApprovalPolicy::OnRequest;
        let mut settings = ThreadSettings { approval, ..settings() };
        settings.sandbox.tmpdir = tmpdir.map(Into::into);
        settings.sandbox.exclude_tmpdir_env_var = excluded;
        let mut story = Story::calling(settings, vec![patch("1")]);
        assert_eq!(patched(&mut story, &[path]), told, "{path}");
    }
}
