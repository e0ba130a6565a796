//! Writes a small file of ours anew: whoever reads it finds the old text or the new one, whole.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::host::clock;
use crate::host::disk::Failure;
use crate::limits::LINKS_FOLLOWED_MAX;

/// Who may read what is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readers {
    /// Nobody but the user.
    Owner,
    /// Who could read the old text.
    Same,
}

/// Replaces the text of a file, making it and its directory if need be.
///
/// A symbolic link stays one; what it leads to is replaced.
pub fn replace(path: &Path, text: &str, readers: Readers) -> Result<(), Failure> {
    write(path, text, readers).map_err(|source| Failure::new("write", path, source))
}

fn write(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let path = target(path)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let known = match fs::metadata(&path) {
        Ok(known) if !known.is_file() => return Err(io::Error::other("not a regular file")),
        Ok(known) => Some(known.permissions().mode() & 0o777),
        Err(_) => None,
    };
    let mode = known.filter(|_| readers == Readers::Same).unwrap_or(0o600);
    let fresh = parent.join(format!(".fresh-{:016x}", u64::from_le_bytes(clock::random()?)));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&fresh, &path)
    })();
    if written.is_err() {
        // What failed is told; what is left of it is in nobody's way.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Where a path leads, whether or not there is something.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_FOLLOWED_MAX {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::disk::tests::Place;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_its_owners_alone() {
        let place = Place::new();
        let path = place.path().join("home/a");
        replace(&path, "1", Readers::Same).expect("written");
        assert_eq!((fs::read_to_string(&path).expect("read").as_str(), mode(&path)), ("1", 0o600));
        assert_eq!(mode(&place.path().join("home")), 0o700);
    }

    #[test]
    fn readers_stay_unless_it_is_a_secret() {
        let place = Place::new();
        let path = place.file("a", "old and longer");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        replace(&path, "new", Readers::Same).expect("written");
        assert_eq!((fs::read(&path).expect("read").as_slice(), mode(&path)), (&b"new"[..], 0o644));
        replace(&path, "key", Readers::Owner).expect("written");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(place.path()).expect("read").count(), 1);
    }

    #[test]
    fn links_stay_links() {
        let place = Place::new();
        let real = place.file("real/a", "old");
        let link = place.path().join("link");
        symlink("real/a", &link).expect("a link");
        replace(&link, "new", Readers::Same).expect("written");
        assert!(link.is_symlink() && !real.is_symlink());
        assert_eq!(fs::read_to_string(&real).expect("read"), "new");
        fs::remove_file(&real).expect("gone");
        replace(&link, "again", Readers::Same).expect("written");
        assert_eq!(fs::read_to_string(&real).expect("read"), "again");
        symlink("round", place.path().join("round")).expect("a link");
        assert!(replace(&place.path().join("round"), "x", Readers::Same).is_err());
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let place = Place::new();
        place.directory("d");
        let failure = replace(&place.path().join("d"), "x", Readers::Same).expect_err("refused");
        assert!(failure.to_string().ends_with("/d: not a regular file"), "{failure}");
        assert!(replace(&place.pipe("p"), "x", Readers::Same).is_err());
    }
}
