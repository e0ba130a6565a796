//! The turn machine: one prompt until the agent rests.
//!
//! ```text
//!  no turn --prompt--> Opening --facts--> Model --completed, nothing to do--> no turn
//!                                          |  ^^--deadline-- Retry <--failed, may retry-- Model
//!                                    calls |  |
//!                                          v  | all answered
//!                                         Calls
//!  any --interrupt, budget, failure--> Stop --all stopped, or grace spent--> no turn
//! ```
//!
//! A review that is not the thread's own waits for a child instead of the model; see `child`.
//!
//! Before a request that would not fit, the model is asked for a summary instead, by the same two
//! waits: what it is asked for is the turn's purpose, and `compact` knows the rest.
//!
//! A state is something we wait for. Calls are judged only when their response is whole: a stream
//! that was cut off never runs half a call.

use crate::core::Desk;
use crate::core::call::Call;
use crate::core::compact::{Purpose, Relief};
use crate::core::effect::Effect;
use crate::core::ops::Work;
use crate::core::response::Awaited;
use crate::core::retry::Tries;
use crate::core::review::Review;
use crate::core::stop::Stopping;
use crate::core::thread::{Phase, Thread};
use crate::core::user_command::UserCommand;
use crate::limits::HISTORY_BYTES_MAX;
use crate::tools;
use crate::words::command::Unsteerable;
use crate::words::event::{Budget, Ended, Event, Failed};
use crate::words::ids::{ItemIndex, OpId, TurnId};
use crate::words::model::Usage;
use crate::words::record::Record;
use crate::words::request::ToolSpec;
use crate::words::settings::OpeningFacts;

/// A running turn.
#[derive(Debug)]
pub struct Turn {
    pub(crate) id: TurnId,
    /// What the model is offered.
    pub(crate) tools: Vec<ToolSpec>,
    pub(crate) usage: Usage,
    /// Requests so far, each with all its tries.
    pub(crate) requests_count: u32,
    /// What the requests are for.
    pub(crate) purpose: Purpose,
    pub(crate) relief: Relief,
    /// The last message of the model.
    pub(crate) said: Option<ItemIndex>,
    /// It is there for a summary, and waits for the place where that can be recorded.
    pub(crate) compacts: bool,
    /// If it is a review.
    pub(crate) review: Option<Review>,
    /// If it runs a command of the user, until that has ended.
    pub(crate) command: Option<Box<UserCommand>>,
    pub(crate) wait: Wait,
}

/// What the turn waits for.
#[derive(Debug)]
pub enum Wait {
    Opening {
        op: OpId,
    },
    Model(Awaited),
    Retry {
        at_ms: u64,
        tries: Tries,
    },
    Calls {
        calls: Vec<Call>,
    },
    /// A child that does the turn's work.
    Child {
        op: OpId,
    },
    Stop(Stopping),
}

impl Turn {
    /// Why nobody can say anything in it, if so.
    pub(crate) fn unsteerable(&self) -> Option<Unsteerable> {
        match &self.purpose {
            _ if self.review.is_some() => Some(Unsteerable::Review),
            Purpose::Summary(summing) if summing.is_all() => Some(Unsteerable::Compaction),
            Purpose::Summary(_) | Purpose::Answer => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        match &self.wait {
            Wait::Opening { .. } | Wait::Child { .. } => None,
            Wait::Model(awaited) => Some(awaited.idle_at_ms),
            Wait::Retry { at_ms, .. } => Some(*at_ms),
            Wait::Calls { calls } => calls.iter().filter_map(Call::deadline).min(),
            Wait::Stop(stopping) => Some(stopping.until_ms),
        }
    }
}

impl Thread {
    pub(crate) fn start_turn(&mut self, review: Option<Review>, desk: &mut Desk<'_>) {
        self.begin_turn(desk);
        self.turn_mut().review = review;
        if self.facts.is_some() {
            self.request(desk);
            return;
        }
        self.ask_to_open(desk);
    }

    pub(crate) fn ask_to_open(&mut self, desk: &mut Desk<'_>) {
        match desk.ops.start(self.id, Work::Opening) {
            Some(op) => {
                self.wait_for(Wait::Opening { op });
                desk.out.act(Effect::Open { op, thread: self.id });
            }
            None => self.fail_bound("too much is running already", desk),
        }
    }

    /// Makes a turn that waits for nothing yet.
    pub(crate) fn begin_turn(&mut self, desk: &mut Desk<'_>) {
        self.configure();
        self.turns_count += 1;
        self.turn_began_ms = desk.now.wall_ms;
        self.prompts_due_ms = None;
        let id = TurnId(self.turns_count);
        desk.out.tell(self.id, Event::TurnStarted { turn: id });
        let tries = Tries::begin(desk.now.mono_ms);
        self.turn = Some(Box::new(Turn {
            id,
            tools: if self.is_one_shot() { Vec::new() } else { tools::offered(&self.settings) },
            usage: Usage::default(),
            requests_count: 0,
            purpose: Purpose::Answer,
            relief: Relief::Stale,
            said: None,
            compacts: false,
            review: None,
            command: None,
            wait: Wait::Retry { at_ms: desk.now.mono_ms, tries },
        }));
    }

    pub(crate) fn turn_mut(&mut self) -> &mut Turn {
        match &mut self.turn {
            Some(turn) => turn,
            None => unreachable!("only a running turn comes here"),
        }
    }

    pub(crate) fn wait_for(&mut self, wait: Wait) {
        self.turn_mut().wait = wait;
    }

    pub(crate) fn on_opened(&mut self, op: OpId, facts: OpeningFacts, desk: &mut Desk<'_>) {
        desk.ops.end(op);
        self.facts = Some(facts);
        // The past comes with the first line.
        self.meta_recorded |= self.fork.is_some();
        match self.turn_mut() {
            Turn { compacts: true, .. } => self.compact_all(desk),
            Turn { command: Some(_), .. } => self.run_user_command(desk),
            _ => self.request(desk),
        }
    }

    /// There is nothing to record in; the next turn asks again.
    pub(crate) fn on_unopened(&mut self, op: OpId, why: Box<str>, desk: &mut Desk<'_>) {
        desk.ops.end(op);
        self.finish(Ended::Failed { kind: Failed::Record, message: why }, desk);
    }

    /// Asks the model for a new response, with all that waits to be said.
    pub(crate) fn request(&mut self, desk: &mut Desk<'_>) {
        if let Some(budget) = self.spent(desk.now.mono_ms) {
            return self.finish(self.over_budget(budget), desk);
        }
        if let Some(how) = self.in_vain() {
            return self.finish(how, desk);
        }
        if let Some(review) = self.turn_mut().review.take_if(Review::is_apart) {
            return self.delegate(review, desk);
        }
        if self.is_overfull() && self.may_compact() {
            return self.compact(desk);
        }
        if self.exceeds_bytes() {
            // There will never be room for what waits.
            self.prompts.drain(..self.prompts_due_count());
            let mib = HISTORY_BYTES_MAX >> 20;
            let text = format!("the conversation exceeds {mib} MiB; start a new one");
            self.fail_bound(&text, desk);
            return;
        }
        let fresh = self.prompts_due_count() > 0;
        self.take_prompts(desk);
        if fresh {
            desk.out.append(self.id, Record::TurnContext);
        }
        self.ask_model(desk);
    }

    /// Asks the model for what the turn's purpose is, if nothing is used up.
    pub(crate) fn ask_model(&mut self, desk: &mut Desk<'_>) {
        if let Some(budget) = self.spent(desk.now.mono_ms) {
            return self.finish(self.over_budget(budget), desk);
        }
        self.requests_count += 1;
        self.turn_mut().requests_count += 1;
        self.send(Tries::begin(desk.now.mono_ms), desk);
    }

    /// Goes on with the calls; asks the model again once all are answered.
    pub(crate) fn calls_went_on(&mut self, desk: &mut Desk<'_>) {
        self.advance_calls(desk);
        let Wait::Calls { calls } = &self.turn_mut().wait else {
            unreachable!("calls go on only while the turn waits for them")
        };
        if calls.iter().all(Call::is_settled) {
            if self.turn_mut().command.is_some() {
                return self.rest_after_user_command(desk);
            }
            self.show_images(desk);
            self.request(desk);
        }
    }

    pub(crate) fn fail_bound(&mut self, text: &str, desk: &mut Desk<'_>) {
        let how = Ended::Failed { kind: Failed::Bound, message: text.into() };
        self.finish(how, desk);
    }

    /// The turn's deadline has come.
    pub(crate) fn on_deadline(&mut self, desk: &mut Desk<'_>) {
        let now_ms = desk.now.mono_ms;
        if self.sessions.give_up_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.give_sessions_up(desk);
        }
        let Some(turn) = &self.turn else {
            if self.prompts_due_ms.take().is_some() && self.phase == Phase::Ready {
                self.start_turn(None, desk);
            }
            return;
        };
        if self.deadline().is_none_or(|at_ms| at_ms > now_ms) {
            return;
        }
        match &turn.wait {
            Wait::Opening { .. }
            | Wait::Model(_)
            | Wait::Retry { .. }
            | Wait::Calls { .. }
            | Wait::Child { .. }
                if self.is_out_of_time(now_ms) =>
            {
                self.stop(self.over_budget(Budget::Time), "timeout", desk);
            }
            Wait::Opening { .. } | Wait::Child { .. } => {
                unreachable!("neither has a deadline of its own")
            }
            Wait::Model(_) => self.on_silence(desk),
            Wait::Retry { tries, .. } => self.send(*tries, desk),
            Wait::Calls { .. } => self.on_call_deadline(desk),
            Wait::Stop(_) => self.stop_harder(desk),
        }
    }

    /// Ends the turn. Prompts that waited for it are kept: the next turn will know them.
    pub(crate) fn finish(&mut self, how: Ended, desk: &mut Desk<'_>) {
        let recorded = !matches!(how, Ended::Failed { kind: Failed::Record, .. });
        if recorded && self.has_prompts_behind() {
            self.prompts_due_ms = Some(desk.now.mono_ms);
        }
        match &how {
            Ended::Interrupted
            | Ended::Failed { kind: Failed::Model(_) | Failed::Bound | Failed::Spent(_), .. } => {
                self.keep_prompts(desk);
            }
            // Recording is not tried again before somebody says more; then what waits is said too.
            Ended::Failed { kind: Failed::Record, .. } => {}
            Ended::Completed => {}
        }
        self.leave_review(&how, desk);
        self.note_ended(&how);
        self.mark_end(&how, desk);
        let Turn { id: turn, usage, .. } = match self.turn.take() {
            Some(turn) => *turn,
            None => unreachable!("a turn ends once"),
        };
        desk.out.tell(self.id, Event::TurnEnded { turn, how, usage });
        if self.phase == Phase::Closing {
            self.prompts.clear();
        }
    }

    /// Takes the prompts that wait, although nobody answers them; without room they wait on.
    fn keep_prompts(&mut self, desk: &mut Desk<'_>) {
        if self.may_record() && !self.exceeds_bytes() {
            self.take_prompts(desk);
        }
    }
}
