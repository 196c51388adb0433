//! The ways to embed the library, with the public API only.

use std::io;
use std::sync::mpsc;

use dayfold::aggregate::{Count, laws};
use dayfold::engine::Measures;
use dayfold::key::check_key_laws;
use dayfold::serve::{Answer, Query};
use dayfold::source::{CsvOptions, CsvSource, Input, Next, Source};
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Archive, Cluster, Engine, FoldChanges, FoldDays, Moment};
use differential_dataflow::input::InputSession;
use embedder::{Load, Route};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::Inspect;

const DAY: i64 = 86_400_000;

fn route(origin: &str, destination: &str) -> Route {
    Route { origin: origin.to_owned(), destination: destination.to_owned() }
}

fn load(passengers: i64, bags: i64) -> Load {
    Load { passengers, bags }
}

#[test]
fn own_parts_keep_the_laws() {
    check_key_laws(&[route("EWR", "SFO"), route("EWR", ""), route("", "SFO"), route("EW", "RSFO")]);
    laws::check_laws(&[load(0, 0), load(3, 1), load(-3, 7)]);
}

#[test]
fn a_stream_in_a_dataflow_of_ones_own() {
    let (sender, answers) = mpsc::channel();
    timely::execute_directly(move |worker| {
        let mut flights = InputHandle::<Moment, _>::new();
        let mut queries = InputHandle::<Moment, _>::new();
        worker.dataflow(|scope| {
            let view = View::new("loads").unwrap();
            let loads = flights
                .to_stream(scope)
                .fold_days(
                    view,
                    &Archive::in_memory(),
                    |(time, route, load): &(i64, Route, Load)| Some((*time, route.clone(), *load)),
                )
                .unwrap();
            loads
                .serve(queries.to_stream(scope))
                .inspect(move |answer: &Answer<Route, Load>| sender.send(answer.value()).unwrap());
        });
        flights.send((0, route("EWR", "SFO"), load(100, 40)));
        flights.send((DAY, route("EWR", "SFO"), load(50, 60)));
        queries.send(Query::point(route("EWR", "SFO"), DayRange::ALL));
    });
    assert_eq!(answers.recv().unwrap(), Some(load(150, 100)));
}

#[test]
fn a_collection_whose_events_are_taken_back() {
    let (sender, answers) = mpsc::channel();
    timely::execute_directly(move |worker| {
        let mut flights = InputSession::<Moment, (i64, Route, Load), isize>::new();
        let mut queries = InputHandle::<Moment, _>::new();
        worker.dataflow(|scope| {
            let loads = flights
                .to_collection(scope)
                .fold_days(
                    View::new("loads").unwrap(),
                    &Archive::in_memory(),
                    |(time, route, load)| Some((*time, route.clone(), *load)),
                )
                .unwrap();
            loads
                .serve(queries.to_stream(scope))
                .inspect(move |answer: &Answer<Route, Load>| sender.send(answer.value()).unwrap());
        });
        flights.insert((0, route("EWR", "SFO"), load(100, 40)));
        flights.insert((0, route("EWR", "SFO"), load(7, 7)));
        let later = Moment::new(10 * DAY, 1);
        flights.advance_to(later);
        flights.remove((0, route("EWR", "SFO"), load(100, 40)));
        flights.flush();
        queries.send(Query::point(route("EWR", "SFO"), DayRange::ALL));
        queries.advance_to(later);
        queries.send(Query::point(route("EWR", "SFO"), DayRange::ALL));
    });
    let answers: Vec<_> = answers.iter().collect();
    assert_eq!(answers, [Some(load(107, 47)), Some(load(7, 7))]);
}

#[test]
fn an_engine_on_threads_of_its_own() {
    let rows = "at,from,to\n2024-05-01T10:00:00Z,EWR,SFO\n2024-05-01T11:00:00Z,EWR,SFO\n";
    let mut engine = Engine::new();
    let by_route = engine.view(
        View::new("by-route").unwrap(),
        Measures::none(),
        |(time, route): &(i64, Route)| Some((*time, route.clone(), Count::one())),
    );
    let options = CsvOptions::new("at").fields(["from", "to"]);
    let source = Input::reader("flights", rows.as_bytes());
    let engine = engine.csv(
        move |_| Ok(Some(CsvSource::open(source, options)?)),
        |row| {
            let text = |at| String::from_utf8(row.field(at).to_vec()).map_err(|e| e.to_string());
            Ok((row.time(), Route { origin: text(0)?, destination: text(1)? }))
        },
    );
    let running = engine.start(Cluster::workers(2)).unwrap();
    while !running.wait_sealed(std::time::Duration::from_secs(1)).unwrap() {}
    let answer = by_route.ask(Query::point(route("EWR", "SFO"), DayRange::ALL)).unwrap();
    assert_eq!(answer.value(), Some(Count(2)));
    running.finish().unwrap();
}

/// Flights of a table, the third of which is invalid.
struct Table(u64);

impl Source for Table {
    type Position = u64;

    fn name(&self) -> &str {
        "table"
    }

    fn read(&mut self) -> io::Result<Next<'_>> {
        self.0 += 1;
        let bytes = b"EWR SFO";
        Ok(match self.0 {
            3 => Next::Refused { reason: "cancelled".to_owned(), bytes },
            10.. => Next::End,
            row => Next::Record { time: row as i64 * DAY, arrival: None, bytes },
        })
    }

    fn position(&self) -> u64 {
        self.0
    }
}

#[test]
fn a_source_of_ones_own() {
    let mut engine = Engine::new();
    let by_route = engine.view(
        View::new("by-route").unwrap(),
        Measures::none(),
        |(time, route): &(i64, Route)| Some((*time, route.clone(), Count::one())),
    );
    let engine = engine.source(
        |_| Ok(Some(Table(0))),
        |row| {
            let text = std::str::from_utf8(row.raw()).map_err(|error| error.to_string())?;
            let (origin, destination) = text.split_once(' ').ok_or("no route")?;
            Ok((row.time(), route(origin, destination)))
        },
    );
    let running = engine.start(Cluster::workers(2)).unwrap();
    while !running.wait_sealed(std::time::Duration::from_secs(1)).unwrap() {}
    let answer = by_route.ask(Query::point(route("EWR", "SFO"), DayRange::ALL)).unwrap();
    assert_eq!((answer.value(), answer.certificate.refused), (Some(Count(8)), 1));
    assert_eq!(by_route.status().numbers.sealed_days, 8);
    running.finish().unwrap();
}
