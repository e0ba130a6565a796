//! The `windlass-files` child: does for the agent what touches paths that a model named.
//!
//! It reads one bounded JSON request from standard input, writes one bounded JSON reply to standard
//! output and exits; what goes wrong is said inside the reply. Its parent confines it and gives it
//! a deadline, so it may block and it may follow links: the sandbox decides what it can reach.
//! Requests are `{"op":…}` with `read_file`, `list_dir`, `grep_files` or `view_image`, `arguments`
//! (the model's own text) and `cwd`, `inspect_patch` with `cwd` and `patch`, or `apply_patch` with
//! these, `expect` and `ground`. Replies are `{"ok":…}` or `{"error":…}`. The door `apply_patch` for scripts
//! ends here too.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use self::ground::Ground;
use self::patching::{Expectation, Plan};
use crate::host::images::data_url;
use crate::limits::{
    FILE_SCANNED_BYTES_MAX, FILES_REPLY_BYTES_MAX, FILES_REQUEST_BYTES_MAX, LISTING_WANTED_MAX,
    PATCH_BYTES_MAX, VIEWED_IMAGE_BYTES_MAX,
};
use crate::tools::listing::{Kind, ListDir};
use crate::tools::slice::ReadFile;
use crate::words::sort;

mod ground;
mod patching;
pub(in crate::host) mod regular;
pub mod request;
mod searching;

const PIECE_BYTES: usize = 64 << 10;

/// What the parent asks; one shape for all, since each operation uses few of the fields.
#[derive(Debug, Deserialize)]
struct Request {
    op: String,
    #[serde(default)]
    arguments: String,
    #[serde(default)]
    cwd: PathBuf,
    #[serde(default)]
    patch: String,
    #[serde(default)]
    expect: Option<Vec<Expectation>>,
    #[serde(default)]
    ground: Vec<PathBuf>,
}

/// The whole life of the child; the exit code says only whether a reply was written.
pub fn files_main() -> u8 {
    let mut request = Vec::new();
    let mut bounded = io::stdin().lock().take(FILES_REQUEST_BYTES_MAX as u64 + 1);
    let reply = match bounded.read_to_end(&mut request) {
        Ok(_) => run(&request),
        Err(error) => reply(Err(format!("cannot read the request: {error}"))),
    };
    let mut out = io::stdout().lock();
    u8::from(out.write_all(&reply).and_then(|()| out.flush()).is_err())
}

/// Answers one request.
pub fn run(request: &[u8]) -> Vec<u8> {
    if request.len() > FILES_REQUEST_BYTES_MAX {
        return reply(Err(format!("the request is over {FILES_REQUEST_BYTES_MAX} bytes")));
    }
    let request: Request = match serde_json::from_slice(request) {
        Ok(request) => request,
        Err(error) => return reply(Err(format!("the request is not understood: {error}"))),
    };
    reply(match request.op.as_str() {
        "read_file" => read_file(&request.arguments).map(Value::String),
        "list_dir" => list_dir(&request.arguments).map(Value::String),
        "grep_files" => searching::grep_files(&request.arguments, &request.cwd).map(Value::String),
        "view_image" => view_image(&request),
        "inspect_patch" => inspect_patch(&request),
        "apply_patch" => apply_patch(request).map_err(unverified),
        other => Err(format!("unknown operation '{other}'")),
    })
}

/// The `apply_patch` command of scripts: one argument or standard input. `arguments` lack the name.
pub fn patch_door_main(arguments: &[String]) -> u8 {
    let cwd = std::env::current_dir().unwrap_or_default();
    patch_door(arguments, io::stdin().lock(), &cwd, &mut io::stdout(), &mut io::stderr())
}

fn patch_door(
    arguments: &[String],
    stdin: impl Read,
    cwd: &Path,
    out: &mut impl Write,
    err: &mut impl Write,
) -> u8 {
    let read;
    let patch = match arguments {
        [patch] => patch.as_str(),
        [] => {
            let mut text = String::new();
            if let Err(error) = stdin.take(PATCH_BYTES_MAX as u64 + 1).read_to_string(&mut text) {
                // Nobody is left to tell if standard error is closed.
                let _ = writeln!(err, "apply_patch: cannot read standard input: {error}");
                return 1;
            }
            read = text;
            &read
        }
        _ => {
            // As above.
            let _ = writeln!(err, "usage: apply_patch PATCH, or apply_patch < PATCH");
            return 2;
        }
    };
    let applied = match Plan::new(cwd, patch) {
        Ok(plan) => plan.apply(&Ground::default()),
        Err(message) => {
            // As above.
            let _ = writeln!(err, "apply_patch: {message}");
            return 1;
        }
    };
    // The files are written; a reader who left changes nothing about that.
    let _ = out.write_all(applied.stdout().as_bytes());
    let _ = err.write_all(applied.stderr().as_bytes());
    applied.exit_code()
}

fn inspect_patch(request: &Request) -> Result<Value, String> {
    Plan::new(&request.cwd, &request.patch).map(|plan| plan.told())
}

fn apply_patch(request: Request) -> Result<Value, String> {
    let plan = Plan::new(&request.cwd, &request.patch)?;
    if let Some(expected) = &request.expect {
        plan.verify(expected)?;
    }
    let ground = Ground::of(request.ground);
    plan.stand_on(&ground)?;
    Ok(plan.apply(&ground).told())
}

/// A patch that does not fit, as the model is told.
fn unverified(reason: String) -> String {
    format!("apply_patch verification failed: {reason}")
}

fn read_file(arguments: &str) -> Result<String, String> {
    let asked: ReadFile = parsed(arguments)?;
    let path = PathBuf::from(&asked.file_path);
    let mut slicer = asked.slicer().map_err(|error| error.to_string())?;
    let failed = |error: io::Error| format!("failed to read file {}: {error}", path.display());
    let mut file = regular::open(&path).map_err(failed)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut scanned = 0;
    loop {
        let count = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if !slicer.push(&piece[..count]).map_err(|error| error.to_string())? {
            break;
        }
        scanned += count as u64;
        if scanned > FILE_SCANNED_BYTES_MAX {
            return Err(format!(
                "{} is too large to count its lines; look at it with a shell command",
                path.display()
            ));
        }
    }
    slicer.finish().map_err(|error| error.to_string())
}

fn list_dir(arguments: &str) -> Result<String, String> {
    let asked: ListDir = parsed(arguments)?;
    asked.judge().map_err(|error| error.to_string())?;
    let root = PathBuf::from(&asked.dir_path);
    let wanted = usize::try_from(asked.wanted()).unwrap_or(usize::MAX);
    if wanted > LISTING_WANTED_MAX {
        return Err(format!("offset and limit together must be below {LISTING_WANTED_MAX}"));
    }
    let entries = asked
        .walk(|names| children(&root.join(names.iter().collect::<PathBuf>()), wanted))
        .map_err(|error| format!("failed to read directory {}: {error}", root.display()))?;
    asked.page(&entries).map_err(|error| error.to_string())
}

/// What `view_image` is called with.
#[derive(Debug, Deserialize)]
struct ViewImage {
    path: PathBuf,
}

fn view_image(request: &Request) -> Result<Value, String> {
    let asked: ViewImage = parsed(&request.arguments)?;
    let path = request.cwd.join(asked.path);
    let failed = |why: &str| format!("unable to view image {}: {why}", path.display());
    let bytes = match regular::read(&path, VIEWED_IMAGE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(failed("there is no such file")),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(failed(&format!("{error}; scale it down first")));
        }
        Err(error) => return Err(failed(&error.to_string())),
    };
    let url = data_url(&bytes).map_err(failed)?;
    Ok(json!({ "image": url }))
}

/// The first `wanted` names of a directory in their order; later ones cannot be on the page.
fn children(directory: &Path, wanted: usize) -> io::Result<Vec<(String, Kind)>> {
    let mut found: Vec<(String, Kind)> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type().map_or(Kind::Other, |kind| {
            if kind.is_symlink() {
                Kind::Symlink
            } else if kind.is_dir() {
                Kind::Directory
            } else if kind.is_file() {
                Kind::File
            } else {
                Kind::Other
            }
        });
        found.push((entry.file_name().to_string_lossy().into_owned(), kind));
        if found.len() >= wanted.saturating_mul(2).max(1024) {
            sort::by(&mut found, &mut |left, right| left.0.cmp(&right.0));
            found.truncate(wanted);
        }
    }
    Ok(found)
}

fn parsed<'a, Asked: Deserialize<'a>>(arguments: &'a str) -> Result<Asked, String> {
    serde_json::from_str(arguments)
        .map_err(|error| format!("failed to parse function arguments: {error}"))
}

fn reply(answer: Result<Value, String>) -> Vec<u8> {
    let reply = match answer {
        Ok(value) => json!({ "ok": value }),
        Err(message) => json!({ "error": message }),
    };
    let text = reply.to_string();
    if text.len() > FILES_REPLY_BYTES_MAX {
        let message = format!("the answer is over {FILES_REPLY_BYTES_MAX} bytes; ask for less");
        return json!({ "error": message }).to_string().into_bytes();
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests;
