//! The user's own command line: a turn of its own that asks no model.
//!
//! ```text
//!  no turn --command--> Opening --facts--> Calls, of one --ended--> its message recorded, no turn
//! ```
//!
//! It runs as a call does, with its clock and its stop, but outside of the sandbox: a person wrote
//! it. What came of it is a message of the user, so that the model knows with its next request.
//! What is said meanwhile makes that request at once.

use crate::core::Desk;
use crate::core::call::{Attempt, Attempted, Call, Leave, Report};
use crate::core::opening;
use crate::core::thread::{Phase, Thread};
use crate::core::turn::Wait;
use crate::limits::{COMMAND_TIMEOUT_MS_MAX, HISTORY_BYTES_MAX, USER_COMMAND_BYTES_MAX};
use crate::words::call::{Answer, CallAsked, CallKind, CommandPlan, Life, Plan, printed};
use crate::words::command::Refusal;
use crate::words::event::{CommandEnd, Ended, Event};
use crate::words::ids::{CallId, ItemIndex};
use crate::words::item::{Item, Message, Role};
use crate::words::policy::Confinement;

/// What the turn is to run, or runs.
#[derive(Debug)]
pub struct UserCommand {
    line: Box<str>,
    timeout_ms: u64,
}

impl Thread {
    /// Runs a line of the user with their shell, in a turn of its own.
    pub(crate) fn on_user_command(
        &mut self,
        line: Box<str>,
        timeout_ms: u64,
        desk: &mut Desk<'_>,
    ) -> Result<(), Refusal> {
        if self.phase != Phase::Ready {
            return Err(Refusal::NotReady);
        }
        if self.turn.is_some() {
            return Err(Refusal::TurnRuns);
        }
        if line.trim().is_empty() {
            return Err(Refusal::EmptyPrompt);
        }
        if line.len() > USER_COMMAND_BYTES_MAX {
            return Err(Refusal::PromptTooLong);
        }
        let timeout_ms = timeout_ms.min(COMMAND_TIMEOUT_MS_MAX);
        self.begin_turn(desk);
        self.turn_mut().command = Some(Box::new(UserCommand { line, timeout_ms }));
        match self.facts.is_some() && self.may_record() {
            true => self.run_user_command(desk),
            false => self.ask_to_open(desk),
        }
        Ok(())
    }

    /// Starts what the turn is there for, once it can be recorded.
    pub(crate) fn run_user_command(&mut self, desk: &mut Desk<'_>) {
        if let Some(budget) = self.spent(desk.now.mono_ms) {
            return self.finish(self.over_budget(budget), desk);
        }
        if self.exceeds_bytes() {
            let mib = HISTORY_BYTES_MAX >> 20;
            let text = format!("the conversation exceeds {mib} MiB; compact it first");
            return self.fail_bound(&text, desk);
        }
        let Some(command) = &self.turn_mut().command else {
            unreachable!("only the turn of a user's command comes here")
        };
        let (line, timeout_ms) = (command.line.to_string(), command.timeout_ms);
        let plan = CommandPlan {
            argv: vec![self.settings.shell.to_string(), "-lc".to_string(), line],
            workdir: self.settings.cwd.clone(),
            life: Life::Call { timeout_ms },
            escalation: None,
        };
        self.begin_rollout(desk);
        for item in opening::changed(&self.settings, self.history.items()) {
            self.remember(item, desk);
        }
        let call = CallId(self.calls_count);
        self.calls_count += 1;
        let (argv, cwd) = (plan.argv.clone(), plan.workdir.clone());
        let next = ItemIndex(self.history.items().len() as u32);
        let waiting = Call::new(call, next, &nobodys(), Plan::Command(plan.clone()));
        self.wait_for(Wait::Calls { calls: vec![waiting] });
        desk.out.tell(self.id, Event::UserCommandStarted { call, argv, cwd });
        let (what, confinement) = (Attempted::Command(plan), Confinement::Unconfined);
        self.attempt(0, Attempt { what, confinement, leave: Leave::Person }, desk);
        self.calls_went_on(desk);
    }

    /// Puts what came of the user's command into the history, and tells of it.
    pub(crate) fn settle_user_command(
        &mut self,
        call: CallId,
        (answer, report): (&Answer, Report),
        desk: &mut Desk<'_>,
    ) {
        let Some(command) = &self.turn_mut().command else {
            unreachable!("only the turn of a user's command comes here")
        };
        let text = message(&command.line, answer);
        self.remember(Item::Message(Message::text(Role::User, text)), desk);
        let ended = match report {
            Report::Command(ended) | Report::Session { ended, .. } => ended,
            Report::Patch { .. } | Report::Tasks(_) | Report::Plain => CommandEnd::NotStarted,
        };
        let output = match ended {
            CommandEnd::Interrupted => printed(answer.text()).into(),
            CommandEnd::Exited { .. } | CommandEnd::NotStarted | CommandEnd::Declined => {
                answer.text().into()
            }
        };
        desk.out.tell(self.id, Event::SessionEnded { call, ended, output });
    }

    /// The user's command has ended, and with it its turn, unless somebody has said something.
    pub(crate) fn rest_after_user_command(&mut self, desk: &mut Desk<'_>) {
        self.turn_mut().command = None;
        match self.prompts_due_count() {
            0 => self.finish(Ended::Completed, desk),
            _ => self.request(desk),
        }
    }
}

/// Stands where the model's words would be: it asked for nothing.
fn nobodys() -> CallAsked {
    CallAsked {
        kind: CallKind::Function,
        call_id: "".into(),
        name: "".into(),
        arguments: "".into(),
        id: None,
    }
}

/// What the model is told of the command.
fn message(line: &str, answer: &Answer) -> String {
    let result = match answer {
        Answer::Command(ended) => {
            let (seconds, tenth) = (ended.wall_ms / 1000, ended.wall_ms % 1000 / 100);
            let mut text =
                format!("Exit code: {}\nDuration: {seconds}.{tenth} seconds\n", ended.exit_code);
            if let Some(lines_total) = ended.lines_total {
                text.push_str(&format!("Total output lines: {lines_total}\n"));
            }
            text + "Output:\n" + &ended.output
        }
        Answer::Text { text, .. } => text.to_string(),
    };
    format!(
        "{}\n<command>\n{line}\n</command>\n<result>\n{result}\n</result>\n</user_shell_command>",
        opening::USER_COMMAND
    )
}
