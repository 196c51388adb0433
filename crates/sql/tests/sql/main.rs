//! Statements over the views of an engine, compared with tables that are computed from its events.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[cfg(feature = "http")]
mod digits;
mod http;
mod limits;
mod moment;
mod random;
mod rollups;
mod scene;
mod statements;
mod windows;
