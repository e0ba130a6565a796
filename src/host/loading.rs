//! A rollout that is being read back, in slices, so that a long one does not hold up the loop.
//!
//! One that will grow again is locked before its first line is read: nobody can add what would be
//! missed. Forks and conversations that are not kept only read.

use std::path::{Path, PathBuf};

use crate::core::input::Input;
use crate::core::restore::{Fold, Unfit};
use crate::host::disk::Failure;
use crate::host::disk::rollout::{Progress, Reader, Rollout};
use crate::host::disk::shelf::{self, Shelf};
use crate::host::rollouts::Keeping;
use crate::host::seam::Seam;
use crate::limits::{READ_BUDGET_BYTES, RESTORED_BYTES_MAX};
use crate::wire::rollout;
use crate::words::command::{Course, Restored, Which};
use crate::words::ids::{OpId, ThreadId};

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
        fold: Box<Fold>,
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
            Ok::<_, Failure>(Stage::Reading { path, rollout, reader, fold: Box::default() })
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
            Stage::Reading { path, rollout, reader, fold } => {
                let progress = reader.read_slice(READ_BUDGET_BYTES);
                while let Some(line) = reader.pull() {
                    match rollout::decode(line.bytes) {
                        Ok(remembered) => fold.push(remembered),
                        Err(_) => fold.skip(1),
                    }
                }
                match progress {
                    Ok(Progress::More) => return Some(self),
                    Ok(Progress::End) => {
                        fold.skip(reader.lines_skipped());
                        let restored = finish(path, std::mem::take(&mut **fold));
                        if let (Ok(_), Some(rollout)) = (&restored, rollout.take()) {
                            seam.rollouts.adopt(self.thread, rollout);
                        }
                        restored
                    }
                    Err(failure) => Err(failure.to_string()),
                }
            }
        };
        seam.feed(Input::Restored {
            op: self.op,
            result: result.map(Box::new).map_err(Into::into),
        });
        None
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
