//! Exports of data folders, as readers see them.

#[cfg(feature = "catalog")]
mod catalog;
mod digits;
mod faulty;
mod file;
mod folder;
mod iceberg;
mod past;
mod read;
#[cfg(feature = "rows")]
mod rows;
mod writers;

use std::collections::BTreeSet;

use dayfold::time::Grain;
use dayfold_lake::{Export, Exporter, ExporterOptions, Lake, LakeError, LakeOptions, Layout};
use folder::Folder;
use read::Reader;

fn options(layout: Layout) -> LakeOptions {
    LakeOptions::default().layout(layout)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

const LAYOUTS: [Layout; 2] = [Layout::Iceberg, Layout::Hive];

#[test]
fn oracle_what_readers_find() {
    for layout in LAYOUTS {
        let mut folder = Folder::new();
        let lake = tempfile::tempdir().expect("a folder");
        let url = format!("file://{}", lake.path().display());
        // Unusual keys, an event without a number, and a second run that amends.
        folder.run(&[
            (0, "a", Some("1.5")),
            (0, "é,\"", None),
            (1, "a", Some("-2")),
            (1, "", Some("7")),
        ]);
        let exporting = Lake::open(&url, options(layout)).expect("a lake");
        let done = block_on(exporting.export(folder.path(), "readings")).expect("an export");
        assert_eq!((done.written, done.unchanged, done.rows), (2, 0, 4), "{layout:?}");
        let reader = Reader::new(lake.path().join("readings"), layout);
        assert_eq!(reader.rows(), folder.expected(), "{layout:?}");

        let again = block_on(exporting.export(folder.path(), "readings")).expect("an export");
        assert_eq!(
            (again.written, again.unchanged),
            (0, 2),
            "{layout:?}: nothing is written twice"
        );

        folder.run(&[(1, "a", Some("3.25")), (3, "b", Some("4"))]);
        let after = block_on(exporting.export(folder.path(), "readings")).expect("an export");
        assert_eq!(
            (after.written, after.unchanged),
            (2, 1),
            "{layout:?}: a new day and an amended one"
        );
        assert_eq!(reader.rows(), folder.expected(), "{layout:?}");

        let audit = block_on(exporting.audit(folder.path(), "readings", false)).expect("an audit");
        assert_eq!((audit.compared, audit.wrong), (3, Vec::new()), "{layout:?}");
    }
}

#[test]
fn oracle_views_of_other_grains() {
    // Hours of Kolkata begin at half past.
    let grains = Grain::ALL.into_iter().map(|grain| (grain, "UTC"));
    let grains = grains.chain([(Grain::Hour, "Asia/Kolkata"), (Grain::Week, "America/New_York")]);
    for (layout, (grain, zone)) in
        LAYOUTS.into_iter().flat_map(|layout| grains.clone().map(move |grain| (layout, grain)))
    {
        let about = format!("{layout:?}, {grain} of {zone}");
        let mut folder = Folder::by(grain, zone);
        let lake = tempfile::tempdir().expect("a folder");
        let url = format!("file://{}", lake.path().display());
        let exporting = Lake::open(&url, options(layout)).expect("a lake");
        let export = |folder: &Folder| {
            block_on(exporting.export(folder.path(), "readings")).expect("an export")
        };
        let reader = Reader::new(lake.path().join("readings"), layout);
        let periods = |folder: &Folder| {
            let periods: BTreeSet<i32> = folder.expected().iter().map(|row| row.0).collect();
            periods.len() as u64
        };
        folder.run(&[(0, "a", Some("1.5")), (100, "b", None), (400, "a", Some("2"))]);
        assert_eq!(export(&folder).written, periods(&folder), "{about}");
        assert_eq!(reader.rows(), folder.expected(), "{about}");
        // An amended period and a new one.
        folder.run(&[(100, "a", Some("3")), (800, "a", Some("4"))]);
        let (done, all) = (export(&folder), periods(&folder));
        assert_eq!((done.written, done.unchanged), (2, all - 2), "{about}");
        assert_eq!(reader.rows(), folder.expected(), "{about}");
        let audit = block_on(exporting.audit(folder.path(), "readings", false)).expect("an audit");
        assert_eq!((audit.compared, audit.wrong), (all, Vec::new()), "{about}");
        let again = Lake::open(&url, options(layout)).expect("a lake");
        let again = block_on(again.export(folder.path(), "readings")).expect("an export");
        assert_eq!((again.written, again.unchanged), (0, all), "{about}");
    }
}

#[test]
fn a_table_of_another_grain_is_left_alone() {
    for layout in LAYOUTS {
        let lake = tempfile::tempdir().expect("a folder");
        let url = format!("file://{}", lake.path().display());
        let exporting = Lake::open(&url, options(layout)).expect("a lake");
        let (mut by_day, mut by_month) = (Folder::new(), Folder::by(Grain::Month, "UTC"));
        by_day.run(&[(0, "a", Some("1"))]);
        by_month.run(&[(0, "a", Some("1"))]);
        block_on(exporting.export(by_day.path(), "readings")).expect("an export");
        let error = block_on(exporting.export(by_month.path(), "readings")).expect_err("days");
        assert!(error.to_string().contains("for each month"), "{error}");
        let reader = Reader::new(lake.path().join("readings"), layout);
        assert_eq!(reader.rows(), by_day.expected());
    }
}

#[test]
fn damage_in_the_lake_is_found_and_mended() {
    for layout in LAYOUTS {
        let mut folder = Folder::new();
        let lake = tempfile::tempdir().expect("a folder");
        let url = format!("file://{}", lake.path().display());
        folder.run(&[(0, "a", Some("1")), (1, "a", Some("2")), (2, "a", Some("3"))]);
        let exporting = Lake::open(&url, options(layout)).expect("a lake");
        block_on(exporting.export(folder.path(), "readings")).expect("an export");
        let reader = Reader::new(lake.path().join("readings"), layout);
        let files = reader.files();
        std::fs::remove_file(&files[0]).expect("a file");
        let mut bytes = std::fs::read(&files[1]).expect("a file");
        let middle = bytes.len() / 4;
        bytes[middle] ^= 0xFF;
        std::fs::write(&files[1], bytes).expect("a file");

        let audit = block_on(exporting.audit(folder.path(), "readings", true)).expect("an audit");
        assert_eq!((audit.compared, audit.wrong.len()), (3, 2), "{layout:?}: {:?}", audit.wrong);
        let audit = block_on(exporting.audit(folder.path(), "readings", false)).expect("an audit");
        assert_eq!((audit.compared, audit.wrong), (3, Vec::new()), "{layout:?}: mended");
        // Damage anywhere is found or without effect on the rows, and never a panic.
        let good = std::fs::read(&files[2]).expect("a file");
        let mut found = 0;
        for at in (0..good.len()).step_by(13) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&files[2], bytes).expect("a file");
            let audit = block_on(exporting.audit(folder.path(), "readings", false));
            found += audit.expect("an audit").wrong.len();
        }
        assert!(found > 20, "{layout:?}: {found}");
        std::fs::write(&files[2], good).expect("a file");
        assert_eq!(reader.rows(), folder.expected());
    }
}

#[test]
fn an_exporter_follows_the_folder() {
    let mut folder = Folder::new();
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    folder.run(&[(0, "a", Some("1"))]);
    let exporting = Lake::open(&url, options(Layout::Iceberg)).expect("a lake");
    let every = ExporterOptions::default().every(std::time::Duration::from_millis(5));
    let exporter = Exporter::start(exporting, folder.path(), ["readings".to_owned()], every);
    let exporter = exporter.expect("a thread");
    let wait_for = |days: u64| {
        while exporter.status()["readings"].exported < days {
            assert_eq!(exporter.status()["readings"].error, None);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    wait_for(1);
    folder.run(&[(0, "b", Some("2")), (5, "b", Some("3"))]);
    wait_for(2);
    let status = exporter.status().remove("readings").expect("the view");
    assert_eq!((status.waiting, status.failures), (0, 0));
    // Pushed days close with the wall clock.
    assert!(status.through > Some(dayfold::time::Day(5)), "{:?}", status.through);
    exporter.stop();
    let reader = Reader::new(lake.path().join("readings"), Layout::Iceberg);
    assert_eq!(reader.rows(), folder.expected());
}

#[test]
fn a_folder_with_nothing_sealed_is_no_failure() {
    let mut folder = Folder::new();
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    folder.run(&[]);
    let exporting = Lake::open(&url, options(Layout::Iceberg)).expect("a lake");
    let asked = block_on(exporting.export(folder.path(), "readings")).expect("an export");
    assert_eq!(asked, Export::default());
    assert!(!lake.path().join("readings").exists(), "nothing is written");
    let every = ExporterOptions::default().every(std::time::Duration::from_millis(5));
    let exporter = Exporter::start(exporting, folder.path(), ["readings".to_owned()], every);
    let exporter = exporter.expect("a thread");
    let look = || {
        let status = exporter.status().remove("readings").expect("the view");
        assert_eq!((status.failures, &status.error), (0, &None));
        std::thread::sleep(std::time::Duration::from_millis(5));
        status
    };
    while look().in_step.is_none() {}
    let status = look();
    assert_eq!((status.exported, status.waiting, status.through), (0, 0, None));
    folder.run(&[(0, "a", Some("1"))]);
    while look().exported < 1 {}
    exporter.stop();
    let reader = Reader::new(lake.path().join("readings"), Layout::Iceberg);
    assert_eq!(reader.rows(), folder.expected());
}

#[test]
fn what_cannot_be_used_is_said() {
    let refused = |url: &str| match Lake::open(url, LakeOptions::default()) {
        Err(error @ LakeError::Url { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{url} was opened"),
    };
    assert!(refused("nowhere").contains("expected file:///folder"));
    assert!(refused("ftp://host/x").contains("unknown scheme 'ftp'"));
    let secret = refused("s3://key:secret@bucket/x");
    assert!(secret.contains("variables") && !secret.contains("secret@"), "{secret}");

    let mut folder = Folder::new();
    folder.run(&[(0, "a", Some("1"))]);
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    let exporting = Lake::open(&url, LakeOptions::default()).expect("a lake");
    let error = block_on(exporting.export(folder.path(), "reading")).expect_err("no such view");
    assert_eq!(error.to_string(), "the folder has no view 'reading': it has readings");
}
