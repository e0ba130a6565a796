//! Other processes, the terminal, and outliving one's end.

use std::fs::{self, File};
use std::io::Write;

use super::calls::{call, told};
use super::scene::GOT_IT;
use super::{Attack, line, part_of};

pub(crate) const ATTACKS: &[Attack] = &[
    line("kill", "kill -9 $V"),
    line("stop", "kill -STOP $V; sleep 0.05"),
    line("renice", "renice -n 5 -p $V; ionice -c 3 -p $V"),
    line("limits", "prlimit --pid $V --nofile=8:8"),
    line("pin", "taskset -p 1 $V"),
    line("batch", "chrt -b -p 0 $V"),
    line("out of memory first", "echo 500 > /proc/$V/oom_score_adj; choom -p $V -n 600"),
    line("its dumps", "echo 0x7f > /proc/$V/coredump_filter"),
    line("its environment", "cat /proc/$V/environ; tr '\\0' ' ' < /proc/$V/environ"),
    line("its memory", "dd if=/proc/$V/mem bs=1 count=1 skip=0; cat /proc/$V/maps && echo GOT-IT"),
    line("its descriptors", "ls -l /proc/$V/fd/ && cat /proc/$V/fd/1 && echo GOT-IT"),
    line("its directory", "readlink /proc/$V/cwd && ls /proc/$V/root/ && echo GOT-IT"),
    line("the terminal", "echo x > $P"),
    line("the terminal's settings", "stty -F $P -echo && echo GOT-IT"),
    line("what is typed", "timeout 0.3 head -n 1 $P"),
    line("what is typed, by another name", "ln -s $P $W/p; timeout 0.3 head -n 1 $W/p"),
    line("the terminal by another name", "ln -s $P $W/p; echo x > $W/p"),
    part_of("the terminal, both ways", both_ways),
    part_of("the terminal beside one's own", beside_own),
    line("a daemon", "setsid sleep $M & setsid setsid sleep $M < /dev/null > /dev/null 2>&1 &"),
    line(
        "a double fork",
        "(setsid sh -c \"sleep $M & sleep $M & exit\" &) > /dev/null 2>&1; sleep 0.05",
    ),
    line(
        "a deaf daemon",
        "setsid sh -c \"trap '' TERM INT HUP; sleep $M; sleep $M\" > /dev/null 2>&1 & sleep 0.05",
    ),
    line(
        "a stopped daemon",
        "setsid sh -c 'kill -STOP $$; sleep $1' sh $M > /dev/null 2>&1 & sleep 0.05",
    ),
    line("without a group", "setsid sleep $M > /dev/null 2>&1 & sleep 0.05; kill -9 0"),
    line("without a parent", "setsid sleep $M > /dev/null 2>&1 & sleep 0.05; kill -9 $PPID"),
    line(
        "scheduled",
        "echo \"sleep $M\" | at now; systemd-run --user sleep $M; echo \"sleep $M\" | batch",
    ),
    part_of("kill by descriptor", kill_by_descriptor),
    part_of("kill by queue", kill_by_queue),
    part_of("kill by ownership of a pipe", kill_by_ownership),
    part_of("kill by thread", kill_by_thread),
    part_of("trace", trace),
    part_of("trace the parent", trace_the_parent),
    part_of("read its memory", read_memory),
    part_of("write its memory", write_memory),
    part_of("take its descriptor", take_descriptor),
    part_of("priorities", priorities),
    part_of("advise its memory", advise),
    part_of("subreaper", subreaper),
    part_of("injected keys", injected_keys),
];

fn victim() -> i64 {
    told("V").parse().unwrap()
}

fn parent() -> i64 {
    i64::from(std::os::unix::process::parent_id())
}

fn kill_by_descriptor() {
    let fd = call(libc::SYS_pidfd_open, [victim(), 0, 0, 0, 0]);
    call(libc::SYS_pidfd_send_signal, [fd, i64::from(libc::SIGKILL), 0, 0, 0]);
}

fn kill_by_queue() {
    let mut information = [0_i32; 32];
    information[0] = libc::SIGSTOP;
    information[2] = -1;
    let place = information.as_mut_ptr() as i64;
    call(libc::SYS_rt_sigqueueinfo, [victim(), i64::from(libc::SIGSTOP), place, 0, 0]);
    call(libc::SYS_rt_tgsigqueueinfo, [victim(), victim(), i64::from(libc::SIGSTOP), place, 0]);
}

/// Whoever owns a pipe gets a signal of choice when it can be read.
fn kill_by_ownership() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let fd = i64::from(std::os::fd::AsRawFd::as_raw_fd(&reader));
    call(libc::SYS_fcntl, [fd, i64::from(libc::F_SETOWN), victim(), 0, 0]);
    call(libc::SYS_fcntl, [fd, 10, i64::from(libc::SIGKILL), 0, 0]);
    call(libc::SYS_fcntl, [fd, i64::from(libc::F_SETFL), i64::from(libc::O_ASYNC), 0, 0]);
    writer.write_all(b"x").unwrap();
}

fn kill_by_thread() {
    call(libc::SYS_tkill, [victim(), i64::from(libc::SIGSTOP), 0, 0, 0]);
    call(libc::SYS_tgkill, [victim(), victim(), i64::from(libc::SIGSTOP), 0, 0]);
}

fn trace() {
    for request in [0x4206, 16] {
        if call(libc::SYS_ptrace, [request, victim(), 0, 0, 0]) == 0 {
            println!("{GOT_IT}");
        }
    }
}

fn trace_the_parent() {
    if call(libc::SYS_ptrace, [0x4206, parent(), 0, 0, 0]) == 0 {
        println!("{GOT_IT}");
    }
    if File::options().write(true).open(format!("/proc/{}/mem", parent())).is_ok() {
        println!("{GOT_IT}");
    }
}

/// Where the victim's environment lies, by the fields of `stat` or by guess.
fn environment(pid: i64) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|field| field.parse().ok()).unwrap_or(0);
    (field(47), field(48))
}

fn read_memory() {
    let (start, end) = environment(victim());
    let mut text = vec![0_u8; (end.saturating_sub(start)) as usize + 1];
    let local = [text.as_mut_ptr() as u64, text.len() as u64 - 1];
    let remote = [start, end.saturating_sub(start)];
    let (local, remote) = (local.as_ptr() as i64, remote.as_ptr() as i64);
    call(libc::SYS_process_vm_readv, [victim(), local, 1, remote, 1]);
    println!("{}", String::from_utf8_lossy(&text));
}

fn write_memory() {
    let (start, _) = environment(victim());
    let text = b"SPOILT=1";
    let local = [text.as_ptr() as u64, 8];
    let remote = [start, 8];
    let (local, remote) = (local.as_ptr() as i64, remote.as_ptr() as i64);
    call(libc::SYS_process_vm_writev, [victim(), local, 1, remote, 1]);
    if let Ok(file) = File::options().write(true).open(format!("/proc/{}/mem", victim())) {
        let _ = std::os::unix::fs::FileExt::write_at(&file, text, start);
    }
}

fn take_descriptor() {
    let fd = call(libc::SYS_pidfd_open, [victim(), 0, 0, 0, 0]);
    if call(libc::SYS_pidfd_getfd, [fd, 1, 0, 0, 0]) >= 0 {
        println!("{GOT_IT}");
    }
}

fn priorities() {
    call(libc::SYS_setpriority, [0, victim(), 7, 0, 0]);
    call(libc::SYS_ioprio_set, [1, victim(), 3 << 13, 0, 0]);
    let parameter = 0_i32;
    let parameter = &raw const parameter as i64;
    call(libc::SYS_sched_setscheduler, [victim(), 3, parameter, 0, 0]);
    let mask = 1_u64;
    call(libc::SYS_sched_setaffinity, [victim(), 8, &raw const mask as i64, 0, 0]);
    let limit = [64_u64, 64];
    call(libc::SYS_prlimit64, [victim(), 7, limit.as_ptr() as i64, 0, 0]);
}

fn advise() {
    let fd = call(libc::SYS_pidfd_open, [victim(), 0, 0, 0, 0]);
    let (start, _) = environment(victim());
    let vector = [start & !4095, 4096];
    if call(libc::SYS_process_madvise, [fd, vector.as_ptr() as i64, 1, 20, 0]) >= 0 {
        println!("{GOT_IT}");
    }
}

/// What is left of ours would come to us instead of to who watches us.
fn subreaper() {
    call(libc::SYS_prctl, [36, 1, 0, 0, 0]);
    let daemon = format!("setsid sleep {0} & setsid sh -c 'sleep {0} &' & exit", told("M"));
    let _ = std::process::Command::new("sh")
        .args(["-c", &daemon])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
}

fn open_terminal() -> i64 {
    let path = std::ffi::CString::new(told("P")).unwrap();
    let flags = i64::from(libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK);
    call(libc::SYS_openat, [i64::from(libc::AT_FDCWD), path.as_ptr() as i64, flags, 0, 0])
}

fn both_ways() {
    call(libc::SYS_write, [open_terminal(), c"x".as_ptr() as i64, 1, 0, 0]);
}

/// Holds a side that made a terminal, and names it like the other one.
fn beside_own() {
    let _own = crate::stage::open_terminal();
    let name = format!("{}/ptmx", told("W"));
    let _ = std::os::unix::fs::symlink("/dev/ptmx", &name);
    let _link = File::options().read(true).write(true).open(name);
    both_ways();
}

fn injected_keys() {
    let path = std::ffi::CString::new(told("P")).unwrap();
    let flags = i64::from(libc::O_RDWR);
    let fd = call(libc::SYS_open, [path.as_ptr() as i64, flags, 0, 0, 0]);
    let key = c"x".as_ptr() as i64;
    for request in [0x5412, 0x1_0000_5412] {
        if call(libc::SYS_ioctl, [fd, request, key, 0, 0]) >= 0 {
            println!("{GOT_IT}");
        }
    }
}
