//! Ground on which commands in the sandbox may write, and put links, while we may more than they.
//!
//! A patch that a person has approved is applied outside of the sandbox, to the names that the
//! person was shown. What is not itself where such a name says is then not meant: on this ground no
//! link is followed, and each directory is held by a descriptor while we work in it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Directories on which to tread with care; none if the sandbox holds us.
#[derive(Debug, Default)]
pub(super) struct Ground {
    roots: Vec<PathBuf>,
}

/// A file by a name that stays its own while this lives.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) path: PathBuf,
    /// What holds the name, where it lies on the ground.
    pub(super) held: Option<File>,
}

impl Ground {
    pub(super) fn of(roots: Vec<PathBuf>) -> Ground {
        Ground { roots }
    }

    /// Whether a file is where its path says, as far as there is anything.
    pub(super) fn judge(&self, path: &Path) -> io::Result<()> {
        match self.enter(path, Missing::Left) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            entered => entered.map(drop),
        }
    }

    /// Goes where a file is or is to be made.
    pub(super) fn enter(&self, path: &Path, missing: Missing) -> io::Result<Standing> {
        let above = self.roots.iter().filter(|root| path.starts_with(root) && path != **root);
        let root = above.min_by_key(|root| root.components().count());
        let opened = root.map(|root| (root, open(root, libc::O_DIRECTORY)));
        let (Some((root, Ok(mut here))), Some(name), Some(parent)) =
            (opened, path.file_name(), path.parent())
        else {
            if let (Some(parent), Missing::Made) = (path.parent(), missing) {
                fs::create_dir_all(parent)?;
            }
            return Ok(Standing { path: path.to_owned(), held: None });
        };
        let mut so_far = root.clone();
        for step in parent.strip_prefix(root).unwrap_or(Path::new("")) {
            so_far.push(step);
            let entry = below(&here).join(step);
            let opened = match open(&entry, libc::O_NOFOLLOW) {
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && missing == Missing::Made =>
                {
                    fs::create_dir(&entry)?;
                    open(&entry, libc::O_NOFOLLOW)
                }
                opened => opened,
            };
            here = opened?;
            refuse_link(&so_far, &here.metadata()?)?;
        }
        let standing = below(&here).join(name);
        match fs::symlink_metadata(&standing) {
            Ok(found) => refuse_link(path, &found)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Standing { path: standing, held: Some(here) })
    }
}

/// What becomes of directories that are not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    Left,
    Made,
}

fn refuse_link(path: &Path, found: &fs::Metadata) -> io::Result<()> {
    if !found.is_symlink() {
        return Ok(());
    }
    let path = path.display();
    Err(io::Error::other(format!(
        "{path} is a symbolic link, which nobody was shown; name the file by where that leads to"
    )))
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | flags).open(path)
}

fn below(directory: &File) -> PathBuf {
    format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::disk::tests::Place;

    #[test]
    fn links_are_refused_on_the_ground_alone() {
        let place = Place::new();
        place.file("w/deep/file", "text");
        place.directory("other");
        symlink("../other", place.path().join("w/out")).unwrap();
        symlink("deep/file", place.path().join("w/name")).unwrap();
        symlink("w", place.path().join("root")).unwrap();
        let ground = Ground::of(vec![place.path().join("w/deep"), place.path().join("w")]);
        for name in ["w/deep/file", "w/deep/none", "w/none/none", "root/name", "root/out/new"] {
            ground.judge(&place.path().join(name)).unwrap();
        }
        for (name, link) in [("w/out/new", "w/out"), ("w/name", "w/name"), ("w/out/a/b", "w/out")] {
            let error = ground.judge(&place.path().join(name)).unwrap_err().to_string();
            let link = place.path().join(link);
            assert!(
                error.starts_with(&format!("{} is a symbolic link", link.display())),
                "{error}"
            );
            assert!(Ground::default().judge(&place.path().join(name)).is_ok());
        }
        assert!(ground.judge(&place.path().join("w/deep/file/x")).is_err());
    }

    #[test]
    fn a_standing_stays_where_it_was() {
        let place = Place::new();
        place.directory("w");
        place.directory("other");
        let ground = Ground::of(vec![place.path().join("w")]);
        let standing = ground.enter(&place.path().join("w/a/b/file"), Missing::Made).unwrap();
        fs::rename(place.path().join("w/a"), place.path().join("w/moved")).unwrap();
        symlink("../other", place.path().join("w/a")).unwrap();
        fs::write(&standing.path, "text").unwrap();
        assert!(place.path().join("w/moved/b/file").is_file());
        assert!(ground.enter(&place.path().join("w/a/b/file"), Missing::Made).is_err());
        assert_eq!(fs::read_dir(place.path().join("other")).unwrap().count(), 0);
    }
}
