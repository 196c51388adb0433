//! A year of flights, for psql and other clients of PostgreSQL's protocol. The program ends when its standard input
//! ends.
//!
//!     cargo run --example serve -- ../../examples/data/flights-2013.csv.gz 127.0.0.1:5433 [USERS.toml [CERTIFICATE.pem KEY.pem]]
//!     psql "host=127.0.0.1 port=5433 dbname=dayfold user=me"

use std::error::Error;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use dayfold::aggregate::{Count, Decimal, DecimalSum, Distinct, Max, Maybe, Min, Quantiles, Sum};
use dayfold::engine::{Measures, Resume};
use dayfold::schema::Grain;
use dayfold::source::{CsvOptions, CsvSource, Input, Row};
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_sql::server::{Access, Serving, Users};
use dayfold_sql::{Limits, Sql};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Flight {
    time: EventTime,
    carrier: String,
    origin: String,
    dest: String,
    tailnum: Vec<u8>,
    delay: Option<Decimal>,
    miles: i64,
}

const COLUMNS: [&str; 6] = ["carrier", "origin", "dest", "tailnum", "arr_delay", "distance"];

/// The number of flights; miles; their delays, if known; aircraft.
type Delay = (DecimalSum, Min<Decimal>, Max<Decimal>, Quantiles);
type Stats = (Count, Sum, Maybe<Delay>, Maybe<Distinct>);

const MEASURES: [&[&str]; 4] =
    [&["flights"], &["miles"], &["delay_sum", "delay_min", "delay_max", "delay"], &["aircraft"]];

impl Flight {
    fn parse(row: &Row<'_>) -> Result<Flight, String> {
        let text = |at: usize| {
            let cell = std::str::from_utf8(row.field(at));
            cell.map(str::to_owned).map_err(|_| format!("'{}': expected UTF-8", COLUMNS[at]))
        };
        let delay = match row.field(4) {
            [] => None,
            cell => Some(Decimal::parse(cell).map_err(|error| format!("'arr_delay': {error}"))?),
        };
        let miles = text(5)?.parse().map_err(|_| "'distance': expected whole miles".to_owned())?;
        let (carrier, origin, dest) = (text(0)?, text(1)?, text(2)?);
        let (time, tailnum) = (row.time(), row.field(3).to_vec());
        Ok(Flight { time, carrier, origin, dest, tailnum, delay, miles })
    }

    fn stats(&self) -> Stats {
        let delay = self
            .delay
            .map(|delay| (DecimalSum::of(delay), Min(delay), Max(delay), Quantiles::of(delay)));
        let aircraft = (!self.tailnum.is_empty()).then(|| Distinct::of(&self.tailnum));
        (Count::one(), Sum::of(self.miles), Maybe(delay), Maybe(aircraft))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flights, address, rest @ ..] = &arguments[..] else {
        return Err("expected FLIGHTS.csv.gz ADDRESS [USERS.toml [CERTIFICATE.pem KEY.pem]]".into());
    };
    let access = match rest {
        [] => Access::open(),
        [users] | [users, _] => Access::users(Users::read(users)?),
        [users, certificate, key, ..] => Access::users(Users::read(users)?)
            .tls(&std::fs::read(certificate)?, &std::fs::read(key)?)?,
    };
    let mut engine = Engine::<Flight>::new();
    let view = |name: &str, key: &[&str], grain| -> Result<View, Box<dyn Error>> {
        let view = View::new(name)?
            .zone("America/New_York")?
            .grain(grain)
            .grace(Duration::from_secs(3_600));
        Ok(view
            .key_columns(key.iter().copied())?
            .measure_names(MEASURES.map(|part| part.iter().copied()))?)
    };
    let by_carrier = view("by_carrier", &["carrier"], Grain::Day)?;
    engine.view(by_carrier, Measures::none(), |flight: &Flight| {
        Some((flight.time, flight.carrier.clone(), flight.stats()))
    });
    let by_route = view("by_route", &["origin", "dest", "carrier"], Grain::Day)?;
    engine.view(by_route, Measures::none(), |flight: &Flight| {
        let key = (flight.origin.clone(), flight.dest.clone(), flight.carrier.clone());
        Some((flight.time, key, flight.stats()))
    });
    let hourly = view("hourly", &["origin"], Grain::Hour)?;
    engine.view(hourly, Measures::none(), |flight: &Flight| {
        Some((flight.time, flight.origin.clone(), flight.stats()))
    });
    let file = flights.clone();
    let open = move |resume: &Resume<'_>| {
        let csv = CsvOptions::new("event_time").arrival("ingest_time").fields(COLUMNS);
        Ok(Some(match resume.consumed() {
            None => CsvSource::open(Input::file(file), csv)?,
            Some(consumed) => CsvSource::resume_after(Input::file(file), csv, consumed)?,
        }))
    };
    let running = engine.csv(open, Flight::parse).start(Cluster::workers(2))?;
    let sql = Sql::new(running.views(), Limits::default())?;
    let address: SocketAddr = address.parse()?;
    let serving = Serving::start(sql, address, access)?;
    println!("{}", serving.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(serving);
    running.finish()?;
    Ok(())
}
