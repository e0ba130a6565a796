//! A provider on this machine that answers as it is told, and writes down what it is asked.
//!
//! Sockets never block; TLS is spoken by hand. A request that no answer was scripted for is a
//! failure of the test.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use serde_json::Value;

use crate::support::outside;
use crate::support::reply::{Act, Reply};

pub struct Provider {
    listener: Option<TcpListener>,
    port: u16,
    tls: Option<Arc<ServerConfig>>,
    connections: Vec<Connection>,
    script: VecDeque<Reply>,
    /// Everything that was asked, in order.
    pub requests: Vec<Request>,
    pub connections_count: usize,
    /// What was held back goes out now.
    pub is_released: bool,
    /// Answers follow the head of a request; its body is read and forgotten.
    pub is_hasty: bool,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    pub body_bytes: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    heard: Vec<u8>,
    /// Bytes of a body that are yet to come and to be forgotten.
    unwanted_bytes: usize,
    acts: VecDeque<Act>,
    /// What is still to be written of the act that was begun.
    pending: Vec<u8>,
    paused_until: Option<Instant>,
    is_closed: bool,
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// How a server speaks TLS that shows this certificate of the fixtures.
pub fn tls_config(name: &str) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(fixture(&format!("{name}.pem"))).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture(&format!("{name}.key.pem"))).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

impl Provider {
    pub fn plain() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        Provider {
            listener: Some(listener),
            port,
            tls: None,
            connections: Vec::new(),
            script: VecDeque::new(),
            requests: Vec::new(),
            connections_count: 0,
            is_released: false,
            is_hasty: false,
        }
    }

    pub fn tls() -> Provider {
        Provider::tls_as("server")
    }

    /// One that shows this certificate of the fixtures.
    pub fn tls_as(name: &str) -> Provider {
        Provider { tls: Some(tls_config(name)), ..Provider::plain() }
    }

    pub fn url(&self) -> String {
        self.url_of("127.0.0.1")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url_of(&self, host: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{host}:{}/v1", self.port)
    }

    /// Nobody listens any more.
    pub fn leave(&mut self) {
        self.listener = None;
        self.connections.clear();
    }

    pub fn script(&mut self, reply: Reply) {
        self.script.push_back(reply);
    }

    /// Forgets what was scripted and whoever was connected, also those it has yet to hear of.
    pub fn forget(&mut self) {
        self.script.clear();
        self.connections.clear();
        while let Some(Ok(_)) = self.listener.as_ref().map(TcpListener::accept) {}
    }

    /// Answers that nobody has asked for yet.
    pub fn unasked(&self) -> usize {
        self.script.len()
    }

    /// Bytes that are to be sent and were not taken yet.
    pub fn pending_bytes(&self) -> usize {
        let to_send = |act: &Act| match act {
            Act::Send(bytes) => bytes.len(),
            Act::Pause(_) | Act::Hold | Act::Hang | Act::Close => 0,
        };
        let of = |connection: &Connection| {
            connection.pending.len() + connection.acts.iter().map(to_send).sum::<usize>()
        };
        self.connections.iter().map(of).sum()
    }

    pub fn watch(&self, polled: &mut Vec<libc::pollfd>) {
        if let Some(listener) = &self.listener {
            polled.push(outside::entry(listener.as_raw_fd(), libc::POLLIN));
        }
        for connection in &self.connections {
            let writes = !connection.pending.is_empty() || connection.wants_tls_write();
            let events = if writes { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
            polled.push(outside::entry(connection.socket.as_raw_fd(), events));
        }
    }

    /// How long a round may wait: not at all while there is something to send.
    pub fn wait_ms(&self) -> i32 {
        let is_sending = |connection: &Connection| {
            matches!(connection.acts.front(), Some(Act::Send(_))) && connection.pending.is_empty()
        };
        if self.connections.iter().any(is_sending) { 0 } else { 5 }
    }

    /// Whether nothing of an answer is left to be given.
    pub fn is_quiet(&self) -> bool {
        let is_quiet =
            |connection: &Connection| connection.pending.is_empty() && connection.acts.is_empty();
        self.connections.iter().all(is_quiet)
    }

    /// Takes and gives what there is.
    pub fn serve(&mut self) {
        if let Some((socket, _)) = self.listener.as_ref().and_then(|socket| socket.accept().ok()) {
            socket.set_nonblocking(true).unwrap();
            socket.set_nodelay(true).unwrap();
            let tls = self.tls.clone().map(|tls| Box::new(ServerConnection::new(tls).unwrap()));
            self.connections_count += 1;
            self.connections.push(Connection {
                socket,
                tls,
                heard: Vec::new(),
                unwanted_bytes: 0,
                acts: VecDeque::new(),
                pending: Vec::new(),
                paused_until: None,
                is_closed: false,
            });
        }
        for connection in &mut self.connections {
            connection.hear();
            while let Some(request) = connection.request(self.is_hasty) {
                let asked = format!("{} {}", request.method, request.target);
                self.requests.push(request);
                let Some(reply) = self.script.pop_front() else {
                    panic!("nobody scripted an answer to request {}: {asked}", self.requests.len())
                };
                connection.acts.extend(reply.acts());
            }
            connection.act(self.is_released);
        }
        self.connections.retain(|connection| !connection.is_closed);
    }
}

impl Connection {
    fn wants_tls_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    fn hear(&mut self) {
        let mut piece = [0; 65_536];
        loop {
            let Some(tls) = &mut self.tls else {
                match self.socket.read(&mut piece) {
                    Ok(0) => return self.is_closed = true,
                    Ok(count) => self.heard.extend_from_slice(&piece[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    Err(_) => return self.is_closed = true,
                }
                continue;
            };
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return self.is_closed = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.is_closed = true,
            }
            if tls.process_new_packets().is_err() {
                // The alert still goes out.
                let _ = tls.write_tls(&mut self.socket);
                return self.is_closed = true;
            }
            while let Ok(count) = tls.reader().read(&mut piece) {
                if count == 0 {
                    break;
                }
                self.heard.extend_from_slice(&piece[..count]);
            }
        }
    }

    /// The next whole request; one without its body, if that is not to be waited for.
    fn request(&mut self, is_hasty: bool) -> Option<Request> {
        if self.acts.iter().any(|act| matches!(act, Act::Close)) {
            // It is about to hang up, and hears nothing more.
            return None;
        }
        let forgotten = self.heard.len().min(self.unwanted_bytes);
        self.heard.drain(..forgotten);
        self.unwanted_bytes -= forgotten;
        let end = self.heard.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(self.heard[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: BTreeMap<String, String> = lines.map(header).collect();
        let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        let body = match is_hasty {
            true => Vec::new(),
            false => self.heard.get(end + 4..end + 4 + length)?.to_vec(),
        };
        self.heard.drain(..end + 4 + body.len());
        self.unwanted_bytes = length - body.len();
        Some(Request {
            method: first.next().unwrap().to_owned(),
            target: first.next().unwrap().to_owned(),
            headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            body_bytes: body,
        })
    }

    /// Does at most one thing, so that what is cut stays cut.
    fn act(&mut self, is_released: bool) {
        if self.is_closed {
            return;
        }
        if self.pending.is_empty() && self.paused_until.is_none_or(|until| until <= Instant::now())
        {
            self.paused_until = None;
            match self.acts.front() {
                Some(Act::Hold) if !is_released => {}
                Some(Act::Hang) | None => {}
                Some(_) => match self.acts.pop_front() {
                    Some(Act::Send(bytes)) => self.pending = bytes,
                    Some(Act::Pause(pause)) => self.paused_until = Some(Instant::now() + pause),
                    Some(Act::Close) => {
                        self.write();
                        // The other side may have left already.
                        let _ = self.socket.shutdown(Shutdown::Both);
                        self.is_closed = true;
                    }
                    Some(Act::Hold | Act::Hang) | None => {}
                },
            }
        }
        self.write();
    }

    fn write(&mut self) {
        let Some(tls) = &mut self.tls else {
            match self.socket.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.is_closed = true,
            }
            return;
        };
        if !self.pending.is_empty() {
            let count = tls.writer().write(&self.pending).unwrap();
            self.pending.drain(..count);
        }
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.is_closed = true,
            }
        }
    }
}
