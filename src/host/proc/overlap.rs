//! What children that run at the same time share: a look at the protected paths.
//!
//! It lasts from the start of the first child that is to keep something until the last has ended.
//! Then it is dropped, so that what anybody changes between commands is what the next one finds.
//! What the user's own programs change there *while* such a child runs is undone with what the
//! child changed, since nobody can tell the two apart.

use std::io;

use windlass_sandbox::{Apart, Look};

use crate::host::proc::Children;
use crate::host::proc::launched::Launched;
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

    /// Forgets what was found once nobody is to keep it.
    pub(super) fn drop_look(&mut self) {
        // Who is not reaped yet may be ending what it watches.
        let is_over = self.unreaped.is_empty() && !self.launched().any(Launched::is_keeping);
        if is_over {
            self.look = None;
        }
    }
}
