//! What a conversation is made of.
//!
//! A history is a list of items. What a provider gave us opaquely (reasoning, built-in tools) stays
//! the bytes it was; what we say ourselves is text that is escaped when a request is encoded.

use crate::words::call::{Answer, CallAsked, CallKind};

/// Who says a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    User,
    Assistant,
    Developer,
}

/// A piece of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    Text(Box<str>),
    Image(Image),
}

/// An image, named by a `data:` or `https:` URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Image {
    /// The URL itself.
    Url(Box<str>),
    /// The URL is kept outside of memory.
    Kept(Kept),
}

/// Names a URL that the host keeps and reads back when bytes of it are wanted.
///
/// It consists of characters that stand for themselves in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Which of this process, in the order in which they came.
    pub id: u32,
    pub url_bytes: u32,
}

impl Image {
    /// Bytes of the URL.
    pub fn url_bytes(&self) -> u64 {
        match self {
            Image::Url(url) => url.len() as u64,
            Image::Kept(kept) => u64::from(kept.url_bytes),
        }
    }

    /// Bytes of it that are in memory.
    pub fn bytes(&self) -> u64 {
        match self {
            Image::Url(url) => url.len() as u64,
            Image::Kept(_) => 0,
        }
    }

    /// Bytes of it that are kept elsewhere.
    pub fn kept_bytes(&self) -> u64 {
        self.url_bytes() - self.bytes()
    }
}

impl<Url: Into<Box<str>>> From<Url> for Image {
    fn from(url: Url) -> Image {
        Image::Url(url.into())
    }
}

impl Part {
    /// Bytes of it that are in memory.
    pub fn bytes(&self) -> u64 {
        match self {
            Part::Text(text) => text.len() as u64,
            Part::Image(image) => image.bytes(),
        }
    }

    /// The image that is kept elsewhere, if it is one.
    pub fn kept(&self) -> Option<u32> {
        match self {
            Part::Image(Image::Kept(kept)) => Some(kept.id),
            Part::Text(_) | Part::Image(Image::Url(_)) => None,
        }
    }

    /// Bytes of it that are kept elsewhere.
    pub fn kept_bytes(&self) -> u64 {
        match self {
            Part::Text(_) => 0,
            Part::Image(image) => image.kept_bytes(),
        }
    }
}

/// One piece of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    Message(Message),
    /// The model's reasoning.
    Reasoning(Reasoning),
    /// The model asks for a tool.
    Call(CallAsked),
    /// What the tool answered.
    Output(Output),
    /// A call that the provider served itself (web search); provider JSON without `id`.
    Served {
        json: Box<str>,
        /// What was searched for, for people; empty when unknown.
        query: Box<str>,
        /// The provider's id, for providers that want it back.
        id: Option<Box<str>>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
    /// The provider's id, for providers that want it back; never recorded.
    pub id: Option<Box<str>>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<Box<str>>) -> Message {
        Message { role, parts: vec![Part::Text(text.into())], id: None }
    }

    /// Its texts, one after the other.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(&**text),
            Part::Image(_) => None,
        })
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reasoning {
    /// The summary's texts, for people and records.
    pub summary: Vec<Box<str>>,
    /// Raw reasoning texts, where a provider shows them; not sent back.
    pub content: Vec<Box<str>>,
    /// What carries the reasoning to the provider's next request.
    pub encrypted: Option<Box<str>>,
    /// The provider's id, for providers that want it back; never recorded.
    pub id: Option<Box<str>>,
}

/// The answer to a call, with what ties it to the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// The provider's name for the call.
    pub call_id: Box<str>,
    /// The kind of call it answers: the wire has one output type for each.
    pub kind: CallKind,
    pub answer: Answer,
}

impl Item {
    /// Bytes this item holds, near enough for bounds on a history.
    pub fn bytes(&self) -> u64 {
        let length = match self {
            Item::Message(message) => return message.parts.iter().map(Part::bytes).sum(),
            Item::Reasoning(reasoning) => {
                let texts = reasoning.summary.iter().chain(&reasoning.content);
                texts.map(|text| text.len()).sum::<usize>()
                    + reasoning.encrypted.as_ref().map_or(0, |text| text.len())
            }
            Item::Call(call) => call.call_id.len() + call.name.len() + call.arguments.len(),
            Item::Output(output) => output.call_id.len() + output.answer.text().len(),
            Item::Served { json, .. } => json.len(),
        };
        length as u64
    }

    /// Bytes of its images that are kept elsewhere.
    pub fn kept_bytes(&self) -> u64 {
        match self {
            Item::Message(message) => message.parts.iter().map(Part::kept_bytes).sum(),
            Item::Reasoning(_) | Item::Call(_) | Item::Output(_) | Item::Served { .. } => 0,
        }
    }
}
