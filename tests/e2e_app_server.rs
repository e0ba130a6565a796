//! `app-server`: what a program that drives it over stdin and stdout is told.
//!
//! Whole stories are compared with those in `tests/snapshots/app_server`, field by field, with
//! names in the place of ids, times and paths; `WINDLASS_SNAPSHOTS=write` writes them anew.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::World;
use support::client::{self, Client};
use support::reply::{self, End, Reply};
use support::run::Stdin;

/// Compares what was written from a line on with a story.
#[track_caller]
fn tells(client: &Client, from: usize, story: &str) {
    client::is_as_written("app_server", story, &client.story(from));
}

fn reasoned() -> Reply {
    let mut events = vec![reply::created()];
    events.extend(reply::thought("think"));
    events.extend([reply::delta("Hel"), reply::delta("lo")]);
    events.extend([reply::done(&reply::message("Hello")), reply::completed()]);
    Reply::events(&events)
        .header("x-codex-primary-used-percent", "12.5")
        .header("x-codex-primary-window-minutes", "300")
        .header("x-codex-primary-reset-at", "1764000000")
}

const TEMPERATE: &str = "on-request";

fn added(name: &str) -> Reply {
    let patch = format!("*** Begin Patch\n*** Add File: {name}\n+hello\n*** End Patch\n");
    Reply::items(&[reply::custom_call("p1", "apply_patch", &patch)])
}

/// Runs a turn in which one question is asked, and answers it so.
fn decided(client: &mut Client, thread: &str, decision: &str) -> Value {
    let from = client.lines.len();
    let turn = client.turn(thread, "go");
    let asked = client.after(from, "a question", |line| {
        line["method"].as_str().is_some_and(|method| method.ends_with("/requestApproval"))
    });
    client.say(&json!({"id": asked["id"], "result": {"decision": decision}}));
    let ended = client.ended(&turn);
    client.settle();
    ended
}

#[test]
fn a_turn_is_told_from_its_first_to_its_last_word() {
    let mut world = World::new();
    world.reply(reasoned());
    let mut client = Client::new(world);
    let welcome = client.lines[0]["result"].clone();
    assert_eq!(welcome["codexHome"], json!(client.world.home));
    let agent = welcome["userAgent"].as_str().unwrap();
    let version = "0.169.0";
    assert!(agent.starts_with(&format!("probe/{version} (Linux ")), "{agent}");
    assert!(agent.ends_with(" (probe; 1.0)"), "{agent}");
    let thread = client.thread(json!({"approvalPolicy": TEMPERATE, "sandbox": "workspace-write"}));
    let turn = client.turn(&thread, "hi");
    client.ended(&turn);
    client.settle();
    tells(&client, 1, "turn");
    let (ended, world) = client.leave();
    ended.exits(0);
    assert_eq!(ended.stderr, "");
    let meta = &world.records()[0]["payload"];
    assert_eq!((&meta["originator"], &meta["source"]), (&json!("probe"), &json!("vscode")));
    assert_eq!(meta["id"], *thread);
}

#[test]
fn commands_are_asked_for_and_run_or_not() {
    for (decision, status) in
        [("accept", "completed"), ("decline", "completed"), ("cancel", "interrupted")]
    {
        let mut world = World::new();
        world.reply(Reply::escalated("touch zz && echo ok"));
        if decision != "cancel" {
            world.reply(Reply::message("done"));
        }
        let mut client = Client::new(world);
        let thread = client.thread(json!({"approvalPolicy": TEMPERATE}));
        let from = client.lines.len();
        let ended = decided(&mut client, &thread, decision);
        assert_eq!(ended["status"], status);
        tells(&client, from, &format!("command_{decision}"));
        assert_eq!(client.world.cwd.join("zz").exists(), decision == "accept");
        client.leave().0.exits(0);
    }
}

#[test]
fn what_is_accepted_for_the_session_is_asked_once() {
    let mut world = World::new();
    for _ in 0..2 {
        world.reply(Reply::escalated("touch zz"));
    }
    world.reply(Reply::message("done"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({"approvalPolicy": TEMPERATE}));
    decided(&mut client, &thread, "acceptForSession");
    let questions = client.lines.iter().filter(|line| line.get("id").is_some());
    let questions = questions.filter(|line| line.get("method").is_some()).count();
    assert_eq!(questions, 1);
    client.leave().0.exits(0);
}

#[test]
fn an_answer_that_is_no_answer_is_a_no() {
    for answer in [
        json!({"error": {"code": -1, "message": "nobody is here"}}),
        json!({"result": {"decision": "perhaps"}}),
        json!({"result": 7}),
    ] {
        let mut world = World::new();
        world.reply(Reply::escalated("touch zz")).reply(Reply::message("done"));
        let mut client = Client::new(world);
        let thread = client.thread(json!({"approvalPolicy": TEMPERATE}));
        let turn = client.turn(&thread, "go");
        let asked = client.told("item/commandExecution/requestApproval");
        let mut answer = answer;
        answer["id"] = json!(999);
        client.say(&answer);
        answer["id"] = asked["id"].clone();
        client.say(&answer);
        assert_eq!(client.ended(&turn)["status"], "completed");
        assert!(!client.world.cwd.join("zz").exists());
        client.leave().0.exits(0);
    }
}

#[test]
fn patches_are_asked_for_and_applied_or_not() {
    for decision in ["accept", "decline"] {
        let mut world = World::new();
        world.reply(added("a.txt")).reply(Reply::message("done"));
        let mut client = Client::new(world);
        let thread =
            client.thread(json!({"approvalPolicy": "untrusted", "sandbox": "workspace-write"}));
        let from = client.lines.len();
        let ended = decided(&mut client, &thread, decision);
        assert_eq!(ended["status"], "completed");
        tells(&client, from, &format!("patch_{decision}"));
        assert_eq!(client.world.cwd.join("a.txt").exists(), decision == "accept");
        client.leave().0.exits(0);
    }
}

#[test]
fn turns_are_interrupted() {
    let mut world = World::new();
    world.reply(Reply::beginning("Hel"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let from = client.lines.len();
    let turn = client.turn(&thread, "hi");
    client.told("item/agentMessage/delta");
    let wrong = json!({"threadId": thread, "turnId": "another"});
    assert_eq!(client.refused("turn/interrupt", wrong)["code"], -32600);
    let right = json!({"threadId": thread, "turnId": turn});
    assert_eq!(client.call("turn/interrupt", right.clone()), json!({}));
    client.ended(&turn);
    client.settle();
    tells(&client, from, "interrupted");
    assert_eq!(client.refused("turn/interrupt", right)["code"], -32600);
    client.leave().0.exits(0);
}

#[test]
fn what_goes_wrong_is_told_twice_and_what_is_tried_again_once() {
    let mut world = World::new();
    let begun = [reply::created(), reply::delta("Hel")];
    world.reply(Reply::events(&begun).ending(End::Dropped));
    let failed = reply::failed("context_length_exceeded", "too long");
    world.reply(Reply::events(&[reply::created(), failed]));
    let call = Client::plain_call(&world).retrying(0, 1);
    let mut client = Client::of(world, call);
    let info = json!({"name": "probe", "version": "1.0"});
    client.call("initialize", json!({"clientInfo": info}));
    let thread = client.thread(json!({}));
    let from = client.lines.len();
    let turn = client.turn(&thread, "hi");
    let ended = client.ended(&turn);
    assert_eq!(ended["error"]["codexErrorInfo"], "contextWindowExceeded");
    client.settle();
    tells(&client, from, "failed");
    client.leave().0.exits(0);
}

#[test]
fn words_reach_a_turn_that_runs() {
    let mut world = World::new();
    world.reply(Reply::message("first").held()).reply(Reply::message("second"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let input = json!([{"type": "text", "text": "more"}]);
    let steer = |turn: &str| json!({"threadId": thread, "expectedTurnId": turn, "input": input});
    assert_eq!(client.refused("turn/steer", steer("none"))["code"], -32600);
    let from = client.lines.len();
    let turn = client.turn(&thread, "hi");
    client.told("item/agentMessage/delta");
    assert_eq!(client.refused("turn/steer", steer("another"))["code"], -32600);
    assert_eq!(client.call("turn/steer", steer(&turn)), json!({"turnId": turn}));
    client.world.provider.is_released = true;
    assert_eq!(client.ended(&turn)["status"], "completed");
    client.settle();
    tells(&client, from, "steered");
    let asked = client.world.requests()[1].body["input"].to_string();
    assert!(asked.contains("more"), "{asked}");
    client.leave().0.exits(0);
}

#[test]
fn reviews_are_told_as_such() {
    let mut world = World::new();
    let verdict = json!({
        "findings": [{
            "title": "Handle the empty list", "body": "It divides by zero.",
            "confidence_score": 0.9, "priority": 1,
            "code_location": {
                "absolute_file_path": "/elsewhere/mean.rs", "line_range": {"start": 3, "end": 5},
            },
        }],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "An ordinary input fails.",
        "overall_confidence_score": 0.8,
    });
    world.reply(Reply::script("echo looked")).reply(Reply::message(&verdict.to_string()));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let from = client.lines.len();
    let target = json!({"type": "uncommittedChanges"});
    let begun = client.call("review/start", json!({"threadId": thread, "target": target}));
    assert_eq!(begun["reviewThreadId"], *thread);
    let turn = begun["turn"]["id"].as_str().unwrap().to_owned();
    client.ended(&turn);
    client.settle();
    tells(&client, from, "review");
    client.leave().0.exits(0);
}

#[test]
fn conversations_are_summed_up_when_asked() {
    let mut world = World::new();
    world.reply(Reply::message("first")).reply(Reply::message("the notes"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    let compact = json!({"threadId": thread});
    assert_eq!(client.refused("thread/compact/start", compact.clone())["code"], -32600);
    let turn = client.turn(&thread, "hi");
    client.ended(&turn);
    client.settle();
    let from = client.lines.len();
    assert_eq!(client.call("thread/compact/start", compact), json!({}));
    client.told_after(from, "turn/completed");
    client.settle();
    tells(&client, from, "compacted");
    client.leave().0.exits(0);
}

#[test]
fn what_a_client_opts_out_of_is_not_sent() {
    let mut world = World::new();
    world.reply(Reply::message("one two"));
    let unwanted = ["item/agentMessage/delta", "thread/status/changed", "turn/started"];
    let mut client = Client::with(world, json!({"optOutNotificationMethods": unwanted}));
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "hi");
    client.ended(&turn);
    let methods: Vec<&str> =
        client.lines.iter().filter_map(|line| line["method"].as_str()).collect();
    let expected = [
        "thread/started",
        "item/started",
        "item/completed",
        "item/started",
        "item/completed",
        "thread/tokenUsage/updated",
        "turn/completed",
    ];
    assert_eq!(methods, expected);
    client.leave().0.exits(0);
}

#[test]
fn a_client_may_say_where_it_is() {
    let world = World::new();
    let mut call = Client::plain_call(&world);
    call.words.extend(["--listen", "stdio://"].map(Into::into));
    let mut client = Client::of(world, call);
    let info = json!({"clientInfo": {"name": "probe", "version": "1.0"}});
    client.call("initialize", info);
    // From where the server is, as when a thread begins.
    let thread = client.call("thread/start", json!({"cwd": "."}))["thread"].clone();
    assert_eq!(thread["cwd"], json!(client.world.cwd));
    client.world.reply(Reply::message("done"));
    let input = json!([{"type": "text", "text": "hi"}]);
    let params = json!({"threadId": thread["id"], "input": input, "cwd": "."});
    let begun = client.call("turn/start", params);
    client.ended(begun["turn"]["id"].as_str().unwrap());
    client.leave().0.exits(0);
    let mut world = World::new();
    let mut call = Client::plain_call(&world);
    call.words.extend(["--listen", "ws://127.0.0.1:1"].map(Into::into));
    let ended = world.run(call.stdin(Stdin::Null));
    ended.exits(2);
    assert!(ended.stderr.contains("stdio://"), "{ended}");
}

#[test]
fn whoever_has_not_introduced_itself_is_told_so() {
    let mut client = Client::silent(World::new());
    let info = json!({"clientInfo": {"name": "probe", "version": "1.0"}});
    let refused = json!({"code": -32600, "message": "Not initialized"});
    assert_eq!(client.refused("thread/start", json!({})), refused);
    assert_eq!(client.refused("no/such/method", json!({})), refused);
    assert_eq!(client.refused("initialize", json!({}))["code"], -32600);
    client.call("initialize", info.clone());
    let refused = json!({"code": -32600, "message": "Already initialized"});
    assert_eq!(client.refused("initialize", info), refused);
    let unknown = client.refused("no/such/method", json!({}));
    assert_eq!(unknown["code"], -32600);
    let text = unknown["message"].as_str().unwrap();
    assert!(text.contains("`no/such/method`") && text.contains("`turn/start`"), "{text}");
    let bad = client.refused("turn/start", json!({"threadId": 7, "input": []}));
    assert_eq!(bad["code"], -32600);
    assert!(bad["message"].as_str().unwrap().starts_with("Invalid request: "), "{bad}");
    let missing = client.refused("turn/start", json!({}));
    assert!(missing["message"].as_str().unwrap().contains("threadId"), "{missing}");
    let none = json!({"threadId": "019aa5a7-0000-7000-8000-000000000000", "input": [
        {"type": "text", "text": "hi"},
    ]});
    assert!(client.refused("turn/start", none)["message"].as_str().unwrap().contains("not found"));
    client.leave().0.exits(0);
}

#[test]
fn settings_are_read_and_written() {
    let mut client = Client::new(World::new());
    let write = |key: &str, value: Value| json!({"keyPath": key, "value": value, "mergeStrategy": "replace"});
    let written = client.call("config/value/write", write("model", json!("gpt-5")));
    assert_eq!(written["status"], "ok");
    let path = client.world.home.join("config.toml");
    assert_eq!(written["filePath"], json!(path));
    assert_eq!(fs::read_to_string(&path).unwrap(), "model = \"gpt-5\"\n");
    let read = client.call("config/read", json!({"includeLayers": false}));
    assert_eq!(read["config"]["model"], "gpt-5");
    let edits = [write("model", json!("gpt-5.1")), write("tools.web_search", json!(true))];
    let mut batch = json!({"edits": edits, "expectedVersion": written["version"]});
    client.call("config/batchWrite", batch.clone());
    batch["expectedVersion"] = json!("sha256:00");
    client.refused("config/batchWrite", batch);
    let opened = client.call("thread/start", json!({"cwd": client.world.cwd}));
    assert_eq!(opened["model"], "gpt-5.1");
    client.leave().0.exits(0);
}

#[test]
fn commands_of_the_client_run_and_stream_and_end() {
    let mut client = Client::new(World::new());
    let sandbox = json!({"type": "dangerFullAccess"});
    let command = |script: &str, more: Value| {
        let mut params = json!({"command": ["sh", "-c", script], "sandboxPolicy": sandbox});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let plain = client.call("command/exec", command("echo out; echo err >&2; exit 3", json!({})));
    assert_eq!(plain, json!({"exitCode": 3, "stdout": "out\n", "stderr": "err\n"}));

    let streaming = json!({
        "processId": "p", "streamStdin": true, "streamStdoutStderr": true,
    });
    let id = client.ask("command/exec", command("cat; echo end", streaming));
    let bytes = STANDARD.encode("words\n");
    client.call("command/exec/write", json!({"processId": "p", "deltaBase64": bytes}));
    let heard = client.told("command/exec/outputDelta");
    assert_eq!(heard["params"]["deltaBase64"], bytes);
    assert_eq!(heard["params"]["stream"], "stdout");
    client.call("command/exec/write", json!({"processId": "p", "closeStdin": true}));
    assert_eq!(client.result(&id)["exitCode"], 0);

    let terminal = json!({"processId": "t", "tty": true, "streamStdoutStderr": true});
    let id = client.ask("command/exec", command("test -t 1 && echo yes; exec sleep 60", terminal));
    let from = client.lines.len();
    client.told_after(from, "command/exec/outputDelta");
    let size = json!({"processId": "t", "size": {"rows": 10, "cols": 40}});
    client.call("command/exec/resize", size);
    client.call("command/exec/terminate", json!({"processId": "t"}));
    assert_ne!(client.result(&id)["exitCode"], 0);
    client.refused("command/exec/terminate", json!({"processId": "t"}));
    client.refused("command/exec", json!({"command": []}));
    client.leave().0.exits(0);
}

#[test]
fn files_are_searched_and_differences_told() {
    let world = World::new();
    fs::remove_dir_all(world.cwd.join(".git")).unwrap();
    world.file("src/main.rs", "one\n");
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "-c",
            "init.defaultBranch=main",
        ]);
        let status = command.args(words).current_dir(&world.cwd).status().unwrap();
        assert!(status.success());
    };
    let origin = world.root.join("origin");
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    git(&["clone", "-q", "--bare", ".", origin.to_str().unwrap()]);
    git(&["remote", "add", "origin", origin.to_str().unwrap()]);
    git(&["fetch", "-q", "origin"]);
    world.file("src/main.rs", "two\n");
    world.file("new.txt", "new\n");
    let mut client = Client::new(world);
    let cwd = client.world.cwd.clone();
    let found = client.call("fuzzyFileSearch", json!({"query": "mnrs", "roots": [cwd]}));
    assert_eq!(found["files"][0]["path"], "src/main.rs");
    assert_eq!(found["files"][0]["root"], json!(cwd));
    assert_eq!(
        client.call("fuzzyFileSearch", json!({"query": "", "roots": [cwd]})),
        json!({"files": []})
    );
    let told = client.call("gitDiffToRemote", json!({"cwd": cwd}));
    let diff = told["diff"].as_str().unwrap();
    assert!(diff.contains("-one\n+two\n") && diff.contains("+new\n"), "{diff}");
    assert_eq!(told["sha"].as_str().unwrap().len(), 40);
    let elsewhere = json!({"cwd": client.world.elsewhere});
    assert_eq!(client.refused("gitDiffToRemote", elsewhere)["code"], -32600);
    client.leave().0.exits(0);
}

#[test]
fn models_and_accounts_are_told() {
    let mut client = Client::new(World::new());
    let models = client.call("model/list", json!({"limit": 1}));
    assert_eq!(
        (&models["data"][0]["isDefault"], &models["nextCursor"]),
        (&json!(true), &json!("1"))
    );
    client.refused("model/list", json!({"cursor": "x"}));
    assert_eq!(client.call("account/read", json!({}))["requiresOpenaiAuth"], true);
    let from = client.lines.len();
    let key = json!({"type": "apiKey", "apiKey": "sk-another"});
    assert_eq!(client.call("account/login/start", key), json!({"type": "apiKey"}));
    let completed = client.told_after(from, "account/login/completed");
    assert_eq!(completed["params"]["success"], true);
    client.told_after(from, "account/updated");
    assert_eq!(client.call("account/read", json!({}))["account"]["type"], "apiKey");
    assert_eq!(client.call("account/logout", Value::Null), json!({}));
    let loaded = client.call("thread/loaded/list", json!({}));
    assert_eq!(loaded, json!({"data": [], "nextCursor": null}));
    client.leave().0.exits(0);
}
