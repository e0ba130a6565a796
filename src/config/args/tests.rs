use super::*;

fn words(line: &[&str]) -> Vec<OsString> {
    line.iter().map(OsString::from).collect()
}

fn read(line: &[&str]) -> Invocation {
    parse(words(line)).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

fn refused(line: &[&str]) -> String {
    match parse(words(line)) {
        Ok(invocation) => panic!("{line:?} was taken as {invocation:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_prompt_is_one_word_of_exec() {
    for command in ["exec", "e"] {
        let invocation = read(&[command, "fix the tests"]);
        assert_eq!(invocation.verb, Verb::Exec);
        assert_eq!(invocation.prompt.as_deref(), Some("fix the tests"));
    }
    assert_eq!(read(&["exec", "-"]).prompt.as_deref(), Some("-"));
    assert_eq!(read(&["exec"]).prompt, None);
    assert_eq!(read(&["exec", "--", "--json"]).prompt.as_deref(), Some("--json"));
    assert_eq!(read(&["exec", "--", "resume"]).verb, Verb::Exec);
}

#[test]
fn the_sdk_command_line_is_understood() {
    let invocation = read(&[
        "exec",
        "--experimental-json",
        "--config",
        "a.b=\"c\"",
        "--config",
        "openai_base_url=\"http://127.0.0.1:1/v1\"",
        "--model",
        "gpt-5.1-codex",
        "--thread-source",
        "sdk",
        "--sandbox",
        "workspace-write",
        "--cd",
        "/w",
        "--add-dir",
        "/x",
        "--add-dir",
        "/y",
        "--skip-git-repo-check",
        "--output-schema",
        "/tmp/schema.json",
        "--cyber-access-program",
        "p",
        "--config",
        "web_search=\"live\"",
        "resume",
        "01990000-0000-7000-8000-0000000000aa",
        "--image",
        "a.png",
        "--image",
        "b.png",
    ]);
    let id = "01990000-0000-7000-8000-0000000000aa";
    assert_eq!(invocation.verb, Verb::Resume(Resumed::Named(id.into())));
    assert!(invocation.json && invocation.skip_git_repo_check);
    assert_eq!(invocation.prompt, None);
    assert_eq!(invocation.model.as_deref(), Some("gpt-5.1-codex"));
    assert_eq!(invocation.sandbox, Some(SandboxMode::WorkspaceWrite));
    assert_eq!(invocation.add_dirs, [PathBuf::from("/x"), PathBuf::from("/y")]);
    assert_eq!(invocation.images, [PathBuf::from("a.png"), PathBuf::from("b.png")]);
    assert_eq!(invocation.overrides.len(), 3);
    assert_eq!(invocation.ignored, ["thread-source", "cyber-access-program"]);
}

#[test]
fn words_behind_an_image_are_images_where_they_can_be_nothing_else() {
    let two = [PathBuf::from("a"), PathBuf::from("b")];
    for line in [
        &["exec", "-i", "a", "b", "--", "hi"][..],
        &["exec", "hi", "-i", "a", "b"],
        &["exec", "hi", "--image=a", "b", "--json"],
        &["exec", "hi", "-i", "a", "-i", "b"],
    ] {
        let invocation = read(line);
        assert_eq!(invocation.prompt.as_deref(), Some("hi"), "{line:?}");
        assert_eq!(invocation.images, two, "{line:?}");
    }
    let prompted = read(&["exec", "-i", "a", "hi"]);
    assert_eq!((prompted.prompt.as_deref(), prompted.images.len()), (Some("hi"), 1));
    let resumed = read(&["exec", "-i", "a", "resume", "--last", "--", "hi"]);
    assert_eq!((resumed.prompt.as_deref(), resumed.images.len()), (Some("hi"), 1));
    let resumed = read(&["exec", "resume", "x", "-i", "a", "b", "--", "hi"]);
    assert_eq!((resumed.prompt.as_deref(), resumed.images.len()), (Some("hi"), 2));
}

#[test]
fn flags_may_stand_anywhere() {
    let expected = read(&["exec", "--json", "-m", "o3", "resume", "--last", "go on"]);
    assert_eq!(expected.verb, Verb::Resume(Resumed::Last));
    assert_eq!(expected.prompt.as_deref(), Some("go on"));
    for line in [
        ["--json", "exec", "-m", "o3", "resume", "--last", "go on"],
        ["-m", "o3", "exec", "resume", "go on", "--last", "--json"],
        ["exec", "resume", "--last", "go on", "-m", "o3", "--json"],
    ] {
        assert_eq!(read(&line), expected);
    }
    assert_eq!(read(&["exec", "-mo3", "x"]).model.as_deref(), Some("o3"));
    assert_eq!(read(&["exec", "--model=o3", "x"]).model.as_deref(), Some("o3"));
    assert_eq!(read(&["exec", "-ia,b", "x"]).images.len(), 2);
}

#[test]
fn resume_tells_id_and_prompt_apart() {
    let invocation = read(&["exec", "resume", "abc", "go on"]);
    assert_eq!(invocation.verb, Verb::Resume(Resumed::Named("abc".into())));
    assert_eq!(invocation.prompt.as_deref(), Some("go on"));
    assert!(read(&["exec", "resume", "--last", "--all"]).all);
    refused(&["exec", "resume"]);
    refused(&["exec", "resume", "--last", "abc", "go on"]);
    refused(&["exec", "resume", "a", "b", "c"]);
    assert!(refused(&["exec", "--last", "x"]).contains("belongs to `windlass exec resume`"));
}

#[test]
fn help_and_version_win_over_everything() {
    let cases: &[(&[&str], &str)] = &[
        (&["--help"], "windlass"),
        (&["help"], "windlass"),
        (&["exec", "-h"], "windlass exec"),
        (&["help", "e", "resume"], "windlass exec resume"),
        (&["exec", "resume", "--help"], "windlass exec resume"),
        (&["demo", "--help"], "windlass demo"),
    ];
    for (line, spelled) in cases {
        let Verb::Help(command) = read(line).verb else { panic!("{line:?} asks for help") };
        assert_eq!(command.spelled(), *spelled, "{line:?}");
    }
    assert_eq!(read(&["--version"]).verb, Verb::Version);
    assert_eq!(read(&["-V"]).verb, Verb::Version);
    assert_eq!(read(&["demo", "--json"]).verb, Verb::Demo);
}

#[test]
fn mistakes_are_one_line_with_a_way_on() {
    let cases: &[(&[&str], &str)] = &[
        (&["exec", "--jsno", "x"], "did you mean --json?"),
        (&["exec", "--jso"], "did you mean --json?"),
        (&["exec", "--dangerously", "x"], "--dangerously-bypass-approvals-and-sandbox?"),
        (&["exec", "--quux"], "unknown flag '--quux' (`windlass exec --help` explains)"),
        (&["exce", "x"], "did you mean exec?"),
        (&["fix the tests"], "use `windlass exec`"),
        (&[], "no command"),
        (&["exec", "fix", "the"], "needs quotes"),
        (&["exec", "-m"], "-m needs a value"),
        (&["exec", "--model", "--json"], "--json follows it"),
        (&["exec", "--json=yes"], "takes no value"),
        (&["exec", "-s", "none"], "workspace-write"),
        (&["exec", "--color", "red"], "never"),
        (&["exec", "--local-provider", "x"], "lmstudio"),
        (&["exec", "--timeout", "soon"], "5m"),
        (&["exec", "--timeout", "25h"], "24 h"),
        (&["exec", "--timeout", "99999999999999999999"], "5m"),
        (&["exec", "--stdin", "--no-stdin"], "contradict"),
        (&["exec", "--yolo", "-s", "read-only"], "choose one"),
        (&["exec", "--worktree"], "not supported"),
        (&["exec", "--trust"], "not supported"),
        (&["exec", "--approve-for-me"], "not supported"),
        (&["exec", "--cd", ""], "empty"),
        (&["demo", "x"], "unexpected"),
        (&["demo", "--oss"], "belongs to `windlass exec`"),
        (&["help", "exce"], "did you mean exec?"),
    ];
    for (line, part) in cases {
        let message = refused(line);
        assert!(message.contains(part), "{line:?}: {message}");
        assert!(!message.contains('\n'), "{message}");
        assert!(message.contains("--help"), "{message}");
    }
}

#[test]
fn times_have_units() {
    for (text, ms) in [("90", 90_000), ("90s", 90_000), ("5m", 300_000), ("500ms", 500)] {
        assert_eq!(read(&["exec", "--timeout", text]).timeout_ms, Some(ms));
    }
}

#[test]
fn an_endless_command_line_is_refused() {
    let line = vec![OsString::from("x"); ARGUMENTS_COUNT_MAX + 1];
    assert!(parse(line).is_err());
}

#[test]
fn names_beyond_the_bound_get_no_suggestion() {
    let long = "j".repeat(SUGGESTION_BYTES_MAX + 1);
    assert_eq!(suggestion(&long, ["json"].into_iter()), None);
    assert_eq!(suggestion("jsno", ["json"].into_iter()), Some("json"));
    assert!(refused(&["exec", &format!("--{long}")]).contains('…'));
}

#[test]
fn no_two_flags_share_a_name() {
    let mut names: Vec<String> = Vec::new();
    for flag in flags::FLAGS {
        names.push(flag.name.to_owned());
        names.extend(flag.aliases.iter().map(|alias| (*alias).to_owned()));
        names.extend(flag.short.map(|letter| letter.to_string()));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
