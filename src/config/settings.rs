//! Everything together: what a thread runs with and what the front does with it.
//!
//! Pure. The host asks [`wanted`] what to read, reads it, and lends it to [`resolve`]. Precedence
//! is that of [`super::layers`], with dedicated flags on top.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::config::args::{Color, Invocation, Override, Resumed, StdinUse, Verb};
use crate::config::flags;
use crate::config::layers::{Layers, Named};
use crate::config::models::{self, Family, VerbositySupport};
use crate::config::providers::{DEFAULT_PROVIDER, Provider, Wire};
use crate::config::{ConfigError, Env, env_text, instructions, review};
use crate::limits::{
    INSTRUCTIONS_BYTES_MAX, MODEL_NAME_BYTES_MAX, ORIGINATOR_BYTES_MAX, OUTPUT_SCHEMA_BYTES_MAX,
    PROJECT_NOTES_BYTES_MAX,
};
use crate::words::command::{Course, Which};
use crate::words::policy::{ApprovalPolicy, SandboxMode, SandboxPolicy};
use crate::words::review::Target;
use crate::words::settings::{
    Budgets, PatchForm, ReasoningSettings, ShellForm, ThreadSettings, ToolSettings, Verbosity,
    WebReach,
};

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

/// What concerns the `exec` front alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecOptions {
    /// As typed; `-` asks for stdin.
    pub prompt: Option<Box<str>>,
    /// What to review, if that is what the run is for.
    pub review: Option<Target>,
    /// A session to go on from, and how.
    pub past: Option<(Which, Course)>,
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

/// What of the environment commands see.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ShellEnvironment {
    pub inherit: Inherit,
    /// Keep variables whose names look like secrets.
    pub ignore_default_excludes: bool,
    /// Patterns of names to drop.
    pub exclude: Vec<Box<str>>,
    pub set: Vec<(Box<str>, Box<str>)>,
    /// Patterns of names to keep, if there are any.
    pub include_only: Vec<Box<str>>,
    /// Run commands through the user's shell, as a login shell.
    pub use_profile: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Inherit {
    #[default]
    All,
    /// The few that programs cannot do without.
    Core,
    Nothing,
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
    let provider = provider(invocation, layers, lent.env, &mut notices)?;
    let model = model(invocation, layers, &provider)?;
    let family = models::family(&model);
    let tools = tools(layers, family, &provider.wire);
    let context_window = layers
        .count(&["model_context_window"])
        .filter(|tokens| *tokens > 0)
        .or(family.context_window);
    let settings = ThreadSettings {
        provider: provider.id.clone(),
        cwd: lent.cwd.into(),
        // `exec` has nobody to ask.
        approval: ApprovalPolicy::Never,
        sandbox: sandbox(invocation, layers, lent)?,
        shell: shell(lent.env),
        instructions: base_instructions(layers, lent, tools.patch)?,
        developer_instructions: layers
            .text(&["developer_instructions"])
            .filter(|text| !text.trim().is_empty())
            .map(Box::from),
        project_notes: lent.project_notes.map(Box::from),
        reasoning: reasoning(layers, family, &provider.wire),
        verbosity: verbosity(layers, family, &provider.wire, &mut notices),
        output_schema: output_schema(invocation, lent)?,
        context_window,
        compact_at_tokens: layers
            .count(&["model_auto_compact_token_limit"])
            .filter(|tokens| *tokens > 0)
            .or(context_window.map(nine_tenths)),
        compact_prompt: compact_prompt(layers, lent)?,
        parallel_tool_calls: family.parallel_tool_calls,
        tools,
        request_retries_max: provider.request_retries_max,
        stream_retries_max: provider.stream_retries_max,
        stream_idle_ms: provider.idle_ms,
        budgets: budgets(invocation, layers)?,
        stored_by_provider: provider.is_azure,
        source: "exec",
        originator: originator(lent.env),
        model,
    };
    let options = options(invocation, layers, lent.cwd)?;
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

fn provider(
    invocation: &Invocation,
    layers: &Layers,
    env: Env<'_>,
    notices: &mut Vec<Box<str>>,
) -> Result<Provider, ConfigError> {
    if invocation.verb == Verb::Demo {
        return Ok(Provider::demo());
    }
    for id in layers.names(&["model_providers"]) {
        if Provider::is_built_in(&id) {
            let notice = format!("[model_providers.{id}] is ignored: {id} is built in");
            notices.push(notice.into());
        }
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

/// A model of config.toml is meant for its provider, so that `--oss` passes it over.
fn model(
    invocation: &Invocation,
    layers: &Layers,
    provider: &Provider,
) -> Result<Box<str>, ConfigError> {
    if invocation.verb == Verb::Demo {
        return Ok(models::RECORDED_MODEL.into());
    }
    let text = |key| match invocation.oss {
        true => layers.overridden(&[key]),
        false => layers.text(&[key]),
    };
    let of_reviews = match invocation.verb {
        Verb::Review(_) => text("review_model").filter(|model| !model.trim().is_empty()),
        _ => None,
    };
    let configured = of_reviews.or_else(|| text("model"));
    let named = invocation.model.as_deref().or(configured).map(str::trim);
    let model = named.filter(|model| !model.is_empty()).unwrap_or(provider.default_model());
    if model.len() > MODEL_NAME_BYTES_MAX || model.chars().any(char::is_control) {
        let why = format!("longer than {MODEL_NAME_BYTES_MAX} bytes or with control characters");
        return Err(ConfigError::new(format!("the name of the model is {why}")));
    }
    Ok(model.into())
}

/// Chat Completions know functions alone: there every tool is offered in that form.
fn tools(layers: &Layers, family: &Family, wire: &Wire) -> ToolSettings {
    let patch = match layers.flag(&["include_apply_patch_tool"]) {
        _ if layers.feature("apply_patch_freeform") => PatchForm::Freeform,
        Some(false) => PatchForm::ThroughShell,
        Some(true) | None => family.patch,
    };
    let shell = match wire {
        // What a session is, chat models were never taught.
        Wire::Responses | Wire::Replay { .. } if layers.feature("unified_exec") => {
            ShellForm::Sessions
        }
        _ if layers.feature("shell_command_tool") => ShellForm::Line,
        Wire::Responses | Wire::Replay { .. } | Wire::Chat => family.shell,
    };
    let is_chat = *wire == Wire::Chat;
    let shell = match shell {
        ShellForm::Local if is_chat => ShellForm::Argv,
        shell => shell,
    };
    let patch = match patch {
        PatchForm::Freeform if is_chat => PatchForm::Function,
        patch => patch,
    };
    let files = family.files || layers.feature("file_tools");
    // Who says so gets it whatever the model; by default it is for those that take images.
    let images = layers.feature_set("view_image_tool").unwrap_or(family.images);
    let web = web(layers).filter(|_| !is_chat);
    ToolSettings { shell, patch, files, images, web }
}

/// Off unless asked for: not every provider has one, and what is searched for leaves the machine.
fn web(layers: &Layers) -> Option<WebReach> {
    match layers.text(&["web_search"]) {
        Some("cached") => Some(WebReach::Cached),
        Some("indexed") => Some(WebReach::Indexed),
        Some("live") => Some(WebReach::Live),
        // A source holds only known names; the one left is "disabled".
        Some(_) => None,
        None => layers.feature("web_search_request").then_some(WebReach::Usual),
    }
}

/// What commands may touch.
pub fn sandbox(
    invocation: &Invocation,
    layers: &Layers,
    lent: Lent<'_>,
) -> Result<SandboxPolicy, ConfigError> {
    let configured = layers.text(&["sandbox_mode"]);
    // A source holds only names of modes.
    let configured = configured.and_then(|name| flags::sandbox_mode(name).ok());
    let mode = invocation.sandbox.or(configured).unwrap_or(SandboxMode::ReadOnly);
    let table = |key| ["sandbox_workspace_write", key];
    let flag = |key| layers.flag(&table(key)).unwrap_or(false);
    let mut policy = SandboxPolicy::of(mode);
    policy.network = match mode {
        SandboxMode::ReadOnly => false,
        SandboxMode::WorkspaceWrite => flag("network_access"),
        SandboxMode::DangerFullAccess => true,
    };
    policy.exclude_tmpdir_env_var = flag("exclude_tmpdir_env_var");
    policy.exclude_slash_tmp = flag("exclude_slash_tmp");
    let key = table("writable_roots");
    for root in layers.texts(&key).unwrap_or_default() {
        let root = expanded(&root, lent.env);
        if !root.starts_with('/') {
            let why = format!("{root:?} is not an absolute path");
            return Err(layers.wrong(&key, &why));
        }
        policy.writable_roots.push(root.into());
    }
    for path in layers.texts(&["sandbox_deny_read"]).unwrap_or_default() {
        let path = Path::new(lent.cwd).join(expanded(&path, lent.env));
        policy.unreadable.extend(path.to_str().map(Box::from));
    }
    for directory in &invocation.add_dirs {
        let root = Path::new(lent.cwd).join(directory);
        let Some(root) = root.to_str() else {
            return Err(ConfigError::new(format!("--add-dir {}: not UTF-8", root.display())));
        };
        policy.writable_roots.push(root.into());
    }
    Ok(policy)
}

/// A path with `~/` made absolute.
fn expanded(path: &str, env: Env<'_>) -> String {
    match (path.strip_prefix("~/"), env_text(env, "HOME")) {
        (Some(rest), Some(home)) => format!("{}/{rest}", home.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}

fn shell(env: Env<'_>) -> Box<str> {
    let shell = env_text(env, "SHELL").filter(|shell| shell.starts_with('/'));
    shell.map_or_else(|| "/bin/sh".into(), Box::from)
}

fn base_instructions(
    layers: &Layers,
    lent: Lent<'_>,
    patch: PatchForm,
) -> Result<Cow<'static, str>, ConfigError> {
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

/// What of a window is filled before the conversation is summed up.
fn nine_tenths(tokens: u64) -> u64 {
    tokens - tokens.div_ceil(10)
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

fn reasoning(layers: &Layers, family: &Family, wire: &Wire) -> ReasoningSettings {
    let forced = layers.flag(&["model_supports_reasoning_summaries"]).unwrap_or(false);
    let effort = layers.text(&["model_reasoning_effort"]).filter(|text| !text.trim().is_empty());
    let summary = layers.text(&["model_reasoning_summary"]).unwrap_or("auto");
    ReasoningSettings {
        supported: family.reasoning || forced,
        // Not every server of Chat Completions knows efforts, so none is sent unasked.
        effort: effort.or(family.effort.filter(|_| *wire != Wire::Chat)).map(Box::from),
        summary: Some(summary).filter(|summary| *summary != "none").map(Box::from),
    }
}

fn verbosity(
    layers: &Layers,
    family: &Family,
    wire: &Wire,
    notices: &mut Vec<Box<str>>,
) -> Option<Verbosity> {
    let asked = match layers.text(&["model_verbosity"]) {
        Some("low") => Some(Verbosity::Low),
        Some("medium") => Some(Verbosity::Medium),
        Some("high") => Some(Verbosity::High),
        Some(_) | None => None,
    };
    let refused = match family.verbosity {
        _ if *wire == Wire::Chat => "chat completions do not take one",
        VerbositySupport::Supported { default } => return asked.or(default),
        VerbositySupport::Unsupported => "the model does not take one",
    };
    if asked.is_some() {
        notices.push(format!("model_verbosity is not sent: {refused}").into());
    }
    None
}

fn output_schema(invocation: &Invocation, lent: Lent<'_>) -> Result<Option<Box<str>>, ConfigError> {
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

/// A token of headers and records, if the environment's is one.
fn originator(env: Env<'_>) -> Box<str> {
    let token = |text: &String| {
        text.len() <= ORIGINATOR_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let named = env_text(env, "CODEX_INTERNAL_ORIGINATOR_OVERRIDE").filter(token);
    named.map_or_else(|| ORIGINATOR.into(), Box::from)
}

fn options(
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

/// Which variables commands see.
pub fn shell_environment(layers: &Layers) -> ShellEnvironment {
    let path = |key| ["shell_environment_policy", key];
    ShellEnvironment {
        inherit: match layers.text(&path("inherit")) {
            Some("core") => Inherit::Core,
            Some("none") => Inherit::Nothing,
            Some(_) | None => Inherit::All,
        },
        ignore_default_excludes: layers.flag(&path("ignore_default_excludes")).unwrap_or(false),
        exclude: layers.texts(&path("exclude")).unwrap_or_default(),
        set: layers.text_map(&path("set")),
        include_only: layers.texts(&path("include_only")).unwrap_or_default(),
        use_profile: layers.flag(&path("experimental_use_profile")).unwrap_or(false),
    }
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
        instructions: None,
        compact_prompt: None,
        output_schema: None,
    };
    resolve(invocation, &layers, lent)
}

#[cfg(test)]
mod tests;
