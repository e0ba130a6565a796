//! Everything the machine may ask for, and the bounded queue of it.
//!
//! Stop, record, act, tell: the queue has four lanes and gives them out in this order, whatever
//! order they were asked for in. What a front was told is therefore in the rollout, and nothing is
//! done that is not recorded first. Work is stopped also when nothing can be recorded.

use std::collections::VecDeque;

use crate::limits::EFFECTS_PER_INPUT_MAX;
use crate::words::call::{Change, CommandPlan, Look, PatchPlan};
use crate::words::command::{Course, Which};
use crate::words::event::Event;
use crate::words::ids::{FrontId, OpId, ThreadId};
use crate::words::policy::Confinement;
use crate::words::record::Record;

/// One thing to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Add a line to the thread's rollout.
    Append {
        thread: ThreadId,
        record: Record,
    },
    /// Gather facts about the place; answered by `Opened`.
    Open {
        op: OpId,
        thread: ThreadId,
    },
    /// Read a rollout; answered by `Restored`.
    Restore {
        op: OpId,
        thread: ThreadId,
        which: Which,
        course: Course,
    },
    /// Send the request that `request_view` lends; answered by `Model`.
    Request {
        op: OpId,
        thread: ThreadId,
    },
    /// Run a command; answered by `Exited`, or for a session by `SessionEnded`.
    Spawn {
        op: OpId,
        thread: ThreadId,
        command: Box<CommandPlan>,
        confinement: Confinement,
    },
    /// Write to a session; answered by `Unwritten` if that cannot be.
    Write {
        op: OpId,
        thread: ThreadId,
        chars: Box<str>,
    },
    /// Ask what a session has printed; answered by `Yielded`.
    Collect {
        op: OpId,
        thread: ThreadId,
    },
    /// Look at files; answered by `Looked`.
    Look {
        op: OpId,
        thread: ThreadId,
        look: Look,
    },
    /// Find out what a patch would do; answered by `Inspected`.
    Inspect {
        op: OpId,
        thread: ThreadId,
        patch: Box<PatchPlan>,
    },
    /// Apply a patch to just what was inspected; answered by `Applied`.
    Apply {
        op: OpId,
        thread: ThreadId,
        patch: Box<PatchPlan>,
        expected: Vec<Change>,
        confinement: Confinement,
    },
    /// Stop work; answered by its ordinary end or by `Stopped`, also when it is long gone.
    Stop {
        op: OpId,
        how: Stop,
    },
    /// Forget the thread's files.
    Release {
        thread: ThreadId,
    },
    Notify {
        to: Audience,
        event: Event,
    },
}

/// How hard work is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// As by ctrl-C.
    Interrupt,
    /// As by a timeout.
    Terminate,
    Kill,
}

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Every front that listens to the thread.
    Thread(ThreadId),
    /// Every front that listens to the parent; what is named is the child's.
    Child { parent: ThreadId, child: ThreadId },
    /// The front that asked.
    Front(FrontId),
}

/// The queue of what one input led to.
#[derive(Default, Debug)]
pub struct Effects {
    stops: VecDeque<Effect>,
    records: VecDeque<Effect>,
    deeds: VecDeque<Effect>,
    notices: VecDeque<Effect>,
}

impl Effects {
    pub fn append(&mut self, thread: ThreadId, record: Record) {
        self.records.push_back(Effect::Append { thread, record });
        self.assert_bounded();
    }

    /// Asks for a deed; records and notices have methods of their own.
    pub fn act(&mut self, deed: Effect) {
        assert!(!matches!(deed, Effect::Append { .. } | Effect::Notify { .. }), "not a deed");
        let stops = matches!(deed, Effect::Stop { .. });
        let lane = if stops { &mut self.stops } else { &mut self.deeds };
        lane.push_back(deed);
        self.assert_bounded();
    }

    pub fn tell(&mut self, thread: ThreadId, event: Event) {
        self.notices.push_back(Effect::Notify { to: Audience::Thread(thread), event });
        self.assert_bounded();
    }

    pub fn tell_front(&mut self, front: FrontId, event: Event) {
        self.notices.push_back(Effect::Notify { to: Audience::Front(front), event });
        self.assert_bounded();
    }

    /// Tells whoever listens to the parent what fronts would be told of the child, but for what is
    /// not kept.
    pub fn surface(&mut self, parent: ThreadId, child: ThreadId, keep: impl Fn(&Event) -> bool) {
        self.notices.retain_mut(|notice| {
            let Effect::Notify { to, event } = notice else { return false };
            *to = Audience::Child { parent, child };
            keep(event)
        });
    }

    /// Takes back what would be recorded.
    pub fn forget_records(&mut self) {
        self.records.clear();
    }

    /// The next thing to do: stops first, then records, then deeds, then notices.
    pub fn pull(&mut self) -> Option<Effect> {
        let lanes = [&mut self.stops, &mut self.records, &mut self.deeds, &mut self.notices];
        lanes.into_iter().find_map(VecDeque::pop_front)
    }

    /// What is to be done, in the order in which it is given out.
    pub fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.stops.iter().chain(&self.records).chain(&self.deeds).chain(&self.notices)
    }

    pub fn len(&self) -> usize {
        self.stops.len() + self.records.len() + self.deeds.len() + self.notices.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn assert_bounded(&self) {
        assert!(self.len() <= EFFECTS_PER_INPUT_MAX, "one input led to too many effects");
    }
}
