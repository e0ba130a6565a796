use std::io::{PipeWriter, Write, pipe};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use mio::{Events, Poll};

use super::*;

const ARGUMENT: Asked =
    Asked { demand: Demand::AsNeeded, prompt: PromptFrom::Argument, timeout_ms: None };
const MISSING: Asked = Asked { prompt: PromptFrom::Missing, ..ARGUMENT };
const ALWAYS: Asked = Asked { demand: Demand::Always, ..ARGUMENT };

fn piped(asked: Asked) -> (Stdin, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    (Stdin::open(reader.as_fd(), asked, 0).unwrap(), writer)
}

fn opened(file: impl Into<OwnedFd>, asked: Asked) -> Stdin {
    Stdin::open(file.into().as_fd(), asked, 0).unwrap()
}

fn text_of(progress: Progress) -> String {
    match progress {
        Progress::Ended(Ending::Text(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// What comes once the last writer is gone: a child of another test may hold a copy of its end until
/// it executes its program.
fn ended(stdin: &mut Stdin, now_ms: u64) -> Progress {
    loop {
        match stdin.advance(now_ms, usize::MAX) {
            Progress::Waiting => {}
            progress => return progress,
        }
    }
}

fn absent_of(progress: Progress) -> Absent {
    match progress {
        Progress::Ended(Ending::Absent(absent)) => absent,
        other => panic!("{other:?}"),
    }
}

fn error_of(progress: Progress) -> String {
    match progress {
        Progress::Ended(Ending::Failed(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn check_waits(progress: Progress) {
    assert!(matches!(progress, Progress::Waiting), "{progress:?}");
}

#[test]
fn who_holds_the_other_end_decides() {
    use Demand::{Always, AsNeeded, Never};
    use PromptFrom::{Argument, Dash, Missing};
    use Verdict::{Grace, Leave, Look, Read};

    let holder = Holder { pid: 9, name: "slow".into() };
    let producer = &Holders::Producer(holder.clone());
    let ancestors = &Holders::Ancestors(holder);
    let unseen = &Holders::Unseen;
    let silent = |waited_ms| Leave(Absent::Silent { waited_ms });
    for (kind, demand, prompt, holders, waited_ms, bytes, verdict) in [
        // Forbidden is forbidden, and what is not there cannot be read.
        (Kind::Pipe, Never, Missing, None, 0, 0, Leave(Absent::Forbidden)),
        (Kind::Closed, Always, Dash, None, 0, 0, Leave(Absent::NotOpen)),
        // A terminal is read only when named.
        (Kind::Terminal, AsNeeded, Argument, None, 0, 0, Leave(Absent::Terminal)),
        (Kind::Terminal, AsNeeded, Missing, None, 0, 0, Leave(Absent::Terminal)),
        (Kind::Terminal, AsNeeded, Dash, None, 0, 0, Read),
        (Kind::Terminal, Always, Argument, None, 0, 0, Read),
        // What waits for nobody is read.
        (Kind::File, AsNeeded, Argument, None, 0, 0, Read),
        (Kind::Device, AsNeeded, Argument, None, 0, 0, Read),
        // Without a prompt, or when told so, we wait however long.
        (Kind::Pipe, AsNeeded, Missing, None, 9_000, 0, Read),
        (Kind::Pipe, AsNeeded, Dash, Some(ancestors), 9_000, 0, Read),
        (Kind::Pipe, Always, Argument, Some(ancestors), 9_000, 0, Read),
        // With one, it depends.
        (Kind::Pipe, AsNeeded, Argument, None, 0, 0, Look),
        (Kind::Pipe, AsNeeded, Argument, Some(producer), 900_000, 0, Read),
        (Kind::Pipe, AsNeeded, Argument, Some(ancestors), 999, 0, Grace { until_ms: 1000 }),
        (Kind::Pipe, AsNeeded, Argument, Some(ancestors), 1000, 0, silent(1000)),
        (Kind::Pipe, AsNeeded, Argument, Some(ancestors), 9_000, 1, Read),
        (Kind::Socket, AsNeeded, Argument, Some(unseen), 1000, 0, Grace { until_ms: 5000 }),
        (Kind::Socket, AsNeeded, Argument, Some(unseen), 5001, 0, silent(5001)),
        (Kind::Strange, AsNeeded, Argument, Some(unseen), 9_000, 1, Read),
    ] {
        let facts = Facts { kind, demand, prompt, holders, waited_ms, bytes };
        assert_eq!(decide(&facts), verdict, "{facts:?}");
    }
}

#[test]
fn what_is_in_a_pipe_is_read_to_its_end() {
    let (mut stdin, mut writer) = piped(ARGUMENT);
    writer.write_all("häl".as_bytes()).unwrap();
    check_waits(stdin.advance(0, usize::MAX));
    assert_eq!(stdin.holders, None, "bytes came, so nobody needs to look");
    writer.write_all(b"lo").unwrap();
    check_waits(stdin.advance(900_000, usize::MAX));
    drop(writer);
    assert_eq!(text_of(ended(&mut stdin, 900_001)), "hällo");
    check_waits(stdin.advance(900_002, usize::MAX));
    assert_eq!(stdin.next_deadline(), None);
}

#[test]
fn the_inherited_description_stays_blocking() {
    let (reader, _writer) = pipe().unwrap();
    let mut stdin = Stdin::open(reader.as_fd(), ARGUMENT, 0).unwrap();
    assert!(matches!(stdin.way, Way::Private(_)));
    check_waits(stdin.advance(0, usize::MAX));
    // SAFETY: F_GETFL only reads the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_GETFL) };
    assert_eq!(flags & libc::O_NONBLOCK, 0);
}

#[test]
fn a_pipe_that_cannot_be_opened_anew_does_not_block() {
    let (reader, mut writer) = pipe().unwrap();
    let mut stdin = opened(File::open("/dev/null").unwrap(), MISSING);
    (stdin.way, stdin.kind) = (Way::Shared(File::from(OwnedFd::from(reader))), Kind::Pipe);
    check_waits(stdin.advance(0, usize::MAX));
    writer.write_all(b"x").unwrap();
    check_waits(stdin.advance(0, usize::MAX));
    drop(writer);
    assert_eq!(text_of(ended(&mut stdin, 0)), "x");
}

#[test]
fn a_silent_pipe_is_left_after_its_grace() {
    let (mut stdin, _writer) = piped(ARGUMENT);
    // Said instead of found: a child of another test may hold a copy until it executes its program.
    stdin.holders = Some(Holders::Unseen);
    check_waits(stdin.advance(0, usize::MAX));
    assert_eq!((stdin.notice(0), stdin.next_deadline()), (None, Some(STDIN_NOTICE_MS)));
    check_waits(stdin.advance(STDIN_NOTICE_MS, usize::MAX));
    assert_eq!(stdin.notice(STDIN_NOTICE_MS), Some(Notice::Waiting));
    assert_eq!(stdin.notice(STDIN_NOTICE_MS), None);
    assert_eq!(stdin.next_deadline(), Some(STDIN_GRACE_UNSEEN_MS));
    let waited_ms = STDIN_GRACE_UNSEEN_MS;
    let absent = absent_of(stdin.advance(waited_ms, usize::MAX));
    assert_eq!(absent, Absent::Silent { waited_ms });
    assert_eq!(stdin.notice(waited_ms), Some(Notice::WentOn { waited_ms }));
    assert_eq!(stdin.notice(waited_ms), None);
}

#[test]
fn a_producer_is_waited_for_by_name() {
    let (reader, writer) = pipe().unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(writer).spawn().unwrap();
    let mut stdin = opened(reader, ARGUMENT);
    check_waits(stdin.advance(0, usize::MAX));
    check_waits(stdin.advance(60_000, usize::MAX));
    let notice = stdin.notice(60_000);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(matches!(notice, Some(Notice::WaitingFor(_))), "{notice:?}");
    assert_eq!(text_of(stdin.advance(60_001, usize::MAX)), "");
}

#[test]
fn a_socket_is_read_like_a_pipe() {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    let mut stdin = opened(reader, ARGUMENT);
    assert_eq!(stdin.kind(), Kind::Socket);
    check_waits(stdin.advance(0, usize::MAX));
    assert_eq!(stdin.holders, Some(Holders::Unseen));
    writer.write_all(b"x").unwrap();
    drop(writer);
    assert_eq!(text_of(ended(&mut stdin, 1)), "x");
}

#[test]
fn what_is_always_ready_is_read_at_once() {
    let poll = Poll::new().unwrap();
    let mut null = opened(File::open("/dev/null").unwrap(), ARGUMENT);
    assert_eq!(null.register(poll.registry(), Token(0)).unwrap(), Watch::AlwaysReady);
    assert_eq!(null.kind(), Kind::Device);
    assert_eq!(text_of(null.advance(0, usize::MAX)), "");

    let mut file = opened(File::open("Cargo.toml").unwrap(), ARGUMENT);
    assert_eq!(file.register(poll.registry(), Token(0)).unwrap(), Watch::AlwaysReady);
    assert!(matches!(file.advance(0, 10), Progress::Spent));
    assert!(text_of(file.advance(0, usize::MAX)).starts_with("[workspace]"));

    let mut directory = opened(File::open("/").unwrap(), ARGUMENT);
    assert!(error_of(directory.advance(0, usize::MAX)).contains("directory"));
}

#[test]
fn the_loop_hears_of_input() {
    let (mut stdin, mut writer) = piped(MISSING);
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    assert_eq!(stdin.register(poll.registry(), Token(3)).unwrap(), Watch::Events);
    poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.is_empty());
    writer.write_all(b"x").unwrap();
    poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert_eq!(events.iter().next().map(|event| event.token()), Some(Token(3)));
    check_waits(stdin.advance(0, usize::MAX));
    stdin.deregister(poll.registry());
}

#[test]
fn what_is_not_open_is_absent() {
    // SAFETY: the number is used only to be refused; nothing is open there.
    let closed = unsafe { BorrowedFd::borrow_raw(1 << 20) };
    let mut stdin = Stdin::open(closed, ALWAYS, 0).unwrap();
    assert_eq!(absent_of(stdin.advance(0, usize::MAX)), Absent::NotOpen);
}

#[test]
fn forbidden_input_is_not_read() {
    let asked = Asked { demand: Demand::Never, ..ARGUMENT };
    let (mut stdin, mut writer) = piped(asked);
    writer.write_all(b"x").unwrap();
    assert_eq!(absent_of(stdin.advance(0, usize::MAX)), Absent::Forbidden);
}

#[test]
fn a_missing_prompt_is_announced_and_waited_for() {
    let (mut stdin, _writer) = piped(MISSING);
    check_waits(stdin.advance(0, usize::MAX));
    assert_eq!(stdin.notice(0), Some(Notice::Reading));
    assert_eq!(stdin.notice(0), None);
    check_waits(stdin.advance(900_000, usize::MAX));
    assert_eq!(stdin.notice(900_000), Some(Notice::Waiting));
    assert_eq!(stdin.next_deadline(), None);
}

#[test]
fn input_that_does_not_end_in_time_is_refused() {
    let asked = Asked { timeout_ms: Some(3000), ..ALWAYS };
    let (mut stdin, mut writer) = piped(asked);
    writer.write_all(b"x").unwrap();
    check_waits(stdin.advance(2999, usize::MAX));
    stdin.notice(2999);
    assert_eq!(stdin.next_deadline(), Some(3000));
    assert_eq!(error_of(stdin.advance(3000, usize::MAX)), "stdin did not end within 3 s");
}

#[test]
fn invalid_utf8_is_refused_with_its_offset() {
    let (mut stdin, mut writer) = piped(MISSING);
    writer.write_all(b"ab\xc3\xa9\xff").unwrap();
    drop(writer);
    let error = error_of(ended(&mut stdin, 0));
    assert_eq!(error, "stdin is not UTF-8: the byte at offset 4");
}

#[test]
fn input_over_the_bound_is_refused() {
    let mut zeros = opened(File::open("/dev/zero").unwrap(), MISSING);
    let error = error_of(zeros.advance(0, usize::MAX));
    assert_eq!(error, "stdin is too long: over 16 MiB");
    assert_eq!(zeros.bytes.capacity(), 0);
}

#[test]
fn input_up_to_the_bound_is_taken() {
    let (mut stdin, mut writer) = piped(MISSING);
    let piece = vec![b'x'; STDIN_READ_BYTES];
    for _ in 0..STDIN_BYTES_MAX / STDIN_READ_BYTES {
        writer.write_all(&piece).unwrap();
        check_waits(stdin.advance(0, usize::MAX));
    }
    drop(writer);
    assert_eq!(text_of(ended(&mut stdin, 0)).len(), STDIN_BYTES_MAX);
}

#[test]
fn who_writes_into_a_socket_is_heard_out() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&[b'x'; 100_000]).unwrap();
    let began_ms = clock::mono_ms();
    hear_out_of(ours.as_fd(), 20);
    assert!(clock::mono_ms() - began_ms >= 20, "it has not ended");
    theirs.write_all(b"all of it was taken").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    hear_out_of(ours.as_fd(), 60_000);
    assert_eq!(receive(ours.as_fd(), &mut [0]).unwrap(), 0);
}

#[test]
fn what_is_left_in_a_pipe_is_for_others() {
    let (mut reader, mut writer) = pipe().unwrap();
    writer.write_all(b"next line").unwrap();
    hear_out_of(reader.as_fd(), 60_000);
    drop(writer);
    let mut left = String::new();
    reader.read_to_string(&mut left).unwrap();
    assert_eq!(left, "next line");
}
