//! Sources of settings on top of each other.
//!
//! ```text
//! flags                        not here: `settings` asks the invocation first
//! managed                      managed_config.toml of the machine
//! a client's request           what it unsets is unset in everything below
//! -c key=value
//! the profile's file           NAME.config.toml
//! [profiles.NAME]              of -c, then of config.toml, then of the machine
//! projects                     of a trusted one, the nearest directory first
//! config.toml
//! machine                      config.toml of the machine
//! ```
//!
//! A value is taken from the highest layer that has it; tables are united, entry by entry. Sources
//! are sound, so that a value that is found is of its type.

use toml_edit::{Array, Item, Key, Value};

use crate::config::args::{self, Invocation};
use crate::config::file::{Source, Unknown};
use crate::config::keys::{self, FEATURES, Knowledge};
use crate::config::{ConfigError, flags, projects};
use crate::limits::{CONFIG_ENTRIES_MAX, CONFIG_NAMED_CHARS_MAX, CONFIG_NAMED_MAX};
use crate::words::sort;

/// A text and what to call it in messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// What kind of source one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    Machine,
    /// The user's config.toml.
    Config,
    Project,
    ProfileFile,
    /// The command line, or a client's request.
    Given,
    Managed,
}

/// All sources, with at most one profile chosen.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The highest first, as in all lists here.
    managed: Vec<Source>,
    requested: Option<Source>,
    overrides: Source,
    profile_file: Option<Source>,
    projects: Vec<Source>,
    config: Option<Source>,
    machine: Vec<Source>,
    profile: Option<Box<str>>,
    unknown: Unknown,
}

impl Layers {
    /// Reads config.toml, if there is one, and the overrides.
    pub fn new(invocation: &Invocation, config: Option<Named<'_>>) -> Result<Layers, ConfigError> {
        let unknown = match invocation.strict_config {
            true => Unknown::Refused,
            false => Unknown::Ignored,
        };
        let config = config.filter(|_| !invocation.ignore_user_config);
        let config = config.map(|file| Source::from_text(file.name, file.text, unknown));
        let requested = invocation.requested.as_ref();
        let requested = requested.map(|asked| Source::from_request(&asked.settings, unknown));
        Ok(Layers {
            requested: requested.transpose()?,
            overrides: Source::from_overrides(&invocation.overrides, unknown)?,
            managed: Vec::new(),
            profile_file: None,
            projects: Vec::new(),
            config: config.transpose()?,
            machine: Vec::new(),
            profile: None,
            unknown,
        })
    }

    /// Adds settings of the machine, below everything; a later file is above an earlier one.
    pub fn add_machine(&mut self, file: Named<'_>) -> Result<(), ConfigError> {
        self.machine.insert(0, Source::from_text(file.name, file.text, self.unknown)?);
        Ok(())
    }

    /// Adds managed settings, above everything; a later file is above an earlier one.
    pub fn add_managed(&mut self, file: Named<'_>) -> Result<(), ConfigError> {
        self.managed.insert(0, Source::from_text(file.name, file.text, self.unknown)?);
        Ok(())
    }

    /// Adds settings of a trusted project, of which only what a project may say counts; a later
    /// file is above an earlier one.
    pub fn add_project(&mut self, file: Named<'_>) -> Result<(), ConfigError> {
        self.projects.insert(0, Source::from_text(file.name, file.text, self.unknown)?);
        Ok(())
    }

    /// The profile that is asked for; the host looks for its file.
    pub fn wanted_profile(&self, invocation: &Invocation) -> Option<Box<str>> {
        invocation.profile.clone().or_else(|| self.text(&["profile"]).map(Box::from))
    }

    /// Puts a profile on top, from its file, its table or both.
    pub fn choose_profile(
        &mut self,
        name: &str,
        file: Option<Named<'_>>,
    ) -> Result<(), ConfigError> {
        let tabled = self.tables().any(|source| source.find(&["profiles", name]).is_some());
        if file.is_none() && !tabled {
            let message = format!(
                "unknown profile {name:?}: there is neither a file {name}.config.toml beside \
                 config.toml nor a table [profiles.{name}] in it"
            );
            return Err(ConfigError::new(message));
        }
        let file = file.map(|file| Source::from_text(file.name, file.text, self.unknown));
        self.profile_file = file.transpose()?;
        self.profile = Some(name.into());
        Ok(())
    }

    /// Whether somebody asks for this key beyond what is always configured: by a profile, on the
    /// command line, as a client, or for the machine.
    pub fn is_asked(&self, key: &str) -> bool {
        let asks = |rank| matches!(rank, Rank::ProfileFile | Rank::Given | Rank::Managed);
        let is_tabled = |name: &str| {
            let path = ["profiles", name, key];
            self.tables().any(|source| source.find(&path).is_some())
        };
        let mut stack = self.stack().into_iter();
        stack.any(|(rank, source)| asks(rank) && source.find(&[key]).is_some())
            || self.profile().is_some_and(is_tabled)
    }

    /// All sources, the lowest first, each with its place.
    ///
    /// Tables of profiles are inside their sources and stand above projects all the same.
    pub fn stack(&self) -> Vec<(Rank, &Source)> {
        let mut stack: Vec<(Rank, &Source)> = Vec::new();
        stack.extend(self.machine.iter().rev().map(|source| (Rank::Machine, source)));
        stack.extend(self.config.iter().map(|source| (Rank::Config, source)));
        stack.extend(self.projects.iter().rev().map(|source| (Rank::Project, source)));
        stack.extend(self.profile_file.iter().map(|source| (Rank::ProfileFile, source)));
        stack.push((Rank::Given, &self.overrides));
        stack.extend(self.requested.iter().map(|source| (Rank::Given, source)));
        stack.extend(self.managed.iter().rev().map(|source| (Rank::Managed, source)));
        stack
    }

    /// The profile that was chosen.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The item that counts at a path, and its source.
    pub fn find(&self, path: &[&str]) -> Option<(&Source, &Item)> {
        self.found(path).next()
    }

    pub fn text(&self, path: &[&str]) -> Option<&str> {
        self.find(path).and_then(|(_, item)| item.as_str())
    }

    pub fn flag(&self, path: &[&str]) -> Option<bool> {
        self.find(path).and_then(|(_, item)| item.as_bool())
    }

    pub fn count(&self, path: &[&str]) -> Option<u64> {
        self.find(path).and_then(|(_, item)| item.as_integer()).map(|count| count.max(0) as u64)
    }

    /// A length of time.
    pub fn time_ms(&self, path: &[&str]) -> Option<u64> {
        let (_, item) = self.find(path)?;
        let text = item.as_str().map(str::to_owned);
        let text = text.or_else(|| item.as_integer().map(|seconds| seconds.to_string()))?;
        // A source holds only times.
        flags::duration_ms(&text).ok()
    }

    pub fn texts(&self, path: &[&str]) -> Option<Vec<Box<str>>> {
        let array = self.find(path).and_then(|(_, item)| item.as_array());
        let texts = |array: &Array| array.iter().filter_map(Value::as_str).map(Box::from).collect();
        array.map(texts)
    }

    /// The entries of a table of texts, from all layers, by name.
    pub fn text_map(&self, path: &[&str]) -> Vec<(Box<str>, Box<str>)> {
        let names = self.names(path).into_iter();
        let entry = |name: Box<str>| {
            let path: Vec<&str> = path.iter().copied().chain([&*name]).collect();
            let text = self.text(&path).map(Box::from);
            text.map(|text| (name, text))
        };
        names.filter_map(entry).collect()
    }

    /// The names in a table, from all layers, sorted.
    pub fn names(&self, path: &[&str]) -> Vec<Box<str>> {
        let mut names: Vec<Box<str>> = Vec::new();
        for (_, item) in self.found(path) {
            let Some(table) = item.as_table_like() else { break };
            // A source bounds each of its tables.
            names.extend(table.iter().map(|(name, _)| Box::from(name)).take(CONFIG_ENTRIES_MAX));
        }
        sort::by(&mut names, &mut Ord::cmp);
        names.dedup();
        names
    }

    /// Whether a feature is on: set, set under an old name, or by default.
    pub fn feature(&self, name: &str) -> bool {
        let default = || FEATURES.iter().any(|(known, on)| *known == name && *on);
        self.feature_set(name).unwrap_or_else(default)
    }

    /// What somebody set a feature to, by its name or an old one.
    pub fn feature_set(&self, name: &str) -> Option<bool> {
        let set = self.flag(&["features", name]);
        let old = || OLD_NAMES.iter().filter(|(_, new)| *new == name);
        set.or_else(|| old().find_map(|(old, _)| self.flag(old)))
    }

    /// Whether a project is trusted, of the places that stand for it; the first that is named
    /// decides.
    pub fn trust(&self, places: &[&str]) -> Option<bool> {
        let level = |place: &&str| self.text(&["projects", place, "trust_level"]);
        places.iter().find_map(level).map(|level| level == "trusted")
    }

    /// Lines for people: keys that have a new name, keys typed that nobody knows, and what a
    /// project may not say.
    pub fn notices(&self) -> Vec<Box<str>> {
        let mut notices = Vec::new();
        for (old, new) in OLD_NAMES.iter().chain(&[INCLUDE_PATCH]) {
            // Programs are not told what to write instead.
            let typed = |source: &Source| {
                self.requested.as_ref().is_none_or(|asked| !std::ptr::eq(asked, source))
            };
            if let Some((source, item)) = self.find(old).filter(|(source, _)| typed(source)) {
                let (place, old) = (source.place(item), old.join("."));
                let notice = format!("{place}: {old} is deprecated; use features.{new}");
                notices.push(notice.into());
            }
        }
        let mut unknown = Vec::new();
        self.overrides.visit(&mut |path, _, knowledge| {
            if knowledge == Knowledge::Unknown {
                unknown.push(named(path));
            }
        });
        if let Some(keys) = listed(&unknown) {
            notices.push(format!("-c: ignored, as there is no such key: {keys}").into());
        }
        for project in &self.projects {
            let mut refused = Vec::new();
            project.visit(&mut |path, item, knowledge| {
                if matches!(knowledge, Knowledge::Known(_)) && !projects::may_say(path, item) {
                    refused.push(named(path));
                }
            });
            if let Some(keys) = listed(&refused) {
                let notice =
                    format!("{project}: ignored, as it is not for a project to say: {keys}");
                notices.push(notice.into());
            }
        }
        notices
    }

    /// What a request or `-c` says at a path, for the few settings that ask who said it.
    pub fn overridden(&self, path: &[&str]) -> Option<&str> {
        let mut sources = self.requested.iter().chain([&self.overrides]);
        sources.find_map(|source| source.find(path)).and_then(Item::as_str)
    }

    /// An error about the value at a path.
    pub fn wrong(&self, path: &[&str], why: &str) -> ConfigError {
        let key = path.join(".");
        ConfigError::new(match self.find(path) {
            Some((source, item)) => format!("{}: {key}: {why}", source.place(item)),
            None => format!("{key}: {why}"),
        })
    }

    /// All items at a path, highest layer first.
    fn found<'a>(&'a self, path: &[&str]) -> impl Iterator<Item = (&'a Source, &'a Item)> {
        let mut inside = vec!["profiles", self.profile.as_deref().unwrap_or_default()];
        inside.extend(path);
        let profile = self.profile.is_some();
        let from = |source: &'a Source, path: &[&str]| source.find(path).map(|item| (source, item));
        let mut found: Vec<(&Source, &Item)> = Vec::new();
        found.extend(self.managed.iter().filter_map(|source| from(source, path)));
        if let Some(requested) = &self.requested {
            found.extend(from(requested, path));
            if requested.unsets(path) {
                return found.into_iter();
            }
        }
        found.extend(from(&self.overrides, path));
        found.extend(self.profile_file.iter().filter_map(|source| from(source, path)));
        if profile {
            found.extend(self.tables().filter_map(|source| from(source, &inside)));
        }
        let said = self.projects.iter().filter_map(|source| from(source, path));
        found.extend(said.filter(|(_, item)| projects::may_say(path, item)));
        found.extend(self.config.iter().filter_map(|source| from(source, path)));
        found.extend(self.machine.iter().filter_map(|source| from(source, path)));
        found.into_iter()
    }

    /// The sources whose tables are profiles.
    fn tables(&self) -> impl Iterator<Item = &Source> {
        self.requested.iter().chain([&self.overrides]).chain(&self.config).chain(&self.machine)
    }
}

/// Keys of older versions that stand for features.
static OLD_NAMES: &[(&[&str], &str)] = &[
    (&["experimental_use_unified_exec_tool"], "unified_exec"),
    (&["use_experimental_unified_exec_tool"], "unified_exec"),
    (&["experimental_use_exec_command_tool"], "unified_exec"),
    (&["experimental_use_freeform_apply_patch"], "apply_patch_freeform"),
    (&["experimental_use_rmcp_client"], "rmcp_client"),
    (&["experimental_sandbox_command_assessment"], "experimental_sandbox_command_assessment"),
    (&["tools", "view_image"], "view_image_tool"),
    (&["tools", "web_search"], "web_search_request"),
];

/// An older key that says more than a feature does, and what is like it.
const INCLUDE_PATCH: (&[&str], &str) = (&["include_apply_patch_tool"], "apply_patch_freeform");

/// A key as a message has it, with what may have been meant.
fn named(path: &[&str]) -> String {
    let key: Vec<String> = path.iter().map(|name| Key::new(*name).to_string()).collect();
    let key: String = key.join(".").chars().take(CONFIG_NAMED_CHARS_MAX).collect();
    let known = |name: &str| keys::top_names().any(|known| known == name);
    match path.first().filter(|name| !known(name)) {
        Some(top) => match args::suggestion(top, keys::top_names()) {
            Some(close) => format!("{key} (did you mean {close}?)"),
            None => key,
        },
        None => key,
    }
}

/// The first of these keys; `None` without any.
fn listed(keys: &[String]) -> Option<String> {
    let first = keys.iter().take(CONFIG_NAMED_MAX).map(String::as_str).collect::<Vec<_>>();
    let more = keys.len() - first.len();
    match more {
        _ if keys.is_empty() => None,
        0 => Some(first.join(", ")),
        more => Some(format!("{} and {more} more", first.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::Override;

    fn layers(pairs: &[&str], profile: Option<(&str, Option<&str>)>, config: &str) -> Layers {
        let overrides = pairs.iter().map(|pair| Override::Pair((*pair).into())).collect();
        let invocation = Invocation { overrides, ..Invocation::default() };
        let config = Named { name: "config.toml", text: config };
        let mut layers = Layers::new(&invocation, Some(config)).expect("sound");
        if let Some((name, file)) = profile {
            let file = file.map(|text| Named { name: "p.config.toml", text });
            layers.choose_profile(name, file).expect("known");
        }
        layers
    }

    const CONFIG: &str = "model = 'base'\n[profiles.p]\nmodel = 'table'\n";

    #[test]
    fn the_highest_layer_wins() {
        let model = |layers: Layers| layers.text(&["model"]).expect("set").to_owned();
        assert_eq!(model(layers(&[], None, CONFIG)), "base");
        assert_eq!(model(layers(&[], Some(("p", None)), CONFIG)), "table");
        assert_eq!(model(layers(&[], Some(("p", Some("model = 'file'"))), CONFIG)), "file");
        assert_eq!(model(layers(&["model=flag"], Some(("p", None)), CONFIG)), "flag");
        let inside = layers(&["profiles.p.model=inner"], Some(("p", None)), CONFIG);
        assert_eq!(model(inside), "inner");
        assert_eq!(model(layers(&[], Some(("p", Some(""))), CONFIG)), "table");
    }

    #[test]
    fn tables_are_united() {
        let config = "[model_providers.x]\nname = 'X'\nhttp_headers = { A = '1', B = '2' }\n";
        let layers = layers(
            &["model_providers.x.http_headers.B='3'", "model_providers.y.name=Y"],
            None,
            config,
        );
        assert_eq!(layers.names(&["model_providers"]), ["x".into(), "y".into()]);
        let headers = layers.text_map(&["model_providers", "x", "http_headers"]);
        assert_eq!(headers, [("A".into(), "1".into()), ("B".into(), "3".into())]);
        assert_eq!(layers.text(&["model_providers", "x", "name"]), Some("X"));
    }

    #[test]
    fn an_unknown_profile_is_an_error() {
        let mut layers = layers(&[], None, CONFIG);
        let error = layers.choose_profile("q", None).expect_err("unknown");
        assert!(error.to_string().contains("unknown profile \"q\""));
        assert!(layers.choose_profile("q", Some(Named { name: "q", text: "model = 1" })).is_err());
    }

    #[test]
    fn the_wanted_profile_is_the_flag_or_the_key() {
        let by_key = layers(&["profile=p"], None, "profile = 'q'");
        let flag = Invocation { profile: Some("f".into()), ..Invocation::default() };
        assert_eq!(by_key.wanted_profile(&flag).as_deref(), Some("f"));
        assert_eq!(by_key.wanted_profile(&Invocation::default()).as_deref(), Some("p"));
    }

    #[test]
    fn features_have_old_names_and_defaults() {
        let layers = layers(&[], None, "experimental_use_freeform_apply_patch = true");
        assert!(layers.feature("apply_patch_freeform"));
        assert!(layers.feature("view_image_tool"));
        assert!(!layers.feature("file_tools"));
        assert_eq!(layers.feature_set("view_image_tool"), None);
    }

    #[test]
    fn tables_of_older_versions_set_features() {
        let layers = layers(&[], None, "[tools]\nview_image = false\nweb_search = true");
        assert_eq!(layers.feature_set("view_image_tool"), Some(false));
        assert!(layers.feature("web_search_request"));
    }

    #[test]
    fn the_machine_is_below_and_what_is_managed_above() {
        let mut layers = layers(&["model=typed"], None, "review_model = 'mine'");
        let file = |name, text| Named { name, text };
        let low = "model = 'low'\nreview_model = 'low'\nopenai_base_url = 'http://low'";
        layers.add_machine(file("/etc/codex/config.toml", low)).expect("sound");
        layers
            .add_machine(file("/etc/windlass/config.toml", "file_opener = 'low'"))
            .expect("sound");
        assert_eq!(layers.text(&["model"]), Some("typed"));
        assert_eq!(layers.text(&["review_model"]), Some("mine"));
        assert_eq!(layers.text(&["openai_base_url"]), Some("http://low"));
        assert_eq!(layers.text(&["file_opener"]), Some("low"));
        layers.add_managed(file("one", "model = 'one'")).expect("sound");
        layers.add_managed(file("two", "model = 'two'")).expect("sound");
        assert_eq!(layers.text(&["model"]), Some("two"));
    }

    #[test]
    fn a_project_says_only_what_it_may() {
        let mut layers = layers(&[], Some(("p", None)), "sandbox_mode = 'read-only'\n[profiles.p]");
        let wild = "model = 'far'\nsandbox_mode = 'danger-full-access'\nnotify = ['x']\nshiny = 1\n\
                    [model_providers.x]\nname = 'X'\n[projects.'/']\ntrust_level = 'trusted'\n";
        layers.add_project(Named { name: "/far/.codex/config.toml", text: wild }).expect("sound");
        let near = Named { name: "/far/near/.codex/config.toml", text: "model = 'near'" };
        layers.add_project(near).expect("sound");
        assert_eq!(layers.text(&["model"]), Some("near"));
        assert_eq!(layers.text(&["sandbox_mode"]), Some("read-only"));
        assert_eq!(layers.texts(&["notify"]), None);
        assert!(layers.names(&["model_providers"]).is_empty());
        assert_eq!(layers.trust(&["/"]), None);
        let expected = "/far/.codex/config.toml: ignored, as it is not for a project to say: \
                        sandbox_mode, notify, model_providers.x.name, projects.\"/\".trust_level";
        assert_eq!(layers.notices(), [expected.into()]);
    }

    #[test]
    fn the_first_place_that_is_named_decides_of_trust() {
        let config = "[projects.'/a']\ntrust_level = 'trusted'\n[projects.'/a/b']\n\
                      trust_level = 'untrusted'\n";
        let layers = layers(&[], None, config);
        assert_eq!(layers.trust(&["/a/b", "/a"]), Some(false));
        assert_eq!(layers.trust(&["/a/c", "/a"]), Some(true));
        assert_eq!(layers.trust(&["/c"]), None);
    }

    #[test]
    fn old_and_unknown_keys_are_named() {
        let layers = layers(
            &["modle=x", "made.\"u p\".key=1", "features.future=true", "tools.web_search=true"],
            None,
            "unknown = 1\ninclude_apply_patch_tool = true\n",
        );
        let expected = [
            "-c: tools.web_search is deprecated; use features.web_search_request",
            "config.toml line 2: include_apply_patch_tool is deprecated; use \
             features.apply_patch_freeform",
            "-c: ignored, as there is no such key: modle (did you mean model?), made",
        ];
        assert_eq!(layers.notices(), expected.map(Box::from));
    }

    #[test]
    fn only_so_many_keys_are_named() {
        let keys: Vec<String> =
            (0..2 * CONFIG_NAMED_MAX).map(|index| format!("zz{index}=1")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let notices = layers(&keys, None, "").notices();
        assert!(notices[0].ends_with(&format!("and {CONFIG_NAMED_MAX} more")), "{notices:?}");
        let long = format!("{}=1", "z".repeat(2 * CONFIG_NAMED_CHARS_MAX));
        assert!(layers(&[&long], None, "").notices()[0].len() < 2 * CONFIG_NAMED_CHARS_MAX);
    }

    #[test]
    fn the_users_file_can_be_left_out() {
        let invocation = Invocation { ignore_user_config: true, ..Invocation::default() };
        let config = Named { name: "config.toml", text: "model = 1" };
        let layers = Layers::new(&invocation, Some(config)).expect("not even read");
        assert_eq!(layers.text(&["model"]), None);
    }
}
