//! The events of a Responses stream, one payload at a time.
//!
//! What is malformed, unknown or comes after the end is ignored and counted. Deltas are lent from
//! the payload; only escapes cost an allocation. Payloads are bounded by whoever splits the stream.

use std::borrow::Cow;

use crate::wire::json;
use crate::wire::responses::{errors, items};
use crate::words::item::Item;
use crate::words::model::{FailureKind, ItemStart, ModelEvent, ModelFailure, Usage};

/// Reads one response.
#[derive(Clone, Default, Debug)]
pub struct Decoder {
    /// The number that the next call without a name gets.
    unnamed: u32,
    ignored: u64,
    ended: bool,
}

impl Decoder {
    /// Calls that come without the provider's name are called `call_<n>`, from this `n` on; a
    /// number that grows with the history keeps them apart.
    pub fn new(unnamed_from: u32) -> Decoder {
        Decoder { unnamed: unnamed_from, ignored: 0, ended: false }
    }

    /// Payloads that meant nothing to us.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Whether the response was completed or has failed; nothing comes after that.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Takes the payload of one event and hands on what it means: at most one thing.
    pub fn push_event(&mut self, payload: &[u8], sink: &mut dyn FnMut(ModelEvent<'_>)) {
        let read = str::from_utf8(payload).ok().and_then(|payload| self.read(payload, sink));
        if read.is_none() {
            self.ignored = self.ignored.saturating_add(1);
        }
    }

    /// The stream is over; a response that had not ended has failed.
    pub fn close(&mut self, sink: &mut dyn FnMut(ModelEvent<'_>)) {
        if self.ended {
            return;
        }
        self.ended = true;
        let text = "stream disconnected before completion: it closed before response.completed";
        sink(ModelEvent::Failed(ModelFailure::new(FailureKind::Stream, text)));
    }

    fn read(&mut self, payload: &str, sink: &mut dyn FnMut(ModelEvent<'_>)) -> Option<()> {
        if self.ended {
            return None;
        }
        let names = ["type", "delta", "item", "response", "error", "code", "message"];
        let [kind, delta, item, response, error, code, message] =
            json::pick(payload, names).ok()?;
        // Some servers send an error as it stands, without a type around it.
        let kind = match kind {
            Some(kind) => json::text(kind)?,
            None => error.filter(|error| error.starts_with('{')).map(|_| "error".into())?,
        };
        let Some(name) = kind.strip_prefix("response.") else {
            // A provider may fail outside any response.
            if &*kind != "error" {
                return None;
            }
            let [inner_code, inner_message] = error_fields(error);
            let failure = errors::failed(
                code.and_then(json::text).or(inner_code).as_deref(),
                message.and_then(json::text).or(inner_message).as_deref(),
            );
            self.ended = true;
            sink(ModelEvent::Failed(failure));
            return Some(());
        };
        match name {
            "created" => sink(ModelEvent::Created),
            "output_text.delta" => sink(ModelEvent::TextDelta(&json::text(delta?)?)),
            "reasoning_summary_text.delta" => {
                sink(ModelEvent::ReasoningDelta(&json::text(delta?)?));
            }
            "reasoning_text.delta" => sink(ModelEvent::ReasoningRawDelta(&json::text(delta?)?)),
            "reasoning_summary_part.added" => sink(ModelEvent::ReasoningBreak),
            "output_item.added" => sink(ModelEvent::ItemStarted(start(item?)?)),
            "output_item.done" => sink(ModelEvent::ItemDone(self.item(item?)?)),
            "completed" => {
                self.ended = true;
                let usage = response.and_then(|response| json::field(response, "usage"));
                sink(ModelEvent::Completed { usage: usage.and_then(usage_in) });
            }
            "failed" => {
                self.ended = true;
                let error = response.and_then(|response| json::field(response, "error"));
                let [code, message] = error_fields(error);
                sink(ModelEvent::Failed(errors::failed(code.as_deref(), message.as_deref())));
            }
            "incomplete" => {
                self.ended = true;
                let details =
                    response.and_then(|response| json::field(response, "incomplete_details"));
                let reason = details.and_then(|details| json::field(details, "reason"));
                let reason = reason.and_then(json::text);
                sink(ModelEvent::Failed(errors::incomplete(reason.as_deref())));
            }
            _ => return None,
        }
        Some(())
    }

    /// A finished item that an answer may hold.
    fn item(&mut self, json: &str) -> Option<Item> {
        let mut item = items::decode(json)?;
        match &mut item {
            Item::Call(call) => {
                if call.call_id.is_empty() {
                    call.call_id = format!("call_{}", self.unnamed).into();
                    self.unnamed = self.unnamed.wrapping_add(1);
                }
            }
            // Tools answer here, not models.
            Item::Output(_) => return None,
            Item::Message(_) | Item::Reasoning(_) | Item::Served { .. } => {}
        }
        Some(item)
    }
}

/// Usage as a response reports it.
fn usage_in(usage: &str) -> Option<Usage> {
    let names = [
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "input_tokens_details",
        "output_tokens_details",
    ];
    let [input, output, total, input_details, output_details] = json::pick(usage, names).ok()?;
    let count = |json: Option<&str>| json.and_then(json::count);
    let detail = |details: Option<&str>, name| {
        let value = details.and_then(|details| json::field(details, name));
        count(value).unwrap_or(0)
    };
    let (input, output) = (count(input)?, count(output)?);
    Some(Usage {
        input,
        cached_input: detail(input_details, "cached_tokens"),
        cache_write_input: detail(input_details, "cache_write_tokens"),
        output,
        reasoning_output: detail(output_details, "reasoning_tokens"),
        total: count(total).unwrap_or_else(|| input.saturating_add(output)),
    })
}

fn start(item: &str) -> Option<ItemStart> {
    match &*json::text(json::field(item, "type")?)? {
        "message" => Some(ItemStart::Message),
        "reasoning" => Some(ItemStart::Reasoning),
        kind if items::is_served(kind) => Some(ItemStart::Served),
        _ => None,
    }
}

/// The code, or else the type, and the message of an error object.
fn error_fields(error: Option<&str>) -> [Option<Cow<'_, str>>; 2] {
    let found = error.and_then(|error| json::pick(error, ["code", "type", "message"]).ok());
    let found = found.unwrap_or_default().map(|field| field.and_then(json::text));
    let [code, kind, message] = found;
    [code.or(kind), message]
}

/// The fuzz body: any lines are taken for payloads, and a response ends at most once.
pub fn fuzz(bytes: &[u8]) {
    let mut decoder = Decoder::default();
    let mut ends_count = 0;
    for payload in bytes.split(|&byte| byte == b'\n') {
        let mut events_count = 0;
        decoder.push_event(payload, &mut |event| {
            events_count += 1;
            match event {
                ModelEvent::Completed { .. } | ModelEvent::Failed(_) => ends_count += 1,
                ModelEvent::ItemDone(item) => items::fuzz(&item),
                _ => {}
            }
        });
        assert!(events_count <= 1);
    }
    assert!(ends_count <= 1);
    assert_eq!(ends_count == 1, decoder.ended());
}

#[cfg(test)]
mod tests;
