//! What the machine tells of a thread, in the words of the second protocol.

use crate::fronts::Output;
use crate::fronts::app_server::envelope;
use crate::fronts::app_server::past_calls::id_of;
use crate::fronts::app_server::turns::Reasoning;
use crate::fronts::app_server::types::codec::{Maybe, Text};
use crate::fronts::app_server::types::methods::ServerNotification;
use crate::fronts::app_server::types::v2_items::{
    AccountRateLimitsUpdatedNotification, CodexErrorInfo, ContextCompactedNotification,
    ErrorNotification, ItemCompletedNotification, ItemStartedNotification,
    ReasoningSummaryPartAddedNotification, ThreadClosedNotification, ThreadItem, ThreadItemKind,
    ThreadStatus, ThreadStatusChangedNotification, ThreadTokenUsage,
    ThreadTokenUsageUpdatedNotification, TurnError, TurnPlanStep, TurnPlanStepStatus,
    TurnPlanUpdatedNotification, WarningNotification,
};
use crate::fronts::app_server::{AppServer, Lent, items, objects};
use crate::wire::json::{self, Fields};
use crate::wire::review;
use crate::words::call::{Answer, Task, TaskStatus};
use crate::words::event::{Event, Thought};
use crate::words::ids::{ItemIndex, ThreadId};
use crate::words::item::Item;
use crate::words::model::{RateLimits, Usage};

impl AppServer {
    pub(super) fn told_of_thread(
        &mut self,
        thread: ThreadId,
        event: &Event,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        match event {
            Event::TurnStarted { turn } => self.turn_started(thread, *turn, lent, out),
            Event::TurnEnded { how, .. } => self.turn_ended(thread, how, lent, out),
            Event::PromptTaken { item } => self.prompt_taken(thread, *item, lent, out),
            Event::ReviewEntered { hint, .. } => self.review_entered(thread, hint, lent, out),
            Event::ReviewExited { verdict } => self.review_exited(thread, *verdict, lent, out),
            Event::TextDelta { from_bytes } => self.text_delta(thread, *from_bytes, lent, out),
            Event::ReasoningDelta { from_bytes, kind } => {
                self.reasoning_delta(thread, *from_bytes, *kind, lent, out);
            }
            Event::ReasoningBreak => self.reasoning_break(thread),
            Event::ServedStarted => self.search_started(thread, lent, out),
            Event::ItemCompleted { item } => self.item_said(thread, *item, lent, out),
            Event::CommandStarted { .. }
            | Event::UserCommandStarted { .. }
            | Event::PatchStarted { .. } => {
                self.call_started(thread, event, lent, out);
            }
            Event::CommandEnded { call, item, ended } => {
                self.command_ended(thread, *call, (*ended, answer(lent.items, *item)), lent, out);
            }
            Event::SessionEnded { call, ended, output } => {
                let answer = Answer::Text { text: output.clone(), success: true };
                self.command_ended(thread, *call, (*ended, Some(&answer)), lent, out);
            }
            Event::PatchEnded { call, applied, item, .. } => {
                let declined = !applied && is_declined(answer(lent.items, *item));
                self.patch_ended(thread, *call, *applied, declined, lent, out);
            }
            Event::CallAnswered { item, output, .. } => {
                self.call_answered(thread, (*item, *output), lent, out);
            }
            Event::TasksUpdated { tasks } => self.tasks_updated(thread, tasks, out),
            Event::ApprovalAsked { call, item, question } => {
                self.approval_asked(thread, (*call, *item), question, lent, out);
            }
            Event::ApprovalSettled { call } => self.approval_settled(thread, *call, out),
            Event::Retrying { attempt, attempts_max, message, .. } => {
                self.abandon_said(thread, lent, out);
                self.retrying(thread, (*attempt, *attempts_max), message, out);
            }
            Event::Warning { message } => self.warned(thread, message, out),
            Event::CompactionStarted => self.compaction_started(thread, lent, out),
            Event::Compacted { .. } => self.compacted(thread, lent, out),
            Event::Limits { limits } => self.limits_changed(thread, limits, out),
            Event::Tokens { last, total, .. } => self.tokens_used(thread, last, total, lent, out),
            Event::ThreadClosed => self.thread_closed(thread, out),
            Event::ThreadStarted { .. }
            | Event::ThreadLoading
            | Event::ThreadFailed { .. }
            | Event::TurnStopping { .. }
            | Event::Refused { .. } => {}
        }
    }

    fn warned(&mut self, thread: ThreadId, message: &str, out: &mut Output) {
        let thread_id = self.threads.get(&thread).map(|loaded| loaded.id.clone());
        let warning = WarningNotification { thread_id, message: message.into() };
        self.notify_of(thread, &ServerNotification::Warning(warning), out);
    }

    fn limits_changed(&mut self, thread: ThreadId, limits: &RateLimits, out: &mut Output) {
        self.limits = Some(objects::limits(limits));
        match self.running(thread) {
            Some(turn) => turn.has_news_of_limits = true,
            None => self.tell_limits(thread, out),
        }
    }

    /// Tells of limits that came with a turn: after the tokens that they came with, or at its end.
    pub(super) fn settle_limits(&mut self, thread: ThreadId, out: &mut Output) {
        let news = self.running(thread).map(|turn| &mut turn.has_news_of_limits);
        if news.is_some_and(std::mem::take) {
            self.tell_limits(thread, out);
        }
    }

    fn tell_limits(&mut self, thread: ThreadId, out: &mut Output) {
        let Some(rate_limits) = self.limits.clone() else { return };
        let updated = AccountRateLimitsUpdatedNotification { rate_limits };
        self.notify_of(thread, &ServerNotification::AccountRateLimitsUpdated(updated), out);
    }

    fn tokens_used(
        &mut self,
        thread: ThreadId,
        last: &Usage,
        total: &Usage,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let token_usage = ThreadTokenUsage {
            total: objects::usage(total),
            last: objects::usage(last),
            model_context_window: objects::window(lent.settings),
        };
        let told = |thread_id, turn_id| {
            let updated = ThreadTokenUsageUpdatedNotification { thread_id, turn_id, token_usage };
            ServerNotification::ThreadTokenUsageUpdated(updated)
        };
        self.with_turn(thread, told, out);
        self.settle_limits(thread, out);
    }

    /// Writes a notification, unless the client does not want it.
    pub fn notify(&mut self, told: &ServerNotification, out: &mut Output) {
        if !self.is_wanted(told.method()) {
            return;
        }
        envelope::line(&mut out.stdout, |fields| {
            fields.text("method", told.method());
            told.encode_params(fields.key("params"));
        });
    }

    /// The same, if the client follows the thread in these words.
    pub(super) fn notify_of(
        &mut self,
        thread: ThreadId,
        told: &ServerNotification,
        out: &mut Output,
    ) {
        if self.threads.get(&thread).is_some_and(|loaded| loaded.is_subscribed) {
            self.notify(told, out);
        }
    }

    /// The same of the turn that runs.
    pub(super) fn with_turn(
        &mut self,
        thread: ThreadId,
        told: impl FnOnce(Text, Text) -> ServerNotification,
        out: &mut Output,
    ) {
        let Some(loaded) = self.threads.get(&thread) else { return };
        let Some(turn) = &loaded.turn else { return };
        let told = told(loaded.id.clone(), turn.id.clone());
        self.notify_of(thread, &told, out);
    }

    pub(super) fn item_started(
        &mut self,
        thread: ThreadId,
        item: &ThreadItem,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let (mut item, started_at_ms) = (item.clone(), lent.wall_ms as i64);
        item.times.started_at_ms = Maybe(Some(started_at_ms));
        if let Some(turn) = self.running(thread) {
            turn.begun.push((id_of(&item).into(), started_at_ms));
        }
        self.with_turn(
            thread,
            |thread_id, turn_id| {
                let started = ItemStartedNotification { item, thread_id, turn_id, started_at_ms };
                ServerNotification::ItemStarted(started)
            },
            out,
        );
    }

    /// Gives the item back with its times.
    pub(super) fn item_completed(
        &mut self,
        thread: ThreadId,
        mut item: ThreadItem,
        lent: Lent<'_>,
        out: &mut Output,
    ) -> ThreadItem {
        let completed_at_ms = lent.wall_ms as i64;
        item.times.completed_at_ms = Maybe(Some(completed_at_ms));
        if let Some(turn) = self.running(thread)
            && let Some(index) = turn.begun.iter().position(|(id, _)| **id == *id_of(&item))
        {
            item.times.started_at_ms = Maybe(Some(turn.begun.remove(index).1));
        }
        let told = item.clone();
        self.with_turn(
            thread,
            |thread_id, turn_id| {
                let item = told;
                let completed =
                    ItemCompletedNotification { item, thread_id, turn_id, completed_at_ms };
                ServerNotification::ItemCompleted(completed)
            },
            out,
        );
        item
    }

    /// Tells of an item that is whole as soon as it is there.
    pub(super) fn item_whole(
        &mut self,
        thread: ThreadId,
        item: ThreadItem,
        lent: Lent<'_>,
        out: &mut Output,
    ) -> ThreadItem {
        self.item_started(thread, &item, lent, out);
        self.item_completed(thread, item, lent, out)
    }

    pub(super) fn fresh_id(&mut self, thread: ThreadId) -> Text {
        self.threads.get_mut(&thread).map(|loaded| loaded.item_id()).unwrap_or_default()
    }

    fn prompt_taken(
        &mut self,
        thread: ThreadId,
        index: ItemIndex,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let item = lent.prompt.or(lent.items.get(index.0 as usize));
        let Some(Item::Message(message)) = item else { return };
        let id = self.fresh_id(thread);
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        if let Some(text) = message.texts().next() {
            loaded.preview(text);
        }
        let client_id = loaded
            .turn
            .as_mut()
            .and_then(|turn| (!turn.client_ids.is_empty()).then(|| turn.client_ids.remove(0)));
        self.item_whole(thread, items::user_message(id, client_id, message), lent, out);
    }

    fn text_delta(&mut self, thread: ThreadId, from: u32, lent: Lent<'_>, out: &mut Output) {
        let Some(turn) = self.running(thread) else { return };
        let id = match &turn.message {
            Some(id) => id.clone(),
            None => {
                let id = self.fresh_id(thread);
                if let Some(turn) = self.running(thread) {
                    turn.message = Some(id.clone());
                }
                let item = items::agent_message(id.clone(), Text::default());
                self.item_started(thread, &item, lent, out);
                id
            }
        };
        let delta = lent.partial.get(from as usize..).unwrap_or("");
        self.delta(thread, "item/agentMessage/delta", (&id, delta), None, out);
    }

    fn reasoning_delta(
        &mut self,
        thread: ThreadId,
        from: u32,
        kind: Thought,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(turn) = self.running(thread) else { return };
        if turn.reasoning.is_none() {
            let id = self.fresh_id(thread);
            let item = items::reasoning(id.clone(), Vec::new(), Vec::new());
            self.item_started(thread, &item, lent, out);
            if let Some(turn) = self.running(thread) {
                turn.reasoning = Some(Reasoning { id, part: 0, has_part: false });
            }
        }
        let Some(open) = self.running(thread).and_then(|turn| turn.reasoning.as_mut()) else {
            return;
        };
        let (item_id, part) = (open.id.clone(), open.part);
        let delta = lent.partial_reasoning.get(from as usize..).unwrap_or("");
        match kind {
            Thought::Raw => {
                let index = Some(("contentIndex", 0));
                self.delta(thread, "item/reasoning/textDelta", (&item_id, delta), index, out);
            }
            Thought::Summary => {
                if !std::mem::replace(&mut open.has_part, true) {
                    let item_id = item_id.clone();
                    self.with_turn(
                        thread,
                        |thread_id, turn_id| {
                            ServerNotification::ReasoningSummaryPartAdded(
                                ReasoningSummaryPartAddedNotification {
                                    thread_id,
                                    turn_id,
                                    item_id,
                                    summary_index: part,
                                },
                            )
                        },
                        out,
                    );
                }
                let index = Some(("summaryIndex", part));
                self.delta(
                    thread,
                    "item/reasoning/summaryTextDelta",
                    (&item_id, delta),
                    index,
                    out,
                );
            }
        }
    }

    fn reasoning_break(&mut self, thread: ThreadId) {
        if let Some(open) = self.running(thread).and_then(|turn| turn.reasoning.as_mut())
            && open.has_part
        {
            open.part += 1;
            open.has_part = false;
        }
    }

    /// Writes a piece of an item: by hand, since there are many.
    pub(super) fn delta(
        &mut self,
        thread: ThreadId,
        method: &str,
        (item, delta): (&str, &str),
        index: Option<(&str, i64)>,
        out: &mut Output,
    ) {
        let Some(loaded) = self.threads.get(&thread).filter(|loaded| loaded.is_subscribed) else {
            return;
        };
        let Some(turn) = &loaded.turn else { return };
        if !self.is_wanted(method) {
            return;
        }
        envelope::notify(method, &mut out.stdout, |params: &mut Fields<'_>| {
            params.text("threadId", &loaded.id);
            params.text("turnId", &turn.id);
            params.text("itemId", item);
            params.text("delta", delta);
            if let Some((name, value)) = index {
                json::number(value, params.key(name));
            }
        });
    }

    fn search_started(&mut self, thread: ThreadId, lent: Lent<'_>, out: &mut Output) {
        self.abandon_search(thread, lent, out);
        let id = self.fresh_id(thread);
        let item = items::web_search(id.clone(), Text::default(), "{}");
        self.item_started(thread, &item, lent, out);
        if let Some(turn) = self.running(thread) {
            turn.search = Some(id);
        }
    }

    /// The model has said something whole.
    fn item_said(&mut self, thread: ThreadId, index: ItemIndex, lent: Lent<'_>, out: &mut Output) {
        let Some(said) = lent.items.get(index.0 as usize) else { return };
        let Some(turn) = self.running(thread).filter(|turn| !turn.is_reviewed) else { return };
        let open = match said {
            Item::Message(_) => turn.message.take(),
            Item::Reasoning(_) => turn.reasoning.take().map(|open| open.id),
            Item::Served { .. } => turn.search.take(),
            Item::Call(_) | Item::Output(_) => None,
        };
        let has_started = open.is_some();
        let id = open.unwrap_or_else(|| self.fresh_id(thread));
        let Some(item) = items::of_model(id, said) else { return };
        if !has_started {
            self.item_started(thread, &item, lent, out);
        }
        let item = self.item_completed(thread, item, lent, out);
        if let (ThreadItemKind::AgentMessage { .. }, Some(turn)) =
            (&item.kind, self.running(thread))
        {
            turn.said = Some(item);
        }
    }

    fn tasks_updated(&mut self, thread: ThreadId, tasks: &[Task], out: &mut Output) {
        let plan = tasks.iter().map(|task| TurnPlanStep {
            step: task.step.clone(),
            status: match task.status {
                TaskStatus::Pending => TurnPlanStepStatus::Pending,
                TaskStatus::InProgress => TurnPlanStepStatus::InProgress,
                TaskStatus::Completed => TurnPlanStepStatus::Completed,
            },
        });
        let plan = plan.collect();
        self.with_turn(
            thread,
            |thread_id, turn_id| {
                let explanation = None;
                let updated = TurnPlanUpdatedNotification { thread_id, turn_id, explanation, plan };
                ServerNotification::TurnPlanUpdated(updated)
            },
            out,
        );
    }

    fn retrying(
        &mut self,
        thread: ThreadId,
        (attempt, attempts_max): (u32, u32),
        message: &str,
        out: &mut Output,
    ) {
        let info = CodexErrorInfo::ResponseStreamDisconnected { http_status_code: None };
        let error = TurnError {
            message: format!("Reconnecting... {attempt}/{attempts_max}").into(),
            codex_error_info: Some(info),
            additional_details: Some(message.into()),
            misalignment: None,
        };
        let turn = self.running(thread).map(|turn| turn.id.clone()).unwrap_or_default();
        self.error(thread, &turn, error, true, out);
    }

    pub(super) fn error(
        &mut self,
        thread: ThreadId,
        turn: &str,
        error: TurnError,
        will_retry: bool,
        out: &mut Output,
    ) {
        let Some(loaded) = self.threads.get(&thread) else { return };
        let (thread_id, turn_id) = (loaded.id.clone(), turn.into());
        let told = ErrorNotification { error, will_retry, thread_id, turn_id };
        self.notify_of(thread, &ServerNotification::Error(told), out);
    }

    fn compaction_started(&mut self, thread: ThreadId, lent: Lent<'_>, out: &mut Output) {
        let id = self.fresh_id(thread);
        let item = items::item(ThreadItemKind::ContextCompaction { id: id.clone() });
        self.item_started(thread, &item, lent, out);
        if let Some(turn) = self.running(thread) {
            turn.compaction = Some(id);
        }
    }

    fn compacted(&mut self, thread: ThreadId, lent: Lent<'_>, out: &mut Output) {
        if let Some(id) = self.running(thread).and_then(|turn| turn.compaction.take()) {
            let item = items::item(ThreadItemKind::ContextCompaction { id });
            self.item_completed(thread, item, lent, out);
        }
        self.with_turn(
            thread,
            |thread_id, turn_id| {
                let compacted = ContextCompactedNotification { thread_id, turn_id };
                ServerNotification::ContextCompacted(compacted)
            },
            out,
        );
    }

    fn review_entered(&mut self, thread: ThreadId, hint: &str, lent: Lent<'_>, out: &mut Output) {
        let id = self.fresh_id(thread);
        let item = items::item(ThreadItemKind::EnteredReviewMode { id, review: hint.into() });
        self.item_whole(thread, item, lent, out);
    }

    fn review_exited(
        &mut self,
        thread: ThreadId,
        verdict: Option<ItemIndex>,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let said = verdict.and_then(|index| lent.items.get(index.0 as usize));
        let text: Option<String> = match said {
            Some(Item::Message(message)) => Some(message.texts().collect()),
            _ => None,
        };
        let cwd = lent.settings.map_or("", |settings| &settings.cwd);
        let review: Option<Text> = text.map(|text| review::decode(&text, cwd).text(cwd).into());
        let id = self.fresh_id(thread);
        let shown = review.clone().unwrap_or_default();
        let item = items::item(ThreadItemKind::ExitedReviewMode { id, review: shown });
        self.item_whole(thread, item, lent, out);
        // What people read is the last word of the turn.
        let Some(review) = review else { return };
        let item = items::agent_message(self.fresh_id(thread), review);
        let item = self.item_whole(thread, item, lent, out);
        if let Some(turn) = self.running(thread) {
            turn.said = Some(item);
            turn.is_reviewed = true;
        }
    }

    fn thread_closed(&mut self, thread: ThreadId, out: &mut Output) {
        let Some(loaded) = self.threads.get(&thread) else { return };
        let thread_id = loaded.id.clone();
        // Of one that is put away clients are told where it went instead.
        let told = if loaded.is_archived {
            let status = ThreadStatus::NotLoaded;
            let changed = ThreadStatusChangedNotification { thread_id, status };
            ServerNotification::ThreadStatusChanged(changed)
        } else {
            ServerNotification::ThreadClosed(ThreadClosedNotification { thread_id })
        };
        self.notify_of(thread, &told, out);
        self.threads.remove(&thread);
        self.forget_questions(thread);
    }
}

fn answer(items: &[Item], index: ItemIndex) -> Option<&Answer> {
    match items.get(index.0 as usize)? {
        Item::Output(output) => Some(&output.answer),
        Item::Message(_) | Item::Reasoning(_) | Item::Call(_) | Item::Served { .. } => None,
    }
}

fn is_declined(answer: Option<&Answer>) -> bool {
    matches!(answer, Some(Answer::Text { success: false, text }) if text.contains("rejected"))
}
