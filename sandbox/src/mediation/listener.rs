//! The kernel's side of supervised calls: notifications in, answers out.
//!
//! A notification is a call that a thread of the command has made and that waits for our answer.
//! Its arguments are numbers as they were when the call was made; whatever they point to may change
//! at any time. The thread's number is sure to mean that thread as long as the notification is
//! valid.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use libc::{c_int, c_long, c_ulong, pid_t};

// Requests of linux/seccomp.h.
const RECEIVE: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const IS_VALID: u32 = 0x4008_2102;
const ADD_DESCRIPTOR: u32 = 0x4018_2103;
const SET_FLAGS: u32 = 0x4008_2104;

/// `SECCOMP_ADDFD_FLAG_SETFD`: in the place of a number rather than at any.
const AT_NUMBER: u32 = 1;

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`: the kernel makes the call itself.
const CONTINUE: u32 = 1;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`: whoever is woken runs where the waker ran, since one of
/// the two always waits for the other.
const SYNC_WAKE_UP: c_ulong = 1;

/// `struct seccomp_notif` with its `struct seccomp_data` written out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notification {
    id: u64,
    thread: u32,
    flags: u32,
    number: c_int,
    arch: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Debug)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
#[derive(Debug)]
struct Addition {
    id: u64,
    flags: u32,
    source: u32,
    number: u32,
    number_flags: u32,
}

const _: () = assert!(size_of::<Notification>() == 80 && size_of::<Response>() == 24);
const _: () = assert!(size_of::<Addition>() == 24);

impl Notification {
    /// The thread that waits. A number below `/proc` like that of a process.
    pub(super) fn thread(&self) -> pid_t {
        self.thread.cast_signed()
    }

    pub(super) fn number(&self) -> c_long {
        self.number.into()
    }

    /// An argument as a pointer or size.
    pub(super) fn wide(&self, index: usize) -> u64 {
        self.arguments[index]
    }

    /// An argument as the kernel reads an int: its low half.
    pub(super) fn int(&self, index: usize) -> c_int {
        (self.arguments[index] as u32).cast_signed()
    }

    pub(super) fn word(&self, index: usize) -> u32 {
        self.arguments[index] as u32
    }
}

/// The descriptor on which notifications arrive.
#[derive(Debug)]
pub(super) struct Listener {
    fd: OwnedFd,
}

impl Listener {
    pub(super) fn new(fd: OwnedFd) -> Listener {
        // Before Linux 6.6 answers take a few microseconds more.
        // SAFETY: the request takes an integer.
        unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS as _, SYNC_WAKE_UP) };
        Listener { fd }
    }

    pub(super) fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Takes the next notification. Fails with `ENOENT` if whoever made the call is gone.
    pub(super) fn receive(&self) -> io::Result<Notification> {
        let mut notification = Notification::default();
        // SAFETY: the request writes one structure of this layout, which must be zero before.
        let done = unsafe { libc::ioctl(self.number(), RECEIVE as _, &raw mut notification) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(notification) }
    }

    /// Whether the thread still waits for this answer, and everything that was read by its number
    /// was therefore its own.
    pub(super) fn is_valid(&self, notification: &Notification) -> bool {
        let id = notification.id;
        // SAFETY: the request reads one u64.
        unsafe { libc::ioctl(self.number(), IS_VALID as _, &raw const id) == 0 }
    }

    /// Puts a descriptor of ours in the place of one of the command's.
    pub(super) fn replace(
        &self,
        notification: &Notification,
        fd: BorrowedFd<'_>,
        number: RawFd,
        is_closed_by_execve: bool,
    ) -> io::Result<()> {
        let number_flags = if is_closed_by_execve { libc::O_CLOEXEC.cast_unsigned() } else { 0 };
        let number = number.cast_unsigned();
        self.put(notification, fd, AT_NUMBER, number, number_flags).map(drop)
    }

    /// Gives the command a descriptor of ours, and says under which number.
    pub(super) fn add(
        &self,
        notification: &Notification,
        fd: BorrowedFd<'_>,
        is_closed_by_execve: bool,
    ) -> io::Result<c_int> {
        let number_flags = if is_closed_by_execve { libc::O_CLOEXEC.cast_unsigned() } else { 0 };
        self.put(notification, fd, 0, 0, number_flags)
    }

    fn put(
        &self,
        notification: &Notification,
        fd: BorrowedFd<'_>,
        flags: u32,
        number: u32,
        number_flags: u32,
    ) -> io::Result<c_int> {
        let (id, source) = (notification.id, fd.as_raw_fd().cast_unsigned());
        let addition = Addition { id, flags, source, number, number_flags };
        // SAFETY: the request reads one structure of this layout.
        let done = unsafe { libc::ioctl(self.number(), ADD_DESCRIPTOR as _, &raw const addition) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
    }

    /// Lets the kernel make a call that it judges by itself.
    pub(super) fn go_on(&self, notification: &Notification) {
        let response = Response { id: notification.id, value: 0, error: 0, flags: CONTINUE };
        // SAFETY: the request reads one structure of this layout.
        unsafe { libc::ioctl(self.number(), SEND as _, &raw const response) };
    }

    /// Gives a call its result. Nobody misses an answer to a thread that is gone.
    pub(super) fn answer(&self, notification: &Notification, result: io::Result<i64>) {
        let (value, error) = match result {
            Ok(value) => (value, 0),
            Err(error) => (0, -error.raw_os_error().unwrap_or(libc::EPERM)),
        };
        let response = Response { id: notification.id, value, error, flags: 0 };
        // SAFETY: the request reads one structure of this layout.
        unsafe { libc::ioctl(self.number(), SEND as _, &raw const response) };
    }
}
