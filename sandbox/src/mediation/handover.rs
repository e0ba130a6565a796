//! How the listener gets from the command, which installs the filter, to the supervisor.
//!
//! The filter may concern the very calls that pass descriptors. So the fork shares its table of
//! descriptors with us: the listener's number means the same to both. The command tells the number
//! and waits; we take a table of our own and let it go on. Until then we open and close nothing.
//!
//! ```text
//! command    install filter -- numbers --> wait ................ execve
//! supervisor wait ........................> own table -- go --> let go of its descriptors
//! ```
//!
//! Where the command has a network of its own, it is handed over as well and the supervisor joins
//! it: it makes connections for the command only.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use libc::c_int;

use crate::mounts;
use crate::sys;

/// Said instead of a number when there is no listener.
const NONE: RawFd = -1;

/// The way between both sides of the fork.
#[derive(Debug)]
pub(crate) struct Handover {
    ours: UnixStream,
    theirs: UnixStream,
}

impl Handover {
    /// Fails where a table of descriptors cannot be taken back for oneself.
    pub(crate) fn new() -> io::Result<Handover> {
        own_table()?;
        let (ours, theirs) = UnixStream::pair()?;
        Ok(Handover { ours, theirs })
    }

    /// The command's side: hands over the listener, or says that there is none, and its network if
    /// that is its own, and waits until the descriptors are its own.
    pub(crate) fn offer(
        &self,
        listener: Option<&OwnedFd>,
        network: Option<&OwnedFd>,
    ) -> io::Result<()> {
        let number = |fd: Option<&OwnedFd>| fd.map_or(NONE, AsRawFd::as_raw_fd).to_ne_bytes();
        let words = [number(listener), number(network)].concat();
        let is_said = sys::write(self.theirs.as_fd(), &words)? == words.len();
        let is_heard = is_said && sys::read(self.theirs.as_fd(), &mut [0])? == 1;
        if is_heard { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPIPE)) }
    }

    /// The supervisor's side: waits for the listener. `None` as well if the command has ended, or a
    /// signal asks us to end, which `signals` tells.
    pub(crate) fn accept(self, signals: RawFd) -> io::Result<Option<OwnedFd>> {
        let readable = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds = [readable(self.ours.as_raw_fd()), readable(signals)];
        while fds.iter().all(|fd| fd.revents == 0) {
            sys::poll(&mut fds, -1)?;
        }
        let mut words = [NONE.to_ne_bytes(), NONE.to_ne_bytes()].concat();
        if fds[0].revents != 0 && sys::read(self.ours.as_fd(), &mut words)? != words.len() {
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        own_table()?;
        let (listener, network) = words.split_at(size_of::<c_int>());
        let (listener, network) = (taken(listener), taken(network));
        if let (Some(_), Some(network)) = (&listener, network) {
            // Without it, names would lead elsewhere; the command waits for us and ends with us.
            mounts::join_network(network.as_fd())?;
        }
        sys::write(self.ours.as_fd(), b"!")?;
        Ok(listener)
    }
}

/// The descriptor whose number was said.
fn taken(word: &[u8]) -> Option<OwnedFd> {
    let number = c_int::from_ne_bytes(*word.first_chunk()?);
    // SAFETY: the command opened it in the table that we have a copy of, and nothing of ours has
    // that number, since we opened nothing meanwhile.
    (number != NONE).then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes a copy of a shared table of descriptors for this process alone.
fn own_table() -> io::Result<()> {
    // The range is empty, so that nothing is closed.
    sys::close_range(u32::MAX, libc::CLOSE_RANGE_UNSHARE)
}
