use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::*;

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
        let mut config = ServerConfig::builder_with_provider(provider())
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

#[test]
fn a_get_is_answered() {
    check(&[OK.as_bytes()], false, 200, "ok", Ok(()));
}

#[test]
fn a_large_body_arrives_whole() {
    for mut world in [World::new(), World::tls(true)] {
        world.body_bytes = 300_000;
        world.start();
        let mut peer = world.accept();
        assert!(world.hear(&mut peer) == expected_body(300_000));
        world.say(&mut peer, OK.as_bytes());
        world.finish(OWNER).unwrap();
    }
}

#[test]
fn a_body_waits_for_a_reader_that_is_slow() {
    let mut world = World::new();
    world.body_bytes = 20_000_000;
    world.start();
    let mut peer = world.accept();
    for _ in 0..50 {
        world.turn();
    }
    assert!(world.hear(&mut peer) == expected_body(20_000_000));
    world.say(&mut peer, OK.as_bytes());
    world.finish(OWNER).unwrap();
}

#[test]
fn chunks_may_be_cut_anywhere() {
    let response = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\
        Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nA: b\r\n\r\n";
    let bytes: Vec<&[u8]> = response.as_bytes().chunks(1).collect();
    check(&bytes, false, 200, "hello, world", Ok(()));
    let bytes: Vec<&[u8]> = response.as_bytes().chunks(17).collect();
    check(&bytes, false, 200, "hello, world", Ok(()));
}

#[test]
fn the_close_ends_a_body_without_length() {
    check(&[b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"], true, 200, "hello", Ok(()));
}

#[test]
fn a_close_in_the_middle_is_a_failure() {
    let cut = Err("the server closed the connection before the response was complete");
    let chunked: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel";
    check(&[chunked], true, 200, "hel", cut);
    check(&[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"], true, 200, "hel", cut);
    check(&[], true, 0, "", Err("the server closed the connection without an answer"));
    let head = Err("the server closed the connection within the response headers");
    check(&[b"HTTP/1.1 200 OK\r\nA"], true, 0, "", head);
}

#[test]
fn a_head_over_the_bound_is_a_failure() {
    let head = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(40_000));
    let why = Err("the response headers exceed 32768 bytes");
    check(&[head.as_bytes()], false, 0, "", why);
}

#[test]
fn a_redirect_is_a_failure_that_names_its_target() {
    check(
        &[b"HTTP/1.1 307 Temporary\r\nLocation: https://else/\r\nContent-Length: 0\r\n\r\n"],
        false,
        0,
        "",
        Err("the server answered 307 and names another place, https://else/"),
    );
}

#[test]
fn an_answer_before_the_body_was_taken_is_heard() {
    let mut world = World::new();
    world.body_bytes = 50_000_000;
    world.start();
    let mut peer = world.accept();
    world.say(&mut peer, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    world.finish(OWNER).unwrap();
    assert_eq!(world.told(), (413, "no"));
    assert_eq!(world.net.counts(), (0, 0));
}

#[test]
fn a_connection_is_kept_and_used_again() {
    for mut world in [World::new(), World::tls(true)] {
        world.body_bytes = 10;
        world.start();
        let mut peer = world.accept();
        for _ in 0..3 {
            assert_eq!(world.hear(&mut peer), expected_body(10));
            world.say(&mut peer, OK.as_bytes());
            world.finish(OWNER).unwrap();
            assert_eq!(world.net.counts(), (0, 1));
            world.start();
            assert_eq!(world.net.counts(), (1, 0));
        }
        assert!(world.try_accept().is_none());
    }
}

#[test]
fn a_connection_is_not_kept_where_it_must_not_be() {
    for response in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    ] {
        for mut world in [World::new(), World::tls(true)] {
            world.start();
            let mut peer = world.accept();
            world.hear(&mut peer);
            world.say(&mut peer, response.as_bytes());
            world.finish(OWNER).unwrap();
            assert_eq!(world.net.counts(), (0, 0), "{response}");
            world.until("the client leaves", |_| peer.is_left());
        }
    }
}

#[test]
fn a_kept_connection_that_closes_or_speaks_is_dropped() {
    for words in ["", "HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        for mut world in [World::new(), World::tls(true)] {
            world.start();
            let mut peer = world.accept();
            world.hear(&mut peer);
            world.say(&mut peer, OK.as_bytes());
            world.finish(OWNER).unwrap();
            assert_eq!(world.net.counts(), (0, 1));
            world.say(&mut peer, words.as_bytes());
            let held = (!words.is_empty()).then_some(peer);
            world.until("it is dropped", |world| world.net.counts() == (0, 0));
            drop(held);
        }
    }
}

#[test]
fn a_kept_connection_that_died_is_replaced_once() {
    for mut world in [World::new(), World::tls(true)] {
        world.body_bytes = 100_000;
        world.start();
        let mut peer = world.accept();
        world.hear(&mut peer);
        world.say(&mut peer, OK.as_bytes());
        world.finish(OWNER).unwrap();
        // It takes the next request and dies.
        world.start();
        world.hear(&mut peer);
        drop(peer);
        let mut second = world.accept();
        assert!(world.hear(&mut second) == expected_body(100_000));
        // The second is fresh: that it dies is a failure.
        drop(second);
        let failure = world.finish(OWNER).unwrap_err();
        assert!(matches!(failure, NetFailure::Closed { .. }), "{failure}");
        assert_eq!(world.net.counts(), (0, 0));
    }
}

#[test]
fn a_kept_connection_that_answered_in_part_is_not_replaced() {
    let mut world = World::new();
    world.start();
    let mut peer = world.accept();
    world.hear(&mut peer);
    world.say(&mut peer, OK.as_bytes());
    world.finish(OWNER).unwrap();
    world.start();
    world.hear(&mut peer);
    world.say(&mut peer, b"HTTP/1.1 2");
    drop(peer);
    assert!(world.finish(OWNER).is_err());
    assert!(world.try_accept().is_none());
}

#[test]
fn kept_connections_are_few_and_not_forever() {
    let mut world = World::new();
    let count = IDLE_CONNECTIONS_MAX as u64 + 2;
    let mut peers = Vec::new();
    for owner in 0..count {
        world.start_for(owner);
        let mut peer = world.accept();
        world.hear(&mut peer);
        peers.push(peer);
    }
    for (owner, peer) in peers.iter_mut().enumerate() {
        world.say(peer, OK.as_bytes());
        world.finish(owner as u64).unwrap();
    }
    assert_eq!(world.net.counts(), (0, IDLE_CONNECTIONS_MAX));
    world.pass(IDLE_CONNECTION_MS - 1);
    assert_eq!(world.net.counts(), (0, IDLE_CONNECTIONS_MAX));
    assert_eq!(world.net.next_deadline(world.now_ms), Some(world.now_ms + 1));
    world.pass(1);
    assert_eq!(world.net.counts(), (0, 0));
    assert_eq!(world.net.next_deadline(world.now_ms), None);
}

#[test]
fn silence_is_a_failure_and_a_slow_answer_is_not() {
    let mut world = World::new();
    world.start();
    let mut peer = world.accept();
    world.hear(&mut peer);
    for piece in OK.as_bytes().chunks(10) {
        world.pass(IDLE_MS - 1);
        world.say(&mut peer, piece);
        let before = world.told[&OWNER].end.is_some();
        assert!(!before);
        for _ in 0..3 {
            world.turn();
        }
    }
    world.finish(OWNER).unwrap();

    world.start();
    world.hear(&mut peer);
    world.pass(IDLE_MS - 1);
    assert!(world.told[&OWNER].end.is_none());
    assert!(world.net.next_deadline(world.now_ms).is_some());
    world.pass(1);
    let failure = world.finish(OWNER).unwrap_err();
    let text = failure.to_string();
    assert!(text.ends_with("sent nothing for 300 s"), "{text}");
    world.until("the client leaves", |_| peer.is_left());
}

#[test]
fn a_handshake_that_never_ends_is_a_failure() {
    let mut world = World::tls(true);
    world.start();
    let peer = world.accept();
    world.turn();
    world.pass(CONNECT_MS);
    let failure = world.finish(OWNER).unwrap_err();
    assert!(
        matches!(failure, NetFailure::TimedOut { waiting: Waiting::Connection, .. }),
        "{failure}"
    );
    drop(peer);
}

#[test]
fn a_refused_connection_names_its_address() {
    let mut world = World::new();
    let url = Url::parse("http://localhost:1/").unwrap();
    let call = Call { url, ..world.call("localhost") };
    world.told.insert(OWNER, Told::default());
    world.net.start(&mut world.poller, 0, call, OWNER).unwrap();
    let failure = world.finish(OWNER).unwrap_err();
    assert_eq!(failure.to_string(), "connect to localhost:1: connection refused");
    assert_eq!(world.net.counts(), (0, 0));
}

#[test]
fn a_name_is_looked_up_by_a_child() {
    let mut world = World::new();
    let call = world.call("model.example");
    world.told.insert(OWNER, Told::default());
    world.net.start(&mut world.poller, world.now_ms, call, OWNER).unwrap();
    let mut peer = world.accept();
    world.hear(&mut peer);
    world.say(&mut peer, OK.as_bytes());
    world.finish(OWNER).unwrap();

    let mut world = World::new();
    world.net = Net::new(Trust::default(), |_| resolver("echo '!no such name'"));
    let call = world.call("model.example");
    for owner in [1, 2] {
        world.told.insert(owner, Told::default());
        world.net.start(&mut world.poller, world.now_ms, call.clone(), owner).unwrap();
    }
    for owner in [1, 2] {
        let failure = world.finish(owner).unwrap_err();
        assert_eq!(failure.to_string(), "look up model.example: no such name");
    }
}

#[test]
fn a_lookup_that_hangs_ends_with_the_exchange() {
    let mut world = World::new();
    world.net = Net::new(Trust::default(), |_| resolver("exec sleep 1000"));
    let call = Call { connect_ms: 3000, ..world.call("model.example") };
    world.told.insert(OWNER, Told::default());
    world.net.start(&mut world.poller, world.now_ms, call, OWNER).unwrap();
    world.turn();
    world.pass(3000);
    let failure = world.finish(OWNER).unwrap_err();
    let text = failure.to_string();
    assert!(text.ends_with(": no answer within 3 s"), "{text}");
}

#[test]
fn an_exchange_that_is_cancelled_is_never_heard_of() {
    let mut world = World::new();
    let id = world.start();
    let mut peer = world.accept();
    world.hear(&mut peer);
    world.say(&mut peer, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
    world.until("its head", |world| world.told[&OWNER].status == 200);
    world.net.cancel(id);
    assert_eq!(world.net.counts(), (0, 0));
    world.until("the client leaves", |_| peer.is_left());
    assert!(world.told[&OWNER].end.is_none());
    // The id is of nobody, also when the slot has another user.
    let other = world.start();
    assert_ne!(id, other);
    world.net.cancel(id);
    assert_eq!(world.net.counts(), (1, 0));
}

#[test]
fn a_paused_exchange_is_not_read_and_does_not_time_out() {
    let mut world = World::new();
    let id = world.start();
    let mut peer = world.accept();
    world.hear(&mut peer);
    world.net.pause(id);
    world.say(&mut peer, OK.as_bytes());
    for _ in 0..5 {
        world.turn();
    }
    world.pass(IDLE_MS * 3);
    assert_eq!(world.told(), (0, ""));
    world.net.resume(&mut world.poller, world.now_ms, id);
    world.finish(OWNER).unwrap();
    assert_eq!(world.told(), (200, "ok"));
}

#[test]
fn a_fast_stream_goes_to_the_back_of_the_list() {
    let mut world = World::new();
    world.start();
    let mut peer = world.accept();
    world.hear(&mut peer);
    let length = 3 << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    world.say(&mut peer, head.as_bytes());
    let body = vec![b'x'; length];
    let (mut left, mut most) = (&body[..], 0);
    world.until("all of it", |world| {
        left = &left[peer.write(left)..];
        let before = world.told[&OWNER].body.len();
        world.turn();
        most = most.max(world.told[&OWNER].body.len() - before);
        world.told[&OWNER].end.is_some()
    });
    assert_eq!(world.told[&OWNER].body.len(), length);
    assert!(most <= crate::limits::NET_BUDGET_BYTES + crate::limits::NET_READ_BYTES, "{most}");
    assert!(most > crate::limits::NET_READ_BYTES, "the budget is used: {most}");
}

#[test]
fn many_events_of_one_read_are_one_piece() {
    let mut world = World::new();
    world.start();
    let mut peer = world.accept();
    world.hear(&mut peer);
    let chunks = "6\r\ndata:x\r\n".repeat(500);
    let response =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    world.say(&mut peer, response.as_bytes());
    world.finish(OWNER).unwrap();
    assert_eq!((world.told().1.len(), world.told[&OWNER].pieces_count), (3000, 1));
}

#[test]
fn a_server_of_an_unknown_authority_is_refused_with_advice() {
    let mut world = World::tls(false);
    world.start();
    let mut peer = world.accept();
    world.until("the end", |world| {
        peer.pump();
        world.told[&OWNER].end.is_some()
    });
    let text = world.finish(OWNER).unwrap_err().to_string();
    assert!(
        text.starts_with("tls with 127.0.0.1: the certificate comes from an authority we do not")
    );
    assert!(text.contains("WINDLASS_CA_FILE") && text.contains("SSL_CERT_FILE"), "{text}");
    world.until("the client leaves", |_| peer.is_left());
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let mut world = World::tls(true);
    let call = world.call("model.example");
    world.told.insert(OWNER, Told::default());
    world.net.start(&mut world.poller, world.now_ms, call, OWNER).unwrap();
    let mut peer = world.accept();
    world.until("the end", |world| {
        peer.pump();
        world.told[&OWNER].end.is_some()
    });
    let text = world.finish(OWNER).unwrap_err().to_string();
    assert!(text.contains("not valid for"), "{text}");
}

#[test]
fn a_server_without_tls_is_told_so() {
    let mut world = World::tls(true);
    world.start();
    let mut peer = world.accept();
    peer.tls = None;
    world.say(&mut peer, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let text = world.finish(OWNER).unwrap_err().to_string();
    assert!(text.contains("does not seem to speak TLS"), "{text}");
    world.start();
    drop(world.accept());
    let text = world.finish(OWNER).unwrap_err().to_string();
    assert_eq!(text, "tls with 127.0.0.1: the server closed the connection during the handshake");
}

#[test]
fn authorities_that_cannot_be_read_fail_the_exchange() {
    let mut world = World::tls(true);
    let trust = Trust { ca_file: Some("/none".into()), ..Trust::default() };
    world.net = Net::new(trust, |_| resolver("exit 1"));
    world.start();
    let text = world.finish(OWNER).unwrap_err().to_string();
    assert_eq!(text, "tls with 127.0.0.1: WINDLASS_CA_FILE: read /none: no such file or directory");
}

#[test]
fn a_request_that_cannot_be_written_does_not_start() {
    let mut world = World::new();
    let mut call = world.call("127.0.0.1");
    call.headers.push(("a b".into(), String::new()));
    let failure = world.net.start(&mut world.poller, 0, call, OWNER).unwrap_err();
    let text = failure.to_string();
    assert!(text.ends_with("the request cannot carry the header `a b`"), "{text}");
    assert_eq!(world.net.counts(), (0, 0));
}

#[test]
fn exchanges_over_the_bound_do_not_start_and_kept_connections_make_room() {
    let mut world = World::new();
    world.net = Net::new(Trust::default(), |_| resolver("exec sleep 1000"));
    let call = Call { connect_ms: CONNECT_MS, ..world.call("model.example") };
    world.start();
    let mut peer = world.accept();
    world.hear(&mut peer);
    world.say(&mut peer, OK.as_bytes());
    world.finish(OWNER).unwrap();
    assert_eq!(world.net.counts(), (0, 1));
    for _ in 0..EXCHANGES_MAX {
        world.net.start(&mut world.poller, 0, call.clone(), 1).unwrap();
    }
    assert_eq!(world.net.counts(), (EXCHANGES_MAX, 0));
    let full = world.net.start(&mut world.poller, 0, call, 1);
    assert_eq!(full, Err(NetFailure::Full));
}

#[test]
fn bodies_of_a_wrong_length_fail_the_exchange() {
    let mut world = World::new();
    world.body_bytes = 10;
    world.start();
    world.body_bytes = 5;
    let failure = world.finish(OWNER).unwrap_err();
    let text = failure.to_string();
    assert!(text.ends_with("the request body is not of its announced length"), "{text}");
}

/// Reads what the proxy is asked, up to its end.
fn question(world: &mut World, peer: &mut Peer) -> String {
    let mut heard = Vec::new();
    world.until("a question", |_| {
        let mut byte = [0];
        while !heard.ends_with(b"\r\n\r\n") && peer.socket.read(&mut byte).is_ok_and(|n| n > 0) {
            heard.push(byte[0]);
        }
        heard.ends_with(b"\r\n\r\n")
    });
    String::from_utf8(heard).unwrap()
}

/// Says something on the socket itself, without TLS.
fn say_plainly(world: &mut World, peer: &mut Peer, bytes: &[u8]) {
    let tls = peer.tls.take();
    world.say(peer, bytes);
    peer.tls = tls;
}

#[test]
fn tls_goes_through_a_tunnel_that_the_proxy_opens() {
    let mut world = World::proxied_tls("http://user:secret@{}");
    world.body_bytes = 100_000;
    world.start_far();
    let mut peer = world.accept();
    let asked = question(&mut world, &mut peer);
    assert_eq!(
        asked,
        "CONNECT model.example:443 HTTP/1.1\r\nhost: model.example:443\r\n\
         proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n"
    );
    for byte in b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n" {
        say_plainly(&mut world, &mut peer, &[*byte]);
        world.turn();
    }
    // What follows is for the server alone.
    assert!(world.hear(&mut peer) == expected_body(100_000));
    world.say(&mut peer, OK.as_bytes());
    world.finish(OWNER).unwrap();
    assert_eq!(world.told(), (200, "ok"));
    assert_eq!(world.net.counts(), (0, 1));
    // The tunnel is kept and used again.
    world.start_far();
    assert!(world.hear(&mut peer) == expected_body(100_000));
    world.say(&mut peer, OK.as_bytes());
    world.finish(OWNER).unwrap();
    // It died with the next request: another is asked for.
    world.start_far();
    world.hear(&mut peer);
    drop(peer);
    let mut second = world.accept();
    assert_eq!(question(&mut world, &mut second), asked);
    say_plainly(&mut world, &mut second, b"HTTP/1.1 200 OK\r\n\r\n");
    assert!(world.hear(&mut second) == expected_body(100_000));
    world.say(&mut second, OK.as_bytes());
    world.finish(OWNER).unwrap();
}

#[test]
fn a_plain_request_is_relayed_with_its_whole_url() {
    let mut world = World::new();
    world.proxy("http://user:secret@{}");
    world.start_far();
    let mut peer = world.accept();
    let asked = question(&mut world, &mut peer);
    assert!(asked.starts_with("GET http://model.example/v1 HTTP/1.1\r\nhost: model.example\r\n"));
    assert!(asked.contains("proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{asked}");
    world.say(&mut peer, OK.as_bytes());
    world.finish(OWNER).unwrap();
    assert_eq!(world.told(), (200, "ok"));
}

#[test]
fn the_name_of_the_server_is_looked_up_by_the_proxy() {
    for mut world in [World::new(), World::proxied_tls("{}")] {
        world.net = Net::new(Trust::default(), |_| panic!("nothing is looked up here"));
        world.proxy("{}");
        world.start_far();
        world.accept();
    }
}

#[test]
fn servers_of_this_machine_are_reached_directly() {
    let mut world = World::tls(true);
    world.proxy("http://127.0.0.1:1");
    world.start();
    let mut peer = world.accept();
    world.hear(&mut peer);
    world.say(&mut peer, OK.as_bytes());
    world.finish(OWNER).unwrap();
}

/// What becomes of an exchange whose proxy answers this, then leaves if `leaves`.
fn check_blocked(value: &str, answer: &str, leaves: bool) -> String {
    let mut world = World::proxied_tls(value);
    world.start_far();
    let mut peer = world.accept();
    question(&mut world, &mut peer);
    say_plainly(&mut world, &mut peer, answer.as_bytes());
    let held = (!leaves).then_some(peer);
    let failure = world.finish(OWNER).unwrap_err();
    drop(held);
    assert_eq!(world.net.counts(), (0, 0));
    let text = failure.to_string();
    assert!(!text.contains("secret"), "{text}");
    text.replace(&format!("127.0.0.1:{}", world.port()), "PROXY")
}

#[test]
fn a_proxy_that_opens_no_tunnel_is_named() {
    assert_eq!(
        check_blocked("{}", "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n", false),
        "the proxy PROXY wants credentials (status 407); name them in its address, as in \
         http://user:password@PROXY"
    );
    assert_eq!(
        check_blocked("http://user:secret@{}", "HTTP/1.1 407 No\r\n\r\n", false),
        "the proxy PROXY did not accept the credentials in its address (status 407)"
    );
    assert_eq!(
        check_blocked("{}", "HTTP/1.1 502 No\r\nContent-Length: 9\r\n\r\nforbidden", true),
        "the proxy PROXY opens no way to https://model.example: it answered 502"
    );
    let connect = "connect by the proxy PROXY: ";
    for (answer, why) in [
        ("", "it closed the connection without an answer"),
        ("HTTP/1.1 2", "it closed the connection without an answer"),
        (
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "its answer makes no sense: the server spoke before it was asked",
        ),
    ] {
        assert_eq!(check_blocked("{}", answer, true), format!("{connect}{why}"));
    }
    let text = check_blocked("{}", "SSH-2.0\r\n\r\n", false);
    assert!(text.contains("its answer makes no sense: the response is not HTTP/1.1"), "{text}");
    let text = check_blocked("{}", "HTTP/1.1 200 OK\r\n\r\n", true);
    assert_eq!(
        text,
        "tls with model.example: the server closed the connection during the handshake"
    );
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named() {
    let mut world = World::proxied_tls("http://127.0.0.1:1");
    world.start_far();
    let text = world.finish(OWNER).unwrap_err().to_string();
    assert_eq!(text, "connect by the proxy 127.0.0.1:1: connection refused");

    let mut world = World::new();
    world.net = Net::new(Trust::default(), |_| resolver("echo '!no such name'"));
    world.proxy("proxy.example:3128");
    world.start_far();
    let text = world.finish(OWNER).unwrap_err().to_string();
    assert_eq!(text, "connect by the proxy proxy.example:3128: look it up: no such name");

    let mut world = World::proxied_tls("{}");
    world.start_far();
    let mut peer = world.accept();
    question(&mut world, &mut peer);
    assert_eq!(world.net.next_deadline(world.now_ms), Some(world.now_ms + CONNECT_MS));
    world.pass(CONNECT_MS);
    let text = world.finish(OWNER).unwrap_err().to_string();
    assert!(text.ends_with(": no answer within 10 s"), "{text}");
    world.until("the client leaves", |_| peer.socket.read(&mut [0]).is_ok());
}

#[test]
fn a_proxy_of_another_kind_is_refused() {
    let mut world = World::new();
    world.proxy("socks5://{}");
    let call = world.call("model.example");
    let failure = world.net.start(&mut world.poller, 0, call, OWNER).unwrap_err();
    assert!(failure.to_string().starts_with("all_proxy names a SOCKS proxy"), "{failure}");
    assert_eq!(world.net.counts(), (0, 0));
}
