//! What a model is shown to sum it up: the history, and the request to do so.
//!
//! A draft that does not fit loses what says least for its size, then its oldest part, a quarter at
//! a time. The history itself is not touched.

use crate::core::bridge::shortened;
use crate::core::history::settle;
use crate::limits::{DRAFT_CUTS_MAX, DRAFT_OUTPUT_BYTES_MAX};
use crate::words::call::{Answer, CommandAnswer};
use crate::words::item::{Item, Message, Part, Role};

/// A copy of a history, which shrinks.
#[derive(Debug)]
pub struct Draft {
    /// The last one is the request to sum up the others.
    items: Vec<Item>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Whole,
    /// Without images and with short outputs; its oldest part was left out so many times.
    Slim {
        cuts: u32,
    },
}

impl Draft {
    pub fn new(history: &[Item], prompt: &str) -> Draft {
        let mut items = Vec::with_capacity(history.len() + 1);
        items.extend_from_slice(history);
        items.push(Item::Message(Message::text(Role::User, prompt)));
        Draft { items, stage: Stage::Whole }
    }

    /// One of a history that is known not to fit.
    pub fn slim(history: &[Item], prompt: &str) -> Draft {
        let mut draft = Draft::new(history, prompt);
        draft.leave_out_bulk();
        draft
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Leaves out more; `false` if what is left cannot be made smaller.
    pub fn shrink(&mut self) -> bool {
        match self.stage {
            Stage::Whole => self.leave_out_bulk() || self.leave_out_oldest(0),
            Stage::Slim { cuts } => self.leave_out_oldest(cuts),
        }
    }

    /// Leaves out images and the middle of large outputs; `false` if there were none.
    fn leave_out_bulk(&mut self) -> bool {
        self.stage = Stage::Slim { cuts: 0 };
        let mut found = false;
        for item in &mut self.items {
            match item {
                Item::Message(message) => {
                    for part in &mut message.parts {
                        if matches!(part, Part::Image(_)) {
                            *part = Part::Text("[an image was here]".into());
                            found = true;
                        }
                    }
                }
                Item::Output(output) => {
                    let (Answer::Text { text, .. }
                    | Answer::Command(CommandAnswer { output: text, .. })) = &mut output.answer;
                    if text.len() > DRAFT_OUTPUT_BYTES_MAX {
                        *text = shortened(text, DRAFT_OUTPUT_BYTES_MAX).into();
                        found = true;
                    }
                }
                Item::Reasoning(_) | Item::Call(_) | Item::Served { .. } => {}
            }
        }
        found
    }

    /// Leaves out the oldest quarter, up to where somebody begins to speak: what a model said in
    /// one go stays together, and the last of it stays at all.
    fn leave_out_oldest(&mut self, cuts: u32) -> bool {
        if cuts == DRAFT_CUTS_MAX {
            return false;
        }
        let history = &self.items[..self.items.len() - 1];
        let quarter = history.iter().map(Item::bytes).sum::<u64>() / 4;
        let (mut from, mut before_bytes) = (0, 0);
        for (index, item) in history.iter().enumerate() {
            if index > 0 && self.begins(index) {
                from = index;
                if before_bytes >= quarter {
                    break;
                }
            }
            before_bytes += item.bytes();
        }
        self.stage = Stage::Slim { cuts: cuts + 1 };
        self.items.drain(..from);
        self.items = settle(std::mem::take(&mut self.items));
        from > 0
    }

    /// Whether somebody begins to speak with this item.
    fn begins(&self, index: usize) -> bool {
        let ours = |item: &Item| match item {
            Item::Message(message) => message.role != Role::Assistant,
            Item::Output(_) => true,
            Item::Reasoning(_) | Item::Call(_) | Item::Served { .. } => false,
        };
        let item = &self.items[index];
        !matches!(item, Item::Output(_)) && (ours(item) || ours(&self.items[index - 1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::call::{CallAsked, CallKind};
    use crate::words::item::Output;

    fn user(text: &str) -> Item {
        Item::Message(Message::text(Role::User, text))
    }

    fn call(id: &str) -> Item {
        let (name, arguments) = ("shell".into(), "{}".into());
        let call_id = id.into();
        Item::Call(CallAsked { kind: CallKind::Function, call_id, name, arguments, id: None })
    }

    fn output(id: &str, text: &str) -> Item {
        let answer = Answer::failure(text);
        Item::Output(Output { call_id: id.into(), kind: CallKind::Function, answer })
    }

    #[test]
    fn a_draft_is_the_history_and_the_request() {
        let history = [user("a"), call("1"), output("1", "x")];
        let draft = Draft::new(&history, "sum it up");
        assert_eq!(draft.items()[..3], history);
        assert_eq!(draft.items()[3], user("sum it up"));
    }

    #[test]
    fn images_and_large_outputs_go_first() {
        let parts = vec![Part::Image("data:".into())];
        let image = Message { role: Role::User, parts, id: None };
        let large = "x".repeat(2 * DRAFT_OUTPUT_BYTES_MAX);
        let history = [user("a"), call("1"), output("1", &large), Item::Message(image)];
        let mut draft = Draft::new(&history, "sum it up");
        assert!(draft.shrink());
        let [first, _, cut, seen, _] = draft.items() else { panic!("{draft:?}") };
        assert_eq!((first, seen), (&user("a"), &user("[an image was here]")));
        assert!(cut.bytes() <= DRAFT_OUTPUT_BYTES_MAX as u64 + 1);
        assert_eq!(Draft::slim(&history, "sum it up").items(), draft.items());
    }

    #[test]
    fn the_oldest_are_left_out_by_whole_answers() {
        let answer = [call("1"), call("2"), output("1", "x"), output("2", "y")];
        let history = [&[user("as long as the rest together")], &answer[..], &[user("b")]].concat();
        let mut draft = Draft::new(&history, "sum it up");
        assert!(draft.shrink());
        assert_eq!(draft.items()[..4], answer);
        assert!(draft.shrink());
        assert_eq!(draft.items(), [user("b"), user("sum it up")]);
        assert!(!draft.shrink(), "the last one stays");
    }

    #[test]
    fn a_draft_is_cut_so_many_times_and_no_more() {
        let history: Vec<Item> = (0..10_000).map(|_| user("as long as the others")).collect();
        let mut draft = Draft::new(&history, "sum it up");
        for _ in 0..DRAFT_CUTS_MAX {
            let before = draft.items().len();
            assert!(draft.shrink() && draft.items().len() < before);
        }
        assert!(draft.items().len() > 2 && draft.items().len() < 400, "{}", draft.items().len());
        assert!(!draft.shrink());
    }
}
