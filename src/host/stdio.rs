//! Output to descriptors we inherited: bounded queues that never make the loop wait.
//!
//! O_NONBLOCK belongs to the open file description, which is shared with whoever started us, so it
//! is never set on what we inherited. Instead:
//!
//! ```text
//! pipe, terminal   /proc/self/fd/N (or /dev/tty) opened anew: a non-blocking description of our
//! own
//!   if refused     the inherited one, asked by poll(2) first, in pieces it has room for
//! socket           MSG_DONTWAIT on each send
//! file, device     written directly; they do not wait for a reader
//! ```
//!
//! A reader that leaves is an outcome, told once; what is pushed afterwards is dropped.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::{cmp, mem};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::host::clock;
use crate::host::signals::{Signal, Signals};
use crate::limits::{
    OUTPUT_QUEUE_BYTES_HIGH, OUTPUT_QUEUE_BYTES_LOW, OUTPUT_QUEUE_BYTES_MAX,
    SHARED_PIPE_WRITE_BYTES_MAX, SHARED_TERMINAL_WRITE_BYTES_MAX,
};

/// A queue of bytes and the descriptor they go to.
#[derive(Debug)]
pub struct Outlet {
    way: Way,
    queue: Vec<u8>,
    /// Bytes already written. Invariant: `written <= queue.len()`.
    written: usize,
    pressure: Pressure,
    state: State,
}

/// Whether those who feed a queue may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pressure {
    Flow,
    /// Pause: the queue passed its high mark and is not yet below its low one.
    Hold,
}

/// How far a flush came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    Empty,
    /// The other side takes no more; an event will say when it does.
    Waiting,
    /// The budget is spent; no event will come, so ask again.
    Spent,
}

/// Why nothing more can be written.
#[derive(Debug)]
pub enum Loss {
    /// Nobody reads any more; not an error, but a reason to stop.
    ReaderLeft,
    /// The reader left too much lying.
    TooSlow,
    Failed(io::Error),
}

/// How an effort to write everything ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// Nothing waits any more; see `take_loss` for what was lost.
    Everything,
    /// A reader took nothing for too long.
    GaveUp,
    /// A signal said to stop.
    Stopped(Signal),
}

/// Whether the loop will hear of a descriptor's readiness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watch {
    Events,
    /// The kernel refuses to watch it, since it is ready at any time (regular files, `/dev/null`).
    AlwaysReady,
}

#[derive(Debug)]
enum Way {
    /// A description of our own, non-blocking.
    Private(File),
    Socket(OwnedFd),
    /// Something that waits for no reader.
    Direct(File),
    /// A shared, blocking description with room for `piece_bytes` when poll says so.
    Shared {
        file: File,
        piece_bytes: usize,
    },
}

#[derive(Debug)]
enum State {
    Open,
    Lost(Loss),
    /// Lost, and told.
    Closed,
}

impl Outlet {
    /// Finds the best way to write to `fd`, which is left as it is.
    pub fn open(fd: BorrowedFd<'_>) -> io::Result<Outlet> {
        let way = Way::find(File::from(fd.try_clone_to_owned()?))?;
        Ok(Outlet {
            way,
            queue: Vec::new(),
            written: 0,
            pressure: Pressure::Flow,
            state: State::Open,
        })
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.queue.len() - self.written
    }

    pub fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// Why nothing more is written; said once.
    pub fn take_loss(&mut self) -> Option<Loss> {
        match mem::replace(&mut self.state, State::Closed) {
            State::Lost(loss) => Some(loss),
            State::Closed => None,
            State::Open => {
                self.state = State::Open;
                None
            }
        }
    }

    /// Queues bytes; they are written by `flush` alone.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Open) {
            return;
        }
        if self.waiting_bytes() + bytes.len() > OUTPUT_QUEUE_BYTES_MAX {
            return self.lose(Loss::TooSlow);
        }
        if self.written >= self.queue.len() / 2 {
            self.queue.drain(..self.written);
            self.written = 0;
        }
        self.queue.extend_from_slice(bytes);
        self.settle();
    }

    /// Queues what a buffer holds and leaves it empty, without a copy if nothing else waits.
    pub fn take(&mut self, buffer: &mut Vec<u8>) {
        let is_whole = matches!(self.state, State::Open)
            && self.waiting_bytes() == 0
            && buffer.len() <= OUTPUT_QUEUE_BYTES_MAX;
        if is_whole {
            self.written = 0;
            mem::swap(&mut self.queue, buffer);
            self.settle();
        } else {
            self.push(buffer);
        }
        buffer.clear();
    }

    /// Writes what the other side takes now, up to a budget.
    pub fn flush(&mut self, budget_bytes: usize) -> Flush {
        let mut budget = budget_bytes;
        while self.waiting_bytes() > 0 {
            if budget == 0 {
                return Flush::Spent;
            }
            let end = cmp::min(self.written.saturating_add(budget), self.queue.len());
            match self.way.write(&self.queue[self.written..end]) {
                // No descriptor takes nothing of something and calls that success twice.
                Ok(0) => self.lose(Loss::Failed(ErrorKind::WriteZero.into())),
                Ok(bytes) => {
                    self.written += bytes;
                    budget -= bytes;
                    self.settle();
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return Flush::Waiting,
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                        self.lose(Loss::ReaderLeft);
                    }
                    // A terminal that was hung up says EIO.
                    _ if error.raw_os_error() == Some(libc::EIO) && !self.way.is_direct() => {
                        self.lose(Loss::ReaderLeft);
                    }
                    _ => self.lose(Loss::Failed(error)),
                },
            }
        }
        Flush::Empty
    }

    /// Registers with the loop; edge-triggered, so flush until `Waiting` or `Empty` after each
    /// event.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<Watch> {
        watch(self.way.as_raw_fd(), registry, token, Interest::WRITABLE)
    }

    /// Undoes `register`, which closing does not: the description may live on elsewhere.
    pub fn deregister(&self, registry: &Registry) {
        // It fails only for what was never watched, and then there is nothing to undo.
        let _ = registry.deregister(&mut SourceFd(&self.way.as_raw_fd()));
    }

    fn lose(&mut self, loss: Loss) {
        self.queue = Vec::new();
        self.written = 0;
        self.pressure = Pressure::Flow;
        self.state = State::Lost(loss);
    }

    /// Brings marks and memory in line with what waits.
    fn settle(&mut self) {
        let waiting = self.waiting_bytes();
        if waiting > OUTPUT_QUEUE_BYTES_HIGH {
            self.pressure = Pressure::Hold;
        } else if waiting < OUTPUT_QUEUE_BYTES_LOW {
            self.pressure = Pressure::Flow;
        }
        if waiting == 0 {
            self.queue.clear();
            self.queue.shrink_to(OUTPUT_QUEUE_BYTES_LOW);
            self.written = 0;
        }
    }
}

impl Way {
    fn find(file: File) -> io::Result<Way> {
        let kind = file.metadata()?.file_type();
        let terminal = file.is_terminal();
        Ok(if kind.is_socket() {
            Way::Socket(file.into())
        } else if terminal {
            match open_terminal(&file) {
                Some(private) => Way::Private(private),
                None => Way::Shared { file, piece_bytes: SHARED_TERMINAL_WRITE_BYTES_MAX },
            }
        } else if kind.is_fifo() {
            match open_anew(&file, OpenOptions::new().write(true)) {
                Ok(private) => Way::Private(private),
                Err(_) => Way::shared_pipe(file),
            }
        } else {
            Way::Direct(file)
        })
    }

    fn shared_pipe(file: File) -> Way {
        Way::Shared { file, piece_bytes: SHARED_PIPE_WRITE_BYTES_MAX }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Way::Private(file) | Way::Direct(file) => (&*file).write(bytes),
            Way::Socket(socket) => send(socket.as_fd(), bytes),
            Way::Shared { file, piece_bytes } => {
                if !is_ready(file.as_fd(), libc::POLLOUT)? {
                    return Err(ErrorKind::WouldBlock.into());
                }
                (&*file).write(&bytes[..cmp::min(bytes.len(), *piece_bytes)])
            }
        }
    }

    fn is_direct(&self) -> bool {
        matches!(self, Way::Direct(_))
    }
}

impl AsRawFd for Way {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Way::Private(file) | Way::Direct(file) | Way::Shared { file, .. } => file.as_raw_fd(),
            Way::Socket(socket) => socket.as_raw_fd(),
        }
    }
}

/// Writes all that waits, at the end of the program.
///
/// Each reader may take its time as long as bytes move; after `quiet_ms` without any, what is left
/// is given up. A signal that asks us to end stops the effort at once.
pub fn drain(outlets: &mut [Outlet], quiet_ms: u64, signals: &mut Signals) -> Drained {
    let mut moved_ms = clock::mono_ms();
    loop {
        let before: usize = outlets.iter().map(Outlet::waiting_bytes).sum();
        for outlet in outlets.iter_mut() {
            outlet.flush(usize::MAX);
        }
        let now_ms = clock::mono_ms();
        let waiting: usize = outlets.iter().map(Outlet::waiting_bytes).sum();
        if waiting == 0 {
            return Drained::Everything;
        }
        if waiting < before {
            moved_ms = now_ms;
        }
        let quiet_left_ms = (moved_ms + quiet_ms).saturating_sub(now_ms);
        if quiet_left_ms == 0 {
            return Drained::GaveUp;
        }
        let blocked = outlets.iter().filter(|outlet| outlet.waiting_bytes() > 0);
        let mut polled: Vec<_> =
            blocked.map(|outlet| poll_entry(outlet.way.as_raw_fd(), libc::POLLOUT)).collect();
        polled.push(poll_entry(signals.as_fd().as_raw_fd(), libc::POLLIN));
        // An error other than an interruption cannot come of descriptors we hold open.
        if poll(&mut polled, quiet_left_ms).is_err() {
            return Drained::GaveUp;
        }
        while let Some(signal) = signals.pull() {
            match signal {
                Signal::ChildEnded => {}
                Signal::Suspend => signals.suspend(),
                Signal::Interrupt | Signal::Terminate | Signal::HangUp => {
                    return Drained::Stopped(signal);
                }
            }
        }
    }
}

/// Registers a descriptor, if the kernel can watch it (epoll_ctl(2): EPERM).
pub(super) fn watch(
    fd: RawFd,
    registry: &Registry,
    token: Token,
    interest: Interest,
) -> io::Result<Watch> {
    match registry.register(&mut SourceFd(&fd), token, interest) {
        Ok(()) => Ok(Watch::Events),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(Watch::AlwaysReady),
        Err(error) => Err(error),
    }
}

/// Opens what `file` is open on once more, non-blocking, as a description of our own.
pub(super) fn open_anew(file: &File, options: &mut OpenOptions) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Opens the same terminal once more; `None` if that is not possible.
fn open_terminal(file: &File) -> Option<File> {
    let device = terminal_device(file)?;
    let same = |private: &File| terminal_device(private) == Some(device);
    // Opening a multiplexer would make a new terminal instead.
    let anew = if file.metadata().ok()?.rdev() == PTMX {
        None
    } else {
        open_anew(file, OpenOptions::new().write(true)).ok().filter(same)
    };
    anew.or_else(|| {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        options.open("/dev/tty").ok().filter(same)
    })
}

/// The device number of `/dev/ptmx` (Documentation/admin-guide/devices.txt).
const PTMX: u64 = libc::makedev(5, 2);

/// Which terminal this is, also when it was opened as `/dev/tty`.
fn terminal_device(file: &File) -> Option<u32> {
    let mut device: libc::c_uint = 0;
    // SAFETY: the descriptor is open, and TIOCGDEV writes one unsigned int, which `device` is.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCGDEV, &mut device) };
    (result == 0).then_some(device)
}

/// Whether two descriptors show on the same terminal.
pub fn is_same_terminal(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let device = |fd: BorrowedFd<'_>| {
        let file = File::from(fd.try_clone_to_owned().ok()?);
        file.is_terminal().then(|| terminal_device(&file))?
    };
    device(one).is_some_and(|one| device(other) == Some(one))
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: pointer and length are of one live slice, which is only read.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Whether a descriptor is ready now, be it for an error or a hang-up.
pub(super) fn is_ready(fd: BorrowedFd<'_>, events: i16) -> io::Result<bool> {
    let mut polled = [poll_entry(fd.as_raw_fd(), events)];
    poll(&mut polled, 0)?;
    Ok(polled[0].revents != 0)
}

pub(super) fn poll_entry(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// Waits for any of the descriptors; an interruption counts as nothing being ready.
pub(super) fn poll(polled: &mut [libc::pollfd], timeout_ms: u64) -> io::Result<()> {
    let timeout = libc::c_int::try_from(timeout_ms).unwrap_or(libc::c_int::MAX);
    let count = polled.len() as libc::nfds_t;
    // SAFETY: pointer and count are of one live slice of the type that the call reads and writes.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), count, timeout) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) };
    }
    Ok(())
}

#[cfg(test)]
mod tests;
