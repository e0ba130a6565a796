//! What any model says, in one shape, and how it fails.

use crate::words::item::Item;

/// One thing that a response brought. Deltas borrow from the read buffer; items are owned, since
/// they become history.
#[derive(Clone, PartialEq, Debug)]
pub enum ModelEvent<'a> {
    /// The provider accepted the request.
    Created,
    /// A message, reasoning or served call begins.
    ItemStarted(ItemStart),
    TextDelta(&'a str),
    ReasoningDelta(&'a str),
    /// A new section of the reasoning summary begins.
    ReasoningBreak,
    /// Raw reasoning, where a provider shows it.
    ReasoningRawDelta(&'a str),
    /// An item is whole.
    ItemDone(Item),
    Limits(RateLimits),
    /// The model stopped at the limit of its length; what came still counts.
    CutShort,
    /// The response is whole.
    Completed {
        usage: Option<Usage>,
    },
    /// The response will not become whole.
    Failed(ModelFailure),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemStart {
    Message,
    Reasoning,
    Served,
}

/// Tokens that requests used.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    pub input: u64,
    pub cached_input: u64,
    pub cache_write_input: u64,
    pub output: u64,
    pub reasoning_output: u64,
    pub total: u64,
}

impl Usage {
    /// Adds another request's tokens, without overflow whatever a provider claims.
    pub fn add(&mut self, other: &Usage) {
        self.input = self.input.saturating_add(other.input);
        self.cached_input = self.cached_input.saturating_add(other.cached_input);
        self.cache_write_input = self.cache_write_input.saturating_add(other.cache_write_input);
        self.output = self.output.saturating_add(other.output);
        self.reasoning_output = self.reasoning_output.saturating_add(other.reasoning_output);
        self.total = self.total.saturating_add(other.total);
    }

    /// The one number that people are told: input that was not cached, and output.
    pub fn used(&self) -> u64 {
        self.input.saturating_sub(self.cached_input).saturating_add(self.output)
    }
}

/// What a provider counted: so many tokens for so many items, the last ones its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counted {
    /// 0 while nothing was counted.
    pub tokens: u64,
    pub items: usize,
}

/// What a conversation has used.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Spent {
    /// What the last response took.
    pub last: Usage,
    pub total: Usage,
    /// As the provider said last.
    pub limits: Option<RateLimits>,
}

/// How much of its limits the account has used.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct RateLimits {
    pub primary: Option<RateWindow>,
    pub secondary: Option<RateWindow>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RateWindow {
    pub used_percent: f64,
    pub window_minutes: Option<u64>,
    /// Unix seconds.
    pub resets_at: Option<u64>,
}

/// Why a response failed, and what a person should read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelFailure {
    pub kind: FailureKind,
    pub message: Box<str>,
    /// The provider said when to come back.
    pub retry_after_ms: Option<u64>,
}

impl ModelFailure {
    pub fn new(kind: FailureKind, message: impl Into<Box<str>>) -> ModelFailure {
        ModelFailure { kind, message: message.into(), retry_after_ms: None }
    }
}

/// What kind of failure it is; `core/retry.rs` says which come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// The history does not fit the model's window.
    ContextFull,
    /// A quota, plan or usage limit: no retry helps.
    Limit,
    /// The provider refused the request as such (4xx, invalid prompt, not allowed, redirect).
    Refused,
    /// The provider says it is overloaded and wants no retry.
    Overloaded,
    /// No credentials, or the provider did not accept them.
    Credentials,
    /// The provider was reached and answered 5xx.
    Server,
    /// Too many requests; come back later.
    RateLimited,
    /// Name, connection or TLS failed.
    Unreachable,
    /// The stream ended early, went silent, or said something that is not the protocol.
    Stream,
    /// A certificate, configuration or recording is wrong: trying again changes nothing.
    Setup,
}
