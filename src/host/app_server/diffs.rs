//! `gitDiffToRemote`: runs git, one program after the other, as the machine of each diff says.
//!
//! It may read what commands may read and write nothing, without a network: what a repository's
//! configuration has git run does no harm. Where our own policy is full access there is no sandbox
//! to be had, and git runs as the user would run it.

use std::collections::VecDeque;
use std::path::Path;

use crate::core::effect::Stop;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::v1::GitDiffToRemoteParams;
use crate::host::app_server::differing::{Differing, Heard, Next};
use crate::host::app_server::errands::{Event, Reach, Ticket};
use crate::host::proc::Children;
use crate::host::proc::programs::{Asked, ProgramId, ProgramStdio, Said, Stream};
use crate::limits::{GIT_DIFF_MS, GIT_DIFFS_MAX};
use crate::words::policy::{SandboxMode, SandboxPolicy};

/// All diffs on their way.
#[derive(Debug)]
pub struct Diffs {
    cwd: Box<str>,
    sandbox: SandboxPolicy,
    running: Vec<Diff>,
}

#[derive(Debug)]
struct Diff {
    ticket: Ticket,
    cwd: String,
    differing: Differing,
    program: ProgramId,
    until_ms: u64,
}

impl Diffs {
    /// `cwd` is where relative directories begin, `sandbox` our own policy.
    pub fn new(cwd: Box<str>, sandbox: &SandboxPolicy) -> Diffs {
        let mode = match sandbox.mode {
            SandboxMode::DangerFullAccess => SandboxMode::DangerFullAccess,
            SandboxMode::ReadOnly | SandboxMode::WorkspaceWrite => SandboxMode::ReadOnly,
        };
        let unreadable = sandbox.unreadable.clone();
        let sandbox = SandboxPolicy { unreadable, ..SandboxPolicy::of(mode) };
        Diffs { cwd, sandbox, running: Vec::new() }
    }

    /// Begins one. Its answer comes as `Diffed`.
    pub fn begin(
        &mut self,
        reach: &mut Reach<'_>,
        ticket: Ticket,
        params: &GitDiffToRemoteParams,
    ) -> Result<(), Failure> {
        if self.running.len() >= GIT_DIFFS_MAX {
            return Err(Failure::refused(format!(
                "{GIT_DIFFS_MAX} diffs are on their way already"
            )));
        }
        let cwd = Path::new(&*self.cwd).join(&*params.cwd);
        if params.cwd.contains('\0') || !cwd.is_dir() {
            return Err(Failure::refused(format!("{} is no directory", cwd.display())));
        }
        let cwd = cwd.to_string_lossy().into_owned();
        let (differing, argv) = Differing::begin(&cwd);
        let program = run(reach, &self.sandbox, &cwd, argv)?;
        let until_ms = reach.now_ms + GIT_DIFF_MS;
        self.running.push(Diff { ticket, cwd, differing, program, until_ms });
        Ok(())
    }

    /// Ends one without an answer.
    pub fn cancel(&mut self, children: &mut Children, ticket: Ticket) {
        if let Some(place) = self.running.iter().position(|diff| diff.ticket == ticket) {
            children.drop_program(self.running.remove(place).program);
        }
    }

    /// When the first of them runs out of time.
    pub fn next_deadline(&self) -> Option<u64> {
        self.running.iter().map(|diff| diff.until_ms).min()
    }

    pub fn on_deadline(
        &mut self,
        children: &mut Children,
        now_ms: u64,
        events: &mut VecDeque<Event>,
    ) {
        while let Some(place) = self.running.iter().position(|diff| diff.until_ms <= now_ms) {
            let diff = self.running.remove(place);
            let why = format!("git has not answered within {GIT_DIFF_MS} ms");
            let result = Err(Failure::internal(why));
            events.push_back(Event::Diffed { ticket: diff.ticket, result });
            children.drop_program(diff.program);
        }
    }

    /// What a program said; nothing happens if it is none of ours.
    pub fn on_said(
        &mut self,
        reach: &mut Reach<'_>,
        id: ProgramId,
        said: Said,
        events: &mut VecDeque<Event>,
    ) {
        let Some(place) = self.running.iter().position(|diff| diff.program == id) else { return };
        let diff = &mut self.running[place];
        match said {
            Said::Output { stream: Stream::Stderr, bytes } => diff.differing.complained(&bytes),
            Said::Output { stream: Stream::Stdout, bytes } => {
                if diff.differing.printed(&bytes) == Heard::TooMuch
                    && let Some(program) = reach.children.program_mut(id)
                {
                    program.stop(Stop::Kill);
                }
            }
            Said::Ended(ended) => {
                let result = match diff.differing.ended(ended) {
                    Next::Run { argv } => match run(reach, &self.sandbox, &diff.cwd, argv) {
                        Ok(program) => {
                            diff.program = program;
                            return;
                        }
                        Err(failure) => Err(failure),
                    },
                    Next::Done(result) => result,
                };
                let ticket = self.running.remove(place).ticket;
                events.push_back(Event::Diffed { ticket, result });
            }
        }
    }
}

fn run(
    reach: &mut Reach<'_>,
    sandbox: &SandboxPolicy,
    cwd: &str,
    argv: Vec<Vec<u8>>,
) -> Result<ProgramId, Failure> {
    let changes = Differing::changes();
    let asked = Asked { argv, changes, cwd, sandbox, stdio: ProgramStdio::Output };
    let shared = reach.children.shared(sandbox.mode);
    let program = shared.and_then(|shared| reach.starter.program(asked, shared));
    let added = program.and_then(|it| reach.children.add_program(reach.poller, it));
    added.map_err(|error| Failure::internal(format!("git could not be run: {error}")))
}
