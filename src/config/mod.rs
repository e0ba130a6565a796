//! Arguments, files and settings: what a person said, made into what a thread runs with.
//!
//! Everything here is pure. The host reads files and the environment and lends them; it asks
//! [`args`] what was typed, [`layers`] what the files and overrides say together, and [`settings`]
//! for the result. An argument that cannot be understood is a [`args::UsageError`] (exit 2), a
//! setting that cannot be used a [`ConfigError`] (exit 1).

#![forbid(unsafe_code)]

use std::fmt;

pub mod args;
pub mod catalog;
pub mod commands;
pub mod completions;
pub mod credentials;
pub mod edit;
pub mod effective;
pub mod environment;
pub mod features;
pub mod file;
pub mod flags;
pub mod help;
pub mod instructions;
pub mod keys;
pub mod layers;
pub mod limits;
pub mod models;
pub mod projects;
pub mod providers;
pub mod request;
pub mod requirements;
pub mod review;
pub mod settings;
pub mod value;

/// Looks up an environment variable; `None` if it is unset or not UTF-8.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks up an environment variable that must say something to count.
pub fn env_text(env: Env<'_>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.trim().is_empty())
}

/// A setting cannot be used; the text names it, where it stands and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError(pub Box<str>);

impl ConfigError {
    /// The exit code for settings that cannot be used.
    pub const EXIT_CODE: u8 = 1;

    /// The message becomes one line: names in it may hold anything.
    pub fn new(message: impl Into<Box<str>>) -> ConfigError {
        let message = message.into();
        if !message.contains(char::is_control) {
            return ConfigError(message);
        }
        let mut shown = String::with_capacity(message.len());
        for character in message.chars() {
            match character.is_control() {
                true => shown.extend(character.escape_default()),
                false => shown.push(character),
            }
        }
        ConfigError(shown.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_moves_no_cursor() {
        let error = ConfigError::new("no \"a\nb\": \u{1b}[2J\u{85}é");
        assert_eq!(&*error.0, "no \"a\\nb\": \\u{1b}[2J\\u{85}é");
    }
}
