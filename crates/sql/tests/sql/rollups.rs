//! Aggregates over long times read rollups, not days: the files of all days are damaged here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running};
use dayfold::log::Durability;
use dayfold::schema::Grain;
use dayfold::store::{Memory, Storage};
use dayfold::time::Day;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_sql::{Limits, Sql};

use crate::scene::{DAY_MS, texts};

type Event = (i64, String, i64);

const LONG: Duration = Duration::from_secs(60);
/// 2023-01-01, and a year.
const FIRST: i64 = 19_358;
const DAYS: i64 = 365;
/// Of twelve months and of the year.
const ROLLUPS: usize = 13;
const CARRIERS: [&str; 3] = ["AA", "B6", "UA"];

fn start(storage: &Memory, clock: &Arc<AtomicI64>) -> (Running, Pusher<Event>) {
    let now = Arc::clone(clock);
    let mut engine = Engine::<Event>::new()
        .clock(move || now.load(Ordering::SeqCst))
        .data_in(Arc::new(storage.clone()), "data")
        .log(Durability::System, |event: &Event| event.0);
    let view = View::new("flights").unwrap().grace(Duration::ZERO);
    let view = view.rollup([Grain::Year, Grain::Month]).key_columns(["carrier"]).unwrap();
    let view = view.measure_names([["flights"], ["miles"]]).unwrap();
    engine.view(view, Measures::none(), |(time, carrier, miles): &Event| {
        Some((*time, carrier.clone(), (Count::one(), Sum::of(*miles))))
    });
    let year = Duration::from_secs(400 * 86_400);
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0).ahead_limit(year));
    (engine.start(Cluster::workers(1)).unwrap(), pusher)
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn files(storage: &Memory, folder: &Path) -> Vec<PathBuf> {
    storage.list(folder).unwrap().into_iter().map(|name| folder.join(name)).collect()
}

#[test]
fn a_year_is_read_from_rollups_and_not_from_its_days() {
    let (storage, clock) = (Memory::default(), Arc::new(AtomicI64::new(FIRST * DAY_MS)));
    let (running, pusher) = start(&storage, &clock);
    let events = (0..DAYS).flat_map(|day| {
        let of = move |carrier: &&str| ((FIRST + day) * DAY_MS, (*carrier).to_owned(), 100 + day);
        CARRIERS.iter().map(of)
    });
    pusher.push(events.collect()).unwrap().receipt.wait_visible(LONG).unwrap();
    clock.store((FIRST + DAYS) * DAY_MS + 1, Ordering::SeqCst);
    let view = running.view("flights").unwrap();
    let last = Day((FIRST + DAYS - 1) as i32);
    wait_until("all days are sealed", || view.status().numbers.sealed_through >= Some(last));
    wait_until("all rollups are there", || view.status().numbers.rollups == ROLLUPS);
    drop((view, pusher));
    running.finish().unwrap();

    let days = files(&storage, Path::new("data/part-0/views/flights"));
    assert_eq!(days.len(), DAYS as usize);
    for file in days.iter().flat_map(|day| files(&storage, day)) {
        let mut bytes = storage.read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 16].iter_mut().for_each(|byte| *byte ^= 0xFF);
        storage.create(&file).unwrap().write_all(&bytes).unwrap();
    }

    let (running, pusher) = start(&storage, &clock);
    let view = running.view("flights").unwrap();
    wait_until("all rollups are there", || view.status().numbers.rollups == ROLLUPS);
    let sql = Sql::new(running.views(), Limits::default()).unwrap();
    let ask = |statement: &str| {
        let batches = sql.query_blocking(statement)?.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, dayfold_sql::SqlError>(texts(&batches))
    };
    let miles = (100..100 + DAYS).sum::<i64>().to_string();
    let in_2023 = "day >= '2023-01-01' AND day < '2024-01-01'";
    let by_carrier = |carrier: &str| vec![carrier.to_owned(), DAYS.to_string(), miles.clone()];
    let expected: Vec<_> = CARRIERS.iter().map(|carrier| by_carrier(carrier)).collect();
    let sums = "sum(flights), sum(miles) FROM flights";
    for of in ["", &format!("WHERE {in_2023}")] {
        let found = ask(&format!("SELECT carrier, {sums} {of} GROUP BY carrier ORDER BY carrier"));
        assert_eq!(found.unwrap(), expected, "{of}");
    }
    let top =
        format!("SELECT carrier, {sums} WHERE {in_2023} GROUP BY carrier ORDER BY 3 DESC LIMIT 1");
    assert_eq!(ask(&top).unwrap().len(), 1);
    let months = format!("SELECT date_trunc('month', day)::date, {sums} GROUP BY 1 ORDER BY 1");
    let months = ask(&months).unwrap();
    assert_eq!(
        (months.len(), &months[1][..2]),
        (12, &["2023-02-01".to_owned(), "84".to_owned()][..])
    );
    let one = format!("SELECT date_trunc('month', day), {sums} WHERE carrier = 'UA' GROUP BY 1");
    assert_eq!(ask(&one).unwrap().len(), 12);
    // A statement that needs the days finds the damage.
    let error = ask("SELECT sum(miles * 2) FROM flights").unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    drop(pusher);
    running.finish().unwrap();
}
