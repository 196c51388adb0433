//! A flight, from the file or from programs, and the aggregate of flights.

use dayfold::aggregate::{Count, Decimal, Distinct, Max, Maybe, Mean, Min, Quantiles, Sum};
use dayfold::engine::Measures;
use dayfold::source::{Row, parse_time};
use dayfold::time::EventTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The content of a record; the log keeps it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Flight {
    pub(crate) time: EventTime,
    pub(crate) carrier: String,
    pub(crate) origin: String,
    pub(crate) dest: String,
    tailnum: Vec<u8>,
    /// Minutes, negative if early; empty in records of diverted flights.
    delay: Option<Decimal>,
    miles: i64,
}

pub(crate) const COLUMNS: [&str; 6] =
    ["carrier", "origin", "dest", "tailnum", "arr_delay", "distance"];

impl Flight {
    pub(crate) fn parse(row: &Row<'_>) -> Result<Flight, String> {
        let text = |at: usize| {
            let cell = std::str::from_utf8(row.field(at));
            cell.map(str::to_owned).map_err(|_| format!("'{}': expected UTF-8", COLUMNS[at]))
        };
        let delay = match row.field(4) {
            [] => None,
            cell => Some(Decimal::parse(cell).map_err(|error| format!("'arr_delay': {error}"))?),
        };
        let miles = text(5)?.parse().map_err(|_| "'distance': expected whole miles".to_owned())?;
        Ok(Flight {
            time: row.time(),
            carrier: text(0)?,
            origin: text(1)?,
            dest: text(2)?,
            tailnum: row.field(3).to_vec(),
            delay,
            miles,
        })
    }

    /// Reads a flight from a program: the columns of the file by name, with `event_time` in RFC 3339.
    pub(crate) fn of_json(json: &Value) -> Result<Flight, String> {
        let fields = json.as_object().ok_or("expected an object with the fields of a flight")?;
        let known = |name: &str| name == "event_time" || COLUMNS.contains(&name);
        if let Some(name) = fields.keys().find(|name| !known(name)) {
            let columns = COLUMNS.join(", ");
            return Err(format!("unknown field '{name}': expected event_time, {columns}"));
        }
        let text = |name: &str| {
            let text = json[name].as_str().filter(|text| !text.is_empty() && text.len() <= 64);
            text.ok_or_else(|| format!("{name}: expected a text of 1 to 64 bytes"))
        };
        let time = parse_time(text("event_time")?.as_bytes());
        let time = time.map_err(|error| format!("event_time: {error}"))?;
        let delay = match &json["arr_delay"] {
            Value::Null => None,
            Value::Number(minutes) => Some(Decimal::parse(minutes.to_string().as_bytes())),
            Value::String(minutes) => Some(Decimal::parse(minutes.as_bytes())),
            _ => return Err("arr_delay: expected minutes".to_owned()),
        };
        let delay = delay.transpose().map_err(|error| format!("arr_delay: {error}"))?;
        let miles = json["distance"].as_i64().filter(|miles| (0..=100_000).contains(miles));
        Ok(Flight {
            time,
            carrier: text("carrier")?.to_owned(),
            origin: text("origin")?.to_owned(),
            dest: text("dest")?.to_owned(),
            tailnum: match &json["tailnum"] {
                Value::Null => Vec::new(),
                _ => text("tailnum")?.as_bytes().to_vec(),
            },
            delay,
            miles: miles.ok_or("distance: expected whole miles, from 0 to 100000")?,
        })
    }
}

/// Flights, delays if known, aircraft, and miles. One definition for both layers.
pub(crate) type Stats = (Count, Maybe<Delay>, Maybe<Distinct>, Sum);
type Delay = (Mean, Min<Decimal>, Max<Decimal>, Quantiles);

/// The names of its parts, for readers of the folder.
pub(crate) const MEASURES: [&[&str]; 4] = [
    &["flights"],
    &["mean_delay", "least_delay", "worst_delay", "delay"],
    &["aircraft"],
    &["miles"],
];

pub(crate) fn stats(flight: &Flight) -> Stats {
    let delay = flight.delay.map(|d| (Mean::of(d), Min(d), Max(d), Quantiles::of(d)));
    let aircraft = (!flight.tailnum.is_empty()).then(|| Distinct::of(&flight.tailnum));
    (Count::one(), Maybe(delay), Maybe(aircraft), Sum::of(flight.miles))
}

/// What is shown of them.
pub(crate) fn measures() -> Measures<Stats> {
    let mean = |stats: &Stats| {
        let mean = stats.1.0.as_ref()?.0.to_string_with(2);
        Decimal::parse(mean.as_bytes()).ok()
    };
    let quantile = |stats: &Stats, hundredths| stats.1.0.as_ref()?.3.quantile(hundredths, 100);
    Measures::none()
        .measure("flights", |stats: &Stats| Some(stats.0.0.into()))
        .measure("mean_delay", mean)
        .measure("median_delay", move |stats: &Stats| quantile(stats, 50))
        .measure("p99_delay", move |stats: &Stats| quantile(stats, 99))
        .measure("worst_delay", |stats: &Stats| Some(stats.1.0.as_ref()?.2.0))
        .measure("aircraft", |stats: &Stats| {
            Some(stats.2.0.as_ref().map_or(0, Distinct::rounded).into())
        })
        .measure("miles", |stats: &Stats| i64::try_from(stats.3.value()).ok().map(Decimal::from))
}
