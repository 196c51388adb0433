//! The start of an engine, which reports definitions that cannot work, and its end: what happens to open days.

use std::sync::Arc;
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{
    AskError, EngineError, LiveOptions, MaintainError, Measures, PushRefusal, Pusher, Running,
    ViewHandle,
};
use dayfold::log::Durability;
use dayfold::serve::{MeasureId, Query};
use dayfold::source::{CsvOptions, CsvSource, Input, Row};
use dayfold::store::Memory;
use dayfold::time::{Day, DayRange};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

/// Event time, key.
type Event = (i64, u64);

const NOON: i64 = 1_714_557_600_000;
const SOON: Durability = Durability::Every(Duration::from_millis(1));

fn view(engine: &mut Engine<Event>, name: &str) -> ViewHandle<u64, Count> {
    let measures = Measures::none().measure("count", |count: &Count| Some(count.0.into()));
    engine.view(View::new(name).unwrap(), measures, |&(time, key): &Event| {
        Some((time, key, Count::one()))
    })
}

fn live(engine: &mut Engine<Event>) -> Pusher<Event> {
    engine.live(LiveOptions::new(|event: &Event| event.0))
}

/// Adds a source of two rows, the second of which is refused.
fn csv(engine: Engine<Event>) -> Engine<Event> {
    let rows = "time,key\n2024-05-01T10:00:00Z,1\n2024-05-01T11:00:00Z,x\n";
    let options = CsvOptions::new("time").fields(["key"]);
    let parse = |row: &Row<'_>| {
        let key = std::str::from_utf8(row.field(0)).map_err(|error| error.to_string())?;
        Ok((row.time(), key.parse().map_err(|_| "no key".to_owned())?))
    };
    let source = Input::reader("rows", rows.as_bytes());
    engine.csv(move |_| Ok(Some(CsvSource::open(source, options)?)), parse)
}

fn total() -> Query<u64> {
    Query::total(DayRange::ALL)
}

#[track_caller]
fn is_refused(engine: Engine<Event>, because: &str) {
    let error = engine.start(Cluster::workers(1)).expect_err("it cannot work");
    assert!(matches!(error, EngineError::Definition(_)), "{error:?}");
    assert!(error.to_string().contains(because), "{error}");
}

#[test]
fn what_is_given_twice_is_refused() {
    let mut engine = Engine::new();
    let handle = view(&mut engine, "view");
    let (first, second) = (live(&mut engine), live(&mut engine));
    let pushed = first.push(vec![(NOON, 1)]).unwrap();
    let refusal = second.push(vec![(NOON, 1)]).unwrap_err().refusal;
    assert_eq!(refusal, PushRefusal::Stopped, "nothing would come of it");
    is_refused(engine, "clone the first pusher");
    // Nobody waits for an engine that has not started.
    assert_eq!(handle.ask(total()).err(), Some(AskError::Stopped));
    assert!(pushed.receipt.wait_visible(LONG).is_err());
    assert_eq!(first.push(vec![(NOON, 1)]).unwrap_err().refusal, PushRefusal::Stopped);

    let mut engine = Engine::new();
    view(&mut engine, "view");
    is_refused(csv(csv(engine)), "one source");
}

#[test]
fn an_engine_without_views_or_source_and_two_views_of_one_name_are_refused() {
    is_refused(csv(Engine::new()), "needs a view");
    let mut engine = Engine::new();
    view(&mut engine, "view");
    is_refused(engine, "needs a source");
    let mut engine = Engine::new();
    view(&mut engine, "view");
    view(&mut engine, "other");
    view(&mut engine, "view");
    is_refused(csv(engine), "two views have the name 'view'");
}

#[test]
fn names_of_columns_have_to_fit_the_types() {
    let mut engine = Engine::<Event>::new();
    let view = View::new("v").unwrap().key_columns(["site", "plot"]).unwrap();
    engine.view(view, Measures::none(), |event| Some((event.0, event.1, Count::one())));
    let _pusher = live(&mut engine);
    let error = engine.start(Cluster::workers(1)).expect_err("it cannot work");
    assert!(matches!(error, EngineError::Schema { .. }), "{error:?}");
    let said = "view 'v': 2 names for the columns of a key that has 1";
    assert!(error.to_string().starts_with(said), "{error}");
}

#[test]
fn a_log_needs_a_data_folder() {
    let logged = || Engine::<Event>::new().log(SOON, |event| event.0);
    is_refused(logged(), "needs a data folder");
    // A folder may be opened without a source, to query sealed days.
    let mut engine = logged().data_in(Arc::new(Memory::default()), "data");
    view(&mut engine, "view");
    engine.start(Cluster::workers(1)).unwrap().finish().unwrap();
}

/// The view and the live source first, and then their prerequisites.
#[test]
fn the_order_of_what_an_engine_is_given_does_not_matter() {
    let mut engine = Engine::new();
    let handle = view(&mut engine, "view");
    let pusher = live(&mut engine);
    let (keep, kept) = std::sync::mpsc::channel();
    let engine = engine.refused(move |refused| {
        keep.send(refused.reason.clone()).unwrap();
        Ok(())
    });
    let engine = csv(engine).asking(3, 1).clock(|| NOON);
    let running = engine.start(Cluster::workers(1)).unwrap();
    assert_eq!(kept.recv_timeout(LONG).unwrap(), "no key");

    let ahead = NOON + 2 * 86_400_000;
    let pushed = pusher.push(vec![(NOON, 1), (ahead, 1)]).unwrap();
    assert_eq!(pushed.refused, [(ahead, 1)], "by the clock that was given");
    let _first = handle.subscribe(total(), Duration::ZERO).unwrap();
    let second = handle.subscribe(total(), Duration::ZERO).err();
    assert_eq!(second, Some(AskError::TooManySubscribers { limit: 1 }));
    drop(pusher);
    running.finish().unwrap();
}

#[test]
fn a_question_that_nobody_would_answer_is_refused_at_once() {
    let mut engine = Engine::new();
    let handle = view(&mut engine, "by-key");
    let _pusher = live(&mut engine);
    assert_eq!(handle.ask(total()).err(), Some(AskError::NotStarted));
    assert_eq!(handle.subscribe(total(), LONG).err(), Some(AskError::NotStarted));
    assert_eq!(handle.audit(DayRange::ALL, 1.0), Err(MaintainError::NotStarted));

    let running = engine.start(Cluster::workers(1)).unwrap();
    assert!(handle.ask(Query::top(1, MeasureId::FIRST, DayRange::ALL)).is_ok());
    let other = Query::top(1, MeasureId::at(1), DayRange::ALL);
    let error = handle.ask(other.clone()).unwrap_err();
    let expected = "view 'by-key' has no measure 1: it has 1, and the first one is number 0";
    assert_eq!(error.to_string(), expected);
    assert_eq!(handle.subscribe(other, LONG).err(), Some(error));
    running.finish().unwrap();
}

/// The state after a run: how it ended, whether the next one starts, and with how many events.
struct Program {
    running: Running,
    handle: ViewHandle<u64, Count>,
    pusher: Pusher<Event>,
}

impl Program {
    fn start(disk: &Memory, logged: bool) -> Result<Program, EngineError> {
        let mut engine = Engine::new().data_in(Arc::new(disk.clone()), "data").clock(|| NOON);
        if logged {
            engine = engine.log(SOON, |event: &Event| event.0);
        }
        let (handle, pusher) = (view(&mut engine, "view"), live(&mut engine));
        Ok(Program { running: engine.start(Cluster::workers(1))?, handle, pusher })
    }

    /// Starts with an event of an open day.
    fn with_an_open_day(disk: &Memory, logged: bool) -> Running {
        let Program { running, pusher, .. } = Program::start(disk, logged).unwrap();
        pusher.push(vec![(NOON, 1)]).unwrap().receipt.wait_visible(LONG).unwrap();
        // The pusher is dropped last, so that the program ends the run, and not its source.
        std::mem::forget(pusher);
        running
    }

    /// How many events the next run has, and whether their day is sealed.
    fn found(disk: &Memory, logged: bool) -> Result<(i64, bool), EngineError> {
        let Program { running, handle, pusher: _pusher } = Program::start(disk, logged)?;
        let answer = handle.ask(total()).unwrap();
        let count = answer.value().map_or(0, |count| count.0);
        let sealed = answer.certificate.sealed_through >= Some(day());
        running.abandon().unwrap();
        Ok((count, sealed))
    }
}

fn day() -> Day {
    View::new("view").unwrap().calendar().day_of(NOON)
}

/// The documentation of [`Running`] describes this.
#[test]
fn what_becomes_of_open_days_at_the_end() {
    for logged in [false, true] {
        let ended = |end: &dyn Fn(Running) -> Result<bool, EngineError>| {
            let disk = Memory::default();
            let ended = end(Program::with_an_open_day(&disk, logged));
            (ended, Program::found(&disk, logged))
        };

        let (ended_as, found) = ended(&|running| running.finish().map(|stopped| stopped.sealed));
        assert_eq!(ended_as.unwrap(), !logged);
        assert_eq!(found.unwrap(), (1, !logged), "finish, logged: {logged}");

        let (ended_as, found) = ended(&|running| {
            running.interrupt();
            assert!(running.wait_sealed(LONG)?);
            running.finish().map(|stopped| stopped.sealed)
        });
        assert!(matches!(ended_as, Err(EngineError::Interrupted)), "{ended_as:?}");
        assert_eq!(found.unwrap(), (1, true), "interrupted, logged: {logged}");

        // All of them say that it was interrupted, whether the workers know of it yet or not.
        for _ in 0..10 {
            let (ended_as, found) = ended(&|running| {
                running.interrupt();
                running.finish().map(|stopped| stopped.sealed)
            });
            assert!(matches!(ended_as, Err(EngineError::Interrupted)), "{ended_as:?}");
            assert_eq!(found.unwrap().0, 1, "interrupted and finished, logged: {logged}");
        }

        for end in [
            |running: Running| running.abandon().map(|stopped| stopped.sealed),
            |running| {
                drop(running);
                Ok(false)
            },
        ] {
            let (_, found) = ended(&end);
            match (logged, found) {
                (true, found) => assert_eq!(found.unwrap(), (1, false)),
                (false, Err(EngineError::Incomplete { .. })) => {}
                (false, found) => panic!("{found:?}"),
            }
        }
    }
}
