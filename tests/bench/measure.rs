//! Runs a program against the mock provider and looks at it from outside.
//!
//! The program is traced for one thing only: it stops when it is about to exit, so that its last
//! and highest numbers can be read. Where tracing is refused they are those of the last look.

// The bench and the budgets each use a part of this.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::run::Call;
use crate::support::{DEADLINE, World, outside, spawning};

/// What was seen of one run.
#[derive(Clone, Copy, Default, Debug)]
pub struct Seen {
    /// Most memory resident, and how much of what is resident at the end is anonymous.
    pub peak_kib: u64,
    pub anonymous_kib: u64,
    /// Processor time of the program itself, without its children.
    pub cpu_us: f64,
    pub switches: u64,
    /// From the start until the first request was heard whole.
    pub first_request_us: f64,
    /// From the last byte of an answer to the next request, the median of all.
    pub answer_to_request_us: f64,
    /// All that was sent to the provider as bodies of requests.
    pub sent_bytes: u64,
    /// System calls, and those of them that make processes; zero unless they were counted.
    pub syscalls: u64,
    pub clones: u64,
}

/// The program to measure: `WINDLASS_BIN`, or the one that was built for this run.
pub fn program() -> PathBuf {
    std::env::var_os("WINDLASS_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_windlass").into(), PathBuf::from)
}

/// Whether runs are to be as long as they get.
pub fn is_long() -> bool {
    std::env::var_os("WINDLASS_LONG").is_some()
}

/// Whether a program can be found and run.
pub fn has(program: &str) -> bool {
    let mut probe = Command::new(program);
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Runs windlass as the call says.
pub fn run(world: &mut World, call: &Call) -> Seen {
    let mut command = Command::new(program());
    command.args(&call.words).env_clear().envs(call.env.iter().cloned());
    measure(world, command.current_dir(&call.cwd), Look::AtExit)
}

/// Runs windlass as the call says, and counts its system calls, without its children's.
pub fn count(world: &mut World, call: &Call) -> Seen {
    count_with(world, call, &[])
}

/// The same with all that its children call.
pub fn count_all(world: &mut World, call: &Call) -> Seen {
    count_with(world, call, &["-f"])
}

fn count_with(world: &mut World, call: &Call, options: &[&str]) -> Seen {
    let summary = world.root.join("strace");
    let mut command = Command::new("strace");
    command.args(options).args(["-c", "-o"]).arg(&summary).arg(program()).args(&call.words);
    command.env_clear().envs(call.env.iter().cloned()).current_dir(&call.cwd);
    let seen = measure(world, &mut command, Look::Never);
    let text = fs::read_to_string(&summary).unwrap();
    let (mut syscalls, mut clones) = (0, 0);
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(count), Some(name)) = (fields.get(3), fields.last()) else { continue };
        let Ok(count) = count.parse::<u64>() else { continue };
        match *name {
            "total" => {}
            "clone" | "clone3" | "fork" | "vfork" => {
                clones += count;
                syscalls += count;
            }
            _ => syscalls += count,
        }
    }
    assert!(syscalls > 0, "{text}");
    Seen { syscalls, clones, ..seen }
}

/// Runs `curl -N` for the same bytes.
pub fn curl(world: &mut World, body: &str) -> Seen {
    let url = format!("{}/responses", world.provider.url());
    let mut command = Command::new("curl");
    command.args(["-N", "-s", "-X", "POST", "--data-binary", body, &url]);
    measure(world, &mut command, Look::AtExit)
}

/// How long it takes to start a program, read what it prints, and take its exit, in microseconds.
pub fn bare_spawn(argv: &[&str]) -> f64 {
    let began = Instant::now();
    let output = Command::new(argv[0]).args(&argv[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    micros(began.elapsed())
}

/// The middle one of several runs, number by number.
pub fn median(mut of: Vec<Seen>) -> Seen {
    let mut middle = Seen::default();
    macro_rules! middle {
        ($($field:ident),*) => {$(
            of.sort_by(|one, other| one.$field.partial_cmp(&other.$field).unwrap());
            middle.$field = of[of.len() / 2].$field;
        )*};
    }
    middle!(
        peak_kib,
        anonymous_kib,
        cpu_us,
        switches,
        first_request_us,
        answer_to_request_us,
        sent_bytes,
        syscalls,
        clones
    );
    middle
}

pub fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    AtExit,
    /// It has a tracer already.
    Never,
}

// The loop below waits for it by its number.
#[allow(clippy::zombie_processes)]
fn measure(world: &mut World, command: &mut Command, look: Look) -> Seen {
    let guard = spawning();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    drop(guard);
    let pid = child.id().cast_signed();
    let mut pipes = [
        child.stdout.take().map(OwnedFd::from).map(fs::File::from),
        child.stderr.take().map(OwnedFd::from).map(fs::File::from),
    ];
    for pipe in pipes.iter().flatten() {
        outside::set_nonblocking(pipe.as_raw_fd());
    }
    let traced = look == Look::AtExit && stop_at_exit(pid);
    let ended = outside::pidfd(pid);
    let deadline = if is_long() { 15 * DEADLINE } else { DEADLINE };
    let first = world.provider.requests.len();
    let mut seen = Seen::default();
    let (mut heard, mut answered): (Option<Instant>, Option<Instant>) = (None, None);
    let mut gaps = Vec::new();
    let mut out = Vec::new();
    let status = loop {
        assert!(began.elapsed() < deadline, "it does not end: {}", String::from_utf8_lossy(&out));
        let mut polled = vec![outside::entry(ended.as_raw_fd(), libc::POLLIN)];
        world.provider.watch(&mut polled);
        for pipe in pipes.iter().flatten() {
            polled.push(outside::entry(pipe.as_raw_fd(), libc::POLLIN));
        }
        outside::poll(&mut polled, world.provider.wait_ms().min(2));
        let count = world.provider.requests.len();
        world.provider.serve();
        let now = Instant::now();
        if world.provider.requests.len() > count {
            heard.get_or_insert(now);
            gaps.extend(answered.take().map(|at| micros(now - at)));
        }
        if heard.is_some() && world.provider.is_quiet() {
            answered.get_or_insert(now);
        } else {
            answered = None;
        }
        for pipe in &mut pipes {
            drain(pipe, &mut out);
        }
        if look == Look::AtExit && !traced {
            look_at(pid, &mut seen);
        }
        match wait(pid) {
            Some(status) if libc::WIFSTOPPED(status) => {
                look_at(pid, &mut seen);
                go_on(pid);
            }
            Some(status) => break status,
            None => {}
        }
    };
    let text = String::from_utf8_lossy(&out);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:x}: {text}");
    assert_eq!(world.provider.unasked(), 0, "{text}");
    seen.first_request_us = heard.map_or(0.0, |heard| micros(heard - began));
    seen.answer_to_request_us = middle(gaps);
    let requests = &world.provider.requests[first..];
    seen.sent_bytes = requests.iter().map(|request| request.body_bytes.len() as u64).sum();
    world.provider.requests.clear();
    seen
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Reads what there is and keeps the beginning, for a failing run.
fn drain(pipe: &mut Option<fs::File>, out: &mut Vec<u8>) {
    let mut piece = [0; 65_536];
    while let Some(open) = pipe {
        match open.read(&mut piece) {
            Ok(count) if count > 0 => {
                let room = 4096_usize.saturating_sub(out.len());
                out.extend_from_slice(&piece[..count.min(room)]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => *pipe = None,
        }
    }
}

/// Reads the numbers of a process that lives.
fn look_at(pid: i32, seen: &mut Seen) {
    let Some(peak_kib) = outside::status_kib(pid, "VmHWM") else { return };
    seen.peak_kib = peak_kib;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let anonymous = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    seen.anonymous_kib = anonymous.map_or(0, number);
    let scheduled = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    seen.cpu_us = number(&scheduled) as f64 / 1e3;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let switches = status.lines().filter_map(|line| line.split_once("_ctxt_switches:"));
    seen.switches = switches.map(|(_, count)| number(count)).sum();
}

/// The first number in a text.
fn number(text: &str) -> u64 {
    text.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Asks that the process stops once more before it is gone.
fn stop_at_exit(pid: i32) -> bool {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    let options = libc::PTRACE_O_TRACEEXIT as usize as *mut libc::c_void;
    // SAFETY: of its arguments the request uses only the numbers.
    unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nothing, options) == 0 }
}

fn go_on(pid: i32) {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: of its arguments the request uses only the numbers.
    unsafe { libc::ptrace(libc::PTRACE_CONT, pid, nothing, nothing) };
}

/// News of the child, without waiting for them.
fn wait(pid: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    let found = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG | libc::__WALL) };
    (found == pid).then_some(status)
}
