//! Children that flood, ignore signals, answer twice, or never.

use windlass::core::effect::Stop;
use windlass::core::input::{CommandEnded, CommandResult, Input};
use windlass::limits::{CALL_OUTPUT_BYTES_MAX, SESSION_UNREAD_BYTES_MAX};
use windlass::words::call::{Change, ChangeKind, Seen, Unread};
use windlass::words::ids::{OpId, ThreadId};
use windlass::words::item::{Image, Item, Kept};

use crate::chance::Chance;

/// Outside work that was started.
pub(crate) struct Work {
    pub(crate) thread: ThreadId,
    pub(crate) kind: Kind,
    /// It has not ended yet.
    pub(crate) alive: bool,
    /// An end of it was taken by the machine.
    pub(crate) taken: bool,
    /// It was told to stop, one way or another.
    pub(crate) stopped: bool,
    /// It was asked what it has printed: it may outlive its turn.
    pub(crate) collected: bool,
    /// It was told to die.
    pub(crate) killed: bool,
    pub(crate) nature: Nature,
}

/// What the work is, with what must not change while it goes on.
pub(crate) enum Kind {
    Open,
    Restore,
    Request(Vec<Item>),
    Command,
    Session,
    Look,
    Inspect,
    Apply,
}

/// How the work takes being stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nature {
    /// Ends at any signal.
    Meek,
    /// Ends when killed.
    Stubborn,
    /// Ends long after it was killed.
    Sluggish,
    /// Never ends.
    Undead,
}

impl Nature {
    pub(crate) fn any(chance: &mut Chance) -> Nature {
        match chance.below(10) {
            0..6 => Nature::Meek,
            6..8 => Nature::Stubborn,
            8 => Nature::Sluggish,
            _ => Nature::Undead,
        }
    }

    /// How long it takes to end at this signal; `None` if it does not.
    pub(crate) fn ends_after(self, how: Stop, chance: &mut Chance) -> Option<u64> {
        match (self, how) {
            (Nature::Meek, _) | (Nature::Stubborn, Stop::Kill) => Some(chance.below(100)),
            (Nature::Sluggish, Stop::Kill) => Some(10_000),
            (Nature::Stubborn | Nature::Sluggish, Stop::Interrupt | Stop::Terminate)
            | (Nature::Undead, _) => None,
        }
    }
}

/// What the work answers when it is left alone.
pub(crate) fn answer(op: OpId, kind: &Kind, chance: &mut Chance) -> Input<'static> {
    let fails = chance.one_in(4);
    let why: Box<str> = chance.pick(&["no such file", "failed to write file /w/a"]).into();
    match kind {
        Kind::Command => Input::Exited { op, end: exit(chance) },
        Kind::Look => Input::Looked { op, result: if fails { Err(why) } else { Ok(seen(chance)) } },
        Kind::Session => Input::SessionEnded { op, end: exit(chance), unread: unread(chance) },
        Kind::Inspect => {
            Input::Inspected { op, result: if fails { Err(why) } else { Ok(changes(chance)) } }
        }
        Kind::Apply => {
            Input::Applied { op, result: if fails { Err(why) } else { Ok("Success.".into()) } }
        }
        Kind::Open => Input::Opened { op, facts: Default::default() },
        Kind::Restore | Kind::Request(_) => unreachable!("answered by the disk, by the provider"),
    }
}

/// The machine does not know which look it was that brought an image.
fn seen(chance: &mut Chance) -> Seen {
    match chance.below(200) {
        0 => Seen::Image(format!("{IMAGE}{}", "A".repeat(7 << 20)).into()),
        1..20 => Seen::Image(Image::Kept(Kept {
            id: chance.below(1000) as u32,
            url_bytes: KEPT_IMAGE_BYTES,
        })),
        20..60 => Seen::Image(IMAGE.into()),
        _ => Seen::Text("L1: a".into()),
    }
}

/// What a command prints that its sandbox refused something.
pub(crate) const DENIED: &str = "out\ntouch: cannot touch 'a': Permission denied\n";

/// Whether a look in these worlds brings such an image.
pub(crate) fn is_shown(image: &Image) -> bool {
    match image {
        Image::Url(url) => url.starts_with(IMAGE),
        Image::Kept(kept) => kept.url_bytes == KEPT_IMAGE_BYTES,
    }
}

/// How the images of these worlds begin.
const IMAGE: &str = "data:image/png;base64,";

/// Images that are kept outside of memory: a handful is all that a history takes.
const KEPT_IMAGE_BYTES: u32 = 60 << 20;

/// What the work answers to a signal that ends it.
pub(crate) fn last_words(op: OpId, kind: &Kind, chance: &mut Chance) -> Input<'static> {
    match kind {
        Kind::Command if !chance.one_in(4) => Input::Exited { op, end: stopped(chance) },
        Kind::Session if !chance.one_in(4) => {
            Input::SessionEnded { op, end: stopped(chance), unread: unread(chance) }
        }
        Kind::Look | Kind::Inspect | Kind::Apply if chance.one_in(3) => answer(op, kind, chance),
        _ => Input::Stopped { op },
    }
}

/// What a session has printed: mostly a little, now and then a flood.
pub(crate) fn unread(chance: &mut Chance) -> Unread {
    match chance.below(200) {
        0 => {
            let text = "y\n".repeat(SESSION_UNREAD_BYTES_MAX / 2).into();
            Unread { text, dropped_bytes: chance.pick(&[0, 1, 1 << 40, u64::MAX]) }
        }
        1..50 => Unread::default(),
        _ => Unread { text: "some output\r\n".into(), dropped_bytes: 0 },
    }
}

fn stopped(chance: &mut Chance) -> CommandResult {
    let ended = CommandEnded::Signalled { signal: 15 };
    let output = chance.pick(&["", "out\n", DENIED]).into();
    CommandResult { ended, output, lines_total: None }
}

fn exit(chance: &mut Chance) -> CommandResult {
    let ended = match chance.below(8) {
        0 => CommandEnded::NotStarted { why: "no sandbox".into() },
        1 => CommandEnded::Signalled { signal: chance.pick(&[9, 31]) },
        _ => CommandEnded::Exited { code: chance.pick(&[0, 0, 1, 127, -1]) },
    };
    let flood = chance.one_in(20);
    let few = chance.pick(&["out\n", "out\n", DENIED]);
    let output = if flood { "y\n".repeat(CALL_OUTPUT_BYTES_MAX / 2) } else { few.into() };
    CommandResult { ended, output: output.into(), lines_total: flood.then_some(1 << 40) }
}

fn changes(chance: &mut Chance) -> Vec<Change> {
    let paths = ["/w/a", "/w/sub/../b", "/w/.git/config", "/w/../etc/passwd", "/tmp/t", "/more/m"];
    let mut changes = Vec::new();
    for _ in 0..chance.below(3) {
        let moved = chance.one_in(5);
        changes.push(Change {
            path: chance.pick(&paths).into(),
            kind: chance.pick(&[ChangeKind::Add, ChangeKind::Update, ChangeKind::Delete]),
            moved_to: moved.then(|| chance.pick(&paths).into()),
            over: None,
            before: None,
            diff: "@@ -1 +1 @@\n".into(),
        });
    }
    changes
}
