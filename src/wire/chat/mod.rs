//! The Chat Completions wire: a history as messages, and the chunks of the answer.
//!
//! Every call is a function here, and every developer's message the system's: servers of this wire
//! know nothing else for certain. How they refuse is what `responses::errors` reads.

pub mod decode;
pub mod encode;
