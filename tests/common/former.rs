//! The event and the view of the replay example of version 0.1, for its data folders.

use std::path::Path;
use std::time::Duration;

use dayfold::aggregate::{Count, Decimal, Distinct, Max, Maybe, Mean, Min, Quantiles};
use dayfold::engine::{Measures, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, Row};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use serde::{Deserialize, Serialize};

type Key = Vec<Vec<u8>>;
type Numbers = (Mean, Min<Decimal>, Max<Decimal>, Quantiles);
type Stats = (Count, Vec<Maybe<Numbers>>, Vec<Maybe<Distinct>>);

#[derive(Serialize, Deserialize)]
struct Event {
    time: EventTime,
    key: Key,
    values: Vec<Option<Decimal>>,
    distinct: Vec<Vec<u8>>,
}

impl Event {
    fn parse(row: &Row<'_>) -> Result<Event, String> {
        let value = match row.field(2) {
            [] => None,
            cell => Some(Decimal::parse(cell).map_err(|error| error.to_string())?),
        };
        Ok(Event {
            time: row.time(),
            key: vec![row.field(0).to_vec(), row.field(1).to_vec()],
            values: vec![value],
            distinct: vec![row.field(3).to_vec()],
        })
    }

    fn stats(&self) -> Stats {
        let numbers = |value: &Option<Decimal>| {
            Maybe(value.map(|v| (Mean::of(v), Min(v), Max(v), Quantiles::of(v))))
        };
        let one = |cell: &Vec<u8>| Maybe((!cell.is_empty()).then(|| Distinct::of(cell)));
        let distinct = self.distinct.iter().map(one);
        (Count::one(), self.values.iter().map(numbers).collect(), distinct.collect())
    }
}

fn view(engine: &mut Engine<Event>) -> ViewHandle<Key, Stats> {
    let words = r#"--time "when" --key "site","plot" --value "temperature" --distinct "badge""#;
    let view = View::new("replay").unwrap().defined_as(words);
    let view = view.key_columns(["site", "plot"]).unwrap();
    let names = [["events"], ["temperature"], ["badge_distinct"]];
    engine.view(view.measure_names(names).unwrap(), Measures::none(), |event: &Event| {
        Some((event.time, event.key.clone(), event.stats()))
    })
}

/// Continues with the folder of version 0.1 and its `sensors.csv`. Returns how many rows were left to read, and the sum
/// of temperatures of each row of the first day.
pub(crate) fn go_on(data: &Path, workers: usize) -> (u64, Vec<String>) {
    let mut engine = Engine::new().data(data).log(Durability::System, |event: &Event| event.time);
    let view = view(&mut engine);
    let options = CsvOptions::new("when").fields(["site", "plot", "temperature", "badge"]);
    let engine = engine.file(data.join("sensors.csv"), options, Event::parse);
    let running = engine.start(Cluster::workers(workers)).unwrap();
    while !running.wait_sealed(Duration::from_millis(100)).unwrap() {}
    let days = DayRange::only("2024-03-01".parse().unwrap());
    let rows = view.ask(Query::rows(KeyRange::all(), days)).unwrap().items;
    let sum = |(_, values, _): (Count, Vec<Maybe<Numbers>>, _)| {
        values[0].0.as_ref().map_or(String::new(), |(mean, ..)| mean.sum().to_string())
    };
    let sums = rows.iter().map(|row| sum(row.parts.merged().unwrap())).collect();
    let read = running.progress().rows;
    running.finish().unwrap();
    (read, sums)
}
