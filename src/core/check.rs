//! What must hold after every input, whatever came in. Debug builds check it in the loop, the
//! simulator after each step.

use std::collections::HashSet;

use crate::core::Agent;
use crate::core::call::Call;
use crate::core::history::{held_bytes, unpaired};
use crate::core::ops::Work;
use crate::core::thread::{Phase, Thread};
use crate::core::turn::Wait;
use crate::limits::{
    APPROVALS_REMEMBERED_MAX, CALLS_PARALLEL_MAX, PROMPTS_WAITING_MAX, SESSIONS_MAX,
};
use crate::words::ids::{OpId, ThreadId};

impl Agent {
    /// Asserts the invariants of the machine.
    pub fn check(&self) {
        let mut waited: HashSet<OpId> = HashSet::new();
        for thread in self.threads.iter() {
            for op in awaited_ops(thread) {
                let owner = self.ops.owner(op);
                assert!(owner.is_some(), "what is waited for is in progress");
                assert_eq!(owner.map(|owner| owner.thread), Some(thread.id));
                assert!(waited.insert(op), "one wait for each op");
            }
            assert!(
                !thread.is_closed() || self.last == Some(thread.id),
                "a thread that has closed is gone with the next input"
            );
            check_thread(thread);
        }
        self.check_children();
        assert_eq!(self.ops.iter().count(), waited.len(), "what is in progress is waited for");
    }

    /// Children work for threads that are none, one for each op.
    fn check_children(&self) {
        let wanted = self.wanted.iter().map(|wanted| wanted.op);
        let children =
            || self.threads.iter().filter_map(|thread| Some((thread, thread.parent.as_ref()?)));
        let begun = children().map(|(_, parent)| parent.op);
        for (child, parent) in children() {
            let awaited = self.ops.owner(parent.op).is_some();
            let over = child.turn.is_none() || child.is_one_shot();
            assert!(awaited || over, "what acts or is heard of is waited for to its end");
        }
        let mut ops: HashSet<OpId> = HashSet::new();
        for op in wanted.chain(begun) {
            assert!(ops.insert(op), "a child is wanted once");
            let Some(owner) = self.ops.owner(op) else { continue };
            assert_eq!(owner.what, Work::Child);
            assert!(self.parent(owner.thread).is_none(), "children have no children");
        }
        let children = self.ops.iter().filter(|owner| owner.what == Work::Child);
        let mut waiting: HashSet<ThreadId> = HashSet::new();
        for owner in children {
            assert!(waiting.insert(owner.thread), "a thread waits for one child at a time");
        }
    }
}

fn awaited_ops(thread: &Thread) -> Vec<OpId> {
    let mut ops = thread.live_ops();
    if let Phase::Loading { op, .. } = thread.phase {
        ops.push(op);
    }
    ops.extend(thread.sessions.live_ops());
    ops
}

fn check_thread(thread: &Thread) {
    // One more begins a turn, and may have to wait for a summary with the others.
    assert!(thread.prompts.len() <= PROMPTS_WAITING_MAX + 1, "waiting prompts are bounded");
    assert!(thread.approvals.count() <= APPROVALS_REMEMBERED_MAX, "approvals are bounded");
    assert!(thread.sessions.count() <= SESSIONS_MAX, "sessions are bounded");
    let items = thread.history.items();
    assert_eq!(thread.history.bytes(), held_bytes(items), "bytes are counted");
    let unpaired = unpaired(items);
    assert!(unpaired.outputs.is_empty(), "every output answers a call");
    let unsettled = match thread.turn.as_ref().map(|turn| &turn.wait) {
        Some(Wait::Calls { calls }) => {
            check_calls(calls);
            calls.iter().filter(|call| !call.is_settled()).count()
        }
        Some(Wait::Stop(stopping)) => {
            stopping.calls.iter().filter(|call| !call.is_settled()).count()
        }
        Some(Wait::Opening { .. } | Wait::Model(_) | Wait::Retry { .. } | Wait::Child { .. })
        | None => 0,
    };
    // What a user runs is no call of the history.
    let is_users = thread.turn.as_ref().is_some_and(|turn| turn.command.is_some());
    let unsettled = if is_users { 0 } else { unsettled };
    assert_eq!(unpaired.calls.len(), unsettled, "only calls of the running turn lack their output");
}

fn check_calls(calls: &[Call]) {
    let running = calls.iter().filter(|call| call.op().is_some()).count();
    assert!(running <= CALLS_PARALLEL_MAX, "calls at the same time are bounded");
    let first = calls.iter().position(|call| !call.is_settled());
    assert!(first.is_some(), "a turn does not wait for calls that are all settled");
    let after = calls.iter().skip(first.unwrap_or(0));
    assert!(after.clone().all(|call| !call.is_settled()), "calls are settled in order");
}
