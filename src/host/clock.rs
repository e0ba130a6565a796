//! The only reader of time and chance.
//!
//! Monotonic time goes on while the machine is suspended (CLOCK_BOOTTIME), so that an idle limit
//! means what it says to a person. Everything else gets time as an argument.

use std::io;
use std::mem::MaybeUninit;

use ring::rand::{SecureRandom, SystemRandom};

/// Milliseconds since the machine started, suspended or not.
pub fn mono_ms() -> u64 {
    clock_ms(libc::CLOCK_BOOTTIME)
}

/// Milliseconds since 1970; it may jump either way.
pub fn wall_ms() -> u64 {
    clock_ms(libc::CLOCK_REALTIME)
}

/// Random bytes, good enough for secrets.
pub fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(ring::error::Unspecified) => Err(io::Error::other("the system gives no random bytes")),
    }
}

/// Does nothing for so long; only for the end of the program, when no loop runs any more.
pub fn pause_ms(ms: u16) {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: libc::c_long::from(ms.min(999)) * 1_000_000 };
    // SAFETY: the pointer is to a live value that is only read; waking early does no harm.
    unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
}

/// A moment as a wall calendar and clock show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalTime {
    pub year: i32,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// Up to 60, for leap seconds.
    pub second: u8,
    /// Seconds east of UTC.
    pub offset_s: i32,
}

/// The parts of a moment in the local time zone; `None` if the year does not fit.
pub fn local_time(wall_ms: u64) -> Option<LocalTime> {
    let time = libc::timespec { tv_sec: i64::try_from(wall_ms / 1000).ok()?, tv_nsec: 0 };
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live memory of the right types; `localtime_r` keeps neither. It
    // reads the environment, which this program of one thread never changes.
    let filled = unsafe { libc::localtime_r(&time.tv_sec, parts.as_mut_ptr()) };
    if filled.is_null() {
        return None;
    }
    // SAFETY: zeroed memory is a valid `tm` (integers and a nullable pointer), and it was filled
    // besides.
    let parts = unsafe { parts.assume_init() };
    Some(LocalTime {
        year: parts.tm_year.checked_add(1900)?,
        month: u8::try_from(parts.tm_mon + 1).ok()?,
        day: u8::try_from(parts.tm_mday).ok()?,
        hour: u8::try_from(parts.tm_hour).ok()?,
        minute: u8::try_from(parts.tm_min).ok()?,
        second: u8::try_from(parts.tm_sec).ok()?,
        offset_s: i32::try_from(parts.tm_gmtoff).ok()?,
    })
}

fn clock_ms(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`, which is all that the call writes to.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert!(result == 0, "every Linux we run on (5.13 and up) has this clock");
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let ms = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    seconds * 1000 + ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_does_not_go_back() {
        let first = mono_ms();
        assert!(mono_ms() >= first);
    }

    #[test]
    fn wall_time_is_after_this_was_written() {
        assert!(wall_ms() > 1_760_000_000_000);
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
    }

    #[test]
    fn local_parts_and_offset_give_back_the_moment() {
        // 2025-06-01 12:34:56 UTC, a moment far from any change of day in most zones.
        let local = local_time(1_748_781_296_999).unwrap();
        assert_eq!((local.year, local.second), (2025, 56));
        let day = i64::from(local.day) - if local.month == 5 { 32 } else { 1 };
        let seconds = day * 86_400
            + i64::from(local.hour) * 3600
            + i64::from(local.minute) * 60
            + i64::from(local.second);
        assert_eq!(seconds - i64::from(local.offset_s), 12 * 3600 + 34 * 60 + 56);
    }
}
