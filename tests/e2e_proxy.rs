//! Requests that go through a proxy, as the environment says.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use support::provider::{Provider, fixture};
use support::reply::Reply;
use support::run::{Call, Ended};
use support::{DEADLINE, World};

/// A proxy that reaches one server, whatever name it is asked for.
struct Proxy {
    listener: TcpListener,
    server_port: u16,
    pairs: Vec<Pair>,
    /// The heads that it was asked with.
    asked: Vec<String>,
    /// What it answers in place of doing what it is asked.
    refuses: Option<&'static str>,
}

struct Pair {
    client: TcpStream,
    server: Option<TcpStream>,
    heard: Vec<u8>,
}

impl Proxy {
    fn before(world: &World) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server_port = world.provider.port();
        Proxy { listener, server_port, pairs: Vec::new(), asked: Vec::new(), refuses: None }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    fn serve(&mut self) {
        if let Ok((client, _)) = self.listener.accept() {
            client.set_nonblocking(true).unwrap();
            self.pairs.push(Pair { client, server: None, heard: Vec::new() });
        }
        for pair in &mut self.pairs {
            match &mut pair.server {
                Some(server) => {
                    pass(&mut pair.client, server);
                    pass(server, &mut pair.client);
                }
                None => self.asked.extend(pair.begin(self.server_port, self.refuses)),
            }
        }
    }
}

impl Pair {
    /// Hears the first head, and sees to it that what follows reaches the server.
    fn begin(&mut self, server_port: u16, refuses: Option<&str>) -> Option<String> {
        let mut byte = [0];
        while !self.heard.ends_with(b"\r\n\r\n") {
            match self.client.read(&mut byte) {
                Ok(1) => self.heard.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(std::mem::take(&mut self.heard)).unwrap();
        if let Some(answer) = refuses {
            self.client.write_all(answer.as_bytes()).unwrap();
            return Some(head);
        }
        let mut server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
        server.set_nonblocking(true).unwrap();
        if head.starts_with("CONNECT ") {
            self.client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        } else {
            server.write_all(head.as_bytes()).unwrap();
        }
        self.server = Some(server);
        Some(head)
    }
}

/// Passes on what there is; requests and answers here fit any socket's buffer.
fn pass(from: &mut TcpStream, to: &mut TcpStream) {
    let mut piece = [0; 65_536];
    match from.read(&mut piece) {
        Ok(count) => to.write_all(&piece[..count]).unwrap_or_default(),
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset),
            "{error}"
        ),
    }
}

/// Runs a call while the proxy is served.
fn run(world: &mut World, proxy: &mut Proxy, call: Call) -> Ended {
    let mut run = world.start(call);
    let began = Instant::now();
    while !run.has_exited() {
        assert!(began.elapsed() < DEADLINE, "it does not end\n{}", run.told());
        proxy.serve();
        world.step(&mut run);
    }
    world.finish(run)
}

/// A world whose provider is far away and speaks TLS.
fn far() -> World {
    let mut world = World::new();
    world.provider = Provider::tls_as("far");
    world.set_env("WINDLASS_CA_FILE", &fixture("far.pem").to_string_lossy());
    world
}

#[test]
fn a_turn_goes_through_a_tunnel() {
    let mut world = far();
    let mut proxy = Proxy::before(&world);
    world.reply(Reply::script("echo through")).reply(Reply::message("done"));
    let call = world.call(&["--json", "hi"]).env("OPENAI_BASE_URL", "https://model.example/v1");
    let call = call.env("HTTPS_PROXY", &format!("http://user:pass@{}", proxy.address()));
    let ended = run(&mut world, &mut proxy, call);
    ended.exits(0);
    assert_eq!(ended.items("agent_message")[0]["text"], "done");
    assert_eq!(world.requests().len(), 2);
    assert_eq!(world.requests()[0].target, "/v1/responses");
    let asked = "CONNECT model.example:443 HTTP/1.1\r\nhost: model.example:443\r\n\
                 proxy-authorization: Basic dXNlcjpwYXNz\r\n\r\n";
    assert_eq!(proxy.asked, [asked], "one tunnel for both requests");
    assert!(
        world
            .requests()
            .iter()
            .all(|request| { !request.headers.contains_key("proxy-authorization") })
    );
}

#[test]
fn a_turn_without_tls_is_relayed() {
    let mut world = World::new();
    let mut proxy = Proxy::before(&world);
    world.reply(Reply::message("done"));
    let call = world.call(&["--json", "hi"]).env("OPENAI_BASE_URL", "http://model.example/v1");
    let call = call.env("http_proxy", &proxy.address());
    let ended = run(&mut world, &mut proxy, call);
    ended.exits(0);
    assert!(!ended.had_children, "nobody looks up a name");
    assert_eq!(world.requests()[0].target, "http://model.example/v1/responses");
    assert_eq!(world.requests()[0].headers["host"], "model.example");
    assert_eq!(proxy.asked.len(), 1);
}

#[test]
fn a_proxy_that_wants_credentials_is_told_once() {
    let mut world = far();
    let mut proxy = Proxy::before(&world);
    proxy.refuses = Some("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    let call = world.call(&["--json", "hi"]).env("OPENAI_BASE_URL", "https://model.example/v1");
    let call = call.env("all_proxy", &format!("http://{}", proxy.address()));
    let ended = run(&mut world, &mut proxy, call);
    ended.exits(1);
    assert_eq!(ended.types(), ["thread.started", "turn.started", "error", "turn.failed"]);
    assert!(ended.stdout.contains("wants credentials (status 407)"), "{ended}");
    assert_eq!(proxy.asked.len(), 1, "it will not be let in a second later");
}

#[test]
fn a_proxy_we_cannot_speak_to_is_refused() {
    let mut world = World::new();
    let mut proxy = Proxy::before(&world);
    let call = world.call(&["hi"]).env("OPENAI_BASE_URL", "https://model.example/v1");
    let call = call.env("ALL_PROXY", &format!("socks5h://user:secret@{}", proxy.address()));
    let ended = run(&mut world, &mut proxy, call);
    ended.exits(1);
    assert!(ended.stderr.contains("ALL_PROXY names a SOCKS proxy"), "{ended}");
    assert!(!ended.stderr.contains("secret"), "{ended}");
}

#[test]
fn a_provider_on_this_machine_needs_no_proxy() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        world.set_env(name, "http://127.0.0.1:1");
    }
    world.exec(&["hi"]).exits(0);
}
