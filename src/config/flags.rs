//! The table of flags: it drives parsing, help and the messages about mistakes.
//!
//! A flag that is not in it does not exist. Flags of the peer that windlass does not implement are
//! rows too: ignored with one line where they only tune, refused where they change safety or
//! location.

mod rows;

use std::ffi::OsString;

use crate::config::args::{Invocation, StdinUse};
use crate::config::features;
pub use crate::config::flags::rows::FLAGS;
use crate::limits::TIMEOUT_MS_MAX;
use crate::words::policy::SandboxMode;

/// One flag.
#[derive(Debug)]
pub struct Flag {
    /// The long name, without dashes.
    pub name: &'static str,
    /// Other long names.
    pub aliases: &'static [&'static str],
    pub short: Option<char>,
    pub takes: Takes,
    pub belongs: Belongs,
    /// What it does; empty for flags that help does not mention.
    pub help: &'static str,
}

/// What a flag takes and what it does to the invocation; the label names the value in the help.
#[derive(Debug)]
pub enum Takes {
    Nothing(fn(&mut Invocation)),
    Text(&'static str, fn(&mut Invocation, &str) -> Result<(), String>),
    /// One of a few words; the setter sees no other.
    Choice(&'static str, &'static [&'static str], fn(&mut Invocation, &str)),
    Path(&'static str, fn(&mut Invocation, OsString)),
    /// Names a feature.
    Feature {
        enabled: bool,
    },
    /// Stands for a sandbox mode.
    Mode(SandboxMode),
    /// Names a sandbox mode.
    SandboxName(&'static str),
    Stdin(StdinUse),
    Ignored(Option<&'static str>),
    Refused(&'static str),
}

impl Takes {
    /// The label of the value, if one is taken.
    pub fn label(&self) -> Option<&'static str> {
        match self {
            Takes::Text(label, _)
            | Takes::Choice(label, _, _)
            | Takes::Path(label, _)
            | Takes::SandboxName(label) => Some(label),
            Takes::Feature { .. } => Some("FEATURE"),
            Takes::Ignored(label) => *label,
            Takes::Nothing(_) | Takes::Mode(_) | Takes::Stdin(_) | Takes::Refused(_) => None,
        }
    }

    /// The values it may have, where there are few.
    pub fn choices(&self) -> &'static [&'static str] {
        match self {
            Takes::Choice(_, choices, _) => choices,
            Takes::SandboxName(_) => SANDBOX_NAMES,
            Takes::Feature { .. } => &features::NAMES,
            Takes::Nothing(_)
            | Takes::Text(..)
            | Takes::Path(..)
            | Takes::Mode(_)
            | Takes::Stdin(_)
            | Takes::Ignored(_)
            | Takes::Refused(_) => &[],
        }
    }
}

/// A group of flags; the rows of [`super::commands`] say which groups a command knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Belongs {
    /// For whatever takes turns.
    Turns,
    /// For whatever asks a model of the user's.
    Exec,
    /// For whatever goes on from an earlier session.
    Session,
    /// For those commands alone that name the flag.
    Named,
}

/// The flag of this spelling, dashes included.
pub fn find(typed: &str) -> Option<&'static Flag> {
    if let Some(name) = typed.strip_prefix("--") {
        let name = name.split_once('=').map_or(name, |(name, _)| name);
        return FLAGS.iter().find(|flag| flag.name == name || flag.aliases.contains(&name));
    }
    let mut letters = typed.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    if letters.next().is_some() {
        return None;
    }
    FLAGS.iter().find(|flag| flag.short == Some(letter))
}

/// Every long name, with those that are always there.
pub fn names() -> impl Iterator<Item = &'static str> {
    let tabled = FLAGS.iter().filter(|flag| !matches!(flag.takes, Takes::Refused(_)));
    tabled.map(|flag| flag.name).chain(["help", "version", "yolo"])
}

/// The sandbox modes as they are typed.
pub const SANDBOX_NAMES: &[&str] = &["read-only", "workspace-write", "danger-full-access"];

pub fn sandbox_mode(name: &str) -> Result<SandboxMode, String> {
    match name {
        "read-only" => Ok(SandboxMode::ReadOnly),
        "workspace-write" => Ok(SandboxMode::WorkspaceWrite),
        "danger-full-access" => Ok(SandboxMode::DangerFullAccess),
        _ => Err(one_of(name, SANDBOX_NAMES)),
    }
}

pub fn sandbox_name(mode: SandboxMode) -> &'static str {
    match mode {
        SandboxMode::ReadOnly => "read-only",
        SandboxMode::WorkspaceWrite => "workspace-write",
        SandboxMode::DangerFullAccess => "danger-full-access",
    }
}

/// What to say of a word that is none of these.
pub fn one_of(text: &str, names: &[&str]) -> String {
    let short: String = text.chars().take(40).collect();
    let named = match names {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        names => names.concat(),
    };
    format!("{short:?} is not one of {named}").replace('"', "'")
}

/// A length of time: a whole number and `ms`, `s`, `m` or `h`; seconds if nothing follows.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => 0,
    };
    let number: Option<u64> = number.parse().ok().filter(|_| unit_ms > 0);
    let Some(ms) = number.and_then(|number| number.checked_mul(unit_ms)) else {
        return Err("not a time such as 90, 90s, 5m, 1h or 500ms".to_owned());
    };
    if ms == 0 || ms > TIMEOUT_MS_MAX {
        return Err("must be above zero and at most 24 h".to_owned());
    }
    Ok(ms)
}
