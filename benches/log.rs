//! What the log costs, and what it gives back: ingest beside a plain writer, recovery, opening a folder of
//! ten years, and the latency of ticks while large days are sealed.
//!
//! All of it through the engine: a thread pushes, receipts tell when events are visible and durable, and
//! the time of the source is set by the benchmark, so that days close when it wants them to. Every result
//! is compared with what it has to be before its figure is printed. Where figures are compared, the
//! programs take turns, and ratios are those within a round.
//!
//! `cargo bench --bench log -- ingest` measures that alone; so do `recovery`, `opening` and `closing`. With
//! `DAYFOLD_BENCH_SHORT=1` less is measured, so that a run takes seconds: its figures mean little. Folders
//! are made where the system has its temporary files: that disk is what is measured (`TMPDIR` moves it).

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
