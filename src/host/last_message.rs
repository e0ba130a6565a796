//! The file that the last message of a run is written to.
//!
//! Commands of the run may change what its name leads to; what they put there is not followed. So
//! the place is found before the first of them runs, and links are followed only then. A link that
//! is in the place of the file in the end gives way to one.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::host::disk::replacing;

/// Where the message goes.
#[derive(Debug)]
pub enum Destination {
    /// To a pipe or a device that is there, opened for nothing but naming it.
    There(OwnedFd),
    /// To a file.
    Below {
        directory: OwnedFd,
        /// Names of directories that are yet to be made, innermost first.
        missing: Vec<OsString>,
        name: OsString,
    },
}

/// What was found in the place of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    Expected,
    /// A link, which is gone.
    Link,
}

impl Destination {
    /// Finds where a path leads.
    pub fn find(path: &Path) -> io::Result<Destination> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let named = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
            return Ok(Destination::There(named.into()));
        }
        let path = replacing::target(path)?;
        let nameless = || io::Error::from_raw_os_error(libc::EISDIR);
        let name = path.file_name().ok_or_else(nameless)?.to_os_string();
        let mut above = path.parent().unwrap_or(Path::new("/"));
        let mut missing = Vec::new();
        loop {
            let here = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            let flags = libc::O_PATH | libc::O_DIRECTORY;
            match OpenOptions::new().read(true).custom_flags(flags).open(here) {
                Ok(directory) => {
                    return Ok(Destination::Below { directory: directory.into(), missing, name });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (Some(inner), Some(outer)) = (above.file_name(), above.parent()) else {
                        return Err(error);
                    };
                    missing.push(inner.to_os_string());
                    above = outer;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the message in the place of whatever is there.
    pub fn write(self, message: &str) -> io::Result<Found> {
        let (mut directory, missing, name) = match self {
            Destination::Below { directory, missing, name } => (directory, missing, name),
            Destination::There(named) => {
                let path = format!("/proc/self/fd/{}", named.as_raw_fd());
                // A pipe that nobody reads is an error, and is not waited for.
                let mut options = OpenOptions::new();
                let _held = options.write(true).custom_flags(libc::O_NONBLOCK).open(&path)?;
                OpenOptions::new().write(true).open(&path)?.write_all(message.as_bytes())?;
                return Ok(Found::Expected);
            }
        };
        for step in missing.iter().rev() {
            directory = open(&directory, step, libc::O_PATH | libc::O_DIRECTORY)?;
        }
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NONBLOCK;
        let (file, found) = match open(&directory, &name, flags) {
            Ok(file) => (file, Found::Expected),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                remove(&directory, &name)?;
                (open(&directory, &name, flags | libc::O_EXCL)?, Found::Link)
            }
            Err(error) => return Err(error),
        };
        let mut file = File::from(file);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file any more"));
        }
        file.set_len(0)?;
        file.write_all(message.as_bytes())?;
        Ok(found)
    }
}

/// Opens an entry of a directory; `ELOOP` or `ENOTDIR` if it is a link.
fn open(directory: &OwnedFd, name: &OsStr, flags: i32) -> io::Result<OwnedFd> {
    let name = CString::new(name.as_bytes())?;
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` is NUL-terminated; the mode is given for flags that make the file.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, 0o666) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn remove(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let name = CString::new(name.as_bytes())?;
    // SAFETY: `name` is NUL-terminated.
    let removed = unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) };
    if removed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::disk::tests::Place;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("a text")
    }

    #[test]
    fn a_file_is_written_where_its_name_led_to_at_first() {
        let folder = Place::new();
        let real = folder.file("real/file", "old and longer");
        let link = folder.path().join("link");
        symlink("real/file", &link).expect("a link");
        let place = Destination::find(&link).expect("found");
        fs::remove_file(&link).expect("gone");
        symlink("elsewhere", &link).expect("a link");
        assert_eq!(place.write("new").expect("written"), Found::Expected);
        assert_eq!(text(&real), "new");
        let place = Destination::find(&folder.path().join("fresh")).expect("found");
        place.write("new").expect("written");
        assert_eq!(text(&folder.path().join("fresh")), "new");
    }

    #[test]
    fn links_that_came_later_are_not_followed() {
        let folder = Place::new();
        let victim = folder.file("victim/file", "as it was");
        let path = folder.path().join("said");
        let place = Destination::find(&path).expect("found");
        symlink(&victim, &path).expect("a link");
        assert_eq!(place.write("new").expect("written"), Found::Link);
        assert_eq!((text(&path), text(&victim)), ("new".into(), "as it was".into()));
        let below = folder.path().join("later/deep/file");
        let places = [(); 2].map(|()| Destination::find(&below).expect("found"));
        let [place, other] = places;
        fs::create_dir(folder.path().join("later")).expect("made");
        symlink("../victim", folder.path().join("later/deep")).expect("a link");
        assert!(place.write("new").is_err());
        assert_eq!(text(&victim), "as it was");
        fs::remove_file(folder.path().join("later/deep")).expect("gone");
        fs::create_dir(folder.path().join("later/deep")).expect("made");
        other.write("new").expect("written");
        assert_eq!(text(&below), "new");
    }

    #[test]
    fn what_cannot_be_written_to_is_an_error() {
        let folder = Place::new();
        for path in [folder.path().to_path_buf(), folder.path().join("a/.."), "/".into()] {
            assert!(
                Destination::find(&path).and_then(|place| place.write("x")).is_err(),
                "{path:?}"
            );
        }
        let pipe = folder.pipe("pipe");
        let place = Destination::find(&pipe).expect("found");
        let victim = folder.file("victim", "as it was");
        fs::remove_file(&pipe).expect("gone");
        symlink(&victim, &pipe).expect("a link");
        assert!(place.write("x").is_err(), "nobody reads the pipe");
        assert_eq!(text(&victim), "as it was");
        let later = Destination::find(&folder.path().join("later")).expect("found");
        folder.pipe("later");
        assert!(later.write("x").is_err());
        assert!(Destination::find(Path::new("/dev/null")).expect("found").write("x").is_ok());
    }
}
