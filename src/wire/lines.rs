//! Splits a byte stream into lines of bounded length.
//!
//! Pieces may be of any size; the result does not depend on where they were cut. Endings are `\n`,
//! `\r\n` and a lone `\r`. A line over the bound ends the stream with an error: whoever sent it is
//! not speaking our protocol. Bytes after the last ending are no line. What lines mean is for
//! others.

use std::ops::Range;

use crate::limits::LINES_CAPACITY_KEPT_BYTES;

/// The splitter. Push a piece, then pull until `None`, then push again.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes already handed out. Invariant: `taken <= scanned <= buffer.len()`.
    taken: usize,
    /// Bytes known to end no line; keeps a slow stream linear.
    scanned: usize,
    /// The last line ended in `\r`, so a `\n` that follows belongs to that ending.
    after_return: bool,
    line_bytes_max: usize,
}

/// Why a stream is not made of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineError {
    TooLong,
}

impl Lines {
    /// A splitter that refuses lines longer than `line_bytes_max`.
    pub fn bounded(line_bytes_max: usize) -> Lines {
        Lines { buffer: Vec::new(), taken: 0, scanned: 0, after_return: false, line_bytes_max }
    }

    /// Takes the next piece of the stream.
    ///
    /// Ranges from `pull_range` end here: the bytes they named are gone.
    pub fn push(&mut self, piece: &[u8]) {
        self.forget();
        self.buffer.extend_from_slice(piece);
    }

    /// Gives back memory that the lines so far needed, for a stream that may be silent for long. A
    /// long line that has begun keeps its room. Ranges from `pull_range` end here too.
    pub fn rest(&mut self) {
        let is_large = self.buffer.capacity() > LINES_CAPACITY_KEPT_BYTES;
        if is_large && self.unfinished().len() <= LINES_CAPACITY_KEPT_BYTES {
            self.forget();
            self.buffer.shrink_to(LINES_CAPACITY_KEPT_BYTES);
        }
    }

    /// Drops the lines that were handed out.
    fn forget(&mut self) {
        self.buffer.drain(..self.taken);
        self.scanned -= self.taken;
        self.taken = 0;
    }

    /// The next whole line without its ending, or `None` until more bytes arrive.
    pub fn pull(&mut self) -> Option<Result<&[u8], LineError>> {
        match self.pull_range()? {
            Ok(range) => Some(Ok(&self.buffer[range])),
            Err(error) => Some(Err(error)),
        }
    }

    /// Like `pull`, but says where the line is; `bytes` shows it until the next `push`.
    pub fn pull_range(&mut self) -> Option<Result<Range<usize>, LineError>> {
        if self.after_return && self.taken < self.buffer.len() {
            if self.buffer[self.taken] == b'\n' {
                self.taken += 1;
                self.scanned = self.scanned.max(self.taken);
            }
            self.after_return = false;
        }
        let ending = find_ending(&self.buffer[self.scanned..]);
        let end = ending.map_or(self.buffer.len(), |offset| self.scanned + offset);
        self.scanned = end;
        if end - self.taken > self.line_bytes_max {
            return Some(Err(LineError::TooLong));
        }
        ending?;
        let line = self.taken..end;
        self.after_return = self.buffer[end] == b'\r';
        self.taken = end + 1;
        self.scanned = self.taken;
        Some(Ok(line))
    }

    /// The bytes of a range that `pull_range` gave since the last `push`.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Bytes that belong to no whole line yet.
    pub fn unfinished(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }
}

/// Where the first `\n` or `\r` is.
///
/// Eight bytes at a time: both are below 0x10, which text rarely is, so one subtraction asks for
/// both.
fn find_ending(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let mut done = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_ne_bytes([
            chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
        ]);
        // Nonzero if some byte is below 0x10; a borrow may add bytes, never hide one.
        if word.wrapping_sub(ONES * 0x10) & !word & (ONES * 0x80) != 0
            && let Some(offset) = chunk.iter().position(is_ending)
        {
            return Some(done + offset);
        }
        done += 8;
    }
    bytes[done..].iter().position(is_ending).map(|offset| done + offset)
}

fn is_ending(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Splits at places the bytes themselves choose, whole and byte by byte; all must agree.
pub fn fuzz_cuts(bytes: &[u8]) {
    const LINE_BYTES_MAX: usize = 64;
    let split = |cut_bytes: usize| {
        let mut lines = Lines::bounded(LINE_BYTES_MAX);
        let mut got = Vec::new();
        for piece in bytes.chunks(cut_bytes.max(1)) {
            lines.push(piece);
            while let Some(line) = lines.pull() {
                let failed = line.is_err();
                got.push(line.map(<[u8]>::to_vec));
                if failed {
                    return got;
                }
            }
        }
        got
    };
    let whole = split(bytes.len());
    let chosen = bytes.first().map_or(3, |&byte| usize::from(byte % 17) + 1);
    for cut_bytes in [1, 2, chosen] {
        assert_eq!(split(cut_bytes), whole, "cut every {cut_bytes} bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stream: &[u8], line_bytes_max: usize, expected: &[Result<&str, LineError>]) {
        let split = |pieces: &[&[u8]]| {
            let mut lines = Lines::bounded(line_bytes_max);
            let mut got = Vec::new();
            for piece in pieces {
                lines.push(piece);
                while let Some(line) = lines.pull() {
                    let failed = line.is_err();
                    got.push(line.map(|line| String::from_utf8(line.to_vec()).unwrap()));
                    if failed {
                        return got;
                    }
                }
            }
            got
        };
        let expected: Vec<_> =
            expected.iter().map(|line| line.map(str::to_owned)).collect::<Vec<_>>();
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(split(&[head, tail]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(split(&bytes), expected, "byte by byte");
    }

    #[test]
    fn any_cut_gives_the_same_lines() {
        check(
            b"a\nbc\r\nd\re\r\n\r\n\n\r\rtail",
            100,
            &[Ok("a"), Ok("bc"), Ok("d"), Ok("e"), Ok(""), Ok(""), Ok(""), Ok("")],
        );
        let long = format!("{}\t\u{b}{}\r\nx\n", "q".repeat(31), "z".repeat(17));
        let first = &long[..50];
        check(long.as_bytes(), 100, &[Ok(first), Ok("x")]);
    }

    #[test]
    fn a_line_over_the_bound_is_refused_wherever_it_is_cut() {
        check(b"1234\n12345\n", 4, &[Ok("1234"), Err(LineError::TooLong)]);
        check(b"12345", 4, &[Err(LineError::TooLong)]);
        check(b"1234\r\n", 4, &[Ok("1234")]);
    }

    #[test]
    fn a_large_line_leaves_no_large_buffer_behind() {
        let mut lines = Lines::bounded(1 << 20);
        lines.push(&vec![b'x'; 1 << 19]);
        assert!(lines.pull().is_none());
        lines.push(b"\n");
        assert_eq!(lines.pull().unwrap().unwrap().len(), 1 << 19);
        assert!(lines.pull().is_none());
        lines.rest();
        assert!(lines.buffer.capacity() <= LINES_CAPACITY_KEPT_BYTES);
        lines.push(b"next\nbegun");
        lines.rest();
        assert_eq!(lines.pull(), Some(Ok(&b"next"[..])));
        assert_eq!(lines.unfinished(), b"begun");
    }

    #[test]
    fn the_fuzz_body_holds_for_its_seeds() {
        for seed in [
            &b"a\r\n\rb\n\n"[..],
            b"",
            b"\r",
            b"\n\r\n\r",
            &[b'x'; 70],
            b"\x07data\x0b\x0c\r\ndata: 1234567890\r",
        ] {
            fuzz_cuts(seed);
        }
    }
}
