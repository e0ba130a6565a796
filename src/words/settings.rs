//! What one thread runs with.

use std::borrow::Cow;

use crate::words::policy::{ApprovalPolicy, SandboxPolicy};

/// Everything a thread needs to know to run turns; made by `config`, kept by the thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadSettings {
    pub model: Box<str>,
    /// The provider's key in the configuration.
    pub provider: Box<str>,
    /// Absolute.
    pub cwd: Box<str>,
    pub approval: ApprovalPolicy,
    /// Whether a model says what it makes of a command before a person is asked about it.
    pub assess_commands: bool,
    pub sandbox: SandboxPolicy,
    /// The user's shell, for `shell_command` and the environment note.
    pub shell: Box<str>,
    /// Base instructions.
    pub instructions: Cow<'static, str>,
    /// A message from the developer, ahead of everything else.
    pub developer_instructions: Option<Box<str>>,
    /// Texts of AGENTS.md, joined; `None` if there are none.
    pub project_notes: Option<Box<str>>,
    pub reasoning: ReasoningSettings,
    pub verbosity: Option<Verbosity>,
    /// A JSON Schema for the final message, as JSON text.
    pub output_schema: Option<Box<str>>,
    /// Tokens the model's window holds; `None` if unknown.
    pub context_window: Option<u64>,
    /// Tokens from which on a history is summed up before the next request.
    pub compact_at_tokens: Option<u64>,
    /// What the model is asked for a summary.
    pub compact_prompt: Cow<'static, str>,
    pub parallel_tool_calls: bool,
    pub tools: ToolSettings,
    /// Attempts beyond the first, for a request that was not answered.
    pub request_retries_max: u32,
    /// Attempts beyond the first, for a stream that broke.
    pub stream_retries_max: u32,
    /// How long a stream may say nothing.
    pub stream_idle_ms: u64,
    pub budgets: Budgets,
    /// Send the provider's ids back and let it store (Azure).
    pub stored_by_provider: bool,
    /// Where the thread was started from: `exec`, `cli`, `vscode`, `mcp`.
    pub source: &'static str,
    /// The originator that requests and records name.
    pub originator: Box<str>,
}

/// What a turn may use, where that is limited.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Budgets {
    /// Requests to the model; trying one again does not count.
    pub requests_max: Option<u32>,
    /// Tokens, as `Usage::used` counts them.
    pub tokens_max: Option<u64>,
    pub time: Option<TimeBudget>,
}

/// A length of time, and when it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeBudget {
    /// In monotonic milliseconds.
    pub since_ms: u64,
    pub length_ms: u64,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ReasoningSettings {
    /// Whether the model takes a `reasoning` object at all.
    pub supported: bool,
    pub effort: Option<Box<str>>,
    /// `auto`, `concise`, `detailed`; `None` for none.
    pub summary: Option<Box<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verbosity {
    Low,
    Medium,
    High,
}

/// Which tools are offered and in which form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ToolSettings {
    pub shell: ShellForm,
    pub patch: PatchForm,
    /// `grep_files`, `read_file` and `list_dir`.
    pub files: bool,
    /// `view_image`.
    pub images: bool,
    /// The web search of the provider, if it is offered.
    pub web: Option<WebReach>,
}

/// What a web search of the provider may look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WebReach {
    /// What the provider lets it; nothing is said.
    Usual,
    /// Copies that the provider holds.
    Cached,
    /// Pages that the provider has in its index, as they are now.
    Indexed,
    Live,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShellForm {
    /// `shell` with an argument vector.
    Argv,
    /// `shell_command` with one string.
    Line,
    /// The provider's own `local_shell`.
    Local,
    /// `exec_command` and `write_stdin`.
    Sessions,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatchForm {
    Freeform,
    Function,
    /// Not offered; the model reaches it through the shell.
    ThroughShell,
}

/// Facts about the place, gathered by the host when a thread opens.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OpeningFacts {
    pub git: Option<GitFacts>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct GitFacts {
    pub commit_hash: Option<Box<str>>,
    pub branch: Option<Box<str>>,
    pub repository_url: Option<Box<str>>,
}
