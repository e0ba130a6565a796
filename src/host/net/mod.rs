//! HTTP exchanges of the loop: a table of them, and the connections that are kept for the next.
//!
//! `start` makes an exchange; what becomes of it is told to the caller given to `on_ready` and
//! `on_deadline`: `Head`, any number of `Body`, then `End` or `Failed`, after which it is
//! forgotten. Nothing here waits, reads a clock or knows what bytes mean. A kept connection that
//! dies before it answered is replaced once; every other retry is the caller's decision.

mod connect;
mod exchange;
mod failure;
mod live;
mod resolver;
mod route;
mod table;
mod tls;

use std::fmt;

use mio::net::TcpStream;

use crate::host::poller::{Key, Kind, Poller, Readiness};
use crate::wire::http::{Head, Method};
use crate::wire::proxy::Proxies;
use crate::wire::url::{Scheme, Url};
use connect::{Connecting, Progress};
use exchange::{Buffers, Connection, Transfer};
pub use failure::{NetFailure, Waiting};
use live::{Live, Outcome, Phase};
use resolver::{Answer, Resolver};
pub use resolver::{RESOLVER_NAME, SpawnResolver, resolver_main};
use route::{Route, Tunnelling};
use table::{Slot, Stage};
pub use tls::{Tls, Trust, provider};

/// All exchanges and kept connections.
#[derive(Debug)]
pub struct Net {
    slots: Vec<Slot>,
    free: Vec<u16>,
    idle_count: usize,
    resolver: Resolver,
    tls: Tls,
    proxies: Proxies,
    buffers: Buffers,
    /// Nothing is due before this; may be too early, since deadlines only move away.
    earliest_ms: u64,
    serial: u32,
}

/// What to ask, of whom, and how long to wait.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(String, String)>,
    pub body_bytes: u64,
    /// From the start until the connection can carry the request.
    pub connect_ms: u64,
    /// Without any byte moving, from then on.
    pub idle_ms: u64,
}

/// Names an exchange. One that is over is not found again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExchangeId {
    slot: u16,
    serial: u32,
}

/// What is told of an exchange. After `End` or `Failed` nothing more is.
#[derive(Debug)]
pub enum NetEvent<'a> {
    Head(&'a Head),
    Body(&'a [u8]),
    End,
    Failed(NetFailure),
}

/// Who makes exchanges: lends bodies and is told what comes back.
pub trait Caller {
    /// Appends to the buffer what follows the offset in the body of the owner's exchange, at least
    /// one byte. An offset of zero may come a second time.
    fn body(&mut self, owner: u64, offset_bytes: u64, out: &mut Vec<u8>);
    fn told(&mut self, owner: u64, event: NetEvent<'_>);
}

impl Net {
    pub fn new(trust: Trust, spawn: SpawnResolver) -> Net {
        Net {
            slots: Vec::new(),
            free: Vec::new(),
            idle_count: 0,
            resolver: Resolver::new(spawn),
            tls: Tls::new(trust),
            proxies: Proxies::default(),
            buffers: Buffers::default(),
            earliest_ms: u64::MAX,
            serial: 0,
        }
    }

    /// With these proxies between us and servers.
    pub fn behind(mut self, proxies: Proxies) -> Net {
        self.proxies = proxies;
        self
    }

    /// Begins an exchange on behalf of `owner`. An error means that there is none.
    pub fn start(
        &mut self,
        poller: &mut Poller,
        now_ms: u64,
        call: Call,
        owner: u64,
    ) -> Result<ExchangeId, NetFailure> {
        let route = Route::to(&call.url, &self.proxies)?;
        let http = route.exchange(&call)?;
        let origin = call.url.origin().to_owned();
        let (slot, kept) = self.take_slot(&origin)?;
        self.serial = self.serial.wrapping_add(1);
        let id = ExchangeId { slot, serial: self.serial };
        let is_reused = kept.is_some();
        let phase = match kept {
            Some(connection) => {
                Phase::Talking { transfer: Box::new(Transfer::new(connection, http)), is_reused }
            }
            None => Phase::Resolving,
        };
        let live = Live {
            serial: id.serial,
            owner,
            origin,
            host: call.url.host().to_owned(),
            port: call.url.port(),
            route,
            connect_ms: call.connect_ms,
            idle_ms: call.idle_ms,
            deadline_ms: now_ms.saturating_add(if is_reused {
                call.idle_ms
            } else {
                call.connect_ms
            }),
            is_paused: false,
            phase,
            call: Some(Box::new(call)),
        };
        self.earliest_ms = self.earliest_ms.min(live.deadline_ms);
        self.slots[usize::from(slot)].stage = Stage::Live(Box::new(live));
        if is_reused {
            poller.mark_ready(self.key(slot));
        } else if let Err(failure) = self.begin(poller, now_ms, slot) {
            self.release(slot);
            return Err(failure);
        }
        Ok(id)
    }

    /// Does what an event allows: an exchange under its byte budget, a lookup, a kept connection.
    pub fn on_ready(
        &mut self,
        poller: &mut Poller,
        now_ms: u64,
        key: Key,
        readiness: Readiness,
        caller: &mut dyn Caller,
    ) {
        if key.kind() == Kind::Resolver {
            if self.resolver.on_ready(now_ms, key) {
                self.begin_all(poller, now_ms, caller);
            }
            return;
        }
        let slot = key.slot();
        let Some(found) = self.slots.get_mut(usize::from(slot)) else { return };
        if Key::new(Kind::Exchange, slot, found.generation) != key {
            // Of an earlier connection, which is closed.
            return;
        }
        match &mut found.stage {
            Stage::Free => {}
            Stage::Idle(idle) => {
                idle.connection.notice(readiness);
                if !idle.connection.is_quiet(&mut self.buffers) {
                    self.release(slot);
                }
            }
            Stage::Live(live) => match &mut live.phase {
                Phase::Resolving => {}
                Phase::Connecting(_) => {
                    self.connect(poller, now_ms, slot, readiness, caller);
                }
                Phase::Tunnelling(_) => self.tunnel(poller, now_ms, slot, readiness, caller),
                Phase::Talking { transfer, .. } => {
                    transfer.notice(readiness);
                    self.drive(poller, now_ms, slot, caller);
                }
            },
        }
    }

    /// When `on_deadline` should be called next.
    pub fn next_deadline(&self, now_ms: u64) -> Option<u64> {
        let own = (self.earliest_ms < u64::MAX).then_some(self.earliest_ms);
        own.into_iter().chain(self.resolver.next_deadline(now_ms)).min()
    }

    /// Ends what has waited too long, and tries further addresses.
    pub fn on_deadline(&mut self, poller: &mut Poller, now_ms: u64, caller: &mut dyn Caller) {
        if self.resolver.on_deadline(now_ms) {
            self.begin_all(poller, now_ms, caller);
        }
        if now_ms < self.earliest_ms {
            return;
        }
        for slot in 0..self.slots.len() {
            // Fits: `EXCHANGES_MAX` slots at most.
            self.on_slot_deadline(poller, now_ms, slot as u16, caller);
        }
        self.earliest_ms = self.slots.iter().filter_map(Slot::due_ms).min().unwrap_or(u64::MAX);
    }

    /// Forgets an exchange and closes its connection. Nothing more is told of it.
    pub fn cancel(&mut self, id: ExchangeId) {
        if self.live(id).is_some() {
            self.release(id.slot);
        }
    }

    /// Reads no more of a response until `resume`; the provider is made to wait.
    pub fn pause(&mut self, id: ExchangeId) {
        if let Some(live) = self.live(id) {
            live.is_paused = true;
        }
    }

    /// Goes on reading. The time without bytes counts from now.
    pub fn resume(&mut self, poller: &mut Poller, now_ms: u64, id: ExchangeId) {
        let Some(live) = self.live(id) else { return };
        if !std::mem::replace(&mut live.is_paused, false) {
            return;
        }
        live.deadline_ms = live.deadline_ms.max(now_ms.saturating_add(live.idle_ms));
        poller.mark_ready(self.key(id.slot));
    }

    /// How many exchanges are going on, and how many connections are kept.
    pub fn counts(&self) -> (usize, usize) {
        (self.slots.len() - self.free.len() - self.idle_count, self.idle_count)
    }

    /// Begins anew what waits for addresses: one lookup is over.
    fn begin_all(&mut self, poller: &mut Poller, now_ms: u64, caller: &mut dyn Caller) {
        for slot in 0..self.slots.len() {
            let Stage::Live(live) = &self.slots[slot].stage else { continue };
            let owner = live.owner;
            if let Phase::Resolving = live.phase
                && let Err(failure) = self.begin(poller, now_ms, slot as u16)
            {
                self.release(slot as u16);
                caller.told(owner, NetEvent::Failed(failure));
            }
        }
    }

    /// Connects if the addresses are known.
    fn begin(&mut self, poller: &mut Poller, now_ms: u64, slot: u16) -> Result<(), NetFailure> {
        let key = self.key(slot);
        let Stage::Live(live) = &mut self.slots[usize::from(slot)].stage else { return Ok(()) };
        let (host, port) = live.first_stop();
        let addresses = match self.resolver.ask(poller, now_ms, host) {
            Answer::Known(addresses) => addresses,
            Answer::Pending => return Ok(()),
            Answer::Failed(why) => return Err(live.lookup_failure(why)),
        };
        let mut connecting = Connecting::start(poller, key, now_ms, &addresses, port);
        // Addresses that cannot even be tried are known to fail by now.
        if let Some(error) = connecting.failed_at_once() {
            return Err(live.connect_failure(&error));
        }
        self.earliest_ms = self.earliest_ms.min(connecting.next_at_ms().unwrap_or(u64::MAX));
        live.phase = Phase::Connecting(connecting);
        Ok(())
    }

    /// Looks after the attempts to connect; goes on with the exchange when one succeeded.
    fn connect(
        &mut self,
        poller: &mut Poller,
        now_ms: u64,
        slot: u16,
        readiness: Readiness,
        caller: &mut dyn Caller,
    ) {
        let key = self.key(slot);
        let Stage::Live(live) = &mut self.slots[usize::from(slot)].stage else { return };
        let Phase::Connecting(connecting) = &mut live.phase else { return };
        let socket = match connecting.check(poller, key, now_ms, readiness) {
            Progress::Waiting => {
                let next_ms = connecting.next_at_ms().unwrap_or(u64::MAX);
                self.earliest_ms = self.earliest_ms.min(next_ms);
                return;
            }
            Progress::Failed(error) => {
                let failure = live.connect_failure(&error);
                return self.fail(slot, failure, caller);
            }
            Progress::Connected(socket) => socket,
        };
        let Route::Tunnel(proxy) = &live.route else {
            return self.talk(poller, now_ms, slot, (socket, readiness), caller);
        };
        let tunnelling = Tunnelling::new(socket, &live.call().url, proxy);
        live.phase = Phase::Tunnelling(tunnelling);
        self.tunnel(poller, now_ms, slot, readiness, caller);
    }

    /// Goes on with asking a proxy for a tunnel; goes on with the exchange when there is one.
    fn tunnel(
        &mut self,
        poller: &mut Poller,
        now_ms: u64,
        slot: u16,
        readiness: Readiness,
        caller: &mut dyn Caller,
    ) {
        let Stage::Live(live) = &mut self.slots[usize::from(slot)].stage else { return };
        let (Phase::Tunnelling(tunnelling), Route::Tunnel(proxy)) = (&mut live.phase, &live.route)
        else {
            return;
        };
        match tunnelling.drive(readiness) {
            Ok(false) => return,
            Ok(true) => {}
            Err(blocked) => {
                let failure = blocked.into_failure(proxy, &live.origin);
                return self.fail(slot, failure, caller);
            }
        }
        let phase = std::mem::replace(&mut live.phase, Phase::Resolving);
        if let Phase::Tunnelling(tunnelling) = phase {
            self.talk(poller, now_ms, slot, tunnelling.into_socket(), caller);
        }
    }

    /// Speaks with the server on a connection that was just made.
    fn talk(
        &mut self,
        poller: &mut Poller,
        now_ms: u64,
        slot: u16,
        (socket, readiness): (TcpStream, Readiness),
        caller: &mut dyn Caller,
    ) {
        let Stage::Live(live) = &mut self.slots[usize::from(slot)].stage else { return };
        let tls = match live.call().url.scheme() {
            Scheme::Http => None,
            Scheme::Https => match self.tls.connect(&live.host) {
                Ok(tls) => Some(tls),
                Err(why) => {
                    let failure = NetFailure::Tls { host: live.host.clone(), why };
                    return self.fail(slot, failure, caller);
                }
            },
        };
        let http = match live.route.exchange(live.call()) {
            Ok(http) => http,
            Err(failure) => return self.fail(slot, failure, caller),
        };
        let mut transfer = Box::new(Transfer::new(Connection::new(socket, tls), http));
        transfer.notice(readiness);
        live.phase = Phase::Talking { transfer, is_reused: false };
        self.drive(poller, now_ms, slot, caller);
    }

    /// Moves bytes of one exchange and tells what came of it.
    fn drive(&mut self, poller: &mut Poller, now_ms: u64, slot: u16, caller: &mut dyn Caller) {
        let Stage::Live(live) = &mut self.slots[usize::from(slot)].stage else { return };
        match live.drive(now_ms, &mut self.buffers, caller) {
            Outcome::Goes => {}
            Outcome::Again => poller.mark_ready(self.key(slot)),
            Outcome::Ended => {
                let owner = live.owner;
                self.keep(poller, now_ms, slot);
                caller.told(owner, NetEvent::End);
            }
            Outcome::Stale => {
                let found = &mut self.slots[usize::from(slot)];
                found.generation = found.generation.wrapping_add(1);
                if let Stage::Live(live) = &mut found.stage {
                    live.phase = Phase::Resolving;
                    live.deadline_ms = now_ms.saturating_add(live.connect_ms);
                    self.earliest_ms = self.earliest_ms.min(live.deadline_ms);
                }
                if let Err(failure) = self.begin(poller, now_ms, slot) {
                    self.fail(slot, failure, caller);
                }
            }
            Outcome::Failed(failure) => self.fail(slot, failure, caller),
        }
    }

    fn fail(&mut self, slot: u16, failure: NetFailure, caller: &mut dyn Caller) {
        let Stage::Live(live) = &self.slots[usize::from(slot)].stage else { return };
        let owner = live.owner;
        self.release(slot);
        caller.told(owner, NetEvent::Failed(failure));
    }

    fn on_slot_deadline(
        &mut self,
        poller: &mut Poller,
        now_ms: u64,
        slot: u16,
        caller: &mut dyn Caller,
    ) {
        let found = &mut self.slots[usize::from(slot)];
        if found.due_ms().is_none_or(|due_ms| now_ms < due_ms) {
            return;
        }
        let live = match &mut found.stage {
            Stage::Live(live) => live,
            Stage::Idle(_) | Stage::Free => return self.release(slot),
        };
        if now_ms < live.deadline_ms {
            return self.connect(poller, now_ms, slot, Readiness::default(), caller);
        }
        if live.is_paused {
            // It is we who make it wait.
            live.deadline_ms = now_ms.saturating_add(live.idle_ms);
            return;
        }
        let failure = live.time_out();
        self.fail(slot, failure, caller);
    }
}

impl fmt::Debug for Call {
    /// Without headers and query: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({:?} {})", self.method, self.url.origin())
    }
}

#[cfg(test)]
mod tests;
