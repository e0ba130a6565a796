//! What only the supervisor can judge: metadata beneath the roots and elsewhere.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use windlass_sandbox::{Access, Apart, Level, Missing, Plan, Status};

use crate::Case;
use crate::stage::{Place, Run, apart, check_end, check_said, part, plan, shell, with_roots};

pub(crate) const CASES: &[Case] = &[
    ("metadata_changes_within_the_roots_only", metadata_changes_within_the_roots_only),
    ("every_way_to_metadata_is_watched", every_way_to_metadata_is_watched),
    ("errors_of_metadata_are_the_kernels", errors_of_metadata_are_the_kernels),
    ("a_second_thread_changes_nothing_outside", a_second_thread_changes_nothing_outside),
    ("ordinary_tools_change_metadata", ordinary_tools_change_metadata),
    ("repositories_and_databases_work", repositories_and_databases_work),
    ("within_itself_metadata_stays", within_itself_metadata_stays),
];

/// Two directories with a file each; only the first is a root.
struct Ground {
    _place: Place,
    inside: PathBuf,
    outside: PathBuf,
}

impl Ground {
    fn new(name: &str) -> Ground {
        let place = Place::new(name);
        let (inside, outside) = (place.directory("inside"), place.directory("outside"));
        for directory in [&inside, &outside] {
            fs::write(directory.join("file"), "x").unwrap();
            let mode = fs::Permissions::from_mode(0o640);
            fs::set_permissions(directory.join("file"), mode).unwrap();
        }
        Ground { _place: place, inside, outside }
    }

    fn confine(&self, mut plan: Plan) -> Plan {
        plan.cwd = self.inside.clone();
        with_roots(plan, &[&self.inside])
    }

    fn shell(&self, line: &str) -> Plan {
        self.confine(shell(Access::WorkspaceWrite, line))
    }
}

/// Everything about a file that a command might change without writing to it.
fn looks(path: &Path) -> impl PartialEq + std::fmt::Debug + use<> {
    let found = fs::symlink_metadata(path).unwrap();
    let owner = (found.uid(), found.gid());
    (found.mode(), owner, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec())
}

fn metadata_changes_within_the_roots_only() {
    let ground = Ground::new("mediated");
    let target = ground.outside.join("file");
    symlink(&target, ground.inside.join("link")).unwrap();
    symlink(&ground.outside, ground.inside.join("way")).unwrap();
    let line = "
        chmod 751 file; touch -d @7 file
        chmod 777 link way/file ../outside/file ../outside
        touch -d @7 link way/file ../outside
        chmod 777 /proc/self/cwd/way/file; exec 3< link; chmod 777 /proc/self/fd/3 /dev/fd/3
        cd ../outside; chmod 777 file .; cd /; chmod 777 proc/self/cwd";
    let (file, directory) = (looks(&target), looks(&ground.outside));
    Run::whole(&ground.shell(line));
    let found = fs::metadata(ground.inside.join("file")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime()), (0o751, 7));
    assert_eq!(looks(&target), file);
    assert_eq!(looks(&ground.outside), directory);
    let mut open = ground.shell(line);
    open.policy.access = Access::Full;
    Run::whole(&open);
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o777);
}

fn every_way_to_metadata_is_watched() {
    for access in [Access::WorkspaceWrite, Access::ReadOnly, Access::Full] {
        let ground = Ground::new("ways");
        let inner = ground.inside.join("file");
        let outer = ground.outside.join("file");
        let before = (looks(&inner), looks(&outer));
        let said = |path: &Path| {
            let words = ["play-ways", path.to_str().unwrap()];
            let mut plan = ground.confine(part(access, &words));
            plan.policy.access = access;
            Run::whole(&plan).said()
        };
        let (within, beyond) = (said(&inner), said(&outer));
        // Read-only mounts refuse what can be done at all.
        let is_mounted_view = access == Access::WorkspaceWrite && apart() != Apart::Nothing;
        assert!(within.lines().count() >= 20 && beyond.lines().count() >= 20, "{within}");
        for (said, is_root) in [(&within, true), (&beyond, false)] {
            let is_allowed =
                access == Access::Full || (access == Access::WorkspaceWrite && is_root);
            for line in said.lines() {
                let (name, errno) = line.rsplit_once(' ').unwrap();
                let errno: i32 = errno.parse().unwrap();
                // File systems and kernels lack some of them.
                let lacks = [libc::EOPNOTSUPP, libc::ENOTTY, libc::ENOSYS, libc::EINVAL];
                let is_judged = if is_allowed {
                    errno == 0 || lacks.contains(&errno) || name.starts_with("flags")
                } else {
                    let is_mounted = apart() != Apart::Nothing && errno == libc::EROFS;
                    errno == libc::EPERM || is_mounted || lacks.contains(&errno) && is_mounted_view
                };
                assert!(is_judged, "{access:?} {is_root}: {line}");
            }
            let works = said.contains("fchmodat 0") && said.contains("utimensat 0");
            assert_eq!(works, is_allowed, "{access:?}: {said}");
        }
        let after = (looks(&inner), looks(&outer));
        assert_eq!(after.0 != before.0, access != Access::ReadOnly);
        assert_eq!(after.1 != before.1, access == Access::Full);
    }
}

fn errors_of_metadata_are_the_kernels() {
    let ground = Ground::new("errors");
    let words = ["play-errors", ground.inside.to_str().unwrap()];
    let confined = Run::whole(&ground.confine(part(Access::WorkspaceWrite, &words)));
    let mut open = ground.confine(part(Access::WorkspaceWrite, &words));
    open.policy.access = Access::Full;
    assert_eq!(confined.said(), Run::whole(&open).said());
}

fn a_second_thread_changes_nothing_outside() {
    let ground = Ground::new("race");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/commands/racer.c");
    let racer = ground.inside.join("racer");
    let mut compiler = Command::new("cc");
    compiler.args(["-pthread", "-O1", "-o"]).arg(&racer).arg(source);
    assert!(compiler.status().unwrap().success());
    let (inner, outer) = (ground.inside.join("file"), ground.outside.join("file"));
    for what in ["paths", "links", "descriptors"] {
        let words = ["racer", what, inner.to_str().unwrap(), outer.to_str().unwrap(), "5000"];
        let confined = plan(Access::WorkspaceWrite, racer.to_str().unwrap(), &words);
        let before = looks(&outer);
        // Where processors are busy, the second thread may come too late.
        let has_raced = (0..100).any(|_| {
            let run = check_end(&ground.confine(confined.clone()), Status::Exited(0));
            let said = run.said();
            assert_eq!(looks(&outer), before, "{what}: {said}");
            !said.contains("done 0 ") && !said.ends_with("refused 0")
        });
        assert!(has_raced, "{what}");
        let mut open = ground.confine(confined);
        open.policy.access = Access::Full;
        let is_changed = (0..100).any(|_| {
            Run::whole(&open);
            looks(&outer) != before
        });
        assert!(is_changed, "{what}");
        fs::set_permissions(&outer, fs::Permissions::from_mode(0o640)).unwrap();
    }
}

fn ordinary_tools_change_metadata() {
    let ground = Ground::new("tools");
    let line = "
        set -e
        printf '#!/bin/sh\\necho ran\\n' > script; chmod +x script; ./script
        mkdir -p tree/a/b; install -m 750 file tree/a/b/file; ln -s b tree/a/link
        tar -cf tree.tar tree; mkdir out; tar -xpf tree.tar -C out; cp -a tree copy
        touch -r file copy/a/b/file; mv file moved; stat -c %a out/tree/a/b/file copy/a/b/file
        mkfifo fifo; chmod 600 fifo; (umask 077; mktemp -p . > /dev/null); rm -r out copy";
    let run = Run::whole(&ground.shell(line));
    assert_eq!(run.said(), "ran\n750\n750");
    assert_eq!(run.end(), Status::Exited(0));
    let Status::Confined { level, missing } = run.statuses[0] else { panic!() };
    let reduced = [Missing::METADATA, Missing::SUPERVISOR];
    assert!(level == Level::Reduced || !reduced.iter().any(|bit| missing.contains(*bit)));
}

fn repositories_and_databases_work() {
    let ground = Ground::new("repository");
    let line = r#"
        exec 2>&1; set -e; export HOME=$PWD GIT_CONFIG_NOSYSTEM=1
        if git --version > /dev/null; then
            git init -q main; cd main
            git config user.name n; git config user.email e@x; git config commit.gpgsign false
            echo x > file; git add file; git commit -qm first
            git branch side; git worktree add -q ../linked side
            cd ../linked; echo y > other; chmod +x other; git add other; git commit -qm second
            git stash list; git gc -q; git fsck --no-progress; cd ..
        fi
        if sqlite3 --version > /dev/null; then
            sqlite3 base 'PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1);'
        else
            echo wal
        fi"#;
    let run = check_said(&ground.shell(line), "wal");
    assert_eq!(run.end(), Status::Exited(0));
}

/// The outer supervisor's listener is the only one; within, the calls are refused.
fn within_itself_metadata_stays() {
    let ground = Ground::new("within");
    let words = ["play-within", ground.inside.to_str().unwrap()];
    let expected = "touch chmod\nReduced true";
    let before = looks(&ground.inside.join("file"));
    check_said(&ground.confine(part(Access::WorkspaceWrite, &words)), expected);
    assert_eq!(looks(&ground.inside.join("file")), before);
}

/// Runs a command of its own, as an agent within the sandbox.
pub(crate) fn play_within(directory: &str) {
    let line = "touch -d @7 file 2> /dev/null || printf 'touch '
                chmod 777 file 2> /dev/null || echo chmod";
    let mut plan = with_roots(shell(Access::WorkspaceWrite, line), &[Path::new(directory)]);
    plan.cwd = PathBuf::from(directory);
    let run = Run::whole(&plan);
    let Status::Confined { level, missing } = run.statuses[0] else { panic!() };
    println!("{}\n{level:?} {}", run.said(), missing.contains(Missing::SUPERVISOR));
}

/// Tries every way to change the metadata of a file, and prints the errno of each.
pub(crate) fn play_ways(path: &str) {
    use std::os::fd::AsRawFd;
    let file = fs::File::open(path).unwrap();
    let name = std::ffi::CString::new(path).unwrap();
    let (fd, name) = (i64::from(file.as_raw_fd()), name.as_ptr() as i64);
    let cwd = i64::from(libc::AT_FDCWD);
    let same = i64::from(u32::MAX);
    let (key, value) = (c"user.windlass".as_ptr() as i64, c"x".as_ptr() as i64);
    let times = [1_i64, 0, 2, 0];
    let times = times.as_ptr() as i64;
    let args = [value.cast_unsigned(), 1];
    let args = args.as_ptr() as i64;
    let zeros = [0_u64; 16];
    let zeros = zeros.as_ptr() as i64;
    let empty = (c"".as_ptr() as i64, i64::from(libc::AT_EMPTY_PATH));
    #[cfg(target_arch = "x86_64")]
    {
        tell("chmod", libc::SYS_chmod, [name, 0o600, 0, 0, 0, 0]);
        tell("chown", libc::SYS_chown, [name, same, same, 0, 0, 0]);
        tell("lchown", libc::SYS_lchown, [name, same, same, 0, 0, 0]);
        tell("utime", libc::SYS_utime, [name, times, 0, 0, 0, 0]);
        tell("utimes", libc::SYS_utimes, [name, times, 0, 0, 0, 0]);
        tell("futimesat", libc::SYS_futimesat, [cwd, name, times, 0, 0, 0]);
        tell("futimesat fd", libc::SYS_futimesat, [fd, 0, 0, 0, 0, 0]);
    }
    tell("fchmod", libc::SYS_fchmod, [fd, 0o601, 0, 0, 0, 0]);
    tell("fchmodat", libc::SYS_fchmodat, [cwd, name, 0o602, 0, 0, 0]);
    tell("fchmodat2", 452, [cwd, name, 0o603, 0, 0, 0]);
    tell("fchmodat2 fd", 452, [fd, empty.0, 0o604, empty.1, 0, 0]);
    tell("fchown", libc::SYS_fchown, [fd, same, same, 0, 0, 0]);
    tell("fchownat", libc::SYS_fchownat, [cwd, name, same, same, 0, 0]);
    tell("fchownat fd", libc::SYS_fchownat, [fd, empty.0, same, same, empty.1, 0]);
    tell("utimensat", libc::SYS_utimensat, [cwd, name, times, 0, 0, 0]);
    tell("utimensat now", libc::SYS_utimensat, [cwd, name, 0, 0, 0, 0]);
    tell("utimensat fd", libc::SYS_utimensat, [fd, 0, times, 0, 0, 0]);
    tell("setxattr", libc::SYS_setxattr, [name, key, value, 1, 0, 0]);
    tell("lsetxattr", libc::SYS_lsetxattr, [name, key, value, 1, 0, 0]);
    tell("fsetxattr", libc::SYS_fsetxattr, [fd, key, value, 1, 0, 0]);
    tell("removexattr", libc::SYS_removexattr, [name, key, 0, 0, 0, 0]);
    tell("setxattrat", 463, [cwd, name, 0, key, args, 16]);
    tell("lremovexattr", libc::SYS_lremovexattr, [name, key, 0, 0, 0, 0]);
    tell("setxattr again", libc::SYS_setxattr, [name, key, value, 1, 0, 0]);
    tell("fremovexattr", libc::SYS_fremovexattr, [fd, key, 0, 0, 0, 0]);
    tell("setxattr last", libc::SYS_setxattr, [name, key, value, 1, 0, 0]);
    tell("removexattrat", 466, [cwd, name, 0, key, 0, 0]);
    tell("flags file_setattr", 469, [cwd, name, zeros, 24, 0, 0]);
    for request in [0x4008_6602, 0x4004_6602, 0x401c_5820, 0x4008_7602, 0x4004_7211] {
        tell(&format!("flags {request:x}"), libc::SYS_ioctl, [fd, request, zeros, 0, 0, 0]);
        let wide = request | 0x1_0000_0000;
        tell(&format!("flags {wide:x}"), libc::SYS_ioctl, [fd, wide, zeros, 0, 0, 0]);
    }
}

/// Calls that the kernel refuses for their arguments, below a directory with a file.
pub(crate) fn play_errors(directory: &str) {
    let at = |name: &str| std::ffi::CString::new(format!("{directory}/{name}")).unwrap();
    let (file, none, below) = (at("file"), at("none"), at("file/below"));
    let long = std::ffi::CString::new("x".repeat(5000)).unwrap();
    symlink("round", format!("{directory}/round")).unwrap_or_default();
    let round = at("round");
    let cwd = i64::from(libc::AT_FDCWD);
    let times = [0_i64, 1_000_000_000, 0, 0];
    for (name, path) in [("none", &none), ("below", &below), ("long", &long), ("round", &round)] {
        tell(name, libc::SYS_fchmodat, [cwd, path.as_ptr() as i64, 0o600, 0, 0, 0]);
    }
    let path = file.as_ptr() as i64;
    tell("closed", libc::SYS_fchmod, [12_345, 0o600, 0, 0, 0, 0]);
    tell("closed directory", libc::SYS_fchmodat, [12_345, c"x".as_ptr() as i64, 0, 0, 0, 0]);
    tell("no path", libc::SYS_fchmodat, [cwd, 0, 0o600, 0, 0, 0]);
    tell("wild path", libc::SYS_fchmodat, [cwd, 4096, 0o600, 0, 0, 0]);
    tell("empty", libc::SYS_fchmodat, [cwd, c"".as_ptr() as i64, 0o600, 0, 0, 0]);
    tell("flags", 452, [cwd, path, 0o600, 1, 0, 0]);
    tell("times", libc::SYS_utimensat, [cwd, path, times.as_ptr() as i64, 0, 0, 0]);
    tell("no times", libc::SYS_utimensat, [cwd, 0, 0, 0, 0, 0]);
    let (key, long) = (c"user.x".as_ptr() as i64, long.as_ptr() as i64);
    tell("no attribute", libc::SYS_removexattr, [path, c"user.none".as_ptr() as i64, 0, 0, 0, 0]);
    tell("long name", libc::SYS_removexattr, [path, long, 0, 0, 0, 0]);
    tell("large value", libc::SYS_setxattr, [path, key, long, 65_537, 0, 0]);
}

/// What one change of permissions takes, confined or not.
pub(crate) fn measure(access: Access) -> String {
    let ground = Ground::new("measure");
    let mut plan = ground.confine(part(access, &["play-chmods"]));
    plan.policy.access = access;
    Run::whole(&plan).said()
}

/// Prints the best mean of some rounds.
pub(crate) fn play_chmods() {
    const CALLS: u32 = 2000;
    let mode = fs::Permissions::from_mode(0o644);
    let round = |_| {
        let began = Instant::now();
        (0..CALLS).for_each(|_| fs::set_permissions("file", mode.clone()).unwrap());
        began.elapsed().as_nanos() / u128::from(CALLS)
    };
    println!("{} ns", (0..10).map(round).min().unwrap());
}

/// Calls and prints the errno.
fn tell(name: &str, number: i64, arguments: [i64; 6]) {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: pointers among the arguments are valid, null, or wrong on purpose, and the kernel
    // alone looks at them.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    let error = std::io::Error::last_os_error();
    println!("{name} {}", if result < 0 { error.raw_os_error().unwrap() } else { 0 });
}
