//! The workload of the benchmarks, and a program that does the same without a dataflow.

// Each benchmark uses only a part of it.
#![allow(dead_code)]

pub(crate) mod events;
pub(crate) mod sealed;

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use dayfold::Archive;
use dayfold::aggregate::Aggregate;
use dayfold::serve::Item;
use dayfold::store::{Disk, Store, StoreConfig, ViewRecord};
use dayfold::view::View;
use foldhash::fast::RandomState;

pub(crate) use events::*;

/// What both programs compute for each day and key: count, sum, greatest value.
pub(crate) type Stats = (u64, u64, u64);

/// Result of both programs.
pub(crate) type Groups = hashbrown::HashMap<(u32, u64), Stats, RandomState>;

/// A hash map of (day, key) on one thread: the cost of the fold without any other guarantee.
pub(crate) fn hash_map(ticks: &[Vec<Event>]) -> (Groups, Duration) {
    let mut groups = Groups::with_hasher(RandomState::default());
    let start = Instant::now();
    for &event in ticks.iter().flatten() {
        add(&mut groups, event);
    }
    (black_box(groups), start.elapsed())
}

/// An archive in a new folder, for a view of this name.
pub(crate) fn archive<A: Aggregate>(folder: &Path, view: &str) -> Archive {
    let record = ViewRecord::of::<u64, A>(&View::new(view).expect("a name of a view"));
    let config = StoreConfig::new(0, 1, vec![record]);
    let store = Store::open(Arc::new(Disk), folder, config).expect("the folder is new");
    store.begin().expect("the folder is new");
    Archive::folder(Arc::new(store))
}

/// The same on two threads: each reads all events and takes those of its keys.
pub(crate) fn hash_maps(ticks: &[Vec<Event>]) -> (usize, Duration) {
    let begin = Barrier::new(3);
    let half = |mine: u64| {
        let mut groups = Groups::with_hasher(RandomState::default());
        begin.wait();
        for &event in ticks.iter().flatten() {
            // A multiplication spreads any keys over its top bit, and costs next to nothing.
            if event.1.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == mine {
                add(&mut groups, event);
            }
        }
        (black_box(groups).len(), Instant::now())
    };
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|mine| scope.spawn(move || half(mine)));
        begin.wait();
        let start = Instant::now();
        let ended = threads.map(|thread| thread.join().expect("the thread has not panicked"));
        let last = ended.iter().map(|(_, end)| *end).max().expect("there are two");
        (ended.iter().map(|(len, _)| len).sum(), last - start)
    })
}

#[inline]
pub(crate) fn add(groups: &mut Groups, (time, key, value): Event) {
    // All times are after 1970, and the days are those of UTC.
    let day = (time as u64 / DAY_MS as u64) as u32;
    let stats = groups.entry((day, key)).or_insert((0, 0, 0));
    stats.0 += 1;
    stats.1 += value;
    stats.2 = stats.2.max(value);
}

/// How many rows differ from those of a reference in which each event entered this many times.
pub(crate) fn wrong_rows(items: &[Item<u64, State>], reference: &Groups, times: u64) -> usize {
    let is_wrong = |item: &&Item<u64, State>| {
        let (day, key) = item.day.zip(item.key).expect("answers by day and key have both");
        let (count, sum, greatest) = item.parts.merged().expect("an item has a part");
        let stats = (count.0 as u64, sum.value() as u64, greatest.0);
        let expected = reference.get(&(day.0 as u32, key));
        expected.map(|&(n, sum, most)| (n * times, sum * times, most)) != Some(stats)
    };
    reference.len().abs_diff(items.len()) + items.iter().filter(is_wrong).count()
}
