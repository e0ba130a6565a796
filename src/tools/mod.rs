//! What the model may call: describe, parse, plan, answer.
//!
//! One table yields both what the model is offered and what becomes of a call, so that the two
//! cannot diverge. Nothing here touches the system: a plan is data that `core` judges and `host`
//! carries out.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod clip;
pub mod command_line;
pub mod exec_session;
pub mod ignore;
pub mod known_safe;
pub mod listing;
pub mod parsed;
pub mod patch;
pub mod risk;
pub mod search;
pub mod shell;
pub mod slice;
pub mod specs;

use crate::limits::TASKS_MAX;
use crate::tools::arguments::Arguments;
use crate::words::call::{
    Answer, CallAsked, CallKind, Look, LookAt, PatchPlan, Plan, Task, TaskStatus,
};
use crate::words::request::ToolSpec;
use crate::words::settings::{PatchForm, ShellForm, ThreadSettings};

/// A tool: when it is offered and in which form, and what becomes of its calls.
struct Tool {
    /// The name it is offered under, and others it answers to.
    names: &'static [&'static str],
    /// Its spec, if these settings offer it.
    offered: fn(&ThreadSettings) -> Option<ToolSpec>,
    plan: fn(&CallAsked, &ThreadSettings) -> Result<Plan, Answer>,
}

static TOOLS: [Tool; 11] = [
    Tool {
        names: &["shell", "container.exec", "local_shell"],
        offered: |settings| match settings.tools.shell {
            ShellForm::Argv => Some(specs::SHELL),
            ShellForm::Local => Some(specs::LOCAL_SHELL),
            ShellForm::Line | ShellForm::Sessions => None,
        },
        plan: shell::plan_argv,
    },
    Tool {
        names: &["shell_command"],
        offered: |settings| {
            (settings.tools.shell == ShellForm::Line).then_some(specs::SHELL_COMMAND)
        },
        plan: shell::plan_line,
    },
    Tool {
        names: &["exec_command"],
        offered: |settings| {
            (settings.tools.shell == ShellForm::Sessions).then_some(specs::EXEC_COMMAND)
        },
        plan: exec_session::plan_start,
    },
    Tool {
        names: &["write_stdin"],
        offered: |settings| {
            (settings.tools.shell == ShellForm::Sessions).then_some(specs::WRITE_STDIN)
        },
        plan: exec_session::plan_write,
    },
    Tool { names: &["update_plan"], offered: |_| Some(specs::UPDATE_PLAN), plan: plan_tasks },
    Tool {
        names: &["apply_patch"],
        offered: |settings| match settings.tools.patch {
            PatchForm::Freeform => Some(specs::APPLY_PATCH_FREEFORM),
            PatchForm::Function => Some(specs::APPLY_PATCH),
            PatchForm::ThroughShell => None,
        },
        plan: plan_patch,
    },
    Tool {
        names: &["grep_files"],
        offered: |settings| settings.tools.files.then_some(specs::GREP_FILES),
        plan: plan_grep_files,
    },
    Tool {
        names: &["read_file"],
        offered: |settings| settings.tools.files.then_some(specs::READ_FILE),
        plan: plan_read_file,
    },
    Tool {
        names: &["list_dir"],
        offered: |settings| settings.tools.files.then_some(specs::LIST_DIR),
        plan: plan_list_dir,
    },
    Tool {
        names: &["web_search"],
        offered: |settings| settings.tools.web.map(specs::web_search),
        plan: |asked, _| Err(unsupported(asked)),
    },
    Tool {
        names: &["view_image"],
        offered: |settings| settings.tools.images.then_some(specs::VIEW_IMAGE),
        plan: plan_view_image,
    },
];

/// The tools these settings offer, in the order the model sees them.
pub fn offered(settings: &ThreadSettings) -> Vec<ToolSpec> {
    TOOLS.iter().filter_map(|tool| (tool.offered)(settings)).collect()
}

/// What becomes of a call. A call that makes no sense is answered, never dropped.
pub fn plan(asked: &CallAsked, settings: &ThreadSettings) -> Plan {
    let tool = TOOLS.iter().find(|tool| tool.names.contains(&&*asked.name));
    let fits = match asked.kind {
        CallKind::Function | CallKind::LocalShell => true,
        CallKind::Custom => &*asked.name == "apply_patch",
    };
    match tool {
        Some(tool) if fits => (tool.plan)(asked, settings).unwrap_or_else(Plan::Answered),
        Some(_) | None => Plan::Answered(unsupported(asked)),
    }
}

fn unsupported(asked: &CallAsked) -> Answer {
    let custom = if asked.kind == CallKind::Custom { "custom tool " } else { "" };
    let name = &asked.name;
    Answer::failure(format!("unsupported {custom}call: {name}"))
}

fn plan_patch(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    let patch = match asked.kind {
        CallKind::Custom => asked.arguments.clone(),
        CallKind::Function | CallKind::LocalShell => {
            let arguments = Arguments::parse(&asked.arguments)?;
            arguments::required(arguments.input, "input")?.into()
        }
    };
    Ok(Plan::Patch(PatchPlan { patch, workdir: settings.cwd.clone() }))
}

fn plan_tasks(asked: &CallAsked, _settings: &ThreadSettings) -> Result<Plan, Answer> {
    let arguments = Arguments::parse(&asked.arguments)?;
    let steps = arguments::required(arguments.plan, "plan")?;
    if steps.len() > TASKS_MAX {
        return Err(Answer::failure(format!("a plan has at most {TASKS_MAX} steps")));
    }
    let mut tasks = Vec::with_capacity(steps.len());
    for step in steps {
        let status = match step.status.as_str() {
            "pending" => TaskStatus::Pending,
            "in_progress" => TaskStatus::InProgress,
            "completed" => TaskStatus::Completed,
            other => {
                let text = format!(
                    "failed to parse function arguments: status {other:?} is none of pending, \
                     in_progress, completed"
                );
                return Err(Answer::failure(text));
            }
        };
        tasks.push(Task { step: step.step.into(), status });
    }
    Ok(Plan::Tasks { explanation: arguments.explanation.map(Into::into), tasks })
}

fn plan_grep_files(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    Ok(look(LookAt::Search, asked, settings))
}

fn plan_read_file(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    Ok(look(LookAt::File, asked, settings))
}

fn plan_list_dir(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    Ok(look(LookAt::Directory, asked, settings))
}

fn plan_view_image(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    Ok(look(LookAt::Image, asked, settings))
}

fn look(what: LookAt, asked: &CallAsked, settings: &ThreadSettings) -> Plan {
    let (arguments, workdir) = (asked.arguments.clone(), settings.cwd.clone());
    Plan::Look(Look { what, arguments, workdir })
}

#[cfg(test)]
mod tests;
