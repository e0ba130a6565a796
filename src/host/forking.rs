//! Forks on their way into rollouts of their own, a slice at a time.

use crate::core::input::Input;
use crate::host::disk::copying::Copying;
use crate::host::seam::Seam;
use crate::host::{Host, clock};
use crate::words::ids::{OpId, ThreadId};
use crate::words::record::RecordView;
use crate::words::settings::OpeningFacts;

/// A fork whose past is copied before its first turn.
#[derive(Debug)]
pub struct Forking {
    pub op: OpId,
    thread: ThreadId,
    facts: OpeningFacts,
    copying: Copying,
}

impl Forking {
    /// Goes on; `None` once the result was told.
    pub fn step(mut self, seam: &mut Seam) -> Option<Forking> {
        let Forking { op, thread, .. } = self;
        match self.copying.step() {
            Ok(None) => return Some(self),
            Ok(Some(rollout)) => {
                seam.rollouts.copied(thread, rollout);
                seam.feed(Input::Opened { op, facts: std::mem::take(&mut self.facts) });
            }
            Err(failure) => seam.feed(Input::Unopened { op, why: failure.to_string().into() }),
        }
        None
    }
}

impl Host {
    /// Tells the machine of the place, once the past of a fork, if it is one, is where it belongs.
    pub(crate) fn begin_fork(&mut self, op: OpId, thread: ThreadId, facts: OpeningFacts) {
        let view = self.seam.agent.record_view(thread);
        let view = view.map(|view| RecordView { git: facts.git.as_ref(), ..view });
        let copying =
            view.and_then(|view| self.seam.rollouts.copy_past(thread, view, clock::wall_ms()));
        match copying {
            None => self.seam.feed(Input::Opened { op, facts }),
            Some(Ok(copying)) => self.forking.push(Forking { op, thread, facts, copying }),
            Some(Err(failure)) => {
                self.seam.feed(Input::Unopened { op, why: failure.to_string().into() });
            }
        }
    }
}
