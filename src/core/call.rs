//! One call, from asked to answered: what it waits for, and how far stopping it has got.

use crate::limits::CALL_OUTPUT_BYTES_MAX;
use crate::tools::clip::Clip;
use crate::words::call::{
    Answer, CallAsked, CallKind, Change, CommandPlan, PatchPlan, Patience, Plan, Task, aborted,
};
use crate::words::event::{CommandEnd, Question};
use crate::words::ids::{CallId, ItemIndex, OpId};
use crate::words::item::Image;
use crate::words::policy::Confinement;

/// The exit code of a command that ran out of time, as `timeout` of coreutils has it.
pub(crate) const EXIT_TIMED_OUT: i32 = 124;

/// A call of the running turn.
#[derive(Debug)]
pub struct Call {
    pub(crate) id: CallId,
    /// Where the history has it.
    pub(crate) item: ItemIndex,
    pub(crate) call_id: Box<str>,
    pub(crate) kind: CallKind,
    /// When it was started, for the time it took; when it was asked, before that.
    pub(crate) since_ms: u64,
    /// The image it brought, to be shown once all calls of its response are settled.
    pub(crate) image: Option<Image>,
    pub(crate) state: State,
}

/// What the call waits for.
#[derive(Debug)]
pub enum State {
    /// Calls before it.
    Queued(Plan),
    /// What a model makes of it, before a person is asked.
    Assessing { op: OpId, asked: Asked, question: Question, until_ms: u64 },
    /// A person.
    AwaitApproval(Asked),
    /// What the patch would do.
    Inspecting { op: OpId, patch: PatchPlan, clock: Clock },
    /// A command, a look, or a patch being applied.
    Running { op: OpId, what: Running, clock: Clock },
    /// A session's first words, or its end.
    Starting { op: OpId, attention: Attention, attempt: Box<Attempt> },
    /// What a session says next, or its end.
    Attending { op: OpId, attention: Attention },
    /// Answers of calls before it.
    Answered(Answer, Report),
    /// Nothing: its output is in the history.
    Settled,
}

/// What a person is asked about.
#[derive(Debug)]
pub enum Asked {
    Command(CommandPlan),
    Patch(PatchPlan, Vec<Change>),
    /// Whether it may run again without its sandbox, which seems to have got in its way. Unless a
    /// person lets it, what came of it is its answer.
    Again(Box<Attempt>, Answer, Report),
}

#[derive(Debug)]
pub enum Running {
    Command(Box<Attempt>),
    Look,
    Patch(Box<Attempt>),
}

/// What was let run, and how.
#[derive(Debug)]
pub struct Attempt {
    pub(crate) what: Attempted,
    pub(crate) confinement: Confinement,
    pub(crate) leave: Leave,
}

#[derive(Debug)]
pub enum Attempted {
    Command(CommandPlan),
    Patch(PatchPlan, Vec<Change>),
}

/// Who let it run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    Policy,
    Person,
}

impl Attempted {
    /// How it is reported if it does not come to run.
    pub(crate) fn not_started(&self) -> Report {
        match self {
            Attempted::Command(_) => Report::Command(CommandEnd::NotStarted),
            Attempted::Patch(_, changes) => {
                Report::Patch { changes: changes.clone(), applied: false }
            }
        }
    }

    /// How it is reported if it is stopped.
    fn interrupted(&self) -> Report {
        match self {
            Attempted::Command(_) => Report::Command(CommandEnd::Interrupted),
            Attempted::Patch(..) => self.not_started(),
        }
    }
}

/// How long a call waits for a session before it asks for what there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attention {
    pub(crate) output_tokens_max: u32,
    pub(crate) stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Waiting { until_ms: u64 },
    Collecting { give_up_at_ms: u64 },
}

impl Attention {
    pub(crate) fn start(now_ms: u64, patience: Patience) -> Attention {
        let stage = Stage::Waiting { until_ms: now_ms.saturating_add(patience.yield_ms) };
        Attention { output_tokens_max: patience.output_tokens_max, stage }
    }

    pub(crate) fn deadline(self) -> u64 {
        match self.stage {
            Stage::Waiting { until_ms } => until_ms,
            Stage::Collecting { give_up_at_ms } => give_up_at_ms,
        }
    }
}

/// How long work may go on, and how far stopping it has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    Until { at_ms: u64, timeout_ms: u64 },
    Terminated { kill_at_ms: u64, timeout_ms: u64 },
    Killed { give_up_at_ms: u64, timeout_ms: u64 },
}

impl Clock {
    pub(crate) fn start(now_ms: u64, timeout_ms: u64) -> Clock {
        Clock::Until { at_ms: now_ms.saturating_add(timeout_ms), timeout_ms }
    }

    pub(crate) fn deadline(self) -> u64 {
        match self {
            Clock::Until { at_ms, .. } => at_ms,
            Clock::Terminated { kill_at_ms, .. } => kill_at_ms,
            Clock::Killed { give_up_at_ms, .. } => give_up_at_ms,
        }
    }

    /// The timeout, once it has struck.
    pub(crate) fn struck(self) -> Option<u64> {
        match self {
            Clock::Until { .. } => None,
            Clock::Terminated { timeout_ms, .. } | Clock::Killed { timeout_ms, .. } => {
                Some(timeout_ms)
            }
        }
    }
}

/// What fronts are told when the answer is recorded.
#[derive(Debug)]
pub enum Report {
    Command(CommandEnd),
    /// The session that this call started has ended.
    Session {
        starter: CallId,
        ended: CommandEnd,
        output: Box<str>,
    },
    Patch {
        changes: Vec<Change>,
        applied: bool,
    },
    Tasks(Vec<Task>),
    Plain,
}

impl Call {
    pub(crate) fn new(id: CallId, item: ItemIndex, asked: &CallAsked, plan: Plan) -> Call {
        Call {
            id,
            item,
            call_id: asked.call_id.clone(),
            kind: asked.kind,
            since_ms: 0,
            image: None,
            state: State::Queued(plan),
        }
    }

    /// The work it waits for, and that nobody else would.
    pub(crate) fn op(&self) -> Option<OpId> {
        match &self.state {
            State::Assessing { op, .. }
            | State::Inspecting { op, .. }
            | State::Running { op, .. }
            | State::Starting { op, .. } => Some(*op),
            State::Queued(_)
            | State::AwaitApproval(_)
            | State::Attending { .. }
            | State::Answered(..)
            | State::Settled => None,
        }
    }

    /// The session it waits for.
    pub(crate) fn session_op(&self) -> Option<OpId> {
        match &self.state {
            State::Starting { op, .. } | State::Attending { op, .. } => Some(*op),
            State::Queued(_)
            | State::Assessing { .. }
            | State::AwaitApproval(_)
            | State::Inspecting { .. }
            | State::Running { .. }
            | State::Answered(..)
            | State::Settled => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Assessing { until_ms, .. } => Some(*until_ms),
            State::Inspecting { clock, .. } | State::Running { clock, .. } => {
                Some(clock.deadline())
            }
            State::Starting { attention, .. } | State::Attending { attention, .. } => {
                Some(attention.deadline())
            }
            State::Queued(_) | State::AwaitApproval(_) | State::Answered(..) | State::Settled => {
                None
            }
        }
    }

    pub(crate) fn is_under_way(&self) -> bool {
        match &self.state {
            State::Inspecting { .. }
            | State::Running { .. }
            | State::Starting { .. }
            | State::Attending { .. }
            | State::Assessing { .. }
            | State::AwaitApproval(_) => true,
            State::Queued(_) | State::Answered(..) | State::Settled => false,
        }
    }

    /// Whether it only reads, so that others like it may run at its side.
    pub(crate) fn is_parallel(&self) -> bool {
        matches!(
            &self.state,
            State::Queued(Plan::Look(_)) | State::Running { what: Running::Look, .. }
        )
    }

    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.state, State::Settled)
    }

    pub(crate) fn answer(&mut self, answer: Answer, report: Report) {
        self.state = State::Answered(bounded(answer), report);
    }

    /// Whether the end of its work tells more than that it was stopped.
    pub(crate) fn may_tell(&self) -> bool {
        match &self.state {
            State::Running { what: Running::Command(_) | Running::Patch(_), .. }
            | State::Starting { .. } => true,
            State::Queued(_)
            | State::AwaitApproval(_)
            | State::Assessing { .. }
            | State::Inspecting { .. }
            | State::Running { what: Running::Look, .. }
            | State::Attending { .. }
            | State::Answered(..)
            | State::Settled => false,
        }
    }

    /// Answers for whoever stops it, with what it has printed, unless an answer is there already.
    pub(crate) fn abort(&mut self, by_whom: &str, output: &str, now_ms: u64) {
        let report = match &mut self.state {
            State::Answered(..) | State::Settled => return,
            State::Running {
                what: Running::Command(attempt) | Running::Patch(attempt), ..
            } => attempt.what.interrupted(),
            State::AwaitApproval(Asked::Command(_))
            | State::Assessing { asked: Asked::Command(_), .. } => {
                Report::Command(CommandEnd::Interrupted)
            }
            State::AwaitApproval(Asked::Patch(_, changes))
            | State::Assessing { asked: Asked::Patch(_, changes), .. } => {
                Report::Patch { changes: std::mem::take(changes), applied: false }
            }
            State::AwaitApproval(Asked::Again(_, answer, report))
            | State::Assessing { asked: Asked::Again(_, answer, report), .. } => {
                // It has run: what came of it says more than that a question was taken back.
                let answer = std::mem::replace(answer, Answer::failure(""));
                let report = std::mem::replace(report, Report::Plain);
                self.answer(answer, report);
                return;
            }
            State::Starting { .. } => {
                let ended = CommandEnd::Interrupted;
                Report::Session { starter: self.id, ended, output: output.into() }
            }
            State::Queued(_)
            | State::Inspecting { .. }
            | State::Attending { .. }
            | State::Running { what: Running::Look, .. } => Report::Plain,
        };
        let wall_ms = match self.op().or(self.session_op()) {
            Some(_) => now_ms.saturating_sub(self.since_ms),
            None => 0,
        };
        match report {
            Report::Command(_) | Report::Session { .. } => {
                // The output is within its bound; what is put before it is short.
                let answer = Answer::failure(aborted(wall_ms, by_whom, output));
                self.state = State::Answered(answer, report);
            }
            Report::Patch { .. } | Report::Tasks(_) | Report::Plain => {
                let (seconds, tenth) = (wall_ms / 1000, wall_ms % 1000 / 100);
                let text = format!("aborted by {by_whom} after {seconds}.{tenth}s");
                self.answer(Answer::failure(text), report);
            }
        }
    }
}

/// What went wrong is told in the model's own words too, which may be of any length.
fn bounded(answer: Answer) -> Answer {
    match answer {
        Answer::Text { text, success: false } if text.len() > CALL_OUTPUT_BYTES_MAX => {
            let mut clip = Clip::new();
            clip.push(text.as_bytes());
            Answer::failure(clip.finish().text)
        }
        Answer::Text { .. } | Answer::Command(_) => answer,
    }
}
