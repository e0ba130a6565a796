//! Sources of settings on top of each other.
//!
//! ```text
//! flags                        not here: `settings` asks the invocation first
//! -c key=value
//! the profile's file           NAME.config.toml
//! [profiles.NAME]              of -c, then of config.toml
//! config.toml
//! ```
//!
//! A value is taken from the highest layer that has it; tables are united, entry by entry. Sources
//! are sound, so that a value that is found is of its type.

use toml_edit::{Array, Item, Value};

use crate::config::ConfigError;
use crate::config::args::Invocation;
use crate::config::file::{Source, Unknown};
use crate::config::flags;
use crate::config::keys::FEATURES;
use crate::limits::CONFIG_ENTRIES_MAX;

/// A text and what to call it in messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// All sources, with at most one profile chosen.
#[derive(Clone, Debug)]
pub struct Layers {
    overrides: Source,
    profile_file: Option<Source>,
    config: Option<Source>,
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
        Ok(Layers {
            overrides: Source::from_overrides(&invocation.overrides, unknown)?,
            profile_file: None,
            config: config.transpose()?,
            profile: None,
            unknown,
        })
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
        let sources = [Some(&self.overrides), self.config.as_ref()].into_iter().flatten();
        let tabled = sources.flat_map(|source| source.find(&["profiles", name])).next().is_some();
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
        names.sort_unstable();
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

    /// What `-c` says at a path, for the few settings that ask who said it.
    pub fn overridden(&self, path: &[&str]) -> Option<&str> {
        self.overrides.find(path).and_then(Item::as_str)
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
        let found = [
            from(&self.overrides, path),
            self.profile_file.as_ref().and_then(|source| from(source, path)),
            Some(&self.overrides).filter(|_| profile).and_then(|source| from(source, &inside)),
            self.config.as_ref().filter(|_| profile).and_then(|source| from(source, &inside)),
            self.config.as_ref().and_then(|source| from(source, path)),
        ];
        found.into_iter().flatten()
    }
}

/// Keys of older versions that stand for features.
static OLD_NAMES: &[(&[&str], &str)] = &[
    (&["experimental_use_unified_exec_tool"], "unified_exec"),
    (&["experimental_use_exec_command_tool"], "unified_exec"),
    (&["experimental_use_freeform_apply_patch"], "apply_patch_freeform"),
    (&["experimental_use_rmcp_client"], "rmcp_client"),
    (&["experimental_sandbox_command_assessment"], "experimental_sandbox_command_assessment"),
    (&["tools", "view_image"], "view_image_tool"),
    (&["tools", "web_search"], "web_search_request"),
];

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
    fn the_users_file_can_be_left_out() {
        let invocation = Invocation { ignore_user_config: true, ..Invocation::default() };
        let config = Named { name: "config.toml", text: "model = 1" };
        let layers = Layers::new(&invocation, Some(config)).expect("not even read");
        assert_eq!(layers.text(&["model"]), None);
    }
}
