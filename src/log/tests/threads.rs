//! The thread of a log: when it commits and syncs, what it does when something fails, and readers beside it.

use std::sync::mpsc::{self, Receiver};

use super::fake::Fake;
use super::*;
use crate::store::{Disk, Effect};

const LONG: Durability = Durability::Every(Duration::from_secs(100_000));

/// A log on a fake, and a channel that reports its progress.
fn started(fake: &Fake, how: Durability) -> (LogWriter<Event>, LogHandle, Receiver<()>) {
    let _ = fake.create_dirs(Path::new(PART));
    let (tell, told) = mpsc::channel();
    let tell = move || tell.send(()).unwrap_or_default();
    let storage = Arc::new(fake.clone());
    let log = LogWriter::new(storage, PART.into(), 1, 0, Vec::new(), how, codec(), tell);
    let handle = log.handle();
    (log, handle, told)
}

/// Waits until a condition holds; the channel reports each change.
#[track_caller]
fn until(told: &Receiver<()>, holds: impl Fn() -> bool) {
    while !holds() {
        told.recv_timeout(Duration::from_secs(60)).expect("progress within a minute");
    }
}

fn day_syncs(fake: &Fake) -> usize {
    fake.count("sync", "/log/19")
}

#[test]
fn every_commit_is_synced_by_itself() {
    let fake = Fake::default();
    let (mut log, handle, told) = started(&fake, Durability::EveryCommit);
    for number in 1..4 {
        log.append(entry(number, 3, 2)).unwrap();
        until(&told, || handle.durable() == number);
        assert_eq!(handle.committed(), number);
        assert_eq!(day_syncs(&fake), number as usize);
        assert_eq!(events(&fake.after_power_loss(number)).unwrap().len(), 2 * number as usize);
    }
    assert_eq!(handle.waiting_bytes(), 0);
}

#[test]
fn every_so_often_is_synced_when_it_is_time_or_asked_for() {
    let fake = Fake::default();
    let (mut log, handle, _told) = started(&fake, LONG);
    log.append(entry(1, 3, 2)).unwrap();
    log.append(entry(2, 3, 2)).unwrap();
    assert_eq!((handle.committed(), day_syncs(&fake)), (0, 0));
    handle.sync_through(1).unwrap();
    assert!(handle.durable() >= 1 && day_syncs(&fake) >= 1);
    drop(log);
    assert_eq!(handle.durable(), 2);
    assert_eq!(events(&fake.after_power_loss(1)).unwrap().len(), 4);

    let fake = Fake::default();
    let (mut log, handle, told) = started(&fake, Durability::Every(Duration::from_millis(1)));
    log.append(entry(1, 3, 2)).unwrap();
    until(&told, || handle.durable() == 1);
    log.append(entry(2, 3, 2)).unwrap();
    until(&told, || handle.durable() == 2);
}

#[test]
fn the_system_is_asked_for_a_sync_only_when_somebody_waits() {
    let fake = Fake::default();
    let (mut log, handle, told) = started(&fake, Durability::System);
    for number in 1..4 {
        log.append(entry(number, 3, 2)).unwrap();
        until(&told, || handle.committed() == number);
        assert_eq!(events(&fake.after_kill()).unwrap().len(), 2 * number as usize);
    }
    assert_eq!((handle.durable(), day_syncs(&fake)), (0, 0));
    handle.sync_through(3).unwrap();
    assert_eq!((handle.durable(), day_syncs(&fake)), (3, 1));
    assert_eq!(events(&fake.after_power_loss(1)).unwrap().len(), 6);
    handle.sync_through(2).unwrap();
    assert_eq!(day_syncs(&fake), 1, "nothing was to be synced");
}

#[test]
fn what_gathers_during_a_sync_is_one_commit() {
    let fake = Fake::default();
    let (mut log, handle, told) = started(&fake, Durability::EveryCommit);
    log.append(entry(1, 3, 2)).unwrap();
    until(&told, || handle.durable() == 1);
    fake.hold_syncs(true);
    log.append(entry(2, 3, 2)).unwrap();
    // The thread is about to sync the second entry, or is on its way to it.
    while handle.waiting_bytes() > 0 {
        std::thread::yield_now();
    }
    (3..20).for_each(|number| log.append(entry(number, 3, 2)).unwrap());
    assert_eq!((handle.appended(), handle.durable()), (19, 1));
    assert!(handle.waiting_bytes() >= 17 * 2 * size_of::<Event>());
    fake.hold_syncs(false);
    handle.sync_through(19).unwrap();
    assert_eq!(day_syncs(&fake), 3, "one for the first, the second, and the others");
}

#[test]
fn nothing_is_made_before_something_is_appended() {
    let fake = Fake::default();
    let (mut log, handle, _told) = started(&fake, Durability::EveryCommit);
    let before = fake.done().len();
    handle.sync_through(0).unwrap();
    let mut empty = entry(1, 3, 0);
    empty.ranges.clear();
    log.append(empty).unwrap();
    handle.sync_through(1).unwrap();
    drop(log);
    assert_eq!(fake.done().len(), before);
    assert_eq!(scanned(&fake).unwrap(), LogState::default());
    let error = handle.sync_through(2).unwrap_err();
    assert!(matches!(error, LogError::Stopped { .. }), "{error}");
}

#[test]
fn a_log_that_has_failed_stays_failed() {
    for kind in ["create", "write", "sync", "sync_dir", "rename", "make"] {
        for happened in [false, true] {
            let whole = Fake::default();
            let (mut log, _, _told) = started(&whole, Durability::EveryCommit);
            log.append(entry(1, 3, 2)).unwrap();
            drop(log);
            // The last operation of its kind.
            let at = whole.done().iter().rposition(|(done, _)| *done == kind).unwrap();
            let path = whole.done()[at].1.clone();
            let fake = Fake::failing(at, happened);
            let (mut log, handle, told) = started(&fake, Durability::EveryCommit);
            log.append(entry(1, 3, 2)).unwrap();
            until(&told, || handle.error().is_some());
            let done = fake.done().len();
            for error in
                [log.append(entry(2, 3, 2)).unwrap_err(), handle.sync_through(1).unwrap_err()]
            {
                let LogError::Write { path: found, effect, .. } = &error else { panic!("{error}") };
                assert!(
                    path.starts_with(found) || found.starts_with(&path) || kind == "sync_dir",
                    "{error}"
                );
                if kind == "write" || kind == "sync" {
                    assert_eq!(*effect, Effect::Perhaps, "the last is that of the commit: {error}");
                }
            }
            assert_eq!((handle.appended(), handle.committed(), handle.durable()), (1, 0, 0));
            drop(log);
            assert_eq!(fake.done().len(), done, "nothing more is written");
            let found = fake.after_kill();
            repair(&found, Path::new(PART), 2).unwrap();
            assert!([0, 2].contains(&events(&found).unwrap().len()));
        }
    }
}

#[test]
fn a_disk_that_is_full_fails_the_log_before_the_commit() {
    let fake = Fake::default();
    let (mut log, handle, told) = started(&fake, Durability::EveryCommit);
    log.append(entry(1, 3, 2)).unwrap();
    until(&told, || handle.durable() == 1);
    // The next operation is the write to the file of the day.
    fake.crash_in(0, 3);
    log.append(entry(2, 3, 2)).unwrap();
    let error = handle.sync_through(2).unwrap_err();
    assert!(matches!(error, LogError::Write { effect: Effect::None, .. }), "{error}");
    assert!(
        error.to_string().starts_with("cannot append to /data/part-0/log/1970-01-04/r1-w0.log: ")
    );
    assert_eq!(handle.durable(), 1);
}

#[test]
fn an_encoding_that_panics_or_fails_fails_the_log() {
    #[derive(serde::Deserialize)]
    struct Picky(i64);
    impl serde::Serialize for Picky {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            assert!(self.0 < 2, "two is too many");
            match self.0 {
                0 => to.serialize_i64(0),
                _ => Err(serde::ser::Error::custom("one is not liked")),
            }
        }
    }
    for (value, expect) in [(1, "one is not liked"), (2, "its thread has panicked")] {
        let fake = Fake::default();
        fake.create_dirs(Path::new(PART)).unwrap();
        let codec = EventCodec::new(|picky: &Picky| picky.0);
        let how = Durability::EveryCommit;
        let mut log = LogWriter::new(Arc::new(fake), PART.into(), 1, 0, vec![], how, codec, || {});
        let events = Arc::new(vec![Picky(0), Picky(value)]);
        let Entry { moment, ranges, extents, refused, refused_elsewhere, once, .. } =
            entry(1, 3, 0);
        log.append(Entry { moment, events, ranges, extents, refused, refused_elsewhere, once })
            .unwrap();
        let error = log.handle().sync_through(1).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

/// Scans repeatedly while a log is written whose streams replace each other all the time.
fn scan_beside(storage: Arc<dyn Storage>, part: &Path) {
    storage.create_dirs(part).unwrap();
    let how = Durability::System;
    let mut log =
        LogWriter::new(Arc::clone(&storage), part.to_owned(), 1, 0, vec![], how, codec(), || {});
    let handle = log.handle();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            for tick in 0..1_500 {
                let mut one = entry(2 * tick, tick as i64 % 3, 1);
                one.moment.floor = 0;
                log.append(one).unwrap();
                if tick % 50 == 0 {
                    log.handle().sync_through(tick).unwrap();
                }
            }
        });
        let mut last = 0;
        while !writing.is_finished() {
            let committed = handle.committed();
            let state = scan(&*storage, &[(0, part.to_owned())], 2).unwrap();
            assert_eq!(verify(&*storage, &state).unwrap().events, state.events);
            assert!(state.events >= committed.max(last), "{} < {committed}", state.events);
            last = state.events;
        }
    });
    let state = scan(&*storage, &[(0, part.to_owned())], 2).unwrap();
    assert_eq!((state.events, state.ranges.len()), (1_500, 1_500));
    let streams = storage.list(&part.join("log/commits")).unwrap();
    assert!(streams.len() == 1 && streams != ["r1-w0-0.log"], "{streams:?}");
}

#[test]
fn a_log_can_be_read_while_it_is_written() {
    scan_beside(Arc::new(Memory::default()), Path::new(PART));
    let folder = tempfile::tempdir().unwrap();
    scan_beside(Arc::new(Disk), &folder.path().join("part-0"));
}

#[test]
fn a_stream_that_is_replaced_before_it_is_read_is_looked_for_again() {
    let fake = Fake::default();
    let (mut log, _, _told) = started(&fake, Durability::EveryCommit);
    let mut tick = 0;
    while fake.count("rename", "commits") < 2 {
        log.append(entry(2 * tick, 3, 1)).unwrap();
        log.handle().sync_through(log.handle().appended()).unwrap();
        tick += 1;
    }
    fake.pretend(&["r1-w0-0.log"]);
    assert_eq!(events(&fake).unwrap().len() as u64, tick);
    fake.pretend(&["r1-w1-0.log"]);
    assert!(matches!(scanned(&fake), Err(LogError::Io { .. })), "there is no other one");
}
