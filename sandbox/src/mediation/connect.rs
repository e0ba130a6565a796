//! Connections to unix sockets, made for the command if its own tree serves them.
//!
//! The command's socket is never connected while its address is only looked at. A fresh socket of
//! ours is, to a path beneath a root or a name that the command's tree holds, since it can serve
//! nothing else. Only if the other side is really the command's own, or in a root that is not that
//! of everybody that of another command of the same agent, does it take the place of the command's.
//! A server of another program, be it the agent, sees a connection that ends without a word.
//!
//! Other sockets connect by a copy of their descriptor, in a process of its own since that may
//! wait. Where a container refuses such copies the filter does not ask about networks: see
//! `Missing::PATH_SOCKETS`. If the command has a network of its own the supervisor is in it too, so
//! that sockets and names are of the same one.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::{c_int, pid_t};

use super::kernel;
use super::listener::{Listener, Notification};
use super::roots::{Roots, link_of};
use super::target::{Last, Named, Target};
use crate::end;
use crate::limits::{
    ANCESTORS_COUNT_MAX, HELPERS_COUNT_MAX, PROC_LINE_BYTES_MAX, SOCKET_TABLE_BYTES_MAX,
};
use crate::sys;

/// Bytes of the longest address, `struct sockaddr_storage`.
const ADDRESS_BYTES_MAX: usize = 128;

/// Bytes of `struct sockaddr_un`, of which the first two are the family.
const UNIX_ADDRESS_BYTES_MAX: usize = 110;
const FAMILY_BYTES: usize = 2;

/// Columns of the table of unix sockets, and the flags of one that listens (`__SO_ACCEPTCON`).
const FLAGS_COLUMN: usize = 3;
const INODE_COLUMN: usize = 6;
const ACCEPTS: &[u8] = b"00010000";

/// The attribute of a socket's descriptor that names its protocol.
const PROTOCOL: &std::ffi::CStr = c"system.sockprotoname";

/// Makes connections and remembers the processes that wait for some of them.
#[derive(Debug)]
pub(super) struct Connections {
    /// Everything that the command started descends from it.
    supervisor: pid_t,
    /// The same of all its commands.
    agent: pid_t,
    helpers: Vec<pid_t>,
}

impl Connections {
    /// For the command that this process supervises.
    pub(super) fn new() -> Connections {
        Connections { supervisor: sys::pid(), agent: sys::parent_pid(), helpers: Vec::new() }
    }

    /// What everything that the command started descends from.
    pub(super) fn supervisor(&self) -> pid_t {
        self.supervisor
    }

    /// Whether a child that ended was one of our own. Forgets it.
    pub(super) fn forget(&mut self, pid: pid_t) -> bool {
        let before = self.helpers.len();
        self.helpers.retain(|helper| *helper != pid);
        self.helpers.len() < before
    }

    /// How many processes of ours there are.
    pub(super) fn helpers_count(&self) -> usize {
        self.helpers.len()
    }

    /// Makes the connection that a call asks for, and answers it now or later.
    pub(super) fn serve(&mut self, listener: &Listener, call: &Notification, roots: &Roots) {
        let attempt = match Attempt::of(listener, call, roots, self) {
            Ok(attempt) => attempt,
            Err(error) => return listener.answer(call, Err(error)),
        };
        let done = match &attempt.socket {
            Socket::Unix { .. } => attempt.connect(Waits::No),
            Socket::Other(_) => Err(again()),
        };
        match done {
            Err(error) if is_again(&error) && attempt.may_wait() => self.serve_later(&attempt),
            done => listener.answer(call, done.map(|()| 0)),
        }
    }

    /// Lets a process of its own make a connection that may have to wait. Where the command has
    /// processes of its own, it is one of those: numbers mean something else to it.
    fn serve_later(&mut self, attempt: &Attempt<'_>) {
        let (listener, call) = (attempt.listener, attempt.call);
        if self.helpers.len() >= HELPERS_COUNT_MAX {
            return listener.answer(call, Err(again()));
        }
        match sys::fork() {
            Err(error) => listener.answer(call, Err(error)),
            Ok(0) => {
                listener.answer(call, attempt.connect(Waits::Yes).map(|()| 0));
                sys::exit_now(0)
            }
            Ok(helper) => self.helpers.push(helper),
        }
    }
}

/// Whether a connection may wait for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Yes,
    No,
}

/// What is to be connected.
enum Socket {
    /// A fresh socket of this kind, to what is pinned; without a pin to an abstract name. Whoever
    /// serves it must descend from a process of ours.
    Unix { kind: c_int, pin: Option<OwnedFd>, above: pid_t },
    /// The command's own.
    Other(OwnedFd),
}

/// A call to connect that may be tried, with all that its thread's number is needed for.
struct Attempt<'a> {
    listener: &'a Listener,
    call: &'a Notification,
    socket: Socket,
    /// Flags of the command's descriptor: those of its file and close-on-exec.
    flags: c_int,
    address: Vec<u8>,
}

impl<'a> Attempt<'a> {
    fn of(
        listener: &'a Listener,
        call: &'a Notification,
        roots: &Roots,
        connections: &Connections,
    ) -> io::Result<Attempt<'a>> {
        let supervisor = connections.supervisor;
        let target = Target::new(call.thread());
        let len = usize::try_from(call.int(2)).ok().filter(|len| *len <= ADDRESS_BYTES_MAX);
        let mut address = vec![0; len.ok_or_else(invalid)?];
        let socket = target.pin(&Named::Descriptor(call.int(0)))?;
        let mut protocol = [0; 64];
        let len = kernel::attribute(&link_of(socket.as_fd())?, PROTOCOL, &mut protocol)
            .map_err(|_| io::Error::from_raw_os_error(libc::ENOTSOCK))?;
        target.read(call.wide(1), &mut address)?;
        let flags = descriptor_flags(call.thread(), call.int(0))?;
        // The filter lets no datagram sockets through, so the unnamed kind is the other one.
        let kind = match protocol[..len].trim_ascii_end() {
            b"UNIX-STREAM\0" => Some(libc::SOCK_STREAM),
            b"UNIX\0" => Some(libc::SOCK_SEQPACKET),
            _ => None,
        };
        let socket = match kind {
            Some(kind) => {
                let pin = reachable(call, &target, &address, roots, supervisor)?;
                let is_near =
                    pin.as_ref().is_some_and(|pin| roots.judge_private(pin.as_fd()).is_ok());
                let above = if is_near { connections.agent } else { supervisor };
                Socket::Unix { kind, pin, above }
            }
            None => {
                let socket = take_socket(call)?;
                // The number may have come to mean another socket since we asked for its protocol.
                if kernel::socket_family(socket.as_fd())? == libc::AF_UNIX {
                    return Err(closed());
                }
                Socket::Other(socket)
            }
        };
        if !listener.is_valid(call) {
            // Whatever was read may be another process's. Nobody waits for this answer.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(Attempt { listener, call, socket, flags, address })
    }

    /// Whether what cannot be done at once is to be done all the same.
    fn may_wait(&self) -> bool {
        match self.socket {
            Socket::Unix { .. } => self.flags & libc::O_NONBLOCK == 0,
            Socket::Other(_) => true,
        }
    }

    fn connect(&self, waits: Waits) -> io::Result<()> {
        match &self.socket {
            Socket::Unix { kind, pin, above } => {
                self.connect_unix(*kind, pin.as_ref(), *above, waits)
            }
            Socket::Other(socket) => kernel::connect(socket.as_fd(), &self.address),
        }
    }

    /// Connects a fresh socket and puts it in the place of the command's.
    fn connect_unix(
        &self,
        kind: c_int,
        pin: Option<&OwnedFd>,
        above: pid_t,
        waits: Waits,
    ) -> io::Result<()> {
        let socket = kernel::unix_socket(kind)?;
        kernel::set_waiting(socket.as_fd(), waits == Waits::Yes)?;
        match pin {
            Some(pin) => {
                let link = link_of(pin.as_fd())?;
                kernel::connect(socket.as_fd(), &unix_address(link.to_bytes()))?;
            }
            None => kernel::connect(socket.as_fd(), &self.address)?,
        }
        if !is_served_below(above, socket.as_fd()) {
            return Err(closed());
        }
        kernel::set_waiting(socket.as_fd(), self.flags & libc::O_NONBLOCK == 0)?;
        let is_closed_by_execve = self.flags & libc::O_CLOEXEC != 0;
        self.listener.replace(self.call, socket.as_fd(), self.call.int(0), is_closed_by_execve)
    }
}

/// What the address of a unix socket names, if it may be connected to: a path's socket, or nothing
/// for an abstract name.
fn reachable(
    call: &Notification,
    target: &Target,
    address: &[u8],
    roots: &Roots,
    supervisor: pid_t,
) -> io::Result<Option<OwnedFd>> {
    if address.len() <= FAMILY_BYTES || address.len() > UNIX_ADDRESS_BYTES_MAX {
        return Err(invalid());
    }
    if family_of(address) != Some(libc::AF_UNIX) {
        return Err(invalid());
    }
    // As far as we can tell.
    if take_socket(call).is_ok_and(|socket| kernel::has_peer(socket.as_fd())) {
        return Err(io::Error::from_raw_os_error(libc::EISCONN));
    }
    let name = &address[FAMILY_BYTES..];
    if name[0] == 0 {
        let is_own = is_named_below(supervisor, call.thread(), name)?;
        return if is_own { Ok(None) } else { Err(closed()) };
    }
    let pin = pin_path(target, name)?;
    // The command can serve a path only where it may write.
    roots.judge(pin.as_fd()).map_err(|_| closed())?;
    Ok(Some(pin))
}

fn pin_path(target: &Target, path: &[u8]) -> io::Result<OwnedFd> {
    let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
    let path = CString::new(&path[..end]).map_err(|_| invalid())?;
    let directory = libc::AT_FDCWD;
    let pin = target.pin(&Named::Path { directory, path, last: Last::Followed })?;
    if sys::file_type(pin.as_fd())? != libc::S_IFSOCK {
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    }
    Ok(pin)
}

/// A copy of the descriptor that a call names.
fn take_socket(call: &Notification) -> io::Result<OwnedFd> {
    let process = process_of(call.thread())?;
    kernel::take_descriptor(sys::pidfd_open(process)?.as_fd(), call.int(0))
}

/// Whether descriptors of other processes can be had here.
pub(crate) fn can_take_descriptors() -> bool {
    let taken = sys::pidfd_open(sys::pid()).and_then(|us| {
        let (end, _other_end) = sys::pipe()?;
        kernel::take_descriptor(us.as_fd(), end.as_raw_fd())
    });
    taken.is_ok()
}

/// Whether the other side of a connection can be told for sure (Linux 6.5).
pub(crate) fn can_tell_peers() -> bool {
    let pair = std::os::unix::net::UnixStream::pair();
    pair.is_ok_and(|(one, _other)| kernel::peer_process(one.as_fd()).is_ok())
}

/// Whether the process that listens at the other side descends from this one.
fn is_served_below(above: pid_t, socket: BorrowedFd<'_>) -> bool {
    match kernel::peer_process(socket) {
        Ok(peer) => {
            let number = || number_of(peer.as_fd());
            // Its number is its own as long as it is not reaped.
            number().is_some_and(|pid| descends(pid, above)) && number().is_some()
        }
        // An old kernel; the number may have been another's before.
        Err(_) => kernel::peer_number(socket).is_ok_and(|pid| descends(pid, above)),
    }
}

/// Whether a process that descends from us holds the socket that listens under an abstract name.
fn is_named_below(supervisor: pid_t, thread: pid_t, name: &[u8]) -> io::Result<bool> {
    let mut table = Vec::new();
    let file = File::open(format!("/proc/{thread}/net/unix"))?;
    file.take(SOCKET_TABLE_BYTES_MAX).read_to_end(&mut table)?;
    // The table has no other sign for the zeros in a name.
    let shown: Vec<u8> = name.iter().map(|&byte| if byte == 0 { b'@' } else { byte }).collect();
    let lines = table.split(|&byte| byte == b'\n').filter_map(listening);
    let mut inodes = lines.filter(|(_, name)| *name == shown).map(|(inode, _)| inode);
    let Some(inode) = inodes.next() else {
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    };
    let link = format!("socket:[{}]", String::from_utf8_lossy(inode));
    Ok(end::descendants_of(supervisor).into_iter().any(|pid| holds(pid, &link)))
}

/// Inode and name of a socket that listens, by its line in the table.
fn listening(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = line;
    let mut words: [&[u8]; INODE_COLUMN + 1] = [b""; INODE_COLUMN + 1];
    for word in &mut words {
        // Numbers are padded; whatever follows them is the name, spaces included.
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|&byte| byte == b' ')?;
        (*word, rest) = rest.split_at(end);
    }
    (words[FLAGS_COLUMN] == ACCEPTS).then_some((words[INODE_COLUMN], &rest[1..]))
}

fn holds(pid: pid_t, link: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.into_iter().any(|found| found.as_os_str() == link)
}

fn descends(pid: pid_t, from: pid_t) -> bool {
    let mut pid = pid;
    for _ in 0..ANCESTORS_COUNT_MAX {
        if pid <= 1 {
            return false;
        }
        match end::stat_parent(pid) {
            Some(parent) if parent == from => return true,
            Some(parent) => pid = parent,
            None => return false,
        }
    }
    false
}

/// The number of a process by its descriptor; `None` once it was reaped.
fn number_of(process: BorrowedFd<'_>) -> Option<pid_t> {
    let line = line_of(&format!("/proc/self/fdinfo/{}", process.as_raw_fd()), "Pid:").ok()?;
    line.parse().ok().filter(|pid| *pid > 0)
}

/// The process of a thread.
pub(super) fn process_of(thread: pid_t) -> io::Result<pid_t> {
    line_of(&format!("/proc/{thread}/status"), "Tgid:")?.parse().map_err(|_| invalid())
}

fn descriptor_flags(thread: pid_t, number: c_int) -> io::Result<c_int> {
    let flags = line_of(&format!("/proc/{thread}/fdinfo/{number}"), "flags:")?;
    c_int::from_str_radix(&flags, 8).map_err(|_| invalid())
}

/// What follows a word at the start of a line.
pub(super) fn line_of(path: &str, word: &str) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(PROC_LINE_BYTES_MAX as u64).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.map(|line| line.trim().to_owned()).ok_or_else(invalid)
}

fn family_of(address: &[u8]) -> Option<c_int> {
    let bytes = address.first_chunk::<FAMILY_BYTES>()?;
    Some(u16::from_ne_bytes(*bytes).into())
}

fn unix_address(path: &[u8]) -> Vec<u8> {
    let family = libc::AF_UNIX as u16;
    [family.to_ne_bytes().as_slice(), path, b"\0"].concat()
}

fn again() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

fn is_again(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAGAIN)
}

/// The answer for what others serve.
fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EACCES)
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_told_from_others() {
        let line = b"00000000c88ff495: 00000002 00000000 00010000 0001 01  1449 @a name";
        assert_eq!(listening(line), Some((b"1449".as_slice(), b"@a name".as_slice())));
        let line = b"00000000c88ff495: 00000003 00000000 00000000 0001 03  1449 @name";
        assert_eq!(listening(line), None);
        assert_eq!(listening(b"00000000c88ff495: 00000003 00000000 00010000 0001 03  1449"), None);
        assert_eq!(listening(b"Num       RefCount Protocol Flags    Type St Inode Path"), None);
        assert_eq!(listening(b""), None);
    }
}
