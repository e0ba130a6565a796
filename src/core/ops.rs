//! Outside work in progress, and the gate that drops late answers.
//!
//! Whatever reports on work carries the id that work was started with. An id whose work has ended,
//! or was given up, passes no longer: the answer is counted and dropped here, and nowhere else.

use crate::core::slots::Slots;
use crate::limits::OPS_MAX;
use crate::words::ids::{CallId, OpId, ThreadId};

/// Who waits for a piece of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    pub thread: ThreadId,
    pub what: Work,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Facts about the place.
    Opening,
    /// A response of the model.
    Response,
    /// Something a call needs.
    Call(CallId),
    /// A session that has outlived the call that started it, by its number.
    Session(u32),
    /// A child, which begins as soon as it can.
    Child,
    /// Something no turn owns.
    Errand,
}

/// The table of live work.
#[derive(Debug)]
pub struct Ops {
    live: Slots<Owner>,
    late_count: u64,
}

impl Default for Ops {
    fn default() -> Ops {
        Ops { live: Slots::new(OPS_MAX), late_count: 0 }
    }
}

impl Ops {
    /// A fresh id for work that starts now; `None` if too much is in progress.
    pub fn start(&mut self, thread: ThreadId, what: Work) -> Option<OpId> {
        let (slot, generation) = self.live.put(|_, _| Owner { thread, what })?;
        Some(OpId { slot, generation })
    }

    /// The gate: who waits for this, or `None` for an answer that comes too late.
    pub fn pass(&mut self, op: OpId) -> Option<Owner> {
        let owner = self.live.of(op.slot, op.generation).copied();
        self.late_count += u64::from(owner.is_none());
        owner
    }

    pub fn owner(&self, op: OpId) -> Option<Owner> {
        self.live.of(op.slot, op.generation).copied()
    }

    /// Somebody else waits for the work from now on.
    pub fn hand_over(&mut self, op: OpId, what: Work) {
        match self.live.of_mut(op.slot, op.generation) {
            Some(owner) => owner.what = what,
            None => unreachable!("only work that goes on is handed over"),
        }
    }

    /// Ends the work, or gives it up: its id passes no more.
    pub fn end(&mut self, op: OpId) {
        let ended = self.live.take(op.slot, op.generation);
        assert!(ended.is_some(), "work ends once");
    }

    /// How many answers came too late.
    pub fn late_count(&self) -> u64 {
        self.late_count
    }

    /// Everything in progress.
    pub fn iter(&self) -> impl Iterator<Item = Owner> + '_ {
        self.live.iter().copied()
    }
}
