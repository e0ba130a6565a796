//! Requests about recorded conversations: what each looks for, and what it makes of what is found.

use std::path::{Path, PathBuf};

use crate::fronts::app_server::ask::How;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::past::{Told, Window};
use crate::fronts::app_server::recorded;
use crate::fronts::app_server::types::methods::{ClientRequest, ServerNotification};
use crate::fronts::app_server::types::v1::{self, RequestId};
use crate::fronts::app_server::types::v2;
use crate::fronts::app_server::types::v2_items::{
    ThreadArchivedNotification, ThreadUnarchivedNotification,
};
use crate::host::Host;
use crate::host::app_server::failed;
use crate::host::app_server::listed::{
    asked_id, head, is_archived, known, opening, turns_page, window,
};
use crate::host::app_server::shelves::{Got, Job, Reading, Seeking, Stage};
use crate::host::disk::shelf::Shelf;
use crate::host::disk::shelving::Taken;
use crate::limits::{NAME_BYTES_MAX, SHELVES_JOBS_MAX};
use crate::words::command::Which;

const BOTH: &[Shelf] = &[Shelf::Dated, Shelf::Archive];

impl Host {
    /// Begins what answers a request about recorded conversations; others are given back.
    pub(super) fn begin_recorded(
        &mut self,
        id: &RequestId,
        request: ClientRequest,
    ) -> Result<Option<ClientRequest>, Failure> {
        let stage = match &request {
            ClientRequest::ThreadList(params) => self.list_threads(params)?,
            ClientRequest::ListConversations(params) => self.list_conversations(params)?,
            ClientRequest::ThreadRead(params) => {
                let with_turns = params.include_turns.0;
                match self.read_loaded(id, &params.thread_id, with_turns)? {
                    Some(stage) => stage,
                    None => return Ok(None),
                }
            }
            ClientRequest::ThreadTurnsList(params) => {
                let window = window(params)?;
                self.past_of(&params.thread_id, window)?
            }
            ClientRequest::GetConversationSummary(params) => match params {
                v1::GetConversationSummaryParams::ByRolloutPath(by) => {
                    let session = head(Path::new(&*by.rollout_path), false)?;
                    self.answer_summary(id, &session);
                    return Ok(None);
                }
                v1::GetConversationSummaryParams::ByConversationId(by) => {
                    self.seek(&by.conversation_id, BOTH)?
                }
            },
            ClientRequest::ThreadArchive(params) => self.archived(&params.thread_id)?,
            ClientRequest::ArchiveConversation(params) => self.archived(&params.conversation_id)?,
            ClientRequest::ThreadUnarchive(params) => {
                self.seek(&params.thread_id, &[Shelf::Archive])?
            }
            ClientRequest::ThreadSetName(params) => {
                let name = params.name.trim();
                if name.is_empty() || name.len() > NAME_BYTES_MAX {
                    let text = format!("name: expected 1 to {NAME_BYTES_MAX} bytes");
                    return Err(Failure::refused(text));
                }
                if self.loaded(&params.thread_id).is_some() {
                    self.set_name(id, &params.thread_id, name)?;
                    return Ok(None);
                }
                self.seek(&params.thread_id, BOTH)?
            }
            _ => return Ok(Some(request)),
        };
        self.add_job(id, request, stage)?;
        Ok(None)
    }

    /// Reads what is recorded before a thread is opened from it.
    pub(super) fn seek_past(
        &mut self,
        id: &RequestId,
        request: &ClientRequest,
        which: &Which,
    ) -> Result<(), Failure> {
        let loaded = match request {
            ClientRequest::ThreadResume(params) => self.loaded(&params.thread_id),
            ClientRequest::ThreadFork(params) => self.loaded(&params.thread_id),
            _ => None,
        };
        let recorded = loaded.and_then(|thread| self.seam.rollouts.path(thread));
        if let (ClientRequest::ThreadResume(_), Some(thread)) = (request, loaded)
            && !recorded.is_some_and(Path::exists)
        {
            self.seam.with_server(thread, |front, lent, out| {
                front.open_again(id, thread, (Vec::new(), None), lent, out);
            });
            return Ok(());
        }
        let stage = match (recorded.map(Path::to_owned), which) {
            (Some(path), _) if path.exists() => {
                let runs = loaded.is_some_and(|thread| self.is_busy(thread));
                opening(path, request, runs).map_err(failed)?
            }
            (_, Which::Path(path)) => {
                let path = PathBuf::from(&**path);
                let reading = opening(path, request, false);
                reading.map_err(|failure| Failure::refused(failure.to_string()))?
            }
            (_, Which::Id(conversation)) => {
                Seeking::begin(self.home()?, *conversation, &[Shelf::Dated]).map_err(failed)?
            }
            (_, Which::Last { .. } | Which::Part { .. }) => {
                return Err(Failure::internal("nobody asks for the last"));
            }
        };
        self.add_job(id, request.clone(), stage)
    }

    /// Goes on with one job; those behind it begin when it is over, so that one rollout is held
    /// at a time.
    pub(crate) fn shelve_on(&mut self) {
        // Whoever reads no answers is made no more.
        if self.is_held {
            return;
        }
        let count = self.server.as_ref().map_or(0, |own| own.waiting.shelves.jobs.len());
        // Those that wait for a thread to close go on when it has.
        for _ in 0..count {
            let jobs = self.server.as_mut().map(|own| &mut own.waiting.shelves.jobs);
            let Some(mut job) = jobs.and_then(|jobs| jobs.pop_front()) else { return };
            let (stepped, is_slice) = match &mut job.stage {
                Stage::Closing { thread, path } => {
                    let (thread, path) = (*thread, path.clone());
                    let is_open =
                        self.is_loaded(thread) || self.seam.rollouts.path(thread).is_some();
                    let got = (!is_open).then_some(Got::Path(path, Shelf::Dated));
                    (Ok(got), false)
                }
                stage => (stage.step(), true),
            };
            match stepped {
                Ok(None) if is_slice => {
                    if let Some(server) = &mut self.server {
                        server.waiting.shelves.jobs.push_front(job);
                    }
                }
                Ok(None) => self.keep_job(job),
                Ok(Some(got)) => {
                    let id = job.id.clone();
                    if let Err(failure) = self.got(job, got) {
                        self.fail_request(&id, &failure);
                    }
                    self.work();
                }
                Err(failure) => self.fail_request(&job.id, &failed(failure)),
            }
            if is_slice {
                return;
            }
        }
    }

    fn add_job(
        &mut self,
        id: &RequestId,
        request: ClientRequest,
        stage: Stage,
    ) -> Result<(), Failure> {
        let Some(server) = &self.server else { return Ok(()) };
        if server.waiting.shelves.jobs.len() >= SHELVES_JOBS_MAX {
            return Err(Failure::refused("too many requests are in progress"));
        }
        self.keep_job(Job { id: id.clone(), request: Box::new(request), stage });
        Ok(())
    }

    fn keep_job(&mut self, job: Job) {
        if let Some(server) = &mut self.server {
            server.waiting.shelves.jobs.push_back(job);
        }
    }

    /// A stage has ended: answers, or begins the next.
    fn got(&mut self, mut job: Job, got: Got) -> Result<(), Failure> {
        let request = std::mem::replace(&mut job.request, Box::new(ClientRequest::GetUserAgent));
        match (*request, got) {
            (ClientRequest::ThreadList(params), Got::Page(page)) => {
                self.answer_list(&job.id, &params, page)
            }
            (ClientRequest::ListConversations(_), Got::Page(page)) => {
                let provider = self.default_provider();
                let items =
                    page.sessions.iter().map(|one| recorded::summary(one, &provider)).collect();
                let next_cursor = page.next.map(|cursor| cursor.to_string().into());
                self.answered(&job.id, &v1::ListConversationsResponse { items, next_cursor });
                Ok(())
            }
            (request @ (ClientRequest::ThreadResume(_) | ClientRequest::ThreadFork(_)), got) => {
                self.opened(job, request, got)
            }
            (request, Got::Missing) => {
                let id = asked_id(&request).unwrap_or_default();
                Err(Failure::refused(format!("no rollout found for thread id {id}")))
            }
            (request, Got::Path(path, shelf)) => self.found(job, request, &path, shelf),
            (request, Got::Told(path, told)) => self.told(&job.id, &request, &path, *told),
            (request, Got::Page(_)) => {
                Err(Failure::internal(format!("{} lists nothing", request.method())))
            }
        }
    }

    fn found(
        &mut self,
        mut job: Job,
        request: ClientRequest,
        path: &Path,
        shelf: Shelf,
    ) -> Result<(), Failure> {
        let is_archived = shelf == Shelf::Archive;
        match &request {
            ClientRequest::ThreadRead(params) if !params.include_turns.0 => {
                let thread = self.recorded_thread(&head(path, is_archived)?);
                self.answered(&job.id, &v2::ThreadReadResponse { thread });
            }
            ClientRequest::ThreadRead(_) => {
                job.stage =
                    Reading::begin(path.to_owned(), Window::newest(), false).map_err(failed)?;
                self.keep_job(Job { request: Box::new(request), ..job });
            }
            ClientRequest::ThreadTurnsList(params) => {
                let window = window(params)?;
                job.stage = Reading::begin(path.to_owned(), window, false).map_err(failed)?;
                self.keep_job(Job { request: Box::new(request), ..job });
            }
            ClientRequest::GetConversationSummary(_) => {
                self.answer_summary(&job.id, &head(path, is_archived)?);
            }
            ClientRequest::ThreadArchive(params) => {
                self.put_away(path)?;
                self.answered(&job.id, &v2::ThreadArchiveResponse {});
                let thread_id = params.thread_id.clone();
                let told = ThreadArchivedNotification { thread_id };
                self.notify_client(&ServerNotification::ThreadArchived(told));
            }
            ClientRequest::ArchiveConversation(params) => {
                let asked = Path::new(&*params.rollout_path).canonicalize().ok();
                if asked.is_none() || asked != path.canonicalize().ok() {
                    let text = "the rollout path is not that of the conversation";
                    return Err(Failure::refused(text));
                }
                self.put_away(path)?;
                self.answered(&job.id, &v1::ArchiveConversationResponse {});
            }
            ClientRequest::ThreadUnarchive(params) => {
                let home = self.home()?.to_owned();
                let taken = Taken::take(&home, &[Shelf::Archive], path);
                let taken = taken.map_err(|failure| Failure::refused(failure.to_string()))?;
                let path = taken.put(&home, Shelf::Dated).map_err(failed)?;
                let thread = self.recorded_thread(&head(&path, false)?);
                self.answered(&job.id, &v2::ThreadUnarchiveResponse { thread });
                let thread_id = params.thread_id.clone();
                let told = ThreadUnarchivedNotification { thread_id };
                self.notify_client(&ServerNotification::ThreadUnarchived(told));
            }
            ClientRequest::ThreadSetName(params) => {
                self.set_name(&job.id, &params.thread_id, params.name.trim())?;
            }
            other => {
                return Err(Failure::internal(format!("{} finds nothing", other.method())));
            }
        }
        Ok(())
    }

    /// A rollout was read through.
    fn told(
        &mut self,
        id: &RequestId,
        request: &ClientRequest,
        path: &Path,
        told: Told,
    ) -> Result<(), Failure> {
        match request {
            ClientRequest::ThreadRead(params) => {
                if let Some(thread) = self.loaded(&params.thread_id) {
                    return self.answer_read(id, thread, told.turns);
                }
                let mut thread = self.recorded_thread(&head(path, is_archived(path))?);
                thread.model = told.model;
                thread.reasoning_effort = told.effort;
                thread.turns = told.turns;
                self.answered(id, &v2::ThreadReadResponse { thread });
            }
            ClientRequest::ThreadTurnsList(params) => {
                self.answered(id, &turns_page(params, told));
            }
            other => {
                return Err(Failure::internal(format!("{} reads nothing", other.method())));
            }
        }
        Ok(())
    }

    /// What a thread is to be opened from was found or read.
    fn opened(&mut self, mut job: Job, request: ClientRequest, got: Got) -> Result<(), Failure> {
        let (how, thread_id) = match &request {
            ClientRequest::ThreadFork(params) => (How::Fork, params.thread_id.clone()),
            ClientRequest::ThreadResume(params) => (How::Resume, params.thread_id.clone()),
            other => return Err(Failure::internal(format!("{} opens nothing", other.method()))),
        };
        match got {
            // The machine looks for it as well, and knows what to say.
            Got::Missing | Got::Page(_) => {
                let which = thread_id.parse().map(Which::Id);
                let which = which.map_err(|_| Failure::refused("thread not found"))?;
                self.open_from(job.id, &request, how, Some(which), None);
            }
            Got::Path(path, _) => {
                job.stage = opening(path, &request, false).map_err(failed)?;
                self.keep_job(Job { request: Box::new(request), ..job });
            }
            Got::Told(path, told) => {
                let until_bytes = told.until_bytes;
                if until_bytes == Some(0) {
                    return Err(Failure::refused("lastTurnId: the thread has no such turn"));
                }
                let open = self.loaded(&told.id).filter(|_| how == How::Resume);
                let name = told.id.parse().ok().and_then(|id| self.name_of(id));
                let known = known(*told, &request, name);
                if let Some(thread) = open {
                    let (id, turns) = (job.id, (known.past.turns, known.past.backwards));
                    self.seam.with_server(thread, |front, lent, out| {
                        front.open_again(&id, thread, turns, lent, out);
                    });
                    return Ok(());
                }
                let which = path.to_str().map(|path| match until_bytes {
                    Some(bytes) => Which::Part { path: path.into(), bytes },
                    None => Which::Path(path.into()),
                });
                let which = which.ok_or_else(|| Failure::refused("the path is not UTF-8"))?;
                self.open_from(job.id, &request, how, Some(which), Some(known));
            }
        }
        Ok(())
    }
}
