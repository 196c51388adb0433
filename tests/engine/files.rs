//! Files as partitions, together with other sources: each row counts once, however runs end, files grow, and sources
//! are added or left out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{EngineError, LiveOptions, Measures, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{
    Changed, CsvOptions, Files, Input, Next, PartitionOptions, Row, RowFormat, RowTimes, Source,
};
use dayfold::store::{Failure, Faulty};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Time, key, value.
type Event = (EventTime, u64, i64);
type Rows = BTreeMap<(i32, u64), (i64, i128)>;
type Handle = ViewHandle<u64, (Count, Sum)>;

const DAY_MS: i64 = 86_400_000;
const SOON: Durability = Durability::Every(Duration::from_millis(1));

fn parse(row: &Row<'_>) -> Result<Event, String> {
    let number = |field: usize| -> Result<i64, String> {
        let text = std::str::from_utf8(row.field(field)).map_err(|error| error.to_string())?;
        text.parse().map_err(|_| format!("'{text}' is no number"))
    };
    Ok((row.time(), number(0)? as u64, number(1)?))
}

fn options(format: RowFormat) -> CsvOptions {
    CsvOptions::new("at").fields(["key", "value"]).format(format)
}

fn engine(disk: &Faulty) -> (Engine<Event>, Handle) {
    let mut engine =
        Engine::new().data_in(Arc::new(disk.clone()), "data").log(SOON, |e: &Event| e.0);
    let view = engine.view(View::new("v").unwrap(), Measures::none(), |&(time, key, value)| {
        Some((time, key, (Count::one(), Sum::of(value))))
    });
    (engine, view)
}

fn answer(view: &Handle) -> Rows {
    let answer = view.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap();
    let rows = answer.items.into_iter().map(|item| {
        let (count, sum) = item.parts.merged().unwrap();
        ((item.day.unwrap().0, item.key.unwrap()), (count.0, sum.value()))
    });
    rows.collect()
}

/// Shows the rows that differ.
#[track_caller]
fn assert_same(found: &Rows, expect: &Rows, what: &str) {
    let keys = found.keys().chain(expect.keys()).filter(|key| found.get(key) != expect.get(key));
    let differ: Vec<_> = keys.map(|key| (key, found.get(key), expect.get(key))).take(5).collect();
    assert!(differ.is_empty(), "{what}: found and expected differ: {differ:?}");
}

fn add(rows: &mut Rows, (time, key, value): Event) {
    let row = rows.entry((time.div_euclid(DAY_MS) as i32, key)).or_default();
    (row.0, row.1) = (row.0 + 1, row.1 + i128::from(value));
}

fn ended(running: &Running) -> Result<(), EngineError> {
    while !running.wait_sealed(Duration::from_secs(1))? {}
    Ok(())
}

/// A seeded generator of random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Folders of files, the totals of their rows, and the number of bad rows.
struct Folder {
    place: tempfile::TempDir,
    random: Random,
    rows: Rows,
    refused: usize,
    files: usize,
}

impl Folder {
    fn new(seed: u64) -> Folder {
        let place = tempfile::tempdir().unwrap();
        for name in ["csv", "json/in"] {
            fs::create_dir_all(place.path().join(name)).unwrap();
        }
        let (rows, refused, files) = (Rows::new(), 0, 0);
        Folder { place, random: Random(seed), rows, refused, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Some rows of a few days, and occasionally an invalid one.
    fn lines(&mut self, json: bool) -> String {
        let (begin, mut text) = (self.random.below(20) as i64 * DAY_MS, String::new());
        for n in 0..self.random.below(400) as i64 {
            // Whole seconds, as they are written.
            let at = (begin + n * DAY_MS / 100) / 1_000 - self.random.below(43_200) as i64;
            let time = at * 1_000;
            let (key, value) = (self.random.below(7), self.random.below(1_000) as i64 - 500);
            let shown = if self.random.below(23) == 5 {
                self.refused += 1;
                "\"x\"".to_owned()
            } else {
                add(&mut self.rows, (time, key, value));
                value.to_string()
            };
            text += &match json {
                true => format!("{{\"at\":{at},\"key\":{key},\"value\":{shown}}}\n"),
                false => format!("{at},{key},{shown}\n"),
            };
        }
        text
    }

    /// More files, and more rows in some that there are.
    fn grow(&mut self) {
        for _ in 0..4 {
            let (name, json) = (self.files, self.files.is_multiple_of(2));
            self.files += 1;
            let text = self.lines(json);
            let path = match (json, name % 4) {
                (true, 0) => self.path(&format!("json/{name}.jsonl")),
                (true, _) => self.path(&format!("json/in/{name}.jsonl.gz")),
                (false, _) => self.path(&format!("csv/{name}.csv")),
            };
            if path.extension().unwrap() == "gz" {
                let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
                packed.write_all(text.as_bytes()).unwrap();
                fs::write(path, packed.finish().unwrap()).unwrap();
            } else {
                fs::write(path, if json { text } else { format!("at,key,value\n{text}") }).unwrap();
            }
        }
        for name in 0..self.files {
            let json = name.is_multiple_of(2);
            let path = self.path(&match json {
                true => format!("json/{name}.jsonl"),
                false => format!("csv/{name}.csv"),
            });
            if path.exists() && self.random.below(3) == 0 {
                let text = self.lines(json);
                let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(text.as_bytes()).unwrap();
            }
        }
    }

    fn csv(&self) -> Files<Event> {
        let pattern = self.path("csv/*.csv");
        Files::new("csv", pattern.to_str().unwrap(), options(RowFormat::Csv), parse)
    }

    fn json(&self) -> Files<Event> {
        let folder = self.path("json");
        Files::new("json", folder.to_str().unwrap(), options(RowFormat::JsonLines), parse)
    }

    #[track_caller]
    fn check(&self, view: &Handle, disk: &Faulty, running: Running, what: &str) {
        ended(&running).unwrap();
        assert_same(&answer(view), &self.rows, what);
        running.finish().unwrap();
        let state = dayfold::log::scan(disk, &[(0, "data/part-0".into())], u64::MAX).unwrap();
        let refused = dayfold::log::refused_rows(disk, &state).unwrap();
        assert_eq!(refused.len(), self.refused, "{what}");
        let is_named = |reason: &str| reason.starts_with("csv/") || reason.starts_with("json/");
        assert!(refused.iter().all(|row| is_named(&row.reason)), "{what}: {refused:?}");
    }
}

/// Files grow and new files come between runs, which end anywhere and have different numbers of workers: the answers
/// cover all rows.
#[test]
fn oracle_runs_that_end_anywhere_count_each_row_of_each_file_once() {
    let rounds = if cfg!(debug_assertions) { 12 } else { 100 };
    for seed in 0..rounds {
        let (mut folder, mut disk) = (Folder::new(seed), Faulty::new(seed));
        for run in 0..5 {
            folder.grow();
            let workers = 1 + folder.random.below(4) as usize;
            let what = format!("seed {seed}, run {run}, {workers} workers");
            let start = |folder: &Folder, disk: &Faulty, swap: bool| {
                let (engine, view) = engine(disk);
                // In any order.
                let engine = match swap {
                    true => engine.partitioned(folder.json()).partitioned(folder.csv()),
                    false => engine.partitioned(folder.csv()).partitioned(folder.json()),
                };
                engine.start(Cluster::workers(workers)).map(|running| (running, view))
            };
            if run % 2 == 0 {
                let at = disk.operations() + 5 + folder.random.below(120);
                match folder.random.below(3) {
                    0 => disk.fail_at(at, Failure::NotDone),
                    1 => disk.fail_at(at, Failure::DoneButReported),
                    _ => disk.crash_at(at),
                }
                if let Ok((running, _view)) = start(&folder, &disk, run == 2) {
                    drop(ended(&running));
                    drop(running);
                }
                disk.crash();
                disk = if run == 2 { disk.after_power_loss(seed) } else { disk.after_kill() };
                disk.free_space();
            }
            let (running, view) = start(&folder, &disk, run % 2 == 1).unwrap();
            folder.check(&view, &disk, running, &what);
        }
    }
}

/// One file that all workers share, files as partitions and pushed events, in one engine; sources that are left out and
/// come back.
#[test]
fn all_kinds_of_sources_in_one_engine() {
    let (mut folder, disk) = (Folder::new(77), Faulty::new(77));
    folder.grow();
    let single = folder.path("single.csv");
    fs::write(&single, "at,key,value\n5,1,10\n6,1,x\n86407,2,20\n").unwrap();
    let mut expect = folder.rows.clone();
    for event in [(5_000, 1, 10), (86_407_000, 2, 20)] {
        add(&mut expect, event);
    }
    for run in 0..3 {
        let (mut engine, view) = engine(&disk);
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let mut engine = engine.file(single.as_path(), options(RowFormat::Csv), parse);
        engine = engine.partitioned(folder.csv());
        // The middle run leaves it out.
        if run != 1 {
            engine = engine.partitioned(folder.json());
        }
        let running = engine.start(Cluster::workers(2)).unwrap();
        let event = (run * DAY_MS, 3, run);
        let pushed = pusher.push(vec![event]).unwrap();
        add(&mut expect, event);
        pushed.receipt.wait_both(Duration::from_secs(60)).unwrap();
        drop(pusher);
        ended(&running).unwrap();
        assert_same(&answer(&view), &expect, &format!("run {run}"));
        let former = running.progress().former_sources;
        assert_eq!(former, if run == 1 { vec!["json"] } else { vec![] }, "run {run}");
        running.finish().unwrap();
    }
}

/// A file whose content changed before its position is refused, with a hint how to continue, and is read from its
/// beginning if the change is accepted.
#[test]
fn a_file_that_changed_is_refused_and_can_be_read_anew() {
    let (folder, disk) = (Folder::new(1), Faulty::new(1));
    let path = folder.path("csv/a.csv");
    let start = |changed: Changed| {
        let (engine, view) = engine(&disk);
        let engine = engine.partitioned(folder.csv().changed(changed));
        (engine.start(Cluster::workers(2)).unwrap(), view)
    };
    fs::write(&path, "at,key,value\n5,1,10\n6,1,10\n").unwrap();
    let (running, _) = start(Changed::Stop);
    ended(&running).unwrap();
    running.finish().unwrap();
    fs::write(&path, "at,key,value\n5,1,70\n6,1,10\n7,1,1\n").unwrap();
    let (running, _) = start(Changed::Stop);
    let told = ended(&running).unwrap_err().to_string();
    assert!(told.contains("a.csv' has changed: read before were 27 bytes"), "{told}");
    assert!(told.contains("counts up to byte 27") && told.contains("ReadAnew"), "{told}");
    drop(running);
    for _ in 0..2 {
        let (running, view) = start(Changed::ReadAnew);
        ended(&running).unwrap();
        assert_eq!(answer(&view)[&(0, 1)], (5, 101), "what was read before counts");
        running.finish().unwrap();
    }
}

/// A folder may be moved, and found under another path: its files stay the same.
#[test]
fn names_within_a_folder_stay_when_it_is_moved() {
    let (folder, disk) = (Folder::new(1), Faulty::new(1));
    fs::write(folder.path("csv/a.csv"), "at,key,value\n5,1,10\n").unwrap();
    for (place, rows) in [("csv", 1), ("moved", 1), ("moved", 2)] {
        if place == "moved" && rows == 1 {
            fs::rename(folder.path("csv"), folder.path("moved")).unwrap();
        }
        if rows == 2 {
            fs::write(folder.path("moved/b.csv"), "at,key,value\n6,1,10\n").unwrap();
        }
        let (engine, view) = engine(&disk);
        let within = folder.path(place);
        let files = Files::new("s", within.to_str().unwrap(), options(RowFormat::Csv), parse);
        let running = engine.partitioned(files.within(&within)).start(Cluster::workers(2)).unwrap();
        ended(&running).unwrap();
        assert_eq!(answer(&view)[&(0, 1)], (rows, 10 * i128::from(rows)), "{place}");
        running.finish().unwrap();
    }
}

/// Times computed from whole rows or from fields, with and without arrivals, give the same rows as columns.
#[test]
fn times_are_computed_of_rows() {
    let (folder, mut answers) = (Folder::new(1), Vec::new());
    let rows = (0..5_000).map(|n| format!("{},{},{}", n * 60 - n % 7 * 3_600, n % 5, n));
    let text: String = rows.map(|row| format!("{row}\n")).collect();
    let header = "at,key,value\n";
    fs::write(folder.path("csv/a.csv"), format!("{header}{text}\"5\",1,1\nsoon,1,1\n")).unwrap();
    let seconds = |field: &[u8]| -> Result<EventTime, String> {
        let text = std::str::from_utf8(field).map_err(|error| error.to_string())?;
        text.parse::<i64>().map(|at| at * 1_000).map_err(|_| format!("'{text}' is no time"))
    };
    let of_field = RowTimes::event(move |row| seconds(row.field(2)));
    let of_raw = RowTimes::with_arrival(move |row| {
        let at = row.raw().split(|byte| *byte == b',').next().unwrap_or_default();
        let at: Vec<u8> = at.iter().copied().filter(|byte| *byte != b'"').collect();
        // Every other row has an arrival.
        let at = seconds(&at)?;
        Ok((at, (at % 2_000 == 0).then_some(at)))
    });
    for times in [None, Some(of_field), Some(of_raw)] {
        let column = if times.is_some() { "there is none" } else { "at" };
        let mut options = CsvOptions::new(column).fields(["key", "value", "at"]);
        if let Some(times) = times {
            options = options.row_times(times);
        }
        let disk = Faulty::new(1);
        let (engine, view) = engine(&disk);
        let pattern = folder.path("csv/*.csv");
        let files = Files::new("csv", pattern.to_str().unwrap(), options, parse);
        let running = engine.partitioned(files).start(Cluster::workers(2)).unwrap();
        ended(&running).unwrap();
        assert_eq!(running.progress().refused, 1);
        answers.push(answer(&view));
        running.finish().unwrap();
    }
    assert_eq!(answers[0].values().map(|row| row.0).sum::<i64>(), 5_001);
    assert_same(&answers[1], &answers[0], "the event time of a field");
    assert_same(&answers[2], &answers[0], "both times of the row");
}

/// Waits until a condition holds, or panics after a minute.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// New files, growing files, half-written files, and removed files while the engine runs.
#[test]
fn files_are_watched() {
    let (folder, disk) = (Folder::new(1), Faulty::new(1));
    let append = |name: &str, text: &[u8]| {
        let path = folder.path(name);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text).unwrap();
    };
    let (engine, view) = engine(&disk);
    let pattern = folder.path("csv");
    let files =
        Files::new("csv", pattern.to_str().unwrap(), options(RowFormat::Csv), parse).watch();
    let running = engine.partitioned(files).start(Cluster::workers(2)).unwrap();
    let row = |day| answer(&view).get(&(day, 1)).copied().unwrap_or_default();
    append("csv/a.csv", b"at,key,value\n5,1,10\n6,1,1");
    wait_until("the first row of a new file", || row(0) == (1, 10));
    append("csv/a.csv", b"0\n");
    wait_until("a row whose end came later", || row(0) == (2, 20));
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"at,key,value\n86401,1,7\n86402,1,8\n").unwrap();
    let packed = packed.finish().unwrap();
    append("csv/b.csv.gz", &packed[..packed.len() / 2]);
    let trouble = || {
        let sources = running.progress().sources;
        sources.into_iter().filter_map(|source| source.trouble).collect::<String>()
    };
    wait_until("a file that is being written", || trouble().contains("cut off"));
    append("csv/b.csv.gz", &packed[packed.len() / 2..]);
    wait_until("the whole file", || row(1) == (2, 15) && trouble().is_empty());
    fs::remove_file(folder.path("csv/a.csv")).unwrap();
    append("csv/c.csv", b"at,key,value\n7,1,10\n");
    wait_until("a file after one was removed", || row(0) == (3, 30));
    assert!(running.progress().sources.iter().any(|source| source.name.ends_with("c.csv")));
    drop(running);
}

/// Files that are rotated while the engine runs, by renaming and by truncating: each row counts once.
#[test]
fn files_are_rotated() {
    let (folder, disk) = (Folder::new(1), Faulty::new(1));
    let path = folder.path("csv/live.csv");
    let append = |path: &Path, text: &str| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let (engine, view) = engine(&disk);
    let files = folder.csv().changed(Changed::ReadAnew).watch();
    let running = engine.partitioned(files).start(Cluster::workers(2)).unwrap();
    let row = || answer(&view).get(&(0, 1)).copied().unwrap_or_default();
    append(&path, "at,key,value\n1,1,1\n2,1,10\n");
    wait_until("the first rows", || row() == (2, 11));
    // The writer continues for a while after the file was renamed, and after there is a new one.
    let old = folder.path("csv/live.csv.1");
    fs::rename(&path, &old).unwrap();
    append(&old, "3,1,100\n");
    wait_until("a row behind the renaming", || row() == (3, 111));
    fs::write(&path, "").unwrap();
    append(&old, "4,1,1000\n");
    wait_until("a row beside the new file", || row() == (4, 1_111));
    append(&path, "at,key,value\n5,1,10000\n");
    wait_until("the new file", || row() == (5, 11_111));
    // Truncated and rewritten.
    fs::write(&path, "").unwrap();
    append(&path, "at,key,value\n6,1,1\n7,1,1\n8,1,1\n9,1,1\n");
    wait_until("the file that was emptied", || row() == (9, 11_115));
    fs::remove_file(&path).unwrap();
    append(&folder.path("csv/other.csv"), "at,key,value\n10,1,1\n");
    wait_until("a file after one was removed", || row() == (10, 11_116));
    drop(running);
    // In another run, everything is there, and nothing is read again.
    let (engine, view) = self::engine(&disk);
    let running = engine
        .partitioned(folder.csv().changed(Changed::ReadAnew))
        .start(Cluster::workers(1))
        .unwrap();
    ended(&running).unwrap();
    assert_eq!(answer(&view)[&(0, 1)], (10, 11_116));
    running.finish().unwrap();
}

/// A file of later days waits for a file whose days are open; a file without new rows for a while holds no days open.
#[test]
fn files_that_are_far_ahead_are_paused_and_quiet_ones_hold_nothing_back() {
    let (folder, disk) = (Folder::new(1), Faulty::new(1));
    let now = Arc::new(AtomicI64::new(400 * DAY_MS));
    let wall = Arc::clone(&now);
    let write = |name: &str, days: std::ops::Range<i64>| {
        let rows = days.map(|day| format!("{},1,1\n", day * 86_400));
        let text = format!("at,key,value\n{}", rows.collect::<String>());
        fs::write(folder.path(name), text).unwrap();
    };
    // There are two workers, and enough files that each worker has one that lasts for a year.
    write("csv/held.csv", 0..2);
    (0..8).for_each(|n| write(&format!("csv/{n}.csv"), 0..365));
    let limits = PartitionOptions::default().max_ahead(Duration::from_secs(10 * 86_400));
    let (engine, view) = engine(&disk);
    let engine = engine.clock(move || wall.load(Ordering::Relaxed));
    let files = folder.csv().options(limits).watch();
    let running = engine.partitioned(files).start(Cluster::workers(2)).unwrap();
    // A file is paused after its first block, which has all its rows. So the next rows are the waiting ones.
    let others = |days: i64| {
        for n in 0..8 {
            let path = folder.path(&format!("csv/{n}.csv"));
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            let rows = (365..365 + days).map(|day| format!("{},1,1\n", day * 86_400));
            file.write_all(rows.collect::<String>().as_bytes()).unwrap();
        }
    };
    let count = || answer(&view).values().map(|row| row.0).sum::<i64>();
    wait_until("the first block of each file", || count() == 2 + 8 * 365);
    others(2);
    let paused = || running.progress().sources.iter().filter(|source| source.paused).count();
    wait_until("files that wait for another", || paused() == 8);
    assert_eq!(count(), 2 + 8 * 365);
    // It is at its end, and becomes quiet by the wall clock.
    now.fetch_add(60_000, Ordering::Relaxed);
    wait_until("files that go on", || count() == 2 + 8 * 367);
    let sources = running.progress().sources;
    let held = sources.iter().find(|source| source.name.ends_with("held.csv")).unwrap();
    assert!(held.quiet, "{held:?}");
    drop(running);
}

/// Two processes of two workers each read one folder.
#[test]
fn two_processes_read_the_files_of_a_folder() {
    let mut folder = Folder::new(5);
    let data = tempfile::tempdir().unwrap();
    for run in 0..3 {
        folder.grow();
        let listeners = [0, 1].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let hosts: Vec<String> =
            listeners.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
        drop(listeners);
        let start = |process: usize, data: &Path, folder: &Folder| {
            let mut engine = Engine::<Event>::new().data(data).log(SOON, |e: &Event| e.0);
            let view = View::new("v").unwrap();
            let view = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
                Some((time, key, (Count::one(), Sum::of(value))))
            });
            let engine = engine.partitioned(folder.csv()).partitioned(folder.json());
            let cluster = Cluster::hosts(2, process, hosts.clone()).unwrap();
            (engine.start(cluster).unwrap(), view)
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let (running, _view) = start(1, data.path(), &folder);
                while !running.wait_stopped(Duration::from_secs(1)) {}
                drop(running.finish());
            });
            let (running, view) = start(0, data.path(), &folder);
            // The second run is cut off.
            if run == 1 {
                std::thread::sleep(Duration::from_millis(20));
                drop(running);
            } else {
                ended(&running).unwrap();
                assert_same(&answer(&view), &folder.rows, &format!("run {run}"));
                running.finish().unwrap();
            }
            other.join().unwrap();
        });
    }
}

/// One event, and then nothing for ever; the source knows its watermark.
struct Idle {
    read: bool,
}

impl Source for Idle {
    type Position = bool;

    fn name(&self) -> &str {
        "idle"
    }

    fn read(&mut self) -> std::io::Result<Next<'_>> {
        Ok(match std::mem::replace(&mut self.read, true) {
            false => Next::Record { time: 5, arrival: None, bytes: b"" },
            true => Next::Idle { watermark: 7 * DAY_MS },
        })
    }

    fn position(&self) -> bool {
        self.read
    }
}

/// Sources without events hold no days open: an idle source up to its watermark, a followed file by the wall clock.
#[test]
fn quiet_sources_close_their_days() {
    let disk = Faulty::new(1);
    let (idle, _) = engine(&disk);
    let idle = idle.source(
        |resume| Ok(Some(Idle { read: resume.consumed().unwrap_or(false) })),
        |row| Ok((row.time(), 1, 1)),
    );
    let running = idle.start(Cluster::workers(2)).unwrap();
    wait_until("days before the watermark", || running.progress().floor > 6 * DAY_MS);
    running.finish().unwrap();

    let (folder, disk) = (Folder::new(1), Faulty::new(1));
    let path = folder.path("csv/grows.csv");
    fs::write(&path, "at,key,value\n5,1,10\n").unwrap();
    let now = Arc::new(AtomicI64::new(10 * DAY_MS));
    let wall = Arc::clone(&now);
    let (followed, view) = engine(&disk);
    let rows = options(RowFormat::Csv).quiet_after(Duration::from_secs(60));
    let followed = followed.clock(move || wall.load(Ordering::Relaxed));
    let followed = followed.file(Input::follow(&path), rows, parse);
    let running = followed.start(Cluster::workers(2)).unwrap();
    wait_until("its row", || answer(&view).len() == 1);
    assert!(running.progress().floor < DAY_MS, "it may bring more of its day");
    now.fetch_add(DAY_MS, Ordering::Relaxed);
    wait_until("days before the wall clock", || running.progress().floor > 9 * DAY_MS);
    // What comes late counts.
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"6,1,10\n").unwrap();
    wait_until("its late row", || answer(&view)[&(0, 1)] == (2, 20));
    running.finish().unwrap();
}
