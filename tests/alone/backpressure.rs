//! A source that is faster than the engine: queues are bounded, and so is memory.
//!
//! Each case runs in its own process. `DAYFOLD_SOAK=20 cargo test --release --test alone backpressure` processes twenty
//! times as much, under the same bounds.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::batch::Bytes;
use dayfold::engine::{LiveOptions, Measures, Running};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input};
use dayfold::store::{Disk, FolderLock, Storage, StorageFile};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

/// Set in the processes that are measured.
const CASE: &str = "DAYFOLD_TEST_CASE";
/// How many times the volume to process.
const SOAK: &str = "DAYFOLD_SOAK";

const DAY_MS: i64 = 86_400_000;
/// 2013-01-01T00:00:00Z.
const START: EventTime = 1_356_998_400_000;
const KEYS: u64 = 500;
/// For two workers: four ticks in flight, and four that ended in this turn.
const DELTAS: usize = 2 * (4 + 4);
const MIB: usize = 1 << 20;

#[test]
fn pushers_wait_for_a_slow_disk() {
    measured("pushers_wait_for_a_slow_disk", push_to_a_slow_disk);
}

#[test]
fn a_file_waits_for_a_slow_view() {
    measured("a_file_waits_for_a_slow_view", read_into_a_slow_view);
}

/// Runs a case in its own process, or is that process.
fn measured(test: &str, case: fn(usize)) {
    let soak = std::env::var(SOAK).map_or(1, |soak| soak.parse().expect("a number"));
    if std::env::var(CASE).is_ok_and(|case| case == test) {
        return case(soak);
    }
    // Freed memory that glibc keeps in an arena for each thread does not count.
    let variables = [(CASE, test), ("MALLOC_ARENA_MAX", "1")];
    let said = crate::alone(&format!("backpressure::{test}"), &variables);
    said.lines().filter(|line| line.starts_with("most")).for_each(|line| println!("{line}"));
}

/// The largest queues that were seen.
#[derive(Debug, Default)]
struct Most {
    ticks: usize,
    deltas: usize,
    closed: usize,
    log_waiting: usize,
    /// Anonymous memory that was resident, in MiB.
    memory: usize,
}

impl Most {
    fn look(&mut self, running: &Running) {
        let progress = running.progress();
        let of_views =
            |number: fn(&dayfold::ViewNumbers) -> usize| progress.views.iter().map(number).max();
        self.ticks = self.ticks.max(progress.ticks);
        self.deltas = self.deltas.max(of_views(|view| view.deltas).unwrap_or(0));
        self.closed = self.closed.max(of_views(|view| view.closed).unwrap_or(0));
        self.log_waiting = self.log_waiting.max(progress.log_waiting);
        self.memory = self.memory.max(anonymous_mib());
    }

    /// Checks until everything is sealed.
    fn watch(&mut self, running: &Running) {
        while !running.wait_sealed(Duration::from_millis(2)).unwrap() {
            self.look(running);
        }
    }
}

/// Anonymous memory of this process that is resident, in MiB.
fn anonymous_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1_024
}

/// 450 MiB of events, of 1 KiB each, from three threads, to a disk on which each file takes 60 MiB a
/// second.
fn push_to_a_slow_disk(soak: usize) {
    const EVENT_BYTES: usize = 1_024;
    const BATCH: u64 = 1_000;
    const PUSHERS: u64 = 3;
    const WAITING: usize = 4_096;
    const TICK_ROWS: usize = 4_096;
    const DAYS: u64 = 30;
    type Event = (EventTime, u64, String);

    let events = (450 * MIB / EVENT_BYTES * soak) as u64;
    let folder = tempfile::tempdir().unwrap();
    // The clock follows the pushed events: this many days, however long it takes.
    let pushed = Arc::new(AtomicU64::new(0));
    let time = move |number: u64| {
        START + (number as i128 * i128::from(DAYS) * DAY_MS as i128 / events as i128) as i64
    };
    let reached = Arc::clone(&pushed);
    let mut engine = Engine::<Event>::new()
        .clock(move || time(reached.load(Ordering::Relaxed)))
        .tick_rows(TICK_ROWS)
        .data_in(Arc::new(Slow), folder.path());
    let view = View::new("pushed").unwrap();
    let handle = engine
        .view(view, Measures::none(), |(time, key, _): &Event| Some((*time, *key, Count::one())));
    let options = LiveOptions::new(|event: &Event| event.0);
    let options = options.waiting(WAITING).disorder(Duration::from_millis(DAY_MS as u64));
    let pusher = engine.live(options);
    let engine = engine.log(Durability::Every(Duration::from_millis(10)), |event| event.0);
    let running = engine.start(Cluster::workers(2)).unwrap();
    let mut most = Most::default();
    std::thread::scope(|scope| {
        for _ in 0..PUSHERS {
            let (pusher, pushed) = (pusher.clone(), Arc::clone(&pushed));
            scope.spawn(move || {
                loop {
                    let from = pushed.fetch_add(BATCH, Ordering::Relaxed);
                    if from >= events {
                        return;
                    }
                    let event = |number| (time(number), number % KEYS, "x".repeat(EVENT_BYTES));
                    let batch = (from..events.min(from + BATCH)).map(event).collect();
                    assert!(pusher.push(batch).unwrap().refused.is_empty());
                }
            });
        }
        drop(pusher);
        most.watch(&running);
    });
    let total = handle.ask(Query::total(DayRange::ALL)).unwrap().value();
    assert_eq!(total, Some(Count(events as i64)));
    running.finish().unwrap();

    println!("most {most:?}");
    assert!(most.ticks <= 4, "{most:?}");
    assert!(most.deltas <= DELTAS, "{most:?}");
    // The number at which a worker takes in no more, and those under way.
    let tick = TICK_ROWS + BATCH as usize;
    let under_way = 2 * 4 * tick + WAITING + PUSHERS as usize * BATCH as usize;
    let days = under_way as u64 * DAYS / events + 2;
    assert!(most.closed <= 8 + days as usize, "{most:?}");
    let bytes = EVENT_BYTES + 64;
    assert!(most.log_waiting <= 64 * MIB + tick * bytes, "{most:?}");
    assert!(most.log_waiting >= 32 * MIB, "the disk was not slow: {most:?}");
    // The two logs, data under way, and half as much again.
    let known = (2 * (64 * MIB + tick * bytes) + under_way * bytes) / MIB;
    assert!(most.memory <= known * 3 / 2, "{most:?}, known {known} MiB");
}

/// 120 MiB of rows into a view that takes 20 µs for each of them.
fn read_into_a_slow_view(soak: usize) {
    const ROW_BYTES: usize = 200;
    let rows = (120 * MIB / ROW_BYTES * soak) as u64;
    let seen = AtomicI64::new(0);
    let mut engine = Engine::<(EventTime, u64)>::new();
    let view = View::new("slow").unwrap();
    let handle = engine.view(view, Measures::none(), move |&(time, key)| {
        if seen.fetch_add(1, Ordering::Relaxed) % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Some((time, key, Count::one()))
    });
    let source = Input::reader("rows", Rows::new(rows, ROW_BYTES));
    let options = CsvOptions::new("t").fields(["k", "pad"]);
    let engine = engine.csv(
        move |_| Ok(Some(CsvSource::open(source, options)?)),
        |row| {
            let key = std::str::from_utf8(row.field(0)).unwrap().parse();
            Ok((row.time(), key.map_err(|_| "no key".to_owned())?))
        },
    );
    let running = engine.start(Cluster::workers(2)).unwrap();
    let mut most = Most::default();
    most.watch(&running);
    let total = handle.ask(Query::total(DayRange::ALL)).unwrap().value();
    assert_eq!(total, Some(Count(rows as i64)));
    running.finish().unwrap();

    println!("most {most:?}");
    assert!(most.ticks <= 4 && most.deltas <= DELTAS && most.closed <= 8 + 2, "{most:?}");
    // Blocks that wait, are dealt, or are being processed, as much again, and the program itself.
    let known = 2 * (8 + 2 * 4 + 4) * 4_096 * ROW_BYTES / MIB + 16;
    assert!(most.memory <= known, "{most:?}, known {known} MiB");
}

/// Rows of ten days.
struct Rows {
    next: u64,
    rows: u64,
    pad: String,
    text: String,
    at: usize,
}

impl Rows {
    fn new(rows: u64, bytes: usize) -> Rows {
        Rows { next: 0, rows, pad: "x".repeat(bytes - 16), text: "t,k,pad\n".to_owned(), at: 0 }
    }
}

impl Read for Rows {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() {
            (self.at, self.text) = (0, String::new());
            for number in self.next..self.rows.min(self.next + 1_000) {
                let seconds = START / 1_000 + (number * 10 * 86_400 / self.rows) as i64;
                writeln!(self.text, "{seconds},{},{}", number % KEYS, self.pad).unwrap();
                self.next = number + 1;
            }
        }
        let length = into.len().min(self.text.len() - self.at);
        into[..length].copy_from_slice(&self.text.as_bytes()[self.at..][..length]);
        self.at += length;
        Ok(length)
    }
}

/// The machine's files, on a disk that takes 60 MiB a second for each file, and 20 ms for a sync.
#[derive(Debug)]
struct Slow;

const BYTES_A_MS: usize = 60 * MIB / 1_000;
const SYNC: Duration = Duration::from_millis(20);

impl Storage for Slow {
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
        Ok(Box::new(SlowFile(Disk.create(path)?)))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(SlowFile(Disk.append(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        std::thread::sleep(SYNC);
        Ok(())
    }
    fn lock(&self, path: &Path) -> io::Result<FolderLock> {
        Disk.lock(path)
    }
}

#[derive(Debug)]
struct SlowFile(Box<dyn StorageFile>);

impl io::Write for SlowFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis((bytes.len() / BYTES_A_MS) as u64));
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl StorageFile for SlowFile {
    fn sync(&mut self) -> io::Result<()> {
        std::thread::sleep(SYNC);
        Ok(())
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
}
