//! What a command prints, for a client that follows it while it runs.
//!
//! What is told is the beginning of the output, without gaps: once a command has printed more than
//! `TOLD_BYTES_MAX`, or more than `TOLD_WAITING_BYTES_MAX` waits for a client that reads nothing,
//! no more of it is taken. All that is kept of the output is told at the command's end.

use crate::host::proc::session::unfinished;
use crate::limits::{TOLD_BYTES_MAX, TOLD_PIECES_MAX, TOLD_WAITING_BYTES_MAX};

/// Output that was not told yet, and how much more may be.
#[derive(Debug)]
pub struct Overheard {
    /// Invariant: `waiting.len() + room_bytes <= TOLD_BYTES_MAX`.
    waiting: Vec<u8>,
    room_bytes: usize,
    pieces_left: u32,
}

impl Default for Overheard {
    fn default() -> Overheard {
        let (room_bytes, pieces_left) = (TOLD_BYTES_MAX, TOLD_PIECES_MAX);
        Overheard { waiting: Vec::new(), room_bytes, pieces_left }
    }
}

impl Overheard {
    pub fn push(&mut self, piece: &[u8]) {
        let taken = &piece[..piece.len().min(self.room_bytes)];
        self.waiting.extend_from_slice(taken);
        self.room_bytes -= taken.len();
        if taken.len() < piece.len() {
            self.waiting.truncate(self.waiting.len() - unfinished(&self.waiting));
        }
    }

    /// Takes what waits, but for a character that has not come whole; at the output's end, all.
    pub fn take(&mut self, is_over: bool) -> Option<Vec<u8>> {
        let rest = if is_over { 0 } else { unfinished(&self.waiting) };
        let whole = self.waiting.len() - rest;
        if whole == 0 {
            return None;
        }
        let rest = self.waiting.split_off(whole);
        self.pieces_left -= 1;
        if self.pieces_left == 0 {
            self.room_bytes = 0;
            return Some(std::mem::take(&mut self.waiting));
        }
        Some(std::mem::replace(&mut self.waiting, rest))
    }

    /// Nobody takes what waits for now.
    pub fn wait(&mut self) {
        if self.waiting.len() > TOLD_WAITING_BYTES_MAX {
            self.room_bytes = 0;
            self.waiting.truncate(TOLD_WAITING_BYTES_MAX);
            self.waiting.truncate(self.waiting.len() - unfinished(&self.waiting));
            self.waiting.shrink_to_fit();
        }
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_output_whatever_the_cuts() {
        let text = "a\u{e9}\u{20ac}\u{1f980}b".as_bytes();
        for cut in 0..=text.len() {
            let mut heard = Overheard::default();
            let mut told = Vec::new();
            for piece in [&text[..cut], &text[cut..]] {
                heard.push(piece);
                let piece = heard.take(false).unwrap_or_default();
                assert!(str::from_utf8(&piece).is_ok(), "{cut}");
                told.extend(piece);
            }
            assert_eq!(told, text, "{cut}");
        }
        let mut heard = Overheard::default();
        heard.push(b"\xf0\x9f");
        assert_eq!(heard.take(false), None);
        assert_eq!(heard.take(true).unwrap(), b"\xf0\x9f");
    }

    #[test]
    fn no_more_than_the_bound_is_told() {
        let mut heard = Overheard::default();
        heard.push(&vec![b'x'; TOLD_BYTES_MAX - 2]);
        assert_eq!(heard.take(false).unwrap().len(), TOLD_BYTES_MAX - 2);
        heard.push("y\u{20ac}".as_bytes());
        assert_eq!(heard.take(false).unwrap(), b"y");
        heard.push(b"more");
        assert_eq!(heard.take(true), None);
    }

    #[test]
    fn no_more_pieces_than_the_bound_are_told() {
        let mut heard = Overheard::default();
        let mut count = 0;
        loop {
            heard.push(b"x");
            if heard.take(false).is_none() {
                break;
            }
            count += 1;
        }
        assert_eq!(count, TOLD_PIECES_MAX);
        assert!(!heard.is_waiting());
    }

    #[test]
    fn what_waits_has_a_bound_and_no_gap_behind_it() {
        let mut heard = Overheard::default();
        heard.push(&vec![b'x'; TOLD_WAITING_BYTES_MAX]);
        heard.wait();
        heard.push(b"y");
        heard.wait();
        heard.push(b"z");
        assert_eq!(heard.take(false).unwrap(), vec![b'x'; TOLD_WAITING_BYTES_MAX]);
        assert_eq!(heard.take(true), None);
    }
}
