//! The table of commands: it drives parsing, help, completions and the messages about mistakes.
//!
//! A new command is a row here, a [`Verb`] and an arm in `main.rs`; flags it shares with others are
//! named in its row, flags of its own are rows of [`super::flags`]. What happens is no business of
//! the table.

use std::fmt;

use crate::config::args::{Invocation, Resumed, SchemaLanguage, Sessions, Verb};
use crate::config::completions::{SHELL_NAMES, Shell};
use crate::config::flags::{Belongs, Flag};
use crate::config::review;

/// One command.
pub struct Command {
    /// The words that lead to it: its own name first, then other ways to say it.
    pub paths: &'static [&'static [&'static str]],
    /// Its plain words, in order; each may be left out as far as the parser cares.
    pub arguments: &'static [Argument],
    /// The groups of flags it knows.
    pub knows: &'static [Belongs],
    /// Flags it knows besides those groups, by their long names.
    pub also: &'static [&'static str],
    /// One line in the list of commands; empty for what the list does not mention.
    pub help: &'static str,
    /// What its own help says first; the line above if empty.
    pub about: &'static str,
    /// How it is written, without the program's name; derived if empty.
    pub usage: &'static [&'static str],
    /// What its own help says last.
    pub notes: &'static str,
    /// Makes the verb of the plain words, of which there are at most as many as arguments.
    pub verb: fn(&mut Invocation, Vec<Box<str>>) -> Result<Verb, String>,
}

/// One plain word of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    Word(&'static str),
    /// One of a few words.
    Choice(&'static str, &'static [&'static str]),
    /// A word that leads to a command.
    Command,
    Prompt,
    /// This word and all that follow, whatever they look like: another program's.
    Rest(&'static str),
}

impl Command {
    /// The words that lead to it, as one would type them.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        let own = self.paths.first().copied().unwrap_or_default();
        std::iter::once("windlass").chain(own.iter().copied())
    }

    /// The same as one text.
    pub fn spelled(&self) -> String {
        self.words().collect::<Vec<_>>().join(" ")
    }

    pub fn knows(&self, flag: &Flag) -> bool {
        self.knows.contains(&flag.belongs) || self.also.contains(&flag.name)
    }

    /// Whether its help names the flag: one that it knows and does not refuse.
    pub fn offers(&self, flag: &Flag) -> bool {
        let refuses = self.also.contains(&"uncommitted") && review::REFUSED.contains(&flag.name);
        self.knows(flag) && !flag.help.is_empty() && !refuses
    }

    /// The command that this word leads to from here.
    pub fn below(&self, word: &str) -> Option<&'static Command> {
        COMMANDS.iter().find(|command| self.names_of(command).any(|name| name == word))
    }

    /// The commands one word away.
    pub fn children(&self) -> impl Iterator<Item = &'static Command> + Clone {
        COMMANDS.iter().filter(|command| self.names_of(command).next().is_some())
    }

    /// The words that lead from here to a command.
    pub fn names_of(&self, command: &Command) -> impl Iterator<Item = &'static str> + Clone {
        command.paths.iter().filter_map(|path| {
            let (name, before) = path.split_last()?;
            self.paths.contains(&before).then_some(*name)
        })
    }

    /// Its plain words as help writes them, each with a space before it.
    pub fn shape(&self) -> String {
        self.arguments.iter().map(|argument| format!(" [{}]", argument.label())).collect()
    }
}

/// A row is the same command as another if it is reached by the same words.
impl PartialEq for Command {
    fn eq(&self, other: &Command) -> bool {
        self.paths == other.paths
    }
}

impl Eq for Command {}

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.spelled())
    }
}

impl Argument {
    pub fn label(self) -> &'static str {
        match self {
            Argument::Word(label) | Argument::Choice(label, _) | Argument::Rest(label) => label,
            Argument::Command => "COMMAND",
            Argument::Prompt => "PROMPT",
        }
    }
}

/// The program without a command.
pub static TOP: &Command = &Command {
    paths: &[&[]],
    about: "windlass: a coding agent for the command line",
    usage: &["COMMAND [FLAGS]"],
    notes: "\n`windlass exec --help` lists the flags.\n",
    ..ROW
};

/// The command that knows a flag best: the first in the table.
pub fn home(flag: &Flag) -> &'static Command {
    COMMANDS.iter().find(|command| command.knows(flag)).unwrap_or(TOP)
}

/// What a row need not say.
const ROW: Command = Command {
    paths: &[],
    arguments: &[],
    knows: &[],
    also: &[],
    help: "",
    about: "",
    usage: &[],
    notes: "",
    verb: |_, _| Err("no command was given, for example `windlass exec \"PROMPT\"`".to_owned()),
};

/// What chooses settings, for commands that only read them.
const CONFIGURED: &[&str] =
    &["config", "profile", "enable", "disable", "ignore-user-config", "strict-config"];

/// What chooses settings and says them in JSON.
const DOCTOR: &[&str] = &[
    "config",
    "profile",
    "enable",
    "disable",
    "ignore-user-config",
    "strict-config",
    "sandbox",
    "cd",
    "json",
];

/// What both spellings of it share.
const SANDBOX: Command = Command {
    arguments: &[Argument::Rest("COMMAND")],
    also: &[
        "config",
        "profile",
        "ignore-user-config",
        "strict-config",
        "sandbox",
        "full-auto",
        "dangerously-bypass-approvals-and-sandbox",
        "cd",
        "add-dir",
    ],
    verb: |invocation, _| match invocation.command.is_empty() {
        true => Err("say what to run, for example `windlass sandbox -- ls`".to_owned()),
        false => Ok(Verb::Sandbox),
    },
    ..ROW
};

/// Every command, in the order of the help.
pub static COMMANDS: &[Command] = &[
    Command {
        paths: &[&["exec"], &["e"]],
        arguments: &[Argument::Prompt],
        knows: &[Belongs::Turns, Belongs::Exec],
        help: "Work on a prompt without asking back; `e` for short",
        about: "Works on a prompt until the model is done, without asking back.

PROMPT is one word of the shell: quote it. Without it, or with -, stdin is the prompt. The final
message goes to stdout, everything else to stderr; see --json for programs.",
        usage: &[
            "exec [FLAGS] [PROMPT]",
            "exec resume|fork [FLAGS] [ID] [PROMPT]",
            "exec review [FLAGS] [TARGET]",
        ],
        notes: EXEC_NOTES,
        verb: |invocation, plain| {
            invocation.prompt = plain.into_iter().next();
            Ok(Verb::Exec)
        },
        ..ROW
    },
    Command {
        paths: &[&["exec", "resume"]],
        arguments: &[Argument::Word("ID"), Argument::Prompt],
        knows: &[Belongs::Turns, Belongs::Exec, Belongs::Session],
        help: "Go on with an earlier session",
        about: "Goes on with an earlier session, in the same record.

ID is what `session id` said, or the path of a rollout file. Model, directory and sandbox are those
of this command line and config.toml, not those of back then.",
        usage: &["exec resume [FLAGS] ID [PROMPT]", "exec resume [FLAGS] --last [PROMPT]"],
        notes: EXEC_NOTES,
        verb: |invocation, plain| session(invocation, plain).map(Verb::Resume),
        ..ROW
    },
    Command {
        paths: &[&["exec", "fork"], &["fork"]],
        arguments: &[Argument::Word("ID"), Argument::Prompt],
        knows: &[Belongs::Turns, Belongs::Exec, Belongs::Session],
        help: "Go on from a copy of an earlier session; `fork` for short",
        about: "Goes on from an earlier session as one of its own, with a new id and a new record.

The record begins with a copy of the old one, which stays as it is. ID is what
`session id` said, or the path of a rollout file.",
        usage: &["exec fork [FLAGS] ID [PROMPT]", "exec fork [FLAGS] --last [PROMPT]"],
        notes: EXEC_NOTES,
        verb: |invocation, plain| session(invocation, plain).map(Verb::Fork),
        ..ROW
    },
    Command {
        paths: &[&["sessions"]],
        usage: &["sessions list|archive|unarchive|delete [FLAGS]"],
        about: "Lists recorded sessions, archives them and deletes them.",
        verb: |_, _| Err("say what about sessions, for example `windlass sessions list`".into()),
        ..ROW
    },
    Command {
        paths: &[&["sessions", "list"]],
        also: &["archived", "cwd", "provider", "search", "sort", "limit", "cursor", "json"],
        help: "List recorded sessions, the newest first",
        about: "Lists recorded sessions, the newest first: id, time, directory, first prompt.

Through a pipe, fields have tabs between them. If there are more, stderr says how to go on.",
        verb: |_, _| Ok(Verb::Sessions(Sessions::List)),
        ..ROW
    },
    Command {
        paths: &[&["sessions", "archive"]],
        arguments: &[Argument::Word("ID")],
        also: &["last", "all"],
        help: "Put a session out of the way",
        about: "Moves a session into archived_sessions, where neither lists nor --last find it.",
        verb: |invocation, plain| one(invocation, plain).map(|it| Sessions::Archive(it).into()),
        ..ROW
    },
    Command {
        paths: &[&["sessions", "unarchive"]],
        arguments: &[Argument::Word("ID")],
        also: &["last", "all"],
        help: "Bring an archived session back",
        about: "Moves a session from the archive back to its place by date.",
        verb: |invocation, plain| one(invocation, plain).map(|it| Sessions::Unarchive(it).into()),
        ..ROW
    },
    Command {
        paths: &[&["sessions", "delete"]],
        arguments: &[Argument::Word("ID")],
        also: &["last", "all", "yes"],
        help: "Delete a session for good",
        about: "Deletes a session, archived or not, for good. Asks first; without a terminal, only
with --yes.",
        verb: |invocation, plain| one(invocation, plain).map(|it| Sessions::Delete(it).into()),
        ..ROW
    },
    Command {
        paths: &[&["exec", "review"], &["review"]],
        arguments: &[Argument::Prompt],
        knows: &[Belongs::Turns, Belongs::Exec],
        also: &["uncommitted", "base", "commit", "title"],
        help: "Review a change and say what is wrong with it; `review` for short",
        about: "Reviews a change: the model reads it and what is around it, and says what is wrong.

Name one thing: uncommitted changes, a branch to compare with, a commit, or PROMPT, in which you say
what to look at (- reads it from stdin). Nothing is changed: commands run read-only. Notes of the
project (AGENTS.md) are not read, and `review_model` of config.toml is asked if it is set.

The verdict goes to stdout: whether the change is correct, and each finding with its priority, from
P0, which cannot wait, to P3. With --json it is the last agent_message, and as data its
`review_output`. Findings do not change the exit code.",
        usage: &[
            "review [FLAGS] --uncommitted",
            "review [FLAGS] --base BRANCH",
            "review [FLAGS] --commit SHA [--title TEXT]",
            "review [FLAGS] PROMPT",
        ],
        notes: EXEC_NOTES,
        verb: |invocation, plain| {
            invocation.prompt = plain.into_iter().next();
            review::target(invocation).map(Verb::Review)
        },
    },
    Command {
        paths: &[&["demo"]],
        knows: &[Belongs::Turns],
        help: "Watch a recorded session; needs no key and no network",
        about: "Shows a recorded session: a model that was recorded earlier, commands that really \
                run.",
        verb: |_, _| Ok(Verb::Demo),
        ..ROW
    },
    Command {
        paths: &[&["features"]],
        also: CONFIGURED,
        usage: &["features list [FLAGS]"],
        about: "Says what can be switched on and off.",
        verb: |_, _| Err("say what about features, for example `windlass features list`".into()),
        ..ROW
    },
    Command {
        paths: &[&["features", "list"]],
        also: CONFIGURED,
        help: "List the features: name, stage, whether it is on",
        verb: |_, _| Ok(Verb::Features),
        ..ROW
    },
    Command {
        paths: &[&["debug"]],
        usage: &["debug limits|replay"],
        about: "Shows how windlass is made and what it did.",
        verb: |_, _| Err("say what to show, for example `windlass debug limits`".into()),
        ..ROW
    },
    Command {
        paths: &[&["debug", "limits"]],
        help: "List the bounds: name, value, unit, reason; and the memory they add up to",
        verb: |_, _| Ok(Verb::Limits),
        ..ROW
    },
    Command {
        paths: &[&["debug", "replay"]],
        arguments: &[Argument::Word("FILE")],
        help: "Take a journal's inputs again and compare what comes of them",
        about: "Takes the inputs of a journal (`--journal FILE`) again: nothing is run or sent, only decided.

Says how many inputs led to the same as back then. Exit codes: 0 the same, also if the journal is
cut off; 3 something else, which is shown; 1 the journal is damaged. An input that makes windlass
panic does so again.",
        usage: &["debug replay FILE"],
        verb: |_, plain| {
            let path = plain.into_iter().next();
            path.map(Verb::Replay).ok_or_else(|| "name the file of a journal".to_owned())
        },
        ..ROW
    },
    Command {
        paths: &[&["sandbox"]],
        help: "Run a command of yours as those of the model are run",
        about: "Runs a command confined as those of the model are, on this terminal. It is read-only unless
a flag or config.toml says otherwise. Its exit code becomes that of windlass: 128 and the number for
a signal, 127 and 126 if it was not found or cannot be executed, 125 if it could not be confined.",
        usage: &["sandbox [FLAGS] -- COMMAND [ARGUMENTS]"],
        ..SANDBOX
    },
    Command { paths: &[&["sandbox", "linux"]], ..SANDBOX },
    Command {
        paths: &[&["doctor"]],
        knows: &[],
        also: DOCTOR,
        help: "Say what works here: sandbox, settings, login, terminal",
        about: "Says how strongly commands can be confined here, and what windlass would run with. \
                Nothing is sent.",
        verb: |_, _| Ok(Verb::Doctor),
        ..ROW
    },
    Command {
        paths: &[&["app-server"]],
        knows: &[Belongs::Turns, Belongs::Exec],
        also: &["listen", "stdio"],
        usage: &["app-server [FLAGS]", "app-server generate-ts|generate-json-schema --out DIR"],
        help: "Serve editors and other programs over stdin and stdout",
        about: "Serves any number of conversations to a program, as JSON-RPC: one message a line,
in on stdin, out on stdout; stderr is for people. Flags are what conversations begin with.
It ends with stdin.",
        verb: |_, _| Ok(Verb::AppServer),
        ..ROW
    },
    Command {
        paths: &[&["app-server", "generate-ts"]],
        also: &["out", "prettier"],
        usage: &["app-server generate-ts --out DIR"],
        help: "Write the protocol for programs as TypeScript",
        verb: |invocation, _| schema(invocation, SchemaLanguage::TypeScript),
        ..ROW
    },
    Command {
        paths: &[&["app-server", "generate-json-schema"]],
        also: &["out"],
        usage: &["app-server generate-json-schema --out DIR"],
        help: "Write the protocol for programs as JSON Schema",
        verb: |invocation, _| schema(invocation, SchemaLanguage::JsonSchema),
        ..ROW
    },
    Command {
        paths: &[&["completions"], &["completion"]],
        arguments: &[Argument::Choice("SHELL", SHELL_NAMES)],
        help: "Print a script that completes commands and flags",
        about: "Prints a script that lets a shell complete commands, flags and their values.",
        usage: &["completions bash|zsh|fish"],
        notes: "
  bash: add `source <(windlass completions bash)` to ~/.bashrc
  zsh:  save it as _windlass in a directory of $fpath
  fish: save it as ~/.config/fish/completions/windlass.fish
",
        verb: |_, plain| {
            let shell = plain.first().and_then(|name| Shell::named(name));
            shell.map(Verb::Completions).ok_or_else(|| "name a shell: bash, zsh or fish".to_owned())
        },
        ..ROW
    },
    Command {
        paths: &[&["help"]],
        arguments: &[Argument::Command, Argument::Command],
        help: "Explain a command",
        verb: |_, plain| explained(&plain).map(Verb::Help),
        ..ROW
    },
];

fn schema(invocation: &mut Invocation, language: SchemaLanguage) -> Result<Verb, String> {
    let out = invocation.out.take().ok_or_else(|| "name a directory with --out DIR".to_owned())?;
    Ok(Verb::Schema(language, out))
}

/// Tells the plain words apart that name a session: with `--last` the only one is the prompt.
fn session(invocation: &mut Invocation, plain: Vec<Box<str>>) -> Result<Resumed, String> {
    let mut plain = plain.into_iter();
    let first = plain.next();
    let second = plain.next();
    if !invocation.last {
        invocation.prompt = second;
        let named = first.map(Resumed::Named);
        return named.ok_or_else(|| "name a session by its id, or add --last".to_owned());
    }
    invocation.prompt = first;
    match second {
        None => Ok(Resumed::Last),
        Some(word) => Err(format!("--last takes no session id, only a prompt, not {word:?}")),
    }
}

/// The session that is named, without a prompt.
fn one(invocation: &mut Invocation, plain: Vec<Box<str>>) -> Result<Resumed, String> {
    if invocation.last && !plain.is_empty() {
        return Err("--last takes no session id".to_owned());
    }
    session(invocation, plain)
}

/// The command that these words lead to.
fn explained(words: &[Box<str>]) -> Result<&'static Command, String> {
    let mut command = TOP;
    for word in words {
        command = command.below(word).ok_or_else(|| command.misses(word))?;
    }
    Ok(command)
}

const EXEC_NOTES: &str = "
Stdin beside a prompt: what a pipe brings is added to the prompt. If a program outside this one's
parents writes to the pipe, windlass reads to the end, at most --timeout long, and says that it
waits. If only its parents hold the pipe, it waits a moment for a first byte and then goes on
without. --stdin always waits for the end; --no-stdin never reads.

Keys: the model provider needs one in CODEX_API_KEY, in the variable its `env_key` names, or in
auth.json. Local providers (--oss) and recordings need none.

Exit codes: 0 done, 1 failed, 2 not understood, 3 left the recording it is played from, 4 out of
--max-turns, 5 out of --max-tokens, 124 out of --timeout, 129, 130 and 143 ended by SIGHUP, SIGINT
and SIGTERM, 141 the reader of stdout left.

Examples:
  windlass exec \"explain what src/main.rs does\"
  windlass exec -s workspace-write \"make the tests pass\"
  git log -5 | windlass exec \"sum this up\"
  windlass review --base main
  windlass exec resume --last \"now write the changelog\"
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::flags::FLAGS;

    #[test]
    fn every_command_is_reached_by_each_of_its_paths_and_no_other_is() {
        for command in COMMANDS {
            assert!(!command.paths.is_empty());
            for path in command.paths {
                let reached = path.iter().try_fold(TOP, |from, word| from.below(word));
                assert_eq!(reached, Some(command), "{path:?}");
            }
        }
    }

    #[test]
    fn rows_name_flags_that_exist_and_each_flag_has_a_home() {
        for name in COMMANDS.iter().flat_map(|command| command.also) {
            assert!(FLAGS.iter().any(|flag| flag.name == *name), "--{name}");
        }
        for flag in FLAGS {
            assert_ne!(home(flag), TOP, "--{}", flag.name);
        }
    }
}
