//! Flags and commands as a person gives them: forks, pipes as files, places that are not there.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use support::reply::Reply;
use support::run::{Call, Ended};
use support::{World, records_of, texts, types_of};

/// The call through a bash script, which has the words as its arguments.
fn within_bash(mut call: Call, script: &str) -> Call {
    call.through = ["bash", "--norc", "-c", script, "bash"].map(Into::into).to_vec();
    call
}

/// A session of one exchange, with a call in it.
fn first_turn(world: &mut World) -> Ended {
    world.reply(Reply::script("echo out")).reply(Reply::message("first answer"));
    let ended = world.exec(&["--json", "first question"]);
    ended.exits(0);
    ended
}

#[test]
fn a_fork_goes_on_from_a_copy_and_leaves_the_session_as_it_is() {
    for by_id in [true, false] {
        let mut world = World::new();
        let first = first_turn(&mut world);
        let [source] = world.rollouts().try_into().unwrap();
        let before = fs::read(&source).unwrap();
        let named = if by_id { first.thread() } else { source.to_string_lossy().into_owned() };
        world.reply(Reply::message("second answer"));
        let forked = world.exec(&["--json", "fork", &named, "another question"]);
        forked.exits(0);
        assert_ne!(forked.thread(), first.thread());
        assert_eq!(fs::read(&source).unwrap(), before);
        let requests = world.requests();
        let asked = requests[requests.len() - 2].body["input"].as_array().unwrap();
        let input = &requests.last().unwrap().body["input"];
        assert_eq!(input.as_array().unwrap()[..asked.len()], asked[..]);
        assert_eq!(texts(input, "assistant"), ["first answer"]);
        assert_eq!(texts(input, "user").last().unwrap(), "another question");
        let rollouts = world.rollouts();
        let copy = rollouts.iter().find(|path| **path != source).unwrap();
        let records = records_of(copy);
        let meta = &records[0]["payload"];
        assert_eq!(
            (&meta["id"], &meta["forked_from_id"]),
            (&forked.thread().into(), &first.thread().into(),)
        );
        let types = types_of(&records);
        assert_eq!(types.iter().filter(|kind| *kind == "session_meta").count(), 1);
        assert_eq!(types.iter().filter(|kind| *kind == "event_msg/user_message").count(), 2);
    }
}

#[test]
fn a_fork_goes_on_and_is_forked_in_turn() {
    let mut world = World::new();
    first_turn(&mut world);
    world.reply(Reply::message("second answer"));
    let mut call = world.call(&["--json", "--last", "second question"]);
    call.words[0] = "fork".into();
    let second = world.run(call);
    second.exits(0);
    world.reply(Reply::message("third answer"));
    let third = world.exec(&["--json", "resume", &second.thread(), "third question"]);
    third.exits(0);
    assert_eq!(third.thread(), second.thread());
    let answers = texts(&world.requests().last().unwrap().body["input"], "assistant");
    assert_eq!(answers, ["first answer", "second answer"]);
    world.reply(Reply::message("fourth answer"));
    let fourth = world.exec(&["--json", "fork", &second.thread(), "fourth question"]);
    fourth.exits(0);
    let answers = texts(&world.requests().last().unwrap().body["input"], "assistant");
    assert_eq!(answers, ["first answer", "second answer", "third answer"]);
    assert_eq!(world.rollouts().len(), 3);
}

/// What the first words of a request's last message are, and of the parts before them.
fn parts_of_last(world: &World) -> Vec<Value> {
    let input = &world.requests().last().unwrap().body["input"];
    input.as_array().unwrap().last().unwrap()["content"].as_array().unwrap().clone()
}

const PNG: &str = r"printf '\211PNG\r\n\032\n0000'";

#[test]
fn pipes_of_the_shell_are_read_as_files() {
    let mut world = World::new();
    world.reply(Reply::message("{}"));
    let call = world.call(&["hi"]);
    let script = format!(
        "exec \"$@\" --output-schema <(echo '{{\"type\": \"object\"}}') -i <({PNG}) \
         -i <(echo no image),<({PNG})"
    );
    let ended = world.run(within_bash(call, &script));
    ended.exits(0);
    let format = &world.requests()[0].body["text"]["format"];
    assert_eq!(format["schema"]["type"], "object", "{format}");
    let parts = parts_of_last(&world);
    let url = "data:image/png;base64,iVBORw0KGgowMDAw";
    assert_eq!(parts.len(), 4, "{parts:?}");
    assert_eq!((&parts[0]["image_url"], &parts[2]["image_url"]), (&url.into(), &url.into()));
    assert!(parts[1]["text"].as_str().unwrap().contains("not a PNG"), "{parts:?}");
}

#[test]
fn pipes_that_do_not_end_are_given_up() {
    let mut world = World::new();
    let pipe = world.cwd.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let ended = world.exec(&["--timeout", "300ms", "--output-schema", "pipe", "hi"]);
    ended.exits(1);
    assert!(ended.stderr.contains("--output-schema pipe: the pipe did not end within"), "{ended}");
    let call = world.call(&["hi"]);
    let script = "exec \"$@\" --output-schema <(head -c 2000000 /dev/zero 2>/dev/null)";
    let mut run = world.start(within_bash(call, script));
    // The shell's producer hears of our end by its next write.
    run.leaves_something = true;
    let ended = world.finish(run);
    ended.exits(1);
    assert!(ended.stderr.contains("larger than 1048576 bytes"), "{ended}");
    assert!(world.requests().is_empty());
}

#[test]
fn loading_a_session_takes_no_longer_than_the_run_may() {
    let mut world = World::new();
    let first = first_turn(&mut world);
    let [path] = world.rollouts().try_into().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let said = text.lines().rfind(|line| line.contains("first answer")).unwrap();
    let said = format!("{}\n", said.replace("first answer", &"long ".repeat(400)));
    // More than any machine reads in this time.
    fs::write(&path, format!("{text}{}", said.repeat(40_000))).unwrap();
    let requests = world.requests().len();
    for command in ["resume", "fork"] {
        let ended = world.exec(&["--timeout", "20ms", command, &first.thread(), "go on"]);
        ended.exits(124);
        assert!(ended.stderr.contains("--timeout"), "{ended}");
    }
    assert_eq!(world.requests().len(), requests);
}

#[test]
fn a_last_message_has_no_place_below_what_is_not_there() {
    let mut world = World::new();
    world.reply(Reply::message("said"));
    let ended = world.exec(&["--json", "-o", "missing/folder/last.txt", "hi"]);
    ended.exits(0);
    assert!(ended.stderr.contains("missing/folder/last.txt"), "{ended}");
    assert!(!world.cwd.join("missing").exists());
}

#[test]
fn an_image_that_cannot_be_read_is_told_to_the_model() {
    let mut world = World::new();
    let secret = world.file("secret.png", b"\x89PNG");
    fs::create_dir(world.cwd.join("folder.png")).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    world.reply(Reply::message("sad"));
    let images = "secret.png,folder.png,gone.png";
    world.exec(&["-i", images, "--image", "/dev/zero", "--", "hi"]).exits(0);
    let parts = parts_of_last(&world);
    assert_eq!(parts.len(), 5, "{parts:?}");
    for (part, name) in parts.iter().zip(["secret", "folder", "gone", "/dev/zero"]) {
        // A superuser may read what nobody may.
        let seen = part["text"].as_str().is_some_and(|text| text.contains(name));
        assert!(seen || part["type"] == "input_image" && name == "secret", "{name}: {parts:?}");
    }
}

#[test]
fn a_schema_or_a_place_to_work_that_is_not_there_ends_the_run() {
    let world = &mut World::new();
    fs::create_dir(world.cwd.join("folder")).unwrap();
    world.file("text", "{");
    for (words, part) in [
        (["--output-schema", "folder"], "--output-schema folder: not a regular file"),
        (["--output-schema", "gone.json"], "--output-schema gone.json: no such file"),
        (["--output-schema", "/dev/zero"], "--output-schema /dev/zero: not a regular file"),
        (["--cd", "gone"], "--cd gone: "),
        (["-C", "text"], "--cd text: not a directory"),
    ] {
        let ended = world.exec(&[&words[..], &["hi"]].concat());
        ended.exits(1);
        assert!(ended.stderr.contains(part), "{part}: {ended}");
    }
    assert!(world.requests().is_empty());
}

#[test]
fn a_flag_that_is_misspelt_is_guessed() {
    let world = &mut World::new();
    for (flag, guess) in [
        ("--modle", "did you mean --model?"),
        ("--output-shema", "did you mean --output-schema?"),
        ("--ephemral", "did you mean --ephemeral?"),
        ("--nothing-like-it", "unknown flag '--nothing-like-it' ("),
    ] {
        let ended = world.exec(&[flag, "hi"]);
        ended.exits(2);
        assert!(ended.stderr.contains(guess), "{guess}: {ended}");
    }
}

#[test]
fn every_flag_of_the_peer_is_known() {
    let world = &mut World::new();
    for flags in [
        &["--config", "a=1", "-c", "b.c=[1]"][..],
        &["--enable", "ghost_commit", "--disable", "ghost_commit"],
        &["-m", "m", "--oss", "--local-provider", "lmstudio"],
        &["-s", "workspace-write"],
        &["--full-auto"],
        &["--dangerously-bypass-approvals-and-sandbox"],
        &["--yolo", "--skip-git-repo-check", "--add-dir", "/tmp", "--color", "never"],
        &["--json", "--ephemeral", "--ignore-user-config", "--strict-config"],
        &["--experimental-json", "--ignore-rules"],
        &["--thread-source", "s", "--cyber-access-program", "p", "-a", "never"],
    ] {
        // A prompt that says nothing is refused, but only after everything else was understood.
        let ended = world.exec(&[flags, &["-C", ".", "-o", "last", " "]].concat());
        ended.exits(1);
        assert!(ended.stderr.contains("prompt"), "{flags:?}: {ended}");
    }
    let said = world.exec(&["--thread-source", "s", "--ignore-rules", " "]).stderr;
    assert_eq!(said.matches("ignored").count(), 1, "{said}");
    assert!(said.contains("--thread-source, --ignore-rules"), "{said}");
    for flag in ["--worktree", "--trust", "--approve-for-me"] {
        let ended = world.exec(&[flag, "hi"]);
        ended.exits(2);
        assert!(ended.stderr.contains(&format!("{flag} is not supported: ")), "{ended}");
    }
    world.exec(&["-p", "nobody", "hi"]).exits(1);
    assert!(world.requests().is_empty());
}

#[test]
fn a_fork_of_nothing_says_so() {
    let mut world = World::new();
    let id = "01990000-0000-7000-8000-0000000000aa";
    for (words, code, part) in [
        (&["fork", id, "go on"][..], 1, id),
        (&["fork", "by-name", "go on"], 1, "by-name"),
        (&["fork", "--last", "go on"], 1, "no session"),
        (&["fork"], 2, "name a session by its id, or add --last"),
    ] {
        let ended = world.exec(words);
        ended.exits(code);
        assert!(ended.stderr.contains(part), "{part}: {ended}");
    }
    assert!(world.requests().is_empty() && world.rollouts().is_empty());
}
