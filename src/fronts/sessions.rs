//! A list of sessions, for people and programs.
//!
//! On a terminal: columns that fit it. Elsewhere: one line each, fields between tabs, nothing cut.
//! As JSON: one object on one line.

use crate::fronts::exec::status::cut;
use crate::fronts::visible;
use crate::wire::json::{Elements, Fields};
use crate::wire::time::Rfc3339;
use crate::words::session::Session;

/// Columns between two columns.
const GAP: usize = 2;
const ID_COLUMNS: usize = 36;
/// `2025-11-07 10:00`.
const TIME_COLUMNS: usize = 16;
const DIRECTORY_COLUMNS_MAX: usize = 30;
/// Below this, a question says nothing and stands on a line of its own.
const PREVIEW_COLUMNS_MIN: usize = 20;

/// Lines for a terminal so wide.
pub fn table(sessions: &[Session], columns: u16) -> String {
    let columns = usize::from(columns);
    let left = columns.saturating_sub(ID_COLUMNS + TIME_COLUMNS + 2 * GAP);
    let longest = sessions.iter().map(|session| session.heading.cwd.chars().count()).max();
    let directory = longest.unwrap_or(0).min(DIRECTORY_COLUMNS_MAX).min(left);
    let preview = left.saturating_sub(directory + GAP);
    let mut out = String::new();
    for session in sessions {
        let cwd = visible::line(&session.heading.cwd);
        let asked = visible::line(session.heading.preview.trim());
        let head = format!("{}  {}", session.id, time(&session.begun));
        if preview < PREVIEW_COLUMNS_MIN {
            for line in [&head, &format!("  {cwd}"), &format!("  {asked}")] {
                out.push_str(&cut(line, columns));
                out.push('\n');
            }
            continue;
        }
        let cwd = cut_left(&cwd, directory);
        let gap = " ".repeat(GAP + directory.saturating_sub(width(&cwd)));
        let line = format!("{head}  {cwd}{gap}{}", cut(&asked, preview));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Lines for a program that splits them.
pub fn lines(sessions: &[Session]) -> String {
    let line = |session: &Session| {
        let cwd = visible::line(&session.heading.cwd);
        let asked = visible::line(session.heading.preview.trim());
        format!("{}\t{}\t{cwd}\t{asked}\n", session.id, time(&session.begun))
    };
    sessions.iter().map(line).collect()
}

/// One object, and its line's end.
pub fn json(sessions: &[Session], next: Option<&str>) -> String {
    let mut out = Vec::new();
    let mut page = Fields::open(&mut out);
    let mut list = Elements::open(page.key("data"));
    for session in sessions {
        let heading = &session.heading;
        let mut fields = Fields::open(list.element());
        fields.text("id", &session.id.to_string());
        fields.text("path", &session.path.to_string_lossy());
        fields.flag("archived", session.archived);
        fields.text("createdAt", &heading.created);
        fields.text("updatedAt", &Rfc3339(session.updated_wall_ms).to_string());
        fields.text("cwd", &heading.cwd);
        fields.text_or_null("modelProvider", heading.provider.as_deref());
        fields.text_or_null("source", heading.source.as_deref());
        fields.text_or_null("cliVersion", heading.version.as_deref());
        fields.text_or_null("branch", heading.branch.as_deref());
        fields.text("preview", &heading.preview);
        fields.close();
    }
    list.close();
    page.text_or_null("nextCursor", next);
    page.close();
    out.push(b'\n');
    String::from_utf8_lossy(&out).into_owned()
}

/// The minute that a name begins with, as people write it.
fn time(begun: &str) -> String {
    let (date, time) = begun.split_once('T').unwrap_or((begun, ""));
    let minute = time.get(..5).unwrap_or(time).replace('-', ":");
    format!("{date} {minute}")
}

/// The end of a path that is too long; its last names tell most.
fn cut_left(path: &str, columns_max: usize) -> String {
    if width(path) <= columns_max {
        return path.to_owned();
    }
    let mut columns = 3;
    let fits = |letter: &char| {
        columns += width(letter.encode_utf8(&mut [0; 4]));
        columns <= columns_max
    };
    let kept: Vec<char> = path.chars().rev().take_while(fits).collect();
    format!("...{}", kept.iter().rev().collect::<String>())
}

/// As [`cut`] counts.
fn width(text: &str) -> usize {
    text.chars().map(|letter| if letter.is_ascii() { 1 } else { 2 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::ids::ConversationId;
    use crate::words::session::Heading;

    fn session(cwd: &str, preview: &str) -> Session {
        let heading = Heading { cwd: cwd.into(), preview: preview.into(), ..Heading::default() };
        let (id, begun) = (ConversationId([1; 16]), "2025-11-07T10-05-00".into());
        let path = "/h/sessions/x.jsonl".into();
        Session { id, path, archived: false, begun, updated_wall_ms: 0, heading }
    }

    #[test]
    fn a_table_fits_every_terminal() {
        let long = "/home/somebody/projects/a/very/deep/directory/of/theirs";
        let sessions = [
            session("/w", "short"),
            session(long, &"what\n\x1b[31mtime is it in 日本? ".repeat(20)),
            session("", ""),
        ];
        for columns in 1..200 {
            for line in table(&sessions, columns).lines() {
                assert!(width(line) <= usize::from(columns).max(3), "{columns}: {line:?}");
                assert!(!line.contains('\x1b'));
            }
        }
        let wide = table(&sessions, 120);
        assert_eq!(wide.lines().count(), 3, "{wide}");
        assert!(
            wide.contains("2025-11-07 10:05  /w  ") && wide.contains("  ...ry/deep/"),
            "{wide}"
        );
    }

    #[test]
    fn lines_have_four_fields_whatever_was_asked() {
        let lines = lines(&[session("/a\tb", "two\nlines\tand a tab")]);
        assert_eq!(lines.matches('\n').count(), 1);
        let fields: Vec<&str> = lines.trim_end().split('\t').collect();
        assert_eq!(fields[1..3], ["2025-11-07 10:05", "/a\u{2409}b"]);
        assert_eq!(fields.len(), 4);
    }

    #[test]
    fn json_says_all_and_where_to_go_on() {
        let text = json(&[session("/w", "\"quoted\"")], Some("there"));
        let page: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(page["data"][0]["preview"], "\"quoted\"");
        assert_eq!(page["nextCursor"], "there");
        assert!(json(&[], None).ends_with("{\"data\":[],\"nextCursor\":null}\n"));
    }
}
