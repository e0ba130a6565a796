//! How values stand in a journal: each type declares its fields once, for writing and for reading.
//!
//! The text is JSON, always the same for the same value: a structure is an object of all its fields
//! in order, a variant its name or an object of just its name. Reading expects exactly what writing
//! gives; whatever differs is damage, and says where. No type is recursive, so neither is reading.

use std::borrow::Cow;
use std::fmt;

use crate::host::journal::blanks::Blanks;
use crate::host::journal::reading::{Reading, Take};
use crate::wire::json;
use crate::words::ids::{
    CallId, ConversationId, FrontId, ItemIndex, OpId, ThreadId, TurnId, TurnName,
};

/// What can be written into a journal.
pub trait Put {
    fn put(&self, out: &mut Out<'_>);

    /// Which variant it is, for enumerations.
    fn variant(&self) -> &'static str {
        ""
    }
}

/// Where values are written.
#[derive(Debug)]
pub struct Out<'o> {
    pub bytes: &'o mut Vec<u8>,
    /// What must not be written.
    pub blanks: &'o Blanks,
    /// What was written so far, if only that is wanted.
    pub digest: Option<Digest>,
}

/// FNV-1a over what would have been written, in words of eight bytes where there are as many.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Digest {
    pub const EMPTY: Digest = Digest(0xcbf2_9ce4_8422_2325);

    fn push(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.mix(u64::from(*byte));
        }
    }

    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
    }
}

impl Out<'_> {
    pub fn raw(&mut self, json: &str) {
        self.bytes.extend_from_slice(json.as_bytes());
    }

    /// A field's name, after a comma unless it is the first one.
    pub fn name(&mut self, name: &str) {
        self.raw(if self.bytes.ends_with(b"{") { "\"" } else { ",\"" });
        self.raw(name);
        self.raw("\":");
    }

    fn text(&mut self, text: &str) {
        let text = self.blanks.blanked(text);
        match &mut self.digest {
            // For a digest a text need not be escaped.
            Some(digest) => {
                digest.push(self.bytes);
                self.bytes.clear();
                digest.push(&(text.len() as u64).to_le_bytes());
                digest.push(text.as_bytes());
            }
            None => json::string(&text, self.bytes),
        }
    }

    /// The digest of all that was written.
    pub fn finish(self) -> u64 {
        let mut digest = self.digest.unwrap_or(Digest::EMPTY);
        digest.push(self.bytes);
        self.bytes.clear();
        digest.0
    }

    fn display(&mut self, value: impl fmt::Display) {
        self.raw(&value.to_string());
    }
}

/// Declares the shape of a structure by its fields; `via` names what reads one of them. What is
/// `written` only is not read.
macro_rules! structure {
    (@take $from:ident) => { Take::take($from) };
    (@take $from:ident $via:ident) => { $via::take($from).0 };
    (written $name:ty { $($field:ident),* $(,)? }) => {
        impl Put for $name {
            fn put(&self, out: &mut Out<'_>) {
                let Self { $($field),* } = self;
                out.raw("{");
                $(
                    out.name(stringify!($field));
                    $field.put(out);
                )*
                out.raw("}");
            }
        }
    };
    ($name:ty { $($field:ident $(via $via:ident)?),* $(,)? }) => {
        structure!(written $name { $($field),* });

        impl<'a> Take<'a> for $name {
            fn take(from: &mut Reading<'a>) -> Self {
                from.expect("{");
                $(
                    from.name(stringify!($field));
                    let $field = structure!(@take from $($via)?);
                )*
                from.expect("}");
                Self { $($field),* }
            }
        }
    };
}

/// Declares the shape of an enumeration by its variants; damage reads as the first one. What is
/// `written` only is not read.
macro_rules! variants {
    (@put $out:ident $variant:ident) => {
        $out.raw(concat!("\"", stringify!($variant), "\""))
    };
    (@put $out:ident $variant:ident ($inner:ident)) => {{
        $out.raw(concat!("{\"", stringify!($variant), "\":"));
        $inner.put($out);
        $out.raw("}");
    }};
    (@put $out:ident $variant:ident { $($field:ident),* }) => {{
        $out.raw(concat!("{\"", stringify!($variant), "\":{"));
        $(
            $out.name(stringify!($field));
            $field.put($out);
        )*
        $out.raw("}}");
    }};
    (@take $from:ident $variant:ident) => { Self::$variant };
    (@take $from:ident $variant:ident ($inner:ident)) => {{
        let $inner = Take::take($from);
        $from.expect("}");
        Self::$variant($inner)
    }};
    (@take $from:ident $variant:ident { $($field:ident),* }) => {{
        $(
            $from.name(stringify!($field));
            let $field = Take::take($from);
        )*
        $from.expect("}}");
        Self::$variant { $($field),* }
    }};
    (@begins $variant:ident) => { concat!("\"", stringify!($variant), "\"") };
    (@begins $variant:ident ($inner:ident)) => { concat!("{\"", stringify!($variant), "\":") };
    (@begins $variant:ident { $($field:ident),* }) => {
        concat!("{\"", stringify!($variant), "\":{")
    };
    (written $name:ty {
        $($variant:ident $(($inner:ident))? $({ $($field:ident),* $(,)? })?),* $(,)?
    }) => {
        impl<'a> Put for $name {
            fn put(&self, out: &mut Out<'_>) {
                match self {
                    $(
                        Self::$variant $(($inner))? $({ $($field),* })? => {
                            variants!(@put out $variant $(($inner))? $({ $($field),* })?)
                        }
                    )*
                }
            }

            fn variant(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant)),*
                }
            }
        }
    };
    ($name:ty {
        $first:ident $(($first_inner:ident))? $({ $($first_field:ident),* $(,)? })?
        $(, $variant:ident $(($inner:ident))? $({ $($field:ident),* $(,)? })?)* $(,)?
    }) => {
        variants!(written $name {
            $first $(($first_inner))? $({ $($first_field),* })?
            $(, $variant $(($inner))? $({ $($field),* })?)*
        });

        impl<'a> Take<'a> for $name {
            fn take(from: &mut Reading<'a>) -> Self {
                $(
                    if from.follows(variants!(
                        @begins $variant $(($inner))? $({ $($field),* })?
                    )) {
                        return variants!(@take from $variant $(($inner))? $({ $($field),* })?);
                    }
                )*
                from.expect_variant(
                    variants!(@begins $first $(($first_inner))? $({ $($first_field),* })?),
                    concat!("a variant of ", stringify!($name)),
                );
                variants!(@take from $first $(($first_inner))? $({ $($first_field),* })?)
            }
        }
    };
}

/// Declares what stands in a journal as another type would.
macro_rules! as_other {
    ($($name:ty, $other:ty: $out:expr, $back:expr;)*) => {
        $(
            impl Put for $name {
                fn put(&self, out: &mut Out<'_>) {
                    let as_other: fn(&$name) -> $other = $out;
                    as_other(self).put(out);
                }
            }

            impl<'a> Take<'a> for $name {
                fn take(from: &mut Reading<'a>) -> Self {
                    let back: fn($other) -> $name = $back;
                    back(Take::take(from))
                }
            }
        )*
    };
}

pub(crate) use {structure, variants};

macro_rules! scalars {
    ($($name:ty, $expected:literal;)*) => {
        $(
            impl Put for $name {
                fn put(&self, out: &mut Out<'_>) {
                    out.display(self);
                }
            }

            impl<'a> Take<'a> for $name {
                fn take(from: &mut Reading<'a>) -> Self {
                    from.scalar($expected)
                }
            }
        )*
    };
}

scalars! {
    bool, "true or false";
    u16, "a small count";
    u32, "a count";
    u64, "a large count";
    usize, "a size";
    i32, "a number";
}

as_other! {
    FrontId, u16: |id| id.0, FrontId;
    CallId, u32: |id| id.0, CallId;
    TurnId, u32: |id| id.0, TurnId;
    TurnName, ConversationId: |name| name.0, TurnName;
    ItemIndex, u32: |index| index.0, ItemIndex;
    ThreadId, (u16, u32): |id| (id.slot, id.generation),
        |(slot, generation)| ThreadId { slot, generation };
    OpId, (u16, u32): |id| (id.slot, id.generation),
        |(slot, generation)| OpId { slot, generation };
    // As its bits: every one of them counts, and not all have a number in JSON.
    f64, u64: |value| value.to_bits(), f64::from_bits;
}

impl Put for ConversationId {
    fn put(&self, out: &mut Out<'_>) {
        out.raw("\"");
        out.display(self);
        out.raw("\"");
    }
}

impl<'a> Take<'a> for ConversationId {
    fn take(from: &mut Reading<'a>) -> Self {
        from.bare().parse().unwrap_or_else(|_| {
            from.damage("a UUID");
            ConversationId([0; 16])
        })
    }
}

/// Declares owned texts.
macro_rules! texts {
    ($($name:ty),*) => {
        $(
            impl Put for $name {
                fn put(&self, out: &mut Out<'_>) {
                    out.text(self);
                }
            }

            impl<'a> Take<'a> for $name {
                fn take(from: &mut Reading<'a>) -> Self {
                    from.text().into_owned().into()
                }
            }
        )*
    };
}

texts!(Box<str>, String, Cow<'static, str>);

impl Put for str {
    fn put(&self, out: &mut Out<'_>) {
        out.text(self);
    }
}

impl<T: Put + ?Sized> Put for &T {
    fn put(&self, out: &mut Out<'_>) {
        T::put(self, out);
    }
}

impl<'a> Take<'a> for &'a str {
    fn take(from: &mut Reading<'a>) -> Self {
        match from.text() {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => from.lend(text),
        }
    }
}

impl<A: Put, B: Put> Put for (A, B) {
    fn put(&self, out: &mut Out<'_>) {
        out.raw("[");
        self.0.put(out);
        out.raw(",");
        self.1.put(out);
        out.raw("]");
    }
}

impl<'a, A: Take<'a>, B: Take<'a>> Take<'a> for (A, B) {
    fn take(from: &mut Reading<'a>) -> Self {
        from.expect("[");
        let first = A::take(from);
        from.expect(",");
        let second = B::take(from);
        from.expect("]");
        (first, second)
    }
}

impl<T: Put> Put for Option<T> {
    fn put(&self, out: &mut Out<'_>) {
        match self {
            Some(value) => value.put(out),
            None => out.raw("null"),
        }
    }
}

impl<'a, T: Take<'a>> Take<'a> for Option<T> {
    fn take(from: &mut Reading<'a>) -> Self {
        if from.is_damaged() || from.follows("null") {
            return None;
        }
        if "null".starts_with(from.rest()) {
            from.damage("null or a value");
            return None;
        }
        Some(T::take(from))
    }
}

impl<T: Put> Put for Box<T> {
    fn put(&self, out: &mut Out<'_>) {
        T::put(self, out);
    }
}

impl<'a, T: Take<'a>> Take<'a> for Box<T> {
    fn take(from: &mut Reading<'a>) -> Self {
        Box::new(T::take(from))
    }
}

impl<T: Put> Put for [T] {
    fn put(&self, out: &mut Out<'_>) {
        out.raw("[");
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.raw(",");
            }
            value.put(out);
        }
        out.raw("]");
    }
}

impl<T: Put> Put for Vec<T> {
    fn put(&self, out: &mut Out<'_>) {
        self.as_slice().put(out);
    }
}

impl<'a, T: Take<'a>> Take<'a> for Vec<T> {
    fn take(from: &mut Reading<'a>) -> Self {
        // As many values as the line holds: its length is the bound.
        let mut values = Vec::new();
        from.expect("[");
        while !from.is_damaged() && !from.follows("]") {
            if !values.is_empty() {
                from.expect(",");
            }
            values.push(T::take(from));
        }
        values
    }
}

impl<T: Put, E: Put> Put for Result<T, E> {
    fn put(&self, out: &mut Out<'_>) {
        match self {
            Ok(value) => {
                out.raw("{\"Ok\":");
                value.put(out);
            }
            Err(error) => {
                out.raw("{\"Err\":");
                error.put(out);
            }
        }
        out.raw("}");
    }
}

impl<'a, T: Take<'a>, E: Take<'a>> Take<'a> for Result<T, E> {
    fn take(from: &mut Reading<'a>) -> Self {
        let result = if from.follows("{\"Ok\":") {
            Ok(T::take(from))
        } else {
            from.expect_variant("{\"Err\":", "Ok or Err");
            Err(E::take(from))
        };
        from.expect("}");
        result
    }
}
