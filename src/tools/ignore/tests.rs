//! Rules and paths by tables; against git itself where there is one in `tests/ignored_by_git.rs`.

use super::*;

/// Paths that end with a slash are directories.
fn check(rules: &str, ignored: &[&str], not_ignored: &[&str]) {
    let ignores = Ignores::parse(rules.as_bytes());
    let is_ignored = |path: &&str| {
        let bare = path.strip_suffix('/').unwrap_or(path);
        ignores.judge(bare.as_bytes(), bare != *path) == Some(Verdict::Ignored)
    };
    for path in ignored {
        assert!(is_ignored(path), "{rules:?} must ignore {path}");
    }
    for path in not_ignored {
        assert!(!is_ignored(path), "{rules:?} must not ignore {path}");
    }
}

#[test]
fn a_name_fits_in_any_directory() {
    check("a", &["a", "a/", "x/a", "x/y/a"], &["b", "ab", "x/ab", "a/b"]);
    check("*.o", &["a.o", ".o", "x/a.o"], &["a.c", "a.o/x"]);
    check("a*b?", &["abc", "axxbc", "x/abc"], &["ab", "axxb", "a/bc"]);
}

#[test]
fn a_slash_ties_a_rule_to_its_place() {
    check("/a", &["a", "a/"], &["x/a"]);
    check("x/a", &["x/a"], &["a", "y/x/a", "x/a/b"]);
    check("x/*.c", &["x/a.c"], &["x/y/a.c", "a.c"]);
}

#[test]
fn a_slash_at_the_end_is_for_directories() {
    check("a/", &["a/", "x/a/"], &["a", "x/a"]);
    check("/a/", &["a/"], &["a", "x/a/"]);
    check("x/a/", &["x/a/"], &["x/a", "y/x/a/"]);
    check("/", &[], &["a/", "a"]);
}

#[test]
fn the_last_rule_that_fits_counts() {
    check("*.o\n!keep.o", &["a.o"], &["keep.o", "x/keep.o"]);
    check("!a\na", &["a"], &[]);
    let kept = Ignores::parse(b"a\n!a").judge(b"a", false);
    assert_eq!(kept, Some(Verdict::Kept));
    assert_eq!(Ignores::parse(b"a").judge(b"b", false), None);
}

#[test]
fn two_stars_pass_slashes() {
    check("**/a", &["a", "x/a", "x/y/a"], &["xa", "a/b"]);
    check("a/**", &["a/b", "a/b/c"], &["a", "a/", "x/a/b"]);
    check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb", "a/b/c"]);
    check("a/**/**/b", &["a/b", "a/x/y/z/b"], &["a/"]);
    check("**", &["a", "x/a"], &[]);
    check("/**", &["a", "x/a"], &[]);
    check("**/x/**", &["x/a", "y/x/a/b"], &["x", "y/x"]);
    check("***/a", &["a", "x/a"], &[]);
    check("a**b", &["ab", "axb"], &["a/b"]);
    check("x/a**b", &["x/axb"], &["x/a/b"]);
}

#[test]
fn sets_are_as_in_shells() {
    check("[abc]", &["a", "c"], &["d", "ab"]);
    check("[a-c]x", &["ax", "bx"], &["dx", "-x"]);
    check("[!a-c]x", &["dx"], &["ax"]);
    check("[^a]", &["b"], &["a"]);
    check("[]a]", &["]", "a"], &["b"]);
    check("[!]]", &["a"], &["]"]);
    check("[a-]", &["a", "-"], &["b"]);
    check("[-a]", &["a", "-"], &["b"]);
    check("[\\]]", &["]"], &["\\"]);
    check("[[:digit:]_]", &["1", "_"], &["a", ":"]);
    check("[[:none:]]", &[], &["n", ":"]);
    check("[[:]", &["[", ":"], &["a"]);
    check("x[!a]y", &["xby"], &["x/y"]);
    check("a/x[/]y", &[], &["a/x/y"]);
    check("[a", &[], &["a", "[a"]);
}

#[test]
fn a_backslash_takes_the_next_byte_as_it_is() {
    check("\\#a", &["#a"], &["a"]);
    check("\\!a", &["!a"], &["a"]);
    check("a\\*", &["a*"], &["ab"]);
    check("a\\\\", &["a\\"], &["a"]);
    check("a\\", &[], &["a", "a\\"]);
    check("\\a", &["a"], &[]);
}

#[test]
fn lines_are_read_as_git_reads_them() {
    check("# a\n\n  \n#b", &[], &["a", "# a", "#b", " "]);
    check("a  \nb\\ \nc\t", &["a", "b ", "c\t"], &["b", "c", "a  "]);
    check("a\r\nb\r", &["a", "b"], &["a\r"]);
    check("\u{feff}a", &["a"], &["\u{feff}a"]);
    check("a b", &["a b"], &["a"]);
    check("ä?", &["äb"], &["ä", "ab"]);
    let junk = Ignores::parse(b"\xff*\n\n!\n/\n//\n!/\n\\");
    assert_eq!(junk.judge(b"\xffx", false), Some(Verdict::Ignored));
    assert_eq!(junk.judge(b"x", true), None);
    assert!(Ignores::parse(b"\n#\n").is_empty());
}

#[test]
fn patterns_and_rules_are_bounded() {
    let long = "a".repeat(GLOB_BYTES_MAX);
    check(&long, &[&long], &[]);
    let longer = "a".repeat(GLOB_BYTES_MAX + 1);
    check(&longer, &[], &[&longer]);
    let rules = Ignores::parse("a\n".repeat(IGNORE_RULES_MAX + 1).as_bytes());
    assert_eq!(rules.rules.len(), IGNORE_RULES_MAX);
}

#[test]
fn many_stars_take_no_time() {
    let rules = "*a".repeat(GLOB_BYTES_MAX / 2);
    check(&rules, &[], &[&"a".repeat(500), &"ab".repeat(500)]);
    let rules = "**/".repeat(GLOB_BYTES_MAX / 3) + "b";
    check(&rules, &["b"], &[&("a/".repeat(500) + "c")]);
}

#[test]
fn braces_stand_for_alternatives() {
    let check = |pattern: &str, expected: &[&str]| {
        let mut found = alternatives(pattern).unwrap();
        found.sort();
        assert_eq!(found, expected, "{pattern}");
    };
    check("*.rs", &["*.rs"]);
    check("*.{ts,tsx}", &["*.ts", "*.tsx"]);
    check("{a,b}/{c,d}", &["a/c", "a/d", "b/c", "b/d"]);
    check("{a,b{c,d}}", &["a", "bc", "bd"]);
    check("a{b}", &["ab"]);
    check("a{,b}", &["a", "ab"]);
    check("{a", &["{a"]);
    check("a}{b,c}", &["a}b", "a}c"]);
    check("\\{a,b}", &["\\{a,b}"]);
    assert_eq!(alternatives(&"{a,b}".repeat(20)), None);
}
