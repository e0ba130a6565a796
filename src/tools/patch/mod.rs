//! Patches in the `*** Begin Patch` format, from text to new file contents, without touching a
//! file.
//!
//! `grammar` reads the text into hunks, `locate` finds where a chunk belongs in a file, `edit`
//! gives the new text. This file knows the doors through which a patch may come in a shell command,
//! and how success is told. Reading and writing files is the work of `host/files`.

use std::fmt::Write as _;

pub mod edit;
pub mod grammar;
pub mod locate;

pub use edit::{EditError, edited};
pub use grammar::{Chunk, Hunk, Line, Patch, PatchError, parse};

/// The names under which a command is a patch.
pub const NAMES: [&str; 2] = ["apply_patch", "applypatch"];

/// A patch that came as a shell command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchCall {
    pub body: String,
    /// What the script changed directory to first, relative to where it would have run.
    pub workdir: Option<String>,
}

/// What a command turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intercepted {
    Patch(PatchCall),
    /// The command is nothing but the text of a patch; the model must be told to name
    /// `apply_patch`.
    Bare,
}

/// What happened to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    Added,
    Modified,
    Deleted,
}

/// Recognises a command that only applies a patch; everything else is a command like any other.
///
/// A shell script counts if it is exactly one `apply_patch` fed by a heredoc, with at most a `cd
/// DIR &&` before it. The body is taken literally, whether the heredoc's tag is quoted or not.
pub fn as_patch(argv: &[String]) -> Option<Intercepted> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    match words.as_slice() {
        [name, body] if NAMES.contains(name) => {
            Some(Intercepted::Patch(PatchCall { body: (*body).to_owned(), workdir: None }))
        }
        [shell, "-lc" | "-c", script] if is_shell(shell) => script_as_patch(script),
        [body] if is_bare(body) => Some(Intercepted::Bare),
        _ => None,
    }
}

/// The text on stdout after a patch was applied; `deeds` holds paths as the patch wrote them, one
/// for each hunk.
pub fn success_text(deeds: &[(Deed, String)]) -> String {
    let mut text = "Success. These files changed:\n".to_owned();
    for kind in [Deed::Added, Deed::Modified, Deed::Deleted] {
        let letter = match kind {
            Deed::Added => 'A',
            Deed::Modified => 'M',
            Deed::Deleted => 'D',
        };
        for (_, path) in deeds.iter().filter(|(deed, _)| *deed == kind) {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{letter} {path}");
        }
    }
    text
}

/// The whole engine on outside bytes: up to the first byte 1 a file, behind it a patch.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (old, patch) = text.split_once("\u{1}").unwrap_or(("", &text));
    let argv = ["bash".to_owned(), "-lc".to_owned(), patch.to_owned()];
    let _ = as_patch(&argv);
    let Ok(patch) = parse(patch) else { return };
    for hunk in &patch.hunks {
        if let Hunk::Update { path, chunks, .. } = hunk
            && let Ok(new) = edited(old, chunks, path)
        {
            assert!(new.is_empty() || new.ends_with('\n'), "a file ends with a newline");
        }
    }
}

fn is_shell(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("bash" | "zsh" | "sh"))
}

fn is_bare(text: &str) -> bool {
    text.trim_start().starts_with(grammar::BEGIN)
}

fn script_as_patch(script: &str) -> Option<Intercepted> {
    if is_bare(script) {
        return Some(Intercepted::Bare);
    }
    let (workdir, script) = leading_cd(script.trim_start())?;
    let (head, rest) = script.split_once('\n')?;
    let head = NAMES.iter().find_map(|name| head.strip_prefix(name))?;
    let tag = heredoc_tag(head.trim())?;
    let mut body = String::new();
    let mut lines = rest.split('\n');
    loop {
        let line = lines.next()?;
        if line == tag {
            break;
        }
        body.push_str(line);
        body.push('\n');
    }
    let nothing_follows = lines.all(|line| line.trim().is_empty());
    nothing_follows.then_some(Intercepted::Patch(PatchCall { body, workdir }))
}

/// Takes `cd DIR &&` off the front of a script, if it is there. `None` if it is there but not
/// plain.
fn leading_cd(script: &str) -> Option<(Option<String>, &str)> {
    let Some(after) = script.strip_prefix("cd ") else { return Some((None, script)) };
    let after = after.trim_start();
    let (directory, rest) = match after.chars().next()? {
        quote @ ('\'' | '"') => after[1..].split_once(quote)?,
        _ => after.split_at(after.find([' ', '\t', '\n', '&'])?),
    };
    let quoted = after.starts_with('\'');
    let special = if quoted { "\0" } else { "$`\\\"'*?[]{}()<>|;&#~!\0" };
    if directory.is_empty() || directory == "-" || directory.contains(|c| special.contains(c)) {
        return None;
    }
    let rest = rest.trim_start().strip_prefix("&&")?;
    Some((Some(directory.to_owned()), rest.trim_start()))
}

/// The tag of `<<TAG`, `<<'TAG'` or `<<"TAG"`, if the text is nothing else.
fn heredoc_tag(text: &str) -> Option<&str> {
    let text = text.strip_prefix("<<")?.trim_start();
    let tag = match text.chars().next()? {
        quote @ ('\'' | '"') => text[1..].strip_suffix(quote)?,
        _ => text,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!tag.is_empty() && tag.chars().all(plain)).then_some(tag)
}

#[cfg(test)]
mod tests;
