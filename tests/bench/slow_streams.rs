//! A provider that gives many slow streams at once, and a client that only reads them: in one
//! loop, beside whatever is measured.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustls::{ServerConfig, ServerConnection};

use crate::support::provider::tls_config;
use crate::support::reply::{self, Reply, sse};

/// How a stream is told.
pub const DELTAS: usize = 100;
pub const PERIOD: Duration = Duration::from_millis(100);

/// What the prompt of a turn says that is to call tools, and how many there are.
pub const BUSY: &str = "busy with tools";
pub const CALLS: usize = 50;

pub const LISTENER: Token = Token(0);
/// Connections of the provider have the tokens from here on, readers from `READERS` on.
const CONNECTIONS: usize = 1 << 10;
pub const READERS: usize = 1 << 20;

pub struct Provider {
    listener: TcpListener,
    pub port: u16,
    tls: Option<Arc<ServerConfig>>,
    connections: Vec<Connection>,
    /// Who is to be told the next piece, and when: all wait equally long.
    due: VecDeque<(Instant, usize)>,
}

struct Connection {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    heard: Vec<u8>,
    pending: Vec<u8>,
    /// Pieces of the stream that were told.
    told: usize,
}

impl Provider {
    pub fn new(registry: &Registry) -> Provider {
        let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        registry.register(&mut listener, LISTENER, Interest::READABLE).unwrap();
        Provider { listener, port, tls: None, connections: Vec::new(), due: VecDeque::new() }
    }

    /// One that is trusted by whoever trusts the authority of the fixtures.
    pub fn tls(registry: &Registry) -> Provider {
        Provider { tls: Some(tls_config("server")), ..Provider::new(registry) }
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/v1", self.port)
    }

    pub fn accept(&mut self, registry: &Registry) {
        while let Ok((mut socket, _)) = self.listener.accept() {
            socket.set_nodelay(true).unwrap();
            let token = Token(CONNECTIONS + self.connections.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut socket, token, interest).unwrap();
            let tls = self.tls.clone().map(|tls| Box::new(ServerConnection::new(tls).unwrap()));
            let (heard, pending) = (Vec::new(), Vec::new());
            self.connections.push(Connection { socket, tls, heard, pending, told: 0 });
        }
    }

    /// Until when there is nothing to tell.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at)
    }

    /// Tells the next piece to everybody who has waited long enough.
    pub fn tell(&mut self) {
        let now = Instant::now();
        while let Some((at, index)) = self.due.front().copied().filter(|(at, _)| *at <= now) {
            self.due.pop_front();
            let connection = &mut self.connections[index];
            connection.told += 1;
            let told = connection.told;
            if told < DELTAS {
                chunk(&mut connection.pending, &sse(&reply::delta("word ")));
                self.due.push_back((at + PERIOD, index));
            } else {
                chunk(&mut connection.pending, &sse(&reply::delta("word ")));
                let whole = reply::message(&"word ".repeat(DELTAS));
                chunk(&mut connection.pending, &sse(&reply::done(&whole)));
                chunk(&mut connection.pending, &sse(&reply::completed()));
                connection.pending.extend_from_slice(b"0\r\n\r\n");
            }
            connection.write();
        }
    }

    pub fn on_ready(&mut self, token: Token) {
        let index = token.0 - CONNECTIONS;
        let connection = &mut self.connections[index];
        connection.write();
        if !connection.read() {
            connection.heard = Vec::new();
            return;
        }
        let Some(body) = request(&mut connection.heard) else { return };
        connection.told = 0;
        if contains(&body, BUSY) {
            let done = count(&body, "\"function_call_output\"");
            let reply = match done < CALLS {
                true => Reply::shell(&["true"]),
                false => Reply::message("done"),
            };
            for act in reply.acts() {
                if let reply::Act::Send(bytes) = act {
                    connection.pending.extend_from_slice(&bytes);
                }
            }
        } else {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
            connection.pending.extend_from_slice(head.as_bytes());
            chunk(&mut connection.pending, &sse(&reply::created()));
            self.due.push_back((Instant::now() + PERIOD, index));
        }
        connection.write();
    }
}

impl Connection {
    /// Reads all there is; gives whether there may be more later.
    fn read(&mut self) -> bool {
        let Some(tls) = &mut self.tls else { return read(&mut self.socket, &mut self.heard) };
        let mut sealed = Vec::new();
        let is_open = read(&mut self.socket, &mut sealed);
        let mut sealed = sealed.as_slice();
        while !sealed.is_empty() {
            tls.read_tls(&mut sealed).unwrap();
            tls.process_new_packets().unwrap();
            read(&mut tls.reader(), &mut self.heard);
        }
        self.write();
        is_open
    }

    fn write(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(&self.pending).unwrap();
            self.pending.clear();
            while tls.wants_write() && tls.write_tls(&mut self.socket).is_ok() {}
            return;
        }
        while !self.pending.is_empty() {
            match self.socket.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(_) => return,
            }
        }
    }
}

/// What reads a stream at the least cost.
pub struct Reader {
    socket: TcpStream,
    asked: bool,
    heard: Vec<u8>,
    /// When it had come whole.
    pub ended: Option<Instant>,
}

impl Reader {
    pub fn new(registry: &Registry, port: u16, index: usize) -> Reader {
        let mut socket = TcpStream::connect(([127, 0, 0, 1], port).into()).unwrap();
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut socket, Token(READERS + index), interest).unwrap();
        Reader { socket, asked: false, heard: Vec::new(), ended: None }
    }

    pub fn on_ready(&mut self) {
        if !self.asked {
            let request = "POST /v1/responses HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
            self.asked = self.socket.write(request.as_bytes()).is_ok();
        }
        self.heard.clear();
        read(&mut self.socket, &mut self.heard);
        if self.heard.ends_with(b"0\r\n\r\n") {
            self.ended.get_or_insert_with(Instant::now);
        }
    }
}

fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    write!(out, "{:x}\r\n", bytes.len()).unwrap();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Reads all there is; gives whether there may be more later.
pub fn read(from: &mut impl Read, into: &mut Vec<u8>) -> bool {
    let mut piece = [0; 65_536];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => into.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected);
            }
        }
    }
}

/// Takes a whole request and gives its body.
fn request(heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = heard.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&heard[..end]).unwrap().to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length:")?;
    let length: usize = rest.split("\r\n").next()?.trim().parse().unwrap();
    let body = heard.get(end..end + length)?.to_vec();
    heard.drain(..end + length);
    Some(body)
}

pub fn contains(text: &[u8], needle: &str) -> bool {
    text.windows(needle.len()).any(|part| part == needle.as_bytes())
}

fn count(text: &[u8], needle: &str) -> usize {
    text.windows(needle.len()).filter(|part| *part == needle.as_bytes()).count()
}
