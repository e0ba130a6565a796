//! Compaction: a history that no longer fits gives way to a summary of itself.
//!
//! ```text
//!  a request is due that would not fit, or did not; or a person asks
//!     |
//!     v                                                          nothing left to leave out,
//!  the model sums it up --does not fit: asked again with less--> or failed: the turn fails
//!     | completed
//!     v
//!  bridge recorded, and the history from now on --> the request that was due, or no turn
//! ```
//!
//! The old history stays until its successor is recorded: whatever fails before that leaves the
//! conversation as it was. Compaction comes before a request, never after an answer: a turn that
//! has finished is not gone on with. Deltas and items of a summary are nobody's to read.

use crate::core::Desk;
use crate::core::bridge::{self, bridge};
use crate::core::draft::Draft;
use crate::core::history::History;
use crate::core::opening;
use crate::core::room::is_credible;
use crate::core::thread::{Phase, Thread};
use crate::limits::{SAID_BYTES_KEPT_MAX, SAID_BYTES_KEPT_MIN, SUMMARY_BYTES_MAX};
use crate::words::command::Refusal;
use crate::words::event::{Ended, Event, Failed};
use crate::words::ids::ItemIndex;
use crate::words::item::{Item, Role};
use crate::words::model::{Counted, FailureKind, ModelFailure, Usage};
use crate::words::record::Record;

/// What the turn's requests are for.
#[derive(Debug)]
pub enum Purpose {
    /// To go on.
    Answer,
    /// To sum up the history.
    Summary(Summing),
}

/// A summary that is asked for.
#[derive(Debug)]
pub struct Summing {
    pub(crate) draft: Draft,
    /// The last message, as far as it has come.
    summary: Option<Box<str>>,
    then: Then,
}

impl Summing {
    /// Whether the turn is about nothing else.
    pub(crate) fn is_all(&self) -> bool {
        self.then == Then::Rest
    }
}

/// What follows a summary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// The request that was due.
    Request,
    /// The turn's end, unless somebody has said something meanwhile.
    Rest,
}

/// What summing up has done for the turn lately.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relief {
    /// There was a response since, or never a compaction.
    Stale,
    /// No response has come since the history was replaced.
    Fresh,
    /// The first response after it had as many tokens as ought to have been too many.
    Vain { tokens: u64 },
}

/// A history that has a successor, until that is known to be recorded.
#[derive(Debug)]
pub struct Replaced {
    history: History,
    counted: Counted,
}

impl Replaced {
    pub(crate) fn items(&self) -> &[Item] {
        self.history.items()
    }
}

impl Thread {
    /// Sums up the history in a turn of its own, because somebody wants it.
    pub(crate) fn on_compact(&mut self, desk: &mut Desk<'_>) -> Result<(), Refusal> {
        if self.phase != Phase::Ready {
            return Err(Refusal::NotReady);
        }
        if self.turn.is_some() {
            return Err(Refusal::TurnRuns);
        }
        if !self.says_something() {
            return Err(Refusal::NothingToCompact);
        }
        self.begin_turn(desk);
        if self.may_record() {
            self.compact_all(desk);
        } else {
            self.turn_mut().compacts = true;
            self.ask_to_open(desk);
        }
        Ok(())
    }

    /// Sums up the history, and rests.
    pub(crate) fn compact_all(&mut self, desk: &mut Desk<'_>) {
        let draft = Draft::new(self.history.items(), &self.settings.compact_prompt);
        self.sum_up(draft, Then::Rest, desk);
    }

    /// Whether the history can be summed up before the request that is due.
    pub(crate) fn may_compact(&self) -> bool {
        let fresh = self.turn.as_ref().is_some_and(|turn| turn.relief == Relief::Fresh);
        !fresh && !self.is_one_shot() && self.says_something()
    }

    /// Sums up the history before the request that is due.
    pub(crate) fn compact(&mut self, desk: &mut Desk<'_>) {
        let (items, prompt) = (self.history.items(), &self.settings.compact_prompt);
        let draft = match self.exceeds_bytes() {
            true => Draft::slim(items, prompt),
            false => Draft::new(items, prompt),
        };
        self.sum_up(draft, Then::Request, desk);
    }

    /// The provider says that a request was more than its window holds.
    pub(crate) fn on_window_exceeded(&mut self, failure: ModelFailure, desk: &mut Desk<'_>) {
        let may_compact = self.may_compact();
        match &mut self.turn_mut().purpose {
            Purpose::Summary(summing) => match summing.draft.shrink() {
                true => self.ask_model(desk),
                false => self.fail_model(failure, desk),
            },
            Purpose::Answer if may_compact => {
                self.keep_partial(desk);
                let prompt = &self.settings.compact_prompt;
                let draft = Draft::slim(self.history.items(), prompt);
                self.sum_up(draft, Then::Request, desk);
            }
            Purpose::Answer => self.fail_model(failure, desk),
        }
    }

    /// An item of a summary is whole; only its text is of use.
    pub(crate) fn on_summary_item(&mut self, item: &Item) {
        let Purpose::Summary(summing) = &mut self.turn_mut().purpose else {
            unreachable!("only what is summed up has items of a summary")
        };
        if let Item::Message(message) = item {
            let text: String = message.texts().collect();
            summing.summary = Some(bridge::shortened(&text, SUMMARY_BYTES_MAX).into());
        }
    }

    /// The response to a summary is whole: what it says takes the history's place. One
    /// that says nothing is a failure like any other, and the history stays.
    pub(crate) fn on_summed_up(&mut self, desk: &mut Desk<'_>) {
        let Purpose::Summary(summing) = &mut self.turn_mut().purpose else {
            unreachable!("only what is summed up comes to a summary")
        };
        let then = summing.then;
        let summary = summing.summary.take().filter(|summary| !summary.trim().is_empty());
        let Some(summary) = summary else {
            let nothing = ModelFailure::new(FailureKind::Refused, "the model said nothing");
            return self.fail_model(nothing, desk);
        };
        self.turn_mut().purpose = Purpose::Answer;
        let opening = opening::items(&self.settings);
        let items = bridge(opening, self.history.items(), &summary, self.said_bytes_kept());
        let items_count = items.len() as u32;
        let history = std::mem::replace(&mut self.history, History::settled(items));
        let counted = std::mem::take(&mut self.counted);
        self.replaced = Some(Box::new(Replaced { history, counted }));
        self.turn_mut().relief = Relief::Fresh;
        self.turn_mut().said = None;
        desk.out.append(self.id, Record::Compacted { items_count });
        desk.out.tell(self.id, Event::Compacted { summary: ItemIndex(items_count - 1) });
        match then {
            Then::Rest if self.prompts.is_empty() => self.finish(Ended::Completed, desk),
            Then::Rest | Then::Request => self.request(desk),
        }
    }

    /// The successor could not be recorded.
    pub(crate) fn take_back_summary(&mut self) {
        if let Some(replaced) = self.replaced.take() {
            let Replaced { history, counted } = *replaced;
            self.history = history;
            self.counted = counted;
        }
    }

    /// A response is whole that was no summary.
    pub(crate) fn note_relief(&mut self, usage: Option<Usage>) {
        let limit = self.settings.compact_at_tokens;
        let turn = self.turn_mut();
        turn.relief = match (turn.relief, usage, limit) {
            (Relief::Fresh, Some(last), Some(limit))
                if is_credible(last.total) && last.total >= limit =>
            {
                Relief::Vain { tokens: last.total }
            }
            (Relief::Fresh | Relief::Stale | Relief::Vain { .. }, _, _) => Relief::Stale,
        };
    }

    /// How a turn ends that summing up does not help.
    pub(crate) fn in_vain(&self) -> Option<Ended> {
        let Relief::Vain { tokens } = self.turn.as_ref()?.relief else { return None };
        let limit = self.settings.compact_at_tokens.unwrap_or_default();
        let message = format!(
            "the conversation was summed up and still takes {tokens} tokens; the limit is {limit} \
             (model_auto_compact_token_limit)"
        );
        let kind = Failed::Model(FailureKind::ContextFull);
        Some(Ended::Failed { kind, message: message.into() })
    }

    fn sum_up(&mut self, draft: Draft, then: Then, desk: &mut Desk<'_>) {
        // Items are recorded out of the history, so all of the old one before its successor.
        self.begin_rollout(desk);
        self.turn_mut().purpose = Purpose::Summary(Summing { draft, summary: None, then });
        desk.out.tell(self.id, Event::CompactionStarted);
        self.ask_model(desk);
    }

    /// Whether the model has said anything: what the user says is kept as it is.
    fn says_something(&self) -> bool {
        let of_model = |item: &Item| match item {
            Item::Message(message) => message.role == Role::Assistant,
            Item::Reasoning(_) | Item::Call(_) | Item::Output(_) | Item::Served { .. } => true,
        };
        self.history.items().iter().any(of_model)
    }

    /// How much of what the user said is kept: a quarter of what may be said at all, in bytes of
    /// text that make four to a token.
    fn said_bytes_kept(&self) -> usize {
        let quarter = self.settings.compact_at_tokens.unwrap_or(u64::MAX);
        usize::try_from(quarter)
            .unwrap_or(usize::MAX)
            .clamp(SAID_BYTES_KEPT_MIN, SAID_BYTES_KEPT_MAX)
    }
}
