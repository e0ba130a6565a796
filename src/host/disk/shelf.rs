//! Where the rollouts are: finds one by its id, or the newest.
//!
//! ```text
//! sessions/2025/11/07/rollout-2025-11-07T11-00-00-01990000-0000-7000-8000-0000000000aa.jsonl
//! archived_sessions/rollout-2025-11-06T10-00-00-01990000-0000-7000-8000-000000000022.jsonl
//! ```
//!
//! Names alone tell order and id; names of another shape are passed over. A search looks at a
//! bounded number of names, so that it takes milliseconds, and says so when that was not enough.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::host::disk::{self, Failure};
use crate::limits::{ROLLOUT_META_BYTES_MAX, SHELF_NAMES_MAX, SHELF_OPENED_MAX};
use crate::wire::time::Civil;
use crate::words::ids::ConversationId;

/// A rollout by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub mark: Mark,
}

/// A place in the order of rollouts: by local time of birth, then by id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Of the form `2025-11-07T10-00-00`.
    pub time: Box<str>,
    pub id: ConversationId,
}

/// One of the two folders that hold rollouts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shelf {
    /// Sessions in folders by year, month and day.
    Dated,
    /// Archived ones, side by side.
    Archive,
}

/// Walks over all rollouts of a shelf, the newest first.
#[derive(Debug)]
pub struct Walk {
    /// Directories being looked through, the deepest last.
    stack: Vec<Level>,
    /// Depth of the root: as deep as leaves only rollouts below it.
    root_depth: usize,
    /// Where to go on: only what comes after it is met.
    after: Option<Mark>,
    /// Names this walk may still look at.
    names_left: u32,
}

#[derive(Debug)]
struct Level {
    directory: PathBuf,
    /// What is left of it, the newest last.
    names: Vec<String>,
    /// Whether the names that led here are those of the mark to go on from.
    is_edge: bool,
}

/// The rollout of a conversation.
pub fn find(home: &Path, shelf: Shelf, id: ConversationId) -> Result<Option<PathBuf>, Failure> {
    if let Some(path) = find_by_time(home, shelf, id) {
        return Ok(Some(path));
    }
    let mut walk = Walk::new(home, shelf, None)?;
    while let Some(found) = walk.advance()? {
        if found.mark.id == id {
            return Ok(Some(found.path));
        }
    }
    Ok(None)
}

/// The newest rollout, or the newest of those begun in a directory.
pub fn newest(home: &Path, shelf: Shelf, cwd: Option<&str>) -> Result<Option<PathBuf>, Failure> {
    let mut walk = Walk::new(home, shelf, None)?;
    let mut opened = 0;
    while let Some(found) = walk.advance()? {
        let Some(cwd) = cwd else { return Ok(Some(found.path)) };
        if opened >= SHELF_OPENED_MAX {
            let message = format!("none of the newest {SHELF_OPENED_MAX} began in {cwd}");
            return Err(Failure::new("search the sessions in", home, io::Error::other(message)));
        }
        opened += 1;
        // A rollout that cannot be read is not the one that is looked for.
        if begun_in(&found.path).ok().flatten().as_deref() == Some(cwd) {
            return Ok(Some(found.path));
        }
    }
    Ok(None)
}

impl Shelf {
    pub fn root(self, home: &Path) -> PathBuf {
        match self {
            Shelf::Dated => home.join("sessions"),
            Shelf::Archive => home.join("archived_sessions"),
        }
    }

    /// Where a rollout of this name belongs.
    pub fn place(self, home: &Path, mark: &Mark) -> PathBuf {
        let Mark { time, id } = mark;
        let root = self.root(home);
        let directory = match self {
            Shelf::Dated => root.join(time[..DATE_BYTES].replace('-', "/")),
            Shelf::Archive => root,
        };
        directory.join(format!("rollout-{time}-{id}.jsonl"))
    }
}

impl Mark {
    /// What the name of a rollout says.
    pub fn of(name: &str) -> Option<Mark> {
        Mark::read(name.strip_prefix("rollout-")?.strip_suffix(".jsonl")?, '-')
    }

    /// Reads `2025-11-07T10-00-00|01990000-0000-7000-8000-0000000000aa`.
    pub fn of_cursor(cursor: &str) -> Option<Mark> {
        Mark::read(cursor, '|')
    }

    pub fn cursor(&self) -> String {
        format!("{}|{}", self.time, self.id)
    }

    fn read(text: &str, separator: char) -> Option<Mark> {
        let (time, id) = text.split_at_checked(TIME_SHAPE.len())?;
        let mut shape = time.bytes().zip(TIME_SHAPE).map(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            wanted => byte == *wanted,
        });
        if !shape.all(|fits| fits) {
            return None;
        }
        Some(Mark { time: time.into(), id: id.strip_prefix(separator)?.parse().ok()? })
    }

    /// How the folder or file at this depth is called.
    fn name_at(&self, depth: usize) -> String {
        match depth {
            0 => self.time[..4].to_owned(),
            1 => self.time[5..7].to_owned(),
            2 => self.time[8..10].to_owned(),
            _ => format!("rollout-{}-{}.jsonl", self.time, self.id),
        }
    }
}

impl Walk {
    /// Begins with the newest, or with what comes after a mark.
    pub fn new(home: &Path, shelf: Shelf, after: Option<Mark>) -> Result<Walk, Failure> {
        Walk::bounded(home, shelf, after, SHELF_NAMES_MAX)
    }

    /// The next rollout.
    pub fn advance(&mut self) -> Result<Option<Found>, Failure> {
        loop {
            let depth = self.root_depth + self.stack.len();
            let Some(level) = self.stack.last_mut() else { return Ok(None) };
            let Some(name) = level.names.pop() else {
                self.stack.pop();
                continue;
            };
            let path = level.directory.join(&name);
            let is_edge = level.is_edge;
            if depth < DAY_DEPTH {
                let after = self.after.as_ref().filter(|_| is_edge);
                let is_edge = after.is_some_and(|mark| mark.name_at(depth - 1) == name);
                self.enter(path, depth, is_edge)?;
            } else if let Some(mark) = Mark::of(&name) {
                return Ok(Some(Found { path, mark }));
            }
        }
    }

    fn bounded(
        home: &Path,
        shelf: Shelf,
        after: Option<Mark>,
        names_max: u32,
    ) -> Result<Walk, Failure> {
        let root_depth = match shelf {
            Shelf::Dated => 0,
            Shelf::Archive => DAY_DEPTH - 1,
        };
        let is_edge = after.is_some();
        let mut walk = Walk { stack: Vec::new(), root_depth, after, names_left: names_max };
        walk.enter(shelf.root(home), root_depth, is_edge)?;
        Ok(walk)
    }

    /// Takes the names in a directory that fit their depth, in order; none if it is not a
    /// directory.
    fn enter(&mut self, directory: PathBuf, depth: usize, is_edge: bool) -> Result<(), Failure> {
        let failed = |source| Failure::new("look through the sessions in", &directory, source);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
                let missing = missing.contains(&error.kind());
                return if missing { Ok(()) } else { Err(failed(error)) };
            }
        };
        let bound = self.after.as_ref().filter(|_| is_edge).map(|mark| mark.name_at(depth));
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Some(left) = self.names_left.checked_sub(1) else {
                return Err(failed(io::Error::other(
                    "too many sessions to search; name the rollout by its path",
                )));
            };
            self.names_left = left;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let fits = match depth {
                0 => is_number(&name, 4),
                1 | 2 => is_number(&name, 2),
                _ => Mark::of(&name).is_some(),
            };
            let comes_after = bound.as_ref().is_none_or(|bound| match depth {
                0..=2 => name <= *bound,
                _ => name < *bound,
            });
            if fits && comes_after {
                names.push(name);
            }
        }
        names.sort_unstable();
        self.stack.push(Level { directory, names, is_edge });
        Ok(())
    }
}

/// Directories above a rollout: the root, year, month, day.
const DAY_DEPTH: usize = 4;

const TIME_SHAPE: &[u8] = b"0000-00-00T00-00-00";
const DATE_BYTES: usize = "0000-00-00".len();
const DAY_SECONDS: i32 = 86_400;

fn is_number(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The rollout of a conversation whose id tells when it began (RFC 9562, version 7), if it lies
/// where it was put: in the folder of that day, in whatever zone.
fn find_by_time(home: &Path, shelf: Shelf, id: ConversationId) -> Option<PathBuf> {
    if shelf != Shelf::Dated || id.0[6] >> 4 != 7 {
        return None;
    }
    let begun_ms = id.0[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte));
    let ending = format!("-{id}.jsonl");
    [0, -DAY_SECONDS, DAY_SECONDS].iter().find_map(|ahead_seconds| {
        let Civil { year, month, day, .. } = Civil::local(begun_ms, *ahead_seconds);
        let day = shelf.root(home).join(format!("{year:04}/{month:02}/{day:02}"));
        // What cannot be read here is told by the search through everything.
        let entries = std::fs::read_dir(day).ok()?.take(SHELF_NAMES_MAX as usize);
        let mut names = entries.filter_map(|entry| Some(entry.ok()?.path()));
        names.find(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(&ending) && Mark::of(name).is_some()
        })
    })
}

/// The working directory in the first line of a rollout.
fn begun_in(path: &Path) -> io::Result<Option<String>> {
    let Some(mut file) = disk::open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    let end = loop {
        let count = match file.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        let newline = chunk[..count].iter().position(|byte| *byte == b'\n');
        let end = newline.map(|newline| bytes.len() + newline);
        bytes.extend_from_slice(&chunk[..count]);
        if end.is_some() || count == 0 || bytes.len() > ROLLOUT_META_BYTES_MAX {
            break end;
        }
    };
    let Some(end) = end else { return Ok(None) };
    let line: Value = match serde_json::from_slice(&bytes[..end]) {
        Ok(line) => line,
        Err(_) => return Ok(None),
    };
    let is_meta = line["type"] == "session_meta";
    let cwd = line["payload"]["cwd"].as_str().filter(|_| is_meta);
    Ok(cwd.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;

    fn id(last: u8) -> ConversationId {
        let mut bytes = [0x11; 16];
        bytes[15] = last;
        ConversationId(bytes)
    }

    /// A rollout begun in a directory, at a time of the form `2025-11-07T10-00-00`.
    fn rollout(place: &Place, time: &str, last: u8, cwd: &str) -> PathBuf {
        let day = time[..10].replace('-', "/");
        let name = format!("sessions/{day}/rollout-{time}-{}.jsonl", id(last));
        let meta = format!("{{\"type\":\"session_meta\",\"payload\":{{\"cwd\":\"{cwd}\"}}}}\n");
        place.file(&name, meta)
    }

    #[test]
    fn rollouts_are_found_by_id_and_in_order() {
        let place = Place::new();
        let oldest = rollout(&place, "2024-12-31T23-59-59", 1, "/a");
        let older = rollout(&place, "2025-11-06T10-00-00", 2, "/a");
        let newer = rollout(&place, "2025-11-07T09-00-00", 3, "/b");
        let newest_path = rollout(&place, "2025-11-07T10-00-00", 4, "/c");
        for noise in ["sessions/x/1", "sessions/2025/13x/1", "sessions/2025/11/07/rollout-x.jsonl"]
        {
            place.file(noise, "");
        }
        place.file("sessions/2026", "not a directory");
        let home = place.path();
        assert_eq!(find(home, Shelf::Dated, id(1)).expect("searched"), Some(oldest));
        assert_eq!(find(home, Shelf::Dated, id(9)).expect("searched"), None);
        assert_eq!(newest(home, Shelf::Dated, None).expect("searched"), Some(newest_path));
        assert_eq!(newest(home, Shelf::Dated, Some("/b")).expect("searched"), Some(newer));
        assert_eq!(newest(home, Shelf::Dated, Some("/a")).expect("searched"), Some(older));
        assert_eq!(newest(home, Shelf::Dated, Some("/d")).expect("searched"), None);
    }

    #[test]
    fn a_walk_goes_on_after_any_mark_without_reading_what_is_newer() {
        let place = Place::new();
        let times = ["2024-12-31T23-59-59", "2025-11-06T10-00-00", "2025-11-07T09-00-00"];
        for (last, time) in (0..).zip(times.iter().flat_map(|time| [time; 2])) {
            rollout(&place, time, last, "/a");
        }
        let all = |after: Option<Mark>| {
            let mut walk = Walk::new(place.path(), Shelf::Dated, after).expect("a walk");
            let next = || walk.advance().expect("walked").map(|found| found.mark);
            std::iter::from_fn(next).collect::<Vec<_>>()
        };
        let marks = all(None);
        assert_eq!(marks.len(), 6);
        for (index, mark) in marks.iter().enumerate() {
            assert_eq!(all(Mark::of_cursor(&mark.cursor())), marks[index + 1..]);
        }
        let between = Mark { time: "2025-03-01T00-00-00".into(), id: id(0) };
        assert_eq!(all(Some(between.clone())), marks[4..]);
        let mut walk = Walk::new(place.path(), Shelf::Dated, Some(between)).expect("a walk");
        while walk.advance().expect("walked").is_some() {}
        // Two years, the month and day of the older, and its two files: none of the newer year.
        assert_eq!(SHELF_NAMES_MAX - walk.names_left, 2 + 1 + 2 + 2);
    }

    #[test]
    fn a_rollout_is_found_by_the_time_in_its_id_alone() {
        let place = Place::new();
        let id = ConversationId::v7(1_762_509_600_123, [0; 10]);
        for day in ["2025/11/06", "2025/11/07", "2025/11/08"] {
            let name = format!("rollout-{}T10-00-00-{id}.jsonl", day.replace('/', "-"));
            let path = place.file(&format!("sessions/{day}/{name}"), "");
            assert_eq!(find_by_time(place.path(), Shelf::Dated, id), Some(path.clone()));
            assert_eq!(find(place.path(), Shelf::Dated, id).expect("found"), Some(path.clone()));
            std::fs::remove_file(path).expect("gone");
        }
        assert_eq!(find_by_time(place.path(), Shelf::Dated, id), None);
    }

    #[test]
    fn an_empty_home_has_no_rollouts() {
        let place = Place::new();
        assert_eq!(find(place.path(), Shelf::Dated, id(1)).expect("searched"), None);
        assert_eq!(newest(place.path(), Shelf::Dated, None).expect("searched"), None);
    }

    #[test]
    fn rollouts_without_a_readable_first_line_are_passed_over() {
        let place = Place::new();
        let readable = rollout(&place, "2025-11-07T10-00-00", 1, "/a");
        let over = format!("{{\"x\":\"{}\"}}\n", "x".repeat(ROLLOUT_META_BYTES_MAX));
        let broken = ["", "{", "not JSON\n", "{\"payload\":{\"cwd\":\"/a\"}}\n", "[]\n", &over];
        for (index, text) in broken.iter().enumerate() {
            let path = rollout(&place, "2025-11-08T10-00-00", 10 + index as u8, "/a");
            std::fs::write(path, text).expect("written");
        }
        assert_eq!(
            newest(place.path(), Shelf::Dated, Some("/a")).expect("searched"),
            Some(readable)
        );
    }

    #[test]
    fn a_search_that_would_take_too_long_is_given_up() {
        let place = Place::new();
        for last in 0..3 {
            rollout(&place, "2025-11-07T10-00-00", last, "/a");
        }
        let walk_all = |names_max| {
            let mut walk = Walk::bounded(place.path(), Shelf::Dated, None, names_max)?;
            while walk.advance()?.is_some() {}
            Ok::<(), Failure>(())
        };
        walk_all(6).expect("three directories, three files");
        let message = walk_all(5).expect_err("one too many").to_string();
        assert!(message.contains("too many sessions"), "{message}");
    }

    #[test]
    fn too_many_rollouts_of_other_directories_are_not_all_opened() {
        let place = Place::new();
        rollout(&place, "2025-11-06T10-00-00", 0, "/mine");
        let day = place.directory("sessions/2025/11/07");
        for index in 0..SHELF_OPENED_MAX {
            let mut bytes = [0x22; 16];
            bytes[..4].copy_from_slice(&index.to_be_bytes());
            let name = format!("rollout-2025-11-07T10-00-00-{}.jsonl", ConversationId(bytes));
            std::fs::write(day.join(name), "").expect("written");
        }
        let message =
            newest(place.path(), Shelf::Dated, Some("/mine")).expect_err("too many").to_string();
        assert!(message.contains("none of the newest"), "{message}");
    }

    #[test]
    fn names_of_another_shape_are_no_rollouts() {
        let id = "01990000-0000-7000-8000-0000000000aa";
        assert!(Mark::of(&format!("rollout-2025-11-07T10-00-00-{id}.jsonl")).is_some());
        for name in [
            format!("rollout-2025-11-07T10-00-00{id}.jsonl"),
            format!("rollout-2025-11-07 10-00-00-{id}.jsonl"),
            format!("rollout-2025-11-07T10-00-00-{id}.jsonl.bak"),
            "rollout-.jsonl".to_owned(),
            "rollout-2025-11-07T10-00-0ä-x.jsonl".to_owned(),
        ] {
            assert!(Mark::of(&name).is_none(), "{name}");
        }
    }
}
