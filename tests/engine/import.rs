//! Sealed days in an embedder's dataflow: an imported collection, or a join in place, equals a recomputation from the
//! events, on any number of workers, and only needed sections are read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use dayfold::aggregate::{Count, IsZero, Monoid, Multiply, Semigroup, Sum};
use dayfold::archive::ArchiveError;
use dayfold::import::Imported;
use dayfold::serve::Revision;
use dayfold::store::{Memory, Storage, Store, StoreConfig, ViewRecord};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Archive, FoldChanges, Moment};
use differential_dataflow::difference::Present;
use differential_dataflow::input::InputSession;
use proptest::prelude::*;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};

type Stats = (Count, Sum);
type Event = (EventTime, u64, i64);
type Rows = BTreeMap<(Day, u64), Stats>;
/// Day, key and label of a joined row.
type Joined = BTreeMap<(Day, u64, u32), Stats>;

const DAY: i64 = 86_400_000;

fn zero() -> Stats {
    Monoid::zero()
}

fn open(memory: &Memory) -> Arc<Store> {
    let views = vec![ViewRecord::of::<u64, Stats>(&View::new("imported").unwrap())];
    let store = Store::open(Arc::new(memory.clone()), "/data", StoreConfig::new(0, 1, views));
    Arc::new(store.unwrap())
}

/// Seals the days of `events`, in this many rounds: later rounds amend sealed days.
fn seal(memory: &Memory, rounds: &[Vec<(Event, isize)>], workers: usize) {
    let store = open(memory);
    store.begin().unwrap();
    let (archive, rounds) = (Archive::folder(Arc::clone(&store)), rounds.to_vec());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut input = InputSession::<Moment, Event, isize>::new();
        let status = worker.dataflow(|scope| {
            let folded = input.to_collection(scope).fold_days(
                View::new("imported").unwrap(),
                &archive,
                |&(time, key, value): &Event| Some((time, key, (Count::one(), Sum::from(value)))),
            );
            folded.unwrap().status()
        });
        for (number, round) in (1..).zip(&rounds) {
            for &(event, times) in round.iter().skip(worker.index()).step_by(worker.peers()) {
                input.update(event, times);
            }
            input.advance_to(Moment::new(number * 100 * DAY, 0));
            input.flush();
            (0..20).for_each(|_| {
                worker.step();
            });
        }
        input.close();
        let pause = Some(std::time::Duration::from_millis(1));
        worker.step_or_park_while(pause, || !status.finished());
    });
    guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
    store.complete().unwrap();
}

fn recompute(rounds: &[Vec<(Event, isize)>], days: DayRange) -> Rows {
    let mut rows = Rows::new();
    for &((time, key, value), times) in rounds.iter().flatten() {
        let day = Day(time.div_euclid(DAY) as i32);
        if days.contains(day) {
            let more = (Count::one(), Sum::from(value)).multiply(&times);
            rows.entry((day, key)).or_insert(zero()).plus_equals(&more);
        }
    }
    rows.retain(|_, sum| !sum.is_zero());
    rows
}

#[derive(Default)]
struct Found {
    rows: Rows,
    /// Joined from the imported side, as of the first time and as of the second.
    joined: [Joined; 2],
    /// Joined from the other side.
    present: Joined,
    sections: usize,
}

/// Imports a range and joins it with labels of keys, some of which are retracted at the second time.
fn import(
    memory: &Memory,
    days: DayRange,
    labels: &[(u64, u32)],
    back: usize,
    workers: usize,
    all: bool,
) -> Found {
    let (archive, labels) = (Archive::folder(open(memory)), labels.to_vec());
    let found = Arc::new(Mutex::new(Found::default()));
    let out = Arc::clone(&found);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut labelled = InputSession::<u64, (u64, u32), isize>::new();
        let mut present = InputSession::<u64, (u64, u32), Present>::new();
        let probe = ProbeHandle::new();
        let status = worker.dataflow(|scope| {
            let imported: Imported<'_, u64, u64, Stats> =
                archive.import(scope, "imported", days, Revision::Now).unwrap();
            let theirs = imported.arrange(labelled.to_collection(scope));
            let to = Arc::clone(&out);
            imported
                .arranged()
                .join_core(theirs, |key, day, label| [(*day, key.decode().unwrap(), *label)])
                .inner
                .probe_with(&probe)
                .inspect(move |(row, time, sum)| {
                    for joined in to.lock().unwrap().joined[*time as usize..].iter_mut() {
                        joined.entry(*row).or_insert(zero()).plus_equals(sum);
                    }
                });
            if all {
                let theirs = imported.arrange(present.to_collection(scope));
                let to = Arc::clone(&out);
                theirs
                    .join_core(imported.arranged(), |key, label, day| {
                        [(*day, key.decode().unwrap(), *label)]
                    })
                    .inner
                    .probe_with(&probe)
                    .inspect(move |(row, _, sum)| {
                        let joined = &mut to.lock().unwrap().present;
                        joined.entry(*row).or_insert(zero()).plus_equals(sum);
                    });
                let to = Arc::clone(&out);
                imported.collection().inner.probe_with(&probe).inspect(move |(row, _, sum)| {
                    let before = to.lock().unwrap().rows.insert(*row, *sum);
                    assert!(before.is_none(), "{row:?} is on one worker, once");
                });
            }
            imported.status()
        });
        let mine = || labels.iter().skip(worker.index()).step_by(worker.peers());
        mine().for_each(|&label| labelled.insert(label));
        mine().for_each(|&label| present.update(label, Present));
        labelled.advance_to(1);
        labelled.flush();
        let pause = Some(std::time::Duration::from_millis(1));
        if worker.index() == 0 {
            labels[..back].iter().for_each(|&label| labelled.remove(label));
        }
        labelled.close();
        present.close();
        worker.step_or_park_while(pause, || !probe.done());
        assert_eq!(status.error(), None);
        out.lock().unwrap().sections += status.sections_read();
    });
    guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
    Arc::into_inner(found).unwrap().into_inner().unwrap()
}

fn join(rows: &Rows, labels: &[(u64, u32)]) -> Joined {
    let mut joined = Joined::new();
    for (&(day, key), sum) in rows {
        for (_, label) in labels.iter().filter(|(labelled, _)| *labelled == key) {
            joined.entry((day, key, *label)).or_insert(zero()).plus_equals(sum);
        }
    }
    joined
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(debug_assertions) { 30 } else { 300 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn oracle_a_join_in_place_equals_one_with_a_recomputation(
        rounds in prop::collection::vec(
            prop::collection::vec(((0..6 * DAY, 0..300u64, -2..3i64), prop_oneof![3 => Just(1isize), 1 => Just(-1)]), 0..400),
            1..4,
        ),
        labels in prop::collection::vec((0..400u64, 0..3u32), 1..40),
        back in 0..20usize,
        days in (0..6i32, 1..7i32),
        sealed_by in 1..4usize,
        imported_by in 1..4usize,
    ) {
        let memory = Memory::default();
        seal(&memory, &rounds, sealed_by);
        let stored: u64 = open(&memory).live("imported").unwrap().iter().map(|file| file.rows).sum();
        prop_assert_eq!(stored as usize, recompute(&rounds, DayRange::ALL).len(), "no zeros");
        let days = DayRange::new(Day(days.0), Day(days.0 + days.1));
        let back = back.min(labels.len());
        let found = import(&memory, days, &labels, back, imported_by, true);
        let rows = recompute(&rounds, days);
        prop_assert_eq!(&found.rows, &rows);
        let [mut first, mut second] = found.joined;
        first.retain(|_, sum| !sum.is_zero());
        second.retain(|_, sum| !sum.is_zero());
        prop_assert_eq!(first, join(&rows, &labels));
        prop_assert_eq!(second, join(&rows, &labels[back..]));
        let mut once = labels.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(found.present, join(&rows, &once));
    }
}

/// Three days of 20,000 keys, in 256 sections each.
fn large() -> (Memory, Vec<Vec<(Event, isize)>>) {
    let memory = Memory::default();
    let events = (0..60_000u64).map(|n| (((n / 20_000) as i64 * DAY, n % 20_000, 1), 1));
    let rounds = vec![events.collect()];
    seal(&memory, &rounds, 1);
    (memory, rounds)
}

#[test]
fn a_join_reads_the_sections_that_it_needs() {
    let (memory, rounds) = large();
    let labels = [(17, 0), (4_242, 1)];
    let found = import(&memory, DayRange::ALL, &labels, 0, 1, false);
    assert_eq!(found.joined[1], join(&recompute(&rounds, DayRange::ALL), &labels));
    // For each day: where the cursor begins, and where the keys are, or the next ones.
    assert!((3..=3 * 4).contains(&found.sections), "{} of 768 sections", found.sections);
}

#[test]
fn damage_that_is_met_is_told_and_holds_the_collection_back() {
    let (memory, _) = large();
    let store = open(&memory);
    let file = store.live("imported").unwrap().swap_remove(1);
    drop(store);
    let mut bytes = memory.read(&file.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut damaged = memory.create(Path::new(&file.path)).unwrap();
    damaged.write_all(&bytes).unwrap();
    let archive = Archive::folder(open(&memory));
    timely::execute_directly(move |worker| {
        let probe = ProbeHandle::new();
        let status = worker.dataflow::<u64, _, _>(|scope| {
            let imported: Imported<'_, u64, u64, Stats> =
                archive.import(scope, "imported", DayRange::ALL, Revision::Now).unwrap();
            imported.collection().inner.probe_with(&probe);
            imported.status()
        });
        worker.step_while(|| status.error().is_none());
        (0..100).for_each(|_| {
            worker.step();
        });
        assert!(!probe.done());
        assert!(status.error().unwrap().to_string().contains("checksum"));
        worker.drop_dataflow(0);
    });
}

#[test]
fn an_archive_in_memory_has_nothing_to_import() {
    timely::execute_directly(|worker| {
        worker.dataflow::<u64, _, _>(|scope| {
            let all = DayRange::ALL;
            let imported = Archive::in_memory().import::<u64, u64, Stats>(
                scope,
                "imported",
                all,
                Revision::Now,
            );
            assert!(matches!(imported, Err(ArchiveError::NoFolder)));
        });
    });
}
