//! The declarations of the protocol, read from their own text.
//!
//! `types` keeps the text of what it declares; here it becomes a table that schemas are written
//! from. The grammar is the one in `types::declare`. The text is ours, so what does not fit the
//! grammar cannot come up; a test reads all of it.

use std::collections::BTreeSet;

use crate::fronts::app_server::types::codec::Case;
use crate::fronts::app_server::types::{events, methods, v1, v2, v2_items};

/// Where declarations are exported to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Space {
    /// For both protocols, each with a schema of its own.
    Shared,
    First,
    Second,
    /// Of the second protocol, but with the shared schemas.
    Approvals,
}

#[derive(Debug)]
pub struct Declared {
    pub name: &'static str,
    pub space: Space,
    /// It has no name outside: it is written out where it is used.
    pub inline: bool,
    pub shape: Shape,
}

#[derive(Debug)]
pub enum Shape {
    Record(Vec<Field>),
    Both(Vec<Kind>),
    Words(Vec<String>),
    Tagged { tag: &'static str, variants: Vec<Variant> },
    Outer(Vec<Variant>),
    Either(Vec<Kind>),
    Alias(Kind),
    Requests(Vec<Method>),
    Notices(Vec<Method>),
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug)]
pub struct Variant {
    pub word: String,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Nothing,
    Fields(Vec<Field>),
    Part(Kind),
}

#[derive(Debug)]
pub struct Method {
    pub name: &'static str,
    pub params: Option<Kind>,
    pub answer: Option<Kind>,
}

/// A type as a field has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    Text,
    Bool,
    /// A whole number, by its name in Rust.
    Whole(&'static str),
    Big,
    Float,
    Json,
    List(Box<Kind>),
    Map(Box<Kind>),
    Nullable(Box<Kind>),
    Maybe(Box<Kind>),
    Preset(Box<Kind>),
    Named {
        second: bool,
        name: &'static str,
    },
}

/// All declarations.
#[derive(Debug)]
pub struct Table {
    pub declared: Vec<Declared>,
}

const TEXTS: [(Space, &str); 8] = [
    (Space::Shared, v1::SHARED),
    (Space::Shared, events::MESSAGES),
    (Space::Shared, methods::METHODS),
    (Space::First, v1::V1),
    (Space::First, events::EVENTS),
    (Space::Second, v2::V2),
    (Space::Second, v2_items::V2_ITEMS),
    (Space::Approvals, v2_items::V2_APPROVALS),
];

impl Space {
    /// Whether names are looked up in the second protocol first.
    pub fn is_second(self) -> bool {
        matches!(self, Space::Second | Space::Approvals)
    }
}

impl Table {
    /// Reads the declarations and keeps those that a method or a shared one leads to.
    pub fn read() -> Table {
        let mut declared = Vec::new();
        for (space, text) in TEXTS {
            let mut reader = Reader { rest: text, space };
            while let Some(declaration) = reader.declaration() {
                declared.push(declaration);
            }
        }
        let mut table = Table { declared };
        let reached = table.reached();
        let mut index = 0;
        table.declared.retain(|_| {
            index += 1;
            reached.contains(&(index - 1))
        });
        table
    }

    /// The declaration that a name stands for.
    pub fn find(&self, second: bool, name: &str) -> Option<&Declared> {
        let named = |declared: &&Declared| declared.name == name;
        let own = self.declared.iter().filter(|declared| declared.space.is_second() == second);
        own.clone().find(named).or_else(|| {
            self.declared.iter().filter(|declared| !declared.space.is_second()).find(named)
        })
    }

    fn reached(&self) -> BTreeSet<usize> {
        let place = |kind: &Kind| match kind {
            Kind::Named { second, name } => {
                let found = self.find(*second, name)?;
                self.declared.iter().position(|declared| std::ptr::eq(declared, found))
            }
            _ => None,
        };
        let shared =
            |index: &usize| matches!(self.declared[*index].space, Space::Shared | Space::Approvals);
        let mut open: Vec<usize> = (0..self.declared.len()).filter(shared).collect();
        let mut reached = BTreeSet::new();
        while let Some(index) = open.pop() {
            if reached.insert(index) {
                self.declared[index].each_kind(&mut |kind| open.extend(place(kind)));
            }
        }
        reached
    }

    /// The types that methods name: parameters, answers, contents of notifications.
    pub fn named_by_methods(&self) -> BTreeSet<(Space, &'static str)> {
        let mut named = BTreeSet::new();
        for declared in &self.declared {
            if let Shape::Requests(_) | Shape::Notices(_) = declared.shape {
                declared.each_kind(&mut |kind| {
                    if let Kind::Named { second, name } = kind {
                        named.extend(self.find(*second, name).map(|found| (found.space, *name)));
                    }
                });
            }
        }
        named
    }
}

impl Declared {
    /// Visits every type in it, from the outside in.
    pub fn each_kind(&self, each: &mut dyn FnMut(&Kind)) {
        let mut visit = |kind: &Kind| {
            let mut kind = kind;
            loop {
                each(kind);
                match kind {
                    Kind::List(inner)
                    | Kind::Map(inner)
                    | Kind::Nullable(inner)
                    | Kind::Maybe(inner)
                    | Kind::Preset(inner) => kind = inner,
                    _ => return,
                }
            }
        };
        match &self.shape {
            Shape::Record(fields) => fields.iter().for_each(|field| visit(&field.kind)),
            Shape::Both(kinds) | Shape::Either(kinds) => kinds.iter().for_each(visit),
            Shape::Alias(kind) => visit(kind),
            Shape::Words(_) => {}
            Shape::Tagged { variants, .. } | Shape::Outer(variants) => {
                for variant in variants {
                    match &variant.content {
                        Content::Nothing => {}
                        Content::Fields(fields) => {
                            fields.iter().for_each(|field| visit(&field.kind));
                        }
                        Content::Part(kind) => visit(kind),
                    }
                }
            }
            Shape::Requests(methods) | Shape::Notices(methods) => {
                for method in methods {
                    method.params.iter().chain(&method.answer).for_each(&mut visit);
                }
            }
        }
    }
}

/// Reads one text. What does not fit ends it.
struct Reader {
    rest: &'static str,
    space: Space,
}

impl Reader {
    fn declaration(&mut self) -> Option<Declared> {
        let kind = self.word()?;
        let name = self.word()?;
        let mut how = Vec::new();
        while let Some(word) = self.word() {
            how.push(word);
        }
        self.mark('{').then_some(())?;
        let shape = self.shape(kind, &how)?;
        self.mark('}').then_some(())?;
        Some(Declared { name, space: self.space, inline: kind == "inline", shape })
    }

    fn shape(&mut self, kind: &str, how: &[&'static str]) -> Option<Shape> {
        let case = |index: usize| how.get(index).map_or(Case::Exact, |word| case(word));
        Some(match kind {
            "record" | "inline" => Shape::Record(self.fields(case(0))?),
            "both" => Shape::Both(self.list(|reader| {
                reader.word()?;
                reader.mark(':').then_some(())?;
                reader.kind()
            })?),
            "words" => {
                let variants = self.list(|reader| reader.variant(case(0), Case::Exact))?;
                Shape::Words(variants.into_iter().map(|variant| variant.word).collect())
            }
            "tagged" => Shape::Tagged {
                tag: how.first()?,
                variants: self.list(|reader| reader.variant(case(1), case(2)))?,
            },
            "outer" => Shape::Outer(self.list(|reader| reader.variant(case(0), case(1)))?),
            "either" => Shape::Either(self.list(|reader| {
                reader.word()?;
                reader.part()
            })?),
            "alias" => Shape::Alias(self.kind()?),
            "requests" => Shape::Requests(self.list(Reader::method)?),
            "notices" => Shape::Notices(self.list(Reader::method)?),
            _ => return None,
        })
    }

    /// What lies between here and the closing brace, with commas between.
    fn list<T>(&mut self, mut each: impl FnMut(&mut Reader) -> Option<T>) -> Option<Vec<T>> {
        let mut found = Vec::new();
        while !self.peek().starts_with('}') {
            found.push(each(self)?);
            self.mark(',');
        }
        Some(found)
    }

    fn fields(&mut self, case: Case) -> Option<Vec<Field>> {
        self.list(|reader| {
            let name = case.spell(reader.word()?);
            reader.mark(':').then_some(())?;
            Some(Field { name, kind: reader.kind()? })
        })
    }

    fn variant(&mut self, case: Case, spelling: Case) -> Option<Variant> {
        let mut word = case.spell(self.word()?);
        let content = if self.mark('{') {
            let fields = self.fields(spelling)?;
            self.mark('}').then_some(Content::Fields(fields))?
        } else if self.peek().starts_with('(') {
            Content::Part(self.part()?)
        } else {
            Content::Nothing
        };
        if self.mark('=') {
            word = self.literal()?.to_owned();
        }
        while self.mark('|') {
            self.literal()?;
        }
        Some(Variant { word, content })
    }

    fn method(&mut self) -> Option<Method> {
        self.word()?;
        let params = if self.peek().starts_with('(') { Some(self.part()?) } else { None };
        self.mark('=').then_some(())?;
        let name = self.literal()?;
        let answer = if self.mark('=') {
            self.mark('>').then_some(())?;
            Some(self.kind()?)
        } else {
            None
        };
        Some(Method { name, params, answer })
    }

    fn part(&mut self) -> Option<Kind> {
        self.mark('(').then_some(())?;
        let kind = self.kind()?;
        self.mark(')').then_some(kind)
    }

    fn kind(&mut self) -> Option<Kind> {
        let mut name = self.word()?;
        let mut second = self.space.is_second();
        while self.mark(':') {
            self.mark(':').then_some(())?;
            second = true;
            name = self.word()?;
        }
        if self.mark('<') {
            let inner = Box::new(self.kind()?);
            self.mark('>').then_some(())?;
            return Some(match name {
                "Vec" => Kind::List(inner),
                "Map" => Kind::Map(inner),
                "Option" => Kind::Nullable(inner),
                "Maybe" => Kind::Maybe(inner),
                "Preset" => Kind::Preset(inner),
                _ => return None,
            });
        }
        Some(match name {
            "Text" => Kind::Text,
            "bool" => Kind::Bool,
            "i64" | "i32" | "u32" | "u16" => Kind::Whole(name),
            "Big" => Kind::Big,
            "f64" => Kind::Float,
            "Json" => Kind::Json,
            _ => Kind::Named { second, name },
        })
    }

    fn peek(&mut self) -> &'static str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn word(&mut self) -> Option<&'static str> {
        let rest = self.peek();
        let is_part = |character: char| character.is_alphanumeric() || "_#".contains(character);
        let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn literal(&mut self) -> Option<&'static str> {
        let (literal, rest) = self.peek().strip_prefix('"')?.split_once('"')?;
        self.rest = rest;
        Some(literal)
    }

    fn mark(&mut self, mark: char) -> bool {
        let found = self.peek().strip_prefix(mark);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }
}

fn case(word: &str) -> Case {
    match word {
        "Camel" => Case::Camel,
        "Snake" => Case::Snake,
        "Kebab" => Case::Kebab,
        "Lower" => Case::Lower,
        _ => Case::Exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declaration_is_read_and_reached_and_every_name_is_declared() {
        let mut count = 0;
        for (space, text) in TEXTS {
            let mut reader = Reader { rest: text, space };
            while reader.declaration().is_some() {
                count += 1;
            }
            assert_eq!(reader.peek(), "", "{space:?} is read to its end");
        }
        let table = Table::read();
        assert_eq!(table.declared.len(), count, "nothing is declared that no method leads to");
        for declared in &table.declared {
            declared.each_kind(&mut |kind| {
                if let Kind::Named { second, name } = kind {
                    assert!(table.find(*second, name).is_some(), "{name} in {}", declared.name);
                }
            });
        }
    }

    #[test]
    fn names_are_unique_within_a_protocol() {
        let table = Table::read();
        let mut seen = BTreeSet::new();
        for declared in &table.declared {
            assert!(seen.insert((declared.space.is_second(), declared.name)), "{declared:?}");
        }
    }
}
