//! Records one quantity: over the whole run, under each condition, and over time.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::conditions::Conditions;
use super::histogram::Latencies;
use super::schedule::Schedule;

/// Significant digits of the histograms over time, of which there are many.
const SLICE_DIGITS: u8 = 2;

/// Records the latencies of one quantity. Each thread may have its own recorder: their recordings merge.
#[derive(Debug)]
pub struct Recorder {
    conditions: Conditions,
    recording: Recording,
    reaches: Vec<Option<u64>>,
    cuts: Vec<u64>,
}

impl Recorder {
    /// Records a quantity with this name. It also records each `slice` nanoseconds of the run separately, by the
    /// instants at which events were due.
    pub fn new(name: &str, conditions: &Conditions, slice: u64) -> Recorder {
        let recording = Recording { slice: slice.max(1), ..Recording::named(name) };
        let conditions = conditions.clone();
        Recorder { conditions, recording, reaches: Vec::new(), cuts: Vec::new() }
    }

    /// An event that was due at `due` was done at `done`.
    pub fn record(&mut self, due: u64, done: u64) {
        self.conditions.reaches(done, &mut self.reaches);
        let latency = done.saturating_sub(due);
        for latencies in self.recording.places(&self.reaches, due) {
            latencies.record(latency);
        }
    }

    /// These events of a schedule were done together, at `done`. Each counts from its own instant: this is the same as
    /// [recording](Recorder::record) them one by one, but faster.
    pub fn record_run(&mut self, schedule: &Schedule, events: Range<u64>, done: u64) {
        if events.is_empty() {
            return;
        }
        self.conditions.reaches(done, &mut self.reaches);
        // Between the cuts, all events go to the same histograms.
        self.cuts.clear();
        self.cuts.push(events.end);
        self.cuts.extend(self.reaches.iter().flatten().map(|reach| schedule.due(*reach)));
        let slice = self.recording.slice;
        let slices = schedule.at(events.start) / slice + 1..=schedule.at(events.end - 1) / slice;
        self.cuts.extend(slices.map(|number| schedule.due(number * slice - 1)));
        self.cuts.sort_unstable();
        let mut start = events.start;
        for &cut in &self.cuts {
            let end = cut.min(events.end);
            if end > start {
                let places = self.recording.places(&self.reaches, schedule.at(start));
                for latencies in places {
                    add_run(latencies, schedule, start..end, done);
                }
                start = end;
            }
        }
    }

    /// How many were recorded so far.
    pub fn count(&self) -> u64 {
        self.recording.all.count()
    }

    /// The recording.
    pub fn finish(self) -> Recording {
        self.recording.with_names(self.conditions.names())
    }
}

/// Counts a run of events into one histogram.
fn add_run(latencies: &mut Latencies, schedule: &Schedule, events: Range<u64>, done: u64) {
    let spacing = schedule.spacing();
    let mut end = events.end;
    while end > events.start {
        // Of the remaining events, the last one has waited least.
        let latency = done.saturating_sub(schedule.at(end - 1));
        let highest = latencies.highest_equivalent(latency);
        // After a long stall many events share a bucket; otherwise the division is not worth it.
        let first = if highest - latency < spacing {
            end - 1
        } else {
            match done.checked_sub(highest).and_then(|due| due.checked_sub(1)) {
                Some(before) => schedule.due(before).clamp(events.start, end - 1),
                None => events.start,
            }
        };
        latencies.record_n(latency, end - first);
        end = first;
    }
}

/// The recording of one quantity. Recordings of the same quantity add up over workers and processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    name: String,
    all: Latencies,
    calm: Latencies,
    during: Vec<(String, Latencies)>,
    slice: u64,
    slices: Vec<Latencies>,
}

impl Recording {
    /// An empty recording, over the whole run only.
    pub(super) fn named(name: &str) -> Recording {
        Recording {
            name: name.to_owned(),
            all: Latencies::new(),
            calm: Latencies::new(),
            during: Vec::new(),
            slice: 0,
            slices: Vec::new(),
        }
    }

    /// A quantity that was measured otherwise, once or a few times.
    pub fn of(name: &str, latencies: Latencies) -> Recording {
        Recording { all: latencies, ..Recording::named(name) }
    }

    /// The name of the quantity.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything that was recorded.
    pub fn all(&self) -> &Latencies {
        &self.all
    }

    /// Events that overlap no condition.
    pub fn calm(&self) -> &Latencies {
        &self.calm
    }

    /// Events that overlap a condition: all that the condition may have delayed.
    pub fn during(&self, condition: &str) -> Option<&Latencies> {
        self.during.iter().find(|(name, _)| name == condition).map(|(_, latencies)| latencies)
    }

    /// Each condition under which anything was recorded, with its latencies.
    pub fn conditions(&self) -> impl Iterator<Item = (&str, &Latencies)> {
        let some = self.during.iter().filter(|(_, latencies)| latencies.count() > 0);
        some.map(|(name, latencies)| (name.as_str(), latencies))
    }

    /// The length of a slice of time in nanoseconds, and the latencies (to two digits) of the events due in each. The
    /// last slice holds all later ones.
    pub fn slices(&self) -> (u64, &[Latencies]) {
        (self.slice, &self.slices)
    }

    /// Adds another worker's or process's recording of the same quantity.
    pub fn merge(&mut self, other: &Recording) {
        self.all.merge(&other.all);
        self.calm.merge(&other.calm);
        for (name, latencies) in &other.during {
            match self.during.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.merge(latencies),
                None => self.during.push((name.clone(), latencies.clone())),
            }
        }
        if self.slices.len() < other.slices.len() {
            self.slices.resize_with(other.slices.len(), || Latencies::with_digits(SLICE_DIGITS));
        }
        for (slice, other) in self.slices.iter_mut().zip(&other.slices) {
            slice.merge(other);
        }
    }

    /// The histograms in which an event due at `due` counts, given how far conditions reach.
    fn places(
        &mut self,
        reaches: &[Option<u64>],
        due: u64,
    ) -> impl Iterator<Item = &mut Latencies> {
        while self.during.len() < reaches.len() {
            self.during.push((String::new(), Latencies::new()));
        }
        let number = (due / self.slice).min(SLICES_MAX - 1) as usize;
        if self.slices.len() <= number {
            self.slices.resize_with(number + 1, || Latencies::with_digits(SLICE_DIGITS));
        }
        let holds = move |reach: &Option<u64>| reach.is_some_and(|reach| due <= reach);
        let calm = !reaches.iter().any(holds);
        let during = self.during.iter_mut().zip(reaches);
        let during =
            during.filter(move |(_, reach)| holds(reach)).map(|((_, latencies), _)| latencies);
        [&mut self.all, &mut self.slices[number]]
            .into_iter()
            .chain(calm.then_some(&mut self.calm))
            .chain(during)
    }

    fn with_names(mut self, names: Vec<String>) -> Recording {
        for ((place, _), name) in self.during.iter_mut().zip(names) {
            *place = name;
        }
        self
    }
}

/// Slices beyond this many become one, which bounds memory for any length of slices.
const SLICES_MAX: u64 = 10_000;
