//! Help, made from the table of flags.
//!
//! Plain text without escapes, at most `HELP_COLUMNS` wide.

use crate::config::args::Topic;
use crate::config::flags::{FLAGS, Flag};

const HELP_COLUMNS: usize = 98;
/// Where descriptions of flags begin.
const HELP_INDENT: usize = 30;

/// The help of a topic, ending with a newline.
pub fn text(topic: Topic) -> String {
    let mut out = String::new();
    out.push_str(head(topic));
    if topic != Topic::Top {
        out.push_str("\nFlags:\n");
        for flag in FLAGS.iter().filter(|flag| flag.belongs.covers(topic)) {
            if !flag.help.is_empty() {
                write_flag(&mut out, flag);
            }
        }
        write_row(&mut out, "  -h, --help", "Show this");
    }
    out.push_str(tail(topic));
    out
}

fn head(topic: Topic) -> &'static str {
    match topic {
        Topic::Top => {
            "windlass: a coding agent for the command line

Usage: windlass COMMAND [FLAGS]

Commands:
  exec [PROMPT]               Work on a prompt without asking back; `e` for short
  exec resume [ID] [PROMPT]   Go on with an earlier session
  demo                        Watch a recorded session; needs no key and no network
  help [COMMAND]              Explain a command

  -h, --help                  Show this
  -V, --version               Show the version
"
        }
        Topic::Exec => {
            "Works on a prompt until the model is done, without asking back.

Usage: windlass exec [FLAGS] [PROMPT]
       windlass exec [FLAGS] resume [ID] [PROMPT]

PROMPT is one word of the shell: quote it. Without it, or with -, stdin is the prompt. The final
message goes to stdout, everything else to stderr; see --json for programs.
"
        }
        Topic::Resume => {
            "Goes on with an earlier session, in the same record.

Usage: windlass exec resume [FLAGS] ID [PROMPT]
       windlass exec resume [FLAGS] --last [PROMPT]

ID is what `session id` said, or the path of a rollout file. Model, directory and sandbox are those
of this command line and config.toml, not those of back then.
"
        }
        Topic::Demo => {
            "Shows a recorded session: a model that was recorded earlier, commands that really run.

Usage: windlass demo [FLAGS]
"
        }
    }
}

fn tail(topic: Topic) -> &'static str {
    match topic {
        Topic::Top => "\n`windlass exec --help` lists the flags.\n",
        Topic::Exec | Topic::Resume => {
            "
Stdin beside a prompt: what a pipe brings is added to the prompt. If a program outside this one's
parents writes to the pipe, windlass reads to the end, at most --timeout long, and says that it
waits. If only its parents hold the pipe, it waits a moment for a first byte and then goes on
without. --stdin always waits for the end; --no-stdin never reads.

Keys: the model provider needs one in CODEX_API_KEY, in the variable its `env_key` names, or in
auth.json. Local providers (--oss) and recordings need none.

Exit codes: 0 done, 1 failed, 2 not understood, 3 left the recording it is played from, 4 out of
--max-turns, 5 out of --max-tokens, 124 out of --timeout, 129, 130 and 143 ended by SIGHUP, SIGINT
and SIGTERM, 141 the reader of stdout left.

Examples:
  windlass exec \"explain what src/main.rs does\"
  windlass exec -s workspace-write \"make the tests pass\"
  git diff | windlass exec \"review this\"
  windlass exec resume --last \"now write the changelog\"
"
        }
        Topic::Demo => "",
    }
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
        for topic in [Topic::Top, Topic::Exec, Topic::Resume, Topic::Demo] {
            let text = text(topic);
            assert!(text.ends_with('\n'));
            for line in text.lines() {
                assert!(line.chars().count() <= 100 && line.trim_end() == line, "{line:?}");
            }
            for flag in FLAGS.iter().filter(|flag| flag.belongs.covers(topic)) {
                let named = text.contains(&format!("--{}", flag.name));
                assert_eq!(named, !flag.help.is_empty() && topic != Topic::Top, "{}", flag.name);
            }
        }
    }
}
