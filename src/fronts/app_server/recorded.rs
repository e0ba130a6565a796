//! Recorded conversations in the words of both protocols, and how loaded ones show among them.

use std::collections::BTreeSet;

use crate::fronts::Output;
use crate::fronts::app_server::ask::{How, Past};
use crate::fronts::app_server::objects::{self, VERSION};
use crate::fronts::app_server::types::codec::{Maybe, Text};
use crate::fronts::app_server::types::methods::ServerNotification;
use crate::fronts::app_server::types::v1::{self, RequestId};
use crate::fronts::app_server::types::v2::ThreadSourceKind;
use crate::fronts::app_server::types::v2_items::{
    GitInfo, SessionSource, Thread, ThreadHistoryMode, ThreadItemKind,
    ThreadNameUpdatedNotification, ThreadStatus, Turn, TurnItemsView,
};
use crate::fronts::app_server::{AppServer, Lent};
use crate::wire::time;
use crate::words::ids::ThreadId;
use crate::words::session::{Heading, Session};

/// The sources that a list shows unless it is told otherwise: people talked to these.
pub const INTERACTIVE: [&str; 2] = ["cli", "vscode"];

/// A recorded conversation that is not loaded.
pub fn thread(session: &Session, name: Option<&str>, default_provider: &str) -> Thread {
    let heading = &session.heading;
    let id: Text = session.id.to_string().into();
    let updated_at = objects::seconds(session.updated_wall_ms);
    let created_at = time::read(&heading.created).map_or(updated_at, objects::seconds);
    Thread {
        session_id: id.clone(),
        id,
        forked_from_id: heading.forked_from.clone(),
        parent_thread_id: None,
        preview: heading.preview.clone(),
        ephemeral: false,
        section: None,
        section_entered_at: None,
        project_id: None,
        history_mode: ThreadHistoryMode::Paginated,
        model_provider: heading.provider.as_deref().unwrap_or(default_provider).into(),
        model: None,
        reasoning_effort: None,
        created_at,
        updated_at,
        recency_at: Some(updated_at),
        status: ThreadStatus::NotLoaded,
        path: Some(session.path.to_string_lossy().into()),
        cwd: heading.cwd.clone(),
        cli_version: heading.version.as_deref().unwrap_or(VERSION).into(),
        originator: heading.originator.clone(),
        source: match heading.source.as_deref() {
            Some("cli") => SessionSource::Cli,
            Some("vscode") => SessionSource::VSCode,
            Some("exec") => SessionSource::Exec,
            Some("mcp" | "appServer") => SessionSource::AppServer,
            Some(_) | None => SessionSource::Unknown,
        },
        thread_source: None,
        agent_nickname: None,
        agent_role: None,
        git_info: has_git(heading).then(|| GitInfo {
            sha: heading.commit.clone(),
            branch: heading.branch.clone(),
            origin_url: heading.origin.clone(),
        }),
        name: name.map(Text::from),
        turns: Vec::new(),
    }
}

/// The same for clients of the first protocol.
pub fn summary(session: &Session, default_provider: &str) -> v1::ConversationSummary {
    let heading = &session.heading;
    v1::ConversationSummary {
        conversation_id: session.id.to_string().into(),
        path: session.path.to_string_lossy().into(),
        preview: heading.preview.clone(),
        timestamp: Some(heading.created.clone()).filter(|created| !created.is_empty()),
        model_provider: heading.provider.as_deref().unwrap_or(default_provider).into(),
        cwd: heading.cwd.clone(),
        cli_version: heading.version.as_deref().unwrap_or(VERSION).into(),
        source: match heading.source.as_deref() {
            Some("cli") => v1::SessionSource::Cli,
            Some("vscode") => v1::SessionSource::VSCode,
            Some("exec") => v1::SessionSource::Exec,
            Some("mcp" | "appServer") => v1::SessionSource::Mcp,
            Some(_) | None => v1::SessionSource::Unknown,
        },
        git_info: has_git(heading).then(|| v1::ConversationGitInfo {
            sha: heading.commit.clone(),
            branch: heading.branch.clone(),
            origin_url: heading.origin.clone(),
        }),
    }
}

fn has_git(heading: &Heading) -> bool {
    [&heading.commit, &heading.branch, &heading.origin].iter().any(|known| known.is_some())
}

/// The words under which rollouts have the sources that are asked for.
pub fn sources(kinds: Option<&[ThreadSourceKind]>) -> Vec<Box<str>> {
    let kinds = kinds.unwrap_or_default();
    if kinds.is_empty() {
        return INTERACTIVE.iter().map(|source| (*source).into()).collect();
    }
    let mut words: BTreeSet<&str> = BTreeSet::new();
    for kind in kinds {
        words.extend(match kind {
            ThreadSourceKind::Cli => &["cli"][..],
            ThreadSourceKind::VSCode => &["vscode"],
            ThreadSourceKind::Exec => &["exec"],
            ThreadSourceKind::AppServer => &["mcp", "appServer"],
            ThreadSourceKind::Unknown => &["unknown"],
            // Nobody here records such.
            ThreadSourceKind::SubAgent
            | ThreadSourceKind::SubAgentReview
            | ThreadSourceKind::SubAgentCompact
            | ThreadSourceKind::SubAgentThreadSpawn
            | ThreadSourceKind::SubAgentOther => &["subAgent"],
        });
    }
    words.into_iter().map(Box::from).collect()
}

/// Shows of a turn's items what is wanted.
pub fn viewed(mut turn: Turn, view: Option<TurnItemsView>) -> Turn {
    match view {
        None | Some(TurnItemsView::Full) => return turn,
        Some(TurnItemsView::NotLoaded) => turn.items.clear(),
        Some(TurnItemsView::Summary) => {
            let is_said =
                |kind: &ThreadItemKind| matches!(kind, ThreadItemKind::AgentMessage { .. });
            let last = turn.items.drain(..).rev().find(|item| is_said(&item.kind));
            turn.items.extend(last);
        }
    }
    turn.items_view = view.unwrap_or(TurnItemsView::Full);
    turn
}

impl AppServer {
    /// The loaded thread of this id.
    pub fn loaded(&self, id: &str) -> Option<ThreadId> {
        self.find(id).ok()
    }

    pub fn is_loaded(&self, thread: ThreadId) -> bool {
        self.threads.contains_key(&thread)
    }

    pub fn is_busy(&self, thread: ThreadId) -> bool {
        self.threads.get(&thread).is_some_and(|loaded| loaded.turn.is_some())
    }

    /// A thread is about to close since its rollout goes to the archive.
    pub fn archive(&mut self, thread: ThreadId) {
        if let Some(loaded) = self.threads.get_mut(&thread) {
            loaded.is_archived = true;
        }
    }

    /// Shows what is known of a recorded thread that is loaded as well.
    pub fn update(&self, thread: &mut Thread) {
        let Some(loaded) = self.loaded(&thread.id).and_then(|id| self.threads.get(&id)) else {
            return;
        };
        thread.status = objects::status(loaded);
        thread.updated_at = thread.updated_at.max(loaded.updated_at);
        thread.recency_at = Some(thread.updated_at);
    }

    /// A loaded thread.
    pub fn shown(&self, thread: ThreadId, lent: Lent<'_>, turns: Vec<Turn>) -> Option<Thread> {
        self.threads.get(&thread).map(|loaded| objects::thread(loaded, lent, turns))
    }

    /// Answers what would open a thread that is open already; the client follows it again.
    pub fn open_again(
        &mut self,
        id: &RequestId,
        thread: ThreadId,
        (turns, backwards): (Vec<Turn>, Option<Text>),
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(mut loaded) = self.threads.remove(&thread) else { return };
        loaded.is_subscribed = true;
        loaded.is_left = false;
        let past = Past { turns, backwards, ..Past::default() };
        self.answer_opened(id, &loaded, How::Resume, past, lent, out);
        self.threads.insert(thread, loaded);
    }

    /// A thread has a name now.
    pub fn renamed(&mut self, id: &str, name: &str, out: &mut Output) {
        if let Some(thread) = self.loaded(id)
            && let Some(loaded) = self.threads.get_mut(&thread)
        {
            loaded.name = Some(name.into());
        }
        let (thread_id, thread_name) = (id.into(), Maybe(Some(name.into())));
        let updated = ThreadNameUpdatedNotification { thread_id, thread_name };
        self.notify(&ServerNotification::ThreadNameUpdated(updated), out);
    }
}
