//! Older kernels: a listener around the agent answers `landlock_create_ruleset` as they would.
//!
//! It looks into the memory of processes that cannot be inspected, so only root can play it.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use windlass_sandbox::{Access, Apart, Level, Missing, Status, probe};

use crate::Case;
use crate::stage::{Place, Run, apart, exe, is_root, part, shell, with_roots};

pub(crate) const CASES: &[Case] = &[("older_rule_sets_hold_as_well", older_rule_sets)];

/// The rights that each ABI handles, by the number of its bits. Three is like four without ports.
const RIGHTS: [(u32, u32); 5] = [(1, 13), (2, 14), (4, 15), (5, 16), (6, 16)];

fn older_rule_sets() {
    if !is_root() {
        return;
    }
    for (abi, _) in RIGHTS {
        let status = Command::new(exe()).arg0("play-aged").arg(abi.to_string()).status().unwrap();
        assert!(status.success(), "ABI {abi}");
    }
}

/// Plays the kernel to a child, which plays the agent.
pub(crate) fn play_aged(abi: &str) {
    let abi: u32 = abi.parse().unwrap();
    let listener = listen();
    // SAFETY: this process has one thread.
    let agent = unsafe { libc::fork() };
    if agent == 0 {
        act(abi);
        std::process::exit(0);
    }
    let mut code = 0;
    // SAFETY: `code` is a valid place for the result.
    while unsafe { libc::waitpid(agent, &raw mut code, libc::WNOHANG) } == 0 {
        let mut fds = [libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        // SAFETY: `fds` holds one structure.
        if unsafe { libc::poll(fds.as_mut_ptr(), 1, 20) } > 0 {
            serve(&listener, abi);
        }
    }
    assert_eq!(code, 0);
}

fn act(abi: u32) {
    assert_eq!(probe().landlock, Ok(abi));
    let place = Place::new("aged");
    let (inside, outside) = (place.directory("inside"), place.directory("outside"));
    let kept = outside.join("kept");
    for access in [Access::ReadOnly, Access::WorkspaceWrite] {
        fs::write(&kept, "before").unwrap();
        let line = format!(
            "cd {}; echo x > new && mv new moved; truncate -s 0 {1}; echo x > {1}; rm {1}",
            inside.display(),
            kept.display(),
        );
        let run = Run::whole(&with_roots(shell(access, &line), &[&inside]));
        let Status::Confined { level, missing } = run.statuses[0] else {
            panic!("{:?}", run.statuses)
        };
        // Being asked ourselves, we can ask nobody, which a writable workspace needs that shares
        // the mounts of others, and whatever connects where no rule set looks at sockets.
        let is_shared = apart() == Apart::Nothing;
        let is_alone = missing.contains(Missing::SUPERVISOR);
        assert_eq!(is_alone, (access == Access::WorkspaceWrite && is_shared) || abi < 9);
        assert_eq!(level == Level::Reduced, is_shared && (abi < 6 || is_alone), "{level:?}");
        assert_eq!(missing.contains(Missing::MOVES), abi < 2);
        Run::whole(&part(access, &["play-empty", kept.to_str().unwrap()]));
        assert_eq!(fs::read_to_string(&kept).unwrap(), "before", "ABI {abi}: {}", run.said());
        assert_eq!(inside.join("moved").exists(), access == Access::WorkspaceWrite);
    }
    Run::whole(&part(Access::Full, &["play-empty", kept.to_str().unwrap()]));
    assert_eq!(fs::read_to_string(&kept).unwrap(), "");
}

/// Empties a file without opening it for writing.
pub(crate) fn play_empty(path: &str) {
    let path = std::ffi::CString::new(path).unwrap();
    for mode in [libc::O_RDONLY, libc::O_ACCMODE] {
        // SAFETY: `path` is NUL-terminated; nothing is created.
        unsafe { libc::open(path.as_ptr(), libc::O_TRUNC | mode) };
        let how: [u64; 3] = [(libc::O_TRUNC | mode) as u64, 0, 0];
        // SAFETY: `path` is NUL-terminated and `how` is as long as said.
        unsafe {
            libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path.as_ptr(), how.as_ptr(), 24);
        }
    }
    // SAFETY: `path` is NUL-terminated.
    unsafe { libc::truncate(path.as_ptr(), 0) };
}

/// Has the kernel ask us about the call, for this process and all it starts.
fn listen() -> OwnedFd {
    let code = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let number = u32::try_from(libc::SYS_landlock_create_ruleset).unwrap();
    let mut program = [
        code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 1),
        code(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF, 0),
        code(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: `filter` points to four instructions.
    let fd = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter)
    };
    assert!(fd >= 0);
    // SAFETY: the descriptor is fresh and nobody else's.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) }
}

fn serve(listener: &OwnedFd, abi: u32) {
    // SAFETY: both structures are plain integers.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut answer: libc::seccomp_notif_resp = unsafe { std::mem::zeroed() };
    // `SECCOMP_IOCTL_NOTIF_RECV`, `SECCOMP_IOCTL_NOTIF_SEND` of linux/seccomp.h.
    let (receive, send) = (0xc050_2100_u64, 0xc018_2101_u64);
    // SAFETY: `asked` is a valid place for the request.
    if unsafe { libc::ioctl(listener.as_raw_fd(), receive as _, &raw mut asked) } != 0 {
        return;
    }
    answer.id = asked.id;
    let [attributes, size, flags, ..] = asked.data.args;
    if flags & 1 != 0 {
        answer.val = i64::from(abi);
    } else {
        let memory = File::open(format!("/proc/{}/mem", asked.pid)).unwrap();
        let mut words = [0; 24];
        let size = usize::try_from(size).unwrap().min(24);
        memory.read_exact_at(&mut words[..size], attributes).unwrap();
        let word = |at: usize| u64::from_ne_bytes(words[at..at + 8].try_into().unwrap());
        let bits = RIGHTS.iter().find(|(known, _)| *known == abi).unwrap().1;
        let is_known =
            word(0) >> bits == 0 && (abi >= 4 || word(8) == 0) && (abi >= 6 || word(16) == 0);
        if is_known {
            answer.flags = 1;
        } else {
            answer.error = -libc::EINVAL;
        }
    }
    // SAFETY: `answer` is a valid response.
    unsafe { libc::ioctl(listener.as_raw_fd(), send as _, &raw mut answer) };
}
