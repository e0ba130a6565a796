//! Absolute paths taken literally: component by component, never through a symbolic link.
//!
//! What an earlier command may have put in the way of a path can then fail it, but not redirect it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::c_int;

use crate::sys;

/// Opens what a path names, for nothing but naming it. `ELOOP` if a link is in the way, `ENOENT` if
/// there is no such thing.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    open_names(&components(path)?, 0)
}

/// Opens a directory by the names that lead to it from the root; `ENOTDIR` if it is none.
pub(crate) fn open_directory(names: &[CString]) -> io::Result<OwnedFd> {
    open_names(names, libc::O_DIRECTORY)
}

/// The same of anything, with flags.
pub(crate) fn open_names(names: &[CString], flags: c_int) -> io::Result<OwnedFd> {
    let whole: Vec<u8> = names.iter().flat_map(|name| [b"/", name.as_bytes()].concat()).collect();
    let whole = if whole.is_empty() { b"/".to_vec() } else { whole };
    let whole = CString::new(whole).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let (flags, resolve) = (libc::O_PATH | flags, libc::RESOLVE_NO_SYMLINKS);
    match sys::open_restricted(at_root(), &whole, flags, resolve) {
        // No such call here, or a container refuses it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            walk(names, flags)
        }
        opened => opened,
    }
}

/// The flags are those of the last.
fn walk(names: &[CString], flags: c_int) -> io::Result<OwnedFd> {
    let mut here = sys::open_path(at_root(), c"/")?;
    for name in names {
        here = open_entry(here.as_fd(), name)?;
    }
    if flags & libc::O_DIRECTORY != 0 && sys::file_type(here.as_fd())? != libc::S_IFDIR {
        return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
    }
    Ok(here)
}

/// Opens an entry of a directory, refusing a symbolic link with `ELOOP`.
pub(crate) fn open_entry(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let entry = sys::open_path(directory, name)?;
    if sys::file_type(entry.as_fd())? == libc::S_IFLNK {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    Ok(entry)
}

/// The names of an absolute path, from the root down; `..` is refused with `EINVAL`.
pub(crate) fn components(path: &Path) -> io::Result<Vec<CString>> {
    let bytes = path.as_os_str().as_bytes();
    let names = bytes.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    names
        .map(|name| {
            if name == b".." {
                return Err(invalid());
            }
            CString::new(name).map_err(|_| invalid())
        })
        .collect()
}

/// Absolute paths ignore the directory they are opened at.
pub(crate) fn at_root() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is not a descriptor that anybody could close.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}
