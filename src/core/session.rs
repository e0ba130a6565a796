//! Sessions: commands that outlive the call that started them.
//!
//! ```text
//!  Starting --ended--> answered; there never was a session
//!     |
//!     | patience over: the session gets a number and belongs to the thread
//!     v
//!  Running <--write_stdin: Attending, until it has ended or patience is over--> answered
//!     |
//!     | ended while no call attends
//!     v
//!  Ended --write_stdin, or room is needed--> forgotten
//! ```
//!
//! An interrupt stops a session that is still starting, as it does any command; sessions that have
//! a number live on until they end or their thread is closed: then they are killed, and the thread
//! stays until they have told what they printed, or time to do so is over. What a session prints
//! waits, bounded, in the host until a call collects it.
//!
//! What is written to a session is not judged again: only the program knows what the text means to
//! it. What a session may touch was settled when it started. Inside the sandbox, text can do no
//! more than any command may; outside it, a person let this very program run, whatever it is told,
//! or the thread's sandbox is off. A shell that asks to leave the sandbox is asked about as one.

use crate::core::Desk;
use crate::core::call::{Attempt, Attention, Call, Report, Stage, State};
use crate::core::denial;
use crate::core::effect::{Effect, Stop};
use crate::core::input::{CommandEnded, CommandResult};
use crate::core::ops::Work;
use crate::core::thread::Thread;
use crate::core::turn::Wait;
use crate::limits::{COLLECT_GRACE_MS, KILL_GRACE_MS, SESSIONS_MAX};
use crate::tools::exec_session::{Chunk, ChunkState, unknown};
use crate::words::call::{Answer, Patience, Unread, WritePlan};
use crate::words::event::{CommandEnd, Event};
use crate::words::ids::{CallId, OpId};

/// The sessions of a thread.
#[derive(Default, Debug)]
pub struct Sessions {
    /// In the order of their numbers.
    all: Vec<Session>,
    next_number: u32,
    /// Once they have been killed: when they are given up.
    pub(crate) give_up_at_ms: Option<u64>,
}

#[derive(Debug)]
struct Session {
    number: u32,
    /// The call that started it.
    starter: CallId,
    state: SessionState,
}

#[derive(Debug)]
enum SessionState {
    Running {
        op: OpId,
    },
    /// The front has been told, the model has not.
    Ended {
        ended: CommandEnded,
        unread: Unread,
    },
}

impl Sessions {
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn live_ops(&self) -> impl Iterator<Item = OpId> + '_ {
        self.all.iter().filter_map(Session::op)
    }

    /// The call that started the session of this number.
    pub(crate) fn starter(&self, number: u32) -> Option<CallId> {
        self.position(number).map(|place| self.all[place].starter)
    }

    /// Whether one more fits; the oldest that has ended makes room for it.
    fn make_room(&mut self) -> bool {
        if self.all.len() == SESSIONS_MAX {
            let ended = |session: &Session| matches!(session.state, SessionState::Ended { .. });
            match self.all.iter().position(ended) {
                Some(index) => drop(self.all.remove(index)),
                None => return false,
            }
        }
        true
    }

    fn add(&mut self, op: OpId, starter: CallId) -> u32 {
        assert!(self.all.len() < SESSIONS_MAX, "room is made before a session starts");
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        self.all.push(Session { number, starter, state: SessionState::Running { op } });
        number
    }

    fn position(&self, number: u32) -> Option<usize> {
        self.all.iter().position(|session| session.number == number)
    }
}

impl Session {
    fn op(&self) -> Option<OpId> {
        match self.state {
            SessionState::Running { op } => Some(op),
            SessionState::Ended { .. } => None,
        }
    }
}

impl Thread {
    /// Marks the call as starting a session under a fresh op.
    pub(crate) fn start_session(
        &mut self,
        index: usize,
        patience: Patience,
        attempt: Box<Attempt>,
        desk: &mut Desk<'_>,
    ) -> Option<OpId> {
        if !self.sessions.make_room() {
            let text = format!("{SESSIONS_MAX} sessions run already; end one of them first");
            let report = Report::Command(CommandEnd::NotStarted);
            self.calls_mut()[index].answer(Answer::failure(text), report);
            return None;
        }
        let op = self.fresh_op(index, Report::Command(CommandEnd::NotStarted), desk)?;
        let call = &mut self.calls_mut()[index];
        call.since_ms = desk.now.mono_ms;
        let attention = Attention::start(desk.now.mono_ms, patience);
        call.state = State::Starting { op, attention, attempt };
        Some(op)
    }

    pub(crate) fn write_to_session(&mut self, index: usize, write: WritePlan, desk: &mut Desk<'_>) {
        let Some(place) = self.sessions.position(write.session) else {
            let text = unknown(&write.session.to_string());
            self.calls_mut()[index].answer(Answer::failure(text), Report::Plain);
            return;
        };
        if let SessionState::Running { op } = self.sessions.all[place].state {
            let attention = Attention::start(desk.now.mono_ms, write.patience);
            self.calls_mut()[index].state = State::Attending { op, attention };
            if !write.chars.is_empty() {
                let (thread, chars) = (self.id, write.chars);
                desk.out.act(Effect::Write { op, thread, chars });
            }
            return;
        }
        if let SessionState::Ended { ended, unread } = self.sessions.all.remove(place).state {
            let chunk_id = chunk_id(desk);
            let call = &mut self.calls_mut()[index];
            let max = write.patience.output_tokens_max;
            let answer = ended_answer(call, &ended, &unread, max, chunk_id, desk.now.mono_ms);
            call.answer(answer, Report::Plain);
        }
    }

    /// A session said what it has printed.
    pub(crate) fn on_yielded(&mut self, op: OpId, unread: Unread, desk: &mut Desk<'_>) {
        // Nobody may be waiting any more; what was printed is then gone.
        let Some(index) = self.attending(op) else { return };
        self.yielded(index, &unread, desk);
        self.calls_went_on(desk);
    }

    /// What was to be written was not.
    pub(crate) fn on_unwritten(&mut self, op: OpId, why: Box<str>, desk: &mut Desk<'_>) {
        let Some(index) = self.attending(op) else { return };
        if matches!(self.calls_mut()[index].state, State::Attending { .. }) {
            self.calls_mut()[index].answer(Answer::failure(why), Report::Plain);
            self.calls_went_on(desk);
        }
    }

    /// A session has ended, or a command that would have become one.
    pub(crate) fn on_session_ended(
        &mut self,
        op: OpId,
        what: Work,
        end: CommandResult,
        unread: Unread,
        desk: &mut Desk<'_>,
    ) {
        if matches!(what, Work::Call(_)) && self.is_stopping() {
            return self.on_printed(op, &end.output, desk);
        }
        desk.ops.end(op);
        if matches!(what, Work::Session(_)) && self.sessions.give_up_at_ms.is_some() {
            return self.on_killed_session(op, end.output, desk);
        }
        let CommandResult { ended, output, lines_total: _ } = end;
        let told = command_end(&ended);
        let number = match what {
            Work::Session(number) => Some(number),
            Work::Call(_) => None,
            Work::Opening | Work::Response | Work::Child | Work::Errand => {
                unreachable!("no such work is a session")
            }
        };
        let place = number.and_then(|number| self.sessions.position(number));
        let Some(index) = self.attending(op) else {
            let Some(place) = place else { unreachable!("a session's op has its session") };
            let session = &mut self.sessions.all[place];
            session.state = SessionState::Ended { ended, unread };
            let call = session.starter;
            desk.out.tell(self.id, Event::SessionEnded { call, ended: told, output });
            return;
        };
        let starter = place.map(|place| self.sessions.all.remove(place).starter);
        let chunk_id = chunk_id(desk);
        let call = &mut self.calls_mut()[index];
        let (State::Starting { attention, .. } | State::Attending { attention, .. }) = call.state
        else {
            unreachable!("`attending` gives such calls")
        };
        let max = attention.output_tokens_max;
        let answer = ended_answer(call, &ended, &unread, max, chunk_id, desk.now.mono_ms);
        let starter = starter.unwrap_or(call.id);
        let sign = denial::sign(&ended, &output);
        let outcome = (answer, Report::Session { starter, ended: told, output });
        match std::mem::replace(&mut call.state, State::Settled) {
            State::Starting { attempt, .. } => {
                self.attempted(index, *attempt, sign, outcome, desk);
            }
            // The model has seen it run; it is not started over.
            State::Attending { .. } => call.answer(outcome.0, outcome.1),
            State::Queued(_)
            | State::Assessing { .. }
            | State::AwaitApproval(_)
            | State::Inspecting { .. }
            | State::Running { .. }
            | State::Answered(..)
            | State::Settled => unreachable!("`attending` gives calls that wait for a session"),
        }
        self.calls_went_on(desk);
    }

    /// Nobody knows how the session ended.
    pub(crate) fn on_session_lost(&mut self, op: OpId, what: Work, desk: &mut Desk<'_>) {
        let ended = CommandEnded::Signalled { signal: SIGNAL_KILL };
        let end = CommandResult { ended, output: "".into(), lines_total: None };
        self.on_session_ended(op, what, end, Unread::default(), desk);
    }

    /// Whether a call is starting a session under this op.
    pub(crate) fn is_starting(&self, op: OpId) -> bool {
        let calls = self.calls().unwrap_or_default();
        calls.iter().any(|call| matches!(call.state, State::Starting { op: own, .. } if own == op))
    }

    /// The patience of a call is over: what there is is asked for, or done without.
    pub(crate) fn on_attention_deadline(&mut self, index: usize, desk: &mut Desk<'_>) {
        let (now_ms, thread) = (desk.now.mono_ms, self.id);
        let (State::Starting { op, attention, .. } | State::Attending { op, attention }) =
            &mut self.calls_mut()[index].state
        else {
            unreachable!("only calls that wait for a session come here")
        };
        if attention.deadline() > now_ms {
            return;
        }
        match attention.stage {
            Stage::Waiting { .. } => {
                attention.stage = Stage::Collecting { give_up_at_ms: now_ms + COLLECT_GRACE_MS };
                desk.out.act(Effect::Collect { op: *op, thread });
            }
            Stage::Collecting { .. } => self.yielded(index, &Unread::default(), desk),
        }
    }

    /// Kills every session; a second time, without waiting for what they have to tell.
    pub(crate) fn end_sessions(&mut self, desk: &mut Desk<'_>) {
        if self.sessions.give_up_at_ms.is_some() {
            return self.give_sessions_up(desk);
        }
        self.sessions.all.retain(|session| session.op().is_some());
        for op in self.sessions.live_ops() {
            desk.out.act(Effect::Stop { op, how: Stop::Kill });
        }
        let give_up_at_ms = desk.now.mono_ms.saturating_add(KILL_GRACE_MS);
        self.sessions.give_up_at_ms = (!self.sessions.all.is_empty()).then_some(give_up_at_ms);
        // The turn that the child worked in does not wait, and ends with it.
        if self.parent.is_some() {
            self.give_sessions_up(desk);
        }
    }

    /// What was killed tells nothing more.
    pub(crate) fn give_sessions_up(&mut self, desk: &mut Desk<'_>) {
        self.sessions.give_up_at_ms = None;
        for session in std::mem::take(&mut self.sessions.all) {
            let SessionState::Running { op } = session.state else { continue };
            desk.ops.end(op);
            let (call, ended) = (session.starter, CommandEnd::Interrupted);
            desk.out.tell(self.id, Event::SessionEnded { call, ended, output: "".into() });
        }
    }

    /// A session has ended that was killed because its thread closes.
    fn on_killed_session(&mut self, op: OpId, output: Box<str>, desk: &mut Desk<'_>) {
        let all = &mut self.sessions.all;
        let Some(place) = all.iter().position(|session| session.op() == Some(op)) else {
            unreachable!("a session's op has its session")
        };
        let (call, ended) = (all.remove(place).starter, CommandEnd::Interrupted);
        if all.is_empty() {
            self.sessions.give_up_at_ms = None;
        }
        desk.out.tell(self.id, Event::SessionEnded { call, ended, output });
    }

    /// Answers a call whose session goes on; one that was starting is a session from now on.
    fn yielded(&mut self, index: usize, unread: &Unread, desk: &mut Desk<'_>) {
        let id = chunk_id(desk);
        let call = &self.calls_mut()[index];
        let (starter, since_ms) = (call.id, call.since_ms);
        let (session, attention) = match call.state {
            State::Starting { op, attention, .. } => {
                let session = self.sessions.add(op, starter);
                desk.ops.hand_over(op, Work::Session(session));
                (session, attention)
            }
            State::Attending { op, attention } => (self.number_of(op), attention),
            State::Queued(_)
            | State::Assessing { .. }
            | State::AwaitApproval(_)
            | State::Inspecting { .. }
            | State::Running { .. }
            | State::Answered(..)
            | State::Settled => unreachable!("only calls that wait for a session come here"),
        };
        let wall_ms = desk.now.mono_ms.saturating_sub(since_ms);
        let state = ChunkState::Running { session };
        let output_tokens_max = attention.output_tokens_max;
        let text = Chunk { id, wall_ms, state, unread, output_tokens_max }.text();
        let answer = Answer::Text { text: text.into(), success: true };
        self.calls_mut()[index].answer(answer, Report::Plain);
    }

    /// The call that waits for this session.
    fn attending(&self, op: OpId) -> Option<usize> {
        self.calls()?.iter().position(|call| call.session_op() == Some(op))
    }

    fn calls(&self) -> Option<&[Call]> {
        match &self.turn.as_ref()?.wait {
            Wait::Calls { calls } => Some(calls),
            Wait::Opening { .. }
            | Wait::Model(_)
            | Wait::Retry { .. }
            | Wait::Child { .. }
            | Wait::Stop(_) => None,
        }
    }

    fn number_of(&self, op: OpId) -> u32 {
        let all = &self.sessions.all;
        match all.iter().find(|session| session.op() == Some(op)) {
            Some(session) => session.number,
            None => unreachable!("a call attends only to a session that runs"),
        }
    }
}

/// What a command counts as having died of when nobody knows better (signal(7)).
const SIGNAL_KILL: i32 = 9;

fn chunk_id(desk: &mut Desk<'_>) -> u32 {
    desk.prng.number() as u32
}

/// What the model is told of a session's end; of one that never was, why.
fn ended_answer(
    call: &Call,
    ended: &CommandEnded,
    unread: &Unread,
    output_tokens_max: u32,
    id: u32,
    now_ms: u64,
) -> Answer {
    let code = match ended {
        CommandEnded::NotStarted { why } => {
            return Answer::failure(format!("the command was not run: {why}"));
        }
        CommandEnded::Exited { code } => *code,
        CommandEnded::Signalled { signal } => 128 + signal,
    };
    let wall_ms = now_ms.saturating_sub(call.since_ms);
    let state = ChunkState::Exited { code };
    let text = Chunk { id, wall_ms, state, unread, output_tokens_max }.text();
    Answer::Text { text: text.into(), success: true }
}

fn command_end(ended: &CommandEnded) -> CommandEnd {
    match ended {
        CommandEnded::NotStarted { .. } => CommandEnd::NotStarted,
        CommandEnded::Exited { code } => CommandEnd::Exited { exit_code: *code },
        CommandEnded::Signalled { signal } => CommandEnd::Exited { exit_code: 128 + signal },
    }
}
