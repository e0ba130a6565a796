//! What is promised, asserted of every effect and after every input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use windlass::core::Agent;
use windlass::core::effect::{Audience, Effect};
use windlass::core::input::Input;
use windlass::limits::{DRAFT_CUTS_MAX, PROMPTS_WAITING_MAX};
use windlass::tools;
use windlass::words::call::{Change, CommandPlan, PatchPlan, Plan};
use windlass::words::command::{Command, Course, Which};
use windlass::words::event::{Ended, Failed, Question};
use windlass::words::ids::{CallId, ConversationId, ItemIndex, OpId, ThreadId};
use windlass::words::item::{Item, Part, Role};
use windlass::words::model::FailureKind;
use windlass::words::policy::{Confinement, Decision};
use windlass::words::record::Record;
use windlass::words::settings::{Budgets, ThreadSettings, TimeBudget};

use crate::disk::Disk;
use crate::family::Family;
use crate::policy;
use crate::promises::{
    assert_allowed, assert_done_is_told, assert_folds, assert_images_follow_outputs, assert_marked,
    open_calls, prompt_of,
};
use crate::provider;
use crate::told::{Batch, Confined, Lane, Stopping, Told, Tried};

/// What the fronts of one process know.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) threads: BTreeMap<ThreadId, Told>,
    /// Prompts that were accepted and not yet taken.
    pub(crate) waiting: BTreeMap<ThreadId, VecDeque<Box<str>>>,
    /// Conversations that are being loaded.
    pub(crate) loading: BTreeSet<ConversationId>,
    pub(crate) restoring: BTreeMap<OpId, ConversationId>,
    pub(crate) inspecting: BTreeMap<OpId, (ThreadId, PatchPlan)>,
    /// Lines that users want to be run, and that were not.
    pub(crate) lines: BTreeMap<ThreadId, Box<str>>,
    /// Users' commands that have started and not ended.
    pub(crate) running: BTreeSet<(ThreadId, CallId)>,
    /// What runs in a sandbox.
    pub(crate) confined: BTreeMap<OpId, Confined>,
    pub(crate) family: Family,
    pub(crate) batch: Batch,
    pub(crate) now_ms: u64,
}

impl Watch {
    /// The threads that fronts know.
    pub(crate) fn threads(&self) -> Vec<ThreadId> {
        let known = self.threads.iter().filter(|(_, told)| told.parent.is_none());
        known.map(|(thread, _)| *thread).collect()
    }

    pub(crate) fn questions(&self, thread: ThreadId) -> Vec<CallId> {
        let told = self.threads.get(&self.asking(thread));
        told.map(|told| told.questions.keys().copied().collect()).unwrap_or_default()
    }

    pub(crate) fn loading(&mut self, conversation: ConversationId) {
        self.loading.insert(conversation);
    }

    pub(crate) fn is_loaded(&self, conversation: ConversationId) -> bool {
        self.loading.contains(&conversation)
            || self.threads.values().any(|told| told.conversation == conversation)
    }

    /// An input is about to be handled.
    pub(crate) fn begin(&mut self, agent: &Agent, disk: &Disk, input: &Input<'_>) {
        self.batch = Batch::default();
        match input {
            Input::Command {
                command:
                    Command::Prompt { thread, parts }
                    | Command::Steer { thread, parts, .. }
                    | Command::Review { thread, parts, .. },
                ..
            } => {
                if let [Part::Text(text)] = parts.as_slice() {
                    self.batch.prompt = Some((*thread, text.clone()));
                }
            }
            Input::Command { command: Command::Answer { thread, call, decision }, .. } => {
                let thread = self.asking(*thread);
                let Some(told) = self.threads.get(&thread) else { return };
                let Some(question) = told.questions.get(call) else { return };
                self.batch.answered = Some((thread, *call));
                let session = *decision == Decision::ApprovedForSession;
                if session || *decision == Decision::Approved {
                    self.batch.grant = Some(question.clone());
                }
                match question.clone() {
                    Question::Command { argv, cwd, .. } if session => {
                        self.approve_for_session(agent, disk, thread, argv, cwd);
                    }
                    Question::Patch { changes, .. } if session => {
                        self.told(thread).files.extend(policy::files(&changes).cloned());
                    }
                    Question::Command { .. } | Question::Patch { .. } => {}
                }
            }
            Input::Command { command: Command::Run { thread, line, .. }, .. } => {
                self.batch.line = Some((*thread, line.clone()));
            }
            Input::Command { command: Command::Interrupt { thread }, .. } => {
                self.batch.interrupted = Some(*thread);
            }
            Input::Restored { op, .. } | Input::Stopped { op } => {
                if let Some(conversation) = self.restoring.remove(op) {
                    self.loading.remove(&conversation);
                }
            }
            Input::Inspected { op, result: Ok(changes) } => {
                if let Some((thread, patch)) = self.inspecting.remove(op)
                    && let Some(told) = self.threads.get_mut(&thread)
                {
                    told.inspected.push((patch, changes.clone()));
                }
            }
            Input::Exited { op, end } => {
                self.batch.printed = Some(end.output.clone());
                self.ended(*op, policy::is_denied(end));
            }
            Input::SessionEnded { op, end, .. } => {
                let denied_count = self.denied_count();
                self.ended(*op, policy::is_denied(end));
                self.batch.ended_well = self.denied_count() == denied_count;
            }
            Input::Applied { op, result } => {
                let refused = result.as_ref().is_err_and(|why| why.starts_with("failed to write"));
                self.ended(*op, refused);
            }
            _ => {}
        }
    }

    fn denied_count(&self) -> usize {
        self.threads.values().map(|told| told.denied.len()).sum()
    }

    fn ended(&mut self, op: OpId, denied: bool) {
        let Some(confined) = self.confined.remove(&op) else { return };
        if let Some(told) = self.threads.get_mut(&confined.thread) {
            told.denied.extend(Some(confined).filter(|_| denied));
        }
    }

    fn approve_for_session(
        &mut self,
        agent: &Agent,
        disk: &Disk,
        thread: ThreadId,
        argv: Vec<String>,
        cwd: Box<str>,
    ) {
        let settings = agent.settings(thread).unwrap();
        let Some(told) = self.threads.get_mut(&thread) else { return };
        told.rules(settings);
        for call in open_calls(disk, told.conversation) {
            let Plan::Command(command) = tools::plan(call, settings) else { continue };
            if command.argv == argv && command.workdir == cwd {
                let escalated = command.escalation.is_some();
                told.session.push((argv.clone(), cwd.clone(), escalated));
            }
        }
    }

    /// The input was the end of a response that may not be tried again.
    pub(crate) fn expect_failure(&mut self, thread: ThreadId, kind: FailureKind) {
        // How the turn of a child ends is told when its parent's does.
        let told = self.threads.get(&thread).filter(|told| told.parent.is_none());
        if told.is_some_and(|told| told.stopping == Stopping::No) {
            self.batch.must_fail = Some(kind);
        }
    }

    /// The input was the end of a response that is whole.
    pub(crate) fn completed(&mut self, thread: ThreadId, answer: bool) {
        self.batch.answered_whole = answer;
        if let Some(told) = self.threads.get_mut(&thread) {
            told.attempts = 0;
            told.summaries = 0;
        }
    }

    /// The input was a provider's word that the request was too large: it is not made again.
    pub(crate) fn exceeded(&mut self, thread: ThreadId) {
        if let Some(told) = self.threads.get_mut(&thread) {
            told.attempts = 0;
            self.batch.exceeded = told.stopping == Stopping::No && told.parent.is_none();
        }
    }

    /// A record has been written.
    pub(crate) fn recorded(&mut self, thread: ThreadId, record: &Record) {
        self.go_on(thread, Lane::Record);
        match record {
            Record::Item(index) => self.batch.recorded.push(*index),
            Record::Compacted { .. } => {
                assert!(self.batch.recorded.is_empty(), "a summary replaces what is recorded");
                self.batch.compacted = true;
            }
            _ => {}
        }
    }

    pub(crate) fn go_on(&mut self, thread: ThreadId, lane: Lane) {
        assert!(self.batch.lane <= lane, "stop, record, act, tell: {lane:?} comes too late");
        self.batch.lane = lane;
        let batch_thread = *self.batch.thread.get_or_insert(thread);
        assert_eq!(batch_thread, thread, "a batch belongs to one thread");
    }

    /// An effect other than an append is about to be performed.
    pub(crate) fn effect(&mut self, agent: &Agent, disk: &Disk, effect: &Effect) {
        if self.effect_of_child(agent, effect) {
            return;
        }
        match effect {
            Effect::Append { .. } => unreachable!("see `recorded`"),
            Effect::Stop { op, .. } => {
                // What ends because it was stopped was not refused anything.
                self.confined.remove(op);
                assert_eq!(self.batch.lane, Lane::Stop, "stops need nothing to be recorded");
            }
            Effect::Restore { op, thread: _, which, course } => {
                if let (Which::Id(conversation), Course::Resume) = (which, course) {
                    self.restoring.insert(*op, *conversation);
                }
            }
            Effect::Open { thread, .. } => self.go_on(*thread, Lane::Act),
            Effect::Request { op, thread } => {
                self.go_on(*thread, Lane::Act);
                let Some(view) = agent.request_view(*op) else { panic!("nothing to send: {op:?}") };
                assert_images_follow_outputs(view.items);
                let sums_up = provider::sums_up(&view);
                self.batch.requested = true;
                self.batch.summary_asked = sums_up;
                let settings = agent.settings(*thread).unwrap();
                let attempts_max =
                    (settings.request_retries_max + 1) * (settings.stream_retries_max + 1);
                let told = self.told(*thread);
                told.attempts += 1;
                assert!(told.attempts <= attempts_max, "more attempts than are allowed");
                told.requests += u32::from(told.attempts == 1);
                told.summaries += u32::from(sums_up && told.attempts == 1);
                assert!(told.summaries <= DRAFT_CUTS_MAX + 2, "a draft shrinks so many times");
                let (requests, tokens) = (told.requests, told.tokens);
                self.assert_within(&settings.budgets, requests, tokens);
            }
            Effect::Spawn { op, thread, command, confinement } => {
                self.go_on(*thread, Lane::Act);
                if self.is_users(agent, *thread, command, *confinement) {
                    return;
                }
                let plan = Plan::Command((**command).clone());
                self.assert_recorded(agent, disk, *thread, &plan);
                let settings = agent.settings(*thread).unwrap();
                self.spawned(*op, *thread, settings, command, *confinement);
            }
            Effect::Collect { thread, .. } => self.go_on(*thread, Lane::Act),
            Effect::Write { thread, chars, .. } => {
                self.go_on(*thread, Lane::Act);
                let conversation = self.told(*thread).conversation;
                let settings = agent.settings(*thread).unwrap();
                let writes = |call| match tools::plan(call, settings) {
                    Plan::Write(write) => write.chars == *chars,
                    _ => false,
                };
                let asked = open_calls(disk, conversation).into_iter().any(writes);
                assert!(asked, "written before its call was recorded: {chars:?}");
            }
            Effect::Look { thread, look, .. } => {
                self.go_on(*thread, Lane::Act);
                self.assert_recorded(agent, disk, *thread, &Plan::Look(look.clone()));
            }
            Effect::Inspect { op, thread, patch } => {
                self.go_on(*thread, Lane::Act);
                self.inspecting.insert(*op, (*thread, (**patch).clone()));
                self.assert_recorded(agent, disk, *thread, &Plan::Patch((**patch).clone()));
            }
            Effect::Apply { op, thread, patch, expected, confinement } => {
                self.go_on(*thread, Lane::Act);
                self.assert_recorded(agent, disk, *thread, &Plan::Patch((**patch).clone()));
                let settings = agent.settings(*thread).unwrap();
                let asked = (&**patch, expected.as_slice());
                self.applied(*op, *thread, settings, asked, *confinement);
            }
            Effect::Release { thread } => {
                self.go_on(*thread, Lane::Act);
                let told = self.threads.get_mut(thread);
                if let Some(told) = told {
                    assert!(!told.released, "a thread is released once");
                    told.released = true;
                }
            }
            Effect::Notify { to, event } => {
                if let Audience::Thread(thread) = to {
                    assert_marked(agent, disk, *thread, event);
                }
                self.event(agent, *to, event);
            }
        }
    }

    /// A request is made only while nothing is used up.
    fn assert_within(&self, budgets: &Budgets, requests: u32, tokens: u64) {
        assert!(budgets.requests_max.is_none_or(|max| requests <= max), "too many requests");
        let first_try = budgets.tokens_max.is_none_or(|max| tokens < max);
        assert!(first_try, "a request beyond the budget of tokens");
        assert!(!self.is_late(budgets), "a request after the time is over");
    }

    pub(crate) fn is_late(&self, budgets: &Budgets) -> bool {
        let end_ms = |time: TimeBudget| time.since_ms.saturating_add(time.length_ms);
        budgets.time.map(end_ms).is_some_and(|end_ms| self.now_ms >= end_ms)
    }

    fn spawned(
        &mut self,
        op: OpId,
        thread: ThreadId,
        settings: &ThreadSettings,
        command: &CommandPlan,
        confinement: Confinement,
    ) {
        let (argv, cwd) = (command.argv.clone(), command.workdir.clone());
        let line = (argv.clone(), cwd.clone());
        self.batch.spawned.push(line.clone());
        let key = (argv, cwd, command.escalation.is_some());
        let granted = matches!(
            self.batch.grant.take(),
            Some(Question::Command { argv, cwd, .. }) if argv == key.0 && cwd == key.1
        );
        self.told(thread).rules(settings);
        let approved = self.told(thread).session.contains(&key);
        let what = Tried::Command(line);
        // What asks to run without a sandbox never ran in one; the same line may have.
        let denied = match command.escalation {
            Some(_) => None,
            None => self.told(thread).take_denied(&what, confinement),
        };
        let allowed = match denied {
            Some(denied) => policy::again(settings, denied.approved || approved),
            None => policy::command(settings, command),
        };
        let approved = approved || granted;
        assert_allowed(allowed, approved, confinement);
        if confinement == Confinement::Sandboxed {
            self.confined.insert(op, Confined { thread, what, approved });
        }
    }

    fn applied(
        &mut self,
        op: OpId,
        thread: ThreadId,
        settings: &ThreadSettings,
        (patch, expected): (&PatchPlan, &[Change]),
        confinement: Confinement,
    ) {
        self.batch.applied.push(expected.to_vec());
        let found = (patch.clone(), expected.to_vec());
        assert!(self.told(thread).inspected.contains(&found), "applied but not inspected");
        let what = Tried::Patch(expected.to_vec());
        let denied = self.told(thread).take_denied(&what, confinement);
        let granted = match self.batch.grant.take() {
            Some(Question::Patch { changes, .. }) => denied.is_none() && changes == expected,
            Some(Question::Command { argv, cwd, .. }) => {
                denied.is_some() && argv == ["apply_patch"] && cwd == patch.workdir
            }
            None => false,
        };
        let allowed = match denied {
            Some(denied) => policy::again(settings, denied.approved),
            // The answer to a question is no leave that was there before it.
            None if granted => policy::patch(settings, expected, &[]),
            None => policy::patch(settings, expected, &self.told(thread).files),
        };
        assert_allowed(allowed, granted, confinement);
        if confinement == Confinement::Sandboxed {
            self.confined.insert(op, Confined { thread, what, approved: granted });
        }
    }

    /// The batch could not be recorded: what it took and did not tell is lost.
    pub(crate) fn fail(&mut self, agent: &Agent, thread: ThreadId) {
        let items = agent.items(thread);
        if let Some(waiting) = self.waiting.get_mut(&thread) {
            waiting.retain(|text| !items.iter().any(|item| prompt_of(item) == Some(&**text)));
        }
        if let Some((thread, text)) = self.batch.prompt.take()
            && !items.iter().any(|item| prompt_of(item) == Some(&*text))
        {
            self.waiting.entry(thread).or_default().push_back(text);
        }
        self.batch.line = None;
        if let Some(told) = self.threads.get_mut(&thread) {
            if let Some((_, call)) = self.batch.answered {
                told.questions.remove(&call);
            }
            // What is said next of stopping starts anew.
            told.stopping = Stopping::No;
            told.unrecorded = true;
            told.has_lost = true;
            told.denied.clear();
        }
    }

    /// A batch was done to its end.
    pub(crate) fn end(&mut self, agent: &Agent, disk: &Disk) {
        self.note_assessed(agent);
        self.note_line();
        let batch = std::mem::take(&mut self.batch);
        if let Some(told) = batch.thread.and_then(|thread| self.threads.get(&thread)) {
            assert_done_is_told(told, &batch, &self.family);
        }
        if let Some((thread, text)) = batch.prompt
            && batch.refused.is_none()
        {
            // Taking it was told in the same batch: see `taken`.
            let taken = batch.taken.contains(&text);
            if !taken {
                self.waiting.entry(thread).or_default().push_back(text);
            }
        }
        if let Some((_, call)) = batch.answered {
            assert!(batch.settled.contains(&call), "an answer to an open question settles it");
        }
        if let Some(kind) = batch.must_fail {
            let failed = matches!(
                batch.ended,
                Some(Ended::Failed { kind: Failed::Model(failed), .. }) if failed == kind
            );
            assert!(failed, "{kind:?} is not tried again");
        }
        let asked = batch.summary_asked || batch.ended.is_some();
        assert!(asked || !batch.summary_announced, "a summary was announced and not asked for");
        let told = batch.thread.and_then(|thread| self.threads.get(&thread));
        let tells = told.is_some_and(|told| told.parent.is_none());
        let compacted = batch.compacted && tells;
        assert_eq!(compacted, batch.summary_told, "a history was replaced in silence");
        if batch.exceeded {
            let failed = matches!(batch.ended, Some(Ended::Failed { .. }));
            assert!(failed || batch.summary_asked, "too large, and nothing is done about it");
        }
        if let Some(thread) = batch.thread.filter(|_| batch.requested) {
            assert!(self.told(thread).turn.is_some(), "a request belongs to a turn");
            let goes_on = |index: &ItemIndex| match &agent.items(thread)[index.0 as usize] {
                Item::Message(message) => message.role == Role::User,
                Item::Output(_) => true,
                _ => false,
            };
            let more = batch.recorded.iter().any(goes_on) || batch.summary_asked;
            assert!(!batch.answered_whole || more, "an answer to a turn that was finished");
        }
        let has_child = batch.interrupted.is_some_and(|thread| self.family.has_child(thread));
        if let (Some(thread), None) = (batch.interrupted, batch.refused)
            && let Some(told) = self.threads.get_mut(&thread)
            && told.turn.is_some()
        {
            match &mut told.stopping {
                Stopping::No => panic!("an interrupt was not heard"),
                Stopping::Yes(count) => {
                    *count += 1;
                    assert!(*count < 3 || has_child, "a third interrupt ends the turn");
                }
            }
        }
        for (thread, told) in &self.threads {
            if told.turn.is_none() {
                assert!(told.questions.is_empty(), "a question is open after its turn");
            }
            let written = !batch.recorded.is_empty() || batch.compacted;
            let changed = written || batch.started || told.unrecorded || batch.ended.is_some();
            if changed && batch.thread == Some(*thread) {
                assert_folds(agent, disk, *thread, told.conversation);
            }
        }
        for waiting in self.waiting.values() {
            assert!(waiting.len() <= PROMPTS_WAITING_MAX + 1, "waiting prompts are bounded");
        }
    }

    /// Nothing runs, nothing waits.
    pub(crate) fn assert_at_rest(&self, agent: &Agent) {
        for (thread, told) in &self.threads {
            assert_eq!(told.turn, None, "{thread:?}: every turn ends");
            let waiting = self.waiting.get(thread).map_or(0, VecDeque::len);
            // A fork that has no time to copy its past takes nothing.
            let is_taken = waiting == 0 || !agent.may_record(*thread);
            assert!(is_taken, "{thread:?}: every prompt that was accepted was taken");
        }
        assert!(self.lines.is_empty(), "every command of a user was run or not: {:?}", self.lines);
        assert!(self.loading.is_empty(), "every session was loaded or not: {:?}", self.loading);
    }

    pub(crate) fn told(&mut self, thread: ThreadId) -> &mut Told {
        let told = self.threads.get_mut(&thread);
        told.unwrap_or_else(|| panic!("{thread:?} does something but is not open"))
    }

    fn assert_recorded(&mut self, agent: &Agent, disk: &Disk, thread: ThreadId, plan: &Plan) {
        let conversation = self.told(thread).conversation;
        let settings = agent.settings(thread).unwrap();
        let mut open = open_calls(disk, conversation).into_iter();
        let asked = open.any(|call| tools::plan(call, settings) == *plan);
        assert!(asked, "done before its call was recorded: {plan:?}");
    }
}
