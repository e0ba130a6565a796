//! What the provider answers: a script of bytes, pauses and endings.

use std::time::Duration;

use serde_json::{Value, json};

/// One answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    parts: Vec<Part>,
    framing: Framing,
    cut: Cut,
    end: End,
}

#[derive(Clone, Debug)]
enum Part {
    Body(Vec<u8>),
    Pause(Duration),
    Hold,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    Chunked,
    Length,
    /// The body ends with the connection.
    Close,
}

/// How the bytes of an answer are divided among writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    Whole,
    EveryByte,
    /// Pieces whose lengths share nothing with those of lines and chunks.
    Odd,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Proper,
    /// All is said, and the connection closes without a word of warning.
    ProperAndGone,
    /// The connection closes in the middle of a chunk.
    Dropped,
    /// Nothing more comes, and the connection stays.
    Hung,
}

/// One thing for a connection to do.
#[derive(Clone, Debug)]
pub enum Act {
    Send(Vec<u8>),
    Pause(Duration),
    /// Waits to be released.
    Hold,
    Hang,
    Close,
}

impl Reply {
    /// A stream of these events.
    pub fn events(events: &[Value]) -> Reply {
        let mut reply = Reply::status(200, "");
        reply.headers = vec![("content-type".into(), "text/event-stream".into())];
        reply.parts = events.iter().map(|event| Part::Body(sse(event))).collect();
        reply.framing = Framing::Chunked;
        reply
    }

    /// A stream of these bytes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
        let mut reply = Reply::events(&[]);
        reply.parts = vec![Part::Body(bytes.into())];
        reply
    }

    /// A stream of these pieces, each sent on its own.
    pub fn pieces(pieces: Vec<Vec<u8>>) -> Reply {
        let mut reply = Reply::events(&[]);
        reply.parts = pieces.into_iter().map(Part::Body).collect();
        reply.slowly(Duration::ZERO)
    }

    /// A whole response of these items.
    pub fn items(items: &[Value]) -> Reply {
        let mut events = vec![created()];
        events.extend(items.iter().map(done));
        events.push(completed());
        Reply::events(&events)
    }

    /// A message, first in pieces, then whole.
    pub fn message(text: &str) -> Reply {
        let mut events = vec![created()];
        let pieces = text.split_inclusive(' ');
        events.extend(pieces.map(delta));
        events.push(done(&message(text)));
        events.push(completed());
        Reply::events(&events)
    }

    /// A response that calls these tools.
    pub fn calls(calls: &[(&str, Value)]) -> Reply {
        let item = |(number, (name, arguments)): (usize, &(&str, Value))| {
            call(&format!("call_{number}"), name, &arguments.to_string())
        };
        Reply::items(&calls.iter().enumerate().map(item).collect::<Vec<_>>())
    }

    /// A response that runs one command.
    pub fn shell(argv: &[&str]) -> Reply {
        Reply::calls(&[("shell", json!({ "command": argv }))])
    }

    /// A response that runs one script.
    pub fn script(script: &str) -> Reply {
        Reply::shell(&["bash", "-c", script])
    }

    /// The beginning of a message, and then nothing more until it is released or given up.
    /// A command that the model wants to run outside of the sandbox.
    pub fn escalated(script: &str) -> Reply {
        let arguments = json!({
            "command": ["bash", "-lc", script],
            "with_escalated_permissions": true,
            "justification": "need it?",
        });
        Reply::items(&[call("c9", "shell", &arguments.to_string())])
    }

    pub fn beginning(text: &str) -> Reply {
        Reply::events(&[created(), delta(text)]).ending(End::Hung)
    }

    pub fn status(status: u16, body: &str) -> Reply {
        Reply {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            parts: vec![Part::Body(body.into())],
            framing: Framing::Length,
            cut: Cut::Whole,
            end: End::Proper,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn framed(mut self, framing: Framing) -> Reply {
        self.framing = framing;
        self
    }

    pub fn cut(mut self, cut: Cut) -> Reply {
        self.cut = cut;
        self
    }

    pub fn ending(mut self, end: End) -> Reply {
        self.end = end;
        self
    }

    /// Waits before each part of the body.
    pub fn slowly(mut self, pause: Duration) -> Reply {
        let parts = std::mem::take(&mut self.parts);
        self.parts = parts.into_iter().flat_map(|part| [Part::Pause(pause), part]).collect();
        self
    }

    /// Waits to be released before the last part of the body.
    pub fn held(mut self) -> Reply {
        self.parts.insert(self.parts.len() - 1, Part::Hold);
        self
    }

    /// What a connection does to give this answer.
    pub fn acts(&self) -> Vec<Act> {
        let mut acts = vec![Act::Send(self.head())];
        for part in &self.parts {
            acts.push(match part {
                Part::Body(bytes) => Act::Send(self.framed_part(bytes)),
                Part::Pause(pause) => Act::Pause(*pause),
                Part::Hold => Act::Hold,
            });
        }
        match (self.end, self.framing) {
            (End::ProperAndGone, _) => {
                acts.push(Act::Send(b"0\r\n\r\n".to_vec()));
                acts.push(Act::Close);
            }
            (End::Proper, Framing::Chunked) => acts.push(Act::Send(b"0\r\n\r\n".to_vec())),
            (End::Proper, Framing::Length) => {}
            (End::Proper, Framing::Close) => acts.push(Act::Close),
            (End::Dropped, _) => {
                // The beginning of a chunk of which the rest never comes.
                acts.push(Act::Send(b"ff\r\ndata: {\"type\":\"resp".to_vec()));
                acts.push(Act::Close);
            }
            (End::Hung, _) => acts.push(Act::Hang),
        }
        cut(acts, self.cut)
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let bodies = self.parts.iter().map(|part| match part {
            Part::Body(bytes) => bytes.len(),
            Part::Pause(_) | Part::Hold => 0,
        });
        head += &match self.framing {
            Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            Framing::Length => format!("content-length: {}\r\n", bodies.sum::<usize>()),
            Framing::Close => "connection: close\r\n".to_owned(),
        };
        (head + "\r\n").into()
    }

    fn framed_part(&self, bytes: &[u8]) -> Vec<u8> {
        match self.framing {
            Framing::Chunked => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                chunk
            }
            Framing::Length | Framing::Close => bytes.to_vec(),
        }
    }
}

/// Joins what is sent without a pause, and divides it anew.
fn cut(acts: Vec<Act>, cut: Cut) -> Vec<Act> {
    let mut joined: Vec<Act> = Vec::new();
    for act in acts {
        match (joined.last_mut(), act) {
            (Some(Act::Send(before)), Act::Send(bytes)) => before.extend(bytes),
            (_, act) => joined.push(act),
        }
    }
    let lengths: &[usize] = match cut {
        Cut::Whole => return joined,
        Cut::EveryByte => &[1],
        Cut::Odd => &[7, 1, 31, 3, 113],
    };
    let mut lengths = lengths.iter().cycle();
    let mut divided = Vec::new();
    for act in joined {
        let Act::Send(bytes) = act else {
            divided.push(act);
            continue;
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = rest.len().min(*lengths.next().unwrap());
            divided.push(Act::Send(rest[..length].to_vec()));
            rest = &rest[length..];
        }
    }
    divided
}

pub fn sse(event: &Value) -> Vec<u8> {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()).into_bytes()
}

pub fn created() -> Value {
    json!({"type": "response.created", "response": {"id": "resp_1"}})
}

/// What comes of a thought while it is thought, to its end.
pub fn thought(text: &str) -> [Value; 3] {
    [
        json!({
            "type": "response.reasoning_summary_part.added",
            "item_id": "rs_1", "summary_index": 0,
        }),
        json!({
            "type": "response.reasoning_summary_text.delta",
            "item_id": "rs_1", "summary_index": 0, "delta": text,
        }),
        done(&reasoning(text)),
    ]
}

pub fn delta(text: &str) -> Value {
    json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": text})
}

pub fn done(item: &Value) -> Value {
    json!({"type": "response.output_item.done", "item": item})
}

pub fn completed() -> Value {
    let usage = json!({
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    });
    json!({"type": "response.completed", "response": {"id": "resp_1", "usage": usage}})
}

/// A failed response with this error.
pub fn failed(code: &str, message: &str) -> Value {
    let error = json!({"code": code, "message": message});
    json!({"type": "response.failed", "response": {"id": "resp_1", "error": error}})
}

pub fn message(text: &str) -> Value {
    json!({
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    })
}

pub fn reasoning(summary: &str) -> Value {
    json!({
        "type": "reasoning", "id": "rs_1", "encrypted_content": "ENC==",
        "summary": [{"type": "summary_text", "text": summary}],
    })
}

pub fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call", "id": "fc_1", "call_id": id, "name": name,
        "arguments": arguments, "status": "completed",
    })
}

pub fn custom_call(id: &str, name: &str, input: &str) -> Value {
    json!({
        "type": "custom_tool_call", "id": "ctc_1", "call_id": id, "name": name,
        "input": input, "status": "completed",
    })
}
