//! Command lines of the user, which the machine runs in turns of their own.

use crate::fronts::app_server::AppServer;
use crate::fronts::app_server::ask::{Ask, Ticket, Waits};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::v1::RequestId;
use crate::fronts::app_server::types::v2::ThreadShellCommandParams;
use crate::limits::{COMMAND_TIMEOUT_MS, COMMAND_TIMEOUT_MS_MAX, USER_COMMAND_BYTES_MAX};
use crate::words::command::Command;

impl AppServer {
    pub(super) fn run_user_command(
        &mut self,
        id: &RequestId,
        params: ThreadShellCommandParams,
    ) -> Result<(), Failure> {
        let thread = self.find(&params.thread_id)?;
        let line = params.command;
        if line.trim().is_empty() {
            return Err(Failure::refused("command must not be empty"));
        }
        if line.len() > USER_COMMAND_BYTES_MAX {
            let message = format!("command: larger than {USER_COMMAND_BYTES_MAX} bytes");
            return Err(Failure::refused(message));
        }
        if line.contains('\0') {
            return Err(Failure::refused("command: a NUL character cannot be passed on"));
        }
        let timeout_ms = match params.timeout_ms.map(u64::try_from) {
            None => COMMAND_TIMEOUT_MS,
            Some(Ok(ms)) if (1..=COMMAND_TIMEOUT_MS_MAX).contains(&ms) => ms,
            Some(_) => {
                let message = format!("timeoutMs: must be from 1 to {COMMAND_TIMEOUT_MS_MAX}");
                return Err(Failure::refused(message));
            }
        };
        if self.threads.get(&thread).is_some_and(|loaded| loaded.turn.is_some()) {
            let message = "a turn is running; interrupt it or wait for its end before running a \
                           command";
            return Err(Failure::refused(message));
        }
        let ticket = Ticket { id: id.clone(), waits: Waits::Taken };
        let command = Command::Run { thread, line, timeout_ms };
        self.ask(Ask::Command { ticket: Some(ticket), command });
        Ok(())
    }
}
