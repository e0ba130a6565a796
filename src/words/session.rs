//! Recorded conversations: what a list shows of them, which of them it holds, and in what order.

use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;

use crate::words::ids::ConversationId;

/// One recorded conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    pub id: ConversationId,
    pub path: PathBuf,
    pub archived: bool,
    /// Its local time of birth, as its name has it: `2025-11-07T10-00-00`.
    pub begun: Box<str>,
    /// When something was last added.
    pub updated_wall_ms: u64,
    pub heading: Heading,
}

/// What the first lines of a rollout say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Heading {
    /// In UTC, as it stands there.
    pub created: Box<str>,
    pub cwd: Box<str>,
    pub provider: Option<Box<str>>,
    /// What kind of program began it, if that is one word: `exec`, `cli`, `vscode`.
    pub source: Option<Box<str>>,
    pub version: Option<Box<str>>,
    /// What it calls itself.
    pub originator: Option<Box<str>>,
    pub branch: Option<Box<str>>,
    pub commit: Option<Box<str>>,
    /// The repository's URL.
    pub origin: Option<Box<str>>,
    /// The session that it began as.
    pub forked_from: Option<Box<str>>,
    /// The first thing that was asked, cut.
    pub preview: Box<str>,
}

/// Which sessions a list is to hold, and in what order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    /// Those in the archive, else those that are not.
    pub archived: bool,
    /// Only those begun in this directory.
    pub cwd: Option<Box<str>>,
    /// Only those of one of these providers; of all, if there is none.
    pub providers: Vec<Box<str>>,
    /// Only those begun by one of these kinds of programs; by all, if there is none.
    pub sources: Vec<Box<str>>,
    /// Only those whose first question, directory, branch or id holds this, in whatever case.
    pub search: Option<Box<str>>,
    pub order: Order,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Order {
    pub by: Stamp,
    pub direction: Direction,
}

/// Which time of a session orders a list.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Stamp {
    #[default]
    Created,
    Updated,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Direction {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// A place in the order of rollouts: by local time of birth, then by id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mark {
    /// Of the form `2025-11-07T10-00-00`.
    pub time: Box<str>,
    pub id: ConversationId,
}

/// A place in a list, behind the session it names. Others need not know what is in it.
///
/// ```text
/// 2025-11-07T10-00-00|01990000-0000-7000-8000-0000000000aa                by creation
/// 1762509600123@2025-11-07T10-00-00|01990000-0000-7000-8000-0000000000aa  by update
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cursor {
    Created(Mark),
    Updated { wall_ms: u64, mark: Mark },
}

impl Wanted {
    /// Whether the session belongs on the list; one without a provider counts as of the default
    /// one.
    pub fn takes(&self, session: &Session, default_provider: &str) -> bool {
        let heading = &session.heading;
        let provider = heading.provider.as_deref().unwrap_or(default_provider);
        let is_any = |wanted: &[Box<str>], found: Option<&str>| {
            wanted.is_empty() || wanted.iter().any(|wanted| Some(&**wanted) == found)
        };
        self.archived == session.archived
            && self.cwd.as_ref().is_none_or(|cwd| *cwd == heading.cwd)
            && is_any(&self.providers, Some(provider))
            && is_any(&self.sources, heading.source.as_deref())
            && self.search.as_ref().is_none_or(|search| {
                let search = search.to_lowercase();
                let branch = heading.branch.as_deref().unwrap_or_default();
                let texts = [&*heading.preview, &heading.cwd, branch, &session.id.to_string()];
                texts.iter().any(|text| text.to_lowercase().contains(&search))
            })
    }
}

impl Direction {
    /// How two keys stand to each other in a list.
    pub fn compare<K: Ord>(self, one: &K, other: &K) -> Ordering {
        match self {
            Direction::NewestFirst => other.cmp(one),
            Direction::OldestFirst => one.cmp(other),
        }
    }
}

impl Mark {
    /// What the name of a rollout says.
    pub fn of(name: &str) -> Option<Mark> {
        Mark::read(name.strip_prefix("rollout-")?.strip_suffix(".jsonl")?, '-')
    }

    fn read(text: &str, separator: char) -> Option<Mark> {
        let (time, id) = text.split_at_checked(TIME_SHAPE.len())?;
        let mut shape = time.bytes().zip(TIME_SHAPE).map(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            wanted => byte == *wanted,
        });
        if !shape.all(|fits| fits) {
            return None;
        }
        Some(Mark { time: time.into(), id: id.strip_prefix(separator)?.parse().ok()? })
    }
}

impl Cursor {
    /// Reads a cursor of a list in this order; one of another order is none.
    pub fn read(text: &str, by: Stamp) -> Option<Cursor> {
        match by {
            Stamp::Created => Mark::read(text, '|').map(Cursor::Created),
            Stamp::Updated => {
                let (digits, mark) = text.split_once('@')?;
                let wall_ms = digits.parse().ok().filter(|ms: &u64| ms.to_string() == digits)?;
                Some(Cursor::Updated { wall_ms, mark: Mark::read(mark, '|')? })
            }
        }
    }

    /// The place behind this session.
    pub fn behind(session: &Session, by: Stamp) -> Cursor {
        let mark = Mark { time: session.begun.clone(), id: session.id };
        match by {
            Stamp::Created => Cursor::Created(mark),
            Stamp::Updated => Cursor::Updated { wall_ms: session.updated_wall_ms, mark },
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Cursor::Created(mark) | Cursor::Updated { mark, .. }) = self;
        if let Cursor::Updated { wall_ms, .. } = self {
            write!(formatter, "{wall_ms}@")?;
        }
        write!(formatter, "{}|{}", mark.time, mark.id)
    }
}

const TIME_SHAPE: &[u8] = b"0000-00-00T00-00-00";

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01990000-0000-7000-8000-0000000000aa";

    #[test]
    fn names_of_another_shape_are_no_rollouts() {
        assert!(Mark::of(&format!("rollout-2025-11-07T10-00-00-{ID}.jsonl")).is_some());
        for name in [
            format!("rollout-2025-11-07T10-00-00{ID}.jsonl"),
            format!("rollout-2025-11-07 10-00-00-{ID}.jsonl"),
            format!("rollout-2025-11-07T10-00-00-{ID}.jsonl.bak"),
            "rollout-.jsonl".to_owned(),
            "rollout-2025-11-07T10-00-0\u{e4}-x.jsonl".to_owned(),
        ] {
            assert!(Mark::of(&name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_cursor_reads_back_and_only_in_its_own_order() {
        let created = format!("2025-11-07T10-00-00|{ID}");
        let updated = format!("1762509600123@{created}");
        for (text, by, other) in
            [(&created, Stamp::Created, Stamp::Updated), (&updated, Stamp::Updated, Stamp::Created)]
        {
            assert_eq!(Cursor::read(text, by).unwrap().to_string(), *text);
            assert_eq!(Cursor::read(text, other), None);
            for cut in 0..text.len() {
                assert_eq!(Cursor::read(&text[..cut], by), None);
            }
        }
        for digits in ["", "+1", "01", "-1", "18446744073709551616", "1@1"] {
            assert_eq!(Cursor::read(&format!("{digits}@{created}"), Stamp::Updated), None);
        }
    }
}
