//! Forks of long conversations: copied in slices, there whole or not at all.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;

use support::World;
use support::reply::Reply;
use support::run::Run;

const ID: &str = "01990000-0000-7000-8000-0000000000aa";

/// Lines of the past, which a summary replaces: many more than are copied at once.
const LINES: usize = 24;
const LINE_BYTES: usize = 1 << 20;

/// How often a fork is killed; more do not show more.
const KILLS: usize = 4;

/// A world with a long conversation, and its lines but for the first.
fn world() -> (World, String) {
    let world = World::new();
    let line = |kind: &str, payload: &str| {
        let time = "2025-11-07T10:00:00.000Z";
        format!("{{\"timestamp\":\"{time}\",\"type\":\"{kind}\",\"payload\":{payload}}}\n")
    };
    let said = |role: &str, text: &str| {
        let content = format!("[{{\"type\":\"input_text\",\"text\":\"{text}\"}}]");
        let item = format!("{{\"type\":\"message\",\"role\":\"{role}\",\"content\":{content}}}");
        line("response_item", &item)
    };
    let mut past = said("user", &"x".repeat(LINE_BYTES)).repeat(LINES);
    past.push_str(&line("compacted", "{\"message\":\"so far\",\"replacement_history\":[]}"));
    past.push_str(&said("user", "the newest"));
    let cwd = world.cwd.to_str().unwrap();
    let meta = format!("{{\"id\":\"{ID}\",\"cwd\":\"{cwd}\",\"source\":\"exec\"}}");
    let folder = world.home.join("sessions/2025/11/07");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("rollout-2025-11-07T10-00-00-{ID}.jsonl"));
    fs::write(path, line("session_meta", &meta) + &past).unwrap();
    (world, past)
}

fn fork(world: &World) -> Run {
    world.start(world.call(&["--skip-git-repo-check", "fork", ID, "go on"]))
}

/// Files of forks: those that are whole, and parts of others.
fn files(world: &World) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let files = world.rollouts().into_iter().filter(|path| !path.to_str().unwrap().contains(ID));
    files.partition(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
}

#[test]
fn a_fork_is_recorded_with_the_whole_past_and_then_goes_on() {
    let (mut world, past) = world();
    world.reply(Reply::message("done"));
    let run = fork(&world);
    world.finish(run).exits(0);
    let (whole, parts) = files(&world);
    assert_eq!((whole.len(), parts.len()), (1, 0));
    let text = fs::read_to_string(&whole[0]).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.contains("\"forked_from_id\":\"01990000-"), "{first}");
    let more = rest.strip_prefix(&*past).expect("the past as it was");
    assert!(more.contains("go on") && more.contains("task_complete"), "{more}");
    let input = world.body()["input"].to_string();
    assert!(input.contains("the newest") && input.contains("go on"), "{input}");
}

#[test]
fn a_fork_that_is_killed_meanwhile_is_there_whole_or_not_at_all() {
    let (mut world, past) = world();
    let (mut parts_seen, mut whole_seen) = (0, 0);
    for kill in 0..KILLS {
        world.reply(Reply::message("never").held());
        let mut run = fork(&world);
        let (known, _) = files(&world);
        let mut looks_left = kill;
        world.until(&mut run, "something of the fork", |world, _| {
            let (whole, parts) = files(world);
            let is_there = whole.len() > known.len() || !parts.is_empty();
            looks_left -= usize::from(is_there && looks_left > 0);
            is_there && looks_left == 0 || whole.len() > known.len()
        });
        run.signal(libc::SIGKILL);
        world.finish(run);
        world.provider.forget();
        let (whole, parts) = files(&world);
        parts_seen += parts.len();
        for part in parts {
            fs::remove_file(part).unwrap();
        }
        let Some(new) = whole.iter().find(|path| !known.contains(path)) else { continue };
        whole_seen += 1;
        let text = fs::read_to_string(new).unwrap();
        assert!(text.split_once('\n').unwrap().1.starts_with(&past));
        world.reply(Reply::message("resumed"));
        let words = ["--skip-git-repo-check", "resume", new.to_str().unwrap(), "and on"];
        world.exec(&words).exits(0);
        let input = &world.requests().last().unwrap().body["input"];
        assert!(input.to_string().contains("the newest"), "{input}");
    }
    assert!(parts_seen + whole_seen > 0, "a kill finds something");
}

#[test]
fn a_fork_that_the_disk_does_not_take_fails_and_leaves_nothing() {
    let (mut world, past) = world();
    let mut call = world.call(&["--json", "--skip-git-repo-check", "fork", ID, "go on"]);
    call.file_bytes_max = Some(past.len() as u64 / 2);
    let ended = world.run(call);
    ended.exits(1);
    let lines = ended.lines();
    let last = lines.last().unwrap();
    assert_eq!(last["type"], "turn.failed", "{ended}");
    let message = last["error"]["message"].as_str().unwrap();
    assert!(message.contains("record the fork"), "{message}");
    assert_eq!((files(&world), world.requests().len()), ((vec![], vec![]), 0));
}
