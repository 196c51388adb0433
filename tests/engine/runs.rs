//! A program that is started again and again: the commit streams of its runs move into one file, and the log stays
//! what it was.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::{self, Durability};
use dayfold::serve::Query;
use dayfold::source::CsvOptions;
use dayfold::store::{self, Disk};
use dayfold::time::{Calendar, DayRange, EventTime, Grain};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

const DAY: EventTime = 86_400_000;
const RUNS: i64 = 200;
/// Ten runs a day.
const RUNS_OF_DAY: i64 = 10;
const EVENTS: i64 = 5;

struct Program {
    running: Running,
    view: ViewHandle<u64, Count>,
    pusher: Pusher<EventTime>,
}

fn start(
    folder: &Path,
    run: i64,
    change: impl Fn(Engine<EventTime>) -> Engine<EventTime>,
) -> Program {
    let now = (100 + run / RUNS_OF_DAY) * DAY + run % RUNS_OF_DAY;
    let engine = Engine::new().clock(move || now).data(folder);
    let mut engine = change(engine.log(Durability::System, |time: &EventTime| *time));
    let view = View::new("events").unwrap().grace(Duration::from_secs(60));
    let view = engine.view(view, Measures::none(), |time: &EventTime| {
        Some((*time, (*time % 7) as u64, Count::one()))
    });
    let pusher = engine.live(LiveOptions::new(|time: &EventTime| *time));
    // The number of workers changes.
    let running = engine.start(Cluster::workers(1 + run as usize % 3)).unwrap();
    Program { running, view, pusher }
}

impl Program {
    fn push(&self, run: i64) {
        let time = (100 + run / RUNS_OF_DAY) * DAY + run % RUNS_OF_DAY;
        let pushed = self.pusher.push((0..EVENTS).map(|n| time - n % 2).collect()).unwrap();
        pushed.receipt.wait_visible(LONG).unwrap();
    }

    fn count(&self) -> i64 {
        let answer = self.view.ask_timeout(Query::total(DayRange::ALL), LONG).unwrap();
        answer.value().map_or(0, |count| count.0)
    }

    fn by_day(&self) -> Vec<(Option<dayfold::time::Day>, Option<u64>, i64)> {
        let query = Query::rows(KeyRange::all(), DayRange::ALL);
        let answer = self.view.ask_timeout(query, LONG).unwrap();
        answer
            .items
            .into_iter()
            .map(|item| (item.day, item.key, item.parts.merged().unwrap().0))
            .collect()
    }

    /// Ends in order, or in the middle of the day.
    fn stop(self, in_order: bool) {
        drop(self.pusher);
        match in_order {
            true => drop(self.running.finish().unwrap()),
            false => drop(self.running.abandon().unwrap()),
        }
    }
}

fn commits(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder.join("part-0/log/commits")).unwrap();
    let mut all: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn merged(folder: &Path) -> PathBuf {
    let is_merged =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("merged-");
    let mut found = commits(folder).into_iter().filter(is_merged);
    let path = found.next().unwrap();
    assert_eq!(found.next(), None, "one file of merged streams");
    path
}

#[test]
fn many_runs_leave_few_streams() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    for run in 0..RUNS {
        let program = start(&folder, run, |engine| engine);
        assert_eq!(program.count(), run * EVENTS, "run {run}");
        program.push(run);
        program.stop(run % 3 != 1);
        // Those of this run, at most eight more, and the merged ones.
        let files = commits(&folder);
        assert!(files.len() <= 3 + 8 + 1, "run {run}: {files:?}");
    }
    let rows = {
        let program = start(&folder, RUNS, |engine| engine);
        assert_eq!(program.count(), RUNS * EVENTS);
        let audited = program.view.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
        program.view.rebuild(DayRange::ALL, 1.0).unwrap();
        let rows = program.by_day();
        program.stop(true);
        rows
    };
    let report = store::inspect(&Disk, &folder).unwrap();
    assert!(log::prove(&Disk, &report).is_empty());
    let state = log::scan(&Disk, &[(0, folder.join("part-0"))], u64::MAX).unwrap();
    assert_eq!(state.events, (RUNS * EVENTS) as u64);
    assert!(state.streams.len() as i64 >= RUNS, "the runs are all known");
    log::verify(&Disk, &state).unwrap();

    // A copy is whole, and everything can be computed from its log alone.
    let copy = place.path().join("copy");
    store::backup(&folder, &copy).unwrap();
    let program = start(&copy, RUNS, |engine| engine.redefine("events"));
    assert_eq!(program.by_day(), rows);
    program.stop(true);

    // Without the file, or with another one, the log has lost what the manifest proves.
    let refused = |damage: &dyn Fn(&Path)| {
        let other = place.path().join("other");
        store::backup(&folder, &other).unwrap();
        damage(&merged(&other));
        let report = store::inspect(&Disk, &other).unwrap();
        let said = log::prove(&Disk, &report)[0].to_string();
        let mut engine =
            Engine::new().data(&other).log(Durability::System, |time: &EventTime| *time);
        let view = View::new("events").unwrap().grace(Duration::from_secs(60));
        engine.view(view, Measures::none(), |time: &EventTime| {
            Some((*time, (*time % 7) as u64, Count::one()))
        });
        let error = engine.start(Cluster::workers(1)).err().unwrap().to_string();
        fs::remove_dir_all(&other).unwrap();
        assert!(error.contains(&said), "{error}: {said}");
        said
    };
    let said = refused(&|path| fs::remove_file(path).unwrap());
    assert!(said.contains("the manifest proves"), "{said}");
    let said = refused(&|path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    assert!(said.contains("its record is damaged"), "{said}");
    let said = refused(&|path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert!(said.contains("its record is damaged"), "{said}");
}

#[test]
fn a_log_with_a_lower_end_keeps_few_files_over_many_runs() {
    const SHORT: i64 = RUNS / 2;
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let days = Duration::from_secs(3 * 86_400);
    let files = || {
        let walk = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let log = walk(&folder.join("part-0/log")).filter(|path| path.is_dir());
        log.map(|folder| walk(&folder).count()).sum::<usize>()
    };
    let mut most = 0;
    for run in 0..SHORT {
        let program = start(&folder, run, |engine| engine.keep_log(days));
        assert_eq!(program.count(), run * EVENTS, "run {run}");
        program.push(run);
        program.stop(true);
        let streams = fs::read_dir(folder.join("part-0/log/commits")).unwrap().count();
        assert!(streams <= 12, "{streams} files of streams after run {run}");
        // From half of the runs on, as many days are removed as come. The rest are streams that are not merged yet.
        if (SHORT / 2..3 * SHORT / 4).contains(&run) {
            most = files().max(most);
        } else if run >= SHORT / 2 {
            assert!(files() <= most + 12, "{} files after run {run}, {most} before", files());
        }
    }
    let program = start(&folder, SHORT, |engine| engine.keep_log(days));
    assert_eq!(program.count(), SHORT * EVENTS);
    program.stop(true);
}

/// 2020-01-01, in milliseconds: a file may have times in seconds as well.
const TODAY: EventTime = 18_262 * DAY;

/// A file that grows within a day, and is read to its end again and again: late rows count, and close no later period.
#[test]
fn runs_over_a_file_that_grows_close_no_period_before_its_time() {
    for grain in [Grain::Hour, Grain::Day, Grain::Year] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grows.csv");
        fs::write(&path, "at\n").unwrap();
        for run in 1..=12 {
            let row = format!("{}\n", TODAY + run);
            fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(row.as_bytes())
                .unwrap();
            let mut engine = Engine::<EventTime>::new()
                .clock(|| TODAY + 1_000)
                .data(folder.path().join("data"))
                .log(Durability::System, |time: &EventTime| *time);
            let view = View::new("events").unwrap().grace(Duration::ZERO).grain(grain);
            let view =
                engine.view(view.keep(40 * Duration::from_secs(86_400)), Measures::none(), |at| {
                    Some((*at, 0u64, Count::one()))
                });
            let engine = engine.file(path.clone(), CsvOptions::new("at"), |row| Ok(row.time()));
            let running = engine.start(Cluster::workers(1 + run as usize % 3)).unwrap();
            let at = format!("{grain}, run {run}");
            assert!(running.wait_sealed(LONG).unwrap(), "{at}");
            let answer =
                view.ask_timeout(Query::rows(KeyRange::all(), DayRange::ALL), LONG).unwrap();
            let calendar = Calendar::utc().by(grain);
            let period = calendar.day_of(TODAY);
            let found: Vec<_> = answer
                .items
                .into_iter()
                .map(|item| (item.day.unwrap(), item.parts.merged().unwrap().0))
                .collect();
            assert_eq!(found, [(period, run)], "{at}");
            let sealed = running.progress().views[0].sealed_through;
            let next = calendar.day_of(calendar.end_of(period));
            assert!(sealed.is_some_and(|day| (period..next).contains(&day)), "{at}: {sealed:?}");
            running.finish().unwrap();
        }
    }
}

/// Beside a view of months, the end of each run closes the month for all views, so the rows of all later runs are late in a
/// view of hours. What that one keeps counts back from its last hour with rows all the same.
#[test]
fn runs_beside_a_coarser_view_lose_nothing_that_is_kept() {
    const HOUR: EventTime = 3_600_000;
    const RUNS: i64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grows.csv");
    fs::write(&path, "at\n").unwrap();
    let hours = |count: u32| count * Duration::from_secs(3_600);
    for run in 0..RUNS {
        let row = format!("{}\n", TODAY + run * HOUR);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(row.as_bytes()).unwrap();
        let mut engine = Engine::<EventTime>::new()
            .clock(move || TODAY + (run + 1) * HOUR)
            .data(folder.path().join("data"))
            .log(Durability::System, |time: &EventTime| *time);
        let mut add = |name: &str, define: &dyn Fn(View) -> View| {
            let view = View::new(name).unwrap().grace(Duration::ZERO);
            engine.view(define(view), Measures::none(), |at| Some((*at, 0u64, Count::one())))
        };
        let months = add("months", &|view| view.grain(Grain::Month));
        let kept = add("kept", &|view| view.grain(Grain::Hour).keep(hours(10)));
        let outlived = add("outlived", &|view| {
            let view = view.grain(Grain::Hour).keep(hours(10)).rollup([Grain::Day]);
            view.keep_rollup(Grain::Day, Duration::MAX)
        });
        // Of a view that is new, all of the log counts, and so do the rows of its first run.
        let added = (run >= 30).then(|| {
            add("added", &|view| {
                let view = view.grain(Grain::Hour).keep(hours(10)).rollup([Grain::Day]);
                view.keep_rollup(Grain::Day, Duration::MAX)
            })
        });
        let engine = engine.file(path.clone(), CsvOptions::new("at"), |row| Ok(row.time()));
        let running = engine.start(Cluster::workers(1 + run as usize % 3)).unwrap();
        assert!(running.wait_sealed(LONG).unwrap(), "run {run}");
        let rows = |view: &ViewHandle<u64, Count>, query: Query<u64>| {
            let answer = view.ask_timeout(query, LONG).unwrap();
            let rows = answer.items.into_iter();
            let rows = rows.map(|item| (item.day.unwrap(), item.parts.merged().unwrap().0));
            rows.collect::<Vec<_>>()
        };
        let all = Query::rows(KeyRange::all(), DayRange::ALL);
        let by = |grain: Grain| Calendar::utc().by(grain);
        assert_eq!(rows(&months, all.clone()), [(by(Grain::Month).day_of(TODAY), run + 1)]);
        let hour = |run: i64| by(Grain::Hour).day_of(TODAY + run * HOUR);
        for (name, view) in [("kept", &kept), ("outlived", &outlived)] {
            let found = rows(view, all.clone());
            // The rollup of a day begins where all of its hours may go.
            let known = (0..=run).filter(|run| found[0].0 <= hour(*run));
            let expected: Vec<_> = known.map(|run| (hour(run), 1)).collect();
            assert_eq!(found, expected, "{name}, run {run}");
            assert!(found.len() as i64 >= (run + 1).min(10), "{name}, run {run}: {found:?}");
            assert!(found.len() < 36, "{name}, run {run}: {found:?}");
        }
        let by_day = all.by(Grain::Day);
        let days = rows(&outlived, by_day.clone());
        if let Some(added) = &added {
            assert_eq!(rows(added, by_day), days, "run {run}");
        }
        let of_day = |day: i64| (run + 1 - day * 24).clamp(0, 24);
        let expected = (0..2).map(|day| (by(Grain::Day).day_of(TODAY + day * DAY), of_day(day)));
        let expected: Vec<_> = expected.filter(|(_, count)| *count > 0).collect();
        assert_eq!(days, expected, "run {run}");
        running.finish().unwrap();
    }
}

/// Rollups of days go only when all workers have their months: a run ends whenever its source does, and a worker with few
/// keys is far ahead of one with many.
#[test]
fn runs_that_end_before_all_workers_have_their_rollups_lose_none() {
    const DAYS: i64 = 150;
    for round in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let mut rows = "at,key\n".to_owned();
        let mut expected = std::collections::BTreeMap::<_, i64>::new();
        for hour in (0..DAYS * 24).step_by(6) {
            let time = TODAY + hour * 3_600_000;
            for key in 0..if hour % (24 * 25) == 0 { 7 } else { 1 } {
                rows += &format!("{time},{key}\n");
                let month = Calendar::utc().by(Grain::Month).day_of(time);
                *expected.entry(month).or_default() += 1;
            }
        }
        fs::write(&path, rows).unwrap();
        for (run, workers) in [2, 2, 1, 3, 2, 1].into_iter().enumerate() {
            let mut engine = Engine::<(EventTime, u64)>::new()
                .clock(|| TODAY + DAYS * DAY)
                .data(folder.path().join("data"))
                .log(Durability::System, |event: &(EventTime, u64)| event.0);
            let day = Duration::from_secs(86_400);
            let view = View::new("events").unwrap().grace(Duration::ZERO).grain(Grain::Hour);
            let view = view.keep(day / 2).keep_rollup(Grain::Day, 30 * day);
            let view = view.keep_rollup(Grain::Month, Duration::MAX);
            let view = engine.view(view, Measures::none(), |&(time, key): &(EventTime, u64)| {
                Some((time, key, Count::one()))
            });
            let options = CsvOptions::new("at").fields(["key"]);
            let engine = engine.file(path.clone(), options, |row| {
                let key = String::from_utf8_lossy(row.field(0)).parse();
                Ok((row.time(), key.map_err(|_| "no number")?))
            });
            let running = engine.start(Cluster::workers(workers)).unwrap();
            assert!(running.wait_sealed(LONG).unwrap());
            let query = Query::rows(KeyRange::all(), DayRange::ALL).by(Grain::Month);
            let mut found = std::collections::BTreeMap::<_, i64>::new();
            for item in view.ask_timeout(query, LONG).unwrap().items {
                *found.entry(item.day.unwrap()).or_default() += item.parts.merged().unwrap().0;
            }
            assert_eq!(found, expected, "round {round}, run {run}");
            running.finish().unwrap();
        }
    }
}
