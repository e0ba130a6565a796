//! The supervisor: one small process per command, from start to the last descendant.
//!
//! ```text
//! prepare -> fork -> watch --command ended--> TERM to what is left --short grace--+
//!                      |                                                           v
//!                      +--byte T--> TERM to the group --grace-------------------> KILL all
//!                      +--byte K, control pipe closed, SIGTERM-------------------> until no
//!                                                                                  child is left
//! ```
//!
//! It has a session of its own, an empty environment, none of the command's descriptors and, once
//! the command is forked, no privilege it does not need. Status frames go out as things happen.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, c_short, c_ulong, pid_t};

use crate::confine::{self, At, Prepared, Refusal};
use crate::end;
use crate::kept::{Kept, Look};
use crate::landlock;
use crate::limits::{
    DESCENDANTS_COUNT_MAX, LEFT_OVER_GRACE_MS_MAX, REAPED_COUNT_MAX, RECORD_BYTES_MAX,
    ROUND_PAUSE_MS_MAX, ROUNDS_RUSHED_COUNT, STUCK_MS_MAX,
};
use crate::mediation::{Handover, Mediation, Roots};
use crate::namespaces::{self, Apart, Init};
use crate::plan::Plan;
use crate::policy::Access;
use crate::relief;
use crate::status::{Stage, Status};
use crate::sys::{self, Ended, Reaped};
use crate::temporary::Lent;

/// The name under which our executable is the launcher.
pub(crate) const LAUNCHER_NAME: &CStr = c"windlass-linux-sandbox";

/// Names that make our executable the launcher; the second for scripts that know the other agent.
const NAMES: [&[u8]; 2] = [LAUNCHER_NAME.to_bytes(), b"codex-linux-sandbox"];

/// Where the launcher finds what it was given, after the command's own three.
pub(crate) const PLAN_FD: RawFd = 3;
pub(crate) const STATUS_FD: RawFd = 4;
pub(crate) const CONTROL_FD: RawFd = 5;
/// Only where the word after the launcher's name says so.
pub(crate) const LOOK_FD: RawFd = 6;

/// Says that the launcher is given what commands that overlap have found.
pub(crate) const LOOK_WORD: &CStr = c"look";

/// Says the same, and that it is to put back what a supervisor was to that was killed.
pub(crate) const RELIEF_WORD: &CStr = c"relief";

/// `CAP_KILL` of linux/capability.h.
const CAPABILITY_KILL: u32 = 5;

/// Exit code when even the status pipe was missing.
const MISUSED_CODE: c_int = 125;

/// Whether a program name asks for the launcher.
pub fn is_launcher(argv0: &OsStr) -> bool {
    let base = argv0.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    NAMES.contains(&base)
}

/// Runs the launcher. Call it first thing in `main`, before anything starts or reads anything.
pub fn launcher_main() -> ! {
    // What leaked through the agent's own spawning must not stay open here. Where the call is
    // missing, whatever leaked is still closed for the command.
    let is_relief = is_told(RELIEF_WORD);
    let last = if is_relief || is_told(LOOK_WORD) { LOOK_FD } else { CONTROL_FD };
    let _ = sys::close_range(last.cast_unsigned() + 1, 0);
    let Ok(status) = sys::inherited(STATUS_FD) else {
        eprintln!("windlass-linux-sandbox: started by windlass only, to run one command confined");
        sys::exit_now(MISUSED_CODE)
    };
    if is_relief {
        relief::relieve(&status);
    }
    match Supervisor::start(status) {
        Ok(supervisor) => supervisor.watch(),
        Err((status, refusal)) => {
            confine::report(status.as_fd(), refusal.status());
            sys::exit_now(MISUSED_CODE)
        }
    }
}

struct Supervisor {
    status: OwnedFd,
    /// `None` once it closed: everything is being killed.
    control: Option<OwnedFd>,
    signals: OwnedFd,
    /// `None` once it was reaped, since its number means nothing from then on.
    command: Option<pid_t>,
    /// `None` without supervised calls.
    mediation: Option<Mediation>,
    /// Where the command has processes of its own.
    init: Option<Init>,
    /// What is put back in the end.
    kept: Kept,
    /// What is taken back in the end.
    lent: Lent,
    refused: &'static AtomicBool,
    background: bool,
    grace: Duration,
    /// When everything is killed.
    kill_at: Option<Instant>,
    /// Processes that ended after the command.
    ended_after: u32,
    /// More may have ended than were reaped.
    is_behind: bool,
    /// Whether a signal to everybody reaches the command's processes alone.
    is_scoped: bool,
}

impl Supervisor {
    fn start(status: OwnedFd) -> Result<Supervisor, (OwnedFd, Refusal)> {
        match begin(&status) {
            Ok(begun) => Ok(Supervisor {
                status,
                control: Some(begun.control),
                signals: begun.signals,
                command: Some(begun.command),
                mediation: begun.mediation,
                init: begun.init,
                kept: begun.kept,
                lent: begun.lent,
                refused: begun.refused,
                background: begun.background,
                grace: begun.grace,
                kill_at: None,
                ended_after: 0,
                is_behind: false,
                is_scoped: begun.is_scoped,
            }),
            Err(refusal) => Err((status, refusal)),
        }
    }

    /// Watches until nothing is left.
    fn watch(mut self) -> ! {
        self.reap();
        loop {
            let now = Instant::now();
            if self.kill_at.is_some_and(|at| at <= now) {
                self.kill_all();
            }
            // One more millisecond, so that the deadline is over when the wait is.
            let wait = self.kill_at.map(|at| at.duration_since(now).as_millis() + 1);
            let timeout = wait.map_or(-1, |ms| c_int::try_from(ms).unwrap_or(c_int::MAX));
            let timeout = if self.is_behind { 0 } else { timeout };
            let control = self.control.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            let calls = self.mediation.as_ref().map_or(-1, Mediation::number);
            let signals = self.signals.as_raw_fd();
            let mut fds = [readable(signals), readable(control), readable(calls)];
            if sys::poll(&mut fds, timeout).is_err() {
                self.kill_all();
            }
            if fds[0].revents != 0 {
                if self.take_signals() {
                    self.kill_all();
                }
                self.is_behind = true;
            }
            if self.is_behind {
                self.reap();
            }
            if fds[1].revents != 0 {
                self.obey();
            }
            self.mediate(fds[2].revents);
        }
    }

    /// Answers a supervised call. Once nobody is left who could make one, no more are waited for.
    fn mediate(&mut self, events: c_short) {
        let Some(mediation) = &mut self.mediation else { return };
        if events & libc::POLLIN != 0 {
            mediation.serve();
        } else if events != 0 {
            mediation.close();
        }
    }

    /// Reaps what has ended, as far as it comes: whoever forks faster than we reap must not keep us
    /// from the rest. Reports the command's end, begins the ending of what it left behind, and
    /// finishes when nothing is left.
    fn reap(&mut self) {
        let mut command_ended = false;
        self.is_behind = true;
        for _ in 0..REAPED_COUNT_MAX {
            match sys::reap(-1) {
                Reaped::NoneYet => {
                    self.is_behind = false;
                    break;
                }
                Reaped::NoChildren => self.finish(0),
                Reaped::Child(pid, ended) if self.command == Some(pid) => {
                    self.command = None;
                    command_ended = true;
                    self.report_end(ended);
                }
                Reaped::Child(pid, _) if self.is_our_own(pid) => {}
                Reaped::Child(pid, _) => self.count_ended(pid),
            }
        }
        if !command_ended {
            return;
        }
        if !self.background {
            if !self.signal_scope(libc::SIGTERM) {
                self.signal_rest(libc::SIGTERM);
            }
            let short = Duration::from_millis(LEFT_OVER_GRACE_MS_MAX.into());
            self.kill_by(Instant::now() + self.grace.min(short));
        }
        if let Some(init) = &self.init {
            init.let_go();
        }
    }

    /// Counts what has ended after the command. What an init reaps is counted when signalled.
    fn count_ended(&mut self, pid: pid_t) {
        let is_init = self.init.as_ref().is_some_and(|init| init.pid == pid);
        if is_init {
            self.init = None;
        } else if self.command.is_none() {
            self.ended_after = self.ended_after.saturating_add(1);
        }
    }

    /// Signals everybody within reach at once, if that is nobody but the command's.
    fn signal_scope(&self, signal: c_int) -> bool {
        // An error means that nobody is there.
        self.is_scoped && sys::kill(-1, signal).is_ok()
    }

    /// Signals all that is there but the init, and says how many that were besides the command.
    fn signal_rest(&mut self, signal: c_int) -> u32 {
        let count = u32::try_from(end::signal_descendants(signal)).unwrap_or(u32::MAX);
        let helpers = self.mediation.as_ref().map_or(0, Mediation::helpers_count);
        let ours = u32::from(self.init.is_some()) + u32::from(self.command.is_some());
        let ours = ours.saturating_add(u32::try_from(helpers).unwrap_or(u32::MAX));
        let rest = count.saturating_sub(ours);
        if self.init.is_some() {
            self.ended_after = self.ended_after.max(rest);
        }
        rest
    }

    /// Whether a child that ended only made a supervised call for us.
    fn is_our_own(&mut self, pid: pid_t) -> bool {
        self.mediation.as_mut().is_some_and(|mediation| mediation.forget(pid))
    }

    fn report_end(&mut self, ended: Ended) {
        if self.refused.load(Ordering::SeqCst) {
            // It has said so itself and started nothing.
            self.lent.take_back();
            sys::exit_now(0);
        }
        let status = match ended {
            Ended::Exited(code) => Status::Exited(code),
            Ended::Signalled(number) => Status::Signalled(number),
        };
        confine::report(self.status.as_fd(), status);
    }

    /// Does what the control pipe says.
    fn obey(&mut self) {
        let Some(control) = &self.control else { return };
        let mut bytes = [0; 64];
        let count = match sys::read(control.as_fd(), &mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(_) => 0,
        };
        if count == 0 {
            self.control = None;
            self.kill_all();
        }
        for byte in &bytes[..count] {
            match byte {
                b'I' => self.signal(libc::SIGINT),
                b'T' => {
                    self.signal(libc::SIGTERM);
                    self.kill_by(Instant::now() + self.grace);
                }
                b'K' => self.kill_all(),
                // Another version's wish; killing is the safe reading of what we don't know.
                _ => self.kill_all(),
            }
        }
    }

    /// Signals the command's group, or whoever outlived the command.
    fn signal(&mut self, signal: c_int) {
        let Some(command) = self.command else {
            self.signal_rest(signal);
            return;
        };
        // A command just forked has no group of its own yet, and gets the signal by itself.
        if sys::kill(-command, signal).is_err() {
            // Not reaped, so the number is still its own, and a failure means that it has ended.
            let _ = sys::kill(command, signal);
        }
    }

    fn kill_by(&mut self, at: Instant) {
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether a signal asks us to end. The rest only wakes us to reap.
    fn take_signals(&self) -> bool {
        let mut asked = false;
        while let Some(number) = sys::next_signal(self.signals.as_fd()) {
            asked |= number != libc::SIGCHLD.cast_unsigned();
        }
        asked
    }

    /// Kills until no child is left, or nothing goes away any more.
    fn kill_all(&mut self) -> ! {
        let stuck_after = Duration::from_millis(STUCK_MS_MAX);
        let mut moved_at = Instant::now();
        let mut round: u32 = 0;
        loop {
            // All at once where that can be, which nobody can outrun. Whoever is killed is reaped
            // before the others are looked for one by one.
            let has_moved = self.signal_scope(libc::SIGKILL) && self.reap_killed();
            let alive = self.signal_rest(libc::SIGKILL);
            if self.reap_killed() || has_moved {
                moved_at = Instant::now();
            } else if moved_at.elapsed() > stuck_after {
                self.finish(alive);
            }
            round = round.saturating_add(1);
            let pause = c_int::try_from(round.saturating_sub(ROUNDS_RUSHED_COUNT));
            let pause = pause.unwrap_or(c_int::MAX).min(ROUND_PAUSE_MS_MAX);
            let mut fds = [readable(self.signals.as_raw_fd())];
            // An error costs the pause only; the rounds go on.
            let _ = sys::poll(&mut fds, pause);
            self.take_signals();
        }
    }

    /// Whether anything has gone away. Finishes when nothing is left.
    fn reap_killed(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..DESCENDANTS_COUNT_MAX {
            match sys::reap(-1) {
                Reaped::NoneYet => return moved,
                Reaped::NoChildren => self.finish(0),
                Reaped::Child(pid, ended) if self.command == Some(pid) => {
                    self.command = None;
                    self.report_end(ended);
                }
                Reaped::Child(pid, _) if self.is_our_own(pid) => {}
                Reaped::Child(pid, _) => self.count_ended(pid),
            }
            moved = true;
        }
        moved
    }

    fn finish(&self, alive: u32) -> ! {
        self.kept.settle_telling(self.status.as_fd());
        self.lent.take_back();
        let ended = self.ended_after;
        confine::report(self.status.as_fd(), Status::LeftOver { ended, alive });
        sys::exit_now(0)
    }
}

/// What a start yields.
struct Begun {
    control: OwnedFd,
    signals: OwnedFd,
    command: pid_t,
    mediation: Option<Mediation>,
    init: Option<Init>,
    kept: Kept,
    lent: Lent,
    refused: &'static AtomicBool,
    is_scoped: bool,
    background: bool,
    grace: Duration,
}

/// Which namespaces the command gets: as planned, or as a trial shows.
fn settle(plan: &Plan) -> Apart {
    match (plan.policy.access, plan.apart) {
        (Access::Full, _) => Apart::Nothing,
        (Access::ReadOnly | Access::WorkspaceWrite, Some(apart)) => apart,
        (Access::ReadOnly | Access::WorkspaceWrite, None) => {
            let apart = namespaces::try_out(&plan.policy).unwrap_or(Apart::Nothing);
            // The end of the trial is not that of the command.
            sys::forget_signal(libc::SIGCHLD);
            apart
        }
    }
}

/// Prepares the supervisor and forks the command.
fn begin(status: &OwnedFd) -> Result<Begun, Refusal> {
    let plan_file = sys::inherited(PLAN_FD).at(Stage::Plan)?;
    let control = sys::inherited(CONTROL_FD).at(Stage::Plan)?;
    let (mut plan, agent_pid) = read_plan(plan_file).at(Stage::Plan)?;
    let look = is_told(LOOK_WORD).then(|| Look::inherited(LOOK_FD)).transpose().at(Stage::Plan)?;
    let signals = prepare_self().at(Stage::Supervise)?;
    if sys::parent_pid().cast_unsigned() != agent_pid {
        // The signal for the agent's death was asked for after it.
        return Err(io::Error::from_raw_os_error(libc::ESRCH)).at(Stage::Orphaned);
    }
    let apart = settle(&plan);
    let lent = Lent::to(&mut plan, apart);
    let (kept, unkept) = Kept::of(&plan.policy, apart, look);
    let mut prepared = Prepared::of(&plan, apart, unkept)?;
    // Where a table cannot be shared and taken back, the calls are refused instead.
    let handover = if prepared.wants_supervisor() { Handover::new().ok() } else { None };
    let roots = Roots::of(&plan.policy);
    let refused = sys::shared_flag().at(Stage::Supervise)?;
    let us = sys::pid();
    let init = namespaces::enter(apart).at(Stage::Namespaces)?;
    // In a namespace of processes all end with its init; where there are only mounts of its own,
    // rules would refuse those.
    let is_open = plan.policy.access == Access::Full;
    let is_scoped = apart == Apart::Nothing && !is_open && scope_signals();
    let forked = if handover.is_some() { sys::fork_sharing_descriptors() } else { sys::fork() };
    let command = match forked.at(Stage::Fork)? {
        0 => confine::run(&plan, prepared, handover.as_ref(), status.as_fd(), refused, us),
        command => command,
    };
    let listener = match handover {
        Some(handover) => {
            prepared.forget_ground();
            handover.accept(signals.as_raw_fd()).at(Stage::Supervise)?
        }
        None => None,
    };
    confine::let_go_of_stdio();
    let mediation = listener.map(|listener| Mediation::new(listener, roots));
    // Not to hold a directory of the agent's busy; where it fails nothing worse happens.
    let _ = sys::chdir(c"/");
    // Failing leaves us with what the agent has anyway.
    let _ = give_up_privileges(plan.policy.access);
    Ok(Begun {
        control,
        signals,
        command,
        mediation,
        init,
        kept,
        lent,
        refused,
        is_scoped,
        background: plan.background,
        grace: Duration::from_millis(plan.grace_ms.into()),
    })
}

/// Keeps our signals and those of all that we start from everybody else, where the kernel can. It
/// is believed only if the agent, which could be signalled before, is out of reach: a signal to
/// everybody must never leave this circle.
///
/// The command gets rules of its own within these. One of its groups or sessions can be left by
/// forking faster than we look; this cannot be left at all.
fn scope_signals() -> bool {
    let agent = sys::parent_pid();
    let reaches_agent = || sys::kill(agent, 0);
    agent > 1
        && reaches_agent().is_ok()
        && sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).is_ok()
        && landlock::scope_signals().is_ok()
        && reaches_agent().is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
}

/// Whether the launcher was started with this word after its name.
fn is_told(word: &CStr) -> bool {
    std::env::args_os().nth(1).is_some_and(|told| told.as_bytes() == word.to_bytes())
}

pub(crate) fn read_plan(file: OwnedFd) -> io::Result<(Plan, u32)> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let len = usize::try_from(sys::file_size(file.as_fd())?).map_err(|_| invalid())?;
    if len > RECORD_BYTES_MAX {
        return Err(invalid());
    }
    let mut record = vec![0; len];
    File::from(file).read_exact_at(&mut record, 0)?;
    Plan::decode(&record).map_err(|_| invalid())
}

/// Makes this process fit to watch; returns the descriptor for its signals.
pub(crate) fn prepare_self() -> io::Result<OwnedFd> {
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0)?;
    sys::set_soft_limit(libc::RLIMIT_CORE as c_int, 0)?;
    // A reader that is gone must not end us before the command's descendants.
    sys::ignore_signal(libc::SIGPIPE);
    sys::set_signal_mask(&sys::all_signals())?;
    let wanted = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    let signals = sys::signal_fd(&sys::signals(&wanted))?;
    // Not SIGKILL: we have to end the others first.
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as c_ulong)?;
    Ok(signals)
}

/// Gives up what only the command needed. Killing programs of other users still needs one.
pub(crate) fn give_up_privileges(access: Access) -> io::Result<()> {
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    match access {
        Access::ReadOnly | Access::WorkspaceWrite => sys::keep_capabilities([0, 0]),
        Access::Full => sys::keep_capabilities([1 << CAPABILITY_KILL, 0])
            .or_else(|_| sys::keep_capabilities([0, 0])),
    }
}

fn readable(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_is_known_by_its_base_name() {
        for name in ["windlass-linux-sandbox", "/x/codex-linux-sandbox", "./windlass-linux-sandbox"]
        {
            assert!(is_launcher(OsStr::new(name)), "{name}");
        }
        for name in ["windlass", "windlass-linux-sandbox/", "", "x-windlass-linux-sandbox"] {
            assert!(!is_launcher(OsStr::new(name)), "{name}");
        }
    }
}
