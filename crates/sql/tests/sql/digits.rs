//! Decimals whose digits after the point are known.

use std::time::Duration;

use dayfold::Cluster;
use dayfold::aggregate::Decimal;
use dayfold::dynamic::{self, Columns, Event, Reduce, ViewDef};
use dayfold::engine::LiveOptions;
use dayfold::schema::Kind;
use dayfold::view::View;
use dayfold_sql::{Limits, Sql};

use crate::scene::texts;

#[tokio::test]
async fn decimals_have_their_digits() {
    let columns = Columns::new([("price", Kind::Decimal), ("cost", Kind::Decimal)]).unwrap();
    let columns = columns.scaled("price", 2);
    let price = || "price".to_owned();
    let definition = ViewDef::new(View::new("sales").unwrap(), columns)
        .key(["price"])
        .and_then(|definition| definition.measure("total", Reduce::Sum(price())))
        .and_then(|definition| definition.measure("most", Reduce::Max("cost".to_owned())))
        .unwrap();
    let mut engine = dynamic::Engine::new();
    engine.dynamic_view(definition, Event::fill);
    let pusher = engine.live(LiveOptions::new(Event::time));
    let folder = tempfile::tempdir().unwrap();
    let engine = engine.data(folder.path());
    let running = dynamic::start(engine, Cluster::workers(1)).unwrap();
    let event = |day: i64, price: &str, cost: &str| {
        let number = |text: &str| text.parse::<Decimal>().unwrap();
        Event::new(day * 86_400_000, [number(price).into(), number(cost).into()])
    };
    // The second price has two digits, and is written with four.
    let events = vec![event(0, "1.25", "0.125"), event(1, "2.5000", "7"), event(1, "1.25", "3")];
    let pushed = pusher.push(events).unwrap();
    pushed.receipt.wait_visible(Duration::from_secs(60)).unwrap();
    // One price is finer than its column.
    let refused = pusher.push(vec![event(1, "1.125", "1")]).unwrap();
    refused.receipt.wait_visible(Duration::from_secs(60)).unwrap();

    check(&Sql::new(running.views(), Limits::default()).unwrap()).await;
    drop(pusher);
    running.finish().unwrap();
    check(&Sql::of_folder(folder.path(), Limits::default()).unwrap()).await;
}

async fn check(sql: &Sql) {
    let cases = [
        (
            "SELECT arrow_typeof(total), arrow_typeof(price), arrow_typeof(most) FROM sales LIMIT 1",
            vec!["Decimal128(38, 2)", "Decimal128(38, 2)", "Decimal128(38, 9)"],
        ),
        ("SELECT sum(total), max(price) FROM sales", vec!["5.00", "2.50"]),
        ("SELECT total FROM sales WHERE price = 2.5", vec!["2.50"]),
        ("SELECT sum(total) FROM sales WHERE price = 1.250", vec!["2.50"]),
        ("SELECT count(*) FROM sales WHERE price > 1.2499 AND total < 1.2501", vec!["2"]),
        (
            "SELECT price FROM sales GROUP BY price HAVING sum(total) > 2.4 ORDER BY price LIMIT 1",
            vec!["1.25"],
        ),
        ("SELECT total * 2 + most FROM sales WHERE most = 7", vec!["12.000000000"]),
    ];
    for (statement, expected) in cases {
        let found = sql.query(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        let found = found.collect().await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        assert_eq!(texts(&found), [expected], "{statement}");
    }
}
