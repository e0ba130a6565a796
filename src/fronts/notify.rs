//! What a program of the user's is told when a turn has completed: one JSON object, as an argument.
//!
//! The object is clipped so that it always fits into an argument of execve(2), whatever was said.
//! Starting the program is the host's business.

use crate::fronts::exec::assistant_text;
use crate::limits::{NOTIFY_PATH_BYTES_MAX, NOTIFY_TEXT_BYTES_MAX};
use crate::wire::json::{self, Elements, Fields};
use crate::wire::review;
use crate::words::event::{Ended, Event};
use crate::words::ids::{ConversationId, ItemIndex};
use crate::words::item::Item;

/// Follows one thread, and keeps what is to be told of its turn.
#[derive(Debug)]
pub struct Notifier {
    cwd: Box<str>,
    conversation: Option<ConversationId>,
    /// What the user said in this turn.
    prompts: Vec<ItemIndex>,
    /// The model's last message in this turn.
    last: Option<ItemIndex>,
    /// Whether that is the verdict of a review.
    is_verdict: bool,
}

/// Says that something was cut; three bytes, and never escaped.
const MARK: &str = "\u{2026}";

impl Notifier {
    pub fn new(cwd: &str) -> Notifier {
        let (cwd, prompts) = (cwd.into(), Vec::new());
        Notifier { cwd, conversation: None, prompts, last: None, is_verdict: false }
    }

    /// Takes the next event; gives the argument when a turn has completed. A turn that failed or
    /// was interrupted is not told of.
    pub fn told(&mut self, event: &Event, items: &[Item]) -> Option<String> {
        match event {
            Event::ThreadStarted { conversation, .. } => self.conversation = Some(*conversation),
            Event::TurnStarted { .. } => {
                self.prompts.clear();
                self.last = None;
                self.is_verdict = false;
            }
            Event::PromptTaken { item } if self.prompts.len() < NOTIFY_TEXT_BYTES_MAX => {
                self.prompts.push(*item);
            }
            Event::ItemCompleted { item } if assistant_text(items, *item).is_some() => {
                self.last = Some(*item);
            }
            Event::ReviewExited { verdict: Some(item) } => {
                self.last = Some(*item);
                self.is_verdict = true;
            }
            Event::TurnEnded { turn, how: Ended::Completed, .. } => {
                return Some(self.argument(&turn.0.to_string(), items));
            }
            _ => {}
        }
        None
    }

    fn argument(&self, turn: &str, items: &[Item]) -> String {
        let mut out = Vec::new();
        let mut fields = Fields::open(&mut out);
        fields.text("type", "agent-turn-complete");
        let thread = self.conversation.map(|id| id.to_string()).unwrap_or_default();
        fields.text("thread-id", &thread);
        fields.text("turn-id", turn);
        push_clipped(&self.cwd, NOTIFY_PATH_BYTES_MAX, fields.key("cwd"));
        let messages = fields.key("input-messages");
        let begin = messages.len();
        let mut elements = Elements::open(messages);
        for prompt in &self.prompts {
            let Some(Item::Message(message)) = items.get(prompt.0 as usize) else { continue };
            let text: String = message.texts().collect();
            let element = elements.element();
            // Also what is cut to nothing has a comma, two quotes and a mark.
            let left = NOTIFY_TEXT_BYTES_MAX.saturating_sub(element.len() - begin + 6);
            push_clipped(&text, left, element);
            if left == 0 {
                break;
            }
        }
        elements.close();
        match self.last.and_then(|item| assistant_text(items, item)) {
            Some(text) => {
                let out = fields.key("last-assistant-message");
                let text = match self.is_verdict {
                    true => review::decode(&text, &self.cwd).text(&self.cwd).into(),
                    false => text,
                };
                push_clipped(&text, NOTIFY_TEXT_BYTES_MAX, out);
            }
            None => fields.raw("last-assistant-message", "null"),
        }
        fields.close();
        // The writer of JSON copies whole characters.
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Writes a text as JSON, cut where its inside would have more bytes.
fn push_clipped(text: &str, bytes_max: usize, out: &mut Vec<u8>) {
    out.push(b'"');
    let begin = out.len();
    for character in text.chars() {
        let end = out.len();
        json::escape(character.encode_utf8(&mut [0; 4]), out);
        if out.len() - begin > bytes_max {
            out.truncate(end);
            out.extend_from_slice(MARK.as_bytes());
            break;
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::limits::{ARGUMENT_BYTES_MAX, NOTIFY_ENVELOPE_BYTES_MAX};
    use crate::words::event::Failed;
    use crate::words::ids::TurnId;
    use crate::words::item::{Message, Role};
    use crate::words::model::Usage;

    /// What is told of a turn with these prompts and answers.
    fn told(cwd: &str, prompts: &[&str], answers: &[&str], how: Ended) -> Option<String> {
        let conversation = ConversationId([0x11; 16]);
        let mut notifier = Notifier::new(cwd);
        let mut items = Vec::new();
        let mut events = vec![
            Event::ThreadStarted { conversation, resumed: false },
            Event::TurnStarted { turn: TurnId(7) },
        ];
        let said = [(Role::User, prompts), (Role::Assistant, answers)];
        for (role, text) in
            said.iter().flat_map(|(role, texts)| texts.iter().map(move |text| (*role, *text)))
        {
            let item = ItemIndex(items.len() as u32);
            items.push(Item::Message(Message::text(role, text)));
            events.push(match role {
                Role::User => Event::PromptTaken { item },
                _ => Event::ItemCompleted { item },
            });
        }
        for event in &events {
            assert_eq!(notifier.told(event, &items), None);
        }
        let ended = Event::TurnEnded { turn: TurnId(7), how, usage: Usage::default() };
        notifier.told(&ended, &items)
    }

    #[test]
    fn a_completed_turn_is_told_whole() {
        let told = told("/w", &["one", "two"], &["wait", "do\"ne"], Ended::Completed);
        assert_eq!(
            told.as_deref(),
            Some(
                "{\"type\":\"agent-turn-complete\",\
                 \"thread-id\":\"11111111-1111-1111-1111-111111111111\",\"turn-id\":\"7\",\
                 \"cwd\":\"/w\",\"input-messages\":[\"one\",\"two\"],\
                 \"last-assistant-message\":\"do\\\"ne\"}"
            )
        );
    }

    #[test]
    fn a_review_is_told_by_its_verdict_as_people_read_it() {
        let mut notifier = Notifier::new("/w");
        let json = r#"{"findings":[{"title":"Fix it"}]}"#;
        let items = [Item::Message(Message::text(Role::Assistant, json))];
        let (turn, usage) = (TurnId(1), Usage::default());
        let exited = Event::ReviewExited { verdict: Some(ItemIndex(0)) };
        assert_eq!(notifier.told(&exited, &items), None);
        let ended = Event::TurnEnded { turn, how: Ended::Completed, usage };
        let told = notifier.told(&ended, &items).unwrap();
        assert!(told.ends_with("\"last-assistant-message\":\"[P2] Fix it\"}"), "{told}");
    }

    #[test]
    fn a_model_that_said_nothing_has_no_last_message() {
        let told = told("/w", &["one"], &[], Ended::Completed).unwrap();
        assert!(told.ends_with("\"last-assistant-message\":null}"), "{told}");
    }

    #[test]
    fn a_turn_that_did_not_complete_is_not_told_of() {
        assert_eq!(told("/w", &["one"], &["two"], Ended::Interrupted), None);
        let failed = Ended::Failed { kind: Failed::Record, message: "full".into() };
        assert_eq!(told("/w", &["one"], &["two"], failed), None);
    }

    #[test]
    fn whatever_was_said_fits_into_an_argument() {
        // Worst cases: what grows by being escaped, what is wide, and many.
        for text in ["\u{1}", "\u{1f600}", "x", "\""] {
            let long = text.repeat(1 << 18);
            for prompts in [vec![&*long; 3], vec![text; 100_000]] {
                let told = told(&long, &prompts, &[&long], Ended::Completed).unwrap();
                assert!(told.len() < ARGUMENT_BYTES_MAX, "{}", told.len());
                assert!(told.len() > ARGUMENT_BYTES_MAX - NOTIFY_ENVELOPE_BYTES_MAX - 4096);
                let value: Value = serde_json::from_str(&told).unwrap();
                let last = value["last-assistant-message"].as_str().unwrap();
                assert!(last.ends_with(MARK) && last.starts_with(text));
            }
        }
    }
}
