//! The shapes of what the machine asks for and of what is lent with it: written, never read.

use crate::core::effect::{Audience, Effect, Stop};
use crate::host::journal::shapes::{Out, Put, structure, variants};
use crate::words::call::{
    CommandPlan, Escalation, Life, Look, LookAt, PatchPlan, Patience, SessionStdio, Task,
    TaskStatus,
};
use crate::words::command::{Course, Refusal, Unsteerable};
use crate::words::event::{
    Budget, CommandEnd, Ended, Event, Failed, Question, Risk, RiskLevel, Thought,
};
use crate::words::policy::Confinement;
use crate::words::record::Record;
use crate::words::request::{RequestView, ToolForm, ToolSpec};

variants!(written Effect {
    Append { thread, record },
    Open { op, thread },
    Restore { op, thread, which, course },
    Request { op, thread },
    Spawn { op, thread, command, confinement },
    Write { op, thread, chars },
    Collect { op, thread },
    Look { op, thread, look },
    Inspect { op, thread, patch },
    Apply { op, thread, patch, expected, confinement },
    Stop { op, how },
    Release { thread },
    Notify { to, event },
});

variants!(written Stop { Interrupt, Terminate, Kill });
variants!(written Audience { Thread(thread), Child { parent, child }, Front(front) });
variants!(written Course { Resume, Fork });
variants!(written Confinement { Sandboxed, Unconfined });

structure!(written CommandPlan { argv, workdir, life, escalation });
variants!(written Life { Call { timeout_ms }, Session { stdio, patience } });
variants!(written SessionStdio { Terminal, Pipes });
structure!(written Patience { yield_ms, output_tokens_max });
structure!(written Escalation { justification });
structure!(written Look { what, arguments, workdir });
variants!(written LookAt { File, Directory, Search, Image });
structure!(written PatchPlan { patch, workdir });
structure!(written Task { step, status });
variants!(written TaskStatus { Pending, InProgress, Completed });

variants!(written Record {
    Meta,
    Item(item),
    TurnContext,
    UserMessage(item),
    AgentMessage(item),
    AgentReasoning(item),
    TokenCount { total, last, limits },
    Compacted { items_count },
    ReviewEntered { item, hint },
    ReviewExited { verdict },
    TurnStarted { turn },
    TurnEnded { turn, said, wall_ms },
    TurnAborted { turn, wall_ms },
    TurnFailed { message },
});

variants!(written Event {
    ThreadStarted { conversation, resumed },
    ThreadLoading,
    ThreadFailed { message },
    TurnStarted { turn },
    PromptTaken { item },
    ReviewEntered { item, hint },
    ReviewExited { verdict },
    TextDelta { from_bytes },
    ReasoningDelta { from_bytes, kind },
    ReasoningBreak,
    ServedStarted,
    ItemCompleted { item },
    CommandStarted { call, item, argv, cwd },
    CommandEnded { call, item, ended },
    UserCommandStarted { call, argv, cwd },
    SessionEnded { call, ended, output },
    PatchStarted { call, item, changes },
    PatchEnded { call, item, changes, applied },
    CallAnswered { call, item, output },
    TasksUpdated { tasks },
    ApprovalAsked { call, item, question },
    ApprovalSettled { call },
    Retrying { attempt, attempts_max, delay_ms, message },
    Warning { message },
    CompactionStarted,
    Compacted { summary },
    Limits { limits },
    Tokens { last, turn, total },
    TurnStopping { turn },
    TurnEnded { turn, how, usage },
    ThreadClosed,
    Refused { refusal },
});

variants!(written Thought { Summary, Raw });
variants!(written CommandEnd { Exited { exit_code }, NotStarted, Declined, Interrupted });
variants!(written Question {
    Command { argv, cwd, reason, risk },
    Patch { changes, reason },
});
structure!(written Risk { description, level });
variants!(written RiskLevel { Low, Medium, High });
variants!(written Ended { Completed, Interrupted, Failed { kind, message } });
variants!(written Failed { Model(kind), Record, Bound, Spent(budget) });
variants!(written Budget { Requests, Tokens, Time });
variants!(written Refusal {
    NoSuchThread,
    TooManyThreads,
    TooManyPrompts,
    EmptyPrompt,
    PromptTooLong,
    TurnRuns,
    NothingToCompact,
    NothingRuns,
    NoSuchTurn,
    NotSteerable(what),
    NoQuestion,
    TooManyOps,
    NotReady,
});
variants!(written Unsteerable { Review, Compaction });

structure!(written RequestView<'_> {
    settings,
    conversation,
    thread_ordinal,
    request_ordinal,
    items,
    tools,
    output_schema,
    sub_agent,
});
structure!(written ToolSpec { name, description, form });
variants!(written ToolForm {
    Function { parameters },
    Freeform { grammar },
    LocalShell,
    WebSearch(reach),
});
