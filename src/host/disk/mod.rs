//! Files of ours: settings, login, notes and rollouts.
//!
//! Everything that is opened must be a regular file and is read up to a bound: a pipe or a device
//! under a familiar name neither blocks nor floods. What the texts mean is the business of `config`
//! and `wire`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub mod auth;
pub mod config;
pub mod copying;
pub mod given;
pub mod home;
pub mod listing;
pub mod names;
pub mod notes;
pub mod replacing;
pub mod rollout;
pub mod shelf;
pub mod shelving;
pub mod walk;

/// Something that was to be done with a file and failed.
#[derive(Debug)]
pub struct Failure {
    /// A verb phrase.
    pub doing: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl Failure {
    pub fn new(doing: &'static str, path: &Path, source: io::Error) -> Failure {
        Failure { doing, path: path.to_owned(), source }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.doing, self.path.display(), self.source)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The head of a file.
#[derive(Debug)]
pub struct Head {
    pub bytes: Vec<u8>,
    /// There is more.
    pub cut: bool,
}

/// Opens a regular file for reading; `None` if there is nothing of that name.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    // Without O_NONBLOCK, opening a pipe would wait for its writer.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
            return if missing.contains(&error.kind()) { Ok(None) } else { Err(error) };
        }
    };
    match file.metadata()?.is_file() {
        true => Ok(Some(file)),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Reads the head of a file; `None` if there is nothing of that name.
pub fn read_head(path: &Path, bytes_max: usize) -> io::Result<Option<Head>> {
    open(path)?.map(|file| head(file, bytes_max)).transpose()
}

/// Reads the head of a file that was opened.
pub fn head(file: File, bytes_max: usize) -> io::Result<Head> {
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    let cut = bytes.len() > bytes_max;
    bytes.truncate(bytes_max);
    Ok(Head { bytes, cut })
}

/// Reads a whole file of bounded size; `None` if there is nothing of that name.
pub fn read_whole(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    match read_head(path, bytes_max)? {
        Some(head) if head.cut => Err(io::Error::other(format!("larger than {bytes_max} bytes"))),
        head => Ok(head.map(|head| head.bytes)),
    }
}

/// Reads a whole text of bounded size; `None` if there is nothing of that name.
pub fn read_text(path: &Path, bytes_max: usize) -> io::Result<Option<String>> {
    let Some(bytes) = read_whole(path, bytes_max)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| io::Error::other("not UTF-8"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::process;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory of its own for one test, gone afterwards.
    #[derive(Debug)]
    pub(crate) struct Place(PathBuf);

    impl Place {
        pub(crate) fn new() -> Place {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("windlass-disk-{}-{count}", process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).expect("a new directory");
            Place(path.canonicalize().expect("a path"))
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }

        /// Writes a file, making the directories above it.
        pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(&path, bytes).expect("a file");
            path
        }

        pub(crate) fn directory(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::create_dir_all(&path).expect("directories");
            path
        }

        pub(crate) fn pipe(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            let name = CString::new(path.as_os_str().as_bytes()).expect("no zero byte");
            // SAFETY: the name is a C string that lives through the call.
            let made = unsafe { libc::mkfifo(name.as_ptr(), 0o600) };
            assert_eq!(made, 0);
            path
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            // A leftover in the temporary directory harms nobody.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let place = Place::new();
        let file = place.file("a", "12345");
        assert_eq!(read_text(&file, 5).expect("read").as_deref(), Some("12345"));
        assert!(read_text(&file, 4).is_err());
        let head = read_head(&file, 4).expect("read").expect("there");
        assert_eq!((head.bytes.as_slice(), head.cut), (&b"1234"[..], true));
        assert!(read_text(&place.path().join("b"), 5).expect("read").is_none());
        assert!(read_text(&file.join("c"), 5).expect("read").is_none());
        assert!(read_text(&place.pipe("pipe"), 5).is_err());
        assert!(read_text(place.path(), 5).is_err());
        assert!(read_text(Path::new("/dev/zero"), 5).is_err());
        assert!(read_text(&place.file("d", b"\xff"), 5).is_err());
    }
}
