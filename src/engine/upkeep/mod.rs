//! Work on sealed days and the log while the engine runs: audits, rebuilds, and removals from the log.

pub(super) mod log_end;
pub(super) mod log_release;
pub(super) mod maintenance;
pub(super) mod tasks;
