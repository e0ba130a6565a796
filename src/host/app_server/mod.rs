//! `app-server`: what the system and the settings have to do with the protocol for programs.
//!
//! The front knows the protocol and the machine its threads; this is what lies between them and
//! the place: lines come in, requests that need files or programs are carried out.

pub mod accounts;
pub mod answers;
pub mod client;
pub mod config;
pub mod differing;
pub mod diffs;
pub mod errands;
pub mod feedback;
pub mod git_style;
pub mod histories;
pub mod inlet;
pub mod listed;
pub mod lists;
pub mod live;
pub mod one_offs;
pub mod opening;
pub mod recorded;
pub mod searching;
pub mod serving;
pub mod settings;
pub mod shelves;
pub mod turn_diffs;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::args::Invocation;
use crate::config::{ConfigError, Env};
use crate::fronts::app_server::envelope::Failure;
use crate::host::disk;
use crate::host::disk::config::{MACHINE, Machine};
use crate::host::disk::home::Home;

/// Where the server runs, and how it was called.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub machine: Machine<'a>,
    pub env: Env<'a>,
    pub base: &'a Invocation,
}

impl<'a> Surroundings<'a> {
    /// This machine and the environment of the process.
    pub fn of(base: &'a Invocation) -> Surroundings<'a> {
        Surroundings { machine: MACHINE, env: &|name| std::env::var(name).ok(), base }
    }

    /// Where our home is, if anywhere.
    pub fn home(&self) -> Result<Option<PathBuf>, Failure> {
        let home = Home::find(self.env, Path::new(self.machine.passwd)).map_err(refused)?;
        Ok(home.path)
    }
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment holds secrets.
        formatter
            .debug_struct("Surroundings")
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

/// The client asked for what the settings do not allow, or they cannot be understood.
fn refused(error: ConfigError) -> Failure {
    Failure::refused(error.0)
}

/// The client is not to blame for what happened to a file.
fn failed(failure: disk::Failure) -> Failure {
    Failure::internal(failure.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::host::disk::tests::Place;

    /// Does something where this place holds the home and the settings of the machine.
    pub(crate) fn at<T>(
        place: &Place,
        base: &Invocation,
        act: impl FnOnce(&Surroundings<'_>) -> T,
    ) -> T {
        let etc = place.path().join("etc");
        let machine = Machine { etc: &[etc.to_str().expect("UTF-8")], passwd: "/no/such/file" };
        let home = place.path().join("home");
        let home = home.to_str().expect("UTF-8");
        let env = |name: &str| (name == "WINDLASS_HOME").then(|| home.to_owned());
        act(&Surroundings { machine, env: &env, base })
    }
}
