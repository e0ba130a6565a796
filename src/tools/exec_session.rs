//! Commands that outlive their call: start one (`exec_command`), write to it (`write_stdin`), and
//! how what it printed is laid out for the model.
//!
//! A session is named by a number that the machine gives out once the command has outlived the
//! call that started it.

use std::borrow::Cow;

use crate::limits::{
    SESSION_POLL_MS_MAX, SESSION_POLL_MS_MIN, SESSION_START_YIELD_MS, SESSION_TOKENS_DEFAULT,
    SESSION_UNREAD_BYTES_MAX, SESSION_WRITE_YIELD_MS, SESSION_YIELD_MS_MAX, SESSION_YIELD_MS_MIN,
    TOKEN_BYTES,
};
use crate::tools::arguments::{Arguments, required};
use crate::tools::shell::{Escalating, plan_command};
use crate::words::call::{
    Answer, CallAsked, Life, Patience, Plan, SessionStdio, Unread, WritePlan,
};
use crate::words::settings::ThreadSettings;

/// What one call is told of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk<'a> {
    /// Of which 24 bits count.
    pub id: u32,
    pub wall_ms: u64,
    pub state: ChunkState,
    pub unread: &'a Unread,
    pub output_tokens_max: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkState {
    Running { session: u32 },
    Exited { code: i32 },
}

/// A command that is given as one line for a shell.
pub fn plan_start(asked: &CallAsked, settings: &ThreadSettings) -> Result<Plan, Answer> {
    let arguments = Arguments::parse(&asked.arguments)?;
    let line = required(arguments.cmd, "cmd")?;
    if line.trim().is_empty() {
        return Err(Answer::failure("the command is empty"));
    }
    let shell = arguments.shell.filter(|shell| !shell.is_empty());
    let shell = shell.unwrap_or_else(|| settings.shell.to_string());
    let flag = if arguments.login == Some(false) { "-c" } else { "-lc" };
    let stdio = match arguments.tty {
        Some(false) => SessionStdio::Pipes,
        Some(true) | None => SessionStdio::Terminal,
    };
    let yield_ms = milliseconds(arguments.yield_time_ms, SESSION_START_YIELD_MS)
        .clamp(SESSION_YIELD_MS_MIN, SESSION_YIELD_MS_MAX);
    let output_tokens_max = tokens(arguments.max_output_tokens);
    let life = Life::Session { stdio, patience: Patience { yield_ms, output_tokens_max } };
    let escalating = Escalating {
        flag: arguments.with_escalated_permissions,
        permissions: arguments.sandbox_permissions,
        justification: arguments.justification,
    };
    let argv = vec![shell, flag.to_string(), line];
    plan_command(argv, arguments.workdir.as_deref(), life, escalating, settings)
}

/// Text for a session, or none to see what it has printed.
pub fn plan_write(asked: &CallAsked, _settings: &ThreadSettings) -> Result<Plan, Answer> {
    let arguments = Arguments::parse(&asked.arguments)?;
    let number = required(arguments.session_id, "session_id")?;
    let session = number as u32;
    if f64::from(session) != number {
        return Err(Answer::failure(unknown(&number.to_string())));
    }
    let chars = arguments.chars.unwrap_or_default();
    let yield_ms = if chars.is_empty() {
        milliseconds(arguments.yield_time_ms, SESSION_POLL_MS_MIN)
            .clamp(SESSION_POLL_MS_MIN, SESSION_POLL_MS_MAX)
    } else {
        milliseconds(arguments.yield_time_ms, SESSION_WRITE_YIELD_MS)
            .clamp(SESSION_YIELD_MS_MIN, SESSION_YIELD_MS_MAX)
    };
    let output_tokens_max = tokens(arguments.max_output_tokens);
    let patience = Patience { yield_ms, output_tokens_max };
    Ok(Plan::Write(WritePlan { session, chars: chars.into(), patience }))
}

/// What the model is told of a session that there is not.
pub fn unknown(session: &str) -> String {
    format!("there is no session {session}: it was never started, or its end has been told")
}

impl Chunk<'_> {
    /// The answer as models know it.
    pub fn text(&self) -> String {
        let (seconds, ms) = (self.wall_ms / 1000, self.wall_ms % 1000);
        let state = match self.state {
            ChunkState::Running { session } => {
                format!("Process running with session ID {session}")
            }
            ChunkState::Exited { code } => format!("Process exited with code {code}"),
        };
        let (output, original) = self.output();
        let original = match original {
            Some(count) => format!("Original token count: {count}\n"),
            None => String::new(),
        };
        let id = self.id & 0xff_ffff;
        format!(
            "Chunk ID: {id:06x}\nWall time: {seconds}.{ms:03}0 seconds\n{state}\n{original}\
             Output:\n{output}"
        )
    }

    /// The output within its bound, and how many tokens there were if it had to be cut.
    fn output(&self) -> (Cow<'_, str>, Option<u64>) {
        let Unread { text, dropped_bytes } = self.unread;
        let bytes_max = self.output_tokens_max as usize * TOKEN_BYTES;
        if *dropped_bytes == 0 && text.len() <= bytes_max {
            return (Cow::Borrowed(text), None);
        }
        let total = tokens_in(dropped_bytes.saturating_add(text.len() as u64));
        let mut output = String::with_capacity(text.len().min(bytes_max) + 80);
        if *dropped_bytes > 0 {
            output.push_str(&mark(tokens_in(*dropped_bytes)));
            output.push('\n');
        }
        if text.len() <= bytes_max {
            output.push_str(text);
        } else {
            let head = text.floor_char_boundary(bytes_max / 2);
            let tail = text.ceil_char_boundary(text.len() - (bytes_max - head));
            output.push_str(&text[..head]);
            output.push_str(&mark(tokens_in((tail - head) as u64)));
            output.push_str(&text[tail..]);
        }
        (Cow::Owned(output), Some(total))
    }
}

fn mark(tokens_count: u64) -> String {
    format!("…{tokens_count} tokens truncated…")
}

fn tokens_in(bytes: u64) -> u64 {
    bytes.div_ceil(TOKEN_BYTES as u64)
}

/// Models send whole numbers, fractions and nonsense; what is no time at all means the usual one.
fn milliseconds(asked: Option<f64>, usual: u64) -> u64 {
    match asked {
        Some(ms) if ms >= 0.0 => ms as u64,
        Some(_) | None => usual,
    }
}

fn tokens(asked: Option<f64>) -> u32 {
    let max = (SESSION_UNREAD_BYTES_MAX / TOKEN_BYTES) as u32;
    match asked {
        Some(count) if count >= 0.0 => (count as u32).min(max),
        Some(_) | None => SESSION_TOKENS_DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(state: ChunkState, output: &str, dropped_bytes: u64, tokens_max: u32) -> String {
        let unread = Unread { text: output.into(), dropped_bytes };
        let (id, wall_ms) = (0xffab_12cd, 500);
        Chunk { id, wall_ms, state, unread: &unread, output_tokens_max: tokens_max }.text()
    }

    #[test]
    fn a_chunk_is_laid_out_as_models_know_it() {
        assert_eq!(
            text(ChunkState::Running { session: 0 }, "hello\r\n", 0, 10),
            "Chunk ID: ab12cd\nWall time: 0.5000 seconds\nProcess running with session ID 0\n\
             Output:\nhello\r\n"
        );
        assert_eq!(
            text(ChunkState::Exited { code: 4 }, "", 0, 0),
            "Chunk ID: ab12cd\nWall time: 0.5000 seconds\nProcess exited with code 4\nOutput:\n"
        );
    }

    #[test]
    fn long_output_loses_its_middle() {
        let long = format!("head{}tail", "x".repeat(992));
        let told = text(ChunkState::Exited { code: 0 }, &long, 0, 10);
        let (lead, output) = told.split_once("Output:\n").unwrap();
        assert!(lead.ends_with("code 0\nOriginal token count: 250\n"), "{lead}");
        let (head, tail) = output.split_once("…240 tokens truncated…").unwrap();
        assert_eq!((head.len(), tail.len()), (20, 20));
        assert!(head.starts_with("head") && tail.ends_with("tail"));
    }

    #[test]
    fn what_was_dropped_is_counted() {
        let told = text(ChunkState::Exited { code: 0 }, "end", 401, 10);
        assert!(told.contains("Original token count: 101\n"), "{told}");
        assert!(told.ends_with("Output:\n…101 tokens truncated…\nend"), "{told}");
    }

    #[test]
    fn cuts_fall_between_characters() {
        for shift in 0..4 {
            let long = "a".repeat(shift) + &"🦀".repeat(100);
            for tokens_max in 0..12 {
                let told = text(ChunkState::Exited { code: 0 }, &long, 0, tokens_max);
                assert!(told.len() < 200 + tokens_max as usize * TOKEN_BYTES, "{told}");
            }
        }
    }
}
