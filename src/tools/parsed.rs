//! What a command is about, told in a few words for people: it reads, lists, searches, or something
//! else.
//!
//! A front shows "reads main.rs" instead of a pipeline. Nothing is decided by this; a wrong guess
//! costs a wrong label. Commands that only shape what they are piped are left out, and a `cd` is
//! folded into the paths after it.

use super::command_line::{Joint, base_name, join, plain_commands, script_of};
use super::known_safe::{is_safe, prints_range};

/// What one command does. `command` is its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    Read { command: String, name: String, path: String },
    ListFiles { command: String, path: Option<String> },
    Search { command: String, query: Option<String>, path: Option<String> },
    Unknown { command: String },
}

/// What each command of `argv` does; never empty.
pub fn parsed(argv: &[String]) -> Vec<Parsed> {
    let Some(script) = script_of(argv) else {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        return vec![about(&words, None)];
    };
    let Some(commands) = plain_commands(script) else { return vec![unknown(script)] };
    let several = commands.len() > 1;
    let mut told: Vec<Parsed> = Vec::new();
    let mut directory: Option<String> = None;
    for command in &commands {
        let words: Vec<&str> = command.words.iter().map(|word| word.text.as_str()).collect();
        if several && command.joint == Joint::Pipe && only_shapes(&words) {
            continue;
        }
        if several && let ["cd", target] = words.as_slice() {
            directory = Some(under(directory.as_deref(), target));
            continue;
        }
        let next = about(&words, directory.as_deref());
        if told.last() != Some(&next) {
            told.push(next);
        }
    }
    if told.is_empty() { vec![unknown(script)] } else { told }
}

/// As `parsed`, but one unknown part makes the whole script unknown.
pub fn parsed_whole(argv: &[String]) -> Vec<Parsed> {
    let told = parsed(argv);
    match script_of(argv) {
        Some(script) if told.iter().any(|one| matches!(one, Parsed::Unknown { .. })) => {
            vec![unknown(script)]
        }
        _ => told,
    }
}

fn unknown(line: &str) -> Parsed {
    Parsed::Unknown { command: line.to_owned() }
}

/// Whether a command behind a pipe only passes on what it was given, in another shape.
fn only_shapes(words: &[&str]) -> bool {
    let [name, arguments @ ..] = words else { return false };
    match base_name(name) {
        "wc" | "tr" | "cut" | "sort" | "uniq" | "awk" | "nl" => true,
        "head" | "tail" => file_after_count(arguments).is_none(),
        "sed" => matches!(arguments, ["-n", script] if prints_range(script)),
        "xargs" => {
            let inner = arguments.iter().position(|word| !word.starts_with('-'));
            let inner = inner.map_or(&[][..], |index| &arguments[index..]);
            inner.is_empty() || is_safe(inner)
        }
        _ => false,
    }
}

fn about(words: &[&str], directory: Option<&str>) -> Parsed {
    let owned: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let command = join(&owned);
    let [name, arguments @ ..] = words else { return unknown(&command) };
    let placed = |path: Option<&str>| match (path, directory) {
        (Some(path), _) => Some(under(directory, path)),
        (None, directory) => directory.map(str::to_owned),
    };
    let file = match base_name(name) {
        "cat" | "bat" | "less" | "more" => only(&operands(arguments, &[])),
        "nl" => only(&operands(
            arguments,
            &["-b", "-d", "-f", "-h", "-i", "-l", "-n", "-s", "-v", "-w"],
        )),
        "head" | "tail" => file_after_count(arguments),
        "sed" => match arguments {
            ["-n", script, file] if prints_range(script) => Some(*file),
            _ => None,
        },
        "ls" | "eza" | "exa" | "tree" | "du" => {
            let valued = ["-I", "-L", "-P", "-d", "--depth", "--level", "--ignore-glob"];
            let valued = if base_name(name) == "ls" { &valued[..1] } else { &valued[..] };
            let path = placed(operands(arguments, valued).first().copied());
            return Parsed::ListFiles { command, path };
        }
        "rg" | "grep" | "ag" | "ack" | "egrep" | "fgrep" => {
            return search(arguments, command, placed);
        }
        "find" => return find(arguments, command, placed),
        "fd" | "fdfind" => return fd(arguments, command, placed),
        _ => None,
    };
    match file {
        Some(file) => {
            let path = under(directory, file);
            Parsed::Read { command, name: base_name(file).to_owned(), path }
        }
        None => Parsed::Unknown { command },
    }
}

fn search(
    arguments: &[&str],
    command: String,
    placed: impl Fn(Option<&str>) -> Option<String>,
) -> Parsed {
    const VALUED: [&str; 20] = [
        "-A",
        "-B",
        "-C",
        "-m",
        "-g",
        "-t",
        "-T",
        "-f",
        "-d",
        "-D",
        "-j",
        "-M",
        "--glob",
        "--type",
        "--max-count",
        "--context",
        "--include",
        "--exclude",
        "--max-depth",
        "--sort",
    ];
    let given = arguments.iter().position(|word| matches!(*word, "-e" | "--regexp"));
    let given = given.and_then(|index| arguments.get(index + 1).copied());
    let mut valued = VALUED.to_vec();
    valued.extend(["-e", "--regexp"]);
    let rest = operands(arguments, &valued);
    let listing = arguments.contains(&"--files");
    let (query, path) = match given {
        Some(query) => (Some(query), rest.first()),
        None if listing => (None, rest.first()),
        None => (rest.first().copied(), rest.get(1)),
    };
    let path = placed(path.copied());
    match query {
        None if listing => Parsed::ListFiles { command, path },
        None => Parsed::Unknown { command },
        Some(query) => Parsed::Search { command, query: Some(query.to_owned()), path },
    }
}

fn find(
    arguments: &[&str],
    command: String,
    placed: impl Fn(Option<&str>) -> Option<String>,
) -> Parsed {
    let path = arguments.first().copied().filter(|word| !word.starts_with(['-', '(', '!']));
    let path = placed(path);
    let names = ["-name", "-iname", "-path", "-ipath", "-regex"];
    let named = arguments.iter().position(|word| names.contains(word));
    match named.and_then(|index| arguments.get(index + 1)) {
        Some(query) => Parsed::Search { command, query: Some((*query).to_owned()), path },
        None => Parsed::ListFiles { command, path },
    }
}

fn fd(
    arguments: &[&str],
    command: String,
    placed: impl Fn(Option<&str>) -> Option<String>,
) -> Parsed {
    const VALUED: [&str; 8] =
        ["-t", "--type", "-e", "--extension", "-E", "--exclude", "-d", "--max-depth"];
    match operands(arguments, &VALUED).as_slice() {
        [] => Parsed::ListFiles { command, path: placed(None) },
        // One operand that looks like a place is one.
        [path] if path.contains('/') || *path == "." => {
            Parsed::ListFiles { command, path: placed(Some(path)) }
        }
        [query, rest @ ..] => {
            let path = placed(rest.first().copied());
            Parsed::Search { command, query: Some((*query).to_owned()), path }
        }
    }
}

/// The words that are no options; `valued` take the word after them.
fn operands<'a>(arguments: &[&'a str], valued: &[&str]) -> Vec<&'a str> {
    let mut operands = Vec::new();
    let mut rest = arguments.iter();
    while let Some(&word) = rest.next() {
        if word == "--" {
            operands.extend(rest.by_ref().copied());
        } else if valued.contains(&word) {
            rest.next();
        } else if !word.starts_with('-') || word == "-" {
            operands.push(word);
        }
    }
    operands
}

/// The file of `head` or `tail`, with or without a count.
fn file_after_count<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    only(&operands(arguments, &["-n", "-c", "--lines", "--bytes"]))
}

fn only<'a>(words: &[&'a str]) -> Option<&'a str> {
    if let [word] = words { Some(word) } else { None }
}

fn under(directory: Option<&str>, path: &str) -> String {
    match directory {
        Some(directory) if !path.starts_with('/') => {
            format!("{}/{path}", directory.trim_end_matches('/'))
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Parsed, parsed, parsed_whole};

    fn script(script: &str) -> Vec<String> {
        ["bash", "-lc", script].map(str::to_owned).to_vec()
    }

    /// A summary in a few words: `read NAME PATH`, `list PATH`, `search QUERY PATH`, `unknown
    /// LINE`.
    fn told(one: &Parsed) -> String {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        match one {
            Parsed::Read { name, path, .. } => format!("read {name} {path}"),
            Parsed::ListFiles { path, .. } => format!("list {}", or_none(path)),
            Parsed::Search { query, path, .. } => {
                format!("search {} {}", or_none(query), or_none(path))
            }
            Parsed::Unknown { command } => format!("unknown {command}"),
        }
    }

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let read: Vec<String> = parsed(&script(line)).iter().map(told).collect();
        assert_eq!(read, expected, "{line}");
    }

    #[test]
    fn reading_is_recognised() {
        for line in [
            "cat src/a.rs",
            "bat -p src/a.rs",
            "less src/a.rs",
            "more src/a.rs",
            "head src/a.rs",
            "head -n 5 src/a.rs",
            "tail -n5 src/a.rs",
            "sed -n '1,20p' src/a.rs",
            "nl -ba src/a.rs",
            "cat src/a.rs | head -n 3",
            "cat src/a.rs | sed -n 1,3p | wc -l",
            "/bin/cat -- src/a.rs",
            "cat src/a.rs; cat src/a.rs",
            "cd src && cat a.rs",
            "nl -b a src/a.rs",
        ] {
            check(line, &["read a.rs src/a.rs"]);
        }
        check("cat a b", &["unknown cat a b"]);
        check("cd a && cd b; cat c /d", &["unknown cat c /d"]);
        check("cd a && cd b; cat c && cat /d", &["read c a/b/c", "read d /d"]);
    }

    #[test]
    fn listing_is_recognised() {
        check("ls -la", &["list -"]);
        check("ls src | sort | uniq", &["list src"]);
        check("cd src && ls", &["list src"]);
        check("tree -L 2 src", &["list src"]);
        check("rg --files", &["list -"]);
        check("rg --files src | head", &["list src"]);
        check("find . -type f", &["list ."]);
        check("find", &["list -"]);
        check("fd -t f", &["list -"]);
        check("du -sh .", &["list ."]);
    }

    #[test]
    fn searching_is_recognised() {
        check("rg -n 'a b' src", &["search a b src"]);
        check("grep -rn -A 3 x .", &["search x ."]);
        check("grep -e x -r .", &["search x ."]);
        check("ag x", &["search x -"]);
        check("find src -name '*.rs' | xargs cat", &["search *.rs src"]);
        check("fd main src", &["search main src"]);
        check("rg x | xargs sed -i s/a/b/", &["search x -", "unknown xargs sed -i s/a/b/"]);
    }

    #[test]
    fn everything_else_is_unknown() {
        check("git grep x", &["unknown git grep x"]);
        check("cat a > b", &["unknown cat a > b"]);
        check("cat $a", &["unknown cat $a"]);
        check("sort a", &["unknown sort a"]);
        check("cd a", &["unknown cd a"]);
        check("cd a && cd b", &["unknown cd a && cd b"]);
        check("touch zz && echo ok", &["unknown touch zz", "unknown echo ok"]);
        check("rg", &["unknown rg"]);
        assert_eq!(parsed(&[]), [Parsed::Unknown { command: String::new() }]);
    }

    #[test]
    fn an_unknown_part_may_make_all_unknown() {
        let whole = parsed_whole(&script("touch zz && echo ok"));
        assert_eq!(whole, [Parsed::Unknown { command: "touch zz && echo ok".to_owned() }]);
        assert_eq!(parsed_whole(&script("cat a")), parsed(&script("cat a")));
    }

    #[test]
    fn a_command_without_a_shell_is_told_by_its_words() {
        let argv = ["cat", "a b"].map(str::to_owned);
        let (name, path) = ("a b".to_owned(), "a b".to_owned());
        assert_eq!(parsed(&argv), [Parsed::Read { command: "cat 'a b'".to_owned(), name, path }]);
    }
}
