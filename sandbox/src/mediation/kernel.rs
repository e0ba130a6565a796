//! The system calls of mediation as safe functions, beside those of `sys`.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, c_long, pid_t};

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const PROC_MAGIC: u64 = 0x9fa0;

/// The number of the call that sets a file's flags by name (Linux 6.17).
const SYS_FCHMODAT2: c_long = 452;
const SYS_FILE_SETATTR: c_long = 469;

/// The user of linux/stat.h and the group; -1 leaves either as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

fn done(value: c_int) -> io::Result<()> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn long_done(value: c_long) -> io::Result<c_long> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Copies memory of another process, up to the first page that cannot be read.
pub(super) fn copy_memory(thread: pid_t, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let here = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let there_base = ptr::with_exposed_provenance_mut(address as usize);
    let there = libc::iovec { iov_base: there_base, iov_len: buffer.len() };
    // SAFETY: `here` is all of `buffer`; `there` is an address of the other process, which the
    // kernel alone looks at.
    let copied =
        unsafe { libc::process_vm_readv(thread, &raw const here, 1, &raw const there, 1, 0) };
    usize::try_from(copied).map_err(|_| io::Error::last_os_error())
}

/// Chooses the processors of a thread, a bit for each.
pub(super) fn set_processors(thread: pid_t, processors: &[u8]) -> io::Result<()> {
    let (len, bits) = (processors.len(), processors.as_ptr());
    // SAFETY: the kernel reads so many bytes behind the pointer.
    let set = unsafe { libc::syscall(libc::SYS_sched_setaffinity, thread, len, bits) };
    long_done(set).map(drop)
}

/// The text of a link; `ENAMETOOLONG` if it does not fit.
pub(super) fn read_link(
    directory: BorrowedFd<'_>,
    name: &CStr,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let place = buffer.as_mut_ptr().cast();
    // SAFETY: `name` is NUL-terminated and `buffer` valid for writes of its length.
    let len =
        unsafe { libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), place, buffer.len()) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    if len == buffer.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    Ok(len)
}

/// Whether a descriptor belongs to a process file system.
pub(super) fn is_of_processes(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: the structure is plain integers, for which zeros are a valid value.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is a valid place for the result.
    done(unsafe { libc::fstatfs(fd.as_raw_fd(), &raw mut stat) })?;
    Ok(stat.f_type as u64 == PROC_MAGIC)
}

/// Sets the permissions of what a descriptor names, which may be open for nothing but naming it.
/// Kernels before 6.6 answer `ENOSYS`.
pub(super) fn set_mode_of(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let (fd, flags) = (fd.as_raw_fd(), libc::AT_EMPTY_PATH);
    // SAFETY: the path is NUL-terminated; the rest are integers.
    let done = unsafe { libc::syscall(SYS_FCHMODAT2, fd, c"".as_ptr(), mode, flags) };
    long_done(done).map(drop)
}

pub(super) fn set_mode(path: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: `path` is NUL-terminated.
    done(unsafe { libc::chmod(path.as_ptr(), mode) })
}

pub(super) fn set_owner(path: &CStr, owner: Owner) -> io::Result<()> {
    // SAFETY: `path` is NUL-terminated.
    done(unsafe { libc::chown(path.as_ptr(), owner.user, owner.group) })
}

/// Sets both times; `None` is now.
pub(super) fn set_times(path: &CStr, times: Option<[libc::timespec; 2]>) -> io::Result<()> {
    let times = times.as_ref().map_or(ptr::null(), |times| times.as_ptr());
    // SAFETY: `path` is NUL-terminated and `times` null or two structures that outlive the call.
    done(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times, 0) })
}

pub(super) fn set_attribute(
    path: &CStr,
    name: &CStr,
    value: &[u8],
    flags: c_int,
) -> io::Result<()> {
    let (start, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: both strings are NUL-terminated and `value` is valid for reads of its length.
    done(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), start, len, flags) })
}

pub(super) fn remove_attribute(path: &CStr, name: &CStr) -> io::Result<()> {
    // SAFETY: both strings are NUL-terminated.
    done(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) })
}

/// Sets the flags of a file by a `struct file_attr` of any version.
pub(super) fn set_flags(path: &CStr, attributes: &[u8]) -> io::Result<()> {
    // SAFETY: `path` is NUL-terminated and `attributes` valid for reads of its length.
    let result = unsafe {
        libc::syscall(
            SYS_FILE_SETATTR,
            libc::AT_FDCWD,
            path.as_ptr(),
            attributes.as_ptr(),
            attributes.len(),
            0,
        )
    };
    long_done(result).map(drop)
}

/// Makes an ioctl that reads at most the 32 bytes of `argument`.
pub(super) fn control(fd: BorrowedFd<'_>, request: u32, argument: &[u8; 32]) -> io::Result<()> {
    // SAFETY: callers pass requests that read no more than `argument` has.
    done(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, argument.as_ptr()) })
}

/// The value of an extended attribute.
pub(super) fn attribute(path: &CStr, name: &CStr, value: &mut [u8]) -> io::Result<usize> {
    let (start, len) = (value.as_mut_ptr().cast(), value.len());
    // SAFETY: both strings are NUL-terminated and `value` is valid for writes of its length.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), start, len) };
    usize::try_from(len).map_err(|_| io::Error::last_os_error())
}

pub(super) fn unix_socket(kind: c_int) -> io::Result<OwnedFd> {
    // SAFETY: socket takes integers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) };
    done(fd)?;
    // SAFETY: the descriptor is fresh and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets whether calls on a fresh socket wait.
pub(super) fn set_waiting(fd: BorrowedFd<'_>, waits: bool) -> io::Result<()> {
    let flags = if waits { 0 } else { libc::O_NONBLOCK };
    // SAFETY: F_SETFL takes an integer.
    done(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) })
}

pub(super) fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let len = address.len() as libc::socklen_t;
    // SAFETY: `address` is valid for reads of `len` bytes; the kernel judges what they mean.
    done(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), len) })
}

/// Whether a socket is connected.
pub(super) fn has_peer(socket: BorrowedFd<'_>) -> bool {
    let mut address = [0_u64; 16];
    let mut len = size_of_val(&address) as libc::socklen_t;
    let place = address.as_mut_ptr().cast();
    // SAFETY: `address` is valid for writes of `len` bytes and aligned for any address.
    unsafe { libc::getpeername(socket.as_raw_fd(), place, &raw mut len) == 0 }
}

/// `SO_PEERPIDFD` of asm-generic/socket.h, since Linux 6.5.
const SO_PEERPIDFD: c_int = 77;

/// The process that listens at the other side of a connection.
pub(super) fn peer_process(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let fd = int_option(socket, SO_PEERPIDFD)?;
    // SAFETY: the descriptor is fresh and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number that process had.
pub(super) fn peer_number(socket: BorrowedFd<'_>) -> io::Result<pid_t> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let place = (&raw mut peer).cast();
    // SAFETY: `peer` is valid for writes of `len` bytes.
    done(unsafe {
        let socket = socket.as_raw_fd();
        libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, place, &raw mut len)
    })?;
    Ok(peer.pid)
}

pub(super) fn socket_family(socket: BorrowedFd<'_>) -> io::Result<c_int> {
    int_option(socket, libc::SO_DOMAIN)
}

fn int_option(socket: BorrowedFd<'_>, option: c_int) -> io::Result<c_int> {
    let mut value: c_int = -1;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    let place = (&raw mut value).cast();
    // SAFETY: `value` is valid for writes of `len` bytes.
    done(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, place, &raw mut len)
    })?;
    Ok(value)
}

/// A copy of a descriptor of another process.
pub(super) fn take_descriptor(process: BorrowedFd<'_>, number: c_int) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_getfd takes integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
    let fd = long_done(fd)? as RawFd;
    // SAFETY: the descriptor is fresh and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
