//! The flight recorder: every input of the machine in a file, and the machine run again from it.
//!
//! A journal is one JSON line for each input, in the order in which they came, with a digest of
//! each effect that it had. It is written at the seam, before the machine takes the input, and
//! never says a known credential. What goes wrong with it is said once and changes nothing else.

pub mod blanks;
pub mod effects;
pub mod inputs;
pub mod reading;
pub mod recorder;
pub mod replay;
pub mod shapes;

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::panic;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::providers::Secret;
use crate::core::Agent;
use crate::core::effect::Effects;
use crate::core::input::{Input, Now};
use crate::host::exec::say;
use crate::host::journal::blanks::Blanks;
use crate::host::journal::recorder::{MAGIC, Recorder, VERSION};
use crate::host::journal::replay::{Broken, Replay, Step};
use crate::host::out;
use crate::limits::{JOURNAL_BYTES_MAX, JOURNAL_CREDENTIALS_MAX};
use crate::words::ids::OpId;
use crate::words::item::Item;

/// The exit code of a replay that led elsewhere.
pub const EXIT_DIFFERS: u8 = 3;

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    recorder: Recorder,
    /// Invariant: at most `JOURNAL_BYTES_MAX`.
    written_bytes: u64,
    /// Why nothing more will be written, once that is so.
    end: Option<Box<str>>,
}

impl Journal {
    /// Makes the file, for its owner alone. What is there already is replaced only if it is empty
    /// or a journal.
    pub fn create(path: &Path, seed: u64, blanks: Blanks) -> io::Result<Journal> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        // Neither a symbolic link nor a pipe is what was meant.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(path).map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => io::Error::other("it is a symbolic link"),
            _ => error,
        })?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        // Where files cannot be locked nobody else is seen.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::Error::other("another windlass is writing it"));
        }
        if metadata.len() > 0 && !is_journal(&file) {
            return Err(io::Error::other("it exists and is not a journal"));
        }
        file.set_len(0)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let recorder = Recorder::new(seed, blanks);
        Ok(Journal { file, recorder, written_bytes: 0, end: None })
    }

    /// Writes down the next items of a past, before it happens; see `Recorder::ahead`.
    pub fn ahead(&mut self, op: OpId, items: &[Item]) {
        if self.end.is_none() {
            self.recorder.ahead(op, items);
            self.flush();
        }
    }

    /// Writes down what happens, before it does.
    pub fn happens(&mut self, now: Now, input: &Input<'_>) {
        if self.end.is_none() {
            self.recorder.happens(now, input);
            self.flush();
        }
    }

    /// Keeps what it led to; it is written with the next input.
    pub fn leads_to(&mut self, agent: &Agent, effects: &Effects) {
        if self.end.is_none() {
            self.recorder.leads_to(agent, effects);
        }
    }

    /// Keeps these out of it as well from now on; too many of them end it.
    pub fn keep_out(&mut self, secrets: &[Secret]) {
        let count = self.recorder.keep_out(secrets.iter().map(Secret::expose));
        if count > JOURNAL_CREDENTIALS_MAX && self.end.is_none() {
            self.flush();
            let why = format!("more than {JOURNAL_CREDENTIALS_MAX} credentials are in use");
            self.end.get_or_insert(why.into());
        }
    }

    /// Why nothing more will be written.
    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    fn flush(&mut self) {
        let bytes = self.recorder.bytes();
        let written_bytes = self.written_bytes + bytes.len() as u64;
        if written_bytes > JOURNAL_BYTES_MAX {
            let why = format!("it would be longer than {JOURNAL_BYTES_MAX} bytes");
            self.end = Some(why.into());
        } else if let Err(error) = self.file.write_all(bytes) {
            self.end = Some(error.to_string().into());
        } else {
            self.written_bytes = written_bytes;
        }
        self.recorder.clear();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The effects of the last input.
        if self.end.is_none() {
            self.flush();
        }
    }
}

/// Begins the journal of a run.
pub fn begin(path: &Path, seed: u64, secrets: &[Secret]) -> Result<Box<Journal>, String> {
    let blanks = Blanks::new(secrets.iter().map(Secret::expose));
    let journal = Journal::create(path, seed, blanks).map(Box::new);
    journal.map_err(|error| format!("cannot write the journal {}: {error}", path.display()))
}

fn is_journal(file: &File) -> bool {
    let mut head = [0; MAGIC.len()];
    file.read_exact_at(&mut head, 0).is_ok() && head == *MAGIC.as_bytes()
}

/// Runs a journal's inputs again and gives the exit code.
pub fn replay(path: &Path) -> u8 {
    let named = path.display();
    let opened = File::open(path).map_err(Broken::Unreadable);
    let mut replay = match opened.and_then(|file| Replay::begin(BufReader::new(file))) {
        Ok(replay) => replay,
        Err(broken) => return fail(&format!("the journal {named}: {broken}"), &broken),
    };
    if !replay.is_own() {
        let version = &replay.version;
        say(&format!("warning: windlass {version} wrote it, {VERSION} replays it"));
    }
    say_where_it_panics();
    let mut inputs_count = 0_u64;
    let how = loop {
        REPLAYED_LINE.store(replay.line_number + 1, Ordering::Relaxed);
        match replay.step() {
            Ok(Step::Same) => inputs_count += 1,
            Ok(Step::Ahead) => {}
            Ok(Step::End) => break "had the same effects".to_owned(),
            Ok(Step::Cut) => {
                break format!("had the same effects; line {} is cut off", replay.line_number);
            }
            Ok(Step::Unanswered) => {
                break format!(
                    "had the same effects; the one on line {} was taken, its effects are not in \
                     the journal",
                    replay.line_number
                );
            }
            Err(broken) => {
                let line_number = replay.line_number;
                return fail(
                    &format!("the journal {named}: line {line_number}: {broken}"),
                    &broken,
                );
            }
        }
    };
    out::print(&format!("{inputs_count} inputs {how}\n"))
}

/// The line whose input the machine is given.
static REPLAYED_LINE: AtomicU64 = AtomicU64::new(0);

fn say_where_it_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let line_number = REPLAYED_LINE.load(Ordering::Relaxed);
        say(&format!("the input on line {line_number} of the journal makes windlass panic:"));
        usual(panic);
    }));
}

fn fail(message: &str, broken: &Broken) -> u8 {
    say(&format!("error: {message}"));
    match broken {
        Broken::Differs { .. } => EXIT_DIFFERS,
        Broken::Unreadable(_) | Broken::NoJournal | Broken::Damaged(_) | Broken::NotText => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;

    const NOW: Now = Now { mono_ms: 1, wall_ms: 2 };

    #[test]
    fn a_journal_ends_at_its_bound() {
        let place = Place::new();
        let path = place.path().join("journal");
        let mut journal = Journal::create(&path, 1, Blanks::default()).unwrap();
        journal.happens(NOW, &Input::Deadline);
        let line = "{\"now\":[1,2],\"input\":\"Deadline\"";
        journal.written_bytes = JOURNAL_BYTES_MAX - line.len() as u64;
        journal.happens(NOW, &Input::Deadline);
        assert_eq!(journal.end(), None);
        journal.happens(NOW, &Input::Deadline);
        assert_eq!(journal.end(), Some("it would be longer than 268435456 bytes"));
        journal.happens(NOW, &Input::Deadline);
        drop(journal);
        assert_eq!(std::fs::read_to_string(&path).unwrap().matches(line).count(), 2);
    }

    #[test]
    fn a_journal_keeps_later_credentials_out_and_ends_when_they_are_too_many() {
        let place = Place::new();
        let path = place.path().join("journal");
        let mut journal = Journal::create(&path, 1, Blanks::default()).unwrap();
        let op = OpId { slot: 0, generation: 0 };
        let unwritten = |why: &str| Input::Unwritten { op, why: why.into() };
        let secret = |number: usize| Secret::new(format!("secret-{number:03}"));
        journal.keep_out(&[secret(0)]);
        journal.happens(NOW, &unwritten("it is secret-000"));
        for _ in 0..2 {
            let known: Vec<Secret> = (0..JOURNAL_CREDENTIALS_MAX).map(secret).collect();
            journal.keep_out(&known);
            assert_eq!(journal.end(), None);
        }
        journal.keep_out(&[secret(JOURNAL_CREDENTIALS_MAX)]);
        assert_eq!(journal.end(), Some("more than 64 credentials are in use"));
        journal.happens(NOW, &unwritten("lost"));
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("it is xxxxxxxxxx") && !text.contains("lost"), "{text}");
    }

    #[test]
    fn two_do_not_write_one_journal() {
        let place = Place::new();
        let path = place.path().join("journal");
        let first = Journal::create(&path, 1, Blanks::default()).unwrap();
        let second = Journal::create(&path, 2, Blanks::default()).unwrap_err();
        assert_eq!(second.to_string(), "another windlass is writing it");
        drop(first);
        assert!(Journal::create(&path, 2, Blanks::default()).is_ok());
    }

    #[test]
    fn a_pipe_is_no_journal() {
        let place = Place::new();
        let path = place.pipe("journal");
        let refused = Journal::create(&path, 1, Blanks::default()).unwrap_err();
        assert_eq!(refused.to_string(), "it is not a regular file");
    }
}
