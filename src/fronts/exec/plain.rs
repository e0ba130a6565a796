//! `exec` for people: what happens goes to stderr in blocks, the final message alone to stdout.
//!
//! All text from models, tools and files is made safe to show. On stdout it is so only if stdout is
//! a terminal; a pipe gets the message as it is.

use crate::fronts::exec::plain_text::{clipped, thousands};
use crate::fronts::exec::reviewing::Reviewing;
use crate::fronts::exec::shell_words::shell_join;
use crate::fronts::exec::style::{Ink, Paint};
use crate::fronts::exec::{COMPACTED, assistant_text, item, output_of};
use crate::fronts::limits::Known;
use crate::fronts::{Output, visible};
use crate::limits::{PREVIEW_LINE_BYTES_MAX, PREVIEW_LINES_MAX};
use crate::wire::responses::errors::Calendar;
use crate::words::call::{Answer, Change, ChangeKind, Task, TaskStatus};
use crate::words::event::{CommandEnd, Ended, Event};
use crate::words::ids::{CallId, ItemIndex};
use crate::words::item::{Item, Reasoning};
use crate::words::model::{RateLimits, Usage};
use crate::words::policy::{ApprovalPolicy, SandboxMode, SandboxPolicy};
use crate::words::review::Verdict;
use crate::words::settings::ThreadSettings;

/// How stdout and stderr are looked at.
#[derive(Clone, Copy, Default, Debug)]
pub struct Looks {
    /// Colours on stderr.
    pub paint: Paint,
    pub stdout: Stdout,
    pub reasoning: Thinking,
    pub limits: LimitsShown,
    pub calendar: Calendar,
}

/// Whether the account's limits are shown after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum LimitsShown {
    /// If the provider has told them.
    #[default]
    IfTold,
    /// In any case: the account has some.
    Always,
}

/// Where stdout goes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Stdout {
    /// Not to a terminal: text goes out as it is.
    #[default]
    Elsewhere,
    Terminal,
    /// To the terminal that shows stderr: what was shown there is not shown again.
    SameTerminal,
}

/// Which reasoning is shown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Thinking {
    #[default]
    Summary,
    /// The raw texts, where a provider shows them.
    Raw,
    Hidden,
}

#[derive(Debug)]
pub struct Plain {
    looks: Looks,
    /// The banner's lines, up to the session id.
    banner: Box<str>,
    /// Commands that run; as many as the machine runs at once.
    open: Vec<(CallId, Box<str>)>,
    /// Whose heading was the last thing written.
    under: Option<CallId>,
    /// What came of a review, as text.
    verdict: Option<Box<str>>,
    /// Tokens of the whole thread, once a response was whole.
    total: Option<Usage>,
    /// Of the account, as its provider has told them last.
    limits: Option<RateLimits>,
}

impl Plain {
    pub fn new(settings: &ThreadSettings, looks: Looks) -> Plain {
        let banner = banner(settings);
        Plain {
            looks,
            banner,
            open: Vec::new(),
            under: None,
            verdict: None,
            total: None,
            limits: None,
        }
    }

    /// Says of these settings, not of others, what it will say of any.
    pub fn recalled(&mut self, settings: &ThreadSettings) {
        self.banner = banner(settings);
    }

    /// Shows an error so that it is not overlooked.
    pub fn error(&mut self, message: &str, err: &mut Vec<u8>) {
        self.block("ERROR", Ink::Bad, message, Ink::Bad, err);
    }

    /// Shows what came of a review; its text is the final message.
    pub fn verdict(
        &mut self,
        verdict: &Verdict,
        reviewing: &Reviewing,
        text: &str,
        err: &mut Vec<u8>,
    ) {
        self.piece(Ink::Heading, "review", err);
        push(err, "\n");
        reviewing.paint(verdict, self.looks.paint, err);
        self.verdict = Some(text.into());
    }

    fn review_entered(&mut self, hint: &str, err: &mut Vec<u8>) {
        self.block("review of", Ink::Place, hint, Ink::Plain, err);
    }

    /// Appends what an event looks like; `last` is what the model said last.
    pub fn told(
        &mut self,
        event: &Event,
        items: &[Item],
        last: Option<ItemIndex>,
        out: &mut Output,
    ) {
        let err = &mut out.stderr;
        match event {
            Event::ThreadStarted { conversation, .. } => {
                push(err, &format!("{}session id: {conversation}\n--------\n", self.banner));
            }
            Event::PromptTaken { item: index } => {
                if let Some(Item::Message(message)) = item(items, *index) {
                    let text: String = message.texts().collect();
                    self.block("user", Ink::Place, &text, Ink::Plain, err);
                }
            }
            Event::ReviewEntered { hint, .. } => self.review_entered(hint, err),
            Event::ItemCompleted { item } => self.item_completed(items, *item, err),
            Event::CommandStarted { call, argv, cwd, .. }
            | Event::UserCommandStarted { call, argv, cwd } => {
                self.command_started(*call, argv, cwd, err);
            }
            Event::CommandEnded { call, item, ended } => {
                self.command_ended(*call, answer(items, *item), *ended, err);
            }
            Event::SessionEnded { call, ended, output } => {
                let answer = Answer::Text { text: output.clone(), success: true };
                self.command_ended(*call, Some(&answer), *ended, err);
            }
            Event::PatchStarted { changes, .. } => self.patch_started(changes, err),
            Event::PatchEnded { item, applied, .. } => {
                self.patch_ended(answer(items, *item), *applied, err);
            }
            Event::CallAnswered { call, item, output } => {
                self.call_answered(*call, (items, *item, *output), err);
            }
            Event::TasksUpdated { tasks } => self.tasks_updated(tasks, err),
            Event::Retrying { attempt, attempts_max, message, .. } => {
                let message = visible::line(message);
                let text = format!("Reconnecting... {attempt}/{attempts_max}: {message}\n");
                self.piece(Ink::Caution, &text, err);
            }
            Event::Warning { message } => self.warning(message, err),
            Event::CompactionStarted => {
                self.piece(Ink::Faint, "summing up the conversation...\n", err);
            }
            Event::Compacted { .. } => self.warning(COMPACTED, err),
            Event::Tokens { total, .. } => self.total = Some(*total),
            Event::Limits { limits } => self.limits = named(*limits),
            Event::TurnStopping { .. } => self.piece(Ink::Caution, "interrupting...\n", err),
            Event::TurnEnded { how, usage, .. } => {
                let last = last.and_then(|item| assistant_text(items, item));
                self.turn_ended(how, usage, last.as_deref(), out);
            }
            Event::ThreadFailed { .. }
            | Event::TurnStarted { .. }
            | Event::ReviewExited { .. }
            | Event::ServedStarted
            | Event::TextDelta { .. }
            | Event::ReasoningDelta { .. }
            | Event::ReasoningBreak
            | Event::ThreadLoading
            | Event::ApprovalAsked { .. }
            | Event::ApprovalSettled { .. }
            | Event::ThreadClosed
            | Event::Refused { .. } => {}
        }
    }

    fn warning(&mut self, message: &str, err: &mut Vec<u8>) {
        self.piece(Ink::Caution, &format!("warning: {}\n", visible::block(message)), err);
    }

    fn command_started(&mut self, call: CallId, argv: &[String], cwd: &str, err: &mut Vec<u8>) {
        let command = shown(&shell_join(argv));
        let heading = format!("{} in {}", command.trim_end_matches('\n'), visible::line(cwd));
        self.command_heading(call, &heading, err);
        self.open.push((call, heading.into()));
    }

    fn item_completed(&mut self, items: &[Item], index: ItemIndex, err: &mut Vec<u8>) {
        match item(items, index) {
            Some(Item::Message(_)) => {
                if let Some(text) = assistant_text(items, index) {
                    self.block("codex", Ink::Heading, &text, Ink::Plain, err);
                }
            }
            Some(Item::Reasoning(reasoning)) => {
                if let Some(text) = self.thinking(reasoning) {
                    self.block("thinking", Ink::Heading, &text, Ink::Faint, err);
                }
            }
            Some(Item::Served { query, .. }) => {
                self.piece(Ink::Place, &format!("web search: {}\n", visible::line(query)), err);
            }
            Some(Item::Call(_) | Item::Output(_)) | None => {}
        }
    }

    fn thinking(&self, reasoning: &Reasoning) -> Option<String> {
        let texts = match self.looks.reasoning {
            Thinking::Hidden => return None,
            Thinking::Raw if !reasoning.content.is_empty() => &reasoning.content,
            Thinking::Raw | Thinking::Summary => &reasoning.summary,
        };
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }

    fn command_heading(&mut self, call: CallId, heading: &str, err: &mut Vec<u8>) {
        self.piece(Ink::Heading, "exec ", err);
        push(err, heading);
        push(err, "\n");
        self.under = Some(call);
    }

    fn command_ended(
        &mut self,
        call: CallId,
        answer: Option<&Answer>,
        ended: CommandEnd,
        err: &mut Vec<u8>,
    ) {
        let index = self.open.iter().position(|(open, _)| *open == call);
        let heading = index.map(|index| self.open.remove(index).1);
        if self.under != Some(call) {
            // Something was written since: say again whose result this is.
            self.command_heading(call, heading.as_deref().unwrap_or_default(), err);
        }
        let took = match answer {
            Some(Answer::Command(command)) => format!(" in {}ms", command.wall_ms),
            Some(Answer::Text { .. }) | None => String::new(),
        };
        let (ink, verdict) = match ended {
            CommandEnd::Exited { exit_code: 0 } => (Ink::Good, format!(" succeeded{took}:")),
            CommandEnd::Exited { exit_code } => (Ink::Bad, format!(" exited {exit_code}{took}:")),
            CommandEnd::NotStarted => (Ink::Bad, " did not start:".to_owned()),
            CommandEnd::Declined => (Ink::Caution, " declined:".to_owned()),
            CommandEnd::Interrupted => (Ink::Caution, format!(" interrupted{took}:")),
        };
        self.piece(ink, &verdict, err);
        push(err, "\n");
        let lines_total = match answer {
            Some(Answer::Command(command)) => command.lines_total,
            Some(Answer::Text { .. }) | None => None,
        };
        self.preview(output_of(ended, answer), lines_total, err);
    }

    fn patch_started(&mut self, changes: &[Change], err: &mut Vec<u8>) {
        self.piece(Ink::Heading, "patch", err);
        push(err, "\n");
        for change in changes {
            let letter = match change.kind {
                ChangeKind::Add => 'A',
                ChangeKind::Delete => 'D',
                ChangeKind::Update => 'M',
            };
            let path = visible::line(&change.path);
            match &change.moved_to {
                Some(to) => push(err, &format!("{letter} {path} -> {}\n", visible::line(to))),
                None => push(err, &format!("{letter} {path}\n")),
            }
            self.diff(&change.diff, err);
        }
    }

    fn diff(&self, diff: &str, err: &mut Vec<u8>) {
        for line in visible::block(diff).lines() {
            let ink = match line.as_bytes().first() {
                Some(b'+') => Ink::Added,
                Some(b'-') => Ink::Removed,
                Some(b'@') => Ink::Place,
                _ => Ink::Plain,
            };
            self.looks.paint.push(err, ink, line);
            push(err, "\n");
        }
    }

    fn patch_ended(&mut self, answer: Option<&Answer>, applied: bool, err: &mut Vec<u8>) {
        if applied {
            return self.piece(Ink::Good, "patch applied\n", err);
        }
        self.piece(Ink::Bad, "patch not applied:", err);
        push(err, "\n");
        self.preview(answer.map_or("", Answer::text), None, err);
    }

    fn call_answered(
        &mut self,
        id: CallId,
        (items, call, output): (&[Item], ItemIndex, ItemIndex),
        err: &mut Vec<u8>,
    ) {
        let open = self.open.iter().find(|(open, _)| *open == id);
        if let Some(heading) = open.map(|(_, heading)| heading.clone()) {
            // Its command has outlived it.
            if self.under != Some(id) {
                self.command_heading(id, &heading, err);
            }
            return self.piece(Ink::Caution, " goes on\n", err);
        }
        let Some(Item::Call(call)) = item(items, call) else { return };
        let arguments = visible::line(&call.arguments);
        let (arguments, _) = clipped(&arguments, 1, PREVIEW_LINE_BYTES_MAX);
        self.piece(Ink::Heading, "tool ", err);
        push(err, &format!("{} {}", visible::line(&call.name), arguments.trim_end()));
        match answer(items, output) {
            Some(Answer::Text { text, success: false }) => {
                self.piece(Ink::Bad, " failed:\n", err);
                self.preview(text, None, err);
            }
            Some(_) | None => push(err, "\n"),
        }
    }

    fn tasks_updated(&mut self, tasks: &[Task], err: &mut Vec<u8>) {
        self.piece(Ink::Heading, "tasks", err);
        push(err, "\n");
        for task in tasks {
            let (ink, mark) = match task.status {
                TaskStatus::Completed => (Ink::Good, "[x] "),
                TaskStatus::InProgress => (Ink::Caution, "[>] "),
                TaskStatus::Pending => (Ink::Faint, "[ ] "),
            };
            self.looks.paint.push(err, ink, mark);
            push(err, &visible::line(&task.step));
            push(err, "\n");
        }
    }

    fn turn_ended(
        &mut self,
        how: &Ended,
        usage: &Usage,
        last_message: Option<&str>,
        out: &mut Output,
    ) {
        match how {
            Ended::Completed => {}
            Ended::Interrupted => self.piece(Ink::Caution, "interrupted\n", &mut out.stderr),
            Ended::Failed { message, .. } => self.error(message, &mut out.stderr),
        }
        let usage = self.total.as_ref().unwrap_or(usage);
        let tokens = usage.used();
        if tokens > 0 {
            let text = thousands(tokens);
            self.block("tokens used", Ink::Faint, &text, Ink::Plain, &mut out.stderr);
        }
        if self.limits.is_some() || self.looks.limits == LimitsShown::Always {
            let known = self.limits.map_or(Known::NotTold, Known::Told);
            let text = known.text(&self.looks.calendar);
            self.block("limits", Ink::Faint, &text, Ink::Plain, &mut out.stderr);
        }
        let verdict = self.verdict.take();
        if *how == Ended::Completed
            && let Some(text) = verdict.as_deref().or(last_message)
        {
            self.final_message(text, &mut out.stdout);
        }
    }

    fn final_message(&self, text: &str, stdout: &mut Vec<u8>) {
        stdout.reserve(text.len() + "\n".len());
        match self.looks.stdout {
            Stdout::SameTerminal => return,
            Stdout::Terminal => push(stdout, &visible::block(text)),
            Stdout::Elsewhere => push(stdout, text),
        }
        push(stdout, "\n");
    }

    /// A heading and text below it.
    fn block(
        &mut self,
        heading: &'static str,
        heading_ink: Ink,
        text: &str,
        ink: Ink,
        err: &mut Vec<u8>,
    ) {
        // In one go: a buffer that is full but for the newline would be copied.
        err.reserve(heading.len() + text.len() + BLOCK_MARKS_BYTES);
        self.piece(heading_ink, heading, err);
        push(err, "\n");
        self.looks.paint.push(err, ink, visible::block(text).trim_end_matches('\n'));
        push(err, "\n");
    }

    /// A few lines of what a command printed, and how many more there are.
    fn preview(&self, text: &str, lines_total: Option<u64>, err: &mut Vec<u8>) {
        let text = visible::block(text);
        let (text, left_out) = clipped(&text, PREVIEW_LINES_MAX, PREVIEW_LINE_BYTES_MAX);
        self.looks.paint.push(err, Ink::Faint, text.trim_end_matches('\n'));
        if !text.is_empty() {
            push(err, "\n");
        }
        let shown = text.lines().count() as u64;
        let left_out = lines_total.map_or(left_out, |total| total.saturating_sub(shown));
        if left_out > 0 {
            push(err, &format!("... {} more lines\n", thousands(left_out)));
        }
    }

    /// Text of our own that is not under a command's heading.
    fn piece(&mut self, ink: Ink, text: &str, err: &mut Vec<u8>) {
        self.under = None;
        self.looks.paint.push(err, ink, text);
    }
}

/// Colours and newlines around a heading and its text, and a short block after it: the count of
/// tokens often follows a long last message, which would be copied to make room for it.
const BLOCK_MARKS_BYTES: usize = 256;

/// A few lines of text from outside, safe to show; ends with a newline.
fn shown(text: &str) -> String {
    let text = visible::block(text);
    let (mut text, left_out) = clipped(&text, PREVIEW_LINES_MAX, PREVIEW_LINE_BYTES_MAX);
    if left_out > 0 {
        text.push_str(&format!("... {} more lines\n", thousands(left_out)));
    }
    text
}

/// Limits, if they say anything.
fn named(limits: RateLimits) -> Option<RateLimits> {
    (limits != RateLimits::default()).then_some(limits)
}

fn banner(settings: &ThreadSettings) -> Box<str> {
    let rule = "--------";
    let mut text = format!("windlass {}\n{rule}\n", env!("CARGO_PKG_VERSION"));
    let reasoning = &settings.reasoning;
    for (name, value) in [
        ("workdir", &*settings.cwd),
        ("model", &settings.model),
        ("provider", &settings.provider),
        ("approval", approval(settings.approval)),
        ("sandbox", &sandbox(&settings.sandbox)),
        ("reasoning effort", reasoning.effort.as_deref().unwrap_or("none")),
        ("reasoning summaries", reasoning.summary.as_deref().unwrap_or("none")),
    ] {
        text.push_str(&format!("{name}: {}\n", visible::line(value)));
    }
    text.into()
}

fn approval(policy: ApprovalPolicy) -> &'static str {
    match policy {
        ApprovalPolicy::Untrusted => "untrusted",
        ApprovalPolicy::OnFailure => "on-failure",
        ApprovalPolicy::OnRequest => "on-request",
        ApprovalPolicy::Never => "never",
    }
}

/// The mode, and what it allows beyond reading.
fn sandbox(policy: &SandboxPolicy) -> String {
    match policy.mode {
        SandboxMode::ReadOnly => "read-only".to_owned(),
        SandboxMode::DangerFullAccess => "danger-full-access".to_owned(),
        SandboxMode::WorkspaceWrite => {
            let mut text = "workspace-write [workdir".to_owned();
            if !policy.exclude_slash_tmp {
                text.push_str(", /tmp");
            }
            if !policy.exclude_tmpdir_env_var {
                text.push_str(", $TMPDIR");
            }
            for root in &policy.writable_roots {
                text.push_str(", ");
                text.push_str(root);
            }
            text.push_str(if policy.network { "] (network access)" } else { "]" });
            text
        }
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// The answer in an output item.
fn answer(items: &[Item], index: ItemIndex) -> Option<&Answer> {
    match item(items, index)? {
        Item::Output(output) => Some(&output.answer),
        _ => None,
    }
}
