//! A request to the Chat Completions API: its headers and its body.
//!
//! The body is written in segments by a cursor: head, each message, tail. What a model said in one
//! go (text, reasoning, calls) is one assistant message; the outputs of its calls come right after
//! it, in the order of the calls, wherever they stand in the history. The same view gives the same
//! bytes, so its length can be told before the first is sent.

use std::collections::HashMap;

use crate::wire::holes::{Holes, LOST_IMAGE};
use crate::wire::json::{self, Elements, Fields};
use crate::wire::layout::{self, Layout};
use crate::wire::responses::encode::asking_headers;
use crate::words::call::{CallAsked, CallKind};
use crate::words::item::{Item, Message, Output, Part, Role};
use crate::words::request::{RequestView, ToolForm, ToolSpec};

/// Whether the provider is asked to count tokens. Some refuse to be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsageReport {
    Asked,
    Unasked,
}

/// Where in a body we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    usage: UsageReport,
    at: At,
    /// For each call the place of its output; filled at the head.
    outputs: Vec<Option<u32>>,
    /// The first item after the last thing the user said: reasoning before it is not sent again.
    current_from: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Head,
    /// The next item's place in the view.
    Item(usize),
    /// The outputs of the calls from `next` to `end` are to be written.
    Outputs {
        next: usize,
        end: usize,
    },
    End,
}

impl Cursor {
    pub fn new(usage: UsageReport) -> Cursor {
        Cursor { usage, at: At::Head, outputs: Vec::new(), current_from: 0 }
    }

    /// Appends the next segment, which may be empty; `false` when there is none left. The view is
    /// the same at every call.
    pub fn next(
        &mut self,
        view: &RequestView<'_>,
        holes: &mut Holes<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let items = view.items;
        self.at = match self.at {
            At::Head => {
                self.look_ahead(items);
                head(view, out);
                At::Item(0)
            }
            At::Item(index) => match items.get(index) {
                Some(Item::Message(said)) if said.role != Role::Assistant => {
                    out.push(b',');
                    message(said, holes, out);
                    At::Item(index + 1)
                }
                // It was written behind its call.
                Some(Item::Output(_)) => At::Item(index + 1),
                Some(_) => {
                    let end = end_of_answer(items, index);
                    answer(&items[index..end], index >= self.current_from, out);
                    At::Outputs { next: index, end }
                }
                None => {
                    tail(view, self.usage, out);
                    At::End
                }
            },
            At::Outputs { next, end } if next < end => {
                let place = self.outputs.get(next).copied().flatten();
                if let Some(Item::Output(found)) = place.and_then(|at| items.get(at as usize)) {
                    out.push(b',');
                    output(found, out);
                }
                At::Outputs { next: next + 1, end }
            }
            At::Outputs { end, .. } => At::Item(end),
            At::End => return false,
        };
        true
    }

    /// Finds the output of each call: it answers the last unanswered call before it of its id.
    fn look_ahead(&mut self, items: &[Item]) {
        let mut open: HashMap<&str, Vec<usize>> = HashMap::new();
        self.outputs.resize(items.len(), None);
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::Call(call) => open.entry(&call.call_id).or_default().push(index),
                Item::Output(output) => {
                    if let Some(call) = open.get_mut(&*output.call_id).and_then(Vec::pop) {
                        self.outputs[call] = Some(index as u32);
                    }
                }
                Item::Message(said) if said.role == Role::User => self.current_from = index + 1,
                Item::Message(_) | Item::Reasoning(_) | Item::Served { .. } => {}
            }
        }
    }
}

/// The headers that say who asks; the wire has none that name the conversation.
pub fn headers(view: &RequestView<'_>, user_agent: &str) -> Vec<(&'static str, Box<str>)> {
    asking_headers(view, user_agent)
}

/// The place after the last item that the model said in one go with the one at `from`.
fn end_of_answer(items: &[Item], from: usize) -> usize {
    let is_other = |item: &Item| match item {
        Item::Message(message) => message.role != Role::Assistant,
        Item::Output(_) => true,
        Item::Reasoning(_) | Item::Call(_) | Item::Served { .. } => false,
    };
    items[from..].iter().position(is_other).map_or(items.len(), |length| from + length)
}

/// Everything up to and including the first message, which is the system's.
fn head(view: &RequestView<'_>, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("model", &view.settings.model);
    let messages = fields.key("messages");
    messages.push(b'[');
    let mut system = Fields::open(messages);
    system.text("role", "system");
    system.text("content", &view.settings.instructions);
    system.close();
}

/// Everything from the bracket that closes `messages`.
fn tail(view: &RequestView<'_>, usage: UsageReport, out: &mut Vec<u8>) {
    let settings = view.settings;
    out.push(b']');
    let mut fields = Fields::reopen(out);
    fields.flag("stream", true);
    if usage == UsageReport::Asked {
        fields.raw("stream_options", r#"{"include_usage":true}"#);
    }
    // An empty list is an error to some servers.
    if view.tools.iter().any(is_function) {
        let mut tools = Elements::open(fields.key("tools"));
        for tool in view.tools {
            if let ToolForm::Function { parameters } = tool.form {
                encode_tool(tool, parameters, tools.element());
            }
        }
        tools.close();
    }
    fields.text_if("reasoning_effort", settings.reasoning.effort.as_deref());
    if let Some(schema) = view.output_schema {
        let mut format = Fields::open(fields.key("response_format"));
        format.text("type", "json_schema");
        let mut described = Fields::open(format.key("json_schema"));
        described.text("name", "codex_output_schema");
        described.flag("strict", true);
        described.raw("schema", schema);
        described.close();
        format.close();
    }
    fields.close();
}

fn is_function(tool: &ToolSpec) -> bool {
    matches!(tool.form, ToolForm::Function { .. })
}

fn encode_tool(tool: &ToolSpec, parameters: &str, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("type", "function");
    let mut function = Fields::open(fields.key("function"));
    function.text("name", tool.name);
    function.text("description", tool.description);
    function.raw("parameters", parameters);
    function.flag("strict", false);
    function.close();
    fields.close();
}

/// A message of the user or the developer.
fn message(message: &Message, holes: &mut Holes<'_>, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("role", if message.role == Role::User { "user" } else { "system" });
    if !message.parts.iter().any(|part| matches!(part, Part::Image(_))) {
        fields.text("content", &message.texts().collect::<String>());
        fields.close();
        return;
    }
    let mut parts = Elements::open(fields.key("content"));
    for part in &message.parts {
        let mut fields = Fields::open(parts.element());
        match part {
            Part::Text(text) => {
                fields.text("type", "text");
                fields.text("text", text);
            }
            Part::Image(image) if holes.is_lost(image) => {
                fields.text("type", "text");
                fields.text("text", LOST_IMAGE);
            }
            Part::Image(image) => {
                fields.text("type", "image_url");
                let mut named = Fields::open(fields.key("image_url"));
                holes.write(image, named.key("url"));
                named.close();
            }
        }
        fields.close();
    }
    parts.close();
    fields.close();
}

/// What the model said in one go, as one message; nothing if that was neither text nor calls.
fn answer(items: &[Item], is_current: bool, out: &mut Vec<u8>) {
    let mut said: Vec<String> = Vec::new();
    let mut reasoning: Vec<&str> = Vec::new();
    let mut has_calls = false;
    for item in items {
        match item {
            Item::Message(message) => {
                let text: String = message.texts().collect();
                if !text.is_empty() && said.last() != Some(&text) {
                    said.push(text);
                }
            }
            Item::Reasoning(thought) if is_current => {
                reasoning.extend(thought.content.iter().map(|text| &**text));
            }
            Item::Call(_) => has_calls = true,
            Item::Reasoning(_) | Item::Served { .. } | Item::Output(_) => {}
        }
    }
    if said.is_empty() && !has_calls {
        return;
    }
    out.push(b',');
    let mut fields = Fields::open(out);
    fields.text("role", "assistant");
    let text = Some(said.join("\n\n")).filter(|text| !text.is_empty());
    fields.text_or_null("content", text.as_deref());
    if !reasoning.is_empty() {
        fields.text("reasoning", &reasoning.concat());
    }
    if has_calls {
        let mut calls = Elements::open(fields.key("tool_calls"));
        for item in items {
            if let Item::Call(asked) = item {
                call(asked, calls.element());
            }
        }
        calls.close();
    }
    fields.close();
}

fn call(call: &CallAsked, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("id", &call.call_id);
    fields.text("type", "function");
    let mut function = Fields::open(fields.key("function"));
    function.text("name", &call.name);
    match call.kind {
        CallKind::Function | CallKind::LocalShell if json::is_json(&call.arguments) => {
            function.text("arguments", &call.arguments);
        }
        // Text of a freeform tool, or arguments that a server would refuse to read again.
        CallKind::Function | CallKind::LocalShell | CallKind::Custom => {
            let mut arguments = Vec::new();
            let mut wrapped = Fields::open(&mut arguments);
            wrapped.text("input", &call.arguments);
            wrapped.close();
            function.text("arguments", &String::from_utf8_lossy(&arguments));
        }
    }
    function.close();
    fields.close();
}

fn output(output: &Output, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("role", "tool");
    fields.text("tool_call_id", &output.call_id);
    layout::write(&output.answer, Layout::Text, fields.key("content"));
    fields.close();
}

#[cfg(test)]
mod tests;
