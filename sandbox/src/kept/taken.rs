//! What commands may change that are not confined, while others are.
//!
//! Who was allowed to change a protected path must not have it undone by a command that overlaps.
//! Therefore such a command, too, looks when it starts and when all of it has ended; what differs
//! becomes what is to be there for all that share the look, those included that run already.
//!
//! What remains: a confined command that changes a path *while* this one runs is believed, if it
//! is not over first; one that ends meanwhile undoes what this one has changed so far, as does one
//! that looked before this was handed the look; and nothing is taken from one whose supervisor is
//! killed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::look::{Held, Record};
use super::node::{Budget, Node};
use super::{Item, Kept, Look, Task};

/// What was at each path when the command started. What could not be looked at is missing.
pub(super) type Before = BTreeMap<PathBuf, Node>;

impl Kept {
    /// Looks at all that others keep. A damaged look is left to them.
    pub(super) fn to_be_taken(look: Look) -> Kept {
        let found = look.hold().and_then(|held| held.found()).unwrap_or_default();
        let mut budget = Budget::new();
        let node = |(path, record): (PathBuf, Record)| {
            let item = Item::recorded(0, &path, &record);
            Some((path, item.and_then(|item| item.look(&mut budget)).ok()?))
        };
        let before: Before = found.into_iter().filter_map(node).collect();
        Kept { task: Task::Take(before), look: Some(look), ..Kept::default() }
    }
}

/// Makes what has changed since what all others keep.
pub(super) fn take(before: &Before, held: &mut Held<'_>) {
    let Ok(found) = held.found() else { return };
    let mut budget = Budget::new();
    for (path, record) in found {
        let Ok(item) = Item::recorded(0, &path, &record) else { continue };
        // What nobody keeps needs no leave.
        let Some(node) = &record.node else { continue };
        let is_at = |node: &Node| item.is_at(node).unwrap_or(false);
        if is_at(node) || before.get(&path).is_some_and(is_at) {
            continue;
        }
        let now = item.look(&mut budget);
        // Without room for it, others undo the change, and say so.
        let _ = held.add(&item, now.as_ref().ok());
    }
    let _ = held.write();
}
