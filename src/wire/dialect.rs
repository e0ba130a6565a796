//! What a provider speaks: one face for the wires that requests go out on.
//!
//! Which wire it is decides the path, the headers, the body and how an answer is read. A provider
//! may turn out to know less of its wire than it should; [`Dialect::simpler`] says what to speak
//! with it from then on.

use crate::wire::chat::encode::UsageReport;
use crate::wire::holes::Holes;
use crate::wire::{chat, responses};
use crate::words::model::ModelEvent;
use crate::words::request::RequestView;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    Responses,
    Chat(UsageReport),
}

impl Dialect {
    /// Chat Completions as the newest servers speak it.
    pub const CHAT: Dialect = Dialect::Chat(UsageReport::Asked);

    /// Where requests go, below the provider's address.
    pub fn path(self) -> &'static str {
        match self {
            Dialect::Responses => "/responses",
            Dialect::Chat(_) => "/chat/completions",
        }
    }

    /// The headers that say who asks.
    pub fn headers(
        self,
        view: &RequestView<'_>,
        user_agent: &str,
    ) -> Vec<(&'static str, Box<str>)> {
        match self {
            Dialect::Responses => responses::encode::headers(view, user_agent),
            Dialect::Chat(_) => chat::encode::headers(view, user_agent),
        }
    }

    /// Bytes of the whole body, where the images of these ids are lost.
    pub fn length(self, view: &RequestView<'_>, lost: &[u32]) -> u64 {
        let (mut cursor, mut segment) = (self.cursor(), Vec::new());
        let mut length = 0;
        loop {
            let mut holes = Holes::new(lost);
            if !cursor.next(view, &mut holes, &mut segment) {
                return length;
            }
            length += segment.len() as u64 + holes.bytes();
            segment.clear();
        }
    }

    pub fn cursor(self) -> Cursor {
        match self {
            Dialect::Responses => Cursor::Responses(responses::encode::Cursor::default()),
            Dialect::Chat(usage) => Cursor::Chat(chat::encode::Cursor::new(usage)),
        }
    }

    /// Calls without the provider's name are numbered from `unnamed_from`.
    pub fn decoder(self, unnamed_from: u32) -> Decoder {
        match self {
            Dialect::Responses => Decoder::Responses(responses::decode::Decoder::new(unnamed_from)),
            Dialect::Chat(_) => Decoder::Chat(Box::new(chat::decode::Decoder::new(unnamed_from))),
        }
    }

    /// What to speak after this refusal, if something simpler may be understood: there are servers
    /// that refuse a request because it asks for the count of tokens.
    pub fn simpler(self, status: u16, body: &[u8]) -> Option<Dialect> {
        let body = String::from_utf8_lossy(body);
        let names = |name: &str| body.contains(name);
        match (self, status) {
            (Dialect::Chat(UsageReport::Asked), 400 | 422)
                if names("stream_options") || names("include_usage") =>
            {
                Some(Dialect::Chat(UsageReport::Unasked))
            }
            (Dialect::Chat(_) | Dialect::Responses, _) => None,
        }
    }

    /// What to speak with a server on this machine after it said that it does not know our path:
    /// those of Ollama and LM Studio learned Responses late. A model that is not known is another
    /// matter.
    pub fn older(self, status: u16, body: &[u8]) -> Option<Dialect> {
        let body = String::from_utf8_lossy(body).to_ascii_lowercase();
        let is_unknown = match status {
            404 | 405 | 501 => !body.contains("model"),
            // LM Studio's way to say it.
            _ => body.contains("unexpected endpoint"),
        };
        (self == Dialect::Responses && is_unknown).then_some(Dialect::CHAT)
    }
}

/// Where in a body we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cursor {
    Responses(responses::encode::Cursor),
    Chat(chat::encode::Cursor),
}

impl Cursor {
    /// Appends the next segment, which may be empty; `false` when there is none left.
    pub fn next(
        &mut self,
        view: &RequestView<'_>,
        holes: &mut Holes<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        match self {
            Cursor::Responses(cursor) => cursor.next(view, holes, out),
            Cursor::Chat(cursor) => cursor.next(view, holes, out),
        }
    }
}

/// Reads one response.
#[derive(Clone, Debug)]
pub enum Decoder {
    Responses(responses::decode::Decoder),
    Chat(Box<chat::decode::Decoder>),
}

impl Decoder {
    /// Takes the payload of one event and hands on what it means.
    pub fn push_event(&mut self, payload: &[u8], sink: &mut dyn FnMut(ModelEvent<'_>)) {
        match self {
            Decoder::Responses(decoder) => decoder.push_event(payload, sink),
            Decoder::Chat(decoder) => decoder.push_event(payload, sink),
        }
    }

    /// The stream is over; if the response had not ended, it does now.
    pub fn close(&mut self, sink: &mut dyn FnMut(ModelEvent<'_>)) {
        match self {
            Decoder::Responses(decoder) => decoder.close(sink),
            Decoder::Chat(decoder) => decoder.close(sink),
        }
    }

    /// Whether the response was completed or has failed.
    pub fn ended(&self) -> bool {
        match self {
            Decoder::Responses(decoder) => decoder.ended(),
            Decoder::Chat(decoder) => decoder.ended(),
        }
    }

    /// Whether nothing that matters is missing, so that a connection may break off here.
    pub fn is_finished(&self) -> bool {
        match self {
            Decoder::Responses(decoder) => decoder.ended(),
            Decoder::Chat(decoder) => decoder.ended() || decoder.is_finished(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::holes::LOST_IMAGE;
    use crate::wire::samples::{settings, view};
    use crate::words::item::{Image, Item, Kept, Message, Part, Role};

    #[test]
    fn only_a_refusal_that_names_the_count_of_tokens_simplifies() {
        let unasked = Dialect::Chat(UsageReport::Unasked);
        let unknown = r#"{"error":{"message":"Unrecognized argument: stream_options"}}"#;
        for (dialect, status, body, expected) in [
            (Dialect::CHAT, 400, unknown, Some(unasked)),
            (Dialect::CHAT, 422, r#"["stream_options","include_usage"]"#, Some(unasked)),
            (Dialect::CHAT, 500, unknown, None),
            (Dialect::CHAT, 400, "bad tools", None),
            (unasked, 400, unknown, None),
            (Dialect::Responses, 400, unknown, None),
        ] {
            assert_eq!(dialect.simpler(status, body.as_bytes()), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_server_that_does_not_know_responses_is_older() {
        let lm_studio = r#"{"error":"Unexpected endpoint or method. (POST /v1/responses)"}"#;
        let no_model = r#"{"error":{"message":"model 'x' not found, try pulling it first"}}"#;
        for (dialect, status, body, expected) in [
            (Dialect::Responses, 404, "404 page not found", Some(Dialect::CHAT)),
            (Dialect::Responses, 405, "", Some(Dialect::CHAT)),
            (Dialect::Responses, 200, lm_studio, Some(Dialect::CHAT)),
            (Dialect::Responses, 404, no_model, None),
            (Dialect::Responses, 400, "bad tools", None),
            (Dialect::CHAT, 404, "404 page not found", None),
        ] {
            assert_eq!(dialect.older(status, body.as_bytes()), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_kept_image_leaves_a_place_for_the_same_bytes() {
        let url = "data:image/png;base64,AAAA";
        let message = |image: Image| {
            let parts = vec![Part::Text("look".into()), Part::Image(image)];
            [Item::Message(Message { role: Role::User, parts, id: None })]
        };
        let kept = message(Image::Kept(Kept { id: 7, url_bytes: url.len() as u32 }));
        for dialect in [Dialect::Responses, Dialect::CHAT] {
            let settings = settings();
            let expected = written(dialect, &view(&settings, &message(url.into()), &[]), &[], url);
            let view = view(&settings, &kept, &[]);
            assert_eq!(written(dialect, &view, &[3, 8], url), expected);
            assert_eq!(dialect.length(&view, &[]), expected.len() as u64);
            let lost = written(dialect, &view, &[3, 7], url);
            assert!(lost.contains(LOST_IMAGE) && !lost.contains("image_url"), "{lost}");
            assert_eq!(dialect.length(&view, &[3, 7]), lost.len() as u64);
        }
    }

    /// A body with this URL in every place that is left open.
    fn written(dialect: Dialect, view: &RequestView<'_>, lost: &[u32], url: &str) -> String {
        let (mut cursor, mut body) = (dialect.cursor(), String::new());
        loop {
            let (mut holes, mut segment) = (Holes::new(lost), Vec::new());
            if !cursor.next(view, &mut holes, &mut segment) {
                return body;
            }
            let mut segment = String::from_utf8(segment).unwrap();
            holes.open().iter().rev().for_each(|hole| segment.insert_str(hole.at, url));
            body.push_str(&segment);
        }
    }
}
