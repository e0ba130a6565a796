//! `feedback/upload`: a bundle below the home that the user may look at and send. Nothing is sent.
//!
//! It holds what the user said, what works here and, if asked for, the end of the session. Known
//! credentials, and what looks like a key of OpenAI, are blanked out.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::config::args::{Invocation, Verb};
use crate::config::settings;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::v2;
use crate::host::app_server::{Surroundings, failed};
use crate::host::disk::config::layers_on;
use crate::host::disk::replacing::{Readers, replace};
use crate::host::disk::shelf::{self, Shelf};
use crate::host::disk::{self, auth, open};
use crate::host::{clock, doctor};
use crate::limits::{
    CREDENTIAL_BYTES_MIN, FEEDBACK_BUNDLES_MAX, FEEDBACK_SESSION_BYTES_MAX, FEEDBACK_TEXT_BYTES_MAX,
};
use crate::wire::json::Fields;
use crate::wire::time::Civil;
use crate::words::ids::ConversationId;
use crate::words::sort;

/// Answers `feedback/upload`.
pub fn upload(
    around: &Surroundings<'_>,
    params: &v2::FeedbackUploadParams,
) -> Result<v2::FeedbackUploadResponse, Failure> {
    let reason = params.reason.as_deref().unwrap_or_default();
    if reason.len() + params.classification.len() > FEEDBACK_TEXT_BYTES_MAX {
        let message = format!("reason: larger than {FEEDBACK_TEXT_BYTES_MAX} bytes");
        return Err(Failure::refused(message));
    }
    let Some(home) = around.home()? else {
        return Err(Failure::refused("there is no home directory that could hold feedback"));
    };
    let thread = params.thread_id.as_deref().or(params.conversation_id.as_deref());
    let thread: Option<ConversationId> = match thread {
        None => None,
        Some(id) => match id.parse() {
            Ok(id) => Some(id),
            Err(_) => return Err(Failure::refused("threadId: not the id of a thread")),
        },
    };
    let random = clock::random().map_err(|error| Failure::internal(error.to_string()))?;
    let own = ConversationId::v7(clock::wall_ms(), random);
    let folder = make(&home, own)?;
    let secrets = secrets(around, &home);
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        replace(&path, &scrubbed(text, &secrets), Readers::Owner).map_err(failed)
    };
    write("feedback.json", &told(params, thread))?;
    write("doctor.json", &doctor::facts(around.base))?;
    if let Some(id) = thread.filter(|_| params.include_logs.0) {
        let path = rollout(&home, id).map_err(failed)?;
        if let Some(path) = path {
            let text = end(&path).map_err(|source| failed(failure("read", &path, source)))?;
            write("session.jsonl", &text)?;
        }
    }
    let thread_id = match thread {
        Some(id) => id.to_string(),
        None => format!("no-active-thread-{own}"),
    };
    Ok(v2::FeedbackUploadResponse { thread_id: thread_id.into(), prompt_hash: None })
}

/// Makes a folder for the bundle, unless there are too many.
fn make(home: &Path, own: ConversationId) -> Result<PathBuf, Failure> {
    let all = home.join("feedback");
    let count = fs::read_dir(&all).map_or(0, |entries| entries.take(FEEDBACK_BUNDLES_MAX).count());
    if count >= FEEDBACK_BUNDLES_MAX {
        let all = all.display();
        let message = format!("{all} holds {count} bundles already; remove some of them first");
        return Err(Failure::refused(message));
    }
    let day = Civil::utc(clock::wall_ms());
    let folder = all.join(format!("{:04}-{:02}-{:02}-{own}", day.year, day.month, day.day));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|source| failed(failure("make", &folder, source)))?;
    Ok(folder)
}

/// What the user said, as JSON.
fn told(params: &v2::FeedbackUploadParams, thread: Option<ConversationId>) -> String {
    let mut out = Vec::new();
    let mut fields = Fields::open(&mut out);
    fields.text("classification", &params.classification);
    fields.text_or_null("reason", params.reason.as_deref());
    fields.text_or_null("threadId", thread.map(|id| id.to_string()).as_deref());
    fields.text("version", env!("CARGO_PKG_VERSION"));
    fields.number("wallMs", clock::wall_ms());
    let mut tags = Fields::open(fields.key("tags"));
    for (name, value) in params.tags.iter().flatten().take(TAGS_MAX) {
        tags.text(name, value);
    }
    tags.close();
    fields.close();
    out.push(b'\n');
    String::from_utf8_lossy(&out).into_owned()
}

/// Tags that are kept.
const TAGS_MAX: usize = 32;

fn rollout(home: &Path, id: ConversationId) -> Result<Option<PathBuf>, disk::Failure> {
    match shelf::find(home, Shelf::Dated, id)? {
        Some(path) => Ok(Some(path)),
        None => shelf::find(home, Shelf::Archive, id),
    }
}

/// The last lines of a file, so many bytes of them.
fn end(path: &Path) -> io::Result<String> {
    let Some(mut file): Option<File> = open(path)? else { return Ok(String::new()) };
    let length = file.metadata()?.len();
    let start = length.saturating_sub(FEEDBACK_SESSION_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(FEEDBACK_SESSION_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let cut = if start == 0 { 0 } else { text.find('\n').map_or(text.len(), |line| line + 1) };
    Ok(text[cut..].to_owned())
}

/// Every credential we know of, those of the environment included.
fn secrets(around: &Surroundings<'_>, home: &Path) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut variables = vec!["OPENAI_API_KEY".to_owned(), "CODEX_API_KEY".to_owned()];
    // What cannot be read is in no bundle either.
    if let Ok(Some(login)) = auth::read(home) {
        found.extend(login.api_key.map(|key| key.expose().to_owned()));
        if let Some(tokens) = login.tokens {
            let others = [tokens.id, tokens.refresh].into_iter().flatten();
            found.extend(others.chain([tokens.access]).map(|token| token.expose().to_owned()));
        }
    }
    let base = Invocation { verb: Verb::Exec, ..around.base.clone() };
    if let Ok((_, layers)) = layers_on(around.machine, &base, around.env)
        && let Ok(provider) = settings::provider(&base, &layers, around.env)
    {
        variables.extend(provider.env_key.map(String::from));
        found.extend(provider.bearer_token.map(|token| token.expose().to_owned()));
        found.extend(provider.headers.iter().map(|(_, value)| value.expose().to_owned()));
    }
    found.extend(variables.iter().filter_map(|name| (around.env)(name)));
    let version = env!("CARGO_PKG_VERSION");
    let mut found: Vec<String> = found.iter().map(|text| text.trim().to_owned()).collect();
    found.retain(|text| text.len() >= CREDENTIAL_BYTES_MIN && text != version);
    // One may hold another.
    sort::by_key(&mut found, |text| std::cmp::Reverse(text.len()));
    found
}

const BLANK: &str = "(secret)";

/// The text without secrets, known ones and what begins like a key of OpenAI.
fn scrubbed(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), BLANK);
        }
    }
    let is_of_key = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find("sk-") {
        let (before, key) = rest.split_at(start);
        let length = key.find(|letter| !is_of_key(letter)).unwrap_or(key.len());
        let begins = !before.chars().next_back().is_some_and(is_of_key);
        out.push_str(before);
        let is_key = begins && length >= KEY_BYTES_MIN;
        out.push_str(if is_key { BLANK } else { &key[..length] });
        rest = &key[length..];
    }
    out.push_str(rest);
    out
}

/// Shorter words that begin like a key are words.
const KEY_BYTES_MIN: usize = 20;

fn failure(doing: &'static str, path: &Path, source: io::Error) -> disk::Failure {
    disk::Failure::new(doing, path, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fronts::app_server::types::codec::Typed;
    use crate::host::app_server::tests::at;
    use crate::host::disk::tests::Place;

    const ID: &str = "01990000-0000-7000-8000-0000000000aa";

    fn sent(place: &Place, json: &str) -> Result<v2::FeedbackUploadResponse, Failure> {
        let params = v2::FeedbackUploadParams::decode(json).expect("parameters");
        at(place, &Invocation::default(), |around| upload(around, &params))
    }

    /// The files of the only bundle, by name.
    fn bundle(place: &Place) -> Vec<(String, String)> {
        let all = fs::read_dir(place.path().join("home/feedback")).expect("bundles");
        let folders: Vec<_> = all.map(|entry| entry.expect("a bundle").path()).collect();
        assert_eq!(folders.len(), 1);
        let files = fs::read_dir(&folders[0]).expect("files").map(|entry| {
            let entry = entry.expect("a file");
            let text = fs::read_to_string(entry.path()).expect("text");
            (entry.file_name().into_string().expect("UTF-8"), text)
        });
        let mut files: Vec<_> = files.collect();
        files.sort();
        files
    }

    fn names(files: &[(String, String)]) -> Vec<&str> {
        files.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_bundle_holds_what_was_said_and_no_secret() {
        let place = Place::new();
        place.file("home/auth.json", "{\"OPENAI_API_KEY\":\"my-own-key\"}");
        let name = format!("rollout-2025-09-01T00-00-00-{ID}.jsonl");
        let line = "{\"a\":\"my-own-key and sk-0123456789abcdefghij, task-list\"}\n";
        place.file(&format!("home/sessions/2025/09/01/{name}"), line);
        let json = format!(
            r#"{{"classification":"bug","reason":"my-own-key does not work","threadId":"{ID}",
               "includeLogs":true,"tags":{{"t":"v"}}}}"#
        );
        assert_eq!(&*sent(&place, &json).expect("kept").thread_id, ID);
        let files = bundle(&place);
        assert_eq!(names(&files), ["doctor.json", "feedback.json", "session.jsonl"]);
        assert!(files[1].1.contains("\"reason\":\"(secret) does not work\""), "{}", files[1].1);
        assert_eq!(files[2].1, "{\"a\":\"(secret) and (secret), task-list\"}\n");
    }

    #[test]
    fn without_a_thread_it_has_a_name_of_its_own() {
        let place = Place::new();
        place.directory("home");
        let response = sent(&place, "{\"classification\":\"good\",\"includeLogs\":true}");
        let id = response.expect("kept").thread_id;
        assert!(id.starts_with("no-active-thread-0"), "{id}");
        assert_eq!(names(&bundle(&place)), ["doctor.json", "feedback.json"]);
        let other = "{\"classification\":\"x\",\"threadId\":\"../../x\"}";
        assert!(sent(&place, other).expect_err("refused").message.contains("threadId"));
    }

    #[test]
    fn only_so_much_is_kept() {
        let place = Place::new();
        let long = "x".repeat(FEEDBACK_TEXT_BYTES_MAX + 1);
        place.directory("home");
        let json = format!("{{\"classification\":\"x\",\"reason\":\"{long}\"}}");
        assert!(sent(&place, &json).expect_err("refused").message.contains("larger than"));
        for index in 0..FEEDBACK_BUNDLES_MAX {
            place.directory(&format!("home/feedback/{index}"));
        }
        let failure = sent(&place, "{\"classification\":\"x\"}").expect_err("refused");
        assert!(failure.message.contains("remove some"), "{failure}");
        let half = "x".repeat(FEEDBACK_SESSION_BYTES_MAX as usize / 2);
        let path = place.file("long.jsonl", format!("{half}\n{half}\nlast\n"));
        assert_eq!(end(&path).expect("read"), format!("{half}\nlast\n"));
    }
}
