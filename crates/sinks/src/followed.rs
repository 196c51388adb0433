//! Copies one view into one store: it tracks what the store has, and each look finds what the store lacks.
//!
//! A look has one moment, a snapshot, or several one after the other if the store is slow. It reads unsealed rows, and
//! writes those that differ from what was last written. A sealed period is read as a whole if its files differ from
//! those whose rows were written. Then the store records that it has this version of the period: the *mark*. After
//! every opening (at a start, or when a store is back), only the marks are trusted: everything else is written again,
//! and rows that the engine does not have are removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dayfold::engine::{Observer, Views};
use dayfold::scan::{ErasedView, Scan, ScanError, Snapshot};
use dayfold::time::{Day, DayRange};

use crate::aside::Aside;
use crate::error::LookError;
use crate::row::Reader;
use crate::sealed::{SealedPeriods, Version};
use crate::status::Board;
use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

/// The number of rows that are written together.
const ROWS_AT_ONCE: usize = 500;

/// The version of a period that was written, but whose rows may differ from those of the version that comes. It is read
/// again, as a whole.
const NO_VERSION: &str = "";

/// How often a look takes another moment without having received a row of the one before.
const MOMENTS_IN_VAIN: u32 = 3;

/// How long a look waits until the log has what it saw.
const LOG: Duration = Duration::from_secs(30);

/// What a look needs besides its view and its store.
pub(crate) struct Around<'a> {
    pub(crate) views: &'a Views,
    pub(crate) observer: &'a Observer,
    pub(crate) sealed: &'a mut SealedPeriods,
    pub(crate) aside: &'a mut Aside,
    pub(crate) board: &'a Board,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) waits_for_log: bool,
    /// How long a moment is kept for a look.
    pub(crate) keep: Duration,
    /// The maximum number of unsealed rows whose hashes are remembered, for each view.
    pub(crate) remembered: usize,
}

impl Around<'_> {
    /// The latest moment, once the log has it.
    fn moment(&self) -> Result<Snapshot, LookError> {
        let snapshot = self.views.snapshot(self.keep)?;
        if self.waits_for_log {
            wait_durable(self)?;
        }
        Ok(snapshot)
    }
}

/// What was written of a row: a hash of its content, and the last look that saw it.
#[derive(Clone, Copy)]
struct Held {
    holds: u64,
    look: i64,
}

/// What was written of a period that is not marked.
#[derive(Default)]
struct HeldPeriod {
    /// Rows, by the hash of their key.
    rows: HashMap<u64, Held>,
    /// Whether there was no room for some rows. Such a period is written as a whole at every look: which of its rows
    /// have changed or are gone is not known.
    is_partial: bool,
}

impl HeldPeriod {
    /// Whether a row was not seen by this look.
    fn has_lost(&self, look: i64) -> bool {
        self.rows.values().any(|held| held.look != look)
    }
}

/// What is known about the store since it was opened.
struct Known {
    epoch: i64,
    /// The table that marks are about.
    table: Option<String>,
    look: i64,
    /// Periods that the store has, according to its marks.
    marked: BTreeMap<Day, String>,
    /// Versions of periods whose rows were written as a whole.
    written: BTreeMap<Day, String>,
    /// Periods that were marked when the store was opened, and have not been read since.
    trusted: BTreeSet<Day>,
    held: BTreeMap<Day, HeldPeriod>,
    /// The number of rows in `held`, and its maximum.
    held_rows: usize,
    remembered: usize,
    /// The versions of the last look.
    versions: BTreeMap<Day, Version>,
    /// Whether rows that the engine does not have were removed.
    is_swept: bool,
}

/// A view, and what its store has of it.
pub(crate) struct Followed {
    pub(crate) reader: Reader,
    known: Option<Known>,
    epoch: i64,
    /// The number of events that had entered when everything was written, and the number of looks since that found no
    /// more.
    events: u64,
    quiet: u32,
    /// When the last complete look began.
    complete: Option<Instant>,
}

/// After this many looks without new events, looks are left out, except for each `QUIET_LOOK_EVERY`-th one.
const QUIET: u32 = 3;
const QUIET_LOOK_EVERY: u32 = 30;

impl Followed {
    pub(crate) fn new(view: Arc<dyn ErasedView>) -> Followed {
        Followed {
            reader: Reader::of(view),
            known: None,
            epoch: 0,
            events: 0,
            quiet: 0,
            complete: None,
        }
    }

    /// Forgets everything about the store.
    pub(crate) fn forget(&mut self) {
        (self.known, self.quiet) = (None, 0);
    }

    /// Brings the store to the engine's latest moment. Returns whether nothing is left to do for sealed periods.
    pub(crate) fn look(
        &mut self,
        store: &mut dyn Store,
        around: &mut Around<'_>,
        is_last: bool,
    ) -> Result<bool, LookError> {
        let began = Instant::now();
        let mut known = match self.known.take() {
            Some(known) => known,
            None => self.open(store, around.remembered)?,
        };
        known.look += 1;
        let stamp = Stamp::new(known.epoch, known.look);
        store.ping(&self.reader.table, stamp)?;
        let events = around.observer.progress().events;
        let versions = around.sealed.look(&self.reader.table.view)?;
        let is_quiet = known.is_swept && versions == known.versions && self.is_quiet(events);
        if is_quiet && !is_last {
            self.known = Some(known);
            around.board.change(&self.reader.table.view, |status| status.failures = 0);
            return Ok(true);
        }
        let mut snapshot = around.moment()?;
        let mut writing = Writing {
            store,
            table: &self.reader.table,
            stamp,
            rows: Vec::with_capacity(ROWS_AT_ONCE),
            around,
        };
        let is_settled = self.bring(&mut known, &mut snapshot, &versions, &mut writing)?;
        writing.store.commit(writing.table)?;
        writing.store.looked(stamp, &snapshot);
        known.versions = versions;
        self.known = Some(known);
        (self.events, self.complete) = (events, Some(began));
        around.board.change(&self.reader.table.view, |status| {
            (status.failures, status.error) = (0, None);
        });
        Ok(is_settled)
    }

    /// Reports how far the store is behind, given the events that have entered by now.
    pub(crate) fn tell(&self, events: u64, since: Instant, board: &Board) {
        let behind = events.saturating_sub(self.events);
        let lag = self.complete.unwrap_or(since).elapsed();
        board.change(&self.reader.table.view, |status| {
            status.is_in_step = self.known.as_ref().is_some_and(|known| known.is_swept);
            status.lag_events = behind;
            // A store that cannot be reached may have lost its rows, even if no events come.
            let has_all = behind == 0 && status.is_in_step;
            status.lag = if has_all { Duration::ZERO } else { lag };
        });
    }

    fn is_quiet(&mut self, events: u64) -> bool {
        self.quiet = if events == self.events { self.quiet.saturating_add(1) } else { 0 };
        self.quiet > QUIET && !self.quiet.is_multiple_of(QUIET_LOOK_EVERY)
    }

    fn open(&mut self, store: &mut dyn Store, remembered: usize) -> Result<Known, StoreError> {
        let opened = store.open(&self.reader.table, self.epoch + 1)?;
        self.epoch = opened.epoch;
        let marked = opened.versions();
        Ok(Known {
            epoch: opened.epoch,
            table: opened.table,
            look: 0,
            written: marked.clone(),
            trusted: marked.keys().copied().collect(),
            marked,
            held: BTreeMap::new(),
            held_rows: 0,
            remembered,
            versions: BTreeMap::new(),
            is_swept: false,
        })
    }

    fn bring(
        &self,
        known: &mut Known,
        snapshot: &mut Snapshot,
        versions: &BTreeMap<Day, Version>,
        writing: &mut Writing<'_, '_>,
    ) -> Result<bool, LookError> {
        let open = self.write_unsealed(known, snapshot, writing)?;
        let mut marks = BTreeMap::new();
        let mut is_settled = true;
        for day in self.to_read(known, versions, &open) {
            self.write_period(known, snapshot, (day, open.contains(&day)), writing)?;
            let Some(version) = versions.get(&day) else {
                if !open.contains(&day) {
                    known.forget(day);
                }
                // What was written is not remembered as a whole.
                known.written.insert(day, NO_VERSION.to_owned());
                continue;
            };
            // Files of a rebuild may become visible a moment later, so the period is read once more.
            let is_new = known.versions.get(&day) != Some(version);
            if version.is_rebuilt && is_new {
                known.written.insert(day, NO_VERSION.to_owned());
                is_settled = false;
                continue;
            }
            let before = known.written.insert(day, version.name.clone());
            if open.contains(&day) {
                is_settled &= before.as_ref() == Some(&version.name);
            } else {
                known.forget(day);
                marks.insert(day, Some(version.name.clone()));
            }
        }
        writing.flush()?;
        self.sweep(known, versions, &open, &mut marks, writing)?;
        if !marks.is_empty() {
            let mark = |version: &String| Opened::mark(known.table.as_deref(), version);
            let told = marks.iter().map(|(day, version)| (*day, version.as_ref().map(mark)));
            writing.store.mark(&self.reader.table, writing.stamp, &told.collect())?;
            known.note(marks);
        }
        Ok(is_settled)
    }

    /// Writes the changes of unsealed rows. Returns the periods that have such rows.
    fn write_unsealed(
        &self,
        known: &mut Known,
        snapshot: &mut Snapshot,
        writing: &mut Writing<'_, '_>,
    ) -> Result<BTreeSet<Day>, LookError> {
        let scan = self.reader.scan(Scan::rows()).unsealed();
        let mut open = BTreeSet::new();
        self.each_row(scan, snapshot, writing, &mut |row, writing| {
            if open.insert(row.period) && known.marked.contains_key(&row.period) {
                // From now on the period differs from its mark.
                let marks = BTreeMap::from([(row.period, None)]);
                writing.store.mark(&self.reader.table, writing.stamp, &marks)?;
                known.note(marks);
            }
            let is_due = !known.is_partial(row.period) && known.has_changed(&row, true);
            if is_due { writing.push(row) } else { Ok(()) }
        })?;
        writing.flush()?;
        Ok(open)
    }

    /// The periods that must be read as a whole.
    fn to_read(
        &self,
        known: &Known,
        versions: &BTreeMap<Day, Version>,
        open: &BTreeSet<Day>,
    ) -> BTreeSet<Day> {
        let is_other =
            |(day, version): &(&Day, &Version)| known.written.get(day) != Some(&version.name);
        let others = versions.iter().filter(is_other).map(|(day, _)| *day);
        let lost = |(day, held): &(&Day, &HeldPeriod)| {
            !open.contains(day) || held.is_partial || held.has_lost(known.look)
        };
        let lost = known.held.iter().filter(lost).map(|(day, _)| *day);
        others.chain(lost).collect()
    }

    /// Writes the changes of a period, and removes the rows that are gone. If it has no unsealed rows, its rows need not
    /// be remembered.
    fn write_period(
        &self,
        known: &mut Known,
        snapshot: &mut Snapshot,
        (day, is_open): (Day, bool),
        writing: &mut Writing<'_, '_>,
    ) -> Result<(), LookError> {
        // If the period was there before, or has no room, not all its rows are remembered; some of them may be gone.
        let was_there = known.written.contains_key(&day) || known.trusted.remove(&day);
        let is_unknown = was_there || known.is_partial(day);
        let written = if is_unknown {
            known.forget(day);
            self.write_whole(known, snapshot, (day, is_open), writing)
        } else {
            self.write_changed(known, snapshot, (day, is_open), writing)
        };
        match written {
            Err(LookError::Scan(ScanError::Removed { .. })) => {
                known.forget(day);
                writing.sweep(&Sweep::Period(day))
            }
            written => written,
        }
    }

    /// Writes the rows of a period that differ from those remembered; all of them if one of those is gone, or if not
    /// all can be remembered.
    fn write_changed(
        &self,
        known: &mut Known,
        snapshot: &mut Snapshot,
        (day, is_open): (Day, bool),
        writing: &mut Writing<'_, '_>,
    ) -> Result<(), LookError> {
        let scan = self.reader.scan(Scan::rows()).periods(DayRange::only(day));
        self.each_row(scan, snapshot, writing, &mut |row, writing| {
            // Only unsealed rows are seen by each look.
            let remembers = is_open && !row.sealed;
            if known.has_changed(&row, remembers) { writing.push(row) } else { Ok(()) }
        })?;
        if known.held.get(&day).is_some_and(|held| held.has_lost(known.look)) {
            // No batch has a row twice.
            writing.flush()?;
            self.write_whole(known, snapshot, (day, is_open), writing)?;
        }
        Ok(())
    }

    /// Writes all rows of a period, and removes all older ones.
    fn write_whole(
        &self,
        known: &mut Known,
        snapshot: &mut Snapshot,
        (day, is_open): (Day, bool),
        writing: &mut Writing<'_, '_>,
    ) -> Result<(), LookError> {
        let scan = self.reader.scan(Scan::rows()).periods(DayRange::only(day));
        self.each_row(scan, snapshot, writing, &mut |row, writing| {
            known.has_changed(&row, is_open && !row.sealed);
            writing.push(row)
        })?;
        writing.flush()?;
        writing.sweep(&Sweep::Period(day))?;
        known.forget_lost(day);
        Ok(())
    }

    /// Visits the rows of a scan. If the store is so slow that the moment expires, the rows after the last one are
    /// those of a later moment; the next look finds what has changed before them until then.
    fn each_row(
        &self,
        mut scan: Scan,
        snapshot: &mut Snapshot,
        writing: &mut Writing<'_, '_>,
        visit: &mut dyn FnMut(Row, &mut Writing<'_, '_>) -> Result<(), LookError>,
    ) -> Result<(), LookError> {
        let mut in_vain = 0;
        loop {
            let mut cursor = None;
            let expired = match self.reader.view.scan(&scan, Some(snapshot)) {
                Err(error) => error,
                Ok(mut batches) => loop {
                    match batches.next() {
                        None => return Ok(()),
                        Some(Err(error)) => break error,
                        Some(Ok(batch)) => {
                            for at in 0..batch.rows() {
                                self.reader
                                    .row(&batch, at)
                                    .map_or(Ok(()), |row| visit(row, writing))?;
                            }
                            cursor = batches.cursor();
                        }
                    }
                },
            };
            in_vain = if cursor.is_none() { in_vain + 1 } else { 0 };
            if !matches!(expired, ScanError::Expired { .. }) || in_vain == MOMENTS_IN_VAIN {
                return Err(expired.into());
            }
            scan = match cursor {
                Some(cursor) => scan.after(cursor),
                None => scan,
            };
            *snapshot = writing.around.moment()?;
        }
    }

    /// Removes rows that the engine does not have: once after each opening, and for periods that it has dropped.
    fn sweep(
        &self,
        known: &mut Known,
        versions: &BTreeMap<Day, Version>,
        open: &BTreeSet<Day>,
        marks: &mut BTreeMap<Day, Option<String>>,
        writing: &mut Writing<'_, '_>,
    ) -> Result<(), LookError> {
        let is_there = |day: &Day| versions.contains_key(day) || open.contains(day);
        let gone: Vec<Day> = known.marked.keys().filter(|day| !is_there(day)).copied().collect();
        for day in gone {
            writing.sweep(&Sweep::Period(day))?;
            known.written.remove(&day);
            marks.insert(day, None);
        }
        if !known.is_swept {
            let kept = known.trusted.iter().filter(|day| is_there(day)).copied().collect();
            writing.sweep(&Sweep::AllBut(kept))?;
            known.is_swept = true;
        }
        Ok(())
    }
}

impl Known {
    /// Whether a row differs from what was last written; notes that it will be written. If not `remembers`, it is
    /// forgotten instead.
    fn has_changed(&mut self, row: &Row, remembers: bool) -> bool {
        let (name, holds) = row.hashes();
        let look = self.look;
        let period = self.held.entry(row.period).or_default();
        if !remembers {
            let held = period.rows.remove(&name);
            self.held_rows -= usize::from(held.is_some());
            return held.is_none_or(|held| held.holds != holds);
        }
        match period.rows.get_mut(&name) {
            Some(held) => {
                let has_changed = held.holds != holds;
                *held = Held { holds, look };
                has_changed
            }
            None => {
                if self.held_rows < self.remembered {
                    self.held_rows += 1;
                    period.rows.insert(name, Held { holds, look });
                } else {
                    period.is_partial = true;
                }
                true
            }
        }
    }

    fn is_partial(&self, day: Day) -> bool {
        self.held.get(&day).is_some_and(|held| held.is_partial)
    }

    /// The rows of a period that this look has not seen need not be remembered any more.
    fn forget_lost(&mut self, day: Day) {
        if let Some(period) = self.held.get_mut(&day) {
            let before = period.rows.len();
            period.rows.retain(|_, held| held.look == self.look);
            self.held_rows -= before - period.rows.len();
        }
    }

    /// The rows of a period need not be remembered any more.
    fn forget(&mut self, day: Day) {
        self.held_rows -= self.held.remove(&day).map_or(0, |period| period.rows.len());
    }

    fn note(&mut self, marks: BTreeMap<Day, Option<String>>) {
        for (day, version) in marks {
            match version {
                Some(version) => self.marked.insert(day, version),
                None => self.marked.remove(&day),
            };
        }
    }
}

/// Rows on their way to a store.
struct Writing<'a, 'b> {
    store: &'a mut dyn Store,
    table: &'a Table,
    stamp: Stamp,
    rows: Vec<Row>,
    around: &'a mut Around<'b>,
}

impl Writing<'_, '_> {
    fn push(&mut self, row: Row) -> Result<(), LookError> {
        self.rows.push(row);
        if self.rows.len() < ROWS_AT_ONCE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), LookError> {
        let rows = std::mem::take(&mut self.rows);
        if self.around.stop.load(Ordering::Relaxed) {
            return Err(LookError::Stopped);
        }
        if !rows.is_empty() {
            self.write(&rows)?;
        }
        self.rows = rows;
        self.rows.clear();
        Ok(())
    }

    /// Writes rows. If some cannot be written, tries halves, until single refused rows are found and kept aside.
    fn write(&mut self, rows: &[Row]) -> Result<(), LookError> {
        let written = self.store.write(self.table, self.stamp, rows);
        let view = &self.table.view;
        match (written, rows) {
            (Ok(()), _) => {
                self.around.board.change(view, |status| status.written += rows.len() as u64);
                Ok(())
            }
            (Err(StoreError::Refused { why, .. }), [row]) => {
                tracing::warn!(view, why, "a row is refused");
                self.around.board.change(view, |status| status.refused += 1);
                Ok(self.around.aside.keep(view, &row.json(self.table, self.stamp.as_of), &why)?)
            }
            (Err(StoreError::Refused { .. }), rows) => {
                let (some, others) = rows.split_at(rows.len() / 2);
                self.write(some)?;
                self.write(others)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    fn sweep(&mut self, sweep: &Sweep) -> Result<(), LookError> {
        let removed = self.store.sweep(self.table, self.stamp, sweep)?;
        self.around.board.change(&self.table.view, |status| status.removed += removed);
        Ok(())
    }
}

/// Waits until the log has everything that a snapshot may show.
fn wait_durable(around: &Around<'_>) -> Result<(), LookError> {
    let seen = around.observer.progress().logs;
    let began = Instant::now();
    loop {
        let now = around.observer.progress().logs;
        let mut logs = now.iter().zip(&seen);
        if logs.all(|(now, seen)| now.durable >= seen.appended) {
            return Ok(());
        }
        if around.stop.load(Ordering::Relaxed) {
            return Err(LookError::Stopped);
        }
        if began.elapsed() > LOG {
            return Err(LookError::Log(LOG));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
