//! The places whose metadata a command may change: the writable roots, without what is closed.
//!
//! A pinned object is judged by the path the kernel gives for it at that moment. The command moves
//! things within the roots only, so whatever is found below a root is the command's to change. A
//! root counts only as long as its own descriptor still has the path it was taken with.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::kernel;
use crate::limits::PATH_BYTES_MAX;
use crate::policy::{Access, Policy};
use crate::sys;

/// Where our own descriptors have names.
const TABLE: &CStr = c"/proc/self/fd";

/// Writable like a root under `WorkspaceWrite`.
const SHARED_MEMORY: &str = "/dev/shm";

/// Never the command's, even below a root at the top.
const KERNEL_SETTINGS: [&[u8]; 2] = [b"/proc", b"/sys"];

#[derive(Debug)]
pub(crate) struct Roots {
    /// The names of our own descriptors, open so that they need not be looked up for each call;
    /// `None` without `/proc`, where no path is known and nothing passes.
    table: Option<OwnedFd>,
    roots: Vec<Root>,
    closed: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Root {
    pin: OwnedFd,
    path: Vec<u8>,
    /// Everybody may put things here.
    is_shared: bool,
}

impl Roots {
    /// Takes the roots of a policy. Those that don't exist, or lead through a link, are none.
    pub(crate) fn of(policy: &Policy) -> Roots {
        let table = sys::open(TABLE, libc::O_PATH).ok();
        let mut roots = Vec::new();
        if let (Access::WorkspaceWrite, Some(table)) = (policy.access, &table) {
            let paths = policy.writable_roots.iter().map(AsRef::as_ref);
            let paths = paths.chain([Path::new(SHARED_MEMORY)]);
            roots.extend(paths.filter_map(|path| Root::of(path, table.as_fd())));
        }
        let hidden = policy.unreadable.iter().chain(&policy.sealed).map(|path| plain(path));
        let settings = KERNEL_SETTINGS.map(<[u8]>::to_vec);
        Roots { table, roots, closed: hidden.chain(settings).collect() }
    }

    /// Refuses with `EPERM` what lies beneath no root.
    pub(super) fn judge(&self, object: BorrowedFd<'_>) -> io::Result<()> {
        self.judge_by(object, |_| true)
    }

    /// The same without roots like `/tmp`, where everybody puts things.
    pub(super) fn judge_private(&self, object: BorrowedFd<'_>) -> io::Result<()> {
        self.judge_by(object, |root| !root.is_shared)
    }

    fn judge_by(&self, object: BorrowedFd<'_>, counts: impl Fn(&Root) -> bool) -> io::Result<()> {
        let refused = || io::Error::from_raw_os_error(libc::EPERM);
        let table = self.table.as_ref().ok_or_else(refused)?.as_fd();
        let mut buffer = [0; PATH_BYTES_MAX + 1];
        let path = path_of(object, table, &mut buffer)?;
        let is_open = !self.closed.iter().any(|closed| is_beneath(path, closed));
        let mut above =
            self.roots.iter().filter(|root| is_beneath(path, &root.path) && counts(root));
        if is_open && above.any(|root| root.is_unmoved(table)) { Ok(()) } else { Err(refused()) }
    }
}

impl Root {
    fn of(path: &Path, table: BorrowedFd<'_>) -> Option<Root> {
        let path = plain(path);
        let name = CString::new(path.clone()).ok()?;
        let pin = sys::open(&name, libc::O_PATH | libc::O_NOFOLLOW).ok()?;
        let is_shared = sys::mode(pin.as_fd()).ok()? & libc::S_IWOTH != 0;
        let root = Root { pin, path, is_shared };
        root.is_unmoved(table).then_some(root)
    }

    fn is_unmoved(&self, table: BorrowedFd<'_>) -> bool {
        let mut buffer = [0; PATH_BYTES_MAX + 1];
        path_of(self.pin.as_fd(), table, &mut buffer).is_ok_and(|path| path == self.path)
    }
}

/// The path of what a descriptor names; no path begins otherwise than with a slash, and what has
/// none is refused like what lies elsewhere.
fn path_of<'a>(
    fd: BorrowedFd<'_>,
    table: BorrowedFd<'_>,
    buffer: &'a mut [u8],
) -> io::Result<&'a [u8]> {
    let len = kernel::read_link(table, &c_string(fd.as_raw_fd().to_string())?, buffer)?;
    Ok(&buffer[..len])
}

/// The name below `/proc` that leads to what a descriptor of ours names.
pub(super) fn link_of(fd: BorrowedFd<'_>) -> io::Result<CString> {
    c_string(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn c_string(name: String) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn is_beneath(path: &[u8], root: &[u8]) -> bool {
    if root == b"/" {
        return path.first() == Some(&b'/');
    }
    path.strip_prefix(root).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// A path as the kernel writes it: without doubled slashes and dots.
fn plain(path: &Path) -> Vec<u8> {
    let names = path.as_os_str().as_bytes().split(|&byte| byte == b'/');
    let mut plain = Vec::new();
    for name in names.filter(|name| !matches!(*name, b"" | b".")) {
        plain.push(b'/');
        plain.extend_from_slice(name);
    }
    if plain.is_empty() { b"/".to_vec() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::path::PathBuf;

    fn roots(writable: &[&Path], unreadable: &[PathBuf]) -> Roots {
        Roots::of(&Policy {
            writable_roots: writable.iter().map(PathBuf::from).collect(),
            unreadable: unreadable.to_vec(),
            ..Policy::of(Access::WorkspaceWrite)
        })
    }

    fn check(roots: &Roots, path: &Path, expected: bool) {
        let file = File::open(path).unwrap();
        assert_eq!(roots.judge(file.as_fd()).is_ok(), expected, "{path:?}");
    }

    #[test]
    fn only_what_lies_beneath_a_root_passes() {
        let place = std::env::temp_dir().canonicalize().unwrap();
        let place = place.join(format!("windlass-roots-{}", std::process::id()));
        let (root, beside) = (place.join("root"), place.join("root2"));
        fs::create_dir_all(root.join("closed")).unwrap();
        fs::create_dir_all(&beside).unwrap();
        fs::write(root.join("file"), "").unwrap();
        let judge = roots(&[&root], &[root.join("closed")]);
        check(&judge, &root, true);
        check(&judge, &root.join("file"), true);
        check(&judge, &root.join("closed"), false);
        check(&judge, &beside, false);
        check(&judge, &place, false);
        check(&judge, Path::new("/proc/self/status"), false);
        let (pipe, _other_end) = io::pipe().unwrap();
        assert!(judge.judge(pipe.as_fd()).is_err());
        let top = roots(&[Path::new("/")], &[]);
        check(&top, &beside, true);
        check(&top, Path::new("/proc/self/status"), false);
        let moved = place.join("moved");
        fs::rename(&root, &moved).unwrap();
        fs::create_dir(&root).unwrap();
        check(&judge, &root, false);
        check(&judge, &moved, false);
        std::os::unix::fs::symlink(&beside, place.join("link")).unwrap();
        let linked = roots(&[&place.join("link")], &[]);
        check(&linked, &beside, false);
        fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn paths_are_taken_as_the_kernel_writes_them() {
        assert_eq!(plain(Path::new("/a//b/./c/")), b"/a/b/c");
        assert_eq!(plain(Path::new("//")), b"/");
    }
}
