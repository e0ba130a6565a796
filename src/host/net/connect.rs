//! Connecting to one of several addresses without waiting for any.
//!
//! The first address gets a head start; then the next is tried besides it, and the first connection
//! wins. All attempts share the key of their exchange, so an event only says that one of them may
//! have news. The time limit over all is the exchange's.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::Interest;
use mio::net::TcpStream;

use crate::host::poller::{Key, Poller, Readiness};
use crate::limits::{CONNECT_HEAD_START_MS, RESOLVED_ADDRESSES_MAX};

/// The attempts that are being made.
#[derive(Debug)]
pub(super) struct Connecting {
    /// Addresses not tried yet, the next one last.
    untried: Vec<SocketAddr>,
    attempts: Vec<TcpStream>,
    tried_count: usize,
    next_at_ms: u64,
    last_error: Option<io::Error>,
}

/// What became of the attempts so far.
#[derive(Debug)]
pub(super) enum Progress {
    Connected(TcpStream),
    Waiting,
    /// All failed; the error is that of the last.
    Failed(io::Error),
}

impl Connecting {
    pub(super) fn start(
        poller: &Poller,
        key: Key,
        now_ms: u64,
        addresses: &[IpAddr],
        port: u16,
    ) -> Connecting {
        let bounded = addresses.iter().take(RESOLVED_ADDRESSES_MAX);
        let mut connecting = Connecting {
            untried: bounded.rev().map(|&address| SocketAddr::new(address, port)).collect(),
            attempts: Vec::new(),
            tried_count: 0,
            next_at_ms: now_ms,
            last_error: None,
        };
        connecting.try_next(poller, key, now_ms);
        connecting
    }

    /// Looks after the attempts, after an event or when `next_at_ms` has come.
    pub(super) fn check(
        &mut self,
        poller: &Poller,
        key: Key,
        now_ms: u64,
        readiness: Readiness,
    ) -> Progress {
        let mut index = 0;
        while index < self.attempts.len() {
            match is_connected(&self.attempts[index], self.tried_count, readiness) {
                Ok(true) => return Progress::Connected(self.attempts.swap_remove(index)),
                Ok(false) => index += 1,
                Err(error) => {
                    self.last_error = Some(error);
                    self.attempts.remove(index);
                }
            }
        }
        if self.attempts.is_empty() || now_ms >= self.next_at_ms {
            self.try_next(poller, key, now_ms);
        }
        self.failed_at_once().map_or(Progress::Waiting, Progress::Failed)
    }

    /// The error, if no attempt could be begun.
    pub(super) fn failed_at_once(&mut self) -> Option<io::Error> {
        if !self.attempts.is_empty() {
            return None;
        }
        Some(self.last_error.take().unwrap_or_else(|| io::Error::other("the name has no address")))
    }

    /// When the next address is to be tried, if there is one.
    pub(super) fn next_at_ms(&self) -> Option<u64> {
        (!self.untried.is_empty()).then_some(self.next_at_ms)
    }

    /// Begins with the next address that does not fail at once.
    fn try_next(&mut self, poller: &Poller, key: Key, now_ms: u64) {
        while let Some(address) = self.untried.pop() {
            self.tried_count += 1;
            match begin(poller, key, address) {
                Ok(socket) => {
                    self.attempts.push(socket);
                    self.next_at_ms = now_ms + CONNECT_HEAD_START_MS;
                    return;
                }
                Err(error) => self.last_error = Some(error),
            }
        }
    }
}

fn begin(poller: &Poller, key: Key, address: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    // Pieces are as large as they get before they are written; holding the last one back only
    // delays.
    socket.set_nodelay(true)?;
    poller.register(&mut socket, key, Interest::READABLE | Interest::WRITABLE)?;
    Ok(socket)
}

fn is_connected(socket: &TcpStream, tried_count: usize, said: Readiness) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    // An event of the only attempt can have no other meaning, which spares the question.
    if tried_count == 1 && said.writable {
        return Ok(true);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::host::poller::Kind;

    const KEY_SLOT: u16 = 4;

    fn key() -> Key {
        Key::new(Kind::Exchange, KEY_SLOT, 1)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Runs the attempts to their end.
    fn finish(poller: &mut Poller, mut connecting: Connecting) -> io::Result<TcpStream> {
        let mut readiness = Readiness::default();
        loop {
            match connecting.check(poller, key(), 0, readiness) {
                Progress::Connected(socket) => return Ok(socket),
                Progress::Failed(error) => return Err(error),
                Progress::Waiting => {}
            }
            poller.sleep(Some(Duration::from_secs(5))).unwrap();
            readiness = poller.pop_ready().map_or(Readiness::default(), |(_, said)| said);
        }
    }

    #[test]
    fn the_next_address_is_tried_when_one_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut poller = Poller::new().unwrap();
        // Nobody listens at the first; the second is none of a host.
        let addresses = [ip("127.0.0.2"), ip("0.0.0.1"), ip("127.0.0.1")];
        let connecting = Connecting::start(&poller, key(), 0, &addresses, port);
        let socket = finish(&mut poller, connecting).unwrap();
        assert_eq!(socket.peer_addr().unwrap().ip(), ip("127.0.0.1"));
    }

    #[test]
    fn a_silent_address_has_a_head_start_only() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let poller = Poller::new().unwrap();
        let addresses = [ip("127.0.0.1"), ip("127.0.0.1")];
        let mut connecting = Connecting::start(&poller, key(), 100, &addresses, port);
        assert_eq!(connecting.next_at_ms(), Some(100 + CONNECT_HEAD_START_MS));
        // Stands for one that never answers.
        connecting.attempts.clear();
        connecting.attempts.push(TcpStream::connect(silent.local_addr().unwrap()).unwrap());
        connecting.try_next(&poller, key(), 100 + CONNECT_HEAD_START_MS);
        assert_eq!((connecting.attempts.len(), connecting.next_at_ms()), (2, None));
    }

    #[test]
    fn the_error_of_the_last_address_is_told() {
        // Nobody is given this one, and nobody listens there.
        let port = 1;
        let mut poller = Poller::new().unwrap();
        let connecting = Connecting::start(&poller, key(), 0, &[ip("127.0.0.1")], port);
        let error = finish(&mut poller, connecting).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let connecting = Connecting::start(&poller, key(), 0, &[], port);
        let error = finish(&mut poller, connecting).unwrap_err();
        assert_eq!(error.to_string(), "the name has no address");
    }

    #[test]
    fn only_so_many_addresses_are_tried() {
        let poller = Poller::new().unwrap();
        let addresses = [ip("127.0.0.1"); RESOLVED_ADDRESSES_MAX + 5];
        let connecting = Connecting::start(&poller, key(), 0, &addresses, 1);
        let count = connecting.untried.len() + connecting.tried_count;
        assert_eq!(count, RESOLVED_ADDRESSES_MAX);
    }
}
