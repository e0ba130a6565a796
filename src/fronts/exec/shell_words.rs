//! An argument vector as one line that a shell would read back as the same words.

/// Joins words, quoting those that need it.
pub fn shell_join<S: AsRef<str>>(argv: &[S]) -> String {
    let mut line = String::new();
    for (index, word) in argv.iter().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        push_word(&mut line, word.as_ref());
    }
    line
}

fn push_word(line: &mut String, word: &str) {
    if !word.is_empty() && word.bytes().all(is_plain) {
        line.push_str(word);
    } else if word.contains('\'') && !word.contains(['"', '$', '`', '\\', '!']) {
        line.push('"');
        line.push_str(word);
        line.push('"');
    } else {
        line.push('\'');
        line.push_str(&word.replace('\'', r#"'"'"'"#));
        line.push('\'');
    }
}

/// Bytes that mean nothing to a shell, wherever they stand.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"@%_-+=:,./".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_a_shell_would_misread_them() {
        for (argv, line) in [
            (&["bash", "-lc", "cat a.txt"][..], "bash -lc 'cat a.txt'"),
            (&["ls", "--color=never", "src/a-b_c.rs"], "ls --color=never src/a-b_c.rs"),
            (&["echo", ""], "echo ''"),
            (&["echo", "it's"], r#"echo "it's""#),
            (&["echo", "it's $HOME"], r#"echo 'it'"'"'s $HOME'"#),
            (&["echo", "a\nb", "~", "*", "é"], "echo 'a\nb' '~' '*' 'é'"),
            (&[], ""),
        ] {
            assert_eq!(shell_join(argv), line);
        }
    }
}
