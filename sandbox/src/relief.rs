//! Taking the place of a supervisor that was killed.
//!
//! What it was to put back stands in the look that it shared. So the agent, once it has ended what
//! was left running, starts the launcher for this alone. Should the agent be killed as well, nobody
//! is left who knows.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::confine::{self, At, Refusal};
use crate::kept::{Kept, Look};
use crate::launcher::{LOOK_FD, PLAN_FD, give_up_privileges, prepare_self, read_plan};
use crate::policy::Access;
use crate::status::{Stage, Status};
use crate::sys;

/// Puts back what stands in the look for the paths that the plan names, and tells of it as a
/// supervisor does.
pub(crate) fn relieve(status: &OwnedFd) -> ! {
    match begin() {
        Ok(kept) => {
            kept.settle_telling(status.as_fd());
            confine::report(status.as_fd(), Status::LeftOver { ended: 0, alive: 0 });
        }
        Err(refusal) => confine::report(status.as_fd(), refusal.status()),
    }
    sys::exit_now(0)
}

fn begin() -> Result<Kept, Refusal> {
    let plan_file = sys::inherited(PLAN_FD).at(Stage::Plan)?;
    let (plan, agent_pid) = read_plan(plan_file).at(Stage::Plan)?;
    let look = Look::inherited(LOOK_FD).at(Stage::Plan)?;
    prepare_self().at(Stage::Supervise)?;
    if sys::parent_pid().cast_unsigned() != agent_pid {
        return Err(io::Error::from_raw_os_error(libc::ESRCH)).at(Stage::Orphaned);
    }
    // Failing leaves us with what the agent has anyway.
    let _ = give_up_privileges(Access::WorkspaceWrite);
    Kept::of_another(&plan.policy, look).at(Stage::Supervise)
}
