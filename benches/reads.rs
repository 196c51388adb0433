//! What reads cost: one key over days that are sealed, inside a worker; files are mapped, as an engine has
//! them.
//!
//! Every value is compared with what it has to be; without that, no figure is printed. Files are warm:
//! each section was touched before, so that no checksum is verified within the time.
//! `DAYFOLD_BENCH_SHORT=1` makes fewer days. How long a query takes through the whole dataflow is in
//! `cargo bench --bench ingest -- latency`.

#![allow(missing_docs, clippy::unwrap_used)]

mod workload;

use std::time::{Duration, Instant};

use dayfold::batch::BatchView;
use tempfile::TempDir;
use workload::sealed::{self, KEYS};
use workload::{SplitMix, State};

const READS: usize = 5_000;

fn main() {
    let days = if std::env::var_os("DAYFOLD_BENCH_SHORT").is_some() { 30 } else { 365 };
    let folder = TempDir::new().unwrap();
    let start = Instant::now();
    let views = sealed::mapped(folder.path(), days);
    let each = start.elapsed() / days as u32;
    println!("a file of {KEYS} keys is written in {each:.1?}; {READS} reads of keys at random");
    println!("{:<44} {:>10} {:>10}", "one key, inside a worker", "p50", "p99");
    for (from, name) in [(days - 7, "over 7 sealed days"), (0, "over all sealed days")] {
        let views = &views[from as usize..];
        // The first time to touch every section, the second for the clock.
        read(views, from, days);
        let (p50, p99) = percentiles(read(views, from, days));
        println!("{name:<30} {:>8} days {p50:>10.2?} {p99:>10.2?}", views.len());
    }
}

/// Reads keys at random over these views, which are those of the days in `[from, until)`.
fn read(views: &[BatchView<u64, State>], from: i32, until: i32) -> Vec<Duration> {
    let mut random = SplitMix(7);
    let one = |_| {
        let key = workload::key(random.next() as usize % KEYS);
        let start = Instant::now();
        let total = sealed::read(views, key);
        let time = start.elapsed();
        assert_eq!(total, sealed::total(from, until, key), "the reads of key {key} are wrong");
        time
    };
    (0..READS).map(one).collect()
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
