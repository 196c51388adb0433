//! Names of one zone, and zone data that changes with a release.

use super::*;
use crate::zones::{RELEASE, ZoneData};

const FACT: &str = "zone data of view v";

fn try_open_in(memory: &Memory, zone: &str) -> Result<Store, StoreError> {
    let views = vec![ViewRecord { zone: zone.to_owned(), ..view("v") }];
    let config = StoreConfig { logged: true, ..StoreConfig::new(0, 1, views) };
    Store::open(Arc::new(memory.clone()), ROOT, config)
}

fn open_in(memory: &Memory, zone: &str) -> Store {
    let store = try_open_in(memory, zone).unwrap();
    store.begin().unwrap();
    store
}

/// A folder of `zone` with a sealed day, made when an older release had for this zone the data that `other` has now.
fn older(zone: &str, other: &str) -> Memory {
    let memory = Memory::default();
    let store = open_in(&memory, zone);
    assert_eq!(store.fact(FACT), Some(ZoneData::of(zone).unwrap().write()));
    seal(std::slice::from_ref(&store), 10, 10, 1, 1);
    let mut data = ZoneData::of(other).unwrap();
    data.release = "1996a".to_owned();
    store.set_fact(FACT, data.write()).unwrap();
    memory
}

/// The release that a folder reports, and the days that differ.
fn shown(memory: &Memory) -> (Option<String>, Vec<Day>) {
    let report = crate::store::inspect(memory, ROOT).unwrap();
    assert!(report.parts.iter().all(|part| part.facts.is_empty()), "facts of the store's own");
    (report.views[0].zone_data.clone(), report.views[0].changed_days.clone())
}

#[test]
fn names_of_one_zone_open_each_others_folders() {
    for names in [["UTC", "Etc/UTC"], ["Asia/Calcutta", "Asia/Kolkata"]] {
        let memory = Memory::default();
        for name in names.into_iter().chain(names) {
            let store = open_in(&memory, name);
            if store.state() == RunState::Fresh {
                seal(&[store], 10, 10, 1, 1);
            } else {
                assert_eq!(store.live("v").unwrap().len(), 1);
            }
        }
        let error = try_open_in(&memory, "America/New_York").unwrap_err();
        assert!(error.to_string().contains("'America/New_York' in the program"), "{error}");
    }
}

#[test]
fn a_release_that_changes_no_sealed_day_is_kept_in_the_place_of_the_older_one() {
    let memory = older("Europe/Vienna", "Europe/Vienna");
    assert_eq!(shown(&memory), (Some("1996a".to_owned()), vec![]));
    let store = open_in(&memory, "Europe/Vienna");
    assert_eq!(store.fact(FACT), Some(ZoneData::of("Europe/Vienna").unwrap().write()));
    assert_eq!(shown(&memory), (Some(RELEASE.to_owned()), vec![]));
}

#[test]
fn a_release_that_changes_sealed_days_is_said_until_they_are_computed_anew() {
    let memory = older("Europe/Vienna", "Asia/Kolkata");
    let changed = (Some("1996a".to_owned()), vec![Day(10)]);
    for _ in 0..2 {
        assert_eq!(shown(&memory), changed);
        drop(open_in(&memory, "Europe/Vienna"));
    }
    let view =
        ViewRecord { zone: "Europe/Vienna".to_owned(), definition: "2".to_owned(), ..view("v") };
    let rebuild = vec!["v".to_owned()];
    let config = StoreConfig { logged: true, rebuild, ..StoreConfig::new(0, 1, vec![view]) };
    let store = Store::open(Arc::new(memory.clone()), ROOT, config).unwrap();
    store.begin().unwrap();
    assert_eq!(shown(&memory), (Some(RELEASE.to_owned()), vec![]));
}
