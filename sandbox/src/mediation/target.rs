//! The thread that made a supervised call: its memory, its directories, its descriptors.
//!
//! Everything here is reached by the thread's number below `/proc` and may have changed since the
//! call was made. So what is read is copied once, what is named is pinned by a descriptor, and only
//! the copy and the pin are judged and acted on. Afterwards the notification must still be valid,
//! else the number may have meant another process.
//!
//! Paths are resolved by the kernel in one go unless they lead through links of the process file
//! system such as `/proc/self/fd/3`, which mean something else to us than to the command; those are
//! walked name by name.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use libc::{c_int, pid_t};

use super::kernel;
use crate::limits::{LINKS_COUNT_MAX, PATH_BYTES_MAX};
use crate::sys;

/// Memory is readable or not by pages at least this large.
const PAGE_BYTES: u64 = 4096;

/// The inode of the top of a process file system (`PROC_ROOT_INO`).
const PROC_TOP_INODE: u64 = 1;

/// What a call names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A descriptor itself; `AT_FDCWD` is the current directory.
    Descriptor(c_int),
    Path {
        directory: c_int,
        path: CString,
        last: Last,
    },
}

/// What becomes of a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Followed,
    Itself,
}

/// A thread that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    thread: pid_t,
}

impl Target {
    pub(super) fn new(thread: pid_t) -> Target {
        Target { thread }
    }

    /// Copies memory; all of it or `EFAULT`.
    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut copied = 0;
        while copied < buffer.len() {
            let from = address.checked_add(copied as u64).ok_or_else(fault)?;
            match self.read_some(from, &mut buffer[copied..])? {
                0 => return Err(fault()),
                count => copied += count,
            }
        }
        Ok(())
    }

    /// A string that ends within `bytes_max` bytes, its NUL included; else `ENAMETOOLONG`.
    pub(super) fn read_string(&self, address: u64, bytes_max: usize) -> io::Result<CString> {
        let mut bytes = Vec::with_capacity(256);
        while bytes.len() < bytes_max {
            let from = address.checked_add(bytes.len() as u64).ok_or_else(fault)?;
            // The rest of the page, since the next one need not be there.
            let page_rest = (PAGE_BYTES - from % PAGE_BYTES) as usize;
            let piece = page_rest.min(256).min(bytes_max - bytes.len());
            let start = bytes.len();
            bytes.resize(start + piece, 0);
            let count = self.read_some(from, &mut bytes[start..])?;
            if count == 0 {
                return Err(fault());
            }
            bytes.truncate(start + count);
            if let Some(end) = bytes[start..].iter().position(|&byte| byte == 0) {
                bytes.truncate(start + end);
                return CString::new(bytes).map_err(|_| fault());
            }
        }
        Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG))
    }

    pub(super) fn read_path(&self, address: u64) -> io::Result<CString> {
        self.read_string(address, PATH_BYTES_MAX)
    }

    /// A descriptor of ours for what the call names.
    pub(super) fn pin(&self, named: &Named) -> io::Result<OwnedFd> {
        match named {
            Named::Descriptor(number) => self.pin_number(*number),
            Named::Path { path, .. } if path.is_empty() => {
                Err(io::Error::from_raw_os_error(libc::ENOENT))
            }
            Named::Path { directory, path, last } => {
                let is_absolute = path.to_bytes().first() == Some(&b'/');
                let base = if is_absolute { self.root()? } else { self.pin_number(*directory)? };
                self.resolve(base, path, *last)
            }
        }
    }

    fn read_some(&self, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match kernel::copy_memory(self.thread, address, buffer) {
            Ok(count) => Ok(count),
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Err(fault()),
            // Containers may refuse the call; the file is the same memory.
            Err(_) => {
                let memory = File::open(format!("/proc/{}/mem", self.thread))?;
                memory.read_at(buffer, address).map_err(|_| fault())
            }
        }
    }

    fn pin_number(&self, number: c_int) -> io::Result<OwnedFd> {
        let thread = self.thread;
        if number == libc::AT_FDCWD {
            return open_pin(&format!("/proc/{thread}/cwd"));
        }
        open_pin(&format!("/proc/{thread}/fd/{number}")).map_err(|error| {
            let is_closed = error.raw_os_error() == Some(libc::ENOENT);
            if is_closed { io::Error::from_raw_os_error(libc::EBADF) } else { error }
        })
    }

    fn root(&self) -> io::Result<OwnedFd> {
        open_pin(&format!("/proc/{}/root", self.thread))
    }

    fn resolve(&self, base: OwnedFd, path: &CStr, last: Last) -> io::Result<OwnedFd> {
        let is_absolute = path.to_bytes().first() == Some(&b'/');
        let within = if is_absolute { libc::RESOLVE_IN_ROOT } else { 0 };
        let resolve = within | libc::RESOLVE_NO_MAGICLINKS;
        match sys::open_restricted(base.as_fd(), path, last.flags(), resolve) {
            // Too many links, one of another kind, or no such call here: the walk tells.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOSYS)) => {
                self.walk(base, path, last)
            }
            opened => opened,
        }
    }

    /// Resolves a path name by name, as the kernel would do for the thread itself.
    fn walk(&self, base: OwnedFd, path: &CStr, last: Last) -> io::Result<OwnedFd> {
        let mut here = base;
        let mut links = 0;
        let mut names = Names::of(path.to_bytes());
        while let Some(name) = names.next() {
            let is_last = names.is_empty();
            let entry = sys::open_path(here.as_fd(), &name)?;
            let is_link = sys::file_type(entry.as_fd())? == libc::S_IFLNK;
            if !is_link || (is_last && last == Last::Itself && !names.ends_in_directory) {
                here = entry;
                continue;
            }
            links += 1;
            if links > LINKS_COUNT_MAX {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            match self.follow(here.as_fd(), &name)? {
                Step::To(place) => here = place,
                Step::By(text) => {
                    if text.first() == Some(&b'/') {
                        here = self.root()?;
                    }
                    names.prepend(&text);
                    if names.bytes > PATH_BYTES_MAX * 2 {
                        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
                    }
                }
            }
        }
        if names.ends_in_directory && sys::file_type(here.as_fd())? != libc::S_IFDIR {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
        }
        Ok(here)
    }

    fn follow(&self, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Step> {
        if kernel::is_of_processes(directory)? {
            let top = File::from(directory.try_clone_to_owned()?).metadata()?;
            let is_self = name == c"self" || name == c"thread-self";
            if is_self && top.ino() == PROC_TOP_INODE {
                return Ok(Step::By(self.thread.to_string().into_bytes()));
            }
            let resolve = libc::RESOLVE_NO_MAGICLINKS;
            let plain = sys::open_restricted(directory, name, libc::O_PATH, resolve);
            let errno = plain.err().and_then(|error| error.raw_os_error());
            if matches!(errno, Some(libc::ELOOP | libc::ENOSYS)) {
                return sys::open_at(directory, name, libc::O_PATH).map(Step::To);
            }
        }
        let mut text = vec![0; PATH_BYTES_MAX];
        let len = kernel::read_link(directory, name, &mut text)?;
        text.truncate(len);
        Ok(Step::By(text))
    }
}

impl Last {
    fn flags(self) -> c_int {
        match self {
            Last::Followed => libc::O_PATH,
            Last::Itself => libc::O_PATH | libc::O_NOFOLLOW,
        }
    }
}

/// Where a link leads.
enum Step {
    To(OwnedFd),
    By(Vec<u8>),
}

/// The names of a path that are still to be walked.
struct Names {
    names: VecDeque<CString>,
    /// Bytes of all of them. Invariant: checked against a bound after each `prepend`.
    bytes: usize,
    ends_in_directory: bool,
}

impl Names {
    fn of(path: &[u8]) -> Names {
        let ends_in_directory = path.ends_with(b"/") || path.ends_with(b"/.");
        let mut names = Names { names: VecDeque::new(), bytes: 0, ends_in_directory };
        names.prepend(path);
        names
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn next(&mut self) -> Option<CString> {
        let name = self.names.pop_front()?;
        self.bytes -= name.as_bytes().len();
        Some(name)
    }

    fn prepend(&mut self, path: &[u8]) {
        for name in path.rsplit(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            // No NUL: the bytes come from a C string or a link.
            let Ok(name) = CString::new(name) else { continue };
            self.bytes += name.as_bytes().len();
            self.names.push_front(name);
        }
    }
}

fn open_pin(path: &str) -> io::Result<OwnedFd> {
    let path = CString::new(path).map_err(|_| fault())?;
    sys::open(&path, libc::O_PATH)
}

fn fault() -> io::Error {
    io::Error::from_raw_os_error(libc::EFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    fn us() -> Target {
        Target::new(sys::pid())
    }

    fn check_path(path: &str, last: Last, expected: Result<&str, i32>) {
        let path = CString::new(path).unwrap();
        for walks in [false, true] {
            let pinned = if walks {
                us().walk(us().root().unwrap(), &path, last)
            } else {
                let directory = libc::AT_FDCWD;
                us().pin(&Named::Path { directory, path: path.clone(), last })
            };
            let found = pinned.map_err(|error| error.raw_os_error().unwrap()).map(|fd| {
                let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
                std::fs::read_link(link).unwrap().to_str().unwrap().to_owned()
            });
            assert_eq!(found.as_deref().map_err(|errno| *errno), expected, "{path:?} {walks}");
        }
    }

    #[test]
    fn memory_is_copied_whole_or_not_at_all() {
        let bytes = vec![7_u8; 10_000];
        let mut copy = vec![0; 10_000];
        us().read(bytes.as_ptr() as u64, &mut copy).unwrap();
        assert_eq!(copy, bytes);
        assert_eq!(us().read(8, &mut copy).unwrap_err().raw_os_error(), Some(libc::EFAULT));
        assert_eq!(us().read(u64::MAX, &mut copy).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }

    #[test]
    fn strings_end_within_their_bound() {
        let long = CString::new(vec![b'a'; PATH_BYTES_MAX - 1]).unwrap();
        assert_eq!(us().read_path(long.as_ptr() as u64).unwrap(), long);
        let longer = CString::new(vec![b'a'; PATH_BYTES_MAX]).unwrap();
        let error = us().read_path(longer.as_ptr() as u64).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
        assert!(us().read_path(c"".as_ptr() as u64).unwrap().is_empty());
        assert_eq!(us().read_path(0).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }

    #[test]
    fn a_walk_finds_what_the_kernel_finds() {
        let place = std::env::temp_dir().canonicalize().unwrap();
        let place = place.join(format!("windlass-walk-{}", std::process::id()));
        std::fs::create_dir_all(place.join("a/b")).unwrap();
        std::fs::write(place.join("a/b/file"), "").unwrap();
        symlink("a/b", place.join("near")).unwrap();
        symlink(place.join("a"), place.join("far")).unwrap();
        symlink("round", place.join("round")).unwrap();
        let at = |rest: &str| format!("{}/{rest}", place.display());
        let file = at("a/b/file");
        for path in ["near/file", "far/b/file", "far/../a//b/./file", "a/b/../../near/file"] {
            check_path(&at(path), Last::Followed, Ok(&file));
        }
        check_path(&at("near"), Last::Itself, Ok(&at("near")));
        check_path(&at("near"), Last::Followed, Ok(&at("a/b")));
        check_path(&at("near/"), Last::Itself, Ok(&at("a/b")));
        check_path(&at("a/b/file/"), Last::Followed, Err(libc::ENOTDIR));
        check_path(&at("none"), Last::Followed, Err(libc::ENOENT));
        check_path(&at("round"), Last::Followed, Err(libc::ELOOP));
        let open = File::open(&file).unwrap();
        for start in ["/proc/self", "/proc/thread-self", "/dev"] {
            let path = format!("{start}/fd/{}", open.as_raw_fd());
            if start != "/dev" || std::path::Path::new("/dev/fd").exists() {
                check_path(&path, Last::Followed, Ok(&file));
            }
        }
        std::fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn a_closed_number_and_an_empty_path_are_errors() {
        let error = us().pin(&Named::Descriptor(1 << 20)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        let path = CString::default();
        let named = Named::Path { directory: libc::AT_FDCWD, path, last: Last::Followed };
        assert_eq!(us().pin(&named).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
