//! A recorded model: what a provider answered, kept as lines and played back.
//!
//! ```text
//! {"windlass_recording":1,"wire":"responses"}
//! {"request":{"thread":0,"request":0,"input":["prompt"]}}      an exchange begins
//! {"event":{"type":"response.output_text.delta","delta":"Hi"}}   what the stream said
//! {"event":{"type":"response.completed","response":{}}}
//! {"request":{"thread":0,"request":1,"input":["prompt", …]}}
//! {"status":503,"body":"busy"}                                   or how HTTP failed
//! ```
//!
//! A request is known by its thread's and its own ordinal, and must look like the recorded one: the
//! same kinds of items, tools, arguments and exit codes, with the working directory as a marker.
//! What was said, which tools were offered, ids, times and output do not count. Played events go
//! through the decoder that live ones go through. `recorder` makes the lines.

pub mod recorder;

use std::borrow::Cow;
use std::fmt;

use crate::limits::{RECORDED_ARGUMENTS_BYTES_MAX, RECORDING_BYTES_MAX};
use crate::wire::json;
use crate::wire::responses::decode::Decoder;
use crate::wire::responses::errors::{self, Calendar, LocalTime};
use crate::wire::responses::items;
use crate::words::call::{Answer, CallAsked, CallKind};
use crate::words::item::{Item, Role};
use crate::words::model::{FailureKind, ModelEvent, ModelFailure};
use crate::words::request::RequestView;

/// Stands for the working directory in what is recorded.
pub const CWD_MARKER: &str = "<windlass-cwd>";

/// The first line of a recording.
pub const HEADER: &str = r#"{"windlass_recording":1,"wire":"responses"}"#;

/// A recording, read and ready to answer.
#[derive(Clone, Debug)]
pub struct Replay {
    text: Cow<'static, str>,
    exchanges: Vec<Exchange>,
}

#[derive(Clone, Copy, Debug)]
struct Exchange {
    thread: u64,
    request: u64,
    /// Where its first line starts in the text, and its number there.
    start: usize,
    line: u32,
    /// Where the line after its last ends.
    end: usize,
    /// A request that is sent again is answered by the next exchange of its name.
    answered: bool,
}

impl Replay {
    /// Reads a recording whole; every line of it is well-formed afterwards.
    pub fn parse(text: impl Into<Cow<'static, str>>) -> Result<Replay, RecordingError> {
        let text = text.into();
        if text.len() > RECORDING_BYTES_MAX {
            return Err(RecordingError { line: 0, wrong: Wrong::TooLong });
        }
        let mut exchanges: Vec<Exchange> = Vec::new();
        let mut start = 0;
        let mut number = 0;
        for line in text.split_inclusive('\n') {
            number += 1;
            let end = start + line.len();
            let at = |wrong| RecordingError { line: number, wrong };
            match (read_line(line).map_err(at)?, exchanges.last_mut()) {
                (Line::Blank, _) => {}
                (Line::Header, None) if start == 0 => {}
                (_, None) if start == 0 => return Err(at(Wrong::NoHeader)),
                (Line::Header, _) => return Err(at(Wrong::SecondHeader)),
                (Line::Request { thread, request }, _) => exchanges.push(Exchange {
                    thread,
                    request,
                    start,
                    line: number,
                    end,
                    answered: false,
                }),
                (Line::Event(_) | Line::Status { .. }, None) => {
                    return Err(at(Wrong::NoRequest));
                }
                (Line::Event(_) | Line::Status { .. }, Some(exchange)) => exchange.end = end,
            }
            start = end;
        }
        if number == 0 {
            return Err(RecordingError { line: 1, wrong: Wrong::NoHeader });
        }
        Ok(Replay { text, exchanges })
    }

    /// [`Replay::parse`] for bytes from a file.
    pub fn parse_bytes(bytes: Vec<u8>) -> Result<Replay, RecordingError> {
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let breaks = error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count();
            RecordingError { line: breaks as u32 + 1, wrong: Wrong::NotJson }
        })?;
        Replay::parse(text)
    }

    /// Finds the recorded answer to a request. Each exchange answers once.
    pub fn answer(&mut self, view: &RequestView<'_>) -> Result<Playing, Mismatch> {
        let (thread, request) = (view.thread_ordinal, view.request_ordinal);
        let index = self.exchanges.iter().position(|exchange| {
            let name = (exchange.thread, exchange.request);
            !exchange.answered && name == (u64::from(thread), u64::from(request))
        });
        let Some(index) = index else {
            return Err(Mismatch::NotRecorded { thread, request });
        };
        let exchange = &mut self.exchanges[index];
        let head = first_line(&self.text[exchange.start..exchange.end]);
        let recorded = recorded_facets(head);
        let found = facets(view);
        let count = recorded.len().max(found.len());
        for item in 0..count {
            let (recorded, found) = (text_at(&recorded, item), text_at(&found, item));
            // Other paths of the recording may happen to lie in the directory of today.
            let at_home = |facet: &str| facet.replace(CWD_MARKER, &view.settings.cwd);
            if recorded != found && recorded.map(at_home) != found.map(at_home) {
                let (recorded, found) = (recorded.map(Box::from), found.map(Box::from));
                let (item, line) = (item as u32, exchange.line);
                return Err(Mismatch::Differs { line, thread, request, item, recorded, found });
            }
        }
        exchange.answered = true;
        Ok(Playing {
            next: Some(exchange.start + head.len()),
            end: exchange.end,
            decoder: Decoder::new(view.items.len() as u32),
            cwd: view.settings.cwd.clone(),
        })
    }
}

/// One recorded answer being played.
#[derive(Clone, Debug)]
pub struct Playing {
    /// Where the next line starts; `None` once the answer has ended. Invariant: `next <= end`.
    next: Option<usize>,
    end: usize,
    decoder: Decoder,
    cwd: Box<str>,
}

impl Playing {
    /// Plays the next line, which means at most one thing; `false` when the answer has ended. A
    /// recording that stops early ends like a stream that breaks.
    pub fn next(&mut self, replay: &Replay, sink: &mut dyn FnMut(ModelEvent<'_>)) -> bool {
        let Some(start) = self.next else {
            return false;
        };
        let line = first_line(&replay.text[start..self.end]);
        self.next = Some(start + line.len());
        let failure = match read_line(line) {
            Ok(Line::Event(payload)) => {
                self.play(payload, sink);
                return true;
            }
            Ok(Line::Blank) if !line.is_empty() => return true,
            Ok(Line::Status { status, body }) => {
                let calendar = Calendar { now_s: 0, local: LocalTime::utc };
                errors::refused(status, &|_| None, body.as_bytes(), &calendar)
            }
            // All lines were read before, so this is the end of them.
            _ => {
                let message = "the recorded stream ended before the response was complete";
                ModelFailure::new(FailureKind::Stream, message)
            }
        };
        self.next = None;
        sink(ModelEvent::Failed(failure));
        true
    }

    fn play(&mut self, payload: &str, sink: &mut dyn FnMut(ModelEvent<'_>)) {
        let cwd = &self.cwd;
        self.decoder.push_event(payload.as_bytes(), &mut |mut event| {
            if let ModelEvent::ItemDone(Item::Call(call)) = &mut event {
                call.arguments = with_cwd(call, cwd);
            }
            sink(event);
        });
        if self.decoder.ended() {
            self.next = None;
        }
    }
}

/// What is wrong with a recording, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordingError {
    /// From 1; 0 for the recording as a whole.
    pub line: u32,
    pub wrong: Wrong,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    TooLong,
    NotJson,
    NoHeader,
    SecondHeader,
    /// The recording's version or wire is not ours.
    Foreign,
    UnknownLine,
    BadRequest,
    BadStatus,
    NoRequest,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {} of the recording: ", self.line)?;
        }
        match self.wrong {
            Wrong::TooLong => {
                write!(formatter, "the recording is over {RECORDING_BYTES_MAX} bytes long")
            }
            Wrong::NotJson => formatter.write_str("not a JSON object"),
            Wrong::NoHeader => write!(formatter, "a recording begins with {HEADER}"),
            Wrong::SecondHeader => formatter.write_str("a second header"),
            Wrong::Foreign => {
                write!(formatter, "made by another version; this one reads {HEADER}")
            }
            Wrong::UnknownLine => {
                formatter.write_str("neither a request nor an event nor a status")
            }
            Wrong::BadRequest => formatter
                .write_str("a request needs the numbers `thread` and `request` and texts `input`"),
            Wrong::BadStatus => formatter.write_str("a status is a number from 100 to 999"),
            Wrong::NoRequest => formatter.write_str("an answer before any request"),
        }
    }
}

/// How a request differs from what was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mismatch {
    NotRecorded {
        thread: u32,
        request: u32,
    },
    Differs {
        /// Where the recording has the request.
        line: u32,
        thread: u32,
        request: u32,
        /// From 0.
        item: u32,
        /// `None` where one of the two has ended.
        recorded: Option<Box<str>>,
        found: Option<Box<str>>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::NotRecorded { thread, request } => {
                write!(formatter, "the recording has no request {request} of thread {thread}")
            }
            Mismatch::Differs { line, thread, request, item, recorded, found } => {
                let named = |facet: &Option<Box<str>>| match facet {
                    Some(facet) => format!("`{facet}`"),
                    None => "nothing more".to_owned(),
                };
                write!(
                    formatter,
                    "request {request} of thread {thread} differs from line {line} of the \
                     recording at item {item}: recorded {}, found {}",
                    named(recorded),
                    named(found),
                )
            }
        }
    }
}

/// What of a request a recording compares, item by item. What people and instructions say in a row
/// is one prompt, since its opening depends on the place.
pub fn facets(view: &RequestView<'_>) -> Vec<Box<str>> {
    let cwd = &view.settings.cwd;
    let mut facets: Vec<Box<str>> = Vec::new();
    for item in view.items {
        let facet = match item {
            Item::Message(message) if message.role == Role::Assistant => "message".into(),
            Item::Message(_) => {
                if facets.last().is_some_and(|last| &**last == "prompt") {
                    continue;
                }
                "prompt".into()
            }
            Item::Reasoning(_) => "reasoning".into(),
            Item::Call(call) => {
                let arguments = without_cwd(call, cwd);
                let kind = items::call_type(call.kind);
                format!("{kind} {} {}", call.name, abridged(&arguments))
            }
            Item::Output(output) => match &output.answer {
                Answer::Text { .. } => items::output_type(output.kind).to_owned(),
                Answer::Command(command) => {
                    format!("{} exit {}", items::output_type(output.kind), command.exit_code)
                }
            },
            Item::Served { json, .. } => {
                let kind = json::field(json, "type").and_then(json::text);
                kind.unwrap_or_default().into_owned()
            }
        };
        facets.push(facet.into());
    }
    facets
}

/// A call's arguments with the marker where the working directory stands.
pub(crate) fn without_cwd(call: &CallAsked, cwd: &str) -> Box<str> {
    let cwd = cwd_in(call.kind, cwd);
    if cwd.len() < 2 {
        return call.arguments.clone();
    }
    let arguments = &*call.arguments;
    let mut out = String::with_capacity(arguments.len());
    let mut done = 0;
    for (start, _) in arguments.match_indices(&*cwd) {
        let end = start + cwd.len();
        if is_path_start(&arguments[..start]) && is_path_end(&arguments[end..]) {
            out.push_str(&arguments[done..start]);
            out.push_str(CWD_MARKER);
            done = end;
        }
    }
    out.push_str(&arguments[done..]);
    out.into()
}

/// A call's arguments with the working directory where the marker stands.
fn with_cwd(call: &CallAsked, cwd: &str) -> Box<str> {
    call.arguments.replace(CWD_MARKER, &cwd_in(call.kind, cwd)).into()
}

/// The working directory as it stands in arguments: escaped where they are JSON.
fn cwd_in(kind: CallKind, cwd: &str) -> Cow<'_, str> {
    match kind {
        CallKind::Custom => Cow::Borrowed(cwd),
        CallKind::Function | CallKind::LocalShell => {
            let mut escaped = Vec::with_capacity(cwd.len());
            json::escape(cwd, &mut escaped);
            Cow::Owned(String::from_utf8_lossy(&escaped).into_owned())
        }
    }
}

/// Whether a path may start after this text: not inside a longer name. The letter of an escape such
/// as `\n` is no name.
fn is_path_start(before: &str) -> bool {
    let bytes = before.as_bytes();
    match bytes.last() {
        Some(b'n' | b't' | b'r') => {
            let letterless = &bytes[..bytes.len() - 1];
            let escapes = letterless.iter().rev().take_while(|&&byte| byte == b'\\').count();
            escapes % 2 == 1
        }
        Some(&byte) => !is_name(byte) && byte != b'/',
        None => true,
    }
}

fn is_path_end(after: &str) -> bool {
    after.bytes().next().is_none_or(|byte| !is_name(byte))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | 0x80..)
}

/// Long text as its beginning and a hash of the whole (FNV-1a, 64 bits).
fn abridged(text: &str) -> Cow<'_, str> {
    if text.len() <= RECORDED_ARGUMENTS_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let cut = text.floor_char_boundary(RECORDED_ARGUMENTS_BYTES_MAX);
    Cow::Owned(format!("{}… ({} bytes, {hash:016x})", &text[..cut], text.len()))
}

/// What one line of a recording is.
enum Line<'a> {
    Blank,
    Header,
    Request {
        thread: u64,
        request: u64,
    },
    /// An event's payload.
    Event(&'a str),
    Status {
        status: u16,
        body: Cow<'a, str>,
    },
}

fn read_line(line: &str) -> Result<Line<'_>, Wrong> {
    if line.trim().is_empty() {
        return Ok(Line::Blank);
    }
    let names = ["windlass_recording", "wire", "request", "event", "status", "body"];
    let [version, wire, request, event, status, body] =
        json::pick(line, names).map_err(|json::NotJson| Wrong::NotJson)?;
    match (version, request, event, status) {
        (Some("1"), None, None, None) if wire == Some("\"responses\"") => Ok(Line::Header),
        (Some(_), None, None, None) => Err(Wrong::Foreign),
        (None, Some(request), None, None) => read_request(request).ok_or(Wrong::BadRequest),
        (None, None, Some(payload), None) => Ok(Line::Event(payload)),
        (None, None, None, Some(status)) => {
            let status = status.parse().map_err(|_| Wrong::BadStatus)?;
            if !(100..1000).contains(&status) {
                return Err(Wrong::BadStatus);
            }
            let body = body.unwrap_or("");
            Ok(Line::Status { status, body: json::text(body).unwrap_or(Cow::Borrowed(body)) })
        }
        _ => Err(Wrong::UnknownLine),
    }
}

fn read_request(json: &str) -> Option<Line<'_>> {
    let [thread, request, input] = json::pick(json, ["thread", "request", "input"]).ok()?;
    let mut strangers = 0;
    json::elements(input?, &mut |facet| strangers += u32::from(json::text(facet).is_none()))
        .ok()?;
    let (thread, request) = (thread?.parse().ok()?, request?.parse().ok()?);
    (strangers == 0).then_some(Line::Request { thread, request })
}

/// The facets in a request's line, which was read before.
fn recorded_facets(line: &str) -> Vec<Box<str>> {
    let input = json::field(line, "request").and_then(|request| json::field(request, "input"));
    let mut facets = Vec::new();
    // Reading it once showed that it is an array of texts.
    let _ = json::elements(input.unwrap_or("[]"), &mut |facet| facets.extend(json::boxed(facet)));
    facets
}

fn text_at(facets: &[Box<str>], item: usize) -> Option<&str> {
    facets.get(item).map(|facet| &**facet)
}

/// The first line with its ending.
fn first_line(text: &str) -> &str {
    text.split_inclusive('\n').next().unwrap_or("")
}

/// The fuzz body: a recording is refused or can be played to its end, with one end per answer.
pub fn fuzz(bytes: &[u8]) {
    let Ok(replay) = Replay::parse_bytes(bytes.to_vec()) else {
        return;
    };
    for exchange in &replay.exchanges {
        let head = first_line(&replay.text[exchange.start..exchange.end]);
        let mut playing = Playing {
            next: Some(exchange.start + head.len()),
            end: exchange.end,
            decoder: Decoder::default(),
            cwd: "/w".into(),
        };
        let mut ends_count = 0;
        while playing.next(&replay, &mut |event| {
            let ends = matches!(event, ModelEvent::Completed { .. } | ModelEvent::Failed(_));
            ends_count += u32::from(ends);
        }) {}
        assert_eq!(ends_count, 1);
    }
}

#[cfg(test)]
mod tests;
