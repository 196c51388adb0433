//! Differential's operators around a view: a join with a dimension table before it, an alert after it.
//!
//!     cargo run --example 03-enrich-and-alert
//!
//! Payments are joined with the countries of their cards; a view sums them by country and day; an alert is raised when
//! a sum is above a limit, and withdrawn when a payment is retracted. Before: `02-own-aggregate`. Next: `04-service`.

use dayfold::aggregate::Sum;
use dayfold::view::View;
use dayfold::{Archive, FoldChanges, Moment};
use differential_dataflow::input::InputSession;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Exchange, Inspect, Probe};

const LIMIT: i128 = 10_000;
const NOON: i64 = 1_714_564_800_000; // 1 May 2024, 12:00 UTC.

fn main() -> Result<(), String> {
    let workers = timely::execute_from_args(std::env::args(), |worker| {
        let mut payments = InputSession::<Moment, (u64, (i64, i64)), isize>::new();
        let mut cards = InputSession::<Moment, (u64, String), isize>::new();
        let probe = ProbeHandle::new();
        worker.dataflow(|scope| {
            let view = View::new("by-country").expect("a name that can name a folder");
            let by_country = payments
                .to_collection(scope)
                .join(cards.to_collection(scope))
                .fold_days(view, &Archive::in_memory(), |(_card, ((time, cents), country))| {
                    Some((*time, country.clone(), Sum::of(*cents)))
                })
                .expect("nothing is read where there is no folder");
            by_country
                .values()
                .filter(|(_, sum)| sum.value() > LIMIT)
                .map(|((day, country), _)| format!("{country} on {day}"))
                .consolidate()
                .inner
                .exchange(|_| 0) // All alerts go to one worker.
                .inspect(|(alert, moment, change)| {
                    let what = if *change > 0 { "alert" } else { "over" };
                    println!("tick {}: {what}: {alert}", moment.tick);
                })
                .probe_with(&probe);
        });
        let index = worker.index();
        let mut tick = 0;
        let mut next = |payments: &mut InputSession<_, _, _>, cards: &mut InputSession<_, _, _>| {
            tick += 1;
            let moment = Moment::new(i64::MIN, tick);
            payments.advance_to(moment);
            payments.flush();
            cards.advance_to(moment);
            cards.flush();
            worker.step_while(|| probe.less_than(&moment));
        };
        // All workers go through the ticks; one of them enters the changes.
        let changes = if index == 0 { 1 } else { 0 };
        cards.update((1, "AT".to_owned()), changes);
        cards.update((2, "AT".to_owned()), changes);
        payments.update((1, (NOON, 6_000)), changes);
        next(&mut payments, &mut cards);
        payments.update((2, (NOON + 1_000, 5_000)), changes); // Both together are too much.
        next(&mut payments, &mut cards);
        payments.update((1, (NOON, 6_000)), -changes); // Cancelled.
        next(&mut payments, &mut cards);
    })?;
    workers.join().into_iter().collect()
}
