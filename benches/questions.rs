//! How large queries delay events: the time until a tick is visible while a million events a second enter, without
//! queries and while sixteen clients repeatedly ask for all keys of the view; and by how much memory grows meanwhile.
//!
//! There are two million keys over 30 days: 29 sealed ones, two of them for each key, and today, on which each key has
//! events and gets more. There are two workers (`-- 1`: one). Events are pushed a thousand at a time, on a schedule,
//! and latency counts from the time at which a tick was due. Each answer is checked: it has every key once, in order,
//! and at least the events that were visible when it was asked; if one is wrong, no figure is printed.
//! `DAYFOLD_BENCH_SHORT=1` is a small form. `DAYFOLD_BENCH_KEYS=500000` sets the number of keys.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/growth/memory.rs"]
#[allow(dead_code, reason = "another benchmark uses the rest")]
mod memory;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Receipt, Running, ViewHandle};
use dayfold::scan::{ErasedView, Scan, ScanError, ValueRef};
use dayfold::time::Day;
use dayfold::view::{Limits, View};
use dayfold::{Cluster, Engine};
use tempfile::TempDir;

type Event = (i64, u64, i64);
type Totals = (Count, Sum);

const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 30;
const CLIENTS: usize = 16;
/// Events of a push, one of which is due each millisecond.
const BATCH: u64 = 1_000;
const LONG: Duration = Duration::from_secs(600);

/// How many queries there are, and for how long.
#[derive(Clone, Copy)]
struct Size {
    keys: u64,
    seconds: u64,
    rounds: usize,
}

const WHOLE: Size = Size { keys: 2_000_000, seconds: 10, rounds: 3 };
const SHORT: Size = Size { keys: 50_000, seconds: 1, rounds: 1 };

fn main() {
    let is_short = std::env::var_os("DAYFOLD_BENCH_SHORT").is_some();
    let mut size = if is_short { SHORT } else { WHOLE };
    let keys = std::env::var("DAYFOLD_BENCH_KEYS").ok().and_then(|keys| keys.parse().ok());
    // A round of pushes has each key as often.
    size.keys = keys.map_or(size.keys, |keys: u64| keys.next_multiple_of(BATCH));
    let workers = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(2);
    let mut bench = Bench::start(workers, size);

    let (mut quiet, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        quiet.push(bench.pour(size));
        asked.push(bench.beside_clients(size));
    }
    bench.running.finish().unwrap();

    println!("{} keys, {DAYS} days, {workers} workers, a million events/s:", size.keys);
    let (mut alone, mut beside) = (Figures::default(), Figures::default());
    for (quiet, (asked, answers)) in quiet.into_iter().zip(asked) {
        println!("  until a tick is visible, no questions: {quiet}");
        println!("  until a tick is visible, {CLIENTS} clients ask for all keys: {asked}");
        println!("    {answers}");
        assert!(answers.whole.into_inner() > 0, "clients are answered");
        // Memory that the allocator keeps after the first clients counts for the clients, too.
        let memory = if alone.memory == 0 { quiet.memory } else { alone.memory };
        alone = Figures { memory, ..alone.with(&quiet) };
        beside = beside.with(&asked);
    }
    println!(
        "p99 {:.2} times that without questions; memory grows by {} MB",
        beside.p99.as_secs_f64() / alone.p99.as_secs_f64(),
        beside.memory.saturating_sub(alone.memory) / 1_000_000
    );
}

/// How long ticks took until they were visible, and the peak memory meanwhile.
#[derive(Clone, Copy, Default)]
struct Figures {
    p50: Duration,
    p99: Duration,
    p999: Duration,
    memory: usize,
}

impl Figures {
    fn of(mut took: Vec<Duration>, memory: usize) -> Figures {
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        Figures { p50: at(0.5), p99: at(0.99), p999: at(0.999), memory }
    }

    /// The best latency of two rounds, because others use this machine, too, and the most memory.
    fn with(self, other: &Figures) -> Figures {
        let least = |a: Duration, b: Duration| if a.is_zero() { b } else { a.min(b) };
        Figures {
            p50: least(self.p50, other.p50),
            p99: least(self.p99, other.p99),
            p999: least(self.p999, other.p999),
            memory: self.memory.max(other.memory),
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { p50, p99, p999, memory } = self;
        let memory = memory / 1_000_000;
        write!(f, "p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}; {memory} MB")
    }
}

/// The answers that the clients got.
#[derive(Default)]
struct Answers {
    whole: AtomicU64,
    refused: AtomicU64,
    /// Queries whose moment expired before all rows were read.
    expired: AtomicU64,
    slowest_ms: AtomicU64,
}

impl std::fmt::Display for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |number: &AtomicU64| number.load(Ordering::Acquire);
        let (whole, slowest) = (of(&self.whole), of(&self.slowest_ms));
        let (refused, expired) = (of(&self.refused), of(&self.expired));
        write!(
            f,
            "{whole} answers, the slowest in {slowest} ms, {refused} refused, {expired} expired"
        )
    }
}

struct Bench {
    handle: ViewHandle<u64, Totals>,
    view: Arc<dyn ErasedView>,
    pusher: Pusher<Event>,
    running: Running,
    keys: u64,
    /// Events of today that were pushed, and those that are visible.
    pushed: u64,
    visible: Arc<AtomicU64>,
    _folder: TempDir,
}

impl Bench {
    fn start(workers: usize, size: Size) -> Bench {
        let (now, folder) = (Arc::new(AtomicI64::new(0)), tempfile::tempdir().unwrap());
        let clock = Arc::clone(&now);
        let engine = Engine::<Event>::new().clock(move || clock.load(Ordering::Acquire));
        let mut engine = engine.data(folder.path());
        let view = View::new("questions").unwrap().limits(Limits::new(60, 1 << 26, 1 << 34));
        let handle = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
            Some((time, key, (Count::one(), Sum::of(value))))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let running = engine.start(Cluster::workers(workers)).unwrap();
        let view = running.view("questions").unwrap();
        let (keys, visible) = (size.keys, Arc::default());
        let mut bench =
            Bench { handle, view, pusher, running, keys, pushed: 0, visible, _folder: folder };
        for day in 0..DAYS - 1 {
            now.store(noon(day), Ordering::Release);
            // Each key on two days.
            let of = |shift: u64| (0..keys).filter(move |key| (key + shift) % 29 == day as u64);
            let events: Vec<Event> =
                of(0).chain(of(13)).map(|key| (noon(day), scattered(key), 1)).collect();
            bench.push_all(events);
        }
        now.store(noon(DAYS - 1), Ordering::Release);
        let last = Day(DAYS as i32 - 2);
        bench.handle.wait_sealed_through(last, LONG).unwrap();
        for _ in 0..keys.div_ceil(BATCH) {
            let batch = bench.batch();
            bench.push_all(batch);
        }
        bench.visible.store(bench.pushed, Ordering::Release);
        bench
    }

    fn push_all(&self, events: Vec<Event>) {
        let mut last = None;
        for batch in events.chunks(4_096) {
            let pushed = self.pusher.push(batch.to_vec()).unwrap();
            assert!(pushed.refused.is_empty());
            last = Some(pushed.receipt);
        }
        last.unwrap().wait_visible(LONG).unwrap();
    }

    /// The next events of today: the n-th is of key `n`.
    fn batch(&mut self) -> Vec<Event> {
        let from = self.pushed;
        self.pushed += BATCH;
        (from..self.pushed).map(|n| (noon(DAYS - 1), scattered(n % self.keys), 1)).collect()
    }

    /// Pushes a million events a second. Returns the time of each tick from when it was due until it was visible.
    fn pour(&mut self, size: Size) -> Figures {
        let (sender, receipts) = mpsc::channel::<(Instant, Receipt, u64)>();
        let visible = Arc::clone(&self.visible);
        let waiting = std::thread::spawn(move || {
            let took = |(due, receipt, pushed): (Instant, Receipt, u64)| {
                receipt.wait_visible(LONG).unwrap();
                visible.store(pushed, Ordering::Release);
                due.elapsed()
            };
            receipts.into_iter().map(took).collect::<Vec<_>>()
        });
        let (started, mut memory) = (Instant::now(), 0);
        for n in 0..1_000 * size.seconds {
            let batch = self.batch();
            let due = started + Duration::from_millis(n);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let pushed = self.pusher.push(batch).unwrap();
            assert!(pushed.refused.is_empty());
            sender.send((due, pushed.receipt, self.pushed)).unwrap();
            if n % 20 == 0 {
                memory = memory.max(memory::of(memory::ANONYMOUS));
            }
        }
        drop(sender);
        Figures::of(waiting.join().unwrap(), memory)
    }

    fn beside_clients(&mut self, size: Size) -> (Figures, Answers) {
        let (answers, is_over) = (Arc::new(Answers::default()), Arc::new(AtomicBool::new(false)));
        let client = |_| {
            let (answers, is_over) = (Arc::clone(&answers), Arc::clone(&is_over));
            let (view, visible) = (Arc::clone(&self.view), Arc::clone(&self.visible));
            std::thread::spawn(move || ask(&*view, size.keys, &visible, &answers, &is_over))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let figures = self.pour(size);
        is_over.store(true, Ordering::Release);
        clients.into_iter().for_each(|client| client.join().unwrap());
        let answers = Arc::into_inner(answers).unwrap();
        (figures, answers)
    }
}

/// Asks for all keys repeatedly, and tries again later if refused.
fn ask(
    view: &dyn ErasedView,
    keys: u64,
    visible: &AtomicU64,
    answers: &Answers,
    is_over: &AtomicBool,
) {
    let scan = Scan::by_key().columns(["key", "count", "sum"]);
    while !is_over.load(Ordering::Acquire) {
        let (started, before) = (Instant::now(), visible.load(Ordering::Acquire));
        match view.scan(&scan, None) {
            Ok(batches) => {
                let (mut rows, mut events, mut last) = (0, 0, None);
                let mut is_whole = true;
                for batch in batches {
                    let batch = match batch {
                        Err(ScanError::Expired { .. }) => {
                            is_whole = false;
                            break;
                        }
                        batch => batch.unwrap(),
                    };
                    for row in 0..batch.rows() {
                        let [key, count] =
                            [0, 1].map(|column| integer(batch.value_ref(row, column)));
                        assert!(last < Some(key), "keys are in order");
                        (rows, events, last) = (rows + 1, events + count, Some(key));
                    }
                }
                if !is_whole {
                    answers.expired.fetch_add(1, Ordering::AcqRel);
                    continue;
                }
                assert_eq!(rows, keys, "all keys are there");
                assert!(events >= i128::from(before + 2 * keys), "what was visible is in it");
                answers.whole.fetch_add(1, Ordering::AcqRel);
                let took = started.elapsed().as_millis() as u64;
                answers.slowest_ms.fetch_max(took, Ordering::AcqRel);
            }
            Err(ScanError::Busy { .. }) => {
                answers.refused.fetch_add(1, Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn integer(value: ValueRef<'_>) -> i128 {
    match value {
        ValueRef::Integer(integer) => integer,
        other => panic!("expected a whole number, found {other}"),
    }
}

fn noon(day: i64) -> i64 {
    day * DAY_MS + DAY_MS / 2
}

/// Keys that follow each other are far apart.
fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
