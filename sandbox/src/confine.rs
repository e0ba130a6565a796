//! The command's side of the fork: from a copy of the supervisor to the confined program.
//!
//! Every step is checked. A failure becomes a `Refused` frame and the end of the process; nothing
//! falls through to the command. The order matters: the terminal and the mounts before Landlock
//! refuses them, privileges between mounts and Landlock, seccomp after all it would refuse.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_ulong, pid_t};
use seccompiler::BpfProgram;

use crate::landlock::{ABI_PATH_SOCKETS, ABI_SCOPES, Ground, Terminals};
use crate::mediation::{self, Handover};
use crate::mounts;
use crate::namespaces::Apart;
use crate::plan::Plan;
use crate::policy::{Access, Level, Missing, Policy};
use crate::seccomp::{self, Metadata, PathSockets, Supervised};
use crate::status::{Stage, Status};
use crate::sys;
use crate::view;

/// Where programs are looked for when the environment of the command has no `PATH`.
const PATH_DEFAULT: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// Signals that may be ignored here: one by ourselves, and those that the C library keeps to itself
/// and so leaves out when the agent has all reset. Execve resets what has a handler.
const SIGNALS_IGNORED: [c_int; 4] = [libc::SIGPIPE, 32, 33, 34];

/// No capability above it exists; the kernel ends the list earlier with `EINVAL`.
const CAPABILITY_LAST: c_ulong = 63;

/// Exit code of a process that was refused. Nobody sees it: the frame says why.
const REFUSED_CODE: c_int = 125;

/// A step that failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) stage: Stage,
    pub(crate) error: io::Error,
}

/// Names the step that a result belongs to.
pub(crate) trait At<T> {
    fn at(self, stage: Stage) -> Result<T, Refusal>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, stage: Stage) -> Result<T, Refusal> {
        self.map_err(|error| Refusal { stage, error })
    }
}

impl Refusal {
    pub(crate) fn status(&self) -> Status {
        Status::Refused { stage: self.stage, errno: sys::errno_of(&self.error) }
    }
}

/// All that can be made ready before the fork.
pub(crate) struct Prepared {
    cwd: CString,
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    confinement: Option<(Ground, Filters)>,
    apart: Apart,
    /// What of the protected paths is not kept as it should be.
    unkept: Missing,
}

impl Prepared {
    pub(crate) fn of(plan: &Plan, apart: Apart, unkept: Missing) -> Result<Prepared, Refusal> {
        let env =
            plan.env.iter().map(|(key, value)| c_string(&[key.as_slice(), b"=", value].concat()));
        let confinement = match plan.policy.access {
            Access::Full => None,
            Access::ReadOnly | Access::WorkspaceWrite => {
                let ground = Ground::find().at(Stage::Landlock)?;
                let filters = Filters::of(plan, ground.abi(), apart).at(Stage::Seccomp)?;
                Some((ground, filters))
            }
        };
        let path = plan.variable(b"PATH").unwrap_or(PATH_DEFAULT);
        Ok(Prepared {
            cwd: c_string(plan.cwd.as_os_str().as_bytes()).at(Stage::Plan)?,
            programs: candidates(&plan.program, path).at(Stage::Plan)?,
            argv: plan
                .argv
                .iter()
                .map(|it| c_string(it))
                .collect::<io::Result<_>>()
                .at(Stage::Plan)?,
            env: env.collect::<io::Result<_>>().at(Stage::Plan)?,
            confinement,
            apart,
            unkept,
        })
    }

    /// Whether the command needs somebody to answer supervised calls.
    pub(crate) fn wants_supervisor(&self) -> bool {
        self.confinement.as_ref().is_some_and(|(_, filters)| filters.supervised.is_some())
    }

    /// Gives up what the fork closes by itself while its numbers mean the same to both sides.
    pub(crate) fn forget_ground(&mut self) {
        std::mem::forget(self.confinement.take());
    }
}

/// What stands between the command and the kernel, with a supervisor and without.
struct Filters {
    supervised: Option<BpfProgram>,
    /// `None` until it is needed, which is where the other cannot be installed.
    alone: Option<BpfProgram>,
    held: Held,
    abi: u32,
    apart: Apart,
    sockets: PathSockets,
    metadata: Metadata,
}

/// Whether sockets served outside are out of reach, with a supervisor and without. Landlock may
/// lack a rule for those with a path, or for all.
#[derive(Clone, Copy)]
struct Held {
    supervised: bool,
    alone: bool,
}

impl Filters {
    fn of(plan: &Plan, abi: u32, apart: Apart) -> io::Result<Filters> {
        let policy = &plan.policy;
        // In a network of its own it has addresses of its own to connect to.
        let is_connecting = policy.network || apart != Apart::Nothing;
        let sockets = if abi >= ABI_PATH_SOCKETS {
            PathSockets::Ruled
        } else if is_connecting && !mediation::can_take_descriptors() {
            PathSockets::Open
        } else {
            PathSockets::Guarded
        };
        let is_handed = apart != Apart::Nothing && is_file_handed(plan.pty)?;
        let metadata = Metadata::of(policy.access, apart, is_handed);
        let supervised = seccomp::wants_supervisor(metadata, apart, sockets)
            .then(|| seccomp::program(policy, abi, apart, Supervised::Yes, sockets, metadata))
            .transpose()?;
        let alone = match supervised {
            Some(_) => None,
            None => Some(seccomp::program(policy, abi, apart, Supervised::No, sockets, metadata)?),
        };
        let is_guarded = sockets == PathSockets::Guarded;
        let held = Held {
            supervised: is_guarded && mediation::can_tell_peers(),
            alone: is_guarded && !policy.network,
        };
        Ok(Filters { supervised, alone, held, abi, apart, sockets, metadata })
    }

    /// Installs one of them; what is missing of `missing` and besides.
    fn install(
        &self,
        policy: &Policy,
        offer: Option<Offer<'_>>,
        missing: Missing,
    ) -> io::Result<Missing> {
        if let Some(alone) = &self.alone {
            return seccomp::install(alone).map(|()| missing);
        }
        let without = |held: bool| {
            let sockets = Missing::PATH_SOCKETS.with(Missing::ABSTRACT_SOCKETS);
            if held { missing.without(sockets) } else { missing }
        };
        if let (Some((handover, network)), Some(supervised)) = (offer, &self.supervised) {
            // Fails within another supervisor, and where the kernel or a filter lacks listeners.
            let listener = seccomp::install_listening(supervised).ok();
            handover.offer(listener.as_ref(), network)?;
            if listener.is_some() {
                return Ok(without(self.held.supervised));
            }
        }
        let (abi, apart, sockets, metadata) = (self.abi, self.apart, self.sockets, self.metadata);
        let alone = seccomp::program(policy, abi, apart, Supervised::No, sockets, metadata)?;
        seccomp::install(&alone)?;
        Ok(without(self.held.alone).with(Missing::SUPERVISOR))
    }
}

/// The way to the supervisor, and the network to be handed over on it.
type Offer<'a> = (&'a Handover, Option<&'a OwnedFd>);

/// Becomes the command. Sets `refused` before ending in any other way.
pub(crate) fn run(
    plan: &Plan,
    prepared: Prepared,
    handover: Option<&Handover>,
    status: BorrowedFd<'_>,
    refused: &AtomicBool,
    supervisor: pid_t,
) -> ! {
    let Err(refusal) = become_command(plan, prepared, handover, status, supervisor);
    refused.store(true, Ordering::SeqCst);
    report(status, refusal.status());
    sys::exit_now(REFUSED_CODE)
}

/// Writes a frame. A pipe that nobody reads any more is no reason to stop: the end comes by the
/// control pipe.
pub(crate) fn report(status: BorrowedFd<'_>, event: Status) {
    let frame = event.encode();
    while let Err(error) = sys::write(status, frame.as_bytes()) {
        if error.kind() != io::ErrorKind::Interrupted {
            break;
        }
    }
}

fn become_command(
    plan: &Plan,
    prepared: Prepared,
    handover: Option<&Handover>,
    status: BorrowedFd<'_>,
    supervisor: pid_t,
) -> Result<std::convert::Infallible, Refusal> {
    sys::setsid().at(Stage::Session)?;
    if plan.pty {
        sys::take_terminal().at(Stage::Terminal)?;
    }
    for number in SIGNALS_IGNORED {
        sys::reset_signal(number);
    }
    sys::set_signal_mask(&sys::signals(&[])).at(Stage::Session)?;
    if let Some(soft) = plan.nofile {
        sys::set_soft_limit(libc::RLIMIT_NOFILE as c_int, soft).at(Stage::Limits)?;
    }
    // Only the command itself hears of it, and only if it keeps its user; the supervisor ends all
    // the others, unless it was killed.
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong).at(Stage::Session)?;
    // From within a process namespace, parents outside have no number; the init ends us then.
    let parent = if prepared.apart == Apart::Whole { 0 } else { supervisor };
    if sys::parent_pid() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH)).at(Stage::Orphaned);
    }
    let unprotected = match prepared.apart {
        Apart::Nothing => Missing::NONE,
        apart @ (Apart::View | Apart::Whole) => {
            let missing = view::build(&plan.policy, apart, plan.pty).at(Stage::Namespaces)?;
            take_own_nothing().at(Stage::Descriptors)?;
            missing
        }
    };
    let has_own_network = prepared.apart != Apart::Nothing && !plan.policy.network;
    let network = has_own_network.then(mounts::own_network).transpose().at(Stage::Namespaces)?;
    let offer = handover.map(|handover| (handover, network.as_ref()));
    sys::chdir(&prepared.cwd).at(Stage::Directory)?;
    let (level, missing) = match prepared.confinement {
        None => (Level::Open, Missing::NONE),
        Some((ground, filters)) => confine(plan, ground, &filters, prepared.apart, offer)?,
    };
    let missing = missing.with(unprotected).with(prepared.unkept);
    close_on_exec_from(3).at(Stage::Descriptors)?;
    report(status, Status::Confined { level, missing });
    Err(execute(&prepared.programs, &prepared.argv, &prepared.env)).at(Stage::Exec)
}

/// Gives up privileges, then rights to files, then system calls.
fn confine(
    plan: &Plan,
    ground: Ground,
    filters: &Filters,
    apart: Apart,
    offer: Option<Offer<'_>>,
) -> Result<(Level, Missing), Refusal> {
    drop_bounding_set().at(Stage::Capabilities)?;
    sys::keep_capabilities([0, 0]).at(Stage::Capabilities)?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).at(Stage::Privileges)?;
    let policy = &plan.policy;
    let (hidden, closed) = match apart {
        Apart::Nothing => (policy.unreadable.as_slice(), policy.sealed.as_slice()),
        Apart::View | Apart::Whole => ([].as_slice(), [].as_slice()),
    };
    let has_scopes = ground.abi() >= ABI_SCOPES;
    // Should the listener fail, it is within another supervisor, which answers instead.
    let is_supervised = offer.is_some() && filters.supervised.is_some();
    let terminals = match apart {
        Apart::Nothing if is_supervised => Terminals::Given,
        Apart::Nothing => Terminals::All,
        Apart::View | Apart::Whole => Terminals::Own,
    };
    let missing = ground.enforce(policy, hidden, closed, terminals).at(Stage::Landlock)?;
    let missing = with_namespaces(missing, policy, apart);
    let missing = match terminals {
        Terminals::Given => missing.without(Missing::TERMINALS),
        Terminals::All | Terminals::Own => missing,
    };
    let missing = filters.install(policy, offer, missing).at(Stage::Seccomp)?;
    let is_whole = has_scopes && !missing.contains(Missing::SUPERVISOR);
    let level = match apart {
        Apart::View | Apart::Whole => Level::Full,
        Apart::Nothing if is_whole => Level::Standard,
        Apart::Nothing => Level::Reduced,
    };
    Ok((level, missing))
}

/// What is missing besides Landlock's own gaps, and which of those namespaces close.
fn with_namespaces(missing: Missing, policy: &Policy, apart: Apart) -> Missing {
    match apart {
        Apart::Nothing => {
            let missing = match policy.access {
                Access::WorkspaceWrite => missing.with(Missing::SHARED_MEMORY),
                Access::ReadOnly | Access::Full => missing,
            };
            missing.with(Missing::TERMINALS).with(Missing::PROCESSES)
        }
        Apart::View | Apart::Whole => {
            let signals = if apart == Apart::Whole { Missing::SIGNAL_SCOPE } else { Missing::NONE };
            let sockets = if policy.network { Missing::NONE } else { Missing::ABSTRACT_SOCKETS };
            missing.without(signals).without(sockets)
        }
    }
}

/// Keeps execve from giving uid 0 its capabilities back.
///
/// Without the right to do so this changes nothing, and `no_new_privs` prevents the same.
fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..=CAPABILITY_LAST {
        match sys::prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Marks every descriptor from `first` on to be closed by execve, whatever its number.
fn close_on_exec_from(first: u32) -> io::Result<()> {
    if sys::close_range(first, libc::CLOSE_RANGE_CLOEXEC).is_ok() {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<c_int>().ok());
        if let Some(number) = number.filter(|number| number.cast_unsigned() >= first) {
            sys::set_close_on_exec(number)?;
        }
    }
    Ok(())
}

/// Where the program may be: itself if it holds a slash, else in each directory of `path`.
fn candidates(program: &[u8], path: &[u8]) -> io::Result<Vec<CString>> {
    if program.is_empty() {
        return Ok(Vec::new());
    }
    if program.contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    path.split(|&byte| byte == b':')
        .map(|directory| match directory {
            b"" => c_string(program),
            directory => c_string(&[directory, b"/", program].concat()),
        })
        .collect()
}

/// Tries each candidate as execvp does; a script without an interpreter line goes to the shell.
fn execute(programs: &[CString], argv: &[CString], env: &[CString]) -> io::Error {
    let mut worst = libc::ENOENT;
    for program in programs {
        let error = sys::execute(program, argv, env);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            Some(libc::EACCES) => worst = libc::EACCES,
            Some(libc::ENOEXEC) => return execute_script(program, argv, env),
            _ => return error,
        }
    }
    io::Error::from_raw_os_error(worst)
}

fn execute_script(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let mut words = vec![CString::from(c"sh"), program.to_owned()];
    words.extend(argv.iter().skip(1).cloned());
    sys::execute(c"/bin/sh", &words, env)
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Whether one of 0 to 2 leads to something of somebody's past the command's mounts, be it a file,
/// a named pipe, a device or a link. `/dev/null` is taken anew from the command's own mounts, and a
/// terminal made for it is its own.
fn is_file_handed(pty: bool) -> io::Result<bool> {
    for number in 0..3 {
        let Ok(found) = sys::status_of(number) else { continue };
        let is_handed = match found.st_mode & libc::S_IFMT {
            libc::S_IFCHR => !pty && !is_nothing(&found),
            // Without a name it is nobody else's.
            libc::S_IFREG => found.st_nlink > 0,
            // Pipes and sockets that were never in a file system are named by what they are.
            _ => std::fs::read_link(format!("/proc/self/fd/{number}"))
                .map_or(true, |name| name.starts_with("/")),
        };
        if is_handed {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_nothing(found: &libc::stat) -> bool {
    found.st_mode & libc::S_IFMT == libc::S_IFCHR && found.st_rdev == libc::makedev(1, 3)
}

/// Takes `/dev/null` from the mounts as they are now, where its permissions cannot be changed.
fn take_own_nothing() -> io::Result<()> {
    for number in 0..3 {
        if sys::status_of(number).is_ok_and(|found| is_nothing(&found)) {
            match sys::open(c"/dev/null", libc::O_RDWR) {
                Ok(nothing) => sys::replace(number, nothing.as_fd())?,
                // It is from elsewhere then, and here there is none to protect.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Puts a harmless descriptor in the place of 0 to 2, so that nothing of the command stays open.
pub(crate) fn let_go_of_stdio() {
    let harmless: io::Result<OwnedFd> =
        sys::open(c"/dev/null", libc::O_RDWR).or_else(|_| sys::memory_file(c"windlass-nothing"));
    for number in 0..3 {
        // Closing is the second best: a number that is free again may be taken by a later open.
        let replaced = harmless.as_ref().is_ok_and(|fd| sys::replace(number, fd.as_fd()).is_ok());
        if !replaced {
            sys::close_number(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_candidates(program: &str, path: &str, expected: &[&str]) {
        let found = candidates(program.as_bytes(), path.as_bytes()).unwrap();
        let found: Vec<_> = found.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn programs_are_looked_for_as_execvp_does() {
        check_candidates("true", "/bin:/usr/bin", &["/bin/true", "/usr/bin/true"]);
        check_candidates("./true", "/bin", &["./true"]);
        check_candidates("true", "/a::b", &["/a/true", "true", "b/true"]);
        check_candidates("true", "", &["true"]);
        check_candidates("", "/bin", &[]);
    }
}
