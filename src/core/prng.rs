//! The seeded generator behind ids and jitter: SplitMix64, so that a seed gives the same run again.
//!
//! Nothing secret comes from it. Conversation ids need to be unique, not unguessable; the host
//! seeds it from the system's entropy.

/// A generator of evenly spread numbers.
#[derive(Clone, Debug)]
pub struct Prng {
    state: u64,
}

impl Prng {
    pub fn new(seed: u64) -> Prng {
        Prng { state: seed }
    }

    /// The next 64 bits (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which must not be 0; the bias is below one in 2^32 for small bounds.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// Eighty bits for a UUID.
    pub fn ten_bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.number().to_le_bytes());
        bytes[8..].copy_from_slice(&self.number().to_le_bytes()[..2]);
        bytes
    }
}
