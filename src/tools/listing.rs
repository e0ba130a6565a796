//! The pure part of `list_dir`: the order in which directories are walked, and the page that is
//! shown.
//!
//! Entries are collected breadth first, each directory sorted; the page is cut from that order and
//! shown sorted by path, so that what is in a directory follows it. Reading directories is left to
//! the caller.

use std::fmt;

use serde::Deserialize;

use crate::limits::{LISTING_DEPTH_DEFAULT, LISTING_ENTRIES_DEFAULT, LISTING_NAME_CHARS_MAX};
use crate::words::sort;

/// What `list_dir` is called with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ListDir {
    pub dir_path: String,
    #[serde(default = "first_entry")]
    pub offset: u64,
    #[serde(default = "entries_default")]
    pub limit: u64,
    #[serde(default = "depth_default")]
    pub depth: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    Symlink,
    Other,
}

/// One thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The names from the listed directory down; never empty.
    pub path: Vec<String>,
    pub kind: Kind,
}

/// Why nothing can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingError {
    NotAbsolute,
    ZeroOffset,
    ZeroLimit,
    ZeroDepth,
    BeyondEnd { entries: u64 },
}

impl ListDir {
    /// Whether the arguments make sense.
    pub fn judge(&self) -> Result<(), ListingError> {
        if !self.dir_path.starts_with('/') {
            return Err(ListingError::NotAbsolute);
        }
        for (number, error) in [
            (self.offset, ListingError::ZeroOffset),
            (self.limit, ListingError::ZeroLimit),
            (self.depth, ListingError::ZeroDepth),
        ] {
            if number == 0 {
                return Err(error);
            }
        }
        Ok(())
    }

    /// How many entries must be known for the page and for whether there are more.
    pub fn wanted(&self) -> u64 {
        self.offset.saturating_add(self.limit)
    }

    /// Walks, with `children` reading one directory, until enough is known or all is.
    ///
    /// A directory below the first that cannot be read is shown as if it were empty.
    pub fn walk<Failure>(
        &self,
        mut children: impl FnMut(&[String]) -> Result<Vec<(String, Kind)>, Failure>,
    ) -> Result<Vec<Entry>, Failure> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut next = 0;
        let mut directory: Vec<String> = Vec::new();
        loop {
            let found = match children(&directory) {
                Ok(found) => found,
                Err(failure) if directory.is_empty() => return Err(failure),
                Err(_) => Vec::new(),
            };
            let mut found = found;
            sort::by(&mut found, &mut |left, right| left.0.cmp(&right.0));
            entries.extend(found.into_iter().map(|(name, kind)| {
                let mut path = directory.clone();
                path.push(name);
                Entry { path, kind }
            }));
            let deeper = |entry: &Entry| {
                entry.kind == Kind::Directory && (entry.path.len() as u64) < self.depth
            };
            let Some(index) = entries.iter().skip(next).position(deeper) else { break };
            if entries.len() as u64 >= self.wanted() {
                break;
            }
            directory.clone_from(&entries[next + index].path);
            next += index + 1;
        }
        Ok(entries)
    }

    /// The text for the model, from entries in the order of the walk.
    pub fn page(&self, entries: &[Entry]) -> Result<String, ListingError> {
        let start = usize::try_from(self.offset - 1).unwrap_or(usize::MAX);
        let Some(rest) = entries.get(start..).filter(|rest| !rest.is_empty() || start == 0) else {
            return Err(ListingError::BeyondEnd { entries: entries.len() as u64 });
        };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut shown: Vec<&Entry> = rest.iter().take(limit).collect();
        sort::by(&mut shown, &mut |left, right| left.path.cmp(&right.path));
        let mut text = format!("Absolute path: {}", self.dir_path);
        for entry in &shown {
            let depth = entry.path.len() - 1;
            let name = entry.path.last().map_or("", String::as_str);
            let end = name.char_indices().nth(LISTING_NAME_CHARS_MAX);
            let name = &name[..end.map_or(name.len(), |(index, _)| index)];
            let name = name.replace('\n', "\u{fffd}");
            let mark = match entry.kind {
                Kind::Directory => "/",
                Kind::Symlink => "@",
                Kind::Other => "?",
                Kind::File => "",
            };
            text.push_str(&format!("\n{:indent$}{name}{mark}", "", indent = depth * 2));
        }
        if rest.len() > shown.len() {
            text.push_str(&format!("\nMore than {} entries found", shown.len()));
        }
        Ok(text)
    }
}

impl fmt::Display for ListingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListingError::NotAbsolute => write!(out, "dir_path must be an absolute path"),
            ListingError::ZeroOffset => write!(out, "offset must be a 1-indexed entry number"),
            ListingError::ZeroLimit => write!(out, "limit must be greater than zero"),
            ListingError::ZeroDepth => write!(out, "depth must be greater than zero"),
            ListingError::BeyondEnd { entries } => {
                write!(out, "offset exceeds directory entry count: there are {entries} entries")
            }
        }
    }
}

impl std::error::Error for ListingError {}

fn first_entry() -> u64 {
    1
}

fn entries_default() -> u64 {
    LISTING_ENTRIES_DEFAULT
}

fn depth_default() -> u64 {
    LISTING_DEPTH_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::{Kind, ListDir, ListingError};
    use crate::limits::LISTING_NAME_CHARS_MAX;

    fn asked(offset: u64, limit: u64, depth: u64) -> ListDir {
        ListDir { dir_path: "/d".to_owned(), offset, limit, depth }
    }

    /// `b` holds `x` and `y`, `b/y` holds `z`; `b-` sorts between `b` and `b/x` as plain text.
    fn children(directory: &[String]) -> Result<Vec<(String, Kind)>, String> {
        let found: &[(&str, Kind)] = match directory.join("/").as_str() {
            "" => &[
                ("c", Kind::Symlink),
                ("b-", Kind::File),
                (".a", Kind::File),
                ("b", Kind::Directory),
                ("f", Kind::Other),
                ("locked", Kind::Directory),
            ],
            "b" => &[("y", Kind::Directory), ("x", Kind::File)],
            "b/y" => &[("z", Kind::File)],
            other => return Err(format!("cannot read {other}")),
        };
        Ok(found.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect())
    }

    #[track_caller]
    fn check(asked: &ListDir, expected: &str) {
        let entries = asked.walk(children).unwrap();
        assert_eq!(asked.page(&entries).as_deref(), Ok(expected));
    }

    #[test]
    fn children_follow_their_directory() {
        let all = "Absolute path: /d\n.a\nb/\n  x\n  y/\n    z\nb-\nc@\nf?\nlocked/";
        check(&asked(1, 25, 3), all);
        check(&asked(1, 25, 2), &all.replace("    z\n", ""));
        check(&asked(1, 25, 1), "Absolute path: /d\n.a\nb/\nb-\nc@\nf?\nlocked/");
    }

    #[test]
    fn a_page_is_cut_breadth_first() {
        let page = "Absolute path: /d\n.a\nb/\nMore than 2 entries found";
        check(&asked(1, 2, 2), page);
        check(&asked(6, 2, 3), "Absolute path: /d\n  x\nlocked/\nMore than 2 entries found");
        check(&asked(8, 9, 3), "Absolute path: /d\n  y/\n    z");
        check(&asked(9, 1, 3), "Absolute path: /d\n    z");
    }

    #[test]
    fn an_offset_beyond_the_end_is_an_error() {
        let asked = asked(10, 1, 3);
        let entries = asked.walk(children).unwrap();
        assert_eq!(asked.page(&entries), Err(ListingError::BeyondEnd { entries: 9 }));
    }

    #[test]
    fn an_empty_directory_has_an_empty_page() {
        assert_eq!(asked(1, 1, 1).page(&[]).as_deref(), Ok("Absolute path: /d"));
        assert!(asked(2, 1, 1).page(&[]).is_err());
    }

    #[test]
    fn only_the_first_directory_must_be_readable() {
        let failed = asked(1, 1, 1).walk(|_| Err::<Vec<_>, _>("no")).unwrap_err();
        assert_eq!(failed, "no");
    }

    #[test]
    fn no_more_directories_are_read_than_the_page_needs() {
        let mut reads = 0;
        let entries = asked(1, 5, 9).walk(|path| {
            reads += 1;
            children(path)
        });
        assert_eq!((entries.unwrap().len(), reads), (6, 1));
    }

    #[test]
    fn names_cannot_break_the_layout() {
        let long = "é".repeat(LISTING_NAME_CHARS_MAX);
        let names = vec![(format!("{long}é"), Kind::File), ("a\nb".to_owned(), Kind::File)];
        let asked = asked(1, 9, 1);
        let entries = asked.walk(|_| Ok::<_, ()>(names.clone())).unwrap();
        let page = asked.page(&entries).unwrap();
        assert_eq!(page, format!("Absolute path: /d\na\u{fffd}b\n{long}"));
    }

    #[test]
    fn senseless_arguments_are_refused() {
        let relative = ListDir { dir_path: "d".to_owned(), ..asked(1, 1, 1) };
        assert_eq!(relative.judge(), Err(ListingError::NotAbsolute));
        assert_eq!(asked(0, 1, 1).judge(), Err(ListingError::ZeroOffset));
        assert_eq!(asked(1, 0, 1).judge(), Err(ListingError::ZeroLimit));
        assert_eq!(asked(1, 1, 0).judge(), Err(ListingError::ZeroDepth));
        assert_eq!(asked(1, 1, 1).judge(), Ok(()));
        let read: ListDir = serde_json::from_str(r#"{"dir_path":"/d"}"#).unwrap();
        assert_eq!(read, asked(1, 25, 2));
    }
}
