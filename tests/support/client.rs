//! A client of `app-server`: it asks, reads what it is told, and answers questions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::World;
use crate::support::run::{Call, Ended, Run, Stdin};

/// A client, its server and the world around them.
pub struct Client {
    pub world: World,
    pub run: Run,
    /// All that the server has written so far.
    pub lines: Vec<Value>,
    /// Bytes of its output that are among `lines`.
    read_bytes: usize,
    next_id: i64,
}

impl Client {
    /// A client that has introduced itself.
    pub fn new(world: World) -> Client {
        Client::with(world, json!({}))
    }

    /// The same, with these capabilities.
    pub fn with(world: World, capabilities: Value) -> Client {
        let mut client = Client::silent(world);
        let info = json!({"name": "probe", "title": null, "version": "1.0"});
        client.call("initialize", json!({"clientInfo": info, "capabilities": capabilities}));
        client.say(&json!({"method": "initialized"}));
        client
    }

    /// A client that has said nothing yet.
    pub fn silent(world: World) -> Client {
        let call = Client::plain_call(&world);
        Client::of(world, call)
    }

    pub fn plain_call(world: &World) -> Call {
        let mut call = Call::new(world).stdin(Stdin::Open);
        call.words.push("app-server".into());
        call
    }

    pub fn of(world: World, call: Call) -> Client {
        let run = world.start(call);
        Client { world, run, lines: Vec::new(), read_bytes: 0, next_id: 0 }
    }

    /// Writes a message.
    pub fn say(&mut self, message: &Value) {
        self.run.write_in(format!("{message}\n").as_bytes());
    }

    /// Asks for something, and gives the id of the request.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = json!(self.next_id);
        self.say(&json!({"id": id, "method": method, "params": params}));
        id
    }

    /// Asks for something and waits for what comes of it.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.result(&id)
    }

    /// Asks for something that is refused, and gives the error.
    pub fn refused(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        let answer = self.answer(&id);
        assert!(answer["error"]["message"].is_string(), "{answer}");
        answer["error"].clone()
    }

    /// The result of a request, which is waited for.
    pub fn result(&mut self, id: &Value) -> Value {
        let answer = self.answer(id);
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].clone()
    }

    fn answer(&mut self, id: &Value) -> Value {
        self.until(&format!("an answer to {id}"), |line| {
            line["id"] == *id && line.get("method").is_none()
        })
    }

    /// Waits for a line, which may have come before, and gives the first such.
    pub fn until(&mut self, what: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        self.after(0, what, is_meant)
    }

    /// The same, of lines from this one on.
    pub fn after(&mut self, from: usize, what: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        let Client { world, run, lines, read_bytes, .. } = self;
        let mut found = None;
        let mut next = from;
        world.until(run, what, |_, run| {
            read(run, lines, read_bytes);
            let rest = lines.get(next..).unwrap_or(&[]);
            found = rest.iter().find(|line| is_meant(line)).cloned();
            next = next.max(lines.len());
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits for a notification or a request of the server by its method.
    pub fn told(&mut self, method: &str) -> Value {
        self.until(method, |line| line["method"] == method)
    }

    /// The same, of lines from this one on.
    pub fn told_after(&mut self, from: usize, method: &str) -> Value {
        self.after(from, method, |line| line["method"] == method)
    }

    /// Serves until all that is on its way has been heard.
    pub fn settle(&mut self) {
        self.world.settle(&mut self.run);
        self.world.pass(&mut self.run, Duration::from_millis(20));
        read(&self.run, &mut self.lines, &mut self.read_bytes);
    }

    /// Opens a thread in the working directory and gives its id.
    pub fn thread(&mut self, more: Value) -> String {
        let mut params = json!({"cwd": self.world.cwd});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let opened = self.call("thread/start", params);
        opened["thread"]["id"].as_str().unwrap().to_owned()
    }

    /// Begins a turn and gives its id.
    pub fn turn(&mut self, thread: &str, text: &str) -> String {
        let input = json!([{"type": "text", "text": text}]);
        let begun = self.call("turn/start", json!({"threadId": thread, "input": input}));
        begun["turn"]["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a turn is over, and gives what was told of it.
    pub fn ended(&mut self, turn: &str) -> Value {
        let line = self.until("the end of the turn", |line| {
            line["method"] == "turn/completed" && line["params"]["turn"]["id"] == *turn
        });
        line["params"]["turn"].clone()
    }

    /// Goes away, and waits until the server has, too.
    pub fn leave(mut self) -> (Ended, World) {
        self.run.close_stdin();
        let ended = self.world.finish(self.run);
        (ended, self.world)
    }

    /// What was written from this line on, with names in the place of what differs each time.
    pub fn story(&self, from: usize) -> String {
        let mut names = Names {
            root: self.world.root.display().to_string(),
            url: format!(":{}", self.world.provider.port()),
            known: BTreeMap::new(),
        };
        let lines = self.lines[from..].iter().map(|line| {
            let mut line = line.clone();
            names.replace("", &mut line);
            format!("{line}\n")
        });
        lines.collect()
    }
}

/// Takes the whole lines that have come.
fn read(run: &Run, lines: &mut Vec<Value>, read_bytes: &mut usize) {
    while let Some(length) = run.out[*read_bytes..].iter().position(|byte| *byte == b'\n') {
        let line = &run.out[*read_bytes..*read_bytes + length];
        *read_bytes += length + 1;
        let line = serde_json::from_slice(line).unwrap_or_else(|_| panic!("{}", run.told()));
        lines.push(line);
    }
}

/// Names in the place of ids, times and paths.
struct Names {
    root: String,
    url: String,
    known: BTreeMap<String, String>,
}

impl Names {
    fn replace(&mut self, key: &str, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.replace(name, field);
                }
            }
            Value::Array(values) => {
                for value in values {
                    self.replace(key, value);
                }
            }
            Value::Number(_) if ["Ms", "At"].iter().any(|end| key.ends_with(end)) => {
                *value = json!(0);
            }
            Value::String(text) => *text = self.named(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn named(&mut self, text: &str) -> String {
        let text = text.replace(&self.root, "/R").replace(&self.url, ":PORT");
        let version = concat!("/", env!("CARGO_PKG_VERSION"));
        let text = text.replace(version, "/V");
        if text == env!("CARGO_PKG_VERSION") {
            return "V".to_owned();
        }
        let text = undated(&text);
        let mut said = String::new();
        let mut rest = text.as_str();
        while let Some(at) = (0..rest.len()).find(|at| is_uuid(rest, *at)) {
            let id = &rest[at..at + UUID_BYTES];
            let count = self.known.len() + 1;
            let name = self.known.entry(id.to_owned()).or_insert_with(|| format!("<{count}>"));
            said += &rest[..at];
            said += name;
            rest = &rest[at + UUID_BYTES..];
        }
        said + rest
    }
}

/// A path of a rollout without its day and second.
fn undated(text: &str) -> String {
    match (text.find("/sessions/"), text.find("/rollout-")) {
        (Some(from), Some(name)) => {
            let time = "/rollout-2026-11-21T11-00-26-".len();
            format!("{}/sessions/DAY/rollout-TIME-{}", &text[..from], &text[name + time..])
        }
        _ => text.to_owned(),
    }
}

const UUID_BYTES: usize = 36;

/// Whether an id stands at a place of a text.
fn is_uuid(text: &str, at: usize) -> bool {
    let Some(id) = text.get(at..at + UUID_BYTES) else { return false };
    let is_right = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    id.bytes().enumerate().all(is_right)
}

/// Compares what was told with a story in a folder of `tests/snapshots`, line by line; writes it
/// anew where `WINDLASS_SNAPSHOTS=write` says so.
#[track_caller]
pub fn is_as_written(folder: &str, story: &str, told: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(folder);
    let path = folder.join(format!("{story}.jsonl"));
    if std::env::var_os("WINDLASS_SNAPSHOTS").is_some() {
        fs::create_dir_all(folder).unwrap();
        fs::write(path, told).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    for (index, (expected, told)) in expected.lines().zip(told.lines()).enumerate() {
        assert_eq!(told, expected, "line {} of {story}", index + 1);
    }
    assert_eq!(told.lines().count(), expected.lines().count(), "{story}:\n{told}");
}
