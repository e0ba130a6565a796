//! One HTTP/1.1 exchange, without a socket.
//!
//! ```text
//!  Ask --head written--> Send --body written--> Listen --head read--> Body --whole--> Over
//!    `-------- no body ------------------------^  `------ no body -------------------^
//! ```
//!
//! Built on `ureq-proto`, which is not seen outside this module. Bytes of the request are pulled,
//! bytes of the response are pushed in pieces of any size. What the response may make us keep is
//! bounded. A close in the middle is an error, and so is a redirect: a request with a body is never
//! sent twice.

mod error;
pub mod tunnel;

use std::fmt;

use ureq_proto::client::state::{RecvBody, RecvResponse, SendBody, SendRequest};
use ureq_proto::client::{
    Call, MAX_RESPONSE_HEADERS, RecvBodyResult, RecvResponseResult, SendRequestResult,
};
use ureq_proto::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use ureq_proto::{BodyMode, Error, parser};

use crate::limits::{
    HTTP_FRAMING_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_REQUEST_HEAD_BYTES_MAX,
    HTTP_REQUEST_PIECE_BYTES, QUOTED_BYTES_MAX,
};
use crate::wire::url::Url;
pub use error::HttpError;

/// The exchange. Pull the request until `is_sent`, pull the response until `Got::End`.
pub struct Exchange {
    state: State,
    /// Bytes of the response that mean nothing yet: a part of the head, or of a line between
    /// chunks.
    pending: Vec<u8>,
    /// Bytes of heads so far, `1xx` ones included.
    head_bytes: usize,
    /// Bytes between chunks and after the last one, since the last byte of body.
    framing_bytes: usize,
    body_bytes: u64,
    body_sent_bytes: u64,
    request_head_bytes_max: usize,
    /// What the request line has before the path: the origin, if a proxy is asked.
    before_path: String,
    heard: bool,
    /// The response came before the request was sent, so the connection is of no further use.
    cut_short: bool,
}

enum State {
    Ask(Call<SendRequest>),
    Send(Call<SendBody>),
    Listen(Call<RecvResponse>),
    Body(Call<RecvBody>),
    /// The head said that no body follows.
    Empty {
        reusable: bool,
    },
    Over {
        reusable: bool,
    },
    /// An error was returned.
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Post,
}

/// What `Exchange::pull` made of the response.
#[derive(Debug)]
pub enum Got {
    Head(Head),
    /// So many bytes of body are in the buffer that was given.
    Body(usize),
    End,
}

/// Status and headers of a response.
#[derive(Debug)]
pub struct Head {
    status: u16,
    headers: HeaderMap,
}

impl Exchange {
    /// An exchange that sends `headers` besides `host` and `content-length`, which it adds itself.
    pub fn new(
        method: Method,
        url: &Url,
        headers: &[(String, String)],
        body_bytes: u64,
    ) -> Result<Exchange, HttpError> {
        let malformed = |why: String| HttpError::RequestMalformed { why };
        let mut request = match method {
            Method::Get => Request::get(url.as_str()),
            Method::Post => Request::post(url.as_str()),
        }
        .body(())
        .map_err(|error| malformed(error.to_string()))?;
        // The request line, `host`, `content-length` and the punctuation of every line.
        let mut head_bytes_max = 2 * url.as_str().len() + 128;
        for (name, value) in headers {
            head_bytes_max += name.len() + value.len() + 4;
            let refused = || HttpError::Header { name: quoted(name) };
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
            let value = HeaderValue::from_str(value).map_err(|_| refused())?;
            if matches!(name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::EXPECT) {
                return Err(refused());
            }
            let full = request.headers_mut().try_append(name, value).is_err();
            if full {
                return Err(HttpError::RequestHeadTooLong);
            }
        }
        if head_bytes_max > HTTP_REQUEST_HEAD_BYTES_MAX {
            return Err(HttpError::RequestHeadTooLong);
        }
        let mut call = Call::new(request).map_err(|error| malformed(error.to_string()))?;
        if method == Method::Post {
            call.header(header::CONTENT_LENGTH, HeaderValue::from(body_bytes))
                .map_err(|error| malformed(error.to_string()))?;
        }
        Ok(Exchange {
            state: State::Ask(call.proceed()),
            pending: Vec::new(),
            head_bytes: 0,
            framing_bytes: 0,
            body_bytes,
            body_sent_bytes: 0,
            request_head_bytes_max: head_bytes_max,
            before_path: String::new(),
            heard: false,
            cut_short: false,
        })
    }

    /// Asks a proxy for what is at `url`, so that the request line names all of it.
    pub fn by_proxy(mut self, url: &Url) -> Exchange {
        self.before_path = url.origin().to_owned();
        self
    }

    /// Appends the next part of the request to `out`, about `HTTP_REQUEST_PIECE_BYTES` of it.
    ///
    /// `body` appends what follows the given offset of the body, at least one byte and not much
    /// more than a piece. It is not asked again once the body is whole.
    pub fn pull_request(
        &mut self,
        out: &mut Vec<u8>,
        body: &mut dyn FnMut(u64, &mut Vec<u8>),
    ) -> Result<(), HttpError> {
        let before = out.len();
        if let State::Ask(_) = self.state {
            self.write_head(out)?;
        }
        while let State::Send(call) = &mut self.state
            && out.len() - before < HTTP_REQUEST_PIECE_BYTES
        {
            let start = out.len();
            body(self.body_sent_bytes, out);
            let added = out.len().saturating_sub(start);
            if added == 0 || call.consume_direct_write(added).is_err() {
                self.state = State::Failed;
                return Err(HttpError::BodyLength);
            }
            self.body_sent_bytes += added as u64;
            if call.can_proceed() {
                self.listen()?;
            }
        }
        Ok(())
    }

    /// Nothing of the request is left to pull.
    pub fn is_sent(&self) -> bool {
        !matches!(self.state, State::Ask(_) | State::Send(_))
    }

    /// At least one byte of response came.
    pub fn has_heard(&self) -> bool {
        self.heard
    }

    /// The exchange ended, and its connection can take the next one.
    pub fn is_reusable(&self) -> bool {
        matches!(self.state, State::Over { reusable: true }) && !self.cut_short
    }

    /// What the response holds next, or `None` when all of `input` is taken.
    ///
    /// Moves `input` on; body bytes go to `out`. After `Got::End` what is left of `input` was not
    /// part of the response, and nobody asked for it.
    pub fn pull(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<Option<Got>, HttpError> {
        self.heard |= !input.is_empty();
        let got = match &self.state {
            State::Ask(_) if input.is_empty() => Ok(None),
            State::Ask(_) => Err(HttpError::SpokeFirst),
            State::Send(_) | State::Listen(_) => self.pull_head(input),
            State::Body(_) => self.pull_body(input, out),
            &State::Empty { reusable } => {
                self.state = State::Over { reusable };
                Ok(Some(Got::End))
            }
            State::Over { .. } | State::Failed => Ok(None),
        };
        if got.is_err() {
            self.state = State::Failed;
        }
        got
    }

    /// The connection was closed by the other side. Fine only where nothing is missing.
    pub fn close(&mut self) -> Result<(), HttpError> {
        let closed = match &self.state {
            State::Empty { .. } | State::Over { .. } => Ok(()),
            State::Ask(_) | State::Send(_) | State::Listen(_) | State::Failed => {
                if self.pending.is_empty() {
                    Err(HttpError::ClosedBeforeHead)
                } else {
                    Err(HttpError::ClosedInHead)
                }
            }
            // The last chunk is enough, even if the empty line after it is missing.
            State::Body(call)
                if call.body_mode() == BodyMode::CloseDelimited || call.is_ended_chunked() =>
            {
                Ok(())
            }
            State::Body(_) => Err(HttpError::ClosedInBody),
        };
        self.state = match closed {
            Ok(()) => State::Over { reusable: false },
            Err(_) => State::Failed,
        };
        closed
    }

    fn write_head(&mut self, out: &mut Vec<u8>) -> Result<(), HttpError> {
        let State::Ask(mut call) = std::mem::replace(&mut self.state, State::Failed) else {
            return Ok(());
        };
        let start = out.len();
        out.resize(start + self.request_head_bytes_max, 0);
        let malformed = |error: Error| HttpError::RequestMalformed { why: error.to_string() };
        let written = call.write(&mut out[start..]).map_err(malformed)?;
        out.truncate(start + written);
        if let Some(space) = out[start..].iter().position(|&byte| byte == b' ') {
            let path = start + space + 1;
            out.splice(path..path, self.before_path.bytes());
        }
        self.state = match call.proceed().map_err(malformed)? {
            Some(SendRequestResult::SendBody(call)) => State::Send(call),
            Some(SendRequestResult::RecvResponse(call)) if self.body_bytes == 0 => {
                State::Listen(call)
            }
            // We send no `expect`, and a body only where `new` announced one.
            Some(SendRequestResult::Await100(_) | SendRequestResult::RecvResponse(_)) => {
                return Err(HttpError::BodyLength);
            }
            None => return Err(HttpError::RequestHeadTooLong),
        };
        Ok(())
    }

    /// From `Send`, whose body is whole or given up, to `Listen`.
    fn listen(&mut self) -> Result<(), HttpError> {
        let State::Send(mut call) = std::mem::replace(&mut self.state, State::Failed) else {
            unreachable!("only a state that sends comes here")
        };
        if !call.can_proceed() {
            self.cut_short = true;
            let left = self.body_bytes - self.body_sent_bytes;
            let left = usize::try_from(left).map_err(|_| HttpError::BodyLength)?;
            call.consume_direct_write(left).map_err(|_| HttpError::BodyLength)?;
        }
        let Some(call) = call.proceed() else { return Err(HttpError::BodyLength) };
        self.state = State::Listen(call);
        Ok(())
    }

    fn pull_head(&mut self, input: &mut &[u8]) -> Result<Option<Got>, HttpError> {
        while !input.is_empty() {
            // `pending` is the beginning of one head, so what completes it lies in `input`.
            let kept = self.pending.len();
            let room = HTTP_HEAD_BYTES_MAX - self.head_bytes - kept;
            let taken = &input[..input.len().min(room)];
            // Only whole lines are looked at, so that cuts change nothing; and only if there is a
            // new one.
            let lines = taken.iter().rposition(|&byte| byte == b'\n').map(|at| kept + at + 1);
            if kept > 0 {
                self.pending.extend_from_slice(taken);
            }
            let parsed = match lines {
                None => Parsed::Part,
                Some(lines) if kept == 0 => self.parse_head(&taken[..lines])?,
                Some(lines) => {
                    let pending = std::mem::take(&mut self.pending);
                    let parsed = self.parse_head(&pending[..lines])?;
                    self.pending = pending;
                    parsed
                }
            };
            let (used, response) = match parsed {
                Parsed::Part if taken.len() < input.len() => return Err(HttpError::HeadTooLong),
                Parsed::Part => {
                    if kept == 0 {
                        self.pending.extend_from_slice(taken);
                    }
                    *input = &[];
                    return Ok(None);
                }
                Parsed::Early(used) => (used, None),
                Parsed::Whole(used, response) => (used, Some(response)),
            };
            self.pending = Vec::new();
            self.head_bytes += used;
            *input = &input[used.saturating_sub(kept)..];
            if let Some(response) = response {
                return self.take_head(response).map(Some);
            }
        }
        Ok(None)
    }

    fn parse_head(&mut self, bytes: &[u8]) -> Result<Parsed, HttpError> {
        let malformed = |error: Error| HttpError::HeadMalformed { why: quoted(&error.to_string()) };
        if let State::Send(_) = self.state {
            let early = parser::try_parse_response::<MAX_RESPONSE_HEADERS>(bytes);
            match early.map_err(malformed)? {
                None => return Ok(Parsed::Part),
                Some((used, response)) if is_early(response.status()) => {
                    return Ok(Parsed::Early(used));
                }
                // The answer is there before the question was over: no use in asking on.
                Some(_) => self.listen()?,
            }
        }
        let State::Listen(call) = &mut self.state else {
            unreachable!("a head is only parsed while one is awaited")
        };
        Ok(match call.try_response(bytes, false).map_err(malformed)? {
            (0, None) => Parsed::Part,
            (used, None) => Parsed::Early(used),
            (used, Some(response)) => Parsed::Whole(used, response),
        })
    }

    fn take_head(&mut self, response: Response<()>) -> Result<Got, HttpError> {
        let (parts, ()) = response.into_parts();
        let head = Head { status: parts.status.as_u16(), headers: parts.headers };
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(HttpError::Upgraded);
        }
        if parts.status.is_redirection()
            && parts.status != StatusCode::NOT_MODIFIED
            && let Some(to) = head.headers.get(header::LOCATION)
        {
            let to = quoted(&String::from_utf8_lossy(to.as_bytes()));
            return Err(HttpError::Redirected { status: head.status, to });
        }
        let State::Listen(call) = std::mem::replace(&mut self.state, State::Failed) else {
            unreachable!("a head is only taken while one is awaited")
        };
        self.state = match call.proceed() {
            Some(RecvResponseResult::RecvBody(call)) => State::Body(call),
            Some(RecvResponseResult::Cleanup(call)) => {
                State::Empty { reusable: !call.must_close_connection() }
            }
            Some(RecvResponseResult::Redirect(_)) => State::Empty { reusable: false },
            None => unreachable!("the head is whole"),
        };
        Ok(Got::Head(head))
    }

    fn pull_body(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<Option<Got>, HttpError> {
        loop {
            let State::Body(call) = &mut self.state else {
                unreachable!("a body is only read where there is one")
            };
            let whole = call.can_proceed() && call.body_mode() != BodyMode::CloseDelimited;
            if whole {
                return Ok(Some(self.end()));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (used, made) = if self.pending.is_empty() {
                read(call, input, out)?
            } else {
                // Part of a line between chunks: take what completes it and no more.
                let newline = input.iter().position(|&byte| byte == b'\n');
                let (line, rest) = input.split_at(newline.map_or(input.len(), |at| at + 1));
                self.pending.extend_from_slice(line);
                *input = rest;
                match newline {
                    None => (0, 0),
                    Some(_) => {
                        let (used, made) = read(call, &mut &self.pending[..], out)?;
                        self.pending.drain(..used);
                        (used, made)
                    }
                }
            };
            if used == 0 && self.pending.is_empty() {
                self.pending.extend_from_slice(input);
                *input = &[];
            }
            self.framing_bytes = if made > 0 { 0 } else { self.framing_bytes + used };
            if self.framing_bytes + self.pending.len() > HTTP_FRAMING_BYTES_MAX {
                return Err(HttpError::FramingTooLong);
            }
            if made > 0 {
                return Ok(Some(Got::Body(made)));
            }
        }
    }

    fn end(&mut self) -> Got {
        let State::Body(call) = std::mem::replace(&mut self.state, State::Failed) else {
            unreachable!("only a body ends")
        };
        self.state = match call.proceed() {
            Some(RecvBodyResult::Cleanup(call)) => {
                State::Over { reusable: !call.must_close_connection() }
            }
            Some(RecvBodyResult::Redirect(_)) | None => State::Over { reusable: false },
        };
        Got::End
    }
}

impl fmt::Debug for Exchange {
    /// The state alone: headers of the request hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Ask(_) => "Exchange(Ask)",
            State::Send(_) => "Exchange(Send)",
            State::Listen(_) => "Exchange(Listen)",
            State::Body(_) => "Exchange(Body)",
            State::Empty { .. } => "Exchange(Empty)",
            State::Over { .. } => "Exchange(Over)",
            State::Failed => "Exchange(Failed)",
        })
    }
}

impl Head {
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of a header, named in lower case; `None` also if it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All headers that are text, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }
}

enum Parsed {
    /// More bytes are needed.
    Part,
    /// A `1xx` head of so many bytes, which says nothing.
    Early(usize),
    Whole(usize, Response<()>),
}

/// Reads body and moves `input` on: bytes used, bytes made.
fn read(
    call: &mut Call<RecvBody>,
    input: &mut &[u8],
    out: &mut [u8],
) -> Result<(usize, usize), HttpError> {
    let (used, made) = call
        .read(input, out)
        .map_err(|error| HttpError::FramingMalformed { why: quoted(&error.to_string()) })?;
    *input = &input[used..];
    Ok((used, made))
}

fn is_early(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Words from outside, fit to be shown: short, on one line, without control characters.
fn quoted(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.len() >= QUOTED_BYTES_MAX {
            shown.push('…');
            break;
        }
        shown.push(if letter.is_control() { '\u{fffd}' } else { letter });
    }
    shown
}

/// Reads anything as a response, whole and cut; all must agree. The first byte chooses the cut.
pub fn fuzz_cuts(bytes: &[u8]) {
    let Some((&chosen, response)) = bytes.split_first() else { return };
    let Ok(url) = Url::parse("http://h/") else { return };
    let read = |cut_bytes: usize| -> Result<(String, Vec<u8>, bool), HttpError> {
        let mut exchange = Exchange::new(Method::Get, &url, &[], 0)?;
        exchange.pull_request(&mut Vec::new(), &mut |_, _| {})?;
        let (mut told, mut body, mut out) = (String::new(), Vec::new(), [0; 64]);
        for mut piece in response.chunks(cut_bytes.max(1)) {
            while let Some(got) = exchange.pull(&mut piece, &mut out)? {
                match got {
                    Got::Head(head) => told = format!("{head:?}"),
                    Got::Body(made) => body.extend_from_slice(&out[..made]),
                    Got::End => told.push_str(" and its end"),
                }
            }
        }
        exchange.close()?;
        Ok((told, body, exchange.is_reusable()))
    };
    let whole = read(response.len());
    for cut_bytes in [1, 2, usize::from(chosen % 61) + 1] {
        assert_eq!(read(cut_bytes), whole, "cut every {cut_bytes} bytes");
    }
}

#[cfg(test)]
mod tests;
