//! The rows of the table of flags.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Belongs, Flag, Takes, duration_ms};
use crate::config::args::{Color, Invocation, Override, StdinUse};
use crate::config::review;
use crate::words::policy::SandboxMode;
use crate::words::session::Stamp;

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
        help: "Print JSON for programs: of a run its events, one object a line",
    },
    Flag {
        name: "out",
        aliases: &[],
        short: None,
        takes: Takes::Path("DIR", |invocation, path| invocation.out = Some(path.into())),
        belongs: Belongs::Named,
        help: "Write into this directory; it is made if there is none",
    },
    Flag {
        name: "prettier",
        aliases: &[],
        short: None,
        takes: Takes::Ignored(Some("PROGRAM")),
        belongs: Belongs::Named,
        help: "",
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
        name: "journal",
        aliases: &[],
        short: None,
        takes: Takes::Path("FILE", |invocation, path| invocation.journal = Some(path.into())),
        belongs: Belongs::Turns,
        help: "Write all that happens to FILE, for `windlass debug replay`; it holds the conversation",
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
    Flag {
        name: "listen",
        aliases: &[],
        short: None,
        takes: Takes::Choice("URL", &["stdio://"], |_, _| {}),
        belongs: Belongs::Named,
        help: "Where the client is: nowhere but here",
    },
    Flag {
        name: "stdio",
        aliases: &[],
        short: None,
        takes: Takes::Nothing(|_| {}),
        belongs: Belongs::Named,
        help: "Same as --listen stdio://",
    },
    ignored("ask-for-approval", Some('a'), Some("POLICY")),
    ignored("ignore-rules", None, None),
    ignored("analytics-default-enabled", None, None),
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

/// Several images may share a flag, separated by commas.
fn add_images(invocation: &mut Invocation, paths: OsString) {
    match paths.to_str() {
        Some(text) => {
            let named = text.split(',').filter(|path| !path.is_empty());
            invocation.images.extend(named.map(PathBuf::from));
        }
        None => invocation.images.push(paths.into()),
    }
}

/// A whole number above zero.
fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a whole number above zero".to_owned()),
        Ok(number) => Ok(number),
    }
}
