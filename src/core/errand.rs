//! Work that no turn owns: loading a recorded conversation into a thread.
//!
//! A fork gets a rollout of its own with its first turn: until then there is nothing to keep. The
//! host begins that with the lines of the past before it answers `Open`.
//!
//! Errands pass the same gate as everything else, so that they can be given up and told apart.

use crate::core::Desk;
use crate::core::effect::Effect;
use crate::core::history::History;
use crate::core::ops::Work;
use crate::core::thread::{Phase, Thread};
use crate::words::command::{Course, Refusal, Restored, Which};
use crate::words::event::Event;
use crate::words::settings::OpeningFacts;

impl Thread {
    /// Asks for the rollout that the thread is to go on from.
    pub(crate) fn load(
        &mut self,
        which: Which,
        course: Course,
        desk: &mut Desk<'_>,
    ) -> Result<(), Refusal> {
        let op = desk.ops.start(self.id, Work::Errand).ok_or(Refusal::TooManyOps)?;
        self.phase = Phase::Loading { op, course };
        desk.out.act(Effect::Restore { op, thread: self.id, which, course });
        desk.out.tell(self.id, Event::ThreadLoading);
        Ok(())
    }

    /// Takes what was loaded, or closes: a thread whose past is unknown has no future.
    pub(crate) fn on_restored(
        &mut self,
        result: Result<Box<Restored>, Box<str>>,
        desk: &mut Desk<'_>,
    ) {
        let Phase::Loading { op, course } = self.phase else {
            unreachable!("only a loading thread has an errand")
        };
        desk.ops.end(op);
        match result {
            Ok(restored) => {
                self.usage = restored.usage;
                self.last_usage = restored.last_usage;
                self.counted = restored.counted;
                self.limits = restored.limits;
                self.history = History::settled(restored.items);
                match course {
                    Course::Resume => {
                        self.conversation = restored.conversation;
                        self.meta_recorded = true;
                        self.facts = Some(OpeningFacts::default());
                    }
                    Course::Fork => {
                        self.fork = Some(restored.conversation);
                    }
                }
                self.phase = Phase::Ready;
                let conversation = self.conversation;
                desk.out.tell(self.id, Event::ThreadStarted { conversation, resumed: true });
                if let Some(limits) = self.limits {
                    desk.out.tell(self.id, Event::Limits { limits });
                }
                if restored.lines_skipped > 0 {
                    let count = restored.lines_skipped;
                    let message = format!("{count} lines of the session could not be read").into();
                    desk.out.tell(self.id, Event::Warning { message });
                }
            }
            Err(message) => {
                self.phase = Phase::Closing;
                desk.out.tell(self.id, Event::ThreadFailed { message });
            }
        }
    }
}
