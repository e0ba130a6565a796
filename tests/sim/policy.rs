//! What may be done unasked, worked out a second time and in another way than the machine does.

use windlass::core::input::{CommandEnded, CommandResult};
use windlass::tools::known_safe;
use windlass::words::call::{Change, CommandPlan};
use windlass::words::policy::{ApprovalPolicy, Confinement, SandboxMode};
use windlass::words::settings::ThreadSettings;

use crate::children::DENIED;

/// What may become of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Allowed {
    Unasked(Confinement),
    WhenApproved(Confinement),
    Never,
}

pub(crate) fn command(settings: &ThreadSettings, command: &CommandPlan) -> Allowed {
    let escalated = command.escalation.is_some();
    let full = settings.sandbox.mode == SandboxMode::DangerFullAccess;
    let confinement =
        if escalated || full { Confinement::Unconfined } else { Confinement::Sandboxed };
    let safe = known_safe::is_known_safe(&command.argv);
    let asks = match settings.approval {
        ApprovalPolicy::Untrusted => !safe,
        ApprovalPolicy::OnFailure | ApprovalPolicy::Never => false,
        ApprovalPolicy::OnRequest => {
            !safe && (known_safe::is_dangerous(&command.argv) || escalated && !full)
        }
    };
    if command.argv.is_empty() || escalated && settings.approval != ApprovalPolicy::OnRequest {
        Allowed::Never
    } else if asks {
        Allowed::WhenApproved(confinement)
    } else {
        Allowed::Unasked(confinement)
    }
}

/// What may be done without the sandbox after it got in the way; `approved` by a person, before.
pub(crate) fn again(settings: &ThreadSettings, approved: bool) -> Allowed {
    let asks = match settings.approval {
        ApprovalPolicy::Untrusted | ApprovalPolicy::OnFailure => !approved,
        ApprovalPolicy::OnRequest | ApprovalPolicy::Never => return Allowed::Never,
    };
    if settings.sandbox.mode == SandboxMode::DangerFullAccess {
        Allowed::Never
    } else if asks {
        Allowed::WhenApproved(Confinement::Unconfined)
    } else {
        Allowed::Unasked(Confinement::Unconfined)
    }
}

/// Whether the end of a command in these worlds looks as if the sandbox refused something.
pub(crate) fn is_denied(end: &CommandResult) -> bool {
    match end.ended {
        CommandEnded::Exited { code } => code != 0 && end.output.as_ref() == DENIED,
        CommandEnded::Signalled { signal } => signal == 31 || end.output.as_ref() == DENIED,
        CommandEnded::NotStarted { .. } => false,
    }
}

pub(crate) fn files(changes: &[Change]) -> impl Iterator<Item = &Box<str>> {
    changes.iter().flat_map(|change| [Some(&change.path), change.moved_to.as_ref()]).flatten()
}

pub(crate) fn patch(
    settings: &ThreadSettings,
    changes: &[Change],
    approved: &[Box<str>],
) -> Allowed {
    let full = settings.sandbox.mode == SandboxMode::DangerFullAccess;
    let inside = files(changes).all(|path| is_inside(settings, path));
    let outside = !files(changes).any(|path| is_inside(settings, path));
    let known = files(changes).all(|path| approved.contains(path));
    match settings.approval {
        _ if changes.is_empty() => Allowed::Never,
        ApprovalPolicy::Untrusted | ApprovalPolicy::OnRequest if known && (full || outside) => {
            Allowed::Unasked(Confinement::Unconfined)
        }
        ApprovalPolicy::Untrusted if known && inside => Allowed::Unasked(Confinement::Sandboxed),
        ApprovalPolicy::Untrusted => Allowed::WhenApproved(Confinement::Unconfined),
        _ if full => Allowed::Unasked(Confinement::Unconfined),
        ApprovalPolicy::OnFailure => Allowed::Unasked(Confinement::Sandboxed),
        _ if inside => Allowed::Unasked(Confinement::Sandboxed),
        ApprovalPolicy::OnRequest => Allowed::WhenApproved(Confinement::Unconfined),
        ApprovalPolicy::Never => Allowed::Never,
    }
}

/// The paths that patches in these worlds name, one by one.
fn is_inside(settings: &ThreadSettings, path: &str) -> bool {
    if settings.sandbox.mode == SandboxMode::ReadOnly {
        return false;
    }
    match path {
        "/w/a" | "/w/sub/../b" => true,
        "/tmp/t" => !settings.sandbox.exclude_slash_tmp,
        "/more/m" => settings.sandbox.writable_roots.iter().any(|root| &**root == "/more"),
        "/w/.git/config" | "/w/../etc/passwd" => false,
        other => panic!("no patch here names {other}"),
    }
}
