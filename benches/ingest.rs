//! The cost of ingest: five million events folded by day and key, compared with a plain hash map.
//!
//! Dayfold runs its whole graph, queries included, with its archive in memory: days close, are sorted and sealed during
//! the run, on threads that share the processors with the workers. With one tick in flight, the next one enters when
//! the one before is visible to queries; the engine has up to four. The time ends when the last event is visible. Every
//! result is compared with that of the hash map, row by row, before a figure is printed.
//!
//! The programs alternate, and ratios are within a round. `cargo bench --bench ingest -- 1x1000` measures one worker in
//! ticks of 1,000 only, `-- x1000` one and two; `-- latency` the latencies. `-- profile 1x1000` loads a line repeatedly
//! and compares totals only; otherwise a profiler would mostly see the comparison.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/graph/mod.rs"]
mod graph;
#[path = "common/workload/mod.rs"]
mod workload;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use dayfold::Archive;
use dayfold::key::KeyRange;
use dayfold::serve::Query;
use dayfold::time::{Day, DayRange};

use graph::{Graph, Reply, share};
use timely::worker::Worker;
use workload::{DAY_MS, DAYS, EVENTS, Event, Groups, START, Stats};

const ROUNDS: usize = 5;
const PROFILED_ROUNDS: usize = 20;
/// Ticks whose latency is measured, at the end of the run: a number while days of the load may still be sealed, a
/// number after all are sealed, both without pauses, and a number with pauses between them.
const MEASURED_TICKS: usize = 300;
/// From one of the latter to the next.
const APART: Duration = Duration::from_micros(200);

fn main() {
    let events = workload::events();
    let (reference, _) = workload::hash_map(std::slice::from_ref(&events));
    println!(
        "{} million events, {} groups in {DAYS} days; events/s, and the ratio to the hash map on as \
         many threads",
        EVENTS / 1_000_000,
        reference.len()
    );
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => {
            throughput(&events, &reference, None);
            latency(&events, &reference);
        }
        ["latency"] => latency(&events, &reference),
        ["profile", line] => profile(&events, &reference, line),
        [line, ..] => throughput(&events, &reference, Some(line)),
    }
}

/// Loads one line repeatedly, with as little other work as possible.
fn profile(events: &[Event], reference: &Groups, line: &str) {
    let line: Vec<usize> = line.split('x').map(|number| number.parse().unwrap()).collect();
    let &[workers, tick, ref in_flight @ ..] = &line[..] else { panic!("a line such as 1x1000") };
    let in_flight = in_flight.first().copied().unwrap_or(1);
    let mut rates: Vec<f64> = Vec::new();
    for _ in 0..PROFILED_ROUNDS {
        let load = cut(events, tick);
        let run = Run { workers, load, measured: vec![], in_flight, compared: Compared::Totals };
        rates.push(rate(run.execute(reference).load));
    }
    let (best, median) = summary(rates);
    println!("{line:?}: {:.1} M best, {:.1} M median", best / 1e6, median / 1e6);
}

/// One line of the table: the number of workers, the events of a tick, and the number of ticks in flight.
#[derive(Clone)]
struct Line {
    workers: usize,
    tick: usize,
    in_flight: usize,
    rates: Vec<f64>,
    ratios: Vec<f64>,
}

fn throughput(events: &[Event], reference: &Groups, only: Option<&str>) {
    // The engine has up to 4 ticks in flight.
    let ticks = [(100_000, 1), (10_000, 1), (1_000, 1), (1_000, 4)];
    let line = |workers| {
        ticks.map(|(tick, in_flight)| {
            let (rates, ratios) = (Vec::new(), Vec::new());
            Line { workers, tick, in_flight, rates, ratios }
        })
    };
    let mut lines: Vec<Line> = [1, 2].into_iter().flat_map(line).collect();
    let name = |line: &Line| format!("{}x{}", line.workers, line.tick);
    lines.retain(|line| only.is_none_or(|only| name(line).ends_with(only)));
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
            let Line { workers, tick, in_flight, .. } = *line;
            let load = cut(events, tick);
            let run = Run { workers, load, measured: vec![], in_flight, compared: Compared::Rows };
            let rate = rate(run.execute(reference).load);
            line.ratios.push(rate / rate_of(&plain[line.workers - 1]));
            line.rates.push(rate);
        }
    }
    println!("\n{:<40} {:>10} {:>10} {:>8} {:>8}", "", "best", "median", "best", "median");
    for (name, rates) in ["hash map, 1 thread", "hash map, 2 threads"].iter().zip(plain.clone()) {
        let (best, median) = summary(rates);
        println!("{name:<40} {:>8.1} M {:>8.1} M", best / 1e6, median / 1e6);
    }
    for Line { workers, tick, in_flight, rates, ratios } in lines.clone() {
        let name = format!("{workers} worker(s), ticks of {tick}, {in_flight} in flight");
        let ((best, median), (best_ratio, ratio)) = (summary(rates), summary(ratios));
        let (best, median) = (best / 1e6, median / 1e6);
        println!("{name:<40} {best:>8.1} M {median:>8.1} M {best_ratio:>8.2} {ratio:>8.2}");
    }
    gains(&plain, &lines);
}

/// The gain by the second thread, for the hash map and for the lines that were measured with one worker and two.
fn gains([one, two]: &[Vec<f64>; 2], lines: &[Line]) {
    let gain = |one: &[f64], two: &[f64]| {
        summary(one.iter().zip(two).map(|(one, two)| two / one).collect()).1
    };
    let of_map = gain(one, two);
    println!("\n{:<40} {of_map:>8.2}", "two against one, median: hash map");
    let (ones, twos): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|line| line.workers == 1);
    for (one, two) in ones.iter().zip(twos) {
        let name = format!("ticks of {}, {} in flight", one.tick, one.in_flight);
        let gain = gain(&one.rates, &two.rates);
        println!("{name:<40} {gain:>8.2}, {:.2} times the map's", gain / of_map);
    }
}

fn latency(events: &[Event], reference: &Groups) {
    println!(
        "\nlatency after {} million events: p50 and p99 of {MEASURED_TICKS} ticks, medians (and greatest) of {ROUNDS} rounds",
        EVENTS / 1_000_000
    );
    for workers in [1, 2] {
        let rounds: Vec<Outcome> = (0..ROUNDS)
            .map(|_| {
                let (load, last) = events.split_at(EVENTS - 3 * MEASURED_TICKS * 1_000);
                let (load, measured) = (cut(load, 100_000), cut(last, 1_000));
                Run { workers, load, measured, in_flight: 1, compared: Compared::Rows }
                    .execute(reference)
            })
            .collect();
        let times: [(&str, Times); 5] = [
            ("a tick of 1,000, days being sealed", |outcome| &outcome.sealing),
            ("a tick of 1,000 is visible", |outcome| &outcome.visible),
            ("the same, one each 200 µs", |outcome| &outcome.apart),
            ("a tick later, a key over 7 days", |outcome| &outcome.answered),
            ("a key over 7 days, at once", |outcome| &outcome.at_once),
        ];
        for (name, times) in times {
            let (p50, p99): (Vec<Duration>, Vec<Duration>) =
                rounds.iter().map(|outcome| percentiles(times(outcome).to_vec())).unzip();
            let range = |mut times: Vec<Duration>| {
                times.sort();
                format!("{:>6.1?} ({:.1?})", times[ROUNDS / 2], times[ROUNDS - 1])
            };
            println!("{workers} worker(s), {name:<34} {:>20} {:>20}", range(p50), range(p99));
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
    /// How many ticks of the load may be in flight.
    in_flight: usize,
    compared: Compared,
}

/// The result that is compared with the hash map at the end.
#[derive(Clone, Copy)]
enum Compared {
    /// Every row.
    Rows,
    /// All rows combined.
    Totals,
}

impl Compared {
    fn query(self) -> Query<u64> {
        match self {
            Compared::Rows => Query::rows(KeyRange::all(), DayRange::ALL),
            Compared::Totals => Query::total(DayRange::ALL),
        }
    }

    /// Ends the program unless the answer equals the reference.
    fn compare(self, answer: &Reply, reference: &Groups) {
        let wrong = match self {
            Compared::Rows => workload::wrong_rows(&answer.items, reference, 1),
            Compared::Totals => {
                let (count, sum, greatest) = answer.value().expect("there are events");
                let found = (count.0 as u64, sum.value() as u64, greatest.0);
                let add = |a: Stats, b: &Stats| (a.0 + b.0, a.1 + b.1, a.2.max(b.2));
                usize::from(found != reference.values().fold((0, 0, 0), add))
            }
        };
        if wrong > 0 {
            eprintln!("{wrong} results of {} differ from the hash map's", reference.len());
            std::process::exit(1);
        }
        assert_eq!(answer.certificate.late, 0);
    }
}

/// One of the lists of times of a run.
type Times = fn(&Outcome) -> &[Duration];

#[derive(Default)]
struct Outcome {
    load: Duration,
    /// For ticks while days may be sealed, and for those after all are sealed.
    sealing: Vec<Duration>,
    visible: Vec<Duration>,
    /// For ticks with pauses between them.
    apart: Vec<Duration>,
    answered: Vec<Duration>,
    at_once: Vec<Duration>,
}

impl Run {
    /// Runs, and compares the result with `reference`.
    fn execute(self, reference: &Groups) -> Outcome {
        let Run { workers, in_flight, compared, .. } = self;
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let rows = Arc::new(Mutex::new(None));
        // Each worker takes its own share of every tick; the shares are cut before the time begins. One more tick never
        // enters and is above the others in memory. Without it, freeing the last tick would make the allocator return
        // the memory of all ticks to the system, within the measured time; the hash map only reads its ticks.
        let share = |ticks: &[Vec<Event>], worker: usize| -> Vec<Vec<Event>> {
            let mut shared = share(ticks, worker, workers);
            shared.extend(shared.last().cloned());
            shared
        };
        let shares: Vec<_> = (0..workers)
            .map(|worker| {
                Mutex::new(Some((share(&self.load, worker), share(&self.measured, worker))))
            })
            .collect();
        let (out, all, archive) = (Arc::clone(&outcome), Arc::clone(&rows), Archive::in_memory());
        let begin = std::sync::Barrier::new(workers);
        let first_due = OnceLock::new();
        let asked = Arc::new(AtomicBool::new(false));
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let (mut load, measured) = shares[worker.index()].lock().unwrap().take().unwrap();
            let mut graph = Graph::build(worker, &archive);
            let _above = load.pop();
            begin.wait();
            let start = Instant::now();
            for tick in load {
                graph.enter(worker, tick, in_flight);
            }
            graph.wait(worker, 1);
            let load = start.elapsed();
            let timed = |run: &mut dyn FnMut()| {
                let start = Instant::now();
                run();
                start.elapsed()
            };
            // The last one stays, above the others in memory; see above.
            let ticks = measured.len().saturating_sub(1) / 3;
            let mut measured = measured.into_iter();
            let wait = Some(Duration::from_millis(1));
            worker.step_or_park_while(wait, || graph.status.sealing() > 0);
            let first_due = *first_due.get_or_init(|| Instant::now() + APART);
            let mut apart = Vec::new();
            for (number, tick) in (0..).zip(measured.by_ref().take(ticks)) {
                let due = first_due + APART * number;
                while Instant::now() < due {
                    worker.step();
                }
                graph.enter(worker, tick, 1);
                apart.push(due.elapsed());
            }
            let mut enter = |graph: &mut Graph, worker: &mut Worker| -> Vec<Duration> {
                let one = |tick| {
                    let start = Instant::now();
                    graph.enter(worker, tick, 1);
                    start.elapsed()
                };
                measured.by_ref().take(ticks).map(one).collect()
            };
            let sealing = enter(&mut graph, worker);
            worker.step_or_park_while(wait, || graph.status.sealing() > 0);
            let visible = enter(&mut graph, worker);
            let last = Day(((START / DAY_MS) as i32) + DAYS as i32);
            let query = |rank: usize| {
                Query::point(workload::key(rank * 7), DayRange::new(Day(last.0 - 7), last))
            };
            let answered: Vec<Duration> = (0..visible.len())
                .map(|rank| timed(&mut || drop(graph.ask(worker, query(rank)))))
                .collect();
            let at_once = graph.ask_at_once(worker, (0..ticks * 10).map(query), &asked, drop);
            // All closed days, except the last one, must be in the answer as batch views.
            let closed = last.previous().previous();
            worker.step_or_park_while(wait, || graph.status.sealed_through() < Some(closed));
            let everything = graph.ask(worker, compared.query());
            if worker.index() == 0 {
                *all.lock().unwrap() = everything;
                *out.lock().unwrap() = Outcome { load, sealing, visible, apart, answered, at_once };
            }
        });
        guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
        compared.compare(&rows.lock().unwrap().take().unwrap(), reference);
        let mut outcome = outcome.lock().unwrap();
        std::mem::take(&mut *outcome)
    }
}
