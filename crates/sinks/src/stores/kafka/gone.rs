//! Which records of a topic are to be removed: the last ones of their keys, of swept periods, and older than a moment.
//!
//! A topic is read from its beginning for that. What is kept meanwhile is bounded: if there are too many keys, those
//! whose hashes are in the lower half are found first, and the topic is read once more for the others.

use std::collections::BTreeMap;

use dayfold::schema::Value;
use serde_json::Map;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Sweep, Table};

/// Keys of so many bytes are kept at most.
const BYTES_MAX: usize = 64 << 20;

/// What a key costs beside its bytes.
const OVERHEAD: usize = 64;

/// Finds what is to be removed, one record after the other.
pub(super) struct Gone<'a> {
    period: &'a str,
    /// The periods as texts, and whether these are swept, or all others.
    periods: Vec<String>,
    are_swept: bool,
    as_of: i64,
    /// Which hashes are looked for.
    from: u64,
    to: u64,
    bytes: usize,
    bytes_max: usize,
    /// By hash, key and partition.
    found: BTreeMap<(u64, Vec<u8>, i32), ()>,
}

impl Gone<'_> {
    pub(super) fn new<'a>(table: &'a Table, as_of: i64, sweep: &Sweep) -> Gone<'a> {
        let (days, are_swept) = match sweep {
            Sweep::Period(day) => (vec![*day], true),
            Sweep::AllBut(kept) => (kept.iter().copied().collect(), false),
        };
        let mut periods: Vec<String> =
            days.into_iter().map(|day| Value::period(day).to_string()).collect();
        periods.sort_unstable();
        Gone {
            period: &table.period.name,
            periods,
            are_swept,
            as_of,
            from: 0,
            to: u64::MAX,
            bytes: 0,
            bytes_max: BYTES_MAX,
            found: BTreeMap::new(),
        }
    }

    /// Takes the next record of a topic.
    pub(super) fn take(&mut self, partition: i32, key: &[u8], value: Option<&[u8]>) {
        let hash = xxh3_64(key);
        if !(self.from..=self.to).contains(&hash) {
            return;
        }
        let name = (hash, key.to_vec(), partition);
        if !value.is_some_and(|value| self.is_gone(key, value)) {
            if self.found.remove(&name).is_some() {
                self.bytes -= key.len() + OVERHEAD;
            }
            return;
        }
        if self.found.insert(name, ()).is_none() {
            self.bytes += key.len() + OVERHEAD;
        }
        while self.bytes > self.bytes_max && self.from < self.to {
            self.to = self.from + (self.to - self.from) / 2;
            let others = self.found.split_off(&(self.to + 1, Vec::new(), i32::MIN));
            self.bytes -= others.keys().map(|(_, key, _)| key.len() + OVERHEAD).sum::<usize>();
        }
    }

    fn is_gone(&self, key: &[u8], value: &[u8]) -> bool {
        let object = |bytes: &[u8]| serde_json::from_slice::<Map<String, serde_json::Value>>(bytes);
        // What cannot be read is nothing that a sink has written.
        let is_swept = object(key).ok().and_then(|key| {
            let period = key.get(self.period)?.as_str()?;
            let is_named =
                self.periods.binary_search_by(|named| named.as_str().cmp(period)).is_ok();
            Some(is_named == self.are_swept)
        });
        let as_of = object(value).ok().and_then(|value| value.get("as_of")?.as_i64());
        is_swept.unwrap_or(true) && as_of.unwrap_or(0) < self.as_of
    }

    /// What was found, once the topic is read to its end: keys with their partitions. Says whether that is all;
    /// otherwise the topic has to be read once more.
    pub(super) fn found(&mut self) -> (impl Iterator<Item = (Vec<u8>, i32)> + use<>, bool) {
        let found = std::mem::take(&mut self.found);
        let is_all = self.to == u64::MAX;
        (self.from, self.to, self.bytes) = (self.to.saturating_add(1), u64::MAX, 0);
        (found.into_keys().map(|(_, key, partition)| (key, partition)), is_all)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dayfold::time::Day;

    use super::*;
    use crate::row::tests::table;

    fn key(day: &str, shop: usize) -> Vec<u8> {
        format!("{{\"day\":\"{day}\",\"shop\":\"{shop}\"}}").into_bytes()
    }

    fn all(gone: &mut Gone<'_>, records: &[(Vec<u8>, Option<&str>)]) -> (BTreeSet<Vec<u8>>, usize) {
        let (mut keys, mut rounds) = (BTreeSet::new(), 0);
        loop {
            rounds += 1;
            for (key, value) in records {
                gone.take(0, key, value.map(str::as_bytes));
            }
            let (found, is_all) = gone.found();
            found.for_each(|(key, _)| assert!(keys.insert(key)));
            if is_all {
                return (keys, rounds);
            }
        }
    }

    #[test]
    fn the_last_record_of_a_key_counts() {
        let (old, new) = (Some("{\"as_of\":5}"), Some("{\"as_of\":7}"));
        let (one, other) = ("1970-01-02", "1970-01-03");
        let records = [
            (key(one, 1), old),
            (key(one, 2), old),
            (key(one, 3), old),
            (key(other, 1), old),
            (b"nobody's".to_vec(), Some("text")),
            (key(one, 1), new),
            (key(one, 3), None),
        ];
        let kept = Sweep::AllBut(BTreeSet::from([Day(2)]));
        let (found, _) = all(&mut Gone::new(&table(), 7, &kept), &records);
        assert_eq!(found, BTreeSet::from([key(one, 2), b"nobody's".to_vec()]));
        let (found, _) = all(&mut Gone::new(&table(), 7, &Sweep::Period(Day(2))), &records[..4]);
        assert_eq!(found, BTreeSet::from([key(other, 1)]));
    }

    #[test]
    fn many_keys_are_found_in_several_rounds() {
        let records: Vec<_> =
            (0..1_000).map(|shop| (key("1970-01-02", shop), Some("{}"))).collect();
        let table = table();
        let mut gone = Gone::new(&table, 7, &Sweep::Period(Day(1)));
        gone.bytes_max = 20_000;
        let (found, rounds) = all(&mut gone, &records);
        assert_eq!(found, records.into_iter().map(|(key, _)| key).collect());
        assert!(rounds > 3, "{rounds}");
    }
}
