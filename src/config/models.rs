//! What is known about families of models.
//!
//! Rows are tried in order and the first that fits counts. A model that fits none is served with
//! the conservative last row and never refused: its name is the provider's business.

use crate::words::settings::{PatchForm, ShellForm, Verbosity};

/// What stands for a model where a recording answers.
pub const RECORDED_MODEL: &str = "recording";

/// The model that is asked when nobody names one.
pub const DEFAULT_MODEL: &str = "gpt-5.1-codex";

/// The models that local providers are asked for when nobody names one.
pub const DEFAULT_MODEL_OLLAMA: &str = "gpt-oss:20b";
pub const DEFAULT_MODEL_LMSTUDIO: &str = "openai/gpt-oss-20b";

/// What is known about a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Family {
    /// How the name begins.
    prefix: &'static str,
    /// What the name contains besides.
    part: &'static str,
    /// Tokens that fit its window, if known.
    pub context_window: Option<u64>,
    /// Takes a `reasoning` object.
    pub reasoning: bool,
    /// The effort that is sent when nobody says one.
    pub effort: Option<&'static str>,
    /// Takes a verbosity, by default this one.
    pub verbosity: VerbositySupport,
    pub patch: PatchForm,
    pub shell: ShellForm,
    pub parallel_tool_calls: bool,
    /// Offered the tools that look at files without being asked to.
    pub files: bool,
    /// Takes images, so that it is offered to view them.
    pub images: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VerbositySupport {
    Unsupported,
    Supported { default: Option<Verbosity> },
}

/// The family of a model.
pub fn family(model: &str) -> &'static Family {
    let fits = |family: &&Family| model.starts_with(family.prefix) && model.contains(family.part);
    FAMILIES.iter().find(fits).unwrap_or(&UNKNOWN)
}

/// A model nobody here knows: plain functions, one call after the other, no window to count on.
const UNKNOWN: Family = Family {
    prefix: "",
    part: "",
    context_window: None,
    reasoning: false,
    effort: None,
    verbosity: VerbositySupport::Unsupported,
    patch: PatchForm::Function,
    shell: ShellForm::Argv,
    parallel_tool_calls: false,
    files: false,
    images: false,
};

/// Reasoning models of the generation before freeform tools.
const REASONING: Family =
    Family { context_window: Some(200_000), reasoning: true, images: true, ..UNKNOWN };

const GPT_5: Family = Family {
    prefix: "gpt-5",
    context_window: Some(272_000),
    verbosity: VerbositySupport::Supported { default: None },
    parallel_tool_calls: true,
    ..REASONING
};

static FAMILIES: &[Family] = &[
    // The codex variants know freeform patches and reject any verbosity but one.
    Family {
        part: "-codex",
        verbosity: VerbositySupport::Unsupported,
        patch: PatchForm::Freeform,
        ..GPT_5
    },
    Family {
        prefix: "gpt-5.",
        effort: Some("medium"),
        verbosity: VerbositySupport::Supported { default: Some(Verbosity::Low) },
        patch: PatchForm::Freeform,
        ..GPT_5
    },
    GPT_5,
    Family {
        prefix: "test-gpt-5-codex",
        verbosity: VerbositySupport::Unsupported,
        patch: PatchForm::Freeform,
        files: true,
        ..GPT_5
    },
    Family { prefix: "codex-mini", shell: ShellForm::Local, ..REASONING },
    Family { prefix: "o4-mini", ..REASONING },
    Family { prefix: "o3", ..REASONING },
    Family { prefix: "o1", ..REASONING },
    Family { prefix: "gpt-4.1", context_window: Some(1_047_576), images: true, ..UNKNOWN },
    Family { prefix: "gpt-4o", context_window: Some(128_000), images: true, ..UNKNOWN },
    // Served under many names: `gpt-oss:20b`, `openai/gpt-oss-20b`.
    Family { part: "gpt-oss", context_window: Some(96_000), ..UNKNOWN },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_by_name() {
        let supported = |default| VerbositySupport::Supported { default };
        let none = VerbositySupport::Unsupported;
        let (freeform, function) = (PatchForm::Freeform, PatchForm::Function);
        let cases = [
            ("gpt-5", Some(272_000), true, None, supported(None), function),
            ("gpt-5-mini", Some(272_000), true, None, supported(None), function),
            ("gpt-5-codex", Some(272_000), true, None, none, freeform),
            ("gpt-5.1-codex", Some(272_000), true, None, none, freeform),
            ("gpt-5.2-codex-max", Some(272_000), true, None, none, freeform),
            (
                "gpt-5.1",
                Some(272_000),
                true,
                Some("medium"),
                supported(Some(Verbosity::Low)),
                freeform,
            ),
            ("o3", Some(200_000), true, None, none, function),
            ("gpt-4.1-mini", Some(1_047_576), false, None, none, function),
            ("openai/gpt-oss-20b", Some(96_000), false, None, none, function),
            ("qwen3-coder", None, false, None, none, function),
        ];
        for (model, window, reasoning, effort, verbosity, patch) in cases {
            let family = family(model);
            assert_eq!(family.context_window, window, "{model}");
            assert_eq!(family.reasoning, reasoning, "{model}");
            assert_eq!(family.effort, effort, "{model}");
            assert_eq!(family.verbosity, verbosity, "{model}");
            assert_eq!(family.patch, patch, "{model}");
        }
        assert_eq!(family("codex-mini-latest").shell, ShellForm::Local);
        for (model, images) in
            [("gpt-5.1-codex", true), ("o3", true), ("gpt-4o-mini", true), ("gpt-oss:20b", false)]
        {
            assert_eq!(family(model).images, images, "{model}");
        }
        assert_ne!(family(DEFAULT_MODEL), &UNKNOWN);
    }
}
