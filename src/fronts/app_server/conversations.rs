//! Conversations: threads as clients of the first protocol open, follow and answer them.
//!
//! A client hears of a conversation only through the listeners it adds. Whatever it asks of one
//! takes the next of the conversation's numbers, and what comes of it carries that number.

use crate::fronts::Output;
use crate::fronts::app_server::ask::{Ask, Dialect, How, Ticket, Waits};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::threads::{Listener, Loaded};
use crate::fronts::app_server::types::codec::{Map, Text, Typed};
use crate::fronts::app_server::types::events::{RateLimitSnapshot, TokenUsageInfo};
use crate::fronts::app_server::types::methods::{ClientRequest, ServerNotification};
use crate::fronts::app_server::types::v1::{
    AddConversationListenerParams, AddConversationSubscriptionResponse, FileChange, InputItem,
    InterruptConversationResponse, NewConversationResponse, ReasoningEffort,
    RemoveConversationSubscriptionResponse, RequestId, ResumeConversationParams,
    ResumeConversationResponse, SendUserMessageResponse, SessionConfiguredNotification,
    TurnAbortReason,
};
use crate::fronts::app_server::{AppServer, Lent, clipped, items_v1, telling_v1, turns};
use crate::limits::LISTENERS_MAX;
use crate::wire::json;
use crate::words::command::{Command, Which};
use crate::words::event::Event;
use crate::words::ids::{CallId, ConversationId, ThreadId};

/// What is known of a thread for those who follow it in the words of the first protocol.
#[derive(Default, Debug)]
pub struct Conversing {
    submissions_count: u32,
    ids_count: u32,
    /// The number of what was said for the turn that is about to begin.
    pub(super) awaited: Option<u32>,
    /// The turn that runs, or ran last.
    pub(super) turn: Running,
    /// How many items of the history were told as they are.
    pub(super) raw_count: usize,
    /// Commands that run: what the provider calls them, and since when they do.
    pub(super) calls: Vec<(CallId, Text, u64)>,
    pub(super) patch: Option<Patching>,
    pub(super) tokens: Option<Box<TokenUsageInfo>>,
    pub(super) limits: Option<Box<RateLimitSnapshot>>,
    /// Requests that wait for the turn to end.
    interrupts: Vec<RequestId>,
}

/// A turn as events tell of it.
#[derive(Default, Debug)]
pub struct Running {
    /// What began it.
    pub submission: Text,
    /// The message, reasoning and search that have begun.
    pub message: Option<Text>,
    pub reasoning: Option<Text>,
    pub search: Option<Text>,
    /// What the model said last.
    pub said: Option<Text>,
}

/// A patch of which nobody was told yet.
#[derive(Debug)]
pub struct Patching {
    pub call: CallId,
    pub call_id: Text,
    pub changes: Map<FileChange>,
}

impl Conversing {
    /// Of a thread that begins with a past, of which nobody is to be told.
    pub fn after(lent: Lent<'_>) -> Conversing {
        let tokens = lent.spent.and_then(|spent| items_v1::tokens(&spent, lent.settings));
        Conversing {
            raw_count: lent.items.len(),
            tokens: tokens.map(Box::new),
            ..Conversing::default()
        }
    }

    /// The next number for what a client asks.
    pub fn submission(&mut self) -> u32 {
        let number = self.submissions_count;
        self.submissions_count += 1;
        number
    }

    /// A fresh id for something of the conversation: the conversation's, with a number in its last
    /// digits that no turn has.
    pub fn id(&mut self, conversation: &str) -> Text {
        self.ids_count += 1;
        match conversation.parse::<ConversationId>() {
            Ok(ConversationId(mut bytes)) => {
                let own = (self.ids_count | 1 << 31).to_be_bytes();
                for (byte, own) in bytes[12..].iter_mut().zip(own) {
                    *byte ^= own;
                }
                ConversationId(bytes).to_string().into()
            }
            Err(_) => self.ids_count.to_string().into(),
        }
    }
}

impl AppServer {
    /// Takes a request that is not of the second protocol.
    pub(super) fn route_first(
        &mut self,
        id: &RequestId,
        request: ClientRequest,
        out: &mut Output,
    ) -> Result<(), Failure> {
        match request {
            ClientRequest::NewConversation(_) => self.open(id, request, How::Start, None),
            ClientRequest::ResumeConversation(ref params) => {
                let which = past(params)?;
                self.open(id, request, How::Resume, which);
            }
            ClientRequest::SendUserMessage(ref params) => {
                let (conversation, items) = (params.conversation_id.clone(), params.items.clone());
                self.send(id, &conversation, &items, None)?;
            }
            ClientRequest::SendUserTurn(ref params) => {
                let (conversation, items) = (params.conversation_id.clone(), params.items.clone());
                self.send(id, &conversation, &items, Some(Box::new(request)))?;
            }
            ClientRequest::InterruptConversation(params) => {
                self.interrupt_conversation(id, &params.conversation_id)?;
            }
            ClientRequest::AddConversationListener(params) => self.listen(id, &params, out)?,
            ClientRequest::RemoveConversationListener(params) => {
                self.listen_no_more(&params.subscription_id)?;
                self.answer(id, &RemoveConversationSubscriptionResponse {}, out);
            }
            request => {
                self.ask(Ask::Errand { id: id.clone(), request: Box::new(request) });
            }
        }
        Ok(())
    }

    fn conversation(&self, id: &str) -> Result<ThreadId, Failure> {
        self.find(id)
            .map_err(|_| Failure::refused(format!("conversation not found: {}", clipped(id))))
    }

    pub(super) fn submission(&mut self, thread: ThreadId) -> u32 {
        self.threads.get_mut(&thread).map_or(0, |loaded| loaded.conversing.submission())
    }

    fn send(
        &mut self,
        id: &RequestId,
        conversation: &str,
        items: &[InputItem],
        request: Option<Box<ClientRequest>>,
    ) -> Result<(), Failure> {
        let thread = self.conversation(conversation)?;
        let input = turns::said(&items_v1::input(items))?;
        let submission = self.submission(thread);
        let ticket = Ticket { id: id.clone(), waits: Waits::Said { thread, submission } };
        self.ask(Ask::Prompt { ticket, thread, input, request });
        Ok(())
    }

    fn interrupt_conversation(
        &mut self,
        id: &RequestId,
        conversation: &str,
    ) -> Result<(), Failure> {
        let thread = self.conversation(conversation)?;
        if self.threads[&thread].turn.is_none() {
            return Err(Failure::refused("nothing runs that could be interrupted"));
        }
        self.submission(thread);
        let ticket = Ticket { id: id.clone(), waits: Waits::Aborted { thread } };
        self.ask(Ask::Command { ticket: Some(ticket), command: Command::Interrupt { thread } });
        Ok(())
    }

    fn listen(
        &mut self,
        id: &RequestId,
        params: &AddConversationListenerParams,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let thread = self.conversation(&params.conversation_id)?;
        let Some(loaded) = self.threads.get_mut(&thread) else { return Ok(()) };
        if loaded.listeners.len() == LISTENERS_MAX {
            let message = format!("a conversation has no more than {LISTENERS_MAX} listeners");
            return Err(Failure::refused(message));
        }
        let subscription_id = loaded.conversing.id(&loaded.id);
        let raw = params.experimental_raw_events.0;
        loaded.listeners.push(Listener { id: subscription_id.clone(), raw });
        self.answer(id, &AddConversationSubscriptionResponse { subscription_id }, out);
        Ok(())
    }

    fn listen_no_more(&mut self, subscription: &str) -> Result<(), Failure> {
        for loaded in self.threads.values_mut() {
            let is_it = |listener: &Listener| *listener.id == *subscription;
            if let Some(index) = loaded.listeners.iter().position(is_it) {
                loaded.listeners.remove(index);
                return Ok(());
            }
        }
        Err(Failure::refused(format!("subscription not found: {}", clipped(subscription))))
    }

    /// Answers what opened a conversation.
    pub(super) fn answer_conversation(
        &mut self,
        id: &RequestId,
        loaded: &Loaded,
        how: How,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(settings) = lent.settings else { return };
        let conversation_id = loaded.id.clone();
        let model: Text = settings.model.clone();
        let effort = settings.reasoning.effort.as_deref();
        let reasoning_effort = effort.and_then(effort_named);
        let rollout_path: Text = lent.rollout.unwrap_or_default().into();
        if how == How::Start {
            let response =
                NewConversationResponse { conversation_id, model, reasoning_effort, rollout_path };
            return self.answer(id, &response, out);
        }
        let told = ServerNotification::SessionConfigured(SessionConfiguredNotification {
            session_id: conversation_id.clone(),
            model: model.clone(),
            reasoning_effort,
            // What people type is not kept as a history of its own.
            history_log_id: 0,
            history_entry_count: 0,
            initial_messages: Some(items_v1::past(lent)),
            rollout_path: rollout_path.clone(),
        });
        self.notify(&told, out);
        let ServerNotification::SessionConfigured(told) = told else {
            unreachable!("it was made as one above")
        };
        // A history may be long: it is said twice, and made once.
        let initial_messages = told.initial_messages;
        let response =
            ResumeConversationResponse { conversation_id, model, initial_messages, rollout_path };
        self.answer(id, &response, out);
    }

    /// Answers what resumes a conversation that is open already.
    pub fn resumed_again(
        &mut self,
        id: &RequestId,
        thread: ThreadId,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        // It is put back below; answering does not look at it.
        match self.threads.remove(&thread) {
            Some(loaded) if loaded.is_open() => {
                self.answer_conversation(id, &loaded, How::Resume, lent, out);
                self.threads.insert(thread, loaded);
            }
            loaded => {
                self.threads.extend(loaded.map(|loaded| (thread, loaded)));
                self.fail(id, &Failure::refused("the conversation is still loading"), out);
            }
        }
    }

    /// Tells listeners of the thread, and answers what was waiting for this.
    pub(super) fn tell_listeners(
        &mut self,
        thread: ThreadId,
        event: &Event,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        if let Some(Ticket { id, waits: Waits::Said { submission, .. } }) =
            self.current.take_if(|ticket| matches!(ticket.waits, Waits::Said { .. }))
        {
            self.said(thread, submission);
            self.answer(&id, &SendUserMessageResponse {}, out);
        }
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        telling_v1::Teller::new(loaded, self.client.as_ref(), lent, out).told(event);
        if let Event::TurnEnded { .. } = event {
            self.aborted(thread, out);
        }
    }

    /// Remembers for which turn something was said.
    pub(super) fn said(&mut self, thread: ThreadId, submission: u32) {
        if let Some(loaded) = self.threads.get_mut(&thread)
            && loaded.turn.is_none()
        {
            loaded.conversing.awaited = Some(submission);
        }
    }

    /// A request waits for the turn to end.
    pub(super) fn abort(&mut self, thread: ThreadId, id: RequestId, out: &mut Output) {
        match self.threads.get_mut(&thread) {
            Some(loaded) if loaded.turn.is_some() => loaded.conversing.interrupts.push(id),
            _ => self.answer_aborted(&id, out),
        }
    }

    fn aborted(&mut self, thread: ThreadId, out: &mut Output) {
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        for id in std::mem::take(&mut loaded.conversing.interrupts) {
            self.answer_aborted(&id, out);
        }
        if let Some(ticket) =
            self.current.take_if(|ticket| matches!(ticket.waits, Waits::Aborted { .. }))
        {
            self.answer_aborted(&ticket.id, out);
        }
    }

    fn answer_aborted(&mut self, id: &RequestId, out: &mut Output) {
        let abort_reason = TurnAbortReason::Interrupted;
        self.answer(id, &InterruptConversationResponse { abort_reason }, out);
    }

    /// A request of the second protocol means a thread: its client is told of it in those words.
    pub(super) fn follow(&mut self, id: &str) {
        if let Ok(thread) = self.find(id)
            && let Some(loaded) = self.threads.get_mut(&thread)
            && (loaded.dialect == Dialect::First || loaded.is_left)
        {
            loaded.is_subscribed = true;
            loaded.is_left = false;
        }
    }
}

/// Which past a conversation goes on from: what is recorded somewhere, or what the client says.
fn past(params: &ResumeConversationParams) -> Result<Option<Which>, Failure> {
    if let Some(path) = &params.path {
        return Ok(Some(Which::Path(path.clone())));
    }
    if let Some(id) = &params.conversation_id {
        let id = id.parse::<ConversationId>();
        let id = id.map_err(|_| {
            let id = params.conversation_id.as_deref().unwrap_or_default();
            Failure::refused(format!("invalid conversation id: {}", clipped(id)))
        })?;
        return Ok(Some(Which::Id(id)));
    }
    match params.history.as_deref() {
        None => Err(Failure::refused("either path, conversation id or history must be given")),
        Some([]) => Err(Failure::refused("history must not be empty")),
        Some(_) => Ok(None),
    }
}

/// An effort by its name; models may have others than the protocol.
fn effort_named(name: &str) -> Option<ReasoningEffort> {
    let mut word = Vec::new();
    json::string(name, &mut word);
    ReasoningEffort::decode(str::from_utf8(&word).ok()?).ok()
}
