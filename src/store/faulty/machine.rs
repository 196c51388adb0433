//! A simulated machine with its files, and its planned failures.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::content::Content;
use super::failure::{Failure, Operation};
use super::names::Names;
use super::random::{Extent, Random};

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) names: Names,
    /// The files, by number; names and handles refer to the number. No file is ever removed, because a handle may refer
    /// to it.
    pub(super) files: Vec<Content>,
    pub(super) locked: BTreeSet<usize>,
    pub(super) random: Random,
    counts: BTreeMap<Operation, u64>,
    pub(super) failures: BTreeMap<u64, Failure>,
    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    pub(super) full: bool,
}

/// How much of an operation happens, and the result that it reports.
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
                // Creating a name is atomic, and a full disk creates none.
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
