//! Calls of the command that the supervisor makes in its place.
//!
//! The filter hands over what it cannot judge by numbers alone: calls that name an object by a
//! pointer or a descriptor. The supervisor copies the arguments, pins what they name, judges the
//! pin, acts on the pin and answers with the result. It never lets a call go on after a look at its
//! arguments, since another thread of the command may have changed them meanwhile; but for opens,
//! which Landlock judges behind us, and for what is said in numbers alone.
//!
//! ```text
//! command --call--> filter --notified--> receive -> read -> pin -> still valid? -> judge -> act
//!    ^                                                                                     |
//!    `------------------------------------ result -----------------------------------------'
//! ```
//!
//! Only one listener fits in a chain of filters. Where there is none (the sandbox within itself, or
//! within another supervisor), the filter refuses these calls instead.

mod connect;
mod handover;
mod kernel;
mod listener;
mod metadata;
mod process;
mod roots;
mod target;
mod terminal;

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use libc::pid_t;

pub(crate) use connect::{can_take_descriptors, can_tell_peers};
pub(crate) use handover::Handover;
pub(crate) use roots::Roots;

use crate::seccomp::process_at;
use connect::Connections;
use listener::{Listener, Notification};
use metadata::Request;
use target::Target;

/// Answers the supervised calls of one command.
#[derive(Debug)]
pub(crate) struct Mediation {
    /// `None` once nobody is left who could make a call.
    listener: Option<Listener>,
    roots: Roots,
    connections: Connections,
}

impl Mediation {
    pub(crate) fn new(listener: OwnedFd, roots: Roots) -> Mediation {
        let listener = Some(Listener::new(listener));
        Mediation { listener, roots, connections: Connections::new() }
    }

    /// The descriptor that is readable when a call waits; -1 when none will any more.
    pub(crate) fn number(&self) -> RawFd {
        self.listener.as_ref().map_or(-1, Listener::number)
    }

    /// Waits for no more calls.
    pub(crate) fn close(&mut self) {
        self.listener = None;
    }

    /// Answers one call, which must be waiting.
    pub(crate) fn serve(&mut self) {
        let Some(listener) = &self.listener else { return };
        // An error means that whoever made the call is gone.
        let Ok(call) = listener.receive() else { return };
        if call.number() == libc::SYS_connect {
            self.connections.serve(listener, &call, &self.roots);
            return;
        }
        if let Some(at) = process_at(call.number()) {
            process::serve(listener, &call, at);
            return;
        }
        if terminal::is_about(&call) {
            terminal::serve(listener, &call, self.connections.supervisor());
            return;
        }
        listener.answer(&call, change_metadata(listener, &call, &self.roots));
    }

    /// How many children are ours and nothing that the command started.
    pub(crate) fn helpers_count(&self) -> usize {
        self.connections.helpers_count()
    }

    /// Whether a child that ended was one of ours and nothing that the command started.
    pub(crate) fn forget(&mut self, pid: pid_t) -> bool {
        self.connections.forget(pid)
    }
}

/// Makes a change of metadata in the place of the command.
fn change_metadata(listener: &Listener, call: &Notification, roots: &Roots) -> io::Result<i64> {
    let target = Target::new(call.thread());
    let request = Request::of(call, &target)?;
    let pin = target.pin(request.named())?;
    if !listener.is_valid(call) {
        // Whatever was read may be another process's. Nobody waits for this answer.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    request.perform(pin.as_fd(), roots)?;
    Ok(0)
}
