//! The file-system half of the confinement.
//!
//! Every right of the newest rule set the kernel really accepts is handled, so that whatever is not
//! granted is refused. Granted are: reading and executing everywhere (around hidden paths), all
//! rights below writable roots, and writing to the harmless devices. Below ABI 3 files could be
//! emptied in spite of it; there seccomp refuses every way to do so.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::limits::SIBLINGS_COUNT_MAX;
use crate::paths::{at_root, components, open_entry};
use crate::policy::{Access, Missing, Policy};
use crate::sys;

/// Rule sets we know, newest first. Seven and eight add no right to handle.
const LADDER: [(ABI, u32); 7] = [
    (ABI::V9, 9),
    (ABI::V6, 6),
    (ABI::V5, 5),
    (ABI::V4, 4),
    (ABI::V3, 3),
    (ABI::V2, 2),
    (ABI::V1, 1),
];

/// The first ABI that scopes signals and abstract sockets.
pub(crate) const ABI_SCOPES: u32 = 6;
/// The first ABI that handles truncation; before it, seccomp has to.
pub(crate) const ABI_TRUNCATE: u32 = 3;
/// The first ABI under which files can be moved between directories at all.
const ABI_MOVES: u32 = 2;
const ABI_DEVICE_CALLS: u32 = 5;
/// The first ABI that closes sockets served outside by their path.
pub(crate) const ABI_PATH_SOCKETS: u32 = 9;

/// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
const CREATE_RULESET_VERSION: u32 = 1;

/// Devices that every program may write to and control.
const DEVICES: [&CStr; 7] = [
    c"/dev/null",
    c"/dev/zero",
    c"/dev/full",
    c"/dev/random",
    c"/dev/urandom",
    c"/dev/tty",
    c"/dev/ptmx",
];

/// Terminals made by the command itself, and `ptmx` where `/dev/ptmx` is a link.
const TERMINALS: &CStr = c"/dev/pts";

/// Where POSIX semaphores and shared memory live.
const SHARED_MEMORY: &str = "/dev/shm";

/// Where uid 0 changes kernel settings without any capability; never granted by a wider root.
const KERNEL_SETTINGS: [&str; 2] = ["/proc", "/sys"];

/// A rule set ready to take rules, and what it can hold.
pub(crate) struct Ground {
    ruleset: RulesetCreated,
    abi: ABI,
    number: u32,
}

impl Ground {
    /// The newest rule set that the kernel accepts.
    ///
    /// The version it reports is not believed: backports claim versions and refuse their rights.
    pub(crate) fn find() -> io::Result<Ground> {
        let mut last = None;
        for (abi, number) in LADDER {
            match create(abi, number) {
                Ok(ruleset) => return Ok(Ground { ruleset, abi, number }),
                Err(error) => last = Some(error),
            }
        }
        reported_abi()?;
        Err(last.unwrap_or_else(|| io::Error::from_raw_os_error(libc::EINVAL)))
    }

    pub(crate) fn abi(&self) -> u32 {
        self.number
    }

    /// Confines this process for good.
    ///
    /// `hidden` are those of the policy's unreadable paths that nothing else hides, and `closed`
    /// the directories that nothing else keeps from being written to.
    pub(crate) fn enforce(
        mut self,
        policy: &Policy,
        hidden: &[PathBuf],
        closed: &[PathBuf],
    ) -> io::Result<Missing> {
        let read = AccessFs::from_read(self.abi);
        // Sockets served by the command itself stay reachable without `ResolveUnix`.
        let full = AccessFs::from_all(self.abi) & !AccessFs::ResolveUnix;
        let device = AccessFs::from_file(self.abi) & full & !AccessFs::Execute;
        let root = sys::open_path(at_root(), c"/")?;
        let unreadable = Hidden::of(hidden.iter().map(AsRef::as_ref))?;
        self.ruleset = grant(self.ruleset, root.as_fd(), read, &unreadable)?;
        if !unreadable.is_empty() {
            // Names only: content needs `ReadFile`.
            self.ruleset = add(self.ruleset, root.as_fd(), AccessFs::ReadDir.into())?;
        }
        for path in DEVICES {
            self.ruleset = grant_device(self.ruleset, path, libc::S_IFCHR, device)?;
        }
        let terminals = device | AccessFs::ReadDir;
        self.ruleset = grant_device(self.ruleset, TERMINALS, libc::S_IFDIR, terminals)?;
        if policy.access == Access::WorkspaceWrite {
            let closed = hidden.iter().chain(closed).map(AsRef::as_ref);
            let closed = Hidden::of(closed.chain(KERNEL_SETTINGS.map(Path::new)))?;
            let roots = policy.writable_roots.iter().map(AsRef::as_ref);
            for path in roots.chain([Path::new(SHARED_MEMORY)]) {
                self.ruleset = grant_root(self.ruleset, path, full, &closed)?;
            }
        }
        let status = self.ruleset.restrict_self().map_err(|error| errno_within(&error))?;
        if status.ruleset != RulesetStatus::FullyEnforced {
            return Err(io::Error::from_raw_os_error(libc::ENOTSUP));
        }
        let is_around = |root: &PathBuf| closed.iter().any(|path| path.starts_with(root));
        let by_siblings = !unreadable.is_empty() || policy.writable_roots.iter().any(is_around);
        Ok(missing(self.number, by_siblings))
    }
}

/// The ABI the kernel reports.
pub(crate) fn reported_abi() -> io::Result<u32> {
    let nothing = std::ptr::null::<u8>();
    // SAFETY: with this flag the kernel takes a null attribute of size zero and returns a number.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, CREATE_RULESET_VERSION)
    };
    u32::try_from(version).map_err(|_| io::Error::last_os_error())
}

fn create(abi: ABI, number: u32) -> io::Result<RulesetCreated> {
    let build = || {
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))?;
        let ruleset =
            if number < ABI_SCOPES { ruleset } else { ruleset.scope(Scope::from_all(abi))? };
        ruleset.create()
    };
    build().map_err(|error| errno_within(&error))
}

fn missing(abi: u32, by_siblings: bool) -> Missing {
    let mut missing = Missing::NONE;
    if abi < ABI_SCOPES {
        missing = missing.with(Missing::SIGNAL_SCOPE).with(Missing::ABSTRACT_SOCKETS);
    }
    if abi < ABI_MOVES {
        missing = missing.with(Missing::MOVES);
    }
    if abi < ABI_DEVICE_CALLS {
        missing = missing.with(Missing::DEVICE_CALLS);
    }
    if abi < ABI_PATH_SOCKETS {
        missing = missing.with(Missing::PATH_SOCKETS);
    }
    if by_siblings {
        missing = missing.with(Missing::NEW_SIBLINGS);
    }
    missing
}

/// Grants a device if it is what its name says; machines may lack some.
fn grant_device(
    ruleset: RulesetCreated,
    path: &CStr,
    kind: libc::mode_t,
    rights: BitFlags<AccessFs>,
) -> io::Result<RulesetCreated> {
    let Ok(device) = sys::open_path(at_root(), path) else { return Ok(ruleset) };
    if sys::file_type(device.as_fd())? != kind {
        return Ok(ruleset);
    }
    add(ruleset, device.as_fd(), rights)
}

/// Grants a root except for what is hidden in it. A root that does not exist is skipped.
fn grant_root(
    ruleset: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
    hidden: &Hidden,
) -> io::Result<RulesetCreated> {
    let mut here = sys::open_path(at_root(), c"/")?;
    let mut hidden = Some(hidden);
    for name in components(path)? {
        here = match open_entry(here.as_fd(), &name) {
            Ok(entry) => entry,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(ruleset),
            // The shared memory of old systems is a link; the policy's own paths must not be.
            Err(error) if path == Path::new(SHARED_MEMORY) && is_loop(&error) => {
                return Ok(ruleset);
            }
            Err(error) => return Err(error),
        };
        hidden = match hidden.map(|hidden| hidden.within.get(&name)) {
            Some(Some(inner)) if inner.is_empty() => return Ok(ruleset),
            Some(inner) => inner,
            None => None,
        };
    }
    match hidden {
        Some(hidden) => grant(ruleset, here.as_fd(), rights, hidden),
        None => add(ruleset, here.as_fd(), rights),
    }
}

fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// Grants what a descriptor names; where something below is hidden, everything beside it instead.
fn grant(
    mut ruleset: RulesetCreated,
    place: BorrowedFd<'_>,
    rights: BitFlags<AccessFs>,
    hidden: &Hidden,
) -> io::Result<RulesetCreated> {
    if hidden.is_empty() {
        return add(ruleset, place, rights);
    }
    let listing = sys::open_at(place, c".", libc::O_RDONLY | libc::O_DIRECTORY)?;
    for name in sys::names(listing, SIBLINGS_COUNT_MAX)? {
        let inner = hidden.within.get(&name);
        if inner.is_some_and(Hidden::is_empty) {
            continue;
        }
        // Entries come and go, and a link grants nothing by itself.
        let Ok(entry) = open_entry(place, &name) else { continue };
        ruleset = match inner {
            Some(inner) if sys::file_type(entry.as_fd())? == libc::S_IFDIR => {
                grant(ruleset, entry.as_fd(), rights, inner)?
            }
            // Something hidden inside of a file cannot be: the file is granted like its siblings.
            Some(_) | None => add(ruleset, entry.as_fd(), rights)?,
        };
    }
    Ok(ruleset)
}

/// Adds one rule, without the rights that only directories have if it is none.
fn add(
    ruleset: RulesetCreated,
    place: BorrowedFd<'_>,
    rights: BitFlags<AccessFs>,
) -> io::Result<RulesetCreated> {
    let is_directory = sys::file_type(place)? == libc::S_IFDIR;
    let rights = if is_directory { rights } else { rights & AccessFs::from_file(ABI::V9) };
    ruleset.add_rule(PathBeneath::new(place, rights)).map_err(|error| errno_within(&error))
}

/// What stays closed, as a tree of names. A tree without names is a path that ends here.
#[derive(Default)]
struct Hidden {
    within: BTreeMap<CString, Hidden>,
}

impl Hidden {
    fn of<'a>(paths: impl Iterator<Item = &'a Path>) -> io::Result<Hidden> {
        let mut tree: Option<Hidden> = None;
        for path in paths {
            let mut here = tree.get_or_insert_default();
            let names = components(path)?;
            if names.is_empty() {
                // Hiding everything is not a policy to run a program under.
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            for (index, name) in names.iter().enumerate() {
                let is_new = !here.within.contains_key(name);
                let inner = here.within.entry(name.clone()).or_default();
                let is_last = index + 1 == names.len();
                if is_last {
                    inner.within.clear();
                } else if !is_new && inner.is_empty() {
                    // A path above is hidden already.
                    break;
                }
                here = inner;
            }
        }
        Ok(tree.unwrap_or_default())
    }

    fn is_empty(&self) -> bool {
        self.within.is_empty()
    }
}

/// The system's error at the bottom of the library's; `EINVAL` if it has none, which is how it
/// says that the kernel lacks a right.
fn errno_within(error: &(dyn Error + 'static)) -> io::Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(errno) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        cause = error.source();
    }
    io::Error::from_raw_os_error(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_hidden(paths: &[&str], expected: &str) {
        let hidden = Hidden::of(paths.iter().map(Path::new)).unwrap();
        assert_eq!(shown(&hidden), expected);
    }

    fn shown(hidden: &Hidden) -> String {
        let inner = hidden.within.iter();
        let inner = inner.map(|(name, hidden)| {
            format!("{}{}", name.to_str().unwrap(), {
                let inner = shown(hidden);
                if inner.is_empty() { inner } else { format!("({inner})") }
            })
        });
        inner.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn hidden_paths_share_their_way() {
        check_hidden(&["/a/b", "/a/c/d", "/e"], "a(b c(d)) e");
        check_hidden(&["/a//./b/"], "a(b)");
        check_hidden(&[], "");
    }

    #[test]
    fn a_hidden_path_hides_what_is_below_it() {
        check_hidden(&["/a/b/c", "/a/b"], "a(b)");
        check_hidden(&["/a/b", "/a/b/c/d"], "a(b)");
        check_hidden(&["/a/b", "/a/b"], "a(b)");
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        assert_eq!(
            components(Path::new("/a/../b")).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
    }
}
