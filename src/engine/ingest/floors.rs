//! The floor that all sources together allow.

use crate::time::EventTime;

/// The floors that the registered sources allow. The least one counts; a source that has ended holds
/// nothing back. Each worker keeps its own: sources tell every worker, in order with their events, and
/// timely's frontier takes the least over the workers.
#[derive(Clone, Debug)]
pub(crate) struct Floors {
    allowed: Vec<Option<EventTime>>,
}

impl Floors {
    /// Sources that allow nothing beyond `floor` yet.
    pub(crate) fn new(sources: usize, floor: EventTime) -> Floors {
        Floors { allowed: vec![Some(floor); sources] }
    }

    /// `source` allows days up to `floor` to close. Returns what all sources allow.
    pub(crate) fn allow(&mut self, source: usize, floor: EventTime) -> Option<EventTime> {
        if let Some(allowed) = &mut self.allowed[source] {
            *allowed = floor.max(*allowed);
        }
        self.least()
    }

    /// `source` has ended. Returns what the others allow, or `None` if none is left.
    pub(crate) fn end(&mut self, source: usize) -> Option<EventTime> {
        self.allowed[source] = None;
        self.least()
    }

    /// Whether `source` has not ended.
    pub(crate) fn is_open(&self, source: usize) -> bool {
        self.allowed[source].is_some()
    }

    fn least(&self) -> Option<EventTime> {
        self.allowed.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_source_holds_the_floor() {
        let mut floors = Floors::new(2, EventTime::MIN);
        assert_eq!(floors.allow(0, 10), Some(EventTime::MIN), "the other has said nothing yet");
        assert_eq!(floors.allow(1, 7), Some(7));
        assert_eq!(floors.allow(1, 5), Some(7), "floors never go back");
        assert_eq!(floors.end(1), Some(10), "who has ended holds nothing back");
        assert_eq!(floors.end(0), None);
    }
}
