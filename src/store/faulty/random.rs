//! Random choices that are determined by a seed.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True with a probability of `of_four` quarters.
    pub(super) fn quarters(&mut self, of_four: usize) -> bool {
        self.below(4) < of_four
    }

    /// How many of four changes survive: none or all with a probability of a quarter each, otherwise two.
    pub(super) fn share(&mut self) -> usize {
        [0, 2, 2, 4][self.below(4)]
    }
}

/// How much of an operation happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Nothing,
    Part,
    All,
}

impl Extent {
    /// How many of `whole` things happen; always the first ones.
    pub(super) fn of(self, whole: usize, random: &mut Random) -> usize {
        match self {
            Extent::Nothing => 0,
            Extent::Part => random.below(whole + 1),
            Extent::All => whole,
        }
    }

    /// Whether an atomic operation happens.
    pub(super) fn in_one_step(self, random: &mut Random) -> bool {
        self.of(1, random) == 1
    }
}
