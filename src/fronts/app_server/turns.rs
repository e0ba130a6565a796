//! Turns: how clients begin, steer and stop them, and what is known of one that runs.

use crate::fronts::Output;
use crate::fronts::app_server::ask::{Ask, Said, Ticket, Waits};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::objects;
use crate::fronts::app_server::types::codec::{Json, Text};
use crate::fronts::app_server::types::methods::{ClientRequest, ServerNotification};
use crate::fronts::app_server::types::v1::{RequestId, SendUserMessageResponse};
use crate::fronts::app_server::types::v2::{
    ReviewStartResponse, ThreadCompactStartResponse, TurnInterruptResponse, TurnStartResponse,
    TurnSteerResponse,
};
use crate::fronts::app_server::types::v2_items::{
    CodexErrorInfo, NonSteerableTurnKind, ThreadItem, ThreadStatusChangedNotification,
    TurnCompletedNotification, TurnStartedNotification, UserInput,
};
use crate::fronts::app_server::{AppServer, Lent};
use crate::limits::{CLIENT_INPUT_BYTES_MAX, CLIENT_INPUT_PARTS_MAX};
use crate::words::command::{Command, Refusal, Unsteerable};
use crate::words::event::Ended;
use crate::words::ids::{CallId, ThreadId, TurnId};
use crate::words::item::Part;

/// A turn that runs.
#[derive(Debug)]
pub struct Running {
    pub number: TurnId,
    pub id: Text,
    pub started_ms: u64,
    /// The message that is being written.
    pub message: Option<Text>,
    /// The reasoning that is being written.
    pub reasoning: Option<Reasoning>,
    /// The search that the provider does.
    pub search: Option<Text>,
    pub compaction: Option<Text>,
    /// Items that have not completed, and when they began, in Unix milliseconds.
    pub begun: Vec<(Text, i64)>,
    /// Commands and patches whose items have not completed.
    pub calls: Vec<Open>,
    /// Limits came that are told after the tokens.
    pub has_news_of_limits: bool,
    /// How many questions are open.
    pub questions: u32,
    /// The next question was counted before it is asked.
    pub is_foreseen: bool,
    /// What the model said last.
    pub said: Option<ThreadItem>,
    /// A review is over, and its verdict told: the message that holds it is not told again.
    pub is_reviewed: bool,
    /// Requests that wait for the turn to end.
    pub interrupts: Vec<RequestId>,
    /// What the client calls the next message that is taken.
    pub client_ids: Vec<Text>,
}

/// Reasoning that is being written.
#[derive(Debug)]
pub struct Reasoning {
    pub id: Text,
    /// Which part of the summary.
    pub part: i64,
    pub has_part: bool,
}

/// A command or patch that has started.
#[derive(Debug)]
pub struct Open {
    pub call: CallId,
    pub item: ThreadItem,
    pub started_ms: u64,
}

impl AppServer {
    pub(super) fn start_turn(
        &mut self,
        id: &RequestId,
        params: crate::fronts::app_server::types::v2::TurnStartParams,
    ) -> Result<(), Failure> {
        let thread = self.find(&params.thread_id)?;
        let input = said(&params.input)?;
        let ticket = Ticket { id: id.clone(), waits: Waits::Turn { thread } };
        let request = Some(Box::new(ClientRequest::TurnStart(params)));
        self.ask(Ask::Prompt { ticket, thread, input, request });
        Ok(())
    }

    pub(super) fn steer_turn(
        &mut self,
        id: &RequestId,
        thread: &str,
        expected: &str,
        input: &[UserInput],
    ) -> Result<(), Failure> {
        let thread = self.find(thread)?;
        let input = said(input)?;
        let turn = self.threads[&thread].turn.as_ref();
        let turn = turn.ok_or_else(|| Failure::refused("no active turn to steer"))?;
        if *turn.id != *expected {
            let message = format!("expected active turn id {expected:?} but found {:?}", turn.id);
            return Err(Failure::refused(message));
        }
        let waits = Waits::Steered { thread, turn: turn.number };
        let ticket = Ticket { id: id.clone(), waits };
        self.ask(Ask::Prompt { ticket, thread, input, request: None });
        Ok(())
    }

    pub(super) fn interrupt_turn(
        &mut self,
        id: &RequestId,
        thread: &str,
        turn: &str,
    ) -> Result<(), Failure> {
        let thread = self.find(thread)?;
        match &self.threads[&thread].turn {
            None => return Err(Failure::refused("no active turn to interrupt")),
            Some(running) if !turn.is_empty() && *running.id != *turn => {
                let message =
                    format!("expected active turn id {turn:?} but found {:?}", running.id);
                return Err(Failure::refused(message));
            }
            Some(_) => {}
        }
        let ticket = Ticket { id: id.clone(), waits: Waits::Stopped { thread } };
        self.ask(Ask::Command { ticket: Some(ticket), command: Command::Interrupt { thread } });
        Ok(())
    }

    pub(super) fn compact(&mut self, id: &RequestId, thread: &str) -> Result<(), Failure> {
        let thread = self.find(thread)?;
        let ticket = Ticket { id: id.clone(), waits: Waits::Taken };
        self.ask(Ask::Command { ticket: Some(ticket), command: Command::Compact { thread } });
        Ok(())
    }

    /// The command of this ticket was handled, and nothing that was told has answered it.
    pub(super) fn settle(&mut self, ticket: Ticket, out: &mut Output) {
        let Ticket { id, waits } = ticket;
        match waits {
            Waits::Stopped { thread } => {
                if let Some(turn) = self.running(thread) {
                    turn.interrupts.push(id);
                }
            }
            Waits::Steered { thread, .. } => match self.running(thread).map(|turn| turn.id.clone())
            {
                Some(turn_id) => self.answer(&id, &TurnSteerResponse { turn_id }, out),
                None => self.fail(&id, &Failure::refused("no active turn to steer"), out),
            },
            // A turn ran already: it takes what was said.
            Waits::Turn { thread } => match self.running(thread) {
                Some(turn) => {
                    let turn =
                        objects::turn(turn.id.clone(), Some(objects::seconds(turn.started_ms)));
                    self.answer(&id, &TurnStartResponse { turn }, out);
                }
                None => self.fail(&id, &Failure::internal("the turn did not begin"), out),
            },
            Waits::Taken => self.answer(&id, &ThreadCompactStartResponse {}, out),
            Waits::Said { thread, submission } => {
                self.said(thread, submission);
                self.answer(&id, &SendUserMessageResponse {}, out);
            }
            Waits::Aborted { thread } => self.abort(thread, id, out),
            Waits::Opened(_) | Waits::Reviewed { .. } => {
                self.fail(&id, &Failure::internal("nothing came of the request"), out);
            }
        }
    }

    pub(super) fn running(&mut self, thread: ThreadId) -> Option<&mut Running> {
        self.threads.get_mut(&thread)?.turn.as_deref_mut()
    }

    pub(super) fn turn_started(
        &mut self,
        thread: ThreadId,
        number: TurnId,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        let id: Text = lent.turn.map(|name| name.to_string()).unwrap_or_default().into();
        loaded.updated_at = objects::seconds(lent.wall_ms);
        loaded.turn = Some(Box::new(Running {
            number,
            id: id.clone(),
            started_ms: lent.wall_ms,
            message: None,
            reasoning: None,
            search: None,
            compaction: None,
            begun: Vec::new(),
            calls: Vec::new(),
            has_news_of_limits: false,
            questions: 0,
            is_foreseen: false,
            said: None,
            is_reviewed: false,
            interrupts: Vec::new(),
            client_ids: Vec::new(),
        }));
        let thread_id = loaded.id.clone();
        match self.current.take() {
            Some(Ticket { id: request, waits: Waits::Turn { .. } }) => {
                let turn = objects::turn(id.clone(), None);
                self.answer(&request, &TurnStartResponse { turn }, out);
            }
            Some(Ticket { id: request, waits: Waits::Reviewed { .. } }) => {
                let turn = objects::turn(id.clone(), None);
                let review_thread_id = thread_id.clone();
                self.answer(&request, &ReviewStartResponse { turn, review_thread_id }, out);
            }
            Some(Ticket { id: request, waits: Waits::Taken }) => {
                self.answer(&request, &ThreadCompactStartResponse {}, out);
            }
            other => self.current = other,
        }
        self.status_changed(thread, out);
        let turn = objects::turn(id, Some(objects::seconds(lent.wall_ms)));
        let started = TurnStartedNotification { thread_id, turn };
        self.notify_of(thread, &ServerNotification::TurnStarted(started), out);
    }

    pub(super) fn turn_ended(
        &mut self,
        thread: ThreadId,
        how: &Ended,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        self.close_open_items(thread, lent, out);
        self.settle_limits(thread, out);
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        let Some(running) = loaded.turn.take() else { return };
        loaded.updated_at = objects::seconds(lent.wall_ms);
        loaded.has_failed = matches!(how, Ended::Failed { .. });
        let (thread_id, is_left) = (loaded.id.clone(), loaded.is_left);
        // A turn that only waited for a person ends at once.
        let is_it = |ticket: &mut Ticket| matches!(ticket.waits, Waits::Stopped { .. });
        let now = self.current.take_if(is_it).map(|ticket| ticket.id);
        for request in running.interrupts.iter().chain(&now) {
            self.answer(request, &TurnInterruptResponse {}, out);
        }
        self.status_changed(thread, out);
        if let Ended::Failed { kind, message } = how {
            self.error(thread, &running.id, objects::failure(*kind, message), false, out);
        }
        let started_s = Some(objects::seconds(running.started_ms));
        let turn = objects::turn(running.id, started_s);
        let turn = objects::ended(turn, how, running.said, lent.wall_ms, running.started_ms);
        let completed = TurnCompletedNotification { thread_id, turn };
        self.notify_of(thread, &ServerNotification::TurnCompleted(completed), out);
        if is_left {
            self.close(thread);
        }
    }

    pub(super) fn status_changed(&mut self, thread: ThreadId, out: &mut Output) {
        let Some(loaded) = self.threads.get(&thread) else { return };
        let changed = ThreadStatusChangedNotification {
            thread_id: loaded.id.clone(),
            status: objects::status(loaded),
        };
        self.notify_of(thread, &ServerNotification::ThreadStatusChanged(changed), out);
    }
}

/// What a refusal of the machine means to the client.
pub(super) fn refused(refusal: Refusal) -> Failure {
    let text = match refusal {
        Refusal::NoSuchThread => "thread not found",
        Refusal::TooManyThreads => "too many threads are loaded: unsubscribe from some first",
        Refusal::TooManyPrompts => "too many messages wait for the turn",
        Refusal::EmptyPrompt => "input must not be empty",
        Refusal::PromptTooLong => "input is longer than one message may be",
        Refusal::TurnRuns => "a turn is running",
        Refusal::NothingToCompact => "there is nothing to compact yet",
        Refusal::NothingRuns => "no active turn to interrupt",
        Refusal::NoQuestion => "no question is open",
        Refusal::TooManyOps => "too much is in progress",
        Refusal::NotReady => "the thread is still loading, or closing",
        Refusal::NoSuchTurn => "no active turn to steer",
        Refusal::NotSteerable(why) => {
            let (what, kind) = match why {
                Unsteerable::Review => ("review", NonSteerableTurnKind::Review),
                Unsteerable::Compaction => ("compact", NonSteerableTurnKind::Compact),
            };
            let info = CodexErrorInfo::ActiveTurnNotSteerable { turn_kind: kind };
            let mut failure = Failure::refused(format!("cannot steer a {what} turn"));
            failure.data = Some(Json::of(&info));
            return failure;
        }
    };
    Failure::refused(text)
}

/// What a client's input says, bounded.
pub(super) fn said(input: &[UserInput]) -> Result<Vec<Said>, Failure> {
    if input.len() > CLIENT_INPUT_PARTS_MAX {
        let message = format!("input: more than {CLIENT_INPUT_PARTS_MAX} parts");
        return Err(Failure::refused(message));
    }
    let mut bytes = 0;
    let mut said = Vec::new();
    for part in input {
        match part {
            UserInput::Text { text, .. } => {
                bytes += text.len();
                said.push(Said::Part(Part::Text(text.clone())));
            }
            UserInput::Image { url, .. } => {
                bytes += url.len();
                said.push(Said::Part(Part::Image(url.clone().into())));
            }
            UserInput::LocalImage { path, .. } => said.push(Said::Local(path.clone())),
            // What only other programs know how to read.
            UserInput::Skill { .. } | UserInput::Mention { .. } => {}
        }
    }
    if bytes > CLIENT_INPUT_BYTES_MAX {
        let message = format!("input: larger than {CLIENT_INPUT_BYTES_MAX} bytes");
        return Err(Failure::refused(message));
    }
    let is_nothing = said.iter().all(|part| match part {
        Said::Part(Part::Text(text)) => text.trim().is_empty(),
        Said::Part(Part::Image(_)) | Said::Local(_) => false,
    });
    if is_nothing { Err(Failure::refused("input must not be empty")) } else { Ok(said) }
}
