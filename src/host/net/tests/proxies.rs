//! Exchanges through proxies.

use super::*;

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
