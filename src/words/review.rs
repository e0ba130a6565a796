//! A review: what is looked at, what came of it, and how people read that.

/// What is reviewed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// What the working tree holds beyond the commit that is checked out.
    Uncommitted,
    /// What has changed since this branch was left.
    Base { branch: Box<str> },
    /// What one commit changed.
    Commit { sha: Box<str>, title: Option<Box<str>> },
    /// Whatever the prompt says.
    Custom,
}

/// How a repository knows the branch that changes are compared with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    /// The name git finds it by.
    pub name: Box<str>,
    /// The commit where the two part, if that could be found.
    pub merge_base: Option<Box<str>>,
}

/// What came of a review.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    pub correctness: Option<Correctness>,
    pub explanation: Box<str>,
    /// From 0 to 1; `None` if nothing was said of it.
    pub confidence: Option<f64>,
}

/// Whether the change does what it should without breaking anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Correctness {
    Correct,
    Incorrect,
}

/// Something that should be changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// One line.
    pub title: Box<str>,
    /// Markdown.
    pub body: Box<str>,
    /// From 0 to 1; `None` if nothing was said of it.
    pub confidence: Option<f64>,
    /// From 0, which cannot wait, to 3, which need not be done.
    pub priority: u8,
    pub place: Option<Place>,
}

/// Lines of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Absolute, without control characters.
    pub path: Box<str>,
    /// From 1; 0 for the file as a whole. Invariant: `first_line <= last_line`.
    pub first_line: u32,
    pub last_line: u32,
}

/// A line or more of a verdict, by what they are to the eye.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    Correct(String),
    Incorrect(String),
    /// Between a verdict and its findings, and between these.
    Gap,
    Title {
        priority: u8,
        text: String,
    },
    Place(String),
    Text(String),
}

impl Verdict {
    /// What people read, in order; paths below `cwd` are told from there.
    pub fn shown(&self, cwd: &str) -> Vec<Shown> {
        let mut shown = Vec::new();
        let sure = confidence(self.confidence);
        match self.correctness {
            Some(Correctness::Correct) => shown.push(Shown::Correct(format!("Correct{sure}"))),
            Some(Correctness::Incorrect) => {
                shown.push(Shown::Incorrect(format!("Incorrect{sure}")));
            }
            None => {}
        }
        if !self.explanation.is_empty() {
            shown.push(Shown::Text(self.explanation.to_string()));
        }
        if self.findings.is_empty() && self.correctness.is_some() {
            shown.extend([Shown::Gap, Shown::Text("No findings.".to_owned())]);
        }
        for finding in &self.findings {
            if !shown.is_empty() {
                shown.push(Shown::Gap);
            }
            let (priority, text) = (finding.priority, finding.title.to_string());
            shown.push(Shown::Title { priority, text });
            let sure = confidence(finding.confidence);
            match &finding.place {
                Some(place) => shown.push(Shown::Place(place.shown(cwd) + &sure)),
                None if !sure.is_empty() => shown.push(Shown::Place(sure.trim_start().to_owned())),
                None => {}
            }
            if !finding.body.is_empty() {
                shown.push(Shown::Text(finding.body.to_string()));
            }
        }
        shown
    }

    /// The same as one text, without a newline at its end.
    pub fn text(&self, cwd: &str) -> String {
        let lines: Vec<String> = self.shown(cwd).into_iter().map(Shown::into_text).collect();
        lines.join("\n")
    }
}

impl Shown {
    pub fn into_text(self) -> String {
        match self {
            Shown::Gap => String::new(),
            Shown::Title { priority, text } => format!("[P{priority}] {text}").trim_end().into(),
            Shown::Correct(text)
            | Shown::Incorrect(text)
            | Shown::Place(text)
            | Shown::Text(text) => text,
        }
    }
}

impl Place {
    /// `src/lib.rs:10-12`.
    fn shown(&self, cwd: &str) -> String {
        let cwd = cwd.trim_end_matches('/');
        let below = self.path.strip_prefix(cwd).and_then(|rest| rest.strip_prefix('/'));
        let path = below.filter(|path| !path.is_empty()).unwrap_or(&self.path);
        match (self.first_line, self.last_line) {
            (0, _) => path.to_owned(),
            (first, last) if first == last => format!("{path}:{first}"),
            (first, last) => format!("{path}:{first}-{last}"),
        }
    }
}

fn confidence(confidence: Option<f64>) -> String {
    confidence.map(|confidence| format!(" (confidence {confidence:.2})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(path: &str, first_line: u32, last_line: u32) -> Finding {
        Finding {
            title: "Divides by zero".into(),
            body: "An empty list\nis not expected.".into(),
            confidence: Some(0.9),
            priority: 1,
            place: Some(Place { path: path.into(), first_line, last_line }),
        }
    }

    #[test]
    fn a_verdict_is_a_block_for_each_finding() {
        let bare =
            Finding { confidence: None, place: None, body: "".into(), ..finding("/w/b", 1, 1) };
        let verdict = Verdict {
            findings: vec![finding("/w/src/a.rs", 3, 5), bare],
            correctness: Some(Correctness::Incorrect),
            explanation: "It breaks.".into(),
            confidence: Some(0.75),
        };
        let text = "Incorrect (confidence 0.75)\nIt breaks.\n\n[P1] Divides by zero\n\
                    src/a.rs:3-5 (confidence 0.90)\nAn empty list\nis not expected.\n\n\
                    [P1] Divides by zero";
        assert_eq!(verdict.text("/w"), text);
    }

    #[test]
    fn a_verdict_without_findings_says_so() {
        let verdict = Verdict { correctness: Some(Correctness::Correct), ..Verdict::default() };
        assert_eq!(verdict.text("/w"), "Correct\n\nNo findings.");
        let plain = Verdict { explanation: "just words".into(), ..Verdict::default() };
        assert_eq!(plain.text("/w"), "just words");
        assert_eq!(Verdict::default().text("/w"), "");
    }

    #[test]
    fn paths_are_told_from_the_working_directory() {
        for (path, cwd, lines, shown) in [
            ("/w/a", "/w", (1, 1), "a:1"),
            ("/w/a", "/w/", (0, 0), "a"),
            ("/w/a", "/", (2, 3), "w/a:2-3"),
            ("/work/a", "/w", (1, 2), "/work/a:1-2"),
            ("/w", "/w", (1, 1), "/w:1"),
            ("/w/", "/w", (1, 1), "/w/:1"),
        ] {
            let place = Place { path: path.into(), first_line: lines.0, last_line: lines.1 };
            assert_eq!(place.shown(cwd), shown, "{path} from {cwd}");
        }
    }
}
