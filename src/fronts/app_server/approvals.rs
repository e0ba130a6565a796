//! Questions to people: asked over the connection, answered by whoever reads it.

use crate::fronts::Output;
use crate::fronts::app_server::ask::{Ask, Dialect};
use crate::fronts::app_server::envelope;
use crate::fronts::app_server::types::codec::{Fault, Maybe, Text, Typed};
use crate::fronts::app_server::types::methods::{ServerNotification, ServerRequest};
use crate::fronts::app_server::types::v1::{
    ApplyPatchApprovalParams, ApplyPatchApprovalResponse, ExecCommandApprovalParams,
    ExecCommandApprovalResponse, RequestId, ReviewDecision,
};
use crate::fronts::app_server::types::v2_items::{
    CommandExecutionApprovalDecision, CommandExecutionApprovalKind,
    CommandExecutionRequestApprovalParams, CommandExecutionRequestApprovalResponse,
    FileChangeApprovalDecision, FileChangeRequestApprovalParams, FileChangeRequestApprovalResponse,
    ServerRequestResolvedNotification, ThreadItemKind,
};
use crate::fronts::app_server::{AppServer, Lent, items, items_v1};
use crate::fronts::exec::shell_words::shell_join;
use crate::fronts::visible;
use crate::words::command::Command;
use crate::words::event::Question;
use crate::words::ids::{CallId, ItemIndex, ThreadId};
use crate::words::policy::Decision;

/// Questions that wait for an answer.
#[derive(Default, Debug)]
pub struct Questions {
    open: Vec<Open>,
    next_id: i64,
}

#[derive(Debug)]
struct Open {
    id: i64,
    thread: ThreadId,
    call: CallId,
    about: About,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    Command,
    Patch,
    /// The same in the words of the first protocol.
    FirstCommand,
    FirstPatch,
}

impl AppServer {
    pub(super) fn approval_asked(
        &mut self,
        thread: ThreadId,
        (call, item): (CallId, ItemIndex),
        question: &Question,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        if loaded.is_left {
            return self.close(thread);
        }
        let Some(turn) = loaded.turn.as_deref_mut() else { return };
        let is_foreseen = std::mem::take(&mut turn.is_foreseen);
        let dialect = loaded.dialect;
        if !is_foreseen {
            self.wait_for_person(thread, out);
        }
        let (about, request) = match dialect {
            Dialect::First => self.first_question(thread, (call, item), question, lent),
            Dialect::Second => self.second_question(thread, call, question, lent),
        };
        let id = self.questions.next_id;
        self.questions.next_id += 1;
        self.questions.open.push(Open { id, thread, call, about });
        let params = |out: &mut Vec<u8>| request.encode_params(out);
        envelope::request(id, request.method(), &params, &mut out.stdout);
    }

    /// What begins next waits for a person: that is told before it begins.
    pub fn foresee_question(&mut self, thread: ThreadId, out: &mut Output) {
        if let Some(turn) = self.running(thread) {
            turn.is_foreseen = true;
            self.wait_for_person(thread, out);
        }
    }

    fn wait_for_person(&mut self, thread: ThreadId, out: &mut Output) {
        if let Some(turn) = self.running(thread) {
            turn.questions += 1;
            self.status_changed(thread, out);
        }
    }

    fn second_question(
        &self,
        thread: ThreadId,
        call: CallId,
        question: &Question,
        lent: Lent<'_>,
    ) -> (About, ServerRequest) {
        let loaded = &self.threads[&thread];
        let thread_id = loaded.id.clone();
        let turn = loaded.turn.as_deref();
        let turn_id = turn.map(|turn| turn.id.clone()).unwrap_or_default();
        let calls = turn.map(|turn| &*turn.calls).unwrap_or_default();
        let open = calls.iter().find(|open| open.call == call);
        let item_id =
            open.map_or_else(|| format!("call-{}", call.0).into(), |open| name(&open.item.kind));
        let started_at_ms = lent.wall_ms as i64;
        match question {
            Question::Command { argv, cwd, reason, .. } => {
                let decisions = vec![
                    CommandExecutionApprovalDecision::Accept,
                    CommandExecutionApprovalDecision::AcceptForSession,
                    CommandExecutionApprovalDecision::Decline,
                    CommandExecutionApprovalDecision::Cancel,
                ];
                let params = CommandExecutionRequestApprovalParams {
                    kind: CommandExecutionApprovalKind::Command,
                    thread_id,
                    turn_id,
                    item_id,
                    started_at_ms,
                    approval_id: None,
                    environment_id: None,
                    reason: reason.clone(),
                    command: Some(shell_join(argv).into()),
                    cwd: Some(cwd.clone()),
                    command_actions: Some(items::actions(argv)),
                    proposed_execpolicy_amendment: None,
                    available_decisions: Maybe(Some(decisions)),
                };
                (About::Command, ServerRequest::CommandExecutionRequestApproval(params))
            }
            Question::Patch { reason, .. } => {
                let params = FileChangeRequestApprovalParams {
                    thread_id,
                    turn_id,
                    item_id,
                    started_at_ms,
                    reason: reason.clone(),
                    grant_root: None,
                };
                (About::Patch, ServerRequest::FileChangeRequestApproval(params))
            }
        }
    }

    /// The same for a thread that was opened in the first protocol.
    fn first_question(
        &self,
        thread: ThreadId,
        (call, item): (CallId, ItemIndex),
        question: &Question,
        lent: Lent<'_>,
    ) -> (About, ServerRequest) {
        let conversation_id = self.threads[&thread].id.clone();
        let call_id = items_v1::call_id(lent.items, item, call);
        match question {
            Question::Command { argv, cwd, reason, risk } => {
                let params = ExecCommandApprovalParams {
                    conversation_id,
                    call_id,
                    command: items_v1::texts(argv),
                    cwd: cwd.clone(),
                    reason: reason.clone(),
                    risk: risk.as_ref().map(items_v1::risk),
                    parsed_cmd: items_v1::parsed_command(argv),
                };
                (About::FirstCommand, ServerRequest::ExecCommandApproval(params))
            }
            Question::Patch { changes, reason } => {
                let params = ApplyPatchApprovalParams {
                    conversation_id,
                    call_id,
                    file_changes: items_v1::changes(changes),
                    reason: reason.clone(),
                    grant_root: None,
                };
                (About::FirstPatch, ServerRequest::ApplyPatchApproval(params))
            }
        }
    }

    /// The client answers one of our requests.
    pub(super) fn heard(
        &mut self,
        id: &RequestId,
        result: Result<&str, Box<str>>,
        out: &mut Output,
    ) {
        let number = match id {
            RequestId::Number(number) => Some(*number),
            RequestId::Word(_) => None,
        };
        let open = self.questions.open.iter().find(|open| Some(open.id) == number);
        let Some(&Open { thread, call, about, .. }) = open else { return };
        let decision = match result {
            Ok(result) => decision(about, result),
            // Whoever cannot ask a person cannot say yes.
            Err(_) => Ok(Decision::Denied),
        };
        let decision = decision.unwrap_or_else(|fault| {
            let line = format!("warning: an approval is taken for a no: {fault}\n");
            out.stderr.extend_from_slice(visible::block(&line).as_bytes());
            Decision::Denied
        });
        if matches!(about, About::FirstCommand | About::FirstPatch) {
            self.submission(thread);
        }
        let command = Command::Answer { thread, call, decision };
        self.ask(Ask::Command { ticket: None, command });
    }

    /// A question was answered, or is no longer asked.
    pub(super) fn approval_settled(&mut self, thread: ThreadId, call: CallId, out: &mut Output) {
        let is_it = |open: &Open| open.thread == thread && open.call == call;
        let Some(index) = self.questions.open.iter().position(is_it) else { return };
        let open = self.questions.open.remove(index);
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        let thread_id = loaded.id.clone();
        if let Some(turn) = loaded.turn.as_deref_mut() {
            turn.questions = turn.questions.saturating_sub(1);
        }
        let request_id = RequestId::Number(open.id);
        let resolved = ServerRequestResolvedNotification { thread_id, request_id };
        self.notify_of(thread, &ServerNotification::ServerRequestResolved(resolved), out);
        self.status_changed(thread, out);
    }

    pub(super) fn forget_questions(&mut self, thread: ThreadId) {
        self.questions.open.retain(|open| open.thread != thread);
    }
}

fn name(kind: &ThreadItemKind) -> Text {
    match kind {
        ThreadItemKind::CommandExecution { id, .. } | ThreadItemKind::FileChange { id, .. } => {
            id.clone()
        }
        _ => Text::default(),
    }
}

fn decision(about: About, result: &str) -> Result<Decision, Fault> {
    Ok(match about {
        About::Command => match CommandExecutionRequestApprovalResponse::decode(result)?.decision {
            CommandExecutionApprovalDecision::Accept => Decision::Approved,
            CommandExecutionApprovalDecision::AcceptForSession
            | CommandExecutionApprovalDecision::AcceptWithExecpolicyAmendment { .. } => {
                Decision::ApprovedForSession
            }
            CommandExecutionApprovalDecision::Decline => Decision::Denied,
            CommandExecutionApprovalDecision::Cancel => Decision::Abort,
        },
        About::Patch => match FileChangeRequestApprovalResponse::decode(result)?.decision {
            FileChangeApprovalDecision::Accept => Decision::Approved,
            FileChangeApprovalDecision::AcceptForSession => Decision::ApprovedForSession,
            FileChangeApprovalDecision::Decline => Decision::Denied,
            FileChangeApprovalDecision::Cancel => Decision::Abort,
        },
        About::FirstCommand => reviewed(ExecCommandApprovalResponse::decode(result)?.decision),
        About::FirstPatch => reviewed(ApplyPatchApprovalResponse::decode(result)?.decision),
    })
}

fn reviewed(decision: ReviewDecision) -> Decision {
    match decision {
        ReviewDecision::Approved => Decision::Approved,
        ReviewDecision::ApprovedForSession => Decision::ApprovedForSession,
        ReviewDecision::Denied => Decision::Denied,
        ReviewDecision::Abort => Decision::Abort,
    }
}
