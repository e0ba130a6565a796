//! The machine at its own cut: inputs in, effects out.

// Stories look for one thing among many.
#![allow(clippy::wildcard_enum_match_arm)]

use crate::core::Agent;
use crate::core::approval::{Approvals, Verdict, judge_command};
use crate::core::call::Asked;
use crate::core::effect::{Effect, Effects, Stop};
use crate::core::history;
use crate::core::input::{CommandEnded, CommandResult, Input, Lost, Now};
use crate::core::ops::{Ops, Work};
use crate::core::restore::Fold;
use crate::limits::{
    APPROVALS_REMEMBERED_MAX, ASSESSMENT_MS, CALL_OUTPUT_BYTES_MAX, CALLS_PARALLEL_MAX,
    COLLECT_GRACE_MS, CONNECT_MS, DRAFT_OUTPUT_BYTES_MAX, EFFECTS_PER_INPUT_MAX, HISTORY_BYTES_MAX,
    KILL_GRACE_MS, OPS_MAX, PARTIAL_BYTES_MAX, PROMPTS_WAITING_MAX, RESOLVE_MS_MAX,
    RESPONSE_ITEMS_MAX, RETRIES_MAX, RETRY_DELAY_MS_MAX, ROLLOUT_LINE_BYTES_MAX, SESSIONS_MAX,
    STOP_GRACE_MS, THREADS_MAX, TOKEN_BYTES, UNREACHABLE_MS_MAX,
};
use crate::words::call::{
    Answer, CallAsked, CallKind, Change, ChangeKind, CommandPlan, Life, Seen, Unread,
};
use crate::words::command::{Command, Refusal, Unsteerable, Which};
use crate::words::event::{CommandEnd, Ended, Event, Failed, Question, Risk, RiskLevel};
use crate::words::ids::{CallId, ConversationId, FrontId, ItemIndex, OpId, ThreadId, TurnId};
use crate::words::item::{Image, Item, Kept, Message, Output, Part, Role};
use crate::words::model::{FailureKind, ModelEvent, ModelFailure, RateLimits, RateWindow, Usage};
use crate::words::policy::{ApprovalPolicy, Confinement, Decision};
use crate::words::record::{Record, Remembered};
pub(crate) use crate::words::samples::settings;
use crate::words::settings::{OpeningFacts, ThreadSettings};

mod apart;
mod approvals;
mod assessment;
mod bounds;
mod budgets;
mod calls;
mod compaction;
mod found;
mod images;
mod marks;
mod matrix;
mod records;
mod review;
mod sessions;
mod sharing;
mod turns;
mod user_commands;

/// An agent with one thread, and what its last input led to.
struct Story {
    agent: Agent,
    now_ms: u64,
    thread: ThreadId,
    effects: Vec<Effect>,
}

impl Story {
    fn new(settings: ThreadSettings) -> Story {
        let mut story = Story {
            agent: Agent::new(7),
            now_ms: 1_000,
            thread: ThreadId { slot: 0, generation: 0 },
            effects: Vec::new(),
        };
        story.command(Command::Start { settings: Box::new(settings) });
        story
    }

    /// A thread whose first request is being answered.
    fn asked(settings: ThreadSettings) -> (Story, OpId) {
        let mut story = Story::new(settings);
        story.prompt("do it");
        let op = story.open_op();
        story.feed(Input::Opened { op, facts: OpeningFacts::default() });
        let op = story.request_op();
        (story, op)
    }

    /// A thread whose first response asked for these calls.
    fn calling(settings: ThreadSettings, calls: Vec<CallAsked>) -> Story {
        let (mut story, op) = Story::asked(settings);
        for call in calls {
            story.say(op, ModelEvent::ItemDone(Item::Call(call)));
        }
        story.say(op, ModelEvent::Completed { usage: None });
        story
    }

    fn feed(&mut self, input: Input<'_>) {
        self.handle(input);
        self.agent.check();
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = Now { mono_ms: self.now_ms, wall_ms: 1_700_000_000_000 + self.now_ms };
        let mut effects = Effects::default();
        self.agent.handle(now, input, &mut effects);
        self.effects.clear();
        while let Some(effect) = effects.pull() {
            self.effects.push(effect);
        }
    }

    fn command(&mut self, command: Command) {
        self.feed(Input::Command { front: FrontId(0), command });
    }

    fn prompt(&mut self, text: &str) {
        let parts = vec![Part::Text(text.into())];
        self.command(Command::Prompt { thread: self.thread, parts });
    }

    fn interrupt(&mut self) {
        self.command(Command::Interrupt { thread: self.thread });
    }

    fn answer(&mut self, call: u32, decision: Decision) {
        self.command(Command::Answer { thread: self.thread, call: CallId(call), decision });
    }

    fn say(&mut self, op: OpId, event: ModelEvent<'_>) {
        self.feed(Input::Model { op, event });
    }

    fn fail(&mut self, op: OpId, kind: FailureKind) {
        self.say(op, ModelEvent::Failed(ModelFailure::new(kind, "as told")));
    }

    fn exit(&mut self, op: OpId, code: i32) {
        let ended = CommandEnded::Exited { code };
        let end = CommandResult { ended, output: "out".into(), lines_total: None };
        self.feed(Input::Exited { op, end });
    }

    /// Lets the next deadline come.
    fn wait(&mut self) {
        let at_ms = self.agent.next_deadline().expect("something is waited for");
        assert!(at_ms >= self.now_ms, "deadlines are ahead");
        self.now_ms = at_ms;
        self.feed(Input::Deadline);
    }

    /// The last batch could not be recorded, from this of its records on.
    fn lose_from(&mut self, index: usize) {
        let mut lost = Lost::default();
        let first = self.records()[index];
        for record in self.all_records().skip_while(|record| !std::ptr::eq(*record, first)) {
            match record {
                Record::Meta => lost.meta = true,
                Record::TurnStarted { .. } => lost.beginning = true,
                Record::TurnEnded { .. } | Record::TurnAborted { .. } => lost.end = true,
                Record::Compacted { .. } => lost.compacted = true,
                Record::Item(item) => lost.items_from = lost.items_from.or(Some(*item)),
                _ => {}
            }
        }
        let (thread, message) = (self.thread, "disk full".into());
        self.feed(Input::AppendFailed { thread, lost, message });
    }

    /// Records but for those that say where turns begin and end.
    fn records(&self) -> Vec<&Record> {
        let is_mark = |record: &&Record| {
            matches!(record, Record::TurnStarted { .. } | Record::TurnEnded { .. })
        };
        self.all_records().filter(|record| !is_mark(record)).collect()
    }

    fn all_records(&self) -> impl Iterator<Item = &Record> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Append { record, .. } => Some(record),
            _ => None,
        })
    }

    /// What is recorded of turns' beginnings and ends, in a word each.
    fn marks(&self) -> Vec<&'static str> {
        let mark = |record: &Record| match record {
            Record::TurnStarted { .. } => Some("begins"),
            Record::TurnEnded { said: Some(_), .. } => Some("ends, said"),
            Record::TurnEnded { .. } => Some("ends"),
            Record::TurnAborted { .. } => Some("aborted"),
            Record::TurnFailed { .. } => Some("failed"),
            _ => None,
        };
        self.all_records().filter_map(mark).collect()
    }

    fn events(&self) -> Vec<&Event> {
        let events = self.effects.iter().filter_map(|effect| match effect {
            Effect::Notify { event, .. } => Some(event),
            _ => None,
        });
        events.collect()
    }

    fn tells(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.events().into_iter().any(what)
    }

    fn does(&self, what: impl Fn(&Effect) -> bool) -> bool {
        self.effects.iter().any(what)
    }

    fn refused(&self) -> Option<Refusal> {
        self.events().into_iter().find_map(|event| match event {
            Event::Refused { refusal } => Some(*refusal),
            _ => None,
        })
    }

    fn ended(&self) -> Option<&Ended> {
        self.events().into_iter().find_map(|event| match event {
            Event::TurnEnded { how, .. } => Some(how),
            _ => None,
        })
    }

    /// What failed the turn that ended.
    fn failed(&self) -> Option<Failed> {
        match self.ended()? {
            Ended::Failed { kind, .. } => Some(*kind),
            Ended::Completed | Ended::Interrupted => None,
        }
    }

    /// What a person is told of that.
    fn failure(&self) -> &str {
        match self.ended() {
            Some(Ended::Failed { message, .. }) => message,
            ended => panic!("did not fail: {ended:?}"),
        }
    }

    fn op(&self, of: impl Fn(&Effect) -> Option<OpId>) -> OpId {
        let found = self.effects.iter().find_map(of);
        found.unwrap_or_else(|| panic!("not among {:?}", self.effects))
    }

    fn open_op(&self) -> OpId {
        self.op(|effect| match effect {
            Effect::Open { op, .. } => Some(*op),
            _ => None,
        })
    }

    fn request_op(&self) -> OpId {
        self.op(|effect| match effect {
            Effect::Request { op, .. } => Some(*op),
            _ => None,
        })
    }

    fn spawn_op(&self) -> OpId {
        self.op(|effect| match effect {
            Effect::Spawn { op, .. } => Some(*op),
            _ => None,
        })
    }

    fn inspect_op(&self) -> OpId {
        self.op(|effect| match effect {
            Effect::Inspect { op, .. } => Some(*op),
            _ => None,
        })
    }

    fn restore_op(&self) -> OpId {
        self.op(|effect| match effect {
            Effect::Restore { op, .. } => Some(*op),
            _ => None,
        })
    }

    fn look_ops(&self) -> Vec<OpId> {
        let look = |effect: &Effect| match effect {
            Effect::Look { op, .. } => Some(*op),
            _ => None,
        };
        self.effects.iter().filter_map(look).collect()
    }

    fn items(&self) -> &[Item] {
        self.agent.items(self.thread)
    }

    /// The texts of the outputs in the history, in order.
    fn outputs(&self) -> Vec<&str> {
        let outputs = self.items().iter().filter_map(|item| match item {
            Item::Output(output) => Some(output.answer.text()),
            _ => None,
        });
        outputs.collect()
    }
}

fn said(text: &str) -> ModelEvent<'static> {
    ModelEvent::ItemDone(Item::Message(Message::text(Role::Assistant, text)))
}

fn completed() -> ModelEvent<'static> {
    ModelEvent::Completed { usage: None }
}

fn call(call_id: &str, name: &str, arguments: &str) -> CallAsked {
    CallAsked {
        kind: CallKind::Function,
        call_id: call_id.into(),
        name: name.into(),
        arguments: arguments.into(),
        id: None,
    }
}

fn shell(call_id: &str, argv: &str) -> CallAsked {
    call(call_id, "shell", &format!(r#"{{"command":{argv}}}"#))
}

fn look(call_id: &str) -> CallAsked {
    call(call_id, "read_file", r#"{"file_path":"/w/a"}"#)
}

fn patch(call_id: &str) -> CallAsked {
    CallAsked { kind: CallKind::Custom, ..call(call_id, "apply_patch", "*** Begin Patch") }
}

fn change(path: &str) -> Change {
    let (kind, moved_to, before) = (ChangeKind::Update, None, None);
    Change { path: path.into(), kind, moved_to, before, over: None, diff: "".into() }
}
