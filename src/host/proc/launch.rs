//! From a plan of the machine to a child under a launcher: policy, environment, descriptors.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use windlass_sandbox::limits::PATHS_COUNT_MAX;
use windlass_sandbox::{Access, Look, Plan, Policy, Spawned, Stdio};

use crate::host::proc::child::{Child, Purpose};
use crate::host::proc::overlap::Shared;
use crate::host::proc::roots::Roots;
use crate::host::proc::session::Typing;
use crate::host::proc::{links, protection, pty};
use crate::limits::STOP_GRACE_MS;
use crate::words::call::{CommandPlan, Life, SessionStdio};
use crate::words::ids::OpId;
use crate::words::policy::{ApprovalPolicy, Confinement, SandboxMode, SandboxPolicy};
use crate::words::settings::ThreadSettings;
use crate::words::sort;

/// The name under which our executable looks at files and applies patches.
pub const FILES_NAME: &str = "windlass-files";

/// What programs in a terminal find: nobody is there to see colours or turn pages.
const TERMINAL_ENV: [(&str, &str); 3] = [("TERM", "dumb"), ("PAGER", "cat"), ("GIT_PAGER", "cat")];

/// Files of the home whose content no command may read.
pub const SECRETS: [&str; 2] = ["auth.json", ".credentials.json"];

/// What every start of a child has in common.
#[derive(Debug)]
pub struct Starter {
    /// Our own executable.
    exe: PathBuf,
    /// The soft limit of open files that we were started with.
    nofile: Option<u64>,
    /// The agent's own directory, where there is one.
    home: Option<PathBuf>,
    tmpdir: Option<PathBuf>,
    /// The environment of commands, before what the sandbox adds.
    env: Vec<(OsString, OsString)>,
    /// Commands run through the user's login shell.
    through_profile: bool,
    roots: Roots,
}

impl Starter {
    /// `exe` is the path from start-up; it is used only where there is no `/proc`.
    pub fn new(
        exe: PathBuf,
        nofile: Option<u64>,
        home: Option<&Path>,
        env: Vec<(OsString, OsString)>,
    ) -> Starter {
        let own = Path::new("/proc/self/exe");
        let exe = if own.exists() { own.to_path_buf() } else { exe };
        let home = home.and_then(|home| home.canonicalize().ok());
        let tmpdir = std::env::var_os("TMPDIR").filter(|value| !value.is_empty());
        let tmpdir = tmpdir.and_then(|path| PathBuf::from(path).canonicalize().ok());
        Starter { exe, nofile, home, tmpdir, env, through_profile: false, roots: Roots::default() }
    }

    /// From now on commands find what the profile of the user's shell sets up.
    pub fn run_through_profile(&mut self) {
        self.through_profile = true;
    }

    /// The same, with another copy of our executable for launcher.
    #[must_use]
    pub fn with_executable(mut self, exe: PathBuf) -> Starter {
        self.exe = exe;
        self
    }

    /// Learns where the roots of a thread are, before any of its commands runs.
    pub fn hear_of(&mut self, settings: &ThreadSettings) {
        for root in settings.sandbox.writable_roots.iter().chain([&settings.cwd]) {
            self.roots.place(root);
        }
    }

    pub fn exe(&self) -> &Path {
        &self.exe
    }

    pub(super) fn nofile(&self) -> Option<u64> {
        self.nofile
    }

    /// Starts a command of the model; stdout and stderr come in one stream, as they arrive.
    pub fn command(
        &mut self,
        op: OpId,
        command: &CommandPlan,
        settings: &ThreadSettings,
        confinement: Confinement,
        shared: Shared<'_>,
    ) -> io::Result<Child> {
        let policy = self.policy(&settings.sandbox, &settings.cwd, confinement);
        let mut env = self.variables(&settings.sandbox);
        let stdio = match command.life {
            Life::Call { .. } => None,
            Life::Session { stdio, .. } => Some(stdio),
        };
        let pty = stdio == Some(SessionStdio::Terminal);
        if pty {
            let is_ours = |name: &[u8]| TERMINAL_ENV.iter().any(|(own, _)| own.as_bytes() == name);
            env.retain(|(name, _)| !is_ours(name));
            env.extend(TERMINAL_ENV.map(|(name, value)| (name.into(), value.into())));
        }
        let words = match self.through_profile {
            true => through_profile(&settings.shell, &command.argv),
            false => command.argv.clone(),
        };
        let program = words.first().cloned().unwrap_or_default();
        let argv: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
        let plan = Plan {
            policy,
            apart: shared.apart,
            program: program.clone().into_bytes(),
            argv,
            env,
            cwd: PathBuf::from(&*command.workdir),
            pty,
            background: false,
            grace_ms: STOP_GRACE_MS as u32,
            nofile: self.nofile,
        };
        let purpose = Purpose::of(command.life);
        let (ends, typing, stdin) = match stdio {
            None => (Ends::pipe()?, None, None),
            Some(SessionStdio::Terminal) => {
                let (master, slave) = pty::open()?;
                let typing = Typing::new(pty::second(&master)?, SessionStdio::Terminal);
                let stdin = slave.try_clone()?;
                (Ends { ours: master, theirs: slave }, Some(typing), Some(stdin))
            }
            Some(SessionStdio::Pipes) => {
                let (stdin, typed) = io::pipe()?;
                let typed = OwnedFd::from(typed);
                set_nonblocking(&typed)?;
                let typing = Typing::new(File::from(typed), SessionStdio::Pipes);
                (Ends::pipe()?, Some(typing), Some(OwnedFd::from(stdin)))
            }
        };
        let (spawned, output) = self.start(&plan, stdin, ends, shared.look)?;
        let child = Child::new(op, purpose, spawned, output, typing, program, plan.cwd);
        let kept = plan.policy.kept().cloned().collect();
        Ok(child.with_advice(advice(settings)).with_protected(kept, &self.exe))
    }

    /// Starts `windlass-files` with a request. It may look where the thread may look; it may write,
    /// when it applies a patch, where the thread may write.
    pub fn files(
        &mut self,
        op: OpId,
        purpose: Purpose,
        request: &[u8],
        settings: &ThreadSettings,
        confinement: Confinement,
        shared: Shared<'_>,
    ) -> io::Result<Child> {
        let mut policy = self.policy(&settings.sandbox, &settings.cwd, confinement);
        let is_full = settings.sandbox.mode == SandboxMode::DangerFullAccess;
        if purpose != Purpose::Apply && !is_full {
            policy.access = Access::ReadOnly;
        }
        policy.network = is_full;
        let plan = Plan {
            policy,
            apart: shared.apart,
            program: bytes(self.exe.as_os_str()),
            argv: vec![FILES_NAME.into()],
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            pty: false,
            background: false,
            grace_ms: STOP_GRACE_MS as u32,
            nofile: self.nofile,
        };
        let input = memory_file(request)?;
        let (spawned, output) = self.start(&plan, Some(input), Ends::pipe()?, shared.look)?;
        let name = FILES_NAME.to_string();
        let child = Child::new(op, purpose, spawned, output, None, name, plan.cwd);
        let is_writing = plan.policy.access == Access::WorkspaceWrite;
        let kept = plan.policy.kept().filter(|_| is_writing).cloned().collect();
        Ok(child.with_protected(kept, &self.exe))
    }

    /// Starts the launcher; gives it and our end of the output.
    fn start(
        &self,
        plan: &Plan,
        stdin: Option<OwnedFd>,
        ends: Ends,
        look: Option<&Look>,
    ) -> io::Result<(Spawned, OwnedFd)> {
        links::judge(&plan.policy.unreadable)?;
        let stderr = ends.theirs.try_clone()?;
        let stdio = Stdio { stdin, stdout: ends.theirs, stderr };
        let spawned = windlass_sandbox::spawn_among(&self.exe, plan, stdio, look)?;
        Ok((spawned, ends.ours))
    }

    /// A command of the user's, on descriptors of the user's.
    pub fn own_command(&mut self, argv: &[OsString], cwd: &str, sandbox: &SandboxPolicy) -> Plan {
        Plan {
            policy: self.policy(sandbox, cwd, Confinement::Sandboxed),
            apart: None,
            program: argv.first().map(|word| bytes(word)).unwrap_or_default(),
            argv: argv.iter().map(|word| bytes(word)).collect(),
            env: self.variables(sandbox),
            cwd: PathBuf::from(cwd),
            pty: false,
            background: false,
            grace_ms: STOP_GRACE_MS as u32,
            nofile: self.nofile,
        }
    }

    /// The environment of commands under a policy.
    pub(super) fn variables(&self, sandbox: &SandboxPolicy) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut env: Vec<(Vec<u8>, Vec<u8>)> =
            self.env.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        if !sandbox.network && sandbox.mode != SandboxMode::DangerFullAccess {
            env.push((b"CODEX_SANDBOX_NETWORK_DISABLED".to_vec(), b"1".to_vec()));
        }
        env
    }

    pub(super) fn policy(
        &mut self,
        sandbox: &SandboxPolicy,
        cwd: &str,
        confinement: Confinement,
    ) -> Policy {
        let access = match (confinement, sandbox.mode) {
            (Confinement::Unconfined, _) | (_, SandboxMode::DangerFullAccess) => Access::Full,
            (Confinement::Sandboxed, SandboxMode::ReadOnly) => Access::ReadOnly,
            (Confinement::Sandboxed, SandboxMode::WorkspaceWrite) => Access::WorkspaceWrite,
        };
        let (mut writable_roots, mut protected) = (Vec::new(), Vec::new());
        let mut nested = Vec::new();
        if access == Access::WorkspaceWrite {
            let tmp = (!sandbox.exclude_slash_tmp).then(|| PathBuf::from("/tmp"));
            let tmpdir = self.tmpdir.clone().filter(|_| !sandbox.exclude_tmpdir_env_var);
            let named = sandbox.writable_roots.iter().map(|root| &**root).chain([cwd]);
            for root in named {
                // A root that does not exist grants nothing.
                let Some(root) = self.roots.place(root) else { continue };
                protected.extend(protection::protected(&root));
                nested.extend(protection::nested(&root));
                writable_roots.extend(protection::linked_git(&root));
                writable_roots.push(root);
            }
            // The launcher takes no more; what is nearest to its root matters most.
            sort::by(&mut protected, &mut |left, right| {
                let depth = |path: &PathBuf| path.components().count();
                depth(left).cmp(&depth(right)).then_with(|| left.cmp(right))
            });
            protected.dedup();
            protected.truncate(PATHS_COUNT_MAX);
            nested.retain(|path| !protected.contains(path));
            nested.sort_unstable();
            nested.dedup();
            nested.truncate(PATHS_COUNT_MAX);
            let temporary = tmp.into_iter().chain(tmpdir);
            writable_roots.extend(temporary.filter_map(|root| root.canonicalize().ok()));
        }
        let network = sandbox.network || access == Access::Full;
        let mut unreadable = Vec::new();
        if access != Access::Full {
            // What does not exist cannot be read; what comes later, as by a login meanwhile, is
            // found by the next command.
            let named = |home: &PathBuf| SECRETS.map(|name| home.join(name));
            let denied = sandbox.unreadable.iter().map(|path| PathBuf::from(&**path));
            let closed = self.home.iter().flat_map(named).chain(denied);
            unreadable.extend(closed.filter_map(|path| path.canonicalize().ok()));
        }
        // Where one works in the agent's own directory, only its secrets are covered.
        let is_worked_in = |home: &PathBuf| writable_roots.iter().any(|it| it.starts_with(home));
        let sealed = self.home.iter().filter(|home| !is_worked_in(home)).cloned().collect();
        Policy { access, writable_roots, network, unreadable, protected, nested, sealed }
    }
}

/// What the model is told when the sandbox seems to have refused something.
fn advice(settings: &ThreadSettings) -> String {
    let refused = match (settings.sandbox.mode, settings.sandbox.network) {
        (SandboxMode::ReadOnly, _) => "every write and the network",
        (SandboxMode::WorkspaceWrite, false) => {
            "writes outside of the writable roots, changes of control files, and the network"
        }
        (SandboxMode::WorkspaceWrite, true) => {
            "writes outside of the writable roots and changes of control files"
        }
        (SandboxMode::DangerFullAccess, _) => "nothing",
    };
    let next = match settings.approval {
        ApprovalPolicy::OnRequest => {
            "if it needs that, ask by calling again with with_escalated_permissions and a justification"
        }
        ApprovalPolicy::Untrusted | ApprovalPolicy::OnFailure | ApprovalPolicy::Never => {
            "more cannot be asked for here: do without, or say what you would need"
        }
    };
    format!("[sandbox: {refused} are refused, which is a likely cause; {next}]")
}

/// Output on its way from a command to us.
pub(super) struct Ends {
    pub(super) ours: OwnedFd,
    pub(super) theirs: OwnedFd,
}

impl Ends {
    pub(super) fn pipe() -> io::Result<Ends> {
        let (ours, theirs) = io::pipe()?;
        let ours = OwnedFd::from(ours);
        set_nonblocking(&ours)?;
        Ok(Ends { ours, theirs: OwnedFd::from(theirs) })
    }
}

/// The words that let a login shell run a command in its own place; none of them is looked into.
fn through_profile(shell: &str, argv: &[String]) -> Vec<String> {
    // In fish the words that follow are all arguments; elsewhere the first is the script's name.
    let (script, name) = match Path::new(shell).file_name().and_then(OsStr::to_str) {
        Some("fish") => ("exec $argv", None),
        Some(_) | None => ("exec \"$@\"", Some(shell)),
    };
    let words = [shell, "-lc", script].into_iter().chain(name).map(str::to_owned);
    words.chain(argv.iter().cloned()).collect()
}

fn bytes(text: &OsStr) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// A file without a name that holds these bytes, to be read from its start.
fn memory_file(content: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated.
    let fd = unsafe { libc::memfd_create(c"windlass-request".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just made this descriptor, and nobody else knows it.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(content)?;
    file.rewind()?;
    Ok(OwnedFd::from(file))
}

/// Makes reads of a pipe of our own return at once.
pub fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let raw = fd.as_raw_fd();
    // A pipe that was just made has no other flag.
    // SAFETY: the descriptor is open, and the command touches no memory.
    let set = unsafe { libc::fcntl(raw, libc::F_SETFL, libc::O_NONBLOCK) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_comes_later_is_closed_as_well() {
        let home = std::env::temp_dir().canonicalize().unwrap();
        let home = home.join(format!("windlass-login-{}", std::process::id()));
        std::fs::create_dir(&home).unwrap();
        let mut starter = Starter::new(PathBuf::from("/x"), None, Some(&home), Vec::new());
        let sandbox = SandboxPolicy::of(SandboxMode::ReadOnly);
        let mut closed = || starter.policy(&sandbox, "/", Confinement::Sandboxed).unreadable;
        assert_eq!(closed(), Vec::<PathBuf>::new());
        std::fs::write(home.join("auth.json"), "{}").unwrap();
        assert_eq!(closed(), [home.join("auth.json")]);
        std::fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn a_login_shell_runs_a_command_as_it_is() {
        let argv = ["echo".to_owned(), "$HOME 'x'".to_owned()];
        let words = through_profile("/bin/bash", &argv);
        assert_eq!(words, ["/bin/bash", "-lc", "exec \"$@\"", "/bin/bash", "echo", "$HOME 'x'"]);
        let words = through_profile("/usr/bin/fish", &argv);
        assert_eq!(words, ["/usr/bin/fish", "-lc", "exec $argv", "echo", "$HOME 'x'"]);
    }
}
