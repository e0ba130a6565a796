//! `windlass demo`: a recorded model does a real piece of work.
//!
//! The model's part is a recording in the binary. Everything else is what it always is: commands,
//! the patch and the tests run in the sandbox, on a scratch copy of a small project whose test
//! fails. A run that differs from the recording, because a test came out otherwise, say, ends as a
//! mismatch.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::config::args::{Invocation, StdinUse};
use crate::host::disk::config;
use crate::host::{exec, out};
use crate::words::diff;
use crate::words::policy::SandboxMode;

const RECORDING: &str = include_str!("demo/recording.jsonl");
const PROMPT: &str = include_str!("demo/prompt.txt");

/// The scratch project: names and texts.
const PROJECT: [(&str, &str); 2] = [
    ("duration.sh", include_str!("demo/project/duration.sh")),
    ("test.sh", include_str!("demo/project/test.sh")),
];

/// Unchanged lines around each change that is shown.
const DIFF_CONTEXT_LINES: usize = 3;

/// A directory that is gone when this is.
#[derive(Debug)]
struct Scratch {
    path: PathBuf,
}

/// Runs the demo and gives its exit code.
pub fn demo(invocation: &Invocation, exe: PathBuf) -> u8 {
    match run(invocation, exe) {
        Ok(code) => code,
        Err(message) => {
            exec::say(&format!("error: {message}"));
            1
        }
    }
}

fn run(invocation: &Invocation, exe: PathBuf) -> Result<u8, String> {
    let scratch = Scratch::new().map_err(|error| format!("no scratch directory: {error}"))?;
    let (project, home) = (scratch.path.join("project"), scratch.path.join("home"));
    fill(&project, &home).map_err(|error| format!("cannot fill the scratch directory: {error}"))?;
    let invocation = Invocation {
        prompt: Some(PROMPT.trim_end().into()),
        directory: Some(project.clone()),
        sandbox: invocation.sandbox.or(Some(SandboxMode::WorkspaceWrite)),
        stdin: StdinUse::Never,
        ephemeral: true,
        skip_git_repo_check: true,
        ..invocation.clone()
    };
    let home = home.to_str().map(String::from);
    let env = |name: &str| match name {
        "WINDLASS_HOME" => home.clone(),
        name => std::env::var(name).ok(),
    };
    let loaded = config::load(&invocation, &env).map_err(|error| error.to_string())?;
    let is_for_people = !invocation.json;
    if is_for_people {
        exec::say(
            "The model of this demo is a recording. Its commands, its patch and the tests are",
        );
        exec::say("run for real, in the sandbox, on a scratch project whose test fails.");
        exec::say("");
    }
    let code = exec::run(loaded, exe, Some(RECORDING), invocation.journal.as_deref())?;
    if is_for_people {
        out::print(&report(&project, code));
    }
    Ok(code)
}

/// What has changed in the scratch project, as files hold it now.
fn report(project: &Path, code: u8) -> String {
    let mut text = String::from("\nWhat changed on disk:\n");
    let mut changed = false;
    for (name, before) in PROJECT {
        let after = fs::read_to_string(project.join(name)).unwrap_or_default();
        if after != before {
            changed = true;
            let hunks = diff::unified(before, &after, DIFF_CONTEXT_LINES);
            text.push_str(&format!("--- a/{name}\n+++ b/{name}\n{hunks}"));
        }
    }
    if !changed {
        text.push_str("nothing\n");
    }
    text.push_str(if code == 0 {
        "\nThe model was a recording; the work was real. To work on a project of your own, give \
         windlass\na model (`windlass exec --help` says how) and run: windlass exec -s \
         workspace-write \"your task\"\n"
    } else {
        "\nThe demo did not go as recorded; the messages above say where.\n"
    });
    text
}

fn fill(project: &Path, home: &Path) -> io::Result<()> {
    fs::create_dir(project)?;
    fs::create_dir(home)?;
    for (name, text) in PROJECT {
        fs::write(project.join(name), text)?;
    }
    Ok(())
}

impl Scratch {
    /// A fresh directory in `$TMPDIR` or `/tmp`, for us alone.
    fn new() -> io::Result<Scratch> {
        let parent = std::env::temp_dir().canonicalize()?;
        let template = parent.join("windlass-demo-XXXXXX");
        let template = CString::new(template.as_os_str().as_bytes())?.into_raw();
        // SAFETY: the template is a NUL-terminated string that we own and that may be written to.
        let made = unsafe { libc::mkdtemp(template) };
        let error = io::Error::last_os_error();
        // SAFETY: the pointer came from `into_raw`, and the call kept the string's length.
        let template = unsafe { CString::from_raw(template) };
        if made.is_null() {
            return Err(error);
        }
        Ok(Scratch { path: PathBuf::from(std::ffi::OsString::from_vec(template.into_bytes())) })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays where temporary things are.
        let _ = fs::remove_dir_all(&self.path);
    }
}
