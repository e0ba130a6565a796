//! Makes the lines of a recording from live exchanges.
//!
//! One recorder per exchange, so that exchanges that run at the same time do not mix: whoever owns
//! the file appends the lines when the exchange has ended. Lines are made from what events mean,
//! not from the provider's bytes: a recording has one format for every wire, and no ids. Known
//! credentials are blanked out, also where deltas cut them in two.

use std::cmp::Reverse;
use std::fmt;

use crate::limits::{CREDENTIAL_BYTES_MIN, RECORDING_BYTES_MAX};
use crate::wire::holes::Holes;
use crate::wire::json::{self, Elements, Fields};
use crate::wire::layout::Layout;
use crate::wire::replay::{facets, without_cwd};
use crate::wire::responses::items::{self, Form, Ids};
use crate::words::item::Item;
use crate::words::model::{FailureKind, ItemStart, ModelEvent, ModelFailure, Usage};
use crate::words::request::RequestView;
use crate::words::sort;

/// What stands in a recording instead of a credential.
const BLANK: &str = "[credential]";

/// Records one exchange.
#[derive(Clone)]
pub struct Recorder {
    lines: Vec<u8>,
    /// What is blanked out, the longest first.
    credentials: Vec<Box<str>>,
    cwd: Box<str>,
    /// The tail of what the deltas said so far, held back while it may be half a credential.
    held: String,
    held_from: DeltaKind,
    full: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DeltaKind {
    Text,
    Reasoning,
    ReasoningRaw,
}

impl DeltaKind {
    fn event_type(self) -> &'static str {
        match self {
            DeltaKind::Text => "response.output_text.delta",
            DeltaKind::Reasoning => "response.reasoning_summary_text.delta",
            DeltaKind::ReasoningRaw => "response.reasoning_text.delta",
        }
    }
}

/// An exchange was too long to be recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

impl fmt::Debug for Recorder {
    /// Not by derive: credentials are not for logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("full", &self.full).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Begins with the request. Credentials under `CREDENTIAL_BYTES_MIN` are not looked for.
    pub fn new(view: &RequestView<'_>, credentials: &[&str]) -> Recorder {
        let known = credentials.iter().filter(|known| known.len() >= CREDENTIAL_BYTES_MIN);
        let mut credentials: Vec<Box<str>> = known.flat_map(|known| forms(known)).collect();
        // The longest first: one may hold another.
        sort::by_key(&mut credentials, |credential| Reverse(credential.len()));
        credentials.dedup();
        let mut recorder = Recorder {
            lines: Vec::new(),
            credentials,
            cwd: view.settings.cwd.clone(),
            held: String::new(),
            held_from: DeltaKind::Text,
            full: false,
        };
        let mut line = Vec::new();
        let mut fields = Fields::open(&mut line);
        let mut request = Fields::open(fields.key("request"));
        request.number("thread", u64::from(view.thread_ordinal));
        request.number("request", u64::from(view.request_ordinal));
        let mut input = Elements::open(request.key("input"));
        for facet in facets(view) {
            json::string(&facet, input.element());
        }
        input.close();
        request.close();
        fields.close();
        recorder.append(line);
        recorder
    }

    /// Takes the next thing the response brought.
    pub fn push(&mut self, event: &ModelEvent<'_>) {
        match event {
            ModelEvent::TextDelta(text) => return self.push_delta(DeltaKind::Text, text),
            ModelEvent::ReasoningDelta(text) => {
                return self.push_delta(DeltaKind::Reasoning, text);
            }
            ModelEvent::ReasoningRawDelta(text) => {
                return self.push_delta(DeltaKind::ReasoningRaw, text);
            }
            // Limits belong to an account, not to an answer; a cut answer is played as it came.
            ModelEvent::Limits(_) | ModelEvent::CutShort => return,
            _ => self.release(0),
        }
        match event {
            ModelEvent::Created => self.event("response.created", &mut |_| {}),
            ModelEvent::ReasoningBreak => {
                self.event("response.reasoning_summary_part.added", &mut |_| {});
            }
            ModelEvent::ItemStarted(start) => {
                let kind = match start {
                    ItemStart::Message => "message",
                    ItemStart::Reasoning => "reasoning",
                    ItemStart::Served => "web_search_call",
                };
                self.event("response.output_item.added", &mut |fields| {
                    let mut item = Fields::open(fields.key("item"));
                    item.text("type", kind);
                    item.close();
                });
            }
            ModelEvent::ItemDone(item) => {
                let mut item = item.clone();
                if let Item::Call(call) = &mut item {
                    call.arguments = without_cwd(call, &self.cwd);
                }
                let form = Form { layout: Layout::Record, ids: Ids::Dropped };
                self.event("response.output_item.done", &mut |fields| {
                    items::encode(&item, form, &mut Holes::default(), fields.key("item"));
                });
            }
            ModelEvent::Completed { usage } => {
                self.event("response.completed", &mut |fields| {
                    let mut response = Fields::open(fields.key("response"));
                    if let Some(usage) = usage {
                        encode_usage(usage, response.key("usage"));
                    }
                    response.close();
                });
            }
            ModelEvent::Failed(failure) => self.push_failure(failure),
            ModelEvent::TextDelta(_)
            | ModelEvent::ReasoningDelta(_)
            | ModelEvent::ReasoningRawDelta(_)
            | ModelEvent::Limits(_)
            | ModelEvent::CutShort => unreachable!("taken care of above"),
        }
    }

    /// Takes an HTTP failure as it came.
    pub fn push_status(&mut self, status: u16, body: &[u8]) {
        self.release(0);
        let mut line = Vec::new();
        let mut fields = Fields::open(&mut line);
        fields.number("status", u64::from(status));
        fields.text("body", &String::from_utf8_lossy(body));
        fields.close();
        self.append(line);
    }

    /// The exchange's lines, to be appended to the recording behind its header.
    pub fn finish(mut self) -> Result<Vec<u8>, TooLong> {
        self.release(0);
        if self.full { Err(TooLong) } else { Ok(self.lines) }
    }

    fn push_failure(&mut self, failure: &ModelFailure) {
        let code = match failure.kind {
            FailureKind::ContextFull => "context_length_exceeded",
            FailureKind::Limit => "insufficient_quota",
            FailureKind::Refused => "invalid_prompt",
            FailureKind::Overloaded => "server_is_overloaded",
            FailureKind::RateLimited => "rate_limit_exceeded",
            FailureKind::Credentials => return self.push_status(401, failure.message.as_bytes()),
            FailureKind::Server => return self.push_status(503, failure.message.as_bytes()),
            // No provider says so; the replayed stream breaks likewise.
            FailureKind::Unreachable | FailureKind::Stream | FailureKind::Setup => "stream",
        };
        self.event("response.failed", &mut |fields| {
            let mut response = Fields::open(fields.key("response"));
            let mut error = Fields::open(response.key("error"));
            error.text("code", code);
            error.text("message", &failure.message);
            error.close();
            response.close();
        });
    }

    fn push_delta(&mut self, kind: DeltaKind, text: &str) {
        if kind != self.held_from {
            self.release(0);
            self.held_from = kind;
        }
        self.held.push_str(text);
        // Less than this may be the beginning of a credential.
        let longest = self.credentials.first().map_or(1, |credential| credential.len());
        self.release(longest - 1);
    }

    /// Writes the held text but for its last bytes. Whole credentials are not cut: as long as fewer
    /// bytes are kept than the longest has, it is known which one starts before the cut.
    fn release(&mut self, keep_bytes: usize) {
        let cut = self.held.len().saturating_sub(keep_bytes);
        let mut cut = self.held.floor_char_boundary(cut);
        for credential in &self.credentials {
            for (start, _) in self.held.match_indices(&**credential) {
                let end = start + credential.len();
                if start < cut && cut < end {
                    cut = end;
                }
            }
        }
        if cut == 0 {
            return;
        }
        let said: String = self.held.drain(..cut).collect();
        self.event(self.held_from.event_type(), &mut |fields| fields.text("delta", &said));
    }

    fn event(&mut self, kind: &str, fill: &mut dyn FnMut(&mut Fields<'_>)) {
        let mut line = Vec::new();
        let mut fields = Fields::open(&mut line);
        let mut event = Fields::open(fields.key("event"));
        event.text("type", kind);
        fill(&mut event);
        event.close();
        fields.close();
        self.append(line);
    }

    fn append(&mut self, line: Vec<u8>) {
        let line = String::from_utf8_lossy(&line);
        let line = json::map_strings(&line, &mut |inside| self.blanked(inside));
        self.full |= self.lines.len() + line.len() >= RECORDING_BYTES_MAX;
        if !self.full {
            self.lines.extend_from_slice(line.as_bytes());
            self.lines.push(b'\n');
        }
    }

    fn blanked(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for credential in &self.credentials {
            text = text.replace(&**credential, BLANK);
        }
        text
    }
}

/// A credential as it is, as JSON holds it, and as JSON in JSON does: the arguments of a call.
fn forms(credential: &str) -> [Box<str>; 3] {
    let escaped = |text: &str| {
        let mut escaped = Vec::new();
        json::escape(text, &mut escaped);
        String::from_utf8_lossy(&escaped).into_owned()
    };
    let once = escaped(credential);
    let twice = escaped(&once);
    [credential.into(), once.into(), twice.into()]
}

/// Usage as a response reports it.
fn encode_usage(usage: &Usage, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.number("input_tokens", usage.input);
    let mut input = Fields::open(fields.key("input_tokens_details"));
    input.number("cached_tokens", usage.cached_input);
    if usage.cache_write_input > 0 {
        input.number("cache_write_tokens", usage.cache_write_input);
    }
    input.close();
    fields.number("output_tokens", usage.output);
    let mut output = Fields::open(fields.key("output_tokens_details"));
    output.number("reasoning_tokens", usage.reasoning_output);
    output.close();
    fields.number("total_tokens", usage.total);
    fields.close();
}
