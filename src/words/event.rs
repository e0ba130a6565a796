//! What a front is told.
//!
//! Events name items in the thread's history instead of copying them; whoever tells a front lends
//! it the history beside the event.

use crate::words::call::{Change, Task};
use crate::words::command::Refusal;
use crate::words::ids::{CallId, ConversationId, ItemIndex, TurnId};
use crate::words::model::{FailureKind, RateLimits, Usage};

#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The thread is open: always its first event.
    ThreadStarted {
        conversation: ConversationId,
        /// It has a past, as the same conversation or as a fork.
        resumed: bool,
    },
    /// The thread's past is being read; it starts or fails later.
    ThreadLoading,
    /// The thread could not be opened or resumed; it does not exist.
    ThreadFailed {
        message: Box<str>,
    },
    TurnStarted {
        turn: TurnId,
    },
    /// The thread took a prompt; the item is the user's message.
    PromptTaken {
        item: ItemIndex,
    },
    /// A review begins, which the item asks for. What follows is part of it.
    ReviewEntered {
        item: ItemIndex,
        /// What is reviewed, in a few words.
        hint: Box<str>,
    },
    /// The review is over; the item is the message that holds its verdict, if there is one.
    ReviewExited {
        verdict: Option<ItemIndex>,
    },
    /// The awaited message grew; the text is in the lent partial text, from this byte on.
    TextDelta {
        from_bytes: u32,
    },
    ReasoningDelta {
        from_bytes: u32,
        kind: Thought,
    },
    /// What follows of the reasoning's summary is a part of its own.
    ReasoningBreak,
    /// The provider begins to serve a call of its own (web search); it completes as an item.
    ServedStarted,
    /// An assistant message, reasoning or served call is whole.
    ItemCompleted {
        item: ItemIndex,
    },
    /// A command starts, or will if a person lets it: then `ApprovalAsked` comes next. The item is
    /// its call.
    CommandStarted {
        call: CallId,
        item: ItemIndex,
        argv: Vec<String>,
        cwd: Box<str>,
    },
    /// A command ended; the item is its output.
    CommandEnded {
        call: CallId,
        item: ItemIndex,
        ended: CommandEnd,
    },
    /// A command of the user starts; that it has ended is told as of a session.
    UserCommandStarted {
        call: CallId,
        argv: Vec<String>,
        cwd: Box<str>,
    },
    /// A command that outlived its call, or could have, has ended; outside turns as well.
    SessionEnded {
        /// The call that started it.
        call: CallId,
        ended: CommandEnd,
        /// All that it printed, clipped.
        output: Box<str>,
    },
    /// As `CommandStarted`.
    PatchStarted {
        call: CallId,
        item: ItemIndex,
        changes: Vec<Change>,
    },
    /// The item is the patch call's output.
    PatchEnded {
        call: CallId,
        item: ItemIndex,
        changes: Vec<Change>,
        applied: bool,
    },
    /// Another tool's call was answered; the items are the call and its output.
    CallAnswered {
        call: CallId,
        item: ItemIndex,
        output: ItemIndex,
    },
    TasksUpdated {
        tasks: Vec<Task>,
    },
    ApprovalAsked {
        call: CallId,
        item: ItemIndex,
        question: Question,
    },
    /// The question of this call is no longer open.
    ApprovalSettled {
        call: CallId,
    },
    /// A request failed and will be tried again.
    Retrying {
        attempt: u32,
        attempts_max: u32,
        delay_ms: u64,
        message: Box<str>,
    },
    Warning {
        message: Box<str>,
    },
    /// The history no longer fits, or a person asked: the model is asked to sum it up.
    CompactionStarted,
    /// A summary has taken the history's place, all of it: items told before are no longer there.
    Compacted {
        summary: ItemIndex,
    },
    /// What is known of the account's limits, also at the beginning from a past.
    Limits {
        limits: RateLimits,
    },
    /// A response was whole; tokens of the turn so far.
    Tokens {
        last: Usage,
        turn: Usage,
        total: Usage,
    },
    /// An interrupt was heard; running things are being stopped.
    TurnStopping {
        turn: TurnId,
    },
    TurnEnded {
        turn: TurnId,
        how: Ended,
        usage: Usage,
    },
    ThreadClosed,
    /// A command did not fit the state of things; nothing was changed.
    Refused {
        refusal: Refusal,
    },
}

/// What kind of reasoning is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Thought {
    Summary,
    Raw,
}

/// How a command's end is to be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandEnd {
    /// It ran and exited with this code; 0 is success.
    Exited { exit_code: i32 },
    /// It never ran: the sandbox or the system refused.
    NotStarted,
    /// A person or the policy said no.
    Declined,
    /// It was stopped by an interrupt.
    Interrupted,
}

/// What a person is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    Command {
        argv: Vec<String>,
        cwd: Box<str>,
        reason: Option<Box<str>>,
        /// What a model makes of it, if one was asked and answered in time.
        risk: Option<Risk>,
    },
    Patch {
        changes: Vec<Change>,
        reason: Option<Box<str>>,
    },
}

/// What running a command may do, as a model sees it: for whoever is asked, and nobody else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Risk {
    /// One line without control characters.
    pub description: Box<str>,
    pub level: RiskLevel,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RiskLevel {
    Low,
    Medium,
    High,
}

/// How a turn ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The model has nothing more to do.
    Completed,
    Interrupted,
    Failed {
        kind: Failed,
        message: Box<str>,
    },
}

/// What failed a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    Model(FailureKind),
    /// The rollout could not be written.
    Record,
    /// A bound of the program was reached.
    Bound,
    /// What the turn may use is used up.
    Spent(Budget),
}

/// What a turn may use of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Budget {
    /// Requests to the model.
    Requests,
    Tokens,
    Time,
}
