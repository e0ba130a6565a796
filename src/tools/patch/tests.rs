use super::{
    Chunk, Deed, EditError, Hunk, Intercepted, Line, PatchCall, PatchError, as_patch, edited, fuzz,
    parse, success_text,
};
use crate::limits::{PATCH_BYTES_MAX, PATCH_HUNKS_MAX};

fn body(lines: &str) -> String {
    format!("*** Begin Patch\n{lines}*** End Patch")
}

#[track_caller]
fn hunks(lines: &str) -> Vec<Hunk> {
    parse(&body(lines)).unwrap().hunks
}

#[track_caller]
fn fails(lines: &str, expected: PatchError) {
    assert_eq!(parse(&body(lines)), Err(expected));
}

#[track_caller]
fn edit(old: &str, changes: &str) -> Result<String, EditError> {
    let hunks = hunks(&format!("*** Update File: f.txt\n{changes}"));
    let [Hunk::Update { path, chunks, .. }] = hunks.as_slice() else { panic!("{hunks:?}") };
    edited(old, chunks, path)
}

#[track_caller]
fn gives(old: &str, changes: &str, expected: &str) {
    assert_eq!(edit(old, changes).as_deref(), Ok(expected));
}

fn keep(text: &str) -> Line {
    Line::Keep(text.to_owned())
}

fn remove(text: &str) -> Line {
    Line::Remove(text.to_owned())
}

fn insert(text: &str) -> Line {
    Line::Insert(text.to_owned())
}

fn add(path: &str, content: &str) -> Hunk {
    Hunk::Add { path: path.to_owned(), content: content.to_owned() }
}

fn update(path: &str, chunks: Vec<Chunk>) -> Hunk {
    Hunk::Update { path: path.to_owned(), move_to: None, chunks }
}

fn chunk(contexts: &[&str], lines: Vec<Line>) -> Chunk {
    let contexts = contexts.iter().map(|&text| text.to_owned()).collect();
    Chunk { contexts, lines, at_end: false }
}

// ---- the grammar ----

#[test]
fn each_kind_of_hunk_is_read() {
    let read = hunks(
        "*** Add File: a/new.txt\n+one\n+\n+ two\n*** Delete File: old.txt\n\
         *** Update File: b.rs\n*** Move to: c.rs\n@@ fn main() {\n keep\n-old\n+new\n\
         *** End of File\n",
    );
    let mut changed = chunk(&["fn main() {"], vec![keep("keep"), remove("old"), insert("new")]);
    changed.at_end = true;
    let moved = Hunk::Update {
        path: "b.rs".to_owned(),
        move_to: Some("c.rs".to_owned()),
        chunks: vec![changed],
    };
    let deleted = Hunk::Delete { path: "old.txt".to_owned() };
    assert_eq!(read, [add("a/new.txt", "one\n\n two\n"), deleted, moved]);
}

#[test]
fn space_around_the_patch_and_its_markers_is_ignored() {
    let text = "\n\n  *** Begin Patch  \n  *** Add File: a b.txt \n+x\n   *** End Patch \n\n";
    assert_eq!(parse(text).unwrap().hunks, [add("a b.txt", "x\n")]);
}

#[test]
fn a_heredoc_around_the_patch_is_removed() {
    let inner = body("*** Add File: a\n+x\n");
    for (first, last) in [("<<EOF", "EOF"), ("<<'EOF' ", " EOF"), ("<<\"EOF\"", "EOF\n")] {
        assert_eq!(parse(&format!("{first}\n{inner}\n{last}")).unwrap().hunks, [add("a", "x\n")]);
    }
    for (first, last) in [("<<'EOF\"", "EOF"), ("<<EOF", "END"), ("<<EOF", "xEOF"), ("<<P", "P")] {
        let text = format!("{first}\n{inner}\n{last}");
        assert_eq!(parse(&text), Err(PatchError::NoBegin), "{text}");
    }
}

#[test]
fn the_first_chunk_may_lack_its_mark() {
    let expected = [update("a", vec![chunk(&[], vec![remove("x"), insert("y")])])];
    assert_eq!(hunks("*** Update File: a\n-x\n+y\n"), expected);
    assert_eq!(hunks("*** Update File: a\n\n@@\n-x\n+y\n"), expected);
}

#[test]
fn a_space_behind_the_mark_names_a_blank_line() {
    let expected = [update("a", vec![chunk(&[""], vec![remove("x")])])];
    assert_eq!(hunks("*** Update File: a\n@@ \n-x\n"), expected);
    gives("x\n\nx\n", "@@ \n-x\n+y\n", "x\n\ny\n");
    assert!(matches!(edit("x\n", "@@ \n-x\n"), Err(EditError::NoContext { .. })));
    let text = "@@\t".to_owned();
    fails("*** Update File: a\n@@\t\n-x\n", PatchError::Unexpected { line: 3, text });
}

#[test]
fn a_path_keeps_the_spaces_before_it() {
    assert_eq!(hunks("*** Add File:  a \n"), [add(" a", "")]);
    let moved = Some(" b".to_owned());
    let moved = Hunk::Update { path: "a".to_owned(), move_to: moved, chunks: vec![] };
    assert_eq!(hunks("*** Update File: a\n*** Move to:  b\n"), [moved]);
}

#[test]
fn later_chunks_need_their_mark() {
    fails(
        "*** Update File: a\n-x\n*** End of File\n-y\n",
        PatchError::Unexpected { line: 5, text: "-y".to_owned() },
    );
}

#[test]
fn an_empty_line_within_a_chunk_is_kept_text() {
    let expected = chunk(&[], vec![remove("x"), keep(""), insert("y")]);
    assert_eq!(hunks("*** Update File: a\n@@\n-x\n\n+y\n"), [update("a", vec![expected])]);
}

#[test]
fn blank_lines_around_chunks_are_skipped() {
    let read = hunks(
        "*** Add File: n\n+n\n*** Update File: a\n\t\n\
         @@\n-x\n*** End of File\n\n@@\n-y\n\t\n\
         *** Delete File: d\n",
    );
    let mut first = chunk(&[], vec![remove("x")]);
    first.at_end = true;
    let second = chunk(&[], vec![remove("y")]);
    let deleted = Hunk::Delete { path: "d".to_owned() };
    assert_eq!(read, [add("n", "n\n"), update("a", vec![first, second]), deleted]);
}

#[test]
fn blank_lines_elsewhere_are_no_headers() {
    let blank = |line| PatchError::Header { line, text: String::new() };
    fails("\n*** Delete File: d\n", blank(2));
    fails("*** Add File: n\n+n\n\n*** Delete File: d\n", blank(4));
    fails("*** Delete File: d\n  \n*** Delete File: e\n", blank(3));
}

#[test]
fn contexts_may_be_nested() {
    let expected = chunk(&["class A", "  def b"], vec![insert("x")]);
    let read = hunks("*** Update File: a\n@@ class A\n@@   def b\n+x\n");
    assert_eq!(read, [update("a", vec![expected])]);
}

#[test]
fn carriage_returns_at_line_ends_are_no_text() {
    let text = body("*** Add File: a\n+x\n*** Update File: b\n@@ c\n-d\n").replace('\n', "\r\n");
    let changed = update("b", vec![chunk(&["c"], vec![remove("d")])]);
    assert_eq!(parse(&text).unwrap().hunks, [add("a", "x\n"), changed]);
}

#[test]
fn a_file_may_be_added_empty_and_moved_unchanged() {
    assert_eq!(hunks("*** Add File: a\n"), [add("a", "")]);
    let moved =
        Hunk::Update { path: "a".to_owned(), move_to: Some("b".to_owned()), chunks: vec![] };
    assert_eq!(hunks("*** Update File: a\n*** Move to: b\n"), [moved]);
}

#[test]
fn markers_are_required() {
    for text in ["", "   ", "x", "*** Begin Patch!\n*** End Patch", "*** End Patch"] {
        assert_eq!(parse(text), Err(PatchError::NoBegin), "{text}");
    }
    for text in ["*** Begin Patch", "*** Begin Patch\n*** Add File: a\n+x", "*** Begin Patch\nx"] {
        assert_eq!(parse(text), Err(PatchError::NoEnd), "{text}");
    }
    fails("", PatchError::NoFiles);
}

#[test]
fn a_bad_header_names_its_line_and_the_valid_ones() {
    let text = "*** Rename File: a".to_owned();
    fails("*** Rename File: a\n", PatchError::Header { line: 2, text: text.clone() });
    fails(
        "*** Add File: a\n+x\n*** Rename File: a\n",
        PatchError::Header { line: 4, text: text.clone() },
    );
    fails("*** Add File: \n", PatchError::Header { line: 2, text: "*** Add File:".to_owned() });
    fails("*** Add File: a\nx\n", PatchError::Header { line: 3, text: "x".to_owned() });
    let told = PatchError::Header { line: 2, text }.to_string();
    for part in
        ["line 2", "*** Rename File: a", "*** Add File: ", "*** Delete File: ", "*** Update File: "]
    {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn an_update_needs_chunks_and_a_chunk_needs_lines() {
    let empty = PatchError::NoChunks { line: 2, path: "a".to_owned() };
    fails("*** Update File: a\n", empty.clone());
    fails("*** Update File: a\n*** Delete File: b\n", empty.clone());
    assert!(empty.to_string().contains("line 2") && empty.to_string().contains("'a'"));
    fails("*** Update File: a\n@@\n", PatchError::NoLines { line: 3 });
    fails("*** Update File: a\n@@ x\n*** End of File\n", PatchError::NoLines { line: 3 });
    fails("*** Update File: a\n@@ x\n@@ y\n*** Delete File: b\n", PatchError::NoLines { line: 4 });
    assert!(PatchError::NoLines { line: 3 }.to_string().contains("line 3"));
}

#[test]
fn an_unexpected_line_is_named() {
    let unexpected = |line, text: &str| PatchError::Unexpected { line, text: text.to_owned() };
    fails("*** Update File: a\nfoo\n", unexpected(3, "foo"));
    fails("*** Update File: a\n@@\nfoo\n", unexpected(4, "foo"));
    fails("*** Update File: a\n@@\n-x\nfoo\n", unexpected(5, "foo"));
    fails("*** Update File: a\n@@\n-x\n@@foo\n", unexpected(5, "@@foo"));
    let told = unexpected(5, "foo").to_string();
    assert!(told.contains("line 5") && told.contains("'foo'"), "{told}");
}

#[test]
fn what_a_message_quotes_is_short() {
    let Err(error) = parse(&body(&format!("{}\n", "é".repeat(10_000)))) else { panic!() };
    assert!(error.to_string().len() < 1000);
}

#[test]
fn too_much_is_refused() {
    assert_eq!(parse(&"x".repeat(PATCH_BYTES_MAX + 1)), Err(PatchError::TooLong));
    let lines = "*** Delete File: a\n".repeat(PATCH_HUNKS_MAX);
    assert_eq!(hunks(&lines).len(), PATCH_HUNKS_MAX);
    fails(&format!("{lines}*** Delete File: a\n"), PatchError::TooManyFiles);
}

// ---- the edit ----

#[test]
fn lines_are_replaced_where_they_stand() {
    gives("a\nb\nc\n", "@@\n a\n-b\n+B\n c\n", "a\nB\nc\n");
    gives("a\nb\nc\n", "@@\n-a\n@@\n-c\n+C\n+D\n", "b\nC\nD\n");
    gives("a\na\n", "@@\n-a\n+1\n@@\n-a\n+2\n", "1\n2\n");
}

#[test]
fn a_context_moves_the_cursor_behind_it() {
    let old = "fn a\n x\nfn b\n x\n";
    gives(old, "@@ fn b\n- x\n+ y\n", "fn a\n x\nfn b\n y\n");
    gives("A\nm\nB\nm\nk\n", "@@ B\n@@ m\n-k\n+K\n", "A\nm\nB\nm\nK\n");
    // The context itself is behind the cursor, so it cannot be part of the change.
    assert!(edit("a\nb\n", "@@ a\n-a\n+A\n").is_err());
}

#[test]
fn a_context_is_sought_loosely_too() {
    gives("    fn b()  \nx\n", "@@ fn b()\n-x\n+y\n", "    fn b()  \ny\n");
}

#[test]
fn pure_insertions_go_to_the_end_before_a_blank_last_line() {
    gives("a\nb\n", "@@\n+c\n", "a\nb\nc\n");
    gives("a\n\n", "@@\n+c\n", "a\nc\n\n");
    gives("a\nb\n", "@@ a\n+c\n", "a\nb\nc\n");
    gives("", "@@\n+c\n", "c\n");
    gives("\n", "@@\n+c\n", "c\n\n");
}

#[test]
fn an_insertion_does_not_move_the_cursor() {
    gives("a\nb\n", "@@\n+end\n@@\n-a\n+A\n", "A\nb\nend\n");
    gives("a\n\n", "@@\n+end\n@@\n-a\n-\n+A\n", "A\nend\n");
    gives("a\n", "@@\n+end\n@@\n a\n+b\n", "a\nb\nend\n");
}

#[test]
fn a_missing_newline_at_the_end_is_added() {
    gives("a\nb", "@@\n-b\n+c\n", "a\nc\n");
    gives("a\nb", "@@\n-a\n+c\n", "c\nb\n");
}

#[test]
fn a_blank_last_line_that_is_not_there_is_forgiven() {
    gives("a\nb\n", "@@\n-b\n+c\n\n", "a\nc\n");
    gives("a\nb\n", "@@\n-b\n-\n+c\n+\n", "a\nc\n");
    gives("a\nb\n", "@@\n-b\n-\n+c\n", "a\nc\n");
    gives("a\nb\n", "@@\n-b\n\n+c\n", "a\n\nc\n");
    assert!(edit("a\n", "@@\n-x\n\n").is_err());
}

#[test]
fn only_a_blank_line_that_is_not_there_means_the_cursor() {
    gives("a\nb\nc\n", "@@ b\n\n+A\n", "a\nb\n\nA\nc\n");
    gives("a\nb\nc\n", "@@ b\n-\n+A\n+\n", "a\nb\nA\nc\n");
    gives("a\nb\n", "@@\n\n+A\n*** End of File\n", "\nA\na\nb\n");
    gives("a\nb\n", "@@\n+c\n\n", "c\na\nb\n");
    gives("a\nb\nc\n", "@@\n-a\n@@\n-\n+A\n@@\n-b\n", "A\nc\n");
    // The end of the file may have been taken by then.
    gives("a\nb\n", "@@ b\n-\n+A\n@@\n-b\n*** End of File\n", "a\nA\n");
}

#[test]
fn the_end_marker_prefers_the_end() {
    let old = "x\ny\nx\ny\n";
    gives(old, "@@\n-x\n+1\n y\n*** End of File\n", "x\ny\n1\ny\n");
    gives(old, "@@\n-x\n+1\n y\n", "1\ny\nx\ny\n");
    gives("x\ny\nz\n", "@@\n-x\n+1\n*** End of File\n", "1\ny\nz\n");
}

#[test]
fn the_end_of_the_file_may_be_its_own_context() {
    gives("x\ny\n", "@@ y\n-y\n+1\n*** End of File\n", "x\n1\n");
    gives("x\ny\n", "@@ y\n x\n-y\n*** End of File\n", "x\n");
    gives("x\ny\n", "@@\n-x\n@@ y\n-y\n+1\n*** End of File\n", "1\n");
    // So may be what an earlier chunk has kept, or looked for.
    gives("a\nb\nc\n", "@@\n a\n-b\n+B\n c\n@@\n c\n+d\n*** End of File\n", "a\nB\nc\nd\n");
    gives("a\nb\nc\n", "@@\n-b\n+B\n@@\n b\n c\n+d\n*** End of File\n", "a\nB\nc\nd\n");
    gives("a\n", "@@\n a\n@@\n a\n+b\n*** End of File\n", "a\nb\n");
    gives("x\na\n", "@@\n-x\n-a\n@@\n a\n\n+x\n*** End of File\n", "\nx\n");
    // What an earlier chunk has replaced is gone.
    let twice = edit("x\ny\n", "@@\n-y\n+1\n@@\n-y\n+2\n*** End of File\n");
    assert!(matches!(twice, Err(EditError::NoLines { .. })), "{twice:?}");
}

#[test]
fn typographic_characters_match_their_plain_ones() {
    gives(
        "import x  # local import \u{2013} avoids top\u{2011}level\n",
        "@@\n-import x  # local import - avoids top-level\n+import x\n",
        "import x\n",
    );
    gives("say(\u{201c}it\u{2019}s\u{201d})\n", "@@\n-say(\"it's\")\n+say()\n", "say()\n");
}

#[test]
fn kept_lines_stay_as_the_file_has_them() {
    gives("a \u{2014} b\n\tx  \ny\n", "@@\n a - b\n x\n-y\n+z\n", "a \u{2014} b\n\tx  \nz\n");
}

#[test]
fn inserted_lines_take_the_line_endings_of_the_file() {
    gives("a\r\nb\r\n", "@@\n a\n-b\n+B\n+C\n", "a\r\nB\r\nC\r\n");
    gives("a\r\n\r\n", "@@\n+c\n", "a\r\nc\r\n\r\n");
    gives("a\nb\r\nc\n", "@@\n-c\n+d\n", "a\nb\r\nd\n");
}

#[test]
fn removing_all_leaves_an_empty_file() {
    gives("a\n", "@@\n-a\n", "");
    gives("a", "@@\n-a\n", "");
}

#[test]
fn errors_name_the_file_and_what_was_expected() {
    let error = edit("a\n", "@@ fn gone()\n-a\n").unwrap_err();
    let expected =
        EditError::NoContext { path: "f.txt".to_owned(), context: "fn gone()".to_owned() };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("f.txt") && error.to_string().contains("fn gone()"));
    let error = edit("a\n", "@@\n b\n-c\n+d\n").unwrap_err();
    let expected = EditError::NoLines { path: "f.txt".to_owned(), expected: "b\nc".to_owned() };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("f.txt") && error.to_string().contains("b\nc"));
}

#[test]
fn chunks_must_come_in_order() {
    assert!(edit("a\nb\n", "@@\n-b\n@@\n-a\n").is_err());
}

#[test]
fn a_hostile_patch_runs_out_of_budget() {
    let old = "a ".repeat(50).trim_end().to_owned() + "\n";
    let old = old.repeat(20_000);
    assert!(matches!(edit(&old, "@@\n-zzz\n+y\n"), Err(EditError::NoLines { .. })));
    let line = format!("@@\n-{}\n", " a".repeat(50).trim_end());
    let changes = format!("{}@@\n-zzz\n", line.repeat(200));
    assert!(matches!(edit(&old, &changes), Err(EditError::TooCostly { .. })));
}

// ---- where Codex does otherwise, and why we do not ----

// It takes the end marker for a demand. We read it as a wish: the lines decide where they fit.
#[test]
fn an_end_marker_that_is_wrong_is_forgiven() {
    gives("x\ny\nz\n", "@@\n-x\n+1\n@@\n-y\n+2\n*** End of File\n", "1\n2\nz\n");
    gives("x\n\n", "@@\n-x\n+1\n*** End of File\n", "1\n\n");
}

// It knows one context a chunk, and no update without a chunk; the grammar that models are given
// allows both.
#[test]
fn what_the_grammar_allows_is_applied() {
    gives("a\nb\nc\nb\nc\n", "@@ c\n@@ b\n-c\n+C\n", "a\nb\nc\nb\nC\n");
    gives("a\nb\n", "@@ a\n@@\n-b\n", "a\n");
    let hunks = hunks("*** Update File: a\n*** Move to: b\n");
    assert!(matches!(hunks.as_slice(), [Hunk::Update { move_to: Some(_), .. }]), "{hunks:?}");
}

// It refuses spaces before a begin or end marker and behind an end of file, and makes them part of
// what follows `*** Move to:`.
#[test]
fn spaces_around_any_marker_are_ignored() {
    let text = " *** Begin Patch \n *** Update File: a \n *** Move to: b \n@@\n-x\n\
                *** End of File \n *** End Patch";
    let mut only = chunk(&[], vec![remove("x")]);
    only.at_end = true;
    let moved =
        Hunk::Update { path: "a".to_owned(), move_to: Some("b".to_owned()), chunks: vec![only] };
    assert_eq!(parse(text).map(|patch| patch.hunks), Ok(vec![moved]));
}

// It writes kept lines as the patch has them, and so changes spaces, quotes and line endings that
// no one asked to change; and it drops one blank line at the end of every file it changes.
#[test]
fn what_a_patch_does_not_change_stays() {
    gives("a  \r\nb\r\n", "@@\n a\n-b\n+B\n", "a  \r\nB\r\n");
    gives("\u{201c}a\u{201d}\nb\n", "@@\n \"a\"\n-b\n", "\u{201c}a\u{201d}\n");
    gives("a\nb\n\n", "@@\n-a\n", "b\n\n");
    gives("a\n\n\n", "@@\n+b\n", "a\n\nb\n\n");
    gives("a\r\n\r\n", "@@\n+b\n", "a\r\nb\r\n\r\n");
    gives("", "@@\n+\n", "\n");
}

// It loses one of two changes that meet in the same lines.
#[test]
fn no_insertion_is_lost_and_no_line_changed_twice() {
    gives("\n", "@@\n-\n@@\n+q\n", "q\n");
    gives("a\n\n", "@@\n-a\n-\n+X\n@@\n+end\n", "X\nend\n");
    let twice = edit("a\n\n", "@@\n a\n-\n@@\n \n-\n*** End of File\n");
    assert!(matches!(twice, Err(EditError::NoLines { .. })), "{twice:?}");
}

// ---- the doors ----

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[track_caller]
fn intercepts(argv: &[&str], body: &str, workdir: Option<&str>) {
    let (body, workdir) = (body.to_owned(), workdir.map(str::to_owned));
    let expected = Intercepted::Patch(PatchCall { body, workdir });
    assert_eq!(as_patch(&words(argv)), Some(expected));
}

#[test]
fn the_plain_forms_are_intercepted() {
    intercepts(&["apply_patch", "P"], "P", None);
    intercepts(&["applypatch", "P"], "P", None);
    for argv in [&["apply_patch"][..], &["apply_patch", "a", "b"], &["echo", "P"], &[]] {
        assert_eq!(as_patch(&words(argv)), None, "{argv:?}");
    }
}

#[test]
fn one_heredoc_statement_is_intercepted() {
    let body = "*** Begin Patch\n*** End Patch\n";
    for tag in ["EOF", "'EOF'", "\"EOF\"", " 'EOF'"] {
        let script = format!("apply_patch <<{tag}\n{body}EOF");
        for shell in ["bash", "zsh", "sh", "/bin/bash"] {
            intercepts(&[shell, "-lc", &script], body, None);
            intercepts(&[shell, "-c", &script], body, None);
        }
    }
    intercepts(&["bash", "-lc", &format!("\n applypatch<<'P_1'\n{body}P_1\n\n")], body, None);
}

#[test]
fn a_leading_cd_becomes_the_workdir() {
    for (cd, directory) in [("a/b", "a/b"), ("'a $b'", "a $b"), ("\"a b\"", "a b"), ("..", "..")] {
        let script = format!("cd {cd} && apply_patch <<'E'\nx\nE\n");
        intercepts(&["bash", "-lc", &script], "x\n", Some(directory));
    }
    intercepts(&["bash", "-lc", "cd a&&\napply_patch <<E\nx\nE"], "x\n", Some("a"));
}

#[test]
fn anything_more_than_one_statement_is_a_command() {
    for script in [
        "apply_patch <<'E'\nx\nE\nls",
        "apply_patch <<'E'\nx\n",
        "apply_patch <<'E' && ls\nx\nE",
        "apply_patch <<-E\nx\nE",
        "apply_patch <<'E\nx\nE",
        "apply_patch <<'E' > out\nx\nE",
        "apply_patch x <<'E'\nx\nE",
        "ls && apply_patch <<'E'\nx\nE",
        "cd a; apply_patch <<'E'\nx\nE",
        "cd a b && apply_patch <<'E'\nx\nE",
        "cd $a && apply_patch <<'E'\nx\nE",
        "cd \"$a\" && apply_patch <<'E'\nx\nE",
        "cd ~ && apply_patch <<'E'\nx\nE",
        "cd - && apply_patch <<'E'\nx\nE",
        "cd '' && apply_patch <<'E'\nx\nE",
        "cd a || apply_patch <<'E'\nx\nE",
        "echo apply_patch",
        "",
    ] {
        assert_eq!(as_patch(&words(&["bash", "-lc", script])), None, "{script}");
    }
    assert_eq!(as_patch(&words(&["fish", "-c", "apply_patch <<'E'\nx\nE"])), None);
    assert_eq!(as_patch(&words(&["bash", "-x", "apply_patch <<'E'\nx\nE"])), None);
}

#[test]
fn a_bare_body_is_told_apart() {
    let text = body("*** Add File: a\n+x\n");
    assert_eq!(as_patch(std::slice::from_ref(&text)), Some(Intercepted::Bare));
    assert_eq!(as_patch(&words(&["bash", "-lc", &text])), Some(Intercepted::Bare));
}

#[test]
fn success_groups_paths_by_what_happened() {
    let deeds = [
        (Deed::Deleted, "d".to_owned()),
        (Deed::Modified, "m".to_owned()),
        (Deed::Added, "a/b".to_owned()),
        (Deed::Modified, "m".to_owned()),
        (Deed::Added, "c".to_owned()),
    ];
    let text = success_text(&deeds);
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.starts_with("Success"));
    assert_eq!(rest, "A a/b\nA c\nM m\nM m\nD d\n");
}

#[test]
fn the_fuzz_corpus_passes() {
    for text in [
        "",
        "\u{1}",
        "a\n\n\u{1}*** Begin Patch\n*** Update File: f\n@@\n+e\n@@\n-a\n-\n+A\n*** End Patch",
        "\u{1}*** Begin Patch\n*** Update File: f\n@@\n-\n\n+\n*** End of File\n*** End Patch",
        "\u{1}<<E\nE",
        "\u{1}cd '",
        "\u{1}cd é && apply_patch <<\"",
    ] {
        fuzz(text.as_bytes());
    }
    fuzz(&[0xff, 1, 0xc3, 0x28]);
}
