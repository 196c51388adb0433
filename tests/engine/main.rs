//! The engine and its dataflows, as programs that embed them see them.
//!
//! All of it is one program, because each program compiles the engine for its own events, keys and aggregates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/example.rs"]
mod example;
#[path = "../../benches/common/graph/mod.rs"]
mod graph;
#[path = "../../benches/common/workload/mod.rs"]
mod workload;

mod again;
mod apart;
mod balance;
mod changing;
mod durable;
mod dynamic;
mod embed;
mod files;
mod handle;
mod import;
mod kept;
mod keys;
mod law;
mod live;
mod maintenance;
mod once;
mod outliving;
mod own_source;
mod packs;
mod partitions;
mod parts;
mod periods;
mod questions;
mod retractions;
mod rollups;
mod runs;
mod scan;
mod sealed;
mod standing;
mod start_and_end;
mod subscribers;
mod windows;

use std::time::Duration;

/// Longer than any wait takes, also on a slow machine, unless something is broken.
const LONG: Duration = Duration::from_secs(600);
