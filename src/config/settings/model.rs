//! What depends on the model: its name, the tools it is offered and how it thinks and speaks.

use std::borrow::Cow;

use crate::config::args::{Invocation, Verb};
use crate::config::layers::Layers;
use crate::config::models::{self, Family, VerbositySupport};
use crate::config::providers::{Provider, Wire};
use crate::config::{ConfigError, instructions};
use crate::limits::MODEL_NAME_BYTES_MAX;
use crate::words::settings::{
    PatchForm, ReasoningSettings, ShellForm, ThreadSettings, ToolSettings, Verbosity, WebReach,
};

/// A model of config.toml is meant for its provider, so that `--oss` passes it over.
pub fn named(
    invocation: &Invocation,
    layers: &Layers,
    provider: &Provider,
) -> Result<Box<str>, ConfigError> {
    if invocation.verb == Verb::Demo {
        return Ok(models::RECORDED_MODEL.into());
    }
    let text = |key| match invocation.oss {
        true => layers.overridden(&[key]),
        false => layers.text(&[key]),
    };
    let of_reviews = match invocation.verb {
        Verb::Review(_) => text("review_model").filter(|model| !model.trim().is_empty()),
        _ => None,
    };
    let configured = of_reviews.or_else(|| text("model"));
    let named = invocation.model.as_deref().or(configured).map(str::trim);
    let model = named.filter(|model| !model.is_empty()).unwrap_or(provider.default_model());
    checked(model)
}

/// A model's name, if it can be one.
pub fn checked(model: &str) -> Result<Box<str>, ConfigError> {
    if model.len() > MODEL_NAME_BYTES_MAX || model.chars().any(char::is_control) {
        let why = format!("longer than {MODEL_NAME_BYTES_MAX} bytes or with control characters");
        return Err(ConfigError::new(format!("the name of the model is {why}")));
    }
    Ok(model.into())
}

/// The settings of a thread whose model is another one from now on.
///
/// What followed from the old model follows from the new one; what was said otherwise stays.
pub fn for_model(
    settings: ThreadSettings,
    model: &str,
    layers: &Layers,
    wire: &Wire,
) -> Result<ThreadSettings, ConfigError> {
    let model = checked(model.trim())?;
    if model.is_empty() {
        return Err(ConfigError::new("the name of the model is empty"));
    }
    let old = Following::new(&settings.model, layers, wire);
    let new = Following::new(&model, layers, wire);
    let followed = *settings.instructions == *instructions::base(old.tools.patch);
    Ok(ThreadSettings {
        instructions: match followed {
            true => Cow::Borrowed(instructions::base(new.tools.patch)),
            false => settings.instructions,
        },
        tools: either(settings.tools, &old.tools, new.tools),
        reasoning: ReasoningSettings {
            supported: new.reasoning.supported,
            effort: either(settings.reasoning.effort, &old.reasoning.effort, new.reasoning.effort),
            summary: settings.reasoning.summary,
        },
        verbosity: new.verbosity,
        context_window: new.context_window,
        compact_at_tokens: new.compact_at_tokens,
        parallel_tool_calls: new.parallel_tool_calls,
        model,
        ..settings
    })
}

/// The new value if the present one is the old one.
fn either<T: PartialEq>(present: T, old: &T, new: T) -> T {
    if present == *old { new } else { present }
}

/// What follows from a model.
struct Following {
    tools: ToolSettings,
    reasoning: ReasoningSettings,
    verbosity: Option<Verbosity>,
    context_window: Option<u64>,
    compact_at_tokens: Option<u64>,
    parallel_tool_calls: bool,
}

impl Following {
    fn new(model: &str, layers: &Layers, wire: &Wire) -> Following {
        let family = models::family(model);
        let context_window = context_window(layers, family);
        Following {
            tools: tools(layers, family, wire),
            reasoning: reasoning(layers, family, wire),
            verbosity: verbosity(layers, family, wire, &mut Vec::new()),
            context_window,
            compact_at_tokens: compact_at_tokens(layers, context_window),
            parallel_tool_calls: family.parallel_tool_calls,
        }
    }
}

pub(super) fn context_window(layers: &Layers, family: &Family) -> Option<u64> {
    let configured = layers.count(&["model_context_window"]).filter(|tokens| *tokens > 0);
    configured.or(family.context_window)
}

pub(super) fn compact_at_tokens(layers: &Layers, context_window: Option<u64>) -> Option<u64> {
    let configured = layers.count(&["model_auto_compact_token_limit"]).filter(|tokens| *tokens > 0);
    configured.or(context_window.map(nine_tenths))
}

/// Chat Completions know functions alone: there every tool is offered in that form.
pub(super) fn tools(layers: &Layers, family: &Family, wire: &Wire) -> ToolSettings {
    let patch = match layers.flag(&["include_apply_patch_tool"]) {
        _ if layers.feature("apply_patch_freeform") => PatchForm::Freeform,
        Some(false) => PatchForm::ThroughShell,
        Some(true) | None => family.patch,
    };
    let shell = match wire {
        // What a session is, chat models were never taught.
        Wire::Responses | Wire::Replay { .. } if layers.feature("unified_exec") => {
            ShellForm::Sessions
        }
        _ if layers.feature("shell_command_tool") => ShellForm::Line,
        Wire::Responses | Wire::Replay { .. } | Wire::Chat => family.shell,
    };
    let is_chat = *wire == Wire::Chat;
    let shell = match shell {
        ShellForm::Local if is_chat => ShellForm::Argv,
        shell => shell,
    };
    let patch = match patch {
        PatchForm::Freeform if is_chat => PatchForm::Function,
        patch => patch,
    };
    let files = family.files || layers.feature("file_tools");
    // Who says so gets it whatever the model; by default it is for those that take images.
    let images = layers.feature_set("view_image_tool").unwrap_or(family.images);
    let web = web(layers).filter(|_| !is_chat);
    ToolSettings { shell, patch, files, images, web }
}

/// Off unless asked for: not every provider has one, and what is searched for leaves the machine.
fn web(layers: &Layers) -> Option<WebReach> {
    match layers.text(&["web_search"]) {
        Some("cached") => Some(WebReach::Cached),
        Some("indexed") => Some(WebReach::Indexed),
        Some("live") => Some(WebReach::Live),
        // A source holds only known names; the one left is "disabled".
        Some(_) => None,
        None => layers.feature("web_search_request").then_some(WebReach::Usual),
    }
}

pub(super) fn reasoning(layers: &Layers, family: &Family, wire: &Wire) -> ReasoningSettings {
    let forced = layers.flag(&["model_supports_reasoning_summaries"]).unwrap_or(false);
    let effort = layers.text(&["model_reasoning_effort"]).filter(|text| !text.trim().is_empty());
    let summary = layers.text(&["model_reasoning_summary"]).unwrap_or("auto");
    ReasoningSettings {
        supported: family.reasoning || forced,
        // Not every server of Chat Completions knows efforts, so none is sent unasked.
        effort: effort.or(family.effort.filter(|_| *wire != Wire::Chat)).map(Box::from),
        summary: Some(summary).filter(|summary| *summary != "none").map(Box::from),
    }
}

pub(super) fn verbosity(
    layers: &Layers,
    family: &Family,
    wire: &Wire,
    notices: &mut Vec<Box<str>>,
) -> Option<Verbosity> {
    let asked = match layers.text(&["model_verbosity"]) {
        Some("low") => Some(Verbosity::Low),
        Some("medium") => Some(Verbosity::Medium),
        Some("high") => Some(Verbosity::High),
        Some(_) | None => None,
    };
    let refused = match family.verbosity {
        _ if *wire == Wire::Chat => "chat completions do not take one",
        VerbositySupport::Supported { default } => return asked.or(default),
        VerbositySupport::Unsupported => "the model does not take one",
    };
    if asked.is_some() {
        notices.push(format!("model_verbosity is not sent: {refused}").into());
    }
    None
}

/// What of a window is filled before the conversation is summed up.
fn nine_tenths(tokens: u64) -> u64 {
    tokens - tokens.div_ceil(10)
}
