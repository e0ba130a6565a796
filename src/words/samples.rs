//! Data that tests of several rooms begin with.

use std::borrow::Cow;

use crate::words::policy::{ApprovalPolicy, SandboxMode, SandboxPolicy};
use crate::words::settings::{
    Budgets, PatchForm, ReasoningSettings, ShellForm, ThreadSettings, ToolSettings,
};

/// Settings of a thread in `/w` that offers every tool and asks nobody.
pub(crate) fn settings() -> ThreadSettings {
    ThreadSettings {
        model: "model".into(),
        provider: "provider".into(),
        cwd: "/w".into(),
        approval: ApprovalPolicy::Never,
        assess_commands: false,
        sandbox: SandboxPolicy::of(SandboxMode::WorkspaceWrite),
        shell: "/bin/sh".into(),
        instructions: Cow::Borrowed("instructions"),
        developer_instructions: None,
        project_notes: None,
        reasoning: ReasoningSettings::default(),
        verbosity: None,
        output_schema: None,
        context_window: None,
        compact_at_tokens: None,
        compact_prompt: Cow::Borrowed("sum it up"),
        parallel_tool_calls: true,
        tools: ToolSettings {
            shell: ShellForm::Argv,
            patch: PatchForm::Freeform,
            files: true,
            images: true,
            web: None,
        },
        request_retries_max: 4,
        stream_retries_max: 5,
        stream_idle_ms: 300_000,
        budgets: Budgets::default(),
        stored_by_provider: false,
        source: "exec",
        originator: "test".into(),
    }
}
