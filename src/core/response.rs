//! A response that is coming in, from its request to its end.
//!
//! Messages and reasoning are remembered as soon as they are whole; the first call and what comes
//! after it are held until the response is. A response that fails is asked for again, as far as
//! `retry` allows; what had been written of it is kept when the turn ends with it.

use crate::core::Desk;
use crate::core::call::Call;
use crate::core::compact::Purpose;
use crate::core::effect::{Effect, Stop};
use crate::core::ops::Work;
use crate::core::retry::{self, Again, Tries};
use crate::core::thread::Thread;
use crate::core::turn::Wait;
use crate::limits::{HISTORY_BYTES_MAX, PARTIAL_BYTES_MAX, RESPONSE_ITEMS_MAX};
use crate::tools;
use crate::words::call::CallAsked;
use crate::words::event::{Ended, Event, Failed, Thought};
use crate::words::ids::{CallId, OpId};
use crate::words::item::{Item, Message, Role};
use crate::words::model::{Counted, FailureKind, ItemStart, ModelEvent, ModelFailure, Usage};
use crate::words::record::Record;

/// A response that is coming in.
#[derive(Debug)]
pub struct Awaited {
    pub(crate) op: OpId,
    /// How many items the request holds: what the response brings is not sent with it.
    pub(crate) items_sent: usize,
    tries: Tries,
    pub(crate) idle_at_ms: u64,
    /// The message that is being written, as far as it has come.
    pub(crate) partial: String,
    /// The reasoning that is being written.
    pub(crate) partial_reasoning: String,
    /// The first call and what came after it: held until the response is whole.
    held: Vec<Item>,
    items_count: usize,
    /// Whether the rest is left out.
    is_cut: bool,
}

impl Thread {
    /// Sends the request, for the first time or again.
    pub(crate) fn send(&mut self, tries: Tries, desk: &mut Desk<'_>) {
        let Some(op) = desk.ops.start(self.id, Work::Response) else {
            self.fail_bound("too much is running already", desk);
            return;
        };
        let idle_at_ms = desk.now.mono_ms.saturating_add(self.settings.stream_idle_ms);
        self.wait_for(Wait::Model(Awaited {
            op,
            items_sent: self.history.items().len(),
            tries: Tries { sent: tries.sent + 1, begun: false, ..tries },
            idle_at_ms,
            partial: String::new(),
            partial_reasoning: String::new(),
            held: Vec::new(),
            items_count: 0,
            is_cut: false,
        }));
        desk.out.act(Effect::Request { op, thread: self.id });
    }

    /// The response brought something; the gate has let the op pass.
    pub(crate) fn on_model(&mut self, op: OpId, event: ModelEvent<'_>, desk: &mut Desk<'_>) {
        let id = self.id;
        let idle_at_ms = desk.now.mono_ms.saturating_add(self.settings.stream_idle_ms);
        let turn = self.turn_mut();
        let sums_up = matches!(turn.purpose, Purpose::Summary(_));
        let awaited = match &mut turn.wait {
            Wait::Model(awaited) => awaited,
            Wait::Stop(_) => {
                if matches!(event, ModelEvent::Completed { .. } | ModelEvent::Failed(_)) {
                    self.on_stopped(op, desk);
                }
                return;
            }
            Wait::Opening { .. } | Wait::Retry { .. } | Wait::Calls { .. } | Wait::Child { .. } => {
                unreachable!("no request is live in this state; `ops` guards it")
            }
        };
        awaited.idle_at_ms = idle_at_ms;
        match event {
            ModelEvent::ItemStarted(ItemStart::Served) => desk.out.tell(id, Event::ServedStarted),
            ModelEvent::Created => awaited.tries.begun = true,
            ModelEvent::ItemStarted(ItemStart::Message | ItemStart::Reasoning) => {}
            ModelEvent::ReasoningBreak
            | ModelEvent::TextDelta(_)
            | ModelEvent::ReasoningDelta(_)
            | ModelEvent::ReasoningRawDelta(_)
                if sums_up => {}
            ModelEvent::ReasoningBreak => desk.out.tell(id, Event::ReasoningBreak),
            ModelEvent::TextDelta(text) => {
                let from_bytes = awaited.partial.len() as u32;
                if awaited.partial.len() + text.len() <= PARTIAL_BYTES_MAX {
                    awaited.partial.push_str(text);
                    desk.out.tell(id, Event::TextDelta { from_bytes });
                }
            }
            ModelEvent::ReasoningDelta(text) | ModelEvent::ReasoningRawDelta(text) => {
                let is_raw = matches!(event, ModelEvent::ReasoningRawDelta(_));
                let kind = if is_raw { Thought::Raw } else { Thought::Summary };
                let from_bytes = awaited.partial_reasoning.len() as u32;
                if awaited.partial_reasoning.len() + text.len() <= PARTIAL_BYTES_MAX {
                    awaited.partial_reasoning.push_str(text);
                    desk.out.tell(id, Event::ReasoningDelta { from_bytes, kind });
                }
            }
            ModelEvent::ItemDone(item) if sums_up => self.on_summary_item(&item),
            ModelEvent::ItemDone(item) => self.on_item_done(item, desk),
            ModelEvent::Limits(limits) => {
                if self.limits.replace(limits) != Some(limits) {
                    // Also if the response fails, perhaps for these very limits.
                    let (total, last) = (self.usage, self.last_usage);
                    let limits = Some(limits);
                    desk.out.append(id, Record::TokenCount { total, last, limits });
                }
                desk.out.tell(id, Event::Limits { limits });
            }
            ModelEvent::CutShort => {
                let message = "the response was cut off at the model's limit of output tokens";
                desk.out.tell(id, Event::Warning { message: message.into() });
            }
            ModelEvent::Completed { usage } => self.on_completed(usage, desk),
            ModelEvent::Failed(failure) => {
                desk.ops.end(op);
                self.on_request_failed(failure, desk);
            }
        }
    }

    /// The response that is coming in, if one is.
    pub(crate) fn awaited(&self) -> Option<&Awaited> {
        match &self.turn.as_ref()?.wait {
            Wait::Model(awaited) => Some(awaited),
            Wait::Opening { .. }
            | Wait::Retry { .. }
            | Wait::Calls { .. }
            | Wait::Child { .. }
            | Wait::Stop(_) => None,
        }
    }

    fn awaited_mut(&mut self) -> &mut Awaited {
        match &mut self.turn_mut().wait {
            Wait::Model(awaited) => awaited,
            Wait::Opening { .. }
            | Wait::Retry { .. }
            | Wait::Calls { .. }
            | Wait::Child { .. }
            | Wait::Stop(_) => {
                unreachable!("only a response that is coming in comes here")
            }
        }
    }

    fn on_item_done(&mut self, item: Item, desk: &mut Desk<'_>) {
        let Some(item) = of_model(item) else { return };
        let history_bytes = self.history.bytes();
        let awaited = self.awaited_mut();
        if awaited.is_cut {
            return;
        }
        awaited.items_count += 1;
        let held_bytes: u64 = awaited.held.iter().map(Item::bytes).sum();
        let fits = history_bytes + held_bytes + item.bytes() <= HISTORY_BYTES_MAX;
        if awaited.items_count > RESPONSE_ITEMS_MAX || !fits {
            awaited.is_cut = true;
            let mib = HISTORY_BYTES_MAX >> 20;
            let message = format!(
                "the response has more than {RESPONSE_ITEMS_MAX} items, or the conversation \
                 exceeds {mib} MiB; the rest is left out"
            );
            desk.out.tell(self.id, Event::Warning { message: message.into() });
            return;
        }
        match &item {
            Item::Message(_) => awaited.partial = String::new(),
            Item::Reasoning(_) => awaited.partial_reasoning = String::new(),
            Item::Call(_) | Item::Output(_) | Item::Served { .. } => {}
        }
        if !awaited.held.is_empty() || matches!(item, Item::Call(_)) {
            awaited.held.push(item);
        } else {
            self.remember_said(item, desk);
        }
    }

    fn on_completed(&mut self, usage: Option<Usage>, desk: &mut Desk<'_>) {
        let awaited = self.awaited_mut();
        let held = std::mem::take(&mut awaited.held);
        let op = awaited.op;
        desk.ops.end(op);
        if let Some(last) = usage {
            self.count_tokens(last, desk);
        }
        if matches!(self.turn_mut().purpose, Purpose::Summary(_)) {
            return self.on_summed_up(desk);
        }
        self.note_relief(usage);
        let calls = self.remember_held(held, desk);
        if usage.is_some() {
            // What was held was counted with the rest.
            self.counted.items = self.history.items().len();
        }
        if calls.is_empty() {
            if self.prompts_due_count() == 0 {
                self.finish(Ended::Completed, desk);
            } else {
                self.request(desk);
            }
            return;
        }
        self.wait_for(Wait::Calls { calls });
        self.calls_went_on(desk);
    }

    /// Adds what was held back, and makes the calls among it.
    fn remember_held(&mut self, held: Vec<Item>, desk: &mut Desk<'_>) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        let mut ids: Vec<Box<str>> = Vec::new();
        for item in held {
            match item {
                Item::Call(_) if self.is_one_shot() => {}
                Item::Call(mut asked) => {
                    asked.call_id = unique(&asked.call_id, &ids);
                    ids.push(asked.call_id.clone());
                    calls.push(self.remember_call(asked, desk));
                }
                Item::Message(_) | Item::Reasoning(_) | Item::Served { .. } | Item::Output(_) => {
                    self.remember_said(item, desk);
                }
            }
        }
        calls
    }

    fn remember_call(&mut self, asked: CallAsked, desk: &mut Desk<'_>) -> Call {
        let id = CallId(self.calls_count);
        self.calls_count += 1;
        let plan = tools::plan(&asked, &self.settings);
        let index = self.remember(Item::Call(asked), desk);
        let Item::Call(asked) = &self.history.items()[index.0 as usize] else {
            unreachable!("it was pushed one line above")
        };
        Call::new(id, index, asked, plan)
    }

    fn count_tokens(&mut self, last: Usage, desk: &mut Desk<'_>) {
        self.usage.add(&last);
        self.last_usage = last;
        let items = self.history.items().len();
        self.counted = Counted { tokens: last.total, items };
        let turn = self.turn_mut();
        turn.usage.add(&last);
        let turn = turn.usage;
        let (total, limits) = (self.usage, self.limits);
        desk.out.append(self.id, Record::TokenCount { total, last, limits });
        desk.out.tell(self.id, Event::Tokens { last, turn, total });
    }

    /// Nothing has come for too long: the response counts as broken.
    pub(crate) fn on_silence(&mut self, desk: &mut Desk<'_>) {
        let op = self.awaited_mut().op;
        desk.ops.end(op);
        desk.out.act(Effect::Stop { op, how: Stop::Kill });
        let seconds = self.settings.stream_idle_ms.div_ceil(1000);
        let text = format!("the model sent nothing for {seconds} s");
        self.on_request_failed(ModelFailure::new(FailureKind::Stream, text), desk);
    }

    fn on_request_failed(&mut self, failure: ModelFailure, desk: &mut Desk<'_>) {
        let tries = self.awaited_mut().tries;
        let now_ms = desk.now.mono_ms;
        let again = retry::judge(&failure, tries, now_ms, &self.settings, desk.prng);
        let (delay_ms, tries) = match again {
            Again::Request { delay_ms, tries } => (delay_ms, tries),
            Again::Stream { delay_ms, tries } => {
                let attempts_max = self.settings.stream_retries_max;
                let (attempt, message) = (tries.stream, failure.message);
                let told = Event::Retrying { attempt, attempts_max, delay_ms, message };
                desk.out.tell(self.id, told);
                (delay_ms, tries)
            }
            Again::Enough => {
                let message = tries.give_up(now_ms, &failure.message).into();
                return self.fail_model(ModelFailure { message, ..failure }, desk);
            }
            Again::Never if failure.kind == FailureKind::ContextFull => {
                return self.on_window_exceeded(failure, desk);
            }
            Again::Never => return self.fail_model(failure, desk),
        };
        self.wait_for(Wait::Retry { at_ms: now_ms.saturating_add(delay_ms), tries });
    }

    pub(crate) fn fail_model(&mut self, mut failure: ModelFailure, desk: &mut Desk<'_>) {
        self.keep_partial(desk);
        if matches!(self.turn_mut().purpose, Purpose::Summary(_)) {
            let why = &failure.message;
            failure.message = format!("the conversation could not be summed up: {why}").into();
        }
        if let (FailureKind::ContextFull, Some(window)) =
            (failure.kind, self.settings.context_window)
        {
            // Clients read a full window from totals that equal it.
            let last = Usage { total: window, ..Usage::default() };
            self.usage = last;
            self.last_usage = last;
            self.counted = Counted { tokens: window, items: self.history.items().len() };
            let limits = self.limits;
            desk.out.append(self.id, Record::TokenCount { total: last, last, limits });
            let turn = self.turn_mut().usage;
            desk.out.tell(self.id, Event::Tokens { last, turn, total: last });
        }
        let how = Ended::Failed { kind: Failed::Model(failure.kind), message: failure.message };
        self.finish(how, desk);
    }

    /// Records what the model had written and asked for when it was cut off, calls aside.
    pub(crate) fn keep_partial(&mut self, desk: &mut Desk<'_>) {
        let awaited = self.awaited_mut();
        let partial = std::mem::take(&mut awaited.partial);
        for item in std::mem::take(&mut awaited.held) {
            if !matches!(item, Item::Call(_)) {
                self.remember_said(item, desk);
            }
        }
        if !partial.is_empty() {
            self.remember_said(Item::Message(Message::text(Role::Assistant, partial)), desk);
        }
    }
}

/// The item as a model may say it: never in another's name, and no output, since tools are ours.
fn of_model(item: Item) -> Option<Item> {
    match item {
        Item::Message(message) => Some(Item::Message(Message { role: Role::Assistant, ..message })),
        Item::Reasoning(_) | Item::Call(_) | Item::Served { .. } => Some(item),
        Item::Output(_) => None,
    }
}

/// The id, or one like it that is not taken: providers answer to ids, and some give one twice.
fn unique(id: &str, taken: &[Box<str>]) -> Box<str> {
    let mut candidate: Box<str> = id.into();
    let mut count = 1;
    while taken.contains(&candidate) {
        count += 1;
        candidate = format!("{id}_{count}").into();
    }
    candidate
}
