//! A rollout that is looked for and read back, in slices, so that neither many sessions nor a long
//! one hold up the loop.
//!
//! One that will grow again is locked before its first line is read: nobody can add what would be
//! missed. Forks and conversations that are not kept only read.

use std::io;
use std::path::{Path, PathBuf};

use crate::core::input::Input;
use crate::core::restore::{Fold, Unfit};
use crate::host::FRONT;
use crate::host::album::Album;
use crate::host::disk::Failure;
use crate::host::disk::copying::Stretch;
use crate::host::disk::rollout::{Place, Progress, Reader, Rollout};
use crate::host::disk::shelf::{Search, Shelf, Sought};
use crate::host::disk::walk::Slice;
use crate::host::rollouts::Keeping;
use crate::host::seam::Seam;
use crate::limits::{
    HISTORY_KEPT_BYTES_MAX, ITEM_BYTES, READ_BUDGET_BYTES, RESTORED_BYTES_MAX,
    ROLLOUT_LINE_HELD_BYTES, ROLLOUT_PASSED_BYTES_MAX, ROLLOUT_PASSED_MAX,
};
use crate::wire::rollout::{self, Glance, Setup};
use crate::wire::sieve::{self, Cut, Sieve};
use crate::words::command::{Command, Course, Restored, Which};
use crate::words::ids::{ConversationId, OpId, ThreadId};
use crate::words::item::{Image, Item, Part};
use crate::words::record::Remembered;

/// One rollout on its way into a thread.
#[derive(Debug)]
pub struct Loading {
    pub op: OpId,
    thread: ThreadId,
    /// Whether the rollout will be written on.
    grows: bool,
    stage: Stage,
    /// What the session was set up with, once it was read.
    setup: Option<Setup>,
}

#[derive(Debug)]
enum Stage {
    Seeking(Box<Seeking>),
    Reading {
        path: PathBuf,
        /// What goes on afterwards.
        rollout: Option<Rollout>,
        reader: Box<Reader>,
        past: Box<Past>,
    },
    /// The journal takes what was read, before the machine does.
    Noting {
        past: Box<Restored>,
        /// How many of its items were noted.
        noted_count: usize,
    },
    Failed(String),
}

/// A rollout that is looked for, in slices as well.
#[derive(Debug)]
struct Seeking {
    home: PathBuf,
    search: Search,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    Id(ConversationId),
    /// Not among the others: it may be put away.
    Archived(ConversationId),
    Last {
        place: String,
    },
}

impl Loading {
    /// Begins to look for the rollout. What fails is told by the first step.
    pub fn begin(
        op: OpId,
        thread: ThreadId,
        which: &Which,
        course: Course,
        home: Option<&Path>,
        keeping: &Keeping,
    ) -> Loading {
        let grows = course == Course::Resume && *keeping != Keeping::Nothing;
        let stage = match home {
            None => Err("there is no home directory that could hold sessions".to_string()),
            Some(home) => Seeking::begin(which, home, grows),
        };
        let stage = stage.unwrap_or_else(Stage::Failed);
        Loading { op, thread, grows, stage, setup: None }
    }

    /// Goes on; `None` once the result was told.
    pub fn step(mut self, seam: &mut Seam) -> Option<Loading> {
        let result = match self.stage {
            Stage::Failed(why) => Err(why),
            Stage::Seeking(ref mut seeking) => {
                if let Some(stage) = seeking.step(self.grows).unwrap_or_else(failed) {
                    self.stage = stage;
                }
                return Some(self);
            }
            Stage::Noting { past, noted_count } => match &mut seam.journal {
                Some(journal) if noted_count < past.items.len() => {
                    let items = a_piece(&past.items[noted_count..]);
                    journal.ahead(self.op, items);
                    let noted_count = noted_count + items.len();
                    self.stage = Stage::Noting { past, noted_count };
                    return Some(self);
                }
                Some(_) | None => Ok(past),
            },
            Stage::Reading { ref path, ref mut rollout, ref mut reader, ref mut past } => {
                match past.read_on(reader, self.thread, &mut seam.rollouts.album) {
                    Ok(Progress::More) => return Some(self),
                    Ok(Progress::End) => {
                        self.setup = Some(std::mem::take(&mut past.setup));
                        let restored = finish(path, std::mem::take(&mut past.fold));
                        let restored = match rollout.take() {
                            _ if restored.is_err() => restored,
                            Some(rollout) => {
                                seam.rollouts.adopt(self.thread, rollout);
                                restored
                            }
                            // A fork, or one of which nothing is kept.
                            None => past.stretch(reader).and_then(|stretch| {
                                seam.rollouts.fork(self.thread, stretch);
                                restored
                            }),
                        };
                        match restored {
                            Ok(past) if seam.journal.is_some() && is_much(&past.items) => {
                                let past = Box::new(past);
                                self.stage = Stage::Noting { past, noted_count: 0 };
                                return Some(self);
                            }
                            restored => restored.map(Box::new),
                        }
                    }
                    Err(failure) => Err(failure.to_string()),
                }
            }
        };
        if result.is_err() {
            seam.rollouts.album.release(self.thread);
        }
        let setup = self.setup.filter(|_| result.is_ok());
        let recalled = setup.and_then(|setup| seam.recall(self.thread, &setup));
        seam.feed(Input::Restored { op: self.op, result: result.map_err(Into::into) });
        if let Some(settings) = recalled {
            let command = Command::Configure { thread: self.thread, settings };
            seam.feed(Input::Command { front: FRONT, command });
        }
        None
    }
}

impl Stage {
    /// Opens what was found.
    fn open(path: PathBuf, grows: bool, until_bytes: u64) -> Result<Stage, Failure> {
        let rollout = grows.then(|| Rollout::reopen(&path)).transpose()?;
        let reader = Reader::open_glancing(&path)?.until(until_bytes);
        Ok(Stage::Reading { path, rollout, reader: Box::new(reader), past: Box::default() })
    }
}

impl Seeking {
    fn begin(which: &Which, home: &Path, grows: bool) -> Result<Stage, String> {
        let (search, wanted) = match which {
            Which::Path(path) | Which::Part { path, .. } => {
                let until_bytes = match which {
                    Which::Part { bytes, .. } => *bytes,
                    Which::Path(_) | Which::Id(_) | Which::Last { .. } => u64::MAX,
                };
                let opened = Stage::open(PathBuf::from(&**path), grows, until_bytes);
                return opened.map_err(|failure| failure.to_string());
            }
            Which::Id(id) => (Search::by_id(home, Shelf::Dated, *id), Wanted::Id(*id)),
            Which::Last { cwd } => {
                let place = cwd.as_ref().map(|cwd| format!(" that began in {cwd}"));
                let place = place.unwrap_or_default();
                (Search::newest(home, Shelf::Dated, cwd.as_deref()), Wanted::Last { place })
            }
        };
        let search = search.map_err(|failure| failure.to_string())?;
        Ok(Stage::Seeking(Box::new(Seeking { home: home.to_owned(), search, wanted })))
    }

    /// Looks on; gives the next stage once there is one.
    fn step(&mut self, grows: bool) -> Result<Option<Stage>, Failure> {
        let sought = match self.search.step(&mut Slice::default()) {
            // What cannot be looked through holds no archive.
            Err(_) if matches!(self.wanted, Wanted::Archived(_)) => Sought::Nothing,
            sought => sought?,
        };
        let missing = match (sought, &self.wanted) {
            (Sought::More, _) => return Ok(None),
            (Sought::Found(_), Wanted::Archived(id)) => {
                format!("the session {id} is archived; `windlass sessions unarchive {id}` first")
            }
            (Sought::Found(path), Wanted::Id(_) | Wanted::Last { .. }) => {
                return Stage::open(path, grows, u64::MAX).map(Some);
            }
            (Sought::Nothing, Wanted::Id(id)) => {
                if let Ok(search) = Search::by_id(&self.home, Shelf::Archive, *id) {
                    (self.search, self.wanted) = (search, Wanted::Archived(*id));
                    return Ok(None);
                }
                format!("no session has the id {id}")
            }
            (Sought::Nothing, Wanted::Archived(id)) => format!("no session has the id {id}"),
            (Sought::Nothing, Wanted::Last { place }) => format!("there is no session{place}"),
        };
        Ok(Some(Stage::Failed(missing)))
    }
}

/// Whether these items are noted in more than one piece.
fn is_much(items: &[Item]) -> bool {
    a_piece(items).len() < items.len()
}

/// As many of these items as are noted at once.
fn a_piece(items: &[Item]) -> &[Item] {
    let mut bytes = 0;
    let over = items.iter().position(|item| {
        bytes += item.bytes() + ITEM_BYTES;
        bytes > READ_BUDGET_BYTES as u64
    });
    &items[..over.map_or(items.len(), |over| over.max(1))]
}

fn failed(failure: Failure) -> Option<Stage> {
    Some(Stage::Failed(failure.to_string()))
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
    /// Behind the line that says whose it is, once that has come.
    from_bytes: Option<u64>,
    /// Where the last line ends.
    until_bytes: u64,
    setup: Setup,
    /// Lines that are read again.
    line: Vec<u8>,
    sieve: Sieve,
}

#[derive(Debug)]
enum Passed {
    Item(Place),
    /// An item that a summary replaces in any case.
    Unsaid(Place),
    /// Tokens that were counted of all items before.
    Counted(Box<Remembered>),
}

impl Past {
    fn read_on(
        &mut self,
        reader: &mut Reader,
        thread: ThreadId,
        album: &mut Album,
    ) -> Result<Progress, Failure> {
        let progress = reader.read_slice(READ_BUDGET_BYTES)?;
        while let Some(line) = reader.pull() {
            let (place, is_whole) = (line.place(), line.is_whole());
            self.until_bytes = place.offset_bytes + place.bytes_count as u64;
            match rollout::glance(line.bytes, line.tail) {
                Glance::Nothing => {}
                Glance::Item => self.pass(Passed::Item(place), place.bytes_count),
                Glance::Unsaid => self.pass(Passed::Unsaid(place), place.bytes_count),
                Glance::Unsure => {
                    let remembered = match is_whole {
                        true => {
                            self.setup.take(line.bytes);
                            rollout::decode(line.bytes).ok()
                        }
                        false => self.read_again(reader, place, thread, album)?,
                    };
                    match remembered {
                        Some(Remembered::Nothing) => {}
                        Some(Remembered::Item(_)) => {
                            self.pass(Passed::Item(place), place.bytes_count);
                        }
                        Some(counted @ Remembered::TokenCount { .. }) => {
                            self.pass(Passed::Counted(Box::new(counted)), 0);
                        }
                        Some(other) => {
                            if let Remembered::Meta { .. } = other {
                                self.from_bytes.get_or_insert(self.until_bytes + 1);
                            }
                            self.take_in(other, reader, thread, album)?;
                        }
                        None => self.fold.skip(1),
                    }
                }
            }
            let is_much = self.passed.len() >= ROLLOUT_PASSED_MAX;
            if is_much || self.passed_bytes > ROLLOUT_PASSED_BYTES_MAX {
                self.catch_up(reader, thread, album)?;
            }
        }
        if progress == Progress::End {
            self.catch_up(reader, thread, album)?;
            self.fold.skip(reader.lines_skipped());
        }
        Ok(progress)
    }

    /// The lines that a fork goes on from.
    fn stretch(&self, reader: &Reader) -> Result<Stretch, String> {
        let file = reader.file().try_clone().map_err(|error| error.to_string())?;
        let (from_bytes, until_bytes) = (self.from_bytes.unwrap_or(0), self.until_bytes);
        Ok(Stretch { file, from_bytes, until_bytes })
    }

    fn pass(&mut self, passed: Passed, bytes_count: usize) {
        self.passed.push(passed);
        self.passed_bytes += bytes_count;
    }

    /// Takes what is neither an item nor a count.
    fn take_in(
        &mut self,
        remembered: Remembered,
        reader: &Reader,
        thread: ThreadId,
        album: &mut Album,
    ) -> Result<(), Failure> {
        match remembered {
            Remembered::Compacted { summary, replacement: Some(mut items) } => {
                self.forget();
                album.release(thread);
                items.iter_mut().for_each(|item| put_away(item, album));
                self.fold.push(Remembered::Compacted { summary, replacement: Some(items) });
            }
            compacted @ Remembered::Compacted { .. } => {
                // Of what it sums up, only what was said outlives it.
                self.passed.retain(|passed| !matches!(passed, Passed::Unsaid(_)));
                self.catch_up(reader, thread, album)?;
                album.release(thread);
                self.fold.push(compacted);
            }
            other => {
                self.catch_up(reader, thread, album)?;
                self.fold.push(other);
            }
        }
        Ok(())
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
    fn catch_up(
        &mut self,
        reader: &Reader,
        thread: ThreadId,
        album: &mut Album,
    ) -> Result<(), Failure> {
        self.passed_bytes = 0;
        for passed in std::mem::take(&mut self.passed) {
            let remembered = match passed {
                Passed::Counted(counted) => Some(*counted),
                Passed::Item(place) | Passed::Unsaid(place) => {
                    self.read_again(reader, place, thread, album)?
                }
            };
            match remembered {
                Some(remembered) => self.fold.push(remembered),
                None => self.fold.skip(1),
            }
        }
        Ok(())
    }

    /// Reads a line once more, but for its images: these stay where they are. `None` is no line.
    fn read_again(
        &mut self,
        reader: &Reader,
        place: Place,
        thread: ThreadId,
        album: &mut Album,
    ) -> Result<Option<Remembered>, Failure> {
        let sieve = &mut self.sieve;
        sieve.clear();
        if place.bytes_count <= ROLLOUT_LINE_HELD_BYTES {
            reader.read_again(place, &mut self.line)?;
            if !sieve::has_image(&self.line) {
                return Ok(rollout::decode(&self.line).ok());
            }
            sieve.push(&self.line);
        } else {
            reader.read_through(place, &mut |piece| sieve.push(piece))?;
        }
        let mut remembered = rollout::decode(sieve.line()).ok();
        let is_usable = match &mut remembered {
            _ if sieve.is_spoilt() => false,
            _ if sieve.cuts().is_empty() => true,
            Some(Remembered::Item(Item::Message(message))) => {
                stay(&mut message.parts, sieve, place, &mut |cut, offset_bytes| {
                    let source = album.source(thread, reader.file())?;
                    album.adopt(source, offset_bytes, cut.url_bytes)
                })
            }
            Some(Remembered::Item(Item::Output(_)) | Remembered::Nothing) => true,
            Some(_) | None => false,
        };
        if !is_usable {
            let mut line = Vec::new();
            reader.read_again(place, &mut line)?;
            remembered = rollout::decode(&line).ok();
        }
        if let Some(Remembered::Item(item)) = &mut remembered {
            put_away(item, album);
        }
        Ok(remembered)
    }
}

/// Turns marks into images that stay where they are in the file; `false` if one cannot.
fn stay(
    parts: &mut [Part],
    sieve: &Sieve,
    place: Place,
    adopt: &mut dyn FnMut(Cut, u64) -> io::Result<Image>,
) -> bool {
    parts.iter_mut().all(|part| {
        let Part::Image(image) = part else { return true };
        let Image::Url(url) = &*image else { return true };
        let Some(cut) = sieve.cut_of(url) else { return true };
        let adopted = adopt(cut, place.offset_bytes + cut.at_bytes);
        adopted.map(|adopted| *image = adopted).is_ok()
    })
}

/// Takes images out of memory that could not stay where they are.
fn put_away(item: &mut Item, album: &mut Album) {
    if let Item::Message(message) = item {
        album.keep_all(&mut message.parts);
    }
}

fn finish(path: &Path, fold: Fold) -> Result<Restored, String> {
    let path = path.display();
    let (mib, kept_mib) = (RESTORED_BYTES_MAX >> 20, HISTORY_KEPT_BYTES_MAX >> 20);
    fold.finish().map_err(|unfit| match unfit {
        Unfit::Nobodys => format!("{path} holds no session"),
        Unfit::Outgrown => format!(
            "the conversation in {path} is too long: after its last summary it holds more than \
             {mib} MiB, or {kept_mib} MiB of images; let the program that recorded it sum it up \
             first, or start a new one"
        ),
    })
}

#[cfg(test)]
mod tests;
