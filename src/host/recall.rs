//! What a session goes on with as it was recorded: its model and effort, unless others are asked
//! for.

use crate::config::layers::Layers;
use crate::config::providers::Wire;
use crate::config::settings;
use crate::limits::MODEL_NAME_BYTES_MAX;
use crate::wire::rollout::Setup;
use crate::words::settings::ThreadSettings;

/// What a run is called with.
#[derive(Debug)]
pub struct Recall {
    pub layers: Layers,
    pub wire: Wire,
    /// A model is asked for anew.
    pub is_model_asked: bool,
}

impl Recall {
    /// The settings of a thread with what its past was recorded with last.
    pub fn settings(&self, settings: &ThreadSettings, past: &Setup) -> Option<ThreadSettings> {
        let is_other = |provider: &str| *provider != *settings.provider;
        if self.is_model_asked || past.provider.as_deref().is_some_and(is_other) {
            return None;
        }
        let mut recalled = settings.clone();
        if let Some(model) = past.model.as_deref().filter(|model| **model != *settings.model) {
            // A name that is none is not gone on with.
            recalled = settings::for_model(recalled, model, &self.layers, &self.wire).ok()?;
        }
        if !self.layers.is_asked("model_reasoning_effort") {
            effort(&mut recalled, past.effort.as_deref());
        }
        (recalled != *settings).then_some(recalled)
    }
}

/// Takes over a recorded effort, if the model has any.
pub fn effort(settings: &mut ThreadSettings, effort: Option<&str>) {
    let is_word = |effort: &&str| {
        let is_plain = effort.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain && (1..=MODEL_NAME_BYTES_MAX).contains(&effort.len())
    };
    if let Some(effort) = effort.filter(is_word)
        && settings.reasoning.supported
    {
        settings.reasoning.effort = Some(effort.into());
    }
}
