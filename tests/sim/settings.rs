//! Settings of a thread in `/w`, in every shape that matters to the machine.

use std::borrow::Cow;

use windlass::words::policy::{ApprovalPolicy, SandboxMode, SandboxPolicy};
use windlass::words::settings::{
    Budgets, PatchForm, ReasoningSettings, ShellForm, ThreadSettings, TimeBudget, ToolSettings,
};

use crate::chance::Chance;

pub(crate) fn settings(chance: &mut Chance, now_ms: u64) -> ThreadSettings {
    let approval = chance.pick(&[
        ApprovalPolicy::Untrusted,
        ApprovalPolicy::OnFailure,
        ApprovalPolicy::OnRequest,
        ApprovalPolicy::OnRequest,
        ApprovalPolicy::Never,
    ]);
    let mode = chance.pick(&[
        SandboxMode::ReadOnly,
        SandboxMode::WorkspaceWrite,
        SandboxMode::WorkspaceWrite,
        SandboxMode::DangerFullAccess,
    ]);
    let mut sandbox = SandboxPolicy::of(mode);
    if chance.one_in(4) {
        sandbox.writable_roots.push("/more".into());
    }
    sandbox.exclude_slash_tmp = chance.one_in(2);
    ThreadSettings {
        model: "model".into(),
        provider: "provider".into(),
        cwd: "/w".into(),
        approval,
        assess_commands: chance.one_in(2),
        sandbox,
        shell: "/bin/sh".into(),
        instructions: Cow::Borrowed("instructions"),
        developer_instructions: chance.one_in(4).then(|| "be brief".into()),
        project_notes: chance.one_in(4).then(|| "notes".into()),
        reasoning: ReasoningSettings::default(),
        verbosity: None,
        output_schema: None,
        context_window: chance.one_in(2).then_some(100_000),
        compact_at_tokens: compact_at_tokens(chance),
        compact_prompt: Cow::Borrowed(SUM_UP),
        parallel_tool_calls: !chance.one_in(3),
        tools: ToolSettings {
            shell: chance.pick(&[
                ShellForm::Argv,
                ShellForm::Line,
                ShellForm::Local,
                ShellForm::Sessions,
            ]),
            patch: chance.pick(&[PatchForm::Freeform, PatchForm::Function]),
            files: !chance.one_in(4),
            images: !chance.one_in(4),
            web: None,
        },
        request_retries_max: chance.below(5) as u32,
        stream_retries_max: chance.below(6) as u32,
        stream_idle_ms: chance.pick(&[1_000, 15_000, 300_000]),
        budgets: budgets(chance, now_ms),
        stored_by_provider: false,
        source: "exec",
        originator: "sim".into(),
    }
}

/// What asks for a summary.
pub(crate) const SUM_UP: &str = "sum it up";

/// Mostly none, so that conversations get long; some that every response exceeds.
fn compact_at_tokens(chance: &mut Chance) -> Option<u64> {
    chance.one_in(2).then(|| chance.pick(&[1, 500, 2_000, 4_000, 4_000, u64::MAX]))
}

fn budgets(chance: &mut Chance, now_ms: u64) -> Budgets {
    let length_ms = chance.pick(&[0, 1, 5_000, 60_000, 600_000, u64::MAX]);
    Budgets {
        requests_max: chance.one_in(5).then(|| 1 + chance.below(4) as u32),
        tokens_max: chance.one_in(5).then(|| 1 + chance.below(5_000)),
        time: chance.one_in(5).then_some(TimeBudget { since_ms: now_ms, length_ms }),
    }
}
