//! What ingest costs: five million events folded by day and key, beside a plain hash map.
//!
//! Dayfold runs its whole graph, queries included, with its archive in memory: days close, are sorted
//! and sealed during the run. One tick is in flight at a time: the next one enters when the one before
//! is visible to queries. The time ends when the last event is visible. Every result is compared with
//! that of the hash map, row by row; without that, no figure is printed.
//!
//! The programs take turns, and the ratios are those within a round. `cargo bench --bench ingest --
//! 1x1000` measures one line only, one worker in ticks of 1,000; `-- latency` the latencies.

#![allow(missing_docs, clippy::unwrap_used)]

mod graph;
mod workload;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dayfold::Archive;
use dayfold::key::KeyRange;
use dayfold::serve::Query;
use dayfold::time::{Day, DayRange};

use graph::{Graph, compare, share};
use workload::{DAY_MS, DAYS, EVENTS, Event, Groups, START};

const ROUNDS: usize = 5;
/// Ticks whose latency is measured, the last of the run.
const MEASURED_TICKS: usize = 300;

fn main() {
    let events = workload::events();
    let (reference, _) = workload::hash_map(std::slice::from_ref(&events));
    println!(
        "{} million events, {} groups in {DAYS} days; events/s, and the ratio to the hash map on as \
         many threads",
        EVENTS / 1_000_000,
        reference.len()
    );
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if only.as_deref() != Some("latency") {
        throughput(&events, &reference, only.as_deref());
    }
    if only.as_deref().is_none_or(|only| only == "latency") {
        latency(&events, &reference);
    }
}

/// One line of the table: on how many workers, in ticks of how many events.
struct Line {
    workers: usize,
    tick: usize,
    rates: Vec<f64>,
    ratios: Vec<f64>,
}

fn throughput(events: &[Event], reference: &Groups, only: Option<&str>) {
    let ticks = [100_000, 10_000, 1_000];
    let line =
        |workers| ticks.map(|tick| Line { workers, tick, rates: Vec::new(), ratios: Vec::new() });
    let mut lines: Vec<Line> = [1, 2].into_iter().flat_map(line).collect();
    lines.retain(|line| only.is_none_or(|only| only == format!("{}x{}", line.workers, line.tick)));
    let mut plain = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let whole = cut(events, 100_000);
        let (groups, one) = workload::hash_map(&whole);
        assert_eq!(&groups, reference);
        let (groups, two) = workload::hash_maps(&whole);
        assert_eq!(groups, reference.len());
        plain[0].push(rate(one));
        plain[1].push(rate(two));
        for line in &mut lines {
            let run = Run { workers: line.workers, load: cut(events, line.tick), measured: vec![] };
            let rate = rate(run.execute(reference).load);
            line.ratios.push(rate / rate_of(&plain[line.workers - 1]));
            line.rates.push(rate);
        }
    }
    println!("\n{:<34} {:>10} {:>10} {:>8} {:>8}", "", "best", "median", "best", "median");
    for (name, rates) in ["hash map, 1 thread", "hash map, 2 threads"].iter().zip(plain) {
        let (best, median) = summary(rates);
        println!("{name:<34} {:>8.1} M {:>8.1} M", best / 1e6, median / 1e6);
    }
    for Line { workers, tick, rates, ratios } in lines {
        let name = format!("dayfold, {workers} worker(s), ticks of {tick}");
        let ((best, median), (best_ratio, ratio)) = (summary(rates), summary(ratios));
        let (best, median) = (best / 1e6, median / 1e6);
        println!("{name:<34} {best:>8.1} M {median:>8.1} M {best_ratio:>8.2} {ratio:>8.2}");
    }
}

fn latency(events: &[Event], reference: &Groups) {
    println!("\nlatency after {} million events (p50, p99)", EVENTS / 1_000_000);
    for workers in [1, 2] {
        let (load, last) = events.split_at(EVENTS - MEASURED_TICKS * 1_000);
        let run = Run { workers, load: cut(load, 100_000), measured: cut(last, 1_000) };
        let Outcome { visible, answered, .. } = run.execute(reference);
        for (name, times) in
            [("a tick of 1,000 is visible", visible), ("point over 7 days is answered", answered)]
        {
            let (p50, p99) = percentiles(times);
            println!("{workers} worker(s), {name:<32} {p50:>8.1?} {p99:>8.1?}");
        }
    }
}

fn cut(events: &[Event], tick: usize) -> Vec<Vec<Event>> {
    events.chunks(tick).map(<[Event]>::to_vec).collect()
}

fn rate(time: Duration) -> f64 {
    EVENTS as f64 / time.as_secs_f64()
}

fn rate_of(rates: &[f64]) -> f64 {
    *rates.last().unwrap()
}

/// The greatest and the median.
fn summary(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() - 1], values[values.len() / 2])
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// A run of Dayfold.
struct Run {
    workers: usize,
    /// The ticks to load.
    load: Vec<Vec<Event>>,
    /// Ticks to enter afterwards, timed one by one.
    measured: Vec<Vec<Event>>,
}

#[derive(Default)]
struct Outcome {
    load: Duration,
    visible: Vec<Duration>,
    answered: Vec<Duration>,
}

impl Run {
    /// Runs, and compares the result with `reference`.
    fn execute(self, reference: &Groups) -> Outcome {
        let workers = self.workers;
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let rows = Arc::new(Mutex::new(None));
        // Each worker takes its own share of every tick; they are cut before the time begins.
        let shares: Vec<_> = (0..workers)
            .map(|worker| {
                let share = |ticks| share(ticks, worker, workers);
                Mutex::new(Some((share(&self.load), share(&self.measured))))
            })
            .collect();
        let (out, all, archive) = (Arc::clone(&outcome), Arc::clone(&rows), Archive::in_memory());
        let begin = std::sync::Barrier::new(workers);
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let (load, measured) = shares[worker.index()].lock().unwrap().take().unwrap();
            let mut graph = Graph::build(worker, &archive);
            begin.wait();
            let start = Instant::now();
            for tick in load {
                graph.enter(worker, tick);
            }
            let load = start.elapsed();
            let timed = |run: &mut dyn FnMut()| {
                let start = Instant::now();
                run();
                start.elapsed()
            };
            let mut measured = measured.into_iter();
            let visible: Vec<Duration> = (0..measured.len())
                .map(|_| timed(&mut || graph.enter(worker, measured.next().unwrap())))
                .collect();
            let last = Day(((START / DAY_MS) as i32) + DAYS as i32);
            let days = DayRange::new(Day(last.0 - 7), last);
            let answered: Vec<Duration> = (0..visible.len())
                .map(|rank| Query::point(workload::key(rank * 7), days))
                .map(|query| timed(&mut || drop(graph.ask(worker, query.clone()))))
                .collect();
            let everything = graph.ask(worker, Query::rows(KeyRange::all(), DayRange::ALL));
            if worker.index() == 0 {
                *all.lock().unwrap() = everything;
                *out.lock().unwrap() = Outcome { load, visible, answered };
            }
        });
        guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
        compare(rows.lock().unwrap().take().unwrap(), reference);
        let mut outcome = outcome.lock().unwrap();
        std::mem::take(&mut *outcome)
    }
}
