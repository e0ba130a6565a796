//! What commands may touch and what they see of the environment.

use std::path::Path;

use super::Lent;
use crate::config::args::Invocation;
use crate::config::layers::Layers;
use crate::config::{ConfigError, Env, env_text, flags};
use crate::words::policy::{SandboxMode, SandboxPolicy};

/// What of the environment commands see.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ShellEnvironment {
    pub inherit: Inherit,
    /// Keep variables whose names look like secrets.
    pub ignore_default_excludes: bool,
    /// Patterns of names to drop.
    pub exclude: Vec<Box<str>>,
    pub set: Vec<(Box<str>, Box<str>)>,
    /// Patterns of names to keep, if there are any.
    pub include_only: Vec<Box<str>>,
    /// Run commands through the user's shell, as a login shell.
    pub use_profile: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Inherit {
    #[default]
    All,
    /// The few that programs cannot do without.
    Core,
    Nothing,
}

/// What commands may touch.
pub fn sandbox(
    invocation: &Invocation,
    layers: &Layers,
    lent: Lent<'_>,
) -> Result<SandboxPolicy, ConfigError> {
    let configured = layers.text(&["sandbox_mode"]);
    // A source holds only names of modes.
    let configured = configured.and_then(|name| flags::sandbox_mode(name).ok());
    // Where people are asked, a place they trust is theirs to be worked in.
    let usual = match lent.is_trusted && invocation.requested.is_some() {
        true => SandboxMode::WorkspaceWrite,
        false => SandboxMode::ReadOnly,
    };
    let mode = invocation.sandbox.or(configured).unwrap_or(usual);
    let table = |key| ["sandbox_workspace_write", key];
    let flag = |key| layers.flag(&table(key)).unwrap_or(false);
    let mut policy = SandboxPolicy::of(mode);
    policy.network = match mode {
        SandboxMode::ReadOnly => false,
        SandboxMode::WorkspaceWrite => flag("network_access"),
        SandboxMode::DangerFullAccess => true,
    };
    policy.tmpdir = (lent.env)("TMPDIR").filter(|path| path.starts_with('/')).map(Box::from);
    policy.exclude_tmpdir_env_var = flag("exclude_tmpdir_env_var");
    policy.exclude_slash_tmp = flag("exclude_slash_tmp");
    let key = table("writable_roots");
    for root in layers.texts(&key).unwrap_or_default() {
        let root = expanded(&root, lent.env);
        if !root.starts_with('/') {
            let why = format!("{root:?} is not an absolute path");
            return Err(layers.wrong(&key, &why));
        }
        policy.writable_roots.push(root.into());
    }
    policy.unreadable = unreadable(layers, lent.cwd, lent.env);
    for directory in &invocation.add_dirs {
        let root = Path::new(lent.cwd).join(directory);
        let Some(root) = root.to_str() else {
            return Err(ConfigError::new(format!("--add-dir {}: not UTF-8", root.display())));
        };
        policy.writable_roots.push(root.into());
    }
    Ok(policy)
}

/// What commands may not read, though they may read everything else.
pub fn unreadable(layers: &Layers, cwd: &str, env: Env<'_>) -> Vec<Box<str>> {
    let named = layers.texts(&["sandbox_deny_read"]).unwrap_or_default();
    let paths = named.iter().map(|path| Path::new(cwd).join(expanded(path, env)));
    paths.filter_map(|path| path.to_str().map(Box::from)).collect()
}

/// A path with `~/` made absolute.
fn expanded(path: &str, env: Env<'_>) -> String {
    match (path.strip_prefix("~/"), env_text(env, "HOME")) {
        (Some(rest), Some(home)) => format!("{}/{rest}", home.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}

/// Which variables commands see.
pub fn shell_environment(layers: &Layers) -> ShellEnvironment {
    let path = |key| ["shell_environment_policy", key];
    ShellEnvironment {
        inherit: match layers.text(&path("inherit")) {
            Some("core") => Inherit::Core,
            Some("none") => Inherit::Nothing,
            Some(_) | None => Inherit::All,
        },
        ignore_default_excludes: layers.flag(&path("ignore_default_excludes")).unwrap_or(false),
        exclude: layers.texts(&path("exclude")).unwrap_or_default(),
        set: layers.text_map(&path("set")),
        include_only: layers.texts(&path("include_only")).unwrap_or_default(),
        use_profile: layers.flag(&path("experimental_use_profile")).unwrap_or(false),
    }
}
