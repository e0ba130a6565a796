//! Systems that lack something: a filter around the agent answers calls as such a system would.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use windlass_sandbox::{Access, Apart, Level, Missing, Stage, Status, probe};

use crate::stage::{ACCESSES, Run, apart, check_end, check_said, exe, is_root, marker, part};
use crate::stage::{processes_with, shell, wait_for_processes};
use crate::{Case, connected, mediated};

pub(crate) const CASES: &[Case] = &[
    ("without_landlock_nothing_confined_runs", || within("landlock", "")),
    ("without_seccomp_nothing_confined_runs", || within("seccomp", "")),
    ("without_close_range_nothing_is_inherited", || within("close_range", "")),
    ("without_pidfds_everything_ends", || within("pidfds", &marker(8100))),
    ("within_a_container_calls_are_supervised", || within("container", "")),
    ("without_listeners_supervised_calls_are_refused", || within("listeners", "")),
    ("what_cannot_be_killed_is_told", what_cannot_be_killed_is_told),
];

/// What the usual profile of containers refuses without capabilities, of all that we might call.
const REFUSED_IN_CONTAINERS: [i64; 24] = [
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_fanotify_init,
];

/// Plays the agent within a filter.
fn within(lack: &str, word: &str) {
    let status = Command::new(exe()).arg0("play-filtered").args([lack, word]).status().unwrap();
    assert!(status.success());
}

/// Takes as long as the supervisor tries, so once is enough.
fn what_cannot_be_killed_is_told() {
    if !is_root() {
        return;
    }
    let marker = marker(8200);
    within("killing", &marker);
    for pid in processes_with(&marker) {
        // SAFETY: kill takes integers; the process is one of this case.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    wait_for_processes(&marker, |count| count == 0);
}

pub(crate) fn play_filtered(words: &[&str]) {
    match words[0] {
        "landlock" => {
            deny(libc::ENOSYS, &[libc::SYS_landlock_create_ruleset]);
            assert_eq!(probe().landlock, Err(libc::ENOSYS));
            check_refused(Stage::Landlock, libc::ENOSYS);
        }
        "seccomp" => {
            deny(libc::EINVAL, &[libc::SYS_seccomp]);
            assert!(!probe().seccomp);
            check_refused(Stage::Seccomp, libc::EINVAL);
        }
        "close_range" => {
            deny(libc::ENOSYS, &[libc::SYS_close_range]);
            for access in ACCESSES {
                check_said(&part(access, &["play-fds"]), "[0, 1, 2]");
            }
        }
        "pidfds" => {
            deny(libc::ENOSYS, &[libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal]);
            assert!(!probe().pidfds);
            let marker = words[1];
            let line = format!(
                "(trap '' TERM; setsid sh -c 'sleep {marker} & sleep {marker}' &) ; exit 1"
            );
            for access in ACCESSES {
                check_end(&shell(access, &line), Status::Exited(1));
                assert_eq!(processes_with(marker), []);
            }
        }
        "container" => {
            if apart() != Apart::Nothing {
                // Such a container grants no namespaces.
                return;
            }
            deny(libc::EPERM, &REFUSED_IN_CONTAINERS);
            for (_, case) in mediated::CASES.iter().chain(connected::CASES) {
                case();
            }
        }
        "listeners" => {
            deny_listeners();
            let run = Run::whole(&shell(Access::WorkspaceWrite, "chmod 777 . || echo refused"));
            assert!(run.said().ends_with("refused"), "{}", run.said());
            let Status::Confined { level, missing } = run.statuses[0] else { panic!() };
            let is_shared = apart() == Apart::Nothing;
            let expected = if is_shared { Level::Reduced } else { Level::Full };
            assert_eq!((level, missing.contains(Missing::SUPERVISOR)), (expected, true));
        }
        "killing" => {
            deny(libc::EPERM, &[libc::SYS_kill, libc::SYS_pidfd_send_signal]);
            let line = format!("setsid sleep {} > /dev/null 2>&1 & exit 1", words[1]);
            let run = check_end(&shell(Access::WorkspaceWrite, &line), Status::Exited(1));
            assert_eq!(run.left_over().1, 1);
        }
        unknown => panic!("{unknown}"),
    }
}

/// Nothing confined runs, and what asked for no confinement does.
fn check_refused(stage: Stage, errno: i32) {
    assert_eq!(probe().level(), None);
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        let run = Run::whole(&shell(access, "echo ran"));
        assert_eq!(run.statuses, [Status::Refused { stage, errno }]);
        assert_eq!(run.said(), "");
    }
    check_said(&shell(Access::Full, "echo ran"), "ran");
}

/// Answers calls of this process and all it starts with an errno.
fn deny(errno: i32, numbers: &[i64]) {
    apply(errno, numbers.iter().map(|number| (*number, Vec::new())).collect());
}

/// Refuses filters that ask for a listener, as within another supervisor.
fn deny_listeners() {
    let flag = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let asks = SeccompCmpOp::MaskedEq(flag);
    let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, asks, flag).unwrap();
    let rule = SeccompRule::new(vec![condition]).unwrap();
    apply(libc::EBUSY, BTreeMap::from([(libc::SYS_seccomp, vec![rule])]));
}

fn apply(errno: i32, rules: BTreeMap<i64, Vec<SeccompRule>>) {
    let answer = SeccompAction::Errno(errno.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}
