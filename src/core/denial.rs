//! What is done when the sandbox seems to have got in the way of a command or a patch.
//!
//! No kernel says why a command failed, so this goes by what it printed. A wrong guess costs a
//! question or a line too many, never more leave than a person gave: only `approval` decides
//! whether anything runs without its sandbox, and it runs so once.

use crate::core::Desk;
use crate::core::approval::{self, Relaxed};
use crate::core::call::{Asked, Attempt, Attempted, Leave, Report};
use crate::core::input::CommandEnded;
use crate::core::opening::sandbox_name;
use crate::core::thread::Thread;
use crate::limits::DENIAL_QUOTE_BYTES_MAX;
use crate::words::call::{Answer, CommandAnswer};
use crate::words::event::{Event, Question};
use crate::words::policy::{ApprovalPolicy, Confinement};
use crate::words::settings::ThreadSettings;

/// What programs print when they are refused something, in lower case.
const SIGNS: [&str; 7] = [
    "operation not permitted",
    "permission denied",
    "read-only file system",
    "seccomp",
    "sandbox",
    "landlock",
    "failed to write file",
];

/// What a shell says of wrong usage, of what it cannot execute, and of what it does not find.
const EXITS_OF_SHELLS: [i32; 3] = [2, 126, 127];

/// What a system call dies of that a filter kills (signal(7)).
const SIGNAL_SYS: i32 = 31;

/// Why a person is asked; clients know this text.
const REASON: &str = "command failed; retry without sandbox?";

/// What gave a denial away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sign {
    /// The line that says so, cut to `DENIAL_QUOTE_BYTES_MAX`.
    Line(Box<str>),
    /// A system call that kills.
    Signal,
}

/// Why a command that ran in a sandbox looks refused, if it does.
pub fn sign(ended: &CommandEnded, output: &str) -> Option<Sign> {
    let code = match ended {
        CommandEnded::Exited { code } => *code,
        CommandEnded::Signalled { signal } => 128 + signal,
        CommandEnded::NotStarted { .. } => return None,
    };
    if code == 0 {
        return None;
    }
    let says = |line: &&str| {
        let line = line.to_ascii_lowercase();
        SIGNS.iter().any(|sign| line.contains(sign))
    };
    if let Some(line) = output.split(['\n', '\r']).find(says) {
        let line = line.trim();
        let end = line.floor_char_boundary(DENIAL_QUOTE_BYTES_MAX);
        return Some(Sign::Line(line[..end].into()));
    }
    (!EXITS_OF_SHELLS.contains(&code) && code == 128 + SIGNAL_SYS).then_some(Sign::Signal)
}

/// What the model is told when a person said no to running something without its sandbox.
pub(crate) fn rejected(answer: Answer) -> Answer {
    let line = "windlass: rejected by the user: it was not run again without the sandbox; do not try \
                the same thing again";
    with_line(answer, line)
}

impl Thread {
    /// Answers what was attempted, unless it is to be tried again without its sandbox.
    pub(crate) fn attempted(
        &mut self,
        index: usize,
        attempt: Attempt,
        sign: Option<Sign>,
        outcome: (Answer, Report),
        desk: &mut Desk<'_>,
    ) {
        let (answer, report) = outcome;
        let sign = sign.filter(|_| attempt.confinement == Confinement::Sandboxed);
        let Some(sign) = sign else {
            self.calls_mut()[index].answer(answer, report);
            return;
        };
        match approval::judge_again(&self.settings, &attempt, &self.approvals) {
            Relaxed::No => {
                let answer = with_line(answer, &hint(&self.settings, &sign));
                self.calls_mut()[index].answer(answer, report);
            }
            Relaxed::Ask => {
                let question = question(&attempt);
                let failure = answer.text().to_owned();
                let asked = Asked::Again(Box::new(attempt), answer, report);
                self.consult(index, asked, question, Some(&failure), desk);
            }
            Relaxed::RunUnconfined => {
                let message = "the sandbox seems to have stopped a command that was approved; it \
                               runs again without";
                desk.out.tell(self.id, Event::Warning { message: message.into() });
                self.try_again(index, attempt, (answer, report), desk);
            }
        }
    }

    /// Runs it once more, without its sandbox; if it cannot run, what came of it is its answer.
    pub(crate) fn try_again(
        &mut self,
        index: usize,
        attempt: Attempt,
        outcome: (Answer, Report),
        desk: &mut Desk<'_>,
    ) {
        let (confinement, leave) = (Confinement::Unconfined, Leave::Person);
        self.attempt(index, Attempt { what: attempt.what, confinement, leave }, desk);
        let call = &mut self.calls_mut()[index];
        if !call.is_under_way() {
            call.answer(outcome.0, outcome.1);
        }
    }
}

fn question(attempt: &Attempt) -> Question {
    let reason = Some(REASON.into());
    match &attempt.what {
        Attempted::Command(command) => {
            let (argv, cwd) = (command.argv.clone(), command.workdir.clone());
            Question::Command { argv, cwd, reason, risk: None }
        }
        Attempted::Patch(patch, _) => {
            let argv = vec!["apply_patch".to_string()];
            Question::Command { argv, cwd: patch.workdir.clone(), reason, risk: None }
        }
    }
}

/// One line for the model: what was refused, and how to ask.
fn hint(settings: &ThreadSettings, sign: &Sign) -> String {
    let mode = sandbox_name(settings.sandbox.mode);
    let network = if settings.sandbox.network { "with network" } else { "without network" };
    let what = match sign {
        Sign::Line(line) => format!("\"{line}\""),
        Sign::Signal => "a system call it does not allow".to_string(),
    };
    let next = match settings.approval {
        ApprovalPolicy::OnRequest => {
            "if it is needed, run it again with with_escalated_permissions and a justification"
        }
        ApprovalPolicy::Never | ApprovalPolicy::OnFailure | ApprovalPolicy::Untrusted => {
            "nobody can be asked to lift it; find a way that stays within"
        }
    };
    format!("windlass: the sandbox ({mode}, {network}) has likely refused {what}; {next}")
}

fn with_line(answer: Answer, line: &str) -> Answer {
    let add = |text: Box<str>| -> Box<str> {
        let mut text = text.into_string();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
        text.into()
    };
    match answer {
        Answer::Text { text, success } => Answer::Text { text: add(text), success },
        Answer::Command(answer) => {
            Answer::Command(CommandAnswer { output: add(answer.output), ..answer })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sign, sign};
    use crate::core::input::CommandEnded;
    use crate::limits::DENIAL_QUOTE_BYTES_MAX;

    fn check(code: i32, output: &str, expected: Option<&str>) {
        let line = |line: &str| Sign::Line(line.into());
        let told = sign(&CommandEnded::Exited { code }, output);
        assert_eq!(told, expected.map(line), "{code}: {output}");
    }

    #[test]
    fn every_sign_of_a_denial_is_known_in_any_case() {
        for text in [
            "Operation not permitted",
            "touch: a: Permission denied",
            "READ-ONLY FILE SYSTEM",
            "bad seccomp",
            "the Sandbox",
            "landlock: no",
            "Failed to write file a",
        ] {
            check(1, &format!("first\n{text}\r\nlast\n"), Some(text));
            check(2, text, Some(text));
            check(127, text, Some(text));
            check(0, text, None);
        }
    }

    #[test]
    fn other_failures_are_no_denials() {
        for code in [1, 2, 126, 127, 130, 137, -1] {
            check(code, "error: no such file\n", None);
        }
        let not_started = CommandEnded::NotStarted { why: "permission denied".into() };
        assert_eq!(sign(&not_started, "permission denied"), None);
    }

    #[test]
    fn a_killing_system_call_is_a_denial() {
        assert_eq!(sign(&CommandEnded::Signalled { signal: 31 }, ""), Some(Sign::Signal));
        assert_eq!(sign(&CommandEnded::Exited { code: 159 }, ""), Some(Sign::Signal));
        assert_eq!(sign(&CommandEnded::Signalled { signal: 9 }, ""), None);
    }

    #[test]
    fn the_line_is_bounded() {
        let output = format!("permission denied {}", "é".repeat(DENIAL_QUOTE_BYTES_MAX));
        let Some(Sign::Line(line)) = sign(&CommandEnded::Exited { code: 1 }, &output) else {
            panic!("a denial")
        };
        assert!(line.len() <= DENIAL_QUOTE_BYTES_MAX && line.len() + 4 > DENIAL_QUOTE_BYTES_MAX);
    }
}
