//! Opening threads and giving them prompts, with what the place has to do with it.

use std::borrow::Cow;
use std::path::Path;

use crate::config::args::Invocation;
use crate::config::credentials::{self, KeyFromEnv};
use crate::config::review;
use crate::fronts::Output;
use crate::fronts::app_server::ask::{Dialect, How, Opened, Said, Ticket, Waits};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::codec::{Fault, Json, Typed};
use crate::fronts::app_server::types::events::ResponseItem;
use crate::fronts::app_server::types::methods::ClientRequest;
use crate::fronts::app_server::types::v1::RequestId;
use crate::fronts::app_server::types::v2;
use crate::fronts::app_server::{AppServer, Lent};
use crate::host::app_server::histories;
use crate::host::app_server::listed::Known;
use crate::host::app_server::settings::{Overrides, TurnOverrides, settings_for, turn_overrides};
use crate::host::disk::config::Loaded;
use crate::host::{Host, clock, exec, git, images, recall};
use crate::limits::GIVEN_WAIT_MS;
use crate::words::command::{Command, Which};
use crate::words::ids::{ConversationId, ThreadId};
use crate::words::item::Part;
use crate::words::review::Target;
use crate::words::settings::ThreadSettings;

impl Host {
    pub(super) fn open_thread(
        &mut self,
        id: RequestId,
        request: &ClientRequest,
        how: How,
        which: Option<Which>,
    ) {
        if let (ClientRequest::ResumeConversation(_), Some(thread)) =
            (request, which.as_ref().and_then(|which| self.open_already(which)))
        {
            let resumed = |server: &mut AppServer, lent: Lent<'_>, out: &mut Output| {
                server.resumed_again(&id, thread, lent, out);
            };
            return self.seam.with_server(thread, resumed);
        }
        let recorded = match (request, &which) {
            (ClientRequest::ThreadResume(_) | ClientRequest::ThreadFork(_), Some(which)) => which,
            _ => return self.open_from(id, request, how, which, None),
        };
        if let Err(failure) = self.seek_past(&id, request, recorded) {
            self.fail_request(&id, &failure);
        }
    }

    /// Opens a thread, from what is known of its past if it has one.
    pub(super) fn open_from(
        &mut self,
        id: RequestId,
        request: &ClientRequest,
        how: How,
        which: Option<Which>,
        known: Option<Known>,
    ) {
        if let Err(failure) = self.try_open(&id, request, how, which, known) {
            self.fail_request(&id, &failure);
        }
    }

    fn try_open(
        &mut self,
        id: &RequestId,
        request: &ClientRequest,
        how: How,
        which: Option<Which>,
        known: Option<Known>,
    ) -> Result<(), Failure> {
        let Some(overrides) = overrides(request) else {
            return Err(Failure::internal("this opens no thread"));
        };
        let client = self.seam.server().and_then(|front| front.client_name());
        let mut overrides = overrides.by(client.as_deref().unwrap_or(""));
        let Some(server) = &self.server else { return Ok(()) };
        let loaded = match &known {
            Some(known) => settings_as_recorded(&server.base, &mut overrides, known)?,
            None => settings_for(&server.base, &overrides)?,
        };
        let place = self.route(&loaded)?;
        let settings = Box::new(loaded.resolved.settings);
        let past = known.map(|known| known.past).unwrap_or_default();
        let (dialect, is_ephemeral) = (Dialect::of(request), overrides.ephemeral);
        let sources = loaded.notes.iter().map(|path| path.to_string_lossy().into()).collect();
        let opened = Opened { how, dialect, is_ephemeral, sources, past };
        let waits = Waits::Opened(Box::new(opened));
        let ticket = Some(Ticket { id: id.clone(), waits });
        let which = match (which, told_past(request)?) {
            (None, Some(history)) => Some(Which::Path(self.record_history(&history, &settings)?)),
            (which, _) => which,
        };
        let command = match (how, which) {
            (How::Resume, Some(which)) => Command::Resume { settings, which },
            (How::Fork, Some(which)) => Command::Fork { settings, which },
            (How::Start | How::Resume | How::Fork, _) => Command::Start { settings },
        };
        if let Some(thread) = self.command(ticket, command) {
            self.routes.lead(thread, place);
            if overrides.ephemeral {
                self.seam.rollouts.forgo(thread);
            }
        }
        Ok(())
    }

    /// The thread that a recorded conversation is open as.
    fn open_already(&mut self, which: &Which) -> Option<ThreadId> {
        let threads = self.seam.server().map(|front| front.all()).unwrap_or_default();
        threads.into_iter().find(|thread| match which {
            Which::Id(id) => self.seam.agent.conversation(*thread) == Some(*id),
            Which::Path(path) => self.seam.rollouts.path(*thread) == Some(Path::new(&**path)),
            Which::Last { .. } | Which::Part { .. } => false,
        })
    }

    /// Records what a client says a conversation's past is, and says where.
    fn record_history(
        &self,
        history: &[ResponseItem],
        settings: &ThreadSettings,
    ) -> Result<Box<str>, Failure> {
        let wall_ms = clock::wall_ms();
        let random = clock::random().map_err(|error| Failure::internal(error.to_string()))?;
        let conversation = ConversationId::v7(wall_ms, random);
        let keeping = self.seam.rollouts.keeping();
        histories::record(keeping, conversation, history, settings, wall_ms)
    }

    /// The place of a thread's provider among the routes.
    fn route(&mut self, loaded: &Loaded) -> Result<usize, Failure> {
        let provider = &loaded.resolved.provider;
        let env = |name: &str| std::env::var(name).ok();
        let stored = exec::stored(&loaded.home, provider).map_err(Failure::internal)?;
        let credentials =
            || credentials::resolve(provider, &env, KeyFromEnv::Honoured, stored.as_ref());
        let place = self.routes.place(provider, credentials);
        self.keep_out_credentials();
        place.ok_or_else(|| Failure::refused("too many different providers are in use"))
    }

    pub(super) fn prompt_of_client(
        &mut self,
        ticket: Ticket,
        thread: ThreadId,
        input: Vec<Said>,
        request: Option<&ClientRequest>,
    ) {
        let id = ticket.id.clone();
        let parts: Vec<Part> = input
            .into_iter()
            .map(|said| match said {
                Said::Part(part) => part,
                Said::Local(path) => {
                    let album = &mut self.seam.rollouts.album;
                    images::part(Path::new(&*path), GIVEN_WAIT_MS, album)
                }
            })
            .collect();
        let changed = request.map(|request| self.changed(thread, request)).transpose();
        match changed {
            Err(failure) => return self.fail_request(&id, &failure),
            Ok(Some(Some(settings))) => {
                let settings = Box::new(settings);
                self.command(None, Command::Configure { thread, settings });
            }
            Ok(Some(None) | None) => {}
        }
        let command = match &ticket.waits {
            Waits::Steered { turn, .. } => Command::Steer { thread, turn: *turn, parts },
            Waits::Turn { .. }
            | Waits::Opened(_)
            | Waits::Reviewed { .. }
            | Waits::Stopped { .. }
            | Waits::Said { .. }
            | Waits::Aborted { .. }
            | Waits::Taken => Command::Prompt { thread, parts },
        };
        self.command(Some(ticket), command);
    }

    /// What the thread runs with from now on, if the request changes that.
    fn changed(
        &self,
        thread: ThreadId,
        request: &ClientRequest,
    ) -> Result<Option<ThreadSettings>, Failure> {
        let overrides = match request {
            ClientRequest::TurnStart(params) => TurnOverrides::of_turn(params)?,
            ClientRequest::SendUserTurn(params) => TurnOverrides::of_user_turn(params),
            _ => return Ok(None),
        };
        let Some(settings) = self.seam.agent.settings(thread) else { return Ok(None) };
        let is_same = overrides == TurnOverrides::default() && settings.output_schema.is_none();
        let Some(server) = self.server.as_ref().filter(|_| !is_same) else { return Ok(None) };
        let from = Overrides {
            cwd: Some(settings.cwd.clone()),
            model_provider: Some(settings.provider.clone()),
            ..Overrides::default()
        };
        let from = settings_for(&server.base, &from)?;
        turn_overrides(settings, &from, &overrides).map(Some)
    }

    pub(super) fn review_of_client(
        &mut self,
        id: RequestId,
        thread: ThreadId,
        target: &v2::ReviewTarget,
    ) {
        let Some(settings) = self.seam.agent.settings(thread).cloned() else {
            return self.fail_request(&id, &Failure::refused("thread not found"));
        };
        if let Some(name) = unnamed(target) {
            let failure = Failure::refused(format!("target.{name} must not be empty"));
            return self.fail_request(&id, &failure);
        }
        let cwd = settings.cwd.clone();
        let (target, said) = match target {
            v2::ReviewTarget::UncommittedChanges => (Target::Uncommitted, None),
            v2::ReviewTarget::BaseBranch { branch } => {
                (Target::Base { branch: branch.clone() }, None)
            }
            v2::ReviewTarget::Commit { sha, title } => {
                (Target::Commit { sha: sha.clone(), title: title.clone() }, None)
            }
            v2::ReviewTarget::Custom { instructions } => (Target::Custom, Some(instructions)),
        };
        let base = match &target {
            Target::Base { branch } => git::base(Path::new(&*cwd), branch),
            Target::Uncommitted | Target::Commit { .. } | Target::Custom => None,
        };
        let (prompt, hint) = match (review::request(&target, base.as_ref()), said) {
            (Some(request), _) => (request.prompt.into(), request.hint),
            (None, Some(said)) => (said.clone(), review::hint(said)),
            (None, None) => return self.fail_request(&id, &Failure::refused("target: empty")),
        };
        let parts = vec![Part::Text(prompt)];
        let ticket = Some(Ticket { id, waits: Waits::Reviewed { thread } });
        let settings = Box::new(review::settings(settings));
        self.command(ticket, Command::ReviewApart { thread, settings, parts, hint });
    }
}

/// The field that should name what to review, and is empty.
fn unnamed(target: &v2::ReviewTarget) -> Option<&'static str> {
    let (name, text) = match target {
        v2::ReviewTarget::UncommittedChanges => return None,
        v2::ReviewTarget::BaseBranch { branch } => ("branch", branch),
        v2::ReviewTarget::Commit { sha, .. } => ("sha", sha),
        v2::ReviewTarget::Custom { instructions } => ("instructions", instructions),
    };
    text.trim().is_empty().then_some(name)
}

/// The settings of a thread that goes on: where a client says nothing, as it was recorded.
fn settings_as_recorded(
    base: &Invocation,
    overrides: &mut Overrides,
    known: &Known,
) -> Result<Loaded, Failure> {
    // Where it began may be gone since.
    if overrides.cwd.is_none() && Path::new(&*known.cwd).is_dir() {
        overrides.cwd = Some(known.cwd.clone());
    }
    let mut loaded = settings_for(base, overrides)?;
    let settings = &loaded.resolved.settings;
    let is_same = known.provider.as_deref().is_none_or(|provider| *provider == *settings.provider);
    let asks = overrides.model.as_ref();
    if !is_same || asks.is_some_and(|model| Some(model) != known.model.as_ref()) {
        return Ok(loaded);
    }
    if let Some(model) = known.model.as_ref().filter(|model| ***model != *settings.model) {
        overrides.model = Some(model.clone());
        loaded = settings_for(base, overrides)?;
    }
    if !loaded.layers.is_asked("model_reasoning_effort") {
        recall::effort(&mut loaded.resolved.settings, known.effort.as_deref());
    }
    Ok(loaded)
}

/// What a client says its conversation's past is, if the request may say so.
fn told_past(request: &ClientRequest) -> Result<Option<Cow<'_, [ResponseItem]>>, Failure> {
    Ok(match request {
        ClientRequest::ResumeConversation(params) => params.history.as_deref().map(Cow::Borrowed),
        ClientRequest::ThreadResume(v2::ThreadResumeParams { history: Some(history), .. }) => {
            let decode = |item: &Json| ResponseItem::decode(item.as_str());
            let items: Result<Vec<ResponseItem>, Fault> = history.iter().map(decode).collect();
            Some(Cow::Owned(items.map_err(|fault| fault.within("params.history"))?))
        }
        _ => None,
    })
}

/// What a request that opens a thread says of its settings.
fn overrides(request: &ClientRequest) -> Option<Overrides> {
    match request {
        ClientRequest::ThreadStart(params) => Some(Overrides::of_start(params)),
        ClientRequest::ThreadResume(params) => Some(Overrides::of_resume(params)),
        ClientRequest::ThreadFork(params) => Some(Overrides::of_fork(params)),
        ClientRequest::NewConversation(params) => Some(Overrides::of_conversation(params)),
        ClientRequest::ResumeConversation(params) => {
            let overrides = params.overrides.as_ref();
            Some(overrides.map(Overrides::of_conversation).unwrap_or_default())
        }
        _ => None,
    }
}
