//! The envelope of messages: one JSON object a line, JSON-RPC 2.0 without its version.

use std::fmt;

use super::types::codec::{Fault, Json, Typed};
use super::types::v1::RequestId;
use crate::wire::json::{self, Fields};

/// The request is not one, or does not fit the state of things.
pub const INVALID_REQUEST: i64 = -32600;
/// The request could not be carried out.
pub const INTERNAL_ERROR: i64 = -32603;

/// A message of the client.
#[derive(Clone, PartialEq, Debug)]
pub enum Message<'a> {
    Request {
        id: RequestId,
        method: Box<str>,
        params: Option<&'a str>,
    },
    Notification {
        method: Box<str>,
    },
    /// An answer to a request of ours; `Err` holds what the client says went wrong.
    Answer {
        id: RequestId,
        result: Result<&'a str, Box<str>>,
    },
}

/// Why a request is answered by an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub code: i64,
    pub message: String,
    pub data: Option<Json>,
}

impl Failure {
    /// The client asked for what cannot be.
    pub fn refused(message: impl Into<String>) -> Failure {
        Failure { code: INVALID_REQUEST, message: message.into(), data: None }
    }

    /// The client is not to blame.
    pub fn internal(message: impl Into<String>) -> Failure {
        Failure { code: INTERNAL_ERROR, message: message.into(), data: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::refused(format!("Invalid request: {fault}"))
    }
}

/// Why a line is no message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotAMessage {
    NotJson,
    /// It is JSON, but neither a request nor an answer.
    Shapeless,
    /// It has an id that is neither a string nor a whole number.
    BadId,
}

impl fmt::Display for NotAMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            NotAMessage::NotJson => "it is not a JSON object",
            NotAMessage::Shapeless => "it has neither a method nor a result or error",
            NotAMessage::BadId => "its id is neither a string nor a whole number",
        })
    }
}

/// Reads one line.
pub fn read(line: &str) -> Result<Message<'_>, NotAMessage> {
    let names = ["id", "method", "params", "result", "error"];
    let [id, method, params, result, error] =
        json::pick(line, names).map_err(|_| NotAMessage::NotJson)?;
    let id = id.map(RequestId::decode).transpose().map_err(|_| NotAMessage::BadId)?;
    match (id, method.and_then(json::boxed)) {
        (Some(id), Some(method)) => Ok(Message::Request { id, method, params }),
        (None, Some(method)) => Ok(Message::Notification { method }),
        (Some(id), None) => match (result, error) {
            (_, Some(error)) => {
                let message = json::field(error, "message").and_then(json::boxed);
                let message = message.unwrap_or_else(|| "an error without a message".into());
                Ok(Message::Answer { id, result: Err(message) })
            }
            (result, None) => Ok(Message::Answer { id, result: Ok(result.unwrap_or("null")) }),
        },
        (None, None) => Err(NotAMessage::Shapeless),
    }
}

/// Writes the answer to a request.
pub fn answer(id: &RequestId, result: &impl Typed, out: &mut Vec<u8>) {
    line(out, |fields| {
        id.encode(fields.key("id"));
        result.encode(fields.key("result"));
    });
}

/// Writes that a request failed.
pub fn failed(id: &RequestId, failure: &Failure, out: &mut Vec<u8>) {
    line(out, |fields| {
        let mut error = Fields::open(fields.key("error"));
        json::number(failure.code, error.key("code"));
        if let Some(data) = &failure.data {
            data.encode(error.key("data"));
        }
        error.text("message", &failure.message);
        error.close();
        id.encode(fields.key("id"));
    });
}

/// Writes a notification; `fill` writes its parameters.
pub fn notify(method: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Fields<'_>)) {
    line(out, |fields| {
        fields.text("method", method);
        let mut params = Fields::open(fields.key("params"));
        fill(&mut params);
        params.close();
    });
}

/// Writes a request of ours.
pub fn request(id: i64, method: &str, params: &dyn Fn(&mut Vec<u8>), out: &mut Vec<u8>) {
    line(out, |fields| {
        fields.text("method", method);
        json::number(id, fields.key("id"));
        params(fields.key("params"));
    });
}

/// Writes one message; `fill` writes its fields.
pub fn line(out: &mut Vec<u8>, fill: impl FnOnce(&mut Fields<'_>)) {
    let mut fields = Fields::open(out);
    fill(&mut fields);
    fields.close();
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(id: i64) -> RequestId {
        RequestId::Number(id)
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn messages_are_told_apart_by_their_fields() {
        let request = Message::Request { id: number(1), method: "a/b".into(), params: Some("{}") };
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"method":"a\/b","params":{}}"#), Ok(request));
        let note = Message::Notification { method: "initialized".into() };
        assert_eq!(read(r#"{"method":"initialized"}"#), Ok(note));
        let id = || RequestId::Word("x".into());
        let answer = Message::Answer { id: id(), result: Ok("null") };
        assert_eq!(read(r#"{"id":"x","result":null}"#), Ok(answer));
        let error = Message::Answer { id: id(), result: Err("no".into()) };
        assert_eq!(read(r#"{"id":"x","error":{"code":1,"message":"no"}}"#), Ok(error));
    }

    #[test]
    fn what_is_no_message_is_named() {
        for (line, why) in [
            ("", NotAMessage::NotJson),
            ("[]", NotAMessage::NotJson),
            (r#"{"id":1"#, NotAMessage::NotJson),
            (r#"{"id":1.5,"method":"a"}"#, NotAMessage::BadId),
            (r#"{"id":{},"method":"a"}"#, NotAMessage::BadId),
            (r#"{"result":1}"#, NotAMessage::Shapeless),
            (r#"{"method":7}"#, NotAMessage::Shapeless),
        ] {
            assert_eq!(read(line), Err(why), "{line}");
        }
    }

    #[test]
    fn messages_of_ours_are_one_line_each() {
        let text = written(|out| answer(&number(7), &true, out));
        assert_eq!(text, "{\"id\":7,\"result\":true}\n");
        let text = written(|out| failed(&number(7), &Failure::refused("a\nb"), out));
        assert_eq!(text, "{\"error\":{\"code\":-32600,\"message\":\"a\\nb\"},\"id\":7}\n");
        let text = written(|out| notify("a/b", out, |params| params.text("c", "d")));
        assert_eq!(text, "{\"method\":\"a/b\",\"params\":{\"c\":\"d\"}}\n");
        let text = written(|out| request(0, "a", &|out| out.extend(b"{}"), out));
        assert_eq!(text, "{\"method\":\"a\",\"id\":0,\"params\":{}}\n");
    }
}
