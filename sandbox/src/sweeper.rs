//! A process that ends all of a command's at once, however they fork.
//!
//! Landlock lets a process signal those of its own domain and of domains within it. The sweeper has
//! one around the command's: what it sends to everybody reaches the command's whole tree and
//! nothing else, in one call during which nobody forks; and nothing of the tree reaches the
//! sweeper. It sweeps as well when the supervisor is gone without a word.
//!
//! Where Landlock has no scopes there is none, and rounds of signals have to do.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use libc::pid_t;

use crate::landlock;
use crate::limits::SWEEP_MS_MAX;
use crate::sys;

/// The supervisor's end.
pub(crate) struct Sweeper {
    lifeline: OwnedFd,
    /// Zero until it has started.
    pid: &'static AtomicI32,
}

impl Sweeper {
    pub(crate) fn new(lifeline: OwnedFd, pid: &'static AtomicI32) -> Sweeper {
        Sweeper { lifeline, pid }
    }

    /// Its number, once it has started.
    pub(crate) fn pid(&self) -> Option<pid_t> {
        Some(self.pid.load(Ordering::SeqCst)).filter(|pid| *pid != 0)
    }

    /// Has everything killed, and waits until that is done.
    pub(crate) fn sweep(&self) {
        // If it is gone, the rounds that follow do it.
        let _ = sys::write(self.lifeline.as_fd(), SWEEP);
        let Some(Ok(pidfd)) = self.pid().map(sys::pidfd_open) else { return };
        let over = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // An error costs only the wait.
        let _ = sys::poll(&mut [over], SWEEP_MS_MAX);
    }

    /// Lets it end: nothing is left to be killed.
    pub(crate) fn let_go(&self) {
        // If it is gone, all is as wished for.
        let _ = sys::write(self.lifeline.as_fd(), END);
    }

    /// Ends it, where nothing has started that it could kill.
    pub(crate) fn dismiss(&self) {
        self.let_go();
        if let Some(pid) = self.pid() {
            sys::wait_for(pid);
        }
    }
}

const SWEEP: &[u8] = b"k";
const END: &[u8] = b"e";

/// Encloses the signals of this process, the command to be, and starts the sweeper beside it, which
/// waits at this end of the lifeline.
pub(crate) fn start(wait_end: &OwnedFd, pid: &AtomicI32) -> io::Result<()> {
    landlock::enclose_signals()?;
    match sys::fork_sibling()? {
        0 => be_sweeper(wait_end, pid),
        sweeper => pid.store(sweeper, Ordering::SeqCst),
    }
    Ok(())
}

fn be_sweeper(wait_end: &OwnedFd, pid: &AtomicI32) -> ! {
    // Both sides say it: whoever is first is early enough.
    pid.store(sys::pid(), Ordering::SeqCst);
    // Signals to the command's group are not meant for it; a failure costs only that.
    let _ = sys::set_signal_mask(&sys::all_signals());
    let _ = sys::setsid();
    let _ = sys::chdir(c"/");
    // The pipes of the supervisor and of the command must end without us.
    let lifeline = sys::replace(0, wait_end.as_fd()).and_then(|()| sys::inherited(0));
    sys::close_from(1);
    let mut byte = [0; 1];
    loop {
        match lifeline.as_ref().map(|lifeline| sys::read(lifeline.as_fd(), &mut byte)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Ok(1)) if byte == END => break,
            // Asked for, or the supervisor is gone: whatever else this may be, killing is the safe
            // reading.
            Ok(_) | Err(_) => {
                let _ = sys::kill(-1, libc::SIGKILL);
                break;
            }
        }
    }
    sys::exit_now(0)
}
