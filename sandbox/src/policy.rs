//! What a command may do, as plain data.
//!
//! Paths must be absolute and canonical: the launcher opens them component by component and refuses
//! a symbolic link, so that an earlier command cannot redirect a grant. What the kernel cannot hold
//! is never dropped in silence: it comes back as `Level` and `Missing`.

use std::fmt;
use std::path::PathBuf;

/// How far a command is trusted with the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads everything but `unreadable`, writes nothing but the usual devices and terminals.
    ReadOnly,
    /// Also writes below `writable_roots` and `/dev/shm`.
    WorkspaceWrite,
    /// Not confined at all. The rules of lifetime hold all the same.
    Full,
}

/// What a command may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub access: Access,
    /// Directories or files with full rights under `WorkspaceWrite`. Missing ones are skipped.
    pub writable_roots: Vec<PathBuf>,
    /// Whether internet sockets may be made.
    pub network: bool,
    /// Paths whose content stays closed, even below a writable root.
    ///
    /// Landlock can only grant. Therefore every other entry of each directory on the way to such a
    /// path is granted by itself, and what is created *in those directories* later stays closed
    /// until the next start. Names remain listable. Hard links made earlier remain readable:
    /// whoever makes a policy closes them too, or gives none. No new ones can be made.
    ///
    /// With mounts of its own, such a path is covered instead, if it exists when the command
    /// starts, and nothing beside it is affected.
    pub unreadable: Vec<PathBuf>,
    /// Paths below writable roots that stay as they are: what decides over later commands. Without
    /// mounts of the command's own, and where there is nothing to mount, they are put back when it
    /// has ended.
    pub protected: Vec<PathBuf>,
    /// Such paths in repositories that lie within the workspace, each with a `.git` on its way or
    /// for its name. They are put back in any case, but not if that `.git` is gone altogether:
    /// commands may remove what they have cloned, which a mount would prevent.
    pub nested: Vec<PathBuf>,
    /// The agent's own directories, which stay as they are, even below a writable root. With mounts
    /// of its own, a command sees in them what is there when it starts and is not `unreadable`.
    pub sealed: Vec<PathBuf>,
}

impl Policy {
    /// A policy that grants nothing beyond its mode.
    pub fn of(access: Access) -> Policy {
        Policy {
            access,
            writable_roots: Vec::new(),
            network: false,
            unreadable: Vec::new(),
            protected: Vec::new(),
            nested: Vec::new(),
            sealed: Vec::new(),
        }
    }

    /// All lists of paths, in the order of the record.
    pub(crate) fn lists(&self) -> [&Vec<PathBuf>; 5] {
        [&self.writable_roots, &self.unreadable, &self.protected, &self.nested, &self.sealed]
    }

    /// All that is put back; `Restored` names these by their places.
    pub fn kept(&self) -> impl Iterator<Item = &PathBuf> {
        self.protected.iter().chain(&self.nested)
    }
}

/// How strongly a command is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Not confined, as asked for.
    Open,
    /// Landlock without scopes (below ABI 6), or without a supervisor, and seccomp.
    Reduced,
    /// Landlock with scopes, and seccomp.
    Standard,
    /// The same within namespaces of its own.
    Full,
}

/// A set of protections that the policy calls for and this system, or this version, lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing(u32);

impl Missing {
    pub const NONE: Missing = Missing(0);
    /// Signals to processes outside reach them.
    pub const SIGNAL_SCOPE: Missing = Missing(1);
    /// Abstract sockets served outside can be connected to.
    pub const ABSTRACT_SOCKETS: Missing = Missing(1 << 1);
    /// Sockets served outside can be connected to by their path.
    pub const PATH_SOCKETS: Missing = Missing(1 << 2);
    /// Device-specific calls on readable devices are not refused.
    pub const DEVICE_CALLS: Missing = Missing(1 << 3);
    /// Permissions, owners, times and attributes can be changed outside the writable roots.
    pub const METADATA: Missing = Missing(1 << 4);
    /// Protected paths below the writable roots can be changed, and stay so.
    pub const CONTROL_FILES: Missing = Missing(1 << 5);
    /// New entries beside an unreadable path stay closed until the next command.
    pub const NEW_SIBLINGS: Missing = Missing(1 << 6);

    /// The user's other terminals can be written to by their path.
    pub const TERMINALS: Missing = Missing(1 << 7);
    /// Shared memory and semaphores of other processes, by name, can be opened.
    pub const SHARED_MEMORY: Missing = Missing(1 << 8);

    /// Files cannot be moved between directories, not even where they may be written.
    pub const MOVES: Missing = Missing(1 << 9);
    /// Nobody answers supervised calls. They are refused: without network nothing can be connected
    /// to, and without mounts of its own a command changes no metadata even below its roots.
    pub const SUPERVISOR: Missing = Missing(1 << 10);

    /// Processes of others can be seen.
    pub const PROCESSES: Missing = Missing(1 << 11);
    /// Protected paths can be changed while the command runs; then they are put back.
    pub const UNCHANGED_FILES: Missing = Missing(1 << 12);

    const NAMES: [(Missing, &'static str); 13] = [
        (Missing::SIGNAL_SCOPE, "signals"),
        (Missing::ABSTRACT_SOCKETS, "abstract sockets"),
        (Missing::PATH_SOCKETS, "path sockets"),
        (Missing::DEVICE_CALLS, "device calls"),
        (Missing::METADATA, "metadata"),
        (Missing::CONTROL_FILES, "control files"),
        (Missing::NEW_SIBLINGS, "new siblings of unreadable paths"),
        (Missing::TERMINALS, "other terminals"),
        (Missing::SHARED_MEMORY, "shared memory"),
        (Missing::MOVES, "moves between directories"),
        (Missing::SUPERVISOR, "supervisor"),
        (Missing::PROCESSES, "names of processes"),
        (Missing::UNCHANGED_FILES, "control files while a command runs"),
    ];

    /// The set from its bits; unknown bits are kept, so that nothing missing is forgotten.
    pub fn from_bits(bits: u32) -> Missing {
        Missing(bits)
    }

    pub fn bits(self) -> u32 {
        self.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, other: Missing) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub fn with(self, other: Missing) -> Missing {
        Missing(self.0 | other.0)
    }

    #[must_use]
    pub fn without(self, other: Missing) -> Missing {
        Missing(self.0 & !other.0)
    }

    /// The names of all that is missing, for people.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(bit, _)| self.contains(*bit)).map(|(_, name)| name)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                formatter.write_str(", ")?;
            }
            formatter.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_protections_are_named_in_order() {
        let missing = Missing::METADATA.with(Missing::SIGNAL_SCOPE);
        assert_eq!(missing.to_string(), "signals, metadata");
        assert_eq!(Missing::NONE.to_string(), "");
        assert!(missing.contains(Missing::METADATA));
        assert!(!missing.contains(Missing::PATH_SOCKETS));
        assert_eq!(Missing::from_bits(missing.bits()), missing);
    }
}
