//! A folder of ten years of small days, with its files and in packs: how many files, how long until the first answer after
//! a start, and how long answers over all days take. And a folder that was started a thousand times: how many files its log
//! has, and how long a start takes. `cargo bench --bench restarts`; `-- runs` for the second alone.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on panics")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::store::{self, Disk};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

type Stats = (Count, Sum);
type Event = (EventTime, u64);

const DAY: EventTime = 86_400_000;
/// 2010-01-01.
const FIRST: i64 = 14_610;
const LONG: Duration = Duration::from_secs(600);

struct Program {
    running: Running,
    view: ViewHandle<u64, Stats>,
    pusher: Pusher<Event>,
}

/// Starts the program over a folder; `packs` says whether files may move into packs.
fn start(folder: &Path, clock: &Arc<AtomicI64>, packs: bool) -> Program {
    start_with(folder, clock, |engine| if packs { engine } else { engine.packing(0, usize::MAX) })
}

fn start_with(
    folder: &Path,
    clock: &Arc<AtomicI64>,
    change: impl Fn(Engine<Event>) -> Engine<Event>,
) -> Program {
    let now = Arc::clone(clock);
    let engine = Engine::<Event>::new().clock(move || now.load(Ordering::SeqCst)).data(folder);
    let mut engine = change(engine);
    let view = View::new("small").unwrap().grace(Duration::ZERO);
    let enter = |&(time, key): &Event| Some((time, key, (Count::one(), Sum::of(7))));
    let view = engine.view(view, Measures::none(), enter);
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    let running = engine.start(Cluster::workers(1)).unwrap();
    Program { running, view, pusher }
}

impl Program {
    fn stop(self) {
        let Program { running, view: _, pusher } = self;
        drop(pusher);
        running.finish().unwrap();
    }
}

/// A program with a log of its last thirty days, which is started each day.
fn many_runs(runs: i64, starts: usize) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let begin = |run: i64| {
        let day = Arc::new(AtomicI64::new((FIRST + run) * DAY));
        start_with(&folder, &day, |engine| {
            let engine = engine.log(Durability::System, |event: &Event| event.0);
            engine.keep_log(Duration::from_secs(30 * 86_400))
        })
    };
    for run in 0..runs {
        let program = begin(run);
        let events = (0..100).map(|key| ((FIRST + run) * DAY - 1, key)).collect();
        program.pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
        program.stop();
    }
    let streams = std::fs::read_dir(folder.join("part-0/log/commits")).unwrap().count();
    let inspected = median(starts, || drop(store::inspect(&Disk, &folder).unwrap()));
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..starts {
        let began = Instant::now();
        let program = begin(runs);
        times[0].push(began.elapsed());
        let total = program.view.ask(Query::total(DayRange::ALL)).unwrap().value();
        assert_eq!(total.map(|(count, _)| count), Some(Count(100 * runs)));
        times[1].push(began.elapsed());
        program.stop();
    }
    let [opened, answered] = times.map(|mut times| {
        times.sort_unstable();
        format!("{:.1?}", times[times.len() / 2])
    });
    println!("{runs} runs: {} files, {streams} of them in log/commits", usage(&folder).0);
    println!("inspect {inspected}, start {opened}, start to the first answer {answered}");
}

fn main() {
    let short = std::env::var_os("DAYFOLD_BENCH_SHORT").is_some();
    many_runs(if short { 30 } else { 1_000 }, if short { 2 } else { 15 });
    if std::env::args().any(|argument| argument == "runs") {
        return;
    }
    let (days, keys, starts, rounds) = if short { (120, 10, 2, 3) } else { (3_652, 300, 15, 101) };
    let folders = tempfile::tempdir().unwrap();
    let [files, packs] = ["files", "packs"].map(|name| folders.path().join(name));
    let clock = Arc::new(AtomicI64::new(FIRST * DAY));
    let program = start(&files, &clock, false);
    for day in FIRST..FIRST + days {
        clock.store(day * DAY, Ordering::SeqCst);
        let events = (0..keys).map(|key| (day * DAY + 1, key)).collect();
        program.pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
    }
    clock.store((FIRST + days) * DAY + 1, Ordering::SeqCst);
    program.view.wait_sealed_through(Day((FIRST + days - 1) as i32), LONG).unwrap();
    program.stop();
    store::backup(&files, &packs).unwrap();
    let began = Instant::now();
    start(&packs, &clock, true).stop();
    println!("{days} days of {keys} keys; the start that packs took {:?}", began.elapsed());
    println!("{:28} {:>12} {:>12}", "", "files", "packs");
    let both = |measure: &dyn Fn(&Path, bool) -> String| {
        [(&files, false), (&packs, true)].map(|(folder, packed)| measure(folder, packed))
    };
    let row =
        |what: &str, [files, packs]: [String; 2]| println!("{what:28} {files:>12} {packs:>12}");
    row("files", both(&|folder, _| usage(folder).0.to_string()));
    row("blocks of the disk, kB", both(&|folder, _| usage(folder).1.to_string()));
    row(
        "inspect",
        both(&|folder, _| median(starts, || drop(store::inspect(&Disk, folder).unwrap()))),
    );
    // One after the other, so that whatever else the machine does meets both.
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..starts {
        for (at, (folder, packed)) in [(&files, false), (&packs, true)].into_iter().enumerate() {
            let began = Instant::now();
            let program = start(folder, &clock, packed);
            times[at].push(began.elapsed());
            let last = DayRange::new(Day((FIRST + days - 1) as i32), Day((FIRST + days) as i32));
            assert!(program.view.ask(Query::point(3, last)).unwrap().value().is_some());
            times[2 + at].push(began.elapsed());
            program.stop();
        }
    }
    let [opened, opened_packs, answered, answered_packs] = times.map(|mut times| {
        times.sort_unstable();
        format!("{:.1?}", times[times.len() / 2])
    });
    row("start", [opened, opened_packs]);
    row("start to the first answer", [answered, answered_packs]);
    let programs = [start(&files, &clock, false), start(&packs, &clock, true)];
    let questions = [
        ("one key", Query::point(3, DayRange::ALL)),
        ("all keys together", Query::total(DayRange::ALL)),
        ("each key", Query::keys(KeyRange::all(), DayRange::ALL)),
    ];
    for (what, query) in questions {
        let answers = programs.each_ref().map(|program| {
            let answer = program.view.ask(query.clone()).unwrap();
            answer.items.into_iter().map(|item| (item.key, item.parts.merged())).collect::<Vec<_>>()
        });
        assert_eq!(answers[0], answers[1], "{what}");
        let ask =
            |program: &Program| median(rounds, || drop(program.view.ask(query.clone()).unwrap()));
        row(what, programs.each_ref().map(ask));
    }
    programs.into_iter().for_each(Program::stop);
}

fn median(rounds: usize, mut run: impl FnMut()) -> String {
    let time = |_| {
        let began = Instant::now();
        run();
        began.elapsed()
    };
    let mut times: Vec<Duration> = (0..rounds).map(time).collect();
    times.sort_unstable();
    format!("{:.1?}", times[rounds / 2])
}

/// The number of files below a folder, and the kilobytes that files and folders take on the disk.
fn usage(folder: &Path) -> (u64, u64) {
    let (mut files, mut kilobytes) = (0, blocks(folder));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = usage(&path);
            (files, kilobytes) = (files + below.0, kilobytes + below.1);
        } else {
            (files, kilobytes) = (files + 1, kilobytes + blocks(&path));
        }
    }
    (files, kilobytes)
}

#[cfg(unix)]
fn blocks(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().blocks() / 2
}

#[cfg(not(unix))]
fn blocks(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len() / 1024
}
