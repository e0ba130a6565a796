//! Conversations whose agent is killed at any moment, or whose disk is full at any moment, and
//! which go on all the same.
//!
//! A plain run kills a few dozen times; `CRASHES=n` kills n times, `SEED=n` begins elsewhere. After
//! each kill the conversation is resumed, and what the model is then told is compared with what it
//! was told before, with what was shown and with what commands have left on disk.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::reply::{self, Reply};
use support::run::{Call, Ended, Run};
use support::{World, records_of};
use windlass::core::prng::Prng;

/// How often a plain run kills: some ten seconds.
const CRASHES: u64 = 40;
/// Kills of one conversation; more only make its requests longer.
const CRASHES_EACH: u64 = 20;
/// About how long a turn takes; a kill that finds it done looks at how it ends.
const TURN_US: u64 = 200_000;

/// A conversation that is killed again and again.
struct Story {
    world: World,
    chance: Prng,
    /// Turns so far; whatever a turn does carries its number.
    turn: u64,
    thread: Option<String>,
    /// The input of the last request, as far as it must still be there.
    told: Vec<Value>,
    /// Texts that were shown as finished.
    shown: BTreeSet<String>,
    /// A run that was killed and whose children may yet live.
    dying: Option<Run>,
    /// Kills that came before the end.
    kills_in_time: u64,
}

/// How a turn is disturbed.
enum Harm {
    None,
    KilledAfter(Duration),
    /// Killed when so many requests of it have come.
    KilledAtRequest(usize),
    /// Its files may grow by so much.
    Full(u64),
}

impl Story {
    fn new(seed: u64) -> Story {
        let (world, chance) = (World::new(), Prng::new(seed));
        let (turn, thread) = (0, None);
        let (told, shown) = (Vec::new(), BTreeSet::new());
        Story { world, chance, turn, thread, told, shown, dying: None, kills_in_time: 0 }
    }

    /// A turn of four requests: two commands at once, a command with much output, a patch.
    fn script(&mut self) {
        let turn = self.turn;
        let marks = |part: u64| format!("echo {turn}.{part} >> ran; echo said {turn}.{part}");
        let shell = |part: u64, script: &str| {
            let arguments = json!({"command": ["bash", "-c", script]}).to_string();
            reply::call(&format!("call_{turn}_{part}"), "shell", &arguments)
        };
        let patch = format!("*** Begin Patch\n*** Add File: new-{turn}\n+{turn}\n*** End Patch");
        let much = format!("{}; seq 1000", marks(3));
        let patch = reply::custom_call(&format!("call_{turn}_4"), "apply_patch", &patch);
        let thought = reply::reasoning(&format!("thought {turn}"));
        let begun = reply::message(&format!("begun {turn}"));
        self.world
            .reply(Reply::items(&[thought, begun, shell(1, &marks(1)), shell(2, &marks(2))]))
            .reply(Reply::items(&[shell(3, &much)]))
            .reply(Reply::items(&[patch]))
            .reply(Reply::message(&format!("done {turn}")).slowly(Duration::from_millis(3)));
    }

    fn call(&self) -> Call {
        let prompt = format!("prompt {}", self.turn);
        let words = ["--json", "-s", "workspace-write"];
        match &self.thread {
            Some(thread) => self.world.call(&[&words[..], &["resume", thread, &prompt]].concat()),
            None => self.world.call(&[&words[..], &[&prompt]].concat()),
        }
    }

    /// Takes a turn, harms it, and compares what came of it with what is known.
    fn take_turn(&mut self, harm: &Harm) -> Ended {
        let run = self.run(harm);
        let ended = run.finish();
        self.learn(&ended);
        ended
    }

    /// Lets a turn run until it has exited or is killed.
    fn run(&mut self, harm: &Harm) -> Run {
        self.turn += 1;
        self.world.provider.forget();
        self.script();
        let before = self.world.requests().len();
        let mut call = self.call();
        if let Harm::Full(more) = harm {
            let rollout = self.world.rollouts().pop();
            let now = rollout.map_or(0, |path| path.metadata().unwrap().len());
            call.file_bytes_max = Some(now + more);
        }
        let mut run = self.world.start(call);
        if let Some(dying) = self.dying.take() {
            let ended = dying.finish();
            self.learn(&ended);
        }
        let began = Instant::now();
        while !run.has_exited() {
            assert!(began.elapsed() < support::DEADLINE, "it does not end\n{}", run.told());
            let is_time = match harm {
                Harm::None | Harm::Full(_) => false,
                Harm::KilledAfter(time) => began.elapsed() >= *time,
                Harm::KilledAtRequest(count) => self.world.requests().len() >= before + count,
            };
            if is_time {
                run.signal(libc::SIGKILL);
                while !run.has_exited() {
                    support::outside::poll(&mut [], 1);
                }
                self.kills_in_time += 1;
                break;
            }
            self.world.step(&mut run);
        }
        if let Some(first) = self.world.requests().get(before).map(input_of) {
            self.check_request(&first, &run.told());
            self.told = input_of(self.world.requests().last().unwrap());
        }
        run
    }

    /// The first request after a crash holds all that was known, and each call has one output.
    fn check_request(&self, input: &[Value], said: &str) {
        let told = self.told.len();
        let at = (0..told).find(|&at| input.get(at) != Some(&self.told[at]));
        if let Some(at) = at {
            panic!("item {at} was {}, is {:?}\n{said}", self.told[at], input.get(at));
        }
        let all: String = input.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        for text in &self.shown {
            assert!(all.contains(text), "{text} was shown and is forgotten: {all}");
        }
        check_calls(input);
        let own = format!("{}.", self.turn);
        for line in self.world_lines().iter().filter(|line| !line.starts_with(&own)) {
            let call = format!("call_{}", line.replace('.', "_"));
            let is_it = |item: &Value| item["call_id"] == *call;
            assert!(input.iter().any(is_it), "{line} ran and nobody knows: {all}");
        }
    }

    /// What commands have left; none ran twice.
    fn world_lines(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.world.cwd.join("ran")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let set: BTreeSet<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(set.len(), lines.len(), "something ran twice: {text}");
        set
    }

    /// Remembers what was shown, and that patches are whole or not at all.
    fn learn(&mut self, ended: &Ended) {
        let whole = ended.stdout.rfind('\n').map_or("", |end| &ended.stdout[..end]);
        for line in whole.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["type"] == "thread.started" && !self.world.rollouts().is_empty() {
                self.thread = line["thread_id"].as_str().map(str::to_owned);
            }
            if line["type"] != "item.completed" {
                continue;
            }
            let item = &line["item"];
            let text = match item["type"].as_str().unwrap() {
                "agent_message" => item["text"].as_str().unwrap(),
                "command_execution" if item["exit_code"] == 0 => {
                    item["aggregated_output"].as_str().unwrap().lines().next().unwrap()
                }
                _ => continue,
            };
            self.shown.insert(text.to_owned());
        }
        for turn in 1..=self.turn {
            if let Ok(text) = fs::read_to_string(self.world.cwd.join(format!("new-{turn}"))) {
                assert_eq!(text, format!("{turn}\n"));
            }
        }
        if self.thread.is_none() {
            // Killed before it said who it is: what it has kept is nobody's.
            for path in self.world.rollouts() {
                fs::remove_file(path).unwrap();
            }
            self.told.clear();
            let _ = fs::remove_file(self.world.cwd.join("ran"));
        }
    }

    /// A kill, at a moment that chance chooses.
    fn crash(&mut self) {
        let harm = match self.chance.below(4) {
            0 => Harm::KilledAtRequest(1 + self.chance.below(4) as usize),
            _ => Harm::KilledAfter(Duration::from_micros(self.chance.below(TURN_US))),
        };
        let run = self.run(&harm);
        match self.thread {
            // The next one does not wait until all of it is gone.
            Some(_) if self.chance.below(2) == 0 => self.dying = Some(run),
            _ => self.learn(&run.finish()),
        }
        let Some(path) = self.world.rollouts().pop() else { return };
        // What a machine without power leaves, or a program that means no harm.
        let tail: &[u8] = match self.chance.below(8) {
            0 => b"{\"timestamp\":\"2025-11-07T10:00:00.000Z\",\"type\":\"response_item\",\"payl",
            1 => b"\0\0\0 not a record\n",
            _ => return,
        };
        OpenOptions::new().append(true).open(path).unwrap().write_all(tail).unwrap();
    }

    /// A turn that nothing disturbs tells the whole story.
    fn close(&mut self) {
        let first = self.world.requests().len();
        self.take_turn(&Harm::None).exits(0);
        let turn = self.turn;
        let input = input_of(self.world.requests().last().unwrap());
        check_calls(&input);
        for part in 1..=3 {
            assert!(self.world_lines().contains(&format!("{turn}.{part}")));
        }
        assert_eq!(self.world.requests().len() - first, 4);
        let path = self.world.rollouts().pop().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let whole = text.lines().filter(|line| !line.starts_with('\0')).collect::<Vec<_>>();
        fs::write(&path, whole.join("\n") + "\n").unwrap();
        let records = records_of(&path);
        let prompts = |record: &&Value| record["payload"]["type"] == "user_message";
        assert!(records.iter().filter(prompts).count() as u64 <= turn);
        assert_eq!(records.iter().filter(|record| record["type"] == "session_meta").count(), 1);
    }
}

fn input_of(request: &support::provider::Request) -> Vec<Value> {
    request.body["input"].as_array().unwrap().clone()
}

/// Each call has exactly one output, and it comes later.
fn check_calls(input: &[Value]) {
    let ids = |suffix: &str| -> Vec<(usize, &str)> {
        let is_meant = |item: &Value| item["type"].as_str().unwrap().ends_with(suffix);
        let items = input.iter().enumerate().filter(|(_, item)| is_meant(item));
        items.map(|(at, item)| (at, item["call_id"].as_str().unwrap())).collect()
    };
    let (calls, outputs) = (ids("_call"), ids("_call_output"));
    assert_eq!(calls.len(), outputs.len(), "{calls:?} {outputs:?}");
    for (at, id) in calls {
        let own: Vec<_> = outputs.iter().filter(|(_, of)| *of == id).collect();
        assert!(own.len() == 1 && own[0].0 > at, "{id} at {at} has {own:?}");
    }
}

fn number(name: &str, plain: u64) -> u64 {
    std::env::var(name).map_or(plain, |text| text.parse().unwrap())
}

#[test]
fn a_killed_agent_has_lost_nothing_and_repeats_nothing() {
    let (crashes, seed) = (number("CRASHES", CRASHES), number("SEED", 1));
    let mut in_time = 0;
    for first in (0..crashes).step_by(CRASHES_EACH as usize) {
        println!("SEED={}", seed + first);
        let mut story = Story::new(seed + first);
        for _ in first..crashes.min(first + CRASHES_EACH) {
            story.crash();
        }
        story.close();
        in_time += story.kills_in_time;
    }
    println!("{crashes} kills, {in_time} before the end");
    assert!(in_time * 2 > crashes, "most came too late");
}

#[test]
fn a_disk_that_is_full_at_any_moment_costs_the_turn_alone() {
    let (crashes, seed) = (number("CRASHES", CRASHES).div_ceil(4), number("SEED", 1));
    let mut story = Story::new(seed);
    story.take_turn(&Harm::None).exits(0);
    let mut failed = 0;
    for _ in 0..crashes {
        let more = story.chance.below(16 << 10);
        let ended = story.take_turn(&Harm::Full(more));
        if ended.code == Some(0) {
            continue;
        }
        ended.exits(1);
        assert!(ended.stdout.contains("append to the rollout"), "{ended}");
        records_of(&story.world.rollouts().pop().unwrap());
        failed += 1;
    }
    assert!(failed > 0, "the disk was never full");
    story.close();
}

/// The same on a disk of its own, of sixteen pages.
#[test]
fn a_file_system_that_is_full_costs_the_turn_alone() {
    let mut world = World::new();
    fs::create_dir(world.home.join("sessions")).unwrap();
    let mount = "mount -t tmpfs -o size=64k tmpfs \"$WINDLASS_HOME/sessions\"";
    let probe =
        world.call(&["--help"]).within(&["unshare", "-rm"], &format!("{mount}; exec \"$@\""));
    if world.run(probe).code != Some(0) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let script =
        format!("{mount}; \"$@\" || code=$?; cp -r \"$WINDLASS_HOME\"/sessions kept; exit $code");
    world.reply(Reply::message(&"a long answer ".repeat(2000)));
    world.reply(Reply::message("not to be asked for"));
    let long = "long ".repeat(5000);
    let call = world.call(&["--json", &long]).within(&["unshare", "-rm"], &script);
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stdout.contains("append to the rollout"), "{ended}");
    assert!(!ended.stdout.contains("a long answer"), "what is not kept is not shown");
    fs::remove_dir(world.home.join("sessions")).unwrap();
    fs::rename(world.cwd.join("kept"), world.home.join("sessions")).unwrap();
    world.records();
    world.provider.forget();
    world.reply(Reply::message("gone on"));
    world.exec(&["--json", "resume", "--last", "go on"]).exits(0);
}
