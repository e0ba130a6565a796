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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{json_schema, typescript};
    use crate::wire::json;

    #[test]
    fn every_file_has_a_path_of_its_own_and_schemas_are_json() {
        let schemas = json_schema();
        for file in &schemas {
            assert!(json::is_json(file.text.trim_end()), "{}", file.path);
        }
        let all: Vec<_> = schemas.into_iter().chain(typescript()).map(|file| file.path).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
