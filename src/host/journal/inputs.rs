//! The shapes of everything that can happen.

use crate::core::input::{CommandEnded, CommandResult, Input, Lost};
use crate::host::journal::reading::{Reading, Take};
use crate::host::journal::shapes::{Out, Put, structure, variants};
use crate::words::call::{
    Answer, CallAsked, CallKind, Change, ChangeKind, CommandAnswer, Seen, Unread,
};
use crate::words::command::{Command, Restored, Which};
use crate::words::item::{Image, Item, Kept, Message, Output, Part, Reasoning, Role};
use crate::words::model::{
    Counted, FailureKind, ItemStart, ModelEvent, ModelFailure, RateLimits, RateWindow, Usage,
};
use crate::words::policy::{ApprovalPolicy, Decision, SandboxMode, SandboxPolicy};
use crate::words::settings::{
    Budgets, GitFacts, OpeningFacts, PatchForm, ReasoningSettings, ShellForm, ThreadSettings,
    TimeBudget, ToolSettings, Verbosity, WebReach,
};

variants!(Input<'a> {
    Command { front, command },
    Opened { op, facts },
    Unopened { op, why },
    Restored { op, result },
    Model { op, event },
    Exited { op, end },
    Looked { op, result },
    Yielded { op, unread },
    Unwritten { op, why },
    SessionEnded { op, end, unread },
    Inspected { op, result },
    Applied { op, result },
    Stopped { op },
    AppendFailed { thread, lost, message },
    Deadline,
});

structure!(Lost { meta, beginning, end, compacted, items_from });
structure!(CommandResult { ended, output, lines_total });
variants!(CommandEnded { Exited { code }, Signalled { signal }, NotStarted { why } });

variants!(Command {
    Start { settings },
    Resume { settings, which },
    Fork { settings, which },
    Prompt { thread, parts },
    Configure { thread, settings },
    Steer { thread, turn, parts },
    Review { thread, parts, hint },
    ReviewApart { thread, settings, parts, hint },
    Answer { thread, call, decision },
    Compact { thread },
    Run { thread, line, timeout_ms },
    Interrupt { thread },
    Close { thread },
});

variants!(Which { Id(id), Last { cwd }, Path(path), Part { path, bytes } });
structure!(Restored { conversation, items, usage, last_usage, counted, limits, lines_skipped });

structure!(ThreadSettings {
    model,
    provider,
    cwd,
    approval,
    assess_commands,
    sandbox,
    shell,
    instructions,
    developer_instructions,
    project_notes,
    reasoning,
    verbosity,
    output_schema,
    context_window,
    compact_at_tokens,
    compact_prompt,
    parallel_tool_calls,
    tools,
    request_retries_max,
    stream_retries_max,
    stream_idle_ms,
    budgets,
    stored_by_provider,
    source via Source,
    originator,
});

structure!(Budgets { requests_max, tokens_max, time });
structure!(TimeBudget { since_ms, length_ms });
structure!(ReasoningSettings { supported, effort, summary });
variants!(Verbosity { Low, Medium, High });
structure!(ToolSettings { shell, patch, files, images, web });
variants!(WebReach { Usual, Cached, Indexed, Live });
variants!(ShellForm { Argv, Line, Local, Sessions });
variants!(PatchForm { Freeform, Function, ThroughShell });
structure!(OpeningFacts { git });
structure!(GitFacts { commit_hash, branch, repository_url });
variants!(ApprovalPolicy { Untrusted, OnFailure, OnRequest, Never });
variants!(SandboxMode { ReadOnly, WorkspaceWrite, DangerFullAccess });
structure!(SandboxPolicy {
    mode,
    writable_roots,
    unreadable,
    network,
    tmpdir,
    exclude_tmpdir_env_var,
    exclude_slash_tmp,
});
variants!(Decision { Approved, ApprovedForSession, Denied, Abort });

variants!(ModelEvent<'a> {
    Created,
    ItemStarted(start),
    TextDelta(text),
    ReasoningDelta(text),
    ReasoningBreak,
    ReasoningRawDelta(text),
    ItemDone(item),
    Limits(limits),
    CutShort,
    Completed { usage },
    Failed(failure),
});

variants!(ItemStart { Message, Reasoning, Served });
structure!(Usage { input, cached_input, cache_write_input, output, reasoning_output, total });
structure!(Counted { tokens, items });
structure!(RateLimits { primary, secondary });
structure!(RateWindow { used_percent, window_minutes, resets_at });
structure!(ModelFailure { kind, message, retry_after_ms });
variants!(FailureKind {
    ContextFull,
    Limit,
    Refused,
    Overloaded,
    Credentials,
    Server,
    RateLimited,
    Unreachable,
    Stream,
    Setup,
});

variants!(Role { User, Assistant, Developer });
variants!(Part { Text(text), Image(image) });
variants!(Image { Url(url), Kept(kept) });
structure!(Kept { id, url_bytes });
variants!(Item {
    Message(message),
    Reasoning(reasoning),
    Call(call),
    Output(output),
    Served { json, query, id },
});
structure!(Message { role, parts, id });
structure!(Reasoning { summary, content, encrypted, id });
structure!(Output { call_id, kind, answer });

variants!(CallKind { Function, Custom, LocalShell });
structure!(CallAsked { kind, call_id, name, arguments, id });
variants!(Answer { Text { text, success }, Command(command) });
structure!(CommandAnswer { exit_code, wall_ms, output, lines_total });
variants!(Seen { Text(text), Image(image) });
structure!(Unread { text, dropped_bytes });
structure!(Change { path, kind, moved_to, before, over, diff });
variants!(ChangeKind { Add, Delete, Update });

/// Where a thread was started from: a name that lives as long as the program.
struct Source(&'static str);

const SOURCES: [&str; 4] = ["exec", "cli", "vscode", "mcp"];

impl<'a> Take<'a> for Source {
    fn take(from: &mut Reading<'a>) -> Self {
        let name = from.bare();
        let source = SOURCES.iter().find(|source| **source == name).copied();
        if source.is_none() {
            from.damage("where a thread was started from");
        }
        Source(source.unwrap_or(""))
    }
}
