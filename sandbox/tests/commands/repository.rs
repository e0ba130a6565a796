//! Work with real repositories, which goes on around what is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use windlass_sandbox::{Access, Plan, Status};

use crate::Case;
use crate::stage::{Place, Run, shell, with_roots};

pub(crate) const CASES: &[Case] = &[
    ("a_repository_can_be_worked_in", a_repository_can_be_worked_in),
    ("a_linked_worktree_can_be_worked_in", a_linked_worktree_can_be_worked_in),
    ("what_git_puts_into_its_settings_is_put_back", what_git_puts_into_its_settings_is_put_back),
    ("a_command_that_is_killed_changes_no_hook", a_command_that_is_killed_changes_no_hook),
    ("what_cannot_be_put_back_is_out_of_the_way", what_cannot_be_put_back_is_out_of_the_way),
];

const NAMES: [&str; 7] = [
    ".windlass",
    ".codex",
    "hooks",
    "config",
    "config.worktree",
    "commondir",
    "modules/sub/config",
];

/// Makes a repository with a commit; `None` where there is no git.
fn repository(place: &Place) -> Option<PathBuf> {
    let work = place.directory("work");
    let line = "git init -q . && echo one > file && git add file && git commit -qm one
        printf '#!/bin/sh\nexit 0\n' > .git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit";
    let run = Run::whole(&within(&work, Access::Full, line));
    (run.end() == Status::Exited(0)).then_some(work)
}

/// A plan for a line in a directory, with the settings git wants from everybody.
fn within(work: &Path, access: Access, line: &str) -> Plan {
    let mut plan = with_roots(shell(access, line), &[work]);
    plan.cwd = work.to_path_buf();
    let protected = NAMES.iter().map(|name| match name.strip_prefix('.') {
        Some(_) => work.join(name),
        None => work.join(".git").join(name),
    });
    plan.policy.protected = protected.collect();
    let settings = [
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@b"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@b"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("HOME", "/nonexistent"),
    ];
    let settings =
        settings.map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
    plan.env.extend(settings);
    plan
}

/// What the control files of a repository, samples of hooks included, add to `true`, in
/// microseconds, as a median.
pub(crate) fn measure() -> Option<i64> {
    let place = Place::new("git-measured");
    let work = repository(&place)?;
    let mut plan = within(&work, Access::WorkspaceWrite, "");
    (plan.program, plan.argv) = (b"/bin/true".to_vec(), vec![b"true".to_vec()]);
    let mut without = plan.clone();
    without.policy.protected.clear();
    let timed = |plan: &Plan| {
        let began = Instant::now();
        Run::whole(plan);
        i64::try_from(began.elapsed().as_micros()).ok()
    };
    let rounds = (0..200).map(|_| Some(timed(&plan)? - timed(&without)?));
    let mut added = rounds.collect::<Option<Vec<i64>>>()?;
    added.sort_unstable();
    added.get(added.len() / 2).copied()
}

fn restored(run: &Run) -> usize {
    run.statuses.iter().filter(|status| matches!(status, Status::Restored { .. })).count()
}

fn a_repository_can_be_worked_in() {
    let place = Place::new("git");
    let Some(work) = repository(&place) else { return };
    let line = "set -e; echo two > file; git add file; git commit -qm two
        git branch side HEAD~1; git checkout -q side; echo x > other; git add .; git commit -qm x
        git rebase -q master || git rebase -q main; git tag t; git reset -q --hard HEAD~1
        echo three > file; git stash -q; git stash pop -q; git checkout -q -- file
        git worktree add -q tree t; cd tree; echo four > file; git commit -qam four; cd ..
        git worktree remove tree; git gc -q; git clean -qfd; git fsck --no-progress; echo worked";
    let run = Run::whole(&within(&work, Access::WorkspaceWrite, line));
    assert!(run.said().ends_with("worked"), "{}", run.said());
    assert_eq!(restored(&run), 0, "{}", run.said());
}

fn a_linked_worktree_can_be_worked_in() {
    let place = Place::new("git-linked");
    let Some(work) = repository(&place) else { return };
    let linked = place.path.join("linked");
    let line = format!("git worktree add -q {}", linked.display());
    assert_eq!(Run::whole(&within(&work, Access::Full, &line)).end(), Status::Exited(0));
    let line = "echo two > file; git add file && git commit -qm two && git stash list && echo done
        echo ../../../evil > ../work/.git/worktrees/linked/commondir; echo gitdir: /evil > .git";
    let own = work.join(".git/worktrees/linked");
    let mut plan = within(&linked, Access::WorkspaceWrite, line);
    let shared = ["objects", "refs", "logs"].map(|name| work.join(".git").join(name));
    plan.policy.writable_roots.extend(shared.into_iter().chain([own.clone()]));
    plan.policy.protected = vec![linked.join(".git"), own.join("commondir")];
    let before = [linked.join(".git"), own.join("commondir")].map(|path| fs::read(path).unwrap());
    let run = Run::whole(&plan);
    assert!(run.said().contains("done"), "{}", run.said());
    let after = [linked.join(".git"), own.join("commondir")].map(|path| fs::read(path).unwrap());
    assert_eq!(before, after, "{}", run.said());
}

fn what_git_puts_into_its_settings_is_put_back() {
    let place = Place::new("git-settings");
    let Some(work) = repository(&place) else { return };
    let config = work.join(".git/config");
    let before = fs::read(&config).unwrap();
    let line =
        "git config core.hooksPath /tmp; git remote add o /x; git config include.path /x; true";
    let run = Run::whole(&within(&work, Access::WorkspaceWrite, line));
    assert_eq!(fs::read(&config).unwrap(), before, "{}", run.said());
    if restored(&run) > 0 {
        let aside = fs::read_to_string(work.join(".git/config.undone")).unwrap();
        assert!(aside.contains("hooksPath"), "{aside}");
    }
}

fn a_command_that_is_killed_changes_no_hook() {
    let place = Place::new("git-killed");
    let Some(work) = repository(&place) else { return };
    let line = "while :; do echo x > .git/hooks/post-commit; mv .git/hooks .git/h; mkdir .git/hooks
        echo round; done";
    for ending in ["kill", "close"] {
        let mut run = Run::start(&within(&work, Access::WorkspaceWrite, line));
        run.until(|run| run.said().contains("round"));
        match ending {
            "kill" => run.control(b"K"),
            _ => {
                let (_, unused) = crate::stage::pipe();
                drop(std::mem::replace(&mut run.spawned.control, unused));
            }
        }
        run.finish();
        assert!(!work.join(".git/hooks/post-commit").exists());
        assert!(work.join(".git/hooks/pre-commit").exists());
    }
}

fn what_cannot_be_put_back_is_out_of_the_way() {
    let place = Place::new("git-full");
    let Some(work) = repository(&place) else { return };
    if crate::stage::apart() != windlass_sandbox::Apart::Nothing {
        return;
    }
    let settings = format!("[core]\n# {}\n", "x".repeat(10_000));
    fs::write(work.join(".git/config"), settings).unwrap();
    // Nothing of its size can be made again under this limit, which the launcher inherits.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the result.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    let tight = libc::rlimit { rlim_cur: 8192, rlim_max: limit.rlim_max };
    // SAFETY: `tight` outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const tight) };
    let run = Run::start(&within(&work, Access::WorkspaceWrite, "echo x > .git/config"));
    // SAFETY: `limit` outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    let run = run.finish();
    assert!(run.statuses.iter().any(|it| matches!(it, Status::Restored { is_whole: false, .. })));
    assert!(!work.join(".git/config").exists());
    assert_eq!(fs::read_to_string(work.join(".git/config.undone")).unwrap(), "x\n");
}
