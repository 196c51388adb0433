//! The names by which statements call functions.

/// The exact sum.
pub(crate) const SUM: &str = "sum";
/// The functions that merge sketches.
pub(crate) const MERGE_DISTINCT: &str = "merge_distinct";
pub(crate) const MERGE_QUANTILE: &str = "merge_quantile";
