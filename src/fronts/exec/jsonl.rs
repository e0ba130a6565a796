//! `exec --json`: one JSON object per line, for programs.
//!
//! Items are numbered in the order of their first event, `item_0` upward, over the whole process.
//! Deltas are not shown. Lines are written by hand: their shape is a contract with programs we do
//! not know.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fronts::exec::shell_words::shell_join;
use crate::fronts::exec::{COMPACTED, assistant_text, item, output_of};
use crate::wire::review;
use crate::words::call::{Answer, Change, ChangeKind, Task, TaskStatus};
use crate::words::event::{Budget, CommandEnd, Ended, Event, Failed};
use crate::words::ids::{CallId, ItemIndex};
use crate::words::item::Item;
use crate::words::model::Usage;
use crate::words::review::Verdict;

/// What the lines so far oblige the next ones to.
#[derive(Default, Debug)]
pub struct Jsonl {
    reasoning: ReasoningShown,
    /// The number of the next item.
    next: u32,
    /// Calls whose item has started; as many as the machine runs at once.
    open: Vec<Open>,
    /// The number of the web search that has started last, until it is whole.
    search: Option<u32>,
    tasks: Option<Tasks>,
    /// How the turn ended, while commands that have outlived it have yet to tell their end.
    held: Option<(Ended, Usage)>,
    /// Tokens of the whole thread, once a response was whole.
    total: Option<Usage>,
}

/// Whether reasoning items are shown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ReasoningShown {
    #[default]
    Summary,
    Hidden,
}

/// An item that started and did not complete yet.
#[derive(Debug)]
struct Open {
    call: CallId,
    number: u32,
    /// The command line; empty for a patch.
    command: String,
}

#[derive(Debug)]
struct Tasks {
    number: u32,
    tasks: Vec<Task>,
}

/// What is not known yet, or never told.
const NO_ACTION: &str = "{\"type\":\"other\"}";

#[derive(Clone, Copy)]
enum Phase {
    Started,
    Updated,
    Completed,
}

impl Jsonl {
    pub fn new(reasoning: ReasoningShown) -> Jsonl {
        Jsonl { reasoning, ..Jsonl::default() }
    }

    /// Appends the lines of an event.
    pub fn told(&mut self, event: &Event, items: &[Item], out: &mut Vec<u8>) {
        match event {
            Event::ThreadStarted { conversation, .. } => {
                push(out, "{\"type\":\"thread.started\"");
                field(out, "thread_id", &conversation.to_string());
                push(out, "}\n");
            }
            Event::TurnStarted { .. } => push(out, "{\"type\":\"turn.started\"}\n"),
            Event::ServedStarted => {
                let number = self.number();
                self.search = Some(number);
                web_search(out, Phase::Started, number, "", NO_ACTION);
            }
            Event::ItemCompleted { item } => self.item_completed(items, *item, out),
            Event::CommandStarted { call, argv, .. }
            | Event::UserCommandStarted { call, argv, .. } => {
                self.command_started(*call, shell_join(argv), out);
            }
            Event::CommandEnded { call, item, ended } => {
                self.command_ended(*call, answer(items, *item), *ended, out);
            }
            Event::SessionEnded { call, ended, output } => {
                // One that ends after its turn is no item of a later one.
                if let Some(open) = self.closed(*call) {
                    let (exit_code, status) = verdict(*ended, None);
                    command_completed(&open, output, exit_code, status, out);
                }
            }
            Event::PatchStarted { call, changes, .. } => {
                let number = self.number();
                self.open.push(Open { call: *call, number, command: String::new() });
                file_change(out, Phase::Started, number, changes, "in_progress");
            }
            Event::PatchEnded { call, changes, applied, .. } => {
                self.patch_ended(*call, changes, *applied, out);
            }
            Event::TasksUpdated { tasks } => self.tasks_updated(tasks, out),
            Event::Retrying { attempt, attempts_max, .. } => {
                self.search = None;
                error_line(&format!("Reconnecting... {attempt}/{attempts_max}"), out);
            }
            Event::Warning { message } => self.warning(message, out),
            Event::Compacted { .. } => self.warning(COMPACTED, out),
            Event::Tokens { total, .. } => self.total = Some(*total),
            Event::TurnEnded { how, usage, .. } if self.has_open_commands() => {
                self.held = Some((how.clone(), *usage));
            }
            Event::TurnEnded { how, usage, .. } => self.turn_ended(how, usage, out),
            Event::ThreadClosed => {
                if let Some((how, usage)) = self.held.take() {
                    self.turn_ended(&how, &usage, out);
                }
            }
            Event::ThreadFailed { .. }
            | Event::PromptTaken { .. }
            | Event::ReviewEntered { .. }
            | Event::ReviewExited { .. }
            | Event::TextDelta { .. }
            | Event::ReasoningDelta { .. }
            | Event::ReasoningBreak
            | Event::ThreadLoading
            | Event::CallAnswered { .. }
            | Event::ApprovalAsked { .. }
            | Event::ApprovalSettled { .. }
            | Event::Limits { .. }
            | Event::CompactionStarted
            | Event::TurnStopping { .. }
            | Event::Refused { .. } => {}
        }
    }

    /// Whether commands run that the turn's end has to wait for: their items complete before it.
    pub fn has_open_commands(&self) -> bool {
        self.open.iter().any(|open| !open.command.is_empty())
    }

    /// Appends what came of a review: as a message, and as data.
    pub fn verdict(&mut self, verdict: &Verdict, text: &str, out: &mut Vec<u8>) {
        item_head(out, Phase::Completed, self.number(), "agent_message");
        field(out, "text", text);
        push(out, ",\"review_output\":");
        review::encode(verdict, out);
        item_tail(out);
    }

    fn warning(&mut self, message: &str, out: &mut Vec<u8>) {
        item_head(out, Phase::Completed, self.number(), "error");
        field(out, "message", message);
        item_tail(out);
    }

    fn item_completed(&mut self, items: &[Item], index: ItemIndex, out: &mut Vec<u8>) {
        match item(items, index) {
            Some(Item::Message(_)) => {
                let Some(text) = assistant_text(items, index) else { return };
                item_head(out, Phase::Completed, self.number(), "agent_message");
                field(out, "text", &text);
            }
            Some(Item::Reasoning(reasoning)) => {
                if reasoning.summary.is_empty() || self.reasoning == ReasoningShown::Hidden {
                    return;
                }
                item_head(out, Phase::Completed, self.number(), "reasoning");
                field(out, "text", &reasoning.summary.join("\n\n"));
            }
            Some(Item::Served { json, query, .. }) => {
                let action = action(json);
                let action = action.as_deref().unwrap_or(NO_ACTION);
                let number = self.search.take().unwrap_or_else(|| {
                    // The provider told of it at its end alone.
                    let number = self.number();
                    web_search(out, Phase::Started, number, query, action);
                    number
                });
                return web_search(out, Phase::Completed, number, query, action);
            }
            Some(Item::Call(_) | Item::Output(_)) | None => return,
        }
        item_tail(out);
    }

    fn command_started(&mut self, call: CallId, command: String, out: &mut Vec<u8>) {
        let number = self.number();
        item_head(out, Phase::Started, number, "command_execution");
        field(out, "command", &command);
        push(out, ",\"aggregated_output\":\"\",\"exit_code\":null,\"status\":\"in_progress\"");
        item_tail(out);
        self.open.push(Open { call, number, command });
    }

    fn command_ended(
        &mut self,
        call: CallId,
        answer: Option<&Answer>,
        ended: CommandEnd,
        out: &mut Vec<u8>,
    ) {
        let open = match self.closed(call) {
            Some(open) => open,
            None => {
                self.command_started(call, String::new(), out);
                self.closed(call).unwrap_or_else(|| unreachable!("it was opened on the line above"))
            }
        };
        let (exit_code, status) = verdict(ended, answer);
        command_completed(&open, output_of(ended, answer), exit_code, status, out);
    }

    fn patch_ended(&mut self, call: CallId, changes: &[Change], applied: bool, out: &mut Vec<u8>) {
        let number = match self.closed(call) {
            Some(open) => open.number,
            // It never started: what could not be understood changed nothing.
            None if changes.is_empty() => return,
            None => self.number(),
        };
        let status = if applied { "completed" } else { "failed" };
        file_change(out, Phase::Completed, number, changes, status);
    }

    fn tasks_updated(&mut self, tasks: &[Task], out: &mut Vec<u8>) {
        let (phase, number) = match &self.tasks {
            Some(known) => (Phase::Updated, known.number),
            None => (Phase::Started, self.number()),
        };
        todo_list(out, phase, number, tasks);
        self.tasks = Some(Tasks { number, tasks: tasks.to_vec() });
    }

    fn turn_ended(&mut self, how: &Ended, usage: &Usage, out: &mut Vec<u8>) {
        // What was given up has told nothing.
        for open in std::mem::take(&mut self.open).iter().filter(|open| !open.command.is_empty()) {
            command_completed(open, "", NO_EXIT_CODE, "failed", out);
        }
        if let Some(Tasks { number, tasks }) = self.tasks.take() {
            todo_list(out, Phase::Completed, number, &tasks);
        }
        self.open.clear();
        self.search = None;
        let message = match how {
            Ended::Completed => return turn_completed(out, self.total.as_ref().unwrap_or(usage)),
            // Whoever ended it knows, and everybody by the exit code. The SDK would take a failure
            // told here for the model's, and never say that its caller has aborted.
            Ended::Interrupted => return,
            Ended::Failed { message, .. } => message,
        };
        error_line(message, out);
        push(out, "{\"type\":\"turn.failed\",\"error\":{\"message\":");
        string(out, message);
        if let Some(code) = code(how) {
            field(out, "code", code);
        }
        push(out, "}}\n");
    }

    fn number(&mut self) -> u32 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Takes the open item of a call.
    fn closed(&mut self, call: CallId) -> Option<Open> {
        let index = self.open.iter().position(|open| open.call == call)?;
        Some(self.open.remove(index))
    }
}

/// What programs tell failures apart by; only budgets have one.
fn code(how: &Ended) -> Option<&'static str> {
    match how {
        Ended::Failed { kind: Failed::Spent(budget), .. } => Some(match budget {
            Budget::Requests => "max_turns",
            Budget::Tokens => "max_tokens",
            Budget::Time => "timeout",
        }),
        Ended::Failed { .. } | Ended::Completed | Ended::Interrupted => None,
    }
}

/// What programs know as the exit code of a command that has none.
const NO_EXIT_CODE: i32 = -1;

/// A command's exit code and status.
fn verdict(ended: CommandEnd, answer: Option<&Answer>) -> (i32, &'static str) {
    match (ended, answer) {
        (CommandEnd::Exited { exit_code: 0 }, _) => (0, "completed"),
        (CommandEnd::Exited { exit_code }, _) => (exit_code, "failed"),
        (CommandEnd::Declined, _) => (NO_EXIT_CODE, "declined"),
        (CommandEnd::Interrupted, Some(Answer::Command(command))) => (command.exit_code, "failed"),
        (CommandEnd::NotStarted | CommandEnd::Interrupted, _) => (NO_EXIT_CODE, "failed"),
    }
}

fn command_completed(
    open: &Open,
    output: &str,
    exit_code: i32,
    status: &'static str,
    out: &mut Vec<u8>,
) {
    item_head(out, Phase::Completed, open.number, "command_execution");
    field(out, "command", &open.command);
    field(out, "aggregated_output", output);
    push(out, &format!(",\"exit_code\":{exit_code},\"status\":\"{status}\""));
    item_tail(out);
}

/// Appends an `error` line.
pub fn error_line(message: &str, out: &mut Vec<u8>) {
    push(out, "{\"type\":\"error\"");
    field(out, "message", message);
    push(out, "}\n");
}

fn turn_completed(out: &mut Vec<u8>, usage: &Usage) {
    push(
        out,
        &format!(
            "{{\"type\":\"turn.completed\",\"usage\":{{\"input_tokens\":{},\
             \"cached_input_tokens\":{},\"cache_write_input_tokens\":{},\"output_tokens\":{},\
             \"reasoning_output_tokens\":{}}}}}\n",
            usage.input,
            usage.cached_input,
            usage.cache_write_input,
            usage.output,
            usage.reasoning_output
        ),
    );
}

fn todo_list(out: &mut Vec<u8>, phase: Phase, number: u32, tasks: &[Task]) {
    item_head(out, phase, number, "todo_list");
    push(out, ",\"items\":[");
    for (index, task) in tasks.iter().enumerate() {
        push(out, if index > 0 { ",{\"text\":" } else { "{\"text\":" });
        string(out, &task.step);
        let completed = task.status == TaskStatus::Completed;
        push(out, &format!(",\"completed\":{completed}}}"));
    }
    push(out, "]");
    item_tail(out);
}

fn file_change(
    out: &mut Vec<u8>,
    phase: Phase,
    number: u32,
    changes: &[Change],
    status: &'static str,
) {
    item_head(out, phase, number, "file_change");
    push(out, ",\"changes\":[");
    for (index, change) in changes.iter().enumerate() {
        push(out, if index > 0 { ",{\"path\":" } else { "{\"path\":" });
        string(out, &change.path);
        field(
            out,
            "kind",
            match change.kind {
                ChangeKind::Add => "add",
                ChangeKind::Delete => "delete",
                ChangeKind::Update => "update",
            },
        );
        push(out, "}");
    }
    push(out, "]");
    field(out, "status", status);
    item_tail(out);
}

fn item_head(out: &mut Vec<u8>, phase: Phase, number: u32, kind: &'static str) {
    let phase = match phase {
        Phase::Started => "started",
        Phase::Updated => "updated",
        Phase::Completed => "completed",
    };
    let head = format!(
        "{{\"type\":\"item.{phase}\",\"item\":{{\"id\":\"item_{number}\",\"type\":\"{kind}\""
    );
    push(out, &head);
}

fn item_tail(out: &mut Vec<u8>) {
    push(out, "}}\n");
}

/// Appends a further field of text.
fn field(out: &mut Vec<u8>, name: &'static str, text: &str) {
    push(out, ",\"");
    push(out, name);
    push(out, "\":");
    string(out, text);
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Writing text to memory cannot fail: a `Vec` takes every byte and every `str` is valid JSON
    // text.
    let _ = serde_json::to_writer(out, text);
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

fn web_search(out: &mut Vec<u8>, phase: Phase, number: u32, query: &str, action: &str) {
    item_head(out, phase, number, "web_search");
    field(out, "query", query);
    push(out, ",\"action\":");
    push(out, action);
    item_tail(out);
}

/// What a served search did, as the provider told it, on one line; `None` if it did not.
fn action(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Served<'a> {
        #[serde(borrow)]
        action: Option<&'a RawValue>,
    }
    let served: Served<'_> = serde_json::from_str(json).ok()?;
    // Newlines cannot stand inside strings, so outside them they are but white space.
    Some(served.action?.get().replace(['\n', '\r'], " "))
}
