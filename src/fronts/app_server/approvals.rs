//! Questions to people: asked over the connection, answered by whoever reads it.

use crate::fronts::Output;
use crate::fronts::app_server::ask::Ask;
use crate::fronts::app_server::envelope;
use crate::fronts::app_server::types::codec::{Fault, Maybe, Text, Typed};
use crate::fronts::app_server::types::methods::{ServerNotification, ServerRequest};
use crate::fronts::app_server::types::v1::RequestId;
use crate::fronts::app_server::types::v2_items::{
    CommandExecutionApprovalDecision, CommandExecutionApprovalKind,
    CommandExecutionRequestApprovalParams, CommandExecutionRequestApprovalResponse,
    FileChangeApprovalDecision, FileChangeRequestApprovalParams, FileChangeRequestApprovalResponse,
    ServerRequestResolvedNotification, ThreadItemKind,
};
use crate::fronts::app_server::{AppServer, Lent, items};
use crate::fronts::exec::shell_words::shell_join;
use crate::fronts::visible;
use crate::words::command::Command;
use crate::words::event::Question;
use crate::words::ids::{CallId, ThreadId};
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
}

impl AppServer {
    pub(super) fn approval_asked(
        &mut self,
        thread: ThreadId,
        call: CallId,
        question: &Question,
        lent: Lent<'_>,
        out: &mut Output,
    ) {
        let Some(loaded) = self.threads.get_mut(&thread) else { return };
        let thread_id = loaded.id.clone();
        let Some(turn) = loaded.turn.as_deref_mut() else { return };
        turn.questions += 1;
        let turn_id = turn.id.clone();
        let open = turn.calls.iter().find(|open| open.call == call);
        let item_id =
            open.map_or_else(|| format!("call-{}", call.0).into(), |open| name(&open.item.kind));
        self.status_changed(thread, out);
        let started_at_ms = lent.wall_ms as i64;
        let (about, request) = match question {
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
        };
        let id = self.questions.next_id;
        self.questions.next_id += 1;
        self.questions.open.push(Open { id, thread, call, about });
        let params = |out: &mut Vec<u8>| request.encode_params(out);
        envelope::request(id, request.method(), &params, &mut out.stdout);
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
    })
}
