//! `app-server` under a client that asks for anything at any time, and a provider that says, fails
//! and calls anything.
//!
//! Whatever happens, each request is answered once, what begins ends once and in its turn, and what
//! was recorded can be gone on with. `SEEDS=n` runs more of it than CI does, `SEED=n` one again.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::World;
use support::client::Client;
use support::reply::{self, End, Reply};
use windlass::core::prng::Prng;

const SEEDS: u64 = 3;

/// Requests of one seed.
const REQUESTS_COUNT: usize = 120;

/// More answers than turns can ask for.
const REPLIES_COUNT: usize = 600;

/// What is known of a thread from what was told of it.
#[derive(Default, Debug)]
struct Thread {
    /// Whether the client hears of it.
    is_followed: bool,
    /// It was left, and perhaps come back to, in the midst of a turn.
    is_midway: bool,
    turn: Option<String>,
    open: BTreeMap<String, Value>,
    ended: BTreeSet<String>,
}

/// The client: what it waits for, and what it has heard.
struct Anyone {
    client: Client,
    chance: Prng,
    seed: u64,
    heard_count: usize,
    asked: BTreeMap<String, (String, Value)>,
    threads: BTreeMap<String, Thread>,
    /// Questions of the server that wait, with the threads they are about.
    questions: BTreeMap<i64, String>,
    questions_count: i64,
}

impl Anyone {
    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.chance.below(among.len() as u64) as usize]
    }

    /// A thread that is there, or a word in its place.
    fn some_thread(&mut self) -> String {
        let known: Vec<String> = self.threads.keys().cloned().collect();
        if known.is_empty() || self.chance.below(12) == 0 {
            return (*self.pick(&["", "no", "00000000-0000-7000-8000-000000000000"])).to_owned();
        }
        self.pick(&known).clone()
    }

    fn ask(&mut self, method: &str, params: Value) {
        let id = self.client.ask(method, params.clone());
        self.asked.insert(id.to_string(), (method.to_owned(), params));
    }

    fn ask_anything(&mut self) {
        let thread = self.some_thread();
        let running = self.threads.get(&thread).and_then(|thread| thread.turn.clone());
        let turn = running.unwrap_or_else(|| "none".to_owned());
        let input = json!([{"type": "text", "text": "go"}]);
        let named = json!({"threadId": thread});
        let (method, params) = match self.chance.below(22) {
            0..2 => ("thread/start", self.settings()),
            2..8 => ("turn/start", json!({"threadId": thread, "input": input})),
            8..10 => ("turn/interrupt", json!({"threadId": thread, "turnId": turn})),
            10 => {
                let params = json!({"threadId": thread, "expectedTurnId": turn, "input": input});
                ("turn/steer", params)
            }
            11 => ("thread/resume", named),
            12 => ("thread/fork", named),
            13 => ("thread/read", json!({"threadId": thread, "includeTurns": true})),
            14 => ("thread/unsubscribe", named),
            15 => (*self.pick(&["thread/archive", "thread/unarchive"]), named),
            16 => ("thread/compact/start", named),
            17 => (*self.pick(&["thread/list", "thread/loaded/list"]), json!({"limit": 2})),
            18 => ("thread/shellCommand", json!({"threadId": thread, "command": "echo hi"})),
            19 => {
                let target = json!({"type": "custom", "instructions": "look"});
                ("review/start", json!({"threadId": thread, "target": target}))
            }
            20 => ("thread/turns/list", json!({"threadId": thread, "cursor": "none"})),
            _ => (*self.pick(&["no/such/method", "turn/start", "initialize"]), json!({"x": [1]})),
        };
        self.ask(method, params);
    }

    fn settings(&mut self) -> Value {
        let approval = *self.pick(&["untrusted", "on-request", "never"]);
        let sandbox = *self.pick(&["read-only", "workspace-write"]);
        let is_ephemeral = self.chance.below(5) == 0;
        let cwd = &self.client.world.cwd;
        json!({"cwd": cwd, "approvalPolicy": approval, "sandbox": sandbox, "ephemeral": is_ephemeral})
    }

    fn answer_some(&mut self, is_all: bool) {
        for id in self.questions.keys().copied().collect::<Vec<_>>() {
            if !is_all && self.chance.below(3) == 0 {
                continue;
            }
            let decision =
                *self.pick(&["accept", "accept", "acceptForSession", "decline", "cancel", "what"]);
            let answer = match self.chance.below(8) {
                0 => json!({"id": id, "error": {"code": 1, "message": "cannot"}}),
                _ => json!({"id": id, "result": {"decision": decision}}),
            };
            self.client.say(&answer);
            self.questions.remove(&id);
        }
    }

    /// Hears what has been said since.
    fn hear(&mut self) {
        self.client.settle();
        while let Some(line) = self.client.lines.get(self.heard_count).cloned() {
            self.heard_count += 1;
            let (method, params) = (line["method"].as_str(), &line["params"]);
            match (method, line.get("id")) {
                (None, Some(id)) => self.answered(id, &line),
                (Some(_), Some(id)) => {
                    assert_eq!(*id, self.questions_count, "{}", self.told(&line));
                    self.questions.insert(self.questions_count, text(&params["threadId"]));
                    self.questions_count += 1;
                    self.in_turn(params, &line);
                }
                (Some(method), None) => self.notified(method, params, &line),
                (None, None) => panic!("{}", self.told(&line)),
            }
        }
    }

    fn told(&self, line: &Value) -> String {
        format!("seed {}: {line}", self.seed)
    }

    fn answered(&mut self, id: &Value, line: &Value) {
        let asked = self.asked.remove(&id.to_string());
        let (method, params) = asked.unwrap_or_else(|| panic!("{}", self.told(line)));
        let Some(result) = line.get("result") else { return };
        match &*method {
            "thread/start" | "thread/resume" | "thread/fork" => {
                let thread = self.threads.entry(text(&result["thread"]["id"])).or_default();
                thread.is_followed = true;
                if result["thread"]["status"]["type"] != "active" {
                    thread.is_midway = false;
                } else if thread.is_midway {
                    let turns = result["thread"]["turns"].as_array().unwrap();
                    thread.turn = turns.last().map(|turn| text(&turn["id"]));
                }
            }
            "thread/unsubscribe" if result["status"] == "unsubscribed" => {
                let left = Thread { is_midway: true, ..Thread::default() };
                let id = text(&params["threadId"]);
                self.questions.retain(|_, about| *about != id);
                self.threads.insert(id, left);
            }
            _ => {}
        }
    }

    fn notified(&mut self, method: &str, params: &Value, line: &Value) {
        let told = self.told(line);
        if matches!(method, "warning" | "account/rateLimits/updated" | "thread/started") {
            return;
        }
        let id = text(&params["threadId"]);
        let thread = self.threads.get_mut(&id).unwrap_or_else(|| panic!("{told}"));
        match method {
            "serverRequest/resolved" => {
                self.questions.remove(&params["requestId"].as_i64().unwrap());
            }
            "turn/completed" if thread.is_midway => {
                *thread = Thread { is_followed: true, ..Thread::default() };
            }
            _ if thread.is_midway && method != "turn/started" => {}
            "thread/archived" | "thread/unarchived" => {}
            "thread/status/changed" | "thread/closed" => {
                assert!(thread.is_followed, "{told}");
                // Of a thread that is loaded again, items are counted on from what is recorded.
                if method == "thread/closed" || params["status"]["type"] == "notLoaded" {
                    assert!(thread.turn.is_none(), "{told}");
                    *thread = Thread::default();
                }
            }
            "turn/started" => {
                let is_next = thread.is_followed && thread.turn.is_none();
                assert!(is_next || thread.is_midway, "{told}");
                (thread.is_followed, thread.is_midway) = (true, false);
                thread.turn = Some(text(&params["turn"]["id"]));
            }
            "turn/completed" => {
                assert_eq!(thread.turn.take(), Some(text(&params["turn"]["id"])), "{told}");
                assert!(thread.open.is_empty(), "{:?} {told}", thread.open);
                assert!(self.questions.values().all(|about| *about != id), "{told}");
            }
            "item/started" => {
                let item = &params["item"];
                let was_open = thread.open.insert(text(&item["id"]), item["type"].clone());
                assert!(was_open.is_none(), "{told}");
                self.in_turn(params, line);
            }
            "item/completed" => {
                let item = &params["item"];
                let begun = thread.open.remove(&text(&item["id"]));
                assert_eq!(begun.as_ref(), Some(&item["type"]), "{told}");
                assert_ne!(item["status"], "inProgress", "{told}");
                assert!(thread.ended.insert(text(&item["id"])), "{told}");
                self.in_turn(params, line);
            }
            _ => self.in_turn(params, line),
        }
    }

    /// What is told of a turn is told while it runs, and of its items while they are open.
    fn in_turn(&self, params: &Value, line: &Value) {
        let thread = &self.threads[&text(&params["threadId"])];
        if thread.is_midway {
            return;
        }
        assert_eq!(thread.turn, Some(text(&params["turnId"])), "{}", self.told(line));
        if let Some(item) = params["itemId"].as_str() {
            assert!(thread.open.contains_key(item), "{}", self.told(line));
        }
    }

    /// Ends all that runs.
    fn calm(&mut self) {
        while !self.asked.is_empty() || self.threads.values().any(|thread| thread.turn.is_some()) {
            self.answer_some(true);
            let running = self.threads.iter().filter_map(|(id, thread)| {
                let turn = thread.turn.as_ref()?;
                Some(json!({"threadId": id, "turnId": turn}))
            });
            for params in running.collect::<Vec<_>>() {
                self.ask("turn/interrupt", params);
            }
            self.hear();
        }
        assert!(self.questions.is_empty(), "seed {}: {:?}", self.seed, self.questions);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Anything that a provider may answer.
fn anything(chance: &mut Prng) -> Reply {
    let patch = "*** Begin Patch\n*** Add File: a.txt\n+hello\n*** End Patch\n";
    // Calls of different responses have different names.
    let call_id = format!("call_{:x}", chance.number());
    let script = |script: &str| {
        let arguments = json!({"command": ["bash", "-c", script]});
        Reply::items(&[reply::call(&call_id, "shell", &arguments.to_string())])
    };
    let thought = json!({
        "type": "response.reasoning_summary_text.delta",
        "item_id": "rs_1", "summary_index": 0, "delta": "think",
    });
    let beginning = [reply::created(), thought, reply::delta("Hel")];
    let length = 2 + chance.below(2) as usize;
    match chance.below(14) {
        0..4 => Reply::message("Hello you"),
        4 => Reply::items(&[reply::reasoning("think"), reply::message("so")]),
        5 => script("echo hi"),
        6 => script("touch made; sleep 0.05"),
        7 => Reply::items(&[reply::custom_call(&call_id, "apply_patch", patch)]),
        8 => Reply::items(&[reply::call(&call_id, "update_plan", "{")]),
        9 => Reply::events(&beginning[..length]).ending(End::Dropped),
        10 => Reply::events(&beginning[..length]).ending(End::Hung),
        11 => Reply::status(400, r#"{"error":{"message":"no"}}"#),
        12 => Reply::events(&[reply::created(), reply::failed("server_error", "later")]),
        _ => Reply::items(&[]),
    }
}

fn run(seed: u64) {
    let mut chance = Prng::new(seed);
    let mut world = World::new();
    for _ in 0..REPLIES_COUNT {
        world.reply(anything(&mut chance));
    }
    let call = Client::plain_call(&world).retrying(0, 1);
    let client = Client::of(world, call);
    let mut anyone = Anyone {
        client,
        chance,
        seed,
        heard_count: 0,
        asked: BTreeMap::new(),
        threads: BTreeMap::new(),
        questions: BTreeMap::new(),
        questions_count: 0,
    };
    let info = json!({"name": "anyone", "version": "1.0"});
    anyone.ask("initialize", json!({"clientInfo": info}));
    for _ in 0..REQUESTS_COUNT {
        anyone.ask_anything();
        if anyone.chance.below(3) == 0 {
            anyone.hear();
            anyone.answer_some(false);
        }
    }
    anyone.calm();
    anyone.client.world.provider.forget();
    let (ended, world) = anyone.client.leave();
    assert!(!ended.stderr.contains("panicked"), "seed {seed}: {}", ended.stderr);
    ended.exits(0);
    // What was recorded is whole, and goes on.
    let mut client = Client::new(world);
    let listed = client.call("thread/list", json!({"limit": 100}));
    for thread in listed["data"].as_array().unwrap() {
        let resumed = client.call("thread/resume", json!({"threadId": thread["id"]}));
        for turn in resumed["thread"]["turns"].as_array().unwrap() {
            assert_ne!(turn["status"], "inProgress", "seed {seed}: {turn}");
        }
    }
    client.leave().0.exits(0);
}

#[test]
fn whatever_is_asked_is_answered_and_what_begins_ends() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SEED") {
        return run(seed);
    }
    (0..number("SEEDS").unwrap_or(SEEDS)).for_each(run);
}
