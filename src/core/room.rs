//! How much of the model's window a conversation takes, as far as anybody knows.
//!
//! A provider counts tokens only of what it has answered; what came after that is estimated. Where
//! nothing was counted, all of it is.

use crate::core::thread::Thread;
use crate::limits::{
    CREDIBLE_TOKENS_MAX, HISTORY_BYTES_MAX, HISTORY_KEPT_BYTES_MAX, IMAGE_TOKENS, TOKEN_BYTES,
};
use crate::words::item::{Item, Part};
use crate::words::request::{ToolForm, ToolSpec};

impl Thread {
    /// Whether the next request, with the prompts that wait for it, is more than a request should
    /// be.
    pub(crate) fn is_overfull(&self) -> bool {
        let limit = self.settings.compact_at_tokens;
        self.exceeds_bytes() || limit.is_some_and(|limit| self.tokens_estimated() >= limit)
    }

    /// Whether the history could not even be kept.
    pub(crate) fn exceeds_bytes(&self) -> bool {
        let kept_bytes = self.history.kept_bytes() + self.prompts_kept_bytes();
        self.history.bytes() + self.prompts_bytes() > HISTORY_BYTES_MAX
            || kept_bytes > HISTORY_KEPT_BYTES_MAX
    }

    fn tokens_estimated(&self) -> u64 {
        let (known, from) = match self.counted.tokens {
            tokens if is_credible(tokens) => (tokens, self.counted.items),
            _ => {
                let tools = self.turn.as_ref().map_or(&[][..], |turn| &turn.tools);
                (texts_tokens(&self.settings.instructions, tools), 0)
            }
        };
        let fresh = self.history.items().get(from..).unwrap_or_default();
        let fresh: u64 = fresh.iter().map(item_tokens).sum();
        let waiting: u64 = self.prompts_due().flatten().map(part_tokens).sum();
        known.saturating_add(fresh).saturating_add(waiting)
    }
}

/// Whether somebody has counted, and can have.
pub(crate) fn is_credible(tokens: u64) -> bool {
    (1..=CREDIBLE_TOKENS_MAX).contains(&tokens)
}

/// What every request says besides the history.
fn texts_tokens(instructions: &str, tools: &[ToolSpec]) -> u64 {
    let form = |tool: &ToolSpec| match tool.form {
        ToolForm::Function { parameters: text } | ToolForm::Freeform { grammar: text } => {
            text.len()
        }
        ToolForm::LocalShell | ToolForm::WebSearch(_) => 0,
    };
    let tools = tools.iter().map(|tool| tool.name.len() + tool.description.len() + form(tool));
    text_tokens((instructions.len() + tools.sum::<usize>()) as u64)
}

fn item_tokens(item: &Item) -> u64 {
    match item {
        Item::Message(message) => message.parts.iter().map(part_tokens).sum(),
        Item::Reasoning(_) | Item::Call(_) | Item::Output(_) | Item::Served { .. } => {
            text_tokens(item.bytes())
        }
    }
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text(text) => text_tokens(text.len() as u64),
        Part::Image(_) => IMAGE_TOKENS,
    }
}

fn text_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(TOKEN_BYTES as u64)
}
