//! Children of threads: they begin and end with what waits for them, and delay nobody for long.

use std::collections::BTreeMap;

use windlass::core::Agent;
use windlass::core::effect::Effect;
use windlass::limits::ASSESSMENT_MS;
use windlass::words::event::{Event, Question};
use windlass::words::ids::{CallId, ThreadId, TurnId};
use windlass::words::item::{Item, Role};
use windlass::words::request::RequestView;

use crate::chance::Chance;
use crate::provider::{self, Script};
use crate::told::{Lane, Line, Reviewed, Stopping, Told};
use crate::watch::Watch;

/// The children of one process.
#[derive(Default)]
pub(crate) struct Family {
    children: BTreeMap<ThreadId, Child>,
    /// Commands that were told to begin, that do not run, and that nobody is asked about yet.
    pub(crate) assessed: Vec<(ThreadId, CallId)>,
    /// When a machine that was asleep woke up last.
    pub(crate) woke_ms: u64,
}

struct Child {
    parent: ThreadId,
    /// If it is not to take long.
    until_ms: Option<u64>,
}

impl Family {
    pub(crate) fn has_child(&self, thread: ThreadId) -> bool {
        self.children.values().any(|child| child.parent == thread)
    }

    /// Whether there is one that fronts are told of.
    fn has_heard_child(&self, thread: ThreadId) -> bool {
        self.children.values().any(|child| child.parent == thread && child.until_ms.is_none())
    }

    /// The turn that waited has ended: what it waited for is to be gone at once.
    pub(crate) fn hurry(&mut self, parent: ThreadId, now_ms: u64) {
        let left = self.children.values_mut().filter(|child| child.parent == parent);
        left.for_each(|child| child.until_ms = Some(child.until_ms.unwrap_or(now_ms)));
    }
}

impl Watch {
    /// Who asks what is asked in the thread's name.
    pub(crate) fn asking(&self, thread: ThreadId) -> ThreadId {
        let is_own =
            |child: &ThreadId, told: &Told| told.parent == Some(thread) && !self.is_hurried(*child);
        let child = self.threads.iter().find(|(child, told)| is_own(child, told));
        child.map_or(thread, |(child, _)| *child)
    }

    /// Takes an effect of a child; `false` if it is to be looked at like any other.
    pub(crate) fn effect_of_child(&mut self, agent: &Agent, effect: &Effect) -> bool {
        let thread = match effect {
            Effect::Request { thread, .. }
            | Effect::Open { thread, .. }
            | Effect::Spawn { thread, .. }
            | Effect::Release { thread } => *thread,
            _ => return false,
        };
        let Some(parent) = agent.parent(thread) else { return false };
        match effect {
            Effect::Request { op, .. } => {
                let view = agent.request_view(*op).expect("something to send");
                if view.sub_agent != Some("assessment") {
                    self.meet_child(agent, thread);
                    return false;
                }
                self.go_on(thread, Lane::Act);
                let settings = agent.settings(parent).expect("the settings of a parent");
                assert!(settings.assess_commands, "nobody wanted to know");
                let until_ms = Some(self.now_ms + ASSESSMENT_MS);
                self.family.children.entry(thread).or_insert(Child { parent, until_ms });
                let own = |child: &&Child| child.parent == parent;
                // One that was given up may not have heard of it yet.
                assert!(self.family.children.values().filter(own).count() <= 2);
                true
            }
            Effect::Release { .. } => {
                self.go_on(thread, Lane::Act);
                self.family.children.remove(&thread);
                if let Some(told) = self.threads.remove(&thread) {
                    let over = told.unrecorded || told.review != Some(Reviewed::Begun);
                    assert!(over, "a review ends before its child");
                    // What could not be recorded ends unsaid, with the turn.
                    let settled = told.unrecorded || told.questions.is_empty();
                    assert!(settled, "a question is open after its child");
                }
                true
            }
            _ => {
                assert!(!self.is_hurried(thread), "empty hands do something: {effect:?}");
                self.meet_child(agent, thread);
                false
            }
        }
    }

    /// A child does something that fronts or rollouts hear of.
    pub(crate) fn meet_child(&mut self, agent: &Agent, child: ThreadId) {
        assert!(!self.is_hurried(child), "nothing is told of this child");
        let parent = agent.parent(child).expect("a child");
        if self.threads.contains_key(&child) {
            return;
        }
        let told = &self.threads[&parent];
        assert!(told.turn.is_some() && told.parent.is_none(), "a child of a turn");
        assert!(!self.family.has_heard_child(parent), "one child at a time");
        self.family.children.insert(child, Child { parent, until_ms: None });
        let mut told = Told::new(agent.conversation(child).expect("a conversation"));
        (told.parent, told.turn) = (Some(parent), Some(TurnId(1)));
        self.threads.insert(child, told);
    }

    fn is_hurried(&self, child: ThreadId) -> bool {
        self.family.children.get(&child).is_some_and(|child| child.until_ms.is_some())
    }

    /// What was told to begin and waits for a model's word first.
    pub(crate) fn note_assessed(&mut self, agent: &Agent) {
        let Some(thread) = self.batch.thread else { return };
        let Some(told) = self.threads.get(&thread) else { return };
        for call in &self.batch.begun {
            if is_held_back(told, *call, &self.batch.spawned) {
                let settings = agent.settings(thread).expect("settings");
                let may = settings.assess_commands && told.parent.is_none();
                assert!(may, "told to begin, and nothing was done: {call:?}");
                self.family.assessed.push((thread, *call));
            }
        }
    }

    /// All that is due has been done: time may pass, until then.
    pub(crate) fn assert_families(&mut self, at_ms: u64) {
        for (id, child) in &self.family.children {
            let told = self.threads.get(&child.parent);
            let told = told.unwrap_or_else(|| panic!("{id:?} has lost its parent"));
            assert!(told.turn.is_some(), "{id:?} outlives the turn that waited for it");
            assert!(told.questions.is_empty(), "asked before the child was done");
            let Some(until_ms) = child.until_ms else { continue };
            let until_ms = until_ms.max(self.family.woke_ms);
            let stops = told.stopping != Stopping::No;
            assert!(stops || told.unrecorded || at_ms <= until_ms, "{id:?} takes too long");
        }
        let (threads, children) = (&self.threads, &self.family.children);
        self.family.assessed.retain(|(thread, call)| {
            let Some(told) = threads.get(thread) else { return false };
            let open = told.commands.contains_key(call);
            let waits = children.values().any(|child| child.parent == *thread);
            assert!(!open || waits || told.unrecorded, "{call:?} waits for nobody");
            open && waits
        });
    }

    /// A question is asked after its assessment, and names a risk only where one was wanted.
    pub(crate) fn assert_risk(&mut self, agent: &Agent, thread: ThreadId, event: &Event) {
        let Event::ApprovalAsked { call, question: Question::Command { risk, .. }, .. } = event
        else {
            return;
        };
        self.family.assessed.retain(|own| *own != (thread, *call));
        let wanted = agent.settings(thread).is_some_and(|settings| settings.assess_commands);
        assert!(wanted || risk.is_none(), "nobody wanted to know");
    }
}

fn is_held_back(told: &Told, call: CallId, spawned: &[Line]) -> bool {
    let line = told.commands.get(&call);
    line.is_some_and(|line| !spawned.contains(line)) && !told.questions.contains_key(&call)
}

/// Asserts that a request for an assessment is one.
pub(crate) fn validate(view: &RequestView<'_>) {
    assert!(view.tools.is_empty() && view.output_schema.is_some(), "it has empty hands");
    let [Item::Message(asked), said @ ..] = view.items else { panic!("it asks for nothing") };
    let about = asked.texts().any(|text| text.starts_with("platform: "));
    assert!(asked.role == Role::User && about, "it says what it is about: {asked:?}");
    for item in said {
        let Item::Message(message) = item else { continue };
        assert_eq!(message.role, Role::Assistant, "what was said before it was asked again");
    }
}

/// Answers that are right, half right, late or something else.
pub(crate) fn assessment(chance: &mut Chance) -> Script {
    let text = chance.pick(&[
        r#"{"description":"It builds.","risk_level":"low"}"#,
        r#"{"description":"It builds.","risk_level":"low"}"#,
        r#"{"description":"","risk_level":"low"}"#,
        "{\"description\":\"It",
        "answer",
    ]);
    provider::saying(chance, text)
}
