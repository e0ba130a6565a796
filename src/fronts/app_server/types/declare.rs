//! How the protocol's types are declared: once, in words from which everything else follows.
//!
//! `protocol! { TEXT: … }` makes Rust types with their codec of its declarations and keeps their
//! text, from which `declared` makes schemas at run time. A declaration is a kind, a name, how its
//! names are spelled in JSON, and a body:
//!
//! ```text
//! record R Camel { field: T, … }                an object
//! inline R Camel { field: T, … }                the same, written out where it is used
//! both B { a: R, b: S }                         two of them in the same braces
//! words W Kebab { A, B = "b-word" | "old" }     one of some strings; after | what is read as well
//! tagged U kind Snake Camel { A, B { … } }      an object whose `kind` says which; variants and
//!                                               fields have each their spelling
//! outer U Snake Camel { A, B { … }, C(T) }      "a", or an object whose one field says which
//! either E { A(T), B(S) }                       the first that fits
//! alias N { T }                                 another name
//! requests M { A(P) = "a/b" => R, C = "c" => S }  methods that are answered
//! notices M { A(P) = "a/b", C = "c" }           methods that are not
//! ```

/// Declares types; see the module.
macro_rules! protocol {
    ($text:ident: $($declared:tt)*) => {
        /// These declarations as text.
        pub const $text: &str = stringify!($($declared)*);
        $crate::fronts::app_server::types::declare::declarations! { $($declared)* }
    };
}

macro_rules! declarations {
    ($($kind:ident $name:ident $($how:ident)* { $($body:tt)* })*) => {
        $($crate::fronts::app_server::types::declare::declare! {
            $kind $name ($($how)*) { $($body)* }
        })*
    };
}

macro_rules! name {
    ($rust:ident $case:ident $($word:literal)?) => {
        const {
            &$crate::fronts::app_server::types::codec::Name::new(
                stringify!($rust),
                $crate::fronts::app_server::types::codec::Case::$case,
                &[$($word)?],
            )
        }
    };
}

/// The name a newtype variant's content is bound to; the type only says how often.
macro_rules! bound {
    ($bound:ident $type:ty) => {
        $bound
    };
}

macro_rules! typed_by_record {
    ($name:ident) => {
        impl $crate::fronts::app_server::types::codec::Typed for $name {
            fn read(
                json: &str,
                noted: &mut $crate::fronts::app_server::types::codec::Noted,
            ) -> $name {
                use $crate::fronts::app_server::types::codec::{Object, Record};
                $name::of(&mut Object::read(json, noted))
            }

            fn encode(&self, out: &mut Vec<u8>) {
                use $crate::fronts::app_server::types::codec::Record;
                let mut fields = $crate::wire::json::Fields::open(out);
                self.fill(&mut fields);
                fields.close();
            }
        }
    };
}

macro_rules! declare {
    (inline $($rest:tt)*) => {
        $crate::fronts::app_server::types::declare::declare! { record $($rest)* }
    };
    (record $name:ident ($case:ident) { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Clone, PartialEq, Debug)]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl $crate::fronts::app_server::types::codec::Record for $name {
            fn of(
                object: &mut $crate::fronts::app_server::types::codec::Object<'_>,
            ) -> $name {
                let _ = &object;
                $name {
                    $($field: object.take(
                        $crate::fronts::app_server::types::declare::name!($field $case)
                    ),)*
                }
            }

            fn fill(&self, fields: &mut $crate::wire::json::Fields<'_>) {
                let _ = &fields;
                $($crate::fronts::app_server::types::codec::put(
                    &self.$field,
                    $crate::fronts::app_server::types::declare::name!($field $case),
                    fields,
                );)*
            }
        }

        $crate::fronts::app_server::types::declare::typed_by_record! { $name }
    };
    (both $name:ident () { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Clone, PartialEq, Debug)]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl $crate::fronts::app_server::types::codec::Record for $name {
            fn of(
                object: &mut $crate::fronts::app_server::types::codec::Object<'_>,
            ) -> $name {
                $name { $($field: <$type>::of(object),)* }
            }

            fn fill(&self, fields: &mut $crate::wire::json::Fields<'_>) {
                $(self.$field.fill(fields);)*
            }
        }

        $crate::fronts::app_server::types::declare::typed_by_record! { $name }
    };
    (words $name:ident ($case:ident) {
        $($variant:ident $(= $word:literal)? $(| $also:literal)*),* $(,)?
    }) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($variant,)*
        }

        impl $name {
            const WORDS: &[$crate::fronts::app_server::types::codec::Word] = &[$((
                $crate::fronts::app_server::types::declare::name!($variant $case $($word)?),
                &[$($also),*],
            )),*];
        }

        impl $crate::fronts::app_server::types::codec::Typed for $name {
            fn read(
                json: &str,
                noted: &mut $crate::fronts::app_server::types::codec::Noted,
            ) -> $name {
                use $crate::fronts::app_server::types::codec::one_of;
                const VARIANTS: &[$name] = &[$($name::$variant),*];
                VARIANTS[one_of(json, $name::WORDS, noted)]
            }

            fn encode(&self, out: &mut Vec<u8>) {
                let (name, _) = $name::WORDS[*self as usize];
                $crate::wire::json::string(&name.spelled(), out);
            }
        }
    };
    (tagged $name:ident ($tag:ident $case:ident $spelling:ident) {
        $($variant:ident $({ $($field:ident: $type:ty),* $(,)? })? $(($part:ty))?
            $(= $word:literal)?),* $(,)?
    }) => {
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, PartialEq, Debug)]
        pub enum $name {
            $($variant $({ $($field: $type,)* })? $(($part))?,)*
        }

        impl $crate::fronts::app_server::types::codec::Record for $name {
            fn of(
                object: &mut $crate::fronts::app_server::types::codec::Object<'_>,
            ) -> $name {
                let mut which = object.which(stringify!($tag), &[$((
                    $crate::fronts::app_server::types::declare::name!($variant $case $($word)?),
                    &[],
                )),*]);
                $(
                    if which == 0 {
                        return $name::$variant $({
                            $($field: object.take(
                                $crate::fronts::app_server::types::declare::name!(
                                    $field $spelling
                                )
                            ),)*
                        })? $((<$part>::of(object)))?;
                    }
                    which -= 1;
                )*
                unreachable!("one of the words was found, or the first made up; {which} is left")
            }

            fn fill(&self, fields: &mut $crate::wire::json::Fields<'_>) {
                match self {
                    $($name::$variant $({ $($field,)* })?
                        $(($crate::fronts::app_server::types::declare::bound!(part $part)))? =>
                    {
                        $crate::fronts::app_server::types::codec::put_tag(
                            stringify!($tag),
                            $crate::fronts::app_server::types::declare::name!(
                                $variant $case $($word)?
                            ),
                            fields,
                        );
                        $($($crate::fronts::app_server::types::codec::put(
                            $field,
                            $crate::fronts::app_server::types::declare::name!($field $spelling),
                            fields,
                        );)*)?
                        $(<$part>::fill(part, fields);)?
                    })*
                }
            }
        }

        $crate::fronts::app_server::types::declare::typed_by_record! { $name }
    };
    (outer $name:ident ($case:ident $spelling:ident) {
        $($variant:ident $({ $($field:ident: $type:ty),* $(,)? })? $(($part:ty))?
            $(= $word:literal)? $(| $also:literal)*),* $(,)?
    }) => {
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, PartialEq, Debug)]
        pub enum $name {
            $($variant $({ $($field: $type,)* })? $(($part))?,)*
        }

        impl $crate::fronts::app_server::types::codec::Typed for $name {
            fn read(
                json: &str,
                noted: &mut $crate::fronts::app_server::types::codec::Noted,
            ) -> $name {
                use $crate::fronts::app_server::types::codec::Outer;
                let mut outer = Outer::read(json, noted);
                let mut which = outer.which(&[$((
                    $crate::fronts::app_server::types::declare::name!($variant $case $($word)?),
                    &[$($also),*],
                )),*]);
                $(
                    if which == 0 {
                        return $name::$variant $({
                            $($field: outer.take(
                                $crate::fronts::app_server::types::declare::name!(
                                    $field $spelling
                                )
                            ),)*
                        })? $((outer.body::<$part>()))?;
                    }
                    which -= 1;
                )*
                unreachable!("one of the words was found, or the first made up; {which} is left")
            }

            fn encode(&self, out: &mut Vec<u8>) {
                let mut body = Vec::new();
                let name = match self {
                    $($name::$variant $({ $($field,)* })?
                        $(($crate::fronts::app_server::types::declare::bound!(part $part)))? =>
                    {
                        $(
                            let mut fields = $crate::wire::json::Fields::open(&mut body);
                            $($crate::fronts::app_server::types::codec::put(
                                $field,
                                $crate::fronts::app_server::types::declare::name!(
                                    $field $spelling
                                ),
                                &mut fields,
                            );)*
                            fields.close();
                        )?
                        $(<$part as $crate::fronts::app_server::types::codec::Typed>::encode(
                            part, &mut body
                        );)?
                        $crate::fronts::app_server::types::declare::name!(
                            $variant $case $($word)?
                        )
                    })*
                };
                let _ = &mut body;
                $crate::fronts::app_server::types::codec::Outer::write(name, &body, out);
            }
        }
    };
    (either $name:ident () { $($variant:ident($part:ty)),* $(,)? }) => {
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, PartialEq, Debug)]
        pub enum $name {
            $($variant($part),)*
        }

        impl $crate::fronts::app_server::types::codec::Typed for $name {
            fn read(
                json: &str,
                noted: &mut $crate::fronts::app_server::types::codec::Noted,
            ) -> $name {
                use $crate::fronts::app_server::types::codec::{Noted, Typed};
                let mut last = None;
                $(
                    let mut tried = Noted::default();
                    let value = $name::$variant(<$part as Typed>::read(json, &mut tried));
                    if tried.is_clean() {
                        return value;
                    }
                    last.replace((value, tried));
                )*
                let Some((value, tried)) = last else {
                    unreachable!("one of the parts was tried")
                };
                noted.adopt(tried);
                value
            }

            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $($name::$variant(part) => part.encode(out),)*
                }
            }
        }
    };
    (alias $name:ident () { $type:ty }) => {
        pub type $name = $type;
    };
    (requests $name:ident () {
        $($variant:ident $(($params:ty))? = $method:literal => $answer:ty),* $(,)?
    }) => {
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, PartialEq, Debug)]
        pub enum $name {
            $($variant $(($params))?,)*
        }

        impl $name {
            /// Every method, in the order of the table.
            pub const METHODS: &[&str] = &[$($method),*];

            pub fn decode(
                method: &str,
                params: Option<&str>,
            ) -> Result<$name, $crate::fronts::app_server::types::codec::Fault> {
                use $crate::fronts::app_server::types::codec::{Fault, Noted};
                let mut noted = Noted::default();
                let _ = (params, &mut noted);
                let request = match method {
                    $($method => $name::$variant $((
                        $crate::fronts::app_server::types::codec::params::<$params>(
                            params, &mut noted
                        )
                    ))?,)*
                    _ => return Err(Fault::unknown(method).within("method")),
                };
                noted.judge(request)
            }

            pub fn method(&self) -> &'static str {
                match self {
                    $($name::$variant $((
                        $crate::fronts::app_server::types::declare::bound!(_part $params)
                    ))? => $method,)*
                }
            }

            /// Writes the parameters; nothing for a method that has none.
            pub fn encode_params(&self, out: &mut Vec<u8>) {
                let _ = &out;
                match self {
                    $($name::$variant $((
                        $crate::fronts::app_server::types::declare::bound!(part $params)
                    ))? => {
                        $(<$params as $crate::fronts::app_server::types::codec::Typed>::encode(
                            part, out
                        );)?
                    })*
                }
            }
        }

        $(const _: fn(&$answer, &mut Vec<u8>) =
            <$answer as $crate::fronts::app_server::types::codec::Typed>::encode;)*
    };
    (notices $name:ident () { $($variant:ident $(($params:ty))? = $method:literal),* $(,)? }) => {
        $crate::fronts::app_server::types::declare::declare! {
            requests $name () { $($variant $(($params))? = $method => bool),* }
        }
    };
}

pub(crate) use {bound, declarations, declare, name, protocol, typed_by_record};
