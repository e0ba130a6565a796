//! The models that people are offered to choose from.
//!
//! Any other can be named all the same; what is known of it is `models`'s business.

/// One model, as people choose it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offered {
    pub model: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    /// Words for how long it thinks, the shortest first.
    pub efforts: &'static [&'static str],
    pub effort: &'static str,
    /// Shown only to who asks for everything: a better one has replaced it.
    pub hidden: bool,
}

const USUAL: &[&str] = &["low", "medium", "high"];

/// Models of OpenAI, the one to begin with first.
pub static OPENAI: &[Offered] = &[
    Offered {
        model: "gpt-5.1-codex",
        name: "GPT-5.1 Codex",
        description: "Made for work on code, from a question to a long change.",
        efforts: USUAL,
        effort: "medium",
        hidden: false,
    },
    Offered {
        model: "gpt-5.1-codex-mini",
        name: "GPT-5.1 Codex mini",
        description: "Smaller and cheaper, for plain work on code.",
        efforts: &["medium", "high"],
        effort: "medium",
        hidden: false,
    },
    Offered {
        model: "gpt-5.1",
        name: "GPT-5.1",
        description: "Knows more of the world besides code.",
        efforts: &["none", "low", "medium", "high"],
        effort: "medium",
        hidden: false,
    },
    Offered {
        model: "gpt-5-codex",
        name: "GPT-5 Codex",
        description: "The version before GPT-5.1 Codex.",
        efforts: USUAL,
        effort: "medium",
        hidden: true,
    },
    Offered {
        model: "gpt-5",
        name: "GPT-5",
        description: "The version before GPT-5.1.",
        efforts: &["minimal", "low", "medium", "high"],
        effort: "medium",
        hidden: true,
    },
];

/// What an effort means, for people.
pub fn effort_described(effort: &str) -> &'static str {
    match effort {
        "none" => "Answers without thinking first",
        "minimal" => "Thinks as little as it can",
        "low" => "Thinks briefly; quick answers",
        "medium" => "Thinks as long as most work needs",
        "high" => "Thinks long, for hard problems",
        _ => "As the model has it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::models;

    #[test]
    fn what_is_offered_is_known_and_begins_with_the_default() {
        assert_eq!(OPENAI[0].model, models::DEFAULT_MODEL);
        for offered in OPENAI {
            assert!(models::family(offered.model).reasoning, "{}", offered.model);
            assert!(offered.efforts.contains(&offered.effort), "{}", offered.model);
            for effort in offered.efforts {
                assert_ne!(effort_described(effort), effort_described("of another version"));
            }
        }
    }
}
