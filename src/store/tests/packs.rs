//! Small files of older periods are in packs, and nothing else is different.

use std::num::NonZeroU32;

use super::*;
use crate::closing::Closing;
use crate::store::Packing;
use crate::time::DayRange;
use crate::view::{KeptRevisions, Retention, RevisionLimit};

const PACKING: Packing = Packing { newest: 2, least: 3 };

fn open_with(memory: &Memory, retention: Retention) -> Store {
    let retention = [("v".to_owned(), retention)].into();
    let config = StoreConfig { packing: PACKING, retention, ..config(0, 1) };
    let store = Store::open(Arc::new(memory.clone()), ROOT, config).unwrap();
    store.begin().unwrap();
    store
}

fn open(memory: &Memory) -> Store {
    open_with(memory, Retention::default())
}

fn revisions(revisions: u32) -> Retention {
    Retention {
        revisions: NonZeroU32::new(revisions).map(KeptRevisions::Newest),
        ..Retention::default()
    }
}

/// A closed day with its closing as the value.
fn seal_day(store: &Store, day: i32, closing: i32) {
    seal(std::slice::from_ref(store), day, closing, closing.into(), 1);
}

/// The names of the files below a folder of the part.
fn names(memory: &Memory, folder: &str) -> Vec<String> {
    let files = contents(memory, &Path::new(ROOT).join("part-0").join(folder)).into_keys();
    files.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// Days 10 to 19, in files.
fn ten_days(memory: &Memory) {
    let store = open(memory);
    (10..20).for_each(|day| seal_day(&store, day, day));
}

fn ten() -> BTreeMap<(Day, u64), i64> {
    expect(&(10..20).map(|day| (day, i64::from(day))).collect::<Vec<_>>())
}

#[test]
fn files_move_into_packs_and_answer_as_before() {
    let memory = Memory::default();
    ten_days(&memory);
    let before = inspect(&memory, ROOT).unwrap();
    let store = open(&memory);
    assert_eq!(
        (names(&memory, "packs"), names(&memory, "views").len()),
        (vec!["1.pack".to_owned()], 2)
    );
    assert_eq!(rows(&store), ten());
    // A copy of the rows elsewhere is still up to date.
    let after = inspect(&memory, ROOT).unwrap();
    let prints = |report: &FolderReport| -> Vec<(Day, u64)> {
        let periods = report.views[0].periods().into_iter();
        periods.map(|(day, period)| (day, period.fingerprint)).collect()
    };
    assert_eq!(prints(&after), prints(&before));
    assert_eq!(after.views[0].revisions.iter().filter(|file| file.is_packed()).count(), 8);
    for file in &after.views[0].revisions {
        verify(&memory, file).unwrap();
    }
    // The next opening has nothing to do, and changes no file.
    drop(store);
    let files = contents(&memory, &Path::new(ROOT).join("part-0/packs"));
    assert_eq!(rows(&open(&memory)), ten());
    assert_eq!(contents(&memory, &Path::new(ROOT).join("part-0/packs")), files);
}

#[test]
fn a_few_files_stay() {
    let memory = Memory::default();
    let store = open(&memory);
    (10..14).for_each(|day| seal_day(&store, day, day));
    drop(store);
    drop(open(&memory));
    assert!(names(&memory, "packs").is_empty(), "two older days are too few");
    assert_eq!(names(&memory, "views").len(), 4);
}

#[test]
fn late_events_of_a_packed_day_have_a_file_until_there_are_more_of_them() {
    let memory = Memory::default();
    ten_days(&memory);
    let store = open(&memory);
    seal_day(&store, 12, 20);
    assert_eq!(rows(&store)[&(Day(12), 3)], 20);
    drop(store);
    let store = open(&memory);
    assert_eq!(rows(&store)[&(Day(12), 3)], 20);
    assert_eq!((names(&memory, "packs").len(), names(&memory, "views").len()), (1, 3));
    // The past is in the pack.
    let holds = |_, closing: Closing| closing <= Closing::of(Day(19));
    let past = store.sealed("v", DayRange::ALL, holds).unwrap();
    let old = past.iter().find(|file| file.day == Day(12)).unwrap();
    assert!(old.is_packed() && old.closing == Day(12));
    for (day, closing) in [(13, 21), (14, 22), (20, 23), (21, 24)] {
        seal_day(&store, day, closing);
    }
    drop(store);
    let store = open(&memory);
    assert_eq!((names(&memory, "packs").len(), names(&memory, "views").len()), (2, 2));
    let mut expected = ten();
    expected.extend(expect(&[(12, 20), (13, 21), (14, 22), (20, 23), (21, 24)]));
    assert_eq!(rows(&store), expected);
}

#[test]
fn a_pack_that_is_mostly_superseded_is_written_again() {
    let memory = Memory::default();
    ten_days(&memory);
    let store = open_with(&memory, revisions(1));
    // Five of eight days get another revision.
    (10..15).for_each(|day| seal_day(&store, day, day + 10));
    drop(store);
    let first = contents(&memory, &Path::new(ROOT).join("part-0/packs"));
    let store = open_with(&memory, revisions(1));
    assert_eq!(names(&memory, "packs"), ["2.pack"]);
    let second = contents(&memory, &Path::new(ROOT).join("part-0/packs"));
    assert_eq!(first.values().next().unwrap().len(), second.values().next().unwrap().len());
    let mut expected = ten();
    expected.extend(expect(&(10..15).map(|day| (day, i64::from(day + 10))).collect::<Vec<_>>()));
    assert_eq!(rows(&store), expected);
    // While the program runs, superseded files in a pack are gaps.
    (10..14).for_each(|day| seal_day(&store, day, day + 20));
    store
        .remove_superseded("v", Closing::of(Day(33)), RevisionLimit::Newest(NonZeroU32::MIN))
        .unwrap();
    assert_eq!(names(&memory, "packs"), ["2.pack"]);
    assert_eq!(rows(&store)[&(Day(13), 3)], 33);
}

#[test]
fn a_view_that_keeps_the_newest_days_has_no_gaps_and_no_empty_packs() {
    let memory = Memory::default();
    ten_days(&memory);
    drop(open(&memory));
    let day = std::time::Duration::from_secs(86_400);
    let keep = |days: u32| Retention { keep: Some(days * day), ..Retention::default() };
    let store = open_with(&memory, keep(6));
    assert_eq!(names(&memory, "packs"), ["2.pack"], "without the days that are gone");
    assert_eq!(rows(&store).keys().map(|(day, _)| day.0).min(), Some(14));
    // While the program runs, a pack stays until its last day goes.
    store.remove_before("v", Day(17)).unwrap();
    assert_eq!(names(&memory, "packs"), ["2.pack"]);
    assert_eq!(rows(&store).keys().map(|(day, _)| day.0).min(), Some(17));
    store.remove_before("v", Day(18)).unwrap();
    assert!(names(&memory, "packs").is_empty());
    assert_eq!(rows(&store).keys().map(|(day, _)| day.0).min(), Some(18));
    (20..30).for_each(|day| seal_day(&store, day, day));
    drop(store);
    drop(open_with(&memory, keep(100)));
    assert!(names(&memory, "packs").is_empty(), "its days go one by one");
}

#[test]
fn a_damaged_file_stays_where_it_is_and_damage_in_a_pack_is_of_one_day() {
    let memory = Memory::default();
    ten_days(&memory);
    let damage = |path: &Path, at: usize| {
        let mut bytes = memory.read(path).unwrap();
        bytes[at] ^= 0x40;
        memory.create(path).unwrap().write_all(&bytes).unwrap();
    };
    let file = inspect(&memory, ROOT).unwrap().views[0].revisions[2].clone();
    damage(&file.path, 200);
    let store = open(&memory);
    let packed = |store: &Store| {
        let live = store.live("v").unwrap().into_iter();
        live.filter(|file| file.is_packed()).map(|file| file.day.0).collect::<Vec<_>>()
    };
    assert_eq!(packed(&store), [10, 11, 13, 14, 15, 16, 17]);
    let live = store.live("v").unwrap();
    damage(&live[0].path, 300);
    drop(store);
    let store = open(&memory);
    let bad = |file: &&LiveBatch| verify(&memory, file).is_err();
    let bad: Vec<i32> =
        store.live("v").unwrap().iter().filter(bad).map(|file| file.day.0).collect();
    assert_eq!(bad, [10, 12]);
    // Without the pack, each of its days is missing, and the others are there.
    memory.remove(&live[0].path).unwrap();
    drop(store);
    let store = open(&memory);
    let missing =
        store.live("v").unwrap().iter().filter(|file| verify(&memory, file).is_err()).count();
    assert_eq!(missing, 8);
}

#[test]
fn a_new_definition_leaves_no_packs() {
    let memory = Memory::default();
    ten_days(&memory);
    drop(open(&memory));
    let other = ViewRecord { definition: "sum(*)".to_owned(), ..view("v") };
    let config = StoreConfig::new(0, 1, vec![other]).logged(false);
    let refused = Store::open(Arc::new(memory.clone()), ROOT, config.clone());
    assert!(matches!(refused, Err(StoreError::ViewMismatch { .. })));
    let config = StoreConfig { rebuild: vec!["v".to_owned()], logged: true, ..config };
    // Without a log there is nothing to compute it from.
    assert!(Store::open(Arc::new(memory.clone()), ROOT, config).is_err());
    assert_eq!(names(&memory, "packs").len(), 1, "what is refused changes nothing");
}

#[test]
fn hours_are_swept_and_packed_like_days() {
    let memory = Memory::default();
    let hours = ViewRecord { grain: Grain::Hour, ..view("v") };
    let open = || {
        let config =
            StoreConfig { packing: PACKING, ..StoreConfig::new(0, 1, vec![hours.clone()]) };
        let store = Store::open(Arc::new(memory.clone()), ROOT, config).unwrap();
        store.begin().unwrap();
        store
    };
    let hour = |number: i64| Day::hour_from(number * 3_600_000).unwrap();
    let write = |store: &Store, number: i64| {
        let rows = [(3u64.hash64(), 3u64, N(number))];
        store.write_batch("v", hour(number), hour(number), 0, Coverage::ALL, 1, rows).unwrap()
    };
    let store = open();
    for number in 0..8 {
        store.prepare("v", hour(number), 0, vec![write(&store, number)]).unwrap();
        store.commit("v", hour(number), &[]).unwrap();
    }
    // Written, and never committed.
    write(&store, 8);
    drop(store);
    let store = open();
    assert_eq!((names(&memory, "packs").len(), names(&memory, "views").len()), (1, 2));
    let found: Vec<i64> = rows(&store).into_values().collect();
    assert_eq!(found, (0..8).collect::<Vec<_>>());
}

/// A process that is behind finds the hours that it had prepared.
#[test]
fn a_part_rolls_forward_by_hours() {
    let memory = Memory::default();
    let hours = ViewRecord { grain: Grain::Hour, ..view("v") };
    let start = || {
        let open = |process| {
            let config = StoreConfig::new(process, 2, vec![hours.clone()]);
            Store::open(Arc::new(memory.clone()), ROOT, config).unwrap()
        };
        let stores = [open(0), open(1)];
        stores.iter().for_each(|store| store.begin().unwrap());
        stores
    };
    let stores = start();
    let hour = Day::hour_from(7 * 3_600_000).unwrap();
    for (worker, store) in stores.iter().enumerate() {
        let coverage = Coverage::of_owner(worker, 2);
        let mut rows: Vec<(u64, u64)> = (0..100).map(|key: u64| (key.hash64(), key)).collect();
        rows.retain(|&(hash, _)| coverage.contains(partition(hash)));
        rows.sort_by_key(|&(hash, _)| sort_position(hash));
        let rows = rows.into_iter().map(|(hash, key)| (hash, key, N(1)));
        let entry = store.write_batch("v", hour, hour, worker, coverage, 100, rows).unwrap();
        store.prepare("v", hour, worker, vec![entry]).unwrap();
    }
    stores[0].commit("v", hour, &[]).unwrap();
    drop(stores);
    let stores = start();
    assert_eq!(stores[1].closed_through("v"), Some(hour));
    assert_eq!(rows(&stores[0]).len(), 100);
}
