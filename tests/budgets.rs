//! What a turn may cost, as far as it can be counted: system calls, allocations, memory.
//!
//! Numbers are those of an unoptimized binary, with room for what that adds; `cargo bench` measures
//! the real one and adds what can only be timed.

#![allow(clippy::unwrap_used)]

#[path = "bench/measure.rs"]
mod measure;
#[path = "../src/words/samples.rs"]
mod samples;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use windlass::core::Agent;
use windlass::core::effect::{Effect, Effects};
use windlass::core::input::{Input, Now};
use windlass::fronts::app_server::ask::{Dialect, How, Opened, Past, Ticket, Waits};
use windlass::fronts::app_server::types::v1::RequestId;
use windlass::host::net::{self, Caller, Net, NetEvent, Trust};
use windlass::host::poller::Poller;
use windlass::host::rollouts::{Keeping, Rollouts};
use windlass::host::seam::{Front, Seam};
use windlass::wire::http::Method;
use windlass::wire::responses::decode::Decoder;
use windlass::wire::sse::Events;
use windlass::wire::url::Url;
use windlass::words;
use windlass::words::command::Command;
use windlass::words::event::Event;
use windlass::words::ids::{FrontId, OpId, ThreadId};
use windlass::words::item::Part;
use windlass::words::model::ModelEvent;
use windlass::words::settings::{OpeningFacts, ThreadSettings};

use measure::{count, count_all, has, run};
use support::World;
use support::provider::{Provider, fixture};
use support::reply::{End, Reply, completed, created, delta, done, message, sse};
use support::run::Call;

/// Counts what the lane that asks has allocated.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes allocated and not yet given back.
    static HELD_BYTES: Cell<i64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is left to the system's allocator, which keeps the contract; the counters are
// plain integers that need neither memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD_BYTES.set(HELD_BYTES.get() + layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.set(HELD_BYTES.get() - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD_BYTES.set(HELD_BYTES.get() + bytes as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

fn call(world: &World) -> Call {
    world.call(&["--skip-git-repo-check", "-s", "danger-full-access", "hello"])
}

/// Whether system calls can be counted here; says so if not.
fn can_count() -> bool {
    let can = has("strace");
    if !can {
        eprintln!("SKIPPED: strace is not installed, and so no system calls are counted");
    }
    can
}

/// System calls of a run with these answers, and processes it made.
fn counted(replies: &[Reply]) -> (u64, u64) {
    let mut world = World::new();
    for reply in replies {
        world.reply(reply.clone());
    }
    let call = call(&world);
    let seen = count(&mut world, &call);
    (seen.syscalls, seen.clones)
}

#[test]
fn a_short_turn_needs_few_system_calls_and_no_process() {
    if can_count() {
        let (syscalls, clones) = counted(&[Reply::message("All is well here.")]);
        assert_eq!(clones, 0);
        assert!(syscalls <= 400, "{syscalls}");
    }
}

#[test]
fn a_tool_call_needs_few_system_calls() {
    if can_count() {
        let last = Reply::message("All is well here.");
        let mut replies = vec![Reply::shell(&["echo", "hi"]); 20];
        replies.push(last.clone());
        let (many, clones) = counted(&replies);
        assert_eq!(clones, 20, "a launcher for each");
        let per_call = (many - counted(&[last]).0) / 20;
        assert!(per_call <= 80, "{per_call}");
    }
}

#[test]
fn a_confined_command_needs_few_system_calls() {
    if !can_count() {
        return;
    }
    if windlass_sandbox::probe().namespaces != Ok(windlass_sandbox::Apart::Whole) {
        eprintln!(
            "SKIPPED: namespaces are refused, and what else hides files depends on the place"
        );
        return;
    }
    let counted = |mode: &str, calls: usize| {
        let mut world = World::new();
        for _ in 0..calls {
            world.reply(Reply::shell(&["true"]));
        }
        world.reply(Reply::message("All is well here."));
        let call = world.call(&["--skip-git-repo-check", "-s", mode, "hello"]);
        count_all(&mut world, &call).syscalls
    };
    // The first command also finds out what the others get.
    let per_call = |mode: &str| (counted(mode, 11) - counted(mode, 1)) / 10;
    // What the command itself needs to be found and loaded is the machine's business. Each entry of
    // the root directory costs four calls more, since devices are left out.
    let (confined, bare) = (per_call("workspace-write"), per_call("danger-full-access"));
    assert!(
        confined - bare <= 600,
        "{confined} of all processes together, {bare} when not confined"
    );
}

#[test]
fn deltas_need_hardly_any_system_calls() {
    if can_count() {
        let texts = |count| (0..count).map(|number| format!("w{} ", number % 1000));
        let deltas = |count| {
            let mut events = vec![created()];
            events.extend(texts(count).map(|text| delta(&text)));
            events.push(done(&message(&texts(count).collect::<String>())));
            events.push(completed());
            Reply::events(&events)
        };
        let (many, few) = (counted(&[deltas(10_000)]).0, counted(&[deltas(10)]).0);
        assert!((many - few) <= 10_000 / 20, "{} for 10,000 deltas", many - few);
    }
}

#[test]
fn a_short_turn_needs_little_memory() {
    let mut world = World::new();
    world.reply(Reply::message("All is well here."));
    let call = call(&world);
    let seen = run(&mut world, &call);
    assert!(seen.anonymous_kib <= 1536, "{} KiB anonymous", seen.anonymous_kib);
    // Mostly pages of the executable, of which this one has several times as many.
    assert!(seen.peak_kib <= 16 << 10, "{} KiB", seen.peak_kib);
}

#[test]
fn fifty_small_calls_send_little() {
    let mut world = World::new();
    for _ in 0..50 {
        world.reply(Reply::shell(&["echo", "hi"]));
    }
    world.reply(Reply::message("All is well here."));
    let call = call(&world);
    let seen = run(&mut world, &call);
    // Every request names the directory, whose length is the machine's business.
    let place_bytes = 51 * world.cwd.as_os_str().len() as u64;
    assert!(seen.sent_bytes <= 600_000 + place_bytes, "{} bytes", seen.sent_bytes);
}

#[test]
fn deltas_are_decoded_and_told_without_allocating() {
    let mut streaming = Streaming::new();
    let mut decoder = Decoder::new(0);
    let mut events = Events::default();
    let text: String = (0..200).map(|_| "delta ").collect();
    streaming.push(&mut events, &mut decoder, &sse(&created()));
    // What has to grow once has grown.
    streaming.push(&mut events, &mut decoder, &sse(&delta(&text)));
    let pieces: Vec<Vec<u8>> = (0..100).map(|_| sse(&delta("word "))).collect();
    let before = ALLOCATIONS.get();
    for piece in &pieces {
        streaming.push(&mut events, &mut decoder, piece);
    }
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(streaming.told, 101);
    // The text itself grows.
    assert!(allocations <= 4, "{allocations} allocations for 100 deltas");
}

#[test]
fn a_silent_stream_holds_little() {
    for (provider, bytes_max) in [(Provider::plain(), 24 << 10), (Provider::tls(), 80 << 10)] {
        let mut streams = Streams::new(provider);
        // What all share is there with the first.
        streams.begin(1);
        let before = streams.held_bytes;
        streams.begin(16);
        let each = (streams.held_bytes - before) / 16;
        assert!(each <= bytes_max, "{each} bytes");
    }
}

#[test]
fn an_idle_thread_holds_little() {
    let home = Path::new("/home/somebody/.windlass");
    let rollouts = Rollouts::new(Keeping::Home(home.to_owned()));
    let mut seam = Seam::new(1, rollouts, Front::Server(Box::default()));
    // A table that has just grown is full again here.
    const COUNT: i64 = 512;
    let before = HELD_BYTES.get();
    for number in 0..COUNT {
        start_thread(&mut seam, number);
        seam.output.stdout.clear();
    }
    let each = (HELD_BYTES.get() - before) / COUNT;
    assert_eq!(seam.server().map_or(0, |front| front.all().len()), COUNT as usize);
    assert!(each <= 1408, "{each} bytes");
}

/// Starts a thread as a client would that says nothing of it.
fn start_thread(seam: &mut Seam, request: i64) {
    let opened = Opened {
        how: How::Start,
        dialect: Dialect::Second,
        is_ephemeral: false,
        past: Past::default(),
        sources: Box::default(),
    };
    let ticket = Ticket { id: RequestId::Number(request), waits: Waits::Opened(Box::new(opened)) };
    let settings = Box::new(settings());
    if let Some(front) = seam.server() {
        front.begin(Some(ticket));
    }
    seam.feed(Input::Command { front: FrontId(0), command: Command::Start { settings } });
    let Seam { front: Front::Server(front), output, .. } = seam else { unreachable!() };
    front.end(output);
}

/// Streams of one provider, and the memory that our side of them holds.
struct Streams {
    poller: Poller,
    net: Net,
    provider: Provider,
    held_bytes: i64,
    listeners: Listeners,
}

/// What reads each stream, and the deltas it has read.
#[derive(Default)]
struct Listeners(Vec<(Events, Decoder, u32)>);

impl Caller for Listeners {
    fn body(&mut self, _owner: u64, offset_bytes: u64, out: &mut Vec<u8>) {
        let mut body = vec![b' '; REQUEST_BYTES];
        body[0] = b'{';
        body[REQUEST_BYTES - 1] = b'}';
        out.extend_from_slice(&body[offset_bytes as usize..]);
    }

    fn told(&mut self, owner: u64, event: NetEvent<'_>) {
        let (events, decoder, deltas_count) = &mut self.0[owner as usize];
        match event {
            NetEvent::Head(_) => {}
            NetEvent::Body(bytes) => {
                events.push(bytes);
                while let Some(event) = events.pull() {
                    decoder.push_event(event.unwrap().data.as_bytes(), &mut |event| {
                        *deltas_count += u32::from(matches!(event, ModelEvent::TextDelta(_)));
                    });
                }
            }
            NetEvent::End | NetEvent::Failed(_) => panic!("{event:?}"),
        }
    }
}

const REQUEST_BYTES: usize = 20_000;
const BURST: usize = 1000;

impl Streams {
    fn new(provider: Provider) -> Streams {
        let ca_file = Some(fixture("ca.pem"));
        let resolve = |_: &str| Err(std::io::Error::other("nothing is looked up"));
        Streams {
            poller: Poller::new().unwrap(),
            net: Net::new(Trust { ca_file, ..Trust::default() }, resolve),
            provider,
            held_bytes: 0,
            listeners: Listeners::default(),
        }
    }

    /// Begins so many streams, and lets each bring a burst before it falls silent.
    fn begin(&mut self, count: usize) {
        let mut events = vec![created()];
        events.extend((0..BURST).map(|number| delta(&format!("word {number} "))));
        for _ in 0..count {
            self.provider.script(Reply::events(&events).ending(End::Hung));
            let call = net::Call {
                method: Method::Post,
                url: Url::parse(&format!("{}/responses", self.provider.url())).unwrap(),
                headers: (0..12).map(|n| (format!("x-header-{n}"), "a value".into())).collect(),
                body_bytes: REQUEST_BYTES as u64,
                connect_ms: 10_000,
                idle_ms: 300_000,
            };
            let owner = self.listeners.0.len() as u64;
            let before = HELD_BYTES.get();
            self.listeners.0.push((Events::default(), Decoder::new(0), 0));
            self.net.start(&mut self.poller, 1, call, owner).unwrap();
            self.held_bytes += HELD_BYTES.get() - before;
        }
        let is_silent = |listener: &(Events, Decoder, u32)| listener.2 == BURST as u32;
        for _ in 0..10_000 {
            if self.listeners.0.iter().all(is_silent) {
                return;
            }
            self.provider.serve();
            let before = HELD_BYTES.get();
            self.poller.sleep(Some(Duration::from_millis(1))).unwrap();
            while let Some((key, readiness)) = self.poller.pop_ready() {
                self.net.on_ready(&mut self.poller, 1, key, readiness, &mut self.listeners);
            }
            self.held_bytes += HELD_BYTES.get() - before;
        }
        panic!("the streams did not come");
    }
}

/// A machine whose first request is being answered.
struct Streaming {
    agent: Agent,
    effects: Effects,
    op: OpId,
    /// Deltas that the front was told of.
    told: u32,
}

impl Streaming {
    fn new() -> Streaming {
        let thread = ThreadId { slot: 0, generation: 0 };
        let op = OpId { slot: 0, generation: 0 };
        let (agent, effects) = (Agent::new(1), Effects::default());
        let mut streaming = Streaming { agent, effects, op, told: 0 };
        streaming.command(Command::Start { settings: Box::new(settings()) });
        streaming.command(Command::Prompt { thread, parts: vec![Part::Text("hello".into())] });
        let op = streaming.op;
        streaming.feed(Input::Opened { op, facts: OpeningFacts::default() });
        streaming
    }

    fn command(&mut self, command: Command) {
        self.feed(Input::Command { front: FrontId(0), command });
    }

    fn feed(&mut self, input: Input<'_>) {
        self.agent.handle(Now { mono_ms: 1, wall_ms: 1 }, input, &mut self.effects);
        while let Some(effect) = self.effects.pull() {
            match effect {
                Effect::Open { op, .. } | Effect::Request { op, .. } => self.op = op,
                Effect::Notify { event: Event::TextDelta { .. }, .. } => self.told += 1,
                _ => {}
            }
        }
    }

    fn push(&mut self, events: &mut Events, decoder: &mut Decoder, piece: &[u8]) {
        events.push(piece);
        while let Some(event) = events.pull() {
            let op = self.op;
            decoder.push_event(event.unwrap().data.as_bytes(), &mut |event| {
                self.feed(Input::Model { op, event });
            });
        }
    }
}

fn settings() -> ThreadSettings {
    ThreadSettings { request_retries_max: 0, stream_retries_max: 0, ..samples::settings() }
}
