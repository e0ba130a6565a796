//! Patterns for lists of differences that are known.

/// Whether a line is what a pattern says, in which `*` stands for anything.
pub fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut rest = rest;
    let mut is_last_open = false;
    for part in parts {
        is_last_open = part.is_empty();
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || is_last_open
}
