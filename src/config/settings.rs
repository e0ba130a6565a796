//! Everything together: what a thread runs with and what the front does with it.
//!
//! Pure. The host asks [`wanted`] what to read, reads it, and lends it to [`resolve`]. Precedence
//! is that of [`super::layers`], with dedicated flags on top.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::config::args::{Invocation, Override, Verb};
use crate::config::layers::{Layers, Named};
use crate::config::models;
use crate::config::providers::{DEFAULT_PROVIDER, Provider};
use crate::config::request::Requested;
use crate::config::{ConfigError, Env, env_text, instructions, request, review};
use crate::limits::{INSTRUCTIONS_BYTES_MAX, ORIGINATOR_BYTES_MAX, PROJECT_NOTES_BYTES_MAX};
use crate::words::policy::{ApprovalPolicy, SandboxMode};
use crate::words::settings::{Budgets, PatchForm, ThreadSettings};

mod model;
mod options;
mod places;

pub use self::model::{checked as model_checked, for_model, named as model_named};
pub use self::options::ExecOptions;
pub use self::places::{Inherit, ShellEnvironment, sandbox, shell_environment, unreadable};

/// What the host must read before settings can be resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// A file of base instructions; relative to the working directory.
    pub instructions_file: Option<PathBuf>,
    /// What asks for a summary.
    pub compact_prompt_file: Option<PathBuf>,
    /// Bytes of project notes that count; 0 for none.
    pub notes_bytes_max: u64,
    /// Names of project notes beside AGENTS.md.
    pub notes_names: Vec<Box<str>>,
}

/// What the host lends.
#[derive(Clone, Copy)]
pub struct Lent<'a> {
    pub env: Env<'a>,
    /// The working directory: absolute, existing, `--cd` applied.
    pub cwd: &'a str,
    pub project_notes: Option<&'a str>,
    /// Whether the user trusts the place.
    pub is_trusted: bool,
    /// The text of [`Wanted::instructions_file`].
    pub instructions: Option<&'a str>,
    /// The text of [`Wanted::compact_prompt_file`].
    pub compact_prompt: Option<&'a str>,
    /// The text of `--output-schema`.
    pub output_schema: Option<&'a str>,
}

impl fmt::Debug for Lent<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Texts are long and the environment holds secrets.
        formatter.debug_struct("Lent").field("cwd", &self.cwd).finish_non_exhaustive()
    }
}

/// The result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    pub settings: ThreadSettings,
    pub provider: Provider,
    pub options: ExecOptions,
    pub shell_environment: ShellEnvironment,
    /// A program to start after each completed turn, and its first words; empty for none.
    pub notify: Vec<Box<str>>,
    /// Lines for stderr.
    pub notices: Vec<Box<str>>,
}

/// What to read for these layers.
pub fn wanted(layers: &Layers) -> Wanted {
    let file = layers
        .text(&["model_instructions_file"])
        .or_else(|| layers.text(&["experimental_instructions_file"]));
    let notes_bytes_max = layers.count(&["project_doc_max_bytes"]).unwrap_or(NOTES_BYTES);
    Wanted {
        instructions_file: file.map(PathBuf::from),
        compact_prompt_file: layers
            .text(&["experimental_compact_prompt_file"])
            .filter(|_| layers.text(&["compact_prompt"]).is_none())
            .map(PathBuf::from),
        notes_bytes_max: notes_bytes_max.min(PROJECT_NOTES_BYTES_MAX),
        notes_names: layers.texts(&["project_doc_fallback_filenames"]).unwrap_or_default(),
    }
}

/// Bytes of project notes that count unless somebody says otherwise.
const NOTES_BYTES: u64 = 32 * 1024;

const ORIGINATOR: &str = "codex_exec";

/// Where threads of clients are from: most clients are editors.
const CLIENTS: &str = "vscode";

/// Resolves what was typed against what is configured.
pub fn resolve(
    invocation: &Invocation,
    layers: &Layers,
    lent: Lent<'_>,
) -> Result<Resolved, ConfigError> {
    let mut notices = Vec::new();
    if !invocation.ignored.is_empty() {
        let names: Vec<_> = invocation.ignored.iter().map(|name| format!("--{name}")).collect();
        notices.push(format!("ignored, as it changes nothing here: {}", names.join(", ")).into());
    }
    notices.extend(layers.notices());
    notices.extend(ignored_providers(invocation, layers));
    let provider = provider(invocation, layers, lent.env)?;
    let model = model::named(invocation, layers, &provider)?;
    let family = models::family(&model);
    let tools = model::tools(layers, family, &provider.wire);
    let context_window = model::context_window(layers, family);
    let settings = ThreadSettings {
        provider: provider.id.clone(),
        cwd: lent.cwd.into(),
        approval: approval(invocation, layers),
        assess_commands: layers.feature("experimental_sandbox_command_assessment"),
        sandbox: sandbox(invocation, layers, lent)?,
        shell: shell(lent.env),
        instructions: base_instructions(invocation, layers, lent, tools.patch)?,
        developer_instructions: layers
            .text(&["developer_instructions"])
            .filter(|text| !text.trim().is_empty())
            .map(Box::from),
        project_notes: lent.project_notes.map(Box::from),
        reasoning: model::reasoning(layers, family, &provider.wire),
        verbosity: model::verbosity(layers, family, &provider.wire, &mut notices),
        output_schema: options::output_schema(invocation, lent)?,
        context_window,
        compact_at_tokens: model::compact_at_tokens(layers, context_window),
        compact_prompt: compact_prompt(layers, lent)?,
        parallel_tool_calls: family.parallel_tool_calls,
        tools,
        request_retries_max: provider.request_retries_max,
        stream_retries_max: provider.stream_retries_max,
        stream_idle_ms: provider.idle_ms,
        budgets: budgets(invocation, layers)?,
        stored_by_provider: provider.is_azure,
        source: if invocation.requested.is_some() { CLIENTS } else { "exec" },
        originator: originator(invocation.requested.as_deref(), lent.env),
        model,
    };
    let options = options::options(invocation, layers, lent.cwd)?;
    let settings = match options.review {
        Some(_) => review::settings(settings),
        None => settings,
    };
    let shell_environment = shell_environment(layers);
    let notify = match invocation.verb {
        Verb::Demo => Vec::new(),
        _ => layers.texts(&["notify"]).unwrap_or_default(),
    };
    Ok(Resolved { settings, provider, options, shell_environment, notify, notices })
}

/// Lines for people: tables of providers that do not count.
fn ignored_providers(invocation: &Invocation, layers: &Layers) -> Vec<Box<str>> {
    let names = match invocation.verb {
        Verb::Demo => Vec::new(),
        _ => layers.names(&["model_providers"]),
    };
    let ignored = names.iter().filter(|id| Provider::is_built_in(id));
    ignored
        .map(|id| format!("[model_providers.{id}] is ignored: {id} is built in").into())
        .collect()
}

/// Who is asked.
pub fn provider(
    invocation: &Invocation,
    layers: &Layers,
    env: Env<'_>,
) -> Result<Provider, ConfigError> {
    if invocation.verb == Verb::Demo {
        return Ok(Provider::demo());
    }
    let local = || {
        let named = invocation.local_provider.as_deref();
        named.or_else(|| layers.text(&["oss_provider"])).unwrap_or("ollama")
    };
    let id = match invocation.oss {
        true => local(),
        false => layers.text(&["model_provider"]).unwrap_or(DEFAULT_PROVIDER),
    };
    Provider::find(id, layers, env)
}

/// When people are asked. `exec` has nobody to ask.
fn approval(invocation: &Invocation, layers: &Layers) -> ApprovalPolicy {
    let Some(requested) = &invocation.requested else { return ApprovalPolicy::Never };
    // A source holds only names of policies.
    let configured = || layers.text(&["approval_policy"]).and_then(request::approval_policy);
    requested.approval.or_else(configured).unwrap_or(ApprovalPolicy::OnRequest)
}

fn shell(env: Env<'_>) -> Box<str> {
    let shell = env_text(env, "SHELL").filter(|shell| shell.starts_with('/'));
    shell.map_or_else(|| "/bin/sh".into(), Box::from)
}

fn base_instructions(
    invocation: &Invocation,
    layers: &Layers,
    lent: Lent<'_>,
    patch: PatchForm,
) -> Result<Cow<'static, str>, ConfigError> {
    let asked = invocation.requested.as_ref().and_then(|asked| asked.base_instructions.as_ref());
    if let Some(text) = asked.filter(|text| !text.trim().is_empty()) {
        if text.len() > INSTRUCTIONS_BYTES_MAX {
            let message = format!("baseInstructions: larger than {INSTRUCTIONS_BYTES_MAX} bytes");
            return Err(ConfigError::new(message));
        }
        return Ok(Cow::Owned(text.to_string()));
    }
    let Some(text) = lent.instructions else {
        return Ok(Cow::Borrowed(instructions::base(patch)));
    };
    let key = match layers.find(&["model_instructions_file"]) {
        Some(_) => ["model_instructions_file"],
        None => ["experimental_instructions_file"],
    };
    if text.trim().is_empty() {
        return Err(layers.wrong(&key, "the file is empty"));
    }
    if text.len() > INSTRUCTIONS_BYTES_MAX {
        let why = format!("the file is larger than {INSTRUCTIONS_BYTES_MAX} bytes");
        return Err(layers.wrong(&key, &why));
    }
    Ok(Cow::Owned(text.to_owned()))
}

fn compact_prompt(layers: &Layers, lent: Lent<'_>) -> Result<Cow<'static, str>, ConfigError> {
    let configured = layers.text(&["compact_prompt"]);
    let (text, key) = match (configured, lent.compact_prompt) {
        (Some(text), _) => (text, "compact_prompt"),
        (None, Some(text)) => (text, "experimental_compact_prompt_file"),
        (None, None) => return Ok(Cow::Borrowed(instructions::COMPACT)),
    };
    if text.trim().is_empty() {
        return Err(layers.wrong(&[key], "it is empty"));
    }
    if text.len() > INSTRUCTIONS_BYTES_MAX {
        let why = format!("it is larger than {INSTRUCTIONS_BYTES_MAX} bytes");
        return Err(layers.wrong(&[key], &why));
    }
    Ok(Cow::Owned(text.to_owned()))
}

/// Requests and tokens; when the time began is for the host to say.
fn budgets(invocation: &Invocation, layers: &Layers) -> Result<Budgets, ConfigError> {
    let count = |typed: Option<u64>, key: &str| match typed.or_else(|| layers.count(&[key])) {
        Some(0) => Err(layers.wrong(&[key], "must be above zero")),
        count => Ok(count),
    };
    let requests_max = count(invocation.max_turns, "max_turns")?;
    Ok(Budgets {
        requests_max: requests_max.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        tokens_max: count(invocation.max_tokens, "max_tokens")?,
        time: None,
    })
}

/// A token of headers and records: the environment's, if it is one, or the client's.
pub fn originator(requested: Option<&Requested>, env: Env<'_>) -> Box<str> {
    let token = |text: &String| {
        text.len() <= ORIGINATOR_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let named = env_text(env, "CODEX_INTERNAL_ORIGINATOR_OVERRIDE").filter(token);
    let asks = requested.and_then(Requested::originator);
    named.map(Box::from).or(asks).unwrap_or_else(|| ORIGINATOR.into())
}

/// Feeds a user's file, a list of `-c` and a project's file to everything that reads them.
///
/// For tests and fuzzing: whatever they hold is refused in one line or gives settings, and a
/// project alone opens nothing.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, '\u{1}');
    let [config, pairs, project] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let overrides = pairs.lines().map(|pair| Override::Pair(pair.into())).collect();
    let invocation = Invocation { overrides, ..Invocation::default() };
    let is_alone = config.trim().is_empty() && invocation.overrides.is_empty();
    match resolve_texts(&invocation, config, project) {
        Ok(resolved) if is_alone => {
            assert_eq!(resolved.settings.sandbox.mode, SandboxMode::ReadOnly);
            assert!(!resolved.settings.sandbox.network);
            assert!(resolved.settings.sandbox.writable_roots.is_empty());
            assert_eq!(resolved.shell_environment, ShellEnvironment::default());
            assert!(resolved.notify.is_empty() && resolved.provider.id == DEFAULT_PROVIDER.into());
        }
        Ok(_) => {}
        Err(error) => assert!(!error.0.contains(char::is_control), "one line: {error}"),
    }
}

fn resolve_texts(
    invocation: &Invocation,
    config: &str,
    project: &str,
) -> Result<Resolved, ConfigError> {
    let mut layers = Layers::new(invocation, Some(Named { name: "config.toml", text: config }))?;
    if let Some(profile) = layers.wanted_profile(invocation) {
        layers.choose_profile(&profile, None)?;
    }
    layers.add_project(Named { name: "project.toml", text: project })?;
    let env: Env<'_> = &|_| None;
    let lent = Lent {
        env,
        cwd: "/work",
        project_notes: None,
        is_trusted: false,
        instructions: None,
        compact_prompt: None,
        output_schema: None,
    };
    resolve(invocation, &layers, lent)
}

#[cfg(test)]
mod tests;
