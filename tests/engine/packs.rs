//! Small files of older periods move into packs when a folder is opened, and no answer changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::{Query, Revision};
use dayfold::store::{self, Disk};
use dayfold::time::{Day, DayRange, EventTime, Grain};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

type Event = (EventTime, u64);
type Counts = BTreeMap<(Day, u64), i64>;

const DAY: EventTime = 86_400_000;
/// 2020-01-01.
const FIRST: i64 = 18_262;

struct Program {
    running: Running,
    pusher: Pusher<Event>,
    view: ViewHandle<u64, Count>,
    clock: Arc<AtomicI64>,
}

impl Program {
    fn start(folder: &Path, day: i64, workers: usize) -> Program {
        let clock = Arc::new(AtomicI64::new(day * DAY));
        let now = Arc::clone(&clock);
        let mut engine = engine(folder).clock(move || now.load(Ordering::SeqCst));
        let view = View::new("events").unwrap().grace(Duration::ZERO).rollup([Grain::Month]);
        let enter = |&(time, key): &Event| Some((time, key, Count::one()));
        let view = engine.view(view, Measures::none(), enter);
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let running = engine.start(Cluster::workers(workers)).unwrap();
        Program { running, pusher, view, clock }
    }

    fn push(&self, day: i64, events: Vec<Event>) {
        self.clock.store(day * DAY + 1, Ordering::SeqCst);
        self.view.wait_sealed_through(Day(day as i32 - 1), LONG).unwrap();
        self.pusher.push(events).unwrap().receipt.wait_both(LONG).unwrap();
    }

    fn counts(&self, query: Query<u64>) -> Counts {
        let items = self.view.ask_timeout(query, LONG).unwrap().items.into_iter();
        let of = |item: dayfold::serve::Item<u64, Count>| {
            ((item.day.unwrap(), item.key.unwrap()), item.parts.merged().unwrap().0)
        };
        items.map(of).collect()
    }

    fn stop(self) {
        drop(self.pusher);
        self.running.finish().unwrap();
    }
}

fn engine(folder: &Path) -> Engine<Event> {
    let engine = Engine::<Event>::new().data(folder).packing(2, 4);
    engine.log(Durability::EveryCommit, |event: &Event| event.0)
}

fn count(counts: &mut Counts, events: &[Event]) {
    for (time, key) in events {
        *counts.entry((Day((time / DAY) as i32), *key)).or_default() += 1;
    }
}

fn packed(folder: &Path) -> usize {
    let report = store::inspect(&Disk, folder).unwrap();
    report.views[0].revisions.iter().filter(|file| file.is_packed()).count()
}

/// Six runs of one to three workers, with events that come up to twelve days late.
#[test]
fn answers_audits_and_rebuilds_are_as_before_over_many_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (mut all, mut first) = (Counts::new(), Counts::new());
    for (run, workers) in [1, 2, 2, 3, 1, 2].into_iter().enumerate() {
        let begin = FIRST + 9 * run as i64;
        let program = Program::start(folder.path(), begin, workers);
        let rows = |revision| Query::rows(KeyRange::all(), DayRange::ALL).revision(revision);
        assert_eq!(program.counts(rows(Revision::Now)), all, "run {run}");
        for day in begin..begin + 9 {
            let mut events: Vec<Event> = (0..7).map(|n| (day * DAY + n, n as u64 * 3)).collect();
            count(&mut first, &events);
            let late = (day - 12 * (day % 2)).max(FIRST);
            events.extend((day > FIRST).then_some((late * DAY + 7, day as u64 % 5)));
            if late == day && day > FIRST {
                count(&mut first, &events[7..]);
            }
            count(&mut all, &events);
            program.push(day, events);
        }
        assert_eq!(program.counts(rows(Revision::Now)), all, "run {run}");
        let was = program.counts(rows(Revision::First));
        let sealed: Counts = first
            .iter()
            .filter(|((day, _), _)| i64::from(day.0) < begin + 8)
            .map(|(k, v)| (*k, *v))
            .collect();
        assert_eq!(was, sealed, "run {run}");
        let audited = program.view.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
        if run % 2 == 1 {
            let days = DayRange::new(Day(FIRST as i32 + 2), Day(FIRST as i32 + 5));
            program.view.rebuild(days, 1.0).unwrap();
            assert_eq!(program.counts(rows(Revision::Now)), all, "run {run}");
        }
        program.stop();
        assert_eq!(packed(folder.path()) > 0, run > 0, "run {run}");
    }
    // A copy is whole, and goes on.
    let copy = folder
        .path()
        .parent()
        .unwrap()
        .join(format!("{}-copy", folder.path().file_name().unwrap().display()));
    store::backup(folder.path(), &copy).unwrap();
    let program = Program::start(&copy, FIRST + 54, 2);
    assert_eq!(program.counts(Query::rows(KeyRange::all(), DayRange::ALL)), all);
    program.stop();
    std::fs::remove_dir_all(&copy).unwrap();
    // Damage in a pack costs a day, and is repaired from the log; without a pack, all of its days are.
    let report = store::inspect(&Disk, folder.path()).unwrap();
    let counts = |file: &&store::LiveBatch| file.is_packed() && !file.coverage.is_empty();
    let pack = report.views[0].revisions.iter().find(counts).unwrap().path.clone();
    std::fs::remove_file(&pack).unwrap();
    let repaired = {
        let mut engine = engine(folder.path());
        let view = View::new("events").unwrap().grace(Duration::ZERO).rollup([Grain::Month]);
        let enter = |&(time, key): &Event| Some((time, key, Count::one()));
        drop(engine.view(view, Measures::none(), enter));
        engine.repair().unwrap()
    };
    assert!(!repaired.is_empty());
    let program = Program::start(folder.path(), FIRST + 54, 2);
    assert_eq!(program.counts(Query::rows(KeyRange::all(), DayRange::ALL)), all);
    program.stop();
}
