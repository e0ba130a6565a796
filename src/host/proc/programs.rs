//! Programs that a client of ours runs: children whose stdout and stderr come apart.
//!
//! They are started, held and ended as commands are, and live in a part of the same table. What one
//! prints is told as it comes, a piece at a time, unless it is held back; how it ended is told
//! once, when nothing more can come. What is kept of either is up to whoever asked for it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use mio::Interest;
use windlass_sandbox::{Apart, Plan, Stdio};

use crate::core::effect::Stop;
use crate::core::input::CommandEnded;
use crate::host::poller::{Key, Kind, Poller};
use crate::host::proc::launch::{Ends, Starter, set_nonblocking};
use crate::host::proc::launched::Launched;
use crate::host::proc::overlap::Shared;
use crate::host::proc::session::{Typed, Typing};
use crate::host::proc::{Children, pty, watch};
use crate::limits::{OUTPUT_LINGER_MS, STOP_GRACE_MS};
use crate::words::call::SessionStdio;
use crate::words::policy::{Confinement, SandboxPolicy};

/// What programs take a client's terminal for unless the environment says.
const TERMINAL: &[u8] = b"xterm-256color";

/// What to run, and how.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Never empty.
    pub argv: Vec<Vec<u8>>,
    pub changes: Changes,
    /// Absolute.
    pub cwd: &'a str,
    pub sandbox: &'a SandboxPolicy,
    pub stdio: ProgramStdio,
}

/// Variables to be set, or removed, in the environment of commands.
pub type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What a program is connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgramStdio {
    /// It has nothing to read.
    Output,
    /// It can be written to.
    Pipes,
    Terminal(Size),
}

/// Of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

/// Names a program, also when it is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct ProgramId {
    slot: u16,
    generation: u32,
}

/// Where a program printed; one in a terminal has stdout alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What became known of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    Output { stream: Stream, bytes: Vec<u8> },
    Ended(CommandEnded),
}

/// A running program.
#[derive(Debug)]
pub struct Program {
    launched: Launched,
    /// By stream, until it ends.
    outputs: [Option<File>; 2],
    /// Until its input is ended.
    typing: Option<Typing>,
    /// Its output is left where it is.
    is_held: bool,
}

impl Program {
    pub fn launched(&self) -> &Launched {
        &self.launched
    }

    pub fn launched_mut(&mut self) -> &mut Launched {
        &mut self.launched
    }

    pub fn stop(&mut self, how: Stop) {
        self.launched.stop(how);
    }

    /// Writes to its input; says why not if that cannot be.
    pub fn write(&mut self, bytes: &[u8], bytes_max: usize) -> Result<(), String> {
        let typed = match &mut self.typing {
            Some(typing) => typing.push_bytes(bytes, bytes_max),
            None => Typed::Closed,
        };
        match typed {
            Typed::Taken => self.flush(),
            Typed::Full { waiting_bytes } => {
                return Err(format!(
                    "nothing was written: the program has yet to read {waiting_bytes} bytes"
                ));
            }
            Typed::Closed | Typed::Interrupt => {
                return Err("nothing was written: its input is closed".into());
            }
        }
        Ok(())
    }

    /// Ends its input once it has read what waits; a terminal says so by its end-of-file character.
    pub fn end_input(&mut self) {
        if let Some(typing) = &mut self.typing {
            typing.end();
            self.flush();
        }
    }

    /// Tells it that its terminal has another size. One whose terminal is closed has none.
    pub fn resize(&mut self, size: Size) -> io::Result<()> {
        match &self.outputs[Stream::Stdout as usize] {
            Some(master) => pty::set_size(master.as_fd(), size.rows, size.columns),
            None => Ok(()),
        }
    }

    fn flush(&mut self) {
        if let Some(typing) = &mut self.typing
            && !typing.flush()
        {
            self.typing = None;
        }
    }

    fn output_fd(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        self.outputs[stream as usize].as_ref().map(AsFd::as_fd)
    }

    /// A piece of what it has printed; `None` if there is none now or there will be none.
    fn read(&mut self, stream: Stream, scratch: &mut [u8]) -> Option<Vec<u8>> {
        let output = &mut self.outputs[stream as usize];
        let file = output.as_mut()?;
        loop {
            match file.read(scratch) {
                Ok(0) => break,
                Ok(count) => return Some(scratch[..count].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Closing a master hangs up on who is still there without a descriptor of it.
                Err(error) if pty::is_unheld(&error) && !self.launched.is_gone() => return None,
                // A PTY master reports its end as EIO; any other error ends the output as well.
                Err(_) => break,
            }
        }
        *output = None;
        None
    }

    /// Whether nothing more is to be expected.
    fn has_ended(&self, now_ms: u64) -> bool {
        let until_ms = self.launched.linger_until_ms().filter(|_| !self.is_held);
        let given_up = until_ms.is_some_and(|until_ms| until_ms <= now_ms);
        self.launched.is_gone() && (given_up || self.outputs.iter().all(Option::is_none))
    }
}

impl Starter {
    /// Starts a program of a client's.
    pub fn program(&mut self, asked: Asked<'_>, shared: Shared<'_>) -> io::Result<Program> {
        let name = asked.argv.first().cloned().unwrap_or_default();
        let mut env = self.variables(asked.sandbox);
        for (name, value) in asked.changes {
            env.retain(|(known, _)| *known != name);
            env.extend(value.map(|value| (name, value)));
        }
        let is_terminal = matches!(asked.stdio, ProgramStdio::Terminal(_));
        if is_terminal && !env.iter().any(|(name, _)| name == b"TERM") {
            env.push((b"TERM".to_vec(), TERMINAL.to_vec()));
        }
        let plan = Plan {
            policy: self.policy(asked.sandbox, asked.cwd, Confinement::Sandboxed),
            apart: shared.apart,
            program: name.clone(),
            argv: asked.argv,
            env,
            cwd: PathBuf::from(asked.cwd),
            pty: is_terminal,
            background: false,
            grace_ms: STOP_GRACE_MS as u32,
            nofile: self.nofile(),
        };
        let (stdio, outputs, typing) = match asked.stdio {
            ProgramStdio::Terminal(size) => {
                let (master, slave) = pty::open()?;
                pty::set_size(master.as_fd(), size.rows, size.columns)?;
                let typing = Typing::new(pty::second(&master)?, SessionStdio::Terminal);
                let (stdin, stderr) = (slave.try_clone()?, slave.try_clone()?);
                let stdio = Stdio { stdin: Some(stdin), stdout: slave, stderr };
                (stdio, [Some(master), None], Some(typing))
            }
            ProgramStdio::Output | ProgramStdio::Pipes => {
                let (out, err) = (Ends::pipe()?, Ends::pipe()?);
                let (stdin, typing) = match asked.stdio {
                    ProgramStdio::Pipes => {
                        let (stdin, typed) = io::pipe()?;
                        let typed = OwnedFd::from(typed);
                        set_nonblocking(&typed)?;
                        let typing = Typing::new(File::from(typed), SessionStdio::Pipes);
                        (Some(OwnedFd::from(stdin)), Some(typing))
                    }
                    ProgramStdio::Output | ProgramStdio::Terminal(_) => (None, None),
                };
                let stdio = Stdio { stdin, stdout: out.theirs, stderr: err.theirs };
                (stdio, [Some(out.ours), Some(err.ours)], typing)
            }
        };
        let spawned = windlass_sandbox::spawn_among(self.exe(), &plan, stdio, shared.look)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let mut launched = Launched::new(spawned, name, plan.cwd);
        launched.protect(plan.policy.kept().cloned().collect(), self.exe().to_path_buf());
        let outputs = outputs.map(|output| output.map(File::from));
        Ok(Program { launched, outputs, typing, is_held: false })
    }
}

impl Children {
    /// Watches a program that was started.
    pub fn add_program(&mut self, poller: &Poller, program: Program) -> io::Result<ProgramId> {
        let pid = program.launched.pid();
        let Some((slot, generation)) = self.programs.put(|_, _| program) else {
            // It was dropped, and its control pipe closed with it.
            self.unreaped.push(pid);
            return Err(io::Error::other("too many programs run already"));
        };
        let Some(program) = self.programs.of(slot, generation) else {
            unreachable!("it was put there just now");
        };
        let watched = [
            (program.launched.status_fd(), Kind::ProgramStatus, Interest::READABLE),
            (program.output_fd(Stream::Stdout), Kind::ProgramStdout, Interest::READABLE),
            (program.output_fd(Stream::Stderr), Kind::ProgramStderr, Interest::READABLE),
            (program.typing.as_ref().map(Typing::fd), Kind::ProgramInput, Interest::WRITABLE),
        ];
        let watched = watched.into_iter().try_for_each(|(fd, kind, interest)| {
            watch(poller, fd, Key::new(kind, slot, generation), interest)
        });
        let id = ProgramId { slot, generation };
        if watched.is_err() {
            self.drop_program(id);
        }
        watched.map(|()| id)
    }

    pub fn program_mut(&mut self, id: ProgramId) -> Option<&mut Program> {
        self.programs.of_mut(id.slot, id.generation)
    }

    /// Serves a program that is ready: takes a piece of what it prints, or learns of its end.
    pub fn on_program_ready(
        &mut self,
        poller: &mut Poller,
        key: Key,
        now_ms: u64,
    ) -> Option<(ProgramId, Said)> {
        let (slot, generation) = (key.slot(), key.generation());
        let id = ProgramId { slot, generation };
        let program = self.programs.of_mut(slot, generation)?;
        let stream = match key.kind() {
            Kind::ProgramStdout => Some(Stream::Stdout),
            Kind::ProgramStderr => Some(Stream::Stderr),
            Kind::ProgramInput => {
                program.flush();
                None
            }
            _ => {
                program.launched.read_status(now_ms, OUTPUT_LINGER_MS);
                if program.launched.is_gone() {
                    // A terminal says only now that this was all.
                    poller.mark_ready(Key::new(Kind::ProgramStdout, slot, generation));
                }
                None
            }
        };
        if let Some(stream) = stream {
            if program.is_held {
                return None;
            }
            if let Some(bytes) = program.read(stream, &mut self.scratch) {
                poller.mark_ready(key);
                return Some((id, Said::Output { stream, bytes }));
            }
        }
        if let Some((level, missing)) = program.launched.confined() {
            self.apart = Apart::of(level, missing).or(self.apart);
        }
        self.relieve(poller, key);
        self.program_ended(id, now_ms)
    }

    /// Leaves what a program prints where it is, so that it waits in its turn.
    pub fn hold_program(&mut self, id: ProgramId) {
        if let Some(program) = self.program_mut(id) {
            program.is_held = true;
        }
    }

    /// Reads on.
    pub fn release_program(&mut self, poller: &mut Poller, id: ProgramId, now_ms: u64) {
        let Some(program) = self.program_mut(id).filter(|program| program.is_held) else { return };
        program.is_held = false;
        program.launched.linger(now_ms + OUTPUT_LINGER_MS);
        for kind in [Kind::ProgramStdout, Kind::ProgramStderr] {
            poller.mark_ready(Key::new(kind, id.slot, id.generation));
        }
    }

    /// When the output of a program that is gone is to be given up.
    pub fn next_program_deadline(&self) -> Option<u64> {
        let watched = self.programs.iter().filter(|program| !program.is_held);
        watched.filter_map(|program| program.launched.linger_until_ms()).min()
    }

    /// A program whose time to linger is over.
    pub fn on_program_deadline(&mut self, now_ms: u64) -> Option<(ProgramId, Said)> {
        let ids: Vec<(u16, u32)> = self.programs.ids().collect();
        let id = |(slot, generation)| ProgramId { slot, generation };
        ids.into_iter().find_map(|place| self.program_ended(id(place), now_ms))
    }

    /// Ends a program and everything that it started; nothing more is heard of it.
    pub fn drop_program(&mut self, id: ProgramId) {
        if let Some(program) = self.programs.take(id.slot, id.generation) {
            // Its control pipe closes with it.
            self.see_off(&program.launched);
        }
    }

    fn program_ended(&mut self, id: ProgramId, now_ms: u64) -> Option<(ProgramId, Said)> {
        if !self.programs.of(id.slot, id.generation)?.has_ended(now_ms) {
            return None;
        }
        let program = self.programs.take(id.slot, id.generation)?;
        self.see_off(&program.launched);
        Some((id, Said::Ended(program.launched.into_ended())))
    }
}
