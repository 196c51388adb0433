//! The workload of the benchmarks, and the program that does the same without a dataflow.

// Each benchmark takes what it needs of it.
#![allow(dead_code)]

pub(crate) mod sealed;

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use dayfold::Archive;
use dayfold::aggregate::{Count, Max, Sum};
use dayfold::serve::Item;
use dayfold::store::{Disk, Store, StoreConfig, ViewRecord};
use dayfold::time::EventTime;
use foldhash::fast::RandomState;

/// Event time in milliseconds UTC, key, value.
pub(crate) type Event = (EventTime, u64, u64);

/// What both programs compute for each day and key: count, sum, greatest value.
pub(crate) type Stats = (u64, u64, u64);

/// The same, as Dayfold has it.
pub(crate) type State = (Count, Sum, Max<u64>);

/// Result of both programs.
pub(crate) type Groups = hashbrown::HashMap<(u32, u64), Stats, RandomState>;

pub(crate) const EVENTS: usize = 5_000_000;
pub(crate) const DAYS: usize = 10;
pub(crate) const DAY_MS: i64 = 86_400_000;
/// 2024-01-01T00:00:00Z.
pub(crate) const START: EventTime = 1_704_067_200_000;
/// No event is older than the newest one before it by more than this.
pub(crate) const DISORDER_MS: i64 = 5 * 60_000;

const KEYS: usize = 100_000;
const ZIPF_EXPONENT: f64 = 1.05;
const SEED: u64 = 0x0DA7_F01D;

/// The events, in the order in which they come. The same on every machine and in every run.
pub(crate) fn events() -> Vec<Event> {
    first_events(EVENTS)
}

/// The first so many of them.
pub(crate) fn first_events(count: usize) -> Vec<Event> {
    let weights = (1..=KEYS).map(|rank| (rank as f64).powf(-ZIPF_EXPONENT));
    let cumulated: Vec<f64> = weights
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect();
    let total = cumulated[KEYS - 1];
    let mut random = SplitMix(SEED);
    let event = |number: usize| {
        let due = START + (number as i64 * DAYS as i64 * DAY_MS) / EVENTS as i64;
        let delay = random.next() as i64 & i64::MAX;
        let time = (due - delay % DISORDER_MS).max(START);
        let place = (random.next() >> 11) as f64 / (1u64 << 53) as f64 * total;
        let rank = cumulated.partition_point(|&sum| sum <= place).min(KEYS - 1);
        (time, key(rank), random.next() % 10_000)
    };
    (0..count).map(event).collect()
}

/// The key of a rank: a bijection that leaves nothing of the order of frequency.
pub(crate) fn key(rank: usize) -> u64 {
    SplitMix(SEED ^ rank as u64).next()
}

/// Sebastiano Vigna's SplitMix64.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// A hash map of (day, key) on one thread: what the fold costs when nothing else is promised.
pub(crate) fn hash_map(ticks: &[Vec<Event>]) -> (Groups, Duration) {
    let mut groups = Groups::with_hasher(RandomState::default());
    let start = Instant::now();
    for &event in ticks.iter().flatten() {
        add(&mut groups, event);
    }
    (black_box(groups), start.elapsed())
}

/// An archive in a new folder, for a view of this name.
pub(crate) fn archive(folder: &Path, view: &str) -> Archive {
    let [name, zone, key, aggregate, definition] =
        [view, "UTC", "u64", "stats", ""].map(str::to_owned);
    let record = ViewRecord { name, zone, key, aggregate, definition };
    let config = StoreConfig::new(0, 1, vec![record]);
    let store = Store::open(Arc::new(Disk), folder, config).expect("the folder is new");
    store.begin().expect("the folder is new");
    Archive::folder(Arc::new(store))
}

/// The same on two threads: each reads all events and takes those whose key is its own.
pub(crate) fn hash_maps(ticks: &[Vec<Event>]) -> (usize, Duration) {
    let begin = Barrier::new(3);
    let half = |mine: u64| {
        let mut groups = Groups::with_hasher(RandomState::default());
        begin.wait();
        for &event in ticks.iter().flatten() {
            // A multiplication spreads any keys over its top bit, and costs next to nothing.
            if event.1.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == mine {
                add(&mut groups, event);
            }
        }
        (black_box(groups).len(), Instant::now())
    };
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|mine| scope.spawn(move || half(mine)));
        begin.wait();
        let start = Instant::now();
        let ended = threads.map(|thread| thread.join().expect("the thread has not panicked"));
        let last = ended.iter().map(|(_, end)| *end).max().expect("there are two");
        (ended.iter().map(|(len, _)| len).sum(), last - start)
    })
}

#[inline]
pub(crate) fn add(groups: &mut Groups, (time, key, value): Event) {
    // All times are after 1970, and the days are those of UTC.
    let day = (time as u64 / DAY_MS as u64) as u32;
    let stats = groups.entry((day, key)).or_insert((0, 0, 0));
    stats.0 += 1;
    stats.1 += value;
    stats.2 = stats.2.max(value);
}

/// How many rows differ from those of a reference, each of whose events entered so many times.
pub(crate) fn wrong_rows(items: &[Item<u64, State>], reference: &Groups, times: u64) -> usize {
    let is_wrong = |item: &&Item<u64, State>| {
        let (day, key) = item.day.zip(item.key).expect("answers by day and key have both");
        let (count, sum, greatest) = item.parts.merged().expect("an item has a part");
        let stats = (count.0 as u64, sum.value() as u64, greatest.0);
        let expected = reference.get(&(day.0 as u32, key));
        expected.map(|&(n, sum, most)| (n * times, sum * times, most)) != Some(stats)
    };
    reference.len().abs_diff(items.len()) + items.iter().filter(is_wrong).count()
}
