//! The JSON arguments of function calls, read into one shape for all tools.
//!
//! One struct with every tool's fields keeps the binary small; which of them a tool needs, it says
//! itself through [`required`]. Errors are answers that tell the model what was wrong.

use serde::Deserialize;

use crate::words::call::Answer;

/// The fields of all tools.
#[derive(Deserialize, Default, Debug)]
#[serde(expecting = "an object")]
pub struct Arguments {
    pub command: Option<CommandArgument>,
    pub workdir: Option<String>,
    #[serde(alias = "timeout")]
    pub timeout_ms: Option<f64>,
    pub with_escalated_permissions: Option<bool>,
    pub sandbox_permissions: Option<String>,
    pub justification: Option<String>,
    pub input: Option<String>,
    pub explanation: Option<String>,
    pub plan: Option<Vec<StepArgument>>,
    /// The local shell's own name for `workdir`.
    pub working_directory: Option<String>,
    pub cmd: Option<String>,
    pub shell: Option<String>,
    pub login: Option<bool>,
    pub tty: Option<bool>,
    pub yield_time_ms: Option<f64>,
    pub max_output_tokens: Option<f64>,
    pub session_id: Option<f64>,
    pub chars: Option<String>,
    /// Of an answer about a command's risk.
    pub description: Option<String>,
    pub risk_level: Option<String>,
}

/// A command: models mix the two forms up, and both can be understood.
#[derive(Deserialize, Debug)]
#[serde(untagged, expecting = "command: expected a list of texts")]
pub enum CommandArgument {
    Argv(Vec<String>),
    Line(String),
}

#[derive(Deserialize, Debug)]
pub struct StepArgument {
    pub step: String,
    pub status: String,
}

impl Arguments {
    /// Reads a call's arguments; no text at all means none.
    pub fn parse(text: &str) -> Result<Arguments, Answer> {
        if text.trim().is_empty() {
            return Ok(Arguments::default());
        }
        serde_json::from_str(text).map_err(|error| {
            Answer::failure(format!("failed to parse function arguments: {error}"))
        })
    }
}

/// The field, or an answer that names it.
pub fn required<T>(field: Option<T>, name: &str) -> Result<T, Answer> {
    field.ok_or_else(|| {
        Answer::failure(format!("failed to parse function arguments: missing field `{name}`"))
    })
}
