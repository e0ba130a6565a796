//! `sandbox`: a command of the user's, confined as those of the model are.
//!
//! It gets our own descriptors, and its exit code becomes ours. Needs neither settings nor a home;
//! where there are some, they count.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use windlass_sandbox::{Spawned, Stage, Status, StatusDecoder, Stdio};

use crate::config::args::Invocation;
use crate::config::layers::Layers;
use crate::config::settings::{self, Lent};
use crate::config::{ConfigError, Env};
use crate::host::disk::config;
use crate::host::environment;
use crate::host::exec::say;
use crate::host::proc::launch::Starter;
use crate::host::proc::launched::refused;
use crate::host::proc::links;
use crate::host::proc::restored::Restored;
use crate::host::signals::{Signal, Signals};
use crate::words::policy::SandboxPolicy;

/// The command could not be confined, and was not run.
const EXIT_REFUSED: u8 = 125;
const EXIT_NOT_EXECUTABLE: u8 = 126;
const EXIT_NOT_FOUND: u8 = 127;

/// What a signal adds to its number in an exit code.
const EXIT_SIGNAL: i32 = 128;

/// Runs the command and gives the exit code.
pub fn run(invocation: &Invocation, exe: PathBuf) -> u8 {
    let env = |name: &str| std::env::var(name).ok();
    let place = match Place::of(invocation, &env) {
        Ok(place) => place,
        Err(error) => return fail(&error.to_string(), ConfigError::EXIT_CODE),
    };
    let shell = settings::shell_environment(&place.layers);
    let variables = environment::of_commands(&shell, None, None);
    let mut starter = Starter::new(exe, None, place.home.as_deref(), variables);
    let plan = starter.own_command(&invocation.command, &place.cwd, &place.sandbox);
    if let Err(error) = links::judge(&plan.policy.unreadable) {
        return fail(&error.to_string(), EXIT_REFUSED);
    }
    let program = String::from_utf8_lossy(&plan.program).into_owned();
    let begun = Signals::open().and_then(|signals| {
        let stdio = Stdio { stdin: Some(own(0)?), stdout: own(1)?, stderr: own(2)? };
        Ok((signals, windlass_sandbox::spawn(starter.exe(), &plan, stdio)?))
    });
    match begun {
        Ok((signals, spawned)) => {
            let restored = Restored::among(plan.policy.kept().cloned().collect());
            follow(signals, spawned, restored, (&program, Path::new(&place.cwd)))
        }
        Err(error) => fail(&format!("cannot start the launcher: {error}"), EXIT_REFUSED),
    }
}

/// What a command line and the settings say of where and how to run.
#[derive(Debug)]
pub struct Place {
    pub home: Option<PathBuf>,
    pub layers: Layers,
    pub cwd: String,
    pub sandbox: SandboxPolicy,
}

impl Place {
    pub fn of(invocation: &Invocation, env: Env<'_>) -> Result<Place, ConfigError> {
        let home = config::find_home(env)?;
        let layers = config::load_layers(invocation, env)?;
        let cwd = config::working_directory(invocation)?;
        let Some(cwd) = cwd.to_str().map(str::to_owned) else {
            let message = format!("the working directory {} is not UTF-8", cwd.display());
            return Err(ConfigError::new(message));
        };
        let lent = Lent {
            env,
            cwd: &cwd,
            project_notes: None,
            is_trusted: false,
            instructions: None,
            compact_prompt: None,
            output_schema: None,
        };
        let sandbox = settings::sandbox(invocation, &layers, lent)?;
        config::judge(sandbox.mode)?;
        Ok(Place { home, layers, cwd, sandbox })
    }
}

fn fail(message: &str, code: u8) -> u8 {
    say(&format!("error: {message}"));
    code
}

/// A copy of one of our own descriptors.
fn own(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: 0 to 2 are open: the program's first act is to see to that.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// Passes signals on until everything has ended, and gives the exit code.
fn follow(
    mut signals: Signals,
    spawned: Spawned,
    mut restored: Restored,
    (program, cwd): (&str, &Path),
) -> u8 {
    let mut status = File::from(spawned.status);
    let mut control = File::from(spawned.control);
    let mut frames = StatusDecoder::default();
    let mut code = None;
    let mut interrupts = 0;
    loop {
        wait(&status, &signals);
        while let Some(signal) = signals.pull() {
            let byte = match signal {
                Signal::Interrupt if interrupts == 0 => b'I',
                Signal::Terminate | Signal::HangUp => b'T',
                Signal::Interrupt => b'K',
                Signal::ChildEnded => continue,
                Signal::Suspend => {
                    signals.suspend();
                    continue;
                }
            };
            interrupts += i32::from(signal == Signal::Interrupt);
            // A launcher that is gone has ended everything.
            let _ = control.write(&[byte]);
        }
        let mut piece = [0; 256];
        match status.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => frames.push(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        }
        while let Some(Ok(frame)) = frames.pull() {
            if let Status::Restored { index, is_whole } = frame {
                restored.push(index, is_whole);
            }
            code = code_of(frame, program, cwd).or(code);
        }
    }
    if let Some(note) = restored.note(cwd) {
        say(&note);
    }
    code.unwrap_or_else(|| fail("the launcher ended before the command did", EXIT_REFUSED))
}

/// What an event of the launcher makes of the exit code.
fn code_of(frame: Status, program: &str, cwd: &Path) -> Option<u8> {
    match frame {
        Status::Exited(code) => Some(code as u8),
        Status::Signalled(signal) => Some((EXIT_SIGNAL + signal) as u8),
        Status::Refused { stage, errno } => {
            say(&format!("error: {}", refused(stage, errno, (program, cwd))));
            Some(match (stage, errno) {
                (Stage::Exec, libc::ENOENT) => EXIT_NOT_FOUND,
                (Stage::Exec, _) => EXIT_NOT_EXECUTABLE,
                _ => EXIT_REFUSED,
            })
        }
        Status::Confined { .. } | Status::Restored { .. } | Status::LeftOver { .. } => None,
    }
}

/// Waits for the launcher or a signal.
fn wait(status: &File, signals: &Signals) {
    use std::os::fd::AsFd;
    let readable = |fd: i32| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut fds = [readable(status.as_raw_fd()), readable(signals.as_fd().as_raw_fd())];
    // SAFETY: `fds` holds two structures. An interruption is a wake-up like any other.
    unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) };
}
