//! Signals as bytes to read: a signalfd in the loop.
//!
//! The signals are blocked, so nothing happens between two instructions and nothing is lost: the
//! kernel keeps one of each pending until it is read. Children inherit the mask; the launcher
//! resets it before it executes anything. A signal that was ignored when we started stays ignored
//! (`nohup`, jobs in the background of a script). SIGPIPE and SIGXFSZ are ignored: whoever writes
//! hears EPIPE or EFBIG instead.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// What a person, a supervisor or the kernel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGINT: ctrl-C.
    Interrupt,
    Terminate,
    HangUp,
    /// SIGTSTP: ctrl-Z. Whoever reads it sets the terminal in order and calls `suspend`.
    Suspend,
    /// A child ended; which one is to be asked.
    ChildEnded,
}

/// The signals of this process, from `open` until it is dropped.
#[derive(Debug)]
pub struct Signals {
    reader: File,
    mask_before: libc::sigset_t,
    ignored_before: [libc::sigaction; IGNORED.len()],
    child_before: libc::sigaction,
}

const WANTED: [(libc::c_int, Signal); 5] = [
    (libc::SIGINT, Signal::Interrupt),
    (libc::SIGTERM, Signal::Terminate),
    (libc::SIGHUP, Signal::HangUp),
    (libc::SIGTSTP, Signal::Suspend),
    (libc::SIGCHLD, Signal::ChildEnded),
];

/// Signals that say what a failed write says too.
const IGNORED: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

impl Signals {
    /// Takes the signals over. Only one may be open at a time.
    pub fn open() -> io::Result<Signals> {
        let [pipe, file_size] = IGNORED;
        let ignored_before = [dispose(pipe, libc::SIG_IGN)?, dispose(file_size, libc::SIG_IGN)?];
        // An inherited SIG_IGN would let the kernel reap our children before we learn how they
        // ended.
        let child_before = dispose(libc::SIGCHLD, libc::SIG_DFL)?;
        let mut wanted = empty_set();
        for (number, _) in WANTED {
            if number == libc::SIGCHLD || !is_ignored(number)? {
                add(&mut wanted, number);
            }
        }
        let reader = File::from(signalfd(&wanted)?);
        let mask_before = change_mask(libc::SIG_BLOCK, &wanted)?;
        Ok(Signals { reader, mask_before, ignored_before, child_before })
    }

    /// Registers with the loop; edge-triggered, so pull until `None` after each event.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.reader.as_raw_fd()), token, Interest::READABLE)
    }

    /// The next signal that came, or `None` until more do.
    pub fn pull(&mut self) -> Option<Signal> {
        let mut record = [0; size_of::<libc::signalfd_siginfo>()];
        loop {
            match self.reader.read(&mut record) {
                Ok(bytes) if bytes == record.len() => {
                    let (number, _) = record.split_first_chunk()?;
                    let number = u32::from_ne_bytes(*number).cast_signed();
                    let known = WANTED.iter().find(|(wanted, _)| *wanted == number);
                    if let Some(&(_, signal)) = known {
                        return Some(signal);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nothing is pending; a signalfd has no other way to fail and no end.
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Stops the program as SIGTSTP would have done, until it is continued.
    pub fn suspend(&self) {
        let mut stop = empty_set();
        add(&mut stop, libc::SIGTSTP);
        // SAFETY: the call takes an integer; the signal is blocked, so nothing happens yet.
        unsafe { libc::raise(libc::SIGTSTP) };
        // Here it arrives, unless there is no shell that could continue us: the kernel sees to that
        // (an orphaned process group, setpgid(2)). Neither call can fail with a valid set.
        let _ = change_mask(libc::SIG_UNBLOCK, &stop);
        let _ = change_mask(libc::SIG_BLOCK, &stop);
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // What is still pending was meant for the loop that is ending; unblocked, it would kill us.
        while self.pull().is_some() {}
        // Failing to restore leaves signals as they are, which is all that can be done while
        // dropping.
        let _ = change_mask(libc::SIG_SETMASK, &self.mask_before);
        for (number, before) in IGNORED.iter().zip(&self.ignored_before) {
            let _ = restore(*number, before);
        }
        let _ = restore(libc::SIGCHLD, &self.child_before);
    }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointer is to live memory of the right type; with it `sigemptyset` cannot fail.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: zeroed memory is a valid set (an array of integers), and it was initialised besides.
    unsafe { set.assume_init() }
}

fn add(set: &mut libc::sigset_t, number: libc::c_int) {
    // SAFETY: the set is initialised and ours; a number out of range would only give an error.
    unsafe { libc::sigaddset(set, number) };
}

fn signalfd(set: &libc::sigset_t) -> io::Result<OwnedFd> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is initialised and only read; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, set, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Changes this thread's mask, which is the program's: there is one thread. Gives back the mask
/// before.
fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut before = empty_set();
    // SAFETY: both sets are initialised and live; the call keeps neither.
    let error = unsafe { libc::pthread_sigmask(how, set, &mut before) };
    if error == 0 { Ok(before) } else { Err(io::Error::from_raw_os_error(error)) }
}

fn is_ignored(number: libc::c_int) -> io::Result<bool> {
    Ok(action(number, ptr::null())?.sa_sigaction == libc::SIG_IGN)
}

/// Sets a disposition without a handler; gives back the one before.
fn dispose(number: libc::c_int, handler: libc::sighandler_t) -> io::Result<libc::sigaction> {
    let mut wanted = action(number, ptr::null())?;
    wanted.sa_sigaction = handler;
    wanted.sa_flags = 0;
    action(number, &wanted)
}

fn restore(number: libc::c_int, before: &libc::sigaction) -> io::Result<()> {
    action(number, before).map(drop)
}

/// Reads a disposition and, if `wanted` is not null, sets it.
fn action(number: libc::c_int, wanted: *const libc::sigaction) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `wanted` is null or from a live reference, `before` is live memory of the right type.
    // Only SIG_IGN, SIG_DFL and what was set before are ever installed, so no code of ours runs in
    // a handler.
    let result = unsafe { libc::sigaction(number, wanted, before.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and filled it.
    Ok(unsafe { before.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(number: libc::c_int) {
        // SAFETY: raises a signal that the test has blocked for its own thread.
        assert_eq!(unsafe { libc::raise(number) }, 0);
    }

    fn mask() -> libc::sigset_t {
        change_mask(libc::SIG_BLOCK, &empty_set()).unwrap()
    }

    fn is_blocked(number: libc::c_int) -> bool {
        // SAFETY: the set is initialised and live.
        unsafe { libc::sigismember(&mask(), number) == 1 }
    }

    // One test, since dispositions belong to the whole process.
    #[test]
    fn signals_are_read_in_the_loop_and_restored_after_it() {
        let mut signals = Signals::open().unwrap();
        assert_eq!(signals.pull(), None);
        for (number, signal) in WANTED {
            raise(number);
            raise(number);
            assert_eq!(signals.pull(), Some(signal));
            assert_eq!(signals.pull(), None, "the kernel keeps one of each");
        }
        for number in IGNORED {
            assert!(is_ignored(number).unwrap());
            raise(number);
        }

        raise(libc::SIGTERM);
        assert!(is_blocked(libc::SIGTERM));
        drop(signals);
        assert!(!is_blocked(libc::SIGTERM), "and the one still pending was not delivered");

        let before = dispose(libc::SIGHUP, libc::SIG_IGN).unwrap();
        let mut signals = Signals::open().unwrap();
        raise(libc::SIGHUP);
        assert_eq!(signals.pull(), None, "what was ignored stays ignored");
        drop(signals);
        restore(libc::SIGHUP, &before).unwrap();
    }
}
