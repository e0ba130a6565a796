//! What an exchange makes of answers, whole and broken.

use super::*;

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
fn bodies_of_a_wrong_length_fail_the_exchange() {
    let mut world = World::new();
    world.body_bytes = 10;
    world.start();
    world.body_bytes = 5;
    let failure = world.finish(OWNER).unwrap_err();
    let text = failure.to_string();
    assert!(text.ends_with("the request body is not of its announced length"), "{text}");
}
