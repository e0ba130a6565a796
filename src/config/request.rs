//! What a client of a server asks for a thread, beyond what can be typed.
//!
//! Its settings stand above `-c` and below what the machine manages. A key that is null is unset:
//! what the layers below say of it does not count.

use crate::config::ConfigError;
use crate::limits::{CONFIG_KEY_PARTS_MAX, CONFIG_NAMED_CHARS_MAX, ORIGINATOR_BYTES_MAX};
use crate::words::policy::ApprovalPolicy;

/// How requests are called in messages.
pub const NAME: &str = "config";

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Requested {
    /// Who asks.
    pub client: Box<str>,
    pub approval: Option<ApprovalPolicy>,
    pub base_instructions: Option<Box<str>>,
    /// Later ones stand over earlier ones.
    pub settings: Vec<Setting>,
}

/// One key and what it is set to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    pub path: Vec<Box<str>>,
    /// An object's fields are settings of their own.
    pub value: serde_json::Value,
}

impl Requested {
    /// The client as an originator: a token of headers and records.
    pub fn originator(&self) -> Option<Box<str>> {
        let plain = |byte: u8| if byte.is_ascii_graphic() { byte as char } else { '_' };
        let name: String =
            self.client.trim().bytes().take(ORIGINATOR_BYTES_MAX).map(plain).collect();
        (!name.is_empty()).then(|| name.into())
    }
}

impl Setting {
    pub fn new(key: &str, value: impl Into<serde_json::Value>) -> Setting {
        Setting { path: vec![key.into()], value: value.into() }
    }

    /// Reads a dotted key, of which parts may be quoted, and JSON.
    pub fn read(key: &str, json: &str) -> Result<Setting, ConfigError> {
        let value = serde_json::from_str(json);
        let value = value.map_err(|_| wrong(key, "not JSON, or nested too deep"))?;
        Ok(Setting { path: path(key)?, value })
    }
}

/// The parts of a dotted key, of which some may be quoted.
pub fn path(key: &str) -> Result<Vec<Box<str>>, ConfigError> {
    let parts = toml_edit::Key::parse(key);
    let path: Vec<Box<str>> = match &parts {
        Ok(parts) => parts.iter().map(|part| part.get().into()).collect(),
        // What TOML would have in quotes, such as a path, clients leave bare.
        Err(_) if !key.contains(['"', '\'']) => key.split('.').map(Box::from).collect(),
        Err(_) => return Err(wrong(key, "not a key")),
    };
    if path.len() > CONFIG_KEY_PARTS_MAX {
        return Err(wrong(key, &format!("a key has at most {CONFIG_KEY_PARTS_MAX} parts")));
    }
    match path.iter().any(|part| part.is_empty()) {
        true => Err(wrong(key, "a part of the key is empty")),
        false => Ok(path),
    }
}

/// When people are asked, as settings name it.
pub fn approval_policy(name: &str) -> Option<ApprovalPolicy> {
    Some(match name {
        "untrusted" => ApprovalPolicy::Untrusted,
        "on-failure" => ApprovalPolicy::OnFailure,
        "on-request" => ApprovalPolicy::OnRequest,
        "never" => ApprovalPolicy::Never,
        _ => return None,
    })
}

pub fn approval_name(policy: ApprovalPolicy) -> &'static str {
    match policy {
        ApprovalPolicy::Untrusted => "untrusted",
        ApprovalPolicy::OnFailure => "on-failure",
        ApprovalPolicy::OnRequest => "on-request",
        ApprovalPolicy::Never => "never",
    }
}

fn wrong(key: &str, why: &str) -> ConfigError {
    let short: String = key.chars().take(CONFIG_NAMED_CHARS_MAX).collect();
    ConfigError::new(format!("{NAME}: {short:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_parts_that_may_be_quoted() {
        let parts = |key: &str| path(key).expect("a key").join("|");
        assert_eq!(parts("model"), "model");
        assert_eq!(parts("a.\"b.c\".'d e'"), "a|b.c|d e");
        assert_eq!(parts("projects./w/x.trust"), "projects|/w/x|trust");
        let deep = ["a"; CONFIG_KEY_PARTS_MAX + 1].join(".");
        for key in ["", "a..b", ".", "a.\"b", &deep] {
            assert!(path(key).is_err(), "{key}");
        }
    }

    #[test]
    fn the_name_of_a_client_becomes_a_token() {
        let originator =
            |client: &str| Requested { client: client.into(), ..Requested::default() }.originator();
        assert_eq!(originator("my_ide").as_deref(), Some("my_ide"));
        assert_eq!(originator(" My IDE\r\n x").as_deref(), Some("My_IDE___x"));
        assert_eq!(originator("  "), None);
        let long = originator(&"x".repeat(ORIGINATOR_BYTES_MAX + 1)).expect("a name");
        assert_eq!(long.len(), ORIGINATOR_BYTES_MAX);
    }

    #[test]
    fn policies_are_named_and_read() {
        for policy in [
            ApprovalPolicy::Untrusted,
            ApprovalPolicy::OnFailure,
            ApprovalPolicy::OnRequest,
            ApprovalPolicy::Never,
        ] {
            assert_eq!(approval_policy(approval_name(policy)), Some(policy));
        }
        assert_eq!(approval_policy("always"), None);
    }
}
