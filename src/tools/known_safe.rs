//! Commands that only read, and commands that destroy.
//!
//! A known-safe command needs no question even under the strictest policy, so the lists are short
//! and every doubt is a no. A dangerous one is asked about even where others would just run. Both
//! look at words alone; what keeps a command from doing harm is the sandbox.

use super::command_line::{Pattern, Plain, base_name, plain_commands, script_of};

/// Safe with whatever arguments.
const ALWAYS: [&str; 25] = [
    "cat", "cd", "cut", "echo", "expr", "false", "grep", "head", "id", "ls", "nl", "numfmt",
    "paste", "pwd", "rev", "seq", "stat", "tac", "tail", "tr", "true", "uname", "wc", "which",
    "whoami",
];

/// Where a command named by its path must be to be the one we know; a repository may bring its own
/// `ls`.
const DIRECTORIES: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin"];

/// What makes `find` do more than look.
const FIND_ACTS: [&str; 9] =
    ["-exec", "-execdir", "-ok", "-okdir", "-delete", "-fls", "-fprint", "-fprint0", "-fprintf"];

/// What makes `git` write files or run programs, wherever it stands.
const GIT_ACTS: [&str; 5] = ["--output", "--ext-diff", "--textconv", "--exec", "--paginate"];

/// With these alone `git branch` lists; with a name it would create.
const BRANCH_LISTS: [&str; 10] =
    ["--list", "-l", "--show-current", "-a", "--all", "-r", "--remotes", "-v", "-vv", "--verbose"];

/// Options of `git` itself whose value is a word of its own.
const GIT_VALUED: [&str; 5] = ["-C", "-c", "--git-dir", "--work-tree", "--namespace"];

/// Options of `sudo` whose value is a word of its own.
const SUDO_VALUED: [&str; 8] = ["-u", "-g", "-h", "-p", "-C", "-D", "-R", "-T"];

/// Whether a command is known to do nothing but read.
pub fn is_known_safe(argv: &[String]) -> bool {
    if is_safe(&borrowed(argv)) {
        return true;
    }
    let Some(commands) = script_of(argv).and_then(plain_commands) else { return false };
    commands.iter().all(|command| {
        let words = words_of(command);
        // File names that a pattern becomes may look like options.
        let fixed = command.words.iter().all(|word| word.pattern != Pattern::AtStart);
        is_safe(&words) && (fixed || ALWAYS.contains(&base_name(words[0])))
    })
}

/// Whether a command destroys what cannot be brought back.
pub fn is_dangerous(argv: &[String]) -> bool {
    destroys(&borrowed(argv))
}

/// Whether one plain command only reads.
pub(crate) fn is_safe(words: &[&str]) -> bool {
    let [name, arguments @ ..] = words else { return false };
    if name.rsplit_once('/').is_some_and(|(directory, _)| !DIRECTORIES.contains(&directory)) {
        return false;
    }
    match base_name(name) {
        // Its second operand is written to.
        "uniq" => arguments.iter().filter(|word| !word.starts_with('-')).count() <= 1,
        "base64" => !arguments.iter().any(|word| has_flag(word, 'o', "--output")),
        "find" => !arguments.iter().any(|word| FIND_ACTS.contains(word)),
        "rg" => !arguments.iter().any(|word| rg_runs(word)),
        "git" => git_reads(arguments),
        "sed" => sed_prints(arguments),
        name => ALWAYS.contains(&name),
    }
}

fn rg_runs(word: &str) -> bool {
    let name = long_name(word);
    matches!(name, "--pre" | "--hostname-bin") || has_flag(word, 'z', "--search-zip")
}

fn git_reads(arguments: &[&str]) -> bool {
    let mut rest = arguments;
    while let [first, later @ ..] = rest {
        rest = match (*first, later) {
            ("-C", [_, later @ ..]) => later,
            ("--no-pager", later) => later,
            _ => break,
        };
    }
    let [command, arguments @ ..] = rest else { return false };
    if arguments.iter().any(|word| git_acts(word)) {
        return false;
    }
    match *command {
        "status" | "log" | "diff" | "show" => true,
        "branch" => arguments
            .iter()
            .all(|word| BRANCH_LISTS.contains(word) || word.starts_with("--format=")),
        _ => false,
    }
}

/// Whether an option is one of `GIT_ACTS`, or short for one: git takes any clear beginning.
fn git_acts(word: &str) -> bool {
    let name = long_name(word);
    name.len() > 2
        && name != "--text"
        && name.starts_with("--")
        && GIT_ACTS.iter().any(|act| act.starts_with(name))
}

/// `-n Np` or `-n N,Mp`, and at most one file.
fn sed_prints(arguments: &[&str]) -> bool {
    let ("-n", script, file) = (match arguments {
        [flag, script] => (*flag, *script, None),
        [flag, script, file] => (*flag, *script, Some(*file)),
        _ => return false,
    }) else {
        return false;
    };
    prints_range(script) && !file.is_some_and(|file| file.starts_with('-'))
}

/// Whether a `sed` script only prints a line or a range of lines.
pub(crate) fn prints_range(script: &str) -> bool {
    let Some(range) = script.strip_suffix('p') else { return false };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match range.split_once(',') {
        Some((from, to)) => number(from) && number(to),
        None => number(range),
    }
}

fn destroys(words: &[&str]) -> bool {
    let mut words = words;
    while let [name, rest @ ..] = words
        && base_name(name) == "sudo"
    {
        words = without_options(rest, &SUDO_VALUED);
        while let [assignment, rest @ ..] = words
            && assignment.contains('=')
        {
            words = rest;
        }
    }
    let [name, arguments @ ..] = words else { return false };
    match base_name(name) {
        "rm" => arguments.iter().any(|word| has_flag(word, 'f', "--force")),
        "git" => git_destroys(without_options(arguments, &GIT_VALUED)),
        _ => script_of(words)
            .and_then(plain_commands)
            .is_some_and(|commands| commands.iter().any(|command| destroys(&words_of(command)))),
    }
}

fn git_destroys(words: &[&str]) -> bool {
    let [command, arguments @ ..] = words else { return false };
    let any = |flag, name| arguments.iter().any(|word| has_flag(word, flag, name));
    match *command {
        "reset" | "rm" => true,
        "push" => {
            any('f', "--force")
                || arguments.iter().any(|word| {
                    word.starts_with('+')
                        || matches!(long_name(word), "--force-with-lease" | "--mirror")
                })
        }
        "branch" => any('D', "-D") || (any('d', "--delete") && any('f', "--force")),
        "clean" => any('f', "--force"),
        _ => false,
    }
}

/// Whether a word is the long option, or holds the letter among its short ones.
fn has_flag(word: &str, letter: char, long: &str) -> bool {
    if word.starts_with("--") { long_name(word) == long } else { is_cluster_with(word, letter) }
}

fn is_cluster_with(word: &str, letter: char) -> bool {
    word.strip_prefix('-').is_some_and(|letters| letters.contains(letter))
}

fn long_name(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

/// The words behind the leading options, of which `valued` take a word each.
fn without_options<'a, 'b>(mut words: &'a [&'b str], valued: &[&str]) -> &'a [&'b str] {
    while let [option, rest @ ..] = words
        && option.starts_with('-')
    {
        words = if valued.contains(option) { rest.get(1..).unwrap_or_default() } else { rest };
    }
    words
}

fn words_of(command: &Plain) -> Vec<&str> {
    command.words.iter().map(|word| word.text.as_str()).collect()
}

fn borrowed(argv: &[String]) -> Vec<&str> {
    argv.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_dangerous, is_known_safe};
    use crate::tools::command_line::split;

    fn argv(line: &str) -> Vec<String> {
        split(line).unwrap()
    }

    fn script(script: &str) -> Vec<String> {
        ["bash", "-lc", script].map(str::to_owned).to_vec()
    }

    #[track_caller]
    fn safe(lines: &[&str]) {
        for line in lines {
            assert!(is_known_safe(&argv(line)), "{line}");
        }
    }

    #[track_caller]
    fn not_safe(lines: &[&str]) {
        for line in lines {
            assert!(!is_known_safe(&argv(line)), "{line}");
        }
    }

    #[test]
    fn listed_commands_are_safe() {
        safe(&[
            "cat a",
            "cd a",
            "cut -f1",
            "echo hi",
            "expr 1 + 1",
            "false",
            "grep -rn a .",
            "head a",
            "id",
            "ls -la",
            "nl a",
            "paste a b",
            "pwd",
            "rev a",
            "seq 3",
            "stat a",
            "tail -n 1 a",
            "tr a b",
            "true",
            "uname -a",
            "uniq -c a",
            "wc -l",
            "which ls",
            "whoami",
            "numfmt 1",
            "tac a",
            "/bin/ls",
            "/usr/bin/cat a",
        ]);
        not_safe(&[
            "",
            "touch a",
            "./ls",
            "/tmp/cat a",
            "bin/ls",
            "uniq a b",
            "cargo check",
            "[ a ]",
        ]);
    }

    #[test]
    fn options_that_write_or_run_are_not_safe() {
        safe(&[
            "base64 a",
            "base64 -d a",
            "find . -name x -type f",
            "rg -n --pre-glob x y",
            "rg a",
        ]);
        not_safe(&[
            "base64 -o out a",
            "base64 -oout",
            "base64 --output=x a",
            "base64 --output x",
            "find . -exec rm {} ;",
            "find . -execdir a ;",
            "find . -ok a ;",
            "find . -okdir a ;",
            "find . -delete",
            "find . -fls a",
            "find . -fprint a",
            "find . -fprint0 a",
            "find . -fprintf a b",
            "rg --pre x y",
            "rg --pre=x y",
            "rg --hostname-bin x",
            "rg --hostname-bin=x",
            "rg --search-zip x",
            "rg -z x",
            "rg -nz x",
        ]);
    }

    #[test]
    fn git_is_safe_where_it_only_looks() {
        safe(&[
            "git status",
            "git log -p --text",
            "git diff --stat HEAD~1",
            "git show",
            "git branch",
            "git branch -a -vv --format=x",
            "git -C dir status",
            "git --no-pager log",
            "git branch --show-current",
            "git log --oneline -- a",
        ]);
        not_safe(&[
            "git",
            "git push",
            "git -c a=b status",
            "git --config-env=a=b log",
            "git -C",
            "git diff --output=x",
            "git diff --output x",
            "git diff --outp=x",
            "git log --ext-diff",
            "git show --textconv",
            "git log --exec=x",
            "git --paginate log",
            "git log --paginate",
            "git -p log",
            "git branch new",
            "git branch -D a",
            "git branch -m a b",
            "git --git-dir=x log",
            "git --exec-path=x log",
            "git -C a -c b=c status",
        ]);
    }

    #[test]
    fn sed_is_safe_where_it_prints_lines() {
        safe(&["sed -n 1p", "sed -n 1,20p a", "sed -n '3,4p' a/b"]);
        not_safe(&[
            "sed 1p a",
            "sed -n 1p a b",
            "sed -n 1d a",
            "sed -n p a",
            "sed -n 1,p a",
            "sed -n 1p -i",
            "sed -n '1p;w x' a",
            "sed -i s/a/b/ c",
            "sed -n '$p' a",
        ]);
    }

    #[test]
    fn scripts_are_safe_if_every_part_is() {
        for line in [
            "ls",
            "ls && cat a | head -n 3; pwd || true",
            "rg 'a b' src/*.rs",
            "ls *",
            "cat \"a b\"",
        ] {
            assert!(is_known_safe(&script(line)), "{line}");
            assert!(is_known_safe(&["zsh", "-c", line].map(str::to_owned)), "{line}");
        }
        for line in [
            "",
            "ls > a",
            "ls; rm a",
            "cat $(ls)",
            "cat $a",
            "(ls)",
            "ls &",
            "A=b ls",
            "ls & pwd",
            "rg a *",
            "find *",
            "bash -c ls",
            "cat a\nrm b",
        ] {
            assert!(!is_known_safe(&script(line)), "{line}");
        }
    }

    #[test]
    fn destroying_commands_are_dangerous() {
        for line in [
            "git reset",
            "git reset --hard",
            "/usr/bin/git rm a",
            "git -C a reset",
            "git -c a=b rm x",
            "git push --force",
            "git push -f",
            "git push origin +main",
            "git push --force-with-lease",
            "git branch -D a",
            "git branch -d -f a",
            "git clean -fd",
            "git clean --force",
            "rm -f a",
            "rm -rf a",
            "rm -fr a",
            "rm -Rf a",
            "rm a -r -f",
            "rm --force a",
            "/bin/rm -f a",
            "sudo rm -rf /",
            "sudo -u me -n A=b rm -f a",
            "sudo sudo git reset",
            "sudo bash -c 'rm -f a'",
        ] {
            assert!(is_dangerous(&argv(line)), "{line}");
            assert!(is_dangerous(&script(&format!("ls && {line} | cat"))), "{line}");
        }
    }

    #[test]
    fn other_commands_are_not_dangerous() {
        for line in [
            "",
            "rm a",
            "rm -r a",
            "git status",
            "git push",
            "git branch -d a",
            "git clean -n",
            "sudo ls",
            "sudo",
            "git",
            "echo rm -rf a",
            "git log reset",
            "firm -f",
        ] {
            assert!(!is_dangerous(&argv(line)), "{line}");
        }
        assert!(
            !is_dangerous(&script("ls $(rm -rf a)")),
            "a script that cannot be told is no command"
        );
    }
}
