//! Other names of files that are to stay unread.
//!
//! The sandbox closes names. A command cannot give a closed file another one, but the file may have
//! one already, by a hard link that nobody told of; then nothing is run until that is closed too.
//! Files in closed directories are not looked at: there may be any number of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Refuses if a file among these, whose paths lead through no link, has a name that is not.
pub fn judge(closed: &[PathBuf]) -> io::Result<()> {
    // For each file: how many names it has, which of them are closed.
    let mut files: BTreeMap<(u64, u64), (u64, Vec<&Path>)> = BTreeMap::new();
    for path in closed {
        // What does not exist cannot be read.
        let Ok(found) = fs::symlink_metadata(path) else { continue };
        if found.is_dir() || found.nlink() < 2 {
            continue;
        }
        let (_, names) =
            files.entry((found.dev(), found.ino())).or_insert((found.nlink(), Vec::new()));
        if !names.contains(&path.as_path()) {
            names.push(path);
        }
    }
    let open = files.values().find(|(count, names)| (names.len() as u64) < *count);
    let Some((count, [first, ..])) = open.map(|(count, names)| (count, names.as_slice())) else {
        return Ok(());
    };
    let first = first.display();
    Err(io::Error::other(format!(
        "sandbox: {first} is to stay unread but has {count} names (hard links), of which some are \
         not closed; the command was not run. Find them with `find / -xdev -samefile {first}`, and \
         remove them or add them to sandbox_deny_read"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_closed_file_has_to_be_closed() {
        let place = std::env::temp_dir().join(format!("windlass-links-{}", std::process::id()));
        fs::create_dir_all(place.join("inner")).unwrap();
        let [one, two, alone] = ["one", "inner/two", "alone"].map(|name| place.join(name));
        fs::write(&one, "").unwrap();
        fs::write(&alone, "").unwrap();
        fs::hard_link(&one, &two).unwrap();
        assert!(judge(&[alone.clone(), place.clone(), place.join("none")]).is_ok());
        let twice = [one.clone(), one.clone(), alone];
        let error = judge(&twice).unwrap_err().to_string();
        assert!(error.contains("one is to stay unread but has 2 names"), "{error}");
        assert!(judge(&[one, two]).is_ok());
        fs::remove_dir_all(&place).unwrap();
    }
}
