//! What can be seen of processes from outside, through `/proc`, and the few system calls that take.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A process: its number, and when it started, since numbers come again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Identity {
    pub pid: i32,
    started: u64,
}

/// A line of `/proc/PID/stat`, as far as it matters.
pub struct Stat {
    pub identity: Identity,
    pub name: String,
    pub state: char,
    pub parent: i32,
    /// Page faults of children that were waited for: none if there was no child.
    pub faults_of_children: u64,
    pub cpu_ticks: u64,
}

pub fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        identity: Identity { pid, started: fields.get(19)?.parse().ok()? },
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        faults_of_children: fields.get(8)?.parse().ok()?,
        cpu_ticks: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
    })
}

fn everyone() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).collect()
}

/// Adds everyone who descends from a process, by name.
pub fn descendants(of: i32, found: &mut BTreeMap<Identity, String>) {
    let all = everyone();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|other| other.parent == parent) {
            parents.push(child.identity.pid);
            found.insert(child.identity, child.name.clone());
        }
    }
}

/// Those of whom something is left but their exit status.
pub fn alive(who: &BTreeMap<Identity, String>) -> Vec<String> {
    let is_alive = |identity: &Identity| {
        stat(identity.pid).is_some_and(|stat| stat.identity == *identity && stat.state != 'Z')
    };
    let alive = who.iter().filter(|(identity, _)| is_alive(identity));
    alive.map(|(identity, name)| format!("{name} ({})", identity.pid)).collect()
}

/// Everyone whose environment holds this line.
pub fn marked(line: &str) -> BTreeMap<Identity, String> {
    let is_marked = |stat: &Stat| {
        let environ = fs::read(format!("/proc/{}/environ", stat.identity.pid)).unwrap_or_default();
        environ.split(|&byte| byte == 0).any(|found| found == line.as_bytes())
    };
    let marked = everyone().into_iter().filter(is_marked);
    marked.map(|stat| (stat.identity, stat.name)).collect()
}

pub fn threads_count(pid: i32) -> Option<usize> {
    let count = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().count();
    (count > 0).then_some(count)
}

/// A size in KiB from `/proc/PID/status`.
pub fn status_kib(pid: i32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Waits for one of these, this many milliseconds at most.
pub fn poll(polled: &mut [libc::pollfd], wait_ms: i32) {
    let count = polled.len() as libc::nfds_t;
    // SAFETY: pointer and count are of one live slice of the type that the call reads and writes.
    unsafe { libc::poll(polled.as_mut_ptr(), count, wait_ms) };
}

pub fn entry(fd: i32, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes integers.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{}", io::Error::last_os_error());
}

/// A descriptor that becomes readable when the process ends.
pub fn pidfd(pid: i32) -> OwnedFd {
    // SAFETY: the call takes integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Whether a child of ours has ended; it stays as it is.
pub fn has_ended(pid: i32) -> bool {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zero is a value of the structure, which is integers.
    let mut found: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is a valid place for the result.
    let result = unsafe { libc::waitid(libc::P_PID, pid as u32, &raw mut found, flags) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    found.si_signo == libc::SIGCHLD
}

/// Makes reads and writes of a descriptor return at once.
pub fn set_nonblocking(fd: i32) {
    // SAFETY: the call takes integers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) }, 0);
}

/// A pseudo terminal: its master and its slave.
pub fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let nothing = std::ptr::null_mut();
    // SAFETY: both descriptors are valid places for results; nothing else is asked for.
    let result = unsafe {
        libc::openpty(&mut master, &mut slave, nothing, std::ptr::null(), std::ptr::null())
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    for fd in [master, slave] {
        // SAFETY: the call takes integers.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }, 0);
    }
    // SAFETY: the kernel just made both for us, and nobody else knows them.
    unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

/// Says how wide a terminal is.
pub fn set_columns(terminal: &OwnedFd, columns: u16) {
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let fd = terminal.as_raw_fd();
    // SAFETY: TIOCSWINSZ reads one `winsize`, which `size` is.
    assert_eq!(unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size) }, 0);
}

/// Stops a terminal's output, as ctrl-S does, or lets it go on.
pub fn set_flow(terminal: &OwnedFd, goes: bool) {
    let action = if goes { libc::TCOON } else { libc::TCOOFF };
    // SAFETY: the call takes integers.
    assert_eq!(unsafe { libc::tcflow(terminal.as_raw_fd(), action) }, 0);
}

/// Takes the connections that wait at a listener, and counts them.
pub fn waiting_connections(listener: i32) -> usize {
    set_nonblocking(listener);
    let nothing = std::ptr::null_mut();
    let mut count = 0;
    loop {
        // SAFETY: the address is not asked for.
        let fd = unsafe { libc::accept(listener, nothing, std::ptr::null_mut()) };
        if fd < 0 {
            return count;
        }
        // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        count += 1;
    }
}

/// What the usual profile of containers refuses without capabilities, of what makes namespaces.
pub const REFUSED_IN_CONTAINERS: [i64; 12] = [
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
    libc::SYS_bpf,
    libc::SYS_keyctl,
];

/// A filter that answers these calls with an errno.
pub fn filter(errno: i32, numbers: &[i64]) -> Vec<libc::sock_filter> {
    let step = |code: u32, if_true: u8, word: u32| libc::sock_filter {
        code: code as u16,
        jt: if_true,
        jf: 0,
        k: word,
    };
    let mut filter = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (at, number) in numbers.iter().enumerate() {
        // Over the rest and the allowing answer.
        let to_refusal = u8::try_from(numbers.len() - at).unwrap();
        let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        filter.push(step(equal, to_refusal, u32::try_from(*number).unwrap()));
    }
    let answer = libc::BPF_RET | libc::BPF_K;
    filter.push(step(answer, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(step(answer, 0, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()));
    filter
}

/// Installs a filter for this process and all it starts. Allocates nothing.
pub fn install(filter: &[libc::sock_filter]) -> io::Result<()> {
    let len = filter.len() as u16;
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the option takes integers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` points to as many instructions as it says, which outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
