//! Commands really run, confined, watched and ended.
//!
//! This executable plays every part: the agent, the launcher (by its name), and where a shell
//! cannot say it, the command. Attempts are shown to succeed without the sandbox and proved from
//! outside to have had no effect within it. It repeats itself with each kind of namespaces, and as
//! root as an ordinary user.

#![allow(clippy::unwrap_used, reason = "all of this is a test, which its own `main` hides")]

#[path = "commands/aged.rs"]
mod aged;
#[path = "commands/apart.rs"]
mod apart;
#[path = "commands/attacks/mod.rs"]
mod attacks;
#[path = "commands/confined.rs"]
mod confined;
#[path = "commands/connected.rs"]
mod connected;
#[path = "commands/filtered.rs"]
mod filtered;
#[path = "commands/lifetime.rs"]
mod lifetime;
#[path = "commands/mediated.rs"]
mod mediated;
#[path = "commands/overlapping.rs"]
mod overlapping;
#[path = "commands/repository.rs"]
mod repository;
#[path = "commands/running.rs"]
mod running;
#[path = "commands/stage.rs"]
mod stage;

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Instant;

use windlass_sandbox::{Access, Apart, is_launcher, launcher_main, probe};

type Case = (&'static str, fn());

/// Numbers of the user without rights that the cases are repeated as.
const NOBODY: u32 = 65_534;

fn main() {
    let argv: Vec<_> = std::env::args_os().collect();
    let name = argv.first().map_or(OsStr::new(""), |name| name.as_os_str());
    if is_launcher(name) {
        launcher_main();
    }
    let words: Vec<&str> = argv.iter().map(|word| word.to_str().unwrap_or("")).collect();
    if let Some(part) = words[0].strip_prefix("play-") {
        stage::play(part, &words[1..]);
    }
    let filter = words[1..].iter().find(|word| !word.starts_with('-')).copied();
    let is_repeat = words.contains(&"--again");
    println!("with {:?}, apart from {:?}", probe(), stage::apart());
    let mut outcome = Outcome::default();
    let cases = running::CASES.iter().chain(confined::CASES);
    let cases = cases.chain(mediated::CASES).chain(connected::CASES).chain(lifetime::CASES);
    let cases = cases.chain(filtered::CASES).chain(aged::CASES).chain(apart::CASES);
    let cases = cases.chain(repository::CASES).chain(overlapping::CASES);
    for (name, case) in cases.chain(attacks::CASES) {
        if filter.is_none_or(|filter| name.contains(filter)) {
            outcome.run(name, *case);
        }
    }
    if !is_repeat {
        let users: &[Option<u32>] = if stage::is_root() { &[None, Some(NOBODY)] } else { &[None] };
        for user in users {
            for apart in ["nothing", "view", "whole"] {
                if (*user, apart) != (None, "nothing") && is_granted(apart) {
                    let name = format!("all_holds_for_{user:?}_apart_from_{apart}");
                    outcome.run(&name, || repeat(*user, apart, filter));
                }
            }
        }
    }
    if !is_repeat && filter.is_none_or(|filter| filter == "measure") {
        measure();
    }
    println!("{} passed, {} failed", outcome.passed, outcome.failed);
    std::process::exit(i32::from(outcome.failed > 0));
}

#[derive(Default)]
struct Outcome {
    passed: u32,
    failed: u32,
}

impl Outcome {
    fn run(&mut self, name: &str, case: impl FnOnce()) {
        let began = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(case)).is_ok();
        let word = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({} ms)", began.elapsed().as_millis());
        self.passed += u32::from(passed);
        self.failed += u32::from(!passed);
    }
}

fn is_granted(apart: &str) -> bool {
    match probe().namespaces {
        Ok(Apart::Whole) => true,
        Ok(Apart::View) => apart != "whole",
        Ok(Apart::Nothing) | Err(_) => apart == "nothing",
    }
}

fn repeat(user: Option<u32>, apart: &str, filter: Option<&str>) {
    // By its path: `/proc/self/exe` is closed to a process that changed its user.
    let exe = std::env::current_exe().unwrap();
    let mut again = Command::new(exe);
    if let Some(user) = user {
        again.uid(user).gid(user);
    }
    again.env(stage::APART, apart).arg("--again").args(filter);
    assert!(again.status().unwrap().success());
}

/// Prints what the sandbox costs; nothing is claimed, since machines differ. Each kind runs once in
/// every round, and what it adds is compared within the round, so that other load hits all alike.
fn measure() {
    let timed = |run: &dyn Fn()| {
        let began = Instant::now();
        run();
        i64::try_from(began.elapsed().as_micros()).unwrap()
    };
    let kinds: Vec<(Access, Apart)> = [Access::ReadOnly, Access::WorkspaceWrite]
        .into_iter()
        .flat_map(|access| [(access, Apart::Nothing), (access, Apart::Whole)])
        .filter(|(_, apart)| *apart == Apart::Nothing || is_granted("whole"))
        .chain([(Access::Full, Apart::Nothing)])
        .collect();
    let mut added: Vec<Vec<i64>> = vec![Vec::new(); kinds.len()];
    for _ in 0..200 {
        let bare = timed(&stage::run_true_bare);
        for ((access, apart), added) in kinds.iter().zip(&mut added) {
            added.push(timed(&|| stage::run_true(*access, *apart)) - bare);
        }
    }
    for ((access, apart), added) in kinds.iter().zip(&mut added) {
        added.sort_unstable();
        let (tenth, median) = (added[added.len() / 10], added[added.len() / 2]);
        println!("true, {access:?} apart from {apart:?}: {median} us added, {tenth} at best");
    }
    if let Some(added) = repository::measure() {
        println!("true in a repository: {added} us more");
    }
    for access in [Access::Full, Access::WorkspaceWrite] {
        println!("one chmod, {access:?}: {}", mediated::measure(access));
    }
}
