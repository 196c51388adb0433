//! Local times that came twice, or not at all.

/// The meaning of a local time that came twice, when clocks went back, or not at all, when they went forward.
///
/// In a gap, the earlier instant uses the offset after the gap, and the later one the offset before it: if 03:00
/// followed 02:00, then 02:30 means 01:30 or 03:30.
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
