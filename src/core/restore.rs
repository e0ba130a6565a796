//! Folds what a rollout remembers back into a thread.
//!
//! The fold is a function of the records alone; whoever reads the file pushes them in order and
//! takes the result at the end.

use crate::core::history::settle;
use crate::words::command::Restored;
use crate::words::ids::ConversationId;
use crate::words::item::{Item, Message, Role};
use crate::words::model::{RateLimits, Usage};
use crate::words::record::Remembered;

/// A rollout being read.
#[derive(Default, Debug)]
pub struct Fold {
    conversation: Option<ConversationId>,
    items: Vec<Item>,
    usage: Usage,
    limits: Option<RateLimits>,
    lines_skipped: u64,
}

impl Fold {
    /// Takes the next record.
    pub fn push(&mut self, remembered: Remembered) {
        match remembered {
            // A fork may hold its parent's first line after its own; the first one counts.
            Remembered::Meta { conversation, .. } => {
                self.conversation.get_or_insert(conversation);
            }
            Remembered::Item(item) => self.items.push(item),
            Remembered::Compacted { summary, replacement } => {
                self.items = match replacement {
                    Some(items) => items,
                    None => bridge(std::mem::take(&mut self.items), summary),
                };
            }
            Remembered::TokenCount { total, limits } => {
                self.usage = total;
                // Some write empty ones where a reply named none; what was known before holds.
                let named = limits.filter(|limits| *limits != RateLimits::default());
                self.limits = named.or(self.limits);
            }
            Remembered::Nothing => {}
        }
    }

    /// So many lines could not be read.
    pub fn skip(&mut self, lines_count: u64) {
        self.lines_skipped += lines_count;
    }

    /// What was remembered, or `None` if the rollout never said whose it is.
    pub fn finish(self) -> Option<Restored> {
        Some(Restored {
            conversation: self.conversation?,
            items: settle(self.items),
            usage: self.usage,
            limits: self.limits,
            lines_skipped: self.lines_skipped,
        })
    }
}

/// What survives a compaction: what people said, and the summary of the rest.
fn bridge(items: Vec<Item>, summary: Box<str>) -> Vec<Item> {
    let mut kept: Vec<Item> = items
        .into_iter()
        .filter(|item| matches!(item, Item::Message(message) if message.role != Role::Assistant))
        .collect();
    kept.push(Item::Message(Message::text(Role::User, summary)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::model::RateWindow;

    fn said(role: Role, text: &str) -> Item {
        Item::Message(Message::text(role, text))
    }

    #[test]
    fn a_rollout_without_a_first_line_is_nobodys() {
        let mut fold = Fold::default();
        fold.push(Remembered::Item(said(Role::User, "a")));
        assert_eq!(fold.finish(), None);
    }

    #[test]
    fn the_last_limits_that_say_something_are_kept() {
        let window = RateWindow { used_percent: 1.0, window_minutes: None, resets_at: Some(9) };
        let limits = RateLimits { primary: Some(window), secondary: None };
        let mut fold = Fold::default();
        let conversation = ConversationId([1; 16]);
        fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
        for limits in [Some(limits), Some(RateLimits::default()), None] {
            fold.push(Remembered::TokenCount { total: Usage::default(), limits });
        }
        assert_eq!(fold.finish().unwrap().limits, Some(limits));
    }

    #[test]
    fn a_compaction_keeps_what_people_said_and_the_summary() {
        let mut fold = Fold::default();
        let conversation = ConversationId([1; 16]);
        fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
        fold.push(Remembered::Item(said(Role::User, "a")));
        fold.push(Remembered::Item(said(Role::Assistant, "b")));
        fold.push(Remembered::Compacted { summary: "s".into(), replacement: None });
        fold.push(Remembered::Item(said(Role::Assistant, "c")));
        let restored = fold.finish().unwrap();
        let expected = [said(Role::User, "a"), said(Role::User, "s"), said(Role::Assistant, "c")];
        assert_eq!(restored.items, expected);
    }
}
