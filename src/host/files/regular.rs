//! Reads and writes whole regular files, and nothing else.
//!
//! Opening a FIFO can hang and opening a device can act, so a path is looked at before it is opened
//! and again after. A write goes to a new file in the same directory that then takes the old one's
//! place, with its mode; where that cannot be done (a directory that must not change, a file of
//! another owner or with other names) the file is written in place.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Opens a regular file for reading.
pub(in crate::host) fn open(path: &Path) -> io::Result<File> {
    judge(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    judge(&file.metadata()?)?;
    Ok(file)
}

/// The bytes of a file, or `None` if there is no such file.
pub(in crate::host) fn read(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match open(path) {
        Ok(file) => file,
        // A link to nothing is something: writing would go through it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        let message = format!("the file is over {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(Some(bytes))
}

/// Makes `bytes` the content of `path`, creating it with `permissions` if there is no such file.
pub(super) fn write(path: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    write_to(&target, bytes, permissions, Links::Followed)
}

/// What becomes of a link that is in the place of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Links {
    Followed,
    Refused,
}

/// The same of a path that is meant as it stands.
pub(super) fn write_to(
    target: &Path,
    bytes: &[u8],
    permissions: Option<Permissions>,
    links: Links,
) -> io::Result<()> {
    let (found, refused) = match links {
        Links::Followed => (fs::metadata(target), 0),
        Links::Refused => (fs::symlink_metadata(target), libc::O_NOFOLLOW),
    };
    let flags = libc::O_NONBLOCK | refused;
    let old = match found {
        Ok(metadata) => {
            judge(&metadata)?;
            // A file that forbids writing is not replaced behind its back.
            OpenOptions::new().write(true).custom_flags(flags).open(target)?;
            Some(metadata)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let permissions = old.as_ref().map(Metadata::permissions).or(permissions);
    // A link to nothing is written through, not replaced.
    let replaceable = match &old {
        Some(old) => old.nlink() == 1,
        None => fs::symlink_metadata(target).is_err(),
    };
    if replaceable && replace(target, bytes, old.as_ref(), permissions.as_ref())? {
        return Ok(());
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(flags)
        .open(target)?;
    judge(&file.metadata()?)?;
    file.write_all(bytes)?;
    match (old, permissions) {
        (None, Some(permissions)) => file.set_permissions(permissions),
        _ => Ok(()),
    }
}

/// Writes beside `target` and renames; `false` if that cannot be done here and nothing has changed.
fn replace(
    target: &Path,
    bytes: &[u8],
    old: Option<&Metadata>,
    permissions: Option<&Permissions>,
) -> io::Result<bool> {
    let Some((mut file, fresh)) = create_beside(target) else { return Ok(false) };
    let owned = match (old, file.metadata()) {
        (Some(old), Ok(new)) => old.uid() == new.uid() && old.gid() == new.gid(),
        (None, Ok(_)) => true,
        (_, Err(_)) => false,
    };
    let moded = permissions.is_none_or(|mode| file.set_permissions(mode.clone()).is_ok());
    let written = if owned && moded { file.write_all(bytes) } else { Ok(()) };
    let done = owned && moded && written.is_ok() && fs::rename(&fresh, target).is_ok();
    if !done {
        // It is ours and nobody waits for it; a leftover is all that can go wrong.
        let _ = fs::remove_file(&fresh);
    }
    written.map(|()| done)
}

fn create_beside(target: &Path) -> Option<(File, PathBuf)> {
    const ATTEMPTS: u32 = 8;
    for attempt in 0..ATTEMPTS {
        let name = format!(".windlass-{}-{attempt}.tmp", std::process::id());
        let fresh = target.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).open(&fresh) {
            Ok(file) => return Some((file, fresh)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => return None,
        }
    }
    None
}

fn judge(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}
