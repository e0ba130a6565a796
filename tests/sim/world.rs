//! The world around one machine: a virtual clock, what is under way, and one input at a time.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};

use windlass::core::Agent;
use windlass::core::effect::{Audience, Effect, Effects, Stop};
use windlass::core::input::{Input, Lost, Now};
use windlass::limits::{CALLS_PARALLEL_MAX, SESSIONS_MAX};
use windlass::words::call::{Life, Unread};
use windlass::words::command::{Command, Course, Which};
use windlass::words::event::Event;
use windlass::words::ids::{FrontId, ItemIndex, OpId, ThreadId};
use windlass::words::model::{FailureKind, ModelEvent};
use windlass::words::policy::Decision;
use windlass::words::record::Record;

use crate::chance::Chance;
use crate::children::{self, Kind, Nature, Work};
use crate::disk::Disk;
use crate::family;
use crate::flight::Flight;
use crate::provider;
use crate::watch::Watch;

/// Steps in which everything may go wrong.
const FAULTY_STEPS: u64 = 150;

/// Steps in which all must have come to rest once nothing goes wrong any more.
const QUIET_STEPS_MAX: u64 = 30_000;

/// Virtual time in which all must have come to rest: the longest command, twice.
const QUIET_MS_MAX: u64 = 2 * windlass::limits::COMMAND_TIMEOUT_MS_MAX;

/// One in so many steps is the process's last.
const CRASH_EVERY: u64 = 200;

/// Whether things may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Faulty,
    Quiet,
}

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) agent: Agent,
    flight: Flight,
    pub(crate) now: Now,
    pub(crate) mood: Mood,
    pub(crate) disk: Disk,
    pub(crate) watch: Watch,
    /// What will happen, by when and then by the order in which it was planned.
    timeline: BTreeMap<(u64, u64), Input<'static>>,
    planned_count: u64,
    works: BTreeMap<OpId, Work>,
    /// When the user next does something of their own.
    user_at_ms: u64,
    pub(crate) prompts_count: u64,
    /// Deadlines served without the clock moving.
    deadlines_in_a_row: u64,
    digest: Digest,
    steps: Steps,
    traced: bool,
}

/// What a world has come to.
pub(crate) struct Ran {
    /// What the effects hash to.
    pub(crate) digest: u64,
    pub(crate) steps: Steps,
}

/// Inputs that a machine has handled.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Steps {
    /// While everything could go wrong.
    pub(crate) faulty: u64,
    pub(crate) quiet: u64,
}

/// What became of a batch of effects.
enum Batch {
    Done,
    Failed(ThreadId, Lost),
    Crashed,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> World {
        let mut chance = Chance::new(seed);
        let (agent, flight) = Flight::begin(&mut chance);
        World {
            chance,
            agent,
            flight,
            now: Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 },
            mood: Mood::Faulty,
            disk: Disk::default(),
            watch: Watch::default(),
            timeline: BTreeMap::new(),
            planned_count: 0,
            works: BTreeMap::new(),
            user_at_ms: 0,
            prompts_count: 0,
            deadlines_in_a_row: 0,
            digest: Digest::default(),
            steps: Steps::default(),
            traced,
        }
    }

    /// Lets everything go wrong for a while, then nothing.
    pub(crate) fn run(mut self) -> Ran {
        for _ in 0..FAULTY_STEPS + self.chance.below(FAULTY_STEPS) {
            self.step();
        }
        self.mood = Mood::Quiet;
        self.disk.full = false;
        self.trace(|| "-- quiet --".into());
        // What waits behind a turn that could not be recorded is said with the next prompt.
        for _ in 0..2 {
            self.say_last_words();
            self.come_to_rest();
        }
        self.watch.assert_at_rest(&self.agent);
        for thread in self.watch.threads() {
            self.command(Command::Close { thread });
        }
        self.come_to_rest();
        assert!(self.watch.threads().is_empty(), "every thread that was closed is gone");
        self.assert_all_work_ended();
        self.flight.assert_replays();
        Ran { digest: self.digest.0.finish(), steps: self.steps }
    }

    fn come_to_rest(&mut self) {
        let start_ms = self.now.mono_ms;
        for _ in 0..QUIET_STEPS_MAX {
            if self.timeline.is_empty() && self.agent.next_deadline().is_none() {
                return;
            }
            self.step();
            assert!(self.now.mono_ms - start_ms < QUIET_MS_MAX, "a turn never ends");
        }
        panic!("the world does not come to rest");
    }

    fn assert_all_work_ended(&self) {
        for (op, work) in &self.works {
            assert!(work.taken || work.killed, "{op:?} was neither answered nor killed");
        }
    }

    fn step(&mut self) {
        if self.is_faulty() && self.chance.one_in(CRASH_EVERY) {
            self.crash();
            return;
        }
        if self.is_faulty() && self.chance.one_in(300) {
            // A machine that was asleep.
            self.advance(self.now.mono_ms + 400_000);
            self.watch.family.woke_ms = self.now.mono_ms;
        }
        if self.is_faulty() && self.chance.one_in(if self.disk.full { 15 } else { 150 }) {
            self.disk.full = !self.disk.full;
        }
        let planned = self.timeline.keys().next().map(|key| key.0);
        let deadline = self.agent.next_deadline();
        let user = self.is_faulty().then_some(self.user_at_ms);
        let due = [planned, deadline, user];
        let Some(at_ms) = due.into_iter().flatten().min() else { return };
        if at_ms > self.now.mono_ms {
            self.watch.assert_families(at_ms);
        }
        self.advance(at_ms);
        let due = due.map(|at_ms| at_ms.is_some_and(|at_ms| at_ms <= self.now.mono_ms));
        let [planned, deadline, user] = due;
        if deadline && (!planned && !user || self.chance.one_in(2)) {
            self.serve_deadline();
        } else if planned && (!user || self.chance.one_in(2)) {
            if let Some((_, input)) = self.timeline.pop_first() {
                self.feed(input);
            }
        } else if user {
            self.user_at_ms = self.now.mono_ms + self.chance.below(4_000);
            self.user_acts();
        } else {
            self.serve_deadline();
        }
    }

    fn advance(&mut self, at_ms: u64) {
        let moved_ms = at_ms.saturating_sub(self.now.mono_ms);
        if moved_ms > 0 {
            self.now.mono_ms += moved_ms;
            self.now.wall_ms += moved_ms;
            self.deadlines_in_a_row = 0;
        }
    }

    fn serve_deadline(&mut self) {
        self.deadlines_in_a_row += 1;
        assert!(self.deadlines_in_a_row < 100, "a deadline stays in the past");
        self.feed(Input::Deadline);
    }

    pub(crate) fn is_faulty(&self) -> bool {
        self.mood == Mood::Faulty
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.feed(Input::Command { front: FrontId(0), command });
    }

    pub(crate) fn plan(&mut self, delay_ms: u64, input: Input<'static>) {
        self.planned_count += 1;
        let at_ms = self.now.mono_ms.saturating_add(delay_ms);
        self.timeline.insert((at_ms, self.planned_count), input);
    }

    /// Lets the machine take the input and does what it says about it.
    fn feed(&mut self, input: Input<'static>) {
        self.trace(|| format!("<- {input:?}"));
        match self.mood {
            Mood::Faulty => self.steps.faulty += 1,
            Mood::Quiet => self.steps.quiet += 1,
        }
        let op = op_of(&input);
        let input = self.copied(input);
        let ends = is_end(&input);
        if let Some(op) = op.filter(|_| ends) {
            self.assert_frozen(op);
        }
        let fatal = fatal_failure(&input);
        let whole = matches!(input, Input::Model { event: ModelEvent::Completed { .. }, .. });
        let answer = op.and_then(|op| self.agent.request_view(op));
        let answer = answer.is_some_and(|view| !provider::sums_up(&view));
        let late_count = self.agent.late_count();
        self.watch.now_ms = self.now.mono_ms;
        self.watch.begin(&self.agent, &self.disk, &input);
        let mut effects = Effects::default();
        self.flight.handle(&mut self.agent, self.now, input, &mut effects);
        self.agent.check();
        if let Some(op) = op {
            let late = self.agent.late_count() > late_count;
            assert!(!late || effects.is_empty(), "a late answer has no effects");
            if let Some(work) = self.works.get_mut(&op) {
                assert!(late || !work.taken, "work is answered once");
                work.taken |= ends && !late;
                work.alive &= !ends;
            }
            let thread = self.works.get(&op).map(|work| work.thread);
            if let Some(thread) = thread.filter(|_| !late) {
                match fatal {
                    Some(FailureKind::ContextFull) => self.watch.exceeded(thread),
                    Some(kind) => self.watch.expect_failure(thread, kind),
                    None if whole => self.watch.completed(thread, answer),
                    None => {}
                }
            }
        }
        match self.drain(effects) {
            Batch::Done => self.watch.end(&self.agent, &self.disk),
            Batch::Crashed => self.crash(),
            Batch::Failed(thread, lost) => {
                self.watch.fail(&self.agent, thread);
                let message = "no space left on device".into();
                self.feed(Input::AppendFailed { thread, lost, message });
            }
        }
    }

    /// Performs effects in order, up to the first that fails.
    fn drain(&mut self, mut effects: Effects) -> Batch {
        while let Some(effect) = effects.pull() {
            // Written straight into the digest: hashing a string cannot fail.
            let _ = write!(self.digest, "{effect:?}");
            if self.is_faulty() && self.chance.one_in(2_000) {
                self.trace(|| format!("-- crash before {effect:?} --"));
                return Batch::Crashed;
            }
            if let Effect::Append { thread, record } = &effect {
                if self.append(*thread, record) {
                    continue;
                }
                let mut lost = Lost::default();
                lose(&mut lost, record);
                while let Some(effect) = effects.pull() {
                    if let Effect::Append { record, .. } = effect {
                        lose(&mut lost, &record);
                    }
                }
                return Batch::Failed(*thread, lost);
            }
            self.trace(|| format!("   -> {effect:?}"));
            self.watch.effect(&self.agent, &self.disk, &effect);
            self.perform(effect);
        }
        Batch::Done
    }

    /// The past of a fork is where it belongs before it is told of its place, or it is not told.
    fn copied(&mut self, input: Input<'static>) -> Input<'static> {
        let Input::Opened { op, .. } = input else { return input };
        let work = self.works.get(&op).filter(|work| work.alive && !work.stopped);
        let fork = work.and_then(|work| self.agent.conversation(work.thread));
        let fails = self.is_faulty() && self.chance.one_in(20);
        match fork {
            Some(fork) if fails || !self.disk.copy(fork) => {
                Input::Unopened { op, why: "no space left on device".into() }
            }
            Some(_) | None => input,
        }
    }

    fn append(&mut self, thread: ThreadId, record: &Record) -> bool {
        let view = self.agent.record_view(thread);
        let Some(view) = view else { panic!("a record of a thread that is gone: {record:?}") };
        let fails = self.is_faulty() && self.chance.one_in(500);
        let done = !fails && self.disk.append(record, view);
        self.trace(|| format!("   -> {record:?}{}", if done { "" } else { " fails" }));
        if done {
            self.watch.recorded(thread, record);
        }
        done
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Append { .. } => unreachable!("appended in `drain`"),
            Effect::Open { op, thread } => self.start(op, thread, Kind::Open),
            Effect::Restore { op, thread, which, course } => {
                if let (Course::Fork, Which::Id(source)) = (course, &which)
                    && let Some(fork) = self.agent.conversation(thread)
                {
                    self.disk.fork(fork, *source);
                }
                self.restore(op, &which);
            }
            Effect::Request { op, thread } => self.request(op, thread),
            Effect::Spawn { op, thread, command, .. } => {
                let kind = match command.life {
                    Life::Call { .. } => Kind::Command,
                    Life::Session { .. } => Kind::Session,
                };
                self.start(op, thread, kind);
            }
            Effect::Write { op, .. } => self.write(op),
            Effect::Collect { op, .. } => self.collect(op),
            Effect::Look { op, thread, .. } => self.start(op, thread, Kind::Look),
            Effect::Inspect { op, thread, .. } => self.start(op, thread, Kind::Inspect),
            Effect::Apply { op, thread, .. } => self.start(op, thread, Kind::Apply),
            Effect::Stop { op, how } => self.stop(op, how),
            Effect::Release { .. } => {}
            Effect::Notify { to: Audience::Thread(thread), event } => self.hear(thread, &event),
            Effect::Notify { to: Audience::Child { parent, .. }, event } => {
                self.hear(parent, &event);
            }
            Effect::Notify { to: Audience::Front(_), .. } => {}
        }
    }

    fn put_work(&mut self, op: OpId, thread: ThreadId, kind: Kind) {
        let nature = if self.is_faulty() { Nature::any(&mut self.chance) } else { Nature::Meek };
        let work = Work {
            thread,
            kind,
            alive: true,
            taken: false,
            stopped: false,
            collected: false,
            killed: false,
            nature,
        };
        assert!(self.works.insert(op, work).is_none(), "an id is given once: {op:?}");
        let of_thread = |work: &&Work| work.thread == thread && !work.taken && !work.killed;
        let running = self.works.values().filter(of_thread).count();
        assert!(running <= CALLS_PARALLEL_MAX + SESSIONS_MAX, "too much runs at once");
    }

    fn start(&mut self, op: OpId, thread: ThreadId, kind: Kind) {
        let lasts = matches!(kind, Kind::Session);
        let never_in = if lasts { 2 } else { 5 };
        let never = self.is_faulty() && !matches!(kind, Kind::Open) && self.chance.one_in(never_in);
        if !never {
            let answer = children::answer(op, &kind, &mut self.chance);
            if self.is_faulty() && self.chance.one_in(20) {
                self.plan(20_000, answer.clone());
            }
            let delay_ms = self.chance.delay_ms() * if lasts { 10 } else { 1 };
            self.plan(delay_ms, answer);
        }
        self.put_work(op, thread, kind);
    }

    /// A session is written to; it may be gone, or refuse, at once or late.
    fn write(&mut self, op: OpId) {
        let refuses = self.is_faulty() && self.chance.one_in(4);
        if refuses && self.works.contains_key(&op) {
            let delay_ms = self.chance.delay_ms();
            self.plan(delay_ms, Input::Unwritten { op, why: "it does not read".into() });
        }
    }

    /// A session is asked what it has printed: it may say so late, twice or never.
    fn collect(&mut self, op: OpId) {
        let Some(work) = self.works.get_mut(&op) else { panic!("there is no session {op:?}") };
        assert!(matches!(work.kind, Kind::Session), "only sessions are asked what they printed");
        work.collected = true;
        let times = if self.is_faulty() { self.chance.pick(&[0, 1, 1, 1, 1, 2]) } else { 1 };
        for _ in 0..times {
            let late = self.is_faulty() && self.chance.one_in(4);
            let delay_ms = if late { self.chance.delay_ms() } else { 0 };
            let unread: Unread = children::unread(&mut self.chance);
            self.plan(delay_ms, Input::Yielded { op, unread });
        }
    }

    fn restore(&mut self, op: OpId, which: &Which) {
        let Which::Id(conversation) = which else { panic!("nobody asked for {which:?}") };
        let restored = self.disk.fold(*conversation).map(Box::new);
        let result = match restored {
            Some(restored) if !self.is_faulty() || !self.chance.one_in(10) => Ok(restored),
            _ => Err("cannot be read".into()),
        };
        let delay_ms = self.chance.delay_ms();
        self.plan(delay_ms, Input::Restored { op, result });
        // Whose it is shows once it is answered.
        self.put_work(op, ThreadId { slot: u16::MAX, generation: op.generation }, Kind::Restore);
    }

    fn request(&mut self, op: OpId, thread: ThreadId) {
        let view = self.agent.request_view(op);
        let Some(view) = view else { panic!("a request without a view: {op:?}") };
        provider::validate(&view);
        let items = view.items.to_vec();
        let too_large_in = if provider::sums_up(&view) { 3 } else { 12 };
        let assesses = provider::assesses(&view);
        let script = match self.mood {
            Mood::Faulty if assesses && self.chance.one_in(2) => {
                family::assessment(&mut self.chance)
            }
            Mood::Quiet if assesses => family::assessment(&mut self.chance),
            Mood::Faulty if self.chance.one_in(too_large_in) => {
                provider::too_large(&mut self.chance)
            }
            Mood::Faulty => provider::hostile(&mut self.chance),
            Mood::Quiet => {
                let may_call = self.chance.one_in(2);
                provider::plain(&mut self.chance, may_call)
            }
        };
        self.put_work(op, thread, Kind::Request(items));
        let mut delay_ms = 0;
        for (after_ms, event) in script {
            delay_ms += after_ms;
            self.plan(delay_ms, Input::Model { op, event });
        }
    }

    fn stop(&mut self, op: OpId, how: Stop) {
        let work = self.works.get_mut(&op);
        let Some(work) = work.filter(|work| work.alive) else {
            self.plan(0, Input::Stopped { op });
            return;
        };
        work.stopped = true;
        work.killed |= how == Stop::Kill;
        let ends = work.nature.ends_after(how, &mut self.chance);
        let Some(delay_ms) = ends else { return };
        let words = children::last_words(op, &work.kind, &mut self.chance);
        // Now and then what it would have said anyway comes as well.
        if !self.is_faulty() || !self.chance.one_in(10) {
            self.timeline.retain(|_, planned| op_of(planned) != Some(op));
        }
        self.plan(delay_ms, words);
    }

    /// What a person does about what they are told.
    fn hear(&mut self, thread: ThreadId, event: &Event) {
        if matches!(event, Event::TurnStopping { .. }) {
            let mut works = self.works.values().filter(|work| work.thread == thread);
            let all = works.all(|work| work.stopped || work.collected || !work.alive);
            assert!(all, "all that runs is stopped when a turn is");
        }
        let Event::ApprovalAsked { call, .. } = event else { return };
        let times = match self.mood {
            Mood::Quiet => 1,
            Mood::Faulty => self.chance.pick(&[0, 0, 1, 1, 1, 1, 2]),
        };
        for _ in 0..times {
            let decision = self.chance.pick(&[
                Decision::Approved,
                Decision::Approved,
                Decision::ApprovedForSession,
                Decision::Denied,
                Decision::Abort,
            ]);
            let delay_ms = self.chance.delay_ms();
            let command = Command::Answer { thread, call: *call, decision };
            self.plan(delay_ms, Input::Command { front: FrontId(0), command });
        }
    }

    /// The process dies and starts again: what is not on the disk is gone.
    fn crash(&mut self) {
        self.trace(|| "-- crash --".into());
        self.flight.assert_replays();
        (self.agent, self.flight) = Flight::begin(&mut self.chance);
        self.timeline.clear();
        self.works.clear();
        self.watch = Watch::default();
        for conversation in self.disk.conversations() {
            // A crash while resuming has resumed some already.
            if !self.watch.is_loaded(conversation) && !self.chance.one_in(4) {
                self.resume(conversation);
            }
        }
    }

    /// A request sees the same history for as long as it goes on.
    fn assert_frozen(&self, op: OpId) {
        let Some(Work { kind: Kind::Request(items), .. }) = self.works.get(&op) else { return };
        if let Some(view) = self.agent.request_view(op) {
            assert_eq!(view.items, items, "a history is frozen while the model is awaited");
        }
    }

    fn trace(&self, text: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>9} {}", self.now.mono_ms, text());
        }
    }
}

fn lose(lost: &mut Lost, record: &Record) {
    match record {
        Record::Meta => lost.meta = true,
        Record::TurnStarted { .. } => lost.beginning = true,
        Record::TurnEnded { .. } | Record::TurnAborted { .. } => lost.end = true,
        Record::Compacted { .. } => lost.compacted = true,
        Record::Item(index) => {
            let first = lost.items_from.map_or(*index, |from: ItemIndex| from.min(*index));
            lost.items_from = Some(first);
        }
        _ => {}
    }
}

fn op_of(input: &Input<'_>) -> Option<OpId> {
    match input {
        Input::Opened { op, .. }
        | Input::Unopened { op, .. }
        | Input::Restored { op, .. }
        | Input::Model { op, .. }
        | Input::Exited { op, .. }
        | Input::Yielded { op, .. }
        | Input::Unwritten { op, .. }
        | Input::SessionEnded { op, .. }
        | Input::Looked { op, .. }
        | Input::Inspected { op, .. }
        | Input::Applied { op, .. }
        | Input::Stopped { op } => Some(*op),
        Input::Command { .. } | Input::AppendFailed { .. } | Input::Deadline => None,
    }
}

fn is_end(input: &Input<'_>) -> bool {
    match input {
        Input::Model { event, .. } => {
            matches!(event, ModelEvent::Completed { .. } | ModelEvent::Failed(_))
        }
        Input::Yielded { .. } | Input::Unwritten { .. } => false,
        _ => op_of(input).is_some(),
    }
}

/// The kind of a failure after which the same is not tried again.
fn fatal_failure(input: &Input<'_>) -> Option<FailureKind> {
    use FailureKind as Kind;
    let Input::Model { event: ModelEvent::Failed(failure), .. } = input else { return None };
    match failure.kind {
        Kind::ContextFull
        | Kind::Limit
        | Kind::Refused
        | Kind::Overloaded
        | Kind::Credentials
        | Kind::Setup => Some(failure.kind),
        Kind::Server | Kind::RateLimited | Kind::Unreachable | Kind::Stream => None,
    }
}

/// A hash of everything that was asked for.
#[derive(Default)]
struct Digest(DefaultHasher);

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
