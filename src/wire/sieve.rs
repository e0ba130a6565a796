//! Takes the long images out of a line of JSON while it is read.
//!
//! Push pieces of any size. What is left is the line with the URL of each long image replaced by a
//! mark, and for each mark where the URL stood; so a line is held only as far as it must be. Only
//! plain `data:` URLs that are the value of an `image_url` are taken out: whatever is escaped stays
//! as it is. A mark in a line that nobody put there names an image of the same line, or nothing.

use crate::limits::{KEPT_IMAGE_BYTES_MIN, KEPT_READ_BYTES};

/// Where a URL stood that was taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// From the beginning of the line.
    pub at_bytes: u64,
    pub url_bytes: u32,
}

/// A line that is being read.
#[derive(Default, Debug)]
pub struct Sieve {
    line: Vec<u8>,
    cuts: Vec<Cut>,
    taken_bytes: u64,
    within: Within,
    is_spoilt: bool,
}

/// Where in the line we are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Within {
    #[default]
    Structure,
    Text {
        escaped: bool,
    },
    /// What may be the URL of a long image; the line has it from here on.
    Url {
        from: usize,
    },
    /// A URL that is taken out.
    Cut {
        at_bytes: u64,
    },
}

const KEY: &[u8] = b"\"image_url\":";
const SCHEME: &[u8] = b"data:";

/// How a mark begins inside its quotes, as JSON and as text.
const MARK_JSON: &str = "\\u0000";
const MARK: char = '\0';

impl Sieve {
    /// Forgets the line.
    pub fn clear(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        line.shrink_to(KEPT_READ_BYTES);
        *self = Sieve { line, ..Sieve::default() };
    }

    /// Takes the next piece of the line.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let count = match self.within {
                Within::Structure => self.push_structure(piece),
                Within::Text { escaped: true } => {
                    self.within = Within::Text { escaped: false };
                    self.hold(&piece[..1])
                }
                Within::Text { escaped: false } => self.push_text(piece),
                Within::Url { from } => self.push_url(from, piece),
                Within::Cut { at_bytes } => self.push_cut(at_bytes, piece),
            };
            self.taken_bytes += count as u64;
            piece = &piece[count..];
        }
    }

    /// The line with its marks.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// What was taken out, in the order of the marks.
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// Whether something was taken out that is no plain URL, so that the line must be read whole.
    pub fn is_spoilt(&self) -> bool {
        self.is_spoilt || matches!(self.within, Within::Cut { .. })
    }

    /// What the text is a mark of, if it is one.
    pub fn cut_of(&self, text: &str) -> Option<Cut> {
        let index: usize = text.strip_prefix(MARK)?.parse().ok()?;
        self.cuts.get(index).copied()
    }

    fn hold(&mut self, bytes: &[u8]) -> usize {
        self.line.extend_from_slice(bytes);
        bytes.len()
    }

    fn push_structure(&mut self, piece: &[u8]) -> usize {
        let quote = piece.iter().position(|byte| *byte == b'"');
        let count = self.hold(&piece[..quote.map_or(piece.len(), |quote| quote + 1)]);
        if quote.is_some() {
            let key = self.line[..self.line.len() - 1].trim_ascii_end();
            self.within = match key.ends_with(KEY) {
                true => Within::Url { from: self.line.len() },
                false => Within::Text { escaped: false },
            };
        }
        count
    }

    fn push_text(&mut self, piece: &[u8]) -> usize {
        let end = piece.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        let Some(end) = end else { return self.hold(piece) };
        self.within = match piece[end] {
            b'"' => Within::Structure,
            _ => Within::Text { escaped: true },
        };
        self.hold(&piece[..end + 1])
    }

    fn push_url(&mut self, from: usize, piece: &[u8]) -> usize {
        let room = (from + KEPT_IMAGE_BYTES_MIN).saturating_sub(self.line.len());
        let piece = &piece[..piece.len().min(room)];
        let odd = piece.iter().position(|byte| !is_plain(*byte));
        let count = self.hold(&piece[..odd.unwrap_or(piece.len())]);
        if odd.is_some() {
            // The end, or something that is no plain URL.
            self.within = Within::Text { escaped: false };
        } else if self.line.len() - from == KEPT_IMAGE_BYTES_MIN {
            self.within = match self.line[from..].starts_with(SCHEME) {
                true => {
                    self.line.truncate(from);
                    let at_bytes = self.taken_bytes + count as u64 - KEPT_IMAGE_BYTES_MIN as u64;
                    Within::Cut { at_bytes }
                }
                false => Within::Text { escaped: false },
            };
        }
        count
    }

    fn push_cut(&mut self, at_bytes: u64, piece: &[u8]) -> usize {
        let Some(end) = piece.iter().position(|byte| !is_plain(*byte)) else { return piece.len() };
        self.is_spoilt |= piece[end] != b'"';
        let url_bytes = u32::try_from(self.taken_bytes + end as u64 - at_bytes);
        self.is_spoilt |= url_bytes.is_err();
        let mark = format!("{MARK_JSON}{}", self.cuts.len());
        self.hold(mark.as_bytes());
        self.cuts.push(Cut { at_bytes, url_bytes: url_bytes.unwrap_or(0) });
        self.within = Within::Text { escaped: false };
        end
    }
}

/// Whether a line may have images that are to be taken out; a quick look.
pub fn has_image(line: &[u8]) -> bool {
    str::from_utf8(line).is_ok_and(|line| line.contains("\"image_url\":"))
}

/// Whether a byte stands for itself in a JSON string.
pub fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// The fuzz body: any cut of a line gives the same, and with its URLs back it is the line.
pub fn fuzz(bytes: &[u8]) {
    let mut whole = Sieve::default();
    whole.push(bytes);
    let mut pieces = Sieve::default();
    bytes.chunks(7).for_each(|piece| pieces.push(piece));
    assert!(whole.line == pieces.line && whole.cuts == pieces.cuts);
    assert_eq!(whole.is_spoilt(), pieces.is_spoilt());
    if whole.is_spoilt() {
        return;
    }
    let (mut line, mut back, mut at) = (whole.line(), Vec::new(), 0);
    for (index, cut) in whole.cuts().iter().enumerate() {
        let kept = cut.at_bytes as usize - at;
        let mark = format!("{MARK_JSON}{index}");
        back.extend_from_slice(&line[..kept]);
        line = &line[kept + mark.len()..];
        at = cut.at_bytes as usize + cut.url_bytes as usize;
        back.extend_from_slice(&bytes[cut.at_bytes as usize..at]);
    }
    back.extend_from_slice(line);
    assert!(back == bytes, "nothing else is taken out");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(length: usize) -> String {
        format!("data:{}", "A".repeat(length - SCHEME.len()))
    }

    fn check(line: &str, expected: &str, cuts: &[Cut]) {
        for length in [1, 2, 3, 1000, line.len()] {
            let mut sieve = Sieve::default();
            line.as_bytes().chunks(length).for_each(|piece| sieve.push(piece));
            assert_eq!(str::from_utf8(sieve.line()), Ok(expected), "{length}");
            assert_eq!((sieve.cuts(), sieve.is_spoilt()), (cuts, false), "{length}");
        }
        fuzz(line.as_bytes());
    }

    #[test]
    fn long_images_are_taken_out() {
        let (long, longer) = (url(KEPT_IMAGE_BYTES_MIN), url(3 * KEPT_IMAGE_BYTES_MIN));
        let line = format!(r#"{{"image_url":"{long}","a":[{{"image_url": "{longer}"}}]}}"#);
        let expected = r#"{"image_url":"\u00000","a":[{"image_url": "\u00001"}]}"#;
        let at_bytes = [14, 14 + long.len() as u64 + r#"","a":[{"image_url": ""#.len() as u64];
        let lengths = [long.len() as u32, longer.len() as u32];
        let cuts = [0, 1].map(|index| Cut { at_bytes: at_bytes[index], url_bytes: lengths[index] });
        check(&line, expected, &cuts);
        let mut sieve = Sieve::default();
        sieve.push(line.as_bytes());
        assert_eq!(sieve.cut_of("\u{0}1"), Some(cuts[1]));
        for text in ["\u{0}2", "\u{0}", "1", "\u{0}-1", "\u{0}one", ""] {
            assert_eq!(sieve.cut_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn everything_else_stays() {
        let (short, long) = (url(KEPT_IMAGE_BYTES_MIN - 1), url(2 * KEPT_IMAGE_BYTES_MIN));
        for line in [
            format!(r#"{{"image_url":"{short}"}}"#),
            format!(r#"{{"text":"{long}"}}"#),
            format!(r#"{{"image_url":"https://{long}"}}"#),
            format!(r#"{{"image_url":"data:\/{long}"}}"#),
            format!(r#"{{"text":"\"image_url\":\"{long}"}}"#),
            format!(r#"{{"text":"\\\"image_url\":","a":"{long}"}}"#),
            "\"\\".to_owned(),
            String::new(),
        ] {
            if line.is_empty() {
                fuzz(b"");
            } else {
                check(&line, &line, &[]);
            }
        }
    }

    #[test]
    fn a_line_that_is_no_plain_url_is_to_be_read_whole() {
        for end in ["\\/\"}", "ä\"}", "\n", ""] {
            let line = format!(r#"{{"image_url":"{}{end}"#, url(2 * KEPT_IMAGE_BYTES_MIN));
            let mut sieve = Sieve::default();
            sieve.push(line.as_bytes());
            assert!(sieve.is_spoilt(), "{end}");
            fuzz(line.as_bytes());
            sieve.clear();
            assert!(!sieve.is_spoilt() && sieve.line().is_empty() && sieve.cuts().is_empty());
        }
    }
}
