//! What this room's tests speak about.

use std::borrow::Cow;

use crate::words::ids::ConversationId;
use crate::words::item::Item;
use crate::words::policy::{SandboxMode, SandboxPolicy};
use crate::words::request::{RequestView, ToolSpec};
use crate::words::samples;
use crate::words::settings::{ReasoningSettings, ThreadSettings};

pub(crate) const CONVERSATION: &str = "01990000-0000-7aaa-aaaa-aaaaaaaaaaaa";

pub(crate) fn conversation() -> ConversationId {
    CONVERSATION.parse().unwrap()
}

pub(crate) fn settings() -> ThreadSettings {
    let reasoning = ReasoningSettings {
        supported: true,
        effort: Some("medium".into()),
        summary: Some("auto".into()),
    };
    let mut settings = samples::settings();
    (settings.tools.files, settings.tools.images) = (false, false);
    ThreadSettings {
        model: "gpt-5".into(),
        provider: "openai".into(),
        sandbox: SandboxPolicy::of(SandboxMode::ReadOnly),
        shell: "/bin/bash".into(),
        instructions: Cow::Borrowed("Be\nkind."),
        reasoning,
        parallel_tool_calls: false,
        originator: "codex_exec".into(),
        ..settings
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
