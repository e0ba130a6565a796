//! What commands print while they run and what patches have changed, in the words of both
//! protocols.

use crate::fronts::Output;
use crate::fronts::app_server::telling_v1::Teller;
use crate::fronts::app_server::types::methods::ServerNotification;
use crate::fronts::app_server::types::v2_items::{ThreadItemKind, TurnDiffUpdatedNotification};
use crate::fronts::app_server::{AppServer, Lent};
use crate::words::ids::{CallId, ThreadId};

impl AppServer {
    /// A command has printed this, which ends with a whole character if it is text.
    pub fn printed(
        &mut self,
        thread: ThreadId,
        call: CallId,
        piece: &[u8],
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        Teller::new(loaded, self.client.as_ref(), lent, out).printed(call, piece);
        let Some(turn) = loaded.turn.as_deref().filter(|_| loaded.is_subscribed) else { return };
        let open = turn.calls.iter().find(|open| open.call == call);
        let Some(ThreadItemKind::CommandExecution { id, .. }) = open.map(|open| &open.item.kind)
        else {
            return;
        };
        let (id, text) = (id.clone(), String::from_utf8_lossy(piece));
        self.delta(thread, "item/commandExecution/outputDelta", (&id, &text), None, out);
    }

    /// This is what the turn's patches have changed so far.
    pub fn diffed(&mut self, thread: ThreadId, diff: &str, lent: Lent<'_>, out: &mut Output) {
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        Teller::new(loaded, self.client.as_ref(), lent, out).diffed(diff);
        let told = |thread_id, turn_id| {
            let diff = diff.into();
            let updated = TurnDiffUpdatedNotification { thread_id, turn_id, diff };
            ServerNotification::TurnDiffUpdated(updated)
        };
        self.with_turn(thread, told, out);
    }
}
