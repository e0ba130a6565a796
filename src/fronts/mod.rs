//! Adapters between the machine and whoever is outside: people and programs.
//!
//! A front is told events and says what it wants written; it owns no descriptor, reads no clock and
//! never waits. The host takes the bytes and writes them when the other side can take them.

#![forbid(unsafe_code)]

pub mod app_server;
pub mod exec;
pub mod limits;
pub mod notify;
pub mod sessions;
pub mod visible;

/// Bytes a front wants written. The host takes them after each event, so one event's worth is the
/// most that is ever held here.
#[derive(Default, Debug)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}
