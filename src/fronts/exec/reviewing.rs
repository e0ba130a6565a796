//! A review as a front follows it: which message is its verdict, and what that looks like.
//!
//! The message that holds the verdict is JSON for us, not for people. Which one it is shows only
//! when the review is over, so the last message is held back until something else is told.

use crate::fronts::exec::assistant_text;
use crate::fronts::exec::style::{Ink, Paint};
use crate::fronts::visible;
use crate::wire::review;
use crate::words::event::Event;
use crate::words::ids::ItemIndex;
use crate::words::item::Item;
use crate::words::review::{Shown, Verdict};

/// What is known of a review.
#[derive(Debug)]
pub struct Reviewing {
    cwd: Box<str>,
    /// What asks for it.
    asked: Option<ItemIndex>,
    /// The model's last message, if it has not been shown.
    held: Option<ItemIndex>,
}

/// What is to be shown of an event.
#[derive(Debug)]
pub struct Step {
    /// A message that was held back, first.
    pub before: Option<ItemIndex>,
    pub then: Then,
}

#[derive(Debug)]
pub enum Then {
    Event,
    Nothing,
    Verdict(Verdict),
}

impl Reviewing {
    /// Paths are told from this directory.
    pub fn new(cwd: &str) -> Reviewing {
        Reviewing { cwd: cwd.into(), asked: None, held: None }
    }

    /// Takes the next event and says what to show.
    pub fn told(&mut self, event: &Event, items: &[Item]) -> Step {
        match event {
            Event::ReviewEntered { item, .. } => {
                self.asked = Some(*item);
                Step { before: None, then: Then::Event }
            }
            // People have read what is reviewed; how the model is asked is our business.
            Event::PromptTaken { item } if self.asked == Some(*item) => {
                Step { before: None, then: Then::Nothing }
            }
            Event::ItemCompleted { item } if assistant_text(items, *item).is_some() => {
                Step { before: self.held.replace(*item), then: Then::Nothing }
            }
            Event::ReviewExited { verdict: Some(item) } => {
                let before = self.held.take().filter(|held| held != item);
                let text = assistant_text(items, *item).unwrap_or_default();
                Step { before, then: Then::Verdict(review::decode(&text, &self.cwd)) }
            }
            Event::Tokens { .. }
            | Event::Limits { .. }
            | Event::TextDelta { .. }
            | Event::ReasoningDelta { .. }
            | Event::ReasoningBreak
            | Event::ThreadLoading => Step { before: None, then: Then::Event },
            _ => Step { before: self.held.take(), then: Then::Event },
        }
    }

    /// What people and programs read of a verdict.
    pub fn text(&self, verdict: &Verdict) -> String {
        verdict.text(&self.cwd)
    }

    /// The same for a terminal, with a newline at its end.
    pub fn paint(&self, verdict: &Verdict, paint: Paint, err: &mut Vec<u8>) {
        for shown in verdict.shown(&self.cwd) {
            let ink = match &shown {
                Shown::Correct(_) => Ink::Good,
                Shown::Incorrect(_) | Shown::Title { priority: 0 | 1, .. } => Ink::Bad,
                Shown::Title { priority: 2, .. } => Ink::Caution,
                Shown::Place(_) => Ink::Place,
                Shown::Title { .. } | Shown::Text(_) | Shown::Gap => Ink::Plain,
            };
            let is_text = matches!(shown, Shown::Text(_));
            let text = shown.into_text();
            let text = if is_text { visible::block(&text) } else { visible::line(&text) };
            if !text.is_empty() {
                paint.push(err, ink, &text);
            }
            err.push(b'\n');
        }
    }
}
