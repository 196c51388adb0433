//! The events, and the clock of the run, on which days pass faster.

use std::sync::OnceLock;

use dayfold::time::EventTime;
use dayfold_latency::Watch;

use crate::options::Options;

/// Event time, key, value.
pub(crate) type Event = (EventTime, u64, i64);

const DAY_MS: f64 = 86_400_000.0;
/// 2024-01-01T00:00:00Z: when every run begins.
const BEGIN: EventTime = 1_704_067_200_000;
/// Keys are drawn in advance and reused, because drawing takes longer than counting.
const DRAWN: usize = 1 << 20;
const SEED: u64 = 0x1A7E_9C1E;

/// The clock of the events. It stands still until the run starts.
#[derive(Debug)]
pub(crate) struct DayClock {
    started: OnceLock<Watch>,
    day_ns: f64,
}

impl DayClock {
    pub(crate) fn new(options: &Options) -> DayClock {
        DayClock { started: OnceLock::new(), day_ns: options.day_seconds as f64 * 1e9 }
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Watch {
        *self.started.get_or_init(Watch::start)
    }

    /// The time of events that come now.
    pub(crate) fn now(&self) -> EventTime {
        self.started.get().map_or(BEGIN, |watch| self.at(watch.now()))
    }

    /// The time of events that are due at this instant of the run.
    pub(crate) fn at(&self, instant: u64) -> EventTime {
        BEGIN + (instant as f64 / self.day_ns * DAY_MS) as EventTime
    }

    /// The instant of the run at which it will be this time.
    pub(crate) fn instant(&self, time: EventTime) -> u64 {
        ((time - BEGIN) as f64 / DAY_MS * self.day_ns).ceil() as u64
    }

    /// The day of the run at this instant, counted from 0, and how much of it is over.
    pub(crate) fn phase(&self, instant: u64) -> (u64, f64) {
        let days = instant as f64 / self.day_ns;
        (days as u64, days.fract())
    }

    /// The instant of a phase of a day of the run.
    pub(crate) fn instant_of(&self, day: u64, phase: f64) -> u64 {
        ((day as f64 + phase) * self.day_ns) as u64
    }
}

/// Late events come in this part of each day, twice as many of them as over the whole day.
pub(crate) const LATE_FROM: f64 = 0.25;
pub(crate) const LATE_TO: f64 = 0.75;

/// Makes events.
pub(crate) struct Load<'a> {
    clock: &'a DayClock,
    keys: Vec<u64>,
    /// How many of the 2⁶⁴ random numbers make an event late.
    late: u64,
}

impl<'a> Load<'a> {
    pub(crate) fn new(options: &Options, clock: &'a DayClock) -> Load<'a> {
        let weights = (1..=options.keys).map(|rank| (rank as f64).powf(-options.zipf));
        let sums: Vec<f64> = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let whole = sums.last().copied().unwrap_or(1.0);
        let draw = |number: usize| {
            let place = (mix(SEED ^ number as u64) >> 11) as f64 / (1u64 << 53) as f64 * whole;
            // The key does not show the order of frequency.
            mix(sums.partition_point(|sum| *sum <= place).min(sums.len() - 1) as u64)
        };
        let keys = (0..DRAWN).map(draw).collect();
        Load { clock, keys, late: (options.late * 2.0 * u64::MAX as f64) as u64 }
    }

    /// The event of this number, due at this instant.
    pub(crate) fn event(&self, number: u64, due: u64) -> Event {
        let mut time = self.clock.at(due);
        let random = mix(number);
        if self.late > 0 && random < self.late {
            let (_, phase) = self.clock.phase(due);
            if (LATE_FROM..LATE_TO).contains(&phase) {
                time -= DAY_MS as EventTime;
            }
        }
        (time, self.key(number), (random % 10_000) as i64)
    }

    /// The most frequent key.
    pub(crate) fn most_frequent(&self) -> u64 {
        mix(0)
    }

    /// A key, as often as it comes.
    pub(crate) fn key(&self, number: u64) -> u64 {
        self.keys[number as usize % DRAWN]
    }
}

/// Sebastiano Vigna's SplitMix64, one number of it.
pub(crate) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
