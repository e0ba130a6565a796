//! What the cases stand on: plans, runs with a deadline, looks from outside, and parts to play.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use windlass_sandbox::{
    Access, Apart, Plan, Policy, Spawned, Status, StatusDecoder, Stdio, spawn, spawn_bare,
};

pub(crate) const ACCESSES: [Access; 3] = [Access::ReadOnly, Access::WorkspaceWrite, Access::Full];

/// The variable that chooses what commands are apart from.
pub(crate) const APART: &str = "WINDLASS_TEST_APART";

/// No case may take longer; it only bounds the harm of a hang.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn exe() -> &'static Path {
    Path::new("/proc/self/exe")
}

pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// The namespaces that commands get in this run of the cases.
pub(crate) fn apart() -> Apart {
    match std::env::var(APART).as_deref() {
        Ok("whole") => Apart::Whole,
        Ok("view") => Apart::View,
        _ => Apart::Nothing,
    }
}

/// A directory of its own for one case, gone afterwards.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new(name: &str) -> Place {
        let base = std::env::temp_dir().canonicalize().unwrap();
        let path = base.join(format!("windlass-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Place { path }
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap();
    }
}

/// A plan for a shell line, with nothing writable.
pub(crate) fn shell(access: Access, line: &str) -> Plan {
    plan(access, "sh", &["sh", "-c", line])
}

/// A plan for this executable, playing a part.
pub(crate) fn part(access: Access, words: &[&str]) -> Plan {
    let exe = std::env::current_exe().unwrap();
    plan(access, exe.to_str().unwrap(), words)
}

pub(crate) fn plan(access: Access, program: &str, argv: &[&str]) -> Plan {
    Plan {
        policy: Policy::of(access),
        apart: Some(apart()),
        program: program.into(),
        argv: argv.iter().map(|word| word.as_bytes().to_vec()).collect(),
        env: vec![(b"PATH".to_vec(), b"/usr/local/bin:/usr/bin:/bin".to_vec())],
        cwd: PathBuf::from("/"),
        pty: false,
        background: false,
        grace_ms: 300,
        nofile: None,
    }
}

pub(crate) fn with_roots(mut plan: Plan, roots: &[&Path]) -> Plan {
    plan.policy.writable_roots = roots.iter().map(|root| root.to_path_buf()).collect();
    plan
}

/// A command on its way, and what it has said.
pub(crate) struct Run {
    pub(crate) spawned: Spawned,
    output: Option<File>,
    /// Its standard input, until it may go on.
    hold: Option<OwnedFd>,
    decoder: StatusDecoder,
    pub(crate) statuses: Vec<Status>,
    pub(crate) text: Vec<u8>,
    is_over: bool,
    is_reaped: bool,
}

impl Run {
    /// Starts a plan with an empty stdin; stdout and stderr come back as one text.
    pub(crate) fn start(plan: &Plan) -> Run {
        let (output, stdout) = pipe();
        let stderr = stdout.try_clone().unwrap();
        let spawned = spawn(exe(), plan, Stdio { stdin: None, stdout, stderr }).unwrap();
        Run::of(spawned, Some(output))
    }

    pub(crate) fn of(spawned: Spawned, output: Option<OwnedFd>) -> Run {
        Run {
            spawned,
            output: output.map(File::from),
            hold: None,
            decoder: StatusDecoder::default(),
            statuses: Vec::new(),
            text: Vec::new(),
            is_over: false,
            is_reaped: false,
        }
    }

    /// The same, which reads from the other end of a pipe.
    pub(crate) fn holding(mut self, hold: OwnedFd) -> Run {
        self.hold = Some(hold);
        self
    }

    /// Ends what it reads.
    pub(crate) fn let_go(mut self) -> Run {
        self.hold = None;
        self
    }

    /// Starts and follows to the end.
    pub(crate) fn whole(plan: &Plan) -> Run {
        Run::start(plan).finish()
    }

    /// Follows until output and statuses have ended, then reaps the supervisor.
    pub(crate) fn finish(mut self) -> Run {
        self.until(|run| run.is_over && run.output.is_none());
        let mut code = 0;
        // SAFETY: `code` is a valid place for the result.
        let reaped = unsafe { libc::waitpid(self.spawned.pid, &raw mut code, 0) };
        assert_eq!(reaped, self.spawned.pid);
        self.is_reaped = true;
        self
    }

    /// Follows until something holds.
    pub(crate) fn until(&mut self, mut holds: impl FnMut(&Run) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < DEADLINE, "no end: {:?} {}", self.statuses, self.said());
            assert!(!self.is_over || self.output.is_some(), "ended: {:?}", self.statuses);
            let status = if self.is_over { -1 } else { self.spawned.status.as_raw_fd() };
            let output = self.output.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            let mut fds =
                [status, output].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
            // SAFETY: `fds` holds two structures.
            unsafe { libc::poll(fds.as_mut_ptr(), 2, 1000) };
            if fds[0].revents != 0 {
                self.take_status();
            }
            if fds[1].revents != 0 {
                self.take_output();
            }
        }
    }

    fn take_status(&mut self) {
        let mut piece = [0; 64];
        let mut pipe = File::from(self.spawned.status.try_clone().unwrap());
        let count = pipe.read(&mut piece).unwrap();
        self.is_over = count == 0;
        self.decoder.push(&piece[..count]);
        while let Some(status) = self.decoder.pull() {
            self.statuses.push(status.unwrap());
        }
    }

    fn take_output(&mut self) {
        let Some(output) = &mut self.output else { return };
        let mut piece = [0; 65_536];
        match output.read(&mut piece) {
            Ok(0) => self.output = None,
            Ok(count) => self.text.extend_from_slice(&piece[..count]),
            // A terminal whose other side is closed.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => self.output = None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn control(&self, bytes: &[u8]) {
        File::from(self.spawned.control.try_clone().unwrap()).write_all(bytes).unwrap();
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.text).trim_end().to_owned()
    }

    /// How the command itself ended.
    pub(crate) fn end(&self) -> Status {
        let is_end = |status: &&Status| !matches!(status, Status::Confined { .. });
        *self.statuses.iter().find(is_end).unwrap()
    }

    pub(crate) fn left_over(&self) -> (u32, u32) {
        match self.statuses.last() {
            Some(Status::LeftOver { ended, alive }) => (*ended, *alive),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.is_reaped {
            // SAFETY: kill takes integers; the supervisor is our child and not reaped.
            unsafe { libc::kill(self.spawned.pid, libc::SIGTERM) };
        }
    }
}

pub(crate) fn check_end(plan: &Plan, expected: Status) -> Run {
    let run = Run::whole(plan);
    assert_eq!(run.end(), expected, "{}", run.said());
    run
}

pub(crate) fn check_said(plan: &Plan, expected: &str) -> Run {
    let run = Run::whole(plan);
    assert_eq!(run.said(), expected, "{:?}", run.statuses);
    run
}

pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    let (read_end, write_end) = std::io::pipe().unwrap();
    (read_end.into(), write_end.into())
}

/// The other processes with a word in their command line.
pub(crate) fn processes_with(word: &str) -> Vec<i32> {
    let is_meant = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|found| found == word.as_bytes())
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let us = std::process::id().cast_signed();
    pids.filter(|pid| *pid != us && is_meant(pid)).collect()
}

/// A word that no other process has in its command line; a number, so that `sleep` takes it.
pub(crate) fn marker(number: u32) -> String {
    format!("{number}.{}", std::process::id())
}

/// Waits until processes with a word are there, or are gone.
pub(crate) fn wait_for_processes(word: &str, mut holds: impl FnMut(usize) -> bool) {
    let began = Instant::now();
    while !holds(processes_with(word).len()) {
        assert!(began.elapsed() < DEADLINE, "processes: {:?}", processes_with(word));
        // SAFETY: sched_yield takes nothing.
        unsafe { libc::sched_yield() };
    }
}

pub(crate) fn run_true(access: Access, apart: Apart) {
    let mut plan = plan(access, "/bin/true", &["true"]);
    plan.apart = Some(apart);
    let run = Run::whole(&plan);
    assert_eq!(run.end(), Status::Exited(0));
}

pub(crate) fn run_true_bare() {
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let null = null.as_fd();
    let argv = [OsString::from("true")];
    let pid = spawn_bare(Path::new("/bin/true"), &argv, &[], null, null, null).unwrap();
    let mut code = 0;
    // SAFETY: `code` is a valid place for the result.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut code, 0) }, pid);
    assert_eq!(code, 0);
}

/// Plays one part of a case, in a process of its own.
pub(crate) fn play(part: &str, words: &[&str]) -> ! {
    match part {
        "guard" => crate::lifetime::play_guard(words[0]),
        "aged" => crate::aged::play_aged(words[0]),
        "empty" => crate::aged::play_empty(words[0]),
        "agent" => play_agent(words[0]),
        "attack" => crate::attacks::play(words[0]),
        "bare" => crate::attacks::play_bare(words),
        "calls" => crate::confined::play_calls(words[0]),
        "env" => std::env::vars_os().for_each(|variable| println!("{variable:?}")),
        "argv" => println!("{:?}", std::env::args_os().skip(1).collect::<Vec<_>>()),
        "fds" => {
            // SAFETY: F_GETFD takes integers; a closed number is an error.
            let is_open = |fd: &i32| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0;
            println!("{:?}", (0..65_536).filter(is_open).collect::<Vec<_>>());
        }
        "nested" => {
            let run = Run::whole(&shell(Access::WorkspaceWrite, "echo within; exit 5"));
            println!("{} {:?}", run.said(), run.end());
        }
        "filtered" => crate::filtered::play_filtered(words),
        "flood" => crate::lifetime::play_flood(),
        "fleet" => crate::lifetime::play_fleet(words[0]),
        "terminal" => crate::apart::play_terminal(),
        "serve" => crate::connected::play_serve(words),
        "listen" => crate::connected::play_listen(words),
        "connect" => crate::connected::play_connect(words),
        "ways" => crate::mediated::play_ways(words[0]),
        "chmods" => crate::mediated::play_chmods(),
        "errors" => crate::mediated::play_errors(words[0]),
        "within" => crate::mediated::play_within(words[0]),
        "blind" => crate::lifetime::play_blind(words[0]),
        unknown => panic!("{unknown}"),
    }
    std::process::exit(0)
}

/// An agent that starts a command and then does nothing until it is killed.
fn play_agent(marker: &str) {
    let line = format!("setsid sleep {marker} & sleep {marker} & echo started; wait");
    let mut run = Run::start(&shell(Access::WorkspaceWrite, &line));
    run.until(|run| run.said().contains("started"));
    println!("started");
    run.until(|_| false);
}

/// Opens a PTY: master, slave.
pub(crate) fn open_terminal() -> (OwnedFd, OwnedFd) {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: posix_openpt takes an integer.
    let master = unsafe { libc::posix_openpt(flags) };
    assert!(master >= 0);
    // SAFETY: the descriptor is fresh and nobody else's.
    let master = unsafe { OwnedFd::from_raw_fd(master) };
    // SAFETY: grantpt takes a descriptor.
    assert_eq!(unsafe { libc::grantpt(master.as_raw_fd()) }, 0);
    // SAFETY: unlockpt takes a descriptor.
    assert_eq!(unsafe { libc::unlockpt(master.as_raw_fd()) }, 0);
    let mut name = [0; 64];
    // SAFETY: `name` is valid for writes of its length.
    let named = unsafe { libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) };
    assert_eq!(named, 0);
    let name: Vec<u8> = name.iter().map(|byte| byte.cast_unsigned()).collect();
    let name = CString::from(std::ffi::CStr::from_bytes_until_nul(&name).unwrap());
    // SAFETY: `name` is NUL-terminated; nothing is created.
    let slave = unsafe { libc::open(name.as_ptr(), flags) };
    assert!(slave >= 0);
    // SAFETY: the descriptor is fresh and nobody else's.
    (master, unsafe { OwnedFd::from_raw_fd(slave) })
}
