//! Runs a command to its end: `shell`, `shell_command`, `container.exec`, `local_shell`.
//!
//! A command that does nothing but apply a patch is planned as a patch, so that it is judged and
//! told as one.

use crate::limits::{COMMAND_TIMEOUT_MS, COMMAND_TIMEOUT_MS_MAX, WORKDIR_BYTES_MAX};
use crate::tools::arguments::{Arguments, CommandArgument, required};
use crate::tools::patch::{self, Intercepted};
use crate::words::call::{Answer, CallAsked, CommandPlan, Escalation, Life, PatchPlan, Plan};
use crate::words::settings::ThreadSettings;

/// A command given as an argument vector; executed as it is.
pub fn plan_argv(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    plan(asked, settings)
}

/// A command given as one line for the user's shell.
pub fn plan_line(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    plan(asked, settings)
}

fn plan(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    let arguments = Arguments::parse(&asked.arguments)?;
    let argv: Vec<String> = match required(arguments.command, "command")? {
        CommandArgument::Argv(argv) => argv,
        // Some put the list into a text; as a line for the shell it would name no program.
        CommandArgument::Line(line) => serde_json::from_str(&line)
            .unwrap_or_else(|_| vec![settings.shell.to_string(), "-lc".to_string(), line]),
    };
    let life = Life::Call { timeout_ms: timeout_ms(arguments.timeout_ms) };
    let workdir = arguments.workdir.or(arguments.working_directory);
    let escalation = Escalating {
        flag: arguments.with_escalated_permissions,
        permissions: arguments.sandbox_permissions,
        justification: arguments.justification,
    };
    plan_command(argv, workdir.as_deref(), life, escalation, settings)
}

/// What a call says of leaving the sandbox.
pub(crate) struct Escalating {
    pub(crate) flag: Option<bool>,
    pub(crate) permissions: Option<String>,
    pub(crate) justification: Option<String>,
}

/// The plan of a command, or of the patch that is all it does.
pub(crate) fn plan_command(
    argv: Vec<String>,
    workdir: Option<&str>,
    life: Life,
    escalating: Escalating,
    settings: &ThreadSettings,
) -> Result<Plan, Answer> {
    if argv.first().is_none_or(|program| program.is_empty()) {
        return Err(Answer::failure("the command's arguments are empty"));
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(Answer::failure("a command cannot hold a NUL character"));
    }
    let workdir = joined(&settings.cwd, workdir.unwrap_or(""), "workdir")?;
    if let Some(intercepted) = patch::as_patch(&argv) {
        return patch_plan(intercepted, &workdir);
    }
    let escalated = escalating.flag == Some(true)
        || escalating.permissions.as_deref() == Some("require_escalated");
    let justification = escalating.justification.map(Into::into);
    Ok(Plan::Command(CommandPlan {
        argv,
        workdir: workdir.into(),
        life,
        escalation: escalated.then_some(Escalation { justification }),
    }))
}

fn patch_plan(intercepted: Intercepted, workdir: &str) -> Result<Plan, Answer> {
    match intercepted {
        Intercepted::Patch(call) => Ok(Plan::Patch(PatchPlan {
            patch: call.body.into(),
            workdir: joined(workdir, call.workdir.as_deref().unwrap_or(""), "cd")?.into(),
        })),
        Intercepted::Bare => Err(Answer::failure(
            "this is a patch without a command; call apply_patch with it, or run \
             [\"apply_patch\", PATCH]",
        )),
    }
}

/// Models send whole numbers, fractions and nonsense; what is no time at all means the usual one.
fn timeout_ms(asked: Option<f64>) -> u64 {
    match asked {
        Some(ms) if ms >= 1.0 => (ms as u64).min(COMMAND_TIMEOUT_MS_MAX),
        Some(_) | None => COMMAND_TIMEOUT_MS,
    }
}

/// The path seen from a directory; `argument` is where the model gave it.
fn joined(directory: &str, path: &str, argument: &str) -> Result<String, Answer> {
    let whole = match path {
        "" => directory.to_string(),
        path if path.starts_with('/') => path.to_string(),
        path => format!("{}/{path}", directory.trim_end_matches('/')),
    };
    if whole.len() > WORKDIR_BYTES_MAX {
        let bytes = whole.len();
        return Err(Answer::failure(format!(
            "`{argument}` is a path of {bytes} bytes, and at most {WORKDIR_BYTES_MAX} can be used; \
             name the directory by a shorter path"
        )));
    }
    if whole.contains('\0') {
        return Err(Answer::failure(format!("`{argument}` cannot hold a NUL character")));
    }
    Ok(whole)
}
