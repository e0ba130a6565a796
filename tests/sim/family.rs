//! Children of threads: they begin and end with what waits for them, and delay nobody for long.

use std::collections::BTreeMap;

use windlass::core::Agent;
use windlass::core::effect::Effect;
use windlass::limits::ASSESSMENT_MS;
use windlass::words::event::{Event, Question};
use windlass::words::ids::{CallId, ThreadId};
use windlass::words::item::{Item, Role};
use windlass::words::request::RequestView;

use crate::chance::Chance;
use crate::provider::{self, Script};
use crate::watch::{Lane, Stopping, Told, Watch};

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
    since_ms: u64,
}

impl Watch {
    /// Takes an effect of a child; `false` if it is none of one.
    pub(crate) fn effect_of_child(&mut self, agent: &Agent, effect: &Effect) -> bool {
        match effect {
            Effect::Request { op, thread } => {
                let Some(parent) = agent.parent(*thread) else { return false };
                self.go_on(*thread, Lane::Act);
                let view = agent.request_view(*op).expect("something to send");
                assert_eq!(view.sub_agent, Some("assessment"));
                let settings = agent.settings(parent).expect("the settings of a parent");
                assert!(settings.assess_commands, "nobody wanted to know");
                let since_ms = self.now_ms;
                self.family.children.entry(*thread).or_insert(Child { parent, since_ms });
                let own = |child: &&Child| child.parent == parent;
                // One that was given up may not have heard of it yet.
                assert!(self.family.children.values().filter(own).count() <= 2);
                true
            }
            Effect::Release { thread } => {
                let is_child = self.family.children.remove(thread).is_some();
                if is_child {
                    self.go_on(*thread, Lane::Act);
                }
                is_child || agent.parent(*thread).is_some()
            }
            _ => false,
        }
    }

    /// What was told to begin and waits for a model's word first.
    pub(crate) fn note_assessed(&mut self, agent: &Agent) {
        let Some(thread) = self.batch.thread else { return };
        let Some(told) = self.threads.get(&thread) else { return };
        for call in &self.batch.begun {
            if is_held_back(told, *call, &self.batch.spawned) {
                let settings = agent.settings(thread).expect("settings");
                assert!(settings.assess_commands, "told to begin, and nothing was done: {call:?}");
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
            let until_ms = (child.since_ms + ASSESSMENT_MS).max(self.family.woke_ms);
            let stops = told.stopping != Stopping::No;
            assert!(stops || told.unrecorded || at_ms <= until_ms, "{id:?} takes too long");
            assert!(told.questions.is_empty(), "asked before the model was done");
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

fn is_held_back(told: &Told, call: CallId, spawned: &[crate::watch::Line]) -> bool {
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
