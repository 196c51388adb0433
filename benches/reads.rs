//! The cost of reads: one key over sealed days, inside a worker, with mapped files as in an engine. For comparison: the
//! cost if there were sealed months as well, and the cost if each file has to be opened for the read, as beyond the 400
//! that a shelf keeps open.
//!
//! Every value is checked before a figure is printed. Files are warm: each section was read before, so that no checksum
//! is verified within the measured time, except in files that are opened. `DAYFOLD_BENCH_SHORT=1` makes fewer days.
//! `cargo bench --bench ingest -- latency` measures a query through the whole dataflow.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/graph/mod.rs"]
mod graph;
#[path = "common/months/mod.rs"]
mod months;
#[path = "common/workload/mod.rs"]
mod workload;

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::serve::Query;
use dayfold::time::{Day, DayRange};
use graph::{Graph, Reply};
use months::{ByDay, Months};
use tempfile::TempDir;
use workload::sealed::{self, KEYS};
use workload::{DAY_MS, SplitMix, State};

const READS: usize = 5_000;
/// The graph has one worker, so no other one has to be told that all is asked.
static NOBODY_WAITS: AtomicBool = AtomicBool::new(false);

fn main() {
    let days = if std::env::var_os("DAYFOLD_BENCH_SHORT").is_some() { 40 } else { 365 };
    let [folder, lists, totals] = [(); 3].map(|()| TempDir::new().unwrap());
    let start = Instant::now();
    let views = sealed::mapped(folder.path(), days);
    let each = start.elapsed() / days as u32;
    let by_day = Months::<ByDay>::of(lists.path(), &views);
    let total = Months::<State>::of(totals.path(), &views);
    println!("a file of {KEYS} keys is written in {each:.1?}; {READS} reads of keys at random");

    let name = "one key, inside a worker, p50 (p99)";
    let [only, list, one] = ["days only", "months by day", "months, totals"];
    println!("{name:<44} {only:>20} {list:>20} {one:>20}");
    let ranges: [(&str, Range<i32>); 4] = [
        ("the last 7 days", days - 7..days),
        ("a whole month", by_day.last()),
        ("all but 10 days at both ends", 10..days - 10),
        ("all days", 0..days),
    ];
    for (name, range) in ranges {
        let [from, until] = [range.start, range.end].map(|day| day as usize);
        let times = [
            measure(&range, READS, |key| sealed::read(&views[from..until], key)),
            measure(&range, READS, |key| by_day.read(&views, range.clone(), key)),
            measure(&range, READS, |key| total.read(&views, range.clone(), key)),
        ];
        let [only, list, one] = times;
        let name = format!("{name}: {} sealed days", range.len());
        println!("{name:<44} {only:>20} {list:>20} {one:>20}");
    }
    let opened = measure(&(0..days), READS / 50, |key| {
        let open = |day: i32| sealed::open(&folder.path().join(day.to_string()));
        sealed::read(&(0..days).map(open).collect::<Vec<_>>(), key)
    });
    println!("{:<44} {opened:>20}", "all days, each file opened for the read");

    through_the_dataflow(days);

    let mega = |bytes: u64| bytes as f64 / 1e6;
    let bytes: u64 = views.iter().map(|view| view.summary().bytes).sum();
    println!(
        "\non disk: days {:.0} MB, their whole months by day {:.0} MB, with totals {:.0} MB",
        mega(bytes),
        mega(by_day.bytes()),
        mega(total.bytes())
    );
    println!(
        "a month is made from its days in {:.0?}, with totals in {:.0?}",
        by_day.each, total.each
    );
}

/// The same through the dataflow of one worker, at a complete moment, with sealed days in a folder: one event of each
/// key per day.
fn through_the_dataflow(days: i32) {
    let value = |day: i32, key: u64| (key >> 32) + day as u64;
    let folder = TempDir::new().unwrap();
    let archive = workload::archive::<State>(folder.path(), "bench");
    let outcome = timely::execute_directly(move |worker| {
        let mut graph = Graph::build(worker, &archive);
        for day in 0..days {
            let event = |rank| {
                let key = workload::key(rank);
                (i64::from(day) * DAY_MS, key, value(day, key))
            };
            graph.enter(worker, (0..KEYS).map(event).collect(), 1);
        }
        graph.enter(worker, vec![(i64::from(days + 2) * DAY_MS, 0, 0)], 1);
        let last = Day(days - 1);
        worker.step_or_park_while(None, || graph.status.sealed_through() < Some(last));
        [days - 7, 0].map(|from| {
            let mut random = SplitMix(7);
            let asked: Vec<u64> =
                (0..READS).map(|_| workload::key(random.next() as usize % KEYS)).collect();
            let range = DayRange::new(Day(from), Day(days));
            let queries = asked.iter().map(|key| Query::point(*key, range));
            let mut expected = asked.iter();
            let check = |reply: Reply| {
                let key = *expected.next().expect("one answer for each query");
                let values = (from..days).map(|day| value(day, key));
                let most = values.clone().max().unwrap();
                let count = Count(i64::from(days - from));
                let sum = Sum::from(values.sum::<u64>());
                assert_eq!(
                    reply.value(),
                    Some((count, sum, Max(most))),
                    "the answer for key {key} is wrong"
                );
                assert!(reply.certificate.sealed_through >= Some(last), "all are sealed");
            };
            // The first time to read every section, as above.
            graph.ask_at_once(worker, queries.clone(), &NOBODY_WAITS, drop);
            (days - from, percentiles(graph.ask_at_once(worker, queries, &NOBODY_WAITS, check)))
        })
    });
    for (days, times) in outcome {
        let name = format!("through the dataflow: {days} sealed days");
        println!("{name:<44} {times:>20}");
    }
}

/// Times reads of random keys over a range of days, and checks their results: p50 (p99).
fn measure(range: &Range<i32>, reads: usize, mut read: impl FnMut(u64) -> Option<State>) -> String {
    let mut all = || -> Vec<Duration> {
        let mut random = SplitMix(7);
        let one = |_| {
            let key = workload::key(random.next() as usize % KEYS);
            let start = Instant::now();
            let total = read(key);
            let time = start.elapsed();
            let expected = sealed::total(range.start, range.end, key);
            assert_eq!(total, expected, "the reads of key {key} are wrong");
            time
        };
        (0..reads).map(one).collect()
    };
    // The first time to read every section, the second for the clock.
    all();
    percentiles(all())
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("{:.2?} ({:.2?})", times[times.len() / 2], times[times.len() * 99 / 100])
}
