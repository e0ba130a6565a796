//! How the protocol's values become JSON and come back.
//!
//! Each type of the protocol is [`Typed`]; the macros in `declare` write that from its declaration.
//! Reading walks one level at a time over borrowed text and names the field that is wrong. Fields
//! that no type declares are ignored, so newer clients may say more than we know.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::limits::{PROTOCOL_ELEMENTS_MAX, PROTOCOL_WORD_BYTES_MAX};
use crate::wire::json::{self, Elements, Fields};

/// A value with one JSON form.
pub trait Typed: Sized {
    fn decode(json: &str) -> Result<Self, Fault>;
    fn encode(&self, out: &mut Vec<u8>);

    /// What a field holds that is not there; `None` if it has to be.
    fn absent() -> Option<Self> {
        None
    }

    /// Whether a field with this value is not written at all.
    fn is_left_out(&self) -> bool {
        false
    }
}

/// A value whose JSON is an object, so that others can lie in the same braces.
pub trait Record: Sized {
    fn of(object: &Object<'_>) -> Result<Self, Fault>;
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

/// An object's fields as they stand in the text.
#[derive(Debug)]
pub struct Object<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

/// A value that is `"word"`, or `{"word": body}`.
#[derive(Debug)]
pub struct Outer<'a> {
    word: Cow<'a, str>,
    body: Option<&'a str>,
}

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
    rust: &'static str,
    case: Case,
    /// The word itself where no rule leads to it.
    fixed: Option<&'static str>,
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
    pub fn new(rust: &'static str, case: Case, fixed: &[&'static str]) -> Name {
        Name { rust, case, fixed: fixed.first().copied() }
    }

    pub fn spelled(&self) -> Cow<'static, str> {
        match self.fixed {
            Some(word) => Cow::Borrowed(word),
            None => Cow::Owned(self.case.spell(self.rust)),
        }
    }

    pub fn is(&self, word: &str) -> bool {
        *self.spelled() == *word
    }
}

impl Fault {
    pub fn missing() -> Fault {
        Fault { path: String::new(), wrong: Wrong::Missing }
    }

    pub fn not(expected: &'static str) -> Fault {
        Fault { path: String::new(), wrong: Wrong::Not(expected) }
    }

    pub fn unknown(word: &str) -> Fault {
        let word = word.chars().take(PROTOCOL_WORD_BYTES_MAX / 4).collect::<String>();
        Fault { path: String::new(), wrong: Wrong::Unknown(word.into()) }
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

    fn at(self, index: usize) -> Fault {
        self.within(&format!("[{index}]"))
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

impl<'a> Object<'a> {
    pub fn read(json: &'a str) -> Result<Object<'a>, Fault> {
        let mut fields = Vec::new();
        let mut over = false;
        let read = json::fields(json, &mut |name, value| {
            over |= fields.len() == PROTOCOL_ELEMENTS_MAX;
            if !over {
                fields.push((name, value));
            }
        });
        match read {
            Err(json::NotJson) => Err(Fault::not("an object")),
            Ok(()) if over => Err(Fault::too_many()),
            Ok(()) => Ok(Object { fields }),
        }
    }

    /// A field's value; of fields that come twice the last one counts.
    fn find(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Decodes a field. Early clients of v2 wrote some names in snake case; they are heard too.
    pub fn take<T: Typed>(&self, name: Name) -> Result<T, Fault> {
        let spelled = name.spelled();
        match self.find(&spelled).or_else(|| self.find(name.rust)) {
            Some(value) => T::decode(value).map_err(|fault| fault.within(&spelled)),
            None => T::absent().ok_or_else(|| Fault::missing().within(&spelled)),
        }
    }

    /// The word that says which of several this is. The same early clients call it `mode`.
    pub fn tag(&self, name: &str) -> Result<Cow<'a, str>, Fault> {
        let value = self.find(name).or_else(|| self.find("mode"));
        let value = value.ok_or_else(|| Fault::missing().within(name))?;
        word(value).map_err(|fault| fault.within(name))
    }
}

impl<'a> Outer<'a> {
    pub fn read(json: &'a str) -> Result<Outer<'a>, Fault> {
        if json.starts_with('"') {
            return Ok(Outer { word: word(json)?, body: None });
        }
        match Object::read(json)?.fields.as_slice() {
            [(name, body)] => Ok(Outer { word: Cow::Borrowed(name), body: Some(body) }),
            _ => Err(Fault::not("a word, or an object with one field")),
        }
    }

    pub fn word(&self) -> &str {
        &self.word
    }

    pub fn body<T: Typed>(&self) -> Result<T, Fault> {
        let body = self.body.ok_or_else(|| Fault::not("an object"))?;
        T::decode(body).map_err(|fault| fault.within(&self.word))
    }

    pub fn take<T: Typed>(&self, name: Name) -> Result<T, Fault> {
        let body = self.body.ok_or_else(|| Fault::not("an object"))?;
        let object = Object::read(body).map_err(|fault| fault.within(&self.word))?;
        object.take(name).map_err(|fault| fault.within(&self.word))
    }

    /// Writes such a value; one without a body is the word alone.
    pub fn write(name: Name, body: &[u8], out: &mut Vec<u8>) {
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
    fn decode(json: &str) -> Result<Json, Fault> {
        Json::read(json).ok_or_else(|| Fault::not("JSON"))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

impl Typed for Text {
    fn decode(json: &str) -> Result<Text, Fault> {
        json::boxed(json).ok_or_else(|| Fault::not("a string"))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        json::string(self, out);
    }
}

impl Typed for bool {
    fn decode(json: &str) -> Result<bool, Fault> {
        json.parse().map_err(|_| Fault::not("true or false"))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

macro_rules! whole_numbers {
    ($($number:ty: $expected:literal),*) => {
        $(impl Typed for $number {
            fn decode(json: &str) -> Result<$number, Fault> {
                json.parse().map_err(|_| Fault::not($expected))
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
    fn decode(json: &str) -> Result<f64, Fault> {
        // What Rust takes for a number and JSON does not begins with another letter.
        let starts = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let parsed = if starts { json.parse().ok() } else { None };
        parsed.filter(|value: &f64| value.is_finite()).ok_or_else(|| Fault::not("a number"))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        json::float(*self, out);
    }
}

impl<T: Typed> Typed for Option<T> {
    fn decode(json: &str) -> Result<Option<T>, Fault> {
        if json == "null" { Ok(None) } else { T::decode(json).map(Some) }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

impl<T: Typed> Typed for Maybe<T> {
    fn decode(json: &str) -> Result<Maybe<T>, Fault> {
        Option::decode(json).map(Maybe)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn absent() -> Option<Maybe<T>> {
        Some(Maybe(None))
    }

    fn is_left_out(&self) -> bool {
        self.0.is_none()
    }
}

impl<T: Typed + Default> Typed for Preset<T> {
    fn decode(json: &str) -> Result<Preset<T>, Fault> {
        Option::decode(json).map(|value| Preset(value.unwrap_or_default()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn absent() -> Option<Preset<T>> {
        Some(Preset(T::default()))
    }
}

impl<T: Typed> Typed for Vec<T> {
    fn decode(json: &str) -> Result<Vec<T>, Fault> {
        let mut values = Vec::new();
        let mut fault = None;
        let read = json::elements(json, &mut |element| {
            if fault.is_some() {
                return;
            }
            if values.len() == PROTOCOL_ELEMENTS_MAX {
                fault = Some(Fault::too_many());
                return;
            }
            match T::decode(element) {
                Ok(value) => values.push(value),
                Err(wrong) => fault = Some(wrong.at(values.len())),
            }
        });
        read.map_err(|_| Fault::not("an array"))?;
        fault.map_or(Ok(values), Err)
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
    fn decode(json: &str) -> Result<Map<T>, Fault> {
        let mut values = Map::new();
        for (name, value) in Object::read(json)?.fields {
            let name = json::boxed(&format!("\"{name}\"")).unwrap_or_default();
            let decoded = T::decode(value);
            let clipped = || name.chars().take(PROTOCOL_WORD_BYTES_MAX / 4).collect::<String>();
            let decoded = decoded.map_err(|fault| fault.within(&clipped()))?;
            values.insert(name, decoded);
        }
        Ok(values)
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
pub fn put(value: &impl Typed, name: Name, fields: &mut Fields<'_>) {
    if !value.is_left_out() {
        value.encode(fields.key(&name.spelled()));
    }
}

/// Decodes a method's parameters; none at all are as good as an empty object.
pub fn params<T: Typed>(params: Option<&str>) -> Result<T, Fault> {
    let params = params.filter(|params| *params != "null").unwrap_or("{}");
    T::decode(params).map_err(|fault| fault.within("params"))
}

/// A string as a word to be compared.
pub fn word(json: &str) -> Result<Cow<'_, str>, Fault> {
    json::text(json).ok_or_else(|| Fault::not("a string"))
}
