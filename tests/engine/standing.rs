//! Which events close a day and which do not; sealing a day changes no answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::common::Feed;
use dayfold::aggregate::{Count, Semigroup, Sum};
use dayfold::engine::{EngineError, Measures, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::{Answer, Keys, Query, Shape};
use dayfold::source::{CsvOptions, CsvSource, Input};
use dayfold::store::{self, Disk, RunState, Store, StoreConfig, ViewRecord, ViewReport};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::{Limits, View};
use dayfold::{Archive, Cluster, Engine, FoldDays, Moment};
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

type Stats = (Count, Sum);
type Event = (EventTime, String, i64);

const HOUR: i64 = 3_600_000;
/// 2013-03-09T00:00:00Z.
const START: EventTime = 1_362_787_200_000;

fn one(value: i64) -> Stats {
    (Count::one(), Sum::of(value))
}

/// The same queries at every tick around two closings, with late events between them. Every answer equals a
/// recomputation, before, while and after the days are sealed.
fn standing(archive: &Archive, view: &View) {
    let archive = archive.clone();
    let view = view.clone();
    timely::execute_directly(move |worker| {
        let mut events = InputHandle::<Moment, _>::new();
        let mut asking = InputHandle::<Moment, _>::new();
        let probe = ProbeHandle::new();
        let answers: Rc<RefCell<Vec<Answer<String, Stats>>>> = Rc::default();
        let status = worker.dataflow(|scope| {
            let folded = events
                .to_stream(scope)
                .fold_days(view.clone(), &archive, |(time, key, value): &Event| {
                    Some((*time, key.clone(), one(*value)))
                })
                .unwrap();
            let heard = Rc::clone(&answers);
            folded
                .serve(asking.to_stream(scope))
                .inspect(move |answer: &Answer<String, Stats>| {
                    heard.borrow_mut().push(answer.clone())
                })
                .probe_with(&probe);
            folded.progress().probe_with(&probe);
            folded.status()
        });
        let shapes = [Shape::Total, Shape::ByDay, Shape::ByKey, Shape::ByDayAndKey];
        let all = || Keys::Range(KeyRange::all());
        let mut entered: Vec<Event> = Vec::new();
        let mut layers = (false, false, false);
        let first = view.calendar().day_of(START);
        for tick in 1..=72u64 {
            // An hour passes with every tick; every seventh event is 30 hours late.
            let now = START + tick as i64 * HOUR;
            let floor = view.floor_at(now);
            let moment = Moment::new(floor, tick);
            events.advance_to(moment);
            let late = if tick.is_multiple_of(7) { 30 * HOUR } else { 0 };
            let event = (now - late, ["a", "b", "c"][tick as usize % 3].to_owned(), tick as i64);
            entered.push(event.clone());
            events.send(event);
            // Asked twice: at once, and after the archive has had time to continue.
            for pause in [false, true] {
                let moment = Moment::new(floor, tick);
                asking.advance_to(moment);
                asking
                    .send(Query::new(Keys::One("a".to_owned()), DayRange::ALL, Shape::ByDay).id(4));
                for (id, shape) in shapes.iter().enumerate() {
                    asking.send(Query::new(all(), DayRange::ALL, *shape).id(id as u64));
                }
                asking.flush();
                if pause {
                    events.advance_to(Moment::new(floor, tick + 1));
                    asking.advance_to(Moment::new(floor, tick + 1));
                    worker.step_while(|| probe.less_equal(&moment));
                    // Closed days are sealed before the next tick, so that all layers are seen.
                    let pause = Some(Duration::from_millis(1));
                    worker.step_or_park_while(pause, || status.sealing() > 0);
                }
            }
            for answer in answers.borrow_mut().drain(..) {
                let (keys, shape) = match answer.id {
                    4 => (Some("a"), Shape::ByDay),
                    id => (None, shapes[id as usize]),
                };
                check(&view, &entered, keys, shape, &answer);
                for item in &answer.items {
                    if item.day == Some(first) {
                        layers.0 |= item.parts.speed.is_some() && item.revision.is_none();
                        layers.1 |= item.parts.batch.is_some() && item.revision >= Some(first);
                        layers.2 |= item.parts.amendments.is_some();
                    }
                }
            }
        }
        events.close();
        asking.advance_to(Moment::new(EventTime::MAX, 0));
        worker.step_or_park_while(Some(Duration::from_millis(1)), || !status.finished());
        asking.send(Query::new(all(), DayRange::ALL, Shape::ByDayAndKey).id(3));
        asking.close();
        worker.step_or_park_while(None, || !probe.done());
        let last = answers.borrow_mut().pop().unwrap();
        check(&view, &entered, None, Shape::ByDayAndKey, &last);
        assert!(
            last.items.iter().all(|item| item.parts.speed.is_none() && item.revision.is_some())
        );
        assert_eq!(layers, (true, true, true), "the first day was seen open, sealed and amended");
    });
}

fn check(
    view: &View,
    entered: &[Event],
    key: Option<&str>,
    shape: Shape,
    answer: &Answer<String, Stats>,
) {
    let mut expect: BTreeMap<(Option<Day>, Option<String>), Stats> = BTreeMap::new();
    for (time, of, value) in entered.iter().filter(|(_, of, _)| key.is_none_or(|key| key == of)) {
        let day = Some(view.calendar().day_of(*time));
        let place = match shape {
            Shape::Total => (None, None),
            Shape::ByDay => (day, None),
            Shape::ByKey => (None, Some(of.clone())),
            _ => (day, Some(of.clone())),
        };
        let more = one(*value);
        expect.entry(place).and_modify(|sum| sum.plus_equals(&more)).or_insert(more);
    }
    let items = answer.items.iter();
    let got: BTreeMap<_, _> =
        items.map(|item| ((item.day, item.key.clone()), item.parts.merged().unwrap())).collect();
    assert_eq!(got, expect, "{shape:?} as of {}", answer.certificate.as_of);
}

fn view() -> View {
    View::new("standing").unwrap().zone("America/New_York").unwrap()
}

#[test]
fn oracle_sealing_in_memory_changes_no_answer() {
    standing(&Archive::in_memory(), &view());
}

#[test]
fn oracle_sealing_into_a_folder_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let record = ViewRecord::of::<String, Stats>(&view());
    let config = StoreConfig::new(0, 1, vec![record]);
    let store = Store::open(Arc::new(Disk), folder.path(), config).unwrap();
    store.begin().unwrap();
    standing(&Archive::folder(Arc::new(store)), &view());
}

fn engine(
    view: View,
    input: impl Read + Send + 'static,
    arrival: bool,
) -> (Result<Running, EngineError>, ViewHandle<String, Stats>) {
    let mut engine = Engine::<Event>::new();
    let handle = engine.view(view, Measures::none(), |(time, key, value): &Event| {
        Some((*time, key.clone(), one(*value)))
    });
    let engine = engine.csv(
        move |_| {
            let options = CsvOptions::new("time").fields(["key"]);
            let options = if arrival { options.arrival("arrival") } else { options };
            Ok(Some(CsvSource::open(Input::reader("rows", input), options)?))
        },
        |row| Ok((row.time(), String::from_utf8_lossy(row.field(0)).into_owned(), 1)),
    );
    (engine.start(Cluster::workers(2)), handle)
}

#[test]
fn a_paused_replay_closes_nothing() {
    let (send, reader) = Feed::new();
    let (running, handle) = engine(View::new("paused").unwrap(), reader, false);
    let running = running.unwrap();
    send.send(b"time,key\n2013-03-09T10:00:00Z,a\n2013-03-09T11:00:00Z,a\n".to_vec()).unwrap();
    // Nobody sends more. The day is years old by the wall clock, and stays open.
    assert!(!running.wait_sealed(Duration::from_millis(300)).unwrap());
    assert!(
        running.progress().views.iter().all(|view| view
            .sealed_through
            .is_none_or(|day| { day < "2013-03-09".parse().unwrap() }))
    );
    drop(send);
    assert!(running.wait_sealed(Duration::from_secs(60)).unwrap());
    let answer = handle.ask(Query::point("a".to_owned(), DayRange::ALL)).unwrap();
    assert_eq!(answer.value(), Some((Count(2), Sum::of(2))));
    running.finish().unwrap();
}

/// An engine with a log, whose source opens after `before`.
fn logged(
    folder: &Path,
    views: &[&str],
    before: impl FnOnce() -> Result<(), EngineError> + Send + 'static,
) -> Running {
    let rows = "time,key\n2013-03-09T10:00:00Z,a\n2013-03-10T10:00:00Z,b\n2013-03-11T10:00:00Z,c\n";
    let mut engine = Engine::<Event>::new().data(folder).log(Durability::System, |event| event.0);
    for name in views {
        engine.view(View::new(name).unwrap(), Measures::none(), |(time, key, value): &Event| {
            Some((*time, key.clone(), one(*value)))
        });
    }
    let engine = engine.csv(
        move |_| {
            before()?;
            let options = CsvOptions::new("time").fields(["key"]);
            Ok(Some(CsvSource::open(Input::reader("rows", rows.as_bytes()), options)?))
        },
        |row| Ok((row.time(), String::from_utf8_lossy(row.field(0)).into_owned(), 1)),
    );
    engine.start(Cluster::workers(2)).unwrap()
}

/// A new view in a folder has its past in the log, and days to seal at once. But nothing is sealed before the run has
/// begun in all processes; otherwise a crash would leave days that some of them do not know.
#[test]
fn nothing_is_sealed_before_the_run_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    let running = logged(folder.path(), &["old"], || Ok(()));
    while !running.wait_sealed(Duration::from_secs(1)).unwrap() {}
    running.finish().unwrap();

    let (go_on, waiting) = mpsc::channel::<()>();
    let running = logged(folder.path(), &["old", "new"], move || {
        // Its sender is gone once the test has seen enough.
        let _ = waiting.recv();
        Err(EngineError::Input { message: "there is no source".to_owned() })
    });
    assert!(!running.wait_sealed(Duration::from_millis(300)).unwrap());
    drop(go_on);
    let error = loop {
        match running.wait_sealed(Duration::from_secs(1)) {
            Ok(sealed) => assert!(!sealed),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(error, "there is no source");
    drop(running);
    let report = store::inspect(&Disk, folder.path()).unwrap();
    assert_eq!(report.state, RunState::Complete, "only the first run has begun");
    let through = |view: &ViewReport| (view.record.name.clone(), view.closed_through.is_some());
    let views: Vec<_> = report.views.iter().map(through).collect();
    assert_eq!(views, [("new".to_owned(), false), ("old".to_owned(), true)]);
}

#[test]
fn an_event_from_the_future_moves_nothing_and_one_from_1970_opens_one_day() {
    let rows = "time,arrival,key\n\
        2013-03-09T10:00:00Z,2013-03-09T10:00:01Z,a\n\
        2031-01-01T00:00:00Z,2013-03-09T10:00:02Z,a\n\
        1970-01-01T00:00:00Z,2013-03-09T10:00:03Z,a\n\
        2013-03-09T09:00:00Z,2013-03-09T10:00:04Z,a\n";
    let view = View::new("future").unwrap().limits(Limits::new(2, 1_000, 1 << 20));
    let (running, handle) = engine(view, rows.as_bytes(), true);
    let running = running.unwrap();
    assert!(running.wait_sealed(Duration::from_secs(60)).unwrap());
    let answer = handle.ask(Query::series("a".to_owned(), DayRange::ALL)).unwrap();
    let days: Vec<_> = answer.items.iter().map(|item| item.day.unwrap().to_string()).collect();
    assert_eq!(days, ["1970-01-01", "2013-03-09"], "two days, within a limit of two");
    assert_eq!((answer.certificate.refused, answer.certificate.late), (1, 1));
    assert_eq!(answer.items[1].parts.merged(), Some((Count(2), Sum::of(2))));
    running.finish().unwrap();
}

#[track_caller]
fn stops(limits: Limits, expect: &str) {
    let mut rows = String::from("time,key\n");
    for hour in 0..96 {
        rows.push_str(&format!("{},key-{hour}\n", START + hour * HOUR));
    }
    // A grace longer than any run: all days stay open.
    let view =
        View::new("bounded").unwrap().grace(Duration::from_secs(9_000 * 86_400)).limits(limits);
    let (running, handle) = engine(view, std::io::Cursor::new(rows), false);
    let running = running.unwrap();
    let error = loop {
        match running.wait_sealed(Duration::from_secs(1)) {
            Ok(sealed) => assert!(!sealed, "nothing is sealed from a view that stopped"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains(expect) && error.contains("view 'bounded'"), "{error}");
    assert!(handle.ask(Query::total(DayRange::ALL)).is_err());
    assert!(running.finish().is_err());
}

#[test]
fn limits_stop_a_view_with_an_error() {
    stops(Limits::new(2, 1_000, 1 << 20), "unsealed days, its limit is 2");
    stops(Limits::new(100, 40, 1 << 20), "groups, its limit is 40");
    stops(Limits::new(100, 1_000, 900), "bytes, its limit is 900");
}
