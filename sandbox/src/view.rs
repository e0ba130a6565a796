//! The file system as the command sees it, in mounts of its own.
//!
//! Everything is read-only but the writable roots, and in those the protected paths are. The
//! agent's own directories show only what is in them now and is no secret; other hidden paths are
//! covered. Terminals, shared memory and processes are the command's own. Nothing is created in the
//! real file system. It comes before Landlock, which refuses every later mount.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::c_ulong;

use crate::limits::SEALED_ENTRIES_COUNT_MAX;
use crate::mounts;
use crate::namespaces::Apart;
use crate::paths::{self, at_root, open_entry};
use crate::policy::{Access, Missing, Policy};
use crate::sys;

const PLAIN: c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

const TERMINALS: &str = "/dev/pts";
const CONSOLE: &str = "/dev/console";

/// Not the command's, even below a root at the top.
const KERNEL_SETTINGS: [&str; 2] = ["/proc", "/sys"];

/// Names in the memory that covers what is hidden.
const CLOSED_DIRECTORY: &CStr = c"directory";
const CLOSED_FILE: &CStr = c"file";

/// Leaves the namespaces of mounts, of System V objects and, without network, of the network, and
/// arranges the mounts. What could not be protected comes back.
pub(crate) fn build(policy: &Policy, apart: Apart, pty: bool) -> io::Result<Missing> {
    let network = if policy.network { 0 } else { libc::CLONE_NEWNET };
    mounts::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWIPC | network)?;
    mounts::make_private()?;
    if !policy.network {
        mounts::raise_loopback()?;
    }
    let roots = match policy.access {
        Access::WorkspaceWrite => outermost(&policy.writable_roots),
        Access::ReadOnly | Access::Full => Vec::new(),
    };
    arrange_roots(&roots)?;
    protect(policy, &roots)?;
    for directory in &policy.sealed {
        seal(directory, &policy.unreadable)?;
    }
    cover(policy)?;
    arrange_devices(policy.access, pty)?;
    match apart {
        Apart::Whole => {
            mounts::mount(c"proc", c"/proc", PLAIN | libc::MS_RDONLY, c"")?;
            Ok(Missing::NONE)
        }
        Apart::View | Apart::Nothing => Ok(Missing::PROCESSES),
    }
}

/// The roots that lie in no other.
fn outermost(roots: &[PathBuf]) -> Vec<&Path> {
    let within_another =
        |root: &Path| roots.iter().any(|other| root != other.as_path() && root.starts_with(other));
    let mut kept: Vec<&Path> = Vec::new();
    for root in roots.iter().map(PathBuf::as_path) {
        if !within_another(root) && !kept.contains(&root) {
            kept.push(root);
        }
    }
    kept
}

/// Makes everything read-only but the roots.
fn arrange_roots(roots: &[&Path]) -> io::Result<()> {
    if roots.contains(&Path::new("/")) {
        // The kernel's settings are no files of anybody's.
        for settings in KERNEL_SETTINGS.map(Path::new) {
            if let Some(place) = existing(settings)? {
                attach_copy(&place, Writable::NoMore)?;
            }
        }
        return Ok(());
    }
    let mut writable = Vec::with_capacity(roots.len());
    for root in roots {
        if let Some(place) = existing(root)? {
            writable.push((mounts::copy_of(place.as_fd())?, place));
        }
    }
    let everything = sys::open_path(at_root(), c"/")?;
    mounts::make_read_only(everything.as_fd())?;
    for (copy, place) in writable {
        mounts::attach(copy.as_fd(), place.as_fd())?;
    }
    Ok(())
}

/// Opens a path literally; `None` if there is no such thing.
fn existing(path: &Path) -> io::Result<Option<OwnedFd>> {
    match paths::open(path) {
        Ok(place) => Ok(Some(place)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes the protected paths below the roots read-only, and holds what is hidden in its place: the
/// next command looks for it there.
fn protect(policy: &Policy, roots: &[&Path]) -> io::Result<()> {
    let mut held: Vec<&Path> = Vec::new();
    for path in &policy.protected {
        if !hold_way(path, roots, &mut held)? {
            continue;
        }
        // What is not there, or is a link, cannot be held in its place; the supervisor looks after
        // it when the command has ended.
        if let Ok(place) = paths::open(path) {
            attach_copy(&place, Writable::NoMore)?;
        }
    }
    for path in policy.unreadable.iter().chain(&policy.sealed) {
        hold_way(path, roots, &mut held)?;
    }
    Ok(())
}

/// Makes mounts of the directories that lead to a path from its root, since what is a mount can be
/// neither moved nor replaced. Whether it lies below a root.
fn hold_way<'a>(path: &'a Path, roots: &[&Path], held: &mut Vec<&'a Path>) -> io::Result<bool> {
    let Some(root) = roots.iter().copied().find(|root| path.starts_with(root)) else {
        return Ok(false);
    };
    let between = path.ancestors().skip(1).take_while(|it| it.starts_with(root) && *it != root);
    let mut on_the_way: Vec<&Path> = between.filter(|way| !held.contains(way)).collect();
    on_the_way.reverse();
    for directory in on_the_way {
        if let Ok(place) = paths::open(directory) {
            attach_copy(&place, Writable::Still)?;
            held.push(directory);
        }
    }
    Ok(true)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writable {
    Still,
    NoMore,
}

/// Mounts something over itself.
fn attach_copy(place: &OwnedFd, writable: Writable) -> io::Result<()> {
    let copy = mounts::copy_of(place.as_fd())?;
    if writable == Writable::NoMore {
        mounts::make_read_only(copy.as_fd())?;
    }
    mounts::attach(copy.as_fd(), place.as_fd())
}

/// Puts a directory of memory in the place of a directory, with what is in it now and not hidden.
/// What is put there later, even in the place of something hidden, stays outside.
fn seal(directory: &Path, hidden: &[PathBuf]) -> io::Result<()> {
    let Some(place) = existing(directory)? else { return Ok(()) };
    let listing = sys::open_at(place.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY)?;
    let names = sys::names(listing, SEALED_ENTRIES_COUNT_MAX)?;
    let tree = mounts::memory_tree(c"0755")?;
    mounts::attach(tree.as_fd(), place.as_fd())?;
    for name in names {
        let path = directory.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        if hidden.contains(&path) {
            continue;
        }
        // Entries come and go.
        let Ok(entry) = sys::open_path(place.as_fd(), &name) else { continue };
        match sys::file_type(entry.as_fd())? {
            libc::S_IFLNK => {
                mounts::copy_link(place.as_fd(), tree.as_fd(), &name)?;
                continue;
            }
            libc::S_IFDIR => mounts::make_directory(tree.as_fd(), &name)?,
            _ => mounts::make_file(tree.as_fd(), &name)?,
        }
        let copy = mounts::copy_of(entry.as_fd())?;
        mounts::attach(copy.as_fd(), open_entry(tree.as_fd(), &name)?.as_fd())?;
    }
    mounts::make_read_only(tree.as_fd())
}

/// Covers every hidden path that is not in a sealed directory.
fn cover(policy: &Policy) -> io::Result<()> {
    let is_sealed = |path: &Path| policy.sealed.iter().any(|sealed| path.starts_with(sealed));
    let mut closed: Option<OwnedFd> = None;
    for path in policy.unreadable.iter().filter(|path| !is_sealed(path)) {
        if path.as_path() == Path::new("/") {
            // Hiding everything is not a policy to run a program under.
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let Some(place) = existing(path)? else { continue };
        let tree = match &mut closed {
            Some(tree) => tree,
            empty => empty.insert(closed_tree()?),
        };
        let is_directory = sys::file_type(place.as_fd())? == libc::S_IFDIR;
        let name = if is_directory { CLOSED_DIRECTORY } else { CLOSED_FILE };
        let copy = mounts::copy_of(open_entry(tree.as_fd(), name)?.as_fd())?;
        mounts::attach(copy.as_fd(), place.as_fd())?;
    }
    Ok(())
}

/// A directory and a file that nobody can open, in memory that nobody can change.
fn closed_tree() -> io::Result<OwnedFd> {
    let tree = mounts::memory_tree(c"0700")?;
    mounts::make_directory(tree.as_fd(), CLOSED_DIRECTORY)?;
    mounts::make_file(tree.as_fd(), CLOSED_FILE)?;
    for name in [CLOSED_DIRECTORY, CLOSED_FILE] {
        mounts::close_to_all(tree.as_fd(), name)?;
    }
    mounts::make_read_only(tree.as_fd())?;
    // Only what is attached can be copied before Linux 6.15. The command's terminals go on top.
    mounts::attach(tree.as_fd(), paths::open(Path::new(TERMINALS))?.as_fd())?;
    Ok(tree)
}

/// Gives the command terminals and shared memory of its own. The terminal it was given, if it was,
/// is not among them and gets another name, since programs ask for one.
fn arrange_devices(access: Access, pty: bool) -> io::Result<()> {
    if pty
        && let Ok(name) = std::fs::read_link("/proc/self/fd/0")
        && let (Ok(terminal), Ok(place)) = (paths::open(&name), paths::open(Path::new(CONSOLE)))
    {
        mounts::attach(mounts::copy_of(terminal.as_fd())?.as_fd(), place.as_fd())?;
    }
    if is_directory(TERMINALS) {
        let options = c"newinstance,ptmxmode=0666,mode=0620";
        mounts::mount(c"devpts", c"/dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, options)?;
    }
    if access == Access::WorkspaceWrite && is_directory("/dev/shm") {
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        mounts::mount(c"tmpfs", c"/dev/shm", flags, c"mode=1777")?;
    }
    Ok(())
}

fn is_directory(path: &str) -> bool {
    let place = paths::open(Path::new(path));
    place.is_ok_and(|it| sys::file_type(it.as_fd()).is_ok_and(|kind| kind == libc::S_IFDIR))
}
