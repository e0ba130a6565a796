//! All sources of settings made into one, key by key, with the source each key is from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml_edit::{Key, TableLike};

use crate::config::file::Source;
use crate::config::layers::{Layers, Rank};
use crate::config::{projects, value};

/// What counts in the end.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Effective {
    /// Values under their keys, as config.toml would have them.
    pub config: Map<String, Value>,
    /// Dotted keys of values that are no tables, and the index of their source in
    /// [`Layers::stack`].
    pub origins: BTreeMap<String, usize>,
}

/// Lays all sources over each other.
pub fn effective(layers: &Layers) -> Effective {
    let stack = layers.stack();
    let mut effective = Effective::default();
    let indexed = || stack.iter().enumerate();
    let is_low = |rank| matches!(rank, Rank::Machine | Rank::Config | Rank::Project);
    for (index, (rank, source)) in indexed().filter(|(_, (rank, _))| is_low(*rank)) {
        effective.lay(index, *rank, source);
    }
    if let Some(name) = layers.profile() {
        let has_tables = |rank| matches!(rank, Rank::Machine | Rank::Config | Rank::Given);
        for (index, (_, source)) in indexed().filter(|(_, (rank, _))| has_tables(*rank)) {
            let item = source.find(&["profiles", name]);
            if let Some(table) = item.and_then(|item| item.as_table_like()) {
                effective.lay_table(index, table);
            }
        }
    }
    for (index, (rank, source)) in indexed().filter(|(_, (rank, _))| !is_low(*rank)) {
        effective.lay(index, *rank, source);
    }
    effective
}

impl Effective {
    fn lay(&mut self, index: usize, rank: Rank, source: &Source) {
        for path in source.unset() {
            self.remove(path);
        }
        if rank != Rank::Project {
            return self.lay_table(index, source.table());
        }
        source.visit(&mut |path, item, _| {
            if projects::may_say(path, item) {
                let inner = value::to_json(item);
                let nested = path.iter().rev().fold(inner, |inside, name| {
                    let mut outside = Map::new();
                    outside.insert((*name).to_owned(), inside);
                    Value::Object(outside)
                });
                if let Value::Object(fields) = nested {
                    merge(&mut self.config, fields, "", index, &mut self.origins);
                }
            }
        });
    }

    fn lay_table(&mut self, index: usize, table: &dyn TableLike) {
        if let Value::Object(fields) = value::table_to_json(table) {
            merge(&mut self.config, fields, "", index, &mut self.origins);
        }
    }

    fn remove(&mut self, path: &[Box<str>]) {
        let Some((last, tables)) = path.split_last() else { return };
        let mut table = &mut self.config;
        for name in tables {
            match table.get_mut(&**name) {
                Some(Value::Object(inside)) => table = inside,
                Some(_) | None => return,
            }
        }
        table.remove(&**last);
        let key = path.iter().fold(String::new(), |key, name| joined(&key, name));
        forget(&mut self.origins, &key);
    }
}

/// A dotted key, of which parts are quoted that need it.
pub fn joined(key: &str, name: &str) -> String {
    let name = Key::new(name);
    if key.is_empty() { name.to_string() } else { format!("{key}.{name}") }
}

fn merge(
    config: &mut Map<String, Value>,
    above: Map<String, Value>,
    key: &str,
    index: usize,
    origins: &mut BTreeMap<String, usize>,
) {
    for (name, value) in above {
        let key = joined(key, &name);
        let known = config.entry(name).or_insert(Value::Null);
        match value {
            Value::Object(fields) => {
                if !known.is_object() {
                    forget(origins, &key);
                    *known = Value::Object(Map::new());
                }
                if let Value::Object(inside) = known {
                    merge(inside, fields, &key, index, origins);
                }
            }
            value => {
                forget(origins, &key);
                origins.insert(key, index);
                *known = value;
            }
        }
    }
}

/// Drops the origins of a key and of everything inside.
fn forget(origins: &mut BTreeMap<String, usize>, key: &str) {
    let inside = format!("{key}.");
    origins.retain(|known, _| *known != *key && !known.starts_with(&inside));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::args::{Invocation, Override};
    use crate::config::layers::Named;
    use crate::config::request::{Requested, Setting};

    #[test]
    fn every_key_is_there_once_with_the_source_it_is_from() {
        let requested = Requested {
            settings: vec![
                Setting::new("review_model", Value::Null),
                Setting::new("file_opener", "asked"),
            ],
            ..Requested::default()
        };
        let invocation = Invocation {
            overrides: vec![Override::Pair("tools.view_image=true".into())],
            requested: Some(Box::new(requested)),
            ..Invocation::default()
        };
        let config = "model = 'base'\nreview_model = 'r'\nmodel_verbosity = 'low'\n\
                      [profiles.p]\nmodel = 'table'\n[tools]\nview_image = false\nx = 1\n\
                      [projects.'/w']\ntrust_level = 'trusted'\n";
        let config = Named { name: "config.toml", text: config };
        let mut layers = Layers::new(&invocation, Some(config)).expect("sound");
        let machine = Named { name: "etc", text: "model = 'low'\nfile_opener = 'low'\n" };
        layers.add_machine(machine).expect("sound");
        let project = "model_verbosity = 'high'\nmodel = 'project'\nnotify = ['x']\n";
        layers.add_project(Named { name: "project", text: project }).expect("sound");
        layers.add_managed(Named { name: "managed", text: "tools.x = 2" }).expect("sound");
        layers.choose_profile("p", None).expect("known");
        let effective = effective(&layers);
        let expected = json!({
            "model": "table",
            "model_verbosity": "high",
            "file_opener": "asked",
            "tools": {"view_image": true, "x": 2},
            "profiles": {"p": {"model": "table"}},
            "projects": {"/w": {"trust_level": "trusted"}},
        });
        assert_eq!(Value::Object(effective.config), expected);
        let stack = layers.stack();
        let origins = effective.origins.iter().map(|(key, index)| {
            let (rank, source) = stack[*index];
            format!("{key} {rank:?} {source}")
        });
        let expected = [
            "file_opener Given config",
            "model Config config.toml",
            "model_verbosity Project project",
            "profiles.p.model Config config.toml",
            "projects.\"/w\".trust_level Config config.toml",
            "tools.view_image Given -c",
            "tools.x Managed managed",
        ];
        assert_eq!(origins.collect::<Vec<_>>(), expected);
    }
}
