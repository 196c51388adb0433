//! Rows in any order are the rows in order: whole sealed periods read from their files, beside open periods and late
//! events, by views of the library's types and by dynamic ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::Cluster;
use dayfold::aggregate::{Count, Decimal, Distinct, Sum};
use dayfold::dynamic::{self, Columns, Event, Reduce, RowValue, ViewDef};
use dayfold::engine::{LiveOptions, Measures};
use dayfold::scan::{ErasedView, Part, Scan, ScanError};
use dayfold::schema::{Kind, Value};
use dayfold::time::{Day, DayRange};
use dayfold::view::View;

use crate::LONG;

const DAY: i64 = 86_400_000;
/// All but the last two days are sealed, and the first two have late events.
const DAYS: i64 = 9;

/// Values that need escapes, several bytes, and other kinds of numbers among them.
fn event(number: i64) -> Event {
    let texts = ["", "Oslo", "Os\0lo", "Ōsaka", "\0", "x"];
    let text = texts.get(number as usize % 7);
    let bounds = [0, 1, -1, 255, -256, 70_000, i64::MAX, i64::MIN];
    // Many keys: answers of a few hundred rows do not come in parts.
    let whole = if number % 4 == 0 { bounds[number as usize / 4 % 8] } else { number - 2_000 };
    let value = Decimal::from_billionths(i128::from(number) * 1_250_000_000 - 9, 9);
    let values = [
        text.map_or(RowValue::Null, |text| (*text).into()),
        whole.into(),
        RowValue::Decimal(value),
        (number % 3 == 0).into(),
        RowValue::Timestamp(number * 1_000),
    ];
    Event::new(number % DAYS * DAY + number, values)
}

fn definition() -> ViewDef {
    let columns = [
        ("shop", Kind::Text),
        ("desk", Kind::Integer),
        ("cents", Kind::Decimal),
        ("paid", Kind::Boolean),
        ("at", Kind::Timestamp),
    ];
    let of = |name: &str| name.to_owned();
    let view = View::new("dynamic").unwrap().grace(Duration::ZERO);
    let definition = ViewDef::new(view, Columns::new(columns).unwrap());
    definition
        .key(["shop", "desk", "paid"])
        .and_then(|def| def.measure("events", Reduce::Count))
        .and_then(|def| def.measure("desks", Reduce::Sum(of("desk"))))
        .and_then(|def| def.measure("cents", Reduce::Sum(of("cents"))))
        .and_then(|def| def.measure("mean", Reduce::Mean(of("cents"))))
        .and_then(|def| def.measure("least", Reduce::Min(of("shop"))))
        .and_then(|def| def.measure("last", Reduce::Max(of("at"))))
        .and_then(|def| def.measure("shops", Reduce::Distinct(of("shop"))))
        .unwrap()
}

/// The rows of a scan, sorted.
fn rows(view: &dyn ErasedView, scan: &Scan) -> Vec<Vec<Value>> {
    let mut rows = view.scan(scan, None).unwrap().collect_rows().unwrap();
    rows.sort();
    rows
}

/// The same, with the parts on other threads; returns how many parts there are.
fn rows_in_parts(view: &dyn ErasedView, scan: &Scan) -> (Vec<Vec<Value>>, usize) {
    let mut others = view.scan(scan, None).unwrap();
    let parts = others.parts().unwrap();
    let count = parts.len();
    let read = |part: Part| {
        let mut rows = Vec::new();
        for batch in part {
            let batch = batch?;
            let columns = batch.columns().len();
            let row = |row| (0..columns).map(|column| batch.value(row, column)).collect();
            rows.extend((0..batch.rows()).map(row));
        }
        Ok::<Vec<Vec<Value>>, ScanError>(rows)
    };
    let threads: Vec<_> =
        parts.into_iter().map(|part| std::thread::spawn(move || read(part))).collect();
    let mut rows = others.collect_rows().unwrap();
    threads.into_iter().for_each(|thread| rows.extend(thread.join().unwrap().unwrap()));
    rows.sort();
    (rows, count)
}

#[test]
fn rows_in_any_order_are_the_rows_in_order() {
    for workers in [1, 3] {
        // No day is over before all events are in.
        let clock = Arc::new(AtomicI64::new(1));
        let now = Arc::clone(&clock);
        let mut engine = dynamic::Engine::new().clock(move || now.load(Ordering::SeqCst));
        engine.dynamic_view(definition(), Event::fill);
        let typed = View::new("typed").unwrap().grace(Duration::ZERO);
        let typed = typed.key_columns(["number", "name"]).unwrap();
        let typed = typed.measure_names([["events"], ["sum"], ["names"]]).unwrap();
        engine.view(typed, Measures::none(), |event: &Event| {
            let text = event.values().next().map(|value| value.to_value().to_string());
            let key = ((event.time() % 97) as u8, text);
            let names = Distinct::of(&event.time().to_le_bytes());
            Some((event.time(), key, (Count::one(), Sum::of(event.time()), names)))
        });
        let ahead = Duration::from_secs(100 * 86_400);
        let pusher = engine.live(LiveOptions::new(Event::time).ahead_limit(ahead));
        let running = dynamic::start(engine, Cluster::workers(workers)).unwrap();
        let push = |events: Vec<Event>| {
            pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
        };
        push((0..4_000).map(event).collect());
        // All days but the last two are over.
        clock.store((DAYS - 2) * DAY + 1, Ordering::SeqCst);
        let views: Vec<_> = running.views().iter().cloned().collect();
        let is_sealed = |view: &Arc<dyn ErasedView>| {
            view.status().numbers.sealed_through >= Some(Day(DAYS as i32 - 3))
        };
        let began = std::time::Instant::now();
        while !views.iter().all(is_sealed) {
            assert!(began.elapsed() < LONG, "the days are not sealed");
            std::thread::sleep(Duration::from_millis(1));
        }
        push((4_000..4_100).map(event).filter(|event| event.time() < 2 * DAY).collect());

        for view in &views {
            let all: Vec<String> = view.schema().measures.iter().map(|m| m.name.clone()).collect();
            let mut scans = vec![
                Scan::rows(),
                Scan::rows().periods(DayRange::new(Day(1), Day(5))),
                Scan::rows().periods(DayRange::new(Day(DAYS as i32 - 1), Day(DAYS as i32))),
                Scan::rows().columns(["sealed"]),
                Scan::rows().columns([view.schema().key[1].name.clone(), "day".to_owned()]),
                Scan::rows().columns(all),
                // These are read by the engine.
                Scan::rows().layers(),
                Scan::by_key(),
            ];
            if view.name() == "dynamic" {
                scans.push(Scan::rows().columns(["desks", "last", "desks", "paid"]));
            }
            for scan in scans {
                let expected = rows(&**view, &scan);
                assert!(!expected.is_empty(), "{scan:?}");
                let scan = scan.in_any_order();
                assert_eq!(rows(&**view, &scan), expected, "{workers} workers: {scan:?}");
                let (found, parts) = rows_in_parts(&**view, &scan);
                assert_eq!(found, expected, "{workers} workers, parts: {scan:?}");
                let is_all = scan == Scan::rows().in_any_order();
                // A file for each worker and sealed day without late events.
                let expected = if is_all { workers * (DAYS as usize - 4) } else { parts };
                let about = (workers, view.name(), found.len(), view.status());
                assert_eq!(parts, expected, "{about:?}");
            }
            let page = view.scan(&Scan::rows().in_any_order().limit(3), None).unwrap();
            assert_eq!(page.collect_rows().unwrap().len(), 3);
            let mut page = view.scan(&Scan::rows().limit(3), None).unwrap();
            page.by_ref().for_each(drop);
            let after = Scan::rows().in_any_order().after(page.next_page().unwrap());
            assert!(matches!(view.scan(&after, None), Err(ScanError::Cursor { .. })));
        }
        drop(pusher);
        running.finish().unwrap();
    }
}
