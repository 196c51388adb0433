//! What is done to sealed days while the engine runs: audits and rebuilds.

pub(super) mod maintenance;
pub(super) mod tasks;
