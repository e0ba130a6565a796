//! The status line on its terminal: when it may be painted, and how wide it may be.
//!
//! Nothing is painted while bytes wait for the terminal, so that one that is stopped (`^S`) is left
//! alone, nor while a shell uses the terminal and we are in the background.

use std::io::{self, IsTerminal};

use crate::fronts::exec::status::Status;
use crate::fronts::exec::style::Paint;
use crate::host::stdio::Flush;
use crate::host::{Host, STDERR, clock};
use crate::limits::{OUTPUT_BUDGET_BYTES, TERMINAL_COLUMNS_DEFAULT};

/// The status line, if stderr is a terminal that can move its cursor.
pub fn on_stderr(paint: Paint) -> Option<Status> {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    (io::stderr().is_terminal() && !is_dumb).then(|| Status::new(paint))
}

impl Host {
    /// Takes the status line off the screen for these bytes.
    pub(crate) fn make_way(&mut self, index: usize) {
        let Some(status) = &mut self.seam.status else { return };
        let coming = &self.seam.output;
        let coming = if index == STDERR { &coming.stderr } else { &coming.stdout };
        if coming.is_empty() {
            return;
        }
        let mut bytes = Vec::new();
        status.make_way(coming, &mut bytes);
        self.write_status(&bytes);
    }

    /// Takes the status line off the screen.
    pub(crate) fn erase_status(&mut self) {
        let Some(status) = &mut self.seam.status else { return };
        let mut bytes = Vec::new();
        status.erase(&mut bytes);
        self.write_status(&bytes);
    }

    /// Brings the status line up to date.
    pub(crate) fn paint_status(&mut self) {
        if self.outlets.iter().any(|outlet| outlet.waiting_bytes() > 0) {
            return;
        }
        let Some(status) = &mut self.seam.status else { return };
        let now_ms = clock::mono_ms();
        if status.is_due(now_ms) {
            let mut bytes = Vec::new();
            status.paint(now_ms, is_foreground().then(columns), &mut bytes);
            self.write_status(&bytes);
        }
    }

    /// When the status line has to be painted anew.
    pub(crate) fn status_deadline(&self, now_ms: u64) -> Option<u64> {
        // Whoever takes what waits is heard of.
        if self.outlets.iter().any(|outlet| outlet.waiting_bytes() > 0) {
            return None;
        }
        self.seam.status.as_ref()?.next_deadline(now_ms)
    }

    fn write_status(&mut self, bytes: &[u8]) {
        let outlet = &mut self.outlets[STDERR];
        outlet.push(bytes);
        if outlet.waiting_bytes() > 0 && outlet.flush(OUTPUT_BUDGET_BYTES) != Flush::Empty {
            self.watch_outlet(STDERR);
        }
    }
}

/// The width of the terminal at stderr.
fn columns() -> u16 {
    columns_of(libc::STDERR_FILENO)
}

/// The width of the terminal at one of the standard descriptors.
pub(crate) fn columns_of(descriptor: i32) -> u16 {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which `size` is; a descriptor that is no terminal is
    // only an error.
    let result = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &raw mut size) };
    if result == 0 && size.ws_col > 0 { size.ws_col } else { TERMINAL_COLUMNS_DEFAULT }
}

/// Whether no shell has put us into the background of the terminal at stderr.
fn is_foreground() -> bool {
    // SAFETY: the call takes an integer.
    let foreground = unsafe { libc::tcgetpgrp(libc::STDERR_FILENO) };
    // SAFETY: the call takes nothing and cannot fail.
    let own = unsafe { libc::getpgrp() };
    // On a terminal that does not control us there are no jobs.
    foreground < 0 || foreground == own
}
