use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::*;

mod answers;
mod connections;
mod proxies;
mod tls;

const OWNER: u64 = 7;
const IDLE_MS: u64 = 300_000;
const CONNECT_MS: u64 = 10_000;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Client and server in one lane: the client by its loop, the server by hand.
struct World {
    poller: Poller,
    net: Net,
    now_ms: u64,
    told: BTreeMap<u64, Told>,
    body_bytes: u64,
    listener: TcpListener,
    server_tls: Option<Arc<ServerConfig>>,
}

/// What was told of the exchange of one owner.
#[derive(Debug, Default)]
struct Told {
    status: u16,
    body: Vec<u8>,
    pieces_count: usize,
    end: Option<Result<(), NetFailure>>,
}

struct Peer {
    socket: TcpStream,
    tls: Option<ServerConnection>,
    heard: Vec<u8>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

fn resolver(script: &str) -> io::Result<(OwnedFd, i32)> {
    let mut child = Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn()?;
    Ok((child.stdout.take().unwrap().into(), i32::try_from(child.id()).unwrap()))
}

fn body_byte(offset: u64) -> u8 {
    (offset % 251) as u8
}

/// Lends a body and writes down what is told.
struct Witness<'a> {
    told: &'a mut BTreeMap<u64, Told>,
    body_bytes: u64,
}

impl Caller for Witness<'_> {
    fn body(&mut self, _owner: u64, offset: u64, out: &mut Vec<u8>) {
        let end = (offset + 7001).min(self.body_bytes);
        out.extend((offset..end).map(body_byte));
    }

    fn told(&mut self, owner: u64, event: NetEvent<'_>) {
        let told = self.told.get_mut(&owner).unwrap();
        assert_eq!(told.end, None, "nothing is told after the end");
        match event {
            NetEvent::Head(head) => {
                assert_eq!(told.status, 0, "one head");
                told.status = head.status();
            }
            NetEvent::Body(bytes) => {
                told.body.extend_from_slice(bytes);
                told.pieces_count += 1;
            }
            NetEvent::End => told.end = Some(Ok(())),
            NetEvent::Failed(failure) => told.end = Some(Err(failure)),
        }
    }
}

impl World {
    fn new() -> World {
        World::trusting(Trust::default())
    }

    fn trusting(trust: Trust) -> World {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        World {
            poller: Poller::new().unwrap(),
            net: Net::new(trust, |_| resolver("echo 127.0.0.1")),
            now_ms: 1000,
            told: BTreeMap::new(),
            body_bytes: 0,
            listener,
            server_tls: None,
        }
    }

    /// A world of TLS, whose client trusts the server if `trusted`.
    fn tls(trusted: bool) -> World {
        let ca_file = if trusted { fixture("ca.pem") } else { fixture("server.pem") };
        World::serving("server", ca_file)
    }

    /// A world of TLS whose server is `model.example`, and everything goes through a proxy.
    fn proxied_tls(variable: &str) -> World {
        let mut world = World::serving("far", fixture("far.pem"));
        world.proxy(variable);
        world
    }

    fn serving(name: &str, ca_file: PathBuf) -> World {
        let mut world = World::trusting(Trust { ca_file: Some(ca_file), ..Trust::default() });
        let chain = CertificateDer::pem_file_iter(fixture(&format!("{name}.pem"))).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(fixture(&format!("{name}.key.pem"))).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        world.server_tls = Some(Arc::new(config));
        world
    }

    /// Makes the listener a proxy for everything; `{}` in the value is its address.
    fn proxy(&mut self, value: &str) {
        let value = value.replace("{}", &format!("127.0.0.1:{}", self.port()));
        let proxies = Proxies::of_environment(&|name| (name == "all_proxy").then(|| value.clone()));
        let net = Net::new(Trust::default(), |_| resolver("echo 127.0.0.1"));
        let net = std::mem::replace(&mut self.net, net);
        self.net = net.behind(proxies);
    }

    /// Starts an exchange with `model.example`.
    fn start_far(&mut self) -> ExchangeId {
        let scheme = if self.server_tls.is_some() { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://model.example/v1")).unwrap();
        let call = Call { url, ..self.call("model.example") };
        self.told.insert(OWNER, Told::default());
        self.net.start(&mut self.poller, self.now_ms, call, OWNER).unwrap()
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn call(&self, host: &str) -> Call {
        let scheme = if self.server_tls.is_some() { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{host}:{}/v1", self.port())).unwrap();
        let method = if self.body_bytes > 0 { Method::Post } else { Method::Get };
        Call {
            method,
            url,
            headers: vec![("x-a".into(), "b".into())],
            body_bytes: self.body_bytes,
            connect_ms: CONNECT_MS,
            idle_ms: IDLE_MS,
        }
    }

    fn start(&mut self) -> ExchangeId {
        self.start_for(OWNER)
    }

    fn start_for(&mut self, owner: u64) -> ExchangeId {
        let call = self.call("127.0.0.1");
        self.told.insert(owner, Told::default());
        self.net.start(&mut self.poller, self.now_ms, call, owner).unwrap()
    }

    /// One revolution of the loop.
    fn turn(&mut self) {
        self.poller.sleep(Some(Duration::from_millis(2))).unwrap();
        for _ in 0..self.poller.ready_count() {
            let Some((key, readiness)) = self.poller.pop_ready() else { break };
            self.with_net(|net, poller, now_ms, caller| {
                net.on_ready(poller, now_ms, key, readiness, caller);
            });
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.with_net(|net, poller, now_ms, caller| {
            net.on_deadline(poller, now_ms, caller);
        });
    }

    fn with_net(&mut self, act: impl FnOnce(&mut Net, &mut Poller, u64, &mut dyn Caller)) {
        let World { poller, net, now_ms, told, body_bytes, .. } = self;
        let mut witness = Witness { told, body_bytes: *body_bytes };
        act(net, poller, *now_ms, &mut witness);
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut World) -> bool) {
        for _ in 0..3000 {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("never: {what}");
    }

    fn accept(&mut self) -> Peer {
        let mut peer = None;
        self.until("a connection", |world| {
            peer = world.try_accept();
            peer.is_some()
        });
        peer.unwrap()
    }

    fn try_accept(&mut self) -> Option<Peer> {
        let (socket, _) = self.listener.accept().ok()?;
        socket.set_nonblocking(true).unwrap();
        let tls = self.server_tls.clone().map(|config| ServerConnection::new(config).unwrap());
        Some(Peer { socket, tls, heard: Vec::new() })
    }

    /// Lets the peer hear a whole request, and gives its body.
    fn hear(&mut self, peer: &mut Peer) -> Vec<u8> {
        let body_bytes = usize::try_from(self.body_bytes).unwrap();
        let mut body = None;
        self.until("a request", |_| {
            peer.pump();
            let head = peer.heard.windows(4).position(|four| four == b"\r\n\r\n");
            body = head.map(|at| peer.heard[at + 4..].to_vec());
            body.as_ref().is_some_and(|body| body.len() >= body_bytes)
        });
        peer.heard.clear();
        body.unwrap()
    }

    fn say(&mut self, peer: &mut Peer, bytes: &[u8]) {
        let mut left = bytes;
        self.until("the server is heard", |_| {
            left = &left[peer.write(left)..];
            left.is_empty()
        });
    }

    fn finish(&mut self, owner: u64) -> Result<(), NetFailure> {
        self.until("the end", |world| world.told[&owner].end.is_some());
        self.told[&owner].end.clone().unwrap()
    }

    fn told(&self) -> (u16, &str) {
        let told = &self.told[&OWNER];
        (told.status, std::str::from_utf8(&told.body).unwrap())
    }
}

impl Peer {
    /// Reads all there is. False when the client has closed.
    fn pump(&mut self) -> bool {
        let mut buffer = [0; 65536];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => match &mut self.tls {
                    None => self.heard.extend_from_slice(&buffer[..count]),
                    Some(tls) => {
                        let mut input = &buffer[..count];
                        while !input.is_empty() {
                            tls.read_tls(&mut input).unwrap();
                            if tls.process_new_packets().is_err() {
                                return false;
                            }
                            let _ = tls.reader().read_to_end(&mut self.heard);
                        }
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.flush();
        true
    }

    fn flush(&mut self) {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && tls.write_tls(&mut self.socket).is_ok() {}
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.flush();
        let wrote = match &mut self.tls {
            None => self.socket.write(bytes).unwrap_or(0),
            Some(tls) => tls.writer().write(bytes).unwrap(),
        };
        self.flush();
        wrote
    }

    fn is_left(&mut self) -> bool {
        !self.pump()
    }
}

fn expected_body(body_bytes: u64) -> Vec<u8> {
    (0..body_bytes).map(body_byte).collect()
}

/// One exchange whose answer comes in these pieces, then the close if `closes`.
fn check(pieces: &[&[u8]], closes: bool, status: u16, body: &str, end: Result<(), &str>) {
    for mut world in [World::new(), World::tls(true)] {
        world.start();
        let mut peer = world.accept();
        world.hear(&mut peer);
        for piece in pieces {
            world.say(&mut peer, piece);
            world.turn();
        }
        if closes {
            drop(peer);
        }
        let got = world.finish(OWNER).map_err(|failure| {
            let text = failure.to_string();
            text.split_once(": ").unwrap().1.to_owned()
        });
        assert_eq!(got, end.map_err(str::to_owned));
        assert_eq!(world.told(), (status, body));
    }
}
