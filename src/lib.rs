//! windlass: a coding agent for Linux in one process, one thread and one loop.
//!
//! A pure machine decides (`core`), a thin host acts (`host`). What happens outside becomes an
//! `Input`; what is to be done about it becomes an `Effect`; nothing else passes between the two.
//! Rooms, in order of dependency; a room uses only those named after its arrow, and `tests/tidy.rs`
//! enforces it:
//!
//! ```text
//! limits                 every bound in the program
//! words   <- limits      plain data every room speaks
//! search  <- limits      paths by a few of their letters
//! tools   <- words       what the model may call: describe, parse, plan, answer
//! wire    <- words       bytes to words and back; incremental; no sockets
//! config  <- words       arguments, files and settings
//! core    <- words, tools            the machine
//! fronts  <- words, tools, wire, config  people and programs to commands and events
//! host    <- everything              the only room that touches the system
//! ```
//!
//! The sandbox is a crate of its own (`windlass-sandbox`), known to `host` alone. Read `words`,
//! then `core/mod.rs`, then `host/perform.rs`.

pub mod config;
pub mod core;
pub mod fronts;
pub mod host;
pub mod limits;
pub mod search;
pub mod tools;
pub mod wire;
pub mod words;
