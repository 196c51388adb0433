//! Everything that a statement reads has one moment, while events come in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dayfold_sql::Limits;

use crate::scene::{DAY_MS, DAYS, FIRST, Sale, Scene, sale};

/// The number of events, from all views: combined by the engine, by key, row by row and in any order.
const COUNTS: &str = "SELECT (SELECT sum(sales) FROM sales), (SELECT sum(sales) FROM hours), (SELECT sum(sales) FROM weeks), \
     (SELECT sum(n) FROM (SELECT shop, sum(sales) AS n FROM sales GROUP BY shop) t), \
     (SELECT sum(sales + 0) FROM sales), (SELECT sum(sales + 0) FROM hours), \
     (SELECT sum(s.sales) FROM sales s JOIN (SELECT DISTINCT day, shop, desk FROM sales) t USING (day, shop, desk))";

#[tokio::test]
async fn a_statement_has_one_moment_while_events_come_in() {
    for workers in [1, 3] {
        let scene = Scene::new(workers, Limits::default());
        let is_over = AtomicBool::new(false);
        let (first, last) = std::thread::scope(|scope| {
            let push = || {
                for number in 0.. {
                    if is_over.load(Ordering::Acquire) {
                        return;
                    }
                    // Into open days, and into sealed ones.
                    let time = (FIRST + DAYS - 1 - number % 3 * 7) * DAY_MS + number % DAY_MS;
                    let sales = vec![Sale { time, ..sale(number) }; 3];
                    let pushed = scene.pusher.push(sales).unwrap();
                    assert!(pushed.refused.is_empty());
                    // No more events than the engine can take in beside the statements.
                    pushed.receipt.wait_visible(Duration::from_secs(60)).unwrap();
                }
            };
            scope.spawn(push);
            let counts = || {
                let rows = scene.sql.query_blocking(COUNTS).unwrap();
                let rows = crate::scene::texts(&rows.collect::<Result<Vec<_>, _>>().unwrap());
                let counts: Vec<u64> = rows[0].iter().map(|text| text.parse().unwrap()).collect();
                assert!(counts.iter().all(|count| *count == counts[0]), "{workers}: {counts:?}");
                counts[0]
            };
            // Blocking is not allowed on a thread of the runtime.
            let ask = scope.spawn(move || {
                let first = counts();
                let mut last = first;
                // At least some of them are of different moments.
                for asked in 0.. {
                    let count = counts();
                    assert!(count >= last, "{count} after {last}");
                    last = count;
                    if asked >= 5 && last > first {
                        break;
                    }
                }
                (first, last)
            });
            let counted = ask.join();
            is_over.store(true, Ordering::Release);
            counted.unwrap()
        });
        assert!(first < last);
        scene.running.finish().unwrap();
    }
}
