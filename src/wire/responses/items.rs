//! History items as JSON: what requests, answers and rollouts have in common.
//!
//! Reading takes any item a provider or an older rollout may hold and keeps what the next request
//! needs; everything else in it is dropped. Kinds we do not know are `None`, which is not an error.

use crate::limits::ITEM_PARTS_MAX;
use crate::wire::holes::{Holes, LOST_IMAGE};
use crate::wire::json::{self, Elements, Fields};
use crate::wire::layout::{self, Layout};
use crate::words::call::{Answer, CallAsked, CallKind};
use crate::words::item::{Image, Item, Message, Output, Part, Reasoning, Role};

/// Who an item is written for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form {
    pub layout: Layout,
    /// Name the provider's ids, for a provider that stores.
    pub ids: Ids,
}

impl Form {
    fn shown<'i>(&self, id: &'i Option<Box<str>>) -> Option<&'i str> {
        match self.ids {
            Ids::Kept => id.as_deref(),
            Ids::Dropped => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ids {
    Kept,
    Dropped,
}

/// Calls that a provider serves itself, and of which fields they consist.
const SERVED_KINDS: [&str; 3] = ["web_search_call", "file_search_call", "code_interpreter_call"];
const SERVED_FIELDS: [&str; 8] =
    ["type", "status", "action", "queries", "results", "code", "outputs", "container_id"];

/// Whether the provider serves calls of this type itself.
pub fn is_served(kind: &str) -> bool {
    SERVED_KINDS.contains(&kind)
}

/// Writes an item.
pub fn encode(item: &Item, form: Form, holes: &mut Holes<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Message(message) => {
            let mut fields = head("message", form.shown(&message.id), out);
            fields.text("role", role_name(message.role));
            parts(message, holes, fields.key("content"));
            fields.close();
        }
        Item::Reasoning(reasoning) => {
            let mut fields = head("reasoning", form.shown(&reasoning.id), out);
            texts("summary_text", &reasoning.summary, fields.key("summary"));
            // A server that encrypts nothing has no other way to know what it thought, and some
            // refuse an item without it.
            let is_needed = form.layout == Layout::Record || reasoning.encrypted.is_none();
            if is_needed && !reasoning.content.is_empty() {
                texts("reasoning_text", &reasoning.content, fields.key("content"));
            } else {
                fields.raw("content", "null");
            }
            fields.text_or_null("encrypted_content", reasoning.encrypted.as_deref());
            fields.close();
        }
        Item::Call(call) => {
            let mut fields = head(call_type(call.kind), form.shown(&call.id), out);
            match call.kind {
                CallKind::Function => {
                    fields.text("name", &call.name);
                    fields.text("arguments", &call.arguments);
                    fields.text("call_id", &call.call_id);
                }
                CallKind::Custom => {
                    fields.text("call_id", &call.call_id);
                    fields.text("name", &call.name);
                    fields.text("input", &call.arguments);
                }
                CallKind::LocalShell => {
                    fields.text("call_id", &call.call_id);
                    fields.text("status", "completed");
                    fields.raw("action", &call.arguments);
                }
            }
            fields.close();
        }
        Item::Output(output) => {
            let mut fields = head(output_type(output.kind), None, out);
            fields.text("call_id", &output.call_id);
            layout::write(&output.answer, form.layout, fields.key("output"));
            fields.close();
        }
        Item::Served { json, id, .. } => match (form.shown(id), json.strip_prefix('{')) {
            (Some(id), Some(rest)) => {
                out.extend_from_slice(b"{\"id\":");
                json::string(id, out);
                out.push(b',');
                json::compact(rest, out);
            }
            _ => json::compact(json, out),
        },
    }
}

/// Reads an item with the ids it has; `None` for what history has no use for. A call without its
/// provider's name has an empty `call_id`.
pub fn decode(json: &str) -> Option<Item> {
    let [kind, id, role, content, summary, encrypted, name, call_id] = json::pick(
        json,
        ["type", "id", "role", "content", "summary", "encrypted_content", "name", "call_id"],
    )
    .ok()?;
    let [arguments, input, action, output] =
        json::pick(json, ["arguments", "input", "action", "output"]).ok()?;
    let id = id.and_then(json::boxed);
    let call_id = call_id.and_then(json::boxed);
    let kind = json::text(kind?)?;
    let kind = match &*kind {
        "message" => {
            let role = role_named(&json::text(role?)?)?;
            return Some(Item::Message(Message { role, parts: decode_parts(content?)?, id }));
        }
        "reasoning" => {
            return Some(Item::Reasoning(Reasoning {
                summary: decode_texts(summary)?,
                content: decode_texts(content)?,
                encrypted: encrypted.and_then(json::boxed).filter(|text| !text.is_empty()),
                id,
            }));
        }
        "function_call_output" => {
            return decode_output(CallKind::Function, call_id?, output?);
        }
        "custom_tool_call_output" => {
            return decode_output(CallKind::Custom, call_id?, output?);
        }
        "function_call" => CallKind::Function,
        "custom_tool_call" => CallKind::Custom,
        "local_shell_call" => CallKind::LocalShell,
        served if is_served(served) => return Some(decode_served(json, action, id)),
        _ => return None,
    };
    let (name, arguments) = match kind {
        CallKind::Function => (json::boxed(name?)?, arguments.map_or("".into(), text_or_json)),
        CallKind::Custom => (json::boxed(name?)?, input.map_or("".into(), text_or_json)),
        CallKind::LocalShell => ("local_shell".into(), json::compacted(action?)),
    };
    // A local shell call may be named by its id alone.
    let call_id = match kind {
        CallKind::LocalShell => call_id.or_else(|| id.clone()),
        CallKind::Function | CallKind::Custom => call_id,
    };
    Some(Item::Call(CallAsked { kind, call_id: call_id.unwrap_or_default(), name, arguments, id }))
}

/// Forgets the provider's id of an item.
pub fn forget_id(item: &mut Item) {
    match item {
        Item::Message(message) => message.id = None,
        Item::Reasoning(reasoning) => reasoning.id = None,
        Item::Call(call) => call.id = None,
        Item::Served { id, .. } => *id = None,
        Item::Output(_) => {}
    }
}

pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Developer => "developer",
    }
}

fn role_named(name: &str) -> Option<Role> {
    match name {
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        "developer" | "system" => Some(Role::Developer),
        _ => None,
    }
}

pub(crate) fn call_type(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Function => "function_call",
        CallKind::Custom => "custom_tool_call",
        CallKind::LocalShell => "local_shell_call",
    }
}

pub(crate) fn output_type(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Function | CallKind::LocalShell => "function_call_output",
        CallKind::Custom => "custom_tool_call_output",
    }
}

fn head<'o>(kind: &str, id: Option<&str>, out: &'o mut Vec<u8>) -> Fields<'o> {
    let mut fields = Fields::open(out);
    fields.text("type", kind);
    fields.text_if("id", id);
    fields
}

fn parts(message: &Message, holes: &mut Holes<'_>, out: &mut Vec<u8>) {
    let text_type = match message.role {
        Role::User | Role::Developer => "input_text",
        Role::Assistant => "output_text",
    };
    let mut elements = Elements::open(out);
    for part in &message.parts {
        let mut fields = Fields::open(elements.element());
        match part {
            Part::Text(text) => {
                fields.text("type", text_type);
                fields.text("text", text);
            }
            Part::Image(image) if holes.is_lost(image) => {
                fields.text("type", text_type);
                fields.text("text", LOST_IMAGE);
            }
            Part::Image(image) => {
                fields.text("type", "input_image");
                holes.write(image, fields.key("image_url"));
            }
        }
        fields.close();
    }
    elements.close();
}

fn texts(kind: &str, texts: &[Box<str>], out: &mut Vec<u8>) {
    let mut elements = Elements::open(out);
    for text in texts {
        let mut fields = Fields::open(elements.element());
        fields.text("type", kind);
        fields.text("text", text);
        fields.close();
    }
    elements.close();
}

/// The parts of a message: an array of parts, or one text.
fn decode_parts(content: &str) -> Option<Vec<Part>> {
    if let Some(text) = json::boxed(content) {
        return Some(vec![Part::Text(text)]);
    }
    let mut parts = Vec::new();
    let mut too_many = false;
    json::elements(content, &mut |element| {
        too_many |= parts.len() == ITEM_PARTS_MAX;
        if !too_many {
            parts.extend(decode_part(element));
        }
    })
    .ok()?;
    (!too_many).then_some(parts)
}

fn decode_part(element: &str) -> Option<Part> {
    let [text, refusal, image] = json::pick(element, ["text", "refusal", "image_url"]).ok()?;
    match text.or(refusal) {
        Some(text) => json::boxed(text).map(Part::Text),
        None => json::boxed(image?).map(|url| Part::Image(Image::Url(url))),
    }
}

/// The texts in an array of parts; an absent array has none.
fn decode_texts(array: Option<&str>) -> Option<Vec<Box<str>>> {
    let Some(array) = array else {
        return Some(Vec::new());
    };
    let parts = decode_parts(array)?;
    let texts = parts.into_iter().filter_map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Image(_) => None,
    });
    Some(texts.collect())
}

/// A tool's output: a text, which may be a command's end; an array of parts; or, in old rollouts,
/// an object around either.
fn decode_output(kind: CallKind, call_id: Box<str>, output: &str) -> Option<Item> {
    let mut success = true;
    let content = if output.starts_with('{') {
        let [content, flag] = json::pick(output, ["content", "success"]).ok()?;
        success = flag != Some("false");
        content?
    } else {
        output
    };
    let answer = match json::boxed(content) {
        Some(text) => match layout::read(&text) {
            Some(command) => Answer::Command(command),
            None => Answer::Text { text, success },
        },
        None => {
            let mut text = String::new();
            for part in decode_parts(content)? {
                if !text.is_empty() {
                    text.push('\n');
                }
                match part {
                    Part::Text(part) => text.push_str(&part),
                    Part::Image(_) => text.push_str("[image left out]"),
                }
            }
            Answer::Text { text: text.into(), success }
        }
    };
    Some(Item::Output(Output { call_id, kind, answer }))
}

fn decode_served(json: &str, action: Option<&str>, id: Option<Box<str>>) -> Item {
    let mut kept = Vec::with_capacity(json.len());
    let mut object = Fields::open(&mut kept);
    // The item was picked from before, so it is an object.
    let _ = json::fields(json, &mut |name, value| {
        if SERVED_FIELDS.contains(&name) {
            object.raw(name, value);
        }
    });
    object.close();
    let action = action.unwrap_or("{}");
    let asked = json::pick(action, ["query", "pattern", "url"]).unwrap_or_default();
    let query = match asked.map(|text| text.and_then(json::boxed)) {
        [Some(query), ..] => query,
        [None, Some(pattern), Some(url)] => format!("'{pattern}' in {url}").into(),
        [None, pattern, url] => pattern.or(url).unwrap_or_default(),
    };
    Item::Served { json: String::from_utf8_lossy(&kept).into(), query, id }
}

/// A string's text; of anything else its JSON, for servers that send arguments as an object.
fn text_or_json(json: &str) -> Box<str> {
    json::boxed(json).unwrap_or_else(|| json::compacted(json))
}

/// The fuzz body for items: written once and read, an item is written the same again.
pub fn fuzz(item: &Item) {
    let form = Form { layout: Layout::Record, ids: Ids::Kept };
    let mut first = Vec::new();
    encode(item, form, &mut Holes::default(), &mut first);
    assert!(!first.contains(&b'\n'));
    let again = str::from_utf8(&first).ok().and_then(decode);
    assert!(again.is_some(), "an item we wrote must read back");
    let mut second = Vec::new();
    again.iter().for_each(|item| encode(item, form, &mut Holes::default(), &mut second));
    assert!(first == second, "an item must be written the same again");
}

#[cfg(test)]
mod tests;
