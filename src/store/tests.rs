//! The laws of the folder: what was committed counts, exactly once, whatever happened in between.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use differential_dataflow::difference::{IsZero, Semigroup};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::aggregate::Aggregate;
use crate::batch::{Coverage, Digest};
use crate::key::{Key, partition, sort_position};
use crate::time::{Day, Grain};

mod crash;
mod former;
mod held;
mod inspect;
mod kept;
mod packs;
mod rebuild;
mod redefine;
mod removed_view;
mod rollups;
mod runs;
mod schema;
mod zones;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct N(i64);

impl IsZero for N {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Semigroup for N {
    fn plus_equals(&mut self, other: &N) {
        self.0 += other.0;
    }
}

impl Aggregate for N {
    fn id() -> String {
        "n".to_owned()
    }
}

const ROOT: &str = "/data";

fn view(name: &str) -> ViewRecord {
    let [zone, key, aggregate, definition] = ["UTC", "u64", "n", "count(*)"].map(str::to_owned);
    ViewRecord { name: name.to_owned(), zone, grain: Grain::Day, key, aggregate, definition }
}

fn config(process: usize, processes: usize) -> StoreConfig {
    StoreConfig::new(process, processes, vec![view("v")])
}

fn try_open(
    storage: &(impl Storage + Clone),
    process: usize,
    processes: usize,
) -> Result<Store, StoreError> {
    Store::open(Arc::new(storage.clone()), ROOT, config(process, processes))
}

/// Opens all processes of a cluster, then begins the run.
fn start(memory: &(impl Storage + Clone), processes: usize) -> Vec<Store> {
    let open = |process| try_open(memory, process, processes).unwrap();
    // The first one comes last: the order must not matter.
    let mut stores: Vec<Store> = (0..processes).rev().map(open).collect();
    stores.reverse();
    stores.iter().for_each(|store| store.begin().unwrap());
    stores
}

/// Worker `worker` of `peers` writes the rows `0..keys` of its partitions with value `value`.
fn write(
    store: &Store,
    day: i32,
    closing: i32,
    worker: usize,
    peers: usize,
    keys: u64,
    value: i64,
) -> BatchEntry {
    try_write(store, day, closing, (worker, peers), keys, value).unwrap()
}

fn try_write(
    store: &Store,
    day: i32,
    closing: i32,
    (worker, peers): (usize, usize),
    keys: u64,
    value: i64,
) -> Result<BatchEntry, StoreError> {
    let coverage = Coverage::of_owner(worker, peers);
    let mut rows: Vec<(u64, u64)> = (0..keys).map(|key| (key.hash64(), key)).collect();
    rows.retain(|&(hash, _)| coverage.contains(partition(hash)));
    rows.sort_by_key(|&(hash, _)| sort_position(hash));
    let rows = rows.into_iter().map(|(hash, key)| (hash, key, N(value)));
    store.write_batch("v", Day(day), Day(closing), worker, coverage, keys, rows)
}

/// One closing by one worker in each process; `committing` of the processes commit.
fn seal(stores: &[Store], day: i32, closing: i32, value: i64, committing: usize) {
    for (process, store) in stores.iter().enumerate() {
        let entry = write(store, day, closing, process, stores.len(), 100, value);
        store.prepare("v", Day(closing), process, vec![entry]).unwrap();
    }
    stores[..committing].iter().for_each(|store| store.commit("v", Day(closing), &[]).unwrap());
}

/// The value of each row that counts, by day and key. Asserts that no row counts twice.
fn rows(store: &Store) -> BTreeMap<(Day, u64), i64> {
    let mut rows = BTreeMap::new();
    for batch in store.live("v").unwrap() {
        let opened = store.open_batch::<u64, N>(&batch).unwrap();
        opened.verify().unwrap();
        for row in opened.scan(&batch.coverage) {
            let (_, key, n) = row.unwrap();
            assert_eq!(rows.insert((batch.day, key), n.0), None, "{key} counts twice");
        }
    }
    rows
}

fn expect(days: &[(i32, i64)]) -> BTreeMap<(Day, u64), i64> {
    days.iter()
        .flat_map(|&(day, value)| (0..100).map(move |key| ((Day(day), key), value)))
        .collect()
}

/// All files of a folder.
fn contents(memory: &impl Storage, dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for name in memory.list(dir).unwrap_or_default() {
        let path = dir.join(name);
        match memory.read(&path) {
            Ok(bytes) => drop(found.insert(path, bytes)),
            Err(_) => found.extend(contents(memory, &path)),
        }
    }
    found
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let memory = Memory::default();
    let mut stores = start(&memory, 1);
    assert_eq!(stores[0].state(), RunState::Fresh);
    assert_eq!(stores[0].closed_through("v"), None);
    seal(&stores, 10, 10, 1, 1);
    stores[0].commit("v", Day(10), &[]).unwrap();
    seal(&stores, 10, 12, 2, 1);
    seal(&stores, 11, 13, 3, 0);
    stores[0].set_fact("moment", vec![1]).unwrap();
    stores[0].set_fact("moment", vec![2]).unwrap();
    assert_eq!(rows(&stores[0]), expect(&[(10, 2)]));
    assert_eq!(stores[0].revisions("v", Day(10)).unwrap().len(), 2);

    drop(stores);
    stores = start(&memory, 1);
    assert_eq!(stores[0].state(), RunState::Incomplete);
    assert_eq!(stores[0].closed_through("v"), Some(Day(12)));
    assert_eq!(rows(&stores[0]), expect(&[(10, 2)]));
    assert_eq!(stores[0].fact("moment"), Some(vec![2]));
    assert_eq!(stores[0].facts("moment"), [(0, vec![2])]);
    assert!(stores[0].revisions("v", Day(11)).unwrap().is_empty());
    let orphan = stores[0].part_path().join("views/v/1970-01-12/1970-01-14-w0.batch");
    assert!(memory.read(&orphan).is_err(), "what nobody committed is gone");
    stores[0].complete().unwrap();

    drop(stores);
    assert_eq!(start(&memory, 1)[0].state(), RunState::Complete);
}

#[test]
fn a_sealed_file_never_changes() {
    let memory = Memory::default();
    let stores = start(&memory, 1);
    seal(&stores, 10, 10, 1, 1);
    let none = std::iter::empty::<(u64, u64, N)>();
    let error =
        stores[0].write_batch("v", Day(10), Day(10), 0, Coverage::ALL, 0, none).unwrap_err();
    assert_eq!(
        error.to_string(),
        "view 'v' is closed through 1970-01-11: closing 1970-01-11 cannot be written again"
    );
    assert!(matches!(stores[0].commit("w", Day(1), &[]), Err(StoreError::UnknownView { .. })));
}

#[test]
fn a_tail_is_cut_before_anything_is_appended() {
    let memory = Memory::default();
    let manifest = Path::new(ROOT).join("part-0/manifest");
    let stores = start(&memory, 1);
    seal(&stores, 10, 10, 1, 1);
    let before = memory.read(&manifest).unwrap().len();
    seal(&stores, 11, 11, 1, 1);
    let whole = memory.read(&manifest).unwrap();
    drop(stores);
    let files = contents(&memory, Path::new(ROOT));
    for end in before..whole.len() {
        let memory = Memory::default();
        for (path, bytes) in &files {
            memory.create_dirs(path.parent().unwrap()).unwrap();
            memory.create(path).unwrap().write_all(bytes).unwrap();
        }
        memory.append(&manifest).unwrap().truncate(end as u64).unwrap();
        let store = try_open(&memory, 0, 1).unwrap();
        assert_eq!(store.closed_through("v"), Some(Day(10)), "cut at {end}");
        assert_eq!(memory.read(&manifest).unwrap().len(), before);
        store.begin().unwrap();
        seal(std::slice::from_ref(&store), 11, 11, 5, 1);
        drop(store);
        let store = try_open(&memory, 0, 1).unwrap();
        assert_eq!(rows(&store), expect(&[(10, 1), (11, 5)]));
    }
}

#[test]
fn a_damaged_manifest_is_refused_and_left_alone() {
    let memory = Memory::default();
    let stores = start(&memory, 1);
    seal(&stores, 10, 10, 1, 1);
    drop(stores);
    let manifest = Path::new(ROOT).join("part-0/manifest");
    let mut bytes = memory.read(&manifest).unwrap();
    bytes[40] ^= 1;
    memory.create(&manifest).unwrap().write_all(&bytes).unwrap();
    let before = contents(&memory, Path::new(ROOT));
    let error = try_open(&memory, 0, 1).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { offset: 16.., .. }), "{error}");
    assert_eq!(contents(&memory, Path::new(ROOT)), before);
}

#[test]
fn one_program_at_a_time() {
    let memory = Memory::default();
    let stores = start(&memory, 2);
    for processes in [1, 2, 3] {
        let error = try_open(&memory, 0, processes).unwrap_err();
        assert!(error.to_string().starts_with("/data/part-0 is in use"), "{error}");
    }
    let [first, second] = stores.try_into().unwrap();
    drop(first);
    // Half of the old cluster still runs: a new, smaller cluster must not take over its part.
    assert!(matches!(try_open(&memory, 0, 1), Err(StoreError::InUse { folder })
        if folder == Path::new("/data/part-1")));
    drop(second);
    try_open(&memory, 0, 1).unwrap();
}

#[test]
fn the_same_on_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("deep/data");
    let open = || Store::open(Arc::new(Disk), &root, config(0, 1));
    let store = open().unwrap();
    store.begin().unwrap();
    let error = open().unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    // Large enough to be mapped.
    let entry = write(&store, 10, 10, 0, 1, 5_000, 7);
    assert!(
        matches!(store.open_batch::<u64, N>(&store.written("v", &entry)), Ok(view) if view.rows() == 5_000)
    );
    store.prepare("v", Day(10), 0, vec![entry]).unwrap();
    store.commit("v", Day(10), &[]).unwrap();
    drop(store);
    let store = open().unwrap();
    assert_eq!(rows(&store).len(), 5_000);
    let path = &store.live("v").unwrap()[0].path;
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() - 100]).unwrap();
    let error = store.open_batch::<u64, N>(&store.live("v").unwrap()[0]).unwrap_err();
    assert!(matches!(error, StoreError::Batch(_)), "{error}");
    std::fs::remove_file(path).unwrap();
    let error = store.open_batch::<u64, N>(&store.live("v").unwrap()[0]).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
    assert!(error.to_string().contains("restore it from a copy"), "{error}");
}

#[test]
fn a_changed_view_is_refused_with_both_sides() {
    let memory = Memory::default();
    drop(start(&memory, 1));
    let before = contents(&memory, Path::new(ROOT));
    let open = |views| Store::open(Arc::new(memory.clone()), ROOT, StoreConfig::new(0, 1, views));
    let error =
        open(vec![ViewRecord { zone: "America/New_York".to_owned(), ..view("v") }]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "view 'v' has zone 'UTC' on disk and 'America/New_York' in the program: \
         give the changed view a new name or use a new folder"
    );
    let error = open(vec![]).unwrap_err();
    assert!(matches!(error, StoreError::ViewMissing { .. }), "{error}");
    assert!(matches!(open(vec![view("../v")]), Err(StoreError::Config { .. })));
    assert!(matches!(open(vec![view("v"), view("v")]), Err(StoreError::Config { .. })));
    assert_eq!(contents(&memory, Path::new(ROOT)), before, "nothing was changed");
    // Before anything is sealed, a view may still be added.
    let store = open(vec![view("v"), view("w")]).unwrap();
    store.begin().unwrap();
    store.commit("w", Day(3), &[]).unwrap();
    drop(store);
    let error = open(vec![view("v"), view("w"), view("x")]).unwrap_err();
    assert!(matches!(error, StoreError::ViewAdded { view } if view == "x"));
    assert_eq!(open(vec![view("w"), view("v")]).unwrap().closed_through("w"), Some(Day(3)));
}

#[test]
fn nothing_is_made_when_the_configuration_cannot_be() {
    let memory = Memory::default();
    assert!(matches!(try_open(&memory, 1, 1), Err(StoreError::Config { .. })));
    assert!(memory.list(Path::new(ROOT)).is_err());
}

#[test]
fn a_lost_part_is_named() {
    for lost in 0..3 {
        let memory = Memory::default();
        drop(start(&memory, 3));
        // A smaller cluster still needs the parts that it does not use.
        drop(start(&memory, 2));
        let part = Path::new(ROOT).join(format!("part-{lost}"));
        let manifest = part.join("manifest");
        memory.remove(&manifest).unwrap();
        for processes in [1, 2, 3] {
            let error = try_open(&memory, 0, processes).unwrap_err();
            assert!(
                matches!(&error, StoreError::MissingPart { path } if *path == manifest),
                "{error}"
            );
        }
    }
    // The only part has lost its manifest, but has batch views: it is not taken for a new one.
    let memory = Memory::default();
    seal(&start(&memory, 1), 10, 10, 1, 1);
    memory.remove(&Path::new(ROOT).join("part-0/manifest")).unwrap();
    assert!(matches!(try_open(&memory, 0, 1), Err(StoreError::MissingPart { .. })));
}

#[test]
fn parts_of_two_folders_do_not_mix() {
    let (one, other) = (Memory::default(), Memory::default());
    drop(start(&one, 2));
    drop(start(&other, 2));
    let manifest = Path::new(ROOT).join("part-1/manifest");
    let foreign = other.read(&manifest).unwrap();
    one.create(&manifest).unwrap().write_all(&foreign).unwrap();
    let error = try_open(&one, 0, 2).unwrap_err();
    assert!(matches!(error, StoreError::IdentityMismatch { field: "cluster", .. }), "{error}");
}

#[test]
fn a_group_begins_when_all_have_opened() {
    let memory = Memory::default();
    let first = try_open(&memory, 0, 2).unwrap();
    assert!(matches!(first.begin(), Err(StoreError::MissingPart { .. })));
    let second = try_open(&memory, 1, 2).unwrap();
    first.begin().unwrap();
    second.begin().unwrap();
}

#[test]
fn a_part_that_was_left_behind_rolls_forward() {
    for (before, committing, after) in [(2, 1, 2), (2, 1, 1), (3, 2, 1), (3, 1, 4), (2, 2, 3)] {
        let memory = Memory::default();
        let stores = start(&memory, before);
        seal(&stores, 10, 10, 1, before);
        seal(&stores, 10, 11, 2, committing);
        drop(stores);
        let stores = start(&memory, after);
        for store in &stores {
            assert_eq!(store.closed_through("v"), Some(Day(11)));
            assert_eq!(rows(store), expect(&[(10, 2)]), "{before} processes, then {after}");
        }
        // The new cluster goes on, and revises what the old one sealed.
        seal(&stores, 11, 12, 3, after);
        seal(&stores, 10, 13, 4, after);
        drop(stores);
        let stores = start(&memory, before);
        assert_eq!(stores[0].closed_through("v"), Some(Day(13)));
        assert_eq!(rows(&stores[0]), expect(&[(10, 4), (11, 3)]), "{before}, {after}, {before}");
    }
}

#[test]
fn what_no_process_committed_does_not_count() {
    let memory = Memory::default();
    let stores = start(&memory, 2);
    seal(&stores, 10, 10, 1, 2);
    seal(&stores, 11, 11, 9, 0);
    drop(stores);
    // One process instead of two seals the day again: nothing of the first attempt remains.
    let stores = start(&memory, 1);
    assert_eq!(rows(&stores[0]), expect(&[(10, 1)]));
    seal(&stores, 11, 11, 2, 1);
    drop(stores);
    let stores = start(&memory, 2);
    assert_eq!(rows(&stores[1]), expect(&[(10, 1), (11, 2)]));
}

#[test]
fn digests_of_a_day_do_not_depend_on_the_workers() {
    let memory = Memory::default();
    let store = start(&memory, 1).remove(0);
    let digest = |closing, peers| -> Digest {
        (0..peers).map(|worker| write(&store, 1, closing, worker, peers, 500, 3).digest).sum()
    };
    let whole = digest(1, 1);
    for (closing, peers) in [(2, 2), (3, 3), (4, 16)] {
        assert_eq!(digest(closing, peers), whole, "{peers} workers");
    }
    assert_eq!((0..500u64).map(|key| Digest::of(&key, &N(3)).unwrap()).sum::<Digest>(), whole);
}

#[test]
fn several_workers_write_at_once_and_commit_as_one() {
    let memory = Memory::default();
    let store = Arc::new(start(&memory, 1).remove(0));
    let worker = |worker| {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            let entries = (1..=5).map(|day| write(&store, day, day, worker, 4, 100, 1)).collect();
            store.prepare("v", Day(5), worker, entries).unwrap();
        })
    };
    (0..4).map(worker).collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    assert!(store.live("v").unwrap().is_empty(), "prepared is not committed");
    store.commit("v", Day(3), &[]).unwrap();
    assert_eq!(rows(&store), expect(&[(1, 1), (2, 1), (3, 1)]));
    store.commit("v", Day(5), &[]).unwrap();
    assert_eq!(rows(&store).len(), 500);
}

#[test]
#[should_panic(expected = "worker 0 has prepared through 1970-01-02 only")]
fn a_commit_beyond_what_is_prepared_is_a_bug() {
    let store = start(&Memory::default(), 1).remove(0);
    store.prepare("v", Day(1), 0, Vec::new()).unwrap();
    let _ = store.commit("v", Day(2), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes a manifest has, opening gives a store or an error.
    #[test]
    fn any_manifest_is_a_store_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1u8..), 0..3),
        is_ours: bool,
    ) {
        let memory = Memory::default();
        seal(&start(&memory, 1), 10, 10, 1, 1);
        let manifest = Path::new(ROOT).join("part-0/manifest");
        let mut ours = memory.read(&manifest).unwrap();
        for (at, mask) in flips {
            let at = at.index(ours.len());
            ours[at] ^= mask;
        }
        if !is_ours {
            ours.clear();
        }
        ours.extend_from_slice(&bytes);
        memory.create(&manifest).unwrap().write_all(&ours).unwrap();
        let _ = try_open(&memory, 0, 1);
    }

    /// Clusters of changing size seal, are interrupted at any commit, and go on. Each row counts once, with the value
    /// of its last closing that any process committed.
    #[test]
    fn oracle_groups_come_and_go(
        runs in proptest::collection::vec((1usize..4, 0usize..4, 0i32..3), 1..6),
    ) {
        let memory = Memory::default();
        let mut expected = BTreeMap::new();
        let mut closing = 100;
        for (value, (processes, committing, day)) in (1..).zip(runs) {
            let stores = start(&memory, processes);
            for store in &stores {
                prop_assert_eq!(&rows(store), &expect(&expected.clone().into_iter().collect::<Vec<_>>()));
            }
            seal(&stores, day, closing, value, committing.min(processes));
            if committing > 0 {
                expected.insert(day, value);
                closing += 1;
            }
        }
        let store = &start(&memory, 1)[0];
        prop_assert_eq!(&rows(store), &expect(&expected.into_iter().collect::<Vec<_>>()));
    }
}
