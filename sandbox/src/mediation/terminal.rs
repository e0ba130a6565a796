//! Terminals that the command has made, opened for it; those of others stay closed.
//!
//! Landlock refuses every terminal by its path but the one the command was given. A program that
//! makes a terminal opens its other side by path, or by an ioctl on the side it has. If a process
//! of the command holds that side, we open the other and hand it over. Every other open goes on to
//! the kernel, where Landlock is.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libc::{c_int, pid_t};

use super::connect::line_of;
use super::listener::{Listener, Notification};
use super::target::Target;
use crate::end;
use crate::limits::DESCRIPTORS_COUNT_MAX;
use crate::paths::at_root;
use crate::seccomp::OPEN_TERMINAL;
use crate::sys;

/// Where terminals are.
const TERMINALS: &[u8] = b"/dev/pts/";

/// What the side that makes a terminal is called.
const MAKERS: [&str; 2] = ["/dev/ptmx", "/dev/pts/ptmx"];

/// Flags of an open that are passed on.
const FLAGS: c_int = libc::O_ACCMODE | libc::O_NONBLOCK;

/// Whether a call may be about a terminal.
pub(super) fn is_about(call: &Notification) -> bool {
    match call.number() {
        libc::SYS_openat => true,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => true,
        libc::SYS_ioctl => call.word(1) == OPEN_TERMINAL,
        _ => false,
    }
}

/// Answers an open of a terminal of the command's own, and lets every other go on.
pub(super) fn serve(listener: &Listener, call: &Notification, supervisor: pid_t) {
    match open(listener, call, supervisor) {
        Ok((terminal, flags)) => {
            let is_closed_by_execve = flags & libc::O_CLOEXEC != 0;
            let added = listener.add(call, terminal.as_fd(), is_closed_by_execve);
            listener.answer(call, added.map(i64::from));
        }
        Err(_) => listener.go_on(call),
    }
}

/// The terminal, and the flags it was asked for with.
fn open(
    listener: &Listener,
    call: &Notification,
    supervisor: pid_t,
) -> io::Result<(OwnedFd, c_int)> {
    let (index, flags) = if call.number() == libc::SYS_ioctl {
        (made_by(call.thread(), call.int(0))?, call.int(2))
    } else {
        let path_at = usize::from(call.number() == libc::SYS_openat);
        let path = Target::new(call.thread()).read_path(call.wide(path_at))?;
        let index = path
            .to_bytes()
            .strip_prefix(TERMINALS)
            .and_then(|name| std::str::from_utf8(name).ok()?.parse::<u32>().ok());
        (index.ok_or_else(not_ours)?, call.int(path_at + 1))
    };
    // Held before it is judged: a terminal whose number is used anew is another file.
    let path = CString::new(format!("/dev/pts/{index}")).map_err(|_| not_ours())?;
    let pin = sys::open_path(at_root(), &path)?;
    let is_made = || {
        is_made_by(call.thread(), index)
            || end::descendants_of(supervisor).into_iter().any(|pid| is_made_by(pid, index))
    };
    if sys::file_type(pin.as_fd())? != libc::S_IFCHR || !is_made() || !listener.is_valid(call) {
        return Err(not_ours());
    }
    let link =
        CString::new(format!("/proc/self/fd/{}", pin.as_raw_fd())).map_err(|_| not_ours())?;
    Ok((sys::open(&link, flags & FLAGS | libc::O_NOCTTY)?, flags))
}

/// Whether a process holds the side that made a terminal.
fn is_made_by(process: pid_t, index: u32) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let names = entries.flatten().take(DESCRIPTORS_COUNT_MAX).map(|entry| entry.file_name());
    let mut numbers = names.filter_map(|name| name.to_str()?.parse::<c_int>().ok());
    numbers.any(|number| made_by(process, number).is_ok_and(|found| found == index))
}

/// The number of the terminal that a descriptor has made.
fn made_by(process: pid_t, number: c_int) -> io::Result<u32> {
    let link = std::fs::read_link(format!("/proc/{process}/fd/{number}"))?;
    if !MAKERS.iter().any(|maker| link.as_os_str() == *maker) {
        return Err(not_ours());
    }
    let index = line_of(&format!("/proc/{process}/fdinfo/{number}"), "tty-index:")?;
    index.parse().map_err(|_| not_ours())
}

fn not_ours() -> io::Error {
    io::Error::from_raw_os_error(libc::EACCES)
}
