//! Moves sessions between the shelves, and takes them away.
//!
//! Only rollouts on a shelf are touched, under the names they were given, and only while nobody
//! else has them open.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::host::disk::Failure;
use crate::host::disk::rollout;
use crate::host::disk::shelf::Shelf;
use crate::words::session::Mark;

/// A rollout on a shelf that nobody else has open.
#[derive(Debug)]
pub struct Taken {
    path: PathBuf,
    mark: Mark,
    /// Holds the lock.
    _file: File,
}

impl Taken {
    /// Takes a rollout off one of these shelves.
    pub fn take(home: &Path, shelves: &[Shelf], path: &Path) -> Result<Taken, Failure> {
        let failed = |source| Failure::new("open the session", path, source);
        let path = &path.canonicalize().map_err(failed)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let mark = name
            .and_then(Mark::of)
            .ok_or_else(|| failed(io::Error::other("its name is not that of a session")))?;
        let is_on = |shelf: &Shelf| {
            let root = shelf.root(home).canonicalize();
            root.is_ok_and(|root| path.starts_with(root))
        };
        if !shelves.iter().any(is_on) {
            let names: Vec<String> =
                shelves.iter().map(|shelf| shelf.root(home).display().to_string()).collect();
            let message = format!("it is not in {}", names.join(" or "));
            return Err(failed(io::Error::other(message)));
        }
        let file = rollout::open_alone(path).map_err(failed)?;
        Ok(Taken { path: path.clone(), mark, _file: file })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it where it belongs on another shelf; gives its new path.
    pub fn put(self, home: &Path, shelf: Shelf) -> Result<PathBuf, Failure> {
        let place = shelf.place(home, &self.mark);
        let failed = |source| Failure::new("move the session to", &place, source);
        if let Some(directory) = place.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        if place.symlink_metadata().is_ok() {
            return Err(failed(io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        fs::rename(&self.path, &place).map_err(failed)?;
        Ok(place)
    }

    /// Removes it for good.
    pub fn delete(self) -> Result<(), Failure> {
        fs::remove_file(&self.path)
            .map_err(|source| Failure::new("delete the session", &self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::rollout::Rollout;
    use crate::host::disk::tests::Place;
    use crate::words::ids::ConversationId;

    const BOTH: [Shelf; 2] = [Shelf::Dated, Shelf::Archive];

    fn session(place: &Place) -> (Rollout, PathBuf) {
        let mut rollout = Rollout::new(place.path(), ConversationId([7; 16]), 1_762_509_600_123);
        rollout.append(b"{}\n").expect("appended");
        let path = rollout.path().to_owned();
        (rollout, path)
    }

    #[test]
    fn a_session_goes_into_the_archive_and_back() {
        let place = Place::new();
        let home = place.path();
        let (rollout, path) = session(&place);
        let message = Taken::take(home, &BOTH, &path).expect_err("in use").to_string();
        assert!(message.contains("in use by another process"), "{message}");
        drop(rollout);
        let taken = Taken::take(home, &[Shelf::Dated], &path).expect("free");
        let archived = taken.put(home, Shelf::Archive).expect("moved");
        assert_eq!(archived, home.join("archived_sessions").join(path.file_name().expect("one")));
        assert!(!path.exists() && archived.exists());
        Taken::take(home, &[Shelf::Dated], &archived).expect_err("archived already");
        let taken = Taken::take(home, &[Shelf::Archive], &archived).expect("there");
        assert_eq!(taken.put(home, Shelf::Dated).expect("moved back"), path);
        Taken::take(home, &BOTH, &path).expect("there").delete().expect("deleted");
        assert!(!path.exists());
    }

    #[test]
    fn nothing_but_sessions_is_touched_and_nothing_is_replaced() {
        let place = Place::new();
        let home = place.path();
        let (rollout, path) = session(&place);
        drop(rollout);
        let name = path.file_name().expect("one").to_str().expect("text").to_owned();
        let outside = place.file(&format!("elsewhere/{name}"), "{}\n");
        let link = path.with_file_name(name.replace("0707", "0708"));
        std::os::unix::fs::symlink(&outside, &link).expect("a link");
        let other = place.file("sessions/2025/11/07/notes.txt", "");
        for path in [&outside, &link, &other, &home.join("sessions/missing")] {
            Taken::take(home, &BOTH, path).expect_err("no session of ours");
        }
        place.file(&format!("archived_sessions/{name}"), "kept");
        let taken = Taken::take(home, &BOTH, &path).expect("free");
        let failure = taken.put(home, Shelf::Archive).expect_err("there is one");
        assert_eq!(failure.source.kind(), io::ErrorKind::AlreadyExists);
        let kept = fs::read_to_string(home.join("archived_sessions").join(name));
        assert_eq!(kept.expect("there"), "kept");
    }

    #[test]
    fn what_was_deleted_meanwhile_is_not_gone_on_with() {
        let place = Place::new();
        let (rollout, path) = session(&place);
        drop(rollout);
        let file = File::open(&path).expect("open");
        fs::remove_file(&path).expect("deleted");
        assert!(rollout::still_there(&file).is_err());
    }
}
