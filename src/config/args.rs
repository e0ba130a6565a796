//! The command line as typed, made into an [`Invocation`].
//!
//! Pure over the words given; the tables in [`super::commands`] and [`super::flags`] say which
//! commands and flags there are and what they take. Flags may stand before or after the words of a
//! command; after `--` every word is a plain one. What is typed is understood here but not
//! resolved: values of settings are judged in [`super::settings`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::config::commands::{self, Argument, Command, TOP};
use crate::config::completions::Shell;
use crate::config::flags::{self, Flag, Takes};
use crate::config::request::Requested;
use crate::limits::{ARGUMENTS_COUNT_MAX, SUGGESTION_BYTES_MAX};
use crate::words::command::Course;
use crate::words::policy::SandboxMode;
use crate::words::review::Target;
use crate::words::session::Stamp;

/// What was typed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Invocation {
    pub verb: Verb,
    /// As typed; `-` asks for stdin.
    pub prompt: Option<Box<str>>,
    /// Another program and its arguments, byte for byte.
    pub command: Vec<OsString>,
    /// `-c`, `--enable` and `--disable`, in order.
    pub overrides: Vec<Override>,
    pub profile: Option<Box<str>>,
    pub model: Option<Box<str>>,
    /// Use a local provider.
    pub oss: bool,
    pub local_provider: Option<Box<str>>,
    pub sandbox: Option<SandboxMode>,
    /// The working directory, as typed.
    pub directory: Option<PathBuf>,
    pub add_dirs: Vec<PathBuf>,
    pub skip_git_repo_check: bool,
    pub images: Vec<PathBuf>,
    pub output_schema: Option<PathBuf>,
    pub output_last_message: Option<PathBuf>,
    /// Where schemas are written.
    pub out: Option<PathBuf>,
    /// Where to write a recording of the model's answers.
    pub record: Option<PathBuf>,
    /// Where to write down all that happens.
    pub journal: Option<PathBuf>,
    pub json: bool,
    pub color: Color,
    pub ephemeral: bool,
    pub ignore_user_config: bool,
    /// Unknown keys of the configuration are errors.
    pub strict_config: bool,
    pub stdin: StdinUse,
    /// How long the run may take.
    pub timeout_ms: Option<u64>,
    /// How often the model may be asked.
    pub max_turns: Option<u64>,
    /// How many tokens may be used.
    pub max_tokens: Option<u64>,
    /// Flags that were accepted and change nothing, to be named once on stderr.
    pub ignored: Vec<&'static str>,
    /// What `review` looks at.
    pub uncommitted: bool,
    pub base: Option<Box<str>>,
    pub commit: Option<Box<str>>,
    pub title: Option<Box<str>>,
    /// `--last` and `--all` of `resume`.
    pub last: bool,
    pub all: bool,
    pub listed: Listed,
    /// Questions are answered with yes.
    pub yes: bool,
    /// What a client asks for; nobody typed it.
    pub requested: Option<Box<Requested>>,
}

/// Which sessions `sessions list` shows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Listed {
    pub archived: bool,
    /// Only those begun in this directory.
    pub cwd: Option<PathBuf>,
    pub provider: Option<Box<str>>,
    pub search: Option<Box<str>>,
    pub sort: Stamp,
    /// At most so many.
    pub limit: Option<u64>,
    /// Where an earlier list has ended.
    pub cursor: Option<Box<str>>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Verb {
    #[default]
    Exec,
    Resume(Resumed),
    Fork(Resumed),
    Review(Target),
    Demo,
    /// Run a command of the user's confined.
    Sandbox,
    /// Say what works here.
    Doctor,
    /// List the features.
    Features,
    /// List the bounds.
    Limits,
    /// Run a journal again.
    Replay(Box<str>),
    Sessions(Sessions),
    Completions(Shell),
    /// Serve programs over stdin and stdout.
    AppServer,
    /// Write the app server's protocol into this directory.
    Schema(SchemaLanguage, PathBuf),
    Help(&'static Command),
    Version,
}

/// How the app server's protocol is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchemaLanguage {
    TypeScript,
    JsonSchema,
}

/// Which session `resume` or `fork` names, not yet understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resumed {
    /// An id, or a path of a rollout.
    Named(Box<str>),
    /// The newest of this directory, or of all.
    Last,
}

/// What `sessions` is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sessions {
    List,
    Archive(Resumed),
    Unarchive(Resumed),
    Delete(Resumed),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Override {
    /// `key=value`, as typed.
    Pair(Box<str>),
    Feature {
        name: Box<str>,
        enabled: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// Whether stdin is read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum StdinUse {
    /// Who holds the other end decides.
    #[default]
    Judged,
    Always,
    Never,
}

/// The command line cannot be understood; one line, with a pointer to the help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageError {
    message: String,
    command: &'static Command,
}

impl UsageError {
    /// The exit code for command lines that cannot be understood.
    pub const EXIT_CODE: u8 = 2;
}

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.command.spelled();
        write!(formatter, "{} (`{command} --help` explains)", self.message)
    }
}

impl std::error::Error for UsageError {}

impl Verb {
    /// The session to go on from, and how.
    pub fn past(&self) -> Option<(&Resumed, Course)> {
        match self {
            Verb::Resume(which) => Some((which, Course::Resume)),
            Verb::Fork(which) => Some((which, Course::Fork)),
            _ => None,
        }
    }
}

impl From<Sessions> for Verb {
    fn from(sessions: Sessions) -> Verb {
        Verb::Sessions(sessions)
    }
}

/// Understands the words after the program's name.
pub fn parse(words: Vec<OsString>) -> Result<Invocation, UsageError> {
    if words.len() > ARGUMENTS_COUNT_MAX {
        let message = format!("more than {ARGUMENTS_COUNT_MAX} arguments");
        return Err(UsageError { message, command: TOP });
    }
    let mut reading = Reading::new(words);
    match reading.run() {
        Ok(()) => Ok(reading.invocation),
        Err(message) => Err(UsageError { message, command: reading.command }),
    }
}

/// The closest of some names, if one is close enough to be what was meant.
pub fn suggestion<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() < 2 || typed.len() > SUGGESTION_BYTES_MAX {
        return None;
    }
    let allowed = if typed.len() < 5 { 1 } else { 2 };
    let mut best: Option<(usize, &str)> = None;
    for name in names.filter(|name| name.len() <= SUGGESTION_BYTES_MAX) {
        let begun = typed.len() >= 4 && name.starts_with(typed);
        let distance = if begun { allowed } else { edits(typed.as_bytes(), name.as_bytes()) };
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// A command line being read.
struct Reading {
    parser: Parser,
    invocation: Invocation,
    /// The command so far.
    command: &'static Command,
    /// Flags given and how they were spelled, to be checked against the command in the end.
    given: Vec<(&'static Flag, String)>,
    /// Plain words of the command. Invariant: at most as many as it has arguments.
    plain: Vec<Box<str>>,
    /// `--` was passed.
    literal: bool,
}

impl Reading {
    fn new(words: Vec<OsString>) -> Reading {
        Reading {
            parser: Parser::from_args(words),
            invocation: Invocation::default(),
            command: TOP,
            given: Vec::new(),
            plain: Vec::new(),
            literal: false,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            if !self.literal {
                let rest = self.parser.try_raw_args();
                self.literal = rest.is_some_and(|rest| rest.peek() == Some(OsStr::new("--")));
            }
            let typed = match self.parser.next().map_err(|error| said(&error))? {
                None => break,
                Some(Arg::Short(letter)) => format!("-{letter}"),
                Some(Arg::Long(name)) => format!("--{name}"),
                Some(Arg::Value(word)) => {
                    self.on_word(word)?;
                    continue;
                }
            };
            match typed.as_str() {
                "-h" | "--help" => {
                    self.invocation.verb = Verb::Help(self.command);
                    return Ok(());
                }
                "-V" | "--version" => {
                    self.invocation.verb = Verb::Version;
                    return Ok(());
                }
                _ => self.on_flag(typed)?,
            }
        }
        self.finish()
    }

    /// Takes a plain word: the next one of a command, or an argument of it.
    fn on_word(&mut self, word: OsString) -> Result<(), String> {
        let command = self.command;
        let is_below = word.to_str().is_some_and(|word| command.below(word).is_some());
        if let Some(Argument::Rest(_)) = command.arguments.first()
            && (self.literal || !is_below)
        {
            self.invocation.command.push(word);
            let rest = self.parser.raw_args().map_err(|error| said(&error))?;
            self.invocation.command.extend(rest);
            return Ok(());
        }
        let word = word.into_string().map_err(|word| format!("{word:?} is not UTF-8"))?;
        if !self.literal && self.plain.is_empty() {
            if let Some(below) = command.below(&word) {
                self.command = below;
                return Ok(());
            }
            if command.arguments.is_empty() && command.children().next().is_some() {
                return Err(command.misses(&word));
            }
        }
        let Some(argument) = command.arguments.get(self.plain.len()) else {
            return Err(match command.arguments.last() {
                Some(Argument::Prompt) => second_prompt(&word),
                Some(
                    Argument::Word(_)
                    | Argument::Choice(..)
                    | Argument::Command
                    | Argument::Rest(_),
                )
                | None => unexpected(&word),
            });
        };
        if let Argument::Choice(_, choices) = argument
            && !choices.contains(&word.as_str())
        {
            return Err(flags::one_of(&word, choices));
        }
        self.plain.push(word.into());
        Ok(())
    }

    fn on_flag(&mut self, typed: String) -> Result<(), String> {
        let Some(flag) = flags::find(&typed) else { return Err(unknown_flag(&typed)) };
        match &flag.takes {
            Takes::Nothing(set) => set(&mut self.invocation),
            Takes::Text(_, set) => {
                let text = self.value(&typed)?;
                let text = text.into_string().map_err(|_| format!("{typed}: not UTF-8"))?;
                set(&mut self.invocation, &text).map_err(|why| format!("{typed}: {why}"))?;
            }
            Takes::Feature { enabled } => {
                let name = self.value(&typed)?;
                let name = name.to_str().map(str::trim).unwrap_or_default();
                if name.is_empty() {
                    return Err(format!("{typed}: the value is empty"));
                }
                let name = name.into();
                let enabled = *enabled;
                self.invocation.overrides.push(Override::Feature { name, enabled });
            }
            Takes::Choice(_, choices, set) => {
                let text = self.value(&typed)?;
                let known = choices.iter().find(|choice| text == **choice);
                let wrong =
                    || format!("{typed}: {}", flags::one_of(&text.to_string_lossy(), choices));
                set(&mut self.invocation, known.ok_or_else(wrong)?);
            }
            Takes::Path(_, set) => {
                let path = self.value(&typed)?;
                if path.is_empty() {
                    return Err(format!("{typed}: the path is empty"));
                }
                set(&mut self.invocation, path);
                if flag.name == "image" {
                    self.take_images(*set);
                }
            }
            Takes::Mode(mode) => self.choose_sandbox(&typed, *mode)?,
            Takes::SandboxName(_) => {
                let name = self.value(&typed)?;
                let mode = flags::sandbox_mode(&name.to_string_lossy());
                self.choose_sandbox(&typed, mode.map_err(|why| format!("{typed}: {why}"))?)?;
            }
            Takes::Stdin(wanted) => {
                let now = self.invocation.stdin;
                if now != StdinUse::Judged && now != *wanted {
                    return Err("--stdin and --no-stdin contradict each other".to_owned());
                }
                self.invocation.stdin = *wanted;
            }
            Takes::Ignored(label) => {
                if label.is_some() {
                    self.value(&typed)?;
                }
                if !self.invocation.ignored.contains(&flag.name) {
                    self.invocation.ignored.push(flag.name);
                }
            }
            Takes::Refused(why) => return Err(format!("{typed} is not supported: {why}")),
        }
        self.given.push((flag, typed));
        Ok(())
    }

    /// The value of a flag; another flag in its place is a mistake, not a value.
    fn value(&mut self, typed: &str) -> Result<OsString, String> {
        let next = self.parser.try_raw_args().and_then(|rest| rest.peek().map(OsStr::to_owned));
        if let Some(next) = next.as_deref().and_then(OsStr::to_str)
            && next.starts_with("--")
            && flags::find(next).is_some()
        {
            return Err(format!("{typed} needs a value, but {next} follows it"));
        }
        self.parser.value().map_err(|_| format!("{typed} needs a value"))
    }

    fn choose_sandbox(&mut self, typed: &str, mode: SandboxMode) -> Result<(), String> {
        if let Some(before) = self.invocation.sandbox
            && before != mode
        {
            let (before, mode) = (flags::sandbox_name(before), flags::sandbox_name(mode));
            return Err(format!(
                "{typed} asks for {mode}, but another flag asks for {before}; choose one"
            ));
        }
        self.invocation.sandbox = Some(mode);
        Ok(())
    }

    /// Takes the words behind an image for images too, as the peer does, but only where they can be
    /// nothing else: after the prompt, or before a `--`. Otherwise the next word is the prompt.
    fn take_images(&mut self, set: fn(&mut Invocation, OsString)) {
        let command = self.command;
        let is_full = self.plain.len() >= command.arguments.len();
        let Some(mut rest) = self.parser.try_raw_args().filter(|_| command != TOP) else { return };
        let is_plain = |word: &OsString| {
            let names = word.to_str().is_some_and(|word| command.below(word).is_some());
            !word.as_encoded_bytes().starts_with(b"-") && !names
        };
        let count = rest.as_slice().iter().take_while(|word| is_plain(word)).count();
        let is_before_literal = rest.as_slice().get(count).is_some_and(|word| word == "--");
        if is_full || is_before_literal {
            rest.by_ref().take(count).for_each(|path| set(&mut self.invocation, path));
        }
    }

    /// Checks that the whole makes sense.
    fn finish(&mut self) -> Result<(), String> {
        let plain = std::mem::take(&mut self.plain);
        if self.command != TOP
            && let Some((flag, typed)) =
                self.given.iter().find(|(flag, _)| !self.command.knows(flag))
        {
            return Err(format!("{typed} belongs to `{}`", commands::home(flag).spelled()));
        }
        self.invocation.verb = (self.command.verb)(&mut self.invocation, plain)?;
        Ok(())
    }
}

impl Command {
    /// No command of this name is below it.
    pub fn misses(&self, word: &str) -> String {
        let names = self.children().flat_map(|child| self.names_of(child));
        match suggestion(word, names.clone()) {
            Some(name) => format!("unknown command {}; did you mean {name}?", shown(word)),
            None if self == TOP => {
                format!("unknown command {}; to run a prompt, use `windlass exec`", shown(word))
            }
            None => {
                let names = names.collect::<Vec<_>>().join(", ");
                format!("unknown command {}; known: {names}", shown(word))
            }
        }
    }
}

fn said(error: &lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => format!("{option} takes no value"),
        error => error.to_string(),
    }
}

fn unexpected(word: &str) -> String {
    format!("unexpected argument {}", shown(word))
}

fn second_prompt(word: &str) -> String {
    format!("unexpected argument {}: a prompt of several words needs quotes", shown(word))
}

fn unknown_flag(typed: &str) -> String {
    let plain = typed.trim_start_matches('-');
    match suggestion(plain, flags::names()) {
        Some(name) => format!("unknown flag {}; did you mean --{name}?", shown(typed)),
        None => format!("unknown flag {}", shown(typed)),
    }
}

/// What was typed, short enough for one line and without control characters.
fn shown(typed: &str) -> String {
    let mut short: String = typed.chars().take(SUGGESTION_BYTES_MAX).collect();
    if short.len() < typed.len() {
        short.push('…');
    }
    format!("{short:?}").replace('"', "'")
}

/// Insertions, deletions, replacements and swaps of neighbours between two short names.
fn edits(left: &[u8], right: &[u8]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row];
        for column in 1..=right.len() {
            let replaced = usize::from(left[row - 1] != right[column - 1]);
            let mut least =
                (last[column] + 1).min(current[column - 1] + 1).min(last[column - 1] + replaced);
            let swapped = row > 1
                && column > 1
                && left[row - 1] == right[column - 2]
                && left[row - 2] == right[column - 1];
            if swapped {
                least = least.min(before_last[column - 2] + 1);
            }
            current.push(least);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests;
