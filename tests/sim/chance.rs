//! Where the world's decisions come from.

use windlass::core::prng::Prng;

/// Decisions from a seed.
pub(crate) struct Chance {
    prng: Prng,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance { prng: Prng::new(seed) }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.prng.number()
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.prng.below(bound)
    }

    /// True once in `count` times.
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A delay in milliseconds: mostly short, sometimes none, now and then long.
    pub(crate) fn delay_ms(&mut self) -> u64 {
        match self.below(10) {
            0..3 => 0,
            3..9 => self.below(2_000),
            _ => self.below(20_000),
        }
    }
}
