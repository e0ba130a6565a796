//! The house keeps its shape: walls between rooms, bounds on files and functions, known
//! dependencies.
//!
//! Everything here reads the source as text, formatted as `cargo fmt` leaves it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
const CRATES_MAX: usize = 60;

/// Each room, the rooms it may use, and whether it may touch the system.
const ROOMS: [(&str, &[&str], bool); 9] = [
    ("limits", &[], false),
    ("words", &["limits"], false),
    ("search", &["limits"], false),
    ("tools", &["limits", "words"], false),
    ("wire", &["limits", "words"], false),
    ("config", &["limits", "words"], false),
    ("core", &["limits", "words", "tools"], false),
    ("fronts", &["limits", "words", "tools", "wire", "config"], false),
    ("host", &["limits", "words", "search", "tools", "wire", "config", "core", "fronts"], true),
];

/// What a pure room never names.
const OUTSIDE: [&str; 9] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::time",
    "std::os",
    "std::io::stdin",
    "libc::",
    "mio::",
];

/// What nobody names: one process has one thread, and nothing is left for later.
const NOWHERE: [&str; 6] = [
    concat!("std::th", "read"),
    concat!("thread::sp", "awn"),
    concat!("block", "_on"),
    concat!("TO", "DO"),
    "todo!(",
    concat!("#[ig", "nore"),
];

/// Everything that is linked into the static binary or runs while it is built.
const CRATES: &[&str] = &[
    "base64",
    "bytes",
    "cc",
    "cfg-if",
    "enumflags2",
    "enumflags2_derive",
    "equivalent",
    "find-msvc-tools",
    "getrandom",
    "hashbrown",
    "http",
    "httparse",
    "indexmap",
    "itoa",
    "landlock",
    "lexopt",
    "libc",
    "log",
    "memchr",
    "mio",
    "once_cell",
    "proc-macro2",
    "quote",
    "regex-lite",
    "ring",
    "rustls",
    "rustls-pki-types",
    "rustls-webpki",
    "seccompiler",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "shlex",
    "subtle",
    "syn",
    "thiserror",
    "thiserror-impl",
    "toml_datetime",
    "toml_edit",
    "toml_parser",
    "toml_writer",
    "unicode-ident",
    "untrusted",
    "ureq-proto",
    "webpki-roots",
    "windlass",
    "windlass-sandbox",
    "winnow",
    "zeroize",
    "zmij",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file below these folders with its path from the root and its text.
fn read(folders: &[&str]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in folders {
        sources(&root().join(folder), &mut paths);
    }
    paths.sort();
    assert!(!paths.is_empty(), "no source below {folders:?}");
    let named = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), text)
    };
    paths.into_iter().map(named).collect()
}

/// The code before the test module, without comments' lines being special.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn is_test_file(name: &str) -> bool {
    name.starts_with("tests/")
        || name.contains("/tests/")
        || name.ends_with("/tests.rs")
        || name.starts_with("fuzz/")
}

fn complain(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let mut complaints = Vec::new();
    for (name, text) in read(&["src"]) {
        let room = name.trim_start_matches("src/").split(['/', '.']).next().unwrap();
        let Some((_, allowed, _)) = ROOMS.iter().find(|(known, _, _)| *known == room) else {
            assert!(matches!(room, "main" | "lib"), "{name} is in no room");
            continue;
        };
        for (number, line) in without_tests(&text).lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let end = used.find(|c: char| !c.is_alphanumeric() && c != '_');
                let used = &used[..end.unwrap_or(used.len())];
                if used != room && !allowed.contains(&used) {
                    complaints.push(format!("{name}:{}: {room} may not use {used}", number + 1));
                }
            }
        }
    }
    complain(&complaints);
}

#[test]
fn pure_rooms_never_name_the_outside() {
    let mut complaints = Vec::new();
    for (name, text) in read(&["src"]) {
        let room = name.trim_start_matches("src/").split(['/', '.']).next().unwrap();
        let pure = ROOMS.iter().any(|(known, _, outside)| *known == room && !outside);
        if !pure || is_test_file(&name) {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for named in OUTSIDE.iter().filter(|named| code.contains(**named)) {
                complaints.push(format!("{name}:{}: {room} names {named}", number + 1));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn nothing_starts_threads_or_is_left_for_later() {
    let mut complaints = Vec::new();
    for (name, text) in read(&["src", "sandbox", "tests"]) {
        if name == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for named in NOWHERE.iter().filter(|named| line.contains(**named)) {
                complaints.push(format!("{name}:{}: {named}", number + 1));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn files_and_lines_are_short() {
    let mut complaints = Vec::new();
    for (name, text) in read(&["src", "sandbox", "tests"]) {
        let lines = without_tests(&text).lines().count();
        if lines > FILE_LINES_MAX && !is_test_file(&name) {
            complaints.push(format!("{name}: {lines} lines"));
        }
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            let is_data = is_test_file(&name) || line.contains('"');
            if columns > COLUMNS_MAX && !is_data && !line.contains("http") {
                complaints.push(format!("{name}:{}: {columns} columns", number + 1));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn functions_are_short() {
    let mut complaints = Vec::new();
    for (name, text) in read(&["src", "sandbox/src"]) {
        let lines: Vec<&str> = without_tests(&text).lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            let is_function = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "unsafe fn "]
                .iter()
                .any(|start| code.starts_with(start));
            if !is_function || code.ends_with(';') || code.ends_with('}') {
                continue;
            }
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[number..].iter().position(|line| *line == end).unwrap_or(0);
            if length > FUNCTION_LINES_MAX {
                complaints.push(format!("{name}:{}: {length} lines: {code}", number + 1));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn the_dependencies_are_those_that_are_known() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none"])
        .args(["--target", "x86_64-unknown-linux-musl", "--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let found: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    let known: BTreeSet<&str> = CRATES.iter().copied().collect();
    assert_eq!(found, known);
    assert!(found.len() <= CRATES_MAX, "{} crates", found.len());
}

#[test]
fn the_top_level_holds_what_it_may() {
    let known = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "build.rs",
        "fuzz",
        "rust-toolchain.toml",
        "sandbox",
        "src",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || known.contains(&&*name), "{name} has no place here");
    }
}
