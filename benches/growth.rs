//! How cost grows: with events, keys, days, kinds of keys and aggregates; whether a table that grows
//! stops the engine; and how much memory it takes, beside a hash map of the same groups.
//!
//! Each line runs in a process of its own, whose memory at its peak is that of the line. One tick of 100,000
//! events is in flight; events are made between the ticks, and the time is that from a tick's push until
//! it is visible. Count, sum and greatest value over all days and keys are compared with those of the events;
//! without that, no figure is printed. `DAYFOLD_BENCH_SHORT=1` takes a twentieth of the events and keys.
//! A word after `--` runs the lines that have it in their names.

#![allow(missing_docs, clippy::unwrap_used)]

mod workload;

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Aggregate, Count, Decimal, Distinct, Max, Quantiles, Sum};
use dayfold::key::Key;
use dayfold::serve::{Answer, Query};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use workload::{DAY_MS, Event, START, SplitMix, State, Stats};

const TICK: usize = 100_000;
const MILLION: usize = 1_000_000;

/// A stream of events: the same in every run.
#[derive(Clone, Copy)]
struct Load {
    events: usize,
    keys: usize,
    days: usize,
    /// Keys are spread by Zipf's law with exponent 1.05; otherwise evenly.
    zipf: bool,
}

const BASE: Load = Load { events: 5 * MILLION, keys: 100_000, days: 10, zipf: true };
const TEN_MILLION: Load = Load { events: 20 * MILLION, keys: 10 * MILLION, days: 1, zipf: false };

/// A name, and what runs.
type Line = (&'static str, fn() -> Measured);

const LINES: [Line; 10] = [
    ("base: 5 M events, 100,000 keys, 10 days", || fold(BASE, |key| key, stats)),
    ("events x10", || fold(Load { events: 50 * MILLION, ..BASE }, |key| key, stats)),
    ("keys x100, by Zipf", || fold(Load { keys: 10 * MILLION, ..BASE }, |key| key, stats)),
    ("days x100", || fold(Load { days: 1_000, ..BASE }, |key| key, stats)),
    ("keys as strings of 20 bytes", || fold(BASE, |key| format!("{key:020}"), stats)),
    ("five aggregates, distinct and quantiles too", || fold(BASE, |key| key, five)),
    ("a day, 100,000 keys", || fold(Load { days: 1, ..BASE }, |key| key, stats)),
    ("a day, 100,000 keys, hash map", || map(Load { days: 1, ..BASE })),
    ("a day, 10 M keys, evenly, 20 M events", || fold(TEN_MILLION, |key| key, stats)),
    ("a day, 10 M keys, evenly, hash map", || map(TEN_MILLION)),
];

/// What a line has taken.
struct Measured {
    ticks: Vec<Duration>,
    /// Memory at its peak beyond that at the beginning.
    bytes: usize,
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let Some(line) = arguments.first().and_then(|word| word.strip_prefix("line=")) {
        let (name, run) = LINES[line.parse::<usize>().unwrap()];
        run().print(name);
        return;
    }
    println!(
        "{:<44} {:>10} {:>10} {:>10} {:>7} {:>9}",
        "", "events/s", "tick, p50", "longest", "ratio", "memory"
    );
    let this = std::env::current_exe().unwrap();
    for (number, (name, _)) in LINES.iter().enumerate() {
        if arguments.first().is_none_or(|word| name.contains(word.as_str())) {
            let status = Command::new(&this).arg(format!("line={number}")).status().unwrap();
            assert!(status.success(), "the line has failed: {name}");
        }
    }
}

impl Measured {
    fn print(mut self, name: &str) {
        let all: Duration = self.ticks.iter().sum();
        let rate = (self.ticks.len() * TICK) as f64 / all.as_secs_f64() / 1e6;
        self.ticks.sort();
        let (p50, longest) = (self.ticks[self.ticks.len() / 2], self.ticks[self.ticks.len() - 1]);
        let ratio = longest.as_secs_f64() / p50.as_secs_f64();
        let megabytes = self.bytes as f64 / 1e6;
        println!(
            "{name:<44} {rate:>8.1} M {p50:>10.2?} {longest:>10.2?} {ratio:>7.1} {megabytes:>6.0} MB"
        );
    }
}

fn stats(value: u64) -> State {
    (Count::one(), Sum::from(value), Max(value))
}

type Five = ((Count, Sum, Max<u64>), Distinct, Quantiles);

fn five(value: u64) -> Five {
    (stats(value), Distinct::of(&value.to_le_bytes()), Quantiles::of(Decimal::from(value as i64)))
}

/// What is compared in the end.
trait Checked: Aggregate {
    fn checked(&self) -> Stats;
}

impl Checked for State {
    fn checked(&self) -> Stats {
        (self.0.0 as u64, self.1.value() as u64, self.2.0)
    }
}

impl Checked for Five {
    fn checked(&self) -> Stats {
        self.0.checked()
    }
}

impl Load {
    fn ticks(self) -> impl Iterator<Item = Vec<Event>> {
        let short = if std::env::var_os("DAYFOLD_BENCH_SHORT").is_some() { 20 } else { 1 };
        let (events, keys) = (self.events / short, self.keys / short);
        let mut random = SplitMix(11);
        (0..events / TICK).map(move |tick| {
            let event = |place| {
                let number = (tick * TICK + place) as i64;
                let time = START + number * self.days as i64 * DAY_MS / events as i64;
                let even = (random.next() >> 11) as f64 / (1u64 << 53) as f64;
                let rank = if self.zipf { zipf(even, keys) } else { (even * keys as f64) as usize };
                (time, workload::key(rank), random.next() % 10_000)
            };
            (0..TICK).map(event).collect()
        })
    }
}

/// The rank at which the continuous form of Zipf's law has reached this share: no table of ranks, whose
/// memory would count.
fn zipf(share: f64, keys: usize) -> usize {
    const EXPONENT: f64 = 1.05;
    let last = (keys as f64 + 1.0).powf(1.0 - EXPONENT);
    let rank = (1.0 - share * (1.0 - last)).powf(1.0 / (1.0 - EXPONENT));
    (rank as usize - 1).min(keys - 1)
}

/// The same events in a hash map of (day, key).
fn map(load: Load) -> Measured {
    let before = memory("VmRSS:");
    let mut groups = workload::Groups::default();
    let mut ticks = Vec::new();
    for tick in load.ticks() {
        let start = Instant::now();
        tick.into_iter().for_each(|event| workload::add(&mut groups, event));
        ticks.push(start.elapsed());
    }
    black_box(&groups);
    Measured { ticks, bytes: memory("VmHWM:") - before }
}

/// Folds a load with one worker.
fn fold<K: Key, A: Checked>(
    load: Load,
    key: impl Fn(u64) -> K + Send + Sync + 'static,
    aggregate: impl Fn(u64) -> A + Send + Sync + 'static,
) -> Measured {
    timely::execute_directly(move |worker| {
        let before = memory("VmRSS:");
        let view = View::new("growth").unwrap();
        let (mut events, mut queries) = (InputHandle::new(), InputHandle::new());
        let probe = ProbeHandle::new();
        let answer = std::rc::Rc::new(std::cell::RefCell::new(None));
        let status = worker.dataflow(|scope| {
            let event = move |&(time, k, value): &Event| Some((time, key(k), aggregate(value)));
            let events = events.to_stream(scope);
            let archive = Archive::in_memory();
            let mut folded = events.fold_days(view.clone(), &archive, event).unwrap();
            folded.progress().probe_with(&probe);
            let answered = std::rc::Rc::clone(&answer);
            let answers = folded.serve(queries.to_stream(scope));
            answers
                .inspect(move |reply: &Answer<K, A>| *answered.borrow_mut() = reply.value())
                .probe_with(&probe);
            folded.status()
        });
        let mut now = Moment::new(EventTime::MIN, 1);
        let (mut ticks, mut expected): (Vec<Duration>, Stats) = (Vec::new(), (0, 0, 0));
        for mut tick in load.ticks() {
            for &(_, _, value) in &tick {
                expected = (expected.0 + 1, expected.1 + value, expected.2.max(value));
            }
            let newest = tick.last().map_or(now.floor, |(time, ..)| *time);
            let start = Instant::now();
            events.advance_to(now);
            queries.advance_to(now);
            events.send_batch(&mut tick);
            now = Moment::new(now.floor.max(view.floor_at(newest)), now.tick + 1);
            events.advance_to(now);
            queries.advance_to(now);
            worker.step_or_park_while(None, || probe.less_than(&now) || status.sealing() > 8);
            ticks.push(start.elapsed());
        }
        let bytes = memory("VmHWM:") - before;
        queries.send(Query::total(DayRange::ALL));
        now.tick += 1;
        events.advance_to(now);
        queries.advance_to(now);
        worker.step_or_park_while(None, || probe.less_than(&now));
        let found = answer.borrow_mut().take().map(|value: A| value.checked());
        assert_eq!(found, Some(expected), "the result is wrong");
        Measured { ticks, bytes }
    })
}

/// A line of what the system knows of this process, in bytes; 0 where it does not tell.
fn memory(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|found| found.strip_prefix(line));
    let kilobytes = found.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kilobytes.unwrap_or(0usize) * 1_024
}
