//! System calls about mounts and namespaces, as safe functions. One call each.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, c_long, c_ulong};

use crate::sys;

// Of linux/mount.h and linux/fcntl.h; libc has them only in part.
const OPEN_TREE_CLONE: u32 = 1;
const AT_RECURSIVE: u32 = 0x8000;
const MOVE_FROM_EMPTY_PATH: u32 = 0x4;
const MOVE_TO_EMPTY_PATH: u32 = 0x40;
const ATTRIBUTE_READ_ONLY: u64 = 1;

/// Leaves namespaces for new ones.
pub(crate) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: unshare takes an integer; this process has one thread.
    judge(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// The network that this process is in.
pub(crate) fn own_network() -> io::Result<OwnedFd> {
    sys::open(c"/proc/self/ns/net", libc::O_RDONLY)
}

/// Enters a network.
pub(crate) fn join_network(network: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns takes integers.
    judge(unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) }.into()).map(drop)
}

/// Keeps what happens to mounts here from everybody else, and the other way round.
pub(crate) fn make_private() -> io::Result<()> {
    let (source, root, nothing) = (c"none".as_ptr(), c"/".as_ptr(), ptr::null());
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: all strings are NUL-terminated; no type and no data are passed.
    judge(unsafe { libc::mount(source, root, nothing, flags, nothing.cast()) }.into()).map(drop)
}

/// Mounts a file system without a device.
pub(crate) fn mount(kind: &CStr, onto: &CStr, flags: c_ulong, options: &CStr) -> io::Result<()> {
    let (name, onto, options) = (kind.as_ptr(), onto.as_ptr(), options.as_ptr());
    // SAFETY: all strings are NUL-terminated and outlive the call.
    judge(unsafe { libc::mount(name, onto, name, flags, options.cast()) }.into()).map(drop)
}

/// Makes a mount and all below it read-only.
pub(crate) fn make_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    // Bits to set, bits to clear, propagation, user namespace.
    let attributes: [u64; 4] = [ATTRIBUTE_READ_ONLY, 0, 0, 0];
    let flags = AT_RECURSIVE | libc::AT_EMPTY_PATH.cast_unsigned();
    // SAFETY: the path is NUL-terminated; the structure is as long as said and outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    judge(done).map(drop)
}

/// A copy of what a descriptor names and of all mounts below it, not attached anywhere yet.
pub(crate) fn copy_of(place: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE
        | AT_RECURSIVE
        | libc::AT_EMPTY_PATH.cast_unsigned()
        | libc::O_CLOEXEC.cast_unsigned();
    // SAFETY: the path is NUL-terminated; the rest are integers.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), c"".as_ptr(), flags) };
    let fd = judge(fd)? as c_int;
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a copy over what a descriptor names.
pub(crate) fn attach(copy: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MOVE_FROM_EMPTY_PATH | MOVE_TO_EMPTY_PATH;
    let (copy, place, empty) = (copy.as_raw_fd(), place.as_raw_fd(), c"".as_ptr());
    // SAFETY: both paths are NUL-terminated; the rest are integers.
    judge(unsafe { libc::syscall(libc::SYS_move_mount, copy, empty, place, empty, flags) })
        .map(drop)
}

/// A new file system in memory, not attached anywhere yet.
pub(crate) fn memory_tree(mode: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 1) };
    // SAFETY: the call has just made this descriptor (closed by execve), and nobody else knows it.
    let context = unsafe { OwnedFd::from_raw_fd(judge(context)? as c_int) };
    configure(&context, libc::FSCONFIG_SET_STRING, Some((c"mode", mode)))?;
    configure(&context, libc::FSCONFIG_CMD_CREATE, None)?;
    // SAFETY: fsmount takes integers: the descriptor, close-on-exec, and no attributes.
    let tree = unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) };
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(judge(tree)? as c_int) })
}

fn configure(
    context: &OwnedFd,
    command: libc::c_uint,
    pair: Option<(&CStr, &CStr)>,
) -> io::Result<()> {
    let key = pair.map_or(ptr::null(), |(key, _)| key.as_ptr());
    let value = pair.map_or(ptr::null(), |(_, value)| value.as_ptr());
    let context = context.as_raw_fd();
    // SAFETY: key and value are NUL-terminated or null, as the command wants them.
    judge(unsafe { libc::syscall(libc::SYS_fsconfig, context, command, key, value, 0) }).map(drop)
}

/// Makes a directory.
pub(crate) fn make_directory(place: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated.
    judge(unsafe { libc::mkdirat(place.as_raw_fd(), name.as_ptr(), 0o755) }.into()).map(drop)
}

/// Makes an empty file.
pub(crate) fn make_file(place: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let mode = libc::S_IFREG | 0o644;
    // SAFETY: `name` is NUL-terminated; a regular file needs no device number.
    judge(unsafe { libc::mknodat(place.as_raw_fd(), name.as_ptr(), mode, 0) }.into()).map(drop)
}

/// Takes every permission from a directory or file.
pub(crate) fn close_to_all(place: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated.
    judge(unsafe { libc::fchmodat(place.as_raw_fd(), name.as_ptr(), 0, 0) }.into()).map(drop)
}

/// Makes a link with the same target as another.
pub(crate) fn copy_link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let mut target = [0_u8; libc::PATH_MAX as usize];
    // One byte stays zero, to end the string.
    let room = target.len() - 1;
    // SAFETY: `name` is NUL-terminated and `target` has more room than said.
    let read = unsafe {
        libc::readlinkat(from.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), room)
    };
    judge(read as c_long)?;
    // SAFETY: both strings are NUL-terminated.
    let made = unsafe { libc::symlinkat(target.as_ptr().cast(), to.as_raw_fd(), name.as_ptr()) };
    judge(made.into()).map(drop)
}

/// Sets the loopback interface of this network up.
pub(crate) fn raise_loopback() -> io::Result<()> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes integers.
    let socket = judge(unsafe { libc::socket(libc::AF_INET, kind, 0) }.into())? as c_int;
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the structure is plain integers, for which zeros are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, letter) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *place = letter.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `request` is initialized and outlives the call.
    let done =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    judge(done.into()).map(drop)
}

fn judge(value: c_long) -> io::Result<c_long> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
