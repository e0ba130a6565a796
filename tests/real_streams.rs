//! What a real server said: streams recorded from the server of llama.cpp (the PyPI package
//! `xllamacpp`, 2026.10), only the name of the model replaced.
//!
//! Its model was made to say what is needed here; events, ids, cuts and counts are the server's.

use windlass::wire::dialect::Dialect;
use windlass::wire::sse::Events;
use windlass::words::item::Item;
use windlass::words::model::ModelEvent;

/// What matters of a stream, in its order, however it is cut; text and thought are joined.
fn told(dialect: Dialect, stream: &str, cut_bytes: usize) -> Vec<String> {
    let mut events = Events::default();
    let mut decoder = dialect.decoder(0);
    let mut told: Vec<String> = Vec::new();
    let mut sink = |event: ModelEvent<'_>| {
        let (name, text) = match event {
            ModelEvent::TextDelta(text) => ("text: ", text),
            ModelEvent::ReasoningRawDelta(text) => ("thought: ", text),
            event => return told.push(shown(event)),
        };
        match told.last_mut().filter(|last| last.starts_with(name)) {
            Some(last) => last.push_str(text),
            None => told.push(format!("{name}{text}")),
        }
    };
    for piece in stream.as_bytes().chunks(cut_bytes) {
        events.push(piece);
        while let Some(event) = events.pull() {
            match event {
                Ok(event) => decoder.push_event(event.data.as_bytes(), &mut sink),
                Err(error) => panic!("{error}"),
            }
        }
    }
    decoder.close(&mut sink);
    told
}

fn shown(event: ModelEvent<'_>) -> String {
    match event {
        ModelEvent::ItemDone(Item::Message(message)) => format!("message: {:?}", message.parts),
        ModelEvent::ItemDone(Item::Reasoning(reasoning)) => {
            format!("reasoning: {:?}, encrypted {:?}", reasoning.content, reasoning.encrypted)
        }
        ModelEvent::ItemDone(Item::Call(call)) => {
            assert!(!call.call_id.is_empty());
            format!("call: {} {}", call.name, call.arguments)
        }
        ModelEvent::Completed { usage: Some(usage) } => {
            format!("completed: {} and {} tokens", usage.input, usage.output)
        }
        event => format!("{event:?}"),
    }
}

fn check(dialect: Dialect, stream: &str, expected: &[&str]) {
    for cut_bytes in [stream.len(), 1, 7, 64] {
        assert_eq!(told(dialect, stream, cut_bytes), expected, "cut every {cut_bytes} bytes");
    }
}

const CALLS: [&str; 2] =
    [r#"call: shell {"command": ["echo", "A"]}"#, r#"call: shell {"command": ["echo", "B"]}"#];
const THOUGHT: &str = "thought: First I think about it.\n";
const REASONING: &str = r#"reasoning: ["First I think about it.\n"], encrypted None"#;
const MESSAGE: &str = r#"message: [Text("Then I answer it.")]"#;

#[test]
fn two_calls_over_chat_are_two() {
    let stream = include_str!("fixtures/llama.cpp/chat-calls.sse");
    check(Dialect::CHAT, stream, &["Created", CALLS[0], CALLS[1], "completed: 615 and 6 tokens"]);
}

#[test]
fn two_calls_over_responses_are_two() {
    let stream = include_str!("fixtures/llama.cpp/responses-calls.sse");
    let end = "completed: 615 and 6 tokens";
    check(Dialect::Responses, stream, &["Created", CALLS[0], CALLS[1], end]);
}

/// What either wire makes of a thought and a message.
const REASONED: [&str; 8] = [
    "Created",
    "ItemStarted(Reasoning)",
    THOUGHT,
    "ItemStarted(Message)",
    "text: Then I answer it.",
    REASONING,
    MESSAGE,
    "completed: 30 and 6 tokens",
];

#[test]
fn reasoning_over_chat_comes_before_the_message() {
    let stream = include_str!("fixtures/llama.cpp/chat-reasoning.sse");
    check(Dialect::CHAT, stream, &REASONED);
}

/// The reasoning is done only after the message has begun.
#[test]
fn reasoning_over_responses_may_end_within_the_message() {
    let stream = include_str!("fixtures/llama.cpp/responses-reasoning.sse");
    check(Dialect::Responses, stream, &REASONED);
}
