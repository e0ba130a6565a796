//! What a turn does with its calls: start, judge, ask, stop, answer.
//!
//! Calls are answered in the order in which they were asked, also when they ran side by side: an
//! answer that comes early waits, unrecorded and untold, for those before it.
//!
//! A command or patch that is asked about has been told as started before its question, so that a
//! front can show what it asks about; whatever the answer, its end is told too. One that the policy
//! refuses never starts.

use crate::core::Desk;
use crate::core::approval::{self, Verdict};
use crate::core::call::{
    Asked, Attempt, Attempted, Call, Clock, EXIT_TIMED_OUT, Leave, Report, Running, State,
};
use crate::core::denial;
use crate::core::effect::{Effect, Stop};
use crate::core::input::{CommandEnded, CommandResult};
use crate::core::ops::Work;
use crate::core::thread::Thread;
use crate::core::turn::Wait;
use crate::limits::{
    CALLS_PARALLEL_MAX, FILES_TIMEOUT_MS, HISTORY_BYTES_MAX, HISTORY_KEPT_BYTES_MAX,
    HISTORY_SPARE_BYTES, KILL_GRACE_MS, STOP_GRACE_MS,
};
use crate::words::call::{Answer, Change, CommandAnswer, CommandPlan, Life, PatchPlan, Plan, Seen};
use crate::words::event::{CommandEnd, Event, Question};
use crate::words::ids::{CallId, ItemIndex, OpId};
use crate::words::item::{Image, Item, Message, Output, Part, Role};
use crate::words::policy::{Confinement, Decision};

impl Thread {
    /// Starts every call that may run now, and records answers that are due.
    ///
    /// Returns once all that can happen without the outside has happened. What is answered at once
    /// is told before the next call is.
    pub(crate) fn advance_calls(&mut self, desk: &mut Desk<'_>) {
        loop {
            // What has ended is told before what begins.
            self.settle_answers(desk);
            match self.next_call() {
                Some(index) => self.start_call(index, desk),
                None => return,
            }
        }
    }

    pub(crate) fn calls_mut(&mut self) -> &mut Vec<Call> {
        match self.turn.as_mut().map(|turn| &mut turn.wait) {
            Some(Wait::Calls { calls }) => calls,
            Some(Wait::Stop(stopping)) => &mut stopping.calls,
            Some(
                Wait::Opening { .. } | Wait::Model(_) | Wait::Retry { .. } | Wait::Child { .. },
            )
            | None => unreachable!("calls are touched only while the turn waits for them"),
        }
    }

    /// The first queued call that those under way leave room for.
    fn next_call(&mut self) -> Option<usize> {
        let parallel = self.settings.parallel_tool_calls;
        let calls = self.calls_mut();
        let queued = calls.iter().position(|call| matches!(call.state, State::Queued(_)))?;
        let mut under_way = calls.iter().filter(|call| call.is_under_way());
        let count = under_way.clone().count();
        let room = count == 0
            || parallel
                && count < CALLS_PARALLEL_MAX
                && calls[queued].is_parallel()
                && under_way.all(Call::is_parallel);
        room.then_some(queued)
    }

    fn start_call(&mut self, index: usize, desk: &mut Desk<'_>) {
        let call = &mut self.calls_mut()[index];
        call.since_ms = desk.now.mono_ms;
        let State::Queued(plan) = std::mem::replace(&mut call.state, State::Settled) else {
            unreachable!("`next_call` gives queued calls")
        };
        match plan {
            Plan::Answered(answer) => call.answer(answer, Report::Plain),
            Plan::Tasks { explanation: _, tasks } => {
                let answer = Answer::Text { text: "Plan updated".into(), success: true };
                call.answer(answer, Report::Tasks(tasks));
            }
            Plan::Command(command) => self.judge_command(index, command, desk),
            Plan::Look(look) => {
                let id = self.id;
                if let Some(op) = self.run(index, Running::Look, FILES_TIMEOUT_MS, desk) {
                    desk.out.act(Effect::Look { op, thread: id, look });
                }
            }
            Plan::Patch(patch) => self.inspect(index, patch, desk),
            Plan::Write(write) => self.write_to_session(index, write, desk),
        }
    }

    /// A fresh op for a call; if there is none to be had, the call is answered and so reported.
    pub(crate) fn fresh_op(
        &mut self,
        index: usize,
        report: Report,
        desk: &mut Desk<'_>,
    ) -> Option<OpId> {
        let id = self.id;
        let call = &mut self.calls_mut()[index];
        let op = desk.ops.start(id, Work::Call(call.id));
        if op.is_none() {
            call.answer(Answer::failure("too much is running already; try again"), report);
        }
        op
    }

    /// Marks the call as running under a fresh op.
    fn run(
        &mut self,
        index: usize,
        what: Running,
        timeout_ms: u64,
        desk: &mut Desk<'_>,
    ) -> Option<OpId> {
        let report = match &what {
            Running::Command(attempt) | Running::Patch(attempt) => attempt.what.not_started(),
            Running::Look => Report::Plain,
        };
        let op = self.fresh_op(index, report, desk)?;
        let call = &mut self.calls_mut()[index];
        let clock = Clock::start(desk.now.mono_ms, timeout_ms);
        call.since_ms = desk.now.mono_ms;
        call.state = State::Running { op, what, clock };
        Some(op)
    }

    fn judge_command(&mut self, index: usize, command: CommandPlan, desk: &mut Desk<'_>) {
        let Call { id: call, item, .. } = self.calls_mut()[index];
        let (argv, cwd) = (command.argv.clone(), command.workdir.clone());
        let started = Event::CommandStarted { call, item, argv, cwd };
        match approval::judge_command(&self.settings, &command, &self.approvals) {
            Verdict::Run(confinement) => {
                desk.out.tell(self.id, started);
                let what = Attempted::Command(command);
                self.attempt(index, Attempt { what, confinement, leave: Leave::Policy }, desk);
            }
            Verdict::Ask(reason) => {
                desk.out.tell(self.id, started);
                let question = Question::Command {
                    argv: command.argv.clone(),
                    cwd: command.workdir.clone(),
                    reason,
                    risk: None,
                };
                self.consult(index, Asked::Command(command), question, None, desk);
            }
            Verdict::Refuse(text) => {
                self.calls_mut()[index].answer(Answer::failure(text), Report::Plain);
            }
        }
    }

    /// Runs what may run, if anything more can be.
    pub(crate) fn attempt(&mut self, index: usize, attempt: Attempt, desk: &mut Desk<'_>) {
        let (thread, confinement) = (self.id, attempt.confinement);
        match &attempt.what {
            Attempted::Command(command) => {
                let (life, command) = (command.life, Box::new(command.clone()));
                let attempt = Box::new(attempt);
                let op = match life {
                    Life::Call { timeout_ms } => {
                        self.run(index, Running::Command(attempt), timeout_ms, desk)
                    }
                    Life::Session { patience, .. } => {
                        self.start_session(index, patience, attempt, desk)
                    }
                };
                let Some(op) = op else { return };
                desk.out.act(Effect::Spawn { op, thread, command, confinement });
            }
            Attempted::Patch(patch, changes) => {
                let (patch, expected) = (Box::new(patch.clone()), changes.clone());
                let what = Running::Patch(Box::new(attempt));
                let Some(op) = self.run(index, what, FILES_TIMEOUT_MS, desk) else { return };
                desk.out.act(Effect::Apply { op, thread, patch, expected, confinement });
            }
        }
    }

    fn inspect(&mut self, index: usize, patch: PatchPlan, desk: &mut Desk<'_>) {
        let Some(op) = self.fresh_op(index, Report::Plain, desk) else { return };
        let thread = self.id;
        let clock = Clock::start(desk.now.mono_ms, FILES_TIMEOUT_MS);
        self.calls_mut()[index].state = State::Inspecting { op, patch: patch.clone(), clock };
        desk.out.act(Effect::Inspect { op, thread, patch: Box::new(patch) });
    }

    fn judge_patch(
        &mut self,
        index: usize,
        patch: PatchPlan,
        changes: Vec<Change>,
        desk: &mut Desk<'_>,
    ) {
        let Call { id: call, item, .. } = self.calls_mut()[index];
        let started = Event::PatchStarted { call, item, changes: changes.clone() };
        match approval::judge_patch(&self.settings, &changes, &self.approvals) {
            Verdict::Run(confinement) => {
                desk.out.tell(self.id, started);
                let what = Attempted::Patch(patch, changes);
                self.attempt(index, Attempt { what, confinement, leave: Leave::Policy }, desk);
            }
            Verdict::Ask(reason) => {
                desk.out.tell(self.id, started);
                let question = Question::Patch { changes: changes.clone(), reason };
                self.ask(index, Asked::Patch(patch, changes), question, desk);
            }
            Verdict::Refuse(text) => {
                self.calls_mut()[index].answer(Answer::failure(text), Report::Plain);
            }
        }
    }

    pub(crate) fn ask(
        &mut self,
        index: usize,
        asked: Asked,
        question: Question,
        desk: &mut Desk<'_>,
    ) {
        let thread = self.id;
        let waiting = &mut self.calls_mut()[index];
        waiting.state = State::AwaitApproval(asked);
        let (call, item) = (waiting.id, waiting.item);
        desk.out.tell(thread, Event::ApprovalAsked { call, item, question });
    }

    /// A person answered. Returns whether the question was open.
    pub(crate) fn on_answer(
        &mut self,
        call: CallId,
        decision: Decision,
        desk: &mut Desk<'_>,
    ) -> bool {
        let Some(Wait::Calls { calls }) = self.turn.as_mut().map(|turn| &mut turn.wait) else {
            return false;
        };
        let Some(index) = calls.iter().position(|asked| asked.id == call) else { return false };
        if !matches!(calls[index].state, State::AwaitApproval(_)) {
            return false;
        }
        let State::AwaitApproval(asked) =
            std::mem::replace(&mut calls[index].state, State::Settled)
        else {
            unreachable!("looked at one line above")
        };
        desk.out.tell(self.id, Event::ApprovalSettled { call });
        if decision == Decision::ApprovedForSession {
            self.approvals.remember(&asked);
        }
        match decision {
            Decision::Approved | Decision::ApprovedForSession => {
                self.on_approved(index, asked, desk);
                self.calls_went_on(desk);
            }
            Decision::Denied => {
                self.on_denied(index, asked);
                self.calls_went_on(desk);
            }
            Decision::Abort => {
                self.on_denied(index, asked);
                self.interrupt(desk);
            }
        }
        true
    }

    fn on_approved(&mut self, index: usize, asked: Asked, desk: &mut Desk<'_>) {
        let (what, confinement) = match asked {
            Asked::Command(command) => {
                let confinement = approval::confinement_of(&self.settings, &command);
                (Attempted::Command(command), confinement)
            }
            Asked::Patch(patch, changes) => {
                (Attempted::Patch(patch, changes), Confinement::Unconfined)
            }
            Asked::Again(attempt, answer, report) => {
                self.try_again(index, *attempt, (answer, report), desk);
                return;
            }
        };
        self.attempt(index, Attempt { what, confinement, leave: Leave::Person }, desk);
    }

    fn on_denied(&mut self, index: usize, asked: Asked) {
        let text = "rejected by the user; do not try the same thing again";
        let (answer, report) = match asked {
            Asked::Command(_) => (Answer::failure(text), Report::Command(CommandEnd::Declined)),
            Asked::Patch(_, changes) => {
                (Answer::failure(text), Report::Patch { changes, applied: false })
            }
            Asked::Again(_, answer, report) => (denial::rejected(answer), report),
        };
        self.calls_mut()[index].answer(answer, report);
    }

    /// The call that waits for this op; the gate has let the op pass.
    fn awaiting(&mut self, op: OpId) -> usize {
        let found = self.calls_mut().iter().position(|call| call.op() == Some(op));
        let Some(index) = found else { unreachable!("a live op of a call has its call") };
        index
    }

    pub(crate) fn on_exited(&mut self, op: OpId, end: CommandResult, desk: &mut Desk<'_>) {
        if self.is_stopping() {
            return self.on_printed(op, &end.output, desk);
        }
        let index = self.awaiting(op);
        desk.ops.end(op);
        let now_ms = desk.now.mono_ms;
        let call = &mut self.calls_mut()[index];
        let State::Running { what: Running::Command(attempt), clock, .. } =
            std::mem::replace(&mut call.state, State::Settled)
        else {
            unreachable!("only commands exit")
        };
        let wall_ms = now_ms.saturating_sub(call.since_ms);
        // What ran out of time was not refused anything.
        let sign = match clock.struck() {
            None => denial::sign(&end.ended, &end.output),
            Some(_) => None,
        };
        let outcome = command_answer(end, clock.struck(), wall_ms);
        self.attempted(index, *attempt, sign, outcome, desk);
        self.calls_went_on(desk);
    }

    pub(crate) fn on_looked(
        &mut self,
        op: OpId,
        result: Result<Seen, Box<str>>,
        desk: &mut Desk<'_>,
    ) {
        let index = self.awaiting(op);
        desk.ops.end(op);
        let answer = match result {
            Ok(Seen::Text(text)) => Answer::Text { text, success: true },
            Ok(Seen::Image(image)) => self.attach(index, image),
            Err(text) => Answer::failure(text),
        };
        self.calls_mut()[index].answer(answer, Report::Plain);
        self.calls_went_on(desk);
    }

    /// Keeps an image for the message that shows it, if the conversation can hold it and go on.
    fn attach(&mut self, index: usize, image: Image) -> Answer {
        let attached = self.calls_mut().iter().filter_map(|call| call.image.as_ref());
        let (mut bytes, mut kept_bytes) = (image.bytes(), image.kept_bytes());
        for image in attached {
            bytes += image.bytes();
            kept_bytes += image.kept_bytes();
        }
        bytes += self.history.bytes();
        kept_bytes += self.history.kept_bytes();
        let is_full = bytes > HISTORY_BYTES_MAX - HISTORY_SPARE_BYTES;
        if is_full || kept_bytes > HISTORY_KEPT_BYTES_MAX {
            let text = "the conversation has no room for this image; scale it down, or go on \
                        without it";
            return Answer::failure(text);
        }
        self.calls_mut()[index].image = Some(image);
        Answer::Text { text: "attached local image path".into(), success: true }
    }

    /// Adds the images that calls brought, after all outputs: providers want those together.
    pub(crate) fn show_images(&mut self, desk: &mut Desk<'_>) {
        let calls = self.calls_mut().iter_mut();
        let images: Vec<Image> = calls.filter_map(|call| call.image.take()).collect();
        for image in images {
            let message = Message { role: Role::User, parts: vec![Part::Image(image)], id: None };
            self.remember(Item::Message(message), desk);
        }
    }

    pub(crate) fn on_inspected(
        &mut self,
        op: OpId,
        result: Result<Vec<Change>, Box<str>>,
        desk: &mut Desk<'_>,
    ) {
        let index = self.awaiting(op);
        desk.ops.end(op);
        let call = &mut self.calls_mut()[index];
        let State::Inspecting { patch, .. } = std::mem::replace(&mut call.state, State::Settled)
        else {
            unreachable!("only an inspection is answered by `Inspected`")
        };
        match result {
            Ok(changes) => self.judge_patch(index, patch, changes, desk),
            Err(why) => {
                let text = format!("apply_patch verification failed: {why}");
                call.answer(Answer::failure(text), Report::Plain);
            }
        }
        self.calls_went_on(desk);
    }

    pub(crate) fn on_applied(
        &mut self,
        op: OpId,
        result: Result<Box<str>, Box<str>>,
        desk: &mut Desk<'_>,
    ) {
        if self.is_stopping() && !self.calls_mut().iter().any(|call| call.op() == Some(op)) {
            return self.on_stopped(op, desk);
        }
        let index = self.awaiting(op);
        let now_ms = desk.now.mono_ms;
        let call = &mut self.calls_mut()[index];
        let State::Running { what: Running::Patch(attempt), clock, .. } =
            std::mem::replace(&mut call.state, State::Settled)
        else {
            unreachable!("only a patch is applied")
        };
        let Attempted::Patch(_, changes) = &attempt.what else {
            unreachable!("a patch is attempted as one")
        };
        let (applied, changes) = (result.is_ok(), changes.clone());
        let (Ok(output) | Err(output)) = result;
        let exit_code = i32::from(!applied);
        // What ran out of time was not refused anything.
        let sign = match clock.struck() {
            None => denial::sign(&CommandEnded::Exited { code: exit_code }, &output),
            Some(_) => None,
        };
        let answer = Answer::Command(CommandAnswer {
            exit_code,
            wall_ms: now_ms.saturating_sub(call.since_ms),
            output,
            lines_total: None,
        });
        let outcome = (answer, Report::Patch { changes, applied });
        if self.is_stopping() {
            self.calls_mut()[index].answer(outcome.0, outcome.1);
            return self.on_stopped(op, desk);
        }
        desk.ops.end(op);
        self.attempted(index, *attempt, sign, outcome, desk);
        self.calls_went_on(desk);
    }

    /// Work of a call has ended without an answer: only its own deadline can have asked for that.
    pub(crate) fn on_call_stopped(&mut self, op: OpId, desk: &mut Desk<'_>) {
        let index = self.awaiting(op);
        desk.ops.end(op);
        self.give_up(index);
        self.calls_went_on(desk);
    }

    /// Answers a call whose work ran out of time and gave nothing back.
    fn give_up(&mut self, index: usize) {
        let call = &mut self.calls_mut()[index];
        let (report, clock) = match &call.state {
            State::Running { what: Running::Command(_), clock, .. } => {
                (Report::Command(CommandEnd::Exited { exit_code: EXIT_TIMED_OUT }), *clock)
            }
            State::Running { what: Running::Patch(attempt), clock, .. } => {
                (attempt.what.not_started(), *clock)
            }
            State::Running { what: Running::Look, clock, .. } | State::Inspecting { clock, .. } => {
                (Report::Plain, *clock)
            }
            State::Queued(_)
            | State::Assessing { .. }
            | State::AwaitApproval(_)
            | State::Starting { .. }
            | State::Attending { .. }
            | State::Answered(..)
            | State::Settled => unreachable!("only work that runs is given up"),
        };
        let text = match clock.struck() {
            Some(timeout_ms) => format!("gave no answer within {timeout_ms} ms and was stopped"),
            None => "was stopped before it could answer".to_string(),
        };
        call.answer(Answer::failure(text), report);
    }

    /// Moves the clocks of running calls whose time has come.
    pub(crate) fn on_call_deadline(&mut self, desk: &mut Desk<'_>) {
        let now_ms = desk.now.mono_ms;
        for index in 0..self.calls_mut().len() {
            if self.calls_mut()[index].session_op().is_some() {
                self.on_attention_deadline(index, desk);
            }
            let call = &mut self.calls_mut()[index];
            if let State::Assessing { op, until_ms, .. } = call.state
                && until_ms <= now_ms
            {
                desk.ops.end(op);
                self.ask_assessed(index, None, desk);
                continue;
            }
            let (State::Running { op, clock, .. } | State::Inspecting { op, clock, .. }) =
                &mut call.state
            else {
                continue;
            };
            if clock.deadline() > now_ms {
                continue;
            }
            let op = *op;
            match *clock {
                Clock::Until { timeout_ms, .. } => {
                    let kill_at_ms = now_ms + STOP_GRACE_MS;
                    *clock = Clock::Terminated { kill_at_ms, timeout_ms };
                    desk.out.act(Effect::Stop { op, how: Stop::Terminate });
                }
                Clock::Terminated { timeout_ms, .. } => {
                    let give_up_at_ms = now_ms + KILL_GRACE_MS;
                    *clock = Clock::Killed { give_up_at_ms, timeout_ms };
                    desk.out.act(Effect::Stop { op, how: Stop::Kill });
                }
                Clock::Killed { .. } => {
                    desk.ops.end(op);
                    self.give_up(index);
                }
            }
        }
        self.calls_went_on(desk);
    }

    /// Records and tells answers whose turn has come.
    pub(crate) fn settle_answers(&mut self, desk: &mut Desk<'_>) {
        let first = self.calls_mut().iter().position(|call| !call.is_settled());
        let Some(first) = first else { return };
        for index in first..self.calls_mut().len() {
            let call = &mut self.calls_mut()[index];
            if !matches!(call.state, State::Answered(..)) {
                return;
            }
            let State::Answered(answer, report) =
                std::mem::replace(&mut call.state, State::Settled)
            else {
                unreachable!("looked at one line above")
            };
            let (id, item) = (call.id, call.item);
            if self.turn_mut().command.is_some() {
                self.settle_user_command(id, (&answer, report), desk);
                continue;
            }
            let call = &self.calls_mut()[index];
            let output = Output { call_id: call.call_id.clone(), kind: call.kind, answer };
            let output = self.remember(Item::Output(output), desk);
            if matches!(report, Report::Session { starter, .. } if starter != id) {
                desk.out.tell(self.id, reported(id, item, output, Report::Plain));
            }
            desk.out.tell(self.id, reported(id, item, output, report));
        }
    }
}

fn reported(call: CallId, asked: ItemIndex, output: ItemIndex, report: Report) -> Event {
    match report {
        Report::Command(ended) => Event::CommandEnded { call, item: output, ended },
        Report::Session { starter, ended, output } => {
            Event::SessionEnded { call: starter, ended, output }
        }
        Report::Patch { changes, applied } => {
            Event::PatchEnded { call, item: output, changes, applied }
        }
        Report::Tasks(tasks) => Event::TasksUpdated { tasks },
        Report::Plain => Event::CallAnswered { call, item: asked, output },
    }
}

/// Lays out how a command ended. A command that could not start is answered in words.
fn command_answer(end: CommandResult, timed_out_ms: Option<u64>, wall_ms: u64) -> (Answer, Report) {
    let CommandResult { ended, output, lines_total } = end;
    let (exit_code, output) = match (ended, timed_out_ms) {
        (CommandEnded::NotStarted { why }, _) => {
            let report = Report::Command(CommandEnd::NotStarted);
            return (Answer::failure(format!("the command was not run: {why}")), report);
        }
        (CommandEnded::Exited { .. } | CommandEnded::Signalled { .. }, Some(timeout_ms)) => {
            let text = format!("command timed out after {timeout_ms} milliseconds\n{output}");
            (EXIT_TIMED_OUT, text.into())
        }
        (CommandEnded::Exited { code }, None) => (code, output),
        (CommandEnded::Signalled { signal }, None) => (128 + signal, output),
    };
    let answer = CommandAnswer { exit_code, wall_ms, output, lines_total };
    (Answer::Command(answer), Report::Command(CommandEnd::Exited { exit_code }))
}
