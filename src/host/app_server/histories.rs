//! A conversation that goes on from what a client says its past is: the past is recorded as a
//! rollout of its own, which is then resumed like any other.

use crate::core::thread::shown_as;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::codec::Typed;
use crate::fronts::app_server::types::events::ResponseItem;
use crate::host::app_server::failed;
use crate::host::disk::rollout::Rollout;
use crate::host::rollouts::Keeping;
use crate::limits::HISTORY_BYTES_MAX;
use crate::wire::holes::Holes;
use crate::wire::responses::items;
use crate::wire::rollout;
use crate::wire::time::Rfc3339;
use crate::words::ids::{ConversationId, ItemIndex};
use crate::words::item::Item;
use crate::words::record::{Record, RecordView};
use crate::words::settings::ThreadSettings;

/// Records a past as a new conversation, and says where.
pub fn record(
    keeping: &Keeping,
    conversation: ConversationId,
    history: &[ResponseItem],
    settings: &ThreadSettings,
    wall_ms: u64,
) -> Result<Box<str>, Failure> {
    let Keeping::Home(home) = keeping else {
        return Err(Failure::internal("a history cannot be resumed, as nothing is kept"));
    };
    let items = read(history)?;
    let (forked_from, git, sub_agent) = (None, None, None);
    let items = items.as_slice();
    let view = RecordView { conversation, forked_from, sub_agent, settings, git, items };
    let mut lines = Vec::new();
    let timestamp = Rfc3339(wall_ms).to_string();
    // What a client says is all there.
    let mut holes = Holes::new(&[]);
    let mut append =
        |record: &Record| rollout::encode(record, view, &timestamp, &mut holes, &mut lines);
    append(&Record::Meta);
    for index in (0..items.len() as u32).map(ItemIndex) {
        append(&Record::Item(index));
        if let Some(shown) = shown_as(items, index) {
            append(&shown);
        }
    }
    let mut rollout = Rollout::new(home, conversation, wall_ms);
    rollout.append(&lines).map_err(failed)?;
    let path = rollout.path().to_str();
    path.map(Box::from).ok_or_else(|| Failure::internal("the rollout's path is not UTF-8"))
}

/// What the machine makes of a client's items: those it has no use for are left out.
fn read(history: &[ResponseItem]) -> Result<Vec<Item>, Failure> {
    let (mut read, mut bytes) = (Vec::new(), 0);
    for item in history {
        let mut json = Vec::new();
        item.encode(&mut json);
        let Some(mut item) = str::from_utf8(&json).ok().and_then(items::decode) else { continue };
        items::forget_id(&mut item);
        bytes += item.bytes();
        if bytes > HISTORY_BYTES_MAX {
            let message = format!("history: larger than {HISTORY_BYTES_MAX} bytes");
            return Err(Failure::refused(message));
        }
        read.push(item);
    }
    if read.is_empty() {
        Err(Failure::refused("history: nothing in it is known"))
    } else {
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::samples;

    const ID: ConversationId = ConversationId([7; 16]);

    fn item(json: &str) -> ResponseItem {
        ResponseItem::decode(json).expect("an item")
    }

    fn said(text: &str) -> ResponseItem {
        let json =
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"T"}]}"#;
        item(&json.replace("\"T\"", &format!("\"{text}\"")))
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let history = [item(r#"{"type":"other"}"#), said("hi")];
        assert_eq!(read(&history).expect("items").len(), 1);
        assert!(read(&history[..1]).is_err());
    }

    #[test]
    fn a_past_has_a_bound() {
        let text = "x".repeat(HISTORY_BYTES_MAX as usize / 2 + 1);
        let history = [said(&text), said(&text)];
        let refused = read(&history).expect_err("too much");
        assert!(refused.message.starts_with("history: larger than "), "{refused}");
    }

    #[test]
    fn nothing_is_recorded_where_nothing_is_kept() {
        let settings = samples::settings();
        let refused = record(&Keeping::Nothing, ID, &[said("hi")], &settings, 0);
        assert!(refused.is_err());
    }
}
