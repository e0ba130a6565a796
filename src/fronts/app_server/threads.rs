//! Threads that are loaded, and what opens and closes them.

use crate::fronts::Output;
use crate::fronts::app_server::ask::{Dialect, How, Opened, Past, Ticket, Waits};
use crate::fronts::app_server::conversations::Conversing;
use crate::fronts::app_server::objects::{self, OpenedResponse};
use crate::fronts::app_server::turns::Running;
use crate::fronts::app_server::types::codec::Text;
use crate::fronts::app_server::types::methods::ServerNotification;
use crate::fronts::app_server::types::v1::RequestId;
use crate::fronts::app_server::types::v2_items::{Thread, ThreadStartedNotification};
use crate::fronts::app_server::{AppServer, Lent};
use crate::limits::PREVIEW_BYTES_MAX;
use crate::words::ids::{ConversationId, ThreadId};

/// A thread that is loaded, or about to be.
#[derive(Debug)]
pub struct Loaded {
    /// The conversation's id; empty until it is open.
    pub id: Text,
    /// What it was opened for, until it is open.
    pub opening: Option<Ticket>,
    pub is_ephemeral: bool,
    /// Files that hold instructions for it.
    pub sources: Box<[Text]>,
    pub preview: Text,
    pub name: Option<Text>,
    pub forked_from: Option<Text>,
    /// Unix seconds.
    pub created_at: i64,
    pub updated_at: i64,
    /// Items before those that were seen here: ids are counted on.
    pub items_count: u32,
    /// Whether this client is told of it in the words of the second protocol.
    pub is_subscribed: bool,
    /// The client has left it: it closes once its turn has ended, or needs someone.
    pub is_left: bool,
    /// It closes since its rollout goes to the archive.
    pub is_archived: bool,
    /// Who listens in the words of the first protocol.
    pub listeners: Vec<Listener>,
    pub turn: Option<Box<Running>>,
    /// The turn that ran last has failed.
    pub has_failed: bool,
    /// What opened it speaks this.
    pub dialect: Dialect,
    pub conversing: Box<Conversing>,
}

/// A subscription of the first protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    pub id: Text,
    /// It wants items of the provider as they are, too.
    pub raw: bool,
}

impl Loaded {
    /// A thread whose past is being read.
    pub fn loading(ticket: Ticket) -> Loaded {
        Loaded {
            id: Text::default(),
            opening: Some(ticket),
            is_ephemeral: false,
            sources: Box::default(),
            preview: Text::default(),
            name: None,
            forked_from: None,
            created_at: 0,
            updated_at: 0,
            items_count: 0,
            is_subscribed: false,
            is_left: false,
            is_archived: false,
            listeners: Vec::new(),
            turn: None,
            has_failed: false,
            dialect: Dialect::Second,
            conversing: Box::default(),
        }
    }

    pub fn is_open(&self) -> bool {
        self.opening.is_none()
    }

    /// An id for the next item that has none of its own.
    pub fn item_id(&mut self) -> Text {
        self.items_count += 1;
        format!("item-{}", self.items_count).into()
    }

    /// What begins the conversation is what people know it by.
    pub fn preview(&mut self, text: &str) {
        if self.preview.is_empty() {
            let end = text.floor_char_boundary(PREVIEW_BYTES_MAX);
            self.preview = text[..end].into();
        }
    }
}

/// The id of a thread's turn, from 1, where none is recorded: the thread's, with the number in its
/// last digits. It is none that a recorder gave (see `TurnName::of`), also if the turn began as
/// early as the thread.
pub fn turn_id(thread: &str, number: u32) -> Text {
    match thread.parse::<ConversationId>() {
        Ok(ConversationId(mut bytes)) => {
            bytes[9] ^= 0xff;
            for (byte, own) in bytes[12..].iter_mut().zip(number.to_be_bytes()) {
                *byte ^= own;
            }
            ConversationId(bytes).to_string().into()
        }
        Err(_) => number.to_string().into(),
    }
}

/// Gives the turns of a fork the ids that they have in it.
fn adopt(past: &mut Past, source: &str, thread: &str) {
    let first = past.turns_count.saturating_sub(past.turns.len() as u32) + 1;
    for (turn, number) in past.turns.iter_mut().zip(first..) {
        // Those that are recorded are copied with the rest.
        if turn.id == turn_id(source, number) {
            turn.id = turn_id(thread, number);
            turn.root_turn_id = Some(turn.id.clone());
        }
    }
}

impl AppServer {
    /// A thread is open: answers what opened it.
    pub(super) fn thread_started(
        &mut self,
        thread: ThreadId,
        is_resumed: bool,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let known = self.threads.remove(&thread).and_then(|loaded| loaded.opening);
        let ticket = if is_resumed { known } else { self.current.take() };
        let Some(Ticket { id, waits: Waits::Opened(opened) }) = ticket else { return };
        let Some(conversation) = lent.conversation else { return };
        let Opened { how, dialect, is_ephemeral, sources, mut past } = *opened;
        let now_s = objects::seconds(lent.wall_ms);
        let loaded = Loaded {
            id: conversation.to_string().into(),
            opening: None,
            is_ephemeral,
            sources,
            preview: std::mem::take(&mut past.preview),
            name: past.name.take(),
            forked_from: past.forked_from.take(),
            created_at: past.created_at.unwrap_or(now_s),
            updated_at: now_s,
            items_count: past.items_count,
            is_subscribed: dialect == Dialect::Second,
            is_left: false,
            is_archived: false,
            listeners: Vec::new(),
            turn: None,
            has_failed: false,
            dialect,
            conversing: Box::new(Conversing::after(lent)),
        };
        if let (How::Fork, Some(source)) = (how, &loaded.forked_from) {
            adopt(&mut past, source, &loaded.id);
        }
        match dialect {
            Dialect::First => self.answer_conversation(&id, &loaded, how, lent, out),
            Dialect::Second => self.answer_opened(&id, &loaded, how, past, lent, out),
        }
        self.threads.insert(thread, Box::new(loaded));
        self.opened = Some(thread);
    }

    pub(super) fn answer_opened(
        &mut self,
        id: &RequestId,
        loaded: &Loaded,
        how: How,
        past: Past,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(settings) = lent.settings else { return };
        let object = objects::thread(loaded, lent, past.turns);
        let shown = Thread { turns: Vec::new(), ..object.clone() };
        match objects::opened(how, object, settings, loaded.sources.to_vec()) {
            OpenedResponse::Start(response) => self.answer(id, &response, out),
            OpenedResponse::Resume(mut response) => {
                response.turns_backwards_cursor = past.backwards;
                self.answer(id, &response, out);
            }
            OpenedResponse::Fork(response) => self.answer(id, &response, out),
        }
        if how != How::Resume {
            let started = ThreadStartedNotification { thread: shown };
            self.notify(&ServerNotification::ThreadStarted(started), out);
        }
    }
}
