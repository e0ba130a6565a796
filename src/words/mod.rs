//! Plain data every room speaks: no behaviour beyond reading it, no JSON, no system.
//!
//! Nothing here is serializable; formats live in `wire`, `tools` and `fronts`, so that they can
//! change without the machine.

#![forbid(unsafe_code)]

pub mod call;
pub mod command;
pub mod diff;
pub mod event;
pub mod ids;
pub mod item;
pub mod model;
pub mod policy;
pub mod record;
pub mod request;
pub mod review;
#[cfg(test)]
pub(crate) mod samples;
pub mod session;
pub mod settings;
pub mod sort;
