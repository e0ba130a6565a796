//! Turns of a recorded conversation: a rollout's lines, folded into what clients read.
//!
//! Whoever reads the file pushes its lines in order and takes the result at the end. Lines of this
//! program and of others of its family are understood; damaged ones are passed over. A turn whose
//! beginning is recorded goes on to its recorded end, and was cut off if there is none. Of others,
//! what the model said last tells: with a message it rests, and the next message of a user begins
//! another. What is held is bounded; the window says which turns.

use std::collections::VecDeque;

use crate::fronts::app_server::items;
use crate::fronts::app_server::past_calls as calls;
use crate::fronts::app_server::threads::turn_id;
use crate::fronts::app_server::types::codec::{Preset, Text};
use crate::fronts::app_server::types::v2_items::{
    ThreadItem, ThreadItemKind, Turn, TurnError, TurnItemsView, TurnStatus, UserInput,
};
use crate::limits::{
    PAST_BYTES_MAX, PAST_CALLS_OPEN_MAX, PAST_ITEM_BYTES, PAST_TURNS_MAX, PREVIEW_BYTES_MAX,
};
use crate::wire::json;
use crate::wire::responses::items as wire_items;
use crate::wire::time;
use crate::words::call::CallAsked;
use crate::words::item::{Item, Message, Output, Part, Role};

/// Which turns are wanted; all others are only counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Turns with a number above this.
    pub after: u32,
    /// Turns with a number below this.
    pub before: u32,
    pub count: usize,
    pub keeps: Keeps,
}

/// Which of the turns within a window stay when there are too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    First,
    Last,
}

/// What a rollout tells.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Told {
    pub id: Text,
    pub cwd: Text,
    pub model: Option<Text>,
    pub effort: Option<Text>,
    pub provider: Option<Text>,
    pub forked_from: Option<Text>,
    pub created_ms: Option<u64>,
    pub preview: Text,
    /// Oldest first.
    pub turns: Vec<Turn>,
    /// The number of the first of them, from 1.
    pub first_number: u32,
    /// How many turns and items there are in all.
    pub turns_count: u32,
    pub items_count: u32,
    /// How much of the rollout was read, if not all was wanted: nothing, if what was is not there.
    pub until_bytes: Option<u64>,
}

/// A rollout being read.
#[derive(Debug)]
pub struct Fold {
    window: Window,
    told: Told,
    kept: VecDeque<Kept>,
    /// What `kept` holds. Invariant: at most `PAST_BYTES_MAX`, or there is but one turn.
    bytes: usize,
    open: Option<Open>,
    /// A message in a user's name that no event has confirmed yet.
    candidate: Option<Vec<UserInput>>,
    /// Events say what users said.
    is_eventful: bool,
    /// The last line says what a turn may begin with.
    is_ahead: bool,
    last_ms: u64,
}

#[derive(Debug)]
struct Kept {
    number: u32,
    turn: Turn,
    bytes: usize,
}

/// The turn that is being read.
#[derive(Debug)]
struct Open {
    number: u32,
    id: Text,
    is_wanted: bool,
    started_ms: u64,
    /// When the last line of it was written.
    last_ms: u64,
    /// How long it took, if that is recorded.
    duration_ms: Option<u64>,
    /// Each with the bytes it counts for.
    items: VecDeque<(ThreadItem, usize)>,
    /// Items that were left out before those.
    dropped_count: usize,
    bytes: usize,
    /// Calls without an answer, and where their items are, counted with what was left out.
    calls: VecDeque<(Text, usize)>,
    /// It was said that it began, and will be that it ends.
    is_marked: bool,
    /// The model's last word was a message.
    rests: bool,
    /// The model was asked.
    has_begun: bool,
    /// Nothing but what users said is in it.
    is_of_users: bool,
    /// What was said in the last item, if a user said it.
    last_said: Option<Vec<UserInput>>,
    end: Option<(TurnStatus, Option<TurnError>)>,
}

impl Window {
    /// The newest turns.
    pub const fn newest() -> Window {
        Window { after: 0, before: u32::MAX, count: PAST_TURNS_MAX, keeps: Keeps::Last }
    }

    /// No turn.
    pub const fn none() -> Window {
        Window { count: 0, ..Window::newest() }
    }

    fn holds(&self, number: u32, kept_count: usize) -> bool {
        let is_inside = self.count > 0 && number > self.after && number < self.before;
        is_inside && (self.keeps == Keeps::Last || kept_count < self.count)
    }
}

impl Fold {
    pub fn new(window: Window) -> Fold {
        Fold {
            window,
            told: Told::default(),
            kept: VecDeque::new(),
            bytes: 0,
            open: None,
            candidate: None,
            is_eventful: false,
            is_ahead: false,
            last_ms: 0,
        }
    }

    /// Takes the next line, whatever it is.
    pub fn push(&mut self, line: &[u8]) {
        let Ok(line) = str::from_utf8(line) else { return };
        let Ok([at, kind, payload]) = json::pick(line, ["timestamp", "type", "payload"]) else {
            return;
        };
        let (Some(kind), Some(payload)) = (kind.and_then(json::text), payload) else { return };
        self.is_ahead = false;
        if let Some(ms) = at.and_then(json::text).and_then(|at| time::read(&at)) {
            self.last_ms = ms;
        }
        match &*kind {
            "session_meta" if self.told.id.is_empty() => self.meta(payload),
            "response_item" => {
                if let Some(item) = wire_items::decode(payload) {
                    self.item(item, line.len());
                }
            }
            "event_msg" => self.event(payload, line.len()),
            "turn_context" => self.context(payload),
            "compacted" => self.compacted(),
            _ => {}
        }
        if let Some(open) = &mut self.open
            && !(open.is_marked && open.end.is_some())
        {
            open.last_ms = self.last_ms;
        }
    }

    /// Whether the last line is part of this turn, as far as it shows by now.
    pub fn is_within(&self, turn: &str) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let goes_on = open.is_marked && open.end.is_none();
            *open.id == *turn && (goes_on || !self.is_ahead)
        })
    }

    /// What was told. A turn without an end is one that was cut off, unless it runs here.
    pub fn finish(mut self, runs: bool) -> Told {
        self.take_candidate();
        if runs && let Some(open) = &mut self.open {
            open.end.get_or_insert((TurnStatus::InProgress, None));
        }
        self.close();
        self.told.first_number = self.kept.front().map_or(0, |kept| kept.number);
        self.told.turns = self.kept.into_iter().map(|kept| kept.turn).collect();
        self.told
    }

    fn meta(&mut self, payload: &str) {
        let names = ["id", "session_id", "timestamp", "cwd", "model_provider", "forked_from_id"];
        let Ok([id, session, at, cwd, provider, forked_from]) = json::pick(payload, names) else {
            return;
        };
        self.told.id = id.or(session).and_then(json::boxed).unwrap_or_default();
        self.told.created_ms = at.and_then(json::text).and_then(|at| time::read(&at));
        self.told.cwd = cwd.and_then(json::boxed).unwrap_or_default();
        self.told.provider = provider.and_then(json::boxed);
        self.told.forked_from = forked_from.and_then(json::boxed);
    }

    fn context(&mut self, payload: &str) {
        let Ok([cwd, model, effort]) = json::pick(payload, ["cwd", "model", "effort"]) else {
            return;
        };
        if let Some(cwd) = cwd.and_then(json::boxed) {
            self.told.cwd = cwd;
        }
        self.told.model = model.and_then(json::boxed).or(self.told.model.take());
        self.told.effort = effort.and_then(json::boxed);
        if let Some(open) = &mut self.open {
            open.has_begun = true;
        }
    }

    fn item(&mut self, item: Item, bytes: usize) {
        self.is_ahead = match &item {
            Item::Message(message) => message.role != Role::Assistant,
            Item::Reasoning(_) | Item::Call(_) | Item::Output(_) | Item::Served { .. } => false,
        };
        match item {
            Item::Message(Message { role: Role::Developer, .. }) => {}
            Item::Message(message) if message.role == Role::User => {
                self.take_candidate();
                if !self.is_eventful && !calls::is_told(&message) {
                    self.candidate = Some(inputs(&message));
                }
                if let Some(ran) = calls::user_command(&message, &self.told.cwd) {
                    self.put(ran, bytes);
                }
            }
            Item::Message(_) | Item::Reasoning(_) | Item::Served { .. } => {
                self.take_candidate();
                let rests = matches!(item, Item::Message(_));
                if let Some(said) = items::of_model(Text::default(), &item) {
                    self.put(said.kind, bytes);
                }
                if let Some(open) = &mut self.open {
                    open.rests = rests;
                }
            }
            Item::Call(call) => {
                self.take_candidate();
                self.call(&call, bytes);
            }
            Item::Output(output) => self.output(&output, bytes),
        }
    }

    fn call(&mut self, call: &CallAsked, bytes: usize) {
        if let Some(kind) = calls::item_of(call, &self.told.cwd) {
            self.put(kind, bytes);
        }
        let Some(open) = &mut self.open else { return };
        open.rests = false;
        if open.is_wanted && open.calls.len() == PAST_CALLS_OPEN_MAX {
            open.calls.pop_front();
        }
        let index = open.dropped_count + open.items.len();
        let is_shown =
            open.items.back().is_some_and(|(item, _)| calls::id_of(item) == &*call.call_id);
        if is_shown {
            open.calls.push_back((call.call_id.clone(), index - 1));
        }
    }

    fn output(&mut self, output: &Output, bytes: usize) {
        let Some(open) = &mut self.open else { return };
        open.rests = false;
        open.heard(&output.call_id, bytes, |item| calls::answered(item, &output.answer));
    }

    fn event(&mut self, payload: &str, bytes: usize) {
        let Some(kind) = json::field(payload, "type").and_then(json::text) else { return };
        let text = |name: &str| json::field(payload, name).and_then(json::boxed);
        let number = |name: &str| json::field(payload, name).and_then(json::count);
        match &*kind {
            "task_started" | "turn_started" => {
                self.take_candidate();
                self.begin(text("turn_id").filter(|id| id.len() <= TURN_ID_BYTES_MAX));
                if let Some(open) = &mut self.open {
                    open.is_marked = true;
                    let began_ms = number("started_at").map(|at_s| at_s.saturating_mul(1000));
                    open.started_ms = began_ms.unwrap_or(open.started_ms);
                }
            }
            "task_complete" | "turn_complete" | "turn_aborted" => {
                let status = match &*kind {
                    "turn_aborted" => TurnStatus::Interrupted,
                    _ => TurnStatus::Completed,
                };
                self.end(status, None);
                if let Some(open) = &mut self.open {
                    open.last_ms = self.last_ms;
                    open.duration_ms = number("duration_ms");
                }
            }
            "error" => self.end(TurnStatus::Failed, text("message")),
            "user_message" => {
                let mut said = Vec::new();
                if let Some(text) = text("message").filter(|text| !text.is_empty()) {
                    said.push(UserInput::Text { text, text_elements: Preset(Vec::new()) });
                }
                said.extend(calls::images(json::field(payload, "images")));
                self.user(said, bytes);
            }
            "item_completed" => self.whole(json::field(payload, "item").unwrap_or("{}"), bytes),
            "entered_review_mode" => {
                self.candidate = None;
                self.begin_unless_running();
                let review = text("user_facing_hint").unwrap_or_default();
                self.put(ThreadItemKind::EnteredReviewMode { id: Text::default(), review }, bytes);
                if let Some(open) = &mut self.open {
                    open.rests = false;
                }
            }
            "exited_review_mode" => {
                let said = json::field(payload, "review_output");
                let said = said.and_then(|said| json::field(said, "overall_explanation"));
                let review = said.and_then(json::boxed).unwrap_or_default();
                self.put(ThreadItemKind::ExitedReviewMode { id: Text::default(), review }, bytes);
                if let Some(open) = &mut self.open {
                    open.rests = true;
                }
            }
            _ => {}
        }
    }

    /// An item that a newer recorder tells of whole; what the model said is read from history.
    fn whole(&mut self, item: &str, bytes: usize) {
        match json::field(item, "type").and_then(json::text).as_deref() {
            Some("UserMessage") => {
                let said = calls::content(json::field(item, "content").unwrap_or("[]"));
                let last = self.open.as_ref().and_then(|open| open.last_said.as_ref());
                let is_known = last == Some(&said);
                if !is_known {
                    self.user(said, bytes);
                }
            }
            Some("CommandExecution") => {
                let Some(id) = json::field(item, "id").and_then(json::boxed) else { return };
                let Some(open) = &mut self.open else { return };
                open.heard(&id, bytes, |known| calls::ended(known, item));
            }
            _ => {}
        }
    }

    fn compacted(&mut self) {
        self.begin_unless_running();
        self.put(ThreadItemKind::ContextCompaction { id: Text::default() }, 0);
    }

    /// What a user said: in the turn that runs, else in one of its own.
    fn user(&mut self, content: Vec<UserInput>, bytes: usize) {
        self.is_eventful = true;
        self.candidate = None;
        self.said(content, bytes);
    }

    fn take_candidate(&mut self) {
        if let Some(content) = self.candidate.take() {
            self.said(content, 0);
        }
    }

    fn said(&mut self, content: Vec<UserInput>, bytes: usize) {
        // The model was asked in vain: it has said nothing.
        let is_vain = self.open.as_ref().is_some_and(|open| {
            !open.is_marked && open.has_begun && open.is_of_users && open.last_said.is_some()
        });
        if is_vain {
            self.begin(None);
        }
        self.begin_unless_running();
        if self.told.preview.is_empty()
            && let Some(UserInput::Text { text, .. }) = content.first()
        {
            self.told.preview = text[..text.floor_char_boundary(PREVIEW_BYTES_MAX)].into();
        }
        let (id, client_id) = (Text::default(), None);
        self.put(ThreadItemKind::UserMessage { id, client_id, content }, bytes);
        if let Some(open) = &mut self.open {
            open.rests = false;
        }
    }

    fn begin_unless_running(&mut self) {
        let runs = self
            .open
            .as_ref()
            .is_some_and(|open| open.end.is_none() && (open.is_marked || !open.rests));
        if !runs {
            self.begin(None);
        }
    }

    fn begin(&mut self, id: Option<Text>) {
        self.close();
        self.told.turns_count += 1;
        let number = self.told.turns_count;
        self.open = Some(Open {
            number,
            id: id.unwrap_or_else(|| turn_id(&self.told.id, number)),
            is_wanted: self.window.holds(number, self.kept.len()),
            started_ms: self.last_ms,
            last_ms: self.last_ms,
            duration_ms: None,
            items: VecDeque::new(),
            dropped_count: 0,
            bytes: 0,
            calls: VecDeque::new(),
            is_marked: false,
            rests: false,
            has_begun: false,
            is_of_users: true,
            last_said: None,
            end: None,
        });
    }

    /// Something says how the turn ended; the first that does counts.
    fn end(&mut self, status: TurnStatus, message: Option<Text>) {
        self.take_candidate();
        let Some(open) = &mut self.open else { return };
        let error = message.map(|message| TurnError {
            message,
            codex_error_info: None,
            additional_details: None,
            misalignment: None,
        });
        open.end.get_or_insert((status, error));
    }

    fn close(&mut self) {
        let Some(open) = self.open.take().filter(|open| open.is_wanted) else { return };
        let (number, bytes) = (open.number, open.bytes);
        self.kept.push_back(Kept { number, turn: open.closed(), bytes });
        self.bytes += bytes;
        while self.kept.len() > self.window.count
            || (self.bytes > PAST_BYTES_MAX && self.kept.len() > 1)
        {
            let left = match self.window.keeps {
                Keeps::Last => self.kept.pop_front(),
                Keeps::First => {
                    // What was kept ends here: what follows is on another page.
                    self.window.count = self.kept.len() - 1;
                    self.kept.pop_back()
                }
            };
            self.bytes -= left.map_or(0, |left| left.bytes);
        }
    }

    /// Adds an item; one without an id gets the next.
    fn put(&mut self, kind: ThreadItemKind, bytes: usize) {
        if self.open.is_none() {
            self.begin(None);
        }
        let mut item = items::item(kind);
        if calls::id_of(&item).is_empty() {
            self.told.items_count += 1;
            calls::name(&mut item, format!("item-{}", self.told.items_count).into());
        }
        let Some(open) = &mut self.open else { return };
        open.last_said = match &item.kind {
            ThreadItemKind::UserMessage { content, .. } => Some(content.clone()),
            _ => {
                open.is_of_users = false;
                None
            }
        };
        if !open.is_wanted {
            return;
        }
        let bytes = bytes + PAST_ITEM_BYTES;
        open.items.push_back((item, bytes));
        open.bytes += bytes;
        open.hold_bound();
    }
}

/// A recorder's own name for a turn: a UUID.
const TURN_ID_BYTES_MAX: usize = 64;

impl Open {
    /// Takes what was heard of a call into its item, once.
    fn heard(&mut self, id: &str, bytes: usize, take: impl FnOnce(&mut ThreadItem)) {
        let Some(place) = self.calls.iter().rposition(|(known, _)| **known == *id) else { return };
        let Some((_, index)) = self.calls.remove(place) else { return };
        let index = index.checked_sub(self.dropped_count);
        let Some((item, held)) = index.and_then(|index| self.items.get_mut(index)) else { return };
        take(item);
        *held += bytes;
        self.bytes += bytes;
        self.hold_bound();
    }

    /// One turn may be longer than all that is held: its end is what counts.
    fn hold_bound(&mut self) {
        while self.bytes > PAST_BYTES_MAX && self.items.len() > 1 {
            let left = self.items.pop_front();
            self.dropped_count += 1;
            self.bytes -= left.map_or(0, |(_, bytes)| bytes);
        }
    }

    fn closed(mut self) -> Turn {
        let (status, error) = self.end.take().unwrap_or({
            // Nobody meant to write down how it ended: a message of the model ends it well.
            let is_whole = !self.is_marked && (self.rests || self.is_compaction());
            (if is_whole { TurnStatus::Completed } else { TurnStatus::Interrupted }, None)
        });
        let has_ended = status != TurnStatus::InProgress;
        let mut items: Vec<ThreadItem> = self.items.into_iter().map(|(item, _)| item).collect();
        if has_ended {
            items.iter_mut().for_each(calls::left);
        }
        let seconds = |ms: u64| (ms / 1000) as i64;
        let between_ms = self.last_ms.saturating_sub(self.started_ms);
        let took_ms = self.duration_ms.unwrap_or(between_ms);
        Turn {
            root_turn_id: Some(self.id.clone()),
            id: self.id,
            items,
            items_view: TurnItemsView::Full,
            status,
            error,
            started_at: Some(seconds(self.started_ms)),
            completed_at: has_ended.then_some(seconds(self.last_ms)),
            duration_ms: has_ended.then_some(took_ms as i64),
        }
    }

    fn is_compaction(&self) -> bool {
        let last = self.items.back().map(|(item, _)| &item.kind);
        matches!(last, Some(ThreadItemKind::ContextCompaction { .. }))
    }
}

fn inputs(message: &Message) -> Vec<UserInput> {
    let input = |part: &Part| match part {
        Part::Text(text) => {
            UserInput::Text { text: text.clone(), text_elements: Preset(Vec::new()) }
        }
        Part::Image(image) => calls::image(items::url(image)),
    };
    message.parts.iter().map(input).collect()
}

/// The fuzz body: any lines are folded, and windows show parts of the same whole.
pub fn fuzz(bytes: &[u8]) {
    let fold = |window: Window| {
        let mut fold = Fold::new(window);
        bytes.split(|byte| *byte == b'\n').for_each(|line| fold.push(line));
        fold.finish(false)
    };
    let all = fold(Window::newest());
    let first = fold(Window { count: 1, keeps: Keeps::First, ..Window::newest() });
    for told in [&all, &first] {
        assert!(told.turns.len() as u32 <= told.turns_count);
        assert_eq!((told.turns_count, told.items_count), (all.turns_count, all.items_count));
    }
    if all.first_number == 1 {
        assert_eq!(first.turns.first(), all.turns.first());
    }
}

#[cfg(test)]
mod tests;
