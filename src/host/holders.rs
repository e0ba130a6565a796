//! Who holds the other end of our stdin.
//!
//! A pipe does not say whether anyone means to write into it. Its writers do: a process that did
//! not start us is there to produce input, while those that did may hold the end only because they
//! opened it. Found through `/proc`, within bounds; what cannot be seen is said to be unseen.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::fronts::visible;
use crate::limits::{ANCESTORS_MAX, HOLDER_DESCRIPTORS_MAX, HOLDER_PROCESSES_MAX};
use crate::words::sort;

/// A process that can write to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    pub pid: u32,
    /// Its name, safe to show.
    pub name: Box<str>,
}

/// Who can write to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holders {
    /// A process that did not start us.
    Producer(Holder),
    /// Only processes that started us, this one among them.
    Ancestors(Holder),
    /// Nobody we can see.
    Unseen,
}

/// Finds who can write to the pipe open as `fd`.
pub fn of_pipe(fd: BorrowedFd<'_>) -> Holders {
    let proc = Proc { root: PathBuf::from("/proc") };
    proc.link_of_own(fd.as_raw_fd())
        .and_then(|link| proc.holders_of(&link))
        .unwrap_or(Holders::Unseen)
}

/// Finds who made the socket that ours is connected to.
pub fn of_socket(fd: BorrowedFd<'_>) -> Holders {
    let proc = Proc { root: PathBuf::from("/proc") };
    let judged = peer_pid(fd).and_then(|pid| {
        let ancestors = proc.ancestors()?;
        proc.judge(pid, &ancestors)
    });
    judged.unwrap_or(Holders::Unseen)
}

/// The process file system, or something laid out like it.
struct Proc {
    root: PathBuf,
}

impl Proc {
    /// What a descriptor of ours is open on, as the kernel names it: `pipe:[123]`, or a path.
    fn link_of_own(&self, fd: i32) -> Option<PathBuf> {
        fs::read_link(self.root.join("self/fd").join(fd.to_string())).ok()
    }

    fn holders_of(&self, link: &Path) -> Option<Holders> {
        let ancestors = self.ancestors()?;
        let &me = ancestors.first()?;
        let mut pids: Vec<u32> = fs::read_dir(&self.root)
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&pid| pid != me)
            .take(HOLDER_PROCESSES_MAX)
            .collect();
        // A pipeline's processes are started together, so their ids are near.
        sort::by_key(&mut pids, |pid| pid.abs_diff(me));
        let mut descriptors_left = HOLDER_DESCRIPTORS_MAX;
        let mut found = None;
        for pid in pids {
            if !self.can_write(pid, link, &mut descriptors_left) {
                continue;
            }
            match self.judge(pid, &ancestors) {
                Some(producer @ Holders::Producer(_)) => return Some(producer),
                Some(Holders::Ancestors(holder)) => found = Some(Holders::Ancestors(holder)),
                Some(Holders::Unseen) | None => {}
            }
        }
        found
    }

    /// Whether a process has `link` open for writing. One whose descriptors are closed to us counts
    /// as having not.
    fn can_write(&self, pid: u32, link: &Path, descriptors_left: &mut usize) -> bool {
        let directory = self.root.join(pid.to_string());
        let Ok(descriptors) = fs::read_dir(directory.join("fd")) else { return false };
        for descriptor in descriptors {
            if *descriptors_left == 0 {
                return false;
            }
            *descriptors_left -= 1;
            let Ok(descriptor) = descriptor else { return false };
            if fs::read_link(descriptor.path()).is_ok_and(|found| found == link) {
                let info = directory.join("fdinfo").join(descriptor.file_name());
                if fs::read_to_string(info).is_ok_and(|info| is_open_for_writing(&info)) {
                    return true;
                }
            }
        }
        false
    }

    /// What a writer is to us; `None` if it is ourselves, or gone.
    fn judge(&self, pid: u32, ancestors: &[u32]) -> Option<Holders> {
        let name = fs::read_to_string(self.root.join(pid.to_string()).join("comm")).ok()?;
        let holder = Holder { pid, name: visible::line(name.trim_end()).into() };
        match ancestors.iter().position(|&ancestor| ancestor == pid) {
            Some(0) => None,
            Some(_) => Some(Holders::Ancestors(holder)),
            None => Some(Holders::Producer(holder)),
        }
    }

    /// Our own id, our parent's, and so on upward, as this `/proc` numbers them.
    fn ancestors(&self) -> Option<Vec<u32>> {
        let (me, mut parent) = self.stat("self")?;
        let mut ancestors = vec![me];
        while parent != 0 && ancestors.len() < ANCESTORS_MAX {
            ancestors.push(parent);
            match self.stat(&parent.to_string()) {
                Some((_, next)) => parent = next,
                None => break,
            }
        }
        Some(ancestors)
    }

    /// A process's id and its parent's.
    fn stat(&self, process: &str) -> Option<(u32, u32)> {
        parse_stat(&fs::read_to_string(self.root.join(process).join("stat")).ok()?)
    }
}

/// Reads `pid (name) state ppid ...`; the name may hold anything, parentheses too
/// (proc_pid_stat(5)).
fn parse_stat(stat: &str) -> Option<(u32, u32)> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let parent = after_name.split_ascii_whitespace().nth(1)?;
    Some((pid.parse().ok()?, parent.parse().ok()?))
}

/// Reads the access mode of `flags:`, which is octal (proc_pid_fdinfo(5)).
fn is_open_for_writing(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| matches!(flags & libc::O_ACCMODE, libc::O_WRONLY | libc::O_RDWR))
}

/// The process that made the other end of a local socket, if it can be known here.
fn peer_pid(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` is live and as long as `length` says, which the kernel does not exceed.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &mut length,
        )
    };
    if result != 0 {
        return None;
    }
    u32::try_from(peer.pid).ok().filter(|&pid| pid != 0)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use super::*;

    /// A made-up `/proc`: 7 is us, 5 and 1 our ancestors.
    struct Fake(Proc);

    impl Fake {
        fn new(name: &str) -> Fake {
            let root = std::env::temp_dir().join(format!("holders-{}-{name}", std::process::id()));
            let fake = Fake(Proc { root });
            fake.process(7, 5, "windlass");
            symlink("7", fake.0.root.join("self")).unwrap();
            fake.process(5, 1, "bash");
            fake.process(1, 0, "init");
            fake
        }

        fn process(&self, pid: u32, parent: u32, name: &str) {
            let directory = self.0.root.join(pid.to_string());
            fs::create_dir_all(directory.join("fd")).unwrap();
            fs::create_dir_all(directory.join("fdinfo")).unwrap();
            fs::write(directory.join("stat"), format!("{pid} ({name}) S {parent} 0")).unwrap();
            fs::write(directory.join("comm"), format!("{name}\n")).unwrap();
        }

        fn open(&self, pid: u32, fd: u32, link: &str, flags: &str) {
            let directory = self.0.root.join(pid.to_string());
            symlink(link, directory.join("fd").join(fd.to_string())).unwrap();
            let info = format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t15\n");
            fs::write(directory.join("fdinfo").join(fd.to_string()), info).unwrap();
        }

        fn found(&self) -> Option<Holders> {
            self.0.holders_of(Path::new("pipe:[123]"))
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.root);
        }
    }

    fn holder(pid: u32, name: &str) -> Holder {
        Holder { pid, name: name.into() }
    }

    #[test]
    fn who_did_not_start_us_is_a_producer() {
        let fake = Fake::new("producer");
        fake.open(7, 0, "pipe:[123]", "0100000");
        assert_eq!(fake.found(), None, "nobody writes");
        fake.process(9, 5, "tail");
        fake.open(9, 1, "pipe:[456]", "0100001");
        fake.open(9, 2, "pipe:[123]", "0100000");
        assert_eq!(fake.found(), None, "others read it or write elsewhere");
        fake.open(1, 4, "pipe:[123]", "0100001");
        assert_eq!(fake.found(), Some(Holders::Ancestors(holder(1, "init"))));
        fake.process(8, 5, "slow (1) x");
        fake.open(8, 1, "pipe:[123]", "02100001");
        assert_eq!(fake.found(), Some(Holders::Producer(holder(8, "slow (1) x"))));
    }

    #[test]
    fn our_own_write_end_does_not_count() {
        let fake = Fake::new("own");
        fake.open(7, 0, "pipe:[123]", "02");
        assert_eq!(fake.found(), None);
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let fake = Fake::new("circle");
        fake.process(1, 5, "init");
        assert_eq!(fake.0.ancestors().map(|ancestors| ancestors.len()), Some(ANCESTORS_MAX));
    }

    #[test]
    fn our_real_ancestors_begin_with_us_and_our_parent() {
        let ancestors = Proc { root: PathBuf::from("/proc") }.ancestors().unwrap();
        let parent = std::os::unix::process::parent_id();
        assert_eq!(ancestors[..2], [std::process::id(), parent]);
    }

    #[test]
    fn the_search_stops_at_its_bound() {
        let fake = Fake::new("bound");
        fake.open(5, 1, "pipe:[123]", "01");
        assert!(!fake.0.can_write(5, Path::new("pipe:[123]"), &mut 0));
        assert!(fake.0.can_write(5, Path::new("pipe:[123]"), &mut 1));
    }

    #[test]
    fn stat_is_read_whatever_the_name() {
        for (stat, parsed) in [
            ("12 (bash) S 7 12 12", Some((12, 7))),
            ("12 (a) R 3 (b) S 7 12", Some((12, 7))),
            ("12 (x", None),
            ("", None),
            ("12 (x) S", None),
        ] {
            assert_eq!(parse_stat(stat), parsed, "{stat}");
        }
    }

    #[test]
    fn a_child_that_writes_into_a_pipe_is_found() {
        let (reader, writer) = io::pipe().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(writer).spawn().unwrap();
        let found = of_pipe(reader.as_fd());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(matches!(found, Holders::Producer(_)), "{found:?}");
    }

    #[test]
    fn a_socket_of_our_own_making_says_nothing() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer_pid(one.as_fd()), Some(std::process::id()));
        assert_eq!(of_socket(one.as_fd()), Holders::Unseen);
    }
}
