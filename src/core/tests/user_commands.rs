//! Users' own commands: turns that ask no model.

use super::*;
use crate::limits::{COMMAND_TIMEOUT_MS_MAX, USER_COMMAND_BYTES_MAX};

fn run(story: &mut Story, line: &str) {
    let (thread, line) = (story.thread, line.into());
    story.command(Command::Run { thread, line, timeout_ms: 10_000 });
}

/// A thread whose user's command runs.
fn running(line: &str) -> (Story, OpId) {
    let mut story = Story::new(settings());
    run(&mut story, line);
    let op = story.open_op();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    let op = story.spawn_op();
    (story, op)
}

/// The last message of the history.
#[track_caller]
fn told(story: &Story) -> String {
    match story.items().last() {
        Some(Item::Message(message)) if message.role == Role::User => message.texts().collect(),
        other => panic!("not a message of the user: {other:?}"),
    }
}

fn asks_model(story: &Story) -> bool {
    story.does(|effect| matches!(effect, Effect::Request { .. }))
}

#[test]
fn a_users_command_runs_unconfined_and_becomes_a_message() {
    let (mut story, op) = running("make all");
    assert!(!story.records().is_empty(), "the turn is recorded before it acts");
    let line = |effect: &Effect| match effect {
        Effect::Spawn { command, confinement, .. } => {
            command.argv[1..] == ["-lc", "make all"] && *confinement == Confinement::Unconfined
        }
        _ => false,
    };
    assert!(story.does(line));
    assert!(story.tells(|event| matches!(event, Event::UserCommandStarted { .. })));
    story.exit(op, 3);
    let expected = "<user_shell_command>\n<command>\nmake all\n</command>\n<result>\nExit code: 3\n\
                    Duration: 0.0 seconds\nOutput:\nout\n</result>\n</user_shell_command>";
    assert_eq!(told(&story), expected);
    let ended = CommandEnd::Exited { exit_code: 3 };
    let end = Event::SessionEnded { call: CallId(0), ended, output: "out".into() };
    assert!(story.tells(|event| *event == end));
    assert!(!asks_model(&story));
    assert_eq!(story.ended(), Some(&Ended::Completed));
    story.prompt("what came of it?");
    let op = story.request_op();
    let items = story.agent.request_view(op).unwrap().items;
    let said = |item: &Item| format!("{item:?}").contains("Exit code: 3");
    assert!(items.iter().any(said), "the model knows with its next request");
}

#[test]
fn a_users_command_is_not_shown_as_what_the_user_said() {
    let (mut story, op) = running("make");
    story.exit(op, 0);
    assert!(!story.all_records().any(|record| matches!(record, Record::UserMessage(_))));
}

#[test]
fn a_users_command_needs_a_turn_of_its_own() {
    let (mut story, _) = Story::asked(settings());
    run(&mut story, "make");
    assert_eq!(story.refused(), Some(Refusal::TurnRuns));
    let (mut story, _) = running("make");
    run(&mut story, "make");
    assert_eq!(story.refused(), Some(Refusal::TurnRuns));
}

#[test]
fn a_line_that_cannot_be_run_is_refused() {
    let mut story = Story::new(settings());
    run(&mut story, " \n");
    assert_eq!(story.refused(), Some(Refusal::EmptyPrompt));
    run(&mut story, &"x".repeat(USER_COMMAND_BYTES_MAX + 1));
    assert_eq!(story.refused(), Some(Refusal::PromptTooLong));
    run(&mut story, &"x".repeat(USER_COMMAND_BYTES_MAX));
    assert_eq!(story.refused(), None);
}

#[test]
fn what_is_said_during_a_users_command_is_asked_after_it() {
    let (mut story, op) = running("make");
    story.prompt("go on");
    assert!(!asks_model(&story));
    story.exit(op, 0);
    assert_eq!(story.ended(), None);
    let op = story.request_op();
    let items = story.agent.request_view(op).unwrap().items;
    let texts: Vec<String> = items.iter().rev().take(2).map(|item| format!("{item:?}")).collect();
    assert!(texts[0].contains("go on") && texts[1].contains("Exit code: 0"), "{texts:?}");
    story.say(op, completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn a_users_command_runs_out_of_time() {
    let (mut story, op) = running("sleep 60");
    story.wait();
    assert!(story.does(|effect| matches!(effect, Effect::Stop { how: Stop::Terminate, .. })));
    let ended = CommandEnded::Signalled { signal: 15 };
    let end = CommandResult { ended, output: "so far".into(), lines_total: None };
    story.feed(Input::Exited { op, end });
    let text = told(&story);
    assert!(text.contains("Exit code: 124\n"), "{text}");
    assert!(text.contains("timed out after 10000 milliseconds\nso far"), "{text}");
    assert_eq!(story.ended(), Some(&Ended::Completed));
}

#[test]
fn a_users_command_has_no_more_time_than_commands_have() {
    let mut story = Story::new(settings());
    let (thread, line) = (story.thread, "make".into());
    story.command(Command::Run { thread, line, timeout_ms: u64::MAX });
    let op = story.open_op();
    story.feed(Input::Opened { op, facts: OpeningFacts::default() });
    let life = |effect: &Effect| match effect {
        Effect::Spawn { command, .. } => {
            command.life == Life::Call { timeout_ms: COMMAND_TIMEOUT_MS_MAX }
        }
        _ => false,
    };
    assert!(story.does(life));
}

#[test]
fn an_interrupt_keeps_what_a_users_command_has_printed() {
    let (mut story, op) = running("sleep 60");
    story.interrupt();
    let ended = CommandEnded::Signalled { signal: 2 };
    let end = CommandResult { ended, output: "so far".into(), lines_total: None };
    story.feed(Input::Exited { op, end });
    assert!(told(&story).contains("aborted by user\nOutput:\nso far\n</result>"));
    let ended = CommandEnd::Interrupted;
    let end = Event::SessionEnded { call: CallId(0), ended, output: "so far".into() };
    assert!(story.tells(|event| *event == end));
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
}

#[test]
fn a_command_that_does_not_start_says_why() {
    let (mut story, op) = running("make");
    let ended = CommandEnded::NotStarted { why: "no such shell".into() };
    let end = CommandResult { ended, output: "".into(), lines_total: None };
    story.feed(Input::Exited { op, end });
    assert!(told(&story).contains("the command was not run: no such shell"));
    assert_eq!(story.ended(), Some(&Ended::Completed));
}
