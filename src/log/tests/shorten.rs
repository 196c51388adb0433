//! A log is shortened, and the machine stops at every operation of that.

use std::collections::BTreeSet;

use super::crash::{append, fresh, mend, scene};
use super::fake::Fake;
use super::*;
use crate::log::committer::Committer;
use crate::log::layout::Layout;
use crate::log::record::StreamState;
use crate::log::{check, shorten};
use crate::time::Day;

const TICKS: u64 = 40;

/// Two runs, each with events of the days 3 and 4; returns also the files of day 3.
fn two_runs() -> (Fake, BTreeSet<PathBuf>) {
    let fake = fresh(Fake::default());
    append(&fake, 1, 0..20, |_| Some(true), &mut Default::default()).unwrap();
    mend(&fake).unwrap();
    append(&fake, 2, 20..TICKS, |tick| Some(tick % 3 == 0), &mut Default::default()).unwrap();
    mend(&fake).unwrap();
    let files = scanned(&fake).unwrap().files.into_iter().filter(|file| file.last_day == Day(3));
    let unwanted: BTreeSet<PathBuf> = files.map(|file| file.path).collect();
    assert_eq!(unwanted.len(), 2);
    (fake, unwanted)
}

fn cut(fake: &Fake, unwanted: &BTreeSet<PathBuf>) -> Result<Repaired, LogError> {
    shorten(fake, Path::new(PART), u64::MAX, unwanted, false)
}

/// Asserts that the streams say everything else, and that each run has all or none of the events of a day. Returns the
/// number of runs that still have day 3.
#[track_caller]
fn left(fake: &Fake, proven: &[LogPosition]) -> usize {
    check(fake, Path::new(PART), 2, proven).unwrap();
    let state = scanned(fake).unwrap();
    verify(fake, &state).unwrap();
    let entries: Vec<_> = (0..TICKS).map(scene).collect();
    let ranges: Vec<_> = entries.iter().flat_map(|entry| entry.ranges.clone()).collect();
    assert_eq!(state.ranges, ranges);
    let rows: Vec<_> = entries.iter().flat_map(|entry| entry.refused.clone()).collect();
    assert_eq!(refused_rows(fake, &state).unwrap(), rows);
    assert_eq!((state.once.len() as u64, state.tick_max), (TICKS, Some(TICKS - 1)));
    let of_day_3: BTreeSet<u64> =
        state.files.iter().filter(|file| file.day == Day(3)).map(|file| file.run).collect();
    let is_left = |tick: u64, event: &Event| {
        let run = if tick < 20 { 1 } else { 2 };
        event.0.div_euclid(DAY_MS) == 4 || of_day_3.contains(&run)
    };
    let mut expect: Vec<(Moment, Event)> = (0..TICKS)
        .flat_map(|tick| {
            let entry = &entries[tick as usize];
            let left = entry.events.iter().filter(move |event| is_left(tick, event));
            left.map(|&event| (entry.moment, event)).collect::<Vec<_>>()
        })
        .collect();
    expect.sort_unstable();
    let mut found = events(fake).unwrap();
    found.sort_unstable();
    assert_eq!(found, expect);
    of_day_3.len()
}

#[test]
fn what_is_kept_survives_a_crash_anywhere_and_what_is_not_goes_in_the_end() {
    let (whole, unwanted) = two_runs();
    let proven: Vec<LogPosition> = scanned(&whole).unwrap().proofs().map(|p| p.position).collect();
    assert_eq!(left(&whole, &proven), 2);
    let shortened = whole.after_kill();
    let removed = cut(&shortened, &unwanted).unwrap();
    assert_eq!(removed.streams_merged, 2);
    assert_eq!(
        removed.files_removed, 5,
        "two files, the streams without them, which are merged, and the merged ones before"
    );
    let operations = shortened.done().len();
    assert_eq!(left(&shortened, &proven), 0);
    assert_eq!(cut(&shortened, &unwanted).unwrap(), Repaired::default(), "nothing is left to do");
    assert!(operations > 8, "{operations}");
    for at in 0..=operations {
        for seed in 0..20 {
            let crashed = whole.after_kill();
            crashed.crash_in(at, seed);
            assert_eq!(cut(&crashed, &unwanted).is_err(), at < operations, "at {at}");
            for found in [crashed.after_kill(), crashed.after_power_loss(seed)] {
                let before = left(&found, &proven);
                mend(&found).unwrap();
                assert_eq!(left(&found, &proven), before, "at {at}: a repair changes nothing");
                cut(&found, &unwanted).unwrap();
                let lost = found.after_power_loss(seed + 7);
                assert_eq!(left(&lost, &proven), 0, "at {at}");
                mend(&lost).unwrap();
                let gone = |path: &PathBuf| lost.read(path).is_err();
                assert!(unwanted.iter().all(gone), "at {at}");
            }
        }
    }
}

/// A run that removes its events of day 3 between two halves.
fn shorten_between(fake: &Fake) -> Result<(), LogError> {
    let state = StreamState::new(1, 0, vec![("v".to_owned(), 5)]);
    let storage: Arc<dyn Storage> = Arc::new(fake.clone());
    let mut committer = Committer::new(storage, Layout::new(Path::new(PART)), codec(), state);
    for tick in 0..TICKS {
        if tick == TICKS / 2 {
            // Floors so far are below 3; events that entered under a higher one are needed.
            committer.shorten(Day(4), &|last, floor| last > Day(3) || floor > 2)?;
        }
        committer.take(scene(tick))?;
        committer.commit(tick.is_multiple_of(3))?;
    }
    // Day 3 has an event that is needed.
    committer.shorten(Day(4), &|_, floor| floor > 2)?;
    committer.commit(true)
}

/// Checks that of the entries nothing is missing, except perhaps the events of day 3 in the first half.
#[track_caller]
fn left_between(fake: &Fake) -> bool {
    let state = scanned(fake).unwrap();
    verify(fake, &state).unwrap();
    let held = state.tick_max.map_or(0, |tick| tick + 1);
    let mut found = events(fake).unwrap();
    found.sort_unstable();
    let of = |is_there: &dyn Fn(u64, &Event) -> bool| {
        let mut expect: Vec<(Moment, Event)> = Vec::new();
        for tick in 0..held {
            let entry = scene(tick);
            let there = entry.events.iter().filter(|event| is_there(tick, event));
            expect.extend(there.map(|event| (entry.moment, *event)));
        }
        expect.sort_unstable();
        expect
    };
    let is_whole = found == of(&|_, _| true);
    let is_later = |tick: u64, event: &Event| tick >= TICKS / 2 || event.0.div_euclid(DAY_MS) == 4;
    assert!(is_whole || found == of(&is_later), "{held} entries");
    assert_eq!(state.once.len() as u64, held);
    is_whole
}

#[test]
fn a_run_shortens_its_own_log_and_the_machine_stops_anywhere() {
    let whole = fresh(Fake::default());
    shorten_between(&whole).unwrap();
    let operations = whole.done().len();
    assert!(!left_between(&whole), "day 3 is gone");
    assert_eq!(scanned(&whole).unwrap().tick_max, Some(TICKS - 1));
    for at in fresh(Fake::default()).done().len()..=operations {
        for seed in 0..6 {
            let fake = fresh(Fake::crashing(at, seed * 7_919 + at as u64));
            assert_eq!(shorten_between(&fake).is_err(), at < operations, "at {at}");
            for found in [fake.after_kill(), fake.after_power_loss(seed)] {
                let before = left_between(&found);
                mend(&found).unwrap();
                assert_eq!(left_between(&found), before, "at {at}: a repair changes nothing");
                let lost = found.after_power_loss(seed + 7);
                assert_eq!(left_between(&lost), before, "at {at}");
            }
        }
    }
}
