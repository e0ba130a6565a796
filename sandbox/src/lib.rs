//! Starts commands confined, watches them, and ends all that they leave behind.
//!
//! `spawn` starts our own executable as the launcher (`windlass-linux-sandbox`), which reads a
//! `Plan` from memory, forks, confines the fork by Landlock and seccomp and executes the command in
//! it. The launcher stays as supervisor until the command and every descendant is gone, and tells
//! what happens in frames that `StatusDecoder` reads.
//!
//! ```text
//! agent --posix_spawn--> supervisor --fork--> command (confined)
//!   ^   <---- status -----   |                    `- anything it starts; ends with it
//!   `------- control ------->|
//! ```
//!
//! The floor is Landlock and seccomp; below it nothing runs unless the policy is `Full`.
//! Read `policy.rs`, `launcher.rs`, `confine.rs`, in that order.

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system-call tables are written for x86_64 and aarch64 only");

mod confine;
mod end;
mod kept;
mod landlock;
mod launcher;
pub mod limits;
mod mediation;
mod mounts;
mod namespaces;
mod paths;
mod plan;
mod policy;
mod relief;
mod seccomp;
mod spawn;
mod status;
mod sys;
mod temporary;
mod view;

pub use end::end_strangers;
pub use kept::Look;
pub use launcher::{is_launcher, launcher_main};
pub use namespaces::Apart;
pub use plan::{Plan, PlanError};
pub use policy::{Access, Level, Missing, Policy};
pub use spawn::{Spawned, Stdio, spawn, spawn_among, spawn_bare, spawn_detached, spawn_relief};
pub use status::{FRAME_BYTES_MAX, Frame, Stage, Status, StatusDecoder, StatusError};

/// Makes the agent fit to hold secrets and to start commands: nobody may look into it, it leaves no
/// image of its memory behind, and what outlives a killed supervisor becomes its child.
pub fn guard_agent() -> std::io::Result<()> {
    sys::prctl(libc::PR_SET_DUMPABLE, 0)?;
    sys::set_soft_limit(libc::RLIMIT_CORE as libc::c_int, 0)?;
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1).map(drop)
}

/// What this system offers to confine commands with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The newest Landlock rule set that could really be made, or the errno of the attempt.
    pub landlock: Result<u32, i32>,
    /// The Landlock ABI that the kernel claims, or the errno of asking.
    pub landlock_claimed: Result<u32, i32>,
    pub seccomp: bool,
    /// Whether processes can be held by descriptors.
    pub pidfds: bool,
    /// The namespaces a command would get, or the errno of what was refused.
    pub namespaces: Result<Apart, i32>,
}

/// Why no confined command can run here, if that is known without starting anything.
pub fn obstacle() -> Option<std::io::Error> {
    match landlock::Ground::find() {
        Err(error) => Some(error),
        Ok(_) if seccomp::is_available() => None,
        Ok(_) => Some(std::io::Error::from_raw_os_error(libc::ENOSYS)),
    }
}

/// Tries out what this system offers, without confining anything. It forks; not for the agent.
pub fn probe() -> Probe {
    Probe {
        landlock: landlock::Ground::find()
            .map(|ground| ground.abi())
            .map_err(|error| sys::errno_of(&error)),
        landlock_claimed: landlock::reported_abi().map_err(|error| sys::errno_of(&error)),
        seccomp: seccomp::is_available(),
        pidfds: sys::pidfd_open(sys::pid()).is_ok(),
        namespaces: namespaces::try_out(&Policy::of(Access::WorkspaceWrite)),
    }
}

impl Probe {
    /// How strongly a command would be confined; `None` if it would be refused.
    pub fn level(&self) -> Option<Level> {
        match self.landlock {
            Ok(_) if !self.seccomp => None,
            Ok(_) if self.namespaces.is_ok() => Some(Level::Full),
            Ok(abi) if abi < landlock::ABI_SCOPES => Some(Level::Reduced),
            Ok(_) => Some(Level::Standard),
            Err(_) => None,
        }
    }
}
