//! What concerns the `exec` front alone, and the schema it was given for the last message.

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::Lent;
use crate::config::ConfigError;
use crate::config::args::{Color, Invocation, Resumed, StdinUse, Verb};
use crate::config::layers::Layers;
use crate::limits::OUTPUT_SCHEMA_BYTES_MAX;
use crate::words::command::{Course, Which};
use crate::words::review::Target;

/// How `exec` runs, beside what its thread runs with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecOptions {
    /// As typed; `-` asks for stdin.
    pub prompt: Option<Box<str>>,
    /// What to review, if that is what the run is for.
    pub review: Option<Target>,
    /// A session to go on from, and how.
    pub past: Option<(Which, Course)>,
    /// A model is asked for, whatever a session was recorded with.
    pub is_model_asked: bool,
    pub images: Vec<PathBuf>,
    pub json: bool,
    pub color: Color,
    pub output_last_message: Option<PathBuf>,
    pub ephemeral: bool,
    pub record: Option<PathBuf>,
    pub stdin: StdinUse,
    /// How long the run may take.
    pub timeout_ms: Option<u64>,
    pub skip_git_repo_check: bool,
    pub hide_reasoning: bool,
    pub show_raw_reasoning: bool,
}

pub(super) fn options(
    invocation: &Invocation,
    layers: &Layers,
    cwd: &str,
) -> Result<ExecOptions, ConfigError> {
    let past = match invocation.verb.past() {
        Some((Resumed::Last, course)) => {
            let cwd = Some(cwd.into()).filter(|_| !invocation.all);
            Some((Which::Last { cwd }, course))
        }
        Some((Resumed::Named(name), course)) => Some((named_session(name, cwd)?, course)),
        None => None,
    };
    let flag = |key| layers.flag(&[key]).unwrap_or(false);
    Ok(ExecOptions {
        prompt: invocation.prompt.clone(),
        review: match &invocation.verb {
            Verb::Review(target) => Some(target.clone()),
            _ => None,
        },
        past,
        is_model_asked: invocation.model.is_some() || layers.is_asked("model"),
        images: invocation.images.clone(),
        json: invocation.json,
        color: invocation.color,
        output_last_message: invocation.output_last_message.clone(),
        ephemeral: invocation.ephemeral,
        record: invocation.record.clone(),
        stdin: invocation.stdin,
        timeout_ms: invocation.timeout_ms.or_else(|| layers.time_ms(&["timeout"])),
        skip_git_repo_check: invocation.skip_git_repo_check,
        hide_reasoning: flag("hide_agent_reasoning"),
        show_raw_reasoning: flag("show_raw_agent_reasoning"),
    })
}

/// A session is named by its id, or by the path of its rollout.
fn named_session(name: &str, cwd: &str) -> Result<Which, ConfigError> {
    if let Ok(id) = name.parse() {
        return Ok(Which::Id(id));
    }
    if name.contains('/') || name.ends_with(".jsonl") {
        let path = Path::new(cwd).join(name);
        return Ok(Which::Path(path.to_string_lossy().into()));
    }
    let short: String = name.chars().take(40).collect();
    let message = format!(
        "there is no session {short:?}: name one by its id (a UUID) or by the path of its rollout \
         file, or take the newest with --last"
    );
    Err(ConfigError::new(message))
}

pub(super) fn output_schema(
    invocation: &Invocation,
    lent: Lent<'_>,
) -> Result<Option<Box<str>>, ConfigError> {
    let Some(text) = lent.output_schema else { return Ok(None) };
    let path = invocation.output_schema.as_deref().unwrap_or(Path::new("")).display();
    if text.len() > OUTPUT_SCHEMA_BYTES_MAX {
        let message =
            format!("--output-schema {path}: larger than {OUTPUT_SCHEMA_BYTES_MAX} bytes");
        return Err(ConfigError::new(message));
    }
    let checked: Result<&RawValue, _> = serde_json::from_str(text);
    match checked {
        Ok(schema) => Ok(Some(schema.get().into())),
        Err(error) => {
            let message = format!("--output-schema {path}: not JSON: {error}");
            Err(ConfigError::new(message))
        }
    }
}
