//! Completion scripts for shells, made from the tables of commands and flags.
//!
//! A script asks windlass nothing while it completes: everything it offers is written into it. All
//! three walk the words before the cursor as the parser would, to know the command, how many plain
//! words it has, and whether the cursor is where a flag takes its value.

use crate::config::commands::{Argument, COMMANDS, Command, TOP};
use crate::config::flags::{FLAGS, Flag, Takes};

/// The shells there are scripts for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The names of the shells, as they are typed.
pub const SHELL_NAMES: &[&str] = &["bash", "zsh", "fish"];

impl Shell {
    pub fn named(name: &str) -> Option<Shell> {
        match name {
            "bash" => Some(Shell::Bash),
            "zsh" => Some(Shell::Zsh),
            "fish" => Some(Shell::Fish),
            _ => None,
        }
    }
}

/// The script for a shell, ending with a newline.
pub fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

/// What may stand where a flag takes its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    Choices(&'static [&'static str]),
    Directory,
    File,
    /// Nothing that a shell could know.
    Free,
}

fn value(flag: &Flag) -> Option<Value> {
    let label = flag.takes.label()?;
    Some(match &flag.takes {
        Takes::Path(..) if label == "DIR" => Value::Directory,
        Takes::Path(..) => Value::File,
        takes if !takes.choices().is_empty() => Value::Choices(takes.choices()),
        _ => Value::Free,
    })
}

/// How a flag is typed, the long name first.
fn spellings(flag: &Flag) -> Vec<String> {
    let long = std::iter::once(&flag.name).chain(flag.aliases).map(|name| format!("--{name}"));
    long.chain(flag.short.map(|letter| format!("-{letter}"))).collect()
}

/// The flags to offer after a command, those that every command has at the end.
fn offered(command: &Command) -> Vec<(String, Option<char>, String)> {
    let offered = FLAGS.iter().filter(|flag| command.offers(flag));
    let mut rows: Vec<_> =
        offered.map(|flag| (format!("--{}", flag.name), flag.short, brief(flag.help))).collect();
    rows.push(("--help".to_owned(), Some('h'), "Show help".to_owned()));
    if command == TOP {
        rows.push(("--version".to_owned(), Some('V'), "Show the version".to_owned()));
    }
    rows
}

/// The words to offer after a command and so many plain words, with what they mean.
fn words_after(command: &Command, plain_count: usize) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let mut offer = |from: &Command| {
        for child in from.children() {
            rows.extend(from.names_of(child).next().map(|name| (name, brief(child.help))));
        }
    };
    if plain_count == 0 {
        offer(command);
    }
    match command.arguments.get(plain_count) {
        Some(Argument::Command) if plain_count == 0 => offer(TOP),
        Some(Argument::Choice(_, choices)) => {
            rows.extend(choices.iter().map(|choice| (*choice, String::new())));
        }
        Some(Argument::Command | Argument::Word(_) | Argument::Prompt | Argument::Rest(_))
        | None => {}
    }
    rows
}

/// A description without what follows its first thought.
fn brief(help: &str) -> String {
    let ends = [";", ":", " ("].iter().filter_map(|end| help.find(end));
    let text = &help[..ends.min().unwrap_or(help.len())];
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every command, and the program without one.
fn everywhere() -> impl Iterator<Item = &'static Command> {
    std::iter::once(TOP).chain(COMMANDS)
}

/// The name of a command within a script; empty for the program without one.
fn place(command: &Command) -> String {
    command.words().skip(1).collect::<Vec<_>>().join(" ")
}

/// Every word that leads on from some command: from where, the word, to where.
fn steps() -> Vec<(String, &'static str, String)> {
    let mut steps = Vec::new();
    for from in everywhere() {
        for to in from.children() {
            steps.extend(from.names_of(to).map(|name| (place(from), name, place(to))));
        }
    }
    steps
}

/// The spellings of all flags that take a value.
fn valued() -> Vec<String> {
    FLAGS.iter().filter(|flag| value(flag).is_some()).flat_map(spellings).collect()
}

/// The walk over `given`, the same in bash and zsh; leaves `command`, `plain`, `literal`, `flag`.
fn write_walk(out: &mut String) {
    out.push_str(
        "    local word command='' flag=''
    local plain=0 literal=0
    for word in \"${given[@]}\"; do
        if [[ $literal == 1 ]]; then
            plain=$((plain + 1))
            continue
        fi
        if [[ -n $flag ]]; then
            [[ $word == '=' ]] || flag=''
            continue
        fi
        case \"$word\" in
            --) literal=1 ;;
",
    );
    out.push_str(&format!("            {}) flag=$word ;;\n", valued().join(" | ")));
    out.push_str(
        "            -?*) ;;
            *)
                case \"$plain:$command:$word\" in
",
    );
    for (from, name, to) in steps() {
        out.push_str(&format!("                    '0:{from}:{name}') command='{to}' ;;\n"));
    }
    out.push_str(
        "                    *) plain=$((plain + 1)) ;;
                esac
                ;;
        esac
    done
",
    );
}

/// Each place where words are offered, as bash and zsh compare it, with the words.
fn word_places() -> Vec<(String, Vec<(&'static str, String)>)> {
    let mut places = Vec::new();
    for command in everywhere() {
        for plain_count in 0..=command.arguments.len() {
            let rows = words_after(command, plain_count);
            if !rows.is_empty() {
                places.push((format!("{plain_count}:{}", place(command)), rows));
            }
        }
    }
    places
}

fn bash() -> String {
    let mut out = "# Completion of windlass for bash.
#   source <(windlass completions bash)
_windlass() {
    local current=${COMP_WORDS[COMP_CWORD]} choices='' paths=''
    local -a given=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")
    [[ $current == '=' ]] && current=''
"
    .to_owned();
    write_walk(&mut out);
    out.push_str("    if [[ -n $flag ]]; then\n        case \"$flag\" in\n");
    for flag in FLAGS {
        let Some(value) = value(flag) else { continue };
        let found = match value {
            Value::Choices(choices) => format!("choices='{}'", choices.join(" ")),
            Value::Directory => "paths='-d'".to_owned(),
            Value::File => "paths='-f'".to_owned(),
            Value::Free => continue,
        };
        out.push_str(&format!("            {}) {found} ;;\n", spellings(flag).join(" | ")));
    }
    out.push_str("        esac\n    elif [[ $literal == 0 && $current == -* ]]; then\n");
    out.push_str("        case \"$command\" in\n");
    for command in everywhere() {
        let mut typed = Vec::new();
        for (long, short, _) in offered(command) {
            typed.push(long);
            typed.extend(short.map(|letter| format!("-{letter}")));
        }
        let (place, typed) = (place(command), typed.join(" "));
        out.push_str(&format!("            '{place}') choices='{typed}' ;;\n"));
    }
    out.push_str("        esac\n    elif [[ $literal == 0 ]]; then\n");
    out.push_str("        case \"$plain:$command\" in\n");
    for (place, rows) in word_places() {
        let words: Vec<_> = rows.iter().map(|(word, _)| *word).collect();
        out.push_str(&format!("            '{place}') choices='{}' ;;\n", words.join(" ")));
    }
    out.push_str(
        "        esac
    fi
    COMPREPLY=()
    if [[ -n $paths ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen $paths -- \"$current\")
    elif [[ -n $choices ]]; then
        mapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$current\")
    fi
}
complete -F _windlass windlass
",
    );
    out
}

fn zsh() -> String {
    let mut out = "#compdef windlass
# Completion of windlass for zsh: save as _windlass in a directory of $fpath, or
#   source <(windlass completions zsh)
_windlass() {
    local -a given rows
    given=(\"${(@)words[2,CURRENT-1]}\")
"
    .to_owned();
    write_walk(&mut out);
    out.push_str(
        "    if [[ -z $flag && $literal == 0 && $PREFIX == --*=* ]]; then
        flag=${PREFIX%%=*}
        compset -P '*='
    fi
    if [[ -n $flag ]]; then
        case \"$flag\" in
",
    );
    for flag in FLAGS {
        let Some(value) = value(flag) else { continue };
        let found = match value {
            Value::Choices(choices) => format!("compadd -- {}", choices.join(" ")),
            Value::Directory => "_files -/".to_owned(),
            Value::File => "_files".to_owned(),
            Value::Free => format!("_message {}", quoted(&brief(flag.help))),
        };
        out.push_str(&format!("            {}) {found} ;;\n", spellings(flag).join(" | ")));
    }
    out.push_str("        esac\n        return\n    fi\n    [[ $literal == 1 ]] && return\n");
    out.push_str("    if [[ $PREFIX == -* ]]; then\n        case \"$command\" in\n");
    for command in everywhere() {
        out.push_str(&format!("            '{}')\n                rows=(\n", place(command)));
        for (long, short, help) in offered(command) {
            let short = short.map(|letter| format!("-{letter}"));
            for typed in std::iter::once(long).chain(short) {
                out.push_str(&format!("                    {}\n", described(&typed, &help)));
            }
        }
        out.push_str("                )\n                ;;\n");
    }
    out.push_str("        esac\n        _describe -o flag rows\n        return\n    fi\n");
    out.push_str("    case \"$plain:$command\" in\n");
    for (place, rows) in word_places() {
        out.push_str(&format!("        '{place}')\n            rows=(\n"));
        for (word, help) in rows {
            out.push_str(&format!("                {}\n", described(word, &help)));
        }
        out.push_str("            )\n            ;;\n");
    }
    out.push_str(
        "    esac
    (( $#rows )) && _describe word rows
}
if [[ ${funcstack[1]} == _windlass ]]; then
    _windlass \"$@\"
else
    compdef _windlass windlass
fi
",
    );
    out
}

fn fish() -> String {
    let mut out =
        "# Completion of windlass for fish: save as ~/.config/fish/completions/windlass.fish
# The command and the number of its plain words so far; a lone -- is a place of its own.
function __windlass_place
    set -l words (commandline -opc)
    set -l command ''
    set -l plain 0
    set -l skipping 0
    set -e words[1]
    for word in $words
        if test $skipping = 1
            set skipping 0
            continue
        end
        switch \"$word\"
            case --
                echo '0:--'
                return
"
        .to_owned();
    out.push_str(&format!("            case {}\n", valued().join(" ")));
    out.push_str(
        "                set skipping 1
            case '-?*'
            case '*'
                switch \"$plain:$command:$word\"
",
    );
    for (from, name, to) in steps() {
        out.push_str(&format!("                    case '0:{from}:{name}'\n"));
        out.push_str(&format!("                        set command '{to}'\n"));
    }
    out.push_str(
        "                    case '*'
                        set plain (math $plain + 1)
                end
        end
    end
    echo \"$plain:$command\"
end
# Whether the command is one of these.
function __windlass_at
    set -l found (string replace -r '^[0-9]+:' '' -- (__windlass_place))
    and contains -- \"$found\" $argv
end
# Whether the command is this one, with so many plain words.
function __windlass_after
    test (__windlass_place | string collect) = \"$argv[1]\"
end
complete -c windlass -f
",
    );
    for (place, rows) in word_places() {
        for (word, help) in rows {
            out.push_str(&format!(
                "complete -c windlass -n \"__windlass_after '{place}'\" -a {word}"
            ));
            write_description(&mut out, &help);
        }
    }
    out.push_str("complete -c windlass -s h -l help -d 'Show help'\n");
    out.push_str(
        "complete -c windlass -n \"__windlass_at ''\" -s V -l version -d 'Show the version'\n",
    );
    for flag in FLAGS.iter().filter(|flag| !flag.help.is_empty()) {
        write_fish_flag(&mut out, flag);
    }
    out
}

fn write_fish_flag(out: &mut String, flag: &Flag) {
    let knowing = COMMANDS.iter().filter(|command| command.knows(flag));
    let places: Vec<_> = knowing.map(|command| format!("'{}'", place(command))).collect();
    out.push_str(&format!("complete -c windlass -n \"__windlass_at {}\"", places.join(" ")));
    if let Some(letter) = flag.short {
        out.push_str(&format!(" -s {letter}"));
    }
    out.push_str(&format!(" -l {}", flag.name));
    match value(flag) {
        None => {}
        Some(Value::Choices(choices)) => out.push_str(&format!(" -x -a '{}'", choices.join(" "))),
        Some(Value::Directory) => out.push_str(" -x -a '(__fish_complete_directories)'"),
        Some(Value::File) => out.push_str(" -r -F"),
        Some(Value::Free) => out.push_str(" -x"),
    }
    write_description(out, &brief(flag.help));
}

fn write_description(out: &mut String, help: &str) {
    if !help.is_empty() {
        out.push_str(&format!(" -d '{}'", help.replace('\\', "\\\\").replace('\'', "\\'")));
    }
    out.push('\n');
}

/// A word of zsh and what it means, as `_describe` reads them.
fn described(word: &str, help: &str) -> String {
    match help {
        "" => quoted(word),
        help => quoted(&format!("{word}:{help}")),
    }
}

/// One word of bash or zsh, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_names_every_command_and_every_flag_that_help_names() {
        for name in SHELL_NAMES {
            let text = script(Shell::named(name).expect("a script"));
            for flag in FLAGS.iter().filter(|flag| !flag.help.is_empty()) {
                assert!(text.contains(flag.name), "{name}: --{}", flag.name);
            }
            for command in COMMANDS {
                assert!(text.contains(&place(command)), "{name}: {command:?}");
            }
            assert!(text.ends_with('\n'));
        }
    }

    #[test]
    fn descriptions_are_their_first_thought_and_quoted() {
        assert_eq!(brief("Keep it; or not"), "Keep it");
        assert_eq!(brief("What: a, b"), "What");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        let mut line = String::new();
        write_description(&mut line, "it's a \\");
        assert_eq!(line, " -d 'it\\'s a \\\\'\n");
    }
}
