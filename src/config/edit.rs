//! Changes in the text of config.toml that leave alone whatever they are not about.
//!
//! Text in, text out. Comments, order and blank lines stay, also those above a key that goes. What
//! comes out is read again before it is given: it says what it should, each known key is of its
//! type, or nothing has changed.

use serde_json::{Map, Value as Json};
use toml_edit::{Decor, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::config::file::{Source, Unknown};
use crate::config::{ConfigError, effective, value};
use crate::limits::CONFIG_NAMED_CHARS_MAX;

/// One key and what becomes of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Edit {
    /// Not empty.
    pub path: Vec<Box<str>>,
    /// Null takes the key away.
    pub value: Json,
    pub merge: Merge,
}

/// What becomes of a table that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merge {
    Replace,
    /// It keeps what the new one does not name.
    Upsert,
}

/// Makes all the changes, or none; `name` is what messages call the text.
pub fn apply(name: &str, text: &str, edits: &[Edit]) -> Result<String, ConfigError> {
    let (mark, bare) = match text.strip_prefix('\u{feff}') {
        Some(bare) => ("\u{feff}", bare),
        None => ("", text),
    };
    // The editor writes plain ends of lines; all are put back in the end.
    let has_crlf = bare.matches("\r\n").count() * 2 > bare.matches('\n').count();
    let mut edited = bare.replace("\r\n", "\n");
    if let Err(error) = edited.parse::<DocumentMut>() {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + edited.bytes().take(start).filter(|byte| *byte == b'\n').count();
        let why = error.message().replace('\n', "; ");
        return Err(ConfigError::new(format!("{name} line {line}: {why}")));
    }
    for edit in edits {
        edited = one(&edited, edit).map_err(|why| {
            let key =
                edit.path.iter().fold(String::new(), |key, part| effective::joined(&key, part));
            let key: String = key.chars().take(CONFIG_NAMED_CHARS_MAX).collect();
            ConfigError::new(format!("{name}: {key}: {why}"))
        })?;
    }
    Source::from_text(name, &edited, Unknown::Ignored)?;
    let edited = if has_crlf { edited.replace('\n', "\r\n") } else { edited };
    Ok(format!("{mark}{edited}"))
}

/// Makes one change.
fn one(text: &str, edit: &Edit) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|_| ASTRAY.to_owned())?;
    let Some((last, tables)) = edit.path.split_last() else {
        return Err("the key is empty".to_owned());
    };
    let mut expected = value::table_to_json(document.as_table());
    changed(&mut expected, &edit.path, &edit.value, edit.merge);
    keep_remarks(&mut document);
    let mark = unused(&[text, &edit.value.to_string(), &edit.path.concat()]);
    match descend(document.as_item_mut(), tables, edit.value.is_null())? {
        Some(table) => set(table, last, &edit.value, edit.merge, &mark)?,
        // What is not there need not be taken away.
        None => return Ok(text.to_owned()),
    }
    let edited = unmarked(&document.to_string(), &mark);
    let read: DocumentMut = edited.parse().map_err(|_| ASTRAY.to_owned())?;
    let mut found = value::table_to_json(read.as_table());
    prune(&mut expected);
    prune(&mut found);
    if expected == found { Ok(edited) } else { Err(ASTRAY.to_owned()) }
}

const ASTRAY: &str = "cannot be changed the way this file is written; change it by hand";

/// The table at a path; those that are missing are made, unless something is only taken away.
fn descend<'a>(
    mut table: &'a mut Item,
    path: &[Box<str>],
    removes: bool,
) -> Result<Option<&'a mut Item>, String> {
    for name in path {
        let is_inline = table.is_inline_table();
        let Some(tables) = table.as_table_like_mut() else {
            return Err(format!("what is above {name} is not a table"));
        };
        if !tables.contains_key(name) {
            if removes {
                return Ok(None);
            }
            tables.insert(name, fresh_table(is_inline));
        }
        table = tables.get_mut(name).ok_or_else(|| ASTRAY.to_owned())?;
    }
    match table.is_table_like() {
        true => Ok(Some(table)),
        false => Err("what it is in is not a table".to_owned()),
    }
}

/// Sets a key of a table, or takes it away.
fn set(table: &mut Item, name: &str, json: &Json, merge: Merge, mark: &str) -> Result<(), String> {
    let is_inline = table.is_inline_table();
    let Some(tables) = table.as_table_like_mut() else { return Err(ASTRAY.to_owned()) };
    match json {
        Json::Null => remove(tables, name, is_inline, mark),
        Json::Object(fields) => {
            let present = tables.get_mut(name);
            let keeps =
                merge == Merge::Upsert && present.as_ref().is_some_and(|item| item.is_table_like());
            match present {
                Some(_) if keeps => {}
                // Its place and what is said above it stay.
                Some(Item::Table(table)) => table.clear(),
                Some(Item::Value(_)) => return put(tables, name, json),
                Some(Item::ArrayOfTables(_) | Item::None) | None => {
                    let mut fresh = fresh_table(is_inline);
                    if let Item::Table(table) = &mut fresh {
                        // With nothing in it, its head is all there is to see.
                        table.set_implicit(!fields.is_empty());
                    }
                    tables.insert(name, fresh);
                }
            }
            let Some(inside) = tables.get_mut(name) else { return Err(ASTRAY.to_owned()) };
            for (name, value) in fields.iter().filter(|(_, value)| keeps || !value.is_null()) {
                set(inside, name, value, merge, mark)?;
            }
            Ok(())
        }
        _ => put(tables, name, json),
    }?;
    if let Some(table) = table.as_inline_table_mut()
        && !table.to_string().contains('#')
    {
        table.fmt();
    }
    Ok(())
}

/// Sets a key to a value; a remark behind the old one stays.
fn put(table: &mut dyn TableLike, name: &str, json: &Json) -> Result<(), String> {
    let mut new = value::from_json(json)?;
    if let Some(Item::Value(old)) = table.get_mut(name) {
        *new.decor_mut() = old.decor().clone();
        *old = new;
    } else {
        table.remove(name);
        table.insert(name, Item::Value(new));
    }
    Ok(())
}

/// Takes a key away, or marks its line: what stands above it is no part of it.
fn remove(
    table: &mut dyn TableLike,
    name: &str,
    is_inline: bool,
    mark: &str,
) -> Result<(), String> {
    match table.get_mut(name) {
        Some(_) if is_inline => {
            table.remove(name);
        }
        Some(Item::Value(value)) => *value = Value::from(mark),
        Some(Item::Table(inside)) if inside.is_dotted() => {
            let mut names: Vec<String> = inside.iter().map(|(name, _)| name.to_owned()).collect();
            for other in names.drain(1.min(names.len())..) {
                inside.remove(&other);
            }
            if let Some(first) = names.first() {
                remove(inside, first, false, mark)?;
            }
        }
        Some(item) => match heading(item) {
            Some((decor, position)) => {
                let mut marked = Table::new();
                *marked.decor_mut() = decor;
                marked.set_position(position);
                marked.insert(mark, toml_edit::value(mark));
                *item = Item::Table(marked);
            }
            None => {
                table.remove(name);
            }
        },
        None => {}
    }
    Ok(())
}

/// What stands above the first head of a table, and where that is in the text.
fn heading(item: &Item) -> Option<(Decor, Option<isize>)> {
    let of = |table: &Table| (table.decor().clone(), table.position());
    match item {
        Item::Table(table) if !table.is_implicit() => Some(of(table)),
        Item::Table(table) => table.iter().find_map(|(_, item)| heading(item)),
        Item::ArrayOfTables(tables) => tables.iter().next().map(of),
        Item::Value(_) | Item::None => None,
    }
}

/// The text without the lines that are marked, and without the heads of marked tables.
fn unmarked(text: &str, mark: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for line in text.split_inclusive('\n') {
        match line.contains(mark) {
            true if line.starts_with(mark) => {
                kept.pop();
            }
            true => {}
            false => kept.push(line),
        }
    }
    kept.concat()
}

/// A word that none of the texts holds, and that needs no quotes as a key.
fn unused(texts: &[&str]) -> String {
    let mut mark = "taken-away".to_owned();
    while texts.iter().any(|text| text.contains(&mark)) {
        mark.push('-');
    }
    mark
}

/// The remarks of a file that holds nothing else stay at its top.
fn keep_remarks(document: &mut DocumentMut) {
    let remarks = document.trailing().as_str().unwrap_or_default().to_owned();
    if document.as_table().is_empty() && !remarks.trim().is_empty() {
        let end = if remarks.ends_with('\n') { "" } else { "\n" };
        document.decor_mut().set_prefix(format!("{remarks}{end}"));
        document.set_trailing("");
    }
}

fn fresh_table(is_inline: bool) -> Item {
    if is_inline {
        return Item::Value(Value::InlineTable(InlineTable::new()));
    }
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// The same change in what the text says.
fn changed(config: &mut Json, path: &[Box<str>], value: &Json, merge: Merge) {
    if let [name, inside @ ..] = path {
        if !config.is_object() {
            *config = Json::Object(Map::new());
        }
        if let Json::Object(fields) = config {
            changed(fields.entry(&**name).or_insert(Json::Null), inside, value, merge);
        }
        return;
    }
    match (value, config) {
        (Json::Object(above), Json::Object(fields)) if merge == Merge::Upsert => {
            for (name, value) in above {
                changed(fields.entry(name).or_insert(Json::Null), &[], value, merge);
            }
        }
        (value, config) => *config = value.clone(),
    }
}

/// Drops what holds nothing.
fn prune(json: &mut Json) {
    if let Json::Object(fields) = json {
        fields.values_mut().for_each(prune);
        let holds =
            |value: &Json| !value.is_null() && value.as_object().is_none_or(|it| !it.is_empty());
        fields.retain(|_, value| holds(value));
    }
    if let Json::Array(values) = json {
        values.iter_mut().for_each(prune);
    }
}

#[cfg(test)]
mod tests;
