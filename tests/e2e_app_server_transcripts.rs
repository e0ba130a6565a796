//! `app-server`: transcripts of the peer, played again.
//!
//! What its clients said is said to the built binary, and what it answered is compared field by
//! field: `tests/fixtures/transcripts` has the lines, `C` of the client and `S` of the server,
//! nulls left out; `...` stands for lines that a transcript leaves out before the client speaks
//! again. Ids need only agree with each other, times only be times.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use support::World;
use support::client::Client;
use support::pattern::fits;
use support::reply::{self, End, Reply};

/// Differences that are meant, each with its reason; `*` stands for anything. They have to be there.
const MEANT: &[&str] = &[
    // Every client gets what those of 0.169 expect.
    "v1 answer 1 result.codexHome: is new",
    "v1 answer 1 result.platformFamily: is new",
    "v1 answer 1 result.platformOs: is new",
    // A command is shown as the model gave it; the peer's model had a tool that takes one text.
    "v2 item/* params.item.command: \"bash -lc *",
    "v2 item/commandExecution/requestApproval params.command: \"bash -lc *",
    // What went wrong is said in words of our own.
    "v2 error params.error.additionalDetails: *",
    // What was said before an interruption is kept, and told as an item.
    "v2 item/completed agentMessage: comes, too",
    // Every answer that is understood is offered, also those that the peer's rules leave out.
    "v2 item/commandExecution/requestApproval params.availableDecisions: *",
    // The protocol has it; the transcript leaves it out.
    "v2 item/commandExecution/outputDelta: comes, too",
];

/// Keys whose values are ids: other ones each time, but the same in the same places.
const IDS: [&str; 13] = [
    "id",
    "itemId",
    "item_id",
    "threadId",
    "turnId",
    "rootTurnId",
    "sessionId",
    "conversationId",
    "subscriptionId",
    "callId",
    "call_id",
    "thread_id",
    "turn_id",
];

/// Keys whose texts begin as the transcript says, and go on as they like.
const BEGINNINGS: [&str; 3] = ["userAgent", "path", "rolloutPath"];

/// Keys whose numbers are times or durations.
const TIMES: [&str; 3] = ["secs", "nanos", "durationMs"];

/// What the client said, and what it was told until it spoke again.
#[derive(Default)]
struct Scene {
    said: Value,
    told: Vec<Value>,
    /// The transcript leaves lines out.
    is_cut: bool,
}

fn scenes(world: &World, name: &str) -> Vec<Scene> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transcripts");
    let mut scenes: Vec<Scene> = Vec::new();
    for line in fs::read_to_string(folder.join(name)).unwrap().lines() {
        let (who, message) = line.split_at(1);
        let mut message = serde_json::from_str(message).unwrap_or_default();
        place(world, &mut message);
        match (who, scenes.last_mut()) {
            ("C", _) => scenes.push(Scene { said: message, ..Scene::default() }),
            ("S", Some(scene)) => scene.told.push(message),
            (_, Some(scene)) => scene.is_cut = true,
            (_, None) => panic!("{line}"),
        }
    }
    scenes
}

/// Puts the world's folders in the place of the transcript's, and our version in that of its own;
/// clients are greeted with that of the protocol.
fn place(world: &World, value: &mut Value) {
    let version = env!("CARGO_PKG_VERSION");
    each_text(value, &mut |text| {
        for (from, to) in [("/h", &world.home), ("/w", &world.cwd)] {
            if text == from || text.starts_with(&format!("{from}/")) {
                return format!("{}{}", to.display(), &text[from.len()..]);
            }
        }
        if text == "V" { version.to_owned() } else { text.replace("probe/V", "probe/0.169.0 (") }
    });
}

fn each_text(value: &mut Value, change: &mut dyn FnMut(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| each_text(value, change)),
        Value::Object(fields) => fields.values_mut().for_each(|value| each_text(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Plays a transcript and gives all differences.
fn played(mut client: Client, name: &str) -> BTreeSet<String> {
    let scenes = scenes(&client.world, name);
    let mut play = Play { name: name.replace(".txt", ""), ..Play::default() };
    for scene in &scenes {
        client.settle();
        let from = client.lines.len();
        let mut said = scene.said.clone();
        each_text(&mut said, &mut |text| play.ids.get(text).cloned().unwrap_or(text.to_owned()));
        client.say(&said);
        if let Some(last) = scene.told.last() {
            let last = kind(last);
            client.after(from, &last, |line| kind(line) == last);
        }
        client.settle();
        play.compare(scene, &client.lines[from..]);
    }
    client.leave().0.exits(0);
    play.differences
}

/// What sort of message a line is.
fn kind(line: &Value) -> String {
    let Some(method) = line["method"].as_str() else { return format!("answer {}", line["id"]) };
    match line["params"]["item"]["type"].as_str() {
        Some(item) => format!("{method} {item}"),
        None => method.to_owned(),
    }
}

#[derive(Default)]
struct Play {
    name: String,
    /// Ids of the transcript and ours.
    ids: BTreeMap<String, String>,
    differences: BTreeSet<String>,
}

impl Play {
    fn differ(&mut self, place: &str, what: &str) {
        self.differences.insert(format!("{} {place}: {what}", self.name));
    }

    fn compare(&mut self, scene: &Scene, told: &[Value]) {
        let pairs = aligned(&scene.told, told);
        let is_paired = |index: usize| pairs.iter().any(|(_, ours)| *ours == index);
        let extra: Vec<usize> = (0..told.len()).filter(|index| !is_paired(*index)).collect();
        let extra: Vec<&Value> = extra.iter().map(|index| &told[*index]).collect();
        for (index, expected) in scene.told.iter().enumerate() {
            if let Some((_, ours)) = pairs.iter().find(|(theirs, _)| *theirs == index) {
                self.fields(&kind(expected), "", expected, &told[*ours]);
            } else if extra.iter().any(|line| kind(line) == kind(expected)) {
                self.differ(&kind(expected), "comes at another place");
            } else {
                self.differ(&kind(expected), "does not come");
            }
        }
        for line in extra.iter().filter(|_| !scene.is_cut) {
            if !scene.told.iter().any(|expected| kind(expected) == kind(line)) {
                self.differ(&kind(line), "comes, too");
            }
        }
    }

    /// Compares what lies at a path of two messages.
    fn fields(&mut self, kind: &str, path: &str, expected: &Value, told: &Value) {
        let place = format!("{kind} {path}");
        let key = path.rsplit('.').next().unwrap_or_default();
        let is_time = TIMES.contains(&key) || key.ends_with("At") || key.ends_with("AtMs");
        match (expected, told) {
            (Value::Object(expected), Value::Object(told)) => {
                self.object(kind, path, expected, told);
            }
            (Value::Array(expected), Value::Array(told)) => {
                if expected.len() != told.len() {
                    self.differ(&place, &format!("{} for {}", json!(told), json!(expected)));
                    return;
                }
                for (expected, told) in expected.iter().zip(told) {
                    self.fields(kind, &format!("{path}[]"), expected, told);
                }
            }
            (Value::Number(_), Value::Number(_)) if is_time => {}
            (Value::String(expected), Value::String(told)) if IDS.contains(&key) => {
                let known = self.ids.entry(expected.clone()).or_insert_with(|| told.clone());
                if known != told {
                    self.differ(&place, "is another id than before");
                }
            }
            (Value::String(expected), Value::String(told))
                if BEGINNINGS.contains(&key) && told.starts_with(expected) => {}
            _ if expected == told => {}
            _ => self.differ(&place, &format!("{told} for {expected}")),
        }
    }

    fn object(&mut self, kind: &str, path: &str, expected: &Fields, told: &Fields) {
        let inner = |name: &str| match path {
            "" => name.to_owned(),
            _ => format!("{path}.{name}"),
        };
        for (name, expected) in expected {
            match told.get(name) {
                Some(told) => self.fields(kind, &inner(name), expected, told),
                None => self.differ(&format!("{kind} {}", inner(name)), "is missing"),
            }
        }
        for (name, told) in told {
            if !told.is_null() && !expected.contains_key(name) {
                self.differ(&format!("{kind} {}", inner(name)), "is new");
            }
        }
    }
}

type Fields = Map<String, Value>;

/// The longest common subsequence of two lists of messages by their kinds, as pairs of places.
fn aligned(expected: &[Value], told: &[Value]) -> Vec<(usize, usize)> {
    let (theirs, ours): (Vec<_>, Vec<_>) =
        (expected.iter().map(kind).collect(), told.iter().map(kind).collect());
    let mut lengths = vec![vec![0; ours.len() + 1]; theirs.len() + 1];
    for i in (0..theirs.len()).rev() {
        for j in (0..ours.len()).rev() {
            lengths[i][j] = match theirs[i] == ours[j] {
                true => lengths[i + 1][j + 1] + 1,
                false => lengths[i + 1][j].max(lengths[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < theirs.len() && j < ours.len() {
        if theirs[i] == ours[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// What the model says in the transcript of the second protocol.
fn second() -> World {
    let mut world = World::new();
    world.file("a.txt", "hello\n");
    let thought = json!({
        "type": "response.reasoning_summary_text.delta",
        "item_id": "rs_1", "summary_index": 0, "delta": "think",
    });
    let part = json!({
        "type": "response.reasoning_summary_part.added", "item_id": "rs_1", "summary_index": 0,
    });
    let hello = Reply::events(&[
        reply::created(),
        part,
        thought,
        reply::done(&reply::reasoning("think")),
        reply::delta("Hello"),
        reply::done(&reply::message("Hello")),
        reply::completed(),
    ]);
    world.reply(
        hello
            .header("x-codex-primary-used-percent", "12.5")
            .header("x-codex-primary-window-minutes", "300")
            .header("x-codex-primary-reset-at", "1764000000"),
    );
    world
        .reply(Reply::escalated("touch zz && echo ok"))
        .reply(streamed("done"))
        .reply(Reply::beginning("Hel"));
    let patch = "*** Begin Patch\n*** Update File: a.txt\n@@\n-hello\n+bye\n*** End Patch\n";
    world.reply(Reply::items(&[reply::custom_call("p1", "apply_patch", patch)]));
    world.reply(streamed("done"));
    world.reply(Reply::events(&[reply::created()]).ending(End::Dropped));
    let failed = reply::failed("context_length_exceeded", "too long");
    world.reply(Reply::events(&[reply::created(), failed]));
    world
}

/// A message with one piece before the whole.
fn streamed(text: &str) -> Reply {
    Reply::events(&[
        reply::created(),
        reply::delta(text),
        reply::done(&reply::message(text)),
        reply::completed(),
    ])
}

fn client(world: World) -> Client {
    let call = Client::plain_call(&world).retrying(0, 5).set("model=gpt-5.1-codex");
    Client::of(world, call)
}

#[test]
fn transcripts_of_the_peer_are_played_again() {
    let mut found = played(client(second()), "v2.txt");
    let mut world = World::new();
    world
        .reply(streamed("Hello"))
        .reply(Reply::escalated("touch zz && echo ok"))
        .reply(streamed("done"));
    found.append(&mut played(client(world), "v1.txt"));
    let is_meant = |found: &&String| MEANT.iter().any(|pattern| fits(pattern, found));
    let unknown: Vec<_> = found.iter().filter(|found| !is_meant(found)).collect();
    assert!(unknown.is_empty(), "differences that nobody means: {unknown:#?}");
    let is_gone = |pattern: &&&str| !found.iter().any(|found| fits(pattern, found));
    let gone: Vec<_> = MEANT.iter().filter(is_gone).collect();
    assert!(gone.is_empty(), "differences that are no more: {gone:#?}");
}
