//! JSON as the codecs of this room write and read it.
//!
//! Writing appends to a byte buffer, always the same bytes for the same values and never a raw line
//! break. Reading walks one level of a document and lends what it finds as slices of the text: no
//! trees, no derived types, an allocation only where a string holds escapes. A `null` reads as
//! absent.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use serde::Deserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// An object being written; [`Fields::close`] ends it.
#[derive(Debug)]
pub struct Fields<'o> {
    out: &'o mut Vec<u8>,
    separator: u8,
}

impl<'o> Fields<'o> {
    pub fn open(out: &'o mut Vec<u8>) -> Fields<'o> {
        Fields { out, separator: b'{' }
    }

    /// Goes on with an object whose first fields are written already.
    pub fn reopen(out: &'o mut Vec<u8>) -> Fields<'o> {
        Fields { out, separator: b',' }
    }

    /// Writes the name; the caller writes exactly one value into what it gets.
    pub fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.push(self.separator);
        self.separator = b',';
        string(name, self.out);
        self.out.push(b':');
        self.out
    }

    pub fn text(&mut self, name: &str, value: &str) {
        string(value, self.key(name));
    }

    pub fn number(&mut self, name: &str, value: u64) {
        number(value, self.key(name));
    }

    pub fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// A value that is JSON already; it is written without line breaks.
    pub fn raw(&mut self, name: &str, json: &str) {
        compact(json, self.key(name));
    }

    pub fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    pub fn number_or_null(&mut self, name: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(name, value),
            None => self.raw(name, "null"),
        }
    }

    /// Writes the text if there is one, else nothing.
    pub fn text_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub fn close(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// An array being written; [`Elements::close`] ends it.
#[derive(Debug)]
pub struct Elements<'o> {
    out: &'o mut Vec<u8>,
    separator: u8,
}

impl<'o> Elements<'o> {
    pub fn open(out: &'o mut Vec<u8>) -> Elements<'o> {
        Elements { out, separator: b'[' }
    }

    /// Makes room for an element; the caller writes exactly one value into what it gets.
    pub fn element(&mut self) -> &mut Vec<u8> {
        self.out.push(self.separator);
        self.separator = b',';
        self.out
    }

    pub fn close(self) {
        if self.separator == b'[' {
            self.out.push(b'[');
        }
        self.out.push(b']');
    }
}

/// Writes a string with its quotes.
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Writes a string's inside.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[written..index]);
        written = index + 1;
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            // Writing into a vector cannot fail.
            let _ = write!(out, "{byte:04x}");
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

pub fn number(value: impl Into<i128>, out: &mut Vec<u8>) {
    // Writing into a vector cannot fail.
    let _ = write!(out, "{}", value.into());
}

/// Writes a number with its fraction; what JSON cannot say becomes 0.
pub fn float(value: f64, out: &mut Vec<u8>) {
    let value = if value.is_finite() { value } else { 0.0 };
    // Writing into a vector cannot fail.
    let _ = write!(out, "{value:?}");
}

/// Writes JSON again without the white space between its parts, hence without line breaks.
pub fn compact(json: &str, out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json.as_bytes() {
        // A control character inside a string is not JSON; whoever sent it, it goes no further.
        if byte < 0x20 || byte == b' ' && !in_string {
            continue;
        }
        out.push(byte);
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            in_string = byte == b'"';
        }
    }
}

/// [`compact`] as a string.
pub fn compacted(json: &str) -> Box<str> {
    let mut out = Vec::with_capacity(json.len());
    compact(json, &mut out);
    String::from_utf8_lossy(&out).into()
}

/// The text is not JSON, or not of the kind that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotJson;

/// Lends each field of an object: its name as it stands between the quotes, and its value.
pub fn fields<'a>(json: &'a str, each: &mut dyn FnMut(&'a str, &'a str)) -> Result<(), NotJson> {
    struct Walk<'f, 'a>(&'f mut dyn FnMut(&'a str, &'a str));
    impl<'a> Visitor<'a> for Walk<'_, 'a> {
        type Value = ();
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }
        fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
            while let Some((key, value)) = map.next_entry::<&'a RawValue, &'a RawValue>()? {
                let key = key.get();
                (self.0)(key.get(1..key.len() - 1).unwrap_or(""), value.get());
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(Walk(each)).and_then(|()| reader.end()).map_err(|_| NotJson)
}

/// Lends each element of an array.
pub fn elements<'a>(json: &'a str, each: &mut dyn FnMut(&'a str)) -> Result<(), NotJson> {
    struct Walk<'f, 'a>(&'f mut dyn FnMut(&'a str));
    impl<'a> Visitor<'a> for Walk<'_, 'a> {
        type Value = ();
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array")
        }
        fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
            while let Some(value) = seq.next_element::<&'a RawValue>()? {
                (self.0)(value.get());
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_seq(Walk(each)).and_then(|()| reader.end()).map_err(|_| NotJson)
}

/// The values of some fields of an object, in the order of their names. Of fields that come twice
/// the last one counts.
pub fn pick<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], NotJson> {
    let mut found = [None; N];
    fields(json, &mut |name, value| {
        if let Some(index) = names.iter().position(|&wanted| wanted == name) {
            found[index] = Some(value).filter(|&value| value != "null");
        }
    })?;
    Ok(found)
}

/// The value of one field of what may be an object.
pub fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let [value] = pick(json, [name]).ok()?;
    value
}

/// Whether the text is one JSON value.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The text of a string; what no Unicode text can hold (half a surrogate pair) becomes U+FFFD.
pub fn text(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    match inside.find('\\') {
        None => Some(Cow::Borrowed(inside)),
        Some(plain) => Some(Cow::Owned(unescape(inside, plain))),
    }
}

/// [`text`], owned.
pub fn boxed(json: &str) -> Option<Box<str>> {
    text(json).map(|text| text.into_owned().into_boxed_str())
}

/// JSON again, with the inside of each string, as it is written, replaced.
pub fn map_strings(json: &str, map: &mut dyn FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(quote) = rest.find('"') {
        let (structure, inside) = rest.split_at(quote + 1);
        let mut escaped = false;
        let end = inside.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.unwrap_or(inside.len());
        out.push_str(structure);
        out.push_str(&map(&inside[..end]));
        out.push('"');
        rest = inside.get(end + 1..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// A number that counts something; fractions are cut off.
pub fn count(json: &str) -> Option<u64> {
    match json.parse() {
        Ok(count) => Some(count),
        Err(_) => json.parse::<f64>().ok().filter(|value| *value >= 0.0).map(|value| value as u64),
    }
}

fn unescape(inside: &str, plain: usize) -> String {
    let mut text = String::with_capacity(inside.len());
    text.push_str(&inside[..plain]);
    let mut rest = &inside[plain..];
    while let Some(index) = rest.find('\\') {
        text.push_str(&rest[..index]);
        let mut after = rest[index + 1..].chars();
        match after.next() {
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('u') => {
                let (character, left) = unescape_unicode(after.as_str());
                text.push(character);
                rest = left;
                continue;
            }
            Some(character) => text.push(character),
            None => text.push('\u{fffd}'),
        }
        rest = after.as_str();
    }
    text.push_str(rest);
    text
}

/// Reads what follows `\u`, and the second half of a pair behind it.
fn unescape_unicode(rest: &str) -> (char, &str) {
    fn unit(rest: &str) -> Option<(u32, &str)> {
        let digits = rest.get(..4)?;
        Some((u32::from_str_radix(digits, 16).ok()?, &rest[4..]))
    }
    let Some((high, rest)) = unit(rest) else {
        return ('\u{fffd}', rest);
    };
    let low = rest.strip_prefix("\\u").and_then(unit);
    if let (0xd800..0xdc00, Some((low @ 0xdc00..0xe000, rest))) = (high, low) {
        let code = 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or('\u{fffd}'), rest);
    }
    (char::from_u32(high).unwrap_or('\u{fffd}'), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_string_reads_back_as_it_was_written() {
        let all: String = (0..0x250)
            .chain([0x2028, 0xfffd, 0x1f600])
            .map(|c| char::from_u32(c).unwrap())
            .collect();
        for sample in ["", "a", "\"", "\\", "\\n", "a\nb\u{0}c\u{1b}[m", "déjà \u{1f600}", &all] {
            let json = written(sample);
            assert_eq!(text(&json).as_deref(), Some(sample));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), sample);
            assert!(!json.contains('\n'));
        }
        assert_eq!(written("a\"\u{1}\u{8}"), r#""a\"\u0001\b""#);
    }

    #[test]
    fn foreign_escapes_are_read() {
        for (json, expected) in [
            (r#""\u0041\/\ud83d\ude00""#, "A/\u{1f600}"),
            (r#""x\ud83dy""#, "x\u{fffd}y"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
        ] {
            assert!(is_json(json), "{json}");
            assert_eq!(text(json).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(text("12"), None);
        assert_eq!(text("\""), None);
    }

    #[test]
    fn a_string_without_escapes_is_borrowed() {
        assert!(matches!(text(r#""plain é""#), Some(Cow::Borrowed("plain é"))));
    }

    #[test]
    fn objects_and_arrays_are_walked_one_level() {
        let found = pick(r#" {"a" : {"b":1} ,"c":null,"d":"x","a":[2]} "#, ["a", "c", "d", "e"]);
        assert_eq!(found, Ok([Some("[2]"), None, Some("\"x\""), None]));
        let mut seen = Vec::new();
        elements(r#"[1, {"a":2}, "x"]"#, &mut |element| seen.push(element)).unwrap();
        assert_eq!(seen, ["1", "{\"a\":2}", "\"x\""]);
        for bad in ["", "[", "{", "{}x", "1", "null", "{\"a\":}", "{\"a\":1"] {
            assert_eq!(pick(bad, ["a"]), Err(NotJson), "{bad}");
            assert_eq!(elements(bad, &mut |_| ()), Err(NotJson), "{bad}");
        }
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(pick(&deep, ["a"]).is_ok());
    }

    #[test]
    fn compact_keeps_strings_and_drops_line_breaks() {
        let json = "{ \"a b\" :\n [ 1,\t\"x \\\" y\\\\\" ] , \"c\":\" \" }";
        assert_eq!(&*compacted(json), r#"{"a b":[1,"x \" y\\"],"c":" "}"#);
        assert_eq!(&*compacted("\"a\nb\""), "\"ab\"");
    }

    #[test]
    fn numbers_are_counts() {
        for (json, expected) in
            [("12", Some(12)), ("3.9", Some(3)), ("-1", None), ("\"1\"", None), ("1e3", Some(1000))]
        {
            assert_eq!(count(json), expected, "{json}");
        }
    }

    #[test]
    fn empty_objects_and_arrays_are_written_whole() {
        let mut out = Vec::new();
        Fields::open(&mut out).close();
        Elements::open(&mut out).close();
        float(f64::NAN, &mut out);
        float(12.0, &mut out);
        assert_eq!(out, b"{}[]0.012.0");
    }
}
