//! `app-server`: the built binary lists, reads and goes on with what it has recorded.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use support::World;
use support::outside;
use support::reply::{Reply, call, message};
use support::run::{Ended, Run, Stdin};

/// A server, and who talks to it.
struct Client {
    world: World,
    run: Option<Run>,
    next_id: u64,
    /// Bytes of its output that were looked through for an answer.
    seen: usize,
}

impl Client {
    fn new(world: World) -> Client {
        let mut call = world.call(&[]).stdin(Stdin::Open);
        call.words[0] = "app-server".into();
        let run = Some(world.start(call));
        let mut client = Client { world, run, next_id: 0, seen: 0 };
        let info = json!({"clientInfo": {"name": "test", "version": "1"}});
        client.ask("initialize", info);
        client
    }

    /// What is answered, failure or not.
    fn answer(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let line = json!({"id": id, "method": method, "params": params}).to_string() + "\n";
        self.run.as_mut().unwrap().write_in(line.as_bytes());
        self.heard(method, |line| line["id"] == id && line["method"].is_null())
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn refusal(&mut self, method: &str, params: Value) -> String {
        let answer = self.answer(method, params);
        assert_eq!(answer["error"]["code"], -32600, "{method}: {answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    }

    /// Serves until a line holds this.
    fn heard(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        let Client { world, run, seen, .. } = self;
        world.until(run.as_mut().unwrap(), what, |_, run| {
            let out = run.stdout();
            let from = *seen;
            let whole = out.rfind('\n').map_or(0, |end| end + 1);
            for line in out.get(from..whole).unwrap_or("").lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                found = found.take().or_else(|| is_it(&line).then_some(line));
            }
            *seen = whole.max(from);
            found.is_some()
        });
        found.unwrap()
    }

    /// Notifications of a method so far.
    fn told(&self, method: &str) -> Vec<Value> {
        let out = self.run.as_ref().unwrap().stdout();
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["method"] == method).map(|line| line["params"].clone()).collect()
    }

    /// Serves until something was told.
    fn hear(&mut self, method: &str) {
        if self.told(method).is_empty() {
            self.heard(method, |line| line["method"] == method);
        }
    }

    fn turn(&mut self, thread: &str, text: &str, reply: Reply) -> Value {
        self.world.reply(reply);
        let input = json!([{"type": "text", "text": text}]);
        let turn = self.ask("turn/start", json!({"threadId": thread, "input": input}));
        let known = self.told("turn/completed").len();
        if known == 0
            || self.told("turn/completed").last().unwrap()["turn"]["id"] != turn["turn"]["id"]
        {
            self.heard("a turn's end", |line| line["method"] == "turn/completed");
        }
        turn["turn"].clone()
    }

    fn end(mut self) -> (World, Ended) {
        let mut run = self.run.take().unwrap();
        run.close_stdin();
        let ended = self.world.finish(run);
        ended.exits(0);
        (self.world, ended)
    }

    /// Ends the server and begins another in the same place.
    fn again(self) -> Client {
        let (world, _) = self.end();
        Client::new(world)
    }

    fn list(&mut self, params: Value) -> Vec<String> {
        let page = self.ask("thread/list", params);
        let data = page["data"].as_array().unwrap().iter();
        data.map(|thread| thread["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// A thread in a few words: its turns' ids, and their items' types and ids.
fn turns(turns: &Value) -> Vec<String> {
    let item = |item: &Value| format!(" {}:{}", item["type"], item["id"]).replace('"', "");
    let turn = |turn: &Value| {
        let items: String = turn["items"].as_array().unwrap().iter().map(item).collect();
        format!("{}{items}", turn["status"].as_str().unwrap())
    };
    turns.as_array().unwrap().iter().map(turn).collect()
}

/// Waits until a file that is written is newer than all that were written before: the time of a
/// file is as exact as the kernel's clock ticks.
fn await_tick(world: &World) {
    let probe = world.root.join("probe");
    let written = || {
        fs::write(&probe, "").unwrap();
        let since = fs::metadata(&probe).unwrap().modified().unwrap().duration_since(UNIX_EPOCH);
        since.unwrap().as_millis()
    };
    let first = written();
    while written() == first {
        outside::poll(&mut [], 1);
    }
}

fn ids(turns: &Value) -> Vec<Value> {
    turns.as_array().unwrap().iter().map(|turn| turn["id"].clone()).collect()
}

const EXPECTED: [&str; 2] = [
    "completed userMessage:item-1 commandExecution:call_0 agentMessage:item-2",
    "completed userMessage:item-3 agentMessage:item-4",
];

/// Two turns of a thread, and the ids that they had.
fn recorded() -> (Client, String, Vec<Value>) {
    let mut client = Client::new(World::new());
    let started = client.ask("thread/start", json!({"sandbox": "danger-full-access"}));
    let thread = started["thread"]["id"].as_str().unwrap().to_owned();
    client.world.reply(Reply::shell(&["echo", "hi"]));
    let first = client.turn(&thread, "first", Reply::message("done"));
    let second = client.turn(&thread, "second", Reply::message("again"));
    (client, thread, vec![first["id"].clone(), second["id"].clone()])
}

#[test]
fn a_thread_is_listed_read_and_gone_on_with_after_the_server_has_ended() {
    let (client, thread, turn_ids) = recorded();
    let mut client = client.again();
    let page = client.ask("thread/list", json!({}));
    let listed = &page["data"][0];
    assert_eq!(listed["id"], *thread);
    assert_eq!(
        (&listed["preview"], &listed["status"]["type"]),
        (&json!("first"), &json!("notLoaded"))
    );
    assert_eq!(listed["cwd"], client.world.cwd.to_str().unwrap());
    assert_eq!(page["nextCursor"], Value::Null);
    let read = client.ask("thread/read", json!({"threadId": thread}));
    assert_eq!(read["thread"]["turns"], json!([]));
    let read = client.ask("thread/read", json!({"threadId": thread, "includeTurns": true}));
    let read = &read["thread"];
    assert_eq!(turns(&read["turns"]), EXPECTED);
    assert_eq!(ids(&read["turns"]), turn_ids);
    let command = &read["turns"][0]["items"][1];
    assert_eq!((&command["aggregatedOutput"], &command["exitCode"]), (&json!("hi\n"), &json!(0)));
    let resumed = client.ask("thread/resume", json!({"threadId": thread}));
    assert_eq!(resumed["thread"]["turns"], read["turns"]);
    assert_eq!((&resumed["thread"]["preview"], &resumed["cwd"]), (&json!("first"), &read["cwd"]));
    let third = client.turn(&thread, "third", Reply::message("more"));
    assert!(!turn_ids.contains(&third["id"]), "{third}");
    // Loaded, it answers for itself.
    let again = client.ask("thread/resume", json!({"threadId": thread}));
    let all = ids(&again["thread"]["turns"]);
    assert_eq!(all, [turn_ids, vec![third["id"].clone()]].concat());
    let items = client.told("item/completed");
    let ids: Vec<&Value> = items.iter().map(|told| &told["item"]["id"]).collect();
    assert_eq!(ids, [&json!("item-5"), &json!("item-6")]);
    let read = client.ask("thread/read", json!({"threadId": thread, "includeTurns": true}));
    assert_eq!(read["thread"]["turns"], again["thread"]["turns"]);
    assert_eq!(read["thread"]["status"]["type"], "idle");
    let bare = json!({"threadId": thread, "excludeTurns": true});
    let bare = client.ask("thread/resume", bare);
    assert_eq!(bare["thread"]["turns"], json!([]));
    assert_eq!(bare["turnsBackwardsCursor"], "4");
    client.end();
}

#[test]
fn turns_are_read_as_they_ended_whatever_ended_them() {
    let (mut client, thread, mut turn_ids) = recorded();
    let refusal = Reply::status(400, "{\"error\":{\"message\":\"not today\"}}");
    turn_ids.push(client.turn(&thread, "refused", refusal)["id"].clone());
    let told = client.told("turn/completed").pop().unwrap()["turn"].clone();
    // It has just said something, as if all were well.
    let said = [message("Well:"), call("c", "shell", "{\"command\":[\"sleep\",\"30\"]}")];
    client.world.reply(Reply::items(&said));
    let input = json!([{"type": "text", "text": "killed"}]);
    let turn = client.ask("turn/start", json!({"threadId": thread, "input": input}));
    turn_ids.push(turn["turn"]["id"].clone());
    let Client { world, run, .. } = &mut client;
    world.until(run.as_mut().unwrap(), "the message", |_, run| {
        run.stdout().contains("\"text\":\"Well:\"")
    });
    client.run.as_mut().unwrap().signal(libc::SIGKILL);
    let Client { mut world, run, .. } = client;
    world.finish(run.unwrap());
    let mut client = Client::new(world);
    let read = client.ask("thread/read", json!({"threadId": thread, "includeTurns": true}));
    let read = &read["thread"]["turns"];
    assert_eq!(ids(read), turn_ids);
    assert_eq!(turns(read)[..2], EXPECTED);
    let statuses = [&read[2]["status"], &read[3]["status"]];
    assert_eq!(statuses, ["failed", "interrupted"]);
    assert_eq!(read[2]["error"]["message"], told["error"]["message"]);
    let times =
        |turn: &Value| ["startedAt", "completedAt", "durationMs"].map(|at| turn[at].clone());
    assert_eq!(times(&read[2]), times(&told));
    client.end();
}

#[test]
fn turns_come_in_pages_in_both_directions() {
    let (mut client, thread, turn_ids) = recorded();
    let third = client.turn(&thread, "third", Reply::message("x"))["id"].clone();
    let all = [turn_ids, vec![third]].concat();
    for (direction, expected) in
        [("asc", all.clone()), ("desc", all.iter().rev().cloned().collect())]
    {
        let (mut cursor, mut seen) = (Value::Null, Vec::new());
        loop {
            let params = json!({"threadId": thread, "limit": 2, "sortDirection": direction,
                "cursor": cursor, "itemsView": "notLoaded"});
            let page = client.ask("thread/turns/list", params);
            assert!(turns(&page["data"]).iter().all(|turn| turn == "completed"));
            seen.extend(ids(&page["data"]));
            cursor = page["nextCursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
    let params = json!({"threadId": thread, "cursor": "x"});
    assert_eq!(client.refusal("thread/turns/list", params), "invalid cursor: \"x\"");
    client.end();
}

#[test]
fn a_fork_has_the_turns_and_goes_on() {
    let (client, thread, turn_ids) = recorded();
    let mut client = client.again();
    let other = json!({"threadId": thread, "lastTurnId": "t"});
    assert!(client.refusal("thread/fork", other).contains("no such turn"));
    let forked = client.ask("thread/fork", json!({"threadId": thread}));
    let fork = forked["thread"]["id"].as_str().unwrap().to_owned();
    assert_ne!(fork, thread);
    assert_eq!(forked["thread"]["forkedFromId"], *thread);
    assert_eq!(turns(&forked["thread"]["turns"]), EXPECTED);
    let forked_ids = ids(&forked["thread"]["turns"]);
    assert_eq!(forked_ids, turn_ids);
    let third = client.turn(&fork, "third", Reply::message("x"));
    let read = client.ask("thread/read", json!({"threadId": fork, "includeTurns": true}));
    let read_ids = ids(&read["thread"]["turns"]);
    assert_eq!(read_ids, [forked_ids, vec![third["id"].clone()]].concat());
    let source = client.ask("thread/read", json!({"threadId": thread, "includeTurns": true}));
    assert_eq!(ids(&source["thread"]["turns"]), turn_ids);
    client.end();
}

#[test]
fn a_fork_begins_behind_the_turn_that_is_named() {
    let (mut client, thread, turn_ids) = recorded();
    // Open or not.
    for _ in 0..2 {
        let first = json!({"threadId": thread, "lastTurnId": turn_ids[0]});
        let forked = client.ask("thread/fork", first);
        assert_eq!(turns(&forked["thread"]["turns"]), EXPECTED[..1]);
        let fork = forked["thread"]["id"].as_str().unwrap().to_owned();
        client.turn(&fork, "another second", Reply::message("x"));
        let input = client.world.requests().last().unwrap().body["input"].to_string();
        assert!(input.contains("first") && !input.contains("\"second\""), "{input}");
        let read = client.ask("thread/read", json!({"threadId": fork, "includeTurns": true}));
        assert_eq!(turns(&read["thread"]["turns"])[..1], EXPECTED[..1]);
        assert_eq!(ids(&read["thread"]["turns"])[0], turn_ids[0]);
        client = client.again();
        let resumed = client.ask("thread/resume", json!({"threadId": fork}));
        assert_eq!(resumed["thread"]["turns"], read["thread"]["turns"]);
    }
    let last = json!({"threadId": thread, "lastTurnId": turn_ids[1]});
    assert_eq!(turns(&client.ask("thread/fork", last)["thread"]["turns"]), EXPECTED);
    client.end();
}

#[test]
fn what_others_have_recorded_is_forked_behind_any_turn() {
    let world = World::new();
    let thread = "01990000-0000-7000-8000-0000000000aa";
    let old = include_str!("fixtures/rollout-0.58.jsonl");
    let cwd = world.elsewhere.to_str().unwrap().to_owned();
    let old = old.replace("<id>", thread).replace("<cwd>", &cwd);
    let (_, turn) = old.split_once('\n').unwrap();
    let path = world.file("rollout.jsonl", format!("{old}{}", turn.replace("do it", "do more")));
    let mut client = Client::new(world);
    let read = json!({"threadId": "any", "path": path, "modelProvider": "openai"});
    let known = ids(&client.ask("thread/resume", read)["thread"]["turns"]);
    let first = json!({"threadId": thread, "lastTurnId": known[0], "modelProvider": "openai"});
    let forked = client.ask("thread/fork", first);
    assert_eq!(turns(&forked["thread"]["turns"]).len(), 1);
    let fork = forked["thread"]["id"].as_str().unwrap().to_owned();
    client.turn(&fork, "another second", Reply::message("x"));
    let input = client.world.requests().last().unwrap().body["input"].to_string();
    assert!(input.contains("do it") && !input.contains("do more"), "{input}");
    client.end();
}

#[test]
fn a_thread_goes_on_with_the_model_and_effort_it_was_recorded_with() {
    let mut client = Client::new(World::new());
    let started = client.ask("thread/start", json!({"model": "gpt-5.1"}));
    let thread = started["thread"]["id"].as_str().unwrap().to_owned();
    client.world.reply(Reply::message("x"));
    let input = json!([{"type": "text", "text": "first"}]);
    let params = json!({"threadId": thread, "input": input, "effort": "high"});
    client.ask("turn/start", params);
    client.hear("turn/completed");
    let mut client = client.again();
    let check = |client: &mut Client, method: &str, more: Value, expected: [Value; 2]| {
        let mut params = json!({"threadId": thread});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let opened = client.ask(method, params);
        assert_eq!([opened["model"].clone(), opened["reasoningEffort"].clone()], expected);
        opened["thread"]["id"].as_str().unwrap().to_owned()
    };
    let config = json!({"config": {"model_reasoning_effort": "low"}});
    check(&mut client, "thread/fork", config, [json!("gpt-5.1"), json!("low")]);
    let other = json!({"model": "gpt-5.1-codex-mini"});
    let opened = client.ask("thread/fork", json!({"threadId": thread, "model": other["model"]}));
    assert_eq!(opened["model"], other["model"]);
    assert_ne!(opened["reasoningEffort"], "high");
    check(&mut client, "thread/resume", json!({}), [json!("gpt-5.1"), json!("high")]);
    client.turn(&thread, "second", Reply::message("y"));
    let body = &client.world.requests().last().unwrap().body;
    assert_eq!((&body["model"], &body["reasoning"]["effort"]), (&json!("gpt-5.1"), &json!("high")));
    client.end();
}

#[test]
fn a_thread_is_put_away_brought_back_and_named() {
    let (mut client, thread, _) = recorded();
    let of = json!({"threadId": thread});
    // Loaded, it is closed first.
    client.ask("thread/archive", of.clone());
    client.hear("thread/archived");
    assert_eq!(client.told("thread/closed"), [Value::Null; 0]);
    let unloaded = json!({"threadId": thread, "status": {"type": "notLoaded"}});
    assert_eq!(client.told("thread/status/changed").last(), Some(&unloaded));
    assert_eq!(client.list(json!({})), [""; 0]);
    assert_eq!(client.list(json!({"archived": true})), [&*thread]);
    assert!(client.refusal("thread/archive", of.clone()).contains("no rollout"));
    assert!(client.refusal("thread/resume", of.clone()).contains("archived"));
    let back = client.ask("thread/unarchive", of.clone());
    assert_eq!(back["thread"]["id"], *thread);
    client.hear("thread/unarchived");
    assert_eq!(client.list(json!({})), [&*thread]);
    client.ask("thread/name/set", json!({"threadId": thread, "name": " A name "}));
    client.hear("thread/name/updated");
    let named = client.told("thread/name/updated");
    assert_eq!(named, [json!({"threadId": thread, "threadName": "A name"})]);
    assert!(
        client.refusal("thread/name/set", json!({"threadId": thread, "name": ""})).contains("name")
    );
    let mut client = client.again();
    assert_eq!(client.ask("thread/list", json!({}))["data"][0]["name"], "A name");
    assert_eq!(client.ask("thread/resume", of)["thread"]["name"], "A name");
    for method in ["thread/read", "thread/archive", "thread/unarchive", "thread/turns/list"] {
        let unknown = json!({"threadId": "01990000-0000-7000-8000-0000000000ff"});
        assert!(client.refusal(method, unknown).contains("no rollout"));
        assert!(client.refusal(method, json!({"threadId": "x"})).contains("invalid thread id"));
    }
    client.end();
}

#[test]
fn lists_are_filtered_and_in_the_order_that_is_asked_for() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    world.exec(&["of a program"]).exits(0);
    let mut client = Client::new(world);
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        let started = client.ask("thread/start", json!({}));
        let id = started["thread"]["id"].as_str().unwrap().to_owned();
        client.turn(&id, text, Reply::message("x"));
        ids.push(id);
    }
    await_tick(&client.world);
    client.turn(&ids[0].clone(), "once more", Reply::message("x"));
    let updated = json!({"sortKey": "updated_at", "limit": 1});
    assert_eq!(client.list(updated), ids[..1]);
    let mut all = ids.clone();
    all.sort();
    assert_eq!(client.list(json!({"sortDirection": "asc"})).len(), 3);
    assert_eq!(client.list(json!({"searchTerm": "TWO"})), ids[1..2]);
    assert_eq!(client.list(json!({"sourceKinds": ["exec"]})).len(), 1);
    assert_eq!(client.list(json!({"modelProviders": ["other"]})), [""; 0]);
    assert_eq!(client.list(json!({"modelProviders": []})).len(), 3);
    assert_eq!(client.list(json!({"cwd": "/elsewhere"})), [""; 0]);
    let here = client.world.cwd.to_str().unwrap().to_owned();
    assert_eq!(client.list(json!({"cwd": ["/elsewhere", here]})).len(), 3);
    assert!(client.refusal("thread/list", json!({"cursor": "x"})).contains("invalid cursor"));
    let (mut cursor, mut seen) = (Value::Null, Vec::new());
    loop {
        let page = client.ask("thread/list", json!({"limit": 2, "cursor": cursor}));
        let data = page["data"].as_array().unwrap();
        seen.extend(data.iter().map(|thread| thread["id"].as_str().unwrap().to_owned()));
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, all);
    client.end();
}

#[test]
fn the_first_protocol_lists_sums_up_and_archives() {
    let (client, thread, _) = recorded();
    let mut client = client.again();
    let page = client.ask("listConversations", json!({"pageSize": 1, "cursor": "nonsense"}));
    let listed = page["items"][0].clone();
    assert_eq!((&listed["conversationId"], &listed["preview"]), (&json!(thread), &json!("first")));
    for params in [json!({"conversationId": thread}), json!({"rolloutPath": listed["path"]})] {
        assert_eq!(client.ask("getConversationSummary", params)["summary"], listed);
    }
    let wrong = json!({"conversationId": thread, "rolloutPath": "/etc/passwd"});
    assert!(client.refusal("archiveConversation", wrong).contains("path"));
    let right = json!({"conversationId": thread, "rolloutPath": listed["path"]});
    client.ask("archiveConversation", right);
    let page = client.ask("listConversations", json!({}));
    assert_eq!(page["items"], json!([]));
    client.end();
}

#[test]
fn what_others_have_recorded_is_read_and_gone_on_with() {
    let old = include_str!("fixtures/rollout-0.58.jsonl");
    let new = include_str!("fixtures/rollout-0.169.jsonl");
    for (text, expected) in [
        (
            old,
            "completed userMessage:item-1 reasoning:item-2 commandExecution:c1 agentMessage:item-3",
        ),
        (
            new,
            "completed userMessage:item-1 reasoning:item-2 agentMessage:item-3 \
             commandExecution:call_7 agentMessage:item-4",
        ),
    ] {
        let world = World::new();
        let thread = "01990000-0000-7000-8000-0000000000aa";
        let cwd = world.elsewhere.to_str().unwrap().to_owned();
        let text = text.replace("<id>", thread).replace("<cwd>", &cwd);
        let folder = world.home.join("sessions/2025/11/07");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("rollout-2025-11-07T10-00-00-{thread}.jsonl"));
        // Damaged lines in between do no harm.
        let (first, rest) = text.split_once('\n').unwrap();
        fs::write(&path, format!("{first}\n{{\"type\":\n\nnonsense\n{rest}")).unwrap();
        let mut client = Client::new(world);
        let read = client.ask("thread/read", json!({"threadId": thread, "includeTurns": true}));
        assert_eq!(turns(&read["thread"]["turns"]), [expected]);
        let from = json!({"threadId": "any", "path": path, "modelProvider": "openai"});
        let resumed = client.ask("thread/resume", from);
        assert_eq!(resumed["thread"]["turns"], read["thread"]["turns"]);
        // Where and with what it was recorded, unless the client says otherwise.
        assert_eq!(resumed["cwd"], cwd);
        let next = client.turn(thread, "and now", Reply::message("more"));
        let all = client.ask("thread/read", json!({"threadId": thread, "includeTurns": true}));
        assert_eq!(ids(&all["thread"]["turns"])[1], next["id"]);
        client.end();
    }
}

#[test]
fn a_turn_that_runs_is_shown_and_stopped_before_its_thread_is_put_away() {
    let (mut client, thread, _) = recorded();
    client.world.reply(Reply::shell(&["sleep", "30"]));
    let input = json!([{"type": "text", "text": "third"}]);
    client.ask("turn/start", json!({"threadId": thread, "input": input}));
    let Client { world, run, .. } = &mut client;
    world.until(run.as_mut().unwrap(), "the command", |_, run| {
        run.stdout().contains("\"command\":\"sleep 30\"")
    });
    let read = client.ask("thread/read", json!({"threadId": thread, "includeTurns": true}));
    assert_eq!(read["thread"]["status"]["type"], "active");
    let statuses = turns(&read["thread"]["turns"]);
    assert!(statuses[2].starts_with("inProgress userMessage:item-5"), "{statuses:?}");
    let forked = client.ask("thread/fork", json!({"threadId": thread}));
    assert_eq!(forked["thread"]["turns"][2]["status"], "interrupted");
    client.ask("thread/archive", json!({"threadId": thread}));
    let archived = json!({"threadId": thread, "includeTurns": true});
    let read = client.ask("thread/read", archived);
    let statuses = turns(&read["thread"]["turns"]);
    assert!(statuses[2].starts_with("interrupted userMessage:item-5"), "{statuses:?}");
    client.end();
}

#[test]
fn many_requests_at_once_are_all_answered_or_refused() {
    let (mut client, thread, _) = recorded();
    let mut lines = String::new();
    for number in 0..200 {
        let params = json!({"threadId": thread, "includeTurns": true});
        let request =
            json!({"id": format!("r{number}"), "method": "thread/read", "params": params});
        lines.push_str(&format!("{request}\n"));
    }
    client.run.as_mut().unwrap().write_in(lines.as_bytes());
    let Client { world, run, .. } = &mut client;
    let answered = |out: &str| out.matches("\"id\":\"r").count();
    world.until(run.as_mut().unwrap(), "all answers", |_, run| answered(&run.stdout()) >= 200);
    // Lines of the client are taken faster than rollouts are read.
    let out = run.as_ref().unwrap().stdout();
    let refused = out.matches("too many requests are in progress").count();
    assert!((1..=200 - 64).contains(&refused), "{refused}");
    client.end();
}
