//! Commands, patches and looks of the model, in the words of the second protocol.

use crate::fronts::Output;
use crate::fronts::app_server::past_calls::viewed;
use crate::fronts::app_server::turns::Open;
use crate::fronts::app_server::types::codec::Text;
use crate::fronts::app_server::types::v2_items::{
    CommandExecutionSource, CommandExecutionStatus, PatchApplyStatus, ThreadItemKind,
};
use crate::fronts::app_server::{AppServer, Lent, items};
use crate::words::call::{self, Answer};
use crate::words::event::{CommandEnd, Event};
use crate::words::ids::{CallId, ItemIndex, ThreadId};
use crate::words::item::Item;

impl AppServer {
    pub(super) fn call_started(
        &mut self,
        thread: ThreadId,
        event: &Event,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let name = |index: ItemIndex, call: CallId| -> Text {
            match lent.items.get(index.0 as usize) {
                Some(Item::Call(asked)) => asked.call_id.clone(),
                _ => format!("call-{}", call.0).into(),
            }
        };
        let (call, item) = match event {
            Event::UserCommandStarted { call, argv, cwd } => {
                let source = CommandExecutionSource::UserShell;
                let id = self.fresh_id(thread);
                (*call, items::command(id, argv, cwd, source))
            }
            Event::CommandStarted { call, item, argv, cwd, .. } => {
                let source = CommandExecutionSource::Agent;
                (*call, items::command(name(*item, *call), argv, cwd, source))
            }
            Event::PatchStarted { call, item, changes } => {
                let status = PatchApplyStatus::InProgress;
                (*call, items::file_change(name(*item, *call), changes, status))
            }
            _ => return,
        };
        self.item_started(thread, &item, lent, out);
        if let Some(turn) = self.running(thread) {
            turn.calls.push(Open { call, item, started_ms: lent.wall_ms });
        }
    }

    fn take_open(&mut self, thread: ThreadId, call: CallId) -> Option<Open> {
        let turn = self.running(thread)?;
        let index = turn.calls.iter().position(|open| open.call == call)?;
        Some(turn.calls.remove(index))
    }

    pub(super) fn command_ended(
        &mut self,
        thread: ThreadId,
        call: CallId,
        (ended, answer): (CommandEnd, Option<&Answer>),
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(Open { mut item, started_ms, .. }) = self.take_open(thread, call) else { return };
        if let ThreadItemKind::CommandExecution {
            status,
            exit_code,
            aggregated_output,
            duration_ms,
            ..
        } = &mut item.kind
        {
            let (code, how) = match ended {
                CommandEnd::Exited { exit_code: 0 } => (Some(0), CommandExecutionStatus::Completed),
                CommandEnd::Exited { exit_code } => {
                    (Some(exit_code), CommandExecutionStatus::Failed)
                }
                CommandEnd::Declined => (None, CommandExecutionStatus::Declined),
                CommandEnd::NotStarted | CommandEnd::Interrupted => {
                    (None, CommandExecutionStatus::Failed)
                }
            };
            (*exit_code, *status) = (code, how);
            *aggregated_output = answer.map(|answer| match ended {
                CommandEnd::Interrupted => call::printed(answer.text()).into(),
                CommandEnd::Exited { .. } | CommandEnd::NotStarted | CommandEnd::Declined => {
                    answer.text().into()
                }
            });
            *duration_ms = Some(lent.wall_ms.saturating_sub(started_ms) as i64);
        }
        self.item_completed(thread, item, lent, out);
    }

    pub(super) fn patch_ended(
        &mut self,
        thread: ThreadId,
        call: CallId,
        applied: bool,
        declined: bool,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(Open { mut item, .. }) = self.take_open(thread, call) else { return };
        if let ThreadItemKind::FileChange { status, .. } = &mut item.kind {
            *status = match (applied, declined) {
                (true, _) => PatchApplyStatus::Completed,
                (false, true) => PatchApplyStatus::Declined,
                (false, false) => PatchApplyStatus::Failed,
            };
        }
        self.item_completed(thread, item, lent, out);
    }

    pub(super) fn call_answered(
        &mut self,
        thread: ThreadId,
        (index, output): (ItemIndex, ItemIndex),
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let at = |index: ItemIndex| lent.items.get(index.0 as usize);
        let (Some(Item::Call(asked)), Some(Item::Output(heard))) = (at(index), at(output)) else {
            return;
        };
        let cwd = lent.settings.map_or("", |settings| &settings.cwd);
        // Whoever shows it would not find what the model has not found.
        let is_failure = matches!(heard.answer, Answer::Text { success: false, .. });
        if let Some(path) = viewed(asked, cwd).filter(|_| !is_failure) {
            let item = items::item(ThreadItemKind::ImageView { id: asked.call_id.clone(), path });
            self.item_whole(thread, item, lent, out);
        }
    }

    /// Items that have started and will never be whole end with their turn.
    pub(super) fn close_open_items(&mut self, thread: ThreadId, lent: Lent<'_>, out: &mut Output) {
        let Some(turn) = self.running(thread) else { return };
        let calls: Vec<CallId> = turn.calls.iter().map(|open| open.call).collect();
        for call in calls {
            self.command_ended(thread, call, (CommandEnd::Interrupted, None), lent, out);
        }
        self.abandon_said(thread, lent, out);
        if let Some(id) = self.running(thread).and_then(|turn| turn.compaction.take()) {
            let item = items::item(ThreadItemKind::ContextCompaction { id });
            self.item_completed(thread, item, lent, out);
        }
    }

    /// What the model was saying is lost. Whatever it says next is an item of its own, or clients
    /// would add it to the pieces they have; what has begun ends empty, so that nobody takes it
    /// for said.
    pub(super) fn abandon_said(&mut self, thread: ThreadId, lent: Lent<'_>, out: &mut Output) {
        let Some(turn) = self.running(thread) else { return };
        let reasoning = turn.reasoning.take();
        let reasoning = reasoning.map(|open| items::reasoning(open.id, Vec::new(), Vec::new()));
        let message = turn.message.take().map(|id| items::agent_message(id, Text::default()));
        for item in [reasoning, message].into_iter().flatten() {
            self.item_completed(thread, item, lent, out);
        }
        self.abandon_search(thread, lent, out);
    }

    /// What the open search has found will not be known to be its own.
    pub(super) fn abandon_search(&mut self, thread: ThreadId, lent: Lent<'_>, out: &mut Output) {
        if let Some(id) = self.running(thread).and_then(|turn| turn.search.take()) {
            let item = items::web_search(id, Text::default(), "{}");
            self.item_completed(thread, item, lent, out);
        }
    }
}
