//! Responses that are coming in: HTTP bytes to events of the model.
//!
//! One entry for each exchange with a provider. It lends the request's body to the exchange,
//! segment by segment, and turns what comes back into inputs for the machine: events of a stream,
//! or one failure. A refusal that only asks for a simpler request is no failure: the request is put
//! back among the deeds, once, and the provider is spoken to that way from then on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::core::effect::Effect;
use crate::core::input::Input;
use crate::host::album::Pour;
use crate::host::clock;
use crate::host::net::{Caller, ExchangeId, NetEvent, NetFailure, Waiting};
use crate::host::recorder::Recording;
use crate::host::routes::Routes;
use crate::host::seam::Seam;
use crate::limits::ERROR_BODY_BYTES_MAX;
use crate::wire::dialect::{Cursor, Decoder, Dialect};
use crate::wire::holes::Holes;
use crate::wire::http::{Head, HttpError};
use crate::wire::responses::errors::{self, Calendar};
use crate::wire::sse::Events;
use crate::words::ids::{OpId, ThreadId};
use crate::words::model::{FailureKind, ModelEvent, ModelFailure};

/// Everything that is coming in.
#[derive(Default, Debug)]
pub struct Responses {
    /// By what the exchange knows as its owner.
    live: BTreeMap<u64, Response>,
}

/// One response.
#[derive(Debug)]
struct Response {
    op: OpId,
    thread: ThreadId,
    exchange: ExchangeId,
    /// What the request was written in.
    dialect: Dialect,
    cursor: Cursor,
    /// The segment that is being sent, if images belong into it.
    pour: Pour,
    decoder: Decoder,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing has come yet.
    Asked,
    Streaming(Events),
    /// The provider refused; its reasons are collected.
    Refused {
        head: Box<Refusal>,
        body: Vec<u8>,
    },
    /// The model's part is over; the exchange may still end properly.
    Over,
}

#[derive(Debug)]
struct Refusal {
    status: u16,
    headers: Vec<(Box<str>, Box<str>)>,
}

impl Responses {
    /// Watches a response that was asked for in this dialect.
    pub fn add(
        &mut self,
        op: OpId,
        thread: ThreadId,
        exchange: ExchangeId,
        dialect: Dialect,
        calls_count: u32,
    ) {
        let response = Response {
            op,
            thread,
            exchange,
            dialect,
            cursor: dialect.cursor(),
            pour: Pour::default(),
            decoder: dialect.decoder(calls_count),
            stage: Stage::Asked,
        };
        self.live.insert(op.packed(), response);
    }

    /// Forgets the response to this op; gives the exchange that is to be cancelled.
    pub fn take(&mut self, op: OpId) -> Option<ExchangeId> {
        self.remove(op.packed()).map(|response| response.exchange)
    }

    /// The exchanges that are going on.
    pub fn exchanges(&self) -> impl Iterator<Item = ExchangeId> + '_ {
        self.live.values().map(|response| response.exchange)
    }

    fn of(&mut self, owner: u64) -> Option<&mut Response> {
        self.live.get_mut(&owner)
    }

    fn remove(&mut self, owner: u64) -> Option<Response> {
        self.live.remove(&owner)
    }
}

/// What the exchanges talk to.
#[derive(Debug)]
pub struct Ear<'a> {
    pub responses: &'a mut Responses,
    pub routes: &'a mut Routes,
    pub seam: &'a mut Seam,
    pub recording: &'a mut Option<Recording>,
}

impl Caller for Ear<'_> {
    fn body(&mut self, owner: u64, offset_bytes: u64, out: &mut Vec<u8>) {
        let Some(response) = self.responses.of(owner) else { return };
        let Some(view) = self.seam.agent.request_view(response.op) else { return };
        if offset_bytes == 0 {
            response.cursor = response.dialect.cursor();
            response.pour = Pour::default();
        }
        let (before, album) = (out.len(), &mut self.seam.rollouts.album);
        loop {
            match response.pour.pour(album, out) {
                Ok(true) => return,
                Ok(false) => {}
                // A body that says nothing more ends its exchange; the next one knows of the loss.
                Err(unread) => return album.lose(unread.kept),
            }
            let mut holes = Holes::new(album.lost());
            if !response.cursor.next(&view, &mut holes, out) {
                return;
            }
            if !holes.open().is_empty() {
                response.pour = Pour::behind(before, out, holes.into_open());
            } else if out.len() > before {
                return;
            }
        }
    }

    fn told(&mut self, owner: u64, event: NetEvent<'_>) {
        match event {
            NetEvent::Head(head) => self.on_head(owner, head),
            NetEvent::Body(piece) => self.on_body(owner, piece),
            NetEvent::End => self.on_end(owner),
            NetEvent::Failed(failure) => self.on_failed(owner, &failure),
        }
    }
}

impl Ear<'_> {
    /// Tells the machine, and the recording, what a response brought.
    fn hear(&mut self, op: OpId, event: ModelEvent<'_>) {
        if let Some(recording) = self.recording {
            recording.heard(op, &event);
        }
        self.seam.feed(Input::Model { op, event });
    }

    fn fail(&mut self, op: OpId, failure: ModelFailure) {
        self.hear(op, ModelEvent::Failed(failure));
    }

    fn on_head(&mut self, owner: u64, head: &Head) {
        let Some(response) = self.responses.of(owner) else { return };
        let op = response.op;
        let is_stream = errors::is_stream(&|name| head.header(name));
        response.stage = if head.status() / 100 == 2 && is_stream {
            Stage::Streaming(Events::default())
        } else {
            let kept = head.headers().map(|(name, value)| (name.into(), value.into()));
            let refusal = Refusal { status: head.status(), headers: kept.collect() };
            Stage::Refused { head: Box::new(refusal), body: Vec::new() }
        };
        if let Some(limits) = errors::rate_limits(&|name| head.header(name)) {
            self.seam.feed(Input::Model { op, event: ModelEvent::Limits(limits) });
        }
    }

    fn on_body(&mut self, owner: u64, piece: &[u8]) {
        let Ear { responses, seam, recording, .. } = self;
        let Some(response) = responses.of(owner) else { return };
        let op = response.op;
        match &mut response.stage {
            Stage::Asked | Stage::Over => {}
            Stage::Refused { body, .. } => {
                let room = ERROR_BODY_BYTES_MAX.saturating_sub(body.len());
                body.extend_from_slice(&piece[..room.min(piece.len())]);
            }
            Stage::Streaming(events) => {
                events.push(piece);
                let decoder = &mut response.decoder;
                let mut wrong = None;
                while let Some(event) = events.pull() {
                    match event {
                        Ok(event) => {
                            decoder.push_event(event.data.as_bytes(), &mut |event| {
                                if let Some(recording) = recording {
                                    recording.heard(op, &event);
                                }
                                seam.feed(Input::Model { op, event });
                            });
                        }
                        Err(error) => {
                            wrong = Some(error);
                            break;
                        }
                    }
                }
                if decoder.ended() {
                    response.stage = Stage::Over;
                } else if let Some(error) = wrong {
                    response.stage = Stage::Over;
                    let text = format!("the provider's stream makes no sense: {error}");
                    self.fail(op, ModelFailure::new(FailureKind::Stream, text));
                }
            }
        }
    }

    fn on_end(&mut self, owner: u64) {
        let Some(mut response) = self.responses.remove(owner) else { return };
        match response.stage {
            Stage::Over => {}
            Stage::Asked | Stage::Streaming(_) => {
                response.decoder.close(&mut |event| self.hear(response.op, event));
            }
            Stage::Refused { head, body } => {
                let (op, thread) = (response.op, response.thread);
                let is_local = self.routes.of(thread).provider.is_local();
                let other = response.dialect.simpler(head.status, &body);
                let older = || response.dialect.older(head.status, &body);
                if let Some(other) = other.or_else(|| is_local.then(older).flatten()) {
                    self.routes.of_mut(thread).dialect = other;
                    self.seam.deeds.push_back(Effect::Request { op, thread });
                    return;
                }
                let calendar = calendar();
                let header = |name: &str| {
                    let found =
                        head.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| &**value)
                };
                let failure = errors::refused(head.status, &header, &body, &calendar);
                if let Some(recording) = self.recording {
                    recording.refused(response.op, head.status, &body);
                }
                self.fail(response.op, failure);
            }
        }
    }

    fn on_failed(&mut self, owner: u64, failure: &NetFailure) {
        let Some(mut response) = self.responses.remove(owner) else { return };
        match response.stage {
            Stage::Over => {}
            // Only the end of the stream is missing.
            Stage::Streaming(_) if response.decoder.is_finished() => {
                response.decoder.close(&mut |event| self.hear(response.op, event));
            }
            Stage::Asked | Stage::Streaming(_) | Stage::Refused { .. } => {
                let is_unheard = matches!(response.stage, Stage::Asked);
                self.fail(response.op, unreachable(failure, is_unheard));
            }
        }
    }
}

/// Seconds since 1970 as people here read them.
/// What time it is, where the user is.
pub(crate) fn calendar() -> Calendar {
    Calendar { now_s: clock::wall_ms() / 1000, local: local_time }
}

fn local_time(unix_s: u64) -> errors::LocalTime {
    match clock::local_time(unix_s.saturating_mul(1000)) {
        Some(local) => errors::LocalTime {
            year: i64::from(local.year),
            month: local.month,
            day: local.day,
            hour: local.hour,
            minute: local.minute,
        },
        None => errors::LocalTime::utc(unix_s),
    }
}

/// An exchange that could not even be begun.
pub(crate) fn failed_at_once(failure: &NetFailure) -> ModelFailure {
    unreachable(failure, true)
}

/// A connection that failed, before or after the provider was heard.
fn unreachable(failure: &NetFailure, is_unheard: bool) -> ModelFailure {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write!(text, "{failure}");
    let kind = match failure {
        NetFailure::Redirected { .. } => FailureKind::Refused,
        NetFailure::ProxyUnusable { .. } => FailureKind::Setup,
        NetFailure::Http {
            error:
                HttpError::Header { .. }
                | HttpError::RequestHeadTooLong
                | HttpError::RequestMalformed { .. },
            ..
        } => FailureKind::Setup,
        // What a proxy forbids now it will forbid in a second; what it cannot reach may come back.
        NetFailure::ProxyRefused { status: 407, .. } => FailureKind::Setup,
        NetFailure::ProxyRefused { status, .. } if *status < 500 => FailureKind::Refused,
        // It was reached: this is silence like that of a stream.
        NetFailure::TimedOut { waiting: Waiting::Bytes, .. } => FailureKind::Stream,
        // A certificate that is not trusted now will not be trusted in a second.
        NetFailure::Tls { .. } => FailureKind::Setup,
        _ if is_unheard => FailureKind::Unreachable,
        _ => {
            text.insert_str(0, "stream disconnected before completion: ");
            FailureKind::Stream
        }
    };
    ModelFailure::new(kind, text)
}

#[cfg(test)]
mod tests;
