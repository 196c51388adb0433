//! Choices that follow from a seed.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same everywhere.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in so many of four cases.
    pub(super) fn quarters(&mut self, of_four: usize) -> bool {
        self.below(4) < of_four
    }

    /// How much survives: in a quarter of cases each, none of four and all of four; else two of four.
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
    /// How many of the first of `whole` things.
    pub(super) fn of(self, whole: usize, random: &mut Random) -> usize {
        match self {
            Extent::Nothing => 0,
            Extent::Part => random.below(whole + 1),
            Extent::All => whole,
        }
    }

    /// Whether something is done that is done whole or not at all.
    pub(super) fn in_one_step(self, random: &mut Random) -> bool {
        self.of(1, random) == 1
    }
}
