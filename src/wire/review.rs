//! The verdict of a review: read from what a model said, written for records and programs.
//!
//! Reading never fails. The message may be the JSON that was asked for, or hold it amid other text;
//! anything else is a verdict that only explains. Fields that are missing or of the wrong kind
//! count as not said.

use crate::limits::{REVIEW_FINDINGS_MAX, REVIEW_TITLE_CHARS_MAX};
use crate::wire::json::{self, Elements, Fields};
use crate::words::review::{Correctness, Finding, Place, Verdict};

/// Of what is not said to be urgent or negligible.
const PRIORITY_USUAL: u8 = 2;
const PRIORITY_LEAST: u8 = 3;

/// Reads a verdict; paths that are not absolute are taken to be below `cwd`.
pub fn decode(text: &str, cwd: &str) -> Verdict {
    let text = text.trim();
    let inside = || text.get(text.find('{')?..=text.rfind('}')?);
    let read = decode_verdict(text, cwd).or_else(|| decode_verdict(inside()?, cwd));
    read.unwrap_or_else(|| Verdict { explanation: text.into(), ..Verdict::default() })
}

/// Writes a verdict with all its fields: what was not said is empty or zero.
pub fn encode(verdict: &Verdict, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    let mut findings = Elements::open(fields.key("findings"));
    for finding in &verdict.findings {
        encode_finding(finding, findings.element());
    }
    findings.close();
    fields.text(
        "overall_correctness",
        match verdict.correctness {
            Some(Correctness::Correct) => CORRECT,
            Some(Correctness::Incorrect) => INCORRECT,
            None => "",
        },
    );
    fields.text("overall_explanation", &verdict.explanation);
    json::float(verdict.confidence.unwrap_or(0.0), fields.key("overall_confidence_score"));
    fields.close();
}

const CORRECT: &str = "patch is correct";
const INCORRECT: &str = "patch is incorrect";

fn encode_finding(finding: &Finding, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.text("title", &finding.title);
    fields.text("body", &finding.body);
    json::float(finding.confidence.unwrap_or(0.0), fields.key("confidence_score"));
    fields.number("priority", finding.priority.into());
    let (path, first, last) = match &finding.place {
        Some(place) => (&*place.path, place.first_line, place.last_line),
        None => ("", 0, 0),
    };
    let mut place = Fields::open(fields.key("code_location"));
    place.text("absolute_file_path", path);
    let mut lines = Fields::open(place.key("line_range"));
    lines.number("start", first.into());
    lines.number("end", last.into());
    lines.close();
    place.close();
    fields.close();
}

/// `None` if it is no object, or says nothing that a verdict says.
fn decode_verdict(text: &str, cwd: &str) -> Option<Verdict> {
    let names =
        ["findings", "overall_correctness", "overall_explanation", "overall_confidence_score"];
    let [listed, correctness, explanation, confidence] = json::pick(text, names).ok()?;
    if listed.is_none() && correctness.is_none() && explanation.is_none() {
        return None;
    }
    let mut findings = Vec::new();
    let mut left_out = 0_usize;
    if let Some(listed) = listed {
        // What is no list holds no findings.
        let _ = json::elements(listed, &mut |element| {
            let Some(finding) = decode_finding(element, cwd) else { return };
            match findings.len() < REVIEW_FINDINGS_MAX {
                true => findings.push(finding),
                false => left_out += 1,
            }
        });
    }
    let mut explanation = said(explanation);
    if left_out > 0 {
        let gap = if explanation.is_empty() { "" } else { "\n\n" };
        explanation.push_str(&format!("{gap}({left_out} more findings are left out.)"));
    }
    Some(Verdict {
        findings,
        correctness: correctness.and_then(json::text).and_then(|text| judged(&text)),
        explanation: explanation.into(),
        confidence: confidence.and_then(share),
    })
}

/// `None` for one that says nothing.
fn decode_finding(element: &str, cwd: &str) -> Option<Finding> {
    let names = ["title", "body", "confidence_score", "priority", "code_location"];
    let [title, body, confidence, priority, place] = json::pick(element, names).ok()?;
    let (title, tagged) = decode_title(&said(title));
    let body = said(body);
    if title.is_empty() && body.is_empty() {
        return None;
    }
    let priority = priority.and_then(json::count).map(|priority| priority.min(255) as u8);
    Some(Finding {
        title,
        body: body.into(),
        confidence: confidence.and_then(share),
        priority: priority.or(tagged).unwrap_or(PRIORITY_USUAL).min(PRIORITY_LEAST),
        place: place.and_then(|place| decode_place(place, cwd)),
    })
}

/// A title as one line of bounded length, without the priority that some models begin it with.
fn decode_title(said: &str) -> (Box<str>, Option<u8>) {
    let line: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut title = line.as_str();
    let mut priority = None;
    // What is written is read again: of several the first counts, and none is left.
    while let Some((tagged, rest)) = tag(title) {
        title = rest;
        priority = priority.or(Some(tagged));
    }
    if title.chars().count() <= REVIEW_TITLE_CHARS_MAX {
        return (title.into(), priority);
    }
    let kept: String = title.chars().take(REVIEW_TITLE_CHARS_MAX - 1).collect();
    (format!("{kept}\u{2026}").into(), priority)
}

/// The priority that a title begins with, and what follows it.
fn tag(title: &str) -> Option<(u8, &str)> {
    let (digit, rest) = title.strip_prefix("[P")?.split_once(']')?;
    let priority = digit.parse().ok().filter(|priority| *priority <= PRIORITY_LEAST)?;
    Some((priority, rest.trim_start()))
}

fn decode_place(json: &str, cwd: &str) -> Option<Place> {
    let [path, lines] = json::pick(json, ["absolute_file_path", "line_range"]).ok()?;
    let path = json::text(path?)?;
    let path = path.trim();
    if path.is_empty() || path.contains(char::is_control) {
        return None;
    }
    let path = match path.starts_with('/') {
        true => path.into(),
        false => format!("{}/{path}", cwd.trim_end_matches('/')).into(),
    };
    let [start, end] = lines.and_then(|lines| json::pick(lines, ["start", "end"]).ok())?;
    let line = |json: Option<&str>| {
        let line = json.and_then(json::count)?;
        Some(u32::try_from(line).unwrap_or(u32::MAX))
    };
    let first_line = line(start).or(line(end)).unwrap_or(0);
    let last_line = line(end).unwrap_or(first_line).max(first_line);
    Some(Place { path, first_line, last_line })
}

fn judged(text: &str) -> Option<Correctness> {
    let text = text.to_ascii_lowercase();
    match text.trim() {
        text if text.contains("incorrect") || text.contains("not correct") => {
            Some(Correctness::Incorrect)
        }
        text if text.contains("correct") => Some(Correctness::Correct),
        _ => None,
    }
}

fn said(json: Option<&str>) -> String {
    json.and_then(json::text).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// A number from 0 to 1.
fn share(json: &str) -> Option<f64> {
    json.parse::<f64>().ok().filter(|share| share.is_finite()).map(|share| share.clamp(0.0, 1.0))
}

/// The fuzz body: whatever was said gives a verdict, and what is written of it is read the same.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let verdict = decode(&text, "/w");
    assert!(verdict.findings.len() <= REVIEW_FINDINGS_MAX);
    let written = |verdict: &Verdict| {
        let mut out = Vec::new();
        encode(verdict, &mut out);
        String::from_utf8(out).unwrap_or_default()
    };
    let first = written(&verdict);
    assert!(json::is_json(&first), "{first}");
    assert_eq!(written(&decode(&first, "/elsewhere")), first);
    assert!(!verdict.shown("/w").iter().any(|line| line.clone().into_text().ends_with('\n')));
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{
        "findings": [{
            "title": "Divides by zero", "body": "An empty list.\n", "confidence_score": 0.9,
            "priority": 1, "code_location": {
                "absolute_file_path": "/w/a.rs", "line_range": { "start": 3, "end": 5 }
            }
        }],
        "overall_correctness": "patch is incorrect", "overall_explanation": "It breaks.",
        "overall_confidence_score": 0.75
    }"#;

    fn whole() -> Verdict {
        let place = Place { path: "/w/a.rs".into(), first_line: 3, last_line: 5 };
        Verdict {
            findings: vec![Finding {
                title: "Divides by zero".into(),
                body: "An empty list.".into(),
                confidence: Some(0.9),
                priority: 1,
                place: Some(place),
            }],
            correctness: Some(Correctness::Incorrect),
            explanation: "It breaks.".into(),
            confidence: Some(0.75),
        }
    }

    #[test]
    fn the_verdict_is_found_whole_or_amid_text() {
        for text in [
            WHOLE.to_owned(),
            format!("\n{WHOLE}\n"),
            format!("Here it is:\n```json\n{WHOLE}\n```\nDone."),
        ] {
            assert_eq!(decode(&text, "/x"), whole(), "{text}");
        }
    }

    #[test]
    fn what_is_no_verdict_only_explains() {
        for text in [
            "Looks good.",
            "",
            "{\"a\": 1}",
            "[]",
            "if x { y } else { z }",
            "} {",
            "{\"findings\": [",
            "\u{7b}é\u{7d}",
        ] {
            let verdict = decode(text, "/w");
            assert_eq!(verdict, Verdict { explanation: text.into(), ..Verdict::default() });
        }
    }

    #[test]
    fn fields_of_the_wrong_kind_count_as_not_said() {
        let text = r#"{"findings":[
            {"title":"[P0]  Two\nlines","priority":null,"confidence_score":"high",
             "code_location":{"absolute_file_path":"src/a.rs","line_range":{"start":9,"end":2}}},
            {"body":"b","priority":77,"confidence_score":-1,
             "code_location":{"absolute_file_path":"/a\nb","line_range":{"start":1}}},
            {"title":7,"body":""}, {}, 3, "x",
            {"title":"t","code_location":{"absolute_file_path":"/b","line_range":{"start":"x"}}}
        ],"overall_correctness":"The patch is Correct.","overall_confidence_score":7}"#;
        let verdict = decode(text, "/w/");
        assert_eq!(verdict.correctness, Some(Correctness::Correct));
        assert_eq!((&*verdict.explanation, verdict.confidence), ("", Some(1.0)));
        let [first, second, third] = verdict.findings.try_into().unwrap();
        assert_eq!((&*first.title, first.priority, first.confidence), ("Two lines", 0, None));
        let place = Place { path: "/w/src/a.rs".into(), first_line: 9, last_line: 9 };
        assert_eq!(first.place, Some(place));
        assert_eq!((second.priority, second.confidence, second.place), (3, Some(0.0), None));
        let place = Place { path: "/b".into(), first_line: 0, last_line: 0 };
        assert_eq!((third.priority, third.place), (PRIORITY_USUAL, Some(place)));
    }

    #[test]
    fn a_verdict_that_finds_too_much_is_cut() {
        let finding = format!("{{\"title\":\"{}\"}}", "ä".repeat(REVIEW_TITLE_CHARS_MAX + 1));
        let findings = vec![finding; REVIEW_FINDINGS_MAX + 2].join(",");
        let verdict = decode(&format!("{{\"findings\":[{findings}]}}"), "/w");
        assert_eq!(verdict.findings.len(), REVIEW_FINDINGS_MAX);
        assert_eq!(&*verdict.explanation, "(2 more findings are left out.)");
        let title = &verdict.findings[0].title;
        assert!(title.chars().count() == REVIEW_TITLE_CHARS_MAX && title.ends_with("ä…"));
    }

    #[test]
    fn what_was_written_is_read_again() {
        let mut out = Vec::new();
        encode(&whole(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let expected = concat!(
            r#"{"findings":[{"title":"Divides by zero","body":"An empty list.","#,
            r#""confidence_score":0.9,"priority":1,"code_location":{"#,
            r#""absolute_file_path":"/w/a.rs","line_range":{"start":3,"end":5}}}],"#,
            r#""overall_correctness":"patch is incorrect","overall_explanation":"It breaks.","#,
            r#""overall_confidence_score":0.75}"#
        );
        assert_eq!(text, expected);
        assert_eq!(decode(&text, "/elsewhere"), whole());
        fuzz(WHOLE.as_bytes());
        fuzz(b"{\"findings\":[{\"title\":\"[P1] [P2] x\"}]}");
        fuzz(b"{\"findings\":[{\"title\":\"[P1]\",\"body\":\"a\\r\"}]}");
    }
}
