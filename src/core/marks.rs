//! What a rollout says of turns: where each begins, where and how it ends.
//!
//! A turn's first record says that it begins, its last how it ended, before anybody is told. Where
//! the end is missing, the process has ended first; or the end could not be written, and is made up
//! for before the next turn begins.

use crate::core::Desk;
use crate::core::input::Lost;
use crate::core::thread::Thread;
use crate::words::event::{Ended, Failed};
use crate::words::ids::{TurnId, TurnName};
use crate::words::record::Record;

/// What the rollout says of turns, as far as this process has written it.
#[derive(Default, Debug)]
pub(crate) struct Marks {
    /// The turn that has begun and not ended.
    open: Option<TurnName>,
    /// The same before the last turn began.
    before: Option<TurnName>,
}

impl Thread {
    /// The name of the turn that began last.
    pub(crate) fn turn_name(&self) -> TurnName {
        TurnName::of(self.conversation, self.turn_began_ms, TurnId(self.turns_count))
    }

    /// Records that the turn begins, unless that is there.
    pub(crate) fn mark_beginning(&mut self, desk: &mut Desk<'_>) {
        let turn = self.turn_name();
        if self.marks.open == Some(turn) {
            return;
        }
        if let Some(open) = self.marks.open {
            self.record_failed(open, UNRECORDED, desk);
        }
        desk.out.append(self.id, Record::TurnStarted { turn });
        self.marks = Marks { open: Some(turn), before: self.marks.open };
    }

    /// Records how the turn ends, unless nothing can be recorded.
    pub(crate) fn mark_end(&mut self, how: &Ended, desk: &mut Desk<'_>) {
        let is_lost = matches!(how, Ended::Failed { kind: Failed::Record, .. });
        if is_lost || !self.may_record() {
            return;
        }
        self.begin_rollout(desk);
        let (turn, wall_ms) = (self.turn_name(), desk.now.wall_ms);
        match how {
            Ended::Completed => {
                let said = self.turn_mut().said;
                desk.out.append(self.id, Record::TurnEnded { turn, said, wall_ms });
            }
            Ended::Interrupted => desk.out.append(self.id, Record::TurnAborted { turn, wall_ms }),
            Ended::Failed { message, .. } => self.record_failed(turn, message, desk),
        }
        self.marks.open = None;
    }

    /// Some of what was written last is not there.
    pub(crate) fn take_back_marks(&mut self, lost: Lost) {
        if lost.beginning {
            self.marks.open = self.marks.before;
        } else if lost.end {
            self.marks.open = Some(self.turn_name());
        }
    }

    fn record_failed(&self, turn: TurnName, message: &str, desk: &mut Desk<'_>) {
        let (said, wall_ms) = (None, desk.now.wall_ms);
        desk.out.append(self.id, Record::TurnFailed { message: message.into() });
        desk.out.append(self.id, Record::TurnEnded { turn, said, wall_ms });
    }
}

/// Why a turn has failed whose end could not be written.
const UNRECORDED: &str = "the end of the turn could not be recorded";
