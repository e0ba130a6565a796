//! What a command changed that was to stay as it is, and how that is told.
//!
//! The launcher names such paths by their place in the policy, once everything the command started
//! is gone: put back, or lost.

use std::path::{Path, PathBuf};

/// The changed paths among the protected ones.
#[derive(Debug, Default)]
pub struct Restored {
    protected: Vec<PathBuf>,
    /// Indexes of `protected`, at most as many as it has.
    back: Vec<u32>,
    lost: Vec<u32>,
}

impl Restored {
    /// Among the protected paths of a policy, in its order.
    pub fn among(protected: Vec<PathBuf>) -> Restored {
        Restored { protected, back: Vec::new(), lost: Vec::new() }
    }

    /// Whether there is nothing to be put back.
    pub fn is_empty(&self) -> bool {
        self.protected.is_empty()
    }

    /// Takes what the launcher says of one path.
    pub fn push(&mut self, index: u32, is_whole: bool) {
        if self.back.len() + self.lost.len() < self.protected.len() {
            let paths = if is_whole { &mut self.back } else { &mut self.lost };
            paths.push(index);
        }
    }

    /// What a launcher was told to keep.
    pub fn protected(&self) -> &[PathBuf] {
        &self.protected
    }

    /// One line about all of them, which nobody has looked after.
    pub fn note_of_all(&self, directory: &Path) -> String {
        let all: Vec<u32> = (0..).take(self.protected.len()).collect();
        let names = self.names(&all, directory);
        format!(
            "[sandbox: its supervisor was killed; these may have changed, and stay so: {names}]"
        )
    }

    /// One line about them; `None` if there are none.
    pub fn note(&self, directory: &Path) -> Option<String> {
        let mut parts = Vec::new();
        if !self.back.is_empty() {
            let names = self.names(&self.back, directory);
            parts.push(format!(
                "changed while this ran, and put back as before: {names}; what was there is beside \
                 it, with .undone added to its name"
            ));
        }
        if !self.lost.is_empty() {
            let names = self.names(&self.lost, directory);
            parts.push(format!("changed while this ran, and could not be put back: {names}"));
        }
        (!parts.is_empty()).then(|| format!("[sandbox: {}]", parts.join("; ")))
    }

    fn names(&self, indexes: &[u32], directory: &Path) -> String {
        let paths = indexes.iter().filter_map(|index| self.protected.get(*index as usize));
        let names = paths.map(|path| path.strip_prefix(directory).unwrap_or(path).display());
        names.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_paths_are_named_as_seen_from_the_working_directory() {
        let paths = ["/w/.git/config", "/w/.codex", "/x/.codex"].map(PathBuf::from);
        let mut restored = Restored::among(paths.to_vec());
        assert_eq!(restored.note(Path::new("/w")), None);
        restored.push(0, true);
        restored.push(2, true);
        restored.push(1, false);
        // Whoever says more has nothing to say.
        restored.push(1, true);
        let expected = "[sandbox: changed while this ran, and put back as before: .git/config, \
                        /x/.codex; what was there is beside it, with .undone added to its name; \
                        changed while this ran, and could not be put back: .codex]";
        assert_eq!(restored.note(Path::new("/w")).unwrap(), expected);
    }
}
