//! Changes of permissions, owners, times and attributes, done for the command beneath its roots.
//!
//! A call becomes a `Request`: what it names and what is to become of it, both copied out of the
//! command's memory once. The object is pinned, judged, and changed through the pin, with the same
//! user and as few privileges as the command has, so that everything else is the kernel's decision.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use libc::{c_int, c_long};

use super::kernel::{self, Owner};
use super::listener::Notification;
use super::roots::{Roots, link_of};
use super::target::{Last, Named, Target};
use crate::limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, FILE_ATTR_BYTES_MAX};
use crate::sys;

// Numbers that libc lacks, from the kernel's scripts/syscall.tbl.
const SYS_FCHMODAT2: c_long = 452;
const SYS_SETXATTRAT: c_long = 463;
const SYS_REMOVEXATTRAT: c_long = 466;
const SYS_FILE_SETATTR: c_long = 469;

/// `FS_IOC_FSSETXATTR` reads `struct fsxattr`; the other requests read an int.
const FSSETXATTR: u32 = 0x401c_5820;
const FSXATTR_BYTES: usize = 28;

/// `struct xattr_args` of linux/xattr.h.
const XATTR_ARGS_BYTES: usize = 16;

#[cfg(target_arch = "x86_64")]
const MICROSECONDS: i64 = 1_000_000;

/// A call as we understood it.
#[derive(Debug)]
pub(super) struct Request {
    named: Named,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Mode(u32),
    Owner(Owner),
    /// `None` is now.
    Times(Option<[libc::timespec; 2]>),
    Attribute {
        name: CString,
        value: Vec<u8>,
        flags: c_int,
    },
    NoAttribute(CString),
    Flags(Vec<u8>),
    Control {
        request: u32,
        argument: [u8; 32],
    },
}

impl Request {
    /// Understands a call. Reads the command's memory.
    pub(super) fn of(call: &Notification, target: &Target) -> io::Result<Request> {
        let reading = Reading { call, target };
        let number = call.number();
        #[cfg(target_arch = "x86_64")]
        if let Some(request) = reading.old_call() {
            return request;
        }
        match number {
            libc::SYS_fchmod => Ok(on_descriptor(call, Change::Mode(call.word(1)))),
            libc::SYS_fchmodat => reading.mode_at(0),
            SYS_FCHMODAT2 => reading.mode_at(call.int(3)),
            libc::SYS_fchown => Ok(on_descriptor(call, owner(call, 1))),
            libc::SYS_fchownat => {
                let named = reading.named_at(0, 1, call.int(4))?;
                Ok(Request { named, change: owner(call, 2) })
            }
            libc::SYS_utimensat => reading.times_at(),
            libc::SYS_setxattr => reading.attribute(reading.path(0, Last::Followed)?),
            libc::SYS_lsetxattr => reading.attribute(reading.path(0, Last::Itself)?),
            libc::SYS_fsetxattr => reading.attribute(Named::Descriptor(call.int(0))),
            SYS_SETXATTRAT => reading.attribute_at(),
            libc::SYS_removexattr => reading.no_attribute(reading.path(0, Last::Followed)?, 1),
            libc::SYS_lremovexattr => reading.no_attribute(reading.path(0, Last::Itself)?, 1),
            libc::SYS_fremovexattr => reading.no_attribute(Named::Descriptor(call.int(0)), 1),
            SYS_REMOVEXATTRAT => reading.no_attribute(reading.named_at(0, 1, call.int(2))?, 3),
            SYS_FILE_SETATTR => reading.flags_at(),
            libc::SYS_ioctl => reading.control(),
            _ => Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
    }

    pub(super) fn named(&self) -> &Named {
        &self.named
    }

    /// Makes the change on what was pinned, if it lies beneath the roots.
    pub(super) fn perform(&self, pin: BorrowedFd<'_>, roots: &Roots) -> io::Result<()> {
        roots.judge(pin)?;
        if let Change::Mode(mode) = &self.change {
            match kernel::set_mode_of(pin, *mode) {
                // No such call here, or a container refuses it: by its name.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {}
                done => return done,
            }
        }
        let path: &CStr = &link_of(pin)?;
        match &self.change {
            Change::Mode(mode) => kernel::set_mode(path, *mode),
            Change::Owner(owner) => kernel::set_owner(path, *owner),
            Change::Times(times) => kernel::set_times(path, *times),
            Change::Attribute { name, value, flags } => {
                kernel::set_attribute(path, name, value, *flags)
            }
            Change::NoAttribute(name) => kernel::remove_attribute(path, name),
            Change::Flags(attributes) => kernel::set_flags(path, attributes),
            Change::Control { request, argument } => {
                // Opening anything else may wait, or do something by itself.
                if !matches!(sys::file_type(pin)?, libc::S_IFREG | libc::S_IFDIR) {
                    return Err(io::Error::from_raw_os_error(libc::ENOTTY));
                }
                let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
                kernel::control(sys::open(path, flags)?.as_fd(), *request, argument)
            }
        }
    }
}

fn on_descriptor(call: &Notification, change: Change) -> Request {
    Request { named: Named::Descriptor(call.int(0)), change }
}

fn owner(call: &Notification, at: usize) -> Change {
    Change::Owner(Owner { user: call.word(at), group: call.word(at + 1) })
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

/// A call and the memory behind its arguments. Arguments are named by their index.
struct Reading<'a> {
    call: &'a Notification,
    target: &'a Target,
}

impl Reading<'_> {
    /// The calls that only the oldest architecture has.
    #[cfg(target_arch = "x86_64")]
    fn old_call(&self) -> Option<io::Result<Request>> {
        let on_path = |last, change| Ok(Request { named: self.path(0, last)?, change });
        Some(match self.call.number() {
            libc::SYS_chmod => on_path(Last::Followed, Change::Mode(self.call.word(1))),
            libc::SYS_chown => on_path(Last::Followed, owner(self.call, 1)),
            libc::SYS_lchown => on_path(Last::Itself, owner(self.call, 1)),
            libc::SYS_utime => self
                .whole_seconds(1)
                .and_then(|times| on_path(Last::Followed, Change::Times(times))),
            libc::SYS_utimes => {
                self.microseconds(1).and_then(|times| on_path(Last::Followed, Change::Times(times)))
            }
            libc::SYS_futimesat => self.microseconds(2).and_then(|times| {
                let named = self.named_or_descriptor(Last::Followed)?;
                Ok(Request { named, change: Change::Times(times) })
            }),
            _ => return None,
        })
    }

    fn mode_at(&self, flags: c_int) -> io::Result<Request> {
        let named = self.named_at(0, 1, flags)?;
        Ok(Request { named, change: Change::Mode(self.call.word(2)) })
    }

    fn times_at(&self) -> io::Result<Request> {
        let flags = self.call.int(3);
        let times = self.nanoseconds(2)?;
        let named = match self.call.wide(1) {
            0 if flags == 0 => self.named_or_descriptor(Last::Followed)?,
            _ => self.named_at(0, 1, flags)?,
        };
        Ok(Request { named, change: Change::Times(times) })
    }

    fn attribute(&self, named: Named) -> io::Result<Request> {
        let value = self.value(self.call.wide(2), self.call.wide(3), ATTRIBUTE_BYTES_MAX)?;
        let (name, flags) = (self.attribute_name(1)?, self.call.int(4));
        Ok(Request { named, change: Change::Attribute { name, value, flags } })
    }

    fn attribute_at(&self) -> io::Result<Request> {
        let named = self.named_at(0, 1, self.call.int(2))?;
        if self.call.wide(5) != XATTR_ARGS_BYTES as u64 {
            return Err(invalid());
        }
        let mut args = [0; XATTR_ARGS_BYTES];
        self.target.read(self.call.wide(4), &mut args)?;
        let size = word_at(&args, 8);
        let value = self.value(long_at(&args, 0), size.into(), ATTRIBUTE_BYTES_MAX)?;
        let flags = word_at(&args, 12).cast_signed();
        let name = self.attribute_name(3)?;
        Ok(Request { named, change: Change::Attribute { name, value, flags } })
    }

    fn no_attribute(&self, named: Named, name_at: usize) -> io::Result<Request> {
        Ok(Request { named, change: Change::NoAttribute(self.attribute_name(name_at)?) })
    }

    fn flags_at(&self) -> io::Result<Request> {
        let named = self.named_at(0, 1, self.call.int(4))?;
        let attributes = self.value(self.call.wide(2), self.call.wide(3), FILE_ATTR_BYTES_MAX)?;
        Ok(Request { named, change: Change::Flags(attributes) })
    }

    fn control(&self) -> io::Result<Request> {
        let request = self.call.word(1);
        let len = if request == FSSETXATTR { FSXATTR_BYTES } else { size_of::<c_int>() };
        let mut argument = [0; 32];
        self.target.read(self.call.wide(2), &mut argument[..len])?;
        Ok(on_descriptor(self.call, Change::Control { request, argument }))
    }

    fn path(&self, at: usize, last: Last) -> io::Result<Named> {
        let path = self.target.read_path(self.call.wide(at))?;
        Ok(Named::Path { directory: libc::AT_FDCWD, path, last })
    }

    /// What a directory, a path and flags name together.
    fn named_at(&self, directory_at: usize, path_at: usize, flags: c_int) -> io::Result<Named> {
        if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
            return Err(invalid());
        }
        let directory = self.call.int(directory_at);
        let may_be_empty = flags & libc::AT_EMPTY_PATH != 0;
        let address = self.call.wide(path_at);
        if may_be_empty && address == 0 {
            return Ok(Named::Descriptor(directory));
        }
        let path = self.target.read_path(address)?;
        if may_be_empty && path.is_empty() {
            return Ok(Named::Descriptor(directory));
        }
        let is_itself = flags & libc::AT_SYMLINK_NOFOLLOW != 0;
        let last = if is_itself { Last::Itself } else { Last::Followed };
        Ok(Named::Path { directory, path, last })
    }

    /// The same for calls that take no path at all to mean the descriptor.
    fn named_or_descriptor(&self, last: Last) -> io::Result<Named> {
        let directory = self.call.int(0);
        match self.call.wide(1) {
            0 if directory == libc::AT_FDCWD => Err(io::Error::from_raw_os_error(libc::EFAULT)),
            0 => Ok(Named::Descriptor(directory)),
            address => Ok(Named::Path { directory, path: self.target.read_path(address)?, last }),
        }
    }

    fn attribute_name(&self, at: usize) -> io::Result<CString> {
        let name = self.target.read_string(self.call.wide(at), ATTRIBUTE_NAME_BYTES_MAX);
        let is_bad = |name: &CString| name.is_empty();
        let out_of_range = || io::Error::from_raw_os_error(libc::ERANGE);
        match name {
            Ok(name) if is_bad(&name) => Err(out_of_range()),
            Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => Err(out_of_range()),
            other => other,
        }
    }

    fn value(&self, address: u64, size: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let size = usize::try_from(size).ok().filter(|size| *size <= bytes_max);
        let size = size.ok_or_else(|| io::Error::from_raw_os_error(libc::E2BIG))?;
        let mut value = vec![0; size];
        self.target.read(address, &mut value)?;
        Ok(value)
    }

    fn nanoseconds(&self, at: usize) -> io::Result<Option<[libc::timespec; 2]>> {
        let Some(longs) = self.longs::<4>(at)? else { return Ok(None) };
        let [first, first_part, second, second_part] = longs;
        Ok(Some([time(first, first_part), time(second, second_part)]))
    }

    #[cfg(target_arch = "x86_64")]
    fn microseconds(&self, at: usize) -> io::Result<Option<[libc::timespec; 2]>> {
        let Some(longs) = self.longs::<4>(at)? else { return Ok(None) };
        let [first, first_part, second, second_part] = longs;
        let is_part = |part: i64| (0..MICROSECONDS).contains(&part);
        if !is_part(first_part) || !is_part(second_part) {
            return Err(invalid());
        }
        Ok(Some([time(first, first_part * 1000), time(second, second_part * 1000)]))
    }

    #[cfg(target_arch = "x86_64")]
    fn whole_seconds(&self, at: usize) -> io::Result<Option<[libc::timespec; 2]>> {
        let longs = self.longs::<2>(at)?;
        Ok(longs.map(|[first, second]| [time(first, 0), time(second, 0)]))
    }

    /// The numbers a pointer leads to; `None` for a null pointer.
    fn longs<const COUNT: usize>(&self, at: usize) -> io::Result<Option<[i64; COUNT]>> {
        let address = self.call.wide(at);
        if address == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; COUNT * 8];
        self.target.read(address, &mut bytes)?;
        let mut longs = [0; COUNT];
        for (index, long) in longs.iter_mut().enumerate() {
            *long = long_at(&bytes, index * 8).cast_signed();
        }
        Ok(Some(longs))
    }
}

fn time(tv_sec: i64, tv_nsec: i64) -> libc::timespec {
    // SAFETY: the structure is plain integers, for which zeros are a valid value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    time.tv_sec = tv_sec;
    time.tv_nsec = tv_nsec;
    time
}

fn long_at(bytes: &[u8], at: usize) -> u64 {
    let mut long = [0; 8];
    long.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(long)
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}
