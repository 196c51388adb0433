//! The smallest dataflow: events in, a view of them, a query, an answer.
//!
//!     cargo run --example 01-smallest
//!
//! Next: `02-own-aggregate`.

use dayfold::aggregate::{Count, Sum};
use dayfold::serve::{Answer, Query};
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::Inspect;

const MAY_1: i64 = 1_714_521_600_000; // In ms, UTC.
const HOUR: i64 = 3_600_000;

fn main() {
    timely::execute_directly(|worker| {
        let mut orders = InputHandle::<Moment, _>::new();
        let mut queries = InputHandle::<Moment, _>::new();
        worker.dataflow(|scope| {
            // A view: of each event its time, its key, and an aggregate. It keeps one for each day and key.
            let mut by_shop = orders
                .to_stream(scope)
                .fold_days(
                    View::new("by-shop").expect("a name that can name a folder"),
                    &Archive::in_memory(),
                    |&(time, shop, cents): &(i64, &str, i64)| {
                        Some((time, shop.to_owned(), (Count::one(), Sum::of(cents))))
                    },
                )
                .expect("nothing is read where there is no folder");
            by_shop.serve(queries.to_stream(scope)).inspect(
                |answer: &Answer<String, (Count, Sum)>| {
                    for item in &answer.items {
                        let (day, value) = (item.day.expect("by day"), item.parts.merged());
                        let (count, sum) = value.expect("a value of some events");
                        println!("{day}  {} orders, {} cents", count.0, sum.value());
                    }
                },
            );
        });
        orders.send((MAY_1 + 8 * HOUR, "north", 250));
        orders.send((MAY_1 + 9 * HOUR, "north", 450));
        orders.send((MAY_1 + 9 * HOUR, "south", 990));
        orders.send((MAY_1 + 30 * HOUR, "north", 120)); // The day after.
        queries.send(Query::series("north".to_owned(), DayRange::ALL));
    });
}
