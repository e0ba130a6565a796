//! Lines of a client on stdin, bounded, whatever stdin is.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use mio::{Interest, Registry, Token};

use crate::host::stdin::Way;
use crate::host::stdio::{self, Watch};
use crate::limits::{CLIENT_LINE_BYTES_MAX, STDIN_READ_BYTES};

/// Bytes that come in, and what is left of a line.
#[derive(Debug)]
pub struct Inlet {
    way: Way,
    buffer: Vec<u8>,
    /// Bytes of lines that were taken. Invariant: `taken <= scanned <= buffer.len()`.
    taken: usize,
    /// Bytes known to hold no end of a line.
    scanned: usize,
    /// The line that comes in is too long: it is left out up to its end.
    is_skipping: bool,
    is_over: bool,
}

/// How far reading came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Waiting,
    /// There may be more to read at once.
    Spent,
    Over,
}

/// Why a line was left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    TooLong,
    NotUtf8,
}

impl Inlet {
    pub fn open(fd: BorrowedFd<'_>) -> io::Result<Inlet> {
        let (way, _) = Way::find(File::from(fd.try_clone_to_owned()?))?;
        Ok(Inlet {
            way,
            buffer: Vec::new(),
            taken: 0,
            scanned: 0,
            is_skipping: false,
            is_over: false,
        })
    }

    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<Watch> {
        match self.way.raw_fd() {
            Some(fd) => stdio::watch(fd, registry, token, Interest::READABLE),
            None => Ok(Watch::AlwaysReady),
        }
    }

    /// Undoes `register`, which closing does not: the description lives on as our stdin.
    pub fn deregister(&self, registry: &Registry) {
        if let Some(fd) = self.way.raw_fd() {
            // It fails only for what was never watched, and then there is nothing to undo.
            let _ = registry.deregister(&mut mio::unix::SourceFd(&fd));
        }
    }

    /// Reads once.
    pub fn read(&mut self) -> io::Result<Progress> {
        if self.is_over {
            return Ok(Progress::Over);
        }
        self.buffer.drain(..self.taken);
        self.scanned -= self.taken;
        self.taken = 0;
        let start = self.buffer.len();
        self.buffer.resize(start + STDIN_READ_BYTES, 0);
        let result = self.way.read(&mut self.buffer[start..]);
        self.buffer.truncate(start + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => {
                // What comes last counts, ended or not.
                if start > 0 {
                    self.buffer.push(b'\n');
                }
                self.is_over = true;
                Ok(Progress::Over)
            }
            Ok(_) => Ok(Progress::Spent),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Ok(Progress::Waiting),
                ErrorKind::Interrupted => Ok(Progress::Spent),
                _ => Err(error),
            },
        }
    }

    /// The next whole line, without its end; empty ones are none.
    pub fn pull(&mut self) -> Option<Result<String, Unread>> {
        loop {
            let found = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n');
            let Some(offset) = found else {
                self.scanned = self.buffer.len();
                if self.scanned - self.taken > CLIENT_LINE_BYTES_MAX {
                    self.is_skipping = true;
                }
                if self.is_skipping {
                    self.taken = self.scanned;
                }
                self.rest();
                return None;
            };
            let end = self.scanned + offset;
            let line = self.taken..end;
            (self.taken, self.scanned) = (end + 1, end + 1);
            let is_too_long = line.len() > CLIENT_LINE_BYTES_MAX;
            if std::mem::replace(&mut self.is_skipping, false) || is_too_long {
                return Some(Err(Unread::TooLong));
            }
            let line = self.buffer[line].trim_ascii();
            if line.is_empty() {
                continue;
            }
            let text = std::str::from_utf8(line).map(str::to_owned);
            return Some(text.map_err(|_| Unread::NotUtf8));
        }
    }

    /// Gives back memory that a long line needed.
    fn rest(&mut self) {
        if self.taken == self.buffer.len() && self.buffer.capacity() > STDIN_READ_BYTES {
            self.buffer = Vec::new();
            (self.taken, self.scanned) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    /// The lines that come of these pieces.
    fn lines(pieces: &[&[u8]]) -> Vec<Result<String, Unread>> {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut inlet = Inlet::open(reader.as_fd()).unwrap();
        let mut lines = Vec::new();
        for piece in pieces {
            for part in piece.chunks(STDIN_READ_BYTES / 2) {
                writer.write_all(part).unwrap();
                inlet.read().unwrap();
                lines.extend(std::iter::from_fn(|| inlet.pull()));
            }
        }
        drop(writer);
        while inlet.read().unwrap() != Progress::Over {
            lines.extend(std::iter::from_fn(|| inlet.pull()));
        }
        lines.extend(std::iter::from_fn(|| inlet.pull()));
        assert!(inlet.buffer.capacity() <= 2 * STDIN_READ_BYTES, "memory is given back");
        lines
    }

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        let text = "{\"a\":\u{e9}}\n\n  b \r\nlast".as_bytes();
        let expected = ["{\"a\":\u{e9}}", "b", "last"].map(|line| Ok(line.to_owned()));
        assert_eq!(lines(&[text]), expected);
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(lines(&pieces), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_alone() {
        let long = vec![b'x'; CLIENT_LINE_BYTES_MAX + 1];
        let got = lines(&[b"a\n", &long, b"\nb\n"]);
        assert_eq!(got, [Ok("a".into()), Err(Unread::TooLong), Ok("b".into())]);
    }

    #[test]
    fn bytes_that_are_no_text_are_left_out() {
        assert_eq!(lines(&[b"\xff\xfe\nb\n"]), [Err(Unread::NotUtf8), Ok("b".into())]);
    }
}
