//! One prompt, run to its end without questions: for people (`plain`) or programs (`jsonl`).
//!
//! The front is told events, writes what they look like, and keeps what the process needs at its
//! end: the exit code and the last message of the model.

pub mod jsonl;
pub mod plain;
pub mod plain_text;
pub mod prompt;
pub mod reviewing;
pub mod shell_words;
pub mod status;
pub mod style;

use std::borrow::Cow;

use crate::fronts::exec::jsonl::Jsonl;
use crate::fronts::exec::plain::Plain;
use crate::fronts::exec::reviewing::{Reviewing, Then};
use crate::fronts::{Output, visible};
use crate::words::call::{Answer, printed};
use crate::words::command::Refusal;
use crate::words::event::{Budget, CommandEnd, Ended, Event, Failed};
use crate::words::ids::ItemIndex;
use crate::words::item::{Item, Part, Role};
use crate::words::review::Verdict;
use crate::words::settings::ThreadSettings;

/// The turn completed.
pub const EXIT_COMPLETED: u8 = 0;
/// The turn failed, or never started.
pub const EXIT_FAILED: u8 = 1;
/// The turn used up its model requests.
pub const EXIT_REQUESTS_SPENT: u8 = 4;
/// The turn used up its tokens.
pub const EXIT_TOKENS_SPENT: u8 = 5;
/// The run took too long; what timeout(1) says of that.
pub const EXIT_TIMED_OUT: u8 = 124;
/// The turn was interrupted; what a shell reports of SIGINT.
pub const EXIT_INTERRUPTED: u8 = 130;

/// What people and programs are told when a summary has replaced the conversation.
const COMPACTED: &str = "the conversation was summed up to make room; the model may have lost \
    details of it";

/// The front of `exec`.
#[derive(Debug)]
pub struct Exec {
    manner: Manner,
    /// If the run is a review.
    review: Option<Reviewing>,
    end: End,
    /// What the model said last.
    last_item: Option<ItemIndex>,
    /// A copy of its text, if it is wanted after the end.
    last_message: Option<Box<str>>,
    is_last_message_wanted: bool,
    /// Whether anything was written to stdout that a program reads.
    started: bool,
}

/// How far the run's end has come, with the exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    NotYet,
    /// The turn is over, but not what it has started: the thread is to be closed.
    Leaving(u8),
    /// The thread closes.
    Closing(u8),
    /// Nothing more will be told.
    Over(u8),
}

#[derive(Debug)]
enum Manner {
    Plain(Plain),
    Jsonl(Jsonl),
}

impl Exec {
    /// Writes for people.
    pub fn plain(plain: Plain) -> Exec {
        Exec::new(Manner::Plain(plain))
    }

    /// Writes for programs.
    pub fn jsonl(jsonl: Jsonl) -> Exec {
        Exec::new(Manner::Jsonl(jsonl))
    }

    fn new(manner: Manner) -> Exec {
        Exec {
            manner,
            review: None,
            end: End::NotYet,
            last_item: None,
            last_message: None,
            is_last_message_wanted: false,
            started: false,
        }
    }

    /// Keeps the last message for when the run is over. It may be long, so not unasked.
    pub fn keeping_last_message(mut self) -> Exec {
        self.is_last_message_wanted = true;
        self
    }

    /// The thread goes on with these settings instead.
    pub fn recalled(&mut self, settings: &ThreadSettings) {
        match &mut self.manner {
            Manner::Plain(plain) => plain.recalled(settings),
            Manner::Jsonl(_) => {}
        }
    }

    /// The run is a review in this directory.
    pub fn reviewing(mut self, cwd: &str) -> Exec {
        self.review = Some(Reviewing::new(cwd));
        self
    }

    /// Whether the run is over; what is told after it is not shown.
    pub fn is_finished(&self) -> bool {
        matches!(self.end, End::Over(_))
    }

    /// Whether the thread is to be closed, so that all its sessions tell their end. Says so once.
    pub fn takes_leave(&mut self) -> bool {
        let End::Leaving(code) = self.end else { return false };
        self.end = End::Closing(code);
        true
    }

    /// The exit code; a run that has not ended has failed so far.
    pub fn exit_code(&self) -> u8 {
        match self.end {
            End::Over(code) => code,
            End::NotYet | End::Leaving(_) | End::Closing(_) => EXIT_FAILED,
        }
    }

    /// The text of the model's last message, for `--output-last-message`; `None` unless it was to
    /// be kept.
    pub fn last_message(&self) -> Option<&str> {
        self.last_message.as_deref()
    }

    /// Takes the next event; `items` is the thread's history.
    pub fn told(&mut self, event: &Event, items: &[Item], out: &mut Output) {
        if self.is_finished() {
            return;
        }
        match event {
            Event::ThreadStarted { .. } => self.started = true,
            Event::ThreadFailed { message } => return self.fail(message, out),
            Event::Refused { refusal } => {
                if let Some(message) = fatal(*refusal) {
                    self.fail(message, out);
                }
                return;
            }
            Event::ItemCompleted { item } => {
                if let Some(text) = assistant_text(items, *item) {
                    self.last_item = Some(*item);
                    self.last_message = self.is_last_message_wanted.then(|| text.into());
                }
            }
            Event::TurnEnded { how, .. } => self.end = self.ended(code(how)),
            Event::ThreadClosed => {
                self.end = match self.end {
                    End::Leaving(code) | End::Closing(code) => End::Over(code),
                    End::NotYet | End::Over(_) => End::Over(EXIT_FAILED),
                };
            }
            _ => {}
        }
        let Some(reviewing) = &mut self.review else { return self.show(event, items, out) };
        let step = reviewing.told(event, items);
        if let Some(item) = step.before {
            self.show(&Event::ItemCompleted { item }, items, out);
        }
        match step.then {
            Then::Event => self.show(event, items, out),
            Then::Nothing => {}
            Then::Verdict(verdict) => self.show_verdict(&verdict, out),
        }
    }

    fn show(&mut self, event: &Event, items: &[Item], out: &mut Output) {
        match &mut self.manner {
            Manner::Plain(plain) => plain.told(event, items, self.last_item, out),
            Manner::Jsonl(jsonl) => jsonl.told(event, items, &mut out.stdout),
        }
    }

    /// What the end of the turn means for the run.
    fn ended(&self, code: u8) -> End {
        match &self.manner {
            Manner::Jsonl(jsonl) if jsonl.has_open_commands() => End::Leaving(code),
            Manner::Jsonl(_) | Manner::Plain(_) => End::Over(code),
        }
    }

    /// Shows what came of a review, as what was said last.
    fn show_verdict(&mut self, verdict: &Verdict, out: &mut Output) {
        let Some(reviewing) = &self.review else { return };
        let text = reviewing.text(verdict);
        match &mut self.manner {
            Manner::Plain(plain) => {
                plain.verdict(verdict, reviewing, &text, &mut out.stderr);
            }
            Manner::Jsonl(jsonl) => jsonl.verdict(verdict, &text, &mut out.stdout),
        }
        self.last_message = self.is_last_message_wanted.then(|| text.into());
    }

    /// Ends the run before a turn could: people read it on stderr; a program that has seen the
    /// thread start reads it on stdout too.
    fn fail(&mut self, message: &str, out: &mut Output) {
        self.end = End::Over(EXIT_FAILED);
        match &mut self.manner {
            Manner::Plain(plain) => plain.error(message, &mut out.stderr),
            Manner::Jsonl(_) => {
                if self.started {
                    jsonl::error_line(message, &mut out.stdout);
                }
                let message = visible::block(message);
                out.stderr.extend_from_slice(format!("error: {message}\n").as_bytes());
            }
        }
    }
}

fn code(how: &Ended) -> u8 {
    match how {
        Ended::Completed => EXIT_COMPLETED,
        Ended::Interrupted => EXIT_INTERRUPTED,
        Ended::Failed { kind: Failed::Spent(budget), .. } => match budget {
            Budget::Requests => EXIT_REQUESTS_SPENT,
            Budget::Tokens => EXIT_TOKENS_SPENT,
            Budget::Time => EXIT_TIMED_OUT,
        },
        Ended::Failed { kind: Failed::Model(_) | Failed::Record | Failed::Bound, .. } => {
            EXIT_FAILED
        }
    }
}

/// What a refusal means to a run of one prompt: the message it ends with, or `None` if it may go
/// on.
fn fatal(refusal: Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::NoSuchThread => Some("the prompt was not taken: its thread is gone"),
        Refusal::TooManyThreads => Some("the thread was not opened: too many are open"),
        Refusal::TooManyPrompts => Some("the prompt was not taken: too many are waiting"),
        Refusal::EmptyPrompt => Some("the prompt was not taken: it is empty"),
        Refusal::PromptTooLong => Some(
            "the prompt was not taken: with its images it is larger than 32 MiB, the longest line \
             of a recorded session; give less of it at once",
        ),
        Refusal::NotReady => Some("the prompt was not taken: its thread is not ready"),
        Refusal::TooManyOps => Some("the prompt was not taken: too much is in progress"),
        Refusal::TurnRuns
        | Refusal::NothingToCompact
        | Refusal::NothingRuns
        | Refusal::NoSuchTurn
        | Refusal::NotSteerable(_)
        | Refusal::NoQuestion => None,
    }
}

/// The text of an item if it is a message of the model that says something.
pub(in crate::fronts) fn assistant_text(items: &[Item], index: ItemIndex) -> Option<Cow<'_, str>> {
    match item(items, index)? {
        Item::Message(message) if message.role == Role::Assistant => {
            let text = match message.parts.as_slice() {
                [Part::Text(text)] => Cow::Borrowed(&**text),
                _ => message.texts().collect(),
            };
            (!text.is_empty()).then_some(text)
        }
        _ => None,
    }
}

/// What is shown as the output of a command that ended so: of one that was stopped, what it had
/// printed; of one that never ran, why.
pub(super) fn output_of(ended: CommandEnd, answer: Option<&Answer>) -> &str {
    let text = answer.map_or("", Answer::text);
    match ended {
        CommandEnd::Interrupted => printed(text),
        CommandEnd::Exited { .. } | CommandEnd::NotStarted | CommandEnd::Declined => text,
    }
}

/// The item an event names; `None` only if history and event do not belong together.
pub(super) fn item(items: &[Item], index: ItemIndex) -> Option<&Item> {
    items.get(index.0 as usize)
}

#[cfg(test)]
mod tests;
