//! The app server's protocol: JSON-RPC without its version, one message a line.

pub mod envelope;
pub mod schema;
pub mod types;
