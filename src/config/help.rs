//! Help, made from the tables of commands and flags.
//!
//! Plain text without escapes, at most `HELP_COLUMNS` wide.

use crate::config::commands::{COMMANDS, Command, TOP};
use crate::config::flags::{FLAGS, Flag};

const HELP_COLUMNS: usize = 98;
/// Where descriptions of flags begin.
const HELP_INDENT: usize = 30;

/// The help of a command, ending with a newline.
pub fn text(command: &Command) -> String {
    let mut out = String::new();
    out.push_str(if command.about.is_empty() { command.help } else { command.about });
    out.push_str("\n\n");
    write_usage(&mut out, command);
    if command == TOP {
        write_commands(&mut out);
    } else {
        out.push_str("\nFlags:\n");
        let offered = FLAGS.iter().filter(|flag| command.offers(flag));
        offered.for_each(|flag| write_flag(&mut out, flag));
        write_row(&mut out, "  -h, --help", "Show this");
    }
    out.push_str(command.notes);
    out
}

fn write_usage(out: &mut String, command: &Command) {
    let mut begin = "Usage: ";
    for usage in command.usage {
        out.push_str(&format!("{begin}windlass {usage}\n"));
        begin = "       ";
    }
    if command.usage.is_empty() {
        out.push_str(&format!("{begin}{} [FLAGS]{}\n", command.spelled(), command.shape()));
    }
}

fn write_commands(out: &mut String) {
    out.push_str("\nCommands:\n");
    for command in COMMANDS.iter().filter(|command| !command.help.is_empty()) {
        let words: Vec<_> = command.words().skip(1).collect();
        let left = format!("  {}{}", words.join(" "), command.shape());
        write_row(out, &left, command.help);
    }
    out.push('\n');
    write_row(out, "  -h, --help", "Show this");
    write_row(out, "  -V, --version", "Show the version");
}

fn write_flag(out: &mut String, flag: &Flag) {
    let mut left = match flag.short {
        Some(letter) => format!("  -{letter}, --{}", flag.name),
        None => format!("      --{}", flag.name),
    };
    if let Some(label) = flag.takes.label() {
        left.push(' ');
        left.push_str(label);
    }
    write_row(out, &left, flag.help);
}

/// Two columns; a left one that is too wide stands alone.
fn write_row(out: &mut String, left: &str, right: &str) {
    out.push_str(left);
    let mut column = left.chars().count();
    if column + 2 > HELP_INDENT {
        out.push('\n');
        column = 0;
    }
    out.extend(std::iter::repeat_n(' ', HELP_INDENT - column));
    column = HELP_INDENT;
    for (index, word) in right.split_whitespace().enumerate() {
        let width = word.chars().count();
        if index > 0 && column + 1 + width > HELP_COLUMNS {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', HELP_INDENT));
            column = HELP_INDENT;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_flag_of_its_command_within_its_width() {
        for command in COMMANDS.iter().chain([TOP]) {
            let text = text(command);
            assert!(text.ends_with('\n'));
            for line in text.lines() {
                assert!(line.chars().count() <= 100 && line.trim_end() == line, "{line:?}");
            }
            for flag in FLAGS.iter().filter(|flag| command.knows(flag)) {
                let named = text.contains(&format!("--{}", flag.name));
                assert_eq!(named, command.offers(flag), "{}", flag.name);
            }
        }
        let review = COMMANDS.iter().find(|command| command.also.contains(&"uncommitted"));
        let review = text(review.expect("a command"));
        assert!(!review.contains("--full-auto") && !review.contains("--output-schema"), "{review}");
    }

    #[test]
    fn the_overview_names_every_command_that_has_a_line() {
        let text = text(TOP);
        for command in COMMANDS.iter().filter(|command| !command.help.is_empty()) {
            let line = command.spelled().replace("windlass ", "\n  ");
            assert!(text.contains(&line), "{command:?}");
        }
    }
}
