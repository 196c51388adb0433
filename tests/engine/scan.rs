//! Compares scans of views without types with recomputations from the events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::{Count, Distinct, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::scan::{BATCH_ROWS, Cursor, ErasedView, Scan, ScanError, ScanKeys, ScanShape};
use dayfold::schema::Value;
use dayfold::serve::{Query, Revision};
use dayfold::time::{Day, DayRange};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

/// Event time, shop, desk, cents.
type Event = (i64, String, u32, i64);
type Key = (String, u32);
type State = (Count, Sum, Distinct);

const DAY_MS: i64 = 86_400_000;
/// The days of the events: all but the last are sealed, and the first ones have late events.
const DAYS: i64 = 5;

/// An engine whose view has batch views, amendments of them, and an open day; and all events.
struct Scene {
    handle: ViewHandle<Key, State>,
    view: Arc<dyn ErasedView>,
    pusher: Pusher<Event>,
    running: Running,
    events: Vec<Event>,
}

fn event(day: i64, number: i64) -> Event {
    let shop = ["Oslo", "Rome", "", "Os", "Ōsaka"][(number * 7 + day) as usize % 5].to_owned();
    (day * DAY_MS + number % DAY_MS, shop, (number * number) as u32 % 300, number - 50)
}

impl Scene {
    fn new(workers: usize) -> Scene {
        let clock = Arc::new(AtomicI64::new(DAYS * DAY_MS - 1));
        let now = Arc::clone(&clock);
        let mut engine = Engine::<Event>::new().clock(move || now.load(Ordering::Acquire));
        let view = View::new("sales").unwrap().grace(Duration::from_millis((DAYS * DAY_MS) as u64));
        let view = view.key_columns(["shop", "desk"]).unwrap();
        let view = view.measure_names([["sales"], ["cents"], ["clients"]]).unwrap();
        let handle = engine.view(view, Measures::none(), |(time, shop, desk, cents): &Event| {
            let client = Distinct::of(&cents.to_le_bytes());
            Some((*time, (shop.clone(), *desk), (Count::one(), Sum::of(*cents), client)))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let running = engine.start(Cluster::workers(workers)).unwrap();
        let mut scene = Scene {
            handle,
            view: running.view("sales").unwrap(),
            pusher,
            running,
            events: Vec::new(),
        };
        scene.push((0..DAYS).flat_map(|day| (0..900).map(move |number| event(day, number))));
        // All but the last day close.
        clock.store((2 * DAYS - 1) * DAY_MS, Ordering::Release);
        scene.handle.wait_sealed_through(Day(DAYS as i32 - 2), LONG).unwrap();
        scene.push((0..2).flat_map(|day| (500..1_000).map(move |number| event(day, number))));
        scene
    }

    fn push(&mut self, events: impl Iterator<Item = Event>) {
        let events: Vec<Event> = events.collect();
        self.events.extend_from_slice(&events);
        let pushed = self.pusher.push(events).unwrap();
        assert!(pushed.refused.is_empty());
        pushed.receipt.wait_visible(LONG).unwrap();
    }

    fn rows(&self, scan: &Scan) -> Vec<Vec<Value>> {
        self.view.scan(scan, None).unwrap().timeout(LONG).collect_rows().unwrap()
    }

    fn refusal(&self, scan: &Scan) -> ScanError {
        self.view.scan(scan, None).expect_err("it is refused")
    }

    /// The expected result of a scan with the columns of its shape, `sales` and `cents`: day and key, if the shape has
    /// them.
    fn expected(&self, by_day: bool, by_key: bool, keys: impl Fn(&Key) -> bool) -> Vec<Vec<Value>> {
        let mut sums: BTreeMap<(Option<Day>, Option<Key>), (i128, i128)> = BTreeMap::new();
        for (time, shop, desk, cents) in &self.events {
            let (day, key) = (Day((time / DAY_MS) as i32), (shop.clone(), *desk));
            if keys(&key) {
                let place = (by_day.then_some(day), by_key.then_some(key));
                let sum = sums.entry(place).or_default();
                *sum = (sum.0 + 1, sum.1 + i128::from(*cents));
            }
        }
        let row = |((day, key), (count, sum)): ((Option<Day>, Option<Key>), (i128, i128))| {
            let mut row: Vec<Value> = day.map(Value::Date).into_iter().collect();
            row.extend(key.into_iter().flat_map(|(shop, desk)| [text(&shop), integer(desk)]));
            row.extend([count, sum].map(Value::Integer));
            row
        };
        sums.into_iter().map(row).collect()
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn integer(number: impl Into<i128>) -> Value {
    Value::Integer(number.into())
}

fn columns(scan: Scan) -> Scan {
    let names: &[&str] = match scan.shape() {
        ScanShape::Rows => &["day", "shop", "desk", "sales", "cents"],
        ScanShape::ByPeriod => &["day", "sales", "cents"],
        ScanShape::ByKey | ScanShape::Top { .. } => &["shop", "desk", "sales", "cents"],
        _ => &["sales", "cents"],
    };
    scan.columns(names.iter().copied())
}

#[test]
fn oracle_each_shape_and_choice_of_keys() {
    for workers in 1..=3 {
        let scene = Scene::new(workers);
        let range = |lower: &[Value], upper: &[Value]| ScanKeys::Range {
            lower: lower.to_vec(),
            upper: upper.to_vec(),
        };
        type Choice = (ScanKeys, Box<dyn Fn(&Key) -> bool>);
        let choices: Vec<Choice> = vec![
            (ScanKeys::All, Box::new(|_| true)),
            (
                ScanKeys::One(vec![text("Oslo"), integer(100)]),
                Box::new(|key| *key == ("Oslo".to_owned(), 100)),
            ),
            (ScanKeys::Prefix(vec![text("Os")]), Box::new(|key| key.0 == "Os")),
            (ScanKeys::StartingWith(vec![text("Os")]), Box::new(|key| key.0.starts_with("Os"))),
            (
                range(&[text("Oslo"), integer(100)], &[text("Rome"), integer(9)]),
                Box::new(|(shop, desk)| {
                    (&shop[..], *desk) >= ("Oslo", 100) && (&shop[..], *desk) < ("Rome", 9)
                }),
            ),
            (range(&[], &[text("Oslo")]), Box::new(|key| &key.0[..] < "Oslo")),
            (ScanKeys::One(vec![text("none"), integer(1)]), Box::new(|_| false)),
        ];
        for (keys, is_one) in choices {
            let ask = |scan: Scan| scene.rows(&columns(scan).keys(keys.clone()));
            assert_eq!(ask(Scan::rows()), scene.expected(true, true, &is_one), "{keys:?}");
            assert_eq!(ask(Scan::by_period()), scene.expected(true, false, &is_one), "{keys:?}");
            assert_eq!(ask(Scan::by_key()), scene.expected(false, true, &is_one), "{keys:?}");
            assert_eq!(ask(Scan::total()), scene.expected(false, false, &is_one), "{keys:?}");
            let mut ranked = scene.expected(false, true, &is_one);
            // Stable: equal ones stay in the order of keys.
            ranked.sort_by_key(|row| match row[3] {
                Value::Integer(cents) => -cents,
                _ => panic!("cents are integers"),
            });
            for n in [1u32, 7, 100_000] {
                ranked.truncate(n as usize);
                assert_eq!(ask(Scan::top(n, "cents")), ranked[..ranked.len().min(n as usize)]);
                ranked = scene.expected(false, true, &is_one);
                ranked.sort_by_key(|row| match row[3] {
                    Value::Integer(cents) => -cents,
                    _ => panic!("cents are integers"),
                });
            }
        }
        scene.running.finish().unwrap();
    }
}

#[test]
fn pages_put_together_are_the_whole_and_batches_are_bounded() {
    let scene = Scene::new(2);
    for scan in [Scan::rows(), Scan::by_key(), Scan::by_period()] {
        let scan = columns(scan);
        let whole = scene.rows(&scan);
        for limit in [1u64, 3, 333, 100_000] {
            if whole.len() as u64 / limit > 400 {
                continue;
            }
            let (mut together, mut after) = (Vec::new(), None::<Cursor>);
            loop {
                let mut page = scan.clone().limit(limit);
                if let Some(cursor) = after.take() {
                    // As it is sent: through text.
                    page = page.after(cursor.to_string().parse().unwrap());
                }
                let mut batches = scene.view.scan(&page, None).unwrap().timeout(LONG);
                let mut rows = 0;
                for batch in batches.by_ref() {
                    let batch = batch.unwrap();
                    assert!((1..=BATCH_ROWS).contains(&batch.rows()));
                    rows += batch.rows() as u64;
                    together.extend((0..batch.rows()).map(|row| {
                        (0..batch.columns().len())
                            .map(|at| batch.value(row, at))
                            .collect::<Vec<_>>()
                    }));
                }
                assert!(rows <= limit);
                match batches.next_page() {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            assert_eq!(together, whole, "pages of {limit}");
        }
    }
    scene.running.finish().unwrap();
}

#[test]
fn a_scan_says_what_its_rows_are_made_of() {
    let scene = Scene::new(2);
    let scan = Scan::by_period().layers();
    let batches = scene.view.scan(&scan, None).unwrap();
    let names: Vec<String> = batches.columns().iter().map(|column| column.name.clone()).collect();
    let at = |name: &str| names.iter().position(|column| column == name).unwrap();
    assert_eq!(names[..4], ["day", "sales", "cents", "clients"]);
    assert_eq!(names[4..8], ["sealed", "revision", "batch", "batch.sales"]);
    let rows = batches.collect_rows().unwrap();
    assert_eq!(rows.len(), DAYS as usize);
    for (day, row) in rows.iter().enumerate() {
        let is_open = day == DAYS as usize - 1;
        let is_amended = day < 2;
        assert_eq!(row[at("sealed")], Value::Boolean(!is_open && !is_amended));
        assert_eq!(row[at("batch")], Value::Boolean(!is_open));
        assert_eq!(row[at("speed")], Value::Boolean(is_open));
        assert_eq!(row[at("amendments")], Value::Boolean(is_amended));
        let late = if is_amended { integer(500) } else { Value::Null };
        assert_eq!(row[at("amendments.sales")], late);
        let revision = if is_open { Value::Null } else { Value::Date(Day(day as i32)) };
        assert_eq!(row[at("revision")], revision);
    }
    // Sketches come by name only.
    let sketch =
        scene.view.schema().measures.iter().find(|m| m.kind == dayfold::schema::Kind::Bytes);
    let sketch = sketch.unwrap().name.clone();
    assert!(!names.contains(&sketch));
    let [row] = &scene.rows(&Scan::total().columns([sketch]))[..] else { panic!("one row") };
    assert!(matches!(&row[0], Value::Bytes(bytes) if !bytes.is_empty()));
    // The certificate equals that of a query.
    let mut batches = scene
        .view
        .scan(&Scan::total().keys(ScanKeys::One(vec![text("none"), integer(1)])), None)
        .unwrap();
    let certificate = batches.certificate().unwrap();
    assert_eq!(batches.count(), 0);
    let asked = scene.handle.ask(Query::total(DayRange::ALL)).unwrap().certificate;
    assert_eq!((certificate.late, certificate.sealed_through), (asked.late, asked.sealed_through));
    // As first sealed: neither late events nor the open day.
    let first = scene.rows(&columns(Scan::by_period()).revision(Revision::First));
    let row = |day| vec![Value::Date(Day(day)), integer(900), integer(900 * 899 / 2 - 900 * 50)];
    assert_eq!(first, (0..DAYS as i32 - 1).map(row).collect::<Vec<_>>());
    scene.running.finish().unwrap();
}

#[test]
fn a_subscription_gives_whole_answers_whenever_they_have_changed() {
    let mut scene = Scene::new(2);
    let scan = columns(Scan::total());
    let mut answers = scene.view.subscribe(&scan, Duration::ZERO).unwrap();
    let first = answers.next_timeout(LONG).unwrap().collect_rows().unwrap();
    assert_eq!(first, scene.expected(false, false, |_| true));
    scene.push((0..10).map(|number| event(DAYS - 1, number)));
    let expected = scene.expected(false, false, |_| true);
    while answers.next_timeout(LONG).unwrap().collect_rows().unwrap() != expected {}
    scene.running.finish().unwrap();
    while answers.next().is_some() {}
    assert_eq!(answers.next_timeout(LONG).err(), Some(ScanError::Stopped));
}

#[test]
fn what_does_not_fit_the_view_is_refused_with_what_was_expected() {
    let scene = Scene::new(1);
    let says = |scan: Scan, expected: &str| {
        let said = scene.refusal(&scan).to_string();
        assert!(said.contains(expected), "{said}");
    };
    says(
        Scan::rows().columns(["sale"]),
        "no column 'sale' in this shape: expected some of day, shop",
    );
    says(Scan::by_key().columns(["day"]), "no column 'day'");
    says(Scan::rows().columns([""; 0]), "without columns");
    says(Scan::rows().limit(0), "a limit of 0 rows");
    says(
        Scan::rows().keys(ScanKeys::One(vec![text("a")])),
        "1 values for the key of view 'sales', which is shop, desk: expected 2",
    );
    says(Scan::rows().keys(ScanKeys::Prefix(vec![Value::Null; 3])), "expected 0 to 2");
    says(Scan::rows().keys(ScanKeys::StartingWith(vec![])), "expected 1 to 2");
    says(
        Scan::rows().keys(ScanKeys::One(vec![text("a"), integer(-1)])),
        "'-1' is no value of column 'desk' of the key of view 'sales': expected integer",
    );
    says(
        Scan::top(3, "cost"),
        "no measure 'cost' to rank keys by: expected one of sales, cents, clients",
    );
    let cursor = |scan: Scan| {
        let mut batches = scene.view.scan(&scan.limit(1), None).unwrap();
        batches.by_ref().for_each(|batch| drop(batch.unwrap()));
        batches.next_page().unwrap()
    };
    let by_key = cursor(Scan::by_key());
    says(Scan::rows().after(by_key.clone()), "another shape");
    says(Scan::total().after(by_key.clone()), "no pages");
    says(Scan::by_key().after(by_key).revision(Revision::First), "another revision");
    assert!(matches!("00ff".parse::<Cursor>(), Err(ScanError::Cursor { .. })));
    let Scene { view, running, .. } = scene;
    running.finish().unwrap();
    assert_eq!(view.scan(&Scan::rows(), None).err(), Some(ScanError::Stopped));
}

/// The total is of the same answer as the rows, and covers everything that the scan selects.
#[test]
fn oracle_a_total_row_combines_everything() {
    let scene = Scene::new(2);
    let total = |keys: fn(&Key) -> bool| scene.expected(false, false, keys).remove(0);
    let at_oslo = ScanKeys::One(vec![text("Oslo"), integer(4)]);
    for (scan, rows, keys) in [
        (Scan::by_period(), 5, (|_| true) as fn(&Key) -> bool),
        (Scan::by_period().keys(at_oslo), 5, |key| *key == ("Oslo".to_owned(), 4)),
        (Scan::top(3, "cents"), 3, |_| true),
        (Scan::by_key().keys(ScanKeys::Prefix(vec![text("Rome")])).limit(2), 2, |key| {
            key.0 == "Rome"
        }),
    ] {
        let by_key = !matches!(scan.shape(), ScanShape::ByPeriod);
        let lead = if by_key { &["shop", "desk"][..] } else { &["day"] };
        let names = lead.iter().chain(&["sales", "cents"]);
        let alone = scene.rows(&scan.clone().columns(names.clone().copied()));
        let mut found = scene.rows(&scan.total_row().columns(names.copied()));
        let last = found.pop().unwrap();
        assert!(found.len() <= rows && found == alone, "the rows are those without it");
        assert!(last[..lead.len()].iter().all(|value| *value == Value::Null));
        assert_eq!(last[lead.len()..], total(keys));
    }
    let nobody = Scan::top(3, "cents").keys(ScanKeys::Prefix(vec![text("Nobody")])).total_row();
    assert_eq!(scene.rows(&nobody.columns(["shop", "sales"])), [[Value::Null, Value::Null]]);
}

#[test]
fn scans_of_a_snapshot_are_of_one_moment_whatever_comes_and_is_sealed() {
    for workers in 1..=2 {
        let mut scene = Scene::new(workers);
        let snapshot = scene.running.views().snapshot(LONG).unwrap();
        let expected = [(true, true), (true, false), (false, true), (false, false)]
            .map(|(by_day, by_key)| scene.expected(by_day, by_key, |_| true));
        scene.push((0..DAYS).flat_map(|day| (0..700).map(move |number| event(day, number + 7))));
        let ask = |scan: Scan| {
            let batches = scene.view.scan(&columns(scan), Some(&snapshot)).unwrap();
            batches.timeout(LONG).collect_rows().unwrap()
        };
        let all = || [Scan::rows(), Scan::by_period(), Scan::by_key(), Scan::total()].map(ask);
        assert_eq!(all(), expected);
        let mut batches = scene.view.scan(&Scan::total(), Some(&snapshot)).unwrap();
        assert_eq!(batches.certificate().unwrap().as_of, snapshot.moment());
        drop(batches);
        // A query without it sees the new events.
        assert_ne!(scene.rows(&columns(Scan::total())), expected[3]);
        // A snapshot that is not kept any longer gives an error.
        let brief = scene.running.views().snapshot(Duration::ZERO).unwrap();
        let expired = scene.view.scan(&Scan::rows(), Some(&brief)).unwrap().collect_rows();
        assert!(matches!(expired, Err(ScanError::Expired { .. })), "{expired:?}");
        let Scene { running, pusher, .. } = scene;
        drop(pusher);
        let views = running.views();
        running.finish().unwrap();
        assert_eq!(views.snapshot(LONG).err(), Some(ScanError::Stopped));
    }
}

#[test]
fn large_answers_are_streamed_in_order_and_cancelled_when_nobody_takes_them() {
    const KEYS: u64 = 60_000;
    let mut engine = Engine::<(i64, u64)>::new().clock(|| DAY_MS / 2);
    let view = View::new("large").unwrap();
    engine
        .view(view, Measures::none(), |&(time, key): &(i64, u64)| Some((time, key, Count::one())));
    let pusher = engine.live(LiveOptions::new(|event: &(i64, u64)| event.0));
    let running = engine.start(Cluster::workers(2)).unwrap();
    let view = running.view("large").unwrap();
    let push = |keys: std::ops::Range<u64>| {
        let events = keys.map(|key| (0, key.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
        pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
    };
    push(0..KEYS);
    let mut expected: Vec<u64> =
        (0..KEYS).map(|key| key.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
    expected.sort_unstable();
    let scan = Scan::by_key().columns(["key"]);
    // Begun before more events come, read after them: it has none of them, and delays nothing.
    let slow = view.scan(&scan, None).unwrap().timeout(LONG);
    let mut certified = view.scan(&scan, None).unwrap();
    certified.certificate().unwrap();
    for _ in 0..20 {
        // Abandoned with one batch taken, or none.
        let mut begun = view.scan(&scan, None).unwrap();
        drop(begun.next().unwrap().unwrap());
        drop(view.scan(&scan, None).unwrap());
    }
    push(KEYS..KEYS + 1_000);
    for batches in [slow, certified] {
        let mut found = Vec::new();
        for batch in batches {
            let batch = batch.unwrap();
            found.extend((0..batch.rows()).map(|row| match batch.value(row, 0) {
                Value::Integer(key) => key as u64,
                other => panic!("{other:?}"),
            }));
        }
        assert!(found.is_sorted() && found.len() >= KEYS as usize);
        found.retain(|key| expected.binary_search(key).is_ok());
        assert_eq!(found, expected);
    }
    running.finish().unwrap();
}

#[test]
fn oracle_scans_by_coarser_grains() {
    use dayfold::time::{Calendar, Grain};
    // The five days are from a Thursday to a Monday: two weeks, of which the first is sealed and amended, the second
    // half open.
    let scene = Scene::new(2);
    for grain in [Grain::Day, Grain::Week, Grain::Month, Grain::Quarter, Grain::Year] {
        for range in [DayRange::ALL, DayRange::new(Day(1), Day(4))] {
            let mut sums: BTreeMap<(Day, Key), (i128, i128)> = BTreeMap::new();
            for (time, shop, desk, cents) in &scene.events {
                if range.contains(Day((time / DAY_MS) as i32)) {
                    let period = Calendar::utc().by(grain).day_of(*time);
                    let sum = sums.entry((period, (shop.clone(), *desk))).or_default();
                    *sum = (sum.0 + 1, sum.1 + i128::from(*cents));
                }
            }
            let row = |((period, (shop, desk)), (count, cents)): (&(Day, Key), &(i128, i128))| {
                vec![
                    Value::Date(*period),
                    text(shop),
                    integer(*desk),
                    integer(*count),
                    integer(*cents),
                ]
            };
            let expected: Vec<_> = sums.iter().map(row).collect();
            let names = [grain.name(), "shop", "desk", "sales", "cents"];
            let scan = Scan::rows().by(grain).periods(range).columns(names);
            assert_eq!(scene.rows(&scan), expected, "{grain}");
            // Page by page: each begins after a row within a period.
            let (mut pages, mut after) = (Vec::new(), None::<Cursor>);
            loop {
                let page = scan.clone().limit(100);
                let page = after.take().into_iter().fold(page, Scan::after);
                let mut batches = scene.view.scan(&page, None).unwrap().timeout(LONG);
                for batch in batches.by_ref() {
                    let batch = batch.unwrap();
                    let cells =
                        |at| (0..names.len()).map(|column| batch.value(at, column)).collect();
                    pages.extend((0..batch.rows()).map(cells).collect::<Vec<Vec<Value>>>());
                }
                match batches.next_page() {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            assert_eq!(pages, expected, "{grain}, page by page");
            // By period alone, with the layers.
            let names = [grain.name(), "sales", "sealed", "batch", "speed", "amendments"];
            let rows =
                scene.rows(&Scan::by_period().by(grain).periods(range).layers().columns(names));
            let mut periods: BTreeMap<Day, i128> = BTreeMap::new();
            sums.iter()
                .for_each(|((period, _), sum)| *periods.entry(*period).or_default() += sum.0);
            let found: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
            let expected: Vec<_> =
                periods.iter().map(|(day, sales)| (Value::Date(*day), integer(*sales))).collect();
            assert_eq!(found, expected, "{grain}");
            if grain == Grain::Year && range == DayRange::ALL {
                let layers = [false, true, true, true].map(Value::Boolean);
                assert_eq!(rows[0][2..], layers, "all layers of the one period");
            }
        }
    }
    let error = scene.refusal(&Scan::by_period().by(Grain::Hour)).to_string();
    assert!(error.contains("expected one of day, week, month, quarter, year"), "{error}");
    let mut batches = scene.view.scan(&Scan::rows().by(Grain::Month).limit(1), None).unwrap();
    batches.by_ref().for_each(drop);
    let cursor = batches.next_page().unwrap();
    assert!(matches!(scene.refusal(&Scan::rows().after(cursor)), ScanError::Cursor { .. }));
    scene.running.finish().unwrap();
}

/// A scan of unsealed rows only equals the unsealed rows of a full scan, with the same names and values.
#[test]
fn differential_what_is_not_sealed_is_found_without_the_rest() {
    for workers in 1..=3 {
        let scene = Scene::new(workers);
        let oslo = ScanKeys::One(vec![text("Oslo"), Value::Integer(0)]);
        for keys in [ScanKeys::All, ScanKeys::Prefix(vec![text("Oslo")]), oslo] {
            for scan in [Scan::rows(), Scan::by_key()] {
                let scan = scan.keys(keys.clone()).layers();
                let at = scene.view.scan(&scan, None).unwrap();
                let at = at.columns().iter().position(|column| column.name == "sealed").unwrap();
                let all = scene.rows(&scan);
                let (expected, sealed): (Vec<_>, Vec<_>) =
                    all.into_iter().partition(|row| row[at] == Value::Boolean(false));
                assert!(!expected.is_empty());
                assert!(
                    !sealed.is_empty() || keys != ScanKeys::All || scan.shape() != &ScanShape::Rows
                );
                assert_eq!(scene.rows(&scan.clone().unsealed()), expected, "{scan:?}");
                let some = scene.rows(&scan.unsealed().limit(3));
                assert_eq!(some, expected[..expected.len().min(3)]);
            }
        }
        let refused = scene.refusal(&Scan::by_period().unsealed());
        assert!(matches!(refused, ScanError::Unsealed { .. }));
        scene.running.finish().unwrap();
    }
}
