//! One run of the binary: how it is called, what it says, what is left of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::outside::{self, Identity};
use crate::support::{DEADLINE, GONE_AFTER, World, spawning};

/// How the binary is called.
pub struct Call {
    /// A program and its first words, which will execute the binary in its own place.
    pub through: Vec<OsString>,
    pub words: Vec<OsString>,
    /// All of the environment.
    pub env: Vec<(String, String)>,
    pub cwd: PathBuf,
    pub stdin: Stdin,
    pub stdout: Stdout,
    pub stderr: Stderr,
    /// Bytes that a file of its may have.
    pub file_bytes_max: Option<u64>,
    /// A filter for its system calls; empty for none.
    pub filter: Vec<libc::sock_filter>,
}

pub enum Stdin {
    /// `/dev/null`.
    Null,
    Pipe(Vec<u8>),
    /// A pipe that somebody holds and never writes to.
    Held,
    /// A pipe that is written to as the test goes on, until it is closed.
    Open,
    Closed,
    From(OwnedFd),
}

pub enum Stdout {
    /// Read as it comes.
    Read,
    /// Read only while `Run::is_reading`.
    Stalled,
    To(OwnedFd),
}

pub enum Stderr {
    Read,
    /// Read from the other side of this terminal.
    Terminal {
        master: OwnedFd,
        slave: OwnedFd,
    },
}

/// A run that goes on.
pub struct Run {
    child: Child,
    pid: i32,
    ended: OwnedFd,
    stdin: Option<(ChildStdin, Vec<u8>)>,
    /// Whether more may be written once all is.
    stays_open: bool,
    /// All that was written in, kept if `WINDLASS_LINES` names a folder.
    asked: Option<Vec<u8>>,
    /// Holds the write end of a stdin that never comes.
    held: Option<ChildStdin>,
    stdout: Option<File>,
    stderr: Option<File>,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    /// Whether stdout is read.
    pub is_reading: bool,
    marker: String,
    children: BTreeMap<Identity, String>,
    threads_max: usize,
    memory_kib: u64,
    looked_at: Option<Instant>,
    is_killed: bool,
    /// Whether it leaves something that soon ends by itself.
    pub leaves_something: bool,
    began: Instant,
    signalled: Option<Instant>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Names of processes that were seen below it.
    pub children: Vec<String>,
    /// Whether it ever had a child, seen or not.
    pub had_children: bool,
    /// The most memory it had resident.
    pub memory_kib: u64,
    pub took_ms: u128,
    /// The same from the last signal on.
    pub took_after_signal_ms: u128,
}

impl Call {
    pub fn new(world: &World) -> Call {
        let mut env: Vec<(String, String)> = [
            ("PATH", std::env::var("PATH").unwrap().as_str()),
            ("HOME", &world.root.to_string_lossy()),
            ("WINDLASS_HOME", &world.home.to_string_lossy()),
            // The checkout that worlds stand in is no repository of theirs.
            ("GIT_CEILING_DIRECTORIES", &world.root.to_string_lossy()),
            ("OPENAI_BASE_URL", &world.provider.url()),
            ("CODEX_API_KEY", KEY),
            ("TZ", "UTC"),
        ]
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        env.extend(world.env.iter().cloned());
        Call {
            through: Vec::new(),
            words: Vec::new(),
            env,
            cwd: world.cwd.clone(),
            stdin: Stdin::Null,
            stdout: Stdout::Read,
            stderr: Stderr::Read,
            file_bytes_max: None,
            filter: Vec::new(),
        }
    }

    pub fn env(mut self, name: &str, value: &str) -> Call {
        self = self.without(name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Call {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// Adds a setting.
    pub fn set(mut self, setting: &str) -> Call {
        self.words.extend(["-c".into(), setting.into()]);
        self
    }

    /// Asks a provider of the configuration, which is the same server, with so many retries of
    /// requests and of streams.
    pub fn retrying(self, requests: u32, streams: u32) -> Call {
        let url = self.env.iter().find(|(name, _)| name == "OPENAI_BASE_URL").unwrap().1.clone();
        self.set("model_provider=mock")
            .set(&format!("model_providers.mock.base_url={url:?}"))
            .set(&format!("model_providers.mock.request_max_retries={requests}"))
            .set(&format!("model_providers.mock.stream_max_retries={streams}"))
    }

    /// Lets this script prepare the ground; it ends with `exec "$@"`.
    pub fn within(mut self, program: &[&str], script: &str) -> Call {
        self.through = program.iter().map(Into::into).collect();
        self.through.extend(["sh", "-ec", script, "sh"].map(Into::into));
        self
    }

    pub fn stdin(mut self, stdin: Stdin) -> Call {
        self.stdin = stdin;
        self
    }

    pub fn piped(self, text: impl Into<Vec<u8>>) -> Call {
        self.stdin(Stdin::Pipe(text.into()))
    }

    pub fn stdout(mut self, stdout: Stdout) -> Call {
        self.stdout = stdout;
        self
    }

    /// Puts stderr on a terminal of so many columns.
    pub fn on_terminal(mut self, columns: u16) -> Call {
        let (master, slave) = outside::terminal();
        outside::set_columns(&slave, columns);
        self.stderr = Stderr::Terminal { master, slave };
        self.env("TERM", "xterm")
    }

    /// Puts stdout where stderr goes, which is a terminal.
    pub fn with_stdout(self) -> Call {
        let slave = self.terminal();
        self.stdout(Stdout::To(slave))
    }

    /// The terminal that stderr is on.
    pub fn terminal(&self) -> OwnedFd {
        match &self.stderr {
            Stderr::Terminal { slave, .. } => slave.try_clone().unwrap(),
            Stderr::Read => panic!("stderr is on no terminal"),
        }
    }
}

/// The key that runs have unless they say otherwise.
pub const KEY: &str = "sk-of-the-test-0123456789";
/// The variable that marks everything a run starts.
const MARKER: &str = "WINDLASS_TEST";

/// Runs so far, so that each has a marker of its own.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl Run {
    pub fn start(call: Call) -> Run {
        Run::start_within(call, &spawning())
    }

    /// Starts while no other test makes a child.
    pub fn start_within(call: Call, _guard: &MutexGuard<'static, ()>) -> Run {
        let mut program = call.through;
        program.push(env!("CARGO_BIN_EXE_windlass").into());
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]);
        let marker = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        command.args(&call.words).env_clear().envs(call.env).env(MARKER, &marker);
        command.current_dir(&call.cwd);
        let is_closed = matches!(call.stdin, Stdin::Closed);
        let stays_open = matches!(call.stdin, Stdin::Open);
        let (mut text, mut is_held) = (None, false);
        command.stdin(match call.stdin {
            Stdin::Null | Stdin::Closed => Stdio::null(),
            Stdin::Pipe(bytes) => {
                text = Some(bytes);
                Stdio::piped()
            }
            Stdin::Held => {
                is_held = true;
                Stdio::piped()
            }
            Stdin::Open => {
                text = Some(Vec::new());
                Stdio::piped()
            }
            Stdin::From(fd) => fd.into(),
        });
        let is_reading = !matches!(call.stdout, Stdout::Stalled);
        command.stdout(match call.stdout {
            Stdout::Read | Stdout::Stalled => Stdio::piped(),
            Stdout::To(fd) => fd.into(),
        });
        let mut master = None;
        match call.stderr {
            Stderr::Read => command.stderr(Stdio::piped()),
            Stderr::Terminal { master: other, slave } => {
                master = Some(File::from(other));
                // A job of its own, so that it can be stopped and continued like one.
                command.stderr(slave).process_group(0)
            }
        };
        let (file_bytes_max, filter) = (call.file_bytes_max, call.filter.clone());
        if is_closed || file_bytes_max.is_some() || !filter.is_empty() {
            // SAFETY: only calls that are safe between fork and exec, and no allocation.
            unsafe { command.pre_exec(move || before_exec(is_closed, file_bytes_max, &filter)) };
        }
        let mut child = command.spawn().unwrap();
        drop(command);
        let pid = child.id().cast_signed();
        let stdin = child.stdin.take();
        let is_server = call.words.first().is_some_and(|word| word == "app-server");
        let is_kept = is_server && std::env::var_os("WINDLASS_LINES").is_some();
        let (mut writer, mut held) = (None, None);
        match (stdin, text) {
            (Some(pipe), Some(bytes)) => {
                outside::set_nonblocking(pipe.as_raw_fd());
                writer = Some((pipe, bytes));
            }
            (Some(pipe), None) if is_held => held = Some(pipe),
            _ => {}
        }
        let stdout = child.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        let stderr = child.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe))).or(master);
        for file in [&stdout, &stderr].into_iter().flatten() {
            outside::set_nonblocking(file.as_raw_fd());
        }
        Run {
            child,
            pid,
            ended: outside::pidfd(pid),
            stdin: writer,
            stays_open,
            asked: is_kept.then(Vec::new),
            held,
            stdout,
            stderr,
            out: Vec::new(),
            err: Vec::new(),
            is_reading,
            marker: format!("{MARKER}={marker}"),
            children: BTreeMap::new(),
            threads_max: 0,
            memory_kib: 0,
            looked_at: None,
            is_killed: false,
            leaves_something: false,
            began: Instant::now(),
            signalled: None,
        }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn signal(&mut self, signal: i32) {
        self.is_killed |= signal == libc::SIGKILL;
        self.signalled = Some(Instant::now());
        outside::kill(self.pid, signal);
    }

    /// Types into the terminal that its stderr is on.
    pub fn type_in(&mut self, text: &str) {
        self.stderr.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Writes to its stdin, which is open, as far as it takes it.
    pub fn write_in(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().1.extend_from_slice(bytes);
        if let Some(asked) = &mut self.asked {
            asked.extend_from_slice(bytes);
        }
        self.write();
    }

    /// How much it has not yet taken of what was written.
    pub fn unwritten_bytes(&self) -> usize {
        self.stdin.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    /// Closes its stdin once all is written.
    pub fn close_stdin(&mut self) {
        self.stays_open = false;
        self.write();
    }

    /// Closes the reading end of its stdout.
    pub fn stop_reading(&mut self) {
        self.stdout = None;
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }

    pub fn memory_kib(&self) -> u64 {
        self.memory_kib
    }

    /// What it said so far, for a failing test.
    pub fn told(&self) -> String {
        let (out, err) = (self.stdout(), self.stderr());
        format!("--- stdout\n{out}--- stderr\n{err}--- children {:?}\n", self.children)
    }

    /// Whether it waits for something to happen; what has happened would have woken it.
    pub fn sleeps(&self) -> bool {
        outside::stat(self.pid).is_some_and(|stat| stat.state == 'S')
    }

    /// Processor time it has used.
    pub fn cpu_ticks(&self) -> u64 {
        outside::stat(self.pid).unwrap().cpu_ticks
    }

    pub fn has_exited(&self) -> bool {
        outside::has_ended(self.pid)
    }

    /// Names of processes below it that live now.
    pub fn children_now(&self) -> Vec<String> {
        let mut now = BTreeMap::new();
        outside::descendants(self.pid, &mut now);
        outside::alive(&now)
    }

    pub fn watch(&self, polled: &mut Vec<libc::pollfd>) {
        polled.push(outside::entry(self.ended.as_raw_fd(), libc::POLLIN));
        let stdout = self.stdout.as_ref().filter(|_| self.is_reading);
        for file in [stdout, self.stderr.as_ref()].into_iter().flatten() {
            polled.push(outside::entry(file.as_raw_fd(), libc::POLLIN));
        }
        if let Some((pipe, bytes)) = &self.stdin
            && !bytes.is_empty()
        {
            polled.push(outside::entry(pipe.as_raw_fd(), libc::POLLOUT));
        }
    }

    pub fn serve(&mut self) {
        self.look();
        self.write();
        if self.is_reading {
            take(&mut self.stdout, &mut self.out);
        }
        take(&mut self.stderr, &mut self.err);
    }

    fn write(&mut self) {
        let Some((pipe, bytes)) = &mut self.stdin else { return };
        if bytes.is_empty() {
            if !self.stays_open {
                self.stdin = None;
            }
            return;
        }
        match pipe.write(bytes) {
            Ok(count) => drop(bytes.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // It reads no more.
            Err(_) => bytes.clear(),
        }
        if bytes.is_empty() && !self.stays_open {
            self.stdin = None;
        }
    }

    /// Looks at it from outside, every few milliseconds.
    fn look(&mut self) {
        if self.looked_at.is_some_and(|at| at.elapsed().as_millis() < 3) || self.has_exited() {
            return;
        }
        self.looked_at = Some(Instant::now());
        if let Some(count) = outside::threads_count(self.pid) {
            self.threads_max = self.threads_max.max(count);
        }
        if let Some(kib) = outside::status_kib(self.pid, "VmHWM") {
            self.memory_kib = self.memory_kib.max(kib);
        }
        outside::descendants(self.pid, &mut self.children);
    }

    /// Takes leave of a process that has exited.
    pub fn finish(mut self) -> Ended {
        drop((self.stdin.take(), self.held.take()));
        let stat = outside::stat(self.pid).unwrap();
        let status = self.child.wait().unwrap();
        let exited = Instant::now();
        let grace =
            if self.is_killed || self.leaves_something { GONE_AFTER } else { Duration::ZERO };
        loop {
            let mut left = outside::alive(&self.children);
            left.extend(outside::alive(&outside::marked(&self.marker)));
            if left.is_empty() {
                break;
            }
            assert!(exited.elapsed() < grace, "still there: {left:?}\n{}", self.told());
            outside::poll(&mut [], 5);
        }
        self.is_reading = true;
        while self.stdout.is_some() || self.stderr.is_some() {
            assert!(exited.elapsed() < DEADLINE, "somebody holds its output\n{}", self.told());
            take(&mut self.stdout, &mut self.out);
            take(&mut self.stderr, &mut self.err);
        }
        assert!(self.threads_max <= 1, "{} threads", self.threads_max);
        assert!(!self.stderr().contains("panicked"), "{}", self.told());
        Ended {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            had_children: stat.faults_of_children > 0 || !self.children.is_empty(),
            children: self.children.values().cloned().collect(),
            memory_kib: self.memory_kib,
            took_ms: self.began.elapsed().as_millis(),
            took_after_signal_ms: self.signalled.map_or(0, |at| at.elapsed().as_millis()),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let (Some(asked), Some(folder)) = (&self.asked, std::env::var_os("WINDLASS_LINES")) {
            // For whoever looks at all messages of a suite.
            for (name, bytes) in [("asked", asked), ("told", &self.out)] {
                let name = format!("{}.{name}", self.marker.replace('=', "-"));
                fs::write(PathBuf::from(&folder).join(name), bytes).unwrap();
            }
        }
        // Only a failing test comes here with a run that goes on.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Says that it exited with this code.
    pub fn exits(&self, code: i32) -> &Ended {
        assert_eq!((self.code, self.signal), (Some(code), None), "{self}");
        self
    }

    /// The JSON lines of stdout, each a whole object.
    pub fn lines(&self) -> Vec<Value> {
        let whole = self.stdout.is_empty() || self.stdout.ends_with('\n');
        assert!(whole, "{self}");
        let line = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            assert!(value["type"].is_string(), "{line}");
            value
        };
        self.stdout.lines().map(line).collect()
    }

    /// The types of the JSON lines, items by their own.
    pub fn types(&self) -> Vec<String> {
        let name = |line: &Value| {
            let kind = line["type"].as_str().unwrap();
            match line["item"]["type"].as_str() {
                Some(item) => format!("{kind} {item}"),
                None => kind.to_owned(),
            }
        };
        self.lines().iter().map(name).collect()
    }

    /// Items that were completed, of one type.
    pub fn items(&self, kind: &str) -> Vec<Value> {
        let is_meant = |line: &&Value| {
            line["type"] == "item.completed" && line["item"]["type"].as_str() == Some(kind)
        };
        self.lines().iter().filter(is_meant).map(|line| line["item"].clone()).collect()
    }

    /// The id of its thread.
    pub fn thread(&self) -> String {
        let lines = self.lines();
        assert_eq!(lines[0]["type"], "thread.started", "{self}");
        lines[0]["thread_id"].as_str().unwrap().to_owned()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ended { code, signal, stdout, stderr, .. } = self;
        write!(formatter, "code {code:?} signal {signal:?}\n--- stdout\n{stdout}")?;
        write!(formatter, "--- stderr\n{stderr}---")
    }
}

/// Reads what there is; the end closes it.
fn take(file: &mut Option<File>, into: &mut Vec<u8>) {
    let mut piece = [0; 65_536];
    while let Some(open) = file {
        match open.read(&mut piece) {
            Ok(0) => *file = None,
            Ok(count) => into.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // A terminal whose other side is closed.
            Err(_) => *file = None,
        }
    }
}

/// Between fork and exec.
fn before_exec(
    is_closed: bool,
    file_bytes_max: Option<u64>,
    filter: &[libc::sock_filter],
) -> std::io::Result<()> {
    if is_closed {
        // SAFETY: the call takes an integer.
        unsafe { libc::close(0) };
    }
    if let Some(bytes) = file_bytes_max {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: `limit` is a valid value that outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    if filter.is_empty() { Ok(()) } else { outside::install(filter) }
}
