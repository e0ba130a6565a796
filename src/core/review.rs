//! A review: a turn whose last message is a verdict.
//!
//! What it is asked runs under the settings of its thread. People and records are told when it
//! begins and when it is over; what the verdict says is for whoever reads the message. It hears
//! nothing but what it was asked: prompts that come meanwhile have a turn after it.

use crate::core::Desk;
use crate::core::thread::Thread;
use crate::limits::PROMPTS_WAITING_MAX;
use crate::words::command::Refusal;
use crate::words::event::{Ended, Event, Failed};
use crate::words::ids::ItemIndex;
use crate::words::item::{Item, Message, Part, Role};
use crate::words::record::Record;

/// How requests name who asks for them.
pub(crate) const SUB_AGENT: &str = "review";

/// How far a turn's review has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Review {
    /// Its prompt waits behind so many others.
    Asked { prompts_ahead: usize, hint: Box<str> },
    /// It was told that it began.
    Entered,
}

impl Thread {
    /// Takes the prompt of a review, which is a turn of its own.
    pub(crate) fn on_review(
        &mut self,
        parts: Vec<Part>,
        hint: Box<str>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Refusal> {
        self.may_take(&parts)?;
        if self.turn.is_some() {
            return Err(Refusal::TurnRuns);
        }
        let prompts_ahead = self.prompts.len();
        if prompts_ahead > PROMPTS_WAITING_MAX {
            return Err(Refusal::TooManyPrompts);
        }
        self.prompts.push_back(parts);
        self.start_turn(Some(Review::Asked { prompts_ahead, hint }), desk);
        Ok(())
    }

    /// How many of the waiting prompts the turn takes next: a review, those up to its own.
    pub(crate) fn prompts_due_count(&self) -> usize {
        match self.turn.as_ref().and_then(|turn| turn.review.as_ref()) {
            None => self.prompts.len(),
            Some(Review::Asked { prompts_ahead, .. }) => self.prompts.len().min(prompts_ahead + 1),
            Some(Review::Entered) => 0,
        }
    }

    /// Whether prompts wait for a review to be over.
    pub(crate) fn has_prompts_behind(&self) -> bool {
        self.prompts.len() > self.prompts_due_count()
    }

    /// The prompt that so many others were ahead of has become an item: if it is the review's, the
    /// review begins.
    pub(crate) fn enter_review(&mut self, ahead: usize, item: ItemIndex, desk: &mut Desk<'_>) {
        let Some(turn) = &mut self.turn else { return };
        match &mut turn.review {
            Some(Review::Asked { prompts_ahead, hint }) if *prompts_ahead == ahead => {
                let hint = std::mem::take(hint);
                turn.review = Some(Review::Entered);
                desk.out.append(self.id, Record::ReviewEntered { item, hint: hint.clone() });
                desk.out.tell(self.id, Event::ReviewEntered { item, hint });
            }
            Some(Review::Asked { .. } | Review::Entered) | None => {}
        }
    }

    /// The turn ends, and with it its review if that has begun. What could not be recorded ends
    /// with its turn, unsaid.
    pub(crate) fn leave_review(&mut self, how: &Ended, desk: &mut Desk<'_>) {
        let begun = self.turn.as_ref().is_some_and(|turn| turn.review == Some(Review::Entered));
        let verdict = match how {
            _ if !begun => return,
            Ended::Failed { kind: Failed::Record, .. } => return,
            Ended::Completed => verdict(self.history.items()),
            Ended::Interrupted | Ended::Failed { .. } => None,
        };
        desk.out.append(self.id, Record::ReviewExited { verdict });
        desk.out.tell(self.id, Event::ReviewExited { verdict });
    }
}

/// The last message of the last response, if it says anything.
pub(crate) fn verdict(items: &[Item]) -> Option<ItemIndex> {
    for (index, item) in items.iter().enumerate().rev() {
        match item {
            Item::Reasoning(_) | Item::Served { .. } => {}
            Item::Message(message) if message.role == Role::Assistant => {
                if says_something(message) {
                    return Some(ItemIndex(index as u32));
                }
            }
            Item::Message(_) | Item::Call(_) | Item::Output(_) => return None,
        }
    }
    None
}

fn says_something(message: &Message) -> bool {
    message.texts().any(|text| !text.trim().is_empty())
}
