//! Judges whether a call may run: run, ask or refuse. Answers are remembered for the thread.
//!
//! Pure policy over a plan; what the command line means comes from `tools`.

use std::collections::VecDeque;

use crate::core::call::{Asked, Attempt, Attempted, Leave};
use crate::core::opening::approval_name;
use crate::limits::APPROVALS_REMEMBERED_MAX;
use crate::tools::known_safe;
use crate::words::call::{Change, CommandPlan};
use crate::words::policy::{ApprovalPolicy, Confinement, SandboxMode};
use crate::words::settings::ThreadSettings;

/// What is to be done with a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Run(Confinement),
    Ask(Option<Box<str>>),
    /// With what the model is told.
    Refuse(Box<str>),
}

/// What is to be done after the sandbox seems to have got in the way of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relaxed {
    /// Nothing more: what came of it is the answer.
    No,
    Ask,
    /// A person has let it run already.
    RunUnconfined,
}

/// What a person approved for the rest of the session; the oldest is forgotten first.
#[derive(Default, Debug)]
pub struct Approvals {
    commands: VecDeque<Remembered>,
    /// Files that patches may change, as absolute paths without detours.
    files: VecDeque<Box<str>>,
}

#[derive(PartialEq, Eq, Debug)]
struct Remembered {
    argv: Vec<String>,
    workdir: Box<str>,
    escalated: bool,
}

impl Approvals {
    pub(crate) fn remember(&mut self, asked: &Asked) {
        let command = match asked {
            Asked::Command(command) => command,
            Asked::Again(attempt, ..) => match &attempt.what {
                Attempted::Command(command) => command,
                Attempted::Patch(..) => return,
            },
            Asked::Patch(_, changes) => {
                changes.iter().flat_map(paths).for_each(|path| self.remember_file(path));
                return;
            }
        };
        if self.holds(command) {
            return;
        }
        if self.commands.len() == APPROVALS_REMEMBERED_MAX {
            self.commands.pop_front();
        }
        self.commands.push_back(Remembered {
            argv: command.argv.clone(),
            workdir: command.workdir.clone(),
            escalated: command.escalation.is_some(),
        });
    }

    fn remember_file(&mut self, path: &str) {
        let path = normalised(path).join("/").into();
        if self.files.contains(&path) {
            return;
        }
        if self.files.len() == APPROVALS_REMEMBERED_MAX {
            self.files.pop_front();
        }
        self.files.push_back(path);
    }

    /// How many there are of a kind, at most.
    pub(crate) fn count(&self) -> usize {
        self.commands.len().max(self.files.len())
    }

    fn holds_files(&self, changes: &[Change]) -> bool {
        let held = |path: &str| self.files.contains(&normalised(path).join("/").into());
        changes.iter().flat_map(paths).all(held)
    }

    fn holds(&self, command: &CommandPlan) -> bool {
        self.commands.iter().any(|known| {
            known.argv == command.argv
                && known.workdir == command.workdir
                && known.escalated == command.escalation.is_some()
        })
    }
}

/// Where an approved command runs: outside the sandbox only if that is what was asked.
pub(crate) fn confinement_of(settings: &ThreadSettings, command: &CommandPlan) -> Confinement {
    if command.escalation.is_some() || settings.sandbox.mode == SandboxMode::DangerFullAccess {
        Confinement::Unconfined
    } else {
        Confinement::Sandboxed
    }
}

/// Judges a command by the matrix of approval policies.
pub(crate) fn judge_command(
    settings: &ThreadSettings,
    command: &CommandPlan,
    approvals: &Approvals,
) -> Verdict {
    if command.argv.is_empty() {
        return Verdict::Refuse("the command is empty".into());
    }
    let full_access = settings.sandbox.mode == SandboxMode::DangerFullAccess;
    let policy = settings.approval;
    if command.escalation.is_some() && policy != ApprovalPolicy::OnRequest {
        let name = approval_name(policy);
        let text = format!(
            "this command was not run: the approval policy is {name}, and only under on-request may \
             a command ask to leave the sandbox; run it without escalation, or do without it"
        );
        return Verdict::Refuse(text.into());
    }
    let confinement = confinement_of(settings, command);
    let run = Verdict::Run(confinement);
    if approvals.holds(command) {
        return run;
    }
    let reason = command.escalation.as_ref().and_then(|asked| asked.justification.clone());
    match policy {
        ApprovalPolicy::Never | ApprovalPolicy::OnFailure => run,
        ApprovalPolicy::Untrusted if known_safe::is_known_safe(&command.argv) => run,
        ApprovalPolicy::Untrusted => Verdict::Ask(reason),
        ApprovalPolicy::OnRequest if known_safe::is_known_safe(&command.argv) => run,
        ApprovalPolicy::OnRequest if known_safe::is_dangerous(&command.argv) => {
            Verdict::Ask(reason)
        }
        ApprovalPolicy::OnRequest if command.escalation.is_some() && !full_access => {
            Verdict::Ask(reason)
        }
        ApprovalPolicy::OnRequest => run,
    }
}

/// Judges whether what failed in its sandbox may run without it.
///
/// A person who let a command run under `untrusted` let it run with all that it needs; the same
/// holds for what was approved for the session.
pub(crate) fn judge_again(
    settings: &ThreadSettings,
    attempt: &Attempt,
    approvals: &Approvals,
) -> Relaxed {
    let full_access = settings.sandbox.mode == SandboxMode::DangerFullAccess;
    if full_access || attempt.confinement == Confinement::Unconfined {
        return Relaxed::No;
    }
    let held = match &attempt.what {
        Attempted::Command(command) => approvals.holds(command),
        Attempted::Patch(..) => false,
    };
    match settings.approval {
        ApprovalPolicy::Untrusted if attempt.leave == Leave::Person => Relaxed::RunUnconfined,
        ApprovalPolicy::Untrusted | ApprovalPolicy::OnFailure if held => Relaxed::RunUnconfined,
        ApprovalPolicy::Untrusted | ApprovalPolicy::OnFailure => Relaxed::Ask,
        ApprovalPolicy::OnRequest | ApprovalPolicy::Never => Relaxed::No,
    }
}

/// Judges what a patch would change.
pub(crate) fn judge_patch(
    settings: &ThreadSettings,
    changes: &[Change],
    approvals: &Approvals,
) -> Verdict {
    if changes.is_empty() {
        return Verdict::Refuse("the patch changes nothing".into());
    }
    if let Some(confinement) = approved_before(settings, changes, approvals) {
        return Verdict::Run(confinement);
    }
    if settings.sandbox.mode == SandboxMode::DangerFullAccess {
        return match settings.approval {
            ApprovalPolicy::Untrusted => Verdict::Ask(None),
            ApprovalPolicy::OnFailure | ApprovalPolicy::OnRequest | ApprovalPolicy::Never => {
                Verdict::Run(Confinement::Unconfined)
            }
        };
    }
    let outside = changes.iter().flat_map(paths).find(|path| !is_writable(settings, path));
    match (settings.approval, outside) {
        (ApprovalPolicy::Untrusted, _) => Verdict::Ask(None),
        (ApprovalPolicy::OnFailure, _) | (_, None) => Verdict::Run(Confinement::Sandboxed),
        (ApprovalPolicy::Never, Some(path)) => Verdict::Refuse(refusal(settings, path).into()),
        (ApprovalPolicy::OnRequest, Some(path)) => {
            Verdict::Ask(Some(format!("{path} is not in a writable root").into()))
        }
    }
}

/// Where a patch runs whose files were all approved for the session.
///
/// Only what the sandbox does not let be written is written outside of it: a command in the sandbox
/// could have put a link in the place of a file that it may write. A patch of both kinds is asked
/// about again.
fn approved_before(
    settings: &ThreadSettings,
    changes: &[Change],
    approvals: &Approvals,
) -> Option<Confinement> {
    let asks = matches!(settings.approval, ApprovalPolicy::Untrusted | ApprovalPolicy::OnRequest);
    if !asks || !approvals.holds_files(changes) {
        return None;
    }
    if settings.sandbox.mode == SandboxMode::DangerFullAccess {
        return Some(Confinement::Unconfined);
    }
    let mut writable = changes.iter().flat_map(paths).map(|path| is_writable(settings, path));
    let first = writable.next()?;
    let is_one_kind = writable.all(|writable| writable == first);
    let confinement = if first { Confinement::Sandboxed } else { Confinement::Unconfined };
    is_one_kind.then_some(confinement)
}

fn refusal(settings: &ThreadSettings, path: &str) -> String {
    if settings.sandbox.mode == SandboxMode::ReadOnly {
        format!("the patch was rejected: the sandbox is read-only, so {path} cannot be written")
    } else {
        format!("the patch was rejected: {path} is outside the project or protected in it")
    }
}

fn paths(change: &Change) -> impl Iterator<Item = &str> {
    [Some(&change.path), change.moved_to.as_ref()].into_iter().flatten().map(|path| &**path)
}

/// Whether the sandbox would let this path be written, by its text alone.
fn is_writable(settings: &ThreadSettings, path: &str) -> bool {
    let sandbox = &settings.sandbox;
    if sandbox.mode == SandboxMode::ReadOnly {
        return false;
    }
    let path = normalised(path);
    let tmp = (!sandbox.exclude_slash_tmp).then_some("/tmp");
    let tmpdir = sandbox.tmpdir.as_deref().filter(|_| !sandbox.exclude_tmpdir_env_var);
    let roots = sandbox.writable_roots.iter().map(|root| &**root);
    roots.chain([&*settings.cwd]).chain(tmp).chain(tmpdir).any(|root| {
        let root = normalised(root);
        path.starts_with(&root) && !is_protected(&path[root.len()..])
    })
}

/// Control files of the repository, of agents and of accounts, directly inside a root.
fn is_protected(beneath: &[&str]) -> bool {
    matches!(beneath.first(), Some(&(".git" | ".windlass" | ".codex" | ".agents" | ".aws")))
}

/// The path's names, with `.` and `..` taken out.
fn normalised(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names
}
