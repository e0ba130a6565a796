//! A review: a turn whose last message is a verdict.
//!
//! A thread may be there for reviews, or have one done by a child: then the child does all that is
//! said here, and the thread gets the verdict as a message, and nothing else of it.
//!
//! What it is asked runs under the settings of its thread. People and records are told when it
//! begins and when it is over; what the verdict says is for whoever reads the message. It hears
//! nothing but what it was asked: prompts that come meanwhile have a turn after it.

use crate::core::Desk;
use crate::core::child::{Job, Outcome, Wanted};
use crate::core::opening;
use crate::core::ops::Work;
use crate::core::thread::Thread;
use crate::core::turn::Wait;
use crate::limits::PROMPTS_WAITING_MAX;
use crate::words::command::Refusal;
use crate::words::event::{Ended, Event, Failed};
use crate::words::ids::ItemIndex;
use crate::words::item::{Item, Message, Part, Role};
use crate::words::record::Record;
use crate::words::settings::ThreadSettings;

/// How requests name who asks for them.
pub(crate) const SUB_AGENT: &str = "review";

/// How far a turn's review has come.
#[derive(PartialEq, Eq, Debug)]
pub enum Review {
    /// A child is to do it.
    Apart { settings: Box<ThreadSettings>, parts: Vec<Part>, hint: Box<str> },
    /// A child does it.
    Away,
    /// Its prompt waits behind so many others.
    Asked { prompts_ahead: usize, hint: Box<str> },
    /// It was told that it began.
    Entered,
}

impl Review {
    pub(crate) fn is_apart(&mut self) -> bool {
        matches!(self, Review::Apart { .. })
    }
}

impl Thread {
    /// Takes the prompt of a review that a child is to do.
    pub(crate) fn on_review_apart(
        &mut self,
        settings: Box<ThreadSettings>,
        parts: Vec<Part>,
        hint: Box<str>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Refusal> {
        self.may_review(&parts)?;
        self.start_turn(Some(Review::Apart { settings, parts, hint }), desk);
        Ok(())
    }

    fn may_review(&self, parts: &[Part]) -> Result<(), Refusal> {
        self.may_take(parts)?;
        match self.turn {
            Some(_) => Err(Refusal::TurnRuns),
            None => Ok(()),
        }
    }

    /// Lets a child do the review.
    pub(crate) fn delegate(&mut self, review: Review, desk: &mut Desk<'_>) {
        let Review::Apart { settings, parts, hint } = review else {
            unreachable!("only what is to be done apart comes here")
        };
        self.turn_mut().review = Some(Review::Away);
        self.begin_rollout(desk);
        let Some(op) = desk.ops.start(self.id, Work::Child) else {
            return self.fail_bound("too much is running already", desk);
        };
        desk.wanted.push_back(Wanted { op, settings, job: Job::Review { parts, hint } });
        self.wait_for(Wait::Child { op });
    }

    /// The child has ended, and with it the turn.
    pub(crate) fn on_reviewed(&mut self, outcome: Outcome, desk: &mut Desk<'_>) {
        let Outcome { how, said, usage, .. } = outcome;
        self.usage.add(&usage);
        self.turn_mut().usage.add(&usage);
        let (turn, total) = (self.turn_mut().usage, self.usage);
        desk.out.tell(self.id, Event::Tokens { last: usage, turn, total });
        if let Some(verdict) = said {
            for item in opening::changed(&self.settings, self.history.items()) {
                self.remember(item, desk);
            }
            self.remember_said(Item::Message(Message::text(Role::Assistant, verdict)), desk);
        }
        self.finish(how, desk);
    }

    /// Takes the prompt of a review, which is a turn of its own.
    pub(crate) fn on_review(
        &mut self,
        parts: Vec<Part>,
        hint: Box<str>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Refusal> {
        self.may_review(&parts)?;
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
            Some(Review::Apart { .. } | Review::Away | Review::Entered) => 0,
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
            Some(Review::Apart { .. } | Review::Away | Review::Asked { .. } | Review::Entered)
            | None => {}
        }
    }

    /// The turn ends, and with it its review if that has begun. What could not be recorded ends
    /// with its turn, unsaid.
    pub(crate) fn leave_review(&mut self, how: &Ended, desk: &mut Desk<'_>) {
        let lost = matches!(how, Ended::Failed { kind: Failed::Record, .. });
        match self.turn.as_ref().and_then(|turn| turn.review.as_ref()) {
            _ if lost => return,
            Some(Review::Apart { .. } | Review::Away | Review::Asked { .. }) | None => return,
            Some(Review::Entered) => {}
        }
        let verdict = match how {
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
