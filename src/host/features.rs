//! `features list`: what the settings of this command line switch on.

use crate::config::args::Invocation;
use crate::config::{ConfigError, features};
use crate::host::disk::config;
use crate::host::{exec, out};

/// Prints the features and gives the exit code.
pub fn list(invocation: &Invocation) -> u8 {
    let env = |name: &str| std::env::var(name).ok();
    match config::load_layers(invocation, &env) {
        Ok(layers) => out::print(&features::list(&layers)),
        Err(error) => {
            exec::say(&format!("error: {error}"));
            ConfigError::EXIT_CODE
        }
    }
}
