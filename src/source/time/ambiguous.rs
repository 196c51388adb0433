//! Local times that came twice, or not at all.

/// What a local time means that came twice, when clocks went back, or not at all, when they went forward.
///
/// In a gap, the earlier instant is found with the offset behind it, and the later one with the offset before it: where
/// 02:00 was followed by 03:00, 02:30 is 01:30 or 03:30.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AmbiguousTime {
    /// The earlier instant.
    Earlier,
    /// The later instant.
    Later,
    /// Nothing: it is refused.
    #[default]
    Refuse,
}
