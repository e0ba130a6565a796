//! The pure part of `read_file`: bytes of a file in, numbered lines out.
//!
//! A slice shows `limit` lines from `offset`; a block shows the indented surroundings of one line.
//! Both take the file piece by piece and say when they have enough, so that a huge file is not read
//! to its end. Lines are cut to `FILE_LINE_CHARS_MAX` characters, the whole to
//! `FILE_SHOWN_BYTES_MAX` bytes.

use std::fmt;

use serde::Deserialize;

use crate::limits::{
    FILE_BLOCK_BYTES_MAX, FILE_LINE_CHARS_MAX, FILE_LINES_DEFAULT, FILE_SHOWN_BYTES_MAX,
};

const TAB_COLUMNS: usize = 4;

/// What `read_file` is called with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReadFile {
    pub file_path: String,
    #[serde(default = "first_line")]
    pub offset: u64,
    #[serde(default = "lines_default")]
    pub limit: u64,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub indentation: Option<Indentation>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Slice,
    Indentation,
}

/// Which block to show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Indentation {
    /// A line of the block; the offset if it is missing.
    pub anchor_line: Option<u64>,
    /// How many levels out from the anchor; 0 is all the way.
    pub max_levels: u64,
    pub include_siblings: bool,
    /// Comments directly above; yes if it is missing.
    pub include_header: Option<bool>,
    pub max_lines: Option<u64>,
}

/// Why nothing can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SliceError {
    NotAbsolute,
    ZeroOffset,
    ZeroLimit,
    ZeroAnchor,
    ZeroLines,
    BeyondEnd { lines: u64 },
    TooLong,
}

/// A file on its way to becoming text for the model.
#[derive(Debug)]
pub struct Slicer {
    wanted: Wanted,
    /// That line, as much of it as will be shown.
    line: Vec<u8>,
    ended_lines: u64,
    /// Whether a line was begun that has no end yet.
    started: bool,
}

#[derive(Debug)]
enum Wanted {
    Slice { offset: u64, limit: u64, text: String },
    Block { anchor: u64, limit: u64, block: Indentation, lines: Vec<String>, bytes: usize },
}

impl ReadFile {
    /// Begins to read, if the arguments make sense.
    pub fn slicer(self) -> Result<Slicer, SliceError> {
        if !self.file_path.starts_with('/') {
            return Err(SliceError::NotAbsolute);
        }
        if self.offset == 0 {
            return Err(SliceError::ZeroOffset);
        }
        if self.limit == 0 {
            return Err(SliceError::ZeroLimit);
        }
        let wanted = match self.mode {
            Mode::Slice => {
                Wanted::Slice { offset: self.offset, limit: self.limit, text: String::new() }
            }
            Mode::Indentation => {
                let block = self.indentation.unwrap_or_default();
                let anchor = block.anchor_line.unwrap_or(self.offset);
                let limit = block.max_lines.unwrap_or(self.limit).min(self.limit);
                if anchor == 0 {
                    return Err(SliceError::ZeroAnchor);
                }
                if limit == 0 {
                    return Err(SliceError::ZeroLines);
                }
                Wanted::Block { anchor, limit, block, lines: Vec::new(), bytes: 0 }
            }
        };
        Ok(Slicer { wanted, line: Vec::new(), ended_lines: 0, started: false })
    }
}

impl Slicer {
    /// Takes the next piece of the file; whether more of it is wanted.
    pub fn push(&mut self, piece: &[u8]) -> Result<bool, SliceError> {
        let mut rest = piece;
        while !rest.is_empty() && self.is_hungry() {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let (text, after) = match end {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            // One byte more than can be shown, so that a final `\r` is still seen to be in the way.
            let room = (FILE_LINE_CHARS_MAX * 4 + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            self.started = true;
            rest = after;
            if end.is_some() {
                self.end_line()?;
            }
        }
        Ok(self.is_hungry())
    }

    /// The text for the model, once the file ended or no more is wanted.
    pub fn finish(mut self) -> Result<String, SliceError> {
        if self.started && self.is_hungry() {
            self.end_line()?;
        }
        let beyond = SliceError::BeyondEnd { lines: self.ended_lines };
        match self.wanted {
            Wanted::Slice { offset, .. } if self.ended_lines < offset => Err(beyond),
            Wanted::Slice { text, .. } => Ok(text),
            Wanted::Block { anchor, limit, block, lines, .. } => {
                let anchor = usize::try_from(anchor - 1).ok().filter(|&index| index < lines.len());
                Ok(block_text(&lines, anchor.ok_or(beyond)?, limit, &block))
            }
        }
    }

    fn is_hungry(&self) -> bool {
        match &self.wanted {
            Wanted::Slice { offset, limit, text } => {
                self.ended_lines < offset.saturating_add(limit - 1)
                    && text.len() < FILE_SHOWN_BYTES_MAX
            }
            Wanted::Block { .. } => true,
        }
    }

    fn end_line(&mut self) -> Result<(), SliceError> {
        self.ended_lines += 1;
        self.started = false;
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let decoded = String::from_utf8_lossy(line);
        match &mut self.wanted {
            Wanted::Slice { offset, text, .. } => {
                if self.ended_lines >= *offset {
                    push_line(text, self.ended_lines, &decoded);
                }
            }
            Wanted::Block { lines, bytes, .. } => {
                *bytes += decoded.len() + size_of::<String>();
                if *bytes > FILE_BLOCK_BYTES_MAX {
                    return Err(SliceError::TooLong);
                }
                lines.push(decoded.into_owned());
            }
        }
        self.line.clear();
        Ok(())
    }
}

impl fmt::Display for SliceError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SliceError::NotAbsolute => write!(out, "file_path must be an absolute path"),
            SliceError::ZeroOffset => write!(out, "offset must be a 1-indexed line number"),
            SliceError::ZeroLimit => write!(out, "limit must be greater than zero"),
            SliceError::ZeroAnchor => write!(out, "anchor_line must be a 1-indexed line number"),
            SliceError::ZeroLines => write!(out, "max_lines must be greater than zero"),
            SliceError::BeyondEnd { lines } => {
                write!(out, "offset exceeds file length: the file has {lines} lines")
            }
            SliceError::TooLong => write!(
                out,
                "the file is too long for indentation mode; read it in slices with offset and limit"
            ),
        }
    }
}

impl std::error::Error for SliceError {}

/// Any cut of a file gives the same lines.
pub fn fuzz(bytes: &[u8]) {
    let [offset, mode, size, file @ ..] = bytes else { return };
    let asked = ReadFile {
        file_path: "/f".to_owned(),
        offset: u64::from(*offset),
        limit: 3,
        mode: if mode % 2 == 0 { Mode::Slice } else { Mode::Indentation },
        indentation: Some(Indentation {
            max_levels: u64::from(*mode % 4),
            ..Indentation::default()
        }),
    };
    let read = |size: usize| {
        let mut slicer = asked.clone().slicer()?;
        for piece in file.chunks(size) {
            slicer.push(piece)?;
        }
        slicer.finish()
    };
    assert_eq!(read(1 + usize::from(*size)), read(file.len().max(1)), "any cut, the same lines");
}

fn first_line() -> u64 {
    1
}

fn lines_default() -> u64 {
    FILE_LINES_DEFAULT
}

fn push_line(text: &mut String, number: u64, line: &str) {
    let end = line.char_indices().nth(FILE_LINE_CHARS_MAX).map_or(line.len(), |(index, _)| index);
    let separator = if text.is_empty() { "" } else { "\n" };
    text.push_str(&format!("{separator}L{number}: {}", &line[..end]));
}

/// The lines around `anchor` that belong together.
fn block_text(lines: &[String], anchor: usize, limit: u64, block: &Indentation) -> String {
    let indents = effective_indents(lines);
    let least = match usize::try_from(block.max_levels) {
        Ok(0) => 0,
        Ok(levels) => indents[anchor].saturating_sub(levels.saturating_mul(TAB_COLUMNS)),
        Err(_) => 0,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut top = first_of_block(lines, &indents, anchor, least, block);
    let mut bottom = last_of_block(lines, &indents, anchor, least, block);
    // Beyond the limit both ends come closer to the anchor, the farther one first.
    while bottom - top + 1 > limit {
        if bottom - anchor >= anchor - top { bottom -= 1 } else { top += 1 }
    }
    let blank = |index: usize| lines[index].trim().is_empty();
    while top < bottom && blank(top) {
        top += 1;
    }
    while bottom > top && blank(bottom) {
        bottom -= 1;
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate().take(bottom + 1).skip(top) {
        if text.len() >= FILE_SHOWN_BYTES_MAX {
            break;
        }
        push_line(&mut text, index as u64 + 1, line);
    }
    text
}

fn first_of_block(
    lines: &[String],
    indents: &[usize],
    anchor: usize,
    least: usize,
    block: &Indentation,
) -> usize {
    let mut top = anchor;
    // The line that opens the block is the first one above at its indent.
    let mut opened = indents[anchor] == least;
    while top > 0 && indents[top - 1] >= least && (!opened || block.include_siblings) {
        top -= 1;
        opened = opened || (indents[top] == least && !lines[top].trim().is_empty());
    }
    if block.include_header.unwrap_or(true) {
        while top > 0 && is_comment(&lines[top - 1]) && indents[top - 1] == indents[top] {
            top -= 1;
        }
    }
    top
}

fn last_of_block(
    lines: &[String],
    indents: &[usize],
    anchor: usize,
    least: usize,
    block: &Indentation,
) -> usize {
    let mut bottom = anchor;
    while bottom + 1 < lines.len() && indents[bottom + 1] >= least {
        let next = &lines[bottom + 1];
        let at_least = indents[bottom + 1] == least && !next.trim().is_empty();
        if at_least && !block.include_siblings {
            // Only what closes the block still belongs to it.
            return if closes(next) { bottom + 1 } else { bottom };
        }
        bottom += 1;
    }
    bottom
}

/// Columns of indentation; a blank line has those of the line above it.
fn effective_indents(lines: &[String]) -> Vec<usize> {
    let mut last = 0;
    let mut indents = Vec::with_capacity(lines.len());
    for line in lines {
        if !line.trim().is_empty() {
            let space = line.chars().take_while(|c| matches!(c, ' ' | '\t'));
            last = space.map(|c| if c == '\t' { TAB_COLUMNS } else { 1 }).sum();
        }
        indents.push(last);
    }
    indents
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["#", "//", "--"].iter().any(|mark| line.starts_with(mark))
}

fn closes(line: &str) -> bool {
    let line = line.trim_start();
    let word = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    line.starts_with(['}', ')', ']']) || matches!(word, "end" | "fi" | "done" | "esac")
}

#[cfg(test)]
mod tests {
    use super::{Indentation, Mode, ReadFile, SliceError, fuzz};
    use crate::limits::{FILE_BLOCK_BYTES_MAX, FILE_LINE_CHARS_MAX, FILE_SHOWN_BYTES_MAX};

    fn asked(offset: u64, limit: u64) -> ReadFile {
        let file_path = "/f".to_owned();
        ReadFile { file_path, offset, limit, mode: Mode::Slice, indentation: None }
    }

    fn around(anchor: u64, max_levels: u64) -> ReadFile {
        let anchor_line = Some(anchor);
        let indentation = Some(Indentation { anchor_line, max_levels, ..Indentation::default() });
        ReadFile { mode: Mode::Indentation, indentation, ..asked(1, 2000) }
    }

    fn read(asked: &ReadFile, file: &[u8]) -> Result<String, SliceError> {
        let mut slicer = asked.clone().slicer()?;
        slicer.push(file)?;
        slicer.finish()
    }

    #[track_caller]
    fn check(asked: &ReadFile, file: &str, expected: &str) {
        assert_eq!(read(asked, file.as_bytes()).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn shows(asked: &ReadFile, file: &str, expected: std::ops::RangeInclusive<usize>) {
        let text = read(asked, file.as_bytes()).unwrap();
        let numbers: Vec<usize> = text
            .lines()
            .map(|line| line[1..].split(':').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(numbers, expected.collect::<Vec<_>>(), "{text}");
    }

    #[test]
    fn a_slice_has_numbered_lines() {
        check(&asked(1, 2000), "a\nb\n", "L1: a\nL2: b");
        check(&asked(2, 1), "a\nb\nc", "L2: b");
        check(&asked(2, 9), "a\r\n\r\nc", "L2: \nL3: c");
        check(&asked(3, 9), "a\n\nc", "L3: c");
        assert_eq!(read(&asked(1, 1), b"a\xffb").unwrap(), "L1: a\u{fffd}b");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let line = "é".repeat(FILE_LINE_CHARS_MAX);
        check(&asked(1, 1), &line, &format!("L1: {line}"));
        check(&asked(1, 1), &format!("{line}é\nx"), &format!("L1: {line}"));
        let line = "🦀".repeat(FILE_LINE_CHARS_MAX);
        check(&asked(1, 2), &format!("{}\nx", line.repeat(9)), &format!("L1: {line}\nL2: x"));
    }

    #[test]
    fn senseless_arguments_are_refused() {
        let relative = ReadFile { file_path: "f".to_owned(), ..asked(1, 1) };
        assert_eq!(read(&relative, b"a"), Err(SliceError::NotAbsolute));
        assert_eq!(read(&asked(0, 1), b"a"), Err(SliceError::ZeroOffset));
        assert_eq!(read(&asked(1, 0), b"a"), Err(SliceError::ZeroLimit));
        assert_eq!(read(&asked(3, 1), b"a\nb\n"), Err(SliceError::BeyondEnd { lines: 2 }));
        assert_eq!(read(&asked(1, 1), b""), Err(SliceError::BeyondEnd { lines: 0 }));
        assert_eq!(read(&around(0, 1), b"a"), Err(SliceError::ZeroAnchor));
        assert_eq!(read(&around(2, 1), b"a"), Err(SliceError::BeyondEnd { lines: 1 }));
        let mut none = around(1, 1);
        none.indentation.as_mut().unwrap().max_lines = Some(0);
        assert_eq!(read(&none, b"a"), Err(SliceError::ZeroLines));
    }

    #[test]
    fn no_more_is_read_than_is_shown() {
        let mut slicer = asked(2, 1).slicer().unwrap();
        assert_eq!(slicer.push(b"a\nb"), Ok(true));
        assert_eq!(slicer.push(b"\nc"), Ok(false));
        assert_eq!(slicer.finish().unwrap(), "L2: b");
    }

    #[test]
    fn what_is_shown_and_kept_is_bounded() {
        let file = "x".repeat(400) + "\n";
        let mut slicer = asked(1, u64::MAX).slicer().unwrap();
        while slicer.push(file.repeat(100).as_bytes()).unwrap() {}
        assert!(slicer.finish().unwrap().len() < FILE_SHOWN_BYTES_MAX + 1000);
        let mut slicer = around(1, 1).slicer().unwrap();
        let piece = vec![b'\n'; FILE_BLOCK_BYTES_MAX / 16];
        assert_eq!(slicer.push(&piece), Err(SliceError::TooLong));
    }

    const NESTED: &str = "\
mod m {
    // About f.
    #[test]
    fn f() {
        if x {
            y();
        }
        z();
    }

    fn g() {}
}
";

    #[test]
    fn a_block_is_what_encloses_the_anchor() {
        let file =
            "fn outer() {\n  a\n    b\n    if x {\n        inner();\n    }\n    tail();\n}\n";
        shows(&around(5, 1), file, 4..=6);
        shows(&around(6, 1), NESTED, 5..=7);
        shows(&around(6, 2), NESTED, 2..=9);
        shows(&around(6, 3), NESTED, 1..=12);
        shows(&around(6, 0), NESTED, 1..=12);
        shows(&around(6, u64::MAX), NESTED, 1..=12);
    }

    #[test]
    fn siblings_and_headers_are_shown_as_asked() {
        let mut asked = around(6, 2);
        asked.indentation.as_mut().unwrap().include_header = Some(false);
        shows(&asked, NESTED, 4..=9);
        asked.indentation.as_mut().unwrap().include_siblings = true;
        shows(&asked, NESTED, 2..=11);
    }

    #[test]
    fn a_block_may_close_without_a_bracket() {
        let file =
            "class A:\n    def f(self):\n\tx = 1\n\n    def g(self):\n        y = 2\n\nz = 3\n";
        shows(&around(6, 1), file, 5..=6);
        shows(&around(6, 2), file, 1..=6);
        shows(&around(2, 1), file, 1..=6);
        shows(&around(8, 0), file, 8..=8);
    }

    #[test]
    fn a_block_over_its_limit_stays_around_the_anchor() {
        let mut asked = around(6, 0);
        asked.indentation.as_mut().unwrap().max_lines = Some(3);
        shows(&asked, NESTED, 5..=7);
        asked.limit = 1;
        shows(&asked, NESTED, 6..=6);
    }

    #[test]
    fn any_cut_gives_the_same_lines() {
        for size in 0..8 {
            fuzz(&[&[2, 0, size], "a\r\nb\u{e9}\r\n\r\nd".as_bytes()].concat());
            fuzz(&[&[5, 1, size], NESTED.as_bytes()].concat());
            fuzz(&[&[6, 3, size], NESTED.as_bytes()].concat());
        }
        fuzz(b"");
        fuzz(b"\x00\x00\x00");
        fuzz(b"\x01\x01\x01\n \n\t\n");
        let line = [b"\x01\x00\x07".as_slice(), &vec![b'x'; 2001], b"\r\n"].concat();
        fuzz(&line);
    }

    #[test]
    fn arguments_have_defaults() {
        let read: ReadFile = serde_json::from_str(r#"{"file_path":"/f"}"#).unwrap();
        assert_eq!(read, asked(1, 2000));
        let read: ReadFile = serde_json::from_str(
            r#"{"file_path":"/f","mode":"indentation",
                "indentation":{"anchor_line":3,"max_levels":1}}"#,
        )
        .unwrap();
        assert_eq!(read, around(3, 1));
        assert!(serde_json::from_str::<ReadFile>(r#"{"file_path":"/f","mode":"x"}"#).is_err());
    }
}
