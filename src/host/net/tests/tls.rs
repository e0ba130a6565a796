//! Whom TLS trusts, and what is said where it does not.

use super::*;

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
