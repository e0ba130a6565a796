//! One child that runs for a call: its output, its end.
//!
//! It has ended when both its status and its output have, or `OUTPUT_LINGER_MS` after its status if
//! something still holds the output open.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use windlass_sandbox::{Level, Spawned};

use crate::core::effect::Stop;
use crate::core::input::{CommandEnded, CommandResult};
use crate::host::proc::launched::Launched;
use crate::host::proc::overheard::Overheard;
use crate::host::proc::pty;
use crate::host::proc::session::{Backlog, Typed, Typing};
use crate::limits::FILES_REPLY_BYTES_MAX;
use crate::tools::clip::Clip;
use crate::words::call::{Life, Unread};
use crate::words::ids::OpId;

/// What programs say when the sandbox has refused something.
const REFUSED_WORDS: [&str; 5] = [
    "operation not permitted",
    "permission denied",
    "read-only file system",
    "network is unreachable",
    "failed to write file",
];

/// What a child was started for; its end is told accordingly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Command,
    Session,
    Look,
    Inspect,
    Apply,
}

impl Purpose {
    /// What a command is started for.
    pub fn of(life: Life) -> Purpose {
        match life {
            Life::Call { .. } => Purpose::Command,
            Life::Session { .. } => Purpose::Session,
        }
    }
}

/// A running child.
#[derive(Debug)]
pub struct Child {
    pub op: OpId,
    pub purpose: Purpose,
    launched: Launched,
    output: Option<File>,
    /// Of a session, until its input is ended.
    typing: Option<Typing>,
    collected: Collected,
    /// Of a command that a client follows.
    overheard: Option<Box<Overheard>>,
    /// What the model is told if it failed for the sandbox's sake.
    advice: Option<String>,
}

/// Output as far as it is kept.
#[derive(Debug)]
enum Collected {
    /// For the model: head and tail.
    Clipped(Clip),
    /// All of it as above, and what the model has not seen.
    Session(Clip, Backlog),
    /// A reply of `windlass-files`; more than the bound is no reply.
    Whole { bytes: Vec<u8>, is_too_long: bool },
}

/// What a child came to.
#[derive(Debug)]
pub enum End {
    Command(CommandResult),
    Session(CommandResult, Unread),
    /// The whole reply, or why there is none.
    Reply(Result<Vec<u8>, CommandEnded>),
}

/// Whether a descriptor has more at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// Everything there was; the kernel will tell of more.
    Dry,
    /// The budget ended it.
    More,
}

impl Child {
    pub fn new(
        op: OpId,
        purpose: Purpose,
        spawned: Spawned,
        output: OwnedFd,
        typing: Option<Typing>,
        program: String,
        directory: PathBuf,
    ) -> Child {
        let collected = match purpose {
            Purpose::Command => Collected::Clipped(Clip::new()),
            Purpose::Session => Collected::Session(Clip::new(), Backlog::default()),
            Purpose::Look | Purpose::Inspect | Purpose::Apply => {
                Collected::Whole { bytes: Vec::new(), is_too_long: false }
            }
        };
        Child {
            op,
            purpose,
            launched: Launched::new(spawned, program, directory),
            output: Some(File::from(output)),
            typing,
            collected,
            overheard: None,
            advice: None,
        }
    }

    /// The same, with what the model is told if the sandbox seems to have refused something.
    #[must_use]
    pub fn with_advice(mut self, advice: String) -> Child {
        self.advice = Some(advice);
        self
    }

    /// The same, followed by a client while it runs.
    #[must_use]
    pub fn followed(mut self) -> Child {
        self.overheard = Some(Box::default());
        self
    }

    /// Output that the client was not told yet; its last bytes once there is no more.
    pub fn overheard(&mut self) -> Option<Vec<u8>> {
        let is_over = self.output.is_none();
        self.overheard.as_mut()?.take(is_over)
    }

    /// Output that the client was not told yet, without taking it.
    pub fn unheard(&mut self) -> Option<&mut Overheard> {
        self.overheard.as_deref_mut().filter(|overheard| overheard.is_waiting())
    }

    pub fn launched(&self) -> &Launched {
        &self.launched
    }

    pub fn launched_mut(&mut self) -> &mut Launched {
        &mut self.launched
    }

    /// The same, with the names of what the launcher puts back, or another one for it.
    #[must_use]
    pub fn with_protected(mut self, protected: Vec<PathBuf>, exe: &Path) -> Child {
        self.launched.protect(protected, exe.to_path_buf());
        self
    }

    pub fn output_fd(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(AsFd::as_fd)
    }

    pub fn typing_fd(&self) -> Option<BorrowedFd<'_>> {
        self.typing.as_ref().map(Typing::fd)
    }

    /// Writes to a session; otherwise says why that cannot be.
    pub fn write(&mut self, text: &str) -> Result<(), Box<str>> {
        let typed = match &mut self.typing {
            Some(typing) => typing.push(text),
            None => Typed::Closed,
        };
        match typed {
            Typed::Taken => self.flush(),
            Typed::Interrupt => self.stop(Stop::Interrupt),
            Typed::Closed => return Err("nothing was written: its input is closed".into()),
            Typed::Full { waiting_bytes } => {
                let text = format!(
                    "nothing was written: the program has yet to read {waiting_bytes} bytes"
                );
                return Err(text.into());
            }
        }
        Ok(())
    }

    /// Writes what waits, as far as the program takes it.
    pub fn flush(&mut self) {
        if let Some(typing) = &mut self.typing
            && !typing.flush()
        {
            self.typing = None;
        }
    }

    /// What a session has printed since it was last asked.
    pub fn collect(&mut self) -> Option<Unread> {
        match &mut self.collected {
            Collected::Session(_, backlog) => Some(backlog.take()),
            Collected::Clipped(_) | Collected::Whole { .. } => None,
        }
    }

    /// Reads status frames until there are no more.
    pub fn read_status(&mut self, now_ms: u64, linger_ms: u64) {
        self.launched.read_status(now_ms, linger_ms);
    }

    /// Reads output into the clip, at most this much of it.
    pub fn read_output(&mut self, scratch: &mut [u8], budget_bytes: usize) -> Drained {
        let Some(output) = &mut self.output else { return Drained::Dry };
        let mut left = budget_bytes;
        while left > 0 {
            match output.read(scratch) {
                Ok(0) => break,
                Ok(count) => {
                    self.collected.push(&scratch[..count]);
                    if let Some(overheard) = &mut self.overheard {
                        overheard.push(&scratch[..count]);
                    }
                    left = left.saturating_sub(count);
                    if left == 0 {
                        return Drained::More;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Drained::Dry,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Closing a master hangs up on who is still there without a descriptor of it.
                Err(error) if pty::is_unheld(&error) && !self.launched.is_gone() => {
                    return Drained::Dry;
                }
                // A PTY master reports its end as EIO; any other error ends the output as well.
                Err(_) => break,
            }
        }
        self.output = None;
        self.typing = None;
        Drained::Dry
    }

    /// Whether nothing more is to be expected.
    pub fn has_ended(&self, now_ms: u64) -> bool {
        let until_ms = self.launched.linger_until_ms();
        let given_up = until_ms.is_some_and(|until_ms| until_ms <= now_ms);
        self.launched.is_gone() && (self.output.is_none() || given_up)
    }

    /// Asks the launcher to stop the command. A launcher that is gone has stopped it.
    pub fn stop(&mut self, how: Stop) {
        self.launched.stop(how);
    }

    /// What it came to. Closes what is open, which ends what is left.
    pub fn end(self) -> (OpId, Purpose, End) {
        let is_confined = self.launched.confined().is_some_and(|(level, _)| level != Level::Open);
        let note = self.launched.note();
        let ended = self.launched.into_ended();
        let advice = self.advice.filter(|_| is_confined);
        let end = match self.collected {
            Collected::Clipped(clip) => End::Command(result(ended, &clip, advice, note)),
            Collected::Session(clip, mut backlog) => {
                if let Some(note) = &note {
                    backlog.push(format!("\n{note}\n").as_bytes());
                }
                End::Session(result(ended, &clip, None, note), backlog.finish())
            }
            Collected::Whole { bytes, is_too_long } => {
                let whole = ended == CommandEnded::Exited { code: 0 } && !is_too_long;
                End::Reply(if whole { Ok(bytes) } else { Err(ended) })
            }
        };
        (self.op, self.purpose, end)
    }
}

impl Collected {
    fn push(&mut self, piece: &[u8]) {
        match self {
            Collected::Clipped(clip) => clip.push(piece),
            Collected::Session(clip, backlog) => {
                clip.push(piece);
                backlog.push(piece);
            }
            Collected::Whole { bytes, is_too_long } => {
                if bytes.len() + piece.len() > FILES_REPLY_BYTES_MAX {
                    *is_too_long = true;
                } else {
                    bytes.extend_from_slice(piece);
                }
            }
        }
    }
}

fn result(
    ended: CommandEnded,
    clip: &Clip,
    advice: Option<String>,
    note: Option<String>,
) -> CommandResult {
    let clipped = clip.finish();
    let mut output = clipped.text;
    let advice = advice.filter(|_| looks_refused(&ended, &output));
    for line in [advice, note].into_iter().flatten() {
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        output.push_str(&line);
        output.push('\n');
    }
    CommandResult {
        ended,
        output: output.into(),
        lines_total: clipped.truncated.then_some(clipped.total_lines),
    }
}

/// Whether a confined command seems to have failed because something was refused.
fn looks_refused(ended: &CommandEnded, output: &str) -> bool {
    match ended {
        CommandEnded::Exited { code: 0 } | CommandEnded::NotStarted { .. } => return false,
        CommandEnded::Signalled { signal } if *signal == libc::SIGSYS => return true,
        _ => {}
    }
    let output = output.to_ascii_lowercase();
    REFUSED_WORDS.iter().any(|words| output.contains(words))
}
