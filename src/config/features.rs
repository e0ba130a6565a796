//! What `features list` prints.
//!
//! One line for each feature: name, stage and whether it is on, with tabs between. The names are
//! those of [`super::keys::FEATURES`]; who set them is [`super::layers`]'s business.

use crate::config::keys::FEATURES;
use crate::config::layers::Layers;

/// Stages of those features that are not experimental.
static STAGES: &[(&str, &str)] = &[
    ("apply_patch_freeform", "beta"),
    ("view_image_tool", "stable"),
    ("web_search_request", "stable"),
];

/// The names of all features.
pub static NAMES: [&str; FEATURES.len()] = {
    let mut names = [""; FEATURES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = FEATURES[index].0;
        index += 1;
    }
    names
};

/// Every feature on a line of its own.
pub fn list(layers: &Layers) -> String {
    NAMES
        .iter()
        .map(|name| format!("{name}\t{}\t{}\n", stage(name), layers.feature(name)))
        .collect()
}

/// How far a feature is: `experimental`, `beta` or `stable`.
pub fn stage(name: &str) -> &'static str {
    STAGES.iter().find(|(known, _)| *known == name).map_or("experimental", |(_, stage)| stage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::{Invocation, Override};
    use crate::config::layers::Named;

    #[test]
    fn each_feature_is_a_line_with_its_stage_and_state() {
        let config = Named { name: "c.toml", text: "[features]\nghost_commit = false\n" };
        let enabled = Override::Feature { name: "unified_exec".into(), enabled: true };
        let invocation = Invocation { overrides: vec![enabled], ..Invocation::default() };
        let text = list(&Layers::new(&invocation, Some(config)).expect("layers"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), FEATURES.len());
        for line in [
            "unified_exec\texperimental\ttrue",
            "apply_patch_freeform\tbeta\tfalse",
            "view_image_tool\tstable\ttrue",
            "ghost_commit\texperimental\tfalse",
        ] {
            assert!(lines.contains(&line), "{line:?} in {text}");
        }
    }

    #[test]
    fn stages_are_those_of_features() {
        assert!(STAGES.iter().all(|(name, _)| NAMES.contains(name)));
    }
}
