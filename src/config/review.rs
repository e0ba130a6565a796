//! Reviews: what one is asked for, in words, and what its thread runs with.
//!
//! Pure. What is known of the repository is lent; where that is not enough, the model is told how
//! to find out.

use std::borrow::Cow;

use crate::config::args::Invocation;
use crate::config::instructions;
use crate::limits::{REVIEW_TITLE_CHARS_MAX, REVISION_BYTES_MAX};
use crate::words::policy::{SandboxMode, SandboxPolicy};
use crate::words::review::{Base, Target};
use crate::words::settings::{PatchForm, ThreadSettings};

/// What the model is asked, and how people are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub prompt: String,
    pub hint: Box<str>,
}

/// What a review runs with, in a thread that would run with these settings otherwise: it has
/// instructions of its own and none of the project's, it only looks, and its answer has its own
/// form. Whom to ask and what may be used stay as they are.
pub fn settings(settings: ThreadSettings) -> ThreadSettings {
    let mut tools = settings.tools;
    tools.patch = PatchForm::ThroughShell;
    tools.images = false;
    tools.web = None;
    ThreadSettings {
        instructions: Cow::Borrowed(instructions::REVIEW),
        project_notes: None,
        output_schema: None,
        sandbox: SandboxPolicy::of(SandboxMode::ReadOnly),
        tools,
        ..settings
    }
}

/// Flags of other runs that say nothing where nothing is written, and that [`target`] refuses where
/// they would say something else.
pub const REFUSED: &[&str] =
    &["full-auto", "dangerously-bypass-approvals-and-sandbox", "add-dir", "output-schema"];

/// The one thing that a command line asks to be reviewed.
pub fn target(invocation: &mut Invocation) -> Result<Target, String> {
    let uncommitted = invocation.uncommitted.then_some(Target::Uncommitted);
    let base = invocation.base.take().map(|branch| Target::Base { branch });
    let title = invocation.title.take();
    let is_titled = title.is_some();
    let commit = invocation.commit.take().map(|sha| Target::Commit { sha, title });
    let custom = invocation.prompt.is_some().then_some(Target::Custom);
    if is_titled && commit.is_none() {
        return Err("--title belongs to --commit".to_owned());
    }
    if invocation.output_schema.is_some() {
        return Err("--output-schema has no say here: a review has a form of its own".to_owned());
    }
    if let Some(mode @ (SandboxMode::WorkspaceWrite | SandboxMode::DangerFullAccess)) =
        invocation.sandbox
    {
        let name = super::flags::sandbox_name(mode);
        return Err(format!("a review only reads: it is not run under {name}"));
    }
    let mut targets = [uncommitted, base, commit, custom].into_iter().flatten();
    match (targets.next(), targets.next()) {
        (Some(target), None) => Ok(target),
        (Some(_), Some(_)) => Err(format!("more than one thing to review: give {TARGETS}")),
        (None, _) => Err(format!("say what to review: {TARGETS}")),
    }
}

const TARGETS: &str = "--uncommitted, --base BRANCH, --commit SHA or a prompt";

/// A name of a commit that no command takes for a flag, and that stays on its line.
pub fn revision(text: &str) -> Result<Box<str>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("the value is empty".to_owned());
    }
    if text.len() > REVISION_BYTES_MAX {
        return Err(format!("longer than {REVISION_BYTES_MAX} bytes"));
    }
    let is_odd = |character: char| character.is_control() || character.is_whitespace();
    if text.starts_with('-') || text.contains(is_odd) {
        return Err("not the name of a branch or commit".to_owned());
    }
    Ok(text.into())
}

/// What to ask the model for; `None` if the user's own words say it. `base` is how the repository
/// knows the branch.
pub fn request(target: &Target, base: Option<&Base>) -> Option<Request> {
    let (prompt, hint) = match target {
        Target::Custom => return None,
        Target::Uncommitted => (UNCOMMITTED.to_owned(), "uncommitted changes".to_owned()),
        Target::Base { branch } => {
            let name = base.map_or(branch, |base| &base.name);
            let commit = base.and_then(|base| base.merge_base.as_deref());
            (of_branch(name, commit), format!("changes against {name}"))
        }
        Target::Commit { sha, title } => {
            let title = title.as_deref().map(one_line).filter(|title| !title.is_empty());
            let named = title.map(|title| format!(" (\"{title}\")")).unwrap_or_default();
            (of_commit(sha, &named), format!("commit {sha}{named}"))
        }
    };
    Some(Request { prompt, hint: hint.into() })
}

/// How people are told of a review that the user put in words: the first of these.
pub fn hint(prompt: &str) -> Box<str> {
    let line = one_line(prompt.trim().lines().next().unwrap_or_default());
    match line.char_indices().nth(REVIEW_TITLE_CHARS_MAX) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]).into(),
        None => line.into(),
    }
}

const UNCOMMITTED: &str = "Review the uncommitted changes of this working tree: what is staged, \
    what is not, and files that git does not track yet. `git status --porcelain` names them and \
    `git diff HEAD` shows the first two (`git diff --cached` if there is no commit yet); read the \
    untracked files themselves.";

fn of_branch(name: &str, merge_base: Option<&str>) -> String {
    let quoted = quoted(name);
    match merge_base {
        Some(commit) => format!(
            "Review what this branch changes against {name}: everything since the commit where \
             they part, {commit}. `git diff {commit}` shows it, with what is not committed yet; \
             `git log {commit}..HEAD` says why."
        ),
        None => format!(
            "Review what this branch changes against {name}: everything since the commit where \
             they part. `git merge-base HEAD {quoted}` names that commit (if {name} is behind the \
             branch it follows, take that one: `git rev-parse --abbrev-ref \
             {quoted}@{{upstream}}`); `git diff` with it shows the changes, with what is not \
             committed yet, and `git log` up to HEAD says why."
        ),
    }
}

fn of_commit(sha: &str, named: &str) -> String {
    let quoted = quoted(sha);
    format!(
        "Review what commit {sha}{named} changes, and that alone: `git show {quoted}`. Read files \
         as they were in that commit if they have changed since: `git show {quoted}:PATH`."
    )
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@+".contains(&byte);
    match word.bytes().all(is_plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', "'\\''"))),
    }
}

fn one_line(text: &str) -> String {
    text.split(|character: char| character.is_control() || character.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::samples;
    use crate::words::settings::WebReach;

    #[test]
    fn a_review_only_looks_and_knows_nothing_of_the_project() {
        let mut of = samples::settings();
        of.project_notes = Some("notes".into());
        of.developer_instructions = Some("in German".into());
        of.output_schema = Some("{}".into());
        of.sandbox.network = true;
        of.sandbox.writable_roots.push("/more".into());
        of.tools.web = Some(WebReach::Live);
        let made = settings(of.clone());
        assert_eq!(made.sandbox, SandboxPolicy::of(SandboxMode::ReadOnly));
        assert_eq!((&made.project_notes, &made.output_schema), (&None, &None));
        assert_eq!(made.developer_instructions, of.developer_instructions);
        assert_eq!((made.approval, made.budgets), (of.approval, of.budgets));
        let names: Vec<&str> =
            crate::tools::offered(&made).into_iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["shell", "update_plan", "grep_files", "read_file", "list_dir"]);
        assert_eq!(settings(made.clone()), made);
    }

    #[test]
    fn the_prompt_says_how_to_see_the_change() {
        let base = |name: &str, merge_base: Option<&str>| {
            Some(Base { name: name.into(), merge_base: merge_base.map(Box::from) })
        };
        let branch = |branch: &str| Target::Base { branch: branch.into() };
        let commit = |title: Option<&str>| Target::Commit {
            sha: "1234567".into(),
            title: title.map(Box::from),
        };
        for (target, base, says, hint) in [
            (Target::Uncommitted, None, "git diff HEAD", "uncommitted changes"),
            (branch("main"), None, "`git merge-base HEAD main`", "changes against main"),
            (
                branch("main"),
                base("origin/main", None),
                "`git merge-base HEAD origin/main`",
                "changes against origin/main",
            ),
            (branch("main"), base("main", Some("abc")), "`git diff abc`", "changes against main"),
            (branch("a;b'c"), None, r"HEAD 'a;b'\''c'`", "changes against a;b'c"),
            (commit(None), None, "`git show 1234567`", "commit 1234567"),
            (
                commit(Some("Fix\n it")),
                None,
                "commit 1234567 (\"Fix it\") changes",
                "commit 1234567 (\"Fix it\")",
            ),
        ] {
            let request = request(&target, base.as_ref()).unwrap();
            assert!(request.prompt.contains(says), "{}", request.prompt);
            assert_eq!(&*request.hint, hint);
        }
        assert_eq!(request(&Target::Custom, None), None);
    }

    #[test]
    fn a_revision_is_no_flag_and_one_word() {
        for text in ["main", "feature/x", "HEAD~3", "v1.0^{}", "a'b", " main "] {
            assert_eq!(revision(text).as_deref(), Ok(text.trim()));
        }
        let long = "x".repeat(REVISION_BYTES_MAX + 1);
        for text in ["", "  ", "--output=x", "-x", "a b", "a\nb", "a\u{7}", &long] {
            assert!(revision(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_hint_is_the_first_line_cut_short() {
        assert_eq!(&*hint("\n look\tat \u{1b}this\nand that"), "look at this");
        let long = "é".repeat(REVIEW_TITLE_CHARS_MAX + 1);
        assert_eq!(hint(&long).chars().count(), REVIEW_TITLE_CHARS_MAX + 1);
        assert!(hint(&long).ends_with("é…"));
        assert_eq!(&*hint(&long[2..]), &long[2..]);
    }
}
