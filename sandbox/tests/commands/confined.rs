//! What a command cannot do, shown to work without the sandbox.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use windlass_sandbox::limits::SIBLINGS_COUNT_MAX;
use windlass_sandbox::{Access, Apart, Level, Missing, Stage, Status, probe};

use crate::Case;
use crate::stage::{Place, Run, apart, check_end, check_said, is_root, part, shell, with_roots};

pub(crate) const CASES: &[Case] = &[
    ("writes_stay_within_the_roots", writes_stay_within_the_roots),
    ("read_only_writes_nothing_but_devices", read_only_writes_nothing_but_devices),
    ("read_only_changes_no_metadata", read_only_changes_no_metadata),
    ("hidden_paths_stay_closed", hidden_paths_stay_closed),
    ("too_many_siblings_are_refused", too_many_siblings_are_refused),
    ("roots_are_taken_literally", roots_are_taken_literally),
    ("a_root_at_the_top_leaves_the_kernel_alone", a_root_at_the_top_leaves_the_kernel_alone),
    ("sockets_follow_the_policy", sockets_follow_the_policy),
    ("system_calls_are_refused", system_calls_are_refused),
    ("no_privilege_remains", no_privilege_remains),
    ("others_cannot_be_signalled", others_cannot_be_signalled),
    ("the_level_names_what_is_missing", the_level_names_what_is_missing),
];

fn writes_stay_within_the_roots() {
    let place = Place::new("roots");
    let (inside, outside) = (place.directory("inside"), place.directory("outside"));
    let kept = outside.join("kept");
    fs::write(&kept, "before").unwrap();
    let line = format!(
        "cd {inside} && echo x > new && mv new moved && mkdir d && ln moved d/link && cat d/link
         cd {outside}
         echo x > new; echo x > kept; truncate -s 0 kept; mkdir d; ln -s x sym; mkfifo fifo
         ln kept {inside}/linked; mv kept {inside}/stolen; rm kept
         echo x > {inside}/../outside/climbed",
        inside = inside.display(),
        outside = outside.display(),
    );
    let confined = with_roots(shell(Access::WorkspaceWrite, &line), &[&inside]);
    let run = Run::whole(&confined);
    assert!(run.said().starts_with('x'), "{}", run.said());
    assert_eq!(fs::read_to_string(inside.join("moved")).unwrap(), "x\n");
    // Between mounts, moving is copying; what may be read may be copied.
    let is_stolen = inside.join("stolen").exists();
    assert!(!is_stolen || apart() != Apart::Nothing);
    assert!(!inside.join("linked").exists());
    assert_eq!(fs::read_to_string(&kept).unwrap(), "before");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);

    fs::remove_dir_all(&inside).unwrap();
    fs::create_dir(&inside).unwrap();
    Run::whole(&shell(Access::Full, &line));
    assert!(!kept.exists());
    assert!(outside.join("new").exists() && outside.join("climbed").exists());
}

fn read_only_writes_nothing_but_devices() {
    let place = Place::new("readonly");
    let target = place.path.join("new");
    let shared = PathBuf::from(format!("/dev/shm/windlass-{}", std::process::id()));
    let line = format!("echo x > {}; echo x > {}; echo end", target.display(), shared.display());
    // Roots mean nothing here.
    let confined = with_roots(shell(Access::ReadOnly, &line), &[&place.path]);
    assert!(Run::whole(&confined).said().ends_with("end"));
    assert!(!target.exists() && !shared.exists());
    Run::whole(&with_roots(shell(Access::WorkspaceWrite, &line), &[&place.path]));
    assert!(target.exists());
    // Shared with all, unless the command has its own.
    assert_eq!(fs::remove_file(&shared).is_ok(), apart() == Apart::Nothing);
    let devices = "for device in null zero full random urandom; do : > /dev/$device || exit 1; done
                   head -c 1 /dev/urandom > /dev/null && echo a 2> /dev/null";
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        check_said(&shell(access, devices), "a");
    }
}

fn read_only_changes_no_metadata() {
    let place = Place::new("metadata");
    let file = place.path.join("file");
    fs::write(&file, "x").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let line = format!("chmod 777 {0}; touch -d @1 {0}; chmod 777 .", file.display());
    let mut plan = shell(Access::ReadOnly, &line);
    plan.cwd = place.path.clone();
    let before = fs::metadata(&file).unwrap();
    let run = Run::whole(&plan);
    let after = fs::metadata(&file).unwrap();
    assert_eq!((after.mode(), after.mtime()), (before.mode(), before.mtime()), "{}", run.said());
    plan.policy.access = Access::Full;
    Run::whole(&plan);
    let after = fs::metadata(&file).unwrap();
    assert_eq!((after.mode() & 0o777, after.mtime()), (0o777, 1));
}

fn hidden_paths_stay_closed() {
    let place = Place::new("hidden");
    let home = place.directory("home");
    let inner = place.directory("home/inner");
    for path in ["home/secret", "home/open", "home/inner/secret", "home/inner/open"] {
        fs::write(place.path.join(path), path).unwrap();
    }
    let line = format!(
        "cd {}; cat secret open inner/secret inner/open; mv inner/secret inner/other
         cat inner/other; ln secret inner/linked; cat inner/linked; ls",
        home.display(),
    );
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        let mut plan = with_roots(shell(access, &line), &[&place.path]);
        plan.policy.unreadable =
            vec![home.join("secret"), inner.join("secret"), home.join("missing")];
        let run = Run::whole(&plan);
        let said = run.said();
        for open in ["home/open", "home/inner/open"] {
            assert!(said.contains(open), "{access:?}: {said}");
        }
        for secret in ["home/secret", "home/inner/secret"] {
            assert!(!said.contains(secret), "{access:?}: {said}");
        }
        assert!(said.contains("inner\nopen\nsecret"), "names stay listable: {said}");
        let Status::Confined { missing, .. } = run.statuses[0] else { panic!("{said}") };
        assert_eq!(missing.contains(Missing::NEW_SIBLINGS), apart() == Apart::Nothing);
    }
    let everything = &mut shell(Access::ReadOnly, "true");
    everything.policy.unreadable = vec![PathBuf::from("/")];
    check_end(everything, Status::Refused { stage: paths_stage(), errno: libc::EINVAL });
}

/// Where a path of the policy is found to be no good.
fn paths_stage() -> Stage {
    if apart() == Apart::Nothing { Stage::Landlock } else { Stage::Namespaces }
}

fn too_many_siblings_are_refused() {
    if apart() != Apart::Nothing {
        return;
    }
    let place = Place::new("siblings");
    let crowd = place.directory("crowd");
    for number in 0..SIBLINGS_COUNT_MAX {
        symlink("x", crowd.join(number.to_string())).unwrap();
    }
    let mut plan = shell(Access::ReadOnly, "true");
    plan.policy.unreadable = vec![crowd.join("secret")];
    check_end(&plan, Status::Exited(0));
    fs::write(crowd.join("one-more"), "").unwrap();
    check_end(&plan, Status::Refused { stage: Stage::Landlock, errno: libc::E2BIG });
}

fn roots_are_taken_literally() {
    let place = Place::new("literal");
    let outside = place.directory("outside");
    let link = place.path.join("link");
    symlink(&outside, &link).unwrap();
    let refused = |errno| Status::Refused { stage: paths_stage(), errno };
    let plan = |root: &Path| with_roots(shell(Access::WorkspaceWrite, "true"), &[root]);
    check_end(&plan(&link), refused(libc::ELOOP));
    check_end(&plan(&link.join("below")), refused(libc::ELOOP));
    check_end(&plan(&outside.join("..")), refused(libc::EINVAL));
    check_end(&plan(&place.path.join("missing")), Status::Exited(0));
    let file = place.path.join("file");
    fs::write(&file, "").unwrap();
    let line = format!("echo x > {0}; rm {0}", file.display());
    Run::whole(&with_roots(shell(Access::WorkspaceWrite, &line), &[&file]));
    assert_eq!(fs::read_to_string(&file).unwrap(), "x\n");
}

fn a_root_at_the_top_leaves_the_kernel_alone() {
    let place = Place::new("top");
    let target = place.path.join("new");
    // Writing back what is there harms nothing if it succeeds.
    let setting = "/proc/sys/kernel/printk";
    let line = format!(
        "echo x > {}; words=$(cat {setting}); echo $words > {setting} && echo reached",
        target.display(),
    );
    let run = Run::whole(&with_roots(shell(Access::WorkspaceWrite, &line), &[Path::new("/")]));
    assert!(!run.said().contains("reached"), "{}", run.said());
    assert!(target.exists(), "{}", run.said());
    if is_root() {
        assert!(Run::whole(&shell(Access::Full, &line)).said().contains("reached"));
    }
}

fn sockets_follow_the_policy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_nonblocking(true).unwrap();
    listener.set_nonblocking(true).unwrap();
    let tcp = listener.local_addr().unwrap().port();
    let udp = datagrams.local_addr().unwrap().port();
    let words = ["play-calls", &format!("sockets:{tcp}:{udp}")];
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        let mut plan = part(access, &words);
        let said = Run::whole(&plan).said();
        match apart() {
            Apart::Nothing => {
                let internet = "wide 1\nraw 1\nmptcp 1\nping 1\ntcp 1\nudp 1";
                assert_eq!(said, format!("unix 0\npair 0\nroute 0\nnetlink 1\n{internet}"));
            }
            // Its own loopback, where nobody listens.
            Apart::View | Apart::Whole => assert!(said.ends_with("tcp 111\nudp 0"), "{said}"),
        }
        assert!(listener.accept().is_err(), "nothing arrived");
        assert!(datagrams.recv(&mut [0; 8]).is_err(), "nothing arrived");
        plan.policy.network = true;
        let run = Run::whole(&plan);
        // Whether pings are for everybody is the machine's setting: any answer but ours is its own.
        let said = run.said().replace("ping 13", "ping 0");
        let expected = "unix 0\npair 0\nroute 0\nnetlink 1\nwide 0\nraw 1\nmptcp 1\nping 0";
        assert_eq!(said, format!("{expected}\ntcp 0\nudp 0"));
        assert!(listener.accept().is_ok());
        assert!(datagrams.recv(&mut [0; 8]).is_ok());
    }
}

fn system_calls_are_refused() {
    let place = Place::new("calls");
    let file = place.path.join("file");
    fs::write(&file, "").unwrap();
    let words = ["play-calls", &format!("refused:{}", file.display())];
    let read_only = Run::whole(&part(Access::ReadOnly, &words)).said();
    let within = with_roots(part(Access::WorkspaceWrite, &words), &[&place.path]);
    let workspace = Run::whole(&within).said();
    let open = Run::whole(&part(Access::Full, &words)).said();
    for said in [&read_only, &workspace] {
        for line in said.lines() {
            let (name, errno) = line.rsplit_once(' ').unwrap();
            let absent = ["io_uring_setup", "clone3", "beyond the table"].contains(&name);
            let is_own = apart() != Apart::Nothing && ["shmget", "mq_open"].contains(&name)
                || apart() == Apart::Whole
                    && [
                        "setpriority",
                        "prlimit64",
                        "affinity",
                        "ioprio_set",
                        "ioprio_set of the group",
                    ]
                    .contains(&name);
            if is_own {
                continue;
            }
            let allowed =
                *said == workspace && name.starts_with("metadata") || name.starts_with("harmless");
            let expected = match (absent, allowed) {
                (true, _) => libc::ENOSYS,
                (_, true) => 0,
                _ => libc::EPERM,
            };
            assert_eq!(errno, expected.to_string(), "{line}");
        }
    }
    assert!(open.contains("metadata fchmodat2 0") && open.contains("x32 "), "{open}");
    assert!(read_only.lines().count() > 20, "{read_only}");
}

fn no_privilege_remains() {
    let line = "grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp):' /proc/self/status";
    let none = "0000000000000000";
    let expected = format!(
        "CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapAmb:\t{none}\n\
         NoNewPrivs:\t1\nSeccomp:\t2"
    );
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        check_said(&shell(access, line), &expected);
        if is_root() {
            let bounds = "grep CapBnd /proc/self/status";
            check_said(&shell(access, bounds), &format!("CapBnd:\t{none}"));
        }
    }
    let said = Run::whole(&shell(Access::Full, line)).said();
    assert!(said.contains("NoNewPrivs:\t0\nSeccomp:\t0"), "{said}");
    assert_eq!(said.contains(&format!("CapEff:\t{none}")), !is_root());
}

fn others_cannot_be_signalled() {
    let us = std::process::id();
    let line = format!(
        "kill -0 {us} && echo agent; kill -0 $PPID && echo supervisor
         cat /proc/{us}/environ > /dev/null && echo environment
         sleep 9 & kill -0 $! && kill $! && echo own"
    );
    let said = |access| Run::whole(&shell(access, &line)).said();
    let open = said(Access::Full);
    assert!(open.contains("agent") && open.contains("environment"), "{open}");
    if probe().landlock.is_ok_and(|abi| abi >= 6) {
        for access in [Access::ReadOnly, Access::WorkspaceWrite] {
            let said = said(access);
            // Within its own processes, its parent has no number.
            let is_whole = apart() == Apart::Whole;
            let words = ["agent", "environment", "supervisor"];
            for word in &words[..if is_whole { 2 } else { 3 }] {
                assert!(!said.lines().any(|line| line == *word), "{said}");
            }
            assert!(said.ends_with("own"), "{said}");
        }
    }
}

fn the_level_names_what_is_missing() {
    let offered = probe();
    let level = if apart() == Apart::Nothing { Level::Standard } else { Level::Full };
    assert_eq!(offered.level().is_some_and(|it| it == Level::Full), offered.namespaces.is_ok());
    let level = Some(level);
    for (access, expected) in [
        (Access::ReadOnly, level),
        (Access::WorkspaceWrite, level),
        (Access::Full, Some(Level::Open)),
    ] {
        let run = Run::whole(&shell(access, "true"));
        let Status::Confined { level, missing } = run.statuses[0] else { panic!() };
        assert_eq!(Some(level), expected);
        assert!(!missing.contains(Missing::METADATA));
        let is_alone = missing.contains(Missing::SUPERVISOR);
        assert!(!is_alone || level != Level::Standard);
    }
}

/// Tries calls and prints the errno of each, 0 for success.
pub(crate) fn play_calls(what: &str) {
    match what.split_once(':') {
        Some(("sockets", ports)) => try_sockets(ports),
        Some(("refused", file)) => try_refused(file),
        _ => panic!("{what}"),
    }
}

fn try_sockets(ports: &str) {
    let (tcp, udp) = ports.split_once(':').unwrap();
    let call = |name: &str, number, arguments: [i64; 4]| tell(name, number, arguments);
    call("unix", libc::SYS_socket, [1, 1, 0, 0]);
    let mut ends = [0_i32; 2];
    call("pair", libc::SYS_socketpair, [1, 1, 0, ends.as_mut_ptr() as i64]);
    call("route", libc::SYS_socket, [16, 3, 0, 0]);
    call("netlink", libc::SYS_socket, [16, 3, 9, 0]);
    // The kernel reads the low half of the family only.
    call("wide", libc::SYS_socket, [0x7_0000_0002, 1, 0, 0]);
    call("raw", libc::SYS_socket, [2, 3, 1, 0]);
    call("mptcp", libc::SYS_socket, [2, 1, 262, 0]);
    call("ping", libc::SYS_socket, [2, 2 | 0o2000000, 1, 0]);
    let tcp = std::net::TcpStream::connect(("127.0.0.1", tcp.parse().unwrap()));
    println!("tcp {}", tcp.err().and_then(|error| error.raw_os_error()).unwrap_or(0));
    let sent = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.send_to(b"x", ("127.0.0.1", udp.parse().unwrap())));
    println!("udp {}", sent.err().and_then(|error| error.raw_os_error()).unwrap_or(0));
}

fn try_refused(file: &str) {
    let path = std::ffi::CString::new(file).unwrap();
    let path = path.as_ptr() as i64;
    let cwd = i64::from(libc::AT_FDCWD);
    let other = i64::from(parent_id());
    let wide = 0x1_0000_0000;
    let zeros = [0_u64; 16];
    let zeros = zeros.as_ptr() as i64;
    #[cfg(target_arch = "x86_64")]
    {
        tell("x32 getpid", libc::SYS_getpid | 0x4000_0000, [0; 4]);
        tell("x32 execve", libc::SYS_execve | 0x4000_0000, [0; 4]);
        tell("metadata chmod", libc::SYS_chmod, [path, 0o644, 0, 0]);
        tell("metadata utimes", libc::SYS_utimes, [path, 0, 0, 0]);
    }
    tell("io_uring_setup", libc::SYS_io_uring_setup, [1, zeros, 0, 0]);
    tell("clone3", libc::SYS_clone3, [zeros, 0, 0, 0]);
    tell("beyond the table", 470, [0; 4]);
    tell("clone", libc::SYS_clone, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0]);
    tell("clone wide", libc::SYS_clone, [i64::from(libc::CLONE_NEWNET) | wide, 0, 0, 0]);
    tell("unshare", libc::SYS_unshare, [i64::from(libc::CLONE_NEWUTS), 0, 0, 0]);
    tell("bpf", libc::SYS_bpf, [-1, 0, 0, 0]);
    tell("keyctl", libc::SYS_keyctl, [0, -3, 0, 0]);
    tell("add_key", libc::SYS_add_key, [0; 4]);
    tell("mount", libc::SYS_mount, [0; 4]);
    tell("fsopen", libc::SYS_fsopen, [0; 4]);
    tell("open_tree_attr", 467, [0; 4]);
    tell("chroot", libc::SYS_chroot, [0; 4]);
    tell("perf_event_open", libc::SYS_perf_event_open, [0; 4]);
    tell("userfaultfd", libc::SYS_userfaultfd, [0; 4]);
    tell("process_vm_readv", libc::SYS_process_vm_readv, [other, 0, 0, 0]);
    tell("pidfd_getfd", libc::SYS_pidfd_getfd, [-1, 0, 0, 0]);
    tell("open_by_handle_at", libc::SYS_open_by_handle_at, [-1, 0, 0, 0]);
    tell("clock_settime", libc::SYS_clock_settime, [0; 4]);
    tell("shmget", libc::SYS_shmget, [0, 0, 0, 0]);
    tell("mq_open", libc::SYS_mq_open, [0; 4]);
    tell("TIOCSTI", libc::SYS_ioctl, [-1, 0x5412, 0, 0]);
    tell("TIOCSTI wide", libc::SYS_ioctl, [-1, 0x5412 | wide, 0, 0]);
    tell("setpriority", libc::SYS_setpriority, [0, other, 0, 0]);
    tell("prlimit64", libc::SYS_prlimit64, [other, 7, zeros, 0]);
    tell("harmless prlimit64", libc::SYS_prlimit64, [0, 7, 0, 0]);
    tell("harmless setpriority", libc::SYS_setpriority, [0, 0, 19, 0]);
    let own = i64::from(std::process::id());
    let mask = [0xff_u64; 16];
    tell("harmless own prlimit64", libc::SYS_prlimit64, [own, 7, 0, 0]);
    tell("harmless own setpriority", libc::SYS_setpriority, [0, own, 19, 0]);
    tell("harmless own ioprio_set", libc::SYS_ioprio_set, [1, own, 3 << 13, 0]);
    let all = mask.as_ptr() as i64;
    tell("harmless own affinity", libc::SYS_sched_setaffinity, [own, 128, all, 0]);
    tell("affinity", libc::SYS_sched_setaffinity, [other, 128, all, 0]);
    tell("ioprio_set", libc::SYS_ioprio_set, [1, other, 3 << 13, 0]);
    tell("ioprio_set of the group", libc::SYS_ioprio_set, [2, own, 3 << 13, 0]);
    tell("metadata fchmodat", libc::SYS_fchmodat, [cwd, path, 0o644, 0]);
    tell("metadata fchmodat2", 452, [cwd, path, 0o644, 0]);
    tell("metadata utimensat", libc::SYS_utimensat, [cwd, path, 0, 0]);
}

fn parent_id() -> u32 {
    std::os::unix::process::parent_id()
}

/// Calls and prints the errno. Numbers libc lacks and wide arguments are the point.
fn tell(name: &str, number: i64, arguments: [i64; 4]) {
    let [first, second, third, fourth] = arguments;
    // SAFETY: pointers among the arguments are valid or null, and calls that would change this
    // process for others are refused, or take arguments with which they fail.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, 0_i64) };
    let error = std::io::Error::last_os_error();
    println!("{name} {}", if result < 0 { error.raw_os_error().unwrap() } else { 0 });
}
