//! The base instructions: what every model is told about working through windlass.
//!
//! Constant text, so that the provider can keep it cached; what changes from thread to thread goes
//! into messages of the history. A model that has no patch tool is told how to reach it through the
//! shell.

use crate::words::settings::PatchForm;

/// The text for a model with this form of patches.
pub fn base(patch: PatchForm) -> &'static str {
    match patch {
        PatchForm::Freeform | PatchForm::Function => BASE,
        PatchForm::ThroughShell => BASE_WITH_PATCHES,
    }
}

/// What a model is asked when its conversation is to be summed up.
pub const COMPACT: &str = include_str!("instructions/compact.md");

/// The base instructions of a review.
pub const REVIEW: &str = include_str!("instructions/review.md");

const BASE: &str = include_str!("instructions/base.md");

const BASE_WITH_PATCHES: &str =
    concat!(include_str!("instructions/base.md"), include_str!("instructions/patches.md"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BASE_INSTRUCTIONS_BYTES_MAX;

    #[test]
    fn what_every_request_carries_is_short() {
        for text in [BASE, REVIEW] {
            assert!(text.len() <= BASE_INSTRUCTIONS_BYTES_MAX, "{}", text.len());
        }
    }

    #[test]
    fn only_a_model_without_the_tool_is_told_of_patches_in_the_shell() {
        assert!(!base(PatchForm::Function).contains("# Patches"));
        assert!(base(PatchForm::ThroughShell).contains("# Patches"));
        assert!(base(PatchForm::ThroughShell).starts_with(BASE));
    }
}
