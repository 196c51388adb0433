//! Positions of partitions at which floors rose: what sealed periods count, in terms of their sources.
//!
//! Every record of a partition enters under a floor, and floors only rise. So what is sealed when a floor has been
//! passed is a function of two positions: the events that belong to those periods, of the records before the position
//! at which the worker of the partition had come to that floor.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::log::Extents;
use crate::time::EventTime;

/// How many floors of a worker are kept: those of periods that are being sealed.
const KEPT: usize = 64;
/// The same for workers with many partitions, in positions.
const POSITIONS: usize = 1 << 18;

/// The next record of each partition, by the names of its source and its own.
pub(crate) type Positions = BTreeMap<String, u64>;

/// The cuts of the workers of a process.
#[derive(Debug, Default)]
pub(crate) struct Cuts(Mutex<BTreeMap<usize, OfWorker>>);

#[derive(Debug)]
struct OfWorker {
    /// Under which the worker let records in first. What entered before, in other runs, is not known by floors.
    began: EventTime,
    rises: VecDeque<(EventTime, Positions)>,
}

impl Cuts {
    /// A worker begins to let records in, under this floor.
    pub(crate) fn began(&self, worker: usize, floor: EventTime) {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        workers.insert(worker, OfWorker { began: floor, rises: VecDeque::new() });
    }

    /// What the worker has entered when its floor rises to this one.
    pub(crate) fn rose(&self, worker: usize, floor: EventTime, entered: &Positions) {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of) = workers.get_mut(&worker) else { return };
        let kept = (POSITIONS / entered.len().max(1)).clamp(4, KEPT);
        while of.rises.len() >= kept {
            // Floors up to this one are not known any more.
            of.began = of.rises.pop_front().map_or(of.began, |(floor, _)| floor);
        }
        of.rises.push_back((floor, entered.clone()));
    }

    /// The positions of all partitions when their workers came to a floor or beyond; `before` has those of earlier
    /// runs. `None` if that is not known.
    pub(crate) fn at(
        &self,
        floor: EventTime,
        workers: usize,
        before: &Extents,
    ) -> Option<Positions> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut positions: Positions =
            before.iter().map(|(name, extent)| (name.clone(), extent.to)).collect();
        if known.len() != workers {
            return None;
        }
        for of in known.values() {
            if floor <= of.began {
                return None;
            }
            let (_, entered) = of.rises.iter().find(|(rise, _)| *rise >= floor)?;
            positions.extend(entered.iter().map(|(name, next)| (name.clone(), *next)));
        }
        Some(positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(next: u64) -> Positions {
        Positions::from([("t/0".to_owned(), next)])
    }

    #[test]
    fn the_first_rise_to_a_floor_says_what_had_entered_before() {
        let cuts = Cuts::default();
        assert_eq!(cuts.at(10, 1, &Extents::new()), None, "nobody has begun");
        cuts.began(0, 5);
        for (floor, next) in [(10, 3), (20, 3), (30, 9)] {
            cuts.rose(0, floor, &entered(next));
        }
        let at = |floor| cuts.at(floor, 1, &Extents::new());
        assert_eq!(at(5), None, "earlier runs have entered records under this floor, or not");
        assert_eq!(at(6), Some(entered(3)));
        assert_eq!(at(21), Some(entered(9)));
        assert_eq!(at(31), None, "the floor is not there yet");
        assert_eq!(cuts.at(10, 2, &Extents::new()), None, "a worker has not begun");
    }

    #[test]
    fn what_is_forgotten_is_not_known() {
        let cuts = Cuts::default();
        cuts.began(0, 0);
        for floor in 1..=200 {
            cuts.rose(0, floor, &entered(floor as u64));
        }
        for floor in 1..=200 {
            let at = cuts.at(floor, 1, &Extents::new());
            assert!(at.is_none_or(|at| at == entered(floor as u64)), "{floor}");
        }
        assert!(cuts.at(200, 1, &Extents::new()).is_some());
        assert!(cuts.at(1, 1, &Extents::new()).is_none());
    }
}
