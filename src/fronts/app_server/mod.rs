//! The app server's protocol: JSON-RPC without its version, one message a line.

pub mod schema;
pub mod types;
