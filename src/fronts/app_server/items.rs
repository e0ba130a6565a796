//! Items of a conversation in the words of the second protocol.

use crate::fronts::app_server::types::codec::{Json, Maybe, Preset, Text};
use crate::fronts::app_server::types::v2_items::{
    CommandAction, CommandExecutionSource, CommandExecutionStatus, FileUpdateChange,
    PatchApplyStatus, PatchChangeKind, ThreadItem, ThreadItemKind, ThreadItemTimes, UserInput,
    WebSearchAction,
};
use crate::fronts::exec::shell_words::shell_join;
use crate::tools::parsed::{Parsed, parsed_whole};
use crate::wire::json;
use crate::words::call::{Change, ChangeKind};
use crate::words::item::{Image, Item, Message, Part, Role};

/// An item without times.
pub fn item(kind: ThreadItemKind) -> ThreadItem {
    let times = ThreadItemTimes { started_at_ms: Maybe(None), completed_at_ms: Maybe(None) };
    ThreadItem { times, kind }
}

pub fn user_message(id: Text, client_id: Option<Text>, message: &Message) -> ThreadItem {
    let content = message.parts.iter().map(|part| match part {
        Part::Text(text) => {
            UserInput::Text { text: text.clone(), text_elements: Preset(Vec::new()) }
        }
        Part::Image(image) => UserInput::Image { detail: Maybe(None), url: url(image) },
    });
    item(ThreadItemKind::UserMessage { id, client_id, content: content.collect() })
}

/// An image as clients are told of it. Of one that is too long to be told again, an URL without
/// content, which whoever shows it can read and need not fetch.
pub fn url(image: &Image) -> Text {
    match image {
        Image::Url(url) => url.clone(),
        Image::Kept(_) => "data:,".into(),
    }
}

pub fn agent_message(id: Text, text: Text) -> ThreadItem {
    item(ThreadItemKind::AgentMessage {
        id,
        text,
        phase: None,
        memory_citation: None,
        moderation: None,
        delivery: None,
        questions: None,
    })
}

pub fn reasoning(id: Text, summary: Vec<Text>, content: Vec<Text>) -> ThreadItem {
    item(ThreadItemKind::Reasoning { id, summary, content })
}

pub fn web_search(id: Text, query: Text, served: &str) -> ThreadItem {
    let action = json::field(served, "action").map(action);
    item(ThreadItemKind::WebSearch { id, query, action, results: None })
}

fn action(json: &str) -> WebSearchAction {
    let text = |name: &str| json::field(json, name).and_then(json::boxed);
    match text("type").as_deref() {
        Some("search") => WebSearchAction::Search { query: text("query"), queries: None },
        Some("open_page") => WebSearchAction::OpenPage { url: text("url") },
        Some("find_in_page") => {
            WebSearchAction::FindInPage { url: text("url"), pattern: text("pattern") }
        }
        _ => WebSearchAction::Other,
    }
}

pub fn command(id: Text, argv: &[String], cwd: &str, source: CommandExecutionSource) -> ThreadItem {
    item(ThreadItemKind::CommandExecution {
        id,
        plugin_id: None,
        script_path: None,
        command: shell_join(argv).into(),
        cwd: cwd.into(),
        process_id: None,
        source,
        status: CommandExecutionStatus::InProgress,
        command_actions: actions(argv),
        aggregated_output: None,
        exit_code: None,
        duration_ms: None,
    })
}

pub fn actions(argv: &[String]) -> Vec<CommandAction> {
    let text = |text: String| -> Text { text.into() };
    let told = parsed_whole(argv).into_iter().map(|one| match one {
        Parsed::Read { command, name, path } => {
            CommandAction::Read { command: text(command), name: text(name), path: text(path) }
        }
        Parsed::ListFiles { command, path } => {
            CommandAction::ListFiles { command: text(command), path: path.map(text) }
        }
        Parsed::Search { command, query, path } => CommandAction::Search {
            command: text(command),
            query: query.map(text),
            path: path.map(text),
        },
        Parsed::Unknown { command } => CommandAction::Unknown { command: text(command) },
    });
    told.collect()
}

pub fn file_change(id: Text, changes: &[Change], status: PatchApplyStatus) -> ThreadItem {
    let changes = changes.iter().map(|change| FileUpdateChange {
        path: change.path.clone(),
        kind: match change.kind {
            ChangeKind::Add => PatchChangeKind::Add,
            ChangeKind::Delete => PatchChangeKind::Delete,
            ChangeKind::Update => PatchChangeKind::Update { move_path: change.moved_to.clone() },
        },
        diff: change.diff.clone(),
    });
    item(ThreadItemKind::FileChange { id, changes: changes.collect(), status })
}

/// An item that the model said, once it is whole; `None` for what is not shown.
pub fn of_model(id: Text, said: &Item) -> Option<ThreadItem> {
    match said {
        Item::Message(message) if message.role == Role::Assistant => {
            let text: String = message.texts().collect();
            (!text.is_empty()).then(|| agent_message(id, text.into()))
        }
        Item::Reasoning(thought) => {
            Some(reasoning(id, thought.summary.clone(), thought.content.clone()))
        }
        Item::Served { json, query, .. } => Some(web_search(id, query.clone(), json)),
        Item::Message(_) | Item::Call(_) | Item::Output(_) => None,
    }
}

/// The JSON of an item, for places where any may stand.
pub fn json(item: &ThreadItem) -> Json {
    Json::of(item)
}
