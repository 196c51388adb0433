//! Wherever a machine stops and whatever fails, what was committed is there, and nothing else.
//!
//! A scenario of several runs, by clusters of changing size, runs once to count the operations that change something on
//! disk. Then it runs again for each of these operations, which crashes or fails, and the folder is opened again in the
//! state in which it would be found. Each opening checks everything that the folder reports.

use std::collections::BTreeSet;

use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::store::{Failure, Faulty, Packing};
use crate::view::{KeptRevisions, Retention};

/// Closings, each with the days and their values (the same for each key) that it revises.
const CLOSINGS: [(i32, &[(i32, i64)]); 6] = [
    (10, &[(10, 1)]),
    (11, &[(10, 3), (11, 2)]),
    (12, &[]),
    (13, &[(11, 5), (13, 4)]),
    (14, &[(14, 6)]),
    (15, &[(10, 8), (15, 7)]),
];
const KEYS: u64 = 5;

/// The sealed days after a closing, and their values.
fn days(committed: i32) -> BTreeMap<i32, i64> {
    let closings = CLOSINGS.iter().filter(|(closing, _)| *closing <= committed);
    closings.flat_map(|(_, days)| *days).copied().collect()
}

/// A folder, and what may be in it: what was reported as done, or at least tried.
#[derive(Debug)]
struct World {
    storage: Faulty,
    /// The last closing that any process committed, and the last that any has tried to commit; from 1.
    committed: i32,
    tried: i32,
    /// By process: the fact that was set, and the one that was tried.
    facts: BTreeMap<usize, [Option<u8>; 2]>,
    states: Vec<RunState>,
    /// What the view keeps, from the second run on.
    keeps: Retention,
    /// Which files move into packs.
    packing: Packing,
    /// The present position in the test, for messages.
    at: String,
}

/// Tries again after a failure: the store must then refuse or succeed.
fn twice<T>(mut act: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    act().or_else(|_| act())
}

impl World {
    fn new(seed: u64) -> World {
        let (storage, facts) = (Faulty::new(seed), BTreeMap::new());
        let (states, at) = (vec![RunState::Fresh], format!("seed {seed}"));
        let (keeps, packing) = (Retention::default(), Packing::default());
        World { storage, committed: 0, tried: 0, facts, states, keeps, packing, at }
    }

    /// The same folder in another state, for another program to open.
    fn found(&self, storage: Faulty, at: impl std::fmt::Display) -> World {
        let (facts, states) = (self.facts.clone(), self.states.clone());
        World { storage, facts, states, at: format!("{}, {at}", self.at), ..*self }
    }

    fn scenario(&mut self) -> Result<(), StoreError> {
        self.run(2, 11, false)?;
        self.run(3, 13, true)?;
        self.run(1, 14, false)
    }

    /// One run of a cluster: it opens the folder, checks it, and seals the closings up to `through` that are not
    /// sealed.
    fn run(&mut self, processes: usize, through: i32, complete: bool) -> Result<(), StoreError> {
        let retention = || [("v".to_owned(), self.keeps)].into();
        let open = |process| {
            let config = || {
                let packing = self.packing;
                StoreConfig { retention: retention(), packing, ..config(process, processes) }
            };
            twice(|| Store::open(Arc::new(self.storage.clone()), ROOT, config()))
        };
        let mut stores = (0..processes).rev().map(open).collect::<Result<Vec<_>, _>>()?;
        stores.reverse();
        self.check(&stores);
        self.states.push(RunState::Incomplete);
        for store in &stores {
            twice(|| store.begin())?;
            self.states = vec![RunState::Incomplete];
        }
        for (closing, days) in CLOSINGS {
            if self.committed < closing && closing <= through {
                self.seal(&stores, closing, days)?;
            }
        }
        self.check_rows(&stores);
        if complete {
            for store in &stores[1..] {
                twice(|| store.complete())?;
            }
            self.states.push(RunState::Complete);
            twice(|| stores[0].complete())?;
            self.states = vec![RunState::Complete];
        }
        Ok(())
    }

    /// The first process has two workers, the others have one.
    fn seal(
        &mut self,
        stores: &[Store],
        closing: i32,
        days: &[(i32, i64)],
    ) -> Result<(), StoreError> {
        let peers = stores.len() + 1;
        for worker in 0..peers {
            let store = &stores[worker % stores.len()];
            let write = |&(day, value): &(i32, i64)| {
                twice(|| try_write(store, day, closing, (worker, peers), KEYS, value))
            };
            let entries = days.iter().map(write).collect::<Result<Vec<_>, _>>()?;
            store.prepare("v", Day(closing), worker, entries)?;
        }
        self.tried = closing;
        for store in stores {
            twice(|| store.commit("v", Day(closing), &[]))?;
            self.committed = closing;
        }
        for (process, store) in stores.iter().enumerate() {
            let [set, tried] = self.facts.entry(process).or_default();
            *tried = Some(closing as u8);
            twice(|| store.set_fact("closing", vec![closing as u8]))?;
            *set = *tried;
        }
        Ok(())
    }

    /// Checks everything that an open folder reports. What was found once must be found from then on.
    fn check(&mut self, stores: &[Store]) {
        let at = &self.at;
        let state = stores[0].state();
        assert!(self.states.contains(&state), "{at}: {state:?}, not one of {:?}", self.states);
        assert!(stores.iter().all(|store| store.state() == state), "{at}");
        self.states = vec![state];

        let through = stores[0].closed_through("v").map_or(0, |day| day.0);
        let possible = self.committed..=self.tried;
        assert!(possible.contains(&through), "{at}: closed through {through}, not {possible:?}");
        (self.committed, self.tried) = (through, through);
        self.check_rows(stores);

        let found: BTreeMap<usize, Vec<u8>> = stores[0].facts("closing").into_iter().collect();
        for (process, expect) in &mut self.facts {
            let found = found.get(process).map(|bytes| bytes[0]);
            assert!(expect.contains(&found), "{at}: fact {found:?} of {process}, not {expect:?}");
            *expect = [found; 2];
        }

        let mut files = BTreeSet::new();
        for store in stores {
            let folders = ["views", "packs"].map(|name| store.part_path().join(name));
            let found = folders.iter().flat_map(|folder| contents(&self.storage, folder));
            files.extend(found.map(|(path, _)| path));
        }
        let named = stores[0].batches("v", |_| true).unwrap().into_iter();
        let named = named.filter(|file| file.process < stores.len()).map(|file| file.path);
        assert_eq!(files, named.collect(), "{at}: files and those that a manifest names");
    }

    /// All processes see the rows of what is committed.
    fn check_rows(&self, stores: &[Store]) {
        let of_day = |(day, value)| (0..KEYS).map(move |key| ((Day(day), key), value));
        let mut expect: BTreeMap<_, _> =
            days(self.committed).into_iter().flat_map(of_day).collect();
        let from = self.check_kept(stores);
        expect.retain(|(day, _), _| *day >= from);
        assert_eq!(rows(&stores[0]), expect, "{}", self.at);
        let live = |store: &Store| store.live("v").unwrap();
        assert_eq!(live(&stores[0]), live(&stores[stores.len() - 1]), "{}", self.at);
        for store in stores {
            let through = store.closed_through("v").map_or(0, |day| day.0);
            assert_eq!(through, self.committed, "{}", self.at);
        }
    }

    /// All processes keep the same days; what may not be removed is there.
    fn check_kept(&self, stores: &[Store]) -> Day {
        let from = stores[0].kept_from("v");
        assert!(stores.iter().all(|store| store.kept_from("v") == from), "{}", self.at);
        let Some(keep) = self.keeps.keep else {
            assert_eq!(from, Day::MIN, "{}", self.at);
            return from;
        };
        let kept_days = (keep.as_secs() / 86_400) as i32;
        let most = Day(self.committed + 1 - kept_days);
        assert!(from <= most, "{}: kept from {from}, closed through {}", self.at, self.committed);
        from
    }

    /// A cluster opens the folder and seals one more closing; all of it survives a power loss.
    fn recover(&mut self, processes: usize, seed: u64) {
        let next = CLOSINGS.iter().map(|(closing, _)| *closing).find(|&next| next > self.tried);
        let run = self.run(processes, next.unwrap_or(15), false);
        run.unwrap_or_else(|error| panic!("{}: {error:?}", self.at));
        // In every second case, only synced changes survive.
        let lost = self.storage.after_power_loss(seed * (seed % 2));
        let mut after = self.found(lost, "and power lost again");
        let run = after.run(1 + processes % 3, 0, false);
        run.unwrap_or_else(|error| panic!("{}: {error:?}", after.at));
    }

    /// Recovers from all states that may be found, also if the recovery is interrupted.
    fn recover_in_all_ways(&self, seed: u64) {
        for way in 0..3 {
            let seed = seed * 3 + way;
            let processes = 1 + (seed / 3 + way) as usize % 3;
            let found = |world: &World, way, seed| match way {
                0 => world.found(world.storage.after_kill(), "killed"),
                _ => {
                    world.found(world.storage.after_power_loss(seed), format!("power lost {seed}"))
                }
            };
            let world = found(self, way, seed);
            let mut whole = world.found(world.storage.after_kill(), format!("by {processes}"));
            whole.recover(processes, seed);
            // An operation of the opening and sealing above, another one each time.
            let number = 1 + seed * 7919 % whole.storage.operations();
            let mut again =
                world.found(world.storage.clone(), format!("by {processes}, at {number}"));
            again.storage.crash_at(number);
            again.run(processes, 15, false).unwrap_err();
            found(&again, seed / 4 % 2, seed).recover(1 + processes % 3, seed);
        }
    }
}

fn operations(keeps: Retention, packing: Packing) -> u64 {
    let mut world = World { keeps, packing, ..World::new(0) };
    world.scenario().unwrap();
    world.storage.operations()
}

/// A closing is written and not committed. The next run removes it, or is interrupted while doing so, and seals
/// something else. The removed names come back when power is lost.
#[test]
fn what_was_removed_does_not_come_back() {
    let folder = |seed| {
        let storage = Faulty::new(seed);
        let stores = start(&storage, 2);
        for (worker, store) in stores.iter().enumerate() {
            store.prepare("v", Day(9), worker, vec![write(store, 8, 9, worker, 2, 5, 1)]).unwrap();
        }
        drop(stores);
        storage
    };
    let whole = folder(0);
    let before = whole.operations();
    drop(start(&whole, 2));
    for number in before + 1..=whole.operations() + 1 {
        for seed in 0..40 {
            let storage = folder(seed);
            storage.crash_at(number);
            if number <= whole.operations() {
                let stores = (0..2).rev().map(|process| try_open(&storage, process, 2));
                stores.for_each(|store| drop(store.and_then(|store| store.begin())));
            }
            let storage = storage.after_kill();
            let stores = start(&storage, 2);
            let entry = write(&stores[0], 9, 9, 0, 2, 5, 2);
            stores[0].prepare("v", Day(9), 0, vec![entry]).unwrap();
            stores[1].prepare("v", Day(9), 1, Vec::new()).unwrap();
            stores[0].commit("v", Day(9), &[]).unwrap();
            drop(stores);
            let stores = start(&storage.after_power_loss(seed), 2);
            assert_eq!(stores[1].closed_through("v"), Some(Day(9)));
            let days: BTreeSet<Day> = rows(&stores[0]).into_keys().map(|(day, _)| day).collect();
            assert_eq!(days, [Day(9)].into(), "crash at {number}, seed {seed}");
        }
    }
}

#[test]
fn what_was_committed_survives_a_crash_at_any_operation() {
    crash_at_any_operation(Retention::default(), Packing::default(), 1);
}

#[test]
fn what_is_kept_survives_a_crash_at_any_operation_while_the_rest_is_removed() {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let keeps = |keep: u64, revisions| Retention {
        keep: (keep > 0).then(|| days(keep)),
        revisions,
        ..Retention::default()
    };
    let newest = NonZeroU32::new(1).map(KeptRevisions::Newest);
    let none = Packing::default();
    crash_at_any_operation(keeps(2, newest), none, 2);
    crash_at_any_operation(keeps(0, newest), none, 7);
    crash_at_any_operation(keeps(0, Some(KeptRevisions::Within(days(1)))), none, 7);
    crash_at_any_operation(keeps(4, None), none, 7);
}

/// Every file moves, as soon as one more day is closed; with `revisions`, packs are written again.
const ALL_MOVE: Packing = Packing { newest: 1, least: 1 };

#[test]
fn what_is_packed_survives_a_crash_at_any_operation() {
    crash_at_any_operation(Retention::default(), ALL_MOVE, 1);
    let revisions = NonZeroU32::new(1).map(KeptRevisions::Newest);
    let revisions = Retention { revisions, ..Retention::default() };
    crash_at_any_operation(revisions, ALL_MOVE, 3);
}

fn crash_at_any_operation(keeps: Retention, packing: Packing, step: usize) {
    for number in (1..=operations(keeps, packing)).step_by(step) {
        let mut world = World { keeps, packing, ..World::new(number) };
        world.at = format!("{keeps:?}, {packing:?}, crash at {number}");
        world.storage.crash_at(number);
        world.scenario().unwrap_err();
        world.recover_in_all_ways(number);
    }
}

#[test]
fn what_was_committed_survives_any_operation_that_fails() {
    fail_at_any_operation(Packing::default());
}

#[test]
fn what_is_packed_survives_any_operation_that_fails() {
    fail_at_any_operation(ALL_MOVE);
}

fn fail_at_any_operation(packing: Packing) {
    use Failure::{DiskFull, DoneButReported, NotDone, Partly};
    for number in 1..=operations(Retention::default(), packing) {
        let partly = if number % 2 == 0 { Partly } else { DiskFull };
        for failure in [NotDone, DoneButReported, partly] {
            let mut world = World { packing, ..World::new(number) };
            world.at = format!("{packing:?}, {failure:?} at {number}");
            world.storage.fail_at(number, failure);
            // If the program did not stop by itself, it ends here; then it is started again in one way or the other.
            let _ = world.scenario();
            world.storage.free_space();
            let seed = number * 4 + failure as u64;
            let lost = world.storage.after_power_loss(seed * (number % 2));
            world.found(lost, "power lost").recover(1 + seed as usize % 2, seed);
            world.found(world.storage.after_kill(), "ended").recover(1 + seed as usize % 3, seed);
        }
    }
}
