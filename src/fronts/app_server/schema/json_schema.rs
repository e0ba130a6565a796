//! The protocol as JSON Schema (draft-07): a file for each type that travels, and one with all.
//!
//! A file holds the definitions it needs. In files of the second protocol they lie side by side;
//! elsewhere those of the second lie below `v2`, for both protocols use some names.

use std::collections::BTreeSet;

use super::File;
use super::declared::{Content, Declared, Field, Kind, Method, Shape, Space, Table, Variant};
use crate::wire::json::{self, Elements, Fields};
use crate::words::sort;

const BUNDLE: &str = "codex_app_server_protocol.schemas.json";
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// Every file of the export.
pub fn files(table: &Table) -> Vec<File> {
    let named = table.named_by_methods();
    let mut files = Vec::new();
    for declared in &table.declared {
        let folder = match declared.space {
            Space::Shared | Space::Approvals => "",
            Space::First => "v1/",
            Space::Second => "v2/",
        };
        if folder.is_empty() || named.contains(&(declared.space, declared.name)) {
            let path = format!("{folder}{}.json", declared.name);
            let flat = declared.space == Space::Second;
            files.push(File { path, text: document(table, declared, flat) });
        }
    }
    files.push(File { path: BUNDLE.to_owned(), text: bundle(table) });
    files
}

/// One type with the definitions it needs.
fn document(table: &Table, declared: &Declared, flat: bool) -> String {
    let writer = Writer { table, flat };
    let mut out = Vec::new();
    let mut fields = Fields::open(&mut out);
    fields.text("$schema", DRAFT);
    fields.text("title", declared.name);
    writer.shape(declared, &mut fields);
    let needed = needed(table, declared);
    if !needed.is_empty() {
        writer.definitions(&needed, &mut fields);
    }
    fields.close();
    indented(&out)
}

fn bundle(table: &Table) -> String {
    let writer = Writer { table, flat: false };
    let mut out = Vec::new();
    let mut fields = Fields::open(&mut out);
    fields.text("$schema", DRAFT);
    fields.text("title", "CodexAppServerProtocol");
    fields.text("type", "object");
    let mut all: Vec<&Declared> =
        table.declared.iter().filter(|declared| !declared.inline).collect();
    sort::by_key(&mut all, |declared| declared.name);
    writer.definitions(&all, &mut fields);
    fields.close();
    indented(&out)
}

/// What a type refers to, directly or not, without itself unless it does so as well.
fn needed<'t>(table: &'t Table, from: &Declared) -> Vec<&'t Declared> {
    let mut seen = BTreeSet::new();
    let mut needed = Vec::new();
    let mut open = vec![from];
    while let Some(declared) = open.pop() {
        let mut visit = |kind: &Kind| {
            let Kind::Named { second, name } = kind else { return };
            let Some(found) = table.find(*second, name) else { return };
            if seen.insert((found.space, found.name)) {
                open.push(found);
                if !found.inline {
                    needed.push(found);
                }
            }
        };
        match &declared.shape {
            // Answers are no part of what is asked.
            Shape::Requests(methods) => {
                visit(&Kind::Named { second: false, name: "RequestId" });
                methods.iter().filter_map(|method| method.params.as_ref()).for_each(visit);
            }
            _ => declared.each_kind(&mut visit),
        }
    }
    sort::by_key(&mut needed, |declared| declared.name);
    needed
}

struct Writer<'t> {
    table: &'t Table,
    /// Whether definitions of both protocols lie side by side.
    flat: bool,
}

impl Writer<'_> {
    fn definitions(&self, all: &[&Declared], fields: &mut Fields<'_>) {
        let below = |declared: &&&Declared| !self.flat && declared.space.is_second();
        let mut definitions = Fields::open(fields.key("definitions"));
        for declared in all.iter().filter(|declared| !below(declared)) {
            self.definition(declared, &mut definitions);
        }
        if all.iter().any(|declared| below(&declared)) {
            let mut second = Fields::open(definitions.key("v2"));
            for declared in all.iter().filter(|declared| below(declared)) {
                self.definition(declared, &mut second);
            }
            second.close();
        }
        definitions.close();
    }

    fn definition(&self, declared: &Declared, into: &mut Fields<'_>) {
        let mut fields = Fields::open(into.key(declared.name));
        self.shape(declared, &mut fields);
        fields.close();
    }

    /// Writes what a declaration says into a schema that is open.
    fn shape(&self, declared: &Declared, schema: &mut Fields<'_>) {
        match &declared.shape {
            Shape::Record(fields) => self.object(&[], fields, schema),
            Shape::Both(kinds) => self.some_of("allOf", kinds, schema),
            Shape::Words(words) => one_word(words.iter().map(String::as_str), schema),
            Shape::Tagged { tag, variants } => {
                let mut all = Elements::open(schema.key("oneOf"));
                for variant in variants {
                    self.tagged(tag, variant, all.element());
                }
                all.close();
            }
            Shape::Outer(variants) => self.outer(variants, schema),
            Shape::Either(kinds) => self.some_of("anyOf", kinds, schema),
            Shape::Alias(kind) => self.kind(kind, false, schema),
            Shape::Requests(methods) => self.methods(methods, true, schema),
            Shape::Notices(methods) => self.methods(methods, false, schema),
        }
    }

    fn some_of(&self, keyword: &str, kinds: &[Kind], schema: &mut Fields<'_>) {
        let mut all = Elements::open(schema.key(keyword));
        for kind in kinds {
            self.value(kind, all.element());
        }
        all.close();
    }

    /// An object with these fields, after some that hold one word each.
    fn object(&self, words: &[(&str, &str)], fields: &[Field], schema: &mut Fields<'_>) {
        schema.text("type", "object");
        let needed = fields.iter().filter(|field| {
            !matches!(field.kind, Kind::Nullable(_) | Kind::Maybe(_) | Kind::Preset(_))
        });
        let names = words.iter().map(|(name, _)| *name);
        required(names.chain(needed.map(|field| field.name.as_str())), schema);
        if words.is_empty() && fields.is_empty() {
            return;
        }
        let mut properties = Fields::open(schema.key("properties"));
        for (name, word) in words {
            let mut property = Fields::open(properties.key(name));
            one_word([*word].into_iter(), &mut property);
            property.close();
        }
        for field in fields {
            self.value(&field.kind, properties.key(&field.name));
        }
        properties.close();
    }

    fn tagged(&self, tag: &str, variant: &Variant, out: &mut Vec<u8>) {
        let words = [(tag, variant.word.as_str())];
        let mut schema = Fields::open(out);
        match &variant.content {
            Content::Nothing => self.object(&words, &[], &mut schema),
            Content::Fields(fields) => self.object(&words, fields, &mut schema),
            Content::Part(kind) => {
                self.some_of("allOf", std::slice::from_ref(kind), &mut schema);
                self.object(&words, &[], &mut schema);
            }
        }
        schema.close();
    }

    fn outer(&self, variants: &[Variant], schema: &mut Fields<'_>) {
        let mut all = Elements::open(schema.key("oneOf"));
        let bare = |variant: &&Variant| matches!(variant.content, Content::Nothing);
        if variants.iter().any(|variant| bare(&variant)) {
            let mut words = Fields::open(all.element());
            let bare = variants.iter().filter(bare).map(|variant| variant.word.as_str());
            one_word(bare, &mut words);
            words.close();
        }
        for variant in variants.iter().filter(|variant| !bare(variant)) {
            let mut body = Fields::open(all.element());
            body.text("type", "object");
            required([variant.word.as_str()].into_iter(), &mut body);
            let mut properties = Fields::open(body.key("properties"));
            match &variant.content {
                Content::Nothing => {}
                Content::Part(kind) => self.value(kind, properties.key(&variant.word)),
                Content::Fields(fields) => {
                    let mut inner = Fields::open(properties.key(&variant.word));
                    self.object(&[], fields, &mut inner);
                    inner.close();
                }
            }
            properties.close();
            body.raw("additionalProperties", "false");
            body.close();
        }
        all.close();
    }

    fn methods(&self, methods: &[Method], answered: bool, schema: &mut Fields<'_>) {
        let mut all = Elements::open(schema.key("oneOf"));
        for method in methods {
            let mut body = Fields::open(all.element());
            body.text("type", "object");
            let id = answered.then_some("id");
            let params = method.params.as_ref().map(|_| "params");
            required(id.into_iter().chain(["method"]).chain(params), &mut body);
            let mut properties = Fields::open(body.key("properties"));
            if answered {
                let id = Kind::Named { second: false, name: "RequestId" };
                self.value(&id, properties.key("id"));
            }
            let mut name = Fields::open(properties.key("method"));
            one_word([method.name].into_iter(), &mut name);
            name.close();
            match &method.params {
                Some(kind) => self.value(kind, properties.key("params")),
                None if answered => properties.raw("params", r#"{"type":"null"}"#),
                None => {}
            }
            properties.close();
            body.close();
        }
        all.close();
    }

    /// Writes a whole schema for a type.
    fn value(&self, kind: &Kind, out: &mut Vec<u8>) {
        let inner = match kind {
            Kind::Nullable(inner) | Kind::Maybe(inner) | Kind::Preset(inner) => inner,
            other => other,
        };
        if *inner == Kind::Json {
            out.extend_from_slice(b"true");
            return;
        }
        let nullable = matches!(kind, Kind::Nullable(_) | Kind::Maybe(_));
        let mut schema = Fields::open(out);
        self.kind(inner, nullable, &mut schema);
        if let Kind::Preset(inner) = kind {
            schema.raw("default", if matches!(**inner, Kind::Bool) { "false" } else { "[]" });
        }
        schema.close();
    }

    fn kind(&self, kind: &Kind, nullable: bool, schema: &mut Fields<'_>) {
        match kind {
            Kind::Text => one_type("string", nullable, schema),
            Kind::Bool => one_type("boolean", nullable, schema),
            Kind::Whole(rust) => whole(rust, nullable, schema),
            Kind::Big => whole("i64", nullable, schema),
            Kind::Float => {
                one_type("number", nullable, schema);
                schema.text("format", "double");
            }
            Kind::Json => {}
            Kind::List(inner) => {
                one_type("array", nullable, schema);
                self.value(inner, schema.key("items"));
            }
            Kind::Map(inner) => {
                one_type("object", nullable, schema);
                self.value(inner, schema.key("additionalProperties"));
            }
            Kind::Nullable(inner) | Kind::Maybe(inner) => self.kind(inner, true, schema),
            Kind::Preset(inner) => self.kind(inner, nullable, schema),
            Kind::Named { second, name } => {
                let Some(found) = self.table.find(*second, name) else { return };
                if nullable {
                    let mut all = Elements::open(schema.key("anyOf"));
                    self.value(kind, all.element());
                    all.element().extend_from_slice(br#"{"type":"null"}"#);
                    all.close();
                } else if found.inline {
                    self.shape(found, schema);
                } else {
                    let below = !self.flat && found.space.is_second();
                    let folder = if below { "v2/" } else { "" };
                    schema.text("$ref", &format!("#/definitions/{folder}{name}"));
                }
            }
        }
    }
}

fn one_type(name: &str, nullable: bool, schema: &mut Fields<'_>) {
    if nullable {
        schema.raw("type", &format!("[\"{name}\",\"null\"]"));
    } else {
        schema.text("type", name);
    }
}

fn whole(rust: &str, nullable: bool, schema: &mut Fields<'_>) {
    one_type("integer", nullable, schema);
    let format = match rust {
        "u16" => "uint16",
        "u32" => "uint32",
        "i32" => "int32",
        _ => "int64",
    };
    schema.text("format", format);
    if rust.starts_with('u') {
        schema.number("minimum", 0);
    }
}

fn one_word<'a>(words: impl Iterator<Item = &'a str>, schema: &mut Fields<'_>) {
    schema.text("type", "string");
    let mut all = Elements::open(schema.key("enum"));
    words.for_each(|word| json::string(word, all.element()));
    all.close();
}

fn required<'a>(names: impl Iterator<Item = &'a str>, schema: &mut Fields<'_>) {
    let mut names = names.peekable();
    if names.peek().is_some() {
        let mut all = Elements::open(schema.key("required"));
        names.for_each(|name| json::string(name, all.element()));
        all.close();
    }
}

/// Compact JSON of ours, laid out for people. None of its strings holds a quote.
fn indented(json: &[u8]) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut before = ' ';
    for character in String::from_utf8_lossy(json).chars() {
        if character == '"' {
            in_string = !in_string;
        }
        let closes = !in_string && "}]".contains(character);
        if closes {
            depth -= 1;
        }
        // An empty object or array stays on its line.
        let empty = closes && "{[".contains(before);
        if (closes || "{[,".contains(before)) && !empty {
            text.push('\n');
            text.extend(std::iter::repeat_n("  ", depth));
        }
        text.push(character);
        if !in_string && "{[".contains(character) {
            depth += 1;
        }
        if !in_string && character == ':' {
            text.push(' ');
        }
        before = if in_string { ' ' } else { character };
    }
    text.push('\n');
    text
}
