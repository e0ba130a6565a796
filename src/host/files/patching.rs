//! What a patch would do to the disk, and doing it.
//!
//! A `Plan` is made by reading every file the patch names and computing every new text; if any hunk
//! does not fit, there is no plan and nothing has changed. Hunks see what earlier hunks of the same
//! patch would have left. The plan is told to the agent with the hashes of what it read; a later
//! run makes the plan anew and goes on only if the hashes are still the same.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::iter;
use std::path::{Component, Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ground::{Ground, Missing};
use super::regular::{self, Links};
use crate::limits::{
    CHANGE_CONTEXT_LINES, CHANGE_TEXT_BYTES_MAX, CHANGES_TEXT_BYTES_MAX, PATCH_FILE_BYTES_MAX,
    PATCH_FILES_BYTES_MAX,
};
use crate::tools::patch::{Chunk, Deed, Hunk, edited, parse, success_text};
use crate::words::diff::unified;
use crate::words::sort;

/// What the agent saw at a path: the hash of the content, or that there was none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Expectation {
    path: PathBuf,
    before: Option<String>,
}

/// Changes that fit the disk as it was read.
#[derive(Debug, Default)]
pub(super) struct Plan {
    cwd: PathBuf,
    changes: Vec<Change>,
    /// Hashes of what is on disk, for every path that is read or written.
    originals: BTreeMap<PathBuf, Option<String>>,
    /// Contents as the changes so far leave them.
    current: BTreeMap<PathBuf, Option<Vec<u8>>>,
    /// Bytes read and computed so far.
    bytes: usize,
    /// Hunks so far.
    hunks_count: usize,
}

/// What happens to one file.
#[derive(Debug)]
struct Change {
    /// Absolute, without `.` and `..`.
    path: PathBuf,
    /// As the patch wrote it.
    relative: String,
    kind: Kind,
    /// Which hunk of the patch it is.
    hunk: usize,
    /// Later hunks whose updates became part of this change, and how they wrote the path.
    again: Vec<(usize, String)>,
}

#[derive(Debug)]
enum Kind {
    Add { after: Vec<u8> },
    Delete { before: Vec<u8> },
    Update { before: Vec<u8>, after: Vec<u8>, moved: Option<Place> },
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    relative: String,
}

/// What a hunk did, and which of the patch it is.
type Done = (usize, (Deed, String));

/// How applying went; earlier changes stay even if a later one failed.
#[derive(Debug)]
pub(super) struct Applied {
    /// One for each hunk.
    deeds: Vec<(Deed, String)>,
    applied_count: usize,
    changes_count: usize,
    failure: Option<String>,
}

impl Plan {
    /// Reads a patch and all files it names; an error is text for the model.
    pub(super) fn new(cwd: &Path, patch: &str) -> Result<Plan, String> {
        if !cwd.is_absolute() {
            return Err(format!("the working directory '{}' is not absolute", cwd.display()));
        }
        let patch = parse(patch).map_err(|error| error.to_string())?;
        let mut plan = Plan { cwd: cwd.to_owned(), ..Plan::default() };
        for hunk in &patch.hunks {
            plan.push(hunk)?;
            plan.hunks_count += 1;
        }
        Ok(plan)
    }

    /// Whether the disk still is what the agent saw.
    pub(super) fn verify(&self, expected: &[Expectation]) -> Result<(), String> {
        for (path, before) in &self.originals {
            let known = expected.iter().find(|expectation| expectation.path == *path);
            if known.is_none_or(|expectation| expectation.before != *before) {
                return Err(format!(
                    "{} has changed since the patch was judged; nothing was written, read the \
                     file again",
                    path.display()
                ));
            }
        }
        Ok(())
    }

    /// Whether all of its files are where their paths say.
    pub(super) fn stand_on(&self, ground: &Ground) -> Result<(), String> {
        self.originals.keys().try_for_each(|path| ground.judge(path).map_err(|it| it.to_string()))
    }

    /// Writes everything, in the order of the patch, until something fails.
    pub(super) fn apply(self, ground: &Ground) -> Applied {
        let changes_count = self.changes.len();
        let mut deeds = Vec::with_capacity(self.hunks_count);
        let mut applied =
            Applied { deeds: Vec::new(), applied_count: 0, changes_count, failure: None };
        for change in self.changes {
            match change.apply(ground) {
                Ok(done) => {
                    deeds.extend(done);
                    applied.applied_count += 1;
                }
                Err(failure) => {
                    applied.failure = Some(failure);
                    break;
                }
            }
        }
        sort::by_key(&mut deeds, |(hunk, _)| *hunk);
        applied.deeds = deeds.into_iter().map(|(_, deed)| deed).collect();
        applied
    }

    /// The plan for the agent, texts bounded.
    pub(super) fn told(&self) -> Value {
        let mut room = CHANGES_TEXT_BYTES_MAX;
        let mut changes = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let mut told = change.told(&mut room);
            let before = self.originals.get(&change.path).cloned().flatten();
            told["before"] = json!(before);
            changes.push(told);
        }
        let expect: Vec<Value> = self
            .originals
            .iter()
            .map(|(path, before)| json!({ "path": shown(path), "before": before }))
            .collect();
        json!({ "changes": changes, "expect": expect })
    }

    fn push(&mut self, hunk: &Hunk) -> Result<(), String> {
        let mut place = self.place(hunk.path())?;
        match hunk {
            Hunk::Add { content, .. } => {
                self.content(&place)?;
                let after = content.clone().into_bytes();
                self.set(&place.path, Some(after.clone()))?;
                self.change(place, Kind::Add { after });
            }
            Hunk::Delete { .. } => {
                let before = self.content(&place)?.ok_or_else(|| missing(&place, "delete"))?;
                self.set(&place.path, None)?;
                self.change(place, Kind::Delete { before });
            }
            Hunk::Update { move_to, chunks, .. } => {
                let before = self.content(&place)?.ok_or_else(|| missing(&place, "update"))?;
                let after = updated(&before, chunks, &place.relative)?;
                let moved = move_to.as_deref().map(|path| self.place(path)).transpose()?;
                // A file that is moved onto itself stays, and is told as if it had been moved.
                let moved = match moved {
                    Some(same) if same.path == place.path => {
                        place.relative = same.relative;
                        None
                    }
                    moved => moved,
                };
                self.update(place, before, after, moved)?;
            }
        }
        Ok(())
    }

    fn update(
        &mut self,
        place: Place,
        before: Vec<u8>,
        after: Vec<u8>,
        moved: Option<Place>,
    ) -> Result<(), String> {
        if let Some(moved) = &moved {
            self.content(moved)?;
            self.set(&place.path, None)?;
            self.set(&moved.path, Some(after.clone()))?;
        } else {
            self.set(&place.path, Some(after.clone()))?;
            // A second update of a file becomes part of what first wrote it.
            let last = self.changes.iter_mut().rev().find(|change| change.touches(&place.path));
            if let Some(last) = last
                && last.path == place.path
                && let Kind::Add { after: text } | Kind::Update { after: text, moved: None, .. } =
                    &mut last.kind
            {
                *text = after;
                last.again.push((self.hunks_count, place.relative));
                return Ok(());
            }
        }
        self.change(place, Kind::Update { before, after, moved });
        Ok(())
    }

    fn change(&mut self, place: Place, kind: Kind) {
        let Place { path, relative } = place;
        let hunk = self.hunks_count;
        self.changes.push(Change { path, relative, kind, hunk, again: Vec::new() });
    }

    fn place(&self, relative: &str) -> Result<Place, String> {
        let path = lexical(&self.cwd.join(relative));
        if path.file_name().is_none() || relative.contains('\0') {
            return Err(format!("'{}' is not the path of a file", relative.escape_debug()));
        }
        Ok(Place { path, relative: relative.to_owned() })
    }

    /// What is at a path now, as far as this patch is concerned.
    fn content(&mut self, place: &Place) -> Result<Option<Vec<u8>>, String> {
        if let Some(content) = self.current.get(&place.path) {
            return Ok(content.clone());
        }
        let content = regular::read(&place.path, PATCH_FILE_BYTES_MAX)
            .map_err(|error| format!("cannot read {}: {error}", place.path.display()))?;
        let before = content.as_deref().map(hash);
        self.originals.insert(place.path.clone(), before);
        self.set(&place.path, content.clone())?;
        Ok(content)
    }

    fn set(&mut self, path: &Path, content: Option<Vec<u8>>) -> Result<(), String> {
        self.bytes += content.as_ref().map_or(0, Vec::len);
        if self.bytes > PATCH_FILES_BYTES_MAX {
            return Err(format!(
                "the files of this patch are over {PATCH_FILES_BYTES_MAX} bytes; send it in parts"
            ));
        }
        self.current.insert(path.to_owned(), content);
        Ok(())
    }
}

impl Change {
    fn touches(&self, path: &Path) -> bool {
        let moved = match &self.kind {
            Kind::Update { moved: Some(moved), .. } => moved.path == path,
            Kind::Update { moved: None, .. } | Kind::Add { .. } | Kind::Delete { .. } => false,
        };
        moved || self.path == path
    }

    /// Does it; gives what each of its hunks did.
    fn apply(self, ground: &Ground) -> Result<Vec<Done>, String> {
        let deed = match self.kind {
            Kind::Add { after } => {
                put(ground, &self.path, &after, None)?;
                (Deed::Added, self.relative)
            }
            Kind::Delete { .. } => {
                remove(ground, &self.path)?;
                (Deed::Deleted, self.relative)
            }
            Kind::Update { after, moved: None, .. } => {
                put(ground, &self.path, &after, None)?;
                (Deed::Modified, self.relative)
            }
            Kind::Update { after, moved: Some(moved), .. } => {
                let standing = ground.enter(&self.path, Missing::Left).ok();
                let found = standing.and_then(|standing| fs::metadata(standing.path).ok());
                put(ground, &moved.path, &after, found.map(|file| file.permissions()))?;
                remove(ground, &self.path)?;
                (Deed::Modified, moved.relative)
            }
        };
        let again = self.again.into_iter().map(|(hunk, path)| (hunk, (Deed::Modified, path)));
        Ok(iter::once((self.hunk, deed)).chain(again).collect())
    }

    /// The change without its hash; takes the bytes of its texts out of `room`.
    fn told(&self, room: &mut usize) -> Value {
        let (kind, moved, field, text) = match &self.kind {
            Kind::Add { after } => ("add", None, "content", lossy(after)),
            Kind::Delete { before } => ("delete", None, "content", lossy(before)),
            Kind::Update { before, after, moved } => {
                let diff = unified(&lossy(before), &lossy(after), CHANGE_CONTEXT_LINES);
                ("update", moved.as_ref(), "unified_diff", diff)
            }
        };
        let bytes_max = CHANGE_TEXT_BYTES_MAX.min(*room);
        let shown_text = &text[..text.floor_char_boundary(bytes_max)];
        *room -= shown_text.len();
        let mut told = json!({
            "path": shown(&self.path),
            "relative": self.relative,
            "kind": kind,
            "truncated": shown_text.len() < text.len(),
        });
        told[field] = json!(shown_text);
        if let Some(moved) = moved {
            told["move_path"] = json!(shown(&moved.path));
        }
        told
    }
}

impl Applied {
    pub(super) fn exit_code(&self) -> u8 {
        u8::from(self.failure.is_some())
    }

    pub(super) fn stdout(&self) -> String {
        if self.failure.is_some() { String::new() } else { success_text(&self.deeds) }
    }

    /// What failed and, since it stays, what was done before.
    pub(super) fn stderr(&self) -> String {
        let Some(failure) = &self.failure else { return String::new() };
        let mut text = format!("{failure}\n");
        if !self.deeds.is_empty() {
            let (done, all) = (self.applied_count, self.changes_count);
            text.push_str(&format!("{done} of {all} changes were made before that:\n"));
            let made = success_text(&self.deeds);
            text.push_str(made.split_once('\n').map_or("", |(_, paths)| paths));
        }
        text
    }

    pub(super) fn told(&self) -> Value {
        json!({
            "exit_code": self.exit_code(),
            "stdout": self.stdout(),
            "stderr": self.stderr(),
            "applied_count": self.applied_count,
            "changes_count": self.changes_count,
        })
    }
}

/// SHA-256 in hexadecimal digits.
fn hash(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn updated(before: &[u8], chunks: &[Chunk], relative: &str) -> Result<Vec<u8>, String> {
    if chunks.is_empty() {
        return Ok(before.to_owned());
    }
    let Ok(text) = std::str::from_utf8(before) else {
        return Err(format!("{relative} is not UTF-8 text and cannot be patched"));
    };
    edited(text, chunks, relative).map(String::into_bytes).map_err(|error| error.to_string())
}

/// A path without `.` and `..`, by its text alone: what is judged is then what is written.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                clean.push(component);
            }
        }
    }
    clean
}

fn put(
    ground: &Ground,
    path: &Path,
    bytes: &[u8],
    permissions: Option<Permissions>,
) -> Result<(), String> {
    let standing = ground.enter(path, Missing::Made).map_err(|error| {
        let parent = path.parent().unwrap_or(path).display();
        format!("failed to create directory {parent}: {error}")
    })?;
    let written = match standing.held {
        None => regular::write(path, bytes, permissions),
        Some(_) => regular::write_to(&standing.path, bytes, permissions, Links::Refused),
    };
    written.map_err(|error| format!("failed to write file {}: {error}", path.display()))
}

fn remove(ground: &Ground, path: &Path) -> Result<(), String> {
    let standing = ground.enter(path, Missing::Left);
    standing
        .and_then(|standing| fs::remove_file(&standing.path))
        .map_err(|error| format!("failed to delete file {}: {error}", path.display()))
}

fn missing(place: &Place, doing: &str) -> String {
    format!("cannot {doing} {}: no such file", place.path.display())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
