//! Reads the text of a patch into hunks.
//!
//! The format is line-oriented and forgiving where models are known to slip: space around the text
//! and its markers, a heredoc left around it, a first chunk without `@@`, empty lines that lost
//! their leading space, blank lines around a chunk. Everything else is an error that names the line
//! (1-based, the begin marker being line 1) and what would have been right. Paths are not judged
//! here.

use std::fmt;

use crate::limits::{PATCH_BYTES_MAX, PATCH_HUNKS_MAX};

pub const BEGIN: &str = "*** Begin Patch";
pub const END: &str = "*** End Patch";
const ADD: &str = "*** Add File: ";
const DELETE: &str = "*** Delete File: ";
const UPDATE: &str = "*** Update File: ";
const MOVE: &str = "*** Move to: ";
const END_OF_FILE: &str = "*** End of File";

/// What a patch asks for, in its order; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    pub hunks: Vec<Hunk>,
}

/// What is to be done to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hunk {
    Add { path: String, content: String },
    Delete { path: String },
    Update { path: String, move_to: Option<String>, chunks: Vec<Chunk> },
}

/// One place of a file and its change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Lines to be passed, one after the other, before the place is looked for.
    pub contexts: Vec<String>,
    /// Never empty.
    pub lines: Vec<Line>,
    /// The place is the end of the file, if it fits there.
    pub at_end: bool,
}

/// A line of a chunk, without its mark and its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Keep(String),
    Remove(String),
    Insert(String),
}

/// Why a text is not a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchError {
    TooLong,
    TooManyFiles,
    NoBegin,
    NoEnd,
    NoFiles,
    Header { line: usize, text: String },
    NoChunks { line: usize, path: String },
    NoLines { line: usize },
    Unexpected { line: usize, text: String },
}

/// Reads a patch.
pub fn parse(text: &str) -> Result<Patch, PatchError> {
    if text.len() > PATCH_BYTES_MAX {
        return Err(PatchError::TooLong);
    }
    let lines: Vec<&str> = text.trim().lines().collect();
    let lines = within_heredoc(&lines);
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return Err(PatchError::NoBegin);
    };
    if first.trim() != BEGIN {
        return Err(PatchError::NoBegin);
    }
    if lines.len() < 2 || last.trim() != END {
        return Err(PatchError::NoEnd);
    }
    let mut reader = Reader { lines: &lines[..lines.len() - 1], index: 1 };
    let mut hunks = Vec::new();
    while let Some(hunk) = reader.hunk()? {
        if hunks.len() == PATCH_HUNKS_MAX {
            return Err(PatchError::TooManyFiles);
        }
        hunks.push(hunk);
    }
    if hunks.is_empty() { Err(PatchError::NoFiles) } else { Ok(Patch { hunks }) }
}

impl Hunk {
    /// The path as the patch wrote it.
    pub fn path(&self) -> &str {
        match self {
            Hunk::Add { path, .. } | Hunk::Delete { path } | Hunk::Update { path, .. } => path,
        }
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatchError::TooLong => {
                write!(out, "the patch is longer than {PATCH_BYTES_MAX} bytes; send it in parts")
            }
            PatchError::TooManyFiles => {
                write!(out, "the patch names more than {PATCH_HUNKS_MAX} files; send it in parts")
            }
            PatchError::NoBegin => {
                write!(out, "invalid patch: the first line must be '{BEGIN}'")
            }
            PatchError::NoEnd => write!(out, "invalid patch: the last line must be '{END}'"),
            PatchError::NoFiles => write!(out, "the patch is empty: it changes no file"),
            PatchError::Header { line, text } => write!(
                out,
                "invalid patch at line {line}: '{text}' is not a file header; valid headers are \
                 '{ADD}{{path}}', '{DELETE}{{path}}' and '{UPDATE}{{path}}'"
            ),
            PatchError::NoChunks { line, path } => write!(
                out,
                "invalid patch at line {line}: the update of '{path}' has no changes; give at \
                 least one line that starts with '+', '-' or a space"
            ),
            PatchError::NoLines { line } => write!(
                out,
                "invalid patch at line {line}: no lines follow '@@'; give at least one line that \
                 starts with '+', '-' or a space"
            ),
            PatchError::Unexpected { line, text } => write!(
                out,
                "invalid patch at line {line}: unexpected line '{text}'; within an update each \
                 line starts with ' ' (kept), '-' (removed), '+' (inserted) or '@@' (next place)"
            ),
        }
    }
}

impl std::error::Error for PatchError {}

/// A walk over the lines between the markers.
struct Reader<'a> {
    /// From the begin marker up to, not including, the end marker.
    lines: &'a [&'a str],
    /// The next line. Invariant: `1 <= index <= lines.len()`.
    index: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.index).copied()
    }

    /// The number of the line that `peek` shows.
    fn number(&self) -> usize {
        self.index + 1
    }

    fn skip_blank(&mut self) {
        while self.peek().is_some_and(|line| line.trim().is_empty()) {
            self.index += 1;
        }
    }

    fn hunk(&mut self) -> Result<Option<Hunk>, PatchError> {
        let Some(raw) = self.peek() else { return Ok(None) };
        let (number, header) = (self.number(), raw.trim());
        self.index += 1;
        let named = |prefix: &str| header.strip_prefix(prefix).map(str::to_owned);
        if let Some(path) = named(ADD) {
            Ok(Some(Hunk::Add { path, content: self.content() }))
        } else if let Some(path) = named(DELETE) {
            Ok(Some(Hunk::Delete { path }))
        } else if let Some(path) = named(UPDATE) {
            self.update(path, number).map(Some)
        } else {
            Err(PatchError::Header { line: number, text: shown(header) })
        }
    }

    fn content(&mut self) -> String {
        let mut content = String::new();
        while let Some(text) = self.peek().and_then(|line| line.strip_prefix('+')) {
            content.push_str(text);
            content.push('\n');
            self.index += 1;
        }
        content
    }

    fn update(&mut self, path: String, number: usize) -> Result<Hunk, PatchError> {
        let move_to = self.peek().and_then(|line| line.trim().strip_prefix(MOVE));
        let move_to = move_to.map(str::to_owned);
        if move_to.is_some() {
            self.index += 1;
        }
        let mut chunks = Vec::new();
        loop {
            self.skip_blank();
            match self.peek() {
                None => break,
                Some(line) if line.starts_with("***") => break,
                Some(_) => chunks.push(self.chunk(chunks.is_empty())?),
            }
        }
        // A move alone is a rename; grammar and semantics leave nothing else to do.
        if chunks.is_empty() && move_to.is_none() {
            return Err(PatchError::NoChunks { line: number, path: shown(&path) });
        }
        Ok(Hunk::Update { path, move_to, chunks })
    }

    fn chunk(&mut self, first: bool) -> Result<Chunk, PatchError> {
        let mut chunk = Chunk::default();
        let start = self.number();
        while let Some(context) = self.peek().and_then(context_text) {
            chunk.contexts.extend(context.map(str::to_owned));
            self.index += 1;
        }
        let marked = self.number() > start;
        while let Some(line) = self.peek().filter(|_| marked || first).and_then(chunk_line) {
            chunk.lines.push(line);
            self.index += 1;
        }
        if chunk.lines.is_empty() {
            return Err(match self.peek() {
                Some(text) if !marked || !text.starts_with("***") => {
                    PatchError::Unexpected { line: self.number(), text: shown(text) }
                }
                _ => PatchError::NoLines { line: self.number() - 1 },
            });
        }
        if self.peek().is_some_and(|line| line.trim_end() == END_OF_FILE) {
            chunk.at_end = true;
            self.index += 1;
        }
        Ok(chunk)
    }
}

/// The lines without a heredoc that was left around the patch.
fn within_heredoc<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    let [first, inner @ .., last] = lines else { return lines };
    let opens = matches!(first.trim(), "<<EOF" | "<<'EOF'" | "<<\"EOF\"");
    if opens && last.trim() == "EOF" { inner } else { lines }
}

/// What a line that begins a chunk names, if it is such a line; a space alone names a blank line.
fn context_text(line: &str) -> Option<Option<&str>> {
    if line == "@@" { Some(None) } else { line.strip_prefix("@@ ").map(Some) }
}

fn chunk_line(line: &str) -> Option<Line> {
    if line.is_empty() {
        return Some(Line::Keep(String::new()));
    }
    if let Some(text) = line.strip_prefix(' ') {
        return Some(Line::Keep(text.to_owned()));
    }
    if let Some(text) = line.strip_prefix('-') {
        return Some(Line::Remove(text.to_owned()));
    }
    line.strip_prefix('+').map(|text| Line::Insert(text.to_owned()))
}

/// The offending text, short enough for a message.
fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    text.chars().take(SHOWN_CHARS_MAX).collect()
}
