//! `config/read` and its kin: what is configured, where each key is from, and changes of the user's
//! own file.
//!
//! Only config.toml of the home is ever written, whole or not at all, and only if it still is what
//! the client has seen.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::config::args::{Invocation, Verb};
use crate::config::edit::{self, Edit, Merge};
use crate::config::effective::{self, Effective};
use crate::config::file::Source;
use crate::config::layers::{Layers, Named, Rank};
use crate::config::settings::model_checked;
use crate::config::{request, value};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::codec::{Json, Map, Preset, Typed};
use crate::fronts::app_server::types::{v1, v2};
use crate::host::app_server::{Surroundings, failed, refused};
use crate::host::disk;
use crate::host::disk::config::{layers_on, place};
use crate::host::disk::replacing::{Readers, replace};
use crate::limits::{CONFIG_EDITS_MAX, CONFIG_FILE_BYTES_MAX};
use crate::words::sort;

/// Answers `config/read`. With a directory, what its projects say counts as well.
pub fn read(
    around: &Surroundings<'_>,
    params: &v2::ConfigReadParams,
) -> Result<v2::ConfigReadResponse, Failure> {
    let (home, layers) = match &params.cwd {
        Some(cwd) => {
            if !cwd.starts_with('/') {
                return Err(Failure::refused(format!("cwd: {cwd:?}: not an absolute path")));
            }
            let directory = Some(PathBuf::from(&**cwd));
            let invocation = Invocation { directory, ..invocation(around) };
            let placed = place(around.machine, &invocation, around.env).map_err(refused)?;
            (placed.home, placed.layers)
        }
        None => layers_on(around.machine, &invocation(around), around.env).map_err(refused)?,
    };
    let Effective { config, origins } = effective::effective(&layers);
    let stack = layers.stack();
    let metadata = |index: usize| metadata(&layers, stack[index].0, stack[index].1);
    let origins = origins.into_iter().map(|(key, index)| (key.into(), metadata(index)));
    let origins = sort::map(origins);
    let mut listed = Vec::new();
    for (index, (rank, source)) in stack.iter().enumerate().rev() {
        if *rank == Rank::Given && source.table().is_empty() {
            continue;
        }
        let v2::ConfigLayerMetadata { name, version } = metadata(index);
        let config = json(&value::table_to_json(source.table()));
        listed.push(v2::ConfigLayer { name, version, config, disabled_reason: None });
    }
    if let Some(home) = &home.path
        && !stack.iter().any(|(rank, _)| *rank == Rank::Config)
    {
        // So that a client has a version to write the first key with.
        let file = home.join("config.toml").display().to_string().into();
        let at = stack.iter().rev().take_while(|(rank, _)| *rank != Rank::Machine).count();
        let at = at.min(listed.len());
        listed.insert(
            at,
            v2::ConfigLayer {
                name: v2::ConfigLayerSource::User { file, profile: None },
                version: version(""),
                config: json(&Value::Object(serde_json::Map::new())),
                disabled_reason: None,
            },
        );
    }
    let config: Map<Json> =
        sort::map(config.iter().map(|(key, value)| (key.as_str().into(), json(value))));
    Ok(v2::ConfigReadResponse {
        config,
        origins,
        layers: params.include_layers.0.then_some(listed),
    })
}

/// Answers `config/value/write`.
pub fn write_value(
    around: &Surroundings<'_>,
    params: &v2::ConfigValueWriteParams,
) -> Result<v2::ConfigWriteResponse, Failure> {
    let edit = edit_of(&params.key_path, &params.value, params.merge_strategy)?;
    write(around, &[edit], params.file_path.as_deref(), params.expected_version.as_deref())
}

/// Answers `config/batchWrite`: all edits are made or none.
pub fn write_batch(
    around: &Surroundings<'_>,
    params: &v2::ConfigBatchWriteParams,
) -> Result<v2::ConfigWriteResponse, Failure> {
    if params.edits.len() > CONFIG_EDITS_MAX {
        return Err(Failure::refused(format!("edits: more than {CONFIG_EDITS_MAX}")));
    }
    let edit = |edit: &v2::ConfigEdit| edit_of(&edit.key_path, &edit.value, edit.merge_strategy);
    let edits: Vec<Edit> = params.edits.iter().map(edit).collect::<Result<_, _>>()?;
    write(around, &edits, params.file_path.as_deref(), params.expected_version.as_deref())
}

/// Answers `setDefaultModel`: what is not given is taken away.
pub fn set_default_model(
    around: &Surroundings<'_>,
    params: &v1::SetDefaultModelParams,
) -> Result<v1::SetDefaultModelResponse, Failure> {
    let model = params.model.as_deref().map_or(Value::Null, Value::from);
    let effort = params.reasoning_effort.map(|effort| json_of(&effort));
    let edit = |key: &str, value| Edit { path: vec![key.into()], value, merge: Merge::Replace };
    let edits =
        [edit("model", model), edit("model_reasoning_effort", effort.unwrap_or(Value::Null))];
    write(around, &edits, None, None)?;
    Ok(v1::SetDefaultModelResponse {})
}

/// Answers `getUserSavedConfig`: what the user's own file says, and nobody else.
pub fn saved(around: &Surroundings<'_>) -> Result<v1::GetUserSavedConfigResponse, Failure> {
    let text = match around.home()? {
        Some(home) => read_text(&home.join("config.toml"))?,
        None => String::new(),
    };
    let config = Named { name: "config.toml", text: &text };
    let layers = Layers::new(&Invocation::default(), Some(config)).map_err(refused)?;
    let profile = |name: Box<str>| {
        let path = |key| ["profiles", &*name, key];
        let profile = v1::Profile {
            model: text_at(&layers, &path("model")),
            model_provider: text_at(&layers, &path("model_provider")),
            approval_policy: word_at(&layers, &path("approval_policy")),
            model_reasoning_effort: word_at(&layers, &path("model_reasoning_effort")),
            model_reasoning_summary: word_at(&layers, &path("model_reasoning_summary")),
            model_verbosity: word_at(&layers, &path("model_verbosity")),
            chatgpt_base_url: text_at(&layers, &path("chatgpt_base_url")),
        };
        (name, profile)
    };
    let sandbox = |key| ["sandbox_workspace_write", key];
    let tool = |key| layers.flag(&["tools", key]);
    let is_there = |key: &str| layers.find(&[key]).is_some();
    let config = v1::UserSavedConfig {
        approval_policy: word_at(&layers, &["approval_policy"]),
        sandbox_mode: word_at(&layers, &["sandbox_mode"]),
        sandbox_settings: is_there("sandbox_workspace_write").then(|| v1::SandboxSettings {
            writable_roots: Preset(layers.texts(&sandbox("writable_roots")).unwrap_or_default()),
            network_access: layers.flag(&sandbox("network_access")),
            exclude_tmpdir_env_var: layers.flag(&sandbox("exclude_tmpdir_env_var")),
            exclude_slash_tmp: layers.flag(&sandbox("exclude_slash_tmp")),
        }),
        forced_chatgpt_workspace_id: text_at(&layers, &["forced_chatgpt_workspace_id"]),
        forced_login_method: word_at(&layers, &["forced_login_method"]),
        model: text_at(&layers, &["model"]),
        model_reasoning_effort: word_at(&layers, &["model_reasoning_effort"]),
        model_reasoning_summary: word_at(&layers, &["model_reasoning_summary"]),
        model_verbosity: word_at(&layers, &["model_verbosity"]),
        tools: is_there("tools")
            .then(|| v1::Tools { web_search: tool("web_search"), view_image: tool("view_image") }),
        profile: text_at(&layers, &["profile"]),
        profiles: layers.names(&["profiles"]).into_iter().map(profile).collect(),
    };
    Ok(v1::GetUserSavedConfigResponse { config })
}

/// Makes edits in the user's file, if it is what the client thinks it is.
fn write(
    around: &Surroundings<'_>,
    edits: &[Edit],
    file: Option<&str>,
    expected: Option<&str>,
) -> Result<v2::ConfigWriteResponse, Failure> {
    let Some(home) = around.home()? else {
        return Err(Failure::refused("there is no home directory that could hold settings"));
    };
    let path = home.join("config.toml");
    let name = path.display().to_string();
    let is_ours = |file: &Path| {
        let real = |path: &Path| path.canonicalize().ok();
        file == path || real(file).is_some_and(|file| Some(file) == real(&path))
    };
    if let Some(file) = file.filter(|file| !is_ours(Path::new(file))) {
        return Err(Failure::refused(format!("filePath: {file:?} is not written, only {name} is")));
    }
    let text = read_text(&path)?;
    let found = version(&text);
    if let Some(expected) = expected.filter(|expected| **expected != *found) {
        let expected: String = expected.chars().take(found.len()).collect();
        return Err(Failure::refused(format!(
            "{name} has changed: expected version {expected:?}, found {found:?}; read it again"
        )));
    }
    let edited = edit::apply(&name, &text, edits).map_err(refused)?;
    let config = Named { name: &name, text: &edited };
    if let Ok(layers) = Layers::new(&Invocation::default(), Some(config)) {
        // With a model that cannot be, no server would begin any more.
        model_checked(layers.text(&["model"]).unwrap_or_default().trim()).map_err(refused)?;
    }
    if edited != text {
        replace(&path, &edited, Readers::Same).map_err(failed)?;
    }
    let overridden_metadata = overridden(around, edits)?;
    Ok(v2::ConfigWriteResponse {
        status: match overridden_metadata {
            Some(_) => v2::WriteStatus::OkOverridden,
            None => v2::WriteStatus::Ok,
        },
        version: version(&edited),
        file_path: name.into(),
        overridden_metadata,
    })
}

/// The first of the edits that has no effect, as something above the user's file says otherwise.
fn overridden(
    around: &Surroundings<'_>,
    edits: &[Edit],
) -> Result<Option<v2::OverriddenMetadata>, Failure> {
    // What is written is written, even if what is above it cannot be read.
    let Ok((_, layers)) = layers_on(around.machine, &invocation(around), around.env) else {
        return Ok(None);
    };
    let Effective { config, origins } = effective::effective(&layers);
    let stack = layers.stack();
    let above = stack.iter().position(|(rank, _)| *rank == Rank::Config);
    let mut leaves = Vec::new();
    for edit in edits {
        leaves_of(&mut edit.path.clone(), &edit.value, &mut leaves);
    }
    let config = Value::Object(config);
    for (path, value) in leaves {
        let found = path.iter().try_fold(&config, |inside, name| inside.get(&**name));
        let found = found.unwrap_or(&Value::Null);
        let key = path.iter().fold(String::new(), |key, name| effective::joined(&key, name));
        let within = format!("{key}.");
        let origin = origins.iter().find(|(known, index)| {
            let is_here = **known == key || known.starts_with(&within);
            is_here && above.is_none_or(|above| **index >= above)
        });
        let Some((_, index)) = origin.filter(|_| found != value) else { continue };
        let (rank, source) = stack[*index];
        let overriding_layer = metadata(&layers, rank, source);
        let message = match rank {
            Rank::Config => format!("{key} is set by the profile that is chosen"),
            _ => format!("{key} is set by {}", called(rank, source)),
        };
        return Ok(Some(v2::OverriddenMetadata {
            message: message.into(),
            overriding_layer,
            effective_value: json(found),
        }));
    }
    Ok(None)
}

/// The values in a value that are no tables, each with its path.
fn leaves_of<'a>(
    path: &mut Vec<Box<str>>,
    value: &'a Value,
    leaves: &mut Vec<(Vec<Box<str>>, &'a Value)>,
) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name.as_str().into());
                leaves_of(path, value, leaves);
                path.pop();
            }
        }
        value => leaves.push((path.clone(), value)),
    }
}

fn called(rank: Rank, source: &Source) -> String {
    match rank {
        Rank::Given => "the command line of the server".to_owned(),
        Rank::Machine | Rank::Config | Rank::Project | Rank::ProfileFile | Rank::Managed => {
            source.to_string()
        }
    }
}

fn metadata(layers: &Layers, rank: Rank, source: &Source) -> v2::ConfigLayerMetadata {
    let file = || source.to_string().into();
    let name = match rank {
        Rank::Machine => v2::ConfigLayerSource::System { file: file() },
        Rank::Config => v2::ConfigLayerSource::User { file: file(), profile: None },
        Rank::ProfileFile => {
            v2::ConfigLayerSource::User { file: file(), profile: layers.profile().map(Box::from) }
        }
        Rank::Project => {
            let file = source.to_string();
            let folder = Path::new(&file).parent().unwrap_or(Path::new(""));
            v2::ConfigLayerSource::Project { dot_codex_folder: folder.to_string_lossy().into() }
        }
        Rank::Given => v2::ConfigLayerSource::SessionFlags,
        Rank::Managed => v2::ConfigLayerSource::LegacyManagedConfigTomlFromFile { file: file() },
    };
    v2::ConfigLayerMetadata { name, version: version(&source.text()) }
}

/// How a text is told from any other.
fn version(text: &str) -> Box<str> {
    let hash = digest(&SHA256, text.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").into()
}

fn edit_of(key: &str, value: &Json, merge: v2::MergeStrategy) -> Result<Edit, Failure> {
    let path = request::path(key).map_err(refused)?;
    let value = serde_json::from_str(value.as_str());
    let value = value.map_err(|_| Failure::refused(format!("{key}: nested too deep")))?;
    let merge = match merge {
        v2::MergeStrategy::Replace => Merge::Replace,
        v2::MergeStrategy::Upsert => Merge::Upsert,
    };
    Ok(Edit { path, value, merge })
}

/// The server's own call, without what it has to do with threads.
fn invocation(around: &Surroundings<'_>) -> Invocation {
    let base = around.base.clone();
    Invocation { verb: Verb::Exec, directory: None, skip_git_repo_check: true, ..base }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let read = disk::read_text(path, CONFIG_FILE_BYTES_MAX);
    let text = read.map_err(|source| failed(disk::Failure::new("read", path, source)))?;
    Ok(text.unwrap_or_default())
}

fn json(value: &Value) -> Json {
    // What serde writes is JSON.
    Json::read(&value.to_string()).unwrap_or_else(|| Json::of(&false))
}

fn json_of(value: &impl Typed) -> Value {
    serde_json::from_str(Json::of(value).as_str()).unwrap_or(Value::Null)
}

fn text_at(layers: &Layers, path: &[&str]) -> Option<Box<str>> {
    layers.text(path).map(Box::from)
}

/// A word of the protocol, if what is set is one.
fn word_at<T: Typed>(layers: &Layers, path: &[&str]) -> Option<T> {
    let text = layers.text(path)?;
    T::decode(&Value::from(text).to_string()).ok()
}

#[cfg(test)]
mod tests;
