//! The protocol's types, each declared once.
//!
//! `declare` holds the words declarations are made of; `v1`, `events`, `v2` and `v2_items` declare,
//! `methods` says which method carries what. From a declaration come the Rust type with its codec
//! (`codec`) and, at run time, the schemas (`super::schema`).

pub mod codec;
mod declare;
pub mod events;
pub mod methods;
pub mod v1;
pub mod v2;
pub mod v2_items;

#[cfg(test)]
mod tests;
