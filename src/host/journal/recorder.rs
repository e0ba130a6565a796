//! Makes the lines of a journal.
//!
//! One line for each input: when it came, what it was, and a digest of each effect that it had. The
//! line is begun before the machine takes the input, so that an input that ends the process is on
//! it.

use crate::core::Agent;
use crate::core::effect::{Effect, Effects};
use crate::core::input::{Input, Now};
use crate::host::journal::blanks::{Blanks, Pieces, Stream};
use crate::host::journal::shapes::{Digest, Out, Put};
use crate::limits::JOURNAL_KEPT_BYTES;
use crate::words::ids::OpId;
use crate::words::model::ModelEvent;
use crate::words::record::Record;

/// How every journal begins.
pub const MAGIC: &str = "{\"windlass_journal\":1,\"version\":\"";

/// What stands between a line's input and its effects.
pub const EFFECTS: &str = ",\"effects\":[";

/// The version of the program, as journals name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes down what happens and what comes of it.
#[derive(Debug)]
pub struct Recorder {
    bytes: Vec<u8>,
    /// What a digest is made of, piece by piece.
    scratch: Vec<u8>,
    blanks: Blanks,
    pieces: Pieces,
}

impl Recorder {
    /// Begins a journal of a machine with this seed. Known credentials never get into it.
    pub fn new(seed: u64, blanks: Blanks) -> Recorder {
        let first = format!("{MAGIC}{VERSION}\",\"seed\":{seed}}}\n");
        let pieces = Pieces::default();
        Recorder { bytes: first.into_bytes(), scratch: Vec::new(), blanks, pieces }
    }

    /// Keeps these out as well from now on, and gives how many there are.
    ///
    /// A text that named one of them before is taken with it again, and shows as different.
    pub fn keep_out<'c>(&mut self, credentials: impl Iterator<Item = &'c str>) -> usize {
        self.blanks.add(credentials);
        self.blanks.count()
    }

    /// Writes down what happens, before it does.
    pub fn happens(&mut self, now: Now, input: &Input<'_>) {
        let piece = self.piece(input);
        let blanked = piece.as_ref().map(|(op, stream, text)| {
            let event = match stream {
                Stream::Text => ModelEvent::TextDelta(text),
                Stream::Reasoning => ModelEvent::ReasoningDelta(text),
                Stream::ReasoningRaw => ModelEvent::ReasoningRawDelta(text),
            };
            Input::Model { op: *op, event }
        });
        let input = blanked.as_ref().unwrap_or(input);
        let mut out = Out { bytes: &mut self.bytes, blanks: &self.blanks, digest: None };
        out.raw("{\"now\":");
        (now.mono_ms, now.wall_ms).put(&mut out);
        out.raw(",\"input\":");
        input.put(&mut out);
    }

    /// A piece of a text without credentials, if the input is one and there are any.
    fn piece(&mut self, input: &Input<'_>) -> Option<(OpId, Stream, String)> {
        let Input::Model { op, event } = input else { return None };
        let (stream, text) = match event {
            ModelEvent::TextDelta(text) => (Stream::Text, text),
            ModelEvent::ReasoningDelta(text) => (Stream::Reasoning, text),
            ModelEvent::ReasoningRawDelta(text) => (Stream::ReasoningRaw, text),
            _ => return None,
        };
        let (pieces, blanks) = (&mut self.pieces, &self.blanks);
        (!blanks.is_empty()).then(|| (*op, stream, pieces.blanked(blanks, *op, stream, text)))
    }

    /// Writes down what it led to, before any of that is done.
    pub fn leads_to(&mut self, agent: &Agent, effects: &Effects) {
        self.bytes.extend_from_slice(EFFECTS.as_bytes());
        for (index, effect) in effects.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            let name = match effect {
                Effect::Notify { event, .. } => event.variant(),
                Effect::Append { record, .. } => record.variant(),
                effect => effect.variant(),
            };
            let digest = self.digest(agent, effect);
            let line = format!("{separator}\"{name} {digest:016x}\"");
            self.bytes.extend_from_slice(line.as_bytes());
        }
        self.bytes.extend_from_slice(b"]}\n");
    }

    /// What stands for an effect: it differs if the effect does, or anything that is lent with it.
    fn digest(&mut self, agent: &Agent, effect: &Effect) -> u64 {
        let digest = Some(Digest::EMPTY);
        let mut out = Out { bytes: &mut self.scratch, blanks: &self.blanks, digest };
        effect.put(&mut out);
        match effect {
            Effect::Request { op, .. } => agent.request_view(*op).put(&mut out),
            Effect::Append { thread, record } => {
                let Some(view) = agent.record_view(*thread) else { return out.finish() };
                match record {
                    Record::Meta | Record::TurnContext => view.settings.put(&mut out),
                    Record::Item(index) => view.items.get(index.0 as usize).put(&mut out),
                    Record::Compacted { items_count } => {
                        view.items.get(..*items_count as usize).put(&mut out);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        out.finish()
    }

    /// What is written down and not yet taken.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// It is taken.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(JOURNAL_KEPT_BYTES);
    }
}
