use super::*;

fn exchange(method: Method, headers: &[(&str, &str)], body_bytes: u64) -> Exchange {
    try_exchange(method, headers, body_bytes).unwrap()
}

fn try_exchange(
    method: Method,
    headers: &[(&str, &str)],
    body_bytes: u64,
) -> Result<Exchange, HttpError> {
    let url = Url::parse("http://host:8080/v1/responses?a=b").unwrap();
    let headers: Vec<_> =
        headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Exchange::new(method, &url, &headers, body_bytes)
}

/// Pulls the whole request, whose body is `x`es in pieces of `piece_bytes`.
fn ask(exchange: &mut Exchange, body_bytes: u64, piece_bytes: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    while !exchange.is_sent() {
        let before = sent.len();
        exchange
            .pull_request(&mut sent, &mut |offset, out| {
                let left = usize::try_from(body_bytes - offset).unwrap();
                out.resize(out.len() + left.min(piece_bytes), b'x');
            })
            .unwrap();
        assert!(sent.len() - before < HTTP_REQUEST_PIECE_BYTES + 1000 + piece_bytes);
    }
    sent
}

/// What an exchange told: status, body, and how it ended.
type Told = (u16, String, Result<bool, HttpError>);

fn hear(mut exchange: Exchange, pieces: &[&[u8]]) -> Told {
    let (mut status, mut body, mut ended) = (0, Vec::new(), false);
    let mut out = [0; 16];
    let mut run = || -> Result<(), HttpError> {
        for piece in pieces {
            let mut input = *piece;
            while let Some(got) = exchange.pull(&mut input, &mut out)? {
                match got {
                    Got::Head(head) => status = head.status(),
                    Got::Body(made) => body.extend_from_slice(&out[..made]),
                    Got::End => {
                        ended = true;
                        assert!(input.is_empty(), "nothing follows in these tests");
                    }
                }
            }
        }
        if !ended { exchange.close() } else { Ok(()) }
    };
    let end = run().map(|()| exchange.is_reusable());
    (status, String::from_utf8(body).unwrap(), end)
}

fn asked(body_bytes: u64) -> Exchange {
    let method = if body_bytes > 0 { Method::Post } else { Method::Get };
    let mut exchange = exchange(method, &[], body_bytes);
    ask(&mut exchange, body_bytes, 10);
    exchange
}

fn check(response: &str, status: u16, body: &str, end: Result<bool, HttpError>) {
    let response = response.as_bytes();
    let expected = (status, body.to_owned(), end);
    for cut in 0..=response.len() {
        let (head, tail) = response.split_at(cut);
        assert_eq!(hear(asked(0), &[head, tail]), expected, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = response.chunks(1).collect();
    assert_eq!(hear(asked(3), &bytes), expected, "byte by byte");
}

#[test]
fn a_proxy_is_asked_for_the_whole_url() {
    let url = Url::parse("http://host:8080/v1/responses?a=b").unwrap();
    let headers = [("proxy-authorization".to_owned(), "Basic eDp5".to_owned())];
    let mut exchange = Exchange::new(Method::Get, &url, &headers, 0).unwrap().by_proxy(&url);
    let sent = String::from_utf8(ask(&mut exchange, 0, 1)).unwrap();
    assert!(
        sent.starts_with("GET http://host:8080/v1/responses?a=b HTTP/1.1\r\nhost: host:8080\r\n"),
        "{sent}"
    );
    assert!(sent.contains("proxy-authorization: Basic eDp5\r\n"), "{sent}");
}

#[test]
fn a_request_has_its_headers_and_its_length() {
    let mut get = exchange(Method::Get, &[("Accept", "text/event-stream")], 0);
    assert_eq!(
        String::from_utf8(ask(&mut get, 0, 1)).unwrap(),
        "GET /v1/responses?a=b HTTP/1.1\r\nhost: host:8080\r\naccept: text/event-stream\r\n\r\n"
    );
    let mut post = exchange(Method::Post, &[("x-a", "1"), ("x-a", "2")], 5);
    assert_eq!(
        String::from_utf8(ask(&mut post, 5, 2)).unwrap(),
        "POST /v1/responses?a=b HTTP/1.1\r\ncontent-length: 5\r\nhost: host:8080\r\n\
         x-a: 1\r\nx-a: 2\r\n\r\nxxxxx"
    );
    let mut empty = exchange(Method::Post, &[("host", "other")], 0);
    assert_eq!(
        String::from_utf8(ask(&mut empty, 0, 2)).unwrap(),
        "POST /v1/responses?a=b HTTP/1.1\r\ncontent-length: 0\r\nhost: other\r\n\r\n"
    );
}

#[test]
fn addresses_and_usual_ports_make_a_proper_host_header() {
    for (url, host) in
        [("https://h/", "h"), ("http://[::1]:81/", "[::1]:81"), ("http://[::1]/", "[::1]")]
    {
        let url = Url::parse(url).unwrap();
        let mut exchange = Exchange::new(Method::Get, &url, &[], 0).unwrap();
        let sent = String::from_utf8(ask(&mut exchange, 0, 1)).unwrap();
        assert_eq!(sent, format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    }
}

#[test]
fn a_large_body_comes_in_pieces() {
    let mut post = exchange(Method::Post, &[], 300_000);
    let sent = ask(&mut post, 300_000, 7_001);
    assert_eq!(sent.iter().filter(|&&byte| byte == b'x').count(), 300_000);
}

#[test]
fn a_body_of_another_length_than_announced_is_refused() {
    let mut post = exchange(Method::Post, &[], 5);
    let short = post.pull_request(&mut Vec::new(), &mut |_, _| {});
    assert_eq!(short, Err(HttpError::BodyLength));
    let mut post = exchange(Method::Post, &[], 5);
    let long = post.pull_request(&mut Vec::new(), &mut |_, out| out.extend_from_slice(b"123456"));
    assert_eq!(long, Err(HttpError::BodyLength));
}

#[test]
fn headers_that_would_break_the_request_are_refused_without_their_value() {
    for name in ["a b", "", "x\n", "Content-Length", "transfer-encoding", "expect"] {
        let refused = try_exchange(Method::Get, &[(name, "1")], 0).unwrap_err();
        assert!(matches!(refused, HttpError::Header { .. }), "{name}");
    }
    let refused = try_exchange(Method::Get, &[("authorization", "Bearer s\r\nx: y")], 0);
    let text = refused.unwrap_err().to_string();
    assert_eq!(text, "the request cannot carry the header `authorization`");
    let long = "v".repeat(HTTP_REQUEST_HEAD_BYTES_MAX);
    let refused = try_exchange(Method::Get, &[("a", &long)], 0).unwrap_err();
    assert_eq!(refused, HttpError::RequestHeadTooLong);
    let fits = "v".repeat(HTTP_REQUEST_HEAD_BYTES_MAX - 300);
    let mut sent = Vec::new();
    let mut exchange = exchange(Method::Get, &[("a", &fits)], 0);
    exchange.pull_request(&mut sent, &mut |_, _| {}).unwrap();
    assert!(exchange.is_sent() && sent.len() > fits.len());
}

#[test]
fn any_cut_of_a_response_gives_the_same_body() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", Ok(true));
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n1;ext=1\r\n \r\n14\r\nworld, and some more\r\n0\r\nX-A: b\r\nY: z\r\n\r\n",
        200,
        "hello world, and some more",
        Ok(true),
    );
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", Ok(true));
    check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", Ok(true));
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
        200,
        "x",
        Ok(false),
    );
    check("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", Ok(false));
    check("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 500, "no", Ok(true));
}

#[test]
fn the_close_ends_a_body_without_length() {
    check("HTTP/1.1 200 OK\r\n\r\nhello until the close", 200, "hello until the close", Ok(false));
    check("HTTP/1.1 200 OK\r\n\r\n", 200, "", Ok(false));
}

#[test]
fn early_heads_say_nothing() {
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        "ok",
        Ok(true),
    );
}

#[test]
fn a_close_in_the_middle_is_an_error() {
    check("", 0, "", Err(HttpError::ClosedBeforeHead));
    check("HTTP/1.1 200 O", 0, "", Err(HttpError::ClosedInHead));
    let closed = || Err(HttpError::ClosedInBody);
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", 200, "hell", closed());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}5\r\nhell"), 200, "hell", closed());
    check(&format!("{chunked}5\r\nhello"), 200, "hello", closed());
    check(&format!("{chunked}5\r\nhello\r\n"), 200, "hello", closed());
    check(&format!("{chunked}5\r\nhello\r\n0\r"), 200, "hello", closed());
    check(chunked, 200, "", closed());
}

#[test]
fn the_last_chunk_is_enough() {
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
        200,
        "ok",
        Ok(false),
    );
}

#[test]
fn broken_framing_is_an_error() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for broken in ["zz\r\n", "5\r\nhelloworld\r\n", "fffffffffffffffff\r\n", "\r\n"] {
        let (status, _, end) = hear(asked(0), &[chunked.as_bytes(), broken.as_bytes()]);
        assert_eq!(status, 200);
        assert!(matches!(end, Err(HttpError::FramingMalformed { .. })), "{broken:?}: {end:?}");
    }
}

#[test]
fn what_is_not_http_is_an_error() {
    for garbage in ["SSH-2.0-x\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "\0\n"] {
        let (_, _, end) = hear(asked(0), &[garbage.as_bytes()]);
        assert!(matches!(end, Err(HttpError::HeadMalformed { .. })), "{garbage:?}: {end:?}");
    }
}

#[test]
fn a_redirect_names_its_target() {
    let to = |to: &str| HttpError::Redirected { status: 307, to: to.to_owned() };
    check(
        "HTTP/1.1 307 Moved\r\nLocation: https://else/\r\nContent-Length: 0\r\n\r\n",
        0,
        "",
        Err(to("https://else/")),
    );
    let long = "y".repeat(QUOTED_BYTES_MAX + 50);
    let (_, _, end) =
        hear(asked(0), &[format!("HTTP/1.1 307 M\r\nLocation: {long}\r\n\r\n").as_bytes()]);
    assert_eq!(end, Err(to(&format!("{}…", "y".repeat(QUOTED_BYTES_MAX)))));
    // Without a place to go it is an answer like any other.
    check("HTTP/1.1 304 Not Modified\r\nLocation: a\r\n\r\n", 304, "", Ok(true));
    check("HTTP/1.1 300 Choose\r\nContent-Length: 1\r\n\r\nx", 300, "x", Ok(false));
}

#[test]
fn an_upgrade_nobody_asked_for_is_an_error() {
    check("HTTP/1.1 101 Switch\r\nUpgrade: h2c\r\n\r\n", 0, "", Err(HttpError::Upgraded));
}

#[test]
fn heads_over_the_bound_are_refused() {
    let endless = vec![b'a'; HTTP_HEAD_BYTES_MAX + 1];
    let head = [&b"HTTP/1.1 200 OK\r\nX: "[..], &endless].concat();
    assert_eq!(hear(asked(0), &[&head]).2, Err(HttpError::HeadTooLong));
    let halves = head.split_at(9_000);
    assert_eq!(hear(asked(0), &[halves.0, halves.1]).2, Err(HttpError::HeadTooLong));
    let early = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n".repeat(HTTP_HEAD_BYTES_MAX / 30);
    assert_eq!(hear(asked(0), &[early.as_bytes()]).2, Err(HttpError::HeadTooLong));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_RESPONSE_HEADERS + 1));
    assert!(matches!(hear(asked(0), &[many.as_bytes()]).2, Err(HttpError::HeadMalformed { .. })));
}

#[test]
fn endless_framing_is_refused() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let endless = "1".repeat(HTTP_FRAMING_BYTES_MAX + 1);
    let trailers = format!("0\r\n{}", "A: b\r\n".repeat(HTTP_FRAMING_BYTES_MAX / 6 + 1));
    for framing in [endless, trailers] {
        let whole = hear(asked(0), &[chunked.as_bytes(), framing.as_bytes()]);
        assert_eq!(whole.2, Err(HttpError::FramingTooLong));
        let bytes: Vec<&[u8]> = framing.as_bytes().chunks(1).collect();
        let cut = hear(asked(0), &[&[chunked.as_bytes()][..], &bytes].concat());
        assert_eq!(cut.2, Err(HttpError::FramingTooLong));
    }
}

#[test]
fn a_server_that_speaks_first_is_refused() {
    let exchange = exchange(Method::Get, &[], 0);
    let told = hear(exchange, &[b"HTTP/1.1 200 OK\r\n\r\n"]);
    assert_eq!(told.2, Err(HttpError::SpokeFirst));
}

#[test]
fn an_answer_before_the_body_is_sent_ends_the_sending() {
    let mut exchange = exchange(Method::Post, &[], 100_000);
    let mut sent = Vec::new();
    exchange.pull_request(&mut sent, &mut |_, out| out.extend_from_slice(b"first")).unwrap();
    let mut early = &b"HTTP/1.1 100 Continue\r\n\r\n"[..];
    assert!(exchange.pull(&mut early, &mut []).unwrap().is_none());
    assert!(!exchange.is_sent());
    let told = hear(exchange, &[b"HTTP/1.1 413 Too ", b"Large\r\nContent-Length: 2\r\n\r\nno"]);
    assert_eq!(told, (413, "no".to_owned(), Ok(false)));
}

#[test]
fn headers_of_a_response_are_found_by_name() {
    let mut exchange = asked(0);
    let mut input =
        &b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nX-Codex-Primary-Used-Percent: 12.5\r\n\
        X-Odd: \xff\r\nContent-Length: 0\r\n\r\n"[..];
    let Ok(Some(Got::Head(head))) = exchange.pull(&mut input, &mut []) else { panic!("no head") };
    assert_eq!(head.status(), 429);
    assert_eq!(head.header("retry-after"), Some("7"));
    assert_eq!(head.header("x-codex-primary-used-percent"), Some("12.5"));
    assert_eq!(head.header("x-odd"), None);
    assert_eq!(head.headers().count(), 3);
}

#[test]
fn bytes_after_the_end_are_left() {
    let mut exchange = asked(0);
    let mut input = &b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1"[..];
    let mut out = [0; 100];
    while !matches!(exchange.pull(&mut input, &mut out).unwrap(), Some(Got::End)) {}
    assert_eq!(input, b"HTTP/1.1");
}

#[test]
fn the_fuzz_body_holds_for_its_seeds() {
    for seed in [
        &b"\x05HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
        b"\x07HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabcHTTP",
        b"\x02HTTP/1.1 103 E\r\n\r\nHTTP/1.0 200 OK\r\n\r\nbody",
        b"\x03HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\n\n\r\n",
        b"\x01HTTP/1.1 200 OK\r\n ",
        b"\x01\r\n\r\nHTTP/1.1 200\n\nx",
        b"",
    ] {
        fuzz_cuts(seed);
    }
}
