//! A machine with its files, and what is to go wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::content::Content;
use super::failure::{Failure, Operation};
use super::names::Names;
use super::random::{Extent, Random};

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) names: Names,
    /// By number, as names and handles refer to them. None is taken away, for a handle may have it.
    pub(super) files: Vec<Content>,
    pub(super) locked: BTreeSet<usize>,
    pub(super) random: Random,
    counts: BTreeMap<Operation, u64>,
    pub(super) failures: BTreeMap<u64, Failure>,
    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    pub(super) full: bool,
}

/// What becomes of an operation, and what is said of it.
pub(super) struct Outcome {
    pub(super) extent: Extent,
    pub(super) report: Option<io::Error>,
}

impl Outcome {
    pub(super) fn into_result(self) -> io::Result<()> {
        self.report.map_or(Ok(()), Err)
    }
}

pub(super) fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}

impl Machine {
    pub(super) fn new(seed: u64, names: Names, files: Vec<Content>) -> Machine {
        Machine {
            names,
            files,
            locked: BTreeSet::new(),
            random: Random(seed),
            counts: BTreeMap::new(),
            failures: BTreeMap::new(),
            crash_at: None,
            crashed: false,
            full: false,
        }
    }

    pub(super) fn operations(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }

    /// Counts an operation that can be done, and decides how it goes.
    pub(super) fn admit(&mut self, operation: Operation) -> Outcome {
        *self.counts.entry(operation).or_default() += 1;
        let number = self.operations();
        if self.crash_at.is_some_and(|at| at <= number) {
            self.crashed = true;
            let extent = [Extent::Nothing, Extent::Part, Extent::All][self.random.below(3)];
            return Outcome { extent, report: Some(stopped()) };
        }
        let takes_space = matches!(
            operation,
            Operation::CreateDirs | Operation::Create | Operation::Write | Operation::Rename
        );
        let failed =
            |extent| Outcome { extent, report: Some(io::Error::other("failed, as the test asks")) };
        let full = |extent| Outcome { extent, report: Some(io::ErrorKind::StorageFull.into()) };
        match self.failures.get(&number) {
            Some(Failure::NotDone) => failed(Extent::Nothing),
            Some(Failure::Partly) => failed(Extent::Part),
            Some(Failure::DoneButReported) => failed(Extent::All),
            Some(Failure::DiskFull) if takes_space => {
                self.full = true;
                // Names are made in one step, and a full disk makes none.
                full(if operation == Operation::Write { Extent::Part } else { Extent::Nothing })
            }
            Some(Failure::DiskFull) => {
                self.full = true;
                Outcome { extent: Extent::All, report: None }
            }
            None if self.full && takes_space => full(Extent::Nothing),
            None => Outcome { extent: Extent::All, report: None },
        }
    }

    pub(super) fn after_power_loss(&self, seed: u64) -> Machine {
        let mut random = Random(seed);
        let share = |random: &mut Random| if seed == 0 { 0 } else { random.share() };
        let names = self.names.after_power_loss(share(&mut random), &mut random);
        let found = |file: &Content| file.after_power_loss(share(&mut random), &mut random);
        let files = self.files.iter().map(found).collect();
        Machine { full: self.full, ..Machine::new(random.next(), names, files) }
    }

    pub(super) fn after_kill(&self) -> Machine {
        let seed = self.random.clone().next();
        Machine { full: self.full, ..Machine::new(seed, self.names.clone(), self.files.clone()) }
    }
}
