//! One line at the bottom of a terminal: for how long, at what cost, and what goes on.
//!
//! ```text
//! [1m 05s, 12.3K tokens] running cargo test
//! ```
//!
//! It is made of events and of time, and painted in its place again and again; whatever else is
//! written makes it go away first. The cursor stays at its beginning: what a terminal echoes (`^C`)
//! then falls on the line instead of making it longer, and a terminal that wraps it anew after a
//! resize still has the cursor where erasing must begin. Whether there is a terminal, how wide it
//! is and when bytes may be written is the host's business.

use crate::fronts::exec::plain_text::three_digits;
use crate::fronts::exec::shell_words::shell_join;
use crate::fronts::exec::style::{Ink, Paint};
use crate::fronts::visible;
use crate::limits::{
    STATUS_COLUMNS_MIN, STATUS_COMMAND_BYTES_MAX, STATUS_PAUSE_MS, STATUS_TICK_MS,
};
use crate::words::event::Event;
use crate::words::ids::CallId;

#[derive(Debug)]
pub struct Status {
    paint: Paint,
    /// Since when the turn goes on; outside of one there is no line.
    since_ms: Option<u64>,
    doing: Doing,
    /// As many as the machine runs at once.
    commands: Vec<Running>,
    /// Tokens of the whole thread.
    tokens: u64,
    /// What stands on the screen, before it was cut.
    shown: Option<String>,
    /// Nothing is painted before.
    rests_until_ms: u64,
    /// Whether what was written last ended its line. Before anything was, nobody knows.
    is_at_line_start: bool,
}

/// What goes on besides commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Waiting,
    Thinking,
    Answering,
    Searching,
    Compacting,
    /// The model's calls are carried out.
    Calls,
    Patching,
    Retrying {
        at_ms: u64,
        attempt: u32,
        attempts_max: u32,
    },
    Stopping,
}

#[derive(Debug)]
struct Running {
    call: CallId,
    /// Safe to show, on one line, bounded.
    command: String,
    /// Whether it has outlived its call.
    is_session: bool,
}

impl Status {
    pub fn new(paint: Paint) -> Status {
        Status {
            paint,
            since_ms: None,
            doing: Doing::Waiting,
            commands: Vec::new(),
            tokens: 0,
            shown: None,
            rests_until_ms: 0,
            is_at_line_start: false,
        }
    }

    /// When `is_due` may become true with nothing else happening.
    pub fn next_deadline(&self, now_ms: u64) -> Option<u64> {
        let since_ms = self.since_ms?;
        if !self.is_at_line_start {
            return None;
        }
        let is_stale = self.shown.is_none() || self.shown != self.text(now_ms);
        let ticks = now_ms.saturating_sub(since_ms) / STATUS_TICK_MS;
        let tick_ms = since_ms + (ticks + 1) * STATUS_TICK_MS;
        Some(self.rests_until_ms.max(if is_stale { now_ms } else { tick_ms }))
    }

    /// Whether the screen shows something else than it should, and may be painted.
    pub fn is_due(&self, now_ms: u64) -> bool {
        let text = self.text(now_ms);
        let may = text.is_none() || (self.is_at_line_start && now_ms >= self.rests_until_ms);
        may && text != self.shown
    }

    /// Takes the next event.
    pub fn told(&mut self, event: &Event, now_ms: u64) {
        match event {
            Event::TurnStarted { .. } => {
                self.since_ms = Some(now_ms);
                self.doing = Doing::Waiting;
            }
            Event::ReasoningDelta { .. } | Event::ReasoningBreak | Event::ItemCompleted { .. } => {
                self.does(Doing::Thinking)
            }
            Event::TextDelta { .. } => self.does(Doing::Answering),
            Event::ServedStarted => self.does(Doing::Searching),
            Event::CompactionStarted => self.does(Doing::Compacting),
            Event::Compacted { .. } => self.does(Doing::Waiting),
            Event::Tokens { total, .. } => {
                self.tokens = total.used();
                self.does(Doing::Calls);
            }
            Event::CommandStarted { call, argv, .. }
            | Event::UserCommandStarted { call, argv, .. } => {
                self.commands.push(Running {
                    call: *call,
                    command: shown(argv),
                    is_session: false,
                });
            }
            Event::CommandEnded { call, .. } => {
                self.commands.retain(|running| running.call != *call);
                self.does(Doing::Waiting);
            }
            Event::SessionEnded { call, .. } => {
                self.commands.retain(|running| running.call != *call);
            }
            Event::CallAnswered { call, .. } => {
                if let Some(running) = self.commands.iter_mut().find(|known| known.call == *call) {
                    running.is_session = true;
                }
                self.does(Doing::Waiting);
            }
            Event::PatchStarted { .. } => self.does(Doing::Patching),
            Event::PatchEnded { .. } | Event::TasksUpdated { .. } => self.does(Doing::Waiting),
            Event::Retrying { attempt, attempts_max, delay_ms, .. } => {
                let at_ms = now_ms.saturating_add(*delay_ms);
                let (attempt, attempts_max) = (*attempt, *attempts_max);
                self.does(Doing::Retrying { at_ms, attempt, attempts_max });
            }
            Event::TurnStopping { .. } => self.doing = Doing::Stopping,
            Event::TurnEnded { .. } | Event::ThreadClosed | Event::ThreadFailed { .. } => {
                self.since_ms = None;
                self.commands.clear();
            }
            Event::ThreadStarted { .. }
            | Event::ThreadLoading
            | Event::PromptTaken { .. }
            | Event::ReviewEntered { .. }
            | Event::ReviewExited { .. }
            | Event::ApprovalAsked { .. }
            | Event::ApprovalSettled { .. }
            | Event::Warning { .. }
            | Event::Limits { .. }
            | Event::Refused { .. } => {}
        }
    }

    /// Appends what takes the line off the screen before these bytes are written.
    pub fn make_way(&mut self, coming: &[u8], out: &mut Vec<u8>) {
        self.erase(out);
        if let Some(last) = coming.last() {
            self.is_at_line_start = *last == b'\n';
        }
    }

    /// Appends what takes the line off the screen.
    pub fn erase(&mut self, out: &mut Vec<u8>) {
        if self.shown.take().is_some() {
            out.extend_from_slice(b"\r\x1b[J");
        }
    }

    /// Appends what brings the screen up to date, on a terminal so wide; `None` if this is not the
    /// time to write to it.
    pub fn paint(&mut self, now_ms: u64, columns: Option<u16>, out: &mut Vec<u8>) {
        let Some(text) = self.text(now_ms) else { return self.erase(out) };
        let columns = columns.filter(|columns| *columns >= STATUS_COLUMNS_MIN);
        let Some(columns) = columns else {
            self.rests_until_ms = now_ms + STATUS_TICK_MS;
            return self.erase(out);
        };
        self.rests_until_ms = now_ms + STATUS_PAUSE_MS;
        out.push(b'\r');
        // The last column stays free: many terminals wrap as soon as it is taken.
        self.paint.push(out, Ink::Faint, &cut(&text, usize::from(columns) - 1));
        out.extend_from_slice(b"\x1b[J\r");
        self.shown = Some(text);
    }

    /// Once it is being stopped, nothing else matters.
    fn does(&mut self, doing: Doing) {
        if self.doing != Doing::Stopping {
            self.doing = doing;
        }
    }

    fn text(&self, now_ms: u64) -> Option<String> {
        let mut text = format!("[{}", duration(now_ms.saturating_sub(self.since_ms?)));
        if self.tokens > 0 {
            text.push_str(&format!(", {} tokens", three_digits(self.tokens)));
        }
        let sessions = self.commands.iter().filter(|running| running.is_session).count();
        if sessions > 0 {
            text.push_str(&format!(", {sessions} in the background"));
        }
        text.push_str("] ");
        let mut awaited = self.commands.iter().filter(|running| !running.is_session);
        match (self.doing, awaited.next()) {
            (Doing::Stopping, _) => text.push_str("stopping"),
            (Doing::Retrying { at_ms, attempt, attempts_max }, _) => {
                let left_s = at_ms.saturating_sub(now_ms).div_ceil(1000);
                text.push_str(&match left_s {
                    0 => format!("trying again ({attempt}/{attempts_max})"),
                    left_s => format!("trying again in {left_s}s ({attempt}/{attempts_max})"),
                });
            }
            (_, Some(first)) => {
                text.push_str(&match awaited.count() {
                    0 => format!("running {}", first.command),
                    others => format!("running {} commands: {}", others + 1, first.command),
                });
            }
            (Doing::Waiting, None) => text.push_str("waiting for the model"),
            (Doing::Thinking, None) => text.push_str("thinking"),
            (Doing::Compacting, None) => text.push_str("summing up the conversation"),
            (Doing::Searching, None) => text.push_str("searching the web"),
            (Doing::Answering, None) => text.push_str("answering"),
            (Doing::Calls, None) => text.push_str("working"),
            (Doing::Patching, None) => text.push_str("applying a patch"),
        }
        Some(text)
    }
}

/// A command as people would have typed it, safe to show.
fn shown(argv: &[String]) -> String {
    let joined;
    let command = match argv {
        [_shell, flag, script] if matches!(&**flag, "-c" | "-lc") => script,
        argv => {
            joined = shell_join(argv);
            &joined
        }
    };
    let command = command.trim();
    let end = command.floor_char_boundary(STATUS_COMMAND_BYTES_MAX);
    visible::line(&command[..end]).into_owned()
}

/// The beginning of a line that takes no more than so many columns.
///
/// Terminals disagree about the width of much that is not ASCII; none gives it more than two
/// columns, so that is what it counts as.
pub(crate) fn cut(text: &str, columns_max: usize) -> String {
    const MARK: &str = "...";
    let width = |letter: char| if letter.is_ascii() { 1 } else { 2 };
    let mut columns = 0;
    let mut fitting = 0;
    for (at, letter) in text.char_indices() {
        if columns + MARK.len() <= columns_max {
            fitting = at;
        }
        columns += width(letter);
        if columns > columns_max {
            return format!("{}{MARK}", &text[..fitting]);
        }
    }
    text.to_owned()
}

fn duration(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m {seconds:02}s"),
        _ => format!("{hours}h {minutes:02}m {seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::event::{CommandEnd, Ended};
    use crate::words::ids::{ItemIndex, TurnId};
    use crate::words::model::Usage;

    const ITEM: ItemIndex = ItemIndex(0);

    /// A status line and its terminal, of which only the last row is looked at.
    struct Story {
        status: Status,
        now_ms: u64,
    }

    impl Story {
        /// A turn that has just begun, below a line of text.
        fn begun() -> Story {
            let mut story = Story { status: Status::new(Paint::Off), now_ms: 5000 };
            story.status.make_way(b"banner\n", &mut Vec::new());
            story.told(Event::TurnStarted { turn: TurnId(1) })
        }

        fn told(mut self, event: Event) -> Story {
            self.status.told(&event, self.now_ms);
            self
        }

        fn after(mut self, ms: u64) -> Story {
            self.now_ms += ms;
            self
        }

        fn started(self, call: u32, argv: &[&str]) -> Story {
            let argv = argv.iter().map(|&word| word.into()).collect();
            self.told(Event::CommandStarted {
                call: CallId(call),
                item: ITEM,
                argv,
                cwd: "/w".into(),
            })
        }

        fn ended(self, call: u32) -> Story {
            let ended = CommandEnd::Exited { exit_code: 0 };
            self.told(Event::CommandEnded { call: CallId(call), item: ITEM, ended })
        }

        fn used(self, input: u64) -> Story {
            let total = Usage { input, ..Usage::default() };
            self.told(Event::Tokens { last: total, turn: total, total })
        }

        fn text(&self) -> String {
            self.status.text(self.now_ms).unwrap_or_default()
        }

        fn reads(self, text: &str) -> Story {
            assert_eq!(self.text(), text);
            self
        }

        /// What is painted at this moment, if anything is to be.
        fn painted(&mut self, columns: u16) -> String {
            let mut out = Vec::new();
            if self.status.is_due(self.now_ms) {
                self.status.paint(self.now_ms, Some(columns), &mut out);
            }
            String::from_utf8(out).unwrap()
        }
    }

    #[test]
    fn it_says_what_goes_on() {
        let delta = Event::TextDelta { from_bytes: 0 };
        Story::begun()
            .reads("[0s] waiting for the model")
            .told(Event::ReasoningDelta {
                from_bytes: 0,
                kind: crate::words::event::Thought::Summary,
            })
            .reads("[0s] thinking")
            .told(delta)
            .reads("[0s] answering")
            .told(Event::ServedStarted)
            .reads("[0s] searching the web")
            .told(Event::CompactionStarted)
            .reads("[0s] summing up the conversation")
            .used(12_345)
            .reads("[0s, 12.3K tokens] working")
            .started(0, &["bash", "-lc", "cargo test\n"])
            .after(65_999)
            .reads("[1m 05s, 12.3K tokens] running cargo test")
            .started(1, &["rm", "-rf", "a b"])
            .reads("[1m 05s, 12.3K tokens] running 2 commands: cargo test")
            .ended(0)
            .reads("[1m 05s, 12.3K tokens] running rm -rf 'a b'")
            .ended(1)
            .reads("[1m 05s, 12.3K tokens] waiting for the model")
            .after(3_600_000)
            .reads("[1h 01m 05s, 12.3K tokens] waiting for the model");
    }

    #[test]
    fn a_retry_is_counted_down() {
        let message = "closed".into();
        Story::begun()
            .told(Event::Retrying { attempt: 2, attempts_max: 5, delay_ms: 2500, message })
            .reads("[0s] trying again in 3s (2/5)")
            .after(1000)
            .reads("[1s] trying again in 2s (2/5)")
            .after(1500)
            .reads("[2s] trying again (2/5)")
            .told(Event::TextDelta { from_bytes: 0 })
            .reads("[2s] answering");
    }

    #[test]
    fn a_session_runs_in_the_background() {
        let output = ItemIndex(1);
        Story::begun()
            .started(0, &["top"])
            .told(Event::CallAnswered { call: CallId(0), item: ITEM, output })
            .reads("[0s, 1 in the background] waiting for the model")
            .told(Event::SessionEnded {
                call: CallId(0),
                ended: CommandEnd::Interrupted,
                output: "".into(),
            })
            .reads("[0s] waiting for the model");
    }

    #[test]
    fn an_end_is_an_end() {
        let usage = Usage::default();
        let ended = Event::TurnEnded { turn: TurnId(1), how: Ended::Completed, usage };
        let mut story = Story::begun();
        assert_eq!(story.painted(80), "\r[0s] waiting for the model\x1b[J\r");
        let mut story = story
            .started(0, &["top"])
            .told(Event::TurnStopping { turn: TurnId(1) })
            .reads("[0s] stopping")
            .ended(0)
            .reads("[0s] stopping")
            .told(ended);
        assert_eq!(story.painted(80), "\r\x1b[J", "at once");
        assert_eq!(story.painted(80), "");
        assert_eq!(story.status.next_deadline(story.now_ms), None);
    }

    #[test]
    fn it_is_painted_when_it_changes_but_not_too_often() {
        let mut story = Story::begun();
        let deadline = |story: &Story| story.status.next_deadline(story.now_ms).unwrap();
        assert_eq!(deadline(&story), story.now_ms);
        assert_ne!(story.painted(80), "");
        assert_eq!(deadline(&story), 5000 + STATUS_TICK_MS);
        let mut story = story.after(1).told(Event::TextDelta { from_bytes: 0 });
        assert_eq!(story.painted(80), "");
        assert_eq!(deadline(&story), 5000 + STATUS_PAUSE_MS);
        let mut story = story.after(STATUS_PAUSE_MS - 1);
        assert_ne!(story.painted(80), "");
        let mut story = story.told(Event::TextDelta { from_bytes: 9 });
        assert_eq!(story.painted(80), "");
        assert_eq!(deadline(&story), 5000 + STATUS_TICK_MS);
        let mut story = story.after(STATUS_TICK_MS - STATUS_PAUSE_MS);
        assert_eq!(story.painted(80), "\r[1s] answering\x1b[J\r");
    }

    #[test]
    fn it_makes_way_and_returns_only_below_whole_lines() {
        let mut story = Story::begun();
        story.painted(80);
        let mut out = Vec::new();
        story.status.make_way(b"half", &mut out);
        assert_eq!(out, b"\r\x1b[J");
        let mut story = story.after(5000);
        assert_eq!(story.painted(80), "");
        assert_eq!(story.status.next_deadline(story.now_ms), None);
        out.clear();
        story.status.make_way(b" a line\n", &mut out);
        assert_eq!(out, b"", "it is gone already");
        assert_ne!(story.painted(80), "");
    }

    #[test]
    fn it_rests_while_the_terminal_is_not_ours_or_too_narrow() {
        for columns in [None, Some(STATUS_COLUMNS_MIN - 1)] {
            let mut story = Story::begun();
            story.painted(80);
            let mut story = story.after(STATUS_TICK_MS);
            let mut out = Vec::new();
            story.status.paint(story.now_ms, columns, &mut out);
            assert_eq!(out, b"\r\x1b[J");
            let next_ms = story.status.next_deadline(story.now_ms);
            assert_eq!(next_ms, Some(story.now_ms + STATUS_TICK_MS));
            assert!(!story.status.is_due(story.now_ms));
        }
    }

    #[test]
    fn it_fits_whatever_is_run() {
        let evil = "a\x1b[2Jb\r\n\x1b]0;t\x07\u{202e}c".repeat(STATUS_COMMAND_BYTES_MAX);
        for command in [&*evil, &"日本".repeat(400), &"e\u{301}".repeat(400), "true"] {
            for columns in STATUS_COLUMNS_MIN..130 {
                let mut story = Story::begun().started(0, &["sh", "-c", command]);
                assert!(story.text().len() < 100 + 3 * STATUS_COMMAND_BYTES_MAX);
                let painted = story.painted(columns);
                let line = painted.strip_prefix('\r').unwrap().strip_suffix("\x1b[J\r").unwrap();
                let width: usize = line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
                assert!(width < usize::from(columns), "{columns}: {line}");
                assert!(!line.chars().any(char::is_control), "{line:?}");
                assert!(line.starts_with("[0s] runn"), "{line}");
                let is_whole = line == story.text();
                assert!(is_whole || (line.ends_with("...") && width + 5 > usize::from(columns)));
            }
        }
    }

    #[test]
    fn its_colour_ends_with_it() {
        let mut story = Story::begun();
        story.status.paint = Paint::On;
        assert_eq!(story.painted(80), "\r\x1b[2m[0s] waiting for the model\x1b[0m\x1b[J\r");
    }
}
