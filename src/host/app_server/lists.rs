//! `model/list` and `experimentalFeature/list`: what a person may choose, a page at a time.

use std::ops::Range;

use crate::config::args::{Invocation, Verb};
use crate::config::catalog::{self, Offered};
use crate::config::layers::Layers;
use crate::config::providers::{DEFAULT_PROVIDER, Provider};
use crate::config::{features, keys, models, settings};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::v2;
use crate::host::app_server::{Surroundings, refused};
use crate::host::disk::config::layers_on;

/// Answers `model/list`: those of OpenAI and the one that is configured; of other providers this
/// one alone, as nobody has told which they have.
pub fn models(
    around: &Surroundings<'_>,
    params: &v2::ModelListParams,
) -> Result<v2::ModelListResponse, Failure> {
    let base = Invocation { verb: Verb::Exec, ..around.base.clone() };
    let (_, layers) = layers_on(around.machine, &base, around.env).map_err(refused)?;
    let configured = settings::provider(&base, &layers, around.env).map_err(refused)?;
    let (provider, model) = match params.model_provider.as_deref() {
        Some(id) if *id != *configured.id => {
            let provider = Provider::find(id, &layers, around.env).map_err(refused)?;
            let model = provider.default_model().into();
            (provider, model)
        }
        Some(_) | None => {
            let model = settings::model_named(&base, &layers, &configured).map_err(refused)?;
            (configured, model)
        }
    };
    let offered = if *provider.id == *DEFAULT_PROVIDER { catalog::OPENAI } else { &[] };
    let with_hidden = params.include_hidden.unwrap_or(false);
    let is_chosen = |offered: &&Offered| *offered.model == *model;
    let shown = offered.iter().filter(|one| !one.hidden || with_hidden || is_chosen(one));
    let mut all: Vec<v2::Model> = shown.map(|one| listed(one, is_chosen(&one))).collect();
    if !offered.iter().any(|one| is_chosen(&one)) {
        all.insert(0, alone(&model));
    }
    let (range, next_cursor) = page(all.len(), params.cursor.as_deref(), params.limit)?;
    let data = all.drain(range).collect();
    Ok(v2::ModelListResponse { data, next_cursor })
}

/// Answers `experimentalFeature/list`.
pub fn features(
    around: &Surroundings<'_>,
    params: &v2::ExperimentalFeatureListParams,
) -> Result<v2::ExperimentalFeatureListResponse, Failure> {
    let (_, layers) = layers_on(around.machine, around.base, around.env).map_err(refused)?;
    let count = keys::FEATURES.len();
    let (range, next_cursor) = page(count, params.cursor.as_deref(), params.limit)?;
    let data = keys::FEATURES[range].iter().map(|row| feature(*row, &layers)).collect();
    Ok(v2::ExperimentalFeatureListResponse { data, next_cursor })
}

fn feature((name, default): (&str, bool), layers: &Layers) -> v2::ExperimentalFeature {
    v2::ExperimentalFeature {
        name: name.into(),
        stage: match features::stage(name) {
            "stable" => v2::ExperimentalFeatureStage::Stable,
            "beta" => v2::ExperimentalFeatureStage::Beta,
            _ => v2::ExperimentalFeatureStage::UnderDevelopment,
        },
        display_name: None,
        description: None,
        announcement: None,
        enabled: layers.feature(name),
        default_enabled: default,
    }
}

/// The part of a list that was asked for, and the cursor of the next; a cursor is an index.
fn page(
    count: usize,
    cursor: Option<&str>,
    limit: Option<u32>,
) -> Result<(Range<usize>, Option<Box<str>>), Failure> {
    let start = match cursor {
        None => 0,
        Some(cursor) => match cursor.parse::<usize>() {
            Ok(start) if start <= count => start,
            Ok(_) | Err(_) => {
                let short: String = cursor.chars().take(40).collect();
                return Err(Failure::refused(format!("invalid cursor: {short:?}")));
            }
        },
    };
    // An empty page would never end.
    let limit = limit.map_or(count, |limit| limit.max(1) as usize);
    let end = start.saturating_add(limit).min(count);
    Ok((start..end, (end < count).then(|| end.to_string().into())))
}

fn listed(offered: &Offered, is_default: bool) -> v2::Model {
    let option = |effort: &&str| v2::ReasoningEffortOption {
        reasoning_effort: (*effort).into(),
        description: catalog::effort_described(effort).into(),
    };
    v2::Model {
        display_name: offered.name.into(),
        description: offered.description.into(),
        hidden: offered.hidden,
        supported_reasoning_efforts: offered.efforts.iter().map(option).collect(),
        default_reasoning_effort: offered.effort.into(),
        is_default,
        ..alone(offered.model)
    }
}

/// The model that is configured, of which no more is known than its family.
fn alone(model: &str) -> v2::Model {
    let family = models::family(model);
    let efforts: &[&str] = if family.reasoning { &["low", "medium", "high"] } else { &[] };
    let option = |effort: &&str| v2::ReasoningEffortOption {
        reasoning_effort: (*effort).into(),
        description: catalog::effort_described(effort).into(),
    };
    let mut input_modalities = vec![v2::InputModality::Text];
    input_modalities.extend(family.images.then_some(v2::InputModality::Image));
    v2::Model {
        id: model.into(),
        model: model.into(),
        upgrade: None,
        upgrade_info: None,
        availability_nux: None,
        display_name: model.into(),
        description: "The model that is configured.".into(),
        model_specialty: None,
        hidden: false,
        supported_reasoning_efforts: efforts.iter().map(option).collect(),
        default_reasoning_effort: if family.reasoning { "medium" } else { "none" }.into(),
        input_modalities,
        supports_personality: false,
        multi_agent_version: None,
        additional_speed_tiers: Vec::new(),
        service_tiers: Vec::new(),
        default_service_tier: None,
        available_access_programs: None,
        is_default: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fronts::app_server::types::codec::Typed;
    use crate::host::app_server::tests::at;
    use crate::host::disk::tests::Place;

    fn list(config: &str, base: &Invocation, json: &str) -> Result<v2::ModelListResponse, Failure> {
        let place = Place::new();
        place.file("home/config.toml", config);
        let params = v2::ModelListParams::decode(json).expect("parameters");
        at(&place, base, |around| models(around, &params))
    }

    fn names(config: &str, json: &str) -> Vec<String> {
        let list = list(config, &Invocation::default(), json).expect("a list");
        let mark = |model: &v2::Model| if model.is_default { "*" } else { "" };
        list.data.iter().map(|model| format!("{}{}", model.model, mark(model))).collect()
    }

    #[test]
    fn the_configured_model_is_listed_and_marked() {
        let expected = ["gpt-5.1-codex*", "gpt-5.1-codex-mini", "gpt-5.1"];
        assert_eq!(names("", "{}"), expected);
        assert_eq!(names("model = 'gpt-5.1'", "{}")[2], "gpt-5.1*");
        assert_eq!(names("model = 'gpt-5'", "{}").last().expect("one"), "gpt-5*");
        assert_eq!(names("model = 'new-one'", "{}")[..2], ["new-one*", "gpt-5.1-codex"]);
        let hidden = names("", "{\"includeHidden\":true}");
        assert_eq!((hidden.len(), &*hidden[4]), (5, "gpt-5"));
    }

    #[test]
    fn of_other_providers_the_configured_model_is_listed_alone() {
        let config = "model = 'qwen'\nmodel_provider = 'x'\n[model_providers.x]\nname = 'X'\n";
        assert_eq!(names(config, "{}"), ["qwen*"]);
        assert_eq!(names(config, "{\"modelProvider\":\"openai\"}")[0], "gpt-5.1-codex*");
        let oss = Invocation { oss: true, ..Invocation::default() };
        let list = list("", &oss, "{}").expect("a list");
        assert_eq!((list.data.len(), &*list.data[0].model), (1, "gpt-oss:20b"));
        assert!(list.data[0].supported_reasoning_efforts.is_empty());
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let base = Invocation::default();
        let first = list("", &base, "{\"limit\":2}").expect("a page");
        assert_eq!((first.data.len(), first.next_cursor.as_deref()), (2, Some("2")));
        let second = list("", &base, "{\"limit\":2,\"cursor\":\"2\"}").expect("a page");
        assert_eq!((second.data.len(), second.next_cursor), (1, None));
        assert_eq!(list("", &base, "{\"limit\":0}").expect("a page").data.len(), 1);
        for cursor in ["x", "-1", "4", "99999999999999999999"] {
            let failure = list("", &base, &format!("{{\"cursor\":\"{cursor}\"}}"));
            let failure = failure.expect_err(cursor);
            assert_eq!(failure.message, format!("invalid cursor: {cursor:?}"));
        }
    }

    #[test]
    fn features_are_listed_as_they_are_set() {
        let place = Place::new();
        place.file("home/config.toml", "[features]\nghost_commit = false\n");
        let params = v2::ExperimentalFeatureListParams::decode("{}").expect("parameters");
        let list = at(&place, &Invocation::default(), |around| features(around, &params));
        let list = list.expect("a list");
        assert_eq!((list.data.len(), list.next_cursor), (keys::FEATURES.len(), None));
        let ghost = list.data.iter().find(|feature| *feature.name == *"ghost_commit");
        let ghost = ghost.expect("listed");
        assert!(!ghost.enabled && ghost.default_enabled);
    }
}
