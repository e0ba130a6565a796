//! An exchange that is going on: its phase, its limits, and what driving it means for it.

use std::io;

use super::connect::Connecting;
use super::exchange::{Broken, Buffers, Drove, Piece, Talk, Transfer};
use super::failure::os_words;
use super::route::{Route, Tunnelling};
use super::{Call, Caller, NetEvent, NetFailure, Waiting};

/// One exchange of the table.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) serial: u32,
    pub(super) owner: u64,
    /// Kept until the server has answered, in case the request must be made again.
    pub(super) call: Option<Box<Call>>,
    pub(super) origin: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) route: Route,
    pub(super) connect_ms: u64,
    pub(super) idle_ms: u64,
    pub(super) deadline_ms: u64,
    pub(super) is_paused: bool,
    pub(super) phase: Phase,
}

impl Live {
    /// Moves what can be moved now, and says what it came to.
    pub(super) fn drive(
        &mut self,
        now_ms: u64,
        buffers: &mut Buffers,
        caller: &mut dyn Caller,
    ) -> Outcome {
        let Phase::Talking { transfer, is_reused } = &mut self.phase else { return Outcome::Goes };
        let mut talk = Owned { owner: self.owner, caller };
        let drove = transfer.drive(self.is_paused, buffers, &mut talk);
        let has_heard = transfer.has_heard();
        let established = transfer.connection().is_established();
        let (drove, moved) = match drove {
            Ok(drove) => drove,
            Err(Broken::Http(error)) => {
                let failure = NetFailure::of_http(&self.origin, error);
                let stale = *is_reused && !has_heard;
                return match failure {
                    NetFailure::Closed { .. } if stale => Outcome::Stale,
                    failure => Outcome::Failed(failure),
                };
            }
            Err(Broken::Socket(_)) if *is_reused && !has_heard => return Outcome::Stale,
            Err(Broken::Socket(error)) => {
                let why = os_words(&error);
                let origin = self.origin.clone();
                return Outcome::Failed(NetFailure::Closed { origin, why });
            }
            Err(Broken::Tls(why)) => {
                return Outcome::Failed(NetFailure::Tls { host: self.host.clone(), why });
            }
        };
        if has_heard {
            // It will not be made again, and headers are not small.
            self.call = None;
        }
        if moved && established {
            self.deadline_ms = now_ms.saturating_add(self.idle_ms);
        }
        match drove {
            Drove::Waits => Outcome::Goes,
            Drove::Again => Outcome::Again,
            Drove::Done => Outcome::Ended,
        }
    }

    /// What was asked for.
    pub(super) fn call(&self) -> &Call {
        match &self.call {
            Some(call) => call,
            None => unreachable!("the call is kept until the server has answered"),
        }
    }

    /// Whom to connect to: the server, or the proxy before it.
    pub(super) fn first_stop(&self) -> (&str, u16) {
        match self.route.proxy() {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (&self.host, self.port),
        }
    }

    /// The failure of an exchange whose first stop has no address.
    pub(super) fn lookup_failure(&self, why: String) -> NetFailure {
        match self.route.proxy() {
            Some(proxy) => {
                NetFailure::Proxy { proxy: proxy.to_string(), why: format!("look it up: {why}") }
            }
            None => NetFailure::Resolve { host: self.host.clone(), why },
        }
    }

    /// The failure of an exchange that has waited too long.
    pub(super) fn time_out(&self) -> NetFailure {
        let (waiting, after_ms) = match &self.phase {
            Phase::Resolving => (Waiting::Address, self.connect_ms),
            Phase::Connecting(_) | Phase::Tunnelling(_) => (Waiting::Connection, self.connect_ms),
            Phase::Talking { transfer, .. } if transfer.connection().is_established() => {
                (Waiting::Bytes, self.idle_ms)
            }
            Phase::Talking { .. } => (Waiting::Connection, self.connect_ms),
        };
        let by_proxy = match &self.phase {
            Phase::Resolving | Phase::Connecting(_) | Phase::Tunnelling(_) => {
                self.route.silence(after_ms)
            }
            Phase::Talking { .. } => None,
        };
        by_proxy.unwrap_or(NetFailure::TimedOut { origin: self.origin.clone(), waiting, after_ms })
    }

    /// The failure of an exchange whose last address failed like this.
    pub(super) fn connect_failure(&self, error: &io::Error) -> NetFailure {
        let why = os_words(error);
        if let Some(proxy) = self.route.proxy() {
            return NetFailure::Proxy { proxy: proxy.to_string(), why };
        }
        NetFailure::Connect { host: self.host.clone(), port: self.port, why }
    }
}

/// What the exchange waits for.
#[derive(Debug)]
pub(super) enum Phase {
    Resolving,
    Connecting(Connecting),
    Tunnelling(Tunnelling),
    Talking { transfer: Box<Transfer>, is_reused: bool },
}

/// What a drive of one exchange came to.
pub(super) enum Outcome {
    Goes,
    Again,
    Ended,
    /// The kept connection was dead.
    Stale,
    Failed(NetFailure),
}

/// The caller as one exchange sees it.
struct Owned<'a> {
    owner: u64,
    caller: &'a mut dyn Caller,
}

impl Talk for Owned<'_> {
    fn body(&mut self, offset_bytes: u64, out: &mut Vec<u8>) {
        self.caller.body(self.owner, offset_bytes, out);
    }

    fn piece(&mut self, piece: Piece<'_>) {
        let event = match piece {
            Piece::Head(head) => NetEvent::Head(head),
            Piece::Body(bytes) => NetEvent::Body(bytes),
        };
        self.caller.told(self.owner, event);
    }
}
