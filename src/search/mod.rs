//! Finding paths by a few of their letters.
//!
//! `score` says how well one path fits what was typed, `best` keeps the few that fit best. Which
//! paths there are is the caller's business.

pub mod best;
pub mod score;
