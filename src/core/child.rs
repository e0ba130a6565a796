//! A child: a thread that works for another one, whose turn waits for it.
//!
//! ```text
//!  parent waits for an op --wanted--> child begins, with a history and settings of its own
//!    | is being stopped ------------> child is stopped as hard
//!    | waits no longer -------------> child is dismissed, without grace
//!    <------------------------------ child's turn has ended: it reports, and is dismissed
//! ```
//!
//! Nothing passes between the two while either is at work: what is due between threads shows in
//! their states, and each step of it is a deadline that is due at once, with a batch of its own. A
//! child's report passes the same gate as any answer from outside, so one that comes too late is
//! dropped there. Children have no children, and a turn waits for one at a time. To fronts a child
//! does not exist: what they hear of it, they hear of its parent.
//!
//! A summary is no child's work: it is made of the history that it replaces, all of it, and bound
//! to its place there; a child would need a copy. Its requests are named like a child's all the
//! same.

use crate::core::effect::{Effect, Effects, Stop};
use crate::core::input::Now;
use crate::core::ops::{Ops, Owner, Work};
use crate::core::thread::{Phase, Thread};
use crate::core::turn::Wait;
use crate::core::{Agent, Desk, review};
use crate::words::event::{Ended, Event, Failed};
use crate::words::ids::{CallId, OpId, ThreadId};
use crate::words::item::{Item, Part};
use crate::words::model::{RateLimits, Usage};
use crate::words::settings::ThreadSettings;

/// What makes a thread a child.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) thread: ThreadId,
    /// What the parent waits for.
    pub(crate) op: OpId,
    pub(crate) task: Task,
    /// How hard it was told to stop. Invariant: at most the parent's own `Stopping::hardness`.
    pub(crate) stops_heard: u32,
    /// How its turn ended, once it has.
    pub(crate) how: Option<Ended>,
}

/// What a child is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// To say what it makes of a command: one answer, nothing else, and nothing that is kept.
    Assessment,
    /// To review something and give a verdict.
    Review,
}

/// A child that begins once the batch that wants it is done.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) op: OpId,
    pub(crate) settings: Box<ThreadSettings>,
    pub(crate) job: Job,
}

#[derive(Debug)]
pub(crate) enum Job {
    Assess { question: Box<str> },
    Review { parts: Vec<Part>, hint: Box<str> },
}

/// What became of a child.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) how: Ended,
    /// Its last words, if it ended well.
    pub(crate) said: Option<Box<str>>,
    pub(crate) usage: Usage,
    /// What the provider last said of the account.
    limits: Option<RateLimits>,
    /// The parent's calls with the child's: they are counted as one.
    calls_count: u32,
}

/// What is due between threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Begin,
    StopHarder(ThreadId),
    Report(ThreadId),
    Dismiss(ThreadId),
}

impl Task {
    /// How requests name who asks for them.
    pub(crate) fn sub_agent(self) -> &'static str {
        match self {
            Task::Assessment => "assessment",
            Task::Review => review::SUB_AGENT,
        }
    }

    /// Whether a front hears of this as if it were the parent's.
    fn surfaces(self, event: &Event) -> bool {
        let of_parent = match event {
            // The parent's turn is the one that fronts know, and its history stays as it is.
            Event::ThreadStarted { .. }
            | Event::ThreadLoading
            | Event::ThreadFailed { .. }
            | Event::ThreadClosed
            | Event::TurnStarted { .. }
            | Event::TurnStopping { .. }
            | Event::TurnEnded { .. }
            | Event::Tokens { .. }
            | Event::CompactionStarted
            | Event::Compacted { .. }
            | Event::Refused { .. } => false,
            Event::PromptTaken { .. }
            | Event::ReviewEntered { .. }
            | Event::ReviewExited { .. }
            | Event::TextDelta { .. }
            | Event::ReasoningDelta { .. }
            | Event::ReasoningBreak
            | Event::ServedStarted
            | Event::ItemCompleted { .. }
            | Event::CommandStarted { .. }
            | Event::CommandEnded { .. }
            | Event::UserCommandStarted { .. }
            | Event::SessionEnded { .. }
            | Event::PatchStarted { .. }
            | Event::PatchEnded { .. }
            | Event::CallAnswered { .. }
            | Event::TasksUpdated { .. }
            | Event::ApprovalAsked { .. }
            | Event::ApprovalSettled { .. }
            | Event::Retrying { .. }
            | Event::Warning { .. }
            | Event::Limits { .. } => true,
        };
        of_parent && self == Task::Review
    }

    /// Whether there is a rollout of it.
    fn is_recorded(self) -> bool {
        self == Task::Review
    }
}

impl Desk<'_> {
    /// Asks for work to be stopped; a child sees for itself that its parent is.
    pub(crate) fn stop(&mut self, op: OpId, how: Stop) {
        if !self.is_child(op) {
            self.out.act(Effect::Stop { op, how });
        }
    }

    pub(crate) fn is_child(&self, op: OpId) -> bool {
        self.ops.owner(op).is_some_and(|owner| owner.what == Work::Child)
    }

    /// Whether a child for this has begun, which is told of a stop and ends by itself.
    pub(crate) fn has_begun(&self, op: OpId) -> bool {
        self.is_child(op) && self.wanted.iter().all(|wanted| wanted.op != op)
    }
}

impl Agent {
    /// The thread that this one works for.
    pub fn parent(&self, thread: ThreadId) -> Option<ThreadId> {
        Some(self.thread(thread)?.parent.as_ref()?.thread)
    }

    /// For which call a command runs, and in which thread that fronts know.
    pub fn caller(&self, op: OpId) -> Option<(ThreadId, CallId)> {
        let Owner { thread, what } = self.ops.owner(op)?;
        let call = match what {
            Work::Call(call) => call,
            Work::Session(number) => self.thread(thread)?.sessions.starter(number)?,
            Work::Opening | Work::Response | Work::Child | Work::Errand => return None,
        };
        Some((self.parent(thread).unwrap_or(thread), call))
    }

    /// Who asks what fronts are asked in the thread's name: the thread or its child.
    pub(crate) fn asking(&self, thread: ThreadId) -> ThreadId {
        let asks = |child: &&Thread| {
            child.parent.as_ref().is_some_and(|parent| {
                let is_own = parent.thread == thread && parent.task == Task::Review;
                is_own && self.ops.owner(parent.op).is_some()
            })
        };
        self.threads.iter().find(asks).map_or(thread, |child| child.id)
    }

    /// Whether something is due between threads.
    pub(crate) fn is_step_due(&self) -> bool {
        self.step_due().is_some()
    }

    fn step_due(&self) -> Option<Step> {
        if !self.wanted.is_empty() {
            return Some(Step::Begin);
        }
        self.threads.iter().find_map(|child| {
            let parent = child.parent.as_ref()?;
            if self.ops.owner(parent.op).is_none() {
                return (!child.is_closed()).then_some(Step::Dismiss(child.id));
            }
            if child.turn.is_none() {
                return Some(Step::Report(child.id));
            }
            let hardness = self.thread(parent.thread).map_or(0, Thread::stop_hardness);
            (parent.stops_heard < hardness).then_some(Step::StopHarder(child.id))
        })
    }

    /// Takes the one step that is due between threads, if any is.
    pub(crate) fn take_step(&mut self, now: Now, out: &mut Effects) -> bool {
        match self.step_due() {
            None => return false,
            Some(Step::Begin) => self.begin_child(now, out),
            Some(Step::StopHarder(child)) => self.on_thread(child, now, out, |child, desk| {
                if let Some(parent) = &mut child.parent {
                    parent.stops_heard += 1;
                }
                child.interrupt(desk);
            }),
            Some(Step::Report(child)) => self.report(child, now, out),
            Some(Step::Dismiss(child)) => self.on_thread(child, now, out, Thread::dismiss),
        }
        true
    }

    fn begin_child(&mut self, now: Now, out: &mut Effects) {
        let Some(Wanted { op, settings, job }) = self.wanted.pop_front() else { return };
        // Nobody waits for it any more.
        let Some(Owner { thread: parent, .. }) = self.ops.owner(op) else { return };
        let Some(waiting) = self.thread(parent) else { return };
        let front = waiting.front;
        let calls_count = waiting.calls_count;
        let stops = waiting.stop_hardness() > 0;
        let task = match job {
            Job::Assess { .. } => Task::Assessment,
            Job::Review { .. } => Task::Review,
        };
        let child = Parent { thread: parent, op, task, stops_heard: 0, how: None };
        let put = if stops { None } else { self.put(now, front, settings, Some(child)) };
        match put {
            Some(child) => self.on_thread(child, now, out, |child, desk| {
                child.calls_count = calls_count;
                match job {
                    Job::Assess { question } => child.assess(question, desk),
                    Job::Review { parts, hint } => {
                        // The parent has seen to it that there is nothing to refuse.
                        let _ = child.on_review(parts, hint, desk);
                    }
                }
            }),
            None => {
                // There is no room for it, or the parent is being stopped and heeds no outcome.
                let message = "too many threads are open".into();
                let how = Ended::Failed { kind: Failed::Bound, message };
                let (said, usage, limits) = (None, Usage::default(), None);
                self.hand_in(op, Outcome { how, said, usage, limits, calls_count }, now, out);
            }
        }
    }

    /// Tells the parent what became of the child.
    fn report(&mut self, child: ThreadId, now: Now, out: &mut Effects) {
        let Some(child) = self.thread(child) else { return };
        let Some(Parent { op, how, .. }) = &child.parent else {
            unreachable!("only children report")
        };
        let (op, how) = (*op, how.clone().unwrap_or(Ended::Interrupted));
        let said = match how {
            Ended::Completed => last_words(child.history.items()),
            Ended::Interrupted | Ended::Failed { .. } => None,
        };
        let Thread { usage, limits, calls_count, .. } = *child;
        self.hand_in(op, Outcome { how, said, usage, limits, calls_count }, now, out);
    }

    fn hand_in(&mut self, op: OpId, outcome: Outcome, now: Now, out: &mut Effects) {
        if let Some(owner) = self.ops.owner(op)
            && let Some(parent) = self.threads.of_mut(owner.thread.slot, owner.thread.generation)
        {
            parent.calls_count = parent.calls_count.max(outcome.calls_count);
            parent.limits = outcome.limits.or(parent.limits);
        }
        self.on_op(op, now, out, |thread, _, desk| thread.on_child_ended(op, outcome, desk));
    }
}

impl Thread {
    /// How hard the running turn is being stopped: 0 while it is not.
    pub(crate) fn stop_hardness(&self) -> u32 {
        match self.turn.as_ref().map(|turn| &turn.wait) {
            Some(Wait::Stop(stopping)) => stopping.hardness,
            Some(
                Wait::Opening { .. }
                | Wait::Model(_)
                | Wait::Retry { .. }
                | Wait::Calls { .. }
                | Wait::Child { .. },
            )
            | None => 0,
        }
    }

    /// Whether it is a child that gives one answer and does nothing else.
    pub(crate) fn is_one_shot(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.task == Task::Assessment)
    }

    /// What became of a child; the gate has let it pass, so that somebody waits for it.
    fn on_child_ended(&mut self, op: OpId, outcome: Outcome, desk: &mut Desk<'_>) {
        desk.ops.end(op);
        match self.turn_mut().wait {
            Wait::Child { .. } => self.on_reviewed(outcome, desk),
            Wait::Calls { .. } => self.on_assessed(op, outcome, desk),
            Wait::Opening { .. } | Wait::Model(_) | Wait::Retry { .. } | Wait::Stop(_) => {
                unreachable!("nothing of this waits for a child")
            }
        }
    }

    /// Ends the turn of a child at once, since nobody waits for it, and then the child.
    fn dismiss(&mut self, desk: &mut Desk<'_>) {
        self.phase = Phase::Closing;
        self.end_sessions(desk);
        // The first stops what runs, the second makes it end, the third gives it up.
        for _ in 0..3 {
            if self.turn.is_some() {
                self.interrupt(desk);
            }
        }
    }

    /// Notes how a turn has ended, for whoever waits for it.
    pub(crate) fn note_ended(&mut self, how: &Ended) {
        if let Some(parent) = &mut self.parent {
            parent.how = Some(how.clone());
        }
    }

    /// Lets fronts hear and rollouts hold of a child only what its task allows.
    ///
    /// A child that nobody waits for any more has nothing to say.
    pub(crate) fn hush(&self, ops: &Ops, out: &mut Effects) {
        let Some(parent) = &self.parent else { return };
        let is_awaited = ops.owner(parent.op).is_some();
        out.surface(parent.thread, self.id, |event| is_awaited && parent.task.surfaces(event));
        if !parent.task.is_recorded() {
            out.forget_records();
        }
    }
}

/// The text of the last message of the last response, if it says anything.
fn last_words(items: &[Item]) -> Option<Box<str>> {
    let verdict = review::verdict(items)?;
    match &items[verdict.0 as usize] {
        Item::Message(message) => Some(message.texts().collect::<String>().into()),
        Item::Reasoning(_) | Item::Call(_) | Item::Output(_) | Item::Served { .. } => None,
    }
}
