//! A dynamic view and the same view in Rust types give the same answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::{
    Count, Decimal, DecimalSum, Distinct, First, Last, Max, Maybe, Min, Quantiles,
};
use dayfold::dynamic::{Columns, Reduce, RowBuilder, RowValue, ViewDef};
use dayfold::engine::{EngineError, LiveOptions, Measures, Running};
use dayfold::log::Durability;
use dayfold::scan::{Scan, ScanKeys};
use dayfold::schema::{Kind, Value};
use dayfold::store::{Memory, StoreError};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

const DAY: EventTime = 86_400_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sale {
    time: EventTime,
    shop: Option<String>,
    shelf: i64,
    price: Option<Decimal>,
}

type Numbers = (DecimalSum, Min<Decimal>, Max<Decimal>, Quantiles);
type Ends = (First<Decimal>, Last<Decimal>);
type Typed = (Count, Maybe<Numbers>, Maybe<Distinct>, Maybe<Ends>);

impl Sale {
    fn typed(&self) -> Option<(EventTime, (Option<String>, i64), Typed)> {
        let price = self.price;
        let numbers = |v| (DecimalSum::of(v), Min(v), Max(v), Quantiles::of(v));
        let ends = |v| (First::of(self.time, v), Last::of(self.time, v));
        let distinct = |v: Decimal| Distinct::of(&v.billionths().to_le_bytes());
        let state = (
            Count::one(),
            Maybe(price.map(numbers)),
            Maybe(price.map(distinct)),
            Maybe(price.map(ends)),
        );
        Some((self.time, (self.shop.clone(), self.shelf), state))
    }

    fn fill<'e>(&'e self, row: &mut RowBuilder<'e>) -> Option<EventTime> {
        row.set(0, self.shop.as_deref());
        row.set(1, self.shelf);
        row.set(2, self.price);
        Some(self.time)
    }
}

fn definition(view: View) -> ViewDef {
    let columns = [("shop", Kind::Text), ("shelf", Kind::Integer), ("price", Kind::Decimal)];
    let price = || "price".to_owned();
    let quantile = |at: &str| Reduce::Quantile(price(), at.parse().unwrap());
    let measures = [
        ("events", Reduce::Count),
        ("sum", Reduce::Sum(price())),
        ("low", Reduce::Min(price())),
        ("high", Reduce::Max(price())),
        ("q_p50", quantile("0.5")),
        ("q_p99", quantile("0.99")),
        ("q_sketch", Reduce::QuantileSketch(price())),
        ("different", Reduce::Distinct(price())),
        ("different_sketch", Reduce::DistinctSketch(price())),
        ("first", Reduce::First(price())),
        ("last", Reduce::Last(price())),
    ];
    let view = ViewDef::new(view, Columns::new(columns).unwrap()).key(["shop", "shelf"]).unwrap();
    measures.into_iter().fold(view, |view, (name, of)| view.measure(name, of).unwrap())
}

const COLUMNS: [&str; 11] = [
    "events",
    "sum",
    "low",
    "high",
    "q_p50",
    "q_p99",
    "q_sketch",
    "different",
    "different_sketch",
    "first",
    "last",
];

fn view(name: &str, grace: i64) -> View {
    let grace = Duration::from_millis(grace as u64);
    View::new(name).unwrap().zone("Asia/Kolkata").unwrap().grace(grace)
}

/// Both views of the same events.
fn both(engine: &mut Engine<Sale>, grace: i64) {
    let names: [&[&str]; 4] =
        [&["events"], &["sum", "low", "high", "q"], &["different"], &["first", "last"]];
    let typed = view("typed", grace).key_columns(["shop", "shelf"]).unwrap();
    let names = names.map(|names| names.iter().copied());
    engine.view(typed.measure_names(names).unwrap(), Measures::none(), Sale::typed);
    engine.dynamic_view(definition(view("dynamic", grace)), Sale::fill);
}

/// The rows of a view. Without values, a state in Rust types has no distinct count, and a dynamic one has a count of 0.
fn rows(running: &Running, view: &str, scan: &Scan) -> Vec<Vec<Value>> {
    let mut rows = running.view(view).unwrap().scan(scan, None).unwrap().collect_rows().unwrap();
    let at = COLUMNS.iter().position(|name| *name == "different").unwrap();
    for row in &mut rows {
        let behind_key = row.len() - COLUMNS.len();
        let different = &mut row[behind_key + at];
        if *different == Value::Null {
            *different = Value::Integer(0);
        }
    }
    rows
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Every shape of query, over several sets of keys and days.
fn scans() -> Vec<Scan> {
    let (lower, upper) = (vec![Value::Null], vec![text("b"), Value::Integer(0)]);
    let keys = [
        ScanKeys::All,
        ScanKeys::One(vec![text("a"), Value::Integer(-1)]),
        ScanKeys::One(vec![Value::Null, Value::Integer(1)]),
        ScanKeys::Prefix(vec![text("")]),
        ScanKeys::StartingWith(vec![text("a")]),
        ScanKeys::Range { lower: lower.clone(), upper: upper.clone() },
        ScanKeys::Range { lower: upper, upper: vec![] },
    ];
    let key = ["shop", "shelf"];
    let with = |columns: &[&'static str]| {
        columns.iter().copied().chain(COLUMNS).collect::<Vec<&'static str>>()
    };
    let shapes = [
        Scan::rows().columns(with(&["day", key[0], key[1]])),
        Scan::by_period().columns(with(&["day"])),
        Scan::by_key().columns(with(&key)),
        Scan::total().columns(with(&[])),
        Scan::top(3, "events").columns(with(&key)),
        Scan::top(2, "sum").columns(with(&key)),
        Scan::top(2, "q_p50").columns(with(&key)),
        Scan::rows().columns(with(&["day", key[0], key[1]])).limit(2),
    ];
    let days = [DayRange::ALL, DayRange::new(Day(1), Day(3)), DayRange::only(Day(2))];
    let all =
        shapes.iter().flat_map(|scan| keys.iter().map(|keys| scan.clone().keys(keys.clone())));
    all.flat_map(|scan| days.map(|days| scan.clone().periods(days))).collect()
}

#[track_caller]
fn check_same(running: &Running) {
    let mut found = 0;
    for scan in scans() {
        let (typed, dynamic) = (rows(running, "typed", &scan), rows(running, "dynamic", &scan));
        assert_eq!(dynamic, typed, "{scan:?}");
        found += typed.len();
    }
    assert!(found > 0);
}

fn sale() -> impl Strategy<Value = Sale> {
    let shop = prop::option::weighted(0.8, prop_oneof![Just(""), Just("a"), Just("ab"), Just("b")]);
    let price = prop_oneof!["-?[0-9]{1,2}", "[0-9]\\.[05]{1,3}"];
    (0..5 * DAY, shop, -1..2i64, prop::option::weighted(0.7, price)).prop_map(
        |(time, shop, shelf, price)| Sale {
            time,
            shop: shop.map(str::to_owned),
            shelf,
            price: price.map(|text| text.parse().unwrap()),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn differential_dynamic_and_typed_views_give_the_same_answers(
        mut sales in prop::collection::vec(sale(), 1..120),
        workers in 1..3usize,
        grace in 0..2 * DAY,
    ) {
        // Roughly in order, so that days close, and some events are late.
        sales.sort_by_key(|sale| (sale.time / (2 * DAY), sale.shelf));
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let mut engine = Engine::<Sale>::new().clock(move || clock.load(Ordering::SeqCst));
        both(&mut engine, grace);
        let pusher = engine.live(LiveOptions::new(|sale: &Sale| sale.time));
        let engine = engine.data_in(Arc::new(Memory::default()), "data");
        let engine = engine.log(Durability::System, |sale| sale.time);
        let running = engine.start(Cluster::workers(workers)).unwrap();
        for part in sales.chunks(40) {
            let newest = part.iter().map(|sale| sale.time).max().unwrap();
            now.fetch_max(newest, Ordering::SeqCst);
            let pushed = pusher.push(part.to_vec()).unwrap();
            prop_assert!(pushed.refused.is_empty());
            pushed.receipt.wait_visible(Duration::from_secs(60)).unwrap();
            check_same(&running);
        }
        drop(pusher);
        while !running.wait_sealed(Duration::from_secs(1)).unwrap() {}
        check_same(&running);
        running.finish().unwrap();
    }
}

/// Starts over a folder, with a view with this definition, and pushes one sale.
fn start(storage: &Arc<Memory>, definition: ViewDef) -> Result<Running, EngineError> {
    let mut engine = Engine::<Sale>::new().clock(|| 0).data_in(Arc::clone(storage) as _, "data");
    engine.dynamic_view(definition, Sale::fill);
    let pusher = engine.live(LiveOptions::new(|sale: &Sale| sale.time));
    let running = engine.log(Durability::System, |sale| sale.time).start(Cluster::workers(1))?;
    let sale = Sale { time: 0, shop: None, shelf: 1, price: None };
    pusher.push(vec![sale]).unwrap().receipt.wait_visible(Duration::from_secs(60)).unwrap();
    Ok(running)
}

#[test]
fn a_folder_refuses_other_cells_and_keys_but_not_other_names() {
    let storage = Arc::new(Memory::default());
    // With the program's own definition text, which stays the same.
    let sales = || view("sales", 0).defined_as("sales");
    start(&storage, definition(sales())).unwrap().finish().unwrap();
    let other = |view: View, key: &[&str], reduce: Reduce| {
        let columns = definition(sales()).columns().clone();
        ViewDef::new(view, columns).key(key).unwrap().measure("x", reduce).unwrap()
    };
    let field = |storage: &Arc<Memory>, definition: ViewDef| match start(storage, definition) {
        Err(EngineError::Store(StoreError::ViewMismatch { field, .. })) => field,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the folder was opened"),
    };
    let key = ["shop", "shelf"];
    assert_eq!(field(&storage, other(sales(), &key[..1], Reduce::Count)), "key");
    let least = Reduce::Min("shelf".to_owned());
    assert_eq!(field(&storage, other(sales(), &key, least)), "aggregate");
    let quantile = Reduce::Quantile("price".to_owned(), "0.9".parse().unwrap());
    let more = definition(sales()).measure("p90", quantile).unwrap();
    start(&storage, more).unwrap().finish().unwrap();

    // The same cells over another column: without a text from the program, the view has its own definition text.
    let storage = Arc::new(Memory::default());
    let count = |of: &str| other(view("sales", 0), &key, Reduce::CountOf(of.to_owned()));
    start(&storage, count("shelf")).unwrap().finish().unwrap();
    assert_eq!(field(&storage, count("price")), "definition");
}

#[test]
fn an_event_whose_row_is_wrong_is_refused_and_counted() {
    let mut engine = Engine::<i64>::new();
    let columns = Columns::new([("n", Kind::Integer)]).unwrap();
    let definition = ViewDef::new(View::new("v").unwrap(), columns);
    let definition = definition.measure("sum", Reduce::Sum("n".to_owned())).unwrap();
    engine.dynamic_view(definition, |event: &i64, row: &mut RowBuilder<'_>| {
        match event {
            0 => row.set(0, "no number"),
            1 => row.set(1, true),
            2 => row.set(0, 1i128 << 64),
            3 => return None,
            _ => row.set(0, RowValue::from(*event)),
        }
        Some(0)
    });
    let pusher = engine.live(LiveOptions::new(|_: &i64| 0));
    let running = engine.start(Cluster::workers(1)).unwrap();
    let pushed = pusher.push(vec![0, 1, 2, 3, 4, 5]).unwrap();
    pushed.receipt.wait_visible(Duration::from_secs(60)).unwrap();
    let mut total = running.view("v").unwrap().scan(&Scan::total().columns(["sum"]), None).unwrap();
    assert_eq!(total.certificate().unwrap().refused, 3);
    assert_eq!(total.collect_rows().unwrap(), [[Value::Integer(9)]]);
    drop(pusher);
    running.finish().unwrap();
}
