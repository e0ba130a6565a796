//! Commands that run at the same time, in one workspace.
//!
//! Whatever one of them plants is to be gone when all have ended, in whatever order they do.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use windlass_sandbox::{Access, Look, Plan, Status, Stdio, spawn_among, spawn_relief};

use crate::Case;
use crate::stage::{Place, Run, exe, pipe, shell, with_roots};

pub(crate) const CASES: &[Case] = &[
    ("what_one_planted_is_not_put_back_by_another", what_one_planted_is_not_put_back_by_another),
    ("what_one_planted_is_not_held_for_another", what_one_planted_is_not_held_for_another),
    ("what_could_not_be_kept_is_not_kept_later", what_could_not_be_kept_is_not_kept_later),
    ("what_was_allowed_stays", what_was_allowed_stays),
    ("a_repository_within_is_put_back_or_gone", a_repository_within_is_put_back_or_gone),
    ("a_killed_supervisor_is_relieved", a_killed_supervisor_is_relieved),
    ("many_at_once_leave_nothing", many_at_once_leave_nothing),
    ("a_damaged_look_is_said", a_damaged_look_is_said),
    ("a_look_reaches_no_command", a_look_reaches_no_command),
];

/// Names in the workspace that are not for commands.
const NAMES: [&str; 4] = [".windlass", ".codex", ".git/hooks", ".git/config"];

/// Plants something under each.
const PLANT: &str = "mkdir .windlass; echo x > .windlass/config.toml; echo x > .codex
    echo x > .git/hooks/post-commit; echo x >> .git/config; rm .git/hooks/pre-commit";

/// A workspace with some of the names.
struct Ground {
    place: Place,
    work: PathBuf,
}

impl Ground {
    fn new(name: &str) -> Ground {
        let place = Place::new(name);
        let work = place.directory("work");
        fs::create_dir_all(work.join(".git/hooks")).unwrap();
        fs::write(work.join(".git/config"), "[core]\n").unwrap();
        fs::write(work.join(".git/hooks/pre-commit"), "").unwrap();
        Ground { place, work }
    }

    /// A plan for a line in the workspace.
    fn plan(&self, line: &str) -> Plan {
        let mut plan = with_roots(shell(Access::WorkspaceWrite, line), &[&self.work]);
        plan.cwd = self.work.clone();
        plan.policy.protected = NAMES.map(|name| self.work.join(name)).to_vec();
        plan
    }

    /// The same with a repository in it.
    fn plan_within(&self, line: &str) -> Plan {
        let git = self.work.join("sub/.git");
        fs::create_dir_all(git.join("hooks")).unwrap();
        fs::write(git.join("hooks/pre-commit"), "").unwrap();
        fs::write(git.join("config"), "[core]\n").unwrap();
        let mut plan = self.plan(line);
        plan.policy.nested = ["hooks", "config", "commondir"].map(|name| git.join(name)).to_vec();
        plan
    }

    /// All that is found under the names.
    fn look(&self) -> Vec<(PathBuf, Vec<u8>)> {
        NAMES.iter().flat_map(|name| files(&self.work.join(name))).collect()
    }
}

fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    if let Ok(content) = fs::read(path) {
        return vec![(path.to_path_buf(), content)];
    }
    let itself = path.is_dir().then(|| (path.to_path_buf(), Vec::new()));
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    itself.into_iter().chain(paths.iter().flat_map(|path| files(path))).collect()
}

/// Starts a plan among others.
pub(crate) fn start(plan: &Plan, look: &Look) -> Run {
    let (output, stdout) = pipe();
    let (stdin, hold) = pipe();
    let stderr = stdout.try_clone().unwrap();
    let stdio = Stdio { stdin: Some(stdin), stdout, stderr };
    let spawned = spawn_among(exe(), plan, stdio, Some(look)).unwrap();
    Run::of(spawned, Some(output)).holding(hold)
}

/// Waits until it has said a word.
fn until_said(run: &mut Run, word: &str) {
    run.until(|run| run.said().contains(word));
}

fn what_one_planted_is_not_put_back_by_another() {
    for is_first_to_end in [true, false] {
        let ground = Ground::new("overlap");
        let before = ground.look();
        let look = Look::new().unwrap();
        let planting = format!("{PLANT}; echo planted; read line; exit 3");
        let mut one = start(&ground.plan(&planting), &look);
        until_said(&mut one, "planted");
        let mut other = start(&ground.plan("echo runs; read line"), &look);
        until_said(&mut other, "runs");
        let (first, second) = if is_first_to_end { (one, other) } else { (other, one) };
        first.let_go().finish();
        second.let_go().finish();
        assert_eq!(ground.look(), before, "{is_first_to_end}");
        drop(ground.place);
    }
}

/// What exists when a command starts is covered by a mount, where there are mounts. Once it is
/// removed from outside, the name is free for that command again.
fn what_one_planted_is_not_held_for_another() {
    let ground = Ground::new("overlap-held");
    let before = ground.look();
    let look = Look::new().unwrap();
    let mut one = start(&ground.plan(&format!("{PLANT}; echo planted; read line")), &look);
    until_said(&mut one, "planted");
    let again = format!("echo runs; read line; {PLANT}; true");
    let mut other = start(&ground.plan(&again), &look);
    until_said(&mut other, "runs");
    one.let_go().finish();
    assert_eq!(ground.look(), before);
    other.let_go().finish();
    assert_eq!(ground.look(), before);
}

fn what_could_not_be_kept_is_not_kept_later() {
    let ground = Ground::new("overlap-unkept");
    let fifo = ground.work.join(".codex");
    let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: `name` is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let look = Look::new().unwrap();
    let mut one = start(&ground.plan("echo runs; read line; exit 0"), &look);
    until_said(&mut one, "runs");
    fs::remove_file(&fifo).unwrap();
    fs::write(&fifo, "planted").unwrap();
    let mut other = start(&ground.plan("echo runs; read line; rm .codex"), &look);
    until_said(&mut other, "runs");
    one.let_go().finish();
    let other = other.let_go().finish();
    assert!(!is_restored(&other));
}

fn what_was_allowed_stays() {
    let ground = Ground::new("overlap-allowed");
    let before = ground.look();
    let look = Look::new().unwrap();
    let plant = "echo x > .codex; echo planted; read line; exit 0";
    let mut one = start(&ground.plan(plant), &look);
    until_said(&mut one, "planted");
    let line = "mkdir .windlass && echo y > .windlass/config.toml && echo y >> .git/config
        echo y > .git/hooks/post-commit";
    let mut allowed = ground.plan(line);
    allowed.policy.access = Access::Full;
    let allowed = start(&allowed, &look).finish();
    assert!(!is_restored(&allowed));
    let mut other = start(&ground.plan("echo z > .windlass/config.toml; echo runs"), &look);
    until_said(&mut other, "runs");
    other.let_go().finish();
    one.let_go().finish();
    let after = ground.look();
    let named = |name: &str| -> Vec<&Vec<u8>> {
        let path = ground.work.join(name);
        after.iter().filter(|(found, _)| *found == path).map(|(_, content)| content).collect()
    };
    assert_eq!(named(".windlass/config.toml"), [b"y\n"]);
    assert_eq!(named(".git/config"), [b"[core]\ny\n"]);
    assert_eq!(named(".git/hooks/post-commit"), [b"y\n"]);
    assert_eq!(named(".codex"), Vec::<&Vec<u8>>::new(), "nobody has allowed it");
    assert_eq!(after.len(), before.len() + 3, "{after:?}");
}

fn a_repository_within_is_put_back_or_gone() {
    let changing = [
        "echo x > sub/.git/hooks/late; echo x >> sub/.git/config",
        "rm -rf sub/.git; mkdir -p sub/.git/hooks; echo x > sub/.git/config; echo x > sub/.git/hooks/a",
        "mv sub away; ln -s away sub; echo x > away/.git/config",
        "mv sub/.git sub/g; ln -s g sub/.git; echo x > sub/g/config",
        "mv sub/.git sub/g; echo 'gitdir: g' > sub/.git",
        "mv sub away; mkdir sub; cp -r away/.git sub/; echo x > sub/.git/config",
    ];
    for line in changing {
        let ground = Ground::new("overlap-within");
        let plan = ground.plan_within(line);
        let before = files(&ground.work.join("sub/.git/hooks"));
        let run = start(&plan, &Look::new().unwrap()).finish();
        let config = fs::read(ground.work.join("sub/.git/config")).unwrap();
        assert_eq!(config, b"[core]\n", "{line}: {}", run.said());
        assert_eq!(files(&ground.work.join("sub/.git/hooks")), before, "{line}");
        assert!(is_restored(&run), "{line}");
    }
    for line in ["rm -rf sub", "rm -rf sub/.git", "mv sub gone"] {
        let ground = Ground::new("overlap-gone");
        let run = start(&ground.plan_within(line), &Look::new().unwrap()).finish();
        assert_eq!(run.end(), Status::Exited(0), "{line}: {}", run.said());
        assert!(!ground.work.join("sub/.git").exists(), "{line}");
        assert!(!is_restored(&run), "{line}");
    }
}

fn a_killed_supervisor_is_relieved() {
    let ground = Ground::new("overlap-killed");
    let before = ground.look();
    let look = Look::new().unwrap();
    let plan = ground.plan(&format!("{PLANT}; echo planted; read line"));
    let mut run = start(&plan, &look);
    until_said(&mut run, "planted");
    assert_ne!(ground.look(), before);
    // SAFETY: kill takes integers; the supervisor is our child and not reaped.
    assert_eq!(unsafe { libc::kill(run.spawned.pid, libc::SIGKILL) }, 0);
    let run = run.finish();
    assert!(!is_restored(&run));
    let relief = spawn_relief(exe(), &plan.policy.protected, &look).unwrap();
    let relief = Run::of(relief, None).finish();
    assert!(is_restored(&relief), "{:?}", relief.statuses);
    assert_eq!(relief.left_over(), (0, 0));
    assert_eq!(ground.look(), before);
    let again = spawn_relief(exe(), &plan.policy.protected, &look).unwrap();
    assert!(!is_restored(&Run::of(again, None).finish()));
}

fn is_restored(run: &Run) -> bool {
    run.statuses.iter().any(|status| matches!(status, Status::Restored { .. }))
}

fn many_at_once_leave_nothing() {
    let ground = Ground::new("overlap-many");
    let before = ground.look();
    let look = Look::new().unwrap();
    for _ in 0..4 {
        let plan = ground.plan(&format!("{PLANT}; rm -rf .git .windlass; {PLANT}; echo done"));
        let runs: Vec<Run> = (0..6).map(|_| start(&plan, &look)).collect();
        for run in runs {
            // While others go on, putting back may fail; whoever ends last has the place alone.
            run.finish();
        }
        assert_eq!(ground.look(), before);
    }
}

fn a_damaged_look_is_said() {
    let ground = Ground::new("overlap-damaged");
    let look = Look::new().unwrap();
    // SAFETY: the bytes are valid for reads of their length, and the descriptor is ours.
    let written =
        unsafe { libc::pwrite(look.as_fd().as_raw_fd(), [0xff_u8; 64].as_ptr().cast(), 64, 0) };
    assert_eq!(written, 64);
    let before = ground.look();
    let run = start(&ground.plan(PLANT), &look).finish();
    let missing = run.statuses.iter().find_map(|status| match status {
        Status::Confined { missing, .. } => Some(*missing),
        _ => None,
    });
    assert!(missing.unwrap().contains(windlass_sandbox::Missing::CONTROL_FILES));
    assert_eq!(ground.look(), before);
}

fn a_look_reaches_no_command() {
    let ground = Ground::new("overlap-closed");
    let look = Look::new().unwrap();
    let line = "ls -l /proc/self/fd /proc/$PPID/fd /proc/[0-9]*/fd 2>&1 | grep -c windlass-look
        echo x > /proc/$PPID/fd/6; echo x >&6; true";
    let run = start(&ground.plan(line), &look).finish();
    assert!(run.said().starts_with('0'), "{}", run.said());
}
