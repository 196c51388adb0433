//! The cost of the log, and recovery from it: ingest compared with a plain writer, recovery, opening a folder of ten
//! years, and the latency of ticks while large days are sealed.
//!
//! Everything goes through the engine: a thread pushes, receipts tell when events are visible and durable, and the
//! benchmark sets the time of the source, so that it decides when days close. Every result is checked before its figure
//! is printed. Programs to be compared alternate, and ratios are within a round.
//!
//! `cargo bench --bench log -- ingest` measures only ingest; `recovery`, `opening` and `closing` work the same way.
//! With `DAYFOLD_BENCH_SHORT=1` less is measured, so that a run takes seconds, but its figures mean little. Folders are
//! in the system's folder of temporary files, so that disk is measured (`TMPDIR` moves it).

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/figures/mod.rs"]
mod figures;
#[path = "common/workload/mod.rs"]
mod workload;

fn main() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let folder = std::env::temp_dir();
    println!("{cores} cores; folders in {}", folder.display());
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let all: [(&str, fn()); 4] = [
        ("ingest", figures::ingest::measure),
        ("recovery", figures::recovery::measure),
        ("opening", figures::opening::measure),
        ("closing", figures::closing::measure),
    ];
    for (_, measure) in all.iter().filter(|(name, _)| only.as_deref().is_none_or(|o| o == *name)) {
        measure();
    }
}
