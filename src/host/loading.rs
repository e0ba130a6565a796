//! A rollout that is being read back, in slices, so that a long one does not hold up the loop.

use std::path::{Path, PathBuf};

use crate::core::input::Input;
use crate::core::restore::Fold;
use crate::host::disk::rollout::{Progress, Reader};
use crate::host::disk::shelf;
use crate::host::seam::Seam;
use crate::limits::READ_BUDGET_BYTES;
use crate::wire::rollout;
use crate::words::command::{Course, Restored, Which};
use crate::words::ids::{OpId, ThreadId};

/// One rollout on its way into a thread.
#[derive(Debug)]
pub struct Loading {
    pub op: OpId,
    thread: ThreadId,
    course: Course,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Reading { path: PathBuf, reader: Reader, fold: Box<Fold> },
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
    ) -> Loading {
        let opened = found(which, home).and_then(|path| match Reader::open(&path) {
            Ok(reader) => Ok(Stage::Reading { path, reader, fold: Box::default() }),
            Err(failure) => Err(failure.to_string()),
        });
        let stage = opened.unwrap_or_else(Stage::Failed);
        Loading { op, thread, course, stage }
    }

    /// Reads on; `None` once the result was told.
    pub fn step(mut self, seam: &mut Seam) -> Option<Loading> {
        let result = match &mut self.stage {
            Stage::Failed(why) => Err(std::mem::take(why)),
            Stage::Reading { path, reader, fold } => {
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
                        finish(path, std::mem::take(&mut **fold)).and_then(|restored| {
                            if self.course == Course::Resume {
                                let adopted = seam.rollouts.adopt(self.thread, path);
                                adopted.map_err(|failure| failure.to_string())?;
                            }
                            Ok(restored)
                        })
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
        Which::Id(id) => (shelf::find(home, *id), format!("no session has the id {id}")),
        Which::Last { cwd } => {
            let place = cwd.as_ref().map(|cwd| format!(" that began in {cwd}"));
            let missing = format!("there is no session{}", place.unwrap_or_default());
            (shelf::newest(home, cwd.as_deref()), missing)
        }
    };
    found.map_err(|failure| failure.to_string())?.ok_or(missing)
}

fn finish(path: &Path, fold: Fold) -> Result<Restored, String> {
    let no_session = || format!("{} holds no session", path.display());
    fold.finish().ok_or_else(no_session)
}
