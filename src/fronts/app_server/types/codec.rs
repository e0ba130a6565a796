//! How the protocol's values become JSON and come back.
//!
//! Each type of the protocol is [`Typed`]; the macros in `declare` write that from its declaration.
//! Reading walks one level at a time over borrowed text and names the field that is wrong. Fields
//! that no type declares are ignored, so newer clients may say more than we know.
//!
//! A fault does not end the reading of a value: the first one is noted, and what cannot be read is
//! made up, for nobody to see. So reading a record is a list of calls and nothing between them,
//! which over hundreds of records halves the code.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::limits::{PROTOCOL_ELEMENTS_MAX, PROTOCOL_WORD_BYTES_MAX};
use crate::wire::json::{self, Elements, Fields};

/// A value with one JSON form.
pub trait Typed: Sized {
    /// Whether a field that is not there is as good as one that is null.
    const MAY_BE_ABSENT: bool = false;

    /// Reads a value, or notes a fault and makes a value up.
    fn read(json: &str, noted: &mut Noted) -> Self;
    fn encode(&self, out: &mut Vec<u8>);

    fn decode(json: &str) -> Result<Self, Fault> {
        let mut noted = Noted::default();
        let value = Self::read(json, &mut noted);
        noted.judge(value)
    }

    /// Whether a field with this value is not written at all.
    fn is_left_out(&self) -> bool {
        false
    }
}

/// A value whose JSON is an object, so that others can lie in the same braces.
pub trait Record: Sized {
    fn of(object: &mut Object<'_>) -> Self;
    fn fill(&self, fields: &mut Fields<'_>);
}

pub type Text = Box<str>;

/// A whole number that TypeScript is to take for a `bigint`.
pub type Big = i64;

pub type Map<T> = BTreeMap<Box<str>, T>;

/// Any JSON, in one line. Invariant: it is JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Json(Box<str>);

/// A field that is left out rather than null.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Maybe<T>(pub Option<T>);

/// A field that a client may leave out, which then has its type's default.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Preset<T>(pub T);

/// What is wrong with a value, and where in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Fields and indices from the outside in; empty for the value itself.
    path: String,
    wrong: Wrong,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    Missing,
    /// The JSON is of another kind than what is named here.
    Not(&'static str),
    /// None of the words that may stand here.
    Unknown(Box<str>),
    TooMany,
}

/// The first fault of what is being read.
#[derive(Default, Debug)]
pub struct Noted(Option<Fault>);

/// An object's fields as they stand in the text.
#[derive(Debug)]
pub struct Object<'a> {
    fields: Vec<(&'a str, &'a str)>,
    noted: &'a mut Noted,
}

/// A value that is `"word"`, or `{"word": body}`.
#[derive(Debug)]
pub struct Outer<'a> {
    word: Cow<'a, str>,
    body: Option<&'a str>,
    noted: &'a mut Noted,
}

/// A word with the others that are read for it.
pub type Word = (&'static Name, &'static [&'static str]);

/// How a name in Rust is spelled in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    Camel,
    Snake,
    Kebab,
    Lower,
    Exact,
}

/// The name of a field or variant, as Rust has it, and its way to JSON.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// Or the word itself where no rule leads to it.
    rust: &'static str,
    case: Case,
}

impl Case {
    /// Spells a name. `_` parts words; a leading one stands for itself.
    pub fn spell(self, rust: &str) -> String {
        let rust = rust.trim_start_matches("r#");
        if self == Case::Exact {
            return rust.to_owned();
        }
        let mut out = String::with_capacity(rust.len() + 4);
        let mut starts = false;
        for character in rust.chars() {
            if character == '_' && !out.is_empty() && self != Case::Snake {
                starts = true;
                continue;
            }
            starts |= character.is_ascii_uppercase() && !out.is_empty();
            match self {
                Case::Camel if starts => out.push(character.to_ascii_uppercase()),
                Case::Snake if starts => out.extend(['_', character.to_ascii_lowercase()]),
                Case::Kebab if starts => out.extend(['-', character.to_ascii_lowercase()]),
                Case::Camel | Case::Snake | Case::Kebab | Case::Lower | Case::Exact => {
                    out.push(character.to_ascii_lowercase());
                }
            }
            starts = false;
        }
        out
    }
}

impl Name {
    pub const fn new(rust: &'static str, case: Case, fixed: &[&'static str]) -> Name {
        match fixed {
            [word, ..] => Name { rust: word, case: Case::Exact },
            [] => Name { rust, case },
        }
    }

    pub fn spelled(&self) -> Cow<'static, str> {
        match self.case {
            Case::Exact => Cow::Borrowed(self.rust.trim_start_matches("r#")),
            case => Cow::Owned(case.spell(self.rust)),
        }
    }

    pub fn is(&self, word: &str) -> bool {
        *self.spelled() == *word
    }
}

impl Fault {
    fn missing() -> Fault {
        Fault { path: String::new(), wrong: Wrong::Missing }
    }

    fn not(expected: &'static str) -> Fault {
        Fault { path: String::new(), wrong: Wrong::Not(expected) }
    }

    pub fn unknown(word: &str) -> Fault {
        Fault { path: String::new(), wrong: Wrong::Unknown(clipped(word).into()) }
    }

    fn too_many() -> Fault {
        Fault { path: String::new(), wrong: Wrong::TooMany }
    }

    /// The same fault, seen from outside the field it is in.
    #[must_use]
    pub fn within(mut self, field: &str) -> Fault {
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, field);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        match &self.wrong {
            Wrong::Missing => formatter.write_str("missing"),
            Wrong::Not(expected) => write!(formatter, "expected {expected}"),
            Wrong::Unknown(word) => write!(formatter, "unknown word {word:?}"),
            Wrong::TooMany => write!(formatter, "more than {PROTOCOL_ELEMENTS_MAX} elements"),
        }
    }
}

impl Noted {
    /// Whether nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.0.is_none()
    }

    fn note(&mut self, fault: Fault) {
        self.0.get_or_insert(fault);
    }

    /// Notes that a value is of another kind.
    fn not(&mut self, expected: &'static str) {
        self.note(Fault::not(expected));
    }

    /// Says of a fault that came up since all was clean where it is.
    fn place(&mut self, was_clean: bool, field: &dyn Fn() -> Cow<'static, str>) {
        if was_clean {
            self.0 = self.0.take().map(|fault| fault.within(&field()));
        }
    }

    /// Notes the fault of a value that was tried.
    pub fn adopt(&mut self, tried: Noted) {
        self.0 = self.0.take().or(tried.0);
    }

    /// The value, if nothing is wrong with it.
    pub fn judge<T>(self, value: T) -> Result<T, Fault> {
        self.0.map_or(Ok(value), Err)
    }
}

impl<'a> Object<'a> {
    pub fn read(json: &'a str, noted: &'a mut Noted) -> Object<'a> {
        let mut fields = Vec::new();
        let mut over = false;
        let read = json::fields(json, &mut |name, value| {
            over |= fields.len() == PROTOCOL_ELEMENTS_MAX;
            if !over {
                fields.push((name, value));
            }
        });
        match read {
            Err(json::NotJson) => noted.not("an object"),
            Ok(()) if over => noted.note(Fault::too_many()),
            Ok(()) => {}
        }
        Object { fields, noted }
    }

    /// A field's value; of fields that come twice the last one counts.
    fn find(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Reads a field. Early clients of v2 wrote some names in snake case; they are heard too.
    pub fn take<T: Typed>(&mut self, name: &'static Name) -> T {
        let was_clean = self.noted.is_clean();
        let json = match self.named(name) {
            Some(json) => json,
            None if T::MAY_BE_ABSENT => "null",
            None => self.missing(),
        };
        let value = T::read(json, self.noted);
        self.noted.place(was_clean, &|| name.spelled());
        value
    }

    fn named(&self, name: &Name) -> Option<&'a str> {
        self.find(&name.spelled()).or_else(|| self.find(name.rust))
    }

    /// What is read where nothing is: no value's JSON.
    fn missing(&mut self) -> &'static str {
        self.noted.note(Fault::missing());
        ""
    }

    /// Which of several this is, by a word. The same early clients call it `mode`.
    pub fn which(&mut self, tag: &'static str, words: &[Word]) -> usize {
        let was_clean = self.noted.is_clean();
        let json = self.find(tag).or_else(|| self.find("mode"));
        let json = json.unwrap_or_else(|| self.missing());
        let which = one_of(json, words, self.noted);
        self.noted.place(was_clean, &|| Cow::Borrowed(tag));
        which
    }
}

impl<'a> Outer<'a> {
    pub fn read(json: &'a str, noted: &'a mut Noted) -> Outer<'a> {
        if json.starts_with('"') {
            return Outer { word: word(json, noted), body: None, noted };
        }
        let object = Object::read(json, noted);
        let (word, body) = match object.fields.as_slice() {
            [(name, body)] => (*name, Some(*body)),
            _ => {
                object.noted.not("a word, or an object with one field");
                ("", None)
            }
        };
        Outer { word: Cow::Borrowed(word), body, noted: object.noted }
    }

    /// Which of these the word is.
    pub fn which(&mut self, words: &[Word]) -> usize {
        place_of(&self.word, words, self.noted)
    }

    pub fn body<T: Typed>(&mut self) -> T {
        self.inside(&mut |body, noted| T::read(body, noted))
    }

    pub fn take<T: Typed>(&mut self, name: &'static Name) -> T {
        self.inside(&mut |body, noted| Object::read(body, noted).take(name))
    }

    fn inside<T>(&mut self, read: &mut dyn FnMut(&str, &mut Noted) -> T) -> T {
        let was_clean = self.noted.is_clean();
        let Some(body) = self.body else {
            self.noted.not("an object");
            return read("", self.noted);
        };
        let value = read(body, self.noted);
        self.noted.place(was_clean, &|| Cow::Owned(self.word.to_string()));
        value
    }

    /// Writes such a value; one without a body is the word alone.
    pub fn write(name: &Name, body: &[u8], out: &mut Vec<u8>) {
        if body.is_empty() {
            return json::string(&name.spelled(), out);
        }
        let mut fields = Fields::open(out);
        fields.key(&name.spelled()).extend_from_slice(body);
        fields.close();
    }
}

impl Json {
    /// Takes a text that may be JSON.
    pub fn read(text: &str) -> Option<Json> {
        json::is_json(text).then(|| Json(json::compacted(text)))
    }

    /// The JSON of a value.
    pub fn of(value: &impl Typed) -> Json {
        let mut out = Vec::new();
        value.encode(&mut out);
        Json(String::from_utf8_lossy(&out).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Typed for Json {
    fn read(json: &str, noted: &mut Noted) -> Json {
        Json::read(json).unwrap_or_else(|| {
            noted.not("JSON");
            Json("null".into())
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

impl Typed for Text {
    fn read(json: &str, noted: &mut Noted) -> Text {
        json::boxed(json).unwrap_or_else(|| {
            noted.not("a string");
            Text::default()
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        json::string(self, out);
    }
}

impl Typed for bool {
    fn read(json: &str, noted: &mut Noted) -> bool {
        json.parse().unwrap_or_else(|_| {
            noted.not("true or false");
            false
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

macro_rules! whole_numbers {
    ($($number:ty: $expected:literal),*) => {
        $(impl Typed for $number {
            fn read(json: &str, noted: &mut Noted) -> $number {
                json.parse().unwrap_or_else(|_| {
                    noted.not($expected);
                    0
                })
            }

            fn encode(&self, out: &mut Vec<u8>) {
                json::number(*self, out);
            }
        })*
    };
}

whole_numbers! {
    i64: "a whole number",
    i32: "a whole number of 32 bits",
    u32: "a whole number from 0 to 4294967295",
    u16: "a whole number from 0 to 65535"
}

impl Typed for f64 {
    fn read(json: &str, noted: &mut Noted) -> f64 {
        // What Rust takes for a number and JSON does not begins with another letter.
        let starts = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let parsed = if starts { json.parse().ok() } else { None };
        parsed.filter(|value: &f64| value.is_finite()).unwrap_or_else(|| {
            noted.not("a number");
            0.0
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        json::float(*self, out);
    }
}

impl<T: Typed> Typed for Option<T> {
    const MAY_BE_ABSENT: bool = true;

    fn read(json: &str, noted: &mut Noted) -> Option<T> {
        if json == "null" { None } else { Some(T::read(json, noted)) }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl<T: Typed> Typed for Maybe<T> {
    const MAY_BE_ABSENT: bool = true;

    fn read(json: &str, noted: &mut Noted) -> Maybe<T> {
        Maybe(Option::read(json, noted))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn is_left_out(&self) -> bool {
        self.0.is_none()
    }
}

impl<T: Typed + Default> Typed for Preset<T> {
    const MAY_BE_ABSENT: bool = true;

    fn read(json: &str, noted: &mut Noted) -> Preset<T> {
        Preset(Option::read(json, noted).unwrap_or_default())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl<T: Typed> Typed for Vec<T> {
    fn read(json: &str, noted: &mut Noted) -> Vec<T> {
        let mut values = Vec::new();
        let read = json::elements(json, &mut |element| {
            if !noted.is_clean() {
                return;
            }
            if values.len() == PROTOCOL_ELEMENTS_MAX {
                noted.note(Fault::too_many());
                return;
            }
            let index = values.len();
            values.push(T::read(element, noted));
            noted.place(true, &|| format!("[{index}]").into());
        });
        if read.is_err() {
            noted.not("an array");
        }
        values
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut elements = Elements::open(out);
        for value in self {
            value.encode(elements.element());
        }
        elements.close();
    }
}

impl<T: Typed> Typed for Map<T> {
    fn read(json: &str, noted: &mut Noted) -> Map<T> {
        let mut values = Map::new();
        let object = Object::read(json, noted);
        for (name, value) in object.fields {
            let name = json::boxed(&format!("\"{name}\"")).unwrap_or_default();
            let was_clean = object.noted.is_clean();
            let value = T::read(value, object.noted);
            object.noted.place(was_clean, &|| clipped(&name).into());
            values.insert(name, value);
        }
        values
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut fields = Fields::open(out);
        for (name, value) in self {
            value.encode(fields.key(name));
        }
        fields.close();
    }
}

/// Writes a field, unless it is one to be left out.
pub fn put(value: &impl Typed, name: &Name, fields: &mut Fields<'_>) {
    if !value.is_left_out() {
        value.encode(fields.key(&name.spelled()));
    }
}

/// Decodes a method's parameters; none at all are as good as an empty object.
pub fn params<T: Typed>(params: Option<&str>, noted: &mut Noted) -> T {
    let params = params.filter(|params| *params != "null").unwrap_or("{}");
    let value = T::read(params, noted);
    noted.place(true, &|| Cow::Borrowed("params"));
    value
}

/// Which of these words a string is.
pub fn one_of(json: &str, words: &[Word], noted: &mut Noted) -> usize {
    place_of(&word(json, noted), words, noted)
}

/// Writes the field that says which of several an object is.
pub fn put_tag(tag: &str, name: &Name, fields: &mut Fields<'_>) {
    fields.text(tag, &name.spelled());
}

fn place_of(word: &str, words: &[Word], noted: &mut Noted) -> usize {
    let is = |(name, others): &Word| name.is(word) || others.contains(&word);
    words.iter().position(is).unwrap_or_else(|| {
        noted.note(Fault::unknown(word));
        0
    })
}

fn word<'a>(json: &'a str, noted: &mut Noted) -> Cow<'a, str> {
    json::text(json).unwrap_or_else(|| {
        noted.not("a string");
        Cow::Borrowed("")
    })
}

fn clipped(word: &str) -> String {
    word.chars().take(PROTOCOL_WORD_BYTES_MAX / 4).collect()
}
