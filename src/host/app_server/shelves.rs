//! Requests that look through what was recorded: found, listed and read in slices.
//!
//! A job goes on by one slice at a time, and what it has found ends it or begins its next stage;
//! which, the host decides. One slice is done in each revolution of the loop.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::fronts::app_server::past::{Fold, Told, Window};
use crate::fronts::app_server::types::methods::ClientRequest;
use crate::fronts::app_server::types::v1::RequestId;
use crate::host::disk::Failure;
use crate::host::disk::listing::{Listing, Page};
use crate::host::disk::rollout::{Progress, Reader};
use crate::host::disk::shelf::{Search, Shelf, Sought};
use crate::host::disk::walk::Slice;
use crate::limits::{LISTED_OPENED_MAX, ROLLOUT_READ_BYTES};
use crate::words::ids::{ConversationId, ThreadId};
use crate::words::session::{Cursor, Session, Wanted};

/// Jobs that go on.
#[derive(Default, Debug)]
pub struct Shelves {
    pub(super) jobs: VecDeque<Job>,
}

/// A request on its way to its answer.
#[derive(Debug)]
pub struct Job {
    pub id: RequestId,
    pub request: Box<ClientRequest>,
    pub stage: Stage,
}

#[derive(Debug)]
pub enum Stage {
    Seeking(Box<Seeking>),
    Reading(Box<Reading>),
    Listing(Box<Pages>),
    /// The thread has to be closed before its rollout is moved.
    Closing {
        thread: ThreadId,
        path: PathBuf,
    },
}

/// What a stage came to.
#[derive(Debug)]
pub enum Got {
    Missing,
    Path(PathBuf, Shelf),
    Told(PathBuf, Box<Told>),
    Page(Page),
}

/// A rollout that is looked for by the id of its conversation.
#[derive(Debug)]
pub struct Seeking {
    home: PathBuf,
    id: ConversationId,
    search: Search,
    shelf: Shelf,
    /// Where to look next.
    others: &'static [Shelf],
}

/// A rollout that is read through.
#[derive(Debug)]
pub struct Reading {
    path: PathBuf,
    reader: Reader,
    fold: Option<Fold>,
    window: Window,
    /// A turn of it runs here.
    runs: bool,
    cut: Option<Cut>,
}

/// Where a rollout is to end, which is found out by reading it through.
#[derive(Debug)]
struct Cut {
    /// Behind this turn.
    turn: Box<str>,
    bytes: u64,
    is_found: bool,
}

/// A list that is put together.
#[derive(Debug)]
pub struct Pages {
    home: PathBuf,
    wanted: Wanted,
    /// What a session must pass besides.
    pub sieve: Sieve,
    count: usize,
    listing: Option<Listing>,
    found: Page,
}

/// What a list leaves out that its order knows nothing of.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Sieve {
    /// Only those begun in one of these directories; anywhere, if there is none.
    pub cwds: Vec<Box<str>>,
    /// Only those recorded by one of these; by all, if there is none.
    pub originators: Vec<Box<str>>,
    pub excluded: Vec<Box<str>>,
}

impl Shelves {
    /// Whether a job goes on without an event.
    pub fn is_stepping(&self) -> bool {
        self.jobs.iter().any(|job| !matches!(job.stage, Stage::Closing { .. }))
    }
}

impl Stage {
    /// Goes on for a slice.
    pub fn step(&mut self) -> Result<Option<Got>, Failure> {
        match self {
            Stage::Seeking(seeking) => seeking.step(),
            Stage::Reading(reading) => reading.step(),
            Stage::Listing(pages) => pages.step(),
            // The host looks whether it is closed.
            Stage::Closing { .. } => Ok(None),
        }
    }
}

impl Seeking {
    /// Looks on these shelves, one after the other.
    pub fn begin(
        home: &Path,
        id: ConversationId,
        shelves: &'static [Shelf],
    ) -> Result<Stage, Failure> {
        let (shelf, others) = shelves.split_first().unwrap_or((&Shelf::Dated, &[]));
        let search = Search::by_id(home, *shelf, id)?;
        let home = home.to_owned();
        Ok(Stage::Seeking(Box::new(Seeking { home, id, search, shelf: *shelf, others })))
    }

    fn step(&mut self) -> Result<Option<Got>, Failure> {
        Ok(match self.search.step(&mut Slice::default())? {
            Sought::More => None,
            Sought::Found(path) => Some(Got::Path(path, self.shelf)),
            Sought::Nothing => match self.others.split_first() {
                Some((shelf, others)) => {
                    self.search = Search::by_id(&self.home, *shelf, self.id)?;
                    (self.shelf, self.others) = (*shelf, others);
                    None
                }
                None => Some(Got::Missing),
            },
        })
    }
}

impl Reading {
    pub fn begin(path: PathBuf, window: Window, runs: bool) -> Result<Stage, Failure> {
        Reading::begin_until(path, window, runs, None)
    }

    /// Begins to read a rollout to the end of a turn.
    pub fn begin_until(
        path: PathBuf,
        window: Window,
        runs: bool,
        turn: Option<Box<str>>,
    ) -> Result<Stage, Failure> {
        let reader = Reader::open(&path)?;
        let cut = turn.map(|turn| Cut { turn, bytes: 0, is_found: false });
        let first = if cut.is_some() { Window::none() } else { window };
        let fold = Some(Fold::new(first));
        Ok(Stage::Reading(Box::new(Reading { path, reader, fold, window, runs, cut })))
    }

    fn step(&mut self) -> Result<Option<Got>, Failure> {
        let progress = self.reader.read_slice(ROLLOUT_READ_BYTES)?;
        let Some(fold) = &mut self.fold else { return Ok(None) };
        while let Some(line) = self.reader.pull() {
            fold.push(line.bytes);
            if let Some(cut) = self.cut.as_mut().filter(|cut| !cut.is_found)
                && fold.is_within(&cut.turn)
            {
                cut.bytes = line.offset_bytes + line.bytes_count as u64;
            }
        }
        if progress == Progress::More {
            return Ok(None);
        }
        if let Some(cut) = self.cut.as_mut().filter(|cut| !cut.is_found && cut.bytes > 0) {
            cut.is_found = true;
            self.reader = Reader::open(&self.path)?.until(cut.bytes);
            self.fold = Some(Fold::new(self.window));
            return Ok(None);
        }
        Ok(self.fold.take().map(|fold| {
            let mut told = fold.finish(self.runs);
            told.until_bytes = self.cut.as_ref().map(|cut| cut.bytes);
            Got::Told(std::mem::take(&mut self.path), Box::new(told))
        }))
    }
}

impl Pages {
    /// Begins a list of at most `count` sessions behind a cursor.
    pub fn begin(
        home: &Path,
        wanted: Wanted,
        sieve: Sieve,
        after: Option<Cursor>,
        count: usize,
    ) -> Result<Stage, Failure> {
        let listing = Some(Listing::begin(home, wanted.clone(), after, count)?);
        let (home, found) = (home.to_owned(), Page::default());
        Ok(Stage::Listing(Box::new(Pages { home, wanted, sieve, count, listing, found })))
    }

    fn step(&mut self) -> Result<Option<Got>, Failure> {
        let Some(listing) = &mut self.listing else { return Ok(None) };
        if listing.step(&mut Slice::default())? == Progress::More {
            return Ok(None);
        }
        let page = self.listing.take().map(Listing::finish).unwrap_or_default();
        let Page { sessions, next, opened_count, .. } = page;
        let found = &mut self.found;
        found.sessions.extend(sessions.into_iter().filter(|session| self.sieve.passes(session)));
        found.opened_count += opened_count;
        let left = self.count.saturating_sub(found.sessions.len());
        if left > 0 && next.is_some() && found.opened_count < LISTED_OPENED_MAX {
            self.listing = Some(Listing::begin(&self.home, self.wanted.clone(), next, left)?);
            return Ok(None);
        }
        found.next = next;
        Ok(Some(Got::Page(std::mem::take(found))))
    }
}

impl Sieve {
    fn passes(&self, session: &Session) -> bool {
        let heading = &session.heading;
        let is_any = |list: &[Box<str>], word: &str| list.iter().any(|one| **one == *word);
        let originator = heading.originator.as_deref().unwrap_or_default();
        (self.cwds.is_empty() || is_any(&self.cwds, &heading.cwd))
            && (self.originators.is_empty() || is_any(&self.originators, originator))
            && (self.excluded.is_empty() || !is_any(&self.excluded, &session.id.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;
    use crate::words::session::Mark;

    fn put(place: &Place, shelf: Shelf, number: u8, cwd: &str) -> ConversationId {
        let id = ConversationId::v7(0, [number; 10]);
        let mark = Mark { time: format!("2025-11-0{number}T10-00-00").into(), id };
        let text = format!(
            "{{\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\",\"cwd\":\"{cwd}\"}}}}\n\
             {{\"type\":\"event_msg\",\"payload\":{{\"type\":\"user_message\",\"message\":\"q\"}}}}\n"
        );
        let path = shelf.place(place.path(), &mark);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, text).expect("written");
        id
    }

    fn finished(mut stage: Stage) -> Got {
        for _ in 0..100 {
            if let Some(got) = stage.step().expect("a step") {
                assert!(
                    !matches!(stage.step(), Ok(Some(Got::Page(page))) if !page.sessions.is_empty())
                );
                return got;
            }
        }
        panic!("it does not end: {stage:?}");
    }

    #[test]
    fn a_session_is_found_on_either_shelf_and_read() {
        const BOTH: &[Shelf] = &[Shelf::Dated, Shelf::Archive];
        let place = Place::new();
        put(&place, Shelf::Dated, 1, "/a");
        let id = put(&place, Shelf::Archive, 2, "/b");
        let begin = |shelves| Seeking::begin(place.path(), id, shelves).expect("begun");
        assert!(matches!(finished(begin(&BOTH[..1])), Got::Missing));
        let Got::Path(path, Shelf::Archive) = finished(begin(BOTH)) else { panic!("not found") };
        let reading = Reading::begin(path, Window::newest(), false).expect("open");
        let Got::Told(_, told) = finished(reading) else { panic!("not read") };
        assert_eq!((&*told.cwd, &*told.preview, told.turns.len()), ("/b", "q", 1));
    }

    #[test]
    fn a_list_goes_on_behind_what_its_sieve_holds_back() {
        let place = Place::new();
        let ids: Vec<_> = (1..=9)
            .map(|n| put(&place, Shelf::Dated, n, ["/a", "/b", "/c"][n as usize % 3]))
            .collect();
        let excluded = vec![ids[8].to_string().into()];
        let sieve = Sieve { cwds: vec!["/a".into(), "/b".into()], excluded, ..Sieve::default() };
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let wanted = Wanted::default();
            let stage = Pages::begin(place.path(), wanted, sieve.clone(), after, 2);
            let Got::Page(page) = finished(stage.expect("begun")) else { panic!("no page") };
            assert!(page.sessions.len() <= 2);
            seen.extend(page.sessions.into_iter().map(|session| session.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = [7, 6, 4, 3, 1].iter().map(|n| ids[n - 1]).collect();
        assert_eq!(seen, expected);
    }
}
