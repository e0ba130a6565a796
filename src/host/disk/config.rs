//! Reads everything that settings are made of: the user's, the machine's and the project's files.

use std::path::{Path, PathBuf};

use crate::config::args::{Invocation, Verb};
use crate::config::layers::{Layers, Named};
use crate::config::requirements::Requirements;
use crate::config::settings::{self, Lent, Resolved};
use crate::config::{ConfigError, Env};
use crate::host::disk::home::{Home, user_directory};
use crate::host::disk::{given, notes, read_text};
use crate::host::git;
use crate::host::proc::launch::SECRETS;
use crate::limits::{
    CONFIG_FILE_BYTES_MAX, DIRECTORY_DEPTH_MAX, GIVEN_WAIT_MS, INSTRUCTIONS_BYTES_MAX,
    OUTPUT_SCHEMA_BYTES_MAX, PROJECT_CONFIGS_MAX,
};
use crate::words::policy::{ApprovalPolicy, SandboxMode};

/// Settings, and where they are from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub home: Home,
    pub layers: Layers,
    pub resolved: Resolved,
    /// Files of notes that count.
    pub notes: Vec<PathBuf>,
}

/// Where a machine keeps what is not the user's.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Directories of settings and requirements; a later one is above an earlier one.
    pub etc: &'a [&'a str],
    /// The file of users.
    pub passwd: &'a str,
}

/// The machine we are on.
pub const MACHINE: Machine<'static> =
    Machine { etc: &["/etc/codex", "/etc/windlass"], passwd: PASSWD };

pub(crate) const PASSWD: &str = "/etc/passwd";

/// Names of directories that hold settings of a project; the later one is above the earlier one.
const PROJECT_DIRECTORIES: [&str; 2] = [".codex", ".windlass"];

/// Reads and resolves everything that a command line asks for.
pub fn load(invocation: &Invocation, env: Env<'_>) -> Result<Loaded, ConfigError> {
    load_on(MACHINE, invocation, env)
}

/// The same on a machine of this kind.
pub fn load_on(
    machine: Machine<'_>,
    invocation: &Invocation,
    env: Env<'_>,
) -> Result<Loaded, ConfigError> {
    let Placed { home, layers, cwd, is_trusted, mut notices } = place(machine, invocation, env)?;
    let Some(cwd_text) = cwd.to_str() else {
        let message = format!("the working directory {} is not UTF-8", cwd.display());
        return Err(ConfigError::new(message));
    };
    let requirements = read_requirements(machine)?;
    notices.extend(requirements.iter().flat_map(|required| required.notices.iter().cloned()));
    let wanted = settings::wanted(&layers);
    let file = wanted.instructions_file.as_deref();
    let instructions = named_text("the instructions", &cwd, file)?;
    let file = wanted.compact_prompt_file.as_deref();
    let compact_prompt = named_text("the prompt for summaries", &cwd, file)?;
    let output_schema = match &invocation.output_schema {
        Some(path) => Some(schema_text(path, invocation.timeout_ms)?),
        None => None,
    };
    let global = home.path.as_deref();
    let unreadable = settings::unreadable(&layers, cwd_text, env);
    let secrets = global.iter().flat_map(|home| SECRETS.map(|name| home.join(name)));
    let closed = secrets.chain(unreadable.iter().map(|path| PathBuf::from(&**path)));
    let closed: Vec<PathBuf> = closed.filter_map(|path| path.canonicalize().ok()).collect();
    let (bytes_max, names) = (wanted.notes_bytes_max, &wanted.notes_names);
    let notes = notes::gather(global, &cwd, bytes_max, names, &closed);
    let lent = Lent {
        env,
        cwd: cwd_text,
        project_notes: notes.text.as_deref(),
        is_trusted,
        instructions: instructions.as_deref(),
        compact_prompt: compact_prompt.as_deref(),
        output_schema: output_schema.as_deref(),
    };
    let mut resolved = settings::resolve(invocation, &layers, lent)?;
    for required in &requirements {
        required.judge(resolved.settings.sandbox.mode)?;
        if invocation.requested.is_some() {
            required.judge_approval(resolved.settings.approval)?;
        }
    }
    resolved.notices.extend(notices);
    resolved.notices.extend(notes.notices);
    Ok(Loaded { home, layers, resolved, notes: notes.files })
}

/// What is configured for a place, not yet resolved.
#[derive(Clone, Debug)]
pub struct Placed {
    pub home: Home,
    pub layers: Layers,
    pub cwd: PathBuf,
    is_trusted: bool,
    /// Lines for people.
    notices: Vec<Box<str>>,
}

/// Reads what is configured for the working directory.
pub fn place(
    machine: Machine<'_>,
    invocation: &Invocation,
    env: Env<'_>,
) -> Result<Placed, ConfigError> {
    let home = Home::find(env, Path::new(machine.passwd))?;
    let mut layers = read_layers(machine, invocation, home.path.as_deref())?;
    let cwd = working_directory(invocation)?;
    let mut notices = Vec::new();
    let mut is_trusted = false;
    // The demo is the same for everybody, but for what the machine requires.
    if invocation.verb != Verb::Demo {
        let root = git::repository_root(&cwd);
        let trust = trust(&layers, &cwd, root.as_deref());
        is_trusted = trust == Some(true);
        if !invocation.skip_git_repo_check && root.is_none() && !is_trusted {
            let message = format!(
                "{} is not inside a git repository, where changes could be undone; add \
                 --skip-git-repo-check to work there all the same",
                cwd.display()
            );
            return Err(ConfigError::new(message));
        }
        let user = user_directory(env, Path::new(machine.passwd));
        let own = [home.path.as_deref(), user.as_deref()];
        let top = root.as_deref().unwrap_or(&cwd);
        notices.extend(read_projects(&mut layers, trust, top, &cwd, own)?);
    }
    Ok(Placed { home, layers, cwd, is_trusted, notices })
}

/// Reads what is configured outside of projects on a machine of this kind, and where our home is.
pub fn layers_on(
    machine: Machine<'_>,
    invocation: &Invocation,
    env: Env<'_>,
) -> Result<(Home, Layers), ConfigError> {
    let home = Home::find(env, Path::new(machine.passwd))?;
    let layers = read_layers(machine, invocation, home.path.as_deref())?;
    Ok((home, layers))
}

/// Reads what is configured outside of projects, for commands that need no more than that.
pub fn load_layers(invocation: &Invocation, env: Env<'_>) -> Result<Layers, ConfigError> {
    layers_on(MACHINE, invocation, env).map(|(_, layers)| layers)
}

/// Where our home is, if anywhere.
pub fn find_home(env: Env<'_>) -> Result<Option<PathBuf>, ConfigError> {
    Home::find(env, Path::new(PASSWD)).map(|home| home.path)
}

/// Refuses what the machine does not allow a turn.
pub fn judge_turn(mode: SandboxMode, approval: ApprovalPolicy) -> Result<(), ConfigError> {
    read_requirements(MACHINE)?.iter().try_for_each(|required| {
        required.judge(mode)?;
        required.judge_approval(approval)
    })
}

/// Refuses a mode that the machine does not allow, for commands that need no more than that.
pub fn judge(mode: SandboxMode) -> Result<(), ConfigError> {
    read_requirements(MACHINE)?.iter().try_for_each(|required| required.judge(mode))
}

/// config.toml and what is above and below it; the demo is the same for everybody.
fn read_layers(
    machine: Machine<'_>,
    invocation: &Invocation,
    home: Option<&Path>,
) -> Result<Layers, ConfigError> {
    if invocation.verb == Verb::Demo {
        return Layers::new(invocation, None);
    }
    let path = home.map(|home| home.join("config.toml")).unwrap_or_default();
    let text = match home.filter(|_| !invocation.ignore_user_config) {
        Some(_) => optional_text(&path)?,
        None => None,
    };
    let name = path.display().to_string();
    let config = text.as_deref().map(|text| Named { name: &name, text });
    let mut layers = Layers::new(invocation, config)?;
    for etc in machine.etc.iter().map(Path::new) {
        with_text(&etc.join("config.toml"), &mut |file| layers.add_machine(file))?;
        with_text(&etc.join("managed_config.toml"), &mut |file| layers.add_managed(file))?;
    }
    if let Some(profile) = layers.wanted_profile(invocation) {
        // A name that is no plain one can only be a table's.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let home = home.filter(|_| profile.bytes().all(plain));
        let path = home.map(|home| home.join(format!("{profile}.config.toml")));
        let text = match &path {
            Some(path) => optional_text(path)?,
            None => None,
        };
        let name = path.unwrap_or_default().display().to_string();
        let file = text.as_deref().map(|text| Named { name: &name, text });
        layers.choose_profile(&profile, file)?;
    }
    Ok(layers)
}

/// What the machine requires, whatever anybody sets.
fn read_requirements(machine: Machine<'_>) -> Result<Vec<Requirements>, ConfigError> {
    let mut requirements = Vec::new();
    for etc in machine.etc.iter().map(Path::new) {
        with_text(&etc.join("requirements.toml"), &mut |file| {
            requirements.push(Requirements::from_text(file.name, file.text)?);
            Ok(())
        })?;
    }
    Ok(requirements)
}

/// Gives a file of settings to whoever wants it, if there is one.
fn with_text(
    path: &Path,
    add: &mut dyn FnMut(Named<'_>) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    match optional_text(path)? {
        Some(text) => add(Named { name: &path.display().to_string(), text: &text }),
        None => Ok(()),
    }
}

/// Adds the settings of a trusted project, from its top down to the working directory.
///
/// Directories of our own and of the user are no project's. Gives lines for people.
fn read_projects(
    layers: &mut Layers,
    trust: Option<bool>,
    top: &Path,
    cwd: &Path,
    own: [Option<&Path>; 2],
) -> Result<Option<Box<str>>, ConfigError> {
    let own = own.map(|path| path.and_then(|path| path.canonicalize().ok()));
    let is_own = |path: &Path| own.iter().flatten().any(|own| own == path);
    let mut directories: Vec<&Path> = cwd
        .ancestors()
        .take(DIRECTORY_DEPTH_MAX)
        .take_while(|directory| directory.starts_with(top))
        .filter(|directory| !is_own(directory))
        .collect();
    directories.reverse();
    let mut count = 0;
    for directory in directories {
        for name in PROJECT_DIRECTORIES {
            let holder = directory.join(name);
            let path = holder.join("config.toml");
            if is_own(&holder) || !path.is_file() {
                continue;
            }
            count += 1;
            let message = match trust {
                Some(true) if count <= PROJECT_CONFIGS_MAX => {
                    with_text(&path, &mut |file| layers.add_project(file))?;
                    continue;
                }
                Some(true) => {
                    let why = format!("the project has more than {PROJECT_CONFIGS_MAX} of them");
                    return Err(ConfigError::new(format!("{}: {why}", path.display())));
                }
                // Who said no knows.
                Some(false) => return Ok(None),
                None => format!(
                    "{} is not used, as nobody said that its project is trusted; \
                     [projects.{:?}] trust_level = \"trusted\" in your own config.toml says so",
                    path.display(),
                    top,
                ),
            };
            return Ok(Some(message.into()));
        }
    }
    Ok(None)
}

/// Whether the user trusts the working directory, its repository, or the repository whose linked
/// worktree it is.
fn trust(layers: &Layers, cwd: &Path, root: Option<&Path>) -> Option<bool> {
    let main = root.and_then(git::main_root);
    let places = [Some(cwd), root, main.as_deref()];
    let places: Vec<&str> = places.into_iter().flatten().filter_map(Path::to_str).collect();
    layers.trust(&places)
}

/// The directory to work in, without symbolic links: records and sandbox mean the same one.
pub fn working_directory(invocation: &Invocation) -> Result<PathBuf, ConfigError> {
    let (asked, path) = match &invocation.directory {
        Some(path) if invocation.requested.is_some() => {
            (format!("cwd {}", path.display()), path.clone())
        }
        Some(path) => (format!("--cd {}", path.display()), path.clone()),
        None => ("the working directory".to_owned(), PathBuf::from(".")),
    };
    let path =
        path.canonicalize().map_err(|error| ConfigError::new(format!("{asked}: {error}")))?;
    match path.is_dir() {
        true => Ok(path),
        false => Err(ConfigError::new(format!("{asked}: not a directory"))),
    }
}

fn optional_text(path: &Path) -> Result<Option<String>, ConfigError> {
    read_text(path, CONFIG_FILE_BYTES_MAX)
        .map_err(|error| ConfigError::new(format!("{}: {error}", path.display())))
}

/// The schema, from a file or a pipe.
fn schema_text(path: &Path, timeout_ms: Option<u64>) -> Result<String, ConfigError> {
    let wrong = |why: &str| ConfigError::new(format!("--output-schema {}: {why}", path.display()));
    let wait_ms = timeout_ms.map_or(GIVEN_WAIT_MS, |timeout_ms| timeout_ms.min(GIVEN_WAIT_MS));
    let read = given::read(path, OUTPUT_SCHEMA_BYTES_MAX, wait_ms);
    let bytes = read.map_err(|error| wrong(&error.to_string()))?;
    String::from_utf8(bytes.ok_or_else(|| wrong("no such file"))?).map_err(|_| wrong("not UTF-8"))
}

/// A text for the model that settings name, relative to the working directory.
fn named_text(what: &str, cwd: &Path, file: Option<&Path>) -> Result<Option<String>, ConfigError> {
    let Some(file) = file else { return Ok(None) };
    let path = cwd.join(file);
    let wrong = |why: &str| ConfigError::new(format!("{what} {}: {why}", path.display()));
    match read_text(&path, INSTRUCTIONS_BYTES_MAX) {
        Ok(Some(text)) => Ok(Some(text)),
        Ok(None) => Err(wrong("no such file")),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args;
    use crate::host::disk::tests::Place;

    fn with_env<'a>(pairs: &'a [(&'a str, &'a Path)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let pair = pairs.iter().find(|(known, _)| *known == name);
            pair.and_then(|(_, path)| path.to_str()).map(str::to_owned)
        }
    }

    fn loaded(place: &Place, line: &[&str]) -> Result<Loaded, ConfigError> {
        let work = place.path().join("work");
        let work = work.to_str().expect("UTF-8");
        let words = ["exec", "-C", work].iter().chain(line).map(Into::into).collect();
        let invocation = args::parse(words).expect("a command line");
        let etc = [place.path().join("etc-codex"), place.path().join("etc-windlass")];
        let etc = etc.each_ref().map(|path| path.to_str().expect("UTF-8"));
        let machine = Machine { etc: &etc, passwd: "/no/such/file" };
        load_on(machine, &invocation, &with_env(&[("WINDLASS_HOME", place.path())]))
    }

    #[test]
    fn files_of_the_home_and_the_project_are_read() {
        let place = Place::new();
        place.directory("work/.git");
        place.file("config.toml", "model = 'base'\nmodel_instructions_file = 'i.md'\n");
        place.file("p.config.toml", "model = 'profiled'\n");
        place.file("work/i.md", "be kind");
        place.file("work/AGENTS.md", "notes");
        let schema = place.file("schema.json", "{}");
        let schema = schema.to_str().expect("UTF-8");
        let loaded = loaded(&place, &["-p", "p", "--output-schema", schema, "x"]);
        let settings = loaded.expect("loaded").resolved.settings;
        assert_eq!(&*settings.model, "profiled");
        assert_eq!(settings.instructions, "be kind");
        assert_eq!(settings.project_notes.as_deref(), Some("notes"));
        assert_eq!(settings.output_schema.as_deref(), Some("{}"));
        assert_eq!(Path::new(&*settings.cwd), place.path().join("work"));
    }

    #[test]
    fn mistakes_name_the_file() {
        let place = Place::new();
        place.directory("work/.git");
        let message = |line: &[&str]| loaded(&place, line).expect_err("refused").to_string();
        assert!(message(&["-p", "q", "x"]).contains("unknown profile"));
        assert!(message(&["-p", "../work/q", "x"]).contains("unknown profile"));
        assert!(message(&["--output-schema", "/no/such", "x"]).contains("/no/such: no such file"));
        assert!(message(&["-C", "/no/such", "x"]).contains("--cd /no/such"));
        let key = "-cmodel_instructions_file=missing.md";
        assert!(message(&[key, "x"]).contains("work/missing.md: no such file"));
        place.file("config.toml", "a = [\n");
        assert!(message(&["x"]).contains("config.toml line"), "{}", message(&["x"]));
        place.file("config.toml", " ".repeat(CONFIG_FILE_BYTES_MAX + 1));
        assert!(message(&["x"]).contains("config.toml: larger than"));
        loaded(&place, &["--ignore-user-config", "x"]).expect("not read");
    }

    #[test]
    fn outside_a_repository_work_must_be_asked_for() {
        let place = Place::new();
        let work = place.directory("work");
        assert!(loaded(&place, &["x"]).expect_err("refused").to_string().contains("git"));
        loaded(&place, &["--skip-git-repo-check", "x"]).expect("asked for");
        let trust = format!("projects.\"{}\".trust_level=trusted", work.display());
        loaded(&place, &["-c", &trust, "x"]).expect("trusted");
    }

    /// The settings and the lines for people of a run in `work`, a repository.
    fn settled(
        place: &Place,
        line: &[&str],
    ) -> (crate::words::settings::ThreadSettings, Vec<String>) {
        place.directory("work/.git");
        let loaded = loaded(place, line).unwrap_or_else(|error| panic!("{error}"));
        let notices = loaded.resolved.notices.iter().map(|notice| notice.to_string()).collect();
        (loaded.resolved.settings, notices)
    }

    fn trusting(place: &Place, work: &str) {
        let work = place.path().join(work);
        let table = format!("[projects.{:?}]\ntrust_level = 'trusted'\n", work.display());
        place.file("config.toml", table);
    }

    #[test]
    fn the_machine_has_settings_below_and_above_the_users() {
        let place = Place::new();
        place.file("config.toml", "model = 'mine'\n");
        place.file("etc-codex/config.toml", "model = 'low'\nmodel_verbosity = 'low'\n");
        assert_eq!(&*settled(&place, &["x"]).0.model, "mine");
        place.file("etc-codex/managed_config.toml", "model = 'managed'\n");
        assert_eq!(&*settled(&place, &["-c", "model=typed", "x"]).0.model, "managed");
        place.file("etc-windlass/managed_config.toml", "model = 'ours'\n");
        assert_eq!(&*settled(&place, &["x"]).0.model, "ours");
        assert_eq!(&*settled(&place, &["-m", "flag", "x"]).0.model, "flag");
        place.file("etc-windlass/managed_config.toml", "model = 1\n");
        let error = loaded(&place, &["x"]).expect_err("wrong").to_string();
        assert!(error.contains("etc-windlass/managed_config.toml line 1: model"), "{error}");
    }

    #[test]
    fn what_the_machine_requires_nothing_overrides() {
        let place = Place::new();
        let required = "allowed_sandbox_modes = ['read-only']\nother = 1\n";
        place.file("etc-codex/requirements.toml", required);
        let (_, notices) = settled(&place, &["x"]);
        assert!(notices[0].ends_with("requirements.toml: not enforced here: other"), "{notices:?}");
        let error = loaded(&place, &["-s", "danger-full-access", "x"]).expect_err("refused");
        assert!(error.to_string().contains("is not allowed on this machine"), "{error}");
    }

    #[test]
    fn a_project_is_heard_once_it_is_trusted() {
        let place = Place::new();
        place.file("work/.codex/config.toml", "model = 'theirs'\nnotify = ['x']\n");
        let (settings, notices) = settled(&place, &["x"]);
        assert_ne!(&*settings.model, "theirs");
        assert!(notices[0].contains("work/.codex/config.toml is not used"), "{notices:?}");
        trusting(&place, "work");
        let (settings, notices) = settled(&place, &["x"]);
        assert_eq!(&*settings.model, "theirs");
        assert!(notices[0].ends_with("not for a project to say: notify"), "{notices:?}");
        place.file("work/.windlass/config.toml", "model = 'ours'\n");
        assert_eq!(&*settled(&place, &["x"]).0.model, "ours");
        assert_eq!(&*settled(&place, &["-c", "model=typed", "x"]).0.model, "typed");
        place.file("work/.codex/config.toml", "model = 1\n");
        let error = loaded(&place, &["x"]).expect_err("wrong").to_string();
        assert!(error.contains("work/.codex/config.toml line 1: model"), "{error}");
        let work = place.path().join("work");
        let untrusted = format!("[projects.{:?}]\ntrust_level = 'untrusted'\n", work.display());
        place.file("config.toml", untrusted);
        assert_eq!(settled(&place, &["x"]).1, Vec::<String>::new());
    }

    #[test]
    fn the_nearest_directory_of_a_trusted_repository_wins() {
        let place = Place::new();
        trusting(&place, "work");
        place.file("work/.codex/config.toml", "model = 'root'\nreview_model = 'root'\n");
        place.file("work/a/.codex/config.toml", "model = 'near'\n");
        place.directory("work/.git");
        let near = place.path().join("work/a");
        let loaded = loaded(&place, &["-C", near.to_str().expect("UTF-8"), "x"]).expect("loaded");
        assert_eq!(&*loaded.resolved.settings.model, "near");
        assert_eq!(loaded.layers.text(&["review_model"]), Some("root"));
    }

    #[test]
    fn a_home_is_no_project() {
        let place = Place::new();
        let home = place.path().to_str().expect("UTF-8");
        trusting(&place, "");
        place.file(".codex/config.toml", "model = 'of another program'\n");
        let line = ["-C", home, "--skip-git-repo-check", "x"];
        let words = ["exec"].iter().chain(&line).map(Into::into).collect();
        let invocation = args::parse(words).expect("a command line");
        let pairs = [("HOME", place.path()), ("WINDLASS_HOME", place.path())];
        let env = with_env(&pairs);
        let machine = Machine { etc: &[], passwd: "/no/such/file" };
        let loaded = load_on(machine, &invocation, &env).expect("loaded");
        assert_ne!(&*loaded.resolved.settings.model, "of another program");
    }

    #[test]
    fn only_so_many_files_of_a_project_are_read() {
        let place = Place::new();
        trusting(&place, "work");
        place.directory("work/.git");
        let mut name = "work".to_owned();
        for _ in 0..=PROJECT_CONFIGS_MAX {
            name.push_str("/d");
            place.file(&format!("{name}/.codex/config.toml"), "");
        }
        let deep = place.path().join(name);
        let line = ["-C", deep.to_str().expect("UTF-8"), "x"];
        let error = loaded(&place, &line).expect_err("too many").to_string();
        assert!(error.contains("more than"), "{error}");
    }
}
