//! What may be done unasked, worked out a second time and in another way than the machine does.

use windlass::tools::known_safe;
use windlass::words::call::{Change, CommandPlan};
use windlass::words::policy::{ApprovalPolicy, Confinement, SandboxMode};
use windlass::words::settings::ThreadSettings;

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

pub(crate) fn patch(settings: &ThreadSettings, changes: &[Change]) -> Allowed {
    let full = settings.sandbox.mode == SandboxMode::DangerFullAccess;
    let inside = changes.iter().all(|change| {
        let moved = change.moved_to.as_ref().is_none_or(|path| is_inside(settings, path));
        is_inside(settings, &change.path) && moved
    });
    match settings.approval {
        _ if changes.is_empty() => Allowed::Never,
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
