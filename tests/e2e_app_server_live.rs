//! `app-server`: what a client is told of work while it goes on.

#![allow(clippy::unwrap_used)]

mod support;

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::World;
use support::client::Client;
use support::outside;
use support::reply::{self, Reply};
use windlass::limits::{TOLD_BYTES_MAX, TOLD_IMAGES_BYTES_MAX};

const DELTA: &str = "item/commandExecution/outputDelta";
const FIRST_DELTA: &str = "codex/event/exec_command_output_delta";

/// A client whose model runs this script, and then says that it is done.
fn running(script: &str) -> Client {
    let mut world = World::new();
    world.reply(Reply::script(script)).reply(Reply::message("done"));
    Client::new(world)
}

/// A wait of a script until the test has made a file of this name.
fn until(name: &str) -> String {
    format!("until [ -e {name} ]; do sleep 0.01; done")
}

/// What the client was told that commands print.
fn printed(client: &Client) -> String {
    let told = client.lines.iter().filter(|line| line["method"] == DELTA);
    told.map(|line| line["params"]["delta"].as_str().unwrap()).collect()
}

/// The item of the command that has ended.
fn command(client: &mut Client) -> Value {
    let line = client.until("the end of the command", |line| {
        line["method"] == "item/completed" && line["params"]["item"]["type"] == "commandExecution"
    });
    line["params"]["item"].clone()
}

#[test]
fn what_a_command_prints_is_told_before_it_ends() {
    let script = format!("echo one; {}; echo two >&2", until("go"));
    let mut client = running(&script);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    let told = client.told(DELTA);
    let params = json!({"threadId": thread, "turnId": turn, "itemId": "call_0", "delta": "one\n"});
    assert_eq!(told["params"], params);
    client.world.file("go", "");
    let item = command(&mut client);
    assert_eq!(item["aggregatedOutput"], "one\ntwo\n");
    assert_eq!(printed(&client), "one\ntwo\n");
    client.ended(&turn);
    let kinds: Vec<&str> = client.lines.iter().filter_map(|line| line["method"].as_str()).collect();
    let last = kinds.iter().rposition(|kind| *kind == DELTA).unwrap();
    let items = kinds.iter().enumerate().filter(|(_, kind)| **kind == "item/completed");
    assert_eq!(items.map(|(index, _)| index).filter(|index| *index < last).count(), 1);
    client.leave().0.exits(0);
}

#[test]
fn characters_are_told_whole_and_other_bytes_as_what_stands_for_them() {
    let script = format!("printf 'a\\342\\202'; {}; printf '\\254\\377b\\360\\237'", until("go"));
    let mut client = running(&script);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    client.told(DELTA);
    assert_eq!(printed(&client), "a");
    client.world.file("go", "");
    client.ended(&turn);
    assert_eq!(printed(&client), "a\u{20ac}\u{fffd}b\u{fffd}");
    client.leave().0.exits(0);
}

#[test]
fn listeners_of_the_first_protocol_are_told_bytes() {
    let script = format!("printf 'one\\377\\n'; {}; echo two", until("go"));
    let mut client = running(&script);
    let opened = client.call("newConversation", json!({"cwd": client.world.cwd}));
    let conversation = opened["conversationId"].clone();
    let listener = json!({"conversationId": conversation});
    client.call("addConversationListener", listener.clone());
    client.call("addConversationListener", listener);
    let items = json!([{"type": "text", "data": {"text": "go"}}]);
    client.call("sendUserMessage", json!({"conversationId": conversation, "items": items}));
    let told = client.told(FIRST_DELTA);
    let chunk = STANDARD.encode(b"one\xff\n");
    let msg = json!({
        "type": "exec_command_output_delta", "call_id": "call_0", "stream": "stdout",
        "chunk": chunk,
    });
    assert_eq!(told["params"], json!({"id": "0", "msg": msg, "conversationId": conversation}));
    client.world.file("go", "");
    client.told("codex/event/task_complete");
    client.settle();
    let told = client.lines.iter().filter(|line| line["method"] == FIRST_DELTA);
    let chunks = told.map(|line| line["params"]["msg"]["chunk"].as_str().unwrap());
    let chunks: Vec<Vec<u8>> = chunks.map(|chunk| STANDARD.decode(chunk).unwrap()).collect();
    let first: &[u8] = b"one\xff\n";
    assert_eq!(chunks, [first, first, b"two\n", b"two\n"]);
    assert!(!client.lines.iter().any(|line| line["method"] == DELTA));
    client.leave().0.exits(0);
}

#[test]
fn a_session_is_heard_between_calls() {
    let arguments = json!({
        "cmd": format!("echo one; {}; echo two", until("go")), "yield_time_ms": 300, "tty": false,
    });
    let mut world = World::new();
    world.reply(Reply::calls(&[("exec_command", arguments)]));
    world.reply(Reply::message("on its way").held());
    let call = Client::plain_call(&world).set("features.unified_exec=true");
    let mut client = Client::of(world, call);
    let info = json!({"name": "probe", "title": null, "version": "1.0"});
    client.call("initialize", json!({"clientInfo": info}));
    let thread = client.thread(json!({}));
    client.turn(&thread, "go");
    client.told(DELTA);
    let Client { world, run, .. } = &mut client;
    world.until(run, "the call is answered", |world, _| world.requests().len() == 2);
    client.world.file("go", "");
    client.until("the rest", |line| line["method"] == DELTA && line["params"]["delta"] == "two\n");
    command(&mut client);
    client.leave().0.exits(0);
}

#[test]
fn whoever_does_not_want_it_is_not_told() {
    let mut world = World::new();
    world.reply(Reply::script("echo one")).reply(Reply::message("done"));
    let mut client = Client::with(world, json!({"optOutNotificationMethods": [DELTA]}));
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    client.ended(&turn);
    assert_eq!(printed(&client), "");
    assert_eq!(command(&mut client)["aggregatedOutput"], "one\n");
    client.leave().0.exits(0);
}

#[test]
fn much_output_is_told_up_to_its_bound() {
    let piece = 400_000;
    let print = format!("head -c {piece} /dev/zero | tr '\\0' x");
    let script = format!("{print}; {}; {print}; {}; {print}", until("a"), until("b"));
    let mut client = running(&script);
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    for (count, name) in [(1, "a"), (2, "b")] {
        let told = Cell::new(0);
        client.until("a third of it", |line| {
            if line["method"] == DELTA {
                told.set(told.get() + line["params"]["delta"].as_str().unwrap().len());
            }
            told.get() == count * piece
        });
        client.world.file(name, "");
    }
    client.ended(&turn);
    assert!(3 * piece > TOLD_BYTES_MAX);
    assert_eq!(printed(&client).len(), TOLD_BYTES_MAX);
    client.leave().0.exits(0);
}

#[test]
fn whoever_stops_reading_costs_no_memory_and_hears_no_gap() {
    // Each line is another one, and all are many times what buffers take.
    let mut client = running("seq 1 3000000");
    let thread = client.thread(json!({}));
    client.call("thread/loaded/list", json!({}));
    let kib = |client: &Client| outside::status_kib(client.run.pid(), "VmHWM").unwrap();
    let before_kib = kib(&client);
    let turn = client.turn(&thread, "go");
    client.run.is_reading = false;
    let Client { world, run, .. } = &mut client;
    world.until(run, "the command has ended", |world, _| world.requests().len() == 2);
    let after_kib = kib(&client);
    assert!(after_kib < before_kib + 8192, "{before_kib} KiB became {after_kib} KiB");
    client.run.is_reading = true;
    assert_eq!(client.ended(&turn)["status"], "completed");
    let told = printed(&client);
    let all: String = (1..200_000).map(|number| format!("{number}\n")).collect();
    assert!(told.len() > 60_000 && told.len() <= TOLD_BYTES_MAX, "{}", told.len());
    assert!(all.starts_with(&told));
    assert_eq!(command(&mut client)["exitCode"], 0);
    client.leave().0.exits(0);
}

#[test]
fn a_stopped_command_has_told_what_it_printed() {
    let mut client = running("echo one; sleep 60");
    let thread = client.thread(json!({}));
    let turn = client.turn(&thread, "go");
    client.told(DELTA);
    client.call("turn/interrupt", json!({"threadId": thread, "turnId": turn}));
    assert_eq!(client.ended(&turn)["status"], "interrupted");
    assert_eq!(printed(&client), "one\n");
    assert_eq!(command(&mut client)["aggregatedOutput"], "one\n");
    client.leave().0.exits(0);
}

const DIFF: &str = "turn/diff/updated";

/// A call of the model that changes a line of a file.
fn changing(file: &str, from: &str, to: &str) -> Reply {
    patching(&format!("*** Update File: {file}\n@@\n-{from}\n+{to}\n"))
}

fn patching(hunks: &str) -> Reply {
    let patch = format!("*** Begin Patch\n{hunks}*** End Patch\n");
    Reply::items(&[reply::custom_call("p1", "apply_patch", &patch)])
}

/// A client whose model says this, one answer after the other, and then that it is done.
fn answering(replies: Vec<Reply>) -> Client {
    let mut world = World::new();
    for reply in replies {
        world.reply(reply);
    }
    world.reply(Reply::message("done"));
    Client::new(world)
}

/// Runs a turn that may write where it works.
fn through(client: &mut Client) {
    let thread = client.thread(json!({"sandbox": "workspace-write", "approvalPolicy": "never"}));
    let turn = client.turn(&thread, "go");
    assert_eq!(client.ended(&turn)["status"], "completed");
}

/// What the client was told that patches have changed, each time.
fn diffs(client: &Client) -> Vec<&str> {
    let told = client.lines.iter().filter(|line| line["method"] == DIFF);
    told.map(|line| line["params"]["diff"].as_str().unwrap()).collect()
}

/// A part of a diff without the line that names contents.
fn unhashed(diff: &str) -> String {
    diff.split_inclusive('\n').filter(|line| !line.starts_with("index ")).collect()
}

#[test]
fn a_patch_is_told_as_a_diff_of_the_turn() {
    let mut client = answering(vec![changing("a.txt", "hello", "bye")]);
    client.world.file("a.txt", "hello\n");
    through(&mut client);
    let diff = "diff --git a/a.txt b/a.txt\n\
                index ce013625030ba8dba906f756967f9e9ca394464a..\
                b023018cabc396e7692c70bbf5784a93d3f738ab\n\
                --- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-hello\n+bye\n";
    assert_eq!(diffs(&client), [diff, diff]);
    let place = |is_it: &dyn Fn(&Value) -> bool| client.lines.iter().position(is_it).unwrap();
    let completed = place(&|line| {
        line["method"] == "item/completed" && line["params"]["item"]["type"] == "fileChange"
    });
    assert_eq!(client.lines[completed + 1]["method"], DIFF);
    let ended = place(&|line| line["method"] == "turn/completed");
    let last = client.lines.iter().rposition(|line| line["method"] == DIFF).unwrap();
    assert!(completed + 1 < last && last < ended);
    client.leave().0.exits(0);
}

#[test]
fn a_diff_goes_from_before_the_first_patch_to_what_is_there() {
    let mut client = answering(vec![
        changing("a.txt", "1", "2"),
        patching("*** Add File: new/b.txt\n+b\n*** Delete File: gone.txt\n"),
        changing("a.txt", "2", "3"),
        Reply::script("echo 4 >> a.txt"),
    ]);
    client.world.file("a.txt", "1\n");
    client.world.file("gone.txt", "gone\n");
    through(&mut client);
    let told: Vec<String> = diffs(&client).into_iter().map(unhashed).collect();
    let a = |hunk: &str| format!("diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n{hunk}");
    let rest = "diff --git a/gone.txt b/gone.txt\ndeleted file mode 100644\n\
                --- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n\
                diff --git a/new/b.txt b/new/b.txt\nnew file mode 100644\n\
                --- /dev/null\n+++ b/new/b.txt\n@@ -0,0 +1 @@\n+b\n";
    let expected = [
        a("@@ -1 +1 @@\n-1\n+2\n"),
        a("@@ -1 +1 @@\n-1\n+2\n") + rest,
        a("@@ -1 +1 @@\n-1\n+3\n") + rest,
        a("@@ -1 +1,2 @@\n-1\n+3\n+4\n") + rest,
    ];
    assert_eq!(told, expected);
    client.leave().0.exits(0);
}

#[test]
fn git_applies_what_is_told() {
    let mut client = answering(vec![
        patching("*** Add File: b c.txt\n+b\n*** Delete File: gone.txt\n"),
        changing("a.txt", "x", "y"),
        patching("*** Update File: from.txt\n*** Move to: to.txt\n@@\n-m\n+n\n"),
    ]);
    let before = [("a.txt", "w\nx\nz"), ("gone.txt", "gone\n"), ("from.txt", "m\n")];
    for (name, text) in before {
        client.world.file(name, text);
    }
    through(&mut client);
    let diff = diffs(&client).last().unwrap().to_string();
    let folder = client.world.root.join("again");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in before {
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::write(folder.join("diff"), diff).unwrap();
    let mut git = std::process::Command::new("git");
    git.args(["apply", "diff"])
        .current_dir(&folder)
        .env("GIT_CEILING_DIRECTORIES", &client.world.root);
    assert!(git.status().unwrap().success());
    for (name, text) in [("a.txt", "w\ny\nz\n"), ("b c.txt", "b\n"), ("to.txt", "n\n")] {
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), text);
    }
    assert!(!folder.join("gone.txt").exists() && !folder.join("from.txt").exists());
    client.leave().0.exits(0);
}

#[test]
fn a_turn_without_patches_and_the_turn_after_one_have_no_diff() {
    let mut client = answering(vec![changing("a.txt", "1", "2")]);
    client.world.file("a.txt", "1\n");
    client.world.reply(Reply::script("echo 3 >> a.txt")).reply(Reply::message("done"));
    let thread = client.thread(json!({"sandbox": "workspace-write", "approvalPolicy": "never"}));
    let first = client.turn(&thread, "go");
    client.ended(&first);
    let count = diffs(&client).len();
    let second = client.turn(&thread, "go on");
    client.ended(&second);
    client.settle();
    assert_eq!((count, diffs(&client).len()), (2, 2));
    client.leave().0.exits(0);
}

#[test]
fn a_patch_that_was_declined_has_no_diff() {
    let mut client = answering(vec![changing("a.txt", "1", "2")]);
    client.world.file("a.txt", "1\n");
    let thread =
        client.thread(json!({"sandbox": "workspace-write", "approvalPolicy": "untrusted"}));
    let turn = client.turn(&thread, "go");
    let asked = client.told("item/fileChange/requestApproval");
    client.say(&json!({"id": asked["id"], "result": {"decision": "decline"}}));
    client.ended(&turn);
    assert_eq!(diffs(&client), [""; 0]);
    client.leave().0.exits(0);
}

#[test]
fn listeners_of_the_first_protocol_are_told_the_diff() {
    let mut client = answering(vec![changing("a.txt", "1", "2")]);
    client.world.file("a.txt", "1\n");
    let params = json!({"cwd": client.world.cwd, "sandbox": "workspace-write"});
    let opened = client.call("newConversation", params);
    let conversation = opened["conversationId"].clone();
    client.call("addConversationListener", json!({"conversationId": conversation}));
    let items = json!([{"type": "text", "data": {"text": "go"}}]);
    client.call("sendUserMessage", json!({"conversationId": conversation, "items": items}));
    client.told("codex/event/task_complete");
    let events: Vec<&Value> = client.lines.iter().map(|line| &line["params"]["msg"]).collect();
    let places = |kind: &str| -> Vec<usize> {
        let of_kind = events.iter().enumerate().filter(|(_, msg)| msg["type"] == *kind);
        of_kind.map(|(place, _)| place).collect()
    };
    let [after, last] = places("turn_diff")[..] else { panic!("{events:?}") };
    assert_eq!(places("patch_apply_end"), [after - 1]);
    assert_eq!(places("task_complete"), [last + 1]);
    let diff = events[last]["unified_diff"].as_str().unwrap();
    assert!(diff.ends_with("--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-1\n+2\n"), "{diff}");
    assert_eq!(events[after], events[last]);
    client.leave().0.exits(0);
}

#[test]
fn that_a_person_is_waited_for_is_told_before_what_waits_begins() {
    let escalated = json!({
        "command": ["bash", "-lc", "touch zz && echo ok"], "with_escalated_permissions": true,
    });
    let asked = vec![Reply::calls(&[("shell", escalated)]), patching("*** Add File: a.txt\n+a\n")];
    let kinds = [("on-request", "commandExecution"), ("untrusted", "fileChange")];
    for ((policy, question), reply) in kinds.into_iter().zip(asked) {
        let mut client = answering(vec![reply]);
        let thread = client.thread(json!({"approvalPolicy": policy}));
        let from = client.lines.len();
        let turn = client.turn(&thread, "go");
        let asked = client.told(&format!("item/{question}/requestApproval"));
        client.say(&json!({"id": asked["id"], "result": {"decision": "decline"}}));
        client.ended(&turn);
        let lines = client.lines[from..].iter();
        let told: Vec<String> = lines
            .filter_map(|line| match line["method"].as_str()? {
                "thread/status/changed" => Some(line["params"]["status"].to_string()),
                "item/started" | "item/completed"
                    if line["params"]["item"]["type"] != *question =>
                {
                    None
                }
                method => Some(method.to_owned()),
            })
            .collect();
        let flags = |flags: &str| format!("{{\"activeFlags\":[{flags}],\"type\":\"active\"}}");
        let expected = [
            &flags("\"waitingOnApproval\""),
            "item/started",
            &format!("item/{question}/requestApproval"),
            "serverRequest/resolved",
            &flags(""),
            "item/completed",
        ];
        let first = told.iter().position(|told| *told == *expected[0]).unwrap();
        assert_eq!(told[first..first + expected.len()], expected);
        client.leave().0.exits(0);
    }
}

#[test]
fn items_have_the_times_at_which_they_began_and_ended() {
    let mut client = running("sleep 0.02");
    let thread = client.thread(json!({"sandbox": "workspace-write"}));
    let turn = client.turn(&thread, "go");
    let ended = client.ended(&turn);
    let told =
        |method: &'static str| client.lines.iter().filter(move |line| line["method"] == method);
    let whole: Vec<&Value> = told("item/completed").map(|line| &line["params"]).collect();
    let kinds: Vec<_> = whole.iter().map(|params| &params["item"]["type"]).collect();
    assert_eq!(kinds, ["userMessage", "commandExecution", "agentMessage"]);
    for params in &whole {
        let item = &params["item"];
        let begun = told("item/started").find(|line| line["params"]["item"]["id"] == item["id"]);
        let begun = &begun.unwrap()["params"];
        assert!(begun["startedAtMs"].is_i64(), "{begun}");
        assert_eq!(begun["item"]["startedAtMs"], begun["startedAtMs"]);
        assert_eq!(begun["item"].get("completedAtMs"), None);
        assert_eq!(item["startedAtMs"], begun["startedAtMs"]);
        assert_eq!(item["completedAtMs"], params["completedAtMs"]);
    }
    let took = |item: &Value| {
        item["completedAtMs"].as_i64().unwrap() - item["startedAtMs"].as_i64().unwrap()
    };
    assert!(took(&whole[1]["item"]) >= 20, "{}", whole[1]);
    assert_eq!(ended["items"], json!([whole[2]["item"]]));
    client.leave().0.exits(0);
}

#[test]
fn limits_are_told_after_the_tokens_or_before_the_end_of_a_turn_without_any() {
    let limited =
        |reply: Reply, percent: &str| reply.header("x-codex-primary-used-percent", percent);
    let mut world = World::new();
    world.reply(limited(Reply::script("true"), "10")).reply(limited(Reply::message("x"), "20"));
    let failed = reply::failed("insufficient_quota", "used up");
    world.reply(limited(Reply::events(&[reply::created(), failed]), "30"));
    let mut client = Client::new(world);
    let thread = client.thread(json!({}));
    for _ in 0..2 {
        let turn = client.turn(&thread, "go");
        client.ended(&turn);
    }
    const LIMITS: &str = "account/rateLimits/updated";
    let kinds = [LIMITS, "thread/tokenUsage/updated", "error", "turn/completed"];
    let told = client.lines.iter().filter_map(|line| {
        let method = line["method"].as_str().filter(|method| kinds.contains(method))?;
        let used = &line["params"]["rateLimits"]["primary"]["usedPercent"];
        Some(used.as_i64().map_or(method.to_owned(), |used| format!("{used} %")))
    });
    let (tokens, end) = (kinds[1], kinds[3]);
    let turns = [tokens, "10 %", tokens, "20 %", end, "30 %", "error", end];
    assert_eq!(told.collect::<Vec<_>>(), turns);
    client.leave().0.exits(0);
}

#[test]
fn a_script_is_one_unknown_action() {
    let mut client = running("touch zz && echo ok");
    let thread = client.thread(json!({"sandbox": "workspace-write"}));
    let turn = client.turn(&thread, "go");
    client.ended(&turn);
    let actions = json!([{"type": "unknown", "command": "touch zz && echo ok"}]);
    assert_eq!(command(&mut client)["commandActions"], actions);
    client.leave().0.exits(0);
}

#[test]
fn the_window_is_told_without_what_the_provider_adds() {
    let mut client = answering(vec![]);
    let thread = client.thread(json!({"model": "gpt-5.1-codex"}));
    client.turn(&thread, "go");
    let told = client.told("thread/tokenUsage/updated");
    assert_eq!(told["params"]["tokenUsage"]["modelContextWindow"], 258_400);
    client.leave().0.exits(0);
}

#[test]
fn files_of_instructions_are_named() {
    let mut client = answering(vec![]);
    let (home, cwd) = (client.world.home.clone(), client.world.cwd.clone());
    std::fs::write(home.join("AGENTS.md"), "be kind").unwrap();
    client.world.file("AGENTS.md", "be brief");
    let opened = client.call("thread/start", json!({"cwd": cwd}));
    let sources = json!([home.join("AGENTS.md"), cwd.join("AGENTS.md")]);
    assert_eq!(opened["instructionSources"], sources);
    let thread = opened["thread"]["id"].as_str().unwrap();
    let turn = client.turn(thread, "go");
    client.ended(&turn);
    let resumed = client.call("thread/resume", json!({"threadId": thread}));
    assert_eq!(resumed["instructionSources"], sources);
    let elsewhere = client.world.root.join("beyond");
    std::fs::create_dir(&elsewhere).unwrap();
    let params = json!({"threadId": thread, "cwd": elsewhere});
    let forked = client.call("thread/fork", params);
    assert_eq!(forked["instructionSources"], json!([home.join("AGENTS.md")]));
    client.leave().0.exits(0);
}

#[test]
fn a_conversation_that_goes_on_knows_what_it_has_used() {
    let mut client = answering(vec![]);
    let opened = client.call("newConversation", json!({"cwd": client.world.cwd}));
    let conversation = opened["conversationId"].clone();
    client.call("addConversationListener", json!({"conversationId": conversation}));
    let items = json!([{"type": "text", "data": {"text": "go"}}]);
    client.call("sendUserMessage", json!({"conversationId": conversation, "items": items}));
    client.told("codex/event/task_complete");
    let counted = client.told("codex/event/token_count")["params"]["msg"].clone();
    let Client { mut world, mut run, .. } = client;
    run.close_stdin();
    world.finish(run).exits(0);
    let mut client = Client::new(world);
    let resumed = client.call("resumeConversation", json!({"conversationId": conversation}));
    let messages = resumed["initialMessages"].as_array().unwrap();
    assert_eq!(messages.last(), Some(&counted));
    assert_eq!(counted["info"]["total_token_usage"]["total_tokens"], 120);
    assert_eq!(counted["info"]["model_context_window"], 258_400);
    client.leave().0.exits(0);
}

/// The URL of an image of about so many bytes.
fn image(url_bytes: usize) -> String {
    format!("data:image/png;base64,{}", "A".repeat(url_bytes))
}

#[test]
fn images_are_told_as_they_were_sent_or_as_nothing() {
    let mut client = answering(vec![]);
    let (small, large) = (image(100_000), image(TOLD_IMAGES_BYTES_MAX));
    let thread = client.thread(json!({}));
    let part = |url: &str| json!({"type": "image", "url": url});
    let input = [part(&small), part(&large), part(&small)];
    client.call("turn/start", json!({"threadId": thread, "input": input}));
    let told = client.told("item/completed");
    let content = told["params"]["item"]["content"].as_array().unwrap().clone();
    let urls: Vec<&str> = content.iter().map(|part| part["url"].as_str().unwrap()).collect();
    assert!(urls == [&*small, "data:,", &*small], "{urls:.100?}");
    client.leave().0.exits(0);
}

#[test]
fn listeners_of_the_first_protocol_are_told_images() {
    let mut client = answering(vec![]);
    let opened = client.call("newConversation", json!({"cwd": client.world.cwd}));
    let conversation = opened["conversationId"].clone();
    client.call("addConversationListener", json!({"conversationId": conversation}));
    let url = image(100_000);
    let items = json!([{"type": "image", "data": {"image_url": url}}]);
    client.call("sendUserMessage", json!({"conversationId": conversation, "items": items}));
    let told = client.told("codex/event/user_message");
    assert!(told["params"]["msg"]["images"] == json!([url]));
    let told = client.told("codex/event/item_completed");
    let message = &told["params"]["msg"]["item"]["UserMessage"];
    assert!(message["content"] == json!([{"type": "image", "image_url": url}]));
    client.leave().0.exits(0);
}
