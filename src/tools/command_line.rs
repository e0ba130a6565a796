//! A shell line as plain commands, or "cannot tell".
//!
//! Only what means the same in every shell is understood: words, quotes and backslashes, joined by
//! `&&`, `||`, `;` and `|`. Redirects, substitutions, variables, subshells, braces, comments,
//! assignments, reserved words, background jobs and further lines make the answer `None`, never a
//! guess. Patterns are let through but marked, since what they become depends on the names of
//! files. Also here: argument vectors as one line for people (`join`) and back (`split`).

/// The shells whose scripts are looked into.
const SHELLS: [&str; 3] = ["bash", "zsh", "sh"];

/// Words that begin something other than a plain command.
const RESERVED: [&str; 22] = [
    "!",
    "[[",
    "case",
    "coproc",
    "do",
    "done",
    "elif",
    "else",
    "esac",
    "fi",
    "for",
    "function",
    "if",
    "in",
    "nocorrect",
    "noglob",
    "repeat",
    "select",
    "then",
    "time",
    "until",
    "while",
];

/// One command of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// How it follows the command before it.
    pub joint: Joint,
    /// Never empty.
    pub words: Vec<Word>,
}

/// What stands before a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    First,
    And,
    Or,
    Then,
    Pipe,
}

/// A word without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub pattern: Pattern,
}

/// Whether a word stands for the names of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    None,
    /// It may become other words, which all begin as it begins.
    Inside,
    /// It may become any words, options too.
    AtStart,
}

/// The script of `bash -lc SCRIPT` and its like.
pub fn script_of<Text: AsRef<str>>(argv: &[Text]) -> Option<&str> {
    let [shell, flag, script] = argv else { return None };
    let known =
        SHELLS.contains(&base_name(shell.as_ref())) && matches!(flag.as_ref(), "-lc" | "-c");
    known.then_some(script.as_ref())
}

/// The last part of a path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The commands of a script, if it consists of nothing but plain ones.
pub fn plain_commands(script: &str) -> Option<Vec<Plain>> {
    let mut scanner = Scanner { rest: script.trim_matches([' ', '\t', '\n']) };
    let mut commands = Vec::new();
    let mut joint = Joint::First;
    loop {
        let words = scanner.words()?;
        if words.is_empty() {
            // Only a last `;` may stand before nothing.
            let ended = joint == Joint::Then && scanner.rest.is_empty();
            return ended.then_some(commands);
        }
        if starts_otherwise(&words[0]) {
            return None;
        }
        commands.push(Plain { joint, words });
        if scanner.rest.is_empty() {
            return Some(commands);
        }
        joint = scanner.joint()?;
    }
}

/// Words as one line that a POSIX shell reads back as the same words.
///
/// Quotes as little as it can, and single quotes before double ones.
pub fn join(argv: &[String]) -> String {
    let mut line = String::new();
    for (index, word) in argv.iter().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        push_quoted(&mut line, word);
    }
    line
}

/// The words of a line by the quoting rules of POSIX; nothing is expanded. `None` if a quote stays
/// open.
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut scanner = Scanner { rest: line };
    loop {
        scanner.rest = scanner.rest.trim_start_matches([' ', '\t', '\n']);
        if scanner.rest.starts_with('#') {
            scanner.rest = scanner.rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        if scanner.rest.is_empty() {
            return Some(words);
        }
        let mut word = String::new();
        while let Some(character) = scanner.rest.chars().next() {
            match character {
                ' ' | '\t' | '\n' => break,
                '\'' => scanner.single_quoted(&mut word)?,
                '"' => scanner.double_quoted(&mut word)?,
                '\\' => scanner.escaped(&mut word)?,
                _ => {
                    word.push(character);
                    scanner.rest = &scanner.rest[character.len_utf8()..];
                }
            }
        }
        words.push(word);
    }
}

/// What is joined is split into the same words, and plain commands survive being quoted.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<String> = text.split('\u{1}').map(str::to_owned).collect();
    assert_eq!(split(&join(&words)).as_ref(), Some(&words), "join and split answer each other");
    let _ = split(&text);
    for command in plain_commands(&text).unwrap_or_default() {
        let words: Vec<String> = command.words.into_iter().map(|word| word.text).collect();
        assert_eq!(split(&join(&words)), Some(words), "plain words can be quoted");
    }
}

/// A walk over a line.
struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    /// The words up to a joint or the end.
    fn words(&mut self) -> Option<Vec<Word>> {
        let mut words = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            if self.rest.is_empty() || self.rest.starts_with([';', '&', '|']) {
                return Some(words);
            }
            words.push(self.word()?);
        }
    }

    fn word(&mut self) -> Option<Word> {
        let mut word = Word { text: String::new(), pattern: Pattern::None };
        let mut first = true;
        while let Some(character) = self.rest.chars().next() {
            match character {
                ' ' | '\t' | ';' | '&' | '|' => break,
                '\'' => self.single_quoted(&mut word.text)?,
                '"' => {
                    let from = self.rest;
                    self.double_quoted(&mut word.text)?;
                    let quoted = &from[..from.len() - self.rest.len()];
                    if expands(quoted) {
                        return None;
                    }
                }
                '\\' if self.rest[1..].starts_with('\n') => return None,
                '\\' => self.escaped(&mut word.text)?,
                '#' if first => return None,
                '$' | '`' | '<' | '>' | '(' | ')' | '{' | '}' => {
                    let braces = first && self.rest.starts_with("{}");
                    let alone = braces && is_break(self.rest[2..].chars().next());
                    if !alone {
                        return None;
                    }
                    word.text.push_str("{}");
                    self.rest = &self.rest[2..];
                }
                _ if character.is_control() => return None,
                _ => {
                    if matches!(character, '*' | '?' | '[') {
                        word.mark_pattern();
                    }
                    word.text.push(character);
                    self.rest = &self.rest[character.len_utf8()..];
                }
            }
            first = false;
        }
        Some(word)
    }

    fn joint(&mut self) -> Option<Joint> {
        let joints =
            [("&&", Joint::And), ("||", Joint::Or), (";", Joint::Then), ("|", Joint::Pipe)];
        let (mark, joint) = joints.into_iter().find(|(mark, _)| self.rest.starts_with(mark))?;
        self.rest = &self.rest[mark.len()..];
        Some(joint)
    }

    fn single_quoted(&mut self, word: &mut String) -> Option<()> {
        let (text, rest) = self.rest[1..].split_once('\'')?;
        word.push_str(text);
        self.rest = rest;
        Some(())
    }

    fn double_quoted(&mut self, word: &mut String) -> Option<()> {
        let mut characters = self.rest[1..].char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[1 + index + 1..];
                    return Some(());
                }
                '\\' => match characters.next()?.1 {
                    '\n' => {}
                    escaped @ ('$' | '`' | '"' | '\\') => word.push(escaped),
                    other => word.extend(['\\', other]),
                },
                _ => word.push(character),
            }
        }
        None
    }

    fn escaped(&mut self, word: &mut String) -> Option<()> {
        let character = self.rest[1..].chars().next()?;
        if character != '\n' {
            word.push(character);
        }
        self.rest = &self.rest[1 + character.len_utf8()..];
        Some(())
    }
}

impl Word {
    fn mark_pattern(&mut self) {
        if self.pattern == Pattern::None {
            let at_start = self.text.is_empty();
            self.pattern = if at_start { Pattern::AtStart } else { Pattern::Inside };
        }
    }
}

/// Whether a double-quoted text, quotes included, holds anything a shell would replace.
fn expands(quoted: &str) -> bool {
    let mut escaped = false;
    quoted.chars().any(|character| {
        let live = !escaped && matches!(character, '$' | '`');
        escaped = !escaped && character == '\\';
        live
    })
}

/// Whether a first word is no command: an assignment, a reserved word, or a pattern.
fn starts_otherwise(word: &Word) -> bool {
    let text = word.text.as_str();
    word.pattern != Pattern::None
        || text.is_empty()
        || text.contains('=')
        || RESERVED.contains(&text)
}

fn is_break(next: Option<char>) -> bool {
    matches!(next, None | Some(' ' | '\t' | ';' | '&' | '|'))
}

fn push_quoted(line: &mut String, word: &str) {
    if word.is_empty() {
        line.push_str("''");
    }
    let mut rest = word;
    while !rest.is_empty() {
        // The longest beginning that one way of quoting can hold.
        let (bare, single, double) = (bare_prefix(rest), single_prefix(rest), double_prefix(rest));
        let longest = bare.max(single).max(double);
        let (piece, after) = rest.split_at(longest);
        rest = after;
        if bare == longest {
            line.push_str(piece);
        } else if single == longest {
            line.push('\'');
            line.push_str(piece);
            line.push('\'');
        } else {
            line.push('"');
            line.push_str(&piece.replace('\\', "\\\\").replace('"', "\\\""));
            line.push('"');
        }
    }
}

fn bare_prefix(text: &str) -> usize {
    let safe = |c: char| c.is_ascii_alphanumeric() || "+-./:@]_".contains(c);
    text.find(|c| !safe(c)).unwrap_or(text.len())
}

fn single_prefix(text: &str) -> usize {
    let skip = usize::from(text.starts_with('^'));
    let end = text[skip..].find(['\'', '\\', '^']);
    end.map_or(text.len(), |index| skip + index)
}

fn double_prefix(text: &str) -> usize {
    text.find(['`', '$', '!', '^']).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::{Joint, Pattern, fuzz, join, plain_commands, script_of, split};

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[track_caller]
    fn reads(script: &str, expected: &[(Joint, &[&str])]) {
        let commands = plain_commands(script).unwrap_or_else(|| panic!("cannot tell: {script}"));
        let read: Vec<(Joint, Vec<&str>)> = commands
            .iter()
            .map(|plain| (plain.joint, plain.words.iter().map(|word| &*word.text).collect()))
            .collect();
        let expected: Vec<(Joint, Vec<&str>)> =
            expected.iter().map(|(joint, words)| (*joint, words.to_vec())).collect();
        assert_eq!(read, expected, "{script}");
    }

    #[test]
    fn plain_commands_are_read() {
        reads("ls", &[(Joint::First, &["ls"])]);
        reads(" ls  -l\t1\n", &[(Joint::First, &["ls", "-l", "1"])]);
        reads(
            "a&&b || c;d|e ;",
            &[
                (Joint::First, &["a"]),
                (Joint::And, &["b"]),
                (Joint::Or, &["c"]),
                (Joint::Then, &["d"]),
                (Joint::Pipe, &["e"]),
            ],
        );
        reads("grep '' a", &[(Joint::First, &["grep", "", "a"])]);
        reads("find . -name x {} y", &[(Joint::First, &["find", ".", "-name", "x", "{}", "y"])]);
    }

    #[test]
    fn quotes_and_backslashes_are_removed() {
        reads(
            r#"echo 'a $b "c"' "d 'e' \" \\ \$ \x" f\ g\; h'i'"j""#,
            &[(Joint::First, &["echo", "a $b \"c\"", "d 'e' \" \\ $ \\x", "f g;", "hij"])],
        );
        reads("rg 'a\nb' é", &[(Joint::First, &["rg", "a\nb", "é"])]);
    }

    #[test]
    fn anything_else_cannot_be_told() {
        for script in [
            "",
            " ",
            "ls >a",
            "ls <a",
            "ls 2>&1",
            "a $b",
            "a ${b}",
            "$a",
            "a `b`",
            "a $(b)",
            "a \"$b\"",
            "a \"`b`\"",
            "a \"$(b)\"",
            "(a)",
            "{ a; }",
            "a {b,c}",
            "a{}",
            "a & b",
            "a &",
            "a |& b",
            "a && ",
            "&& a",
            "a ;; b",
            "a | | b",
            "; a",
            "a=b c",
            "a=b",
            "'a=b' c",
            "# a",
            "a # b",
            "a\nb",
            "a \\\nb",
            "a 'b",
            "a \"b",
            "a \\",
            "if a",
            "! a",
            "time a",
            "while a",
            "[[ a ]]",
            "function a",
            "*",
            "a\rb",
            "a \0",
            "a <(b)",
            "'' a",
            "a $'b'",
            "a !(b)",
        ] {
            assert_eq!(plain_commands(script), None, "{script:?}");
        }
    }

    #[test]
    fn patterns_are_marked() {
        let commands = plain_commands("ls a '*' b* *c [d] \\*e '*'f* ''*").unwrap();
        let patterns: Vec<Pattern> = commands[0].words.iter().map(|word| word.pattern).collect();
        use Pattern::{AtStart, Inside, None};
        let expected = [None, None, None, Inside, AtStart, AtStart, None, Inside, AtStart];
        assert_eq!(patterns, expected);
    }

    #[test]
    fn scripts_of_shells_are_recognised() {
        for argv in [["bash", "-lc", "x"], ["/bin/sh", "-c", "x"], ["zsh", "-lc", "x"]] {
            assert_eq!(script_of(&words(&argv)), Some("x"));
        }
        for argv in [&["bash", "-x", "x"][..], &["fish", "-c", "x"], &["bash", "-c", "x", "y"]] {
            assert_eq!(script_of(&words(argv)), None);
        }
    }

    #[test]
    fn joined_words_are_quoted_as_little_as_can_be() {
        for (argv, expected) in [
            (&["bash", "-lc", "cat a.txt"][..], "bash -lc 'cat a.txt'"),
            (&["a+b-c./:@]_9Z", ""], "a+b-c./:@]_9Z ''"),
            (&["it's", "a=b", "é", "a,b"], "\"it's\" 'a=b' 'é' 'a,b'"),
            (&["it's \"x\"", "a\\b"], "\"it's \\\"x\\\"\" \"a\\\\b\""),
            (&["a'b$c", "a^b", "^a", "'^"], "\"a'b\"'$c' a'^b' '^a' \"'\"'^'"),
            (&["!x'", "'!x"], "'!x'\"'\" \"'\"'!x'"),
            (&[], ""),
        ] {
            assert_eq!(join(&words(argv)), expected);
        }
    }

    #[test]
    fn lines_are_split_by_posix_quoting() {
        for (line, expected) in [
            ("", &[][..]),
            (" a  'b c'\t\"d \\\"e\\$\\x\" f\\ g\n", &["a", "b c", "d \"e$\\x", "f g"]),
            ("a # no comment\nb#c", &["a", "b#c"]),
            ("a\\\nb ''", &["ab", ""]),
            ("$x `y` *", &["$x", "`y`", "*"]),
        ] {
            assert_eq!(split(line), Some(words(expected)), "{line:?}");
        }
        for line in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(split(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_fuzz_corpus_passes() {
        for text in
            ["", "a\u{1}b c", "^\u{1}^^a'^", "\\", "'\"$`!\\", "a \"\\", "é'", "{}|;", "''*[é"]
        {
            fuzz(text.as_bytes());
        }
        fuzz(&[0xff, b'\'', 0xc3]);
    }
}
