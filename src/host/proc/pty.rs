//! A terminal of a session's own: the master for us, the slave for the command.
//!
//! Made without a path, so that it also works where there is no `/dev/pts`. The user's terminal has
//! no part in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::host::proc::launch::set_nonblocking;

/// What programs take a terminal for that says nothing else.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// A new terminal: its master, which never blocks, and its slave.
pub fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut options = OpenOptions::new();
    // The standard library closes it in children.
    options.read(true).write(true).custom_flags(libc::O_NOCTTY);
    let master = OwnedFd::from(options.open("/dev/ptmx")?);
    unlock(&master)?;
    set_size(master.as_fd(), ROWS, COLUMNS)?;
    let slave = peer(&master)?;
    set_nonblocking(&master)?;
    Ok((master, slave))
}

/// A second descriptor of the same master, to write to.
pub fn second(master: &OwnedFd) -> io::Result<File> {
    Ok(File::from(master.try_clone()?))
}

/// Whether a master cannot be read because nobody has the slave open. Who was given it as their
/// terminal may still be there, and may open it again.
pub fn is_unheld(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

fn unlock(master: &OwnedFd) -> io::Result<()> {
    let locked: libc::c_int = 0;
    // SAFETY: the descriptor is open, and the request reads one integer, which outlives the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const locked) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives a terminal this size, of which its programs are told.
pub fn set_size(master: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and the request reads one `winsize`, which outlives the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn peer(master: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the descriptor is open, and the request takes its flags by value.
    let fd = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER as _, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::host::clock;

    /// What the master gives, up to this length or an error: the kernel passes it on in its time.
    fn read(master: &mut File, length: usize) -> (Vec<u8>, Option<io::Error>) {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 64]);
        for _ in 0..5000 {
            match master.read(&mut buffer) {
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => clock::pause_ms(1),
                Err(error) => return (bytes, Some(error)),
            }
            if bytes.len() >= length {
                break;
            }
        }
        (bytes, None)
    }

    #[test]
    fn what_is_typed_is_read_and_what_is_printed_comes_back() {
        let (master, slave) = open().unwrap();
        let (mut typing, mut reading) = (second(&master).unwrap(), File::from(master));
        let mut slave = File::from(slave);
        typing.write_all(b"typed\n").unwrap();
        let mut buffer = [0; 64];
        let count = slave.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"typed\n");
        slave.write_all(b"printed\n").unwrap();
        let expected = b"typed\r\nprinted\r\n";
        assert_eq!(read(&mut reading, expected.len()).0, expected);
        let empty = reading.read(&mut buffer).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        slave.write_all(b"last").unwrap();
        drop(slave);
        let (last, error) = read(&mut reading, usize::MAX);
        assert_eq!(last, b"last");
        assert!(is_unheld(&error.unwrap()));
    }
}
