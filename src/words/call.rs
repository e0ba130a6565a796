//! A tool call: asked by the model, planned by a tool, answered at last.

use crate::words::item::Image;

/// How the call came; its output goes back in the same form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallKind {
    /// A function with JSON arguments.
    Function,
    /// A freeform tool with text input.
    Custom,
    /// The provider's own shell tool; the arguments are its `action` object.
    LocalShell,
}

/// What the model asked for, as it asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallAsked {
    pub kind: CallKind,
    /// The provider's name for the call; not necessarily unique.
    pub call_id: Box<str>,
    pub name: Box<str>,
    /// JSON text for a function, plain text for a custom tool, the action's JSON for a local shell.
    pub arguments: Box<str>,
    /// The provider's id of the item, for providers that want it back; never recorded.
    pub id: Option<Box<str>>,
}

/// What a tool makes of a call. Plans are data: judging and doing come later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    Command(CommandPlan),
    /// Look at files, by the confined `windlass-files`; its reply is the answer.
    Look(Look),
    /// Write to a session, or see what it has printed.
    Write(WritePlan),
    /// Change files: first inspected, then judged, then applied.
    Patch(PatchPlan),
    /// A new task list.
    Tasks {
        explanation: Option<Box<str>>,
        tasks: Vec<Task>,
    },
    /// Answered without doing anything; also how a bad call is refused.
    Answered(Answer),
}

/// A command to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandPlan {
    /// The program and its arguments, executed as they are.
    pub argv: Vec<String>,
    /// Absolute.
    pub workdir: Box<str>,
    pub life: Life,
    /// The model asks to run it outside the sandbox.
    pub escalation: Option<Escalation>,
}

/// How long a command may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// To its end, for which its call waits.
    Call { timeout_ms: u64 },
    /// As long as its thread; its call is answered when its patience is over.
    Session { stdio: SessionStdio, patience: Patience },
}

/// What a session's program is connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionStdio {
    Terminal,
    Pipes,
}

/// How long a call waits for a session, and how much of its output it wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    pub yield_ms: u64,
    pub output_tokens_max: u32,
}

/// What is to be written to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WritePlan {
    /// As the model named it.
    pub session: u32,
    /// Empty to see only what it has printed.
    pub chars: Box<str>,
    pub patience: Patience,
}

/// What a session has printed since it was last asked.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Unread {
    /// Valid UTF-8, at most `SESSION_UNREAD_BYTES_MAX`.
    pub text: Box<str>,
    /// How much came before it that nobody kept.
    pub dropped_bytes: u64,
}

/// A request to run outside the sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Escalation {
    pub justification: Option<Box<str>>,
}

/// What `windlass-files` is asked to look at, in the model's own words: it reads them itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    pub what: LookAt,
    /// JSON.
    pub arguments: Box<str>,
    /// Absolute; where relative paths start.
    pub workdir: Box<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookAt {
    File,
    Directory,
    /// The files that hold a pattern.
    Search,
    Image,
}

/// What a look came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Text(Box<str>),
    Image(Image),
}

/// A patch in the model's own words, and where relative paths start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatchPlan {
    pub patch: Box<str>,
    /// Absolute.
    pub workdir: Box<str>,
}

/// What a patch would do, as `windlass-files` found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Absolute.
    pub path: Box<str>,
    pub kind: ChangeKind,
    /// Absolute; where the file goes, for moves.
    pub moved_to: Option<Box<str>>,
    /// SHA-256 of what it replaces, in hex; `None` where nothing was.
    pub before: Option<Box<str>>,
    /// The same for what is replaced at `moved_to`.
    pub over: Option<Box<str>>,
    /// The change as a unified diff, bounded.
    pub diff: Box<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    Add,
    Delete,
    Update,
}

/// A step of the model's task list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    pub step: Box<str>,
    pub status: TaskStatus,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskStatus {
    Pending,
    InProgress,
    Completed,
}

/// What goes back to the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Text as it is; `success` is false for refusals and failures.
    Text { text: Box<str>, success: bool },
    /// A command's end; laid out for the model when a request is encoded.
    Command(CommandAnswer),
}

impl Answer {
    /// A failure the model can read.
    pub fn failure(text: impl Into<Box<str>>) -> Answer {
        Answer::Text { text: text.into(), success: false }
    }

    /// The text in it, without layout.
    pub fn text(&self) -> &str {
        match self {
            Answer::Text { text, .. } => text,
            Answer::Command(command) => &command.output,
        }
    }
}

/// What the model is told of a command that was stopped: how long it ran, by whom it was stopped,
/// and what it had printed, if anything.
pub fn aborted(wall_ms: u64, by_whom: &str, output: &str) -> Box<str> {
    let (seconds, tenth) = (wall_ms / 1000, wall_ms % 1000 / 100);
    let head = format!("Wall time: {seconds}.{tenth} seconds\naborted by {by_whom}");
    match output {
        "" => head.into(),
        _ => format!("{head}{PRINTED}{output}").into(),
    }
}

/// What [`aborted`] says a command had printed; any other text is taken for output itself.
pub fn printed(text: &str) -> &str {
    let Some((first, rest)) = text.split_once('\n') else { return text };
    if !first.starts_with("Wall time: ") || !rest.starts_with("aborted by ") {
        return text;
    }
    rest.split_once(PRINTED).map_or("", |(_, output)| output)
}

/// Stands between how a command was stopped and what it had printed.
const PRINTED: &str = "\nOutput:\n";

/// How a command ended and what it printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandAnswer {
    pub exit_code: i32,
    pub wall_ms: u64,
    /// Clipped; valid UTF-8.
    pub output: Box<str>,
    /// How many lines there were, when lines are missing from `output`.
    pub lines_total: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_is_found_again() {
        for output in ["", "out\n", "Output:\nWall time: 1.0 seconds\naborted by user"] {
            assert_eq!(printed(&aborted(1_234, "user", output)), output);
        }
        assert_eq!(&*aborted(1_234, "user", ""), "Wall time: 1.2 seconds\naborted by user");
        for text in ["", "out", "Wall time: 1.0 seconds\nelse", "a\naborted by user\nOutput:\nb"] {
            assert_eq!(printed(text), text);
        }
    }
}
