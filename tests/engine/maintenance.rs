//! Audits against the log, rebuilds from it, and new and changed views.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::archive::Fault;
use dayfold::engine::{EngineError, LiveOptions, Measures, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input, Row};
use dayfold::store::{Disk, StoreError};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine, Fold};

use crate::LONG;

type Event = (EventTime, String, i64);
type Stats = (Count, Sum);
type Rows = Vec<(Day, String, Stats)>;

fn parse(row: &Row<'_>) -> Result<Event, String> {
    let key = String::from_utf8_lossy(row.field(0)).into_owned();
    let value = std::str::from_utf8(row.field(1)).ok().and_then(|text| text.parse().ok());
    Ok((row.time(), key, value.ok_or("a number")?))
}

/// Twenty days of events, every seventh of them two days late.
fn rows() -> String {
    let mut text = "t,k,v\n".to_owned();
    for n in 0..4_000i64 {
        let late = if n % 7 == 0 { 2 * 86_400 } else { 0 };
        text.push_str(&format!("{},k{},{}\n", (n * 432 - late).max(0), n * 7_919 % 53, n));
    }
    text
}

/// The answer, computed without an engine.
fn oracle(value: impl Fn(i64) -> i64) -> Rows {
    let mut groups = std::collections::BTreeMap::<(Day, String), Stats>::new();
    for (time, key, v) in rows_of(&rows()) {
        let stats = groups.entry((Day((time / 86_400) as i32), key)).or_default();
        stats.0.0 += 1;
        stats.1 = Sum::of(stats.1.value() as i64 + value(v));
    }
    groups.into_iter().map(|((day, key), stats)| (day, key, stats)).collect()
}

fn rows_of(text: &str) -> Vec<(i64, String, i64)> {
    let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let lines = text.lines().skip(1).map(cells);
    lines.map(|c| (c[0].parse().unwrap(), c[1].clone(), c[2].parse().unwrap())).collect()
}

/// Count and sum of the values times a number.
struct Times(i64);

impl Fold<Event> for Times {
    type Key = String;
    type KeyRef<'a> = &'a str;
    type State = Stats;

    fn group<'a>(&'a self, (time, key, _): &'a Event) -> Option<(EventTime, &'a str)> {
        Some((*time, key))
    }

    fn state(&self, (.., v): &Event) -> Stats {
        (Count::one(), Sum::of(v * self.0))
    }

    fn add(&self, (.., v): &Event, (count, sum): &mut Stats) {
        count.add();
        sum.add(v * self.0);
    }
}

struct Program {
    engine: Engine<Event>,
    views: Vec<ViewHandle<String, Stats>>,
}

/// Views by name and definition; the value of an event is multiplied by the definition's number.
fn program(folder: &std::path::Path, views: &[(&str, i64)]) -> Program {
    let views: Vec<_> = views
        .iter()
        .map(|&(name, factor)| (name, format!("value times {factor}"), factor))
        .collect();
    program_in_words(folder, &views)
}

fn program_in_words(folder: &std::path::Path, views: &[(&str, String, i64)]) -> Program {
    let mut engine = Engine::new();
    let mut handles = Vec::new();
    for &(name, ref words, factor) in views {
        let view = View::new(name).unwrap().defined_as(words);
        // Both forms of a definition mean the same, so one can take over the folder of the other.
        handles.push(if factor % 2 == 1 {
            engine.fold(view, Measures::none(), Times(factor))
        } else {
            engine.view(view, Measures::none(), move |(time, key, v): &Event| {
                Some((*time, key.clone(), (Count::one(), Sum::of(v * factor))))
            })
        });
    }
    let engine = engine
        .data_in(Arc::new(Disk), folder)
        .log(Durability::Every(Duration::from_millis(5)), |event: &Event| event.0)
        .tick_rows(100)
        .csv(
            |resume| {
                let options = CsvOptions::new("t").fields(["k", "v"]);
                let input = Input::reader("rows", std::io::Cursor::new(rows().into_bytes()));
                Ok(Some(match resume.consumed() {
                    Some(consumed) => CsvSource::resume_after(input, options, consumed)?,
                    None => CsvSource::open(input, options)?,
                }))
            },
            parse,
        );
    Program { engine, views: handles }
}

fn sealed(engine: Engine<Event>, workers: usize) -> Result<Running, EngineError> {
    let running = engine.start(Cluster::workers(workers))?;
    while !running.wait_sealed(Duration::from_secs(1))? {}
    Ok(running)
}

fn all(view: &ViewHandle<String, Stats>) -> Rows {
    let answer = view.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap();
    let row = |item: dayfold::serve::Item<String, Stats>| {
        (item.day.unwrap(), item.key.unwrap(), item.parts.merged().unwrap())
    };
    answer.items.into_iter().map(row).collect()
}

/// The files of a day of a view, newest revision last.
fn files(folder: &std::path::Path, view: &str, day: &str) -> Vec<PathBuf> {
    let dir = folder.join("part-0/views").join(view).join(day);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn flip(path: &std::path::Path, at: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x55;
    // Another file with the same name, because a mapped file must not change.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn an_audit_finds_nothing_wrong_and_a_rebuild_changes_nothing() {
    for (workers, later) in [(1, 2), (2, 3), (3, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let Program { engine, views } = program(folder.path(), &[("v", 1)]);
        let running = sealed(engine, workers).unwrap();
        let expect = oracle(|v| v);
        assert_eq!(all(&views[0]), expect);
        let audited = views[0].audit(DayRange::ALL, 1.0).unwrap();
        assert_eq!(audited.findings, []);
        assert_eq!(audited.rows, expect.len() as u64);
        assert!(audited.events >= 4_000 * workers as u64);
        let week = DayRange::new(Day(3), Day(10));
        assert_eq!(views[0].rebuild(week, 1.0).unwrap().revisions, 7 * workers as u64);
        assert_eq!(all(&views[0]), expect);
        running.finish().unwrap();

        let Program { engine, views } = program(folder.path(), &[("v", 1)]);
        let running = sealed(engine, later).unwrap();
        assert_eq!(all(&views[0]), expect, "{later} workers go on from rebuilt days");
        assert_eq!(views[0].rebuild(DayRange::ALL, 1.0).unwrap().findings, []);
        assert_eq!(views[0].audit(DayRange::ALL, 0.5).unwrap().findings, []);
        assert_eq!(all(&views[0]), expect);
        running.finish().unwrap();
    }
}

#[test]
fn damage_is_found_named_and_mended_while_the_engine_runs() {
    let folder = tempfile::tempdir().unwrap();
    let Program { engine, views } = program(folder.path(), &[("v", 1)]);
    let running = sealed(engine, 1).unwrap();
    let path = files(folder.path(), "v", "1970-01-05").pop().unwrap();
    flip(&path, |length| length / 2);
    let audited = views[0].audit(DayRange::ALL, 1.0).unwrap();
    let [finding] = &audited.findings[..] else { panic!("{audited:?}") };
    assert_eq!(finding.day, Day(4));
    assert!(matches!(&finding.fault, Fault::Damaged { path: found, .. } if *found == path));
    assert_eq!(views[0].rebuild(DayRange::only(Day(4)), 1.0).unwrap().revisions, 1);
    assert_eq!(views[0].audit(DayRange::ALL, 1.0).unwrap().findings, []);
    assert_eq!(all(&views[0]), oracle(|v| v));
    running.finish().unwrap();
}

#[test]
fn an_audit_tells_key_by_key_what_another_function_would_have_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let words = |factor| [("v", "the value".to_owned(), factor)];
    let Program { engine, .. } = program_in_words(folder.path(), &words(1));
    sealed(engine, 2).unwrap().finish().unwrap();
    // The folder cannot know that the same text means something else now.
    let Program { engine, views } = program_in_words(folder.path(), &words(7));
    let running = sealed(engine, 1).unwrap();
    let audited = views[0].audit(DayRange::only(Day(6)), 1.0).unwrap();
    let [finding] = &audited.findings[..] else { panic!("{audited:?}") };
    let Fault::Differs { sealed, logged, keys, differing } = &finding.fault else {
        panic!("{finding:?}")
    };
    let day: Rows = oracle(|v| v).into_iter().filter(|row| row.0 == Day(6)).collect();
    assert_eq!((finding.day, *differing), (Day(6), day.len() as u64));
    assert_ne!(sealed, logged);
    let (_, key, (count, sum)) = &day[0];
    assert_eq!(keys[0].key, format!("{key:?}"));
    assert_eq!(keys[0].sealed, Some(format!("{:?}", (count, sum))));
    let logged = Sum::of(7 * sum.value() as i64);
    assert_eq!(keys[0].logged, Some(format!("{:?}", (count, logged))));
    views[0].rebuild(DayRange::only(Day(6)), 1.0).unwrap();
    assert_eq!(views[0].audit(DayRange::only(Day(6)), 1.0).unwrap().findings, []);
    assert_eq!(views[0].audit(DayRange::new(Day(0), Day(6)), 1.0).unwrap().findings.len(), 6);
    running.finish().unwrap();
}

#[test]
fn a_folder_that_cannot_be_opened_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let Program { engine, .. } = program(folder.path(), &[("v", 1), ("w", 2)]);
    sealed(engine, 2).unwrap().finish().unwrap();
    // The header of one file, the footer of another one, and a missing one.
    let path = |view, day| files(folder.path(), view, day).pop().unwrap();
    flip(&path("v", "1970-01-02"), |_| 20);
    flip(&path("w", "1970-01-03"), |length| length - 10);
    std::fs::remove_file(path("v", "1970-01-04")).unwrap();
    let Program { engine, .. } = program(folder.path(), &[("v", 1), ("w", 2)]);
    assert!(engine.start(Cluster::workers(1)).is_err());

    let Program { engine, views } = program(folder.path(), &[("v", 1), ("w", 2)]);
    let found = engine.repair().unwrap();
    let found: Vec<_> = found.iter().map(|f| (f.view.as_str(), f.day)).collect();
    assert_eq!(found, [("v", Day(1)), ("v", Day(3)), ("w", Day(2))]);
    assert_eq!(engine.repair().unwrap(), []);
    let running = sealed(engine, 3).unwrap();
    assert_eq!(all(&views[0]), oracle(|v| v));
    assert_eq!(all(&views[1]), oracle(|v| 2 * v));
    assert_eq!(views[1].audit(DayRange::ALL, 1.0).unwrap().findings, []);
    running.finish().unwrap();
}

#[test]
fn views_are_added_and_defined_anew() {
    let folder = tempfile::tempdir().unwrap();
    let Program { engine, .. } = program(folder.path(), &[("v", 1)]);
    sealed(engine, 2).unwrap().finish().unwrap();

    let Program { engine, views } = program(folder.path(), &[("v", 1), ("added", 3)]);
    let running = sealed(engine, 1).unwrap();
    assert_eq!(all(&views[0]), oracle(|v| v));
    assert_eq!(all(&views[1]), oracle(|v| 3 * v), "its past comes from the log");
    assert_eq!(running.progress().rows, 0, "nothing was read from the source");
    running.finish().unwrap();

    let changed = [("v", 5), ("added", 3)];
    let Program { engine, .. } = program(folder.path(), &changed);
    let refused = engine.start(Cluster::workers(1)).err().unwrap();
    let both = |error: &EngineError| match error {
        EngineError::Store(StoreError::ViewMismatch { on_disk, asked, .. }) => {
            on_disk == "value times 1" && asked == "value times 5"
        }
        _ => false,
    };
    assert!(both(&refused), "{refused}");

    let Program { engine, views } = program(folder.path(), &changed);
    let running = sealed(engine.redefine("v"), 3).unwrap();
    assert_eq!(all(&views[0]), oracle(|v| 5 * v));
    assert_eq!(all(&views[1]), oracle(|v| 3 * v));
    assert_eq!(views[0].audit(DayRange::ALL, 1.0).unwrap().findings, []);
    running.finish().unwrap();
    let Program { engine, views } = program(folder.path(), &changed);
    let running = sealed(engine, 2).unwrap();
    assert_eq!(all(&views[0]), oracle(|v| 5 * v));
    running.finish().unwrap();
}

/// Days close and are sealed while many are rebuilt as slowly as possible.
#[test]
fn days_are_sealed_while_others_are_rebuilt() {
    const DAY: EventTime = 86_400_000;
    const DAYS: i32 = 40;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(0));
    let now = Arc::clone(&clock);
    let mut engine = Engine::<(EventTime, u64)>::new().clock(move || now.load(Ordering::SeqCst));
    let view = View::new("v").unwrap().grace(Duration::ZERO);
    let view = engine.view(view, Measures::none(), |event: &(EventTime, u64)| {
        Some((event.0, event.1, Count::one()))
    });
    let pusher = engine.live(LiveOptions::new(|event: &(EventTime, u64)| event.0));
    let engine = engine
        .data(folder.path())
        .log(Durability::Every(Duration::from_millis(1)), |event: &(EventTime, u64)| event.0);
    let running = engine.start(Cluster::workers(1)).unwrap();
    let pass = |day: i32| {
        let noon = i64::from(day) * DAY + DAY / 2;
        clock.store(noon, Ordering::SeqCst);
        let events = (0..1_000).map(|n| (noon - n as i64, n % 100)).collect();
        pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
    };
    (0..=DAYS).for_each(pass);
    view.wait_sealed_through(Day(DAYS - 1), LONG).unwrap();
    let rebuilt = view.clone();
    let rebuild = std::thread::spawn(move || rebuilt.rebuild(DayRange::ALL, 0.0001));
    // The first of its five parts is done.
    let began = Instant::now();
    let is_new = |file: &PathBuf| file.to_string_lossy().contains("-g1-");
    while !files(folder.path(), "v", "1970-01-01").iter().any(is_new) {
        assert!(began.elapsed() < LONG, "nothing is rebuilt");
    }
    (DAYS + 1..DAYS + 20).for_each(pass);
    view.wait_sealed_through(Day(DAYS), LONG).unwrap();
    assert!(!rebuild.is_finished(), "it is slow, and nobody waits for it");
    drop(pusher);
    drop(running);
    assert!(rebuild.join().unwrap().is_err(), "it was not waited for");
}

#[test]
fn a_share_that_is_no_number_is_a_small_one() {
    let folder = tempfile::tempdir().unwrap();
    let Program { engine, views } = program(folder.path(), &[("v", 1)]);
    let running = sealed(engine, 1).unwrap();
    for share in [f64::NAN, 1.0] {
        let audited = views[0].audit(DayRange::only(Day(4)), share).unwrap();
        assert_eq!((audited.revisions, audited.findings), (1, vec![]));
    }
    running.finish().unwrap();
}
