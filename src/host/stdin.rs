//! Stdin in any shape, read to its end within bounds, or left alone.
//!
//! With a prompt on the command line, input is welcome but may never come: who holds the other end
//! decides how long we wait (`decide`). Nothing here blocks the loop, and O_NONBLOCK is never set
//! on the description we inherited: pipes are opened anew, sockets read with MSG_DONTWAIT,
//! everything else asked by poll(2) first.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::{cmp, fmt, mem};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::host::clock;
use crate::host::holders::{self, Holder, Holders};
use crate::host::stdio::{Watch, is_ready, open_anew, poll, poll_entry, watch};
use crate::limits::{
    HEAR_OUT_MS, STDIN_BYTES_MAX, STDIN_GRACE_ANCESTORS_MS, STDIN_GRACE_UNSEEN_MS, STDIN_NOTICE_MS,
    STDIN_READ_BYTES,
};

/// Stdin while it is read.
#[derive(Debug)]
pub struct Stdin {
    way: Way,
    kind: Kind,
    asked: Asked,
    began_ms: u64,
    bytes: Vec<u8>,
    holders: Option<Holders>,
    notice: Noticed,
    phase: Phase,
}

/// What the command line says of stdin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    pub demand: Demand,
    pub prompt: PromptFrom,
    /// How long input may take.
    pub timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demand {
    /// `--stdin`: wait for its end, however long.
    Always,
    /// `--no-stdin`.
    Never,
    AsNeeded,
}

/// Where the prompt comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PromptFrom {
    /// The command line has it.
    Argument,
    /// `-`: stdin, whatever it is.
    Dash,
    /// Nothing was said, so it must be stdin.
    Missing,
}

/// What stdin is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Closed,
    Terminal,
    Pipe,
    Socket,
    File,
    /// `/dev/null` and its like: they do not wait for anyone.
    Device,
    /// Something else that can be read.
    Strange,
}

/// What a decision rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts<'a> {
    pub kind: Kind,
    pub demand: Demand,
    pub prompt: PromptFrom,
    /// `None` while nobody has looked.
    pub holders: Option<&'a Holders>,
    pub waited_ms: u64,
    pub bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Read to the end.
    Read,
    /// Look who holds the other end, then decide again.
    Look,
    /// Wait this long since the beginning for a first byte.
    Grace { until_ms: u64 },
    /// Go on without.
    Leave(Absent),
}

/// Why there is no input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    Forbidden,
    NotOpen,
    Terminal,
    /// Nothing came in time, and nobody seemed to mean to write.
    Silent {
        waited_ms: u64,
    },
}

/// How far reading came.
#[derive(Debug)]
pub enum Progress {
    /// Until an event or the deadline.
    Waiting,
    /// The budget is spent; no event will come, so ask again.
    Spent,
    Ended(Ending),
}

#[derive(Debug)]
pub enum Ending {
    Text(String),
    Absent(Absent),
    Failed(StdinError),
}

#[derive(Debug)]
pub enum StdinError {
    TooLong,
    NotUtf8 { offset_bytes: usize },
    TimedOut { after_ms: u64 },
    Unreadable(io::Error),
}

/// What a person should know while we wait, and after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The prompt is expected on stdin.
    Reading,
    WaitingFor(Holder),
    Waiting,
    WentOn {
        waited_ms: u64,
    },
}

#[derive(Debug)]
pub(crate) enum Way {
    Closed,
    /// A description of our own, non-blocking.
    Private(File),
    Socket(OwnedFd),
    /// A shared description, asked before each read.
    Shared(File),
}

/// What has been said to the person so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Noticed {
    Nothing,
    Reading,
    Waiting,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// Ended without input, which the person has not been told.
    WentOn {
        waited_ms: u64,
    },
    Over,
}

/// Decides what to do about stdin. Asked again whenever a fact changes.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    if facts.demand == Demand::Never {
        return Verdict::Leave(Absent::Forbidden);
    }
    let needed = facts.demand == Demand::Always || facts.prompt == PromptFrom::Dash;
    match facts.kind {
        Kind::Closed => Verdict::Leave(Absent::NotOpen),
        Kind::Terminal if needed => Verdict::Read,
        Kind::Terminal => Verdict::Leave(Absent::Terminal),
        Kind::File | Kind::Device => Verdict::Read,
        Kind::Pipe | Kind::Socket | Kind::Strange => {
            if needed || facts.prompt == PromptFrom::Missing || facts.bytes > 0 {
                return Verdict::Read;
            }
            match facts.holders {
                None => Verdict::Look,
                Some(Holders::Producer(_)) => Verdict::Read,
                Some(Holders::Ancestors(_)) => grace(facts, STDIN_GRACE_ANCESTORS_MS),
                Some(Holders::Unseen) => grace(facts, STDIN_GRACE_UNSEEN_MS),
            }
        }
    }
}

fn grace(facts: &Facts<'_>, until_ms: u64) -> Verdict {
    if facts.waited_ms < until_ms {
        Verdict::Grace { until_ms }
    } else {
        Verdict::Leave(Absent::Silent { waited_ms: facts.waited_ms })
    }
}

impl Stdin {
    /// Finds the best way to read `fd`, which is left as it is; one that is not open is no error.
    pub fn open(fd: BorrowedFd<'_>, asked: Asked, now_ms: u64) -> io::Result<Stdin> {
        let (way, kind) = match fd.try_clone_to_owned() {
            Ok(fd) => Way::find(File::from(fd))?,
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => (Way::Closed, Kind::Closed),
            Err(error) => return Err(error),
        };
        Ok(Stdin {
            way,
            kind,
            asked,
            began_ms: now_ms,
            bytes: Vec::new(),
            holders: None,
            notice: Noticed::Nothing,
            phase: Phase::Open,
        })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When `advance` must be called even without an event.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.phase != Phase::Open {
            return None;
        }
        let grace = match self.verdict(0) {
            Verdict::Grace { until_ms } => Some(until_ms),
            Verdict::Read | Verdict::Look | Verdict::Leave(_) => None,
        };
        let notice = (self.notice != Noticed::Waiting).then_some(STDIN_NOTICE_MS);
        let timeout = self.asked.timeout_ms;
        let first = [grace, notice, timeout].into_iter().flatten().min()?;
        Some(self.began_ms.saturating_add(first))
    }

    /// Reads what there is, up to a budget, and decides how to go on. After the end it only waits.
    pub fn advance(&mut self, now_ms: u64, budget_bytes: usize) -> Progress {
        if self.phase != Phase::Open {
            return Progress::Waiting;
        }
        let waited_ms = now_ms.saturating_sub(self.began_ms);
        if let Verdict::Leave(absent @ (Absent::Forbidden | Absent::NotOpen | Absent::Terminal)) =
            self.verdict(waited_ms)
        {
            return self.end(Ending::Absent(absent));
        }
        match self.read(budget_bytes) {
            Ok(Progress::Waiting) => {}
            Ok(progress) => return progress,
            Err(error) => return self.end(Ending::Failed(error)),
        }
        if self.verdict(waited_ms) == Verdict::Look {
            self.holders = Some(self.look());
        }
        if let Verdict::Leave(absent) = self.verdict(waited_ms) {
            return self.end(Ending::Absent(absent));
        }
        match self.asked.timeout_ms {
            Some(after_ms) if waited_ms >= after_ms => {
                self.end(Ending::Failed(StdinError::TimedOut { after_ms }))
            }
            _ => Progress::Waiting,
        }
    }

    /// What a person should be told now; pull after each `advance`, until `None`.
    pub fn notice(&mut self, now_ms: u64) -> Option<Notice> {
        match self.phase {
            Phase::Over => return None,
            Phase::WentOn { waited_ms } => {
                self.phase = Phase::Over;
                return Some(Notice::WentOn { waited_ms });
            }
            Phase::Open => {}
        }
        if self.notice == Noticed::Nothing && self.asked.prompt == PromptFrom::Missing {
            self.notice = Noticed::Reading;
            return Some(Notice::Reading);
        }
        let waited_ms = now_ms.saturating_sub(self.began_ms);
        if self.notice == Noticed::Waiting || waited_ms < STDIN_NOTICE_MS {
            return None;
        }
        self.notice = Noticed::Waiting;
        Some(match &self.holders {
            Some(Holders::Producer(holder)) => Notice::WaitingFor(holder.clone()),
            Some(Holders::Ancestors(_) | Holders::Unseen) | None => Notice::Waiting,
        })
    }

    /// Registers with the loop; edge-triggered, so advance until `Waiting` after each event.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<Watch> {
        match self.way.raw_fd() {
            Some(fd) => watch(fd, registry, token, Interest::READABLE),
            None => Ok(Watch::AlwaysReady),
        }
    }

    /// Undoes `register`, which closing does not: the description lives on as our stdin.
    pub fn deregister(&self, registry: &Registry) {
        if let Some(fd) = self.way.raw_fd() {
            // It fails only for what was never watched, and then there is nothing to undo.
            let _ = registry.deregister(&mut SourceFd(&fd));
        }
    }

    fn verdict(&self, waited_ms: u64) -> Verdict {
        decide(&Facts {
            kind: self.kind,
            demand: self.asked.demand,
            prompt: self.asked.prompt,
            holders: self.holders.as_ref(),
            waited_ms,
            bytes: self.bytes.len(),
        })
    }

    fn look(&self) -> Holders {
        match &self.way {
            Way::Private(file) | Way::Shared(file) if self.kind == Kind::Pipe => {
                holders::of_pipe(file.as_fd())
            }
            Way::Socket(socket) => holders::of_socket(socket.as_fd()),
            Way::Private(_) | Way::Shared(_) | Way::Closed => Holders::Unseen,
        }
    }

    fn read(&mut self, budget_bytes: usize) -> Result<Progress, StdinError> {
        let mut budget = budget_bytes;
        while budget > 0 {
            let start = self.bytes.len();
            // One byte over the bound tells a text that fits from one that does not.
            let room = STDIN_BYTES_MAX + 1 - start;
            self.bytes.resize(start + cmp::min(STDIN_READ_BYTES, cmp::min(budget, room)), 0);
            let result = self.way.read(&mut self.bytes[start..]);
            self.bytes.truncate(start + *result.as_ref().unwrap_or(&0));
            match result {
                Ok(0) => {
                    let bytes = mem::take(&mut self.bytes);
                    return Ok(self.end(Ending::Text(text(bytes)?)));
                }
                Ok(_) if self.bytes.len() > STDIN_BYTES_MAX => return Err(StdinError::TooLong),
                Ok(bytes) => budget -= bytes,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return Ok(Progress::Waiting),
                    _ => return Err(StdinError::Unreadable(error)),
                },
            }
        }
        Ok(Progress::Spent)
    }

    fn end(&mut self, ending: Ending) -> Progress {
        self.bytes = Vec::new();
        self.phase = match ending {
            Ending::Absent(Absent::Silent { waited_ms }) => Phase::WentOn { waited_ms },
            Ending::Text(_) | Ending::Absent(_) | Ending::Failed(_) => Phase::Over,
        };
        Progress::Ended(ending)
    }
}

impl Way {
    pub(crate) fn find(file: File) -> io::Result<(Way, Kind)> {
        let kind = file.metadata()?.file_type();
        Ok(if file.is_terminal() {
            (Way::Shared(file), Kind::Terminal)
        } else if kind.is_socket() {
            (Way::Socket(file.into()), Kind::Socket)
        } else if kind.is_fifo() {
            match open_anew(&file, OpenOptions::new().read(true)) {
                Ok(private) => (Way::Private(private), Kind::Pipe),
                Err(_) => (Way::Shared(file), Kind::Pipe),
            }
        } else if kind.is_file() || kind.is_dir() {
            (Way::Shared(file), Kind::File)
        } else if kind.is_char_device() || kind.is_block_device() {
            (Way::Shared(file), Kind::Device)
        } else {
            (Way::Shared(file), Kind::Strange)
        })
    }

    /// Reads what there is; `WouldBlock` if there is nothing yet.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Way::Closed => Ok(0),
            Way::Private(file) => (&*file).read(buffer),
            Way::Socket(socket) => receive(socket.as_fd(), buffer),
            Way::Shared(file) => {
                if !is_ready(file.as_fd(), libc::POLLIN)? {
                    return Err(ErrorKind::WouldBlock.into());
                }
                (&*file).read(buffer)
            }
        }
    }

    pub(crate) fn raw_fd(&self) -> Option<RawFd> {
        match self {
            Way::Closed => None,
            Way::Private(file) | Way::Shared(file) => Some(file.as_raw_fd()),
            Way::Socket(socket) => Some(socket.as_raw_fd()),
        }
    }
}

impl fmt::Display for StdinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StdinError::TooLong => {
                write!(formatter, "stdin is too long: over {} MiB", STDIN_BYTES_MAX >> 20)
            }
            StdinError::NotUtf8 { offset_bytes } => {
                write!(formatter, "stdin is not UTF-8: the byte at offset {offset_bytes}")
            }
            StdinError::TimedOut { after_ms } => {
                let seconds = after_ms.div_ceil(1000);
                write!(formatter, "stdin did not end within {seconds} s")
            }
            StdinError::Unreadable(error) => write!(formatter, "read stdin: {error}"),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Reading => formatter.write_str("reading the prompt from stdin"),
            Notice::WaitingFor(Holder { pid, name }) => write!(
                formatter,
                "waiting for {name} (process {pid}) to end its output, which is our stdin; \
                 --no-stdin would not"
            ),
            Notice::Waiting => {
                formatter.write_str("waiting for stdin; --no-stdin would not, --stdin always would")
            }
            Notice::WentOn { waited_ms } => write!(
                formatter,
                "nothing came on stdin in {} s, going on without it; --stdin would wait for it, \
                 --no-stdin would not look",
                waited_ms / 1000
            ),
        }
    }
}

/// Takes what is still being written into our stdin, if that is a socket, before a refusal ends us.
///
/// A program that starts others with sockets for pipes, as Node does, and writes into one that is
/// closed hears of a broken pipe instead of our reasons, and may not survive that.
pub fn hear_out() {
    hear_out_of(io::stdin().as_fd(), HEAR_OUT_MS);
}

/// Reads until the end, for so long at most; nothing but sockets is touched.
fn hear_out_of(fd: BorrowedFd<'_>, time_ms: u64) {
    let is_socket = |file: File| Ok::<_, io::Error>(file.metadata()?.file_type().is_socket());
    if !fd.try_clone_to_owned().map(File::from).and_then(is_socket).unwrap_or(false) {
        return;
    }
    let until_ms = clock::mono_ms() + time_ms;
    let mut buffer = vec![0; STDIN_READ_BYTES];
    loop {
        let left_ms = until_ms.saturating_sub(clock::mono_ms());
        if left_ms == 0 {
            return;
        }
        match receive(fd, &mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut polled = [poll_entry(fd.as_raw_fd(), libc::POLLIN)];
                if poll(&mut polled, left_ms).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It says nothing more.
            Err(_) => return,
        }
    }
}

fn text(bytes: Vec<u8>) -> Result<String, StdinError> {
    String::from_utf8(bytes)
        .map_err(|error| StdinError::NotUtf8 { offset_bytes: error.utf8_error().valid_up_to() })
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let length = buffer.len();
    // SAFETY: pointer and length are of one live slice, which the kernel fills from the start.
    let received = unsafe {
        libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), length, libc::MSG_DONTWAIT)
    };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests;
