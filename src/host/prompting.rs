//! From the command line and stdin to the prompt, and from the prompt to a thread that has it.

use std::io;
use std::os::fd::BorrowedFd;

use crate::config::review;
use crate::core::input::Input;
use crate::fronts::exec::prompt::compose;
use crate::fronts::exec::{EXIT_FAILED, EXIT_TIMED_OUT};
use crate::fronts::visible;
use crate::host::poller::{Key, Kind};
use crate::host::stdin::{Asked, Demand, Ending, Progress, PromptFrom, Stdin, StdinError};
use crate::host::stdio::Watch;
use crate::host::{FRONT, Host, clock};
use crate::limits::READ_BUDGET_BYTES;
use crate::words::command::Command;
use crate::words::item::Part;

/// How far the prompt has come.
#[derive(Debug)]
pub struct Prompting {
    /// The prompt of the command line; `-` is not one.
    pub argument: Option<Box<str>>,
    pub images: Vec<Part>,
    pub asks: Asks,
    pub asked: Asked,
    /// When the run must be over.
    pub end_ms: Option<u64>,
    /// Opens the thread once there is a prompt for it.
    pub opening: Option<Command>,
    pub stage: Stage,
}

/// What a prompt asks for.
#[derive(Debug)]
pub enum Asks {
    Work,
    /// A review, and how people are told of it; `None` if the prompt's own words say it.
    Review(Option<Box<str>>),
}

#[derive(Debug)]
pub enum Stage {
    NotBegun,
    Reading(Stdin),
    /// The thread is being opened.
    Opening(Vec<Part>),
    /// The thread has it.
    Given,
    /// There is no prompt, and so nothing to do.
    Failed {
        exit_code: u8,
    },
}

const STDIN: Key = Key::new(Kind::Stdin, 0, 0);

impl Prompting {
    /// Nobody is prompted for.
    pub fn none() -> Prompting {
        let (demand, prompt) = (Demand::Never, PromptFrom::Argument);
        Prompting {
            argument: None,
            images: Vec::new(),
            asks: Asks::Work,
            asked: Asked { demand, prompt, timeout_ms: None },
            end_ms: None,
            opening: None,
            stage: Stage::Given,
        }
    }

    pub fn next_deadline(&self) -> Option<u64> {
        match &self.stage {
            Stage::Reading(stdin) => stdin.next_deadline(),
            // Once it is open, the machine keeps the time.
            Stage::Opening(_) => self.end_ms,
            Stage::NotBegun | Stage::Given | Stage::Failed { .. } => None,
        }
    }
}

impl Host {
    pub(crate) fn begin_prompting(&mut self) -> io::Result<()> {
        // SAFETY: descriptor 0 is open: the program's first act is to see to that.
        let fd = unsafe { BorrowedFd::borrow_raw(0) };
        let stdin = Stdin::open(fd, self.prompting.asked, clock::mono_ms())?;
        match stdin.register(self.poller.registry(), STDIN.token())? {
            Watch::Events | Watch::AlwaysReady => self.poller.mark_ready(STDIN),
        }
        self.prompting.stage = Stage::Reading(stdin);
        Ok(())
    }

    pub(crate) fn on_stdin(&mut self) {
        let now_ms = clock::mono_ms();
        let Stage::Reading(stdin) = &mut self.prompting.stage else { return };
        let progress = stdin.advance(now_ms, READ_BUDGET_BYTES);
        while let Some(notice) = stdin.notice(now_ms) {
            let line = format!("{}\n", visible::line(&notice.to_string()));
            self.seam.output.stderr.extend_from_slice(line.as_bytes());
        }
        match progress {
            Progress::Waiting => {}
            Progress::Spent => self.poller.mark_ready(STDIN),
            Progress::Ended(ending) => {
                stdin.deregister(self.poller.registry());
                self.on_stdin_ended(ending);
            }
        }
    }

    pub(crate) fn on_prompting_deadline(&mut self, now_ms: u64) {
        if self.prompting.next_deadline().is_none_or(|at_ms| at_ms > now_ms) {
            return;
        }
        match self.prompting.stage {
            Stage::Opening(_) => {
                let message = "the session took longer to load than --timeout allows";
                self.fail_prompting_with(EXIT_TIMED_OUT, message);
            }
            Stage::Reading(_) | Stage::NotBegun | Stage::Given | Stage::Failed { .. } => {
                self.on_stdin();
            }
        }
    }

    fn on_stdin_ended(&mut self, ending: Ending) {
        let input = match ending {
            Ending::Text(text) => Some(text),
            Ending::Absent(_) => None,
            Ending::Failed(error) => {
                let exit_code = match error {
                    StdinError::TimedOut { .. } => EXIT_TIMED_OUT,
                    StdinError::TooLong
                    | StdinError::NotUtf8 { .. }
                    | StdinError::Unreadable(_) => EXIT_FAILED,
                };
                return self.fail_prompting_with(exit_code, &error.to_string());
            }
        };
        let prompting = &mut self.prompting;
        match compose(prompting.argument.as_deref(), input.as_deref()) {
            Ok(text) => {
                let mut parts = std::mem::take(&mut prompting.images);
                parts.push(Part::Text(text.into()));
                prompting.stage = Stage::Opening(parts);
                if let Some(command) = prompting.opening.take() {
                    self.seam.feed(Input::Command { front: FRONT, command });
                }
            }
            Err(error) => self.fail_prompting(&error.to_string()),
        }
    }

    /// Gives the prompt to the thread as soon as it is open.
    pub(crate) fn prompt_thread(&mut self) {
        let Some(thread) = self.seam.thread else { return };
        if !matches!(self.prompting.stage, Stage::Opening(_)) {
            return;
        }
        if let Stage::Opening(parts) = std::mem::replace(&mut self.prompting.stage, Stage::Given) {
            let said = parts.iter().rev().find_map(|part| match part {
                Part::Text(text) => Some(&**text),
                Part::Image(_) => None,
            });
            let command = match &mut self.prompting.asks {
                Asks::Work => Command::Prompt { thread, parts },
                Asks::Review(hint) => {
                    let hint = hint.take().unwrap_or_else(|| review::hint(said.unwrap_or("")));
                    Command::Review { thread, parts, hint }
                }
            };
            self.seam.feed(Input::Command { front: FRONT, command });
        }
    }

    pub(crate) fn fail_prompting(&mut self, message: &str) {
        self.fail_prompting_with(EXIT_FAILED, message);
    }

    fn fail_prompting_with(&mut self, exit_code: u8, message: &str) {
        self.prompting.stage = Stage::Failed { exit_code };
        let line = format!("error: {}\n", visible::line(message));
        self.seam.output.stderr.extend_from_slice(line.as_bytes());
    }

    /// The exit code of a run that has no prompt.
    pub(crate) fn without_prompt(&self) -> Option<u8> {
        match self.prompting.stage {
            Stage::Failed { exit_code } => Some(exit_code),
            Stage::NotBegun | Stage::Reading(_) | Stage::Opening(_) | Stage::Given => None,
        }
    }
}
