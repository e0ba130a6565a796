//! What the machine tells of a thread, in the words of the first protocol: to each listener.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fronts::Output;
use crate::fronts::app_server::conversations::{Conversing, Patching, Running};
use crate::fronts::app_server::past_calls::viewed;
use crate::fronts::app_server::threads::{Listener, Loaded};
use crate::fronts::app_server::types::codec::{Text, Typed};
use crate::fronts::app_server::types::events::{
    AgentMessageContentDeltaEvent, AgentMessageDeltaEvent, AgentReasoningDeltaEvent,
    AgentReasoningRawContentDeltaEvent, AgentReasoningSectionBreakEvent,
    ApplyPatchApprovalRequestEvent, BackgroundEventEvent, ErrorEvent, EventMsg,
    ExecApprovalRequestEvent, ExecCommandBeginEvent, ExecCommandOutputDeltaEvent, ExecOutputStream,
    ExitedReviewModeEvent, ItemCompletedEvent, ItemStartedEvent, PatchApplyBeginEvent,
    PatchApplyEndEvent, PlanItemArg, RawResponseItemEvent, ReasoningContentDeltaEvent,
    ReasoningRawContentDeltaEvent, ReviewRequest, StepStatus, StreamErrorEvent, TaskCompleteEvent,
    TaskStartedEvent, TokenCountEvent, TurnAbortedEvent, TurnDiffEvent, TurnItem, UpdatePlanArgs,
    ViewImageToolCallEvent, WarningEvent, WebSearchBeginEvent, WebSearchEndEvent,
};
use crate::fronts::app_server::types::v1::TurnAbortReason;
use crate::fronts::app_server::{Client, Lent, envelope, items_v1, objects};
use crate::wire::json;
use crate::words::call::{Answer, Task, TaskStatus};
use crate::words::event::{CommandEnd, Ended, Event, Question, Thought};
use crate::words::ids::{CallId, ItemIndex};
use crate::words::item::{Item, Message};
use crate::words::model::{Spent, Usage};

/// Tells the listeners of one thread of one event.
pub(super) struct Teller<'a> {
    conversation: &'a str,
    listeners: &'a [Listener],
    client: Option<&'a Client>,
    state: &'a mut Conversing,
    lent: Lent<'a>,
    out: &'a mut Output,
}

impl<'a> Teller<'a> {
    pub(super) fn new(
        loaded: &'a mut Loaded,
        client: Option<&'a Client>,
        lent: Lent<'a>,
        out: &'a mut Output,
    ) -> Teller<'a> {
        let Loaded { id, listeners, conversing, .. } = loaded;
        Teller { conversation: id, listeners, client, state: conversing, lent, out }
    }

    pub(super) fn told(&mut self, event: &Event) {
        self.patch_goes_on(event);
        match event {
            Event::TurnStarted { .. } => self.turn_started(),
            Event::TurnEnded { how, .. } => self.turn_ended(how),
            Event::PromptTaken { item } => self.prompt_taken(*item),
            Event::ReviewEntered { item, hint } => self.review_entered(*item, hint),
            Event::ReviewExited { verdict } => self.review_exited(*verdict),
            Event::TextDelta { from_bytes } => self.text_delta(*from_bytes),
            Event::ReasoningDelta { from_bytes, kind } => self.reasoning_delta(*from_bytes, *kind),
            Event::ReasoningBreak => self.reasoning_break(),
            Event::ServedStarted => self.search_started(),
            Event::ItemCompleted { item } => self.item_said(*item),
            Event::CommandStarted { call, item, argv, cwd } => {
                self.command_started(*call, (self.call_id(*item, *call), false), argv, cwd);
            }
            Event::UserCommandStarted { call, argv, cwd } => {
                self.user_command_started(*call, argv, cwd);
            }
            Event::CommandEnded { call, item, ended } => {
                let answer = self.answer(*item);
                self.command_ended(*call, *ended, answer);
            }
            Event::SessionEnded { call, ended, output } => {
                let answer = Answer::Text { text: output.clone(), success: true };
                self.command_ended(*call, *ended, Some(&answer));
            }
            Event::PatchStarted { call, item, changes } => {
                self.state.patch = Some(Patching {
                    call: *call,
                    call_id: self.call_id(*item, *call),
                    changes: items_v1::changes(changes),
                });
            }
            Event::PatchEnded { call, item, applied, .. } => {
                self.patch_ended(*call, *item, *applied);
            }
            Event::CallAnswered { item, output, .. } => self.call_answered(*item, *output),
            Event::TasksUpdated { tasks } => self.tasks_updated(tasks),
            Event::ApprovalAsked { call, item, question } => {
                self.approval_asked(*call, *item, question);
            }
            Event::Retrying { attempt, attempts_max, .. } => {
                self.retrying(*attempt, *attempts_max);
            }
            Event::Warning { message } => {
                let message = message.clone();
                self.say(&EventMsg::Warning(WarningEvent { message }));
            }
            Event::Compacted { .. } => {
                self.state.raw_count = self.lent.items.len();
                let message = "the conversation so far was replaced by a summary of it".into();
                self.say(&EventMsg::BackgroundEvent(BackgroundEventEvent { message }));
            }
            Event::Limits { limits } => {
                self.state.limits = Some(Box::new(items_v1::limits(limits)));
                self.tokens_told();
            }
            Event::Tokens { last, total, .. } => self.tokens_used(last, total),
            Event::CompactionStarted
            | Event::ApprovalSettled { .. }
            | Event::ThreadClosed
            | Event::ThreadStarted { .. }
            | Event::ThreadLoading
            | Event::ThreadFailed { .. }
            | Event::TurnStopping { .. }
            | Event::Refused { .. } => {}
        }
        self.raw_items();
    }

    /// Writes an event once for each listener.
    fn say(&mut self, event: &EventMsg) {
        let count = self.listeners.len();
        self.say_to(count, event);
    }

    fn say_to(&mut self, count: usize, event: &EventMsg) {
        if count == 0 {
            return;
        }
        let mut body = Vec::new();
        event.encode(&mut body);
        let body = String::from_utf8_lossy(&body);
        let kind = json::field(&body, "type").and_then(json::text).unwrap_or_default();
        let method = format!("codex/event/{kind}");
        if self.client.is_some_and(|client| !client.wants(&method)) {
            return;
        }
        let mut line = Vec::with_capacity(body.len() + 150);
        envelope::notify(&method, &mut line, |params| {
            params.text("id", &self.state.turn.submission);
            params.raw("msg", &body);
            params.text("conversationId", self.conversation);
        });
        for _ in 0..count {
            self.out.stdout.extend_from_slice(&line);
        }
    }

    /// Items that have come to the history, as they are, for those who want that.
    fn raw_items(&mut self) {
        let items = self.lent.items;
        let from = self.state.raw_count.min(items.len());
        self.state.raw_count = items.len();
        let count = self.listeners.iter().filter(|listener| listener.raw).count();
        if count == 0 {
            return;
        }
        for item in items[from..].iter().filter_map(items_v1::raw) {
            let event = EventMsg::RawResponseItem(RawResponseItemEvent { item });
            self.say_to(count, &event);
        }
    }

    fn turn_started(&mut self) {
        let submission = match self.state.awaited.take() {
            Some(number) => number,
            None => self.state.submission(),
        };
        self.state.turn =
            Running { submission: submission.to_string().into(), ..Running::default() };
        let model_context_window = self.window();
        self.say(&EventMsg::TaskStarted(TaskStartedEvent { model_context_window }));
    }

    fn turn_ended(&mut self, how: &Ended) {
        self.abandon_said();
        match how {
            Ended::Interrupted => {
                let reason = TurnAbortReason::Interrupted;
                self.say(&EventMsg::TurnAborted(TurnAbortedEvent { reason }));
            }
            Ended::Completed => self.task_complete(),
            Ended::Failed { message, .. } => {
                let message = message.clone();
                self.say(&EventMsg::Error(ErrorEvent { message }));
                self.state.turn.said = None;
                self.task_complete();
            }
        }
        self.state.turn.said = None;
    }

    fn retrying(&mut self, attempt: u32, attempts_max: u32) {
        self.abandon_said();
        let message = format!("Reconnecting... {attempt}/{attempts_max}").into();
        self.say(&EventMsg::StreamError(StreamErrorEvent { message }));
    }

    /// What the model was saying is lost: what has begun ends empty, and what is said next is new.
    fn abandon_said(&mut self) {
        let turn = &mut self.state.turn;
        let reasoning = turn.reasoning.take().map(|id| items_v1::reasoning(id, None));
        let message = turn.message.take().map(|id| items_v1::agent_message(id, None));
        for item in [reasoning, message].into_iter().flatten() {
            self.item_completed(item);
        }
        self.abandon_search();
    }

    fn abandon_search(&mut self) {
        let Some(call_id) = self.state.turn.search.take() else { return };
        let query = Text::default();
        self.item_completed(items_v1::web_search(call_id.clone(), query.clone()));
        self.say(&EventMsg::WebSearchEnd(WebSearchEndEvent { call_id, query }));
    }

    fn task_complete(&mut self) {
        let last_agent_message = self.state.turn.said.take();
        self.say(&EventMsg::TaskComplete(TaskCompleteEvent { last_agent_message }));
    }

    fn window(&self) -> Option<i64> {
        objects::window(self.lent.settings)
    }

    fn fresh_id(&mut self) -> Text {
        self.state.id(self.conversation)
    }

    fn item_started(&mut self, item: TurnItem) {
        let (thread_id, turn_id) = self.names();
        self.say(&EventMsg::ItemStarted(ItemStartedEvent { thread_id, turn_id, item }));
    }

    fn item_completed(&mut self, item: TurnItem) {
        let (thread_id, turn_id) = self.names();
        self.say(&EventMsg::ItemCompleted(ItemCompletedEvent { thread_id, turn_id, item }));
    }

    fn names(&self) -> (Text, Text) {
        (self.conversation.into(), self.state.turn.submission.clone())
    }

    fn item(&self, index: ItemIndex) -> Option<&'a Item> {
        self.lent.items.get(index.0 as usize)
    }

    fn message(&self, index: ItemIndex) -> Option<&'a Message> {
        match self.item(index) {
            Some(Item::Message(message)) => Some(message),
            _ => None,
        }
    }

    fn answer(&self, index: ItemIndex) -> Option<&'a Answer> {
        match self.item(index) {
            Some(Item::Output(output)) => Some(&output.answer),
            _ => None,
        }
    }

    /// The provider's name for a call.
    fn call_id(&self, index: ItemIndex, call: CallId) -> Text {
        items_v1::call_id(self.lent.items, index, call)
    }

    fn prompt_taken(&mut self, index: ItemIndex) {
        let Some(item) = self.lent.prompt.or(self.item(index)) else { return };
        let Item::Message(message) = item else { return };
        let told = items_v1::user_message(self.fresh_id(), message);
        self.item_started(told.clone());
        self.item_completed(told);
        self.legacy(item);
    }

    fn legacy(&mut self, item: &Item) {
        for event in items_v1::legacy(item) {
            self.say(&event);
        }
    }

    fn text_delta(&mut self, from: u32) {
        if self.listeners.is_empty() {
            return;
        }
        let item_id = match &self.state.turn.message {
            Some(id) => id.clone(),
            None => {
                let id = self.fresh_id();
                self.state.turn.message = Some(id.clone());
                self.item_started(items_v1::agent_message(id.clone(), None));
                id
            }
        };
        let delta: Text = self.lent.partial.get(from as usize..).unwrap_or("").into();
        let (thread_id, turn_id) = self.names();
        let told =
            AgentMessageContentDeltaEvent { thread_id, turn_id, item_id, delta: delta.clone() };
        self.say(&EventMsg::AgentMessageContentDelta(told));
        self.say(&EventMsg::AgentMessageDelta(AgentMessageDeltaEvent { delta }));
    }

    fn reasoning_delta(&mut self, from: u32, kind: Thought) {
        if self.listeners.is_empty() {
            return;
        }
        let item_id = self.thinking();
        let delta: Text = self.lent.partial_reasoning.get(from as usize..).unwrap_or("").into();
        let (thread_id, turn_id) = self.names();
        match kind {
            Thought::Summary => {
                let told = delta.clone();
                self.say(&EventMsg::ReasoningContentDelta(ReasoningContentDeltaEvent {
                    thread_id,
                    turn_id,
                    item_id,
                    delta: told,
                }));
                self.say(&EventMsg::AgentReasoningDelta(AgentReasoningDeltaEvent { delta }));
            }
            Thought::Raw => {
                let told = delta.clone();
                self.say(&EventMsg::ReasoningRawContentDelta(ReasoningRawContentDeltaEvent {
                    thread_id,
                    turn_id,
                    item_id,
                    delta: told,
                }));
                let legacy = AgentReasoningRawContentDeltaEvent { delta };
                self.say(&EventMsg::AgentReasoningRawContentDelta(legacy));
            }
        }
    }

    fn reasoning_break(&mut self) {
        if !self.listeners.is_empty() {
            self.thinking();
        }
        self.say(&EventMsg::AgentReasoningSectionBreak(AgentReasoningSectionBreakEvent {}));
    }

    /// The reasoning that is being written, which begins if there is none.
    fn thinking(&mut self) -> Text {
        if let Some(id) = &self.state.turn.reasoning {
            return id.clone();
        }
        let id = self.fresh_id();
        self.state.turn.reasoning = Some(id.clone());
        self.item_started(items_v1::reasoning(id.clone(), None));
        id
    }

    fn search_started(&mut self) {
        self.abandon_search();
        let call_id = self.fresh_id();
        self.state.turn.search = Some(call_id.clone());
        self.item_started(items_v1::web_search(call_id.clone(), Text::default()));
        self.say(&EventMsg::WebSearchBegin(WebSearchBeginEvent { call_id }));
    }

    /// The model has said something whole.
    fn item_said(&mut self, index: ItemIndex) {
        let Some(item) = self.item(index) else { return };
        let turn = &mut self.state.turn;
        let open = match item {
            Item::Message(_) => turn.message.take(),
            Item::Reasoning(_) => turn.reasoning.take(),
            Item::Served { .. } => turn.search.take(),
            Item::Call(_) | Item::Output(_) => None,
        };
        let has_started = open.is_some();
        let id = open.unwrap_or_else(|| self.fresh_id());
        let Some(told) = items_v1::of_model(id.clone(), item) else { return };
        if !has_started {
            self.item_started(match item {
                Item::Message(_) => items_v1::agent_message(id.clone(), None),
                Item::Reasoning(_) => items_v1::reasoning(id.clone(), None),
                Item::Served { .. } | Item::Call(_) | Item::Output(_) => told.clone(),
            });
        }
        self.item_completed(told);
        match item {
            Item::Message(message) => {
                self.state.turn.said = Some(message.texts().collect::<String>().into());
            }
            Item::Served { query, .. } => {
                let ended = WebSearchEndEvent { call_id: id, query: query.clone() };
                self.say(&EventMsg::WebSearchEnd(ended));
            }
            Item::Reasoning(_) | Item::Call(_) | Item::Output(_) => {}
        }
        self.legacy(item);
    }

    fn user_command_started(&mut self, call: CallId, argv: &[String], cwd: &str) {
        let call_id = self.fresh_id();
        self.command_started(call, (call_id, true), argv, cwd);
    }

    fn command_started(
        &mut self,
        call: CallId,
        (call_id, is_user_shell_command): (Text, bool),
        argv: &[String],
        cwd: &str,
    ) {
        // Each ends in time: the machine bounds sessions, and the calls of one response.
        self.state.calls.push((call, call_id.clone(), self.lent.wall_ms));
        self.say(&EventMsg::ExecCommandBegin(ExecCommandBeginEvent {
            call_id,
            command: items_v1::texts(argv),
            cwd: cwd.into(),
            parsed_cmd: items_v1::parsed_command(argv),
            is_user_shell_command,
        }));
    }

    /// A command's streams are one, which is told as the first of the two.
    pub(super) fn printed(&mut self, call: CallId, piece: &[u8]) {
        let known = self.state.calls.iter().find(|(known, ..)| *known == call);
        let Some((_, call_id, _)) = known.filter(|_| !self.listeners.is_empty()) else { return };
        let (call_id, stream) = (call_id.clone(), ExecOutputStream::Stdout);
        let chunk = STANDARD.encode(piece).into();
        let told = ExecCommandOutputDeltaEvent { call_id, stream, chunk };
        self.say(&EventMsg::ExecCommandOutputDelta(told));
    }

    fn command_ended(&mut self, call: CallId, ended: CommandEnd, answer: Option<&Answer>) {
        let calls = &mut self.state.calls;
        let Some(index) = calls.iter().position(|(known, ..)| *known == call) else { return };
        let (_, call_id, started_ms) = calls.remove(index);
        if self.listeners.is_empty() {
            return;
        }
        let took_ms = self.lent.wall_ms.saturating_sub(started_ms);
        let ended = items_v1::command_end(call_id, ended, answer, took_ms);
        self.say(&EventMsg::ExecCommandEnd(ended));
    }

    /// Whether a person is asked about a patch, only what comes after its beginning tells.
    fn patch_goes_on(&mut self, event: &Event) {
        let Some(patch) = self.state.patch.take() else { return };
        let is_asked = matches!(event, Event::ApprovalAsked { call, .. } if *call == patch.call);
        self.say(&EventMsg::PatchApplyBegin(PatchApplyBeginEvent {
            call_id: patch.call_id,
            auto_approved: !is_asked,
            changes: patch.changes,
        }));
    }

    fn patch_ended(&mut self, call: CallId, item: ItemIndex, success: bool) {
        let call_id = match self.item(item) {
            Some(Item::Output(output)) => output.call_id.clone(),
            _ => format!("call-{}", call.0).into(),
        };
        let text: Text = self.answer(item).map(Answer::text).unwrap_or_default().into();
        let (stdout, stderr) =
            if success { (text, Text::default()) } else { (Text::default(), text) };
        let ended = PatchApplyEndEvent { call_id, stdout, stderr, success };
        self.say(&EventMsg::PatchApplyEnd(ended));
    }

    pub(super) fn diffed(&mut self, diff: &str) {
        if !self.listeners.is_empty() {
            self.say(&EventMsg::TurnDiff(TurnDiffEvent { unified_diff: diff.into() }));
        }
    }

    fn call_answered(&mut self, item: ItemIndex, output: ItemIndex) {
        let Some(Item::Call(asked)) = self.item(item) else { return };
        let cwd = self.lent.settings.map_or("", |settings| &settings.cwd);
        let Some(path) = viewed(asked, cwd) else { return };
        if matches!(self.answer(output), Some(Answer::Text { success: false, .. }) | None) {
            return;
        }
        let told = ViewImageToolCallEvent { call_id: asked.call_id.clone(), path };
        self.say(&EventMsg::ViewImageToolCall(told));
    }

    fn tasks_updated(&mut self, tasks: &[Task]) {
        let plan = tasks.iter().map(|task| PlanItemArg {
            step: task.step.clone(),
            status: match task.status {
                TaskStatus::Pending => StepStatus::Pending,
                TaskStatus::InProgress => StepStatus::InProgress,
                TaskStatus::Completed => StepStatus::Completed,
            },
        });
        let told = UpdatePlanArgs { explanation: None, plan: plan.collect() };
        self.say(&EventMsg::PlanUpdate(told));
    }

    fn approval_asked(&mut self, call: CallId, item: ItemIndex, question: &Question) {
        let call_id = self.call_id(item, call);
        let told = match question {
            Question::Command { argv, cwd, reason, risk } => {
                EventMsg::ExecApprovalRequest(ExecApprovalRequestEvent {
                    call_id,
                    command: items_v1::texts(argv),
                    cwd: cwd.clone(),
                    reason: reason.clone(),
                    risk: risk.as_ref().map(items_v1::risk),
                    parsed_cmd: items_v1::parsed_command(argv),
                })
            }
            Question::Patch { changes, reason } => {
                EventMsg::ApplyPatchApprovalRequest(ApplyPatchApprovalRequestEvent {
                    call_id,
                    changes: items_v1::changes(changes),
                    reason: reason.clone(),
                    grant_root: None,
                })
            }
        };
        self.say(&told);
    }

    fn tokens_used(&mut self, last: &Usage, total: &Usage) {
        let spent = Spent { last: *last, total: *total, limits: None };
        self.state.tokens = items_v1::tokens(&spent, self.lent.settings).map(Box::new);
        self.tokens_told();
    }

    fn tokens_told(&mut self) {
        let info = self.state.tokens.as_deref().cloned();
        let rate_limits = self.state.limits.as_deref().cloned();
        self.say(&EventMsg::TokenCount(TokenCountEvent { info, rate_limits }));
    }

    fn review_entered(&mut self, item: ItemIndex, hint: &str) {
        let prompt = self.message(item).map(|message| message.texts().collect::<String>());
        let told = ReviewRequest {
            prompt: prompt.unwrap_or_default().into(),
            user_facing_hint: hint.into(),
        };
        self.say(&EventMsg::EnteredReviewMode(told));
    }

    fn review_exited(&mut self, verdict: Option<ItemIndex>) {
        let cwd = self.lent.settings.map_or("", |settings| &settings.cwd);
        let said = verdict.and_then(|index| self.message(index));
        let review_output = said.and_then(|said| items_v1::review_output(said, cwd));
        self.say(&EventMsg::ExitedReviewMode(ExitedReviewModeEvent { review_output }));
    }
}
