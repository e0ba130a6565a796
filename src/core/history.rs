//! Items in order; every call has exactly one output, after it.
//!
//! Only the calls of the running turn may still lack theirs. A history that was read back, or cut,
//! is made whole by [`settle`]: that is a function of the items alone, so that memory and a rollout
//! that was folded again always agree.

use std::collections::HashMap;

use crate::limits::ITEM_BYTES;
use crate::words::call::Answer;
use crate::words::ids::ItemIndex;
use crate::words::item::{Item, Output};
use crate::words::sort;

/// The output of a call that nobody answered.
pub const ABORTED: &str = "aborted";

/// What a conversation remembers.
#[derive(Default, Debug)]
pub struct History {
    items: Vec<Item>,
    /// What the items hold.
    bytes: u64,
    /// What their images have that is kept elsewhere.
    kept_bytes: u64,
}

impl History {
    /// A history of items that came from outside.
    pub fn settled(items: Vec<Item>) -> History {
        let items = settle(items);
        let (bytes, kept_bytes) = (held_bytes(&items), kept_bytes(&items));
        History { items, bytes, kept_bytes }
    }

    pub fn push(&mut self, item: Item) -> ItemIndex {
        let index = ItemIndex(self.items.len() as u32);
        self.bytes += item.bytes() + ITEM_BYTES;
        self.kept_bytes += item.kept_bytes();
        self.items.push(item);
        index
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// Forgets this item and all after it, and answers calls that lose their outputs thereby.
    pub fn cut(&mut self, from: ItemIndex) {
        self.items.truncate(from.0 as usize);
        *self = History::settled(std::mem::take(&mut self.items));
    }

    /// Answers every call that has no output.
    pub fn settle(&mut self) {
        *self = History::settled(std::mem::take(&mut self.items));
    }
}

/// What these items hold in memory.
pub(crate) fn held_bytes(items: &[Item]) -> u64 {
    items.iter().map(|item| item.bytes() + ITEM_BYTES).sum()
}

/// What the images of these items have that is kept elsewhere.
pub(crate) fn kept_bytes(items: &[Item]) -> u64 {
    items.iter().map(Item::kept_bytes).sum()
}

/// Puts an output right after each call that has none, and drops outputs that answer no call.
pub fn settle(items: Vec<Item>) -> Vec<Item> {
    let Unpaired { calls: dangling, outputs: dropped } = unpaired(&items);
    if dangling.is_empty() && dropped.is_empty() {
        return items;
    }
    let mut whole = Vec::with_capacity(items.len() + dangling.len());
    for (index, item) in items.into_iter().enumerate() {
        if dropped.binary_search(&index).is_ok() {
            continue;
        }
        let answer = match &item {
            Item::Call(call) if dangling.binary_search(&index).is_ok() => Some(Output {
                call_id: call.call_id.clone(),
                kind: call.kind,
                answer: Answer::failure(ABORTED),
            }),
            Item::Call(_)
            | Item::Output(_)
            | Item::Message(_)
            | Item::Reasoning(_)
            | Item::Served { .. } => None,
        };
        whole.push(item);
        whole.extend(answer.map(Item::Output));
    }
    whole
}

/// What lacks its other half, by place and in order.
#[derive(Debug)]
pub(crate) struct Unpaired {
    pub(crate) calls: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
}

/// Finds calls without output, and outputs without call.
///
/// An output answers the last unanswered call before it that has its id: providers give ids again,
/// and a call that nobody answered stays so.
pub(crate) fn unpaired(items: &[Item]) -> Unpaired {
    let mut open: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut outputs = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item {
            Item::Call(call) => open.entry(&call.call_id).or_default().push(index),
            Item::Output(output) => {
                let answered = open.get_mut(&*output.call_id).and_then(Vec::pop);
                if answered.is_none() {
                    outputs.push(index);
                }
            }
            Item::Message(_) | Item::Reasoning(_) | Item::Served { .. } => {}
        }
    }
    let mut calls: Vec<usize> = open.into_values().flatten().collect();
    sort::by(&mut calls, &mut Ord::cmp);
    Unpaired { calls, outputs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::call::{CallAsked, CallKind};
    use crate::words::item::{Message, Role};

    fn call(id: &str) -> Item {
        Item::Call(CallAsked {
            kind: CallKind::Function,
            call_id: id.into(),
            name: "shell".into(),
            arguments: "{}".into(),
            id: None,
        })
    }

    fn output(id: &str, text: &str) -> Item {
        let answer = Answer::failure(text);
        Item::Output(Output { call_id: id.into(), kind: CallKind::Function, answer })
    }

    fn said(text: &str) -> Item {
        Item::Message(Message::text(Role::User, text))
    }

    fn check(items: Vec<Item>, expected: Vec<Item>) {
        let settled = settle(items);
        assert_eq!(settled, expected);
        assert_eq!(settle(settled.clone()), settled, "settling twice changes nothing");
    }

    #[test]
    fn a_whole_history_stays_as_it_is() {
        let items = vec![said("a"), call("1"), call("2"), output("2", "x"), output("1", "y")];
        check(items.clone(), items);
    }

    #[test]
    fn a_call_without_output_is_answered_right_after_it() {
        check(
            vec![call("1"), call("2"), output("2", "x"), said("b")],
            vec![call("1"), output("1", ABORTED), call("2"), output("2", "x"), said("b")],
        );
    }

    #[test]
    fn an_output_without_call_is_dropped() {
        check(
            vec![output("1", "x"), said("a"), call("1")],
            vec![said("a"), call("1"), output("1", ABORTED)],
        );
    }

    #[test]
    fn calls_that_share_an_id_are_answered_apart() {
        check(
            vec![call("1"), output("1", "x"), output("1", "z"), call("1")],
            vec![call("1"), output("1", "x"), call("1"), output("1", ABORTED)],
        );
        check(
            vec![call("1"), said("a"), call("1"), output("1", "x")],
            vec![call("1"), output("1", ABORTED), said("a"), call("1"), output("1", "x")],
        );
    }
}
