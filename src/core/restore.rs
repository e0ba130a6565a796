//! Folds what a rollout remembers back into a thread.
//!
//! The fold is a function of the records alone; whoever reads the file pushes them in order and
//! takes the result at the end. What it holds is bounded: of a conversation that outgrew
//! the bound only what the user said is kept, for a summary that may still come.

use crate::core::bridge::{bridge, said};
use crate::core::history::{held_bytes, kept_bytes, settle};
use crate::limits::{HISTORY_KEPT_BYTES_MAX, ITEM_BYTES, RESTORED_BYTES_MAX, SAID_BYTES_KEPT_MAX};
use crate::words::command::Restored;
use crate::words::ids::ConversationId;
use crate::words::item::{Item, Role};
use crate::words::model::{Counted, RateLimits, Usage};
use crate::words::record::Remembered;

/// A rollout being read.
#[derive(Default, Debug)]
pub struct Fold {
    conversation: Option<ConversationId>,
    items: Vec<Item>,
    /// What `items` hold. Invariant: at most `RESTORED_BYTES_MAX`.
    bytes: u64,
    /// What their images have that is kept elsewhere. Invariant: at most `HISTORY_KEPT_BYTES_MAX`.
    kept_bytes: u64,
    /// Whether there was more than that since the last summary.
    is_outgrown: bool,
    usage: Usage,
    last_usage: Usage,
    counted: Counted,
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
            Remembered::Item(item) => {
                // What the model said is counted, though some write it down after the count.
                let in_count = self.counted.items == self.items.len() && is_said(&item);
                self.counted.items += usize::from(in_count);
                self.push_item(item);
            }
            Remembered::Compacted { summary, replacement } => {
                // What opens a conversation is said anew when it goes on.
                self.items = replacement.unwrap_or_else(|| {
                    bridge(Vec::new(), &self.items, &summary, SAID_BYTES_KEPT_MAX)
                });
                self.counted = Counted::default();
                self.is_outgrown = false;
                self.bytes = held_bytes(&self.items);
                self.kept_bytes = kept_bytes(&self.items);
                self.hold_bound();
            }
            Remembered::TokenCount { total, last, limits } => {
                // A count that adds nothing is there for its limits.
                if total != Usage::default() && total != self.usage {
                    self.usage = total;
                    self.last_usage = last;
                    self.counted = Counted { tokens: last.total, items: self.items.len() };
                }
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

    /// What was remembered.
    pub fn finish(self) -> Result<Restored, Unfit> {
        let conversation = self.conversation.ok_or(Unfit::Nobodys)?;
        if self.is_outgrown {
            return Err(Unfit::Outgrown);
        }
        Ok(Restored {
            conversation,
            items: settle(self.items),
            usage: self.usage,
            last_usage: self.last_usage,
            counted: self.counted,
            limits: self.limits,
            lines_skipped: self.lines_skipped,
        })
    }

    fn push_item(&mut self, item: Item) {
        self.bytes += item.bytes() + ITEM_BYTES;
        self.kept_bytes += item.kept_bytes();
        self.items.push(item);
        self.hold_bound();
    }

    fn hold_bound(&mut self) {
        if self.bytes > RESTORED_BYTES_MAX || self.kept_bytes > HISTORY_KEPT_BYTES_MAX {
            self.is_outgrown = true;
            self.items = said(&self.items, SAID_BYTES_KEPT_MAX);
            self.bytes = held_bytes(&self.items);
            self.kept_bytes = kept_bytes(&self.items);
        }
    }
}

/// Why a rollout gives no conversation to go on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// It never said whose it is.
    Nobodys,
    /// What came after its last summary is more than a conversation may hold.
    Outgrown,
}

/// Whether a model said it.
fn is_said(item: &Item) -> bool {
    match item {
        Item::Message(message) => message.role == Role::Assistant,
        Item::Reasoning(_) | Item::Call(_) | Item::Served { .. } => true,
        Item::Output(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::item::Message;
    use crate::words::model::RateWindow;

    fn said(role: Role, text: &str) -> Item {
        Item::Message(Message::text(role, text))
    }

    #[test]
    fn a_rollout_without_a_first_line_is_nobodys() {
        let mut fold = Fold::default();
        fold.push(Remembered::Item(said(Role::User, "a")));
        assert_eq!(fold.finish(), Err(Unfit::Nobodys));
    }

    #[test]
    fn the_last_limits_that_say_something_are_kept() {
        let window = RateWindow { used_percent: 1.0, window_minutes: None, resets_at: Some(9) };
        let limits = RateLimits { primary: Some(window), secondary: None };
        let mut fold = Fold::default();
        let conversation = ConversationId([1; 16]);
        fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
        for limits in [Some(limits), Some(RateLimits::default()), None] {
            let (total, last) = (Usage::default(), Usage::default());
            fold.push(Remembered::TokenCount { total, last, limits });
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
        let [first, summary, last] = fold.finish().unwrap().items.try_into().unwrap();
        assert_eq!((first, last), (said(Role::User, "a"), said(Role::Assistant, "c")));
        let Item::Message(summary) = summary else { panic!("{summary:?}") };
        assert!(summary.role == Role::User && summary.texts().all(|text| text.ends_with("s")));
    }

    #[test]
    fn what_was_counted_before_a_compaction_says_nothing_of_what_came_after() {
        let mut fold = Fold::default();
        let conversation = ConversationId([1; 16]);
        fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
        fold.push(Remembered::Item(said(Role::User, "a")));
        let last = Usage { total: 9, ..Usage::default() };
        let counted = Remembered::TokenCount { total: last, last, limits: None };
        fold.push(counted.clone());
        fold.push(Remembered::Compacted { summary: "s".into(), replacement: Some(Vec::new()) });
        fold.push(Remembered::Item(said(Role::User, "b")));
        assert_eq!(fold.counted, Counted::default());
        let total = Usage { total: 18, ..Usage::default() };
        fold.push(Remembered::TokenCount { total, last, limits: None });
        for role in [Role::Assistant, Role::Assistant, Role::User, Role::Assistant] {
            fold.push(Remembered::Item(said(role, "c")));
        }
        assert_eq!(fold.finish().unwrap().counted, Counted { tokens: 9, items: 3 });
    }

    #[test]
    fn a_count_that_is_said_again_counts_nothing_more() {
        let mut fold = Fold::default();
        let conversation = ConversationId([1; 16]);
        fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
        let last = Usage { total: 9, ..Usage::default() };
        let window = RateWindow { used_percent: 1.0, window_minutes: None, resets_at: Some(9) };
        let limits = Some(RateLimits { primary: Some(window), secondary: None });
        fold.push(Remembered::Item(said(Role::User, "a")));
        fold.push(Remembered::TokenCount { total: last, last, limits: None });
        fold.push(Remembered::Item(said(Role::User, "b")));
        let nothing = Usage::default();
        fold.push(Remembered::TokenCount { total: last, last, limits });
        fold.push(Remembered::TokenCount { total: nothing, last: nothing, limits: None });
        let restored = fold.finish().unwrap();
        assert_eq!((restored.usage, restored.last_usage, restored.limits), (last, last, limits));
        assert_eq!(restored.counted, Counted { tokens: 9, items: 1 });
    }

    #[test]
    fn what_outgrows_the_bound_is_not_held_and_only_a_summary_helps() {
        let mut fold = Fold::default();
        let conversation = ConversationId([1; 16]);
        fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
        fold.push(Remembered::Item(said(Role::User, "a")));
        let large = "x".repeat(RESTORED_BYTES_MAX as usize / 4);
        for _ in 0..9 {
            fold.push(Remembered::Item(said(Role::Assistant, &large)));
            assert!(fold.bytes <= RESTORED_BYTES_MAX);
        }
        assert!(fold.is_outgrown);
        fold.push(Remembered::Compacted { summary: "s".into(), replacement: None });
        let items = fold.finish().unwrap().items;
        assert_eq!((items.len(), &items[0]), (2, &said(Role::User, "a")));
    }

    #[test]
    fn many_small_items_outgrow_it_too() {
        let mut fold = Fold::default();
        let conversation = ConversationId([1; 16]);
        fold.push(Remembered::Meta { conversation, cwd: "/w".into() });
        for _ in 0..=RESTORED_BYTES_MAX / ITEM_BYTES {
            fold.push(Remembered::Item(said(Role::Assistant, "")));
        }
        assert_eq!(fold.finish(), Err(Unfit::Outgrown));
    }
}
