//! Bytes to words and back: incremental, bounded, without sockets.

#![forbid(unsafe_code)]

pub mod chat;
pub mod dialect;
pub mod heading;
pub mod holes;
pub mod http;
pub mod json;
pub mod layout;
pub mod lines;
pub mod proxy;
pub mod replay;
pub mod responses;
pub mod review;
pub mod rollout;
#[cfg(test)]
pub(crate) mod samples;
pub mod sieve;
pub mod sse;
pub mod time;
pub mod url;
