//! Finds AGENTS.md: what the user and the project want every conversation to know.
//!
//! The home has one, for all projects; every directory from the root of the repository down to the
//! working directory may have another. A repository is not ours: its files may be pipes, huge or no
//! text, and none of that stops a start. Nor may they be links to what commands are not to read:
//! the model would be told of it instead.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::host::disk::{self, Failure, head};
use crate::host::git;
use crate::limits::{CONFIG_ENTRIES_MAX, DIRECTORY_DEPTH_MAX, GLOBAL_NOTES_BYTES_MAX};

/// What was found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Notes {
    /// All texts, joined.
    pub text: Option<Box<str>>,
    /// Files that count, in order.
    pub files: Vec<PathBuf>,
    /// Lines for people: what was cut or could not be read.
    pub notices: Vec<Box<str>>,
}

const OVERRIDE: &str = "AGENTS.override.md";
const USUAL: &str = "AGENTS.md";
const SEPARATOR: &str = "\n\n--- project-doc ---\n\n";

/// Gathers the notes for a working directory; none that lie in these places, which lead through no
/// links.
pub fn gather(
    home: Option<&Path>,
    cwd: &Path,
    project_bytes_max: u64,
    other_names: &[Box<str>],
    closed: &[PathBuf],
) -> Notes {
    let mut notes = Notes::default();
    let names = home.map(|home| [OVERRIDE, USUAL].map(|name| home.join(name)));
    let global = names
        .iter()
        .flatten()
        .find_map(|path| notes.read(path, GLOBAL_NOTES_BYTES_MAX as u64, closed))
        .map(|(text, _)| text);
    let project = notes.project(cwd, project_bytes_max, other_names, closed);
    let texts = [global, project].into_iter().flatten().collect::<Vec<_>>();
    if !texts.is_empty() {
        notes.text = Some(texts.join(SEPARATOR).into());
    }
    notes
}

impl Notes {
    /// The texts of the project, the root's first.
    fn project(
        &mut self,
        cwd: &Path,
        bytes_max: u64,
        other_names: &[Box<str>],
        closed: &[PathBuf],
    ) -> Option<String> {
        let root = git::repository_root(cwd);
        let top = root.as_deref().unwrap_or(cwd);
        let mut directories: Vec<&Path> = cwd
            .ancestors()
            .take(DIRECTORY_DEPTH_MAX)
            .take_while(|directory| directory.starts_with(top))
            .collect();
        directories.reverse();
        // Only plain names: a fallback does not lead elsewhere.
        let others = other_names.iter().map(|name| &**name).take(CONFIG_ENTRIES_MAX);
        let others = others.filter(|name| !name.is_empty() && !name.contains('/'));
        let names: Vec<&str> = [OVERRIDE, USUAL].into_iter().chain(others).collect();
        let mut left = bytes_max;
        let mut texts = Vec::new();
        for directory in directories {
            if left == 0 {
                break;
            }
            let paths = names.iter().map(|name| directory.join(name));
            let Some(path) = paths.into_iter().find(|path| path.is_file()) else { continue };
            if let Some((text, bytes)) = self.read(&path, left, closed) {
                left -= bytes;
                texts.push(text);
            }
        }
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }

    /// The text of a file, unless it is blank, and how many of its bytes count.
    fn read(&mut self, path: &Path, bytes_max: u64, closed: &[PathBuf]) -> Option<(String, u64)> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX - 1);
        let opened = open(path, closed);
        let head = match opened.and_then(|file| file.map(|it| head(it, bytes_max)).transpose()) {
            Ok(head) => head?,
            Err(source) => {
                let failure = Failure::new("read the notes in", path, source);
                self.notices.push(failure.to_string().into());
                return None;
            }
        };
        let bytes = if head.cut { whole_characters(&head.bytes) } else { &head.bytes };
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end();
        if text.trim().is_empty() {
            return None;
        }
        if head.cut {
            let notice = format!("{}: cut after {bytes_max} bytes", path.display());
            self.notices.push(notice.into());
        }
        self.files.push(path.to_owned());
        Some((text.to_owned(), head.bytes.len() as u64))
    }
}

/// Opens a file that lies in none of these places; `None` if there is nothing of that name.
fn open(path: &Path, closed: &[PathBuf]) -> io::Result<Option<File>> {
    let Some(file) = disk::open(path)? else { return Ok(None) };
    // Where it is, whatever the name leads to by now.
    let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let place = opened.or_else(|_| path.canonicalize())?;
    let found = file.metadata()?;
    let is_same = |closed: &PathBuf| {
        fs::metadata(closed).is_ok_and(|it| (it.dev(), it.ino()) == (found.dev(), found.ino()))
    };
    // Our own environment is among the files of processes.
    let is_process = fs::metadata("/proc").is_ok_and(|it| it.dev() == found.dev());
    match is_process || closed.iter().any(|closed| place.starts_with(closed) || is_same(closed)) {
        false => Ok(Some(file)),
        true => Err(io::Error::other("it leads to what commands are not to read")),
    }
}

/// The bytes without a last character that the cut went through.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    let last = bytes.utf8_chunks().last();
    match last.map(|chunk| chunk.invalid()) {
        // Only an incomplete character at the very end, at most three bytes.
        Some(invalid) if invalid.len() < 4 => &bytes[..bytes.len() - invalid.len()],
        Some(_) | None => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;

    fn text(notes: Notes) -> Option<String> {
        notes.text.map(String::from)
    }

    #[test]
    fn global_and_project_notes_are_joined_from_the_root_down() {
        let place = Place::new();
        place.file("home/AGENTS.md", "G\n");
        place.directory("repo/.git");
        place.file("repo/AGENTS.md", "R\n");
        place.file("repo/sub/AGENTS.md", "not this");
        place.file("repo/sub/AGENTS.override.md", "S\n");
        place.file("repo/sub/deep/NOTES.md", "N");
        place.file("repo/beside/AGENTS.md", "not this either");
        let home = place.path().join("home");
        let gathered = |cwd: &str| {
            gather(
                Some(&home),
                &place.path().join(cwd),
                1000,
                &["../AGENTS.md".into(), "NOTES.md".into()],
                &[],
            )
        };
        let separated = "G\n\n--- project-doc ---\n\nR\n\nS";
        assert_eq!(text(gathered("repo/sub")).as_deref(), Some(separated));
        assert_eq!(text(gathered("repo/sub/deep")), Some(format!("{separated}\n\nN")));
        assert_eq!(gathered("repo/sub/deep").files.len(), 4);
    }

    #[test]
    fn outside_a_repository_only_the_directory_itself_counts() {
        let place = Place::new();
        place.file("AGENTS.md", "above");
        place.file("plain/AGENTS.md", "here");
        let home = place.path().join("nowhere");
        let notes = gather(Some(&home), &place.path().join("plain"), 1000, &[], &[]);
        assert_eq!(text(notes).as_deref(), Some("here"));
    }

    #[test]
    fn an_empty_override_at_home_gives_way() {
        let place = Place::new();
        place.file("AGENTS.override.md", " \n");
        place.file("AGENTS.md", "usual");
        let elsewhere = place.directory("elsewhere");
        let notes = gather(Some(place.path()), &elsewhere, 0, &[], &[]);
        assert_eq!(text(notes).as_deref(), Some("usual"));
    }

    #[test]
    fn project_notes_are_bounded_and_cut_between_characters() {
        let place = Place::new();
        place.directory(".git");
        place.file("AGENTS.md", "1234567");
        place.file("a/AGENTS.md", "äöü");
        place.file("a/b/AGENTS.md", "never");
        let home = place.path().join("nowhere");
        let notes = gather(Some(&home), &place.path().join("a/b"), 10, &[], &[]);
        assert_eq!(notes.text.as_deref(), Some("1234567\n\nä"));
        assert_eq!(notes.notices.len(), 1);
        assert_eq!(gather(Some(&home), place.path(), 0, &[], &[]), Notes::default());
    }

    #[test]
    fn a_huge_file_at_home_is_cut() {
        let place = Place::new();
        place.file("AGENTS.md", "x".repeat(GLOBAL_NOTES_BYTES_MAX + 1));
        let elsewhere = place.directory("elsewhere");
        let notes = gather(Some(place.path()), &elsewhere, 0, &[], &[]);
        assert_eq!(notes.text.map(|text| text.len()), Some(GLOBAL_NOTES_BYTES_MAX));
        assert_eq!(notes.notices.len(), 1);
    }

    #[test]
    fn pipes_and_directories_are_passed_over() {
        let place = Place::new();
        place.directory(".git");
        place.pipe("AGENTS.override.md");
        place.file("AGENTS.md", "text");
        place.directory("a/AGENTS.md");
        place.file("a/b/AGENTS.md", b"\xffx");
        let home = place.path().join("nowhere");
        let notes = gather(Some(&home), &place.path().join("a/b"), 1000, &[], &[]);
        assert_eq!(notes.text.as_deref(), Some("text\n\n\u{fffd}x"));
    }

    #[test]
    fn links_to_what_is_closed_are_passed_over() {
        let place = Place::new();
        let secret = place.file("closed/key", "secret");
        place.file("shared.md", "shared");
        for (target, name) in [("../closed/key", "a/AGENTS.md"), ("../shared.md", "b/AGENTS.md")] {
            place.directory(&name[..1]);
            std::os::unix::fs::symlink(target, place.path().join(name)).expect("a link");
        }
        for closed in [secret.clone(), place.path().join("closed")] {
            let notes = gather(None, &place.path().join("a"), 1000, &[], &[closed]);
            assert_eq!((notes.text, notes.notices.len()), (None, 1));
        }
        let notes = gather(None, &place.path().join("b"), 1000, &[], std::slice::from_ref(&secret));
        assert_eq!(notes.text.as_deref(), Some("shared"));
        let own = place.directory("own");
        std::os::unix::fs::symlink("/proc/self/environ", own.join("AGENTS.md")).expect("a link");
        let named = place.directory("named");
        fs::hard_link(&secret, named.join("AGENTS.md")).expect("a name");
        for cwd in [own, named] {
            let notes = gather(None, &cwd, 1000, &[], std::slice::from_ref(&secret));
            assert_eq!((notes.text, notes.notices.len()), (None, 1), "{}", cwd.display());
        }
    }
}
