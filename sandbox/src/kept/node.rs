//! What a name led to: looked at, compared, and put back.
//!
//! Whether a file has changed is told by its time of change, which a command cannot set; only what
//! changed right before the look is compared by its content. What is put back is made under another
//! name and exchanged for what is there, so that the name leads to one or the other at any time.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::calls;
use super::look::{Cursor, damaged};
use crate::limits::{KEPT_BYTES_MAX, KEPT_DEPTH_MAX, KEPT_ENTRIES_COUNT_MAX, SET_ASIDE_COUNT_MAX};
use crate::sys;

/// Permissions, without the type.
const MODE_BITS: u32 = 0o7777;

/// Times of change are as fine as the ticks of the kernel, which are 10 ms at most; with as much
/// again for file systems that do it in their own way.
const TICK_NS: i64 = 20_000_000;

const SECOND_NS: i64 = 1_000_000_000;

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Missing,
    File { sign: Sign, content: Vec<u8> },
    Link { target: CString },
    Directory { sign: Sign, entries: Vec<(CString, Node)> },
}

/// What a change of a file or a directory would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sign {
    device: u64,
    inode: u64,
    size: i64,
    links: u64,
    mode: u32,
    user: u32,
    group: u32,
    changed: (i64, i64),
    /// It changed right before it was looked at, and a change right after could look the same.
    is_fresh: bool,
}

/// What may still be kept.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    entries: usize,
    depth: usize,
    now: (i64, i64),
}

impl Budget {
    pub(super) fn new() -> Budget {
        Budget {
            bytes: KEPT_BYTES_MAX,
            entries: KEPT_ENTRIES_COUNT_MAX,
            depth: KEPT_DEPTH_MAX,
            now: calls::now(),
        }
    }

    /// Takes so many files or directories, of so many bytes together, off what is left.
    pub(super) fn spend(&mut self, entries: usize, bytes: usize) -> io::Result<()> {
        self.entries = self.entries.checked_sub(entries).ok_or_else(too_much)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(too_much)?;
        Ok(())
    }

    /// Goes into a directory.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        self.depth = self.depth.checked_sub(1).ok_or_else(too_much)?;
        Ok(())
    }

    /// Goes back out of it.
    pub(super) fn leave(&mut self) {
        self.depth += 1;
    }
}

impl Sign {
    fn of(stat: &libc::stat, now: (i64, i64)) -> Sign {
        let changed = (stat.st_ctime, stat.st_ctime_nsec);
        let age_ns = now.0.saturating_sub(changed.0).saturating_mul(SECOND_NS);
        let age_ns = age_ns.saturating_add(now.1 - changed.1);
        Sign {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            links: links(stat),
            mode: stat.st_mode,
            user: stat.st_uid,
            group: stat.st_gid,
            changed,
            is_fresh: age_ns < TICK_NS,
        }
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let words = [
            self.device,
            self.inode,
            self.size.cast_unsigned(),
            self.links,
            self.mode.into(),
            self.user.into(),
            self.group.into(),
            self.changed.0.cast_unsigned(),
            self.changed.1.cast_unsigned(),
            self.is_fresh.into(),
        ];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> io::Result<Sign> {
        let small = |word: u64| u32::try_from(word).map_err(|_| damaged());
        Ok(Sign {
            device: cursor.number()?,
            inode: cursor.number()?,
            size: cursor.number()?.cast_signed(),
            links: cursor.number()?,
            mode: small(cursor.number()?)?,
            user: small(cursor.number()?)?,
            group: small(cursor.number()?)?,
            changed: (cursor.number()?.cast_signed(), cursor.number()?.cast_signed()),
            is_fresh: cursor.number()? != 0,
        })
    }

    /// Whether a look shows that nothing has changed at all.
    fn is_on(&self, stat: &libc::stat) -> bool {
        let found = Sign::of(stat, self.changed);
        !self.is_fresh && Sign { is_fresh: false, ..found } == *self
    }

    /// Whether what is found may be what was there. A file with more names than before could be
    /// changed by those.
    fn is_like(&self, stat: &libc::stat) -> bool {
        let is_directory = self.mode & libc::S_IFMT == libc::S_IFDIR;
        let fits = is_directory || (stat.st_size, true) == (self.size, self.has_links(stat));
        stat.st_mode == self.mode && fits
    }

    fn has_links(&self, stat: &libc::stat) -> bool {
        links(stat) <= self.links
    }
}

impl Node {
    /// Looks at a name. `E2BIG` if that is more than is kept, `ENOTSUP` for what cannot be.
    pub(super) fn of(place: BorrowedFd<'_>, name: &CStr, left: &mut Budget) -> io::Result<Node> {
        let stat = match calls::stat(place, name) {
            Ok(stat) => stat,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Node::Missing),
            Err(error) => return Err(error),
        };
        left.spend(1, 0)?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => {
                let (sign, content) = read(place, name, left.bytes, left.now)?;
                left.spend(0, content.len())?;
                Ok(Node::File { sign, content })
            }
            libc::S_IFLNK => {
                let target = calls::read_link(place, name)?;
                left.spend(0, target.len())?;
                let target = CString::new(target).map_err(|_| too_much())?;
                Ok(Node::Link { target })
            }
            libc::S_IFDIR => {
                left.enter()?;
                let listing = open_listing(place, name)?;
                let here = listing.try_clone()?;
                let mut names = sys::names(listing, left.entries)?;
                names.sort_unstable();
                let mut entries = Vec::with_capacity(names.len());
                for name in names {
                    let node = Node::of(here.as_fd(), &name, left)?;
                    entries.push((name, node));
                }
                left.leave();
                Ok(Node::Directory { sign: Sign::of(&stat, left.now), entries })
            }
            _ => Err(io::Error::from_raw_os_error(libc::ENOTSUP)),
        }
    }

    /// Makes a name lead to this again. Whether it had to be changed.
    pub(super) fn restore(&self, place: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
        // What cannot be looked at any more is not what it was.
        if self.is_at(place, name).unwrap_or(false) {
            return Ok(false);
        }
        if matches!(self, Node::Missing) {
            return displace(place, name);
        }
        let spare = spare_name(name, "new")?;
        if let Err(error) = self.build(place, &spare) {
            // Without room for it, what was put there must at least not stay.
            self.remove(place, &spare);
            displace(place, name)?;
            return Err(error);
        }
        match calls::rename(place, &spare, name, libc::RENAME_EXCHANGE) {
            Ok(()) => set_aside(place, &spare, name)?,
            // Nothing is there, or the file system lacks the exchange.
            Err(_) => {
                displace(place, name)?;
                calls::rename(place, &spare, name, 0)?;
            }
        }
        Ok(true)
    }

    /// Whether a name leads to this now.
    pub(super) fn is_at(&self, place: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
        let stat = match calls::stat(place, name) {
            Ok(stat) => stat,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                return Ok(matches!(self, Node::Missing));
            }
            Err(error) => return Err(error),
        };
        match self {
            Node::Missing => Ok(false),
            Node::Link { target } => {
                let is_link = stat.st_mode & libc::S_IFMT == libc::S_IFLNK;
                Ok(is_link && calls::read_link(place, name)? == target.as_bytes())
            }
            Node::File { sign, .. } if sign.is_on(&stat) => Ok(true),
            Node::File { sign, content } => {
                let is_like = sign.is_like(&stat);
                Ok(is_like && read(place, name, content.len(), (0, 0))?.1 == *content)
            }
            Node::Directory { sign, entries } => {
                if !sign.is_like(&stat) {
                    return Ok(false);
                }
                let listing = open_listing(place, name)?;
                let here = listing.try_clone()?;
                if !sign.is_on(&stat) {
                    let mut names = sys::names(listing, entries.len())?;
                    names.sort_unstable();
                    if !names.iter().eq(entries.iter().map(|(name, _)| name)) {
                        return Ok(false);
                    }
                }
                for (name, node) in entries {
                    if !node.is_at(here.as_fd(), name)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    fn build(&self, place: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        match self {
            Node::Missing => Ok(()),
            Node::Link { target } => calls::make_link(place, name, target),
            Node::File { sign, content } => {
                let mut file = File::from(calls::create(place, name)?);
                file.write_all(content)?;
                sign.give(file.as_fd())
            }
            Node::Directory { sign, entries } => {
                calls::make_directory(place, name, 0o700)?;
                let here = open_listing(place, name)?;
                for (name, node) in entries {
                    node.build(here.as_fd(), name)?;
                }
                sign.give(here.as_fd())
            }
        }
    }

    /// Removes as much of it as was built. What stays behind has a name that means nothing.
    fn remove(&self, place: BorrowedFd<'_>, name: &CStr) {
        if let Node::Directory { entries, .. } = self
            && let Ok(here) = open_listing(place, name)
        {
            entries.iter().for_each(|(name, node)| node.remove(here.as_fd(), name));
        }
        let is_directory = matches!(self, Node::Directory { .. });
        let _ = calls::remove(place, name, if is_directory { libc::AT_REMOVEDIR } else { 0 });
    }
}

impl Sign {
    /// Gives owner and permissions to what was made anew.
    fn give(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // Without privileges it may stay our own, like all that a command makes.
        let _ = calls::set_owner(fd, self.user, self.group);
        calls::set_mode(fd, self.mode & MODE_BITS)
    }
}

/// Takes whatever a name leads to out of its way. Whether there was anything.
pub(super) fn displace(place: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    match calls::stat(place, name) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    set_aside(place, name, name)?;
    Ok(true)
}

/// Gives something a name that says what it was: `config.undone`, then `config.undone2`.
fn set_aside(place: BorrowedFd<'_>, from: &CStr, name: &CStr) -> io::Result<()> {
    let mut last = too_much();
    for count in 1..=SET_ASIDE_COUNT_MAX {
        let suffix = if count == 1 { String::new() } else { count.to_string() };
        let aside = with_suffix(name, &format!(".undone{suffix}"))?;
        match calls::rename(place, from, &aside, libc::RENAME_NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => last = error,
            // A file system without this kind of rename.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return calls::rename(place, from, &spare_name(name, "undone")?, 0);
            }
            Err(error) => return Err(error),
        }
    }
    // All are taken; one more is nobody's doing but the command's.
    calls::rename(place, from, &spare_name(name, "undone")?, 0).map_err(|_| last)
}

/// A name that nobody else uses by chance.
fn spare_name(name: &CStr, what: &str) -> io::Result<CString> {
    let (seconds, part) = calls::now();
    with_suffix(name, &format!(".{what}-{}-{seconds}{part:09}", sys::pid()))
}

fn with_suffix(name: &CStr, suffix: &str) -> io::Result<CString> {
    CString::new([name.to_bytes(), suffix.as_bytes()].concat())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Reads a file, which is what it was said to be if it still is one.
fn read(
    place: BorrowedFd<'_>,
    name: &CStr,
    bytes_max: usize,
    now: (i64, i64),
) -> io::Result<(Sign, Vec<u8>)> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = sys::open_at(place, name, flags)?;
    let stat = sys::stat(file.as_fd())?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(io::Error::from_raw_os_error(libc::ENOTSUP));
    }
    let len = usize::try_from(stat.st_size).ok().filter(|len| *len <= bytes_max);
    let mut content = Vec::with_capacity(len.ok_or_else(too_much)? + 1);
    File::from(file).take(bytes_max as u64 + 1).read_to_end(&mut content)?;
    if content.len() > bytes_max {
        return Err(too_much());
    }
    Ok((Sign::of(&stat, now), content))
}

/// How many names a file has.
#[allow(clippy::unnecessary_cast, reason = "the type differs between machines")]
fn links(stat: &libc::stat) -> u64 {
    stat.st_nlink as u64
}

fn open_listing(place: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    sys::open_at(place, name, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_DIRECTORY)
}

fn too_much() -> io::Error {
    io::Error::from_raw_os_error(libc::E2BIG)
}
