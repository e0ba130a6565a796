//! Keeps known credentials out of a journal.
//!
//! What stands in their place is of the same length, so that bounds and places stay what they were.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::limits::{CREDENTIAL_BYTES_MIN, JOURNAL_STREAMS_MAX};
use crate::words::ids::OpId;
use crate::words::sort;

/// Texts that must not be written.
#[derive(Clone, Default)]
pub struct Blanks {
    /// The longest first.
    credentials: Vec<Box<str>>,
}

impl std::fmt::Debug for Blanks {
    /// Not by derive: credentials are not for logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Blanks({})", self.credentials.len())
    }
}

impl Blanks {
    /// What is too short to be told from other text is not looked for.
    pub fn new<'c>(credentials: impl Iterator<Item = &'c str>) -> Blanks {
        let mut blanks = Blanks::default();
        blanks.add(credentials);
        blanks
    }

    /// Looks for these as well; none is forgotten, or what is done again would differ.
    pub fn add<'c>(&mut self, credentials: impl Iterator<Item = &'c str>) {
        for text in credentials.filter(|text| text.len() >= CREDENTIAL_BYTES_MIN) {
            if !self.credentials.iter().any(|known| **known == *text) {
                self.credentials.push(text.into());
            }
        }
        sort::by_key(&mut self.credentials, |text| Reverse(text.len()));
    }

    /// The text without credentials.
    pub fn blanked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut blanked = Cow::Borrowed(text);
        for credential in &self.credentials {
            if blanked.contains(&**credential) {
                blanked = blanked.replace(&**credential, &"x".repeat(credential.len())).into();
            }
        }
        blanked
    }

    pub fn count(&self) -> usize {
        self.credentials.len()
    }

    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty()
    }

    /// How many bytes at the end of the text may be the beginning of a credential.
    fn begun_bytes(&self, text: &str) -> usize {
        let begun = |credential: &str| {
            let most = text.len().min(credential.len() - 1);
            (1..=most).rev().find(|&bytes| {
                credential.get(..bytes).is_some_and(|beginning| text.ends_with(beginning))
            })
        };
        self.credentials.iter().filter_map(|credential| begun(credential)).max().unwrap_or(0)
    }
}

/// Which text of a response grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Text,
    Reasoning,
    ReasoningRaw,
}

/// Texts that come in pieces, which may cut a credential in two.
#[derive(Default)]
pub struct Pieces {
    /// The end of what came so far, where a credential may begin. Invariant: at most
    /// `JOURNAL_STREAMS_MAX`, none empty.
    begun: Vec<(OpId, Stream, String)>,
}

impl std::fmt::Debug for Pieces {
    /// Not by derive: halves of credentials are not for logs either.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Pieces({})", self.begun.len())
    }
}

impl Pieces {
    /// The piece without credentials. Of one that is cut fewer than `CREDENTIAL_BYTES_MIN` bytes
    /// may stay: what is not yet recognised cannot wait.
    pub fn blanked(&mut self, blanks: &Blanks, op: OpId, stream: Stream, piece: &str) -> String {
        let own = self.begun.iter().position(|begun| (begun.0, begun.1) == (op, stream));
        let mut whole = own.map_or(String::new(), |own| self.begun.swap_remove(own).2);
        let before_bytes = whole.len();
        whole.push_str(piece);
        let mut blanked = blanks.blanked(&whole).into_owned();
        let begun_bytes = blanks.begun_bytes(&whole);
        let from = whole.len() - begun_bytes;
        if begun_bytes >= CREDENTIAL_BYTES_MIN {
            blanked.truncate(from);
            blanked.push_str(&"x".repeat(begun_bytes));
        }
        if begun_bytes > 0 {
            if self.begun.len() == JOURNAL_STREAMS_MAX {
                self.begun.remove(0);
            }
            self.begun.push((op, stream, whole.split_off(from)));
        }
        blanked.split_off(before_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-0123456789";
    const OP: OpId = OpId { slot: 1, generation: 2 };

    fn blanks() -> Blanks {
        Blanks::new(["short", KEY, "sk-0123456789-longer"].into_iter())
    }

    #[test]
    fn a_credential_becomes_as_many_letters() {
        let blanks = blanks();
        assert_eq!(blanks.blanked(&format!("a{KEY}b{KEY}")), "axxxxxxxxxxxxxbxxxxxxxxxxxxx");
        assert_eq!(blanks.blanked("sk-0123456789-longer"), "x".repeat(20));
        assert_eq!(blanks.blanked("short sk-012345678"), "short sk-012345678");
        assert!(!format!("{blanks:?}").contains("sk-"));
    }

    #[test]
    fn a_credential_in_pieces_is_blanked_wherever_it_is_cut() {
        let text = format!("é {KEY} {KEY}{KEY} sk-1 s");
        for bytes in 1..text.len() {
            let mut pieces = Pieces::default();
            let mut blanked = String::new();
            let mut rest = &*text;
            while !rest.is_empty() {
                let cut = rest.ceil_char_boundary(bytes.min(rest.len()));
                let piece = pieces.blanked(&blanks(), OP, Stream::Text, &rest[..cut]);
                assert_eq!(piece.len(), cut);
                blanked += &piece;
                rest = &rest[cut..];
            }
            assert!(!blanked.contains(&KEY[CREDENTIAL_BYTES_MIN..]), "{bytes}: {blanked}");
            assert!(!blanked.contains(&KEY[..CREDENTIAL_BYTES_MIN]), "{bytes}: {blanked}");
            assert!(blanked.starts_with("é ") && blanked.ends_with(" sk-1 s"), "{blanked}");
        }
    }

    #[test]
    fn streams_do_not_mix_and_are_bounded() {
        let (mut pieces, blanks) = (Pieces::default(), blanks());
        for generation in 0..2 * JOURNAL_STREAMS_MAX as u32 {
            let op = OpId { slot: 0, generation };
            assert_eq!(pieces.blanked(&blanks, op, Stream::Text, "sk-0"), "sk-0");
            assert!(pieces.begun.len() <= JOURNAL_STREAMS_MAX);
        }
        let op = OpId { slot: 0, generation: 2 * JOURNAL_STREAMS_MAX as u32 - 1 };
        assert_eq!(pieces.blanked(&blanks, op, Stream::Reasoning, "123456789"), "123456789");
        assert_eq!(pieces.blanked(&blanks, op, Stream::Text, "123456789"), "xxxxxxxxx");
    }
}
