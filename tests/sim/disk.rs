//! Rollouts as what would be read back from them; may be full, may fail once.

use std::collections::BTreeMap;

use windlass::core::restore::Fold;
use windlass::words::command::Restored;
use windlass::words::ids::{ConversationId, TurnName};
use windlass::words::item::{Item, Message, Part, Role};
use windlass::words::record::{Record, RecordView, Remembered};

use crate::promises::prompt_of;

#[derive(Default)]
pub(crate) struct Disk {
    rollouts: BTreeMap<ConversationId, Vec<Remembered>>,
    /// Turns that have begun and not ended, and the last that have ended.
    open: BTreeMap<ConversationId, TurnName>,
    ended: BTreeMap<ConversationId, TurnName>,
    /// What forks go on from.
    pasts: BTreeMap<ConversationId, Vec<Remembered>>,
    pub(crate) full: bool,
}

impl Disk {
    /// Writes one line; a full disk writes nothing, since a short line is cut off again.
    pub(crate) fn append(&mut self, record: &Record, view: RecordView<'_>) -> bool {
        if self.full {
            return false;
        }
        let lines = self.rollouts.entry(view.conversation).or_default();
        let line = match record {
            Record::Meta => {
                Remembered::Meta { conversation: view.conversation, cwd: view.settings.cwd.clone() }
            }
            Record::Item(index) => Remembered::Item(view.items[index.0 as usize].clone()),
            Record::TokenCount { total, last, limits } => {
                Remembered::TokenCount { total: *total, last: *last, limits: *limits }
            }
            Record::Compacted { items_count } => compacted(&view.items[..*items_count as usize]),
            Record::UserMessage(index) | Record::AgentMessage(index) => {
                let item = &view.items[index.0 as usize];
                assert!(matches!(item, Item::Message(_)), "a message's record is of a message");
                Remembered::Nothing
            }
            Record::AgentReasoning(index) => {
                let item = &view.items[index.0 as usize];
                assert!(matches!(item, Item::Reasoning(_)), "reasoning's record is of reasoning");
                Remembered::Nothing
            }
            Record::ReviewEntered { item, .. } => {
                let item = &view.items[item.0 as usize];
                assert!(prompt_of(item).is_some(), "a review is what somebody asked for: {item:?}");
                Remembered::Nothing
            }
            Record::ReviewExited { verdict } => {
                let item = verdict.map(|item| &view.items[item.0 as usize]);
                let said = item.is_none_or(|item| {
                    matches!(item, Item::Message(message) if message.role == Role::Assistant)
                });
                assert!(said, "a verdict is what the model said: {item:?}");
                Remembered::Nothing
            }
            Record::TurnStarted { turn } => {
                self.open.insert(view.conversation, *turn);
                Remembered::Nothing
            }
            Record::TurnEnded { turn, .. } | Record::TurnAborted { turn, .. } => {
                let open = self.open.remove(&view.conversation);
                let ended = self.ended.insert(view.conversation, *turn);
                // An end that is made up for may be there already.
                assert!(open == Some(*turn) || ended == Some(*turn), "a turn ends that began");
                Remembered::Nothing
            }
            Record::TurnContext | Record::TurnFailed { .. } => Remembered::Nothing,
        };
        let is_meta = matches!(line, Remembered::Meta { .. });
        assert_eq!(lines.is_empty(), is_meta, "the first line, and only it, says whose it is");
        lines.push(line);
        true
    }

    /// A thread goes on from what another holds by now.
    pub(crate) fn fork(&mut self, fork: ConversationId, source: ConversationId) {
        if let Some(lines) = self.rollouts.get(&source) {
            self.pasts.insert(fork, lines.clone());
        }
    }

    /// Puts the past of a fork where it belongs, all of it, unless it is there; a full disk does
    /// not take it.
    pub(crate) fn copy(&mut self, fork: ConversationId) -> bool {
        let Some(past) = self.pasts.get(&fork) else { return true };
        if self.full {
            return false;
        }
        let mut lines = past.clone();
        for line in &mut lines {
            if let Remembered::Meta { conversation, .. } = line {
                *conversation = fork;
            }
        }
        self.pasts.remove(&fork);
        assert!(self.rollouts.insert(fork, lines).is_none(), "a past is copied first and once");
        true
    }

    /// Whether a turn of it has begun and not ended.
    pub(crate) fn is_open(&self, conversation: ConversationId) -> bool {
        self.open.contains_key(&conversation)
    }

    pub(crate) fn conversations(&self) -> Vec<ConversationId> {
        self.rollouts.keys().copied().collect()
    }

    /// Items as they were written, in order.
    pub(crate) fn items(&self, conversation: ConversationId) -> Vec<&Item> {
        let lines = self.rollouts.get(&conversation).into_iter().flatten();
        lines
            .filter_map(|line| match line {
                Remembered::Item(item) => Some(item),
                _ => None,
            })
            .collect()
    }

    /// What the user said, as it was written.
    pub(crate) fn prompts(&self, conversation: ConversationId) -> Vec<&str> {
        self.items(conversation).into_iter().filter_map(prompt_of).collect()
    }

    /// What a resume would give.
    pub(crate) fn fold(&self, conversation: ConversationId) -> Option<Restored> {
        let mut fold = Fold::default();
        for line in self.rollouts.get(&conversation)? {
            fold.push(line.clone());
        }
        fold.finish().ok()
    }
}

/// What is written of a history that has replaced another: its last item is the summary.
fn compacted(items: &[Item]) -> Remembered {
    let Some(Item::Message(Message { role: Role::User, parts, .. })) = items.last() else {
        panic!("a summary is told as by the user: {:?}", items.last())
    };
    let [Part::Text(summary)] = parts.as_slice() else { panic!("not a summary: {parts:?}") };
    assert!(!summary.is_empty());
    let of_model = |item: &Item| match item {
        Item::Message(message) => message.role == Role::Assistant,
        _ => true,
    };
    assert!(!items.iter().any(of_model), "nothing the model said survives a summary");
    Remembered::Compacted { summary: summary.clone(), replacement: Some(items.to_vec()) }
}
