//! The rollouts of the threads that are loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::host::album::{Album, Pour};
use crate::host::disk::Failure;
use crate::host::disk::copying::{Copying, Stretch};
use crate::host::disk::rollout::Rollout;
use crate::limits::ROLLOUT_BATCH_BYTES;
use crate::wire::holes::{Hole, Holes};
use crate::wire::rollout;
use crate::wire::time::Rfc3339;
use crate::words::ids::{ConversationId, ThreadId};
use crate::words::record::{Record, RecordView};

/// Open rollout files, one for each thread that has recorded something.
#[derive(Debug)]
pub struct Rollouts {
    keeping: Keeping,
    open: Vec<(ThreadId, Rollout)>,
    /// Pasts of forks that are not in their rollouts yet.
    pasts: BTreeMap<ThreadId, Stretch>,
    /// Threads that are not kept although others are.
    forgone: BTreeSet<ThreadId>,
    pub album: Album,
    /// Lines that are gathered for one rollout, to be written at once.
    lines: Vec<u8>,
    lines_count: u64,
    /// Where in these lines images belong that are not in memory.
    holes: Vec<Hole>,
    /// Whose they are: a place in `open`. Invariant: `Some` while `lines` holds anything.
    gathering: Option<usize>,
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
        Rollouts {
            keeping,
            open: Vec::new(),
            pasts: BTreeMap::new(),
            forgone: BTreeSet::new(),
            album: Album::default(),
            lines: Vec::new(),
            lines_count: 0,
            holes: Vec::new(),
            gathering: None,
        }
    }

    /// Whether a record of the thread fits what is gathered; if not, commit first.
    pub fn has_room(&self, thread: ThreadId) -> bool {
        self.gathering.is_none_or(|index| {
            self.open[index].0 == thread && self.lines.len() < ROLLOUT_BATCH_BYTES
        })
    }

    /// Adds a record to what is gathered for the thread's rollout; see `has_room`.
    pub fn gather(
        &mut self,
        thread: ThreadId,
        record: &Record,
        view: RecordView<'_>,
        wall_ms: u64,
    ) {
        let Keeping::Home(home) = &self.keeping else { return };
        if self.forgone.contains(&thread) {
            return;
        }
        assert!(self.has_room(thread), "lines of one rollout are gathered at a time");
        let index = match self.open.iter().position(|(id, _)| *id == thread) {
            Some(index) => index,
            None => {
                self.open.push((thread, Rollout::new(home, view.conversation, wall_ms)));
                self.open.len() - 1
            }
        };
        self.gathering = Some(index);
        if let Record::Item(index) = record {
            // Those of a fork's past stand in another rollout, which may have changed.
            self.album.verify(&view.items[index.0 as usize..][..1]);
        }
        let (timestamp, mut holes) = (Rfc3339(wall_ms).to_string(), Holes::new(self.album.lost()));
        let ordinal =
            self.open[index].1.ordinal().map(|next| next.saturating_add(self.lines_count));
        rollout::encode_numbered(record, view, &timestamp, ordinal, &mut holes, &mut self.lines);
        self.holes.extend(holes.into_open());
        self.lines_count += 1;
    }

    /// Writes what is gathered to its rollout, which is made with its first line: all of it or
    /// nothing. Either way nothing is gathered any more.
    pub fn commit(&mut self) -> Result<(), Failure> {
        let Some(index) = self.gathering.take() else { return Ok(()) };
        let lines_count = std::mem::take(&mut self.lines_count);
        if !self.holes.is_empty() {
            return self.commit_filled(index, lines_count);
        }
        let rollout = &mut self.open[index].1;
        let result = rollout.append(&self.lines).map(|()| rollout.count(lines_count));
        self.lines.clear();
        self.lines.shrink_to(ROLLOUT_BATCH_BYTES);
        result
    }

    /// The same with images, which from then on are read back from where they were written.
    fn commit_filled(&mut self, index: usize, lines_count: u64) -> Result<(), Failure> {
        let (thread, rollout) = &mut self.open[index];
        let (lines, holes) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.holes));
        let lines_bytes = lines.len() as u64;
        let mut pour = Pour::new(lines, holes.clone());
        let (album, mut piece, mut lost) = (&self.album, Vec::new(), None);
        let appended = rollout.append_by(&mut |write| {
            loop {
                match pour.pour(album, &mut piece) {
                    Ok(true) => write(&piece)?,
                    Ok(false) => return Ok(()),
                    Err(unread) => {
                        lost = Some(unread.kept);
                        return Err(unread.source);
                    }
                }
                piece.clear();
            }
        });
        if let Some(kept) = lost {
            self.album.lose(kept);
        }
        appended?;
        rollout.count(lines_count);
        let filled_bytes = holes.iter().map(|hole| u64::from(hole.kept.url_bytes)).sum::<u64>();
        let known = rollout.file().and_then(|file| {
            let end_bytes = file.metadata().ok()?.len();
            let source = self.album.source(*thread, file).ok()?;
            Some((source, end_bytes.checked_sub(lines_bytes + filled_bytes)?))
        });
        // Where that cannot be said, images stay where they are.
        let Some((source, mut offset_bytes)) = known else { return Ok(()) };
        for Hole { at, kept } in holes {
            self.album.recorded(kept, source, offset_bytes + at as u64);
            offset_bytes += u64::from(kept.url_bytes);
        }
        Ok(())
    }

    /// Goes on with the rollout of a conversation that was resumed.
    pub fn adopt(&mut self, thread: ThreadId, rollout: Rollout) {
        self.open.push((thread, rollout));
    }

    /// The thread goes on from this as a rollout of its own.
    pub fn fork(&mut self, thread: ThreadId, past: Stretch) {
        self.pasts.insert(thread, past);
    }

    /// Begins to copy the past of a thread into its rollout, if there is one that is to be kept.
    pub fn copy_past(
        &mut self,
        thread: ThreadId,
        view: RecordView<'_>,
        wall_ms: u64,
    ) -> Option<Result<Copying, Failure>> {
        let past = self.pasts.get(&thread).filter(|_| !self.forgone.contains(&thread))?;
        let Keeping::Home(home) = &self.keeping else { return None };
        let path = self.path(thread).map(Path::to_owned);
        let new = || Rollout::new(home, view.conversation, wall_ms).path().to_owned();
        let (timestamp, mut line) = (Rfc3339(wall_ms).to_string(), Vec::new());
        rollout::encode(&Record::Meta, view, &timestamp, &mut Holes::new(&[]), &mut line);
        Some(Copying::begin(past, &path.unwrap_or_else(new), &line))
    }

    /// The past of the thread is in its rollout.
    pub fn copied(&mut self, thread: ThreadId, rollout: Rollout) {
        self.pasts.remove(&thread);
        self.open.retain(|(id, _)| *id != thread);
        self.open.push((thread, rollout));
    }

    /// Keeps nothing of the thread.
    pub fn forgo(&mut self, thread: ThreadId) {
        self.forgone.insert(thread);
    }

    /// Says where the thread will be recorded, before it is.
    pub fn foresee(&mut self, thread: ThreadId, conversation: ConversationId, wall_ms: u64) {
        if let Keeping::Home(home) = &self.keeping
            && self.path(thread).is_none()
        {
            self.open.push((thread, Rollout::new(home, conversation, wall_ms)));
        }
    }

    /// Where the thread is recorded, if it is.
    pub fn path(&self, thread: ThreadId) -> Option<&Path> {
        let open = self.open.iter().find(|(id, _)| *id == thread);
        open.map(|(_, rollout)| rollout.path())
    }

    pub fn keeping(&self) -> &Keeping {
        &self.keeping
    }

    /// Closes the thread's rollout.
    pub fn release(&mut self, thread: ThreadId) {
        assert!(self.gathering.is_none(), "a batch is written before what follows from it is done");
        self.open.retain(|(id, _)| *id != thread);
        self.forgone.remove(&thread);
        self.pasts.remove(&thread);
        self.album.release(thread);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::disk::tests::Place;
    use crate::words::ids::ItemIndex;
    use crate::words::item::{Item, Message, Role};
    use crate::words::samples::settings;

    const ONE: ThreadId = ThreadId { slot: 0, generation: 0 };
    const OTHER: ThreadId = ThreadId { slot: 1, generation: 0 };

    fn gather(rollouts: &mut Rollouts, thread: ThreadId, record: &Record, text: &str) {
        let items = [Item::Message(Message::text(Role::User, text))];
        let conversation = ConversationId([thread.slot as u8; 16]);
        let settings = settings();
        let (forked_from, settings) = (None, &settings);
        let (sub_agent, git) = (None, None);
        let view =
            RecordView { conversation, forked_from, sub_agent, settings, git, items: &items };
        rollouts.gather(thread, record, view, 1_760_000_000_000);
    }

    fn lines(rollouts: &Rollouts, index: usize) -> usize {
        fs::read_to_string(rollouts.open[index].1.path()).map_or(0, |text| text.lines().count())
    }

    #[test]
    fn what_is_gathered_is_written_at_once() {
        let place = Place::new();
        let mut rollouts = Rollouts::new(Keeping::Home(place.path().to_owned()));
        rollouts.commit().unwrap();
        for record in [Record::Meta, Record::TurnContext, Record::Item(ItemIndex(0))] {
            gather(&mut rollouts, ONE, &record, "text");
        }
        assert_eq!(lines(&rollouts, 0), 0);
        rollouts.commit().unwrap();
        assert_eq!(lines(&rollouts, 0), 3);
        rollouts.commit().unwrap();
        assert_eq!(lines(&rollouts, 0), 3);
    }

    #[test]
    fn lines_of_two_rollouts_are_not_mixed() {
        let place = Place::new();
        let mut rollouts = Rollouts::new(Keeping::Home(place.path().to_owned()));
        gather(&mut rollouts, ONE, &Record::Meta, "text");
        assert!(rollouts.has_room(ONE) && !rollouts.has_room(OTHER));
        rollouts.commit().unwrap();
        gather(&mut rollouts, OTHER, &Record::Meta, "text");
        rollouts.commit().unwrap();
        assert_eq!((lines(&rollouts, 0), lines(&rollouts, 1)), (1, 1));
    }

    #[test]
    fn a_batch_is_bounded() {
        let place = Place::new();
        let mut rollouts = Rollouts::new(Keeping::Home(place.path().to_owned()));
        let text = "x".repeat(3 * ROLLOUT_BATCH_BYTES);
        gather(&mut rollouts, ONE, &Record::Item(ItemIndex(0)), &text);
        assert!(!rollouts.has_room(ONE));
        rollouts.commit().unwrap();
        assert!(rollouts.has_room(ONE) && rollouts.lines.capacity() <= ROLLOUT_BATCH_BYTES);
    }

    #[test]
    fn what_cannot_be_written_is_forgotten() {
        let place = Place::new();
        let home = place.file("not-a-directory", "");
        let mut rollouts = Rollouts::new(Keeping::Home(home));
        gather(&mut rollouts, ONE, &Record::Meta, "text");
        assert!(rollouts.commit().is_err());
        assert!(rollouts.commit().is_ok() && rollouts.has_room(OTHER));
    }
}
