//! Turns of text, from the command line to the provider and back, and sessions that go on.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use support::reply::{Cut, Framing, Reply};
use support::run::{Ended, KEY};
use support::{World, records_of, texts, types_of};

#[test]
fn a_turn_of_text_is_told_in_json_lines() {
    let mut world = World::new();
    world.reply(Reply::message("hello from afar"));
    let ended = world.exec(&["--json", "say hello"]);
    ended.exits(0);
    let thread = ended.thread();
    let expected = format!(
        concat!(
            r#"{{"type":"thread.started","thread_id":"{}"}}"#,
            "\n",
            r#"{{"type":"turn.started"}}"#,
            "\n",
            r#"{{"type":"item.completed","item":{{"id":"item_0","type":"agent_message","#,
            r#""text":"hello from afar"}}}}"#,
            "\n",
            r#"{{"type":"turn.completed","usage":{{"input_tokens":100,"cached_input_tokens":40,"#,
            r#""cache_write_input_tokens":0,"output_tokens":20,"reasoning_output_tokens":5}}}}"#,
            "\n",
        ),
        thread
    );
    assert_eq!(ended.stdout, expected);
    assert_eq!(ended.stderr, "");
    assert!(!ended.had_children, "{:?}", ended.children);
}

#[test]
fn a_turn_of_text_is_shown_to_people() {
    let mut world = World::new();
    world.reply(Reply::items(&[
        support::reply::reasoning("a greeting is due"),
        support::reply::message("hello from afar"),
    ]));
    let ended = world.exec(&["say hello"]);
    ended.exits(0);
    assert_eq!(ended.stdout, "hello from afar\n");
    let session = world.body()["prompt_cache_key"].as_str().unwrap();
    let expected = format!(
        "windlass {}\n--------\nworkdir: {}\nmodel: gpt-5.1-codex\nprovider: openai\n\
         approval: never\nsandbox: read-only\nreasoning effort: none\n\
         reasoning summaries: auto\nsession id: {session}\n--------\nuser\nsay hello\n\
         thinking\na greeting is due\ncodex\nhello from afar\ntokens used\n80\n",
        env!("CARGO_PKG_VERSION"),
        world.cwd.display(),
    );
    assert_eq!(ended.stderr, expected);
    assert!(!ended.had_children, "{:?}", ended.children);
}

#[test]
fn a_turn_goes_over_tls() {
    let mut world = World::tls();
    world.reply(Reply::message("well kept"));
    let ended = world.exec(&["--json", "a secret"]);
    ended.exits(0);
    assert_eq!(ended.items("agent_message")[0]["text"], "well kept");
    assert_eq!(texts(&world.body()["input"], "user").last().unwrap(), "a secret");
    assert!(!ended.had_children, "{:?}", ended.children);
}

#[test]
fn a_server_nobody_vouches_for_is_not_spoken_to() {
    let mut world = World::tls();
    let call = world.call(&["--json", "a secret"]).without("WINDLASS_CA_FILE").retrying(0, 0);
    let ended = world.run(call);
    ended.exits(1);
    let lines = ended.lines();
    let message = lines.last().unwrap()["error"]["message"].as_str().unwrap();
    assert!(message.contains("tls with 127.0.0.1"), "{message}");
    assert_eq!(world.requests().len(), 0);
}

#[test]
fn this_machine_needs_no_lookup() {
    let mut world = World::new();
    world.reply(Reply::message("found"));
    let url = world.provider.url_of("localhost");
    let call = world.call(&["--json", "hi"]).env("OPENAI_BASE_URL", &url);
    let ended = world.run(call);
    ended.exits(0);
    assert!(!ended.had_children, "{:?}", ended.children);
    assert!(world.requests()[0].headers["host"].starts_with("localhost:"));
}

#[test]
fn a_name_is_looked_up_by_a_child_that_does_not_stay() {
    // A name that the machine knows without asking anyone.
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let named = hosts.lines().filter_map(|line| line.strip_prefix("127.0.0.1"));
    let mut names = named.flat_map(str::split_ascii_whitespace);
    let Some(name) = names.find(|name| !name.contains("localhost")) else {
        eprintln!("SKIPPED: /etc/hosts has no name for 127.0.0.1 besides localhost");
        return;
    };
    let mut world = World::new();
    world.reply(Reply::message("found"));
    let url = world.provider.url_of(name);
    let call = world.call(&["--json", "hi"]).env("OPENAI_BASE_URL", &url);
    let ended = world.run(call);
    ended.exits(0);
    assert!(ended.had_children);
}

#[test]
fn an_answer_is_the_same_however_it_is_framed_and_cut() {
    let text = "pieces of eight: \u{20ac}\u{1f980} and more";
    for framing in [Framing::Chunked, Framing::Length, Framing::Close] {
        for cut in [Cut::Whole, Cut::EveryByte, Cut::Odd] {
            let mut world = World::new();
            world.reply(Reply::message(text).framed(framing).cut(cut));
            let ended = world.exec(&["--json", "hi"]);
            ended.exits(0);
            assert_eq!(
                ended.types(),
                [
                    "thread.started",
                    "turn.started",
                    "item.completed agent_message",
                    "turn.completed"
                ]
            );
            assert_eq!(ended.items("agent_message")[0]["text"], text, "{framing:?} {cut:?}");
        }
    }
}

#[test]
fn an_answer_over_tls_may_come_byte_by_byte() {
    let mut world = World::tls();
    world.reply(Reply::message("drop by drop").cut(Cut::EveryByte));
    let ended = world.exec(&["--json", "hi"]);
    ended.exits(0);
    assert_eq!(ended.items("agent_message")[0]["text"], "drop by drop");
}

#[test]
fn a_slow_stream_is_waited_for() {
    let mut world = World::new();
    world.reply(Reply::message("one two three four").slowly(Duration::from_millis(40)));
    let ended = world.exec(&["--json", "hi"]);
    ended.exits(0);
    assert!(ended.took_ms >= 6 * 40, "{}", ended.took_ms);
}

#[test]
fn the_request_says_who_asks_and_what() {
    let mut world = World::new();
    world.reply(Reply::message("hi"));
    world.exec(&["--json", "say hello"]).exits(0);
    let [request] = world.requests() else { panic!() };
    assert_eq!((&*request.method, &*request.target), ("POST", "/v1/responses"));
    let header = |name: &str| request.headers.get(name).map_or("", String::as_str);
    let conversation = request.body["prompt_cache_key"].as_str().unwrap();
    assert_eq!(header("authorization"), format!("Bearer {KEY}"));
    assert_eq!(header("accept"), "text/event-stream");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("content-length"), request.body_bytes.len().to_string());
    assert_eq!(header("originator"), "codex_exec");
    assert_eq!(header("version"), env!("CARGO_PKG_VERSION"));
    assert!(header("user-agent").starts_with("codex_exec/"), "{}", header("user-agent"));
    for name in ["conversation_id", "session_id", "session-id", "thread-id"] {
        assert_eq!(header(name), conversation, "{name}");
    }
    let body = &request.body;
    assert_eq!(body["model"], "gpt-5.1-codex");
    assert!(body["instructions"].as_str().unwrap().len() > 1000);
    assert_eq!(body["tool_choice"], "auto");
    assert_eq!(body["parallel_tool_calls"], true);
    assert_eq!(body["reasoning"]["summary"], "auto");
    assert_eq!(body["store"], false);
    assert_eq!(body["stream"], true);
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    for never in ["previous_response_id", "temperature", "max_output_tokens", "user", "metadata"] {
        assert_eq!(body.get(never), None, "{never}");
    }
    let tools = body["tools"].as_array().unwrap().iter();
    let names: Vec<_> = tools.map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shell", "update_plan", "apply_patch", "view_image"]);
    let told = texts(&body["input"], "user");
    let [environment, prompt] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(prompt, "say hello");
    let expected = format!(
        "<environment_context>\n  <cwd>{}</cwd>\n  <approval_policy>never</approval_policy>\n  \
         <sandbox_mode>read-only</sandbox_mode>\n  <network_access>restricted</network_access>\n  \
         <shell>sh</shell>\n</environment_context>",
        world.cwd.display()
    );
    assert_eq!(*environment, expected);
}

#[test]
fn settings_reach_the_request() {
    let mut world = World::new();
    world.file("AGENTS.md", "Mind the gap.\n");
    world.file("schema.json", r#"{"type": "object", "properties": {}}"#);
    world.reply(Reply::message("{}"));
    let words = [
        "-m",
        "gpt-5.1",
        "-c",
        "model_reasoning_effort=high",
        "-c",
        "developer_instructions='be brief'",
        "--output-schema",
        "schema.json",
        "-s",
        "workspace-write",
        "say hello",
    ];
    world.exec(&words).exits(0);
    let body = world.body();
    assert_eq!(body["model"], "gpt-5.1");
    assert_eq!(body["reasoning"], json!({"effort": "high", "summary": "auto"}));
    let format = json!({
        "type": "json_schema", "name": "codex_output_schema", "strict": true,
        "schema": {"type": "object", "properties": {}},
    });
    assert_eq!(body["text"], json!({"verbosity": "low", "format": format}));
    assert_eq!(texts(&body["input"], "developer"), ["be brief"]);
    let told = texts(&body["input"], "user");
    let notes = format!(
        "# AGENTS.md instructions for {}\n\n<INSTRUCTIONS>\nMind the gap.\n",
        world.cwd.display()
    );
    assert!(told[0].starts_with(&notes), "{}", told[0]);
    assert!(told[1].contains("<sandbox_mode>workspace-write</sandbox_mode>"), "{}", told[1]);
}

#[test]
fn images_go_before_the_text() {
    let mut world = World::new();
    let png = b"\x89PNG\r\n\x1a\n0000";
    world.file("a.png", png);
    world.reply(Reply::message("pretty"));
    world.exec(&["-i", "a.png", "-i", "gone.png", "--", "what is this"]).exits(0);
    let input = world.body()["input"].as_array().unwrap();
    let content = input.last().unwrap()["content"].as_array().unwrap();
    let expected = json!({
        "type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgowMDAw",
    });
    assert_eq!(content[0], expected);
    let placeholder = content[1]["text"].as_str().unwrap();
    assert!(placeholder.contains("gone.png"), "{placeholder}");
    assert_eq!(content[2], json!({"type": "input_text", "text": "what is this"}));
}

#[test]
fn the_last_message_is_written_where_it_is_wanted() {
    let mut world = World::new();
    world.reply(Reply::items(&[
        support::reply::message("first"),
        support::reply::message("last\u{20ac}"),
    ]));
    let ended = world.exec(&["-o", "last.txt", "hi"]);
    ended.exits(0);
    assert_eq!(world.read("last.txt"), "last\u{20ac}");
    assert_eq!(ended.stdout, "last\u{20ac}\n");
    world.reply(Reply::message("nowhere"));
    let ended = world.exec(&["-o", "no/such/place", "hi"]);
    ended.exits(0);
    assert!(ended.stderr.contains("cannot write the last message to no/such/place"), "{ended}");
}

#[test]
fn a_rollout_keeps_everything_in_order() {
    let mut world = World::new();
    world.reply(Reply::items(&[
        support::reply::reasoning("hm"),
        support::reply::message("let me see"),
        support::reply::call("c1", "shell", r#"{"command":["echo","found"]}"#),
    ]));
    world.reply(Reply::message("done"));
    let ended = world.exec(&["--json", "look"]);
    ended.exits(0);
    let records = world.records();
    let expected = [
        "session_meta",
        "event_msg/task_started",
        "response_item/message",
        "response_item/message",
        "event_msg/user_message",
        "turn_context",
        "response_item/reasoning",
        "event_msg/agent_reasoning",
        "response_item/message",
        "event_msg/agent_message",
        "event_msg/token_count",
        "response_item/function_call",
        "response_item/function_call_output",
        "response_item/message",
        "event_msg/agent_message",
        "event_msg/token_count",
        "event_msg/task_complete",
    ];
    assert_eq!(types_of(&records), expected);
    let meta = &records[0]["payload"];
    assert_eq!(meta["id"], ended.thread());
    assert_eq!(meta["cwd"], world.cwd.to_str().unwrap());
    assert_eq!(meta["source"], "exec");
    assert_eq!(meta["originator"], "codex_exec");
    assert_eq!(meta["git"], json!({"branch": "main"}));
    assert!(meta.get("instructions").is_some_and(Value::is_null));
    let output: Value =
        serde_json::from_str(records[12]["payload"]["output"].as_str().unwrap()).unwrap();
    assert_eq!(output["output"], "found\n");
    assert_eq!(output["metadata"]["exit_code"], 0);
    let name = world.rollouts()[0].file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("rollout-20") && name.ends_with(&format!("{}.jsonl", ended.thread())));
}

#[test]
fn an_ephemeral_run_leaves_no_file() {
    let mut world = World::new();
    world.reply(Reply::message("forgotten"));
    world.exec(&["--ephemeral", "hi"]).exits(0);
    assert_eq!(world.rollouts(), Vec::<PathBuf>::new());
}

/// One turn that calls a tool, so that there is a history of every kind.
fn first_turn(world: &mut World) -> Ended {
    world.reply(Reply::items(&[
        support::reply::reasoning("hm"),
        support::reply::call("c1", "shell", r#"{"command":["echo","found"]}"#),
    ]));
    world.reply(Reply::message("first answer"));
    let ended = world.exec(&["--json", "first question"]);
    ended.exits(0);
    ended
}

#[test]
fn a_session_goes_on_with_the_model_and_effort_it_was_recorded_with() {
    let mut world = World::new();
    let exec = |world: &mut World, words: &[&str]| {
        world.reply(Reply::message("done"));
        let ended = world.exec(&[&["--skip-git-repo-check"][..], words].concat());
        ended.exits(0);
        let body = &world.requests().last().unwrap().body;
        let said = format!("{} {}", body["model"], body["reasoning"]["effort"]);
        (said.replace('"', ""), ended.stderr.clone())
    };
    let (first, _) = exec(&mut world, &["-m", "gpt-5.1", "-c", "model_reasoning_effort=high", "a"]);
    assert_eq!(first, "gpt-5.1 high");
    let (resumed, shown) = exec(&mut world, &["resume", "--last", "b"]);
    assert_eq!(resumed, "gpt-5.1 high");
    assert!(shown.contains("gpt-5.1\n"), "{shown}");
    assert_eq!(exec(&mut world, &["fork", "--last", "b"]).0, "gpt-5.1 high");
    let low = ["-c", "model_reasoning_effort=low", "resume", "--last", "c"];
    assert_eq!(exec(&mut world, &low).0, "gpt-5.1 low");
    let other = exec(&mut world, &["-m", "o3", "resume", "--last", "d"]).0;
    assert!(other.starts_with("o3 ") && !other.ends_with("low"), "{other}");
}

/// What a resumed request must hold after `first_turn` and another prompt.
fn check_resumed(world: &World, first: &Ended, second: &Ended, prompt: &str) {
    second.exits(0);
    assert_eq!(second.thread(), first.thread());
    assert_eq!(second.items("agent_message")[0]["id"], "item_0", "numbered anew");
    let requests = world.requests();
    let before = requests[requests.len() - 2].body["input"].as_array().unwrap();
    let request = requests.last().unwrap();
    let input = request.body["input"].as_array().unwrap();
    assert_eq!(input[..before.len()], before[..], "the same history, item by item");
    let types: Vec<_> = input.iter().map(|item| item["type"].as_str().unwrap()).collect();
    let expected = [
        "message",
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "message",
        "message",
    ];
    assert_eq!(types, expected);
    assert!(input.iter().all(|item| item.get("id").is_none()), "{input:?}");
    assert_eq!(texts(&request.body["input"], "assistant"), ["first answer"]);
    assert_eq!(texts(&request.body["input"], "user").last().unwrap(), prompt);
    assert_eq!(request.headers["session_id"], first.thread());
    let metas = types_of(&world.records()).iter().filter(|kind| *kind == "session_meta").count();
    assert_eq!(metas, 1, "one file, one meta");
}

#[test]
fn a_session_goes_on_by_its_id() {
    let mut world = World::new();
    let first = first_turn(&mut world);
    world.reply(Reply::message("second answer"));
    let second = world.exec(&["--json", "resume", &first.thread(), "second question"]);
    check_resumed(&world, &first, &second, "second question");
}

#[test]
fn the_last_session_goes_on() {
    let mut world = World::new();
    let first = first_turn(&mut world);
    world.reply(Reply::message("second answer"));
    let call = world.call(&["--json", "resume", "--last"]).piped("by pipe");
    let second = world.run(call);
    check_resumed(&world, &first, &second, "by pipe");
}

#[test]
fn the_last_session_is_the_last_of_this_place_unless_all_count() {
    let mut world = World::new();
    let first = first_turn(&mut world);
    let elsewhere = world.elsewhere.to_string_lossy().into_owned();
    let words = ["--json", "--skip-git-repo-check", "-C", &elsewhere, "resume", "--last"];
    let ended = world.exec(&[words.as_slice(), &["again"]].concat());
    ended.exits(1);
    assert!(ended.stderr.contains("no session"), "{ended}");
    world.reply(Reply::message("again"));
    let ended = world.exec(&[words.as_slice(), &["--all", "again"]].concat());
    ended.exits(0);
    assert_eq!(ended.thread(), first.thread());
    let told = texts(&world.requests().last().unwrap().body["input"], "user");
    assert!(told[told.len() - 2].contains(&format!("<cwd>{elsewhere}</cwd>")), "{told:?}");
}

#[test]
fn the_usual_home_is_made_when_it_is_needed() {
    let mut world = World::new();
    let home = world.root.join(".windlass");
    let call = world.call(&["--help"]).without("WINDLASS_HOME");
    world.run(call).exits(0);
    assert!(!home.exists());
    world.reply(Reply::message("hi"));
    let call = world.call(&["hi"]).without("WINDLASS_HOME");
    world.run(call).exits(0);
    world.home = home;
    assert_eq!(world.rollouts().len(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.home.join("sessions")), 0o700);
    assert_eq!(mode(&world.rollouts()[0]), 0o600);
}

#[test]
fn an_answer_without_words_is_an_answer() {
    let mut world = World::new();
    world.reply(Reply::items(&[support::reply::reasoning("nothing to say")]));
    let ended = world.exec(&["-o", "last.txt", "hi"]);
    ended.exits(0);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("warning: there is no last message"), "{ended}");
    assert_eq!(world.read("last.txt"), "");
}

#[test]
fn a_session_goes_on_as_the_sdk_asks_for_it() {
    let mut world = World::new();
    let first = first_turn(&mut world);
    world.reply(Reply::message("second answer"));
    let url = format!("openai_base_url=\"{}\"", world.provider.url());
    let words = [
        "--experimental-json",
        "--config",
        "unknown_to_us=1",
        "--config",
        &url,
        "--sandbox",
        "read-only",
        "--skip-git-repo-check",
        "--config",
        "web_search=\"disabled\"",
        "--config",
        "approval_policy=\"on-request\"",
        "resume",
        &first.thread(),
    ];
    let call = world.call(&words).without("OPENAI_BASE_URL").piped("from the sdk");
    let second = world.run(call);
    check_resumed(&world, &first, &second, "from the sdk");
}

#[test]
fn an_unknown_session_is_an_error() {
    let mut world = World::new();
    for name in ["01990000-0000-7000-8000-00000000dead", "no-such-name"] {
        let ended = world.exec(&["--json", "resume", name, "hi"]);
        ended.exits(1);
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.contains(name), "{ended}");
    }
    let ended = world.exec(&["--json", "resume", "--last", "hi"]);
    ended.exits(1);
    assert!(ended.stderr.contains("no session"), "{ended}");
    assert_eq!(world.requests().len(), 0);
}

/// A rollout of Codex 0.58, put where it would be.
fn foreign_rollout(world: &World, id: &str) -> PathBuf {
    put_rollout(world, id, include_str!("fixtures/rollout-0.58.jsonl"))
}

fn put_rollout(world: &World, id: &str, sample: &str) -> PathBuf {
    let directory = world.home.join("sessions/2025/11/07");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(format!("rollout-2025-11-07T10-00-00-{id}.jsonl"));
    fs::write(&path, sample.replace("<id>", id).replace("<cwd>", world.cwd.to_str().unwrap()))
        .unwrap();
    path
}

const FOREIGN: &str = "01990000-0000-7000-8000-0000000000aa";

fn check_foreign(world: &World, ended: &Ended) {
    ended.exits(0);
    assert_eq!(ended.thread(), FOREIGN);
    let body = world.body();
    let input = body["input"].as_array().unwrap();
    let types: Vec<_> = input.iter().map(|item| item["type"].as_str().unwrap()).collect();
    let expected = [
        "message",
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "message",
        "message",
        "message",
    ];
    assert_eq!(types, expected);
    assert_eq!(input[2]["encrypted_content"], "ENC==");
    assert_eq!(input[3]["call_id"], "c1");
    let users = texts(&body["input"], "user");
    assert_eq!(users[1], "do it");
    assert!(users[2].contains("<sandbox_mode>read-only</sandbox_mode>"), "what has changed");
    assert_eq!(users[3], "go on");
    assert_eq!(texts(&body["input"], "assistant"), ["Done"]);
}

#[test]
fn a_session_of_the_other_agent_goes_on() {
    let mut world = World::new();
    let path = foreign_rollout(&world, FOREIGN);
    let before = fs::read_to_string(&path).unwrap();
    world.reply(Reply::message("gone on"));
    let ended = world.exec(&["--json", "resume", FOREIGN, "go on"]);
    check_foreign(&world, &ended);
    let after = fs::read_to_string(&path).unwrap();
    assert!(after.starts_with(&before), "what was there stays");
    assert_eq!(types_of(&records_of(&path)).last().unwrap(), "event_msg/task_complete");
}

#[test]
fn a_session_of_the_newer_agent_goes_on_without_its_marks() {
    let mut world = World::new();
    let path = put_rollout(&world, FOREIGN, include_str!("fixtures/rollout-0.169.jsonl"));
    world.reply(Reply::message("gone on"));
    let ended = world.exec(&["--json", "resume", "--last", "go on"]);
    ended.exits(0);
    assert_eq!(ended.thread(), FOREIGN);
    let input = &world.body()["input"];
    assert_eq!(texts(input, "developer"), ["permissions"]);
    assert_eq!(texts(input, "user")[1], "do it");
    assert_eq!(texts(input, "user").last().unwrap(), "go on");
    assert_eq!(texts(input, "assistant"), ["I will look.", "Done"]);
    assert!(world.outputs()[0].ends_with("Output:\nvia exec\n"));
    for item in input.as_array().unwrap() {
        for mark in ["id", "metadata", "internal_chat_message_metadata_passthrough"] {
            assert!(item.get(mark).is_none(), "{mark}: {item}");
        }
    }
    let lines = ended.lines();
    assert_eq!(lines.last().unwrap()["usage"]["input_tokens"], 800, "what was used before counts");
    // That agent no longer opens a file in which a line lacks its number.
    world.reply(Reply::message("and on"));
    world.exec(&["resume", "--last", "and on"]).exits(0);
    let records = records_of(&path);
    assert_eq!(types_of(&records).last().unwrap(), "event_msg/task_complete");
    let numbers = records.iter().map(|record| record["ordinal"].as_u64().unwrap());
    let ours = numbers.skip_while(|number| *number < 43).collect::<Vec<_>>();
    assert!(ours.len() > 12, "two turns of ours: {ours:?}");
    assert!(ours.iter().copied().eq(43..43 + ours.len() as u64), "{ours:?}");
}

#[test]
fn a_rollout_torn_in_its_last_line_goes_on() {
    let mut world = World::new();
    let path = foreign_rollout(&world, FOREIGN);
    let whole = fs::read_to_string(&path).unwrap();
    let torn = r#"{"timestamp":"2025-11-07T10:00:03.000Z","type":"response_item","payload":{"ty"#;
    fs::write(&path, whole.clone() + torn).unwrap();
    world.reply(Reply::message("gone on"));
    let ended = world.exec(&["--json", "resume", FOREIGN, "go on"]);
    check_foreign(&world, &ended);
    let after = fs::read_to_string(&path).unwrap();
    assert!(after.starts_with(&whole), "what was whole stays");
    assert!(!after.contains(torn), "what was torn is gone");
    records_of(&path);
}

#[test]
fn a_session_in_use_is_refused() {
    let mut world = World::new();
    world.reply(Reply::message("hold on").held());
    let call = world.call(&["--json", "first"]);
    let mut first = world.start(call);
    world.until(&mut first, "a request", |world, _| !world.requests().is_empty());
    let thread: Value = serde_json::from_str(first.stdout().lines().next().unwrap()).unwrap();
    let thread = thread["thread_id"].as_str().unwrap().to_owned();
    let ended = world.exec(&["--json", "resume", &thread, "second"]);
    ended.exits(1);
    assert!(ended.stderr.contains("in use by another process"), "{ended}");
    assert_eq!(ended.stdout, "");
    world.provider.is_released = true;
    world.finish(first).exits(0);
    world.provider.is_released = false;
    world.reply(Reply::message("once more").held());
    let mut resumed = world.start(world.call(&["--json", "resume", &thread, "third"]));
    world.until(&mut resumed, "a request", |world, _| world.requests().len() == 2);
    world.exec(&["resume", &thread, "fourth"]).exits(1);
    // Nobody who only reads is held up, and whoever was killed holds nothing.
    world.reply(Reply::message("of the fork"));
    world.exec(&["fork", &thread, "fourth"]).exits(0);
    world.reply(Reply::message("not kept"));
    world.exec(&["--ephemeral", "resume", &thread, "fourth"]).exits(0);
    resumed.signal(libc::SIGKILL);
    world.finish(resumed);
    world.reply(Reply::message("free"));
    world.exec(&["resume", &thread, "fourth"]).exits(0);
}
