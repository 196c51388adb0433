//! The events of a line.

use crate::is_short;
use crate::workload::{self, DAY_MS, Event, START, SplitMix};

pub(crate) const TICK: usize = 100_000;
pub(crate) const MILLION: usize = 1_000_000;

/// A stream of events: the same in every run.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) events: usize,
    pub(crate) keys: usize,
    pub(crate) days: usize,
    /// Keys are spread by Zipf's law with exponent 1.05; otherwise evenly.
    pub(crate) zipf: bool,
}

impl Load {
    pub(crate) fn ticks(self) -> impl Iterator<Item = Vec<Event>> {
        let short = if is_short() { 20 } else { 1 };
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

/// The rank at which the continuous form of Zipf's law reaches this share. There is no table of ranks, because its
/// memory would count.
fn zipf(share: f64, keys: usize) -> usize {
    const EXPONENT: f64 = 1.05;
    let last = (keys as f64 + 1.0).powf(1.0 - EXPONENT);
    let rank = (1.0 - share * (1.0 - last)).powf(1.0 / (1.0 - EXPONENT));
    (rank as usize - 1).min(keys - 1)
}
