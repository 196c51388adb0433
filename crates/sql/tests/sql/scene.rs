//! An engine with batch views, amendments and open periods; its views as tables; and the same tables computed from its
//! events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use dayfold::aggregate::{Count, Distinct, Quantiles, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running};
use dayfold::schema::Grain;
use dayfold::time::{Calendar, Day};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_sql::{Limits, Sql, SqlError};

/// Event time, shop, desk, cents.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sale {
    pub(crate) time: i64,
    pub(crate) shop: Option<String>,
    pub(crate) desk: u8,
    pub(crate) cents: i64,
}

/// Only bounds hanging tests.
const LONG: Duration = Duration::from_secs(60);
pub(crate) const DAY_MS: i64 = 86_400_000;
/// The UTC days of the events. All but the last three are sealed, and the first ones have late events.
pub(crate) const DAYS: i64 = 40;
/// 2024-02-20: the days include the end of a month and a change of clocks.
pub(crate) const FIRST: i64 = 19_773;

pub(crate) struct Scene {
    pub(crate) running: Running,
    pub(crate) sql: Sql,
    pub(crate) events: Vec<Sale>,
    pub(crate) pusher: Pusher<Sale>,
    /// The time of the engine.
    pub(crate) clock: Arc<AtomicI64>,
}

pub(crate) fn sale(number: i64) -> Sale {
    // A simple generator, so that failures can be reproduced.
    let random = |salt: i64| {
        let mixed = (number * 8 + salt + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) as u64;
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20) as i64
    };
    let shops = ["Oslo", "Rome", "", "Os", "Ōsaka", "Oslo\0", "x%_y"];
    let shop = shops.get(random(0) as usize % 8).map(|shop| (*shop).to_owned());
    let time = (FIRST + random(1) % DAYS) * DAY_MS + random(2) % DAY_MS;
    Sale { time, shop, desk: (random(3) % 5 * 60) as u8, cents: random(4) % 2_000 - 500 }
}

impl Scene {
    pub(crate) fn new(workers: usize, limits: Limits) -> Scene {
        let clock = Arc::new(AtomicI64::new((FIRST + DAYS) * DAY_MS - 1));
        let now = Arc::clone(&clock);
        let mut engine = Engine::<Sale>::new().clock(move || now.load(Ordering::Acquire));
        let grace = (DAYS + 10) * DAY_MS;
        let view = |name| View::new(name).unwrap().grace(Duration::from_millis(grace as u64));
        let days = view("sales").zone("America/New_York").unwrap();
        let days = days.key_columns(["shop", "desk"]).unwrap();
        let days = days.measure_names([["sales"], ["cents"], ["clients"]]).unwrap();
        let days = engine.view(days, Measures::none(), |sale: &Sale| {
            let client = Distinct::of(&sale.cents.to_le_bytes());
            let key = (sale.shop.clone().unwrap_or_default(), sale.desk);
            Some((sale.time, key, (Count::one(), Sum::of(sale.cents), client)))
        });
        let hours = view("hours").key_columns(["shop"]).unwrap().grain(Grain::Hour);
        let hours = hours.measure_names([["sales"], ["cents"], ["value"]]).unwrap();
        engine.view(hours, Measures::none(), |sale: &Sale| {
            let value = Quantiles::of(sale.cents.into());
            Some((sale.time, sale.shop.clone(), (Count::one(), Sum::of(sale.cents), value)))
        });
        let weeks = view("weeks").grain(Grain::Week).key_columns(["all"]).unwrap();
        let weeks = weeks.measure_names([["sales"], ["cents"]]).unwrap();
        engine.view(weeks, Measures::none(), |sale: &Sale| {
            Some((sale.time, true, (Count::one(), Sum::of(sale.cents))))
        });
        let pusher = engine.live(LiveOptions::new(|sale: &Sale| sale.time));
        let running = engine.start(Cluster::workers(workers)).unwrap();
        let push = |events: &[Sale]| {
            let pushed = pusher.push(events.to_vec()).unwrap();
            assert!(pushed.refused.is_empty());
            pushed.receipt.wait_visible(LONG).unwrap();
        };
        let events: Vec<Sale> = (0..3_000).map(sale).collect();
        let late = |sale: &Sale| sale.time < (FIRST + 4) * DAY_MS && sale.cents % 2 == 0;
        let (last, first): (Vec<_>, Vec<_>) = events.iter().cloned().partition(late);
        push(&first);
        clock.store((FIRST + DAYS - 3) * DAY_MS + grace, Ordering::Release);
        days.wait_sealed_through(Day((FIRST + DAYS - 5) as i32), LONG).unwrap();
        push(&last);
        let sql = Sql::new(running.views(), limits).unwrap();
        Scene { running, sql, events, pusher, clock }
    }

    /// The rows of a statement, as texts.
    pub(crate) async fn ask(&self, statement: &str) -> Vec<Vec<String>> {
        self.try_ask(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    pub(crate) async fn try_ask(&self, statement: &str) -> Result<Vec<Vec<String>>, SqlError> {
        Ok(texts(&self.sql.query(statement).await?.collect().await?))
    }

    /// The error of a statement.
    pub(crate) async fn refusal(&self, statement: &str) -> String {
        match self.try_ask(statement).await {
            Err(error) => error.to_string(),
            Ok(rows) => panic!("{statement} has an answer: {rows:?}"),
        }
    }

    /// Tables with the same names and rows in DataFusion alone, made from the events.
    pub(crate) fn oracle(&self) -> SessionContext {
        let config = SessionConfig::new()
            .set_str("datafusion.sql_parser.dialect", "PostgreSQL")
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let context = SessionContext::new_with_config(config);
        let new_york = Calendar::new("America/New_York").unwrap();
        let mut days = BTreeMap::<_, [i64; 2]>::new();
        let mut hours = BTreeMap::<_, [i64; 2]>::new();
        let mut weeks = BTreeMap::<_, [i64; 2]>::new();
        for sale in &self.events {
            let key =
                (new_york.day_of(sale.time).0, sale.shop.clone().unwrap_or_default(), sale.desk);
            // The first Monday, 1970-01-05, is day 4.
            let week = (sale.time.div_euclid(DAY_MS) + 3).div_euclid(7) * 7 - 3;
            for sums in [
                days.entry(key).or_default(),
                hours
                    .entry((sale.time / 3_600_000 * 3_600_000_000, sale.shop.clone()))
                    .or_default(),
                weeks.entry(week as i32).or_default(),
            ] {
                *sums = [sums[0] + 1, sums[1] + sale.cents];
            }
        }
        let measures = |sums: Vec<&[i64; 2]>| -> [(&str, ArrayRef); 2] {
            let of = |at: usize| Int64Array::from_iter_values(sums.iter().map(|sums| sums[at]));
            [("sales", Arc::new(of(0))), ("cents", Arc::new(of(1)))]
        };
        let table = |name: &str, key: Vec<(&str, ArrayRef)>, sums: Vec<&[i64; 2]>| {
            let batch = RecordBatch::try_from_iter(key.into_iter().chain(measures(sums))).unwrap();
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
            context.register_table(name, Arc::new(table)).unwrap();
        };
        let desks = Int64Array::from_iter_values(days.keys().map(|key| key.2.into()));
        let key: Vec<(&str, ArrayRef)> = vec![
            ("day", Arc::new(Date32Array::from_iter_values(days.keys().map(|key| key.0)))),
            ("shop", Arc::new(StringArray::from_iter_values(days.keys().map(|key| &key.1)))),
            ("desk", Arc::new(desks)),
        ];
        table("sales", key, days.values().collect());
        let times = TimestampMicrosecondArray::from_iter_values(hours.keys().map(|key| key.0));
        let key: Vec<(&str, ArrayRef)> = vec![
            ("hour", Arc::new(times.with_timezone("UTC"))),
            ("shop", Arc::new(StringArray::from_iter(hours.keys().map(|key| key.1.as_ref())))),
        ];
        table("hours", key, hours.values().collect());
        let key = Date32Array::from_iter_values(weeks.keys().copied());
        table("weeks", vec![("week", Arc::new(key))], weeks.values().collect());
        context
    }
}

/// The rows of the oracle.
pub(crate) async fn ask_oracle(oracle: &SessionContext, statement: &str) -> Vec<Vec<String>> {
    let frame = oracle.sql(statement).await;
    let frame = frame.unwrap_or_else(|error| panic!("{statement}: {error}"));
    texts(&frame.collect().await.unwrap_or_else(|error| panic!("{statement}: {error}")))
}

/// Rows as texts.
pub(crate) fn texts(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let rows = |batch: &RecordBatch| -> Vec<Vec<String>> {
        let columns = batch.columns().iter();
        let columns: Vec<_> =
            columns.map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        let row = |at: usize| columns.iter().map(|column| column.value(at).to_string()).collect();
        (0..batch.num_rows()).map(row).collect()
    };
    batches.iter().flat_map(rows).collect()
}
