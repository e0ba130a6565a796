//! A command gets exactly what was planned, and what became of it arrives.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;

use windlass_sandbox::{Access, Apart, Level, Stage, Status, StatusDecoder, Stdio, spawn};

use crate::Case;
use crate::stage::{
    ACCESSES, Place, Run, apart, check_end, check_said, exe, open_terminal, part, pipe, plan,
    shell, with_roots,
};

pub(crate) const CASES: &[Case] = &[
    ("exit_codes_and_signals_arrive", exit_codes_and_signals_arrive),
    ("what_was_not_run_is_never_an_exit_code", what_was_not_run_is_never_an_exit_code),
    ("a_program_is_found_by_its_own_path", a_program_is_found_by_its_own_path),
    ("arguments_arrive_byte_for_byte", arguments_arrive_byte_for_byte),
    ("the_environment_is_exact", the_environment_is_exact),
    ("no_descriptor_is_inherited", no_descriptor_is_inherited),
    ("signals_and_limits_are_reset", signals_and_limits_are_reset),
    ("stdin_and_much_output_pass", stdin_and_much_output_pass),
    ("a_terminal_controls_and_hangs_up", a_terminal_controls_and_hangs_up),
    ("the_sandbox_works_within_itself", the_sandbox_works_within_itself),
    ("ordinary_programs_work", ordinary_programs_work),
    ("threads_start_on_chosen_processors", threads_start_on_chosen_processors),
    ("temporary_files_work_beside_what_is_closed", temporary_files_work_beside_what_is_closed),
    ("a_foreign_plan_is_refused", a_foreign_plan_is_refused),
    ("the_launcher_refuses_strangers", the_launcher_refuses_strangers),
];

fn exit_codes_and_signals_arrive() {
    for access in ACCESSES {
        for code in [0, 3, 125, 255] {
            check_end(&shell(access, &format!("exit {code}")), Status::Exited(code));
        }
        check_end(&shell(access, "kill -9 $$"), Status::Signalled(9));
        check_end(&shell(access, "kill -SEGV $$"), Status::Signalled(11));
        let run = Run::whole(&shell(access, "true"));
        let Status::Confined { level, missing } = run.statuses[0] else { panic!() };
        assert_eq!(level == Level::Open, access == Access::Full);
        let may_be_whole = access == Access::Full || apart() == Apart::Whole;
        assert!(!missing.is_empty() || may_be_whole, "{missing}");
        assert!(missing.is_empty() || access != Access::Full);
        assert_eq!(run.left_over(), (0, 0));
    }
}

fn what_was_not_run_is_never_an_exit_code() {
    let refused = |stage, errno| Status::Refused { stage, errno };
    let place = Place::new("refused");
    let closed = place.path.join("closed");
    fs::write(&closed, "#!/bin/sh\n").unwrap();
    for access in ACCESSES {
        let missing = plan(access, "no-such-program", &["x"]);
        let run = check_end(&missing, refused(Stage::Exec, libc::ENOENT));
        assert!(matches!(run.statuses.last(), Some(Status::Refused { .. })));
        let closed = plan(access, closed.to_str().unwrap(), &["x"]);
        check_end(&closed, refused(Stage::Exec, libc::EACCES));
        let mut nowhere = shell(access, "true");
        nowhere.cwd = PathBuf::from("/no/such/directory");
        check_end(&nowhere, refused(Stage::Directory, libc::ENOENT));
        let mut no_terminal = shell(access, "true");
        no_terminal.pty = true;
        check_end(&no_terminal, refused(Stage::Terminal, libc::ENOTTY));
        let long = "x".repeat(200_000);
        check_end(&plan(access, "true", &["true", &long]), refused(Stage::Exec, libc::E2BIG));
    }
}

fn a_program_is_found_by_its_own_path() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("path");
    let script = place.path.join("only-here");
    fs::write(&script, "echo \"found with $1\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut by_path = plan(Access::ReadOnly, "only-here", &["only-here", "words"]);
    by_path.env[0].1 = format!("/nowhere:{}:/bin", place.path.display()).into_bytes();
    check_said(&by_path, "found with words");
    let mut by_directory = plan(Access::ReadOnly, "./only-here", &["only-here", "more"]);
    by_directory.cwd = place.path.clone();
    check_said(&by_directory, "found with more");
    check_said(&plan(Access::ReadOnly, "sh", &["another-name", "-c", "echo $0"]), "another-name");
}

fn arguments_arrive_byte_for_byte() {
    let long = "ä".repeat(60_000);
    let words = ["play-argv", "", " ", "a\nb", "$HOME *", &long];
    let mut with_bytes = part(Access::ReadOnly, &words);
    with_bytes.argv.push(vec![0xff, 0xfe]);
    let expected = format!("{:?}", &words[1..]);
    let expected = format!("{}, \"\\xFF\\xFE\"]", expected.trim_end_matches(']'));
    check_said(&with_bytes, &expected);
}

fn the_environment_is_exact() {
    let mut exact = part(Access::WorkspaceWrite, &["play-env"]);
    exact.env = vec![
        (b"EMPTY".to_vec(), Vec::new()),
        (b"WITH".to_vec(), b"a=b c".to_vec()),
        (b"LD_PRELOAD_NOT".to_vec(), vec![b'x'; 3]),
    ];
    let run = check_said(
        &exact,
        concat!("(\"EMPTY\", \"\")\n", "(\"WITH\", \"a=b c\")\n", "(\"LD_PRELOAD_NOT\", \"xxx\")"),
    );
    drop(run);
    let run = Run::start(&shell(Access::Full, "read line"));
    let environ = fs::read(format!("/proc/{}/environ", run.spawned.pid));
    // Empty, or closed to us since the supervisor cannot be inspected.
    assert!(environ.is_err() || environ.is_ok_and(|bytes| bytes.is_empty()));
    run.finish();
}

fn no_descriptor_is_inherited() {
    let leaks: Vec<File> = (0..40).map(|_| File::open("/").unwrap()).collect();
    for leak in &leaks {
        // SAFETY: F_SETFD takes an integer.
        unsafe { libc::fcntl(leak.as_raw_fd(), libc::F_SETFD, 0) };
    }
    for access in ACCESSES {
        check_said(&part(access, &["play-fds"]), "[0, 1, 2]");
    }
}

fn signals_and_limits_are_reset() {
    let mut plan = shell(
        Access::WorkspaceWrite,
        "grep -E '^(SigBlk|SigIgn)' /proc/self/status; ulimit -Sn; ulimit -c",
    );
    plan.nofile = Some(123);
    // SAFETY: SIG_IGN needs no handler.
    let before = unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
    check_said(&plan, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n123\n0");
    // SAFETY: this restores what was there before.
    unsafe { libc::signal(libc::SIGUSR1, before) };
    check_said(&shell(Access::ReadOnly, "yes 2>&1 | head -n 1"), "y");
}

fn stdin_and_much_output_pass() {
    let (output, stdout) = pipe();
    let (input, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"words on stdin\n").unwrap();
    drop(writer);
    let stderr = File::options().write(true).open("/dev/null").unwrap().into();
    let plan = shell(Access::ReadOnly, "cat; head -c 20000000 /dev/zero");
    let stdio = Stdio { stdin: Some(input.into()), stdout, stderr };
    let run = Run::of(spawn(exe(), &plan, stdio).unwrap(), Some(output)).finish();
    assert!(run.text.starts_with(b"words on stdin\n"));
    assert_eq!(run.text.len(), 20_000_015);
}

fn a_terminal_controls_and_hangs_up() {
    for access in ACCESSES {
        let (master, slave) = open_terminal();
        // Programs open it by the name that they find for it, and then set its modes.
        let line = "tty; ps -o tty= -p $$; echo to-tty > /dev/tty; : < /dev/stdin && echo anew
            echo to-name > $(tty); stty -F $(tty) -echo && echo quiet
            setsid sleep 9 & exit 4";
        let mut plan = shell(access, line);
        plan.pty = true;
        let stdio = Stdio {
            stdin: Some(slave.try_clone().unwrap()),
            stdout: slave.try_clone().unwrap(),
            stderr: slave,
        };
        // The end of the run needs the master to say `EIO`: nobody holds the slave any more.
        let run = Run::of(spawn(exe(), &plan, stdio).unwrap(), Some(master)).finish();
        let said = run.said();
        // Among terminals of its own, the one it was given has another name.
        let is_shared = access == Access::Full || apart() == Apart::Nothing;
        let name = if is_shared { "/dev/pts/" } else { "/dev/console" };
        assert!(said.starts_with(name), "{said}");
        for word in ["to-tty", "anew", "to-name", "quiet"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert_eq!(run.end(), Status::Exited(4));
    }
}

fn the_sandbox_works_within_itself() {
    for access in ACCESSES {
        let outer = part(access, &["play-nested"]);
        check_said(&outer, "within Exited(5)");
    }
}

/// What broke under other sandboxes; programs that are not installed prove nothing.
fn ordinary_programs_work() {
    let python = "import asyncio, multiprocessing as m, socket, threading
async def child():
    c = await asyncio.create_subprocess_exec('true'); return await c.wait()
if __name__ == '__main__':
    m.Lock(); print(m.Pool(2).map(abs, [-1, 2]), m.Manager().list([3])[0])
    print(asyncio.run(child()))
    t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()";
    let node = "const r = require('child_process').spawnSync('echo', ['child']);
        console.log(String(r.stdout).trim(), require('os').networkInterfaces() != null)";
    let git =
        "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m m &&
        git log --oneline | wc -l";
    let sqlite = "sqlite3 db 'PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(7);
        SELECT a FROM t'";
    let c = "printf 'int main(){return 0;}' > a.c && cc a.c -o a && ./a && echo built";
    let python_line = format!("exec python3 -c \"{python}\"");
    let node_line = format!("exec node -e \"{node}\"");
    for (program, line, expected) in [
        ("python3", python_line.as_str(), "[1, 2] 3\n0\nthread"),
        ("node", node_line.as_str(), "child true"),
        ("git", git, "1"),
        ("sqlite3", sqlite, "wal\n7"),
        ("cc", c, "built"),
        ("mkfifo", "mkfifo f; (echo through > f &); cat f", "through"),
        ("flock", "flock lock echo locked", "locked"),
    ] {
        if Run::whole(&shell(Access::Full, &format!("{program} --version"))).end()
            != Status::Exited(0)
        {
            continue;
        }
        let place = Place::new("ordinary");
        let tmp = std::env::temp_dir().canonicalize().unwrap();
        let mut plan = with_roots(shell(Access::WorkspaceWrite, line), &[&place.path, &tmp]);
        plan.cwd = place.path.clone();
        plan.env.push((b"HOME".to_vec(), place.path.as_os_str().as_encoded_bytes().to_vec()));
        check_said(&plan, expected);
    }
}

/// As OpenMP starts them, which ends the program where it cannot.
fn threads_start_on_chosen_processors() {
    let place = Place::new("processors");
    let source = "#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
static void *run(void *nothing) { return nothing; }
int main(void) {
    static union { cpu_set_t set; char bytes[4096]; } more;
    cpu_set_t set; pthread_attr_t how; pthread_t thread;
    sched_getaffinity(0, sizeof set, &set);
    more.set = set;
    pthread_attr_init(&how);
    pthread_attr_setaffinity_np(&how, sizeof more, &more.set);
    int started = pthread_create(&thread, &how, run, 0);
    if (!started) pthread_join(thread, 0);
    CPU_ZERO(&set);
    int none = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    printf(\"%d %d\\n\", started, none);
}";
    fs::write(place.path.join("it.c"), source).unwrap();
    let program = place.path.join("it");
    let mut compiler = Command::new("cc");
    compiler.args(["-pthread", "-o"]).arg(&program).arg(place.path.join("it.c"));
    assert!(compiler.status().unwrap().success());
    let program = program.to_str().unwrap();
    for access in ACCESSES {
        check_said(&plan(access, program, &["it"]), &format!("0 {}", libc::EINVAL));
    }
}

/// As when the agent's own directory is in `/tmp`, which can then take no new names by itself.
fn temporary_files_work_beside_what_is_closed() {
    let place = Place::new("temporary");
    let home = place.directory("home");
    fs::write(home.join("auth.json"), "secret").unwrap();
    let of = |access, line: &str| {
        let mut plan = with_roots(shell(access, line), &[&place.path]);
        plan.env.push((b"TMPDIR".to_vec(), place.path.as_os_str().as_encoded_bytes().to_vec()));
        plan.policy.unreadable = vec![home.join("auth.json")];
        plan.policy.sealed = vec![home.clone()];
        plan
    };
    let names = || fs::read_dir(&place.path).unwrap().count();
    let line = format!(
        "file=$(mktemp) && echo made > $file && mv $file $TMPDIR/other && cat $TMPDIR/other
        rm $TMPDIR/other; cd {}; exec 2> /dev/null; cat auth.json; (echo x > new); exit 3",
        home.display()
    );
    let run = check_said(&of(Access::WorkspaceWrite, &line), "made");
    assert_eq!((run.end(), names()), (Status::Exited(3), 1));
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
    // Nothing stays of it when nothing was run, and nobody else is told of another place.
    let mut missing = of(Access::WorkspaceWrite, "");
    missing.program = b"no-such-program".to_vec();
    check_end(&missing, Status::Refused { stage: Stage::Exec, errno: libc::ENOENT });
    let told = place.path.to_str().unwrap();
    check_said(&of(Access::ReadOnly, "echo $TMPDIR"), told);
    let mut open = of(Access::WorkspaceWrite, "echo $TMPDIR");
    open.policy.unreadable.clear();
    open.policy.sealed.clear();
    check_said(&open, told);
    assert_eq!(names(), 1);
    // What the command leaves there is found by the next.
    let left =
        Run::whole(&of(Access::WorkspaceWrite, "file=$(mktemp) && echo left > $file; echo $file"));
    check_said(&of(Access::WorkspaceWrite, &format!("cat {}", left.said())), "left");
}

fn a_foreign_plan_is_refused() {
    let place = Place::new("foreign");
    let launcher = place.path.join("windlass-linux-sandbox");
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &launcher).unwrap();
    for plan in [&b""[..], b"garbage", b"WLSP\x63\0\0\0\x0c\0\0\0"] {
        fs::write(place.path.join("plan"), plan).unwrap();
        let line = "exec ./windlass-linux-sandbox 3<plan 4>status 5</dev/null";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).current_dir(&place.path);
        assert_eq!(command.status().unwrap().code(), Some(125));
        let mut decoder = StatusDecoder::default();
        decoder.push(&fs::read(place.path.join("status")).unwrap());
        let refused = Status::Refused { stage: Stage::Plan, errno: libc::EINVAL };
        assert_eq!(decoder.pull(), Some(Ok(refused)));
        assert_eq!(decoder.pull(), None);
    }
}

fn the_launcher_refuses_strangers() {
    use std::os::unix::process::CommandExt;
    let output =
        Command::new(exe()).arg0("windlass-linux-sandbox").args(["--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("started by windlass only"));
}
