//! What a data folder can be started from again.

use std::collections::BTreeMap;

use dayfold::time::Day;
use dayfold_lake::{Lake, LakeOptions, Past};

use super::block_on;
use super::folder::Folder;

/// As if so many records of the one source had been read when the view's periods closed.
fn lake(url: &str, options: LakeOptions, next: u64) -> Lake {
    let positions = move |view: &str, _| {
        assert_eq!(view, "readings");
        Some(BTreeMap::from([("s/0".to_owned(), next)]))
    };
    Lake::open(url, options).expect("a lake").positions(positions)
}

fn states(lake: &Lake, past: &Past) -> Vec<Vec<u8>> {
    let mut states = Vec::new();
    for file in past.files() {
        let mut rows = block_on(lake.past_rows("readings", file.path())).expect("a file");
        let before = states.len() as u64;
        while let Some(state) = rows.next_state().expect("a whole file") {
            states.push(state.to_vec());
        }
        assert_eq!(states.len() as u64 - before, file.rows());
    }
    states
}

#[test]
fn a_table_has_the_states_of_all_that_was_sealed_at_a_position() {
    let mut folder = Folder::new();
    let at = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", at.path().display());
    // More days than one commit takes.
    let readings: Vec<_> = (0..100).map(|day| (day, "a", Some("1"))).collect();
    folder.run(&readings);
    let with_states = LakeOptions::default().states(true).days_per_commit(64);
    let past = |lake: &Lake| block_on(lake.past("readings")).expect("a table");
    let export = |lake: &Lake| block_on(lake.export(folder.path(), "readings")).expect("an export");

    // Without states, or without positions, nothing can be started from.
    let plain = lake(&url, LakeOptions::default(), 1);
    assert_eq!(past(&plain), None, "there is no table");
    export(&plain);
    assert_eq!(past(&plain), None);
    let unknown = Lake::open(&url, with_states.clone()).expect("a lake").positions(|_, _| None);
    assert_eq!(export(&unknown).written, 100, "files with states are others");
    assert_eq!(past(&unknown), None);

    let first = lake(&url, with_states.clone(), 150);
    assert_eq!(export(&first).written, 0);
    let found = past(&first).expect("a state");
    assert_eq!(found.positions(), &BTreeMap::from([("s/0".to_owned(), 150)]));
    assert_eq!(found.calendar(), ("UTC", "day"));
    assert!(found.through() > Day(99), "pushed days close with the wall clock");
    let before = states(&first, &found);
    assert_eq!(before.len(), 100);
    let snapshots =
        std::fs::read_dir(at.path().join("readings/metadata")).expect("a folder").count();
    export(&first);
    let again = std::fs::read_dir(at.path().join("readings/metadata")).expect("a folder").count();
    assert_eq!(snapshots, again, "nothing has changed");

    // Days are amended: as long as no positions are known of that, the former state counts.
    folder.run(&[(0, "a", Some("2")), (1, "b", Some("2"))]);
    let export = |lake: &Lake| block_on(lake.export(folder.path(), "readings")).expect("an export");
    assert_eq!(export(&unknown).written, 2);
    assert_eq!(past(&unknown).as_ref(), Some(&found));
    assert_eq!(states(&unknown, &found), before);
    let second = lake(&url, with_states, 152);
    export(&second);
    let found = past(&second).expect("a state");
    assert_eq!(found.positions()["s/0"], 152);
    let after = states(&second, &found);
    assert_eq!(after.len(), 101);
    assert_eq!(after.iter().filter(|state| !before.contains(state)).count(), 2);
}
