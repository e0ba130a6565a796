//! A rollout that is being read back, in slices, so that a long one does not hold up the loop.
//!
//! One that will grow again is locked before its first line is read: nobody can add what would be
//! missed. Forks and conversations that are not kept only read.

use std::path::{Path, PathBuf};

use crate::core::input::Input;
use crate::core::restore::{Fold, Unfit};
use crate::host::disk::Failure;
use crate::host::disk::rollout::{Place, Progress, Reader, Rollout};
use crate::host::disk::shelf::{self, Shelf};
use crate::host::rollouts::Keeping;
use crate::host::seam::Seam;
use crate::limits::{
    READ_BUDGET_BYTES, RESTORED_BYTES_MAX, ROLLOUT_PASSED_BYTES_MAX, ROLLOUT_PASSED_MAX,
    ROLLOUT_READ_BYTES,
};
use crate::wire::rollout::{self, Glance};
use crate::words::command::{Course, Restored, Which};
use crate::words::ids::{OpId, ThreadId};
use crate::words::record::Remembered;

/// One rollout on its way into a thread.
#[derive(Debug)]
pub struct Loading {
    pub op: OpId,
    thread: ThreadId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Reading {
        path: PathBuf,
        /// What goes on afterwards.
        rollout: Option<Rollout>,
        reader: Reader,
        past: Box<Past>,
    },
    Failed(String),
}

impl Loading {
    /// Finds the rollout and opens it. What fails is told by the first step.
    pub fn begin(
        op: OpId,
        thread: ThreadId,
        which: &Which,
        course: Course,
        home: Option<&Path>,
        keeping: &Keeping,
    ) -> Loading {
        let grows = course == Course::Resume && *keeping != Keeping::Nothing;
        let open = |path: PathBuf| {
            let rollout = grows.then(|| Rollout::reopen(&path)).transpose()?;
            let reader = Reader::open(&path)?;
            Ok::<_, Failure>(Stage::Reading { path, rollout, reader, past: Box::default() })
        };
        let opened =
            found(which, home).and_then(|path| open(path).map_err(|failure| failure.to_string()));
        let stage = opened.unwrap_or_else(Stage::Failed);
        Loading { op, thread, stage }
    }

    /// Reads on; `None` once the result was told.
    pub fn step(mut self, seam: &mut Seam) -> Option<Loading> {
        let result = match &mut self.stage {
            Stage::Failed(why) => Err(std::mem::take(why)),
            Stage::Reading { path, rollout, reader, past } => match past.read_on(reader) {
                Ok(Progress::More) => return Some(self),
                Ok(Progress::End) => {
                    let restored = finish(path, std::mem::take(&mut past.fold));
                    if let (Ok(_), Some(rollout)) = (&restored, rollout.take()) {
                        seam.rollouts.adopt(self.thread, rollout);
                    }
                    restored
                }
                Err(failure) => Err(failure.to_string()),
            },
        };
        seam.feed(Input::Restored {
            op: self.op,
            result: result.map(Box::new).map_err(Into::into),
        });
        None
    }
}

/// What is known of a rollout so far.
///
/// Items are passed over at first: mostly a summary follows that replaces them, and reading them
/// through is what takes time. Those that none has replaced are read again.
#[derive(Default, Debug)]
struct Past {
    fold: Fold,
    passed: Vec<Passed>,
    passed_bytes: usize,
    /// A line that is read again.
    line: Vec<u8>,
}

#[derive(Debug)]
enum Passed {
    Item(Place),
    /// Tokens that were counted of all items before.
    Counted(Box<Remembered>),
}

impl Past {
    fn read_on(&mut self, reader: &mut Reader) -> Result<Progress, Failure> {
        let progress = reader.read_slice(READ_BUDGET_BYTES)?;
        while let Some(line) = reader.pull() {
            let place = line.place();
            match rollout::glance(line.bytes) {
                Glance::Nothing => {}
                Glance::Item => self.pass(Passed::Item(place), place.bytes_count),
                Glance::Unsure => match rollout::decode(line.bytes) {
                    Ok(Remembered::Nothing) => {}
                    Ok(Remembered::Item(_)) => self.pass(Passed::Item(place), place.bytes_count),
                    Ok(counted @ Remembered::TokenCount { .. }) => {
                        self.pass(Passed::Counted(Box::new(counted)), 0);
                    }
                    Ok(Remembered::Compacted { summary, replacement: Some(items) }) => {
                        self.forget();
                        let replacement = Some(items);
                        self.fold.push(Remembered::Compacted { summary, replacement });
                    }
                    Ok(other) => {
                        self.catch_up(reader)?;
                        self.fold.push(other);
                    }
                    Err(_) => self.fold.skip(1),
                },
            }
            let is_much = self.passed.len() >= ROLLOUT_PASSED_MAX;
            if is_much || self.passed_bytes > ROLLOUT_PASSED_BYTES_MAX {
                self.catch_up(reader)?;
            }
        }
        if progress == Progress::End {
            self.catch_up(reader)?;
            self.fold.skip(reader.lines_skipped());
        }
        Ok(progress)
    }

    fn pass(&mut self, passed: Passed, bytes_count: usize) {
        self.passed.push(passed);
        self.passed_bytes += bytes_count;
    }

    /// The items that were passed over are replaced; what was counted is not forgotten with them.
    fn forget(&mut self) {
        self.passed_bytes = 0;
        for passed in self.passed.drain(..) {
            if let Passed::Counted(counted) = passed {
                self.fold.push(*counted);
            }
        }
    }

    /// Reads again what was passed over.
    fn catch_up(&mut self, reader: &Reader) -> Result<(), Failure> {
        self.passed_bytes = 0;
        for passed in self.passed.drain(..) {
            let place = match passed {
                Passed::Counted(counted) => {
                    self.fold.push(*counted);
                    continue;
                }
                Passed::Item(place) => place,
            };
            reader.read_again(place, &mut self.line)?;
            match rollout::decode(&self.line) {
                Ok(remembered) => self.fold.push(remembered),
                Err(_) => self.fold.skip(1),
            }
            self.line.clear();
            self.line.shrink_to(ROLLOUT_READ_BYTES);
        }
        Ok(())
    }
}

fn found(which: &Which, home: Option<&Path>) -> Result<PathBuf, String> {
    let Some(home) = home else {
        return Err("there is no home directory that could hold sessions".to_string());
    };
    let (found, missing) = match which {
        Which::Path(path) => return Ok(PathBuf::from(&**path)),
        Which::Id(id) => {
            let is_archived = || matches!(shelf::find(home, Shelf::Archive, *id), Ok(Some(_)));
            let found = shelf::find(home, Shelf::Dated, *id);
            let missing = match found {
                Ok(None) if is_archived() => {
                    format!(
                        "the session {id} is archived; `windlass sessions unarchive {id}` first"
                    )
                }
                _ => format!("no session has the id {id}"),
            };
            (found, missing)
        }
        Which::Last { cwd } => {
            let place = cwd.as_ref().map(|cwd| format!(" that began in {cwd}"));
            let missing = format!("there is no session{}", place.unwrap_or_default());
            (shelf::newest(home, Shelf::Dated, cwd.as_deref()), missing)
        }
    };
    found.map_err(|failure| failure.to_string())?.ok_or(missing)
}

fn finish(path: &Path, fold: Fold) -> Result<Restored, String> {
    let path = path.display();
    let mib = RESTORED_BYTES_MAX >> 20;
    fold.finish().map_err(|unfit| match unfit {
        Unfit::Nobodys => format!("{path} holds no session"),
        Unfit::Outgrown => format!(
            "the conversation in {path} is too long: after its last summary it holds more than \
             {mib} MiB; let the program that recorded it sum it up first, or start a new one"
        ),
    })
}
