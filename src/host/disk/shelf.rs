//! Where the rollouts are: finds one by its id, or the newest.
//!
//! ```text
//! sessions/2025/11/07/rollout-2025-11-07T11-00-00-01990000-0000-7000-8000-0000000000aa.jsonl
//! archived_sessions/rollout-2025-11-06T10-00-00-01990000-0000-7000-8000-000000000022.jsonl
//! ```
//!
//! Names alone tell order and id; names of another shape are passed over. A search goes on in
//! slices of milliseconds, looks at a bounded number of names, and says so when that was not
//! enough.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::host::disk::walk::{Slice, Walk, Walked};
use crate::host::disk::{self, Failure};
use crate::limits::{OPENED_COST, ROLLOUT_META_BYTES_MAX, SHELF_NAMES_MAX, SHELF_OPENED_MAX};
use crate::wire::time::Civil;
use crate::words::ids::ConversationId;
use crate::words::session::{Direction, Mark};

/// A rollout by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub mark: Mark,
}

/// One of the two folders that hold rollouts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shelf {
    /// Sessions in folders by year, month and day.
    Dated,
    /// Archived ones, side by side.
    Archive,
}

/// A search for one rollout, in slices.
#[derive(Debug)]
pub struct Search {
    home: PathBuf,
    walk: Walk,
    goal: Goal,
}

#[derive(Debug)]
enum Goal {
    Id(ConversationId),
    /// Where it was found at once.
    Here(PathBuf),
    Newest,
    NewestIn {
        cwd: Box<str>,
        opened_count: u32,
    },
}

/// How far a search has got.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sought {
    More,
    Found(PathBuf),
    Nothing,
}

/// The rollout of a conversation, searched for to the end.
pub fn find(home: &Path, shelf: Shelf, id: ConversationId) -> Result<Option<PathBuf>, Failure> {
    Search::by_id(home, shelf, id)?.finished()
}

/// The newest rollout, or the newest of those begun in a directory; searched for to the end.
pub fn newest(home: &Path, shelf: Shelf, cwd: Option<&str>) -> Result<Option<PathBuf>, Failure> {
    Search::newest(home, shelf, cwd)?.finished()
}

impl Search {
    /// For the rollout of a conversation.
    pub fn by_id(home: &Path, shelf: Shelf, id: ConversationId) -> Result<Search, Failure> {
        let goal = find_by_time(home, shelf, id).map_or(Goal::Id(id), Goal::Here);
        Search::begin(home, shelf, goal)
    }

    /// For the newest, or the newest of those begun in a directory.
    pub fn newest(home: &Path, shelf: Shelf, cwd: Option<&str>) -> Result<Search, Failure> {
        let goal = match cwd {
            Some(cwd) => Goal::NewestIn { cwd: cwd.into(), opened_count: 0 },
            None => Goal::Newest,
        };
        Search::begin(home, shelf, goal)
    }

    /// Looks on for as long as it may.
    pub fn step(&mut self, slice: &mut Slice) -> Result<Sought, Failure> {
        loop {
            if let Goal::Here(path) = &self.goal {
                return Ok(Sought::Found(path.clone()));
            }
            let found = match self.walk.step(slice)? {
                Walked::Found(found) => found,
                Walked::More => return Ok(Sought::More),
                Walked::End => return Ok(Sought::Nothing),
            };
            match &mut self.goal {
                Goal::Id(id) if found.mark.id != *id => {}
                Goal::Id(_) | Goal::Here(_) | Goal::Newest => {
                    return Ok(Sought::Found(found.path));
                }
                Goal::NewestIn { cwd, opened_count } => {
                    if *opened_count >= SHELF_OPENED_MAX {
                        let why = format!("none of the newest {SHELF_OPENED_MAX} began in {cwd}");
                        let source = io::Error::other(why);
                        return Err(Failure::new("search the sessions in", &self.home, source));
                    }
                    *opened_count += 1;
                    slice.spend(OPENED_COST);
                    // A rollout that cannot be read is not the one that is looked for.
                    if begun_in(&found.path).ok().flatten().as_deref() == Some(cwd) {
                        return Ok(Sought::Found(found.path));
                    }
                }
            }
        }
    }

    fn begin(home: &Path, shelf: Shelf, goal: Goal) -> Result<Search, Failure> {
        let walk = Walk::new(home, shelf, None, Direction::NewestFirst)?;
        Ok(Search { home: home.to_owned(), walk, goal })
    }

    fn finished(mut self) -> Result<Option<PathBuf>, Failure> {
        loop {
            match self.step(&mut Slice::default())? {
                Sought::More => {}
                Sought::Found(path) => return Ok(Some(path)),
                Sought::Nothing => return Ok(None),
            }
        }
    }
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

const DATE_BYTES: usize = "0000-00-00".len();
const DAY_SECONDS: i32 = 86_400;

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
}
