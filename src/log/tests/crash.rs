//! The machine stops at every operation of a run and of a repair.

use super::fake::{Dice, Fake};
use super::*;
use crate::log::committer::Committer;
use crate::log::layout::Layout;
use crate::log::record::StreamState;

/// An entry of a scenario: two of three are of day 3, and some have a refused row.
pub(super) fn scene(tick: u64) -> Entry<Event> {
    let mut made = entry(tick, if tick.is_multiple_of(3) { 4 } else { 3 }, 1 + tick % 4);
    made.moment = Moment::new(tick as i64 / 7, tick);
    // The ranges have gaps, so that they are not merged and streams grow.
    made.ranges[0].to -= 1;
    made.ranges[0].mark = vec![tick as u8; 120];
    made.once = Some(key(tick));
    if tick.is_multiple_of(4) {
        made.refused = vec![Refused { line: tick, reason: "no".into(), row: b"a,b".into() }];
        made.refused_elsewhere = 1;
    }
    made
}

fn key(tick: u64) -> OnceKey {
    let (at, events) = (tick as i64, 1 + tick % 4);
    OnceKey { key: format!("key {tick:03}"), digest: u128::from(tick), at, events }
}

/// The numbers up to which entries were taken, committed, and durable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    pub(super) taken: u64,
    pub(super) committed: u64,
    pub(super) durable: u64,
}

/// Appends entries `from..until` in a run. `when` says after which entries a commit comes, and whether it is synced.
pub(super) fn append(
    fake: &Fake,
    run: u64,
    ticks: std::ops::Range<u64>,
    when: impl Fn(u64) -> Option<bool>,
    reached: &mut Reached,
) -> Result<(), LogError> {
    let state = StreamState::new(run, 0, vec![("v".to_owned(), 5)]);
    let storage: Arc<dyn Storage> = Arc::new(fake.clone());
    let mut committer = Committer::new(storage, Layout::new(Path::new(PART)), codec(), state);
    for tick in ticks {
        committer.take(scene(tick))?;
        reached.taken = tick + 1;
        if let Some(sync) = when(tick) {
            committer.commit(sync)?;
            reached.committed = reached.taken;
            reached.durable = if sync { reached.taken } else { reached.durable };
        }
    }
    Ok(())
}

/// The number of entries in the log. Asserts that these are the first ones, complete, and each once.
#[track_caller]
pub(super) fn held(storage: &dyn Storage) -> u64 {
    let state = scanned(storage).unwrap();
    verify(storage, &state).unwrap();
    let mut found = events(storage).unwrap();
    found.sort_unstable();
    let held = state.tick_max.map_or(0, |tick| tick + 1);
    let entries: Vec<_> = (0..held).map(scene).collect();
    let mut expect: Vec<(Moment, Event)> = entries
        .iter()
        .flat_map(|entry| entry.events.iter().map(|&event| (entry.moment, event)))
        .collect();
    expect.sort_unstable();
    assert_eq!(found, expect);
    let ranges: Vec<_> = entries.iter().flat_map(|entry| entry.ranges.clone()).collect();
    assert_eq!(state.ranges, ranges);
    let rows: Vec<_> = entries.iter().flat_map(|entry| entry.refused.clone()).collect();
    assert_eq!(refused_rows(storage, &state).unwrap(), rows);
    assert_eq!(state.refused, 2 * rows.len() as u64);
    let mut keys = state.once;
    keys.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(keys, (0..held).map(key).collect::<Vec<_>>(), "keys are in with their events");
    held
}

pub(super) fn mend(fake: &Fake) -> Result<Repaired, LogError> {
    repair(fake, Path::new(PART), u64::MAX)
}

pub(super) fn fresh(fake: Fake) -> Fake {
    // The part exists before the log; its creation is not to crash.
    let _ = fake.create_dirs(Path::new(PART));
    fake
}

/// The number of operations that create the part.
fn making() -> usize {
    fresh(Fake::default()).done().len()
}

/// Crashes a scenario at every operation.
fn crash_everywhere(entries: u64, seeds: u64, when: impl Fn(u64) -> Option<bool> + Copy) {
    let whole = fresh(Fake::default());
    append(&whole, 1, 0..entries, when, &mut Reached::default()).unwrap();
    let operations = whole.done().len();
    assert!(whole.count("rename", "commits") > 1, "no stream took the place of another one");
    for (at, seed) in (making()..=operations).flat_map(|at| (0..seeds).map(move |seed| (at, seed)))
    {
        let fake = fresh(Fake::crashing(at, seed * 7_919 + at as u64));
        let mut reached = Reached::default();
        let result = append(&fake, 1, 0..entries, when, &mut reached);
        assert_eq!(result.is_err(), at < operations, "at {at}");
        let check = |found: &Fake, least| {
            let held = held(found);
            assert!((least..=reached.taken).contains(&held), "at {at}: {held}, {reached:?}");
            held
        };
        if seed < 2 {
            check(&fake.after_kill(), reached.committed);
            recover(&fake.after_kill(), reached.durable, seed + 3 * at as u64);
        }
        let found = fake.after_power_loss(seed + 1_000 * at as u64);
        let durable = check(&found, reached.durable);
        recover(&found, durable, seed);
    }
}

/// Repairs the log, also with a crash inside, and continues with another run. `durable` of the found entries are
/// durable.
fn recover(found: &Fake, durable: u64, seed: u64) {
    let before = held(found);
    let repaired = found.after_kill();
    mend(&repaired).unwrap();
    let operations = repaired.done().len();
    assert_eq!(held(&repaired), before, "after the repair");
    assert_eq!(mend(&repaired).unwrap(), Repaired::default(), "a second repair finds something");
    let after = repaired.after_power_loss(seed + 9);
    assert_eq!(held(&after), before, "what was believed after the repair is gone");
    append(&after, 2, before..before + 3, |_| Some(true), &mut Reached::default()).unwrap();
    let last = after.after_power_loss(seed + 13);
    assert_eq!(held(&last), before + 3, "another run after the repair");

    let crashed = found.after_kill();
    crashed.crash_in(Dice(seed).below(operations + 1), seed);
    let _ = mend(&crashed);
    let again = crashed.after_power_loss(seed + 5);
    let left = held(&again);
    assert!((durable..=before).contains(&left), "after a crash in the repair: {left}");
    mend(&again).unwrap();
    assert_eq!(held(&again), left, "after another repair");
}

#[test]
fn every_commit_survives_a_crash_anywhere() {
    crash_everywhere(24, 2, |_| Some(true));
}

#[test]
fn unsynced_commits_are_there_up_to_one_of_them() {
    crash_everywhere(24, 4, |tick| Some(tick % 11 == 10));
}

#[test]
fn a_crash_in_a_sync_leaves_no_hole_that_looks_like_damage() {
    let when = |tick| Some(tick == 3);
    let whole = fresh(Fake::default());
    append(&whole, 1, 0..4, when, &mut Reached::default()).unwrap();
    let last = whole.done().len() - 1;
    for seed in 0..200 {
        // The last record, which says `synced`, was written, but its sync does not happen.
        let fake = fresh(Fake::failing(last, false));
        append(&fake, 1, 0..4, when, &mut Reached::default()).unwrap_err();
        held(&fake.after_power_loss(seed));
    }
}

#[test]
fn commits_of_groups_survive_a_crash_anywhere() {
    crash_everywhere(30, 2, |tick| (tick % 3 == 2).then_some(tick % 2 == 0));
}

#[test]
fn a_failed_operation_loses_nothing_that_was_durable() {
    let when = |tick| Some(tick % 4 != 0);
    let whole = fresh(Fake::default());
    append(&whole, 1, 0..40, when, &mut Reached::default()).unwrap();
    for at in making()..whole.done().len() {
        for happened in [false, true] {
            let fake = fresh(Fake::failing(at, happened));
            let mut reached = Reached::default();
            append(&fake, 1, 0..40, when, &mut reached).unwrap_err();
            let killed = fake.after_kill();
            let found = held(&killed);
            assert!((reached.committed..=reached.taken).contains(&found), "at {at}: {found}");
            mend(&killed).unwrap();
            assert_eq!(held(&killed), found);
            let found = held(&fake.after_power_loss(at as u64));
            assert!((reached.durable..=reached.taken).contains(&found), "at {at}: {found}");
        }
    }
}

fn committer(fake: &Fake, worker: u32) -> Committer<Event> {
    let state = StreamState::new(1, worker, Vec::new());
    Committer::new(Arc::new(fake.clone()), Layout::new(Path::new(PART)), codec(), state)
}

fn put(committer: &mut Committer<Event>, entry: Entry<Event>, sync: bool) -> Result<(), LogError> {
    committer.take(entry)?;
    committer.commit(sync)
}

/// One worker may fail while another one writes events of `days_before` earlier days.
fn side_by_side(fake: &Fake, days_before: u64, sync: bool) -> Result<(), LogError> {
    let mut other = committer(fake, 1);
    (0..days_before).for_each(|tick| put(&mut other, entry(tick, 5, 1), true).unwrap());
    let result = put(&mut committer(fake, 0), entry(8, 3, 1), true);
    put(&mut other, entry(9, 3, 1), sync).unwrap();
    result
}

#[test]
fn a_folder_that_another_worker_has_just_made_is_made_durable() {
    for (before, folders) in [(0, 3), (1, 1)] {
        let whole = fresh(Fake::default());
        side_by_side(&whole, before, true).unwrap();
        let done = whole.done();
        let first = done.iter().position(|(_, path)| path.ends_with("1970-01-04")).unwrap();
        let from = if before == 0 { making() } else { first };
        let made: Vec<_> = (from..done.len()).filter(|&at| done[at].0 == "make").collect();
        assert_eq!(made.len(), folders, "the log, the day and the commits, or the day only");
        for (at, sync) in made.into_iter().flat_map(|at| [(at, false), (at, true)]) {
            // The first worker has created the folder, but not synced its name.
            let mut fake = fresh(Fake::failing(at + 1, false));
            side_by_side(&fake, before, sync).unwrap_err();
            if !sync {
                fake = fake.after_kill();
                mend(&fake).unwrap();
            }
            for seed in 0..10 {
                let found = fake.after_power_loss(seed);
                assert_eq!(events(&found).unwrap().len() as u64, before + 1, "at {at}");
            }
        }
    }
}

#[test]
fn more_days_than_open_files() {
    let storage = fresh(Fake::default());
    let mut committer = committer(&storage, 0);
    // Days alternate, so that the events of a day are not together; few days come at once, so that each has its own
    // file.
    let event = |n: i64| ((n % 25 + n / 75 * 25 - 50) * DAY_MS, 7, n);
    for tick in 0..4 {
        let mut many = entry(tick, 0, 0);
        many.events = Arc::new((75 * tick as i64..75 * (tick as i64 + 1)).map(event).collect());
        committer.take(many).unwrap();
        committer.commit(false).unwrap();
    }
    assert!(storage.count("sync", "/log/19") > 0, "a file that is closed is synced first");
    committer.take(entry(5, -50, 5)).unwrap();
    committer.commit(true).unwrap();
    for seed in 0..10 {
        let found = storage.after_power_loss(seed);
        let state = scanned(&found).unwrap();
        assert_eq!((state.files.len(), state.events), (100, 305));
        assert_eq!(verify(&found, &state).unwrap().frames, 101);
    }
}

#[test]
fn regression_a_commit_of_many_days_takes_few_files_and_syncs() {
    let storage = fresh(Fake::default());
    let mut committer = committer(&storage, 0);
    let event = |n: i64| (n * 9_973 % 7_000 * DAY_MS, 7, n);
    for tick in 0..3 {
        let before = storage.count("sync", "");
        let mut many = entry(tick, 0, 0);
        many.events =
            Arc::new((7_000 * tick as i64..7_000 * (tick as i64 + 1)).map(event).collect());
        committer.take(many).unwrap();
        committer.take(entry(tick, 3, 1)).unwrap();
        committer.commit(true).unwrap();
        let syncs = storage.count("sync", "") - before;
        assert!(syncs < 40, "{syncs} syncs");
    }
    // A single day that is late enough to be a commit of its own has its own file.
    committer.take(entry(4, 9_000, 2)).unwrap();
    committer.commit(true).unwrap();
    drop(committer);
    for seed in 0..10 {
        let found = storage.after_power_loss(seed);
        repair(&found, Path::new(PART), 2).unwrap();
        let state = scanned(&found).unwrap();
        assert!(state.files.len() <= 9, "{:?}", state.files);
        assert_eq!((state.events, verify(&found, &state).unwrap().events), (21_005, 21_005));
        let mut seen = 0;
        for file in &state.files {
            let mut frames = Frames::open(&found, file).unwrap();
            while let Some(frame) = frames.next(|_| true).unwrap() {
                let events = frame.decode(&codec()).unwrap();
                let day = |event: &Event| crate::time::Day((event.0 / DAY_MS) as i32);
                assert!(events.iter().all(|e| (file.day..=file.last_day).contains(&day(e))));
                seen += events.len();
            }
        }
        assert_eq!(seen, 21_005);
    }
}

#[test]
fn regression_what_a_repair_believes_survives_though_a_sync_had_failed() {
    use crate::store::{Failure, Faulty};
    // The failing sync is that of the file, of its folders, or of the stream.
    for ahead in 1..8 {
        let faulty = Faulty::new(ahead);
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        storage.create_dirs(Path::new(PART)).unwrap();
        let mut log = writer(&storage, 1, 0, Durability::System);
        let handle = log.handle();
        log.append(entry(1, 3, 5)).unwrap();
        while handle.committed() == 0 {
            std::thread::yield_now();
        }
        faulty.fail_at(faulty.operations() + ahead, Failure::NotDone);
        let synced = handle.sync_through(1);
        drop(log);
        let found = faulty.after_kill();
        repair(&found, Path::new(PART), 2).unwrap();
        let before = events(&found).unwrap();
        assert_eq!(before.len(), 5, "at {ahead}: {synced:?}");
        assert_eq!(events(&found.after_power_loss(0)).unwrap(), before, "at {ahead}: {synced:?}");
    }
}
