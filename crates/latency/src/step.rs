//! One run of a sweep.

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Events a second.
    pub rate: u64,
    /// The 50th, 99th and 99.9th percentile, in nanoseconds.
    pub latencies: [u64; 3],
    /// Whether the system kept the rate and the 99th percentile stayed under the bound.
    pub held: bool,
    /// Whether the system kept the rate.
    pub kept: bool,
}
