//! What namespaces of its own keep from a command, and what they let it have.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use windlass_sandbox::{Access, Apart, Level, Missing, Plan, Status, Stdio, spawn};

use crate::Case;
use crate::stage::{Place, Run, apart, check_said, exe, marker, part, shell, with_roots};

pub(crate) const CASES: &[Case] = &[
    ("control_files_stay_as_they_are", control_files_stay_as_they_are),
    ("another_name_changes_no_control_file", another_name_changes_no_control_file),
    ("what_cannot_be_held_is_named", what_cannot_be_held_is_named),
    ("a_sealed_directory_shows_no_secret", a_sealed_directory_shows_no_secret),
    ("beside_hidden_paths_new_ones_can_be_made", beside_hidden_paths_new_ones_can_be_made),
    ("metadata_outside_of_the_roots_stays", metadata_outside_of_the_roots_stays),
    ("what_is_handed_to_it_stays_as_it_is", what_is_handed_to_it_stays_as_it_is),
    ("own_servers_answer_without_network", own_servers_answer_without_network),
    ("processes_of_others_are_not_seen", processes_of_others_are_not_seen),
    ("threads_may_choose_their_processors", threads_may_choose_their_processors),
    ("terminals_are_its_own", terminals_are_its_own),
    ("nothing_is_left_in_the_file_system", nothing_is_left_in_the_file_system),
    ("what_is_refused_is_found_out_by_trying", what_is_refused_is_found_out_by_trying),
];

fn is_shared() -> bool {
    apart() == Apart::Nothing
}

/// A repository with a hook, settings and an object, and a plan that protects the first two.
fn repository(place: &Place, line: &str) -> (PathBuf, Plan) {
    let work = place.directory("work");
    for path in ["work/.git", "work/.git/hooks", "work/.git/objects", "work/.codex"] {
        place.directory(path);
    }
    for path in [".git/hooks/pre-commit", ".git/config", ".git/index", ".codex/config.toml"] {
        fs::write(work.join(path), "before").unwrap();
    }
    let mut plan = with_roots(shell(Access::WorkspaceWrite, line), &[&work]);
    plan.cwd.clone_from(&work);
    let names = [".git/hooks", ".git/config", ".codex"];
    plan.policy.protected = names.iter().map(|name| work.join(name)).collect();
    (work, plan)
}

fn control_files_stay_as_they_are() {
    let line = "echo x > .git/hooks/pre-commit; echo x > .git/hooks/new; rm -rf .git/hooks
        echo x > .git/config; echo x > c; mv c .git/config; rm -f .git/config; chmod 777 .git/hooks
        mv .git/hooks .git/other; mv .git away; mv .codex away; rm -rf .codex; ln -sfn / .codex
        echo x > .codex/config.toml; echo after > .git/index; echo after > .git/objects/new
        echo after > .git/index.lock && mv .git/index.lock .git/index && echo committed";
    let place = Place::new("control");
    let (work, plan) = repository(&place, line);
    let run = Run::whole(&plan);
    assert!(run.said().ends_with("committed") || is_shared(), "{}", run.said());
    let kept = [".git/hooks/pre-commit", ".git/config", ".codex/config.toml"];
    let is_kept = |path: &&str| fs::read_to_string(work.join(path)).is_ok_and(|it| it == "before");
    assert!(kept.iter().all(is_kept), "{}", run.said());
    assert_eq!(fs::read_dir(work.join(".git/hooks")).unwrap().count(), 1);
    let restored = |status: &&Status| matches!(status, Status::Restored { is_whole: true, .. });
    let count = run.statuses.iter().filter(restored).count();
    assert_eq!(count, if is_shared() { plan.policy.protected.len() } else { 0 });
    if !is_shared() {
        assert_eq!(fs::read_to_string(work.join(".git/objects/new")).unwrap(), "after\n");
        let mode = fs::metadata(work.join(".git/hooks")).unwrap().permissions().mode();
        assert_ne!(mode & 0o777, 0o777);
        let Status::Confined { level, missing } = run.statuses[0] else { panic!() };
        assert_eq!(level, Level::Full);
        assert!(!missing.contains(Missing::CONTROL_FILES));
    }
}

/// One that was made before anything was held.
fn another_name_changes_no_control_file() {
    let place = Place::new("named");
    let (work, plan) = repository(&place, "echo x > other; echo tried");
    fs::hard_link(work.join(".git/config"), work.join("other")).unwrap();
    let run = Run::whole(&plan);
    assert!(run.said().ends_with("tried"), "{}", run.said());
    assert_eq!(fs::read_to_string(work.join(".git/config")).unwrap(), "before");
}

fn what_cannot_be_held_is_named() {
    let place = Place::new("unheld");
    let (work, mut plan) = repository(&place, "true");
    let missing = |plan: &Plan| {
        let run = Run::whole(plan);
        let Status::Confined { missing, .. } = run.statuses[0] else {
            panic!("{:?}", run.statuses)
        };
        missing
    };
    assert_eq!(missing(&plan).contains(Missing::UNCHANGED_FILES), is_shared());
    plan.policy.protected.push(work.join(".windlass"));
    let found = missing(&plan);
    assert!(found.contains(Missing::UNCHANGED_FILES));
    assert!(!found.contains(Missing::CONTROL_FILES));
    // A pipe has no content to be put back.
    assert!(
        std::process::Command::new("mkfifo")
            .arg(work.join(".windlass"))
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(missing(&plan).contains(Missing::CONTROL_FILES), is_shared());
}

fn a_sealed_directory_shows_no_secret() {
    let place = Place::new("sealed");
    let work = place.directory("work");
    let home = place.directory("work/home");
    for path in ["auth.json", "config.toml"] {
        fs::write(home.join(path), path).unwrap();
    }
    place.directory("work/home/bin");
    fs::write(home.join("bin/tool"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(home.join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("config.toml", home.join("link")).unwrap();
    let line = "cat home/auth.json home/link; home/bin/tool; echo x > home/config.toml
        echo x > home/new; rm home/link; mv home/bin/tool .; mv home elsewhere; echo x > top; wait";
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        let mut plan = with_roots(shell(access, line), &[&work]);
        plan.cwd.clone_from(&work);
        plan.policy.unreadable = vec![home.join("auth.json")];
        plan.policy.sealed = vec![home.clone()];
        let said = Run::whole(&plan).said();
        assert!(said.contains("config.toml") && said.contains("ran\n"), "{said}");
        assert!(!said.contains("auth.json\n") && !said.contains("auth.jsonconfig"), "{said}");
        for path in ["auth.json", "config.toml"] {
            assert_eq!(fs::read_to_string(home.join(path)).unwrap(), path, "{said}");
        }
        assert!(home.join("link").is_symlink() && home.join("bin/tool").exists(), "{said}");
        assert!(!home.join("new").exists());
        let is_made = access == Access::WorkspaceWrite && !is_shared();
        assert_eq!(work.join("top").exists(), is_made, "{said}");
    }
}

fn beside_hidden_paths_new_ones_can_be_made() {
    let place = Place::new("beside");
    let secret = place.path.join("secret");
    fs::write(&secret, "secret").unwrap();
    let line = "cat secret; cp secret copy; mv secret moved; ln secret link; chmod 777 secret
        echo x > secret; rm -f secret; echo made > new; mv new newer; cat newer";
    let mut plan = with_roots(shell(Access::WorkspaceWrite, line), &[&place.path]);
    plan.cwd.clone_from(&place.path);
    plan.policy.unreadable = vec![secret.clone()];
    let said = Run::whole(&plan).said();
    assert!(!said.lines().any(|line| line.starts_with("secret")), "{said}");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(said.ends_with("made"), !is_shared(), "{said}");
}

fn metadata_outside_of_the_roots_stays() {
    let place = Place::new("attributes");
    let (inside, outside) = (place.directory("inside"), place.directory("outside"));
    for directory in [&inside, &outside] {
        fs::write(directory.join("file"), "").unwrap();
    }
    let line = format!(
        "chmod 751 {0}/file && echo changed; chmod 751 {1}/file; touch -d @1 {1}/file {1}",
        inside.display(),
        outside.display(),
    );
    let plan = with_roots(shell(Access::WorkspaceWrite, &line), &[&inside]);
    let said = Run::whole(&plan).said();
    let mode = |path: &Path| fs::metadata(path.join("file")).unwrap().permissions().mode() & 0o777;
    if !is_shared() {
        assert!(said.contains("changed"), "{said}");
        assert_eq!(mode(&inside), 0o751);
        assert_ne!(mode(&outside), 0o751, "{said}");
    }
}

/// A descriptor leads past the mounts to what it was opened on.
fn what_is_handed_to_it_stays_as_it_is() {
    let place = Place::new("handed");
    let (inside, outside) = (place.directory("inside"), place.directory("outside"));
    let pipe = outside.join("pipe");
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status();
    assert!(made.unwrap().success());
    let line = "chmod 777 /proc/self/fd/0; touch -d @1 /proc/self/fd/0; echo tried";
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        let handed = fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let changed = |pipe: &Path| {
            let found = fs::metadata(pipe).unwrap();
            (found.permissions().mode(), found.modified().unwrap())
        };
        let before = changed(&pipe);
        let (output, stdout) = std::io::pipe().unwrap();
        let stderr = stdout.try_clone().unwrap().into();
        let stdio = Stdio { stdin: Some(handed.into()), stdout: stdout.into(), stderr };
        let plan = with_roots(shell(access, line), &[&inside]);
        let run = Run::of(spawn(exe(), &plan, stdio).unwrap(), Some(output.into())).finish();
        assert!(run.said().ends_with("tried"), "{}", run.said());
        assert_eq!(changed(&pipe), before);
    }
}

fn own_servers_answer_without_network() {
    if is_shared()
        || Run::whole(&shell(Access::Full, "python3 --version")).end() != Status::Exited(0)
    {
        return;
    }
    let python = "import socket
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
server.accept()[0].send(b'answered')
print(client.recv(8).decode())
try: socket.create_connection(('192.0.2.1', 80), 1)
except OSError as error: print(error.errno)";
    let line = format!("exec python3 -c \"{python}\"");
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        check_said(&shell(access, &line), &format!("answered\n{}", libc::ENETUNREACH));
    }
}

fn processes_of_others_are_not_seen() {
    let marker = marker(9100);
    let mut other = std::process::Command::new("sleep").arg(&marker).spawn().unwrap();
    let line = format!("cat /proc/*/cmdline | tr '\\0' ' ' | grep -c 'slee[p] {marker}'; echo $$");
    let said = Run::whole(&shell(Access::WorkspaceWrite, &line)).said();
    other.kill().unwrap();
    other.wait().unwrap();
    let is_seen = !said.starts_with("0\n");
    assert_eq!(is_seen, apart() != Apart::Whole, "{said}");
    assert_eq!(said.ends_with("\n2"), apart() == Apart::Whole, "{said}");
}

fn threads_may_choose_their_processors() {
    let line = "sleep 9 & taskset -p 1 $! > /dev/null 2>&1; echo $?; renice 5 $! > /dev/null 2>&1
        echo $?";
    if Run::whole(&shell(Access::Full, line)).said() != "0\n0" {
        return;
    }
    let expected = if apart() == Apart::Whole { "0\n0" } else { "1\n1" };
    check_said(&shell(Access::WorkspaceWrite, line), expected);
}

fn terminals_are_its_own() {
    let (master, _slave) = crate::stage::open_terminal();
    let count = |said: String| said.lines().filter(|name| *name != "ptmx").count();
    let seen = count(Run::whole(&shell(Access::WorkspaceWrite, "ls /dev/pts")).said());
    assert_eq!(seen == 0, !is_shared());
    let script = "script -qec 'tty' /dev/null < /dev/null";
    if Run::whole(&shell(Access::Full, script)).said().starts_with("/dev/pts/") {
        let own = Run::whole(&shell(Access::WorkspaceWrite, script)).said();
        assert!(own.starts_with("/dev/pts/"), "{own}");
    }
    drop(master);
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        let run = check_said(&part(access, &["play-terminal"]), "heard");
        let Status::Confined { missing, .. } = run.statuses[0] else { panic!() };
        assert!(!missing.contains(Missing::TERMINALS) || missing.contains(Missing::SUPERVISOR));
    }
    let python = "import os, pty, sys
one, other = os.openpty()
os.write(other, b'paired'); print(os.read(one, 9).decode()); sys.stdout.flush()
os.write(os.open(os.ttyname(other), os.O_RDWR), b'anew'); print(os.read(one, 9).decode())
sys.stdout.flush(); pty.spawn(['sh', '-c', 'echo spawned; echo x > /dev/tty; stty size'])";
    let line = format!("exec python3 -c \"{python}\" < /dev/null");
    let bare = Run::whole(&shell(Access::Full, &line));
    if bare.end() == Status::Exited(0) {
        check_said(&shell(Access::WorkspaceWrite, &line), &bare.said());
    }
}

/// Makes a terminal and opens its other side by path, as programs without glibc do.
pub(crate) fn play_terminal() {
    let (master, slave) = crate::stage::open_terminal();
    fs::File::from(slave.try_clone().unwrap()).write_all(b"heard").unwrap();
    let mut heard = [0; 16];
    let count = fs::File::from(master).read(&mut heard).unwrap();
    println!("{}", String::from_utf8_lossy(&heard[..count]));
}

fn nothing_is_left_in_the_file_system() {
    let place = Place::new("residue");
    let (work, mut plan) = repository(&place, "kill -9 $$");
    plan.policy.protected.push(work.join(".windlass"));
    plan.policy.unreadable = vec![work.join("missing/secret")];
    plan.policy.sealed = vec![work.join("no-home")];
    let before = fs::read_dir(&work).unwrap().count();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let plans = [plan.clone(), plan.clone(), plan];
    let runs: Vec<Run> = plans.iter().map(Run::start).collect();
    for run in runs {
        assert_eq!(run.finish().end(), Status::Signalled(9));
    }
    assert_eq!(fs::read_dir(&work).unwrap().count(), before);
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
}

fn what_is_refused_is_found_out_by_trying() {
    let mut plan = shell(Access::WorkspaceWrite, "echo ran");
    plan.apart = None;
    let run = check_said(&plan, "ran");
    let Status::Confined { level, .. } = run.statuses[0] else { panic!("{:?}", run.statuses) };
    let expected = windlass_sandbox::probe().namespaces.is_ok();
    assert_eq!(level == Level::Full, expected);
    let place = Place::new("found");
    let mut plan =
        with_roots(part(Access::WorkspaceWrite, &["play-serve", "socket", "1"]), &[&place.path]);
    plan.cwd.clone_from(&place.path);
    plan.apart = None;
    check_said(&plan, "0\nheard hello");
}
