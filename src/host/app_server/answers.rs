//! Requests that need the place and not the machine: answered at once, or later by what they start.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::credentials::{self, KeyFromEnv};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::codec::{Text, Typed};
use crate::fronts::app_server::types::methods::{ClientRequest, ServerNotification};
use crate::fronts::app_server::types::v1::{FuzzyFileSearchParams, RequestId};
use crate::fronts::app_server::types::v2;
use crate::fronts::app_server::types::v2_items::CommandExecOutputDeltaNotification;
use crate::host::app_server::client::Client;
use crate::host::app_server::errands::{Errands, Event, Reach, Ticket};
use crate::host::app_server::searching::Search;
use crate::host::app_server::shelves::Shelves;
use crate::host::app_server::{Surroundings, accounts, config, feedback, lists};
use crate::host::disk::auth;
use crate::host::poller::Key;
use crate::host::seam::Front;
use crate::host::{Host, clock};
use crate::limits::{ERRANDS_MAX, SEARCHES_MAX};
use crate::words::policy::SandboxPolicy;

/// Requests that are answered later.
#[derive(Debug)]
pub struct Waiting {
    errands: Errands,
    tickets: BTreeMap<u64, RequestId>,
    next_ticket: u64,
    searches: Vec<(RequestId, Search)>,
    pub(super) shelves: Shelves,
}

impl Waiting {
    /// `cwd` and `sandbox` are those of commands that say nothing else.
    pub fn new(cwd: &str, sandbox: &SandboxPolicy) -> Waiting {
        Waiting {
            errands: Errands::new(cwd, sandbox),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            searches: Vec::new(),
            shelves: Shelves::default(),
        }
    }

    /// Whether anything is to be done that no event tells of.
    pub fn is_searching(&self) -> bool {
        !self.searches.is_empty() || self.shelves.is_stepping()
    }

    /// Whether a request still waits for its answer.
    pub fn is_empty(&self) -> bool {
        self.searches.is_empty() && self.tickets.is_empty() && self.shelves.jobs.is_empty()
    }

    fn ticket(&mut self, id: RequestId) -> Result<Ticket, Failure> {
        if self.tickets.len() == ERRANDS_MAX {
            return Err(Failure::refused("too many requests are in progress"));
        }
        self.next_ticket += 1;
        self.tickets.insert(self.next_ticket, id);
        Ok(Ticket(self.next_ticket))
    }
}

impl Host {
    pub(super) fn answer_request(&mut self, id: RequestId, request: ClientRequest) {
        if let Err(failure) = self.try_answer(&id, request) {
            self.fail_request(&id, &failure);
        }
    }

    fn try_answer(&mut self, id: &RequestId, request: ClientRequest) -> Result<(), Failure> {
        let Some(server) = &self.server else { return Ok(()) };
        let base = server.base.clone();
        let around = Surroundings::of(&base);
        match request {
            ClientRequest::Initialize(params) => {
                let client = Client::new(&around, &params.client_info);
                let welcome = client.welcome(&around)?;
                if let Some(server) = &mut self.server {
                    server.client = Some(client);
                }
                self.answered(id, &welcome);
            }
            ClientRequest::GetUserAgent => {
                let agent = server.client.as_ref().map(Client::user_agent);
                match agent {
                    Some(agent) => self.answered(id, &agent),
                    None => return Err(Failure::refused("Not initialized")),
                }
            }
            ClientRequest::ModelList(params) => {
                self.answered(id, &lists::models(&around, &params)?);
            }
            ClientRequest::ExperimentalFeatureList(params) => {
                self.answered(id, &lists::features(&around, &params)?);
            }
            ClientRequest::ListMcpServerStatus(_) => {
                let (data, next_cursor) = (Vec::new(), None);
                self.answered(id, &v2::ListMcpServerStatusResponse { data, next_cursor });
            }
            ClientRequest::ConfigRead(params) => {
                self.answered(id, &config::read(&around, &params)?);
            }
            ClientRequest::ConfigValueWrite(params) => {
                self.answered(id, &config::write_value(&around, &params)?);
            }
            ClientRequest::ConfigBatchWrite(params) => {
                self.answered(id, &config::write_batch(&around, &params)?);
            }
            ClientRequest::SetDefaultModel(params) => {
                self.answered(id, &config::set_default_model(&around, &params)?);
            }
            ClientRequest::GetUserSavedConfig => self.answered(id, &config::saved(&around)?),
            ClientRequest::FeedbackUpload(params) => {
                self.answered(id, &feedback::upload(&around, &params)?);
            }
            request => return self.answer_of_account(id, &around, request),
        }
        Ok(())
    }

    fn answer_of_account(
        &mut self,
        id: &RequestId,
        around: &Surroundings<'_>,
        request: ClientRequest,
    ) -> Result<(), Failure> {
        match request {
            ClientRequest::GetAccount(_) => self.answered(id, &accounts::read(around)?),
            ClientRequest::GetAccountRateLimits => {
                let limits = self.seam.server().and_then(|front| front.limits.clone());
                self.answered(id, &accounts::rate_limits(around, limits)?);
            }
            ClientRequest::LoginAccount(params) => {
                let (response, told) = accounts::login(around, &params)?;
                self.login_changed(id, &response, &told);
            }
            ClientRequest::CancelLoginAccount(params) => {
                self.answered(id, &accounts::cancel(&params));
            }
            ClientRequest::LogoutAccount => {
                let (response, told) = accounts::logout(around)?;
                self.login_changed(id, &response, &told);
            }
            ClientRequest::LoginApiKey(params) => {
                let (response, told) = accounts::login_api_key(around, &params)?;
                self.login_changed(id, &response, &told);
            }
            ClientRequest::LogoutChatGpt => {
                let (response, told) = accounts::logout_chatgpt(around)?;
                self.login_changed(id, &response, &told);
            }
            ClientRequest::LoginChatGpt => self.answered(id, &accounts::login_chatgpt()?),
            ClientRequest::CancelLoginChatGpt(params) => {
                self.answered(id, &accounts::cancel_chatgpt(&params)?);
            }
            ClientRequest::GetAuthStatus(params) => {
                self.answered(id, &accounts::status(around, &params)?);
            }
            ClientRequest::UserInfo => self.answered(id, &accounts::user(around)?),
            request => {
                return match self.begin_recorded(id, request)? {
                    Some(request) => self.start_errand(id, request),
                    None => Ok(()),
                };
            }
        }
        Ok(())
    }

    /// Starts what will answer later.
    fn start_errand(&mut self, id: &RequestId, request: ClientRequest) -> Result<(), Failure> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let waiting = &mut server.waiting;
        let now_ms = clock::mono_ms();
        let Host { poller, children, starter, .. } = self;
        let mut reach = Reach { poller, children, starter, now_ms };
        let one_offs = &mut waiting.errands.one_offs;
        match request {
            ClientRequest::FuzzyFileSearch(params) => return self.search(id, params),
            ClientRequest::CommandExecWrite(params) => {
                one_offs.write(reach.children, &params)?;
                self.answered(id, &v2::CommandExecWriteResponse {});
                return Ok(());
            }
            ClientRequest::CommandExecTerminate(params) => {
                one_offs.terminate(reach.children, &params)?;
                self.answered(id, &v2::CommandExecTerminateResponse {});
                return Ok(());
            }
            ClientRequest::CommandExecResize(params) => {
                one_offs.resize(reach.children, &params)?;
                self.answered(id, &v2::CommandExecResizeResponse {});
                return Ok(());
            }
            ClientRequest::CommandExec(_)
            | ClientRequest::ExecOneOffCommand(_)
            | ClientRequest::GitDiffToRemote(_) => {}
            request => {
                let text = format!("{} is not supported", request.method());
                return Err(Failure::refused(text));
            }
        }
        let ticket = waiting.ticket(id.clone())?;
        let Waiting { errands, tickets, .. } = waiting;
        let begun = match request {
            ClientRequest::CommandExec(params) => {
                errands.one_offs.begin(&mut reach, ticket, params)
            }
            ClientRequest::ExecOneOffCommand(params) => {
                errands.one_offs.begin_first(&mut reach, ticket, params)
            }
            ClientRequest::GitDiffToRemote(params) => {
                errands.diffs.begin(&mut reach, ticket, &params)
            }
            _ => Ok(()),
        };
        if begun.is_err() {
            tickets.remove(&ticket.0);
        }
        begun?;
        self.tell_errands();
        Ok(())
    }

    fn search(&mut self, id: &RequestId, params: FuzzyFileSearchParams) -> Result<(), Failure> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let searches = &mut server.waiting.searches;
        let search = Search::begin(params);
        let given_up: Vec<(RequestId, Search)> = match search.token() {
            None => Vec::new(),
            Some(token) => {
                searches.extract_if(.., |(_, known)| known.token() == Some(token)).collect()
            }
        };
        let is_full = searches.len() == SEARCHES_MAX;
        if !is_full {
            searches.push((id.clone(), search));
        }
        for (id, search) in given_up {
            self.answered(&id, &search.give_up());
        }
        if is_full { Err(Failure::refused("too many searches are in progress")) } else { Ok(()) }
    }

    /// Searches on, a slice of each.
    pub(crate) fn search_on(&mut self) {
        let Some(server) = &mut self.server else { return };
        let mut found = Vec::new();
        server.waiting.searches.retain_mut(|(id, search)| match search.step(u32::MAX) {
            None => true,
            Some(response) => {
                found.push((id.clone(), response));
                false
            }
        });
        for (id, response) in found {
            self.answered(&id, &response);
        }
    }

    pub(crate) fn on_program(&mut self, key: Key) {
        self.with_errands(|errands, reach| errands.on_ready(reach, key));
    }

    pub(crate) fn on_errand_deadline(&mut self) {
        self.with_errands(|errands, reach| errands.on_deadline(reach));
    }

    pub(crate) fn errand_deadline(&self) -> Option<u64> {
        self.server.as_ref()?.waiting.errands.next_deadline(&self.children)
    }

    /// Whoever takes no answers is sent no output.
    pub(crate) fn hold_errands(&mut self, hold: bool) {
        self.with_errands(|errands, reach| {
            if hold {
                errands.pause(reach.children);
            } else {
                errands.resume(reach);
            }
        });
    }

    fn with_errands(&mut self, act: impl FnOnce(&mut Errands, &mut Reach<'_>)) {
        let now_ms = clock::mono_ms();
        let Host { poller, children, starter, server, .. } = self;
        let Some(server) = server else { return };
        act(&mut server.waiting.errands, &mut Reach { poller, children, starter, now_ms });
        self.tell_errands();
    }

    fn tell_errands(&mut self) {
        while let Some(waiting) = self.server.as_mut().map(|server| &mut server.waiting) {
            let Some(event) = waiting.errands.pull() else { return };
            match event {
                Event::Output { process_id, stream, bytes, cap_reached } => {
                    let delta_base64: Text = STANDARD.encode(&bytes).into();
                    let told = CommandExecOutputDeltaNotification {
                        process_id,
                        stream,
                        delta_base64,
                        cap_reached,
                    };
                    self.notify_client(&ServerNotification::CommandExecOutputDelta(told));
                }
                Event::Ended { ticket, result } => self.errand_ended(ticket, result),
                Event::Diffed { ticket, result } => self.errand_ended(ticket, result),
            }
        }
    }

    fn errand_ended(&mut self, ticket: Ticket, result: Result<impl Typed, Failure>) {
        let Some(server) = &mut self.server else { return };
        let Some(id) = server.waiting.tickets.remove(&ticket.0) else { return };
        match result {
            Ok(response) => self.answered(&id, &response),
            Err(failure) => self.fail_request(&id, &failure),
        }
    }

    /// Answers, tells of it, and has every request of the model sent with what is stored now.
    fn login_changed(
        &mut self,
        id: &RequestId,
        response: &impl Typed,
        told: &[ServerNotification],
    ) {
        self.answered(id, response);
        for told in told {
            self.notify_client(told);
        }
        let env = |name: &str| std::env::var(name).ok();
        let home = self.home.clone();
        self.routes.refresh(|provider| {
            let login = home.as_deref().filter(|_| provider.requires_openai_auth);
            let stored = login.map(auth::read).transpose();
            let stored = stored.map_err(|failure| failure.to_string())?.flatten();
            credentials::resolve(provider, &env, KeyFromEnv::Honoured, stored.as_ref())
        });
        self.keep_out_credentials();
    }

    pub(super) fn answered(&mut self, id: &RequestId, response: &impl Typed) {
        if let Front::Server(front) = &mut self.seam.front {
            front.answer(id, response, &mut self.seam.output);
        }
    }

    pub(super) fn notify_client(&mut self, told: &ServerNotification) {
        if let Front::Server(front) = &mut self.seam.front {
            front.notify(told, &mut self.seam.output);
        }
    }
}
