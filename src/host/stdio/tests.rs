use std::io::{Read, pipe};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mio::{Events, Poll};

use super::*;

fn outlet(file: impl Into<OwnedFd>) -> Outlet {
    Outlet::open(file.into().as_fd()).unwrap()
}

/// An outlet that must share the description it was given.
fn shared(file: impl Into<OwnedFd>, piece_bytes: usize) -> Outlet {
    let mut outlet = outlet(File::open("/dev/null").unwrap());
    outlet.way = Way::Shared { file: File::from(file.into()), piece_bytes };
    outlet
}

fn flags(fd: BorrowedFd<'_>) -> i32 {
    // SAFETY: F_GETFL only reads the flags of an open descriptor.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }
}

/// A terminal: who drives it, and what a program in it has as stdout.
fn terminal() -> (File, File) {
    let master = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
    let unlocked: libc::c_int = 0;
    // SAFETY: the descriptor is open, and TIOCSPTLCK reads one int.
    assert_eq!(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &unlocked) }, 0);
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the descriptor is open, and TIOCGPTPEER takes flags by value.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    assert!(slave >= 0);
    // SAFETY: the call just made this descriptor for us.
    (master, unsafe { File::from_raw_fd(slave) })
}

fn read_some(mut reader: impl Read) -> usize {
    reader.read(&mut [0; 64 << 10]).unwrap()
}

/// Whoever does not read stops only what goes to them, and gets every byte once they read again.
fn check_stalled(mut outlet: Outlet, mut reader: impl Read) {
    let text: Vec<u8> = (0..600_000_u32).map(|index| b'a' + (index % 23) as u8).collect();
    outlet.push(&text);
    assert_eq!(outlet.flush(1), Flush::Spent);
    assert_eq!(outlet.flush(usize::MAX), Flush::Waiting);
    assert_eq!(outlet.flush(usize::MAX), Flush::Waiting);
    let mut arrived = Vec::new();
    while outlet.waiting_bytes() > 0 {
        let mut piece = [0; 64 << 10];
        let bytes = reader.read(&mut piece).unwrap();
        arrived.extend_from_slice(&piece[..bytes]);
        outlet.flush(usize::MAX);
    }
    assert!(text.starts_with(&arrived) && arrived.len() < text.len());
}

#[test]
fn a_pipe_that_is_not_read_does_not_block() {
    let (reader, writer) = pipe().unwrap();
    let before = flags(writer.as_fd());
    let outlet = Outlet::open(writer.as_fd()).unwrap();
    assert!(matches!(outlet.way, Way::Private(_)));
    check_stalled(outlet, reader);
    assert_eq!(flags(writer.as_fd()), before, "what we inherited is left as it was");
}

#[test]
fn a_pipe_that_cannot_be_opened_anew_does_not_block() {
    let (reader, writer) = pipe().unwrap();
    check_stalled(shared(writer, SHARED_PIPE_WRITE_BYTES_MAX), reader);
}

#[test]
fn a_socket_that_is_not_read_does_not_block() {
    let (reader, writer) = UnixStream::pair().unwrap();
    let before = flags(writer.as_fd());
    check_stalled(Outlet::open(writer.as_fd()).unwrap(), reader);
    assert_eq!(flags(writer.as_fd()), before);
}

#[test]
fn a_stopped_terminal_does_not_block() {
    let (master, slave) = terminal();
    let before = flags(slave.as_fd());
    let outlet = Outlet::open(slave.as_fd()).unwrap();
    assert!(matches!(outlet.way, Way::Private(_)));
    check_stalled(outlet, master.try_clone().unwrap());
    assert_eq!(flags(slave.as_fd()), before);
}

#[test]
fn a_terminal_that_cannot_be_opened_anew_does_not_block() {
    let (master, slave) = terminal();
    check_stalled(shared(slave, SHARED_TERMINAL_WRITE_BYTES_MAX), master);
}

#[test]
fn terminals_are_told_apart() {
    let (_one_master, one) = terminal();
    let (_other_master, other) = terminal();
    let again = one.try_clone().unwrap();
    let null = File::open("/dev/null").unwrap();
    assert!(is_same_terminal(one.as_fd(), again.as_fd()));
    assert!(!is_same_terminal(one.as_fd(), other.as_fd()));
    assert!(!is_same_terminal(one.as_fd(), null.as_fd()));
    assert!(!is_same_terminal(null.as_fd(), null.as_fd()));
}

#[test]
fn the_loop_hears_when_a_reader_takes_more() {
    let (reader, writer) = pipe().unwrap();
    let mut outlet = outlet(writer);
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    assert_eq!(outlet.register(poll.registry(), Token(7)).unwrap(), Watch::Events);
    outlet.push(&[b'x'; 200_000]);
    assert_eq!(outlet.flush(usize::MAX), Flush::Waiting);
    let now = Some(Duration::ZERO);
    poll.poll(&mut events, now).unwrap();
    poll.poll(&mut events, now).unwrap();
    assert!(events.is_empty());
    read_some(&reader);
    poll.poll(&mut events, now).unwrap();
    assert_eq!(events.iter().next().map(|event| event.token()), Some(Token(7)));
    outlet.deregister(poll.registry());
}

#[test]
fn what_is_always_ready_is_written_directly() {
    let poll = Poll::new().unwrap();
    let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
    let mut outlet = outlet(null);
    assert_eq!(outlet.register(poll.registry(), Token(0)).unwrap(), Watch::AlwaysReady);
    outlet.push(b"x");
    assert_eq!(outlet.flush(usize::MAX), Flush::Empty);
    assert!(outlet.take_loss().is_none());
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut outlet = outlet(full);
    outlet.push(b"x");
    assert_eq!(outlet.flush(usize::MAX), Flush::Empty);
    let loss = outlet.take_loss();
    assert!(matches!(&loss, Some(Loss::Failed(error)) if error.kind() == ErrorKind::StorageFull));
}

/// A reader that left is told once, and later bytes are dropped.
fn check_left(mut outlet: Outlet) {
    outlet.push(b"x");
    assert_eq!(outlet.flush(usize::MAX), Flush::Empty);
    assert!(matches!(outlet.take_loss(), Some(Loss::ReaderLeft)));
    assert!(outlet.take_loss().is_none());
    outlet.push(b"x");
    assert_eq!((outlet.waiting_bytes(), outlet.flush(usize::MAX)), (0, Flush::Empty));
    assert!(outlet.take_loss().is_none());
}

#[test]
fn a_reader_that_left_is_told_once() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    check_left(outlet(writer));
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    check_left(shared(writer, SHARED_PIPE_WRITE_BYTES_MAX));
    let (reader, writer) = pipe().unwrap();
    let left_later = outlet(writer);
    drop(reader);
    check_left(left_later);
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    check_left(outlet(writer));
    let (master, slave) = terminal();
    let hung_up = outlet(slave);
    drop(master);
    check_left(hung_up);
}

#[test]
fn a_queue_pauses_its_source_between_the_marks() {
    let (reader, writer) = pipe().unwrap();
    let mut outlet = outlet(writer);
    outlet.push(&vec![0; OUTPUT_QUEUE_BYTES_HIGH]);
    assert_eq!(outlet.pressure(), Pressure::Flow);
    outlet.push(&[0]);
    assert_eq!(outlet.pressure(), Pressure::Hold);
    while outlet.waiting_bytes() >= OUTPUT_QUEUE_BYTES_LOW {
        assert_eq!(outlet.pressure(), Pressure::Hold);
        outlet.flush(usize::MAX);
        read_some(&reader);
    }
    assert_eq!(outlet.pressure(), Pressure::Flow);
}

#[test]
fn a_reader_that_never_reads_is_given_up_at_the_bound() {
    let (_reader, writer) = pipe().unwrap();
    let mut outlet = outlet(writer);
    outlet.push(&vec![0; OUTPUT_QUEUE_BYTES_MAX]);
    assert!(outlet.take_loss().is_none());
    outlet.push(&[0]);
    assert!(matches!(outlet.take_loss(), Some(Loss::TooSlow)));
    assert_eq!((outlet.waiting_bytes(), outlet.pressure()), (0, Pressure::Flow));
}

#[test]
fn the_end_waits_for_readers_within_bounds() {
    let mut signals = Signals::open().unwrap();
    let (_reader, writer) = pipe().unwrap();
    let mut outlets = [outlet(writer)];
    outlets[0].push(b"short");
    assert_eq!(drain(&mut outlets, 0, &mut signals), Drained::Everything);
    outlets[0].push(&[0; 100_000]);
    assert_eq!(drain(&mut outlets, 1, &mut signals), Drained::GaveUp);
    assert!(outlets[0].waiting_bytes() > 0);
    for (number, drained) in
        [(libc::SIGCHLD, Drained::GaveUp), (libc::SIGINT, Drained::Stopped(Signal::Interrupt))]
    {
        // SAFETY: raises a signal that is blocked for this test's own thread.
        assert_eq!(unsafe { libc::raise(number) }, 0);
        assert_eq!(drain(&mut outlets, 1, &mut signals), drained);
    }
}

#[test]
fn a_buffer_is_taken_whole_and_left_empty() {
    let (reader, writer) = pipe().unwrap();
    let mut outlet = outlet(writer);
    for (text, waiting) in [("one", 3), ("", 3), (" two", 7)] {
        let mut buffer = text.as_bytes().to_vec();
        outlet.take(&mut buffer);
        assert_eq!((buffer.len(), outlet.waiting_bytes()), (0, waiting));
    }
    assert_eq!(outlet.flush(usize::MAX), Flush::Empty);
    assert_eq!(read_some(&reader), 7);
    outlet.take(&mut vec![0; OUTPUT_QUEUE_BYTES_MAX + 1]);
    assert!(matches!(outlet.take_loss(), Some(Loss::TooSlow)));
}
