//! What the patches of each running turn have changed, as one diff.
//!
//! It leads from the files as they were before the turn's first patch of them to what they are now,
//! whoever has changed them since. A file is read when a patch is about to change it, and after
//! that when it looks changed, a few files at a time between other work. What is too large is said
//! to differ, as git says it of what it takes for binary.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::host::app_server::git_style::{Content, Version, told};
use crate::host::files::regular;
use crate::host::proc::roots;
use crate::limits::{
    TURN_DIFF_BYTES_MAX, TURN_DIFF_FILE_BYTES_MAX, TURN_DIFF_FILES_MAX, TURN_DIFF_SLICE_BYTES,
    TURN_DIFFS_HELD_BYTES_MAX,
};
use crate::words::call::Change;
use crate::words::ids::ThreadId;

/// The diffs of all turns that run.
#[derive(Default, Debug)]
pub struct TurnDiffs {
    turns: BTreeMap<ThreadId, TurnDiff>,
}

/// The diff of one turn.
#[derive(Default, Debug)]
struct TurnDiff {
    /// In the order of their names. Invariant: at most `TURN_DIFF_FILES_MAX`.
    files: Vec<Touched>,
    /// There are more files than are told of.
    is_short: bool,
    is_due: bool,
    /// It is no longer what was told.
    is_changed: bool,
    is_told: bool,
}

/// A file that a patch of the turn has changed.
#[derive(Debug)]
struct Touched {
    /// Where it was at first.
    path: PathBuf,
    /// As the diff calls it.
    name: Box<str>,
    before: Version,
    stamp_before: Stamp,
    /// What it was when it was looked at last; `None` if it is to be read in any case.
    stamp: Option<Stamp>,
    is_due: bool,
    /// Its part of the diff.
    text: String,
}

/// What changes with a file: device, inode, size, and when it was changed. Nothing is all zeros.
type Stamp = [u64; 5];

impl TurnDiffs {
    /// A patch is about to change these files; where the thread works their names begin.
    pub fn begin(&mut self, thread: ThreadId, cwd: &str, changes: &[Change]) {
        for change in changes {
            for path in [Some(&change.path), change.moved_to.as_ref()].into_iter().flatten() {
                self.touch(thread, cwd, path);
            }
        }
    }

    fn touch(&mut self, thread: ThreadId, cwd: &str, path: &str) {
        let room = TURN_DIFFS_HELD_BYTES_MAX.saturating_sub(self.held_bytes());
        let diff = self.turns.entry(thread).or_default();
        let name = name(cwd, path);
        match diff.files.binary_search_by(|file| (*file.name).cmp(name)) {
            Ok(place) => diff.files[place].stamp = None,
            Err(_) if diff.files.len() == TURN_DIFF_FILES_MAX => diff.is_short = true,
            Err(place) => {
                let path = roots::place(Path::new(path));
                let file = Touched {
                    name: name.into(),
                    before: read(&path, room.min(TURN_DIFF_FILE_BYTES_MAX)),
                    stamp_before: stamp(&path),
                    stamp: None,
                    is_due: false,
                    text: String::new(),
                    path,
                };
                diff.files.insert(place, file);
            }
        }
    }

    /// A patch was applied, if only in part.
    pub fn applied(&mut self, thread: ThreadId) {
        let Some(diff) = self.turns.get_mut(&thread) else { return };
        diff.is_due = true;
        for file in &mut diff.files {
            file.is_due = true;
        }
    }

    /// Whether there is something to do.
    pub fn is_due(&self) -> bool {
        self.turns.values().any(|diff| diff.is_due)
    }

    /// Looks at some more files. Gives a diff that is to be told, once all of its files are known.
    pub fn step(&mut self) -> Option<(ThreadId, String)> {
        let (thread, diff) = self.turns.iter_mut().find(|(_, diff)| diff.is_due)?;
        let mut bytes = 0;
        while let Some(place) = diff.files.iter().position(|file| file.is_due) {
            if bytes >= TURN_DIFF_SLICE_BYTES {
                return None;
            }
            bytes += diff.look(place);
        }
        diff.is_due = false;
        diff.is_told |= diff.is_changed;
        std::mem::take(&mut diff.is_changed).then(|| (*thread, diff.text()))
    }

    /// The turn is over: its diff as far as it can be known at once, if there is one to tell.
    pub fn finish(&mut self, thread: ThreadId) -> Option<String> {
        let mut diff = self.turns.remove(&thread)?;
        let mut bytes = 0;
        for place in 0..diff.files.len() {
            if bytes < TURN_DIFF_SLICE_BYTES {
                bytes += diff.look(place);
            }
        }
        (diff.is_told || diff.is_changed).then(|| diff.text())
    }

    /// Memory that all of it takes.
    fn held_bytes(&self) -> usize {
        let files = self.turns.values().flat_map(|diff| &diff.files);
        files.map(|file| file.before.bytes() + file.text.len()).sum()
    }
}

impl TurnDiff {
    /// Sees what has become of a file; gives how much had to be read.
    fn look(&mut self, place: usize) -> usize {
        let others: usize = self.files.iter().map(|file| file.text.len()).sum();
        let Touched { path, name, before, stamp_before, stamp: known, is_due, text } =
            &mut self.files[place];
        *is_due = false;
        let now = stamp(path);
        if *known == Some(now) {
            return 0;
        }
        *known = Some(now);
        let after = match &*before {
            // Who does not know what it was can only say whether it is the same.
            Version { content: Content::Unknown, .. } if now == *stamp_before => {
                self.is_changed |= !text.is_empty();
                text.clear();
                return 0;
            }
            Version { .. } => read(path, TURN_DIFF_FILE_BYTES_MAX),
        };
        let room = TURN_DIFF_BYTES_MAX.saturating_sub(others - text.len());
        let told = told(name, before, &after, room);
        self.is_changed |= told != *text;
        *text = told;
        after.bytes()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.is_short {
            text += "(more files were changed)\n";
        }
        text.extend(self.files.iter().map(|file| &*file.text));
        text
    }
}

/// A file as a diff in this directory calls it.
fn name<'a>(cwd: &str, path: &'a str) -> &'a str {
    let below = path.strip_prefix(cwd.trim_end_matches('/'));
    let below = below.and_then(|below| below.strip_prefix('/'));
    below.unwrap_or_else(|| path.trim_start_matches('/'))
}

/// Reads a file that is in its place: what a command has put a link in the place of, the sandbox
/// may keep from it.
fn read(place: &Path, bytes_max: usize) -> Version {
    let unknown = Version { content: Content::Unknown, is_executable: false };
    let file = match regular::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Version { content: Content::Absent, ..unknown };
        }
        Err(_) => return unknown,
    };
    let mode = file.metadata().map_or(0, |metadata| metadata.mode());
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut bytes = Vec::new();
    let is_read = fs::read_link(link).is_ok_and(|opened| opened == place)
        && file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).is_ok()
        && bytes.len() <= bytes_max;
    let is_executable = mode & 0o100 != 0;
    if is_read { Version { content: Content::of(bytes), is_executable } } else { unknown }
}

fn stamp(path: &Path) -> Stamp {
    fs::metadata(path).map_or([0; 5], |file| {
        let changed = [file.ctime() as u64, file.ctime_nsec() as u64];
        [file.dev(), file.ino(), file.size(), changed[0], changed[1]]
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::disk::tests::Place;
    use crate::words::call::ChangeKind;

    const THREAD: ThreadId = ThreadId { slot: 1, generation: 0 };

    fn change(path: &Path) -> Change {
        Change {
            path: path.to_str().unwrap().into(),
            kind: ChangeKind::Update,
            moved_to: None,
            before: None,
            over: None,
            diff: "".into(),
        }
    }

    /// Changes a file as a patch does, and gives what is told of the turn.
    fn patched(
        diffs: &mut TurnDiffs,
        place: &Place,
        name: &str,
        content: &[u8],
    ) -> Option<(ThreadId, String)> {
        let path = place.path().join(name);
        diffs.begin(THREAD, place.path().to_str().unwrap(), &[change(&path)]);
        fs::write(&path, content).unwrap();
        diffs.applied(THREAD);
        while diffs.is_due() {
            let told = diffs.step();
            if told.is_some() {
                return told;
            }
        }
        None
    }

    fn differs(name: &str) -> String {
        format!("diff --git a/{name} b/{name}\nBinary files a/{name} and b/{name} differ\n")
    }

    #[test]
    fn a_diff_begins_before_the_first_patch() {
        let place = Place::new();
        let mut diffs = TurnDiffs::default();
        fs::write(place.path().join("b"), "1\n").unwrap();
        patched(&mut diffs, &place, "b", b"2\n").unwrap();
        let (thread, told) = patched(&mut diffs, &place, "b", b"3\n").unwrap();
        assert_eq!(thread, THREAD);
        assert!(told.ends_with("--- a/b\n+++ b/b\n@@ -1 +1 @@\n-1\n+3\n"), "{told}");
        let (_, both) = patched(&mut diffs, &place, "a", b"new\n").unwrap();
        assert!(both.starts_with("diff --git a/a b/a\nnew file mode 100644\n"), "{both}");
        assert!(both.ends_with(&told), "{both}");
        // As it was at first: nothing is left of it.
        let (_, told) = patched(&mut diffs, &place, "b", b"1\n").unwrap();
        assert!(!told.contains("a/b"), "{told}");
        assert_eq!(patched(&mut diffs, &place, "b", b"1\n"), None);
    }

    #[test]
    fn the_end_tells_what_others_have_changed_since() {
        let place = Place::new();
        let mut diffs = TurnDiffs::default();
        assert_eq!(diffs.finish(THREAD), None);
        patched(&mut diffs, &place, "a", b"1\n").unwrap();
        fs::write(place.path().join("a"), "1\n2\n").unwrap();
        let told = diffs.finish(THREAD).unwrap();
        assert!(told.ends_with("@@ -0,0 +1,2 @@\n+1\n+2\n"), "{told}");
        assert!(diffs.turns.is_empty());
        patched(&mut diffs, &place, "a", b"1\n").unwrap();
        fs::remove_file(place.path().join("a")).unwrap();
        assert!(diffs.finish(THREAD).unwrap().contains("deleted file mode 100644\n"));
    }

    #[test]
    fn what_is_too_large_is_said_to_differ() {
        let place = Place::new();
        let mut diffs = TurnDiffs::default();
        let large = vec![b'x'; TURN_DIFF_FILE_BYTES_MAX + 1];
        fs::write(place.path().join("a"), &large).unwrap();
        let (_, told) = patched(&mut diffs, &place, "a", b"small\n").unwrap();
        assert_eq!(told, differs("a"));
        let (_, told) = patched(&mut diffs, &place, "b", &large).unwrap();
        assert!(told.ends_with("Binary files /dev/null and b/b differ\n"), "{told}");
        // A patch that did nothing to what is not known.
        diffs.finish(THREAD);
        let path = place.path().join("b");
        diffs.begin(THREAD, place.path().to_str().unwrap(), &[change(&path)]);
        diffs.applied(THREAD);
        assert_eq!((diffs.step(), diffs.step()), (None, None));
        assert_eq!(diffs.finish(THREAD), None);
    }

    #[test]
    fn a_whole_diff_has_a_bound() {
        let place = Place::new();
        let mut diffs = TurnDiffs::default();
        let half = format!("{}\n", "y".repeat(1023)).repeat(TURN_DIFF_FILE_BYTES_MAX / 1024);
        let count = TURN_DIFF_BYTES_MAX / half.len() + 1;
        let mut told = String::new();
        for number in 0..count {
            let name = number.to_string();
            (_, told) = patched(&mut diffs, &place, &name, half.as_bytes()).unwrap();
        }
        assert!(told.len() < TURN_DIFF_BYTES_MAX + count * 256, "{}", told.len());
        assert!(told.contains(" differ\n"));
    }

    #[test]
    fn files_of_one_diff_are_counted() {
        let place = Place::new();
        let mut diffs = TurnDiffs::default();
        let cwd = place.path().to_str().unwrap();
        for number in 0..=TURN_DIFF_FILES_MAX {
            diffs.begin(THREAD, cwd, &[change(&place.path().join(number.to_string()))]);
        }
        let (_, told) = patched(&mut diffs, &place, "0", b"x\n").unwrap();
        assert!(told.starts_with("(more files were changed)\ndiff --git a/0 b/0\n"), "{told}");
        assert_eq!(diffs.turns[&THREAD].files.len(), TURN_DIFF_FILES_MAX);
    }

    #[test]
    fn what_is_held_has_a_bound() {
        let place = Place::new();
        let mut diffs = TurnDiffs::default();
        let cwd = place.path().to_str().unwrap();
        let path = place.path().join("a");
        fs::write(&path, "y\n".repeat(TURN_DIFF_FILE_BYTES_MAX / 2)).unwrap();
        let count = (TURN_DIFFS_HELD_BYTES_MAX / TURN_DIFF_FILE_BYTES_MAX) as u16;
        for slot in 0..=count {
            diffs.begin(ThreadId { slot, generation: 0 }, cwd, &[change(&path)]);
        }
        assert!(diffs.held_bytes() <= TURN_DIFFS_HELD_BYTES_MAX);
        let last = &diffs.turns[&ThreadId { slot: count, generation: 0 }].files[0];
        assert_eq!(last.before.content, Content::Unknown);
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_not_followed() {
        let place = Place::new();
        let mut diffs = TurnDiffs::default();
        let (path, secret) = (place.path().join("new/a"), place.path().join("secret"));
        fs::write(&secret, "secret").unwrap();
        diffs.begin(THREAD, place.path().to_str().unwrap(), &[change(&path)]);
        fs::create_dir(place.path().join("new")).unwrap();
        symlink(&secret, &path).unwrap();
        diffs.applied(THREAD);
        let told = diffs.finish(THREAD).unwrap();
        assert!(told.ends_with("Binary files /dev/null and b/new/a differ\n"), "{told}");
    }

    #[test]
    fn names_begin_where_the_thread_works() {
        for (cwd, path, expected) in [
            ("/w", "/w/a/b", "a/b"),
            ("/w/", "/w/a", "a"),
            ("/w", "/work/a", "work/a"),
            ("/", "/etc/a", "etc/a"),
        ] {
            assert_eq!(name(cwd, path), expected);
        }
    }
}
