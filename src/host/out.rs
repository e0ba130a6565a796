//! Text on stdout outside any turn.

use std::io::{self, Write};

/// Writes a text and gives the exit code. A reader that has left is no failure: it has read enough.
pub fn print(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(_) => 1,
    }
}
