//! Stopping a turn: what runs is asked to end, then made to, then given up.
//!
//! What there is of the turn is kept: text that was being written, and an output for every call. A
//! command that ends within the grace is answered with what it had printed by then; calls after it
//! wait for that, so that answers keep their order.

use crate::core::Desk;
use crate::core::call::{Call, State};
use crate::core::effect::Stop;
use crate::core::thread::Thread;
use crate::core::turn::Wait;
use crate::limits::{KILL_GRACE_MS, STOP_GRACE_MS};
use crate::words::event::{Ended, Event};
use crate::words::ids::OpId;

/// Work that is being stopped, and what the turn will then have come to.
#[derive(Debug)]
pub struct Stopping {
    pub(crate) ops: Vec<OpId>,
    /// The turn's calls; those whose work may still tell something have no answer yet.
    pub(crate) calls: Vec<Call>,
    pub(crate) until_ms: u64,
    /// How many times what runs was told to stop: to end, to die, and for a child to give up what
    /// does neither.
    pub(crate) hardness: u32,
    how: Ended,
    by_whom: &'static str,
}

impl Thread {
    /// Stops the turn; a second time, without grace.
    pub(crate) fn interrupt(&mut self, desk: &mut Desk<'_>) {
        match &self.turn_mut().wait {
            Wait::Stop(_) => self.stop_harder(desk),
            Wait::Opening { .. }
            | Wait::Model(_)
            | Wait::Retry { .. }
            | Wait::Calls { .. }
            | Wait::Child { .. } => {
                self.stop(Ended::Interrupted, "user", desk);
            }
        }
    }

    /// Stops the turn, keeping what there is of it.
    pub(crate) fn stop(&mut self, how: Ended, by_whom: &'static str, desk: &mut Desk<'_>) {
        match &self.turn_mut().wait {
            Wait::Model(_) => self.keep_partial(desk),
            Wait::Calls { .. } => return self.stop_calls(how, by_whom, desk),
            Wait::Opening { .. } | Wait::Retry { .. } | Wait::Child { .. } | Wait::Stop(_) => {}
        }
        self.abandon(how, desk);
    }

    /// Answers every call that has nothing more to tell, and stops what the others wait for.
    fn stop_calls(&mut self, how: Ended, by_whom: &'static str, desk: &mut Desk<'_>) {
        let (id, ops) = (self.id, self.live_ops());
        for call in self.calls_mut() {
            if matches!(call.state, State::AwaitApproval(_)) {
                desk.out.tell(id, Event::ApprovalSettled { call: call.id });
            }
            if !call.may_tell() {
                call.abort(by_whom, "", desk.now.mono_ms);
            }
        }
        self.settle_answers(desk);
        let calls = std::mem::take(self.calls_mut());
        self.halt(ops, (calls, by_whom), how, desk);
    }

    /// Ends the turn as soon as all its work has been stopped. Records nothing.
    pub(crate) fn abandon(&mut self, how: Ended, desk: &mut Desk<'_>) {
        self.halt(self.live_ops(), (Vec::new(), ""), how, desk);
    }

    fn halt(
        &mut self,
        ops: Vec<OpId>,
        (calls, by_whom): (Vec<Call>, &'static str),
        how: Ended,
        desk: &mut Desk<'_>,
    ) {
        for &op in &ops {
            desk.stop(op, Stop::Interrupt);
        }
        desk.out.tell(self.id, Event::TurnStopping { turn: self.turn_mut().id });
        let until_ms = desk.now.mono_ms.saturating_add(STOP_GRACE_MS);
        let is_over = ops.is_empty();
        self.wait_for(Wait::Stop(Stopping { ops, calls, until_ms, hardness: 1, how, by_whom }));
        if is_over {
            self.end_stopped(desk);
        }
    }

    /// Nothing runs any more, or is given up: answers what is left and ends the turn.
    fn end_stopped(&mut self, desk: &mut Desk<'_>) {
        let now_ms = desk.now.mono_ms;
        let stopping = self.stopping_mut();
        let (how, by_whom) = (stopping.how.clone(), stopping.by_whom);
        for call in &mut stopping.calls {
            call.abort(by_whom, "", now_ms);
        }
        self.settle_answers(desk);
        self.show_images(desk);
        self.finish(how, desk);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| matches!(turn.wait, Wait::Stop(_)))
    }

    fn stopping_mut(&mut self) -> &mut Stopping {
        match &mut self.turn_mut().wait {
            Wait::Stop(stopping) => stopping,
            Wait::Opening { .. }
            | Wait::Model(_)
            | Wait::Retry { .. }
            | Wait::Calls { .. }
            | Wait::Child { .. } => {
                unreachable!("only a turn that is stopping comes here")
            }
        }
    }

    /// The work the turn waits for.
    pub(crate) fn live_ops(&self) -> Vec<OpId> {
        match self.turn.as_ref().map(|turn| &turn.wait) {
            None | Some(Wait::Retry { .. }) => Vec::new(),
            Some(Wait::Opening { op } | Wait::Child { op }) => vec![*op],
            Some(Wait::Model(awaited)) => vec![awaited.op],
            Some(Wait::Calls { calls }) => calls.iter().filter_map(Call::op).collect(),
            Some(Wait::Stop(stopping)) => stopping.ops.clone(),
        }
    }

    pub(crate) fn stop_harder(&mut self, desk: &mut Desk<'_>) {
        let now_ms = desk.now.mono_ms;
        let stopping = self.stopping_mut();
        stopping.hardness += 1;
        if stopping.hardness > 2 {
            // A child that is told so gives up what it waits for, and ends.
            let (children, ops) = stopping.ops.drain(..).partition(|op| desk.has_begun(*op));
            stopping.ops = children;
            stopping.until_ms = u64::MAX;
            let is_over = stopping.ops.is_empty();
            for op in Vec::into_iter(ops) {
                desk.ops.end(op);
            }
            if is_over {
                self.end_stopped(desk);
            }
            return;
        }
        stopping.until_ms = now_ms.saturating_add(KILL_GRACE_MS);
        for &op in &stopping.ops {
            desk.stop(op, Stop::Kill);
        }
    }

    /// A command has ended that was being stopped; this is what it has printed.
    pub(crate) fn on_printed(&mut self, op: OpId, output: &str, desk: &mut Desk<'_>) {
        let stopping = self.stopping_mut();
        let by_whom = stopping.by_whom;
        // A turn that was abandoned asks for no answers.
        if let Some(call) = stopping.calls.iter_mut().find(|call| call.op() == Some(op)) {
            call.abort(by_whom, output, desk.now.mono_ms);
        }
        self.on_stopped(op, desk);
    }

    /// Work has ended that was being stopped, one way or another.
    pub(crate) fn on_stopped(&mut self, op: OpId, desk: &mut Desk<'_>) {
        let now_ms = desk.now.mono_ms;
        let stopping = self.stopping_mut();
        stopping.ops.retain(|&stopped| stopped != op);
        let (is_over, by_whom) = (stopping.ops.is_empty(), stopping.by_whom);
        if let Some(call) = stopping.calls.iter_mut().find(|call| call.op() == Some(op)) {
            call.abort(by_whom, "", now_ms);
        }
        desk.ops.end(op);
        self.settle_answers(desk);
        if is_over {
            self.end_stopped(desk);
        }
    }
}
