//! Reads what was written into a journal, and expects exactly that.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::str::FromStr;

use crate::wire::json;

/// What can be read back from a journal.
pub trait Take<'a>: Sized {
    fn take(from: &mut Reading<'a>) -> Self;
}

/// One line being read.
///
/// The first damage is kept; after it everything reads as nothing. Whoever reads a line asks in the
/// end whether it was whole.
#[derive(Debug)]
pub struct Reading<'a> {
    line: &'a str,
    at: usize,
    damage: Option<Damage>,
    /// Holds the one text of an input that is borrowed, if it could not be lent from the line.
    lent: &'a OnceCell<String>,
}

/// A line does not say what a journal would.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// From the start of the line.
    pub at_bytes: usize,
    pub expected: &'static str,
    /// The line just ends there.
    pub at_end: bool,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "byte {}: there should be {}", self.at_bytes + 1, self.expected)
    }
}

impl<'a> Reading<'a> {
    pub fn new(line: &'a str, lent: &'a OnceCell<String>) -> Reading<'a> {
        Reading { line, at: 0, damage: None, lent }
    }

    /// Whether all so far was what it should be.
    pub fn check(&self) -> Result<(), Damage> {
        self.damage.map_or(Ok(()), Err)
    }

    pub fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }

    /// What is not read yet; nothing after damage.
    pub fn rest(&self) -> &'a str {
        if self.is_damaged() { "" } else { &self.line[self.at..] }
    }

    /// Here should have been something else.
    pub fn damage(&mut self, expected: &'static str) {
        let at_end = "null".starts_with(self.rest());
        self.damage_at(at_end, expected);
    }

    fn damage_at(&mut self, at_end: bool, expected: &'static str) {
        self.damage.get_or_insert(Damage { at_bytes: self.at, expected, at_end });
    }

    /// Reads this, if it comes next.
    pub fn follows(&mut self, json: &str) -> bool {
        let follows = self.rest().starts_with(json);
        if follows {
            self.at += json.len();
        }
        follows
    }

    pub fn expect(&mut self, json: &'static str) {
        if !self.follows(json) {
            let at_end = json.starts_with(self.rest());
            self.damage_at(at_end, json);
        }
    }

    /// Reads the beginning of the only variant that is left.
    pub fn expect_variant(&mut self, json: &'static str, expected: &'static str) {
        if !self.follows(json) {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"{\":".contains(&byte);
            let at_end = self.rest().bytes().all(is_name);
            self.damage_at(at_end, expected);
        }
    }

    /// The counterpart of `Out::name`.
    pub fn name(&mut self, name: &'static str) {
        if !self.line[..self.at].ends_with('{') {
            self.expect(",");
        }
        let at = self.at;
        if self.bare() != name {
            self.at = at;
            self.damage(name);
        }
        self.expect(":");
    }

    /// A string as it stands between its quotes.
    pub fn bare(&mut self) -> &'a str {
        let quoted = self.quoted();
        &quoted[1..quoted.len() - 1]
    }

    /// A string with its quotes.
    pub fn quoted(&mut self) -> &'a str {
        let rest = self.rest();
        if !rest.starts_with('"') {
            self.damage("a string");
            return "\"\"";
        }
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else {
            self.damage_at(true, "the end of a string");
            return "\"\"";
        };
        self.at += end + 2;
        &rest[..end + 2]
    }

    pub fn text(&mut self) -> Cow<'a, str> {
        json::text(self.quoted()).unwrap_or_default()
    }

    /// A number or word: all up to what must come after it.
    pub fn scalar<T: FromStr + Default>(&mut self, expected: &'static str) -> T {
        let rest = self.rest();
        let end = rest.find([',', ']', '}']);
        let value = rest[..end.unwrap_or(0)].parse();
        match (end, value) {
            (Some(end), Ok(value)) => {
                self.at += end;
                value
            }
            (end, _) => {
                self.damage_at(end.is_none(), expected);
                T::default()
            }
        }
    }

    /// Keeps a text for as long as the line.
    pub fn lend(&mut self, text: String) -> &'a str {
        if self.lent.set(text).is_err() {
            self.damage("at most one lent text");
        }
        self.lent.get().map_or("", String::as_str)
    }
}
