//! What a request is made of, lent while it is encoded.

use crate::words::ids::ConversationId;
use crate::words::item::Item;
use crate::words::settings::{ThreadSettings, WebReach};

/// A request, borrowed from the machine: nothing is copied until bytes are written.
///
/// It does not change while the request is being sent: a history is frozen while the model is
/// awaited.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    pub settings: &'a ThreadSettings,
    pub conversation: ConversationId,
    /// Which thread of this process, from 0, and which request of it, from 0: the key of a
    /// recording.
    pub thread_ordinal: u32,
    pub request_ordinal: u32,
    /// Every call in it has exactly one output, after it.
    pub items: &'a [Item],
    pub tools: &'a [ToolSpec],
    /// A JSON Schema for the answer, as JSON text.
    pub output_schema: Option<&'a str>,
    /// What kind of sub-agent asks, if one does.
    pub sub_agent: Option<&'a str>,
}

/// A tool as the model sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ToolSpec {
    pub name: &'static str,
    pub description: &'static str,
    pub form: ToolForm,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToolForm {
    /// Its JSON Schema, as JSON text.
    Function { parameters: &'static str },
    /// Text that follows a lark grammar.
    Freeform { grammar: &'static str },
    /// The provider's `local_shell`.
    LocalShell,
    /// The provider's web search, which it runs itself.
    WebSearch(WebReach),
}
