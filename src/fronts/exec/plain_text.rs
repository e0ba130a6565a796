//! Small pieces of text for people: clipped to a few lines, numbers with separators.

/// The first `lines_max` lines, each at most `line_bytes_max` long, and how many lines are left
/// out.
///
/// What is given back ends with a newline unless it is empty. A shortened line ends with `...`.
pub fn clipped(text: &str, lines_max: usize, line_bytes_max: usize) -> (String, u64) {
    let mut lines = text.lines();
    let mut shown = String::new();
    for line in lines.by_ref().take(lines_max) {
        if line.len() > line_bytes_max {
            shown.push_str(&line[..line.floor_char_boundary(line_bytes_max)]);
            shown.push_str("...\n");
        } else {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    (shown, lines.count() as u64)
}

/// A number with a comma between groups of three digits.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_the_first_lines_and_counts_the_rest() {
        for (text, shown, left_out) in [
            ("", "", 0),
            ("a", "a\n", 0),
            ("a\nb\n", "a\nb\n", 0),
            ("a\nb\nc\nd\n", "a\nb\n", 2),
            ("abcdefgh", "abcde...\n", 0),
            ("abcdéé", "abcd...\n", 0),
        ] {
            assert_eq!(clipped(text, 2, 5), (shown.to_owned(), left_out), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_in_groups_of_three() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (12, "12")]
        {
            assert_eq!(thousands(number), text);
        }
    }
}
