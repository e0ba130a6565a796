//! Which variables of the environment commands see.
//!
//! The agent's own credentials never pass. Names that look like secrets and variables of the loader
//! pass only if the user says so. Pure: the environment is an argument.

use crate::config::settings::{Inherit, ShellEnvironment};

/// What programs cannot do without.
const CORE: [&str; 9] =
    ["HOME", "LOGNAME", "PATH", "SHELL", "USER", "USERNAME", "TMPDIR", "TEMP", "TMP"];

/// What names of secrets hold, and the variables by which a loader is told to load something else.
const EXCLUDED: [&str; 6] = ["*KEY*", "*SECRET*", "*TOKEN*", "*PASSWORD*", "*CREDENTIAL*", "LD_*"];

/// The agent's own credentials, whatever the provider.
const OWN: [&str; 3] = ["CODEX_API_KEY", "CODEX_ACCESS_TOKEN", "OPENAI_API_KEY"];

/// The variables of commands: those of ours that pass, and those that the user sets.
///
/// `credential` is the variable that holds the provider's key.
pub fn of_commands(
    policy: &ShellEnvironment,
    ours: Vec<(String, String)>,
    credential: Option<&str>,
) -> Vec<(String, String)> {
    let is_any =
        |patterns: &[Box<str>], name: &str| patterns.iter().any(|pattern| matches(pattern, name));
    let is_own = |name: &str| OWN.contains(&name) || credential == Some(name);
    let mut kept: Vec<(String, String)> = ours
        .into_iter()
        .filter(|(name, _)| match policy.inherit {
            Inherit::All => true,
            Inherit::Core => CORE.iter().any(|core| core.eq_ignore_ascii_case(name)),
            Inherit::Nothing => false,
        })
        .filter(|(name, _)| !is_own(name))
        .filter(|(name, _)| {
            policy.ignore_default_excludes || !EXCLUDED.iter().any(|pattern| matches(pattern, name))
        })
        .filter(|(name, _)| !is_any(&policy.exclude, name))
        .collect();
    for (name, value) in &policy.set {
        kept.retain(|(known, _)| **known != **name);
        kept.push((name.to_string(), value.to_string()));
    }
    if !policy.include_only.is_empty() {
        kept.retain(|(name, _)| is_any(&policy.include_only, name));
    }
    kept
}

/// Whether a name matches a pattern of `*`, `?` and classes like `[A-C]` or `[!x]`, whatever the
/// case.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let (mut at, mut from) = (0, 0);
    // Where the last star is, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
                continue;
            }
            Some('?') => Some(at + 1),
            Some('[') => class(&pattern[at..], name[from]).map(|length| at + length),
            Some(&letter) => (letter == name[from]).then_some(at + 1),
            None => None,
        };
        match (step, star) {
            (Some(next), _) => (at, from) = (next, from + 1),
            (None, Some((place, taken))) => {
                star = Some((place, taken + 1));
                (at, from) = (place + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|&letter| letter == '*')
}

/// The length of the class at the pattern's start if it holds the letter. One that does not end is
/// a bracket like any other letter.
fn class(pattern: &[char], letter: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    let end = pattern.iter().skip(start + 1).position(|&closing| closing == ']');
    let Some(end) = end.map(|end| end + start + 1) else {
        return (letter == '[').then_some(1);
    };
    let mut members = &pattern[start..end];
    let mut found = false;
    while let [first, rest @ ..] = members {
        match rest {
            ['-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&letter);
                members = rest;
            }
            rest => {
                found |= *first == letter;
                members = rest;
            }
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(policy: &ShellEnvironment, ours: &[&str]) -> String {
        let ours = ours.iter().map(|name| (name.to_string(), "v".to_string())).collect();
        let kept = of_commands(policy, ours, Some("MY_PROVIDER"));
        kept.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn secrets_and_loader_variables_stay_behind() {
        let ours =
            ["PATH", "AWS_SECRET_X", "my_token", "DB_PASSWORD", "X_CREDENTIALS", "LD_PRELOAD", "A"];
        assert_eq!(names(&ShellEnvironment::default(), &ours), "PATH A");
    }

    #[test]
    fn own_credentials_never_pass() {
        let policy =
            ShellEnvironment { ignore_default_excludes: true, ..ShellEnvironment::default() };
        let ours = ["CODEX_API_KEY", "OPENAI_API_KEY", "MY_PROVIDER", "OTHER_KEY"];
        assert_eq!(names(&policy, &ours), "OTHER_KEY");
    }

    #[test]
    fn the_user_sets_excludes_and_includes() {
        let mut policy = ShellEnvironment {
            inherit: Inherit::Core,
            exclude: vec!["h*".into()],
            set: vec![("NEW".into(), "1".into())],
            ..ShellEnvironment::default()
        };
        assert_eq!(names(&policy, &["PATH", "HOME", "B"]), "PATH NEW");
        policy.include_only = vec!["N??".into()];
        assert_eq!(names(&policy, &["PATH", "HOME", "B"]), "NEW");
        policy = ShellEnvironment { inherit: Inherit::Nothing, ..ShellEnvironment::default() };
        assert_eq!(names(&policy, &["PATH"]), "");
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("?", "", false),
            ("[a-c]x", "BX", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]", "]", true),
            ("[", "[", true),
            ("[a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
