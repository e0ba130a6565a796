//! Connections: made, looked up, kept, replaced and given up.

use super::*;
use crate::limits::{EXCHANGES_MAX, IDLE_CONNECTION_MS, IDLE_CONNECTIONS_MAX};

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
