//! What must be after a command as it was before, where nothing can keep it from being changed.
//!
//! Landlock cannot take a hole out of a writable root, so without mounts of its own a command can
//! change the protected names in its workspace. Mounts cannot hold what is not there. Therefore the
//! supervisor looks at those names before it forks the command, and once everything that the
//! command started is gone it looks again. What differs is set aside under another name, and what
//! was there is put back. Nothing is prevented while the command runs.
//!
//! Names are looked at, not what they led to: whatever was moved, linked or exchanged, the same is
//! found there in the end. The way there is taken literally, below descriptors, and only what lies
//! below a writable root is ever changed, since other commands may be at work there.

mod calls;
mod node;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::namespaces::Apart;
use crate::paths::{self, at_root, components};
use crate::policy::{Access, Missing, Policy};
use crate::sys;

use node::{Budget, Node};

/// Permissions of a directory that is made anew on the way to something kept.
const DIRECTORY_MODE: u32 = 0o755;

/// What was found at the protected paths of a policy.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    items: Vec<Item>,
}

/// One protected path.
#[derive(Debug)]
struct Item {
    /// Its place in the policy's list.
    index: u32,
    names: Vec<CString>,
    /// How many of the names lead to the writable root; nothing above is changed.
    fixed_count: usize,
    node: Node,
}

/// What became of a path that was found changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    PutBack,
    /// It is out of the way, or not even that.
    Lost,
}

impl Kept {
    /// Looks at what is to be kept, and says what that lacks to protection.
    pub(crate) fn of(policy: &Policy, apart: Apart) -> (Kept, Missing) {
        let mut kept = Kept::default();
        let mut missing = Missing::NONE;
        if policy.access != Access::WorkspaceWrite {
            return (kept, missing);
        }
        let mut budget = Budget::new();
        for (index, path) in policy.protected.iter().enumerate() {
            let Some(root) = outermost_root(policy, path) else { continue };
            if policy.sealed.iter().any(|sealed| path.starts_with(sealed)) {
                // Nothing below it is granted for writing.
                continue;
            }
            if apart != Apart::Nothing && paths::open(path).is_ok() {
                // A mount holds it.
                continue;
            }
            // Whatever is set aside could be read by its new name.
            let has_secrets = policy.unreadable.iter().any(|secret| secret.starts_with(path));
            let item = match has_secrets {
                true => Err(io::Error::from_raw_os_error(libc::EACCES)),
                false => Item::of(index, path, root, &mut budget),
            };
            match item {
                Ok(item) => {
                    missing = missing.with(Missing::UNCHANGED_FILES);
                    kept.items.push(item);
                }
                Err(_) => missing = missing.with(Missing::CONTROL_FILES),
            }
        }
        (kept, missing)
    }

    /// Puts back what differs, and tells of each by its place in the policy's list.
    pub(crate) fn restore(&self, mut tell: impl FnMut(u32, Outcome)) {
        for item in &self.items {
            let outcome = match item.restore() {
                Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                    item.open_way().and_then(|()| item.restore())
                }
                outcome => outcome,
            };
            match outcome {
                Ok(false) => {}
                Ok(true) => tell(item.index, Outcome::PutBack),
                Err(_) => tell(item.index, Outcome::Lost),
            }
        }
    }
}

impl Item {
    fn of(index: usize, path: &Path, root: &Path, budget: &mut Budget) -> io::Result<Item> {
        let names = components(path)?;
        let fixed_count = components(root)?.len();
        let index = u32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
        let mut item = Item { index, names, fixed_count, node: Node::Missing };
        if let Some((way, name)) = item.way()? {
            item.node = Node::of(way.as_fd(), name, budget)?;
        }
        Ok(item)
    }

    /// The directory that holds the name, as it is now; `None` if there is none.
    fn way(&self) -> io::Result<Option<(OwnedFd, &CStr)>> {
        let Some((name, way)) = self.names.split_last() else { return Ok(None) };
        match paths::open_directory(way) {
            Ok(here) => Ok(Some((here, name))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether anything had to be changed.
    fn restore(&self) -> io::Result<bool> {
        match self.way()? {
            Some((way, name)) => self.node.restore(way.as_fd(), name),
            None => self.restore_way(),
        }
    }

    /// Makes the directories anew that led to the name, and what it led to.
    fn restore_way(&self) -> io::Result<bool> {
        let Some((name, way)) = self.names.split_last() else { return Ok(false) };
        let mut here = sys::open_path(at_root(), c"/")?;
        let mut is_changed = false;
        for (index, step) in way.iter().enumerate() {
            let opened = open_directory(here.as_fd(), step);
            here = match opened {
                Ok(next) => next,
                Err(error) if index < self.fixed_count || !is_absent(&error) => return Err(error),
                Err(_) => {
                    is_changed |= node::displace(here.as_fd(), step)?;
                    if matches!(self.node, Node::Missing) {
                        return Ok(is_changed);
                    }
                    calls::make_directory(here.as_fd(), step, DIRECTORY_MODE)?;
                    open_directory(here.as_fd(), step)?
                }
            };
        }
        Ok(self.node.restore(here.as_fd(), name)? || is_changed)
    }

    /// Gives us back the permissions for the root and what lies below it on the way.
    fn open_way(&self) -> io::Result<()> {
        let mut here = sys::open_path(at_root(), c"/")?;
        for (index, step) in self.names.iter().enumerate() {
            if index >= self.fixed_count {
                calls::open_up(here.as_fd())?;
            }
            here = match open_directory(here.as_fd(), step) {
                Ok(next) => next,
                Err(_) => break,
            };
        }
        Ok(())
    }
}

/// The writable root that a path lies below and that lies in no other.
fn outermost_root<'a>(policy: &'a Policy, path: &Path) -> Option<&'a PathBuf> {
    let above = policy.writable_roots.iter().filter(|root| path.starts_with(root));
    above.min_by_key(|root| root.as_os_str().len()).filter(|root| root.as_path() != path)
}

/// Opens a directory for naming things in it; a link is none.
fn open_directory(place: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    sys::open_at(place, name, libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY)
}

/// Whether there is no such directory; a link is none.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
}
