//! Round trips.

use crate::time::duration;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn what_was_appended_comes_back() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    storage.create_dirs(Path::new(PART)).unwrap();
    for how in
        [Durability::EveryCommit, Durability::Every(Duration::from_secs(3600)), Durability::System]
    {
        let run = scanned(&*storage).unwrap().streams.len() as u64 + 1;
        let mut log = writer(&storage, run, 0, how);
        let handle = log.handle();
        let before = events(&*storage).unwrap().len();
        log.append(entry(10 * run, 3, 5)).unwrap();
        log.append(entry(10 * run + 1, 4, 7)).unwrap();
        handle.sync_through(2).unwrap();
        assert_eq!((handle.appended(), handle.committed(), handle.durable()), (2, 2, 2));
        assert_eq!(events(&*storage).unwrap().len(), before + 12);
        log.append(entry(10 * run + 2, 3, 1)).unwrap();
        drop(log);
        assert_eq!(events(&*storage).unwrap().len(), before + 13);
        assert_eq!(handle.durable(), 3);
        // The stream is rewritten, and merged with those before, once; nothing else changes.
        let files_removed = if run == 1 { 2 } else { 3 };
        let repaired =
            Repaired { streams: 1, files_removed, streams_merged: 1, ..Repaired::default() };
        assert_eq!(repair(&*storage, Path::new(PART), u64::MAX).unwrap(), repaired);
        assert_eq!(repair(&*storage, Path::new(PART), u64::MAX).unwrap(), Repaired::default());
        let state = scanned(&*storage).unwrap();
        assert_eq!(verify(&*storage, &state).unwrap().events, 13 * run);
    }
}

/// The work of one writer: a durability, and appends of (day, events, whether to wait for the disk).
type Writes = (usize, Vec<(i64, u64, bool)>);

fn writes() -> impl Strategy<Value = Writes> {
    let day = prop_oneof![-2i64..3, Just(-200_000), Just(i64::MIN), Just(i64::MAX)];
    (0usize..3, vec((day, 0u64..5, any::<bool>()), 0..12))
}

/// Writes runs of workers in two parts, and returns all events.
fn write_runs(
    storage: &Arc<dyn Storage>,
    parts: &[(u32, PathBuf)],
    runs: &[Vec<Writes>],
) -> (u64, Vec<(Moment, Event)>) {
    let hows = [Durability::EveryCommit, Durability::System, Durability::Every(Duration::MAX)];
    let (mut written, mut tick) = (Vec::new(), 0);
    for (run, workers) in (1..).zip(runs) {
        // All of them are open at the same time.
        let mut logs = Vec::new();
        for (worker, (how, appends)) in (0u32..).zip(workers) {
            let part = parts[worker as usize % 2].1.clone();
            let definition = vec![("v".to_owned(), i64::from(worker))];
            let storage = Arc::clone(storage);
            let mut log =
                LogWriter::new(storage, part, run, worker, definition, hows[*how], codec(), || {});
            for &(day, count, wait) in appends {
                tick += 1;
                let mut one = entry(tick, 0, 0);
                one.moment.floor = tick as i64 / 5;
                one.ranges[0].to -= 1;
                one.refused_elsewhere = 2;
                let begin = day.saturating_mul(DAY_MS);
                let time = |n: u64| begin.saturating_add((n as i64 % 2) * DAY_MS);
                let events: Vec<Event> = (0..count).map(|n| (time(n), tick, n as i64)).collect();
                written.extend(events.iter().map(|&event| (one.moment, event)));
                one.events = Arc::new(events);
                log.append(one).unwrap();
                if wait {
                    log.handle().sync_through(log.handle().appended()).unwrap();
                }
            }
            logs.push(log);
        }
        drop(logs);
        for (_, part) in parts {
            // Nothing is cut, and streams that were rewritten before are not rewritten again.
            let repaired = repair(&**storage, part, run + 1).unwrap();
            assert_eq!((repaired.files_cut, repaired.bytes_cut), (0, 0));
            assert_eq!(repair(&**storage, part, run + 1).unwrap(), Repaired::default());
        }
    }
    written.sort_unstable();
    (tick, written)
}

fn check_runs(runs: &[Vec<Writes>]) {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let part = |part: u32| (part, PathBuf::from(format!("/data/part-{part}")));
    let parts = [part(0), part(1)];
    parts.iter().for_each(|(_, part)| storage.create_dirs(part).unwrap());
    let (entries, expect) = write_runs(&storage, &parts, runs);
    let state = scan(&*storage, &parts, u64::MAX).unwrap();
    assert_eq!(verify(&*storage, &state).unwrap().events, expect.len() as u64);
    assert_eq!((state.events, state.refused), (expect.len() as u64, 2 * entries));
    assert_eq!(state.ranges.len() as u64, entries);
    assert_eq!(state.tick_max, (entries > 0).then_some(entries));
    assert_eq!(state.floor_max, (entries > 0).then_some(entries as i64 / 5));
    assert!(state.files.is_sorted_by_key(|file| (file.day, file.part, file.run, file.worker)));
    let mut found = Vec::new();
    for file in &state.files {
        let stream = &state.streams[file.stream];
        assert_eq!((file.part, file.run, file.worker), (stream.part, stream.run, stream.worker));
        assert_eq!(stream.graces, [("v".to_owned(), duration(i64::from(file.worker)))]);
        let mut frames = Frames::open(&*storage, file).unwrap();
        while let Some(frame) = frames.next(|_| true).unwrap() {
            assert!(frame.moment.floor <= file.floor_max);
            for event in frame.decode(&codec()).unwrap() {
                let day = event.0.div_euclid(DAY_MS);
                let day = day.clamp(i64::from(i32::MIN) + 1, i64::from(i32::MAX));
                assert_eq!(i64::from(file.day.0), day);
                found.push((frame.moment, event));
            }
        }
    }
    found.sort_unstable();
    assert_eq!(found, expect);
    let earlier = scan(&*storage, &parts, 2).unwrap();
    assert!(earlier.streams.iter().all(|stream| stream.run == 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn oracle_whatever_is_written_comes_back(runs in vec(vec(writes(), 1..4), 1..4)) {
        check_runs(&runs);
    }
}
