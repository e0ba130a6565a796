//! What a rollout remembers.
//!
//! A record names what is to be remembered; the codec in `wire/rollout.rs` is lent the thread's
//! history and settings beside it. Reading a rollout back gives [`Remembered`].

use crate::words::ids::{ConversationId, ItemIndex, TurnName};
use crate::words::item::Item;
use crate::words::model::{RateLimits, Usage};
use crate::words::settings::{GitFacts, ThreadSettings};

/// One line to be.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// The first line: who, where, when.
    Meta,
    /// An item of the history, whole.
    Item(ItemIndex),
    /// What the next request runs with.
    TurnContext,
    /// A user's message, as people see it.
    UserMessage(ItemIndex),
    /// An assistant's message, as people see it.
    AgentMessage(ItemIndex),
    /// A reasoning summary, as people see it.
    AgentReasoning(ItemIndex),
    /// Tokens of a response, or the same again with other limits.
    TokenCount { total: Usage, last: Usage, limits: Option<RateLimits> },
    /// All items before are replaced by the first ones of the history, the last of which is the
    /// summary.
    Compacted { items_count: u32 },
    /// A review begins, which the item asks for.
    ReviewEntered { item: ItemIndex, hint: Box<str> },
    /// A review is over; the item holds its verdict, if there is one.
    ReviewExited { verdict: Option<ItemIndex> },
    /// A turn begins: the first that is recorded of it.
    TurnStarted { turn: TurnName },
    /// The turn is over; a failure has been recorded before. The item is its last message.
    TurnEnded { turn: TurnName, said: Option<ItemIndex>, wall_ms: u64 },
    /// The turn is over, since it was interrupted.
    TurnAborted { turn: TurnName, wall_ms: u64 },
    /// What failed the turn.
    TurnFailed { message: Box<str> },
}

/// What a record's encoder is lent.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    pub conversation: ConversationId,
    /// The conversation that it began as.
    pub forked_from: Option<ConversationId>,
    /// What kind of child's it is, if it is one's.
    pub sub_agent: Option<&'a str>,
    pub settings: &'a ThreadSettings,
    pub git: Option<&'a GitFacts>,
    pub items: &'a [Item],
}

/// What one line of a rollout meant.
#[derive(Clone, PartialEq, Debug)]
pub enum Remembered {
    Meta {
        conversation: ConversationId,
        cwd: Box<str>,
    },
    Item(Item),
    /// Everything before is replaced by the user's messages so far and this summary, or by what is
    /// named instead.
    Compacted {
        summary: Box<str>,
        replacement: Option<Vec<Item>>,
    },
    TokenCount {
        total: Usage,
        last: Usage,
        limits: Option<RateLimits>,
    },
    /// A well-formed line that history does not need.
    Nothing,
}
