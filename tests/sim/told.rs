//! What the fronts of one process were told of a thread, and what one input led to.

use std::collections::BTreeMap;

use windlass::words::call::{Change, PatchPlan};
use windlass::words::command::Refusal;
use windlass::words::event::{Ended, Question};
use windlass::words::ids::{CallId, ConversationId, ItemIndex, ThreadId, TurnId};
use windlass::words::model::FailureKind;
use windlass::words::policy::{ApprovalPolicy, Confinement, SandboxPolicy};
use windlass::words::settings::ThreadSettings;

/// What was told of a thread.
pub(crate) struct Told {
    /// Whom it works for, if it is a child: of that, fronts are told in the parent's name.
    pub(crate) parent: Option<ThreadId>,
    pub(crate) conversation: ConversationId,
    pub(crate) turn: Option<TurnId>,
    pub(crate) turns_count: u32,
    pub(crate) stopping: Stopping,
    pub(crate) questions: BTreeMap<CallId, Question>,
    /// Commands that were started and have not ended.
    pub(crate) commands: BTreeMap<CallId, Line>,
    /// Patches likewise.
    pub(crate) patches: BTreeMap<CallId, Vec<Change>>,
    pub(crate) session: Vec<(Vec<String>, Box<str>, bool)>,
    /// Files that may be patched for the session.
    pub(crate) files: Vec<Box<str>>,
    /// Patches and what was found out about them.
    pub(crate) inspected: Vec<(PatchPlan, Vec<Change>)>,
    /// What a sandbox has refused, as it looks, and whose end was not told yet.
    pub(crate) denied: Vec<Confined>,
    /// What the last command was judged by.
    pub(crate) rules: Option<(ApprovalPolicy, SandboxPolicy)>,
    /// Requests since the last response that was whole.
    pub(crate) attempts: u32,
    /// Requests of the turn, tries aside, and its tokens.
    pub(crate) requests: u32,
    pub(crate) tokens: u64,
    /// Requests for a summary since the last response that was whole.
    pub(crate) summaries: u32,
    /// The turn's review, once it has begun.
    pub(crate) review: Option<Reviewed>,
    pub(crate) released: bool,
    /// Something of the turn could not be recorded; its questions end with it, unsaid.
    pub(crate) unrecorded: bool,
    /// So it was once, and not all ends were told.
    pub(crate) has_lost: bool,
}

impl Told {
    pub(crate) fn new(conversation: ConversationId) -> Told {
        Told {
            parent: None,
            conversation,
            turn: None,
            turns_count: 0,
            stopping: Stopping::No,
            questions: BTreeMap::new(),
            commands: BTreeMap::new(),
            patches: BTreeMap::new(),
            session: Vec::new(),
            files: Vec::new(),
            inspected: Vec::new(),
            denied: Vec::new(),
            rules: None,
            attempts: 0,
            requests: 0,
            tokens: 0,
            summaries: 0,
            review: None,
            released: false,
            unrecorded: false,
            has_lost: false,
        }
    }

    /// What was approved for the session is forgotten when the rules change.
    pub(crate) fn rules(&mut self, settings: &ThreadSettings) {
        let rules = (settings.approval, settings.sandbox.clone());
        if self.rules.as_ref().is_some_and(|known| *known != rules) {
            self.session.clear();
        }
        self.rules = Some(rules);
    }

    /// What was refused of this in a sandbox, if it is now tried without one.
    pub(crate) fn take_denied(
        &mut self,
        what: &Tried,
        confinement: Confinement,
    ) -> Option<Confined> {
        let tried = self.denied.iter().position(|denied| denied.what == *what)?;
        (confinement == Confinement::Unconfined).then(|| self.denied.remove(tried))
    }

    /// The end of this was told: it is not tried again.
    pub(crate) fn end_denied(&mut self, what: &Tried) {
        let last = self.denied.iter().rposition(|denied| denied.what == *what);
        last.map(|last| self.denied.remove(last));
    }
}

/// What runs, or ran, in a sandbox.
pub(crate) struct Confined {
    pub(crate) thread: ThreadId,
    pub(crate) what: Tried,
    /// A person let it run.
    pub(crate) approved: bool,
}

/// What was tried in a sandbox.
#[derive(PartialEq)]
pub(crate) enum Tried {
    Command(Line),
    Patch(Vec<Change>),
}

/// How far a review has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reviewed {
    Begun,
    Over,
}

/// How far stopping a turn has got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopping {
    No,
    /// With how many interrupts since.
    Yes(u32),
}

/// A command's words, and where they run.
pub(crate) type Line = (Vec<String>, Box<str>);

/// What one input led to.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) lane: Lane,
    pub(crate) thread: Option<ThreadId>,
    pub(crate) recorded: Vec<ItemIndex>,
    pub(crate) started: bool,
    /// What the input approved.
    pub(crate) grant: Option<Question>,
    /// What was done, and what was told to begin.
    pub(crate) spawned: Vec<Line>,
    pub(crate) applied: Vec<Vec<Change>>,
    pub(crate) begun: Vec<CallId>,
    pub(crate) refused: Option<Refusal>,
    pub(crate) settled: Vec<CallId>,
    pub(crate) ended: Option<Ended>,
    /// What the command had printed whose end the input was.
    pub(crate) printed: Option<Box<str>>,
    pub(crate) prompt: Option<(ThreadId, Box<str>)>,
    /// The input was a user's wish to run this.
    pub(crate) line: Option<(ThreadId, Box<str>)>,
    pub(crate) answered: Option<(ThreadId, CallId)>,
    /// The input was the end of a session that was refused nothing, as it looks.
    pub(crate) ended_well: bool,
    pub(crate) interrupted: Option<ThreadId>,
    pub(crate) must_fail: Option<FailureKind>,
    /// The provider said that the request was too large.
    pub(crate) exceeded: bool,
    /// The input was the end of a whole response that was no summary.
    pub(crate) answered_whole: bool,
    pub(crate) requested: bool,
    pub(crate) summary_asked: bool,
    pub(crate) summary_announced: bool,
    pub(crate) compacted: bool,
    pub(crate) summary_told: bool,
    pub(crate) taken: Vec<Box<str>>,
}

/// Stops need nothing to be recorded; else record, act, tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) enum Lane {
    #[default]
    Stop,
    Record,
    Act,
    Tell,
}
