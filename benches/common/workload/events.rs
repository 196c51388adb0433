//! The events of the benchmarks: the same on every machine and in every run.

// Each benchmark uses only a part of it.
#![allow(dead_code)]

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::time::EventTime;

/// Event time in milliseconds UTC, key, value.
pub(crate) type Event = (EventTime, u64, u64);

/// Count, sum and greatest value of a day and key.
pub(crate) type State = (Count, Sum, Max<u64>);

pub(crate) const EVENTS: usize = 5_000_000;
pub(crate) const DAYS: usize = 10;
pub(crate) const DAY_MS: i64 = 86_400_000;
/// 2024-01-01T00:00:00Z.
pub(crate) const START: EventTime = 1_704_067_200_000;
/// The most by which an event may be older than the newest one before it.
pub(crate) const DISORDER_MS: i64 = 5 * 60_000;

const KEYS: usize = 100_000;
const ZIPF_EXPONENT: f64 = 1.05;
const SEED: u64 = 0x0DA7_F01D;

/// The events, in the order in which they come. The same on every machine and in every run.
pub(crate) fn events() -> Vec<Event> {
    first_events(EVENTS)
}

/// The first ones, up to a number.
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

/// The key of a rank: a bijection that removes the order of frequency.
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
