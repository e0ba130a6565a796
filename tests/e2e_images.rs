//! Images of a conversation: sent byte for byte, recorded once, and never held.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::World;
use support::reply::{Reply, call};
use support::run::Ended;

/// What begins like an image and is like no other.
fn png(seed: u8, bytes: usize) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    image.extend((0..bytes).map(|index| (index as u8).wrapping_mul(31) ^ seed));
    image
}

fn url(image: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(image))
}

/// The images of a request over either wire.
fn images(body: &Value) -> Vec<String> {
    let items = body.get("input").or(body.get("messages")).unwrap().as_array().unwrap();
    let parts = items.iter().filter_map(|item| item["content"].as_array()).flatten();
    let urls = parts.filter_map(|part| match &part["image_url"] {
        Value::String(url) => Some(url.clone()),
        Value::Object(named) => Some(named["url"].as_str().unwrap().to_owned()),
        _ => None,
    });
    urls.collect()
}

const FREELY: [&str; 4] = ["--json", "--skip-git-repo-check", "-s", "danger-full-access"];

/// A conversation with an image of the prompt, a small one, and one that the model looks at.
struct Story {
    world: World,
    expected: [String; 3],
}

impl Story {
    fn new() -> Story {
        let world = World::new();
        let files = [("a.png", 50_000), ("b.png", 100), ("c.png", 700_000)];
        let mut seed = 0;
        let expected = files.map(|(name, bytes)| {
            seed += 1;
            let image = png(seed, bytes);
            world.file(name, &image);
            url(&image)
        });
        Story { world, expected }
    }

    fn looking(first: Value) -> Story {
        let mut story = Story::new();
        story.world.reply(Reply::items(&[first])).reply(Reply::message("seen"));
        story
    }

    fn run(&mut self, words: &[&str]) -> Ended {
        let ended = self.world.exec(&[&FREELY[..], words].concat());
        ended.exits(0);
        ended
    }

    /// The images of the last request are all of them, byte for byte.
    #[track_caller]
    fn check(&self) {
        let body = &self.world.requests().last().unwrap().body;
        assert!(images(body) == self.expected);
    }
}

fn look() -> Value {
    call("1", "view_image", &json!({"path": "c.png"}).to_string())
}

const PROMPT: [&str; 3] = ["look", "-i", "a.png,b.png"];

#[test]
fn images_are_sent_recorded_once_and_remembered() {
    let mut story = Story::looking(look());
    story.run(&PROMPT);
    story.check();
    let recorded = fs::read_to_string(&story.world.rollouts()[0]).unwrap();
    for url in [&story.expected[0], &story.expected[2]] {
        assert_eq!(recorded.matches(&**url).count(), 1, "it is recorded once");
    }
    story.world.reply(Reply::message("still there"));
    story.run(&["resume", "--last", "go on"]);
    story.check();
    story.world.reply(Reply::message("and here"));
    story.run(&["fork", "--last", "go another way"]);
    story.check();
    let mut rollouts = story.world.rollouts();
    rollouts.retain(|path| fs::read_to_string(path).unwrap().contains("another way"));
    let path = rollouts[0].to_str().unwrap().to_owned();
    for other in story.world.rollouts().iter().filter(|other| **other != rollouts[0]) {
        fs::remove_file(other).unwrap();
    }
    story.world.reply(Reply::message("still"));
    story.run(&["resume", &path, "go on"]);
    story.check();
}

#[test]
fn images_of_an_ephemeral_run_are_sent_and_recorded_nowhere() {
    let mut story = Story::looking(look());
    story.run(&[&["--ephemeral"][..], &PROMPT].concat());
    story.check();
    assert_eq!(story.world.rollouts().len(), 0);
}

#[test]
fn the_other_wire_has_the_same_images() {
    let mut story = Story::new();
    let choice = json!({"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"});
    let told = format!("data: {}\n\ndata: [DONE]\n\n", json!({ "choices": [choice] }));
    for words in [&PROMPT[..], &["resume", "--last", "go on"]] {
        story.world.reply(Reply::pieces(vec![told.clone().into_bytes()]));
        let call = story.world.call(&[&FREELY[..], words].concat());
        let call = call.retrying(0, 0).set("model_providers.mock.wire_api=chat").set("model=m");
        story.world.run(call).exits(0);
        let body = &story.world.requests().last().unwrap().body;
        assert!(images(body) == story.expected[..2]);
    }
}

#[test]
fn a_record_that_is_changed_meanwhile_is_told_and_not_sent() {
    let change = "f=$(find \"$CODEX_HOME\" \"$HOME\" -name 'rollout-*' | head -n 1); \
                  o=$(grep -abo 'data:image' \"$f\" | head -n 1 | cut -d: -f1); \
                  printf 'changed' | dd of=\"$f\" bs=1 seek=\"$o\" conv=notrunc 2>&1";
    let arguments = json!({"command": ["bash", "-c", change]}).to_string();
    let mut story = Story::looking(call("1", "shell", &arguments));
    let ended = story.run(&PROMPT);
    let body = &story.world.requests().last().unwrap().body;
    assert!(images(body) == story.expected[1..2], "{}", story.world.outputs()[0]);
    assert!(body.to_string().contains("an image was here, but"));
    assert!(ended.stderr.contains("1 of its images cannot be read back"), "{}", ended.stderr);
}
