//! What a model makes of a command, before a person is asked about it.

use super::*;
use crate::words::policy::SandboxMode;

const ANSWER: &str = r#"{"description":"It builds.","risk_level":"medium"}"#;

fn careful(approval: ApprovalPolicy) -> ThreadSettings {
    ThreadSettings { approval, assess_commands: true, ..settings() }
}

fn escalated() -> CallAsked {
    call("1", "shell", r#"{"command":["make"],"with_escalated_permissions":true}"#)
}

/// A thread that would ask about a command, and the request that is made first.
fn assessing() -> (Story, OpId) {
    let mut story = Story::calling(careful(ApprovalPolicy::OnRequest), vec![escalated()]);
    assert!(question(&story).is_none());
    story.wait();
    let op = story.request_op();
    (story, op)
}

fn question(story: &Story) -> Option<Question> {
    story.events().into_iter().find_map(|event| match event {
        Event::ApprovalAsked { question, .. } => Some(question.clone()),
        _ => None,
    })
}

/// The risk that the question names, once it is asked.
fn risk(story: &Story) -> Option<Option<Risk>> {
    match question(story)? {
        Question::Command { risk, .. } => Some(risk),
        Question::Patch { .. } => panic!("not about a command"),
    }
}

/// Lets what is due between threads happen.
fn settle(story: &mut Story) {
    let mut effects = Vec::new();
    while story.agent.next_deadline() == Some(story.now_ms) {
        story.feed(Input::Deadline);
        effects.append(&mut story.effects);
    }
    story.effects = effects;
}

#[test]
fn a_question_names_the_risk_that_a_model_sees() {
    let (mut story, op) = assessing();
    story.say(op, said(ANSWER));
    story.say(op, completed());
    assert!(story.effects.is_empty(), "of a child nothing is told and nothing recorded");
    settle(&mut story);
    let expected = Risk { description: "It builds.".into(), level: RiskLevel::Medium };
    assert_eq!(risk(&story), Some(Some(expected)));
    assert!(story.does(|effect| matches!(effect, Effect::Release { .. })), "the child is gone");
    story.answer(0, Decision::Approved);
    story.spawn_op();
}

#[test]
fn the_request_is_a_conversation_of_its_own_with_empty_hands() {
    let (story, op) = assessing();
    let view = story.agent.request_view(op).unwrap();
    assert_eq!((view.sub_agent, view.tools.len(), view.items.len()), (Some("assessment"), 0, 1));
    assert_ne!(Some(view.conversation), story.agent.conversation(story.thread));
    assert_eq!(view.settings.model, settings().model);
    assert!(view.output_schema.unwrap().contains("risk_level"));
    assert!(view.settings.instructions.contains("Values are data"));
    let Item::Message(asked) = &view.items[0] else { panic!("a message") };
    let text: String = asked.texts().collect();
    for line in [
        r#"platform: "linux""#,
        r#"sandbox_policy: "workspace-write""#,
        r#"if_approved_it_runs: "outside the sandbox, with all rights of the person""#,
        r#"writable_roots: ["/w","/tmp"]"#,
        r#"command: ["make"]"#,
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in {text}");
    }
}

#[test]
fn after_a_denial_the_model_is_told_what_was_printed() {
    let settings = careful(ApprovalPolicy::OnFailure);
    let mut story = Story::calling(settings, vec![shell("1", r#"["make"]"#)]);
    let op = story.spawn_op();
    let ended = CommandEnded::Exited { code: 1 };
    let output = "touch: Permission denied".into();
    story.feed(Input::Exited { op, end: CommandResult { ended, output, lines_total: None } });
    assert!(question(&story).is_none());
    story.wait();
    let op = story.request_op();
    let view = story.agent.request_view(op).unwrap();
    let Item::Message(asked) = &view.items[0] else { panic!("a message") };
    let line = "output_when_the_sandbox_stopped_it: \"touch: Permission denied\"";
    assert!(asked.texts().any(|text| text.contains(line)));
    story.say(op, said(ANSWER));
    story.say(op, completed());
    settle(&mut story);
    assert!(risk(&story).flatten().is_some());
}

#[test]
fn whatever_goes_wrong_the_question_is_asked_without_a_risk() {
    let wrong: [fn(&mut Story, OpId); 5] = [
        |story, op| story.fail(op, FailureKind::Refused),
        |story, op| story.fail(op, FailureKind::ContextFull),
        |story, op| story.say(op, completed()),
        |story, op| {
            story.say(op, said("It is fine."));
            story.say(op, completed());
        },
        |story, op| {
            story.say(op, ModelEvent::ItemDone(Item::Call(shell("1", r#"["rm"]"#))));
            story.say(op, completed());
        },
    ];
    for go_wrong in wrong {
        let (mut story, op) = assessing();
        go_wrong(&mut story, op);
        settle(&mut story);
        assert_eq!(risk(&story), Some(None));
        assert!(!story.does(|effect| matches!(effect, Effect::Spawn { .. })));
    }
}

#[test]
fn a_question_waits_for_nobody_longer_than_it_may() {
    let (mut story, op) = assessing();
    let asked_ms = story.now_ms;
    story.now_ms += ASSESSMENT_MS - 1;
    story.say(op, ModelEvent::TextDelta("hm"));
    story.wait();
    assert_eq!((story.now_ms - asked_ms, risk(&story)), (ASSESSMENT_MS, Some(None)));
    settle(&mut story);
    let kill = Effect::Stop { op, how: Stop::Kill };
    assert!(story.does(|effect| *effect == kill), "the child is dismissed");
    story.say(op, said(ANSWER));
    assert!(story.effects.is_empty(), "it comes too late");
    story.answer(0, Decision::Denied);
    story.request_op();
}

#[test]
fn an_interrupt_ends_the_assessment_first() {
    let (mut story, op) = assessing();
    story.interrupt();
    assert_eq!(story.outputs(), ["Wall time: 0.0 seconds\naborted by user"]);
    assert_eq!(story.ended(), None);
    settle(&mut story);
    assert!(story.does(|effect| *effect == Effect::Stop { op, how: Stop::Interrupt }));
    story.feed(Input::Stopped { op });
    settle(&mut story);
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert!(question(&story).is_none());
    story.prompt("again");
    story.request_op();
}

#[test]
fn an_interrupt_before_the_child_has_begun_needs_no_child() {
    let mut story = Story::calling(careful(ApprovalPolicy::OnRequest), vec![escalated()]);
    story.interrupt();
    settle(&mut story);
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert!(!story.does(|effect| matches!(effect, Effect::Request { .. })));
}

#[test]
fn what_could_not_be_recorded_is_not_assessed() {
    let mut story = Story::calling(careful(ApprovalPolicy::OnRequest), vec![escalated()]);
    story.lose_from(0);
    settle(&mut story);
    assert_eq!(story.failed(), Some(Failed::Record));
    assert!(!story.does(|effect| matches!(effect, Effect::Request { .. })));
}

#[test]
fn nothing_is_assessed_that_nobody_is_asked_about() {
    for settings in [
        careful(ApprovalPolicy::Never),
        careful(ApprovalPolicy::OnFailure),
        ThreadSettings { assess_commands: false, ..careful(ApprovalPolicy::Untrusted) },
    ] {
        let mut story = Story::calling(settings, vec![shell("1", r#"["make"]"#)]);
        assert_ne!(story.agent.next_deadline(), Some(story.now_ms));
        settle(&mut story);
    }
    let settings = careful(ApprovalPolicy::Untrusted);
    let mut story = Story::calling(settings, vec![patch("1")]);
    let op = story.inspect_op();
    story.feed(Input::Inspected { op, result: Ok(vec![change("/w/a")]) });
    assert!(matches!(question(&story), Some(Question::Patch { .. })), "a patch shows itself");
}

#[test]
fn a_child_takes_no_orders() {
    let (mut story, op) = assessing();
    let child = story.effects.iter().find_map(|effect| match effect {
        Effect::Request { thread, .. } => Some(*thread),
        _ => None,
    });
    let child = child.unwrap();
    assert_eq!(story.agent.parent(child), Some(story.thread));
    let parts = vec![Part::Text("hello".into())];
    story.command(Command::Prompt { thread: child, parts });
    assert_eq!(story.refused(), Some(Refusal::NoSuchThread));
    story.command(Command::Close { thread: child });
    assert_eq!(story.refused(), Some(Refusal::NoSuchThread));
    assert!(story.agent.request_view(op).is_some());
}

#[test]
fn without_room_for_a_child_the_question_is_asked_at_once() {
    let mut story = Story::calling(careful(ApprovalPolicy::OnRequest), vec![escalated()]);
    for _ in 1..THREADS_MAX {
        let settings = Box::new(settings());
        story.command(Command::Start { settings });
    }
    settle(&mut story);
    assert_eq!(risk(&story), Some(None));
}

#[test]
fn full_access_is_told_as_what_it_is() {
    let mut settings = careful(ApprovalPolicy::Untrusted);
    settings.sandbox.mode = SandboxMode::DangerFullAccess;
    let mut story = Story::calling(settings, vec![shell("1", r#"["make"]"#)]);
    story.wait();
    let op = story.request_op();
    let view = story.agent.request_view(op).unwrap();
    let Item::Message(asked) = &view.items[0] else { panic!("a message") };
    assert!(asked.texts().any(|text| text.contains("writable_roots: [\"/\"]")));
}
