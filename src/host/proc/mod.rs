//! Children that run for a call: the table of them.
//!
//! Each is started by `launch`, watched through its status and output pipes, and told of once, when
//! it has ended. Closing a child's control pipe, as happens when it is dropped, ends everything it
//! started.

pub mod child;
pub mod launch;
pub mod launched;
pub mod links;
pub mod overheard;
pub mod overlap;
pub mod programs;
pub mod protection;
pub mod pty;
pub mod restored;
pub mod roots;
pub mod session;

use std::io;
use std::os::fd::BorrowedFd;

use mio::Interest;
use windlass_sandbox::{Apart, Level, Look, Missing};

use crate::core::effect::Stop;
use crate::core::slots::Slots;
use crate::host::poller::{Key, Kind, Poller};
use crate::host::proc::child::{Child, Drained, End, Purpose};
use crate::host::proc::launched::Launched;
use crate::host::proc::programs::Program;
use crate::limits::{
    CHILDREN_MAX, OUTPUT_LINGER_MS, PROGRAMS_MAX, READ_BUDGET_BYTES, SCRATCH_BYTES,
};
use crate::words::call::Unread;
use crate::words::ids::OpId;

/// All children: those of calls, and the programs of clients.
#[derive(Debug)]
pub struct Children {
    slots: Slots<Child>,
    programs: Slots<Program>,
    /// Launchers that have closed their status and are about to be gone.
    unreaped: Vec<i32>,
    scratch: Box<[u8]>,
    apart: Option<Apart>,
    /// While something is to be kept as it was.
    look: Option<Look>,
    /// What is to be said of how commands are held here, once it is known.
    news: News,
}

/// Whether it was said how commands are held.
#[derive(Debug)]
enum News {
    /// No confined command ran yet.
    Awaited,
    ToTell(String),
    Told,
}

impl Default for Children {
    fn default() -> Children {
        let scratch = vec![0; SCRATCH_BYTES].into_boxed_slice();
        Children {
            slots: Slots::new(CHILDREN_MAX),
            programs: Slots::new(PROGRAMS_MAX),
            unreaped: Vec::new(),
            scratch,
            apart: None,
            look: None,
            news: News::Awaited,
        }
    }
}

impl Children {
    /// Whether one more child may be started.
    pub fn has_room(&self) -> bool {
        self.slots.iter().count() < CHILDREN_MAX
    }

    /// Watches a child that was started. One that cannot be watched is ended.
    pub fn add(&mut self, poller: &Poller, child: Child) -> io::Result<()> {
        let pid = child.launched().pid();
        let put = self.slots.put(|_, _| child);
        let Some((slot, generation)) = put else {
            // It was dropped, and its control pipe closed with it.
            self.unreaped.push(pid);
            return Err(io::Error::other("too many children run already"));
        };
        let Some(child) = self.slots.of(slot, generation) else { return Ok(()) };
        let watched = [
            (child.launched().status_fd(), Kind::CommandStatus, Interest::READABLE),
            (child.output_fd(), Kind::CommandOutput, Interest::READABLE),
            (child.typing_fd(), Kind::CommandInput, Interest::WRITABLE),
        ];
        let watched = watched.into_iter().try_for_each(|(fd, kind, interest)| {
            watch(poller, fd, Key::new(kind, slot, generation), interest)
        });
        if watched.is_err()
            && let Some(child) = self.slots.take(slot, generation)
        {
            self.see_off(child.launched());
        }
        watched
    }

    /// Reads what a child has to say.
    pub fn on_ready(&mut self, poller: &mut Poller, key: Key, now_ms: u64) {
        let Some(child) = self.slots.of_mut(key.slot(), key.generation()) else { return };
        match key.kind() {
            Kind::CommandStatus => {
                child.read_status(now_ms, OUTPUT_LINGER_MS);
                if child.launched().is_gone() {
                    // A terminal says only now that this was all.
                    let (slot, generation) = (key.slot(), key.generation());
                    poller.mark_ready(Key::new(Kind::CommandOutput, slot, generation));
                }
            }
            Kind::CommandInput => child.flush(),
            _ => {
                if child.read_output(&mut self.scratch, READ_BUDGET_BYTES) == Drained::More {
                    poller.mark_ready(key);
                }
            }
        }
        if let Some((level, missing)) = child.launched().confined() {
            self.apart = Apart::of(level, missing).or(self.apart);
            if matches!(self.news, News::Awaited) && level != Level::Open {
                self.news = less_than_full(level, missing).map_or(News::Told, News::ToTell);
            }
        }
        self.relieve(poller, key);
    }

    /// The end of a child, once nothing more can come of it.
    pub fn take_ended(&mut self, key: Key, now_ms: u64) -> Option<(OpId, Purpose, End)> {
        self.take_if_ended(key.slot(), key.generation(), now_ms)
    }

    /// What a command that is followed has printed since it was last asked.
    pub fn overheard(&mut self, key: Key) -> Option<(OpId, Vec<u8>)> {
        let child = self.slots.of_mut(key.slot(), key.generation())?;
        Some((child.op, child.overheard()?))
    }

    /// Nobody takes what a command that is followed prints, for now.
    pub fn unheard(&mut self, key: Key) {
        let child = self.slots.of_mut(key.slot(), key.generation());
        if let Some(overheard) = child.and_then(Child::unheard) {
            overheard.wait();
        }
    }

    /// Serves every command again that has printed what was not told.
    pub fn hear_again(&mut self, poller: &mut Poller) {
        let ids: Vec<(u16, u32)> = self.slots.ids().collect();
        for (slot, generation) in ids {
            let child = self.slots.of_mut(slot, generation);
            if child.is_some_and(|child| child.unheard().is_some()) {
                poller.mark_ready(Key::new(Kind::CommandOutput, slot, generation));
            }
        }
    }

    /// Which namespaces confined commands were found to get here; `None` before the first.
    pub fn apart(&self) -> Option<Apart> {
        self.apart
    }

    /// One line for people if the first confined command was held by less than all there is.
    pub fn take_news(&mut self) -> Option<String> {
        match std::mem::replace(&mut self.news, News::Told) {
            News::ToTell(line) => Some(line),
            before @ (News::Awaited | News::Told) => {
                self.news = before;
                None
            }
        }
    }

    /// When the output of a child whose status has ended is to be given up.
    pub fn next_deadline(&self) -> Option<u64> {
        self.slots.iter().filter_map(|child| child.launched().linger_until_ms()).min()
    }

    /// A child whose time to linger is over.
    pub fn on_deadline(&mut self, now_ms: u64) -> Option<(OpId, Purpose, End)> {
        let ids: Vec<(u16, u32)> = self.slots.ids().collect();
        ids.into_iter().find_map(|(slot, generation)| self.take_if_ended(slot, generation, now_ms))
    }

    fn take_if_ended(
        &mut self,
        slot: u16,
        generation: u32,
        now_ms: u64,
    ) -> Option<(OpId, Purpose, End)> {
        if !self.slots.of(slot, generation)?.has_ended(now_ms) {
            return None;
        }
        let child = self.slots.take(slot, generation)?;
        self.see_off(child.launched());
        Some(child.end())
    }

    /// Remembers to reap a launcher; of one that was killed, ends what it has left.
    fn see_off(&mut self, launched: &Launched) {
        self.unreaped.push(launched.pid());
        if launched.is_abandoned() {
            self.end_strangers(launched.pid());
        }
    }

    /// Ends what killed launchers have left, of which this one is the last.
    fn end_strangers(&self, killed: i32) {
        let known = self.launched().map(Launched::pid).chain(self.unreaped.iter().copied());
        windlass_sandbox::end_strangers(&known.collect::<Vec<i32>>(), Some(killed));
    }

    /// All that have a launcher.
    fn launched(&self) -> impl Iterator<Item = &Launched> {
        let children = self.slots.iter().map(Child::launched);
        children.chain(self.programs.iter().map(Program::launched))
    }

    /// Stops the child of this op. Returns whether there is one.
    pub fn stop(&mut self, op: OpId, how: Stop) -> bool {
        let child = self.child_mut(op);
        child.map(|child| child.stop(how)).is_some()
    }

    /// Writes to a session, or says why not. One that is gone has said so.
    pub fn write(&mut self, op: OpId, text: &str) -> Result<(), Box<str>> {
        self.child_mut(op).map_or(Ok(()), |child| child.write(text))
    }

    /// What a session has printed since it was last asked; `None` if it is gone.
    pub fn collect(&mut self, op: OpId) -> Option<Unread> {
        self.child_mut(op)?.collect()
    }

    fn child_mut(&mut self, op: OpId) -> Option<&mut Child> {
        let own = |&(slot, generation): &(u16, u32)| {
            self.slots.of(slot, generation).is_some_and(|child| child.op == op)
        };
        let (slot, generation) = self.slots.ids().find(own)?;
        self.slots.of_mut(slot, generation)
    }

    /// Whether launchers are about to be gone.
    pub fn is_reaping(&self) -> bool {
        !self.unreaped.is_empty()
    }

    /// Takes the exit statuses of launchers that have gone, so that none stays a zombie.
    pub fn reap(&mut self) {
        self.unreaped.retain(|&pid| !is_reaped(pid));
        self.drop_look();
    }

    /// Reaps whatever has ended, ours or not: as process 1 of a container we inherit every orphan.
    pub fn reap_as_init(&mut self) {
        while is_any_reaped() {}
        self.reap();
    }

    /// Ends everything, and waits for the launchers as long as `until` says.
    pub fn end_all(&mut self, mut wait: impl FnMut() -> bool) {
        let ids: Vec<(u16, u32)> = self.slots.ids().collect();
        for (slot, generation) in ids {
            if let Some(child) = self.slots.take(slot, generation) {
                self.unreaped.push(child.launched().pid());
            }
        }
        let ids: Vec<(u16, u32)> = self.programs.ids().collect();
        for (slot, generation) in ids {
            if let Some(program) = self.programs.take(slot, generation) {
                self.unreaped.push(program.launched().pid());
            }
        }
        self.reap();
        while !self.unreaped.is_empty() && wait() {
            self.reap();
        }
    }
}

/// Watches a descriptor of a child, if it has it.
fn watch(
    poller: &Poller,
    fd: Option<BorrowedFd<'_>>,
    key: Key,
    interest: Interest,
) -> io::Result<()> {
    let Some(fd) = fd else { return Ok(()) };
    match poller.register_fd(fd, key, interest) {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("it cannot be watched: {error}"))),
    }
}

/// What a person is told of commands that are held by less than all there is.
fn less_than_full(level: Level, missing: Missing) -> Option<String> {
    let (name, why) = match level {
        Level::Full | Level::Open => return None,
        Level::Standard => ("standard", "this system grants no namespaces"),
        Level::Reduced => ("reduced", "this system lacks a part of what confines commands"),
    };
    Some(format!("sandbox: {name}: {why}; not held: {missing} (`windlass doctor` says more)"))
}

/// Whether the process is gone, without waiting for it.
pub(crate) fn is_reaped(pid: i32) -> bool {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the call to write to.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    // An error means that there is no such child: somebody reaped it already.
    reaped != 0
}

/// Sets the soft limit of open files of a child that has no launcher. One that is no longer ours to
/// limit keeps what it has.
pub(crate) fn limit_open_files(pid: i32, soft: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let nothing = std::ptr::null();
    // SAFETY: `limit` is a valid place for the old limits, and no new ones are given.
    if unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, nothing, &raw mut limit) } != 0 {
        return;
    }
    limit.rlim_cur = soft.min(limit.rlim_max);
    let nowhere = std::ptr::null_mut();
    // SAFETY: `limit` is a valid value that outlives the call; the old limits are not asked for.
    let _ = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, nowhere) };
}

/// Whether some child was gone; its exit status is of no interest.
fn is_any_reaped() -> bool {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the call to write to.
    unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_less_than_full_is_told() {
        let missing = Missing::CONTROL_FILES.with(Missing::PROCESSES);
        assert_eq!(less_than_full(Level::Full, missing), None);
        assert_eq!(less_than_full(Level::Open, Missing::NONE), None);
        let line = less_than_full(Level::Standard, missing).unwrap();
        assert!(line.starts_with("sandbox: standard: "), "{line}");
        assert!(line.contains("not held: control files, names of processes ("), "{line}");
    }
}
