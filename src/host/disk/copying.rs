//! The past of a fork: lines of another rollout, copied as they are into one of its own.
//!
//! ```text
//! rollout-…-ID.part --slice--> … --all there--> rollout-…-ID.jsonl
//! ```
//!
//! The file is written in slices under a name that is no rollout's, and gets its own in one step. A
//! process that is killed before that leaves no fork, but a part that nobody reads; one that is
//! killed later leaves a whole fork, which can be resumed. What is held is one slice, however long
//! the past is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::host::disk::Failure;
use crate::host::disk::rollout::{Rollout, create};
use crate::limits::FORK_SLICE_BYTES;

/// Lines of a rollout that are a past.
#[derive(Debug)]
pub struct Stretch {
    /// The rollout that it is from: what is read stays there, whatever becomes of its name.
    pub file: File,
    /// Behind the line that says whose it is.
    pub from_bytes: u64,
    /// Where its last line ends, before the ending.
    pub until_bytes: u64,
}

/// A past that is being copied.
#[derive(Debug)]
pub struct Copying {
    source: File,
    /// Invariant: at most `until_bytes`, unless there is nothing to copy.
    at_bytes: u64,
    until_bytes: u64,
    path: PathBuf,
    part: PathBuf,
    /// `None` once it is whole.
    file: Option<File>,
    slice: Vec<u8>,
}

impl Copying {
    /// Begins a rollout with its first line.
    pub fn begin(past: &Stretch, path: &Path, first_line: &[u8]) -> Result<Copying, Failure> {
        let failed = |source| Failure::new("record the fork", path, source);
        let source = past.file.try_clone().map_err(failed)?;
        let part = path.with_extension("part");
        let file = create(&part).map_err(failed)?;
        let (at_bytes, until_bytes) = (past.from_bytes, past.until_bytes);
        let (path, slice) = (path.to_owned(), Vec::new());
        let copying =
            Copying { source, at_bytes, until_bytes, path, part, file: Some(file), slice };
        copying.write(first_line).map_err(failed)?;
        Ok(copying)
    }

    /// Copies the next slice; gives the rollout once it is whole.
    pub fn step(&mut self) -> Result<Option<Rollout>, Failure> {
        self.try_step().map_err(|source| Failure::new("record the fork", &self.path, source))
    }

    fn try_step(&mut self) -> io::Result<Option<Rollout>> {
        let left_bytes = self.until_bytes.saturating_sub(self.at_bytes);
        if left_bytes > 0 {
            self.slice.resize(left_bytes.min(FORK_SLICE_BYTES) as usize, 0);
            self.source.read_exact_at(&mut self.slice, self.at_bytes)?;
            self.at_bytes += self.slice.len() as u64;
            if self.at_bytes == self.until_bytes {
                self.slice.push(b'\n');
            }
            self.write(&self.slice)?;
            return Ok(None);
        }
        fs::rename(&self.part, &self.path)?;
        Ok(self.file.take().map(|file| Rollout::of(&self.path, file)))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |mut file| file.write_all(bytes))
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What is left of it is in nobody's way.
            let _ = fs::remove_file(&self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;

    fn stretch(place: &Place, text: &str, from: u64) -> Stretch {
        let file = File::open(place.file("source.jsonl", text)).expect("open");
        Stretch { file, from_bytes: from, until_bytes: text.trim_end().len() as u64 }
    }

    fn names(place: &Place) -> Vec<String> {
        let names = fs::read_dir(place.path().join("f")).expect("read");
        names.map(|entry| entry.expect("one").file_name().into_string().expect("UTF-8")).collect()
    }

    #[test]
    fn a_past_is_copied_in_slices_and_named_when_it_is_whole() {
        let place = Place::new();
        let line = "x".repeat(FORK_SLICE_BYTES as usize / 2 + 3);
        let path = place.path().join("f/a.jsonl");
        // The last line has no ending yet.
        for (lines, end) in [(0, "\n"), (1, ""), (1, "\n"), (5, "\n"), (5, "")] {
            let text = format!("meta\n{}", vec![&*line; lines].join("\n")) + end;
            let mut copying =
                Copying::begin(&stretch(&place, &text, 5), &path, b"own\n").expect("begun");
            let mut steps_count = 0;
            let rollout = loop {
                assert_eq!(names(&place), ["a.part"]);
                steps_count += 1;
                if let Some(rollout) = copying.step().expect("a step") {
                    break rollout;
                }
                assert!(copying.slice.len() <= FORK_SLICE_BYTES as usize + 1);
            };
            drop(copying);
            assert_eq!((names(&place), rollout.path()), (vec!["a.jsonl".into()], &*path));
            let copied = fs::read_to_string(&path).expect("read");
            let expected = text.replacen("meta", "own", 1);
            assert_eq!(copied.trim_end(), expected.trim_end());
            assert!(copied.ends_with('\n') && !copied.ends_with("\n\n"));
            assert_eq!(
                steps_count,
                1 + (lines * (line.len() + 1)).div_ceil(FORK_SLICE_BYTES as usize)
            );
            fs::remove_file(&path).expect("gone");
        }
    }

    #[test]
    fn what_is_given_up_or_fails_leaves_nothing() {
        let place = Place::new();
        let path = place.path().join("f/a.jsonl");
        let past = stretch(&place, "meta\none\n", 5);
        drop(Copying::begin(&past, &path, b"own\n").expect("begun"));
        assert!(names(&place).is_empty());
        // Somebody has cut it off meanwhile.
        let beyond = Stretch { until_bytes: 100, ..past };
        let mut copying = Copying::begin(&beyond, &path, b"own\n").expect("begun");
        assert!(copying.step().is_err());
        drop(copying);
        assert!(names(&place).is_empty());
    }
}
