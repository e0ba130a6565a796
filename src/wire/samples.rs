//! What this room's tests speak about.

use std::borrow::Cow;

use crate::words::ids::ConversationId;
use crate::words::item::Item;
use crate::words::policy::{ApprovalPolicy, SandboxMode, SandboxPolicy};
use crate::words::request::{RequestView, ToolSpec};
use crate::words::settings::{
    Budgets, PatchForm, ReasoningSettings, ShellForm, ThreadSettings, ToolSettings,
};

pub(crate) const CONVERSATION: &str = "01990000-0000-7aaa-aaaa-aaaaaaaaaaaa";

pub(crate) fn conversation() -> ConversationId {
    CONVERSATION.parse().unwrap()
}

pub(crate) fn settings() -> ThreadSettings {
    ThreadSettings {
        model: "gpt-5".into(),
        provider: "openai".into(),
        cwd: "/w".into(),
        approval: ApprovalPolicy::Never,
        sandbox: SandboxPolicy::of(SandboxMode::ReadOnly),
        shell: "/bin/bash".into(),
        instructions: Cow::Borrowed("Be\nkind."),
        developer_instructions: None,
        project_notes: None,
        reasoning: ReasoningSettings {
            supported: true,
            effort: Some("medium".into()),
            summary: Some("auto".into()),
        },
        verbosity: None,
        output_schema: None,
        context_window: None,
        compact_at_tokens: None,
        compact_prompt: "sum it up".into(),
        parallel_tool_calls: false,
        tools: ToolSettings {
            shell: ShellForm::Argv,
            patch: PatchForm::Freeform,
            files: false,
            images: false,
            web: None,
        },
        request_retries_max: 4,
        stream_retries_max: 5,
        stream_idle_ms: 300_000,
        budgets: Budgets::default(),
        stored_by_provider: false,
        source: "exec",
        originator: "codex_exec".into(),
    }
}

pub(crate) fn view<'a>(
    settings: &'a ThreadSettings,
    items: &'a [Item],
    tools: &'a [ToolSpec],
) -> RequestView<'a> {
    RequestView {
        settings,
        conversation: conversation(),
        thread_ordinal: 0,
        request_ordinal: 0,
        items,
        tools,
        output_schema: settings.output_schema.as_deref(),
        sub_agent: None,
    }
}
