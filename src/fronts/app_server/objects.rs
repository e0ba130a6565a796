//! Threads, turns, tokens and failures in the words of the protocol.

use crate::fronts::app_server::Lent;
use crate::fronts::app_server::ask::How;
use crate::fronts::app_server::threads::Loaded;
use crate::fronts::app_server::types::codec::{Preset, Text};
use crate::fronts::app_server::types::v2::{
    ApprovalsReviewer, AskForApproval, RateLimitSnapshot, RateLimitWindow, SandboxPolicy,
    ThreadForkResponse, ThreadResumeResponse, ThreadStartResponse,
};
use crate::fronts::app_server::types::v2_items::{
    CodexErrorInfo, GitInfo, SessionSource, Thread, ThreadActiveFlag, ThreadHistoryMode,
    ThreadItem, ThreadStatus, TokenUsageBreakdown, Turn, TurnError, TurnItemsView, TurnStatus,
};
use crate::words::event::{Ended, Failed};
use crate::words::model::{FailureKind, RateLimits, RateWindow, Usage};
use crate::words::policy::{ApprovalPolicy, SandboxMode};
use crate::words::settings::{GitFacts, ThreadSettings};

/// The version that threads carry.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A loaded thread as clients see it.
pub fn thread(loaded: &Loaded, lent: Lent<'_>, turns: Vec<Turn>) -> Thread {
    let settings = lent.settings;
    let text = |pick: fn(&ThreadSettings) -> &str| -> Text { settings.map_or("", pick).into() };
    Thread {
        id: loaded.id.clone(),
        session_id: loaded.id.clone(),
        forked_from_id: loaded.forked_from.clone(),
        parent_thread_id: None,
        preview: loaded.preview.clone(),
        ephemeral: loaded.is_ephemeral,
        section: None,
        section_entered_at: None,
        project_id: None,
        history_mode: ThreadHistoryMode::Paginated,
        model_provider: text(|settings| &settings.provider),
        model: Some(text(|settings| &settings.model)),
        reasoning_effort: settings.and_then(|settings| settings.reasoning.effort.clone()),
        created_at: loaded.created_at,
        updated_at: loaded.updated_at,
        recency_at: Some(loaded.updated_at),
        status: status(loaded),
        path: lent.rollout.filter(|_| !loaded.is_ephemeral).map(Text::from),
        cwd: text(|settings| &settings.cwd),
        cli_version: VERSION.into(),
        originator: Some(text(|settings| &settings.originator)),
        source: SessionSource::VSCode,
        thread_source: None,
        agent_nickname: None,
        agent_role: None,
        git_info: lent.git.map(git),
        name: loaded.name.clone(),
        turns,
    }
}

pub fn git(facts: &GitFacts) -> GitInfo {
    GitInfo {
        sha: facts.commit_hash.clone(),
        branch: facts.branch.clone(),
        origin_url: facts.repository_url.clone(),
    }
}

pub fn status(loaded: &Loaded) -> ThreadStatus {
    match &loaded.turn {
        None if loaded.has_failed => ThreadStatus::SystemError,
        None => ThreadStatus::Idle,
        Some(turn) => {
            let asked = (turn.questions > 0).then_some(ThreadActiveFlag::WaitingOnApproval);
            ThreadStatus::Active { active_flags: asked.into_iter().collect() }
        }
    }
}

/// The answer to what has opened a thread; they differ in name alone.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum OpenedResponse {
    Start(ThreadStartResponse),
    Resume(ThreadResumeResponse),
    Fork(ThreadForkResponse),
}

pub fn opened(
    how: How,
    thread: Thread,
    settings: &ThreadSettings,
    instruction_sources: Vec<Text>,
) -> OpenedResponse {
    let model = settings.model.clone();
    let model_provider = settings.provider.clone();
    let cwd = settings.cwd.clone();
    let approval_policy = approval(settings.approval);
    let approvals_reviewer = ApprovalsReviewer::User;
    let sandbox = sandbox(settings);
    let reasoning_effort = settings.reasoning.effort.clone();
    let (service_tier, disabled_plugin_ids) = (None, Vec::new());
    match how {
        How::Start => OpenedResponse::Start(ThreadStartResponse {
            thread,
            model,
            model_provider,
            service_tier,
            disabled_plugin_ids,
            cwd,
            instruction_sources,
            approval_policy,
            approvals_reviewer,
            sandbox,
            reasoning_effort,
        }),
        How::Resume => OpenedResponse::Resume(ThreadResumeResponse {
            thread,
            model,
            model_provider,
            service_tier,
            disabled_plugin_ids,
            cwd,
            instruction_sources,
            approval_policy,
            approvals_reviewer,
            sandbox,
            reasoning_effort,
            collaboration_mode: None,
            turns_backwards_cursor: None,
            items_backwards_cursor: None,
        }),
        How::Fork => OpenedResponse::Fork(ThreadForkResponse {
            thread,
            model,
            model_provider,
            service_tier,
            disabled_plugin_ids,
            cwd,
            instruction_sources,
            approval_policy,
            approvals_reviewer,
            sandbox,
            reasoning_effort,
        }),
    }
}

pub fn approval(policy: ApprovalPolicy) -> AskForApproval {
    match policy {
        ApprovalPolicy::Untrusted => AskForApproval::UnlessTrusted,
        // Clients of 0.169 have no word for failures; in the configuration, theirs reads it so.
        ApprovalPolicy::OnFailure | ApprovalPolicy::OnRequest => AskForApproval::OnRequest,
        ApprovalPolicy::Never => AskForApproval::Never,
    }
}

fn sandbox(settings: &ThreadSettings) -> SandboxPolicy {
    let policy = &settings.sandbox;
    match policy.mode {
        SandboxMode::DangerFullAccess => SandboxPolicy::DangerFullAccess,
        SandboxMode::ReadOnly => SandboxPolicy::ReadOnly { network_access: Preset(policy.network) },
        SandboxMode::WorkspaceWrite => SandboxPolicy::WorkspaceWrite {
            writable_roots: Preset(policy.writable_roots.clone()),
            network_access: Preset(policy.network),
            exclude_tmpdir_env_var: Preset(policy.exclude_tmpdir_env_var),
            exclude_slash_tmp: Preset(policy.exclude_slash_tmp),
        },
    }
}

/// A turn of which nothing is known but that it runs.
pub fn turn(id: Text, started_at: Option<i64>) -> Turn {
    Turn {
        root_turn_id: Some(id.clone()),
        id,
        items: Vec::new(),
        items_view: TurnItemsView::NotLoaded,
        status: TurnStatus::InProgress,
        error: None,
        started_at,
        completed_at: None,
        duration_ms: None,
    }
}

/// A turn that has ended; `said` is what the model said last.
pub fn ended(
    running: Turn,
    how: &Ended,
    said: Option<ThreadItem>,
    wall_ms: u64,
    started_ms: u64,
) -> Turn {
    let view = if said.is_some() { TurnItemsView::Summary } else { TurnItemsView::NotLoaded };
    let (status, error) = match how {
        Ended::Completed => (TurnStatus::Completed, None),
        Ended::Interrupted => (TurnStatus::Interrupted, None),
        Ended::Failed { kind, message } => (TurnStatus::Failed, Some(failure(*kind, message))),
    };
    let (items, items_view) = match how {
        Ended::Completed => (said.into_iter().collect(), view),
        Ended::Interrupted | Ended::Failed { .. } => (Vec::new(), TurnItemsView::NotLoaded),
    };
    Turn {
        items,
        items_view,
        status,
        error,
        completed_at: Some(seconds(wall_ms)),
        duration_ms: Some(wall_ms.saturating_sub(started_ms) as i64),
        ..running
    }
}

pub fn failure(kind: Failed, message: &str) -> TurnError {
    let info = match kind {
        Failed::Model(kind) => match kind {
            FailureKind::ContextFull => CodexErrorInfo::ContextWindowExceeded,
            FailureKind::Limit => CodexErrorInfo::UsageLimitExceeded,
            FailureKind::RateLimited => CodexErrorInfo::RateLimitExceeded,
            FailureKind::Overloaded => CodexErrorInfo::ServerOverloaded,
            FailureKind::Credentials => CodexErrorInfo::Unauthorized,
            FailureKind::Refused => CodexErrorInfo::BadRequest,
            FailureKind::Server => CodexErrorInfo::InternalServerError,
            FailureKind::Unreachable => {
                CodexErrorInfo::HttpConnectionFailed { http_status_code: None }
            }
            FailureKind::Stream => {
                CodexErrorInfo::ResponseTooManyFailedAttempts { http_status_code: None }
            }
            FailureKind::Setup => CodexErrorInfo::Other,
        },
        Failed::Record | Failed::Bound | Failed::Spent(_) => CodexErrorInfo::Other,
    };
    TurnError {
        message: message.into(),
        codex_error_info: Some(info),
        additional_details: None,
        misalignment: None,
    }
}

/// The tokens that a conversation may take: what is told leaves a twentieth of the window to the
/// provider's own additions.
pub fn window(settings: Option<&ThreadSettings>) -> Option<i64> {
    let tokens = settings?.context_window?;
    Some((tokens.saturating_mul(95) / 100) as i64)
}

pub fn usage(usage: &Usage) -> TokenUsageBreakdown {
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    TokenUsageBreakdown {
        total_tokens: count(usage.total),
        input_tokens: count(usage.input),
        cached_input_tokens: count(usage.cached_input),
        cache_write_input_tokens: count(usage.cache_write_input),
        output_tokens: count(usage.output),
        reasoning_output_tokens: count(usage.reasoning_output),
    }
}

pub fn limits(limits: &RateLimits) -> RateLimitSnapshot {
    let window = |window: &RateWindow| RateLimitWindow {
        used_percent: window.used_percent.round() as i32,
        window_duration_mins: window.window_minutes.map(|minutes| minutes as i64),
        resets_at: window.resets_at.map(|at| at as i64),
    };
    RateLimitSnapshot {
        limit_id: Some("codex".into()),
        limit_name: None,
        normal_model_slug: None,
        primary: limits.primary.as_ref().map(window),
        secondary: limits.secondary.as_ref().map(window),
        credits: None,
        individual_limit: None,
        spend_control_reached: None,
        plan_type: None,
        rate_limit_reached_type: None,
    }
}

/// Unix seconds.
pub fn seconds(wall_ms: u64) -> i64 {
    (wall_ms / 1000) as i64
}
