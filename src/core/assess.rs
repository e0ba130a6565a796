//! Assessment: before a person is asked about a command, a model may say what it makes of it.
//!
//! ```text
//!  a question about a command --> Assessing --answer, failure, or ASSESSMENT_MS--> the question
//! ```
//!
//! A child asks for it, in a conversation of one message and one answer, without tools. The
//! question is asked all the same whatever comes of that, and no later than `ASSESSMENT_MS` after
//! it was due. What the model says is for the person to read: nothing is decided by it.

use crate::core::Desk;
use crate::core::approval::confinement_of;
use crate::core::call::{Asked, Attempted, State};
use crate::core::child::{Job, Outcome, Wanted};
use crate::core::ops::Work;
use crate::core::thread::Thread;
use crate::limits::ASSESSMENT_MS;
use crate::tools::risk::{self, Case};
use crate::words::call::CommandPlan;
use crate::words::event::{Question, Risk};
use crate::words::ids::OpId;
use crate::words::item::{Item, Message, Role};
use crate::words::policy::{ApprovalPolicy, Confinement, SandboxMode, SandboxPolicy};
use crate::words::settings::{Budgets, ReasoningSettings, ThreadSettings};

impl Thread {
    /// Asks a person, after a model if that is wanted and can be; `failure` is what was printed
    /// when the sandbox stopped it.
    pub(crate) fn consult(
        &mut self,
        index: usize,
        asked: Asked,
        question: Question,
        failure: Option<&str>,
        desk: &mut Desk<'_>,
    ) {
        let may_assess = self.settings.assess_commands && self.parent.is_none();
        let case = assessed(&self.settings, &asked).filter(|_| may_assess);
        let Some((command, confinement)) = case else {
            return self.ask(index, asked, question, desk);
        };
        let Some(op) = desk.ops.start(self.id, Work::Child) else {
            return self.ask(index, asked, question, desk);
        };
        let (cwd, sandbox) = (&*self.settings.cwd, &self.settings.sandbox);
        let text = Case { command, cwd, sandbox, confinement, failure }.question();
        let settings = Box::new(settings(&self.settings));
        desk.wanted.push_back(Wanted { op, settings, job: Job::Assess { question: text.into() } });
        let until_ms = desk.now.mono_ms.saturating_add(ASSESSMENT_MS);
        self.calls_mut()[index].state = State::Assessing { op, asked, question, until_ms };
    }

    /// The child's part: asks the model.
    pub(crate) fn assess(&mut self, question: Box<str>, desk: &mut Desk<'_>) {
        self.begin_turn(desk);
        self.history.push(Item::Message(Message::text(Role::User, question)));
        self.ask_model(desk);
    }

    /// The parent's part: the model has answered, or will not.
    pub(crate) fn on_assessed(&mut self, op: OpId, outcome: Outcome, desk: &mut Desk<'_>) {
        let found = self.calls_mut().iter().position(|call| call.op() == Some(op));
        let Some(index) = found else { unreachable!("a live op of a call has its call") };
        let risk = outcome.said.as_deref().and_then(risk::decode);
        self.ask_assessed(index, risk, desk);
        self.calls_went_on(desk);
    }

    /// Asks what was to be asked, with what a model makes of it.
    pub(crate) fn ask_assessed(&mut self, index: usize, found: Option<Risk>, desk: &mut Desk<'_>) {
        let call = &mut self.calls_mut()[index];
        let State::Assessing { asked, mut question, .. } =
            std::mem::replace(&mut call.state, State::Settled)
        else {
            unreachable!("only what is assessed comes here")
        };
        match &mut question {
            Question::Command { risk, .. } => *risk = found,
            Question::Patch { .. } => {}
        }
        self.ask(index, asked, question, desk);
    }
}

/// The command that a question is about, and where it runs if it is approved. People see for
/// themselves what a patch does.
fn assessed<'a>(
    settings: &ThreadSettings,
    asked: &'a Asked,
) -> Option<(&'a CommandPlan, Confinement)> {
    match asked {
        Asked::Command(command) => Some((command, confinement_of(settings, command))),
        Asked::Again(attempt, ..) => match &attempt.what {
            Attempted::Command(command) => Some((command, Confinement::Unconfined)),
            Attempted::Patch(..) => None,
        },
        Asked::Patch(..) => None,
    }
}

/// What the child runs with: the same model of the same provider, in a hurry and with empty hands.
fn settings(settings: &ThreadSettings) -> ThreadSettings {
    let effort = settings.reasoning.supported.then(|| "low".into());
    ThreadSettings {
        approval: ApprovalPolicy::Never,
        sandbox: SandboxPolicy::of(SandboxMode::ReadOnly),
        instructions: risk::INSTRUCTIONS.into(),
        developer_instructions: None,
        project_notes: None,
        reasoning: ReasoningSettings { effort, summary: None, ..settings.reasoning },
        output_schema: Some(risk::SCHEMA.into()),
        compact_at_tokens: None,
        parallel_tool_calls: false,
        budgets: Budgets::default(),
        assess_commands: false,
        ..settings.clone()
    }
}
