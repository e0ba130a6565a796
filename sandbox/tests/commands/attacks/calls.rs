//! System calls that no shell makes: metadata by every entry, files by other ways, races, and the
//! parts of the kernel that a command has no use for.

use std::cell::Cell;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;

use super::scene::GOT_IT;
use super::{Attack, part_of};

pub(crate) const ATTACKS: &[Attack] = &[
    part_of("truncate by path", || on_path(libc::SYS_truncate, [0; 3])),
    part_of("open to truncate", || open(libc::O_RDONLY | libc::O_TRUNC)),
    part_of("open to create", || open_at("fresh", libc::O_RDONLY | libc::O_CREAT)),
    part_of("open2", open2),
    part_of("a nameless file", nameless),
    part_of("exchange", exchange),
    part_of("by handle", by_handle),
    part_of("by path descriptor", by_path_descriptor),
    part_of("chmod", || on_path_old("chmod", 0o777)),
    part_of("fchmod", || on_open(libc::SYS_fchmod, [0o777, 0, 0, 0])),
    part_of("fchmodat", || at_path(libc::SYS_fchmodat, [0o777, 0, 0])),
    part_of("fchmodat2", || at_path(452, [0o777, 0, 0])),
    part_of("fchmodat2, empty path", || at_nothing(452, |path| [path, 0o777, EMPTY_PATH])),
    part_of("fchown", || on_open(libc::SYS_fchown, [own_id(), -1, 0, 0])),
    part_of("fchownat", || at_path(libc::SYS_fchownat, [own_id(), -1, 0])),
    part_of("fchownat, empty path", at_nothing_owner),
    part_of("utimensat", || at_path(libc::SYS_utimensat, [0, 0, 0])),
    part_of("utimensat, open file", || on_open(libc::SYS_utimensat, [0, 0, 0, 0])),
    part_of("setxattr", || attribute("path")),
    part_of("lsetxattr", || attribute("link")),
    part_of("fsetxattr", || attribute("open")),
    part_of("setxattrat", attribute_at),
    part_of("inode flags", inode_flags),
    part_of("inode generation", inode_generation),
    part_of("file attributes", file_attributes),
    part_of("chmod, raced", raced_chmod),
    part_of("chmod, a link raced", raced_link),
    part_of("open, a link raced", raced_open),
    part_of("chmod by the 32-bit entry", chmod_by_interrupt),
    part_of("chmod by x32", || on_path_old("x32", 0o777)),
    part_of("io_uring", || gets(libc::SYS_io_uring_setup, [4, zeros(), 0, 0, 0])),
    part_of("bpf", || gets(libc::SYS_bpf, [5, bpf_program(), 120, 0, 0])),
    part_of("perf events", || gets(libc::SYS_perf_event_open, [perf_event(), 0, -1, -1, 0])),
    part_of("userfaultfd", || gets(libc::SYS_userfaultfd, [1, 0, 0, 0, 0])),
    part_of("keyrings", keyrings),
    part_of("namespaces", namespaces),
    part_of("namespaces by clone", namespaces_by_clone),
    part_of("mount calls", mount_calls),
    part_of("kernel settings", kernel_settings),
    part_of("shared memory of old", || gets(libc::SYS_shmget, [0x57_4c, 4096, 0o1600, 0, 0])),
    part_of("queues", queues),
    part_of("the kernel's log", kernel_log),
    part_of("devices", devices),
    part_of("consoles and disks, to read", consoles_and_disks),
    part_of("a lease", lease),
];

const EMPTY_PATH: i64 = 0x1000;

/// What the scene told us.
pub(crate) fn told(key: &str) -> String {
    std::env::var(key).unwrap()
}

/// Calls; numbers libc lacks and senseless arguments are the point.
pub(crate) fn call(number: i64, arguments: [i64; 5]) -> i64 {
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: pointers among the arguments are null or name places that outlive the call.
    unsafe { libc::syscall(number, first, second, third, fourth, fifth, 0_i64) }
}

/// Says so when a call succeeds.
pub(crate) fn gets(number: i64, arguments: [i64; 5]) {
    if call(number, arguments) >= 0 {
        println!("{GOT_IT} by {number}");
    }
}

fn zeros() -> i64 {
    static ZEROS: [u64; 64] = [0; 64];
    let mut copy = Box::new(ZEROS);
    let place = copy.as_mut_ptr() as i64;
    Box::leak(copy);
    place
}

fn c(path: &str) -> CString {
    CString::new(path).unwrap()
}

fn kept() -> CString {
    c(&format!("{}/kept", told("O")))
}

fn own_id() -> i64 {
    // SAFETY: getuid takes nothing.
    i64::from(unsafe { libc::getuid() })
}

fn at_cwd() -> i64 {
    i64::from(libc::AT_FDCWD)
}

fn on_path(number: i64, rest: [i64; 3]) {
    let path = kept();
    call(number, [path.as_ptr() as i64, rest[0], rest[1], rest[2], 0]);
}

#[cfg(target_arch = "x86_64")]
fn on_path_old(which: &str, mode: i64) {
    let path = kept();
    let number = libc::SYS_chmod | if which == "x32" { 0x4000_0000 } else { 0 };
    call(number, [path.as_ptr() as i64, mode, 0, 0, 0]);
    if which == "chmod" {
        call(libc::SYS_utimes, [path.as_ptr() as i64, 0, 0, 0, 0]);
        call(libc::SYS_utime, [path.as_ptr() as i64, 0, 0, 0, 0]);
        call(libc::SYS_futimesat, [at_cwd(), path.as_ptr() as i64, 0, 0, 0]);
        call(libc::SYS_chown, [path.as_ptr() as i64, own_id(), -1, 0, 0]);
        call(libc::SYS_lchown, [path.as_ptr() as i64, own_id(), -1, 0, 0]);
        call(libc::SYS_creat, [path.as_ptr() as i64, 0o777, 0, 0, 0]);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn on_path_old(_: &str, mode: i64) {
    at_path(libc::SYS_fchmodat, [mode, 0, 0]);
}

fn on_open(number: i64, rest: [i64; 4]) {
    if let Ok(file) = File::open(format!("{}/kept", told("O"))) {
        call(number, [i64::from(file.as_raw_fd()), rest[0], rest[1], rest[2], rest[3]]);
    }
}

fn at_path(number: i64, rest: [i64; 3]) {
    let path = kept();
    call(number, [at_cwd(), path.as_ptr() as i64, rest[0], rest[1], rest[2]]);
    let directory = c(&told("O"));
    let fd = call(libc::SYS_openat, [at_cwd(), directory.as_ptr() as i64, 0, 0, 0]);
    call(number, [fd, c"kept".as_ptr() as i64, rest[0], rest[1], rest[2]]);
}

fn path_descriptor() -> i64 {
    let path = kept();
    call(libc::SYS_openat, [at_cwd(), path.as_ptr() as i64, i64::from(libc::O_PATH), 0, 0])
}

fn at_nothing(number: i64, rest: fn(i64) -> [i64; 3]) {
    let [path, second, third] = rest(c"".as_ptr() as i64);
    call(number, [path_descriptor(), path, second, third, 0]);
}

fn at_nothing_owner() {
    let path = c"".as_ptr() as i64;
    call(libc::SYS_fchownat, [path_descriptor(), path, own_id(), -1, EMPTY_PATH]);
}

fn open(flags: i32) {
    open_at("kept", flags);
}

fn open_at(name: &str, flags: i32) {
    let path = c(&format!("{}/{name}", told("O")));
    call(libc::SYS_openat, [at_cwd(), path.as_ptr() as i64, i64::from(flags), 0o600, 0]);
}

fn open2() {
    let path = kept();
    let how = [u64::from((libc::O_RDWR | libc::O_TRUNC).cast_unsigned()), 0, 0];
    call(libc::SYS_openat2, [at_cwd(), path.as_ptr() as i64, how.as_ptr() as i64, 24, 0]);
}

fn nameless() {
    let directory = c(&told("O"));
    let flags = i64::from(libc::O_TMPFILE | libc::O_RDWR);
    let fd = call(libc::SYS_openat, [at_cwd(), directory.as_ptr() as i64, flags, 0o600, 0]);
    let from = c(&format!("/proc/self/fd/{fd}"));
    let to = c(&format!("{}/named", told("O")));
    let (from, to) = (from.as_ptr() as i64, to.as_ptr() as i64);
    call(libc::SYS_linkat, [at_cwd(), from, at_cwd(), to, 0x400]);
}

fn exchange() {
    let ours = format!("{}/exchanged", told("W"));
    let _ = std::fs::write(&ours, "x");
    let (ours, theirs) = (c(&ours), kept());
    let (from, to) = (ours.as_ptr() as i64, theirs.as_ptr() as i64);
    call(libc::SYS_renameat2, [at_cwd(), from, at_cwd(), to, 2]);
}

fn by_handle() {
    let path = kept();
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0_i32;
    let place = handle.as_mut_ptr() as i64;
    let mount = &raw mut mount as i64;
    call(libc::SYS_name_to_handle_at, [at_cwd(), path.as_ptr() as i64, place, mount, 0]);
    let root = call(libc::SYS_openat, [at_cwd(), c"/tmp".as_ptr() as i64, 0, 0, 0]);
    let fd = call(libc::SYS_open_by_handle_at, [root, place, i64::from(libc::O_WRONLY), 0, 0]);
    call(libc::SYS_write, [fd, c"x".as_ptr() as i64, 1, 0, 0]);
}

fn by_path_descriptor() {
    let again = c(&format!("/proc/self/fd/{}", path_descriptor()));
    let flags = i64::from(libc::O_WRONLY | libc::O_TRUNC);
    call(libc::SYS_openat, [at_cwd(), again.as_ptr() as i64, flags, 0, 0]);
    call(libc::SYS_fchmodat, [at_cwd(), again.as_ptr() as i64, 0o777, 0, 0]);
}

fn attribute(way: &str) {
    let (name, value) = (c"user.x".as_ptr() as i64, c"y".as_ptr() as i64);
    let path = kept();
    match way {
        "path" => call(libc::SYS_setxattr, [path.as_ptr() as i64, name, value, 1, 0]),
        "link" => call(libc::SYS_lsetxattr, [path.as_ptr() as i64, name, value, 1, 0]),
        _ => {
            let Ok(file) = File::open(format!("{}/kept", told("O"))) else { return };
            call(libc::SYS_fsetxattr, [i64::from(file.as_raw_fd()), name, value, 1, 0])
        }
    };
}

fn attribute_at() {
    let path = kept();
    let value = [c"y".as_ptr() as u64, 1];
    let name = c"user.x".as_ptr() as i64;
    // SAFETY: the strings and the structure of the value are live.
    unsafe {
        libc::syscall(463, at_cwd(), path.as_ptr(), 0_i64, name, value.as_ptr(), 16_i64);
    }
}

fn inode_flags() {
    let Ok(file) = File::open(format!("{}/kept", told("O"))) else { return };
    let fd = i64::from(file.as_raw_fd());
    // The kernel writes through these; no access times are asked for.
    let (flags, more) = (Cell::new(0_u64), Cell::new([0_u32; 7]));
    call(libc::SYS_ioctl, [fd, 0x8008_6601, flags.as_ptr() as i64, 0, 0]);
    flags.set(flags.get() | 0x80);
    for request in [0x4008_6602, 0x1_4008_6602] {
        call(libc::SYS_ioctl, [fd, request, flags.as_ptr() as i64, 0, 0]);
    }
    call(libc::SYS_ioctl, [fd, 0x801c_581f, more.as_ptr() as i64, 0, 0]);
    let mut changed = more.get();
    changed[0] |= 0x80;
    more.set(changed);
    call(libc::SYS_ioctl, [fd, 0x401c_5820, more.as_ptr() as i64, 0, 0]);
}

/// ext4 has a number of its own for this beside the one that all have.
fn inode_generation() {
    let Ok(file) = File::open(format!("{}/kept", told("O"))) else { return };
    let generation = 0x5747_u64;
    for request in [0x4008_7602, 0x4008_6604, 0x1_4008_6604] {
        let place = &raw const generation as i64;
        call(libc::SYS_ioctl, [i64::from(file.as_raw_fd()), request, place, 0, 0]);
    }
}

fn file_attributes() {
    let path = kept();
    call(469, [at_cwd(), path.as_ptr() as i64, zeros(), 24, 0]);
}

/// A page that children share.
pub(crate) fn shared_page() -> *mut libc::c_void {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping where the kernel likes.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, 3, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    page
}

pub(crate) fn end(child: i32) {
    // SAFETY: kill takes integers; the child is ours and not reaped.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // SAFETY: a null place is allowed.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

/// A child swaps the path in memory between one of ours and one outside.
fn raced_chmod() {
    let ours = format!("{}/ours", told("W"));
    let _ = std::fs::write(&ours, "x");
    let shared = shared_page().cast::<[u8; 256]>();
    let fill = |path: &str| {
        let mut bytes = [0; 256];
        bytes[..path.len()].copy_from_slice(path.as_bytes());
        bytes
    };
    let (good, bad) = (fill(&ours), fill(kept().to_str().unwrap()));
    // SAFETY: fork takes nothing; this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: the page is shared, mapped and larger than the path.
            unsafe { shared.write_volatile(bad) };
            // SAFETY: as above.
            unsafe { shared.write_volatile(good) };
        }
    }
    for _ in 0..300 {
        call(libc::SYS_fchmodat, [at_cwd(), shared as i64, 0o711, 0, 0]);
        call(libc::SYS_sched_yield, [0; 5]);
    }
    end(child);
}

/// A child swaps a link between one of ours and one outside.
fn swap_links(mut attempt: impl FnMut(&str)) {
    let workspace = told("W");
    let (link, spare) = (format!("{workspace}/link"), format!("{workspace}/spare"));
    let _ = std::fs::create_dir(format!("{workspace}/good"));
    let _ = std::fs::write(format!("{workspace}/good/kept"), "x");
    let _ = std::os::unix::fs::symlink(format!("{workspace}/good"), &link);
    let _ = std::os::unix::fs::symlink(told("O"), &spare);
    // SAFETY: fork takes nothing; this process has one thread.
    let child = unsafe { libc::fork() };
    let (one, two) = (c(&link), c(&spare));
    let (one, two) = (one.as_ptr() as i64, two.as_ptr() as i64);
    if child == 0 {
        loop {
            call(libc::SYS_renameat2, [at_cwd(), one, at_cwd(), two, 2]);
        }
    }
    for _ in 0..300 {
        attempt(&format!("{link}/kept"));
        call(libc::SYS_sched_yield, [0; 5]);
    }
    end(child);
}

fn raced_link() {
    swap_links(|path| {
        let path = c(path);
        call(libc::SYS_fchmodat, [at_cwd(), path.as_ptr() as i64, 0o711, 0, 0]);
    });
}

fn raced_open() {
    swap_links(|path| drop(File::options().append(true).open(path).map(|file| file.set_len(1))));
}

/// The 32-bit entry has numbers of its own; paths must lie low.
#[cfg(target_arch = "x86_64")]
fn chmod_by_interrupt() {
    let path = kept();
    let bytes = path.as_bytes_with_nul();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    // SAFETY: a fresh mapping in the low part of memory.
    let low = unsafe { libc::mmap(std::ptr::null_mut(), 4096, 3, flags, -1, 0) };
    if low == libc::MAP_FAILED {
        return;
    }
    // SAFETY: the mapping is larger than the path.
    unsafe { low.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    // SAFETY: chmod (15) reads the path; rbx is saved around it, since the compiler keeps it.
    unsafe {
        std::arch::asm!(
            "push rbx", "mov ebx, {path:e}", "int 0x80", "pop rbx",
            path = in(reg) low as u32, inout("eax") 15_i32 => _, in("ecx") 0o777_i32,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn chmod_by_interrupt() {}

/// `return 0` as a socket filter.
fn bpf_program() -> i64 {
    let code: &[u64; 2] = Box::leak(Box::new([0xb7, 0x95]));
    let licence = c"GPL".as_ptr() as u64;
    let attributes: &mut [u64; 16] = Box::leak(Box::new([0; 16]));
    attributes[0] = 1 | 2 << 32;
    attributes[1] = code.as_ptr() as u64;
    attributes[2] = licence;
    attributes.as_ptr() as i64
}

/// A software clock of our own process.
fn perf_event() -> i64 {
    let attributes: &mut [u64; 16] = Box::leak(Box::new([0; 16]));
    attributes[0] = 1 | 128 << 32;
    attributes[5] = 0x60;
    attributes.as_ptr() as i64
}

fn keyrings() {
    let (kind, name) = (c"user".as_ptr() as i64, c"windlass-attack".as_ptr() as i64);
    gets(libc::SYS_add_key, [kind, name, c"x".as_ptr() as i64, 1, -3]);
    gets(libc::SYS_keyctl, [0, -3, 0, 0, 0]);
    gets(libc::SYS_request_key, [kind, name, 0, -3, 0]);
}

fn namespaces() {
    for flag in [0x1000_0000_i64, 0x4000_0000, 0x0400_0000, 0x0800_0000, 0x2000_0000, 0x0002_0000] {
        gets(libc::SYS_unshare, [flag, 0, 0, 0, 0]);
    }
    let fd = call(libc::SYS_openat, [at_cwd(), c"/proc/self/ns/uts".as_ptr() as i64, 0, 0, 0]);
    gets(libc::SYS_setns, [fd, 0, 0, 0, 0]);
}

fn namespaces_by_clone() {
    let user = 0x1000_0000;
    let child = call(libc::SYS_clone, [user | i64::from(libc::SIGCHLD), 0, 0, 0, 0]);
    if child == 0 {
        println!("{GOT_IT}");
        std::process::exit(0);
    }
    let arguments = [user as u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    let child = call(libc::SYS_clone3, [arguments.as_ptr() as i64, 64, 0, 0, 0]);
    if child == 0 {
        println!("{GOT_IT}");
        std::process::exit(0);
    }
}

fn mount_calls() {
    let tmpfs = c"tmpfs".as_ptr() as i64;
    gets(libc::SYS_fsopen, [tmpfs, 0, 0, 0, 0]);
    gets(libc::SYS_open_tree, [at_cwd(), c"/tmp".as_ptr() as i64, 1, 0, 0]);
    let target = c(&format!("{}/inner", told("W")));
    gets(libc::SYS_mount, [tmpfs, target.as_ptr() as i64, tmpfs, 0, 0]);
    call(libc::SYS_umount2, [target.as_ptr() as i64, 2, 0, 0, 0]);
}

/// Opened only: what they hold is the machine's.
fn kernel_settings() {
    let settings =
        ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness", "/proc/sysrq-trigger"];
    for path in settings.into_iter().chain(["/sys/kernel/mm/transparent_hugepage/enabled"]) {
        if File::options().write(true).open(path).is_ok() {
            println!("{GOT_IT} {path}");
        }
    }
}

fn queues() {
    gets(libc::SYS_msgget, [0x57_4c, 0o1600, 0, 0, 0]);
    gets(libc::SYS_semget, [0x57_4c, 1, 0o1600, 0, 0]);
    let name = c(&format!("windlass-{}", std::process::id()));
    gets(libc::SYS_mq_open, [name.as_ptr() as i64, 0o102, 0o600, 0, 0]);
    call(libc::SYS_mq_unlink, [name.as_ptr() as i64, 0, 0, 0, 0]);
}

fn kernel_log() {
    let mut text = [0_u8; 64];
    gets(libc::SYS_syslog, [3, text.as_mut_ptr() as i64, 64, 0, 0]);
}

fn devices() {
    for path in [
        "/dev/kmsg",
        "/dev/mem",
        "/dev/sda",
        "/dev/vda",
        "/dev/fuse",
        "/dev/kvm",
        "/dev/loop-control",
    ] {
        if File::options().write(true).open(path).is_ok() {
            println!("{GOT_IT} {path}");
        }
    }
}

/// Opened only, as above: root owns them, and needs no capability to read what is typed, shown or
/// stored there.
fn consoles_and_disks() {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    for path in ["/dev/console", "/dev/tty1", "/dev/ttyS0", "/dev/vcs1", "/dev/sda", "/dev/vda"] {
        let path = c(path);
        gets(libc::SYS_openat, [at_cwd(), path.as_ptr() as i64, flags.into(), 0, 0]);
    }
}

/// Whoever opens the file has to wait for us.
fn lease() {
    let Ok(file) = File::open(format!("{}/sub/deep", told("O"))) else { return };
    for kind in [libc::F_WRLCK, libc::F_RDLCK] {
        let command = i64::from(libc::F_SETLEASE);
        gets(libc::SYS_fcntl, [file.as_raw_fd().into(), command, kind.into(), 0, 0]);
        gets(libc::SYS_fcntl, [file.as_raw_fd().into(), command | 1 << 32, kind.into(), 0, 0]);
    }
}
