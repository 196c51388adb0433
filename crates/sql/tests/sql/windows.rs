//! The last periods as of now: by the engine's clock, which these tests move.

use std::sync::atomic::Ordering;

use datafusion::arrow::datatypes::DataType;
use dayfold::schema::{Grain, Value};
use dayfold::time::{Calendar, DayRange, Last};
use dayfold_sql::{Limits, Sql};

use crate::scene::{DAY_MS, Scene, ask_oracle, texts};

/// `{}` is the table, limited to a window or to its days.
const STATEMENTS: &[&str] = &[
    "SELECT day, shop, desk, sales, cents FROM {} ORDER BY day, shop, desk",
    "SELECT count(*), min(day), max(day) FROM {}",
    "SELECT sum(sales), sum(cents) FROM {}",
    "SELECT shop, sum(cents) FROM {} GROUP BY shop ORDER BY shop",
    "SELECT day, sum(cents) FROM {} GROUP BY day ORDER BY day",
    "SELECT date_trunc('month', day) AS m, desk, sum(sales) FROM {} GROUP BY m, desk ORDER BY m, desk",
    "SELECT shop, desk, sum(sales) AS n FROM {} GROUP BY shop, desk ORDER BY n DESC, shop, desk LIMIT 5",
    "SELECT sum(sales) FROM {} WHERE shop = 'Oslo' AND desk IN (60, 120)",
    "SELECT day, shop, sales FROM {} WHERE day < DATE '2024-03-25' AND shop LIKE 'O%' ORDER BY day, shop, sales",
    "SELECT sum(sales) FROM {} WHERE day >= DATE '2024-01-01' AND day <> DATE '2024-03-20'",
    "SELECT sum(sales) FROM {} WHERE day < DATE '2024-02-21'",
    "SELECT l.shop, sum(l.sales) - sum(a.sales) FROM {} l JOIN sales a USING (day, shop, desk) GROUP BY l.shop ORDER BY 1",
    "SELECT (SELECT sum(sales) FROM {}) AS l, (SELECT sum(sales) FROM sales) AS a",
];

/// A window, and the days that it has in the view of sales.
fn days(scene: &Scene, last: Last) -> DayRange {
    let new_york = Calendar::new("America/New_York").unwrap();
    last.periods(&new_york, scene.clock.load(Ordering::SeqCst)).unwrap()
}

#[tokio::test]
async fn oracle_a_window_is_its_days() {
    let scene = Scene::new(2, Limits::default());
    let oracle = scene.oracle();
    let last = |count, grain| Last::new(count, grain).unwrap();
    for (window, same) in [
        ("60 days", last(60, Grain::Day)),
        ("70d", last(70, Grain::Day)),
        ("9 weeks", last(9, Grain::Week)),
        ("3 months", last(3, Grain::Month)),
        ("2 quarters", last(2, Grain::Quarter)),
        ("1 year", last(1, Grain::Year)),
        ("1 day", last(1, Grain::Day)),
    ] {
        let DayRange { lower, upper } = days(&scene, same);
        let window_table = format!("last('sales', '{window}')");
        let where_days =
            format!("(SELECT * FROM sales WHERE day >= DATE '{lower}' AND day < DATE '{upper}')");
        for statement in STATEMENTS {
            let found = scene.ask(&statement.replace("{}", &window_table)).await;
            let expected = ask_oracle(&oracle, &statement.replace("{}", &where_days)).await;
            assert_eq!(found, expected, "{window}: {statement}");
        }
        // Sketches are merged over the same days.
        let merged = format!("SELECT merge_distinct(clients) FROM last('sales', '{window}')");
        let of_days = format!(
            "SELECT merge_distinct(clients) FROM sales WHERE day >= DATE '{lower}' AND day < DATE '{upper}'"
        );
        assert_eq!(scene.ask(&merged).await, scene.ask(&of_days).await, "{window}");
    }
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn a_window_is_pushed_down_like_its_view() {
    let scene = Scene::new(1, Limits::default());
    let explained = async |statement: &str| {
        let rows = scene.ask(&format!("EXPLAIN {statement}")).await;
        rows.into_iter().flatten().collect::<String>()
    };
    for (statement, expected) in [
        (
            "SELECT shop, sum(cents) FROM last('sales', '60 days') GROUP BY shop",
            "columns=[shop, cents], scans=1, shape=ByKey, last=60d",
        ),
        (
            "SELECT sum(sales) FROM LAST('sales', '60d') WHERE shop = 'Oslo' AND day > DATE '2024-03-01'",
            "columns=[sales], scans=1, shape=Total, last=60d",
        ),
        (
            "SELECT date_trunc('month', day), sum(sales) FROM last('sales', '1 year') GROUP BY 1",
            "shape=ByPeriod, by=month, last=1y",
        ),
        (
            "SELECT shop, desk, sum(sales) FROM last('sales', '4 weeks') GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 2",
            "shape=Top { n: 2, by: \"sales\" }, last=4w",
        ),
    ] {
        let plan = explained(statement).await;
        assert!(plan.contains(expected), "{statement}: {plan}");
        assert!(!plan.contains("FilterExec"), "{statement}: {plan}");
    }
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn a_kept_plan_moves_with_the_clock() {
    let scene = Scene::new(2, Limits::default());
    let statement = "SELECT min(day) FROM last('sales', '60 days')";
    let first = |scene: &Scene| days(scene, Last::new(60, Grain::Day).unwrap()).lower.to_string();
    assert_eq!(scene.ask(statement).await, [[first(&scene)]]);
    scene.clock.fetch_add(3 * DAY_MS, Ordering::SeqCst);
    assert_eq!(scene.ask(statement).await, [[first(&scene)]]);
    scene.clock.fetch_add(100 * DAY_MS, Ordering::SeqCst);
    assert_eq!(scene.ask(statement).await, [["NULL"]]);
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn a_window_may_be_a_parameter() {
    let scene = Scene::new(2, Limits::default());
    let text = |text: &str| Value::Text(text.to_owned());
    let statement = "SELECT sum(sales) AS n FROM last('sales', $1) WHERE shop = $2 \
                     UNION ALL SELECT sum(sales) FROM last('sales', CAST($1 AS TEXT)) ORDER BY n";
    let prepared = scene.sql.prepare(statement).await.unwrap();
    assert_eq!(prepared.parameters().unwrap(), [Some(DataType::Utf8), Some(DataType::Utf8)]);
    for window in ["60 days", "70d", "1 year"] {
        let literal = statement.replace("$1", &format!("'{window}'")).replace("$2", "'Oslo'");
        let expected = scene.ask(&literal).await;
        for _ in 0..2 {
            let rows = prepared.run_with(&[text(window), text("Oslo")]).await.unwrap();
            assert_eq!(texts(&rows.collect().await.unwrap()), expected, "{window}");
        }
    }
    for (value, expected) in [
        (text("7 dayz"), "'7 dayz' is no window: expected a number from 1 to 1000"),
        (text("24 hours"), "view 'sales' is kept by day: expected a window of one of day, week"),
        (Value::Null, "$1: expected a window such as '7 days', not NULL"),
    ] {
        let error = prepared.run_with(&[value, text("Oslo")]).await.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = scene.refusal("SELECT * FROM last('sales', $1)").await;
    assert!(error.contains("$1: expected a value, a window such as '7 days'"), "{error}");
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn wrong_windows_are_refused() {
    let scene = Scene::new(1, Limits::default());
    for (table, expected) in [
        ("last('sails', '7 days')", "no view 'sails': expected one of sales, hours, weeks"),
        ("last('sales as of first', '7 days')", "no view 'sales as of first'"),
        (
            "last('sales', '7 dayz')",
            "'7 dayz' is no window: expected a number from 1 to 1000 and hours",
        ),
        ("last('sales', '0 days')", "'0 days' is no window"),
        ("last('sales', '1001 days')", "'1001 days' is no window"),
        ("last('sales', '24 hours')", "the last '24 hours': view 'sales' is kept by day"),
        (
            "last('weeks', '1 month')",
            "view 'weeks' is kept by week: expected a window of one of week",
        ),
        ("last('sales')", "last takes a view and a window: last('sales', '7 days')"),
        ("last('sales', 7)", "expected a text, not Int64(7)"),
        ("last(sales, '7 days')", "sales"),
    ] {
        let error = scene.refusal(&format!("SELECT * FROM {table}")).await;
        assert!(error.contains(expected), "{table}: {error}");
    }
    scene.running.finish().unwrap();
    let without = Sql::without_views(Limits::default()).unwrap();
    let error = without.query("SELECT * FROM last('sales', '7 days')").await.err().unwrap();
    assert!(error.to_string().contains("the clock of a running program"), "{error}");
}
