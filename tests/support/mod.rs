//! A world for one run of the real binary: its home, its working directory, its provider, and a
//! loop that serves all of them while it lives.
//!
//! Everything happens in the test's own lane: one `poll` over the provider's sockets and the run's
//! pipes. Every run is looked at from outside while it lives: it has one thread, and nothing it
//! started outlives it.

// Each test file uses a part of this.
#![allow(dead_code, unreachable_pub)]

pub mod client;
pub mod node;
pub mod outside;
pub mod pattern;
pub mod provider;
pub mod reply;
pub mod run;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use provider::{Provider, Request};
use reply::Reply;
use run::{Call, Ended, Run};

/// No run may take longer; it only bounds the harm of a hang.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How long what a killed agent had started may take to be gone.
pub const GONE_AFTER: Duration = Duration::from_secs(2);

/// Worlds of this process so far, so that each has a name of its own.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Held while a child is being made: until it executes, a fork of this process holds the pipes of
/// all tests, and looks like a producer on one of them.
static SPAWNING: Mutex<()> = Mutex::new(());

pub fn spawning() -> MutexGuard<'static, ()> {
    SPAWNING.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct World {
    pub root: PathBuf,
    /// `WINDLASS_HOME`.
    pub home: PathBuf,
    /// Where runs work; a git repository.
    pub cwd: PathBuf,
    /// A directory that is neither.
    pub elsewhere: PathBuf,
    pub provider: Provider,
    /// Added to every run's environment.
    pub env: Vec<(String, String)>,
}

impl World {
    pub fn new() -> World {
        World::of(Provider::plain())
    }

    /// A world whose provider speaks TLS, and whose runs trust it.
    pub fn tls() -> World {
        let mut world = World::of(Provider::tls());
        world.set_env("WINDLASS_CA_FILE", &provider::fixture("ca.pem").to_string_lossy());
        world
    }

    fn of(provider: Provider) -> World {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap();
        let root = base.join(format!("run-{}-{number}", std::process::id()));
        // What an earlier process of the same number left behind.
        let _ = fs::remove_dir_all(&root);
        let (home, cwd, elsewhere) = (root.join("home"), root.join("work"), root.join("elsewhere"));
        for directory in [&home, &cwd.join(".git"), &elsewhere] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(cwd.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        World { root, home, cwd, elsewhere, provider, env: Vec::new() }
    }

    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Scripts the answer to the next request that has none.
    pub fn reply(&mut self, reply: Reply) -> &mut World {
        self.provider.script(reply);
        self
    }

    /// A call of `windlass exec` with these words.
    pub fn call(&self, words: &[&str]) -> Call {
        let mut call = Call::new(self);
        call.words.push("exec".into());
        call.words.extend(words.iter().map(Into::into));
        call
    }

    /// Runs `windlass exec` with these words and an empty stdin to its end.
    pub fn exec(&mut self, words: &[&str]) -> Ended {
        let call = self.call(words);
        self.run(call)
    }

    /// Runs a call to its end.
    pub fn run(&mut self, call: Call) -> Ended {
        let run = self.start(call);
        self.finish(run)
    }

    pub fn start(&self, call: Call) -> Run {
        Run::start(call)
    }

    /// Serves the run until something holds.
    pub fn until(
        &mut self,
        run: &mut Run,
        what: &str,
        mut holds: impl FnMut(&World, &Run) -> bool,
    ) {
        let began = Instant::now();
        while !holds(self, run) {
            assert!(began.elapsed() < DEADLINE, "never: {what}\n{}", run.told());
            assert!(!run.has_exited(), "exited before: {what}\n{}", run.told());
            self.step(run);
        }
    }

    /// Serves the run until it has taken all there is and sleeps: what was sent and signalled has
    /// arrived.
    pub fn settle(&mut self, run: &mut Run) {
        self.until(run, "it has taken all there is", |world, run| {
            world.provider.pending_bytes() == 0 && run.sleeps()
        });
    }

    /// Serves the run for a while.
    pub fn pass(&mut self, run: &mut Run, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time && !run.has_exited() {
            self.step(run);
        }
    }

    /// Serves the run until it has exited, and sees to it that nothing is left of it.
    pub fn finish(&mut self, mut run: Run) -> Ended {
        let began = Instant::now();
        while !run.has_exited() {
            assert!(began.elapsed() < DEADLINE, "it does not end\n{}", run.told());
            self.step(&mut run);
        }
        run.finish()
    }

    /// One round of poll over everything.
    pub fn step(&mut self, run: &mut Run) {
        let mut polled = Vec::new();
        self.provider.watch(&mut polled);
        run.watch(&mut polled);
        // A short wait, since scripts have pauses and looks are taken in between.
        outside::poll(&mut polled, self.provider.wait_ms());
        self.provider.serve();
        run.serve();
    }

    pub fn requests(&self) -> &[Request] {
        &self.provider.requests
    }

    /// The body of the only request.
    pub fn body(&self) -> &Value {
        let [request] = self.requests() else { panic!("{} requests", self.requests().len()) };
        &request.body
    }

    /// The outputs that the last request gives to the calls before it.
    pub fn outputs(&self) -> Vec<String> {
        let input = self.requests().last().unwrap().body["input"].as_array().unwrap();
        let is_output = |item: &&Value| item["type"].as_str().unwrap().ends_with("_call_output");
        let text = |item: &Value| item["output"].as_str().unwrap().to_owned();
        input.iter().filter(is_output).map(text).collect()
    }

    /// Writes a file below the working directory.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.cwd.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.cwd.join(name)).unwrap()
    }

    /// All rollouts, oldest name first.
    pub fn rollouts(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files_below(&self.home.join("sessions"), &mut found);
        found.sort();
        found
    }

    /// The records of the only rollout; every line of it is a whole record.
    pub fn records(&self) -> Vec<Value> {
        let rollouts = self.rollouts();
        let [path] = rollouts.as_slice() else { panic!("{rollouts:?}") };
        records_of(path)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Every record of a rollout; each line is one, whole and stamped.
pub fn records_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "torn: {}", path.display());
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        assert!(record["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(record["payload"].is_object(), "{line}");
        record
    };
    text.lines().map(record).collect()
}

/// What records hold of one type, as `type` or `type/inner type`.
pub fn types_of(records: &[Value]) -> Vec<String> {
    let name = |record: &Value| {
        let (kind, payload) = (record["type"].as_str().unwrap(), &record["payload"]);
        match payload["type"].as_str() {
            Some(inner) => format!("{kind}/{inner}"),
            None => kind.to_owned(),
        }
    };
    records.iter().map(name).collect()
}

/// The texts of messages of one role in the `input` of a request, or of one in a rollout.
pub fn texts(input: &Value, role: &str) -> Vec<String> {
    let messages = input.as_array().unwrap().iter().filter(|item| item["role"] == role);
    let parts = messages.flat_map(|item| item["content"].as_array().unwrap());
    parts.filter_map(|part| part["text"].as_str()).map(str::to_owned).collect()
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_below(&path, found),
            false => found.push(path),
        }
    }
}
