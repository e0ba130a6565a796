//! Reviews, from the command line to the verdict.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::reply::{End, Reply, delta};
use support::run::Ended;
use support::{World, records_of, texts, types_of};

/// What a good model says at the end.
fn verdict(world: &World) -> Value {
    let place = world.cwd.join("src/mean.rs");
    json!({
        "findings": [
            {
                "title": "Handle the empty list",
                "body": "`mean(&[])` divides by zero.\n\nIt is called so by `report`.",
                "confidence_score": 0.9,
                "priority": 1,
                "code_location": {
                    "absolute_file_path": place,
                    "line_range": { "start": 3, "end": 5 },
                },
            },
            {
                "title": "Say what the unit is",
                "body": "",
                "confidence_score": 0.5,
                "priority": 3,
                "code_location": {
                    "absolute_file_path": "/elsewhere/README",
                    "line_range": { "start": 1, "end": 1 },
                },
            },
        ],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "An ordinary input \u{1b}[31mfails.",
        "overall_confidence_score": 0.8,
    })
}

const TEXT: &str = "Incorrect (confidence 0.80)\nAn ordinary input \u{1b}[31mfails.\n\n\
    [P1] Handle the empty list\nsrc/mean.rs:3-5 (confidence 0.90)\n\
    `mean(&[])` divides by zero.\n\nIt is called so by `report`.\n\n\
    [P3] Say what the unit is\n/elsewhere/README:1 (confidence 0.50)";

/// Runs `windlass` with these words, without `exec` before them.
fn run(world: &mut World, words: &[&str]) -> Ended {
    let mut call = world.call(words);
    call.words.remove(0);
    world.run(call)
}

/// A review that looks and then judges.
fn judged(world: &mut World) {
    let verdict = verdict(world).to_string();
    world.reply(Reply::script("echo looked")).reply(Reply::message(&verdict));
}

/// What was asked last.
fn last_body(world: &World) -> &Value {
    &world.requests().last().unwrap().body
}

fn refused(words: &[&str]) -> String {
    let ended = run(&mut World::new(), words);
    ended.exits(2);
    assert_eq!(ended.stdout, "");
    ended.stderr
}

#[test]
fn a_verdict_is_shown_to_people() {
    let mut world = World::new();
    judged(&mut world);
    let ended = run(&mut world, &["review", "--uncommitted"]);
    ended.exits(0);
    assert_eq!(ended.stdout, format!("{TEXT}\n"));
    let (_, told) = ended.stderr.split_once("--------\nreview of\n").unwrap();
    let (hint, told) = told.split_once('\n').unwrap();
    assert_eq!(hint, "uncommitted changes");
    let safe = TEXT.replace("\u{1b}[31m", "");
    assert!(told.ends_with(&format!("review\n{safe}\ntokens used\n160\n")), "{told}");
    assert!(told.contains("echo looked") && !told.contains("overall_correctness"), "{told}");
    assert!(!told.contains('\u{1b}'));
}

#[test]
fn colours_mark_what_is_urgent() {
    let mut world = World::new();
    judged(&mut world);
    let ended = world.exec(&["--color", "always", "review", "--uncommitted"]);
    ended.exits(0);
    for piece in [
        "\u{1b}[1;31mIncorrect (confidence 0.80)\u{1b}[0m\n",
        "\u{1b}[1;31m[P1] Handle the empty list\u{1b}[0m\n",
        "\u{1b}[36msrc/mean.rs:3-5 (confidence 0.90)\u{1b}[0m\n",
        "\n[P3] Say what the unit is\n",
    ] {
        assert!(ended.stderr.contains(piece), "{piece:?} in {}", ended.stderr);
    }
}

#[test]
fn a_verdict_is_the_last_message_for_programs() {
    let mut world = World::new();
    let verdict = verdict(&world);
    world.reply(Reply::items(&[
        support::reply::message("I will look"),
        support::reply::call("c", "shell", r#"{"command":["echo","looked"]}"#),
    ]));
    world.reply(Reply::message(&format!("Here:\n```json\n{verdict:#}\n```")));
    let file = world.root.join("last");
    let path = file.to_string_lossy().into_owned();
    let ended = world.exec(&["review", "--json", "-o", &path, "--uncommitted"]);
    ended.exits(0);
    assert_eq!(
        ended.types(),
        [
            "thread.started",
            "turn.started",
            "item.completed agent_message",
            "item.started command_execution",
            "item.completed command_execution",
            "item.completed agent_message",
            "turn.completed",
        ]
    );
    let messages = ended.items("agent_message");
    assert_eq!(
        messages[0],
        json!({"id": "item_0", "type": "agent_message", "text": "I will look"})
    );
    assert_eq!(messages[1]["text"], TEXT);
    assert_eq!(messages[1]["review_output"], verdict);
    assert_eq!(fs::read_to_string(file).unwrap(), TEXT);
}

#[test]
fn a_review_has_settings_of_its_own() {
    let mut world = World::new();
    world.file("AGENTS.md", "be kind");
    fs::write(
        world.home.join("config.toml"),
        "review_model = \"o3\"\n\
        sandbox_mode = \"danger-full-access\"\nweb_search = \"live\"\n",
    )
    .unwrap();
    judged(&mut world);
    let ended = world.exec(&["review", "--json", "--commit", "1234567", "--title", "Fix it"]);
    ended.exits(0);
    assert_eq!(world.requests().len(), 2);
    for request in world.requests() {
        assert_eq!(request.headers["x-openai-subagent"], "review");
        let body = &request.body;
        assert_eq!(body["model"], "o3");
        assert!(body["instructions"].as_str().unwrap().contains("reviewing a change"));
        let tools = body["tools"].as_array().unwrap();
        let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
        assert_eq!(names, ["shell", "update_plan"]);
        let said = texts(&body["input"], "user");
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("<sandbox_mode>read-only</sandbox_mode>"), "{}", said[0]);
        assert!(said[1].contains("commit 1234567 (\"Fix it\")"), "{}", said[1]);
    }
    judged(&mut world);
    world.exec(&["review", "-m", "gpt-5.1-codex", "--uncommitted"]).exits(0);
    assert_eq!(last_body(&world)["model"], "gpt-5.1-codex");
}

#[test]
fn commands_of_a_review_write_nothing() {
    let mut world = World::new();
    let verdict = verdict(&world).to_string();
    world.reply(Reply::script("touch made; echo $?")).reply(Reply::message(&verdict));
    world.exec(&["review", "--json", "--uncommitted"]).exits(0);
    assert!(!world.cwd.join("made").exists());
}

#[test]
fn a_rollout_says_where_a_review_begins_and_ends() {
    let mut world = World::new();
    judged(&mut world);
    let ended = world.exec(&["review", "--json", "look at\nthe parser"]);
    ended.exits(0);
    let [path] = world.rollouts().try_into().unwrap();
    let records = records_of(&path);
    let types = types_of(&records);
    let at = |kind: &str| types.iter().position(|known| known == kind).unwrap();
    let entered = &records[at("event_msg/entered_review_mode")]["payload"];
    assert_eq!(entered["prompt"], "look at\nthe parser");
    assert_eq!(entered["user_facing_hint"], "look at");
    let exited = &records[at("event_msg/exited_review_mode")]["payload"];
    assert_eq!(exited["review_output"], verdict(&world));
    assert!(at("event_msg/entered_review_mode") < at("event_msg/user_message"));
    assert_eq!(
        types[types.len() - 2..],
        ["event_msg/exited_review_mode", "event_msg/task_complete"]
    );
    world.reply(Reply::message("it is fixed"));
    world.exec(&["resume", &ended.thread(), "fix it"]).exits(0);
    assert_eq!(texts(&last_body(&world)["input"], "user").last().unwrap(), "fix it");
}

#[test]
fn a_branch_is_compared_with_as_git_knows_it() {
    let mut world = World::new();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    world.file(".git/refs/remotes/origin/next", commit);
    for (branch, says) in [
        ("next", "`git merge-base HEAD origin/next`"),
        ("v1'0", "`git merge-base HEAD 'v1'\\''0'`"),
    ] {
        judged(&mut world);
        world.exec(&["review", "--base", branch]).exits(0);
        let asked = texts(&last_body(&world)["input"], "user");
        assert!(asked.last().unwrap().contains(says), "{asked:?}");
    }
}

#[test]
fn words_may_come_from_stdin() {
    let mut world = World::new();
    judged(&mut world);
    let call = world.call(&["review", "-"]).piped("the parser alone\n");
    world.run(call).exits(0);
    assert_eq!(texts(&last_body(&world)["input"], "user").last().unwrap(), "the parser alone\n");
}

#[test]
fn plain_words_are_a_verdict_that_only_explains() {
    let mut world = World::new();
    world.reply(Reply::message("Looks good to me."));
    let ended = world.exec(&["review", "--json", "--uncommitted"]);
    ended.exits(0);
    let [message] = ended.items("agent_message").try_into().unwrap();
    assert_eq!(message["text"], "Looks good to me.");
    assert_eq!(message["review_output"]["findings"], json!([]));
    assert_eq!(message["review_output"]["overall_explanation"], "Looks good to me.");
}

#[test]
fn a_review_that_fails_has_no_verdict() {
    let mut world = World::new();
    world.reply(Reply::status(400, r#"{"error":{"message":"no such model"}}"#));
    let ended = world.exec(&["review", "--json", "--uncommitted"]);
    ended.exits(1);
    assert_eq!(ended.types().last().unwrap(), "turn.failed");
    assert!(ended.items("agent_message").is_empty());
    let records = world.records();
    let types = types_of(&records);
    let at = types.iter().position(|kind| kind == "event_msg/exited_review_mode").unwrap();
    assert_eq!(records[at]["payload"]["review_output"], Value::Null);
}

#[test]
fn an_interrupt_ends_a_review_without_a_verdict() {
    let mut world = World::new();
    let hung = Reply::events(&[support::reply::created(), delta("{\"findings\":")]);
    world.reply(hung.ending(End::Hung));
    let call = world.call(&["review", "--json", "--uncommitted"]);
    let mut run = world.start(call);
    world.until(&mut run, "a request", |world, _| !world.requests().is_empty());
    world.settle(&mut run);
    run.signal(libc::SIGINT);
    let ended = world.finish(run);
    ended.exits(130);
    let types = types_of(&world.records());
    let tail: Vec<&str> = types.iter().rev().take(2).map(String::as_str).collect();
    assert_eq!(tail, ["event_msg/turn_aborted", "event_msg/exited_review_mode"]);
}

#[test]
fn one_thing_is_reviewed_at_a_time() {
    let none = refused(&["review"]);
    assert!(none.contains("say what to review: --uncommitted, --base BRANCH"), "{none}");
    assert!(none.contains("`windlass exec review --help` explains"), "{none}");
    for words in [
        &["review", "--uncommitted", "words"][..],
        &["exec", "review", "--base", "main", "--commit", "1234567"],
    ] {
        assert!(refused(words).contains("more than one thing to review"), "{words:?}");
    }
    for (words, why) in [
        (&["review", "--uncommitted", "--title", "x"][..], "--title belongs to --commit"),
        (&["review", "--base", "--all"], "--base needs a value"),
        (&["review", "--base=-x"], "--base: not the name of a branch or commit"),
        (&["review", "--commit", "a b"], "--commit: not the name of a branch or commit"),
        (&["review", "--uncommitted", "-s", "workspace-write"], "a review only reads"),
        (&["review", "--uncommitted", "--yolo"], "a review only reads"),
        (&["review", "--uncommitted", "--output-schema", "x"], "a form of its own"),
        (&["exec", "--uncommitted", "x"], "--uncommitted belongs to `windlass exec review`"),
    ] {
        let said = refused(words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
}
