//! One look at protected paths for all commands that overlap.
//!
//! Whoever looked while another command runs would take what that one planted for what was there,
//! and put it back after the other's supervisor removed it. Therefore the agent makes a file in
//! memory when the first command starts that is to keep something, hands it to the launchers of all
//! that start until the last has ended, and drops it then. A launcher looks only at paths that are
//! not in it yet, and adds them. Paths are absolute, so that commands of different policies share.
//!
//! ```text
//! used u64 | record ...
//! record = root u32 | nested u32 (0, 1) | path bytes | node            bytes = length u32, so many
//! node   = 0 (missing) | 1 sign bytes (file) | 2 bytes (link)
//!        | 3 sign count u32, so many: name bytes, node (directory) | 4 (not kept)
//! sign   = ten u64
//! ```
//!
//! Only what lies within `used` counts, which is written last: a launcher may be killed while it
//! adds. The last record of a path counts. Nobody but launchers can reach the file. Launchers
//! exclude each other by a lock that ends with its process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::Item;
use super::calls;
use super::node::{Budget, Node};
use crate::limits::{LOOK_BYTES_MAX, PATH_BYTES_MAX};
use crate::sys;

/// Where records begin.
const HEADER_BYTES: u64 = 8;

/// What commands that overlap have found at protected paths, to be handed to each of them.
#[derive(Debug)]
pub struct Look {
    file: File,
}

/// What was found, by path.
pub(super) type Found = BTreeMap<PathBuf, Record>;

/// What was found at one path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// How many names lead to the writable root that it lies below.
    pub(super) fixed_count: usize,
    /// Whether it may go with the repository that it belongs to.
    pub(super) is_nested: bool,
    /// `None` if it cannot be kept, which no later look changes.
    pub(super) node: Option<Node>,
}

impl Look {
    /// A look in which nothing was found yet.
    pub fn new() -> io::Result<Look> {
        Ok(Look { file: File::from(sys::memory_file(c"windlass-look")?) })
    }

    /// The one that was put at this number for this process.
    pub(crate) fn inherited(number: RawFd) -> io::Result<Look> {
        Ok(Look { file: File::from(sys::inherited(number)?) })
    }

    /// Keeps all other launchers from it until the result is dropped.
    pub(super) fn hold(&self) -> io::Result<Held<'_>> {
        calls::lock(self.file.as_fd(), libc::F_WRLCK)?;
        let mut held = Held { file: &self.file, used: HEADER_BYTES, fresh: Vec::new() };
        let mut header = [0; HEADER_BYTES as usize];
        if sys::file_size(self.file.as_fd())? >= HEADER_BYTES {
            self.file.read_exact_at(&mut header, 0)?;
            // Zero if whoever added first was killed over it.
            held.used = u64::from_le_bytes(header).max(HEADER_BYTES);
        }
        Ok(held)
    }
}

impl AsFd for Look {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A look that nobody else reads or adds to.
#[derive(Debug)]
pub(super) struct Held<'a> {
    file: &'a File,
    /// Invariant: `HEADER_BYTES <= used`.
    used: u64,
    /// What is yet to be written.
    fresh: Vec<u8>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A failure would leave the lock until we end.
        let _ = calls::lock(self.file.as_fd(), libc::F_UNLCK);
    }
}

impl Held<'_> {
    /// The same, and all that was found.
    pub(super) fn with_found(self) -> io::Result<(Self, Found)> {
        let found = self.found()?;
        Ok((self, found))
    }

    /// Up to where there is something.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// All that was found. An error if that is damaged: then nothing of it can be trusted.
    pub(super) fn found(&self) -> io::Result<Found> {
        let len = self.used.checked_sub(HEADER_BYTES).and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|len| *len <= LOOK_BYTES_MAX).ok_or_else(damaged)?;
        if len == 0 {
            return Ok(Found::new());
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, HEADER_BYTES)?;
        let mut cursor = Cursor { rest: &bytes };
        let mut found = Found::new();
        while !cursor.rest.is_empty() {
            let (path, record) = cursor.record()?;
            found.insert(path, record);
        }
        Ok(found)
    }

    /// Takes what was found at a path, for `write`. `EFBIG` if there is no room for it.
    pub(super) fn add(&mut self, item: &Item, node: Option<&Node>) -> io::Result<()> {
        let mut bytes = Vec::new();
        put_count(&mut bytes, item.fixed_count)?;
        put_count(&mut bytes, usize::from(item.is_nested))?;
        put_bytes(&mut bytes, item.path.as_os_str().as_bytes())?;
        match node {
            Some(node) => node.encode(&mut bytes)?,
            None => bytes.push(KIND_NOT_KEPT),
        }
        if self.used + (self.fresh.len() + bytes.len()) as u64 > LOOK_BYTES_MAX as u64 {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        self.fresh.append(&mut bytes);
        Ok(())
    }

    /// Adds all that was taken.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let fresh = std::mem::take(&mut self.fresh);
        let used = self.used + fresh.len() as u64;
        self.file.write_all_at(&fresh, self.used)?;
        self.file.write_all_at(&used.to_le_bytes(), 0)?;
        self.used = used;
        Ok(())
    }
}

pub(super) const KIND_MISSING: u8 = 0;
pub(super) const KIND_FILE: u8 = 1;
pub(super) const KIND_LINK: u8 = 2;
pub(super) const KIND_DIRECTORY: u8 = 3;
const KIND_NOT_KEPT: u8 = 4;

/// What is still to be read of a look.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn record(&mut self) -> io::Result<(PathBuf, Record)> {
        let fixed_count = self.count()?;
        let is_nested = self.count()? != 0;
        let path = self.bytes()?;
        if path.len() > PATH_BYTES_MAX || path.first() != Some(&b'/') {
            return Err(damaged());
        }
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        let node = match self.rest.first() {
            Some(&KIND_NOT_KEPT) => {
                self.kind()?;
                None
            }
            _ => Some(Node::decode(self, &mut Budget::new())?),
        };
        Ok((path, Record { fixed_count, is_nested, node }))
    }

    fn take(&mut self, len: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn word<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut word = [0; N];
        word.copy_from_slice(self.take(N)?);
        Ok(word)
    }

    pub(super) fn kind(&mut self) -> io::Result<u8> {
        Ok(self.word::<1>()?[0])
    }

    pub(super) fn number(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.word()?))
    }

    pub(super) fn count(&mut self) -> io::Result<usize> {
        Ok(u32::from_le_bytes(self.word()?) as usize)
    }

    pub(super) fn bytes(&mut self) -> io::Result<&'a [u8]> {
        let len = self.count()?;
        self.take(len)
    }
}

pub(super) fn put_count(bytes: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let count = u32::try_from(count).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    bytes.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

pub(super) fn put_bytes(bytes: &mut Vec<u8>, string: &[u8]) -> io::Result<()> {
    put_count(bytes, string.len())?;
    bytes.extend_from_slice(string);
    Ok(())
}

pub(super) fn damaged() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADMSG)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().canonicalize().unwrap();
        let path = path.join(format!("windlass-look-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        path
    }

    fn item(path: &str, fixed_count: usize) -> Item {
        Item::of(0, Path::new(path), fixed_count).unwrap()
    }

    fn node(directory: &Path, name: &str) -> Node {
        let here = sys::open_at(
            crate::paths::at_root(),
            &std::ffi::CString::new(directory.as_os_str().as_bytes()).unwrap(),
            libc::O_PATH | libc::O_DIRECTORY,
        );
        let name = std::ffi::CString::new(name).unwrap();
        Node::of(here.unwrap().as_fd(), &name, &mut Budget::new()).unwrap()
    }

    #[test]
    fn what_was_added_is_found_and_the_last_counts() {
        let place = place("added");
        std::fs::create_dir_all(place.join("d/e")).unwrap();
        std::fs::write(place.join("d/e/file"), "content").unwrap();
        std::os::unix::fs::symlink("x", place.join("d/link")).unwrap();
        let (tree, nothing) = (node(&place, "d"), node(&place, "none"));
        let look = Look::new().unwrap();
        let mut held = look.hold().unwrap();
        assert!(held.found().unwrap().is_empty());
        held.add(&item("/a", 2), Some(&tree)).unwrap();
        held.add(&item("/b", 0), None).unwrap();
        held.add(&item("/c", 1), Some(&tree)).unwrap();
        held.add(&item("/c", 1), Some(&nothing)).unwrap();
        held.write().unwrap();
        drop(held);
        let held = look.hold().unwrap();
        let found = held.found().unwrap();
        assert_eq!(
            found[Path::new("/a")],
            Record { fixed_count: 2, is_nested: false, node: Some(tree) }
        );
        assert_eq!(found[Path::new("/b")], Record { fixed_count: 0, is_nested: false, node: None });
        assert_eq!(found[Path::new("/c")].node, Some(nothing));
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn whatever_the_file_holds_is_an_error_at_worst() {
        let place = place("damaged");
        std::fs::write(place.join("file"), "content").unwrap();
        let look = Look::new().unwrap();
        let mut held = look.hold().unwrap();
        held.add(&item("/a", 2), Some(&node(&place, "file"))).unwrap();
        held.add(&item("/b", 2), Some(&node(&place, "none"))).unwrap();
        held.write().unwrap();
        let used = held.used;
        drop(held);
        let mut whole = vec![0; used as usize];
        look.file.read_exact_at(&mut whole, 0).unwrap();
        for cut in HEADER_BYTES..used {
            look.file.write_all_at(&cut.to_le_bytes(), 0).unwrap();
            let found = look.hold().unwrap().found();
            assert!(found.is_err() || found.unwrap().len() < 2, "cut at {cut}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                look.file.write_all_at(&bytes, 0).unwrap();
                // What is not refused is bounded.
                let _ = look.hold().unwrap().found();
            }
        }
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn what_was_not_added_to_the_end_does_not_count() {
        let look = Look::new().unwrap();
        look.file.write_all_at(&[0; 50], 0).unwrap();
        let mut held = look.hold().unwrap();
        assert!(held.found().unwrap().is_empty());
        held.add(&item("/a", 0), None).unwrap();
        held.write().unwrap();
        look.file.write_all_at(&[9; 50], held.used).unwrap();
        assert_eq!(held.found().unwrap().len(), 1);
    }

    #[test]
    fn a_look_is_bounded() {
        let look = Look::new().unwrap();
        let mut held = look.hold().unwrap();
        let target = std::ffi::CString::new(vec![b'x'; LOOK_BYTES_MAX / 2 + 1]).unwrap();
        let link = Node::Link { target };
        held.add(&item("/a", 0), Some(&link)).unwrap();
        let error = held.add(&item("/b", 0), Some(&link)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
        held.write().unwrap();
        // More than may be kept is no look of ours.
        assert!(held.found().is_err());
    }
}
