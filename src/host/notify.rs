//! Starts the user's program for a turn that has completed.
//!
//! The program is the user's own choice: it runs outside the sandbox, with our environment, in a
//! session of its own, and may outlive us. It has nothing to read and nobody hears it. Whatever
//! becomes of it, the run goes on.

use std::ffi::OsString;

use crate::host::proc;
use crate::limits::NOTIFY_RUNNING_MAX;

/// The program, and what runs of it.
#[derive(Debug)]
pub struct Program {
    /// Its name and first words.
    words: Vec<OsString>,
    /// The soft limit of open files that we were started with.
    nofile: Option<u64>,
    running: Vec<i32>,
}

impl Program {
    /// `None` if there is no program.
    pub fn new(words: &[Box<str>], nofile: Option<u64>) -> Option<Program> {
        let words: Vec<OsString> = words.iter().map(|word| OsString::from(&**word)).collect();
        (!words.is_empty()).then(|| Program { words, nofile, running: Vec::new() })
    }

    /// Starts the program with one more argument. An error is a line for people.
    pub fn start(&mut self, argument: String) -> Result<(), String> {
        self.reap();
        let name = self.words[0].to_string_lossy();
        let failed = |why: &str| format!("notify: {name} was not started: {why}");
        if self.running.len() >= NOTIFY_RUNNING_MAX {
            return Err(failed("too many of it are still running"));
        }
        let mut argv = self.words.clone();
        argv.push(argument.into());
        let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let pid = windlass_sandbox::spawn_detached(&argv, &env)
            .map_err(|error| failed(&error.to_string()))?;
        if let Some(nofile) = self.nofile {
            proc::limit_open_files(pid, nofile);
        }
        self.running.push(pid);
        Ok(())
    }

    /// Takes the exit statuses of those that have ended.
    pub fn reap(&mut self) {
        self.running.retain(|&pid| !proc::is_reaped(pid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(words: &[&str]) -> Program {
        let words: Vec<Box<str>> = words.iter().map(|word| Box::from(*word)).collect();
        Program::new(&words, None).expect("a program")
    }

    fn running_until(program: &mut Program, count: usize) {
        while program.running.len() > count {
            crate::host::clock::pause_ms(1);
            program.reap();
        }
    }

    #[test]
    fn a_program_that_ends_leaves_nothing_behind() {
        let mut program = program(&["true"]);
        program.start("{}".into()).expect("started");
        running_until(&mut program, 0);
    }

    #[test]
    fn a_program_that_cannot_be_started_is_named() {
        for words in [&["/no/such/program"][..], &["nul\0"]] {
            let error = program(words).start("{}".into()).expect_err("not started");
            assert!(error.starts_with("notify: ") && error.contains("was not started"), "{error}");
        }
        assert!(Program::new(&[], None).is_none());
    }

    #[test]
    fn only_so_many_run_at_once() {
        // Each waits for a reader of a pipe that has none; a reader lets all of them go.
        let place = crate::host::disk::tests::Place::new();
        let fifo = place.path().join("fifo");
        let name = std::ffi::CString::new(fifo.to_str().expect("UTF-8")).expect("no NUL");
        // SAFETY: the name is NUL-terminated and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let mut program = program(&["sh", "-c", ": > \"$0\"", fifo.to_str().expect("UTF-8")]);
        for _ in 0..NOTIFY_RUNNING_MAX {
            program.start("{}".into()).expect("started");
        }
        let error = program.start("{}".into()).expect_err("too many");
        assert!(error.contains("still running"), "{error}");
        while !program.running.is_empty() {
            use std::os::unix::fs::OpenOptionsExt;
            let mut options = std::fs::OpenOptions::new();
            let _reader = options.read(true).custom_flags(libc::O_NONBLOCK).open(&fifo);
            running_until(&mut program, NOTIFY_RUNNING_MAX);
            crate::host::clock::pause_ms(1);
            program.reap();
        }
    }
}
