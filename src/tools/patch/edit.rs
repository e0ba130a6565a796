//! Gives the text of a file after an update.
//!
//! Chunks are placed in order, each behind the one before it. Lines that a chunk keeps stay as the
//! file has them, even where they were found only loosely; inserted lines take the file's kind of
//! line ending. The result ends with a newline, unless nothing is left.

use std::fmt;

use super::grammar::{Chunk, Line};
use super::locate::{Exhausted, Searcher};
use crate::words::sort;

/// Why an update does not fit a file. Paths and lines are as the patch wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    NoContext { path: String, context: String },
    NoLines { path: String, expected: String },
    TooCostly { path: String },
}

/// The lines `start..start + removed` of the old text give way to `inserted`.
struct Replacement {
    /// The first line of the chunk, which may only be kept. Invariant: `place <= start`.
    place: usize,
    start: usize,
    removed: usize,
    inserted: Vec<String>,
}

/// Where chunks go in one file, one after the other.
struct Placer<'a> {
    path: &'a str,
    lines: &'a [&'a str],
    searcher: Searcher<'a>,
    /// No chunk is looked for before this line.
    cursor: usize,
    /// No chunk may change a line before this one; lines from here to the cursor are only kept.
    /// Invariant: `taken <= cursor`.
    taken: usize,
    /// What inserted lines end with before their newline.
    ending: &'static str,
}

/// The text after `chunks` were applied to `old`; `path` is for messages.
pub fn edited(old: &str, chunks: &[Chunk], path: &str) -> Result<String, EditError> {
    let mut lines: Vec<&str> = old.split('\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let ending = if mostly_carriage_returns(&lines) { "\r" } else { "" };
    let searcher = Searcher::new(&lines);
    let mut placer = Placer { path, lines: &lines, searcher, cursor: 0, taken: 0, ending };
    let mut replacements = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        replacements.push(placer.place(chunk)?);
    }
    Ok(replaced(&lines, replacements))
}

impl Placer<'_> {
    fn place(&mut self, chunk: &Chunk) -> Result<Replacement, EditError> {
        for context in &chunk.contexts {
            let Some(index) = self.seek(&[context], None)? else {
                let (path, context) = (self.path.to_owned(), context.clone());
                return Err(EditError::NoContext { path, context });
            };
            self.cursor = index + 1;
        }
        let mut old: Vec<&str> = chunk.lines.iter().filter_map(Line::before).collect();
        let mut lines: Vec<&Line> = chunk.lines.iter().collect();
        if old.is_empty() {
            return Ok(self.append(&lines));
        }
        let mut found = self.seek(&old, self.end_from(chunk, &lines, old.len()))?;
        if found.is_none() && old.last().is_some_and(|line| line.is_empty()) {
            old.pop();
            drop_last_blank(&mut lines);
            if old.is_empty() {
                return Ok(self.insert(&lines, self.cursor));
            }
            found = self.seek(&old, self.end_from(chunk, &lines, old.len()))?;
        }
        let Some(start) = found else {
            let expected: Vec<&str> = chunk.lines.iter().filter_map(Line::before).collect();
            let (path, expected) = (self.path.to_owned(), expected.join("\n"));
            return Err(EditError::NoLines { path, expected });
        };
        let (before, after) = kept_around(&lines, old.len());
        assert!(start + before >= self.taken, "no line is changed twice");
        let (place, start, end) = (start, start + before, start + old.len() - after);
        (self.cursor, self.taken) = (end + after, end);
        let lines = &lines[before..lines.len() - after];
        let inserted = inserted(lines, &self.lines[start..end], self.ending);
        Ok(Replacement { place, start, removed: end - start, inserted })
    }

    /// Lines that replace nothing go to the end of the file, before a blank last line.
    fn append(&self, lines: &[&Line]) -> Replacement {
        let before_blank = self.lines.last().is_some_and(|line| matches!(*line, "" | "\r"));
        self.insert(lines, self.lines.len() - usize::from(before_blank))
    }

    fn insert(&self, lines: &[&Line], start: usize) -> Replacement {
        let inserted = inserted(lines, &[], self.ending);
        Replacement { place: start, start, removed: 0, inserted }
    }

    /// Where the end of the file may be taken for the place of a chunk, which may be its context
    /// too: what is only kept may be kept twice.
    fn end_from(&self, chunk: &Chunk, lines: &[&Line], matched: usize) -> Option<usize> {
        let (kept, _) = kept_around(lines, matched);
        chunk.at_end.then_some(self.taken.saturating_sub(kept))
    }

    fn seek(
        &mut self,
        wanted: &[&str],
        end_from: Option<usize>,
    ) -> Result<Option<usize>, EditError> {
        let found = self.searcher.seek(wanted, self.cursor, end_from);
        found.map_err(|Exhausted| EditError::TooCostly { path: self.path.to_owned() })
    }
}

/// How many of the lines of a chunk, of which the file has `matched`, are only kept: at its start
/// and at its end.
fn kept_around(lines: &[&Line], matched: usize) -> (usize, usize) {
    let is_kept = |line: &&&Line| matches!(line, Line::Keep(_));
    let before = lines.iter().take_while(is_kept).count().min(matched);
    // A kept line that the file does not have is new.
    if lines.iter().filter(|line| line.before().is_some()).count() != matched {
        return (before, 0);
    }
    let after = lines[before..].iter().rev().take_while(is_kept).count();
    (before, after)
}

/// Takes the last of the new lines off a chunk if it is blank.
fn drop_last_blank(lines: &mut Vec<&Line>) {
    let last = lines.iter().rposition(|line| line.after().is_some());
    if let Some(index) = last.filter(|&index| lines[index].after() == Some("")) {
        lines.remove(index);
    }
}

/// The new lines of a chunk; kept lines are taken from the file as long as it has them.
fn inserted(chunk: &[&Line], matched: &[&str], ending: &str) -> Vec<String> {
    let mut matched = matched.iter();
    let mut lines = Vec::with_capacity(chunk.len());
    for line in chunk {
        match line {
            Line::Keep(text) => match matched.next() {
                Some(own) => lines.push((*own).to_owned()),
                None => lines.push(format!("{text}{ending}")),
            },
            Line::Remove(_) => {
                matched.next();
            }
            Line::Insert(text) => lines.push(format!("{text}{ending}")),
        }
    }
    lines
}

fn replaced(lines: &[&str], mut replacements: Vec<Replacement>) -> String {
    // An addition to the end may come, in the patch, before a change above it; the sort is stable.
    sort::by_key(&mut replacements, |replacement| (replacement.start, replacement.place));
    let mut text = String::new();
    let mut push = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let mut next = 0;
    for replacement in &replacements {
        // Only an addition can fall into another's lines, when these hold the blank last one.
        let start = replacement.start.max(next);
        lines[next..start].iter().for_each(|line| push(line));
        replacement.inserted.iter().for_each(|line| push(line));
        next = start + replacement.removed;
    }
    lines[next..].iter().for_each(|line| push(line));
    text
}

fn mostly_carriage_returns(lines: &[&str]) -> bool {
    let with = lines.iter().filter(|line| line.ends_with('\r')).count();
    with * 2 > lines.len()
}

impl Line {
    fn before(&self) -> Option<&str> {
        match self {
            Line::Keep(text) | Line::Remove(text) => Some(text),
            Line::Insert(_) => None,
        }
    }

    fn after(&self) -> Option<&str> {
        match self {
            Line::Keep(text) | Line::Insert(text) => Some(text),
            Line::Remove(_) => None,
        }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::NoContext { path, context } => write!(
                out,
                "the context line '{context}' was not found in {path}; read the file again and \
                 use a line it contains"
            ),
            EditError::NoLines { path, expected } => write!(
                out,
                "these lines were not found in {path}; read the file again and copy them as \
                 they are:\n{expected}"
            ),
            EditError::TooCostly { path } => write!(
                out,
                "the places of this patch in {path} take too long to find; send fewer changes, \
                 with exact lines"
            ),
        }
    }
}

impl std::error::Error for EditError {}
