//! Views come and go while an engine runs: each has what a view from the start has, and nothing else waits.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{
    ChangeError, Changing, LiveOptions, Measures, Pusher, Running, ViewChanger, ViewHandle,
};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{More, Partitioned, Partitions, Share, Start, Taken, Taking};
use dayfold::time::{DayRange, EventTime, Grain};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

/// Time, key, value.
type Event = (EventTime, u64, i64);
type Stats = (Count, Sum);
type Handle = ViewHandle<u64, Stats>;
type Rows = BTreeMap<(i32, u64), (i64, i128)>;

const DAY_MS: i64 = 86_400_000;

fn stats((time, key, value): &Event) -> Option<(EventTime, u64, Stats)> {
    (value % 10 != 3).then(|| (*time, *key, (Count::one(), Sum::of(*value))))
}

fn view(name: &str) -> View {
    View::new(name).unwrap().defined_as("all but every tenth")
}

fn rows(view: &Handle) -> Rows {
    let answer = view.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap();
    let row = |item: dayfold::serve::Item<u64, Stats>| {
        let (count, sum) = item.parts.merged().unwrap();
        ((item.day.unwrap().0, item.key.unwrap()), (count.0, sum.value()))
    };
    answer.items.into_iter().map(row).collect()
}

/// What events give, computed without an engine.
fn oracle(events: impl Iterator<Item = Event>) -> Rows {
    let mut rows = Rows::new();
    for event in events {
        let Some((time, key, _)) = stats(&event) else { continue };
        let row = rows.entry((time.div_euclid(DAY_MS) as i32, key)).or_default();
        *row = (row.0 + 1, row.1 + i128::from(event.2));
    }
    rows
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// An event of about now; every fifth is up to three days late.
    fn event(&mut self, now: EventTime) -> Event {
        let late =
            if self.below(5) == 0 { self.below(3 * DAY_MS as u64) } else { self.below(1_000) };
        ((now - late as i64).max(0), self.below(50), self.below(1_000) as i64)
    }
}

/// An engine with pushed events, whose clock the test moves.
struct Program {
    running: Running,
    pusher: Pusher<Event>,
    changer: ViewChanger<Event>,
    views: Vec<Handle>,
}

fn start(folder: &Path, clock: &Arc<AtomicI64>, views: &[&str], workers: usize) -> Program {
    let now = Arc::clone(clock);
    let mut engine = Engine::<Event>::new().clock(move || now.load(Ordering::SeqCst));
    let views = views.iter().map(|name| engine.view(view(name), Measures::none(), stats)).collect();
    let options = LiveOptions::new(|event: &Event| event.0);
    let pusher = engine.live(options);
    let changer = engine.changer();
    let every = Durability::Every(Duration::from_millis(1));
    let engine = engine.data(folder).log(every, |event: &Event| event.0).tick_rows(500);
    let running = engine.start(Cluster::workers(workers)).unwrap();
    while !running.progress().recovered {
        std::thread::sleep(Duration::from_millis(1));
    }
    Program { running, pusher, changer, views }
}

fn push(pusher: &Pusher<Event>, events: Vec<Event>) {
    pusher.push(events).unwrap().receipt.wait_both(LONG).unwrap();
}

/// Pushes events of some days.
fn push_days(
    pusher: &Pusher<Event>,
    clock: &AtomicI64,
    random: &mut Random,
    days: i64,
    a_day: usize,
) -> Vec<Event> {
    let mut all = Vec::new();
    for _ in 0..days * 4 {
        let now = clock.fetch_add(DAY_MS / 4, Ordering::SeqCst) + DAY_MS / 4;
        let events: Vec<Event> = (0..a_day / 4).map(|_| random.event(now)).collect();
        push(pusher, events.clone());
        all.extend(events);
    }
    all
}

fn wait(changing: &Changing) {
    while !changing.wait(LONG).unwrap() {}
}

fn add(changer: &ViewChanger<Event>, name: &str) -> Handle {
    let mut change = changer.change();
    let handle = change.view(view(name), Measures::none(), stats);
    wait(&change.begin().unwrap());
    handle
}

fn remove(changer: &ViewChanger<Event>, name: &str) {
    let mut change = changer.change();
    change.remove_view(name);
    wait(&change.begin().unwrap());
}

#[track_caller]
fn check_audit(view: &Handle) {
    assert_eq!(view.audit(DayRange::ALL, 1.0).unwrap().findings, []);
}

#[test]
fn an_added_view_has_what_a_view_from_the_start_has() {
    for workers in [1, 2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(100 * DAY_MS));
        let mut random = Random(workers as u64);
        // An earlier run with another number of workers.
        let program = start(folder.path(), &clock, &["first"], 3 - workers.min(2));
        let mut all = push_days(&program.pusher, &clock, &mut random, 10, 400);
        drop(program.pusher);
        program.running.finish().unwrap();

        let program = start(folder.path(), &clock, &["first"], workers);
        all.extend(push_days(&program.pusher, &clock, &mut random, 10, 400));
        let stop = AtomicBool::new(false);
        let (added, more) = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| {
                let (mut random, mut all) = (Random(99), Vec::new());
                while !stop.load(Ordering::SeqCst) {
                    let now = clock.fetch_add(DAY_MS / 40, Ordering::SeqCst);
                    let events: Vec<Event> = (0..20).map(|_| random.event(now)).collect();
                    push(&program.pusher, events.clone());
                    all.extend(events);
                }
                all
            });
            let added = add(&program.changer, "added");
            // The moment of its first answer has all that was visible before.
            let (first, added_rows) = (rows(&program.views[0]), rows(&added));
            let sum = |rows: &Rows| rows.values().map(|row| row.0).sum::<i64>();
            assert!(sum(&added_rows) >= sum(&first));
            std::thread::sleep(Duration::from_millis(50));
            stop.store(true, Ordering::SeqCst);
            (added, pushing.join().unwrap())
        });
        all.extend(more);
        all.extend(push_days(&program.pusher, &clock, &mut random, 5, 400));
        let expect = oracle(all.iter().copied());
        assert_eq!(rows(&program.views[0]), expect, "{workers} workers");
        assert_eq!(rows(&added), expect, "{workers} workers");
        let sealed = |view: &Handle| view.status().numbers.sealed_through;
        let wanted = sealed(&program.views[0]).unwrap().previous();
        added.wait_sealed_through(wanted, LONG).unwrap();
        assert_eq!(rows(&added), expect, "{workers} workers, sealed");
        check_audit(&added);
        drop(program.pusher);
        program.running.finish().unwrap();
        // Another start, with another number of workers, finds the same.
        let program = start(folder.path(), &clock, &["first", "added"], 4 - workers);
        assert_eq!(rows(&program.views[1]), expect, "{workers} workers, started again");
        all.extend(push_days(&program.pusher, &clock, &mut random, 4, 40));
        assert_eq!(rows(&program.views[1]), oracle(all.iter().copied()));
        check_audit(&program.views[1]);
        drop(program.pusher);
        program.running.finish().unwrap();
    }
}

#[test]
fn pushes_and_queries_do_not_wait_for_the_past_of_a_view() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(100 * DAY_MS));
    let program = start(folder.path(), &clock, &["first"], 2);
    let mut random = Random(5);
    // All in one day, so that nothing of it is sealed meanwhile.
    let past: Vec<Event> =
        (0..400_000).map(|_| random.event(clock.load(Ordering::SeqCst))).collect();
    for events in past.chunks(20_000) {
        push(&program.pusher, events.to_vec());
    }
    let mut all = past.clone();
    let mut change = program.changer.change();
    // A slow view: 2 µs for each event.
    let slow = |event: &Event| {
        let until = std::time::Instant::now() + Duration::from_micros(2);
        while std::time::Instant::now() < until {}
        stats(event)
    };
    let added = change.view(view("added"), Measures::none(), slow);
    let changing = change.begin().unwrap();
    let (mut pushed, mut most) = (0, 0);
    while !changing.wait(Duration::ZERO).unwrap() {
        let before = changing.progress().0;
        let event = random.event(clock.load(Ordering::SeqCst));
        push(&program.pusher, vec![event]);
        all.push(event);
        program.views[0].ask(Query::total(DayRange::ALL)).unwrap();
        let after = changing.progress().0;
        if !changing.wait(Duration::ZERO).unwrap() {
            pushed += 1;
            most = most.max(after - before);
        }
    }
    // In the time of a push and a query, only some batches of the past were read.
    assert!(pushed >= 5, "{pushed} pushes were answered meanwhile");
    assert!(most < past.len() as u64 / 2, "a push waited for {most} events of the past");
    let expect = oracle(all.iter().copied());
    assert_eq!((rows(&added), rows(&program.views[0])), (expect.clone(), expect));
    drop(program.pusher);
    program.running.finish().unwrap();
}

#[test]
fn views_go_and_come_again() {
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(100 * DAY_MS));
        let mut random = Random(7);
        let program = start(folder.path(), &clock, &["first", "second"], workers);
        let mut all = push_days(&program.pusher, &clock, &mut random, 6, 200);
        let asked =
            program.views[1].subscribe(Query::total(DayRange::ALL), Duration::ZERO).unwrap();
        remove(&program.changer, "second");
        drop(asked);
        assert!(program.views[1].ask(Query::total(DayRange::ALL)).is_err(), "it is gone");
        assert_eq!(program.running.views().iter().count(), 1);
        let files =
            || std::fs::read_dir(folder.path().join("part-0/views/second")).unwrap().count();
        assert_eq!(files(), 0);
        let mut other = program.changer.change();
        other.remove_view("second");
        assert!(matches!(other.begin(), Err(ChangeError::Definition(_))));
        let mut last = program.changer.change();
        last.remove_view("first");
        assert!(matches!(last.begin(), Err(ChangeError::Definition(_))));
        let mut twice = program.changer.change();
        twice.view(view("first"), Measures::none(), stats);
        assert!(matches!(twice.begin(), Err(ChangeError::Definition(_))));
        for round in 0..3 {
            all.extend(push_days(&program.pusher, &clock, &mut random, 2, 80));
            let mut change = program.changer.change();
            let hours = View::new("second").unwrap().grain(Grain::Hour).grace(Duration::ZERO);
            let second = change.view(hours.clone(), Measures::none(), stats);
            let third = change.view(view("third"), Measures::none(), stats);
            wait(&change.begin().unwrap());
            let names: Vec<String> =
                program.running.views().iter().map(|view| view.name().to_owned()).collect();
            assert_eq!(names, ["first", "second", "third"], "round {round}");
            all.extend(push_days(&program.pusher, &clock, &mut random, 2, 80));
            let expect = oracle(all.iter().copied());
            assert_eq!(rows(&third), expect, "round {round}");
            check_audit(&second);
            check_audit(&third);
            let by_day = Query::rows(KeyRange::all(), DayRange::ALL).by(Grain::Day);
            assert_eq!(second.ask(by_day).unwrap().items.len(), expect.len(), "round {round}");
            let mut change = program.changer.change();
            change.remove_view("third");
            change.remove_view("second");
            wait(&change.begin().unwrap());
        }
        assert_eq!(rows(&program.views[0]), oracle(all.iter().copied()));
        let names: Vec<_> = program.running.progress().view_names;
        assert_eq!(names, ["first"]);
        drop(program.pusher);
        program.running.finish().unwrap();
        // The folder has no other view.
        let program = start(folder.path(), &clock, &["first"], workers);
        assert_eq!(rows(&program.views[0]), oracle(all.iter().copied()));
    }
}

#[test]
fn an_engine_that_stops_over_a_change_goes_on_exactly() {
    let rounds = if cfg!(debug_assertions) { 8 } else { 60 };
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(100 * DAY_MS));
        let mut random = Random(round);
        let workers = 1 + (round % 2) as usize;
        let program = start(folder.path(), &clock, &["first"], workers);
        let mut all = push_days(&program.pusher, &clock, &mut random, 8, 400);
        let stop = AtomicBool::new(false);
        let count = AtomicU64::new(0);
        let Program { running, pusher, changer, .. } = program;
        let more = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| {
                let (mut random, mut all) = (Random(round + 1_000), Vec::new());
                while !stop.load(Ordering::SeqCst) {
                    let now = clock.fetch_add(DAY_MS / 20, Ordering::SeqCst);
                    let events: Vec<Event> = (0..20).map(|_| random.event(now)).collect();
                    push(&pusher, events.clone());
                    count.fetch_add(1, Ordering::SeqCst);
                    all.extend(events);
                }
                all
            });
            let mut change = changer.change();
            change.view(view("added"), Measures::none(), stats);
            let changing = change.begin().unwrap();
            let until = count.load(Ordering::SeqCst) + round % 12;
            while count.load(Ordering::SeqCst) < until {
                std::thread::yield_now();
            }
            if round % 3 == 0 {
                // Some are stopped while the view is removed again.
                while !changing.wait(LONG).unwrap() {}
                let mut change = changer.change();
                change.remove_view("added");
                drop(change.begin().unwrap());
            }
            stop.store(true, Ordering::SeqCst);
            pushing.join().unwrap()
        });
        all.extend(more);
        drop(pusher);
        match round % 4 {
            0 | 1 => drop(running.abandon()),
            2 => drop(running),
            _ => drop(running.finish().unwrap()),
        }
        let program = start(folder.path(), &clock, &["first", "added"], 1 + (round % 3) as usize);
        all.extend(push_days(&program.pusher, &clock, &mut random, 3, 80));
        let expect = oracle(all.iter().copied());
        assert_eq!(rows(&program.views[0]), expect, "round {round}");
        assert_eq!(rows(&program.views[1]), expect, "round {round}");
        check_audit(&program.views[1]);
    }
}

#[test]
fn what_cannot_change_while_it_runs_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::<Event>::new();
    engine.view(view("first"), Measures::none(), stats);
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    let changer = engine.changer();
    let change = || {
        let mut change = changer.change();
        change.view(view("added"), Measures::none(), stats);
        change.begin().map(drop)
    };
    assert!(matches!(change(), Err(ChangeError::NotStarted)));
    let engine = engine.data(folder.path()).log(Durability::System, |event: &Event| event.0);
    let running = engine.keep_log(Duration::from_secs(86_400)).start(Cluster::workers(1)).unwrap();
    let error = change().unwrap_err().to_string();
    assert!(error.contains("its log is not kept for ever"), "{error}");
    drop(pusher);
    running.finish().unwrap();
    assert!(matches!(change(), Err(ChangeError::Stopped)));
    let mut engine = Engine::<Event>::new();
    engine.view(view("first"), Measures::none(), stats);
    let (pusher, changer) =
        (engine.live(LiveOptions::new(|event: &Event| event.0)), engine.changer());
    let running = engine.start(Cluster::workers(1)).unwrap();
    let mut change = changer.change();
    change.view(view("added"), Measures::none(), stats);
    let error = change.begin().unwrap_err().to_string();
    assert!(error.contains("it has no log"), "{error}");
    drop((pusher, running));
}

/// A source with one partition, which goes on until it is told to stop.
#[derive(Clone, Default)]
struct Line {
    stops: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
}

impl Line {
    const A_DAY: u64 = 20_000;
    const MOST: u64 = 60 * Line::A_DAY;

    fn event(n: u64) -> Event {
        (n as i64 * DAY_MS / Line::A_DAY as i64, n % 50, n as i64 % 1_000)
    }
}

impl Partitioned<Event> for Line {
    fn name(&self) -> &str {
        "line"
    }

    fn open(&self, share: &Share) -> io::Result<Box<dyn Partitions<Event>>> {
        let to_add = share.has(0).then(|| share.committed("0").map_or(0, |there| there.next));
        Ok(Box::new(ReadingLine { line: self.clone(), next: to_add, is_added: false }))
    }
}

struct ReadingLine {
    line: Line,
    /// The next event, if this worker reads the partition.
    next: Option<u64>,
    is_added: bool,
}

impl Partitions<Event> for ReadingLine {
    fn take(&mut self, into: &mut Taking<Event>, wait: Duration) -> io::Result<More> {
        let stops = self.line.stops.load(Ordering::SeqCst);
        let Some(next) = &mut self.next else {
            into.ready();
            std::thread::sleep(wait.min(Duration::from_millis(1)));
            return Ok(if stops { More::Ended } else { More::Later });
        };
        if !std::mem::replace(&mut self.is_added, true) {
            into.add("0", Start::new(0, *next));
            into.ready();
        }
        if stops {
            return Ok(More::Ended);
        }
        for n in *next..(*next + 1_000).min(Line::MOST) {
            let event = Line::event(n);
            into.event(0, Taken::new(n + 1, b""), event.0, event);
            *next = n + 1;
        }
        self.line.taken.store(*next, Ordering::SeqCst);
        Ok(More::Later)
    }

    fn mark(&self, _: usize) -> Vec<u8> {
        Vec::new()
    }
}

/// One worker reads many days, and the other none: it must not hold back the first one while it waits.
#[test]
fn a_view_is_added_while_one_worker_reads_and_the_other_has_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let line = Line::default();
    let mut engine = Engine::<Event>::new();
    let first = engine.view(view("first"), Measures::none(), stats);
    let changer = engine.changer();
    let every = Durability::Every(Duration::from_millis(1));
    let engine = engine.data(folder.path()).log(every, |event: &Event| event.0);
    let running = engine.partitioned(line.clone()).start(Cluster::workers(2)).unwrap();
    let begun = std::time::Instant::now();
    while line.taken.load(Ordering::SeqCst) < 5 * Line::A_DAY {
        assert!(begun.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut change = changer.change();
    let second = change.view(view("second"), Measures::none(), stats);
    assert!(change.begin().unwrap().wait(LONG).unwrap(), "the change hangs");
    line.stops.store(true, Ordering::SeqCst);
    assert!(running.wait_sealed(LONG).unwrap());
    let [first, second] = [first, second].map(|handle| rows(&handle));
    assert_eq!(second, first);
    let taken = line.taken.load(Ordering::SeqCst);
    assert_eq!(first, oracle((0..taken).map(Line::event)));
    running.finish().unwrap();
}
