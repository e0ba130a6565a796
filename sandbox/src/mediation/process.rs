//! Limits, priorities and processors that a program sets for itself, by its own number.
//!
//! The filter lets the number zero pass, which means the caller. Libraries say the number of their
//! thread instead, and programs that of their process. Both stay the caller's own for as long as it
//! is in the call. Any other number may have come to mean another process by the time the kernel
//! looks, so it is refused even within the command.
//!
//! But for one: those that start threads choose their processors for them, and give up where they
//! cannot (OpenMP). The supervisor does that itself, right after it has found the thread in the
//! caller's process. Should the thread end in between, and all numbers be used up until that
//! one, then a process of the same user gets other processors, and nothing more.

use std::io;

use super::connect::process_of;
use super::kernel;
use super::listener::{Listener, Notification};
use super::target::Target;
use crate::limits::PROCESSORS_BYTES_MAX;

/// Lets a call go on that sets something for its caller; the number is the argument `at`.
pub(super) fn serve(listener: &Listener, call: &Notification, at: usize) {
    let number = call.int(at);
    // Limits are only read if no new ones are given.
    let is_question = call.number() == libc::SYS_prlimit64 && call.wide(2) == 0;
    let is_process = || {
        process_of(call.thread()).is_ok_and(|process| process == number) && listener.is_valid(call)
    };
    if is_question || number == call.thread() || is_process() {
        listener.go_on(call);
    } else if call.number() == libc::SYS_sched_setaffinity {
        listener.answer(call, set_processors(listener, call));
    } else {
        listener.answer(call, Err(refused()));
    }
}

/// Sets the processors of a thread of the caller's process.
fn set_processors(listener: &Listener, call: &Notification) -> io::Result<i64> {
    let (thread, len) = (call.int(0), call.word(1) as usize);
    // The kernel knows no processors beyond.
    let mut processors = vec![0; len.min(PROCESSORS_BYTES_MAX)];
    Target::new(call.thread()).read(call.wide(2), &mut processors)?;
    let process = process_of(call.thread())?;
    if !listener.is_valid(call) {
        // Whatever was read may be another process's. Nobody waits for this answer.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    if process_of(thread).ok() != Some(process) {
        return Err(refused());
    }
    kernel::set_processors(thread, &processors).map(|()| 0)
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}
