//! The loop's part of `app-server`: lines come in, requests go where they are answered.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::config::args::{Invocation, Override};
use crate::config::credentials::{self, KeyFromEnv};
use crate::config::features;
use crate::config::settings::Resolved;
use crate::core::input::Input;
use crate::fronts::app_server::AppServer;
use crate::fronts::app_server::ask::{Ask, Ticket};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::v1::RequestId;
use crate::fronts::visible;
use crate::host::app_server::answers::Waiting;
use crate::host::app_server::client::Client;
use crate::host::app_server::inlet::{Inlet, Progress, Unread};
use crate::host::disk::config::{self, Loaded};
use crate::host::exec::{self, say};
use crate::host::net::Net;
use crate::host::poller::{Key, Kind};
use crate::host::prompting::Prompting;
use crate::host::rollouts::{Keeping, Rollouts};
use crate::host::routes::{self, Routes};
use crate::host::seam::{Front, Seam};
use crate::host::stdio::Watch;
use crate::host::{FRONT, Host, Parts, clock, environment, journal};
use crate::limits::{CLIENT_LINE_BYTES_MAX, CLIENT_LINES_PER_TURN};
use crate::wire::proxy::Proxies;
use crate::words::command::Command;
use crate::words::ids::ThreadId;
use crate::words::settings::ThreadSettings;

/// What the host keeps for the front.
#[derive(Debug)]
pub struct Server {
    /// How the server itself was called: what threads run with unless they say otherwise.
    pub(super) base: Invocation,
    inlet: Inlet,
    stage: Stage,
    pub(super) client: Option<Client>,
    pub(crate) waiting: Waiting,
}

/// How far the server is from its end.
#[derive(Debug)]
enum Stage {
    Open,
    /// The client has said all it will, and these threads were told to close.
    Closing(BTreeSet<ThreadId>),
    /// What still runs is no longer waited for.
    GivenUp,
}

const STDIN: Key = Key::new(Kind::Stdin, 0, 0);

/// Serves a client on stdin and stdout to its end, and gives the exit code.
pub fn serve(invocation: &Invocation, exe: PathBuf) -> u8 {
    let env = |name: &str| std::env::var(name).ok();
    // Threads work elsewhere, and say where.
    let mut invocation = Invocation { skip_git_repo_check: true, ..invocation.clone() };
    pass_over_features(&mut invocation);
    let invocation = &invocation;
    let loaded = match config::load(invocation, &env) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error.to_string()),
    };
    for notice in loaded.home.hint.iter().chain(&loaded.resolved.notices) {
        say(&visible::line(notice));
    }
    match run(invocation, loaded, exe) {
        Ok(code) => code,
        Err(message) => fail(&message),
    }
}

/// Clients name the features of the program they were made for; those that are not here are named
/// and left out, since nobody stands by to call again.
fn pass_over_features(invocation: &mut Invocation) {
    if invocation.strict_config {
        return;
    }
    invocation.overrides.retain(|given| match given {
        Override::Feature { name, .. } if !features::NAMES.contains(&&**name) => {
            let short: String = name.chars().take(40).collect();
            say(&format!("there is no feature {short:?} here; going on without it"));
            false
        }
        Override::Feature { .. } | Override::Pair(_) => true,
    });
}

fn fail(message: &str) -> u8 {
    say(&format!("error: {message}"));
    1
}

fn run(invocation: &Invocation, loaded: Loaded, exe: PathBuf) -> Result<u8, String> {
    let Loaded { home, resolved, .. } = loaded;
    let Resolved { provider, shell_environment, options, .. } = resolved;
    let env = |name: &str| std::env::var(name).ok();
    let stored = exec::stored(&home, &provider)?;
    let credentials = credentials::resolve(&provider, &env, KeyFromEnv::Honoured, stored.as_ref());
    let recorded = exec::recorded(&provider, None)?;
    let kept = home.path.clone().filter(|_| !options.ephemeral);
    let keeping = kept.map_or(Keeping::Nothing, Keeping::Home);
    let front = Front::Server(Box::default());
    let seed = u64::from_le_bytes(clock::random().map_err(|error| error.to_string())?);
    let secrets = routes::secrets(&provider, credentials.as_ref().ok());
    let journal = invocation.journal.as_deref();
    let journal = journal.map(|path| journal::begin(path, seed, &secrets)).transpose()?;
    let nofile = environment::raise_open_files();
    let starter = exec::starter(exe, nofile, home.path.as_deref(), &shell_environment, &provider)?;
    exec::warn_of_no_sandbox(resolved.settings.sandbox.mode);
    let ThreadSettings { cwd, sandbox, originator, .. } = resolved.settings;
    let user_agent = environment::user_agent(&originator, exec::VERSION);
    let failed = |error: io::Error| format!("cannot set up the loop: {error}");
    let mut host = Host::new(Parts {
        seam: Seam::new(seed, Rollouts::new(keeping), front),
        net: Net::new(exec::trust(), environment::spawn_resolver)
            .behind(Proxies::of_environment(&env)),
        starter,
        routes: Routes::one(provider, credentials),
        recorded,
        recording: None,
        home: home.path,
        user_agent,
        prompting: Prompting::none(),
        notify: None,
    })
    .map_err(failed)?;
    host.seam.journal = journal;
    // SAFETY: descriptor 0 is open: the program's first act is to see to that.
    let stdin = unsafe { BorrowedFd::borrow_raw(0) };
    let inlet = Inlet::open(stdin).map_err(failed)?;
    host.server = Some(Box::new(Server {
        base: invocation.clone(),
        inlet,
        stage: Stage::Open,
        client: None,
        waiting: Waiting::new(&cwd, &sandbox),
    }));
    host.run().map_err(|error| format!("the loop failed: {error}"))
}

impl Host {
    pub(crate) fn begin_serving(&mut self) -> io::Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        match server.inlet.register(self.poller.registry(), STDIN.token())? {
            Watch::Events | Watch::AlwaysReady => self.poller.mark_ready(STDIN),
        }
        Ok(())
    }

    /// Whether the client has said all it will, all of it was heard, and no thread is left.
    pub(crate) fn is_served(&self) -> bool {
        match self.server.as_ref().map(|server| &server.stage) {
            None | Some(Stage::Open) => false,
            Some(Stage::Closing(_)) => self.seam.is_deserted(),
            Some(Stage::GivenUp) => true,
        }
    }

    /// A server is to stop: the first time as when the client leaves, the second time at once.
    /// Returns whether this is a server.
    pub(crate) fn stop_serving(&mut self, is_first: bool) -> bool {
        let Some(server) = &mut self.server else { return false };
        if matches!(server.stage, Stage::Open) {
            server.inlet.deregister(self.poller.registry());
            server.stage = Stage::Closing(BTreeSet::new());
        }
        if !is_first {
            server.stage = Stage::GivenUp;
        }
        true
    }

    /// Reads what the client says, a few lines at a time: others have their turn in between.
    pub(crate) fn on_client(&mut self) {
        // Whoever reads no answers is asked for no more questions.
        if self.is_held {
            return;
        }
        for _ in 0..CLIENT_LINES_PER_TURN {
            let Some(server) = &mut self.server else { return };
            let Some(line) = server.inlet.pull() else { return self.read_client() };
            self.on_line(line);
            self.work();
        }
        self.poller.mark_ready(STDIN);
    }

    fn read_client(&mut self) {
        let Some(server) = &mut self.server else { return };
        if !matches!(server.stage, Stage::Open) {
            return;
        }
        let progress = server.inlet.read().unwrap_or_else(|error| {
            let line = format!("error: stdin cannot be read: {error}\n");
            self.seam.output.stderr.extend_from_slice(line.as_bytes());
            Progress::Over
        });
        match progress {
            Progress::Waiting => {}
            Progress::Spent => self.poller.mark_ready(STDIN),
            Progress::Over => {
                while let Some(line) = self.server.as_mut().and_then(|own| own.inlet.pull()) {
                    self.on_line(line);
                    self.work();
                }
                if let Some(server) = &mut self.server {
                    server.inlet.deregister(self.poller.registry());
                    server.stage = Stage::Closing(BTreeSet::new());
                }
            }
        }
    }

    fn on_line(&mut self, line: Result<String, Unread>) {
        let output = &mut self.seam.output;
        match (line, &mut self.seam.front) {
            (Ok(line), Front::Server(front)) => front.line(&line, output),
            (Ok(_), Front::Exec(_)) => {}
            (Err(why), _) => {
                let why = match why {
                    Unread::TooLong => format!("it is longer than {CLIENT_LINE_BYTES_MAX} bytes"),
                    Unread::NotUtf8 => "it is not UTF-8".to_owned(),
                };
                let line = format!("warning: a line of the client is ignored, as {why}\n");
                output.stderr.extend_from_slice(line.as_bytes());
            }
        }
        self.serve_asks();
    }

    /// Does what the front asks for, and what that leads to.
    pub(crate) fn serve_asks(&mut self) {
        while let Some(ask) = self.seam.server().and_then(AppServer::pull) {
            match ask {
                Ask::Command { ticket, command } => {
                    self.command(ticket, command);
                }
                Ask::Open { id, request, how, which } => self.open_thread(id, &request, how, which),
                Ask::Prompt { ticket, thread, input, request } => {
                    self.prompt_of_client(ticket, thread, input, request.as_deref());
                }
                Ask::Review { id, thread, target } => self.review_of_client(id, thread, &target),
                Ask::Errand { id, request } => self.answer_request(id, *request),
            }
        }
    }

    /// Gives the machine a command; what it tells meanwhile belongs to the ticket. Gives the thread
    /// that this has opened.
    pub(crate) fn command(&mut self, ticket: Option<Ticket>, command: Command) -> Option<ThreadId> {
        if let Some(front) = self.seam.server() {
            front.begin(ticket);
        }
        self.seam.feed(Input::Command { front: FRONT, command });
        match &mut self.seam.front {
            Front::Server(front) => front.end(&mut self.seam.output),
            Front::Exec(_) => None,
        }
    }

    /// Keeps what providers want to see out of the journal, also what is known since it began.
    pub(super) fn keep_out_credentials(&mut self) {
        if let Some(journal) = &mut self.seam.journal {
            journal.keep_out(&self.routes.secrets());
        }
    }

    pub(crate) fn fail_request(&mut self, id: &RequestId, failure: &Failure) {
        if let Front::Server(front) = &mut self.seam.front {
            front.fail(id, failure, &mut self.seam.output);
        }
    }

    /// Everything that runs ends with the client: what is known of it is recorded first.
    pub(crate) fn close_threads(&mut self) {
        if !self.server.as_ref().is_some_and(|server| matches!(server.stage, Stage::Closing(_))) {
            return;
        }
        for thread in self.seam.server().map(|front| front.open_threads()).unwrap_or_default() {
            let stage = self.server.as_mut().map(|server| &mut server.stage);
            let Some(Stage::Closing(told)) = stage else { return };
            if told.insert(thread) {
                self.command(None, Command::Close { thread });
                self.work();
            }
        }
    }
}
