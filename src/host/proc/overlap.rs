//! What children that run at the same time share: a look at the protected paths.
//!
//! It lasts from the start of the first child that is to keep something until the last has ended.
//! Then it is dropped, so that what anybody changes between commands is what the next one finds.
//! What the user's own programs change there *while* such a child runs is undone with what the
//! child changed, since nobody can tell the two apart.

use std::io;
use std::os::fd::AsFd;

use mio::Interest;
use windlass_sandbox::{Apart, Look};

use crate::host::poller::{Key, Kind, Poller};
use crate::host::proc::Children;
use crate::host::proc::child::Child;
use crate::host::proc::launched::Launched;
use crate::host::proc::programs::Program;
use crate::words::policy::SandboxMode;

/// What a child is given of those before and beside it.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// Which namespaces confined commands were found to get here; `None` before the first.
    pub apart: Option<Apart>,
    /// What was found at protected paths; `None` where nothing is to be kept.
    pub look: Option<&'a Look>,
}

impl Children {
    /// What a child is given that is about to start under this mode.
    pub fn shared(&mut self, mode: SandboxMode) -> io::Result<Shared<'_>> {
        // Launchers that are just gone keep nothing.
        self.reap();
        if self.look.is_none() && mode == SandboxMode::WorkspaceWrite {
            self.look = Some(Look::new()?);
        }
        Ok(Shared { apart: self.apart, look: self.look.as_ref() })
    }

    /// Has another launcher put back what one was to that was killed, once everything is ended
    /// that it left behind. Until then its child goes on. Where that fails, its end says so.
    pub(super) fn relieve(&mut self, poller: &Poller, key: Key) {
        let (slot, generation) = (key.slot(), key.generation());
        let launched = match key.kind() {
            Kind::CommandStatus => self.slots.of(slot, generation).map(Child::launched),
            Kind::ProgramStatus => self.programs.of(slot, generation).map(Program::launched),
            _ => None,
        };
        let Some(launched) = launched.filter(|launched| launched.wants_relief()) else { return };
        let Some(look) = &self.look else { return };
        self.end_strangers(launched.pid());
        let (exe, protected) = launched.kept();
        let Ok(spawned) = windlass_sandbox::spawn_relief(exe, protected, look) else { return };
        if poller.register_fd(spawned.status.as_fd(), key, Interest::READABLE).is_err() {
            self.unreaped.push(spawned.pid);
            return;
        }
        let launched = match key.kind() {
            Kind::CommandStatus => self.slots.of_mut(slot, generation).map(Child::launched_mut),
            _ => self.programs.of_mut(slot, generation).map(Program::launched_mut),
        };
        let killed = launched.map(|launched| launched.relieve(spawned));
        self.unreaped.extend(killed);
    }

    /// Forgets what was found once nobody is to keep it.
    pub(super) fn drop_look(&mut self) {
        // Who is not reaped yet may be ending what it watches.
        let is_over = self.unreaped.is_empty() && !self.launched().any(Launched::is_keeping);
        if is_over {
            self.look = None;
        }
    }
}
