//! The question by which a proxy is asked for a tunnel, and what it answers, without a socket.
//!
//! Written by hand, since the exchange has no state for it: after the answer the connection is the
//! server's, and what comes on it is not HTTP but TLS.

use ureq_proto::client::MAX_RESPONSE_HEADERS;
use ureq_proto::parser;

use super::{HttpError, is_early, quoted};
use crate::limits::HTTP_HEAD_BYTES_MAX;
use crate::wire::url::Url;

/// What a proxy answers to `CONNECT`, as it comes in.
#[derive(Default, Debug)]
pub struct TunnelAnswer {
    pending: Vec<u8>,
    /// Everything that came, heads that say nothing included. At most `HTTP_HEAD_BYTES_MAX`.
    taken_bytes: usize,
}

/// A whole answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tunnel {
    /// What comes from now on is the server's.
    Open,
    Refused {
        status: u16,
    },
}

/// The request for a tunnel to the server of `url`.
pub fn request(url: &Url, authorization: Option<&str>) -> Vec<u8> {
    let host = url.host();
    let server = match host.contains(':') {
        true => format!("[{host}]:{}", url.port()),
        false => format!("{host}:{}", url.port()),
    };
    let mut text = format!("CONNECT {server} HTTP/1.1\r\nhost: {server}\r\n");
    if let Some(authorization) = authorization {
        text.push_str(&format!("proxy-authorization: {authorization}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

impl TunnelAnswer {
    /// Takes the next piece; gives the answer once it is whole.
    ///
    /// The server speaks only after us, so bytes behind an answer that opens the tunnel are an
    /// error.
    pub fn push(&mut self, piece: &[u8]) -> Result<Option<Tunnel>, HttpError> {
        if piece.len() > HTTP_HEAD_BYTES_MAX - self.taken_bytes {
            return Err(HttpError::HeadTooLong);
        }
        self.taken_bytes += piece.len();
        self.pending.extend_from_slice(piece);
        // Only whole lines are looked at, so that cuts change nothing; and only if there is a new
        // one.
        if !piece.contains(&b'\n') {
            return Ok(None);
        }
        loop {
            let lines = self.pending.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let parsed = parser::try_parse_response::<MAX_RESPONSE_HEADERS>(&self.pending[..lines]);
            let parsed = parsed
                .map_err(|error| HttpError::HeadMalformed { why: quoted(&error.to_string()) })?;
            let Some((used, response)) = parsed else { return Ok(None) };
            let status = response.status();
            if is_early(status) {
                self.pending.drain(..used);
                continue;
            }
            return match status.is_success() {
                true if used < self.pending.len() => Err(HttpError::SpokeFirst),
                true => Ok(Some(Tunnel::Open)),
                false => Ok(Some(Tunnel::Refused { status: status.as_u16() })),
            };
        }
    }

    /// The proxy closed the connection before its answer was whole.
    pub fn close(&self) -> HttpError {
        match self.pending.is_empty() {
            true => HttpError::ClosedBeforeHead,
            false => HttpError::ClosedInHead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, cut_bytes: usize) -> Result<Option<Tunnel>, HttpError> {
        let mut answer = TunnelAnswer::default();
        for piece in text.as_bytes().chunks(cut_bytes) {
            match answer.push(piece)? {
                None => {}
                told => return Ok(told),
            }
        }
        Ok(None)
    }

    /// Any cut gives the same answer.
    fn check(text: &str, expected: Result<Option<Tunnel>, HttpError>) {
        for cut_bytes in [1, 2, 3, 7, text.len().max(1)] {
            assert_eq!(read(text, cut_bytes), expected, "{text:?} cut every {cut_bytes} bytes");
        }
    }

    #[test]
    fn a_tunnel_is_asked_for_by_host_and_port() {
        let ask = |url: &str, authorization| {
            String::from_utf8(request(&Url::parse(url).unwrap(), authorization)).unwrap()
        };
        assert_eq!(
            ask("https://a.example/v1?x=y", None),
            "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n"
        );
        assert_eq!(
            ask("https://[fd00::1]:8443/", Some("Basic eDp5")),
            "CONNECT [fd00::1]:8443 HTTP/1.1\r\nhost: [fd00::1]:8443\r\n\
             proxy-authorization: Basic eDp5\r\n\r\n"
        );
    }

    #[test]
    fn answers_may_be_cut_anywhere() {
        check("HTTP/1.1 200 Connection established\r\n\r\n", Ok(Some(Tunnel::Open)));
        check("HTTP/1.0 200 OK\r\nVia: x\r\n\r\n", Ok(Some(Tunnel::Open)));
        check("HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 204 Yes\r\n\r\n", Ok(Some(Tunnel::Open)));
        for status in [101, 301, 407, 502] {
            check(
                &format!("HTTP/1.1 {status} No\r\nA: b\r\n\r\n"),
                Ok(Some(Tunnel::Refused { status })),
            );
        }
        check("HTTP/1.1 200 OK\r\n", Ok(None));
        check("", Ok(None));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let error = read("SSH-2.0-OpenSSH\r\n\r\n", 100).unwrap_err();
        assert!(matches!(error, HttpError::HeadMalformed { .. }), "{error}");
        let spoke = read("HTTP/1.1 200 OK\r\n\r\nhello", 100);
        assert_eq!(spoke, Err(HttpError::SpokeFirst));
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HTTP_HEAD_BYTES_MAX));
        assert_eq!(read(&endless, 1000), Err(HttpError::HeadTooLong));
        let early = "HTTP/1.1 102 Wait\r\n\r\n".repeat(HTTP_HEAD_BYTES_MAX / 20);
        assert_eq!(read(&early, 1000), Err(HttpError::HeadTooLong));
        let mut answer = TunnelAnswer::default();
        assert_eq!(answer.close(), HttpError::ClosedBeforeHead);
        answer.push(b"HTTP").unwrap();
        assert_eq!(answer.close(), HttpError::ClosedInHead);
    }
}
