//! mio's poll, and the list of what is ready.
//!
//! Readiness is edge-triggered: after a partial read no second event comes. So a source that
//! stopped before `WouldBlock` puts itself back on the ready list with `mark_ready`, and while the
//! list holds anything the loop does not sleep. Sources are named by `Key`; a key of a source that
//! is gone is for its owner to recognise by the generation. What can be polled is up to the kernel:
//! regular files and `/dev/null` cannot, and count as always ready.

use std::collections::VecDeque;
use std::io;
use std::ops::BitOr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::limits::POLL_EVENTS_MAX;

/// The poll and the ready list.
#[derive(Debug)]
pub struct Poller {
    poll: Poll,
    events: Events,
    /// Keys in the order they are to be served. May hold stale ones: `marks` decides.
    order: VecDeque<Key>,
    /// What is known of the newest generation of each slot, by kind and slot.
    marks: [Vec<Mark>; Kind::COUNT],
    ready_count: usize,
}

/// Names a source: what it is, its slot in its owner's table, and which user of that slot.
///
/// Slots of one kind belong to one owner, and a slot has a new user only when the source of the one
/// before is closed: of a slot, the list knows the newest user alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Key {
    kind: Kind,
    slot: u16,
    generation: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Kind {
    Signals,
    Stdin,
    Stdout,
    Stderr,
    Exchange,
    Resolver,
    CommandStatus,
    CommandOutput,
    CommandInput,
    ProgramStatus,
    ProgramStdout,
    ProgramStderr,
    ProgramInput,
}

/// What the kernel said of a source since it was last taken off the ready list. A hint: trust the
/// read. Nothing of it is set for a source that marked itself ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    pub readable: bool,
    pub writable: bool,
    /// The other side writes no more, or the connection is broken: read until the end.
    pub closed: bool,
}

/// How a descriptor can be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Registered {
    Polled,
    /// The kernel refuses to poll it; mark it ready for as long as it is wanted.
    AlwaysReady,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    generation: u32,
    readiness: Readiness,
    is_ready: bool,
}

impl Poller {
    pub fn new() -> io::Result<Poller> {
        Ok(Poller {
            poll: Poll::new()?,
            events: Events::with_capacity(POLL_EVENTS_MAX),
            order: VecDeque::new(),
            marks: [const { Vec::new() }; Kind::COUNT],
            ready_count: 0,
        })
    }

    /// Where sources of other kinds register themselves.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Watches a mio source. Several sources may share one key.
    pub fn register(
        &self,
        source: &mut impl Source,
        key: Key,
        interest: Interest,
    ) -> io::Result<()> {
        self.poll.registry().register(source, key.token(), interest)
    }

    /// Watches any descriptor.
    pub fn register_fd(
        &self,
        fd: BorrowedFd<'_>,
        key: Key,
        interest: Interest,
    ) -> io::Result<Registered> {
        let registered =
            self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), key.token(), interest);
        match registered {
            Ok(()) => Ok(Registered::Polled),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(Registered::AlwaysReady),
            Err(error) => Err(error),
        }
    }

    /// Asks anew: a descriptor that is ready now will be said to be so once more.
    pub fn reregister_fd(
        &self,
        fd: BorrowedFd<'_>,
        key: Key,
        interest: Interest,
    ) -> io::Result<()> {
        self.poll.registry().reregister(&mut SourceFd(&fd.as_raw_fd()), key.token(), interest)
    }

    /// Ends the watching. Closing the last copy of a descriptor does so as well.
    pub fn deregister_fd(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()))
    }

    /// Puts a source at the back of the ready list, unless it is on it.
    pub fn mark_ready(&mut self, key: Key) {
        self.mark(key, Readiness::default());
    }

    /// The source that has waited longest, and what was said of it since it was last taken.
    pub fn pop_ready(&mut self) -> Option<(Key, Readiness)> {
        while let Some(key) = self.order.pop_front() {
            let mark = &mut self.marks[key.kind as usize][usize::from(key.slot)];
            if mark.is_ready && mark.generation == key.generation {
                mark.is_ready = false;
                self.ready_count -= 1;
                return Some((key, std::mem::take(&mut mark.readiness)));
            }
        }
        None
    }

    /// How many sources wait to be served; a revolution of the loop takes so many, then sleeps
    /// again.
    pub fn ready_count(&self) -> usize {
        self.ready_count
    }

    /// Waits until something is ready or the time is over, and puts what is ready on the list.
    ///
    /// Does not wait if the list holds anything. An error is fatal: there is nothing to go on with.
    pub fn sleep(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.ready_count > 0 { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // A signal; its own source tells of it.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let closed = event.is_read_closed() || event.is_error();
            let readiness = Readiness {
                readable: event.is_readable() || closed,
                writable: event.is_writable() || event.is_write_closed() || event.is_error(),
                closed,
            };
            if let Some(key) = Key::of(event.token()) {
                self.mark(key, readiness);
            }
        }
        self.events = events;
        Ok(())
    }

    fn mark(&mut self, key: Key, readiness: Readiness) {
        let marks = &mut self.marks[key.kind as usize];
        let slot = usize::from(key.slot);
        if marks.len() <= slot {
            marks.resize(slot + 1, Mark::default());
        }
        let mark = &mut marks[slot];
        if mark.is_ready && mark.generation == key.generation {
            mark.readiness = mark.readiness | readiness;
            return;
        }
        // Either it was not ready, or an earlier user of the slot was and is gone now.
        if !mark.is_ready {
            self.ready_count += 1;
        }
        *mark = Mark { generation: key.generation, readiness, is_ready: true };
        self.order.push_back(key);
    }
}

impl Kind {
    const ALL: [Kind; 13] = [
        Kind::Signals,
        Kind::Stdin,
        Kind::Stdout,
        Kind::Stderr,
        Kind::Exchange,
        Kind::Resolver,
        Kind::CommandStatus,
        Kind::CommandOutput,
        Kind::CommandInput,
        Kind::ProgramStatus,
        Kind::ProgramStdout,
        Kind::ProgramStderr,
        Kind::ProgramInput,
    ];
    const COUNT: usize = Kind::ALL.len();
}

impl Key {
    /// Bits of the generation that fit a token besides kind and slot.
    const GENERATION_BITS: u32 = if usize::BITS >= 64 { 32 } else { usize::BITS - 16 - 5 };
    const GENERATION_MASK: u32 = u32::MAX >> (32 - Key::GENERATION_BITS);

    /// A key; of the generation only as many bits count as a token can carry.
    pub const fn new(kind: Kind, slot: u16, generation: u32) -> Key {
        Key { kind, slot, generation: generation & Key::GENERATION_MASK }
    }

    pub fn kind(self) -> Kind {
        self.kind
    }

    pub fn slot(self) -> u16 {
        self.slot
    }

    pub fn generation(self) -> u32 {
        self.generation
    }

    pub fn token(self) -> Token {
        let owner = (self.kind as usize) << 16 | usize::from(self.slot);
        Token(owner << Key::GENERATION_BITS | self.generation as usize)
    }

    fn of(token: Token) -> Option<Key> {
        let owner = token.0 >> Key::GENERATION_BITS;
        let generation = (token.0 & Key::GENERATION_MASK as usize) as u32;
        let kind = *Kind::ALL.get(owner >> 16)?;
        Some(Key { kind, slot: (owner & 0xffff) as u16, generation })
    }
}

const _: () = assert!(Kind::COUNT <= 1 << 5, "the kind fits a token of 32 bits");

impl BitOr for Readiness {
    type Output = Readiness;

    fn bitor(self, other: Readiness) -> Readiness {
        Readiness {
            readable: self.readable | other.readable,
            writable: self.writable | other.writable,
            closed: self.closed | other.closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn key(slot: u16, generation: u32) -> Key {
        Key::new(Kind::Stdin, slot, generation)
    }

    /// Sleeps until something is ready; a signal for another test may end a sleep before that.
    fn wait(poller: &mut Poller) {
        while poller.ready_count() == 0 {
            poller.sleep(None).unwrap();
        }
    }

    fn slots(poller: &mut Poller) -> Vec<u16> {
        std::iter::from_fn(|| poller.pop_ready()).map(|(key, _)| key.slot).collect()
    }

    #[test]
    fn every_key_survives_its_token() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            for key in [Key::new(kind, u16::MAX, u32::MAX), Key::new(kind, 1, 2)] {
                assert_eq!(Key::of(key.token()), Some(key));
            }
        }
        assert_eq!(Key::of(Token(usize::MAX)), None);
    }

    #[test]
    fn a_source_is_on_the_list_once_and_goes_to_the_back() {
        let mut poller = Poller::new().unwrap();
        for slot in [3, 1, 3, 2, 1] {
            poller.mark_ready(key(slot, 0));
        }
        assert_eq!(poller.ready_count(), 3);
        let (first, _) = poller.pop_ready().unwrap();
        poller.mark_ready(first);
        assert_eq!(slots(&mut poller), [1, 2, 3]);
        assert_eq!((poller.ready_count(), poller.pop_ready()), (0, None));
    }

    #[test]
    fn a_new_user_of_a_slot_hides_the_one_before() {
        let mut poller = Poller::new().unwrap();
        poller.mark(key(1, 1), Readiness { closed: true, ..Readiness::default() });
        poller.mark_ready(key(1, 2));
        assert_eq!(poller.ready_count(), 1);
        assert_eq!(poller.pop_ready(), Some((key(1, 2), Readiness::default())));
        assert_eq!(poller.pop_ready(), None);
    }

    #[test]
    fn after_a_partial_read_no_second_event_comes() {
        let mut poller = Poller::new().unwrap();
        let (mut reader, mut writer) = io::pipe().unwrap();
        let at = poller.register_fd(reader.as_fd(), key(0, 0), Interest::READABLE).unwrap();
        assert_eq!(at, Registered::Polled);
        writer.write_all(b"two").unwrap();
        wait(&mut poller);
        let (ready, said) = poller.pop_ready().unwrap();
        assert_eq!((ready, said.readable, said.closed), (key(0, 0), true, false));
        reader.read_exact(&mut [0]).unwrap();
        poller.sleep(NOW).unwrap();
        assert_eq!(poller.pop_ready(), None);

        // Asking anew says it again, and so does new data.
        poller.reregister_fd(reader.as_fd(), key(0, 0), Interest::READABLE).unwrap();
        wait(&mut poller);
        assert!(poller.pop_ready().is_some());
        writer.write_all(b"more").unwrap();
        wait(&mut poller);
        assert!(poller.pop_ready().is_some());

        poller.deregister_fd(reader.as_fd()).unwrap();
        drop(writer);
        poller.sleep(NOW).unwrap();
        assert_eq!(poller.pop_ready(), None);
    }

    #[test]
    fn the_end_of_a_pipe_is_said() {
        let mut poller = Poller::new().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        poller.register_fd(reader.as_fd(), key(0, 0), Interest::READABLE).unwrap();
        drop(writer);
        wait(&mut poller);
        assert!(poller.pop_ready().unwrap().1.closed);
    }

    #[test]
    fn files_and_the_null_device_are_always_ready() {
        let poller = Poller::new().unwrap();
        for path in ["/dev/null", "/proc/self/exe"] {
            let file = File::open(path).unwrap();
            let at = poller.register_fd(file.as_fd(), key(0, 0), Interest::READABLE).unwrap();
            assert_eq!(at, Registered::AlwaysReady, "{path}");
        }
    }

    #[test]
    fn a_descriptor_registered_twice_is_an_error() {
        let poller = Poller::new().unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        poller.register_fd(reader.as_fd(), key(0, 0), Interest::READABLE).unwrap();
        assert!(poller.register_fd(reader.as_fd(), key(1, 0), Interest::READABLE).is_err());
    }

    #[test]
    fn nobody_sleeps_while_something_is_ready() {
        let mut poller = Poller::new().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        poller.register_fd(reader.as_fd(), key(1, 0), Interest::READABLE).unwrap();
        writer.write_all(b"x").unwrap();
        poller.mark_ready(key(0, 0));
        // Without an end to the sleep this would hang if it slept. It still sees what else is
        // ready.
        poller.sleep(None).unwrap();
        assert_eq!(slots(&mut poller), [0, 1]);
    }

    #[test]
    fn more_events_than_one_poll_takes_are_not_lost() {
        let mut poller = Poller::new().unwrap();
        let count = u16::try_from(POLL_EVENTS_MAX + 10).unwrap();
        let mut pipes = Vec::new();
        for slot in 0..count {
            let (reader, mut writer) = io::pipe().unwrap();
            poller.register_fd(reader.as_fd(), key(slot, 0), Interest::READABLE).unwrap();
            writer.write_all(b"x").unwrap();
            pipes.push((reader, writer));
        }
        wait(&mut poller);
        assert_eq!(poller.ready_count(), POLL_EVENTS_MAX);
        poller.sleep(NOW).unwrap();
        let mut seen = slots(&mut poller);
        seen.sort_unstable();
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }
}
