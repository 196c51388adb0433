//! Choices from a seed.

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Points that fill `[0, 1)` evenly, however many are taken: multiples of the golden ratio.
pub(crate) struct Spread(f64);

impl Spread {
    pub(crate) fn new(random: &mut Random) -> Spread {
        Spread((random.next() >> 11) as f64 / (1u64 << 53) as f64)
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.0 = (self.0 + 0.618_033_988_749_895) % 1.0;
        self.0
    }
}
