//! Records what the model answers into a file, exchange by exchange.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::config::providers::Secret;
use crate::wire::replay::HEADER;
use crate::wire::replay::recorder::Recorder;
use crate::words::ids::OpId;
use crate::words::model::ModelEvent;
use crate::words::request::RequestView;

/// A recording that is being made.
#[derive(Debug)]
pub struct Recording {
    file: File,
    live: Vec<(OpId, Recorder)>,
    credentials: Vec<Secret>,
    /// The first thing that went wrong; the run goes on, the recording does not.
    pub failure: Option<io::Error>,
}

impl Recording {
    /// Makes the file. Known credentials never get into it.
    pub fn create(path: &Path, credentials: Vec<Secret>) -> io::Result<Recording> {
        let mut file = File::create(path)?;
        writeln!(file, "{HEADER}")?;
        Ok(Recording { file, live: Vec::new(), credentials, failure: None })
    }

    /// A request goes out; one that goes out again is recorded once.
    pub fn asked(&mut self, op: OpId, view: &RequestView<'_>) {
        self.live.retain(|(live, _)| *live != op);
        let known: Vec<&str> = self.credentials.iter().map(Secret::expose).collect();
        self.live.push((op, Recorder::new(view, &known)));
    }

    /// The response brought something.
    pub fn heard(&mut self, op: OpId, event: &ModelEvent<'_>) {
        let Some(index) = self.live.iter().position(|(live, _)| *live == op) else { return };
        self.live[index].1.push(event);
        match event {
            ModelEvent::Completed { .. } | ModelEvent::Failed(_) => {
                let (_, recorder) = self.live.swap_remove(index);
                self.write(recorder);
            }
            _ => {}
        }
    }

    /// The provider refused with this reply.
    pub fn refused(&mut self, op: OpId, status: u16, body: &[u8]) {
        let Some(index) = self.live.iter().position(|(live, _)| *live == op) else { return };
        let (_, mut recorder) = self.live.swap_remove(index);
        recorder.push_status(status, body);
        self.write(recorder);
    }

    fn write(&mut self, recorder: Recorder) {
        if self.failure.is_some() {
            return;
        }
        let written = match recorder.finish() {
            Ok(lines) => self.file.write_all(&lines),
            Err(_) => Err(io::Error::other("an exchange is too long to be recorded")),
        };
        self.failure = written.err();
    }
}
