//! The pure part of `grep_files`: what is searched for, in which names, and whether a file has it.
//!
//! Files are searched line by line, so that nothing is found across lines, by an engine whose time
//! is linear in the text. Walking and reading are left to the caller.

use std::borrow::Cow;
use std::fmt;

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::limits::{
    SEARCH_FOUND_DEFAULT, SEARCH_FOUND_MAX, SEARCH_LINE_BYTES_MAX, SEARCH_PATTERN_BYTES_MAX,
    SEARCH_PROGRAM_BYTES_MAX,
};
use crate::tools::ignore::{Glob, alternatives};

/// What `grep_files` is called with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrepFiles {
    pub pattern: String,
    #[serde(default)]
    pub include: Option<String>,
    /// A directory or file; the working directory if there is none.
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default = "found_default")]
    pub limit: u64,
}

/// A search that makes sense.
#[derive(Debug)]
pub struct Search {
    needle: Needle,
    /// Any of these; all files if there is none.
    include: Vec<Glob>,
    /// Files to find at most.
    pub limit: usize,
}

#[derive(Debug)]
enum Needle {
    /// A pattern in which no character is special.
    Text(String),
    Pattern(Regex),
}

/// Why nothing is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchError {
    EmptyPattern,
    PatternTooLong,
    /// With the reason.
    Pattern(String),
    ZeroLimit,
    Include,
}

impl GrepFiles {
    /// The search, if the arguments make sense.
    pub fn search(&self) -> Result<Search, SearchError> {
        if self.pattern.trim().is_empty() {
            return Err(SearchError::EmptyPattern);
        }
        if self.pattern.len() > SEARCH_PATTERN_BYTES_MAX {
            return Err(SearchError::PatternTooLong);
        }
        if self.limit == 0 {
            return Err(SearchError::ZeroLimit);
        }
        let include = match self.include.as_deref().map(str::trim) {
            Some(include) if !include.is_empty() => globs(include).ok_or(SearchError::Include)?,
            Some(_) | None => Vec::new(),
        };
        let limit = usize::try_from(self.limit).unwrap_or(SEARCH_FOUND_MAX).min(SEARCH_FOUND_MAX);
        Ok(Search { needle: Needle::new(&self.pattern)?, include, limit })
    }
}

impl Search {
    /// Whether a file is to be searched, by its path from where the search starts.
    pub fn includes(&self, path: &[u8]) -> bool {
        self.include.is_empty() || self.include.iter().any(|glob| glob.fits(path))
    }
}

impl Needle {
    fn new(pattern: &str) -> Result<Needle, SearchError> {
        let is_special = |character| r"\.+*?()|[]{}^$".contains(character) || character == '\n';
        if !pattern.contains(is_special) {
            return Ok(Needle::Text(pattern.to_owned()));
        }
        let built = RegexBuilder::new(pattern).size_limit(SEARCH_PROGRAM_BYTES_MAX).build();
        built.map(Needle::Pattern).map_err(|error| SearchError::Pattern(error.to_string()))
    }

    fn is_in(&self, lines: &str) -> bool {
        match self {
            Needle::Text(text) => lines.contains(text.as_str()),
            Needle::Pattern(pattern) => lines.lines().any(|line| pattern.is_match(line)),
        }
    }
}

/// A file being searched.
#[derive(Debug)]
pub struct Scan<'s> {
    search: &'s Search,
    /// What has come since the last newline. Invariant: `held.len() < SEARCH_LINE_BYTES_MAX`
    /// between pushes.
    held: Vec<u8>,
}

/// What is known of a file so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    NotYet,
    Found,
    /// It is no text.
    Binary,
}

impl<'s> Scan<'s> {
    pub fn new(search: &'s Search) -> Scan<'s> {
        Scan { search, held: Vec::new() }
    }

    /// Takes the next piece of the file; nothing need be pushed after another answer than `NotYet`.
    ///
    /// A line over `SEARCH_LINE_BYTES_MAX` is searched in pieces.
    pub fn push(&mut self, piece: &[u8]) -> Scanned {
        if piece.contains(&0) {
            return Scanned::Binary;
        }
        self.held.extend_from_slice(piece);
        let newline = self.held.iter().rposition(|&byte| byte == b'\n');
        let end = match newline {
            Some(newline) => newline + 1,
            None if self.held.len() < SEARCH_LINE_BYTES_MAX => return Scanned::NotYet,
            None => self.held.len(),
        };
        let is_found = self.search.needle.is_in(&text(&self.held[..end]));
        self.held.drain(..end);
        if is_found { Scanned::Found } else { Scanned::NotYet }
    }

    /// Whether the rest of the file, a last line without its end, has it.
    pub fn finish(self) -> bool {
        !self.held.is_empty() && self.search.needle.is_in(&text(&self.held))
    }
}

impl fmt::Display for SearchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SearchError::EmptyPattern => write!(out, "pattern must not be empty"),
            SearchError::PatternTooLong => {
                write!(out, "pattern must have at most {SEARCH_PATTERN_BYTES_MAX} bytes")
            }
            SearchError::Pattern(why) => {
                write!(out, "pattern is not a regular expression that is known here: {why}")
            }
            SearchError::ZeroLimit => write!(out, "limit must be greater than zero"),
            SearchError::Include => {
                write!(out, "include is no glob, or one with too many alternatives")
            }
        }
    }
}

impl std::error::Error for SearchError {}

fn globs(include: &str) -> Option<Vec<Glob>> {
    alternatives(include)?.iter().map(|glob| Glob::parse(glob.as_bytes())).collect()
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn found_default() -> u64 {
    SEARCH_FOUND_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pattern: &str) -> GrepFiles {
        GrepFiles { pattern: pattern.to_owned(), include: None, path: None, limit: 1 }
    }

    /// Searches a file, cut at every place: the answer is always the same.
    #[track_caller]
    fn check(pattern: &str, file: &[u8], expected: bool) {
        let search = asked(pattern).search().unwrap();
        for cut in 0..=file.len() {
            let mut scan = Scan::new(&search);
            let pieces = [&file[..cut], &file[cut..]];
            let found = pieces.iter().any(|piece| scan.push(piece) == Scanned::Found);
            assert_eq!(found || scan.finish(), expected, "{pattern:?} cut at {cut}");
        }
    }

    #[test]
    fn lines_are_searched_one_by_one() {
        check("needle", b"hay\nneedle\nhay", true);
        check("needle", b"nee\ndle", false);
        check("^b$", b"a\nb\nc", true);
        check("^b$", b"a\r\nb\r\nc", true);
        check("^b$", b"a\nbc\n", false);
        check(r"a\s+b", b"a\nb", false);
        check("a[^x]b", b"a\nb", false);
        check("a.b", "aéb".as_bytes(), true);
        check("(?i)NEEDLE", b"needle", true);
        check(r"fn \w+\(", b"pub fn main() {\n", true);
        check("x|y", b"y", true);
        check("é", "caf\u{e9}\n".as_bytes(), true);
        check("ab", b"a\xffb ab", true);
        check("a", b"", false);
        check("^$", b"a\n\n", true);
    }

    #[test]
    fn what_holds_a_nul_is_no_text() {
        let search = asked("a").search().unwrap();
        assert_eq!(Scan::new(&search).push(b"a\n\0"), Scanned::Binary);
    }

    #[test]
    fn a_line_without_end_is_searched_in_pieces() {
        let search = asked("needle").search().unwrap();
        let mut scan = Scan::new(&search);
        let piece = vec![b'x'; SEARCH_LINE_BYTES_MAX / 4 + 1];
        for _ in 0..9 {
            assert_eq!(scan.push(&piece), Scanned::NotYet);
            assert!(scan.held.len() < SEARCH_LINE_BYTES_MAX);
        }
        assert_eq!(scan.push(b"needle\n"), Scanned::Found);
    }

    #[test]
    fn senseless_arguments_are_refused() {
        let refused = |asked: GrepFiles| asked.search().unwrap_err();
        assert_eq!(refused(asked(" ")), SearchError::EmptyPattern);
        assert_eq!(refused(GrepFiles { limit: 0, ..asked("a") }), SearchError::ZeroLimit);
        let long = "a".repeat(SEARCH_PATTERN_BYTES_MAX + 1);
        assert_eq!(refused(asked(&long)), SearchError::PatternTooLong);
        assert!(asked(&long[1..]).search().is_ok());
        for pattern in ["(", "[a", r"\p{Greek}", "a{100000}", "((a{500}){500}){500}"] {
            assert!(matches!(refused(asked(pattern)), SearchError::Pattern(_)), "{pattern}");
        }
        for include in ["a\\", "[", &"{a,b}".repeat(9)] {
            let asked = GrepFiles { include: Some(include.to_owned()), ..asked("a") };
            assert_eq!(refused(asked), SearchError::Include, "{include}");
        }
    }

    #[test]
    fn limits_have_a_default_and_a_bound() {
        let read = |json: &str| serde_json::from_str::<GrepFiles>(json).unwrap().search().unwrap();
        assert_eq!(read(r#"{"pattern":"a"}"#).limit as u64, SEARCH_FOUND_DEFAULT);
        assert_eq!(
            read(r#"{"pattern":"a","limit":1e9}"#.replace("1e9", "999999").as_str()).limit,
            SEARCH_FOUND_MAX
        );
    }

    #[test]
    fn an_include_is_for_names_or_for_paths() {
        let includes = |include: &str, path: &str| {
            let asked = GrepFiles { include: Some(include.to_owned()), ..asked("a") };
            asked.search().unwrap().includes(path.as_bytes())
        };
        assert!(includes("*.rs", "src/deep/a.rs"));
        assert!(!includes("*.rs", "a.rst"));
        assert!(includes("*.{ts,tsx}", "a/b.tsx"));
        assert!(includes("src/**/*.rs", "src/a.rs") && includes("src/**/*.rs", "src/b/a.rs"));
        assert!(!includes("src/*.rs", "src/b/a.rs"));
        assert!(includes("**/*.rs", "a.rs"));
        assert!(includes("", "anything") && includes(" ", "anything"));
    }
}
