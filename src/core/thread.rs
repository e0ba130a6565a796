//! One conversation: settings, waiting prompts, at most one turn.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::core::Desk;
use crate::core::approval::Approvals;
use crate::core::child::Parent;
use crate::core::compact::Replaced;
use crate::core::effect::{Effect, Stop};
use crate::core::history::History;
use crate::core::input::Lost;
use crate::core::marks::Marks;
use crate::core::opening;
use crate::core::ops::Work;
use crate::core::session::Sessions;
use crate::core::turn::Turn;
use crate::limits::{ITEM_BYTES, PROMPTS_WAITING_MAX, ROLLOUT_LINE_BYTES_MAX};
use crate::words::command::{Course, Refusal};
use crate::words::event::{Ended, Event, Failed};
use crate::words::ids::{ConversationId, FrontId, ItemIndex, OpId, ThreadId, TurnId};
use crate::words::item::{Image, Item, Message, Part, Role};
use crate::words::model::{Counted, FailureKind, ModelEvent, ModelFailure, RateLimits, Usage};
use crate::words::record::Record;
use crate::words::settings::{OpeningFacts, ThreadSettings};

/// A conversation that is loaded.
#[derive(Debug)]
pub struct Thread {
    pub(crate) id: ThreadId,
    /// Which thread of this process, from 0.
    pub(crate) ordinal: u32,
    pub(crate) front: FrontId,
    pub(crate) conversation: ConversationId,
    /// Shared with threads that run with the same.
    pub(crate) settings: Rc<ThreadSettings>,
    /// What the next turn is to run with, if that is to differ.
    pub(crate) settings_next: Option<Box<ThreadSettings>>,
    /// `None` until they were asked for and came.
    pub(crate) facts: Option<OpeningFacts>,
    pub(crate) phase: Phase,
    pub(crate) history: History,
    pub(crate) counted: Counted,
    /// What the history was before the last batch, if that has replaced it.
    pub(crate) replaced: Option<Box<Replaced>>,
    pub(crate) prompts: VecDeque<Vec<Part>>,
    /// When a turn takes what waits, if no prompt begins one.
    pub(crate) prompts_due_ms: Option<u64>,
    /// Apart, since most threads have none.
    pub(crate) turn: Option<Box<Turn>>,
    pub(crate) turns_count: u32,
    /// Turns whose start was told: the last one's may be in a batch that cannot be recorded.
    pub(crate) turns_told: u32,
    /// When the last of them began, in milliseconds since 1970.
    pub(crate) turn_began_ms: u64,
    pub(crate) calls_count: u32,
    pub(crate) requests_count: u32,
    pub(crate) usage: Usage,
    /// What the last response took of it.
    pub(crate) last_usage: Usage,
    pub(crate) limits: Option<RateLimits>,
    pub(crate) approvals: Approvals,
    /// Commands that have outlived their calls; they end with the thread.
    pub(crate) sessions: Sessions,
    /// Whether the rollout has its first line.
    pub(crate) meta_recorded: bool,
    /// What the rollout says of turns.
    pub(crate) marks: Marks,
    /// Where its past is from, if that is another conversation's.
    pub(crate) fork: Option<ConversationId>,
    /// Whom it works for, if it is a child.
    pub(crate) parent: Option<Parent>,
}

/// Whether the thread can take turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its past is being read.
    Loading {
        op: OpId,
        course: Course,
    },
    Ready,
    /// It will be forgotten as soon as no turn runs and no session lives.
    Closing,
}

impl Thread {
    /// Whether nothing will happen here any more.
    pub(crate) fn is_closed(&self) -> bool {
        let is_idle = self.turn.is_none() && self.sessions.live_ops().next().is_none();
        self.phase == Phase::Closing && is_idle
    }

    /// Takes a prompt, now or when the running turn can.
    pub(crate) fn on_prompt(
        &mut self,
        parts: Vec<Part>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Refusal> {
        self.may_take(&parts)?;
        // What waits behind a turn that could not be recorded, or did not fit, is taken with this
        // prompt. When that has failed too often, what waits is tried without it.
        let is_idle = self.turn.is_none();
        if self.prompts.len() >= PROMPTS_WAITING_MAX + usize::from(is_idle) {
            if is_idle {
                self.prompts_due_ms = Some(desk.now.mono_ms);
            }
            return Err(Refusal::TooManyPrompts);
        }
        self.prompts.push_back(parts);
        if self.turn.is_none() {
            self.start_turn(None, desk);
        }
        Ok(())
    }

    /// Changes what turns run with, from the next one on: a request that is being sent lends its
    /// settings.
    pub(crate) fn on_configure(&mut self, settings: Box<ThreadSettings>) -> Result<(), Refusal> {
        if self.phase != Phase::Ready {
            return Err(Refusal::NotReady);
        }
        self.settings_next = Some(settings);
        if self.turn.is_none() {
            self.configure();
        }
        Ok(())
    }

    /// Takes over the settings that wait, before a turn begins.
    pub(crate) fn configure(&mut self) {
        let Some(settings) = self.settings_next.take() else { return };
        if *settings == *self.settings {
            return;
        }
        if settings.cwd != self.settings.cwd {
            self.facts = None;
        }
        if settings.approval != self.settings.approval || settings.sandbox != self.settings.sandbox
        {
            // A person said yes under other rules.
            self.approvals = Approvals::default();
        }
        self.settings = settings.into();
    }

    /// Takes a prompt for the turn that runs, if that is the one that is meant.
    pub(crate) fn on_steer(
        &mut self,
        turn: TurnId,
        parts: Vec<Part>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Refusal> {
        let meant = self.turn.as_ref().filter(|running| running.id == turn);
        match meant.ok_or(Refusal::NoSuchTurn)?.unsteerable() {
            Some(why) => Err(Refusal::NotSteerable(why)),
            None => self.on_prompt(parts, desk),
        }
    }

    /// Whether the thread takes a prompt of these parts.
    pub(crate) fn may_take(&self, parts: &[Part]) -> Result<(), Refusal> {
        if self.phase != Phase::Ready {
            return Err(Refusal::NotReady);
        }
        let says_something = parts.iter().any(|part| match part {
            Part::Text(text) => !text.trim().is_empty(),
            Part::Image(_) => true,
        });
        match says_something {
            false => Err(Refusal::EmptyPrompt),
            true if recorded_bytes(parts) > ROLLOUT_LINE_BYTES_MAX as u64 => {
                Err(Refusal::PromptTooLong)
            }
            true => Ok(()),
        }
    }

    /// The waiting prompts that the turn takes next.
    pub(crate) fn prompts_due(&self) -> impl Iterator<Item = &Vec<Part>> {
        self.prompts.iter().take(self.prompts_due_count())
    }

    /// What those prompts will add to the history.
    pub(crate) fn prompts_bytes(&self) -> u64 {
        self.prompts_due().flatten().map(Part::bytes).sum()
    }

    /// What their images have that is kept elsewhere.
    pub(crate) fn prompts_kept_bytes(&self) -> u64 {
        self.prompts.iter().flatten().map(Part::kept_bytes).sum()
    }

    /// Stops what runs, then lets the thread be forgotten.
    pub(crate) fn on_close(&mut self, desk: &mut Desk<'_>) {
        if let Phase::Loading { op, .. } = self.phase {
            desk.ops.end(op);
            desk.out.act(Effect::Stop { op, how: Stop::Kill });
        }
        self.phase = Phase::Closing;
        self.end_sessions(desk);
        if self.turn.is_some() {
            self.interrupt(desk);
        }
    }

    /// Moves prompts that are due into the history, after what the model must know first.
    pub(crate) fn take_prompts(&mut self, desk: &mut Desk<'_>) {
        let due_count = self.prompts_due_count();
        if due_count == 0 {
            return;
        }
        self.begin_rollout(desk);
        for item in opening::changed(&self.settings, self.history.items()) {
            self.remember(item, desk);
        }
        for ahead in 0..due_count {
            let Some(parts) = self.prompts.pop_front() else { return };
            let message = Message { role: Role::User, parts, id: None };
            let item = self.remember(Item::Message(message), desk);
            self.enter_review(ahead, item, desk);
            desk.out.append(self.id, Record::UserMessage(item));
            desk.out.tell(self.id, Event::PromptTaken { item });
        }
    }

    /// Puts into the rollout what comes before anything else, unless it is there.
    pub(crate) fn begin_rollout(&mut self, desk: &mut Desk<'_>) {
        if !self.meta_recorded {
            desk.out.append(self.id, Record::Meta);
            self.meta_recorded = true;
        }
        self.mark_beginning(desk);
    }

    /// Whether there is a rollout to record in: that of a fork begins with its past, which is
    /// copied before its first turn goes on.
    pub(crate) fn may_record(&self) -> bool {
        self.fork.is_none() || self.meta_recorded
    }

    /// Adds an item to the history and to the rollout.
    pub(crate) fn remember(&mut self, item: Item, desk: &mut Desk<'_>) -> ItemIndex {
        let index = self.history.push(item);
        desk.out.append(self.id, Record::Item(index));
        index
    }

    /// Adds a message, reasoning or served call of the model, and tells of it.
    pub(crate) fn remember_said(&mut self, item: Item, desk: &mut Desk<'_>) {
        let index = self.remember(item, desk);
        if let Some(record) = shown_as(self.history.items(), index) {
            if let Record::AgentMessage(_) = record {
                self.turn_mut().said = Some(index);
            }
            desk.out.append(self.id, record);
        }
        desk.out.tell(self.id, Event::ItemCompleted { item: index });
    }

    /// Cuts the history back to what the rollout holds, and fails the turn that went beyond it.
    pub(crate) fn on_append_failed(&mut self, lost: Lost, message: Box<str>, desk: &mut Desk<'_>) {
        self.meta_recorded &= !lost.meta;
        self.take_back_marks(lost);
        match lost.items_from {
            _ if lost.compacted => self.take_back_summary(),
            Some(from) => self.history.cut(from),
            None => self.history.settle(),
        }
        let how = Ended::Failed { kind: Failed::Record, message };
        let turn = TurnId(self.turns_count);
        if self.turns_told < self.turns_count {
            desk.out.tell(self.id, Event::TurnStarted { turn });
        }
        match &self.turn {
            Some(_) => self.abandon(how, desk),
            None => {
                self.note_ended(&how);
                // The turn's end was in the batch that failed: it is told again, differently.
                desk.out.tell(self.id, Event::TurnEnded { turn, how, usage: Usage::default() });
            }
        }
    }

    /// Work has ended that nobody asked to be stopped: it counts as having failed.
    pub(crate) fn on_lost(&mut self, op: OpId, what: Work, desk: &mut Desk<'_>) {
        match what {
            Work::Response => {
                let failure = ModelFailure::new(FailureKind::Stream, "the request was dropped");
                self.on_model(op, ModelEvent::Failed(failure), desk);
            }
            Work::Opening if !self.may_record() => {
                self.on_unopened(op, "copying the session was dropped".into(), desk);
            }
            Work::Opening => self.on_opened(op, OpeningFacts::default(), desk),
            Work::Child => unreachable!("only a child ends what waits for it"),
            Work::Errand => self.on_restored(Err("loading the session was dropped".into()), desk),
            Work::Session(_) => self.on_session_lost(op, what, desk),
            Work::Call(_) if self.is_starting(op) => self.on_session_lost(op, what, desk),
            Work::Call(_) => self.on_call_stopped(op, desk),
        }
    }
}

/// As what people see an item, if they do: what was said, but not what the model is told first.
pub(crate) fn shown_as(items: &[Item], index: ItemIndex) -> Option<Record> {
    match &items[index.0 as usize] {
        Item::Message(message) => match message.role {
            Role::User if opening::is_told(message) => None,
            Role::User => Some(Record::UserMessage(index)),
            Role::Assistant => Some(Record::AgentMessage(index)),
            Role::Developer => None,
        },
        Item::Reasoning(reasoning) => {
            (!reasoning.summary.is_empty()).then_some(Record::AgentReasoning(index))
        }
        Item::Call(_) | Item::Output(_) | Item::Served { .. } => None,
    }
}

/// What a prompt takes in a rollout, where texts are escaped; a little more than that.
fn recorded_bytes(parts: &[Part]) -> u64 {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    let bytes = |part: &Part| match part {
        Part::Text(text) | Part::Image(Image::Url(text)) => text.bytes().map(escaped).sum::<u64>(),
        Part::Image(Image::Kept(kept)) => u64::from(kept.url_bytes),
    };
    parts.iter().map(|part| bytes(part) + ITEM_BYTES).sum::<u64>() + ITEM_BYTES
}
