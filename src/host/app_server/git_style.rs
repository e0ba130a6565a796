//! How one file differs, as `git diff` puts it.

use std::fmt::Write as _;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::limits::TURN_DIFF_CONTEXT_LINES;
use crate::words::diff;

/// A file at some time.
#[derive(PartialEq, Eq, Debug)]
pub struct Version {
    pub content: Content,
    pub is_executable: bool,
}

/// What is in a file.
#[derive(PartialEq, Eq, Debug)]
pub enum Content {
    Absent,
    Text {
        text: Box<str>,
        /// As git names it.
        hash: String,
    },
    /// Not text: no more of it is shown than that it is another.
    Binary {
        hash: String,
    },
    /// It is too large, or cannot be read.
    Unknown,
}

/// What git calls the content of a file that is not there.
const NO_HASH: &str = "0000000000000000000000000000000000000000";

/// The bytes in which git looks for a NUL, which makes a file binary.
const LOOKED_AT_BYTES: usize = 8000;

impl Content {
    pub fn of(bytes: Vec<u8>) -> Content {
        let hash = hash(&bytes);
        let looked_at = &bytes[..bytes.len().min(LOOKED_AT_BYTES)];
        if looked_at.contains(&0) {
            return Content::Binary { hash };
        }
        match String::from_utf8(bytes) {
            Ok(text) => Content::Text { text: text.into(), hash },
            Err(_) => Content::Binary { hash },
        }
    }

    fn hash(&self) -> Option<&str> {
        match self {
            Content::Absent => Some(NO_HASH),
            Content::Text { hash, .. } | Content::Binary { hash } => Some(hash),
            Content::Unknown => None,
        }
    }

    /// What is in it, if that can be shown.
    fn text(&self) -> Option<&str> {
        match self {
            Content::Absent => Some(""),
            Content::Text { text, .. } => Some(text),
            Content::Binary { .. } | Content::Unknown => None,
        }
    }
}

impl Version {
    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.content.text().map_or(0, str::len)
    }

    fn is_absent(&self) -> bool {
        self.content == Content::Absent
    }

    fn mode(&self) -> &'static str {
        if self.is_executable { "100755" } else { "100644" }
    }
}

/// The part of a diff that tells of one file; nothing if it is the same. What has over `bytes_max`
/// is told like what is not text.
pub fn told(name: &str, before: &Version, after: &Version, bytes_max: usize) -> String {
    let hashes = (before.content.hash(), after.content.hash());
    if hashes.0.is_some() && hashes.0 == hashes.1 {
        return String::new();
    }
    let (old, new) = (quoted("a/", name), quoted("b/", name));
    let mut told = format!("diff --git {old} {new}\n");
    // Writing into a string cannot fail.
    let _ = match (before.is_absent(), after.is_absent()) {
        (true, false) => writeln!(told, "new file mode {}", after.mode()),
        (false, true) => writeln!(told, "deleted file mode {}", before.mode()),
        (true, true) | (false, false) => Ok(()),
    };
    if let (Some(before), Some(after)) = hashes {
        let _ = writeln!(told, "index {before}..{after}");
    }
    let old = if before.is_absent() { "/dev/null" } else { &*old };
    let new = if after.is_absent() { "/dev/null" } else { &*new };
    let texts = before.content.text().zip(after.content.text());
    let hunks = texts.map(|(before, after)| diff::unified(before, after, TURN_DIFF_CONTEXT_LINES));
    let _ = match hunks {
        // A file that is empty before or after has nothing to show.
        Some(hunks) if hunks.is_empty() => Ok(()),
        Some(hunks) if told.len() + hunks.len() <= bytes_max => {
            write!(told, "--- {old}\n+++ {new}\n{hunks}")
        }
        Some(_) | None => writeln!(told, "Binary files {old} and {new} differ"),
    };
    told
}

/// A name as git writes it: in quotes if a line could not hold it as it is.
fn quoted(side: &str, name: &str) -> String {
    if !name.contains(|letter: char| letter.is_control() || letter == '"' || letter == '\\') {
        return format!("{side}{name}");
    }
    let mut quoted = format!("\"{side}");
    for letter in name.chars() {
        let _ = match letter {
            '"' | '\\' => write!(quoted, "\\{letter}"),
            letter if letter.is_control() => {
                let mut bytes = [0; 4];
                let bytes = letter.encode_utf8(&mut bytes).bytes();
                bytes.into_iter().try_for_each(|byte| write!(quoted, "\\{byte:03o}"))
            }
            letter => write!(quoted, "{letter}"),
        };
    }
    quoted + "\""
}

fn hash(bytes: &[u8]) -> String {
    let mut hashed = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hashed.update(format!("blob {}\0", bytes.len()).as_bytes());
    hashed.update(bytes);
    hashed.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(content: &[u8]) -> Version {
        Version { content: Content::of(content.to_vec()), is_executable: false }
    }

    const ABSENT: Version = Version { content: Content::Absent, is_executable: false };
    const UNKNOWN: Version = Version { content: Content::Unknown, is_executable: false };

    #[track_caller]
    fn check(before: &Version, after: &Version, expected: &str) {
        assert_eq!(told("x", before, after, 1000), expected);
    }

    #[test]
    fn changes_are_told_as_git_does() {
        let (hello, bye) = (version(b"hello\n"), version(b"bye\n"));
        // `git hash-object` says so.
        let (first, second) = (
            "ce013625030ba8dba906f756967f9e9ca394464a",
            "b023018cabc396e7692c70bbf5784a93d3f738ab",
        );
        check(
            &hello,
            &bye,
            &format!(
                "diff --git a/x b/x\nindex {first}..{second}\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n\
                 -hello\n+bye\n"
            ),
        );
        check(
            &ABSENT,
            &Version { is_executable: true, ..version(b"hello\n") },
            &format!(
                "diff --git a/x b/x\nnew file mode 100755\nindex {NO_HASH}..{first}\n\
                 --- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+hello\n"
            ),
        );
        check(
            &hello,
            &ABSENT,
            &format!(
                "diff --git a/x b/x\ndeleted file mode 100644\nindex {first}..{NO_HASH}\n\
                 --- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-hello\n"
            ),
        );
        check(&hello, &version(b"hello\n"), "");
        check(&ABSENT, &ABSENT, "");
    }

    #[test]
    fn what_has_no_text_is_said_to_differ() {
        let told = told("x", &version(b"\0"), &version(b"\xff"), 1000);
        assert!(told.ends_with("\nBinary files a/x and b/x differ\n"), "{told}");
        assert!(told.contains("\nindex "), "{told}");
        check(&UNKNOWN, &version(b"a"), "diff --git a/x b/x\nBinary files a/x and b/x differ\n");
        check(
            &UNKNOWN,
            &ABSENT,
            "diff --git a/x b/x\ndeleted file mode 100644\nBinary files a/x and /dev/null differ\n",
        );
    }

    #[test]
    fn an_empty_file_has_no_hunks() {
        let told = told("x", &ABSENT, &version(b""), 1000);
        assert!(told.starts_with("diff --git a/x b/x\nnew file mode 100644\nindex "), "{told}");
        assert!(told.ends_with("..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n"), "{told}");
    }

    #[test]
    fn what_is_too_long_is_said_to_differ() {
        let (long, short) = ("x\n".repeat(500), told("x", &ABSENT, &version(b"x\n"), 200));
        assert!(short.ends_with("+x\n"), "{short}");
        let told = told("x", &ABSENT, &version(long.as_bytes()), 200);
        assert!(told.ends_with("Binary files /dev/null and b/x differ\n"), "{told}");
    }

    #[test]
    fn names_that_would_break_a_line_are_quoted() {
        assert_eq!(quoted("a/", "b c/\u{e9}"), "a/b c/\u{e9}");
        assert_eq!(quoted("b/", "x\n\"\\\u{9b}"), "\"b/x\\012\\\"\\\\\\302\\233\"");
    }
}
