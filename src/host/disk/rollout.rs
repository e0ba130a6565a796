//! One rollout: a file of JSON lines that only grows, by whole lines.
//!
//! ```text
//! not yet --first append--> open --append failed, cut back----> open
//!                             |
//!                             `--append failed, not cut back--> torn --next append repairs--> open
//! ```
//!
//! The file is made with the first line, so that an empty conversation leaves none. Lines go out in
//! one write(2); a write that fails or falls short is undone. A rollout belongs to one process at a
//! time, by `flock`. What the lines mean is `wire/rollout.rs`'s business.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use crate::host::disk::{self, Failure};
use crate::limits::{
    KEPT_READ_BYTES, ROLLOUT_HEAD_BYTES, ROLLOUT_LINE_BYTES_MAX, ROLLOUT_LINE_HELD_BYTES,
    ROLLOUT_READ_BYTES,
};
use crate::wire::rollout;
use crate::wire::time::Civil;
use crate::words::ids::ConversationId;

/// A rollout that is written.
#[derive(Debug)]
pub struct Rollout {
    path: PathBuf,
    state: State,
    /// The number of the next line, if those of this file are numbered.
    ordinal: Option<u64>,
}

#[derive(Debug)]
enum State {
    NotYet,
    Open(File),
    /// The last line may be incomplete.
    Torn(File),
}

impl Rollout {
    /// A rollout for a new conversation; its file is made with the first line.
    pub fn new(home: &Path, id: ConversationId, wall_ms: u64) -> Rollout {
        let path = path_of(home, id, &Civil::local(wall_ms, zone_ahead_seconds(wall_ms)));
        Rollout { path, state: State::NotYet, ordinal: None }
    }

    /// Opens the rollout of a conversation that goes on; a torn last line is repaired first.
    pub fn reopen(path: &Path) -> Result<Rollout, Failure> {
        let failed = |source| Failure::new("open the rollout", path, source);
        let file = open_alone(path).map_err(failed)?;
        repair(&file).map_err(|source| Failure::new("repair the rollout", path, source))?;
        let ordinal = next_ordinal(&file).map_err(failed)?;
        Ok(Rollout { path: path.to_owned(), state: State::Open(file), ordinal })
    }

    /// A rollout whose first lines somebody else has written.
    pub(super) fn of(path: &Path, file: File) -> Rollout {
        Rollout { path: path.to_owned(), state: State::Open(file), ordinal: None }
    }

    /// The number of the next line, if those of this file are numbered.
    pub fn ordinal(&self) -> Option<u64> {
        self.ordinal
    }

    /// So many lines were appended.
    pub fn count(&mut self, lines: u64) {
        self.ordinal = self.ordinal.map(|ordinal| ordinal.saturating_add(lines));
    }

    /// Where the file is, or will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, if there is one by now.
    pub fn file(&self) -> Option<&File> {
        match &self.state {
            State::NotYet => None,
            State::Open(file) | State::Torn(file) => Some(file),
        }
    }

    /// Appends whole lines, all or none.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        assert!(lines.is_empty() || lines.ends_with(b"\n"), "rollouts grow by whole lines");
        if lines.is_empty() {
            return Ok(());
        }
        self.append_by(&mut |write| write(lines))
    }

    /// Appends whole lines that come in pieces, all or none.
    pub fn append_by(&mut self, give: &mut Give<'_>) -> Result<(), Failure> {
        let failed = |path: &Path, source| Failure::new("append to the rollout", path, source);
        let state = std::mem::replace(&mut self.state, State::NotYet);
        let (file, made) = match state {
            State::NotYet => {
                (create(&self.path).map_err(|source| failed(&self.path, source))?, true)
            }
            State::Open(file) => (file, false),
            State::Torn(file) => {
                if let Err(source) = repair(&file) {
                    self.state = State::Torn(file);
                    return Err(failed(&self.path, source));
                }
                (file, false)
            }
        };
        let (state, result) = match append_or_undo(&file, give) {
            Appended::Whole => (State::Open(file), Ok(())),
            // A file without its first line is no rollout; the next append makes it anew.
            Appended::Undone(source) if made && std::fs::remove_file(&self.path).is_ok() => {
                (State::NotYet, Err(source))
            }
            Appended::Undone(source) => (State::Open(file), Err(source)),
            Appended::Torn(source) => (State::Torn(file), Err(source)),
        };
        self.state = state;
        result.map_err(|source| failed(&self.path, source))
    }
}

/// Gives the pieces of what is to be appended, one after the other, until one could not be written.
pub type Give<'a> = dyn FnMut(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> + 'a;

/// How an attempt to append ended.
#[derive(Debug)]
enum Appended {
    Whole,
    /// The file is as it was before.
    Undone(io::Error),
    /// The file ends with a part of what was to be appended.
    Torn(io::Error),
}

/// Reads a rollout line by line, in slices, with bounded memory.
///
/// Call [`Reader::read_slice`], then [`Reader::pull`] until it gives `None`, until the slice was
/// the end.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// Bytes already handed out or dropped. Invariant: `taken <= scanned <= buffer.len()`.
    taken: usize,
    /// Bytes known to end no line.
    scanned: usize,
    /// Where in the file the buffer begins.
    offset_bytes: u64,
    phase: Phase,
    lines_skipped: u64,
    line_bytes_max: usize,
    /// What is behind this is not read.
    until_bytes: u64,
    /// A line that is longer is handed out without its inside.
    held_bytes_max: usize,
    /// The beginning and the end of a line that is not held.
    ends: Ends,
}

/// What the reader is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Lines,
    /// Inside a line that is not held.
    LongLine,
    /// Behind its end.
    LongLineEnded,
    End,
}

/// What is held of a long line.
#[derive(Default, Debug)]
struct Ends {
    offset_bytes: u64,
    bytes_count: usize,
    head: Vec<u8>,
    tail: [u8; 2],
}

impl Ends {
    fn begin(&mut self, offset_bytes: u64, bytes: &[u8]) {
        (self.offset_bytes, self.bytes_count) = (offset_bytes, 0);
        self.head.clear();
        self.head.extend_from_slice(&bytes[..bytes.len().min(ROLLOUT_HEAD_BYTES)]);
        self.pass(bytes);
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.bytes_count += bytes.len();
        for byte in &bytes[bytes.len().saturating_sub(2)..] {
            self.tail = [self.tail[1], *byte];
        }
    }
}

/// How far a slice got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    More,
    End,
}

/// A line without its ending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Where it begins in the file.
    pub offset_bytes: u64,
    pub bytes_count: usize,
    /// All of it, or its beginning.
    pub bytes: &'a [u8],
    /// Its end.
    pub tail: &'a [u8],
}

/// Where a line is in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub offset_bytes: u64,
    pub bytes_count: usize,
}

impl Line<'_> {
    pub fn place(&self) -> Place {
        Place { offset_bytes: self.offset_bytes, bytes_count: self.bytes_count }
    }

    /// Whether its inside is there.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() == self.bytes_count
    }
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, Failure> {
        Reader::bounded(path, ROLLOUT_LINE_BYTES_MAX, ROLLOUT_LINE_BYTES_MAX)
    }

    /// Opens a rollout of which long lines are only glanced at, and read again if they matter.
    pub fn open_glancing(path: &Path) -> Result<Reader, Failure> {
        Reader::bounded(path, ROLLOUT_LINE_BYTES_MAX, ROLLOUT_LINE_HELD_BYTES)
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Takes the rollout to end there.
    pub fn until(self, until_bytes: u64) -> Reader {
        Reader { until_bytes, ..self }
    }

    /// Reads at most this much; the end is told once.
    pub fn read_slice(&mut self, budget_bytes: usize) -> Result<Progress, Failure> {
        self.buffer.drain(..self.taken);
        self.offset_bytes += self.taken as u64;
        self.scanned -= self.taken;
        self.taken = 0;
        let length = self.buffer.len();
        let left_bytes = self.until_bytes.saturating_sub(self.offset_bytes + length as u64);
        let left_bytes = usize::try_from(left_bytes).unwrap_or(usize::MAX);
        let budget_bytes = budget_bytes.clamp(1, ROLLOUT_READ_BYTES).min(left_bytes);
        self.buffer.resize(length + budget_bytes, 0);
        let read = loop {
            match self.file.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(length + count);
        read.map_err(|source| Failure::new("read the rollout", &self.path, source))?;
        if count > 0 {
            return Ok(Progress::More);
        }
        self.phase = match self.phase {
            Phase::LongLine => Phase::LongLineEnded,
            Phase::Lines | Phase::LongLineEnded | Phase::End => Phase::End,
        };
        Ok(Progress::End)
    }

    /// The next line, or `None` until more was read; a last line without an ending comes at the
    /// end.
    pub fn pull(&mut self) -> Option<Line<'_>> {
        loop {
            let fresh = &self.buffer[self.scanned..];
            let start = self.taken;
            // The quickest search that std has.
            let passed = (&mut &*fresh).skip_until(b'\n').unwrap_or(0);
            if passed == 0 || fresh[passed - 1] != b'\n' {
                self.scanned = self.buffer.len();
                return self.pull_rest();
            }
            let end = self.scanned + passed - 1;
            self.scanned = end + 1;
            self.taken = end + 1;
            let is_long = self.phase == Phase::LongLine;
            if is_long {
                self.ends.pass(&self.buffer[start..end]);
                self.phase = Phase::Lines;
            } else if end - start > self.held_bytes_max {
                let offset_bytes = self.offset_bytes + start as u64;
                self.ends.begin(offset_bytes, &self.buffer[start..end]);
            } else {
                return Some(self.line(start, end));
            }
            if self.ends.bytes_count <= self.line_bytes_max {
                return Some(self.long_line());
            }
            self.lines_skipped += 1;
        }
    }

    /// Reads a line once more that was handed out.
    pub fn read_again(&self, place: Place, line: &mut Vec<u8>) -> Result<(), Failure> {
        line.resize(place.bytes_count, 0);
        let read = self.file.read_exact_at(line, place.offset_bytes);
        read.map_err(|source| Failure::new("read the rollout", &self.path, source))
    }

    /// Reads a line once more, in pieces.
    pub fn read_through(&self, place: Place, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let mut piece = vec![0; place.bytes_count.min(KEPT_READ_BYTES)];
        let mut read_bytes = 0;
        while read_bytes < place.bytes_count {
            let length = piece.len().min(place.bytes_count - read_bytes);
            let offset_bytes = place.offset_bytes + read_bytes as u64;
            let read = self.file.read_exact_at(&mut piece[..length], offset_bytes);
            read.map_err(|source| Failure::new("read the rollout", &self.path, source))?;
            each(&piece[..length]);
            read_bytes += length;
        }
        Ok(())
    }

    /// Lines over the bound, left out so far.
    pub fn lines_skipped(&self) -> u64 {
        self.lines_skipped
    }

    fn bounded(
        path: &Path,
        line_bytes_max: usize,
        held_bytes_max: usize,
    ) -> Result<Reader, Failure> {
        let failed = |source| Failure::new("open the rollout", path, source);
        let missing = || failed(io::Error::from(io::ErrorKind::NotFound));
        let file = disk::open(path).map_err(failed)?.ok_or_else(missing)?;
        Ok(Reader {
            path: path.to_owned(),
            file,
            buffer: Vec::new(),
            taken: 0,
            scanned: 0,
            offset_bytes: 0,
            phase: Phase::Lines,
            lines_skipped: 0,
            line_bytes_max,
            until_bytes: u64::MAX,
            held_bytes_max,
            ends: Ends::default(),
        })
    }

    fn line(&self, start: usize, end: usize) -> Line<'_> {
        let bytes = &self.buffer[start..end];
        let offset_bytes = self.offset_bytes + start as u64;
        Line { offset_bytes, bytes_count: bytes.len(), bytes, tail: bytes }
    }

    fn long_line(&self) -> Line<'_> {
        let Ends { offset_bytes, bytes_count, head, tail } = &self.ends;
        let (offset_bytes, bytes_count) = (*offset_bytes, *bytes_count);
        Line { offset_bytes, bytes_count, bytes: head, tail }
    }

    /// What to make of bytes that no newline ends yet.
    fn pull_rest(&mut self) -> Option<Line<'_>> {
        let (start, end) = (self.taken, self.buffer.len());
        match self.phase {
            Phase::Lines if end - start <= self.held_bytes_max => None,
            Phase::Lines => {
                let offset_bytes = self.offset_bytes + start as u64;
                self.ends.begin(offset_bytes, &self.buffer[start..]);
                self.phase = Phase::LongLine;
                self.taken = end;
                None
            }
            Phase::LongLine => {
                self.ends.pass(&self.buffer[start..]);
                self.taken = end;
                None
            }
            Phase::LongLineEnded => {
                self.phase = Phase::End;
                let is_over = self.ends.bytes_count > self.line_bytes_max;
                self.lines_skipped += u64::from(is_over);
                (!is_over).then(|| self.long_line())
            }
            Phase::End => {
                self.taken = end;
                (start < end).then(|| self.line(start, end))
            }
        }
    }
}

/// Where the rollout of a conversation belongs that begins at a local time.
fn path_of(home: &Path, id: ConversationId, begun: &Civil) -> PathBuf {
    let Civil { year, month, day, hour, minute, second, millisecond: _ } = begun;
    let directory = format!("sessions/{year:04}/{month:02}/{day:02}");
    let time = format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}");
    home.join(directory).join(format!("rollout-{time}-{id}.jsonl"))
}

/// Makes the file and the directories above it, for their owner alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create_new(true).mode(0o600).open(path)?;
    lock(&file)?;
    Ok(file)
}

/// Opens a rollout that nobody else has open.
pub(super) fn open_alone(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    lock(&file)?;
    still_there(&file)?;
    Ok(file)
}

/// Whoever deletes a rollout has its lock; what it leaves to one who waited is a file without a
/// name.
pub(super) fn still_there(file: &File) -> io::Result<()> {
    match file.metadata()?.nlink() {
        0 => Err(io::Error::from(io::ErrorKind::NotFound)),
        _ => Ok(()),
    }
}

fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::Error::other(
            "this session is in use by another process; wait for it to end, or fork the session",
        )),
        // Some network file systems have no locks; a session there is as safe as the user is
        // careful.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Writes each piece once and takes back what was written of a part.
fn append_or_undo(file: &File, give: &mut Give<'_>) -> Appended {
    let mut written = 0;
    let given = give(&mut |piece| {
        let count = write_once(file, piece)?;
        written += count as u64;
        match count == piece.len() {
            true => Ok(()),
            false => {
                let message = format!("only {count} of {} bytes could be written", piece.len());
                Err(io::Error::new(io::ErrorKind::WriteZero, message))
            }
        }
    });
    let source = match given {
        Ok(()) => return Appended::Whole,
        Err(source) if written == 0 => return Appended::Undone(source),
        Err(source) => source,
    };
    // With O_APPEND, what was written is at the end, whatever the length was before.
    let length = file.metadata().map(|metadata| metadata.len());
    match length.and_then(|length| file.set_len(length.saturating_sub(written))) {
        Ok(()) => Appended::Undone(source),
        Err(_) => Appended::Torn(source),
    }
}

fn write_once(mut file: &File, piece: &[u8]) -> io::Result<usize> {
    loop {
        match file.write(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

/// Makes the file end with a whole line: a last line that lacks only its ending gets it, a part of
/// one is cut off.
fn repair(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let Some(start) = last_line_start(file, length)? else {
        // Too long to be judged: ended, so that it hurts nothing else.
        return file.write_all(b"\n");
    };
    if start == length {
        return Ok(());
    }
    let mut line = vec![0; (length - start) as usize];
    file.read_exact_at(&mut line, start)?;
    let whole = line.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(&line).is_ok();
    match whole {
        true => file.write_all(b"\n"),
        false => file.set_len(start),
    }
}

/// Where the bytes begin that no newline ends; `None` if they are over the bound of a line.
fn last_line_start(file: &File, length: u64) -> io::Result<Option<u64>> {
    let mut chunk = [0; 4096];
    let mut end = length;
    while end > 0 {
        if length - end > ROLLOUT_LINE_BYTES_MAX as u64 {
            return Ok(None);
        }
        let start = end.saturating_sub(chunk.len() as u64);
        let piece = &mut chunk[..(end - start) as usize];
        file.read_exact_at(piece, start)?;
        if let Some(newline) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(start + newline as u64 + 1));
        }
        end = start;
    }
    Ok(Some(0))
}

/// What the next line's number is, if the last line has one.
fn next_ordinal(file: &File) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    let Some(start) = last_line_start(file, length.saturating_sub(1))? else { return Ok(None) };
    let mut head = vec![0; (length - start).min(ROLLOUT_HEAD_BYTES as u64) as usize];
    file.read_exact_at(&mut head, start)?;
    Ok(rollout::ordinal(&head).and_then(|last| last.checked_add(1)))
}

/// How far the local zone is ahead of UTC at a moment; 0 if the system cannot say.
fn zone_ahead_seconds(wall_ms: u64) -> i32 {
    let Ok(seconds) = (wall_ms / 1000).try_into() else { return 0 };
    // SAFETY: `tm` is integers and a pointer that nobody follows; all zero is a value of it.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that live through the call; nothing in this process
    // changes the environment, which the call reads.
    let filled = unsafe { libc::localtime_r(&raw const seconds, &raw mut parts) };
    if filled.is_null() { 0 } else { parts.tm_gmtoff as i32 }
}

#[cfg(test)]
mod tests;
