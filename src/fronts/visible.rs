//! Text from outside, made safe to show on a terminal.
//!
//! Models, tools and files may say anything, and a terminal obeys what it is told: titles,
//! clipboards, cursor moves that repaint what was said before. Escape sequences are left out; other
//! control characters, and those that turn the direction of text, are shown as a picture instead of
//! being obeyed. What is left of ordinary text is unchanged.

use std::borrow::Cow;

/// Text of many lines: newlines and tabs stay, `\r\n` becomes `\n`.
pub fn block(text: &str) -> Cow<'_, str> {
    visible(text, true)
}

/// Text that must stay on one line: newlines and tabs are shown as pictures too.
pub fn line(text: &str) -> Cow<'_, str> {
    visible(text, false)
}

fn visible(text: &str, lines: bool) -> Cow<'_, str> {
    let harmless = |character: char| lines && matches!(character, '\n' | '\t');
    let Some(first) = text.find(|character| is_control(character) && !harmless(character)) else {
        return Cow::Borrowed(text);
    };
    let mut shown = String::with_capacity(text.len());
    shown.push_str(&text[..first]);
    let mut rest = &text[first..];
    while let Some(character) = rest.chars().next() {
        if character == '\x1b'
            && let Some(length) = sequence_bytes(rest.as_bytes())
        {
            rest = &rest[length..];
            continue;
        }
        rest = &rest[character.len_utf8()..];
        let newline_follows = character == '\r' && rest.starts_with('\n');
        if lines && newline_follows {
            continue;
        }
        if is_control(character) && !harmless(character) {
            shown.push(picture(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that change the direction of what follows.
fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The Unicode picture of a control character, or the replacement character where there is none.
fn picture(character: char) -> char {
    match character {
        '\0'..='\x1f' => char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        _ => '\u{fffd}',
    }
}

/// The length of the escape sequence at the start of `bytes`, which begin with ESC (ECMA-48 section
/// 5).
///
/// `None` for one that does not end on its line: then only its ESC is shown, so that a sequence
/// without an end cannot hide the text after it.
fn sequence_bytes(bytes: &[u8]) -> Option<usize> {
    match *bytes.get(1)? {
        b'[' => {
            let body = &bytes[2..];
            let end = body.iter().position(|byte| !matches!(byte, 0x20..=0x3f))?;
            matches!(body[end], 0x40..=0x7e).then_some(2 + end + 1)
        }
        b']' | b'P' | b'X' | b'^' | b'_' => string_bytes(bytes),
        0x20..=0x2f => {
            let end = bytes[1..].iter().position(|byte| !matches!(byte, 0x20..=0x2f))?;
            matches!(bytes[1 + end], 0x30..=0x7e).then_some(1 + end + 1)
        }
        0x30..=0x7e => Some(2),
        _ => None,
    }
}

/// The length of a control string up to and with BEL or ST, if it ends before a newline.
fn string_bytes(bytes: &[u8]) -> Option<usize> {
    let body = &bytes[2..];
    let end = body.iter().position(|byte| matches!(byte, 0x07 | 0x1b | b'\n'))?;
    match body[end] {
        0x07 => Some(2 + end + 1),
        0x1b if body.get(end + 1) == Some(&b'\\') => Some(2 + end + 2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: &str) {
        assert_eq!(block(text), shown, "{text:?}");
    }

    #[test]
    fn ordinary_text_is_unchanged_and_not_copied() {
        for text in ["", "a\n\tb", "日本語 🦀", "é"] {
            assert!(matches!(block(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn escape_sequences_are_left_out() {
        check("\x1b[1;31mred\x1b[0m", "red");
        check("a\x1b]0;title\x07b", "ab");
        check("a\x1b]52;c;aGk=\x1b\\b", "ab");
        check("a\x1bPq#0\x1b\\b", "ab");
        check("a\x1b(Bb\x1b7c\x1bMd", "abcd");
        check("a\x1b[?25lb", "ab");
    }

    #[test]
    fn a_sequence_without_an_end_hides_nothing() {
        check("\x1b]0;title\nrm -rf", "\u{241b}]0;title\nrm -rf");
        check("\x1b[12\u{e9}x", "\u{241b}[12\u{e9}x");
        check("x\x1b", "x\u{241b}");
        check("\x1b]a\x1b[31mb", "\u{241b}]ab");
    }

    #[test]
    fn control_characters_are_pictured() {
        check("a\rb\r\nc", "a\u{240d}b\nc");
        check("a\x08\x07\x7f\0", "a\u{2408}\u{2407}\u{2421}\u{2400}");
        check("a\u{9b}31mb", "a\u{fffd}31mb");
        check("a\u{202e}b\u{2066}c", "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn a_line_stays_on_its_line() {
        assert_eq!(line("/w\nexec true\t"), "/w\u{240a}exec true\u{2409}");
        assert_eq!(line("a\r\nb"), "a\u{240d}\u{240a}b");
    }
}
