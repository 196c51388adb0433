//! Differential's cursor and trace over the files of sealed days, which are read in place.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use differential_dataflow::difference::Semigroup;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::trace::{Cursor, Description, Navigable, Span, TraceReader};
use timely::progress::Timestamp;
use timely::progress::frontier::{Antichain, AntichainRef};

use super::key::{SealedKey, SealedKeys};
use crate::aggregate::Aggregate;
use crate::batch::{BatchError, BatchView, Coverage, Spot};
use crate::key::Key;
use crate::time::Day;

/// The sealed days of one worker: mapped files, in order of day.
///
/// ```
/// use dayfold::aggregate::Count;
/// use dayfold::import::{DaysCursor, SealedDays, SealedKeys};
/// use differential_dataflow::trace::implementations::BatchContainer;
/// use differential_dataflow::trace::{Cursor, Navigable};
///
/// /// How many keys there are on these days.
/// fn keys(days: &SealedDays<u32, u64, Count>) -> usize {
///     let mut cursor: DaysCursor<u32, u64, Count> = days.cursor();
///     let mut keys = 0;
///     while cursor.key_valid(days) {
///         keys += 1;
///         cursor.step_key(days);
///     }
///     keys
/// }
///
/// /// An operator that keeps keys keeps them encoded.
/// fn none() -> SealedKeys {
///     SealedKeys::with_capacity(0)
/// }
/// ```
#[derive(Debug)]
pub struct SealedDays<T, K, A> {
    pub(super) files: Vec<SealedFile<K, A>>,
    /// The first damage that a cursor has found.
    pub(super) error: RefCell<Option<BatchError>>,
    time: PhantomData<T>,
}

#[derive(Debug)]
pub(super) struct SealedFile<K, A> {
    pub(super) day: Day,
    pub(super) coverage: Coverage,
    pub(super) view: BatchView<K, A>,
}

impl<T, K: Key, A: Aggregate> SealedDays<T, K, A> {
    /// The files are in order of day, and hold each key of a day once.
    pub(super) fn new(files: Vec<SealedFile<K, A>>) -> Self {
        SealedDays { files, error: RefCell::new(None), time: PhantomData }
    }

    /// The result of reading a file; at damage, the walk ends.
    fn found(&self, spot: Result<Option<Spot>, BatchError>) -> Option<Spot> {
        spot.unwrap_or_else(|error| {
            self.error.borrow_mut().get_or_insert(error);
            None
        })
    }
}

impl<T: Timestamp + Lattice, K: Key, A: Aggregate> Navigable for SealedDays<T, K, A> {
    type Cursor = DaysCursor<T, K, A>;

    fn cursor(&self) -> Self::Cursor {
        let mut cursor =
            DaysCursor { spots: Vec::new(), here: Vec::new(), val: 0, types: PhantomData };
        cursor.rewind_keys(self);
        cursor
    }
}

/// Walks keys in the order of the files, and the days of each key. All times are the minimum.
#[derive(Debug)]
pub struct DaysCursor<T, K, A> {
    /// The position of each file, if not at its end.
    spots: Vec<Option<Spot>>,
    /// The files at the least key, by day.
    here: Vec<usize>,
    /// Which of these the value is.
    val: usize,
    types: PhantomData<(T, K, A)>,
}

impl<T, K: Key, A: Aggregate> DaysCursor<T, K, A> {
    fn key_of<'a>(&self, file: usize, days: &'a SealedDays<T, K, A>) -> Option<SealedKey<'a>> {
        let spot = self.spots[file]?;
        Some(SealedKey::new(spot.position, days.files[file].view.key_at(spot)))
    }

    /// Finds the files at the least key.
    fn minimize(&mut self, days: &SealedDays<T, K, A>) {
        self.here.clear();
        self.val = 0;
        let mut least: Option<SealedKey<'_>> = None;
        for file in 0..self.spots.len() {
            let Some(key) = self.key_of(file, days) else { continue };
            if least.is_none_or(|least| key < least) {
                least = Some(key);
                self.here.clear();
            }
            if least == Some(key) {
                self.here.push(file);
            }
        }
    }
}

impl<T: Timestamp + Lattice, K: Key, A: Aggregate> Cursor for DaysCursor<T, K, A> {
    type Storage = SealedDays<T, K, A>;
    type Key<'a> = SealedKey<'a>;
    type ValOwn = Day;
    type Val<'a> = &'a Day;
    type Time = T;
    type TimeGat<'a> = &'a T;
    type Diff = A;
    type DiffGat<'a> = &'a A;
    type KeyContainer = SealedKeys;
    type ValContainer = Vec<Day>;
    type TimeContainer = Vec<T>;
    type DiffContainer = Vec<A>;

    fn key_valid(&self, _: &Self::Storage) -> bool {
        !self.here.is_empty()
    }
    fn val_valid(&self, _: &Self::Storage) -> bool {
        self.val < self.here.len()
    }
    fn key<'a>(&self, days: &'a Self::Storage) -> SealedKey<'a> {
        self.get_key(days).expect("the cursor is at a key")
    }
    fn val<'a>(&self, days: &'a Self::Storage) -> &'a Day {
        self.get_val(days).expect("the cursor is at a day")
    }
    fn get_key<'a>(&self, days: &'a Self::Storage) -> Option<SealedKey<'a>> {
        self.here.first().and_then(|&file| self.key_of(file, days))
    }
    fn get_val<'a>(&self, days: &'a Self::Storage) -> Option<&'a Day> {
        self.here.get(self.val).map(|&file| &days.files[file].day)
    }

    fn map_times<L: FnMut(&T, &A)>(&mut self, days: &Self::Storage, mut logic: L) {
        if let Some(&file) = self.here.get(self.val)
            && let Some(spot) = self.spots[file]
        {
            let aggregate = days.files[file].view.aggregate_at(spot);
            // A row that is zero is skipped; old files may have some.
            if !aggregate.is_zero() {
                logic(&T::minimum(), &aggregate);
            }
        }
    }

    fn step_key(&mut self, days: &Self::Storage) {
        for &at in &self.here {
            let file = &days.files[at];
            self.spots[at] =
                self.spots[at].and_then(|spot| days.found(file.view.after(spot, &file.coverage)));
        }
        self.minimize(days);
    }

    fn seek_key(&mut self, days: &Self::Storage, key: SealedKey<'_>) {
        for (at, file) in days.files.iter().enumerate() {
            if self.key_of(at, days).is_some_and(|here| here < key) {
                self.spots[at] = days.found(file.view.seek(key.parts(), &file.coverage));
            }
        }
        self.minimize(days);
    }

    fn step_val(&mut self, _: &Self::Storage) {
        self.val = (self.val + 1).min(self.here.len());
    }
    fn seek_val(&mut self, days: &Self::Storage, day: &Day) {
        while self.get_val(days).is_some_and(|here| here < day) {
            self.val += 1;
        }
    }
    fn rewind_keys(&mut self, days: &Self::Storage) {
        let first = |file: &SealedFile<K, A>| days.found(file.view.first(&file.coverage));
        self.spots = days.files.iter().map(first).collect();
        self.minimize(days);
    }
    fn rewind_vals(&mut self, _: &Self::Storage) {
        self.val = 0;
    }
}

/// A trace of sealed days: one batch at the minimum time, and nothing after it.
#[derive(Clone, Debug)]
pub struct SealedTrace<T: Timestamp, K, A> {
    pub(super) span: Span<T, Rc<SealedDays<T, K, A>>>,
    logical: Antichain<T>,
    physical: Antichain<T>,
}

impl<T: Timestamp + Lattice, K: Key, A: Aggregate> SealedTrace<T, K, A> {
    pub(super) fn new(days: Rc<SealedDays<T, K, A>>) -> Self {
        let begin = || Antichain::from_elem(T::minimum());
        let description = Description::new(begin(), Antichain::new(), begin());
        SealedTrace {
            span: Span::new(description, Some(days)),
            logical: begin(),
            physical: begin(),
        }
    }
}

impl<T, K, A> TraceReader for SealedTrace<T, K, A>
where
    T: Timestamp + Lattice,
    K: Key,
    A: Aggregate + Semigroup,
{
    type Time = T;
    type Batch = Rc<SealedDays<T, K, A>>;

    fn spans_through(
        &mut self,
        upper: AntichainRef<'_, T>,
    ) -> Option<Vec<Span<T, Rc<SealedDays<T, K, A>>>>> {
        if upper == self.span.upper().borrow() {
            Some(vec![self.span.clone()])
        } else if upper == self.span.lower().borrow() {
            Some(Vec::new())
        } else {
            // The batch extends beyond `upper`, and cannot be cut.
            None
        }
    }
    fn set_logical_compaction(&mut self, frontier: AntichainRef<'_, T>) {
        self.logical = frontier.to_owned();
    }
    fn get_logical_compaction(&mut self) -> AntichainRef<'_, T> {
        self.logical.borrow()
    }
    fn set_physical_compaction(&mut self, frontier: AntichainRef<'_, T>) {
        self.physical = frontier.to_owned();
    }
    fn get_physical_compaction(&mut self) -> AntichainRef<'_, T> {
        self.physical.borrow()
    }
    fn map_spans<F: FnMut(&Span<T, Rc<SealedDays<T, K, A>>>)>(&self, mut logic: F) {
        logic(&self.span);
    }
}
