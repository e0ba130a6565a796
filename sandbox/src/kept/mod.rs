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
//!
//! Commands that overlap share one look, see `look`: what one of them changes is undone by whoever
//! ends, also for those that go on. So is what anybody else changes meanwhile, the user included:
//! from outside nobody can tell them apart.

mod calls;
mod code;
mod look;
mod node;
mod taken;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::confine;
use crate::namespaces::Apart;
use crate::paths::{self, at_root, components};
use crate::policy::{Access, Missing, Policy};
use crate::status::Status;
use crate::sys;

use look::{Found, Held, Record};
use node::{Budget, Node};
use taken::Before;

pub use look::Look;

/// Permissions of a directory that is made anew on the way to something kept.
const DIRECTORY_MODE: u32 = 0o755;

/// What was found at the protected paths of a policy.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    items: Vec<Item>,
    task: Task,
    /// What it shares with commands that overlap.
    look: Option<Look>,
    /// How much of that was there when the items were found.
    used: u64,
}

/// What is to be done once the command has ended.
#[derive(Debug, Default)]
enum Task {
    #[default]
    PutBack,
    /// The command may change everything: others are to keep what it has changed.
    Take(Before),
}

/// One protected path.
#[derive(Debug)]
struct Item {
    /// Its place in the policy's list.
    index: u32,
    path: PathBuf,
    names: Vec<CString>,
    /// How many of the names lead to the writable root; nothing above is changed.
    fixed_count: usize,
    /// Whether it may go with the repository that it belongs to.
    is_nested: bool,
    /// `None` until it was looked at.
    node: Option<Node>,
}

/// What became of a path that was found changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    PutBack,
    /// It is out of the way, or not even that.
    Lost,
}

impl Kept {
    /// Looks at what is to be kept, and says what that lacks to protection.
    pub(crate) fn of(policy: &Policy, apart: Apart, look: Option<Look>) -> (Kept, Missing) {
        match (policy.access, look) {
            (Access::Full, Some(look)) => (Kept::to_be_taken(look), Missing::NONE),
            (Access::WorkspaceWrite, look) if policy.kept().next().is_some() => {
                Kept::to_be_put_back(policy, apart, look)
            }
            (Access::Full | Access::ReadOnly | Access::WorkspaceWrite, _) => {
                (Kept::default(), Missing::NONE)
            }
        }
    }

    fn to_be_put_back(policy: &Policy, apart: Apart, look: Option<Look>) -> (Kept, Missing) {
        let mut used = 0;
        let (items, missing) = match look.as_ref().map(|look| look.hold()?.with_found()) {
            Some(Ok((mut held, found))) => {
                let found = find(policy, apart, &found, Some(&mut held));
                used = held.used();
                found
            }
            // What overlaps with this may have been there already.
            Some(Err(_)) => {
                let (items, missing) = find(policy, apart, &Found::new(), None);
                (items, missing.with(Missing::CONTROL_FILES))
            }
            None => find(policy, apart, &Found::new(), None),
        };
        (Kept { items, task: Task::PutBack, look, used }, missing)
    }

    /// What a supervisor was to keep that was killed.
    pub(crate) fn of_another(policy: &Policy, look: Look) -> io::Result<Kept> {
        let found = look.hold()?.found()?;
        let mut items = Vec::new();
        for (index, path) in policy.kept().enumerate() {
            // The others were held by mounts, or nobody kept them.
            let Some(record) = found.get(path) else { continue };
            let item = Item::recorded(index, path, record)?;
            items.push(Item { node: record.node.clone(), ..item });
        }
        Ok(Kept { items, look: Some(look), ..Kept::default() })
    }

    /// Does what is to be done once everything has ended, and tells of each path that had to be put
    /// back by its place in the policy's list.
    pub(crate) fn settle_telling(&self, status: BorrowedFd<'_>) {
        self.settle(|index, outcome| {
            let is_whole = outcome == Outcome::PutBack;
            confine::report(status, Status::Restored { index, is_whole });
        });
    }

    fn settle(&self, tell: impl FnMut(u32, Outcome)) {
        // Two at once would get into each other's way; without a lock they are merely in a hurry.
        let mut held = self.look.as_ref().and_then(|look| look.hold().ok());
        match (&self.task, &mut held) {
            (Task::PutBack, held) => {
                let newer = held.as_ref().filter(|held| held.used() > self.used);
                let newer = newer.and_then(|held| held.found().ok()).unwrap_or_default();
                self.put_back(&newer, tell);
            }
            (Task::Take(before), Some(held)) => taken::take(before, held),
            (Task::Take(_), None) => {}
        }
    }

    /// Puts back what differs from what was found, or was meanwhile changed by who may.
    fn put_back(&self, newer: &Found, mut tell: impl FnMut(u32, Outcome)) {
        for item in &self.items {
            let node = match newer.get(&item.path) {
                Some(record) => &record.node,
                None => &item.node,
            };
            // Nobody keeps it any more.
            let Some(node) = node else { continue };
            if item.is_nested && item.is_gone() {
                continue;
            }
            let outcome = match item.restore(node) {
                Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                    item.open_way().and_then(|()| item.restore(node))
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

/// Finds what is at the protected paths of a policy: as others have found it, or by a look, which
/// is added for those that come.
fn find(
    policy: &Policy,
    apart: Apart,
    found: &Found,
    mut held: Option<&mut Held<'_>>,
) -> (Vec<Item>, Missing) {
    let (mut items, mut missing) = (Vec::new(), Missing::NONE);
    let mut ways = Ways::default();
    let mut budget = Budget::new();
    // Where this is too much already, hardly anything more is kept, which is said below.
    let _ = found.values().flat_map(|it| &it.node).try_for_each(|node| node.charge(&mut budget));
    for (index, path) in policy.kept().enumerate() {
        let Some(root) = outermost_root(policy, path) else { continue };
        if policy.sealed.iter().any(|sealed| path.starts_with(sealed)) {
            // Nothing below it is granted for writing.
            continue;
        }
        let known = found.get(path);
        let is_nested = index >= policy.protected.len();
        let may_be_mounted = known.is_none() && apart != Apart::Nothing && !is_nested;
        let mut is_shared = true;
        // Whatever is set aside could be read by its new name.
        let has_secrets = policy.unreadable.iter().any(|secret| secret.starts_with(path));
        let found = components(root).and_then(|root| {
            let mut item = Item::of(index, path, root.len())?;
            item.is_nested = is_nested;
            let way = ways.of(&item);
            if may_be_mounted && way.as_ref().is_ok_and(|way| is_mountable(*way, &item)) {
                return Ok(None);
            }
            if has_secrets {
                return Err(io::Error::from_raw_os_error(libc::EACCES));
            }
            if let Some(record) = known {
                item.node = Some(record.node.clone().ok_or_else(look::damaged)?);
                return Ok(Some(item));
            }
            let node = way.and_then(|way| look_at(way, &item, &mut budget));
            if let Some(held) = &mut held {
                is_shared = held.add(&item, node.as_ref().ok()).is_ok();
            }
            item.node = Some(node?);
            Ok(Some(item))
        });
        match found {
            // A mount holds it.
            Ok(None) => {}
            Ok(Some(item)) => {
                missing = missing.with(Missing::UNCHANGED_FILES);
                items.push(item);
            }
            Err(_) => missing = missing.with(Missing::CONTROL_FILES),
        }
        if !is_shared {
            missing = missing.with(Missing::CONTROL_FILES);
        }
    }
    if held.is_some_and(|held| held.write().is_err()) {
        missing = missing.with(Missing::CONTROL_FILES);
    }
    (items, missing)
}

/// The directory that held the name looked at last: the next is beside it more often than not.
#[derive(Debug, Default)]
struct Ways {
    last: Option<(Vec<CString>, Option<OwnedFd>)>,
}

impl Ways {
    /// The directory that holds the name of an item; `None` if there is none.
    fn of(&mut self, item: &Item) -> io::Result<Option<BorrowedFd<'_>>> {
        let names = item.names.split_last().map_or(&[][..], |(_, way)| way);
        if self.last.as_ref().is_none_or(|(last, _)| last != names) {
            let way = item.way()?.map(|(way, _)| way);
            self.last = Some((names.to_vec(), way));
        }
        Ok(self.last.as_ref().and_then(|(_, way)| Some(way.as_ref()?.as_fd())))
    }
}

/// Whether there is something that a mount can hold, which is anything but a link, or a file with
/// another name: an earlier command may have made that before there was a mount, to write by it.
fn is_mountable(way: Option<BorrowedFd<'_>>, item: &Item) -> bool {
    let (Some(way), Some(name)) = (way, item.names.last()) else { return false };
    calls::stat(way, name).is_ok_and(|stat| match stat.st_mode & libc::S_IFMT {
        libc::S_IFLNK => false,
        libc::S_IFREG => stat.st_nlink == 1,
        _ => true,
    })
}

fn look_at(way: Option<BorrowedFd<'_>>, item: &Item, budget: &mut Budget) -> io::Result<Node> {
    match (way, item.names.last()) {
        (Some(way), Some(name)) => Node::of(way, name, budget),
        _ => Ok(Node::Missing),
    }
}

impl Item {
    /// `fixed_count` of the names in the path are not changed.
    fn of(index: usize, path: &Path, fixed_count: usize) -> io::Result<Item> {
        let names = components(path)?;
        let index = u32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
        Ok(Item {
            index,
            path: path.to_path_buf(),
            names,
            fixed_count,
            is_nested: false,
            node: None,
        })
    }

    /// One that others have found.
    fn recorded(index: usize, path: &Path, record: &Record) -> io::Result<Item> {
        let item = Item::of(index, path, record.fixed_count)?;
        Ok(Item { is_nested: record.is_nested, ..item })
    }

    /// Whether the repository that it belongs to is not there any more. One behind a link is not
    /// gone: whoever follows that may meet another.
    fn is_gone(&self) -> bool {
        let last = self.names.iter().rposition(|name| name.as_c_str() == c".git");
        let names = last.and_then(|last| self.names.get(..=last)).unwrap_or(&self.names);
        let opened = paths::open_names(names, 0);
        opened.is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT))
    }

    /// What the name leads to now.
    fn look(&self, budget: &mut Budget) -> io::Result<Node> {
        look_at(Ways::default().of(self)?, self, budget)
    }

    /// Whether the name leads to this now.
    fn is_at(&self, node: &Node) -> io::Result<bool> {
        match self.way()? {
            Some((way, name)) => node.is_at(way.as_fd(), name),
            None => Ok(matches!(node, Node::Missing)),
        }
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

    /// Makes the name lead to this again. Whether anything had to be changed.
    fn restore(&self, node: &Node) -> io::Result<bool> {
        match self.way()? {
            Some((way, name)) => node.restore(way.as_fd(), name),
            None => self.restore_way(node),
        }
    }

    /// Makes the directories anew that led to the name, and what it led to.
    fn restore_way(&self, node: &Node) -> io::Result<bool> {
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
                    if matches!(node, Node::Missing) {
                        return Ok(is_changed);
                    }
                    calls::make_directory(here.as_fd(), step, DIRECTORY_MODE)?;
                    open_directory(here.as_fd(), step)?
                }
            };
        }
        Ok(node.restore(here.as_fd(), name)? || is_changed)
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
