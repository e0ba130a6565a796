//! What the server runs for its clients: their commands, and git for its diffs.
//!
//! Both are programs of the same table, so one place takes what is ready and says whose it is. What
//! came of it waits as events until it is pulled.

use std::collections::VecDeque;

use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::v1::GitDiffToRemoteResponse;
use crate::fronts::app_server::types::v2::CommandExecResponse;
use crate::fronts::app_server::types::v2_items::CommandExecOutputStream;
use crate::host::app_server::diffs::Diffs;
use crate::host::app_server::one_offs::OneOffs;
use crate::host::poller::{Key, Poller};
use crate::host::proc::Children;
use crate::host::proc::launch::Starter;
use crate::host::proc::programs::{ProgramId, Said};
use crate::words::policy::SandboxPolicy;

/// A request that is answered later; the server knows which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Ticket(pub u64);

/// What running a program takes.
#[derive(Debug)]
pub struct Reach<'a> {
    pub poller: &'a mut Poller,
    pub children: &'a mut Children,
    pub starter: &'a mut Starter,
    pub now_ms: u64,
}

/// What a client is to be told.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// For `command/exec/outputDelta`. `cap_reached` says that nothing more of the stream comes.
    Output {
        process_id: Box<str>,
        stream: CommandExecOutputStream,
        bytes: Vec<u8>,
        cap_reached: bool,
    },
    /// The answer to either form of a command; both have the same fields.
    Ended { ticket: Ticket, result: Result<CommandExecResponse, Failure> },
    /// The answer to `gitDiffToRemote`.
    Diffed { ticket: Ticket, result: Result<GitDiffToRemoteResponse, Failure> },
}

/// Everything that runs for clients.
#[derive(Debug)]
pub struct Errands {
    pub one_offs: OneOffs,
    pub diffs: Diffs,
    events: VecDeque<Event>,
}

impl Errands {
    /// `cwd`, absolute, and `sandbox` are those of commands that say nothing else.
    pub fn new(cwd: &str, sandbox: &SandboxPolicy) -> Errands {
        let one_offs = OneOffs::new(cwd.into(), sandbox.clone());
        Errands { one_offs, diffs: Diffs::new(cwd.into(), sandbox), events: VecDeque::new() }
    }

    /// Serves a program that is ready: a key of one of the four kinds of programs.
    pub fn on_ready(&mut self, reach: &mut Reach<'_>, key: Key) {
        let Reach { poller, children, now_ms, .. } = reach;
        if let Some((id, said)) = children.on_program_ready(poller, key, *now_ms) {
            self.on_said(reach, id, said);
        }
    }

    pub fn next_deadline(&self, children: &Children) -> Option<u64> {
        let deadlines = [
            children.next_program_deadline(),
            self.one_offs.next_deadline(),
            self.diffs.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub fn on_deadline(&mut self, reach: &mut Reach<'_>) {
        while let Some((id, said)) = reach.children.on_program_deadline(reach.now_ms) {
            self.on_said(reach, id, said);
        }
        self.one_offs.on_deadline(reach.children, reach.now_ms, &mut self.events);
        self.diffs.on_deadline(reach.children, reach.now_ms, &mut self.events);
    }

    /// Leaves what streaming commands print where it is: the client takes no more.
    pub fn pause(&mut self, children: &mut Children) {
        self.one_offs.pause(children);
    }

    /// The client takes more.
    pub fn resume(&mut self, reach: &mut Reach<'_>) {
        self.one_offs.resume(reach);
    }

    /// What to tell next. Pull until `None` after each of the above.
    pub fn pull(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn on_said(&mut self, reach: &mut Reach<'_>, id: ProgramId, said: Said) {
        // A program that is nobody's was given up, and is being ended.
        let Reach { children, now_ms, .. } = reach;
        let events = &mut self.events;
        if let Some(said) = self.one_offs.on_said(children, *now_ms, (id, said), events) {
            self.diffs.on_said(reach, id, said, &mut self.events);
        }
    }
}
