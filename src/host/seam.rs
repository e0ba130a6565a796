//! The one seam between the machine and the outside.
//!
//! Whatever happened is fed here; what the machine asks for leaves here, in order: records are
//! written at once, notices are put into the front's buffers, deeds wait in a queue for `perform`.
//! Buffers are written to the outside only after the queue has been worked off, so that the order
//! is record, act, tell. If a record cannot be written, nothing of its batch is done or told.

use std::collections::VecDeque;

use crate::core::Agent;
use crate::core::effect::{Audience, Effect, Effects};
use crate::core::input::{Input, Lost, Now};
use crate::fronts::Output;
use crate::fronts::exec::Exec;
use crate::host::clock;
use crate::host::rollouts::Rollouts;
use crate::words::event::Event;
use crate::words::ids::ThreadId;
use crate::words::record::Record;

/// The machine, its records and who listens.
#[derive(Debug)]
pub struct Seam {
    pub agent: Agent,
    effects: Effects,
    /// What is to be done.
    pub deeds: VecDeque<Effect>,
    pub rollouts: Rollouts,
    pub front: Exec,
    /// What the front wants written.
    pub output: Output,
    /// The thread of the front, once it is open.
    pub thread: Option<ThreadId>,
}

/// A batch that could not be recorded.
struct Failed {
    thread: ThreadId,
    lost: Lost,
    message: Box<str>,
}

impl Seam {
    pub fn new(seed: u64, rollouts: Rollouts, front: Exec) -> Seam {
        Seam {
            agent: Agent::new(seed),
            effects: Effects::default(),
            deeds: VecDeque::new(),
            rollouts,
            front,
            output: Output::default(),
            thread: None,
        }
    }

    /// Tells the machine what happened, and sees to it that what it asks for is recorded and
    /// queued.
    pub fn feed(&mut self, input: Input<'_>) {
        let now = Now { mono_ms: clock::mono_ms(), wall_ms: clock::wall_ms() };
        self.agent.handle(now, input, &mut self.effects);
        while let Some(failed) = self.settle(now) {
            let Failed { thread, lost, message } = failed;
            let input = Input::AppendFailed { thread, lost, message };
            self.agent.handle(now, input, &mut self.effects);
        }
        if cfg!(debug_assertions) {
            self.agent.check();
        }
    }

    /// Works off one batch of effects.
    fn settle(&mut self, now: Now) -> Option<Failed> {
        let mut failed: Option<Failed> = None;
        while let Some(effect) = self.effects.pull() {
            match (effect, &mut failed) {
                (Effect::Append { record, .. }, Some(failed)) => failed.also(&record),
                (Effect::Append { thread, record }, None) => {
                    failed = self.append(now, thread, &record).err();
                }
                (_, Some(_)) => {}
                (Effect::Notify { to, event }, None) => self.tell(to, &event),
                (deed, None) => self.deeds.push_back(deed),
            }
        }
        failed
    }

    fn append(&mut self, now: Now, thread: ThreadId, record: &Record) -> Result<(), Failed> {
        let Some(view) = self.agent.record_view(thread) else { return Ok(()) };
        self.rollouts.append(thread, record, view, now.wall_ms).map_err(|failure| {
            let lost = Lost { meta: false, items_from: None };
            let mut failed = Failed { thread, lost, message: failure.to_string().into() };
            failed.also(record);
            failed
        })
    }

    fn tell(&mut self, to: Audience, event: &Event) {
        let thread = match to {
            Audience::Thread(thread) => Some(thread),
            Audience::Front(_) => None,
        };
        if let Event::ThreadStarted { .. } = event {
            self.thread = thread;
        }
        let items = thread.map_or(&[][..], |thread| self.agent.items(thread));
        self.front.told(event, items, &mut self.output);
    }
}

impl Failed {
    /// Counts a record among the lost.
    fn also(&mut self, record: &Record) {
        match record {
            Record::Meta => self.lost.meta = true,
            Record::Item(item) => {
                let first = self.lost.items_from.get_or_insert(*item);
                *first = (*first).min(*item);
            }
            Record::TurnContext
            | Record::UserMessage(_)
            | Record::AgentMessage(_)
            | Record::AgentReasoning(_)
            | Record::TokenCount { .. }
            | Record::TurnAborted => {}
        }
    }
}
