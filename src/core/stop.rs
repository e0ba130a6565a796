//! Stopping a turn: what runs is asked to end, then made to, then given up.
//!
//! What there is of the turn is kept: text that was being written, and an output for every call.

use crate::core::Desk;
use crate::core::call::{Call, State};
use crate::core::effect::{Effect, Stop};
use crate::core::thread::Thread;
use crate::core::turn::Wait;
use crate::limits::{KILL_GRACE_MS, STOP_GRACE_MS};
use crate::words::event::{Ended, Event};
use crate::words::ids::OpId;

/// Work that is being stopped, and what the turn will then have come to.
#[derive(Debug)]
pub struct Stopping {
    pub(crate) ops: Vec<OpId>,
    pub(crate) until_ms: u64,
    killed: bool,
    how: Ended,
}

impl Thread {
    /// Stops the turn; a second time, without grace.
    pub(crate) fn interrupt(&mut self, desk: &mut Desk<'_>) {
        match &self.turn_mut().wait {
            Wait::Stop(_) => self.stop_harder(desk),
            Wait::Opening { .. } | Wait::Model(_) | Wait::Retry { .. } | Wait::Calls { .. } => {
                self.stop(Ended::Interrupted, "user", desk);
            }
        }
    }

    /// Stops the turn, keeping what there is of it.
    pub(crate) fn stop(&mut self, how: Ended, by_whom: &str, desk: &mut Desk<'_>) {
        match &self.turn_mut().wait {
            Wait::Model(_) => self.keep_partial(desk),
            Wait::Calls { .. } => self.abort_calls(by_whom, desk),
            Wait::Opening { .. } | Wait::Retry { .. } | Wait::Stop(_) => {}
        }
        self.abandon(how, desk);
    }

    /// Answers every call that has no answer, so that the history stays whole.
    fn abort_calls(&mut self, by_whom: &str, desk: &mut Desk<'_>) {
        let (id, ops) = (self.id, self.live_ops());
        let Wait::Calls { calls } = &mut self.turn_mut().wait else {
            unreachable!("calls are aborted only while the turn waits for them")
        };
        for call in calls.iter_mut() {
            if matches!(call.state, State::AwaitApproval(_)) {
                desk.out.tell(id, Event::ApprovalSettled { call: call.id });
            }
            call.abort(by_whom, desk.now.mono_ms);
        }
        self.settle_answers(desk);
        self.show_images(desk);
        // The work goes on until it is stopped; the calls no longer know it.
        let until_ms = desk.now.mono_ms.saturating_add(STOP_GRACE_MS);
        let how = Ended::Interrupted;
        self.wait_for(Wait::Stop(Stopping { ops, until_ms, killed: false, how }));
    }

    /// Ends the turn as soon as all its work has been stopped. Records nothing.
    pub(crate) fn abandon(&mut self, how: Ended, desk: &mut Desk<'_>) {
        let ops = self.live_ops();
        for &op in &ops {
            desk.out.act(Effect::Stop { op, how: Stop::Interrupt });
        }
        desk.out.tell(self.id, Event::TurnStopping { turn: self.turn_mut().id });
        if ops.is_empty() {
            self.finish(how, desk);
            return;
        }
        let until_ms = desk.now.mono_ms.saturating_add(STOP_GRACE_MS);
        self.wait_for(Wait::Stop(Stopping { ops, until_ms, killed: false, how }));
    }

    /// The work the turn waits for.
    pub(crate) fn live_ops(&self) -> Vec<OpId> {
        match self.turn.as_ref().map(|turn| &turn.wait) {
            None | Some(Wait::Retry { .. }) => Vec::new(),
            Some(Wait::Opening { op }) => vec![*op],
            Some(Wait::Model(awaited)) => vec![awaited.op],
            Some(Wait::Calls { calls }) => calls.iter().filter_map(Call::op).collect(),
            Some(Wait::Stop(stopping)) => stopping.ops.clone(),
        }
    }

    pub(crate) fn stop_harder(&mut self, desk: &mut Desk<'_>) {
        let now_ms = desk.now.mono_ms;
        let Wait::Stop(stopping) = &mut self.turn_mut().wait else {
            unreachable!("only a turn that is stopping is stopped harder")
        };
        if stopping.killed {
            let (ops, how) = (std::mem::take(&mut stopping.ops), stopping.how.clone());
            for op in ops {
                desk.ops.end(op);
            }
            self.finish(how, desk);
            return;
        }
        stopping.killed = true;
        stopping.until_ms = now_ms.saturating_add(KILL_GRACE_MS);
        for &op in &stopping.ops {
            desk.out.act(Effect::Stop { op, how: Stop::Kill });
        }
    }

    /// Work has ended that was being stopped, one way or another; its answer is of no use now.
    pub(crate) fn on_stopped(&mut self, op: OpId, desk: &mut Desk<'_>) {
        let Wait::Stop(stopping) = &mut self.turn_mut().wait else {
            unreachable!("only a turn that is stopping hears of it here")
        };
        stopping.ops.retain(|&stopped| stopped != op);
        let done = stopping.ops.is_empty();
        let how = stopping.how.clone();
        desk.ops.end(op);
        if done {
            self.finish(how, desk);
        }
    }
}
