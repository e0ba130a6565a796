//! What a run is given: the prompt, the flags, the settings, the credentials; and what it says when
//! they make no sense.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use support::reply::Reply;
use support::run::{Call, Ended, KEY, Run, Stdin};
use support::{World, outside, spawning, texts};

/// The prompt that reached the provider.
fn prompt(world: &World) -> String {
    texts(&world.body()["input"], "user").pop().unwrap()
}

/// Runs `exec --json` with these words and this stdin, and gives the prompt that was sent.
fn check_prompt(words: &[&str], stdin: Stdin, expected: &str) -> Ended {
    let mut world = World::new();
    world.reply(Reply::message("ok"));
    let call = world.call(&[&["--json"], words].concat()).stdin(stdin);
    let ended = world.run(call);
    ended.exits(0);
    assert_eq!(prompt(&world), expected, "{words:?}");
    ended
}

fn pipe(text: impl Into<Vec<u8>>) -> Stdin {
    Stdin::Pipe(text.into())
}

/// Runs `exec --json` with these words and this stdin, which gives no prompt.
fn check_no_prompt(words: &[&str], stdin: Stdin, expected: &str) {
    let mut world = World::new();
    let call = world.call(&[&["--json"], words].concat()).stdin(stdin);
    let ended = world.run(call);
    ended.exits(1);
    assert_eq!(ended.stdout, "", "{words:?}");
    assert!(ended.stderr.contains(expected), "{words:?} {ended}");
    assert_eq!(world.requests().len(), 0);
    assert!(world.rollouts().is_empty());
}

#[test]
fn a_prompt_comes_by_argument_or_by_pipe() {
    check_prompt(&["by word"], Stdin::Null, "by word");
    check_prompt(&["by word"], Stdin::Closed, "by word");
    check_prompt(&["-"], pipe("by dash\n"), "by dash\n");
    check_prompt(&[], pipe("by pipe\n"), "by pipe\n");
}

#[test]
fn what_is_piped_beside_a_prompt_is_added() {
    let expected = "explain\n\n<stdin>\nline one\nline two\n</stdin>";
    let ended = check_prompt(&["explain"], pipe("line one\nline two"), expected);
    assert_eq!(ended.stderr, "");
    check_prompt(&["explain"], pipe(""), "explain");
    check_prompt(&["explain"], pipe(" \n"), "explain");
    check_prompt(&["--no-stdin", "explain"], pipe("not wanted"), "explain");
    check_prompt(&["--stdin", "explain"], pipe("more\n"), "explain\n\n<stdin>\nmore\n</stdin>");
}

#[test]
fn a_prompt_comes_from_a_file() {
    let world = World::new();
    let path = world.file("prompt.txt", "from a file\n");
    let open = || Stdin::From(File::open(&path).unwrap().into());
    check_prompt(&[], open(), "from a file\n");
    check_prompt(&["-"], open(), "from a file\n");
    check_prompt(&["and"], open(), "and\n\n<stdin>\nfrom a file\n</stdin>");
}

#[test]
fn a_prompt_comes_by_socket() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"by socket").unwrap();
    drop(ours);
    check_prompt(&[], Stdin::From(theirs.into()), "by socket");
}

#[test]
fn a_prompt_larger_than_a_pipe_arrives_whole() {
    let text = "0123456789abcde\n".repeat(64 << 10);
    check_prompt(&[], pipe(text.clone()), &text);
}

#[test]
fn a_harness_that_never_writes_is_not_waited_for() {
    let mut world = World::new();
    world.reply(Reply::message("ok"));
    let call = world.call(&["--json", "go"]).stdin(Stdin::Held);
    // While another test makes a child, that child holds this pipe too.
    let guard = spawning();
    let mut run = Run::start_within(call, &guard);
    world.until(&mut run, "a request", |world, _| !world.requests().is_empty());
    drop(guard);
    let ended = world.finish(run);
    ended.exits(0);
    assert_eq!(prompt(&world), "go");
    assert!(ended.took_ms >= 1000, "{}", ended.took_ms);
    assert!(ended.stderr.contains("nothing came on stdin in 1 s, going on without it"), "{ended}");
    assert!(ended.stderr.contains("--no-stdin"), "{ended}");
}

#[test]
fn a_held_pipe_is_not_touched_if_told_so() {
    let ended = check_prompt(&["--no-stdin", "go"], Stdin::Held, "go");
    assert_eq!(ended.stderr, "");
}

#[test]
fn waiting_for_stdin_can_be_bounded() {
    // Long enough for a busy machine to say first what is waited for.
    let timeout = ["--timeout", "500ms"];
    let world = World::new();
    let call = world.call(&timeout).stdin(Stdin::Held);
    let ended = { world }.run(call);
    ended.exits(124);
    assert_eq!(ended.stdout, "");
    let expected = "reading the prompt from stdin\nerror: stdin did not end";
    assert!(ended.stderr.contains(expected), "{ended}");
}

#[test]
fn a_terminal_gives_no_prompt() {
    let (_master, slave) = outside::terminal();
    check_no_prompt(&[], Stdin::From(slave), "no prompt: give one as an argument");
}

#[test]
fn a_terminal_is_left_alone_beside_a_prompt() {
    let (master, slave) = outside::terminal();
    File::from(master.try_clone().unwrap()).write_all(b"typed ahead\n").unwrap();
    check_prompt(&["by word"], Stdin::From(slave), "by word");
}

#[test]
fn without_a_prompt_nothing_is_said_on_stdout() {
    check_no_prompt(&[], Stdin::Null, "no prompt");
    check_no_prompt(&[], Stdin::Closed, "no prompt");
    check_no_prompt(&[], pipe(""), "no prompt");
    check_no_prompt(&[], pipe("  \n\t"), "no prompt");
    check_no_prompt(&["-"], pipe(""), "no prompt");
    check_no_prompt(&["-"], Stdin::Null, "no prompt");
    check_no_prompt(&[""], Stdin::Null, "no prompt");
    check_no_prompt(&["--no-stdin"], pipe("text"), "no prompt");
    check_no_prompt(
        &[],
        pipe(b"ab\xff\xfe".as_slice()),
        "stdin is not UTF-8: the byte at offset 2",
    );
    check_no_prompt(&["and"], pipe(b"\xc3".as_slice()), "stdin is not UTF-8");
}

/// Runs a call that must end before anything is asked.
fn check_refused(world: &mut World, call: Call, code: i32, parts: &[&str]) {
    let ended = world.run(call);
    ended.exits(code);
    assert_eq!(ended.stdout, "");
    for part in parts {
        assert!(ended.stderr.contains(part), "{part}: {ended}");
    }
    assert_eq!(world.requests().len(), 0);
    assert!(world.rollouts().is_empty());
}

#[test]
fn a_command_line_that_makes_no_sense_exits_2() {
    for (words, part) in [
        (["--bogus", "x"].as_slice(), "--bogus"),
        (&["--sandbox", "everything", "x"], "everything"),
        (&["--color", "blue", "x"], "blue"),
        (&["-m"], "-m"),
        (&["one", "two"], "two"),
        (&["--timeout", "soon", "x"], "--timeout"),
        (&["--worktree", "x"], "--worktree"),
        (&["--approve-for-me", "x"], "--approve-for-me"),
    ] {
        let mut world = World::new();
        let call = world.call(words);
        check_refused(&mut world, call, 2, &[part]);
    }
}

#[test]
fn settings_that_are_not_known_are_ignored() {
    let mut world = World::new();
    world.reply(Reply::message("ok"));
    fs::write(world.home.join("config.toml"), "future = true\n[future_table]\na = 1\n").unwrap();
    let ended = world.exec(&["--json", "-c", "unknown.deep.key=[1,2]", "hi"]);
    ended.exits(0);
    let call = world.call(&["--strict-config", "hi"]);
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stderr.contains("future"), "{ended}");
}

#[test]
fn a_setting_of_the_wrong_type_is_named() {
    for (setting, part) in [
        ("model_context_window=wide", "model_context_window"),
        ("sandbox_mode=3", "sandbox_mode"),
        ("sandbox_workspace_write.network_access='maybe'", "network_access"),
        ("model_providers.x.request_max_retries='many'", "request_max_retries"),
        ("model_provider=nobody", "nobody"),
        ("no equals sign", "no equals sign"),
    ] {
        let mut world = World::new();
        let call = world.call(&["--json", "-c", setting, "hi"]);
        check_refused(&mut world, call, 1, &[part]);
    }
    let mut world = World::new();
    fs::write(world.home.join("config.toml"), "model = 'x'\nmodel_provider = 7\n").unwrap();
    let call = world.call(&["--json", "hi"]);
    check_refused(&mut world, call, 1, &["config.toml", "model_provider", "2"]);
    fs::write(world.home.join("config.toml"), "model = \n").unwrap();
    let call = world.call(&["--json", "hi"]);
    check_refused(&mut world, call, 1, &["config.toml"]);
}

#[test]
fn a_schema_that_is_none_is_refused_before_the_run() {
    let mut world = World::new();
    world.file("bad.json", "{");
    let call = world.call(&["--json", "--output-schema", "bad.json", "hi"]);
    check_refused(&mut world, call, 1, &["--output-schema", "bad.json"]);
    let call = world.call(&["--json", "--output-schema", "gone.json", "hi"]);
    check_refused(&mut world, call, 1, &["gone.json"]);
    let call = world.call(&["--json", "--profile", "gone", "hi"]);
    check_refused(&mut world, call, 1, &["gone"]);
}

#[test]
fn a_profile_counts() {
    let mut world = World::new();
    let config = "model = 'a'\n[profiles.p]\nmodel = 'b'\n";
    fs::write(world.home.join("config.toml"), config).unwrap();
    world.reply(Reply::message("ok"));
    world.exec(&["--profile", "p", "hi"]).exits(0);
    assert_eq!(world.body()["model"], "b");
}

#[test]
fn outside_a_repository_it_must_be_asked_for() {
    let mut world = World::new();
    // Temporary directories are in no repository; the target directory usually is.
    let name = format!("windlass-test-{}-outside", std::process::id());
    let elsewhere = std::env::temp_dir().join(name);
    fs::create_dir_all(&elsewhere).unwrap();
    let elsewhere = elsewhere.canonicalize().unwrap().to_string_lossy().into_owned();
    let call = world.call(&["--json", "-C", &elsewhere, "hi"]);
    check_refused(&mut world, call, 1, &["not inside a git repository", "--skip-git-repo-check"]);
    let call = world.call(&["--json", "-C", "no/such/directory", "hi"]);
    check_refused(&mut world, call, 1, &["no/such/directory"]);
    world.reply(Reply::message("ok"));
    world.exec(&["--skip-git-repo-check", "-C", &elsewhere, "hi"]).exits(0);
    assert!(texts(&world.body()["input"], "user")[0].contains(&elsewhere));
    fs::remove_dir_all(&elsewhere).unwrap();
}

#[test]
fn who_has_no_key_is_told_three_ways_on() {
    let mut world = World::new();
    let call = world.call(&["--json", "hi"]).without("CODEX_API_KEY");
    let ended = world.run(call);
    ended.exits(1);
    for part in ["CODEX_API_KEY", "auth.json", "--oss", "model_providers", "windlass demo"] {
        assert!(ended.stdout.contains(part) || ended.stderr.contains(part), "{part}: {ended}");
    }
    assert_eq!(world.requests().len(), 0);
}

/// What is sent as the credential.
fn authorization(world: &World) -> String {
    world.requests().last().unwrap().headers.get("authorization").cloned().unwrap_or_default()
}

#[test]
fn a_key_comes_from_the_environment_or_the_login() {
    let mut world = World::new();
    let auth = r#"{"OPENAI_API_KEY": "sk-stored-0123456789", "tokens": null}"#;
    let path = world.home.join("auth.json");
    fs::write(&path, auth).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    world.reply(Reply::message("ok"));
    world.exec(&["hi"]).exits(0);
    assert_eq!(authorization(&world), format!("Bearer {KEY}"));
    world.reply(Reply::message("ok"));
    let call = world.call(&["hi"]).without("CODEX_API_KEY");
    world.run(call).exits(0);
    assert_eq!(authorization(&world), "Bearer sk-stored-0123456789");
}

#[test]
fn a_login_by_chatgpt_names_its_account() {
    let mut world = World::new();
    let tokens = r#"{"id_token": "a.e30.c", "access_token": "at-0123456789",
        "refresh_token": "rt", "account_id": "acc-7"}"#;
    let auth = format!(r#"{{"OPENAI_API_KEY": null, "tokens": {tokens}}}"#);
    fs::write(world.home.join("auth.json"), auth).unwrap();
    world.reply(Reply::message("ok"));
    let call = world.call(&["hi"]).without("CODEX_API_KEY");
    world.run(call).exits(0);
    assert_eq!(authorization(&world), "Bearer at-0123456789");
    assert_eq!(world.requests()[0].headers["chatgpt-account-id"], "acc-7");
}

#[test]
fn a_provider_of_the_configuration_is_asked_as_it_wants() {
    let mut world = World::new();
    let config = format!(
        "model_provider = 'corp'\n\
         [model_providers.corp]\n\
         name = 'Corp'\n\
         base_url = '{}/deep/'\n\
         env_key = 'CORP_SECRET'\n\
         query_params = {{ api-version = '2025 04' }}\n\
         http_headers = {{ X-Team = 'blue' }}\n\
         env_http_headers = {{ X-From = 'FROM', X-Unset = 'UNSET' }}\n",
        world.provider.url()
    );
    fs::write(world.home.join("config.toml"), config).unwrap();
    world.reply(Reply::message("ok"));
    let call = world.call(&["hi"]).env("CORP_SECRET", "corp-key-012345").env("FROM", "here");
    world.run(call).exits(0);
    let request = &world.requests()[0];
    assert_eq!(request.target, "/v1/deep/responses?api-version=2025%2004");
    assert_eq!(request.headers["authorization"], "Bearer corp-key-012345");
    assert_eq!(request.headers["x-team"], "blue");
    assert_eq!(request.headers["x-from"], "here");
    assert!(!request.headers.contains_key("x-unset"));
    assert!(!request.headers.contains_key("version"), "only the built-in provider gets it");
    let ended = world.exec(&["--json", "hi"]);
    ended.exits(1);
    assert!(ended.stdout.contains("set CORP_SECRET"), "{ended}");
}

#[test]
fn a_local_provider_needs_no_key() {
    let mut world = World::new();
    world.reply(Reply::message("ok"));
    let url = world.provider.url();
    let call =
        world.call(&["--oss", "hi"]).without("CODEX_API_KEY").env("CODEX_OSS_BASE_URL", &url);
    world.run(call).exits(0);
    assert_eq!(authorization(&world), "");
    assert_eq!(world.body()["model"], "gpt-oss:20b");
}

#[test]
fn a_producer_is_waited_for_by_name() {
    let mut world = World::new();
    world.reply(Reply::message("ok"));
    let (reader, writer) = std::io::pipe().unwrap();
    // As above, so that no other holder is named.
    let guard = spawning();
    let mut producer = Command::new("sleep").arg("600").stdout(writer).spawn().unwrap();
    let call = world.call(&["--json", "go"]).stdin(Stdin::From(reader.into()));
    let mut run = Run::start_within(call, &guard);
    let named = format!("waiting for sleep (process {}) to end its output", producer.id());
    world.until(&mut run, "it names the producer", |_, run| run.stderr().contains(&named));
    drop(guard);
    producer.kill().unwrap();
    producer.wait().unwrap();
    let ended = world.finish(run);
    ended.exits(0);
    assert!(ended.took_ms >= 1000, "{}", ended.took_ms);
    assert_eq!(prompt(&world), "go");
}
