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

use dayfold::aggregate::{Count, Max, Semigroup, Sum};
use dayfold::batch::{BatchMeta, BatchView, BatchWriter, Coverage};
use dayfold::key::{Key, encoded, sort_position};
use dayfold::store::{Disk, Storage};
use dayfold::time::Day;
use tempfile::TempDir;
use workload::{SplitMix, State};

const KEYS: usize = 55_000;
const READS: usize = 5_000;

fn main() {
    let days = if std::env::var_os("DAYFOLD_BENCH_SHORT").is_some() { 30 } else { 365 };
    let folder = TempDir::new().unwrap();
    let start = Instant::now();
    let views: Vec<_> = (0..days).map(|day| sealed(&folder, day)).collect();
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

/// What a key has on a day.
fn state(day: i32, key: u64) -> State {
    (Count(i64::from(day) + 1), Sum::from(key >> 32), Max(key ^ day as u64))
}

fn sealed(folder: &TempDir, day: i32) -> BatchView<u64, State> {
    let mut keys: Vec<u64> = (0..KEYS).map(workload::key).collect();
    keys.sort_by_key(|key| sort_position(key.hash64()));
    let meta = BatchMeta {
        view: "reads".to_owned(),
        day: Day(day),
        closing: Day(day),
        coverage: Coverage::ALL,
    };
    let mut writer = BatchWriter::new(Vec::new(), meta, KEYS as u64).unwrap();
    for key in keys {
        writer.push(key.hash64(), &key, &state(day, key)).unwrap();
    }
    let path = folder.path().join(day.to_string());
    std::fs::write(&path, writer.finish().unwrap().0).unwrap();
    BatchView::open(Disk.map(&path).unwrap()).unwrap()
}

/// Reads keys at random over these views, which are those of the days in `[from, until)`.
fn read(views: &[BatchView<u64, State>], from: i32, until: i32) -> Vec<Duration> {
    let mut random = SplitMix(7);
    let one = |_| {
        let key = workload::key(random.next() as usize % KEYS);
        let start = Instant::now();
        let (hash, bytes) = (key.hash64(), encoded(&key));
        let mut total: Option<State> = None;
        for view in views {
            if let Some(part) = view.get(hash, &bytes).unwrap() {
                match &mut total {
                    Some(total) => total.plus_equals(&part),
                    None => total = Some(part),
                }
            }
        }
        let time = start.elapsed();
        let parts = (from..until).map(|day| state(day, key));
        let expected = parts.reduce(|mut sum, part| {
            sum.plus_equals(&part);
            sum
        });
        assert_eq!(total, expected, "the reads of key {key} are wrong");
        time
    };
    (0..READS).map(one).collect()
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
