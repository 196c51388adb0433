//! What statements may not do, and their limits.

use std::time::Duration;

use dayfold_sql::{Limits, SqlError};

use crate::scene::Scene;

#[tokio::test]
async fn deep_statements_and_large_results_of_functions_are_refused() {
    let scene = Scene::new(1, Limits::default());
    let deep = [
        ("SELECT 1 WHERE 1=1", " AND 1=1", 240),
        ("SELECT count(*) FROM sales WHERE shop='0'", " OR shop='1'", 240),
        ("SELECT 1", "+1", 120),
        ("SELECT 'a'", "||'a'", 120),
        ("SELECT 1", "::int", 120),
        ("SELECT 1", " UNION ALL SELECT 1", 120),
        ("WITH a AS (SELECT 1)", ", a AS (SELECT * FROM a)", 3_000),
        ("SELECT 1 FROM sales", " JOIN sales ON true", 3_000),
    ];
    for (first, more, most) in deep {
        if most < 1_000 {
            scene.ask(&(first.to_owned() + &more.repeat(most))).await;
        }
        let refused = scene.refusal(&(first.to_owned() + &more.repeat(5_000))).await;
        assert!(refused.contains("too deep"), "{refused}");
    }
    for large in [
        "SELECT length(repeat('x', 2000000000))",
        "SELECT length(repeat(shop, 1000000)) FROM sales",
        "SELECT lpad('x', 2000000000)",
        "SELECT rpad(shop, 1000000) FROM sales",
        "SELECT array_repeat(1, 2000000000)",
        "SELECT array_resize([1], 2000000000)",
        "SELECT range(1, 2000000000)",
        "SELECT generate_series(timestamp '2024-01-01', timestamp '2025-01-01', interval '1 ms')",
        "SELECT generate_series(date '0001-01-01', date '9999-01-01', interval '1 hour')",
    ] {
        let refused = scene.refusal(large).await;
        assert!(refused.contains("bytes at once"), "{large}: {refused}");
    }
    for (small, expect) in [
        ("SELECT repeat('ab', 3)", "ababab"),
        ("SELECT lpad('x', 3, '-')", "--x"),
        ("SELECT cardinality(range(1, 10, 2))", "5"),
        (
            "SELECT cardinality(generate_series(date '2024-01-01', date '2024-03-01', interval '1 month'))",
            "3",
        ),
        ("SELECT count(*) FROM generate_series(1, 1000)", "1000"),
    ] {
        assert_eq!(scene.ask(small).await, [[expect]], "{small}");
    }
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn nothing_is_written() {
    let scene = Scene::new(1, Limits::default());
    for statement in [
        "INSERT INTO sales SELECT * FROM sales",
        "UPDATE sales SET cents = 0",
        "DELETE FROM sales",
        "CREATE TABLE x AS SELECT * FROM sales",
        "CREATE VIEW x AS SELECT * FROM sales",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x.csv' STORED AS CSV",
        "COPY sales TO '/tmp/x.csv'",
        "DROP TABLE sales",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE INSERT INTO sales SELECT * FROM sales",
        "WITH x AS (SELECT 1) INSERT INTO sales SELECT * FROM sales",
        "SELECT * FROM '/etc/passwd'",
    ] {
        let refused = scene.sql.query(statement).await.map(drop);
        assert!(
            matches!(refused, Err(SqlError::ReadOnly { .. } | SqlError::Plan(_))),
            "{statement}: {refused:?}"
        );
    }
    let count = scene.ask("SELECT count(*) FROM weeks").await;
    assert_ne!(count, [["0"]]);
    for statement in ["SELECT 1; SELECT 2", ""] {
        let refused = scene.sql.query(statement).await.map(drop);
        assert!(matches!(refused, Err(SqlError::NotOne { .. })), "{statement}: {refused:?}");
    }
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn limits_hold() {
    let scene = Scene::new(1, Limits::default().rows(10).statements(2));
    let large = "SELECT * FROM sales";
    let refused = scene.refusal(large).await;
    assert!(refused.contains("more than 10 rows"), "{refused}");
    // Exactly the limit.
    assert_eq!(scene.ask("SELECT day FROM sales LIMIT 10").await.len(), 10);
    let one = scene.sql.query(large).await.unwrap();
    let other = scene.sql.query(large).await.unwrap();
    let third = scene.sql.query(large).await.map(drop);
    assert!(matches!(third, Err(SqlError::Busy { running: 2 })), "{third:?}");
    drop((one, other));
    scene.ask("SELECT 1").await;
    scene.running.finish().unwrap();
}

#[tokio::test]
async fn memory_and_time_are_limited() {
    let limits = Limits::default().memory(1 << 20);
    let scene = Scene::new(1, limits);
    let large = "SELECT a.cents, count(*) FROM sales a CROSS JOIN sales b GROUP BY a.cents, b.cents ORDER BY 1";
    let refused = scene.refusal(large).await;
    assert!(refused.contains("Resources exhausted"), "{refused}");
    scene.running.finish().unwrap();
    // The time limit is zero, so it is exceeded on any machine.
    let scene = Scene::new(1, Limits::default().time(Duration::ZERO));
    let refused = scene.refusal("SELECT * FROM sales").await;
    assert!(refused.contains("was stopped after 0ns"), "{refused}");
    scene.running.finish().unwrap();
}
