//! The longest times in which nothing was done.

use super::conditions::Conditions;
use super::histogram::Latencies;

/// Finds the longest pause in each span of a condition: the longest time between two successive instants at which
/// events were done, if it overlaps with the span. It is meant for a steady stream of events; without one, a pause may
/// only mean that there was nothing to do.
///
/// ```
/// use dayfold_latency::{Conditions, Pauses, Span, SpanId};
///
/// let conditions = Conditions::new();
/// let merge: SpanId = conditions.begin("merge", "of level 2", 1_000);
/// let mut pauses = Pauses::new(&conditions, "merge");
/// [1_500, 2_000, 9_000].map(|done| pauses.seen(done));
/// conditions.end(merge, 9_500);
/// let Span { from, to, .. } = &conditions.spans()[0];
/// assert_eq!((*from, *to), (1_000, Some(9_500)));
/// println!("the longest pause: {}", pauses.finish().max());
/// ```
#[derive(Debug)]
pub struct Pauses {
    conditions: Conditions,
    condition: String,
    last: u64,
    /// Spans that may still overlap with later pauses: their numbers, and their longest pause so far.
    longest: Vec<(usize, u64)>,
    /// Spans before this number are known.
    known: usize,
    ended: Latencies,
}

impl Pauses {
    /// Watches the spans of this condition.
    pub fn new(conditions: &Conditions, condition: &str) -> Pauses {
        Pauses {
            conditions: conditions.clone(),
            condition: condition.to_owned(),
            last: 0,
            longest: Vec::new(),
            known: 0,
            ended: Latencies::new(),
        }
    }

    /// Events were done at `done`. Instants are ascending.
    pub fn seen(&mut self, done: u64) {
        let (from, condition) = (self.last, &self.condition);
        let (known, longest, ended) = (&mut self.known, &mut self.longest, &mut self.ended);
        self.conditions.look(|spans| {
            let new = spans.iter().enumerate().skip(*known);
            longest.extend(new.filter(|(_, s)| s.condition == *condition).map(|(n, _)| (n, 0)));
            *known = spans.len();
            longest.retain_mut(|(number, longest)| {
                let span = &spans[*number];
                if span.to.is_some_and(|to| to < from) {
                    ended.record(*longest);
                    return false;
                }
                if span.from <= done {
                    *longest = (*longest).max(done - from);
                }
                true
            });
        });
        self.last = done;
    }

    /// The longest pause of each span.
    pub fn finish(mut self) -> Latencies {
        for (_, longest) in self.longest {
            self.ended.record(longest);
        }
        self.ended
    }
}
