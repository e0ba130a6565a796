//! The way to a server: directly, or through a proxy.
//!
//! A proxy relays requests for `http`, which then name their whole URL; for `https` it is asked for
//! a tunnel first, and TLS is spoken with the server through it.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use super::failure::{Seconds, os_words};
use super::{Call, NetFailure};
use crate::host::poller::Readiness;
use crate::wire::http::tunnel::{self, Tunnel, TunnelAnswer};
use crate::wire::http::{Exchange, HttpError};
use crate::wire::proxy::{Proxies, Proxy};
use crate::wire::url::{Scheme, Url};

/// How a server is reached.
#[derive(Debug)]
pub(super) enum Route {
    Direct,
    Relay(Box<Proxy>),
    Tunnel(Box<Proxy>),
}

impl Route {
    pub(super) fn to(url: &Url, proxies: &Proxies) -> Result<Route, NetFailure> {
        let proxy = proxies
            .choose(url)
            .map_err(|error| NetFailure::ProxyUnusable { why: error.to_string() })?;
        Ok(match (proxy, url.scheme()) {
            (None, _) => Route::Direct,
            (Some(proxy), Scheme::Http) => Route::Relay(Box::new(proxy)),
            (Some(proxy), Scheme::Https) => Route::Tunnel(Box::new(proxy)),
        })
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        match self {
            Route::Direct => None,
            Route::Relay(proxy) | Route::Tunnel(proxy) => Some(proxy),
        }
    }

    /// The exchange as this way wants it written.
    pub(super) fn exchange(&self, call: &Call) -> Result<Exchange, NetFailure> {
        let new = |headers: &[(String, String)]| {
            Exchange::new(call.method, &call.url, headers, call.body_bytes)
                .map_err(|error| NetFailure::of_http(call.url.origin(), error))
        };
        let Route::Relay(proxy) = self else { return new(&call.headers) };
        let Some(authorization) = proxy.authorization() else {
            return Ok(new(&call.headers)?.by_proxy(&call.url));
        };
        let mut headers = call.headers.clone();
        headers.push(("proxy-authorization".to_owned(), authorization.to_owned()));
        Ok(new(&headers)?.by_proxy(&call.url))
    }

    /// The failure of a proxy that nothing came from for so long, if one is on the way.
    pub(super) fn silence(&self, after_ms: u64) -> Option<NetFailure> {
        let why = format!("no answer within {}", Seconds(after_ms));
        Some(NetFailure::Proxy { proxy: self.proxy()?.to_string(), why })
    }
}

/// A tunnel that was asked for and is not yet open.
#[derive(Debug)]
pub(super) struct Tunnelling {
    socket: TcpStream,
    question: Vec<u8>,
    written: usize,
    answer: TunnelAnswer,
    /// Everything that the poller said of the socket.
    said: Readiness,
}

/// Why there will be no tunnel.
#[derive(Debug)]
pub(super) enum Blocked {
    Refused { status: u16 },
    Http(HttpError),
    Socket(io::Error),
}

impl Tunnelling {
    pub(super) fn new(socket: TcpStream, url: &Url, proxy: &Proxy) -> Tunnelling {
        Tunnelling {
            socket,
            question: tunnel::request(url, proxy.authorization()),
            written: 0,
            answer: TunnelAnswer::default(),
            said: Readiness::default(),
        }
    }

    /// Asks and listens as far as that goes without waiting; true once the tunnel is open.
    pub(super) fn drive(&mut self, readiness: Readiness) -> Result<bool, Blocked> {
        self.said = self.said | readiness;
        while self.written < self.question.len() {
            match self.socket.write(&self.question[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Blocked::Socket(error)),
            }
        }
        let mut piece = [0; 2048];
        // Ends: an answer has a greatest length.
        loop {
            let count = match self.socket.read(&mut piece) {
                Ok(0) => return Err(Blocked::Http(self.answer.close())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Blocked::Socket(error)),
            };
            match self.answer.push(&piece[..count]).map_err(Blocked::Http)? {
                None => {}
                Some(Tunnel::Open) => return Ok(true),
                Some(Tunnel::Refused { status }) => return Err(Blocked::Refused { status }),
            }
        }
    }

    /// The socket of a tunnel that is open, and what may be found there.
    pub(super) fn into_socket(self) -> (TcpStream, Readiness) {
        // The last read need not have found the end of what came.
        let said = Readiness { readable: true, writable: true, closed: self.said.closed };
        (self.socket, said)
    }
}

impl Blocked {
    pub(super) fn into_failure(self, proxy: &Proxy, origin: &str) -> NetFailure {
        let why = match self {
            Blocked::Refused { status } => {
                return NetFailure::ProxyRefused {
                    proxy: proxy.to_string(),
                    origin: origin.to_owned(),
                    status,
                    is_named: proxy.authorization().is_some(),
                };
            }
            Blocked::Http(HttpError::ClosedBeforeHead | HttpError::ClosedInHead) => {
                "it closed the connection without an answer".to_owned()
            }
            Blocked::Http(error) => format!("its answer makes no sense: {error}"),
            Blocked::Socket(error) => os_words(&error),
        };
        NetFailure::Proxy { proxy: proxy.to_string(), why }
    }
}
