//! The system calls of keeping as safe functions, beside those of `sys`.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_long, c_uint};

use crate::limits::PATH_BYTES_MAX;
use crate::sys;

fn done(value: c_int) -> io::Result<()> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What is known of a name without opening it. A link is itself.
pub(super) fn stat(place: BorrowedFd<'_>, name: &CStr) -> io::Result<libc::stat> {
    // SAFETY: the structure is plain integers, for which zeros are a valid value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    let place = place.as_raw_fd();
    // SAFETY: `name` is NUL-terminated and `stat` a valid place for the result.
    done(unsafe { libc::fstatat(place, name.as_ptr(), &raw mut stat, flags) })?;
    Ok(stat)
}

/// The time that files are given, in seconds and nanoseconds.
pub(super) fn now() -> (i64, i64) {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the result; the clock exists on every kernel we know of,
    // and where not, all files look fresh, which costs a comparison.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    (now.tv_sec, now.tv_nsec)
}

/// Makes a file that nobody else has a name for yet.
pub(super) fn create(place: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` is NUL-terminated; the mode is given as the flags ask.
    let fd = unsafe { libc::openat(place.as_raw_fd(), name.as_ptr(), flags, 0o600 as c_uint) };
    done(fd)?;
    // SAFETY: the descriptor is fresh and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn make_directory(place: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated.
    done(unsafe { libc::mkdirat(place.as_raw_fd(), name.as_ptr(), mode) })
}

pub(super) fn make_link(place: BorrowedFd<'_>, name: &CStr, target: &CStr) -> io::Result<()> {
    // SAFETY: both strings are NUL-terminated.
    done(unsafe { libc::symlinkat(target.as_ptr(), place.as_raw_fd(), name.as_ptr()) })
}

/// Where a link leads.
pub(super) fn read_link(place: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = vec![0; PATH_BYTES_MAX];
    let room = target.as_mut_ptr().cast();
    // SAFETY: `name` is NUL-terminated and `target` valid for writes of its length.
    let len = unsafe { libc::readlinkat(place.as_raw_fd(), name.as_ptr(), room, target.len()) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    if len == target.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    target.truncate(len);
    Ok(target)
}

/// Takes a lock on a whole file for this process (`F_WRLCK`), or gives it up (`F_UNLCK`). Waits for
/// whoever has it, who may only be another launcher.
pub(super) fn lock(file: BorrowedFd<'_>, kind: c_int) -> io::Result<()> {
    // SAFETY: the structure is plain integers, for which zeros are a valid value: the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as _;
    // SAFETY: `lock` is initialized and outlives the call.
    done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw mut lock) })
}

pub(super) fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: fchmod takes integers.
    done(unsafe { libc::fchmod(fd.as_raw_fd(), mode) })
}

/// Gives the owner of a directory all permissions for it.
pub(super) fn open_up(place: BorrowedFd<'_>) -> io::Result<()> {
    let mode = sys::mode(place)?;
    if mode & libc::S_IRWXU == libc::S_IRWXU {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{}\0", place.as_raw_fd());
    let path = CStr::from_bytes_with_nul(path.as_bytes());
    let path = path.map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: `path` is NUL-terminated.
    done(unsafe { libc::chmod(path.as_ptr(), (mode | libc::S_IRWXU) & !libc::S_IFMT) })
}

pub(super) fn set_owner(fd: BorrowedFd<'_>, user: u32, group: u32) -> io::Result<()> {
    // SAFETY: fchown takes integers.
    done(unsafe { libc::fchown(fd.as_raw_fd(), user, group) })
}

/// Removes a name; with `AT_REMOVEDIR` that of an empty directory.
pub(super) fn remove(place: BorrowedFd<'_>, name: &CStr, flags: c_int) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated.
    done(unsafe { libc::unlinkat(place.as_raw_fd(), name.as_ptr(), flags) })
}

/// Renames within a directory; `flags` are those of renameat2.
pub(super) fn rename(place: BorrowedFd<'_>, from: &CStr, to: &CStr, flags: u32) -> io::Result<()> {
    let (at, from, to) = (place.as_raw_fd(), from.as_ptr(), to.as_ptr());
    // SAFETY: both names are NUL-terminated; the rest are integers.
    let renamed: c_long = unsafe { libc::syscall(libc::SYS_renameat2, at, from, at, to, flags) };
    if renamed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
