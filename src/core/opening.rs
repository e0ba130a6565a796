//! The first items of a conversation: instructions of the developer, project notes, the
//! environment.
//!
//! Tags and title lines are those that other clients recognise and hide from people.

use crate::words::item::{Item, Message, Part, Role};
use crate::words::policy::{ApprovalPolicy, SandboxMode};
use crate::words::settings::ThreadSettings;

/// The opening of a new conversation, in order.
pub fn items(settings: &ThreadSettings) -> Vec<Item> {
    let mut items = Vec::new();
    if let Some(text) = &settings.developer_instructions {
        items.push(message(Role::Developer, text));
    }
    if let Some(notes) = &settings.project_notes {
        let cwd = &settings.cwd;
        let text = format!(
            "# AGENTS.md instructions for {cwd}\n\n<INSTRUCTIONS>\n{notes}\n</INSTRUCTIONS>"
        );
        items.push(message(Role::User, &text));
    }
    items.push(message(Role::User, &environment(settings)));
    items
}

/// What must be said again when a conversation goes on: the environment, if it is not as it was
/// last told.
pub fn changed(settings: &ThreadSettings, history: &[Item]) -> Vec<Item> {
    let last = history.iter().rev().find_map(|item| match item {
        Item::Message(Message { role: Role::User, parts, .. }) => match parts.as_slice() {
            [Part::Text(text)] if text.starts_with("<environment_context>") => Some(text),
            _ => None,
        },
        Item::Message(_)
        | Item::Reasoning(_)
        | Item::Call(_)
        | Item::Output(_)
        | Item::Served { .. } => None,
    });
    let text = environment(settings);
    match last {
        None => items(settings),
        Some(told) if **told == *text => Vec::new(),
        Some(_) => vec![message(Role::User, &text)],
    }
}

/// Whether a message of the user is not theirs, but one of those that say what must be known.
pub fn is_told(message: &Message) -> bool {
    match message.parts.as_slice() {
        [Part::Text(text)] => is_opening(text),
        _ => false,
    }
}

/// Whether a user's message is none of the user's: ours, or that of another client of this family.
pub fn is_opening(text: &str) -> bool {
    OPENINGS.iter().any(|opening| text.starts_with(opening))
}

/// Begins what the model is told of a command of the user; other clients know this tag.
pub const USER_COMMAND: &str = "<user_shell_command>";

const OPENINGS: [&str; 4] =
    ["<environment_context>", "# AGENTS.md instructions for ", "<user_instructions>", USER_COMMAND];

fn message(role: Role, text: &str) -> Item {
    Item::Message(Message::text(role, text))
}

fn environment(settings: &ThreadSettings) -> String {
    let sandbox = &settings.sandbox;
    let network = sandbox.network || sandbox.mode == SandboxMode::DangerFullAccess;
    let mut text = String::from("<environment_context>\n");
    element(&mut text, 1, "cwd", &settings.cwd);
    element(&mut text, 1, "approval_policy", approval_name(settings.approval));
    element(&mut text, 1, "sandbox_mode", sandbox_name(sandbox.mode));
    element(&mut text, 1, "network_access", if network { "enabled" } else { "restricted" });
    if sandbox.mode == SandboxMode::WorkspaceWrite && !sandbox.writable_roots.is_empty() {
        text.push_str("  <writable_roots>\n");
        for root in &sandbox.writable_roots {
            element(&mut text, 2, "root", root);
        }
        text.push_str("  </writable_roots>\n");
    }
    let shell = settings.shell.rsplit('/').next().unwrap_or(&settings.shell);
    element(&mut text, 1, "shell", shell);
    text.push_str("</environment_context>");
    text
}

fn element(text: &mut String, depth: usize, name: &str, value: &str) {
    for _ in 0..depth {
        text.push_str("  ");
    }
    text.push_str(&format!("<{name}>{value}</{name}>\n"));
}

/// The names that configuration and other clients use.
pub fn approval_name(policy: ApprovalPolicy) -> &'static str {
    match policy {
        ApprovalPolicy::Untrusted => "untrusted",
        ApprovalPolicy::OnFailure => "on-failure",
        ApprovalPolicy::OnRequest => "on-request",
        ApprovalPolicy::Never => "never",
    }
}

/// The names that configuration and other clients use.
pub fn sandbox_name(mode: SandboxMode) -> &'static str {
    match mode {
        SandboxMode::ReadOnly => "read-only",
        SandboxMode::WorkspaceWrite => "workspace-write",
        SandboxMode::DangerFullAccess => "danger-full-access",
    }
}
