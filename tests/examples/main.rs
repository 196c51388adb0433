//! The programs in `examples/`, as their users see them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../common/example.rs"]
mod example;
#[path = "../common/former.rs"]
mod former;

mod agree;
mod cluster;
mod counts;
mod flights;
mod follow;
mod help;
mod inspect;
mod json;
mod latency;
mod numbered;
mod replay;
