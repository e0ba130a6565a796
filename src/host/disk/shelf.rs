//! Where the rollouts are: finds one by its id, or the newest.
//!
//! ```text
//! sessions/2025/11/07/rollout-2025-11-07T11-00-00-01990000-0000-7000-8000-0000000000aa.jsonl
//! ```
//!
//! Names alone tell order and id; names of another shape are passed over. A search looks at a
//! bounded number of names, so that it takes milliseconds, and says so when that was not enough.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::host::disk::{self, Failure};
use crate::limits::{ROLLOUT_META_BYTES_MAX, SHELF_NAMES_MAX, SHELF_OPENED_MAX};
use crate::words::ids::ConversationId;

/// A rollout by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub id: ConversationId,
}

/// Walks over all rollouts, the newest first.
#[derive(Debug)]
pub struct Walk {
    /// Directories being looked through, and the names left in each, the newest last.
    stack: Vec<(PathBuf, Vec<String>)>,
    /// Names this walk may still look at.
    names_left: u32,
}

/// The rollout of a conversation.
pub fn find(home: &Path, id: ConversationId) -> Result<Option<PathBuf>, Failure> {
    let mut walk = Walk::new(home)?;
    while let Some(found) = walk.advance()? {
        if found.id == id {
            return Ok(Some(found.path));
        }
    }
    Ok(None)
}

/// The newest rollout, or the newest of those begun in a directory.
pub fn newest(home: &Path, cwd: Option<&str>) -> Result<Option<PathBuf>, Failure> {
    let mut walk = Walk::new(home)?;
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

impl Walk {
    pub fn new(home: &Path) -> Result<Walk, Failure> {
        Walk::bounded(home, SHELF_NAMES_MAX)
    }

    /// The next rollout.
    pub fn advance(&mut self) -> Result<Option<Found>, Failure> {
        loop {
            let depth = self.stack.len();
            let Some((directory, names)) = self.stack.last_mut() else { return Ok(None) };
            let Some(name) = names.pop() else {
                self.stack.pop();
                continue;
            };
            let path = directory.join(&name);
            if depth < DAY_DEPTH {
                let names = self.list(&path, depth)?;
                self.stack.push((path, names));
            } else if let Some(id) = id_of(&name) {
                return Ok(Some(Found { path, id }));
            }
        }
    }

    fn bounded(home: &Path, names_max: u32) -> Result<Walk, Failure> {
        let mut walk = Walk { stack: Vec::new(), names_left: names_max };
        let root = home.join("sessions");
        let names = walk.list(&root, 0)?;
        walk.stack.push((root, names));
        Ok(walk)
    }

    /// The names in a directory that fit their depth, in order; none if it is not a directory.
    fn list(&mut self, directory: &Path, depth: usize) -> Result<Vec<String>, Failure> {
        let failed = |source| Failure::new("look through the sessions in", directory, source);
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
                let missing = missing.contains(&error.kind());
                return if missing { Ok(Vec::new()) } else { Err(failed(error)) };
            }
        };
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
                _ => id_of(&name).is_some(),
            };
            if fits {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Directories above a rollout: the root, year, month, day.
const DAY_DEPTH: usize = 4;

fn is_number(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id in the name of a rollout.
fn id_of(name: &str) -> Option<ConversationId> {
    let name = name.strip_prefix("rollout-")?.strip_suffix(".jsonl")?;
    let (time, id) = name.split_at_checked("2025-11-07T10-00-00".len())?;
    let shape = time.bytes().zip(*b"0000-00-00T00-00-00");
    let mut shape = shape.map(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        wanted => byte == wanted,
    });
    if !shape.all(|fits| fits) {
        return None;
    }
    id.strip_prefix('-')?.parse().ok()
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
        assert_eq!(find(home, id(1)).expect("searched"), Some(oldest));
        assert_eq!(find(home, id(9)).expect("searched"), None);
        assert_eq!(newest(home, None).expect("searched"), Some(newest_path));
        assert_eq!(newest(home, Some("/b")).expect("searched"), Some(newer));
        assert_eq!(newest(home, Some("/a")).expect("searched"), Some(older));
        assert_eq!(newest(home, Some("/d")).expect("searched"), None);
    }

    #[test]
    fn an_empty_home_has_no_rollouts() {
        let place = Place::new();
        assert_eq!(find(place.path(), id(1)).expect("searched"), None);
        assert_eq!(newest(place.path(), None).expect("searched"), None);
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
        assert_eq!(newest(place.path(), Some("/a")).expect("searched"), Some(readable));
    }

    #[test]
    fn a_search_that_would_take_too_long_is_given_up() {
        let place = Place::new();
        for last in 0..3 {
            rollout(&place, "2025-11-07T10-00-00", last, "/a");
        }
        let walk_all = |names_max| {
            let mut walk = Walk::bounded(place.path(), names_max)?;
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
        let message = newest(place.path(), Some("/mine")).expect_err("too many").to_string();
        assert!(message.contains("none of the newest"), "{message}");
    }

    #[test]
    fn names_of_another_shape_are_no_rollouts() {
        let id = "01990000-0000-7000-8000-0000000000aa";
        assert!(id_of(&format!("rollout-2025-11-07T10-00-00-{id}.jsonl")).is_some());
        for name in [
            format!("rollout-2025-11-07T10-00-00{id}.jsonl"),
            format!("rollout-2025-11-07 10-00-00-{id}.jsonl"),
            format!("rollout-2025-11-07T10-00-00-{id}.jsonl.bak"),
            "rollout-.jsonl".to_owned(),
            "rollout-2025-11-07T10-00-0ä-x.jsonl".to_owned(),
        ] {
            assert!(id_of(&name).is_none(), "{name}");
        }
    }
}
