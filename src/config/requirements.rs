//! What the administrator of a machine requires, from `requirements.toml`.
//!
//! A requirement is not a setting: no layer and no flag overrides it, and what it does not allow is
//! refused. `exec` never asks anybody, so that what is required of approvals is judged for clients
//! alone. A requirement that is not known here is named, so that nobody relies on it.

use toml_edit::{Document, Item};

use crate::config::ConfigError;
use crate::config::flags;
use crate::config::request::{approval_name, approval_policy};
use crate::limits::{CONFIG_ENTRIES_MAX, CONFIG_FILE_BYTES_MAX};
use crate::words::policy::{ApprovalPolicy, SandboxMode};

/// The requirements of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requirements {
    /// What to call the file in messages.
    name: Box<str>,
    sandbox_modes: Option<Vec<SandboxMode>>,
    approvals: Option<Vec<ApprovalPolicy>>,
    /// Lines for people: what is not enforced.
    pub notices: Vec<Box<str>>,
}

const SANDBOX_MODES: &str = "allowed_sandbox_modes";
const APPROVALS: &str = "allowed_approval_policies";

impl Requirements {
    /// Reads a file. One that cannot be understood is an error: it may require anything.
    pub fn from_text(name: &str, text: &str) -> Result<Requirements, ConfigError> {
        let wrong = |why: &str| ConfigError::new(format!("{name}: {why}"));
        if text.len() > CONFIG_FILE_BYTES_MAX {
            return Err(wrong(&format!("larger than {CONFIG_FILE_BYTES_MAX} bytes")));
        }
        let document =
            Document::parse(text).map_err(|error| wrong(&error.message().replace('\n', "; ")))?;
        let sandbox_modes = match document.as_table().get(SANDBOX_MODES) {
            Some(item) => Some(names(SANDBOX_MODES, item).map_err(|why| wrong(&why))?),
            None => None,
        };
        // What other versions know is none of ours.
        let modes = |names: Vec<&str>| {
            names.into_iter().filter_map(|name| flags::sandbox_mode(name).ok()).collect()
        };
        let sandbox_modes = sandbox_modes.map(modes);
        let approvals = match document.as_table().get(APPROVALS) {
            Some(item) => Some(names(APPROVALS, item).map_err(|why| wrong(&why))?),
            None => None,
        };
        let policies = |names: Vec<&str>| names.into_iter().filter_map(approval_policy).collect();
        let approvals = approvals.map(policies);
        let others = document.as_table().iter().map(|(key, _)| key);
        let others = others.filter(|key| ![SANDBOX_MODES, APPROVALS].contains(key));
        let others: Vec<&str> = others.take(CONFIG_ENTRIES_MAX).collect();
        let notice = || format!("{name}: not enforced here: {}", others.join(", ")).into();
        let notices = if others.is_empty() { Vec::new() } else { vec![notice()] };
        Ok(Requirements { name: name.into(), sandbox_modes, approvals, notices })
    }

    /// Whether commands may run in this mode.
    pub fn judge(&self, mode: SandboxMode) -> Result<(), ConfigError> {
        let Some(allowed) = &self.sandbox_modes else { return Ok(()) };
        if allowed.contains(&mode) {
            return Ok(());
        }
        let names: Vec<&str> = allowed.iter().map(|mode| flags::sandbox_name(*mode)).collect();
        let message = format!(
            "the sandbox mode {} is not allowed on this machine; {} allows: {}",
            flags::sandbox_name(mode),
            self.name,
            if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        );
        Err(ConfigError::new(message))
    }

    /// Whether people may be asked, or not be asked, like this.
    pub fn judge_approval(&self, policy: ApprovalPolicy) -> Result<(), ConfigError> {
        let Some(allowed) = &self.approvals else { return Ok(()) };
        if allowed.contains(&policy) {
            return Ok(());
        }
        let names: Vec<&str> = allowed.iter().map(|policy| approval_name(*policy)).collect();
        let message = format!(
            "the approval policy {} is not allowed on this machine; {} allows: {}",
            approval_name(policy),
            self.name,
            if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        );
        Err(ConfigError::new(message))
    }
}

fn names<'a>(key: &str, item: &'a Item) -> Result<Vec<&'a str>, String> {
    let Some(array) = item.as_array().filter(|array| array.len() <= CONFIG_ENTRIES_MAX) else {
        return Err(format!("{key}: expected a list of names"));
    };
    let texts = array.iter().map(|value| value.as_str());
    texts.collect::<Option<_>>().ok_or_else(|| format!("{key}: expected texts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_modes_pass() {
        let text = "allowed_sandbox_modes = ['read-only', 'of another version']";
        let requirements = Requirements::from_text("r.toml", text).expect("sound");
        assert_eq!(requirements.judge(SandboxMode::ReadOnly), Ok(()));
        let error = requirements.judge(SandboxMode::WorkspaceWrite).expect_err("refused");
        let expected = "the sandbox mode workspace-write is not allowed on this machine; r.toml \
                        allows: read-only";
        assert_eq!(&*error.0, expected);
        let nothing = Requirements::from_text("r.toml", "").expect("sound");
        assert_eq!(nothing.judge(SandboxMode::DangerFullAccess), Ok(()));
        assert!(nothing.notices.is_empty());
        assert_eq!(nothing.judge_approval(ApprovalPolicy::Never), Ok(()));
    }

    #[test]
    fn only_allowed_policies_pass() {
        let text = "allowed_approval_policies = ['on-request', 'of another version']";
        let requirements = Requirements::from_text("r.toml", text).expect("sound");
        assert_eq!(requirements.judge_approval(ApprovalPolicy::OnRequest), Ok(()));
        let error = requirements.judge_approval(ApprovalPolicy::Never).expect_err("refused");
        let expected = "the approval policy never is not allowed on this machine; r.toml allows: \
                        on-request";
        assert_eq!(&*error.0, expected);
    }

    #[test]
    fn what_is_not_enforced_is_named() {
        let text = "allowed_approval_policies = ['never']\nmcp_servers = {}\nrules = 1";
        let requirements = Requirements::from_text("r.toml", text).expect("sound");
        assert_eq!(requirements.notices, ["r.toml: not enforced here: mcp_servers, rules".into()]);
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let long = " ".repeat(CONFIG_FILE_BYTES_MAX + 1);
        let many = format!("{SANDBOX_MODES} = [{}]", "'x',".repeat(CONFIG_ENTRIES_MAX + 1));
        for text in
            ["a = ", "allowed_sandbox_modes = 1", "allowed_sandbox_modes = [1]", &long, &many]
        {
            assert!(Requirements::from_text("r.toml", text).is_err());
        }
    }
}
