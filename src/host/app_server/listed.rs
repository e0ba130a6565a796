//! Pages and objects of what was recorded, as requests of clients want them.

use std::path::{Path, PathBuf};

use crate::config::args::{Invocation, Verb};
use crate::config::providers::DEFAULT_PROVIDER;
use crate::config::settings;
use crate::core::input::Input;
use crate::fronts::app_server::ask::Past;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::objects;
use crate::fronts::app_server::past::{Keeps, Told, Window};
use crate::fronts::app_server::recorded::{self, INTERACTIVE, viewed};
use crate::fronts::app_server::types::codec::Text;
use crate::fronts::app_server::types::methods::ClientRequest;
use crate::fronts::app_server::types::v1::{self, RequestId};
use crate::fronts::app_server::types::v2;
use crate::fronts::app_server::types::v2_items::{Thread, Turn};
use crate::host::app_server::shelves::{Pages, Reading, Seeking, Sieve, Stage};
use crate::host::app_server::{Surroundings, failed};
use crate::host::disk::listing::{self, Page};
use crate::host::disk::names::Names;
use crate::host::disk::shelf::{Found, Shelf};
use crate::host::disk::shelving::Taken;
use crate::host::disk::{self, config::layers_on};
use crate::host::seam::Front;
use crate::host::{FRONT, Host, clock};
use crate::limits::{PAGE_COUNT, PAGE_SESSIONS_MAX};
use crate::words::command::Command;
use crate::words::ids::{ConversationId, ThreadId};
use crate::words::session::{Cursor, Direction, Mark, Order, Session, Stamp, Wanted};

const BOTH: &[Shelf] = &[Shelf::Dated, Shelf::Archive];

/// What is known of a recorded conversation that is to be opened.
#[derive(Clone, PartialEq, Debug)]
pub struct Known {
    pub past: Past,
    /// What it was last recorded with, for what the client says nothing of.
    pub cwd: Text,
    pub model: Option<Text>,
    pub effort: Option<Text>,
    pub provider: Option<Text>,
}

impl Host {
    pub(super) fn home(&self) -> Result<&Path, Failure> {
        let missing = || Failure::refused("there is no home directory that could hold sessions");
        self.home.as_deref().ok_or_else(missing)
    }

    pub(super) fn loaded(&self, id: &str) -> Option<ThreadId> {
        match &self.seam.front {
            Front::Server(front) => front.loaded(id),
            Front::Exec(_) => None,
        }
    }

    pub(super) fn is_loaded(&self, thread: ThreadId) -> bool {
        matches!(&self.seam.front, Front::Server(front) if front.is_loaded(thread))
    }

    pub(super) fn is_busy(&self, thread: ThreadId) -> bool {
        matches!(&self.seam.front, Front::Server(front) if front.is_busy(thread))
    }

    /// The provider of whatever names none.
    pub(super) fn default_provider(&self) -> Text {
        let Some(server) = &self.server else { return DEFAULT_PROVIDER.into() };
        let base = Invocation { verb: Verb::Exec, ..server.base.clone() };
        let around = Surroundings::of(&base);
        let found = layers_on(around.machine, &base, around.env)
            .and_then(|(_, layers)| settings::provider(&base, &layers, around.env));
        // What cannot be configured is told where a thread is started.
        found.map_or(DEFAULT_PROVIDER.into(), |provider| provider.id.clone())
    }

    pub(super) fn list_threads(&self, params: &v2::ThreadListParams) -> Result<Stage, Failure> {
        let by = match params.sort_key {
            None | Some(v2::ThreadSortKey::CreatedAt) => Stamp::Created,
            Some(
                v2::ThreadSortKey::UpdatedAt
                | v2::ThreadSortKey::RecencyAt
                | v2::ThreadSortKey::SectionPosition,
            ) => Stamp::Updated,
        };
        let after = match params.cursor.as_deref() {
            None => None,
            Some(text) => Some(Cursor::read(text, by).ok_or_else(|| {
                let short: String = text.chars().take(80).collect();
                Failure::refused(format!("invalid cursor: {short:?}"))
            })?),
        };
        let cwds = match &params.cwd {
            None => Vec::new(),
            Some(v2::ThreadListCwdFilter::One(cwd)) => vec![cwd.clone()],
            Some(v2::ThreadListCwdFilter::Many(cwds)) => cwds.clone(),
        };
        let wanted = Wanted {
            archived: params.archived.unwrap_or(false),
            cwd: None,
            providers: self.providers(params.model_providers.as_deref()),
            sources: recorded::sources(params.source_kinds.as_deref()),
            search: params.search_term.clone().filter(|term| !term.trim().is_empty()),
            order: Order { by, direction: direction(params.sort_direction) },
        };
        let sieve = Sieve {
            cwds,
            originators: params.originators.clone().unwrap_or_default(),
            excluded: params.excluded_thread_ids.clone().unwrap_or_default(),
        };
        Pages::begin(self.home()?, wanted, sieve, after, count(params.limit)).map_err(failed)
    }

    pub(super) fn list_conversations(
        &self,
        params: &v1::ListConversationsParams,
    ) -> Result<Stage, Failure> {
        let wanted = Wanted {
            providers: self.providers(params.model_providers.as_deref()),
            sources: INTERACTIVE.map(Box::from).into(),
            ..Wanted::default()
        };
        // Early clients are not told that a cursor is none.
        let after = params.cursor.as_deref().and_then(|text| Cursor::read(text, Stamp::Created));
        let count = count(params.page_size);
        Pages::begin(self.home()?, wanted, Sieve::default(), after, count).map_err(failed)
    }

    /// Only those of the configured one, unless others are named.
    fn providers(&self, asked: Option<&[Text]>) -> Vec<Box<str>> {
        asked.map_or_else(|| vec![self.default_provider()], <[Text]>::to_vec)
    }

    pub(super) fn answer_list(
        &mut self,
        id: &RequestId,
        params: &v2::ThreadListParams,
        page: Page,
    ) -> Result<(), Failure> {
        let by = match params.sort_key {
            None | Some(v2::ThreadSortKey::CreatedAt) => Stamp::Created,
            Some(_) => Stamp::Updated,
        };
        let backwards = page.sessions.first().map(|session| Cursor::behind(session, by));
        // Nobody has sections here.
        let sessions = if params.section_id.is_some() { Vec::new() } else { page.sessions };
        let names = Names::read(self.home()?).map_err(failed)?;
        let provider = self.default_provider();
        let thread = |session: &Session| {
            let mut thread = recorded::thread(session, names.of(session.id), &provider);
            if let Front::Server(front) = &self.seam.front {
                front.update(&mut thread);
            }
            thread
        };
        let data = sessions.iter().map(thread).collect();
        let text = |cursor: Option<Cursor>| cursor.map(|cursor| cursor.to_string().into());
        let (next_cursor, backwards_cursor) = (text(page.next), text(backwards));
        self.answered(id, &v2::ThreadListResponse { data, next_cursor, backwards_cursor });
        Ok(())
    }

    /// Looks for the rollout of a conversation on these shelves.
    pub(super) fn seek(&self, id: &str, shelves: &'static [Shelf]) -> Result<Stage, Failure> {
        let short: String = id.chars().take(64).collect();
        let id = id.trim().parse::<ConversationId>();
        let id = id.map_err(|_| Failure::refused(format!("invalid thread id: {short}")))?;
        Seeking::begin(self.home()?, id, shelves).map_err(failed)
    }

    /// Reads the turns of a thread, loaded or not.
    pub(super) fn past_of(&self, id: &str, window: Window) -> Result<Stage, Failure> {
        let Some(thread) = self.loaded(id) else { return self.seek(id, BOTH) };
        match self.seam.rollouts.path(thread).filter(|path| path.exists()) {
            Some(path) => {
                Reading::begin(path.to_owned(), window, self.is_busy(thread)).map_err(failed)
            }
            None => Err(Failure::refused("nothing of the thread is recorded")),
        }
    }

    /// Reads a loaded thread's turns, or answers at once.
    pub(super) fn read_loaded(
        &mut self,
        id: &RequestId,
        thread_id: &str,
        with_turns: bool,
    ) -> Result<Option<Stage>, Failure> {
        let Some(thread) = self.loaded(thread_id) else {
            return self.seek(thread_id, BOTH).map(Some);
        };
        let is_recorded = self.seam.rollouts.path(thread).is_some_and(Path::exists);
        if with_turns && is_recorded {
            return self.past_of(thread_id, Window::newest()).map(Some);
        }
        self.answer_read(id, thread, Vec::new())?;
        Ok(None)
    }

    pub(super) fn answer_read(
        &mut self,
        id: &RequestId,
        thread: ThreadId,
        turns: Vec<Turn>,
    ) -> Result<(), Failure> {
        self.seam.with_server(thread, |front, lent, out| {
            if let Some(thread) = front.shown(thread, lent, turns) {
                front.answer(id, &v2::ThreadReadResponse { thread }, out);
            }
        });
        Ok(())
    }

    pub(super) fn answer_summary(&mut self, id: &RequestId, session: &Session) {
        let summary = recorded::summary(session, &self.default_provider());
        self.answered(id, &v1::GetConversationSummaryResponse { summary });
    }

    pub(super) fn recorded_thread(&self, session: &Session) -> Thread {
        let name = self.name_of(session.id);
        recorded::thread(session, name.as_deref(), &self.default_provider())
    }

    /// What a session is called; names that cannot be read are none.
    pub(super) fn name_of(&self, id: ConversationId) -> Option<Text> {
        let names = Names::read(self.home.as_deref()?).ok()?;
        names.of(id).map(Text::from)
    }

    pub(super) fn set_name(
        &mut self,
        id: &RequestId,
        thread_id: &str,
        name: &str,
    ) -> Result<(), Failure> {
        let home = self.home()?;
        let conversation = thread_id.trim().parse();
        let conversation = conversation.map_err(|_| Failure::refused("invalid thread id"))?;
        let names = Names::read(home).map_err(failed)?;
        names.set(home, conversation, name, clock::wall_ms()).map_err(failed)?;
        self.answered(id, &v2::ThreadSetNameResponse {});
        if let Front::Server(front) = &mut self.seam.front {
            front.renamed(thread_id, name, &mut self.seam.output);
        }
        Ok(())
    }

    /// Looks for the rollout that is to be put away; a thread that is loaded is closed first.
    pub(super) fn archived(&mut self, id: &str) -> Result<Stage, Failure> {
        let Some(thread) = self.loaded(id) else { return self.seek(id, &[Shelf::Dated]) };
        let path = self.seam.rollouts.path(thread).filter(|path| path.exists());
        let Some(path) = path.map(PathBuf::from) else {
            return Err(Failure::refused(format!("no rollout found for thread id {id}")));
        };
        if let Some(front) = self.seam.server() {
            front.archive(thread);
        }
        self.seam.feed(Input::Command { front: FRONT, command: Command::Close { thread } });
        Ok(Stage::Closing { thread, path })
    }

    pub(super) fn put_away(&self, path: &Path) -> Result<(), Failure> {
        let home = self.home()?;
        let taken = Taken::take(home, &[Shelf::Dated], path);
        let taken = taken.map_err(|failure| Failure::refused(failure.to_string()))?;
        taken.put(home, Shelf::Archive).map_err(failed)?;
        Ok(())
    }
}

/// What a client is to know of a conversation that is opened.
pub(super) fn known(told: Told, request: &ClientRequest, name: Option<Text>) -> Known {
    let first = if told.turns.is_empty() { told.turns_count + 1 } else { told.first_number };
    let (is_fork, is_without) = match request {
        ClientRequest::ThreadFork(params) => (true, params.exclude_turns.0),
        _ => (false, false),
    };
    let past = Past {
        turns: if is_without { Vec::new() } else { told.turns },
        backwards: (first > 1).then(|| first.to_string().into()),
        turns_count: told.turns_count,
        items_count: told.items_count,
        preview: told.preview,
        name: name.filter(|_| !is_fork),
        created_at: told.created_ms.filter(|_| !is_fork).map(objects::seconds),
        forked_from: if is_fork { Some(told.id) } else { told.forked_from },
    };
    Known { past, cwd: told.cwd, model: told.model, effort: told.effort, provider: told.provider }
}

/// Reads what a thread is opened from, as far as the request wants it.
pub(super) fn opening(
    path: PathBuf,
    request: &ClientRequest,
    runs: bool,
) -> Result<Stage, disk::Failure> {
    let window = match request {
        ClientRequest::ThreadResume(params) if params.exclude_turns.0 => Window::none(),
        _ => Window::newest(),
    };
    let last = match request {
        ClientRequest::ThreadFork(params) => params.last_turn_id.clone(),
        _ => None,
    };
    // What runs in the thread that is forked does not run in the fork.
    let is_fork = matches!(request, ClientRequest::ThreadFork(_));
    Reading::begin_until(path, window, runs && !is_fork, last)
}

/// Which turns a page holds: the newest first, unless it is asked for the oldest.
pub(super) fn window(params: &v2::ThreadTurnsListParams) -> Result<Window, Failure> {
    let number = match params.cursor.as_deref() {
        None => None,
        Some(text) => Some(text.parse::<u32>().map_err(|_| {
            let short: String = text.chars().take(40).collect();
            Failure::refused(format!("invalid cursor: {short:?}"))
        })?),
    };
    let count = count(params.limit);
    Ok(match direction(params.sort_direction) {
        Direction::NewestFirst => {
            let before = number.unwrap_or(u32::MAX);
            Window { after: 0, before, count, keeps: Keeps::Last }
        }
        Direction::OldestFirst => {
            let after = number.unwrap_or(0);
            Window { after, before: u32::MAX, count, keeps: Keeps::First }
        }
    })
}

pub(super) fn turns_page(
    params: &v2::ThreadTurnsListParams,
    told: Told,
) -> v2::ThreadTurnsListResponse {
    let first = told.first_number;
    let last = first + (told.turns.len() as u32).saturating_sub(1);
    let mut data: Vec<Turn> =
        told.turns.into_iter().map(|turn| viewed(turn, params.items_view)).collect();
    let cursor = |number: u32| Some(number.to_string().into());
    let (mut next_cursor, mut backwards_cursor) = (None, None);
    if !data.is_empty() {
        let (end, is_more) = match direction(params.sort_direction) {
            Direction::NewestFirst => (first, first > 1),
            Direction::OldestFirst => (last, last < told.turns_count),
        };
        next_cursor = cursor(end).filter(|_| is_more);
        backwards_cursor = cursor(if end == first { last } else { first });
    }
    if direction(params.sort_direction) == Direction::NewestFirst {
        data.reverse();
    }
    v2::ThreadTurnsListResponse { data, next_cursor, backwards_cursor }
}

/// The head of a rollout.
pub(super) fn head(path: &Path, archived: bool) -> Result<Session, Failure> {
    let mark = path.file_name().and_then(|name| name.to_str()).and_then(Mark::of);
    let missing = || Failure::internal(format!("{} holds no session", path.display()));
    let found = Found { path: path.to_owned(), mark: mark.ok_or_else(missing)? };
    listing::named(found, archived).map_err(failed)?.ok_or_else(missing)
}

/// Whether a rollout lies in the archive, by its path.
pub(super) fn is_archived(path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with("archived_sessions"))
}

/// The conversation that a request is about.
pub(super) fn asked_id(request: &ClientRequest) -> Option<&str> {
    match request {
        ClientRequest::ThreadRead(params) => Some(&params.thread_id),
        ClientRequest::ThreadTurnsList(params) => Some(&params.thread_id),
        ClientRequest::ThreadArchive(params) => Some(&params.thread_id),
        ClientRequest::ThreadUnarchive(params) => Some(&params.thread_id),
        ClientRequest::ThreadSetName(params) => Some(&params.thread_id),
        ClientRequest::ArchiveConversation(params) => Some(&params.conversation_id),
        ClientRequest::GetConversationSummary(
            v1::GetConversationSummaryParams::ByConversationId(by),
        ) => Some(&by.conversation_id),
        _ => None,
    }
}

fn direction(asked: Option<v2::SortDirection>) -> Direction {
    match asked {
        None | Some(v2::SortDirection::Desc) => Direction::NewestFirst,
        Some(v2::SortDirection::Asc) => Direction::OldestFirst,
    }
}

/// How long a page is to be.
fn count(asked: Option<u32>) -> usize {
    (asked.unwrap_or(PAGE_COUNT) as usize).clamp(1, PAGE_SESSIONS_MAX)
}
