//! The file-system half of the confinement.
//!
//! Every right of the newest rule set the kernel really accepts is handled, so that whatever is not
//! granted is refused. Granted are: reading and executing everywhere (around hidden paths, and
//! devices where terminals are shared), all rights below writable roots, and writing to harmless
//! devices. Below ABI 3 files could be emptied in spite of it; there seccomp refuses every way.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::{CStr, CString};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope,
};
use libc::c_int;

use crate::limits::SIBLINGS_COUNT_MAX;
use crate::paths::{self, at_root, components};
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

/// `LANDLOCK_RULE_PATH_BENEATH` of linux/landlock.h.
const RULE_PATH_BENEATH: c_int = 1;

/// Devices that every program may write to and control. The last is what `/dev/ptmx` leads to where
/// that is a link.
const DEVICES: [&CStr; 8] = [
    c"/dev/null",
    c"/dev/zero",
    c"/dev/full",
    c"/dev/random",
    c"/dev/urandom",
    c"/dev/tty",
    c"/dev/ptmx",
    c"/dev/pts/ptmx",
];

/// Terminals of everybody, and those made by the command itself.
const TERMINALS: &CStr = c"/dev/pts";
const TERMINALS_PATH: &str = "/dev/pts";
const DEVICES_PATH: &str = "/dev";

/// Where POSIX semaphores and shared memory live.
const SHARED_MEMORY: &str = "/dev/shm";

/// Where uid 0 changes kernel settings without any capability; never granted by a wider root.
const KERNEL_SETTINGS: [&str; 2] = ["/proc", "/sys"];

/// Which terminals a command may open by their path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terminals {
    /// All there are, since nobody could give it its own.
    All,
    /// All in its own mounts, where nobody else's are, and the one it was given, if it was.
    Own,
    /// The one it was given, if it was. Those that it makes come from the supervisor.
    Given,
}

/// A rule set ready to take rules, and what it can hold.
pub(crate) struct Ground {
    rules: Rules,
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
                Ok(rules) => return Ok(Ground { rules, abi, number }),
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
        self,
        policy: &Policy,
        hidden: &[PathBuf],
        closed: &[PathBuf],
        terminals: Terminals,
    ) -> io::Result<Missing> {
        let read = AccessFs::from_read(self.abi);
        // Sockets served by the command itself stay reachable without `ResolveUnix`.
        let full = AccessFs::from_all(self.abi) & !AccessFs::ResolveUnix;
        let device = AccessFs::from_file(self.abi) & full & !AccessFs::Execute;
        let root = sys::open_path(at_root(), c"/")?;
        // Whoever reads from a terminal takes what was typed there. All of the devices are left out
        // for that, since there are many; the harmless ones follow.
        let is_foreign = terminals == Terminals::Given;
        // Consoles, disks and the memory of screens are never the command's own.
        let devices = (terminals != Terminals::All).then_some(Path::new(DEVICES_PATH));
        let unreadable = Hidden::of(hidden.iter().map(AsRef::as_ref).chain(devices))?;
        self.rules.grant(root.as_fd(), libc::S_IFDIR, read, &unreadable)?;
        if !unreadable.is_empty() {
            // Names only: content needs `ReadFile`.
            self.rules.add(root.as_fd(), libc::S_IFDIR, AccessFs::ReadDir.into())?;
        }
        for path in DEVICES {
            self.rules.grant_device(path, libc::S_IFCHR, device)?;
        }
        if devices.is_some() {
            self.rules.grant_root(Path::new(SHARED_MEMORY), read, &Hidden::default())?;
        }
        match terminals {
            Terminals::All | Terminals::Own => {
                let rights = device | AccessFs::ReadDir;
                self.rules.grant_device(TERMINALS, libc::S_IFDIR, rights)?;
            }
            Terminals::Given => self.rules.grant_given_terminal(device)?,
        }
        if terminals == Terminals::Own && io::stdin().is_terminal() {
            // The same under whatever name the mounts show it by.
            self.rules.add(io::stdin().as_fd(), libc::S_IFCHR, device)?;
        }
        if policy.access == Access::WorkspaceWrite {
            let closed = hidden.iter().chain(closed).map(AsRef::as_ref);
            let foreign = is_foreign.then_some(Path::new(TERMINALS_PATH));
            let closed = closed.chain(KERNEL_SETTINGS.map(Path::new)).chain(foreign);
            let closed = Hidden::of(closed)?;
            let roots = policy.writable_roots.iter().map(AsRef::as_ref);
            for path in roots.chain([Path::new(SHARED_MEMORY)]) {
                self.rules.grant_root(path, full, &closed)?;
            }
        }
        self.rules.enforce()?;
        let is_around = |root: &PathBuf| closed.iter().any(|path| path.starts_with(root));
        let by_siblings = !hidden.is_empty() || policy.writable_roots.iter().any(is_around);
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

/// Keeps the signals of this process, and of all that it starts, from everybody else. Moving files
/// between directories has to be granted, since every rule set refuses that by itself.
pub(crate) fn scope_signals() -> io::Result<()> {
    let build = || {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        ruleset.handle_access(AccessFs::Refer)?.scope(Scope::Signal)?.create()
    };
    let created: Option<OwnedFd> = build().map_err(|error| errno_within(&error))?.into();
    let rules = created.map(Rules).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTSUP))?;
    let root = sys::open_path(at_root(), c"/")?;
    rules.add(root.as_fd(), libc::S_IFDIR, AccessFs::Refer.into())?;
    rules.enforce()
}

fn create(abi: ABI, number: u32) -> io::Result<Rules> {
    let build = || {
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))?;
        let ruleset =
            if number < ABI_SCOPES { ruleset } else { ruleset.scope(Scope::from_all(abi))? };
        ruleset.create()
    };
    let created: Option<OwnedFd> = build().map_err(|error| errno_within(&error))?.into();
    // Only a kernel without Landlock makes none, and that is an error by what we ask for.
    created.map(Rules).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTSUP))
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

/// `struct landlock_path_beneath_attr` of linux/landlock.h.
#[repr(C, packed)]
struct PathBeneath {
    rights: u64,
    place: c_int,
}

/// A rule set of the kernel's. The library would look at each place again, and we know what it is.
struct Rules(OwnedFd);

impl Rules {
    /// Grants a device if it is what its name says; machines may lack some.
    fn grant_device(
        &self,
        path: &CStr,
        kind: libc::mode_t,
        rights: BitFlags<AccessFs>,
    ) -> io::Result<()> {
        let Ok(device) = sys::open_path(at_root(), path) else { return Ok(()) };
        if sys::file_type(device.as_fd())? != kind {
            return Ok(());
        }
        self.add(device.as_fd(), kind, rights)
    }

    /// Grants the terminal that is our standard input, if it is one.
    fn grant_given_terminal(&self, rights: BitFlags<AccessFs>) -> io::Result<()> {
        let Ok(name) = std::fs::read_link("/proc/self/fd/0") else { return Ok(()) };
        if !name.starts_with(TERMINALS_PATH) {
            return Ok(());
        }
        let Ok(name) = CString::new(name.into_os_string().into_vec()) else { return Ok(()) };
        self.grant_device(&name, libc::S_IFCHR, rights)
    }

    /// Grants a root except for what is hidden in it. A root that does not exist is skipped.
    fn grant_root(
        &self,
        path: &Path,
        rights: BitFlags<AccessFs>,
        hidden: &Hidden,
    ) -> io::Result<()> {
        let mut hidden = Some(hidden);
        for name in components(path)? {
            hidden = match hidden.map(|hidden| hidden.within.get(&name)) {
                Some(Some(inner)) if inner.is_empty() => return Ok(()),
                Some(inner) => inner,
                None => None,
            };
        }
        let root = match paths::open(path) {
            Ok(root) => root,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            // The shared memory of old systems is a link; the policy's own paths must not be.
            Err(error) if path == Path::new(SHARED_MEMORY) && is_loop(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let kind = sys::file_type(root.as_fd())?;
        match hidden {
            Some(hidden) => self.grant(root.as_fd(), kind, rights, hidden),
            None => self.add(root.as_fd(), kind, rights),
        }
    }

    /// Grants what a descriptor names; where something below is hidden, everything beside it
    /// instead.
    fn grant(
        &self,
        place: BorrowedFd<'_>,
        kind: libc::mode_t,
        rights: BitFlags<AccessFs>,
        hidden: &Hidden,
    ) -> io::Result<()> {
        if hidden.is_empty() {
            return self.add(place, kind, rights);
        }
        let listing = sys::open_at(place, c".", libc::O_RDONLY | libc::O_DIRECTORY)?;
        for name in sys::names(listing, SIBLINGS_COUNT_MAX)? {
            let inner = hidden.within.get(&name);
            if inner.is_some_and(Hidden::is_empty) {
                continue;
            }
            // Entries come and go, and a link grants nothing by itself.
            let Ok(entry) = sys::open_path(place, &name) else { continue };
            match (sys::file_type(entry.as_fd())?, inner) {
                (libc::S_IFLNK, _) => {}
                (libc::S_IFDIR, Some(inner)) => {
                    self.grant(entry.as_fd(), libc::S_IFDIR, rights, inner)?;
                }
                // Something hidden inside of a file cannot be: it is granted like its siblings.
                (kind, _) => self.add(entry.as_fd(), kind, rights)?,
            }
        }
        Ok(())
    }

    /// Adds one rule, without the rights that only directories have if it is none.
    fn add(
        &self,
        place: BorrowedFd<'_>,
        kind: libc::mode_t,
        rights: BitFlags<AccessFs>,
    ) -> io::Result<()> {
        let is_directory = kind == libc::S_IFDIR;
        let rights = if is_directory { rights } else { rights & AccessFs::from_file(ABI::V9) };
        let rule = PathBeneath { rights: rights.bits(), place: place.as_raw_fd() };
        let (rules, kind) = (self.0.as_raw_fd(), RULE_PATH_BENEATH);
        // SAFETY: the kernel reads a structure of this kind behind the pointer.
        let done = unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, rules, kind, &raw const rule, 0_u32)
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Confines this process for good.
    fn enforce(self) -> io::Result<()> {
        // SAFETY: the call takes integers.
        let done =
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0_u32) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
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
