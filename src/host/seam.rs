//! The one seam between the machine and the outside.
//!
//! Whatever happened is fed here; what the machine asks for leaves here, in order: the records of
//! a batch are written in one piece, notices are put into the front's buffers, deeds wait in a
//! queue for `perform`.
//! Buffers are written to the outside only after the queue has been worked off, so that the order
//! is record, act, tell. If a record cannot be written, nothing of its batch is done or told.

use std::collections::VecDeque;
use std::path::Path;

use crate::core::Agent;
use crate::core::effect::{Audience, Effect, Effects};
use crate::core::input::{Input, Lost, Now};
use crate::core::thread::shown_as;
use crate::fronts::Output;
use crate::fronts::app_server::{AppServer, Lent};
use crate::fronts::exec::status::Status;
use crate::fronts::exec::{EXIT_COMPLETED, Exec};
use crate::fronts::notify::Notifier;
use crate::host::app_server::turn_diffs::TurnDiffs;
use crate::host::clock;
use crate::host::journal::Journal;
use crate::host::recall::Recall;
use crate::host::rollouts::Rollouts;
use crate::limits::{OUTPUT_QUEUE_BYTES_HIGH, TOLD_IMAGES_BYTES_MAX};
use crate::wire::rollout::Setup;
use crate::words::call::Seen;
use crate::words::command::Command;
use crate::words::event::Event;
use crate::words::ids::{ItemIndex, ThreadId};
use crate::words::item::{Image, Item, Part};
use crate::words::record::Record;
use crate::words::settings::ThreadSettings;

/// The machine, its records and who listens.
#[derive(Debug)]
pub struct Seam {
    pub agent: Agent,
    effects: Effects,
    /// Where what happens is written down, if anywhere.
    pub journal: Option<Box<Journal>>,
    /// What is to be done.
    pub deeds: VecDeque<Effect>,
    pub rollouts: Rollouts,
    pub front: Front,
    /// What patches have changed, for the clients of an app server.
    pub diffs: TurnDiffs,
    /// What the front's terminal shows besides, if it has one.
    pub status: Option<Status>,
    /// What the front wants written.
    pub output: Output,
    /// The thread of the front, once it is open.
    pub thread: Option<ThreadId>,
    /// Who follows the thread for the user's program, if there is one.
    pub notifier: Option<Notifier>,
    /// What a run is called with, if it may go on from a session.
    pub recall: Option<Box<Recall>>,
    /// What the user's program is to be told: one argument for each completed turn.
    pub completed: Vec<String>,
}

/// Who is told.
#[derive(Debug)]
pub enum Front {
    Exec(Box<Exec>),
    Server(Box<AppServer>),
}

impl Front {
    /// Whether nothing that is told is heard any more.
    pub fn is_finished(&self) -> bool {
        match self {
            Front::Exec(exec) => exec.is_finished(),
            Front::Server(_) => false,
        }
    }

    /// Whether the run is over but for what sessions have to tell.
    pub fn takes_leave(&mut self) -> bool {
        match self {
            Front::Exec(exec) => exec.takes_leave(),
            Front::Server(_) => false,
        }
    }

    /// How the process is to end if nothing else is known.
    pub fn exit_code(&self) -> u8 {
        match self {
            Front::Exec(exec) => exec.exit_code(),
            Front::Server(_) => EXIT_COMPLETED,
        }
    }

    /// What the model said last, if that was to be kept.
    pub fn last_message(&self) -> Option<&str> {
        match self {
            Front::Exec(exec) => exec.last_message(),
            Front::Server(_) => None,
        }
    }
}

/// A batch that could not be recorded.
struct Failed {
    thread: ThreadId,
    lost: Lost,
    message: Box<str>,
}

/// Records that are gathered and not yet written.
#[derive(Clone, Copy)]
struct Gathered {
    thread: ThreadId,
    lost: Lost,
}

impl Seam {
    pub fn new(seed: u64, rollouts: Rollouts, front: Front) -> Seam {
        Seam {
            agent: Agent::new(seed),
            effects: Effects::default(),
            journal: None,
            deeds: VecDeque::new(),
            rollouts,
            front,
            diffs: TurnDiffs::default(),
            status: None,
            output: Output::default(),
            thread: None,
            notifier: None,
            recall: None,
            completed: Vec::new(),
        }
    }

    /// Tells a status line what the front is told.
    pub fn showing(self, status: Option<Status>) -> Seam {
        Seam { status, ..self }
    }

    /// Tells the machine what happened, and sees to it that what it asks for is recorded and
    /// queued.
    pub fn feed(&mut self, mut input: Input<'_>) {
        self.put_away(&mut input);
        let now = Now { mono_ms: clock::mono_ms(), wall_ms: clock::wall_ms() };
        self.handle(now, input);
        while let Some(failed) = self.settle(now) {
            let Failed { thread, lost, message } = failed;
            self.handle(now, Input::AppendFailed { thread, lost, message });
        }
        if cfg!(debug_assertions) {
            self.agent.check();
        }
    }

    /// Takes images out of memory before the machine is told of them.
    fn put_away(&mut self, input: &mut Input<'_>) {
        let album = &mut self.rollouts.album;
        match input {
            Input::Command {
                command:
                    Command::Prompt { parts, .. }
                    | Command::Steer { parts, .. }
                    | Command::Review { parts, .. },
                ..
            } => album.keep_all(parts),
            Input::Looked { result: Ok(Seen::Image(image)), .. } => album.keep(image),
            _ => {}
        }
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        let Some(journal) = &mut self.journal else {
            return self.agent.handle(now, input, &mut self.effects);
        };
        journal.happens(now, &input);
        self.agent.handle(now, input, &mut self.effects);
        journal.leads_to(&self.agent, &self.effects);
        if let Some(why) = journal.end() {
            let line = format!("warning: the journal ends here: {why}\n");
            self.output.stderr.extend_from_slice(line.as_bytes());
            self.journal = None;
        }
    }

    /// Works off one batch of effects: records first, in one piece, then what follows from them.
    fn settle(&mut self, now: Now) -> Option<Failed> {
        let mut gathered: Option<Gathered> = None;
        let mut failed: Option<Failed> = None;
        loop {
            let effect = self.effects.pull();
            let is_record = matches!(effect, Some(Effect::Append { .. }));
            if !is_record && gathered.is_some() {
                failed = self.commit(gathered.take()).err();
            }
            let Some(effect) = effect else { return failed };
            match (effect, &mut failed) {
                (Effect::Append { record, .. }, Some(failed)) => note(&mut failed.lost, &record),
                (Effect::Append { thread, record }, None) => {
                    if !self.rollouts.has_room(thread) {
                        failed = self.commit(gathered.take()).err();
                    }
                    match &mut failed {
                        Some(failed) => note(&mut failed.lost, &record),
                        None => self.gather(now, thread, &record, &mut gathered),
                    }
                }
                (_, Some(_)) => {}
                (Effect::Notify { to, event }, None) => self.tell(now, to, &event),
                (deed, None) => self.deeds.push_back(deed),
            }
        }
    }

    fn gather(
        &mut self,
        now: Now,
        thread: ThreadId,
        record: &Record,
        gathered: &mut Option<Gathered>,
    ) {
        let Some(view) = self.agent.record_view(thread) else { return };
        let nothing = Lost::default();
        note(&mut gathered.get_or_insert(Gathered { thread, lost: nothing }).lost, record);
        self.rollouts.gather(thread, record, view, now.wall_ms);
    }

    /// Writes what was gathered; what could not be written is lost.
    fn commit(&mut self, gathered: Option<Gathered>) -> Result<(), Failed> {
        let Some(Gathered { thread, lost }) = gathered else { return Ok(()) };
        self.rollouts.commit().map_err(|failure| {
            let message = failure.to_string().into();
            Failed { thread, lost, message }
        })
    }

    /// What a thread is to go on with that was loaded, if that differs from what it was opened
    /// with; people are shown that.
    pub fn recall(&mut self, thread: ThreadId, past: &Setup) -> Option<Box<ThreadSettings>> {
        let settings = self.recall.as_ref()?.settings(self.agent.settings(thread)?, past)?;
        if let Front::Exec(exec) = &mut self.front {
            exec.recalled(&settings);
        }
        Some(Box::new(settings))
    }

    /// The app server, if that is the front.
    pub fn server(&mut self) -> Option<&mut AppServer> {
        match &mut self.front {
            Front::Exec(_) => None,
            Front::Server(server) => Some(server),
        }
    }

    /// Lets the app server, if that is the front, answer something of a thread.
    pub fn with_server(
        &mut self,
        thread: ThreadId,
        answer: impl FnOnce(&mut AppServer, Lent<'_>, &mut Output),
    ) {
        let Seam { agent, rollouts, front, output, .. } = self;
        if let Front::Server(server) = front {
            let path = rollouts.path(thread);
            answer(server, lent(agent, path, Some(thread), clock::wall_ms()), output);
        }
    }

    /// Whether the front of a server has no threads.
    pub fn is_deserted(&self) -> bool {
        match &self.front {
            Front::Exec(_) => false,
            Front::Server(server) => server.is_deserted(),
        }
    }

    /// A message with its images as far as they may be told; nothing if it holds them all itself.
    fn shown(&self, items: &[Item], index: ItemIndex) -> Option<Item> {
        let Item::Message(message) = items.get(index.0 as usize)? else { return None };
        let is_whole = message.parts.iter().all(|part| part.kept().is_none());
        if is_whole || self.output.stdout.len() > OUTPUT_QUEUE_BYTES_HIGH {
            return None;
        }
        let (album, mut room) = (&self.rollouts.album, TOLD_IMAGES_BYTES_MAX);
        let mut shown = message.clone();
        for part in &mut shown.parts {
            if let Part::Image(Image::Kept(kept)) = *part
                && kept.url_bytes as usize <= room
                && let Ok(url) = album.url(kept)
            {
                room -= url.len();
                *part = Part::Image(url.into());
            }
        }
        Some(Item::Message(shown))
    }

    fn tell(&mut self, now: Now, to: Audience, event: &Event) {
        let thread = match to {
            Audience::Thread(thread) | Audience::Child { child: thread, .. } => Some(thread),
            Audience::Front(_) => None,
        };
        let items = thread.map_or(&[][..], |thread| self.agent.items(thread));
        let prompt = match (event, &self.front) {
            (Event::PromptTaken { item }, Front::Server(_)) => self.shown(items, *item),
            _ => None,
        };
        match &mut self.front {
            Front::Exec(exec) => {
                if let Event::ThreadStarted { .. } = event {
                    self.thread = thread;
                }
                exec.told(event, items, &mut self.output);
            }
            Front::Server(server) => {
                if let (Some(thread), Event::ThreadStarted { conversation, .. }) = (thread, event) {
                    self.rollouts.foresee(thread, *conversation, now.wall_ms);
                }
                // A child is told of in its parent's name.
                let named = match to {
                    Audience::Child { parent, .. } => Some(parent),
                    Audience::Thread(_) | Audience::Front(_) => thread,
                };
                // Told with the thread alone; there are many events and many rollouts.
                let path = thread
                    .filter(|_| matches!(event, Event::ThreadStarted { .. }))
                    .and_then(|thread| self.rollouts.path(thread));
                let lent = lent(&self.agent, path, thread, now.wall_ms);
                let lent = Lent { prompt: prompt.as_ref(), ..lent };
                if let (Some(named), Event::TurnEnded { .. } | Event::ThreadClosed) = (named, event)
                    && let Some(diff) = self.diffs.finish(named)
                {
                    server.diffed(named, &diff, lent, &mut self.output);
                }
                if let Some(named) = named
                    && asks(event, self.effects.iter().next())
                {
                    server.foresee_question(named, &mut self.output);
                }
                server.told(named, event, lent, &mut self.output);
            }
        }
        if let Some(status) = &mut self.status {
            status.told(event, now.mono_ms);
        }
        if let Some(notifier) = &mut self.notifier {
            self.completed.extend(notifier.told(event, items));
        }
    }
}

/// What the front is lent beside something of a thread.
fn lent<'a>(
    agent: &'a Agent,
    path: Option<&'a Path>,
    thread: Option<ThreadId>,
    wall_ms: u64,
) -> Lent<'a> {
    let record = thread.and_then(|thread| agent.record_view(thread));
    Lent {
        conversation: record.map(|record| record.conversation),
        settings: record.map(|record| record.settings),
        git: record.and_then(|record| record.git),
        turn: thread.and_then(|thread| agent.turn_name(thread)),
        items: thread.map_or(&[], |thread| agent.items(thread)),
        partial: thread.map_or("", |thread| agent.partial_text(thread)),
        partial_reasoning: thread.map_or("", |thread| agent.partial_reasoning(thread)),
        prompt: None,
        spent: thread.and_then(|thread| agent.spent(thread)),
        rollout: path.and_then(|path| path.to_str()),
        wall_ms,
        shown: shown_as,
    }
}

/// Whether a call that begins waits for a person, as what is told next says.
fn asks(event: &Event, next: Option<&Effect>) -> bool {
    match (event, next) {
        (
            Event::CommandStarted { call, .. } | Event::PatchStarted { call, .. },
            Some(Effect::Notify { event: Event::ApprovalAsked { call: asked, .. }, .. }),
        ) => call == asked,
        _ => false,
    }
}

/// Counts a record among the lost.
fn note(lost: &mut Lost, record: &Record) {
    match record {
        Record::Meta => lost.meta = true,
        Record::TurnStarted { .. } => lost.beginning = true,
        Record::TurnEnded { .. } | Record::TurnAborted { .. } => lost.end = true,
        Record::Compacted { .. } => lost.compacted = true,
        Record::Item(item) => {
            let first = lost.items_from.get_or_insert(*item);
            *first = (*first).min(*item);
        }
        Record::TurnContext
        | Record::UserMessage(_)
        | Record::AgentMessage(_)
        | Record::AgentReasoning(_)
        | Record::TokenCount { .. }
        | Record::ReviewEntered { .. }
        | Record::ReviewExited { .. }
        | Record::TurnFailed { .. } => {}
    }
}
