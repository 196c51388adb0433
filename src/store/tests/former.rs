//! Folders of version 0.1 have names of Rust types instead of ids.

use super::*;
use crate::aggregate::Count;
use crate::view::View;

const KEY: &str = "(alloc::string::String, u64)";
const AGGREGATE: &str = "dayfold::aggregate::count::Count";

/// The record as version 0.1 wrote it.
fn former(aggregate: &str) -> ViewRecord {
    let (key, aggregate) = (KEY.to_owned(), aggregate.to_owned());
    ViewRecord { key, aggregate, ..view("v") }
}

fn asks<K: Key, A: Aggregate>(process: usize) -> StoreConfig {
    let view = View::new("v").unwrap().defined_as("count(*)");
    let former = [("v".to_owned(), FormerNames::of::<K, A>())].into();
    StoreConfig { former, ..StoreConfig::new(process, 2, vec![ViewRecord::of::<K, A>(&view)]) }
}

type Both = (String, u64);

fn open<K: Key, A: Aggregate>(memory: &Memory, process: usize) -> Result<Store, StoreError> {
    Store::open(Arc::new(memory.clone()), ROOT, asks::<K, A>(process))
}

fn says(memory: &Memory, process: usize) -> (String, String) {
    let path = Path::new(ROOT).join(format!("part-{process}/manifest"));
    let found = manifest::read(memory, &path).unwrap().unwrap();
    let record = &found.state.views["v"].view;
    (record.key.clone(), record.aggregate.clone())
}

fn sealed(aggregate: &str) -> Memory {
    let memory = Memory::default();
    let config = |process| StoreConfig::new(process, 2, vec![former(aggregate)]);
    let open = |process| Store::open(Arc::new(memory.clone()), ROOT, config(process)).unwrap();
    let stores: Vec<Store> = (0..2).map(open).collect();
    stores.iter().for_each(|store| store.begin().unwrap());
    seal(&stores, 10, 10, 1, 2);
    stores.iter().for_each(|store| store.complete().unwrap());
    memory
}

#[test]
fn a_folder_of_version_0_1_is_read_and_has_ids_from_then_on() {
    let memory = sealed(AGGREGATE);
    let ids = ("tuple(text,u64)".to_owned(), "count".to_owned());
    let first = open::<Both, Count>(&memory, 0).unwrap();
    assert_eq!(says(&memory, 0), ids);
    // The other process was stopped before it opened its part: the parts differ, but mean the same.
    assert_eq!(says(&memory, 1), (KEY.to_owned(), AGGREGATE.to_owned()));
    let shown = crate::store::inspect(&memory, ROOT).unwrap().views.remove(0);
    assert_eq!((shown.record.key, shown.record.aggregate), ids.clone());
    assert_eq!(shown.revisions.len(), 2);
    drop(first);
    let stores = [0, 1].map(|process| open::<Both, Count>(&memory, process).unwrap());
    stores.iter().for_each(|store| store.begin().unwrap());
    assert_eq!(says(&memory, 1), ids);
    assert_eq!(stores[0].live("v").unwrap().len(), 2);
}

#[test]
fn another_type_is_refused_by_its_former_name() {
    let memory = sealed(AGGREGATE);
    let before = contents(&memory, Path::new(ROOT));
    let error = open::<(String, i64), Count>(&memory, 0).unwrap_err().to_string();
    let expected = format!("has key '{KEY}' on disk and 'tuple(text,i64)' in the program");
    assert!(error.contains(&expected), "{error}");
    let error = open::<Both, N>(&memory, 0).unwrap_err().to_string();
    assert!(error.contains("'n' in the program"), "{error}");
    assert!(contents(&memory, Path::new(ROOT)) == before);
}

#[test]
fn a_type_of_ones_own_is_known_by_its_name() {
    let memory = sealed(std::any::type_name::<N>());
    drop(open::<Both, N>(&memory, 0).unwrap());
    assert_eq!(says(&memory, 0).1, "n");
}
