//! The file of a day of 55,000 keys: writing, reading all of it, and looking up one key over several files.

use std::io::Write;
use std::path::Path;

use divan::Bencher;

use dayfold::batch::{BatchView, Coverage};
use dayfold::store::{Disk, Storage};
use tempfile::TempDir;

use crate::is_short;
use crate::workload::sealed::{self, KEYS};
use crate::workload::{self, SplitMix, State};

/// Ends the program unless the file is whole and has each key's row.
fn check(bytes: Vec<u8>, day: i32, keys: &[u64]) {
    let view = BatchView::<u64, State>::open(bytes.into()).unwrap();
    view.verify().unwrap();
    let rows =
        view.scan(&Coverage::ALL).map(|row| row.map(|(_, key, state)| (key, state)).unwrap());
    assert!(rows.eq(keys.iter().map(|&key| (key, sealed::state(day, key)))), "wrong rows");
}

#[divan::bench]
fn write_in_memory(bencher: Bencher) {
    let keys = sealed::keys();
    check(sealed::bytes(1, &keys), 1, &keys);
    bencher.counter(KEYS).bench(|| sealed::bytes(1, &keys));
}

/// Writes in memory, and then to the disk, including the sync.
#[divan::bench(sample_count = 30, sample_size = 1)]
fn write_and_sync(bencher: Bencher) {
    let folder = TempDir::new().unwrap();
    let (keys, path) = (sealed::keys(), folder.path().join("day"));
    let write = |path: &Path| {
        let mut file = Disk.create(path).unwrap();
        file.write_all(&sealed::bytes(1, &keys)).unwrap();
        file.sync().unwrap();
    };
    write(&path);
    check(Disk.read(&path).unwrap(), 1, &keys);
    bencher.counter(KEYS).bench_local(|| write(&path));
}

#[divan::bench]
fn read_whole(bencher: Bencher) {
    let keys = sealed::keys();
    let bytes = sealed::bytes(1, &keys);
    check(bytes.clone(), 1, &keys);
    let view = BatchView::<u64, State>::open(bytes.into()).unwrap();
    bencher.counter(KEYS).bench(|| {
        let rows = view.scan(&Coverage::ALL).map(|row| row.unwrap().2.0.0);
        rows.fold(0, i64::wrapping_add)
    });
}

/// A random key, over files that are mapped and were read before. (A short run has a month of them.)
#[divan::bench(args = [7, 365])]
fn read_a_key_over_days(bencher: Bencher, days: i32) {
    let days = if is_short() { days.min(30) } else { days };
    let folder = TempDir::new().unwrap();
    let views = sealed::mapped(folder.path(), days);
    for rank in 0..KEYS {
        let key = workload::key(rank);
        // All keys for a week; for a year, keys that touch each section.
        if days == 7 || rank % 50 == 0 {
            let found = sealed::read(&views, key);
            assert_eq!(found, sealed::total(0, days, key), "the reads of key {key} are wrong");
        }
    }
    let mut random = SplitMix(7);
    bencher
        .with_inputs(move || workload::key(random.next() as usize % KEYS))
        .bench_local_values(|key| sealed::read(&views, key));
}
