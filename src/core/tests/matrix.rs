//! The matrix of approval policies and sandboxes, row by row.

use super::*;
use crate::words::policy::{SandboxMode, SandboxPolicy};

const SAFE: &str = r#"["ls"]"#;
const DANGEROUS: &str = r#"["rm","-rf","x"]"#;
const USUAL: &str = r#"["make"]"#;
const RESTRICTED: [SandboxMode; 2] = [SandboxMode::ReadOnly, SandboxMode::WorkspaceWrite];
const FULL: [SandboxMode; 1] = [SandboxMode::DangerFullAccess];

/// What a row says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Confined,
    Unconfined,
    AskedThenConfined,
    AskedThenUnconfined,
    Refused,
}
use Told::{AskedThenConfined, AskedThenUnconfined, Confined, Refused, Unconfined};

fn of(approval: ApprovalPolicy, mode: SandboxMode) -> ThreadSettings {
    ThreadSettings { approval, sandbox: SandboxPolicy::of(mode), ..settings() }
}

fn spawned(story: &Story) -> Option<Confinement> {
    story.effects.iter().find_map(|effect| match effect {
        Effect::Spawn { confinement, .. } => Some(*confinement),
        _ => None,
    })
}

fn applied(story: &Story) -> Option<Confinement> {
    story.effects.iter().find_map(|effect| match effect {
        Effect::Apply { confinement, .. } => Some(*confinement),
        _ => None,
    })
}

fn question(story: &Story) -> Option<Question> {
    story.events().into_iter().find_map(|event| match event {
        Event::ApprovalAsked { question, .. } => Some(question.clone()),
        _ => None,
    })
}

fn told(mut story: Story, done: impl Fn(&Story) -> Option<Confinement>) -> Told {
    let asked = question(&story).is_some();
    if asked {
        assert_eq!(done(&story), None, "nothing is done before the answer");
        story.answer(0, Decision::Approved);
    }
    match (asked, done(&story)) {
        (false, Some(Confinement::Sandboxed)) => Confined,
        (false, Some(Confinement::Unconfined)) => Unconfined,
        (true, Some(Confinement::Sandboxed)) => AskedThenConfined,
        (true, Some(Confinement::Unconfined)) => AskedThenUnconfined,
        (_, None) => {
            let started = |event: &Event| matches!(event, Event::CommandStarted { .. });
            assert!(!asked && !story.tells(started), "what is refused never starts");
            story.request_op();
            Refused
        }
    }
}

/// `row` is for a safe, a dangerous and a usual command, then a safe and a usual one that ask to
/// leave the sandbox.
#[track_caller]
fn check(approval: ApprovalPolicy, modes: &[SandboxMode], row: [Told; 5]) {
    let escalated = |argv: &str| format!(r#"{argv},"with_escalated_permissions":true"#);
    let named = |argv: &str| format!(r#"{argv},"sandbox_permissions":"require_escalated""#);
    let plain = [SAFE, DANGEROUS, USUAL].map(str::to_owned);
    for mode in modes {
        let columns = plain.iter().cloned().chain([escalated(SAFE), escalated(USUAL)]).zip(row);
        let other = [(named(SAFE), row[3]), (named(USUAL), row[4])];
        for (argv, expected) in columns.chain(other) {
            let story = Story::calling(of(approval, *mode), vec![shell("1", &argv)]);
            assert_eq!(told(story, spawned), expected, "{approval:?} {mode:?} {argv}");
        }
    }
}

#[test]
fn untrusted_asks_for_all_that_is_not_known_to_be_safe() {
    let row = [Confined, AskedThenConfined, AskedThenConfined, Refused, Refused];
    check(ApprovalPolicy::Untrusted, &RESTRICTED, row);
    let row = [Unconfined, AskedThenUnconfined, AskedThenUnconfined, Refused, Refused];
    check(ApprovalPolicy::Untrusted, &FULL, row);
}

#[test]
fn on_failure_runs_everything_in_the_sandbox() {
    let row = [Confined, Confined, Confined, Refused, Refused];
    check(ApprovalPolicy::OnFailure, &RESTRICTED, row);
    let row = [Unconfined, Unconfined, Unconfined, Refused, Refused];
    check(ApprovalPolicy::OnFailure, &FULL, row);
}

#[test]
fn on_request_asks_for_the_dangerous_and_for_leaving_the_sandbox() {
    let row = [Confined, AskedThenConfined, Confined, Unconfined, AskedThenUnconfined];
    check(ApprovalPolicy::OnRequest, &RESTRICTED, row);
}

#[test]
fn on_request_has_nothing_to_leave_with_full_access() {
    let row = [Unconfined, AskedThenUnconfined, Unconfined, Unconfined, Unconfined];
    check(ApprovalPolicy::OnRequest, &FULL, row);
}

#[test]
fn never_asks_nothing_and_lets_nothing_out() {
    let row = [Confined, Confined, Confined, Refused, Refused];
    check(ApprovalPolicy::Never, &RESTRICTED, row);
    let row = [Unconfined, Unconfined, Unconfined, Refused, Refused];
    check(ApprovalPolicy::Never, &FULL, row);
}

#[test]
fn a_refusal_names_the_policy_and_the_one_that_may() {
    for (approval, name) in [
        (ApprovalPolicy::Untrusted, "untrusted"),
        (ApprovalPolicy::OnFailure, "on-failure"),
        (ApprovalPolicy::Never, "never"),
    ] {
        let argv = format!(r#"{USUAL},"with_escalated_permissions":true"#);
        let settings = of(approval, SandboxMode::ReadOnly);
        let story = Story::calling(settings, vec![shell("1", &argv)]);
        let text = story.outputs()[0];
        assert!(text.contains(&format!("policy is {name},")) && text.contains("on-request"));
    }
}

#[test]
fn a_justification_is_the_reason_of_the_question() {
    let argv = format!(r#"{USUAL},"with_escalated_permissions":true,"justification":"to install""#);
    let settings = of(ApprovalPolicy::OnRequest, SandboxMode::ReadOnly);
    let story = Story::calling(settings, vec![shell("1", &argv)]);
    let Some(Question::Command { reason, .. }) = question(&story) else { panic!("asked") };
    assert_eq!(reason.as_deref(), Some("to install"));
}

/// `row` is for a patch inside the project, outside, and of its repository's own files.
#[track_caller]
fn check_patch(approval: ApprovalPolicy, mode: SandboxMode, row: [Told; 3]) {
    for (path, expected) in ["/w/a", "/w/../x", "/w/.git/config"].into_iter().zip(row) {
        let mut story = Story::calling(of(approval, mode), vec![patch("1")]);
        let op = story.inspect_op();
        story.feed(Input::Inspected { op, result: Ok(vec![change(path)]) });
        assert_eq!(told(story, applied), expected, "{approval:?} {mode:?} {path}");
    }
}

#[test]
fn patches_are_judged_by_where_they_write() {
    use ApprovalPolicy::{Never, OnFailure, OnRequest, Untrusted};
    use SandboxMode::{DangerFullAccess, ReadOnly, WorkspaceWrite};
    for mode in [ReadOnly, WorkspaceWrite, DangerFullAccess] {
        check_patch(Untrusted, mode, [AskedThenUnconfined; 3]);
    }
    check_patch(OnFailure, ReadOnly, [Confined; 3]);
    check_patch(OnFailure, WorkspaceWrite, [Confined; 3]);
    check_patch(OnRequest, ReadOnly, [AskedThenUnconfined; 3]);
    let row = [Confined, AskedThenUnconfined, AskedThenUnconfined];
    check_patch(OnRequest, WorkspaceWrite, row);
    check_patch(Never, ReadOnly, [Refused; 3]);
    check_patch(Never, WorkspaceWrite, [Confined, Refused, Refused]);
    for approval in [OnFailure, OnRequest, Never] {
        check_patch(approval, DangerFullAccess, [Unconfined; 3]);
    }
}

/// How a denial looks.
const DENIED: &str = "touch: cannot touch 'a': Permission denied\n";

impl Story {
    fn exit_saying(&mut self, code: i32, output: &str) {
        let ended = CommandEnded::Exited { code };
        let end = CommandResult { ended, output: output.into(), lines_total: None };
        let op = self.spawn_op();
        self.feed(Input::Exited { op, end });
    }
}

fn denied(approval: ApprovalPolicy, argv: &str) -> Story {
    let settings = of(approval, SandboxMode::WorkspaceWrite);
    let mut story = Story::calling(settings, vec![shell("1", argv)]);
    if question(&story).is_some() {
        story.answer(0, Decision::Approved);
    }
    story.exit_saying(1, DENIED);
    story
}

#[test]
fn untrusted_asks_before_a_safe_command_runs_without_its_sandbox() {
    let mut story = denied(ApprovalPolicy::Untrusted, SAFE);
    assert!(question(&story).is_some() && spawned(&story).is_none());
    story.answer(0, Decision::Approved);
    assert_eq!(spawned(&story), Some(Confinement::Unconfined));
}

#[test]
fn untrusted_runs_what_was_approved_again_unasked() {
    let mut story = denied(ApprovalPolicy::Untrusted, USUAL);
    assert_eq!(spawned(&story), Some(Confinement::Unconfined));
    assert_eq!(question(&story), None);
    assert!(story.tells(|event| matches!(event, Event::Warning { .. })), "asked no more, but told");
    story.exit_saying(1, DENIED);
    assert_eq!(story.outputs(), [DENIED], "it runs again once, and no sandbox was in its way");
}

#[test]
fn on_failure_asks_in_the_words_that_clients_know() {
    let mut story = denied(ApprovalPolicy::OnFailure, USUAL);
    let Some(Question::Command { argv, reason, .. }) = question(&story) else { panic!("asked") };
    assert_eq!(argv, ["make"]);
    assert_eq!(reason.as_deref(), Some("command failed; retry without sandbox?"));
    assert!(story.outputs().is_empty() && story.agent.next_deadline().is_none());
    story.answer(0, Decision::Approved);
    assert_eq!(spawned(&story), Some(Confinement::Unconfined));
    assert!(!story.tells(|event| matches!(event, Event::CommandStarted { .. })), "told already");
    story.exit_saying(0, "fine");
    assert_eq!(story.outputs(), ["fine"]);
    let ended = CommandEnd::Exited { exit_code: 0 };
    assert!(
        story.tells(
            |event| matches!(event, Event::CommandEnded { ended: how, .. } if *how == ended)
        )
    );
}

#[test]
fn a_no_to_running_again_leaves_what_came_of_it() {
    for (decision, goes_on) in [(Decision::Denied, true), (Decision::Abort, false)] {
        let mut story = denied(ApprovalPolicy::OnFailure, USUAL);
        story.answer(0, decision);
        assert_eq!(spawned(&story), None);
        let ended = CommandEnd::Exited { exit_code: 1 };
        assert!(story.tells(
            |event| matches!(event, Event::CommandEnded { ended: how, .. } if *how == ended)
        ));
        let line = "windlass: rejected by the user: it was not run again without the sandbox; do \
                    not try the same thing again";
        assert_eq!(story.outputs(), [format!("{DENIED}{line}")]);
        assert_eq!(story.ended().is_none(), goes_on);
    }
}

#[test]
fn an_interrupt_leaves_what_came_of_it_as_well() {
    let mut story = denied(ApprovalPolicy::OnFailure, USUAL);
    story.interrupt();
    assert_eq!(story.outputs(), [DENIED]);
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    story.answer(0, Decision::Approved);
    assert_eq!(story.refused(), Some(Refusal::NoQuestion));
    assert_eq!(spawned(&story), None);
}

#[test]
fn what_was_approved_for_the_session_runs_again_unasked() {
    for approval in [ApprovalPolicy::Untrusted, ApprovalPolicy::OnFailure] {
        let calls = vec![shell("1", SAFE), shell("2", SAFE)];
        let mut story = Story::calling(of(approval, SandboxMode::ReadOnly), calls);
        story.exit_saying(1, DENIED);
        story.answer(0, Decision::ApprovedForSession);
        story.exit_saying(0, "");
        assert_eq!(spawned(&story), Some(Confinement::Sandboxed), "the sandbox is tried first");
        story.exit_saying(1, DENIED);
        assert_eq!(spawned(&story), Some(Confinement::Unconfined));
        assert_eq!(question(&story), None);
    }
}

#[test]
fn on_request_and_never_tell_the_model_what_was_refused_and_how_to_ask() {
    let head = "windlass: the sandbox (workspace-write, without network) has likely refused \
                \"touch: cannot touch 'a': Permission denied\"; ";
    for (approval, tail) in [
        (
            ApprovalPolicy::OnRequest,
            "if it is needed, run it again with with_escalated_permissions and a justification",
        ),
        (ApprovalPolicy::Never, "nobody can be asked to lift it; find a way that stays within"),
    ] {
        let story = denied(approval, USUAL);
        assert_eq!((question(&story), spawned(&story)), (None, None));
        assert_eq!(story.outputs(), [format!("{DENIED}{head}{tail}")]);
    }
}

#[test]
fn without_a_sandbox_nothing_was_denied() {
    for approval in [ApprovalPolicy::OnFailure, ApprovalPolicy::OnRequest, ApprovalPolicy::Never] {
        let settings = of(approval, SandboxMode::DangerFullAccess);
        let mut story = Story::calling(settings, vec![shell("1", USUAL)]);
        story.exit_saying(1, DENIED);
        assert_eq!(story.outputs(), [DENIED]);
    }
    let argv = format!(r#"{USUAL},"with_escalated_permissions":true"#);
    let story = denied(ApprovalPolicy::OnRequest, &argv);
    assert_eq!(story.outputs(), [DENIED]);
}

#[test]
fn a_timeout_is_no_denial() {
    let settings = of(ApprovalPolicy::OnFailure, SandboxMode::ReadOnly);
    let mut story = Story::calling(settings, vec![shell("1", r#"["make"],"timeout_ms":50"#)]);
    let op = story.spawn_op();
    story.wait();
    let ended = CommandEnded::Exited { code: 1 };
    story.feed(Input::Exited {
        op,
        end: CommandResult { ended, output: DENIED.into(), lines_total: None },
    });
    assert_eq!(question(&story), None);
    assert!(story.outputs()[0].starts_with("command timed out"));
}

#[test]
fn a_session_that_its_sandbox_stopped_at_once_is_started_again_like_a_command() {
    let start = call("1", "exec_command", r#"{"cmd":"make"}"#);
    let settings = of(ApprovalPolicy::OnFailure, SandboxMode::ReadOnly);
    let mut story = Story::calling(settings, vec![start]);
    let op = story.spawn_op();
    let ended = CommandEnded::Exited { code: 1 };
    let end = CommandResult { ended, output: DENIED.into(), lines_total: None };
    let unread = Unread { text: DENIED.into(), dropped_bytes: 0 };
    story.feed(Input::SessionEnded { op, end, unread });
    assert!(question(&story).is_some());
    story.answer(0, Decision::Approved);
    assert_eq!(spawned(&story), Some(Confinement::Unconfined));
}

#[test]
fn a_patch_that_its_sandbox_stopped_is_asked_about_under_on_failure_alone() {
    for approval in [ApprovalPolicy::OnFailure, ApprovalPolicy::OnRequest, ApprovalPolicy::Never] {
        let mut story = Story::calling(of(approval, SandboxMode::WorkspaceWrite), vec![patch("1")]);
        let op = story.inspect_op();
        story.feed(Input::Inspected { op, result: Ok(vec![change("/w/a")]) });
        let op = story.op(|effect| match effect {
            Effect::Apply { op, .. } => Some(*op),
            _ => None,
        });
        story.feed(Input::Applied { op, result: Err("failed to write file /w/a".into()) });
        let asked = approval == ApprovalPolicy::OnFailure;
        let argv = vec!["apply_patch".to_string()];
        let reason = Some("command failed; retry without sandbox?".into());
        let expected = Question::Command { argv, cwd: "/w".into(), reason, risk: None };
        assert_eq!(question(&story), asked.then_some(expected));
        if asked {
            story.answer(0, Decision::Approved);
            assert_eq!(applied(&story), Some(Confinement::Unconfined));
        }
    }
}

#[test]
fn a_patch_that_ran_out_of_time_is_not_asked_about() {
    let settings = of(ApprovalPolicy::OnFailure, SandboxMode::WorkspaceWrite);
    let mut story = Story::calling(settings, vec![patch("1")]);
    let op = story.inspect_op();
    story.feed(Input::Inspected { op, result: Ok(vec![change("/w/a")]) });
    let op = story.op(|effect| match effect {
        Effect::Apply { op, .. } => Some(*op),
        _ => None,
    });
    story.wait();
    assert_eq!(story.effects, [Effect::Stop { op, how: Stop::Terminate }]);
    story.feed(Input::Applied { op, result: Err("failed to write file /w/a".into()) });
    assert_eq!(question(&story), None);
    assert_eq!(story.outputs(), ["failed to write file /w/a"]);
}

#[test]
fn text_for_a_session_is_not_judged_again() {
    let start = r#"{"cmd":"sh","with_escalated_permissions":true,"yield_time_ms":1000}"#;
    let settings = of(ApprovalPolicy::OnRequest, SandboxMode::ReadOnly);
    let mut story = Story::calling(settings, vec![call("1", "exec_command", start)]);
    assert!(question(&story).is_some(), "a shell that may do anything is asked about");
    story.answer(0, Decision::Approved);
    let op = story.spawn_op();
    story.wait();
    story.feed(Input::Yielded { op, unread: Unread::default() });
    let request = story.request_op();
    let text = r#"{"session_id":0,"chars":"rm -rf x\n"}"#;
    story.say(request, ModelEvent::ItemDone(Item::Call(call("2", "write_stdin", text))));
    story.say(request, completed());
    assert_eq!(question(&story), None);
    assert!(story.does(|effect| matches!(effect, Effect::Write { .. })));
}
