//! What is read back when an engine starts: where its source continues, and what of the log is replayed.

pub(super) mod follow;
pub(super) mod gather;
pub(super) mod joining;
pub(super) mod replay;
pub(super) mod resume;
pub(super) mod shorten;
