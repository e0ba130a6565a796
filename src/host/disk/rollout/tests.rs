use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::host::disk::tests::Place;

const ID: ConversationId = ConversationId([7; 16]);

fn content(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a text")
}

/// Every line and the number of those left out, read in slices of this size.
fn lines(path: &Path, slice_bytes: usize, line_bytes_max: usize) -> (Vec<(u64, String)>, u64) {
    let mut reader = Reader::bounded(path, line_bytes_max, line_bytes_max).expect("a reader");
    let mut lines = Vec::new();
    loop {
        let progress = reader.read_slice(slice_bytes).expect("read");
        while let Some(line) = reader.pull() {
            lines.push((line.offset_bytes, String::from_utf8_lossy(line.bytes).into_owned()));
        }
        assert!(reader.buffer.len() <= line_bytes_max + slice_bytes, "memory is bounded");
        if progress == Progress::End {
            return (lines, reader.lines_skipped());
        }
    }
}

#[test]
fn the_file_is_made_with_the_first_line_for_its_owner_alone() {
    let place = Place::new();
    let mut rollout = Rollout::new(place.path(), ID, 1_762_509_600_123);
    assert!(!place.path().join("sessions").exists());
    rollout.append(b"").expect("nothing to do");
    assert!(!rollout.path().exists());
    rollout.append(b"{\"a\":1}\n{\"b\":2}\n").expect("appended");
    rollout.append(b"{\"c\":3}\n").expect("appended");
    assert_eq!(content(rollout.path()), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(rollout.path()), 0o600);
    assert_eq!(mode(&place.path().join("sessions")), 0o700);
}

#[test]
fn the_name_holds_local_time_and_id() {
    let begun = Civil::local(1_762_556_645_123, 3600);
    let path = path_of(Path::new("/h"), ID, &begun);
    let name = "rollout-2025-11-08T00-04-05-07070707-0707-0707-0707-070707070707.jsonl";
    assert_eq!(path, Path::new("/h/sessions/2025/11/08").join(name));
}

#[test]
fn a_rollout_belongs_to_one_at_a_time() {
    let place = Place::new();
    let mut first = Rollout::new(place.path(), ID, 0);
    first.append(b"{}\n").expect("appended");
    let path = first.path().to_owned();
    let message = Rollout::reopen(&path).expect_err("in use").to_string();
    assert!(message.contains("in use by another process"), "{message}");
    drop(first);
    Rollout::reopen(&path).expect("free again").append(b"{}\n").expect("appended");
    assert_eq!(content(&path), "{}\n{}\n");
}

#[test]
fn a_torn_last_line_is_repaired() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(10_000));
    let cases = [
        ("", ""),
        ("{}\n", "{}\n"),
        ("{}\n{\"a\":1}", "{}\n{\"a\":1}\n"),
        ("{}\n{\"a\":", "{}\n"),
        ("{}\n12", "{}\n"),
        ("{\"a", ""),
        ("{}", "{}\n"),
        ("{}\nnot JSON\n", "{}\nnot JSON\n"),
        (&format!("{{}}\n{long}"), &format!("{{}}\n{long}\n")),
        (&format!("{{}}\n{}", &long[..9_000]), "{}\n"),
    ];
    let place = Place::new();
    for (torn, repaired) in cases {
        let path = place.file("r.jsonl", torn);
        drop(Rollout::reopen(&path).expect("repaired"));
        assert_eq!(content(&path), repaired, "{torn:?}");
    }
}

#[test]
fn a_last_line_over_the_bound_is_only_ended() {
    let place = Place::new();
    let path = place.file("r.jsonl", "{}\n");
    let length = ROLLOUT_LINE_BYTES_MAX as u64 + 8192;
    let file = OpenOptions::new().write(true).open(&path).expect("open");
    file.set_len(length).expect("a hole");
    drop(Rollout::reopen(&path).expect("repaired"));
    assert_eq!(path.metadata().expect("there").len(), length + 1);
    assert_eq!(lines(&path, ROLLOUT_READ_BYTES, ROLLOUT_LINE_BYTES_MAX).1, 1);
}

#[test]
fn only_regular_files_are_opened() {
    let place = Place::new();
    assert!(Rollout::reopen(&place.path().join("missing")).is_err());
    assert!(Rollout::reopen(place.path()).is_err());
    assert!(Reader::open(&place.pipe("pipe")).is_err());
    assert!(Reader::open(&place.path().join("missing")).is_err());
}

#[test]
fn a_full_disk_is_told_and_leaves_the_rollout_usable() {
    let full = OpenOptions::new().append(true).open("/dev/full").expect("the device");
    let mut rollout = Rollout { path: "/dev/full".into(), state: State::Open(full), ordinal: None };
    for _ in 0..2 {
        let failure = rollout.append(b"{}\n").expect_err("full");
        assert_eq!(failure.source.kind(), io::ErrorKind::StorageFull);
        assert!(failure.to_string().starts_with("append to the rollout /dev/full: "));
        assert!(matches!(rollout.state, State::Open(_)));
    }
}

#[test]
fn a_rollout_that_cannot_be_made_is_tried_again() {
    let place = Place::new();
    let blocker = place.file("sessions", "in the way");
    let mut rollout = Rollout::new(place.path(), ID, 0);
    rollout.append(b"{}\n").expect_err("no directory");
    std::fs::remove_file(blocker).expect("out of the way");
    rollout.append(b"{}\n").expect("appended");
    assert_eq!(content(rollout.path()), "{}\n");
}

/// A file at the greatest length there is takes a part of what is appended.
#[test]
fn a_short_write_is_cut_back() {
    // SAFETY: the name is a C string that lives through the call.
    let descriptor = unsafe { libc::memfd_create(c"rollout".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(descriptor >= 0);
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let memory = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let file = OpenOptions::new().read(true).append(true).open(path).expect("open");
    let length = i64::MAX as u64 - 10;
    file.set_len(length).expect("a hole");
    let source =
        match append_or_undo(&file, &mut |write| write(b"{\"a\":\"longer than ten bytes\"}\n")) {
            Appended::Undone(source) => source,
            other => panic!("{other:?}"),
        };
    assert!(source.to_string().starts_with("only 10 of "), "{source}");
    assert_eq!(file.metadata().expect("there").len(), length);
}

/// A pipe takes what fits and cannot be cut back: a short write that stays.
#[test]
fn a_short_write_that_cannot_be_undone_is_torn() {
    let place = Place::new();
    let pipe = place.pipe("pipe");
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).custom_flags(libc::O_NONBLOCK).open(pipe);
    let file = file.expect("both ends");
    let many = vec![b'\n'; 8 * 1024 * 1024];
    let source = match append_or_undo(&file, &mut |write| write(&many)) {
        Appended::Torn(source) => source,
        other => panic!("{other:?}"),
    };
    assert!(source.to_string().contains("of 8388608 bytes"), "{source}");
    assert!(
        matches!(append_or_undo(&file, &mut |write| write(b"\n")), Appended::Undone(_)),
        "nothing fits any more"
    );
}

#[test]
fn a_torn_rollout_is_repaired_before_it_grows() {
    let place = Place::new();
    let path = place.file("r.jsonl", "{}\n{\"a");
    let read_only = File::open(&path).expect("open");
    let mut rollout = Rollout { path: path.clone(), state: State::Torn(read_only), ordinal: None };
    rollout.append(b"{\"b\":1}\n").expect_err("cannot be repaired");
    assert!(matches!(rollout.state, State::Torn(_)));
    let writable = OpenOptions::new().read(true).append(true).open(&path).expect("open");
    rollout.state = State::Torn(writable);
    rollout.append(b"{\"b\":1}\n").expect("repaired and appended");
    assert_eq!(content(&path), "{}\n{\"b\":1}\n");
}

#[test]
fn any_slicing_gives_the_same_lines() {
    let place = Place::new();
    let text = "one\n\n0123456789\nthree\n01234567890\n01234567890123456789012\nlast";
    let path = place.file("r.jsonl", text);
    let expected: Vec<(u64, String)> = [(0, "one"), (4, ""), (5, "0123456789"), (16, "three")]
        .into_iter()
        .chain([(58, "last")])
        .map(|(offset, line)| (offset, line.to_owned()))
        .collect();
    for slice_bytes in 1..=text.len() + 1 {
        assert_eq!(lines(&path, slice_bytes, 10), (expected.clone(), 2), "{slice_bytes}");
    }
    let path = place.file("long.jsonl", "short\n01234567890123456789");
    for slice_bytes in 1..=30 {
        let (lines, skipped) = lines(&path, slice_bytes, 10);
        assert_eq!((lines.len(), skipped), (1, 1), "{slice_bytes}");
    }
}

#[test]
fn the_zone_of_the_system_is_within_a_day() {
    assert!(zone_ahead_seconds(1_762_509_600_123).abs() < 86_400);
    assert_eq!(zone_ahead_seconds(u64::MAX), 0);
}

#[test]
fn a_numbered_file_says_which_number_is_next() {
    let place = Place::new();
    let next = |text: &str| {
        let path = place.file("numbered.jsonl", text);
        Rollout::reopen(&path).expect("reopened").ordinal()
    };
    let long = "x".repeat(3 * ROLLOUT_HEAD_BYTES);
    let numbered = r#"{"timestamp":"t","ordinal":41,"type":"event_msg","payload":"#;
    assert_eq!(next(&format!("{{}}\n{numbered}{{}}}}\n")), Some(42));
    assert_eq!(next(&format!("{{}}\n{numbered}{{}}}}\n{{\"torn")), Some(42));
    assert_eq!(next(&format!("{{}}\n{numbered}\"é{long}\"}}\n")), Some(42));
    let inside = r#"{"timestamp":"t","type":"event_msg","payload":{"ordinal":7}}"#;
    assert_eq!(next(&format!("{inside}\n")), None);
    assert_eq!(next(r#"{"ordinal":18446744073709551615,"payload":1}"#), None);
    assert_eq!(next("{\"ordinal\":-1,\"payload\":1}\n"), None);
    assert_eq!(next(""), None);
}
