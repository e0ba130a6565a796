//! One HTTP exchange on one open connection.
//!
//! `drive` does what can be done without waiting, under a byte budget: encodes a piece of request
//! when the socket can take it, reads once, decrypts, and hands on what the response holds. It may
//! be called at any time, also for nothing. A connection outlives its exchange when both sides
//! allow.

use std::io::{self, BufRead, Read, Write};

use mio::net::TcpStream;
use rustls::ClientConnection;

use super::tls;
use crate::host::poller::Readiness;
use crate::limits::{NET_BUDGET_BYTES, NET_READ_BYTES};
use crate::wire::http::{Exchange, Got, Head, HttpError};

/// A connection, plain or TLS.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Events are edges, so what they said is remembered until the socket says otherwise.
    may_read: bool,
    may_write: bool,
    /// The other side was said to write no more: read until the end, also after a short read.
    closing: bool,
}

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Transfer {
    connection: Connection,
    http: Exchange,
    /// Bytes for the socket. Invariant: `written <= out.len()`.
    out: Vec<u8>,
    written: usize,
    /// Writing failed. The answer may have come before that, so reading goes on.
    write_error: Option<io::Error>,
    /// Bytes came that belong to no answer.
    has_surplus: bool,
}

/// Memory that all exchanges share, since only one is driven at a time.
#[derive(Debug)]
pub(super) struct Buffers {
    socket: Box<[u8]>,
    body: Box<[u8]>,
    request: Vec<u8>,
}

/// The caller's side of one exchange.
pub(super) trait Talk {
    /// Appends what follows this offset of the request's body.
    fn body(&mut self, offset_bytes: u64, out: &mut Vec<u8>);
    fn piece(&mut self, piece: Piece<'_>);
}

/// What a response holds, as it comes.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    Head(&'a Head),
    Body(&'a [u8]),
}

/// How a `drive` ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drove {
    /// Nothing more can be done before the next event.
    Waits,
    /// The budget is used up; come again.
    Again,
    /// The response is complete.
    Done,
}

/// Why a transfer cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    Http(HttpError),
    Socket(io::Error),
    Tls(String),
}

enum Heard {
    Nothing,
    Bytes(usize),
    /// The other side is done.
    End,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers {
            socket: vec![0; NET_READ_BYTES].into(),
            body: vec![0; NET_READ_BYTES].into(),
            request: Vec::new(),
        }
    }
}

impl Connection {
    /// A connection that was just made, and so can be written to.
    pub(super) fn new(socket: TcpStream, tls: Option<Box<ClientConnection>>) -> Connection {
        Connection { socket, tls, may_read: false, may_write: true, closing: false }
    }

    /// The TLS handshake, if one is needed, is over.
    pub(super) fn is_established(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    pub(super) fn has_news(&self) -> bool {
        self.may_read
    }

    /// Notes what the poller said.
    pub(super) fn notice(&mut self, readiness: Readiness) {
        self.may_read |= readiness.readable;
        self.may_write |= readiness.writable;
        self.closing |= readiness.closed;
    }

    /// Whether a connection between exchanges is still good: open, and nothing said unasked.
    pub(super) fn is_quiet(&mut self, buffers: &mut Buffers) -> bool {
        while self.may_read {
            let mut heard = match self.read(&mut buffers.socket) {
                Ok(Some(0)) | Err(_) => return false,
                Ok(None) => break,
                Ok(Some(count)) => &buffers.socket[..count],
            };
            // Only TLS has something to say of its own, such as tickets for later.
            let Some(tls) = &mut self.tls else { return false };
            while !heard.is_empty() {
                let good = tls.read_tls(&mut heard).is_ok()
                    && tls.process_new_packets().is_ok_and(|state| {
                        state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed()
                    });
                if !good {
                    return false;
                }
            }
        }
        true
    }

    /// One read: so many bytes, zero at the end, `None` if there is nothing now.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.socket.read(buffer) {
                Ok(count) => {
                    // Less than there was room for: drained, and what comes next is a new edge.
                    // Only an end that was already announced is not announced again.
                    if count < buffer.len() && !self.closing {
                        self.may_read = false;
                    }
                    return Ok(Some(count));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.may_read = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Transfer {
    pub(super) fn new(connection: Connection, http: Exchange) -> Transfer {
        Transfer {
            connection,
            http,
            out: Vec::new(),
            written: 0,
            write_error: None,
            has_surplus: false,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn notice(&mut self, readiness: Readiness) {
        self.connection.notice(readiness);
    }

    /// At least one byte of response came.
    pub(super) fn has_heard(&self) -> bool {
        self.http.has_heard()
    }

    /// The connection, if the exchange is over and it can take another.
    pub(super) fn into_reusable(self) -> Option<Connection> {
        let flushed = self.written == self.out.len() && self.write_error.is_none();
        let open = !self.has_surplus && !self.connection.closing;
        (self.http.is_reusable() && flushed && open).then_some(self.connection)
    }

    /// Does what can be done now; reads nothing if `paused`. Says also whether any byte moved.
    ///
    pub(super) fn drive(
        &mut self,
        paused: bool,
        buffers: &mut Buffers,
        talk: &mut dyn Talk,
    ) -> Result<(Drove, bool), Broken> {
        let mut moved_bytes = 0;
        loop {
            let wrote = self.write(buffers, &mut |offset, out| talk.body(offset, out))?;
            let heard = if paused {
                Heard::Nothing
            } else {
                self.read(buffers, &mut |piece| talk.piece(piece))?
            };
            let read = match heard {
                Heard::Nothing => 0,
                Heard::Bytes(count) => count,
                Heard::End => return Ok((Drove::Done, true)),
            };
            moved_bytes += wrote + read;
            if wrote + read == 0 {
                if let Some(error) = self.write_error.take_if(|_| !paused) {
                    return Err(Broken::Socket(error));
                }
                return Ok((Drove::Waits, moved_bytes > 0));
            }
            // What is certain to find nothing is not tried.
            let idle = !self.connection.may_read && !self.may_write_more();
            if idle && self.write_error.is_none() {
                return Ok((Drove::Waits, true));
            }
            if moved_bytes >= NET_BUDGET_BYTES {
                return Ok((Drove::Again, true));
            }
        }
    }

    fn may_write_more(&self) -> bool {
        let has_bytes = self.written < self.out.len()
            || !self.http.is_sent()
            || self.connection.tls.as_ref().is_some_and(|tls| tls.wants_write());
        // Before the handshake is over the request waits for the other side, not for us.
        let waits = self.written == self.out.len() && !self.connection.is_established();
        let waits = waits && !self.connection.tls.as_ref().is_some_and(|tls| tls.wants_write());
        self.connection.may_write && has_bytes && !waits
    }

    /// Writes what is there, encoding one more piece if nothing is: bytes written.
    fn write(
        &mut self,
        buffers: &mut Buffers,
        body: &mut dyn FnMut(u64, &mut Vec<u8>),
    ) -> Result<usize, Broken> {
        let mut wrote = 0;
        if !self.connection.may_write || self.write_error.is_some() {
            return Ok(0);
        }
        if self.written == self.out.len() {
            self.fill(buffers, body)?;
        }
        while self.written < self.out.len() {
            match self.connection.socket.write(&self.out[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    wrote += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connection.may_write = false;
                    break;
                }
                Err(error) => {
                    self.write_error = Some(error);
                    self.connection.may_read = true;
                    self.connection.closing = true;
                    break;
                }
            }
        }
        if self.written == self.out.len() && self.http.is_sent() {
            self.out = Vec::new();
            self.written = 0;
        }
        Ok(wrote)
    }

    /// Encodes the next piece of request, and encrypts it.
    fn fill(
        &mut self,
        buffers: &mut Buffers,
        body: &mut dyn FnMut(u64, &mut Vec<u8>),
    ) -> Result<(), Broken> {
        self.out.clear();
        self.written = 0;
        let Some(tls) = &mut self.connection.tls else {
            return self.http.pull_request(&mut self.out, body).map_err(Broken::Http);
        };
        if !tls.is_handshaking() && !self.http.is_sent() {
            let request = &mut buffers.request;
            request.clear();
            self.http.pull_request(request, body).map_err(Broken::Http)?;
            tls.writer().write_all(request).map_err(Broken::Socket)?;
        }
        while tls.wants_write() {
            tls.write_tls(&mut self.out).map_err(Broken::Socket)?;
        }
        Ok(())
    }

    fn read(
        &mut self,
        buffers: &mut Buffers,
        sink: &mut dyn FnMut(Piece<'_>),
    ) -> Result<Heard, Broken> {
        if !self.connection.may_read {
            return Ok(Heard::Nothing);
        }
        let Buffers { socket, body, .. } = buffers;
        let count = match self.connection.read(socket) {
            Ok(None) => return Ok(Heard::Nothing),
            Ok(Some(0)) => return self.close(),
            Ok(Some(count)) => count,
            Err(error) => return Err(Broken::Socket(error)),
        };
        let mut heard = &socket[..count];
        let Some(tls) = &mut self.connection.tls else {
            let (ended, surplus) = hear(&mut self.http, heard, body, sink)?;
            self.has_surplus |= surplus;
            return Ok(if ended { Heard::End } else { Heard::Bytes(count) });
        };
        let (mut ended, mut closed) = (false, false);
        while !heard.is_empty() {
            tls.read_tls(&mut heard).map_err(Broken::Socket)?;
            if let Err(error) = tls.process_new_packets() {
                // Tell the other side why, if it listens; we are leaving either way.
                let mut alert = Vec::new();
                let _ = tls.write_tls(&mut alert);
                let _ = self.connection.socket.write(&alert);
                return Err(Broken::Tls(tls::explain(&error)));
            }
            loop {
                let mut reader = tls.reader();
                let plain = match reader.fill_buf() {
                    Ok([]) => {
                        closed = true;
                        break;
                    }
                    Ok(plain) => plain,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(Broken::Socket(error)),
                };
                let length = plain.len();
                if ended {
                    self.has_surplus = true;
                } else {
                    let (end, surplus) = hear(&mut self.http, plain, body, sink)?;
                    ended = end;
                    self.has_surplus |= surplus;
                }
                reader.consume(length);
            }
            if closed {
                break;
            }
        }
        match (ended, closed) {
            (true, closed) => {
                self.connection.closing |= closed;
                Ok(Heard::End)
            }
            (false, true) => self.close(),
            (false, false) => Ok(Heard::Bytes(count)),
        }
    }

    fn close(&mut self) -> Result<Heard, Broken> {
        self.connection.closing = true;
        if !self.connection.is_established() {
            let why = "the server closed the connection during the handshake";
            return Err(Broken::Tls(why.to_owned()));
        }
        self.http.close().map_err(Broken::Http)?;
        Ok(Heard::End)
    }
}

/// Takes plaintext: whether the response ended, and whether bytes came after that.
fn hear(
    http: &mut Exchange,
    mut input: &[u8],
    body: &mut [u8],
    sink: &mut dyn FnMut(Piece<'_>),
) -> Result<(bool, bool), Broken> {
    while let Some(got) = http.pull(&mut input, body).map_err(Broken::Http)? {
        match got {
            Got::Head(head) => sink(Piece::Head(&head)),
            Got::Body(count) => sink(Piece::Body(&body[..count])),
            Got::End => return Ok((true, !input.is_empty())),
        }
    }
    Ok((false, false))
}
