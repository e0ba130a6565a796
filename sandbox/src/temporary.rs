//! A place for temporary files where the usual one cannot take any.
//!
//! Landlock cannot take a hole out of a writable root: one with something closed in it is granted
//! by what is in it already, and no new names can be made there. If that happens to the directory
//! for temporary files, since the agent's own lies below it, hardly a compiler works. So the
//! command is lent a directory in it, which is there before it starts, and `TMPDIR` names that.
//! Afterwards it goes away, unless the command has left something in it.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::namespaces::Apart;
use crate::plan::Plan;
use crate::policy::{Access, Policy};
use crate::sys;

/// The variable that names the place, and where it is without one.
const VARIABLE: &[u8] = b"TMPDIR";
const USUAL: &str = "/tmp";

/// What is lent is called; the end is replaced.
const TEMPLATE: &str = "windlass-XXXXXX";

/// A directory that was made for a command.
#[derive(Debug, Default)]
pub(crate) struct Lent(Option<PathBuf>);

impl Lent {
    /// Makes one if the plan needs it, and says so in its environment. Where that fails the command
    /// finds what it would have found.
    pub(crate) fn to(plan: &mut Plan, apart: Apart) -> Lent {
        // Mounts hide what is closed and leave the rest as it is; and whoever is told of nothing
        // looks for no variable.
        if apart != Apart::Nothing
            || plan.policy.access != Access::WorkspaceWrite
            || plan.env.is_empty()
        {
            return Lent::default();
        }
        let named = plan.variable(VARIABLE).map(|value| Path::new(OsStr::from_bytes(value)));
        let named = named.and_then(|path| path.canonicalize().ok());
        let Some(place) = named.or_else(|| Path::new(USUAL).canonicalize().ok()) else {
            return Lent::default();
        };
        if !is_closed_to_new_names(&plan.policy, &place) {
            return Lent::default();
        }
        let template = CString::new(place.join(TEMPLATE).as_os_str().as_bytes());
        let Some(Ok(made)) = template.ok().map(sys::make_unique_directory) else {
            return Lent::default();
        };
        plan.env.retain(|(name, _)| name != VARIABLE);
        plan.env.push((VARIABLE.to_vec(), made.to_bytes().to_vec()));
        Lent(Some(PathBuf::from(OsStr::from_bytes(made.to_bytes()))))
    }

    /// Takes it back, which only takes an empty one.
    pub(crate) fn take_back(&self) {
        if let Some(path) = &self.0 {
            // What the command has put there, or in its place, is the command's.
            let _ = fs::remove_dir(path);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.take_back();
    }
}

/// Whether a place that may be written to has something closed below it.
fn is_closed_to_new_names(policy: &Policy, place: &Path) -> bool {
    let mut closed = policy.unreadable.iter().chain(&policy.sealed);
    policy.writable_roots.iter().any(|root| place.starts_with(root))
        && closed.any(|path| path.starts_with(place))
}
