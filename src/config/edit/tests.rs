use serde_json::json;

use super::*;
use crate::config::request;

fn edit(key: &str, value: Json, merge: Merge) -> Edit {
    Edit { path: request::path(key).expect("a key"), value, merge }
}

fn replaced(text: &str, key: &str, value: Json) -> String {
    let edit = edit(key, value, Merge::Replace);
    apply("c.toml", text, &[edit]).unwrap_or_else(|error| panic!("{key}: {error}"))
}

fn upserted(text: &str, key: &str, value: Json) -> String {
    let edit = edit(key, value, Merge::Upsert);
    apply("c.toml", text, &[edit]).unwrap_or_else(|error| panic!("{key}: {error}"))
}

const FILE: &str = "\
# Mine.

model = \"old\"  # fast enough
# effort = \"high\"

notify = [
    \"a\", # first
]

# Providers.
[model_providers.\"my one\"] # here
name = \"One\"
http_headers = { A = \"1\" }

[features]
ghost_commit = false
";

#[test]
fn a_value_changes_and_nothing_around_it() {
    let expected = FILE.replace("\"old\"", "\"new\"");
    assert_eq!(replaced(FILE, "model", json!("new")), expected);
    let expected = FILE.replace("{ A = \"1\" }", "{ A = \"1\", B = \"2\" }");
    let key = "model_providers.'my one'.http_headers.B";
    assert_eq!(replaced(FILE, key, json!("2")), expected);
    let expected = FILE.replace("commit = false\n", "commit = false\nfile_tools = true\n");
    assert_eq!(replaced(FILE, "features.file_tools", json!(true)), expected);
}

#[test]
fn a_new_key_stands_behind_those_of_its_table() {
    let expected = FILE.replace("]\n\n# Prov", "]\nprofile = \"p\"\n\n# Prov");
    let added = replaced(FILE, "profile", json!("p"));
    assert_eq!(added, expected);
    let added = replaced(FILE, "projects./w.trust_level", json!("trusted"));
    assert_eq!(added, format!("{FILE}\n[projects.\"/w\"]\ntrust_level = \"trusted\"\n"));
}

#[test]
fn what_goes_leaves_the_remarks_above_it() {
    assert_eq!(
        replaced(FILE, "model", Json::Null),
        FILE.replace("model = \"old\"  # fast enough\n", "")
    );
    let expected = FILE.replace("notify = [\n    \"a\", # first\n]\n", "");
    assert_eq!(replaced(FILE, "notify", Json::Null), expected);
    let without = replaced(FILE, "model_providers", Json::Null);
    assert!(without.contains("# Providers.\n\n[features]"), "{without}");
    assert!(!without.contains("my one"), "{without}");
    assert_eq!(replaced(FILE, "no.such.key", Json::Null), FILE);
    let lists = "a = 1\n# Lists.\n[[x]]\nb = 1\n[[x]]\n";
    assert_eq!(replaced(lists, "x", Json::Null), "a = 1\n# Lists.\n");
    let dotted = "# Up.\nx.a = 1\nx.b = 2\ny = 3\n";
    assert_eq!(replaced(dotted, "x", Json::Null), "# Up.\ny = 3\n");
    assert_eq!(replaced("x = { a = 1, b = 2 }\n", "x.a", Json::Null), "x = { b = 2 }\n");
}

#[test]
fn tables_are_replaced_or_joined() {
    let table = json!({"name": "Two", "query_params": {"q": "1"}});
    let expected = FILE.replace(
        "name = \"One\"\nhttp_headers = { A = \"1\" }\n",
        "name = \"Two\"\n\n[model_providers.\"my one\".query_params]\nq = \"1\"\n",
    );
    assert_eq!(replaced(FILE, "model_providers.'my one'", table.clone()), expected);
    let joined = upserted(FILE, "model_providers.'my one'", table);
    assert!(joined.contains("name = \"Two\"\nhttp_headers = { A = \"1\" }\n\n["), "{joined}");
    let joined = upserted(FILE, "features", json!({"ghost_commit": null, "file_tools": true}));
    assert!(joined.ends_with("[features]\nfile_tools = true\n"), "{joined}");
    let joined = upserted("x = { a = 1 }\n", "x", json!({"b": {"c": 2}}));
    assert_eq!(joined, "x = { a = 1, b = { c = 2 } }\n");
    assert_eq!(replaced("x = { a = 1 } # so\n", "x", json!({"b": 2})), "x = { b = 2 } # so\n");
}

#[test]
fn new_tables_have_heads_and_lists_of_tables_braces() {
    let server = json!({"command": "npx", "args": ["-y"], "env": {"K": "v"}});
    let expected = "[mcp_servers.docs]\nargs = [\"-y\"]\ncommand = \"npx\"\n\n\
                    [mcp_servers.docs.env]\nK = \"v\"\n";
    assert_eq!(replaced("", "mcp_servers.docs", server), expected);
    assert_eq!(replaced("", "tui", json!({})), "[tui]\n");
    assert_eq!(replaced("", "x", json!([{"a": 1}])), "x = [{ a = 1 }]\n");
    assert_eq!(replaced("[[x]]\na = 1\n", "x", json!([])), "x = []\n");
}

#[test]
fn dotted_keys_stay_dotted() {
    let text = "features.ghost_commit = true # yes\nmodel = \"m\"\n";
    let expected =
        "features.ghost_commit = true # yes\nfeatures.file_tools = true\nmodel = \"m\"\n";
    assert_eq!(replaced(text, "features.file_tools", json!(true)), expected);
    let expected = "features.ghost_commit = false # yes\nmodel = \"m\"\n";
    assert_eq!(upserted(text, "features", json!({"ghost_commit": false})), expected);
}

#[test]
fn ends_of_lines_stay_as_they_are() {
    let windows = FILE.replace('\n', "\r\n");
    let edited = replaced(&windows, "model", json!("new"));
    assert_eq!(edited, windows.replace("\"old\"", "\"new\""));
    assert_eq!(replaced("a = 1", "b", json!(2)), "a = 1\nb = 2\n");
    assert_eq!(replaced("\u{feff}a = 1\n", "a", json!(2)), "\u{feff}a = 2\n");
    assert_eq!(replaced("# Only this.", "a", json!(2)), "# Only this.\na = 2\n");
    assert_eq!(replaced("# Only this.\n", "t.a", json!(2)), "# Only this.\n[t]\na = 2\n");
}

#[test]
fn texts_are_quoted_as_they_must_be() {
    let text = replaced("", "x.\"a.b\"", json!("say \"hi\"\nto \\ taken-away"));
    let read: DocumentMut = text.parse().expect("TOML");
    assert_eq!(read["x"]["a.b"].as_str(), Some("say \"hi\"\nto \\ taken-away"));
    let marked = "taken-away = 1\nmodel = \"m\" # taken-away\n";
    assert_eq!(replaced(marked, "model", Json::Null), "taken-away = 1\n");
}

#[test]
fn all_edits_are_made_or_none() {
    let edits = [
        edit("model", json!("a"), Merge::Replace),
        edit("review_model", json!("b"), Merge::Replace),
        edit("model", json!("c"), Merge::Upsert),
    ];
    let text = apply("c.toml", "", &edits).expect("edited");
    assert_eq!(text, "model = \"c\"\nreview_model = \"b\"\n");
    let edits = [edits[0].clone(), edit("sandbox_mode", json!("open"), Merge::Replace)];
    assert!(apply("c.toml", "", &edits).is_err());
}

#[test]
fn what_cannot_be_written_is_refused_by_name() {
    for (text, key, value, part) in [
        ("", "model", json!(5), "c.toml line 1: model: expected text in quotes, found a whole"),
        ("a = 1\nmodel = ", "a", json!(2), "c.toml line 2: "),
        ("a = 1\n", "a.b", json!(2), "c.toml: a.b: what it is in is not a table"),
        ("a = 1\n", "a.b.c", json!(2), "c.toml: a.b.c: what is above b is not a table"),
        ("[[a]]\n", "a.b", json!(2), "not a table"),
        ("", "notify", json!([null]), "c.toml: notify: null cannot stand in a list"),
        ("", "x", json!(u64::MAX), "larger than TOML can say"),
        ("model = 5\n", "profile", json!("p"), "c.toml line 1: model: expected text"),
    ] {
        let error = apply("c.toml", text, &[edit(key, value, Merge::Replace)]);
        let error = error.expect_err(key).to_string();
        assert!(error.contains(part), "{key}: {error}");
    }
}

#[test]
fn whatever_the_text_the_edit_is_the_only_change() {
    let texts = [
        FILE,
        "[a.b]\nc = 1\n[d]\n[a]\nx = 1\n",
        "a.b.c = 1\n[a.d]\nx = 1\n",
        "x = [ { a = 1 }, { a = 2 } ]\n[[a]]\n[a.b]\nc = 1\n[[a]]\n",
        "\"\" = 1\n'a.b'.\"c d\" = { e.f = 1 }\n",
        "s = '''\nmodel = \"x\"\n[features]\n'''\n",
    ];
    let keys = ["a", "a.b", "a.b.c", "d", "x", "\"a.b\"", "features", "model", "s", "zz.y.x"];
    let values = [json!(null), json!(1), json!({"k": {"l": "m"}, "n": []}), json!([1, [2]])];
    for text in texts {
        for key in keys {
            for value in &values {
                for merge in [Merge::Replace, Merge::Upsert] {
                    // Refused or right: `one` compares what it says with what it should say.
                    let edited = apply("c.toml", text, &[edit(key, value.clone(), merge)]);
                    if let Err(error) = edited {
                        assert!(!error.to_string().contains(ASTRAY), "{text}{key}: {error}");
                    }
                }
            }
        }
    }
}
