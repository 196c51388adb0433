//! The floor that all sources together allow.

use crate::time::EventTime;

/// The floors that the registered sources allow. The least one counts; a source that has ended or is quiet is ignored.
/// Each worker has its own copy: sources tell every worker, in order with their events, and timely's frontier takes the
/// least over the workers.
#[derive(Clone, Debug)]
pub(crate) struct Floors {
    allowed: Vec<Allowed>,
}

/// What a source allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    Held(EventTime),
    /// The source is quiet and is ignored; if all are quiet, days up to here close.
    Quiet(EventTime),
    Ended,
}

impl Floors {
    /// Sources that allow nothing beyond `floor` yet.
    pub(crate) fn new(sources: usize, floor: EventTime) -> Floors {
        Floors { allowed: vec![Allowed::Held(floor); sources] }
    }

    /// Notes that `source` allows days up to `floor` to close. Returns the floor that all sources allow.
    pub(crate) fn allow(&mut self, source: usize, floor: EventTime) -> Option<EventTime> {
        match &mut self.allowed[source] {
            Allowed::Held(allowed) => *allowed = floor.max(*allowed),
            // Days that have closed meanwhile stay closed; the workers ensure this.
            quiet @ Allowed::Quiet(_) => *quiet = Allowed::Held(floor),
            Allowed::Ended => {}
        }
        self.least()
    }

    /// Notes that `source` is quiet until it allows something again. Returns the floor that the others allow, or this
    /// one if all are quiet.
    pub(crate) fn quiet(&mut self, source: usize, floor: EventTime) -> Option<EventTime> {
        if self.is_open(source) {
            self.allowed[source] = Allowed::Quiet(floor);
        }
        self.least()
    }

    /// Notes that `source` has ended. Returns the floor that the others allow, or `None` if none is left.
    pub(crate) fn end(&mut self, source: usize) -> Option<EventTime> {
        self.allowed[source] = Allowed::Ended;
        self.least()
    }

    /// Whether `source` has not ended.
    pub(crate) fn is_open(&self, source: usize) -> bool {
        self.at(source).is_some()
    }

    fn at(&self, source: usize) -> Option<EventTime> {
        match self.allowed[source] {
            Allowed::Held(floor) | Allowed::Quiet(floor) => Some(floor),
            Allowed::Ended => None,
        }
    }

    fn least(&self) -> Option<EventTime> {
        let held = self.allowed.iter().filter_map(|allowed| match allowed {
            Allowed::Held(floor) => Some(*floor),
            Allowed::Quiet(_) | Allowed::Ended => None,
        });
        let quiet = || (0..self.allowed.len()).filter_map(|source| self.at(source)).max();
        held.min().or_else(quiet)
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

    #[test]
    fn a_quiet_source_holds_nothing_back_until_it_speaks() {
        let mut floors = Floors::new(3, EventTime::MIN);
        floors.allow(0, 10);
        assert_eq!(floors.quiet(1, EventTime::MIN), Some(EventTime::MIN), "the third is not");
        assert_eq!(floors.allow(2, 20), Some(10));
        assert_eq!(floors.quiet(0, 30), Some(20), "what the only one allows that speaks");
        assert_eq!(floors.quiet(2, 25), Some(30), "the greatest of those that are quiet");
        assert_eq!(floors.allow(1, 5), Some(5), "it holds back what is to come");
        assert_eq!(floors.end(1), Some(30));
        assert!(!floors.is_open(1) && floors.is_open(0));
    }
}
