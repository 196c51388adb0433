//! Conditions that hold during a measurement.

use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

/// Spans of time in which a condition holds, by the name of the condition. Clones share them: one thread reports
/// conditions, others record latencies.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    conditions: Vec<Condition>,
    spans: Vec<Span>,
}

#[derive(Debug)]
struct Condition {
    name: String,
    /// Spans that have not ended, by number.
    open: Vec<usize>,
    /// The beginnings and ends of the other spans, in the order in which they ended.
    ended: Vec<(u64, u64)>,
}

/// A span of time in which a condition held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Span {
    /// The name of the condition.
    pub condition: String,
    /// A label, for example a day.
    pub label: String,
    /// When it began.
    pub from: u64,
    /// When it ended, if it did.
    pub to: Option<u64>,
}

/// A span that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanId(usize);

impl Conditions {
    /// None yet: the first span names its condition.
    pub fn new() -> Conditions {
        Conditions::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// From the instant `at` on, `condition` holds. Call this before latencies that end after `at` are recorded,
    /// because latencies count under the conditions known by then.
    pub fn begin(&self, condition: &str, label: &str, at: u64) -> SpanId {
        let mut inner = self.lock();
        let number = inner.spans.len();
        let (condition, label) = (condition.to_owned(), label.to_owned());
        match inner.conditions.iter_mut().find(|known| known.name == condition) {
            Some(known) => known.open.push(number),
            None => inner.conditions.push(Condition {
                name: condition.clone(),
                open: vec![number],
                ended: Vec::new(),
            }),
        }
        inner.spans.push(Span { condition, label, from: at, to: None });
        SpanId(number)
    }

    /// It held until `at`. A second end of the same span changes nothing.
    pub fn end(&self, SpanId(number): SpanId, at: u64) {
        let mut inner = self.lock();
        let Inner { conditions, spans } = &mut *inner;
        let span = &mut spans[number];
        let at = at.max(span.from);
        let condition = conditions.iter_mut().find(|known| known.open.contains(&number));
        if let Some(condition) = condition {
            span.to = Some(at);
            condition.open.retain(|open| *open != number);
            let place = condition.ended.partition_point(|(_, to)| *to <= at);
            condition.ended.insert(place, (span.from, at));
        }
    }

    /// All spans so far, in the order in which they began.
    pub fn spans(&self) -> Vec<Span> {
        self.lock().spans.clone()
    }

    /// The spans of a condition that have not ended.
    pub fn open(&self, condition: &str) -> Vec<SpanId> {
        let inner = self.lock();
        let known = inner.conditions.iter().find(|known| known.name == condition);
        known.map_or(Vec::new(), |known| known.open.iter().copied().map(SpanId).collect())
    }

    /// Shows all spans so far.
    pub(super) fn look(&self, look: impl FnOnce(&[Span])) {
        look(&self.lock().spans);
    }

    /// The names of the conditions, in the order in which they first held.
    pub(super) fn names(&self) -> Vec<String> {
        self.lock().conditions.iter().map(|condition| condition.name.clone()).collect()
    }

    /// For each condition: an event done at `done` overlaps it if it was due at or before the returned instant; `None`
    /// means that it does not overlap, whenever it was due.
    pub(super) fn reaches(&self, done: u64, into: &mut Vec<Option<u64>>) {
        let inner = self.lock();
        let reach = |condition: &Condition| {
            let is_on = condition.open.iter().any(|number| inner.spans[*number].from <= done);
            let ended = || condition.ended.iter().rev().find(|(from, _)| *from <= done);
            if is_on { Some(u64::MAX) } else { ended().map(|(_, to)| *to) }
        };
        into.clear();
        into.extend(inner.conditions.iter().map(reach));
    }
}
