//! `exec`: one prompt, one turn, no questions. Puts a host together from what the user asked for.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::config::args::{Color, Invocation, StdinUse};
use crate::config::credentials::{self, KeyFromEnv, StoredLogin};
use crate::config::providers::{Provider, Secret, Wire};
use crate::config::review::{self, Request};
use crate::config::settings::{ExecOptions, Resolved, ShellEnvironment};
use crate::fronts::exec::Exec;
use crate::fronts::exec::jsonl::{Jsonl, ReasoningShown};
use crate::fronts::exec::plain::{LimitsShown, Looks, Plain, Stdout, Thinking};
use crate::fronts::exec::status::Status;
use crate::fronts::exec::style::{Colour, Place};
use crate::fronts::notify::Notifier;
use crate::fronts::visible;
use crate::host::album::Album;
use crate::host::disk::config::{self, Loaded};
use crate::host::disk::home::Home;
use crate::host::disk::{auth, read_whole};
use crate::host::last_message::{Destination, Found};
use crate::host::net::{Net, Trust};
use crate::host::playing::{EXIT_MISMATCH, Recorded};
use crate::host::proc::launch::Starter;
use crate::host::prompting::{Asks, Prompting, Stage};
use crate::host::recall::Recall;
use crate::host::recorder::Recording;
use crate::host::rollouts::{Keeping, Rollouts};
use crate::host::routes::{self, Routes};
use crate::host::seam::{Front, Seam};
use crate::host::stdin::{Asked, Demand, PromptFrom};
use crate::host::{
    Host, Parts, clock, environment, git, images, journal, notify, responses, status, stdio,
};
use crate::limits::{GIVEN_WAIT_MS, RECORDING_BYTES_MAX};
use crate::wire::proxy::Proxies;
use crate::wire::replay::Replay;
use crate::words::command::{Command, Course};
use crate::words::item::Part;
use crate::words::policy::SandboxMode;
use crate::words::review::Target;
use crate::words::settings::{ThreadSettings, TimeBudget};

/// Ours.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs `exec` and gives the exit code; what is wrong before the run is said on stderr.
pub fn exec(invocation: &Invocation, exe: PathBuf) -> u8 {
    let env = |name: &str| std::env::var(name).ok();
    let loaded = match config::load(invocation, &env) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error.to_string()),
    };
    let hint = loaded.home.hint.iter();
    for notice in hint.chain(&loaded.resolved.notices) {
        say(&visible::line(notice));
    }
    match run(loaded, exe, None, invocation.journal.as_deref()) {
        Ok(code) => code,
        Err(message) => fail(&message),
    }
}

/// One line on stderr; nobody reads it if that is closed.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Says at the start that no command will run, where the mode asks for what this system lacks. What
/// it has less than all of is told with the first command, which finds it out.
pub(crate) fn warn_of_no_sandbox(mode: SandboxMode) {
    if mode == SandboxMode::DangerFullAccess {
        return;
    }
    if let Some(error) = windlass_sandbox::obstacle() {
        say(&format!(
            "sandbox: none: this kernel lacks Landlock or seccomp ({error}), and no command will be \
             run; `windlass doctor` says more"
        ));
    }
}

fn fail(message: &str) -> u8 {
    say(&format!("error: {message}"));
    1
}

/// Runs what was resolved to its end. An embedded recording is given by whoever shows one.
pub fn run(
    loaded: Loaded,
    exe: PathBuf,
    embedded: Option<&'static str>,
    journal: Option<&Path>,
) -> Result<u8, String> {
    let Loaded { home, layers, resolved, .. } = loaded;
    let Resolved { mut settings, provider, options, shell_environment, notify, .. } = resolved;
    let since_ms = clock::mono_ms();
    let time = options.timeout_ms.map(|length_ms| TimeBudget { since_ms, length_ms });
    settings.budgets.time = time;
    let env = |name: &str| std::env::var(name).ok();
    let stored = stored(&home, &provider)?;
    let credentials = credentials::resolve(&provider, &env, KeyFromEnv::Honoured, stored.as_ref());
    let recorded = recorded(&provider, embedded)?;
    let secrets = routes::secrets(&provider, credentials.as_ref().ok());
    let recording = recording(&options, &secrets)?;
    let kept = home.path.clone().filter(|_| !options.ephemeral);
    let keeping = kept.map_or(Keeping::Nothing, Keeping::Home);
    let has_account = credentials.as_ref().is_ok_and(|known| known.account_id.is_some());
    let limits = if has_account { LimitsShown::Always } else { LimitsShown::IfTold };
    let (front, status) = front(&options, &settings, limits);
    let last_message = options.output_last_message.clone();
    let last_message = last_message.map(|path| (Destination::find(&path), path));
    let seed = u64::from_le_bytes(clock::random().map_err(|error| error.to_string())?);
    let journal = journal.map(|path| journal::begin(path, seed, &secrets)).transpose()?;
    let nofile = environment::raise_open_files();
    let starter = starter(exe, nofile, home.path.as_deref(), &shell_environment, &provider)?;
    warn_of_no_sandbox(settings.sandbox.mode);
    let user_agent = environment::user_agent(&settings.originator, VERSION);
    let notify = notify::Program::new(&notify, nofile);
    let notifier = notify.is_some().then(|| Notifier::new(&settings.cwd));
    let mut rollouts = Rollouts::new(keeping);
    let (wire, is_model_asked) = (provider.wire.clone(), options.is_model_asked);
    let recall = Some(Box::new(Recall { layers, wire, is_model_asked }));
    let prompting = prompting(&options, settings, &mut rollouts.album);
    let mut host = Host::new(Parts {
        seam: Seam::new(seed, rollouts, Front::Exec(Box::new(front))).showing(status),
        net: Net::new(trust(), environment::spawn_resolver).behind(Proxies::of_environment(&env)),
        starter,
        routes: Routes::one(provider, credentials),
        recorded,
        recording,
        home: home.path,
        user_agent,
        prompting,
        notify,
    })
    .map_err(|error| format!("cannot set up the loop: {error}"))?;
    host.seam.notifier = notifier;
    host.seam.recall = recall;
    host.seam.journal = journal;
    let code = host.run().map_err(|error| format!("the loop failed: {error}"))?;
    if let Some((place, path)) = last_message {
        write_last_message(&path, place, host.seam.front.last_message());
    }
    if let Some(error) = host.recording.as_mut().and_then(|recording| recording.failure.take()) {
        say(&format!("error: the recording is incomplete: {error}"));
        return Ok(1);
    }
    let mismatched = host.recorded.is_some_and(|recorded| recorded.is_mismatched);
    Ok(if mismatched { EXIT_MISMATCH } else { code })
}

/// Guards this process, and readies what starts the commands of the model.
pub(crate) fn starter(
    exe: PathBuf,
    nofile: Option<u64>,
    home: Option<&Path>,
    shell_environment: &ShellEnvironment,
    provider: &Provider,
) -> Result<Starter, String> {
    windlass_sandbox::guard_agent().map_err(|error| format!("cannot guard the agent: {error}"))?;
    let links = home.and_then(|home| environment::command_links(home, &exe));
    let credential = provider.env_key.as_deref();
    let variables = environment::of_commands(shell_environment, links.as_deref(), credential);
    let mut starter = Starter::new(exe, nofile, home, variables);
    if shell_environment.use_profile {
        starter.run_through_profile();
    }
    Ok(starter)
}

/// The stored login, if the provider wants one.
pub(crate) fn stored(home: &Home, provider: &Provider) -> Result<Option<StoredLogin>, String> {
    if !provider.requires_openai_auth {
        return Ok(None);
    }
    let login = home.path.as_deref().map(auth::read).transpose();
    Ok(login.map_err(|failure| failure.to_string())?.flatten())
}

/// What shows the run, and the line that a terminal has besides.
fn front(
    options: &ExecOptions,
    settings: &ThreadSettings,
    limits: LimitsShown,
) -> (Exec, Option<Status>) {
    let (front, status) = if options.json {
        let reasoning =
            if options.hide_reasoning { ReasoningShown::Hidden } else { ReasoningShown::Summary };
        (Exec::jsonl(Jsonl::new(reasoning)), None)
    } else {
        let looks = looks(options, limits);
        (Exec::plain(Plain::new(settings, looks)), status::on_stderr(looks.paint))
    };
    let front = match options.output_last_message {
        Some(_) => front.keeping_last_message(),
        None => front,
    };
    match options.review {
        Some(_) => (front.reviewing(&settings.cwd), status),
        None => (front, status),
    }
}

fn prompting(options: &ExecOptions, settings: ThreadSettings, album: &mut Album) -> Prompting {
    let request = options.review.as_ref().and_then(|target| requested(target, &settings.cwd));
    let prompt = match options.prompt.as_deref() {
        _ if request.is_some() => PromptFrom::Argument,
        Some("-") => PromptFrom::Dash,
        Some(_) => PromptFrom::Argument,
        None => PromptFrom::Missing,
    };
    let demand = match options.stdin {
        // Nothing is missing that stdin could bring.
        StdinUse::Judged if request.is_some() => Demand::Never,
        StdinUse::Judged => Demand::AsNeeded,
        StdinUse::Always => Demand::Always,
        StdinUse::Never => Demand::Never,
    };
    let images = images(options, &settings, album);
    let end_ms = settings.budgets.time.map(|time| time.since_ms.saturating_add(time.length_ms));
    let settings = Box::new(settings);
    let opening = match options.past.clone() {
        Some((which, Course::Resume)) => Command::Resume { settings, which },
        Some((which, Course::Fork)) => Command::Fork { settings, which },
        None => Command::Start { settings },
    };
    let typed = options.prompt.clone().filter(|prompt| &**prompt != "-");
    let (argument, asks) = match (request, &options.review) {
        (Some(request), _) => (Some(request.prompt.into()), Asks::Review(Some(request.hint))),
        (None, Some(_)) => (typed, Asks::Review(None)),
        (None, None) => (typed, Asks::Work),
    };
    Prompting {
        argument,
        images,
        asks,
        end_ms,
        asked: Asked { demand, prompt, timeout_ms: options.timeout_ms },
        opening: Some(opening),
        stage: Stage::NotBegun,
    }
}

/// What a review asks for that the command line names.
fn requested(target: &Target, cwd: &str) -> Option<Request> {
    let base = match target {
        Target::Base { branch } => git::base(Path::new(cwd), branch),
        Target::Uncommitted | Target::Commit { .. } | Target::Custom => None,
    };
    review::request(target, base.as_ref())
}

/// The images, those of pipes included: together these have so long to end.
fn images(options: &ExecOptions, settings: &ThreadSettings, album: &mut Album) -> Vec<Part> {
    let begun_ms = clock::mono_ms();
    let wait_ms = settings.budgets.time.map_or(GIVEN_WAIT_MS, |time| {
        let over_ms = time.since_ms.saturating_add(time.length_ms);
        over_ms.saturating_sub(begun_ms).min(GIVEN_WAIT_MS)
    });
    let left_ms = || (begun_ms + wait_ms).saturating_sub(clock::mono_ms());
    options.images.iter().map(|path| images::part(path, left_ms(), album)).collect()
}

/// The recording that answers in place of a provider, if that is what it is.
pub(crate) fn recorded(
    provider: &Provider,
    embedded: Option<&'static str>,
) -> Result<Option<Recorded>, String> {
    let Wire::Replay { path } = &provider.wire else { return Ok(None) };
    let replay = match (path, embedded) {
        (Some(path), _) => {
            let path = Path::new(&**path);
            let named = |why: &str| format!("the recording {}: {why}", path.display());
            let bytes = read_whole(path, RECORDING_BYTES_MAX)
                .map_err(|error| named(&error.to_string()))?
                .ok_or_else(|| named("there is no such file"))?;
            Replay::parse_bytes(bytes).map_err(|error| named(&error.to_string()))?
        }
        (None, Some(text)) => Replay::parse(text).map_err(|error| error.to_string())?,
        (None, None) => {
            return Err("only the demo plays the embedded recording: run windlass demo".into());
        }
    };
    Ok(Some(Recorded { replay, is_mismatched: false }))
}

fn recording(options: &ExecOptions, secrets: &[Secret]) -> Result<Option<Recording>, String> {
    let Some(path) = &options.record else { return Ok(None) };
    let made = Recording::create(path, secrets.to_vec());
    made.map(Some)
        .map_err(|error| format!("cannot write the recording {}: {error}", path.display()))
}

fn looks(options: &ExecOptions, limits: LimitsShown) -> Looks {
    let colour = match options.color {
        Color::Auto => Colour::Auto,
        Color::Always => Colour::Always,
        Color::Never => Colour::Never,
    };
    let term = std::env::var("TERM").ok();
    let no_color = std::env::var("NO_COLOR").ok();
    let is_terminal = io::stderr().is_terminal();
    let paint = colour.paint(Place {
        terminal: is_terminal,
        no_color: no_color.as_deref(),
        term: term.as_deref(),
    });
    // SAFETY: descriptors 1 and 2 are open: the program's first act is to see to that.
    let (one, two) = unsafe { (BorrowedFd::borrow_raw(1), BorrowedFd::borrow_raw(2)) };
    let stdout = match io::stdout().is_terminal() {
        false => Stdout::Elsewhere,
        true if stdio::is_same_terminal(one, two) => Stdout::SameTerminal,
        true => Stdout::Terminal,
    };
    let reasoning = match (options.hide_reasoning, options.show_raw_reasoning) {
        (true, _) => Thinking::Hidden,
        (false, true) => Thinking::Raw,
        (false, false) => Thinking::Summary,
    };
    Looks { paint, stdout, reasoning, limits, calendar: responses::calendar() }
}

/// Where trust in servers comes from, as the environment says.
pub(crate) fn trust() -> Trust {
    let path = |name: &str| -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty())
    };
    Trust {
        ca_file: path("WINDLASS_CA_FILE").map(PathBuf::from),
        cert_file: path("SSL_CERT_FILE").map(PathBuf::from),
        cert_dirs: path("SSL_CERT_DIR"),
    }
}

/// Not being able to write it is worth a warning, not a failure: the turn is done.
fn write_last_message(path: &Path, place: io::Result<Destination>, message: Option<&str>) {
    let shown = path.display();
    if message.is_none() {
        say(&format!("warning: there is no last message; {shown} is left empty"));
    }
    match place.and_then(|place| place.write(message.unwrap_or(""))) {
        Ok(Found::Expected) => {}
        Ok(Found::Link) => {
            say(&format!("warning: {shown} had become a symbolic link; a file took its place"));
        }
        Err(error) => say(&format!("warning: cannot write the last message to {shown}: {error}")),
    }
}
