//! What every child under a launcher has: its status, the way to stop it, how it ended.
//!
//! The launcher's frames say how the command ended; end of file on the status pipe says that
//! everything the command left behind is gone too. What it printed is the owner's business.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use windlass_sandbox::{Level, Missing, Spawned, Stage, Status, StatusDecoder};

use crate::core::effect::Stop;
use crate::core::input::CommandEnded;
use crate::host::proc::restored::Restored;

/// A launcher and what it says.
#[derive(Debug)]
pub struct Launched {
    pid: i32,
    status: Option<File>,
    frames: StatusDecoder,
    control: File,
    ended: Option<CommandEnded>,
    /// How it is held, from its start on.
    confined: Option<(Level, Missing)>,
    /// Whether the launcher has seen everything end.
    is_seen_off: bool,
    /// What it changed that is to stay as it is.
    restored: Restored,
    /// The launcher.
    exe: PathBuf,
    /// Whether another launcher has taken the place of one that was killed.
    is_relieved: bool,
    /// What is wrong if the command cannot be executed.
    program: String,
    /// What is wrong if it cannot be entered.
    directory: PathBuf,
    /// When the output is given up, once the status has ended.
    linger_until_ms: Option<u64>,
}

impl Launched {
    pub fn new(spawned: Spawned, program: String, directory: PathBuf) -> Launched {
        Launched {
            pid: spawned.pid,
            status: Some(File::from(spawned.status)),
            frames: StatusDecoder::default(),
            control: File::from(spawned.control),
            ended: None,
            confined: None,
            is_seen_off: false,
            restored: Restored::default(),
            exe: PathBuf::new(),
            is_relieved: false,
            program,
            directory,
            linger_until_ms: None,
        }
    }

    /// The same, with the names of what the launcher puts back, or another one for it.
    pub fn protect(&mut self, protected: Vec<PathBuf>, exe: PathBuf) {
        self.exe = exe;
        self.restored = Restored::among(protected);
    }

    /// Whether something is still to be kept as it was.
    pub fn is_keeping(&self) -> bool {
        !self.is_gone() && !self.restored.is_empty()
    }

    /// What was put back, in one line; `None` if nothing was.
    pub fn note(&self) -> Option<String> {
        match self.is_keeping_in_vain() {
            true => Some(self.restored.note_of_all(&self.directory)),
            false => self.restored.note(&self.directory),
        }
    }

    /// Whether nobody has looked after what was to be put back.
    fn is_keeping_in_vain(&self) -> bool {
        self.is_abandoned() && !self.restored.is_empty()
    }

    /// Whether its launcher was killed before it could put back what it was to, so that another
    /// has to. One that relieves it is not relieved in turn.
    pub fn wants_relief(&self) -> bool {
        self.is_keeping_in_vain() && !self.is_relieved
    }

    /// What puts back, and what is to be put back.
    pub fn kept(&self) -> (&Path, &[PathBuf]) {
        (&self.exe, self.restored.protected())
    }

    /// Listens to the launcher that takes the place of one that was killed. Gives the process that
    /// is to be reaped.
    pub fn relieve(&mut self, spawned: Spawned) -> i32 {
        self.status = Some(File::from(spawned.status));
        self.frames = StatusDecoder::default();
        self.control = File::from(spawned.control);
        self.linger_until_ms = None;
        self.is_relieved = true;
        std::mem::replace(&mut self.pid, spawned.pid)
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn status_fd(&self) -> Option<BorrowedFd<'_>> {
        self.status.as_ref().map(AsFd::as_fd)
    }

    /// How it is held; `None` until it has started.
    pub fn confined(&self) -> Option<(Level, Missing)> {
        self.confined
    }

    /// Whether its launcher was killed, so that what it had started may still run.
    pub fn is_abandoned(&self) -> bool {
        let is_refused = matches!(self.ended, Some(CommandEnded::NotStarted { .. }));
        self.status.is_none() && self.confined.is_some() && !self.is_seen_off && !is_refused
    }

    /// Reads status frames until there are no more.
    pub fn read_status(&mut self, now_ms: u64, linger_ms: u64) {
        let Some(status) = &mut self.status else { return };
        let mut buffer = [0; 256];
        loop {
            match status.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.frames.push(&buffer[..count]);
                    while let Some(frame) = self.frames.pull() {
                        match frame {
                            Ok(Status::LeftOver { .. }) => self.is_seen_off = true,
                            Ok(Status::Restored { index, is_whole }) => {
                                self.restored.push(index, is_whole);
                            }
                            // It has no command, and what it says is not of ours.
                            Ok(_) if self.is_relieved => {}
                            Ok(frame) => Self::on_frame(
                                frame,
                                (&self.program, &self.directory),
                                &mut self.confined,
                                &mut self.ended,
                            ),
                            // Whoever writes this is not our launcher: there is nothing to wait
                            // for.
                            Err(_) => return self.status_ended(now_ms, linger_ms),
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.status_ended(now_ms, linger_ms);
    }

    fn on_frame(
        frame: Status,
        named: (&str, &Path),
        confined: &mut Option<(Level, Missing)>,
        ended: &mut Option<CommandEnded>,
    ) {
        match frame {
            Status::Confined { level, missing } => *confined = Some((level, missing)),
            Status::Refused { stage, errno } => {
                let why = refused(stage, errno, named).into();
                *ended = Some(CommandEnded::NotStarted { why });
            }
            Status::Exited(code) => *ended = Some(CommandEnded::Exited { code }),
            Status::Signalled(signal) => *ended = Some(CommandEnded::Signalled { signal }),
            Status::Restored { .. } | Status::LeftOver { .. } => {}
        }
    }

    fn status_ended(&mut self, now_ms: u64, linger_ms: u64) {
        self.status = None;
        self.linger_until_ms = Some(now_ms + linger_ms);
    }

    /// Whether everything that it started is gone.
    pub fn is_gone(&self) -> bool {
        self.status.is_none()
    }

    /// When the output is given up that something still holds open, once all is gone.
    pub fn linger_until_ms(&self) -> Option<u64> {
        self.linger_until_ms
    }

    /// Lets the output of what is gone be read for as long again.
    pub fn linger(&mut self, until_ms: u64) {
        self.linger_until_ms = self.linger_until_ms.map(|_| until_ms);
    }

    /// Asks the launcher to stop the command. A launcher that is gone has stopped it.
    pub fn stop(&mut self, how: Stop) {
        let byte = match how {
            Stop::Interrupt => b'I',
            Stop::Terminate => b'T',
            Stop::Kill => b'K',
        };
        // A full pipe holds such a byte already, and a closed one means that all is over.
        let _ = self.control.write(&[byte]);
    }

    /// How it ended. Closes what is open, which ends what is left.
    pub fn into_ended(self) -> CommandEnded {
        self.ended.unwrap_or_else(|| {
            if self.confined.is_some() {
                CommandEnded::Signalled { signal: libc::SIGKILL }
            } else {
                let why = "the launcher ended before it could start the command".into();
                CommandEnded::NotStarted { why }
            }
        })
    }
}

/// Cause, effect and next step of a command that was not run.
pub fn refused(stage: Stage, errno: i32, (program, directory): (&str, &Path)) -> String {
    let cause = io::Error::from_raw_os_error(errno);
    match stage {
        Stage::Exec => match errno {
            libc::ENOENT => format!("{program}: no such program"),
            libc::EACCES => format!("{program}: not executable"),
            _ => format!("{program}: {cause}"),
        },
        Stage::Directory => format!("its working directory {}: {cause}", directory.display()),
        Stage::Landlock | Stage::Namespaces if errno == libc::ELOOP => format!(
            "sandbox: a path of the policy leads through a symbolic link that was put there meanwhile \
             ({cause}); the command was not run. Look at the workspace before going on"
        ),
        Stage::Landlock => format!(
            "sandbox: no Landlock in this kernel ({cause}); the command was not run. Options: a kernel \
             from 5.13 on with Landlock enabled; or, where something else confines windlass, \
             --sandbox danger-full-access"
        ),
        Stage::Plan => "the windlass executable was replaced while it runs; start it again".into(),
        Stage::Supervise
        | Stage::Orphaned
        | Stage::Fork
        | Stage::Session
        | Stage::Terminal
        | Stage::Limits
        | Stage::Capabilities
        | Stage::Privileges
        | Stage::Seccomp
        | Stage::Namespaces
        | Stage::Descriptors => format!("sandbox: {stage:?} failed: {cause}"),
    }
}
