//! What may be done without asking, and what a person answered.

/// When a person is asked before a call runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApprovalPolicy {
    /// Ask before everything that is not known to be safe.
    Untrusted,
    /// Run in the sandbox; ask when that failed.
    OnFailure,
    /// The model may ask to leave the sandbox.
    OnRequest,
    /// Never ask.
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SandboxMode {
    ReadOnly,
    WorkspaceWrite,
    DangerFullAccess,
}

/// What a command may touch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SandboxPolicy {
    pub mode: SandboxMode,
    /// Roots beyond the working directory; absolute.
    pub writable_roots: Vec<Box<str>>,
    /// What no command may read; absolute.
    pub unreadable: Vec<Box<str>>,
    pub network: bool,
    /// `$TMPDIR`, if there is one; absolute.
    pub tmpdir: Option<Box<str>>,
    pub exclude_tmpdir_env_var: bool,
    pub exclude_slash_tmp: bool,
}

impl SandboxPolicy {
    /// A policy of this mode and nothing else.
    pub fn of(mode: SandboxMode) -> SandboxPolicy {
        SandboxPolicy {
            mode,
            writable_roots: Vec::new(),
            unreadable: Vec::new(),
            network: false,
            tmpdir: None,
            exclude_tmpdir_env_var: false,
            exclude_slash_tmp: false,
        }
    }
}

/// Whether a command runs inside its thread's sandbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confinement {
    Sandboxed,
    Unconfined,
}

/// A person's answer to a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Approved,
    ApprovedForSession,
    Denied,
    /// Deny, and end the turn.
    Abort,
}
