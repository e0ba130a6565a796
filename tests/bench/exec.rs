//! What `exec` costs, beside what it would cost at least: `cargo bench`.
//!
//! Every number is the middle one of several runs against a provider on this machine, which the
//! bench serves itself. Nothing here fails because the machine is slow; counts that must not grow
//! are tests (`tests/budgets.rs`).

#![allow(clippy::unwrap_used)]

mod measure;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::json;

use measure::{Seen, bare_spawn, count, curl, has, median, middle, program, run};
use support::World;
use support::reply::{Reply, completed, created, delta, done, message};
use support::run::Call;

const RUNS: usize = 7;
const CALLS: usize = 50;
const DELTAS: usize = 20_000;
const MEGABYTE: f64 = 1024.0;

fn main() {
    println!("measured: {}", program().display());
    let tools = Tools { strace: has("strace"), curl: has("curl") };
    for (name, is_there) in [("strace", tools.strace), ("curl", tools.curl)] {
        if !is_there {
            println!("SKIPPED: {name} is not installed; what needs it is left out");
        }
    }
    println!("{:<58} {:>10} {:>10} {:>10}", "", "target", "measured", "floor");
    short_turn(&tools);
    tool_calls(&tools);
    many_deltas(&tools);
    slow_stream(&tools);
    large_outputs();
}

struct Tools {
    strace: bool,
    curl: bool,
}

/// One line of the table.
fn row(what: &str, target: f64, measured: f64, floor: Option<f64>) {
    let floor = floor.map_or("-".to_owned(), |floor| format!("{floor:.2}"));
    let verdict = if measured <= target { "met" } else { "MISSED" };
    println!("{what:<58} {target:>10.2} {measured:>10.2} {floor:>10}  {verdict}");
}

fn repeated(world: &mut World, mut once: impl FnMut(&mut World) -> Seen) -> Seen {
    median((0..RUNS).map(|_| once(world)).collect())
}

/// A run with full access, since what confinement costs is another matter.
fn call(world: &World) -> Call {
    world.call(&["--skip-git-repo-check", "-s", "danger-full-access", "hello"])
}

const SHORT: &str = "It is a loop that turns what happened into what is to be done about it.";

fn short_turn(tools: &Tools) {
    let mut world = World::new();
    let reply = Reply::message(SHORT);
    let seen = repeated(&mut world, |world| {
        world.reply(reply.clone());
        let call = call(world);
        run(world, &call)
    });
    if tools.strace {
        let counted = repeated(&mut world, |world| {
            world.reply(reply.clone());
            let call = call(world);
            count(world, &call)
        });
        row("short turn: processes made", 0.0, counted.clones as f64, None);
        row("short turn: system calls", 400.0, counted.syscalls as f64, None);
    }
    let floor = tools.curl.then(|| {
        repeated(&mut world, |world| {
            world.reply(reply.clone());
            curl(world, "{}")
        })
    });
    let of_curl = |number: fn(&Seen) -> f64| floor.as_ref().map(number);
    let peak: fn(&Seen) -> f64 = |seen| seen.peak_kib as f64 / MEGABYTE;
    let anonymous: fn(&Seen) -> f64 = |seen| seen.anonymous_kib as f64 / MEGABYTE;
    let cpu: fn(&Seen) -> f64 = |seen| seen.cpu_us / 1e3;
    row("short turn: peak RSS, MB", 5.0, peak(&seen), of_curl(peak));
    row("short turn: anonymous, MB", 1.5, anonymous(&seen), of_curl(anonymous));
    let cpu_of_curl = of_curl(cpu);
    row("short turn: cpu, ms", cpu_of_curl.unwrap_or(f64::NAN), cpu(&seen), cpu_of_curl);
    let floor = middle((0..RUNS).map(|_| bare_spawn(&["true"])).collect());
    row("start to first request, ms", 5.0, seen.first_request_us / 1e3, Some(floor / 1e3));
}

/// Scripts so many calls of `echo hi`, each in an answer of its own, and a last word.
fn echoes(world: &mut World, count: usize) {
    for _ in 0..count {
        world.reply(Reply::shell(&["echo", "hi"]));
    }
    world.reply(Reply::message(SHORT));
}

fn tool_calls(tools: &Tools) {
    let mut world = World::new();
    let mut once = |calls: usize, how: fn(&mut World, &Call) -> Seen| {
        repeated(&mut world, |world| {
            echoes(world, calls);
            let call = call(world);
            how(world, &call)
        })
    };
    if tools.strace {
        let syscalls = once(CALLS, count).syscalls as f64 - once(0, count).syscalls as f64;
        row("per tool call: system calls of the agent", 80.0, syscalls / CALLS as f64, None);
    }
    let seen = once(CALLS, run);
    let floor = middle((0..4 * CALLS).map(|_| bare_spawn(&["echo", "hi"])).collect());
    let beyond_ms = (seen.answer_to_request_us - floor) / 1e3;
    row("per tool call: answer to request beyond a spawn, ms", 1.0, beyond_ms, Some(floor / 1e3));
    let sent = seen.sent_bytes as f64 / 1e3;
    row("50 small tool calls: sent, KB", 600.0, sent, None);
}

/// So many deltas and the message they make.
fn deltas(count: usize) -> Reply {
    let mut events = vec![created()];
    events.extend((0..count).map(|number| delta(&format!("w{} ", number % 1000))));
    let text: String = (0..count).map(|number| format!("w{} ", number % 1000)).collect();
    events.push(done(&message(&text)));
    events.push(completed());
    Reply::events(&events)
}

fn many_deltas(tools: &Tools) {
    let mut world = World::new();
    let (many, few) = (deltas(DELTAS), deltas(10));
    let mut once = |reply: &Reply, how: fn(&mut World, &Call) -> Seen| {
        repeated(&mut world, |world| {
            world.reply(reply.clone());
            let call = call(world);
            how(world, &call)
        })
    };
    let (seen, base) = (once(&many, run), once(&few, run));
    let count_of = DELTAS as f64;
    if tools.strace {
        let more = once(&many, count).syscalls as f64 - once(&few, count).syscalls as f64;
        row("20,000 deltas: system calls per delta", 0.05, more / count_of, None);
    }
    let floor = tools.curl.then(|| {
        repeated(&mut world, |world| {
            world.reply(many.clone());
            curl(world, "{}")
        })
    });
    let per_delta = (seen.cpu_us - base.cpu_us) / count_of;
    row("20,000 deltas: cpu per delta, us", 1.5, per_delta, floor.map(|it| it.cpu_us / count_of));
    let text_kib: usize = (0..DELTAS).map(|number| format!("w{} ", number % 1000).len()).sum();
    let grown = seen.peak_kib as f64 - base.peak_kib as f64 - text_kib as f64 / 1024.0;
    row("20,000 deltas: RSS beyond the text, MB", 0.5, grown / MEGABYTE, None);
}

fn slow_stream(tools: &Tools) {
    let mut world = World::new();
    let (long, short) = (30, 10);
    let pause = Duration::from_millis(100);
    let mut switches = |count: usize, how: &dyn Fn(&mut World) -> Seen| {
        world.reply(deltas(count).slowly(pause));
        how(&mut world).switches as f64
    };
    let mut slope = |how: &dyn Fn(&mut World) -> Seen| {
        let mut once = || (switches(long, how) - switches(short, how)) / (long - short) as f64;
        middle((0..3).map(|_| once()).collect())
    };
    let ours = slope(&|world| {
        let mut call = call(world);
        call.words.push("--json".into());
        run(world, &call)
    });
    let floor = tools.curl.then(|| slope(&|world| curl(world, "{}")));
    row("slow stream, --json: context switches per delta", 1.2, ours, floor);
}

fn large_outputs() {
    let mut world = World::new();
    let seen = repeated(&mut world, |world| {
        for _ in 0..5 {
            let script = "yes 0123456789012345678901234567890123456789 | head -c 1000000";
            let arguments = json!({ "command": ["bash", "-c", script] });
            world.reply(Reply::calls(&[("shell", arguments)]));
        }
        world.reply(Reply::message(SHORT));
        let call = call(world);
        run(world, &call)
    });
    row("five outputs of 1 MB: peak RSS, MB", 6.0, seen.peak_kib as f64 / MEGABYTE, None);
}
