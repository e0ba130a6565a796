//! The Responses wire: a request's body and headers, the events of its answer, and how it fails.
//!
//! History items have the same shape here and in rollouts; `items` knows it for both.

pub mod decode;
pub mod encode;
pub mod errors;
pub mod items;
