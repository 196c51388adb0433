//! Written statements, and their expected results.

use std::collections::BTreeSet;

use dayfold::aggregate::{Distinct, Quantiles, Semigroup};
use dayfold_sql::Limits;

use crate::scene::{DAY_MS, Scene, ask_oracle};

/// Statements whose rows must equal the oracle's.
const SAME: &[&str] = &[
    "SELECT week, sales, cents FROM weeks",
    "SELECT day, shop, desk, sales, cents FROM sales",
    "SELECT count(*) FROM sales",
    "SELECT count(*), count(shop), count(DISTINCT shop) FROM hours",
    "SELECT sum(sales), sum(cents), min(cents), max(cents) FROM sales",
    "SELECT sum(sales) FROM sales WHERE day < DATE '1999-01-01'",
    "SELECT shop, sum(sales), sum(cents) FROM sales GROUP BY shop",
    "SELECT shop, desk, sum(cents) FROM sales GROUP BY shop, desk HAVING sum(cents) > 1000",
    "SELECT day, sum(cents) FROM sales GROUP BY day",
    "SELECT date_trunc('month', day), sum(sales) FROM sales GROUP BY 1",
    "SELECT date_trunc('month', day), shop, sum(sales) FROM sales GROUP BY 1, 2",
    "SELECT date_trunc('month', day)::date, shop, sum(cents) FROM sales WHERE day >= DATE '2024-02-25' AND day < DATE '2024-03-20' GROUP BY 1, 2",
    "SELECT date_trunc('WEEK', day), desk, sum(sales) FROM sales WHERE shop IN ('Oslo', 'Os') GROUP BY 1, 2",
    "SELECT date_trunc('year', day), extract(month FROM day), sum(sales) FROM sales GROUP BY 1, 2",
    "SELECT date_trunc('month', day), date_trunc('year', day), sum(sales) FROM sales GROUP BY 1, 2",
    "SELECT date_trunc('month', day), min(day), sum(sales) FROM sales GROUP BY 1",
    "SELECT date_trunc('quarter', week), sum(cents) FROM weeks GROUP BY 1",
    "SELECT day, sum(sum(cents)) OVER (ORDER BY day RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW) FROM sales GROUP BY day",
    "SELECT upper(shop), sum(sales) FROM sales WHERE desk >= 120 GROUP BY 1",
    "SELECT min(day), max(day), min(shop), max(desk) FROM sales",
    "SELECT min(day), max(day) FROM sales",
    "SELECT DISTINCT shop FROM sales",
    "SELECT DISTINCT day FROM sales",
    "SELECT DISTINCT day, shop FROM sales",
    "SELECT week, day, sales FROM (SELECT day FROM sales GROUP BY day) JOIN weeks ON week = day",
    "SELECT day, shop, cents FROM sales WHERE day = DATE '2024-03-01'",
    "SELECT day, shop, cents FROM sales WHERE day BETWEEN DATE '2024-03-01' AND DATE '2024-03-05' AND shop = 'Oslo'",
    "SELECT day, desk, cents FROM sales WHERE shop = 'Oslo' AND desk = 120",
    "SELECT day, desk, cents FROM sales WHERE shop = 'Oslo' AND desk IN (0, 60, 7)",
    "SELECT day, desk, cents FROM sales WHERE shop IN ('Oslo', 'Os') AND desk > 60 AND desk <= 180",
    "SELECT day, shop, desk FROM sales WHERE shop > 'Os' AND shop <= 'Rome'",
    "SELECT day, shop, desk FROM sales WHERE shop LIKE 'Os%' AND desk = 60",
    "SELECT day, shop, desk FROM sales WHERE shop LIKE 'Os%' AND desk = 60 AND day IN (DATE '2024-03-01', DATE '2024-03-04')",
    "SELECT sum(sales) FROM sales WHERE shop LIKE 'O_lo'",
    "SELECT sum(sales) FROM sales WHERE shop LIKE 'x\\%%'",
    "SELECT sum(sales) FROM sales WHERE shop NOT LIKE 'O%'",
    "SELECT day, sales FROM sales WHERE shop LIKE 'Os%' AND shop > 'Oslo'",
    "SELECT shop, n FROM (SELECT shop, sum(sales) AS n FROM sales WHERE shop LIKE 'O%' GROUP BY shop) t WHERE shop > 'Os'",
    "SELECT sum(sales) FROM sales WHERE shop = 'Oslo' OR desk = 60",
    "SELECT sum(sales) FROM sales WHERE shop = 'Oslo' OR shop = 'Rome'",
    "SELECT sum(sales) FROM sales WHERE shop = 'Oslo' AND shop = 'Rome'",
    // A value outside the type of a desk.
    "SELECT sum(sales) FROM sales WHERE shop = 'Oslo' AND desk = 300",
    "SELECT sum(sales) FROM sales WHERE shop = 'Oslo' AND desk > -1",
    "SELECT sum(sales) FROM sales WHERE shop = 'Oslo' AND desk < 10000000000",
    "SELECT sum(sales) FROM sales WHERE day > DATE '9999-01-01' OR day < DATE '2024-03-01'",
    "SELECT sum(sales) FROM sales WHERE day IS NULL",
    "SELECT sum(sales) FROM sales WHERE day >= to_date('2024-03-01', '%Y-%m-%d')",
    "SELECT hour, shop, sales FROM hours WHERE hour >= TIMESTAMP '2024-03-01T10:00:00Z' AND hour < TIMESTAMP '2024-03-01T20:00:00Z'",
    "SELECT hour, sales FROM hours WHERE hour > TIMESTAMP '2024-03-01T10:00:00Z' AND hour <= TIMESTAMP '2024-03-02T10:30:00Z' AND shop = 'Oslo'",
    "SELECT hour, sales FROM hours WHERE hour = TIMESTAMP '2024-03-01T10:00:00.5Z'",
    "SELECT sum(sales) FROM hours WHERE shop IS NULL",
    "SELECT sum(sales) FROM hours WHERE shop IS NOT NULL",
    "SELECT sum(sales) FROM hours WHERE shop < 'Oslo'",
    "SELECT sum(sales) FROM hours WHERE shop >= 'Oslo'",
    "SELECT sum(sales) FROM hours WHERE shop <> 'Oslo'",
    "SELECT shop, sum(sales) FROM hours GROUP BY shop",
    "SELECT hour, sum(cents) FROM hours GROUP BY hour",
    "SELECT date_trunc('day', hour), sum(cents) FROM hours GROUP BY 1",
    "SELECT week, sales FROM weeks WHERE week > DATE '2024-03-01'",
    "SELECT week, sales FROM weeks WHERE week >= DATE '2024-03-04' AND week < DATE '2024-03-05'",
    "SELECT week, sales FROM weeks WHERE week = DATE '2024-03-05'",
    "SELECT sum(sales) FROM weeks WHERE week <= DATE '2024-03-05'",
    "SELECT s.shop, sum(s.cents), sum(h.cents) FROM (SELECT shop, sum(cents) AS cents FROM sales GROUP BY shop) s \
     JOIN (SELECT shop, sum(cents) AS cents FROM hours GROUP BY shop) h ON s.shop = h.shop GROUP BY s.shop",
    "SELECT shop, desk, cents FROM sales s WHERE cents = (SELECT max(cents) FROM sales t WHERE t.shop = s.shop)",
    "SELECT shop, desk, (SELECT max(cents) FROM sales t WHERE t.shop = s.shop) FROM sales s WHERE desk = 60",
    "SELECT shop, (SELECT max(t.cents) FROM hours t WHERE t.shop = s.shop) AS most, 'pg_' AS text FROM sales s WHERE desk = 0",
    "SELECT (SELECT sum(cents) FROM sales), (SELECT sum(cents) FROM hours) AS hours, (SELECT 1)",
    "SELECT shop FROM sales WHERE desk = 0 EXCEPT SELECT shop FROM sales WHERE desk = 60",
    "SELECT shop FROM sales UNION SELECT shop FROM hours",
    "WITH d AS (SELECT day, sum(cents) AS c FROM sales GROUP BY day) \
     SELECT day, c, sum(c) OVER (ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM d",
    "SELECT day, shop, rank() OVER (PARTITION BY day ORDER BY sum(cents) DESC, shop) FROM sales GROUP BY day, shop",
    "SELECT shop, day, sum(sales) FROM sales GROUP BY GROUPING SETS ((shop), (day), ())",
    "SELECT shop, desk, sum(sales) FROM sales GROUP BY ROLLUP (shop, desk)",
    "SELECT shop, sum(sales) FILTER (WHERE desk = 60), sum(cents) FROM sales GROUP BY shop",
    "SELECT shop, sum(DISTINCT sales), count(DISTINCT day) FROM sales GROUP BY shop",
    "SELECT shop, avg(cents), round(stddev(cents), 6) FROM sales GROUP BY shop",
    "SELECT a.day, a.cents - b.cents FROM sales a JOIN sales b ON b.day = a.day - 7 AND a.shop = b.shop AND a.desk = b.desk \
     WHERE a.shop = 'Rome'",
    "SELECT CASE WHEN sum(cents) > 0 THEN 'plus' ELSE 'minus' END, count(*) FROM sales GROUP BY shop",
    "SELECT (SELECT sum(sales) FROM sales) - (SELECT sum(sales) FROM weeks)",
    "SELECT sum(cents * 1.5), sum(cents / 2) FROM sales",
    "SELECT extract(dow FROM day), sum(sales) FROM sales GROUP BY 1",
];

/// Statements whose rows have an order.
const SORTED: &[&str] = &[
    "SELECT shop, desk, sum(cents) FROM sales GROUP BY shop, desk ORDER BY sum(cents) DESC LIMIT 5",
    "SELECT shop, desk, sum(cents) AS c FROM sales WHERE day >= DATE '2024-03-01' GROUP BY shop, desk ORDER BY c DESC LIMIT 5 OFFSET 2",
    "SELECT shop, desk, sum(cents) AS c FROM sales WHERE shop = 'Oslo' GROUP BY shop, desk ORDER BY c DESC LIMIT 2",
    "SELECT shop, desk, sum(cents) AS c FROM sales GROUP BY shop, desk ORDER BY c LIMIT 3",
    "SELECT shop, sum(cents) AS c FROM sales GROUP BY shop ORDER BY c DESC LIMIT 3",
    "SELECT day, shop, desk, cents FROM sales ORDER BY day, shop, desk LIMIT 7 OFFSET 90",
    "SELECT week, cents FROM weeks ORDER BY week DESC LIMIT 2",
    "SELECT hour, shop, cents FROM hours ORDER BY hour, shop NULLS FIRST LIMIT 10",
];

/// Numbers without trailing zeros.
fn shortened(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let short = |text: String| match text.split_once('.') {
        Some((whole, part)) if part.bytes().all(|byte| byte.is_ascii_digit()) => {
            let part = part.trim_end_matches('0');
            if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
        }
        _ => text,
    };
    rows.into_iter().map(|row| row.into_iter().map(short).collect()).collect()
}

#[tokio::test]
async fn oracle_statements() {
    for workers in 1..=2 {
        let scene = Scene::new(workers, Limits::default());
        let (oracle, mut wrong) = (scene.oracle(), Vec::new());
        for statement in SAME.iter().chain(SORTED) {
            let mut expected = shortened(ask_oracle(&oracle, statement).await);
            let mut found = match scene.try_ask(statement).await {
                Ok(rows) => shortened(rows),
                Err(error) => {
                    wrong.push(format!("{statement}: {error}"));
                    continue;
                }
            };
            if !SORTED.contains(statement) {
                found.sort();
                expected.sort();
            }
            if found != expected {
                let differ = found.iter().zip(&expected).find(|(one, other)| one != other);
                let counts = (found.len(), expected.len());
                wrong.push(format!("{statement}, {workers} workers: rows {counts:?}, {differ:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        scene.running.finish().unwrap();
    }
}

#[tokio::test]
async fn plans_read_what_the_engine_combines() {
    let scene = Scene::new(1, Limits::default());
    for (statement, expect) in [
        ("SELECT shop, sum(cents) FROM sales GROUP BY shop", "shape=ByKey"),
        ("SELECT day, sum(cents) FROM sales GROUP BY day", "shape=ByPeriod"),
        ("SELECT sum(cents) FROM sales WHERE shop = 'Oslo'", "shape=Total"),
        (
            "SELECT date_trunc('month', day), sum(cents) FROM sales GROUP BY 1",
            "shape=ByPeriod, by=month",
        ),
        (
            "SELECT date_trunc('week', day)::date, shop, sum(cents) FROM sales GROUP BY 1, 2",
            "shape=Rows, by=week",
        ),
        ("SELECT date_trunc('month', hour), sum(cents) FROM hours GROUP BY 1", "shape=ByPeriod"),
        ("SELECT date_trunc('month', week), sum(cents) FROM weeks GROUP BY 1", "shape=ByPeriod"),
        ("SELECT day, shop, cents FROM sales", "shape=Rows"),
        (
            "SELECT shop, desk, sum(cents) AS c FROM sales GROUP BY shop, desk ORDER BY c DESC LIMIT 5",
            "shape=Top { n: 5, by: \"cents\" }",
        ),
    ] {
        let plan = scene.ask(&format!("EXPLAIN {statement}")).await.concat().join("\n");
        let read = plan.lines().find(|line| line.contains("ViewExec")).unwrap_or(&plan);
        assert!(read.ends_with(expect), "{statement}: {plan}");
    }
    // These conditions are the view's alone, and it reads no other columns.
    for (condition, scans) in [
        ("day = '2024-03-01'", 1),
        ("day BETWEEN '2024-03-01' AND '2024-03-05' AND shop = 'Oslo'", 1),
        ("day IN ('2024-03-01', '2024-03-02')", 1),
        ("shop = 'Oslo' AND desk = 120", 1),
        ("shop IN ('Oslo', 'Os', 'Rome')", 3),
        ("shop IN ('Oslo', 'Os') AND desk IN (0, 60)", 4),
        ("shop IN ('Oslo', 'Os') AND desk > 60 AND desk <= 180", 2),
        ("shop LIKE 'Os%'", 1),
    ] {
        let explain = format!("EXPLAIN SELECT cents FROM sales WHERE {condition}");
        let plan = scene.ask(&explain).await.concat().join("\n");
        let expect = format!("columns=[cents], scans={scans},");
        assert!(plan.contains(&expect) && !plan.contains("FilterExec"), "{condition}: {plan}");
    }
    // A statement that was planned before is answered from the newest rows.
    let count = "SELECT sum(sales) FROM sales WHERE shop = 'Oslo'";
    let before = scene.ask(count).await;
    let sale = crate::scene::Sale {
        time: (crate::scene::FIRST + crate::scene::DAYS - 1) * DAY_MS,
        shop: Some("Oslo".to_owned()),
        desk: 0,
        cents: 1,
    };
    let pushed = scene.pusher.push(vec![sale]).unwrap();
    pushed.receipt.wait_visible(std::time::Duration::from_secs(60)).unwrap();
    let number = |rows: &[Vec<String>]| rows[0][0].parse::<i64>().unwrap();
    assert_eq!(number(&scene.ask(count).await), number(&before) + 1);
    // The time is that of each run.
    let now = scene.ask("SELECT now()").await;
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert_ne!(scene.ask("SELECT now()").await, now);
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn sealed_rows_are_told() {
    let scene = Scene::new(2, Limits::default());
    let found = scene
        .ask("SELECT DISTINCT day, sealed FROM sales WHERE shop = 'Oslo' ORDER BY day, sealed")
        .await;
    let is_sealed = |day: &str| found.iter().any(|row| row[0] == day && row[1] == "true");
    let is_open = |day: &str| found.iter().any(|row| row[0] == day && row[1] == "false");
    // In order: a day with late events that are not sealed, a sealed day, and one that is not over.
    assert!(is_open("2024-02-21"), "{found:?}");
    assert!(is_sealed("2024-03-10") && !is_open("2024-03-10"), "{found:?}");
    assert!(is_open("2024-03-30") && !is_sealed("2024-03-30"), "{found:?}");
    // First revisions have no late events.
    let first =
        "SELECT sum(sales) FROM revision_of('sales', 'first') WHERE day < DATE '2024-02-24'";
    let late = scene.ask("SELECT sum(sales) FROM sales WHERE day < DATE '2024-02-24'").await;
    let first = scene.ask(first).await;
    let number = |rows: &[Vec<String>]| rows[0][0].parse::<i64>().unwrap();
    assert!(number(&first) < number(&late), "{first:?} {late:?}");
    // Also together with the newest rows.
    let both = "SELECT (SELECT sum(sales) FROM sales WHERE day < DATE '2024-02-24'), \
                (SELECT sum(sales) FROM revision_of('sales', 'first') WHERE day < DATE '2024-02-24')";
    assert_eq!(scene.ask(both).await, [[late[0][0].clone(), first[0][0].clone()]]);
    // The same in SQL's own words, and two revisions of one view joined.
    for (statement, expected) in [
        ("SELECT sum(sales) FROM sales AS OF 'first' WHERE day < DATE '2024-02-24'", &first),
        (
            "SELECT sum(sales.sales) FROM public.Sales FOR SYSTEM_TIME AS OF 'first' WHERE sales.day < DATE '2024-02-24'",
            &first,
        ),
        (
            "SELECT sum(s.sales) FROM \"sales\" as of 'now' AS s WHERE s.day < DATE '2024-02-24'",
            &late,
        ),
        (
            "SELECT sum(sales) FROM sales AS OF DATE '2024-03-20' WHERE day < DATE '2024-02-24'",
            &first,
        ),
    ] {
        assert_eq!(scene.ask(statement).await, *expected, "{statement}");
    }
    let joined = "SELECT sum(n.sales) - sum(f.sales) FROM sales n JOIN sales AS OF 'first' f USING (day, shop, desk) \
                  WHERE n.day < DATE '2024-02-24'";
    let joined = scene.ask(joined).await;
    assert!(0 < number(&joined) && number(&joined) <= number(&late) - number(&first), "{joined:?}");
    let merged =
        "SELECT merge_distinct(clients) FROM sales AS OF 'first' WHERE day < DATE '2024-02-24'";
    assert!(number(&scene.ask(merged).await) > 0);
    let unknown = scene.refusal("SELECT * FROM sales AS OF 'second'").await;
    assert!(unknown.contains("no revision 'second': expected now, first, or a day"), "{unknown}");
    let unknown = scene.refusal("WITH t AS (SELECT 1) SELECT * FROM t AS OF 'first'").await;
    assert!(unknown.contains("'t' is no view, and AS OF is for views"), "{unknown}");
    let unknown = scene.refusal("SELECT * FROM revision_of('sales', 'second')").await;
    assert!(unknown.contains("expected now, first, or a day"), "{unknown}");
    let unknown = scene.refusal("SELECT * FROM revision_of('sails', 'first')").await;
    assert!(unknown.contains("expected one of sales, hours, weeks"), "{unknown}");
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn dates_are_written_by_templates_of_postgresql() {
    let scene = Scene::new(1, Limits::default());
    let by_text =
        "SELECT to_char(day, 'YYYY-MM') AS month, sum(cents) FROM sales GROUP BY 1 ORDER BY 1";
    let by_number = "SELECT concat(date_part('year', day)::int, '-', lpad(date_part('month', day)::int::text, 2, '0')), \
                     sum(cents) FROM sales GROUP BY 1 ORDER BY 1";
    let found = scene.ask(by_text).await;
    assert!(found.len() > 1 && found[0][0].starts_with("2024-"), "{found:?}");
    assert_eq!(found, scene.ask(by_number).await);
    for (statement, expect) in [
        (
            "SELECT to_char(TIMESTAMP '2024-05-01 09:07:03', 'FMDay, DDth FMMonth, HH12:MI am')",
            "Wednesday, 01st May, 09:07 am",
        ),
        ("SELECT to_char(DATE '2024-05-01', t) FROM (VALUES ('IYYY-\"W\"IW')) AS v(t)", "2024-W18"),
        (
            "SELECT bool_and(to_char(hour AT TIME ZONE 'America/New_York', 'HH24')::int = \
             extract(hour FROM hour AT TIME ZONE 'America/New_York')) FROM hours",
            "true",
        ),
        (
            "SELECT count(*) > 0 FROM hours WHERE to_char(hour AT TIME ZONE 'America/New_York', 'DD') <> to_char(hour, 'DD')",
            "true",
        ),
        ("SELECT to_char(DATE '0001-01-01' - 400, 'YYYY CC')", "0002 -01"),
        ("SELECT to_char(DATE '2024-05-01', '') IS NULL", "true"),
        // A format of DataFusion.
        ("SELECT to_char(DATE '2024-05-01', '%d.%m.%y')", "01.05.24"),
    ] {
        assert_eq!(scene.ask(statement).await, [[expect]], "{statement}");
    }
    for (statement, expect) in [
        ("SELECT to_char(day, 'YYYY TZ') FROM sales", "does not write the pattern TZ"),
        ("SELECT to_char(cents, '999') FROM sales", "to_char"),
    ] {
        let said = scene.refusal(statement).await;
        assert!(said.contains(expect), "{statement}: {said}");
    }
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn oracle_sketches_are_merged() {
    let scene = Scene::new(2, Limits::default());
    let mut clients: Option<Distinct> = None;
    let mut values: Option<Quantiles> = None;
    for sale in scene.events.iter().filter(|sale| sale.shop.as_deref() == Some("Oslo")) {
        let client = Distinct::of(&sale.cents.to_le_bytes());
        let value = Quantiles::of(sale.cents.into());
        clients.get_or_insert(client.clone()).plus_equals(&client);
        // The first one is in it already.
        match &mut values {
            Some(values) => values.plus_equals(&value),
            None => values = Some(value),
        }
    }
    let clients = clients.unwrap().rounded().to_string();
    let quantile = |of: u64| values.as_ref().unwrap().quantile(of, 1_000).unwrap().to_string();
    let found = scene.ask("SELECT merge_distinct(clients) FROM sales WHERE shop = 'Oslo'").await;
    assert_eq!(found, [[clients.clone()]]);
    let found =
        scene.ask("SELECT shop, merge_distinct(s.clients) FROM sales s GROUP BY shop").await;
    assert!(found.contains(&vec!["Oslo".to_owned(), clients]));
    let found = "SELECT merge_quantile(value_p99, 0.5) AS a, merge_quantile(value_p50, 0.999) AS b FROM hours WHERE shop = 'Oslo'";
    let found = scene.ask(found).await;
    let found: Vec<&str> =
        found[0].iter().map(|n| n.trim_end_matches('0').trim_end_matches('.')).collect();
    assert_eq!(found, [quantile(500), quantile(999)]);
    let none = "SELECT merge_quantile(value_p50, 0.5), count(*) FROM hours WHERE shop = '?'";
    assert_eq!(scene.ask(none).await, [["NULL", "0"]]);
    let none = "SELECT merge_distinct(clients) FROM sales WHERE shop = '?'";
    assert_eq!(scene.ask(none).await, [["0"]]);
    // Below and above other tables, whatever they are called.
    let all = scene.ask("SELECT merge_distinct(clients) FROM sales").await;
    for statement in [
        "SELECT merge_distinct(t.clients) FROM (SELECT * FROM sales) t",
        "SELECT merge_distinct(clients_sketch) FROM Sales",
        "WITH weeks AS (SELECT * FROM sales) SELECT merge_distinct(clients) FROM weeks",
        "SELECT merge_distinct(s.clients) FROM sales s JOIN weeks w ON w.week <= s.day AND s.day < w.week + 7",
    ] {
        assert_eq!(scene.ask(statement).await, all, "{statement}");
    }
    let months = "SELECT date_trunc('month', day) AS month, merge_distinct(clients) FROM sales GROUP BY 1 ORDER BY 1";
    assert_eq!(scene.ask(months).await.len(), 2);
    // They are columns for statements alone that name or merge one.
    let columns = |statement: &'static str| async {
        let rows = scene.sql.query(statement).await.unwrap();
        let names: Vec<String> =
            rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        names.join(" ")
    };
    assert_eq!(columns("SELECT * FROM sales").await, "day shop desk sales cents clients sealed");
    assert_eq!(columns("SELECT clients_sketch FROM sales").await, "clients_sketch");
    let listed = scene
        .ask("SELECT column_name FROM information_schema.columns WHERE column_name LIKE '%sketch'")
        .await;
    assert_eq!(listed, Vec::<Vec<String>>::new());
    for (statement, expected) in [
        ("SELECT sum(clients) FROM sales", "use merge_distinct(clients)"),
        ("SELECT sum(value_p99) OVER () FROM hours", "use merge_quantile(value_p99, 0.99)"),
        (
            "SELECT merge_distinct(cents) FROM sales",
            "expected a measure of a view that has a sketch",
        ),
        ("SELECT merge_quantile(value_p99, 2) FROM hours", "a number from 0 to 1"),
    ] {
        let found = scene.refusal(statement).await;
        assert!(found.contains(expected), "{statement}: {found}");
    }
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn certificates_tell_what_answers_are_exact_as_of() {
    let scene = Scene::new(1, Limits::default());
    let found = scene
        .ask("SELECT view, sealed_through, late, refused FROM dayfold_certificate() ORDER BY view")
        .await;
    assert_eq!(found.iter().map(|row| &row[0]).collect::<Vec<_>>(), ["hours", "sales", "weeks"]);
    let late = scene
        .events
        .iter()
        .filter(|sale| sale.cents % 2 == 0 && sale.time < (crate::scene::FIRST + 4) * DAY_MS);
    assert_eq!(found[1][2], late.count().to_string());
    // Everything that a statement reads has one moment.
    let ticks = scene.ask("SELECT DISTINCT tick FROM dayfold_certificate()").await;
    assert_eq!(ticks.len(), 1);
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn patterns_of_times_are_those_of_postgresql() {
    let scene = Scene::new(1, Limits::default());
    let sales = |condition: &str| format!("SELECT sum(sales) FROM {condition}");
    for (ours, plain) in [
        (
            "sales WHERE day >= TO_DATE('2024-03-01', 'YYYY-MM-DD')",
            "sales WHERE day >= '2024-03-01'",
        ),
        (
            "hours WHERE hour < TO_TIMESTAMP('2024-03-01 10:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')",
            "hours WHERE hour < '2024-03-01T10:00:00Z'",
        ),
    ] {
        assert_eq!(scene.ask(&sales(ours)).await, scene.ask(&sales(plain)).await, "{ours}");
        let plan = scene.ask(&format!("EXPLAIN {}", sales(ours))).await.concat().join("\n");
        assert!(!plan.contains("FilterExec"), "{plan}");
    }
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn predicates_are_those_of_postgresql() {
    let scene = Scene::new(1, Limits::default());
    let words = "(VALUES ('abc'), ('b'), ('a.c'), ('a\nc'), (NULL)) t(w)";
    for (condition, expect) in [
        ("w SIMILAR TO 'a%'", &["a\nc", "a.c", "abc"][..]),
        ("w SIMILAR TO 'b'", &["b"]),
        ("w SIMILAR TO '(a|b)%'", &["a\nc", "a.c", "abc", "b"]),
        ("w SIMILAR TO 'a.c'", &["a.c"]),
        ("w SIMILAR TO 'a[a-c]c'", &["abc"]),
        ("w NOT SIMILAR TO 'a_c'", &["b"]),
        ("w SIMILAR TO 'a#.c' ESCAPE '#'", &["a.c"]),
        ("w = ANY (SELECT 'b')", &["b"]),
        ("w <> ALL (SELECT 'b')", &["a\nc", "a.c", "abc"]),
        ("w = ANY (SELECT w FROM (VALUES ('abc'), ('x')) s(w))", &["abc"]),
    ] {
        let found = scene.ask(&format!("SELECT w FROM {words} WHERE {condition} ORDER BY w")).await;
        assert_eq!(found.concat(), expect, "{condition}");
    }
    for (condition, hint) in [
        ("cents > ALL (SELECT cents FROM sales)", "(SELECT max(…) …)"),
        ("cents > ANY (SELECT cents FROM sales WHERE cents < 3)", "(SELECT max(…) …)"),
        ("shop IN (SELECT shop FROM sales WHERE cents >= ALL (SELECT cents FROM sales))", "EXISTS"),
        ("shop SIMILAR TO upper('o%')", "LIKE"),
    ] {
        let refused = scene.refusal(&format!("SELECT * FROM sales WHERE {condition}")).await;
        assert!(refused.contains(hint), "{condition}: {refused}");
    }
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn sums_do_not_wrap() {
    let scene = Scene::new(1, Limits::default());
    let max = i64::MAX;
    let found = scene.ask(&format!("SELECT sum(x) FROM (VALUES ({max}), ({max})) t(x)")).await;
    assert_eq!(found, [[(i128::from(max) * 2).to_string()]]);
    let found = scene
        .ask(&format!(
            "SELECT sum(x) OVER (ORDER BY x ROWS 1 PRECEDING) FROM (VALUES ({max}), ({max})) t(x)"
        ))
        .await;
    assert_eq!(found[1], [(i128::from(max) * 2).to_string()]);
    let nines = "9".repeat(38);
    let refused = scene
        .refusal(&format!("SELECT sum(x::decimal(38, 0)) FROM (VALUES ('{nines}'), ('1')) t(x)"))
        .await;
    assert!(refused.contains("more than 38 digits"), "{refused}");
    let refused = scene.refusal(&format!("SELECT sales + {max} FROM sales")).await;
    assert!(refused.to_lowercase().contains("overflow"), "{refused}");
    let seen: BTreeSet<_> = scene.ask("SELECT sum(0.1) FROM sales").await.into_iter().collect();
    assert_eq!(seen.len(), 1);
    scene.running.finish().unwrap();
}
