//! The system-call half of the confinement.
//!
//! One program: a head for what every call meets (foreign architecture, the x32 bit, numbers beyond
//! the table), then what becomes of a call by its number, then the refusals by argument.
//! Numbers above 400 are the same on every architecture, and the late ones are written out, since
//! libc's lists end earlier than the kernel's. Refusals are errnos, never signals.

mod processes;
mod verdicts;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use libc::{c_long, c_ulong};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

use crate::landlock::ABI_TRUNCATE;
use crate::namespaces::Apart;
use crate::policy::{Access, Policy};
pub(crate) use processes::process_at;
use verdicts::{ABSENCE, REFUSAL, Verdict, answer, instruction, jump, load};

#[cfg(target_arch = "x86_64")]
const ARCH: (u32, seccompiler::TargetArch) = (0xc000_003e, seccompiler::TargetArch::x86_64);
#[cfg(target_arch = "aarch64")]
const ARCH: (u32, seccompiler::TargetArch) = (0xc000_00b7, seccompiler::TargetArch::aarch64);

/// Set in the numbers of the x32 entry, which repeat the table past a filter.
const X32_BIT: u32 = 0x4000_0000;

/// `file_setattr`, the last call judged for this filter (Linux 6.17).
const NUMBER_LAST: u32 = 469;

// Numbers that libc lacks, from the kernel's scripts/syscall.tbl.
#[cfg(target_arch = "x86_64")]
const SYS_KEXEC_FILE_LOAD: c_long = 320;
#[cfg(target_arch = "aarch64")]
const SYS_KEXEC_FILE_LOAD: c_long = 294;
const SYS_FCHMODAT2: c_long = 452;
const SYS_SETXATTRAT: c_long = 463;
const SYS_REMOVEXATTRAT: c_long = 466;
const SYS_OPEN_TREE_ATTR: c_long = 467;
const SYS_FILE_SETATTR: c_long = 469;

/// Answered as if the kernel lacked them: `clone3` hides its flags behind a pointer and has a
/// fall-back; io_uring repeats other calls where no filter looks.
const ABSENT: [c_long; 4] = [
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Refused whatever their arguments.
const REFUSED: [c_long; 44] = [
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    SYS_KEXEC_FILE_LOAD,
    libc::SYS_open_by_handle_at,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
];

/// Objects that are reached by number or name, across every boundary but a namespace.
const OBJECTS: [c_long; 13] = [
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
];

/// Calls of one architecture only.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: [c_long; 2] = [libc::SYS_ioperm, libc::SYS_iopl];
#[cfg(target_arch = "aarch64")]
const REFUSED_HERE: [c_long; 0] = [];

/// Change permissions, owners, times or attributes; refused where no supervisor makes them.
const METADATA: [c_long; 15] = [
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SYS_SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SYS_REMOVEXATTRAT,
    SYS_FILE_SETATTR,
];
#[cfg(target_arch = "x86_64")]
const METADATA_HERE: [c_long; 6] = [
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(target_arch = "aarch64")]
const METADATA_HERE: [c_long; 0] = [];

/// Inode flags by ioctl: `FS_IOC_SETFLAGS` and its 32-bit form, `FS_IOC_FSSETXATTR`,
/// `FS_IOC_SETVERSION` and its 32-bit form, the same of ext4, `FAT_IOCTL_SET_ATTRIBUTES`.
const METADATA_IOCTLS: [u32; 7] =
    [0x4008_6602, 0x4004_6602, 0x401c_5820, 0x4008_7602, 0x4004_7602, 0x4008_6604, 0x4004_7211];

/// Change directories and files by a descriptor that is open for reading, past every rule about
/// paths: of btrfs the making and removing of subvolumes in its three forms each, their flags and
/// origin, and defragmentation; of ext4 the migration of an inode.
const STRUCTURE_IOCTLS: [u32; 11] = [
    0x5000_9401,
    0x5000_940e,
    0x5000_940f,
    0x5000_9417,
    0x5000_9418,
    0x5000_943f,
    0x4008_941a,
    0xc0c8_9425,
    0x5000_9402,
    0x4030_9410,
    0x6609,
];

/// Opens the other side of a new terminal: `TIOCGPTPEER` of asm-generic/ioctls.h.
pub(crate) const OPEN_TERMINAL: u32 = 0x5441;

/// Put input into a terminal as if typed (`TIOCSTI`, `TIOCLINUX`), close it to its user or give it
/// another discipline for good (`TIOCEXCL`, `TIOCSETD`), or seal files and directories for good
/// without writing to them (`FS_IOC_ENABLE_VERITY`, `FS_IOC_SET_ENCRYPTION_POLICY`).
const REFUSED_IOCTLS: [u32; 6] = [0x5412, 0x541c, 0x540c, 0x5423, 0x4080_6685, 0x800c_6613];

/// `F_SETLEASE` of linux/fcntl.h: makes everybody else wait who opens the file.
const SET_LEASE: u64 = 1024;

/// Flags of `clone` that make namespaces.
const NAMESPACE_FLAGS: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Where `struct seccomp_data` has the low halves of arguments, on little-endian machines.
const ARGUMENT_0_LOW_AT: u32 = 16;
const ARGUMENT_1_LOW_AT: u32 = 24;
const ARGUMENT_2_LOW_AT: u32 = 32;

/// The flags by which an open for reading and writing, that makes nothing, is known. Terminals are
/// opened like that, and little else is.
const OPENING_FLAGS: u32 = (libc::O_ACCMODE | libc::O_CREAT).cast_unsigned();
const OPENS_TERMINAL: u32 = libc::O_RDWR.cast_unsigned();

/// Calls that open files by a path, and where their flags stand.
#[cfg(target_arch = "x86_64")]
const OPENS: [(c_long, u32); 2] =
    [(libc::SYS_openat, ARGUMENT_2_LOW_AT), (libc::SYS_open, ARGUMENT_1_LOW_AT)];
#[cfg(target_arch = "aarch64")]
const OPENS: [(c_long, u32); 1] = [(libc::SYS_openat, ARGUMENT_2_LOW_AT)];

/// `NETLINK_SOCK_DIAG` of linux/netlink.h.
const NETLINK_SOCK_DIAG: u64 = 4;

/// `SOCK_TYPE_MASK` of linux/net.h; flags stand above it.
const SOCKET_TYPES: u64 = 0xf;

/// Builds the program for a policy beside a rule set of this ABI, with or without a supervisor that
/// answers what only it can judge. Allocates; do it before the process is confined.
pub(crate) fn program(
    policy: &Policy,
    abi: u32,
    apart: Apart,
    supervised: Supervised,
    sockets: PathSockets,
    metadata: Metadata,
) -> io::Result<BpfProgram> {
    let mut rules = rules(policy, abi, apart, metadata)?;
    if sockets == PathSockets::Guarded {
        guard_sockets(&mut rules, policy.network)?;
    }
    let is_asked = supervised == Supervised::Yes;
    let is_metadata_asked = is_asked && metadata == Metadata::Asked;
    let mut verdicts = BTreeMap::new();
    let mut judge = |numbers: &[c_long], verdict| {
        verdicts.extend(numbers.iter().map(|number| (*number, verdict)));
    };
    for (number, conditions) in &rules {
        let verdict = if conditions.is_empty() { Verdict::Refused } else { Verdict::Judged };
        judge(&[*number], verdict);
    }
    if is_asked && sockets == PathSockets::Guarded {
        judge(&[libc::SYS_connect], Verdict::Asked);
    }
    if is_metadata_asked {
        judge(&METADATA, Verdict::Asked);
        judge(&METADATA_HERE, Verdict::Asked);
    }
    let are_terminals_asked = is_asked && apart == Apart::Nothing;
    if are_terminals_asked {
        judge(&OPENS.map(|(number, _)| number), Verdict::Judged);
    }
    judge(&ABSENT, Verdict::Absent);
    if abi < ABI_TRUNCATE {
        // Its flags stand behind a pointer, and programs have done without it for long.
        judge(&[libc::SYS_openat2], Verdict::Absent);
    }
    let mut program = head();
    program.extend(verdicts::program(&verdicts).ok_or_else(|| invalid(()))?);
    if is_asked && apart != Apart::Whole {
        processes::ask(&mut program)?;
    }
    if are_terminals_asked {
        ask_about_terminals(&mut program)?;
    }
    if is_metadata_asked {
        program.extend(asked_ioctls()?);
    }
    rules.retain(|_, conditions| !conditions.is_empty());
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, ARCH.1).map_err(invalid)?;
    let tail: BpfProgram = filter.try_into().map_err(invalid)?;
    program.extend(tail);
    Ok(program)
}

/// Whether somebody answers supervised calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supervised {
    Yes,
    No,
}

/// What keeps the command from unix sockets that others serve by a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathSockets {
    /// Landlock does.
    Ruled,
    /// The supervisor makes connections; without one they are refused.
    Guarded,
    /// Nothing: the supervisor could not make the command's internet connections.
    Open,
}

/// Whether a policy has calls that a supervisor is needed for.
pub(crate) fn wants_supervisor(metadata: Metadata, apart: Apart, sockets: PathSockets) -> bool {
    // A terminal that the command makes comes from the supervisor where others have theirs too.
    metadata == Metadata::Asked || sockets == PathSockets::Guarded || apart == Apart::Nothing
}

/// What becomes of calls that change metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// The supervisor makes them; without one they are refused.
    Asked,
    /// Mounts of the command's own hold what is outside of the roots.
    Mounted,
    Refused,
}

impl Metadata {
    /// `is_handed` says whether the command is given a file of somebody else's as a descriptor,
    /// which leads past its mounts.
    pub(crate) fn of(access: Access, apart: Apart, is_handed: bool) -> Metadata {
        match (access, apart) {
            (Access::ReadOnly, _) => Metadata::Refused,
            (Access::WorkspaceWrite | Access::Full, Apart::View | Apart::Whole) if !is_handed => {
                Metadata::Mounted
            }
            (Access::WorkspaceWrite | Access::Full, _) => Metadata::Asked,
        }
    }
}

/// Installs a program for this process and all it starts, for good.
pub(crate) fn install(program: &[sock_filter]) -> io::Result<()> {
    install_with(program, 0).map(drop)
}

/// Installs a program and returns the descriptor on which its supervised calls arrive.
///
/// Fails with `EBUSY` within another supervisor, and with `EINVAL` on kernels before 5.0.
pub(crate) fn install_listening(program: &[sock_filter]) -> io::Result<OwnedFd> {
    let listening = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // A call that we have begun to make must not be made again because of a signal. Kernels
    // before 5.19 do so all the same.
    let killable = listening | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let fd = match install_with(program, killable) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            install_with(program, listening)?
        }
        installed => installed?,
    };
    let fd = RawFd::try_from(fd).map_err(invalid)?;
    // SAFETY: the descriptor is fresh and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn install_with(program: &[sock_filter], flags: c_ulong) -> io::Result<c_long> {
    let len = u16::try_from(program.len()).map_err(invalid)?;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `filter` points to `len` instructions of the kernel's layout, which only reads them.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

/// Whether filters with errno answers can be installed.
pub(crate) fn is_available() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the operation reads one u32 behind the pointer.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    done == 0
}

/// What every call meets first. All jumps are relative, so the rest can simply follow; it finds the
/// number loaded.
fn head() -> BpfProgram {
    vec![
        load(4),
        // A foreign architecture numbers its calls otherwise.
        jump(libc::BPF_JEQ, ARCH.0, 1, 0),
        answer(REFUSAL),
        load(0),
        jump(libc::BPF_JGE, X32_BIT, 0, 1),
        answer(REFUSAL),
        jump(libc::BPF_JGT, NUMBER_LAST, 0, 1),
        answer(ABSENCE),
    ]
}

/// The requests by ioctl that the supervisor answers. Comes before the refusals, which hold where
/// it does not.
fn asked_ioctls() -> io::Result<BpfProgram> {
    let requests = u8::try_from(METADATA_IOCTLS.len()).map_err(invalid)?;
    let ioctl = u32::try_from(libc::SYS_ioctl).map_err(invalid)?;
    let mut program = vec![
        // Past the load of the request's low half, the requests, and the answer.
        jump(libc::BPF_JEQ, ioctl, 0, requests + 3),
        load(ARGUMENT_1_LOW_AT),
    ];
    for (at, request) in METADATA_IOCTLS.iter().enumerate() {
        let after = METADATA_IOCTLS.len() - 1 - at;
        let to_answer = u8::try_from(after + 1).map_err(invalid)?;
        program.push(jump(libc::BPF_JEQ, *request, to_answer, 0));
    }
    // The rest loads the number again by itself.
    program.push(jump(libc::BPF_JA, 1, 0, 0));
    program.push(answer(libc::SECCOMP_RET_USER_NOTIF));
    Ok(program)
}

/// Asks about opens that may be of terminals. Finds the call's number loaded, and leaves it so.
fn ask_about_terminals(program: &mut BpfProgram) -> io::Result<()> {
    let ask = libc::SECCOMP_RET_USER_NOTIF;
    for (number, flags_at) in OPENS {
        program.extend([
            jump(libc::BPF_JEQ, u32::try_from(number).map_err(invalid)?, 0, 5),
            load(flags_at),
            instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, OPENING_FLAGS),
            jump(libc::BPF_JEQ, OPENS_TERMINAL, 0, 1),
            answer(ask),
            load(0),
        ]);
    }
    program.extend([
        jump(libc::BPF_JEQ, u32::try_from(libc::SYS_ioctl).map_err(invalid)?, 0, 4),
        load(ARGUMENT_1_LOW_AT),
        jump(libc::BPF_JEQ, OPEN_TERMINAL, 0, 1),
        answer(ask),
        load(0),
    ]);
    Ok(())
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// What is refused by number (no rule) or by arguments (one rule is enough).
fn rules(policy: &Policy, abi: u32, apart: Apart, metadata: Metadata) -> io::Result<Rules> {
    let mut rules = Rules::new();
    let by_number = REFUSED.iter().chain(&REFUSED_HERE);
    rules.extend(by_number.map(|&number| (number, Vec::new())));
    if apart == Apart::Nothing {
        rules.extend(OBJECTS.map(|number| (number, Vec::new())));
    }
    for flag in NAMESPACE_FLAGS {
        let flag = u64::from(flag.cast_unsigned());
        refuse_if(&mut rules, libc::SYS_clone, &[(0, SeccompCmpOp::MaskedEq(flag), flag)])?;
    }
    for request in REFUSED_IOCTLS {
        refuse_if(&mut rules, libc::SYS_ioctl, &[(1, SeccompCmpOp::Eq, request.into())])?;
    }
    refuse_if(&mut rules, libc::SYS_fcntl, &[(1, SeccompCmpOp::Eq, SET_LEASE)])?;
    if metadata != Metadata::Mounted {
        let by_number = METADATA.iter().chain(&METADATA_HERE);
        rules.extend(by_number.map(|&number| (number, Vec::new())));
        for request in METADATA_IOCTLS.into_iter().chain(STRUCTURE_IOCTLS) {
            refuse_if(&mut rules, libc::SYS_ioctl, &[(1, SeccompCmpOp::Eq, request.into())])?;
        }
    }
    if abi < ABI_TRUNCATE {
        refuse_truncation(&mut rules)?;
    }
    if apart != Apart::Whole {
        processes::refuse(&mut rules)?;
    }
    // Its own network leads nowhere.
    refuse_sockets(&mut rules, policy.network || apart != Apart::Nothing)?;
    Ok(rules)
}

/// Emptying files that are not opened for writing, which old rule sets do not notice: by path, or
/// by opening with `O_TRUNC` for reading or for nothing (access modes 0 and 3).
fn refuse_truncation(rules: &mut Rules) -> io::Result<()> {
    rules.insert(libc::SYS_truncate, Vec::new());
    let mask = u64::from((libc::O_TRUNC | libc::O_ACCMODE).cast_unsigned());
    for mode in [libc::O_RDONLY, libc::O_ACCMODE] {
        let flags = u64::from((libc::O_TRUNC | mode).cast_unsigned());
        refuse_if(rules, libc::SYS_openat, &[(2, SeccompCmpOp::MaskedEq(mask), flags)])?;
        #[cfg(target_arch = "x86_64")]
        refuse_if(rules, libc::SYS_open, &[(1, SeccompCmpOp::MaskedEq(mask), flags)])?;
    }
    Ok(())
}

/// Sockets by family and protocol. Unix sockets and read-only routing questions always work.
fn refuse_sockets(rules: &mut Rules, network: bool) -> io::Result<()> {
    use SeccompCmpOp::{Eq, Ne};
    let family = |family: i32| u64::from(family.cast_unsigned());
    let mut others = vec![(0, Ne, family(libc::AF_UNIX)), (0, Ne, family(libc::AF_NETLINK))];
    let mut netlinks =
        vec![(0, Eq, family(libc::AF_NETLINK)), (2, Ne, family(libc::NETLINK_ROUTE))];
    if network {
        others.extend([(0, Ne, family(libc::AF_INET)), (0, Ne, family(libc::AF_INET6))]);
        netlinks.push((2, Ne, NETLINK_SOCK_DIAG));
        refuse_odd_internet(rules)?;
    }
    refuse_if(rules, libc::SYS_socket, &others)?;
    refuse_if(rules, libc::SYS_socket, &netlinks)?;
    refuse_if(rules, libc::SYS_socketpair, &[(0, Ne, family(libc::AF_UNIX))])
}

/// Internet sockets other than TCP, UDP and the unprivileged ping: raw ones, and the protocols that
/// reach a network past what others look at.
fn refuse_odd_internet(rules: &mut Rules) -> io::Result<()> {
    use SeccompCmpOp::{MaskedEq, Ne};
    let family = |family: i32| u64::from(family.cast_unsigned());
    let internet = [(0, Ne, family(libc::AF_UNIX)), (0, Ne, family(libc::AF_NETLINK))];
    // All types but 1 (stream) and 2 (datagram), by their bits.
    for (mask, bits) in [(8, 8), (4, 4), (3, 3), (SOCKET_TYPES, 0)] {
        let odd = [internet.as_slice(), &[(1, MaskedEq(mask), bits)]].concat();
        refuse_if(rules, libc::SYS_socket, &odd)?;
    }
    let protocols: [(i32, &[i32]); 2] = [
        (libc::SOCK_STREAM, &[0, libc::IPPROTO_TCP]),
        (libc::SOCK_DGRAM, &[0, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6]),
    ];
    for (kind, known) in protocols {
        let mut odd = internet.to_vec();
        odd.push((1, MaskedEq(SOCKET_TYPES), u64::from(kind.cast_unsigned())));
        odd.extend(known.iter().map(|protocol| (2, Ne, u64::from(protocol.cast_unsigned()))));
        refuse_if(rules, libc::SYS_socket, &odd)?;
    }
    Ok(())
}

/// What must not be where the supervisor makes the connections to path sockets: sockets that send
/// to an address without one (`SOCK_RAW` means the same), and connections when nobody makes them.
fn guard_sockets(rules: &mut Rules, network: bool) -> io::Result<()> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let unix = u64::from(libc::AF_UNIX.cast_unsigned());
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        let kind = (1, MaskedEq(SOCKET_TYPES), u64::from(kind.cast_unsigned()));
        for number in [libc::SYS_socket, libc::SYS_socketpair] {
            refuse_if(rules, number, &[(0, Eq, unix), kind.clone()])?;
        }
    }
    if !network {
        rules.insert(libc::SYS_connect, Vec::new());
    }
    Ok(())
}

/// Refuses a call if all of the conditions hold. They look at the low half of an argument, which is
/// all that the kernel reads of an int: garbage above it would walk past a wider comparison.
fn refuse_if(
    rules: &mut Rules,
    number: c_long,
    conditions: &[(u8, SeccompCmpOp, u64)],
) -> io::Result<()> {
    let dword = SeccompCmpArgLen::Dword;
    let conditions = conditions
        .iter()
        .map(|(argument, op, value)| condition(*argument, dword.clone(), op.clone(), *value))
        .collect::<io::Result<Vec<_>>>()?;
    let rule = SeccompRule::new(conditions).map_err(invalid)?;
    rules.entry(number).or_default().push(rule);
    Ok(())
}

fn condition(
    argument: u8,
    len: SeccompCmpArgLen,
    op: SeccompCmpOp,
    value: u64,
) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, len, op, value).map_err(invalid)
}

/// Our own tables can only be wrong in ways that the tests below would meet.
fn invalid<E>(_: E) -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(access: Access, network: bool) -> Policy {
        Policy { network, ..Policy::of(access) }
    }

    #[test]
    fn every_policy_has_a_program_the_kernel_takes() {
        // `BPF_MAXINSNS` of linux/bpf_common.h.
        const INSTRUCTIONS_MAX: usize = 4096;
        for access in [Access::ReadOnly, Access::WorkspaceWrite] {
            for network in [false, true] {
                for (abi, apart, supervised) in [
                    (1, Apart::Nothing, Supervised::Yes),
                    (1, Apart::View, Supervised::Yes),
                    (1, Apart::Nothing, Supervised::No),
                    (9, Apart::Whole, Supervised::Yes),
                ] {
                    let sockets = PathSockets::Guarded;
                    let policy = policy(access, network);
                    for metadata in [Metadata::Asked, Metadata::Mounted, Metadata::Refused] {
                        let program = program(&policy, abi, apart, supervised, sockets, metadata);
                        assert!(program.unwrap().len() < INSTRUCTIONS_MAX);
                    }
                }
            }
        }
    }

    #[test]
    fn no_number_is_refused_twice_or_beyond_the_table() {
        let rules = rules(&policy(Access::ReadOnly, false), 1, Apart::Nothing, Metadata::Refused);
        let rules = rules.unwrap();
        for number in rules.keys() {
            assert!(u32::try_from(*number).unwrap() <= NUMBER_LAST);
            assert!(!ABSENT.contains(number));
        }
    }
}
