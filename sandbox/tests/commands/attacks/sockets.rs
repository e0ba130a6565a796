//! Talking to whatever listens outside.

use std::ffi::OsStr;
use std::io::Write;
use std::mem;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

use super::calls::{call, told};
use super::scene::GOT_IT;
use super::{Attack, line, part_of};

pub(crate) const ATTACKS: &[Attack] = &[
    part_of("tcp", tcp),
    part_of("udp", udp),
    part_of("a path socket", || drop(UnixStream::connect(told("S")))),
    part_of("a path socket by a link", path_by_link),
    part_of("a path socket by a descriptor", path_by_descriptor),
    part_of("a path socket by its name alone", path_by_name),
    part_of("a datagram", || drop(UnixDatagram::unbound().unwrap().send_to(b"x", told("D")))),
    part_of("a datagram, connected", datagram_connected),
    part_of("a datagram as a message", datagram_as_message),
    part_of("datagrams at once", datagrams_at_once),
    part_of("an abstract socket", hidden),
    part_of("a path socket, raced", raced),
    part_of("families", families),
    part_of("internet", internet),
    part_of("fast open", fast_open),
    line("a shell's own", "exec 3<>/dev/tcp/127.0.0.1/$T; echo x >&3"),
];

fn tcp() {
    drop(TcpStream::connect(("127.0.0.1", told("T").parse().unwrap())));
    drop(TcpStream::connect(("::ffff:127.0.0.1", told("T").parse().unwrap())));
}

fn udp() {
    if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
        let _ = socket.send_to(b"x", ("127.0.0.1", told("U").parse().unwrap()));
    }
}

fn path_by_link() {
    let link = format!("{}/socket", told("W"));
    let _ = std::os::unix::fs::symlink(told("S"), &link);
    drop(UnixStream::connect(link));
    drop(UnixStream::connect(format!("/proc/self/root{}", told("S"))));
}

fn path_by_descriptor() {
    let path = std::ffi::CString::new(told("S")).unwrap();
    let fd = call(libc::SYS_open, [path.as_ptr() as i64, i64::from(libc::O_PATH), 0, 0, 0]);
    drop(UnixStream::connect(format!("/proc/self/fd/{fd}")));
}

fn path_by_name() {
    let path = told("S");
    let (directory, name) = path.rsplit_once('/').unwrap();
    let _ = std::env::set_current_dir(directory);
    drop(UnixStream::connect(name));
}

fn datagram_connected() {
    let socket = UnixDatagram::unbound().unwrap();
    let _ = socket.connect(told("D")).and_then(|()| socket.send(b"x"));
}

fn address(path: &str) -> libc::sockaddr_un {
    // SAFETY: all zeros is a valid address.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from.cast_signed();
    }
    address
}

fn message(address: &mut libc::sockaddr_un, vector: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: all zeros is a valid header.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = (&raw mut *address).cast();
    header.msg_namelen = size_of::<libc::sockaddr_un>() as u32;
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header
}

fn datagram_as_message() {
    let socket = UnixDatagram::unbound().unwrap();
    let mut text = *b"x";
    let mut vector = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: 1 };
    let mut address = address(&told("D"));
    let header = message(&mut address, &mut vector);
    // SAFETY: the header names live places.
    unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, 0) };
}

fn datagrams_at_once() {
    let socket = UnixDatagram::unbound().unwrap();
    let mut text = *b"x";
    let mut vector = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: 1 };
    let mut address = address(&told("D"));
    let mut headers = [libc::mmsghdr { msg_hdr: message(&mut address, &mut vector), msg_len: 0 }];
    // SAFETY: the header names live places.
    unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), 1, 0) };
}

fn hidden() {
    let name = SocketAddr::from_abstract_name(OsStr::new(&told("A")).as_encoded_bytes()).unwrap();
    drop(UnixStream::connect_addr(&name));
}

/// A child swaps the address between one of ours and one outside while we connect.
fn raced() {
    let ours = format!("{}/ours", told("W"));
    let listener = std::os::unix::net::UnixListener::bind(&ours);
    let size = size_of::<libc::sockaddr_un>();
    let shared = super::calls::shared_page().cast::<libc::sockaddr_un>();
    let (good, bad) = (address(&ours), address(&told("S")));
    // SAFETY: fork takes nothing; this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: the page is shared, mapped and larger than the address.
            unsafe { shared.write_volatile(bad) };
            // SAFETY: as above.
            unsafe { shared.write_volatile(good) };
        }
    }
    for _ in 0..300 {
        // SAFETY: socket takes integers.
        let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0) };
        // SAFETY: the descriptor is fresh and nobody else's.
        let Some(fd) = (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) }) else { break };
        call(libc::SYS_connect, [i64::from(fd.as_raw_fd()), shared as i64, size as i64, 0, 0]);
        if let Ok(listener) = &listener {
            let _ = listener.set_nonblocking(true);
            let _ = listener.accept();
        }
    }
    super::calls::end(child);
}

/// Whatever could reach beyond, or into the kernel's less trodden parts.
fn families() {
    let ip = [(1, 262), (2, 136), (3, 1), (5, 132), (6, 33)];
    let families =
        [2, 10].into_iter().flat_map(|family| ip.map(|(kind, protocol)| (family, kind, protocol)));
    let others = [(17, 3, 768), (40, 1, 0), (38, 5, 0), (16, 3, 9), (16, 3, 15), (29, 3, 1)];
    families.chain(others).for_each(|(family, kind, protocol)| make(family, kind, protocol));
}

/// What everybody makes who has a network: also what asks for its sockets.
fn internet() {
    make(16, 3, 4);
    for (kind, protocol) in [(1, 0), (2, 0), (2, 1)] {
        make(2, kind, protocol);
        make(10, kind, protocol);
    }
}

fn make(family: i64, kind: i64, protocol: i64) {
    if call(libc::SYS_socket, [family, kind, protocol, 0, 0]) >= 0 {
        println!("{GOT_IT} {family} {kind} {protocol}");
    }
    let high = 0x1_0000_0000;
    if call(libc::SYS_socket, [family | high, kind | high, protocol | high, 0, 0]) >= 0 {
        println!("{GOT_IT} wide {family} {kind} {protocol}");
    }
}

/// Sends and connects in one call.
fn fast_open() {
    // SAFETY: socket takes integers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
    if fd >= 0 {
        // SAFETY: the descriptor is fresh and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let port: u16 = told("T").parse().unwrap();
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
            sin_zero: [0; 8],
        };
        let size = size_of::<libc::sockaddr_in>() as i64;
        let text = c"x".as_ptr() as i64;
        let flags = i64::from(libc::MSG_FASTOPEN);
        // SAFETY: text and address are live.
        unsafe {
            libc::syscall(
                libc::SYS_sendto,
                fd.as_raw_fd(),
                text,
                1_i64,
                flags,
                &raw const address,
                size,
            )
        };
        let _ = std::fs::File::from(fd).write(b"x");
    }
}
