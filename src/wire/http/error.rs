//! What can be wrong with an exchange, and how it is said.

use std::fmt;

use crate::limits::{HTTP_HEAD_BYTES_MAX, HTTP_REQUEST_HEAD_BYTES_MAX};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HttpError {
    /// The request cannot be written: this header.
    Header {
        name: String,
    },
    RequestHeadTooLong,
    RequestMalformed {
        why: String,
    },
    /// The body ended before, or went on after, the announced length.
    BodyLength,
    HeadTooLong,
    HeadMalformed {
        why: String,
    },
    FramingTooLong,
    FramingMalformed {
        why: String,
    },
    /// Bytes came before we had asked anything.
    SpokeFirst,
    Redirected {
        status: u16,
        to: String,
    },
    Upgraded,
    ClosedBeforeHead,
    ClosedInHead,
    ClosedInBody,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Header { name } => write!(f, "the request cannot carry the header `{name}`"),
            HttpError::RequestHeadTooLong => {
                write!(f, "the request headers exceed {HTTP_REQUEST_HEAD_BYTES_MAX} bytes")
            }
            HttpError::RequestMalformed { why } => write!(f, "the request is malformed: {why}"),
            HttpError::BodyLength => f.write_str("the request body is not of its announced length"),
            HttpError::HeadTooLong => {
                write!(f, "the response headers exceed {HTTP_HEAD_BYTES_MAX} bytes")
            }
            HttpError::HeadMalformed { why } => write!(f, "the response is not HTTP/1.1: {why}"),
            HttpError::FramingTooLong => {
                f.write_str("the response has endless bytes between chunks")
            }
            HttpError::FramingMalformed { why } => write!(f, "the response body is broken: {why}"),
            HttpError::SpokeFirst => f.write_str("the server spoke before it was asked"),
            HttpError::Redirected { status, to } => {
                write!(f, "the server answered {status} and names another place, {to}")
            }
            HttpError::Upgraded => f.write_str("the server switched to another protocol unasked"),
            HttpError::ClosedBeforeHead => {
                f.write_str("the server closed the connection without an answer")
            }
            HttpError::ClosedInHead => {
                f.write_str("the server closed the connection within the response headers")
            }
            HttpError::ClosedInBody => {
                f.write_str("the server closed the connection before the response was complete")
            }
        }
    }
}
