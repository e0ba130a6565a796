//! `grep_files` passes over just what git ignores, checked against git itself where there is one.
//!
//! Trees are made from a seed, with rules at several depths; `SEED=…` repeats one.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use windlass::host::files;

const TREES_COUNT: u64 = 200;

const NAMES: [&str; 12] =
    ["a", "b", "ab", "a.o", "b.o", "foo", "foo.c", "a b", "x-y", "[a]", "a*", "build"];

/// Pieces of patterns; `**` stands alone between slashes, since versions of git differ about others.
const WORDS: [&str; 24] = [
    "a",
    "b",
    "ab",
    "a.o",
    "*.o",
    "foo",
    "foo*",
    "*",
    "?",
    "a?",
    "[ab]",
    "[!a]",
    "[a-b]*",
    "a*b",
    "**",
    "x-y",
    "[[:alpha:]]",
    "\\[a\\]",
    "a\\*",
    "a b",
    "*a*",
    "build",
    "b*d",
    "[]a]",
];

/// Small and even enough (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len() as u64) as usize]
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // Best effort.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn grow(chance: &mut Chance, directory: &Path, depth: u32) {
    fs::create_dir_all(directory).unwrap();
    for _ in 0..2 + chance.below(5) {
        let path = directory.join(chance.pick(&NAMES));
        if path.exists() {
            continue;
        }
        if depth > 0 && !chance.one_in(3) {
            grow(chance, &path, depth - 1);
        } else {
            fs::write(path, "needle\n").unwrap();
        }
    }
    if depth == 3 || chance.one_in(4) {
        fs::write(directory.join(".gitignore"), rules(chance)).unwrap();
    }
}

fn rules(chance: &mut Chance) -> String {
    let mut rules = String::new();
    for _ in 0..1 + chance.below(5) {
        rules += match chance.below(12) {
            0..4 => "!",
            4 => "# ",
            _ => "",
        };
        rules += if chance.one_in(4) { "/" } else { "" };
        for number in 0..1 + chance.below(3) {
            rules += if number > 0 { "/" } else { "" };
            rules += chance.pick(&WORDS);
        }
        rules += if chance.one_in(4) { "/" } else { "" };
        rules += match chance.below(10) {
            0 => "  ",
            1 => "\\ ",
            2 => "\r",
            _ => "",
        };
        rules += "\n";
    }
    rules
}

fn git(place: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("git")
        .args(["-c", "core.excludesFile=/dev/null", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(place)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", place)
        .output()
        .ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn found(directory: &Path) -> BTreeSet<String> {
    let arguments = json!({ "pattern": "needle", "limit": 2000 }).to_string();
    let request = json!({ "op": "grep_files", "cwd": directory, "arguments": arguments });
    let reply: Value = serde_json::from_slice(&files::run(request.to_string().as_bytes())).unwrap();
    let text = reply["ok"].as_str().unwrap_or_else(|| panic!("{reply}"));
    let lines = text.lines().filter(|line| *line != "No matches found.");
    lines.map(|line| line.strip_prefix(directory.to_str().unwrap()).unwrap()[1..].into()).collect()
}

/// The files that git does not ignore and that are not hidden.
fn not_ignored(directory: &Path) -> BTreeSet<String> {
    let listed = git(directory, &["ls-files", "--others", "--exclude-standard", "-z"]).unwrap();
    let listed = String::from_utf8(listed).unwrap();
    let visible =
        |path: &&str| !path.is_empty() && !path.split('/').any(|name| name.starts_with('.'));
    let absolute = |path: &str| format!("{}/{path}", directory.display());
    listed.split('\0').filter(visible).map(absolute).collect()
}

/// The rules that are to be looked at when something differs.
fn told(directory: &Path, rules: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(".git") {
            told(&path, rules);
        } else if path.ends_with(".gitignore") {
            *rules += &format!("{}:\n{}\n", path.display(), fs::read_to_string(&path).unwrap());
        }
    }
}

/// Compares below one directory of the repository, given what git does not ignore in all of it.
fn check(directory: &Path, listed: &BTreeSet<String>, seed: u64) {
    let prefix = format!("{}/", directory.display());
    let below = |path: &String| path.strip_prefix(&prefix).map(String::from);
    let expected: BTreeSet<String> = listed.iter().filter_map(below).collect();
    let found = found(directory);
    let missing: Vec<_> = expected.difference(&found).collect();
    let besides: Vec<_> = found.difference(&expected).collect();
    if !missing.is_empty() || !besides.is_empty() {
        let mut rules = String::new();
        told(directory, &mut rules);
        panic!("SEED={seed}\nnot found: {missing:?}\nignored by git: {besides:?}\n{rules}");
    }
}

#[test]
fn a_search_passes_over_what_git_ignores() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..TREES_COUNT,
    };
    let name = format!("windlass-ignored-{}", std::process::id());
    let place = Place(fs::canonicalize(std::env::temp_dir()).unwrap().join(name));
    let tree = |seed: u64| place.0.join(format!("tree{seed}"));
    for seed in seeds.clone() {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        grow(&mut chance, &tree(seed), 3);
    }
    fs::write(place.0.join(".gitignore"), "build/\n").unwrap();
    if git(&place.0, &["init", "--quiet"]).is_none() {
        eprintln!("SKIPPED: there is no git here");
        return;
    }
    fs::write(place.0.join(".git/info/exclude"), "x-y\nfoo.c\n!build\n").unwrap();
    let listed = not_ignored(&place.0);
    for seed in seeds {
        check(&tree(seed), &listed, seed);
        // The rules above a directory hold in it; but one that is itself ignored may be searched.
        for directory in NAMES.iter().map(|name| tree(seed).join(name)) {
            let prefix = format!("{}/", directory.display());
            if listed.iter().any(|path| path.starts_with(&prefix)) {
                check(&directory, &listed, seed);
            }
        }
    }
}
