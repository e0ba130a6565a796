//! A request to the Responses API: its headers and its body.
//!
//! The body is written in segments by a cursor that holds no bytes: head, each item, tail. The same
//! view gives the same bytes, so its length can be told before the first is sent.

use crate::wire::holes::Holes;
use crate::wire::json::{Elements, Fields};
use crate::wire::layout::Layout;
use crate::wire::responses::items::{self, Form, Ids};
use crate::words::request::{RequestView, ToolForm, ToolSpec};
use crate::words::settings::{PatchForm, ThreadSettings, Verbosity, WebReach};

/// Where in a body we are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cursor {
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum At {
    #[default]
    Head,
    /// The next item's place in the view.
    Item(usize),
    End,
}

impl Cursor {
    /// Appends the next segment; `false` when there is none left. The view is the same at every
    /// call.
    pub fn next(
        &mut self,
        view: &RequestView<'_>,
        holes: &mut Holes<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        self.at = match self.at {
            At::Head => {
                head(view, out);
                At::Item(0)
            }
            At::Item(index) => match view.items.get(index) {
                Some(item) => {
                    if index > 0 {
                        out.push(b',');
                    }
                    items::encode(item, form(view.settings), holes, out);
                    At::Item(index + 1)
                }
                None => {
                    tail(view, out);
                    At::End
                }
            },
            At::End => return false,
        };
        true
    }
}

/// The headers that say who asks; credentials and the provider's own come from whoever sends.
pub fn headers(view: &RequestView<'_>, user_agent: &str) -> Vec<(&'static str, Box<str>)> {
    let conversation: Box<str> = view.conversation.to_string().into();
    let mut headers = asking_headers(view, user_agent);
    // Both generations of names, since gateways look for either.
    for name in ["conversation_id", "session_id", "session-id", "thread-id", "x-client-request-id"]
    {
        headers.push((name, conversation.clone()));
    }
    headers
}

/// The headers that every wire has.
pub(crate) fn asking_headers(
    view: &RequestView<'_>,
    user_agent: &str,
) -> Vec<(&'static str, Box<str>)> {
    let mut headers = vec![
        ("accept", "text/event-stream".into()),
        ("content-type", "application/json".into()),
        ("originator", header_text(&view.settings.originator)),
        ("user-agent", header_text(user_agent)),
    ];
    if let Some(sub_agent) = view.sub_agent {
        headers.push(("x-openai-subagent", header_text(sub_agent)));
    }
    headers
}

/// A header's value; what may not stand in one becomes `_`.
fn header_text(text: &str) -> Box<str> {
    let allowed = |character: char| matches!(character, ' '..='~');
    text.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
}

fn form(settings: &ThreadSettings) -> Form {
    let layout = match settings.tools.patch {
        PatchForm::Freeform => Layout::Text,
        PatchForm::Function | PatchForm::ThroughShell => Layout::Json,
    };
    Form { layout, ids: if settings.stored_by_provider { Ids::Kept } else { Ids::Dropped } }
}

/// Everything up to and including the bracket that opens `input`.
fn head(view: &RequestView<'_>, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("model", &view.settings.model);
    fields.text("instructions", &view.settings.instructions);
    fields.key("input").push(b'[');
}

/// Everything from the bracket that closes `input`.
fn tail(view: &RequestView<'_>, out: &mut Vec<u8>) {
    let settings = view.settings;
    out.push(b']');
    let mut fields = Fields::reopen(out);
    let mut tools = Elements::open(fields.key("tools"));
    for tool in view.tools {
        encode_tool(tool, tools.element());
    }
    tools.close();
    fields.text("tool_choice", "auto");
    fields.flag("parallel_tool_calls", settings.parallel_tool_calls);
    if settings.reasoning.supported {
        let mut reasoning = Fields::open(fields.key("reasoning"));
        reasoning.text_if("effort", settings.reasoning.effort.as_deref());
        reasoning.text_if("summary", settings.reasoning.summary.as_deref());
        reasoning.close();
    } else {
        fields.raw("reasoning", "null");
    }
    fields.flag("store", settings.stored_by_provider);
    fields.flag("stream", true);
    let include =
        if settings.reasoning.supported { r#"["reasoning.encrypted_content"]"# } else { "[]" };
    fields.raw("include", include);
    fields.text("prompt_cache_key", &view.conversation.to_string());
    if settings.verbosity.is_some() || view.output_schema.is_some() {
        encode_text(view, fields.key("text"));
    }
    fields.close();
}

/// What is asked of the answer's text.
fn encode_text(view: &RequestView<'_>, out: &mut Vec<u8>) {
    let mut text = Fields::open(out);
    text.text_if("verbosity", view.settings.verbosity.map(verbosity_name));
    if let Some(schema) = view.output_schema {
        let mut format = Fields::open(text.key("format"));
        format.text("type", "json_schema");
        format.text("name", "codex_output_schema");
        format.flag("strict", true);
        format.raw("schema", schema);
        format.close();
    }
    text.close();
}

fn verbosity_name(verbosity: Verbosity) -> &'static str {
    match verbosity {
        Verbosity::Low => "low",
        Verbosity::Medium => "medium",
        Verbosity::High => "high",
    }
}

fn encode_tool(tool: &ToolSpec, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    match tool.form {
        ToolForm::Function { parameters } => {
            fields.text("type", "function");
            fields.text("name", tool.name);
            fields.text("description", tool.description);
            fields.flag("strict", false);
            fields.raw("parameters", parameters);
        }
        ToolForm::Freeform { grammar } => {
            fields.text("type", "custom");
            fields.text("name", tool.name);
            fields.text("description", tool.description);
            let mut format = Fields::open(fields.key("format"));
            format.text("type", "grammar");
            format.text("syntax", "lark");
            format.text("definition", grammar);
            format.close();
        }
        ToolForm::LocalShell => fields.text("type", "local_shell"),
        ToolForm::WebSearch(reach) => {
            fields.text("type", "web_search");
            if reach != WebReach::Usual {
                fields.flag("external_web_access", reach != WebReach::Cached);
            }
            if reach == WebReach::Indexed {
                fields.flag("indexed_web_access", true);
            }
        }
    }
    fields.close();
}

#[cfg(test)]
mod tests;
