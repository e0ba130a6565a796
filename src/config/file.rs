//! One source of settings, read and judged: the text of a file, or what `-c` and its kin say.
//!
//! Text comes in, nothing is opened here. A source that exists is sound: bounded, well-formed TOML,
//! and each known key of its type. What it lacks is another layer's business.

use std::borrow::Cow;
use std::fmt;

use toml_edit::{Document, Item, Key, Table, TableLike, Value};

use crate::config::ConfigError;
use crate::config::args::{self, Override};
use crate::config::flags;
use crate::config::keys::{self, FEATURES, Kind, Knowledge};
use crate::config::request::{self, Setting};
use crate::config::value;
use crate::limits::{CONFIG_ENTRIES_MAX, CONFIG_FILE_BYTES_MAX, CONFIG_KEY_PARTS_MAX};

/// A sound source of settings.
#[derive(Clone, Debug)]
pub struct Source {
    /// What to call it in messages: a path, or `-c`.
    name: Box<str>,
    form: Form,
    /// Paths of which nothing below counts.
    unset: Vec<Vec<Box<str>>>,
}

#[derive(Clone, Debug)]
enum Form {
    /// Keeps the text, for the lines in messages.
    File(Document<String>),
    Overrides(Table),
}

/// Whether keys that are not known are errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    Ignored,
    Refused,
}

impl Source {
    /// Reads the text of a file that is called `name`.
    pub fn from_text(name: &str, text: &str, unknown: Unknown) -> Result<Source, ConfigError> {
        if text.len() > CONFIG_FILE_BYTES_MAX {
            let message = format!("{name}: larger than {CONFIG_FILE_BYTES_MAX} bytes");
            return Err(ConfigError::new(message));
        }
        let document = Document::parse(text.to_owned()).map_err(|error| {
            let place = place(name, error.span().map(|span| line_of(text, span.start)));
            ConfigError::new(format!("{place}: {}", error.message().replace('\n', "; ")))
        })?;
        let source = Source::new(name, Form::File(document));
        source.judge(source.table(), &mut Vec::new(), unknown)?;
        Ok(source)
    }

    /// Reads `-c`, `--enable` and `--disable`, later ones over earlier ones.
    pub fn from_overrides(given: &[Override], unknown: Unknown) -> Result<Source, ConfigError> {
        let mut table = Table::new();
        for one in given {
            match one {
                Override::Pair(pair) => {
                    let (path, value) = read_pair(pair)?;
                    insert(&mut table, &path, value);
                }
                Override::Feature { name, enabled } => {
                    if !FEATURES.iter().any(|(known, _)| **known == **name) {
                        return Err(unknown_feature(name));
                    }
                    let path = ["features".to_owned(), name.to_string()];
                    insert(&mut table, &path, Value::from(*enabled));
                }
            }
        }
        let source = Source::new("-c", Form::Overrides(table));
        source.judge(source.table(), &mut Vec::new(), unknown)?;
        Ok(source)
    }

    /// Reads what a client asks for, later settings over earlier ones.
    pub fn from_request(given: &[Setting], unknown: Unknown) -> Result<Source, ConfigError> {
        let mut source = Source::new(request::NAME, Form::Overrides(Table::new()));
        for setting in given {
            let mut path = setting.path.iter().map(|part| part.to_string()).collect();
            source.set(&mut path, &setting.value)?;
        }
        source.judge(source.table(), &mut Vec::new(), unknown)?;
        Ok(source)
    }

    /// Whether this source says that what is below at a path does not count.
    pub fn unsets(&self, path: &[&str]) -> bool {
        let begins = |unset: &Vec<Box<str>>| {
            unset.len() <= path.len() && unset.iter().zip(path).all(|(one, other)| **one == **other)
        };
        self.unset.iter().any(begins)
    }

    /// What stands at a path.
    pub fn find(&self, path: &[&str]) -> Option<&Item> {
        let (last, tables) = path.split_last()?;
        let mut table: &dyn TableLike = self.table();
        for name in tables {
            table = table.get(name)?.as_table_like()?;
        }
        table.get(last).filter(|item| !item.is_none())
    }

    /// Shows everything that is set: values of known keys, and what stands at unknown ones.
    pub fn visit<'a>(&'a self, each: &mut dyn FnMut(&[&'a str], &'a Item, Knowledge)) {
        visit(self.table(), &mut Vec::new(), each);
    }

    /// Everything that is set.
    pub fn table(&self) -> &Table {
        match &self.form {
            Form::File(document) => document.as_table(),
            Form::Overrides(table) => table,
        }
    }

    /// Paths that this source unsets.
    pub fn unset(&self) -> &[Vec<Box<str>>] {
        &self.unset
    }

    /// The source as text: the file's own, or what stands for what was given otherwise.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.form {
            Form::File(document) => Cow::Borrowed(document.raw()),
            Form::Overrides(table) => Cow::Owned(table.to_string()),
        }
    }

    /// Where an item of this source stands, for messages.
    pub fn place(&self, item: &Item) -> String {
        let line = match &self.form {
            Form::File(document) => item.span().map(|span| line_of(document.raw(), span.start)),
            Form::Overrides(_) => None,
        };
        place(&self.name, line)
    }

    fn new(name: &str, form: Form) -> Source {
        Source { name: name.into(), form, unset: Vec::new() }
    }

    /// Sets what a client said, each field of an object by itself.
    fn set(&mut self, path: &mut Vec<String>, json: &serde_json::Value) -> Result<(), ConfigError> {
        if let serde_json::Value::Object(fields) = json
            && !fields.is_empty()
        {
            for (name, value) in fields {
                path.push(name.clone());
                self.set(path, value)?;
                path.pop();
            }
            return Ok(());
        }
        if json.is_null() {
            self.unset.push(path.iter().map(|part| part.as_str().into()).collect());
            return Ok(());
        }
        let value = value::from_json(json).map_err(|why| {
            let path = path.iter().map(|name| Key::new(name).to_string()).collect::<Vec<_>>();
            ConfigError::new(format!("{}: {}: {why}", self.name, path.join(".")))
        })?;
        if let Form::Overrides(table) = &mut self.form {
            insert(table, path, value);
        }
        Ok(())
    }

    /// Checks the keys of a table. Only tables on the way to known keys are entered, so that the
    /// depth is that of the table of keys.
    fn judge<'a>(
        &'a self,
        table: &'a dyn TableLike,
        path: &mut Vec<&'a str>,
        unknown: Unknown,
    ) -> Result<(), ConfigError> {
        if path.len() == 1 && table.len() > CONFIG_ENTRIES_MAX {
            let message = format!("more than {CONFIG_ENTRIES_MAX} entries");
            return Err(ConfigError::new(format!("{}: {}: {message}", self.name, path[0])));
        }
        for (name, item) in table.iter() {
            path.push(name);
            match keys::look(path) {
                Knowledge::Known(kind) => {
                    judge_kind(item, kind).map_err(|why| self.wrong(item, path, &why))?;
                }
                Knowledge::OnTheWay => match item.as_table_like() {
                    Some(inside) => self.judge(inside, path, unknown)?,
                    None => return Err(self.wrong(item, path, &expected("a table", item))),
                },
                Knowledge::Unknown if unknown == Unknown::Refused => {
                    return Err(self.wrong(item, path, "no such key"));
                }
                Knowledge::Unknown => {}
            }
            path.pop();
        }
        Ok(())
    }

    fn wrong(&self, item: &Item, path: &[&str], why: &str) -> ConfigError {
        let path = path.iter().map(|name| Key::new(*name).to_string()).collect::<Vec<_>>();
        ConfigError::new(format!("{}: {}: {why}", self.place(item), path.join(".")))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// Only tables on the way to known keys are entered: the depth is that of the table of keys.
fn visit<'a>(
    table: &'a dyn TableLike,
    path: &mut Vec<&'a str>,
    each: &mut dyn FnMut(&[&'a str], &'a Item, Knowledge),
) {
    for (name, item) in table.iter() {
        path.push(name);
        match (keys::look(path), item.as_table_like()) {
            (Knowledge::OnTheWay, Some(inside)) => visit(inside, path, each),
            (knowledge, _) => each(path, item, knowledge),
        }
        path.pop();
    }
}

/// Checks one value against its kind.
fn judge_kind(item: &Item, kind: Kind) -> Result<(), String> {
    let is_text = |value: &Value| value.as_str().is_some();
    let right = match kind {
        Kind::Any => true,
        Kind::Text => item.is_str(),
        Kind::Flag => item.is_bool(),
        Kind::Count => item.as_integer().is_some_and(|number| number >= 0),
        Kind::Time => match (item.as_str(), item.as_integer()) {
            (Some(text), _) => return flags::duration_ms(text).map(|_| ()),
            (None, Some(seconds)) => {
                return flags::duration_ms(&seconds.to_string()).map(|_| ());
            }
            (None, None) => false,
        },
        Kind::Texts => item.as_array().is_some_and(|array| array.iter().all(is_text)),
        Kind::Table => item.is_table_like(),
        Kind::TextMap => match item.as_table_like() {
            Some(table) => match table.iter().find(|(_, item)| !item.is_str()) {
                Some((name, item)) => {
                    let name = Key::new(name);
                    return Err(format!("{name}: {}", expected(Kind::Text.described(), item)));
                }
                None => true,
            },
            None => false,
        },
        Kind::Choice(words) => match item.as_str() {
            Some(word) if words.contains(&word) => true,
            Some(word) => {
                let short: String = word.chars().take(40).collect();
                return Err(format!("{short:?} is not one of {}", words.join(", ")));
            }
            None => false,
        },
    };
    if !right {
        return Err(expected(kind.described(), item));
    }
    let entries = item.as_array().map_or(0, toml_edit::Array::len);
    let entries = entries.max(item.as_table_like().map_or(0, |table| table.len()));
    if entries > CONFIG_ENTRIES_MAX {
        return Err(format!("more than {CONFIG_ENTRIES_MAX} entries"));
    }
    Ok(())
}

fn expected(described: &str, item: &Item) -> String {
    format!("expected {described}, found {}", found(item))
}

fn found(item: &Item) -> &'static str {
    match item.type_name() {
        "string" => "text",
        "integer" => "a whole number",
        "float" => "a fraction",
        "boolean" => "true or false",
        "datetime" => "a date",
        "array" => "a list",
        "inline table" | "table" => "a table",
        "array of tables" => "a list of tables",
        _ => "nothing",
    }
}

/// Splits `key=value`; the value is TOML, or else plain text without surrounding quotes.
fn read_pair(pair: &str) -> Result<(Vec<String>, Value), ConfigError> {
    let Some((key, value)) = pair.split_once('=') else {
        let short: String = pair.chars().take(40).collect();
        return Err(ConfigError::new(format!("-c {short:?}: expected key=value")));
    };
    let key = key.trim();
    let path = match Key::parse(key) {
        Ok(parts) => parts.iter().map(|part| part.get().to_owned()).collect(),
        Err(_) => key.split('.').map(str::to_owned).collect::<Vec<_>>(),
    };
    if path.len() > CONFIG_KEY_PARTS_MAX || path.iter().any(String::is_empty) {
        let short: String = key.chars().take(40).collect();
        return Err(ConfigError::new(format!("-c {short:?}: not a key")));
    }
    let value = value.trim();
    let value = value.parse().unwrap_or_else(|_| Value::from(without_quotes(value)));
    Ok((path, value))
}

fn without_quotes(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inside;
        }
    }
    text
}

/// Puts a value at a path, making the tables on the way; what stood in the way gives way.
fn insert(table: &mut Table, path: &[String], value: Value) {
    let Some((last, tables)) = path.split_last() else { return };
    let mut table: &mut dyn TableLike = table;
    for name in tables {
        let item = table.entry(name).or_insert_with(toml_edit::table);
        if !item.is_table_like() {
            *item = toml_edit::table();
        }
        let Some(inside) = item.as_table_like_mut() else {
            unreachable!("the item was just made a table");
        };
        table = inside;
    }
    table.insert(last, Item::Value(value));
}

fn unknown_feature(name: &str) -> ConfigError {
    let short: String = name.chars().take(40).collect();
    let names = FEATURES.iter().map(|(name, _)| *name);
    ConfigError::new(match args::suggestion(name, names.clone()) {
        Some(close) => format!("unknown feature {short:?}; did you mean {close}?"),
        None => {
            format!("unknown feature {short:?}; known: {}", names.collect::<Vec<_>>().join(", "))
        }
    })
}

fn place(name: &str, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{name} line {line}"),
        None => name.to_owned(),
    }
}

fn line_of(text: &str, offset_bytes: usize) -> usize {
    let before = text.as_bytes().iter().take(offset_bytes);
    1 + before.filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        match Source::from_text("c.toml", text, Unknown::Ignored) {
            Ok(_) => panic!("{text:?} was taken"),
            Err(error) => error.to_string(),
        }
    }

    fn overrides(pairs: &[&str]) -> Result<Source, ConfigError> {
        let pairs: Vec<_> = pairs.iter().map(|pair| Override::Pair((*pair).into())).collect();
        Source::from_overrides(&pairs, Unknown::Ignored)
    }

    #[test]
    fn wrong_types_name_key_and_line() {
        let cases = [
            ("model = 5", "c.toml line 1: model: expected text in quotes, found a whole number"),
            ("\n\nsandbox_mode = 'ro'", "c.toml line 3: sandbox_mode: \"ro\" is not one of"),
            ("[history]\nmax_bytes = -1", "c.toml line 2: history.max_bytes: expected a whole"),
            ("features = 1", "c.toml line 1: features: expected a table, found a whole number"),
            ("notify = ['a', 1]", "notify: expected a list of texts"),
            (
                "[model_providers.x]\nhttp_headers = { A = 1 }",
                "x.http_headers: A: expected text in quotes",
            ),
            ("[model_providers.'a b']\nname = true", "c.toml line 2: model_providers.\"a b\".name"),
            ("[profiles.p]\nmodel = 1", "c.toml line 2: profiles.p.model"),
            ("model = ", "c.toml line 1: "),
            ("a = 1\nb = [", "c.toml line 2: "),
            ("model = 'a'\nmodel = 'b'", "c.toml line 2: "),
        ];
        for (text, part) in cases {
            let message = wrong(text);
            assert!(message.contains(part), "{text:?}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn unknown_keys_are_ignored_unless_told_otherwise() {
        let text = "disable_response_storage = 1\n[shiny]\nnew = [1]\n[features]\nfuture = {}\n";
        assert!(Source::from_text("c.toml", text, Unknown::Ignored).is_ok());
        let error = Source::from_text("c.toml", text, Unknown::Refused).expect_err("unknown");
        assert_eq!(&*error.0, "c.toml line 1: disable_response_storage: no such key");
    }

    #[test]
    fn oversized_and_overdeep_texts_are_refused() {
        assert!(wrong(&" ".repeat(CONFIG_FILE_BYTES_MAX + 1)).contains("larger than"));
        wrong(&format!("a = {}", "[".repeat(100_000)));
        wrong(&format!("{}a = 1", "a.".repeat(100_000)));
        let many = (0..=CONFIG_ENTRIES_MAX).map(|index| format!("[model_providers.p{index}]\n"));
        assert!(wrong(&many.collect::<String>()).contains("entries"));
        let list = "'x',".repeat(CONFIG_ENTRIES_MAX + 1);
        assert!(wrong(&format!("notify = [{list}]")).contains("entries"));
    }

    #[test]
    fn overrides_are_toml_or_else_text() {
        let source = overrides(&[
            "model=gpt-5.1",
            "model_reasoning_effort=\"high\"",
            "sandbox_workspace_write.network_access=true",
            "project_doc_max_bytes = 7",
            "notify=[\"a\", \"b\"]",
            "model_providers.\"a.b\".name='n'",
            "review_model=\"broken",
            "made.up.key=x",
        ])
        .expect("sound");
        let text = |path: &[&str]| source.find(path).and_then(Item::as_str);
        assert_eq!(text(&["model"]), Some("gpt-5.1"));
        assert_eq!(text(&["model_reasoning_effort"]), Some("high"));
        assert_eq!(text(&["model_providers", "a.b", "name"]), Some("n"));
        assert_eq!(text(&["review_model"]), Some("\"broken"));
        let network = source.find(&["sandbox_workspace_write", "network_access"]);
        assert_eq!(network.and_then(Item::as_bool), Some(true));
        assert_eq!(source.find(&["project_doc_max_bytes"]).and_then(Item::as_integer), Some(7));
    }

    #[test]
    fn a_value_cannot_smuggle_in_another_key() {
        let source = overrides(&["made_up=1\nmodel = 'x'"]).expect("sound");
        assert!(source.find(&["model"]).is_none());
    }

    #[test]
    fn wrong_overrides_are_refused() {
        let deep = format!("{}=1", ["a"; CONFIG_KEY_PARTS_MAX + 1].join("."));
        for (pair, part) in [
            ("model", "expected key=value"),
            ("=x", "not a key"),
            ("a..b=x", "not a key"),
            ("model=5", "-c: model: expected text"),
            ("model_providers=5", "expected a table"),
            (&deep, "not a key"),
        ] {
            let message = overrides(&[pair]).expect_err(pair).to_string();
            assert!(message.contains(part), "{pair}: {message}");
        }
    }

    #[test]
    fn features_are_named_as_they_are_known() {
        let feature = |name: &str| [Override::Feature { name: name.into(), enabled: true }];
        let source = Source::from_overrides(&feature("file_tools"), Unknown::Ignored);
        let source = source.expect("sound");
        let item = source.find(&["features", "file_tools"]);
        assert_eq!(item.and_then(Item::as_bool), Some(true));
        let error = Source::from_overrides(&feature("file_tool"), Unknown::Ignored);
        assert!(error.expect_err("unknown").to_string().contains("did you mean file_tools?"));
    }

    #[test]
    fn a_later_override_replaces_what_stands_in_its_way() {
        let source = overrides(&["a=1", "a.b=2", "a.c.d=3", "a.b=4"]).expect("sound");
        assert_eq!(source.find(&["a", "b"]).and_then(Item::as_integer), Some(4));
        assert_eq!(source.find(&["a", "c", "d"]).and_then(Item::as_integer), Some(3));
    }
}
