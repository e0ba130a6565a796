//! Work that no turn owns: loading a recorded conversation into a thread.
//!
//! A fork copies what was loaded into a rollout of its own, with the first prompt: until then there
//! is nothing to keep. Errands pass the same gate as everything else, so that they can be given up
//! and told apart.

use crate::core::Desk;
use crate::core::effect::Effect;
use crate::core::history::History;
use crate::core::ops::Work;
use crate::core::thread::{Fork, Phase, Thread, shown_as};
use crate::words::command::{Course, Refusal, Restored, Which};
use crate::words::event::Event;
use crate::words::ids::ItemIndex;
use crate::words::model::Usage;
use crate::words::record::Record;
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
                        let items_count = self.history.items().len() as u32;
                        let from = restored.conversation;
                        self.fork = Some(Fork { from, items_count, recorded_count: 0 });
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

    /// Copies what a fork began with into its rollout, as far as it is not there.
    pub(crate) fn record_past(&mut self, desk: &mut Desk<'_>) {
        let Some(fork) = &mut self.fork else { return };
        if fork.recorded_count == fork.items_count {
            return;
        }
        for index in (fork.recorded_count..fork.items_count).map(ItemIndex) {
            desk.out.append(self.id, Record::Item(index));
            if let Some(record) = shown_as(self.history.items(), index) {
                desk.out.append(self.id, record);
            }
        }
        fork.recorded_count = fork.items_count;
        let (total, limits) = (self.usage, self.limits);
        desk.out.append(self.id, Record::TokenCount { total, last: Usage::default(), limits });
    }

    /// Records from this item on are lost: a fork does not forget its past with them, but records
    /// it again. Gives from where on to forget.
    pub(crate) fn keep_past(&mut self, lost_from: ItemIndex) -> ItemIndex {
        let Some(fork) = &mut self.fork else { return lost_from };
        fork.recorded_count = fork.recorded_count.min(lost_from.0);
        lost_from.max(ItemIndex(fork.items_count))
    }
}
