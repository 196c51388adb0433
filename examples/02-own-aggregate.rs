//! Your own aggregate: the longest run of hours in a day without an event.
//!
//!     cargo run --example 02-own-aggregate
//!
//! Before: `01-smallest`. Next: `03-enrich-and-alert`.

use dayfold::aggregate::{Aggregate, IsZero, Semigroup, laws};
use dayfold::schema::{AggregateShape, Kind, Measure, Presented, Value};
use dayfold::serve::{Answer, Query};
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use serde::{Deserialize, Serialize};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::Inspect;

/// The hours of a day in which something happened, one bit for each. ⊕ is their union.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Hours(u32);

impl Hours {
    fn of(time: i64) -> Hours {
        Hours(1 << (time / 3_600_000).rem_euclid(24))
    }
    fn longest_silence(self) -> usize {
        let bits = format!("{:024b}", self.0);
        bits.split('1').map(str::len).max().unwrap_or(0)
    }
}

impl IsZero for Hours {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Semigroup for Hours {
    fn plus_equals(&mut self, other: &Hours) {
        self.0 |= other.0;
    }
}

impl Aggregate for Hours {
    /// Its id in a data folder.
    fn id() -> String {
        "hours".to_owned()
    }

    /// How it is shown, and its value.
    fn shape() -> AggregateShape {
        AggregateShape::one("silence", Measure::new("", Kind::Integer))
    }
    fn present(state: Option<&Hours>, out: &mut Presented<'_>) {
        let silence = |hours: &Hours| Value::Integer(hours.longest_silence() as i128);
        out.put(|| Value::or_null(state.map(silence)));
    }
}

fn main() -> Result<(), String> {
    laws::check_laws(&[Hours(0), Hours::of(0), Hours::of(7_200_000), Hours(0xFF)]);
    let workers = timely::execute_from_args(std::env::args(), |worker| {
        let mut beats = InputHandle::<Moment, _>::new();
        let mut queries = InputHandle::<Moment, _>::new();
        worker.dataflow(|scope| {
            let view = View::new("silence").expect("a name that can name a folder");
            let hours = beats
                .to_stream(scope)
                .fold_days(view, &Archive::in_memory(), |&(time, sensor)| {
                    Some((time, sensor, Hours::of(time)))
                })
                .expect("nothing is read where there is no folder");
            hours.serve(queries.to_stream(scope)).inspect(|answer: &Answer<u64, Hours>| {
                let hours = answer.value().expect("there were events");
                println!("sensor {}: silent for {} hours", answer.id, hours.longest_silence());
            });
        });
        if worker.index() == 0 {
            for hour in [0, 1, 2, 9, 10, 23] {
                beats.send((hour * 3_600_000, 7));
            }
            queries.send(Query::point(7, DayRange::ALL).id(7));
        }
    })?;
    workers.join().into_iter().collect()
}
