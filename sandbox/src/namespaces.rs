//! Namespaces of the command's own, where the system really grants them.
//!
//! ```text
//! supervisor --unshare(user, PID)--> fork: init (number 1), then fork: command (number 2)
//!                                                            `- view: mounts, IPC, network
//! ```
//!
//! Whether it works is found out by doing all of it once, in a child; the verdict is the agent's to
//! keep. As root the user namespace is left out. The supervisor stays the command's parent, outside
//! the command's process namespace, and the init only reaps; with it, everything inside dies.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use libc::{c_int, c_ulong, pid_t};

use crate::mounts;
use crate::policy::{Level, Missing, Policy};
use crate::sys::{self, Ended};
use crate::view;

/// How far a command is apart from the rest of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// It shares every namespace.
    Nothing,
    /// It has its own mounts, System V objects and, without network, its own loopback; it sees the
    /// processes of others, since no `/proc` of its own was granted.
    View,
    /// It has its own processes too.
    Whole,
}

impl Apart {
    /// What a confined command says about namespaces here; `None` if it was not to be confined.
    pub fn of(level: Level, missing: Missing) -> Option<Apart> {
        match level {
            Level::Open => None,
            Level::Reduced | Level::Standard => Some(Apart::Nothing),
            Level::Full if missing.contains(Missing::PROCESSES) => Some(Apart::View),
            Level::Full => Some(Apart::Whole),
        }
    }
}

/// Exit codes of a trial; others are the errno of what failed.
const TRIAL_WHOLE: c_int = 0;
const TRIAL_VIEW: c_int = 254;

/// The process with number 1 beside the command.
pub(crate) struct Init {
    pub(crate) pid: pid_t,
    /// A byte lets it end with the last process; closed, it ends at once.
    lifeline: OwnedFd,
}

impl Init {
    /// Has it end once nothing is left for it to reap.
    pub(crate) fn let_go(&self) {
        // If it is gone, all is as wished for.
        let _ = sys::write(self.lifeline.as_fd(), b"e");
    }
}

/// Tries the whole sequence in a child. An error is the errno of what was refused.
pub(crate) fn try_out(policy: &Policy) -> Result<Apart, c_int> {
    if !Path::new("/proc/self").exists() {
        // Without it, those inside could not be found from outside.
        return Err(libc::ENOENT);
    }
    let failed = |error: io::Error| sys::errno_of(&error);
    let child = match sys::fork().map_err(failed)? {
        0 => sys::exit_now(trial(policy)),
        child => child,
    };
    match sys::wait_for_end(child) {
        Ended::Exited(TRIAL_WHOLE) => Ok(Apart::Whole),
        Ended::Exited(TRIAL_VIEW) => Ok(Apart::View),
        Ended::Exited(errno) => Err(errno),
        Ended::Signalled(_) => Err(libc::EPERM),
    }
}

/// The code to end a trial with. Nothing of what fails here is to be seen; nobody waits for more.
fn trial(policy: &Policy) -> c_int {
    let inside = match leave(Apart::Whole).and_then(|()| sys::fork()) {
        Ok(0) => {
            let built = build(policy, Apart::Whole);
            sys::exit_now(built.err().map_or(TRIAL_WHOLE, |error| sys::errno_of(&error)))
        }
        Ok(inside) => inside,
        Err(error) => return sys::errno_of(&error),
    };
    match sys::wait_for_end(inside) {
        Ended::Exited(TRIAL_WHOLE) => TRIAL_WHOLE,
        Ended::Exited(errno) => match build(policy, Apart::View) {
            Ok(()) => TRIAL_VIEW,
            Err(_) => errno,
        },
        Ended::Signalled(_) => libc::EPERM,
    }
}

/// Does what the command will do, and what the supervisor may have to.
fn build(policy: &Policy, apart: Apart) -> io::Result<()> {
    view::build(policy, apart, false)?;
    if policy.network {
        return Ok(());
    }
    mounts::join_network(mounts::own_network()?.as_fd())
}

/// Makes this process one whose next children are apart; `Some` is their init.
pub(crate) fn enter(apart: Apart) -> io::Result<Option<Init>> {
    match apart {
        Apart::Nothing => Ok(None),
        Apart::View => leave(apart).map(|()| None),
        Apart::Whole => {
            leave(apart)?;
            start_init().map(Some)
        }
    }
}

/// Leaves the namespace of processes, and that of users if nothing else lets us mount.
fn leave(apart: Apart) -> io::Result<()> {
    // A view of its own is made by the command; here it only tells whether that is allowed.
    let wanted = if apart == Apart::Whole { libc::CLONE_NEWPID } else { libc::CLONE_NEWNS };
    if mounts::unshare(wanted).is_ok() {
        return Ok(());
    }
    let (user, group) = sys::user_and_group();
    mounts::unshare(wanted | libc::CLONE_NEWUSER)?;
    name_ourselves(user, group)
}

/// Maps our own user and group to themselves. Without that nobody can mount.
fn name_ourselves(user: u32, group: u32) -> io::Result<()> {
    // The files belong to root as long as we cannot be inspected. There is nothing to be seen yet.
    sys::prctl(libc::PR_SET_DUMPABLE, 1)?;
    let written = write("/proc/self/setgroups", "deny")
        .and_then(|()| write("/proc/self/uid_map", &format!("{user} {user} 1")))
        .and_then(|()| write("/proc/self/gid_map", &format!("{group} {group} 1")));
    sys::prctl(libc::PR_SET_DUMPABLE, 0)?;
    written
}

fn write(path: &str, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

fn start_init() -> io::Result<Init> {
    let (wait_end, lifeline) = sys::pipe()?;
    match sys::fork()? {
        0 => be_init(wait_end),
        pid => Ok(Init { pid, lifeline }),
    }
}

/// Reaps until told that the command has ended, and then until nothing is left.
fn be_init(wait_end: OwnedFd) -> ! {
    // The pipe tells of the supervisor's death too, should this fail.
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong);
    let _ = sys::keep_capabilities([0, 0]);
    // Children whose end is ignored go away by themselves.
    sys::ignore_signal(libc::SIGCHLD);
    // The pipes of the supervisor and of the command must end without us.
    let lifeline = match sys::replace(0, wait_end.as_fd()) {
        Ok(()) => sys::inherited(0),
        Err(error) => Err(error),
    };
    std::mem::forget(wait_end);
    sys::close_from(1);
    let Ok(lifeline) = lifeline else { sys::exit_now(1) };
    let mut byte = [0; 1];
    loop {
        match sys::read(lifeline.as_fd(), &mut byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(1) => break,
            // The supervisor is gone, and so is everything here once we are.
            Ok(_) | Err(_) => sys::exit_now(0),
        }
    }
    sys::wait_for_all();
    sys::exit_now(0)
}
