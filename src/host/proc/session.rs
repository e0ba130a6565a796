//! What a session adds to a child: what it printed since it was last asked, and what is still to be
//! written to it. Both are bounded; a program that floods or does not read costs no more.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::limits::{SESSION_INPUT_BYTES_MAX, SESSION_UNREAD_BYTES_MAX};
use crate::words::call::{SessionStdio, Unread};

/// Output that nobody has asked for yet; the oldest is dropped.
#[derive(Default, Debug)]
pub struct Backlog {
    /// Invariant: `bytes.len() <= SESSION_UNREAD_BYTES_MAX`.
    bytes: VecDeque<u8>,
    dropped_bytes: u64,
}

impl Backlog {
    pub fn push(&mut self, piece: &[u8]) {
        let kept = &piece[piece.len().saturating_sub(SESSION_UNREAD_BYTES_MAX)..];
        let over = (self.bytes.len() + kept.len()).saturating_sub(SESSION_UNREAD_BYTES_MAX);
        self.bytes.drain(..over);
        self.bytes.extend(kept);
        self.dropped_bytes += (over + piece.len() - kept.len()) as u64;
    }

    /// Takes what there is, but for a character that has not come whole.
    pub fn take(&mut self) -> Unread {
        let bytes = self.bytes.make_contiguous();
        let whole = bytes.len() - unfinished(bytes);
        let rest = self.bytes.split_off(whole);
        let taken = std::mem::replace(&mut self.bytes, rest);
        self.unread(&Vec::from(taken))
    }

    /// Takes all that is left.
    pub fn finish(mut self) -> Unread {
        let bytes = Vec::from(std::mem::take(&mut self.bytes));
        self.unread(&bytes)
    }

    fn unread(&mut self, bytes: &[u8]) -> Unread {
        let text = String::from_utf8_lossy(bytes);
        // What stands for bytes that are no text is longer than they.
        let over = text.ceil_char_boundary(text.len().saturating_sub(SESSION_UNREAD_BYTES_MAX));
        let dropped_bytes = std::mem::take(&mut self.dropped_bytes) + over as u64;
        Unread { text: text[over..].into(), dropped_bytes }
    }
}

/// How many bytes at the end begin a character without ending it.
pub(super) fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let length = match bytes[bytes.len() - back] {
            0x80..0xc0 => continue,
            0xc2..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf5 => 4,
            _ => 1,
        };
        return if length > back { back } else { 0 };
    }
    0
}

/// What is to be written to a program, and where.
#[derive(Debug)]
pub struct Typing {
    file: File,
    stdio: SessionStdio,
    /// Invariant: no more than the bound of whoever pushes, and the end of a terminal's input.
    waiting: VecDeque<u8>,
    /// The end of input stands behind what waits.
    ends: bool,
}

/// What became of text for a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Typed {
    /// It is written, or will be when the program reads.
    Taken,
    /// Too much waits already.
    Full { waiting_bytes: usize },
    /// There is no terminal that makes a signal of it.
    Interrupt,
    /// The input was ended before.
    Closed,
}

/// ctrl-C and ctrl-D, which a terminal understands and a pipe does not.
const INTERRUPT: &str = "\u{3}";
const END: char = '\u{4}';

impl Typing {
    pub fn new(file: File, stdio: SessionStdio) -> Typing {
        Typing { file, stdio, waiting: VecDeque::new(), ends: false }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Takes all of the text or nothing.
    pub fn push(&mut self, text: &str) -> Typed {
        let is_pipe = self.stdio == SessionStdio::Pipes;
        if is_pipe && text == INTERRUPT {
            return Typed::Interrupt;
        }
        if self.ends {
            return Typed::Closed;
        }
        let end = text.strip_suffix(END).filter(|_| is_pipe);
        let typed = self.push_bytes(end.unwrap_or(text).as_bytes(), SESSION_INPUT_BYTES_MAX);
        self.ends = end.is_some() && typed == Typed::Taken;
        typed
    }

    /// Takes all of these bytes, as they are, or nothing.
    pub fn push_bytes(&mut self, bytes: &[u8], bytes_max: usize) -> Typed {
        if self.ends {
            return Typed::Closed;
        }
        if self.waiting.len() + bytes.len() > bytes_max {
            return Typed::Full { waiting_bytes: self.waiting.len() };
        }
        self.waiting.extend(bytes);
        Typed::Taken
    }

    /// Ends the input behind what waits. A terminal stays open and gets its end-of-file character.
    pub fn end(&mut self) {
        match self.stdio {
            SessionStdio::Pipes => self.ends = true,
            // Once is enough for what waits.
            SessionStdio::Terminal if self.waiting.back() == Some(&(END as u8)) => {}
            SessionStdio::Terminal => self.waiting.push_back(END as u8),
        }
    }

    /// Writes as much as the program takes. Returns whether it may get more.
    pub fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match self.file.write(self.waiting.as_slices().0) {
                // A pipe or terminal that takes nothing and says so never will.
                Ok(0) => return false,
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody reads any more; the session's end will say so.
                Err(_) => return false,
            }
        }
        !self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_drops_the_oldest() {
        let mut backlog = Backlog::default();
        backlog.push(b"first");
        backlog.push(&vec![b'x'; SESSION_UNREAD_BYTES_MAX]);
        backlog.push(b"last");
        let Unread { text, dropped_bytes } = backlog.take();
        assert_eq!((text.len(), dropped_bytes), (SESSION_UNREAD_BYTES_MAX, 9));
        assert!(text.starts_with('x') && text.ends_with("xlast"));
        assert_eq!(backlog.take(), Unread::default());
        backlog.push(&vec![b'y'; SESSION_UNREAD_BYTES_MAX + 7]);
        assert_eq!(backlog.take().dropped_bytes, 7);
    }

    #[test]
    fn a_character_is_given_whole() {
        let text = "aé€🦀b";
        for cut in 0..=text.len() {
            let mut backlog = Backlog::default();
            backlog.push(&text.as_bytes()[..cut]);
            let first = backlog.take();
            backlog.push(&text.as_bytes()[cut..]);
            assert_eq!(format!("{}{}", first.text, backlog.take().text), text, "{cut}");
        }
        let mut backlog = Backlog::default();
        backlog.push(b"a\xf0\x9f");
        assert_eq!(&*backlog.take().text, "a");
        assert_eq!(&*backlog.finish().text, "\u{fffd}");
    }

    #[test]
    fn bytes_that_are_no_text_keep_the_bound() {
        let mut backlog = Backlog::default();
        backlog.push(&vec![0xff; SESSION_UNREAD_BYTES_MAX]);
        let Unread { text, dropped_bytes } = backlog.take();
        assert!(text.len() <= SESSION_UNREAD_BYTES_MAX && dropped_bytes > 0);
    }

    #[test]
    fn a_program_that_does_not_read_gets_no_more_than_the_bound() {
        let (reader, writer) = io::pipe().unwrap();
        let writer = std::os::fd::OwnedFd::from(writer);
        crate::host::proc::launch::set_nonblocking(&writer).unwrap();
        let mut typing = Typing::new(File::from(writer), SessionStdio::Pipes);
        let much = "x".repeat(SESSION_INPUT_BYTES_MAX);
        // The pipe itself holds some.
        while typing.push(&much) == Typed::Taken {
            assert!(typing.flush(), "it may read later");
        }
        assert!(matches!(typing.push(&much), Typed::Full { waiting_bytes: 1.. }));
        assert_eq!(typing.push(INTERRUPT), Typed::Interrupt);
        assert_eq!(typing.push("\u{4}"), Typed::Taken);
        assert_eq!(typing.push("more"), Typed::Closed);
        drop(reader);
        assert!(!typing.flush());
    }
}
