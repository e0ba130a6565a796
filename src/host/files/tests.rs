use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{children, patch_door, run};
use crate::limits::{
    CHANGE_TEXT_BYTES_MAX, FILES_REQUEST_BYTES_MAX, LISTING_WANTED_MAX, PATCH_FILE_BYTES_MAX,
    PATCH_FILES_BYTES_MAX, SEARCH_TEXT_BYTES_MAX, VIEWED_IMAGE_BYTES_MAX,
};

/// A directory of its own that goes away with the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass-files-{}-{number}", std::process::id());
        let path = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(relative).parent().unwrap()).unwrap();
        fs::write(self.path(relative), text).unwrap();
    }

    #[track_caller]
    fn holds(&self, relative: &str, text: &str) {
        assert_eq!(fs::read_to_string(self.path(relative)).unwrap(), text);
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn patch(&self, op: &str, lines: &str, expect: Value) -> Value {
        let patch = format!("*** Begin Patch\n{lines}*** End Patch\n");
        ask(&json!({ "op": op, "cwd": self.0, "patch": patch, "expect": expect }))
    }

    fn inspect(&self, lines: &str) -> Value {
        self.patch("inspect_patch", lines, Value::Null)
    }

    #[track_caller]
    fn applies(&self, lines: &str, told: &str) {
        let inspected = self.inspect(lines);
        assert!(inspected["error"].is_null(), "{inspected}");
        let reply = self.patch("apply_patch", lines, inspected["ok"]["expect"].clone());
        let stdout = reply["ok"]["stdout"].as_str().unwrap_or_else(|| panic!("{reply}"));
        assert_eq!(stdout.split_once('\n').unwrap().1, told, "{reply}");
        assert_eq!(reply["ok"]["exit_code"], 0);
    }

    /// Neither inspected nor applied; the message holds `part`, and nothing has changed.
    #[track_caller]
    fn refuses(&self, lines: &str, part: &str) {
        let names = self.names();
        for op in ["inspect_patch", "apply_patch"] {
            let reply = self.patch(op, lines, Value::Null);
            let error = reply["error"].as_str().unwrap_or_else(|| panic!("{reply}"));
            // Whoever asked for an inspection adds the words itself.
            let words = error.starts_with("apply_patch verification failed: ");
            assert_eq!(words, op == "apply_patch", "{error}");
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(self.names(), names);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Best effort: a test that failed may have left anything.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ask(request: &Value) -> Value {
    serde_json::from_slice(&run(request.to_string().as_bytes())).unwrap()
}

fn tool(op: &str, arguments: &Value) -> Value {
    ask(&json!({ "op": op, "arguments": arguments.to_string() }))
}

#[track_caller]
fn fails(reply: &Value, part: &str) {
    let error = reply["error"].as_str().unwrap_or_else(|| panic!("{reply}"));
    assert!(error.contains(part), "{error}");
}

fn fifo(path: &Path) {
    let status = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(status.success());
}

// ---- reading ----

#[test]
fn a_file_is_read_in_slices() {
    let place = Place::new();
    place.write("a.txt", "one\ntwo\nthree\n");
    let path = place.path("a.txt");
    let reply = tool("read_file", &json!({ "file_path": path, "offset": 2, "limit": 1 }));
    assert_eq!(reply, json!({ "ok": "L2: two" }));
    let indentation = json!({ "anchor_line": 2 });
    let block = json!({ "file_path": path, "mode": "indentation", "indentation": indentation });
    assert_eq!(tool("read_file", &block), json!({ "ok": "L2: two" }));
    fails(&tool("read_file", &json!({ "file_path": path, "offset": 4 })), "3 lines");
}

#[test]
fn what_is_no_file_is_not_read() {
    let place = Place::new();
    let read = |path: &str| tool("read_file", &json!({ "file_path": place.path(path) }));
    fails(&read("missing"), "No such file");
    fails(&read("."), "directory");
    fifo(&place.path("fifo"));
    fails(&read("fifo"), "not a regular file");
    symlink("fifo", place.path("link")).unwrap();
    fails(&read("link"), "not a regular file");
    fails(&tool("read_file", &json!({ "file_path": "/dev/zero" })), "not a regular file");
    fails(&tool("read_file", &json!({ "file_path": "a" })), "absolute");
    fails(&tool("read_file", &json!({ "file_path": "/a\u{0}b" })), "failed to read");
    fails(&tool("read_file", &json!({})), "failed to parse function arguments");
}

#[test]
fn links_are_followed() {
    let place = Place::new();
    place.write("a", "x\n");
    symlink("a", place.path("link")).unwrap();
    let reply = tool("read_file", &json!({ "file_path": place.path("link") }));
    assert_eq!(reply, json!({ "ok": "L1: x" }));
}

#[test]
fn a_directory_is_listed() {
    let place = Place::new();
    place.write("b/x", "");
    place.write(".a", "");
    symlink("b", place.path("c")).unwrap();
    fifo(&place.path("d"));
    let reply = tool("list_dir", &json!({ "dir_path": place.0 }));
    let expected = format!("Absolute path: {}\n.a\nb/\n  x\nc@\nd?", place.0.display());
    assert_eq!(reply, json!({ "ok": expected }));
    fails(&tool("list_dir", &json!({ "dir_path": place.path("no") })), "No such file");
    fails(&tool("list_dir", &json!({ "dir_path": place.path(".a") })), "failed to read directory");
    fails(&tool("list_dir", &json!({ "dir_path": "." })), "absolute");
    let far = json!({ "dir_path": place.0, "offset": LISTING_WANTED_MAX });
    fails(&tool("list_dir", &far), "must be below");
}

#[test]
fn a_crowded_directory_keeps_its_first_names() {
    let place = Place::new();
    for number in 0..1500 {
        place.write(&format!("{number:04}"), "");
    }
    let mut found = children(&place.0, 3).unwrap();
    assert!(found.len() < 1024);
    found.sort_by(|left, right| left.0.cmp(&right.0));
    let first: Vec<&str> = found.iter().take(3).map(|(name, _)| name.as_str()).collect();
    assert_eq!(first, ["0000", "0001", "0002"]);
}

// ---- searching ----

impl Place {
    /// The paths found from here, without the way here.
    fn grep(&self, arguments: Value) -> String {
        let request =
            json!({ "op": "grep_files", "cwd": self.0, "arguments": arguments.to_string() });
        let reply = ask(&request);
        let text = reply["ok"].as_str().unwrap_or_else(|| panic!("{reply}"));
        text.replace(&format!("{}/", self.0.display()), "")
    }

    fn age(&self, relative: &str, seconds: u64) {
        let file = fs::File::options().write(true).open(self.path(relative)).unwrap();
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 - seconds);
        file.set_modified(moment).unwrap();
    }
}

#[test]
fn a_search_finds_the_newest_first() {
    let place = Place::new();
    for (name, age) in [("old.rs", 9), ("new.rs", 1), ("sub/middle.rs", 5), ("other.rs", 0)] {
        place.write(name, if age > 0 { "fn needle() {}\n" } else { "hay" });
        place.age(name, age);
    }
    let all = "new.rs\nsub/middle.rs\nold.rs";
    assert_eq!(place.grep(json!({ "pattern": "needle" })), all);
    assert_eq!(place.grep(json!({ "pattern": r"fn \w+\(" })), all);
    assert_eq!(place.grep(json!({ "pattern": "needle", "limit": 2 })), "new.rs\nsub/middle.rs");
    assert_eq!(place.grep(json!({ "pattern": "needle", "path": "sub" })), "sub/middle.rs");
    assert_eq!(place.grep(json!({ "pattern": "needle", "path": "./sub/." })), "sub/middle.rs");
    assert_eq!(place.grep(json!({ "pattern": "needle", "path": place.path("old.rs") })), "old.rs");
    let include = json!({ "pattern": "needle", "include": "{new,old}.*" });
    assert_eq!(place.grep(include), "new.rs\nold.rs");
    let below = json!({ "pattern": "needle", "include": "sub/*.rs" });
    assert_eq!(place.grep(below), "sub/middle.rs");
    assert_eq!(place.grep(json!({ "pattern": "nothing" })), "No matches found.");
}

#[test]
fn a_search_passes_over_what_is_no_source() {
    let place = Place::new();
    for name in [".hidden", ".dir/a", "ignored/a", "sub/ignored/a", "kept/b.o", "kept/keep.o"] {
        place.write(name, "needle");
    }
    place.write("plain", "needle");
    place.write("binary", b"needle\0");
    place.write(".gitignore", "ignored/\n*.o\n");
    place.write("kept/.gitignore", "!keep.o\n");
    place.write("other/.ignore", "a\n");
    place.write("other/a", "needle");
    symlink(place.path("plain"), place.path("link")).unwrap();
    symlink(place.path("."), place.path("loop")).unwrap();
    fifo(&place.path("fifo"));
    let mut found: Vec<String> =
        place.grep(json!({ "pattern": "needle" })).lines().map(String::from).collect();
    found.sort();
    assert_eq!(found, ["kept/keep.o", "plain"]);
    // What is asked for by its name is searched.
    assert_eq!(place.grep(json!({ "pattern": "needle", "path": "ignored" })), "ignored/a");
    assert_eq!(place.grep(json!({ "pattern": "needle", "path": ".hidden" })), ".hidden");
}

#[test]
fn rules_above_count_up_to_the_repository() {
    let place = Place::new();
    for name in ["repo/sub/a.o", "repo/sub/a.log", "repo/sub/a.tmp", "repo/sub/a"] {
        place.write(name, "needle");
    }
    place.write(".gitignore", "a\n");
    place.write("repo/.gitignore", "*.o\n");
    let search = || place.grep(json!({ "pattern": "needle", "path": "repo/sub", "include": "a*" }));
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        lines.sort();
        lines.join(" ")
    };
    assert_eq!(sorted(search()).split(' ').count(), 4, "without a repository nothing above counts");
    place.write("repo/.git/info/exclude", "*.log\n");
    assert_eq!(sorted(search()), "repo/sub/a repo/sub/a.tmp");
    place.write("repo/sub/.gitignore", "!a.o\n*.tmp");
    assert_eq!(sorted(search()), "repo/sub/a repo/sub/a.o");
}

#[test]
fn a_search_that_makes_no_sense_is_refused() {
    let place = Place::new();
    let refused = |arguments: Value, part: &str| {
        let arguments = arguments.to_string();
        fails(&ask(&json!({ "op": "grep_files", "cwd": place.0, "arguments": arguments })), part);
    };
    refused(json!({}), "missing field `pattern`");
    refused(json!({ "pattern": "" }), "must not be empty");
    refused(json!({ "pattern": "(" }), "not a regular expression");
    refused(json!({ "pattern": "a", "limit": 0 }), "greater than zero");
    refused(json!({ "pattern": "a", "path": "missing" }), "No such file");
    fifo(&place.path("fifo"));
    refused(json!({ "pattern": "a", "path": "fifo" }), "not a regular file");
    fails(&tool("grep_files", &json!({ "pattern": "a" })), "not absolute");
}

#[test]
fn a_list_that_is_too_long_ends_with_a_whole_path() {
    let place = Place::new();
    let long = "x".repeat(200);
    for number in 0..SEARCH_TEXT_BYTES_MAX / 200 {
        place.write(&format!("{long}{number}"), "needle");
    }
    let text = place.grep(json!({ "pattern": "needle", "limit": 2000 }));
    assert!(text.len() < SEARCH_TEXT_BYTES_MAX);
    let (last, rest) = text
        .lines()
        .rev()
        .collect::<Vec<_>>()
        .split_first()
        .map(|(last, rest)| (*last, rest.len()))
        .unwrap();
    assert!(last.starts_with("[the list is too long"), "{last}");
    assert!(text.lines().take(rest).all(|line| line.starts_with(&long)));
}

// ---- images ----

#[test]
fn an_image_becomes_a_url() {
    let place = Place::new();
    place.write("a.png", b"\x89PNG\r\n");
    place.write("dir/b", b"GIF89a");
    let view = |path: &str| {
        let arguments = json!({ "path": path }).to_string();
        ask(&json!({ "op": "view_image", "cwd": place.0, "arguments": arguments }))
    };
    let png = json!({ "ok": { "image": "data:image/png;base64,iVBORw0K" } });
    assert_eq!(view("a.png"), png);
    assert_eq!(view(place.path("a.png").to_str().unwrap()), png);
    assert_eq!(view("dir/b"), json!({ "ok": { "image": "data:image/gif;base64,R0lGODlh" } }));
    place.write("text", "text");
    fails(&view("text"), "not a PNG, JPEG, GIF or WebP image");
    fails(&view("gone"), "there is no such file");
    fails(&view("dir"), "directory");
    fifo(&place.path("fifo"));
    fails(&view("fifo"), "not a regular file");
    fails(&tool("view_image", &json!({})), "missing field `path`");
}

#[test]
fn an_image_is_bounded_and_fits_a_reply() {
    let place = Place::new();
    let mut bytes = b"\xff\xd8\xff".to_vec();
    bytes.resize(VIEWED_IMAGE_BYTES_MAX, 0);
    place.write("most", &bytes);
    bytes.push(0);
    place.write("more", &bytes);
    let view = |path: &str| tool("view_image", &json!({ "path": place.path(path) }));
    let reply = view("most");
    let url = reply["ok"]["image"].as_str().unwrap_or_else(|| panic!("{:.80}", reply.to_string()));
    let encoded = VIEWED_IMAGE_BYTES_MAX.div_ceil(3) * 4;
    assert_eq!(url.len(), "data:image/jpeg;base64,".len() + encoded);
    fails(&view("more"), "scale it down");
}

// ---- patching ----

#[test]
fn a_patch_is_inspected_without_writing() {
    let place = Place::new();
    place.write("b.txt", "1\n2\n3\n4\n");
    place.write("d.txt", "gone\n");
    let reply = place.inspect(
        "*** Add File: new/a.txt\n+x\n*** Update File: b.txt\n*** Move to: c.txt\n@@\n-2\n+two\n\
         *** Delete File: d.txt\n",
    );
    let changes = reply["ok"]["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[0]["kind"], "add");
    assert_eq!(changes[0]["path"], json!(place.path("new/a.txt")));
    assert_eq!(changes[0]["relative"], "new/a.txt");
    assert_eq!(changes[0]["content"], "x\n");
    assert_eq!(changes[0]["before"], Value::Null);
    assert_eq!(changes[1]["kind"], "update");
    assert_eq!(changes[1]["move_path"], json!(place.path("c.txt")));
    assert_eq!(changes[1]["unified_diff"], "@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n");
    assert_eq!(changes[2]["kind"], "delete");
    assert_eq!(changes[2]["content"], "gone\n");
    let hash = changes[2]["before"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    assert_eq!(reply["ok"]["expect"].as_array().unwrap().len(), 4);
    assert_eq!(place.names(), ["b.txt", "d.txt"]);
}

#[test]
fn hashes_are_sha_256() {
    let place = Place::new();
    place.write("a", "abc");
    let reply = place.inspect("*** Delete File: a\n");
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(reply["ok"]["changes"][0]["before"], expected);
}

#[test]
fn a_patch_is_applied() {
    let place = Place::new();
    place.write("b.txt", "1\n2\n");
    place.write("d.txt", "gone\n");
    place.write("m.txt", "m\n");
    place.write("old.txt", "old\n");
    place.applies(
        "*** Delete File: d.txt\n*** Update File: b.txt\n@@\n-2\n+two\n\
         *** Add File: new/deep/a\n+x\n\
         *** Update File: m.txt\n*** Move to: moved/m.txt\n@@\n-m\n+M\n\
         *** Add File: old.txt\n+new\n",
        "A new/deep/a\nA old.txt\nM b.txt\nM moved/m.txt\nD d.txt\n",
    );
    place.holds("b.txt", "1\ntwo\n");
    place.holds("new/deep/a", "x\n");
    place.holds("moved/m.txt", "M\n");
    place.holds("old.txt", "new\n");
    assert_eq!(place.names(), ["b.txt", "moved", "new", "old.txt"]);
}

#[test]
fn later_hunks_see_what_earlier_ones_did() {
    let place = Place::new();
    place.write("a", "1\n2\n");
    let lines = "*** Update File: a\n@@\n-1\n+one\n*** Update File: ./a\n@@\n-2\n+two\n\
                 *** Add File: b\n+x\n*** Update File: b\n@@\n-x\n+y\n";
    let changes = place.inspect(lines)["ok"]["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 2);
    assert_eq!(changes[0]["unified_diff"], "@@ -1,2 +1,2 @@\n-1\n-2\n+one\n+two\n");
    assert_eq!((&changes[1]["kind"], &changes[1]["content"]), (&json!("add"), &json!("y\n")));
    place.applies(lines, "A b\nM a\nM ./a\nM b\n");
    place.holds("a", "one\ntwo\n");
    place.holds("b", "y\n");
    place.refuses("*** Delete File: a\n*** Update File: a\n@@\n-one\n+1\n", "no such file");
    place.holds("a", "one\ntwo\n");
    place.applies("*** Update File: a\n*** Move to: c\n*** Add File: a\n+new\n", "A a\nM c\n");
    place.holds("a", "new\n");
    place.holds("c", "one\ntwo\n");
}

#[test]
fn each_hunk_is_told_in_its_place() {
    let place = Place::new();
    place.write("a", "1\n2\n");
    place.write("b", "1\n");
    place.applies(
        "*** Update File: a\n@@\n-1\n*** Update File: b\n@@\n-1\n*** Update File: a\n@@\n-2\n\
         *** Add File: c\n*** Add File: c\n+x\n",
        "A c\nA c\nM a\nM b\nM a\n",
    );
    place.holds("c", "x\n");
}

// Where Codex leaves nothing of the file.
#[test]
fn a_file_moved_onto_itself_stays() {
    let place = Place::new();
    place.write("a", "1\n");
    place.applies("*** Update File: a\n*** Move to: ./a\n@@\n-1\n+2\n", "M ./a\n");
    place.holds("a", "2\n");
}

#[test]
fn one_hunk_that_does_not_fit_keeps_all_from_being_written() {
    let place = Place::new();
    place.write("b", "1\n");
    place.refuses("*** Add File: a\n+x\n*** Update File: b\n@@\n-2\n+3\n", "not found in b");
    place.refuses("*** Add File: a\n+x\n*** Update File: c\n@@\n-2\n", "no such file");
    place.refuses("*** Add File: a\n+x\n*** Delete File: c\n", "no such file");
    place.holds("b", "1\n");
}

#[test]
fn what_is_no_text_file_is_not_patched() {
    let place = Place::new();
    place.write("dir/x", "");
    place.write("raw", b"\xff\n");
    fifo(&place.path("fifo"));
    place.refuses("*** Update File: dir\n@@\n-x\n", "directory");
    place.refuses("*** Add File: dir\n+x\n", "directory");
    place.refuses("*** Delete File: dir\n", "directory");
    place.refuses("*** Update File: fifo\n@@\n-x\n", "not a regular file");
    place.refuses("*** Add File: fifo\n+x\n", "not a regular file");
    place.refuses("*** Delete File: fifo\n", "not a regular file");
    place.refuses("*** Add File: raw/below\n+x\n", "cannot read");
    place.refuses("*** Update File: raw\n@@\n-x\n", "not UTF-8");
    place.refuses("*** Add File: a\u{0}b\n+x\n", "not the path of a file");
    place.refuses("*** Add File: ..//..//../../../../../..\n+x\n", "not the path of a file");
    place.refuses("", "empty");
    place.applies("*** Update File: raw\n*** Move to: raw2\n", "M raw2\n");
    place.applies("*** Delete File: raw2\n", "D raw2\n");
}

#[test]
fn paths_are_taken_by_their_text() {
    let place = Place::new();
    fs::create_dir_all(place.path("in/other")).unwrap();
    symlink("/", place.path("in/link")).unwrap();
    let absolute = place.path("abs");
    place.applies(
        &format!("*** Add File: in/link/../a\n+x\n*** Add File: {}\n+y\n", absolute.display()),
        &format!("A in/link/../a\nA {}\n", absolute.display()),
    );
    place.holds("in/a", "x\n");
    place.holds("abs", "y\n");
    let reply = place.inspect("*** Add File: ../../up\n+x\n");
    let up = place.0.parent().unwrap().parent().unwrap().join("up");
    assert_eq!(reply["ok"]["changes"][0]["path"], json!(up));
}

#[test]
fn a_change_in_between_stops_the_patch() {
    let place = Place::new();
    place.write("a", "1\n2\n");
    place.write("c", "");
    let lines = "*** Update File: a\n*** Move to: c\n@@\n-1\n+one\n*** Add File: new\n+x\n";
    let expect = place.inspect(lines)["ok"]["expect"].clone();
    let stopped = |place: &Place, expect: &Value| {
        let reply = place.patch("apply_patch", lines, expect.clone());
        fails(&reply, "has changed since");
        assert!(!place.path("new").exists() || fs::read(place.path("new")).unwrap() == b"other");
    };
    place.write("a", "1\n3\n");
    stopped(&place, &expect);
    place.write("a", "1\n2\n");
    place.write("c", "c");
    stopped(&place, &expect);
    place.write("c", "");
    place.write("new", "other");
    stopped(&place, &expect);
    fs::remove_file(place.path("new")).unwrap();
    stopped(&place, &json!([]));
    let reply = place.patch("apply_patch", lines, expect);
    assert_eq!(reply["ok"]["exit_code"], 0);
    place.holds("c", "one\n2\n");
}

#[test]
fn modes_links_and_owners_survive() {
    let place = Place::new();
    place.write("run.sh", "1\n");
    fs::set_permissions(place.path("run.sh"), PermissionsExt::from_mode(0o750)).unwrap();
    place.applies("*** Update File: run.sh\n@@\n-1\n+2\n", "M run.sh\n");
    let mode = |path: &str| fs::metadata(place.path(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("run.sh"), 0o750);
    place.applies("*** Update File: run.sh\n*** Move to: go.sh\n@@\n-2\n+3\n", "M go.sh\n");
    assert_eq!(mode("go.sh"), 0o750);
    symlink("go.sh", place.path("link")).unwrap();
    place.applies("*** Update File: link\n@@\n-3\n+4\n", "M link\n");
    assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink());
    place.holds("go.sh", "4\n");
    fs::hard_link(place.path("go.sh"), place.path("twin")).unwrap();
    place.applies("*** Update File: go.sh\n@@\n-4\n+5\n", "M go.sh\n");
    place.holds("twin", "5\n");
    symlink("born", place.path("dangling")).unwrap();
    place.applies("*** Add File: dangling\n+6\n", "A dangling\n");
    place.holds("born", "6\n");
    assert_eq!(place.names(), ["born", "dangling", "go.sh", "link", "twin"]);
}

#[test]
fn a_read_only_file_is_written_whole_or_not_at_all() {
    let place = Place::new();
    place.write("a", "1\n");
    fs::set_permissions(place.path("a"), PermissionsExt::from_mode(0o444)).unwrap();
    let reply = place.patch("apply_patch", "*** Update File: a\n@@\n-1\n+2\n", Value::Null);
    // Who may override modes, may here too.
    let done = reply["ok"]["exit_code"] == 0;
    place.holds("a", if done { "2\n" } else { "1\n" });
    assert_eq!(fs::metadata(place.path("a")).unwrap().mode() & 0o777, 0o444);
}

#[test]
fn a_failure_midway_tells_what_stays() {
    let place = Place::new();
    // The second parent becomes a file only by the first hunk, which no verification foresees.
    let reply = place.patch(
        "apply_patch",
        "*** Add File: a\n+x\n*** Add File: a/b\n+y\n*** Add File: c\n+z\n",
        Value::Null,
    );
    assert_eq!(reply["ok"]["exit_code"], 1, "{reply}");
    assert_eq!(reply["ok"]["stdout"], "");
    let stderr = reply["ok"]["stderr"].as_str().unwrap();
    assert!(stderr.contains("a/b") || stderr.contains("/a"), "{stderr}");
    assert!(stderr.ends_with("1 of 3 changes were made before that:\nA a\n"), "{stderr}");
    assert_eq!(place.names(), ["a"]);
}

#[test]
fn no_temporary_file_is_needed_or_left() {
    let place = Place::new();
    place.write("a", "1\n");
    // All the names a temporary file could take are in the way.
    for attempt in 0..8 {
        place.write(&format!(".windlass-{}-{attempt}.tmp", std::process::id()), "");
    }
    place.applies("*** Update File: a\n@@\n-1\n+2\n", "M a\n");
    place.holds("a", "2\n");
}

#[test]
fn line_endings_and_empty_files_are_kept() {
    let place = Place::new();
    place.write("crlf", "1\r\n2\r\n");
    place.write("empty", "");
    place.write("bare", "1\n2");
    place.applies(
        "*** Update File: crlf\n@@\n 1\n-2\n+two\n*** Update File: empty\n@@\n+x\n\
         *** Update File: bare\n@@\n-2\n+two\n*** Add File: none\n",
        "A none\nM crlf\nM empty\nM bare\n",
    );
    place.holds("crlf", "1\r\ntwo\r\n");
    place.holds("empty", "x\n");
    place.holds("bare", "1\ntwo\n");
    place.holds("none", "");
}

// ---- bounds ----

#[test]
fn large_files_and_texts_are_bounded() {
    let place = Place::new();
    place.write("big", vec![b'\n'; PATCH_FILE_BYTES_MAX + 1]);
    place.refuses("*** Update File: big\n@@\n+x\n", "over");
    place.refuses("*** Delete File: big\n", "over");
    place.write("big", vec![b'x'; PATCH_FILE_BYTES_MAX]);
    let reply = place.inspect("*** Delete File: big\n");
    let change = &reply["ok"]["changes"][0];
    assert_eq!(change["content"].as_str().unwrap().len(), CHANGE_TEXT_BYTES_MAX);
    assert_eq!(change["truncated"], true);
    let count = PATCH_FILES_BYTES_MAX / PATCH_FILE_BYTES_MAX + 1;
    let mut lines = String::new();
    for number in 0..count {
        fs::hard_link(place.path("big"), place.path(&format!("{number}"))).unwrap();
        lines.push_str(&format!("*** Delete File: {number}\n"));
    }
    place.refuses(&lines, "send it in parts");
}

#[test]
fn requests_that_make_no_sense_are_answered() {
    for request in [&b""[..], b"{}", b"[]", b"{\"op\":\"x\"}", b"\xff", b"{\"op\":1}"] {
        let reply: Value = serde_json::from_slice(&run(request)).unwrap();
        assert!(reply["error"].is_string(), "{reply}");
    }
    let long = vec![b' '; FILES_REQUEST_BYTES_MAX + 1];
    let reply: Value = serde_json::from_slice(&run(&long)).unwrap();
    fails(&reply, "over");
    fails(&ask(&json!({ "op": "inspect_patch", "cwd": "a", "patch": "" })), "not absolute");
}

// ---- the door ----

#[track_caller]
fn door(place: &Place, arguments: &[&str], stdin: &str, code: u8, out: &str, err: &str) {
    let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
    let (mut told, mut failed) = (Vec::new(), Vec::new());
    let got = patch_door(&arguments, stdin.as_bytes(), &place.0, &mut told, &mut failed);
    let (told, failed) = (String::from_utf8(told).unwrap(), String::from_utf8(failed).unwrap());
    assert_eq!(got, code, "{failed}");
    assert!(told.contains(out) && told.is_empty() == out.is_empty(), "{told}");
    assert!(failed.contains(err) && failed.is_empty() == err.is_empty(), "{failed}");
}

#[test]
fn the_door_takes_a_patch_as_argument_or_input() {
    let place = Place::new();
    let patch = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch";
    door(&place, &[patch], "", 0, "A a\n", "");
    door(&place, &[], &patch.replace(": a", ": b"), 0, "A b\n", "");
    place.holds("b", "x\n");
    door(&place, &["x", "y"], "", 2, "", "usage");
    door(&place, &["x"], "", 1, "", "first line");
    door(&place, &[], "", 1, "", "first line");
    door(
        &place,
        &[&patch.replace("Add File: a\n+x", "Delete File: no")],
        "",
        1,
        "",
        "no such file",
    );
}
