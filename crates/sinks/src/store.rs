//! The interface of a store.

use std::collections::{BTreeMap, BTreeSet};

use dayfold::scan::Snapshot;
use dayfold::time::Day;

use crate::{Row, StoreError, Table};

/// The result of opening a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The number of this opening: greater than all earlier ones, of any program.
    pub epoch: i64,
    /// The version of each sealed period that the store has completely, according to earlier openings.
    pub marks: BTreeMap<Day, String>,
    /// Tells the table from one of the same name that was made later, if the store can. Marks of another table do not
    /// count.
    pub table: Option<String>,
}

impl Opened {
    /// The result of an opening.
    pub fn new(epoch: i64, marks: BTreeMap<Day, String>) -> Opened {
        Opened { epoch, marks, table: None }
    }

    /// The same, of this table.
    #[must_use]
    pub fn of_table(self, table: impl Into<String>) -> Opened {
        Opened { table: Some(table.into()), ..self }
    }

    /// The text of a mark: the version, and the table that has it.
    pub(crate) fn mark(table: Option<&str>, version: &str) -> String {
        table.map_or_else(|| version.to_owned(), |table| format!("{version} {table}"))
    }

    /// The version of each sealed period that this table has.
    pub(crate) fn versions(&self) -> BTreeMap<Day, String> {
        let version = |(day, mark): (&Day, &String)| {
            let version = match &self.table {
                Some(table) => mark.strip_suffix(table)?.strip_suffix(' ')?,
                None => mark,
            };
            Some((*day, version.to_owned()))
        };
        self.marks.iter().filter_map(version).collect()
    }
}

/// The moment of written rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Stamp {
    /// The opening that writes.
    pub epoch: i64,
    /// A number that rises with each moment, over openings and restarts. The epoch is in the upper 21 of its 53 bits,
    /// so that every reader of JSON can represent it exactly.
    pub as_of: i64,
}

/// The number of moments of an opening.
const MOMENTS: i64 = 1 << 32;

impl Stamp {
    /// The stamp of a moment of an opening.
    pub fn new(epoch: i64, moment: i64) -> Stamp {
        Stamp { epoch, as_of: epoch.saturating_mul(MOMENTS).saturating_add(moment) }
    }
}

/// Selects rows to remove if they are older than the stamp, because they are no longer in the engine's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sweep {
    /// All rows except those of these periods.
    AllBut(BTreeSet<Day>),
    /// The rows of one period.
    Period(Day),
}

impl Sweep {
    /// Whether rows of a period are selected.
    pub fn has(&self, period: Day) -> bool {
        match self {
            Sweep::AllBut(kept) => !kept.contains(&period),
            Sweep::Period(one) => *one == period,
        }
    }
}

/// A store to which rows of views are written, by one writer at a time.
///
/// Once another writer has opened the same view, every method except [`Store::open`] returns [`StoreError::Fenced`], as
/// far as a store can know. All calls may block; a sink has its own thread.
pub trait Store: Send {
    /// The name of the store in messages.
    fn name(&self) -> &'static str;

    /// Connects to the store, creates what is missing of the table, and takes over the view: earlier writers are fenced
    /// off. The new epoch is at least `at_least`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError>;

    /// Checks that the store is available, and that this writer still owns the view.
    ///
    /// # Errors
    /// [`StoreError`].
    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError>;

    /// Writes rows. Each replaces the one with its period and key, unless that one has a later moment.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if some of them cannot be written: the sink then tries them one by one.
    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError>;

    /// Removes rows that are older than the stamp. Returns their number, if it is known.
    ///
    /// # Errors
    /// [`StoreError`].
    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError>;

    /// Records which version of periods the store has completely; without a version, that it has none.
    ///
    /// # Errors
    /// [`StoreError`].
    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError>;

    /// Makes sure that what was written, swept and marked since the last call is there, for readers too. It is called
    /// at the end of each look that has changed something; a store may have done so before.
    ///
    /// # Errors
    /// [`StoreError`].
    fn commit(&mut self, table: &Table) -> Result<(), StoreError> {
        let _ = table;
        Ok(())
    }

    /// Called after each look with the moment that the store has now.
    fn looked(&mut self, stamp: Stamp, snapshot: &Snapshot) {
        let _ = (stamp, snapshot);
    }

    /// Forgets all marks, and fences off the present writer: the next opening writes everything and compares.
    ///
    /// # Errors
    /// [`StoreError`].
    fn forget(&mut self, table: &Table) -> Result<(), StoreError> {
        let opened = self.open(table, 0)?;
        let stamp = Stamp::new(opened.epoch, 0);
        let none = opened.marks.into_keys().map(|period| (period, None)).collect();
        self.mark(table, stamp, &none)?;
        self.commit(table)
    }

    /// Connects to the store and checks that the table is there or could be created, without changing anything.
    ///
    /// # Errors
    /// [`StoreError`].
    fn check(&mut self, table: &Table) -> Result<(), StoreError>;
}
