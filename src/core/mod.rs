//! The machine: what happened goes in, what to do about it comes out.
//!
//! [`Agent`] reads no clock, file, socket or random source, and cannot fail. Everything that can
//! happen is an [`Input`]; everything it may ask for is an [`Effect`]. Time is an argument; chance
//! comes from one seed. While an effect is performed the host borrows what it names:
//! [`Agent::request_view`], [`Agent::record_view`], [`Agent::items`].

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod approval;
pub mod assess;
pub mod bridge;
mod budget;
pub mod call;
pub mod calls;
mod check;
pub mod child;
pub mod compact;
pub mod denial;
pub mod draft;
pub mod effect;
pub mod errand;
pub mod history;
pub mod input;
mod kept;
mod marks;
pub mod opening;
pub mod ops;
pub mod prng;
pub mod response;
pub mod restore;
pub mod retry;
pub mod review;
mod room;
pub mod session;
pub mod slots;
pub mod stop;
pub mod thread;
pub mod turn;
pub mod user_command;

use std::collections::VecDeque;
use std::rc::Rc;

use crate::core::approval::Approvals;
use crate::core::child::{Parent, Wanted};
use crate::core::compact::Purpose;
use crate::core::effect::Effects;
use crate::core::history::History;
use crate::core::input::{Input, Now};
use crate::core::marks::Marks;
use crate::core::ops::{Ops, Owner, Work};
use crate::core::prng::Prng;
use crate::core::session::Sessions;
use crate::core::slots::Slots;
use crate::core::thread::{Phase, Thread};
use crate::limits::{SETTINGS_COMPARED_MAX, THREADS_MAX};
use crate::words::command::{Command, Course, Refusal, Which};
use crate::words::event::Event;
use crate::words::ids::{ConversationId, FrontId, OpId, ThreadId, TurnName};
use crate::words::item::Item;
use crate::words::model::{Counted, Spent, Usage};
use crate::words::record::RecordView;
use crate::words::request::RequestView;
use crate::words::settings::ThreadSettings;

/// Every conversation of this process.
#[derive(Debug)]
pub struct Agent {
    threads: Slots<Thread>,
    ops: Ops,
    prng: Prng,
    threads_count: u32,
    /// The thread of the last input: whether its batch could be recorded shows with the next.
    last: Option<ThreadId>,
    /// Children that are to begin; each turn waits for one at most.
    wanted: VecDeque<Wanted>,
    /// When the last input came, in monotonic milliseconds.
    now_ms: u64,
}

/// What a thread works with while it handles one input.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) now: Now,
    pub(crate) ops: &'a mut Ops,
    pub(crate) prng: &'a mut Prng,
    pub(crate) wanted: &'a mut VecDeque<Wanted>,
    pub(crate) out: &'a mut Effects,
}

impl Agent {
    /// An agent without threads; the same seed and inputs give the same effects.
    pub fn new(seed: u64) -> Agent {
        Agent {
            threads: Slots::new(THREADS_MAX),
            ops: Ops::default(),
            prng: Prng::new(seed),
            threads_count: 0,
            last: None,
            wanted: VecDeque::new(),
            now_ms: 0,
        }
    }

    /// Takes what happened; what is to be done about it is added to `out`.
    ///
    /// A batch that cannot be recorded is answered by `Input::AppendFailed` before anything else.
    pub fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Effects) {
        if !matches!(input, Input::AppendFailed { .. }) {
            self.confirm();
        }
        self.now_ms = now.mono_ms;
        match input {
            Input::Command { front, command } => self.on_command(now, front, command, out),
            Input::Deadline => self.on_deadline(now, out),
            Input::AppendFailed { thread, lost, message } => {
                self.on_thread(thread, now, out, |thread, desk| {
                    thread.on_append_failed(lost, message, desk);
                });
            }
            Input::Opened { op, facts } => self.on_op(op, now, out, |thread, _, desk| {
                thread.on_opened(op, facts, desk);
            }),
            Input::Unopened { op, why } => self.on_op(op, now, out, |thread, _, desk| {
                thread.on_unopened(op, why, desk);
            }),
            Input::Restored { op, result } => self.on_op(op, now, out, |thread, _, desk| {
                thread.on_restored(result, desk);
            }),
            Input::Model { op, event } => self.on_news(op, now, out, |thread, _, desk| {
                thread.on_model(op, event, desk);
            }),
            Input::Exited { op, end } => self.on_news(op, now, out, |thread, _, desk| {
                thread.on_exited(op, end, desk);
            }),
            Input::Yielded { op, unread } => self.on_news(op, now, out, |thread, _, desk| {
                thread.on_yielded(op, unread, desk);
            }),
            Input::Unwritten { op, why } => self.on_news(op, now, out, |thread, _, desk| {
                thread.on_unwritten(op, why, desk);
            }),
            Input::SessionEnded { op, end, unread } => {
                self.on_news(op, now, out, |thread, owner, desk| {
                    thread.on_session_ended(op, owner.what, end, unread, desk);
                });
            }
            Input::Looked { op, result } => self.on_op(op, now, out, |thread, _, desk| {
                thread.on_looked(op, result, desk);
            }),
            Input::Inspected { op, result } => self.on_op(op, now, out, |thread, _, desk| {
                thread.on_inspected(op, result, desk);
            }),
            Input::Applied { op, result } => self.on_news(op, now, out, |thread, _, desk| {
                thread.on_applied(op, result, desk);
            }),
            Input::Stopped { op } => self.on_op(op, now, out, |thread, owner, desk| {
                thread.on_lost(op, owner.what, desk);
            }),
        }
    }

    /// When `Input::Deadline` is due, in monotonic milliseconds; one input serves one thread, so
    /// more may be due at once.
    pub fn next_deadline(&self) -> Option<u64> {
        match self.is_step_due() {
            true => Some(self.now_ms),
            false => self.threads.iter().filter_map(Thread::deadline).min(),
        }
    }

    /// What the request is made of; `None` if it is no longer wanted.
    pub fn request_view(&self, op: OpId) -> Option<RequestView<'_>> {
        let thread = self.thread(self.ops.owner(op)?.thread)?;
        let awaited = thread.awaited().filter(|awaited| awaited.op == op)?;
        let turn = thread.turn.as_ref()?;
        let view = RequestView {
            settings: &thread.settings,
            conversation: thread.conversation,
            thread_ordinal: thread.ordinal,
            request_ordinal: thread.requests_count.saturating_sub(1),
            items: &thread.history.items()[..awaited.items_sent],
            tools: &turn.tools,
            output_schema: thread.settings.output_schema.as_deref(),
            sub_agent: match &thread.parent {
                Some(parent) => Some(parent.task.sub_agent()),
                None => turn.review.as_ref().map(|_| review::SUB_AGENT),
            },
        };
        Some(match &turn.purpose {
            Purpose::Answer => view,
            Purpose::Summary(summing) => RequestView {
                items: summing.draft.items(),
                tools: &[],
                output_schema: None,
                sub_agent: Some("compact"),
                ..view
            },
        })
    }

    /// What the thread's records are made of.
    pub fn record_view(&self, thread: ThreadId) -> Option<RecordView<'_>> {
        let thread = self.thread(thread)?;
        Some(RecordView {
            conversation: thread.conversation,
            forked_from: thread.fork,
            sub_agent: thread.parent.as_ref().map(|parent| parent.task.sub_agent()),
            settings: &thread.settings,
            git: thread.facts.as_ref().and_then(|facts| facts.git.as_ref()),
            items: thread.history.items(),
        })
    }

    /// Whether there is a rollout to record in: that of a fork begins with its past.
    pub fn may_record(&self, thread: ThreadId) -> bool {
        self.thread(thread).is_some_and(Thread::may_record)
    }

    /// The thread's history; empty for a thread that is gone.
    pub fn items(&self, thread: ThreadId) -> &[Item] {
        self.thread(thread).map_or(&[], |thread| thread.history.items())
    }

    pub fn settings(&self, thread: ThreadId) -> Option<&ThreadSettings> {
        Some(&self.thread(thread)?.settings)
    }

    pub fn conversation(&self, thread: ThreadId) -> Option<ConversationId> {
        Some(self.thread(thread)?.conversation)
    }

    /// What the conversation has used so far, its past among it.
    pub fn spent(&self, thread: ThreadId) -> Option<Spent> {
        let &Thread { last_usage: last, usage: total, limits, .. } = self.thread(thread)?;
        Some(Spent { last, total, limits })
    }

    /// The message that is being written; empty when none is.
    pub fn partial_text(&self, thread: ThreadId) -> &str {
        self.thread(thread).and_then(Thread::awaited).map_or("", |awaited| &awaited.partial)
    }

    /// The reasoning that is being written; empty when none is.
    pub fn partial_reasoning(&self, thread: ThreadId) -> &str {
        let awaited = self.thread(thread).and_then(Thread::awaited);
        awaited.map_or("", |awaited| &awaited.partial_reasoning)
    }

    /// The name of the turn that runs, or ran last.
    pub fn turn_name(&self, thread: ThreadId) -> Option<TurnName> {
        Some(self.thread(thread)?.turn_name())
    }

    /// Who listens to the thread.
    pub fn front(&self, thread: ThreadId) -> Option<FrontId> {
        Some(self.thread(thread)?.front)
    }

    /// How many answers came too late.
    pub fn late_count(&self) -> u64 {
        self.ops.late_count()
    }

    /// The last batch was done: what it told is known; a thread that closed in it is lent no more.
    fn confirm(&mut self) {
        let Some(id) = self.last.take() else { return };
        let Some(thread) = self.threads.of_mut(id.slot, id.generation) else { return };
        thread.turns_told = thread.turns_count;
        thread.replaced = None;
        if thread.is_closed() {
            self.threads.take(id.slot, id.generation);
        }
    }

    fn thread(&self, id: ThreadId) -> Option<&Thread> {
        self.threads.of(id.slot, id.generation)
    }

    fn on_command(&mut self, now: Now, front: FrontId, command: Command, out: &mut Effects) {
        let done = match command {
            Command::Start { settings } => self.open(now, front, settings, None, out),
            Command::Resume { settings, which } => {
                self.open(now, front, settings, Some((which, Course::Resume)), out)
            }
            Command::Fork { settings, which } => {
                self.open(now, front, settings, Some((which, Course::Fork)), out)
            }
            Command::Prompt { thread, parts } => {
                self.on_fronts_thread(thread, now, out, |thread, desk| {
                    thread.on_prompt(parts, desk)
                })
            }
            Command::Configure { thread, settings } => {
                self.on_ready_thread(thread, now, out, |thread, _| thread.on_configure(settings))
            }
            Command::Steer { thread, turn, parts } => {
                self.on_fronts_thread(thread, now, out, |thread, desk| {
                    thread.on_steer(turn, parts, desk)
                })
            }
            Command::Review { thread, parts, hint } => {
                self.on_fronts_thread(thread, now, out, |thread, desk| {
                    thread.on_review(parts, hint, desk)
                })
            }
            Command::ReviewApart { thread, settings, parts, hint } => {
                self.on_fronts_thread(thread, now, out, |thread, desk| {
                    thread.on_review_apart(settings, parts, hint, desk)
                })
            }
            Command::Answer { thread, call, decision } => {
                let asking = self.asking(thread);
                self.on_ready_thread(asking, now, out, |thread, desk| {
                    let open = thread.on_answer(call, decision, desk);
                    if open { Ok(()) } else { Err(Refusal::NoQuestion) }
                })
            }
            Command::Compact { thread } => {
                self.on_fronts_thread(thread, now, out, Thread::on_compact)
            }
            Command::Run { thread, line, timeout_ms } => {
                self.on_fronts_thread(thread, now, out, |thread, desk| {
                    thread.on_user_command(line, timeout_ms, desk)
                })
            }
            Command::Interrupt { thread } => {
                self.on_fronts_thread(thread, now, out, |thread, desk| {
                    if thread.turn.is_none() {
                        return Err(Refusal::NothingRuns);
                    }
                    thread.interrupt(desk);
                    Ok(())
                })
            }
            Command::Close { thread } => self.on_fronts_thread(thread, now, out, |thread, desk| {
                thread.on_close(desk);
                Ok(())
            }),
        };
        if let Err(refusal) = done {
            out.tell_front(front, Event::Refused { refusal });
        }
    }

    fn open(
        &mut self,
        now: Now,
        front: FrontId,
        settings: Box<ThreadSettings>,
        past: Option<(Which, Course)>,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let put = self.put(now, front, settings, None);
        let id = put.ok_or(Refusal::TooManyThreads)?;
        match past {
            None => {
                self.on_thread(id, now, out, |thread, desk| {
                    let conversation = thread.conversation;
                    desk.out.tell(id, Event::ThreadStarted { conversation, resumed: false });
                });
                Ok(())
            }
            Some((which, course)) => {
                let loading = self
                    .on_ready_thread(id, now, out, |thread, desk| thread.load(which, course, desk));
                if loading.is_err() {
                    self.threads.take(id.slot, id.generation);
                }
                loading
            }
        }
    }

    /// A new thread, if there is room for one.
    fn put(
        &mut self,
        now: Now,
        front: FrontId,
        settings: Box<ThreadSettings>,
        parent: Option<Parent>,
    ) -> Option<ThreadId> {
        let conversation = ConversationId::v7(now.wall_ms, self.prng.ten_bytes());
        let ordinal = self.threads_count;
        let settings = self.shared(settings);
        let put = self.threads.put(|slot, generation| Thread {
            id: ThreadId { slot, generation },
            ordinal,
            front,
            conversation,
            settings,
            settings_next: None,
            facts: None,
            phase: Phase::Ready,
            history: History::default(),
            counted: Counted::default(),
            replaced: None,
            prompts: VecDeque::new(),
            turn: None,
            turns_count: 0,
            turns_told: 0,
            turn_began_ms: 0,
            calls_count: 0,
            requests_count: 0,
            usage: Usage::default(),
            last_usage: Usage::default(),
            limits: None,
            approvals: Approvals::default(),
            sessions: Sessions::default(),
            meta_recorded: false,
            marks: Marks::default(),
            fork: None,
            parent,
            prompts_due_ms: None,
        });
        let (slot, generation) = put?;
        self.threads_count += 1;
        Some(ThreadId { slot, generation })
    }

    /// These settings, if possible those of a thread that runs with the same.
    fn shared(&self, settings: Box<ThreadSettings>) -> Rc<ThreadSettings> {
        let mut last = self.threads.iter().rev().take(SETTINGS_COMPARED_MAX);
        let same = last.find(|thread| *thread.settings == *settings);
        same.map_or_else(|| settings.into(), |thread| Rc::clone(&thread.settings))
    }

    /// Does what a front asks of a thread; children take no orders.
    fn on_fronts_thread(
        &mut self,
        id: ThreadId,
        now: Now,
        out: &mut Effects,
        work: impl FnOnce(&mut Thread, &mut Desk<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match self.parent(id) {
            Some(_) => Err(Refusal::NoSuchThread),
            None => self.on_ready_thread(id, now, out, work),
        }
    }

    /// Lets the thread work at a desk. If it has closed it stays until its last batch is done.
    fn on_ready_thread(
        &mut self,
        id: ThreadId,
        now: Now,
        out: &mut Effects,
        work: impl FnOnce(&mut Thread, &mut Desk<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let thread = self.threads.of_mut(id.slot, id.generation).ok_or(Refusal::NoSuchThread)?;
        let (ops, prng, wanted) = (&mut self.ops, &mut self.prng, &mut self.wanted);
        let done = work(thread, &mut Desk { now, ops, prng, wanted, out });
        if thread.is_closed() {
            out.tell(id, Event::ThreadClosed);
            out.act(effect::Effect::Release { thread: id });
        }
        thread.hush(&self.ops, out);
        self.last = Some(id);
        done
    }

    fn on_thread(
        &mut self,
        id: ThreadId,
        now: Now,
        out: &mut Effects,
        work: impl FnOnce(&mut Thread, &mut Desk<'_>),
    ) {
        // A thread that is gone has nothing to hear.
        let _ = self.on_ready_thread(id, now, out, |thread, desk| {
            work(thread, desk);
            Ok(())
        });
    }

    /// The one gate for answers: late ones are dropped, those to a turn that is stopping only end
    /// it.
    fn on_op(
        &mut self,
        op: OpId,
        now: Now,
        out: &mut Effects,
        work: impl FnOnce(&mut Thread, Owner, &mut Desk<'_>),
    ) {
        let Some(owner) = self.ops.pass(op) else { return };
        self.on_thread(owner.thread, now, out, |thread, desk| {
            // Sessions are no part of the turn.
            let of_turn = !matches!(owner.what, Work::Session(_));
            if of_turn && thread.is_stopping() {
                thread.on_stopped(op, desk);
            } else {
                work(thread, owner, desk);
            }
        });
    }

    /// Like `on_op`, for what a turn that is stopping listens to, or what need not be the end.
    fn on_news(
        &mut self,
        op: OpId,
        now: Now,
        out: &mut Effects,
        work: impl FnOnce(&mut Thread, Owner, &mut Desk<'_>),
    ) {
        let Some(owner) = self.ops.pass(op) else { return };
        self.on_thread(owner.thread, now, out, |thread, desk| work(thread, owner, desk));
    }

    /// One thread at a time, so that a batch of effects belongs to one thread.
    fn on_deadline(&mut self, now: Now, out: &mut Effects) {
        if self.take_step(now, out) {
            return;
        }
        let due = self
            .threads
            .iter()
            .find(|thread| thread.deadline().is_some_and(|at_ms| at_ms <= now.mono_ms));
        if let Some(id) = due.map(|thread| thread.id) {
            self.on_thread(id, now, out, Thread::on_deadline);
        }
    }
}

#[cfg(test)]
mod tests;
