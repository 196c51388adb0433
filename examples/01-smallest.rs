//! The smallest dataflow: events in, a view of them, a query, an answer.
//!
//!     cargo run --example 01-smallest
//!
//! With timely's arguments it runs on more workers, or processes: `-- -w 4`, or `-- -n 2 -p 0` and, in another
//! terminal, `-- -n 2 -p 1`. The first process prints the same (and timely prints that it awaits connections). Next:
//! `02-own-aggregate`.

use dayfold::aggregate::{Count, Sum};
use dayfold::serve::{Answer, Query};
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::Inspect;

const MAY_1: i64 = 1_714_521_600_000; // In ms, UTC.
const HOUR: i64 = 3_600_000;

fn main() -> Result<(), String> {
    let workers = timely::execute_from_args(std::env::args(), |worker| {
        let mut orders = InputHandle::<Moment, _>::new();
        let mut queries = InputHandle::<Moment, _>::new();
        worker.dataflow(|scope| {
            // A view takes the time, the key and an aggregate of each event. It keeps one aggregate for each day and
            // key.
            let by_shop = orders
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
        // Any worker may take events and queries. Here, the first one takes all.
        if worker.index() == 0 {
            orders.send((MAY_1 + 8 * HOUR, "north", 250));
            orders.send((MAY_1 + 9 * HOUR, "north", 450));
            orders.send((MAY_1 + 9 * HOUR, "south", 990));
            orders.send((MAY_1 + 30 * HOUR, "north", 120)); // The day after.
            queries.send(Query::series("north".to_owned(), DayRange::ALL));
        }
    })?;
    workers.join().into_iter().collect()
}
