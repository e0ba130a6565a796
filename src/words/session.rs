//! What a list shows of a recorded conversation.

use std::path::PathBuf;

use crate::words::ids::ConversationId;

/// One recorded conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    pub id: ConversationId,
    pub path: PathBuf,
    pub archived: bool,
    /// Its local time of birth, as its name has it: `2025-11-07T10-00-00`.
    pub begun: Box<str>,
    /// When something was last added.
    pub updated_wall_ms: u64,
    pub heading: Heading,
}

/// What the first lines of a rollout say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Heading {
    /// In UTC, as it stands there.
    pub created: Box<str>,
    pub cwd: Box<str>,
    pub provider: Option<Box<str>>,
    /// What kind of program began it, if that is one word: `exec`, `cli`, `vscode`.
    pub source: Option<Box<str>>,
    pub version: Option<Box<str>>,
    pub branch: Option<Box<str>>,
    /// The first thing that was asked, cut.
    pub preview: Box<str>,
}
