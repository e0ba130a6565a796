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
use crate::words::session::Stamp;

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

/// Every flag, in the order of the help.
pub static FLAGS: &[Flag] = &[
    Flag {
        name: "model",
        aliases: &[],
        short: Some('m'),
        takes: Takes::Text("MODEL", |invocation, model| {
            invocation.model = Some(said(model)?);
            Ok(())
        }),
        belongs: Belongs::Exec,
        help: "Model to ask; any name the provider knows",
    },
    Flag {
        name: "sandbox",
        aliases: &["mode"],
        short: Some('s'),
        takes: Takes::SandboxName("MODE"),
        belongs: Belongs::Turns,
        help: "What commands may touch: read-only (default), workspace-write (also write below the \
               working directory and in temporary directories), danger-full-access (no sandbox)",
    },
    Flag {
        name: "full-auto",
        aliases: &[],
        short: None,
        takes: Takes::Mode(SandboxMode::WorkspaceWrite),
        belongs: Belongs::Exec,
        help: "Same as --sandbox workspace-write",
    },
    Flag {
        name: "dangerously-bypass-approvals-and-sandbox",
        aliases: &["yolo"],
        short: None,
        takes: Takes::Mode(SandboxMode::DangerFullAccess),
        belongs: Belongs::Exec,
        help: "Run everything without a sandbox; only for machines that are one. Short: --yolo",
    },
    Flag {
        name: "cd",
        aliases: &[],
        short: Some('C'),
        takes: Takes::Path("DIR", |invocation, path| invocation.directory = Some(path.into())),
        belongs: Belongs::Turns,
        help: "Work in this directory",
    },
    Flag {
        name: "add-dir",
        aliases: &[],
        short: None,
        takes: Takes::Path("DIR", |invocation, path| invocation.add_dirs.push(path.into())),
        belongs: Belongs::Exec,
        help: "Let commands write here too, under workspace-write; repeatable",
    },
    Flag {
        name: "skip-git-repo-check",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.skip_git_repo_check = true),
        belongs: Belongs::Exec,
        help: "Also run outside a git repository",
    },
    Flag {
        name: "image",
        aliases: &[],
        short: Some('i'),
        takes: Takes::Path("FILE", add_images),
        belongs: Belongs::Exec,
        help: "Attach an image to the prompt; repeatable, or several separated by commas",
    },
    Flag {
        name: "json",
        aliases: &["experimental-json"],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.json = true),
        belongs: Belongs::Turns,
        help: "Print events as JSON, one object a line, instead of the final message",
    },
    Flag {
        name: "output-last-message",
        aliases: &[],
        short: Some('o'),
        takes: Takes::Path("FILE", |invocation, path| {
            invocation.output_last_message = Some(path.into());
        }),
        belongs: Belongs::Exec,
        help: "Write the final message to this file as well",
    },
    Flag {
        name: "output-schema",
        aliases: &[],
        short: None,
        takes: Takes::Path("FILE", |invocation, path| {
            invocation.output_schema = Some(path.into());
        }),
        belongs: Belongs::Exec,
        help: "JSON Schema that the final message must follow",
    },
    Flag {
        name: "color",
        aliases: &[],
        short: None,
        takes: Takes::Choice("WHEN", &["auto", "always", "never"], |invocation, when| {
            invocation.color = match when {
                "always" => Color::Always,
                "never" => Color::Never,
                _ => Color::Auto,
            };
        }),
        belongs: Belongs::Turns,
        help: "Colour the output for people: auto (default), always, never",
    },
    Flag {
        name: "config",
        aliases: &[],
        short: Some('c'),
        takes: Takes::Text("KEY=VALUE", |invocation, pair| {
            invocation.overrides.push(Override::Pair(pair.into()));
            Ok(())
        }),
        belongs: Belongs::Turns,
        help: "Override a key of config.toml, dotted, its value as TOML or else as plain text; \
               wins over profiles; repeatable",
    },
    Flag {
        name: "profile",
        aliases: &[],
        short: Some('p'),
        takes: Takes::Text("NAME", |invocation, name| {
            invocation.profile = Some(said(name)?);
            Ok(())
        }),
        belongs: Belongs::Exec,
        help: "Use the profile NAME: the file NAME.config.toml beside config.toml, or its table \
               [profiles.NAME]",
    },
    Flag {
        name: "enable",
        aliases: &[],
        short: None,
        takes: Takes::Feature { enabled: true },
        belongs: Belongs::Turns,
        help: "Same as -c features.FEATURE=true",
    },
    Flag {
        name: "disable",
        aliases: &[],
        short: None,
        takes: Takes::Feature { enabled: false },
        belongs: Belongs::Turns,
        help: "Same as -c features.FEATURE=false",
    },
    Flag {
        name: "oss",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.oss = true),
        belongs: Belongs::Exec,
        help: "Use a model server on this machine; needs no key",
    },
    Flag {
        name: "local-provider",
        aliases: &[],
        short: None,
        takes: Takes::Choice("NAME", &["ollama", "lmstudio"], |invocation, name| {
            invocation.local_provider = Some(name.into());
        }),
        belongs: Belongs::Exec,
        help: "Which one --oss means: ollama (default), lmstudio",
    },
    Flag {
        name: "ephemeral",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.ephemeral = true),
        belongs: Belongs::Turns,
        help: "Keep no record of the session on disk",
    },
    Flag {
        name: "record",
        aliases: &[],
        short: None,
        takes: Takes::Path("FILE", |invocation, path| invocation.record = Some(path.into())),
        belongs: Belongs::Exec,
        help: "Write what the model answers to FILE, for a provider of kind \"replay\"",
    },
    Flag {
        name: "stdin",
        aliases: &[],
        short: None,
        takes: Takes::Stdin(StdinUse::Always),
        belongs: Belongs::Exec,
        help: "Read stdin to its end, however long it takes to come",
    },
    Flag {
        name: "no-stdin",
        aliases: &[],
        short: None,
        takes: Takes::Stdin(StdinUse::Never),
        belongs: Belongs::Exec,
        help: "Do not touch stdin",
    },
    Flag {
        name: "timeout",
        aliases: &[],
        short: None,
        takes: Takes::Text("TIME", |invocation, text| {
            invocation.timeout_ms = Some(duration_ms(text)?);
            Ok(())
        }),
        belongs: Belongs::Exec,
        help: "End the run after so long, waiting for stdin included: 90, 90s, 5m, 1h, 500ms",
    },
    Flag {
        name: "max-turns",
        aliases: &[],
        short: None,
        takes: Takes::Text("N", |invocation, text| {
            invocation.max_turns = Some(count(text)?);
            Ok(())
        }),
        belongs: Belongs::Exec,
        help: "Ask the model at most N times; what its last answer asks for is still done",
    },
    Flag {
        name: "max-tokens",
        aliases: &[],
        short: None,
        takes: Takes::Text("N", |invocation, text| {
            invocation.max_tokens = Some(count(text)?);
            Ok(())
        }),
        belongs: Belongs::Exec,
        help: "Do not ask the model again once N tokens were used: output, and input that was not \
               cached",
    },
    Flag {
        name: "last",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.last = true),
        belongs: Belongs::Session,
        help: "The newest session of this directory; the only argument is then the prompt",
    },
    Flag {
        name: "all",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.all = true),
        belongs: Belongs::Session,
        help: "With --last: the newest session of any directory",
    },
    Flag {
        name: "uncommitted",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.uncommitted = true),
        belongs: Belongs::Named,
        help: "Review what is staged, not staged and not tracked",
    },
    Flag {
        name: "base",
        aliases: &[],
        short: None,
        takes: Takes::Text("BRANCH", |invocation, branch| {
            invocation.base = Some(review::revision(branch)?);
            Ok(())
        }),
        belongs: Belongs::Named,
        help: "Review what has changed since BRANCH was left",
    },
    Flag {
        name: "commit",
        aliases: &[],
        short: None,
        takes: Takes::Text("SHA", |invocation, sha| {
            invocation.commit = Some(review::revision(sha)?);
            Ok(())
        }),
        belongs: Belongs::Named,
        help: "Review what this commit changed",
    },
    Flag {
        name: "title",
        aliases: &[],
        short: None,
        takes: Takes::Text("TEXT", |invocation, title| {
            invocation.title = Some(said(title)?);
            Ok(())
        }),
        belongs: Belongs::Named,
        help: "With --commit: what the commit is called",
    },
    Flag {
        name: "ignore-user-config",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.ignore_user_config = true),
        belongs: Belongs::Exec,
        help: "Do not read config.toml",
    },
    Flag {
        name: "strict-config",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.strict_config = true),
        belongs: Belongs::Turns,
        help: "Refuse keys of config.toml and -c that are not known",
    },
    Flag {
        name: "archived",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|invocation| invocation.listed.archived = true),
        belongs: Belongs::Named,
        help: "Those in the archive instead",
    },
    Flag {
        name: "cwd",
        aliases: &[],
        short: None,
        takes: Takes::Path("DIR", |invocation, path| invocation.listed.cwd = Some(path.into())),
        belongs: Belongs::Named,
        help: "Only those that began in this directory; . is the current one",
    },
    Flag {
        name: "provider",
        aliases: &[],
        short: None,
        takes: Takes::Text("NAME", |invocation, name| {
            invocation.listed.provider = Some(said(name)?);
            Ok(())
        }),
        belongs: Belongs::Named,
        help: "Only those of this model provider",
    },
    Flag {
        name: "search",
        aliases: &[],
        short: None,
        takes: Takes::Text("TEXT", |invocation, text| {
            invocation.listed.search = Some(said(text)?);
            Ok(())
        }),
        belongs: Belongs::Named,
        help: "Only those whose first prompt, directory, branch or id holds TEXT",
    },
    Flag {
        name: "sort",
        aliases: &[],
        short: None,
        takes: Takes::Choice("BY", &["created", "updated"], |invocation, by| {
            let is_updated = by == "updated";
            invocation.listed.sort = if is_updated { Stamp::Updated } else { Stamp::Created };
        }),
        belongs: Belongs::Named,
        help: "The newest by what: created (default), updated",
    },
    Flag {
        name: "limit",
        aliases: &[],
        short: None,
        takes: Takes::Text("N", |invocation, text| {
            invocation.listed.limit = Some(count(text)?);
            Ok(())
        }),
        belongs: Belongs::Named,
        help: "At most N sessions, 25 if nothing is said",
    },
    Flag {
        name: "cursor",
        aliases: &[],
        short: None,
        takes: Takes::Text("CURSOR", |invocation, text| {
            invocation.listed.cursor = Some(said(text)?);
            Ok(())
        }),
        belongs: Belongs::Named,
        help: "Go on where an earlier list ended",
    },
    Flag {
        name: "yes",
        aliases: &[],
        short: Some('y'),
        takes: Takes::Nothing(|invocation| invocation.yes = true),
        belongs: Belongs::Named,
        help: "Do not ask back",
    },
    ignored("ask-for-approval", Some('a'), Some("POLICY")),
    ignored("ignore-rules", None, None),
    ignored("thread-source", None, Some("SOURCE")),
    ignored("cyber-access-program", None, Some("PROGRAM")),
    refused("worktree", "create the worktree first and name it with --cd"),
    refused("trust", "exec needs no trust; say what may be touched with --sandbox"),
    refused("approve-for-me", "nothing approves on your behalf; choose a --sandbox instead"),
];

/// A row for a flag that changes nothing here.
const fn ignored(name: &'static str, short: Option<char>, label: Option<&'static str>) -> Flag {
    let takes = Takes::Ignored(label);
    Flag { name, aliases: &[], short, takes, belongs: Belongs::Turns, help: "" }
}

/// A row for a flag that would change what is safe or where work happens.
const fn refused(name: &'static str, why: &'static str) -> Flag {
    let takes = Takes::Refused(why);
    Flag { name, aliases: &[], short: None, takes, belongs: Belongs::Turns, help: "" }
}

fn said(text: &str) -> Result<Box<str>, String> {
    match text.trim() {
        "" => Err("the value is empty".to_owned()),
        text => Ok(text.into()),
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
