//! Sealed days of 55,000 keys each, about as many as a day of the workload has.

use std::path::Path;

use dayfold::aggregate::{Aggregate, Count, Max, Semigroup, Sum};
use dayfold::batch::{BatchMeta, BatchView, BatchWriter, Coverage};
use dayfold::key::{Key, encoded, sort_position};
use dayfold::store::{Disk, Storage};
use dayfold::time::Day;

use super::{State, key};

pub(crate) const KEYS: usize = 55_000;

/// A day's keys, in the order of its file.
pub(crate) fn keys() -> Vec<u64> {
    let mut keys: Vec<u64> = (0..KEYS).map(key).collect();
    keys.sort_by_key(|key| sort_position(key.hash64()));
    keys
}

/// The state of a key on a day.
pub(crate) fn state(day: i32, key: u64) -> State {
    (Count(i64::from(day) + 1), Sum::from(key >> 32), Max(key ^ day as u64))
}

/// The state of a key over the days in `[from, until)`.
pub(crate) fn total(from: i32, until: i32, key: u64) -> Option<State> {
    (from..until).map(|day| state(day, key)).reduce(|mut sum, part| {
        sum.plus_equals(&part);
        sum
    })
}

/// The file of a day, whose keys are in its order.
pub(crate) fn bytes(day: i32, keys: &[u64]) -> Vec<u8> {
    let meta = BatchMeta {
        view: "sealed".to_owned(),
        day: Day(day),
        closing: Day(day),
        coverage: Coverage::ALL,
    };
    let mut writer =
        BatchWriter::new(Vec::new(), meta, keys.len() as u64).expect("memory takes all");
    for key in keys {
        writer.push(key.hash64(), key, &state(day, *key)).expect("memory takes all");
    }
    writer.finish().expect("memory takes all").0
}

/// Days of this folder, each written and mapped.
pub(crate) fn mapped(folder: &Path, days: i32) -> Vec<BatchView<u64, State>> {
    let keys = keys();
    (0..days).map(|day| map(&folder.join(day.to_string()), &bytes(day, &keys))).collect()
}

/// A file of these bytes, written and mapped.
pub(crate) fn map<A: Aggregate>(path: &Path, bytes: &[u8]) -> BatchView<u64, A> {
    std::fs::write(path, bytes).expect("the folder takes files");
    open(path)
}

pub(crate) fn open<A: Aggregate>(path: &Path) -> BatchView<u64, A> {
    let bytes = Disk.map(path).expect("the file is there");
    BatchView::open(bytes).expect("the file is a batch view")
}

/// One key over these days, read in each.
pub(crate) fn read(views: &[BatchView<u64, State>], key: u64) -> Option<State> {
    let mut total = None;
    get(views, key, |part| plus(&mut total, part));
    total
}

/// Visits the states of a key in these files.
pub(crate) fn get<'a, A: Aggregate>(
    views: impl IntoIterator<Item = &'a BatchView<u64, A>>,
    key: u64,
    mut visit: impl FnMut(A),
) {
    let (hash, bytes) = (key.hash64(), encoded(&key));
    for view in views {
        if let Some(part) = view.get(hash, &bytes).expect("the file is not damaged") {
            visit(part);
        }
    }
}

/// ⊕ of the parts so far and one more part.
pub(crate) fn plus(total: &mut Option<State>, part: State) {
    match total {
        Some(total) => total.plus_equals(&part),
        None => *total = Some(part),
    }
}
