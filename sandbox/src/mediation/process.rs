//! Limits, priorities and processors that a program sets for itself, by its own number.
//!
//! The filter lets the number zero pass, which means the caller. Libraries say the number of their
//! thread instead, and programs that of their process. Both stay the caller's own for as long as it
//! is in the call. Any other number may have come to mean another process by the time the kernel
//! looks, so it is refused even within the command.

use std::io;

use super::connect::process_of;
use super::listener::{Listener, Notification};

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
    } else {
        listener.answer(call, Err(io::Error::from_raw_os_error(libc::EPERM)));
    }
}
