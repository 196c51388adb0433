//! A folder keeps what its views look like, and that decides nothing.

use super::*;
use crate::aggregate::Count;
use crate::view::View;

fn config(columns: [&str; 2], definition: &str) -> StoreConfig {
    let view = View::new("v").unwrap().defined_as(definition).key_columns(columns).unwrap();
    let records = vec![ViewRecord::of::<(String, u8), Count>(&view)];
    let schemas = vec![ViewSchema::of::<(String, u8), Count>(&view).unwrap()];
    let rebuild = vec!["v".to_owned()];
    StoreConfig { logged: true, rebuild, schemas, ..StoreConfig::new(0, 1, records) }
}

fn open(memory: &Memory, config: StoreConfig) -> Store {
    Store::open(Arc::new(memory.clone()), ROOT, config).unwrap()
}

fn shown(memory: &Memory) -> (Option<String>, usize) {
    let view = crate::store::inspect(memory, ROOT).unwrap().views.remove(0);
    (view.schema.map(|schema| schema.key[0].name.clone()), view.revisions.len())
}

#[test]
fn names_may_change_and_what_is_sealed_stays() {
    let memory = Memory::default();
    let stores = [open(&memory, config(["a", "b"], "d"))];
    stores[0].begin().unwrap();
    assert_eq!(shown(&memory), (Some("a".to_owned()), 0));
    seal(&stores, 10, 10, 1, 1);
    drop(stores);
    // Known from the opening on, and after the manifest was written anew.
    drop(open(&memory, config(["c", "b"], "d")));
    drop(open(&memory, config(["c", "b"], "d")));
    assert_eq!(shown(&memory), (Some("c".to_owned()), 1));
    // A program that says nothing leaves what is there.
    drop(open(&memory, StoreConfig { schemas: Vec::new(), ..config(["x", "y"], "d") }));
    assert_eq!(shown(&memory), (Some("c".to_owned()), 1));
}

#[test]
fn a_view_that_is_defined_anew_looks_as_it_is_now() {
    let memory = Memory::default();
    let store = open(&memory, config(["a", "b"], "old"));
    store.begin().unwrap();
    drop(store);
    drop(open(&memory, StoreConfig { schemas: Vec::new(), ..config(["a", "b"], "new") }));
    assert_eq!(shown(&memory).0, None, "what it looked like was of the old definition");
    drop(open(&memory, config(["a", "b"], "newer")));
    assert_eq!(shown(&memory).0.as_deref(), Some("a"));
}
