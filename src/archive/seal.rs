//! Seals a closed day: its table is sorted once, merged with the revision before, and written as the next one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{ArchiveError, Place};
use crate::aggregate::Aggregate;
use crate::batch::{BatchError, BatchMeta, BatchView, Bytes, Coverage, sort_by_number, write_rows};
use crate::closing::Closing;
use crate::key::{Key, encoded, hash_at, sort_position};
use crate::store::{BatchEntry, LiveBatch, Packed, Store};
use crate::table::{Frozen, Table};
use crate::time::Day;

/// After this many rows, some 10 µs, a lane yields. Workers are more urgent. If all processors are busy, the system may
/// make a worker that wakes up wait for a whole time slice of a lane: several milliseconds. Two workers that wait for
/// each other would wait so at tick after tick.
const ROWS_AT_ONCE: usize = 64;

/// The most memory that a lane keeps for the next file that it writes in memory.
const SCRATCH_MAX: usize = 1 << 20;

thread_local! {
    /// A buffer for files in memory: growing a new buffer for each file took longer than copying the file.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A file, and the partitions of this worker for which it is the live revision of its day.
#[derive(Clone, Debug)]
pub(crate) struct LivePart<K, A> {
    pub(crate) day: Day,
    pub(crate) closing: Closing,
    pub(crate) generation: u32,
    pub(crate) coverage: Coverage,
    /// The process that wrote the file.
    pub(crate) process: u32,
    pub(crate) worker: u32,
    /// Where the file is, if it is in a pack.
    pub(crate) packed: Option<Packed>,
    pub(crate) view: BatchView<K, A>,
}

/// The closed tables of one worker and view, and the live revisions of their days.
#[derive(Debug)]
pub(crate) struct SealJob<K: Key, A: Aggregate> {
    pub(crate) view: String,
    pub(crate) worker: usize,
    pub(crate) peers: usize,
    /// The last closing of the job.
    pub(crate) through: Closing,
    /// The frozen tables by `(day, closing)`, in order of closing.
    pub(crate) frozen: Vec<Frozen<K, A>>,
    pub(crate) live: BTreeMap<Day, Vec<LivePart<K, A>>>,
    /// The engine is stopping: what is not written yet will not count.
    pub(crate) stop: Arc<AtomicBool>,
}

impl<K: Key, A: Aggregate> SealJob<K, A> {
    /// Writes one revision for each closed table. None of them is live yet.
    pub(crate) fn write(mut self, place: &Place) -> Result<Vec<LivePart<K, A>>, ArchiveError> {
        let mut written = Vec::new();
        let mut entries = Vec::new();
        let coverage = Coverage::of_owner(self.worker, self.peers);
        for ((day, closing), table) in std::mem::take(&mut self.frozen) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(ArchiveError::Stopped);
            }
            let before = self.live.remove(&day).unwrap_or_default();
            let expected =
                before.iter().map(|part| part.view.rows()).sum::<u64>() + table.len() as u64;
            let part = merged_parts(&table, &before, coverage, |rows| {
                self.write_one(place, (day, closing), coverage, expected, rows, &mut entries)
            })??;
            tracing::debug!(view = self.view, %day, %closing, rows = part.view.rows(), "written");
            self.live.insert(day, vec![part.clone()]);
            written.push(part);
        }
        if let Place::Folder(store) = place {
            store.prepare(&self.view, self.through, self.worker, entries)?;
        }
        Ok(written)
    }

    fn write_one(
        &self,
        place: &Place,
        (day, closing): (Day, Closing),
        coverage: Coverage,
        expected: u64,
        rows: impl Iterator<Item = (u64, K, A)>,
        entries: &mut Vec<BatchEntry>,
    ) -> Result<LivePart<K, A>, ArchiveError> {
        let (process, view) = match place {
            Place::Memory => {
                let (view, closing) = (self.view.clone(), closing.day);
                let meta = BatchMeta { view, day, closing, coverage };
                let error = |source| ArchiveError::Memory { view: self.view.clone(), day, source };
                let mut scratch = SCRATCH.take();
                scratch.clear();
                let written = write_rows(scratch, meta, expected, rows);
                let (bytes, _) = written.map_err(error)?;
                // The bytes stay as long as the day does, so they get no more memory than they need.
                let sealed = Bytes::Owned(Arc::new(bytes.as_slice().to_vec()));
                if bytes.capacity() <= SCRATCH_MAX {
                    SCRATCH.set(bytes);
                }
                (0, BatchView::open(sealed)?)
            }
            Place::Folder(store) => {
                let (view, worker) = (&self.view, self.worker);
                let entry =
                    store.write_batch(view, day, closing, worker, coverage, expected, rows)?;
                let written = store.written(view, &entry);
                entries.push(entry);
                (written.process as u32, store.open_batch(&written)?)
            }
        };
        let (generation, worker, packed) = (0, self.worker as u32, None);
        Ok(LivePart { day, closing, generation, coverage, process, worker, packed, view })
    }
}

/// Passes the rows of a table and of the revisions before it to `write`, as a file has them. They are made while they
/// are written, so even a large day is not held twice.
pub(super) fn merged_parts<K: Key, A: Aggregate, R>(
    table: &Table<K, A>,
    before: &[LivePart<K, A>],
    coverage: Coverage,
    write: impl FnOnce(&mut dyn Iterator<Item = (u64, K, A)>) -> R,
) -> Result<R, BatchError> {
    let parts = table.parts();
    let parts = parts.map(|(at, rows)| (at.map_or(coverage, |p| Coverage::from_iter([p])), rows));
    let merge = |(partitions, rows)| {
        let mut rows = merged(rows, before, partitions)?;
        rows.retain(|(.., aggregate)| !aggregate.is_zero());
        Ok(rows)
    };
    in_order(parts.map(merge), write)
}

/// Passes the combined rows of the files of several periods to `write`. A key whose periods add up to zero stays: each
/// of these periods has the key, and so has an answer that is made from them.
pub(super) fn rolled_up<K: Key, A: Aggregate, R>(
    parts: &[LivePart<K, A>],
    coverage: Coverage,
    write: impl FnOnce(&mut dyn Iterator<Item = (u64, K, A)>) -> R,
) -> Result<R, BatchError> {
    let partitions = coverage.iter().map(|partition| Coverage::from_iter([partition]));
    in_order(partitions.map(|partition| merged(Vec::new(), parts, partition)), write)
}

/// Passes the rows of one part after the other to `write`.
fn in_order<K: Key, A: Aggregate, R>(
    parts: impl Iterator<Item = Result<Vec<(u64, K, A)>, BatchError>>,
    write: impl FnOnce(&mut dyn Iterator<Item = (u64, K, A)>) -> R,
) -> Result<R, BatchError> {
    let damage = Cell::new(None);
    let rows = parts.flat_map(|rows| {
        let rows = rows.unwrap_or_else(|error| {
            damage.set(Some(error));
            Vec::new()
        });
        thread::yield_now();
        rows
    });
    let mut rows = rows.zip(1usize..).map(|(row, number)| {
        if number.is_multiple_of(ROWS_AT_ONCE) {
            thread::yield_now();
        }
        row
    });
    let written = write(&mut rows);
    drop(rows);
    match damage.take() {
        Some(error) => Err(error),
        None => Ok(written),
    }
}

/// The rows of a part of a table, and those of the revisions before in the same partitions, by position and key. An
/// amendment is combined with the row that it amends.
fn merged<K: Key, A: Aggregate>(
    table: Vec<&(K, A)>,
    before: &[LivePart<K, A>],
    partitions: Coverage,
) -> Result<Vec<(u64, K, A)>, BatchError> {
    // A row that was retracted entirely is left out.
    let table = table.into_iter().filter(|(_, aggregate)| !aggregate.is_zero());
    // Rows are large, so sorting moves a position and a reference.
    let mut places: Vec<(u64, &(K, A))> =
        table.map(|row| (sort_position(row.0.hash64()), row)).collect();
    // Keys with the same hash are rare, so keys are encoded only to compare those.
    sort_by_number(
        &mut places,
        |(position, _)| *position,
        |(_, a), (_, b)| encoded(&a.0).cmp(&encoded(&b.0)),
    );
    let row = |(position, (key, aggregate)): (u64, &(K, A))| {
        (hash_at(position), key.clone(), aggregate.clone())
    };
    let mut rows: Vec<(u64, K, A)> = places.into_iter().map(row).collect();
    if before.is_empty() {
        return Ok(rows);
    }
    for part in before {
        for row in part.view.scan(&part.coverage.intersection(partitions)) {
            rows.push(row?);
        }
    }
    // Each of them is in order already: a stable sort detects this and merges them.
    rows.sort_by(|a, b| {
        let by_hash = sort_position(a.0).cmp(&sort_position(b.0));
        by_hash.then_with(|| encoded(&a.1).cmp(&encoded(&b.1)))
    });
    rows.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0 && later.1 == earlier.1;
        if same {
            earlier.2.plus_equals(&later.2);
        }
        same
    });
    Ok(rows)
}

impl<K: Key, A: Aggregate> LivePart<K, A> {
    /// Opens a file if it counts for any of these partitions.
    pub(crate) fn open(
        store: &Store,
        live: &LiveBatch,
        partitions: Coverage,
    ) -> Result<Option<Self>, ArchiveError> {
        let coverage = live.coverage.intersection(partitions);
        if coverage.is_empty() {
            return Ok(None);
        }
        let (day, closing, generation) = (live.day, live.revision(), live.generation);
        let (process, worker, packed) = (live.process as u32, live.worker as u32, live.packed);
        let view = store.open_batch(live)?;
        Ok(Some(LivePart { day, closing, generation, coverage, process, worker, packed, view }))
    }
}
