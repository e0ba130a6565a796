//! Unix sockets: those of the command's own tree work, those served outside are out of reach.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use windlass_sandbox::{Access, Missing, Status};

use crate::Case;
use crate::stage::{Place, Run, check_end, check_said, exe, part, plan, shell, with_roots};

pub(crate) const CASES: &[Case] = &[
    ("sockets_served_outside_are_out_of_reach", sockets_served_outside_are_out_of_reach),
    ("a_socket_of_another_command_is_within_reach", a_socket_of_another_command_is_within_reach),
    ("sockets_of_ones_own_work", sockets_of_ones_own_work),
    ("a_full_queue_is_waited_for", a_full_queue_is_waited_for),
    ("a_racing_address_reaches_nobody_outside", a_racing_address_reaches_nobody_outside),
    ("python_managers_work", python_managers_work),
];

/// Takes every connection that waits, and returns what was said on them.
fn heard(listener: &UnixListener) -> Vec<String> {
    listener.set_nonblocking(true).unwrap();
    let mut all = Vec::new();
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                let mut said = String::new();
                stream.read_to_string(&mut said).unwrap();
                all.push(said);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

fn sockets_served_outside_are_out_of_reach() {
    let place = Place::new("outside");
    let shared = place.directory("shared");
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(&shared, everybody).unwrap();
    let path = shared.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    std::os::unix::fs::symlink(&path, shared.join("link")).unwrap();
    let name = format!("windlass-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let nameless = UnixListener::bind_addr(&address).unwrap();
    let (path, link) = (path.to_str().unwrap(), shared.join("link"));
    let words = ["play-connect", path, link.to_str().unwrap(), &format!("@{name}")];
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        for network in [false, true] {
            let mut plan = with_roots(part(access, &words), &[&shared]);
            plan.policy.network = network;
            let run = Run::whole(&plan);
            let Status::Confined { missing, .. } = run.statuses[0] else { panic!() };
            let all = [heard(&listener), heard(&nameless)].concat();
            if missing.contains(Missing::PATH_SOCKETS) {
                continue;
            }
            let errnos: Vec<_> = run.said().lines().map(str::to_owned).collect();
            // In its own network nobody has the name.
            let refused = [libc::EACCES, libc::EPERM, libc::ECONNREFUSED];
            let refused = refused.map(|errno| errno.to_string());
            assert!(
                errnos.len() == 3 && errnos.iter().all(|it| refused.contains(it)),
                "{errnos:?}"
            );
            assert!(all.iter().all(String::is_empty), "{all:?}");
        }
    }
    check_said(&part(Access::Full, &words), "0\n0\n0");
    assert_eq!(heard(&listener), ["hello", "hello"]);
    assert_eq!(heard(&nameless), ["hello"]);
}

fn a_socket_of_another_command_is_within_reach() {
    let place = Place::new("near");
    let path = place.path.join("socket");
    let path = path.to_str().unwrap();
    let plan = |words: &[&str]| with_roots(part(Access::WorkspaceWrite, words), &[&place.path]);
    let listener = UnixListener::bind(path).unwrap();
    let run = Run::whole(&plan(&["play-connect", path]));
    let Status::Confined { missing, .. } = run.statuses[0] else { panic!() };
    if missing.contains(Missing::SUPERVISOR) || missing.contains(Missing::PATH_SOCKETS) {
        return;
    }
    // Nor is that of the agent itself.
    assert_ne!(run.said(), "0");
    assert!(heard(&listener).iter().all(String::is_empty));
    fs::remove_file(path).unwrap();
    let mut server = Run::start(&plan(&["play-listen", path]));
    server.until(|run| run.said().contains("ready"));
    check_said(&plan(&["play-connect", path]), "0");
    assert!(server.finish().said().ends_with("heard hello"));
}

pub(crate) fn play_listen(words: &[&str]) {
    let listener = UnixListener::bind(words[0]).unwrap();
    println!("ready");
    let (mut stream, _) = listener.accept().unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    println!("heard {said}");
}

fn sockets_of_ones_own_work() {
    let place = Place::new("own");
    let path = place.path.join("socket");
    let name = format!("@windlass-own-{}", std::process::id());
    for network in [false, true] {
        for address in [path.to_str().unwrap(), "socket", &name] {
            let mut plan = part(Access::WorkspaceWrite, &["play-serve", address, "1"]);
            plan = with_roots(plan, &[&place.path]);
            plan.cwd = place.path.clone();
            plan.policy.network = network;
            let run = check_said(&plan, "0\nheard hello");
            assert_eq!(run.left_over(), (0, 0));
            let _ = fs::remove_file(&path);
        }
    }
}

/// More connections than the server's queue holds, each waiting for its turn.
fn a_full_queue_is_waited_for() {
    let place = Place::new("queue");
    let mut plan = part(Access::WorkspaceWrite, &["play-serve", "socket", "12"]);
    plan = with_roots(plan, &[&place.path]);
    plan.cwd = place.path.clone();
    let expected = [vec!["0"; 12], vec!["heard hello"; 12]].concat();
    let run = Run::whole(&plan);
    let said = run.said();
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(run.left_over(), (0, 0));
}

fn a_racing_address_reaches_nobody_outside() {
    let place = Place::new("address");
    let (inside, outside) = (place.directory("inside"), place.directory("outside"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/commands/caller.c");
    let caller = inside.join("caller");
    let mut compiler = Command::new("cc");
    compiler.args(["-pthread", "-O1", "-o"]).arg(&caller).arg(source);
    assert!(compiler.status().unwrap().success());
    let path = outside.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let own = inside.join("socket");
    for what in ["addresses", "descriptors"] {
        let words = ["caller", what, own.to_str().unwrap(), path.to_str().unwrap(), "100"];
        let confined = plan(Access::WorkspaceWrite, caller.to_str().unwrap(), &words);
        let confined = with_roots(confined, &[&inside]);
        let run = check_end(&confined, Status::Exited(0));
        let said = run.said();
        assert!(heard(&listener).iter().all(String::is_empty), "{said}");
        let mut open = confined;
        open.policy.access = Access::Full;
        // Where processors are busy, the second thread may come too late.
        let is_reached = (0..100).any(|_| {
            Run::whole(&open);
            heard(&listener).iter().any(|said| !said.is_empty())
        });
        assert!(is_reached, "{what}");
    }
}

fn python_managers_work() {
    let line = "
        python3 -c pass 2> /dev/null || { echo 3 [0, 1, 4]; exit; }
        python3 -c '
from multiprocessing import Manager, Pool
def square(x): return x * x
if __name__ == \"__main__\":
    with Manager() as manager, Pool(2) as pool:
        numbers = manager.list([1, 2, 3])
        print(len(numbers), pool.map(square, range(3)))'";
    let place = Place::new("python");
    let temporary = place.directory("temporary");
    let mut confined = with_roots(shell(Access::WorkspaceWrite, line), &[&place.path]);
    confined.cwd = place.path.clone();
    confined.env.push((b"TMPDIR".to_vec(), temporary.to_str().unwrap().into()));
    if let Some(path) = std::env::var_os("PATH") {
        confined.env[0].1 = std::os::unix::ffi::OsStringExt::into_vec(path);
    }
    check_said(&confined, "3 [0, 1, 4]");
}

fn address_of(word: &str) -> SocketAddr {
    match word.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).unwrap(),
        None => SocketAddr::from_pathname(Path::new(word)).unwrap(),
    }
}

/// Connects to each address, prints the errno, and says hello.
pub(crate) fn play_connect(words: &[&str]) {
    for word in words {
        match UnixStream::connect_addr(&address_of(word)) {
            Ok(mut stream) => {
                stream.write_all(b"hello").unwrap();
                println!("0");
            }
            Err(error) => println!("{}", error.raw_os_error().unwrap()),
        }
    }
}

/// Serves an address to as many children.
pub(crate) fn play_serve(words: &[&str]) {
    let address = address_of(words[0]);
    let listener = UnixListener::bind_addr(&address).unwrap();
    if words[1] != "1" {
        // SAFETY: listen takes integers; a second time only shortens the queue.
        unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 1) };
    }
    let count: usize = words[1].parse().unwrap();
    let child = || {
        let mut child = Command::new(exe());
        child.arg0("play-connect").arg(words[0]).stdin(Stdio::null()).spawn().unwrap()
    };
    let mut children: Vec<_> = (0..count).map(|_| child()).collect();
    let mut all = Vec::new();
    for _ in 0..count {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        all.push(said);
    }
    children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    all.iter().for_each(|said| println!("heard {said}"));
}
