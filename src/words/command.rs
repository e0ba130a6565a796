//! What a front may ask, and the closed list of refusals.

use crate::words::ids::{CallId, ConversationId, ThreadId, TurnId};
use crate::words::item::{Item, Part};
use crate::words::model::{Counted, RateLimits, Usage};
use crate::words::policy::Decision;
use crate::words::settings::ThreadSettings;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Open a new thread.
    Start { settings: Box<ThreadSettings> },
    /// Load a recorded conversation into a thread.
    Resume { settings: Box<ThreadSettings>, which: Which },
    /// Load a recorded conversation into a thread that is recorded as a new one.
    Fork { settings: Box<ThreadSettings>, which: Which },
    /// Say something: in the running turn, else in one of its own. A review hears nothing; what is
    /// said meanwhile has a turn after it.
    Prompt { thread: ThreadId, parts: Vec<Part> },
    /// Change what the thread runs with; a turn that runs goes on as it began.
    Configure { thread: ThreadId, settings: Box<ThreadSettings> },
    /// Say something in this turn or not at all.
    Steer { thread: ThreadId, turn: TurnId, parts: Vec<Part> },
    /// Review something in a turn of its own; the thread's settings are those of reviews.
    Review {
        thread: ThreadId,
        parts: Vec<Part>,
        /// What is reviewed, in a few words for people.
        hint: Box<str>,
    },
    /// Review something in a child of the thread, with settings of its own. Fronts are told of it
    /// as of a review; of what was said, the history of the thread gets the verdict alone.
    ReviewApart {
        thread: ThreadId,
        settings: Box<ThreadSettings>,
        parts: Vec<Part>,
        hint: Box<str>,
    },
    /// Answer a question of the thread or of its child.
    Answer { thread: ThreadId, call: CallId, decision: Decision },
    /// Replace the history by a summary of it, in a turn of its own.
    Compact { thread: ThreadId },
    /// Run a line of the user with their shell, in a turn of its own that asks no model.
    Run { thread: ThreadId, line: Box<str>, timeout_ms: u64 },
    /// The first stops the turn, the second skips its grace.
    Interrupt { thread: ThreadId },
    /// Stop the turn if there is one, then forget the thread.
    Close { thread: ThreadId },
}

/// A turn that is not a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsteerable {
    Review,
    Compaction,
}

/// Which recorded conversation is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    Id(ConversationId),
    /// The newest one; `cwd` narrows it to those begun in that directory.
    Last {
        cwd: Option<Box<str>>,
    },
    Path(Box<str>),
    /// As much of one, to the end of a line; only a fork goes on from that.
    Part {
        path: Box<str>,
        bytes: u64,
    },
}

/// How a thread goes on from a recorded conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    /// As the same conversation, in its rollout.
    Resume,
    /// As one of its own: the rollout stays as it is.
    Fork,
}

/// What a rollout gave back.
#[derive(Clone, PartialEq, Debug)]
pub struct Restored {
    pub conversation: ConversationId,
    pub items: Vec<Item>,
    /// Token totals as last recorded.
    pub usage: Usage,
    /// What the last response took of them.
    pub last_usage: Usage,
    /// What the last response's tokens say of the items.
    pub counted: Counted,
    /// Limits of the account as last recorded.
    pub limits: Option<RateLimits>,
    /// Lines that could not be read and were left out.
    pub lines_skipped: u64,
}

/// Why a command does not fit the state of things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    NoSuchThread,
    /// Every slot for threads is taken.
    TooManyThreads,
    /// Too many prompts wait for the turn to take them.
    TooManyPrompts,
    /// The prompt says nothing.
    EmptyPrompt,
    /// The prompt would make a line of its rollout that nobody reads back.
    PromptTooLong,
    /// A turn runs; this needs one of its own.
    TurnRuns,
    /// The model has said nothing that could be summed up.
    NothingToCompact,
    /// Nothing runs that could be interrupted.
    NothingRuns,
    /// The turn that was meant does not run.
    NoSuchTurn,
    /// The turn that was meant hears nothing.
    NotSteerable(Unsteerable),
    /// No question is open for this call: answered already, or never asked.
    NoQuestion,
    /// Too much outside work is in progress.
    TooManyOps,
    /// The thread is closing or still loading.
    NotReady,
}
