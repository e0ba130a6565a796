//! The flight recorder of the real binary: what a run was told replays from its journal.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{Write, pipe};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::World;
use support::reply::{Reply, delta, done, message};
use support::run::{Call, Ended, KEY, Run, Stdin};

/// Runs `windlass debug replay`.
fn replay(world: &mut World, journal: &Path) -> Ended {
    let mut call = Call::new(world);
    call.words.extend(["debug".into(), "replay".into(), journal.into()]);
    world.run(call)
}

fn inputs(journal: &Path) -> Vec<Value> {
    let text = fs::read_to_string(journal).unwrap();
    let lines = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap());
    lines.map(|line: Value| line["input"].clone()).collect()
}

/// The words of a run with a journal, and where that is.
fn flags(world: &World) -> (String, std::path::PathBuf) {
    let journal = world.root.join("journal");
    (journal.to_str().unwrap().to_owned(), journal)
}

#[test]
fn a_run_with_tools_replays_from_its_journal() {
    let mut world = World::new();
    let patch = "*** Begin Patch\n*** Add File: new\n+one\n*** End Patch";
    world
        .reply(Reply::shell(&["echo", "hello"]))
        .reply(Reply::calls(&[("apply_patch", json!({ "input": patch }))]))
        .reply(Reply::status(500, "{}"))
        .reply(Reply::events(&[
            delta(&format!("the key is {}", &KEY[..KEY.len() / 2])),
            delta(&KEY[KEY.len() / 2..]),
            done(&message(&format!("the key is {KEY}"))),
            support::reply::completed(),
        ]));
    let (name, journal) = flags(&world);
    world.exec(&["--journal", &name, "--full-auto", &format!("mind {KEY}")]).exits(0);
    assert_eq!(fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&journal).unwrap();
    assert!(!text.contains(KEY) && !text.contains(&KEY[KEY.len() / 2..]), "{text}");
    let inputs = inputs(&journal);
    for kind in ["Command", "Opened", "Model", "Exited", "Inspected"] {
        assert!(inputs.iter().any(|input| !input[kind].is_null()), "{kind}: {text}");
    }
    let ended = replay(&mut world, &journal);
    ended.exits(0);
    assert_eq!(ended.stdout, format!("{} inputs had the same effects\n", inputs.len()));
    assert_eq!(ended.stderr, "");
}

#[test]
fn every_kind_of_run_has_a_journal() {
    let mut world = World::new();
    let (name, journal) = flags(&world);
    world.reply(Reply::message("one"));
    world.exec(&["--journal", &name, "first"]).exits(0);
    world.reply(Reply::message("two"));
    world.exec(&["resume", "--journal", &name, "--last", "second"]).exits(0);
    assert!(inputs(&journal).iter().any(|input| !input["Restored"].is_null()));
    replay(&mut world, &journal).exits(0);
    world.reply(Reply::message("all is well"));
    world.exec(&["review", "--journal", &name, "look at it"]).exits(0);
    replay(&mut world, &journal).exits(0);
    let mut call = Call::new(&world);
    call.words.extend(["demo".into(), "--journal".into(), (&name).into()]);
    world.run(call).exits(0);
    assert!(inputs(&journal).len() > 10);
    replay(&mut world, &journal).exits(0);
}

#[test]
fn a_long_past_is_written_in_pieces_and_replays() {
    let mut world = World::new();
    let (name, journal) = flags(&world);
    let window = ["-c", "model_context_window=10000000"];
    world.reply(Reply::message("one"));
    let call = world.call(&window).stdin(Stdin::Pipe("long ".repeat(300_000).into()));
    world.run(call).exits(0);
    world.reply(Reply::message("two"));
    world
        .exec(&[&window[..], &["resume", "--journal", &name, "--last", "go on"]].concat())
        .exits(0);
    let text = fs::read_to_string(&journal).unwrap();
    let (ahead, past) = (text.find("{\"ahead\"").unwrap(), text.find("\"Restored\"").unwrap());
    assert!(ahead < past && text[past..].starts_with("\"Restored\":{"));
    assert!(text[past..].contains("\"items\":[]"));
    replay(&mut world, &journal).exits(0);
}

#[test]
fn a_server_replays_from_its_journal() {
    let mut world = World::new();
    world.reply(Reply::shell(&["touch", "new"])).reply(Reply::message("done"));
    let (name, journal) = flags(&world);
    let (stdin, mut client) = pipe().unwrap();
    let mut call = Call::new(&world).stdin(Stdin::From(stdin.into()));
    call.words.extend(["app-server".into(), "--journal".into(), (&name).into()]);
    let mut run = world.start(call);
    let mut say = |message: Value| client.write_all(format!("{message}\n").as_bytes()).unwrap();
    say(json!({ "id": 1, "method": "initialize", "params": {
        "clientInfo": { "name": "probe", "title": null, "version": "1.0" } } }));
    say(json!({ "id": 2, "method": "thread/start", "params": {
        "approvalPolicy": "untrusted", "cwd": world.cwd } }));
    let message = |run: &Run, is: fn(&Value) -> bool| {
        let stdout = run.stdout();
        let (whole, _) = stdout.rsplit_once('\n')?;
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).find(is)
    };
    world.until(&mut run, "it has a thread", |_, run| {
        message(run, |said| said["id"] == 2).is_some()
    });
    let thread = message(&run, |said| said["id"] == 2).unwrap()["result"]["thread"]["id"].clone();
    let image = format!("data:image/png;base64,{}", "A".repeat(8192));
    say(json!({ "id": 3, "method": "turn/start", "params": { "threadId": thread, "input": [
        { "type": "text", "text": format!("mind {KEY}") }, { "type": "image", "url": image }] } }));
    let is_question = |said: &Value| said["method"] == "item/commandExecution/requestApproval";
    world.until(&mut run, "it asks", |_, run| message(run, is_question).is_some());
    let question = message(&run, is_question).unwrap();
    say(json!({ "id": question["id"], "result": { "decision": "accept" } }));
    world.until(&mut run, "the turn ends", |_, run| {
        message(run, |said| said["method"] == "turn/completed").is_some()
    });
    drop(client);
    world.finish(run).exits(0);
    let text = fs::read_to_string(&journal).unwrap();
    let (held, source) = ("{\"Kept\":{\"id\":0,", "\"source\":\"vscode\"");
    assert!(text.contains(held) && text.contains(source) && !text.contains(KEY), "{text}");
    assert!(text.contains("\"ApprovalAsked ") && text.contains("{\"Answer\":{"), "{text}");
    let ended = replay(&mut world, &journal);
    ended.exits(0);
    let inputs_count = inputs(&journal).len();
    assert_eq!(ended.stdout, format!("{inputs_count} inputs had the same effects\n"));
}

#[test]
fn an_interrupted_run_replays() {
    let mut world = World::new();
    let (name, journal) = flags(&world);
    world.reply(Reply::beginning("half an ans"));
    let call = world.call(&["--journal", &name, "go"]);
    let mut run = world.start(call);
    world.until(&mut run, "it has asked", |world, _| !world.requests().is_empty());
    world.settle(&mut run);
    run.signal(libc::SIGINT);
    world.finish(run).exits(130);
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.contains("Interrupt") && text.contains("\"TurnEnded "), "{text}");
    let ended = replay(&mut world, &journal);
    ended.exits(0);
    assert!(ended.stdout.ends_with(" inputs had the same effects\n"), "{}", ended.stdout);
}

#[test]
fn a_killed_run_keeps_its_last_input() {
    let mut world = World::new();
    let (name, journal) = flags(&world);
    world.reply(Reply::beginning("half an ans"));
    let call = world.call(&["--journal", &name, "go"]);
    let mut run = world.start(call);
    world.until(&mut run, "the answer begins", |_, _| {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("half an ans"))
    });
    run.signal(libc::SIGKILL);
    world.finish(run);
    let ended = replay(&mut world, &journal);
    ended.exits(0);
    let line = fs::read_to_string(&journal).unwrap().lines().count();
    let expected = format!("{} inputs had the same effects; the one on line {line} was", line - 2);
    assert!(ended.stdout.starts_with(&expected), "{}", ended.stdout);
}

#[test]
fn another_history_is_noticed_and_damage_too() {
    let mut world = World::new();
    let (name, journal) = flags(&world);
    world.reply(Reply::message("hello"));
    world.exec(&["--journal", &name, "go"]).exits(0);
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("\"Text\":\"hello\"", "\"Text\":\"jello\"", 1)).unwrap();
    let ended = replay(&mut world, &journal);
    ended.exits(3);
    assert!(ended.stdout.is_empty() && ended.stderr.contains(": line "), "{}", ended.stderr);
    assert!(ended.stderr.contains(": then Item "), "{}", ended.stderr);
    fs::write(&journal, text.replacen("\"Created\"", "\"Crated\"", 1)).unwrap();
    let ended = replay(&mut world, &journal);
    ended.exits(1);
    assert!(ended.stderr.contains("there should be a variant of ModelEvent"), "{}", ended.stderr);
    fs::write(&journal, text.replacen(env!("CARGO_PKG_VERSION"), "0.0.1", 1)).unwrap();
    let ended = replay(&mut world, &journal);
    ended.exits(0);
    assert!(ended.stderr.starts_with("warning: windlass 0.0.1 wrote it"), "{}", ended.stderr);
    let ended = replay(&mut world, Path::new("/nowhere"));
    ended.exits(1);
    assert!(ended.stderr.starts_with("error: the journal /nowhere: No such"), "{}", ended.stderr);
}

#[test]
fn an_input_that_ends_the_process_is_named() {
    let mut world = World::new();
    let (name, journal) = flags(&world);
    world.reply(Reply::message("hello"));
    world.exec(&["--journal", &name, "go"]).exits(0);
    let text = fs::read_to_string(&journal).unwrap();
    // Nothing is being looked at: no host says so.
    let line = text.lines().nth(3).unwrap();
    assert!(line.contains("{\"Opened\":{\"op\":[0,0],"), "{line}");
    let begin = line.find("{\"Opened\"").unwrap();
    let impossible = "{\"Looked\":{\"op\":[0,0],\"result\":{\"Err\":\"\"}}},\"effects\":[]}";
    let impossible = format!("{}{impossible}", &line[..begin]);
    fs::write(&journal, text.replacen(line, &impossible, 1)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    let ended = command.args(["debug", "replay", &name]).output().unwrap();
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT));
    let expected = "the input on line 4 of the journal makes windlass panic:\n";
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.starts_with(expected) && said.contains("src/core"), "{said}");
}

#[test]
fn what_is_no_journal_is_not_overwritten() {
    let mut world = World::new();
    let (name, journal) = flags(&world);
    let refused = |world: &mut World, why: &str| {
        let ended = world.exec(&["--journal", &name, "go"]);
        ended.exits(1);
        let expected = format!("error: cannot write the journal {name}: {why}\n");
        assert_eq!(ended.stderr, expected);
    };
    fs::write(&journal, "precious").unwrap();
    refused(&mut world, "it exists and is not a journal");
    assert_eq!(fs::read_to_string(&journal).unwrap(), "precious");
    fs::remove_file(&journal).unwrap();
    let target = world.file("target", "");
    symlink(&target, &journal).unwrap();
    refused(&mut world, "it is a symbolic link");
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    refused(&mut world, "Is a directory (os error 21)");
    fs::remove_dir(&journal).unwrap();
    assert!(world.requests().is_empty());
    fs::write(&journal, "").unwrap();
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o644)).unwrap();
    for prompt in ["lullaby", "ballad"] {
        world.reply(Reply::message("hello"));
        world.exec(&["--journal", &name, prompt]).exits(0);
    }
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.contains("ballad") && !text.contains("lullaby"), "{text}");
    assert_eq!(fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_journal_that_cannot_go_on_says_so_and_the_run_goes_on() {
    let mut world = World::new();
    let (name, journal) = flags(&world);
    world.reply(Reply::shell(&["echo", &"long ".repeat(4000)])).reply(Reply::message("done"));
    let mut call = world.call(&["--ephemeral", "--journal", &name, "go"]);
    call.file_bytes_max = Some(32 << 10);
    let ended = world.run(call);
    ended.exits(0);
    assert_eq!(ended.stdout, "done\n");
    assert_eq!(ended.stderr.matches("warning: the journal ends here: ").count(), 1);
    let ended = replay(&mut world, &journal);
    ended.exits(0);
    assert!(ended.stdout.contains(" is cut off\n"), "{}", ended.stdout);
}
