//! What survives a compaction: the opening, what the user said, and a summary of the rest.
//!
//! Of the user's messages the newest are kept first, as far as the bound goes; the oldest that
//! still has room is cut in its middle. Images and earlier summaries do not survive.

use crate::core::opening;
use crate::limits::{CLIP_BYTES_MIN, SUMMARY_BYTES_MAX};
use crate::tools::clip::Clip;
use crate::words::item::{Item, Message, Role};

/// Stands before every summary, so that a model takes it for what it is, and so that a later
/// compaction does not take it for something the user said.
const PREFACE: &str = "The conversation so far was longer than you can read at once. The user's \
    messages above are kept as far as they fit; everything else has given way to this summary, \
    which a model wrote for you to go on from. Do not do again what it says is done. Where it \
    lacks a detail, look at the files or run the command again.\n\n";

/// Stands for a summary where a model gave none.
const NO_SUMMARY: &str = "(The model gave no summary.)";

/// The history that takes the place of `items`; its last item is the summary.
pub fn bridge(
    opening: Vec<Item>,
    items: &[Item],
    summary: &str,
    said_bytes_max: usize,
) -> Vec<Item> {
    let mut bridge = opening;
    bridge.extend(said(items, said_bytes_max));
    bridge.push(Item::Message(Message::text(Role::User, prefaced(summary))));
    bridge
}

/// The text, cut in its middle to the bound.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> String {
    let mut clip = Clip::with_bounds(bytes_max, u64::MAX);
    clip.push(text.as_bytes());
    clip.finish().text
}

/// A summary as it stands in a history.
fn prefaced(summary: &str) -> String {
    let summary = summary.trim();
    let summary = if summary.is_empty() { NO_SUMMARY } else { summary };
    let summary = shortened(summary, SUMMARY_BYTES_MAX);
    if summary.starts_with(PREFACE) { summary } else { format!("{PREFACE}{summary}") }
}

/// What the user said, the newest of it within the bound, in order.
pub(crate) fn said(items: &[Item], bytes_max: usize) -> Vec<Item> {
    let mut room = bytes_max;
    let mut said: Vec<Item> = Vec::new();
    for text in items.iter().rev().filter_map(text_said) {
        let text = match text.len() <= room {
            true => text,
            false if room >= CLIP_BYTES_MIN => shortened(&text, room),
            false => break,
        };
        room = room.saturating_sub(text.len());
        said.push(Item::Message(Message::text(Role::User, text)));
    }
    said.reverse();
    said
}

/// The text of a message that the user wrote.
fn text_said(item: &Item) -> Option<String> {
    let Item::Message(message @ Message { role: Role::User, .. }) = item else { return None };
    let text: String = message.texts().collect();
    let ours = opening::is_opening(&text) || text.starts_with(PREFACE);
    (!ours && !text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::item::Part;

    fn user(text: &str) -> Item {
        Item::Message(Message::text(Role::User, text))
    }

    fn texts(items: &[Item]) -> Vec<String> {
        let text = |item: &Item| {
            let Item::Message(message) = item else { panic!("not a message: {item:?}") };
            message.texts().collect()
        };
        items.iter().map(text).collect()
    }

    #[test]
    fn what_the_user_said_and_the_summary_survive() {
        let image = Part::Image("data:".into());
        let seen = Message { role: Role::User, parts: vec![image.clone()], id: None };
        let shown = Message { parts: vec![Part::Text("look".into()), image], ..seen.clone() };
        let items = [
            user("<environment_context>\nold</environment_context>"),
            user("# AGENTS.md instructions for /w\n\nold"),
            Item::Message(Message::text(Role::Developer, "old")),
            user("first"),
            Item::Message(Message::text(Role::Assistant, "answer")),
            Item::Message(seen),
            Item::Message(shown),
        ];
        let bridged = bridge(vec![user("opening")], &items, " sum ", 1000);
        let summary = format!("{PREFACE}sum");
        assert_eq!(texts(&bridged), ["opening", "first", "look", &summary]);
        // Once more: the old summary gives way to the new one.
        let again = bridge(Vec::new(), &bridged, "other", 1000);
        assert_eq!(texts(&again), ["opening", "first", "look", &format!("{PREFACE}other")]);
    }

    #[test]
    fn the_newest_of_what_the_user_said_is_kept_first() {
        let long = "x".repeat(2000);
        let items = [user("oldest"), user(&long), user("newest")];
        let [cut, newest, _] = bridge(Vec::new(), &items, "sum", 1000).try_into().unwrap();
        let cut = &texts(&[cut])[0];
        assert!(cut.len() <= 1000 - "newest".len() && cut.len() > 900, "{}", cut.len());
        assert!(cut.starts_with("xxx") && cut.ends_with("xxx") && cut.contains("2000 bytes"));
        assert_eq!(texts(&[newest]), ["newest"]);
        let none = bridge(Vec::new(), &items[..2], "sum", CLIP_BYTES_MIN - 1);
        assert_eq!(none.len(), 1, "a few bytes of a message say nothing");
    }

    #[test]
    fn a_summary_is_bounded_and_never_empty() {
        for empty in ["", " \n"] {
            assert_eq!(
                texts(&bridge(Vec::new(), &[], empty, 0)),
                [format!("{PREFACE}{NO_SUMMARY}")]
            );
        }
        let long = bridge(Vec::new(), &[], &"x".repeat(2 * SUMMARY_BYTES_MAX), 0);
        assert!(texts(&long)[0].len() <= PREFACE.len() + SUMMARY_BYTES_MAX);
        // One that was read back has its preface.
        let prefaced = texts(&bridge(Vec::new(), &[], "sum", 0)).remove(0);
        assert_eq!(texts(&bridge(Vec::new(), &[], &prefaced, 0)), [prefaced]);
    }
}
