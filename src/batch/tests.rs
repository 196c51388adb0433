//! The laws of the format: reading returns what was written, and damage is an error or changes nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;

use differential_dataflow::difference::{IsZero, Semigroup};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::aggregate::Aggregate;
use crate::key::{Key, KeyRange, encoded, partition, sort_position};
use crate::time::Day;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct N(i64);

impl IsZero for N {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Semigroup for N {
    fn plus_equals(&mut self, other: &N) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl Aggregate for N {
    fn id() -> String {
        "n".to_owned()
    }
}

fn meta(coverage: Coverage) -> BatchMeta {
    BatchMeta { view: "visits".to_owned(), day: Day(15_706), closing: Day(15_707), coverage }
}

fn in_file_order<K: Key>(rows: &BTreeMap<K, i64>, coverage: Coverage) -> Vec<(u64, K, N)> {
    let rows = rows.iter().map(|(key, &n)| (key.hash64(), key.clone(), N(n)));
    let mut rows: Vec<_> = rows.filter(|row| coverage.contains(partition(row.0))).collect();
    rows.sort_by_key(|(hash, key, _)| (sort_position(*hash), encoded(key)));
    rows
}

fn write<K: Key>(
    rows: &[(u64, K, N)],
    coverage: Coverage,
    expected: u64,
) -> (Vec<u8>, BatchSummary) {
    let rows = rows.iter().cloned();
    let (bytes, summary) = write_rows(Vec::new(), meta(coverage), expected, rows).unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    (bytes, summary)
}

fn open<K: Key>(bytes: Vec<u8>) -> BatchView<K, N> {
    BatchView::open(bytes.into()).unwrap()
}

/// Compares everything in the file, read in every way, with the rows that were written.
fn check<K: Key>(map: &BTreeMap<K, i64>, expected: u64, ranges: &[KeyRange], part: Coverage) {
    let rows = in_file_order(map, Coverage::ALL);
    let (bytes, summary) = write(&rows, Coverage::ALL, expected);
    let view = open::<K>(bytes);
    assert_eq!(view.meta(), &meta(Coverage::ALL));
    assert_eq!((view.rows(), view.summary()), (map.len() as u64, summary));
    view.verify().unwrap();
    for (hash, key, n) in &rows {
        assert_eq!(view.get(*hash, &encoded(key)).unwrap().as_ref(), Some(n));
    }
    let scanned: Result<Vec<_>, _> = view.scan(&Coverage::ALL).collect();
    assert_eq!(scanned.unwrap(), rows);
    let scanned: Result<Vec<_>, _> = view.scan(&part).collect();
    assert_eq!(scanned.unwrap(), in_file_order(map, part));
    for range in ranges.iter().chain([&KeyRange::all()]) {
        let mut found = BTreeMap::new();
        let visit = |hash, key: K, n: N| {
            assert_eq!(hash, key.hash64());
            assert!(found.insert(key, n.0).is_none(), "visited twice");
        };
        view.range(range, &part, visit).unwrap();
        let mut expect = map.clone();
        expect.retain(|key, _| {
            range.contains(&encoded(key)) && part.contains(partition(key.hash64()))
        });
        assert_eq!(found, expect, "{range:?}");
        check_total(map, &view, range);
    }
}

/// A total, if the file has one, equals that of the rows; no total is used if only a part of the file counts.
fn check_total<K: Key>(map: &BTreeMap<K, i64>, view: &BatchView<K, N>, range: &KeyRange) {
    let Some(prefix) = Prefix::of::<K>(range) else { return };
    let within = map.iter().filter(|(key, _)| range.contains(&encoded(*key)));
    let expect = within.map(|(_, n)| *n).reduce(i64::wrapping_add).map(N);
    match view.total(prefix, &Coverage::ALL).unwrap() {
        Total::Kept(total) => assert_eq!(total, expect, "{range:?}"),
        Total::NotKept => {}
    }
    assert_eq!(view.total(prefix, &Coverage::of_owner(1, 2)).unwrap(), Total::NotKept);
}

#[test]
fn totals_are_kept_of_leading_columns_as_long_as_they_are_few() {
    let total = |map: &BTreeMap<(u8, u16, u8), i64>, range: KeyRange| {
        let view = open::<(u8, u16, u8)>(
            write(&in_file_order(map, Coverage::ALL), Coverage::ALL, map.len() as u64).0,
        );
        view.verify().unwrap();
        view.total(Prefix::of::<(u8, u16, u8)>(&range).unwrap(), &Coverage::ALL).unwrap()
    };
    let map: BTreeMap<_, _> =
        (0..400u64).map(|n| (((n % 2) as u8, (n % 40) as u16, (n / 40) as u8), n as i64)).collect();
    let sum = |is_in: fn(&(u8, u16, u8)) -> bool| {
        Total::Kept(Some(N(map.iter().filter(|(key, _)| is_in(key)).map(|(_, n)| n).sum())))
    };
    assert_eq!(total(&map, KeyRange::all()), sum(|_| true));
    assert_eq!(total(&map, KeyRange::within(&1u8)), sum(|key| key.0 == 1));
    assert_eq!(total(&map, KeyRange::within(&(1u8, 3u16))), sum(|key| key.1 == 3));
    assert_eq!(total(&map, KeyRange::within(&(1u8, 4u16))), Total::Kept(None));
    assert_eq!(total(&map, KeyRange::within(&(1u8, 3u16, 0u8))), Total::NotKept, "a row");
    // With 200 rows, 43 totals are too many, and 3 are not.
    let fewer: BTreeMap<_, _> = map.iter().step_by(2).map(|(key, n)| (*key, *n)).collect();
    assert_eq!(total(&fewer, KeyRange::within(&(1u8, 3u16))), Total::NotKept);
    assert_ne!(total(&fewer, KeyRange::within(&1u8)), Total::NotKept);
    let few: BTreeMap<_, _> = map.iter().take(7).map(|(key, n)| (*key, *n)).collect();
    assert_eq!(total(&few, KeyRange::all()), Total::NotKept);
}

/// A file of version 1: no entry for totals in the directory.
#[test]
fn files_without_totals_are_read() {
    let map: BTreeMap<u64, i64> = (0..100).map(|n| (n, n as i64)).collect();
    let (mut bytes, _) = write(&in_file_order(&map, Coverage::ALL), Coverage::ALL, 0);
    let entry = bytes.len() - format::FOOTER_BYTES - format::ENTRY_BYTES;
    bytes.drain(entry..entry + format::ENTRY_BYTES);
    bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
    mend(&mut bytes);
    let view = open::<u64>(bytes);
    view.verify().unwrap();
    assert_eq!(view.scan(&Coverage::ALL).count(), 100);
    let all = KeyRange::all();
    let prefix = Prefix::of::<u64>(&all).unwrap();
    assert_eq!(view.total(prefix, &Coverage::ALL).unwrap(), Total::NotKept);
}

/// Verification finds totals that differ from the rows.
#[test]
fn wrong_totals_under_good_checksums_are_found() {
    let map: BTreeMap<u64, i64> = (0..100).map(|n| (n, n as i64)).collect();
    let (mut bytes, _) = write(&in_file_order(&map, Coverage::ALL), Coverage::ALL, 100);
    let footer = *bytes[bytes.len() - format::FOOTER_BYTES..]
        .as_chunks::<{ format::FOOTER_BYTES }>()
        .0
        .first()
        .unwrap();
    let directory = format::Footer::from_bytes(&footer).directory as usize;
    // The last byte before the directory that is not zero is the end of the total.
    let last = bytes[..directory].iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 2;
    let view = open::<u64>(bytes.clone());
    assert!(view.total(Prefix::of::<u64>(&KeyRange::all()).unwrap(), &Coverage::ALL).is_err());
    mend(&mut bytes);
    let error = open::<u64>(bytes).verify().unwrap_err();
    assert!(error.to_string().contains("the rows do not give the totals"), "{error}");
}

fn coverages() -> impl Strategy<Value = Coverage> {
    prop_oneof![
        Just(Coverage::ALL),
        Just(Coverage::NONE),
        (1usize..6).prop_map(|peers| Coverage::of_owner(peers / 2, peers)),
        proptest::collection::vec(0usize..256, 0..40).prop_map(|set| set.into_iter().collect()),
    ]
}

fn expectations() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0u64), 0u64..2_000, Just(1 << 20)]
}

fn maps<K: Key>(keys: impl Strategy<Value = K>) -> impl Strategy<Value = BTreeMap<K, i64>> {
    proptest::collection::btree_map(keys, any::<i64>(), 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn oracle_integers(
        map in maps(prop_oneof![any::<u64>(), 0u64..100]),
        expected in expectations(), part in coverages(), lower: u64, upper in 0u64..100,
    ) {
        let ranges = [KeyRange::between(&lower, &upper), KeyRange::between(&3u64, &upper), KeyRange::from(&lower)];
        check(&map, expected, &ranges, part);
    }

    #[test]
    fn oracle_texts(
        map in maps("[ab\\x00é]{0,4}|[a-z]{100,200}"),
        expected in expectations(), part in coverages(), prefix in "[ab\\x00é]{0,2}",
    ) {
        check(&map, expected, &[KeyRange::prefix(prefix)], part);
    }

    #[test]
    fn oracle_pairs(
        map in maps(("[ab]{0,2}", "[abc]{0,3}")),
        expected in expectations(), part in coverages(), first in "[ab]{0,2}", prefix in "[abc]{0,2}",
    ) {
        let ranges = [KeyRange::within(&first), KeyRange::within_prefix(&first, prefix)];
        check(&map, expected, &ranges, part);
    }

    /// The digests add up, however the rows are cut into files and sections.
    #[test]
    fn digests_add_up(map in maps("[a-d]{0,6}"), peers in 1usize..20, expected in expectations()) {
        let whole = write(&in_file_order(&map, Coverage::ALL), Coverage::ALL, 0).1;
        let parts: Vec<BatchSummary> = (0..peers).map(|worker| {
            let own = Coverage::of_owner(worker, peers);
            write(&in_file_order(&map, own), own, expected).1
        }).collect();
        prop_assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), whole.rows);
        prop_assert_eq!(parts.iter().map(|part| part.digest).sum::<Digest>(), whole.digest);
        let rows = map.iter().map(|(key, &n)| Digest::of(key, &N(n)).unwrap());
        prop_assert_eq!(rows.sum::<Digest>(), whole.digest);
    }

    /// Flipped and missing bytes are errors, or change no result.
    #[test]
    fn damage_is_an_error_or_harmless(
        map in maps(("[ab]{0,3}", "[abc]{0,3}")), expected in expectations(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1u8..), 0..3),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let (mut bytes, _) = write(&in_file_order(&map, Coverage::ALL), Coverage::ALL, expected);
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        damaged(bytes, &map)?;
    }

    /// The same where the checksums were made to match: never a panic.
    #[test]
    fn damage_under_good_checksums_does_not_panic(
        map in maps(("[ab]{0,3}", "[abc]{0,3}")), expected in expectations(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1u8..), 1..4),
    ) {
        let (mut bytes, _) = write(&in_file_order(&map, Coverage::ALL), Coverage::ALL, expected);
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        mend(&mut bytes);
        use_all::<(String, String)>(bytes.clone(), &map);
        use_all::<u64>(bytes.clone(), &map);
        use_all::<Vec<u8>>(bytes, &map);
    }

    #[test]
    fn any_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(BatchView::<u64, N>::open(bytes.into()).is_err());
    }
}

fn damaged<K: Key + Debug>(bytes: Vec<u8>, map: &BTreeMap<K, i64>) -> Result<(), TestCaseError> {
    let Ok(view) = BatchView::<K, N>::open(bytes.into()) else { return Ok(()) };
    prop_assert_eq!(view.rows(), map.len() as u64);
    let _ = view.verify();
    for (key, n) in map {
        if let Ok(found) = view.get(key.hash64(), &encoded(key)) {
            prop_assert_eq!(found, Some(N(*n)));
        }
    }
    if let Ok(rows) = view.scan(&Coverage::ALL).collect::<Result<Vec<_>, _>>() {
        prop_assert_eq!(rows, in_file_order(map, Coverage::ALL));
    }
    let all = KeyRange::all();
    if let Some(prefix) = Prefix::of::<K>(&all)
        && let Ok(Total::Kept(total)) = view.total(prefix, &Coverage::ALL)
    {
        prop_assert_eq!(total, map.values().copied().reduce(i64::wrapping_add).map(N));
    }
    let mut count = 0;
    let range = KeyRange::prefix("a");
    if view.range(&range, &Coverage::ALL, |_, _, _| count += 1).is_ok() {
        prop_assert_eq!(count, map.keys().filter(|key| range.contains(&encoded(*key))).count());
    }
    Ok(())
}

/// Sets every checksum to that of the bytes, as far as the bytes have the form of a file.
fn mend(bytes: &mut [u8]) {
    let end = bytes.len() - format::FOOTER_BYTES;
    let footer = *bytes[end..].as_chunks::<{ format::FOOTER_BYTES }>().0.first().unwrap();
    let footer = format::Footer::from_bytes(&footer);
    let directory = (footer.directory as usize).min(end);
    for at in (directory..end).step_by(format::ENTRY_BYTES) {
        let Some((entry, _)) = bytes[at..].split_first_chunk::<{ format::ENTRY_BYTES }>() else {
            continue;
        };
        let entry = format::SectionEntry::from_bytes(entry);
        let section = entry.offset as usize..entry.offset.saturating_add(entry.length) as usize;
        if let Some(section) = bytes.get(section) {
            let crc = crc32fast::hash(section);
            bytes[at + 20..at + 24].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let header = (footer.header as usize).min(end);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..header]);
    crc.update(&bytes[directory..end + format::FOOTER_CHECKED]);
    let crc = crc.finalize().to_le_bytes();
    bytes[end + format::FOOTER_CHECKED..end + format::FOOTER_CHECKED + 4].copy_from_slice(&crc);
}

fn use_all<K: Key>(bytes: Vec<u8>, map: &BTreeMap<(String, String), i64>) {
    let Ok(view) = BatchView::<K, N>::open(bytes.into()) else { return };
    let _ = view.verify();
    for key in map.keys() {
        let _ = view.get(key.hash64(), &encoded(key));
    }
    let _ = view.scan(&Coverage::ALL).count();
    let _ = view.total(Prefix::of::<K>(&KeyRange::all()).unwrap(), &Coverage::ALL);
    let _ = view.range(&KeyRange::prefix("a"), &Coverage::of_owner(0, 2), |_, _, _| {});
}

/// A test cannot choose hashes, so collisions are looked for: among 2^19 keys, some share the 32 bits
/// that the index of a file with one section has.
#[test]
fn keys_with_equal_index_entries_are_told_apart() {
    let mut seen = std::collections::HashMap::new();
    let mut map = BTreeMap::new();
    for key in 0u64..1 << 19 {
        if let Some(other) = seen.insert((sort_position(key.hash64()) >> 32) as u32, key) {
            map.insert(key, key as i64);
            map.insert(other, other as i64);
        }
    }
    assert!(map.len() >= 10, "{} keys collide", map.len());
    check(&map, 0, &[KeyRange::from(&1_000u64)], Coverage::ALL);
    // One of each pair is missing: its neighbour must not be taken for it.
    let half: BTreeMap<u64, i64> = map.iter().step_by(2).map(|(&key, &n)| (key, n)).collect();
    let view = open::<u64>(write(&in_file_order(&half, Coverage::ALL), Coverage::ALL, 0).0);
    for key in map.keys() {
        assert_eq!(view.get(key.hash64(), &encoded(key)).unwrap(), half.get(key).map(|&n| N(n)));
    }
}

#[test]
fn large_days_have_many_sections_and_small_damage_stays_small() {
    let map: BTreeMap<u64, i64> = (0..20_000).map(|n| (n, n as i64)).collect();
    let rows = in_file_order(&map, Coverage::ALL);
    let (mut bytes, _) = write(&rows, Coverage::ALL, map.len() as u64);
    check(&map, map.len() as u64, &[KeyRange::between(&7u64, &70)], Coverage::of_owner(1, 3));
    // One damaged byte in the middle: all keys outside its section are still answered.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let view = open::<u64>(bytes);
    let failed = map.keys().filter(|key| view.get(key.hash64(), &encoded(*key)).is_err()).count();
    assert!((1..300).contains(&failed), "{failed} keys failed");
    let error = view.verify().unwrap_err();
    assert!(
        matches!(error, BatchError::Corrupt { what, offset, .. }
        if what.contains("checksum") && offset as usize <= middle),
        "{error}"
    );
    let mut scan = view.scan(&Coverage::ALL);
    assert!(scan.by_ref().any(|row| row.is_err()));
    assert!(scan.next().is_none(), "nothing after an error");
}

#[test]
fn empty_files_are_files() {
    for expected in [0, 1 << 20] {
        let (bytes, summary) = write::<u64>(&[], Coverage::of_owner(1, 2), expected);
        assert_eq!((summary.rows, summary.digest), (0, Digest::default()));
        let view = open::<u64>(bytes);
        view.verify().unwrap();
        assert_eq!(view.get(5u64.hash64(), &encoded(&5u64)).unwrap(), None);
        assert_eq!(view.scan(&Coverage::ALL).count(), 0);
    }
}

#[test]
fn other_versions_and_other_files_are_named() {
    let (mut bytes, _) = write::<u64>(&[], Coverage::ALL, 0);
    bytes[8] = 9;
    let error = BatchView::<u64, N>::open_named(bytes.clone().into(), "x.batch").unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.batch has format version 9, and this program reads 2: use the one that wrote it"
    );
    let error = BatchView::<u64, N>::open(b"PNG".to_vec().into()).unwrap_err();
    assert!(matches!(error, BatchError::NotABatch { .. }));
}

#[test]
#[should_panic(expected = "out of order")]
fn rows_out_of_order_are_refused() {
    let rows = in_file_order(&BTreeMap::from([(1u64, 1), (2, 2)]), Coverage::ALL);
    let rows: Vec<_> = rows.into_iter().rev().collect();
    write(&rows, Coverage::ALL, 0);
}

#[test]
#[should_panic(expected = "does not cover")]
fn rows_outside_the_coverage_are_refused() {
    let rows = in_file_order(&BTreeMap::from([(1u64, 1)]), Coverage::ALL);
    write(&rows, Coverage::NONE, 0);
}

#[test]
fn views_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<BatchView<String, N>>();
}
