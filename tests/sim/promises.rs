//! What holds of histories, rollouts and what was told of them, whatever led there.

use windlass::core::Agent;
use windlass::core::history::settle;
use windlass::limits::{HISTORY_BYTES_MAX, PARTIAL_BYTES_MAX, SAID_BYTES_KEPT_MIN};
use windlass::words::call::CallAsked;
use windlass::words::event::{Ended, Event, Failed};
use windlass::words::ids::{ConversationId, ThreadId};
use windlass::words::item::{Item, Part, Role};
use windlass::words::policy::Confinement;

use crate::children::is_shown;
use crate::disk::Disk;
use crate::family::Family;
use crate::policy::Allowed;
use crate::told::{Batch, Told};

/// The recorded calls that have no recorded output.
pub(crate) fn open_calls(disk: &Disk, conversation: ConversationId) -> Vec<&CallAsked> {
    let mut open: Vec<&CallAsked> = Vec::new();
    for item in disk.items(conversation) {
        match item {
            Item::Call(call) => open.push(call),
            Item::Output(output) => {
                let asked = open.iter().rposition(|call| call.call_id == output.call_id);
                open.remove(asked.expect("an output is recorded after its call"));
            }
            Item::Message(_) | Item::Reasoning(_) | Item::Served { .. } => {}
        }
    }
    open
}

/// An image comes after all outputs of its response, and only if one was attached.
pub(crate) fn assert_images_follow_outputs(items: &[Item]) {
    let (mut open, mut attached) = (0, 0);
    for item in items {
        match item {
            Item::Call(_) => open += 1,
            Item::Output(output) => {
                open -= 1;
                attached += u32::from(output.answer.text() == "attached local image path");
            }
            Item::Message(message) => {
                if let [Part::Image(image)] = message.parts.as_slice() {
                    assert!(is_shown(image) && message.role == Role::User);
                    assert_eq!(open, 0, "an image is shown between calls and outputs");
                    assert!(attached > 0, "an image is shown that was not attached");
                    attached -= 1;
                }
            }
            Item::Reasoning(_) | Item::Served { .. } => {}
        }
    }
}

/// What was done was told to begin, then or when it was asked about; what was told to begin was
/// done, is being assessed, is asked about, or has ended already.
pub(crate) fn assert_done_is_told(told: &Told, batch: &Batch, family: &Family) {
    let (commands, patches) = (&told.commands, &told.patches);
    for line in &batch.spawned {
        assert!(commands.values().any(|own| own == line), "not told of: {line:?}");
    }
    for changes in &batch.applied {
        assert!(patches.values().any(|own| own == changes), "not told of: {changes:?}");
    }
    for call in &batch.begun {
        let spawned = commands.get(call).is_none_or(|line| batch.spawned.contains(line));
        let applied = patches.get(call).is_none_or(|own| batch.applied.contains(own));
        let assessed = family.assessed.iter().any(|(_, own)| own == call);
        let done = spawned && applied || told.questions.contains_key(call) || assessed;
        assert!(done, "told to begin, and nothing was done: {call:?}");
    }
}

/// A turn whose end is told has ended on disk, if anything can be written there.
pub(crate) fn assert_marked(agent: &Agent, disk: &Disk, thread: ThreadId, event: &Event) {
    let Event::TurnEnded { how, .. } = event else { return };
    let is_lost = matches!(how, Ended::Failed { kind: Failed::Record, .. });
    let is_open = agent.conversation(thread).is_some_and(|one| disk.is_open(one));
    assert!(is_lost || !is_open, "an end is told that is not recorded");
}

pub(crate) fn assert_allowed(allowed: Allowed, granted: bool, confinement: Confinement) {
    let right = match allowed {
        Allowed::Unasked(right) => right,
        Allowed::WhenApproved(right) => {
            assert!(granted, "done without the answer yes");
            right
        }
        Allowed::Never => panic!("done against the policy"),
    };
    assert_eq!(confinement, right, "done in another sandbox");
}

/// Folding the rollout gives the thread in memory, and memory is bounded.
pub(crate) fn assert_folds(
    agent: &Agent,
    disk: &Disk,
    thread: ThreadId,
    conversation: ConversationId,
) {
    let items = agent.items(thread);
    let bytes: u64 = items.iter().map(Item::bytes).sum();
    assert!(bytes <= HISTORY_BYTES_MAX, "a history is bounded");
    assert!(agent.partial_text(thread).len() <= PARTIAL_BYTES_MAX, "partial text is bounded");
    if !agent.may_record(thread) {
        assert!(disk.fold(conversation).is_none(), "{thread:?}: a fork is there whole or not");
        return;
    }
    assert_said(items, &disk.prompts(conversation));
    let folded = disk.fold(conversation).map_or(Vec::new(), |restored| restored.items);
    let whole = settle(items.to_vec());
    for (index, pair) in folded.iter().zip(&whole).enumerate() {
        assert_eq!(pair.0, pair.1, "{thread:?}: item {index} is not as it was recorded");
    }
    assert_eq!(folded.len(), whole.len(), "{thread:?}: as many items are recorded as remembered");
}

/// What the user said is remembered, except that the oldest of it gives way to what is new.
fn assert_said(items: &[Item], recorded: &[&str]) {
    let known: Vec<&str> = items.iter().filter_map(prompt_of).collect();
    let bytes: usize = recorded.iter().map(|text| text.len()).sum();
    if bytes <= SAID_BYTES_KEPT_MIN {
        assert_eq!(known, recorded, "what the user said is never lost");
    } else {
        let newest = |texts: &[&str]| texts.last().map(|text| text.to_string());
        assert_eq!(newest(&known), newest(recorded), "the newest is never lost");
    }
}

pub(crate) fn prompt_of(item: &Item) -> Option<&str> {
    let Item::Message(message) = item else { return None };
    match message.parts.as_slice() {
        [Part::Text(text)] if message.role == Role::User && text.starts_with("prompt ") => {
            Some(text)
        }
        _ => None,
    }
}
