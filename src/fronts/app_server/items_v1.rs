//! Items of a conversation in the words of the first protocol.

use crate::fronts::app_server::items::url;
use crate::fronts::app_server::types::codec::{Map, Maybe, Preset, Text, Typed};
use crate::fronts::app_server::types::events::{
    AgentMessageContent, AgentMessageItem, EventMsg, ExecCommandEndEvent, RateLimitSnapshot,
    RateLimitWindow, ReasoningItem, ResponseItem, ReviewOutputEvent, TokenCountEvent, TokenUsage,
    TokenUsageInfo, TurnItem, UserInput, UserMessageEvent, UserMessageItem, WebSearchItem,
};
use crate::fronts::app_server::types::events::{
    AgentMessageEvent, AgentReasoningEvent, AgentReasoningRawContentEvent, Duration,
};
use crate::fronts::app_server::types::v1::{
    FileChange, InputItem, ParsedCommand, SandboxCommandAssessment, SandboxRiskLevel,
};
use crate::fronts::app_server::types::v2_items;
use crate::fronts::app_server::{Lent, objects};
use crate::tools::parsed::{Parsed, parsed};
use crate::wire::holes::Holes;
use crate::wire::layout::Layout;
use crate::wire::responses::items::{self, Form, Ids};
use crate::wire::review;
use crate::words::call::{self, Answer, Change, ChangeKind};
use crate::words::event::{CommandEnd, Risk, RiskLevel};
use crate::words::ids::{CallId, ItemIndex};
use crate::words::item::{Item, Message, Part, Reasoning, Role};
use crate::words::model::{RateLimits, RateWindow, Spent, Usage};
use crate::words::settings::ThreadSettings;
use crate::words::sort;

/// What programs know as the exit code of a command that has none.
const NO_EXIT_CODE: i32 = -1;

/// What a client says, as the second protocol puts it.
pub fn input(items: &[InputItem]) -> Vec<v2_items::UserInput> {
    let said = items.iter().map(|item| match item {
        InputItem::Text { data } => {
            v2_items::UserInput::Text { text: data.text.clone(), text_elements: Preset(Vec::new()) }
        }
        InputItem::Image { data } => {
            v2_items::UserInput::Image { detail: Maybe(None), url: data.image_url.clone() }
        }
        InputItem::LocalImage { data } => {
            v2_items::UserInput::LocalImage { detail: Maybe(None), path: data.path.clone() }
        }
    });
    said.collect()
}

pub fn user_message(id: Text, message: &Message) -> TurnItem {
    let content = message.parts.iter().map(|part| match part {
        Part::Text(text) => UserInput::Text { text: text.clone() },
        Part::Image(image) => UserInput::Image { image_url: url(image) },
    });
    TurnItem::UserMessage(UserMessageItem { id, content: content.collect() })
}

pub fn agent_message(id: Text, text: Option<Text>) -> TurnItem {
    let content = text.into_iter().map(|text| AgentMessageContent::Text { text });
    TurnItem::AgentMessage(AgentMessageItem { id, content: content.collect() })
}

pub fn reasoning(id: Text, thought: Option<&Reasoning>) -> TurnItem {
    let texts = |pick: fn(&Reasoning) -> &Vec<Text>| thought.map(pick).cloned().unwrap_or_default();
    let (summary_text, raw_content) =
        (texts(|thought| &thought.summary), texts(|thought| &thought.content));
    TurnItem::Reasoning(ReasoningItem { id, summary_text, raw_content })
}

pub fn web_search(id: Text, query: Text) -> TurnItem {
    TurnItem::WebSearch(WebSearchItem { id, query })
}

/// An item that the model said, once it is whole; `None` for what is not shown.
pub fn of_model(id: Text, said: &Item) -> Option<TurnItem> {
    match said {
        Item::Message(message) if message.role == Role::Assistant => {
            let text: String = message.texts().collect();
            (!text.is_empty()).then(|| agent_message(id, Some(text.into())))
        }
        Item::Reasoning(thought) => Some(reasoning(id, Some(thought))),
        Item::Served { query, .. } => Some(web_search(id, query.clone())),
        Item::Message(_) | Item::Call(_) | Item::Output(_) => None,
    }
}

/// What clients that know no items are told of one that is whole.
pub fn legacy(item: &Item) -> Vec<EventMsg> {
    match item {
        Item::Message(message) => {
            let text: Text = message.texts().collect::<String>().into();
            match message.role {
                Role::User => {
                    let images = message.parts.iter().filter_map(|part| match part {
                        Part::Image(image) => Some(url(image)),
                        Part::Text(_) => None,
                    });
                    let images = Some(images.collect());
                    vec![EventMsg::UserMessage(UserMessageEvent { message: text, images })]
                }
                Role::Assistant => {
                    vec![EventMsg::AgentMessage(AgentMessageEvent { message: text })]
                }
                Role::Developer => Vec::new(),
            }
        }
        Item::Reasoning(thought) => {
            let summary = thought
                .summary
                .iter()
                .map(|text| EventMsg::AgentReasoning(AgentReasoningEvent { text: text.clone() }));
            let content = thought.content.iter().map(|text| {
                let raw = AgentReasoningRawContentEvent { text: text.clone() };
                EventMsg::AgentReasoningRawContent(raw)
            });
            summary.chain(content).collect()
        }
        Item::Call(_) | Item::Output(_) | Item::Served { .. } => Vec::new(),
    }
}

/// A past as events: what people see of its items, and what it has used.
pub fn past(lent: Lent<'_>) -> Vec<EventMsg> {
    let mut told = Vec::new();
    for (index, item) in lent.items.iter().enumerate() {
        if (lent.shown)(lent.items, ItemIndex(index as u32)).is_some() {
            told.extend(legacy(item));
        }
    }
    if let Some(spent) = &lent.spent {
        let (info, rate_limits) = (tokens(spent, lent.settings), spent.limits.as_ref().map(limits));
        if info.is_some() || rate_limits.is_some() {
            told.push(EventMsg::TokenCount(TokenCountEvent { info, rate_limits }));
        }
    }
    told
}

/// An item as the provider has it; `None` for what the protocol has no word for.
pub fn raw(item: &Item) -> Option<ResponseItem> {
    let kept: Vec<u32> = match item {
        Item::Message(message) => message.parts.iter().filter_map(Part::kept).collect(),
        Item::Reasoning(_) | Item::Call(_) | Item::Output(_) | Item::Served { .. } => Vec::new(),
    };
    let (mut json, mut holes) = (Vec::new(), Holes::new(&kept));
    let form = Form { layout: Layout::Json, ids: Ids::Dropped };
    items::encode(item, form, &mut holes, &mut json);
    ResponseItem::decode(str::from_utf8(&json).ok()?).ok()
}

/// The provider's name for a call.
pub fn call_id(items: &[Item], index: ItemIndex, call: CallId) -> Text {
    match items.get(index.0 as usize) {
        Some(Item::Call(asked)) => asked.call_id.clone(),
        _ => format!("call-{}", call.0).into(),
    }
}

pub fn parsed_command(argv: &[String]) -> Vec<ParsedCommand> {
    let told = parsed(argv).into_iter().map(|one| match one {
        Parsed::Read { command, name, path } => {
            ParsedCommand::Read { cmd: command.into(), name: name.into(), path: path.into() }
        }
        Parsed::ListFiles { command, path } => {
            ParsedCommand::ListFiles { cmd: command.into(), path: path.map(Text::from) }
        }
        Parsed::Search { command, query, path } => ParsedCommand::Search {
            cmd: command.into(),
            query: query.map(Text::from),
            path: path.map(Text::from),
        },
        Parsed::Unknown { command } => ParsedCommand::Unknown { cmd: command.into() },
    });
    told.collect()
}

pub fn texts(argv: &[String]) -> Vec<Text> {
    argv.iter().map(|word| Text::from(&**word)).collect()
}

pub fn risk(risk: &Risk) -> SandboxCommandAssessment {
    SandboxCommandAssessment {
        description: risk.description.clone(),
        risk_level: match risk.level {
            RiskLevel::Low => SandboxRiskLevel::Low,
            RiskLevel::Medium => SandboxRiskLevel::Medium,
            RiskLevel::High => SandboxRiskLevel::High,
        },
    }
}

pub fn changes(changes: &[Change]) -> Map<FileChange> {
    let told = changes.iter().map(|change| {
        let told = match change.kind {
            ChangeKind::Add => FileChange::Add { content: change.diff.clone() },
            ChangeKind::Delete => FileChange::Delete { content: change.diff.clone() },
            ChangeKind::Update => FileChange::Update {
                unified_diff: change.diff.clone(),
                move_path: change.moved_to.clone(),
            },
        };
        (change.path.clone(), told)
    });
    sort::map(told)
}

/// A command's end. What it printed is not told apart by stream.
pub fn command_end(
    call_id: Text,
    ended: CommandEnd,
    answer: Option<&Answer>,
    took_ms: u64,
) -> ExecCommandEndEvent {
    let text = answer.map(Answer::text).unwrap_or_default();
    let printed: Text = match ended {
        CommandEnd::Interrupted => call::printed(text).into(),
        CommandEnd::Exited { .. } | CommandEnd::NotStarted | CommandEnd::Declined => text.into(),
    };
    let (exit_code, took_ms) = match answer {
        Some(Answer::Command(command)) => (command.exit_code, command.wall_ms),
        Some(Answer::Text { .. }) | None => {
            let code = match ended {
                CommandEnd::Exited { exit_code } => exit_code,
                CommandEnd::NotStarted | CommandEnd::Declined | CommandEnd::Interrupted => {
                    NO_EXIT_CODE
                }
            };
            (code, took_ms)
        }
    };
    let (stdout, stderr) = match ended {
        CommandEnd::Exited { .. } | CommandEnd::Interrupted => (printed.clone(), Text::default()),
        CommandEnd::NotStarted | CommandEnd::Declined => (Text::default(), printed.clone()),
    };
    let duration =
        Duration { secs: (took_ms / 1000) as i64, nanos: (took_ms % 1000) as u32 * 1_000_000 };
    ExecCommandEndEvent {
        call_id,
        stdout,
        stderr,
        aggregated_output: printed,
        exit_code,
        duration,
        formatted_output: text.into(),
    }
}

/// The tokens of a conversation; nothing before there were any.
pub fn tokens(spent: &Spent, settings: Option<&ThreadSettings>) -> Option<TokenUsageInfo> {
    (spent.total != Usage::default()).then(|| TokenUsageInfo {
        total_token_usage: usage(&spent.total),
        last_token_usage: usage(&spent.last),
        model_context_window: objects::window(settings),
    })
}

fn usage(usage: &Usage) -> TokenUsage {
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    TokenUsage {
        input_tokens: count(usage.input),
        cached_input_tokens: count(usage.cached_input),
        output_tokens: count(usage.output),
        reasoning_output_tokens: count(usage.reasoning_output),
        total_tokens: count(usage.total),
    }
}

pub fn limits(limits: &RateLimits) -> RateLimitSnapshot {
    let window = |window: &RateWindow| RateLimitWindow {
        used_percent: window.used_percent,
        window_minutes: window.window_minutes.map(|minutes| minutes as i64),
        resets_at: window.resets_at.map(|at| at as i64),
    };
    RateLimitSnapshot {
        primary: limits.primary.as_ref().map(window),
        secondary: limits.secondary.as_ref().map(window),
    }
}

/// What came of a review that said this.
pub fn review_output(said: &Message, cwd: &str) -> Option<ReviewOutputEvent> {
    let verdict = review::decode(&said.texts().collect::<String>(), cwd);
    let mut json = Vec::new();
    review::encode(&verdict, &mut json);
    ReviewOutputEvent::decode(str::from_utf8(&json).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::call::CommandAnswer;

    fn json(value: &impl Typed) -> String {
        let mut out = Vec::new();
        value.encode(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_risk_has_its_level() {
        for (level, word) in
            [(RiskLevel::Low, "low"), (RiskLevel::Medium, "medium"), (RiskLevel::High, "high")]
        {
            assert_eq!(
                json(&risk(&Risk { description: "Deletes all.".into(), level })),
                format!(r#"{{"description":"Deletes all.","risk_level":"{word}"}}"#),
            );
        }
    }

    #[test]
    fn a_move_says_where_the_file_goes() {
        let change = |kind, moved_to: Option<&str>| Change {
            path: "/w/a".into(),
            kind,
            moved_to: moved_to.map(Text::from),
            before: None,
            over: None,
            diff: "x\n".into(),
        };
        let cases = [
            (change(ChangeKind::Add, None), r#"{"add":{"content":"x\n"}}"#),
            (change(ChangeKind::Delete, None), r#"{"delete":{"content":"x\n"}}"#),
            (
                change(ChangeKind::Update, None),
                r#"{"update":{"unified_diff":"x\n","move_path":null}}"#,
            ),
            (
                change(ChangeKind::Update, Some("/w/b")),
                r#"{"update":{"unified_diff":"x\n","move_path":"/w/b"}}"#,
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(json(&changes(&[change])["/w/a"]), expected);
        }
    }

    #[test]
    fn a_command_ends_with_what_it_printed() {
        let answer =
            CommandAnswer { exit_code: 3, wall_ms: 1250, output: "no\n".into(), lines_total: None };
        let answer = Answer::Command(answer);
        let ended = CommandEnd::Exited { exit_code: 3 };
        assert_eq!(
            json(&command_end("c".into(), ended, Some(&answer), 0)),
            concat!(
                r#"{"call_id":"c","stdout":"no\n","stderr":"","aggregated_output":"no\n","#,
                r#""exit_code":3,"duration":{"secs":1,"nanos":250000000},"#,
                r#""formatted_output":"no\n"}"#,
            ),
        );
        let stopped = Answer::failure(call::aborted(100, "user", "so far"));
        let told = command_end("c".into(), CommandEnd::Interrupted, Some(&stopped), 100);
        assert_eq!((&*told.stdout, told.exit_code), ("so far", -1));
        assert_eq!(told.formatted_output, stopped.text().into());
        let told = command_end("c".into(), CommandEnd::Declined, Some(&Answer::failure("no")), 0);
        assert_eq!((&*told.stdout, &*told.stderr, told.exit_code), ("", "no", -1));
    }
}
