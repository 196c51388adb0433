//! The cost of an engine's handle: pushing, asking while events come in, and a thousand subscribers.
//!
//! One worker (`-- 2`: two), 100,000 keys over 7 days, six of which are sealed. Every answer is checked; if one is
//! wrong, no figure is printed. `DAYFOLD_BENCH_SHORT=1` pushes less. The worker, the pushing thread and the asking
//! thread share the cores: with two cores, the figures include each wake-up.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Receipt, Running, ViewHandle};
use dayfold::serve::Query;
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Cluster, Engine};

type Event = (i64, u64, i64);
type Totals = (Count, Sum);

const DAY_MS: i64 = 86_400_000;
const KEYS: u64 = 100_000;
const DAYS: i64 = 7;
const SUBSCRIBERS: u64 = 1_000;
const LONG: Duration = Duration::from_secs(60);

fn main() {
    let is_short = std::env::var_os("DAYFOLD_BENCH_SHORT").is_some();
    let (events, seconds, rounds) = if is_short { (400_000, 1, 1) } else { (10_000_000, 8, 5) };
    let workers = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let mut bench = Bench::start(workers);

    let (mut returned, mut alone, mut watched) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (push, visible) = bench.pour(events);
        returned.push(events as f64 / push.as_secs_f64() / 1e6);
        alone.push(events as f64 / visible.as_secs_f64() / 1e6);
        let (_, visible) = bench.with_subscribers(|bench| bench.pour(events));
        watched.push(events as f64 / visible.as_secs_f64() / 1e6);
    }
    let visible = bench.batches(1_000 * seconds);
    let quiet = bench.ask(0, seconds);
    let busy = bench.ask(1_000_000, seconds);
    bench.check();

    println!(
        "one thread pushes batches of 4,096: {:.1} million events a second",
        median(&mut returned)
    );
    println!("  until all are visible: {:.1} million a second", median(&mut alone));
    println!(
        "  with {SUBSCRIBERS} subscribers, 100 ms: {:.1} million a second",
        median(&mut watched)
    );
    for (name, mut took) in [
        ("a batch of 1,000 is pushed and visible", visible),
        ("a key over 7 days, nothing enters", quiet),
        ("a key over 7 days, 1 million events/s enter", busy),
    ] {
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
        let times = took.len();
        println!("{name}: p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?} of {times}");
    }
    bench.running.finish().unwrap();
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Bench {
    handle: ViewHandle<u64, Totals>,
    pusher: Pusher<Event>,
    running: Running,
    /// Events that were pushed today, the n-th of key `n % KEYS`.
    pushed: u64,
}

impl Bench {
    fn start(workers: usize) -> Bench {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let mut engine = Engine::<Event>::new().clock(move || clock.load(Ordering::Acquire));
        let view = View::new("handle").unwrap();
        let handle = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
            Some((time, key, (Count::one(), Sum::of(value))))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let running = engine.start(Cluster::workers(workers)).unwrap();
        let mut bench = Bench { handle, pusher, running, pushed: 0 };
        for day in 0..DAYS {
            now.store(day * DAY_MS + DAY_MS / 2, Ordering::Release);
            bench.push(day, KEYS).wait_visible(LONG).unwrap();
            bench.pushed = 0;
        }
        bench.pushed = KEYS;
        // Six days are sealed before anything is measured.
        let sealed =
            |day: Option<dayfold::time::Day>| day.is_some_and(|day| day.0 as i64 == DAYS - 2);
        let started = Instant::now();
        let query = || Query::point(0, DayRange::ALL);
        while !sealed(bench.handle.ask(query()).unwrap().certificate.sealed_through) {
            assert!(started.elapsed() < LONG, "days are sealed");
            std::thread::sleep(Duration::from_millis(5));
        }
        bench
    }

    fn push(&mut self, day: i64, events: u64) -> Receipt {
        let time = day * DAY_MS + DAY_MS / 2;
        let mut last = None;
        let end = self.pushed + events;
        while self.pushed < end {
            let to = end.min(self.pushed + 4_096);
            let batch = (self.pushed..to).map(|n| (time, n % KEYS, 1)).collect();
            self.pushed = to;
            let pushed = self.pusher.push(batch).unwrap();
            assert!(pushed.refused.is_empty());
            last = Some(pushed.receipt);
        }
        last.unwrap()
    }

    /// How long it takes until this many events are pushed, and until they are visible.
    fn pour(&mut self, events: u64) -> (Duration, Duration) {
        let started = Instant::now();
        let receipt = self.push(DAYS - 1, events);
        let pushed = started.elapsed();
        receipt.wait_visible(LONG).unwrap();
        (pushed, started.elapsed())
    }

    /// How long it takes from the push of a batch until its receipt says that it is visible, one batch after the
    /// other.
    fn batches(&mut self, batches: u64) -> Vec<Duration> {
        let one = |_| {
            let started = Instant::now();
            self.push(DAYS - 1, 1_000).wait_visible(LONG).unwrap();
            started.elapsed()
        };
        (0..batches).map(one).collect()
    }

    fn with_subscribers<T>(&mut self, run: impl FnOnce(&mut Bench) -> T) -> T {
        let every = Duration::from_millis(100);
        let subscribe =
            |key| self.handle.subscribe(Query::point(key, DayRange::ALL), every).unwrap();
        let mut subscriptions: Vec<_> = (0..SUBSCRIBERS).map(|n| subscribe(n * 97)).collect();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let listening = std::thread::spawn(move || {
            let mut last = vec![Count(0); subscriptions.len()];
            let mut heard = 0_u64;
            while !over.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(50));
                for (subscription, last) in subscriptions.iter_mut().zip(&mut last) {
                    let Some(answer) = subscription.try_next().unwrap() else { continue };
                    let count = answer.value().unwrap().0;
                    assert!(count >= *last, "counts rise");
                    (*last, heard) = (count, heard + 1);
                }
            }
            heard
        });
        let result = run(self);
        is_over.store(true, Ordering::Release);
        assert!(listening.join().unwrap() >= SUBSCRIBERS, "all are told");
        result
    }

    /// The time of each query of one thread, one after the other, while another thread pushes.
    fn ask(&mut self, per_second: u64, seconds: u64) -> Vec<Duration> {
        let (handle, is_over) = (self.handle.clone(), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let before = self.pushed;
        let asking = std::thread::spawn(move || {
            let (mut took, mut key) = (Vec::new(), 1_u64);
            while !over.load(Ordering::Acquire) {
                key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) % KEYS;
                let started = Instant::now();
                let answer = handle.ask(Query::point(key, DayRange::ALL)).unwrap();
                took.push(started.elapsed());
                let count = answer.value().unwrap().0.0;
                assert!(count >= expected(before, key), "what was visible is in it");
            }
            took
        });
        let started = Instant::now();
        let mut receipt = None;
        for n in 1..=seconds * 1_000 {
            let due = Duration::from_millis(n);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            if per_second > 0 {
                receipt = Some(self.push(DAYS - 1, per_second / 1_000));
            }
        }
        is_over.store(true, Ordering::Release);
        receipt.into_iter().for_each(|receipt| receipt.wait_visible(LONG).unwrap());
        asking.join().unwrap()
    }

    /// Every hundredth key, and the total.
    fn check(&self) {
        for key in (0..KEYS).step_by(100) {
            let value = self.handle.ask(Query::point(key, DayRange::ALL)).unwrap().value().unwrap();
            assert_eq!(value.0, Count(expected(self.pushed, key)));
        }
        let total = self.handle.ask(Query::total(DayRange::ALL)).unwrap().value().unwrap();
        let events = self.pushed as i64 + (DAYS - 1) * KEYS as i64;
        assert_eq!(total, (Count(events), Sum::of(events)));
    }
}

/// How many events a key has when this many were pushed today: one for each earlier day, and its share.
fn expected(pushed: u64, key: u64) -> i64 {
    DAYS - 1 + (pushed / KEYS + u64::from(key < pushed % KEYS)) as i64
}
