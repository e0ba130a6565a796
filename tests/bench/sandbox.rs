//! What confinement adds to a command, as the agent pays for it: `cargo bench --bench sandbox`.
//!
//! Here the bench is the agent: it runs already, knows which namespaces it gets, and starts the
//! real launcher with the policy that the agent would give. In every round each kind runs once, and
//! what it adds to a bare spawn is compared within the round, so that other load hits all alike.
//! The second half runs under a filter that refuses what containers refuse.

#![allow(clippy::unwrap_used)]

mod measure;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::time::Instant;

use windlass::host::proc::launch::Starter;
use windlass::words::policy::{SandboxMode, SandboxPolicy};
use windlass_sandbox::{Apart, Plan, Spawned, Status, StatusDecoder, Stdio};

use measure::{has, program};
use support::outside;

const ROUNDS: usize = 200;
/// Commands at once when memory is looked at.
const AT_ONCE: usize = 8;
const FILES_FEW: usize = 10;
const FILES_MANY: usize = 10_000;
const CHMODS: u32 = 2000;
const KIB: f64 = 1024.0;

const BWRAP: [&str; 10] =
    ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "true"];

fn main() {
    let name = std::env::args().next().unwrap();
    match name.as_str() {
        "play-chmods" => return chmods(),
        "play-within" => {
            let refused = outside::filter(libc::EPERM, &outside::REFUSED_IN_CONTAINERS);
            outside::install(&refused).unwrap();
            println!("\nwithin a filter that refuses what containers refuse:");
            return standard();
        }
        _ => {}
    }
    println!("measured: {}", program().display());
    println!("{:<58} {:>10} {:>10} {:>10}", "", "target", "measured", "at best");
    full();
    let this = std::env::current_exe().unwrap();
    let status = Command::new(this).arg0("play-within").status().unwrap();
    exit(status.code().unwrap_or(1));
}

/// One line of the table; without a target, only for comparison.
fn row(what: &str, target: Option<f64>, measured: f64, best: Option<f64>) {
    let verdict = match target {
        None => "",
        Some(target) if measured <= target => "met",
        Some(_) => "MISSED",
    };
    let target = target.map_or("-".to_owned(), |target| format!("{target:.2}"));
    let best = best.map_or("-".to_owned(), |best| format!("{best:.2}"));
    println!("{what:<58} {target:>10} {measured:>10.2} {best:>10}  {verdict}");
}

/// With namespaces of the command's own, if this machine grants them, beside bwrap.
fn full() {
    if windlass_sandbox::probe().namespaces != Ok(Apart::Whole) {
        println!("SKIPPED: this system grants no namespaces, and so nothing is measured at full");
        return;
    }
    let (mut few, mut many) = (Workspace::new(FILES_FEW), Workspace::new(FILES_MANY));
    let with_few = few.plan(Apart::Whole, &["true"]);
    let with_many = many.plan(Apart::Whole, &["true"]);
    let confined = [with_few, with_many];
    let bwrap = has("bwrap");
    if !bwrap {
        println!("SKIPPED: bwrap is not installed, and so nothing is beside us");
    }
    let mut kinds: Vec<Box<dyn Fn()>> = Vec::new();
    for plan in &confined {
        kinds.push(Box::new(|| run_to_end(plan)));
    }
    if bwrap {
        kinds.push(Box::new(|| run_bare(&BWRAP)));
    }
    let added = added_ms(&kinds);
    row("full: added to `true`, 10 files, ms", Some(6.0), added[0].0, Some(added[0].1));
    row("full: added to `true`, 10,000 files, ms", Some(6.0), added[1].0, Some(added[1].1));
    if let Some((median, best)) = added.get(2) {
        row("bwrap: added to `true`, ms", None, *median, Some(*best));
    }
    memory("full", &few.plan(Apart::Whole, &["sleep", "100"]));
    metadata("full", &mut few, Apart::Whole, None);
}

/// Without namespaces.
fn standard() {
    assert!(windlass_sandbox::probe().namespaces.is_err());
    let (mut few, mut many) = (Workspace::new(FILES_FEW), Workspace::new(FILES_MANY));
    let with_few = few.plan(Apart::Nothing, &["true"]);
    let with_many = many.plan(Apart::Nothing, &["true"]);
    let kinds: [Box<dyn Fn()>; 2] =
        [Box::new(|| run_to_end(&with_few)), Box::new(|| run_to_end(&with_many))];
    let added = added_ms(&kinds);
    row("standard: added to `true`, 10 files, ms", Some(2.0), added[0].0, Some(added[0].1));
    row("standard: added to `true`, 10,000 files, ms", Some(2.0), added[1].0, Some(added[1].1));
    memory("standard", &few.plan(Apart::Nothing, &["sleep", "100"]));
    metadata("standard", &mut few, Apart::Nothing, Some(25.0));
}

/// What each kind adds to a bare spawn: the median and the first decile of all rounds.
fn added_ms(kinds: &[Box<dyn Fn() + '_>]) -> Vec<(f64, f64)> {
    let timed = |run: &dyn Fn()| {
        let began = Instant::now();
        run();
        began.elapsed().as_secs_f64() * 1e3
    };
    let mut added: Vec<Vec<f64>> = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        let bare = timed(&|| run_bare(&["true"]));
        for (kind, added) in kinds.iter().zip(&mut added) {
            added.push(timed(kind) - bare);
        }
    }
    let sorted = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        (of[of.len() / 2], of[of.len() / 10])
    };
    added.into_iter().map(sorted).collect()
}

/// What the processes that stay beside a command take, each of some that run at once: they share
/// the pages of our executable among each other, as they share them with an agent.
fn memory(level: &str, plan: &Plan) {
    let runs: Vec<Run> = (0..AT_ONCE)
        .map(|_| {
            let mut run = Run::start(plan);
            run.until(|statuses| statuses.contains("Confined"));
            run
        })
        .collect();
    let (mut resident_mb, mut share_mb) = (0.0, 0.0);
    let beside: Vec<i32> = runs.iter().flat_map(|run| beside_sleep(run.spawned.pid)).collect();
    for pid in beside {
        resident_mb += number_of(pid, "status", "VmRSS:") / KIB;
        share_mb += number_of(pid, "smaps_rollup", "Pss:") / KIB;
    }
    runs.into_iter().for_each(Run::end);
    let each = AT_ONCE as f64;
    row(&format!("{level}: resident beside a command, MB"), None, resident_mb / each, None);
    row(&format!("{level}: its share of that, MB"), Some(1.0), share_mb / each, None);
}

/// A launcher that runs `sleep`, and all it started but that.
fn beside_sleep(launcher: i32) -> Vec<i32> {
    // It tells of the command right before that is executed.
    let began = Instant::now();
    loop {
        let mut below = BTreeMap::new();
        outside::descendants(launcher, &mut below);
        if below.values().any(|name| name == "sleep") {
            let beside = below.into_iter().filter(|(_, name)| name != "sleep");
            return beside.map(|(identity, _)| identity.pid).chain([launcher]).collect();
        }
        assert!(began.elapsed() < support::DEADLINE, "no command: {below:?}");
    }
}

/// What one change of permissions takes confined, and more than unconfined.
fn metadata(level: &str, workspace: &mut Workspace, apart: Apart, target_us: Option<f64>) {
    let this = std::env::current_exe().unwrap();
    let mut plan = workspace.plan(apart, &["play-chmods"]);
    plan.program = this.to_str().unwrap().into();
    let mut run = Run::start(&plan);
    run.until(|_| false);
    let confined: f64 = run.said.trim().parse().unwrap();
    run.end();
    let mut bare = Command::new(this);
    bare.arg0("play-chmods").current_dir(&workspace.work);
    let bare = bare.output().unwrap().stdout;
    let bare: f64 = String::from_utf8(bare).unwrap().trim().parse().unwrap();
    row(&format!("{level}: one chmod, us"), target_us, confined, Some(bare));
}

/// Prints what one change of permissions takes: the best mean of some rounds.
fn chmods() {
    let mode = fs::Permissions::from_mode(0o644);
    let round = |_| {
        let began = Instant::now();
        (0..CHMODS).for_each(|_| fs::set_permissions("0", mode.clone()).unwrap());
        began.elapsed().as_secs_f64() * 1e6 / f64::from(CHMODS)
    };
    println!("{}", (0..10).map(round).fold(f64::INFINITY, f64::min));
}

/// A repository with so many files, and the agent that works in it.
struct Workspace {
    root: PathBuf,
    work: PathBuf,
    starter: Starter,
}

impl Workspace {
    fn new(files: usize) -> Workspace {
        // Not below `/tmp`, as the agent's home is not either: that would be a root of commands.
        let base = Path::new("/var/tmp").canonicalize().unwrap();
        let root = base.join(format!("windlass-bench-{}-{files}", std::process::id()));
        let (home, work) = (root.join("home"), root.join("work"));
        fs::create_dir_all(work.join(".git/hooks")).unwrap();
        fs::create_dir_all(home.join("sessions")).unwrap();
        fs::write(work.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(work.join(".git/config"), "[core]\n").unwrap();
        for name in ["config.toml", "auth.json", "history.jsonl"] {
            fs::write(home.join(name), "").unwrap();
        }
        for number in 0..files {
            fs::write(work.join(number.to_string()), "").unwrap();
        }
        let path = vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
        let starter = Starter::new(program(), Some(1024), Some(&home), path);
        Workspace { root, work, starter }
    }

    /// What the agent would hand over for these words.
    fn plan(&mut self, apart: Apart, words: &[&str]) -> Plan {
        let words: Vec<OsString> = words.iter().map(|word| (*word).into()).collect();
        let sandbox = SandboxPolicy::of(SandboxMode::WorkspaceWrite);
        let plan = self.starter.own_command(&words, self.work.to_str().unwrap(), &sandbox);
        Plan { apart: Some(apart), ..plan }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).unwrap();
    }
}

/// A confined command on its way.
struct Run {
    spawned: Spawned,
    output: Option<File>,
    decoder: StatusDecoder,
    /// What was told of it, and what it printed.
    statuses: String,
    said: String,
    is_over: bool,
}

impl Run {
    fn start(plan: &Plan) -> Run {
        let (output, stdout) = std::io::pipe().unwrap();
        let stdout = OwnedFd::from(stdout);
        let stdio = Stdio { stdin: None, stderr: stdout.try_clone().unwrap(), stdout };
        let spawned = windlass_sandbox::spawn(&program(), plan, stdio).unwrap();
        Run {
            spawned,
            output: Some(File::from(OwnedFd::from(output))),
            decoder: StatusDecoder::default(),
            statuses: String::new(),
            said: String::new(),
            is_over: false,
        }
    }

    /// Follows until something was told, or all has ended.
    fn until(&mut self, holds: impl Fn(&str) -> bool) {
        let has_ended = |run: &Run| run.is_over && run.output.is_none();
        while !(holds(&self.statuses) || has_ended(self)) {
            let status = if self.is_over { -1 } else { self.spawned.status.as_raw_fd() };
            let output = self.output.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            let mut polled = [status, output].map(|fd| outside::entry(fd, libc::POLLIN));
            outside::poll(&mut polled, 1000);
            if polled[0].revents != 0 {
                self.take_status();
            }
            let Some(open) = self.output.as_mut().filter(|_| polled[1].revents != 0) else {
                continue;
            };
            let mut piece = [0; 4096];
            match open.read(&mut piece).unwrap() {
                0 => self.output = None,
                count => self.said.push_str(&String::from_utf8_lossy(&piece[..count])),
            }
        }
    }

    fn take_status(&mut self) {
        let mut piece = [0; 256];
        let mut pipe = File::from(self.spawned.status.try_clone().unwrap());
        let count = match pipe.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            count => count.unwrap(),
        };
        self.is_over = count == 0;
        self.decoder.push(&piece[..count]);
        while let Some(status) = self.decoder.pull() {
            let status = status.unwrap();
            assert!(!matches!(status, Status::Refused { .. }), "{status:?}");
            self.statuses.push_str(&format!("{status:?}\n"));
        }
    }

    /// Ends it if it has not ended, and takes the launcher's exit.
    fn end(self) {
        drop(self.spawned.control);
        let mut code = 0;
        // SAFETY: `code` is a valid place for the result.
        let reaped = unsafe { libc::waitpid(self.spawned.pid, &raw mut code, 0) };
        assert_eq!(reaped, self.spawned.pid);
    }
}

fn run_to_end(plan: &Plan) {
    let mut run = Run::start(plan);
    run.until(|_| false);
    assert!(run.statuses.contains("Exited(0)"), "{} {}", run.statuses, run.said);
    run.end();
}

fn run_bare(words: &[&str]) {
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let null = null.as_fd();
    let argv: Vec<OsString> = words.iter().map(|word| (*word).into()).collect();
    let env = [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
    let path = Path::new("/usr/bin").join(words[0]);
    let pid = windlass_sandbox::spawn_bare(&path, &argv, &env, null, null, null).unwrap();
    let mut code = 0;
    // SAFETY: `code` is a valid place for the result.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut code, 0) }, pid);
    assert_eq!(code, 0, "{words:?}");
}

/// A number of a file below `/proc/PID`; zero if it cannot be read.
fn number_of(pid: i32, file: &str, label: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let rest = text.lines().find_map(|line| line.strip_prefix(label));
    let word = rest.and_then(|rest| rest.split_ascii_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0.0)
}
