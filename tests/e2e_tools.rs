//! What the model may do: commands under the sandbox, patches by every door, looks, plans.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use support::reply::{self, Reply};
use support::run::{Call, Ended, KEY};
use support::{World, outside, texts};

/// A world whose workspace is all that may be written: temporary files are not.
fn workspace(world: &World, words: &[&str]) -> Call {
    world
        .call(&[&["--json", "-s", "workspace-write"], words].concat())
        .set("sandbox_workspace_write.exclude_slash_tmp=true")
        .set("sandbox_workspace_write.exclude_tmpdir_env_var=true")
}

/// Lets the model make these calls in one response, and gives what it is told of them.
fn check(world: &mut World, calls: &[Value], call: Call) -> (Ended, Vec<String>) {
    world.reply(Reply::items(calls)).reply(Reply::message("done"));
    let ended = world.run(call);
    ended.exits(0);
    assert_eq!(ended.types().last().unwrap(), "turn.completed");
    assert_eq!(ended.items("agent_message").last().unwrap()["text"], "done");
    let outputs = world.outputs();
    assert_eq!(outputs.len(), calls.len(), "{outputs:?}");
    (ended, outputs)
}

/// The same for one call in the workspace.
fn check_one(world: &mut World, call: Value) -> (Ended, String) {
    let how = workspace(world, &["go"]);
    let (ended, mut outputs) = check(world, &[call], how);
    (ended, outputs.remove(0))
}

fn shell(argv: &[&str]) -> Value {
    reply::call("c1", "shell", &json!({ "command": argv }).to_string())
}

fn script(script: &str) -> Value {
    shell(&["bash", "-c", script])
}

fn patch(lines: &str) -> Value {
    reply::custom_call("c1", "apply_patch", &patch_text(lines))
}

fn patch_text(lines: &str) -> String {
    format!("*** Begin Patch\n{lines}\n*** End Patch\n")
}

/// The text below the head of a command's answer, whose exit code is as expected.
fn output_of(answer: &str, exit_code: i32) -> &str {
    let lead = format!("Exit code: {exit_code}\nWall time: ");
    let rest = answer.strip_prefix(&lead).unwrap_or_else(|| panic!("{answer}"));
    rest.split_once("Output:\n").unwrap().1
}

#[test]
fn a_command_runs_and_its_output_is_told() {
    let mut world = World::new();
    let (ended, answer) = check_one(&mut world, script("echo out; echo err >&2; pwd"));
    let printed = format!("out\nerr\n{}\n", world.cwd.display());
    assert_eq!(output_of(&answer, 0), printed);
    assert!(ended.had_children);
    let lines = ended.lines();
    let command = "bash -c 'echo out; echo err >&2; pwd'";
    let started = json!({"type": "item.started", "item": {
        "id": "item_0", "type": "command_execution", "command": command,
        "aggregated_output": "", "exit_code": null, "status": "in_progress"}});
    let completed = json!({"type": "item.completed", "item": {
        "id": "item_0", "type": "command_execution", "command": command,
        "aggregated_output": printed, "exit_code": 0, "status": "completed"}});
    assert_eq!(lines[2..4], [started, completed]);
}

#[test]
fn a_command_that_fails_is_an_answer_like_any() {
    let mut world = World::new();
    let (ended, answer) = check_one(&mut world, script("echo bad; exit 3"));
    assert_eq!(output_of(&answer, 3), "bad\n");
    let item = &ended.items("command_execution")[0];
    assert_eq!((&item["exit_code"], &item["status"]), (&json!(3), &json!("failed")));
    let (_, answer) = check_one(&mut world, script("kill -9 $$"));
    assert_eq!(output_of(&answer, 137), "");
    let (ended, answer) = check_one(&mut world, shell(&["no-such-program"]));
    assert!(answer.contains("no-such-program: no such program"), "{answer}");
    assert_eq!(ended.items("command_execution")[0]["exit_code"], -1);
    world.file("plain", "text");
    let (_, answer) = check_one(&mut world, shell(&["./plain"]));
    assert!(answer.contains("./plain: not executable"), "{answer}");
    let nowhere = reply::call("c1", "shell", r#"{"command":["true"],"workdir":"no/dir"}"#);
    let (_, answer) = check_one(&mut world, nowhere);
    assert!(answer.contains("/no/dir: No such file"), "{answer}");
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    let mut world = World::new();
    let arguments = json!({"command": ["sh", "-c", "echo begun; sleep 600"], "timeout_ms": 1000});
    let (ended, answer) = check_one(&mut world, reply::call("c1", "shell", &arguments.to_string()));
    let output = output_of(&answer, 124);
    assert_eq!(output, "command timed out after 1000 milliseconds\nbegun\n");
    assert_eq!(ended.items("command_execution")[0]["exit_code"], 124);
    assert!(ended.took_ms < 20_000, "{}", ended.took_ms);
}

#[test]
fn a_call_that_makes_no_sense_is_answered() {
    let mut world = World::new();
    let calls = [
        reply::call("c1", "shell", r#"{"command":["#),
        reply::call("c2", "shell", r#"{"command":[]}"#),
        reply::call("c3", "shell", r#"{"command":["a\u0000b"]}"#),
        reply::call("c4", "no_tool", "{}"),
        reply::custom_call("c5", "no_custom", "text"),
        reply::call("c6", "update_plan", r#"{"plan":[{"step":"a","status":"someday"}]}"#),
        reply::call("c6", "shell", r#"{"command":["true"]}"#),
    ];
    let call = workspace(&world, &["go"]);
    let (ended, outputs) = check(&mut world, &calls, call);
    for (output, part) in outputs.iter().zip([
        "failed to parse function arguments",
        "the command's arguments are empty",
        "NUL",
        "unsupported call: no_tool",
        "unsupported custom tool call: no_custom",
        "someday",
        "Exit code: 0",
    ]) {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert_eq!(ended.items("command_execution").len(), 1);
}

#[test]
fn calls_are_told_one_after_the_other() {
    let mut world = World::new();
    let calls: Vec<Value> = ["first", "second", "third"]
        .iter()
        .map(|word| {
            let arguments = json!({"command": ["sh", "-c", format!("echo {word}")]});
            reply::call(word, "shell", &arguments.to_string())
        })
        .collect();
    let call = workspace(&world, &["go"]);
    let (ended, outputs) = check(&mut world, &calls, call);
    let outputs: Vec<_> = outputs.iter().map(|output| output_of(output, 0)).collect();
    assert_eq!(outputs, ["first\n", "second\n", "third\n"]);
    let types = ended.types();
    let pair = ["item.started command_execution", "item.completed command_execution"];
    assert_eq!(types[2..8], [pair, pair, pair].concat());
}

#[test]
fn a_script_goes_to_the_users_shell() {
    let mut world = World::new();
    let line = reply::call("c1", "shell_command", r#"{"command":"echo $0 | tr a-z A-Z"}"#);
    let call =
        workspace(&world, &["--enable", "shell_command_tool", "go"]).env("SHELL", "/bin/bash");
    let (ended, outputs) = check(&mut world, &[line], call);
    assert_eq!(output_of(&outputs[0], 0), "/BIN/BASH\n");
    let command = ended.items("command_execution")[0]["command"].as_str().unwrap().to_owned();
    assert_eq!(command, "/bin/bash -lc 'echo $0 | tr a-z A-Z'");
}

#[test]
fn other_models_are_answered_in_json() {
    let mut world = World::new();
    let call = workspace(&world, &["-m", "some-new-model", "go"]);
    let (_, outputs) = check(&mut world, &[script("echo hi; exit 2")], call);
    let answer: Value = serde_json::from_str(&outputs[0]).unwrap();
    assert_eq!(answer["output"], "hi\n");
    assert_eq!(answer["metadata"]["exit_code"], 2);
}

#[test]
fn stdin_of_a_command_is_empty() {
    let mut world = World::new();
    let call = workspace(&world, &["go"]).piped("not for the command");
    let (_, outputs) = check(&mut world, &[script("cat; echo end")], call);
    assert_eq!(output_of(&outputs[0], 0), "end\n");
}

/// Whether commands can be confined here at all.
fn is_confined() -> bool {
    let mut world = World::new();
    let (_, answer) = check_one(&mut world, script("true"));
    let is_confined = answer.starts_with("Exit code: 0");
    if !is_confined {
        eprintln!("SKIPPED: this kernel cannot confine commands: {answer}");
    }
    is_confined
}

/// Tries to write in the workspace and beside it; tells how each attempt went.
const WRITES: &str = "(echo x > inside) 2>/dev/null && echo inside; \
                      (echo x > ../elsewhere/outside) 2>/dev/null && echo outside; \
                      (echo x > \"$WINDLASS_HOME/planted\") 2>/dev/null && echo home; \
                      (mkdir ../elsewhere/made) 2>/dev/null && echo made; \
                      (mv inside ../elsewhere/) 2>/dev/null && echo moved; true";

fn check_writes(mode: &str, written: &str) {
    let mut world = World::new();
    let call = world
        .call(&["--json", "-s", mode, "go"])
        .set("sandbox_workspace_write.exclude_slash_tmp=true");
    let (_, outputs) = check(&mut world, &[script(WRITES)], call);
    assert_eq!(output_of(&outputs[0], 0), written, "{mode}");
    assert_eq!(world.elsewhere.join("outside").exists(), written.contains("outside"));
}

#[test]
fn a_command_writes_where_it_may() {
    if !is_confined() {
        return;
    }
    check_writes("read-only", "");
    check_writes("workspace-write", "inside\n");
    check_writes("danger-full-access", "inside\noutside\nhome\nmade\nmoved\n");
}

#[test]
fn more_roots_may_be_written_if_it_is_said() {
    if !is_confined() {
        return;
    }
    let mut world = World::new();
    let elsewhere = world.elsewhere.to_string_lossy().into_owned();
    let call = workspace(&world, &["--add-dir", &elsewhere, "go"]);
    let (_, outputs) = check(&mut world, &[script("echo x > ../elsewhere/outside")], call);
    assert_eq!(output_of(&outputs[0], 0), "");
    assert!(world.elsewhere.join("outside").exists());
    let told = texts(&world.requests()[0].body["input"], "user")[0].clone();
    assert!(told.contains(&format!("<root>{elsewhere}</root>")), "{told}");
}

#[test]
fn a_command_has_no_network_unless_it_is_said() {
    if !is_confined() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!(
        "(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>&1 && echo through; \
                           echo ${{CODEX_SANDBOX_NETWORK_DISABLED-unset}}"
    );
    let outputs_of = |words: &[&str]| {
        let mut world = World::new();
        let call = world.call(&[&["--json", "go"], words].concat());
        check(&mut world, &[script(&connect)], call).1.remove(0)
    };
    let refused = outputs_of(&["-s", "workspace-write"]);
    let refused = output_of(&refused, 0);
    assert!(!refused.contains("through") && refused.ends_with("\n1\n"), "{refused}");
    let refused = outputs_of(&["-s", "read-only"]);
    assert!(!refused.contains("through"), "{refused}");
    let setting = ["-s", "workspace-write", "-c", "sandbox_workspace_write.network_access=true"];
    assert_eq!(output_of(&outputs_of(&setting), 0), "through\nunset\n");
    assert_eq!(output_of(&outputs_of(&["--yolo"]), 0), "through\nunset\n");
    assert_eq!(outside::waiting_connections(listener.as_raw_fd()), 2);
}

#[test]
fn leaving_the_sandbox_is_refused_when_nobody_is_asked() {
    let mut world = World::new();
    let arguments = r#"{"command":["touch","ran"],"with_escalated_permissions":true}"#;
    let call = workspace(&world, &["go"]).set("approval_policy=on-request");
    let (ended, outputs) = check(&mut world, &[reply::call("c1", "shell", arguments)], call);
    assert!(outputs[0].contains("the approval policy is never"), "{}", outputs[0]);
    assert!(!world.cwd.join("ran").exists());
    assert!(!ended.had_children);
}

#[test]
fn secrets_do_not_reach_commands() {
    let mut world = World::new();
    let auth = r#"{"OPENAI_API_KEY": "sk-stored-0123456789"}"#;
    fs::write(world.home.join("auth.json"), auth).unwrap();
    let call = workspace(&world, &["go"])
        .env("X_TOKEN", "tok-0123456789")
        .env("MY_PASSWORD", "pass-0123456789")
        .env("HARMLESS", "shown");
    let read = "env; cat \"$WINDLASS_HOME/auth.json\"; cat /proc/$PPID/environ; \
                cat /proc/$(cut -d ' ' -f 4 /proc/$PPID/stat)/environ; \
                cat \"$WINDLASS_HOME\"/../home/auth.json; ln \"$WINDLASS_HOME/auth.json\" here; \
                cat here; true";
    let (ended, outputs) = check(&mut world, &[script(read)], call);
    let output = output_of(&outputs[0], 0);
    assert!(output.contains("HARMLESS=shown"), "{output}");
    for secret in [KEY, "tok-0123456789", "pass-0123456789", "sk-stored"] {
        assert!(!output.contains(secret), "{secret}: {output}");
        assert!(!ended.stdout.contains(secret));
    }
}

/// A patch in the workspace that is applied, and what is told of it.
fn check_patched(world: &mut World, call: Value) -> Ended {
    world.file("a.txt", "one\ntwo\nthree\n");
    let (ended, answer) = check_one(world, call);
    let told = output_of(&answer, 0);
    assert!(told.ends_with("A sub/new.txt\nM a.txt\n"), "{told}");
    assert_eq!(world.read("a.txt"), "one\n2\nthree\n");
    assert_eq!(world.read("sub/new.txt"), "fresh\n");
    fs::remove_file(world.cwd.join("sub/new.txt")).unwrap();
    ended
}

const HUNKS: &str = "*** Add File: sub/new.txt\n+fresh\n*** Update File: a.txt\n@@\n one\n-two\n+2";

fn check_told_as_change(world: &World, ended: &Ended) {
    let path = |name: &str| world.cwd.join(name).to_string_lossy().into_owned();
    let changes = json!([
        {"path": path("sub/new.txt"), "kind": "add"},
        {"path": path("a.txt"), "kind": "update"},
    ]);
    let change = &ended.items("file_change")[0];
    assert_eq!((&change["changes"], &change["status"]), (&changes, &json!("completed")));
    assert!(ended.items("command_execution").is_empty());
}

#[test]
fn a_patch_comes_through_every_door() {
    let mut world = World::new();
    let text = patch_text(HUNKS);
    let heredoc = format!("apply_patch <<'EOF'\n{text}EOF\n");
    for call in [
        patch(HUNKS),
        reply::call("c1", "apply_patch", &json!({ "input": text }).to_string()),
        shell(&["apply_patch", &text]),
        shell(&["bash", "-lc", &heredoc]),
        shell(&["bash", "-lc", &format!("cd {} && {heredoc}", world.cwd.display())]),
    ] {
        let ended = check_patched(&mut world, call);
        check_told_as_change(&world, &ended);
    }
}

#[test]
fn a_script_applies_a_patch_by_a_program() {
    let mut world = World::new();
    let heredoc = format!("set -e; apply_patch <<'EOF'\n{}EOF\n", patch_text(HUNKS));
    for flag in ["-c", "-lc"] {
        let ended = check_patched(&mut world, shell(&["bash", flag, &heredoc]));
        assert!(ended.items("file_change").is_empty());
        assert_eq!(ended.items("command_execution")[0]["status"], "completed");
    }
}

#[test]
fn a_patch_that_does_not_fit_changes_nothing() {
    let mut world = World::new();
    world.file("a.txt", "one\n");
    let wrong = "*** Add File: new.txt\n+x\n*** Update File: a.txt\n@@\n-two\n+2";
    let (ended, answer) = check_one(&mut world, patch(wrong));
    let why = answer.strip_prefix("apply_patch verification failed: ").unwrap();
    assert!(!why.contains("verification failed"), "{answer}");
    assert!(why.contains("a.txt") && why.contains("two"), "{answer}");
    assert!(ended.items("file_change").is_empty());
    assert!(!world.cwd.join("new.txt").exists());
    assert_eq!(world.read("a.txt"), "one\n");
    let (_, answer) = check_one(&mut world, reply::custom_call("c1", "apply_patch", "nonsense"));
    assert!(answer.contains("*** Begin Patch"), "{answer}");
}

#[test]
fn a_patch_outside_the_workspace_is_refused() {
    let mut world = World::new();
    fs::write(world.elsewhere.join("b.txt"), "one\n").unwrap();
    for hunks in [
        "*** Add File: ../elsewhere/new.txt\n+x".to_owned(),
        format!("*** Add File: {}/new.txt\n+x", world.elsewhere.display()),
        "*** Delete File: ../elsewhere/b.txt".to_owned(),
        "*** Update File: ../elsewhere/b.txt\n@@\n-one\n+1".to_owned(),
        "*** Add File: .git/hooks/pre-commit\n+x".to_owned(),
    ] {
        let (_, answer) = check_one(&mut world, patch(&hunks));
        assert!(answer.contains("the patch was rejected"), "{answer}");
    }
    world.file("c.txt", "one\n");
    let call = world.call(&["--json", "-s", "read-only", "go"]);
    let (_, outputs) = check(&mut world, &[patch("*** Delete File: c.txt")], call);
    assert!(outputs[0].contains("the patch was rejected"), "{}", outputs[0]);
    assert!(world.cwd.join("c.txt").exists());
    assert!(!world.elsewhere.join("new.txt").exists());
    assert_eq!(fs::read_to_string(world.elsewhere.join("b.txt")).unwrap(), "one\n");
    assert!(!world.cwd.join(".git/hooks").exists());
}

#[test]
fn a_link_out_of_the_workspace_is_no_way_for_a_patch() {
    let mut world = World::new();
    if !is_confined() {
        return;
    }
    symlink(&world.elsewhere, world.cwd.join("link")).unwrap();
    let (_, answer) = check_one(&mut world, patch("*** Add File: link/new.txt\n+x"));
    // By rules, or by mounts where there are some.
    let said = output_of(&answer, 1);
    let is_refused =
        ["Permission denied", "Read-only file system"].iter().any(|it| said.contains(it));
    assert!(is_refused, "{answer}");
    assert!(!world.elsewhere.join("new.txt").exists());
}

#[test]
fn files_and_directories_are_looked_at() {
    let mut world = World::new();
    let path = world.file("dir/a.txt", "one\ntwo\nthree\n");
    let file = json!({"file_path": path, "offset": 2, "limit": 1}).to_string();
    let directory = json!({"dir_path": world.cwd.join("dir")}).to_string();
    let gone = json!({"file_path": world.cwd.join("gone")}).to_string();
    let calls = [
        reply::call("c1", "read_file", &file),
        reply::call("c2", "list_dir", &directory),
        reply::call("c3", "read_file", &gone),
        reply::call("c4", "read_file", r#"{"file_path":"relative"}"#),
    ];
    let call = world.call(&["--json", "--enable", "file_tools", "go"]);
    let (_, outputs) = check(&mut world, &calls, call);
    assert_eq!(outputs[0], "L2: two");
    assert_eq!(outputs[1], format!("Absolute path: {}/dir\na.txt", world.cwd.display()));
    assert!(outputs[2].starts_with("failed to read file"), "{}", outputs[2]);
    assert!(outputs[3].contains("absolute"), "{}", outputs[3]);
    let tools = world.requests()[0].body["tools"].as_array().unwrap();
    let is_offered = |name: &str| tools.iter().any(|tool| tool["name"] == name);
    assert!(is_offered("read_file") && is_offered("list_dir"));
}

#[test]
fn a_login_is_not_looked_at() {
    let mut world = World::new();
    let path = world.home.join("auth.json");
    fs::write(&path, r#"{"OPENAI_API_KEY": "sk-stored-0123456789"}"#).unwrap();
    let arguments = json!({ "file_path": path }).to_string();
    let call = world.call(&["--json", "--enable", "file_tools", "go"]);
    let (_, outputs) = check(&mut world, &[reply::call("c1", "read_file", &arguments)], call);
    assert!(!outputs[0].contains("sk-stored"), "{}", outputs[0]);
}

#[test]
fn a_plan_is_one_item_from_beginning_to_end() {
    let mut world = World::new();
    let plan = |first: &str, second: &str| {
        let plan = json!({"plan": [
            {"step": "read", "status": first}, {"step": "edit", "status": second}]});
        Reply::items(&[reply::call("c1", "update_plan", &plan.to_string())])
    };
    world.reply(plan("in_progress", "pending")).reply(plan("completed", "in_progress"));
    world.reply(Reply::message("done"));
    let ended = world.exec(&["--json", "go"]);
    ended.exits(0);
    let expected = [
        "thread.started",
        "turn.started",
        "item.started todo_list",
        "item.updated todo_list",
        "item.completed agent_message",
        "item.completed todo_list",
        "turn.completed",
    ];
    assert_eq!(ended.types(), expected);
    let list = |done: bool| {
        json!({"id": "item_0", "type": "todo_list", "items": [
            {"text": "read", "completed": done}, {"text": "edit", "completed": false}]})
    };
    let lines = ended.lines();
    assert_eq!(lines[2]["item"], list(false));
    assert_eq!(lines[3]["item"], list(true));
    assert_eq!(lines[5]["item"], list(true));
    assert_eq!(world.outputs(), ["Plan updated", "Plan updated"]);
}

/// What a provider says of a search of its own, from its beginning to its end.
fn searched(id: &str, action: &Value) -> [Value; 2] {
    let begun = json!({ "type": "web_search_call", "id": id, "status": "in_progress" });
    let mut whole = json!({ "type": "web_search_call", "id": id, "status": "completed" });
    whole["action"] = action.clone();
    [
        json!({ "type": "response.output_item.added", "output_index": 0, "item": begun }),
        reply::done(&whole),
    ]
}

#[test]
fn the_provider_searches_the_web_if_it_is_asked_to() {
    let mut world = World::new();
    let search = json!({ "type": "search", "query": "mio edge triggered" });
    let page = json!({ "type": "open_page", "url": "https://docs.rs/mio" });
    let mut events = vec![reply::created()];
    events.extend(searched("ws_1", &search));
    events.extend(searched("ws_2", &page));
    events.push(reply::done(&reply::call("c1", "update_plan", "{\"plan\":[]}")));
    events.push(reply::completed());
    world.reply(Reply::events(&events)).reply(Reply::message("done"));
    let call = world.call(&["--json", "go"]).set("web_search=\"live\"");
    let ended = world.run(call);
    ended.exits(0);

    let offered = json!({ "type": "web_search", "external_web_access": true });
    let first = &world.requests()[0].body;
    assert!(first["tools"].as_array().unwrap().contains(&offered), "{}", first["tools"]);
    // It goes back as it came, without its id.
    let call = |action: &Value| json!({ "type": "web_search_call", "status": "completed", "action": action });
    let input = world.requests()[1].body["input"].as_array().unwrap();
    assert!(input.contains(&call(&search)) && input.contains(&call(&page)), "{input:?}");
    let recorded: Vec<Value> =
        world.records().into_iter().map(|record| record["payload"].clone()).collect();
    assert!(recorded.contains(&call(&search)) && recorded.contains(&call(&page)));

    let lines: Vec<&str> =
        ended.stdout.lines().filter(|line| line.contains("\"web_search\"")).collect();
    let shown = |phase: &str, id: u32, rest: &str| {
        format!(
            "{{\"type\":\"item.{phase}\",\"item\":{{\"id\":\"item_{id}\",\
             \"type\":\"web_search\",{rest}}}}}"
        )
    };
    let begun = r#""query":"","action":{"type":"other"}"#;
    let found = format!(r#""query":"mio edge triggered","action":{search}"#);
    let opened = format!(r#""query":"https://docs.rs/mio","action":{page}"#);
    let started = |id| shown("started", id, begun);
    let expected =
        [started(0), shown("completed", 0, &found), started(1), shown("completed", 1, &opened)];
    assert_eq!(lines, expected);
}

#[test]
fn people_see_what_the_provider_searched_for() {
    let mut world = World::new();
    let search = json!({ "type": "search", "query": "mio" });
    let mut events = vec![reply::created()];
    events.extend(searched("ws_1", &search));
    events.extend([reply::done(&reply::message("done")), reply::completed()]);
    world.reply(Reply::events(&events));
    let ended = world.exec(&["--enable", "web_search_request", "go"]);
    ended.exits(0);
    assert!(ended.stderr.contains("web search: mio\n"), "{}", ended.stderr);
    let offered = json!({ "type": "web_search" });
    assert!(world.body()["tools"].as_array().unwrap().contains(&offered));
}

#[test]
fn nothing_is_searched_for_unless_it_is_configured() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    world.exec(&["--json", "go"]).exits(0);
    let tools = world.body()["tools"].to_string();
    assert!(!tools.contains("web_search"), "{tools}");
}
