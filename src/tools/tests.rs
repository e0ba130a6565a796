//! What becomes of calls, by a table.

use super::*;
use crate::limits::WORKDIR_BYTES_MAX;
use crate::words::call::{CommandPlan, Life, Patience, WritePlan};
use crate::words::settings::WebReach;

fn settings() -> ThreadSettings {
    crate::words::samples::settings()
}

fn asked(kind: CallKind, name: &str, arguments: &str) -> CallAsked {
    CallAsked {
        kind,
        call_id: "c".into(),
        name: name.into(),
        arguments: arguments.into(),
        id: None,
    }
}

fn check(name: &str, arguments: &str, expected: &str) {
    let plan = plan(&asked(CallKind::Function, name, arguments), &settings());
    let told = match plan {
        Plan::Answered(answer) => answer.text().to_string(),
        Plan::Command(CommandPlan { argv, workdir, life, escalation }) => {
            let life = match life {
                Life::Call { timeout_ms } => timeout_ms.to_string(),
                Life::Session { stdio, patience: Patience { yield_ms, output_tokens_max } } => {
                    format!("{stdio:?} {yield_ms} {output_tokens_max}")
                }
            };
            format!("{} in {workdir} for {life} {}", argv.join(" "), escalation.is_some())
        }
        Plan::Write(WritePlan { session, chars, patience }) => {
            let Patience { yield_ms, output_tokens_max } = patience;
            format!("{chars:?} to {session} for {yield_ms} {output_tokens_max}")
        }
        Plan::Patch(patch) => format!("patch in {}", patch.workdir),
        Plan::Tasks { tasks, .. } => format!("{} tasks", tasks.len()),
        Plan::Look(look) => format!("{look:?}"),
    };
    assert!(told.starts_with(expected), "{name} {arguments}: {told}");
}

#[test]
fn every_offered_tool_is_one_that_is_handled() {
    for spec in offered(&settings()) {
        assert!(TOOLS.iter().any(|tool| tool.names.contains(&spec.name)), "{}", spec.name);
    }
}

#[test]
fn commands_are_planned_as_they_were_asked() {
    check("shell", r#"{"command":["ls","-l"]}"#, "ls -l in /w for 10000 false");
    check("container.exec", r#"{"command":["ls"],"workdir":"a"}"#, "ls in /w/a for 10000");
    check("shell", r#"{"command":["ls"],"workdir":"/a","timeout_ms":5}"#, "ls in /a for 5");
    check("shell", r#"{"command":["ls"],"timeout":7.9}"#, "ls in /w for 7");
    check("shell", r#"{"command":["ls"],"timeout_ms":1e300}"#, "ls in /w for 3600000");
    check("shell", r#"{"command":["ls"],"timeout_ms":-1}"#, "ls in /w for 10000");
    check("shell_command", r#"{"command":"ls | wc"}"#, "/bin/sh -lc ls | wc in /w");
    check("shell", r#"{"command":"ls | wc"}"#, "/bin/sh -lc ls | wc in /w");
    check("shell", r#"{"command":"[\"ls\",\"-l\"]"}"#, "ls -l in /w for 10000 false");
    check("shell", r#"{"command":"[ -e a ]"}"#, "/bin/sh -lc [ -e a ] in /w");
    check(
        "shell",
        r#"{"command":["ls"],"sandbox_permissions":"require_escalated"}"#,
        "ls in /w for 10000 true",
    );
    check(
        "shell",
        r#"{"command":["ls"],"with_escalated_permissions":true}"#,
        "ls in /w for 10000 true",
    );
}

#[test]
fn sessions_are_planned_within_their_bounds() {
    let start = "/bin/sh -lc top in /w for";
    check("exec_command", r#"{"cmd":"top"}"#, &format!("{start} Terminal 10000 10000 false"));
    check(
        "exec_command",
        r#"{"cmd":"top","workdir":"a","shell":"/bin/zsh","login":false,"tty":false,
            "yield_time_ms":1,"max_output_tokens":7.5,"sandbox_permissions":"require_escalated"}"#,
        "/bin/zsh -c top in /w/a for Pipes 250 7 true",
    );
    let far = r#"{"cmd":"top","yield_time_ms":1e300,"max_output_tokens":1e300}"#;
    check("exec_command", far, &format!("{start} Terminal 30000 262144"));
    let nonsense = r#"{"cmd":"top","yield_time_ms":-1,"max_output_tokens":-1}"#;
    check("exec_command", nonsense, &format!("{start} Terminal 10000 10000"));
    check("exec_command", r#"{"cmd":" "}"#, "the command is empty");
    check("exec_command", "{}", "failed to parse function arguments: missing field `cmd`");
    let patch = r#"{"cmd":"apply_patch <<'EOF'\n*** Begin Patch\n*** End Patch\nEOF\n"}"#;
    check("exec_command", patch, "patch in /w");
    check("write_stdin", r#"{"session_id":3,"chars":"x\n"}"#, r#""x\n" to 3 for 250 10000"#);
    check("write_stdin", r#"{"session_id":3.0}"#, r#""" to 3 for 5000 10000"#);
    let long = r#"{"session_id":3,"chars":"x","yield_time_ms":1e9}"#;
    check("write_stdin", long, r#""x" to 3 for 30000"#);
    check("write_stdin", r#"{"session_id":3,"yield_time_ms":1e9}"#, r#""" to 3 for 300000"#);
    check("write_stdin", r#"{"session_id":-1}"#, "there is no session -1");
    check("write_stdin", r#"{"session_id":1.5}"#, "there is no session 1.5");
    check("write_stdin", r#"{"chars":"x"}"#, "failed to parse function arguments: missing field");
}

#[test]
fn sessions_are_offered_in_place_of_the_shell() {
    let mut settings = settings();
    settings.tools.shell = ShellForm::Sessions;
    let names: Vec<&str> = offered(&settings).iter().map(|spec| spec.name).collect();
    assert_eq!(names[..3], ["exec_command", "write_stdin", "update_plan"]);
    assert!(!names.contains(&"shell"));
}

#[test]
fn the_web_is_searched_by_the_provider_alone() {
    let mut settings = settings();
    assert!(offered(&settings).iter().all(|spec| spec.name != "web_search"));
    settings.tools.web = Some(WebReach::Cached);
    let names: Vec<&str> = offered(&settings).iter().map(|spec| spec.name).collect();
    assert!(names.ends_with(&["list_dir", "web_search", "view_image"]), "{names:?}");
    check("web_search", "{}", "unsupported call: web_search");
}

#[test]
fn calls_that_make_no_sense_are_answered() {
    check("shell", "{", "failed to parse function arguments: EOF");
    check("shell", "", "failed to parse function arguments: missing field `command`");
    check("shell", r#"{"command":[]}"#, "the command's arguments are empty");
    check("shell", r#"{"command":["a\u0000"]}"#, "a command cannot hold a NUL");
    for arguments in [r#"{"command":7}"#, r#"{"command":["sleep",5]}"#] {
        let expected = "failed to parse function arguments: command: expected a list of texts";
        check("shell", arguments, expected);
    }
    let within = r#""{\"command\":[\"ls\"]}""#;
    check("shell", within, "failed to parse function arguments: invalid type: string");
    check("shell", r#"{"command":"[]"}"#, "the command's arguments are empty");
    check("nonsense", "{}", "unsupported call: nonsense");
    check("update_plan", r#"{"plan":[{"step":"a","status":"soon"}]}"#, "failed to parse");
    let custom = plan(&asked(CallKind::Custom, "shell", "x"), &settings());
    assert_eq!(custom, Plan::Answered(Answer::failure("unsupported custom tool call: shell")));
}

#[test]
fn a_workdir_that_cannot_be_one_is_named() {
    let call = |name: &str, command: &str, workdir: &str| {
        check(
            name,
            &format!("{{{command},\"workdir\":\"{workdir}\"}}"),
            "`workdir` is a path of 4096",
        );
    };
    let (long, fits) = ("a".repeat(WORKDIR_BYTES_MAX - 2), "a".repeat(WORKDIR_BYTES_MAX - 3));
    call("shell", r#""command":["ls"]"#, &long);
    call("exec_command", r#""cmd":"ls""#, &format!("/w/{long}"));
    call("shell", r#""command":["apply_patch","x"]"#, &long);
    check("shell", &format!(r#"{{"command":["ls"],"workdir":"{fits}"}}"#), "ls in /w/aaa");
    check("shell", r#"{"command":["ls"],"workdir":"\u0000"}"#, "`workdir` cannot hold a NUL");
    let script = format!("cd {long} && apply_patch <<E\\nx\\nE");
    let asked = format!(r#"{{"command":["sh","-c","{script}"]}}"#);
    check("shell", &asked, "`cd` is a path of 4096 bytes, and at most 4095 can");
}

#[test]
fn a_command_that_only_patches_is_a_patch() {
    check(
        "shell",
        r#"{"command":["apply_patch","*** Begin Patch\n*** End Patch"]}"#,
        "patch in /w",
    );
    check(
        "shell",
        r#"{"command":["bash","-lc","cd sub && apply_patch <<'EOF'\n*** Begin Patch\n*** End Patch\nEOF\n"]}"#,
        "patch in /w/sub",
    );
    check("shell", r#"{"command":["*** Begin Patch\n*** End Patch"]}"#, "this is a patch without");
    check("apply_patch", r#"{"input":"*** Begin Patch"}"#, "patch in /w");
}

#[test]
fn a_plan_that_is_too_long_is_refused() {
    let step = r#"{"step":"a","status":"pending"}"#;
    let steps = vec![step; TASKS_MAX].join(",");
    check("update_plan", &format!(r#"{{"plan":[{steps}]}}"#), &format!("{TASKS_MAX} tasks"));
    check("update_plan", &format!(r#"{{"plan":[{steps},{step}]}}"#), "a plan has at most");
}
