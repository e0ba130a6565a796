//! Walks over the rollouts of a shelf in their order, in slices.
//!
//! Folders are read one after another, and only those that may hold what comes after the mark the
//! walk begins behind. A slice ends after some milliseconds, also in the middle of a folder with
//! very many names; the walk ends with an error when it has looked at too many.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs::ReadDir;
use std::io;
use std::path::{Path, PathBuf};

use crate::host::disk::Failure;
use crate::host::disk::shelf::{Found, Shelf};
use crate::limits::{SHELF_NAMES_MAX, SLICE_COST};
use crate::words::session::{Direction, Mark};

/// Walks over all rollouts of a shelf.
#[derive(Debug)]
pub struct Walk {
    /// Directories being looked through, the deepest last.
    stack: Vec<Level>,
    /// Depth of the root: as deep as leaves only rollouts below it.
    root_depth: usize,
    /// Where to go on: only what comes after it is met.
    after: Option<Mark>,
    direction: Direction,
    /// Names this walk may still look at.
    names_left: u32,
}

#[derive(Debug)]
struct Level {
    directory: PathBuf,
    /// What was not yet read of it.
    entries: Option<ReadDir>,
    /// What is left of it, the next on top.
    names: BinaryHeap<Ranked<String>>,
    /// Only what comes after this is met, if the names that led here are those of the mark.
    bound: Option<String>,
}

/// How far a step got.
#[derive(Debug)]
pub enum Walked {
    Found(Found),
    /// The slice is over.
    More,
    End,
}

/// How much one step of a search may still do.
#[derive(Debug)]
pub struct Slice {
    left: u32,
}

/// A key in a heap that gives what comes first in a list.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Ranked<K> {
    pub(crate) key: K,
    pub(crate) direction: Direction,
}

impl Walk {
    /// Begins with the first, or with what comes after a mark.
    pub fn new(
        home: &Path,
        shelf: Shelf,
        after: Option<Mark>,
        direction: Direction,
    ) -> Result<Walk, Failure> {
        Walk::bounded(home, shelf, after, direction, SHELF_NAMES_MAX)
    }

    /// Goes on to the next rollout, for as long as the slice lasts.
    pub fn step(&mut self, slice: &mut Slice) -> Result<Walked, Failure> {
        loop {
            let depth = self.root_depth + self.stack.len();
            let Some(level) = self.stack.last_mut() else { return Ok(Walked::End) };
            if level.entries.is_some() {
                if slice.is_over() {
                    return Ok(Walked::More);
                }
                slice.spend(1);
                level.read(depth - 1, self.direction, &mut self.names_left)?;
                continue;
            }
            let Some(Ranked { key: name, .. }) = level.names.pop() else {
                self.stack.pop();
                continue;
            };
            let path = level.directory.join(&name);
            if depth < DAY_DEPTH {
                let after = level.bound.as_ref().filter(|bound| **bound == name);
                let bound = after.and(self.after.as_ref()).map(|mark| name_at(mark, depth));
                self.enter(path, bound)?;
            } else if let Some(mark) = Mark::of(&name) {
                return Ok(Walked::Found(Found { path, mark }));
            }
        }
    }

    fn bounded(
        home: &Path,
        shelf: Shelf,
        after: Option<Mark>,
        direction: Direction,
        names_max: u32,
    ) -> Result<Walk, Failure> {
        let root_depth = match shelf {
            Shelf::Dated => 0,
            Shelf::Archive => DAY_DEPTH - 1,
        };
        let bound = after.as_ref().map(|mark| name_at(mark, root_depth));
        let mut walk =
            Walk { stack: Vec::new(), root_depth, after, direction, names_left: names_max };
        walk.enter(shelf.root(home), bound)?;
        Ok(walk)
    }

    /// Begins a directory; what is none holds nothing.
    fn enter(&mut self, directory: PathBuf, bound: Option<String>) -> Result<(), Failure> {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => Some(entries),
            Err(error) => {
                let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
                return match missing.contains(&error.kind()) {
                    true => Ok(()),
                    false => Err(Failure::new(DOING, &directory, error)),
                };
            }
        };
        self.stack.push(Level { directory, entries, names: BinaryHeap::new(), bound });
        Ok(())
    }
}

impl Level {
    /// Takes the next name in the directory if it fits its depth.
    fn read(
        &mut self,
        depth: usize,
        direction: Direction,
        names_left: &mut u32,
    ) -> Result<(), Failure> {
        let failed = |source| Failure::new(DOING, &self.directory, source);
        let Some(entry) = self.entries.as_mut().and_then(Iterator::next) else {
            self.entries = None;
            return Ok(());
        };
        let entry = entry.map_err(failed)?;
        *names_left = names_left.checked_sub(1).ok_or_else(|| {
            failed(io::Error::other("too many sessions to search; name the rollout by its path"))
        })?;
        let Ok(name) = entry.file_name().into_string() else { return Ok(()) };
        let fits = match depth {
            0 => is_number(&name, 4),
            1 | 2 => is_number(&name, 2),
            _ => Mark::of(&name).is_some(),
        };
        let comes_after = self.bound.as_ref().is_none_or(|bound| {
            match direction.compare(&name, bound) {
                Ordering::Less => false,
                // The folder that the mark is in may hold more.
                Ordering::Equal => depth < DAY_DEPTH - 1,
                Ordering::Greater => true,
            }
        });
        if fits && comes_after {
            self.names.push(Ranked { key: name, direction });
        }
        Ok(())
    }
}

impl Default for Slice {
    fn default() -> Slice {
        Slice { left: SLICE_COST }
    }
}

impl Slice {
    pub fn spend(&mut self, cost: u32) {
        self.left = self.left.saturating_sub(cost);
    }

    pub fn is_over(&self) -> bool {
        self.left == 0
    }
}

impl<K: Ord> Ord for Ranked<K> {
    fn cmp(&self, other: &Ranked<K>) -> Ordering {
        self.direction.compare(&other.key, &self.key)
    }
}

impl<K: Ord> PartialOrd for Ranked<K> {
    fn partial_cmp(&self, other: &Ranked<K>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Directories above a rollout: the root, year, month, day.
const DAY_DEPTH: usize = 4;

const DOING: &str = "look through the sessions in";

/// How the folder or file of a rollout at this depth is called.
fn name_at(mark: &Mark, depth: usize) -> String {
    match depth {
        0 => mark.time[..4].to_owned(),
        1 => mark.time[5..7].to_owned(),
        2 => mark.time[8..10].to_owned(),
        _ => format!("rollout-{}-{}.jsonl", mark.time, mark.id),
    }
}

fn is_number(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;
    use crate::words::ids::ConversationId;

    const BOTH: [Direction; 2] = [Direction::NewestFirst, Direction::OldestFirst];

    fn put(place: &Place, time: &str, last: u8) {
        let mark = Mark { time: time.into(), id: id(last) };
        let path = Shelf::Dated.place(place.path(), &mark);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, "").expect("written");
    }

    fn id(last: u8) -> ConversationId {
        let mut bytes = [0x11; 16];
        bytes[15] = last;
        ConversationId(bytes)
    }

    /// Walks to the end in slices of this size.
    fn all(walk: &mut Walk, slice: u32) -> Result<Vec<Mark>, Failure> {
        let mut marks = Vec::new();
        loop {
            match walk.step(&mut Slice { left: slice })? {
                Walked::Found(found) => marks.push(found.mark),
                Walked::More => {}
                Walked::End => return Ok(marks),
            }
        }
    }

    fn after(place: &Place, mark: Option<Mark>, direction: Direction, slice: u32) -> Vec<Mark> {
        let walk = Walk::new(place.path(), Shelf::Dated, mark, direction);
        all(&mut walk.expect("a walk"), slice).expect("walked")
    }

    #[test]
    fn a_walk_goes_on_after_any_mark_without_reading_what_is_before() {
        let place = Place::new();
        let times = ["2024-12-31T23-59-59", "2025-11-06T10-00-00", "2025-11-07T09-00-00"];
        for (last, time) in (0..).zip(times.iter().flat_map(|time| [time; 2])) {
            put(&place, time, last);
        }
        for direction in BOTH {
            let marks = after(&place, None, direction, SLICE_COST);
            assert_eq!(marks.len(), 6);
            assert!(marks.is_sorted_by(|one, next| direction.compare(one, next).is_lt()));
            for slice in [1, 3, SLICE_COST] {
                for (index, mark) in marks.iter().enumerate() {
                    let rest = after(&place, Some(mark.clone()), direction, slice);
                    assert_eq!(rest, marks[index + 1..]);
                }
            }
        }
        let between = Mark { time: "2025-03-01T00-00-00".into(), id: id(0) };
        let newest_first = after(&place, Some(between.clone()), Direction::NewestFirst, 2);
        assert_eq!(newest_first.len(), 2);
        let oldest_first = after(&place, Some(between.clone()), Direction::OldestFirst, 2);
        assert_eq!(oldest_first.len(), 4);
        let walk = Walk::new(place.path(), Shelf::Dated, Some(between), Direction::NewestFirst);
        let mut walk = walk.expect("a walk");
        all(&mut walk, SLICE_COST).expect("walked");
        // Two years, the month and day of the older, and its two files: none of the newer year.
        assert_eq!(SHELF_NAMES_MAX - walk.names_left, 2 + 1 + 2 + 2);
    }

    #[test]
    fn a_walk_that_would_take_too_long_is_given_up() {
        let place = Place::new();
        for last in 0..3 {
            put(&place, "2025-11-07T10-00-00", last);
        }
        let walk_all = |names_max| {
            let newest_first = Direction::NewestFirst;
            let walk = Walk::bounded(place.path(), Shelf::Dated, None, newest_first, names_max);
            all(&mut walk?, 2)
        };
        assert_eq!(walk_all(6).expect("three directories, three files").len(), 3);
        let message = walk_all(5).expect_err("one too many").to_string();
        assert!(message.contains("too many sessions"), "{message}");
    }
}
