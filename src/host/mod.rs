//! The only room that touches the system: it turns readiness into inputs and effects into deeds.
//!
//! [`Host`] owns everything. One revolution of its loop: work off deeds, write what can be written,
//! sleep, serve what is ready under byte budgets, tell the machine of deadlines.

pub mod album;
pub mod app_server;
pub mod clock;
pub mod confined;
pub mod demo;
pub mod disk;
pub mod doctor;
pub mod environment;
pub mod exec;
pub mod features;
pub mod files;
pub mod forking;
pub mod git;
pub mod holders;
pub mod images;
pub mod journal;
pub mod last_message;
pub mod loading;
pub mod net;
pub mod notify;
pub mod out;
pub mod perform;
pub mod playing;
pub mod poller;
pub mod proc;
pub mod prompting;
pub mod recall;
pub mod recorder;
pub mod responses;
pub mod rollouts;
pub mod routes;
pub mod schemas;
pub mod seam;
pub mod sessions;
pub mod signals;
pub mod status;
pub mod stdin;
pub mod stdio;
#[cfg(all(target_env = "musl", panic = "abort", not(debug_assertions)))]
mod unwinding;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::core::input::Input;
use crate::fronts::visible;
use crate::host::app_server::serving::Server;
use crate::host::forking::Forking;
use crate::host::loading::Loading;
use crate::host::net::Net;
use crate::host::playing::Recorded;
use crate::host::poller::{Key, Kind, Poller, Readiness};
use crate::host::proc::Children;
use crate::host::proc::launch::Starter;
use crate::host::prompting::Prompting;
use crate::host::recorder::Recording;
use crate::host::responses::{Ear, Responses};
use crate::host::routes::Routes;
use crate::host::seam::Seam;
use crate::host::signals::{Signal, Signals};
use crate::host::stdio::{Drained, Flush, Loss, Outlet, Pressure, Watch};
use crate::limits::{DRAIN_QUIET_MS, END_ALL_MS, OUTPUT_BUDGET_BYTES, REAP_PAUSE_MS};
use crate::wire::replay;
use crate::words::command::Command;
use crate::words::ids::{FrontId, OpId};

/// The front of a process that runs one.
pub const FRONT: FrontId = FrontId(0);

const STDOUT: usize = 0;
const STDERR: usize = 1;

/// Everything that runs.
#[derive(Debug)]
pub struct Host {
    poller: Poller,
    seam: Seam,
    net: Net,
    responses: Responses,
    children: Children,
    starter: Starter,
    loading: Vec<Loading>,
    forking: Vec<Forking>,
    routes: Routes,
    recorded: Option<Recorded>,
    playing: Vec<(OpId, replay::Playing)>,
    recording: Option<Recording>,
    home: Option<PathBuf>,
    user_agent: String,
    signals: Signals,
    outlets: [Outlet; 2],
    prompting: Prompting,
    notify: Option<notify::Program>,
    /// What the app server needs, if that is the front.
    server: Option<Box<Server>>,
    /// The signal that asked us to stop, and how often.
    stop: Option<(Signal, u32)>,
    is_held: bool,
    /// The exit code, once stdout takes nothing more.
    without_stdout: Option<u8>,
}

/// What a host is made of, beyond what it makes itself.
#[derive(Debug)]
pub struct Parts {
    pub seam: Seam,
    pub net: Net,
    pub starter: Starter,
    pub routes: Routes,
    pub recorded: Option<Recorded>,
    pub recording: Option<Recording>,
    pub home: Option<PathBuf>,
    pub user_agent: String,
    pub prompting: Prompting,
    pub notify: Option<notify::Program>,
}

impl Host {
    pub fn new(parts: Parts) -> io::Result<Host> {
        let poller = Poller::new()?;
        let signals = Signals::open()?;
        signals.register(poller.registry(), Key::new(Kind::Signals, 0, 0).token())?;
        // SAFETY: descriptors 1 and 2 are open: the program's first act is to see to that.
        let (stdout, stderr) = unsafe { (BorrowedFd::borrow_raw(1), BorrowedFd::borrow_raw(2)) };
        let outlets = [Outlet::open(stdout)?, Outlet::open(stderr)?];
        Ok(Host {
            poller,
            seam: parts.seam,
            net: parts.net,
            responses: Responses::default(),
            children: Children::default(),
            starter: parts.starter,
            loading: Vec::new(),
            forking: Vec::new(),
            routes: parts.routes,
            recorded: parts.recorded,
            playing: Vec::new(),
            recording: parts.recording,
            home: parts.home,
            user_agent: parts.user_agent,
            signals,
            outlets,
            prompting: parts.prompting,
            notify: parts.notify,
            server: None,
            stop: None,
            is_held: false,
            without_stdout: None,
        })
    }

    /// Runs until the front has finished; gives the exit code.
    pub fn run(&mut self) -> io::Result<u8> {
        if self.server.is_some() {
            self.begin_serving()?;
        } else {
            self.begin_prompting()?;
        }
        loop {
            self.step();
            self.flush();
            if self.is_done() {
                break;
            }
            self.poller.sleep(self.timeout())?;
            for _ in 0..self.poller.ready_count() {
                let Some((key, readiness)) = self.poller.pop_ready() else { break };
                self.serve(key, readiness);
            }
            self.on_deadlines();
        }
        Ok(self.finish())
    }

    /// Everything that needs no event.
    fn step(&mut self) {
        self.work();
        for loading in std::mem::take(&mut self.loading) {
            self.loading.extend(loading.step(&mut self.seam));
        }
        for forking in std::mem::take(&mut self.forking) {
            self.forking.extend(forking.step(&mut self.seam));
        }
        self.play_on();
        self.search_on();
        self.shelve_on();
        self.diff_on();
        self.prompt_thread();
        self.leave();
        self.close_threads();
        self.work();
        self.serve_asks();
        self.work();
        self.children.reap();
        self.notify();
        self.tell_losses();
    }

    /// Says that images are gone which somebody took out of a rollout.
    fn tell_losses(&mut self) {
        let count = self.seam.rollouts.album.take_losses();
        if count > 0 {
            let line = format!(
                "warning: the record of this session was changed by another program: {count} of \
                 its images cannot be read back, and the model is told so\n"
            );
            self.seam.output.stderr.extend_from_slice(line.as_bytes());
        }
    }

    /// Tells the user's program of turns that have completed.
    fn notify(&mut self) {
        for argument in std::mem::take(&mut self.seam.completed) {
            let Some(program) = &mut self.notify else { continue };
            if let Err(why) = program.start(argument) {
                let line = format!("warning: {}\n", visible::line(&why));
                self.seam.output.stderr.extend_from_slice(line.as_bytes());
            }
        }
    }

    /// Closes the thread once the front has nothing to wait for but the end of its sessions.
    fn leave(&mut self) {
        if let Some(thread) = self.seam.thread
            && self.seam.front.takes_leave()
        {
            self.seam.feed(Input::Command { front: FRONT, command: Command::Close { thread } });
        }
    }

    fn is_done(&self) -> bool {
        let over = self.seam.front.is_finished() || self.without_prompt().is_some();
        (over || self.is_served()) && self.seam.deeds.is_empty()
    }

    /// How long to sleep: not at all while there is something to do.
    fn timeout(&self) -> Option<Duration> {
        let searches = self.server.as_ref().is_some_and(|server| server.waiting.is_searching());
        if (searches || self.seam.diffs.is_due()) && !self.is_held
            || !self.playing.is_empty()
            || !self.loading.is_empty()
            || !self.forking.is_empty()
            || !self.seam.deeds.is_empty()
        {
            return Some(Duration::ZERO);
        }
        let now_ms = clock::mono_ms();
        let reap_ms = self.children.is_reaping().then_some(now_ms + REAP_PAUSE_MS);
        let deadlines = [
            self.seam.agent.next_deadline(),
            self.net.next_deadline(now_ms),
            self.children.next_deadline(),
            self.prompting.next_deadline(),
            self.errand_deadline(),
            self.status_deadline(now_ms),
            reap_ms,
        ];
        let first_ms = deadlines.into_iter().flatten().min()?;
        Some(Duration::from_millis(first_ms.saturating_sub(now_ms)))
    }

    fn serve(&mut self, key: Key, readiness: Readiness) {
        match key.kind() {
            Kind::Signals => self.on_signals(),
            Kind::Stdin if self.server.is_some() => self.on_client(),
            Kind::Stdin => self.on_stdin(),
            // Written to at the end of the revolution.
            Kind::Stdout | Kind::Stderr => {}
            Kind::Exchange | Kind::Resolver => {
                let mut ear = Ear {
                    responses: &mut self.responses,
                    routes: &mut self.routes,
                    seam: &mut self.seam,
                    recording: &mut self.recording,
                };
                let now_ms = clock::mono_ms();
                self.net.on_ready(&mut self.poller, now_ms, key, readiness, &mut ear);
                self.work();
            }
            // Programs of clients: the app server's.
            Kind::ProgramStatus
            | Kind::ProgramStdout
            | Kind::ProgramStderr
            | Kind::ProgramInput => self.on_program(key),
            Kind::CommandStatus | Kind::CommandOutput | Kind::CommandInput => {
                let now_ms = clock::mono_ms();
                self.children.on_ready(&mut self.poller, key, now_ms);
                if self.server.is_some() {
                    self.tell_printed(key);
                }
                let ended = self.children.take_ended(key, now_ms);
                if let Some(line) = self.children.take_news() {
                    self.seam.output.stderr.extend_from_slice(format!("{line}\n").as_bytes());
                }
                if let Some((op, purpose, end)) = ended {
                    self.child_ended(op, purpose, end);
                    self.work();
                }
            }
        }
    }

    fn on_deadlines(&mut self) {
        let now_ms = clock::mono_ms();
        while self.seam.agent.next_deadline().is_some_and(|at_ms| at_ms <= now_ms) {
            self.seam.feed(Input::Deadline);
            self.work();
        }
        if self.net.next_deadline(now_ms).is_some_and(|at_ms| at_ms <= now_ms) {
            let mut ear = Ear {
                responses: &mut self.responses,
                routes: &mut self.routes,
                seam: &mut self.seam,
                recording: &mut self.recording,
            };
            self.net.on_deadline(&mut self.poller, now_ms, &mut ear);
        }
        while let Some((op, purpose, end)) = self.children.on_deadline(now_ms) {
            self.child_ended(op, purpose, end);
        }
        self.on_prompting_deadline(now_ms);
        if self.errand_deadline().is_some_and(|at_ms| at_ms <= now_ms) {
            self.on_errand_deadline();
        }
    }

    fn on_signals(&mut self) {
        while let Some(signal) = self.signals.pull() {
            match signal {
                Signal::Suspend => {
                    self.erase_status();
                    self.signals.suspend();
                }
                Signal::ChildEnded => {
                    if let Some(program) = &mut self.notify {
                        program.reap();
                    }
                    if std::process::id() == 1 {
                        self.children.reap_as_init();
                    } else {
                        self.children.reap();
                    }
                }
                Signal::Interrupt | Signal::Terminate | Signal::HangUp => self.on_stop(signal),
            }
        }
        self.work();
    }

    /// The first request to stop lets the turn end properly; the second one stops at once.
    fn on_stop(&mut self, signal: Signal) {
        let count = self.stop.map_or(0, |(_, count)| count) + 1;
        self.stop = Some((signal, count));
        if self.stop_serving(count == 1) {
            return;
        }
        let Some(thread) = self.seam.thread else {
            return self.fail_prompting("interrupted before the turn began");
        };
        let times = if count == 1 { 1 } else { 2 };
        for _ in 0..times {
            if !self.seam.front.is_finished() {
                let command = Command::Interrupt { thread };
                self.seam.feed(Input::Command { front: FRONT, command });
            }
        }
    }

    /// Hands the front's output to the outlets, and the outlets' to the outside.
    fn flush(&mut self) {
        for index in [STDOUT, STDERR] {
            self.make_way(index);
            let output = &mut self.seam.output;
            let buffer = if index == STDOUT { &mut output.stdout } else { &mut output.stderr };
            let outlet = &mut self.outlets[index];
            if !buffer.is_empty() {
                outlet.take(buffer);
            }
            if outlet.waiting_bytes() > 0 && outlet.flush(OUTPUT_BUDGET_BYTES) != Flush::Empty {
                self.watch_outlet(index);
            }
            if let Some(loss) = self.outlets[index].take_loss() {
                self.on_loss(index, loss);
            }
        }
        self.paint_status();
        let hold = self.outlets.iter().any(|outlet| outlet.pressure() == Pressure::Hold);
        if hold != self.is_held {
            self.is_held = hold;
            let now_ms = clock::mono_ms();
            for exchange in self.responses.exchanges() {
                if hold {
                    self.net.pause(exchange);
                } else {
                    self.net.resume(&mut self.poller, now_ms, exchange);
                }
            }
            self.hold_errands(hold);
            if !hold && self.server.is_some() {
                self.children.hear_again(&mut self.poller);
                self.poller.mark_ready(Key::new(Kind::Stdin, 0, 0));
            }
        }
    }

    /// Asks to be told when the outlet takes more.
    fn watch_outlet(&mut self, index: usize) {
        let kind = if index == STDOUT { Kind::Stdout } else { Kind::Stderr };
        let key = Key::new(kind, 0, 0);
        let outlet = &self.outlets[index];
        outlet.deregister(self.poller.registry());
        match outlet.register(self.poller.registry(), key.token()) {
            Ok(Watch::Events) => {}
            // What cannot be watched takes everything, sooner or later: ask again at once.
            Ok(Watch::AlwaysReady) | Err(_) => self.poller.mark_ready(key),
        }
    }

    /// A reader of ours is gone. Without one of stdout a program has no use for the turn.
    fn on_loss(&mut self, index: usize, loss: Loss) {
        if index == STDERR {
            self.seam.status = None;
            return;
        }
        let (code, text) = match loss {
            Loss::ReaderLeft => (128 + libc::SIGPIPE as u8, None),
            Loss::TooSlow => (1, Some("stdout: its reader leaves too much lying".to_string())),
            Loss::Failed(error) => (1, Some(format!("stdout: {error}"))),
        };
        self.without_stdout = Some(code);
        if let Some(text) = text {
            let line = format!("windlass: {text}\n");
            self.seam.output.stderr.extend_from_slice(line.as_bytes());
        }
        self.stop_serving(true);
        if let Some(thread) = self.seam.thread
            && !self.seam.front.is_finished()
        {
            self.seam.feed(Input::Command { front: FRONT, command: Command::Interrupt { thread } });
        }
    }

    /// Ends what still runs, writes what is still to be written, and says how it went.
    fn finish(&mut self) -> u8 {
        if let Some(thread) = self.seam.thread {
            self.seam.feed(Input::Command { front: FRONT, command: Command::Close { thread } });
            self.work();
        }
        self.close_threads();
        self.erase_status();
        self.seam.status = None;
        let began_ms = clock::mono_ms();
        self.children.end_all(|| {
            clock::pause_ms(1);
            clock::mono_ms() - began_ms < END_ALL_MS
        });
        self.flush();
        let drained = stdio::drain(&mut self.outlets, DRAIN_QUIET_MS, &mut self.signals);
        // Tells what was lost on the way.
        self.flush();
        if let Drained::Stopped(signal) = drained {
            self.stop.get_or_insert((signal, 1));
        }
        let is_unshown = self.outlets[STDOUT].waiting_bytes() > 0;
        if let Some(code) = self.without_stdout {
            return code;
        }
        match self.stop {
            Some((Signal::Terminate, _)) => 128 + libc::SIGTERM as u8,
            Some((Signal::HangUp, _)) => 128 + libc::SIGHUP as u8,
            Some((Signal::Interrupt | Signal::ChildEnded | Signal::Suspend, _)) => {
                128 + libc::SIGINT as u8
            }
            None if is_unshown => 1,
            None => self.without_prompt().unwrap_or(self.seam.front.exit_code()),
        }
    }
}
