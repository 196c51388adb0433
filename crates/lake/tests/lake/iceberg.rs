//! Tests of the snapshots of a table, and of their removal.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use dayfold_lake::{Lake, LakeError, Layout};

use crate::folder::Folder;
use crate::read::Reader;
use crate::{block_on, options};

#[test]
fn snapshots_say_what_they_did() {
    let mut folder = Folder::new();
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    let exporting = Lake::open(&url, options(Layout::Iceberg)).expect("a lake");
    let exporting = exporting.late_events(|view| (view == "readings").then_some(7));
    folder.run(&[(0, "a", Some("1")), (1, "b", Some("2"))]);
    block_on(exporting.export(folder.path(), "readings")).expect("an export");
    folder.run(&[(1, "c", Some("2")), (1, "a", Some("1"))]);
    block_on(exporting.export(folder.path(), "readings")).expect("an export");

    let reader = Reader::new(lake.path().join("readings"), Layout::Iceberg);
    let metadata = reader.metadata().expect("a table");
    let snapshots = metadata["snapshots"].as_array().expect("a list");
    let said = |at: usize, name: &str| snapshots[at]["summary"][name].as_str().map(str::to_owned);
    assert_eq!(said(0, "operation").as_deref(), Some("append"));
    assert_eq!(said(0, "total-records").as_deref(), Some("2"));
    assert_eq!(said(1, "operation").as_deref(), Some("overwrite"));
    assert_eq!(said(1, "deleted-data-files").as_deref(), Some("1"));
    assert_eq!(said(1, "total-data-files").as_deref(), Some("2"));
    assert_eq!(said(1, "total-records").as_deref(), Some("4"));
    // Pushed days close with the wall clock.
    let through = said(1, "dayfold.sealed-through").expect("a day");
    assert!(through.parse::<dayfold::time::Day>().is_ok_and(|day| day.0 > 1), "{through}");
    assert_eq!(said(1, "dayfold.late-events").as_deref(), Some("7"));
    // Late events are a revision of their own, before the day that they came on closes.
    let (first, second) = (said(0, "dayfold.revision"), said(1, "dayfold.revision"));
    assert!(first.is_some() && first <= second, "{first:?} {second:?}");
    assert_eq!(metadata["last-sequence-number"], 2);
    let hint = std::fs::read_to_string(lake.path().join("readings/metadata/version-hint.text"));
    assert_eq!(hint.expect("a hint"), "2");
}

#[test]
fn old_snapshots_go_and_what_only_they_name() {
    let mut folder = Folder::new();
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    let two = options(Layout::Iceberg).snapshots(2);
    let exporting = Lake::open(&url, two).expect("a lake");
    let reader = Reader::new(lake.path().join("readings"), Layout::Iceberg);
    for _ in 0..3 {
        folder.run(&[(0, "a", Some("1")), (1, "b", Some("2"))]);
        block_on(exporting.export(folder.path(), "readings")).expect("an export");
    }
    // Objects younger than an hour may belong to a commit in progress.
    let data = || parquet_files(lake.path());
    assert_eq!(data().len(), 6);
    let old = SystemTime::now() - Duration::from_secs(7_200);
    for path in data() {
        let file = std::fs::File::options().write(true).open(path).expect("a file");
        file.set_modified(old).expect("a time");
    }
    folder.run(&[(0, "a", Some("1"))]);
    block_on(exporting.export(folder.path(), "readings")).expect("an export");
    // Two of the four snapshots remain: the last one replaced one of the two days.
    let metadata = reader.metadata().expect("a table");
    assert_eq!(metadata["snapshots"].as_array().map(Vec::len), Some(2));
    assert_eq!(data().len(), 3);
    assert_eq!(reader.rows(), folder.expected());
}

fn parquet_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|of| of == "parquet") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_table_of_another_program_is_left_alone() {
    let mut folder = Folder::new();
    folder.run(&[(0, "a", Some("1"))]);
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    let exporting = Lake::open(&url, options(Layout::Iceberg)).expect("a lake");
    block_on(exporting.export(folder.path(), "readings")).expect("an export");
    let path = lake.path().join("readings/metadata/v1.metadata.json");
    let text = std::fs::read_to_string(&path).expect("metadata");
    std::fs::write(&path, text.replace("dayfold.view", "else.view")).expect("a file");
    let error = block_on(exporting.export(folder.path(), "readings")).expect_err("not ours");
    assert!(matches!(error, LakeError::Table { .. }), "{error}");
    assert!(error.to_string().contains("belongs to another view"), "{error}");
}

#[test]
fn a_reader_never_sees_a_mixed_day_in_a_thousand_looks() {
    const LOOKS: u64 = 1_000;
    let mut folder = Folder::new();
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    let table = lake.path().join("readings");
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let reader = Reader::new(table.clone(), Layout::Iceberg);
            let (mut seen, mut looks) = (BTreeSet::new(), 0);
            // Reads of a table that does not exist yet do not count.
            while looks < LOOKS || seen.len() < 3 {
                let rows = reader.rows();
                looks += u64::from(!rows.is_empty());
                // Each run adds an event to each of three keys of each of two days.
                let counts: Vec<i64> = rows.iter().map(|row| row.2).collect();
                assert!(counts.is_empty() || counts.len() == 6, "{rows:?}");
                assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{rows:?}");
                seen.extend(counts.first().copied());
            }
            (looks, seen.len())
        });
        let exporting = Lake::open(&url, options(Layout::Iceberg)).expect("a lake");
        let mut amendments = 0;
        while !reading.is_finished() {
            let keys = ["a", "b", "c"];
            let readings: Vec<_> =
                [0, 1].into_iter().flat_map(|day| keys.map(|key| (day, key, Some("1")))).collect();
            folder.run(&readings);
            block_on(exporting.export(folder.path(), "readings")).expect("an export");
            amendments += 1;
        }
        let (looks, seen) = reading.join().expect("no mixed day");
        println!("{looks} looks during {amendments} amendments saw {seen} versions");
    });
}
