//! How a command's end is laid out for a model.
//!
//! Models with the freeform patch tool read plain text, all others a small JSON document, which is
//! also what a rollout keeps. Both forms are those other agents of this family use, to the byte.

use crate::wire::json::{self, Fields};
use crate::words::call::{Answer, CommandAnswer};

/// Which of the two forms a reader wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    Text,
    Json,
    /// The JSON form with what a later text form needs besides.
    Record,
}

/// Writes an answer as a JSON string.
pub fn write(answer: &Answer, layout: Layout, out: &mut Vec<u8>) {
    match answer {
        Answer::Text { text, .. } => json::string(text, out),
        Answer::Command(command) => json::string(&lay_out(command, layout), out),
    }
}

/// Lays a command's end out.
pub fn lay_out(command: &CommandAnswer, layout: Layout) -> String {
    match layout {
        Layout::Text => text(command),
        Layout::Json => document(command, None),
        Layout::Record => document(command, command.lines_total),
    }
}

/// Reads the JSON form back; any other text is `None`.
pub fn read(text: &str) -> Option<CommandAnswer> {
    let mut strangers = 0;
    json::fields(text, &mut |name, _| {
        strangers += u32::from(!matches!(name, "output" | "metadata"));
    })
    .ok()?;
    let [output, metadata] = json::pick(text, ["output", "metadata"]).ok()?;
    let names = ["exit_code", "duration_seconds", "lines_total"];
    let [exit_code, duration, lines] = json::pick(metadata?, names).ok()?;
    let seconds = duration?.parse::<f64>().ok()?;
    (strangers == 0).then_some(CommandAnswer {
        exit_code: exit_code?.parse().ok()?,
        wall_ms: (seconds * 1000.0).round() as u64,
        output: json::boxed(output?)?,
        lines_total: lines.and_then(json::count),
    })
}

fn text(command: &CommandAnswer) -> String {
    let wall = match tenths(command.wall_ms) {
        0 => "0".to_owned(),
        tenths => format!("{}.{}", tenths / 10, tenths % 10),
    };
    let mut text = format!("Exit code: {}\nWall time: {wall} seconds\n", command.exit_code);
    if let Some(lines) = command.lines_total {
        text += &format!("Total output lines: {lines}\n");
    }
    text + "Output:\n" + &command.output
}

fn document(command: &CommandAnswer, lines_total: Option<u64>) -> String {
    let mut out = Vec::with_capacity(command.output.len() + 80);
    let mut fields = Fields::open(&mut out);
    fields.text("output", &command.output);
    let mut metadata = Fields::open(fields.key("metadata"));
    json::number(command.exit_code, metadata.key("exit_code"));
    json::float(tenths(command.wall_ms) as f64 / 10.0, metadata.key("duration_seconds"));
    if let Some(lines) = lines_total {
        metadata.number("lines_total", lines);
    }
    metadata.close();
    fields.close();
    String::from_utf8_lossy(&out).into_owned()
}

/// Tenths of a second, rounded.
fn tenths(wall_ms: u64) -> u64 {
    wall_ms.saturating_add(50) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(wall_ms: u64, lines_total: Option<u64>) -> CommandAnswer {
        CommandAnswer { exit_code: 3, wall_ms, output: "a \"b\"\n".into(), lines_total }
    }

    #[test]
    fn a_command_is_laid_out_as_text() {
        for (wall_ms, wall) in [(0, "0"), (49, "0"), (50, "0.1"), (340, "0.3"), (61_000, "61.0")] {
            assert_eq!(
                lay_out(&ended(wall_ms, None), Layout::Text),
                format!("Exit code: 3\nWall time: {wall} seconds\nOutput:\na \"b\"\n"),
            );
        }
        assert_eq!(
            lay_out(&ended(340, Some(900)), Layout::Text),
            "Exit code: 3\nWall time: 0.3 seconds\nTotal output lines: 900\nOutput:\na \"b\"\n",
        );
    }

    #[test]
    fn a_command_is_laid_out_as_json() {
        assert_eq!(
            lay_out(&ended(140, Some(900)), Layout::Json),
            r#"{"output":"a \"b\"\n","metadata":{"exit_code":3,"duration_seconds":0.1}}"#,
        );
    }

    #[test]
    fn a_recorded_end_reads_back() {
        for command in [ended(0, None), ended(1300, None), ended(86_400_000, Some(7))] {
            assert_eq!(read(&lay_out(&command, Layout::Record)), Some(command));
        }
        assert_eq!(read(&lay_out(&ended(u64::MAX, None), Layout::Record)).map(|_| ()), Some(()));
    }

    #[test]
    fn other_json_is_not_taken_for_a_commands_end() {
        for text in [
            "",
            "plain",
            "{}",
            r#"{"output":"x"}"#,
            r#"{"output":"x","metadata":{"exit_code":0}}"#,
            r#"{"output":"x","metadata":{"exit_code":0,"duration_seconds":0.1},"more":1}"#,
            r#"{"output":1,"metadata":{"exit_code":0,"duration_seconds":0.1}}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
