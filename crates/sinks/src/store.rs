//! What a sink needs of a store.

use std::collections::{BTreeMap, BTreeSet};

use dayfold::scan::Snapshot;
use dayfold::time::Day;

use crate::{Row, StoreError, Table};

/// What is said by a store that was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The number of this opening: greater than all before it, of whatever program.
    pub epoch: i64,
    /// Which version of which sealed period the store has, row by row, as earlier openings said.
    pub marks: BTreeMap<Day, String>,
}

impl Opened {
    /// What is said of an opening.
    pub fn new(epoch: i64, marks: BTreeMap<Day, String>) -> Opened {
        Opened { epoch, marks }
    }
}

/// The moment that rows are written as of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Stamp {
    /// The opening that writes.
    pub epoch: i64,
    /// A number that rises with each moment, over openings and restarts: the epoch in its upper 21 bits of 53, so that
    /// every reader of JSON has it exactly.
    pub as_of: i64,
}

/// How many moments an opening has.
const MOMENTS: i64 = 1 << 32;

impl Stamp {
    /// The stamp of a moment of an opening.
    pub fn new(epoch: i64, moment: i64) -> Stamp {
        Stamp { epoch, as_of: epoch.saturating_mul(MOMENTS).saturating_add(moment) }
    }
}

/// Which rows are removed, if they are older than the stamp: nothing of an engine's answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sweep {
    /// All but those of these periods.
    AllBut(BTreeSet<Day>),
    /// Those of one period.
    Period(Day),
}

impl Sweep {
    /// Whether rows of a period are removed.
    pub fn has(&self, period: Day) -> bool {
        match self {
            Sweep::AllBut(kept) => !kept.contains(&period),
            Sweep::Period(one) => *one == period,
        }
    }
}

/// A store that rows of views are written to, by one writer at a time.
///
/// Everything but [`Store::open`] is refused with [`StoreError::Fenced`] once another writer has opened the same view, as far as
/// a store can know. All calls may block; a sink has a thread of its own.
pub trait Store: Send {
    /// What it is called in messages.
    fn name(&self) -> &'static str;

    /// Reaches the store, makes what is missing of the table, and takes the view over: whoever wrote before is fenced off. The
    /// new epoch is `at_least` this.
    ///
    /// # Errors
    /// [`StoreError`].
    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError>;

    /// Whether the store is there, and still ours.
    ///
    /// # Errors
    /// [`StoreError`].
    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError>;

    /// Writes rows, each in the place of that with its period and key, unless that one is of a later moment.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if some of them cannot be written: the sink tries them one by one.
    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError>;

    /// Removes rows that are older than the stamp. Says how many, if that is known.
    ///
    /// # Errors
    /// [`StoreError`].
    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError>;

    /// Notes which version of periods is there in full; without a version, that it is not.
    ///
    /// # Errors
    /// [`StoreError`].
    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError>;

    /// Is told after each look which moment the store has now.
    fn looked(&mut self, stamp: Stamp, snapshot: &Snapshot) {
        let _ = (stamp, snapshot);
    }

    /// Forgets all marks, and fences whoever writes: the next opening writes everything and compares.
    ///
    /// # Errors
    /// [`StoreError`].
    fn forget(&mut self, table: &Table) -> Result<(), StoreError> {
        let opened = self.open(table, 0)?;
        let stamp = Stamp::new(opened.epoch, 0);
        let none = opened.marks.into_keys().map(|period| (period, None)).collect();
        self.mark(table, stamp, &none)
    }

    /// Reaches the store and says whether the table is there or could be, without changing anything.
    ///
    /// # Errors
    /// [`StoreError`].
    fn check(&mut self, table: &Table) -> Result<(), StoreError>;
}
