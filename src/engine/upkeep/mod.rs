//! What is done to sealed days and the log while the engine runs: audits, rebuilds, and what is removed of the log.

pub(super) mod log_end;
pub(super) mod maintenance;
pub(super) mod tasks;
