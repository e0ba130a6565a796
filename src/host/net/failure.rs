//! What can go wrong between us and a server, in words for people.

use std::fmt;
use std::io;

use crate::wire::http::HttpError;

/// Why an exchange came to nothing. Origins are like `https://example.org`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetFailure {
    /// `EXCHANGES_MAX` exchanges are going on.
    Full,
    Resolve {
        host: String,
        why: String,
    },
    Connect {
        host: String,
        port: u16,
        why: String,
    },
    Tls {
        host: String,
        why: String,
    },
    TimedOut {
        origin: String,
        waiting: Waiting,
        after_ms: u64,
    },
    /// The variables name a proxy that we cannot speak to.
    ProxyUnusable {
        why: String,
    },
    /// The proxy could not be reached, or did not answer.
    Proxy {
        proxy: String,
        why: String,
    },
    /// The proxy opens no tunnel to the server.
    ProxyRefused {
        proxy: String,
        origin: String,
        status: u16,
        /// Credentials were sent.
        is_named: bool,
    },
    /// The connection ended before the exchange did.
    Closed {
        origin: String,
        why: String,
    },
    Redirected {
        origin: String,
        status: u16,
        to: String,
    },
    /// One side does not keep to the protocol, or to our bounds.
    Http {
        origin: String,
        error: HttpError,
    },
}

/// What was waited for when the time was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    Address,
    Connection,
    Bytes,
}

impl NetFailure {
    pub(super) fn of_http(origin: &str, error: HttpError) -> NetFailure {
        let origin = origin.to_owned();
        match error {
            HttpError::ClosedBeforeHead | HttpError::ClosedInHead | HttpError::ClosedInBody => {
                NetFailure::Closed { origin, why: error.to_string() }
            }
            HttpError::Redirected { status, to } => NetFailure::Redirected { origin, status, to },
            HttpError::Header { .. }
            | HttpError::RequestHeadTooLong
            | HttpError::RequestMalformed { .. }
            | HttpError::BodyLength
            | HttpError::HeadTooLong
            | HttpError::HeadMalformed { .. }
            | HttpError::FramingTooLong
            | HttpError::FramingMalformed { .. }
            | HttpError::SpokeFirst
            | HttpError::Upgraded => NetFailure::Http { origin, error },
        }
    }
}

impl fmt::Display for NetFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetFailure::Full => f.write_str("too many requests are being made at once"),
            NetFailure::Resolve { host, why } => write!(f, "look up {host}: {why}"),
            NetFailure::Connect { host, port, why } if host.contains(':') => {
                write!(f, "connect to [{host}]:{port}: {why}")
            }
            NetFailure::Connect { host, port, why } => {
                write!(f, "connect to {host}:{port}: {why}")
            }
            NetFailure::Tls { host, why } => write!(f, "tls with {host}: {why}"),
            NetFailure::TimedOut { origin, waiting, after_ms } => {
                let seconds = Seconds(*after_ms);
                match waiting {
                    Waiting::Address => write!(f, "look up {origin}: no answer within {seconds}"),
                    Waiting::Connection => {
                        write!(f, "connect to {origin}: no answer within {seconds}")
                    }
                    Waiting::Bytes => write!(f, "{origin} sent nothing for {seconds}"),
                }
            }
            NetFailure::ProxyUnusable { why } => f.write_str(why),
            NetFailure::Proxy { proxy, why } => write!(f, "connect by the proxy {proxy}: {why}"),
            NetFailure::ProxyRefused { proxy, status: 407, is_named: false, .. } => write!(
                f,
                "the proxy {proxy} wants credentials (status 407); name them in its address, as \
                 in http://user:password@{proxy}"
            ),
            NetFailure::ProxyRefused { proxy, status: 407, is_named: true, .. } => write!(
                f,
                "the proxy {proxy} did not accept the credentials in its address (status 407)"
            ),
            NetFailure::ProxyRefused { proxy, origin, status, .. } => {
                write!(f, "the proxy {proxy} opens no way to {origin}: it answered {status}")
            }
            NetFailure::Closed { origin, why } => write!(f, "{origin}: {why}"),
            NetFailure::Redirected { origin, status, to } => {
                let error = HttpError::Redirected { status: *status, to: to.clone() };
                write!(f, "{origin}: {error}")
            }
            NetFailure::Http { origin, error } => write!(f, "{origin}: {error}"),
        }
    }
}

/// Time for people to read, in milliseconds.
pub(super) struct Seconds(pub(super) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms % 1000 == 0 => write!(f, "{} s", ms / 1000),
            ms => write!(f, "{ms} ms"),
        }
    }
}

/// The kernel's words for an error, as our messages have them: lower case and without its number.
pub(super) fn os_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        // An abbreviation stays as it is.
        Some(first) if !letters.as_str().starts_with(|next: char| next.is_ascii_uppercase()) => {
            first.to_lowercase().chain(letters).collect()
        }
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_failed_and_why() {
        let why = || os_words(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        let connect = |host: &str| NetFailure::Connect { host: host.into(), port: 9, why: why() };
        assert_eq!(connect("127.0.0.1").to_string(), "connect to 127.0.0.1:9: connection refused");
        assert_eq!(connect("::1").to_string(), "connect to [::1]:9: connection refused");
        let timed_out = |waiting, after_ms| NetFailure::TimedOut {
            origin: "https://h".into(),
            waiting,
            after_ms,
        };
        assert_eq!(
            timed_out(Waiting::Bytes, 300_000).to_string(),
            "https://h sent nothing for 300 s"
        );
        assert_eq!(
            timed_out(Waiting::Connection, 1500).to_string(),
            "connect to https://h: no answer within 1500 ms"
        );
        assert_eq!(
            NetFailure::of_http("http://h", HttpError::Redirected { status: 307, to: "x".into() })
                .to_string(),
            "http://h: the server answered 307 and names another place, x"
        );
        let refused = |status, is_named| {
            let (proxy, origin) = ("p:1".to_owned(), "https://h".to_owned());
            NetFailure::ProxyRefused { proxy, origin, status, is_named }.to_string()
        };
        assert_eq!(refused(403, false), "the proxy p:1 opens no way to https://h: it answered 403");
        assert!(refused(407, false).ends_with("in http://user:password@p:1"));
        assert!(refused(407, true).contains("did not accept the credentials"));
        assert_eq!(
            NetFailure::of_http("http://h", HttpError::ClosedInBody).to_string(),
            "http://h: the server closed the connection before the response was complete"
        );
    }
}
