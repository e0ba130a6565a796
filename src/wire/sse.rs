//! Server-sent events: lines to events.
//!
//! Follows the WHATWG event stream format: `event` and `data` count, several `data` lines join with
//! `\n`, comments, `id` and `retry` are ignored, a leading byte order mark is skipped, and an event
//! that the stream ends in is never handed out. Where pieces were cut does not matter. Bytes that
//! are not UTF-8 are replaced. What an event means is for the decoders of each wire.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::limits::{LINES_CAPACITY_KEPT_BYTES, SSE_EVENT_BYTES_MAX};
use crate::wire::lines::{LineError, Lines};

/// The decoder. Push a piece, then pull until `None`, then push again.
#[derive(Debug)]
pub struct Events {
    lines: Lines,
    /// The one data line of the event so far, while it still lies in `lines`: the common case, in
    /// which an event is never copied.
    in_place: Option<Range<usize>>,
    /// The data so far, joined, when it is more than one line or came in more than one piece.
    joined: Vec<u8>,
    /// How many data lines `joined` holds; an event without any is not handed out.
    joined_count: u32,
    name: Vec<u8>,
    /// Name and data as text, if they were not UTF-8.
    lossy: [String; 2],
    /// What `name` and `joined` hold was handed out; the next pull begins a new event.
    handed_out: bool,
    at_start: bool,
    event_bytes_max: usize,
}

/// One event. Without an `event` field its name is `message`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    pub name: &'a str,
    pub data: &'a str,
}

/// Why a stream is not a stream of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SseError {
    EventTooLong,
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SseError::EventTooLong => {
                write!(f, "an event of the stream is longer than {SSE_EVENT_BYTES_MAX} bytes")
            }
        }
    }
}

impl Default for Events {
    fn default() -> Events {
        Events::bounded(SSE_EVENT_BYTES_MAX)
    }
}

impl Events {
    /// A decoder that refuses events longer than `event_bytes_max`, name and data together.
    pub fn bounded(event_bytes_max: usize) -> Events {
        Events {
            lines: Lines::bounded(event_bytes_max + "event: ".len()),
            in_place: None,
            joined: Vec::new(),
            joined_count: 0,
            name: Vec::new(),
            lossy: [String::new(), String::new()],
            handed_out: false,
            at_start: true,
            event_bytes_max,
        }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.spill();
        self.lines.push(piece);
    }

    /// The next whole event, or `None` until more bytes arrive. After an error the stream is over.
    pub fn pull(&mut self) -> Option<Result<Event<'_>, SseError>> {
        if self.handed_out {
            self.begin();
        }
        loop {
            let line = match self.lines.pull_range() {
                Some(Ok(line)) => self.skip_mark(line),
                Some(Err(LineError::TooLong)) => return Some(Err(SseError::EventTooLong)),
                None => {
                    self.spill();
                    self.lines.rest();
                    return None;
                }
            };
            if !line.is_empty() {
                if let Err(error) = self.take_field(line) {
                    return Some(Err(error));
                }
            } else if self.in_place.is_some() || self.joined_count > 0 {
                return Some(Ok(self.hand_out()));
            } else {
                self.name.clear();
            }
        }
    }

    /// Forgets the event before, and memory that only a very large one needed.
    fn begin(&mut self) {
        self.handed_out = false;
        self.name.clear();
        self.joined.clear();
        self.joined_count = 0;
        if self.joined.capacity() > LINES_CAPACITY_KEPT_BYTES {
            self.joined = Vec::new();
        }
        for lossy in &mut self.lossy {
            if lossy.capacity() > LINES_CAPACITY_KEPT_BYTES {
                *lossy = String::new();
            }
        }
    }

    /// Removes the byte order mark that the first line may begin with.
    fn skip_mark(&mut self, line: Range<usize>) -> Range<usize> {
        let first = std::mem::replace(&mut self.at_start, false);
        let marked = first && self.lines.bytes(line.clone()).starts_with(b"\xef\xbb\xbf");
        if marked { line.start + 3..line.end } else { line }
    }

    fn take_field(&mut self, line: Range<usize>) -> Result<(), SseError> {
        let bytes = self.lines.bytes(line.clone());
        let colon = bytes.iter().take(FIELD_NAME_BYTES_MAX + 1).position(|&byte| byte == b':');
        let field = &bytes[..colon.unwrap_or(bytes.len())];
        let skipped = match colon {
            Some(at) if bytes.get(at + 1) == Some(&b' ') => at + 2,
            Some(at) => at + 1,
            None => bytes.len(),
        };
        let value = line.start + skipped..line.end;
        if field == b"data" {
            self.take_data(value)
        } else if field == b"event" {
            self.name.clear();
            self.name.extend_from_slice(self.lines.bytes(value));
            self.check_bound()
        } else {
            // Comments, `id`, `retry` and fields nobody knows.
            Ok(())
        }
    }

    fn take_data(&mut self, value: Range<usize>) -> Result<(), SseError> {
        if self.in_place.is_none() && self.joined_count == 0 {
            self.in_place = Some(value);
            return self.check_bound();
        }
        self.spill();
        self.joined.push(b'\n');
        self.joined.extend_from_slice(self.lines.bytes(value));
        self.joined_count += 1;
        self.check_bound()
    }

    fn check_bound(&self) -> Result<(), SseError> {
        let data_bytes = self.in_place.as_ref().map_or(self.joined.len(), Range::len);
        if data_bytes + self.name.len() > self.event_bytes_max {
            return Err(SseError::EventTooLong);
        }
        Ok(())
    }

    /// Copies the data line out of `lines`, whose bytes are about to move.
    fn spill(&mut self) {
        if let Some(value) = self.in_place.take() {
            self.joined.clear();
            self.joined.extend_from_slice(self.lines.bytes(value));
            self.joined_count = 1;
        }
    }

    fn hand_out(&mut self) -> Event<'_> {
        let data = match self.in_place.take() {
            Some(value) => self.lines.bytes(value),
            None => &self.joined[..],
        };
        self.handed_out = true;
        let [lossy_name, lossy_data] = &mut self.lossy;
        let data = text(data, lossy_data);
        let name = match text(&self.name, lossy_name) {
            "" => "message",
            name => name,
        };
        Event { name, data }
    }
}

/// No field we know has a longer name; what has is skipped like a comment.
const FIELD_NAME_BYTES_MAX: usize = 5;

/// The bytes as text, copied to `lossy` only if they are not UTF-8.
fn text<'a>(bytes: &'a [u8], lossy: &'a mut String) -> &'a str {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => {
            *lossy = text;
            lossy
        }
    }
}

/// Decodes at places the bytes themselves choose, whole and byte by byte; all must agree.
pub fn fuzz_cuts(bytes: &[u8]) {
    const EVENT_BYTES_MAX: usize = 96;
    let decode = |cut_bytes: usize| {
        let mut events = Events::bounded(EVENT_BYTES_MAX);
        let mut got = Vec::new();
        for piece in bytes.chunks(cut_bytes.max(1)) {
            events.push(piece);
            while let Some(event) = events.pull() {
                let failed = event.is_err();
                got.push(event.map(|event| (event.name.to_owned(), event.data.to_owned())));
                if failed {
                    return got;
                }
            }
        }
        got
    };
    let whole = decode(bytes.len());
    let chosen = bytes.first().map_or(3, |&byte| usize::from(byte % 17) + 1);
    for cut_bytes in [1, 2, chosen] {
        assert_eq!(decode(cut_bytes), whole, "cut every {cut_bytes} bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Got = Vec<Result<(String, String), SseError>>;

    fn decode(event_bytes_max: usize, pieces: &[&[u8]]) -> Got {
        let mut events = Events::bounded(event_bytes_max);
        let mut got = Vec::new();
        for piece in pieces {
            events.push(piece);
            while let Some(event) = events.pull() {
                let failed = event.is_err();
                got.push(event.map(|event| (event.name.to_owned(), event.data.to_owned())));
                if failed {
                    return got;
                }
            }
        }
        got
    }

    fn check(stream: &[u8], event_bytes_max: usize, expected: &[Result<(&str, &str), SseError>]) {
        let expected: Got = expected
            .iter()
            .map(|event| event.map(|(name, data)| (name.to_owned(), data.to_owned())))
            .collect();
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(decode(event_bytes_max, &[head, tail]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode(event_bytes_max, &bytes), expected, "byte by byte");
    }

    #[test]
    fn any_cut_gives_the_same_events() {
        check(
            b"event: response.created\ndata: {\"a\":1}\n\ndata:x\r\ndata:  y\r\n\r\ndata\r\r",
            1000,
            &[Ok(("response.created", "{\"a\":1}")), Ok(("message", "x\n y")), Ok(("message", ""))],
        );
    }

    #[test]
    fn the_mark_comments_ids_and_unknown_fields_are_skipped() {
        check(
            "\u{feff}: hi\nid: 7\nretry: 10\ndatax: no\nda: no\nevents: no\ndata: \u{feff}ü\n\n"
                .as_bytes(),
            1000,
            &[Ok(("message", "\u{feff}ü"))],
        );
        check("\u{feff}data: a\n\n".as_bytes(), 1000, &[Ok(("message", "a"))]);
    }

    #[test]
    fn an_event_without_data_is_nothing_and_its_name_is_forgotten() {
        check(
            b"event: a\n\ndata: 1\n\nevent: b\ndata: 2\n\ndata: 3\n\n",
            1000,
            &[Ok(("message", "1")), Ok(("b", "2")), Ok(("message", "3"))],
        );
    }

    #[test]
    fn an_event_the_stream_ends_in_is_not_handed_out() {
        check(b"data: 1\n\ndata: 2\n", 1000, &[Ok(("message", "1"))]);
        check(b"data: 1\n\ndata: 2", 1000, &[Ok(("message", "1"))]);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        check(
            b"event: \xff\ndata: a\xe2\x82b\n\ndata: \xe2\x82\xac\n\n",
            1000,
            &[Ok(("\u{fffd}", "a\u{fffd}b")), Ok(("message", "€"))],
        );
    }

    #[test]
    fn an_event_over_the_bound_is_refused_in_one_line_or_many() {
        check(
            b"data: 123\n\ndata: 12345678901\n\n",
            10,
            &[Ok(("message", "123")), Err(SseError::EventTooLong)],
        );
        check(b"data: 1234\ndata: 12345\n\n", 10, &[Ok(("message", "1234\n12345"))]);
        check(b"data: 1234\ndata: 123456\n\n", 10, &[Err(SseError::EventTooLong)]);
        check(b"data\ndata\ndata\ndata\n\n", 2, &[Err(SseError::EventTooLong)]);
        check(b"event:ab\ndata:cd\n\n", 9, &[Ok(("ab", "cd"))]);
        check(b"event:abcde\ndata:fghijkl\n\n", 11, &[Err(SseError::EventTooLong)]);
    }

    #[test]
    fn the_shipped_bound_is_reached_and_memory_is_given_back() {
        let mut events = Events::default();
        events.push(b"data:");
        let megabyte = vec![b'x'; 1 << 20];
        for _ in 0..15 {
            events.push(&megabyte);
            assert_eq!(events.pull(), None);
        }
        events.push(b"\n");
        assert_eq!(events.pull(), None);
        events.push(b"\n");
        assert_eq!(events.pull().unwrap().unwrap().data.len(), 15 << 20);
        events.push(b"data: small\n\n");
        assert_eq!(events.pull().unwrap().unwrap().data, "small");
        assert!(events.joined.capacity() <= LINES_CAPACITY_KEPT_BYTES);

        let mut events = Events::default();
        let lines = [b"data:".as_slice(), &megabyte, b"\n"].concat();
        let refused = (0..17).any(|_| {
            events.push(&lines);
            events.pull() == Some(Err(SseError::EventTooLong))
        });
        assert!(refused);
    }

    #[test]
    fn the_fuzz_body_holds_for_its_seeds() {
        for seed in [
            &b"data: 1\n\nevent: x\rdata\r\n\n"[..],
            b"\xef\xbb\xbfdata: \xff\n\n",
            b"",
            b"\n\n\r\r",
            &[b'd'; 120],
            b"data: 0123456789012345678901234567890123456789\ndata: \
              0123456789012345678901234567890123456789\ndata: 012345678901234567890\n\n",
        ] {
            fuzz_cuts(seed);
        }
    }
}
