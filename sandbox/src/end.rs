//! Reaching everything that a command left behind.
//!
//! The supervisor is a subreaper: whoever loses its parent becomes its child. So a round of signals
//! to all descendants, repeated until no child is left, ends any tree, however it forks or changes
//! sessions. Children of the supervisor keep their number until it reaps them; deeper processes are
//! held by a pidfd and looked at again before they are signalled, so that a reused number is safe.
//!
//! Descendants are found by the lists of children in `/proc`; else by the parents in all of
//! `/proc/PID/stat`; else, without `/proc`, the children alone by asking for each number.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd};

use libc::{c_int, pid_t};

use crate::limits::{
    DESCENDANTS_COUNT_MAX, HERITAGE_MS_MAX, PID_MAX, PROC_LINE_BYTES_MAX, ROUND_PAUSE_MS_MAX,
    STRANGER_ROUNDS_COUNT,
};
use crate::sys;

/// Bytes of a list of children: every number up to `PID_MAX` has at most eight characters.
const CHILDREN_BYTES_MAX: u64 = DESCENDANTS_COUNT_MAX as u64 * 8;

/// Signals every descendant once, and says how many there were. SIGKILL also takes their groups
/// along, which processes that fork faster than we look cannot outrun.
pub(crate) fn signal_descendants(signal: c_int) -> usize {
    let us = sys::pid();
    let descendants = descendants(us).unwrap_or_else(|| {
        let children = children_by_number(us);
        children.into_iter().map(|pid| Descendant { pid, parent: us }).collect()
    });
    let mut parents = BTreeSet::from([us]);
    // One by one: what is collected is sorted before, by code of its own.
    for descendant in &descendants {
        parents.insert(descendant.pid);
    }
    for descendant in &descendants {
        let is_child = descendant.parent == us;
        // Who is gone meanwhile needs no signal; who refuses it is met again in the next round.
        let _ = signal_one(descendant.pid, signal, is_child, &parents);
    }
    descendants.len()
}

/// Kills every process that became our child because its supervisor was killed, and reaps it.
/// `killed` is that supervisor, a child of ours that may not be reaped yet: what it held open is
/// closed before its children become ours, so whoever has just heard of its end is early.
///
/// They are known by their session, which is neither ours nor that of a supervisor in `known`. Our
/// process must be a subreaper. What is left after so many rounds is met by the next call.
pub fn end_strangers(known: &[i32], killed: Option<i32>) -> usize {
    if let Some(Ok(pidfd)) = killed.map(sys::pidfd_open) {
        let fd = pidfd.as_raw_fd();
        // It is readable once the process has handed over all it had; an error costs only that.
        let _ = sys::poll(
            &mut [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }],
            HERITAGE_MS_MAX,
        );
    }
    let mut count = 0;
    for round in 0..STRANGER_ROUNDS_COUNT {
        let us = sys::pid();
        let own_session = sys::session(0).ok();
        let is_stranger = |pid: &pid_t| {
            !known.contains(pid) && sys::session(*pid).is_ok_and(|it| Some(it) != own_session)
        };
        let children = children_listed(us).unwrap_or_else(|| children_by_number(us));
        let strangers: Vec<pid_t> = children.into_iter().filter(is_stranger).collect();
        if strangers.is_empty() {
            break;
        }
        for pid in strangers {
            // A child keeps its number until we reap it.
            let _ = sys::kill(pid, libc::SIGKILL);
            count += usize::from(matches!(sys::reap(pid), sys::Reaped::Child(..)));
        }
        // Whoever is being killed needs a moment; an error costs only that.
        let _ = sys::poll(&mut [], round.min(ROUND_PAUSE_MS_MAX));
    }
    count
}

#[derive(Clone, Copy, Debug)]
struct Descendant {
    pid: pid_t,
    parent: pid_t,
}

fn signal_one(
    pid: pid_t,
    signal: c_int,
    is_child: bool,
    parents: &BTreeSet<pid_t>,
) -> io::Result<()> {
    let pidfd = match sys::pidfd_open(pid) {
        Ok(pidfd) => pidfd,
        // Without pidfds only a child's number is certain; the others become children in time.
        Err(_) if is_child => return sys::kill(pid, signal),
        Err(error) => return Err(error),
    };
    // If the number was reused before, its parent is a stranger; if after, the pidfd is dead.
    if !is_child && !stat_parent(pid).is_some_and(|parent| parents.contains(&parent)) {
        return Ok(());
    }
    // A group other than ours holds only what the command started: it began a session of its own.
    let is_apart = sys::process_group(pid)? != sys::process_group(0)?;
    if signal == libc::SIGKILL && is_apart {
        let whole_group = sys::PIDFD_SIGNAL_PROCESS_GROUP;
        if sys::pidfd_signal(pidfd.as_fd(), signal, whole_group).is_ok() {
            return Ok(());
        }
    }
    sys::pidfd_signal(pidfd.as_fd(), signal, 0)
}

/// The numbers of all descendants that `/proc` knows of.
pub(crate) fn descendants_of(pid: pid_t) -> Vec<pid_t> {
    let found = descendants(pid).unwrap_or_default();
    found.into_iter().map(|descendant| descendant.pid).collect()
}

/// All descendants that `/proc` knows of, parents first; `None` without `/proc`.
fn descendants(us: pid_t) -> Option<Vec<Descendant>> {
    let mut found: Vec<Descendant> = Vec::new();
    let mut known = BTreeSet::from([us]);
    let mut parents = vec![us];
    while let Some(parent) = parents.pop() {
        let children = match children_listed(parent) {
            Some(children) => children,
            None if parent == us => return descendants_by_stat(us),
            // It ended meanwhile.
            None => continue,
        };
        for pid in children {
            if found.len() == DESCENDANTS_COUNT_MAX {
                return Some(found);
            }
            if known.insert(pid) {
                found.push(Descendant { pid, parent });
                parents.push(pid);
            }
        }
    }
    Some(found)
}

/// The children of all threads of a process, where the kernel lists them.
fn children_listed(parent: pid_t) -> Option<Vec<pid_t>> {
    let mut children = Vec::new();
    let mut listed = false;
    for thread in std::fs::read_dir(format!("/proc/{parent}/task")).ok()? {
        let path = thread.ok()?.path().join("children");
        let mut line = String::new();
        let Ok(file) = File::open(path) else { continue };
        listed |= file.take(CHILDREN_BYTES_MAX).read_to_string(&mut line).is_ok();
        children.extend(line.split_ascii_whitespace().filter_map(|pid| pid.parse::<pid_t>().ok()));
    }
    listed.then_some(children)
}

/// The descendants by one look at the parent of every process.
fn descendants_by_stat(us: pid_t) -> Option<Vec<Descendant>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = stat_parent(pid) {
            all.push(Descendant { pid, parent });
        }
    }
    if !all.iter().any(|process| process.pid == us) {
        // Not the `/proc` of our processes.
        return None;
    }
    let mut known = BTreeSet::from([us]);
    let mut found = Vec::new();
    loop {
        let before = known.len();
        for process in &all {
            if known.contains(&process.parent) && known.insert(process.pid) {
                found.push(*process);
            }
        }
        if known.len() == before || found.len() >= DESCENDANTS_COUNT_MAX {
            return Some(found);
        }
    }
}

/// The parent of a process, by `/proc/PID/stat`.
pub(crate) fn stat_parent(pid: pid_t) -> Option<pid_t> {
    let mut line = Vec::new();
    let file = File::open(format!("/proc/{pid}/stat")).ok()?;
    file.take(PROC_LINE_BYTES_MAX as u64).read_to_end(&mut line).ok()?;
    parent_in_stat(&line)
}

/// `pid (name) state parent …`; the name may hold anything, so the last parenthesis counts.
fn parent_in_stat(line: &[u8]) -> Option<pid_t> {
    let name_end = line.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(line.get(name_end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Our children, found without `/proc`: a number is one of them or it is not.
///
/// A throw-away child tells how far the numbers have come since we started, which spares asking for
/// all four million.
fn children_by_number(us: pid_t) -> Vec<pid_t> {
    let newest = match sys::fork() {
        Ok(0) => sys::exit_now(0),
        Ok(child) => {
            sys::wait_for(child);
            child
        }
        // No process to spare: look at every number.
        Err(_) => us,
    };
    let among = |numbers: RangeInclusive<pid_t>| -> Vec<pid_t> {
        numbers.filter(|pid| sys::is_child(*pid)).take(DESCENDANTS_COUNT_MAX).collect()
    };
    let near = if newest > us { among(us..=newest) } else { Vec::new() };
    // The numbers may have wrapped around.
    if near.is_empty() { among(1..=PID_MAX) } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_looks_at_proc_find_the_same() {
        let mut children: Vec<_> = (0..3)
            .map(|_| std::process::Command::new("sleep").arg("60").spawn().unwrap())
            .collect();
        let us = sys::pid();
        let sorted = |found: Option<Vec<Descendant>>| {
            let found = found.unwrap().into_iter();
            let mut pids: Vec<_> =
                found.filter(|it| it.parent == us).map(|found| found.pid).collect();
            pids.sort_unstable();
            pids
        };
        let mut expected: Vec<_> = children.iter().map(|child| child.id().cast_signed()).collect();
        expected.sort_unstable();
        assert_eq!(sorted(descendants(us)), expected);
        assert_eq!(sorted(descendants_by_stat(us)), expected);
        for child in &mut children {
            assert!(sys::is_child(child.id().cast_signed()));
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(!sys::is_child(child.id().cast_signed()));
        }
    }

    #[test]
    fn a_name_cannot_pretend_another_parent() {
        assert_eq!(parent_in_stat(b"12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in_stat(b"12 (a) S 1 (b) R 7 12 12 0"), Some(7));
        assert_eq!(parent_in_stat(b"12 () ) S 7"), Some(7));
        assert_eq!(parent_in_stat(b"12 (\xff) S 7"), Some(7));
        assert_eq!(parent_in_stat(b"12 (sh"), None);
        assert_eq!(parent_in_stat(b""), None);
    }
}
