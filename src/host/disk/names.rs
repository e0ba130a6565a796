//! Names that people give their sessions, in one file for all programs of the home.
//!
//! A line for each naming is added at the end, and the last one of a session counts. A file that
//! has grown too long is written anew without the names that were replaced.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::host::disk::replacing::{self, Readers};
use crate::host::disk::{self, Failure};
use crate::limits::{NAMES_BYTES_MAX, NAMES_READ_BYTES_MAX};
use crate::wire::json::{self, Fields};
use crate::wire::time::Rfc3339;
use crate::words::ids::ConversationId;

/// What sessions are called.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Names(BTreeMap<ConversationId, Named>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Named {
    name: Box<str>,
    /// When, as it stands there.
    at: Box<str>,
}

impl Names {
    /// Reads all names; none, if there is no file.
    pub fn read(home: &Path) -> Result<Names, Failure> {
        let path = path(home);
        let failed = |source| Failure::new("read the names of sessions in", &path, source);
        let bytes = disk::read_whole(&path, NAMES_READ_BYTES_MAX).map_err(failed)?;
        let mut names = Names::default();
        for line in bytes.unwrap_or_default().split(|byte| *byte == b'\n') {
            names.take(line);
        }
        Ok(names)
    }

    pub fn of(&self, id: ConversationId) -> Option<&str> {
        self.0.get(&id).map(|named| &*named.name)
    }

    /// Names a session.
    pub fn set(
        mut self,
        home: &Path,
        id: ConversationId,
        name: &str,
        wall_ms: u64,
    ) -> Result<(), Failure> {
        let named = Named { name: name.into(), at: Rfc3339(wall_ms).to_string().into() };
        let mut line = Vec::new();
        write_line(id, &named, &mut line);
        let path = path(home);
        let length = path.metadata().map_or(0, |known| known.len());
        if length + line.len() as u64 <= NAMES_BYTES_MAX as u64 {
            let failed = |source| Failure::new("write", &path, source);
            return append(&path, &line).map_err(failed);
        }
        self.0.insert(id, named);
        let mut text = Vec::new();
        for (id, named) in &self.0 {
            write_line(*id, named, &mut text);
        }
        if text.len() > NAMES_BYTES_MAX {
            let source = io::Error::other("it holds as many names as it can");
            return Err(Failure::new("write", &path, source));
        }
        replacing::replace(&path, &String::from_utf8_lossy(&text), Readers::Owner)
    }

    fn take(&mut self, line: &[u8]) {
        let Ok(line) = str::from_utf8(line) else { return };
        let Ok([id, name, at]) = json::pick(line, ["id", "thread_name", "updated_at"]) else {
            return;
        };
        let id = id.and_then(json::text).and_then(|id| id.parse().ok());
        if let (Some(id), Some(name)) = (id, name.and_then(json::boxed)) {
            self.0.insert(id, Named { name, at: at.and_then(json::boxed).unwrap_or_default() });
        }
    }
}

fn path(home: &Path) -> PathBuf {
    home.join("session_index.jsonl")
}

fn write_line(id: ConversationId, named: &Named, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("id", &id.to_string());
    fields.text("thread_name", &named.name);
    fields.text("updated_at", &named.at);
    fields.close();
    out.push(b'\n');
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK);
    options.open(path)?.write_all(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;

    const ONE: ConversationId = ConversationId([1; 16]);
    const OTHER: ConversationId = ConversationId([2; 16]);

    fn set(place: &Place, id: ConversationId, name: &str) -> Result<(), Failure> {
        Names::read(place.path()).expect("read").set(place.path(), id, name, 0)
    }

    #[test]
    fn the_last_name_of_a_session_counts() {
        let place = Place::new();
        assert_eq!(Names::read(place.path()).expect("read"), Names::default());
        for (id, name) in [(ONE, "a"), (OTHER, "b \"quoted\"\n"), (ONE, "c")] {
            set(&place, id, name).expect("named");
        }
        let names = Names::read(place.path()).expect("read");
        assert_eq!((names.of(ONE), names.of(OTHER)), (Some("c"), Some("b \"quoted\"\n")));
        let text = std::fs::read_to_string(path(place.path())).expect("text");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn lines_of_another_shape_are_passed_over() {
        let place = Place::new();
        place.file("session_index.jsonl", b"\xff\n{}\n{\"id\":\"x\",\"thread_name\":\"y\"}\n");
        assert_eq!(Names::read(place.path()).expect("read"), Names::default());
    }

    #[test]
    fn a_file_that_has_grown_too_long_is_written_anew() {
        let place = Place::new();
        let long = "x".repeat(NAMES_BYTES_MAX / 4);
        for _ in 0..9 {
            set(&place, ONE, &long).expect("named");
        }
        let length = path(place.path()).metadata().expect("there").len();
        assert!(length <= NAMES_BYTES_MAX as u64, "{length}");
        for number in 0..3 {
            let id = ConversationId([10 + number; 16]);
            let result = set(&place, id, &long);
            assert_eq!(result.is_ok(), number < 2, "{number}");
        }
        assert_eq!(Names::read(place.path()).expect("read").of(ONE), Some(&*long));
    }
}
