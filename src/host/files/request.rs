//! What the agent asks `windlass-files`, and what it makes of the replies.

use serde_json::{Value, json};

use crate::tools::clip::Clip;
use crate::words::call::{Change, ChangeKind, Look, LookAt, PatchPlan, Seen};
use crate::words::policy::{Confinement, SandboxMode};
use crate::words::settings::ThreadSettings;

/// A look at a file or directory.
pub fn look(look: &Look) -> Vec<u8> {
    let op = match look.what {
        LookAt::File => "read_file",
        LookAt::Directory => "list_dir",
        LookAt::Search => "grep_files",
        LookAt::Image => "view_image",
    };
    let request = json!({ "op": op, "arguments": look.arguments, "cwd": look.workdir });
    request.to_string().into_bytes()
}

/// What a patch would do.
pub fn inspect(patch: &PatchPlan) -> Vec<u8> {
    let request = json!({ "op": "inspect_patch", "cwd": patch.workdir, "patch": patch.patch });
    request.to_string().into_bytes()
}

/// A patch to be applied if the files still are what was inspected, following no links on this
/// ground.
pub fn apply(patch: &PatchPlan, inspected: &[Change], ground: &[&str]) -> Vec<u8> {
    let mut expect: Vec<Value> = Vec::new();
    for change in inspected {
        expect.push(json!({ "path": change.path, "before": change.before }));
        if let Some(moved_to) = &change.moved_to {
            expect.push(json!({ "path": moved_to, "before": change.over }));
        }
    }
    let request = json!({
        "op": "apply_patch", "cwd": patch.workdir, "patch": patch.patch, "expect": expect,
        "ground": ground,
    });
    request.to_string().into_bytes()
}

/// Where commands of a thread may put links, if a patch is applied with more rights than they have.
pub fn ground(settings: &ThreadSettings, confinement: Confinement) -> Vec<&str> {
    let sandbox = &settings.sandbox;
    if confinement == Confinement::Sandboxed || sandbox.mode == SandboxMode::DangerFullAccess {
        return Vec::new();
    }
    let named = sandbox.writable_roots.iter().chain([&settings.cwd]).chain(&sandbox.tmpdir);
    named.map(|root| &**root).chain(["/tmp"]).collect()
}

/// What a look came to.
pub fn looked(reply: &[u8]) -> Result<Seen, Box<str>> {
    match ok(reply)? {
        Value::String(text) => Ok(Seen::Text(clipped(text).into())),
        Value::Object(mut fields) => match fields.remove("image") {
            Some(Value::String(url)) if url.starts_with("data:image/") => {
                Ok(Seen::Image(url.into()))
            }
            Some(_) | None => Err(senseless()),
        },
        _ => Err(senseless()),
    }
}

/// A look costs a model no more than the output of a command.
fn clipped(text: String) -> String {
    let mut clip = Clip::new();
    clip.push(text.as_bytes());
    let clipped = clip.finish();
    if !clipped.truncated {
        return text;
    }
    format!("Total output lines: {}\n\n{}", clipped.total_lines, clipped.text)
}

/// The changes a patch would make.
pub fn inspected(reply: &[u8]) -> Result<Vec<Change>, Box<str>> {
    let value = ok(reply)?;
    let before_of = |path: &str| {
        let known = value["expect"].as_array().into_iter().flatten();
        known.filter(|known| known["path"] == path).find_map(|known| text(&known["before"]))
    };
    let changes = value["changes"].as_array().ok_or_else(senseless)?;
    changes
        .iter()
        .map(|change| {
            let kind = match change["kind"].as_str() {
                Some("add") => ChangeKind::Add,
                Some("delete") => ChangeKind::Delete,
                Some("update") => ChangeKind::Update,
                Some(_) | None => return Err(senseless()),
            };
            let moved_to = text(&change["move_path"]);
            let diff = text(&change["unified_diff"]).or_else(|| text(&change["content"]));
            Ok(Change {
                path: text(&change["path"]).ok_or_else(senseless)?,
                kind,
                before: text(&change["before"]),
                over: moved_to.as_deref().and_then(before_of),
                moved_to,
                diff: diff.unwrap_or_default(),
            })
        })
        .collect()
}

/// What applying a patch printed.
pub fn applied(reply: &[u8]) -> Result<Box<str>, Box<str>> {
    let value = ok(reply)?;
    match (value["exit_code"].as_u64(), text(&value["stdout"]), text(&value["stderr"])) {
        (Some(0), Some(stdout), _) => Ok(stdout),
        (Some(_), _, Some(stderr)) => Err(stderr),
        _ => Err(senseless()),
    }
}

fn ok(reply: &[u8]) -> Result<Value, Box<str>> {
    let mut reply: Value = serde_json::from_slice(reply).map_err(|_| senseless())?;
    match text(&reply["error"]) {
        Some(error) => Err(error),
        None if reply.get("ok").is_some() => Ok(reply["ok"].take()),
        None => Err(senseless()),
    }
}

fn text(value: &Value) -> Option<Box<str>> {
    value.as_str().map(Into::into)
}

fn senseless() -> Box<str> {
    "windlass-files gave a reply that makes no sense".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CALL_OUTPUT_BYTES_MAX, CALL_OUTPUT_LINES_MAX};

    #[test]
    fn a_reply_that_makes_no_sense_is_a_failure() {
        for reply in [
            "",
            "{}",
            "[]",
            "{\"ok\":7}",
            "{\"ok\":{\"image\":\"x\"}}",
            "{\"ok\":{\"changes\":[{\"kind\":\"add\"}]}}",
        ] {
            assert_eq!(looked(reply.as_bytes()), Err(senseless()), "{reply}");
            assert_eq!(inspected(reply.as_bytes()), Err(senseless()), "{reply}");
            assert_eq!(applied(reply.as_bytes()), Err(senseless()), "{reply}");
        }
    }

    #[test]
    fn a_long_look_loses_its_middle() {
        let seen = |text: String| {
            let reply = json!({ "ok": text }).to_string();
            let Ok(Seen::Text(text)) = looked(reply.as_bytes()) else { panic!("no text") };
            text
        };
        let fits = "ä".repeat(CALL_OUTPUT_BYTES_MAX / 2);
        assert_eq!(*seen(fits.clone()), *fits);
        let long = seen(format!("L1: {fits}\nL2: b"));
        assert!(long.starts_with("Total output lines: 2\n\nL1: ä"), "{long:.40}");
        assert!(long.ends_with("\nL2: b") && long.len() < CALL_OUTPUT_BYTES_MAX + 64);
        let lines: Vec<String> =
            (1..=CALL_OUTPUT_LINES_MAX + 1).map(|line| format!("L{line}: x")).collect();
        let many = seen(lines.join("\n"));
        assert!(many.contains("\n[... 1 of 257 lines left out ...]\n"), "{many}");
        assert!(many.contains("\nL128: x\n") && many.ends_with("\nL257: x"), "{many}");
    }
}
