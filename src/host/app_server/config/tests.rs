use std::fs;

use super::*;
use crate::config::args::Override;
use crate::host::disk::tests::Place;
use crate::limits::MODEL_NAME_BYTES_MAX;

/// Does something where this place holds the home, under a command line with these `-c`.
fn at<T>(place: &Place, pairs: &[&str], act: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    let overrides = pairs.iter().map(|pair| Override::Pair((*pair).into())).collect();
    let base = Invocation { overrides, ..Invocation::default() };
    crate::host::app_server::tests::at(place, &base, act)
}

fn placed(config: &str) -> (Place, PathBuf) {
    let place = Place::new();
    let path = place.file("home/config.toml", config);
    (place, path)
}

fn written(around: &Surroundings<'_>, json: &str) -> Result<v2::ConfigWriteResponse, Failure> {
    let params = v2::ConfigValueWriteParams::decode(json).expect("parameters");
    write_value(around, &params)
}

fn all_written(around: &Surroundings<'_>, json: &str) -> Result<v2::ConfigWriteResponse, Failure> {
    write_batch(around, &v2::ConfigBatchWriteParams::decode(json).expect("parameters"))
}

fn read_json(around: &Surroundings<'_>, json: &str) -> Value {
    let params = v2::ConfigReadParams::decode(json).expect("parameters");
    json_of(&read(around, &params).expect("read"))
}

#[test]
fn every_key_is_read_with_where_it_is_from() {
    let (place, path) = placed("model = 'm'\n[projects.'/w']\ntrust_level = 'trusted'\n");
    let managed = place.file("etc/managed_config.toml", "sandbox_mode = 'read-only'\n");
    let config =
        at(&place, &["review_model=r"], |around| read_json(around, r#"{"includeLayers":true}"#));
    assert_eq!(config["config"]["model"], "m");
    assert_eq!(config["config"]["projects"]["/w"]["trust_level"], "trusted");
    let origins = &config["origins"];
    let name = |key: &str| origins[key]["name"].clone();
    assert_eq!(name("model")["type"], "user");
    assert_eq!(name("model")["file"], path.to_str().expect("UTF-8"));
    assert_eq!(name("review_model")["type"], "sessionFlags");
    assert_eq!(name("sandbox_mode")["file"], managed.to_str().expect("UTF-8"));
    assert_eq!(name("projects.\"/w\".trust_level")["type"], "user");
    let layers = config["layers"].as_array().expect("layers");
    let types: Vec<_> = layers.iter().map(|layer| layer["name"]["type"].as_str()).collect();
    let expected = ["legacyManagedConfigTomlFromFile", "sessionFlags", "user"];
    assert_eq!(types, expected.map(Some));
    assert_eq!(layers[2]["version"], origins["model"]["version"]);
    assert_eq!(layers[2]["config"]["model"], "m");
    let without = at(&place, &[], |around| read_json(around, "{}"));
    assert!(without["layers"].is_null());
}

#[test]
fn projects_count_where_they_are() {
    let (place, _) = placed("");
    let work = place.directory("work/.git").parent().expect("a parent").to_owned();
    place.file("home/config.toml", format!("[projects.{work:?}]\ntrust_level = 'trusted'\n"));
    place.file("work/.codex/config.toml", "model = 'project'\nnotify = ['x']\n");
    at(&place, &[], |around| {
        let config = read_json(around, &format!("{{\"cwd\":{work:?},\"includeLayers\":true}}"));
        assert_eq!(config["config"]["model"], "project");
        assert!(config["config"]["notify"].is_null());
        let folder = work.join(".codex");
        let expected = folder.to_str().expect("UTF-8");
        assert_eq!(config["origins"]["model"]["name"]["dotCodexFolder"], expected);
        assert!(read_json(around, "{}")["config"]["model"].is_null());
        let params = v2::ConfigReadParams::decode("{\"cwd\":\"w\"}").expect("parameters");
        assert!(read(around, &params).expect_err("refused").message.contains("absolute"));
    });
}

#[test]
fn a_home_without_a_file_has_a_version_to_begin_with() {
    let place = Place::new();
    place.directory("home");
    at(&place, &[], |around| {
        let config = read_json(around, r#"{"includeLayers":true}"#);
        let version = config["layers"][0]["version"].as_str().expect("a version");
        let json = format!(
            r#"{{"keyPath":"a.b","value":1,"mergeStrategy":"replace","expectedVersion":"{version}"}}"#
        );
        let response = written(around, &json).expect("written");
        assert_eq!(response.status, v2::WriteStatus::Ok);
        let path = place.path().join("home/config.toml");
        assert_eq!(&*response.file_path, path.to_str().expect("UTF-8"));
        assert_eq!(fs::read_to_string(path).expect("read"), "[a]\nb = 1\n");
        let config = read_json(around, r#"{"includeLayers":true}"#);
        assert_eq!(config["layers"][0]["version"], *response.version);
    });
}

#[test]
fn only_the_version_that_was_seen_is_changed() {
    let (place, path) = placed("# Mine.\nmodel = 'm' # fast\n");
    at(&place, &[], |around| {
        let json = r#"{"keyPath":"model","value":"n","mergeStrategy":"upsert""#;
        let stale = format!("{json},\"expectedVersion\":\"sha256:00\"}}");
        let failure = written(around, &stale).expect_err("refused");
        assert!(failure.message.contains("has changed: expected version \"sha256:00\""));
        let seen = format!(
            "{json},\"expectedVersion\":\"{}\"}}",
            version("# Mine.\nmodel = 'm' # fast\n")
        );
        written(around, &seen).expect("written");
        let text = fs::read_to_string(&path).expect("read");
        assert_eq!(text, "# Mine.\nmodel = \"n\" # fast\n");
        assert!(written(around, &seen).is_err());
    });
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let (place, path) = placed("model = 'm'\n");
    let edit = |key: &str, value: &str| {
        format!("{{\"keyPath\":{key:?},\"value\":{value},\"mergeStrategy\":\"replace\"}}")
    };
    at(&place, &[], |around| {
        let good = edit("profiles.p.model", "\"q\"");
        for (bad, part) in [
            (edit("sandbox_mode", "\"open\""), "sandbox_mode: \"open\" is not one of"),
            (edit("a..b", "1"), "\"a..b\": a part of the key is empty"),
            (edit("notify", "[null]"), "notify: null cannot stand in a list"),
        ] {
            let failure = all_written(around, &format!("{{\"edits\":[{good},{bad}]}}"));
            let failure = failure.expect_err("refused");
            assert!(failure.message.contains(part) && failure.code == -32600, "{failure}");
        }
        let many = vec![good.clone(); CONFIG_EDITS_MAX + 1].join(",");
        assert!(all_written(around, &format!("{{\"edits\":[{many}]}}")).is_err());
        assert_eq!(fs::read_to_string(&path).expect("read"), "model = 'm'\n");
        let gone = edit("model", "null");
        all_written(around, &format!("{{\"edits\":[{good},{gone}]}}")).expect("written");
    });
    let expected = "\n[profiles.p]\nmodel = \"q\"\n";
    assert_eq!(fs::read_to_string(&path).expect("read").trim_start(), expected.trim_start());
}

#[test]
fn no_other_file_is_written() {
    let (place, path) = placed("");
    let other = place.file("other.toml", "");
    at(&place, &[], |around| {
        let json = |file: &Path| {
            format!(
                r#"{{"keyPath":"a","value":1,"mergeStrategy":"replace","filePath":{:?}}}"#,
                file.to_str().expect("UTF-8")
            )
        };
        let failure = written(around, &json(&other)).expect_err("refused");
        assert!(failure.message.contains("other.toml\" is not written, only"), "{failure}");
        written(around, &json(&place.path().join("home/../home/config.toml"))).expect("written");
    });
    assert_eq!(fs::read_to_string(other).expect("read"), "");
    assert_eq!(fs::read_to_string(path).expect("read"), "a = 1\n");
}

#[test]
fn who_is_overridden_is_told_by_whom() {
    let (place, _) = placed("profile = 'p'\n[profiles.p]\nmodel_verbosity = 'low'\n");
    place.file("etc/managed_config.toml", "model = 'theirs'\n");
    at(&place, &["features.file_tools=true"], |around| {
        let write = |key: &str, value: &str| {
            let json =
                format!("{{\"keyPath\":{key:?},\"value\":{value},\"mergeStrategy\":\"replace\"}}");
            written(around, &json).expect("written")
        };
        let response = write("model", "\"mine\"");
        assert_eq!(response.status, v2::WriteStatus::OkOverridden);
        let told = response.overridden_metadata.expect("told");
        assert_eq!(told.effective_value.as_str(), "\"theirs\"");
        assert!(told.message.ends_with("managed_config.toml"), "{}", told.message);
        let told = write("features", "{\"file_tools\":false}").overridden_metadata.expect("told");
        assert_eq!(&*told.message, "features.file_tools is set by the command line of the server");
        let told = write("model_verbosity", "\"high\"").overridden_metadata.expect("told");
        assert_eq!(&*told.message, "model_verbosity is set by the profile that is chosen");
        for (key, value) in
            [("model", "\"theirs\""), ("review_model", "\"r\""), ("review_model", "null")]
        {
            assert_eq!(write(key, value).status, v2::WriteStatus::Ok, "{key}");
        }
    });
}

#[test]
fn a_broken_file_is_left_alone_and_named() {
    let (place, path) = placed("model = \n");
    at(&place, &[], |around| {
        let json = r#"{"keyPath":"model","value":"n","mergeStrategy":"replace"}"#;
        let failure = written(around, json).expect_err("refused");
        let expected = format!("{} line 1: ", path.display());
        assert!(failure.message.starts_with(&expected), "{failure}");
        let params = v2::ConfigReadParams::decode("{}").expect("parameters");
        assert!(read(around, &params).expect_err("refused").message.starts_with(&expected));
    });
    assert_eq!(fs::read_to_string(&path).expect("read"), "model = \n");
}

#[test]
fn the_default_model_is_set_and_taken_away() {
    let (place, path) = placed("model_reasoning_effort = 'low'\n");
    at(&place, &[], |around| {
        let set = |json: &str| {
            let params = v1::SetDefaultModelParams::decode(json).expect("parameters");
            set_default_model(around, &params).expect("written");
            fs::read_to_string(&path).expect("read")
        };
        assert_eq!(set("{\"model\":\"m\"}"), "model = \"m\"\n");
        let both = set("{\"model\":\"m\",\"reasoningEffort\":\"high\"}");
        assert_eq!(both, "model = \"m\"\nmodel_reasoning_effort = \"high\"\n");
        assert_eq!(set("{}"), "");
        let model = Some("m".repeat(MODEL_NAME_BYTES_MAX + 1).into());
        let params = v1::SetDefaultModelParams { model, reasoning_effort: None };
        let refused = set_default_model(around, &params).expect_err("refused");
        assert!(refused.message.contains("name of the model"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("read"), "");
    });
}

#[test]
fn what_the_user_saved_is_what_the_own_file_says() {
    let config = "model = 'm'\nmodel_reasoning_effort = 'xhigh'\napproval_policy = 'never'\n\
                  [sandbox_workspace_write]\nwritable_roots = ['/w']\n[tools]\nweb_search = true\n\
                  [profiles.p]\nmodel_provider = 'x'\nmodel_verbosity = 'low'\n";
    let (place, _) = placed(config);
    place.file("etc/managed_config.toml", "model = 'theirs'\n");
    let saved = at(&place, &["profile=p"], |around| json_of(&saved(around).expect("read")));
    let saved = &saved["config"];
    assert_eq!(saved["model"], "m");
    assert!(saved["modelReasoningEffort"].is_null() && saved["profile"].is_null());
    assert_eq!(saved["approvalPolicy"], "never");
    assert_eq!(saved["sandboxSettings"]["writableRoots"][0], "/w");
    assert_eq!(saved["tools"]["webSearch"], true);
    assert_eq!(saved["profiles"]["p"]["modelProvider"], "x");
    assert_eq!(saved["profiles"]["p"]["modelVerbosity"], "low");
    let empty = at(&placed("").0, &[], |around| {
        json_of(&super::saved(around).expect("read"))["config"].clone()
    });
    assert_eq!(empty["profiles"], Value::Object(serde_json::Map::new()));
}
