//! One match: effect to deed.
//!
//! Deeds are performed in the order in which they were asked for. A deed that cannot even begin is
//! answered at once with its failure; every other answer comes from the loop.

use std::path::Path;

use crate::config::providers::Wire;
use crate::core::effect::{Effect, Stop};
use crate::core::input::{CommandEnded, CommandResult, Input};
use crate::host::loading::Loading;
use crate::host::net::Call;
use crate::host::proc::child::{Child, End, Purpose};
use crate::host::{Host, files, git, responses};
use crate::limits::CONNECT_MS;
use crate::wire::http::Method;
use crate::wire::url::Url;
use crate::words::call::Unread;
use crate::words::ids::{OpId, ThreadId};
use crate::words::model::{FailureKind, ModelEvent, ModelFailure};
use crate::words::policy::Confinement;
use crate::words::settings::OpeningFacts;

impl Host {
    /// Performs everything that is to be done now, and what that leads to.
    pub(crate) fn work(&mut self) {
        while let Some(deed) = self.seam.deeds.pop_front() {
            self.perform(deed);
        }
    }

    fn perform(&mut self, deed: Effect) {
        match deed {
            Effect::Append { .. } | Effect::Notify { .. } => {
                unreachable!("records and notices never reach the queue of deeds")
            }
            Effect::Open { op, thread } => self.open(op, thread),
            Effect::Restore { op, thread, which, course } => {
                let (home, keeping) = (self.home.as_deref(), self.seam.rollouts.keeping());
                let loading = Loading::begin(op, thread, &which, course, home, keeping);
                self.loading.push(loading);
            }
            Effect::Request { op, thread } => self.request(op, thread),
            Effect::Spawn { op, thread, command, confinement } => {
                let Some(settings) = self.seam.agent.settings(thread) else { return };
                let shared = self.children.shared(settings.sandbox.mode);
                let mut child = shared.and_then(|shared| {
                    self.starter.command(op, &command, settings, confinement, shared)
                });
                if self.server.is_some() {
                    child = child.map(Child::followed);
                }
                self.started(op, Purpose::of(command.life), child);
            }
            Effect::Write { op, chars, .. } => {
                if let Err(why) = self.children.write(op, &chars) {
                    self.seam.feed(Input::Unwritten { op, why });
                }
            }
            Effect::Collect { op, .. } => {
                if let Some(unread) = self.children.collect(op) {
                    self.seam.feed(Input::Yielded { op, unread });
                }
            }
            Effect::Look { op, thread, look } => {
                let request = files::request::look(&look);
                self.files(op, thread, Purpose::Look, &request, Confinement::Sandboxed);
            }
            Effect::Inspect { op, thread, patch } => {
                let request = files::request::inspect(&patch);
                self.files(op, thread, Purpose::Inspect, &request, Confinement::Sandboxed);
            }
            Effect::Apply { op, thread, patch, expected, confinement } => {
                if self.server.is_some() {
                    self.begin_diff(thread, &expected);
                }
                let Some(settings) = self.seam.agent.settings(thread) else { return };
                let ground = files::request::ground(settings, confinement);
                let request = files::request::apply(&patch, &expected, &ground);
                self.files(op, thread, Purpose::Apply, &request, confinement);
            }
            Effect::Stop { op, how } => self.stop(op, how),
            Effect::Release { thread } => {
                self.seam.rollouts.release(thread);
                self.routes.forget(thread);
            }
        }
    }

    fn open(&mut self, op: OpId, thread: ThreadId) {
        let Some(settings) = self.seam.agent.settings(thread) else { return };
        self.starter.hear_of(settings);
        let git = git::facts(Path::new(&*settings.cwd));
        self.begin_fork(op, thread, OpeningFacts { git });
    }

    fn request(&mut self, op: OpId, thread: ThreadId) {
        // What is being loaded is not the machine's yet.
        if self.seam.rollouts.album.is_crowded() && self.loading.is_empty() {
            self.seam.rollouts.album.sweep(&self.seam.agent.kept());
        }
        let begun = match &self.routes.of(thread).provider.wire {
            Wire::Responses | Wire::Chat => self.send(op, thread),
            Wire::Replay { .. } => self.play(op),
        };
        if let Err(failure) = begun {
            self.seam.feed(Input::Model { op, event: ModelEvent::Failed(failure) });
        }
    }

    /// Sends a request to the provider.
    fn send(&mut self, op: OpId, thread: ThreadId) -> Result<(), ModelFailure> {
        let setup = |text: String| ModelFailure::new(FailureKind::Setup, text);
        let route = self.routes.of(thread);
        let provider = &route.provider;
        let credentials = match &route.credentials {
            Ok(credentials) => credentials,
            Err(text) => {
                return Err(ModelFailure::new(FailureKind::Credentials, text.clone()));
            }
        };
        let Some(view) = self.seam.agent.request_view(op) else { return Ok(()) };
        let base = Url::parse(&credentials.base_url);
        let query: Vec<(&str, &str)> =
            provider.query_params.iter().map(|(name, value)| (&**name, &**value)).collect();
        self.seam.rollouts.album.verify(view.items);
        let dialect = route.dialect;
        let url = base.and_then(|base| base.join(dialect.path(), &query));
        let url = url.map_err(|error| {
            setup(format!("the address of the provider {}: {error}", provider.id))
        })?;
        let mut headers: Vec<(String, String)> = dialect
            .headers(&view, &self.user_agent)
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.into()))
            .collect();
        if let Some(token) = &credentials.token {
            headers.push(("authorization".into(), format!("Bearer {}", token.expose())));
        }
        if let Some(account) = &credentials.account_id {
            headers.push(("chatgpt-account-id".into(), account.to_string()));
        }
        for (name, value) in &provider.headers {
            headers.push((name.to_string(), value.expose().to_string()));
        }
        let idle_ms = view.settings.stream_idle_ms;
        let calls_count = view.items.len() as u32;
        let body_bytes = dialect.length(&view, self.seam.rollouts.album.lost());
        if let Some(recording) = &mut self.recording {
            recording.asked(op, &view);
        }
        let call = Call {
            method: Method::Post,
            url,
            headers,
            body_bytes,
            connect_ms: CONNECT_MS,
            idle_ms,
        };
        let now_ms = crate::host::clock::mono_ms();
        match self.net.start(&mut self.poller, now_ms, call, op.packed()) {
            Ok(exchange) => {
                self.responses.add(op, thread, exchange, dialect, calls_count);
                Ok(())
            }
            Err(failure) => Err(responses::failed_at_once(&failure)),
        }
    }

    fn files(
        &mut self,
        op: OpId,
        thread: ThreadId,
        purpose: Purpose,
        request: &[u8],
        confinement: Confinement,
    ) {
        let Some(settings) = self.seam.agent.settings(thread) else { return };
        let shared = self.children.shared(settings.sandbox.mode);
        let child = shared.and_then(|shared| {
            self.starter.files(op, purpose, request, settings, confinement, shared)
        });
        self.started(op, purpose, child);
    }

    /// Watches a child that was started, or answers for one that was not.
    fn started(&mut self, op: OpId, purpose: Purpose, child: std::io::Result<Child>) {
        let added = child.and_then(|child| self.children.add(&self.poller, child));
        if let Err(error) = added {
            let why = format!("it could not be started: {error}").into();
            self.child_ended(op, purpose, End::not_started(purpose, why));
        }
    }

    /// Tells the machine how a child ended.
    pub(crate) fn child_ended(&mut self, op: OpId, purpose: Purpose, end: End) {
        let input = match (purpose, end) {
            (_, End::Command(end)) => Input::Exited { op, end },
            (_, End::Session(end, unread)) => Input::SessionEnded { op, end, unread },
            (_, End::Reply(Err(CommandEnded::Signalled { .. }))) => Input::Stopped { op },
            (Purpose::Look | Purpose::Command | Purpose::Session, End::Reply(reply)) => {
                Input::Looked { op, result: read(reply, files::request::looked) }
            }
            (Purpose::Inspect, End::Reply(reply)) => {
                Input::Inspected { op, result: read(reply, files::request::inspected) }
            }
            (Purpose::Apply, End::Reply(reply)) => {
                Input::Applied { op, result: read(reply, files::request::applied) }
            }
        };
        let patched = match purpose {
            Purpose::Apply if self.server.is_some() => self.seam.agent.caller(op),
            _ => None,
        };
        self.seam.feed(input);
        if let Some((thread, _)) = patched {
            self.seam.diffs.applied(thread);
        }
    }

    /// Stops work of any kind; work that is gone is answered for.
    fn stop(&mut self, op: OpId, how: Stop) {
        if let Some(exchange) = self.responses.take(op) {
            self.net.cancel(exchange);
            self.seam.feed(Input::Stopped { op });
            return;
        }
        if self.children.stop(op, how) {
            return;
        }
        self.playing.retain(|(playing, _)| *playing != op);
        self.loading.retain(|loading| loading.op != op);
        self.forking.retain(|forking| forking.op != op);
        self.seam.feed(Input::Stopped { op });
    }
}

impl End {
    fn not_started(purpose: Purpose, why: Box<str>) -> End {
        let ended = CommandEnded::NotStarted { why };
        let end = |ended| CommandResult { ended, output: "".into(), lines_total: None };
        match purpose {
            Purpose::Command => End::Command(end(ended)),
            Purpose::Session => End::Session(end(ended), Unread::default()),
            Purpose::Look | Purpose::Inspect | Purpose::Apply => End::Reply(Err(ended)),
        }
    }
}

/// What `windlass-files` wrote, or how it ended without that.
type Reply = Result<Vec<u8>, CommandEnded>;

/// What the reply says, or why there is none.
fn read<Said>(reply: Reply, said: fn(&[u8]) -> Result<Said, Box<str>>) -> Result<Said, Box<str>> {
    said(&reply.map_err(no_reply)?)
}

fn no_reply(ended: CommandEnded) -> Box<str> {
    match ended {
        CommandEnded::NotStarted { why } => {
            format!("the files could not be looked at: {why}").into()
        }
        CommandEnded::Exited { .. } | CommandEnded::Signalled { .. } => {
            "the files could not be looked at: the reply is too long or broken".into()
        }
    }
}
