//! A year of flights by route: how long the export of its 63,000 rows takes, beside the run that ingests it, and how
//! large the files are.
//!
//! Each round ingests the flights into a new data folder, with two workers, until all days are sealed. Then it exports
//! the view to a disk in both layouts, with and without sketches. The rows that were exported are compared with the
//! sealed ones before a figure is printed. `cargo bench -p dayfold-lake --bench export -- profile` exports repeatedly,
//! for a profiler.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use std::path::Path;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Decimal, Distinct, Max, Maybe, Mean, Min, Quantiles, Sum};
use dayfold::engine::Measures;
use dayfold::log::Durability;
use dayfold::source::{CsvOptions, CsvSource, Input, Row};
use dayfold::store::{self, Disk};
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_lake::{Lake, LakeOptions, Layout};
use serde::{Deserialize, Serialize};

const FLIGHTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/flights-2013.csv.gz");
const VIEW: &str = "by-route";
const ROUNDS: usize = 5;
const PROFILED_ROUNDS: usize = 100;
const ROWS: u64 = 63_149;
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Serialize, Deserialize)]
struct Flight {
    time: EventTime,
    route: (String, String),
    tailnum: Vec<u8>,
    delay: Option<Decimal>,
    miles: i64,
}

impl Flight {
    fn parse(row: &Row<'_>) -> Result<Flight, String> {
        let text = |at: usize| String::from_utf8_lossy(row.field(at)).into_owned();
        let delay = Some(row.field(3)).filter(|cell| !cell.is_empty());
        let delay = delay.map(Decimal::parse).transpose().map_err(|error| error.to_string())?;
        let miles = text(4).parse().map_err(|_| "expected whole miles".to_owned())?;
        let tailnum = row.field(2).to_vec();
        Ok(Flight { time: row.time(), route: (text(0), text(1)), tailnum, delay, miles })
    }
}

/// Ingests all flights, and returns how long it took until all days were sealed.
fn ingest(data: &Path) -> Duration {
    let mut engine =
        Engine::<Flight>::new().data(data).log(Durability::System, |f: &Flight| f.time);
    let view = View::new(VIEW).unwrap().zone("America/New_York").unwrap().grace(HOUR);
    let view = view.key_columns(["origin", "dest"]).unwrap();
    let names: [&[&str]; 4] = [
        &["flights"],
        &["mean_delay", "least_delay", "worst_delay", "delay"],
        &["aircraft"],
        &["miles"],
    ];
    let view = view.measure_names(names.map(|names| names.iter().copied())).unwrap();
    engine.view(view, Measures::none(), |flight: &Flight| {
        let delay = flight.delay.map(|d| (Mean::of(d), Min(d), Max(d), Quantiles::of(d)));
        let aircraft = (!flight.tailnum.is_empty()).then(|| Distinct::of(&flight.tailnum));
        let state = (Count::one(), Maybe(delay), Maybe(aircraft), Sum::of(flight.miles));
        Some((flight.time, flight.route.clone(), state))
    });
    let columns = ["origin", "dest", "tailnum", "arr_delay", "distance"];
    let engine = engine.csv(
        move |_| {
            let csv = CsvOptions::new("event_time").arrival("ingest_time").fields(columns);
            Ok(Some(CsvSource::open(Input::file(FLIGHTS), csv)?))
        },
        Flight::parse,
    );
    let began = Instant::now();
    let running = engine.start(Cluster::workers(2)).unwrap();
    while !running.wait_sealed(Duration::from_millis(2)).unwrap() {}
    running.finish().unwrap();
    began.elapsed()
}

struct Variant {
    name: &'static str,
    options: LakeOptions,
    bytes: u64,
    /// Of each round: how long it took, and the share of the round's ingest.
    took: Vec<(f64, f64)>,
}

fn variants() -> Vec<Variant> {
    let all = [
        ("Iceberg, with sketches", Layout::Iceberg, true),
        ("Iceberg, without sketches", Layout::Iceberg, false),
        ("Hive, with sketches", Layout::Hive, true),
    ];
    let variant = |(name, layout, sketches)| {
        let options = LakeOptions::default().layout(layout).sketches(sketches);
        Variant { name, options, bytes: 0, took: Vec::new() }
    };
    all.into_iter().map(variant).collect()
}

/// Exports the view to a new lake; returns how long that took, and the bytes of the files.
fn export(data: &Path, options: &LakeOptions, folder: &Path) -> (Duration, u64) {
    let began = Instant::now();
    let lake = Lake::open(&format!("file://{}", folder.display()), options.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(lake.export(data, VIEW)).unwrap();
    let took = began.elapsed();
    assert_eq!((done.written, done.rows), (366, ROWS));
    let audit = runtime.block_on(lake.audit(data, VIEW, false)).unwrap();
    assert_eq!((audit.compared, audit.wrong.len()), (366, 0));
    (took, done.bytes)
}

/// The bytes of the newest revisions in the data folder.
fn own_bytes(data: &Path) -> u64 {
    let report = store::inspect(&Disk, data).unwrap();
    let newest = report.views[0].revisions.iter().filter(|batch| !batch.coverage.is_empty());
    newest.map(|batch| batch.bytes).sum()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() {
    let data = tempfile::tempdir().unwrap();
    if std::env::args().any(|argument| argument == "profile") {
        ingest(data.path());
        let lake = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for round in 0..PROFILED_ROUNDS {
            let url = format!("file://{}/{round}", lake.path().display());
            let lake = Lake::open(&url, LakeOptions::default()).unwrap();
            runtime.block_on(lake.export(data.path(), VIEW)).unwrap();
        }
        return;
    }
    let mut variants = variants();
    // Removed at the end: some file systems take longer for new files while they have just removed others.
    let lakes = tempfile::tempdir().unwrap();
    let mut ingested = Vec::new();
    for round in 0..ROUNDS {
        let data = data.path().join(round.to_string());
        let ingest = ingest(&data).as_secs_f64();
        ingested.push(ingest);
        for (at, variant) in variants.iter_mut().enumerate() {
            let lake = lakes.path().join(format!("{round}-{at}"));
            let (took, bytes) = export(&data, &variant.options, &lake);
            variant.bytes = bytes;
            variant.took.push((took.as_secs_f64(), took.as_secs_f64() / ingest));
        }
    }
    let own = own_bytes(&data.path().join("0"));
    println!("medians of {ROUNDS} rounds, {ROWS} rows on 366 days");
    println!("ingest with two workers: {:.3} s, {own} bytes", median(ingested));
    for Variant { name, bytes, took, .. } in variants {
        let seconds = median(took.iter().map(|(seconds, _)| *seconds).collect());
        let share = median(took.iter().map(|(_, share)| *share).collect());
        println!("{name}: {seconds:.3} s, {:.1} % of the ingest; {bytes} bytes", share * 100.0);
    }
}
