//! Aggregates over long times read rollups, not days: the files of all days are damaged here, or removed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running};
use dayfold::log::Durability;
use dayfold::schema::Grain;
use dayfold::store::{self, Memory, Storage};
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

fn start(
    storage: &Memory,
    clock: &Arc<AtomicI64>,
    kept: impl Fn(View) -> View,
) -> (Running, Pusher<Event>) {
    let now = Arc::clone(clock);
    let mut engine = Engine::<Event>::new()
        .clock(move || now.load(Ordering::SeqCst))
        .data_in(Arc::new(storage.clone()), "data")
        .log(Durability::System, |event: &Event| event.0);
    let view = kept(View::new("flights").unwrap().grace(Duration::ZERO));
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

/// One flight of each carrier on each day, with other miles on each day.
fn of_a_year() -> Vec<Event> {
    let of = |day| move |carrier: &&str| ((FIRST + day) * DAY_MS, (*carrier).to_owned(), 100 + day);
    (0..DAYS).flat_map(|day| CARRIERS.iter().map(of(day))).collect()
}

/// Takes in a year, and waits until its rollups are there.
fn take_in(running: &Running, pusher: &Pusher<Event>, clock: &AtomicI64) {
    pusher.push(of_a_year()).unwrap().receipt.wait_visible(LONG).unwrap();
    clock.store((FIRST + DAYS) * DAY_MS + 1, Ordering::SeqCst);
    let view = running.view("flights").unwrap();
    let last = Day((FIRST + DAYS - 1) as i32);
    wait_until("all days are sealed", || view.status().numbers.sealed_through >= Some(last));
    wait_until("all rollups are there", || view.status().numbers.rollups == ROLLUPS);
}

fn ask(sql: &Sql, statement: &str) -> Result<Vec<Vec<String>>, dayfold_sql::SqlError> {
    let batches = sql.query_blocking(statement)?.collect::<Result<Vec<_>, _>>()?;
    Ok(texts(&batches))
}

#[test]
fn a_year_is_read_from_rollups_and_not_from_its_days() {
    let (storage, clock) = (Memory::default(), Arc::new(AtomicI64::new(FIRST * DAY_MS)));
    let (running, pusher) = start(&storage, &clock, |view| view);
    take_in(&running, &pusher, &clock);
    drop(pusher);
    running.finish().unwrap();

    let days = files(&storage, Path::new("data/part-0/views/flights"));
    assert_eq!(days.len(), DAYS as usize);
    for file in days.iter().flat_map(|day| files(&storage, day)) {
        let mut bytes = storage.read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 16].iter_mut().for_each(|byte| *byte ^= 0xFF);
        storage.create(&file).unwrap().write_all(&bytes).unwrap();
    }

    let (running, pusher) = start(&storage, &clock, |view| view);
    let view = running.view("flights").unwrap();
    wait_until("all rollups are there", || view.status().numbers.rollups == ROLLUPS);
    let sql = Sql::new(running.views(), Limits::default()).unwrap();
    let ask = |statement: &str| ask(&sql, statement);
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

#[test]
fn sums_have_what_only_rollups_have() {
    let (storage, clock) = (Memory::default(), Arc::new(AtomicI64::new(FIRST * DAY_MS)));
    let (running, pusher) = start(&storage, &clock, |view| {
        let view = view.keep(Duration::from_secs(45 * 86_400));
        let forever = |view: View, grain| view.keep_rollup(grain, Duration::MAX);
        forever(forever(view, Grain::Month), Grain::Year)
    });
    take_in(&running, &pusher, &clock);
    // 45 days before the end are in November, which is kept as a whole.
    let kept = 30 + 31;
    let november = Some("2023-11-01".parse().unwrap());
    wait_until("days are removed", || {
        store::inspect(&storage, "data").is_ok_and(|report| report.views[0].kept_from == november)
    });

    let sql = Sql::new(running.views(), Limits::default()).unwrap();
    let sum =
        |of: &[Event]| [of.len().to_string(), of.iter().map(|e| e.2).sum::<i64>().to_string()];
    let events = of_a_year();
    let between = |from: i64, to: i64| -> Vec<Event> {
        let days = (FIRST + from) * DAY_MS..(FIRST + to) * DAY_MS;
        events.iter().filter(|event| days.contains(&event.0)).cloned().collect()
    };
    let sums = "SELECT sum(flights), sum(miles) FROM";
    // The days of 2023 on which months begin: February, March, and November.
    for (from, expected) in [
        ("flights", between(0, DAYS)),
        ("last('flights', '1 year')", between(0, 0)),
        ("last('flights', '2 years')", between(0, DAYS)),
        ("last('flights', '3 months')", between(304, DAYS)),
        ("last('flights', '12 months')", between(31, DAYS)),
        ("flights WHERE day < DATE '2023-03-01'", between(0, 59)),
        ("flights WHERE day >= DATE '2023-02-01'", between(31, DAYS)),
        ("flights WHERE day >= DATE '2023-02-01' AND day < DATE '2023-12-25'", between(31, 358)),
        ("flights WHERE day >= DATE '2023-11-20'", between(323, DAYS)),
    ] {
        let mut expected = sum(&expected);
        if expected[0] == "0" {
            expected = ["NULL", "NULL"].map(str::to_owned);
        }
        assert_eq!(ask(&sql, &format!("{sums} {from}")).unwrap(), [expected], "{from}");
    }
    let of_one: Vec<Event> = between(31, DAYS).into_iter().filter(|e| e.1 == "UA").collect();
    let one = format!("{sums} flights WHERE carrier = 'UA' AND day >= DATE '2023-02-01'");
    assert_eq!(ask(&sql, &one).unwrap(), [sum(&of_one)]);
    let by_month =
        "SELECT date_trunc('month', day)::date, sum(miles) FROM flights GROUP BY 1 ORDER BY 1";
    let by_month = ask(&sql, by_month).unwrap();
    assert_eq!((by_month.len(), &by_month[1][1]), (12, &sum(&between(31, 59))[1]));
    let by_carrier = "SELECT carrier, sum(miles) FROM flights GROUP BY carrier ORDER BY carrier";
    let of_one: Vec<Event> = between(0, DAYS).into_iter().filter(|e| e.1 == "UA").collect();
    assert_eq!(ask(&sql, by_carrier).unwrap()[2], ["UA".to_owned(), sum(&of_one)[1].clone()]);

    // Within a month of which only the rollup is left.
    for from in ["flights WHERE day >= DATE '2023-02-10'", "flights WHERE day < DATE '2023-02-10'"]
    {
        let error = ask(&sql, &format!("{sums} {from}")).unwrap_err().to_string();
        assert!(error.contains("2023-11-01"), "{from}: {error}");
    }
    // What needs the days has those that are kept, as rows do.
    let summed = ask(&sql, "SELECT sum(miles + 0) FROM flights").unwrap();
    assert_eq!(summed[0][0], sum(&between(304, DAYS))[1]);
    let rows =
        ask(&sql, "SELECT min(day), count(*) FROM (SELECT day, miles FROM flights)").unwrap();
    assert_eq!(rows, [["2023-11-01".to_owned(), (3 * kept).to_string()]]);
    drop(pusher);
    running.finish().unwrap();
}
