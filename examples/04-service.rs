//! The handle of an engine in an async service: tasks push, ask and subscribe, and no thread waits.
//!
//!     cargo run --example 04-service
//!
//! The runtime is tokio's; any other will do, and so will threads (`push`, `ask`, `next`). Before:
//! `03-enrich-and-alert`. Next: `05-import-sealed-days`.

use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Subscription};
use dayfold::serve::Query;
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

type Order = (EventTime, String, i64); // Milliseconds UTC, shop, cents.
type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut engine = Engine::<Order>::new();
    let per_shop = View::new("per-shop")?;
    let per_shop = engine.view(per_shop, Measures::none(), |(time, shop, cents): &Order| {
        Some((*time, shop.clone(), (Count::one(), Sum::of(*cents))))
    });
    let pusher = engine.live(LiveOptions::new(|order: &Order| order.0));
    // Timely's arguments, for example `-w 2`. Starting waits for files, and for other processes if there are any; so
    // does finishing.
    let cluster = Cluster::from_args(std::env::args())?;
    let is_first = cluster.process() == 0;
    let running = tokio::task::spawn_blocking(move || engine.start(cluster)).await??;
    if !is_first {
        drop(pusher); // Orders could come in here, too. In this example, the first process takes all, and stops all.
        let follow = move || {
            while !running.wait_stopped(Duration::from_secs(1)) {}
            running.finish()
        };
        tokio::task::spawn_blocking(follow).await??;
        return Ok(());
    }

    // For example for a dashboard: the latest total of the shop, at most ten times a second.
    let north = Query::point("north".to_owned(), DayRange::ALL);
    let live = per_shop.subscribe(north.clone(), Duration::from_millis(100))?;
    let watching = tokio::spawn(watch(live, 3));

    for (shop, cents) in [("north", 100), ("south", 250), ("north", 300), ("north", 400)] {
        order(&pusher, (0, shop.to_owned(), cents)).await?;
    }
    let answer = tokio::time::timeout(Duration::from_secs(10), per_shop.ask_async(north)).await??;
    println!("{:?}", answer.value());
    println!("{}", watching.await?);

    drop(pusher); // No more orders: waiting queries are answered, and all days are sealed.
    tokio::task::spawn_blocking(|| running.finish()).await??;
    let after = per_shop.ask_async(Query::total(DayRange::ALL)).await;
    println!("{}", after.expect_err("nobody is there to answer"));
    Ok(())
}

/// Takes an order: waits for room, and then until every query sees it.
async fn order(pusher: &Pusher<Order>, order: Order) -> Result<(), Error> {
    let pushed = pusher.push_async(vec![order]).await.map_err(|error| error.refusal)?;
    Ok(pushed.receipt.visible().await?)
}

/// Listens until this many orders are in. Even if it is slower than they come, it gets the latest answer.
async fn watch(mut live: Subscription<String, (Count, Sum)>, orders: i64) -> String {
    while let Some(answer) = live.next_async().await {
        if let Some((count, sum)) = answer.value().filter(|(count, _)| count.0 >= orders) {
            return format!("live: {} orders, {} cents", count.0, sum.value());
        }
    }
    "the engine has stopped".to_owned()
}
