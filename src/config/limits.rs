//! What `debug limits` prints: the bounds that a person can meet, and the memory they add up to.
//!
//! One line for each bound: name, value, unit and reason, with tabs between; the last line is the
//! memory. Values are the constants themselves, reasons are read from where those stand, so that
//! neither can say anything else.

use std::fmt::Write;

use crate::limits;

/// A bound that a person can meet.
struct Bound {
    name: &'static str,
    value: u64,
}

macro_rules! bounds {
    ($($name:ident)*) => {
        &[$(Bound { name: stringify!($name), value: limits::$name as u64 }),*]
    };
}

/// In the order of the source.
static BOUNDS: &[Bound] = bounds! {
    COMMAND_TIMEOUT_MS
    COMMAND_TIMEOUT_MS_MAX
    TASKS_MAX
    CALL_OUTPUT_BYTES_MAX
    CALL_OUTPUT_LINES_MAX
    PATCH_BYTES_MAX
    PATCH_HUNKS_MAX
    FILE_LINE_CHARS_MAX
    FILE_SHOWN_BYTES_MAX
    FILE_BLOCK_BYTES_MAX
    IGNORE_RULES_MAX
    IGNORE_FILE_BYTES_MAX
    SEARCH_FOUND_MAX
    SEARCH_PATTERN_BYTES_MAX
    SEARCH_LINE_BYTES_MAX
    SEARCH_NAMES_MAX
    SEARCH_MS
    PATCH_FILE_BYTES_MAX
    PATCH_FILES_BYTES_MAX
    SESSION_TOKENS_DEFAULT
    SESSION_UNREAD_BYTES_MAX
    ERROR_TEXT_BYTES_MAX
    RETRY_AFTER_MS_MAX
    ROLLOUT_LINE_BYTES_MAX
    RECORDING_BYTES_MAX
    SSE_EVENT_BYTES_MAX
    CHAT_RESPONSE_BYTES_MAX
    CHAT_CALLS_MAX
    URL_BYTES_MAX
    HTTP_HEAD_BYTES_MAX
    HTTP_REQUEST_HEAD_BYTES_MAX
    ARGUMENTS_COUNT_MAX
    TIMEOUT_MS_MAX
    CONFIG_FILE_BYTES_MAX
    CONFIG_ENTRIES_MAX
    RETRIES_CONFIGURED_MAX
    STREAM_IDLE_MS_MAX
    PROJECT_NOTES_BYTES_MAX
    OUTPUT_SCHEMA_BYTES_MAX
    INSTRUCTIONS_BYTES_MAX
    THREADS_MAX
    OPS_MAX
    HISTORY_BYTES_MAX
    HISTORY_KEPT_BYTES_MAX
    HISTORY_SPARE_BYTES
    RESTORED_BYTES_MAX
    RESPONSE_ITEMS_MAX
    PARTIAL_BYTES_MAX
    SUMMARY_BYTES_MAX
    SAID_BYTES_KEPT_MAX
    CALLS_PARALLEL_MAX
    SESSIONS_MAX
    PROMPTS_WAITING_MAX
    RETRY_DELAY_MS_MAX
    UNREACHABLE_MS_MAX
    OUTPUT_QUEUE_BYTES_MAX
    DRAIN_QUIET_MS
    STDIN_BYTES_MAX
    STDIN_GRACE_ANCESTORS_MS
    STDIN_GRACE_UNSEEN_MS
    GIVEN_WAIT_MS
    IMAGE_BYTES_MAX
    CONNECT_MS
    CHILDREN_MAX
    SESSION_INPUT_BYTES_MAX
    GLOBAL_NOTES_BYTES_MAX
    SHELF_NAMES_MAX
    JOURNAL_BYTES_MAX
    JOURNAL_CREDENTIALS_MAX
    VIEWED_IMAGE_BYTES_MAX
    FILE_SCANNED_BYTES_MAX
    LISTING_WANTED_MAX
};

/// Where the constants and their reasons stand.
static SOURCE: &str = concat!(include_str!("../limits.rs"), include_str!("../limits/host.rs"));

/// Every bound on a line of its own, and the memory.
pub fn list() -> String {
    let mut text = String::new();
    for bound in BOUNDS {
        let (name, value) = (bound.name, bound.value);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name}\t{value}\t{}\t{}", unit(name), reason(name));
    }
    let _ = writeln!(text, "memory\t{MEMORY_BYTES_MAX}\tbytes\t{MEMORY_REASON}");
    text
}

/// The program itself: its code, its tables, and buffers that each have their own small bound.
const PROGRAM_BYTES: u64 = 16 << 20;

/// The most that a run of one conversation holds resident.
const MEMORY_BYTES_MAX: u64 = PROGRAM_BYTES
    + limits::RESTORED_BYTES_MAX
    + limits::ROLLOUT_LINE_BYTES_MAX as u64
    + 2 * limits::SSE_EVENT_BYTES_MAX as u64
    + limits::PARTIAL_BYTES_MAX as u64
    + limits::OUTPUT_QUEUE_BYTES_MAX as u64
    + limits::SESSIONS_MAX as u64 * limits::SESSION_UNREAD_BYTES_MAX as u64;

const MEMORY_REASON: &str = "The most that a run of one conversation holds: the program, the \
    history, a line of it that is being recorded, an event as it came and as it is understood, a \
    message that is still streaming, what waits to be printed, and what sessions have printed. \
    Images take next to nothing of it: they are read back when a request sends them.";

/// What a value counts, as its name says.
fn unit(name: &str) -> &'static str {
    let units = [
        ("BYTES", "bytes"),
        ("MS", "ms"),
        ("LINES", "lines"),
        ("CHARS", "characters"),
        ("TOKENS", "tokens"),
    ];
    let named = |unit: &str| name.split('_').any(|word| word == unit);
    units.iter().find(|(word, _)| named(word)).map_or("count", |(_, unit)| unit)
}

/// The comment above a constant, as one line.
fn reason(name: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in SOURCE.lines() {
        match line.strip_prefix("/// ") {
            Some(comment) => lines.push(comment),
            None if defines(line, name) => break,
            None => lines.clear(),
        }
    }
    lines.join(" ")
}

fn defines(line: &str, name: &str) -> bool {
    let rest = line.strip_prefix("pub const ").and_then(|rest| rest.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_has_a_value_a_unit_and_a_reason() {
        let text = list();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, value, unit, reason] = fields[..] else { panic!("{line}") };
            assert!(value.parse::<u64>().is_ok_and(|value| value > 0), "{line}");
            assert!(!unit.is_empty() && reason.ends_with(['.', ';', 'd']), "{line}");
            let words = reason.split_ascii_whitespace().count();
            assert!(words >= 3, "{name} has no reason");
        }
        assert_eq!(text.lines().count(), BOUNDS.len() + 1);
    }

    #[test]
    fn values_and_reasons_are_those_of_the_source() {
        let text = list();
        let line = text.lines().find(|line| line.starts_with("COMMAND_TIMEOUT_MS\t"));
        let expected = "COMMAND_TIMEOUT_MS\t10000\tms\tA command's time when the model names none.";
        assert_eq!(line, Some(expected));
    }
}
