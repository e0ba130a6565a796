//! The chunks of a Chat Completions stream, one payload at a time.
//!
//! Text and reasoning are lent on as they come; items are made when the stream has ended, in the
//! order reasoning, message, calls. What is malformed, unknown or comes after the end is ignored
//! and counted. What is kept of one response is bounded by `CHAT_RESPONSE_BYTES_MAX` and
//! `CHAT_CALLS_MAX`.
//!
//! ```text
//!  chunks --[DONE]------------------------------> items, Completed
//!    |------close: something came, no half call--^
//!    `------close otherwise, error, too much----> Failed
//! ```

use std::borrow::Cow;

use crate::limits::{CHAT_CALLS_MAX, CHAT_RESPONSE_BYTES_MAX};
use crate::wire::json;
use crate::wire::responses::{errors, items};
use crate::wire::sse::Events;
use crate::words::call::{CallAsked, CallKind};
use crate::words::item::{Item, Message, Reasoning, Role};
use crate::words::model::{FailureKind, ItemStart, ModelEvent, ModelFailure, Usage};

/// Reads one response.
#[derive(Clone, Default, Debug)]
pub struct Decoder {
    /// The number that the next call without a name gets.
    unnamed: u32,
    ignored: u64,
    heard: bool,
    ended: bool,
    text: String,
    reasoning: String,
    calls: Vec<CallSoFar>,
    /// Bytes of all of these; `<= CHAT_RESPONSE_BYTES_MAX`.
    kept_bytes: usize,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

/// A call as far as it has come.
#[derive(Clone, Default, Debug)]
struct CallSoFar {
    /// The server's number for it, if it gives one.
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// Why the model stopped, as far as that matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finish {
    /// It had said everything, or wants its calls answered.
    Done,
    /// At the limit of its length.
    Length,
    Filter,
}

/// A response that is more than we keep.
struct TooMuch;

impl Decoder {
    /// Calls that come without an id are called `call_<n>`, from this `n` on; a number that grows
    /// with the history keeps them apart.
    pub fn new(unnamed_from: u32) -> Decoder {
        Decoder { unnamed: unnamed_from, ..Decoder::default() }
    }

    /// Payloads that meant nothing to us.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Whether the response was completed or has failed; nothing comes after that.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the model has said why it stopped: what follows is the count of tokens at most.
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Takes the payload of one event and hands on what it means.
    pub fn push_event(&mut self, payload: &[u8], sink: &mut dyn FnMut(ModelEvent<'_>)) {
        if !self.ended && payload.trim_ascii() == b"[DONE]" {
            self.end(sink);
            return;
        }
        let read = match str::from_utf8(payload) {
            Ok(payload) if !self.ended => self.read(payload, sink),
            Ok(_) | Err(_) => None,
        };
        match read {
            Some(Ok(())) => {}
            Some(Err(TooMuch)) => {
                let text = format!(
                    "the response has more than {CHAT_CALLS_MAX} calls or {} MiB",
                    CHAT_RESPONSE_BYTES_MAX >> 20
                );
                self.fail(ModelFailure::new(FailureKind::Stream, text), sink);
            }
            None => self.ignored = self.ignored.saturating_add(1),
        }
    }

    /// The stream ended without saying so, which is a proper end too, unless nothing had come yet
    /// or a call is only half there.
    pub fn close(&mut self, sink: &mut dyn FnMut(ModelEvent<'_>)) {
        if self.ended {
            return;
        }
        let is_cut = |call: &CallSoFar| !json::is_json(call.arguments());
        let wrong = if !self.heard {
            "before anything was said"
        } else if self.finish.is_none() && self.calls.iter().any(is_cut) {
            "in the middle of a call"
        } else {
            self.end(sink);
            return;
        };
        let text = format!("stream disconnected before completion: it closed {wrong}");
        self.fail(ModelFailure::new(FailureKind::Stream, text), sink);
    }

    fn fail(&mut self, failure: ModelFailure, sink: &mut dyn FnMut(ModelEvent<'_>)) {
        self.ended = true;
        sink(ModelEvent::Failed(failure));
    }

    fn read(
        &mut self,
        payload: &str,
        sink: &mut dyn FnMut(ModelEvent<'_>),
    ) -> Option<Result<(), TooMuch>> {
        let names = ["choices", "usage", "error", "object", "message"];
        let [choices, usage, error, object, message] = json::pick(payload, names).ok()?;
        let is_error = object.and_then(json::text).as_deref() == Some("error");
        // Some put what is wrong into `error`, some make the whole payload one.
        if let Some(error) = error.or(Some(payload).filter(|_| is_error)) {
            self.fail(failure_in(error, message), sink);
            return Some(Ok(()));
        }
        if choices.is_none() && usage.is_none() {
            return None;
        }
        if !self.heard {
            self.heard = true;
            sink(ModelEvent::Created);
        }
        if let Some(usage) = usage.and_then(usage_in) {
            self.usage = Some(usage);
        }
        let choice = choices.and_then(first);
        Some(choice.map_or(Ok(()), |choice| self.read_choice(choice, sink)))
    }

    fn read_choice(
        &mut self,
        choice: &str,
        sink: &mut dyn FnMut(ModelEvent<'_>),
    ) -> Result<(), TooMuch> {
        let picked = json::pick(choice, ["delta", "message", "finish_reason"]);
        let [delta, message, finish] = picked.unwrap_or_default();
        let names = ["content", "refusal", "reasoning", "reasoning_content", "tool_calls"];
        let delta = delta.and_then(|delta| json::pick(delta, names).ok());
        let [content, refusal, reasoning, reasoning_content, calls] = delta.unwrap_or_default();
        // Servers that know both names say the same under both.
        let reasoning = [reasoning, reasoning_content].into_iter().flatten().find_map(thought);
        let reasoning =
            reasoning.or_else(|| content.and_then(|content| parts(content, "thinking")));
        // Servers that say it at the end may have said it before.
        let at_end = message.filter(|_| self.reasoning.is_empty());
        let at_end = at_end.and_then(|message| json::field(message, "reasoning"));
        if let Some(text) = reasoning.or_else(|| at_end.and_then(thought)) {
            self.keep(text.len())?;
            if self.reasoning.is_empty() {
                sink(ModelEvent::ItemStarted(ItemStart::Reasoning));
            }
            self.reasoning.push_str(&text);
            sink(ModelEvent::ReasoningRawDelta(&text));
        }
        // A refusal is an answer too: without it there would be none.
        if let Some(text) = [content, refusal].into_iter().flatten().find_map(said) {
            self.keep(text.len())?;
            if self.text.is_empty() {
                sink(ModelEvent::ItemStarted(ItemStart::Message));
            }
            self.text.push_str(&text);
            sink(ModelEvent::TextDelta(&text));
        }
        let mut kept = Ok(());
        if let Some(calls) = calls {
            // Anything but a list says nothing about calls.
            let _ = json::elements(calls, &mut |call| {
                if kept.is_ok() {
                    kept = self.read_call(call);
                }
            });
        }
        self.finish = match finish.and_then(json::text).as_deref() {
            None | Some("") => self.finish,
            Some("length") => Some(Finish::Length),
            Some("content_filter") => Some(Finish::Filter),
            Some(_) => Some(Finish::Done),
        };
        kept
    }

    /// A piece of a call.
    fn read_call(&mut self, piece: &str) -> Result<(), TooMuch> {
        let [index, id, function] =
            json::pick(piece, ["index", "id", "function"]).unwrap_or_default();
        let function = function.and_then(|it| json::pick(it, ["name", "arguments"]).ok());
        let [name, arguments] = function.unwrap_or_default();
        let id = id.and_then(json::text).unwrap_or_default();
        let name = name.and_then(json::text).unwrap_or_default();
        // Some send an object in place of its text.
        let arguments = arguments.map_or(Cow::Borrowed(""), |arguments| {
            json::text(arguments).unwrap_or_else(|| json::compacted(arguments).into_string().into())
        });
        self.keep(id.len() + name.len() + arguments.len())?;
        let index = index.and_then(json::count);
        let place = match self.place(index, &id, &name) {
            Some(place) => place,
            None if self.calls.len() == CHAT_CALLS_MAX => return Err(TooMuch),
            None => {
                self.calls.push(CallSoFar { index, ..CallSoFar::default() });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[place];
        if call.id.is_empty() {
            call.id.push_str(&id);
        }
        if call.name.is_empty() {
            call.name.push_str(&name);
        }
        call.arguments.push_str(&arguments);
        Ok(())
    }

    /// The call that a piece belongs to; `None` if it begins one.
    ///
    /// The index says which. Where it is missing the id does, and where that is missing too, a name
    /// begins a call. Some servers number every call 0: another id with a name is another call.
    fn place(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let by_id = |call: &CallSoFar| {
            !id.is_empty() && call.id == id && (index.is_none() || call.index == index)
        };
        if let Some(place) = self.calls.iter().rposition(by_id) {
            return Some(place);
        }
        let place = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index)?,
            None if id.is_empty() => self.calls.len().checked_sub(1)?,
            None => return None,
        };
        let call = &self.calls[place];
        let begins = match index {
            Some(_) => !name.is_empty() && !id.is_empty() && !call.id.is_empty(),
            None => !name.is_empty() && !call.name.is_empty(),
        };
        (!begins).then_some(place)
    }

    /// Makes room for so many bytes more.
    fn keep(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes > CHAT_RESPONSE_BYTES_MAX { Err(TooMuch) } else { Ok(()) }
    }

    /// Hands on what was gathered.
    fn end(&mut self, sink: &mut dyn FnMut(ModelEvent<'_>)) {
        if self.finish == Some(Finish::Filter) {
            self.fail(errors::incomplete(Some("content_filter")), sink);
            return;
        }
        self.ended = true;
        if !self.reasoning.is_empty() {
            let content = vec![std::mem::take(&mut self.reasoning).into()];
            let reasoning = Reasoning { summary: Vec::new(), content, encrypted: None, id: None };
            sink(ModelEvent::ItemDone(Item::Reasoning(reasoning)));
        }
        if !self.text.is_empty() {
            let message = Message::text(Role::Assistant, std::mem::take(&mut self.text));
            sink(ModelEvent::ItemDone(Item::Message(message)));
        }
        for mut call in std::mem::take(&mut self.calls) {
            if call.name.is_empty() && call.arguments.is_empty() {
                continue;
            }
            if call.id.is_empty() {
                call.id = format!("call_{}", self.unnamed);
                self.unnamed = self.unnamed.wrapping_add(1);
            }
            sink(ModelEvent::ItemDone(Item::Call(CallAsked {
                kind: CallKind::Function,
                arguments: call.arguments().into(),
                call_id: call.id.into(),
                name: call.name.into(),
                id: None,
            })));
        }
        if self.finish == Some(Finish::Length) {
            sink(ModelEvent::CutShort);
        }
        sink(ModelEvent::Completed { usage: self.usage });
    }
}

impl CallSoFar {
    /// The arguments; a call without any has none to speak of.
    fn arguments(&self) -> &str {
        if self.arguments.trim().is_empty() { "{}" } else { &self.arguments }
    }
}

/// The first choice; we ask for one.
fn first(choices: &str) -> Option<&str> {
    let mut first = None;
    json::elements(choices, &mut |choice| {
        first.get_or_insert(choice);
    })
    .ok()?;
    first
}

/// Reasoning as a text, or as an object around one; none if it is empty.
fn thought(json: &str) -> Option<Cow<'_, str>> {
    let text = json::text(json).or_else(|| {
        let [text, content] = json::pick(json, ["text", "content"]).ok()?;
        text.or(content).and_then(json::text)
    });
    text.filter(|text| !text.is_empty())
}

/// What is said, as a text or in parts; none if it is empty.
fn said(json: &str) -> Option<Cow<'_, str>> {
    let text = json::text(json).or_else(|| parts(json, "text"));
    text.filter(|text| !text.is_empty())
}

/// What the parts of a list say under this name: a text, or a list of parts with texts.
fn parts<'a>(list: &str, name: &str) -> Option<Cow<'a, str>> {
    let mut all = String::new();
    // Anything but a list says nothing.
    let _ = json::elements(list, &mut |part| {
        let Some(value) = json::field(part, name) else { return };
        match json::text(value) {
            Some(text) => all.push_str(&text),
            None => {
                let _ = json::elements(value, &mut |part| {
                    let text = json::field(part, "text").and_then(json::text);
                    all.push_str(&text.unwrap_or_default());
                });
            }
        }
    });
    (!all.is_empty()).then(|| all.into())
}

/// What an error in the stream means: an object, or a text.
fn failure_in(error: &str, outer: Option<&str>) -> ModelFailure {
    if let Some(text) = json::text(error) {
        return errors::failed(None, Some(&text));
    }
    let picked = json::pick(error, ["code", "type", "message"]).unwrap_or_default();
    let [code, kind, message] = picked.map(|field| field.and_then(json::text));
    let message = message.or_else(|| outer.and_then(json::text));
    errors::failed(code.or(kind).as_deref(), message.as_deref())
}

fn usage_in(usage: &str) -> Option<Usage> {
    let names = [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
    ];
    let [input, output, total, input_details, output_details] = json::pick(usage, names).ok()?;
    let count = |json: Option<&str>| json.and_then(json::count);
    let detail = |details: Option<&str>, name| {
        count(details.and_then(|details| json::field(details, name))).unwrap_or(0)
    };
    let (input, output) = (count(input)?, count(output).unwrap_or(0));
    Some(Usage {
        input,
        cached_input: detail(input_details, "cached_tokens"),
        cache_write_input: 0,
        output,
        reasoning_output: detail(output_details, "reasoning_tokens"),
        total: count(total).unwrap_or_else(|| input.saturating_add(output)),
    })
}

/// Everything a stream in these pieces means, told.
fn told<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Vec<String> {
    let mut events = Events::default();
    let mut decoder = Decoder::new(0);
    let mut told = Vec::new();
    let mut ends_count = 0;
    let mut sink = |event: ModelEvent<'_>| {
        assert_eq!(ends_count, 0, "nothing comes after the end");
        match &event {
            ModelEvent::Completed { .. } | ModelEvent::Failed(_) => ends_count += 1,
            ModelEvent::ItemDone(item) => items::fuzz(item),
            _ => {}
        }
        told.push(format!("{event:?}"));
    };
    for piece in pieces {
        events.push(piece);
        while let Some(Ok(event)) = events.pull() {
            decoder.push_event(event.data.as_bytes(), &mut sink);
        }
    }
    decoder.close(&mut sink);
    assert_eq!(ends_count, 1, "a stream ends once");
    told
}

/// The fuzz body: a stream of any bytes ends once, and means the same however it is cut.
pub fn fuzz_cuts(bytes: &[u8]) {
    let whole = told(std::iter::once(bytes));
    for length in [1, 7] {
        assert_eq!(told(bytes.chunks(length)), whole);
    }
}

#[cfg(test)]
mod tests;
