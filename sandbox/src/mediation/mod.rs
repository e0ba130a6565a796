//! Calls of the command that the supervisor makes in its place.
//!
//! The filter hands over what it cannot judge by numbers alone: calls that name an object by a
//! pointer or a descriptor. The supervisor copies the arguments, pins what they name, judges the
//! pin, acts on the pin and answers with the result. It never lets a call go on after a look at its
//! arguments: another thread of the command may have changed them since.
//!
//! ```text
//! command --call--> filter --notified--> receive -> read -> pin -> still valid? -> judge -> act
//!    ^                                                                                     |
//!    `------------------------------------ result -----------------------------------------'
//! ```
//!
//! Only one listener fits in a chain of filters. Where there is none (the sandbox within itself, or
//! within another supervisor), the filter refuses these calls instead.

mod handover;
mod kernel;
mod listener;
mod metadata;
mod roots;
mod target;

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

pub(crate) use handover::Handover;
pub(crate) use roots::Roots;

use listener::{Listener, Notification};
use metadata::Request;
use target::Target;

/// Answers the supervised calls of one command.
#[derive(Debug)]
pub(crate) struct Mediation {
    listener: Listener,
    roots: Roots,
}

impl Mediation {
    pub(crate) fn new(listener: OwnedFd, roots: Roots) -> Mediation {
        Mediation { listener: Listener::new(listener), roots }
    }

    /// The descriptor that is readable when a call waits.
    pub(crate) fn number(&self) -> RawFd {
        self.listener.number()
    }

    /// Answers one call, which must be waiting.
    pub(crate) fn serve(&mut self) {
        // An error means that whoever made the call is gone.
        let Ok(call) = self.listener.receive() else { return };
        let result = self.change_metadata(&call);
        self.listener.answer(&call, result);
    }

    fn change_metadata(&self, call: &Notification) -> io::Result<i64> {
        let target = Target::new(call.thread());
        let request = Request::of(call, &target)?;
        let pin = target.pin(request.named())?;
        if !self.listener.is_valid(call) {
            // Whatever was read may be another process's. Nobody waits for this answer.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        request.perform(pin.as_fd(), &self.roots)?;
        Ok(0)
    }
}
