//! Memory holds only unsealed days: ten years of days need no more than one year.
//!
//! Each length is measured in its own process. Only anonymous memory counts; batch views are mapped files, whose pages
//! the system can reclaim.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dayfold::aggregate::{Count, Max, Quantiles, Sum};
use dayfold::batch::Bytes;
use dayfold::serve::{Answer, Query};
use dayfold::store::{Disk, FolderLock, Storage, StorageFile, Store, StoreConfig, ViewRecord};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

/// Set in the processes that are measured.
const DAYS: &str = "DAYFOLD_TEST_DAYS";

const WORKERS: usize = 2;
const KEYS: u64 = 3_000;
const EVENTS_A_KEY: u64 = 1;
const RECENT: u64 = 30;
const DAY_MS: i64 = 86_400_000;
/// 2013-01-01T00:00:00Z.
const START: EventTime = 1_356_998_400_000;

type Stats = (Count, Sum, Max<i64>, Quantiles);

#[test]
fn ten_years_need_no_more_memory_than_one() {
    if let Ok(days) = std::env::var(DAYS) {
        return measured(days.parse().expect("a number of days"));
    }
    let (year, decade) = (anonymous_of(365), anonymous_of(3_650));
    let ratio = decade as f64 / year as f64;
    println!("anonymous memory: one year {year} kB, ten years {decade} kB, ratio {ratio:.3}");
    assert!(ratio <= 1.2, "one year {year} kB, ten years {decade} kB, ratio {ratio:.3}");
}

/// Runs this many days in a separate process. Returns its peak anonymous memory, in kB.
fn anonymous_of(days: u64) -> u64 {
    let test = "memory::ten_years_need_no_more_memory_than_one";
    let text = crate::alone(test, &[(DAYS, &days.to_string())]);
    let peak = text.split_once("peak ").and_then(|(_, rest)| rest.split(' ').next());
    peak.and_then(|peak| peak.parse().ok()).unwrap_or_else(|| panic!("no peak in {text}"))
}

/// Folds this many days into a folder, queries at intervals, and prints the peak anonymous memory.
fn measured(days: u64) {
    let folder = tempfile::tempdir().unwrap();
    let view = View::new("memory").unwrap();
    let record = ViewRecord::of::<u64, Stats>(&view);
    let config = StoreConfig::new(0, 1, vec![record]);
    let store = Store::open(Arc::new(Unsynced), folder.path(), config).unwrap();
    store.begin().unwrap();
    let archive = Archive::folder(Arc::new(store));

    let done = AtomicUsize::new(0);
    let guards = timely::execute(timely::Config::process(WORKERS), move |worker| {
        let (index, peers) = (worker.index() as u64, worker.peers());
        let mut events = InputHandle::<Moment, _>::new();
        let mut asking = InputHandle::<Moment, _>::new();
        let probe = ProbeHandle::new();
        let answered = std::rc::Rc::new(std::cell::Cell::new(0));
        let last = std::rc::Rc::clone(&answered);
        let status = worker.dataflow(|scope| {
            let folded = events
                .to_stream(scope)
                .fold_days(view.clone(), &archive, |&(time, key): &(EventTime, u64)| {
                    let value = key as i64;
                    let quantiles = Quantiles::of(value.into());
                    Some((time, key, (Count::one(), Sum::of(value), Max(time), quantiles)))
                })
                .unwrap();
            folded.progress().probe_with(&probe);
            folded
                .serve(asking.to_stream(scope))
                .inspect(move |answer: &Answer<u64, Stats>| {
                    last.set(answer.value().map_or(0, |stats| stats.0.0));
                })
                .probe_with(&probe);
            folded.status()
        });
        let pause = Some(Duration::from_millis(1));
        let mut peak = 0;
        for day in 0..days {
            let start = START + day as i64 * DAY_MS;
            let moment = Moment::new(view.floor_at(start), day + 1);
            events.advance_to(moment);
            for key in (0..KEYS).filter(|key| key % peers as u64 == index) {
                (0..EVENTS_A_KEY).for_each(|n| events.send((start + n as i64, key)));
            }
            events.advance_to(Moment::new(moment.floor, day + 2));
            asking.advance_to(moment);
            if index == 0 {
                asking.send(Query::point(7u64, recent(day)));
            }
            asking.advance_to(Moment::new(moment.floor, day + 2));
            // As in the engine, data that waits for the disk is bounded.
            worker.step_or_park_while(pause, || probe.less_equal(&moment) || status.sealing() > 0);
            if index == 0 {
                assert_eq!(answered.get(), ((day + 1).min(RECENT) * EVENTS_A_KEY) as i64);
                if day % 16 == 0 {
                    peak = peak.max(anonymous());
                }
            }
        }
        events.close();
        worker.step_or_park_while(pause, || !status.finished());
        if index == 0 {
            peak = peak.max(anonymous());
            println!("peak {peak} kB, {} days sealed", status.numbers().sealed_days);
            assert_eq!(status.numbers().sealed_days as u64, days);
        }
        done.fetch_add(1, Ordering::SeqCst);
        worker.step_or_park_while(pause, || done.load(Ordering::SeqCst) < peers);
        asking.close();
        worker.step_or_park_while(None, || !probe.done());
    });
    guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
}

/// The days of the queries that are asked every day.
fn recent(day: u64) -> DayRange {
    let last = Day((START / DAY_MS) as i32 + day as i32);
    DayRange::new(Day(last.0 + 1 - RECENT as i32), last.next())
}

/// Anonymous memory of this process that is resident, in kB.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The machine's files, without waiting for the disk, because the disk is not measured.
#[derive(Debug)]
struct Unsynced;

impl Storage for Unsynced {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Disk.read(path)
    }
    fn map(&self, path: &Path) -> io::Result<Bytes> {
        Disk.map(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(UnsyncedFile(Disk.create(path)?)))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(UnsyncedFile(Disk.append(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, path: &Path) -> io::Result<FolderLock> {
        Disk.lock(path)
    }
}

#[derive(Debug)]
struct UnsyncedFile(Box<dyn StorageFile>);

impl io::Write for UnsyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl StorageFile for UnsyncedFile {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
}
