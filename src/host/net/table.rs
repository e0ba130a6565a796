//! The table of exchanges and kept connections: who has which slot.
//!
//! A slot is free, or an exchange has it, or a connection that waits for the next exchange with its
//! origin. The generation of a slot goes with its connection, so that late events of a closed one
//! find nobody.

use super::exchange::Connection;
use super::live::{Live, Phase};
use super::{ExchangeId, Net, NetFailure};
use crate::host::poller::{Key, Kind, Poller};
use crate::limits::{EXCHANGES_MAX, IDLE_CONNECTION_MS, IDLE_CONNECTIONS_MAX};

#[derive(Debug)]
pub(super) struct Slot {
    /// Goes with the key of the connection; a connection that is kept stays in its slot.
    pub(super) generation: u32,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    Free,
    Idle(Idle),
    Live(Box<Live>),
}

#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: Connection,
    origin: String,
    until_ms: u64,
}

impl Net {
    pub(super) fn live(&mut self, id: ExchangeId) -> Option<&mut Live> {
        match &mut self.slots.get_mut(usize::from(id.slot))?.stage {
            Stage::Live(live) if live.serial == id.serial => Some(live),
            Stage::Live(_) | Stage::Idle(_) | Stage::Free => None,
        }
    }

    pub(super) fn key(&self, slot: u16) -> Key {
        Key::new(Kind::Exchange, slot, self.slots[usize::from(slot)].generation)
    }

    /// A slot for an exchange with `origin`, with a connection if one is kept.
    pub(super) fn take_slot(
        &mut self,
        origin: &str,
    ) -> Result<(u16, Option<Connection>), NetFailure> {
        let mut oldest: Option<(usize, u64)> = None;
        if self.idle_count > 0 {
            for (index, slot) in self.slots.iter_mut().enumerate() {
                let Stage::Idle(idle) = &slot.stage else { continue };
                if idle.origin == origin
                    && let Stage::Idle(idle) = std::mem::replace(&mut slot.stage, Stage::Free)
                {
                    self.idle_count -= 1;
                    return Ok((index as u16, Some(idle.connection)));
                }
                if let Stage::Idle(idle) = &slot.stage
                    && oldest.is_none_or(|(_, until_ms)| idle.until_ms < until_ms)
                {
                    oldest = Some((index, idle.until_ms));
                }
            }
        }
        if self.free.is_empty() {
            if self.slots.len() < EXCHANGES_MAX {
                self.slots.push(Slot { generation: 0, stage: Stage::Free });
                self.free.push((self.slots.len() - 1) as u16);
            } else if let Some((index, _)) = oldest {
                self.release(index as u16);
            }
        }
        self.free.pop().map(|slot| (slot, None)).ok_or(NetFailure::Full)
    }

    /// Empties a slot; its connection closes, and events that are still on their way are of nobody.
    pub(super) fn release(&mut self, slot: u16) {
        let found = &mut self.slots[usize::from(slot)];
        found.generation = found.generation.wrapping_add(1);
        if let Stage::Idle(_) = std::mem::replace(&mut found.stage, Stage::Free) {
            self.idle_count -= 1;
        }
        self.free.push(slot);
    }

    /// Keeps the connection of an exchange that is over, if it is good for another.
    pub(super) fn keep(&mut self, poller: &mut Poller, now_ms: u64, slot: u16) {
        let stage = &mut self.slots[usize::from(slot)].stage;
        let Stage::Live(live) = std::mem::replace(stage, Stage::Free) else { return };
        let Live { phase, origin, .. } = *live;
        let kept = match phase {
            Phase::Talking { transfer, .. } if self.idle_count < IDLE_CONNECTIONS_MAX => {
                transfer.into_reusable()
            }
            Phase::Talking { .. }
            | Phase::Tunnelling(_)
            | Phase::Connecting(_)
            | Phase::Resolving => None,
        };
        let Some(connection) = kept else { return self.release(slot) };
        if connection.has_news() {
            poller.mark_ready(self.key(slot));
        }
        let until_ms = now_ms + IDLE_CONNECTION_MS;
        self.earliest_ms = self.earliest_ms.min(until_ms);
        self.idle_count += 1;
        self.slots[usize::from(slot)].stage = Stage::Idle(Idle { connection, origin, until_ms });
    }
}

impl Slot {
    pub(super) fn due_ms(&self) -> Option<u64> {
        match &self.stage {
            Stage::Free => None,
            Stage::Idle(idle) => Some(idle.until_ms),
            Stage::Live(live) => match &live.phase {
                Phase::Connecting(connecting) => {
                    let next_ms = connecting.next_at_ms().unwrap_or(u64::MAX);
                    Some(live.deadline_ms.min(next_ms))
                }
                Phase::Resolving | Phase::Tunnelling(_) | Phase::Talking { .. } => {
                    Some(live.deadline_ms)
                }
            },
        }
    }
}
