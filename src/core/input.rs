//! Everything that can happen.

use crate::words::call::{Change, Seen, Unread};
use crate::words::command::{Command, Restored};
use crate::words::ids::{FrontId, ItemIndex, OpId, ThreadId};
use crate::words::model::ModelEvent;
use crate::words::settings::OpeningFacts;

/// The time as an argument: the machine has no clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Milliseconds that never run backwards; deadlines are in these.
    pub mono_ms: u64,
    /// Milliseconds since 1970, for ids.
    pub wall_ms: u64,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Input<'a> {
    /// A front asks for something.
    Command { front: FrontId, command: Command },
    /// Facts about the place have been gathered; the past of a fork is in its rollout.
    Opened { op: OpId, facts: OpeningFacts },
    /// The past of a fork could not be put into its rollout, which there is not.
    Unopened { op: OpId, why: Box<str> },
    /// A rollout was read, or could not be.
    Restored { op: OpId, result: Result<Box<Restored>, Box<str>> },
    /// A response brought something; `Completed` and `Failed` are its end.
    Model { op: OpId, event: ModelEvent<'a> },
    /// A command ended.
    Exited { op: OpId, end: CommandResult },
    /// `windlass-files` answered a look, or says why not.
    Looked { op: OpId, result: Result<Seen, Box<str>> },
    /// What a session has printed since it was last asked; it goes on.
    Yielded { op: OpId, unread: Unread },
    /// What was to be written to a session was not; it goes on.
    Unwritten { op: OpId, why: Box<str> },
    /// A session ended; its output is all of it, `unread` what nobody has asked for yet.
    SessionEnded { op: OpId, end: CommandResult, unread: Unread },
    /// `windlass-files` says what a patch would do, or why it cannot be applied.
    Inspected { op: OpId, result: Result<Vec<Change>, Box<str>> },
    /// `windlass-files` has applied a patch: what it printed; `Err` if it failed.
    Applied { op: OpId, result: Result<Box<str>, Box<str>> },
    /// Work that was to be stopped has ended without an answer.
    Stopped { op: OpId },
    /// A batch could not be recorded, and so nothing of it was done or told, stops aside. Comes
    /// before any other input.
    AppendFailed { thread: ThreadId, lost: Lost, message: Box<str> },
    /// The time that `next_deadline` named has come.
    Deadline,
}

/// What of a batch is not in the rollout.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lost {
    /// The rollout has no first line yet.
    pub meta: bool,
    /// It does not say that the turn has begun.
    pub beginning: bool,
    /// It does not say that a turn has ended.
    pub end: bool,
    /// What a summary was to replace is still what it holds.
    pub compacted: bool,
    /// This item and all after it.
    pub items_from: Option<ItemIndex>,
}

/// How a command ended, and what it printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandResult {
    pub ended: CommandEnded,
    /// Clipped; valid UTF-8.
    pub output: Box<str>,
    /// How many lines there were, when lines are missing from `output`.
    pub lines_total: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandEnded {
    Exited {
        code: i32,
    },
    Signalled {
        signal: i32,
    },
    /// It never ran; the text says why.
    NotStarted {
        why: Box<str>,
    },
}
