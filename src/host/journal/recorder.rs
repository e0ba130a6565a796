//! Makes the lines of a journal.
//!
//! One line for each input: when it came, what it was, and a digest of each effect that it had. The
//! line is begun before the machine takes the input, so that an input that ends the process is on
//! it. The items of a long past stand in lines before that, so that none takes long to write.

use crate::core::Agent;
use crate::core::effect::{Effect, Effects};
use crate::core::input::{Input, Now};
use crate::host::journal::blanks::{Blanks, Pieces, Stream};
use crate::host::journal::shapes::{Digest, Out, Put};
use crate::limits::JOURNAL_KEPT_BYTES;
use crate::words::command::Restored;
use crate::words::ids::OpId;
use crate::words::item::Item;
use crate::words::model::ModelEvent;
use crate::words::record::Record;

/// How every journal begins.
pub const MAGIC: &str = "{\"windlass_journal\":1,\"version\":\"";

/// How a line begins that only has items of a past that is about to happen.
pub const AHEAD: &str = "{\"ahead\":";

/// What stands between the op that a past is for and its items.
pub const ITEMS: &str = ",\"items\":";

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
    /// What waits for pasts whose items were written ahead. Each took a line, so there are no more
    /// of them than a journal has room for.
    ahead: Vec<OpId>,
}

impl Recorder {
    /// Begins a journal of a machine with this seed. Known credentials never get into it.
    pub fn new(seed: u64, blanks: Blanks) -> Recorder {
        let first = format!("{MAGIC}{VERSION}\",\"seed\":{seed}}}\n");
        let pieces = Pieces::default();
        let (bytes, scratch, ahead) = (first.into_bytes(), Vec::new(), Vec::new());
        Recorder { bytes, scratch, blanks, pieces, ahead }
    }

    /// Keeps these out as well from now on, and gives how many there are.
    ///
    /// A text that named one of them before is taken with it again, and shows as different.
    pub fn keep_out<'c>(&mut self, credentials: impl Iterator<Item = &'c str>) -> usize {
        self.blanks.add(credentials);
        self.blanks.count()
    }

    /// Writes down the next items of a past that is about to happen, in a line of their own. What
    /// then happens is without them.
    pub fn ahead(&mut self, op: OpId, items: &[Item]) {
        let mut out = Out { bytes: &mut self.bytes, blanks: &self.blanks, digest: None };
        out.raw(AHEAD);
        op.put(&mut out);
        out.raw(ITEMS);
        items.put(&mut out);
        out.raw("}\n");
        if !self.ahead.contains(&op) {
            self.ahead.push(op);
        }
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
        let without_items = self.without_items(input);
        let input = blanked.as_ref().or(without_items.as_ref()).unwrap_or(input);
        let mut out = Out { bytes: &mut self.bytes, blanks: &self.blanks, digest: None };
        out.raw("{\"now\":");
        (now.mono_ms, now.wall_ms).put(&mut out);
        out.raw(",\"input\":");
        input.put(&mut out);
    }

    /// A past whose items were written ahead, without these.
    fn without_items(&mut self, input: &Input<'_>) -> Option<Input<'static>> {
        let Input::Restored { op, result: Ok(past) } = input else { return None };
        let place = self.ahead.iter().position(|ahead| ahead == op)?;
        self.ahead.swap_remove(place);
        let Restored { conversation, usage, last_usage, counted, limits, lines_skipped, .. } =
            **past;
        let items = Vec::new();
        let past =
            Restored { conversation, items, usage, last_usage, counted, limits, lines_skipped };
        Some(Input::Restored { op: *op, result: Ok(Box::new(past)) })
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
