//! Finds the home and reads everything that settings are made of.

use std::path::{Path, PathBuf};

use crate::config::args::{Invocation, Verb};
use crate::config::layers::{Layers, Named};
use crate::config::settings::{self, Lent, Resolved};
use crate::config::{ConfigError, Env, env_text};
use crate::host::disk::{given, notes, read_text};
use crate::host::git;
use crate::limits::{
    CONFIG_FILE_BYTES_MAX, GIVEN_WAIT_MS, INSTRUCTIONS_BYTES_MAX, OUTPUT_SCHEMA_BYTES_MAX,
};

/// The directory that holds settings, login and sessions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Home {
    /// May not exist yet.
    pub path: PathBuf,
    /// A line for people who have settings elsewhere.
    pub hint: Option<Box<str>>,
}

/// Settings, and where they are from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub home: Home,
    pub layers: Layers,
    pub resolved: Resolved,
}

impl Home {
    /// `$WINDLASS_HOME`, else `$CODEX_HOME`, else `~/.windlass`.
    pub fn find(env: Env<'_>) -> Result<Home, ConfigError> {
        for variable in ["WINDLASS_HOME", "CODEX_HOME"] {
            let Some(value) = env_text(env, variable) else { continue };
            let Ok(path) = Path::new(&value).canonicalize() else {
                let message = format!("{variable} is set to {value:?}, which does not exist");
                return Err(ConfigError::new(message));
            };
            if !path.is_dir() {
                let message = format!("{variable} is set to {value:?}, which is not a directory");
                return Err(ConfigError::new(message));
            }
            return Ok(Home { path, hint: None });
        }
        let user = env_text(env, "HOME").filter(|home| home.starts_with('/'));
        let Some(user) = user else {
            let message = "there is no home directory: set HOME or WINDLASS_HOME";
            return Err(ConfigError::new(message));
        };
        let path = Path::new(&user).join(".windlass");
        let other = Path::new(&user).join(".codex");
        let hint = (!path.exists() && other.is_dir()).then(|| {
            let other = other.display();
            format!("settings in {other} are not used; set CODEX_HOME={other} to share them")
        });
        Ok(Home { path, hint: hint.map(Box::from) })
    }
}

/// Reads and resolves everything that a command line asks for.
pub fn load(invocation: &Invocation, env: Env<'_>) -> Result<Loaded, ConfigError> {
    let home = Home::find(env)?;
    let demo = invocation.verb == Verb::Demo;
    let layers = read_layers(invocation, &home.path)?;
    let cwd = working_directory(invocation)?;
    let Some(cwd_text) = cwd.to_str() else {
        let message = format!("the working directory {} is not UTF-8", cwd.display());
        return Err(ConfigError::new(message));
    };
    if !demo && !invocation.skip_git_repo_check && !is_trusted(&layers, &cwd) {
        let message = format!(
            "{cwd_text} is not inside a git repository, where changes could be undone; add \
             --skip-git-repo-check to work there all the same"
        );
        return Err(ConfigError::new(message));
    }
    let wanted = settings::wanted(&layers);
    let instructions = match &wanted.instructions_file {
        Some(path) => {
            let path = cwd.join(path);
            Some(required_text("the instructions", &path, INSTRUCTIONS_BYTES_MAX)?)
        }
        None => None,
    };
    let output_schema = match &invocation.output_schema {
        Some(path) => Some(schema_text(path, invocation.timeout_ms)?),
        None => None,
    };
    let notes = notes::gather(&home.path, &cwd, wanted.notes_bytes_max, &wanted.notes_names);
    let lent = Lent {
        env,
        cwd: cwd_text,
        project_notes: notes.text.as_deref(),
        instructions: instructions.as_deref(),
        output_schema: output_schema.as_deref(),
    };
    let mut resolved = settings::resolve(invocation, &layers, lent)?;
    resolved.notices.extend(notes.notices);
    Ok(Loaded { home, layers, resolved })
}

/// Reads what is configured, for commands that need no more than that.
pub fn load_layers(invocation: &Invocation, env: Env<'_>) -> Result<Layers, ConfigError> {
    read_layers(invocation, &Home::find(env)?.path)
}

/// config.toml and the profile on top of it; the demo is the same for everybody.
fn read_layers(invocation: &Invocation, home: &Path) -> Result<Layers, ConfigError> {
    let path = home.join("config.toml");
    let used = !invocation.ignore_user_config && invocation.verb != Verb::Demo;
    let text = if used { optional_text(&path)? } else { None };
    let name = path.display().to_string();
    let config = text.as_deref().map(|text| Named { name: &name, text });
    let mut layers = Layers::new(invocation, config)?;
    if let Some(profile) = layers.wanted_profile(invocation) {
        // A name that is no plain one can only be a table's.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let path = home.join(format!("{profile}.config.toml"));
        let text = match profile.bytes().all(plain) {
            true => optional_text(&path)?,
            false => None,
        };
        let name = path.display().to_string();
        let file = text.as_deref().map(|text| Named { name: &name, text });
        layers.choose_profile(&profile, file)?;
    }
    Ok(layers)
}

/// The directory to work in, without symbolic links: records and sandbox mean the same one.
fn working_directory(invocation: &Invocation) -> Result<PathBuf, ConfigError> {
    let (asked, path) = match &invocation.directory {
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

/// Inside a repository, or named as trusted by the user.
fn is_trusted(layers: &Layers, cwd: &Path) -> bool {
    let trusted = || {
        let cwd = cwd.to_str()?;
        layers.text(&["projects", cwd, "trust_level"])
    };
    git::repository_root(cwd).is_some() || trusted() == Some("trusted")
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

fn required_text(what: &str, path: &Path, bytes_max: usize) -> Result<String, ConfigError> {
    let wrong = |why: &str| ConfigError::new(format!("{what} {}: {why}", path.display()));
    match read_text(path, bytes_max) {
        Ok(Some(text)) => Ok(text),
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
        load(&invocation, &with_env(&[("WINDLASS_HOME", place.path())]))
    }

    #[test]
    fn the_home_is_named_or_the_usual_one() {
        let place = Place::new();
        let (one, two) = (place.directory("one"), place.directory("two"));
        let find = |pairs: &[(&str, &Path)]| Home::find(&with_env(pairs));
        let both = find(&[("WINDLASS_HOME", &one), ("CODEX_HOME", &two)]).expect("a home");
        assert_eq!(both.path, one);
        assert_eq!(find(&[("CODEX_HOME", &two)]).expect("a home").path, two);
        let usual = find(&[("HOME", place.path()), ("CODEX_HOME", Path::new(""))]);
        let usual = usual.expect("a home");
        assert_eq!((usual.path, usual.hint), (place.path().join(".windlass"), None));
        place.directory(".codex");
        assert!(find(&[("HOME", place.path())]).expect("a home").hint.is_some());
        place.directory(".windlass");
        assert_eq!(find(&[("HOME", place.path())]).expect("a home").hint, None);
    }

    #[test]
    fn a_home_that_does_not_exist_is_an_error() {
        let place = Place::new();
        let missing = place.path().join("missing");
        let file = place.file("file", "");
        let find = |path: &Path| Home::find(&with_env(&[("CODEX_HOME", path)]));
        assert!(find(&missing).expect_err("missing").to_string().contains("does not exist"));
        assert!(find(&file).expect_err("a file").to_string().contains("not a directory"));
        assert!(Home::find(&with_env(&[])).is_err());
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
}
