//! Starting our own executable under another name, from the agent's side.
//!
//! The agent never forks: `posix_spawn` costs the same however large it is. All signals are reset,
//! the environment is exactly what is given, and each descriptor is at a fixed number.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::kept::Look;
use crate::launcher::{
    CONTROL_FD, LAUNCHER_NAME, LOOK_FD, LOOK_WORD, PLAN_FD, RELIEF_WORD, STATUS_FD,
};
use crate::limits::PATHS_COUNT_MAX;
use crate::namespaces::Apart;
use crate::plan::{Plan, PlanError};
use crate::policy::{Access, Policy};
use crate::sys;

/// Above every number that a child is given, so that no copy overwrites the source of another.
const SOURCE_FD_MIN: RawFd = 7;
const _: () = assert!(PLAN_FD < SOURCE_FD_MIN && STATUS_FD < SOURCE_FD_MIN);
const _: () = assert!(CONTROL_FD < SOURCE_FD_MIN && LOOK_FD < SOURCE_FD_MIN);

/// What the command gets as descriptors 0 to 2; for a PTY, its slave three times.
#[derive(Debug)]
pub struct Stdio {
    /// `None` is `/dev/null`.
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// A command that was started.
#[derive(Debug)]
pub struct Spawned {
    /// The supervisor; a child to be reaped.
    pub pid: i32,
    /// Status frames, non-blocking.
    pub status: OwnedFd,
    /// Takes the bytes `I` (interrupt), `T` (stop, and kill after the grace), `K` (kill all).
    /// Closing it also kills all. Non-blocking.
    pub control: OwnedFd,
}

/// Starts the launcher for a plan.
///
/// `exe` is our own executable: `/proc/self/exe`, or its path from start-up where there is no
/// `/proc`. A failure here means that nothing was started; later ones arrive as `Refused`.
pub fn spawn(exe: &Path, plan: &Plan, stdio: Stdio) -> io::Result<Spawned> {
    spawn_among(exe, plan, stdio, None)
}

/// The same for a command that may overlap with others, which share a look at protected paths. Make
/// a new one when none of them runs any more.
pub fn spawn_among(
    exe: &Path,
    plan: &Plan,
    stdio: Stdio,
    look: Option<&Look>,
) -> io::Result<Spawned> {
    let stdin = match stdio.stdin {
        Some(stdin) => stdin,
        None => nothing_to_read()?,
    };
    let look = look.filter(|_| plan.policy.access != Access::ReadOnly);
    let look = look.map(|look| (look, LOOK_WORD));
    launch(exe, plan, [stdin.as_fd(), stdio.stdout.as_fd(), stdio.stderr.as_fd()], look)
}

/// Starts the launcher only to put back what another was to that was killed, as far as it stands in
/// the look. End first what that one has left. `kept` are those of its policy.
pub fn spawn_relief(exe: &Path, kept: &[PathBuf], look: &Look) -> io::Result<Spawned> {
    // Which list a path is in makes no difference here.
    let (protected, nested) = kept.split_at(kept.len().min(PATHS_COUNT_MAX));
    let (protected, nested) = (protected.to_vec(), nested.to_vec());
    let plan = Plan {
        policy: Policy { protected, nested, ..Policy::of(Access::WorkspaceWrite) },
        apart: Some(Apart::Nothing),
        program: Vec::new(),
        argv: vec![RELIEF_WORD.to_bytes().to_vec()],
        env: Vec::new(),
        cwd: PathBuf::from("/"),
        pty: false,
        background: false,
        grace_ms: 0,
        nofile: None,
    };
    let nothing = nothing_to_read()?;
    launch(exe, &plan, [nothing.as_fd(); 3], Some((look, RELIEF_WORD)))
}

fn launch(
    exe: &Path,
    plan: &Plan,
    stdio: [BorrowedFd<'_>; 3],
    look: Option<(&Look, &CStr)>,
) -> io::Result<Spawned> {
    let record = plan.encode(sys::pid().cast_unsigned()).map_err(invalid)?;
    let plan_file = sys::memory_file(c"windlass-plan")?;
    write_all(plan_file.as_fd(), &record)?;
    let (status, status_end) = sys::pipe()?;
    let (control_end, control) = sys::pipe()?;
    sys::set_nonblocking(status.as_fd())?;
    sys::set_nonblocking(control.as_fd())?;
    let mut argv = vec![CString::from(LAUNCHER_NAME)];
    let mut places: Vec<(BorrowedFd<'_>, RawFd)> = stdio.into_iter().zip(0..).collect();
    places.push((plan_file.as_fd(), PLAN_FD));
    places.push((status_end.as_fd(), STATUS_FD));
    places.push((control_end.as_fd(), CONTROL_FD));
    if let Some((look, word)) = look {
        argv.push(CString::from(word));
        places.push((look.as_fd(), LOOK_FD));
    }
    let pid = start(Executable::At(exe), Session::Own, &argv, &[], &places)?;
    Ok(Spawned { pid, status, control })
}

/// Starts our own executable under the name `argv[0]` with three descriptors and nothing else.
///
/// For short-lived children that are trusted, such as the resolver: no session of their own and no
/// supervisor. Descriptors that execve would not close get through; the agent must have none.
/// Returns the process.
pub fn spawn_bare(
    exe: &Path,
    argv: &[OsString],
    env: &[(OsString, OsString)],
    stdin: BorrowedFd<'_>,
    stdout: BorrowedFd<'_>,
    stderr: BorrowedFd<'_>,
) -> io::Result<i32> {
    let places = [(stdin, 0), (stdout, 1), (stderr, 2)];
    start(Executable::At(exe), Session::Shared, &words(argv)?, &variables(env)?, &places)
}

/// Starts a program of the user's own choice, unconfined, which nobody waits for.
///
/// It is looked for in `PATH`, leads a session of its own, and has `/dev/null` as each of its
/// standard descriptors. Returns the process, a child to be reaped.
pub fn spawn_detached(argv: &[OsString], env: &[(OsString, OsString)]) -> io::Result<i32> {
    let nothing = sys::open(c"/dev/null", libc::O_RDWR)?;
    let places = [0, 1, 2].map(|number| (nothing.as_fd(), number));
    start(Executable::InPath, Session::Own, &words(argv)?, &variables(env)?, &places)
}

/// Where the file to be executed is.
#[derive(Clone, Copy)]
enum Executable<'a> {
    At(&'a Path),
    /// Found by the first word.
    InPath,
}

/// Whether a child leads a session of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Session {
    Own,
    Shared,
}

/// Spawns `exe` with each descriptor at its number.
fn start(
    exe: Executable<'_>,
    session: Session,
    argv: &[CString],
    env: &[CString],
    places: &[(BorrowedFd<'_>, RawFd)],
) -> io::Result<i32> {
    let (exe, spawn) = match (exe, argv.first()) {
        (Executable::At(path), _) => (c_string(path.as_os_str())?, libc::posix_spawn as Spawn),
        (Executable::InPath, Some(name)) => (name.clone(), libc::posix_spawnp as Spawn),
        (Executable::InPath, None) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let mut moved = Vec::new();
    let mut actions = FileActions::new()?;
    for (fd, number) in places {
        let source = if fd.as_raw_fd() < SOURCE_FD_MIN {
            let copy = sys::duplicate_above(*fd, SOURCE_FD_MIN)?;
            let source = copy.as_raw_fd();
            moved.push(copy);
            source
        } else {
            fd.as_raw_fd()
        };
        actions.add_copy(source, *number)?;
    }
    let attributes = Attributes::new(session)?;
    let argv = sys::pointers(argv);
    let env = sys::pointers(env);
    let mut pid = 0;
    // SAFETY: `exe` is NUL-terminated, both lists are null-terminated arrays of such strings that
    // outlive the call and are not written to, and actions and attributes are initialized.
    let error = unsafe {
        spawn(
            &raw mut pid,
            exe.as_ptr(),
            &raw const actions.raw,
            &raw const attributes.raw,
            argv.as_ptr().cast(),
            env.as_ptr().cast(),
        )
    };
    judge(error)?;
    Ok(pid)
}

/// The type of both functions that spawn.
type Spawn = unsafe extern "C" fn(
    *mut libc::pid_t,
    *const libc::c_char,
    *const libc::posix_spawn_file_actions_t,
    *const libc::posix_spawnattr_t,
    *const *mut libc::c_char,
    *const *mut libc::c_char,
) -> i32;

fn words(argv: &[OsString]) -> io::Result<Vec<CString>> {
    argv.iter().map(|word| c_string(word)).collect()
}

fn variables(env: &[(OsString, OsString)]) -> io::Result<Vec<CString>> {
    let variable = |(name, value): &(OsString, OsString)| {
        let mut variable = name.clone();
        variable.push("=");
        variable.push(value);
        c_string(&variable)
    };
    env.iter().map(variable).collect()
}

/// A descriptor at whose end one is at once.
fn nothing_to_read() -> io::Result<OwnedFd> {
    // Without `/dev`, an empty pipe with its write end closed reads the same.
    match sys::open(c"/dev/null", libc::O_RDWR) {
        Ok(null) => Ok(null),
        Err(_) => sys::pipe().map(|(read_end, _)| read_end),
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sys::write(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn c_string(string: &OsStr) -> io::Result<CString> {
    CString::new(string.as_bytes()).map_err(|_| invalid(PlanError::HoldsNul))
}

fn invalid(error: PlanError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("cannot hand over the plan: {error:?}"))
}

/// The posix_spawn family returns errors rather than setting errno.
fn judge(error: i32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// What posix_spawn does to descriptors.
struct FileActions {
    raw: libc::posix_spawn_file_actions_t,
}

impl FileActions {
    fn new() -> io::Result<FileActions> {
        // SAFETY: the structure is integers and pointers; init overwrites the zeros.
        let mut raw = unsafe { std::mem::zeroed() };
        // SAFETY: `raw` is a valid place to initialize.
        judge(unsafe { libc::posix_spawn_file_actions_init(&raw mut raw) })?;
        Ok(FileActions { raw })
    }

    fn add_copy(&mut self, source: RawFd, number: RawFd) -> io::Result<()> {
        // SAFETY: `raw` is initialized; the rest are integers.
        let added =
            unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.raw, source, number) };
        judge(added)
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: `raw` is initialized and not used after this.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.raw) };
    }
}

/// The other circumstances of posix_spawn: every signal unblocked and at its default.
struct Attributes {
    raw: libc::posix_spawnattr_t,
}

impl Attributes {
    fn new(session: Session) -> io::Result<Attributes> {
        // SAFETY: the structure is integers; init overwrites the zeros.
        let mut raw = unsafe { std::mem::zeroed() };
        // SAFETY: `raw` is a valid place to initialize.
        judge(unsafe { libc::posix_spawnattr_init(&raw mut raw) })?;
        let mut attributes = Attributes { raw };
        let mut flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        if session == Session::Own {
            flags |= i32::from(libc::POSIX_SPAWN_SETSID);
        }
        let none = sys::signals(&[]);
        let all = sys::all_signals();
        // SAFETY: `raw` is initialized; `flags` are those of posix_spawn and fit a short.
        judge(unsafe { libc::posix_spawnattr_setflags(&raw mut attributes.raw, flags as _) })?;
        // SAFETY: `raw` is initialized and the set is valid.
        judge(unsafe { libc::posix_spawnattr_setsigmask(&raw mut attributes.raw, &none) })?;
        // SAFETY: `raw` is initialized and the set is valid.
        judge(unsafe { libc::posix_spawnattr_setsigdefault(&raw mut attributes.raw, &all) })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: `raw` is initialized and not used after this.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.raw) };
    }
}
