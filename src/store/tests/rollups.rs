//! Rollups: what a manifest names is there, whole, wherever the machine stops; and nothing else is.

use super::*;
use crate::batch::BatchMeta;
use crate::store::{Faulty, NewRollup};
use crate::view::Retention;

/// The fingerprints of the rollups that a scenario has made, and has tried to make.
#[derive(Default)]
struct Made {
    done: Option<u64>,
    tried: Option<u64>,
}

fn open(storage: &Faulty, grains: &[Grain]) -> Result<Store, StoreError> {
    let mut retention = Retention::default();
    grains.iter().for_each(|grain| retention.rollups[*grain as usize] = true);
    let retention = [("v".to_owned(), retention)].into();
    let config = StoreConfig { retention, ..config(0, 1) };
    let store = Store::open(Arc::new(storage.clone()), ROOT, config)?;
    store.begin()?;
    Ok(store)
}

/// Makes the rollup of a month, of any rows.
fn roll_up(store: &Store, number: u64, parts: u64, made: &mut Made) -> Result<(), StoreError> {
    made.tried = Some(parts);
    let coverage = Coverage::ALL;
    let mut rows: Vec<(u64, u64, N)> = (0..50).map(|key: u64| (key.hash64(), key, N(3))).collect();
    rows.sort_by_key(|&(hash, ..)| sort_position(hash));
    let meta = BatchMeta { view: "v".to_owned(), day: Day(0), closing: Day(12), coverage };
    let new = NewRollup { grain: Grain::Month, worker: 0, number, parts };
    let (file, _) = store.write_rollup(new, meta, 50, rows)?;
    store.discard_rollups(&others(store, &file.file.path));
    made.done = Some(parts);
    Ok(())
}

fn others(store: &Store, path: &Path) -> Vec<PathBuf> {
    let folder = store.part_path().join("rollups").join("v");
    let names = store.storage().list(&folder).unwrap_or_default().into_iter();
    names.map(|name| folder.join(name)).filter(|other| other != path).collect()
}

fn scenario(storage: &Faulty, made: &mut Made) -> Result<(), StoreError> {
    let store = open(storage, &[Grain::Month])?;
    for closing in [10, 11, 12] {
        let entry = try_write(&store, closing, closing, (0, 1), 5, 1)?;
        store.prepare("v", Day(closing), 0, vec![entry])?;
        store.commit("v", Day(closing), &[])?;
    }
    roll_up(&store, 1, 71, made)?;
    roll_up(&store, 2, 72, made)?;
    drop(store);
    let store = open(storage, &[Grain::Month])?;
    roll_up(&store, 1, 73, made)
}

/// The fingerprint of the rollup of a folder, if there is one. It is whole, and it is the only file.
fn found(storage: &Faulty, at: &str) -> Option<u64> {
    let store = open(storage, &[Grain::Month]).unwrap();
    let (_, rollups) = store.live_and_rollups("v").unwrap();
    for rollup in &rollups {
        let opened = store.open_rollup::<u64, N>(rollup).unwrap();
        opened.verify().unwrap();
        assert_eq!(opened.rows(), 50, "{at}");
    }
    let files = contents(storage, &store.part_path().join("rollups")).into_keys();
    let named: Vec<PathBuf> = rollups.iter().map(|rollup| rollup.file.path.clone()).collect();
    assert_eq!(files.collect::<Vec<_>>(), named, "{at}");
    assert!(named.len() <= 1, "{at}: {named:?}");
    rollups.first().map(|rollup| rollup.parts)
}

#[test]
fn a_rollup_survives_a_crash_at_any_operation_or_was_never_made() {
    let whole = Faulty::new(0);
    scenario(&whole, &mut Made::default()).unwrap();
    assert_eq!(found(&whole, "whole"), Some(73));
    for number in 1..=whole.operations() {
        for seed in [0, number] {
            let storage = Faulty::new(number);
            storage.crash_at(number);
            let mut made = Made::default();
            // The last operations are those that `found` would add.
            let _ = scenario(&storage, &mut made);
            for (how, after) in
                [("killed", storage.after_kill()), ("power lost", storage.after_power_loss(seed))]
            {
                let at = format!("{how} at {number}, seed {seed}");
                let found = found(&after, &at);
                assert!([made.done, made.tried].contains(&found), "{at}: {found:?}");
            }
        }
    }
}

#[test]
fn rollups_go_that_the_program_does_not_keep() {
    let storage = Faulty::new(0);
    scenario(&storage, &mut Made::default()).unwrap();
    let report = inspect(&storage, ROOT).unwrap();
    let rollups = &report.views[0].rollups;
    let described = rollups.iter().map(|rollup| (rollup.grain, rollup.file.day, rollup.file.rows));
    assert_eq!(described.collect::<Vec<_>>(), [(Grain::Month, Day(0), 50)]);
    drop(open(&storage, &[Grain::Year]).unwrap());
    assert_eq!(found(&storage, "not kept"), None);
}
