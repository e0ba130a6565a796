//! The rollouts of the threads that are loaded.

use std::path::{Path, PathBuf};

use crate::host::disk::Failure;
use crate::host::disk::rollout::Rollout;
use crate::wire::rollout;
use crate::wire::time::Rfc3339;
use crate::words::ids::ThreadId;
use crate::words::record::{Record, RecordView};

/// Open rollout files, one for each thread that has recorded something.
#[derive(Debug)]
pub struct Rollouts {
    keeping: Keeping,
    open: Vec<(ThreadId, Rollout)>,
    /// Holds one line while it is written.
    line: Vec<u8>,
}

/// Whether there is anything to remember.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Keeping {
    /// In files below this home.
    Home(PathBuf),
    /// Nothing is kept beyond the process.
    Nothing,
}

impl Rollouts {
    pub fn new(keeping: Keeping) -> Rollouts {
        Rollouts { keeping, open: Vec::new(), line: Vec::new() }
    }

    /// Adds a record to the thread's rollout, which is made with its first.
    pub fn append(
        &mut self,
        thread: ThreadId,
        record: &Record,
        view: RecordView<'_>,
        wall_ms: u64,
    ) -> Result<(), Failure> {
        let Keeping::Home(home) = &self.keeping else { return Ok(()) };
        let index = match self.open.iter().position(|(id, _)| *id == thread) {
            Some(index) => index,
            None => {
                self.open.push((thread, Rollout::new(home, view.conversation, wall_ms)));
                self.open.len() - 1
            }
        };
        self.line.clear();
        rollout::encode(record, view, &Rfc3339(wall_ms).to_string(), &mut self.line);
        self.open[index].1.append(&self.line)
    }

    /// Goes on with the rollout of a conversation that was resumed.
    pub fn adopt(&mut self, thread: ThreadId, path: &Path) -> Result<(), Failure> {
        if self.keeping == Keeping::Nothing {
            return Ok(());
        }
        let rollout = Rollout::reopen(path)?;
        self.open.push((thread, rollout));
        Ok(())
    }

    /// Closes the thread's rollout.
    pub fn release(&mut self, thread: ThreadId) {
        self.open.retain(|(id, _)| *id != thread);
    }
}
