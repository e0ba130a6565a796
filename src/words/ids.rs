//! Names of things: small, `Copy`, made in one place each.
//!
//! Ids of live things are a slot and a generation: a slot is used again, a generation is not, so an
//! id that outlives its thing never means another. A conversation's id is a UUID, since it outlives
//! the process.

use std::fmt;
use std::str::FromStr;

/// A thread that is loaded in this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ThreadId {
    pub slot: u16,
    pub generation: u32,
}

/// Outside work in progress.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId {
    pub slot: u16,
    pub generation: u32,
}

impl OpId {
    /// The id as one number, for tables that key by integer.
    pub fn packed(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.generation)
    }

    /// The inverse of [`OpId::packed`]; bits above 48 are ignored.
    pub fn from_packed(packed: u64) -> OpId {
        OpId { slot: (packed >> 32) as u16, generation: packed as u32 }
    }
}

/// An adapter to a person or program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrontId(pub u16);

/// A turn's ordinal in its thread, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TurnId(pub u32);

/// A call's ordinal in its thread, from 0; unlike the provider's call ids it is never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u32);

/// An item's place in its thread's history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ItemIndex(pub u32);

/// A conversation: a UUID, version 7 when made here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub [u8; 16]);

impl ConversationId {
    /// Makes a version 7 UUID (RFC 9562 section 5.7) from wall-clock milliseconds and 80 random
    /// bits.
    pub fn v7(wall_ms: u64, random: [u8; 10]) -> ConversationId {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&wall_ms.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        ConversationId(bytes)
    }
}

/// A turn for whoever outlives the process: a UUID that says when it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TurnName(pub ConversationId);

impl TurnName {
    /// The turn of this ordinal that began then; two of one conversation never share a name.
    pub fn of(conversation: ConversationId, began_ms: u64, turn: TurnId) -> TurnName {
        let mut random = [0; 10];
        random.copy_from_slice(&conversation.0[6..]);
        for (byte, own) in random[6..].iter_mut().zip(turn.0.to_be_bytes()) {
            *byte ^= own;
        }
        TurnName(ConversationId::v7(began_ms, random))
    }

    /// Milliseconds since 1970.
    pub fn began_ms(self) -> u64 {
        let ConversationId(bytes) = self.0;
        bytes[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }
}

impl fmt::Display for TurnName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The text is not a UUID in its usual form of five groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAUuid;

impl FromStr for ConversationId {
    type Err = NotAUuid;

    fn from_str(text: &str) -> Result<ConversationId, NotAUuid> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(NotAUuid);
        }
        let mut bytes = [0; 16];
        let mut nibbles = 0;
        for (index, &byte) in text.iter().enumerate() {
            if matches!(index, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(NotAUuid);
                }
                continue;
            }
            let digit = (byte as char).to_digit(16).ok_or(NotAUuid)? as u8;
            bytes[nibbles / 2] = bytes[nibbles / 2] << 4 | digit;
            nibbles += 1;
        }
        Ok(ConversationId(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_reads_back_as_it_was_written() {
        let id = ConversationId::v7(0x0199_1234_5678, [0xff; 10]);
        let text = id.to_string();
        assert_eq!(text, "01991234-5678-7fff-bfff-ffffffffffff");
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn what_is_not_a_uuid_is_refused() {
        for text in
            ["", "x", "01991234-5678-7fff-bfff-fffffffffffg", "01991234567 -7fff-bfff-ffffffffffff"]
        {
            assert_eq!(text.parse::<ConversationId>(), Err(NotAUuid), "{text}");
        }
    }

    #[test]
    fn the_name_of_a_turn_says_when_it_began_and_is_given_once() {
        let conversation = ConversationId::v7(5, [0xab; 10]);
        let name = TurnName::of(conversation, 0x0199_1234_5678, TurnId(1));
        assert_eq!(name.to_string(), "01991234-5678-7bab-abab-abababababaa");
        assert_eq!(name.began_ms(), 0x0199_1234_5678);
        assert_ne!(name, TurnName::of(conversation, 0x0199_1234_5678, TurnId(2)));
    }

    #[test]
    fn a_packed_op_id_unpacks_to_itself() {
        let op = OpId { slot: 65535, generation: u32::MAX };
        assert_eq!(OpId::from_packed(op.packed()), op);
    }
}
