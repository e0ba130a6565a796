//! Reads what the command line gives by name: a regular file, or a pipe such as `<(program)` makes.
//!
//! This happens before the loop begins, so a pipe is waited for here: for so many bytes and so
//! long. Whoever opens a pipe of that name late is waited for as well.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::host::clock;
use crate::host::disk::read_whole;
use crate::host::stdio::{poll, poll_entry};
use crate::limits::GIVEN_READ_BYTES;

/// The whole of it; `None` if there is nothing of that name. Pipes have `wait_ms` to end.
pub fn read(path: &Path, bytes_max: usize, wait_ms: u64) -> io::Result<Option<Vec<u8>>> {
    match path.metadata() {
        Ok(found) if found.file_type().is_fifo() => {}
        Ok(_) | Err(_) => return read_whole(path, bytes_max),
    }
    let pipe = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    match pipe.metadata()?.file_type().is_fifo() {
        true => read_pipe(pipe, bytes_max, wait_ms).map(Some),
        false => Err(io::Error::other("it was replaced while it was opened")),
    }
}

fn read_pipe(mut pipe: File, bytes_max: usize, wait_ms: u64) -> io::Result<Vec<u8>> {
    let until_ms = clock::mono_ms() + wait_ms;
    let mut bytes = Vec::new();
    loop {
        let left_ms = until_ms.saturating_sub(clock::mono_ms());
        if left_ms == 0 {
            let message = format!("the pipe did not end within {} s", wait_ms.div_ceil(1000));
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        // Not read before something is there: a pipe without a writer so far looks ended.
        let mut polled = [poll_entry(pipe.as_raw_fd(), libc::POLLIN)];
        poll(&mut polled, left_ms)?;
        if polled[0].revents == 0 {
            continue;
        }
        let length = bytes.len();
        let room = (bytes_max + 1 - length).min(GIVEN_READ_BYTES);
        bytes.resize(length + room, 0);
        let read = pipe.read(&mut bytes[length..]);
        bytes.truncate(length + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() > bytes_max => {
                return Err(io::Error::other(format!("larger than {bytes_max} bytes")));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::host::disk::tests::Place;

    /// A pipe that holds these bytes, with its open end for writing.
    fn filled(place: &Place, bytes: &[u8]) -> (std::path::PathBuf, File, File) {
        let path = place.pipe("pipe");
        let mut options = OpenOptions::new();
        let reader = options.read(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let reader = reader.expect("a reader");
        let mut writer = OpenOptions::new().write(true).open(&path).expect("a writer");
        writer.write_all(bytes).expect("room");
        (path, reader, writer)
    }

    #[test]
    fn a_pipe_that_never_ends_is_given_up() {
        let place = Place::new();
        let (path, _reader, _writer) = filled(&place, b"half");
        let error = read(&path, 100, 20).expect_err("it has not ended");
        assert_eq!(error.to_string(), "the pipe did not end within 1 s");
        let silent = place.pipe("silent");
        let error = read(&silent, 100, 20).expect_err("nobody writes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_pipe_that_holds_too_much_is_refused() {
        let place = Place::new();
        let (path, _reader, _writer) = filled(&place, &[b'x'; 101]);
        let error = read(&path, 100, 60_000).expect_err("too much");
        assert_eq!(error.to_string(), "larger than 100 bytes");
    }

    #[test]
    fn files_are_read_and_nothing_else_is() {
        let place = Place::new();
        let path = place.file("file", "text");
        assert_eq!(read(&path, 4, 0).expect("read").as_deref(), Some(&b"text"[..]));
        assert_eq!(read(&place.path().join("gone"), 4, 0).expect("looked"), None);
        assert!(read(&path, 3, 0).is_err() && read(place.path(), 3, 0).is_err());
        assert!(read(Path::new("/dev/zero"), 3, 0).is_err());
    }
}
