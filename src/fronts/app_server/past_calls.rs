//! Calls of a recorded conversation as items, and what their answers say of them.

use crate::fronts::app_server::items;
use crate::fronts::app_server::types::codec::{Maybe, Preset, Text};
use crate::fronts::app_server::types::v2_items::{
    CommandExecutionSource, CommandExecutionStatus, FileUpdateChange, PatchApplyStatus,
    PatchChangeKind, ThreadItem, ThreadItemKind, UserInput,
};
use crate::limits::CLIENT_INPUT_PARTS_MAX;
use crate::tools::patch::{self, Hunk, Intercepted, Line};
use crate::wire::json;
use crate::words::call::{Answer, CallAsked, CallKind, printed};
use crate::words::item::Message;

/// The item of a call, if clients see one.
pub fn item_of(call: &CallAsked, cwd: &str) -> Option<ThreadItemKind> {
    let text = |name: &str| json::field(&call.arguments, name).and_then(json::boxed);
    let id = call.call_id.clone();
    match &*call.name {
        "shell" | "container.exec" | "local_shell" | "shell_command" | "exec_command" => {
            let argv = argv(&call.arguments)?;
            let place = text("workdir").or_else(|| text("working_directory")).unwrap_or_default();
            let place = joined(cwd, &place);
            match patch::as_patch(&argv) {
                Some(Intercepted::Patch(found)) => {
                    let place = joined(&place, found.workdir.as_deref().unwrap_or(""));
                    Some(file_change(id, &found.body, &place))
                }
                Some(Intercepted::Bare) | None => {
                    let source = CommandExecutionSource::Agent;
                    Some(items::command(id, &argv, &place, source).kind)
                }
            }
        }
        "apply_patch" => {
            let body = match call.kind {
                CallKind::Custom => call.arguments.clone(),
                CallKind::Function | CallKind::LocalShell => text("input")?,
            };
            Some(file_change(id, &body, cwd))
        }
        "view_image" => Some(ThreadItemKind::ImageView { id, path: viewed(call, cwd)? }),
        _ => None,
    }
}

/// Which image a call looks at, if it is such a call.
pub fn viewed(call: &CallAsked, cwd: &str) -> Option<Text> {
    let path = json::field(&call.arguments, "path").filter(|_| &*call.name == "view_image")?;
    Some(joined(cwd, &json::boxed(path)?).into())
}

/// The item of a command of the user, if that is what the message tells of.
pub fn user_command(message: &Message, cwd: &str) -> Option<ThreadItemKind> {
    let told = message.texts().next()?.strip_prefix("<user_shell_command>\n<command>\n")?;
    let (line, result) = told.split_once("\n</command>\n<result>\n")?;
    let result = result.strip_suffix("\n</result>\n</user_shell_command>")?;
    let argv = ["bash", "-lc", line].map(str::to_owned);
    let source = CommandExecutionSource::UserShell;
    let mut item = items::command(Text::default(), &argv, cwd, source);
    // One without an exit code has not ended by itself.
    answered(&mut item, &Answer::failure(result));
    Some(item.kind)
}

/// Takes the answer to a call into its item.
pub fn answered(item: &mut ThreadItem, answer: &Answer) {
    let heard = heard(answer);
    match &mut item.kind {
        ThreadItemKind::CommandExecution {
            status,
            aggregated_output,
            exit_code,
            duration_ms,
            ..
        } => {
            *status = match (heard.declined, heard.exit_code) {
                (true, _) => CommandExecutionStatus::Declined,
                (false, Some(0)) => CommandExecutionStatus::Completed,
                (false, Some(_)) => CommandExecutionStatus::Failed,
                (false, None) if heard.failed => CommandExecutionStatus::Failed,
                (false, None) => CommandExecutionStatus::Completed,
            };
            *aggregated_output = Some(heard.output.into());
            (*exit_code, *duration_ms) = (heard.exit_code, heard.duration_ms);
        }
        ThreadItemKind::FileChange { status, .. } => {
            *status = match heard.exit_code {
                Some(0) => PatchApplyStatus::Completed,
                _ if heard.declined => PatchApplyStatus::Declined,
                None if heard.output.starts_with("Success") => PatchApplyStatus::Completed,
                Some(_) | None => PatchApplyStatus::Failed,
            };
        }
        _ => {}
    }
}

/// Takes what a newer recorder says of a command that has ended into its item.
pub fn ended(item: &mut ThreadItem, told: &str) {
    let ThreadItemKind::CommandExecution {
        status, aggregated_output, exit_code, duration_ms, ..
    } = &mut item.kind
    else {
        return;
    };
    let names = ["status", "aggregated_output", "exit_code", "duration"];
    let Ok([how, output, code, took]) = json::pick(told, names) else { return };
    *status = match how.and_then(json::text).as_deref() {
        Some("completed") => CommandExecutionStatus::Completed,
        Some("declined") => CommandExecutionStatus::Declined,
        _ => CommandExecutionStatus::Failed,
    };
    *aggregated_output = output.and_then(json::boxed);
    *exit_code = code.and_then(|code| code.parse().ok());
    let took = took.and_then(|took| json::pick(took, ["secs", "nanos"]).ok());
    *duration_ms = took.map(|took| {
        let [seconds, nanos] = took.map(|count| count.and_then(json::count).unwrap_or_default());
        i64::try_from(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
            .unwrap_or(i64::MAX)
    });
}

/// What was never answered has not ended well.
pub fn left(item: &mut ThreadItem) {
    match &mut item.kind {
        ThreadItemKind::CommandExecution { status, .. }
            if *status == CommandExecutionStatus::InProgress =>
        {
            *status = CommandExecutionStatus::Failed;
        }
        ThreadItemKind::FileChange { status, .. } if *status == PatchApplyStatus::InProgress => {
            *status = PatchApplyStatus::Failed;
        }
        _ => {}
    }
}

/// What a user said, as items of a newer recorder hold it.
pub fn content(list: &str) -> Vec<UserInput> {
    let mut said = Vec::new();
    // What is no list says nothing.
    let _ = json::elements(list, &mut |part| {
        let text = |name: &str| json::field(part, name).and_then(json::boxed);
        let input = match text("type").as_deref() {
            Some("text") => {
                text("text").map(|text| UserInput::Text { text, text_elements: Preset(Vec::new()) })
            }
            Some("image") => text("image_url").or_else(|| text("url")).map(image),
            Some("local_image") => {
                text("path").map(|path| UserInput::LocalImage { detail: Maybe(None), path })
            }
            _ => None,
        };
        if said.len() < CLIENT_INPUT_PARTS_MAX {
            said.extend(input);
        }
    });
    said
}

pub fn image(url: Text) -> UserInput {
    UserInput::Image { detail: Maybe(None), url }
}

/// The field that every kind of item has.
macro_rules! id {
    ($kind:expr) => {
        match $kind {
            ThreadItemKind::UserMessage { id, .. }
            | ThreadItemKind::AgentMessage { id, .. }
            | ThreadItemKind::Plan { id, .. }
            | ThreadItemKind::Reasoning { id, .. }
            | ThreadItemKind::CommandExecution { id, .. }
            | ThreadItemKind::FileChange { id, .. }
            | ThreadItemKind::McpToolCall { id, .. }
            | ThreadItemKind::DynamicToolCall { id, .. }
            | ThreadItemKind::WebSearch { id, .. }
            | ThreadItemKind::ImageView { id, .. }
            | ThreadItemKind::EnteredReviewMode { id, .. }
            | ThreadItemKind::ExitedReviewMode { id, .. }
            | ThreadItemKind::ContextCompaction { id } => id,
        }
    };
}

pub fn id_of(item: &ThreadItem) -> &str {
    id!(&item.kind)
}

/// Gives an item its id.
pub fn name(item: &mut ThreadItem, new: Text) {
    *id!(&mut item.kind) = new;
}

/// What an answer says, in whichever layout.
struct Heard<'a> {
    output: &'a str,
    exit_code: Option<i32>,
    duration_ms: Option<i64>,
    declined: bool,
    failed: bool,
}

fn heard(answer: &Answer) -> Heard<'_> {
    let (text, success) = match answer {
        Answer::Command(command) => {
            return Heard {
                output: &command.output,
                exit_code: Some(command.exit_code),
                duration_ms: Some(i64::try_from(command.wall_ms).unwrap_or(i64::MAX)),
                declined: false,
                failed: command.exit_code != 0,
            };
        }
        Answer::Text { text, success } => (&**text, *success),
    };
    let heads = ["Exit code: ", "Process exited with code "];
    let mut lines = text.lines().take(HEAD_LINES_MAX);
    let code = lines.find_map(|line| {
        heads.iter().find_map(|head| line.strip_prefix(head)?.trim().parse::<i32>().ok())
    });
    let is_aborted = text.starts_with("Wall time: ") && code.is_none();
    let declined = code.is_none() && text.contains("rejected") && text.len() < DECLINED_BYTES_MAX;
    let output = match (code, text.split_once("\nOutput:\n")) {
        (Some(_), Some((_, output))) => output,
        _ => printed(text),
    };
    Heard { output, exit_code: code, duration_ms: None, declined, failed: !success || is_aborted }
}

/// Lines before the output of a command in the layouts for models.
const HEAD_LINES_MAX: usize = 6;
/// Longer texts are output, whatever words are in them.
const DECLINED_BYTES_MAX: usize = 2048;

/// The words of a command in a call's arguments.
fn argv(arguments: &str) -> Option<Vec<String>> {
    let [command, line] = json::pick(arguments, ["command", "cmd"]).ok()?;
    let command = command.or(line)?;
    if let Some(line) = json::text(command) {
        return Some(vec!["bash".to_owned(), "-lc".to_owned(), line.into_owned()]);
    }
    let mut words = Vec::new();
    json::elements(command, &mut |word| words.extend(json::text(word).map(String::from))).ok()?;
    (!words.is_empty()).then_some(words)
}

fn joined(directory: &str, path: &str) -> String {
    match path {
        "" => directory.to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("{}/{path}", directory.trim_end_matches('/')),
    }
}

fn file_change(id: Text, body: &str, cwd: &str) -> ThreadItemKind {
    // A text that is no patch changed nothing.
    let hunks = patch::parse(body).map(|patch| patch.hunks).unwrap_or_default();
    let changes = hunks.into_iter().map(|hunk| change(hunk, cwd)).collect();
    ThreadItemKind::FileChange { id, changes, status: PatchApplyStatus::InProgress }
}

fn change(hunk: Hunk, cwd: &str) -> FileUpdateChange {
    match hunk {
        Hunk::Add { path, content } => FileUpdateChange {
            path: joined(cwd, &path).into(),
            kind: PatchChangeKind::Add,
            diff: content.into(),
        },
        Hunk::Delete { path } => FileUpdateChange {
            path: joined(cwd, &path).into(),
            kind: PatchChangeKind::Delete,
            diff: Text::default(),
        },
        Hunk::Update { path, move_to, chunks } => {
            let mut diff = String::new();
            for chunk in chunks {
                diff.push_str("@@");
                for context in &chunk.contexts {
                    diff.push(' ');
                    diff.push_str(context);
                }
                diff.push('\n');
                for line in &chunk.lines {
                    let (mark, text) = match line {
                        Line::Keep(text) => (' ', text),
                        Line::Remove(text) => ('-', text),
                        Line::Insert(text) => ('+', text),
                    };
                    diff.push(mark);
                    diff.push_str(text);
                    diff.push('\n');
                }
            }
            FileUpdateChange {
                path: joined(cwd, &path).into(),
                kind: PatchChangeKind::Update {
                    move_path: move_to.map(|path| joined(cwd, &path).into()),
                },
                diff: diff.into(),
            }
        }
    }
}

/// Images of a message, bounded.
pub(super) fn images(list: Option<&str>) -> Vec<UserInput> {
    let mut images = Vec::new();
    // What is no list holds no images.
    let _ = json::elements(list.unwrap_or("[]"), &mut |url| {
        if images.len() < CLIENT_INPUT_PARTS_MAX
            && let Some(url) = json::boxed(url)
        {
            images.push(image(url));
        }
    });
    images
}

/// Whether a message in a user's name is one of those that programs open with.
pub(super) fn is_told(message: &Message) -> bool {
    const OPENINGS: [&str; 6] = [
        "<environment_context>",
        "<user_instructions>",
        "# AGENTS.md instructions",
        "<turn_aborted>",
        "<user_shell_command>",
        "<user_action>",
    ];
    let first = message.texts().next().unwrap_or_default().trim_start();
    OPENINGS.iter().any(|opening| first.starts_with(opening))
}
