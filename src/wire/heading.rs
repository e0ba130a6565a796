//! The first lines of a rollout, read for a list of sessions.
//!
//! Push lines until nothing more is wanted. A rollout is a session once its first line says whose
//! it is and somebody has asked for something; what a child did for another thread is none. Long
//! texts are cut, so that a list of many is small.

use std::borrow::Cow;

use crate::limits::{HEADING_LINES_MAX, PREVIEW_BYTES_MAX};
use crate::wire::json::{self, boxed, field};
use crate::words::ids::ConversationId;
use crate::words::session::Heading;

/// A heading being read.
#[derive(Default, Debug)]
pub struct Reading {
    conversation: Option<ConversationId>,
    heading: Heading,
    asked: Asked,
    /// Another thread began it.
    is_child: bool,
    /// Invariant: `lines_count <= HEADING_LINES_MAX`.
    lines_count: u32,
}

/// How sure the preview is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Asked {
    #[default]
    Nothing,
    /// A message in a user's name; a program may have written it.
    Message,
    /// What a user said.
    Event,
}

impl Reading {
    /// Takes the next line, whatever it is.
    pub fn push(&mut self, line: &[u8]) {
        if !self.wants_more() {
            return;
        }
        self.lines_count += 1;
        let Some((kind, payload)) = str::from_utf8(line).ok().and_then(parted) else { return };
        match &*kind {
            "session_meta" if self.conversation.is_none() => {
                self.conversation = self.take_meta(payload);
            }
            "response_item" if self.asked == Asked::Nothing => {
                if let Some(text) = said(payload) {
                    (self.heading.preview, self.asked) = (cut(&text), Asked::Message);
                }
            }
            "event_msg" if field(payload, "type") == Some("\"user_message\"") => {
                let text = field(payload, "message").and_then(json::text).unwrap_or_default();
                (self.heading.preview, self.asked) = (cut(&text), Asked::Event);
            }
            _ => {}
        }
    }

    pub fn wants_more(&self) -> bool {
        let is_known = self.conversation.is_some() && self.asked == Asked::Event;
        !is_known && self.lines_count < HEADING_LINES_MAX
    }

    /// What was read, if it heads a session that people know of.
    pub fn finish(self) -> Option<(ConversationId, Heading)> {
        let is_known = !self.is_child && self.asked != Asked::Nothing;
        self.named().filter(|_| is_known)
    }

    /// The same of any session, for whoever knows its name.
    pub fn named(self) -> Option<(ConversationId, Heading)> {
        Some((self.conversation?, self.heading))
    }

    fn take_meta(&mut self, payload: &str) -> Option<ConversationId> {
        let names = ["id", "session_id", "timestamp", "cwd", "model_provider", "source"];
        let [id, session, timestamp, cwd, provider, source] = json::pick(payload, names).ok()?;
        let conversation = json::text(id.or(session)?)?.parse().ok()?;
        if source.is_some_and(is_sub_agent) {
            self.is_child = true;
            self.lines_count = HEADING_LINES_MAX;
        }
        let names = ["cli_version", "git", "originator", "forked_from_id"];
        let [version, git, originator, forked_from] = json::pick(payload, names).ok()?;
        let git = |name: &str| git.and_then(|git| field(git, name)).and_then(boxed);
        self.heading = Heading {
            created: timestamp.and_then(boxed).unwrap_or_default(),
            cwd: cwd.and_then(boxed).unwrap_or_default(),
            provider: provider.and_then(boxed),
            source: source.and_then(boxed),
            version: version.and_then(boxed),
            originator: originator.and_then(boxed),
            branch: git("branch"),
            commit: git("commit_hash"),
            origin: git("repository_url"),
            forked_from: forked_from.and_then(boxed),
            preview: std::mem::take(&mut self.heading.preview),
        };
        Some(conversation)
    }
}

fn parted(line: &str) -> Option<(Cow<'_, str>, &str)> {
    let [kind, payload] = json::pick(line, ["type", "payload"]).ok()?;
    Some((json::text(kind?)?, payload?))
}

/// Whether a thread was begun by another one.
fn is_sub_agent(source: &str) -> bool {
    field(source, "subagent").or_else(|| field(source, "subAgent")).is_some()
}

/// The text of a user's message, unless a program put it there.
fn said(payload: &str) -> Option<String> {
    let [role, content] = json::pick(payload, ["role", "content"]).ok()?;
    if role != Some("\"user\"") {
        return None;
    }
    let mut said = String::new();
    let mut add = |part| {
        let text = field(part, "text").and_then(json::text).unwrap_or_default();
        if said.len() < PREVIEW_BYTES_MAX {
            said.push_str(&text);
        }
    };
    json::elements(content?, &mut add).ok()?;
    let opening = [
        "<environment_context>",
        "<user_instructions>",
        "# AGENTS.md instructions",
        "<user_shell_command>",
    ];
    let is_opening = opening.iter().any(|tag| said.trim_start().starts_with(tag));
    (!is_opening && !said.is_empty()).then_some(said)
}

fn cut(text: &str) -> Box<str> {
    let mut end = text.len().min(PREVIEW_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// The fuzz body: any lines are read or passed over.
pub fn fuzz(bytes: &[u8]) {
    let mut reading = Reading::default();
    bytes.split(|byte| *byte == b'\n').for_each(|line| reading.push(line));
    let preview = reading.finish().map(|(_, heading)| heading.preview);
    assert!(preview.is_none_or(|preview| preview.len() <= PREVIEW_BYTES_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01990000-0000-7000-8000-0000000000aa";
    const EVENT: &str = r#"{"type":"event_msg","payload":{"type":"user_message","message":"q"}}"#;

    fn meta() -> String {
        format!(
            r#"{{"type":"session_meta","payload":{{"id":"{ID}","timestamp":"T","cwd":"/w","source":"exec","model_provider":"mock","git":{{"branch":"main"}}}}}}"#
        )
    }

    fn message(text: &str) -> String {
        format!(
            r#"{{"type":"response_item","payload":{{"type":"message","role":"user","content":[{{"type":"input_text","text":"{text}"}}]}}}}"#
        )
    }

    fn read(lines: &[&str]) -> Option<Heading> {
        let mut reading = Reading::default();
        lines.iter().for_each(|line| reading.push(line.as_bytes()));
        reading.finish().map(|(_, heading)| heading)
    }

    #[test]
    fn a_heading_says_who_where_and_what() {
        let opening = message("<environment_context>");
        let heading = read(&[&meta(), &opening, &message("q"), EVENT, "more"]).unwrap();
        assert_eq!((&*heading.created, &*heading.cwd, &*heading.preview), ("T", "/w", "q"));
        let words = (heading.provider, heading.source, heading.branch);
        assert_eq!(words, (Some("mock".into()), Some("exec".into()), Some("main".into())));
    }

    #[test]
    fn who_said_nothing_has_no_session() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[&meta(), &message("<environment_context>"), "{", "\0"]), None);
        assert_eq!(read(&[&meta(), &message("<user_shell_command>")]), None);
        assert_eq!(read(&[EVENT]), None);
        assert_eq!(read(&[&message("of a fork"), &meta()]).unwrap().preview, "of a fork".into());
    }

    #[test]
    fn what_a_child_did_is_no_session() {
        for source in [r#"{"subagent":"review"}"#, r#"{"subAgent":{"other":"x"}}"#] {
            let child = meta().replace("\"exec\"", source);
            assert_eq!(read(&[&child, &message("q"), EVENT, &meta()]), None);
        }
        assert!(read(&[&meta().replace("\"exec\"", "{\"custom\":\"x\"}"), EVENT]).is_some());
    }

    #[test]
    fn whoever_knows_its_name_finds_any_session() {
        let named = |lines: &[&str]| {
            let mut reading = Reading::default();
            lines.iter().for_each(|line| reading.push(line.as_bytes()));
            reading.named().map(|(id, heading)| (id.to_string(), heading.cwd))
        };
        let child = meta().replace("\"exec\"", r#"{"subagent":"review"}"#);
        for lines in [&[&*meta()][..], &[&*child, EVENT]] {
            assert_eq!(named(lines), Some((ID.to_owned(), "/w".into())), "{lines:?}");
        }
        assert_eq!(named(&[EVENT]), None);
    }

    #[test]
    fn a_heading_ends_after_some_lines_and_is_cut() {
        let mut lines = vec!["{}"; HEADING_LINES_MAX as usize - 1];
        let (meta, long) = (meta(), message(&"ä".repeat(PREVIEW_BYTES_MAX)));
        lines.insert(0, &meta);
        assert_eq!(read(&[&lines[..], &[EVENT]].concat()), None);
        let preview = read(&[&meta, &long]).unwrap().preview;
        assert_eq!(preview.len(), PREVIEW_BYTES_MAX);
    }
}
