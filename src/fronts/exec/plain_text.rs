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

/// A number in three digits and a letter, `12.3K`; below a thousand as it is.
pub fn three_digits(number: u64) -> String {
    // Rounded to three digits: `digits * 10^exponent`.
    let (mut digits, mut exponent) = (number, 0);
    while digits >= 1000 {
        exponent += 1;
        let unit = 10_u64.pow(exponent);
        digits = number / unit + u64::from(number % unit >= unit / 2);
    }
    // The letter stands for the next power of a thousand; the digits before the point are the rest.
    let letters = ["", "K", "M", "G", "T", "P", "E"];
    let power = (exponent as usize).div_ceil(3);
    match 3 * power - exponent as usize {
        0 => format!("{digits}{}", letters[power]),
        1 => format!("{}.{}{}", digits / 10, digits % 10, letters[power]),
        _ => format!("{}.{:02}{}", digits / 100, digits % 100, letters[power]),
    }
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

    #[test]
    fn large_numbers_keep_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00K"),
            (1234, "1.23K"),
            (1235, "1.24K"),
            (9_995, "10.0K"),
            (12_345, "12.3K"),
            (123_456, "123K"),
            (999_499, "999K"),
            (999_500, "1.00M"),
            (1_234_567, "1.23M"),
            (12_345_678_901, "12.3G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(three_digits(number), text, "{number}");
        }
    }
}
