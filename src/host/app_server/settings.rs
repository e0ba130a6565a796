//! What threads and turns of a client run with: its wishes over what is configured where it works.

use std::path::{Path, PathBuf};

use crate::config::ConfigError;
use crate::config::args::{Invocation, StdinUse, Verb};
use crate::config::request::{Requested, Setting};
use crate::config::settings;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::codec::{Json, Map};
use crate::fronts::app_server::types::{v1, v2};
use crate::host::app_server::{Surroundings, refused};
use crate::host::disk::config::{self, Loaded};
use crate::limits::{MODEL_NAME_BYTES_MAX, OUTPUT_SCHEMA_BYTES_MAX};
use crate::words::policy::{ApprovalPolicy, SandboxMode, SandboxPolicy};
use crate::words::settings::ThreadSettings;

/// What a client says of a thread; what it does not say is as configured.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Overrides {
    /// The name the client has given itself; it becomes the originator.
    pub client: Box<str>,
    pub model: Option<Box<str>>,
    pub model_provider: Option<Box<str>>,
    pub profile: Option<Box<str>>,
    pub cwd: Option<Box<str>>,
    pub approval: Option<ApprovalPolicy>,
    pub sandbox: Option<SandboxMode>,
    /// Settings by key; dotted keys are paths, null unsets.
    pub config: Option<Map<Json>>,
    pub base_instructions: Option<Box<str>>,
    pub developer_instructions: Option<Box<str>>,
    pub compact_prompt: Option<Box<str>>,
    pub include_apply_patch_tool: Option<bool>,
    pub ephemeral: bool,
}

impl Overrides {
    pub fn of_conversation(params: &v1::NewConversationParams) -> Overrides {
        Overrides {
            client: Box::default(),
            model: params.model.clone(),
            model_provider: params.model_provider.clone(),
            profile: params.profile.clone(),
            cwd: params.cwd.clone(),
            approval: params.approval_policy.map(asked_v1),
            sandbox: params.sandbox.map(mode_v1),
            config: params.config.clone(),
            base_instructions: params.base_instructions.clone(),
            developer_instructions: params.developer_instructions.clone(),
            compact_prompt: params.compact_prompt.clone(),
            include_apply_patch_tool: params.include_apply_patch_tool,
            ephemeral: false,
        }
    }

    pub fn of_start(params: &v2::ThreadStartParams) -> Overrides {
        Overrides {
            model: params.model.clone(),
            model_provider: params.model_provider.clone(),
            cwd: params.cwd.clone(),
            approval: params.approval_policy.as_ref().map(asked_v2),
            sandbox: params.sandbox.map(mode_v2),
            config: params.config.clone(),
            base_instructions: params.base_instructions.clone(),
            developer_instructions: params.developer_instructions.clone(),
            ephemeral: params.ephemeral.unwrap_or(false),
            ..Overrides::default()
        }
    }

    pub fn of_resume(params: &v2::ThreadResumeParams) -> Overrides {
        Overrides {
            model: params.model.clone(),
            model_provider: params.model_provider.clone(),
            cwd: params.cwd.clone(),
            approval: params.approval_policy.as_ref().map(asked_v2),
            sandbox: params.sandbox.map(mode_v2),
            config: params.config.clone(),
            base_instructions: params.base_instructions.clone(),
            developer_instructions: params.developer_instructions.clone(),
            ..Overrides::default()
        }
    }

    pub fn of_fork(params: &v2::ThreadForkParams) -> Overrides {
        Overrides {
            model: params.model.clone(),
            model_provider: params.model_provider.clone(),
            cwd: params.cwd.clone(),
            approval: params.approval_policy.as_ref().map(asked_v2),
            sandbox: params.sandbox.map(mode_v2),
            config: params.config.clone(),
            base_instructions: params.base_instructions.clone(),
            developer_instructions: params.developer_instructions.clone(),
            ephemeral: params.ephemeral.0,
            ..Overrides::default()
        }
    }

    /// The same, asked by a client of this name.
    #[must_use]
    pub fn by(self, client: &str) -> Overrides {
        Overrides { client: client.into(), ..self }
    }

    /// The command line that would ask for the same, if all of it could be typed.
    fn invocation(&self, base: &Invocation) -> Result<Invocation, ConfigError> {
        let mut settings = Vec::new();
        for (key, value) in self.config.iter().flatten() {
            settings.push(Setting::read(key, value.as_str())?);
        }
        let texts = [
            ("model_provider", &self.model_provider),
            ("developer_instructions", &self.developer_instructions),
            ("compact_prompt", &self.compact_prompt),
        ];
        for (key, text) in texts {
            settings.extend(text.as_deref().map(|text| Setting::new(key, text)));
        }
        let patch = self.include_apply_patch_tool;
        settings.extend(patch.map(|is| Setting::new("include_apply_patch_tool", is)));
        Ok(Invocation {
            verb: Verb::Exec,
            prompt: None,
            model: self.model.clone().or_else(|| base.model.clone()),
            oss: base.oss && self.model_provider.is_none(),
            profile: self.profile.clone().or_else(|| base.profile.clone()),
            directory: self.cwd.as_deref().map(PathBuf::from).or_else(|| base.directory.clone()),
            sandbox: self.sandbox.or(base.sandbox),
            ephemeral: self.ephemeral || base.ephemeral,
            skip_git_repo_check: true,
            stdin: StdinUse::Never,
            requested: Some(Box::new(Requested {
                client: self.client.clone(),
                approval: self.approval,
                base_instructions: self.base_instructions.clone(),
                settings,
            })),
            ..base.clone()
        })
    }
}

/// What a client says of a turn and those after it; only the schema is for this turn alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TurnOverrides {
    pub cwd: Option<Box<str>>,
    pub approval: Option<ApprovalPolicy>,
    /// What may be read stays as it is.
    pub sandbox: Option<SandboxPolicy>,
    pub model: Option<Box<str>>,
    pub effort: Option<Box<str>>,
    /// `none` for none.
    pub summary: Option<&'static str>,
    /// As JSON.
    pub output_schema: Option<Box<str>>,
}

impl TurnOverrides {
    pub fn of_user_turn(params: &v1::SendUserTurnParams) -> TurnOverrides {
        TurnOverrides {
            cwd: Some(params.cwd.clone()),
            approval: Some(asked_v1(params.approval_policy)),
            sandbox: Some(policy_v1(&params.sandbox_policy)),
            model: Some(params.model.clone()),
            effort: params.effort.map(effort_v1).map(Box::from),
            summary: Some(summary(params.summary)),
            output_schema: None,
        }
    }

    pub fn of_turn(params: &v2::TurnStartParams) -> Result<TurnOverrides, Failure> {
        Ok(TurnOverrides {
            cwd: params.cwd.clone(),
            approval: params.approval_policy.as_ref().map(asked_v2),
            sandbox: params.sandbox_policy.as_ref().map(policy_v2),
            model: params.model.clone(),
            effort: params.effort.clone(),
            summary: params.summary.map(summary),
            output_schema: params.output_schema.as_ref().map(|schema| schema.as_str().into()),
        })
    }
}

/// Resolves what a thread runs with.
///
/// `base` is how the server itself was called. Files are read anew, so that a thread has what they
/// say when it starts.
pub fn settings_for(base: &Invocation, overrides: &Overrides) -> Result<Loaded, Failure> {
    settings_in(&Surroundings::of(base), overrides)
}

/// The same in other surroundings.
pub fn settings_in(around: &Surroundings<'_>, overrides: &Overrides) -> Result<Loaded, Failure> {
    let invocation = overrides.invocation(around.base).map_err(refused)?;
    config::load_on(around.machine, &invocation, around.env).map_err(refused)
}

/// What a turn runs with in a thread that ran with `settings` and was loaded as `from`.
pub fn turn_overrides(
    settings: &ThreadSettings,
    from: &Loaded,
    turn: &TurnOverrides,
) -> Result<ThreadSettings, Failure> {
    let mut settings = settings.clone();
    if let Some(model) = turn.model.as_deref().filter(|model| **model != *settings.model) {
        let wire = &from.resolved.provider.wire;
        settings = settings::for_model(settings, model, &from.layers, wire).map_err(refused)?;
    }
    if let Some(cwd) = &turn.cwd {
        settings.cwd = directory(cwd)?;
    }
    if let Some(asked) = &turn.sandbox {
        let unreadable = settings.sandbox.unreadable;
        settings.sandbox = SandboxPolicy { unreadable, ..asked.clone() };
        let relative = settings.sandbox.writable_roots.iter().find(|root| !root.starts_with('/'));
        if let Some(root) = relative {
            let message = format!("sandboxPolicy.writableRoots: {root:?} is not an absolute path");
            return Err(Failure::refused(message));
        }
    }
    settings.approval = turn.approval.unwrap_or(settings.approval);
    if turn.approval.is_some() || turn.sandbox.is_some() {
        config::judge_turn(settings.sandbox.mode, settings.approval).map_err(refused)?;
    }
    if let Some(effort) = &turn.effort {
        let is_word = effort.bytes().all(|byte| byte.is_ascii_graphic());
        if effort.is_empty() || effort.len() > MODEL_NAME_BYTES_MAX || !is_word {
            return Err(Failure::refused("effort: not a word"));
        }
        settings.reasoning.effort = Some(effort.clone());
    }
    if let Some(summary) = turn.summary {
        settings.reasoning.summary = Some(summary).filter(|word| *word != "none").map(Box::from);
    }
    if turn.output_schema.as_ref().is_some_and(|schema| schema.len() > OUTPUT_SCHEMA_BYTES_MAX) {
        let message = format!("outputSchema: larger than {OUTPUT_SCHEMA_BYTES_MAX} bytes");
        return Err(Failure::refused(message));
    }
    settings.output_schema.clone_from(&turn.output_schema);
    Ok(settings)
}

/// A directory that is there, without symbolic links; from where we are if it is relative, as when
/// a thread begins.
fn directory(cwd: &str) -> Result<Box<str>, Failure> {
    let wrong = |why: &str| Failure::refused(format!("cwd: {cwd:?}: {why}"));
    let path = Path::new(cwd).canonicalize().map_err(|error| wrong(&error.to_string()))?;
    match path.to_str() {
        _ if !path.is_dir() => Err(wrong("not a directory")),
        Some(path) => Ok(path.into()),
        None => Err(wrong("not UTF-8")),
    }
}

fn asked_v1(asked: v1::AskForApproval) -> ApprovalPolicy {
    match asked {
        v1::AskForApproval::UnlessTrusted => ApprovalPolicy::Untrusted,
        v1::AskForApproval::OnFailure => ApprovalPolicy::OnFailure,
        v1::AskForApproval::OnRequest => ApprovalPolicy::OnRequest,
        v1::AskForApproval::Never => ApprovalPolicy::Never,
    }
}

/// Who wants to be asked of some things only is asked as usual, unless it is not of the sandbox.
fn asked_v2(asked: &v2::AskForApproval) -> ApprovalPolicy {
    match asked {
        v2::AskForApproval::UnlessTrusted => ApprovalPolicy::Untrusted,
        v2::AskForApproval::OnFailure => ApprovalPolicy::OnFailure,
        v2::AskForApproval::OnRequest => ApprovalPolicy::OnRequest,
        v2::AskForApproval::Granular { sandbox_approval: true, .. } => ApprovalPolicy::OnRequest,
        v2::AskForApproval::Granular { sandbox_approval: false, .. } => ApprovalPolicy::Never,
        v2::AskForApproval::Never => ApprovalPolicy::Never,
    }
}

fn mode_v1(mode: v1::SandboxMode) -> SandboxMode {
    match mode {
        v1::SandboxMode::ReadOnly => SandboxMode::ReadOnly,
        v1::SandboxMode::WorkspaceWrite => SandboxMode::WorkspaceWrite,
        v1::SandboxMode::DangerFullAccess => SandboxMode::DangerFullAccess,
    }
}

fn mode_v2(mode: v2::SandboxMode) -> SandboxMode {
    match mode {
        v2::SandboxMode::ReadOnly => SandboxMode::ReadOnly,
        v2::SandboxMode::WorkspaceWrite => SandboxMode::WorkspaceWrite,
        v2::SandboxMode::DangerFullAccess => SandboxMode::DangerFullAccess,
    }
}

/// The policy that a client of v1 names, for a turn or a command of its own.
pub fn policy_v1(policy: &v1::SandboxPolicy) -> SandboxPolicy {
    match policy {
        v1::SandboxPolicy::DangerFullAccess => full_access(),
        v1::SandboxPolicy::ReadOnly => SandboxPolicy::of(SandboxMode::ReadOnly),
        v1::SandboxPolicy::WorkspaceWrite {
            writable_roots,
            network_access,
            exclude_tmpdir_env_var,
            exclude_slash_tmp,
        } => SandboxPolicy {
            writable_roots: writable_roots.0.clone().unwrap_or_default(),
            network: network_access.0,
            exclude_tmpdir_env_var: exclude_tmpdir_env_var.0,
            exclude_slash_tmp: exclude_slash_tmp.0,
            ..SandboxPolicy::of(SandboxMode::WorkspaceWrite)
        },
    }
}

/// The policy that a client of v2 names, for a turn or a command of its own.
pub fn policy_v2(policy: &v2::SandboxPolicy) -> SandboxPolicy {
    match policy {
        // Somebody else confines us, and sees to the network.
        v2::SandboxPolicy::DangerFullAccess | v2::SandboxPolicy::ExternalSandbox { .. } => {
            full_access()
        }
        v2::SandboxPolicy::ReadOnly { network_access } => {
            SandboxPolicy { network: network_access.0, ..SandboxPolicy::of(SandboxMode::ReadOnly) }
        }
        v2::SandboxPolicy::WorkspaceWrite {
            writable_roots,
            network_access,
            exclude_tmpdir_env_var,
            exclude_slash_tmp,
        } => SandboxPolicy {
            writable_roots: writable_roots.0.clone(),
            network: network_access.0,
            exclude_tmpdir_env_var: exclude_tmpdir_env_var.0,
            exclude_slash_tmp: exclude_slash_tmp.0,
            ..SandboxPolicy::of(SandboxMode::WorkspaceWrite)
        },
    }
}

fn full_access() -> SandboxPolicy {
    SandboxPolicy { network: true, ..SandboxPolicy::of(SandboxMode::DangerFullAccess) }
}

fn effort_v1(effort: v1::ReasoningEffort) -> &'static str {
    match effort {
        v1::ReasoningEffort::None => "none",
        v1::ReasoningEffort::Minimal => "minimal",
        v1::ReasoningEffort::Low => "low",
        v1::ReasoningEffort::Medium => "medium",
        v1::ReasoningEffort::High => "high",
    }
}

fn summary(summary: v1::ReasoningSummary) -> &'static str {
    match summary {
        v1::ReasoningSummary::Auto => "auto",
        v1::ReasoningSummary::Concise => "concise",
        v1::ReasoningSummary::Detailed => "detailed",
        v1::ReasoningSummary::None => "none",
    }
}

#[cfg(test)]
mod tests;
