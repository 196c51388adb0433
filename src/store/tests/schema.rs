//! A folder stores the schemas of its views; they decide nothing.

use super::*;
use crate::aggregate::Count;
use crate::rows::{RowOptions, SealedRows};
use crate::schema::Value;
use crate::schema::ViewSchema;
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
    // Known from the opening on, and after the manifest was rewritten.
    drop(open(&memory, config(["c", "b"], "d")));
    drop(open(&memory, config(["c", "b"], "d")));
    assert_eq!(shown(&memory), (Some("c".to_owned()), 1));
    // A program without schemas leaves the stored ones in place.
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

/// A day of many sections, sealed by two workers. An amendment replaced the half of one of them.
#[test]
fn rows_are_read_in_the_order_of_keys_and_each_once() {
    const KEYS: u64 = 20_000;
    let memory = Memory::default();
    let record = ViewRecord { aggregate: "count".to_owned(), ..view("v") };
    let config = StoreConfig::new(0, 1, vec![record]);
    let store = open(&memory, config);
    store.begin().unwrap();
    for (closing, worker_count, value) in [(10, 2, 1), (12, 1, 2)] {
        let entries = (0..2).map(|worker| {
            (worker < worker_count).then(|| write(&store, 10, closing, worker, 2, KEYS, value))
        });
        for (worker, entry) in entries.collect::<Vec<_>>().into_iter().enumerate() {
            store.prepare("v", Day(closing), worker, entry.into_iter().collect()).unwrap();
        }
        store.commit("v", Day(closing), &[]).unwrap();
    }
    let report = crate::store::inspect(&memory, ROOT).unwrap();
    let mut next = 0;
    let rows = SealedRows::new(&memory, &report.views[0], RowOptions::default());
    let names: Vec<String> = rows.columns().into_iter().map(|column| column.name).collect();
    assert_eq!(names, ["day", "key", "count", "sealed"], "what the ids say");
    let each = rows.each(&mut |row| {
        let is_amended = Coverage::of_owner(0, 2).contains(partition(u64::hash64(&next)));
        let count = if is_amended { 2 } else { 1 };
        let [day, sealed] = [Value::Date(Day(10)), Value::Boolean(true)];
        assert_eq!(row, [day, Value::Integer(next.into()), Value::Integer(count), sealed]);
        next += 1;
        Ok(())
    });
    each.unwrap();
    assert_eq!(next, KEYS);

    // A record that contradicts what is written.
    let mut lie = report.views[0].clone();
    for (key, aggregate, what) in [("text", "count", "key"), ("u64", "distinct", "aggregate")] {
        (lie.record.key, lie.record.aggregate) = (key.to_owned(), aggregate.to_owned());
        let rows = SealedRows::new(&memory, &lie, RowOptions::default());
        let error = rows.each(&mut |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains(&format!("the {what} of a row of 1970-01-11")), "{error}");
    }
}
