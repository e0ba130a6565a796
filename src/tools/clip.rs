//! Keeps the head and the tail of output within bounds while it is read.
//!
//! A command may write a gigabyte; a `Clip` holds at most two times its bound of it and counts the
//! rest. What comes out does not depend on how the bytes were cut into pieces. Cuts fall between
//! characters, bytes that are no UTF-8 become U+FFFD, and every cut says what was left out.

use crate::limits::{CALL_OUTPUT_BYTES_MAX, CALL_OUTPUT_LINES_MAX, CLIP_BYTES_MIN};

/// Output as it arrives.
#[derive(Debug)]
pub struct Clip {
    bytes_max: usize,
    lines_max: u64,
    /// The first bytes. Invariant: `head.len() <= bytes_max`.
    head: Vec<u8>,
    /// The last of the bytes behind `head`, a ring once full. Invariant: `tail.len() <= bytes_max`.
    tail: Vec<u8>,
    /// Where the oldest byte of `tail` is. Invariant: zero until `tail` is full.
    oldest: usize,
    total_bytes: u64,
    newlines: u64,
}

/// What is left of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clipped {
    pub text: String,
    pub total_bytes: u64,
    pub total_lines: u64,
    pub truncated: bool,
}

impl Default for Clip {
    fn default() -> Self {
        Self::with_bounds(CALL_OUTPUT_BYTES_MAX, CALL_OUTPUT_LINES_MAX)
    }
}

impl Clip {
    /// With the bounds of what a model is shown.
    pub fn new() -> Self {
        Self::default()
    }

    /// With other bounds; fewer bytes than `CLIP_BYTES_MIN` would not hold the marks of a cut.
    pub fn with_bounds(bytes_max: usize, lines_max: u64) -> Self {
        let bytes_max = bytes_max.max(CLIP_BYTES_MIN);
        let (head, tail) = (Vec::new(), Vec::new());
        Self { bytes_max, lines_max, head, tail, oldest: 0, total_bytes: 0, newlines: 0 }
    }

    /// Takes the next piece of the output.
    pub fn push(&mut self, piece: &[u8]) {
        self.total_bytes += piece.len() as u64;
        self.newlines += newlines_in(piece);
        let (head, rest) = piece.split_at(piece.len().min(self.bytes_max - self.head.len()));
        self.head.extend_from_slice(head);
        // Of a long piece only the last bytes can stay.
        let rest = &rest[rest.len().saturating_sub(self.bytes_max)..];
        let (fill, over) = rest.split_at(rest.len().min(self.bytes_max - self.tail.len()));
        self.tail.extend_from_slice(fill);
        let (upper, lower) = over.split_at(over.len().min(self.bytes_max - self.oldest));
        self.tail[self.oldest..self.oldest + upper.len()].copy_from_slice(upper);
        self.tail[..lower.len()].copy_from_slice(lower);
        self.oldest = (self.oldest + over.len()) % self.bytes_max;
    }

    /// What is left of all that was pushed.
    pub fn finish(&self) -> Clipped {
        let total_lines = self.total_lines();
        let (text, truncated) = self.text(total_lines);
        assert!(text.len() <= self.bytes_max, "a clip keeps its bound");
        Clipped { text, total_bytes: self.total_bytes, total_lines, truncated }
    }

    fn total_lines(&self) -> u64 {
        let last = if self.tail.is_empty() {
            self.head.last()
        } else {
            let newest = self.oldest.checked_sub(1).unwrap_or(self.tail.len() - 1);
            self.tail.get(newest)
        };
        self.newlines + u64::from(last.is_some_and(|&byte| byte != b'\n'))
    }

    fn text(&self, total_lines: u64) -> (String, bool) {
        let first = String::from_utf8_lossy(&self.head);
        if self.tail.is_empty() && total_lines <= self.lines_max && first.len() <= self.bytes_max {
            return (first.into_owned(), false);
        }
        let last = self.last_bytes();
        let last = String::from_utf8_lossy(&last);
        if total_lines > self.lines_max {
            let head_lines = self.lines_max / 2;
            let tail_lines = self.lines_max - head_lines;
            let (head, tail) = (first_lines(&first, head_lines), last_lines(&last, tail_lines));
            let omitted = total_lines - self.lines_max;
            let mark = format!("\n[... {omitted} of {total_lines} lines left out ...]\n\n");
            if head.len() + mark.len() + tail.len() <= self.bytes_max {
                return (format!("{head}{mark}{tail}"), true);
            }
            return (self.cut(head, tail, total_lines), true);
        }
        (self.cut(&first, &last, total_lines), true)
    }

    /// Half of the bound from the front of `head`, the rest from the back of `tail`.
    fn cut(&self, head: &str, tail: &str, total_lines: u64) -> String {
        let mark = format!(
            "\n\n[... cut to fit {} bytes; the whole had {} bytes in {total_lines} lines ...]\n\n",
            self.bytes_max, self.total_bytes
        );
        let head = &head[..head.floor_char_boundary(self.bytes_max / 2)];
        let room = self.bytes_max - head.len() - mark.len();
        let tail = &tail[tail.ceil_char_boundary(tail.len().saturating_sub(room))..];
        format!("{head}{mark}{tail}")
    }

    /// The last `bytes_max` bytes, or all if there were fewer.
    fn last_bytes(&self) -> Vec<u8> {
        let missing = self.bytes_max - self.tail.len();
        let mut bytes = Vec::with_capacity(self.bytes_max);
        bytes.extend_from_slice(&self.head[self.head.len().saturating_sub(missing)..]);
        bytes.extend_from_slice(&self.tail[self.oldest..]);
        bytes.extend_from_slice(&self.tail[..self.oldest]);
        bytes
    }
}

/// A clip does not depend on how its output was cut, and keeps its bound.
pub fn fuzz(bytes: &[u8]) {
    let [seed, output @ ..] = bytes else { return };
    let lines_max = u64::from(*seed % 16);
    let mut whole = Clip::with_bounds(0, lines_max);
    whole.push(output);
    let mut pieces = Clip::with_bounds(0, lines_max);
    for piece in output.chunks(1 + usize::from(*seed)) {
        pieces.push(piece);
    }
    assert_eq!(whole.finish(), pieces.finish(), "any cut gives the same text");
}

/// Up to `count` lines from the front, newlines included.
fn first_lines(text: &str, count: u64) -> &str {
    let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    let mut ends = newlines.map(|(index, _)| index + 1);
    match count.checked_sub(1) {
        None => "",
        Some(before) => {
            let nth = usize::try_from(before).ok().and_then(|before| ends.nth(before));
            &text[..nth.unwrap_or(text.len())]
        }
    }
}

/// Up to `count` lines from the back; the newline that ends the last line starts no other.
fn last_lines(text: &str, count: u64) -> &str {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let newlines = body.bytes().enumerate().rev().filter(|(_, byte)| *byte == b'\n');
    let mut starts = newlines.map(|(index, _)| index + 1);
    match count.checked_sub(1) {
        None => "",
        Some(before) => {
            let nth = usize::try_from(before).ok().and_then(|before| starts.nth(before));
            &text[nth.unwrap_or(0)..]
        }
    }
}

/// Counts newlines eight bytes at a time: a flood is counted faster than it is read.
fn newlines_in(bytes: &[u8]) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const NEWLINES: u64 = 0x0a0a_0a0a_0a0a_0a0a;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut count = 0;
    for word in words {
        let differing = u64::from_ne_bytes(*word) ^ NEWLINES;
        // The high bit of each byte is set unless the byte is zero; no carry leaves a byte.
        let set = ((differing & LOW) + LOW) | differing;
        count += u64::from((!set & !LOW).count_ones());
    }
    count + rest.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::{Clip, Clipped, fuzz, newlines_in};
    use crate::limits::{CALL_OUTPUT_BYTES_MAX, CALL_OUTPUT_LINES_MAX, CLIP_BYTES_MIN};

    fn clip(output: &[u8]) -> Clipped {
        let mut clip = Clip::new();
        clip.push(output);
        clip.finish()
    }

    fn lines(count: usize) -> String {
        (1..=count).map(|line| format!("line {line}\n")).collect()
    }

    #[test]
    fn short_output_stays_whole() {
        for (output, total_lines) in [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2)] {
            let total_bytes = output.len() as u64;
            let text = output.to_owned();
            let expected = Clipped { text, total_bytes, total_lines, truncated: false };
            assert_eq!(clip(output.as_bytes()), expected, "{output:?}");
        }
        let full = lines(CALL_OUTPUT_LINES_MAX as usize);
        assert_eq!(clip(full.as_bytes()).text, full);
        let full = "é".repeat(CALL_OUTPUT_BYTES_MAX / 2);
        assert_eq!(clip(full.as_bytes()).text, full);
    }

    #[test]
    fn too_many_lines_lose_their_middle() {
        let clipped = clip(lines(300).as_bytes());
        assert!(clipped.truncated);
        assert_eq!(clipped.total_lines, 300);
        assert!(clipped.text.starts_with("line 1\n"));
        let middle = "line 128\n\n[... 44 of 300 lines left out ...]\n\nline 173\n";
        assert!(clipped.text.contains(middle), "{}", clipped.text);
        assert!(clipped.text.ends_with("line 300\n"));
        let last = clip(lines(300).trim_end().as_bytes());
        assert_eq!((last.total_lines, last.text.ends_with("line 300")), (300, true));
    }

    #[test]
    fn one_huge_line_keeps_both_ends() {
        let output = format!("head{}tail", "x".repeat(1 << 20));
        let clipped = clip(output.as_bytes());
        assert!(clipped.text.starts_with("headxxx") && clipped.text.ends_with("xxxtail"));
        assert!(clipped.text.len() <= CALL_OUTPUT_BYTES_MAX);
        assert!(clipped.text.len() > CALL_OUTPUT_BYTES_MAX - 4);
        let told = format!("cut to fit {CALL_OUTPUT_BYTES_MAX} bytes");
        assert!(clipped.text.contains(&told) && clipped.text.contains("in 1 lines"));
        assert_eq!((clipped.total_bytes, clipped.total_lines), (output.len() as u64, 1));
    }

    #[test]
    fn many_long_lines_are_cut_by_bytes() {
        let line = "y".repeat(99) + "\n";
        let clipped = clip(line.repeat(1000).as_bytes());
        assert!(clipped.text.len() <= CALL_OUTPUT_BYTES_MAX);
        assert!(clipped.text.contains("100000 bytes in 1000 lines"));
    }

    #[test]
    fn cuts_fall_between_characters() {
        for shift in 0..4 {
            let output = "a".repeat(shift) + &"🦀".repeat(10_000);
            let text = clip(output.as_bytes()).text;
            assert!(!text.contains('\u{fffd}') && text.ends_with('🦀'));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_within_the_bound() {
        assert_eq!(clip(b"a\xffb").text, "a\u{fffd}b");
        let clipped = clip(&[0xff; CALL_OUTPUT_BYTES_MAX - 1]);
        assert!(clipped.truncated && clipped.text.len() <= CALL_OUTPUT_BYTES_MAX);
    }

    #[test]
    fn any_cut_gives_the_same_text() {
        let mut output = lines(40).into_bytes();
        output.extend_from_slice("é🦀\n".repeat(60).as_bytes());
        output.extend_from_slice(b"\xf0\x9f\xff");
        for bytes in [0, 100, 256, 300, 512, output.len()] {
            let output = &output[..bytes];
            for lines_max in [0, 1, 7, 1000] {
                let mut whole = Clip::with_bounds(CLIP_BYTES_MIN, lines_max);
                whole.push(output);
                for size in 1..=bytes.max(1) {
                    let mut pieces = Clip::with_bounds(CLIP_BYTES_MIN, lines_max);
                    output.chunks(size).for_each(|piece| pieces.push(piece));
                    assert_eq!(pieces.finish(), whole.finish(), "{bytes} {lines_max} {size}");
                }
            }
        }
    }

    #[test]
    fn a_flood_needs_no_more_than_the_bounds() {
        let mut clip = Clip::new();
        let piece = b"a flood of text\n".repeat(4096);
        for _ in 0..16_384 {
            clip.push(&piece);
        }
        assert!(clip.head.capacity() + clip.tail.capacity() <= 4 * CALL_OUTPUT_BYTES_MAX);
        let clipped = clip.finish();
        assert_eq!(clipped.total_bytes, 1 << 30);
        assert_eq!(clipped.total_lines, 1 << 26);
    }

    #[test]
    fn newlines_are_counted_wherever_they_stand() {
        for length in 0..40 {
            for byte in [0x00, 0x09, 0x0b, 0x8a, 0x0a, 0xff] {
                let bytes = vec![byte; length];
                let expected = if byte == b'\n' { length as u64 } else { 0 };
                assert_eq!(newlines_in(&bytes), expected);
            }
        }
        assert_eq!(newlines_in(b"\n\x0b\n\x0b\x0b\n\n\x8a\n"), 5);
    }

    #[test]
    fn the_fuzz_corpus_passes() {
        fuzz(b"");
        fuzz(b"\x00");
        fuzz(b"\x03\n\n\n\n\n\xf0\x9f");
        fuzz(&[0x0a; 1000]);
        fuzz(&[0xf0; 1000]);
        fuzz("\u{5}é\né\n".repeat(300).as_bytes());
    }
}
