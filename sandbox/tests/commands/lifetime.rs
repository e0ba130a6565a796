//! Nothing outlives a command, however it tries.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio as Pipes};
use std::time::{Duration, Instant};

use windlass_sandbox::{Access, Apart, Status, Stdio, spawn};

use crate::Case;
use crate::stage::{
    ACCESSES, Place, Run, apart, exe, is_root, marker, part, pipe, processes_with, shell,
    wait_for_processes, with_roots,
};

pub(crate) const CASES: &[Case] = &[
    ("daemons_end_with_the_command", daemons_end_with_the_command),
    ("what_is_left_gets_a_chance_to_clean_up", what_is_left_gets_a_chance_to_clean_up),
    ("a_flood_is_ended", a_flood_is_ended),
    ("a_fleet_is_ended_before_it_ends_itself", a_fleet_is_ended_before_it_ends_itself),
    ("a_deaf_command_ends_within_its_grace", a_deaf_command_ends_within_its_grace),
    ("an_interrupt_alone_does_not_kill", an_interrupt_alone_does_not_kill),
    ("closing_the_control_pipe_ends_everything", closing_the_control_pipe_ends_everything),
    ("the_agents_death_ends_everything", the_agents_death_ends_everything),
    ("a_killed_supervisor_takes_the_command_along", a_killed_supervisor_takes_the_command_along),
    ("what_a_killed_supervisor_leaves_is_ended", what_a_killed_supervisor_leaves_is_ended),
    ("a_command_that_kills_its_group_is_reported", a_command_that_kills_its_group_is_reported),
    ("the_end_is_told_before_the_rest_has_ended", the_end_is_told_before_the_rest_has_ended),
    ("a_background_server_lives_until_the_control_closes", a_background_server_lives),
    ("orphans_are_found_without_proc", orphans_are_found_without_proc),
];

fn daemons_end_with_the_command() {
    for (number, access) in (7100..).zip(ACCESSES) {
        let marker = marker(number);
        let line = format!(
            "sleep {marker} & setsid sleep {marker} & (setsid sh -c 'sleep {marker} & ' &)
             (trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; sleep {marker}' &)
             nohup sleep {marker} > /dev/null 2>&1 & exit 7"
        );
        let run = Run::whole(&shell(access, &line));
        assert_eq!(run.end(), Status::Exited(7));
        assert_eq!(processes_with(&marker), []);
        let (ended, alive) = run.left_over();
        assert!(ended >= 4 && alive == 0, "{ended} {alive}");
    }
}

fn what_is_left_gets_a_chance_to_clean_up() {
    let line = "(trap 'echo cleaned; exit' TERM; echo ready; while :; do sleep 0.01; done) &
                sleep 0.1; exit 0";
    let run = Run::whole(&shell(Access::WorkspaceWrite, line));
    assert!(run.said().ends_with("cleaned"), "{}", run.said());
}

fn a_flood_is_ended() {
    for (number, access) in (7200..).zip(ACCESSES) {
        let marker = marker(number);
        let mut run = Run::start(&part(access, &["play-flood", &marker]));
        run.until(|run| run.statuses.len() > 1);
        let run = run.finish();
        assert_eq!(run.end(), Status::Exited(0));
        assert_eq!(processes_with(&marker), []);
        let (ended, alive) = run.left_over();
        assert!(ended > 100 && alive == 0, "{ended} {alive}");
    }
}

/// So many at a time that they end faster than they can be reaped.
fn a_fleet_is_ended_before_it_ends_itself() {
    if apart() == Apart::View {
        // Neither a scope of signals nor an init reaches all at once there.
        return;
    }
    let place = Place::new("fleet");
    let goal = place.path.join("goal");
    let plan = part(Access::WorkspaceWrite, &["play-fleet", goal.to_str().unwrap()]);
    let run = Run::whole(&with_roots(plan, &[&place.path]));
    assert_eq!(run.end(), Status::Exited(0));
    assert_eq!(run.left_over().1, 0);
    assert!(!goal.exists());
}

/// Chains that fork and exit, and leave a mark should nobody end them for long.
pub(crate) fn play_fleet(goal: &str) {
    let began = Instant::now();
    for _ in 0..100 {
        if fork() {
            while began.elapsed() < Duration::from_secs(20) {
                // SAFETY: setsid takes nothing; it fails for leaders of groups, as it may.
                unsafe { libc::setsid() };
                // SAFETY: this process has one thread.
                if unsafe { libc::fork() } > 0 {
                    std::process::exit(0);
                }
            }
            let _ = std::fs::write(goal, "");
            std::process::exit(0);
        }
    }
    // SAFETY: usleep takes an integer.
    unsafe { libc::usleep(200_000) };
}

/// Leaves behind a broad and deep tree of sessions, and chains that fork and exit without end.
pub(crate) fn play_flood() {
    for _ in 0..6 {
        if fork() {
            loop {
                // SAFETY: setsid takes nothing; it fails for leaders of groups, as it may.
                unsafe { libc::setsid() };
                if !fork() {
                    std::process::exit(0);
                }
            }
        }
    }
    for _ in 0..3 {
        if fork() {
            for _ in 0..6 {
                // Parent and child both go on: 64 of each.
                fork();
                // SAFETY: setsid takes nothing; it fails for leaders of groups, as it may.
                unsafe { libc::setsid() };
            }
            loop {
                // SAFETY: pause takes nothing.
                unsafe { libc::pause() };
            }
        }
    }
    // SAFETY: usleep takes an integer.
    unsafe { libc::usleep(200_000) };
}

/// Forks; true in the child.
fn fork() -> bool {
    // SAFETY: this process has one thread.
    unsafe { libc::fork() == 0 }
}

fn a_deaf_command_ends_within_its_grace() {
    let marker = marker(7300);
    let line = format!("trap '' TERM INT; echo ready; sleep {marker}; sleep {marker}; exit 3");
    let mut run = Run::start(&shell(Access::WorkspaceWrite, &line));
    run.until(|run| run.said().contains("ready"));
    let asked = Instant::now();
    run.control(b"T");
    let run = run.finish();
    assert!(asked.elapsed() >= Duration::from_millis(290));
    assert_eq!(run.end(), Status::Signalled(9));
    assert_eq!(processes_with(&marker), []);

    let mut run = Run::start(&shell(
        Access::ReadOnly,
        "trap 'exit 6' TERM; echo ready; while :; do sleep 0.01; done",
    ));
    run.until(|run| run.said().contains("ready"));
    run.control(b"T");
    assert_eq!(run.finish().end(), Status::Exited(6));
}

fn an_interrupt_alone_does_not_kill() {
    let line = "trap 'echo interrupted' INT; echo ready; while :; do sleep 0.01; done";
    let mut run = Run::start(&shell(Access::ReadOnly, line));
    run.until(|run| run.said().contains("ready"));
    run.control(b"I");
    run.until(|run| run.said().contains("interrupted"));
    run.control(b"K");
    assert_eq!(run.finish().end(), Status::Signalled(9));
}

fn closing_the_control_pipe_ends_everything() {
    for (number, background) in [(7400, false), (7401, true)] {
        let marker = marker(number);
        let line = format!("trap '' TERM; setsid sleep {marker} & echo ready; sleep {marker}");
        let mut plan = shell(Access::WorkspaceWrite, &line);
        plan.background = background;
        plan.grace_ms = 60_000;
        let mut run = Run::start(&plan);
        run.until(|run| run.said().contains("ready"));
        wait_for_processes(&marker, |count| count == 2);
        let (_, unused) = pipe();
        drop(std::mem::replace(&mut run.spawned.control, unused));
        let run = run.finish();
        assert_eq!(run.end(), Status::Signalled(9));
        assert_eq!(processes_with(&marker), []);
    }
}

fn the_agents_death_ends_everything() {
    let marker = marker(7500);
    let mut agent =
        Command::new(exe()).arg0("play-agent").arg(&marker).stdout(Pipes::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(agent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    wait_for_processes(&marker, |count| count >= 3);
    agent.kill().unwrap();
    agent.wait().unwrap();
    wait_for_processes(&marker, |count| count == 0);
}

fn a_killed_supervisor_takes_the_command_along() {
    let marker = marker(7600);
    let mut run = Run::start(&shell(Access::WorkspaceWrite, &format!("exec sleep {marker}")));
    wait_for_processes(&marker, |count| count == 1);
    // SAFETY: kill takes integers; the supervisor is our child and not reaped.
    unsafe { libc::kill(run.spawned.pid, libc::SIGKILL) };
    run.until(|run| run.statuses.len() == 1);
    let run = run.finish();
    assert!(matches!(run.statuses[..], [Status::Confined { .. }]), "no end was told");
    wait_for_processes(&marker, |count| count == 0);
}

/// Plays the agent in a process of its own, since it becomes a subreaper.
fn what_a_killed_supervisor_leaves_is_ended() {
    let marker = marker(7650);
    let status = Command::new(exe()).arg0("play-guard").arg(&marker).status().unwrap();
    assert!(status.success());
    assert_eq!(processes_with(&marker), []);
}

pub(crate) fn play_guard(marker: &str) {
    windlass_sandbox::guard_agent().unwrap();
    // Shares our session, as the resolver does, and is left alone.
    let mut own = Command::new("sleep").arg("60").spawn().unwrap();
    let line = format!(
        "(trap '' TERM; setsid sh -c 'sleep {marker} & sleep {marker}' > /dev/null 2>&1 &)
         sleep 0.1; kill -9 $PPID"
    );
    let mut run = Run::start(&shell(Access::Full, &line));
    run.until(|run| !run.statuses.is_empty());
    let run = run.finish();
    assert!(!run.statuses.iter().any(|it| matches!(it, Status::LeftOver { .. })));
    let began = Instant::now();
    let mut ended = 0;
    while processes_with(marker).len() > 1 {
        ended += windlass_sandbox::end_strangers(&[], None);
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert!(ended >= 2, "{ended}");
    assert!(own.try_wait().unwrap().is_none());
    own.kill().unwrap();
    own.wait().unwrap();
}

fn a_command_that_kills_its_group_is_reported() {
    for access in ACCESSES {
        let run = Run::whole(&shell(access, "kill -9 0"));
        assert_eq!(run.end(), Status::Signalled(9));
        assert_eq!(run.left_over(), (0, 0));
    }
}

fn the_end_is_told_before_the_rest_has_ended() {
    let marker = marker(7700);
    let line = format!("(trap '' TERM; exec sleep {marker}) & sleep 0.05; exit 2");
    let (output, stdout) = pipe();
    let stderr = stdout.try_clone().unwrap();
    let plan = shell(Access::ReadOnly, &line);
    let spawned = spawn(exe(), &plan, Stdio { stdin: None, stdout, stderr }).unwrap();
    let mut run = Run::of(spawned, Some(output));
    run.until(|run| run.statuses.contains(&Status::Exited(2)));
    assert_eq!(processes_with(&marker).len(), 1, "within its grace");
    let run = run.finish();
    assert_eq!(run.left_over(), (1, 0));
}

fn a_background_server_lives() {
    let marker = marker(7800);
    let mut plan = shell(Access::WorkspaceWrite, &format!("setsid sleep {marker} & exit 0"));
    plan.background = true;
    let mut run = Run::start(&plan);
    run.until(|run| run.statuses.contains(&Status::Exited(0)));
    wait_for_processes(&marker, |count| count == 1);
    run.control(b"T");
    let run = run.finish();
    assert_eq!(run.left_over(), (1, 0));
    assert_eq!(processes_with(&marker), []);
}

/// Only root can take `/proc` away from a part of the processes.
fn orphans_are_found_without_proc() {
    if !is_root() {
        return;
    }
    let marker = marker(7900);
    let exe = std::env::current_exe().unwrap();
    let mut blind = Command::new(&exe);
    let status = blind.arg0("play-blind").arg(&marker).status().unwrap();
    assert!(status.success());
    assert_eq!(processes_with(&marker), []);
}

pub(crate) fn play_blind(marker: &str) {
    let exe = std::env::current_exe().unwrap();
    // SAFETY: unshare takes an integer.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        println!("no mount namespaces here, nothing shown");
        return;
    }
    let (none, root, proc) = (c"none".as_ptr(), c"/".as_ptr(), c"/proc".as_ptr());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: all strings are NUL-terminated; no data is passed.
    assert_eq!(unsafe { libc::mount(none, root, std::ptr::null(), private, std::ptr::null()) }, 0);
    // SAFETY: the string is NUL-terminated.
    assert_eq!(unsafe { libc::umount2(proc, libc::MNT_DETACH) }, 0);
    assert!(!std::path::Path::new("/proc/self").exists());
    let line = format!(
        "setsid sleep {marker} & (setsid sh -c 'sleep {marker} & sleep {marker}' &)
                        trap '' TERM; setsid sleep {marker} & sleep 0.1; exit 0"
    );
    let (output, stdout) = pipe();
    let stderr = stdout.try_clone().unwrap();
    let mut plan = shell(Access::WorkspaceWrite, &line);
    plan.apart = None;
    let spawned = spawn(&exe, &plan, Stdio { stdin: None, stdout, stderr }).unwrap();
    let run = Run::of(spawned, Some(output)).finish();
    assert_eq!(run.end(), Status::Exited(0), "{}", run.said());
    assert!(run.left_over().0 >= 4, "{:?}", run.left_over());
}
