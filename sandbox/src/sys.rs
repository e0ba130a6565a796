//! System calls as safe functions. One call each; what they mean is the caller's business.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicBool;

use libc::{c_int, c_long, c_ulong, pid_t};

/// `PIDFD_SIGNAL_PROCESS_GROUP` of linux/pidfd.h, since Linux 6.9.
pub(crate) const PIDFD_SIGNAL_PROCESS_GROUP: u32 = 1 << 2;

/// How a child process changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Signalled(i32),
}

/// What a look for ended children found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    Child(pid_t, Ended),
    NoneYet,
    NoChildren,
}

fn result(value: c_int) -> io::Result<c_int> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

fn long_result(value: c_long) -> io::Result<c_long> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// The number of an error, for a status frame.
pub(crate) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

/// Takes over a descriptor that a call has just returned.
fn owned(fd: c_int) -> OwnedFd {
    // SAFETY: every caller passes the fresh result of a successful call, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(crate) fn prctl(option: c_int, argument: c_ulong) -> io::Result<c_int> {
    let zero: c_ulong = 0;
    // SAFETY: the options used in this crate take integers only, and read no further memory.
    result(unsafe { libc::prctl(option, argument, zero, zero, zero) })
}

/// Gives up every effective, permitted and inheritable capability but those in the two masks
/// (capabilities 0 to 31, and the rest).
pub(crate) fn keep_capabilities(masks: [u32; 2]) -> io::Result<()> {
    // `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h, for the calling process.
    let header: [u32; 2] = [0x2008_0522, 0];
    // Effective, permitted, inheritable, twice.
    let sets: [u32; 6] = [masks[0], masks[0], 0, masks[1], masks[1], 0];
    // SAFETY: version 3 reads a header of two words and six words of sets.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    long_result(done).map(drop)
}

/// A flag shared with the processes forked after this.
pub(crate) fn shared_flag() -> io::Result<&'static AtomicBool> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let len = size_of::<AtomicBool>();
    // SAFETY: a fresh anonymous mapping touches no existing memory.
    let page = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the page is zeroed, aligned, never unmapped, and only used through this atomic.
    Ok(unsafe { AtomicBool::from_ptr(page.cast()) })
}

/// The process group of a process; 0 is ourselves.
pub(crate) fn process_group(pid: pid_t) -> io::Result<pid_t> {
    // SAFETY: getpgid takes an integer.
    result(unsafe { libc::getpgid(pid) })
}

/// The session of a process; 0 is ourselves.
pub(crate) fn session(pid: pid_t) -> io::Result<pid_t> {
    // SAFETY: getsid takes an integer.
    result(unsafe { libc::getsid(pid) })
}

pub(crate) fn pid() -> pid_t {
    // SAFETY: getpid takes nothing and cannot fail.
    unsafe { libc::getpid() }
}

pub(crate) fn parent_pid() -> pid_t {
    // SAFETY: getppid takes nothing and cannot fail.
    unsafe { libc::getppid() }
}

/// Forks. `Ok(0)` is the child. Only for processes with a single thread.
pub(crate) fn fork() -> io::Result<pid_t> {
    // SAFETY: the launcher's process has one thread, so the child is a whole copy of it.
    result(unsafe { libc::fork() })
}

/// Forks with a table of descriptors that both sides share until one of them executes a program or
/// takes a copy. Only for processes with a single thread.
pub(crate) fn fork_sharing_descriptors() -> io::Result<pid_t> {
    let flags = c_long::from(libc::CLONE_FILES | libc::SIGCHLD);
    // SAFETY: as for fork; memory is copied, and without a stack of its own the child goes on
    // with its copy of ours.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_u64, 0_u64, 0_u64, 0_u64) };
    long_result(pid).map(|pid| pid as pid_t)
}

/// Ends the process at once, without running anything on the way.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

pub(crate) fn setsid() -> io::Result<()> {
    // SAFETY: setsid takes nothing.
    result(unsafe { libc::setsid() }).map(drop)
}

/// Makes the terminal on descriptor 0 the controlling one.
pub(crate) fn take_terminal() -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer argument.
    result(unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) }).map(drop)
}

pub(crate) fn chdir(path: &CStr) -> io::Result<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    result(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// Makes a directory whose name nothing has, in the place of the `XXXXXX` at the end of a path. It
/// is closed to others.
pub(crate) fn make_unique_directory(template: CString) -> io::Result<CString> {
    let template = template.into_raw();
    // SAFETY: `template` is a NUL-terminated string that is ours to change; its length stays.
    let made = unsafe { libc::mkdtemp(template) };
    let outcome = if made.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: it comes from `into_raw` above.
    let path = unsafe { CString::from_raw(template) };
    outcome.map(|()| path)
}

pub(crate) fn set_soft_limit(resource: c_int, soft: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the result.
    result(unsafe { libc::getrlimit(resource as _, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max.min(soft);
    // SAFETY: `limit` is initialized and outlives the call.
    result(unsafe { libc::setrlimit(resource as _, &raw const limit) }).map(drop)
}

/// The set of all signals that can be blocked.
pub(crate) fn all_signals() -> libc::sigset_t {
    // SAFETY: a signal set is plain integers, for which zeros are a valid value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid signal set to be filled.
    unsafe { libc::sigfillset(&raw mut set) };
    set
}

/// The set of some signals.
pub(crate) fn signals(numbers: &[c_int]) -> libc::sigset_t {
    // SAFETY: a signal set is plain integers, for which zeros are a valid value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for &number in numbers {
        // SAFETY: `set` is valid; a number out of range is refused with an error.
        unsafe { libc::sigaddset(&raw mut set, number) };
    }
    set
}

pub(crate) fn set_signal_mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is a valid signal set; the old one is not asked for.
    result(unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, ptr::null_mut()) }).map(drop)
}

/// Ignores a signal.
pub(crate) fn ignore_signal(number: c_int) {
    // SAFETY: SIG_IGN involves no handler code.
    unsafe { libc::signal(number, libc::SIG_IGN) };
}

/// Sets what a signal does back to its default. Signals that cannot be changed are left.
///
/// Past libc, which hides two signals of its own that we may have inherited as ignored.
pub(crate) fn reset_signal(number: c_int) {
    // The kernel's structure is at most this long; zeros are `SIG_DFL` without flags or mask.
    let default = [0_u64; 4];
    let old = ptr::null_mut::<u64>();
    let mask_bytes = size_of::<u64>();
    // SAFETY: the kernel reads a structure within `default`; the old one is not asked for.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), old, mask_bytes);
    }
}

/// A descriptor on which blocked signals of `set` can be waited for.
pub(crate) fn signal_fd(set: &libc::sigset_t) -> io::Result<OwnedFd> {
    // SAFETY: `set` is a valid signal set; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    result(fd).map(owned)
}

/// Takes a blocked signal that waits, so that nobody hears of it any more.
pub(crate) fn forget_signal(number: c_int) {
    let set = signals(&[number]);
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the set and the time outlive the call, and nothing is wanted of the signal. A failure
    // means that none was waiting.
    unsafe { libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const at_once) };
}

/// Takes one pending signal off a signal descriptor.
pub(crate) fn next_signal(fd: BorrowedFd<'_>) -> Option<u32> {
    // SAFETY: the structure is plain integers, for which zeros are a valid value.
    let mut event: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let len = size_of::<libc::signalfd_siginfo>();
    // SAFETY: `event` has room for `len` bytes and any bytes are valid for it.
    let read = unsafe { libc::read(fd.as_raw_fd(), (&raw mut event).cast(), len) };
    (read == len.cast_signed()).then_some(event.ssi_signo)
}

pub(crate) fn kill(pid: pid_t, signal: c_int) -> io::Result<()> {
    // SAFETY: kill takes integers.
    result(unsafe { libc::kill(pid, signal) }).map(drop)
}

pub(crate) fn pidfd_open(pid: pid_t) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes integers.
    let fd = long_result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    Ok(owned(fd as c_int))
}

pub(crate) fn pidfd_signal(fd: BorrowedFd<'_>, signal: c_int, flags: u32) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    let info = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null `info` asks the kernel to fill it in; the rest are integers.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, info, flags) };
    long_result(sent).map(drop)
}

/// Reaps one ended child, if there is one. `pid` as for waitpid: -1 is any.
pub(crate) fn reap(pid: pid_t) -> Reaped {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG | libc::__WALL) };
    if reaped == 0 {
        return Reaped::NoneYet;
    }
    if reaped < 0 {
        let interrupted = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        return if interrupted { Reaped::NoneYet } else { Reaped::NoChildren };
    }
    Reaped::Child(reaped, ended(status))
}

fn ended(status: c_int) -> Ended {
    if libc::WIFSIGNALED(status) {
        Ended::Signalled(libc::WTERMSIG(status))
    } else {
        Ended::Exited(libc::WEXITSTATUS(status))
    }
}

/// Waits for one child, and says how it ended.
pub(crate) fn wait_for_end(pid: pid_t) -> Ended {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Ended::Signalled(libc::SIGKILL);
        }
    }
    ended(status)
}

/// Waits until there is no child left.
pub(crate) fn wait_for_all() {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    while unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) } >= 0
        || io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// The user and the group whose rights this process has.
pub(crate) fn user_and_group() -> (u32, u32) {
    // SAFETY: geteuid takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    // SAFETY: getegid takes nothing and cannot fail.
    let group = unsafe { libc::getegid() };
    (user, group)
}

/// Waits for the end of one child.
pub(crate) fn wait_for(pid: pid_t) {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// Whether `pid` is a child of ours, alive or not reaped yet.
pub(crate) fn is_child(pid: pid_t) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: a null `info` is allowed by Linux and means that it is not wanted.
    let found = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_PID,
            pid,
            ptr::null_mut::<libc::siginfo_t>(),
            options,
            ptr::null_mut::<libc::rusage>(),
        )
    };
    found == 0
}

/// Waits until one of the descriptors is readable or closed, at most `timeout_ms` (-1: for ever).
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout_ms: c_int) -> io::Result<()> {
    let count = fds.len() as libc::nfds_t;
    // SAFETY: `fds` is a valid slice of `count` structures.
    match result(unsafe { libc::poll(fds.as_mut_ptr(), count, timeout_ms) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Reads once; zero is the end.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is valid for writes of its length.
    let read = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Writes once.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is valid for reads of its length.
    let written = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Opens a path for nothing but naming it, without following a link in its last component.
pub(crate) fn open_path(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    open_at(directory, name, libc::O_PATH | libc::O_NOFOLLOW)
}

pub(crate) fn open_at(directory: BorrowedFd<'_>, name: &CStr, flags: c_int) -> io::Result<OwnedFd> {
    let directory = directory.as_raw_fd();
    // SAFETY: `name` is NUL-terminated; no O_CREAT, so no mode is read.
    let fd = unsafe { libc::openat(directory, name.as_ptr(), flags | libc::O_CLOEXEC) };
    result(fd).map(owned)
}

/// Opens a path with restrictions on how it is resolved (`RESOLVE_*`).
pub(crate) fn open_restricted(
    directory: BorrowedFd<'_>,
    path: &CStr,
    flags: c_int,
    resolve: u64,
) -> io::Result<OwnedFd> {
    let flags = u64::from((flags | libc::O_CLOEXEC).cast_unsigned());
    let how = OpenHow { flags, mode: 0, resolve };
    // SAFETY: `path` is NUL-terminated and `how` a structure of the given size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<OpenHow>(),
        )
    };
    long_result(fd).map(|fd| owned(fd as c_int))
}

/// `struct open_how` of linux/openat2.h.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Opens an absolute path.
pub(crate) fn open(path: &CStr, flags: c_int) -> io::Result<OwnedFd> {
    // SAFETY: `path` is NUL-terminated; no O_CREAT, so no mode is read.
    result(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }).map(owned)
}

/// The type bits (`S_IFMT`) of what a descriptor names.
pub(crate) fn file_type(fd: BorrowedFd<'_>) -> io::Result<libc::mode_t> {
    Ok(stat(fd)?.st_mode & libc::S_IFMT)
}

/// Type and permissions of what a descriptor names.
pub(crate) fn mode(fd: BorrowedFd<'_>) -> io::Result<libc::mode_t> {
    Ok(stat(fd)?.st_mode)
}

/// The size of what a descriptor names.
pub(crate) fn file_size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(stat(fd)?.st_size.cast_unsigned())
}

/// What is known of what a descriptor names.
pub(crate) fn stat(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    status_of(fd.as_raw_fd())
}

/// What is known of what a number names, if anything is open there.
pub(crate) fn status_of(fd: RawFd) -> io::Result<libc::stat> {
    // SAFETY: the structure is plain integers, for which zeros are a valid value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is a valid place for the result.
    result(unsafe { libc::fstat(fd, &raw mut stat) })?;
    Ok(stat)
}

/// The names in a directory, without the two dots; at most `count_max`, else `E2BIG`.
pub(crate) fn names(directory: OwnedFd, count_max: usize) -> io::Result<Vec<CString>> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor is ours, and fdopendir takes it over.
    let stream = unsafe { libc::fdopendir(directory.into_raw_fd()) };
    if stream.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut names = Vec::new();
    let outcome = loop {
        // SAFETY: `stream` is open, and this process has one thread.
        let entry = unsafe { libc::readdir(stream) };
        if entry.is_null() {
            break Ok(());
        }
        // SAFETY: `entry` is valid until the next readdir; its name is NUL-terminated.
        let name = unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) };
        if name == c"." || name == c".." {
            continue;
        }
        if names.len() == count_max {
            break Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        names.push(name.to_owned());
    };
    // SAFETY: `stream` is open and not used after this.
    unsafe { libc::closedir(stream) };
    outcome.map(|()| names)
}

/// A copy of a descriptor with a number of at least `least`, closed by execve.
pub(crate) fn duplicate_above(fd: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    result(copy).map(owned)
}

/// Puts a copy of `fd` in the place of number `onto`, which the caller gives up.
pub(crate) fn replace(onto: RawFd, fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: dup2 takes integers; only the numbers 0 to 2 are replaced, which nothing here owns.
    result(unsafe { libc::dup2(fd.as_raw_fd(), onto) }).map(drop)
}

/// Closes a number that nothing owns.
pub(crate) fn close_number(fd: RawFd) {
    // SAFETY: close takes an integer; callers pass numbers that no OwnedFd holds.
    unsafe { libc::close(fd) };
}

pub(crate) fn close_range(first: u32, flags: u32) -> io::Result<()> {
    // SAFETY: close_range takes integers; callers pass ranges in which they own nothing they use,
    // or only set the close-on-exec flag.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    long_result(done).map(drop)
}

/// Closes every descriptor from `first` on, as far as they can be found.
pub(crate) fn close_from(first: c_int) {
    if close_range(first.cast_unsigned(), 0).is_ok() {
        return;
    }
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers: Vec<c_int> = names.filter_map(|name| name.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number >= first) {
        close_number(number);
    }
}

pub(crate) fn set_close_on_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD takes an integer.
    result(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Takes over a descriptor that was put at a fixed number for this process.
///
/// Fails with `EBADF` when nothing is open there.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    set_close_on_exec(number)?;
    Ok(owned(number))
}

/// An anonymous file in memory.
pub(crate) fn memory_file(name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: `name` is NUL-terminated; the flags are integers.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    result(fd).map(owned)
}

/// A pipe: read end, write end. Both are closed by execve.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    result(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((owned(ends[0]), owned(ends[1])))
}

pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_SETFL takes an integer; the file description is fresh and ours alone.
    result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

/// Runs a program; only returns if that failed. Both lists are NUL-terminated strings.
pub(crate) fn execute(path: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let argv = pointers(argv);
    let env = pointers(env);
    // SAFETY: `path` is NUL-terminated, and both lists are null-terminated arrays of such strings.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// The null-terminated array that execve and posix_spawn want.
pub(crate) fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}
