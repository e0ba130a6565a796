//! What commands of the model print and what its patches change, told while the turn runs.

use crate::fronts::Output;
use crate::fronts::app_server::{AppServer, Lent};
use crate::host::Host;
use crate::host::poller::Key;
use crate::host::seam::Seam;
use crate::limits::OUTPUT_QUEUE_BYTES_HIGH;
use crate::words::call::Change;
use crate::words::ids::ThreadId;

impl Host {
    /// Tells what a command has printed; for a client that reads nothing, it waits.
    pub(crate) fn tell_printed(&mut self, key: Key) {
        if self.is_held {
            return self.children.unheard(key);
        }
        // Many commands at once may have printed more than there is room for in one revolution.
        if self.seam.output.stdout.len() > OUTPUT_QUEUE_BYTES_HIGH {
            self.children.unheard(key);
            return self.poller.mark_ready(key);
        }
        let Some((op, piece)) = self.children.overheard(key) else { return };
        let Some((thread, call)) = self.seam.agent.caller(op) else { return };
        let told = |server: &mut AppServer, lent: Lent<'_>, out: &mut Output| {
            server.printed(thread, call, &piece, lent, out);
        };
        self.seam.with_server(thread, told);
    }

    /// A patch is about to change these files.
    pub(crate) fn begin_diff(&mut self, thread: ThreadId, changes: &[Change]) {
        let Seam { agent, diffs, .. } = &mut self.seam;
        let cwd = agent.settings(thread).map_or("/", |settings| &settings.cwd);
        diffs.begin(agent.parent(thread).unwrap_or(thread), cwd, changes);
    }

    /// Looks at some more of the files that patches have changed.
    pub(crate) fn diff_on(&mut self) {
        if self.is_held {
            return;
        }
        let Some((thread, diff)) = self.seam.diffs.step() else { return };
        let told = |server: &mut AppServer, lent: Lent<'_>, out: &mut Output| {
            server.diffed(thread, &diff, lent, out);
        };
        self.seam.with_server(thread, told);
    }
}
