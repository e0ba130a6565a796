//! Records as lines of a rollout, and back.
//!
//! Lines have Codex's format, so that either program reads the other's files. Writing gives one
//! line and its ending. Reading takes lines of older and newer programs: what history does not need
//! is `Nothing`, what is not a line at all is an error for whoever counts them.

use std::borrow::Cow;

use crate::limits::ROLLOUT_LINE_BYTES_MAX;
use crate::wire::heading;
use crate::wire::holes::Holes;
use crate::wire::json::{self, Elements, Fields};
use crate::wire::layout::Layout;
use crate::wire::responses::items::{self, Form, Ids};
use crate::wire::review;
use crate::wire::sieve;
use crate::words::ids::TurnName;
use crate::words::item::{Image, Item, Message, Part};
use crate::words::model::{RateLimits, RateWindow, Usage};
use crate::words::policy::{ApprovalPolicy, SandboxMode, SandboxPolicy};
use crate::words::record::{Record, RecordView, Remembered};
use crate::words::settings::GitFacts;

/// Why a line of a rollout could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineError {
    /// It is longer than `ROLLOUT_LINE_BYTES_MAX`.
    TooLong,
    /// It is not a JSON object.
    NotJson,
    /// A first line that does not say whose conversation it is.
    NoConversation,
}

/// Appends a record's line. The timestamp is UTC with milliseconds and `Z`.
pub fn encode(
    record: &Record,
    view: RecordView<'_>,
    timestamp: &str,
    holes: &mut Holes<'_>,
    out: &mut Vec<u8>,
) {
    encode_numbered(record, view, timestamp, None, holes, out);
}

/// The same with its number, in a file whose lines have one; see [`ordinal`].
pub fn encode_numbered(
    record: &Record,
    view: RecordView<'_>,
    timestamp: &str,
    ordinal: Option<u64>,
    holes: &mut Holes<'_>,
    out: &mut Vec<u8>,
) {
    let mut line = Fields::open(out);
    line.text("timestamp", timestamp);
    if let Some(ordinal) = ordinal {
        line.number("ordinal", ordinal);
    }
    line.text("type", kind_of(record));
    let payload = line.key("payload");
    match record {
        Record::Meta => encode_meta(view, timestamp, payload),
        Record::Item(index) => {
            let form = Form { layout: Layout::Record, ids: Ids::Dropped };
            items::encode(&view.items[index.0 as usize], form, holes, payload);
        }
        Record::TurnContext => encode_turn(view, payload),
        Record::Compacted { items_count } => {
            encode_compacted(&view.items[..*items_count as usize], holes, payload);
        }
        Record::UserMessage(index) => {
            encode_user_message(&view.items[index.0 as usize], payload);
        }
        Record::AgentMessage(index) => {
            let text = texts(&view.items[index.0 as usize]);
            encode_text_event("agent_message", "message", &text, payload);
        }
        Record::AgentReasoning(index) => {
            let text = texts(&view.items[index.0 as usize]);
            encode_text_event("agent_reasoning", "text", &text, payload);
        }
        Record::TokenCount { total, last, limits } => {
            encode_tokens(total, last, limits.as_ref(), view, payload);
        }
        Record::ReviewEntered { item, hint } => {
            encode_review_entered(&view.items[item.0 as usize], hint, payload);
        }
        Record::ReviewExited { verdict } => {
            encode_review_exited(verdict.map(|item| &view.items[item.0 as usize]), view, payload);
        }
        Record::TurnStarted { turn } => encode_started(*turn, view, payload),
        Record::TurnEnded { turn, said, wall_ms } => {
            let said = said.map(|item| texts(&view.items[item.0 as usize]));
            let last = ("last_agent_message", said.as_deref());
            encode_over("task_complete", (*turn, *wall_ms), last, payload);
        }
        Record::TurnAborted { turn, wall_ms } => {
            let why = ("reason", Some("interrupted"));
            encode_over("turn_aborted", (*turn, *wall_ms), why, payload);
        }
        Record::TurnFailed { message } => {
            encode_text_event("error", "message", message, payload);
        }
    }
    line.close();
    out.push(b'\n');
}

fn kind_of(record: &Record) -> &'static str {
    match record {
        Record::Meta => "session_meta",
        Record::Item(_) => "response_item",
        Record::TurnContext => "turn_context",
        Record::Compacted { .. } => "compacted",
        Record::UserMessage(_)
        | Record::AgentMessage(_)
        | Record::AgentReasoning(_)
        | Record::TokenCount { .. }
        | Record::ReviewEntered { .. }
        | Record::ReviewExited { .. }
        | Record::TurnStarted { .. }
        | Record::TurnEnded { .. }
        | Record::TurnAborted { .. }
        | Record::TurnFailed { .. } => "event_msg",
    }
}

/// The number of a line, for which its beginning is enough.
///
/// Codex 0.169 numbers the lines of its files, and no longer opens one in which a line has none.
pub fn ordinal(head: &[u8]) -> Option<u64> {
    let head = String::from_utf8_lossy(head);
    let (_, number) = head.split("\"payload\"").next()?.split_once("\"ordinal\":")?;
    number.split([',', '}']).next()?.trim().parse().ok()
}

/// Reads a line, with or without its ending.
pub fn decode(line: &[u8]) -> Result<Remembered, LineError> {
    if line.len() > ROLLOUT_LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    let line = str::from_utf8(line).map_err(|_| LineError::NotJson)?;
    let [kind, payload] = json::pick(line, ["type", "payload"]).map_err(|_| LineError::NotJson)?;
    let (Some(kind), Some(payload)) = (kind.and_then(json::text), payload) else {
        return Ok(Remembered::Nothing);
    };
    match &*kind {
        "session_meta" => decode_meta(payload).ok_or(LineError::NoConversation),
        "response_item" => Ok(decode_item(payload).map_or(Remembered::Nothing, Remembered::Item)),
        "compacted" => Ok(decode_compacted(payload).unwrap_or(Remembered::Nothing)),
        "event_msg" => Ok(decode_event(payload).unwrap_or(Remembered::Nothing)),
        _ => Ok(Remembered::Nothing),
    }
}

/// What a session was recorded with, as far as a line says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Setup {
    pub provider: Option<Box<str>>,
    pub model: Option<Box<str>>,
    pub effort: Option<Box<str>>,
}

impl Setup {
    /// Takes over what a line says; a later one counts.
    pub fn take(&mut self, line: &[u8]) {
        let Ok(line) = str::from_utf8(line) else { return };
        let Ok([Some(kind), Some(payload)]) = json::pick(line, ["type", "payload"]) else { return };
        let text = |name: &str| json::field(payload, name).and_then(json::boxed);
        match json::text(kind).as_deref() {
            Some("session_meta") if self.provider.is_none() => {
                self.provider = text("model_provider");
            }
            Some("turn_context") => {
                self.model = text("model").or(self.model.take());
                self.effort = text("effort");
            }
            _ => {}
        }
    }
}

/// What a line is, as far as its beginning says in the order in which all programs write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Glance {
    /// An item of the history.
    Item,
    /// An item of the history that no person said.
    Unsaid,
    /// Something for people that history does not need.
    Nothing,
    /// Only decoding tells.
    Unsure,
}

/// Kinds of items that the model or we said, with the quote after them.
const UNSAID: [&str; 5] = [
    "function_call\"",
    "function_call_output\"",
    "custom_tool_call\"",
    "custom_tool_call_output\"",
    "reasoning\"",
];

/// Looks at how a line begins and ends; what is a line at all, only decoding tells.
pub fn glance(line: &[u8], tail: &[u8]) -> Glance {
    let Some(rest) = after_time(line) else { return Glance::Unsure };
    if let Some(rest) = rest.strip_prefix(b"response_item\",") {
        let kind = rest.strip_prefix(b"\"payload\":{\"type\":\"").unwrap_or_default();
        let is_unsaid = UNSAID.iter().any(|unsaid| kind.starts_with(unsaid.as_bytes()));
        return if is_unsaid { Glance::Unsaid } else { Glance::Item };
    }
    let told = rest.strip_prefix(b"event_msg\",\"payload\":{\"type\":\"");
    match told {
        Some(kind) if !kind.starts_with(b"token_count") && tail.ends_with(b"}}") => Glance::Nothing,
        Some(_) | None => Glance::Unsure,
    }
}

fn after_time(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"{\"timestamp\":\"")?;
    // A timestamp with its time zone is shorter.
    let quote = rest.iter().take(40).position(|byte| *byte == b'"')?;
    rest.get(quote + 1..)?.strip_prefix(b",\"type\":\"")
}

fn encode_meta(view: RecordView<'_>, timestamp: &str, out: &mut Vec<u8>) {
    let settings = view.settings;
    let mut meta = Fields::open(out);
    meta.text("id", &view.conversation.to_string());
    if let Some(source) = view.forked_from {
        meta.text("forked_from_id", &source.to_string());
    }
    meta.text("timestamp", timestamp);
    meta.text("cwd", &settings.cwd);
    meta.text("originator", &settings.originator);
    meta.text("cli_version", env!("CARGO_PKG_VERSION"));
    meta.text_or_null("instructions", settings.project_notes.as_deref());
    match view.sub_agent {
        None => meta.text("source", settings.source),
        Some(kind) => {
            let mut source = Fields::open(meta.key("source"));
            source.text("subagent", kind);
            source.close();
        }
    }
    meta.text("model_provider", &settings.provider);
    if let Some(git) = view.git.filter(|git| **git != GitFacts::default()) {
        let mut facts = Fields::open(meta.key("git"));
        facts.text_if("commit_hash", git.commit_hash.as_deref());
        facts.text_if("branch", git.branch.as_deref());
        facts.text_if("repository_url", git.repository_url.as_deref());
        facts.close();
    }
    meta.close();
}

fn encode_turn(view: RecordView<'_>, out: &mut Vec<u8>) {
    let settings = view.settings;
    let mut turn = Fields::open(out);
    turn.text("cwd", &settings.cwd);
    turn.text("approval_policy", approval_name(settings.approval));
    encode_sandbox(&settings.sandbox, turn.key("sandbox_policy"));
    turn.text("model", &settings.model);
    turn.text_if("effort", settings.reasoning.effort.as_deref());
    turn.text("summary", settings.reasoning.summary.as_deref().unwrap_or("none"));
    turn.close();
}

fn approval_name(approval: ApprovalPolicy) -> &'static str {
    match approval {
        ApprovalPolicy::Untrusted => "untrusted",
        ApprovalPolicy::OnFailure => "on-failure",
        ApprovalPolicy::OnRequest => "on-request",
        ApprovalPolicy::Never => "never",
    }
}

fn encode_sandbox(policy: &SandboxPolicy, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    match policy.mode {
        SandboxMode::ReadOnly => fields.text("mode", "read-only"),
        SandboxMode::DangerFullAccess => fields.text("mode", "danger-full-access"),
        SandboxMode::WorkspaceWrite => {
            fields.text("mode", "workspace-write");
            if !policy.writable_roots.is_empty() {
                let mut roots = Elements::open(fields.key("writable_roots"));
                for root in &policy.writable_roots {
                    json::string(root, roots.element());
                }
                roots.close();
            }
            fields.flag("network_access", policy.network);
            fields.flag("exclude_tmpdir_env_var", policy.exclude_tmpdir_env_var);
            fields.flag("exclude_slash_tmp", policy.exclude_slash_tmp);
        }
    }
    fields.close();
}

/// A message as people see it. Images that are kept stand in the item's line, once.
fn encode_user_message(item: &Item, out: &mut Vec<u8>) {
    let mut event = Fields::open(out);
    event.text("type", "user_message");
    event.text("message", &texts(item));
    let mut images = Elements::open(event.key("images"));
    if let Item::Message(Message { parts, .. }) = item {
        for part in parts {
            if let Part::Image(Image::Url(url)) = part {
                json::string(url, images.element());
            }
        }
    }
    images.close();
    event.close();
}

fn encode_started(turn: TurnName, view: RecordView<'_>, out: &mut Vec<u8>) {
    let mut event = Fields::open(out);
    event.text("type", "task_started");
    event.text("turn_id", &turn.to_string());
    event.number("started_at", turn.began_ms() / 1000);
    event.number_or_null("model_context_window", reported_window(view));
    event.text("collaboration_mode_kind", "default");
    event.close();
}

fn encode_over(
    kind: &str,
    (turn, wall_ms): (TurnName, u64),
    (name, text): (&str, Option<&str>),
    out: &mut Vec<u8>,
) {
    let mut event = Fields::open(out);
    event.text("type", kind);
    event.text("turn_id", &turn.to_string());
    event.number("started_at", turn.began_ms() / 1000);
    event.number("completed_at", wall_ms / 1000);
    event.number("duration_ms", wall_ms.saturating_sub(turn.began_ms()));
    event.text_or_null(name, text);
    event.close();
}

/// What is reported leaves a twentieth of the window to the provider's own additions.
fn reported_window(view: RecordView<'_>) -> Option<u64> {
    view.settings.context_window.map(|tokens| tokens.saturating_mul(95) / 100)
}

fn encode_review_entered(asked: &Item, hint: &str, out: &mut Vec<u8>) {
    let mut event = Fields::open(out);
    event.text("type", "entered_review_mode");
    event.text("prompt", &texts(asked));
    event.text("user_facing_hint", hint);
    event.close();
}

fn encode_review_exited(said: Option<&Item>, view: RecordView<'_>, out: &mut Vec<u8>) {
    let mut event = Fields::open(out);
    event.text("type", "exited_review_mode");
    match said {
        Some(said) => {
            let verdict = review::decode(&texts(said), &view.settings.cwd);
            review::encode(&verdict, event.key("review_output"));
        }
        None => event.raw("review_output", "null"),
    }
    event.close();
}

/// The history that replaces all lines before; its last item is the summary.
fn encode_compacted(items: &[Item], holes: &mut Holes<'_>, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("message", &items.last().map(texts).unwrap_or_default());
    let mut history = Elements::open(fields.key("replacement_history"));
    for item in items {
        let form = Form { layout: Layout::Record, ids: Ids::Dropped };
        items::encode(item, form, holes, history.element());
    }
    history.close();
    fields.close();
}

fn encode_text_event(kind: &str, name: &str, text: &str, out: &mut Vec<u8>) {
    let mut event = Fields::open(out);
    event.text("type", kind);
    event.text(name, text);
    event.close();
}

/// What people read of an item: a message's texts, or a summary's sections.
fn texts(item: &Item) -> Cow<'_, str> {
    match item {
        Item::Message(message) => match message.parts.as_slice() {
            [Part::Text(text)] => Cow::Borrowed(text),
            _ => message.texts().collect(),
        },
        Item::Reasoning(reasoning) => reasoning.summary.join("\n\n").into(),
        Item::Call(_) | Item::Output(_) | Item::Served { .. } => "".into(),
    }
}

fn encode_tokens(
    total: &Usage,
    last: &Usage,
    limits: Option<&RateLimits>,
    view: RecordView<'_>,
    out: &mut Vec<u8>,
) {
    let mut event = Fields::open(out);
    event.text("type", "token_count");
    if *total == Usage::default() {
        event.raw("info", "null");
    } else {
        let mut numbers = Fields::open(event.key("info"));
        encode_usage(total, numbers.key("total_token_usage"));
        encode_usage(last, numbers.key("last_token_usage"));
        numbers.number_or_null("model_context_window", reported_window(view));
        numbers.close();
    }
    match limits {
        Some(limits) => {
            let mut windows = Fields::open(event.key("rate_limits"));
            encode_window(limits.primary, windows.key("primary"));
            encode_window(limits.secondary, windows.key("secondary"));
            windows.close();
        }
        None => event.raw("rate_limits", "null"),
    }
    event.close();
}

fn encode_usage(usage: &Usage, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.number("input_tokens", usage.input);
    fields.number("cached_input_tokens", usage.cached_input);
    if usage.cache_write_input > 0 {
        fields.number("cache_write_input_tokens", usage.cache_write_input);
    }
    fields.number("output_tokens", usage.output);
    fields.number("reasoning_output_tokens", usage.reasoning_output);
    fields.number("total_tokens", usage.total);
    fields.close();
}

fn encode_window(window: Option<RateWindow>, out: &mut Vec<u8>) {
    let Some(window) = window else {
        out.extend_from_slice(b"null");
        return;
    };
    let mut fields = Fields::open(out);
    json::float(window.used_percent, fields.key("used_percent"));
    fields.number_or_null("window_minutes", window.window_minutes);
    fields.number_or_null("resets_at", window.resets_at);
    fields.close();
}

fn decode_meta(payload: &str) -> Option<Remembered> {
    let [id, session, cwd] = json::pick(payload, ["id", "session_id", "cwd"]).ok()?;
    let conversation = json::text(id.or(session)?)?.parse().ok()?;
    Some(Remembered::Meta { conversation, cwd: cwd.and_then(json::boxed).unwrap_or_default() })
}

/// An item without its provider's id: ids live as long as the process that saw them.
fn decode_item(payload: &str) -> Option<Item> {
    let mut item = items::decode(payload)?;
    items::forget_id(&mut item);
    match &item {
        // Nothing could be tied to it.
        Item::Call(call) if call.call_id.is_empty() => None,
        _ => Some(item),
    }
}

fn decode_compacted(payload: &str) -> Option<Remembered> {
    let [message, history] = json::pick(payload, ["message", "replacement_history"]).ok()?;
    let replacement = history.and_then(|history| {
        let mut kept = Vec::new();
        // The line's bound is the list's: an element takes more bytes than an item.
        json::elements(history, &mut |element| kept.extend(decode_item(element))).ok()?;
        Some(kept)
    });
    let summary = message.and_then(json::boxed);
    if summary.is_none() && replacement.is_none() {
        return None;
    }
    Some(Remembered::Compacted { summary: summary.unwrap_or_default(), replacement })
}

fn decode_event(payload: &str) -> Option<Remembered> {
    let [kind, told, limits] = json::pick(payload, ["type", "info", "rate_limits"]).ok()?;
    if &*json::text(kind?)? != "token_count" {
        return None;
    }
    let limits = limits.and_then(decode_limits);
    let names = ["total_token_usage", "last_token_usage"];
    let [total, last] = match told.map(|told| json::pick(told, names)) {
        Some(Ok(counts)) => counts.map(|count| count.and_then(decode_usage)),
        Some(Err(_)) | None => [None, None],
    };
    let is_told = total.is_some() || limits.is_some();
    let (total, last) = (total.unwrap_or_default(), last.unwrap_or_default());
    is_told.then_some(Remembered::TokenCount { total, last, limits })
}

fn decode_usage(json: &str) -> Option<Usage> {
    let names = [
        "input_tokens",
        "cached_input_tokens",
        "cache_write_input_tokens",
        "output_tokens",
        "reasoning_output_tokens",
        "total_tokens",
    ];
    let counts = json::pick(json, names).ok()?.map(|field| field.and_then(json::count));
    let [input, cached_input, cache_write_input, output, reasoning_output, total] =
        counts.map(Option::unwrap_or_default);
    Some(Usage { input, cached_input, cache_write_input, output, reasoning_output, total })
}

fn decode_limits(json: &str) -> Option<RateLimits> {
    let [primary, secondary] = json::pick(json, ["primary", "secondary"]).ok()?;
    let window = |json: &str| {
        let names = ["used_percent", "window_minutes", "resets_at"];
        let [used, minutes, resets] = json::pick(json, names).ok()?;
        let used_percent = used?.parse::<f64>().ok().filter(|used| used.is_finite())?;
        let (window_minutes, resets_at) =
            (minutes.and_then(json::count), resets.and_then(json::count));
        Some(RateWindow { used_percent, window_minutes, resets_at })
    };
    let limits =
        RateLimits { primary: primary.and_then(window), secondary: secondary.and_then(window) };
    (limits != RateLimits::default()).then_some(limits)
}

/// The fuzz body: any line is read or refused, and items that were read survive another writing.
pub fn fuzz(bytes: &[u8]) {
    heading::fuzz(bytes);
    sieve::fuzz(bytes);
    Setup::default().take(bytes);
    match decode(bytes) {
        Ok(Remembered::Item(item)) => items::fuzz(&item),
        Ok(Remembered::Compacted { replacement, .. }) => {
            replacement.iter().flatten().for_each(items::fuzz);
        }
        Ok(Remembered::Meta { .. } | Remembered::TokenCount { .. } | Remembered::Nothing)
        | Err(_) => {}
    }
}

#[cfg(test)]
mod tests;
