//! A thousand keys: encoding, decoding, and hashing, which every event needs.

use divan::{Bencher, black_box};

use dayfold::key::{Key, check_key_laws};

use crate::workload;

const COUNT: usize = 1_000;

/// A key made from a rank.
trait Sample: Key {
    fn of(rank: usize) -> Self;
}

impl Sample for u64 {
    fn of(rank: usize) -> u64 {
        workload::key(rank)
    }
}

impl Sample for String {
    fn of(rank: usize) -> String {
        format!("{:020}", workload::key(rank))
    }
}

impl Sample for (String, u32) {
    fn of(rank: usize) -> (String, u32) {
        (String::of(rank), rank as u32)
    }
}

/// The keys, after a check of some of them: encoded keys decode to the same keys, and hashes are those of the
/// encodings.
fn keys<K: Sample>() -> Vec<K> {
    let keys: Vec<K> = (0..COUNT).map(K::of).collect();
    check_key_laws(&keys[..50]);
    keys
}

#[divan::bench(types = [u64, String, (String, u32)])]
fn encode<K: Sample>(bencher: Bencher) {
    let keys = keys::<K>();
    let mut bytes = Vec::new();
    bencher.counter(COUNT).bench_local(|| {
        bytes.clear();
        keys.iter().for_each(|key| key.encode(&mut bytes));
        black_box(bytes.len())
    });
}

#[divan::bench(types = [u64, String, (String, u32)])]
fn decode<K: Sample>(bencher: Bencher) {
    let keys = keys::<K>();
    let mut bytes = Vec::new();
    keys.iter().for_each(|key| key.encode(&mut bytes));
    bencher.counter(COUNT).bench_local(|| {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            black_box(K::decode(&mut rest).unwrap());
        }
    });
}

#[divan::bench(types = [u64, String, (String, u32)])]
fn hash<K: Sample>(bencher: Bencher) {
    let keys = keys::<K>();
    bencher
        .counter(COUNT)
        .bench_local(|| keys.iter().fold(0, |sum: u64, key| sum.wrapping_add(key.hash64())));
}
