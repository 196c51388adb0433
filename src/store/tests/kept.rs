//! What views no longer keep is removed, and refused from then on.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::*;
use crate::closing::Closing;
use crate::time::DayRange;
use crate::view::{KeptRevisions, Retention};

const DAY: Duration = Duration::from_secs(86_400);

fn open(memory: &Memory, keep: Option<Duration>, revisions: u32) -> Vec<Store> {
    let revisions = NonZeroU32::new(revisions).map(KeptRevisions::Newest);
    open_with(memory, Retention { keep, revisions, ..Retention::default() })
}

fn open_with(memory: &Memory, retention: Retention) -> Vec<Store> {
    let config = |process| StoreConfig {
        retention: [("v".to_owned(), retention)].into(),
        ..config(process, 2)
    };
    let open = |process| Store::open(Arc::new(memory.clone()), ROOT, config(process)).unwrap();
    let mut stores: Vec<Store> = (0..2).rev().map(open).collect();
    stores.reverse();
    stores.iter().for_each(|store| store.begin().unwrap());
    stores
}

/// Days 10 to 13; the first two have amendments.
fn folder() -> Memory {
    let memory = Memory::default();
    let stores = open(&memory, None, 0);
    for (day, closing) in [(10, 10), (11, 11), (10, 12), (12, 12), (11, 13), (10, 13), (13, 13)] {
        for (worker, store) in stores.iter().enumerate() {
            let entry = write(store, day, closing, worker, 2, 100, i64::from(100 * day + closing));
            store.prepare("v", Day(closing), worker, vec![entry]).unwrap();
        }
    }
    stores.iter().for_each(|store| store.commit("v", Day(13), &[]).unwrap());
    memory
}

fn files(memory: &Memory) -> Vec<String> {
    let all = contents(memory, Path::new(ROOT)).into_keys();
    let name = |path: PathBuf| Some(path.to_str()?.split_once("/v/")?.1.to_owned());
    let mut files: Vec<String> = all.filter_map(name).collect();
    files.sort();
    files
}

fn at(store: &Store, closing: i32) -> Result<usize, StoreError> {
    let holds = |_, found: Closing| found <= Closing::of(Day(closing));
    store.sealed("v", DayRange::ALL, holds).map(|live| live.len())
}

#[test]
fn old_periods_go_and_do_not_come_back() {
    let memory = folder();
    assert_eq!(files(&memory).len(), 14);
    drop(open(&memory, Some(3 * DAY), 0));
    let stores = open(&memory, Some(2 * DAY), 0);
    assert_eq!(stores[1].kept_from("v"), Day(12));
    assert_eq!(rows(&stores[0]), expect(&[(12, 1212), (13, 1313)]));
    assert_eq!(files(&memory).len(), 4, "{:?}", files(&memory));
    // Late events of a removed day do not count, and the next opening removes them.
    for (worker, store) in stores.iter().enumerate() {
        let entry = write(store, 11, 14, worker, 2, 100, 7);
        store.prepare("v", Day(14), worker, vec![entry]).unwrap();
    }
    stores.iter().for_each(|store| store.commit("v", Day(14), &[]).unwrap());
    assert_eq!(rows(&stores[0]), expect(&[(12, 1212), (13, 1313)]));
    assert_eq!(files(&memory).len(), 6);
    drop(stores);
    // A longer time, or none, brings nothing back.
    for keep in [Some(20 * DAY), None] {
        let stores = open(&memory, keep, 0);
        assert_eq!((stores[0].kept_from("v"), files(&memory).len()), (Day(12), 4));
        assert_eq!(rows(&stores[0]), expect(&[(12, 1212), (13, 1313)]));
    }
    let report = inspect(&memory, ROOT).unwrap();
    assert_eq!(report.views[0].kept_from, Some(Day(12)));
    // A shorter time takes effect, and leaves at least what was sealed last.
    let stores = open(&memory, Some(Duration::from_millis(1)), 0);
    // It counts back from the last day that has events: day 14 has closed without any.
    assert_eq!((stores[0].kept_from("v"), files(&memory).len()), (Day(13), 2));
    assert_eq!(stores[0].closed_through("v"), Some(Day(14)), "it is closed as before");
}

/// The others have their share of the same rows until they are started.
#[test]
fn what_one_process_has_removed_is_not_shown_of_the_others() {
    let memory = folder();
    let shown = || -> BTreeSet<(usize, Day)> {
        let report = inspect(&memory, ROOT).unwrap();
        report.views[0].revisions.iter().map(|batch| (batch.process, batch.day)).collect()
    };
    let days = |days: RangeInclusive<i32>| -> BTreeSet<(usize, Day)> {
        days.flat_map(|day| [(0, Day(day)), (1, Day(day))]).collect()
    };
    assert_eq!(shown(), days(10..=13));
    let retention = Retention { keep: Some(2 * DAY), ..Retention::default() };
    let config = StoreConfig { retention: [("v".to_owned(), retention)].into(), ..config(0, 2) };
    drop(Store::open(Arc::new(memory.clone()), ROOT, config).unwrap());
    let left = |part: &str| contents(&memory, &Path::new(ROOT).join(part).join("views/v")).len();
    assert!(left("part-0") < left("part-1"), "{} and {}", left("part-0"), left("part-1"));
    assert_eq!(shown(), days(12..=13));
}

#[test]
fn old_revisions_go_and_are_refused() {
    let memory = folder();
    let stores = open(&memory, None, 3);
    assert_eq!(files(&memory).len(), 14, "of no day there are more");
    assert_eq!(at(&stores[0], 11).unwrap(), 4);
    drop(stores);
    let stores = open(&memory, None, 2);
    assert_eq!(files(&memory).len(), 12);
    assert_eq!(rows(&stores[0]).len(), 400);
    assert_eq!(at(&stores[0], 12).unwrap(), 6);
    assert_eq!(at(&stores[0], 13).unwrap(), 8);
    let error = at(&stores[1], 11).unwrap_err();
    let is_it = matches!(&error, StoreError::Superseded { day: Day(10), since, .. }
        if *since == Closing::of(Day(12)));
    assert!(is_it, "{error}");
    // Days of which nothing was removed answer as before.
    let holds = |_, found: Closing| found <= Closing::of(Day(11));
    let others = DayRange::new(Day(11), Day(20));
    assert_eq!(stores[0].sealed("v", others, holds).unwrap().len(), 2);
    drop(stores);
    let stores = open(&memory, None, 1);
    assert_eq!(files(&memory).len(), 8);
    assert!(at(&stores[0], 12).is_err() && at(&stores[0], 13).is_ok());
    assert_eq!(rows(&stores[0])[&(Day(10), 3)], 1013);
}

#[test]
fn revisions_go_a_while_after_they_were_superseded() {
    // Day 10 was superseded with days 12 and 13, day 11 with day 13.
    for (span, left) in [(30 * DAY, 14), (2 * DAY, 14), (DAY, 12), (Duration::ZERO, 8)] {
        let memory = folder();
        let revisions = Some(KeptRevisions::Within(span));
        let stores = open_with(&memory, Retention { revisions, ..Retention::default() });
        assert_eq!(files(&memory).len(), left, "{span:?}");
        assert_eq!(at(&stores[0], 11).is_ok(), left > 12, "{span:?}");
        assert_eq!(at(&stores[0], 12).is_ok(), left > 8, "{span:?}");
        assert_eq!(rows(&stores[0])[&(Day(10), 3)], 1013);
    }
}

#[test]
fn one_generation_of_a_revision_is_enough() {
    let memory = folder();
    let stores = open(&memory, None, 0);
    for (worker, store) in stores.iter().enumerate() {
        let coverage = Coverage::of_owner(worker, 2);
        let rows: [(u64, u64, N); 0] = [];
        let entry = store.write_rebuilt("v", Day(13), Day(13), worker, coverage, 0, rows).unwrap();
        store.commit_rebuilt("v", vec![entry]).unwrap();
    }
    assert_eq!(files(&memory).len(), 16);
    drop(stores);
    let stores = open(&memory, None, 3);
    assert_eq!(files(&memory).len(), 14);
    assert_eq!(at(&stores[0], 11).unwrap(), 4, "no state was lost");
    assert!(rows(&stores[0]).keys().all(|(day, _)| *day < Day(13)));
}
