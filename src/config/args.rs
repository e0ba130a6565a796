//! The command line as typed, made into an [`Invocation`].
//!
//! Pure over the words given; the table in [`super::flags`] says which flags there are, what they
//! take and where they belong. Flags may stand before or after the command and `resume`; after `--`
//! every word is a plain one. What is typed is understood here but not resolved: values of settings
//! are judged in [`super::settings`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::config::flags::{self, Flag, Takes};
use crate::limits::{ARGUMENTS_COUNT_MAX, SUGGESTION_BYTES_MAX};
use crate::words::policy::SandboxMode;

/// What was typed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Invocation {
    pub verb: Verb,
    /// As typed; `-` asks for stdin.
    pub prompt: Option<Box<str>>,
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
    /// Where to write a recording of the model's answers.
    pub record: Option<PathBuf>,
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
    /// `--last` and `--all` of `resume`.
    pub last: bool,
    pub all: bool,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Verb {
    #[default]
    Exec,
    Resume(Resumed),
    Demo,
    Help(Topic),
    Version,
}

/// Which session `resume` names, not yet understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resumed {
    /// An id, or a path of a rollout.
    Named(Box<str>),
    /// The newest of this directory, or of all.
    Last,
}

/// What help is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    Top,
    Exec,
    Resume,
    Demo,
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
    topic: Topic,
}

impl UsageError {
    /// The exit code for command lines that cannot be understood.
    pub const EXIT_CODE: u8 = 2;
}

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.topic.command();
        write!(formatter, "{} (`{command} --help` explains)", self.message)
    }
}

impl std::error::Error for UsageError {}

impl Topic {
    /// The words that lead to it.
    pub fn command(self) -> &'static str {
        match self {
            Topic::Top => "windlass",
            Topic::Exec => "windlass exec",
            Topic::Resume => "windlass exec resume",
            Topic::Demo => "windlass demo",
        }
    }
}

/// Understands the words after the program's name.
pub fn parse(words: Vec<OsString>) -> Result<Invocation, UsageError> {
    if words.len() > ARGUMENTS_COUNT_MAX {
        let message = format!("more than {ARGUMENTS_COUNT_MAX} arguments");
        return Err(UsageError { message, topic: Topic::Top });
    }
    let mut reading = Reading::new(words);
    match reading.run() {
        Ok(()) => Ok(reading.invocation),
        Err(message) => Err(UsageError { message, topic: reading.topic.unwrap_or(Topic::Top) }),
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
    topic: Option<Topic>,
    /// Flags given and how they were spelled, to be checked against the command in the end.
    given: Vec<(&'static Flag, String)>,
    /// Plain words of `resume`: an id, a prompt.
    plain: Vec<Box<str>>,
    /// `--` was passed.
    literal: bool,
}

impl Reading {
    fn new(words: Vec<OsString>) -> Reading {
        Reading {
            parser: Parser::from_args(words),
            invocation: Invocation::default(),
            topic: None,
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
                    if self.on_word(word)? {
                        return Ok(());
                    }
                    continue;
                }
            };
            match typed.as_str() {
                "-h" | "--help" => {
                    let topic = self.topic.unwrap_or(Topic::Top);
                    self.invocation.verb = Verb::Help(topic);
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

    /// Takes a plain word; true ends the reading.
    fn on_word(&mut self, word: OsString) -> Result<bool, String> {
        let word = word.into_string().map_err(|word| format!("{word:?} is not UTF-8"))?;
        match self.topic {
            None | Some(Topic::Top) if self.literal => return Err(unexpected(&word)),
            None | Some(Topic::Top) => match word.as_str() {
                "exec" | "e" => self.topic = Some(Topic::Exec),
                "demo" => self.topic = Some(Topic::Demo),
                "help" => {
                    self.invocation.verb = Verb::Help(self.help_topic()?);
                    return Ok(true);
                }
                _ => return Err(unknown_command(&word)),
            },
            Some(Topic::Exec) => {
                if word == "resume" && !self.literal && self.invocation.prompt.is_none() {
                    self.topic = Some(Topic::Resume);
                } else if self.invocation.prompt.is_none() {
                    self.invocation.prompt = Some(word.into());
                } else {
                    return Err(second_prompt(&word));
                }
            }
            Some(Topic::Resume) if self.plain.len() < 2 => self.plain.push(word.into()),
            Some(Topic::Resume) => return Err(second_prompt(&word)),
            Some(Topic::Demo) => return Err(unexpected(&word)),
        }
        Ok(false)
    }

    /// What the words after `help` name.
    fn help_topic(&mut self) -> Result<Topic, String> {
        let mut topic = Topic::Top;
        while let Some(arg) = self.parser.next().map_err(|error| said(&error))? {
            let Arg::Value(word) = arg else { continue };
            topic = match (topic, word.to_string_lossy().as_ref()) {
                (Topic::Top, "exec" | "e") => Topic::Exec,
                (Topic::Top, "demo") => Topic::Demo,
                (Topic::Exec, "resume") => Topic::Resume,
                (_, word) => return Err(unknown_command(word)),
            };
        }
        Ok(topic)
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
            Takes::Path(_, set) => {
                let path = self.value(&typed)?;
                if path.is_empty() {
                    return Err(format!("{typed}: the path is empty"));
                }
                set(&mut self.invocation, path);
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

    /// Checks that the whole makes sense.
    fn finish(&mut self) -> Result<(), String> {
        let Some(topic) = self.topic else {
            return Err("no command was given, for example `windlass exec \"PROMPT\"`".to_owned());
        };
        for (flag, typed) in &self.given {
            if !flag.belongs.covers(topic) {
                let home = flag.belongs.home().command();
                return Err(format!("{typed} belongs to `{home}`"));
            }
        }
        self.invocation.verb = match topic {
            Topic::Top | Topic::Exec => Verb::Exec,
            Topic::Demo => Verb::Demo,
            Topic::Resume => Verb::Resume(self.resumed()?),
        };
        Ok(())
    }

    /// Tells the words of `resume` apart: with `--last` the only one is the prompt.
    fn resumed(&mut self) -> Result<Resumed, String> {
        let mut plain = std::mem::take(&mut self.plain).into_iter();
        let first = plain.next();
        if self.invocation.last {
            self.invocation.prompt = first;
            return match plain.next() {
                None => Ok(Resumed::Last),
                Some(word) => {
                    Err(format!("--last takes no session id, only a prompt, not {word:?}"))
                }
            };
        }
        self.invocation.prompt = plain.next();
        first
            .map(Resumed::Named)
            .ok_or_else(|| "name a session by its id, or add --last".to_owned())
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

fn unknown_command(word: &str) -> String {
    match suggestion(word, ["exec", "demo", "help"].into_iter()) {
        Some(name) => format!("unknown command {}; did you mean {name}?", shown(word)),
        None => format!("unknown command {}; to run a prompt, use `windlass exec`", shown(word)),
    }
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
