//! `grep_files`: walks a tree, then searches what it found, newest first.
//!
//! Hidden files and what git ignores are passed over, as are links and whatever cannot be read:
//! `.gitignore` and `.ignore` of every directory on the way, of those above up to the repository's
//! own, and the repository's `info/exclude`. The walk gathers names alone, so that the search can
//! begin with the newest file and end with the last one that is wanted.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{PIECE_BYTES, parsed, regular};
use crate::host::clock;
use crate::limits::{
    DIRECTORY_DEPTH_MAX, IGNORE_FILE_BYTES_MAX, SEARCH_MS, SEARCH_NAMES_MAX, SEARCH_TEXT_BYTES_MAX,
};
use crate::tools::ignore::{Ignores, Verdict};
use crate::tools::search::{GrepFiles, Scan, Scanned, Search};
use crate::words::sort;

/// The files that hold what is searched for, one path a line.
pub(super) fn grep_files(arguments: &str, cwd: &Path) -> Result<String, String> {
    let asked: GrepFiles = parsed(arguments)?;
    let search = asked.search().map_err(|error| error.to_string())?;
    let root = cwd.join(asked.path.as_deref().unwrap_or_default());
    // Without `.` and empty parts.
    let root: PathBuf = root.components().collect();
    if !root.is_absolute() {
        return Err(format!("the working directory '{}' is not absolute", cwd.display()));
    }
    let failed = |error: io::Error| format!("failed to search {}: {error}", root.display());
    let mut walk = Walk::new(&root, &search, clock::mono_ms().saturating_add(SEARCH_MS));
    if fs::metadata(&root).map_err(failed)?.is_dir() {
        walk.above();
        walk.directory(&root, 0).map_err(failed)?;
    } else {
        regular::open(&root).map_err(failed)?;
        walk.files.push(Found { modified: (0, 0), path: root.clone() });
    }
    Ok(walk.searched())
}

struct Walk<'s> {
    root: &'s Path,
    search: &'s Search,
    until_ms: u64,
    /// Rules from the outermost directory to this one, each with the bytes of a path before what
    /// they are about.
    ignores: Vec<(usize, Ignores)>,
    files: Vec<Found>,
    directories_count: usize,
    /// Why the answer is not the whole one.
    cut: Option<Cut>,
}

struct Found {
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    path: PathBuf,
}

#[derive(Clone, Copy)]
enum Cut {
    Names,
    Time,
    Text,
}

impl<'s> Walk<'s> {
    fn new(root: &'s Path, search: &'s Search, until_ms: u64) -> Walk<'s> {
        let (ignores, files) = (Vec::new(), Vec::new());
        Walk { root, search, until_ms, ignores, files, directories_count: 0, cut: None }
    }

    /// Takes in the rules of the repository that the root is in.
    fn above(&mut self) {
        let mut above: Vec<&Path> = Vec::new();
        for directory in self.root.ancestors().take(DIRECTORY_DEPTH_MAX) {
            if directory != self.root {
                above.push(directory);
            }
            if fs::symlink_metadata(directory.join(".git")).is_ok() {
                self.take_in(directory, ".git/info/exclude");
                above.iter().rev().for_each(|directory| self.take_in_all(directory));
                return;
            }
        }
    }

    fn take_in_all(&mut self, directory: &Path) {
        self.take_in(directory, ".gitignore");
        self.take_in(directory, ".ignore");
    }

    fn take_in(&mut self, directory: &Path, name: &str) {
        // What is too large or no file is no list of patterns, and one that cannot be read is as
        // good as none.
        let Ok(Some(text)) = regular::read(&directory.join(name), IGNORE_FILE_BYTES_MAX) else {
            return;
        };
        let ignores = Ignores::parse(&text);
        if !ignores.is_empty() {
            self.ignores.push((prefix_bytes(directory), ignores));
        }
    }

    fn directory(&mut self, directory: &Path, depth: usize) -> io::Result<()> {
        let entries = fs::read_dir(directory)?;
        let outer = self.ignores.len();
        self.take_in_all(directory);
        let mut deeper = Vec::new();
        for entry in entries {
            let Ok(entry) = entry else { break };
            self.cut = self.cut.or_else(|| self.reached());
            if self.cut.is_some() {
                break;
            }
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            let is_hidden = entry.file_name().as_bytes().starts_with(b".");
            if is_hidden || self.ignored(&path, kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                self.directories_count += 1;
                deeper.push(path);
            } else if kind.is_file() && self.search.includes(below(&path, self.root)) {
                // A file that has just gone is not found.
                let Ok(metadata) = entry.metadata() else { continue };
                let modified = (metadata.mtime(), metadata.mtime_nsec());
                self.files.push(Found { modified, path });
            }
        }
        if depth < DIRECTORY_DEPTH_MAX {
            for path in deeper {
                // A directory that cannot be read holds nothing for us.
                let _ = self.directory(&path, depth + 1);
            }
        }
        self.ignores.truncate(outer);
        Ok(())
    }

    fn reached(&self) -> Option<Cut> {
        if self.files.len() + self.directories_count >= SEARCH_NAMES_MAX {
            return Some(Cut::Names);
        }
        (clock::mono_ms() >= self.until_ms).then_some(Cut::Time)
    }

    /// The innermost rules that say something count.
    fn ignored(&self, path: &Path, is_directory: bool) -> bool {
        let path = path.as_os_str().as_bytes();
        let verdict = |(prefix, ignores): &(usize, Ignores)| {
            ignores.judge(path.get(*prefix..).unwrap_or_default(), is_directory)
        };
        self.ignores.iter().rev().find_map(verdict) == Some(Verdict::Ignored)
    }

    fn searched(mut self) -> String {
        let mut files = std::mem::take(&mut self.files);
        sort::by(&mut files, &mut |left, right| {
            right.modified.cmp(&left.modified).then_with(|| left.path.cmp(&right.path))
        });
        let mut text = String::new();
        let mut count = 0;
        let mut piece = vec![0; PIECE_BYTES];
        for Found { path, .. } in files {
            if clock::mono_ms() >= self.until_ms {
                self.cut = Some(Cut::Time);
                break;
            }
            if !self.holds(&path, &mut piece) {
                continue;
            }
            let shown = path.to_string_lossy().replace('\n', "\u{fffd}");
            if text.len() + shown.len() + NOTE_BYTES_MAX > SEARCH_TEXT_BYTES_MAX {
                self.cut = Some(Cut::Text);
                break;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&shown);
            count += 1;
            if count == self.search.limit {
                return text;
            }
        }
        if text.is_empty() {
            text.push_str("No matches found.");
        }
        if let Some(cut) = self.cut {
            text.push('\n');
            text.push_str(note(cut));
        }
        text
    }

    /// Whether a file is text and holds it. One that cannot be read does not.
    fn holds(&mut self, path: &Path, piece: &mut [u8]) -> bool {
        let Ok(mut file) = regular::open(path) else { return false };
        let mut scan = Scan::new(self.search);
        loop {
            let count = match file.read(piece) {
                Ok(0) => return scan.finish(),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            match scan.push(&piece[..count]) {
                Scanned::NotYet => {}
                Scanned::Found => return true,
                Scanned::Binary => return false,
            }
            if clock::mono_ms() >= self.until_ms {
                return false;
            }
        }
    }
}

/// The longest note and its newline.
const NOTE_BYTES_MAX: usize = 128;

/// What the model is told when there may be more, and what to do about it.
fn note(cut: Cut) -> &'static str {
    match cut {
        Cut::Names => "[too many files: not all were searched; give a path further down]",
        Cut::Time => "[out of time: not all were searched; give a path further down, or include]",
        Cut::Text => "[the list is too long to show; give a path further down, or a lower limit]",
    }
}

/// A path from the root on; a file that is the root has none.
fn below<'p>(path: &'p Path, root: &Path) -> &'p [u8] {
    path.as_os_str().as_bytes().get(prefix_bytes(root)..).unwrap_or_default()
}

/// Bytes of a path below this directory that are the directory's own, slash included.
fn prefix_bytes(directory: &Path) -> usize {
    let bytes = directory.as_os_str().as_bytes();
    bytes.len() + usize::from(!bytes.ends_with(b"/"))
}
