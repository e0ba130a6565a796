//! The app server: hundreds of conversations over one JSON-RPC connection.
//!
//! [`AppServer`] is told lines of the client and events of the machine. It writes what the client
//! is to read, and asks the host for what it cannot do itself: [`Ask`]. A request waits in one of
//! three places: as the ticket of the command that the machine is handling, with the thread that
//! is loading or stopping for it, or as an errand of the host.

pub mod approvals;
pub mod ask;
pub mod calls;
pub mod conversations;
pub mod envelope;
pub mod items;
pub mod items_v1;
pub mod live;
pub mod objects;
pub mod past;
pub mod past_calls;
pub mod recorded;
pub mod router;
pub mod schema;
pub mod telling;
pub mod telling_v1;
pub mod threads;
pub mod turns;
pub mod types;
pub mod user_commands;

use std::collections::{BTreeMap, VecDeque};

use crate::fronts::Output;
use crate::fronts::app_server::approvals::Questions;
use crate::fronts::app_server::ask::{Ask, Ticket};
use crate::fronts::app_server::envelope::{Failure, Message};
use crate::fronts::app_server::threads::Loaded;
use crate::fronts::app_server::types::codec::Typed;
use crate::fronts::app_server::types::v1::RequestId;
use crate::fronts::app_server::types::v2::RateLimitSnapshot;
use crate::fronts::visible;
use crate::words::event::Event;
use crate::words::ids::{ConversationId, ItemIndex, ThreadId, TurnName};
use crate::words::item::Item;
use crate::words::model::Spent;
use crate::words::record::Record;
use crate::words::settings::{GitFacts, ThreadSettings};

/// The front of `app-server`.
#[derive(Default, Debug)]
pub struct AppServer {
    /// Who is there, once it has said so.
    client: Option<Client>,
    /// Apart, since most places of such a map stay empty.
    threads: BTreeMap<ThreadId, Box<Loaded>>,
    asks: VecDeque<Ask>,
    /// Whose command the machine is handling.
    current: Option<Ticket>,
    /// What that has opened.
    opened: Option<ThreadId>,
    questions: Questions,
    /// How much of the account's limits is used, as last heard.
    pub limits: Option<RateLimitSnapshot>,
}

/// Who is at the other end.
#[derive(Debug)]
pub struct Client {
    pub name: Box<str>,
    /// Notifications it does not want.
    opted_out: Vec<Box<str>>,
}

impl Client {
    fn wants(&self, method: &str) -> bool {
        !self.opted_out.iter().any(|out| **out == *method)
    }
}

/// What the machine lends beside an event.
#[derive(Clone, Copy, Debug)]
pub struct Lent<'a> {
    pub conversation: Option<ConversationId>,
    pub settings: Option<&'a ThreadSettings>,
    pub git: Option<&'a GitFacts>,
    /// The turn that runs, or ran last.
    pub turn: Option<TurnName>,
    pub items: &'a [Item],
    pub partial: &'a str,
    pub partial_reasoning: &'a str,
    /// The message that was taken, if images of it are kept elsewhere: with those.
    pub prompt: Option<&'a Item>,
    pub spent: Option<Spent>,
    /// Where the thread that has started is recorded, if it is.
    pub rollout: Option<&'a str>,
    pub wall_ms: u64,
    /// As what people see an item, if they do.
    pub shown: fn(&[Item], ItemIndex) -> Option<Record>,
}

impl AppServer {
    /// Takes a line of the client; what cannot be understood is named on stderr.
    pub fn line(&mut self, line: &str, out: &mut Output) {
        match envelope::read(line) {
            Ok(Message::Request { id, method, params }) => {
                if let Err(failure) = self.request(&id, &method, params, out) {
                    envelope::failed(&id, &failure, &mut out.stdout);
                }
            }
            // `initialized` is all there is, and nothing waits for it.
            Ok(Message::Notification { .. }) => {}
            Ok(Message::Answer { id, result }) => self.heard(&id, result, out),
            Err(why) => {
                let begins: String = line.chars().take(80).collect();
                let line = format!(
                    "warning: a line of the client is ignored, as {why}: {}\n",
                    visible::line(&begins)
                );
                out.stderr.extend_from_slice(line.as_bytes());
            }
        }
    }

    /// The next thing the host is to do.
    pub fn pull(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// The machine is about to handle a command for this request.
    pub fn begin(&mut self, ticket: Option<Ticket>) {
        self.current = ticket;
        self.opened = None;
    }

    /// The machine has handled it: what was not answered meanwhile is answered now or waits with
    /// its thread. Gives the thread that was opened.
    pub fn end(&mut self, out: &mut Output) -> Option<ThreadId> {
        if let Some(ticket) = self.current.take() {
            self.settle(ticket, out);
        }
        self.opened.take()
    }

    /// Takes the next event.
    pub fn told(
        &mut self,
        thread: Option<ThreadId>,
        event: &Event,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        match (thread, event) {
            (_, Event::Refused { refusal }) => {
                if let Some(ticket) = self.current.take() {
                    let failure = turns::refused(*refusal);
                    self.fail(&ticket.id, &failure, out);
                }
            }
            (Some(thread), Event::ThreadLoading) => {
                if let Some(ticket) = self.current.take() {
                    self.threads.insert(thread, Box::new(Loaded::loading(ticket)));
                    self.opened = Some(thread);
                }
            }
            (Some(thread), Event::ThreadStarted { resumed, .. }) => {
                self.thread_started(thread, *resumed, lent, out);
            }
            (Some(thread), Event::ThreadFailed { message }) => {
                if let Some(loaded) = self.threads.remove(&thread)
                    && let Some(ticket) = loaded.opening
                {
                    self.fail(&ticket.id, &Failure::refused(&**message), out);
                }
            }
            (Some(thread), _) => {
                self.tell_listeners(thread, event, lent, out);
                self.told_of_thread(thread, event, lent, out);
            }
            (None, _) => {}
        }
    }

    /// Answers a request.
    pub fn answer(&mut self, id: &RequestId, result: &impl Typed, out: &mut Output) {
        envelope::answer(id, result, &mut out.stdout);
    }

    pub fn fail(&mut self, id: &RequestId, failure: &Failure, out: &mut Output) {
        envelope::failed(id, failure, &mut out.stdout);
    }

    /// What the client calls itself.
    pub fn client_name(&self) -> Option<Box<str>> {
        self.client.as_ref().map(|client| client.name.clone())
    }

    /// Threads whose turn runs.
    pub fn busy(&self) -> impl Iterator<Item = ThreadId> + '_ {
        self.threads.iter().filter(|(_, loaded)| loaded.turn.is_some()).map(|(id, _)| *id)
    }

    /// Every thread that is loaded, or about to be, in order.
    pub fn all(&self) -> Vec<ThreadId> {
        self.threads.keys().copied().collect()
    }

    /// Every thread that is loaded.
    pub fn open_threads(&self) -> Vec<ThreadId> {
        let open = self.threads.iter().filter(|(_, loaded)| loaded.is_open());
        open.map(|(id, _)| *id).collect()
    }

    /// Whether no thread is loaded or about to be.
    pub fn is_deserted(&self) -> bool {
        self.threads.is_empty()
    }

    /// Whether the client wants notifications of this method.
    fn is_wanted(&self, method: &str) -> bool {
        self.client.as_ref().is_none_or(|client| client.wants(method))
    }

    fn ask(&mut self, ask: Ask) {
        self.asks.push_back(ask);
    }

    /// The loaded thread of this id.
    fn find(&self, id: &str) -> Result<ThreadId, Failure> {
        let id = id.trim();
        let found = self.threads.iter().find(|(_, loaded)| loaded.is_open() && *loaded.id == *id);
        found.map(|(thread, _)| *thread).ok_or_else(|| {
            if id.parse::<ConversationId>().is_err() {
                Failure::refused(format!("invalid thread id: {}", clipped(id)))
            } else {
                Failure::refused(format!("thread not found: {id}"))
            }
        })
    }
}

/// Text of a client, as far as an error should repeat it.
fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}
