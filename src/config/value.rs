//! JSON and TOML as each other: what a client says becomes a setting, and a setting what it reads.

use serde_json::{Map, Number};
use toml_edit::{Array, InlineTable, Item, TableLike, Value};

/// A value of TOML; an object becomes a table in braces, of which what is null is left out.
pub fn from_json(json: &serde_json::Value) -> Result<Value, &'static str> {
    Ok(match json {
        serde_json::Value::Null => return Err("null cannot stand in a list"),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(fraction)) if number.is_f64() => Value::from(fraction),
            (None, _) => return Err("the number is larger than TOML can say"),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(values) => {
            let mut array = Array::new();
            for value in values {
                array.push(from_json(value)?);
            }
            Value::from(array)
        }
        serde_json::Value::Object(fields) => {
            let mut table = InlineTable::new();
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                table.insert(name, from_json(value)?);
            }
            Value::from(table)
        }
    })
}

/// A value of JSON; dates become texts, and what is no number for JSON null.
pub fn to_json(item: &Item) -> serde_json::Value {
    match item {
        Item::None => serde_json::Value::Null,
        Item::Value(value) => value_to_json(value),
        Item::Table(table) => table_to_json(table),
        Item::ArrayOfTables(tables) => {
            serde_json::Value::Array(tables.iter().map(|table| table_to_json(table)).collect())
        }
    }
}

pub fn table_to_json(table: &dyn TableLike) -> serde_json::Value {
    // One by one: what is collected is sorted before, which is much code for a small table.
    let mut fields = Map::new();
    for (name, item) in table.iter() {
        fields.insert(name.to_owned(), to_json(item));
    }
    serde_json::Value::Object(fields)
}

fn value_to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Float(number) => {
            let number = Number::from_f64(*number.value());
            number.map_or(serde_json::Value::Null, serde_json::Value::Number)
        }
        Value::Boolean(flag) => (*flag.value()).into(),
        Value::Datetime(date) => date.value().to_string().into(),
        Value::Array(values) => values.iter().map(value_to_json).collect(),
        Value::InlineTable(table) => table_to_json(table),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        for json in [
            json!(true),
            json!(-7),
            json!(1.5),
            json!("a\n\"b\""),
            json!([1, "x", [], {"a b": 1}]),
            json!({"a": {"b.c": ["d"]}, "e": false}),
        ] {
            let toml = from_json(&json).expect("a value");
            let text = format!("x = {toml}");
            let read: toml_edit::DocumentMut = text.parse().expect("TOML");
            assert_eq!(to_json(&read["x"]), json, "{text}");
        }
    }

    #[test]
    fn what_toml_cannot_say_is_refused() {
        assert!(from_json(&json!([null])).is_err());
        assert!(from_json(&json!(u64::MAX)).is_err());
        let without = from_json(&json!({"a": null, "b": 1})).expect("a value");
        assert_eq!(to_json(&Item::Value(without)), json!({"b": 1}));
    }

    #[test]
    fn tables_of_each_form_and_dates_become_json() {
        let text = "d = 2024-01-02\n[[t]]\na = 1\n[[t]]\n[u.v]\nf = inf\n";
        let read: toml_edit::DocumentMut = text.parse().expect("TOML");
        let expected = json!({"d": "2024-01-02", "t": [{"a": 1}, {}], "u": {"v": {"f": null}}});
        assert_eq!(table_to_json(read.as_table()), expected);
    }
}
