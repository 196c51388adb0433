//! Each part by itself: keys, aggregates, ticks, sealed days, the log. The other benchmarks measure them together.
//!
//! Each benchmark checks its result once before it is timed, and panics without a figure if the result is wrong. A word
//! after `--` runs the benchmarks with this word in their path; `--sample-count` and the other options are
//! [divan](https://docs.rs/divan)'s. With `DAYFOLD_BENCH_SHORT=1` each runs once, and no time is printed.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/parts/aggregates.rs"]
mod aggregates;
#[path = "common/parts/keys.rs"]
mod keys;
#[path = "common/parts/log.rs"]
mod log;
#[path = "common/parts/sealed.rs"]
mod sealed;
#[path = "common/parts/ticks.rs"]
mod ticks;
#[path = "common/workload/mod.rs"]
mod workload;

fn main() {
    let divan = divan::Divan::from_args();
    if is_short() { divan.test_benches() } else { divan.main() }
}

fn is_short() -> bool {
    std::env::var_os("DAYFOLD_BENCH_SHORT").is_some()
}
