//! The protocol for others: TypeScript and JSON Schema, written from the declarations.

pub mod declared;
pub mod json_schema;
pub mod typescript;

use declared::Table;

/// One file of an export; its path is relative and has slashes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    pub path: String,
    pub text: String,
}

pub fn typescript() -> Vec<File> {
    typescript::files(&Table::read())
}

pub fn json_schema() -> Vec<File> {
    json_schema::files(&Table::read())
}
