//! Rebuilt revisions replace the ones that they repeat, or do not count at all.

use super::*;

/// Worker `worker` of `peers` writes its share of a sealed day again.
fn rewrite(
    store: &Store,
    (day, closing): (i32, i32),
    worker: usize,
    peers: usize,
    value: i64,
) -> Result<BatchEntry, StoreError> {
    let coverage = Coverage::of_owner(worker, peers);
    let mut keys: Vec<u64> = (0..100).collect();
    keys.retain(|key| coverage.contains(partition(key.hash64())));
    keys.sort_by_key(|key| sort_position(key.hash64()));
    let rows = keys.into_iter().map(|key| (key.hash64(), key, N(value)));
    store.write_rebuilt("v", Day(day), Day(closing), worker, coverage, 100, rows)
}

/// The day, closing, generation and worker of all revisions of a day.
fn revisions(store: &Store, day: i32) -> Vec<(i32, u32, usize)> {
    let found = store.revisions("v", Day(day)).unwrap();
    found.into_iter().map(|batch| (batch.closing.0, batch.generation, batch.worker)).collect()
}

#[test]
fn a_rebuilt_revision_counts_from_its_commit_on() {
    let memory = Memory::default();
    let mut stores = start(&memory, 1);
    seal(&stores, 10, 10, 1, 1);
    let entry = rewrite(&stores[0], (10, 10), 0, 1, 2).unwrap();
    assert_eq!((entry.generation, entry.file.as_str()), (1, "1970-01-11-g1-w0.batch"));
    assert_eq!(rows(&stores[0]), expect(&[(10, 1)]), "written is not committed");
    stores[0].commit_rebuilt("v", vec![entry.clone()]).unwrap();
    assert_eq!(rows(&stores[0]), expect(&[(10, 2)]));
    assert_eq!(stores[0].closed_through("v"), Some(Day(10)));

    // The next generation follows both those that were forgotten and those that were read again.
    for (generation, value) in [(2, 3), (3, 4)] {
        let entry = rewrite(&stores[0], (10, 10), 0, 1, value).unwrap();
        assert_eq!(entry.generation, generation);
        stores[0].commit_rebuilt("v", vec![entry]).unwrap();
        drop(stores);
        stores = start(&memory, 1);
        assert_eq!(rows(&stores[0]), expect(&[(10, value)]));
    }
    assert_eq!(revisions(&stores[0], 10), [(10, 3, 0)], "openings have removed the others");
    // An amendment supersedes every generation of the closing before it.
    seal(&stores, 10, 11, 5, 1);
    assert_eq!(rows(&stores[0]), expect(&[(10, 5)]));
    // A rebuild of an older closing does not replace the amendment.
    let entry = rewrite(&stores[0], (10, 10), 0, 1, 6).unwrap();
    stores[0].commit_rebuilt("v", vec![entry]).unwrap();
    assert_eq!(rows(&stores[0]), expect(&[(10, 5)]));
}

#[test]
fn a_rebuild_that_was_cut_short_leaves_nothing() {
    let memory = Memory::default();
    let stores = start(&memory, 2);
    seal(&stores, 10, 10, 1, 2);
    let [first, second] =
        [0, 1].map(|worker| rewrite(&stores[worker], (10, 10), worker, 2, 2).unwrap());
    stores[0].commit_rebuilt("v", vec![first]).unwrap();
    let orphan = stores[1].part_path().join("views/v/1970-01-11").join(&second.file);
    assert!(memory.read(&orphan).is_ok());
    drop(stores);
    // One process has committed: its partitions are rebuilt, those of the other one are not.
    let stores = start(&memory, 2);
    assert!(memory.read(&orphan).is_err(), "nobody committed it");
    assert_eq!(revisions(&stores[1], 10), [(10, 0, 1), (10, 1, 0)]);
    let found = rows(&stores[1]);
    for (&(_, key), &value) in &found {
        let worker = crate::key::owner(partition(key.hash64()), 2);
        assert_eq!(value, if worker == 0 { 2 } else { 1 }, "key {key}");
    }
    assert_eq!(found.len(), 100);
}

#[test]
fn generations_go_on_for_other_workers() {
    let memory = Memory::default();
    let mut value = 1;
    let mut generation = 0;
    let mut stores = start(&memory, 2);
    seal(&stores, 10, 10, value, 2);
    for processes in [3, 1, 4, 2] {
        drop(stores);
        stores = start(&memory, processes);
        value += 1;
        generation += 1;
        for (worker, store) in stores.iter().enumerate() {
            let entry = rewrite(store, (10, 10), worker, processes, value).unwrap();
            assert_eq!(entry.generation, generation, "worker {worker} of {processes}");
            store.commit_rebuilt("v", vec![entry]).unwrap();
        }
        for store in &stores {
            assert_eq!(rows(store), expect(&[(10, value)]), "{processes} processes");
        }
    }
}

#[test]
fn what_is_not_closed_cannot_be_rebuilt() {
    let memory = Memory::default();
    let stores = start(&memory, 1);
    let error = rewrite(&stores[0], (10, 10), 0, 1, 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "view 'v' is closed through no day: closing 1970-01-11 cannot be rebuilt yet"
    );
    seal(&stores, 10, 10, 1, 1);
    let mut entry = rewrite(&stores[0], (10, 10), 0, 1, 2).unwrap();
    let before = contents(&memory, Path::new(ROOT));
    assert!(matches!(
        rewrite(&stores[0], (10, 11), 0, 1, 2),
        Err(StoreError::NotClosed { closing, through: Some(through), .. })
            if (closing, through) == (Day(11).into(), Day(10).into())
    ));
    assert!(matches!(
        stores[0].commit_rebuilt("w", vec![entry.clone()]),
        Err(StoreError::UnknownView { .. })
    ));
    entry.closing = Day(11);
    assert!(matches!(
        stores[0].commit_rebuilt("v", vec![entry]),
        Err(StoreError::NotClosed { .. })
    ));
    assert_eq!(contents(&memory, Path::new(ROOT)), before, "nothing was changed");
}
